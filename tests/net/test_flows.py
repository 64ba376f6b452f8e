# SPDX-License-Identifier: GPL-2.0-only
"""`evenkeel flows` and `evenkeel explain`, against real connections: what they say of each must be
what its client sees."""
import contextlib
import json
import re
import socket

import pytest

from lab import CLIENT4, CLIENT6, VIP4, VIP6, until

TARGETS = {"web": (VIP4, CLIENT4[0]), "web6": (VIP6, CLIENT6[0])}


class Connection:
    """An open connection, and the backend that answers on it."""

    def __init__(self, vip, source):
        self.socket = socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET)
        self.socket.settimeout(5)
        self.socket.bind((source, 0))
        self.socket.connect((vip, 80))
        self.client, self.port = self.socket.getsockname()[:2]
        self.backend = self.ask()

    def ask(self):
        """Who answers."""
        self.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        while b"\r\n\r\n" not in data or not data.partition(b"\r\n\r\n")[2].strip():
            data += self.socket.recv(4096)
        return re.search(rb"web\d", data.partition(b"\r\n\r\n")[2])[0].decode()

    @property
    def endpoint(self):
        return f"[{self.client}]:{self.port}" if ":" in self.client else f"{self.client}:{self.port}"


@contextlib.contextmanager
def connections(lab, n, services=TARGETS):
    with contextlib.ExitStack() as stack:
        with lab.client.enter():
            all_ = {s: [Connection(*TARGETS[s]) for _ in range(n)] for s in services}
        for c in sum(all_.values(), []):
            stack.enter_context(c.socket)
        yield all_


def ask(lab, *words):
    return json.loads(lab.lb.cli("-j", *words).stdout)


def refusal(lab, *words):
    """What a command says that must fail."""
    result = lab.lb.cli(*words, check=False)
    assert result.returncode != 0, words
    return result.stderr


def remember(lab):
    """Drains web1: a third of all slots remember it."""
    for service in TARGETS:
        lab.lb.cli("drain", f"{service}/web1")
    until(lambda: all(lab.lb.backends(s)["web1"]["slots"] == 0 for s in TARGETS), 5, "a drain")


def test_explain_names_who_answers(lab, figure):
    seen = set()
    with connections(lab, 40) as old:
        remember(lab)
        with connections(lab, 40) as new:
            for service in TARGETS:
                for c in old[service] + new[service]:
                    answer = ask(lab, "explain", service, c.endpoint, "--packet", "ack")
                    packet, = answer["packets"]
                    assert packet["backend"] == c.backend == c.ask(), answer
                    assert packet["verdict"] == "forward", answer
                    assert packet["outer"]["interface"] == "eth0"
                    seen.add((answer["slot"]["remembers"], bool(answer["entries"])))
    assert seen == {(False, False), (True, False), (True, True)}
    figure("160 connections explained: steady, by origin, by entry")


def test_explain_in_words(lab):
    text = lab.lb.cli("explain", f"{VIP4}:80", CLIENT4[0]).stdout
    assert "an example: each port is a connection of its own" in text
    assert "remembers nothing" in text
    assert re.search(r"^syn: to web\d$", text, re.M) and re.search(r"^ack: to web\d$", text, re.M)
    for n, web in enumerate(lab.webs, 1):
        web.nginx.stop()
    until(lambda: all(b["health"] == "down" for b in lab.lb.backends().values()), 10, "down")
    text = lab.lb.cli("explain", "web", f"{CLIENT4[0]}:4711").stdout
    assert "syn: dropped as backend-down" in text


@pytest.mark.parametrize("words, says", [
    (("explain", "web", "198.51.100.7:0"), "expected ADDRESS[:PORT]"),
    (("explain", "web", "2001:db8::7"), "different families"),
    (("explain", "nothing", "198.51.100.7"), "no service 'nothing'"),
    (("explain", "203.0.113.1", "198.51.100.7"), "no service has 203.0.113.1"),
    (("explain", "web", "198.51.100.7", "--packet", "fin"), "expected syn, ack or rst"),
    (("explain", "web"), "expected a service or VIP, and a client"),
    (("flows", "--service", "nothing"), "no service 'nothing'"),
    (("flows", "--service", "web", "--backend", "web9"), "no backend 'web9' of service 'web'"),
    (("flows", "--client", "198.51.100.7/24"), "without host bits"),
    (("flows", "--limit", "0"), "expected a number from 1 to 100000"),
    (("flows", "--packet", "syn"), "flows has no option --packet"),
])
def test_refusals(lab, words, says):
    assert says in refusal(lab, *words)


def test_flows_lists_what_the_table_holds(lab):
    remember(lab)
    with connections(lab, 60) as new:
        for service, (_, client) in TARGETS.items():
            answer = ask(lab, "flows", "--service", service, "--client", client)
            known = {c.port: c for c in new[service]}
            live = [f for f in answer["flows"] if f["client_port"] in known]
            assert len(live) >= 5 and answer["in_flux"] == 0
            for flow in live:
                assert flow["backend"] == known[flow["client_port"]].backend
                assert (flow["state"], flow["service"]) == ("established", service)
            name = live[0]["backend"]
            only = ask(lab, "flows", "--service", service, "--backend", name)["flows"]
            assert only and {f["backend"] for f in only} == {name}
            assert ask(lab, "flows", "--client", "203.0.113.0/24")["matched"] == 0


def test_flows_counts_and_cuts(lab):
    remember(lab)
    with connections(lab, 60, ["web"]):
        whole = ask(lab, "flows", "--service", "web")
        counts = ask(lab, "flows", "--service", "web", "--count")
        assert sum(c["established"] + c["embryonic"] + c["closing"]
                   for c in counts["counts"]) == counts["matched"] == whole["matched"]
        cut = ask(lab, "flows", "--service", "web", "--limit", "3")
        assert len(cut["flows"]) == 3 and cut["matched"] == whole["matched"] > 3
        text = lab.lb.cli("flows", "--service", "web", "--limit", "3").stdout
        assert f"{whole['matched']} flows, of which the first 3 found are shown" in text
        assert len(text.splitlines()) == 5
