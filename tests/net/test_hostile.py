# SPDX-License-Identifier: GPL-2.0-only
"""What strangers, broken peers and slips of the hand do to a pair: nothing to its VIPs, and every
refusal is counted under a name or shown with its reason.

What VRRP cannot prevent: it has no authentication (RFC 9568, section 9). Who is on the link and
sends from a peer's address is believed; see test_vrrp_believes_who_is_on_the_link(). A replayed
advert is one of these: beside the living master that sent it it changes nothing, but after that
master's death it keeps the others waiting, for as long as the replays come. A TTL of 255 keeps
everybody out who is not on the link, the peer list everybody who does not forge an address; over
IPv6 adverts come from link-local addresses, which count as a list only if the peers' are in it.
The peer channel has none of these weaknesses.

Adverts come every 300 ms here, so that a machine that is busy for half a second is not what is
seen.
"""
import contextlib
import hmac
import ipaddress
import os
import random
import re
import select
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from lab import BUILD, CLIENT4, FABRIC_MTU, VIP4, VIP6, Capture, Server, run, until
from longlived import UDP_PORT
from pair import CONFIG, HASH_KEY, SECRET, VIPS, PairLab, services
from pinned import CLOSING, ESTABLISHED, FINGERPRINT, INDEX, WAYS, Pinned
from probes import checksum

SHARES = {1: 100, 2: 100}
SLOW = 0.3  # seconds between adverts
CALM = {"instance": {"interval": "300ms"}}
VRID, PORT = 51, 6480
ATTACKER = bytes.fromhex("020000006666")
GROUPS = {4: ("224.0.0.18", bytes.fromhex("01005e000012")),
          6: ("ff02::12", bytes.fromhex("333300000012"))}
STRANGERS = {4: "10.2.0.99", 6: "fe80::66"}


@pytest.fixture(scope="module")
def lab():
    with PairLab("hostile", backends=2, big=1_000_000) as made:
        yield made


@pytest.fixture
def pair(lab):
    """lb1 is primary, lb2 knows everything."""
    settle(lab)
    yield lab


def settle(lab):
    """A pair in its ordinary state; one that is in it already stays as it is."""
    running = all(n.daemon and n.daemon.alive for n in lab.balancers)
    if not running or any((n.etc / "evenkeel.yaml").read_text() != file
                          for n, file in zip(lab.balancers, files(lab))):
        lab.share_keys()
        lab.fresh(*services(SHARES), **CALM)
    lab.wait_roles(lb1="primary", lb2="secondary")
    lab.wait_synced()


def files(lab):
    return [lab.config(n, *services(SHARES), **CALM) for n in lab.balancers]


@contextlib.contextmanager
def unmoved(lab, figure, roles=("primary", "secondary")):
    """Inside the block nobody changes his role, and the VIPs answer without a pause. A pause of
    the probe itself may be that of the whole machine."""
    before = changes(lab)
    with lab.meter() as meter, lab.crowd() as crowd:
        crowd.open(100)
        begun = time.monotonic()
        yield crowd
        over = time.monotonic()
        crowd.round()
        assert not crowd.broken()
    gap, lag = meter.gap(begun, over)[0], meter.lag(begun, over)[0]
    figure(f"in {over - begun:.1f} s at most {1000 * gap:.0f} ms without an answer; the meter's "
           f"own pauses are at most {1000 * lag:.0f} ms")
    assert changes(lab) == before and tuple(lab.roles().values()) == roles
    assert not meter.errors("tcp") and gap < 3 * SLOW + lag


def front(node):
    return node.ha_status()["instances"][0]


def changes(lab):
    return [(front(n)["claims"], front(n)["yields"]) for n in lab.balancers]


def closed(node):
    return node.ha_status()["closed"]


def descriptors(node):
    return len(os.listdir(f"/proc/{node.daemon.pid}/fd"))


def pause(seconds):
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 1, "time passes")


# --- adverts ----------------------------------------------------------------------------------


def total(data):
    return checksum(data + bytes(len(data) % 2))


def address(text):
    return ipaddress.ip_address(text).packed


def advert(version, *, source=None, vrid=VRID, priority=254, first=0x31, count=1, interval=30,
           wrong=0, pseudo=False):
    """A VRRP message, right but for what is asked for."""
    vip = address(VIP6 if version == 6 else VIP4)
    head = struct.pack("!BBBBHH", first, vrid, priority, count, interval, 0)
    return seal(version, head + vip, source, wrong, pseudo)


def seal(version, message, source=None, wrong=0, pseudo=False):
    """With a checksum, if there is room for one."""
    if len(message) < 8:
        return message
    message = message[:6] + bytes(2) + message[8:]
    covered = message
    if version == 6 or pseudo:
        covered = (address(source or STRANGERS[version]) + address(GROUPS[version][0])
                   + struct.pack("!II", len(message), 112) + message)
    return message[:6] + struct.pack("!H", total(covered) ^ wrong) + message[8:]


def frame(version, message, *, source=None, ttl=255):
    source, (group, mac) = source or STRANGERS[version], GROUPS[version]
    if version == 4:
        head = struct.pack("!BBHIBBH4s4s", 0x45, 0xc0, 20 + len(message), 0, ttl, 112, 0,
                           address(source), address(group))
        head = head[:10] + struct.pack("!H", total(head)) + head[12:]
        return mac + ATTACKER + b"\x08\x00" + head + message
    head = struct.pack("!IHBB", 6 << 28, len(message), 112, ttl) + address(source) + address(group)
    return mac + ATTACKER + b"\x86\xdd" + head + message


class Forger:
    """On the balancers' link. A context manager."""

    def __init__(self, lab):
        with lab.router.enter():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.bind(("br0", 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *frames):
        for one in frames:
            self.socket.send(one)


TIMES = 20
ROWS = [  # reason, what makes it so: of the message, of the frame
    ("TTL or hop limit below 255", {}, {"ttl": 254}),
    ("TTL or hop limit below 255", {}, {"ttl": 1}),
    ("wrong checksum", {"wrong": 0x0100}, {}),
    ("not version 3", {"first": 0x21}, {}),
    ("not an advertisement", {"first": 0x32}, {}),
    ("address count does not fit the length", {"count": 0}, {}),
    ("address count does not fit the length", {"count": 255}, {}),
    ("interval of zero", {"interval": 0}, {}),
    ("no such virtual router here", {"vrid": 52}, {}),
]


def refused(node, reason):
    return front(node)["refused"].get(reason, 0)


def wait_refused(lab, reason, before, times):
    until(lambda: [refused(n, reason) for n in lab.balancers] == [b + times for b in before], 5,
          lambda: f"{times} times '{reason}': {[front(n)['refused'] for n in lab.balancers]}")


def test_forged_adverts(pair, figure):
    """Each of them with a priority that would win."""
    rows = [(version, *row) for version in (4, 6) for row in ROWS]
    # The list of peers: for IPv6, what is from no link-local address is judged by it.
    unknown = "not from a configured peer"
    rows += [(4, unknown, {}, {"source": "10.2.0.99"}),
             (4, unknown, {"pseudo": True, "source": "10.2.0.99"}, {"source": "10.2.0.99"}),
             (6, unknown, {"source": "fd00:2::99"}, {"source": "fd00:2::99"})]
    with unmoved(pair, figure), Forger(pair) as forger:
        for version, reason, wrong, way in rows:
            before = [refused(n, reason) for n in pair.balancers]
            forger.send(*[frame(version, advert(version, **wrong), **way)] * TIMES)
            wait_refused(pair, reason, before, TIMES)
    figure(f"{len(rows)} kinds; {front(pair.balancers[1])['refused']}")


def test_truncated_adverts(pair, figure):
    """At every byte, as it comes and with a checksum that is right again."""
    with unmoved(pair, figure), Forger(pair) as forger:
        for version in (4, 6):
            whole = advert(version)
            for cut, reason in ((whole[:n], "truncated" if n < 8 else "wrong checksum")
                                for n in range(len(whole))):
                before = [refused(n, reason) for n in pair.balancers]
                forger.send(frame(version, cut))
                wait_refused(pair, reason, before, 1)
            for n in range(8, len(whole)):
                reason = "address count does not fit the length"
                before = [refused(node, reason) for node in pair.balancers]
                forger.send(frame(version, seal(version, whole[:n])))
                wait_refused(pair, reason, before, 1)


def test_random_adverts(pair, figure):
    """5,000 packets of noise, every second one with the first bytes of an advert."""
    noise = random.Random(51)

    def garbage():
        message = noise.randbytes(noise.randrange(64))
        return b"\x31\x33" + message if noise.random() < 0.5 else message

    def counted():
        return [sum(front(n)["refused"].values()) for n in pair.balancers]

    with unmoved(pair, figure), Forger(pair) as forger:
        before = counted()
        for sent in range(100, 5001, 100):
            forger.send(*(frame(noise.choice((4, 6)), garbage()) for _ in range(100)))
            until(lambda s=sent: counted() == [b + s for b in before], 5,
                  lambda: f"counted: {before}, {counted()}")
    figure(f"{front(pair.balancers[1])['refused']}")


def recorded(lab, node):
    """Adverts of a node as they came from its port, one a family."""
    found = {}
    with Recorder(lab.router, node.name) as wire:
        until(lambda: found.update({f[12:14]: f for _, f in wire.frames if is_advert(f)})
              or len(found) == 2, 5, "adverts of both families")
    return list(found.values())


class Recorder(Capture):
    """Until it is told to end: on this link it is never quiet."""

    def _read(self):
        while not self.done.is_set():
            with contextlib.suppress(TimeoutError):
                self.frames.append((time.monotonic(), self.socket.recv(65536)))


def is_advert(f):
    return f[:6] in [mac for _, mac in GROUPS.values()] and 112 in (f[20], f[23])


def test_old_adverts_of_the_peer(pair, figure):
    """lb1's own adverts once more, a hundred a second, beside the living lb1."""
    lb1, lb2 = pair.balancers
    old = recorded(pair, lb1)
    heard = sum(p["heard"] for p in front(lb2)["paths"])
    with unmoved(pair, figure), Forger(pair) as forger:
        for _ in range(300):
            # Not with its MAC: that is what switches believe, not VRRP.
            forger.send(*(f[:6] + ATTACKER + f[12:] for f in old))
            pause(0.01)
    more = sum(p["heard"] for p in front(lb2)["paths"]) - heard
    figure(f"lb2 heard {more} adverts; {front(lb2)['master']} is master")
    assert more >= 600 and front(lb2)["master_priority"] == 150


def test_vrrp_believes_who_is_on_the_link(pair, figure):
    """From lb2's address somebody says 254: lb1 steps aside for as long as that is said, and is
    back after a dead interval. No connection breaks."""
    lb1, lb2 = pair.balancers
    lie = frame(4, advert(4), source=lb2.addresses[0])
    with pair.crowd() as crowd, Forger(pair) as forger:
        crowd.open(100)

        def yields():
            forger.send(lie)
            return lb1.role() == "secondary"

        until(yields, 5, "lb1 steps aside")
        pair.wait_roles(lb1="primary", lb2="secondary")
        crowd.round()
        assert not crowd.broken()
    figure(f"lb1 has claimed {front(lb1)['claims']} times")


# --- connections to the channel ---------------------------------------------------------------


def call(host, target, source=None, timeout=3.0):
    """A connection from a host, or None when it was refused on the way."""
    with host.enter():
        sock = socket.socket()
    sock.settimeout(timeout)
    try:
        sock.bind((source or "", 0))
        sock.connect((target, PORT))
    except OSError:
        sock.close()
        return None
    return sock


def ends(sock):
    """Waits for the other side's end."""
    with sock, contextlib.suppress(ConnectionError):
        while sock.recv(65536):
            pass
    return True


@contextlib.contextmanager
def channel_lives(lab, figure):
    """The links are those that they were, and no descriptor is lost."""
    def links():
        return [[(k["address"], k["state"], k["active"], k["since"]) for k in p["links"]]
                for n in lab.balancers for p in n.ha_status()["peers"]]
    before, files = links(), [descriptors(n) for n in lab.balancers]
    with unmoved(lab, figure) as crowd:
        yield crowd
    until(lambda: [descriptors(n) for n in lab.balancers] == files, 10,
          lambda: f"descriptors: {files}, {[descriptors(n) for n in lab.balancers]}")
    assert links() == before


def test_strangers_at_the_channel(pair, figure):
    """Closed at once, and counted."""
    before = [closed(n)["strangers"] for n in pair.balancers]
    with channel_lives(pair, figure):
        for node in pair.balancers:
            for _ in range(100):
                assert ends(call(pair.webs[0], node.addresses[0]))
    assert [closed(n)["strangers"] for n in pair.balancers] == [b + 100 for b in before]


OPENSSL = {
    "a wrong key": ["-psk_identity", "evenkeel", "-psk", "5a" * 32],
    "another name of the key": ["-psk_identity", "somebody", "-psk", "5a" * 32],
    "no key and no certificate": [],
    "a certificate": ["-cert", "{dir}/cert.pem", "-key", "{dir}/key.pem"],
    "TLS 1.2": ["-tls1_2"],
}


def test_bad_clients_at_a_peers_address(pair, figure):
    """From lb1's own address, beside its daemon: noise, and TLS without the right key."""
    lb1, lb2 = pair.balancers
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", pair.dir / "key.pem", "-out", pair.dir / "cert.pem", "-subj", "/CN=lb1")
    before = closed(lb2)
    with channel_lives(pair, figure):
        for _ in range(100):
            with call(lb1, lb2.addresses[0], lb1.addresses[0]) as sock:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(os.urandom(1000))
                    sock.recv(4096)
        for name, options in OPENSSL.items():
            done = lb1.run("openssl", "s_client", "-connect", f"{lb2.addresses[0]}:{PORT}",
                           *(o.format(dir=pair.dir) for o in options), check=False, input="hello\n")
            assert done.returncode and "Cipher is (NONE)" in done.stdout, f"{name}:\n{done.stdout}"
        until(lambda: closed(lb2)["failed"] >= before["failed"] + 100 + len(OPENSSL), 5,
              lambda: f"counted: {before}, {closed(lb2)}")
    figure(f"{before} before, {closed(lb2)} after")


def test_slow_clients_at_a_peers_address(pair, figure):
    """One byte at a time: four may wait, for two seconds; the others are closed at once."""
    lb1, lb2 = pair.balancers
    before = closed(lb2)
    with channel_lives(pair, figure):
        socks = [call(lb1, lb2.addresses[0], lb1.addresses[0]) for _ in range(12)]
        hello = iter(b"\x16\x03\x01\x02\x00\x01" + bytes(500))
        until(lambda: not trickle(socks, bytes([next(hello)])), 20, "all are closed")
    after = closed(lb2)
    figure(f"{before} before, {after} after")
    assert (after["crowded"], after["failed"]) == (before["crowded"] + 8, before["failed"] + 4)


def trickle(socks, byte):
    """One more byte to those that are open; returns them."""
    for sock in list(socks):
        try:
            sock.send(byte)
            sock.settimeout(0.02)
            if sock.recv(1) == b"":
                raise ConnectionError
        except TimeoutError:
            continue
        except OSError:
            sock.close()
            socks.remove(sock)
    return socks


def test_ten_thousand_connections(pair, figure):
    """Half of them from a peer's address, none of which says a word."""
    lb1, lb2 = pair.balancers
    before = closed(lb2)
    with channel_lives(pair, figure):
        for host, source in ((pair.webs[0], None), (lb1, lb1.addresses[0])):
            for _ in range(5000):
                if sock := call(host, lb2.addresses[0], source):
                    sock.close()
        until(lambda: sum(closed(lb2).values()) >= sum(before.values()) + 9990, 10,
              lambda: f"counted: {before}, {closed(lb2)}")
    figure(f"{before} before, {closed(lb2)} after")


# --- a peer with the right key ----------------------------------------------------------------

STATUS, WANT, MARK, ENTRIES, HELLO, ACCEPT, PING, ACTIVATE = 1, 16, 18, 22, 240, 241, 243, 244


def pre_shared_key(node):
    """As lib/channel_tls.c derives it from the secret: HKDF (RFC 5869) without salt."""
    secret = (node.etc / "peer.key").read_bytes().strip()
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, b"evenkeel peer channel 1 psk\x01", "sha256").hex()


class Impostor:
    """lb1 as somebody who has its secret and its address would be, to lb2. A context manager."""

    def __init__(self, lb1, lb2):
        self.process = lb1.popen(
            "openssl", "s_client", "-quiet", "-nocommands", "-tls1_3", "-psk_identity", "evenkeel",
            "-psk", pre_shared_key(lb1), "-ciphersuites", "TLS_AES_128_GCM_SHA256",
            "-bind", f"{lb1.addresses[0]}:0", "-connect", f"{lb2.addresses[0]}:{PORT}",
            name="impostor", stdin=-1, stdout=-1)
        self.pipe = self.process.popen
        os.set_blocking(self.pipe.stdin.fileno(), False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.pipe.stdin.close()
        self.process.stop()
        self.pipe.stdout.close()

    def say(self, kind, body=b"", times=1):
        """How many of `times` messages could be said, or None when nobody listens any more."""
        message = struct.pack("!IB", len(body) + 1, kind) + body
        times = min(times, select.PIPE_BUF // len(message))  # all or nothing
        try:
            os.write(self.pipe.stdin.fileno(), message * times)
        except BlockingIOError:
            pause(0.001)
            return 0
        except OSError:
            return None
        return times

    def hear(self):
        length, kind = struct.unpack("!IB", self.pipe.stdout.read(5))
        return kind, self.pipe.stdout.read(length - 1)

    def greet(self):
        """Until the connection is the active one."""
        kind, hello = self.hear()
        assert kind == HELLO
        # What it says of its tables and its key is right for us too.
        caller = hello[21 + hello[20] + 2:]
        name = b"lb1"
        self.say(HELLO, struct.pack("!4sHHIQB", b"EKCH", 1, 1, 0, random.getrandbits(63), len(name))
                 + name + struct.pack("!H", len(caller)) + caller)
        assert self.hear()[0] == ACCEPT
        self.say(ACCEPT)
        self.say(ACTIVATE, struct.pack("!Q", 1))
        until(lambda: self.hear()[0] == ACTIVATE + 1, 5, "it is active")

    def drain(self):
        """Reads whatever comes, so that it is not silence that ends it."""
        def read():
            with contextlib.suppress(OSError, ValueError):
                while self.pipe.stdout.read(65536):
                    pass
        threading.Thread(target=read, daemon=True).start()


def trouble(node):
    """The reasons shown at the links of the only peer."""
    return [k["why"] for k in node.ha_status()["peers"][0]["links"]]


@pytest.fixture
def alone(pair):
    """lb2 alone, primary, and has just forgotten that there was an lb1."""
    lb1, lb2 = pair.balancers
    lb1.daemon.stop()
    until(lambda: lb2.role() == "primary", 10, "lb2 is primary")
    yield pair
    lb1.start()
    pair.wait_synced()


@contextlib.contextmanager
def announced(lab, figure):
    """lb2 answers for the VIPs through the whole block: not a lease runs out."""
    with lab.announcers() as seen, lab.meter() as meter:
        begun = time.monotonic()
        yield
        over = time.monotonic()
    lag = max(b.time - a.time for a, b in zip(seen.samples, seen.samples[1:]))
    silence = max(seen.silence(vip, begun, over)[0] for vip in VIPS)
    figure(f"in {over - begun:.1f} s nobody answered for the VIPs for {1000 * silence:.0f} ms, "
           f"no request for {1000 * meter.gap(begun, over)[0]:.0f} ms; the probe's own pauses "
           f"are at most {1000 * lag:.0f} ms")
    assert silence < SLOW + lag + 0.04 and not meter.errors("tcp")
    assert {n for s in seen.among(begun, over) for n in s.nodes()} == {"lb2"}


FLOODS = {
    "wants everything, again and again": (WANT, struct.pack("!Q", 7)),
    "asks for acknowledgements": (MARK, struct.pack("!Q", 7)),
    "pings": (PING, b""),
    "the same status": (STATUS, b'{"health":"up","disabled":false,"stay":"none","synced":true,'
                                b'"primary":[],"services":"0","format":2}'),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_peer_that_floods(alone, figure, flood):
    """It has the key, and sends as fast as it can for a second: heartbeats and traffic go on."""
    lb1, lb2 = alone.balancers
    kind, body = FLOODS[flood]
    with Impostor(lb1, lb2) as impostor, announced(alone, figure):
        impostor.greet()
        impostor.drain()
        end, sent = time.monotonic() + 1, 0
        while time.monotonic() < end and (said := impostor.say(kind, body, 1000)) is not None:
            sent += said
        assert lb2.ha_status()["peers"][0]["name"] == "lb1"
    figure(f"{sent} messages; lb2 shows {trouble(lb2)[0]!r}")
    assert sent


def test_a_peer_that_reads_nothing(alone, figure):
    """It asks for everything and takes none of it: it is dropped for that."""
    lb1, lb2 = alone.balancers
    with Impostor(lb1, lb2) as impostor, announced(alone, figure):
        impostor.greet()
        backlog = 0
        end = time.monotonic() + 10
        while lb2.peer("lb1")["connected"] and time.monotonic() < end:
            impostor.say(WANT, struct.pack("!Q", 7), 10)
            backlog = max([backlog, *(k["backlog"] for k in lb2.peer("lb1")["links"])])
        assert not lb2.peer("lb1")["connected"]
    figure(f"{backlog} bytes waited at most; lb2 shows {trouble(lb2)[0]!r}")
    assert "the peer takes nothing" in trouble(lb2)
    assert backlog <= 64 << 20


def test_a_peer_that_makes_no_sense(alone, figure):
    """Noise in messages of every type."""
    lb1, lb2 = alone.balancers
    for kind in STATUS, 2, 3, 4, 5, WANT, 20, 21, ENTRIES, 23, 24, 25, 27, 99:
        noise = random.Random(kind)
        with Impostor(lb1, lb2) as impostor:
            impostor.greet()
            impostor.drain()
            until(lambda k=kind, i=impostor, n=noise:
                  i.say(k, n.randbytes(n.randrange(1, 200))) is None
                  or not lb2.peer("lb1")["connected"], 10, f"type {kind} is refused")
        until(lambda: not lb2.peer("lb1")["connected"], 5, "it is dropped")
        assert "a message that makes no sense" in trouble(lb2), kind
    assert lb2.role() == "primary"


# --- a peer that stands still -----------------------------------------------------------------


class Spray:
    """New UDP flows, each of one datagram. A context manager."""

    def __init__(self, lab):
        with lab.client.enter():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.port = 10000

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, count):
        for _ in range(count):
            self.port += 1
            source = address(CLIENT4[self.port % len(CLIENT4)])
            self.socket.sendto(
                struct.pack("!BBHHHBBH4s4s", 0x45, 0, 29, 0, 0, 64, 17, 0, source, address(VIP4))
                + struct.pack("!HHHHc", self.port, UDP_PORT, 9, 0, b"?"), (VIP4, 0))


def rows(node):
    """The backends by their index."""
    node.held([])  # makes its key known to pinned.py
    return {b["index"]: (s["name"], b["name"]) for s in node.status()["services"]
            for b in s["backends"]}


def table(node, names):
    """The connections that a node knows: (bucket, fingerprint, service and backend)."""
    with Pinned(node) as pinned:
        return {(i // WAYS, word & FINGERPRINT, names[word >> 16 & INDEX])
                for i, word in enumerate(pinned.flows.tolist())
                if word >> 14 & 3 in (ESTABLISHED, CLOSING)}


@pytest.fixture
def small_buffers(lab):
    """What waits for a peer waits in the daemon, where it is counted, and not in the kernels."""
    names = "ipv4.tcp_rmem", "ipv4.tcp_wmem"
    kept = {name: Path("/proc/sys/net", *name.split(".")).read_text() for name in names}
    for node in lab.balancers:
        node.sysctl(dict.fromkeys(names, "4096 16384 32768"))
    yield
    for node in lab.balancers:
        node.sysctl(kept)


def test_a_peer_that_stands_still(lab, small_buffers, figure):
    """For five seconds lb2 reads nothing, while there are thousands of new connections: lb1 goes
    on, shows what waits and then that nothing is taken. Afterwards both know all of them."""
    lb1, lb2 = lab.balancers
    lab.fresh(*services(SHARES, tracking="full"), **CALM)
    lab.wait_roles(lb1="primary", lb2="secondary")
    lab.wait_synced()
    before, backlog = lb1.peer("lb2")["mirror"], 0
    names = [rows(n) for n in lab.balancers]

    def tables():
        return [table(n, r) for n, r in zip(lab.balancers, names)]

    with unmoved(lab, figure) as crowd, Spray(lab) as spray:
        frozen = lb2.freeze()
        while time.monotonic() < frozen + 5 and spray.port < 50000:
            spray.send(500)
            peer = lb1.peer("lb2")
            backlog = max([backlog, *(k["backlog"] for k in peer["links"])])
        until(lambda: not lb1.peer("lb2")["connected"], 5, "lb1 has given it up")
        shown = trouble(lb1)
        crowd.open(200)
        pause(max(0, frozen + 5 - time.monotonic()))
        then = [len(t) for t in tables()]
        lb2.thaw()
        lab.wait_synced()
        until(lambda: len({frozenset(t) for t in tables()}) == 1, 20,
              lambda: f"the tables are alike: {[len(t) for t in tables()]} entries, "
                      f"{len(set.symmetric_difference(*tables()))} in one only")
    after = lb1.peer("lb2")["mirror"]
    figure(f"{spray.port - 10000} UDP flows; {backlog} bytes waited at most; lb1 showed {shown}; "
           f"{then} entries then, {len(tables()[0])} on both in the end; whole tables "
           f"{before['tables']} before, {after['tables']} after; unsent {after['unsent']}, missed "
           f"{after['missed']}")
    assert then[1] < then[0] and backlog and after["tables"] > before["tables"]
    assert shown[0] in ("the peer takes nothing", "the peer is silent")


# --- slips of the hand ------------------------------------------------------------------------


def other_secret(lab, node):
    node.write(SECRET, "5a" * 32 + "\n", 0o600)


def other_hash_key(lab, node):
    node.write(HASH_KEY, "5a" * 96 + "\n", 0o600)


def other_size(lab, node):
    file = lab.config(node, *services(SHARES), **CALM)
    node.write(CONFIG, file.replace("services:", "limits: {flows: 65536}\nservices:", 1))


def same_name(lab, node):
    file = lab.config(node, *services(SHARES), **CALM)
    node.write(CONFIG, file.replace("node: lb2", "node: lb1").replace('[{"name": "lb1"',
                                                                      '[{"name": "lb2"'))


SLIPS = {  # what lb2 gets, and what each node shows of it
    "another secret": (other_secret, "wrong secret", "wrong secret"),
    "another hash key": (other_hash_key, "it has another hash key", "it has another hash key"),
    "another table size": (other_size, "it has another limits.flows",
                           "it has another limits.flows"),
    "the name of the peer": (same_name, "the peer has our own name", "the peer has our own name"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_two_nodes_that_do_not_fit(pair, figure, slip):
    """Each says so and takes nothing from the other; the VIPs stay where they are."""
    lb1, lb2 = pair.balancers
    make, *reasons = SLIPS[slip]
    kept = {path.name: path.read_text() for path in lb2.etc.iterdir()}
    lb2.daemon.stop()
    make(pair, lb2)
    taken = lb1.ha_status()["peers"][0]["mirror"]["entries_received"]
    with pair.meter() as meter, pair.crowd() as crowd:
        lb2.start()
        for node, reason in zip(pair.balancers, reasons):
            until(lambda n=node, r=reason: all(r in k["why"] and k["state"] == "refused"
                                               for k in n.ha_status()["peers"][0]["links"]), 10,
                  lambda n=node: f"{slip} is shown:\n{n.cli('ha', 'status').stdout}")
            figure(f"{node.name}: {trouble(node)[0]}")
            assert reason in node.cli("ha", "status").stdout
        crowd.open(200)
        pause(2 * SLOW)
        status = [n.ha_status() for n in pair.balancers]
        assert not any(p["connected"] or p["synced"] for s in status for p in s["peers"])
        assert status[0]["peers"][0]["mirror"]["entries_received"] == taken
        assert not any(status[1]["peers"][0]["mirror"][k] for k in
                       ("entries_received", "slots_received"))
        assert tuple(pair.roles().values()) == ("primary", "claiming")
        crowd.round()
        assert not crowd.broken()
    assert not meter.errors("tcp")
    lb2.daemon.stop()
    for name, text in kept.items():
        lb2.write(name, text, 0o600)
    lb2.start()


def test_a_peer_of_one_s_own_name(pair):
    lb2 = pair.balancers[1]
    (lb2.etc / "wrong.yaml").write_text(files(pair)[1].replace("node: lb2", "node: lb1"))
    done = lb2.run("evenkeeld", "--check", "-c", "/etc/evenkeel/wrong.yaml", check=False)
    (lb2.etc / "wrong.yaml").unlink()
    assert done.returncode == 2
    assert re.search(r"wrong\.yaml:\d+:.* is this node's own name", done.stderr), done.stderr


# --- an interface that vanishes ---------------------------------------------------------------


def plug(lab, node):
    """The cable and the NIC once more, as lab.py made them."""
    name = node.name
    lab.router.ip(f"link add {name} mtu {FABRIC_MTU} type veth peer name eth0 mtu {FABRIC_MTU} "
                  f"netns {node.ns}", f"link set {name} master br0 up",
                  f"link set dev {name} xdpdrv obj {BUILD}/tests/net/pass.bpf.o sec xdp")
    lab.router.run("ethtool", "-K", name, "tx", "off")
    Server.configure(node)


@pytest.mark.parametrize("name", ["lb1", "lb2"])
def test_an_interface_that_vanishes(pair, figure, name):
    """eth0 is taken out of a node and put in again: who has lost it has no VIPs meanwhile, and
    comes back by itself."""
    node, other = pair.node(name), next(n for n in pair.balancers if n.name != name)
    with pair.crowd() as crowd:
        crowd.open(100)
        pair.router.ip(f"link del {name}")
        until(lambda: node.ha_status()["health"] == "complete-fail" and other.role() == "primary",
              10, lambda: f"eth0 is missed:\n{node.cli('ha', 'status').stdout}")
        status = node.ha_status()
        figure(f"{status['why']}; {status['instances'][0]['role']}: "
               f"{status['instances'][0]['why']}")
        assert "eth0" in status["why"] and status["instances"][0]["role"] == "secondary"
        crowd.round()
        plug(pair, node)
        pair.wait_roles(lb1="primary", lb2="secondary", seconds=20)
        pair.wait_synced()
        for one in pair.balancers:
            one.wait_all(health="up", nexthop="resolved")
        crowd.round()
        assert not crowd.broken()
        # Solicited-node groups and sockets are those of the new interface.
        other.cut()
        until(lambda: node.role() == "primary", 10, f"{name} is primary")
        crowd.round()
        other.restore()
        pair.wait_roles(lb1="primary", lb2="secondary", seconds=20)
        pair.wait_synced()
        crowd.round()
        assert not crowd.broken()
