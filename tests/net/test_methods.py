# SPDX-License-Identifier: GPL-2.0-only
"""Every method of forwarding, in every pair of families: requests, 10 MB down and up, UDP there and
back; and what the frames look like that reach a backend."""
import collections
import contextlib
import filecmp
import ipaddress
import itertools
from typing import Callable, NamedTuple

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

import receivers
from gateway import FILE, config, pools, service
from lab import CLIENT4, CLIENT6, NGINX, VIP4, VIP6, Capture, Echo, Lab, until
from load import Load

SOURCES = CLIENT4 + CLIENT6
BYTES = 10_000_000
EVEN = {1: 100, 2: 100, 3: 100}
# Each test has its own: UDP flows of one before it are remembered, with the backends of that one.
UDP_PORTS = itertools.count(7000)
# Where clients' packets come in when the balancer has two interfaces.
FRONT = "10.4.0.10", "fd00:4::10"


class Row(NamedTuple):
    forward: str
    vip: str
    nodes: int  # the family of the backends' addresses
    receiver: Callable  # see receivers.py
    more: dict = {}  # further keys of the service


GUE_ELSEWHERE = receivers.agent("--gue-port", "6666")


def gue(variant, port=6080):
    return {"gue": f"{{port: {port}, variant: {variant}}}"}


ROWS = {
    "ipip, 4 in 4": Row("ipip", VIP4, 4, receivers.agent()),
    "ipip, 6 in 6": Row("ipip", VIP6, 6, receivers.agent()),
    "ipip, 4 in 6": Row("ipip", VIP4, 6, receivers.agent()),
    "ipip, 6 in 4": Row("ipip", VIP6, 4, receivers.agent()),
    "gue, 4 in 4": Row("gue", VIP4, 4, receivers.agent(), gue(0)),
    "gue, 6 in 6": Row("gue", VIP6, 6, receivers.agent(), gue(0)),
    "gue, 4 in 6": Row("gue", VIP4, 6, GUE_ELSEWHERE, gue(0, 6666)),
    "gue, 6 in 4": Row("gue", VIP6, 4, GUE_ELSEWHERE, gue(0, 6666)),
    "gue direct, 4 in 4": Row("gue", VIP4, 4, receivers.agent(), gue(1)),
    "gue direct, 6 in 6": Row("gue", VIP6, 6, receivers.agent(), gue(1)),
    "gue direct, 4 in 6": Row("gue", VIP4, 6, GUE_ELSEWHERE, gue(1, 6666)),
    "gue direct, 6 in 4": Row("gue", VIP6, 4, GUE_ELSEWHERE, gue(1, 6666)),
    "tos, v4": Row("tos", VIP4, 4, receivers.agent("--dscp", f"5={VIP4}"), {"tos": 5}),
    "tos, v6": Row("tos", VIP6, 6, receivers.agent("--dscp", f"5={VIP6}"), {"tos": 5}),
    "tos, v4, nftables": Row("tos", VIP4, 4, receivers.dscp(63), {"tos": 63}),
    "tos, v6, nftables": Row("tos", VIP6, 6, receivers.dscp(63), {"tos": 63}),
    "l2, v4": Row("l2", VIP4, 4, receivers.nothing),
    "l2, v6": Row("l2", VIP6, 6, receivers.nothing),
}
TWO_NICS = ["ipip, 4 in 4", "ipip, 6 in 6", "gue direct, 6 in 4", "tos, v6", "l2, v4"]


@pytest.fixture(scope="module")
def lab():
    with Lab("methods", big=BYTES) as lab:
        lab.config = lab.dir / "gateway.yaml"
        lab.config.write_text(FILE.read_text())
        lab.lb.start(lab.config)
        yield lab


@pytest.fixture(scope="module")
def front(lab):
    """Another interface of the balancer, for the clients' side."""
    lab.router.cable("front", lab.lb, "eth1")
    lab.router.before_xdp("front")
    lab.router.ip("addr add 10.4.0.1/24 dev front", "addr add fd00:4::1/64 dev front")
    lab.lb.ip(f"addr add {FRONT[0]}/24 dev eth1", f"addr add {FRONT[1]}/64 dev eth1")
    for address in FRONT:
        until(lambda a=address: lab.router.reaches(a), 10, f"{address} answers")


@pytest.fixture
def two_nics(lab, front):
    route(lab, FRONT)
    yield lab
    route(lab, lab.lb.addresses)


def route(lab, addresses):
    """The way to the VIPs."""
    lab.router.ip(f"route replace {VIP4}/32 via {addresses[0]}",
                  f"route replace {VIP6}/128 via {addresses[1]}")


@contextlib.contextmanager
def serving(lab, row, text, udp):
    """The services run, the backends can take their packets."""
    with receivers.received_by(row.receiver, lab, row.vip), Echo(lab.webs, udp):
        lab.config.write_text(text)
        lab.lb.cli("reload")
        lab.lb.wait_all(health="up", nexthop="resolved")
        yield


def services(row, udp, backends=None):
    """HTTP and UDP of one VIP."""
    backends = backends or pools(EVEN)[row.nodes == 6]
    text = config(service("web", row.vip, backends, **row.more),
                  service("udp", row.vip, backends, port=udp, protocol="udp",
                          check=None, **row.more))
    return text.replace("forward: ipip", f"forward: {row.forward}")


def traffic(lab, row, udp, figure, names=("web1", "web2", "web3")):
    """Requests from all the clients' addresses, UDP, and full-sized packets: down, past the
    balancer, and up, through it. Returns the frames on web1's cable."""
    before = counters(lab)
    with Capture(lab.router, "web1") as capture:
        with Load(lab.client, [row.vip], SOURCES, count=60) as load:
            load.finish()
        answers = collections.Counter(Echo.ask(lab.client, row.vip, udp, bytes([n]) * 1400)
                                      for n in range(30))
    large(lab, row.vip)
    packets = {key: n - before[key] for key, n in counters(lab).items()}
    figure(f"{load}; UDP answered by {dict(answers)}; packets to "
           + ", ".join(f"{name} {n} {protocol}" for (protocol, name), n in packets.items()))
    assert len(load.requests) == 60 and not load.failures
    assert set(load.answers()) == set(answers) == set(names)
    # Of 10 MB up, if not down.
    assert sum(n for (protocol, _), n in packets.items() if protocol == "tcp") > 7000
    assert sum(n for (protocol, _), n in packets.items() if protocol == "udp") == 30
    assert all(packets.values())
    return [frame for _, frame in capture.frames]


def counters(lab):
    return {(s["protocol"], b["name"]): b["packets"] for s in lab.lb.status()["services"]
            for b in s["backends"] if not b["retired"]}


def large(lab, vip):
    url = f"http://[{vip}]" if ":" in vip else f"http://{vip}"
    down = lab.dir / "down"
    lab.client.run("curl", "-sSfg", "-m", "30", "-o", down, f"{url}/big")
    lab.client.run("curl", "-sSfg", "-m", "30", "-T", lab.big, f"{url}/up/big")
    (up,) = lab.dir.glob("*/up/big")
    assert filecmp.cmp(down, lab.big, shallow=False) and filecmp.cmp(up, lab.big, shallow=False)
    up.unlink()


def passed_on(lab, frames):
    """The clients' packets as the balancer sent them: not its health checks and solicitations."""
    mac = lab.lb.link()["address"]
    packets = [f.payload for f in map(Ether, frames)
               if f.src == mac and isinstance(f.payload, (IP, IPv6))]
    return [p for p in packets if p.src in SOURCES or isinstance(p.payload, (IP, IPv6, UDP))]


def assert_method(lab, row, frames, figure):
    """Each of the frames that reached web1 is as the method says."""
    packets, ports = passed_on(lab, frames), set()
    for packet in packets:
        assert packet.version == row.nodes
        assert packet.dst == (row.vip if row.forward == "l2"
                              else lab.webs[0].addresses[row.nodes == 6])
        tos = packet.tc if row.nodes == 6 else packet.tos
        assert tos >> 2 == row.more.get("tos", 0)
        inner = packet
        if row.forward in ("ipip", "gue"):
            assert packet.src == lab.lb.addresses[row.nodes == 6]
            inner = packet.payload
        if row.forward == "gue":
            udp = packet.payload
            ports.add(udp.sport)
            assert f"port: {udp.dport}," in row.more["gue"]
            inner = inside_gue(row, bytes(udp.payload))
        assert inner.src in SOURCES and isinstance(inner.payload, (TCP, UDP))
        assert inner.dst == (packet.dst if row.forward == "tos" else row.vip)
    figure(f"{len(packets)} frames of the method reached web1"
           + (f", with {len(ports)} source ports" if ports else ""))
    assert len(packets) > 50 and (row.forward != "gue" or len(ports) > 10)


def inside_gue(row, data):
    layer, protocol = (IPv6, 41) if ":" in row.vip else (IP, 4)
    if "variant: 1" in row.more["gue"]:
        return layer(data)
    assert data[:4] == bytes([0, protocol, 0, 0])
    return layer(data[4:])


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_method(lab, row, figure):
    udp = next(UDP_PORTS)
    with serving(lab, row, services(row, udp), udp):
        assert_method(lab, row, traffic(lab, row, udp, figure), figure)


@pytest.mark.parametrize("row", [ROWS[r] for r in TWO_NICS], ids=TWO_NICS)
def test_in_by_one_interface_and_out_by_another(two_nics, row, figure):
    lab, udp = two_nics, next(UDP_PORTS)
    text = services(row, udp).replace("  - name: eth0\n", "  - name: eth0\n  - name: eth1\n", 1)
    before = receivers.packets(lab.router, "front", "tx")
    with serving(lab, row, text, udp):
        assert_method(lab, row, traffic(lab, row, udp, figure), figure)
    came = receivers.packets(lab.router, "front", "tx") - before
    figure(f"{came} packets came in by eth1")
    assert came > 7000


@pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["v4", "v6"])
def test_local(lab, vip, figure):
    """The balancer is its own backend: its nginx answers, by its own stack."""
    lb, udp = lab.lb, next(UDP_PORTS)
    conf = lb.dir / "nginx.conf"
    conf.write_text(NGINX.format(name=lb.name, dir=lb.dir, big=lab.big))
    (lb.dir / "up").mkdir(exist_ok=True)
    row = Row("local", vip, 6 if ":" in vip else 4, None)
    here = {lb.name: (lb.addresses[row.nodes == 6], 100)}
    prefix = ipaddress.ip_network(vip).with_prefixlen
    lb.ip(f"addr add {prefix} dev lo")
    nginx = lb.popen("nginx", "-e", "stderr", "-c", conf)
    try:
        lab.config.write_text(services(row, udp, here))
        lb.cli("reload")
        lb.wait_all(health="up")
        with Echo([lb], udp):
            frames = traffic(lab, row, udp, figure, {lb.name})
        assert not passed_on(lab, frames)
    finally:
        nginx.stop()
        lb.ip(f"addr del {prefix} dev lo")
