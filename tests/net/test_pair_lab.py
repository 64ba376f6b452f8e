# SPDX-License-Identifier: GPL-2.0-only
"""The instruments of the pair's laboratory, tried on a pair that anybody knows: keepalived moves
the VIPs between two balancers that know nothing of each other."""
import contextlib
import socket
import tempfile
import time
from pathlib import Path

import pytest

import peers
from lab import until
from pair import HASH_KEY, VIPS, PairLab, priority_of, services
from peers import Bird, Keepalived, vrrp

NAME = "pair_lab"
SHARES = {1: 100, 2: 100}


@pytest.fixture(scope="module")
def pair():
    """Balancers that run alone, with one hash key."""
    with PairLab(NAME, backends=2, big=3_000_000) as lab:
        lab.write(*services(SHARES), alone=True)
        lab.start()
        yield lab
        prefix = lab.prefix
    left = [p for place in ("/run/netns", tempfile.gettempdir())
            for p in Path(place).glob(f"{prefix}-*")]
    assert not left and not any(p.alive for p in lab.processes)


@contextlib.contextmanager
def keepaliveds(lab):
    """lb1 is master of both VIPs."""
    with contextlib.ExitStack() as stack:
        pair = [stack.enter_context(Keepalived(n, *(vrrp([v], priority=priority_of(n))
                                                    for v in VIPS))) for n in lab.balancers]
        pair[0].wait(master=True)
        pair[1].wait(master=False)
        yield pair


def pause(seconds):
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 1, "time passes")


def test_a_cut_and_a_split_are_seen(pair, figure):
    lb1, _ = pair.balancers
    with keepaliveds(pair) as (_, second), pair.announcers() as seen, pair.meter() as meter:
        begun = time.monotonic()
        pause(0.5)
        with pair.download(seconds=0.8) as download:
            cut = lb1.cut()
            second.wait(master=True)
            assert download.finish()
        restored = lb1.restore()
        second.wait(master=False)
        pause(0.3)
        split = pair.split()
        second.wait(master=True)
        pause(0.3)
        healed = pair.heal()
        second.wait(master=False)
        pause(0.5)
    gap, when = meter.gap(cut, restored)
    for vip in VIPS:
        figure(f"{vip}: {seen.story(vip, cut)}")
    figure(f"cut: {1000 * gap:.0f} ms without an answer; the meter's own pauses are at most "
           f"{1000 * meter.lag(begun, restored)[0]:.0f} ms; {meter}; {len(seen.samples)} samples")
    assert gap > 0.2 and when - 0.02 < cut < when + gap
    for vip in VIPS:
        # Answers of the first sample may have been awaited while the cable was pulled out.
        assert all(s.nodes(vip) == {"lb1"} for s in seen.among(begun, cut - 0.02))
        assert {"lb1"} not in [n for *_, n in seen.owners(vip, cut + 0.02, restored)]
        assert seen.owners(vip)[-1][3] == {"lb1"}
        assert seen.told(cut, restored, vip=vip, node="lb2")
        assert meter.gap(cut, restored, kind="udp", target=vip)[0] > 0.2
    assert not seen.doubles(begun, restored)
    assert len([s for s in seen.doubles(split, healed) if s.nodes() == {"lb1", "lb2"}]) > 5


def test_frames_on_the_sync_link_are_lost(pair, figure):
    lb1, lb2 = pair.balancers
    with lb2.enter():
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with lb1.enter():
        mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with ear, mouth, pair.lossy(5) as counted:
        ear.bind((lb2.sync_address, 9))
        for _ in range(2000):
            mouth.sendto(b"?", (lb2.sync_address, 9))
        until(lambda: sum(counted()) >= 2000, 5, lambda: f"counted: {counted()}")
        lost, arrived = counted()
    figure(f"{lost} of {lost + arrived} frames were lost")
    assert 40 < lost < 180


def test_both_nodes_know_every_connection_alike(pair, figure):
    """One hash key, one configuration: they choose the same backends."""
    with keepaliveds(pair), pair.crowd() as crowd:
        crowd.open(300)
        counts = [node.held(crowd.living()) for node in pair.balancers]
        figure(f"{[dict(c) for c in counts]}")
        assert counts[0] == counts[1] and counts[0].total() == 300 and not crowd.broken()


def test_a_node_loses_everything_but_its_disk(pair):
    _, lb2 = pair.balancers
    key, boot = lb2.run("cat", HASH_KEY).stdout, lb2.holder.pid
    lb2.power_off()
    assert not lb2.daemon.alive and not lb2.reaches(lb2.addresses[0])
    lb2.power_on()
    lb2.wait_all(health="up", nexthop="resolved")
    assert lb2.run("cat", HASH_KEY).stdout == key and lb2.holder.pid != boot


def test_routes_by_bgp(figure):
    """Balancers in networks of their own are both in use; then one route is withdrawn, and one
    BIRD is killed."""
    with PairLab(NAME + "_bgp", backends=2, apart=True, big=1_000_000) as lab:
        lb1, lb2 = lab.balancers
        lab.write(*services(SHARES), alone=True)
        lab.start()
        # As evenkeeld does it.
        lb1.ip(*(f"route add {vip} dev lo proto {peers.PROTOCOL}" for vip in VIPS))
        Bird(lb1, peers.node(lb1))
        birds = Bird(lb2, peers.node(lb2, vips=VIPS)), Bird(lab.router, peers.router(lab))
        birds[1].wait_established(2)

        def wait_ways(*nodes):
            for of, vip in enumerate(VIPS):
                until(lambda v=vip, o=of: peers.ways(lab, v) == {n.addresses[o] for n in nodes},
                      10, lambda v=vip: f"the way to {v} is {nodes}: {peers.ways(lab, v)}")

        wait_ways(lb1, lb2)
        with lab.meter() as meter:
            pause(0.3)
            begun = time.monotonic()
            lb1.ip(*(f"route del {vip} dev lo" for vip in VIPS))
            wait_ways(lb2)
            pause(0.3)
            lb1.ip(*(f"route add {vip} dev lo proto {peers.PROTOCOL}" for vip in VIPS))
            wait_ways(lb1, lb2)
            killed = time.monotonic()
            birds[0].kill()
            wait_ways(lb1)
            pause(0.3)
        figure(f"without an answer: {1000 * meter.gap(begun, killed)[0]:.0f} ms after a "
               f"withdrawal, {1000 * meter.gap(killed)[0]:.0f} ms after kill -9; {meter}")
        assert not meter.errors()
