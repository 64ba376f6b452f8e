# SPDX-License-Identifier: GPL-2.0-only
"""Two balancers, the same backends: ours, and IPVS that tunnels to them for VIPs of its own."""
import ipaddress
import re

import pytest

import receivers
from lab import VIP4, VIP6
from test_methods import assert_answers, assert_large

DIRECTED = {4: "192.0.2.20", 6: "2001:db8::20"}
OURS = {4: VIP4, 6: VIP6}


@pytest.fixture(params=[4, 6], ids=["v4", "v6"])
def family(request):
    return request.param


@pytest.fixture
def directed(lab, family):
    """The VIP of the director."""
    node, v6 = lab.ipvs, family == 6
    vip = DIRECTED[family]
    prefix = ipaddress.ip_network(vip).with_prefixlen
    target = f"[{vip}]:80" if v6 else f"{vip}:80"
    lab.router.ip(f"route add {prefix} via {node.addresses[v6]}")
    node.ip(f"addr add {prefix} dev lo")
    node.run("ipvsadm", "-A", "-t", target, "-s", "rr")
    for web in lab.webs:
        real = f"[{web.addresses[1]}]" if v6 else web.addresses[0]
        node.run("ipvsadm", "-a", "-t", target, "-r", f"{real}:80", "-i")
    yield vip
    shown = node.run("ipvsadm", "-L", "-n", "--stats", "--exact").stdout
    counts = [int(line.split()[2]) for line in shown.splitlines() if re.match(r" +->.*:80 ", line)]
    node.run("ipvsadm", "-C")
    node.ip(f"addr del {prefix} dev lo")
    lab.router.ip(f"route del {prefix}")
    assert len(counts) == len(lab.webs) and all(counts), shown


KERNEL = {4: receivers.device("ipip", 4), 6: receivers.device("ip6tnl mode any", 6)}


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel's device", "evenkeel-backend"])
def test_the_same_backends_take_packets_from_both(lab, family, directed, kernel):
    ours = OURS[family]
    receiver = KERNEL[family] if kernel else receivers.agent()
    with receivers.received_by(receiver, lab, ours, directed):
        lab.start()
        before = lab.lb.service("web6" if family == 6 else "web")["packets"]
        assert_answers(lab, ours, directed)
        for vip in ours, directed:
            assert_large(lab, vip)
        assert lab.lb.service("web6" if family == 6 else "web")["packets"] > before
