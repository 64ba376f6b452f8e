# SPDX-License-Identifier: GPL-2.0-only
"""One interface, two XDP programs: evenkeeld's under libxdp's dispatcher, beside xdp-filter."""
import contextlib
import re
import signal
from pathlib import Path

import pytest

from conftest import GuestLab
from lab import CLIENT4, CLIENT6, PINS, VIP4, VIP6, until
from load import Load

OURS, FILTER = "evenkeel", "xdpfilt_alw_all"
FILTER_PINS = "/sys/fs/bpf/xdp-filter"  # where the xdp-filter command looks for its maps
CURL_REFUSED = 7
SOURCES = CLIENT4 + CLIENT6
FILTERED = CLIENT4[-1]
UNPRIVILEGED = "+bpf,+net_admin,+perfmon,+net_raw"  # of configs/evenkeeld.service


@pytest.fixture(scope="module")
def dispatcher_lab():
    with GuestLab("dispatcher") as lab:
        yield lab


@pytest.fixture
def lab(dispatcher_lab):
    yield from dispatcher_lab.fresh()


def attached(lb):
    """The programs of the dispatcher on eth0 in the order in which they run: [(name, id)]."""
    status = lb.run("xdp-loader", "status", "eth0").stdout
    return [(name, int(number)) for name, number
            in re.findall(r"^ =>\s+\d+\s+(\S+)\s+(\d+)", status, re.M)]


def order(lb):
    return [name for name, _ in attached(lb)]


def names(lb):
    return sorted(name for name, _ in attached(lb))


def our_id(lb):
    (number,) = (number for name, number in attached(lb) if name == OURS)
    return number


def pins(lb):
    """What libxdp keeps in the BPF file system."""
    return lb.run("find", "/sys/fs/bpf/xdp", "-type", "f", check=False).stdout.split()


def load_filter(lb, *options):
    lb.run("xdp-filter", "load", "eth0", *options)


def assert_serves(lab, count=40):
    with Load(lab.client, [VIP4, VIP6], SOURCES, count=count) as load:
        load.finish()
    assert len(load.requests) == count and not load.failures, str(load)


@contextlib.contextmanager
def filtered(lab):
    lab.lb.run("xdp-filter", "ip", "-m", "src", FILTERED)
    yield
    lab.lb.run("xdp-filter", "ip", "-m", "src", "-r", FILTERED)


def assert_filters(lab):
    """xdp-filter sees the packets too: what it drops never reaches the VIP."""
    def answer():
        return lab.client.run("curl", "-sf", "-m", "1", "--interface", FILTERED,
                              f"http://{VIP4}/", check=False).returncode == 0
    assert answer()
    with filtered(lab):
        assert not answer()
    assert answer()


def strays(lb):
    """Packets that the stack was given though their address is not one of this host."""
    with lb.enter():
        lines = [line.split()
                 for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()
                 if line.startswith("Ip:")]
    return int(lines[1][lines[0].index("InAddrErrors")])


@contextlib.contextmanager
def unfelt(lab):
    """Requests run meanwhile; none fails, and no packet passes by our program."""
    before = strays(lab.lb)
    with Load(lab.client, [VIP4, VIP6], SOURCES, workers=2, sessions=4, pause=0.01) as load:
        flows(lab)
        yield
        flows(lab)
    assert not load.failures, str(load)
    assert strays(lab.lb) == before


def flows(lab):
    then = lab.lb.service("web")["packets"]
    until(lambda: lab.lb.service("web")["packets"] > then + 100, 20, "traffic flows")


def refuses(lab, source):
    """Whether the balancer itself answers this address of the client: nothing listens there."""
    return lab.client.run("curl", "-s", "-m", "2", "--interface", source,
                          f"http://{lab.lb.addresses[0]}/", check=False).returncode == CURL_REFUSED


@pytest.mark.parametrize("first", [FILTER, OURS])
def test_two_programs_share_the_interface(lab, first):
    """Whichever is loaded first, xdp-filter runs first: that is its priority."""
    lb = lab.lb
    if first == FILTER:
        load_filter(lb)
    interface = lab.start()
    assert interface["dispatcher"] and interface["mode"] == "native" and "note" not in interface
    if first == OURS:
        assert names(lb) == [OURS]
        assert_serves(lab)
        load_filter(lb)
    assert order(lb) == [FILTER, OURS]
    assert_serves(lab)
    assert_filters(lab)


@pytest.mark.parametrize("first", [FILTER, OURS])
def test_the_other_runs_after_ours(lab, first):
    """Given a priority below ours, xdp-filter sees what we pass, and not what is for a VIP."""
    def load():
        (program,) = Path("/usr/lib").glob(f"*/bpf/{FILTER}.o")
        lb.run("xdp-loader", "load", "eth0", program, "-P", "90", "-p", FILTER_PINS)

    lb = lab.lb
    if first == FILTER:
        load()
    lab.start()
    if first == OURS:
        load()
    assert order(lb) == [OURS, FILTER]
    with filtered(lab):
        assert not refuses(lab, FILTERED)
        assert_serves(lab)
    assert refuses(lab, FILTERED)


def test_the_other_program_goes(lab):
    load_filter(lab.lb)
    lab.start()
    with unfelt(lab):
        lab.lb.run("xdp-filter", "unload", "eth0")
        assert names(lab.lb) == [OURS]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stop", "kill, detach"])
def test_only_ours_goes(lab, number):
    lb = lab.lb
    load_filter(lb)
    lab.start()
    lb.daemon.stop(number)
    if number == signal.SIGKILL:
        assert names(lb) == [OURS, FILTER]
        lb.run("evenkeeld", "--detach")
    assert names(lb) == [FILTER] and not lb.pins()
    before = strays(lb)
    assert lab.client.run("curl", "-s", "-m", "1", f"http://{VIP4}/", check=False).returncode
    assert strays(lb) > before
    lb.run("xdp-filter", "unload", "eth0")
    assert "xdp" not in lb.link() and not pins(lb)


def test_alone_it_leaves_nothing(lab):
    lab.start()
    assert names(lab.lb) == [OURS]
    assert lab.lb.daemon.stop() == 0
    assert "xdp" not in lab.lb.link() and not pins(lab.lb) and not lab.lb.pins()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT], ids=["kill", "quit"])
def test_a_new_controller_replaces_the_program(lab, number):
    lb = lab.lb
    load_filter(lb)
    lab.start()
    old = our_id(lb)
    with unfelt(lab):
        lb.daemon.stop(number)
        interface = lab.start()
    new = our_id(lb)
    assert interface["dispatcher"] and "program replaced" in lb.daemon.log()
    assert new != old and names(lb) == [OURS, FILTER]
    assert_filters(lab)


def test_what_a_crash_left_twice_goes_too(lab):
    """The controller died between attaching a new program and detaching the old one."""
    lb = lab.lb
    load_filter(lb)
    lab.start()
    lb.daemon.stop(signal.SIGKILL)
    for _ in range(2):
        lb.run("xdp-loader", "load", "eth0", "build/balancer.bpf.o", "-n", OURS)
    assert names(lb) == [OURS, OURS, OURS, FILTER]
    lab.start()
    assert names(lb) == [OURS, FILTER]
    assert_serves(lab)


def test_generic_mode(lab):
    lab.write(lab.config.read_text().replace("mode: auto", "mode: generic"))
    load_filter(lab.lb, "-m", "skb")
    interface = lab.start()
    assert interface["dispatcher"] and interface["mode"] == "generic"
    assert names(lab.lb) == [OURS, FILTER]
    assert_serves(lab)


def test_auto_joins_what_runs_in_generic_mode(lab):
    load_filter(lab.lb, "-m", "skb")
    interface = lab.start()
    assert interface["dispatcher"] and interface["mode"] == "generic"
    assert "generic" in interface["note"]
    assert names(lab.lb) == [OURS, FILTER]
    assert_serves(lab)


def test_another_mode_after_a_restart(lab):
    lab.start()
    lab.lb.daemon.stop(signal.SIGQUIT)
    lab.write(lab.config.read_text().replace("mode: auto", "mode: generic"))
    interface = lab.start()
    assert interface["dispatcher"] and interface["mode"] == "generic"
    assert names(lab.lb) == [OURS]
    assert_serves(lab)


def test_without_the_privilege_it_has_the_interface_to_itself(lab):
    """As the systemd unit runs it. libxdp needs CAP_SYS_ADMIN."""
    lb = lab.lb
    lb.daemon = lb.popen("setpriv", "--bounding-set", f"-all,{UNPRIVILEGED}", "--inh-caps", "-all",
                         "evenkeeld", "-c", lab.config, name="evenkeeld")
    lb.daemon.expect(r"\bready\b")
    lb.wait_all(health="up", nexthop="resolved")
    (interface,) = lb.status()["interfaces"]
    assert not interface["dispatcher"] and "CAP_SYS_ADMIN" in interface["note"]
    assert f"{PINS}/link-eth0" in lb.pins() and not pins(lb)
    assert_serves(lab)
    assert lb.daemon.stop() == 0
    assert "xdp" not in lb.link() and not lb.pins()


def test_a_program_without_the_dispatcher_is_left_alone(lab):
    lb = lab.lb
    lb.run("ip", "link", "set", "dev", "eth0", "xdpdrv", "obj", "build/tests/net/pass.bpf.o",
           "sec", "xdp")
    done = lb.run("evenkeeld", "-c", lab.config, check=False)
    assert done.returncode == 1 and "another XDP program" in done.stderr
    assert "xdp" in lb.link() and not lb.pins()
    lb.run("ip", "link", "set", "dev", "eth0", "xdpdrv", "off")
