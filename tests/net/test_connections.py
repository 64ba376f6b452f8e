# SPDX-License-Identifier: GPL-2.0-only
"""Connections that outlive change: thousands of them stay open and talk every second while
backends come, go, and change their weight. Each must go on being answered by the server that it
met first, unless that server itself died.

Most of them would survive by the hash alone, so each change also counts those that would not:
what the ring remembers (`origin`) and what the table holds (`entry`), as the pinned maps say.
"""
import collections
import contextlib
import math
import os
import re
import signal
import socket
import sys
import time

import pytest

import longlived
from gateway import config, gateway, pools, service
from lab import CLIENT4, CLIENT6, VIP4, VIP6, LabError, until
from load import Load
from longlived import Crowd
from pinned import RING_SIZE, Pinned, held

BACKENDS = 4
VIPS, SOURCES = [VIP4, VIP6], CLIENT4 + CLIENT6
SERVICES = {VIP4: "web", VIP6: "web6"}
UDP_SERVICES = {VIP4: "echo", VIP6: "echo6"}

# A port that is used again belongs to the backend of its last connection for two ticks (about a
# second each) after that was closed, and for five to nobody new when its handshake failed: see
# EK_FLOW_REUSE_AFTER and EK_FLOW_EMBRYO_GRACE. A tick is 1.28 s at most.
CLOSED, REFUSED = 3, 7

# Backends die here by being refused, which takes no patience to notice. A machine that has other
# things to do for half a second is no death.
PATIENT = ("{type: http, port: 80, path: /health, status: 200, body: ACTIVE, "
           "interval: 300ms, timeout: 300ms, rise: 2, fall: 3}")
HEALTH = re.compile(r"^(\S+ \S+)\.(\d{3}) notice: (service \S+: backend \S+) .* is (\w+): (.*)$",
                    re.M)

PAIR = {1: 100, 2: 100}
THREE = PAIR | {3: 100}
FOUR = THREE | {4: 100}


def begin(lab, text, weights, services=SERVICES):
    """A balancer without a past."""
    lab.lb.daemon.stop()
    lab.config.write_text(text)
    lab.lb.start(lab.config)
    follow(lab, weights, services)


def reload(lab, text):
    lab.config.write_text(text)
    lab.lb.cli("reload")


def command(lab, verb, backend, *more, services=SERVICES):
    """An operator's command to both services."""
    for name in services.values():
        lab.lb.cli(verb, f"{name}/{backend}", *more)


def follow(lab, weights, services=SERVICES):
    """Waits until the rings are shared out by these weights, to a hundredth of each share."""
    total = sum(weights.values())

    def follows():
        return all(abs(b["slots"] - weight / total * RING_SIZE) <= 0.01 * weight / total * RING_SIZE
                   for name in services.values()
                   for b in lab.lb.backends(name).values()
                   for weight in [weights.get(int(b["name"].removeprefix("web")), 0)])
    until(follows, 10, lambda: f"shares follow {weights}:\n{lab.lb.cli('status').stdout}")


def pause(seconds):
    begun = time.monotonic()
    until(lambda: time.monotonic() > begun + seconds, seconds + 1, "time passes")


class Stage:
    """Long connections and a stream of short ones, and what changes under them."""

    def __init__(self, lab, figure, *, gap=4.0):
        self.lab, self.figure, self.gap = lab, figure, gap
        self.changes = []  # (what, weights, begun, settled, ended)
        self.excused = set()  # long connections, by number, that may break
        self.deaths = []  # changes during which short ones may fail

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.crowd = self.stack.enter_context(Crowd(self.lab.client, VIPS, SOURCES))
        self.load = self.stack.enter_context(
            Load(self.lab.client, VIPS, SOURCES, workers=6, pause=0.002))
        return self

    def __exit__(self, *problem):
        return self.stack.__exit__(*problem)

    def unharmed(self):
        broken = [f for f in self.crowd.broken() if f.number not in self.excused]
        assert not broken, f"{len(broken)} are broken, such as {broken[:5]}\n{self.health()}"

    def health(self, is_news=lambda at, state, was: True):
        """What the balancer said of its backends' health, a line each."""
        offset, states, lines = time.time() - time.monotonic(), {}, []
        for moment, ms, backend, state, why in HEALTH.findall(self.lab.lb.daemon.log()):
            at = (time.mktime(time.strptime(moment, "%Y-%m-%d %H:%M:%S")) + int(ms) / 1000
                  - offset)
            if is_news(at, state, states.get(backend)):
                lines.append(f"{self.place(at)}: {backend} is {state}: {why}")
            states[backend] = state
        return "\n".join(lines)

    def false_alarms(self):
        """Backends that were taken for down though nobody harmed them."""
        return self.health(lambda at, state, was: state == "down" and was == "up" and not any(
            begun <= at <= settled for begun, settled in self.deaths))

    def excuse(self, flows):
        self.excused |= {f.number for f in flows}

    def change(self, what, weights, act, *, least=200, opening=0, deadly=False):
        """One change: its weights are followed, the long connections go on, so many more are
        opened at once, and short ones have time to show where new connections go."""
        begun = time.monotonic()
        act()
        follow(self.lab, weights)
        settled = time.monotonic()
        # Of those that may break some have, and a short connection may have their port already.
        counts = held(self.lab.lb, SERVICES,
                      [f for f in self.crowd.living() if f.number not in self.excused])
        if opening:
            self.crowd.open(opening)
        self.crowd.round()
        self.unharmed()
        pause(begun + self.gap - time.monotonic())
        self.changes.append((what, weights, begun, settled, time.monotonic()))
        if deadly:
            self.deaths.append((begun, settled))
        self.figure(f"{what}: of {counts.total()} connections {counts['entry']} are held by an "
                    f"entry, {counts['origin']} by origin, {counts['hash']} by the hash")
        assert min(counts["entry"], counts["origin"]) >= least, f"{what}: {counts}"

    def judge(self):
        """The end: nothing is broken, and the short connections went where they should."""
        self.crowd.round()
        self.unharmed()
        self.stack.close()
        self.figure(f"{len(self.crowd.flows)} long connections, {len(self.crowd.broken())} broken "
                    f"of {len(self.excused)} that might; short ones: {self.load}")
        alarms = self.false_alarms()
        assert not alarms, f"the checks were wrong, so all else is void:\n{alarms}"
        failures = [r for r in self.load.failures
                    if not any(r.start < settled and r.end > begun
                               for begun, settled in self.deaths)]
        self.nothing("short connections failed", failures)
        fresh = self.fresh()
        for change in self.changes:
            self.judge_shares(fresh, *change)

    def nothing(self, what, requests):
        """There are no such requests. If there are, the figures say so too: they are kept."""
        if requests:
            self.figure(f"{len(requests)} {what}:\n" + "\n".join(map(self.when, requests[:10])))
        assert not requests, what

    def place(self, moment):
        """A moment, told from the last change before it."""
        past = [c for c in self.changes if c[2] <= moment]
        if not past:
            return "before the first change"
        what, _, begun, settled, _ = past[-1]
        return f"{moment - begun:.3f} s after '{what}' began (settled: {settled - begun:.3f} s)"

    def when(self, request):
        past = [f"{r.answer or r.error} {request.start - r.end:.3f} s before"
                for r in self.load.requests if r.flow == request.flow and r.end < request.start]
        return (f"{self.place(request.start)}, {request.end - request.start:.3f} s long: "
                f"{request.answer or request.error}; {request.flow} before: "
                f"{', '.join(past[-3:]) or 'not used'}")

    def fresh(self):
        """The requests that came as new connections: their ports were not in use a moment ago."""
        free = {(f.source, f.port, f.target): math.inf for f in self.crowd.broken()}
        fresh = []
        for r in sorted(self.load.requests, key=lambda r: r.start):
            if r.start > free.get(r.flow, 0):
                fresh.append(r)
            free[r.flow] = max(free.get(r.flow, 0), r.end + (CLOSED if r.answer else REFUSED))
        return fresh

    def judge_shares(self, fresh, what, weights, _, settled, ended):
        """Nobody went where nothing should, and each share is as its weight says, but for a
        hundredth (see follow) and five standard deviations of a binomial count: of 50 counts a
        run, chance breaks that once in 30,000 runs."""
        requests = [r for r in fresh if r.answer and settled < r.start < ended]
        total, power = len(requests), sum(weights.values())
        assert total > 500, f"{what}: only {total} short connections"
        self.nothing(f"short connections went elsewhere after '{what}'",
                     [r for r in requests if not weights.get(int(r.answer.removeprefix("web")))])
        answers = collections.Counter(r.answer for r in requests)
        for n, share in ((n, weight / power) for n, weight in weights.items()):
            off = answers[f"web{n}"] / total - share
            chance = math.sqrt(share * (1 - share) / total)
            assert abs(off) <= 0.01 * share + 5 * chance, (
                f"{what}: web{n} has {off:+.4f} more than its {share:.4f} of {total} connections; "
                f"a standard deviation is {chance:.4f}")


@contextlib.contextmanager
def failing_health(lab, web):
    """Inside the block the balancer's checks of the web server are refused, and nothing else."""
    rules = "".join(f"add rule inet sick input {'ip6' if ':' in address else 'ip'} saddr {address} "
                    "tcp dport 80 reject with tcp reset\n" for address in lab.lb.addresses)
    web.run("nft", "-f", "-", input="add table inet sick\nadd chain inet sick input "
            "{ type filter hook input priority 0; }\n" + rules)
    try:
        yield
    finally:
        web.run("nft", "delete table inet sick")


def wrongly_suspected(lab, stage, weights):
    """The checks of web4 fail for a while though it serves. While they do its connections are
    sent on to others, which reset those that talk; but nothing is forgotten: the silent ones are
    web4's again when it is well."""
    mine = stage.crowd.living("web4")
    stage.crowd.quiet(mine[::2])
    stage.excuse(mine[1::2])
    with contextlib.ExitStack() as stack:
        stage.change("web4's health endpoint fails", weights | {4: 0}, deadly=True,
                     act=lambda: stack.enter_context(failing_health(lab, lab.web("web4"))))
    stage.change("web4's health endpoint is back", weights, lambda: None)
    stage.crowd.talk()
    stage.unharmed()
    stage.figure(f"of {len(mine)} connections of web4 the {len(mine[::2])} silent ones live; of "
                 f"the others {sum(f.broken is not None for f in stage.crowd.flows)} were reset")


def dead_and_revived(lab, stage, weights):
    web4 = lab.web("web4")
    stage.excuse(stage.crowd.living("web4"))
    stage.change("web4 dies", weights | {4: 0}, deadly=True,
                 act=lambda: web4.nginx.stop(signal.SIGKILL))
    stage.change("web4 is started again", weights, web4.start_nginx)


def test_two_thousand_connections(lab, figure):
    """The whole story, with the default timeouts."""
    def file(weights):
        return gateway(weights, check=PATIENT)
    begin(lab, file(PAIR), PAIR)
    with Stage(lab, figure) as stage:
        stage.crowd.open(900)
        stage.change("web3 is added", THREE, lambda: reload(lab, file(THREE)), least=0,
                     opening=1100)
        stage.change("web4 is added", FOUR, lambda: reload(lab, file(FOUR)))
        stage.change("web1 gets a tenth of its weight", FOUR | {1: 10}, opening=200,
                     act=lambda: command(lab, "weight", "web1", 10))
        stage.change("web1 gets its weight back", FOUR,
                     lambda: command(lab, "weight", "web1", "default"))
        stage.change("web2 is drained", FOUR | {2: 0}, lambda: command(lab, "drain", "web2"))
        assert not lab.lb.backends()["web2"]["drain"]["done"]
        left = {n: w for n, w in FOUR.items() if n != 2}
        stage.change("web2 is removed", left, lambda: reload(lab, file(left)))
        assert lab.lb.backends()["web2"]["retired"] and len(stage.crowd.living("web2")) > 200
        wrongly_suspected(lab, stage, left)
        dead_and_revived(lab, stage, left)
        stage.crowd.open(2000 - len(stage.crowd.living()))
        for i in range(5):
            weights = left | ({4: 200} if i % 2 else {1: 50})
            stage.change(f"reload {i + 1} of 5, to {weights}", weights,
                         lambda w=weights: reload(lab, file(w)))
        stage.judge()


def test_short_timeouts_and_long_intervals(lab, figure):
    """Connections that talk outlive any number of their timeouts, and so does what holds them.
    When they end, it ends."""
    def file(weights):
        return gateway(weights, check=PATIENT,
                       timeouts="{established: 5s, embryonic: 5s, closing: 5s}")
    begin(lab, file(THREE), THREE)
    with Stage(lab, figure) as stage:
        stage.crowd.open(900)
        # What begins on web4 before it is drained has nothing but its entries afterwards.
        stage.change("web4 is added", FOUR, lambda: reload(lab, file(FOUR)), least=0, opening=1100)
        stage.change("web4 is drained", FOUR | {4: 0}, lambda: command(lab, "drain", "web4"),
                     least=0)
        stage.gap = 16
        pause(stage.gap)
        stage.change("web1 gets a tenth of its weight", {1: 10, 2: 100, 3: 100, 4: 0},
                     lambda: command(lab, "weight", "web1", 10))
        stage.change("web2 is drained", {1: 10, 2: 0, 3: 100, 4: 0},
                     lambda: command(lab, "drain", "web2"))
        stage.change("web2 is removed", {1: 10, 3: 100, 4: 0},
                     lambda: reload(lab, file({1: 100, 3: 100, 4: 100})))
        stage.judge()
    ended = time.monotonic()

    def forgotten():
        services = [lab.lb.service(name) for name in SERVICES.values()]
        return not any(s["remembering"] or s["entries"] or b["retired"]
                       for s in services for b in s["backends"])
    until(forgotten, 30, lambda: f"all is forgotten:\n{lab.lb.cli('status').stdout}")
    figure(f"{time.monotonic() - ended:.1f} s after the last connection nothing is remembered, "
           "and web2 is gone")


def ask_from(lab, source, port):
    """A request from this port, on a connection of its own that the server ends. Who answered, or
    None: somebody who has just used the port, in the test before, has left it in TIME_WAIT."""
    with lab.client.enter(), socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(5)

        def free():  # whoever had it has just been told that it is over
            with contextlib.suppress(OSError):
                sock.bind((source, port))
                return True
        try:
            until(free, 0.5, f"port {port} is free")
        except LabError:
            return None
        sock.connect((VIP4, 80))
        sock.sendall(b"GET / HTTP/1.1\r\nHost: port\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(65536), b"")).split()[-1].decode()


def test_a_port_whose_first_connection_the_server_still_holds(lab, figure):
    """web3 is suspected, its clients are reset by others, and it is not told. Their ports serve
    for a connection elsewhere. When a third one from there reaches web3, web3 acknowledges what it
    still holds; that the client resets, and web3 has to hear it, or no SYN is ever accepted."""
    begin(lab, gateway(THREE, check=PATIENT), THREE)
    with Crowd(lab.client, [VIP4], CLIENT4, period=0.2) as crowd:
        crowd.open(60)
        mine = crowd.living("web3")
        with failing_health(lab, lab.web("web3")):
            follow(lab, PAIR)
            crowd.round()
            assert {f.number for f in crowd.broken()} == {f.number for f in mine}
            asked = [(f, ask_from(lab, f.source, f.port)) for f in mine]
            mine, between = zip(*((f, answer) for f, answer in asked if answer))
        follow(lab, THREE)
        pause(CLOSED)
        begun = time.monotonic()
        again = [ask_from(lab, f.source, f.port) for f in mine]
        figure(f"{len(mine)} ports, answered by {collections.Counter(between)} and then, in "
               f"{time.monotonic() - begun:.3f} s, by {collections.Counter(again)}")
    assert "web3" not in between and set(again) == {"web3"} and len(mine) > 5


@contextlib.contextmanager
def echo_servers(lab):
    servers = [web.popen(sys.executable, longlived.__file__, "serve", web.name, *VIPS, name="echo")
               for web in lab.webs]
    try:
        for server in servers:
            server.expect("ready")
        yield
    finally:
        for server in servers:
            server.stop()


def echo(weights):
    """A UDP service over both families."""
    return config(*(service(name, vip, pool, port=longlived.UDP_PORT, protocol="udp")
                  for (vip, name), pool in zip(UDP_SERVICES.items(), pools(weights))))


def test_udp_flows_keep_their_backend(lab, figure):
    """There is no handshake: every flow has an entry."""
    begin(lab, echo(FOUR), FOUR, UDP_SERVICES)
    with echo_servers(lab), Crowd(lab.client, VIPS, SOURCES, port=longlived.UDP_PORT,
                                  udp=True) as crowd:
        crowd.open(400)
        for weight, weights in (10, FOUR | {1: 10}), (1000, FOUR | {1: 1000}), (0, FOUR | {1: 0}):
            command(lab, "weight", "web1", weight, services=UDP_SERVICES)
            follow(lab, weights, UDP_SERVICES)
            counts = held(lab.lb, UDP_SERVICES, crowd.living(), port=longlived.UDP_PORT,
                          protocol=socket.IPPROTO_UDP)
            crowd.round()
            figure(f"web1 has weight {weight}: of {counts.total()} flows {counts['entry']} are "
                   f"held by an entry against the ring, {len(crowd.broken())} are broken")
            assert not crowd.broken() and counts["entry"] > 50
            crowd.open(50)


def test_a_connection_that_moves_to_another_cpu(lab, figure):
    """One table for all CPUs: what one has stored, the others find."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        pytest.skip("there is one CPU")
    begin(lab, gateway(PAIR), PAIR)
    backends = [b["index"] for s in lab.lb.status()["services"] for b in s["backends"]]
    with Crowd(lab.client, VIPS, SOURCES) as crowd, Pinned(lab.lb) as pinned:
        def packets():
            return [sum(column) for column in zip(*map(pinned.packets, backends))]

        crowd.pin(cpus[0])
        crowd.open(300)
        reload(lab, gateway(THREE))
        follow(lab, THREE)
        crowd.open(300)
        command(lab, "weight", "web1", 10)
        follow(lab, THREE | {1: 10})
        for cpu in cpus[1], cpus[0], cpus[1]:
            crowd.pin(cpu)
            before = packets()
            for _ in range(2):
                crowd.round()
            gone = [now - then for now, then in zip(packets(), before)]
            counts = held(lab.lb, SERVICES, crowd.living())
            figure(f"client on CPU {cpu}: packets by CPU {gone}; {dict(counts)}, "
                   f"{len(crowd.broken())} broken")
            # (The others' packets are acknowledgements, sent where the answer came in.)
            assert gone[cpu] > 600
            assert not crowd.broken() and min(counts["entry"], counts["origin"]) > 50


def test_evenkeeld_is_killed_in_the_middle_of_a_drain(lab, figure):
    begin(lab, gateway(PAIR), PAIR)
    with Crowd(lab.client, VIPS, SOURCES) as crowd:
        crowd.open(300)
        reload(lab, gateway(THREE))
        follow(lab, THREE)
        crowd.open(300)
        command(lab, "weight", "web1", 50)
        command(lab, "drain", "web2")
        follow(lab, {1: 50, 2: 0, 3: 100})
        before = held(lab.lb, SERVICES, crowd.living())
        since = lab.lb.backends()["web2"]["drain"]["since"]
        for number in signal.SIGKILL, signal.SIGQUIT, signal.SIGKILL:
            lab.lb.daemon.stop(number)
            crowd.open(50)
            crowd.round()
            lab.lb.start(lab.config)
            follow(lab, {1: 50, 2: 0, 3: 100})
            web2 = lab.lb.backends()["web2"]
            assert web2["draining"] and not web2["drain"]["done"]
            assert web2["drain"]["since"] == since
            assert lab.lb.backends()["web1"]["weight"] == 50
            crowd.round()
        after = held(lab.lb, SERVICES, crowd.living())
        figure(f"before {dict(before)}, after three lives and 150 more {dict(after)}; "
               f"{len(crowd.broken())} broken; web2 {web2['drain']}")
        assert not crowd.broken() and min(before["entry"], before["origin"]) > 50
        assert after["origin"] >= before["origin"] and after["entry"] >= before["entry"]
        assert not {f.server for f in crowd.flows[600:]} & {"web2"}


@pytest.mark.parametrize("tracking", ["just-enough", "full"])
def test_a_drain_is_done_when_the_last_connection_has_ended(lab, tracking, figure):
    """One connection that says something every two seconds holds it up, for as long as it
    likes; then it is done, and only then."""
    begin(lab, gateway(PAIR, tracking=tracking,
                       timeouts="{established: 3s, embryonic: 3s, closing: 1s}"), PAIR)

    def drains():
        return [lab.lb.backends(name)["web2"]["drain"] for name in SERVICES.values()]

    with Crowd(lab.client, [VIP4], CLIENT4, period=2.0) as crowd:
        crowd.open(30)
        mine = crowd.living("web2")
        crowd.close([f for f in crowd.flows if f.server != "web2"] + mine[1:])
        begun = time.monotonic()
        command(lab, "drain", "web2")
        # The other service's drain has nothing to wait for but its own memory: the yardstick.
        until(lambda: drains()[1]["done"], 30, lambda: f"web6's drain is done: {drains()}")
        alone = time.monotonic() - begun
        pause(alone)
        one = drains()[0]
        figure(f"without a connection done after {alone:.1f} s; with one, after "
               f"{time.monotonic() - begun:.1f} s: {one}")
        assert not one["done"] and one["slots"] + one["entries"] > 0
        assert not crowd.broken()
        ended = time.monotonic()
    until(lambda: drains()[0]["done"], 30, lambda: f"web's drain is done: {drains()}")
    figure(f"done {time.monotonic() - ended:.1f} s after its end: {drains()[0]}")
