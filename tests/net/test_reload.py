# SPDX-License-Identifier: GPL-2.0-only
"""Reloads while requests are running: what must not be felt, and what must."""
import collections
import contextlib
import re
import signal
import time

import pytest

from gateway import CHECK, gateway, pools, service
from lab import CLIENT4, CLIENT6, VIP4, VIP6, LabError, until
from load import Load

BACKENDS = 4
SOURCES = CLIENT4 + CLIENT6
EVEN = {1: 100, 2: 100, 3: 100}
ADMIN = service("admin", VIP4, pools(EVEN)[0], port=8080)


@contextlib.contextmanager
def traffic(lab, sessions=8):
    """A load that runs, and the client's retransmissions meanwhile as load.retransmissions."""
    before = lab.client.counter("RetransSegs")
    with Load(lab.client, [VIP4, VIP6], SOURCES, workers=4, sessions=sessions, pause=0.002) as load:
        flows(lab)
        yield load
        flows(lab)
    load.retransmissions = lab.client.counter("RetransSegs") - before


def flows(lab):
    """Waits until some more packets have passed."""
    then = lab.lb.service("web")["packets"]
    until(lambda: lab.lb.service("web")["packets"] > then + 300, 10, "traffic flows")


def reload(lab, text):
    lab.config.write_text(text)
    lab.lb.cli("reload")


def slots(lab):
    return {s["name"]: {b["name"]: b["slots"] for b in s["backends"]}
            for s in lab.lb.status()["services"]}


def test_reloads_that_leave_the_rings_alone_are_not_felt(lab, figure):
    before = slots(lab)
    with traffic(lab) as load:
        for text in (gateway(EVEN), gateway(EVEN, ADMIN),
                     gateway(EVEN, ADMIN, check=CHECK.replace("200ms", "250ms")),
                     gateway(EVEN)) * 2:
            reload(lab, text)
            flows(lab)
            assert {k: v for k, v in slots(lab).items() if k != "admin"} == before
        for _ in range(3):
            lab.lb.daemon.send(signal.SIGHUP)
            flows(lab)
    sessions = sum(r.kind == "session" for r in load.requests)
    figure(f"11 reloads: {load}; {sessions} in sessions; {load.retransmissions} retransmissions")
    assert len(load.requests) > 1000 and sessions > 100
    assert not load.failures and load.retransmissions == 0


def test_a_new_service_works_and_an_old_one_ends(lab, figure):
    reload(lab, gateway(EVEN, ADMIN))
    until(lambda: min(slots(lab)["admin"].values()), 10, "the new service has its backends")
    answers = {lab.client.run("curl", "-sSf", "-m", "5", "--local-port", str(30000 + n),
                              f"http://{VIP4}:8080/").stdout.strip() for n in range(30)}
    reload(lab, gateway(EVEN))
    ended = lab.client.run("curl", "-sS", "-m", "1", f"http://{VIP4}:8080/", check=False)
    figure(f"port 8080: {sorted(answers)}; afterwards: {ended.stderr.strip()}")
    assert answers == {"web1", "web2", "web3"}
    assert ended.returncode and "admin" not in slots(lab)


@pytest.mark.parametrize("weights", [
    pytest.param({1: 50, 2: 100, 3: 100}, id="a weight halved"),
    pytest.param({1: 100, 2: 100, 3: 0}, id="a backend drained"),
    pytest.param({1: 100, 2: 100, 3: 100, 4: 100}, id="a backend added"),
    pytest.param({1: 100, 3: 100}, id="a backend removed"),
])
def test_a_change_of_shares_under_load(lab, weights, figure):
    """The rings follow the file and new connections the rings; no packet is lost, and no
    connection that was there before."""
    total = sum(weights.values())

    def follows():
        now = slots(lab)["web"]
        return all(abs(now.get(f"web{n}", 0) / 65537 - w / total) <= 0.01 * w / total
                   for n, w in weights.items())
    with traffic(lab, sessions=40) as load:
        reload(lab, gateway(weights))
        until(follows, 10, lambda: f"shares follow {weights}: {slots(lab)}")
        ended = time.monotonic()
        flows(lab)
    answers = collections.Counter(r.answer for r in load.requests
                                  if r.kind == "single" and r.start > ended)
    sessions = {r.answer for r in load.requests if r.kind == "session" and r.start > ended}
    figure(f"{load}; {load.retransmissions} retransmissions; then new ones "
           f"{dict(sorted(answers.items()))}, sessions with {sorted(sessions)}, "
           f"{slots(lab)['web']}")
    assert len(load.requests) > 200 and not load.failures and load.retransmissions == 0
    assert set(answers) == {f"web{n}" for n, w in weights.items() if w}
    assert sessions == {"web1", "web2", "web3"}


BAD = [
    pytest.param(gateway({1: 100, 2: -1}), r":\d+:\d+: .*weight", id="a weight of -1"),
    pytest.param(gateway(EVEN) + "bogus: 1\n", r":\d+:\d+: .*bogus", id="an unknown key"),
    pytest.param(gateway(EVEN)[:-30], r":\d+", id="a torn file"),
    pytest.param("", "", id="an empty file"),
]


@pytest.mark.parametrize("text, expected", BAD)
def test_an_invalid_file_changes_nothing(lab, text, expected, figure):
    before = lab.lb.status()
    with traffic(lab) as load:
        lab.config.write_text(text)
        refused = lab.lb.cli("reload", check=False)
        lab.lb.daemon.send(signal.SIGHUP)
        until(lambda: lab.lb.daemon.log().count("reload refused") >= 2, 5, "both are refused")
        flows(lab)
    after = lab.lb.status()
    figure(f"{refused.stderr.strip()}")
    figure(f"{load}; {load.retransmissions} retransmissions")
    assert refused.returncode == 1 and str(lab.config) in refused.stderr
    assert re.search(re.escape(str(lab.config)) + expected, refused.stderr)
    assert not after["last_reload"]["ok"]
    assert [(s["name"], [(b["name"], b["slots"], b["since"]) for b in s["backends"]])
            for s in before["services"]] == \
        [(s["name"], [(b["name"], b["slots"], b["since"]) for b in s["backends"]])
         for s in after["services"]]
    assert len(load.requests) > 200 and not load.failures and load.retransmissions == 0


def test_a_file_that_is_gone_changes_nothing(lab):
    lab.config.rename(lab.dir / "away")
    try:
        with pytest.raises(LabError, match="gateway.yaml"):
            lab.lb.cli("reload")
        assert len(lab.lb.status()["services"]) == 2
    finally:
        (lab.dir / "away").rename(lab.config)


def test_another_hash_key_is_refused(lab, figure):
    """Every connection would go elsewhere. The same key from a file is accepted."""
    key, good = lab.dir / "key", lab.config.read_text()
    text = good.replace("interfaces:", f"hash-key: {key}\ninterfaces:", 1)
    own = lab.lb.run("cat", "/var/lib/evenkeel/hash-key").stdout
    assert text != good and len(own.strip()) == 192
    try:
        for content, mode, expected in (("5a" * 96, 0o600, "the hash key cannot change"),
                                        (own, 0o644, "readable by others"),
                                        ("5a" * 95, 0o600, "expected 192 hexadecimal digits")):
            key.write_text(content)
            key.chmod(mode)
            lab.config.write_text(text)
            refused = lab.lb.cli("reload", check=False)
            figure(refused.stderr.strip())
            assert refused.returncode == 1 and expected in refused.stderr
            assert own.strip() not in lab.lb.daemon.log()
        key.write_text(own)
        lab.lb.cli("reload")
    finally:
        lab.config.write_text(good)
        lab.lb.cli("reload")
