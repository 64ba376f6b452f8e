# SPDX-License-Identifier: GPL-2.0-only
"""Every method of forwarding, to backends with evenkeel-backend and to those that have only what
their kernel brings."""
import filecmp
from typing import Callable, NamedTuple

import pytest

import receivers
from gateway import config, pools, service
from lab import CLIENT4, CLIENT6, VIP4, VIP6
from load import Load

SOURCES = CLIENT4 + CLIENT6
XDP_ATTACHED_DRV = 1


class Row(NamedTuple):
    forward: str  # as in the configuration
    vip: str
    nodes: int  # the family of the backends' addresses
    receiver: Callable  # what they have there, see receivers.py
    more: dict = {}  # further keys of the service


# One that this version does not support yet, in its own words, is skipped.
ROWS = {
    "ipip, v4": Row("ipip", VIP4, 4, receivers.agent()),
    "ipip, v6": Row("ipip", VIP6, 6, receivers.agent()),
    "ipip, v4, ipip device": Row("ipip", VIP4, 4, receivers.device("ipip", 4)),
    "ipip, v6, ip6tnl device": Row("ipip", VIP6, 6, receivers.device("ip6tnl mode any", 6)),
    "gue, v4": Row("gue", VIP4, 4, receivers.agent()),
    "gue, v6": Row("gue", VIP6, 6, receivers.agent()),
    "tos, v4, nftables": Row("tos", VIP4, 4, receivers.dscp(5), {"tos": 5}),
    "tos, v6, nftables": Row("tos", VIP6, 6, receivers.dscp(5), {"tos": 5}),
    "l2, v4": Row("l2", VIP4, 4, receivers.nothing),
    "l2, v6": Row("l2", VIP6, 6, receivers.nothing),
}
# Rows for the other two families in each other, when the configuration takes them:
#   Row("ipip", VIP4, 6, receivers.device("ip6tnl mode any", 6))
#   Row("ipip", VIP6, 4, receivers.device("sit mode any", 4))


def configure(lab, row):
    four, six = pools({1: 100, 2: 100, 3: 100})
    text = config(service("web", row.vip, six if row.nodes == 6 else four, **row.more))
    lab.write(text.replace("forward: ipip", f"forward: {row.forward}"))


def assert_answers(lab, *vips):
    """All three backends answer each VIP."""
    with Load(lab.client, vips, SOURCES, count=60 * len(vips)) as load:
        load.finish()
    assert len(load.requests) == 60 * len(vips) and not load.failures, str(load)
    assert set(load.answers()) == {"web1", "web2", "web3"}


def assert_large(lab, vip):
    """Full-sized packets: down, past the balancer, and up, through it."""
    url = f"http://[{vip}]" if ":" in vip else f"http://{vip}"
    down = lab.dir / "down"
    lab.client.run("curl", "-sSfg", "-m", "60", "-o", down, f"{url}/big")
    lab.client.run("curl", "-sSfg", "-m", "60", "-T", lab.big, f"{url}/up/big")
    (up,) = (w.upload("big") for w in lab.webs if w.upload("big").exists())
    assert filecmp.cmp(down, lab.big, shallow=False) and filecmp.cmp(up, lab.big, shallow=False)
    up.unlink()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_method(lab, row):
    configure(lab, row)
    checked = lab.lb.run("evenkeeld", "--check", "-c", lab.config, check=False)
    if "not supported yet" in checked.stderr:
        pytest.skip(f"forward: {row.forward} is to come")
    with receivers.received_by(row.receiver, lab, row.vip):
        lab.start()
        assert_answers(lab, row.vip)
        assert_large(lab, row.vip)


@pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["v4", "v6"])
def test_on_a_virtio_nic(lab, virtio, vip):
    interface = lab.start(virtio)
    assert interface["mode"] == "native" and virtio.link()["xdp"]["mode"] == XDP_ATTACHED_DRV
    assert_answers(lab, vip)
    assert_large(lab, vip)
