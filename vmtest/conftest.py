# SPDX-License-Identifier: GPL-2.0-only
"""The laboratory of tests/net, once, and before each test a balancer with nothing on its interface."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/net"))
pytest.register_assert_rewrite("test_web")

from gateway import FILE
from lab import Lab


class GuestLab(Lab):
    def start(self):
        """Starts evenkeeld; returns what it says of eth0 once all backends are up."""
        self.lb.start(self.config)
        self.lb.wait_all(health="up", nexthop="resolved")
        (interface,) = self.lb.status()["interfaces"]
        assert interface["attached"]
        return interface


@pytest.fixture(scope="session")
def guest_lab():
    with GuestLab("guest") as lab:
        lab.config = lab.dir / "gateway.yaml"
        yield lab


@pytest.fixture
def lab(guest_lab):
    lb = guest_lab.lb
    # An emulated machine may well be silent for a second.
    guest_lab.config.write_text(FILE.read_text().replace("fall: 2", "fall: 30"))
    yield guest_lab
    if lb.daemon and lb.daemon.alive:
        lb.daemon.stop()
    lb.run("evenkeeld", "--detach", check=False)
    lb.run("xdp-filter", "unload", "--all", check=False)
    lb.run("xdp-loader", "unload", "eth0", "--all", check=False)
    lb.run("rm", "-rf", "/var/lib/evenkeel")


@pytest.fixture
def figure():
    return print
