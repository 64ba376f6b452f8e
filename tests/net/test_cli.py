# SPDX-License-Identifier: GPL-2.0-only
"""The command line: what an operator types, what it says, its exit status, and that what it did
is so. (`flows` and `explain` have a file of their own.)"""
import json
import re
import signal
import socket

import pytest

from gateway import FILE, gateway
from lab import VIP4, until
from pinned import INDEX, LOOKUP, RING_SIZE, Pinned

THREE = {1: 100, 2: 100, 3: 100}
BACKENDS = 4


def ask(lab, *words):
    return json.loads(lab.lb.cli("-j", *words).stdout)


def slots(lab, name="web1"):
    return lab.lb.backends()[name]["slots"]


def test_status(lab):
    text = lab.lb.cli("status").stdout
    assert re.search(rf"^web: {re.escape(VIP4)}:80/tcp up \(3 of 3 backends\)", text, re.M)
    assert len(re.findall(r"^  web[123] .* up .* 33\.3%", text, re.M)) == 6
    for words in ("-j", "status"), ("status", "-j"), ("--json", "status", "web"):
        answer = json.loads(lab.lb.cli(*words).stdout)
        assert answer["services"][0]["name"] == "web"
        assert answer["services"][0]["ring_slots"] == RING_SIZE
    assert len(answer["services"]) == 1
    (web, web6) = ask(lab, "status")["services"]
    for service in web, web6:
        assert service["tracking"] == "just-enough"
        assert service["remembering"] == service["entries"] == 0
        assert sum(b["slots"] for b in service["backends"]) == RING_SIZE


def test_drops(lab):
    def fragments():
        return next(d["packets"] for d in ask(lab, "drops")["drops"] if d["reason"] == "fragment")

    before = fragments()
    with lab.client.enter(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(bytes(4000), (VIP4, 80))
    after = until(lambda: (n := fragments()) > before and n, 5, "fragments are dropped")
    assert re.search(rf"^\s*fragment\s+{after}\s", lab.lb.cli("drops").stdout, re.M)


def test_drain_and_undrain(lab):
    before = slots(lab)
    assert ask(lab, "drain", "web/web1")["draining"] is True
    until(lambda: slots(lab) == 0, 5, "web1 is drained")
    web1 = lab.lb.backends()["web1"]
    assert web1["draining"] and web1["health"] == "up" and not web1["drain"]["done"]
    assert slots(lab, "web2") + slots(lab, "web3") == RING_SIZE
    assert lab.lb.backends("web6")["web1"]["slots"] > 0, "the other service's is another backend"
    assert "drain" in lab.lb.cli("status", "web").stdout

    lab.lb.cli("reload")
    assert lab.lb.backends()["web1"]["draining"], "a drain outlives a reload"

    assert "web/web1" in lab.lb.cli("undrain", "web/web1").stdout
    until(lambda: slots(lab) == before, 5, "web1 has its slots again")
    assert not lab.lb.backends()["web1"]["draining"]
    again = lab.lb.cli("undrain", "web/web1", check=False)
    assert again.returncode == 1 and "not being drained" in again.stderr


def test_a_drain_has_a_time_limit(lab):
    """Everything still remembers web1, which the clock does not care about."""
    lab.lb.cli("drain", "web/web1", "--timeout", "1s")
    until(lambda: slots(lab) == 0, 5, "web1 is drained")
    drain = until(lambda: (d := lab.lb.backends()["web1"]["drain"])["done"] and d, 5, "done")
    assert drain["timed_out"] and drain["seconds"] >= 1


def test_weight(lab):
    before = slots(lab)
    assert ask(lab, "weight", "web/web1", "50")["weight"] == 50
    until(lambda: abs(slots(lab) - RING_SIZE / 5) < RING_SIZE / 500, 5, "web1 has a fifth")
    for life in "a reload", "a restart":
        web1 = lab.lb.backends()["web1"]
        assert (web1["weight"], web1["configured_weight"]) == (50, 100), life
        assert abs(web1["slots"] - RING_SIZE / 5) < RING_SIZE / 500, life
        lab.lb.cli("reload")
        if life == "a reload":
            lab.lb.daemon.stop(signal.SIGKILL)
            lab.lb.start(lab.config)
    lab.lb.cli("weight", "web/web1", "default")
    until(lambda: slots(lab) == before, 5, "web1 has its third again")
    assert lab.lb.backends()["web1"]["weight"] == 100


def test_plan_foretells_a_reload(lab, figure):
    """What `plan` counts is what then happens, slot by slot; planning itself changes nothing."""
    (same, _) = ask(lab, "plan", lab.config)["services"]
    assert (same["name"], same["change"], same["slots_moved"]) == ("web", "same", 0)

    lab.config.write_text(gateway(THREE | {1: 50, 4: 100}).replace("web3", "web-three", 1))
    id_ = lab.lb.service("web")["id"]
    with Pinned(lab.lb) as pinned:
        old = list(pinned.ring(id_))
        (plan, _) = ask(lab, "plan", lab.config)["services"]
        text = lab.lb.cli("plan", lab.config).stdout
        assert list(pinned.ring(id_)) == old and "web4" not in lab.lb.backends()
        lab.lb.cli("reload")
        until(lambda: slots(lab, "web4"), 5, "web4 is in the ring")
        new = list(pinned.ring(id_))
    moved = sum(a & INDEX != b & INDEX for a, b in zip(old, new))
    figure(text.splitlines()[0])
    assert plan["slots_moved"] == moved > RING_SIZE / 4
    assert plan["slots_remembering"] == sum(bool(b & ~a & LOOKUP) for a, b in zip(old, new))
    assert {b["name"]: b["change"] for b in plan["backends"]} == \
        {"web1": "weight", "web2": "same", "web-three": "same", "web4": "add"}
    assert re.search(rf"^web: .*\b{moved} slots", text) and "add web4 (10.2.0.24)" in text


def test_plan_of_removals(lab):
    lab.config.write_text(gateway({1: 100, 2: 100}).partition("  - name: web6")[0])
    web, web6 = ask(lab, "plan", lab.config)["services"]
    assert web["change"] == "change" and web6["change"] == "remove"
    assert [b["change"] for b in web["backends"]] == ["same", "same", "remove"]
    assert len(lab.lb.status()["services"]) == 2


USAGE, REFUSED = 2, 1


@pytest.mark.parametrize("words, status, says", [
    ((), USAGE, "Usage: evenkeel"),
    (("stats",), USAGE, 'did you mean "status"'),
    (("status", "web", "web6"), USAGE, "too many arguments"),
    (("status", "--bogus"), USAGE, "bogus"),
    (("status", "--timeout", "1s"), USAGE, "--timeout"),
    (("status", "nothing"), REFUSED, "no service 'nothing'"),
    (("drain",), USAGE, "SERVICE/BACKEND"),
    (("drain", "web"), USAGE, "SERVICE/BACKEND"),
    (("drain", "web/"), USAGE, "SERVICE/BACKEND"),
    (("drain", "web/web1", "--timeout", "soon"), USAGE, "'soon'"),
    (("drain", "web/web9"), REFUSED, "no backend 'web9'"),
    (("drain", "nothing/web1"), REFUSED, "no service 'nothing'"),
    (("undrain", "web/web1"), REFUSED, "not being drained"),
    (("weight", "web/web1"), USAGE, "0 to 1000"),
    (("ha", "foo"), USAGE, 'no action "foo"'),
    (("ha", "stay"), USAGE, "expected primary, secondary or none"),
    (("ha", "status", "--force"), USAGE, "no option --force"),
    (("ha",), REFUSED, "stands alone"),
    (("weight", "web/web1", "1001"), USAGE, "0 to 1000"),
    (("weight", "web/web1", "-1"), USAGE, ""),
    (("weight", "web/web1", "half"), USAGE, "0 to 1000"),
    (("weight", "web/web9", "1"), REFUSED, "no backend 'web9'"),
    (("plan",), USAGE, "FILE"),
    (("plan", "/nowhere"), REFUSED, "/nowhere: No such file"),
    (("plan", "/dev/null"), REFUSED, "empty"),
    (("-s", "/nowhere", "status"), REFUSED, "/nowhere"),
])
def test_mistakes(lab, words, status, says):
    done = lab.lb.cli(*words, check=False)
    assert done.returncode == status and says in done.stderr and not done.stdout
    assert len(done.stderr.splitlines()) <= 30


def test_a_bad_file_is_named_with_its_line(lab):
    lab.config.write_text(FILE.read_text().replace("port: 80\n", "port: 80x\n", 1))
    done = lab.lb.cli("plan", lab.config, check=False)
    assert done.returncode == REFUSED
    assert re.search(rf"{re.escape(str(lab.config))}:\d+:\d+: port: '80x'", done.stderr)


def test_help(lab):
    commands = re.findall(r"^  (\w+) ", lab.lb.cli("help").stdout.partition("Options")[0], re.M)
    assert {"status", "drops", "flows", "explain", "drain", "undrain", "weight", "plan",
            "reload"} <= set(commands)
    for command in commands:
        for words in ("help", command), (command, "--help"):
            assert lab.lb.cli(*words).stdout.startswith("Usage: evenkeel")


def test_without_a_daemon(lab):
    lab.lb.daemon.stop()
    for words in ("status",), ("-j", "drain", "web/web1"), ("reload",):
        done = lab.lb.cli(*words, check=False)
        assert done.returncode == REFUSED and not done.stdout
        assert "not running" in done.stderr, done.stderr
