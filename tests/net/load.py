# SPDX-License-Identifier: GPL-2.0-only
"""A load of HTTP requests that counts, and forgets nothing.

The Load class starts this same file as a program inside a host of the lab. There it asks each
target for / until it is told to stop, in two ways at once: requests on a connection of their own,
and sessions that stay open and ask again and again. The program prints what became of every
request; the times are CLOCK_MONOTONIC, which is one clock for the whole machine.
"""
import argparse
import asyncio
import collections
import itertools
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

TIMEOUT = 5.0  # seconds for one request
HOPELESS = 100  # failures after which a counted load gives up
IP_BIND_ADDRESS_NO_PORT = 24


class Request(collections.namedtuple("Request", "start end answer error kind flow")):
    """One request: `answer` is the backend's name, or None and `error` says why; `flow` is the
    connection's (source, port, target)."""


class Load:
    """with Load(lab.client, [VIP4], sources=CLIENT4) as load: ...; load.failures"""

    def __init__(self, host, targets, sources=(), *, workers=8, sessions=0, count=0, pause=0.0):
        options = ["--workers", workers, "--sessions", sessions, "--count", count, "--pause", pause]
        for source in sources:
            options += ["--source", source]
        # Python from its own path: the environment's PATH may put another first.
        self.argv = [sys.executable, Path(__file__), *options, *targets]
        self.host, self.requests, self.process = host, [], None

    def __enter__(self):
        self.process = self.host.popen(*self.argv, name="load", stdin=-1, stdout=-1)
        return self

    def __exit__(self, kind, *_):
        if self.process.alive or not self.requests:
            self.finish(stop=True, keep=kind is None)

    def finish(self, stop=False, keep=True):
        """Waits for `count` requests, or stops. What is under way is answered first."""
        if stop:
            self.process.send(signal.SIGTERM)
        output, _ = self.process.popen.communicate(timeout=120)
        if keep:
            self.requests = [Request(*row, tuple(flow)) for *row, flow in json.loads(output)]
        return self

    @property
    def failures(self):
        return [r for r in self.requests if r.error]

    def answers(self, since=0.0):
        """How many requests that began after `since` each backend answered."""
        return collections.Counter(r.answer for r in self.requests
                                   if r.answer and r.start >= since)

    def __str__(self):
        answers = ", ".join(f"{n} by {b}" for b, n in sorted(self.answers().items()))
        errors = collections.Counter(r.error for r in self.failures)
        return (f"{len(self.requests)} requests: {answers}; {len(self.failures)} failed"
                + "".join(f"; {n} times {e}" for e, n in errors.items()))


class Program:
    """The other side, inside the host."""

    def __init__(self, options):
        self.options, self.rows = options, []
        self.left = iter(range(options.count)) if options.count else itertools.count()
        self.over, self.failed = False, 0
        v6 = [s for s in options.source if ":" in s]
        v4 = [s for s in options.source if ":" not in s]
        self.targets = itertools.cycle(options.targets)
        self.sources = {socket.AF_INET: itertools.cycle(v4 or [""]),
                        socket.AF_INET6: itertools.cycle(v6 or [""])}

    async def connect(self, flow):
        target = next(self.targets)
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if source := next(self.sources[family]):
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((source, 0))
            try:
                await asyncio.get_running_loop().sock_connect(sock, (target, 80))
            finally:
                flow[:] = *sock.getsockname()[:2], target
            return sock, target
        except BaseException:
            sock.close()
            raise

    async def ask(self, sock, target, last):
        loop = asyncio.get_running_loop()
        host = f"[{target}]" if ":" in target else target
        await loop.sock_sendall(sock, f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: "
                                      f"{'close' if last else 'keep-alive'}\r\n\r\n".encode())
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0 or len(data) < end + 4 + length(data[:end]):
            if not (more := await loop.sock_recv(sock, 65536)):
                raise ConnectionError("closed in the middle")
            data += more
        if not data.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(data.split(b"\r\n")[0].decode(errors="replace"))
        return data[end + 4:].decode().strip()

    async def request(self, kind, work, flow):
        """One request, timed and written down, whatever becomes of it. The work fills in `flow`."""
        start, answer, error = time.monotonic(), None, None
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = await work
        except TimeoutError:
            error = "no answer"
        except OSError as e:
            error = os.strerror(e.errno) if e.errno else str(e)
        self.rows.append((start, time.monotonic(), answer, error, kind, list(flow)))
        self.failed += error is not None
        if self.options.count and self.failed > HOPELESS:
            self.over = True
        return answer

    async def single(self):
        """Requests on a connection of their own."""
        async def work(flow):
            sock, target = await self.connect(flow)
            with sock:
                return await self.ask(sock, target, last=True)
        for _ in self.left:
            if self.over:
                break
            flow = []
            await self.request("single", work(flow), flow)
            if self.options.pause:
                await asyncio.sleep(self.options.pause)

    async def session(self):
        """One connection that asks every 20 ms; it must be one backend that answers."""
        sock = target = first = None
        flow = []

        async def work():
            nonlocal sock, target, first
            if not sock:
                sock, target = await self.connect(flow)
                first = None
            answer = await self.ask(sock, target, last=False)
            first = first or answer
            if answer != first:
                raise ConnectionError(f"went from {first} to {answer}")
            return answer

        while not self.over:
            if not await self.request("session", work(), flow) and sock:
                sock.close()
                sock = None
            await asyncio.sleep(0.02)
        if sock:
            sock.close()

    async def main(self):
        loop = asyncio.get_running_loop()
        for number in signal.SIGTERM, signal.SIGINT:
            loop.add_signal_handler(number, lambda: setattr(self, "over", True))
        await asyncio.gather(*(self.single() for _ in range(self.options.workers)),
                             *(self.session() for _ in range(self.options.sessions)))
        json.dump(self.rows, sys.stdout)


def length(head):
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def main():
    parser = argparse.ArgumentParser(description="Asks web servers for / and counts the answers.")
    parser.add_argument("targets", nargs="+", metavar="ADDRESS")
    parser.add_argument("--source", action="append", default=[], help="a local address to use")
    parser.add_argument("--workers", type=int, default=8, help="requests at the same time")
    parser.add_argument("--sessions", type=int, default=0, help="connections that stay open")
    parser.add_argument("--count", type=int, default=0, help="stop after so many (0: SIGTERM)")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two requests")
    asyncio.run(Program(parser.parse_args()).main())


if __name__ == "__main__":
    main()
