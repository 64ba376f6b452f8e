# SPDX-License-Identifier: GPL-2.0-only
"""Every method of forwarding, to backends with evenkeel-backend and to those that have only what
their kernel brings."""
import contextlib
import filecmp
import ipaddress
from typing import Callable, NamedTuple

import pytest

import receivers
from gateway import config, pools, service
from lab import CLIENT4, CLIENT6, NGINX, VIP4, VIP6
from load import Load

SOURCES = CLIENT4 + CLIENT6
XDP_ATTACHED_DRV = 1
EVEN = {1: 100, 2: 100, 3: 100}


class Row(NamedTuple):
    forward: str  # as in the configuration
    vip: str
    nodes: int  # the family of the backends' addresses
    receiver: Callable  # what they have there, see receivers.py
    more: dict = {}  # further keys of the service


def fou(kind, outer):
    """A tunnel device of the kernel, and a UDP port that leads to it."""
    tunnel = receivers.device(kind, outer)

    @contextlib.contextmanager
    def receiver(web, vips):
        with tunnel(web, vips):
            web.run("ip", f"-{outer}", "fou", "add", "port", "6080", "gue")
            try:
                yield
            finally:
                web.run("ip", f"-{outer}", "fou", "del", "port", "6080")
    return receiver


def gue(variant, port=6080):
    return {"gue": f"{{port: {port}, variant: {variant}}}"}


AGENT, ELSEWHERE = receivers.agent(), receivers.agent("--gue-port", "6666")
IPIP, SIT = receivers.device("ipip", 4), receivers.device("sit mode any", 4)
IP6TNL = receivers.device("ip6tnl mode any", 6)

ROWS = {
    "ipip, 4 in 4": Row("ipip", VIP4, 4, AGENT),
    "ipip, 6 in 6": Row("ipip", VIP6, 6, AGENT),
    "ipip, 4 in 4, ipip device": Row("ipip", VIP4, 4, IPIP),
    "ipip, 6 in 6, ip6tnl device": Row("ipip", VIP6, 6, IP6TNL),
    "ipip, 4 in 6, ip6tnl device": Row("ipip", VIP4, 6, IP6TNL),
    "ipip, 6 in 4, sit device": Row("ipip", VIP6, 4, SIT),
    "gue, 4 in 4": Row("gue", VIP4, 4, AGENT, gue(0)),
    "gue, 6 in 6": Row("gue", VIP6, 6, ELSEWHERE, gue(0, 6666)),
    "gue, 4 in 4, fou and ipip device": Row("gue", VIP4, 4, fou("ipip", 4), gue(0)),
    "gue, 6 in 6, fou and ip6tnl device": Row("gue", VIP6, 6, fou("ip6tnl mode any", 6), gue(0)),
    "gue direct, 6 in 4, fou and sit device":
        Row("gue", VIP6, 4, fou("sit mode any", 4), gue(1)),
    "gue direct, 4 in 6, fou and ip6tnl device":
        Row("gue", VIP4, 6, fou("ip6tnl mode any", 6), gue(1)),
    "tos, v4": Row("tos", VIP4, 4, receivers.agent("--dscp", f"5={VIP4}"), {"tos": 5}),
    "tos, v6": Row("tos", VIP6, 6, receivers.agent("--dscp", f"5={VIP6}"), {"tos": 5}),
    "tos, v4, nftables": Row("tos", VIP4, 4, receivers.dscp(63), {"tos": 63}),
    "tos, v6, nftables": Row("tos", VIP6, 6, receivers.dscp(63), {"tos": 63}),
    "l2, v4": Row("l2", VIP4, 4, receivers.nothing),
    "l2, v6": Row("l2", VIP6, 6, receivers.nothing),
}


def configure(lab, row, backends=None):
    text = config(service("web", row.vip, backends or pools(EVEN)[row.nodes == 6], **row.more))
    lab.write(text.replace("forward: ipip", f"forward: {row.forward}"))


def assert_answers(lab, *vips, names=("web1", "web2", "web3")):
    """These backends, all three as a rule, answer each VIP."""
    with Load(lab.client, vips, SOURCES, count=60 * len(vips)) as load:
        load.finish()
    assert len(load.requests) == 60 * len(vips) and not load.failures, str(load)
    assert set(load.answers()) == set(names)


def assert_large(lab, vip):
    """Full-sized packets, from the client: what comes down does not pass the balancer."""
    url = f"http://[{vip}]" if ":" in vip else f"http://{vip}"
    lab.client.run("curl", "-sSfg", "-m", "60", "-T", lab.big, f"{url}/up/big")
    (up,) = lab.dir.glob("*/up/big")
    assert filecmp.cmp(up, lab.big, shallow=False)
    up.unlink()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_method(lab, row):
    configure(lab, row)
    with receivers.received_by(row.receiver, lab, row.vip):
        lab.start()
        assert_answers(lab, row.vip)
        assert_large(lab, row.vip)


@pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["v4", "v6"])
def test_local(lab, vip):
    """The balancer is its own backend: its nginx answers, by its own stack."""
    lb, nodes = lab.lb, 6 if ":" in vip else 4
    conf = lb.dir / "nginx.conf"
    conf.write_text(NGINX.format(name=lb.name, dir=lb.dir, big=lab.big))
    (lb.dir / "up").mkdir(exist_ok=True)
    configure(lab, Row("local", vip, nodes, None), {lb.name: (lb.addresses[nodes == 6], 100)})
    prefix = ipaddress.ip_network(vip).with_prefixlen
    lb.ip(f"addr add {prefix} dev lo")
    nginx = lb.popen("nginx", "-e", "stderr", "-c", conf)
    try:
        lab.start()
        assert_answers(lab, vip, names=[lb.name])
        assert_large(lab, vip)
    finally:
        nginx.stop()
        lb.ip(f"addr del {prefix} dev lo")


@pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["v4", "v6"])
def test_on_a_virtio_nic(lab, virtio, vip):
    interface = lab.start(virtio)
    assert interface["mode"] == "native" and virtio.link()["xdp"]["mode"] == XDP_ATTACHED_DRV
    assert_answers(lab, vip)
    assert_large(lab, vip)
