# SPDX-License-Identifier: GPL-2.0-only
"""A balancer on a trunk: clients' packets come in by one VLAN of its only cable, the backends are
in another."""
import json
from typing import NamedTuple

import pytest

from conftest import GuestLab
from lab import VIP4, VIP6, Capture, run, until
from test_methods import assert_answers, assert_large

FRONT = "10.4.0.10", "fd00:4::10"  # the balancer's addresses toward the clients
FULL = 6500  # packets of a large file, at least


class Row(NamedTuple):
    front: tuple  # tags of the clients' side, the outer first: one of 802.1Q, or 802.1ad's and its
    back: tuple  # of the backends'


ROWS = {
    "untagged in, 802.1Q out": Row((), (200,)),
    "802.1Q in, another out": Row((100,), (200,)),
    "802.1Q in, untagged out": Row((100,), ()),
    "802.1Q in, 802.1ad out": Row((100,), (30, 200)),
    "802.1ad in, 802.1Q out": Row((30, 100), (200,)),
}


class VlanLab(GuestLab):
    """The cable from lb1's eth0 is a trunk of the router's, and so is not itself in its bridge:

    client -- router -- VLANs of lb1 -- VLANs of eth0 [lb1]
                |            |
                `--- br0 ----+-- web1 .. web3
    """

    def _plug(self, host, bridge="br0", owner=None):
        if host is not self.lb:
            super()._plug(host, bridge, owner)
            return
        self.router.cable(host.name, host, "eth0")
        for end, port in (self.router, host.name), (host, "eth0"):
            # Tags are in the frames, not beside them.
            end.run("ethtool", "-K", port, "txvlan", "off", "rxvlan", "off",
                    "tx-vlan-stag-hw-insert", "off", "rx-vlan-stag-hw-parse", "off")
        self.tag(Row((), (200,)))

    def _route(self):
        """tag() has set the way to the VIPs."""

    def tag(self, row):
        """Both ends of the cable have the VLANs of this row, and no other."""
        lb, router = self.lb, self.router
        devices = [(host, port, *(vlan(host, port, tags) for tags in row))
                   for host, port in ((router, lb.name), (lb, "eth0"))]
        (_, _, in_front, self.back), (_, _, front, back) = devices
        four, six = lb.addresses
        router.ip("addr add 10.4.0.1/24 dev " + in_front, "addr add fd00:4::1/64 dev " + in_front,
                  f"link set {self.back} master br0")
        lb.ip(f"addr add {FRONT[0]}/24 dev {front}", f"addr add {FRONT[1]}/64 dev {front}",
              f"addr add {four}/24 dev {back}", f"addr add {six}/64 dev {back}",
              "route replace default via 10.2.0.1", "route replace default via fd00:2::1")
        router.ip(f"route replace {VIP4}/32 via {FRONT[0]}",
                  f"route replace {VIP6}/128 via {FRONT[1]}")

    def untag(self):
        """Takes away what tag() made."""
        for host, port in (self.router, self.lb.name), (self.lb, "eth0"):
            for link in json.loads(run("ip", "-n", host.ns, "-j", "link").stdout):
                if link.get("link") == port:
                    host.ip(f"link del {link['ifname']}")
            host.ip(f"link set {port} nomaster", f"addr flush dev {port} scope global")

    def reachable(self):
        for address in *FRONT, *self.lb.addresses:
            until(lambda a=address: self.router.reaches(a), 10, f"{address} answers")


def vlan(host, port, tags):
    """The device of these tags on a port: its name."""
    for protocol, tag in zip(("802.1ad", "802.1Q") if len(tags) == 2 else ("802.1Q",), tags):
        name = f"{port}.{tag}"
        host.ip(f"link add link {port} name {name} type vlan proto {protocol} id {tag}",
                f"link set {name} up")
        port = name
    return port


@pytest.fixture(scope="module")
def vlan_lab():
    with VlanLab("vlan") as lab:
        yield lab


@pytest.fixture(params=ROWS.values(), ids=ROWS)
def lab(vlan_lab, request):
    vlan_lab.untag()
    vlan_lab.tag(request.param)
    vlan_lab.reachable()
    yield from vlan_lab.fresh()


def in_tunnels(lab, capture):
    """How many IPv4 and IPv6 packets of ours, in their own family, were in that VLAN: a VLAN device
    is given frames that had its tags, and no others."""
    mac = bytes.fromhex(lab.lb.link()["address"].replace(":", ""))
    ours = [f[12:] for _, f in capture.frames if f[6:12] == mac]
    return (sum(f[:2] == b"\x08\x00" and f[11] == 4 for f in ours),
            sum(f[:2] == b"\x86\xdd" and f[8] == 41 for f in ours))


def arrived(lab):
    shown = json.loads(run("ip", "-n", lab.router.ns, "-j", "-s", "link", "show", lab.back).stdout)
    return shown[0]["stats64"]["rx"]["packets"]


def test_from_vlan_to_vlan(lab):
    lab.start()
    with Capture(lab.router, lab.back) as capture:
        assert_answers(lab, VIP4, VIP6)
    assert all(n > 4 * 60 for n in in_tunnels(lab, capture))
    for vip, name in (VIP4, "web"), (VIP6, "web6"):
        packets, there = lab.lb.service(name)["packets"], arrived(lab)
        assert_large(lab, vip)
        assert lab.lb.service(name)["packets"] > packets + FULL
        assert arrived(lab) > there + FULL
