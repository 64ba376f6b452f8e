# SPDX-License-Identifier: GPL-2.0-only
"""Other people's routers in the lab: keepalived as a VRRP peer, BIRD for routes over BGP.

Both run beside evenkeeld on a balancer, or instead of it. What keepalived announces is an address
of eth0, which it leaves behind when it is killed: forget() takes it away. The data plane of an
evenkeeld without `ha` forwards what comes for it all the same, so two of those under keepalived
are a pair without a mirror.
"""
import ipaddress
import json
import os
import re
import signal

from lab import run, until

PROTOCOL = 107  # of the kernel routes that evenkeeld makes with `announce: route`
ROUTER_AS, NODE_AS = 65001, 65002


class Daemon:
    """A program of several processes in a host. A context manager, too."""

    def __init__(self, host, name, argv):
        self.host = host
        self.process = host.popen(*argv, name=name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.alive:
            self.stop()

    def stop(self):
        """In order."""
        self.process.stop()

    def kill(self):
        """All its processes at once, so that none can tidy up: it leads their session."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.popen.wait(5)


# --- keepalived -------------------------------------------------------------------------------


def vrrp(vips, *, priority, interface="eth0", vrid=51, interval=0.1, state="BACKUP", source=None,
         peers=(), preempt=True, virtual_mac=False):
    """One instance of VRRP version 3. All VIPs are of one family; with `peers` the adverts go to
    these addresses and come from `source`."""
    six = ipaddress.ip_address(vips[0]).version == 6
    lines = [f"vrrp_instance v{6 if six else 4}_{vrid} {{", f"  interface {interface}",
             f"  state {state}", f"  virtual_router_id {vrid}", f"  priority {priority}",
             f"  advert_int {interval}"]
    lines += [] if preempt else ["  nopreempt"]
    # The virtual MAC is that of an interface of its own, which has the VIPs. (An evenkeeld without
    # `ha` leaves frames to that MAC to the kernel.)
    lines += [f"  use_vmac vrrp{6 if six else 4}.{vrid}"] if virtual_mac else []
    lines += [f"  unicast_src_ip {source}"] if source else []
    lines += ["  unicast_peer {", *(f"    {p}" for p in peers), "  }"] if peers else []
    lines += ["  virtual_ipaddress {",
              *(f"    {v}/{128 if six else 32}" for v in vips), "  }", "}"]
    return "\n".join(lines) + "\n"


class Keepalived(Daemon):
    """Keepalived(node, vrrp([VIP4], priority=100), vrrp([VIP6], priority=100))"""

    def __init__(self, host, *instances, settings=()):
        conf = host.dir / "keepalived.conf"
        conf.write_text("\n".join(["global_defs {", "  vrrp_version 3", f"  router_id {host.name}",
                                   *(f"  {s}" for s in settings), "}", ""]) + "".join(instances))
        super().__init__(host, "keepalived", [
            "keepalived", "-n", "-l", "-D", "-P", "-f", conf, "-p", host.dir / "keepalived.pid",
            "-r", host.dir / "vrrp.pid"])

    def masters(self):
        """The instances that it is master of: each one's last word in the log."""
        states = re.findall(r"\((\w+)\) Entering (\w+) STATE", self.process.log())
        return {name for name, state in dict(states).items() if state == "MASTER"}

    def wait(self, *, master, instances=("v4_51", "v6_51"), seconds=10):
        until(lambda: self.masters().issuperset(instances) if master
              else not self.masters().intersection(instances), seconds,
              lambda: f"master is {master} of {instances}:\n{self.process.log()}")

    def forget(self, *vips):
        """Takes away the addresses that a killed keepalived has left, on any interface."""
        for link in json.loads(run("ip", "-n", self.host.ns, "-j", "addr", "show").stdout):
            for address in link["addr_info"]:
                if address.get("local") in vips and link["ifname"] != "lo":
                    self.host.ip(f"addr del {address['local']}/{address['prefixlen']} "
                                 f"dev {link['ifname']}")


# --- BIRD -------------------------------------------------------------------------------------


class Bird(Daemon):
    """BIRD with a file of router() or node()."""

    def __init__(self, host, conf):
        path = host.dir / "bird.conf"
        path.write_text(conf)
        self.control = host.dir / "bird.ctl"
        super().__init__(host, "bird", ["bird", "-f", "-c", path, "-s", self.control,
                                        "-P", host.dir / "bird.pid"])
        self.process.expect("Started")

    def ask(self, *words):
        """What birdc says."""
        return self.host.run("birdc", "-s", self.control, *words, check=False).stdout

    def wait_established(self, sessions=1, seconds=15):
        until(lambda: self.ask("show protocols").count("Established") >= sessions, seconds,
              lambda: self.ask("show protocols all"))


HEAD = """\
log stderr all;
router id {address};
protocol device {{ scan time 1; }}
protocol bfd {{ interface "*" {{ interval 100 ms; multiplier 3; }}; }}
"""

# One session carries both families.
SESSION = """\
protocol bgp to_{name} {{
  local {own} as {own_as};
  neighbor {other} as {other_as};
  hold time 3; keepalive time 1; connect delay time 1; connect retry time 1;
  error wait time 1, 2;
{bfd}  ipv4 {{ {rules} }};
  ipv6 {{ {rules} next hop address {six}; }};
}}
"""


def router(lab, *, bfd=True):
    """The router's file: it takes the VIPs from every balancer, and of several equal ways all. Its
    kernel then chooses by addresses and ports."""
    lab.router.sysctl({"ipv4.fib_multipath_hash_policy": 1, "ipv6.fib_multipath_hash_policy": 1})
    text = HEAD.format(address="10.2.0.1")
    for family in "ipv4", "ipv6":
        text += (f"protocol kernel {{ merge paths on; {family} "
                 "{ import none; export where source = RTS_BGP; }; }\n")
    for node in lab.balancers:
        text += session(node.name, gateway(node.addresses[0]), node.addresses[0], ROUTER_AS,
                        NODE_AS, gateway(node.addresses[1]), "import all; export none;", bfd)
    return text


def node(balancer, *, vips=(), bfd=True):
    """A balancer's file: it tells what evenkeeld has put in the kernel's table, or `vips`."""
    text = HEAD.format(address=balancer.addresses[0])
    for family, six in ("ipv4", False), ("ipv6", True):
        mine = [v for v in vips if (":" in v) == six]
        text += (f"protocol kernel {{ learn; scan time 1; {family} "
                 f"{{ import where krt_source = {PROTOCOL}; export none; }}; }}\n")
        text += "protocol static { %s; %s }\n" % (
            family, " ".join(f"route {v}/{128 if six else 32} blackhole;" for v in mine))
    return text + session("router", balancer.addresses[0], gateway(balancer.addresses[0]), NODE_AS,
                          ROUTER_AS, balancer.addresses[1],
                          "import none; next hop self; "
                          "export where source ~ [RTS_STATIC, RTS_INHERIT];", bfd)


def session(name, own, other, own_as, other_as, six, rules, bfd):
    return SESSION.format(name=name, own=own, other=other, own_as=own_as, other_as=other_as,
                          six=six, rules=rules, bfd="  bfd on;\n" if bfd else "")


def gateway(address):
    """The router's address in the network of a balancer's."""
    length = 64 if ":" in address else 24
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False)[1])


def ways(lab, vip):
    """The next hops of a VIP in the router's kernel."""
    family = "-6" if ":" in vip else "-4"
    routes = json.loads(run("ip", "-n", lab.router.ns, family, "-j", "route", "show",
                            vip).stdout or "[]")
    return {hop["gateway"] for r in routes for hop in r.get("nexthops", [r]) if "gateway" in hop}
