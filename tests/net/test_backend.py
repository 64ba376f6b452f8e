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
        if VIP[6] in " ".join(map(str, words + [*options])):
            # The kernel answers for a new IPv6 address at once, but routes to it a moment later.
            until(lambda: VIP[6] in run("ip", "-n", self.web.ns, "-6", "route", "show", "table",
                                        "local").stdout, 5, "there is a route to the VIP")
        return agent

    def fail(self, *options):
        """The exit status and the only line of a start that fails."""
        done = self.web.run("evenkeel-backend", "--state-dir", self.state, *options, check=False)
        assert done.stderr.count("\n") == 1, done.stderr
        return done.returncode, done.stderr

    def fail_status(self, *options):
        done = self.web.run("evenkeel-backend", "status", *options, check=False)
        assert done.stdout == ""
        return done.returncode, done.stderr.removeprefix("evenkeel-backend: ").rstrip("\n")

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


def gue(packet, direct=False):
    """In UDP to the port of GUE, variant 0 with two words of private data, or directly."""
    data = bytes(packet)
    if not direct:
        data = bytes([2, 4 if packet.version == 4 else 41, 0, 0]) + b"private!" + data
    return UDP(sport=50000, dport=6080, chksum=0) / data


def marked(family, dscp, to=None, source=None):
    """As a balancer leaves it in L3DSR: to the host, DSCP for VIP, from the client."""
    to, source = to or HOST[family], source or CLIENT[family]
    if family == 4:
        return IP(src=source, dst=to, tos=dscp << 2)
    return IPv6(src=source, dst=to, tc=dscp << 2)


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


@pytest.mark.parametrize("direct", [False, True], ids=["variant0", "direct"])
@COMBINATIONS
def test_gue_on_the_vip(pair, agent, out, in_, direct):
    before = counters(agent)
    with server(pair, in_, socket.SOCK_DGRAM) as s:
        packet = inner(in_) / UDP(sport=4003, dport=80) / b"question"
        pair.send(outer(out, STRANGER) / gue(packet, direct))
        pair.send(outer(out) / gue(packet, direct))
        data, client = s.recvfrom(100)
        assert data == b"question" and client[:2] == (CLIENT[in_], 4003)
    after = counters(agent)
    assert after[f"gue-ipv{in_}"] == before[f"gue-ipv{in_}"] + 1
    assert after["not-allowed"] == before["not-allowed"] + 1


DSCP = ("--dscp", f"12={VIP[4]}", "--dscp", f"12={VIP[6]}")


@pytest.mark.parametrize("family", [4, 6])
def test_vip_from_dscp(pair, family):
    agent = pair.start("--allow", BALANCER[4], *DSCP, vips=[])
    with server(pair, family, socket.SOCK_DGRAM) as s:
        pair.send(marked(family, 13) / UDP(sport=4004, dport=80) / b"another DSCP")
        pair.send(marked(family, 12) / UDP(sport=4004, dport=80) / b"question")
        data, client = s.recvfrom(100)
        assert data == b"question" and client[:2] == (CLIENT[family], 4004)
        s.sendto(b"answer", client)
        answer = pair.receive(lambda f: UDP in f and f[UDP].dport == 4004)
    assert answer[LAYER[family]].src == VIP[family]
    with server(pair, family, socket.SOCK_STREAM) as s:
        s.listen()
        pair.send(marked(family, 12) / TCP(sport=5005, dport=80, flags="S", seq=1000))
        syn_ack = pair.receive(lambda f: TCP in f and f[TCP].dport == 5005)
        assert syn_ack[LAYER[family]].src == VIP[family] and syn_ack[TCP].ack == 1001
    assert counters(agent)[f"dscp-ipv{family}"] >= 2
    assert agent.stop() == 0
    assert VIP[family] not in pair.condition()[1]


def test_own_addresses_come_and_go(pair):
    """DSCPs count on packets to the host, whatever its addresses are by now."""
    agent = pair.start(*DSCP, vips=[])
    late = "10.9.0.77"

    def own():
        return re.search(r"own addresses +(.*)\n", status(pair))[1].split()

    assert {HOST[4], HOST[6]} <= set(own()) and not set(VIP.values()) & set(own())
    pair.web.ip(f"addr add {late}/32 dev eth0")
    try:
        until(lambda: late in own(), 5, own)
        with server(pair, 4, socket.SOCK_DGRAM) as s:
            pair.send(marked(4, 12, to=late) / UDP(sport=4006, dport=80) / b"late")
            assert s.recv(100) == b"late"
    finally:
        pair.web.ip(f"addr del {late}/32 dev eth0")
    until(lambda: late not in own(), 5, own)
    agent.stop()


def test_map_file(pair):
    path = pair.dir / "map.yaml"
    path.write_text(f"dscp:\n  12: {VIP[4]}\n  63: [{VIP[6]}, 192.0.2.63]\n")
    agent = pair.start("--map", path, vips=[])
    assert f" {VIP[4]}/32 " in pair.condition()[1] and " 192.0.2.63/32 " in pair.condition()[1]
    assert re.search(rf"DSCP +12={VIP[4]} 63=192.0.2.63 63={VIP[6]}\n", status(pair))
    agent.stop()
    path.write_text("dscp:\n  64: 192.0.2.1\n")
    code, line = pair.fail("--interface", "eth0", "--map", path)
    assert code == 2 and f"{path}:2:3: dscp: the DSCP is not a number from 1 to 63" in line


def status(pair, *options):
    return pair.web.run("evenkeel-backend", "status", *options).stdout


def test_status(pair, agent):
    before = counters(agent)
    with server(pair, 4, socket.SOCK_DGRAM) as s:
        pair.send(outer(4) / inner(4) / UDP(sport=4007, dport=80) / b"counted")
        assert s.recv(100) == b"counted"
    text = status(pair, "--interface", "eth0")
    assert re.match(r"eth0: native, program \d+, attached for \d+ s\n", text)
    assert re.search(rf"VIPs +{VIP[4]} {VIP[6]}\n", text)
    assert re.search(rf"allowed +{BALANCER[4]}/32 {BALANCER[6]}/128\n", text)
    assert re.search(r"GUE port +6080\n", text) and "DSCP  " not in text
    shown = {name: int(value) for name, value in re.findall(r"^  ([\w-]+) +(\d+)  \w", text, re.M)}
    assert shown == before | {"decapsulated-ipv4": before["decapsulated-ipv4"] + 1}
    assert status(pair) == text
    agent.stop()
    assert pair.fail_status() == (1, "no interface has evenkeel-backend attached")
    assert pair.fail_status("--interface", "eth0") == (
        1, "eth0: evenkeel-backend is not attached")
    assert pair.fail_status("--interface", "eth9") == (1, "eth9: No such device")
    assert pair.fail_status("--vip", VIP[4])[0] == 2


def test_status_of_a_foreign_program(pair):
    pair.web.ip(f"link set lo xdpgeneric obj {laboratory.BUILD}/tests/net/pass.bpf.o sec xdp")
    try:
        assert pair.fail_status("--interface", "lo") == (1, "lo: evenkeel-backend is not attached")
        assert pair.fail_status() == (1, "no interface has evenkeel-backend attached")
    finally:
        pair.web.ip("link set lo xdpgeneric off")


def test_mss_advice(pair):
    def advice(*options):
        text = pair.web.run("evenkeel-backend", "--interface", "eth0", "--mss-advice",
                            *options).stdout
        assert text.startswith(f"eth0: MTU {MTU}\n")
        return [int(mss) for mss in re.findall(r"advmss (\d+)", text)]

    before = pair.condition()
    assert advice() == [MTU - 52 - 40, MTU - 52 - 60]
    assert advice("--gue-port", "0") == [MTU - 40 - 40, MTU - 40 - 60]
    assert advice("--allow", "10.0.0.0/8") == [MTU - 32 - 40, MTU - 32 - 60]
    assert advice("--allow", "10.0.0.0/8", "--gue-port", "0") == [MTU - 60, MTU - 80]
    assert pair.condition() == before
    assert pair.fail("--interface", "eth9", "--mss-advice")[0] == 1


def test_gue_can_be_off(pair):
    agent = pair.start("--gue-port", "0")
    assert "GUE" not in status(pair).split("decapsulated-ipv4")[0]
    with server(pair, 4, socket.SOCK_DGRAM) as s:
        pair.send(outer(4) / gue(inner(4) / UDP(sport=4008, dport=80) / b"gue"))
        pair.send(outer(4) / inner(4) / UDP(sport=4008, dport=80) / b"ipip")
        assert s.recv(100) == b"ipip"
    agent.stop()


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
    many = [word for n in range(129) for word in ("--vip", f"192.0.2.{n + 1}")]
    assert "more than 128 VIPs" in pair.fail("--interface", "eth0", *many)[1]
    assert "more than 128 VIPs" in pair.fail("--interface", "eth0", *many[2:], *DSCP[2:])[1]
    for port in "65536", "-1", "x", "", "080a":
        assert pair.fail("--interface", "eth0", "--gue-port", port)[0] == 2
    for dscp in "12", "0=192.0.2.1", "64=192.0.2.1", "12=web", "12=127.0.0.1":
        assert pair.fail("--interface", "eth0", "--dscp", dscp)[0] == 2
    assert pair.fail("--interface", "eth0", *DSCP, *DSCP)[0] == 2
    assert "No such file" in pair.fail("--interface", "eth0", "--map", "/nowhere.yaml")[1]
    assert "too large" in pair.fail("--interface", "eth0", "--map", "/dev/zero")[1]
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


def test_status_without_privilege(pair, agent):
    done = pair.web.run("setpriv", "--reuid=65534", "--clear-groups", "evenkeel-backend", "status",
                        check=False)
    assert done.returncode == 1 and "root" in done.stderr and done.stderr.count("\n") == 1


def test_help_and_version(pair):
    assert pair.web.run("evenkeel-backend", "--version").stdout == "evenkeel-backend 0.1\n"
    assert "--allow" in pair.web.run("evenkeel-backend", "--help").stdout
