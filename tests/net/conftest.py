# SPDX-License-Identifier: GPL-2.0-only
"""One lab for each file of tests, and before each test the same state: evenkeeld runs with the
services of configs/gateway.yaml, three backends are up, each has its third."""
import signal

import pytest

from gateway import FILE
from lab import Lab

FIGURES = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[FIGURES] = []
    # As Ctrl-C: fixtures are torn down, and so the labs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[FIGURES]:
        terminalreporter.section("figures")
    for test, text in config.stash[FIGURES]:
        terminalreporter.write_line(f"{test}: {text}")


@pytest.fixture
def figure(request):
    """figure("text"): shown under the test's name at the end of the run, and when it fails."""
    def note(text):
        print(text)
        request.config.stash[FIGURES].append((request.node.name, text))
    return note


@pytest.fixture(scope="module")
def bare_lab(request):
    """The lab of this file, whatever state the tests before left it in."""
    with Lab(request.module.__name__.removeprefix("test_"),
             backends=getattr(request.module, "BACKENDS", 3)) as lab:
        yield lab


def has_a_past(lb):
    """Whether the balancer remembers anything of the tests before."""
    return any(s["remembering"] or b["retired"] or b["draining"]
               or b["weight"] != b["configured_weight"]
               for s in lb.status()["services"] for b in s["backends"])


@pytest.fixture
def lab(bare_lab):
    lb, config = bare_lab.lb, bare_lab.dir / "gateway.yaml"
    for web in bare_lab.webs:
        if not web.nginx.alive:
            web.start_nginx()
            web.wait()
    # What the rings remember outlives reloads and restarts, as it should: so it starts anew.
    alive = lb.daemon and lb.daemon.alive
    if not alive or config.read_text() != FILE.read_text() or has_a_past(lb):
        if alive:
            lb.daemon.stop()
        lb.run("evenkeeld", "--detach")
        lb.run("rm", "-rf", "/var/lib/evenkeel")
        config.write_text(FILE.read_text())
        lb.start(config)
    lb.wait_all(health="up", nexthop="resolved")
    bare_lab.config = config
    return bare_lab
