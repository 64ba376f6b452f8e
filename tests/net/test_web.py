# SPDX-License-Identifier: GPL-2.0-only
"""Requests through the VIPs: who answers them, which way the packets go, how they spread."""
import hashlib
import math
import os
import socket
import threading
from collections import Counter

import pytest
from scapy.all import IP, Ether, IPv6

from lab import CLIENT4, CLIENT6, VIP4, VIP6, Capture, family, until
from load import Load

VIPS = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["v4", "v6"])
SERVICE = {VIP4: "web", VIP6: "web6"}
SOURCES = CLIENT4 + CLIENT6
XDP_ATTACHED_DRV = 1


def url(vip, path):
    return f"http://[{vip}]/{path}" if ":" in vip else f"http://{vip}/{path}"


def test_the_program_runs_in_the_driver(lab, figure):
    (interface,) = lab.lb.status()["interfaces"]
    figure(f"{interface['name']}: {interface['mode']}, dispatcher {interface['dispatcher']}")
    assert interface["attached"] and interface["mode"] == "native"
    assert lab.lb.link()["xdp"]["mode"] == XDP_ATTACHED_DRV


@VIPS
def test_every_backend_answers(lab, vip, figure):
    with Load(lab.client, [vip], SOURCES, count=150) as load:
        load.finish()
    figure(load)
    assert len(load.requests) == 150 and not load.failures
    assert set(load.answers()) == {"web1", "web2", "web3"}


@VIPS
def test_packets_take_the_tunnel_and_replies_do_not_come_back(lab, vip, figure):
    """On the balancer's cable: each of the client's packets once as it came, and once inside an
    outer header, bit for bit; nothing that a backend says to the client."""
    before = lab.lb.service(SERVICE[vip])
    with Capture(lab.router, "lb1") as capture:
        with Load(lab.client, [vip], SOURCES, count=60) as load:
            load.finish()
    assert len(load.requests) == 60 and not load.failures

    kind = IPv6 if family(vip) == socket.AF_INET6 else IP
    own = lab.lb.addresses[kind is IPv6]
    nodes = {web.addresses[kind is IPv6] for web in lab.webs}
    header = 40 if kind is IPv6 else 20
    came, went, replies = Counter(), Counter(), 0
    for _, frame in capture.frames:
        packet = Ether(frame).getlayer(kind)
        if packet is None:
            continue
        inner = packet.getlayer(kind, 2)
        if inner is not None:
            assert packet.src == own and packet.dst in nodes
            assert (packet.hlim if kind is IPv6 else packet.ttl) == 64
            went[frame[14 + header:]] += 1
        elif packet.dst == vip:
            came[frame[14:]] += 1
        replies += vip in (packet.src, inner.src if inner is not None else None)
    after = lab.lb.service(SERVICE[vip])
    counted = after["packets"] - before["packets"]
    figure(f"{sum(came.values())} packets came, {sum(went.values())} went on in a tunnel, "
           f"{counted} counted, {replies} replies seen")
    assert sum(came.values()) >= 60 * 4 and came == went
    assert counted == sum(came.values())
    assert replies == 0


@VIPS
def test_large_downloads_are_whole(lab, vip, figure):
    want = hashlib.sha256(lab.big.read_bytes()).hexdigest()
    for _ in range(3):
        done = lab.client.run("sh", "-c", f"curl -sSfg -m 30 -w '%{{stderr}}%{{speed_download}}' "
                                          f"'{url(vip, 'big')}' | sha256sum")
        figure(f"{lab.big.stat().st_size} bytes at {float(done.stderr) * 8 / 1e6:.0f} Mbit/s")
        assert done.stdout.split()[0] == want


@VIPS
def test_large_uploads_are_whole(lab, vip, figure):
    """Full-sized segments travel in the tunnel: the direction in which an MTU bites."""
    data = os.urandom(12_000_000)
    source = lab.dir / "upload"
    source.write_bytes(data)
    for n in range(3):
        name = f"{SERVICE[vip]}-{n}"
        done = lab.client.run("curl", "-sSfg", "-m", "30", "-w", "%{speed_upload}", "-T", source,
                              url(vip, f"up/{name}"))
        received = [w.upload(name) for w in lab.webs if w.upload(name).exists()]
        figure(f"{len(data)} bytes at {float(done.stdout) * 8 / 1e6:.0f} Mbit/s "
               f"to {', '.join(r.parts[-3] for r in received)}")
        assert [r.read_bytes() == data for r in received] == [True]


@VIPS
def test_ten_thousand_connections_spread_evenly(lab, vip, figure):
    with Load(lab.client, [vip], SOURCES, workers=32, count=10_000) as load:
        load.finish()
    answers, n = load.answers(), len(load.requests)
    assert n == 10_000 and not load.failures

    # Each connection falls on a ring slot as a die does: a binomial count, so that 4.5 standard
    # deviations are missed by chance once in 50,000 runs for the three of them.
    mean, deviation = n / 3, math.sqrt(n * (1 / 3) * (2 / 3))
    squares = sum((answers[w.name] - mean) ** 2 / mean for w in lab.webs)
    backends = lab.lb.backends(SERVICE[vip])
    figure(", ".join(f"{w.name} {answers[w.name]} ({(answers[w.name] - mean) / deviation:+.1f} sd, "
                     f"{backends[w.name]['slots']} slots)" for w in lab.webs)
           + f"; chi² {squares:.1f} with 2 degrees of freedom")
    for web in lab.webs:
        assert abs(answers[web.name] - mean) < 4.5 * deviation
        assert abs(backends[web.name]["share"] - 1 / 3) < 0.01 / 3


@pytest.mark.parametrize("which", [0, 1], ids=["v4", "v6"])
def test_what_is_not_ours_passes(lab, which, figure):
    """The balancer's own address works as if nothing were attached: TCP, and a ping."""
    address = lab.lb.addresses[which]
    data = os.urandom(1_000_000)
    with lab.lb.enter():
        server = socket.create_server((address, 22), family=family(address))
    thread = threading.Thread(target=echo_once, args=(server,))
    thread.start()
    with lab.client.enter():
        client = socket.create_connection((address, 22), timeout=5)
    sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(1)))
    sender.start()
    back = b"".join(iter(lambda: client.recv(65536), b""))
    sender.join()
    thread.join()
    client.close()
    assert back == data

    packets = lab.lb.service("web")["packets"] + lab.lb.service("web6")["packets"]
    with lab.client.enter():
        answered = sum(ping(address, os.urandom(1400)) for _ in range(20))
    figure(f"{len(back)} bytes echoed over TCP, {answered} of 20 pings answered")
    assert answered == 20
    assert packets == lab.lb.service("web")["packets"] + lab.lb.service("web6")["packets"]


def echo_once(server):
    with server, server.accept()[0] as connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def ping(address, payload):
    """One ICMP echo request; the kernel's ping socket fills in the rest."""
    v6 = family(address) == socket.AF_INET6
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    with socket.socket(family(address), socket.SOCK_RAW, protocol) as sock:
        sock.settimeout(2)
        head = bytes([128 if v6 else 8, 0, 0, 0, 0, 7, 0, 1])
        message = head + payload
        if not v6:
            total = sum(int.from_bytes(message[i:i + 2], "big") for i in range(0, len(message), 2))
            total = (total & 0xffff) + (total >> 16)
            total = (total & 0xffff) + (total >> 16)
            message = head[:2] + (0xffff - total).to_bytes(2, "big") + head[4:] + payload
        sock.sendto(message, (address, 0))
        return until(lambda: sock.recv(65536).endswith(payload), 2, f"{address} answers the ping")
