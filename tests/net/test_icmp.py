# SPDX-License-Identifier: GPL-2.0-only
"""What goes wrong with paths, and how clients, backends and the balancer learn of it: ping, packets
that are too big for a tunnel, fragments, errors of routers about a flow.

    client -- router -- br0 -- lb1            every interface takes 1500 bytes, and so a full-sized
                         |                    packet of the client fits no tunnel
                        mid -- br1 -- web1..3   10.3.0.21.., fd00:3::21..
                    10.2.0.5, fd00:2::5

The route from mid to the backends can be made narrower.
"""
import collections
import contextlib
import filecmp
import json
import re
import socket
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from gateway import config, service
from lab import CLIENT4, CLIENT6, VIP4, VIP6, Capture, Echo, Host, Lab, family, run, until

BYTES = 10_000_000
UDP_PORT = 7000
MID = "10.2.0.5", "fd00:2::5"
FARM = "10.3.0.0/24", "fd00:3::/64"
WIDTH = 1500
FAMILIES = pytest.mark.parametrize("vip, nodes", [(VIP4, 4), (VIP6, 6), (VIP4, 6), (VIP6, 4)],
                                   ids=["4 in 4", "6 in 6", "4 in 6", "6 in 4"])
VIPS = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["v4", "v6"])


class Routed(Lab):
    """The backends are behind a router of their own."""

    mtu = WIDTH
    farm = 3

    def _wire(self):
        self.mid = Host(self, "mid")
        self.mid.addresses = MID
        self.mid.sysctl({"ipv4.ip_forward": 1, "ipv6.conf.all.forwarding": 1,
                         # Each packet that is too big is answered.
                         "ipv4.icmp_ratelimit": 0, "ipv6.icmp.ratelimit": 0})
        self.mid.ip(f"link add br1 mtu {WIDTH} address 02:00:00:00:03:01 type bridge "
                    "mcast_snooping 0",
                    "addr add 10.3.0.1/24 dev br1", "addr add fd00:3::1/64 dev br1",
                    "link set br1 up")
        super()._wire()
        self.router.cable("mid", self.mid, "eth0")
        self.mid.ip(f"addr add {MID[0]}/24 dev eth0", f"addr add {MID[1]}/64 dev eth0",
                    "route add default via 10.2.0.1", "route add default via fd00:2::1")
        self.router.ip("link set mid master br0")
        self.client.sysctl({"ipv4.icmp_ratelimit": 0, "ipv6.icmp.ratelimit": 0})
        self.router.sysctl({"ipv4.icmp_ratelimit": 0, "ipv6.icmp.ratelimit": 0})
        for host in self.router, self.lb:
            host.ip(*(f"route add {net} via {way}" for net, way in zip(FARM, MID)))

    def _plug(self, host, bridge="br0", owner=None):
        if host in self.webs:
            super()._plug(host, "br1", self.mid)
        else:
            super()._plug(host, bridge)


@pytest.fixture(scope="module")
def lab():
    with Routed("icmp", big=BYTES) as lab:
        lab.config = lab.dir / "gateway.yaml"
        yield lab


@contextlib.contextmanager
def serving(lab, vip, nodes, webs=None, **more):
    """The balancer starts anew: what it learned of paths before is forgotten. So do the hosts."""
    backends = {w.name: (w.addresses[nodes == 6], 100) for w in webs or lab.webs}
    text = config(service("web", vip, backends, **more),
                  service("udp", vip, backends, port=UDP_PORT, protocol="udp", check=None))
    lab.config.write_text(text)
    forget(lab)
    lab.lb.start(lab.config)
    try:
        lab.lb.wait_all(health="up", nexthop="resolved")
        with Echo(lab.webs, UDP_PORT) as echo:
            yield echo
    finally:
        lab.lb.daemon.stop()
        lab.lb.run("evenkeeld", "--detach")
        lab.lb.run("rm", "-rf", "/var/lib/evenkeel")


def forget(lab):
    for host in lab.client, *lab.webs:
        for version in "-4", "-6":
            run("ip", "-n", host.ns, version, "route", "flush", "cache")


@contextlib.contextmanager
def narrow(host, mtu, *ways):
    """Inside the block these routes of the host exist, and take so many bytes."""
    host.ip(*(f"route add {way} mtu lock {mtu}" for way in ways))
    try:
        yield
    finally:
        host.ip(*(f"route del {way}" for way in ways))


def to_farm(lab, *hops):
    """Routes to each backend: by these next hops, or interfaces, of both families."""
    return [f"{address} {hop}" for web in lab.webs for address, hop in zip(web.addresses, hops)]


def drops(lab):
    """How many packets were dropped and answered, by reason."""
    shown = json.loads(lab.lb.cli("-j", "drops").stdout)
    return collections.Counter({d["reason"]: d["packets"] for d in shown["drops"]}), \
        collections.Counter({a["answer"]: a["packets"] for a in shown["answers"]})


def upload(lab, vip):
    """10 MB through the balancer."""
    url = f"http://[{vip}]" if ":" in vip else f"http://{vip}"
    lab.client.run("curl", "-sSfg", "-m", "30", "-T", lab.big, f"{url}/up/big")
    (up,) = lab.dir.glob("*/up/big")
    assert filecmp.cmp(up, lab.big, shallow=False)
    up.unlink()


def path_mtu(host, address):
    """What the host knows of the way there."""
    shown = run("ip", "-n", host.ns, "route", "get", address).stdout
    found = re.search(r"\bmtu (\d+)", shown)
    return int(found[1]) if found else None


def errors(web):
    """How many ICMP errors of the kind "unreachable", with "fragmentation needed", and how many
    ICMPv6 "unreachable" and "packet too big" have reached a backend's stack."""
    with web.enter():
        icmp = [line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()
                if line.startswith("Icmp:")]
        icmp6 = dict(map(str.split, Path("/proc/thread-self/net/snmp6").read_text().splitlines()))
    return {VIP4: int(dict(zip(*icmp))["InDestUnreachs"]),
            VIP6: int(icmp6["Icmp6InDestUnreachs"]) + int(icmp6["Icmp6InPktTooBigs"])}


@VIPS
def test_ping(lab, vip, figure):
    with serving(lab, vip, 6 if ":" in vip else 4):
        source = (CLIENT6 if ":" in vip else CLIENT4)[3]
        for size in "0", "56", "1400":
            done = lab.client.run("ping", "-c", "10", "-i", "0.01", "-W", "2", "-s", size, "-I",
                                  source, vip)
            assert " 10 received, 0% packet loss" in done.stdout
        dropped, answered = drops(lab)
        figure(f"{answered['echo']} echo replies")
        assert answered["echo"] == 30 and not dropped["echo-off"]
        lab.lb.run("sed", "-i", "$ a icmp: {echo: false}", lab.config)
        lab.lb.cli("reload")
        done = lab.client.run("ping", "-c", "5", "-i", "0.01", "-W", "0.2", vip, check=False)
        assert " 0 received" in done.stdout
        dropped, answered = drops(lab)
        assert (answered["echo"], dropped["echo-off"]) == (30, 5)


@pytest.mark.parametrize("width", [1500, 1400])
@FAMILIES
def test_upload_that_does_not_fit_the_tunnel(lab, vip, nodes, width, figure):
    """The path to the backends is known to be too narrow: clients are told."""
    ways = to_farm(lab, *(f"via {address}" for address in MID))
    with narrow(lab.lb, width, *ways), serving(lab, vip, nodes):
        upload(lab, vip)
        dropped, answered = drops(lab)
        figure(f"{answered['too-big']} times too big, "
               f"and the client knows that {path_mtu(lab.client, vip)} bytes fit")
        assert answered["too-big"] and dropped["too-big"] >= answered["too-big"]
        assert path_mtu(lab.client, vip) == width - (20 if nodes == 4 else 40)
        assert not answered["too-big-inside"]


@FAMILIES
def test_mss(lab, vip, nodes, figure):
    """Segments of backends are then as large as they would have to be on the way to them. (That of
    the client's is the backends' to say.)"""
    with serving(lab, vip, nodes, mss="auto"), contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Capture(lab.mid, web.name)) for web in lab.webs]
        upload(lab, vip)
    frames = [Ether(f) for wire in wires for _, f in wire.frames[:200]]
    # Those in a tunnel, not the health checks.
    offers = {value for f in frames if isinstance(f.payload.payload, (IP, IPv6))
              and f.haslayer(TCP) and f[TCP].flags == "S"
              for name, value in f[TCP].options if name == "MSS"}
    figure(f"the clients' SYNs reached the backends with MSS {offers}")
    assert offers == {WIDTH - (20 if nodes == 4 else 40) - (60 if ":" in vip else 40)}


@FAMILIES
def test_upload_over_a_path_that_only_a_router_knows(lab, vip, nodes, figure):
    """The router between the balancer and the backends says what fits, to the balancer; what comes
    of it is the client's."""
    fits = 1400 - (20 if nodes == 4 else 40)
    with narrow(lab.mid, 1400, *to_farm(lab, "dev br1", "dev br1")), \
         serving(lab, vip, nodes, lab.webs[:1]):
        upload(lab, vip)
        _, first = drops(lab)
        assert first["too-big-inside"] and path_mtu(lab.client, vip) == fits
        # From now on the balancer tells what it has learned.
        lab.lb.daemon.expect("a router on the way takes 1400 bytes at a time, not 1500")
        forget(lab)
        upload(lab, vip)
        _, both = drops(lab)
        second = both - first
        figure(f"told after a router {first['too-big-inside']} times, at once "
               f"{first['too-big']} times; then {second['too-big-inside']} and "
               f"{second['too-big']} times; the client knows that {fits} bytes fit")
        assert path_mtu(lab.client, vip) == fits
        assert second["too-big"] and not second["too-big-inside"]


@VIPS
def test_download_to_a_client_behind_a_narrow_path(lab, vip, figure):
    """The clients' router tells the VIP, which the balancer is, and the backend must hear of it."""
    six = ":" in vip
    client = (CLIENT6 if six else CLIENT4)[0]
    url = f"http://[{vip}]" if six else f"http://{vip}"
    with narrow(lab.router, 1300, f"{client} dev client"), serving(lab, vip, 6 if six else 4):
        before = {w.name: errors(w)[vip] for w in lab.webs}
        down = lab.dir / "down"
        lab.client.run("curl", "-sSfg", "-m", "30", "--interface", client, "-o", down,
                       f"{url}/big")
        told = {w.name: errors(w)[vip] - before[w.name] for w in lab.webs}
        knows = [w.name for w in lab.webs if path_mtu(w, client) == 1300]
        figure(f"errors that reached backends: {told}; know of 1300 bytes: {knows}")
        assert filecmp.cmp(down, lab.big, shallow=False)
        assert [n for n, count in told.items() if count] == knows and len(knows) == 1


@VIPS
def test_fragments(lab, vip, figure):
    """Datagrams of 4000 bytes, in fragments that fit the tunnel, come back whole."""
    six = ":" in vip
    way = f"{vip} via {'fd00:1::1' if six else '10.1.0.1'}"
    with narrow(lab.client, 1400, way), serving(lab, vip, 6 if six else 4) as echo:
        answers = collections.Counter(
            Echo.ask(lab.client, vip, UDP_PORT, bytes([n]) * 4000, source)
            for n in range(5) for source in (CLIENT6 if six else CLIENT4))
        (udp,) = [s for s in lab.lb.status()["services"] if s["name"] == "udp"]
        dropped, _ = drops(lab)
        figure(f"heard {sum(echo.heard.values())}, answered by {dict(answers)}, "
               f"{udp['packets']} fragments, dropped {dict(+dropped)}")
        assert set(answers) == {"web1", "web2", "web3"} and not +dropped
        assert udp["packets"] == 3 * 40


@pytest.mark.parametrize("who", ["the client", "a router"])
@VIPS
def test_errors_about_a_flow_reach_its_backend(lab, vip, who, figure):
    """Answers to datagrams that nobody awaits (port unreachable), or to a network that is not there
    (host unreachable)."""
    six = ":" in vip
    layer, head = (IPv6, 40) if six else (IP, 20)
    source = (CLIENT6 if six else CLIENT4)[1]
    with contextlib.ExitStack() as stack:
        if who == "a router":
            source = "fd00:1::99" if six else "10.1.0.99"
            stack.enter_context(refused(lab, source))
        echo = stack.enter_context(serving(lab, vip, 6 if six else 4))
        before = {w.name: errors(w)[vip] for w in lab.webs}
        with lab.client.enter(), socket.socket(family(vip), socket.SOCK_RAW,
                                               socket.IPPROTO_UDP) as raw:
            raw.bind((source, 0))
            for port in range(20000, 20030):
                packet = layer(src=source, dst=vip) / UDP(sport=port, dport=UDP_PORT) / b"?"
                raw.sendto(bytes(packet)[head:], (vip, 0))
        until(lambda: sum(echo.heard.values()) == 30, 5, lambda: f"answers: {echo.heard}")
        heard = {w.name: echo.heard[w.name, source] for w in lab.webs}

        def told():
            return {w.name: errors(w)[vip] - before[w.name] for w in lab.webs}
        until(lambda: told() == heard, 5, lambda: f"{heard}, and errors {told()}, {drops(lab)}")
        figure(f"answers {heard}, errors about them {told()}")
        assert min(heard.values()) > 0


@contextlib.contextmanager
def refused(lab, address):
    """The client has this address, but its router says that there is no such host."""
    six = ":" in address
    table = f"{'ip6' if six else 'ip'} no"
    reject = "icmpv6 type addr-unreachable" if six else "icmp type host-unreachable"
    lab.client.ip(f"addr add {address}/{64 if six else 24} dev eth0")
    lab.router.run("nft", f"table {table} {{ chain way {{ type filter hook forward priority 0; "
                          f"{table[:-3]} daddr {address} reject with {reject}; }}; }}")
    try:
        yield
    finally:
        lab.router.run("nft", f"delete table {table}")
        lab.client.ip(f"addr del {address}/{64 if six else 24} dev eth0")
