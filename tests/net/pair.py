# SPDX-License-Identifier: GPL-2.0-only
"""The laboratory of the pair: two or three balancers that watch each other.

    client                  router                        lb1   eth0 10.2.0.10   sync 10.9.0.1
    10.1.0.2-9 -- 10.1.0.1 | br0 10.2.0.1 ---+----------- lb2   eth0 10.2.0.11   sync 10.9.0.2
                    VIPs are on br0's link   |           (lb3   eth0 10.2.0.12   sync 10.9.0.3)
                                             +-- web1 .. webN                      |
                                                            a bridge of its own ---+

(and fd00:1::, fd00:2:: likewise). The router has no next hop for the VIPs: it asks for them, by
ARP and neighbour solicitation, and whoever announces them has the traffic. With `routed` it knows
nothing of them but what a routing daemon will tell it (peers.py). With `apart` that too, and each
further balancer is in a network of its own: lb2 is 10.3.0.11.

A balancer keeps /etc/evenkeel and /var/lib through power_off(), as a disk does; /run and
/sys/fs/bpf it loses.
"""
import contextlib
import functools
import hashlib
import ipaddress
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import longlived
import pinned
from gateway import pools, service
from lab import (BIG_BYTES, CLIENT4, CLIENT6, FABRIC_MTU, VIP4, VIP6, Balancer, Host, Lab, LabError,
                 run, until)
from longlived import Crowd
from probes import Announcers, Download, Meter

CONFIG = "/etc/evenkeel/evenkeel.yaml"
SECRET = "/etc/evenkeel/peer.key"
HASH_KEY = "/etc/evenkeel/hash.key"
VIPS, SOURCES = [VIP4, VIP6], CLIENT4 + CLIENT6
WEB = {VIP4: "web", VIP6: "web6"}
ECHO = {VIP4: "echo", VIP6: "echo6"}
INSTANCE = "front"
INTERVAL = 0.1  # seconds between adverts
NAME = "lb{}"


def services(weights, **more):
    """web, web6, echo and echo6 over the backends of these numbers and weights; `more` is for all
    of them, as in gateway.service()."""
    four, six = pools(weights)
    udp = {"port": longlived.UDP_PORT, "protocol": "udp"}
    return [service("web", VIP4, four, **more), service("web6", VIP6, six, **more),
            service("echo", VIP4, four, **udp, **more), service("echo6", VIP6, six, **udp, **more)]


class Node(Balancer):
    """One balancer. What is done to it returns the moment at which it began."""

    def __init__(self, lab, number, network=2):
        self.number = number
        self.sync_address = f"10.9.0.{number}"
        super().__init__(lab, NAME.format(number), f"10.{network}.0.{9 + number}",
                         f"fd00:{network}::{9 + number}")

    def mounts(self):
        self.etc = self.dir / "etc/evenkeel"
        self.etc.mkdir(parents=True, exist_ok=True)
        (self.dir / "lib").mkdir(exist_ok=True)
        # The host's /etc, read-only, with one more directory in it.
        return ["mount -t bpf bpf /sys/fs/bpf", "mount -t tmpfs run /run",
                f"mount --bind {self.dir}/lib /var/lib",
                f"mount -t overlay etc -o lowerdir={self.dir}/etc:/etc /etc",
                f"mount --bind {self.etc} /etc/evenkeel"]

    def configure(self):
        super().configure()
        self.ip(f"addr add {self.sync_address}/24 dev sync", "link set sync up")

    def write(self, path, text, mode=0o644):
        """A file in its /etc/evenkeel, replaced as a whole."""
        new = self.etc / "new"
        new.unlink(missing_ok=True)
        new.touch(mode)
        new.write_text(text)
        new.rename(self.etc / Path(path).name)

    def start(self, config=CONFIG, *options, wait=True):
        return super().start(config, *options, wait=wait)

    # What it says. A daemon that stands still does not answer, and that must not stop the test.

    def ha_status(self):
        return json.loads(self.cli("-j", "ha", "status", timeout=5).stdout)

    def role(self, instance=INSTANCE):
        """The role in an instance, or None when nobody answers."""
        try:
            found = self.ha_status()
        except (LabError, OSError, subprocess.TimeoutExpired, json.JSONDecodeError):
            return None
        return next(i["role"] for i in found["instances"] if i["name"] == instance)

    def peer(self, name):
        return next(p for p in self.ha_status()["peers"] if p["name"] == name)

    def _lend_key(self):
        """pinned.py reads the key where a node without `hash-key` keeps its own."""
        own = self.dir / "lib/evenkeel/hash-key"
        if not os.path.lexists(own):
            own.symlink_to("../../../etc/evenkeel/hash.key")

    def maps(self):
        """Its pinned maps, a context manager."""
        self._lend_key()
        return pinned.Pinned(self)

    def held(self, flows, services=None, **options):
        """How many of the flows are held by what, as this node's maps have it."""
        self._lend_key()
        return pinned.held(self, services or WEB, flows, **options)

    def dead_interval(self, priority=None, interval=INTERVAL):
        """After how many seconds of silence this node claims (RFC 9568, 6.1)."""
        priority = priority or priority_of(self)
        return 3 * interval + (256 - priority) / 256 * interval

    # What is done to it.

    def kill(self):
        """kill -9 of the daemon; the data plane goes on."""
        return self._signal(signal.SIGKILL, wait=True)

    def freeze(self):
        """The daemon stands still."""
        return self._signal(signal.SIGSTOP)

    def thaw(self):
        return self._signal(signal.SIGCONT)

    def _signal(self, number, wait=False):
        now = time.monotonic()
        self.daemon.send(number)
        if wait:
            self.daemon.popen.wait(5)
        return now

    def cut(self):
        """All its cables are pulled out."""
        now = time.monotonic()
        for switch in self.lab.router, self.lab.switch:
            switch.ip(f"link set {self.name} down")
        return now

    def restore(self):
        now = time.monotonic()
        for switch in self.lab.switch, self.lab.router:
            switch.ip(f"link set {self.name} up")
        return now

    def power_off(self):
        """Nothing is left of it but its disk."""
        now = self.cut()
        for pid in run("ip", "netns", "pids", self.ns).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        until(lambda: not run("ip", "netns", "pids", self.ns).stdout, 5, f"{self.name} is off")
        until(lambda: "xdp" not in self.link(), 5, f"{self.name}'s data plane is gone")
        for interface in "eth0", "sync":
            self.ip(f"link set {interface} down", f"addr flush dev {interface}")
        for family in "-4", "-6":
            run("ip", "-n", self.ns, family, "route", "flush", "table", "main")
        return now

    def power_on(self, start=True):
        """Boots: empty /run and no programs; then the links come up, and the daemon starts."""
        now = time.monotonic()
        self.boot()
        self.configure()
        self.restore()
        if start:
            self.start()
        return now


class PairLab(Lab):
    """with PairLab("pair") as lab: lab.write(*services({1: 100, 2: 100})); lab.start(); ..."""

    def __init__(self, name, nodes=2, backends=3, *, routed=False, apart=False, big=BIG_BYTES):
        self.count, self.apart, self.routed = nodes, apart, routed or apart
        self.balancers = []
        super().__init__(name, backends=backends, big=big)

    # What it is built of.

    def _balancers(self):
        self.switch = Host(self, "sync")
        return [Node(self, n, network=1 + n if self.apart else 2)
                for n in range(1, self.count + 1)]

    def _build(self, backends, big):
        super()._build(backends, big)
        self.share_keys()
        for web in self.webs:
            web.popen(sys.executable, longlived.__file__, "serve", web.name, *VIPS,
                      name="echo").expect("ready")

    def _wire(self):
        self.switch.ip("link add br0 type bridge mcast_snooping 0", "link set br0 up")
        for node in self.balancers:
            self.switch.ip(f"link add {node.name} type veth peer name sync netns {node.ns}",
                           f"link set {node.name} master br0 up")
        super()._wire()

    def _plug(self, host, bridge="br0"):
        network = ipaddress.ip_address(host.addresses[0]).packed[1]
        if network != 2:
            bridge = f"br{network - 2}"
            self.router.ip(f"link add {bridge} mtu {FABRIC_MTU} type bridge mcast_snooping 0",
                           f"addr add 10.{network}.0.1/24 dev {bridge}",
                           f"addr add fd00:{network}::1/64 dev {bridge}", f"link set {bridge} up")
        super()._plug(host, bridge)

    def _route(self):
        if not self.routed:
            self.router.ip(f"route add {VIP4}/32 dev br0", f"route add {VIP6}/128 dev br0")

    def close(self):
        for node in self.balancers if self.open else ():
            if node.daemon:
                node.thaw()  # or it would not hear that it is over
        super().close()

    def share_keys(self):
        for path, key in (SECRET, secrets.token_hex(32)), (HASH_KEY, secrets.token_hex(96)):
            for node in self.balancers:
                node.write(path, key + "\n", 0o600)

    # Their files.

    def ha(self, node, instance=None, **more):
        """The `ha` section of a node. `more` are its keys, with _ for -, and `instance` those of
        its one instance, as {"preempt-delay": "1s"}; both over what is usual here."""
        front = {"name": INSTANCE, "interface": "eth0", "vrid": 51, "priority": priority_of(node),
                 "interval": f"{1000 * INTERVAL:.0f}ms", "vips": VIPS, "unicast": self.apart,
                 "announce": "route" if self.routed else "arp"} | (instance or {})
        if not front["unicast"]:
            front.setdefault("heartbeat", ["sync"])
        return {"secret": SECRET, "addresses": self.paths(node), "instances": [front],
                "peers": [{"name": n.name, "addresses": self.paths(n)}
                          for n in self.balancers if n is not node]} \
            | {key.replace("_", "-"): value for key, value in more.items()}

    def paths(self, node):
        """The addresses of the peer channel. Those who are apart have no link of their own."""
        return [*node.addresses, *([] if self.apart else [node.sync_address])]

    def config(self, node, *services, alone=False, **ha):
        """A node's file; `ha` as for ha(). Alone it has no such section."""
        lines = [f"node: {node.name}", f"hash-key: {HASH_KEY}", "interfaces:", "  - name: eth0"]
        if not alone:
            # What is JSON is YAML.
            lines.append(f"ha: {json.dumps(self.ha(node, **ha))}")
        return "\n".join([*lines, "services:", *services])

    def write(self, *services, **options):
        """Every node's file."""
        for node in self.balancers:
            node.write(CONFIG, self.config(node, *services, **options))

    def start(self, ready=True):
        """Every node, and waits until each has its backends up."""
        for node in self.balancers:
            node.start(wait=False)
        for node in self.balancers:
            node.daemon.expect(r"\bready\b")
        for node in self.balancers if ready else ():
            node.wait_all(health="up", nexthop="resolved")

    def fresh(self, *services, **options):
        """Balancers without a past, with these files."""
        for node in self.balancers:
            if node.daemon and node.daemon.alive:
                node.thaw()
                node.daemon.stop()
            node.run("evenkeeld", "--detach")
            node.run("sh", "-c", "rm -rf /var/lib/evenkeel")
        self.write(*services, **options)
        self.start()

    # Who is what.

    def node(self, name):
        return next(n for n in self.balancers if n.name == name)

    def roles(self, instance=INSTANCE):
        return {n.name: n.role(instance) for n in self.balancers}

    def primary(self, instance=INSTANCE):
        """The one node that is primary, or None."""
        found = [name for name, role in self.roles(instance).items() if role == "primary"]
        return self.node(found[0]) if len(found) == 1 else None

    def wait_roles(self, seconds=10, **roles):
        """Until, for instance, wait_roles(lb1="primary", lb2="secondary")."""
        until(lambda: roles.items() <= self.roles().items(), seconds,
              lambda: f"{roles}: {self.roles()}")

    def wait_synced(self, seconds=20):
        """Until every node that runs has in full what every other such node has."""
        def synced():
            running = [n for n in self.balancers if n.daemon and n.daemon.alive]
            return all(p["connected"] and p["synced"] and p["synced_with_us"] for n in running
                       for p in n.ha_status()["peers"]
                       if p["name"] in {other.name for other in running})
        until(synced, seconds, lambda: "synced:\n" + "\n".join(
            n.cli("ha", "status", check=False).stdout for n in self.balancers))

    # What happens to the links between them.

    def split(self):
        """Nobody's cable loses its carrier, but balancers do not hear each other any more; all
        others hear them."""
        return self._isolate("on")

    def heal(self):
        return self._isolate("off")

    def _isolate(self, how):
        now = time.monotonic()
        for switch in self.switch, self.router:
            switch.ip(*(f"link set {n.name} type bridge_slave isolated {how}"
                        for n in self.balancers))
        return now

    @contextlib.contextmanager
    def lossy(self, percent=5):
        """Inside the block so many percent of the frames on the sync link are lost, each way. Gives
        a function that tells how many were: (lost, arrived)."""
        self.switch.run("nft", "-f", "-", input="table bridge lossy {\n"
                        "chain forward { type filter hook forward priority 0;\n"
                        f"numgen random mod 100 < {percent} counter drop\n counter\n}}\n}}\n")

        def counted():
            rules = self.switch.run("nft", "list table bridge lossy").stdout
            return tuple(map(int, re.findall(r"counter packets (\d+)", rules)))
        try:
            yield counted
        finally:
            self.switch.run("nft", "delete table bridge lossy")

    # Probes. Each is a context manager, see probes.py and longlived.py.

    def announcers(self):
        return Announcers(self.router, VIPS, [h.name for h in (*self.balancers, *self.webs)])

    def meter(self, vips=VIPS, **options):
        return Meter(self.client, tcp=vips, udp=vips, sources=SOURCES, **options)

    def crowd(self, **options):
        return Crowd(self.client, VIPS, SOURCES, **options)

    @functools.cached_property
    def sha256(self):
        with open(self.big, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def download(self, vip=VIP4, seconds=15):
        """The big file, which has `big` bytes, in no less than so many seconds."""
        host = f"[{vip}]" if ":" in vip else vip
        return Download(self.client, f"http://{host}/big", self.big.stat().st_size, self.sha256,
                        seconds)

    def require_held(self, node, crowd, figure, least=200):
        """The connections that an entry or the memory of the ring holds, at this moment: enough of
        each for a failover to prove something."""
        counts = node.held(crowd.living())
        figure(f"{node.name}: of {counts.total()} connections {counts['entry']} are held by an "
               f"entry, {counts['origin']} by origin, {counts['hash']} by the hash")
        assert min(counts["entry"], counts["origin"]) >= least, counts
        return counts


def priority_of(node):
    """lb1 has 150, lb2 100, lb3 50."""
    return 200 - 50 * node.number
