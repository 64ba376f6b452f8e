# SPDX-License-Identifier: GPL-2.0-only
"""Backends die, return, cannot be resolved, change their MAC."""
import collections
import signal
import time

from gateway import config, service
from lab import CLIENT4, CLIENT6, VIP4, VIP6, until
from load import Load

SOURCES = CLIENT4 + CLIENT6
SERVICES = "web", "web6"


def slots(lab, name):
    return [lab.lb.backends(s)[name]["slots"] for s in SERVICES]


def leaves(lab, name):
    """Waits until no service sends new connections to the backend. The moment."""
    until(lambda: not any(slots(lab, name)), 10, f"{name} leaves the rings")
    return time.monotonic()


def returns(lab, name):
    until(lambda: all(slots(lab, name)), 10, f"{name} returns to the rings")
    return time.monotonic()


def run_for(seconds):
    """Lets the load run."""
    begun = time.monotonic()
    until(lambda: time.monotonic() > begun + seconds, seconds + 1, "time passes")


def across(failures, begun, ended):
    """Failed requests that were under way then, and all the others."""
    inside = [r for r in failures if r.start < ended and r.end > begun]
    return inside, [r for r in failures if r not in inside]


def test_a_dead_backend_is_left_and_gets_its_share_back(lab, figure):
    before = lab.lb.status()["services"]
    web2 = lab.web("web2")
    with Load(lab.client, [VIP4, VIP6], SOURCES, workers=8, sessions=40, pause=0.002) as load:
        until(lambda: lab.lb.service("web")["packets"] > before[0]["packets"] + 500, 10, "traffic")
        killed = time.monotonic()
        web2.nginx.stop(signal.SIGKILL)
        gone = leaves(lab, "web2")
        why = lab.lb.backends()["web2"]["why"]
        run_for(0.5)
        restarted = time.monotonic()
        web2.start_nginx()
        back = returns(lab, "web2")
        run_for(1)
    dying, rest = across(load.failures, killed, gone)
    last = max((r.end for r in dying), default=killed)
    without = [r for r in load.requests if gone < r.start and r.end < restarted]
    after = collections.Counter(r.answer for r in load.requests
                                if r.kind == "single" and r.start > back)
    figure(load)
    figure(f"last failed request {(last - killed) * 1000:.0f} ms after the kill, rings moved "
           f"after {(gone - killed) * 1000:.0f} ms ({why}); {len(without)} requests without web2; "
           f"after its return {after['web2'] / after.total():.1%} of {after.total()} new ones "
           "went to it")
    assert dying and without, "the death was not noticed by any request: no traffic?"
    assert not rest
    assert {r.answer for r in without} == {"web1", "web3"}
    assert 0.25 < after["web2"] / after.total() < 0.42
    assert [[b["slots"] for b in s["backends"]] for s in lab.lb.status()["services"]] == \
        [[b["slots"] for b in s["backends"]] for s in before]


def test_a_backend_whose_cable_is_pulled(lab, figure):
    """No answer at all, not even a refusal: clients' segments are lost until the ring moves."""
    with Load(lab.client, [VIP4, VIP6], SOURCES, workers=8, sessions=40, pause=0.002) as load:
        pulled = time.monotonic()
        lab.router.ip("link set web3 down")
        gone = leaves(lab, "web3")
        run_for(0.5)
        lab.router.ip("link set web3 up")
        plugged = time.monotonic()
        back = returns(lab, "web3")
        run_for(0.5)
    dying, rest = across(load.failures, pulled, gone)
    figure(load)
    figure(f"rings moved {(gone - pulled) * 1000:.0f} ms after the cable was pulled, and back "
           f"{(back - plugged) * 1000:.0f} ms after it was plugged in; {len(dying)} "
           f"requests under way when it was pulled failed, {len(rest)} others")
    assert len(load.requests) > 500 and not rest
    assert "web3" in load.answers(since=back)


def test_an_unresolved_backend_gets_nothing(lab, figure):
    """Without a check, only the missing next hop stands between a backend and its traffic."""
    ghost = "10.2.0.99"
    backends = {"web1": ("10.2.0.21", 100), "web2": ("10.2.0.22", 100), "ghost": (ghost, 100)}
    lab.config.write_text(config(service("web", VIP4, backends, check=None)))
    lab.lb.cli("reload")
    until(lambda: lab.lb.backends()["web2"]["slots"], 5, "the service has a ring")
    found = lab.lb.backends()
    with Load(lab.client, [VIP4], SOURCES, count=200) as load:
        load.finish()
    figure(f"{load}; " + ", ".join(f"{n} {b['nexthop']} ({b['nexthop_detail']}) {b['slots']} slots"
                                   for n, b in found.items()))
    assert found["ghost"]["nexthop"] == "unresolved" and found["ghost"]["slots"] == 0
    assert not load.failures and set(load.answers()) == {"web1", "web2"}

    # It appears: web3 takes the address.
    web3 = lab.web("web3")
    appeared = time.monotonic()
    web3.ip(f"addr add {ghost}/24 dev eth0")
    until(lambda: lab.lb.backends()["ghost"]["slots"], 30, "the ghost is resolved")
    figure(f"resolved {time.monotonic() - appeared:.1f} s after somebody had the address")
    with Load(lab.client, [VIP4], SOURCES, count=200) as load:
        load.finish()
    web3.ip(f"addr del {ghost}/24 dev eth0")
    figure(load)
    assert not load.failures and "web3" in load.answers()


def test_a_new_mac_is_followed(lab, figure):
    """A card is replaced: the host announces its new MAC, and packets go there."""
    web2 = lab.web("web2")
    web2.sysctl({"ipv4.conf.eth0.arp_notify": 1, "ipv6.conf.eth0.ndisc_notify": 1})
    old = web2.link()["address"]
    with Load(lab.client, [VIP4, VIP6], SOURCES, workers=4, pause=0.002) as load:
        until(lambda: lab.lb.service("web")["packets_per_second"] > 0, 5, "traffic")
        changed = time.monotonic()
        web2.ip("link set eth0 address 02:00:00:00:22:22")
        run_for(2)
        lab.lb.wait_all(health="up", nexthop="resolved")
        settled = time.monotonic()
        run_for(0.5)
    late = [r for r in load.failures if r.start > settled]
    answers = load.answers(since=settled)
    web2.ip(f"link set eth0 address {old}")
    lab.lb.wait_all(health="up", nexthop="resolved")
    last = max((r.start for r in load.failures), default=changed)
    figure(f"{load}; the last that failed began {(last - changed) * 1000:.0f} ms after the change, "
           f"web2 answered {answers['web2']} of {answers.total()} afterwards")
    assert answers["web2"] > 0.2 * answers.total() and not late
