# SPDX-License-Identifier: GPL-2.0-only
"""evenkeel-backend on a real kernel: what a balancer sends in a tunnel reaches ordinary sockets on
the VIP, nobody learns the VIP's MAC, and the host is afterwards what it was before.

The test itself plays balancer and client: it sends frames by hand, and reads the answers, which
the server sends to the client's address without a tunnel.
"""
import contextlib
import os
import re
import signal
import socket
import tempfile
import time
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

import lab as laboratory
from lab import Host, LabError, run, until

VIP = {4: "192.0.2.10", 6: "2001:db8::10"}
CLIENT = {4: "198.51.100.7", 6: "2001:db8:1::7"}
BALANCER = {4: "10.9.0.1", 6: "2001:db8:9::1"}
STRANGER = {4: "10.9.0.3", 6: "2001:db8:9::3"}
HOST = {4: "10.9.0.2", 6: "2001:db8:9::2"}
MAC = {"balancer": "02:00:00:00:09:01", "web": "02:00:00:00:09:02"}
LAYER = {4: IP, 6: IPv6}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
# The data plane must attach natively to an interface for jumbo frames, too.
MTU = 9000
SYSCTLS = [f"net/ipv4/conf/{where}/{name}" for where in ("all", "eth0")
           for name in ("arp_ignore", "arp_announce")]


class Pair:
    """Two hosts and a cable: `balancer`, of which the test takes the part, and `web`."""

    tied = True

    def __init__(self):
        self.prefix = f"ek-backend-{os.getpid()}"
        self.processes = []
        self.env = os.environ | {"PATH": f"{laboratory.BUILD}:{os.environ['PATH']}:/usr/sbin:/sbin",
                                 "LC_ALL": "C.UTF-8"}
        self.dir = Path(tempfile.mkdtemp(prefix=f"{self.prefix}-"))
        self.state = self.dir / "state"
        laboratory.remove_stale("backend")
        self.balancer, self.web = Host(self, "balancer"), Host(self, "web")
        self.web.ip(f"link add eth0 mtu {MTU} address {MAC['web']} type veth "
                    f"peer name eth0 mtu {MTU} address {MAC['balancer']} netns {self.balancer.ns}")
        for host, address in (self.balancer, BALANCER), (self.web, HOST):
            host.ip(f"addr add {address[4]}/24 dev eth0", f"addr add {address[6]}/64 dev eth0",
                    "link set eth0 up")
        self.web.ip(f"route add default via {BALANCER[4]}", f"route add default via {BALANCER[6]}")
        with self.balancer.enter():
            self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.wire.bind(("eth0", 0))
        until(lambda: self.web.reaches(BALANCER[6]) and self.web.reaches(BALANCER[4]), 10,
              "the hosts reach each other")

    def close(self):
        for process in self.processes:
            with contextlib.suppress(LabError):
                process.stop()
        laboratory._remove(self.prefix)

    def send(self, packet):
        self.wire.send(bytes(Ether(src=MAC["balancer"], dst=MAC["web"]) / packet))

    def receive(self, wanted, seconds=5):
        """The first frame that comes in for which wanted(frame) holds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.wire.settimeout(left)
            with contextlib.suppress(TimeoutError):
                data, source = self.wire.recvfrom(65536)
                frame = Ether(data)
                if source[2] != socket.PACKET_OUTGOING and wanted(frame):
                    return frame
        raise LabError(f"no such frame within {seconds} s")

    def start(self, *options, vips=(VIP[4], VIP[6])):
        words = [word for vip in vips for word in ("--vip", vip)]
        agent = self.web.popen("evenkeel-backend", "--interface", "eth0", "--state-dir", self.state,
                               *words, *options)
        agent.expect(r"ready: eth0: ")
        return agent

    def fail(self, *options):
        """The exit status and the only line of a start that fails."""
        done = self.web.run("evenkeel-backend", "--state-dir", self.state, *options, check=False)
        assert done.stderr.count("\n") == 1, done.stderr
        return done.returncode, done.stderr

    def condition(self):
        """All that evenkeel-backend may change on the host."""
        with self.web.enter():
            sysctls = [Path("/proc/sys", name).read_text() for name in SYSCTLS]
        return (sysctls, run("ip", "-n", self.web.ns, "-o", "addr", "show", "dev", "lo").stdout,
                "xdp" in self.web.link(), self.state.exists() and os.listdir(self.state))


@pytest.fixture(scope="module")
def pair():
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture
def agent(pair):
    agent = pair.start("--allow", f"{BALANCER[4]}", "--allow", f"{BALANCER[6]}/128")
    yield agent
    if agent.alive:
        assert agent.stop() == 0, agent.log()


def outer(family, source=BALANCER):
    return LAYER[family](src=source[family], dst=HOST[family])


def inner(family):
    return LAYER[family](src=CLIENT[family], dst=VIP[family])


def server(pair, family, kind):
    with pair.web.enter():
        s = socket.socket(FAMILY[family], kind)
    s.settimeout(5)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((VIP[family], 80))
    return s


def counters(agent):
    seen = len(agent.log())
    agent.send(signal.SIGUSR1)
    found = until(lambda: re.search(r"eth0: (decapsulated.*)\n", agent.log()[seen:]), 5,
                  lambda: agent.log())
    return {name: int(value) for name, value in re.findall(r"([\w-]+) (\d+)", found[1])}


COMBINATIONS = pytest.mark.parametrize("out, in_", [(4, 4), (6, 6), (6, 4), (4, 6)])


@COMBINATIONS
def test_udp_on_the_vip(pair, agent, out, in_):
    with server(pair, in_, socket.SOCK_DGRAM) as s:
        pair.send(outer(out) / inner(in_) / UDP(sport=4000, dport=80) / b"question")
        data, client = s.recvfrom(100)
        assert data == b"question" and client[:2] == (CLIENT[in_], 4000)
        s.sendto(b"answer", client)
        answer = pair.receive(lambda f: UDP in f and f[UDP].dport == 4000)
    assert answer[LAYER[in_]].src == VIP[in_] and bytes(answer[UDP].payload)[:6] == b"answer"


@COMBINATIONS
def test_tcp_on_the_vip(pair, agent, out, in_):
    port = 5000 + 10 * out + in_

    def send(flags, **fields):
        segment = TCP(sport=port, dport=80, flags=flags, **{"seq": 1001} | fields)
        pair.send(outer(out) / inner(in_) / segment / b"GET /")

    def receive(flags):
        return pair.receive(lambda f: TCP in f and f[TCP].dport == port and f[TCP].flags & flags)

    with server(pair, in_, socket.SOCK_STREAM) as s:
        s.listen()
        pair.send(outer(out) / inner(in_) / TCP(sport=port, dport=80, flags="S", seq=1000))
        syn_ack = receive(0x12)
        assert syn_ack[LAYER[in_]].src == VIP[in_] and syn_ack[TCP].ack == 1001
        send("PA", ack=syn_ack[TCP].seq + 1)
        connection, client = s.accept()
        with connection:
            assert client[:2] == (CLIENT[in_], port) and connection.recv(100) == b"GET /"
            connection.sendall(b"200")
            assert bytes(receive(0x08)[TCP].payload)[:3] == b"200"


def test_only_balancers_and_only_vips(pair, agent):
    before = counters(agent)
    with server(pair, 4, socket.SOCK_DGRAM) as s:
        pair.send(outer(4, STRANGER) / inner(4) / UDP(sport=4001, dport=80) / b"stranger")
        pair.send(outer(4) / IP(src=CLIENT[4], dst=HOST[4]) / UDP(sport=4001, dport=80) / b"host")
        pair.send(outer(4) / inner(4) / UDP(sport=4001, dport=80) / b"balancer")
        assert s.recv(100) == b"balancer"
    after = counters(agent)
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert grown == {"not-allowed": 1, "not-a-vip": 1, "decapsulated-ipv4": 1}


def who_answers(pair):
    """Asks for the MACs of the VIPs, then for those of the host; whose the first two answers are."""
    for address in VIP, HOST:
        pair.send(ARP(op=1, hwsrc=MAC["balancer"], psrc=BALANCER[4], pdst=address[4]))
        pair.send(IPv6(src=BALANCER[6], dst=address[6], hlim=255) / ICMPv6ND_NS(tgt=address[6])
                  / ICMPv6NDOptSrcLLAddr(lladdr=MAC["balancer"]))
    answers = [pair.receive(lambda f: (ARP in f and f[ARP].op == 2) or ICMPv6ND_NA in f)
               for _ in HOST]
    return {f[ARP].psrc if ARP in f else f[ICMPv6ND_NA].tgt for f in answers}


def test_nobody_learns_the_mac_of_a_vip(pair, agent):
    before = counters(agent)
    assert who_answers(pair) == set(HOST.values())
    after = counters(agent)
    assert after["arp-suppressed"] == before["arp-suppressed"] + 1
    assert after["nd-suppressed"] == before["nd-suppressed"] + 1


def test_the_kernel_alone_keeps_silent_too(pair, agent):
    """Without the program: the sysctls for ARP; and for IPv6, that the VIP is on lo."""
    agent.stop(signal.SIGKILL)
    assert who_answers(pair) == set(HOST.values())
    pair.start().stop()


def test_everything_is_undone(pair):
    before = pair.condition()
    agent = pair.start()
    assert "(native)" in agent.log() and "warning" in agent.log()
    sysctls, addresses, xdp, state = pair.condition()
    assert sysctls == ["1\n", "2\n"] * 2 and xdp and len(state) == 1
    assert f" {VIP[4]}/32 " in addresses and f" {VIP[6]}/128 " in addresses
    assert agent.stop() == 0
    after = pair.condition()
    assert after[:3] == before[:3] and after[3] == []
    assert "decapsulated-ipv4 0" in agent.log()


def test_what_a_killed_process_left_is_undone(pair):
    before = pair.condition()
    pair.start().stop(signal.SIGKILL)
    until(lambda: not pair.condition()[2], 5, "the program is off the interface")
    assert f" {VIP[4]}/32 " in pair.condition()[1]
    agent = pair.start(vips=[VIP[6], "192.0.2.99"])
    assert f" {VIP[4]}/32 " not in pair.condition()[1]
    assert agent.stop() == 0
    assert pair.condition()[:3] == before[:3] and pair.condition()[3] == []


def test_an_address_that_was_there_stays(pair):
    pair.web.ip(f"addr add {VIP[4]}/32 dev lo")
    try:
        assert pair.start().stop() == 0
        assert f" {VIP[4]}/32 " in pair.condition()[1]
    finally:
        pair.web.ip(f"addr del {VIP[4]}/32 dev lo")


def test_generic_mode(pair):
    agent = pair.start("--mode", "generic")
    assert "(generic)" in agent.log()
    with server(pair, 4, socket.SOCK_DGRAM) as s:
        pair.send(outer(4) / inner(4) / UDP(sport=4002, dport=80) / b"generic")
        assert s.recv(100) == b"generic"
    agent.stop()


def test_a_vanished_interface_ends_it(pair):
    pair.web.ip("link add eth7 type veth peer name eth8")
    agent = pair.web.popen("evenkeel-backend", "--interface", "eth7", "--state-dir", pair.state,
                           "--vip", VIP[4], name="eth7")
    agent.expect("ready: eth7: ")
    pair.web.ip("link del eth7")
    agent.expect("eth7: the interface is gone")
    assert agent.stop() == 1
    assert VIP[4] not in pair.condition()[1] and pair.condition()[3] == []


def test_one_line_says_what_is_wrong(pair):
    assert pair.fail()[0] == 2
    assert pair.fail("--interface", "eth0", "--vip", "192.0.2.300")[0] == 2
    assert pair.fail("--interface", "eth0", "--vip", VIP[4], "--vip", VIP[4])[0] == 2
    assert pair.fail("--interface", "eth0", "--vip", "ff02::1")[0] == 2
    assert pair.fail("--interface", "eth0", "--allow", "10.0.0.1/8")[0] == 2
    assert pair.fail("--interface", "eth0", "--mode", "fast")[0] == 2
    assert pair.fail("--interface", "eth0", "--vip")[0] == 2
    assert pair.fail("--interface", "eth0", "--fast")[0] == 2
    assert pair.fail("--interface", "eth0", "extra")[0] == 2
    status, line = pair.fail("--interface", "eth9")
    assert status == 1 and "no such interface" in line
    status, line = pair.fail("--interface", "lo", "--mode", "native")
    assert status == 1 and "no native XDP" in line


def test_an_occupied_interface_is_left_alone(pair, agent):
    before = pair.condition()
    status, line = pair.fail("--interface", "eth0", "--vip", "192.0.2.77")
    assert status == 1 and "another XDP program" in line
    assert pair.condition() == before


def test_without_privilege(pair):
    pair.dir.chmod(0o755)
    done = pair.web.run("setpriv", "--reuid=65534", "--clear-groups", "evenkeel-backend",
                        "--interface", "eth0", "--vip", VIP[4], check=False)
    assert done.returncode == 1 and "root" in done.stderr and done.stderr.count("\n") == 1


def test_help_and_version(pair):
    assert pair.web.run("evenkeel-backend", "--version").stdout == "evenkeel-backend 0.1\n"
    assert "--allow" in pair.web.run("evenkeel-backend", "--help").stdout
