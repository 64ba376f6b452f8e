# SPDX-License-Identifier: GPL-2.0-only
"""What operators see of a pair, and what they say to it: who is primary and why, tracks, max-flips,
failover by command, the cluster's services, commands that hold on both nodes.

Through every test somebody asks every 20 ms who has the VIPs. There is exactly one announcer in
each of these samples: never two but while the pair is split, and none only inside the windows that
a test declares with Watch.gap(). (A clock that jumps is not shown here: it would be everybody's in
this machine. Elections read CLOCK_MONOTONIC only.)"""
import contextlib
import functools
import json
import re
import time

import pytest

from lab import PINS, VIP4, LabError, until
from pair import CONFIG, INSTANCE, INTERVAL, VIPS, PairLab, services
from probes import PERIOD

FOREVER = float("inf")
TWO, THREE = {1: 100, 2: 100}, {1: 100, 2: 100, 3: 100}
DEAD = 3 * INTERVAL + INTERVAL * 156 / 256  # of lb2, and longer than lb1's
# A lease is that of the last advert, for 2.75 intervals: one that comes so late finds it ended.
STILL, TRIES = 1.75 * INTERVAL, 3


class Watch:
    """The announcers, and what is allowed to be seen of them."""

    def __init__(self, lab):
        self.lab, self.seen = lab, lab.announcers()
        self.gaps, self.splits = [], []

    @contextlib.contextmanager
    def gap(self, what, limit=DEAD):
        """Inside the block there may be nobody, for so long at a time and one interval more."""
        begin = time.monotonic()
        yield begin
        self.gaps.append((what, begin, time.monotonic(), limit + INTERVAL))

    @contextlib.contextmanager
    def split(self):
        """Inside the block both may announce, and until they have heard each other again. Gives
        the moments at which it began and ended."""
        moments = [self.lab.split()]
        try:
            yield moments
        finally:
            moments.append(self.lab.heal())
            self.splits.append((moments[0], moments[1] + INTERVAL))

    def lag(self, begin=0.0, end=float("inf")):
        """What of a time may be the machine's own: the longest from one sample to the next."""
        times = [s.time for s in self.seen.among(begin - 1, end + 1)]
        return max((b - a for a, b in zip(times, times[1:])), default=PERIOD)

    def verify(self):
        """The verdict over the whole test, which it returns."""
        longest = {}
        for vip in VIPS:
            for first, last, _, nodes in self.seen.owners(vip):
                if nodes:
                    continue
                lag = self.lag(first, last)
                what = next((what for what, begin, end, limit in self.gaps
                             if begin - lag <= first and last <= end + lag
                             and last - first <= limit + lag), None)
                assert what, (f"{vip}: nobody for {1000 * (last - first):.0f} ms; the probe's lag "
                              f"is {1000 * lag:.0f} ms; {self.seen.story(vip, first)}")
                longest[what] = max(longest.get(what, 0), last + PERIOD - first)
        for s in self.seen.samples:
            allowed = any(begin <= s.time <= end + self.lag(end, end) for begin, end in self.splits)
            assert allowed or not s.double, f"two at once: {self.seen.story(VIP4, s.time)}"
        none = ", ".join(f"{what} {1000 * t:.0f} ms" for what, t in longest.items())
        return f"one announcer in each of {len(self.seen.samples)} samples, but for: {none or '-'}"


class Begin:
    """begin(...) starts a pair without a past, as PairLab.fresh() does, and watches it. Gives
    (lb1, lb2, watch); lb1 is primary."""

    def __init__(self, lab):
        self.lab, self.stack, self.watch = lab, contextlib.ExitStack(), None

    def __call__(self, weights=None, **ha):
        self.lab.heal()
        for node in self.lab.balancers:  # whatever a test that failed has left
            node.restore()
            node.run("nft", "flush ruleset")
            fails(node, False)
        self.lab.fresh(*services(weights or TWO), **ha)
        settle(self.lab)
        self.watch = Watch(self.lab)
        self.stack.enter_context(self.watch.seen)
        return *self.lab.balancers, self.watch

    def end(self):
        """The watch, which is over."""
        self.stack.close()
        return self.watch or Watch(self.lab)


@pytest.fixture(scope="module")
def lab():
    with PairLab("ha", backends=3, big=1_000_000) as made:
        yield made


@pytest.fixture
def begin(lab):
    made = Begin(lab)
    yield made
    made.end()


def watched(test):
    """Judges what was seen in a test. One that failed while the whole machine stood still, for so
    long that a lease ran out, has said nothing about the pair and is repeated."""
    @functools.wraps(test)
    def judge(begin, figure, **fixtures):
        for left in range(TRIES)[::-1]:
            try:
                test(begin=begin, figure=figure, **fixtures)
                figure(begin.end().verify())
                return
            except (AssertionError, LabError) as error:
                lag = begin.end().lag()
                if lag < STILL or not left:
                    raise
                figure(f"once more: the machine stood still for {1000 * lag:.0f} ms; {error}"[:300])
    return judge


def settle(lab, primary="lb1", secondary="lb2"):
    lab.wait_roles(**{primary: "primary", secondary: "secondary"})
    lab.wait_synced()


def pause(seconds):
    """For what must not happen meanwhile."""
    time.sleep(seconds)


def front(node):
    return node.ha_status()["instances"][0]


def wait_why(node, pattern, seconds=5):
    until(lambda: re.search(pattern, front(node)["why"]), seconds,
          lambda: f"{node.name}: /{pattern}/: {front(node)['why']}")


def wait_peer(node, **expected):
    other = "lb2" if node.name == "lb1" else "lb1"
    until(lambda: expected.items() <= node.peer(other).items(), 10,
          lambda: f"{node.name}: {expected}: {node.peer(other)}")


def wait_health(node, health, why):
    def reached():
        status = node.ha_status()
        return status["health"] == health and re.search(why, status["why"])
    until(reached, 5, lambda: f"{node.name}: {health}, /{why}/: {node.cli('ha', 'status').stdout}")


def refusal(node, *words):
    """What the command says that is refused."""
    done = node.cli(*words, check=False)
    assert done.returncode, done.stdout
    return done.stderr.strip()


def reload(lab, node, *sections, **ha):
    node.write(CONFIG, lab.config(node, *(sections or services(TWO)), **ha))
    node.cli("reload")


def revive(node, lab):
    """Starts a node whose daemon has ended."""
    node.start()
    lab.wait_synced()


def assert_order(node, *texts):
    """All of them are in its log, in this order."""
    places = [node.daemon.log().find(text) for text in texts]
    assert -1 not in places and places == sorted(places), (texts, node.daemon.log())


# --- roles ------------------------------------------------------------------------------------


@watched
def test_what_is_said_of_a_node(lab, begin, figure):
    """stay and disable: at once, over restarts and reboots, until they are taken back."""
    lb1, lb2, watch = begin()

    def say(node, *words, **roles):
        with watch.gap(" ".join(words)):
            node.cli("ha", *words)
            lab.wait_roles(**roles)

    def restart(node):
        node.daemon.stop()
        revive(node, lab)
        pause(3 * DEAD)

    say(lb2, "stay", "primary", lb1="secondary", lb2="primary")
    assert (front(lb2)["why"], front(lb2)["priority"]) == ("stay-primary", 255)
    wait_peer(lb1, stay="stay-primary")
    with watch.gap("lb2 off"):
        lb2.power_off()
        lab.wait_roles(lb1="primary")
    with watch.gap("lb2 on"):
        lb2.power_on()
        settle(lab, "lb2", "lb1")
    assert_order(lb2, "peer lb1: connected", f"instance {INSTANCE}: primary")
    say(lb2, "stay", "none", lb1="primary", lb2="secondary")

    say(lb1, "stay", "secondary", lb1="secondary", lb2="primary")
    wait_peer(lb2, stay="stay-secondary")
    restart(lb1)
    assert lab.roles() == {"lb1": "secondary", "lb2": "primary"}
    assert front(lb1)["why"] == "stay-secondary"
    # Not even when nobody else is left.
    with watch.gap("lb2 killed, lb1 is stay-secondary", FOREVER):
        lb2.kill()
        pause(3 * DEAD)
        assert lb1.role() == "secondary"
        lb2.start()
        lab.wait_roles(lb2="primary")
    lab.wait_synced()
    say(lb1, "stay", "none", lb1="primary", lb2="secondary")

    say(lb1, "disable", lb1="disabled", lb2="primary")
    assert front(lb1)["why"] == "disabled by the operator"
    wait_peer(lb2, disabled=True)
    restart(lb1)
    assert lab.roles() == {"lb1": "disabled", "lb2": "primary"}
    say(lb1, "enable", lb1="primary", lb2="secondary")
    wait_peer(lb2, disabled=False)

    # What is said of the secondary moves nothing.
    say(lb2, "stay", "secondary", lb1="primary", lb2="secondary")
    say(lb2, "disable", lb1="primary", lb2="disabled")
    pause(DEAD)
    assert lab.roles() == {"lb1": "primary", "lb2": "disabled"}


# Of a peer, only its IPv4 adverts arrive.
LOST = """table inet lost {
chain input {
type filter hook input priority 0
tcp dport 6480 drop
tcp sport 6480 drop
meta nfproto ipv6 meta l4proto 112 drop
}
}
"""


@watched
def test_a_node_that_returns_waits_for_everything(lab, begin, figure):
    """It hears the primary, by one path, but not yet what it has to know."""
    lb1, lb2, watch = begin(instance={"heartbeat": []})
    with watch.gap("lb1 killed"):
        lb1.kill()
        lab.wait_roles(lb2="primary")
    lb1.run("nft", "-f", "-", input=LOST)
    lb1.start()
    pause(5 * DEAD)
    assert lab.roles() == {"lb1": "claiming", "lb2": "primary"}
    assert front(lb1)["why"] == "waits for its bulk sync" and front(lb1)["claims"] == 0
    with watch.gap("lb1 returns"):
        lb1.run("nft", "delete table inet lost")
        settle(lab)
    assert_order(lb1, "peer lb2: connected", f"instance {INSTANCE}: primary")


@watched
def test_a_node_that_does_not_preempt(lab, begin, figure):
    lb1, lb2, watch = begin()
    for node in lb1, lb2:
        reload(lab, node, instance={"preempt": False})
    with watch.gap("lb1 killed"):
        lb1.kill()
        lab.wait_roles(lb2="primary")
    revive(lb1, lab)
    pause(3 * DEAD)
    assert lab.roles() == {"lb1": "secondary", "lb2": "primary"}
    with watch.gap("lb1 may preempt"):
        reload(lab, lb1, instance={"preempt": True})
        settle(lab)


@watched
def test_a_node_that_preempts_after_a_delay(lab, begin, figure):
    delay = 1.5
    lb1, lb2, watch = begin(instance={"preempt-delay": f"{1000 * delay:.0f}ms"})
    with watch.gap("lb1 killed"):
        lb1.kill()
        lab.wait_roles(lb2="primary")
    with watch.gap("lb1 preempts") as begun:
        lb1.start(wait=False)
        settle(lab)
    pause(2 * INTERVAL)
    watch.seen.finish()
    for vip in VIPS:
        first = next(s.time for s in watch.seen.among(begun) if "lb1" in s.nodes(vip))
        figure(f"{vip}: lb1 announces {1000 * (first - begun):.0f} ms after its start")
        assert first > begun + delay


# --- health -----------------------------------------------------------------------------------

SCRIPT = "/etc/evenkeel/check"
ROUTE = "198.51.100.0/24"
TRACK_SCRIPT = {"script": SCRIPT, "interval": "100ms", "rise": 2, "fall": 2}


def fails(node, yes=True):
    """What its tracked script says from now on."""
    bad = node.etc / "bad"
    if yes:
        bad.touch()
    else:
        bad.unlink(missing_ok=True)


@pytest.fixture
def script(lab):
    """A script for both to track. Gives `track`."""
    for node in lab.balancers:
        node.write(SCRIPT, "#!/bin/sh\n[ ! -e /etc/evenkeel/bad ] || { echo no table; exit 3; }\n",
                   0o755)
        fails(node, False)
    yield [TRACK_SCRIPT]
    for node in lab.balancers:
        fails(node, False)


@pytest.fixture
def links(lab):
    """Interfaces of lb1's that nobody else uses, and a route by one. Gives `track`."""
    names, lb1 = ("up0", "set0", "set1", "way0"), lab.balancers[0]
    lb1.ip(*(f"link add {n} type veth peer name {n}-far" for n in names),
           *(f"link set {n}{end} up" for n in names for end in ("", "-far")),
           f"route add {ROUTE} dev way0")
    yield [{"interface": "up0"}, {"set": "uplinks", "interfaces": ["set0", "set1"]},
           {"route": ROUTE}]
    lb1.ip(*(f"link del {n}" for n in names))


@watched
def test_tracks(lab, begin, script, links, figure):
    """Interfaces, sets of them, routes and scripts: one that fails moves the VIPs."""
    lb1, lb2, watch = begin()
    lb1.ip("link set up0 up", "link set set0 up", "link set set1 up",
           f"route replace {ROUTE} dev way0")
    reload(lab, lb1, track=links + script)
    until(lambda: [t["state"] for t in lb1.ha_status()["tracks"]] == 4 * ["ok"], 5,
          lambda: f"{lb1.ha_status()['tracks']}")
    # A set fails when all its members do.
    lb1.ip("link set set0 down")
    pause(2 * INTERVAL)
    assert lab.roles() == {"lb1": "primary", "lb2": "secondary"}
    for name, fail, repair in (
            ("up0", lambda: lb1.ip("link set up0 down"), lambda: lb1.ip("link set up0 up")),
            ("uplinks", lambda: lb1.ip("link set set1 down"), lambda: lb1.ip("link set set1 up")),
            (ROUTE, lambda: lb1.ip(f"route del {ROUTE} dev way0"),
             lambda: lb1.ip(f"route add {ROUTE} dev way0")),
            (SCRIPT, lambda: fails(lb1), lambda: fails(lb1, False))):
        with watch.gap(f"{name} failed") as at:
            fail()
            lab.wait_roles(lb1="secondary", lb2="primary")
            took = time.monotonic() - at
        found = {t["name"]: t for t in lb1.ha_status()["tracks"]}
        wait_health(lb1, "partial-fail", f"^{re.escape(name)}: {re.escape(found[name]['why'])}$")
        figure(f"{name}: {found[name]['why']}; lb2 was primary after {1000 * took:.0f} ms")
        assert front(lb1)["why"] == "a track failed"
        assert {n for n, t in found.items() if t["state"] == "failed"} == {name}
        wait_peer(lb2, health="partial-fail")
        with watch.gap(f"{name} is well"):
            repair()
            wait_health(lb1, "up", "all is well")
            lab.wait_roles(lb1="primary", lb2="secondary")
        wait_peer(lb2, health="up")
    # What the operator said is stronger.
    lb1.cli("ha", "stay", "primary")
    fails(lb1)
    wait_health(lb1, "partial-fail", SCRIPT)
    pause(DEAD)
    assert lab.roles() == {"lb1": "primary", "lb2": "secondary"}


@watched
def test_both_nodes_are_unhealthy(lab, begin, script, figure):
    lb1, lb2, watch = begin(track=script)
    fails(lb2)
    wait_health(lb2, "partial-fail", SCRIPT)
    with watch.gap("both failed, no fail-safe", FOREVER):
        fails(lb1)
        lab.wait_roles(lb1="secondary", lb2="secondary")
        empty = time.monotonic()
        pause(3 * DEAD)
        assert lab.roles() == {"lb1": "secondary", "lb2": "secondary"}
        filled = time.monotonic()
        fails(lb1, False)
        lab.wait_roles(lb1="primary")
    # With it the last primary stays …
    for node in lb1, lb2:
        reload(lab, node, track=script, fail_safe=True)
    fails(lb1)
    wait_health(lb1, "partial-fail", SCRIPT)
    wait_why(lb1, "fail-safe: no peer is healthy, the last primary stays")
    wait_why(lb2, "fail-safe: no peer is healthy, only the last primary stays")
    pause(3 * DEAD)
    assert lab.roles() == {"lb1": "primary", "lb2": "secondary"}
    # … until there is a better one.
    with watch.gap("lb2 is well"):
        fails(lb2, False)
        lab.wait_roles(lb1="secondary", lb2="primary")
    watch.seen.finish()
    assert not any(s.answers for s in watch.seen.among(empty, filled - PERIOD))


@watched
def test_max_flips(lab, begin, script, figure):
    """A track that flaps: the node that has the VIPs keeps them."""
    lb1, lb2, watch = begin(track=script, max_flips="1/1m")
    # lb2 may have been the first to start, and so primary for a moment.
    lb2.daemon.stop()
    with watch.gap("both off", limit=10):
        lb1.daemon.stop()
        lb1.start()
        lab.wait_roles(lb1="primary")
    revive(lb2, lab)

    def flips():
        return [n.ha_status()["flips"]["count"] for n in (lb1, lb2)]
    assert flips() == [0, 0]  # the first claim of all is none
    with watch.gap("lb1 failed"):
        fails(lb1)
        lab.wait_roles(lb1="secondary", lb2="primary")
    assert lb1.ha_status()["flips"] == {"count": 1, "max": 1, "window": 60, "exhausted": True}
    for _ in range(3):
        fails(lb1, False)
        wait_health(lb1, "up", "all is well")
        wait_why(lb1, "max-flips reached: claims only when nobody is heard")
        pause(DEAD)
        assert lab.roles() == {"lb1": "secondary", "lb2": "primary"}
        fails(lb1)
        wait_health(lb1, "partial-fail", SCRIPT)
    assert flips() == [1, 1]
    fails(lb1, False)
    wait_health(lb1, "up", "all is well")
    # One that has used up its flips still steps in for one that is gone, and then keeps them.
    with watch.gap("lb2 killed"):
        lb2.kill()
        lab.wait_roles(lb1="primary")
    revive(lb2, lab)
    fails(lb1)
    wait_health(lb1, "partial-fail", SCRIPT)
    wait_why(lb1, "max-flips reached: the node that has it keeps it")
    pause(DEAD)
    assert lab.roles() == {"lb1": "primary", "lb2": "secondary"}
    figure(f"flips of lb1 and lb2: {flips()}")


@watched
def test_the_program_is_taken_off(lab, begin, figure):
    """Behind the daemon's back: it is put back, or the other node takes over."""
    lb1, lb2, watch = begin()
    pin = f"{PINS}/link-eth0"
    for way in ("bpftool", "link", "detach", "pinned", pin), ("rm", pin):
        # It is looked for every second.
        with watch.gap(way[0], 1) as at:
            lb1.run(*way)
            until(lambda: "xdp" not in lb1.link(), 1, "the program is gone")
            until(lambda: "xdp" in lb1.link(), 10, "there is a program again")
            took = time.monotonic() - at
        figure(f"{way[0]}: without a program for {1000 * took:.0f} ms at most")
        # The port is the same, and the lease still runs.
        pause(DEAD)
        assert lab.roles() == {"lb1": "primary", "lb2": "secondary"}
    assert lb1.daemon.log().count("eth0: the program was taken off the interface") == 2
    # Somebody else's is there now.
    with watch.gap("another program", 1 + DEAD):
        lb1.run("sh", "-c", f"rm {pin} && ip link set dev eth0 xdpdrv obj "
                "build/tests/net/pass.bpf.o sec xdp")
        lab.wait_roles(lb1="secondary", lb2="primary")
    wait_health(lb1, "complete-fail", "^eth0: the XDP program is not attached")
    assert front(lb1)["why"] == "the data plane is not attached"
    assert "eth0: another XDP program is attached" in lb1.daemon.log()
    wait_peer(lb2, health="complete-fail")
    lb1.cli("ha", "stay", "primary")  # cannot help
    pause(DEAD)
    assert lab.roles() == {"lb1": "secondary", "lb2": "primary"}
    lb1.cli("ha", "stay", "none")
    with watch.gap("no other program"):
        lb1.run("ip", "link", "set", "dev", "eth0", "xdpdrv", "off")
        wait_health(lb1, "up", "all is well")
        lab.wait_roles(lb1="primary", lb2="secondary")


# --- failover by command ----------------------------------------------------------------------


@watched
def test_failover_by_command(lab, begin, figure):
    lb1, lb2, watch = begin()

    def failover(node, primary, secondary):
        with watch.gap(f"failover on {node.name}"):
            node.cli("ha", "failover")
            settle(lab, primary, secondary)
    failover(lb1, "lb2", "lb1")
    wait_why(lb1, "stepped aside by command: not before the peer fails")
    pause(3 * DEAD)
    assert lab.roles() == {"lb1": "secondary", "lb2": "primary"}
    failover(lb1, "lb1", "lb2")  # the primary is asked
    failover(lb1, "lb2", "lb1")
    # Stepping aside lasts as long as there is one to step aside for.
    with watch.gap("lb2 killed"):
        lb2.kill()
        lab.wait_roles(lb1="primary")
    revive(lb2, lab)


@watched
def test_failover_is_refused(lab, begin, script, figure):
    lb1, lb2, watch = begin(track=script)

    def refused(node, expected, *options):
        said = refusal(node, "ha", "failover", *options)
        figure(f"{node.name}: {said}")
        assert expected in said
        assert lb1.role() == "primary"
    for words, undo, reason in (
            (("disable",), ("enable",), "the peer is disabled"),
            (("stay", "secondary"), ("stay", "none"), "the peer is stay-secondary")):
        lb2.cli("ha", *words)
        wait_peer(lb1, disabled=words[0] == "disable",
                  stay="stay-secondary" if words[0] == "stay" else "none")
        refused(lb1, reason)
        refused(lb1, reason, "--force")
        refused(lb2, f"lb1 refused: failover: {reason}")
        lb2.cli("ha", *undo)
        wait_peer(lb1, disabled=False, stay="none")
    fails(lb2)
    wait_peer(lb1, health="partial-fail")
    refused(lb1, "the peer is not healthy", "--force")
    fails(lb2, False)
    wait_peer(lb1, health="up")
    lb1.cli("ha", "stay", "primary")
    refused(lb1, "this node is stay-primary", "--force")
    lb1.cli("ha", "stay", "none")
    lb2.kill()
    wait_peer(lb1, connected=False)
    pause(DEAD)
    refused(lb1, "the peer is down", "--force")
    watch.seen.finish()
    for words, expected in ((dict(peers=[]), "standalone: no peer is configured"),
                            (dict(alone=True), "this node stands alone")):
        lb1.daemon.stop()
        lb1.write(CONFIG, lab.config(lb1, *services(TWO), **words))
        lb1.start()
        until(lambda w=words: "alone" in w or lb1.role() == "primary", 10, "lb1 is primary")
        assert expected in refusal(lb1, "ha", "failover", "--force")


# --- the cluster's services -------------------------------------------------------------------


def digest(node):
    return node.ha_status()["services"]


def wait_same(lab):
    """Until both have the same services, and say so of each other."""
    def same():
        found = [n.ha_status() for n in lab.balancers]
        return (found[0]["services"] == found[1]["services"]
                and all(p["services"] == "same" for s in found for p in s["peers"]))
    until(same, 10, lambda: "\n".join(n.cli("ha", "status").stdout for n in lab.balancers))
    return digest(lab.balancers[0])


def webs(node):
    """The weights of web's backends."""
    return {int(n[3:]): b["configured_weight"] for n, b in node.backends().items()
            if not b["retired"]}


@watched
def test_the_primary_s_services_are_everybody_s(lab, begin, figure):
    lb1, lb2, watch = begin()
    first = wait_same(lab)
    reload(lab, lb1, *services(THREE))
    second = wait_same(lab)
    figure(f"digests: {first[:8]}, then {second[:8]} on both")
    assert first != second and webs(lb2) == THREE
    assert lb2.ha_status()["services_from"] == "primary"
    assert lb1.ha_status()["services_from"] == "file"

    # The file of the one that follows says something else, and does not count …
    reload(lab, lb2, *services({1: 7}))
    wait_same(lab)
    assert webs(lb2) == THREE
    lb2.daemon.stop()
    revive(lb2, lab)
    wait_same(lab)
    assert webs(lb2) == THREE and lb2.ha_status()["services_from"] == "primary"
    reload(lab, lb2, *services({1: 7}))
    assert wait_same(lab) == second and webs(lb2) == THREE

    # … nor when it starts where there is nobody to follow: what it took is kept.
    lb2.daemon.stop()
    with watch.gap("nobody", FOREVER):
        lb1.kill()
        lb2.start()
        lab.wait_roles(lb2="primary")
        assert digest(lb2) == second and webs(lb2) == THREE
        # But a file that was edited since counts.
        lb2.daemon.stop()
        lb2.write(CONFIG, lab.config(lb2, *services({1: 8, 2: 9})))
        lb2.start()
        lab.wait_roles(lb2="primary")
        assert digest(lb2) not in (first, second) and webs(lb2) == {1: 8, 2: 9}

    # lb1 comes back, with its own file and the higher priority.
    third, moments = digest(lb2), []
    lb1.start(wait=False)

    def samples():
        with contextlib.suppress(LabError, OSError, json.JSONDecodeError):
            found = lb1.ha_status()
            moments.append((found["instances"][0]["role"], found["services"]))
        return moments and moments[-1][0] == "primary"
    with watch.gap("lb1 takes over"):
        until(samples, 15, lambda: f"lb1 is primary: {moments[-3:]}")
    settle(lab)
    assert wait_same(lab) == third and webs(lb1) == {1: 8, 2: 9}
    assert {d for role, d in moments if role == "primary"} == {third}
    figure(f"lb1 in {len(moments)} samples: {[(r, d[:8]) for r, d in dict.fromkeys(moments)]}")
    assert_order(lb1, "the services of peer lb2 are in use", f"instance {INSTANCE}: primary")
    # Its file is the cluster's again when it is loaded.
    lb1.cli("reload")
    assert wait_same(lab) == second and webs(lb2) == THREE


@watched
def test_services_that_a_node_cannot_take(lab, begin, figure):
    """lb2 has the higher priority, and no room for more than its own eight backends."""
    lb1, lb2, watch = begin()
    lb2.daemon.stop()
    lb2.run("rm", "-rf", "/var/lib/evenkeel")
    reload(lab, lb1, *services(THREE))
    lb2.write(CONFIG, "limits: {backends: 10}\n"
              + lab.config(lb2, *services(TWO), instance={"priority": 200}))
    lb2.start()
    until(lambda: lb2.peer("lb1")["why"], 10, "lb2 says what is wrong")
    wait_peer(lb1, connected=True, services="different", synced_with_us=False)
    wait_peer(lb2, connected=True, services="different")
    why = lb2.peer("lb1")["why"]
    figure(f"lb2: {why}")
    assert why.startswith("its services are refused: ") and "limits: backends" in why
    pause(5 * DEAD)
    assert lab.roles() == {"lb1": "primary", "lb2": "claiming"}
    assert front(lb2)["why"] == "waits for its bulk sync"
    assert webs(lb2) == TWO

    # A command that the other node cannot carry out holds where it was given, and that is shown.
    lb1.cli("drain", "web/web3")
    until(lambda: lb1.peer("lb2")["refused"], 5, "lb2 has refused")
    figure(f"lb1: {lb1.peer('lb2')['refused']}")
    assert lb1.peer("lb2")["refused"] == "drain: service 'web' has no backend 'web3'"
    assert lb1.backends()["web3"]["draining"] and "web3" not in lb2.backends()
    lb1.cli("drain", "web/web1")
    until(lambda: lb2.backends()["web1"]["draining"], 5, "lb2 drains it, too")
    assert not lb1.peer("lb2")["refused"]

    assert "the peer is not in sync (use --force)" in refusal(lb1, "ha", "failover")
    said = refusal(lb2, "ha", "failover")
    assert "lb1 refused: failover: the peer is not in sync (use --force)" in said
    with watch.gap("failover --force"):
        lb1.cli("ha", "failover", "--force")
        lab.wait_roles(lb1="secondary", lb2="primary")
    # lb2's are everybody's now.
    wait_same(lab)
    assert webs(lb1) == TWO
    until(lambda: not lb2.peer("lb1")["why"], 5, "there is nothing to complain of")


# --- commands ---------------------------------------------------------------------------------


def said(node):
    """What operators said of web's backends: {name: (draining, weight)}."""
    return {n: (bool(b["draining"]), b["weight"]) for n, b in node.backends().items()
            if b["draining"] or b["weight"] != b["configured_weight"]}


def wait_said(lab, **expected):
    until(lambda: all(said(n) == expected for n in lab.balancers), 10,
          lambda: f"{expected}: {[said(n) for n in lab.balancers]}")


@watched
def test_commands_hold_on_both_nodes(lab, begin, figure):
    """Given on either, over a failover, and on one that knew nothing of them."""
    lb1, lb2, watch = begin(THREE)
    lb1.cli("drain", "web/web1")
    wait_said(lab, web1=(True, 0))
    lb2.cli("weight", "web/web2", "30")
    wait_said(lab, web1=(True, 0), web2=(False, 30))
    lb2.cli("undrain", "web/web1")
    lb1.cli("weight", "web/web2", "default")
    wait_said(lab)
    lb2.cli("drain", "web/web3")
    lb1.cli("weight", "web/web2", "40")
    expected = {"web2": (False, 40), "web3": (True, 0)}
    wait_said(lab, **expected)
    with watch.gap("failover"):
        lb1.cli("ha", "failover")
        settle(lab, "lb2", "lb1")
    wait_said(lab, **expected)
    with watch.gap("lb2 killed"):
        lb2.kill()
        lab.wait_roles(lb1="primary")
    assert said(lb1) == expected
    # What was said meanwhile comes with all else that it has to catch up with.
    lb1.cli("undrain", "web/web3")
    lb1.cli("drain", "web/web1")
    lb2.run("rm", "-rf", "/var/lib/evenkeel")
    revive(lb2, lab)
    wait_said(lab, web1=(True, 0), web2=(False, 40))
    assert lab.roles() == {"lb1": "primary", "lb2": "secondary"}


# --- what is heard ----------------------------------------------------------------------------


@watched
def test_heartbeats_have_several_paths(lab, begin, figure):
    lb1, lb2, watch = begin()

    def silent(node, interface):
        return [p["silent_ms"] for p in front(node)["paths"] if p["interface"] == interface]

    def links(node):
        return {link["address"]: link["state"] for p in node.ha_status()["peers"]
                for link in p["links"]}
    lab.switch.ip("link set lb2 down")
    until(lambda: min(silent(lb2, "sync")) > 3000 * DEAD, 10, "the link is silent")
    figure(f"lb2 heard nothing by sync for {silent(lb2, 'sync')} ms, by eth0 for "
           f"{silent(lb2, 'eth0')} ms")
    assert max(silent(lb2, "eth0")) < 1000 * DEAD
    until(lambda: links(lb1)[lb2.sync_address] != "up", 10, lambda: f"{links(lb1)}")
    figure(f"lb1's links: {links(lb1)}")
    lab.wait_synced()  # by another link
    assert lab.roles() == {"lb1": "primary", "lb2": "secondary"}
    lab.switch.ip("link set lb2 up")
    until(lambda: set(links(lb1).values()) == {"up"}, 10, lambda: f"{links(lb1)}")
    lab.wait_synced()
    assert lab.roles() == {"lb1": "primary", "lb2": "secondary"}
    assert front(lb1)["yields"] == 0
    # Without the clients' own interface the other paths do not help.
    with watch.gap("lb1's eth0 is down"):
        lab.router.ip("link set lb1 down")
        lab.wait_roles(lb1="secondary", lb2="primary")
    assert front(lb1)["why"] == "its interface is down"
    with watch.gap("lb1's eth0 is up"):
        lab.router.ip("link set lb1 up")
        settle(lab)


@watched
def test_a_partition(lab, begin, figure):
    """Both are primary; one within the dead interval when they hear each other again."""
    lb1, lb2, watch = begin()
    with watch.split() as moments:
        lab.wait_roles(lb1="primary", lb2="primary")
        pause(1)
    split, healed = moments
    settle(lab)
    pause(DEAD)
    watch.seen.finish()
    lag = watch.lag(healed, healed + DEAD)
    for vip in VIPS:
        figure(f"{vip}: {watch.seen.story(vip, healed)}")
        both = [s for s in watch.seen.among(split, healed) if s.nodes(vip) == {"lb1", "lb2"}]
        assert len(both) > 20
        later = watch.seen.among(healed + DEAD + lag)
        assert later and all(s.nodes(vip) == {"lb1"} for s in later)
        told = watch.seen.told(healed, vip=vip, node="lb1")
        figure(f"{vip}: announced {len(told)} times by lb1, first "
               f"{1000 * (told[0].time - healed):.0f} ms after the partition")
        assert told[0].time < healed + DEAD + lag
        assert not watch.seen.told(healed + DEAD + lag, vip=vip, node="lb2")
