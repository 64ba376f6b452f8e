# SPDX-License-Identifier: GPL-2.0-only
"""What a failover looks like from outside: who says that a VIP is his, how long nobody answers,
and whether a long download arrives whole.

Announcers and Meter start this same file as a program inside a host of the lab, as load.py does;
all times are CLOCK_MONOTONIC, which is one clock for the whole machine.
"""
import argparse
import array
import bisect
import collections
import contextlib
import ctypes
import errno
import ipaddress
import itertools
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

PERIOD = 0.02  # seconds from one sample to the next
# Each sample asks from the next of these addresses, whose last byte comes back in the answer:
# one that is late, or read late, is counted where it belongs.
TURNS = 8
ASKER4, ASKER6 = "10.2.0.240", "fd00:2::f0"
WATCH = "watch"  # the bridge port that asks

STALL = 0.005  # seconds from one question of a meter to the next
FLOWS = 200
UDP_PORT = 7
IP_BIND_ADDRESS_NO_PORT = 24


class Background:
    """A program of this file in a host, which prints its result when it is told to end."""

    def __init__(self, host, verb, *options):
        # Python from its own path: the environment's PATH may put another first.
        self.argv = [sys.executable, Path(__file__), verb, *options]
        self.host, self.verb, self.process = host, verb, None

    def __enter__(self):
        self.process = self.host.popen(*self.argv, name=self.verb, stdout=-1)
        self.process.expect("ready", 20)
        return self

    def __exit__(self, *_):
        if self.process.popen.returncode is None:
            self.finish()

    def finish(self):
        """Ends it, and takes what it has seen."""
        self.process.send(signal.SIGTERM)
        output, _ = self.process.popen.communicate(timeout=30)
        if self.process.popen.returncode:
            raise RuntimeError(f"{self.process.name} failed:\n{self.process.log()}")
        self.take(json.loads(output))
        return self


class Sample(collections.namedtuple("Sample", "time answers")):
    """A moment at which everyone was asked; `answers` are Answers."""

    def nodes(self, vip=None):
        return {a.node for a in self.answers if vip in (None, a.vip)}

    @property
    def double(self):
        """Whether a VIP has more than one announcer."""
        return any(len(self.nodes(vip)) > 1 for vip in {a.vip for a in self.answers})


Answer = collections.namedtuple("Answer", "vip node mac delay")
Gratuitous = collections.namedtuple("Gratuitous", "time vip node mac")


class Announcers(Background):
    """with Announcers(router, vips, nodes) as seen: ...; seen.samples, seen.gratuitous

    Every 20 ms it asks the bridge of the host `router` for the VIPs by ARP and neighbour
    solicitation, from a port of its own, so that neither the router's neighbours nor anybody's
    else learn from it. Nodes are known by the bridge port through which their answers come:
    two of them may use one virtual MAC."""

    def __init__(self, router, vips, ports, bridge="br0"):
        self.bridge, self.samples, self.gratuitous = bridge, [], []
        super().__init__(router, "announcers", *(f"--port={p}" for p in ports), *vips)

    def __enter__(self):
        self.host.ip(f"link add {WATCH} type veth peer name {WATCH}-br")
        self.host.sysctl({f"ipv6.conf.{WATCH}.disable_ipv6": 1})
        self.host.ip(f"link set {WATCH}-br master {self.bridge} up", f"link set {WATCH} arp off up")
        return super().__enter__()

    def __exit__(self, *problem):
        try:
            super().__exit__(*problem)
        finally:
            self.host.ip(f"link del {WATCH}")

    def take(self, result):
        self.samples = [Sample(t, [Answer(*a) for a in answers]) for t, answers in result[0]]
        self.gratuitous = [Gratuitous(*g) for g in result[1]]

    def among(self, begin=0.0, end=float("inf")):
        return [s for s in self.samples if begin <= s.time <= end]

    def doubles(self, begin=0.0, end=float("inf")):
        """The samples in which a VIP had more than one announcer."""
        return [s for s in self.among(begin, end) if s.double]

    def silence(self, vip, begin=0.0, end=float("inf")):
        """The longest time from one sample with an answer to the next, as (seconds, when)."""
        return longest([s.time for s in self.samples if s.nodes(vip)], begin, end,
                       self.samples[-1].time)

    def owners(self, vip, begin=0.0, end=float("inf")):
        """Who answered, in order: [(first, last, samples, {nodes}), ...]."""
        runs = []
        for nodes, run in itertools.groupby(self.among(begin, end), lambda s: s.nodes(vip)):
            run = list(run)
            runs.append((run[0].time, run[-1].time, len(run), nodes))
        return runs

    def told(self, begin=0.0, end=float("inf"), **fields):
        """The gratuitous ARP and unsolicited advertisements, for instance told(node="lb2")."""
        return [g for g in self.gratuitous if begin <= g.time <= end
                and all(getattr(g, k) == v for k, v in fields.items())]

    def story(self, vip, since):
        """For figures: who answered from when to when, in milliseconds after `since`."""
        return ", ".join(f"{'+'.join(sorted(nodes)) or 'nobody'} {1000 * (first - since):+.0f} to "
                         f"{1000 * (last - since):+.0f} ms"
                         for first, last, _, nodes in self.owners(vip))


class Stream(collections.namedtuple("Stream", "kind target asked answers errors")):
    """When a meter asked and was answered, and what went wrong: [(time, text), ...]."""


class Meter(Background):
    """with Meter(client, tcp=[VIP4], udp=[VIP4]) as meter: ...; meter.gap(begin, end)

    To each target it asks a question every 5 ms, on one of 200 flows after the other. So at any
    time there is one that has nothing to repeat: what is measured is the path, and not how TCP
    backs off. TCP asks web servers for /, UDP asks the echo servers of longlived.py."""

    def __init__(self, host, tcp=(), udp=(), sources=(), flows=FLOWS):
        self.streams = []
        super().__init__(host, "meter", f"--flows={flows}", *(f"--source={s}" for s in sources),
                         *(f"--tcp={t}" for t in tcp), *(f"--udp={t}" for t in udp))

    def take(self, result):
        self.streams = [Stream(*s) for s in result]

    def chosen(self, kind=None, target=None):
        return [s for s in self.streams if kind in (None, s.kind) and target in (None, s.target)]

    def gap(self, begin=0.0, end=float("inf"), *, kind=None, target=None):
        """The longest time without an answer that touches this period, as (seconds, when)."""
        return max(longest(s.answers, begin, end, s.asked[-1]) for s in self.chosen(kind, target))

    def lag(self, begin=0.0, end=float("inf")):
        """The longest time without a question: what of a gap may be the meter's own."""
        return max(longest(s.asked, begin, end, s.asked[-1]) for s in self.streams)

    def errors(self, kind=None):
        return [e for s in self.chosen(kind) for e in s.errors]

    def __str__(self):
        return ", ".join(f"{s.kind} {s.target}: {len(s.answers)} of {len(s.asked)} answered"
                         for s in self.streams)


def longest(times, begin, end, over):
    """The longest interval between neighbours of a sorted list that touches [begin, end], as
    (seconds, when it began). It was `over` when the list ended."""
    times = times + [over]
    first = max(bisect.bisect_right(times, begin) - 1, 0)
    last = bisect.bisect_left(times, end) + 1
    pairs = zip(times[first:last], times[first + 1:last])
    return max(((b - a, a) for a, b in pairs), default=(float("inf"), begin))


class Download:
    """with Download(client, url, size, sha256, seconds) as download: ...; download.finish()

    Takes about two thirds of `seconds`: curl's limit is generous at first."""

    def __init__(self, host, url, size, sha256, seconds):
        command = f"curl -sS -g --fail --limit-rate {int(size / seconds)} '{url}' | sha256sum"
        self.argv = ["bash", "-o", "pipefail", "-c", command]
        self.host, self.sha256, self.process = host, sha256, None
        self.begun = self.seconds = None

    def __enter__(self):
        self.begun = time.monotonic()
        self.process = self.host.popen(*self.argv, name="download", stdout=-1)
        return self

    def __exit__(self, *_):
        if self.process.alive:
            # The shell and its children.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.popen.communicate()

    @property
    def running(self):
        return self.process.alive

    def finish(self, seconds=120):
        """Waits for its end, and is true when every byte was right."""
        output, _ = self.process.popen.communicate(timeout=seconds)
        self.seconds = time.monotonic() - self.begun
        if self.process.popen.returncode:
            raise RuntimeError(f"the download failed after {self.seconds:.1f} s:\n"
                               f"{self.process.log()}")
        return output.decode().split()[0] == self.sha256


# --- the program: who announces ---------------------------------------------------------------

ARP, IPV6, ICMPV6 = 0x0806, 0x86dd, 58
SOLICITATION, ADVERTISEMENT = 135, 136
BROADCAST = b"\xff" * 6
OUTGOING = 4  # a packet socket's packet type

# What a port's socket lets through: ARP and advertisements that came in.
FILTER = [(0x20, 0, 0, 0xfffff004), (0x15, 7, 0, OUTGOING),  # the packet type
          (0x28, 0, 0, 12), (0x15, 6, 0, ARP), (0x15, 0, 4, IPV6),
          (0x30, 0, 0, 20), (0x15, 0, 2, ICMPV6),
          (0x30, 0, 0, 54), (0x15, 1, 0, ADVERTISEMENT), (0x06, 0, 0, 0), (0x06, 0, 0, 0xffff)]
SO_ATTACH_FILTER = 26


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def arp_request(mac, vip, turn):
    asker = (ipaddress.IPv4Address(ASKER4) + turn).packed
    return (BROADCAST + mac + struct.pack("!HHHBBH", ARP, 1, 0x0800, 6, 4, 1)
            + mac + asker + bytes(6) + vip)


def solicitation(mac, vip, turn):
    asker = (ipaddress.IPv6Address(ASKER6) + turn).packed
    group = ipaddress.IPv6Address("ff02::1:ff00:0").packed[:13] + vip[13:]
    body = vip + b"\x01\x01" + mac
    head = struct.pack("!BBHI", SOLICITATION, 0, 0, 0)
    pseudo = asker + group + struct.pack("!II", len(head + body), ICMPV6)
    head = struct.pack("!BBHI", SOLICITATION, 0, checksum(pseudo + head + body), 0)
    return (b"\x33\x33" + group[12:] + mac + struct.pack("!H", IPV6)
            + struct.pack("!IHBB", 6 << 28, len(head + body), ICMPV6, 255) + asker + group
            + head + body)


def statement(frame):
    """What a frame says: (address, MAC, who is told), or None. Told is None when all are."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind == ARP and len(frame) >= 42:
        operation, mac = frame[20:22], frame[22:28]
        sender, target = frame[28:32], frame[38:42]
        if sender == target:
            return sender, mac, None
        return (sender, mac, target) if operation == b"\0\2" else None
    if kind == IPV6 and len(frame) >= 78:
        told, address = frame[38:54], frame[62:78]
        mac = frame[80:86] if frame[78:80] == b"\2\1" else frame[6:12]
        return address, mac, None if told[0] == 0xff else told
    return None


class Watcher:
    """Inside the router."""

    def __init__(self, options):
        self.vips = {ipaddress.ip_address(v).packed: v for v in options.vips}
        self.asker = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.asker.bind((WATCH, 0))
        mac = self.asker.getsockname()[4]
        self.questions = [[(arp_request if len(vip) == 4 else solicitation)(mac, vip, turn)
                           for vip in self.vips] for turn in range(TURNS)]
        self.turns = {(ipaddress.ip_address(a) + turn).packed: turn
                      for a in (ASKER4, ASKER6) for turn in range(TURNS)}
        self.samples, self.gratuitous = [], []
        self.poll, self.ports = select.epoll(), {}
        for port in options.port:
            self.listen(port)

    def listen(self, port):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        code = b"".join(struct.pack("=HBBI", *step) for step in FILTER)
        memory = ctypes.create_string_buffer(code)
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                        struct.pack("@HP", len(FILTER), ctypes.addressof(memory)))
        sock.bind((port, 3))  # ETH_P_ALL: before the bridge takes it
        sock.setblocking(False)
        self.ports[sock.fileno()] = sock, port
        self.poll.register(sock, select.EPOLLIN)

    def ask(self):
        turn = len(self.samples) % TURNS
        self.samples.append((time.monotonic(), []))
        for question in self.questions[turn]:
            self.asker.send(question)

    def hear(self, fd):
        sock, port = self.ports[fd]
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    frame = sock.recv(2048)
                except OSError as error:
                    if error.errno != errno.ENETDOWN:  # the cable was cut, which is no news here
                        raise
                    continue
                self.note(port, statement(frame), time.monotonic())

    def note(self, port, said, now):
        if not said or said[0] not in self.vips:
            return
        address, mac, told = said
        if told is None:
            self.gratuitous.append((now, self.vips[address], port, mac.hex(":")))
        elif told in self.turns:
            # The latest sample that asked from there.
            back = (len(self.samples) - 1 - self.turns[told]) % TURNS
            if back < len(self.samples):
                sent, answers = self.samples[-1 - back]
                answers.append((self.vips[address], port, mac.hex(":"), now - sent))

    def main(self):
        print("ready", file=sys.stderr, flush=True)
        due = time.monotonic()
        while not Ending.wanted:
            for fd, _ in self.poll.poll(max(0.0, due - time.monotonic())):
                self.hear(fd)
            if time.monotonic() >= due:
                self.ask()
                due = max(due + PERIOD, time.monotonic())
        # The last may not have been heard out.
        json.dump((self.samples[:-TURNS], self.gratuitous), sys.stdout)


# --- the program: how long nobody answers -----------------------------------------------------

GET = b"GET / HTTP/1.1\r\nHost: meter\r\n\r\n"


class Course:
    """The flows to one target."""

    def __init__(self, kind, target, sources, flows):
        self.kind, self.target = kind, target
        self.asked, self.answers, self.errors = array.array("d"), array.array("d"), []
        self.turn = 0
        v6 = ":" in target
        chosen = itertools.cycle([s for s in sources if (":" in s) == v6] or [""])
        self.flows = [self.connect(next(chosen), v6) for _ in range(flows)]

    def connect(self, source, v6):
        sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET,
                             socket.SOCK_STREAM if self.kind == "tcp" else socket.SOCK_DGRAM)
        if source:
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        sock.settimeout(5)
        sock.connect((self.target, 80 if self.kind == "tcp" else UDP_PORT))
        sock.setblocking(False)
        return [sock, False]  # whether it waits for an answer

    def ask(self):
        """The next flow that waits for nothing; over UDP, what is unanswered is lost."""
        for _ in range(len(self.flows)):
            self.turn = (self.turn + 1) % len(self.flows)
            flow = self.flows[self.turn]
            if flow[0] and (not flow[1] or self.kind == "udp"):
                flow[1] = True
                self.asked.append(time.monotonic())
                self.attempt(flow, flow[0].send, GET if self.kind == "tcp" else b"?")
                return

    def hear(self, flow):
        data = self.attempt(flow, flow[0].recv, 65536)
        # A page this small comes in one piece.
        if data:
            flow[1] = False
            self.answers.append(time.monotonic())
        elif data == b"":
            self.attempt(flow, self.closed)

    @staticmethod
    def closed():
        raise ConnectionError("closed")

    def attempt(self, flow, work, *arguments):
        try:
            return work(*arguments)
        except BlockingIOError:
            return None
        except OSError as error:
            self.errors.append((time.monotonic(),
                                os.strerror(error.errno) if error.errno else str(error)))
            if self.kind == "tcp":
                flow[0].close()
                flow[0] = None
            return None


def measure(options):
    courses = [Course(kind, target, options.source, options.flows)
               for kind in ("tcp", "udp") for target in getattr(options, kind)]
    poll, owners = select.epoll(), {}
    for course in courses:
        for flow in course.flows:
            owners[flow[0].fileno()] = course, flow
            poll.register(flow[0], select.EPOLLIN)
    print("ready", file=sys.stderr, flush=True)
    due = time.monotonic()
    while not Ending.wanted:
        for fd, _ in poll.poll(max(0.0, due - time.monotonic())):
            course, flow = owners[fd]
            if flow[0]:
                course.hear(flow)
        while due <= time.monotonic():
            for course in courses:
                course.ask()
            due = max(due + STALL, time.monotonic() - STALL)
    json.dump([(c.kind, c.target, c.asked.tolist(), c.answers.tolist(), c.errors)
               for c in courses], sys.stdout)


class Ending:
    wanted = False

    @classmethod
    def want(cls, *_):
        cls.wanted = True


def main():
    # What waits in epoll is not interrupted, but returns within one period.
    signal.signal(signal.SIGTERM, Ending.want)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = argparse.ArgumentParser(description="What a failover looks like from outside.")
    commands = parser.add_subparsers(required=True)
    announcers = commands.add_parser("announcers", help="who answers ARP and ND")
    announcers.add_argument("vips", nargs="+", metavar="VIP")
    announcers.add_argument("--port", action="append", help="a bridge port to listen on")
    announcers.set_defaults(run=lambda options: Watcher(options).main())
    meter = commands.add_parser("meter", help="how long nobody answers")
    meter.add_argument("--source", action="append", default=[], help="a local address to use")
    meter.add_argument("--flows", type=int, help="to each target")
    for kind in "tcp", "udp":
        meter.add_argument(f"--{kind}", action="append", default=[], metavar="ADDRESS")
    meter.set_defaults(run=measure)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
