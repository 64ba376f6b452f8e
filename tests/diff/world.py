# SPDX-License-Identifier: GPL-2.0-only
"""A data plane with a service of every kind, and frame_server, which runs frames through it.

Each service has one backend, so that it is never in question which of them a packet goes to: that
is for the tests of rings and of the connection table.
"""
import ipaddress
import os
import subprocess
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SERVER = TOP / os.environ.get("B", "build") / "tests/bpf/frame_server"

# enum ek_forward, by method and the family of the backend.
IPIP, GUE, TOS, L2, LOCAL = "ipip", "gue", "tos", "l2", "local"
FORWARD = {(IPIP, 4): 1, (IPIP, 6): 6, (GUE, 4): 2, (GUE, 6): 7, (TOS, 4): 3, (TOS, 6): 3,
           (L2, 4): 4, (L2, 6): 4, (LOCAL, 4): 5, (LOCAL, 6): 5}
RESOLVED, ALIVE = 1, 2
PORTLESS = 1 << 6

TCP, UDP = 6, 17
OWN_PORT = 3
OWN_MAC = bytes.fromhex("020000000001")
CLIENT_MAC = bytes.fromhex("02cccccccc01")
VIP = {4: "192.0.2.10", 6: "2001:db8::10"}
OTHER = {4: "192.0.2.99", 6: "2001:db8::99"}
CLIENT = {4: "198.51.100.7", 6: "2001:db8:1::7"}
GUE_PORT = 6080


@dataclass(frozen=True)
class Port:
    number: int
    interface: int  # ports with tags are VLANs on one
    mac: bytes
    source: dict  # by family, text
    tags: tuple = ()


@dataclass(frozen=True)
class Backend:
    address: str
    mac: bytes
    method: str = IPIP
    port: int = OWN_PORT
    flags: int = RESOLVED | ALIVE
    mtu: int = 1500
    dscp: int = 0
    gue_header: int = 4

    @cached_property
    def family(self):
        return ipaddress.ip_address(self.address).version

    @cached_property
    def packed(self):
        return ipaddress.ip_address(self.address).packed


@dataclass(frozen=True)
class Service:
    """Of an address or a prefix; one port, a range of them, any (0 to 65535) or none (portless)."""
    id: int
    name: str
    vip: str
    backend: Backend
    first: int = 80
    last: int = 0  # 0: as the first
    protocols: tuple = (TCP, UDP)  # 0: any
    mss: int = 0
    varied: tuple = ("-", 0)  # outer source and how many bits of it vary

    @cached_property
    def network(self):
        return ipaddress.ip_network(self.vip)

    @cached_property
    def wild(self):
        whole = self.network.prefixlen == self.network.max_prefixlen
        return not whole or self.last != 0 or 0 in self.protocols

    @cached_property
    def portless(self):
        return 0 in self.protocols

    @cached_property
    def length128(self):
        return self.network.prefixlen + 128 - self.network.max_prefixlen


class World:
    """What the data plane knows."""

    def __init__(self, ports, services, echo_rate=10 ** 9, error_rate=10 ** 9):
        self.ports = {p.number: p for p in ports}
        self.services = {s.id: s for s in services}
        self.rates = echo_rate, error_rate
        self.exact = {(s.network.network_address.packed, protocol, s.first): s
                      for s in services if not s.wild for protocol in s.protocols}
        self.vips = {s.network.network_address.packed for s in services if not s.wild}
        self.wild = [s for s in services if s.wild]
        self.networks = sorted({s.network for s in self.wild}, key=lambda n: (n.version, n))

    def rules_of(self, network):
        """Those of the network and then those of shorter prefixes that cover it."""
        covering = [s for s in self.wild if s.network.version == network.version
                    and s.network.supernet_of(network)]
        return sorted(covering, key=lambda s: -s.network.prefixlen)

    def lines(self):
        yield "clear"
        yield "settings %d %d" % self.rates
        for p in self.ports.values():
            tags = list(p.tags) + [0, 0]
            yield (f"port {p.number} {p.interface} {p.mac.hex()} {p.source.get(4, '-')}"
                   f" {p.source.get(6, '-')} {tags[0]} {tags[1]}")
        rules = {}
        for s in self.services.values():
            yield from self.service_lines(s, rules)
        for network in self.networks:
            numbers = [rules[s.id, protocol] for s in self.rules_of(network)
                       for protocol in s.protocols]
            yield (f"covered {network.network_address}"
                   f" {network.prefixlen + 128 - network.max_prefixlen} "
                   + " ".join(map(str, numbers)))

    @staticmethod
    def service_lines(s, rules):
        b, flags = s.backend, PORTLESS if s.portless else 0
        yield (f"backend {s.id} {b.address} {b.mac.hex()} {b.port} {b.flags}"
               f" {FORWARD[b.method, b.family]} {b.mtu} {b.dscp << 2} {GUE_PORT} {b.gue_header}")
        for protocol in s.protocols:
            if s.wild:
                rules[s.id, protocol] = len(rules)
                yield (f"wildcard {s.id} {rules[s.id, protocol]} {s.network.network_address}"
                       f" {s.length128} {s.first} {s.last or s.first} {protocol} {flags} {s.mss}")
            else:
                yield (f"service {s.id} {s.vip} {s.first} {protocol} {flags} {s.mss}"
                       f" {s.varied[0]} {s.varied[1]}")


@dataclass(frozen=True)
class Outcome:
    """What was seen, or is expected, of a frame. `backends`: (id, bytes) as counted."""
    verdict: str
    drops: tuple
    answers: tuple
    backends: tuple
    frame: bytes


PIPE = 65536
VERDICTS = ["ABORTED", "DROP", "PASS", "TX", "REDIRECT"]


class Server:
    def __init__(self):
        self.process = subprocess.Popen([SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=30)

    def say(self, lines):
        self.process.stdin.write("".join(line + "\n" for line in lines).encode())
        self.process.stdin.flush()

    def frames(self, frames):
        """What becomes of them, in order; never more at once than the pipes hold."""
        outcomes, lines, size = [], [], 0
        for frame in frames:
            lines.append("frame " + frame.hex())
            size += len(lines[-1])
            if size > PIPE // 4:
                outcomes += self._ask(lines)
                lines, size = [], 0
        return outcomes + self._ask(lines)

    def _ask(self, lines):
        self.say(lines)
        return [self._answer() for _ in lines]

    def _answer(self):
        line = self.process.stdout.readline().decode()
        if not line:
            raise RuntimeError("frame_server has ended")
        verdict, drops, answers, backends, out = line.split(" ")

        def items(text):
            return () if text == "-" else tuple(text.split(","))
        return Outcome(VERDICTS[int(verdict)], items(drops), items(answers),
                       tuple(tuple(map(int, b.split("/"))) for b in items(backends)),
                       bytes.fromhex(out))


# --- the usual world -----------------------------------------------------------------------------

def usual_world():
    ports = [
        Port(OWN_PORT, 1, OWN_MAC, {4: "10.0.0.1", 6: "2001:db8:ff::1"}),
        Port(7, 2, bytes.fromhex("020000000007"), {4: "10.7.0.1", 6: "2001:db8:ff:7::1"}),
        Port(8, 1, bytes.fromhex("020000000008"), {4: "10.8.0.1", 6: "2001:db8:ff:8::1"}, (5,)),
        Port(9, 2, bytes.fromhex("020000000009"), {4: "10.9.0.1", 6: "2001:db8:ff:9::1"},
             (100, 200)),
        Port(10, 3, bytes.fromhex("02000000000a"), {}),
    ]
    services = []

    def add(name, vip, family=4, first=80, last=0, protocols=(TCP, UDP), mss=0, varied=("-", 0),
            **backend):
        n = len(services) + 1
        address = f"10.0.255.{n}" if family == 4 else f"2001:db8:b::{n:x}"
        services.append(Service(n, name, vip, Backend(address, bytes.fromhex(f"02bbbbbbbb{n:02x}"),
                                                      **backend),
                                first, last, protocols, mss, varied))

    for v, vip in VIP.items():
        w = 10 - v
        add(f"ipip{v}", vip, v)
        add(f"ipip{v} cross", vip, w, 81)
        add(f"gue{v}", vip, v, 82, method=GUE)
        add(f"gue{v} cross", vip, w, 83, method=GUE)
        add(f"direct gue{v}", vip, v, 84, method=GUE, gue_header=0)
        add(f"direct gue{v} cross", vip, w, 85, method=GUE, gue_header=0)
        add(f"tos{v}", vip, v, 86, method=TOS, dscp=5)
        add(f"l2 {v}", vip, v, 87, method=L2)
        add(f"local{v}", vip, v, 88, method=LOCAL)
        add(f"ipip{v} by another NIC", vip, v, 90, port=7)
        add(f"ipip{v} cross, tagged", vip, w, 91, port=8)
        add(f"gue{v} doubly tagged", vip, v, 92, method=GUE, port=9)
        add(f"tos{v} tagged", vip, v, 93, method=TOS, dscp=63, port=8)
        add(f"l2 {v} doubly tagged", vip, v, 94, method=L2, port=9)
        add(f"ipip{v} unresolved", vip, v, 95, flags=ALIVE)
        add(f"ipip{v} down", vip, v, 96, flags=RESOLVED)
        add(f"gue{v} without source", vip, v, 97, method=GUE, port=10)
        add(f"ipip{v} cross, of varied source", vip, w, 98,
            varied=("10.64.0.0", 14) if w == 4 else ("2001:db8:64::", 28))
        add(f"ipip{v} clamped", vip, v, 99, mss=1400)
        add(f"tos{v} clamped", vip, v, 100, mss=1360, method=TOS, dscp=7)
        add(f"range{v}", vip, v, 8000, 8099)
        add(f"any port of {v}", f"203.0.113.{1}" if v == 4 else "2001:db8:a::1", v, 0, 65535,
            (TCP,))
        add(f"portless{v}", "203.0.113.2" if v == 4 else "2001:db8:a::2", v, 0, 65535, (0,))
        add(f"prefix{v}", "203.0.113.64/26" if v == 4 else "2001:db8:a:8000::/49", v, 80, 0,
            (TCP,), method=L2)
        add(f"longer prefix{v}", "203.0.113.96/28" if v == 4 else "2001:db8:a:8100::/64", v, 80, 0,
            (TCP,))
        add(f"portless prefix{v}", "203.0.113.96/29" if v == 4 else "2001:db8:a:8100::/96", v, 0,
            65535, (0,), method=GUE)
        add(f"portless tos{v}", "203.0.113.3" if v == 4 else "2001:db8:a::3", v, 0, 65535, (0,),
            method=TOS, dscp=9)
        add(f"small path of {v}", vip, v, 101, mtu=1400)
        add(f"small path across from {v}", vip, w, 102, mtu=1400, method=GUE)
        add(f"small path of tos{v}", vip, v, 103, mtu=1400, method=TOS, dscp=11)
    add("jumbo frames of 4", VIP[4], 4, 104, mtu=9100)
    add("jumbo frames of 6", VIP[6], 4, 104, mtu=9100, method=GUE)
    add("jumbo frames of tos4", VIP[4], 4, 105, mtu=9100, method=TOS, dscp=13)
    return World(ports, services)


def narrow_world():
    """The same, with paths to backends on which hardly anything fits."""
    world = usual_world()
    services = [replace(s, backend=replace(s.backend, mtu=560)) for s in world.services.values()]
    return World(world.ports.values(), services)
