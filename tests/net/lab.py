# SPDX-License-Identifier: GPL-2.0-only
"""A laboratory of network namespaces: real clients, real nginx, the real programs.

    client                    router                       lb1
    10.1.0.2-9                10.1.0.1 | 10.2.0.1          10.2.0.10   evenkeeld, XDP on eth0
    fd00:1::2-9 ------------- fd00:1::1 | fd00:2::1 ---+-- fd00:2::10
                              VIPs are routed to lb1   |
                                                       +-- web1 .. webN
                                                           10.2.0.21..   nginx, evenkeel-backend
                                                           fd00:2::21..  (VIPs on lo)

Used as a context manager. Whatever happens, `Lab.close()` takes everything away: it runs on
leaving the block, at interpreter exit, and processes are tied to this one by a parent-death
signal. What a killed run left behind (same lab name, dead pid) is removed by the next one.

Namespaces are called ek-LAB-PID-HOST and are entered with nsenter: `ip netns exec` would mount
a fresh /sys and hide the BPF file system. Hosts that run our programs also have a mount namespace
of their own with an empty /sys/fs/bpf, /run and /var/lib, so that they use their default paths.
"""
import atexit
import collections
import contextlib
import ctypes
import errno
import ipaddress
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
PINS = "/sys/fs/bpf/evenkeel"

VIP4, VIP6 = "192.0.2.10", "2001:db8::10"
CLIENT4 = [f"10.1.0.{n}" for n in range(2, 10)]
CLIENT6 = [f"fd00:1::{n}" for n in range(2, 10)]
BIG_BYTES = 20_000_000

# A full-sized packet from the client (1500) grows by an IPv4 or IPv6 header when it is
# encapsulated (1520, 1540), and a veth drops what is longer: small requests and downloads would
# work, uploads hang.
FABRIC_MTU = 1600

# How much longer than usual a machine may take for things: an emulated one sets it.
PATIENCE = float(os.environ.get("EVENKEEL_PATIENCE", 1))

CLONE_NEWNET = 0x40000000
IP_PKTINFO, IPV6_FREEBIND = 8, 78
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """The laboratory itself failed, or a program in it did what nobody asked for."""


def run(*argv, check=True, timeout=60, **options):
    """Runs a command to its end and returns it, with text output."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout,
                          **options)
    if check and done.returncode:
        raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n"
                       f"{done.stdout}{done.stderr}".rstrip())
    return done


def until(predicate, seconds, what):
    """Polls until predicate() is true and returns its value."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise LabError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.01)
    return value


class Process:
    """A program that runs in the background, its output in a file."""

    def __init__(self, name, argv, log, tied, **options):
        self.name, self.log_path = name, log
        tie = ["setpriv", "--pdeathsig", "TERM"] if tied else []
        with open(log, "ab") as out:
            self.log_start = out.tell()
            # Its own session: Ctrl-C is for us, who then end it in order.
            self.popen = subprocess.Popen(tie + [str(a) for a in argv], stderr=out,
                                          start_new_session=True,
                                          **{"stdin": subprocess.DEVNULL, "stdout": out} | options)
        self.pid = self.popen.pid

    @property
    def alive(self):
        return self.popen.poll() is None

    def log(self):
        """What this run of the program has written so far."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_start)
            return log.read().decode(errors="replace")

    def expect(self, pattern, seconds=10):
        """Waits until the log contains the pattern; an early end of the program is an error."""
        def look():
            running = self.alive
            found = re.search(pattern, self.log())
            if not found and not running:
                raise LabError(f"{self.name}: exit {self.popen.returncode}\n{self.log()}")
            return found
        return until(look, seconds, lambda: f"{self.name}: /{pattern}/ in:\n{self.log()}")

    def send(self, number):
        if self.alive:
            self.popen.send_signal(number)

    def stop(self, number=signal.SIGTERM, seconds=5):
        """Ends the program, by force when it does not obey. Returns its exit status."""
        self.send(number)
        try:
            return self.popen.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise LabError(f"{self.name}: still there {seconds} s after signal {number}\n"
                           f"{self.log()}") from None


class Host:
    """One network namespace of the lab and what runs in it."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.ns = f"{lab.prefix}-{name}"
        self.dir = lab.dir / name
        self.dir.mkdir()
        self.entry = ["nsenter", f"--net=/run/netns/{self.ns}"]
        run("ip", "netns", "add", self.ns)
        self.sysctl({"ipv4.conf.all.rp_filter": 0, "ipv4.conf.default.rp_filter": 0,
                     # Addresses are usable at once, not after a second of duplicate detection.
                     "ipv6.conf.default.accept_dad": 0, "ipv6.conf.default.accept_ra": 0})
        self.ip("link set lo up")

    @contextlib.contextmanager
    def enter(self):
        """Inside the block the calling thread is in this host: sockets stay there afterwards."""
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{self.ns}") as there:
            _setns(there)
            try:
                yield
            finally:
                _setns(home)

    def sysctl(self, settings):
        with self.enter():
            for key, value in settings.items():
                Path("/proc/sys/net", *key.split(".")).write_text(str(value))

    def ip(self, *commands):
        """`ip` commands, as one batch."""
        run("ip", "-n", self.ns, "-batch", "-", input="\n".join(commands))

    def cable(self, name, other, port):
        """A veth from `name` here to `port` of another host, both up, as wide as the fabric."""
        mtu = self.lab.mtu
        self.ip(f"link add {name} mtu {mtu} type veth peer name {port} mtu {mtu} netns {other.ns}",
                f"link set {name} up")
        other.ip(f"link set {port} up")

    def before_xdp(self, name):
        """Readies an interface whose peer has an XDP program that sends. See pass.bpf.c. Senders in
        this machine leave the TCP checksum to the "hardware"; XDP_TX loses the mark that says so.
        Switched off on the last hop before the XDP program, for every sender."""
        self.ip(f"link set dev {name} xdpdrv obj {BUILD}/tests/net/pass.bpf.o sec xdp")
        self.run("ethtool", "-K", name, "tx", "off")

    def link(self, name="eth0"):
        """What `ip link show` says about an interface."""
        return json.loads(run("ip", "-n", self.ns, "-j", "-d", "link", "show", name).stdout)[0]

    def run(self, *argv, **options):
        return run(*self.entry, *argv, cwd=ROOT, env=self.lab.env, **options)

    def popen(self, *argv, name=None, **options):
        name = name or Path(argv[0]).name
        process = Process(f"{self.name}: {name}", [*self.entry, *argv], self.dir / f"{name}.log",
                          self.lab.tied, cwd=ROOT, env=self.lab.env, **options)
        self.lab.processes.append(process)
        return process

    def reaches(self, address):
        """Whether a connection to a closed port there is refused, and not left unanswered."""
        with self.enter(), socket.socket(family(address)) as probe:
            probe.settimeout(0.2)
            try:
                return probe.connect_ex((address, 9)) == errno.ECONNREFUSED
            except TimeoutError:
                return False

    def counter(self, name):
        """One of the kernel's TCP counters here, for instance RetransSegs."""
        with self.enter():
            names, values = (line.split() for line
                             in Path("/proc/thread-self/net/snmp").read_text().splitlines()
                             if line.startswith("Tcp:"))
        return int(values[names.index(name)])


class Server(Host):
    """A host with file systems of its own, which live as long as `holder` sleeps in them."""

    def __init__(self, lab, name, *addresses):
        super().__init__(lab, name)
        self.addresses = addresses
        self.boot()

    def mounts(self):
        return ["mount -t bpf bpf /sys/fs/bpf", "mount -t tmpfs run /run",
                "mount -t tmpfs lib /var/lib"]

    def boot(self):
        """Makes the file systems and enters them from now on."""
        self.entry = ["nsenter", f"--net=/run/netns/{self.ns}"]
        script = " && ".join((*self.mounts(), "echo mounted", "exec sleep infinity"))
        self.holder = self.popen("unshare", "-m", "sh", "-c", script, name="holder")
        self.holder.expect("mounted")
        self.entry = ["nsenter", "-t", str(self.holder.pid), "-n", "-m", f"--wd={ROOT}"]

    def configure(self):
        """eth0's addresses, and the router as the way out: the first address of each network."""
        four, six = self.addresses
        self.ip(f"addr add {four}/24 dev eth0", f"addr add {six}/64 dev eth0", "link set eth0 up",
                f"route add default via {ipaddress.ip_network(f'{four}/24', strict=False)[1]}",
                f"route add default via {ipaddress.ip_network(f'{six}/64', strict=False)[1]}")


class Web(Server):
    """A backend: nginx, and evenkeel-backend which decapsulates and holds the VIPs."""

    def __init__(self, lab, number):
        super().__init__(lab, f"web{number}", f"10.{lab.farm}.0.{20 + number}",
                         f"fd00:{lab.farm}::{20 + number}")
        self.nginx = self.agent = None
        self.conf = self.dir / "nginx.conf"
        self.conf.write_text(NGINX.format(name=self.name, dir=self.dir, big=lab.big))
        (self.dir / "up").mkdir()

    def start_nginx(self):
        self.nginx = self.popen("nginx", "-e", "stderr", "-c", self.conf)

    def start_agent(self, vips, *more):
        options = [word for vip in vips for word in ("--vip", vip)]
        options += [word for balancer in self.lab.balancers
                    for address in balancer.addresses for word in ("--allow", address)]
        self.agent = self.popen("evenkeel-backend", "--interface", "eth0", *options, *more)

    def wait(self):
        """Until both programs do their work."""
        self.agent.expect(r"\bready\b")
        until(lambda: self.listens() or not self.nginx.alive, 10, f"{self.name}: nginx listens")
        if not self.nginx.alive:
            raise LabError(f"{self.nginx.name} ended:\n{self.nginx.log()}")

    def listens(self):
        with self.enter(), socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", 80)) == 0

    def upload(self, name):
        return self.dir / "up" / name


# One process, so that one signal to one pid is the death of the server.
NGINX = """\
daemon off;
master_process off;
user root;
pid {dir}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_requests 1000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen 80 backlog=4096;
        listen [::]:80 ipv6only=on backlog=4096;
        listen 8080;
        location = / {{ return 200 "{name}\\n"; }}
        location = /health {{ return 200 "Server: ACTIVE\\n"; }}
        location = /big {{ alias {big}; }}
        location /up/ {{ root {dir}; dav_methods PUT; client_max_body_size 64m; }}
    }}
}}
"""


class Balancer(Server):
    """The node that runs evenkeeld."""

    def __init__(self, lab, name="lb1", *addresses):
        super().__init__(lab, name, *(addresses or ("10.2.0.10", "fd00:2::10")))
        self.daemon = None

    def start(self, config, *options, wait=True):
        """Starts evenkeeld and waits until it says that it is ready."""
        self.daemon = self.popen("evenkeeld", "-c", config, *options)
        if wait:
            self.daemon.expect(r"\bready\b")
        return self.daemon

    def cli(self, *words, **options):
        return self.run("evenkeel", *words, **options)

    def status(self):
        return json.loads(self.cli("-j", "status").stdout)

    def service(self, name):
        return next(s for s in self.status()["services"] if s["name"] == name)

    def backends(self, service="web"):
        """The backends of a service, by name."""
        return {b["name"]: b for b in self.service(service)["backends"]}

    def wait_all(self, **expected):
        """Until every backend of every service is as said, for instance wait_all(health="up")."""
        def reached():
            services = self.status()["services"]
            return services and all(b[k] == v for s in services for b in s["backends"]
                                    for k, v in expected.items())
        until(reached, 10, lambda: f"all backends {expected}:\n{self.cli('status').stdout}")

    def pins(self):
        found = self.run("find", PINS, "-type", "f", check=False)
        return sorted(found.stdout.split())


class Lab:
    """Everything above, built and taken away together."""

    mtu = FABRIC_MTU
    farm = 2  # the backends are 10.N.0.21, fd00:N::21 and so on

    def __init__(self, name, backends=3, tied=True, big=BIG_BYTES):
        if os.geteuid():
            raise LabError("the lab builds network namespaces: run it as root")
        for program in "evenkeeld", "evenkeel", "evenkeel-backend", "tests/net/pass.bpf.o":
            if not (BUILD / program).exists():
                raise LabError(f"{BUILD / program} is missing: run make first")
        self.name, self.tied = name, tied
        self.prefix = f"ek-{name}-{os.getpid()}"
        self.processes = []
        self.env = os.environ | {"PATH": f"{BUILD}:{os.environ['PATH']}:/usr/sbin:/sbin",
                                 "LC_ALL": "C.UTF-8"}
        # Thousands of connections have a descriptor each, in programs that inherit this.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
        remove_stale(name)
        self.dir = Path(tempfile.mkdtemp(prefix=f"{self.prefix}-"))
        self.open = True
        atexit.register(self.close)
        try:
            self._build(backends, big)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _build(self, backends, big):
        self.dir.chmod(0o755)
        self.big = self.dir / "big"
        with open("/dev/urandom", "rb") as noise, open(self.big, "wb") as out:
            out.writelines(noise.read(min(1 << 20, big - at)) for at in range(0, big, 1 << 20))
        self.client, self.router = Host(self, "client"), Host(self, "router")
        self.balancers = self._balancers()
        self.lb = self.balancers[0]
        self.webs = [Web(self, n) for n in range(1, backends + 1)]
        self._wire()
        for web in self.webs:
            web.start_nginx()
            web.start_agent([VIP4, VIP6])
        self._settle()
        for web in self.webs:
            web.wait()

    def _balancers(self):
        return [Balancer(self)]

    def _wire(self):
        router = self.router
        router.sysctl({"ipv4.ip_forward": 1, "ipv6.conf.all.forwarding": 1,
                       "ipv4.conf.all.send_redirects": 0, "ipv4.conf.default.send_redirects": 0})
        router.ip(f"link add client type veth peer name eth0 netns {self.client.ns}",
                  # An address of its own: else it is the lowest of its ports', and may change.
                  f"link add br0 mtu {self.mtu} address 02:00:00:00:02:01 type bridge "
                  "mcast_snooping 0",
                  "addr add 10.1.0.1/24 dev client", "addr add fd00:1::1/64 dev client",
                  "addr add 10.2.0.1/24 dev br0", "addr add fd00:2::1/64 dev br0",
                  "link set client up", "link set br0 up")
        self.client.ip(*(f"addr add {a}/24 dev eth0" for a in CLIENT4),
                       *(f"addr add {a}/64 dev eth0" for a in CLIENT6),
                       "link set eth0 up", "route add default via 10.1.0.1",
                       "route add default via fd00:1::1")
        for host in *self.balancers, *self.webs:
            self._plug(host)
        self._route()
        for balancer in self.balancers:
            router.before_xdp(balancer.name)

    def _route(self):
        """The way to the VIPs."""
        self.router.ip(f"route add {VIP4}/32 via 10.2.0.10", f"route add {VIP6}/128 via fd00:2::10")

    def _plug(self, host, bridge="br0", owner=None):
        """A cable from the bridge, which is the router's, to the host's eth0."""
        (owner or self.router).ip(
            f"link add {host.name} mtu {self.mtu} type veth "
            f"peer name eth0 mtu {self.mtu} netns {host.ns}",
            f"link set {host.name} master {bridge} up")
        host.configure()

    def _settle(self):
        """Until every address answers: a host solicits its IPv6 groups only once its link is up."""
        hosts = self.client, *self.balancers, *self.webs
        until(lambda: all(h.link()["operstate"] == "UP" for h in hosts), 10, "links are up")
        for address in (*CLIENT4, *CLIENT6, *(a for h in hosts[1:] for a in h.addresses)):
            until(lambda a=address: self.router.reaches(a), 10, f"{address} answers")

    def web(self, name):
        return next(w for w in self.webs if w.name == name)

    def close(self):
        """Takes everything away. Safe to call twice; deaf to Ctrl-C while it works."""
        if not self.open:
            return
        self.open = False
        atexit.unregister(self.close)
        with _deaf():
            for process in reversed(self.processes):
                process.send(signal.SIGTERM)
            for process in reversed(self.processes):
                with contextlib.suppress(LabError):
                    process.stop()
            _remove(self.prefix)

    def keep(self):
        """Leaves everything running. The next lab of this name takes it away."""
        self.open = False
        atexit.unregister(self.close)


class Echo:
    """While the block runs each of these hosts answers datagrams to a port of any of its addresses
    with its name, a blank and what they held. `heard`: how many from whom, (host, client)."""

    def __init__(self, hosts, port):
        self.port, self.hosts, self.heard = port, hosts, collections.Counter()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.sockets = {}
        for host in self.hosts:
            with host.enter():
                for family, level, option in ((socket.AF_INET, socket.IPPROTO_IP, IP_PKTINFO),
                                              (socket.AF_INET6, socket.IPPROTO_IPV6,
                                               socket.IPV6_RECVPKTINFO)):
                    sock = socket.socket(family, socket.SOCK_DGRAM)
                    if family == socket.AF_INET6:
                        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                        # Answers may come from what is local by a route alone.
                        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
                    sock.setsockopt(level, option, 1)
                    sock.bind(("", self.port))
                    self.sockets[sock] = host.name
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        for sock in self.sockets:
            sock.close()

    def _serve(self):
        while not self.done.is_set():
            for sock in select.select(self.sockets, [], [], 0.05)[0]:
                data, (info,), _, client = sock.recvmsg(65536, 128)
                name = self.sockets[sock]
                self.heard[name, client[0]] += 1
                sock.sendmsg([name.encode(), b" ", data], [(*info[:2], _from(info[2]))], 0, client)

    @staticmethod
    def ask(host, vip, port, data=b"?", source="", seconds=2):
        """Which host answers, or None; an answer that is not what was asked is an error."""
        with host.enter(), socket.socket(family(vip), socket.SOCK_DGRAM) as sock:
            sock.settimeout(seconds)
            sock.bind((source, 0))
            sock.connect((vip, port))
            sock.send(data)
            try:
                name, _, back = sock.recv(65536).partition(b" ")
            except TimeoutError:
                return None
        if back != data:
            raise LabError(f"{len(data)} bytes to {vip} came back as {len(back)}, or changed")
        return name.decode()


def _from(info):
    """From the destination of a datagram, as recvmsg() tells it, the source of the answer: without
    an interface."""
    return struct.pack("=i", 0) + info[4:8] + bytes(4) if len(info) == 12 else info[:16] + bytes(4)


class Capture:
    """Frames seen on an interface while the block runs, as (seconds, bytes)."""

    def __init__(self, host, interface):
        with host.enter():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
            self.socket.bind((interface, 0))
        self.socket.settimeout(0.05)
        self.frames = []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.socket.close()

    def _read(self):
        """Reads until nothing has come for a moment after the end."""
        while True:
            try:
                frame = self.socket.recv(65536)
                self.frames.append((time.monotonic(), frame))
            except TimeoutError:
                if self.done.is_set():
                    return


def family(address):
    return socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET


def remove_stale(name):
    """Takes away what runs of this lab left whose process is gone."""
    seen = set()
    for entry in [*Path("/run/netns").glob(f"ek-{name}-*"),
                  *Path(tempfile.gettempdir()).glob(f"ek-{name}-*")]:
        found = re.match(rf"(ek-{re.escape(name)}-(\d+))-", entry.name)
        if found and not _runs(found[2]):
            seen.add(found[1])
    for prefix in seen:
        _remove(prefix)


def _runs(pid):
    """Whether there is such a process, and not only its unread exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _remove(prefix):
    """Processes in the namespaces of this prefix, by pid; the namespaces; the files."""
    spaces = [p.name for p in Path("/run/netns").glob(f"{prefix}-*")]
    for number in signal.SIGTERM, signal.SIGKILL:
        pids = [int(p) for s in spaces for p in run("ip", "netns", "pids", s).stdout.split()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if pids:
            with contextlib.suppress(LabError):
                until(lambda: not any(map(_runs, pids)), 3, "gone")
    for space in spaces:
        run("ip", "netns", "del", space, check=False)
    for directory in Path(tempfile.gettempdir()).glob(f"{prefix}-*"):
        shutil.rmtree(directory, ignore_errors=True)


def _setns(file):
    if _libc.setns(file.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def _deaf():
    """Without Ctrl-C and SIGTERM inside the block (signals belong to the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
