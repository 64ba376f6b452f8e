# SPDX-License-Identifier: GPL-2.0-only
"""What undoes on a backend what a method of forwarding does to packets: evenkeel-backend, or parts
of the kernel. Each is a context manager, called with the backend and the VIPs, that fails at its
end when no packet went through it. Afterwards evenkeel-backend runs again as the lab started it."""
import contextlib
import ipaddress
import json
import re

from lab import VIP4, VIP6, run


def words(vip):
    return "ip6" if ":" in vip else "ip"


def own(web, vip):
    """The backend's own address of the family of this one."""
    return web.addresses[ipaddress.ip_address(vip).version == 6]


@contextlib.contextmanager
def received_by(receiver, lab, *vips):
    """Inside the block all backends have this one."""
    with contextlib.ExitStack() as stack:
        for web in lab.webs:
            stack.enter_context(receiver(web, vips))
        yield
    for web in lab.webs:
        web.wait()


def agent(*options):
    """evenkeel-backend itself, with further options."""
    @contextlib.contextmanager
    def receiver(web, vips):
        anew = options or not set(vips) <= {VIP4, VIP6}
        if anew:
            web.agent.stop()
            web.start_agent(vips, *options)
        try:
            web.wait()
            before = undone(web)
            yield
            assert undone(web) > before, f"{web.name}: nothing came through evenkeel-backend"
        finally:
            if anew:
                web.agent.stop()
                web.start_agent([VIP4, VIP6])
    return receiver


def undone(web):
    """How many packets evenkeel-backend has restored."""
    shown = web.run("evenkeel-backend", "status", "--interface", "eth0").stdout
    return sum(map(int, re.findall(r"^ +(?:decapsulated|gue|dscp)-ipv[46] +(\d+) ", shown, re.M)))


@contextlib.contextmanager
def nothing(web, vips):
    """The VIPs on lo, without a word about them in ARP, and no more."""
    web.agent.stop()
    web.sysctl({"ipv4.conf.all.arp_ignore": 1, "ipv4.conf.all.arp_announce": 2})
    prefixes = [ipaddress.ip_network(vip).with_prefixlen for vip in vips]
    web.ip(*(f"addr add {p} dev lo" for p in prefixes))
    try:
        yield
    finally:
        web.ip(*(f"addr del {p} dev lo" for p in prefixes))
        web.sysctl({"ipv4.conf.all.arp_ignore": 0, "ipv4.conf.all.arp_announce": 0})
        web.start_agent([VIP4, VIP6])


def device(kind, outer):
    """A tunnel device of the kernel; `outer` is the family of the packets that it receives."""
    @contextlib.contextmanager
    def receiver(web, vips):
        with nothing(web, vips):
            web.ip(f"link add tunnel type {kind} local {web.addresses[outer == 6]}",
                   "link set tunnel up")
            try:
                yield
                assert packets(web, "tunnel", "rx"), f"{web.name}: nothing came through {kind}"
            finally:
                web.ip("link del tunnel")
    return receiver


def packets(host, interface, way):
    """How many the interface has received ("rx") or sent ("tx")."""
    shown = json.loads(run("ip", "-n", host.ns, "-j", "-s", "link", "show", interface).stdout)
    return shown[0]["stats64"][way]["packets"]


def dscp(number):
    """L3DSR: nftables finds the VIP by the DSCP."""
    @contextlib.contextmanager
    def receiver(web, vips):
        rules = [f"{words(vip)} daddr {own(web, vip)} {words(vip)} dscp {number} counter "
                 f"{words(vip)} daddr set {vip}" for vip in vips]
        tables = [f"table {words(vip)} l3dsr {{ chain restore {{ "
                  f"type filter hook prerouting priority -300; {rule}; }}; }}"
                  for vip, rule in zip(vips, rules)]
        with nothing(web, vips):
            web.run("nft", "\n".join(tables))
            try:
                yield
                for vip in vips:
                    shown = json.loads(web.run("nft", "-j", "list", "table", words(vip),
                                               "l3dsr").stdout)
                    assert counted(shown), f"{web.name}: no packet for {vip}"
            finally:
                web.run("nft", "; ".join(f"delete table {words(vip)} l3dsr" for vip in vips))
    return receiver


def counted(shown):
    (rule,) = (entry["rule"] for entry in shown["nftables"] if "rule" in entry)
    return sum(e["counter"]["packets"] for e in rule["expr"] if "counter" in e)
