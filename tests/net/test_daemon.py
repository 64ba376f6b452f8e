# SPDX-License-Identifier: GPL-2.0-only
"""evenkeeld's life: killed, adopted, stopped; and what it says to bad input."""
import json
import re
import signal
import time

import pytest

from gateway import gateway
from lab import CLIENT4, CLIENT6, PINS, ROOT, VIP4, VIP6, until
from load import Load

SOURCES = CLIENT4 + CLIENT6
GOOD = gateway({1: 100, 2: 100, 3: 100})


def data_plane(lb):
    """Everything that must survive the controller: the ids of maps and links behind the pins,
    and what the rings hold."""
    found = {}
    for pin in lb.pins():
        kind = "link" if "/link-" in pin else "map"
        found[pin] = json.loads(lb.run("bpftool", "-j", kind, "show", "pinned", pin).stdout)["id"]
        if re.search(r"/ring-\d+$", pin):
            found[pin, "slots"] = ring(lb, pin)
    return found


def ring(lb, pin):
    """A ring's slots as bpftool prints them (7 characters a byte), without what follows: the
    clock that the data plane writes."""
    return lb.run("bpftool", "-j", "map", "dump", "pinned", pin).stdout[:65537 * 4 * 7]


def packets(lb):
    """What the data plane has counted, read without the daemon."""
    rows = json.loads(lb.run("bpftool", "-j", "map", "dump", "pinned", f"{PINS}/backends").stdout)
    return sum(int.from_bytes(bytes(int(b, 16) for b in row["value"][:8]), "little")
               for row in rows)


def test_killed_and_adopted_under_load(lab, figure):
    """kill -9, half a second without a controller, a new one: nobody notices."""
    before, status = data_plane(lab.lb), lab.lb.status()
    again = lab.client.counter("RetransSegs")
    with Load(lab.client, [VIP4, VIP6], SOURCES, workers=4, sessions=8, pause=0.002) as load:
        for _ in range(3):
            lab.lb.daemon.stop(signal.SIGKILL)
            dead, then = time.monotonic(), packets(lab.lb)
            assert lab.lb.cli("status", check=False).returncode == 1
            until(lambda: time.monotonic() > dead + 0.5, 1, "half a second")
            assert packets(lab.lb) > then, "no traffic while no controller runs"
            assert data_plane(lab.lb) == before
            lab.lb.start(lab.config)
            first = lab.lb.status()
            assert [[(b["health"], b["slots"], b["index"]) for b in s["backends"]]
                    for s in first["services"]] == \
                [[("up", b["slots"], b["index"]) for b in s["backends"]]
                 for s in status["services"]]
            adopted = time.monotonic()
            until(lambda: time.monotonic() > adopted + 0.7, 1, "three rounds of checks")
            assert " is down" not in lab.lb.daemon.log()
    again = lab.client.counter("RetransSegs") - again
    after = data_plane(lab.lb)
    sessions = sum(r.kind == "session" for r in load.requests)
    figure(f"three times: {load}; {sessions} in sessions; {again} retransmissions; "
           f"{len(before)} pinned things the same")
    assert after == before
    assert len(load.requests) > 1000 and not load.failures and again == 0


def test_a_second_daemon_is_refused(lab, figure):
    second = lab.lb.run("evenkeeld", "-c", lab.config, check=False)
    figure(second.stderr.strip())
    assert second.returncode == 1 and str(lab.lb.daemon.pid) in second.stderr
    assert lab.lb.status()["pid"] == lab.lb.daemon.pid


def test_detach_is_refused_while_a_daemon_runs(lab, figure):
    before = data_plane(lab.lb)
    refused = lab.lb.run("evenkeeld", "--detach", check=False)
    figure(refused.stderr.strip())
    assert refused.returncode == 1 and str(lab.lb.daemon.pid) in refused.stderr
    assert data_plane(lab.lb) == before


def test_detach_touches_nothing_but_pins(lab):
    """Not in a directory that is no BPF file system, and not another program's pins."""
    lab.lb.daemon.stop(signal.SIGKILL)
    (lab.dir / "precious").mkdir(exist_ok=True)
    (lab.dir / "precious/meta").write_text("mine")
    assert lab.lb.run("evenkeeld", "--detach", "--pin-dir", lab.dir / "precious",
                      check=False).returncode == 1
    assert (lab.dir / "precious/meta").read_text() == "mine"
    lab.lb.run("bpftool", "map", "create", f"{PINS}/other", "type", "array", "key", "4", "value",
               "4", "entries", "1", "name", "other")
    lab.lb.run("evenkeeld", "--detach", check=False)
    assert lab.lb.pins() == [f"{PINS}/other"] and "xdp" not in lab.lb.link()
    lab.lb.run("rm", f"{PINS}/other")


def test_sigterm_takes_everything_off(lab, figure):
    assert "xdp" in lab.lb.link() and lab.lb.pins()
    status = lab.lb.daemon.stop(signal.SIGTERM)
    figure(f"exit {status}, pins {lab.lb.pins()}, xdp {lab.lb.link().get('xdp')}")
    assert status == 0 and "xdp" not in lab.lb.link() and not lab.lb.pins()
    assert lab.client.run("curl", "-s", "-m", "1", f"http://{VIP4}/", check=False).returncode


def test_sigquit_leaves_the_data_plane_and_detach_takes_it_off(lab):
    before = data_plane(lab.lb)
    assert lab.lb.daemon.stop(signal.SIGQUIT) == 0
    assert data_plane(lab.lb) == before
    assert lab.client.run("curl", "-sSf", "-m", "5", f"http://{VIP4}/").stdout.startswith("web")
    lab.lb.run("evenkeeld", "--detach")
    assert "xdp" not in lab.lb.link() and not lab.lb.pins()


def test_an_interface_that_left_the_file_meanwhile(lab, figure):
    """Attached, killed, started with a file that no longer lists it: the program is taken off."""
    both = lab.dir / "both.yaml"
    both.write_text(lab.config.read_text().replace("  - name: eth0", "  - name: eth0\n  - name: x.0"))
    lab.lb.ip("link add x.0 type veth peer name x.1", "link set x.0 up", "link set x.1 up")
    try:
        lab.lb.daemon.stop(signal.SIGTERM)
        lab.lb.start(both)
        assert "xdp" in lab.lb.link("x.0") and f"{PINS}/link-x:0" in lab.lb.pins()
        lab.lb.daemon.stop(signal.SIGKILL)
        lab.lb.start(lab.config)
        figure(f"x.0: {lab.lb.link('x.0').get('xdp')}, pins {len(lab.lb.pins())}")
        assert "xdp" not in lab.lb.link("x.0") and f"{PINS}/link-x:0" not in lab.lb.pins()
        assert "xdp" in lab.lb.link("eth0")
    finally:
        lab.lb.ip("link del x.0")


@pytest.fixture
def stopped(bare_lab):
    """The balancer without a daemon and without a data plane."""
    lb = bare_lab.lb
    if lb.daemon and lb.daemon.alive:
        lb.daemon.stop()
    lb.run("evenkeeld", "--detach")
    assert "xdp" not in lb.link() and not lb.pins()
    return lb


def replaced(old, new):
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def line_of(text, part):
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


# A description: the file, where its error is (a part of the line, or a number, or None when it
# is about the whole), and what is said.
BAD = {
    "a missing interface": (replaced("eth0", "eth77"), "eth77", "no such interface"),
    "a VIP on two services": (replaced("web6\n    address: 2001:db8::10",
                                       "web6\n    address: 192.0.2.10"),
                              "name: web6", "duplicate.*192.0.2.10"),
    "a backend equal to the VIP": (replaced("10.2.0.22", "192.0.2.10"), "web2", "VIP|address"),
    "a weight of -1": (replaced("weight: 100", "weight: -1"), "weight: -1", "weight"),
    "port: 80x": (replaced("port: 80\n", "port: 80x\n"), "port: 80x", "port.*80x"),
    "ten megabytes": (GOOD + "# " + "x" * 10_000_000 + "\n", None, "large|big|size|bytes"),
    "deep nesting": (GOOD + "deep: " + "[" * 100_000 + "]" * 100_000 + "\n", "deep: ", "."),
    "an anchor and an alias": (replaced("node: lb1", "node: &n lb1\nstate-dir: *n"), "&n",
                               "anchor|alias"),
    "a bomb of aliases": ("a: &a [x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(c)}: &{chr(c)} [{','.join(['*' + chr(c - 1)] * 8)}]\n" for c in range(98, 110)),
                          1, "anchor|alias"),
    "a duplicate key": (replaced("node: lb1", "node: lb1\nnode: lb2"), "node: lb2", "node"),
    "not UTF-8": (GOOD.encode() + b"x: \xff\xfe\n", "x: ", "UTF-8|utf-8"),
    "no YAML": ("services: [\n", None, "."),
    "a directory": (None, None, "."),
}


# A file may be checked on another machine than the one whose interfaces it names.
ELSEWHERE = {"a missing interface"}
CASES = [pytest.param(name, option, id=" ".join([name, *option]))
         for name in BAD for option in ([], ["--check"]) if not (option and name in ELSEWHERE)]


@pytest.mark.parametrize("name, option", CASES)
def test_bad_input(stopped, bare_lab, name, option, figure):
    content, where, said = BAD[name]
    path = bare_lab.dir / "bad.yaml"
    if content is None:
        path = bare_lab.dir
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = stopped.run("evenkeeld", "-c", path, *option, check=False, timeout=10)
    figure(done.stderr.splitlines()[0][:200] if done.stderr else "nothing was said")
    assert done.returncode == 2
    assert len(done.stderr) < 100_000
    if isinstance(where, str):
        text = content.decode(errors="replace") if isinstance(content, bytes) else content
        where = line_of(text, where)
    place = re.escape(str(path)) + (f":{where}:" if where else "")
    assert re.search(f"{place}.*({said})", done.stderr)
    assert "xdp" not in stopped.link() and not stopped.pins()


def test_every_error_is_reported_at_once(stopped, bare_lab, figure):
    path = bare_lab.dir / "bad.yaml"
    path.write_text(GOOD.replace("weight: 100", "weight: -1").replace("port: 80\n", "port: 80x\n"))
    done = stopped.run("evenkeeld", "--check", "-c", path, check=False)
    lines = {int(n) for n in re.findall(r"bad\.yaml:(\d+):", done.stderr)}
    wrong = {n for n, line in enumerate(path.read_text().splitlines(), 1)
             if "80x" in line or "-1}" in line}
    figure(f"{len(wrong)} lines are wrong, {len(lines & wrong)} of them reported")
    assert done.returncode == 2 and lines == wrong


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/*.yaml")), ids=lambda p: p.name)
def test_the_shipped_files_are_valid(stopped, path, figure):
    done = stopped.run("evenkeeld", "--check", "-c", path)
    figure(done.stdout.strip())
    assert "ok" in done.stdout and not done.stderr


NOBODY = ["setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps", "-all",
          "--bounding-set", "-all"]


@pytest.mark.parametrize("own_files", [False, True], ids=["plain", "with files of its own"])
def test_without_privileges_it_says_what_to_do(stopped, bare_lab, own_files, figure):
    path, own = bare_lab.dir / "gateway.yaml", bare_lab.dir / "nobody"
    path.write_text(GOOD)
    own.mkdir(exist_ok=True)
    own.chmod(0o777)
    options = ["--socket", own / "socket", "--state-dir", own / "state"] if own_files else []
    done = stopped.run(*NOBODY, "evenkeeld", "-c", path, *options, check=False, timeout=10)
    figure(done.stderr.strip())
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1
    assert re.search(r"\broot\b|sudo|CAP_", done.stderr)
    assert "xdp" not in stopped.link() and not stopped.pins()


def test_without_a_bpf_file_system_it_mounts_one(stopped, bare_lab, figure):
    path = bare_lab.dir / "gateway.yaml"
    path.write_text(GOOD)
    daemon = stopped.popen("unshare", "-m", "sh", "-c",
                           f"umount -a -t bpf; exec evenkeeld -c {path}", name="evenkeeld")
    daemon.expect(r"\bready\b")
    inside = ["nsenter", "-t", str(daemon.pid), "-m"]
    assert "bpf" in stopped.run(*inside, "stat", "-f", "-c", "%T", PINS).stdout
    figure(stopped.run(*inside, "sh", "-c", f"ls {PINS} | wc -l").stdout.strip() + " pins")
    assert daemon.stop() == 0
    assert "xdp" not in stopped.link()
