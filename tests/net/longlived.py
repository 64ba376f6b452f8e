# SPDX-License-Identifier: GPL-2.0-only
"""Connections that stay open, talk at a steady pace, and never forget who answered.

The Crowd class starts this same file as a program inside a host of the lab. Over TCP it asks web
servers for / on connections that are kept, over UDP it asks the echo server that `serve` starts;
either way the answer ends in the server's name, and it must be the same name for ever. Anything
else, also silence, is a broken connection: it is closed and written down.

The program reads commands from standard input, a JSON list on a line, and answers each with a
line once it is carried out: what it knows about every connection that it ever opened.
"""
import argparse
import collections
import itertools
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

TICKS = 100  # per period: connections speak in turns, not all at once
TIMEOUT = 5.0  # seconds for a handshake, and for an answer
UDP_PORT = 7
IP_BIND_ADDRESS_NO_PORT = 24


class Flow(collections.namedtuple("Flow", "number target source port server broken")):
    """One connection: `server` answers it; `broken` says why it is over, or is None."""


class Crowd:
    """with Crowd(lab.client, [VIP4], CLIENT4) as crowd: crowd.open(100); ...; crowd.broken()"""

    def __init__(self, host, targets, sources, *, port=80, udp=False, period=1.0):
        options = ["--port", port, "--period", period] + ["--udp"] * udp
        for source in sources:
            options += ["--source", source]
        self.argv = [sys.executable, Path(__file__), "talk", *options, *targets]
        self.host, self.flows, self.process = host, [], None

    def __enter__(self):
        self.process = self.host.popen(*self.argv, name="crowd", stdin=-1, stdout=-1)
        return self

    def __exit__(self, *_):
        self.process.popen.stdin.close()
        self.process.stop()

    def _tell(self, *command):
        pipe = self.process.popen
        pipe.stdin.write(json.dumps(command).encode() + b"\n")
        pipe.stdin.flush()
        if not (line := pipe.stdout.readline()):
            raise RuntimeError(f"the crowd ended:\n{self.process.log()}")
        self.flows = [Flow(*row) for row in json.loads(line)]

    def open(self, count):
        """Opens so many more, and waits until each was answered (or is broken)."""
        self._tell("open", count)
        return self.flows[-count:]

    def round(self):
        """Waits until everyone who talks has asked anew, and was answered."""
        self._tell("round")
        return self.flows

    def quiet(self, flows):
        """These stay open and say nothing more, until talk()."""
        self._tell("quiet", [f.number for f in flows])

    def talk(self):
        self._tell("talk")

    def close(self, flows):
        """These end as connections should. They are not broken, and not listed any more."""
        self._tell("close", [f.number for f in flows])

    def living(self, server=None):
        return [f for f in self.flows if not f.broken and server in (None, f.server)]

    def broken(self):
        return [f for f in self.flows if f.broken]

    def pin(self, cpu):
        """Sends from this CPU from now on. Whatever it was about to send has been sent."""
        os.sched_setaffinity(self.process.pid, {cpu})
        self.round()


# --- the program: the client ------------------------------------------------------------------


class Talk:
    """One connection of the program."""

    def __init__(self, number, sock, target):
        self.number, self.sock, self.target = number, sock, target
        self.source, self.port = sock.getsockname()[:2]
        self.server = self.broken = None
        self.quiet = False
        self.asked = 0.0  # when the question was put that is not answered yet
        self.heard = 0.0  # when the question was put that was answered last
        self.data = b""

    def ask(self, question, now):
        if self.asked:
            if now > self.asked + TIMEOUT:
                raise ConnectionError("no answer")
            return
        self.asked = now
        if self.sock.send(question) != len(question):
            raise ConnectionError("the socket is full")

    def answer(self, complete):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed")
        self.data += data
        if not complete(self.data):
            return
        name = self.data.split()[-1].decode()
        self.server = self.server or name
        if name != self.server:
            raise ConnectionError(f"went from {self.server} to {name}")
        self.heard, self.asked, self.data = self.asked, 0.0, b""

    def row(self):
        return self.number, self.target, self.source, self.port, self.server, self.broken


def whole_page(data):
    _, blank, body = data.partition(b"\r\n\r\n")
    return blank and body.endswith(b"\n")


class Client:
    """Inside the host."""

    def __init__(self, options):
        self.options = options
        self.kind = socket.SOCK_DGRAM if options.udp else socket.SOCK_STREAM
        self.question = b"?" if options.udp else b"GET / HTTP/1.1\r\nHost: crowd\r\n\r\n"
        self.complete = bool if options.udp else whole_page
        self.targets = itertools.cycle(options.targets)
        self.sources = {v6: itertools.cycle([s for s in options.source if (":" in s) == v6])
                        for v6 in (False, True)}
        self.talks = {}
        self.by_fd = {}
        self.turns = [[] for _ in range(TICKS)]
        self.turn, self.due = 0, time.monotonic()
        self.numbers = itertools.count()
        self.poll = select.epoll()
        self.poll.register(0, select.EPOLLIN)
        self.input = b""
        self.done = None  # tells whether the command under way is carried out

    def connect(self):
        target = next(self.targets)
        v6 = ":" in target
        sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, self.kind)
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((next(self.sources[v6]), 0))
        sock.settimeout(TIMEOUT)
        try:
            sock.connect((target, self.options.port))
        except OSError as error:
            talk = Talk(next(self.numbers), sock, target)
            talk.broken = f"not opened: {error}"
            self.talks[talk.number] = talk
            return talk
        sock.setblocking(False)
        talk = Talk(next(self.numbers), sock, target)
        self.talks[talk.number] = self.by_fd[sock.fileno()] = talk
        self.turns[talk.number % TICKS].append(talk)
        self.poll.register(sock, select.EPOLLIN)
        return talk

    def leave(self, talk):
        if talk.sock.fileno() in self.by_fd:
            self.poll.unregister(talk.sock)
            del self.by_fd[talk.sock.fileno()]
            self.turns[talk.number % TICKS].remove(talk)
        talk.sock.close()

    def attempt(self, talk, work, *arguments):
        """Whatever goes wrong breaks this connection, and no other."""
        try:
            work(*arguments)
        except OSError as error:
            talk.broken = os.strerror(error.errno) if error.errno else str(error)
            self.leave(talk)

    def tick(self):
        now = time.monotonic()
        while self.due <= now:
            for talk in list(self.turns[self.turn]):
                if not talk.quiet or talk.asked:
                    self.attempt(talk, talk.ask, self.question, now)
            self.turn = (self.turn + 1) % TICKS
            self.due += self.options.period / TICKS

    # Commands. Each returns what tells whether it is carried out.

    def open(self, count):
        new = []
        for _ in range(count):
            new.append(self.connect())
            if not new[-1].broken:
                self.attempt(new[-1], new[-1].ask, self.question, time.monotonic())
        return lambda: all(t.server or t.broken for t in new)

    def round(self):
        now = time.monotonic()
        return lambda: all(t.quiet or t.heard > now for t in self.by_fd.values())

    def quiet_(self, numbers):
        chosen = [self.talks[n] for n in numbers]
        for talk in chosen:
            talk.quiet = True
        return lambda: all(t.broken or not t.asked for t in chosen)

    def talk(self):
        for talk in self.talks.values():
            talk.quiet = False
        return self.round()

    def close(self, numbers):
        for number in numbers:
            self.leave(self.talks.pop(number))
        return lambda: True

    def read(self):
        """Takes what was typed; False at its end. One command at a time: each is answered."""
        data = os.read(0, 1 << 20)
        self.input += data
        if b"\n" in self.input:
            line, self.input = self.input.split(b"\n", 1)
            verb, *arguments = json.loads(line)
            self.done = {"open": self.open, "round": self.round, "quiet": self.quiet_,
                         "talk": self.talk, "close": self.close}[verb](*arguments)
        return data

    def main(self):
        while True:
            for fd, _ in self.poll.poll(max(0.0, self.due - time.monotonic())):
                if fd in self.by_fd:
                    talk = self.by_fd[fd]
                    self.attempt(talk, talk.answer, self.complete)
                elif fd == 0 and not self.read():
                    return
            self.tick()
            if self.done and self.done():
                self.done = None
                print(json.dumps([t.row() for t in self.talks.values()]), flush=True)


# --- the program: the server ------------------------------------------------------------------


def serve(options):
    """Answers every datagram to these addresses with a name."""
    poll, socks = select.epoll(), {}
    for address in options.address:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                             socket.SOCK_DGRAM)
        sock.bind((address, UDP_PORT))
        poll.register(sock, select.EPOLLIN)
        socks[sock.fileno()] = sock
    print("ready", flush=True)
    while True:
        for fd, _ in poll.poll():
            _, client = socks[fd].recvfrom(2048)
            socks[fd].sendto(options.name.encode() + b"\n", client)


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = argparse.ArgumentParser(description="Long conversations, and whom to have them with.")
    commands = parser.add_subparsers(required=True)
    client = commands.add_parser("talk", help="connections that stay open")
    client.add_argument("targets", nargs="+", metavar="ADDRESS")
    client.add_argument("--source", action="append", help="a local address to use")
    client.add_argument("--port", type=int)
    client.add_argument("--period", type=float, help="seconds between two questions")
    client.add_argument("--udp", action="store_true")
    client.set_defaults(run=lambda options: Client(options).main())
    server = commands.add_parser("serve", help=f"answers UDP on port {UDP_PORT}")
    server.add_argument("name")
    server.add_argument("address", nargs="+")
    server.set_defaults(run=serve)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
