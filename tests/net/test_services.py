# SPDX-License-Identifier: GPL-2.0-only
"""What a service may be: prefixes, ranges of ports, any port, several protocols, both families; and
which of several that fit a packet it belongs to."""
import collections
import contextlib
import ipaddress
import socket
import time

import pytest

from gateway import config, fixed_key, pools, service
from lab import CLIENT4, CLIENT6, VIP4, VIP6, Echo, Lab, family, until
from load import Load

CLIENTS = {4: CLIENT4, 6: CLIENT6}
NETS = "192.0.2.0/24", "2001:db8::/64", "198.51.100.0/24", "2001:db8:100::/64"
HOSTING = "198.51.100.16/28", "2001:db8:100::/64"
SINGLE = "198.51.100.20", "2001:db8:100::20"
OTHER = {4: "192.0.2.70", 6: "2001:db8::70"}
BOTH = f'[{VIP4}, "{VIP6}"]'
VIPS = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["v4", "v6"])
GRE, ESP = 47, 50
CHECK = "{type: tcp, port: 80, interval: 100ms, timeout: 100ms, fall: 5}"


@pytest.fixture(scope="module")
def lab():
    """The networks of VIPs lead to the balancer and are the backends' own."""
    with Lab("services", big=1000) as lab:
        four, six = lab.lb.addresses
        lab.router.ip(*(f"route add {net} via {six if ':' in net else four}" for net in NETS))
        for web in lab.webs:
            web.agent.stop()
            web.ip(*(f"route add local {net} dev lo" for net in NETS))
            web.start_agent([])
            web.wait()
        lab.config = lab.dir / "gateway.yaml"
        lab.config.write_text(text(lab, service("web", VIP4, some(1))))
        lab.lb.start(lab.config)
        yield lab


def text(lab, *services):
    return f"hash-key: {fixed_key(lab)}\n" + config(*services)


def configure(lab, *services):
    lab.config.write_text(text(lab, *services))
    lab.lb.cli("reload")
    lab.lb.wait_all(health="up", nexthop="resolved")


def some(*numbers):
    """Backends, by their IPv4 addresses, which take both families' packets."""
    return pools({n: 100 for n in numbers})[0]


def listed(addresses):
    return "[" + ", ".join(f'"{a}"' for a in addresses) + "]"


def get(lab, vip, port=80, source=""):
    """Which backend answers a request over TCP."""
    with lab.client.enter(), socket.socket(family(vip)) as sock:
        sock.settimeout(5)
        sock.bind((source, 0))
        sock.connect((vip, port))
        sock.send(b"GET / HTTP/1.0\r\n\r\n")
        data = b""
        while more := sock.recv(4096):
            data += more
    return data.decode().split()[-1]


def packets(lab):
    return {s["name"]: s["packets"] for s in lab.lb.status()["services"]}


def test_the_longest_prefix(lab, figure):
    configure(lab, service("hosting", listed(HOSTING), some(1, 2), port="any", check=CHECK),
              service("single", listed(SINGLE), some(3), check=CHECK),
              service("wide", "198.51.100.0/24", some(3), check=CHECK))
    network4, network6 = map(ipaddress.ip_network, HOSTING)
    answers = {str(a): get(lab, str(a)) for a in [*network4, *(network6[n] for n in
                                                             (0, 1, 0x20, 0x21, 1 << 40, -1))]}
    elsewhere = collections.Counter(get(lab, SINGLE[0], 8080) for _ in range(20))
    outside = get(lab, "198.51.100.32"), get(lab, "198.51.100.15")
    counts = packets(lab)
    figure(f"{answers}; another port of the single one: {dict(elsewhere)}; packets {counts}")
    assert {answers.pop(a) for a in SINGLE} == {"web3"}
    assert set(answers.values()) == {"web1", "web2"} == set(elsewhere)
    assert outside == ("web3", "web3")
    # Six or so for each request.
    assert counts["hosting"] > 150 and counts["single"] >= 10 and counts["wide"] >= 10


@VIPS
def test_one_port_comes_before_a_range_and_that_before_any(lab, vip, figure):
    configure(lab, service("any", BOTH, some(1), port="any", protocol="udp", check=None),
              service("range", BOTH, some(2), port="7000-7009", protocol="udp", check=None),
              service("narrower", BOTH, some(3), port="7004-7006", protocol="udp", check=None),
              service("one", BOTH, some(1), port=7005, protocol="udp", check=None))
    expected = {6999: "web1", 7000: "web2", 7003: "web2", 7004: "web3", 7005: "web1",
                7006: "web3", 7007: "web2", 7009: "web2", 7010: "web1", 65535: "web1"}
    before = packets(lab)
    with contextlib.ExitStack() as stack:
        for port in expected:
            stack.enter_context(Echo(lab.webs, port))
        answers = {port: Echo.ask(lab.client, vip, port) for port in expected}
    counts = {name: n - before[name] for name, n in packets(lab).items()}
    figure(f"{answers}; packets {counts}")
    assert answers == expected
    assert counts == {"any": 3, "range": 4, "narrower": 2, "one": 1}


@VIPS
def test_a_client_meets_one_backend_over_tcp_and_udp(lab, vip, figure):
    configure(lab, service("dns", BOTH, some(1, 2, 3), protocol="tcp+udp", method="source-hash",
                           check=CHECK).replace("    method: maglev\n", ""))
    with Echo(lab.webs, 80):
        answers = {client: ({get(lab, vip, source=client) for _ in range(3)},
                            {Echo.ask(lab.client, vip, 80, source=client) for _ in range(3)})
                   for client in CLIENTS[6 if ":" in vip else 4]}
    figure(", ".join(f"{client} with {'/'.join(tcp)}" for client, (tcp, _) in answers.items()))
    assert all(tcp == udp and len(tcp) == 1 for tcp, udp in answers.values())
    assert len({name for tcp, _ in answers.values() for name in tcp}) > 1


def test_one_service_of_both_families(lab, figure):
    configure(lab, service("web", BOTH, some(1, 2, 3), check=CHECK))
    before = packets(lab)["web"]
    counts = {}
    for vip in VIP4, VIP6:
        with Load(lab.client, [vip], CLIENTS[6 if ":" in vip else 4], count=60) as load:
            load.finish()
        assert len(load.requests) == 60 and not load.failures
        counts[vip] = load.answers()
    (shown,) = lab.lb.status()["services"]
    figure(f"{ {vip: dict(sorted(c.items())) for vip, c in counts.items()} }; "
           f"{shown['packets'] - before} packets of one service, {len(shown['backends'])} backends")
    assert all(set(c) == {"web1", "web2", "web3"} for c in counts.values())
    assert shown["addresses"] == [VIP4, VIP6] and shown["packets"] - before >= 5 * 120


class Receivers:
    """Raw sockets of every backend for a protocol: who got packets of it, by their source."""

    def __init__(self, lab, vip, protocol):
        self.sockets = {}
        for web in lab.webs:
            with web.enter():
                self.sockets[web.name] = socket.socket(family(vip), socket.SOCK_RAW, protocol)
            self.sockets[web.name].setblocking(False)
        self.got = collections.Counter()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in self.sockets.values():
            sock.close()

    def count(self):
        for name, sock in self.sockets.items():
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.got[name, sock.recvfrom(2048)[1][0]] += 1
        return sum(self.got.values())


@pytest.mark.parametrize("version", [4, 6], ids=["v4", "v6"])
def test_any_protocol_goes_by_the_client(lab, version, figure):
    vip, clients = OTHER[version], CLIENTS[version]
    vpn = service("vpn", f'[{OTHER[4]}, "{OTHER[6]}"]', some(1, 2, 3), port="any", protocol="any",
                   check=CHECK)
    configure(lab, vpn.replace("    method: maglev\n", ""))
    met = collections.defaultdict(set)
    before = packets(lab)["vpn"]
    for protocol in GRE, ESP:
        with Receivers(lab, vip, protocol) as receivers:
            for client in clients:
                with lab.client.enter(), socket.socket(family(vip), socket.SOCK_RAW,
                                                       protocol) as raw:
                    raw.bind((client, 0))
                    for n in range(5):
                        # Not a valid header of it, and different where ports would be.
                        raw.sendto(bytes([0, n]) * 20, (vip, 0))
            until(lambda: receivers.count() == 40, 5, lambda: f"40 packets: {receivers.got}")
        for (name, client), n in receivers.got.items():
            met[client].add(name)
            assert n == 5
    with Echo(lab.webs, 4500):
        for client in clients:
            met[client] |= {Echo.ask(lab.client, vip, 4500, source=client) for _ in range(3)}
            met[client].add(get(lab, vip, source=client))
    counted = packets(lab)["vpn"] - before
    figure(f"{ {client: '/'.join(sorted(names)) for client, names in met.items()} }; "
           f"{counted} packets")
    assert all(len(met[client]) == 1 for client in clients)
    assert len(set().union(*met.values())) > 1
    assert counted >= 2 * 40 + 8 * 3 + 8 * 4


def under_load(lab, changes, figure):
    """Configurations follow each other; connections to port 80 of both VIPs do not notice."""
    def flows():
        then = packets(lab)["web"]
        until(lambda: packets(lab)["web"] > then + 200, 10, "traffic flows")

    configure(lab, *changes[-1][0])
    before = lab.client.counter("RetransSegs")
    with Load(lab.client, [VIP4, VIP6], CLIENT4 + CLIENT6, workers=4, sessions=40,
              pause=0.002) as load:
        flows()
        for services, reached in changes:
            configure(lab, *services)
            assert {get(lab, *where) for where in reached} <= {"web1", "web2", "web3"}
            flows()
        ended = time.monotonic()
        flows()
    lost = lab.client.counter("RetransSegs") - before
    sessions = collections.Counter(r.kind for r in load.requests)["session"]
    figure(f"{len(changes)} reloads: {load}; {sessions} in 40 sessions, {lost} retransmissions")
    assert sessions > 200 and not load.failures and not lost
    assert {r.answer for r in load.requests if r.start > ended} == {"web1", "web2", "web3"}


def test_addresses_come_and_go_under_load(lab, figure):
    """Those of a live service: its other addresses stay as they are."""
    net4, net6 = "192.0.2.128/25", "2001:db8:0:0:8000::/65"

    def web(*more):
        return [service("web", listed([VIP4, VIP6, *more]), some(1, 2, 3), check=CHECK)]
    under_load(lab, [(web(OTHER[4]), [(OTHER[4], 80)]),
                     (web(OTHER[4], OTHER[6]), [(OTHER[4], 80), (OTHER[6], 80)]),
                     (web(OTHER[6], net4), [(OTHER[6], 80), ("192.0.2.200", 80)]),
                     (web(net4, net6), [("192.0.2.200", 80), ("2001:db8::8000:0:0:1", 80)]),
                     (web(), [])], figure)
    assert [s["addresses"] for s in lab.lb.status()["services"]] == [[VIP4, VIP6]]


def test_ports_come_and_go_under_load(lab, figure):
    """Those of another service of the same addresses, ranges around the port of the first among
    them."""
    def both(port):
        return [service("web", BOTH, some(1, 2, 3), check=CHECK),
                service("more", BOTH, some(1, 2), port=port, check=CHECK)]
    under_load(lab, [(both(8080), [(VIP4, 8080)]), (both("8000-8080"), [(VIP4, 8080)]),
                     (both("10-8090"), [(VIP4, 8080)]), (both("any"), [(VIP4, 8080)]),
                     (both("any")[:1], []),
                     (both("79-81"), [])], figure)


def test_a_live_service_gets_a_range(lab, figure):
    """It is a new service by that, with backends that are known to be well, and the same ring."""
    def web(port):
        return [service("web", BOTH, some(1, 2, 3), port=port, check=CHECK)]
    under_load(lab, [(web("80-90"), []), (web(80), []), (web("80-100"), []), (web(80), [])], figure)
