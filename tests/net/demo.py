#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The main job as a story: `make demo`. KEEP=1 leaves the first laboratory up at the end; that of
the pair is taken away in any case.

Each scene is a function (story, lab). A scene narrates, runs commands as a person would type them
and checks what it claims: the first expectation that fails ends the demo with exit status 1.
"""
import contextlib
import os
import signal
import sys
import time
from collections import Counter

from gateway import FILE
from lab import (CLIENT4, CLIENT6, PINS, ROOT, VIP4, VIP6, Capture, Lab, LabError, remove_stale,
                 until)
from load import Load
from longlived import Crowd
from pair import CONFIG as PAIR_CONFIG
from pair import WEB, PairLab, services
from pinned import held

PICTURE = """
   client ──────────── router ──────────────┬───── lb1   evenkeeld, an XDP program on eth0
   10.1.0.2            routes the VIPs      │      10.2.0.10
   fd00:1::2           192.0.2.10 and       │
                       2001:db8::10         ├───── web1  nginx  10.2.0.21  fd00:2::21
      ▲                to lb1               ├───── web2  nginx  10.2.0.22  fd00:2::22
      │                                     ├───── web3  nginx  10.2.0.23  fd00:2::23
      │                                     └───── web4  nginx  10.2.0.24  fd00:2::24
      │                                              │              (not used yet)
      └──────────── replies go straight back ────────┘
"""

PAIR_PICTURE = """
   client ──────────── router ──────────────┬───── lb1   10.2.0.10 ──┐ a link of their own,
   10.1.0.2            asks by ARP and ND   ├───── lb2   10.2.0.11 ──┘ 10.9.0.0/24
   fd00:1::2           who has 192.0.2.10   ├───── web1  10.2.0.21
      ▲                and 2001:db8::10     ├───── web2  10.2.0.22
      │                                     └───── web3  10.2.0.23
      │                                                │
      └──────────── replies go straight back ──────────┘
"""

NAME, PAIR_NAME = "demo", "demo_pair"
DOWNLOAD_SECONDS = 16  # asked for; curl takes about two thirds of it
CONFIG = "/run/evenkeel.yaml"  # on lb1, whose /run is its own


class Unmet(Exception):
    """An expectation of the story that did not come true."""


class Story:
    """What the reader sees."""

    def __init__(self):
        self.colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self.scenes = 0

    def _paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def _print(self, text=""):
        print(text.rstrip(), flush=True)

    def scene(self, title):
        self.scenes += 1
        self._print("\n" + self._paint("1", f"{self.scenes}. {title}"))
        self._print()

    def say(self, *lines):
        for line in lines:
            self._print("   " + line)

    def show(self, text, code="2"):
        for line in text.rstrip("\n").splitlines():
            self._print("   " + self._paint(code, line))

    def shell(self, host, command, check=True):
        """Runs what it shows, and shows what came out."""
        self.prompt(host, command)
        done = host.run("sh", "-c", command, check=check)
        self.show(done.stdout + done.stderr)
        return done.stdout

    def prompt(self, host, command):
        self._print("   " + self._paint("36", f"{host.name} $ ") + self._paint("1", command))

    def expect(self, truth, text):
        self._print("   " + (self._paint("32", "✓ ") if truth else self._paint("31", "✗ ")) + text)
        if not truth:
            raise Unmet(text)

    def bars(self, counts, names):
        total = sum(counts.values()) or 1
        for name in names:
            part = counts.get(name, 0) / total
            self._print(f"   {name}  {self._paint('34', '█' * round(part * 48)):<2} "
                        f"{counts.get(name, 0):,}  {part:.1%}")

    def at(self, milliseconds, text):
        self._print("   " + self._paint("33", f"{milliseconds:+7.0f} ms") + f"  {text}")


def names(lab):
    """The backends that the file lists."""
    return [b["name"] for b in lab.lb.service("web")["backends"]]


def shares(lab):
    """Each backend's part of the ring of each service."""
    return {s["name"]: {b["name"]: b["share"] for b in s["backends"]}
            for s in lab.lb.status()["services"]}


def start(story, lab):
    story.scene("The balancer starts")
    story.shell(lab.lb, f"cp {FILE.relative_to(ROOT)} {CONFIG}")
    story.prompt(lab.lb, f"evenkeeld -c {CONFIG} &")
    lab.lb.start(CONFIG)
    lab.lb.wait_all(health="up", nexthop="resolved")
    story.show(lab.lb.daemon.log())
    (eth0,) = lab.lb.status()["interfaces"]
    story.expect(eth0["attached"] and eth0["mode"] == "native",
                 "the program runs in the driver of eth0, before the kernel's network stack")


def first_requests(story, lab):
    story.scene("Somebody asks")
    with Capture(lab.router, "lb1") as cable:
        for url in f"http://{VIP4}/", f"'http://[{VIP6}]/'":
            answer = story.shell(lab.client, f"curl -s {url}").strip()
            story.expect(answer in names(lab), "a backend answered")
    mac = bytes.fromhex(lab.lb.link()["address"].replace(":", ""))
    ipip = sum(f[6:12] == mac and ((f[12:14], f[23]) == (b"\x08\0", 4)
                                   or (f[12:14], f[20]) == (b"\x86\xdd", 41))
               for _, f in cable.frames)
    story.say(f"lb1 put {ipip} packets of these two requests into an outer header and sent them",
              "on, by the way they came.",
              "The backend unwraps them, finds the client's own packet for the VIP, and answers",
              "the client itself. lb1 never sees the reply.")
    story.expect(ipip >= 8, "requests went through lb1's tunnel")


def spread(story, lab):
    story.scene("Ten thousand connections")
    story.say("Half over IPv4, half over IPv6, each a TCP connection of its own.")
    begun = time.monotonic()
    with Load(lab.client, [VIP4, VIP6], CLIENT4 + CLIENT6, workers=16, count=10_000) as load:
        load.finish()
    story.say(f"Done in {time.monotonic() - begun:.1f} s. Who answered:", "")
    story.bars(load.answers(), names(lab))
    story.say("")
    story.expect(not load.failures, "none failed")
    story.expect(all(abs(load.answers()[n] / 10_000 - 1 / 3) < 0.03 for n in names(lab)),
                 "each backend took its third")
    story.say("")
    story.shell(lab.lb, "evenkeel status")


class Guests:
    """The long connections of the scene, counted after each change."""

    def __init__(self, story, lab, crowd):
        self.story, self.lab, self.crowd = story, lab, crowd

    def more(self, count):
        self.crowd.open(count)
        self.story.say(f"{count:,} connections are opened, to stay.", "")

    def change(self, why, *commands, until_share):
        """Runs the commands for both services and waits for their effect on new connections."""
        self.story.say(*why, "")
        for command in commands:
            self.story.shell(self.lab.lb, command)
        name, reached = until_share
        until(lambda: all(reached(s[name]) for s in shares(self.lab).values()), 10, "a new share")
        self.crowd.round()
        counts = held(self.lab.lb, {VIP4: "web", VIP6: "web6"}, self.crowd.living())
        self.story.say(f"Of {counts.total():,} long connections {counts['hash']} are where new "
                       f"ones would go too, {counts['origin']} are held by",
                       f"what the ring remembers, {counts['entry']} by an entry of their own.")
        self.story.expect(not self.crowd.broken(), "none is broken")
        self.story.say("")


def long_connections(story, lab):
    story.scene("Backends come and go under long connections")
    with Crowd(lab.client, [VIP4, VIP6], CLIENT4 + CLIENT6) as crowd:
        guests = Guests(story, lab, crowd)
        story.say("Each of these connections asks once a second, and counts as broken unless the",
                  "server that answered first goes on answering.")
        guests.more(1000)
        guests.change(["A fourth server is there. What would it change to add it?"],
                      f"sed -i '/web3/ {{p; s/web3/web4/; s/23/24/}}' {CONFIG}",
                      f"evenkeel plan {CONFIG}", "evenkeel reload",
                      until_share=("web4", lambda share: share > 0.2))
        guests.more(500)
        guests.change(["web4 is weak: a tenth for it."],
                      "evenkeel weight web/web4 10; evenkeel weight web6/web4 10",
                      until_share=("web4", lambda share: share < 0.1))
        guests.more(500)
        guests.change(["web1 needs maintenance: no new connections."],
                      "evenkeel drain web/web1; evenkeel drain web6/web1",
                      until_share=("web1", lambda share: share == 0))
        story.say("Who answers the long connections:")
        story.bars(Counter(f.server for f in crowd.living()), names(lab))
        with Load(lab.client, [VIP4, VIP6], CLIENT4 + CLIENT6, workers=8, count=2000) as load:
            load.finish()
        story.say("Who answers 2,000 new ones:")
        story.bars(load.answers(), names(lab))
        story.say("")
        story.expect(not load.failures and not load.answers()["web1"], "web1 gets nothing new")
        story.say("")
        guests.change(["It is back, and web4 was not that weak."],
                      "evenkeel undrain web/web1; evenkeel undrain web6/web1",
                      "evenkeel weight web/web4 default; evenkeel weight web6/web4 default",
                      until_share=("web4", lambda share: share > 0.2))
        story.expect(not crowd.broken(), f"{len(crowd.flows):,} long connections, "
                                         f"{len(crowd.broken())} broken")


def death_and_return(story, lab):
    story.scene("web2 dies, and comes back")
    web2, before = lab.web("web2"), shares(lab)
    story.say("Requests keep coming, thousands a second, while we kill a server.", "")
    with Load(lab.client, [VIP4, VIP6], CLIENT4 + CLIENT6, workers=6, pause=0.002) as load:
        packets = lab.lb.service("web")["packets"]
        until(lambda: lab.lb.service("web")["packets"] > packets + 500, 10, "requests are running")
        killed = time.monotonic()
        story.shell(web2, f"kill -9 {web2.nginx.pid}    # nginx")
        until(lambda: not web2.nginx.alive, 5, "nginx ends")
        until(lambda: not any(s["web2"] for s in shares(lab).values()), 10, "web2 has left")
        gone = time.monotonic()
        why = lab.lb.backends()["web2"]["why"]
        until(lambda: time.monotonic() > gone + 1, 2, "a second without web2")
        restarted = time.monotonic()
        story.prompt(web2, "nginx &")
        web2.start_nginx()
        until(lambda: shares(lab) == before, 10, "web2 has its share back")
        back = time.monotonic()
        until(lambda: time.monotonic() > back + 1, 2, "a second with web2")
    failed = [r for r in load.failures if r.start < gone]
    last = max((r.end for r in failed), default=killed)
    story.say("")
    story.at(0, "nginx on web2 is killed")
    story.at((last - killed) * 1e3, f"the last request that it cost: {len(failed)} of "
                                    f"{len(load.requests):,} failed")
    story.at((gone - killed) * 1e3, f"web2 is out of both rings: {why}")
    story.at((restarted - killed) * 1e3, "nginx is started again")
    story.at((back - killed) * 1e3, "web2 has its slots back: the same ones as before")
    story.say("", "A check asks each backend five times a second and wants two failures in a row.",
              "Until then web2 went on getting its third of the connections, and refused them.",
              "", "Who answered while web2 was away:")
    away = [r.answer for r in load.requests if gone < r.start and r.end < restarted]
    story.bars({n: away.count(n) for n in names(lab)}, names(lab))
    story.say("Who answered after its return:")
    story.bars(load.answers(since=back), names(lab))
    story.say("")
    story.expect(failed, "clients felt the death")
    story.expect(away and not away.count("web2"), "once the rings had moved, none went to web2")
    story.expect(all(r.start < gone for r in load.failures), "and none failed, not even on its "
                                                             "return")
    story.expect(load.answers(since=back)["web2"] > 0, "web2 works again")
    story.shell(lab.lb, "evenkeel status web")


def inside(story, lab):
    story.scene("What the kernel holds")
    story.say("The data plane is a program and a few maps. They outlive evenkeeld, and anyone may",
              "look at them:", "")
    story.shell(lab.lb, f"ls {PINS}")
    index = lab.lb.backends()["web1"]["index"]
    key = " ".join(str(b) for b in index.to_bytes(4, "little"))
    story.shell(lab.lb, f"bpftool map show pinned {PINS}/backends")
    story.say("", "web1's entry on the first CPU: counters, next hop (MAC, port, flags), address")
    row = story.shell(lab.lb, f"bpftool map lookup pinned {PINS}/backends key {key}")
    story.expect("value" in row, "web1 has an entry")


def without_controller(story, lab):
    story.scene("evenkeeld is killed")
    with Load(lab.client, [VIP4, VIP6], CLIENT4 + CLIENT6, workers=4, sessions=8) as load:
        story.shell(lab.lb, f"kill -9 {lab.lb.daemon.pid}    # evenkeeld")
        until(lambda: not lab.lb.daemon.alive, 5, "evenkeeld ends")
        dead = time.monotonic()
        until(lambda: time.monotonic() > dead + 1, 2, "a second without a controller")
        story.prompt(lab.lb, f"evenkeeld -c {CONFIG} &")
        lab.lb.start(CONFIG)
        story.show(lab.lb.daemon.log())
        adopted = time.monotonic()
        until(lambda: time.monotonic() > adopted + 0.5, 2, "half a second more")
    alone = sum(dead < r.start and r.end < adopted for r in load.requests)
    old = sum(r.kind == "session" for r in load.requests)
    story.say(f"{alone:,} requests were answered while nobody was in control. Of all of them,",
              f"{old:,} travelled on 8 connections that were open the whole time.")
    story.expect(alone and old and not load.failures, f"none of {len(load.requests):,} failed")


def end(story, lab):
    story.scene("It is told to end")
    story.prompt(lab.lb, f"kill {lab.lb.daemon.pid}    # evenkeeld, by SIGTERM")
    lab.lb.daemon.stop()
    story.show(lab.lb.daemon.log().splitlines()[-1])
    story.expect("xdp" not in lab.lb.link() and not lab.lb.pins(),
                 "nothing is left on eth0 nor under /sys/fs/bpf")


SCENES = [start, first_requests, spread, long_connections, death_and_return, inside,
          without_controller]


def two_balancers(story, lab):
    lb1, lb2 = lab.balancers
    story.scene("A second balancer")
    story.show(PAIR_PICTURE, "0")
    lab.write(*services({1: 100, 2: 100, 3: 100}))
    story.say("", "Both have the same services and keys. lb1 has the higher priority.", "")
    for node in lab.balancers:
        story.prompt(node, f"evenkeeld -c {PAIR_CONFIG} &")
    lab.start()
    lab.wait_roles(lb1="primary", lb2="secondary")
    lab.wait_synced()
    story.shell(lb1, "evenkeel ha status")
    story.expect(lb2.role() == "secondary", "lb1 has the VIPs, lb2 could take them")


def knowledge(node, crowd):
    """By what the node knows each connection's backend, or None while it does not."""
    with contextlib.suppress(AssertionError):
        return node.held(crowd.living())


def tell_knowledge(story, node, crowd):
    counts = until(lambda: knowledge(node, crowd), 10, f"{node.name} knows all connections")
    story.expect(counts.total() == len(crowd.flows),
                 f"{node.name} knows where all {counts.total()} belong")
    story.say(f"  {counts['hash']} by the hash, {counts['origin']} by what the ring remembers, "
              f"{counts['entry']} by an entry of their own", "")


def settle(story, lab, crowd):
    """500 connections, a part of which one cannot place by the hash alone."""
    crowd.open(250)
    story.say("250 connections are opened. The backends change, and 250 more are opened:", "")
    story.shell(lab.lb, "evenkeel drain web/web1; evenkeel drain web6/web1")
    until(lambda: not any(n.backends(s)["web1"]["share"] for n in lab.balancers
                          for s in WEB.values()), 10, "web1 gets nothing new, by both nodes")
    crowd.open(250)


def show_pair(story, node):
    story.shell(node, "evenkeel ha status | grep -E 'ROLE|^  front|^peer|slots'")


def stays_whole(story, crowd, download):
    crowd.round()
    story.expect(not crowd.broken(), f"{len(crowd.flows)} connections, {len(crowd.broken())} "
                                     "broken")
    story.expect(download.running, "the download goes on")
    story.say("")


def tell_stalls(story, lab, meter, moments):
    killed, claimed, booted, returned = moments
    dead = 1e3 * lab.balancers[1].dead_interval()
    story.say("")
    story.at(0, "lb1 is gone")
    story.at((claimed - killed) * 1e3, f"lb2 is primary; it claims {dead:.0f} ms after the last "
                                       "advert that it heard")
    story.at((booted - killed) * 1e3, "lb1 boots")
    story.at((returned - killed) * 1e3, "lb1 is primary: by its priority, but not before it had "
                                        "lb2's connections")
    gone, back = (1e3 * meter.gap(*span)[0] for span in ((killed, booted), (booted,)))
    story.say("", f"Longest time without an answer: {gone:.0f} ms when lb1 went, {back:.0f} ms "
                  "when it came back.",
              f"(The pauses between two questions were {1e3 * meter.lag(killed)[0]:.0f} ms at the "
              "most.)")


def power_cut(story, lab):
    story.scene("The primary loses its power, and comes back")
    lb1, lb2 = lab.balancers
    with lab.crowd() as crowd:
        settle(story, lab, crowd)
        tell_knowledge(story, lb2, crowd)
        story.say("A slow download begins. Besides, somebody asks every 5 ms, over TCP and UDP, to "
                  "find", "out how long nobody answers.", "")
        with lab.meter() as meter, lab.download(seconds=DOWNLOAD_SECONDS) as download:
            crowd.round()
            story.prompt(lb1, f"kill -9 {lb1.daemon.pid}    # evenkeeld, and then all of lb1")
            killed = lb1.kill()
            lb1.power_off()
            lab.wait_roles(lb2="primary")
            claimed = time.monotonic()
            show_pair(story, lb2)
            stays_whole(story, crowd, download)
            story.say("lb1 boots. All that it has is its disk.", "")
            booted = lb1.power_on()
            story.prompt(lb1, f"evenkeeld -c {PAIR_CONFIG} &")
            lab.wait_roles(lb1="primary", lb2="secondary")
            returned = time.monotonic()
            show_pair(story, lb1)
            stays_whole(story, crowd, download)
            tell_knowledge(story, lb1, crowd)
            story.say("The download goes on to its end.", "")
            story.expect(download.finish(), f"it is whole: sha256 {lab.sha256[:16]}...")
        tell_stalls(story, lab, meter, (killed, claimed, booted, returned))
        story.expect(not meter.errors("tcp"), "none of the questions over TCP failed")
        story.expect(not crowd.broken(), f"{len(crowd.flows)} connections opened, "
                                         f"{len(crowd.broken())} broken")


PAIR_SCENES = [two_balancers, power_cut]


def look_around(story, lab):
    story.scene("The laboratory stays")
    story.say("That of the pair is gone; the first one is still there.",
              "Step into a host (the programs are in build/):", "")
    for host in lab.client, lab.router, lab.lb, *lab.webs:
        story.say(f"  {host.name:7} sudo {' '.join(host.entry)} bash")
    story.say("", "Take it away:", "", "  sudo tests/net/demo.py --down")


def act(story, lab, scenes):
    try:
        for scene in scenes:
            scene(story, lab)
    except (Unmet, LabError, RuntimeError):
        for node in lab.balancers:
            if node.daemon:
                story.say("", f"evenkeeld on {node.name} said:")
                story.show(node.daemon.log())
        raise


def play(story, keep):
    story.say("Evenkeel: a layer-4 load balancer in XDP. Three web servers behind one address.")
    with Lab(NAME, backends=4, tied=not keep) as lab:
        story.scene("A laboratory")
        story.say("Each name is a network namespace, a small machine of its own; lines are cables.")
        story.show(PICTURE, "0")
        act(story, lab, SCENES if keep else [*SCENES, end])
        with PairLab(PAIR_NAME) as pair:
            act(story, pair, PAIR_SCENES)
        if keep:
            look_around(story, lab)
            lab.keep()


def main():
    story, begun = Story(), time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if sys.argv[1:] == ["--down"]:
            for name in NAME, PAIR_NAME:
                remove_stale(name)
            return 0
        play(story, os.environ.get("KEEP") not in (None, "", "0"))
    except (Unmet, LabError, RuntimeError) as problem:
        print(f"\nThe demo failed: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; everything is taken away.", file=sys.stderr)
        return 130
    story.say("", f"All of it came true, in {time.monotonic() - begun:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
