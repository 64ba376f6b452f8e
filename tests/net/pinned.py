# SPDX-License-Identifier: GPL-2.0-only
"""What the data plane knows, read from its pinned maps, and a second opinion on what it does.

The hash, the ring and the table are read here as include/evenkeel/*.h define them, in another
language: a test that predicts the backend of thousands of connections from these bytes, and is
right, has checked both. Services are expected to use the method maglev.
"""
import collections
import contextlib
import ctypes
import ipaddress
import mmap
import os
import platform
import re
import socket
import struct

from lab import PINS

RING_SIZE = 65537
LOOKUP = 1 << 30
INDEX = 0x7fff
WAYS = 8
ESTABLISHED, CLOSING = 2, 3
FINGERPRINT = ~0x7fffffff & (1 << 64) - 1
ROW_WORDS = 8  # of a backend, the first of which counts packets

BPF_OBJ_GET = 7
SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]


class Held(collections.namedtuple("Held", "by backend")):
    """What keeps a connection with its backend (an index):
    "hash": it is where new connections of its slot go;
    "origin": its slot remembers who was there before;
    "entry": its own entry, without which it would go elsewhere."""


class Pinned:
    """The maps of a balancer, mapped into this process. A context manager."""

    def __init__(self, balancer):
        self.root = f"/proc/{balancer.holder.pid}/root"
        with open(f"{self.root}/var/lib/evenkeel/hash-key") as file:
            self.key = struct.unpack("<12Q", bytes.fromhex(file.read()))
        self.open = contextlib.ExitStack()
        self.rings = {}
        self.flows = self._map("flows", "Q")
        self.backends = self._map("backends", "Q")
        self.cpus = os.sysconf("SC_NPROCESSORS_CONF")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.open.close()

    def _map(self, name, word):
        """The values of an array as a sequence of words."""
        path = ctypes.create_string_buffer(f"{self.root}{PINS}/{name}".encode())
        attribute = struct.pack("=QII", ctypes.addressof(path), 0, 0)
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.syscall(SYS_BPF, BPF_OBJ_GET, ctypes.c_char_p(attribute), len(attribute))
        if fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
        with open(f"/proc/self/fdinfo/{fd}") as info:
            found = dict(re.findall(r"^(\w+):\t(\d+)$", info.read(), re.M))
        size = (int(found["value_size"]) + 7 & ~7) * int(found["max_entries"])
        memory = mmap.mmap(fd, size, prot=mmap.PROT_READ)
        os.close(fd)
        self.open.callback(memory.close)
        view = self.open.enter_context(memoryview(memory))
        return self.open.enter_context(view.cast(word))

    def ring(self, service):
        """The slots of a service, by its id."""
        if service not in self.rings:
            words = self._map(f"ring-{service}", "I")
            self.rings[service] = self.open.enter_context(words[:RING_SIZE])
        return self.rings[service]

    def packets(self, index):
        """Packets that went to a backend, by CPU."""
        row = len(self.backends) // self.cpus
        return [self.backends[cpu * row + index * ROW_WORDS] for cpu in range(self.cpus)]

    # The keyed hash, see include/evenkeel/hash.h.

    def _pair(self, i, x, y):
        return (self.key[i] + x) * (self.key[i + 1] + y)

    def _half(self, i, half):
        return self._pair(i, half & 0xffffffff, half >> 32)

    def hash(self, flow, port=80, protocol=socket.IPPROTO_TCP):
        """Of a longlived.Flow; `port` is the service's."""
        vip, client = (ipaddress.ip_address(a).packed for a in (flow.target, flow.source))
        service = socket.htons(port) | protocol << 16
        client_port = socket.htons(flow.port)
        if len(vip) == 4:
            total = (self._pair(0, int.from_bytes(vip, "little"), service)
                     + self._pair(2, int.from_bytes(client, "little"), client_port))
        else:
            total = self.key[4] * service + self.key[9] * client_port
            for i, half in zip((0, 2, 5, 7), struct.unpack("<4Q", vip + client)):
                total += self._half(i, half)
        total &= (1 << 64) - 1
        total ^= total >> 32
        total = total * (self.key[10] | 1) & (1 << 64) - 1
        return total ^ total >> 32

    def entry(self, number):
        """The live entry of a flow with this hash, or 0."""
        bucket = (number & len(self.flows) // WAYS - 1) * WAYS
        return next((e for e in self.flows[bucket:bucket + WAYS]
                     if not (e ^ number) & FINGERPRINT
                     and e >> 14 & 3 in (ESTABLISHED, CLOSING)), 0)

    def held(self, service, flow, port=80, protocol=socket.IPPROTO_TCP):
        """How a flow of this service (an id) is held, by the rules of include/evenkeel/select.h
        for backends that are alive."""
        number = self.hash(flow, port, protocol)
        slot = self.ring(service)[(number >> 32) * RING_SIZE >> 32]
        current, origin = slot & INDEX, slot >> 15 & INDEX
        if not slot & LOOKUP:
            return Held("hash", current)
        missed = origin if protocol == socket.IPPROTO_TCP else current
        entry = self.entry(number)
        if entry and (backend := entry >> 16 & INDEX) != missed:
            return Held("entry", backend)
        return Held("hash" if missed == current else "origin", missed)


def server_at(address):
    """The name of the lab's server there. A balancer does not know the names of those that left
    its file before it was started."""
    return f"web{int(re.search('[0-9]+$', address)[0]) - 20}"


def held(balancer, services, flows, *, port=80, protocol=socket.IPPROTO_TCP):
    """How many connections are held by what; `services` are {address: name}. On the way each is
    looked for where it is answered: there the maps must have it."""
    status = {s["name"]: s for s in balancer.status()["services"]}
    names = {vip: {b["index"]: server_at(b["address"]) for b in status[name]["backends"]}
             for vip, name in services.items()}
    counts = collections.Counter()
    with Pinned(balancer) as pinned:
        for flow in flows:
            by, backend = pinned.held(status[services[flow.target]]["id"], flow, port, protocol)
            assert names[flow.target].get(backend) == flow.server, f"held by {by}: {flow}"
            counts[by] += 1
    return counts
