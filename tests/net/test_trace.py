# SPDX-License-Identifier: GPL-2.0-only
"""`evenkeel trace` and `evenkeel drops`, with real packets, real listeners and how they end."""
import contextlib
import json
import re
import signal
import socket
import struct

import pytest
from scapy.all import IP, TCP, Ether, rdpcap

from lab import CLIENT4, CLIENT6, PINS, VIP4, VIP6, family, until

TRACED = 1


def get(lab, vip=VIP4, source=CLIENT4[0]):
    """One request; which backend answered."""
    host = f"[{vip}]" if ":" in vip else vip
    return lab.client.run("curl", "-sS", "--max-time", "5", "--interface", source,
                          f"http://{host}/").stdout.strip()


def malformed(lab, source=CLIENT4[0]):
    """Sends a packet that is dropped by name: a UDP header that is longer than the packet."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 7, 0, 64, socket.IPPROTO_UDP, 0,
                     socket.inet_aton(source), socket.inet_aton(VIP4))
    with lab.client.enter(), socket.socket(socket.AF_INET, socket.SOCK_RAW,
                                           socket.IPPROTO_RAW) as raw:
        raw.sendto(ip + struct.pack("!HHHH", 4711, 80, 1000, 0), (VIP4, 0))


def echo(lab, vip, source):
    """One echo request and its reply."""
    six = ":" in vip  # then the kernel fills the checksum in
    request = struct.pack("!BBHHH", *((128, 0, 0) if six else (8, 0, 0xf7f7)), 7, 1)
    with lab.client.enter(), socket.socket(
            family(vip), socket.SOCK_RAW,
            socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP) as raw:
        raw.settimeout(5)
        raw.bind((source, 0))
        raw.sendto(request, (vip, 0))
        while raw.recvfrom(100)[1][0] != vip:
            pass


def strangers(lab, n):
    """Sends packets for a port of the VIP that no service has."""
    with lab.client.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(n):
            sock.sendto(b"x", (VIP4, 81))


@contextlib.contextmanager
def listening(lab, *words, name="trace", **options):
    """A listener that the data plane knows of; in the end as with Ctrl-C."""
    trace = lab.lb.popen("evenkeel", "trace", *words, name=name, **options)
    trace.expect("^listening, at most")
    try:
        yield trace
    finally:
        if trace.alive:
            trace.stop(signal.SIGINT)


def port_flags(lab):
    """The flags of every port, as they lie in struct ek_port."""
    dump = json.loads(lab.lb.run("bpftool", "-j", "map", "dump", "pinned", f"{PINS}/ports").stdout)
    rows = [bytes(int(b, 16) for b in row["value"]) for row in dump]
    return [struct.unpack_from("=I", row, 36)[0] for row in rows]


def traced(lab):
    return any(flags & TRACED for flags in port_flags(lab))


@pytest.fixture(autouse=True)
def nobody_listens_afterwards(lab):
    yield
    until(lambda: not traced(lab), 5, "the ports are cleared")


def lines(trace):
    """What a listener has printed as JSON; it may be writing the last line."""
    whole = trace.log().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]


def test_text(lab):
    with listening(lab) as trace:
        server = get(lab)
        get(lab, VIP6, CLIENT6[0])
        trace.expect(rf"(?m)^\d\d:\d\d:\d\d\.\d{{6}} eth0 forward tcp {CLIENT4[0]}:\d+ > {VIP4}:80 "
                     rf"SYN, web to {server} 10\.2\.0\.\d+ by ipip, \d+ bytes$")
        trace.expect(rf"forward tcp \[{CLIENT6[0]}\]:\d+ > \[{VIP6}\]:80 SYN, web6 to web\d fd00:2::")
        assert trace.stop(signal.SIGINT) == 0
        shown = len(re.findall(r"^\d\d:", trace.log(), re.M))
        assert re.search(rf"^{shown} shown, 0 missed$", trace.log(), re.M)


def test_json_and_filters(lab):
    with listening(lab, "-j", "--service", "web6", name="service") as service, \
         listening(lab, "-j", "--client", CLIENT4[1], name="client") as client:
        get(lab)
        get(lab, source=CLIENT4[1])
        get(lab, VIP6, CLIENT6[0])
        until(lambda: any("FIN" in r["flags"] for r in lines(service)), 5, service.log)
        until(lambda: any("FIN" in r["flags"] for r in lines(client)), 5, client.log)
    assert {(r["service"], r["client"], r["vip"]) for r in lines(service)} \
        == {("web6", CLIENT6[0], VIP6)}
    assert {(r["service"], r["client"], r["vip"]) for r in lines(client)} \
        == {("web", CLIENT4[1], VIP4)}
    for record in lines(service) + lines(client):
        assert record["verdict"] == "forward" and record["port"] == "eth0"
        assert record["method"] == "ipip" and record["vip_port"] == 80
        assert "frame" not in record


def test_drops_only(lab):
    with listening(lab, "-j", "--drops") as trace:
        get(lab)
        malformed(lab)
        record, = until(lambda: lines(trace), 5, trace.log)
    assert (record["verdict"], record["reason"]) == ("drop", "malformed")
    assert (record["protocol"], record["client"], record["vip"]) == ("udp", CLIENT4[0], VIP4)
    text = lab.lb.cli("drops").stdout
    assert re.search(r"^dropped\n +REASON .*\n(.*\n)* +malformed +[1-9]", text)
    assert "no-backend" not in text
    assert re.search(r"^ +no-backend +0 ", lab.lb.cli("drops", "--all").stdout, re.M)
    answers = json.loads(lab.lb.cli("-j", "drops").stdout)["answers"]
    assert {"answer", "description", "packets", "packets_per_second"} == set(answers[0])


@pytest.mark.parametrize("vip, source, protocol", [(VIP4, CLIENT4[0], "icmp"),
                                                   (VIP6, CLIENT6[0], "icmpv6")])
def test_answers(lab, vip, source, protocol):
    def answered():
        answers = json.loads(lab.lb.cli("-j", "drops").stdout)["answers"]
        return next(a["packets"] for a in answers if a["answer"] == "echo")

    before = answered()
    with listening(lab, "-j", "--client", source) as trace:
        echo(lab, vip, source)
        record = until(lambda: lines(trace), 5, trace.log)[0]
    assert (record["verdict"], record["protocol"], record["vip"]) == ("answer", protocol, vip)
    assert answered() == before + 1
    assert re.search(rf"^answered in place\n.*\n +echo +{before + 1} ",
                     lab.lb.cli("drops").stdout, re.M)


def test_drops_watch(lab):
    watch = lab.lb.popen("evenkeel", "-j", "drops", "--watch", name="watch")
    until(lambda: len(lines(watch)) == 2, 5, watch.log)
    watch.stop()


def test_pcap(lab):
    file = lab.dir / "trace.pcap"
    with listening(lab, "--pcap", file, "--count", "4") as trace:
        get(lab)
        assert trace.popen.wait(5) == 0
    frames = rdpcap(str(file))
    assert len(frames) == 4 and "4 shown" in trace.log()
    assert frames[0][Ether].dst == lab.lb.link()["address"]
    assert (frames[0][IP].src, frames[0][IP].dst) == (CLIENT4[0], VIP4)
    assert frames[0][TCP].flags == "S" and frames[0][TCP].dport == 80
    assert abs(float(frames[0].time) - file.stat().st_mtime) < 60


def test_pcap_to_standard_output(lab):
    file = lab.dir / "stdout.pcap"
    with open(file, "wb") as out, listening(lab, "--pcap", "-", stdout=out) as trace:
        get(lab)
        until(lambda: file.stat().st_size > 24 + 5 * 16, 5, "frames are written")
        assert trace.stop(signal.SIGTERM) == 0
    assert all(f[IP].dst == VIP4 for f in rdpcap(str(file)))
    assert re.search(r"^\d+ shown, 0 missed$", trace.log(), re.M)


def test_killed_listener(lab):
    with listening(lab) as trace:
        assert traced(lab)
        trace.send(signal.SIGKILL)
        until(lambda: not traced(lab), 5, "the flag goes with the listener")
    assert get(lab).startswith("web") and lab.lb.daemon.alive


def test_killed_daemon(lab):
    """Its successor clears what it left."""
    with listening(lab) as trace:
        lab.lb.daemon.send(signal.SIGKILL)
        assert trace.popen.wait(5) == 1
        assert "has ended; its log may say why" in trace.log()
    assert traced(lab) and get(lab).startswith("web")
    lab.lb.start(lab.config)
    assert not traced(lab)


def test_slow_listener(lab):
    """One that reads nothing costs bounded memory and hears how much it missed."""
    with listening(lab, "-j", "--rate", "100000") as slow, \
         listening(lab, "-j", "--service", "web", "--rate", "100000", name="quick") as quick:
        slow.send(signal.SIGSTOP)
        strangers(lab, 4000)
        server = get(lab)
        quick.expect(rf'"backend":"{server}"')
        slow.send(signal.SIGCONT)
        get(lab)
        until(lambda: any(r.get("missed") for r in lines(slow)) or
              any(r["vip_port"] == 80 for r in lines(slow)), 5, "it goes on")
        slow.stop(signal.SIGINT)
    shown, missed = map(int, re.search(r"(\d+) shown, (\d+) missed", slow.log()).groups())
    assert shown == len(lines(slow)) and shown + missed >= 4000
    assert missed > 0
    assert {r["vip_port"] for r in lines(quick)} == {80}


def test_rate(lab):
    with listening(lab, "-j", "--rate", "5") as trace:
        strangers(lab, 300)
        until(lambda: lines(trace), 5, trace.log)
    shown, missed = map(int, re.search(r"(\d+) shown, (\d+) missed", trace.log()).groups())
    assert 5 <= shown < 300 and shown + missed == 300


def test_at_most_four(lab):
    with contextlib.ExitStack() as stack:
        for n in range(4):
            stack.enter_context(listening(lab, "--drops", name=f"listener{n}"))
        refused = lab.lb.cli("trace", check=False)
        assert refused.returncode == 1 and "4 listen already" in refused.stderr


@pytest.mark.parametrize("words, code, says", [
    (("--service", "nothing"), 1, "there is no service 'nothing'"),
    (("--client", "10.1.0.0/24"), 1, "expected an IPv4 or IPv6 address"),
    (("--rate", "0"), 2, "--rate '0': expected a number from 1"),
    (("--rate", "100001"), 1, "\"rate\" must be a number from 1 to 100000"),
    (("--count", "many"), 2, "--count 'many': expected a number from 1"),
    (("--count",), 2, "--count '': expected a number from 1"),
    (("more",), 2, "unexpected argument 'more'"),
    (("-j", "--pcap", "-"), 2, "both want standard output"),
    (("--pcap", "/no/such/directory/file"), 1, "cannot write /no/such/directory/file"),
    (("--limit", "1"), 2, "trace has no option --limit"),
])
def test_refusals(lab, words, code, says):
    refused = lab.lb.cli("trace", *words, check=False)
    assert refused.returncode == code and says in refused.stderr
