# SPDX-License-Identifier: GPL-2.0-only
"""New connections by the hundred thousand a second, straight into a balancer's program.

A generator on the wire would need all the CPUs that there are. So the handshakes (rush.bpf.c) are
made in the kernel and handed to the very program that is attached to the node's interface, with
its maps and its log; what leaves it goes nowhere.
"""
import contextlib
import ctypes
import os
import socket
import struct
import time

from lab import BUILD, LabError
from longlived import Flow
from pinned import BPF_OBJ_GET, SYS_BPF

OBJECT = BUILD / "tests/net/rush.bpf.o"
PIN = "/sys/fs/bpf/rush"
BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_PROG_TEST_RUN, BPF_PROG_GET_FD_BY_ID = 1, 2, 10, 13
BATCH = 1000  # handshakes at once: what a node that was late makes up for


def bpf(command, attribute):
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(SYS_BPF, command, ctypes.c_char_p(attribute), len(attribute))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"bpf command {command}")
    return result


def address_of(value):
    return ctypes.addressof(value)


class Rush:
    """with Rush(node, vip) as rush: rush.run(100_000, 10)"""

    def __init__(self, node, vip):
        self.node, self.vip, self.opened = node, vip, 0

    def __enter__(self):
        if not OBJECT.exists():
            raise LabError(f"{OBJECT} is missing: run make first")
        self.node.run("bpftool", "prog", "load", OBJECT, PIN, "pinmaps", f"{PIN}-maps")
        self.stack = contextlib.ExitStack()
        self.stack.callback(self.node.run, "rm", "-r", PIN, f"{PIN}-maps")
        # The kernel makes a way of its own to an XDP program when the first user comes, and that
        # takes it 20 ms: an interface that nobody uses is a user that stays.
        self.node.ip("link add rush type veth peer name rush-end")
        self.stack.callback(self.node.ip, "link del rush")
        self.node.run("ip", "link", "set", "rush", "xdpdrv", "pinned", PIN)
        self.program = self._pinned(PIN)
        self.source = self._pinned(f"{PIN}-maps/source")
        target = self._own(bpf(BPF_PROG_GET_FD_BY_ID,
                               struct.pack("=III", self.node.link()["xdp"]["prog"]["id"], 0, 0)))
        self._update(self._pinned(f"{PIN}-maps/under_test"), struct.pack("=I", target))
        self._update(self.source, self._frame() + bytes(8))
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _own(self, fd):
        self.stack.callback(os.close, fd)
        return fd

    def _pinned(self, path):
        path = ctypes.create_string_buffer(f"/proc/{self.node.holder.pid}/root{path}".encode())
        return self._own(bpf(BPF_OBJ_GET, struct.pack("=QII", address_of(path), 0, 0)))

    @staticmethod
    def _update(fd, value):
        key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(value, len(value))
        bpf(BPF_MAP_UPDATE_ELEM,
            struct.pack("=IIQQQ", fd, 0, address_of(key), address_of(value), 0))

    def _frame(self):
        mac = bytes.fromhex(self.node.link()["address"].replace(":", ""))
        ethernet = mac + b"\x02\0\0\0\0\x02\x08\0"
        ip = struct.pack("!BBHHHBBH4x4s", 0x45, 0, 50, 0, 0x4000, 64, socket.IPPROTO_TCP, 0,
                         socket.inet_aton(self.vip))
        tcp = struct.pack("!HHIIBBHHH", 0, 80, 0, 0, 5 << 4, 0, 65535, 0, 0)
        return (ethernet + ip + tcp).ljust(64, b"\0")

    def _open(self, count):
        frame = ctypes.create_string_buffer(64)
        bpf(BPF_PROG_TEST_RUN, struct.pack("=IIIIQQIIIIQQIII4x", self.program, 0, 64, 0,
                                           address_of(frame), 0, 2 * count, 0, 0, 0, 0, 0, 0, 0, 0))
        self.opened += count

    def run(self, rate, seconds, meanwhile=lambda: None):
        """So many handshakes a second, evenly; calls meanwhile() every second. Returns how long it
        took, which is longer if this machine cannot do it."""
        begun, last, want = time.monotonic(), 0, rate * seconds
        while self.opened < want:
            now = time.monotonic() - begun
            if int(now) > last:
                last = int(now)
                meanwhile()
            due = min(int(now * rate), want) - self.opened
            self._open(min(due, BATCH)) if due > 0 else time.sleep(0.0005)
        return time.monotonic() - begun

    def flow(self, number):
        """The n-th connection, for pinned.py."""
        source = 0xc6120000 + (number & 0x1ffff)
        return Flow(number, self.vip, socket.inet_ntoa(struct.pack("!I", source)),
                    1024 + (number >> 17), None, None)
