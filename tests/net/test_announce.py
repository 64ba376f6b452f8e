# SPDX-License-Identifier: GPL-2.0-only
"""A lone gateway with `announce: arp` and a client on its own network, which has no route but that
network's prefixes: it finds the VIPs by ARP and neighbour discovery."""
import contextlib
import ipaddress
import json
import re
import select
import signal
import socket
import time
from collections import Counter

import pytest

from gateway import config, service
from lab import FABRIC_MTU, VIP4, VIP6, Capture, Host, until
from probes import arp_request, solicitation, statement

BACKENDS = 1
BURST = 5  # announcements in a row
ADDED, ELSEWHERE = "192.0.2.20", "203.0.113.10"
WEB = service("web", VIP4, {"web1": ("10.2.0.21", 100)})
WEB_AGAIN = service("web-again", VIP4, {"web1": ("10.2.0.21", 100)}, port=8080)
WEB6 = service("web6", VIP6, {"web1": ("fd00:2::21", 100)})
OTHER = service("added", ADDED, {"web1": ("10.2.0.21", 100)})
FAR = service("far", ELSEWHERE, {"web1": ("10.2.0.21", 100)})
OWN = service("own", "192.0.2.1", {"web1": ("10.2.0.21", 100)})


class Near(Host):
    """The client beside the gateway."""

    def __init__(self, lab):
        super().__init__(lab, "near")
        lab.router.ip(f"link add near mtu {FABRIC_MTU} type veth peer name eth0 netns {self.ns}",
                      "link set near master br0 up")
        self.ip("addr add 192.0.2.99/24 dev eth0", "addr add 2001:db8::99/64 dev eth0",
                "link set eth0 up")
        self.mac = bytes.fromhex(self.link()["address"].replace(":", ""))

    def ask(self, vip, seconds=1.0):
        """Who has the VIP: the MAC that answers, or None."""
        packed, turn = ipaddress.ip_address(vip).packed, 0
        question = arp_request if len(packed) == 4 else solicitation
        with self.enter(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                         socket.htons(3)) as wire:
            wire.bind(("eth0", 0))
            wire.send(question(self.mac, packed, turn))
            deadline = time.monotonic() + seconds
            while select.select([wire], [], [], max(0, deadline - time.monotonic()))[0]:
                said = statement(wire.recv(65536))
                if said and said[0] == packed and said[2]:
                    return said[1].hex(":")
        return None

    def fetch(self, vip):
        host = f"[{vip}]" if ":" in vip else vip
        return self.run("curl", "-sSfg", "-m", "5", f"http://{host}/").stdout.strip()

    def neighbour(self, vip):
        entries = json.loads(self.run("ip", "-j", "neigh", "show", "to", vip).stdout)
        return [e.get("lladdr") for e in entries]


class Announced(Capture):
    """Announcements that reach the client while the block runs, by VIP and MAC."""

    def count(self, vip, mac):
        wanted = ipaddress.ip_address(vip).packed, bytes.fromhex(mac.replace(":", "")), None
        return Counter(statement(frame) for _, frame in list(self.frames))[wanted]

    def expect(self, vip, mac):
        until(lambda: self.count(vip, mac) >= BURST, 3,
              lambda: f"{BURST} announcements of {vip}, but {self.count(vip, mac)}")


@pytest.fixture(scope="module")
def near(bare_lab):
    # Deprecated: the servers allow the gateway's other address only.
    bare_lab.lb.ip("addr add 192.0.2.1/24 dev eth0",
                   "addr add 2001:db8::1/64 dev eth0 preferred_lft 0")
    # To answer the client directly; an IPv6 neighbour is asked from an address that it can reach.
    bare_lab.web("web1").ip("route add 192.0.2.0/24 dev eth0", "addr add 2001:db8::21/64 dev eth0")
    client = Near(bare_lab)
    until(lambda: client.reaches("192.0.2.1") and client.reaches("2001:db8::1"), 10, "the network")
    return client


@pytest.fixture
def lb(bare_lab, near):
    """The gateway announces web and web6, and has nothing else to say."""
    lb = bare_lab.lb
    lb.config = bare_lab.dir / "announce.yaml"
    lb.mac = lb.link()["address"]
    alive = lb.daemon and lb.daemon.alive
    write(lb, WEB, WEB6)
    lb.cli("reload") if alive else lb.start(lb.config)
    lb.wait_all(health="up", nexthop="resolved")
    return lb


def write(lb, *services, announce="arp"):
    lb.config.write_text(config(*services) + f"announce: {announce}\n")


def reload(lb, *services, **more):
    write(lb, *services, **more)
    lb.cli("reload")


def announcements(lb):
    """Of each VIP: the interface, or why not."""
    return {a["address"]: a["interface"] if a["announced"] else a["why"]
            for a in lb.status()["announcements"]}


def let_in(lb, vip):
    """Whether the NIC hears the VIP's group without a socket's membership."""
    tail = ipaddress.ip_address(vip).packed[13:].hex(":")
    return f"33:33:ff:{tail}" in re.findall(r"link\s+(\S+).* static",
                                            lb.run("ip", "maddr", "show", "dev", "eth0").stdout)


def test_a_client_on_the_network_finds_the_vips(lb, near, figure):
    lb.daemon.stop()
    assert near.ask(VIP4, 0.2) is None and near.ask(VIP6, 0.2) is None
    with Announced(near, "eth0") as heard:
        lb.start(lb.config)
        for vip in VIP4, VIP6:
            heard.expect(vip, lb.mac)
    lb.wait_all(health="up", nexthop="resolved")
    for vip in VIP4, VIP6:
        assert near.fetch(vip) == "web1"
        assert near.neighbour(vip) == [lb.mac]
        assert near.ask(vip) == lb.mac
    assert announcements(lb) == {VIP4: "eth0", VIP6: "eth0"}
    shown = lb.cli("status").stdout
    assert "announces 2 of 2 VIPs by ARP and neighbour discovery" in shown
    assert "eth0: announces 2 VIPs" in lb.daemon.log()
    figure(f"announced {heard.count(VIP4, lb.mac)} and {heard.count(VIP6, lb.mac)} times")


def test_reload_adds_and_removes(lb, near):
    assert near.ask(ADDED, 0.2) is None
    with Announced(near, "eth0") as heard:
        reload(lb, WEB, WEB_AGAIN, WEB6, OTHER)
        heard.expect(ADDED, lb.mac)
    assert near.ask(ADDED) == lb.mac
    assert announcements(lb) == {VIP4: "eth0", ADDED: "eth0", VIP6: "eth0"}
    with Announced(near, "eth0") as heard:
        reload(lb, WEB_AGAIN, WEB6)
        assert near.ask(ADDED, 0.3) is None
        assert near.ask(VIP4) == lb.mac, "another service has it"
    assert heard.count(ADDED, lb.mac) == 0
    reload(lb, WEB)
    assert near.ask(VIP6, 0.3) is None and not let_in(lb, VIP6)


def test_what_cannot_be_announced_is_said_once(lb, near):
    before = len(lb.daemon.log())
    for _ in range(2):
        reload(lb, WEB, FAR, OWN)
    log = lb.daemon.log()[before:]
    assert log.count(f"VIP {ELSEWHERE} is not announced: it is on no network") == 1
    assert log.count("VIP 192.0.2.1 is not announced: eth0 has the address itself") == 1
    shown = lb.cli("status").stdout
    assert "announces 1 of 3 VIPs" in shown
    assert f"{ELSEWHERE} is not announced: it is on no network of the file's interfaces" in shown
    lb.ip("addr add 203.0.113.1/24 dev eth0")
    until(lambda: announcements(lb)[ELSEWHERE] == "eth0", 5, "the network came")
    assert near.ask(ELSEWHERE) == lb.mac
    lb.ip("addr del 203.0.113.1/24 dev eth0")
    until(lambda: "no network" in announcements(lb)[ELSEWHERE], 5, "the network went")
    assert near.ask(ELSEWHERE, 0.3) is None


def test_it_outlives_the_controller(lb, near):
    lb.daemon.stop(signal.SIGKILL)
    for vip in VIP4, VIP6:
        assert near.ask(vip) == lb.mac and near.fetch(vip) == "web1"
    assert let_in(lb, VIP6)
    with Announced(near, "eth0") as heard:
        lb.start(lb.config, wait=False)
        answers = []
        until(lambda: answers.extend(map(near.ask, (VIP4, VIP6)))
              or (len(answers) >= 20 and "ready" in lb.daemon.log()), 10, "ready")
        for vip in VIP4, VIP6:
            heard.expect(vip, lb.mac)
    assert answers == [lb.mac] * len(answers)
    lb.daemon.stop(signal.SIGQUIT)
    write(lb, WEB)
    lb.start(lb.config)
    assert near.ask(VIP4) == lb.mac
    assert near.ask(VIP6, 0.3) is None and not let_in(lb, VIP6)


def test_a_link_that_comes_back_is_announced_on(lb, near):
    with Announced(near, "eth0") as heard:
        lb.lab.router.ip("link set lb1 down")
        until(lambda: announcements(lb)[VIP4] == "eth0 is down", 5, "down")
        heard.frames.clear()
        lb.lab.router.ip("link set lb1 up")
        for vip in VIP4, VIP6:
            heard.expect(vip, lb.mac)
    assert announcements(lb) == {VIP4: "eth0", VIP6: "eth0"}


def test_an_interface_that_goes_away(lb, near):
    """And comes back as another one of its name."""
    def plug():
        lb.ip("link add eth1 type veth peer name far1", "addr add 203.0.113.1/24 dev eth1",
              "link set far1 up", "link set eth1 up")

    plug()
    with contextlib.ExitStack() as undo:
        undo.callback(lambda: lb.ip("link del eth1"))
        write(lb, WEB, WEB6, FAR)
        lb.config.write_text(lb.config.read_text().replace("  - name: eth0\n",
                                                           "  - name: eth0\n  - name: eth1\n"))
        lb.cli("reload")
        until(lambda: announcements(lb)[ELSEWHERE] == "eth1", 5, "announced")
        lb.ip("link del eth1")
        until(lambda: "no network" in announcements(lb)[ELSEWHERE], 5, "gone")
        assert announcements(lb)[VIP4] == "eth0"
        plug()
        until(lambda: announcements(lb)[ELSEWHERE] == "eth1", 5, "announced again")
        reload(lb, WEB, WEB6)


def test_it_becomes_one_of_a_pair(lb, near):
    """Its leases, which do not end, have the numbers of an instance's."""
    lb.daemon.stop(signal.SIGQUIT)
    assert near.ask(VIP4) == near.ask(VIP6) == lb.mac
    lb.config.write_text(config(WEB, WEB6) + f"""\
ha:
  track: [{{interface: not-there}}]
  instances:
    - {{name: front, vips: [{VIP4}], interface: eth0, vrid: 1}}
""")
    lb.start(lb.config)
    for vip in VIP4, VIP6:
        assert near.ask(vip, 0.3) is None
    lb.daemon.stop()


def test_none(lb, near):
    reload(lb, WEB, WEB6, announce="none")
    for vip in VIP4, VIP6:
        assert near.ask(vip, 0.3) is None
    assert announcements(lb) == {} and not let_in(lb, VIP6)
    assert "announces" not in lb.cli("status").stdout
    reload(lb, WEB, WEB6)
    assert near.ask(VIP4) == near.ask(VIP6) == lb.mac
    lb.daemon.stop()
    for vip in VIP4, VIP6:
        assert near.ask(vip, 0.3) is None
    assert not let_in(lb, VIP6)
