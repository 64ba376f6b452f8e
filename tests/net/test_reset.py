# SPDX-License-Identifier: GPL-2.0-only
"""Services whose failover is none: a connection that the table knows goes on through whatever
happens to the controller; one that it does not know is reset by a segment that its client accepts."""
import json
import re
import signal

import pytest

from gateway import gateway
from lab import CLIENT4, CLIENT6, VIP4, VIP6
from longlived import Crowd

WEIGHTS = {1: 100, 2: 100, 3: 100}
TRACKED = gateway(WEIGHTS, tracking="full")
DISOWNED = gateway(WEIGHTS, tracking="full", failover="none")
N = 40


def unknown(lab):
    """How many segments of no known connection there were."""
    drops = json.loads(lab.lb.cli("-j", "drops").stdout)["drops"]
    return next(d["packets"] for d in drops if d["reason"] == "unknown-flow")


def reload(lab, text):
    lab.config.write_text(text)
    lab.lb.cli("reload")


def start_anew(lab):
    """Another node, for all that the connections can tell: the same rings, an empty table."""
    lab.lb.daemon.stop()
    lab.lb.run("evenkeeld", "--detach")
    lab.lb.start(lab.config)
    lab.lb.wait_all(health="up", nexthop="resolved")


def test_what_the_table_knows_goes_on(lab, figure):
    reload(lab, TRACKED)
    with Crowd(lab.client, [VIP4, VIP6], CLIENT4 + CLIENT6) as crowd:
        crowd.open(N)
        reload(lab, DISOWNED)
        crowd.round()
        crowd.open(N)
        for number in signal.SIGQUIT, signal.SIGKILL:
            lab.lb.daemon.stop(number)
            crowd.round()
            lab.lb.start(lab.config)
            lab.lb.wait_all(health="up", nexthop="resolved")
            crowd.round()
        assert not crowd.broken() and len(crowd.living()) == 2 * N
        assert unknown(lab) == 0
        figure(f"{2 * N} connections through a switch to failover: none and two restarts")


def test_what_it_does_not_know_is_reset(lab, figure):
    reload(lab, DISOWNED)
    with Crowd(lab.client, [VIP4, VIP6], CLIENT4 + CLIENT6) as crowd:
        flow = crowd.open(N)[0]
        assert not crowd.broken()
        resets = lab.client.counter("EstabResets")
        start_anew(lab)
        crowd.round()
        broken = crowd.broken()
        figure(f"{len(broken)} of {N} connections reset: {broken[0].broken}; "
               f"{unknown(lab)} segments answered or dropped")
        assert len(broken) == N
        assert all(re.search("reset", f.broken, re.I) for f in broken), broken
        assert lab.client.counter("EstabResets") - resets == N
        assert unknown(lab) >= N
        assert len(crowd.open(N)) == N and len(crowd.living()) == N
        source = f"[{flow.source}]" if ":" in flow.source else flow.source
        words = ("explain", "web6" if ":" in flow.source else "web", f"{source}:{flow.port}")
        assert "ack: answered with RST as unknown-flow" in lab.lb.cli(*words).stdout
        assert "rst: dropped as unknown-flow" in lab.lb.cli(*words, "--packet", "rst").stdout


def test_otherwise_it_is_adopted(lab, figure):
    reload(lab, TRACKED)
    with Crowd(lab.client, [VIP4, VIP6], CLIENT4 + CLIENT6) as crowd:
        crowd.open(N)
        start_anew(lab)
        crowd.round()
        assert not crowd.broken() and unknown(lab) == 0
        reload(lab, DISOWNED)
        crowd.round()
        # A connection of the test before may be closing still.
        assert not crowd.broken()
        figure(f"{N} connections adopted by a new table, and kept by failover: none; "
               f"{unknown(lab)} segments of others")


@pytest.mark.parametrize("tracking", ["just-enough", "none"])
def test_it_needs_full_tracking(lab, tracking, figure):
    lab.config.write_text(gateway(WEIGHTS, tracking=tracking, failover="none"))
    result = lab.lb.cli("reload", check=False)
    figure(result.stderr.strip().splitlines()[0])
    assert result.returncode and "expected tracking: full" in result.stderr
