# SPDX-License-Identifier: GPL-2.0-only
"""The laboratories of the guest, and what its kernel thinks of our programs."""
import contextlib
import re
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/net"))
from gateway import FILE
from lab import FABRIC_MTU, VIP4, VIP6, Balancer, Lab, LabError, run

BYTES = 10_000_000  # of a large file
VERIFIED = {}  # program: instructions
LIMIT = 1_000_000


def pytest_configure(config):
    # A run that takes too long is torn down in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter):
    for program, count in VERIFIED.items():
        terminalreporter.write_line(f"verifier: {program}: {count} instructions of {LIMIT}")


def verified(process):
    """What this kernel's verifier had to follow of the largest BPF program that a process has."""
    counts = [0]
    for entry in Path(f"/proc/{process.pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            counts += map(int, re.findall(r"^verified_insns:\s+(\d+)", entry.read_text(), re.M))
    return max(counts)


def virtio_nics():
    return sorted(n.name for n in Path("/sys/class/net").iterdir()
                  if (n / "device/driver").resolve().name == "virtio_net")


class GuestLab(Lab):
    def __init__(self, name):
        super().__init__(name, big=BYTES)
        self.config = self.dir / "gateway.yaml"
        VERIFIED["evenkeel-backend"] = verified(self.webs[0].agent)

    def start(self, lb=None):
        """Starts evenkeeld; returns what it says of eth0 once all backends are up."""
        lb = lb or self.lb
        lb.start(self.config)
        lb.wait_all(health="up", nexthop="resolved")
        (interface,) = lb.status()["interfaces"]
        assert interface["attached"]
        VERIFIED["evenkeeld"] = verified(lb.daemon)
        return interface

    def write(self, text):
        """The configuration. An emulated machine may well be silent for a second."""
        self.config.write_text(text.replace("fall: 2", "fall: 30"))

    def fresh(self):
        """For the time of a test configs/gateway.yaml is the configuration. Nothing is on the
        balancer's interface before and after it."""
        self.write(FILE.read_text())
        yield self
        self.rest(self.lb)

    def rest(self, lb):
        if lb.daemon and lb.daemon.alive:
            lb.daemon.stop()
        lb.run("evenkeeld", "--detach", check=False)
        lb.run("xdp-filter", "unload", "--all", check=False)
        lb.run("xdp-loader", "unload", "eth0", "--all", check=False)
        lb.run("rm", "-rf", "/var/lib/evenkeel")


class ForwardingLab(GuestLab):
    """With two hosts more:

    lb2     another balancer, whose eth0 and whose port of the switch are the machine's two virtio
            NICs, connected by qemu
    ipvs    a director that runs the kernel's own load balancer
    """

    def _balancers(self):
        self.virtio = Balancer(self, "lb2", "10.2.0.11", "fd00:2::11")
        self.ipvs = Balancer(self, "ipvs", "10.2.0.12", "fd00:2::12")
        return [Balancer(self), self.virtio, self.ipvs]

    def _plug(self, host, bridge="br0"):
        if host is not self.virtio:
            super()._plug(host, bridge)
            return
        nics = virtio_nics()
        if len(nics) != 2:
            raise LabError(f"the machine has not two virtio NICs, but {nics}")
        for nic, owner, name in zip(nics, (self.router, host), (host.name, "eth0")):
            run("ip", "link", "set", nic, "netns", owner.ns, "name", name, "mtu", FABRIC_MTU)
        self.router.ip(f"link set {host.name} master {bridge} up")
        host.configure()

    def route(self, lb):
        """The way to the VIPs."""
        four, six = lb.addresses
        self.router.ip(f"route replace {VIP4}/32 via {four}", f"route replace {VIP6}/128 via {six}")


@pytest.fixture(scope="session")
def forwarding_lab():
    with ForwardingLab("forwarding") as lab:
        yield lab


@pytest.fixture
def lab(forwarding_lab):
    yield from forwarding_lab.fresh()


@pytest.fixture
def virtio(lab):
    """The balancer on the virtio NIC. It has the VIPs."""
    lab.route(lab.virtio)
    yield lab.virtio
    lab.rest(lab.virtio)
    lab.route(lab.lb)
