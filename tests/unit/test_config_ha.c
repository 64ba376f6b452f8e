/* SPDX-License-Identifier: GPL-2.0-only */
/* The `ha` section and `failover`: every error, the defaults, and what good files say. */
#include "config_rows.h"

#define INTERFACE_EXPECTED \
	"expected an interface name: at most 15 characters, no '/', ':' or blank\n"
#define FLIPS_EXPECTED	  "expected 1 to 64 in 1s to 24h, such as 3/10m, or 0 for no limit\n"
#define FILE_EXPECTED	  "expected an absolute path ('/...') of at most 107 bytes\n"
#define PREFIX_EXPECTED	  "expected an IPv4 or IPv6 prefix such as 0.0.0.0/0\n"
#define ONE_EXPECTED	  "expected one of interface, set, route and script"
#define DELAY_EXPECTED	  "expected 0s to 1h with a unit: ms, s, m or h\n"
#define INTERVAL_EXPECTED "expected 10ms to 40s950ms with a unit: ms, s, m or h\n"
#define ACK_EXPECTED	  "expected 10ms to 10s with a unit: ms, s, m or h\n"

/* What follows `ha:` begins on line 9; what stands in an item of a list, at column 12 or 16. */
#define HA(text)       WEB "ha:\n" text
#define PEER(text)     HA("  peers: [{" text "}]\n")
#define TRACK(text)    HA("  track: [{" text "}]\n")
#define FRONT(text)    HA("  instances: [{" text "}]\n")
#define INSTANCE(text) FRONT("name: front, vips: [192.0.2.10], interface: eth0, vrid: 51, " text)

static const struct row section_rows[] = {
	{"no mapping", WEB "ha:\n", "8:4: ha: a single value, expected a mapping (key: value)\n"},
	{"a list", WEB "ha: [peers]\n", "8:5: ha: a list, expected a mapping (key: value)\n"},
	{"nothing in it: allowed", WEB "ha: {}\n", ""},
	{"nothing in it, and a gateway's announcements: allowed",
	 WEB "ha: {instances: []}\nannounce: arp\n", ""},
	{"a misspelt key", HA("  adresses: [10.2.0.10]\n"),
	 "9:3: unknown key 'adresses'; did you mean 'addresses'?\n"},
	{"a key nothing like ours", HA("  colour: blue\n"),
	 "9:3: unknown key 'colour', expected one of secret, addresses, port, ack-timeout, "
	 "fail-safe, max-flips, peers, track, instances\n"},
	{"a key twice", HA("  port: 1\n  port: 2\n"),
	 "10:3: port: the key stands here twice, first on line 9\n"},
	{"secret: relative", HA("  secret: peer.key\n  addresses: [10.2.0.10]\n"),
	 "9:11: secret: 'peer.key' is not valid, " FILE_EXPECTED},
	{"secret: 108 bytes", HA("  secret: /" X64 X44 "\n"),
	 "9:11: secret: '/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...' is too "
	 "long, " FILE_EXPECTED},
	{"secret: a list", HA("  secret: [/a]\n"), "9:11: secret: a list, " FILE_EXPECTED},
	{"a secret without addresses", HA("  secret: /etc/key\n"),
	 "9:3: addresses: the key is missing here: with a secret, the peer channel listens on this "
	 "node's addresses\n"},
	{"no secret, no addresses: allowed", HA("  port: 1\n"), ""},
	{"addresses: no list", HA("  addresses: 10.2.0.10\n"),
	 "9:14: addresses: no list, expected items that begin with '-'\n"},
	{"addresses: none", HA("  addresses: []\n"),
	 "9:14: addresses: a list of 0, expected 1 to 4 items\n"},
	{"addresses: five", HA("  addresses: [10.2.0.1, 10.2.0.2, 10.2.0.3, 10.2.0.4, 10.2.0.5]\n"),
	 "9:14: addresses: a list of 5, expected 1 to 4 items\n"},
	{"addresses: a name, a prefix, multicast, link-local",
	 HA("  addresses: [lb1, 10.2.0.0/24, 224.0.0.18, \"fe80::1\"]\n"),
	 "9:15: addresses: 'lb1' is not an address, " ADDRESS_EXPECTED
	 "9:20: addresses: '10.2.0.0/24' is not an address, " ADDRESS_EXPECTED
	 "9:33: addresses: '224.0.0.18' is multicast, " UNICAST_EXPECTED
	 "9:45: addresses: 'fe80::1' is link-local, " UNICAST_EXPECTED},
	{"addresses: a mapping in the list", HA("  addresses: [{a: b}]\n"),
	 "9:15: addresses: a mapping, " ADDRESS_EXPECTED},
	{"addresses: the same twice, written otherwise",
	 HA("  addresses: [\"fd00::1\", \"FD00:0::1\"]\n"),
	 "9:26: addresses: duplicate node address 'fd00::1', first on line 9\n"},
	{"addresses: a VIP", HA("  addresses: [192.0.2.10]\n"),
	 "9:15: addresses: '192.0.2.10' is a service's address, expected a node's own\n"},
	{"addresses: one in a service's prefix",
	 TOP "services: [{name: a, address: 192.0.2.0/28, port: 80, "
	     "backends: [{name: a, address: 10.0.0.1}]}]\nha: {addresses: [192.0.2.9]}\n",
	 "4:18: addresses: '192.0.2.9' is in a service's prefix, expected one outside of it\n"},
	{"port: zero", HA("  port: 0\n"),
	 "9:9: port: '0' is out of range, expected a number from 1 to 65535\n"},
	{"port: 65536", HA("  port: 65536\n"),
	 "9:9: port: '65536' is out of range, expected a number from 1 to 65535\n"},
	{"ack-timeout: too short", HA("  ack-timeout: 9ms\n"),
	 "9:16: ack-timeout: '9ms' is out of range, " ACK_EXPECTED},
	{"ack-timeout: too long", HA("  ack-timeout: 10s1ms\n"),
	 "9:16: ack-timeout: '10s1ms' is out of range, " ACK_EXPECTED},
	{"ack-timeout: no unit", HA("  ack-timeout: 200\n"),
	 "9:16: ack-timeout: '200' has no unit, " ACK_EXPECTED},
	{"fail-safe: another word for it", HA("  fail-safe: yes\n"),
	 "9:14: fail-safe: 'yes' is unknown, expected true or false\n"},
	{"fail-safe: no value", HA("  fail-safe:\n"),
	 "9:13: fail-safe: no value, expected true or false\n"},
	{"fail-safe: a list", HA("  fail-safe: [true]\n"),
	 "9:14: fail-safe: a list, expected true or false\n"},
	{"max-flips: no duration", HA("  max-flips: 3\n"),
	 "9:14: max-flips: '3' is not a number and a duration, " FLIPS_EXPECTED},
	{"max-flips: an empty duration", HA("  max-flips: 3/\n"),
	 "9:14: max-flips: '3/' is not a number and a duration, " FLIPS_EXPECTED},
	{"max-flips: no number", HA("  max-flips: /10m\n"),
	 "9:14: max-flips: '/10m' is not a number and a duration, " FLIPS_EXPECTED},
	{"max-flips: octal for some", HA("  max-flips: 03/10m\n"),
	 "9:14: max-flips: '03/10m' is not a number and a duration, " FLIPS_EXPECTED},
	{"max-flips: none at all, with a duration", HA("  max-flips: 0/10m\n"),
	 "9:14: max-flips: '0/10m' has a number that is out of range, " FLIPS_EXPECTED},
	{"max-flips: 65", HA("  max-flips: 65/10m\n"),
	 "9:14: max-flips: '65/10m' has a number that is out of range, " FLIPS_EXPECTED},
	{"max-flips: a duration without unit", HA("  max-flips: 3/10\n"),
	 "9:14: max-flips: '3/10' has a duration that is none, " FLIPS_EXPECTED},
	{"max-flips: two slashes", HA("  max-flips: 3/10m/1h\n"),
	 "9:14: max-flips: '3/10m/1h' has a duration that is none, " FLIPS_EXPECTED},
	{"max-flips: a window of nothing", HA("  max-flips: 3/0s\n"),
	 "9:14: max-flips: '3/0s' has a duration that is out of range, " FLIPS_EXPECTED},
	{"max-flips: a window beyond a day", HA("  max-flips: 3/24h1s\n"),
	 "9:14: max-flips: '3/24h1s' has a duration that is out of range, " FLIPS_EXPECTED},
	{"max-flips: part of a second", HA("  max-flips: 3/1s500ms\n"),
	 "9:14: max-flips: '3/1s500ms' has a duration that is no whole number of "
	 "seconds, " FLIPS_EXPECTED},
	{"max-flips: a number beyond 64 bits", HA("  max-flips: 18446744073709551617/10m\n"),
	 "9:14: max-flips: '18446744073709551617/10m' is not a number and a "
	 "duration, " FLIPS_EXPECTED},
	{"max-flips: a list", HA("  max-flips: [3, 10m]\n"),
	 "9:14: max-flips: a list, " FLIPS_EXPECTED},
	{"max-flips: the largest: allowed", HA("  max-flips: 64/24h\n"), ""},
	{"max-flips: no limit: allowed", HA("  max-flips: 0\n"), ""},
};

static const struct row peer_rows[] = {
	{"no list", HA("  peers: lb2\n"),
	 "9:10: peers: no list, expected items that begin with '-', or [] for none\n"},
	{"none: allowed", HA("  peers: []\n"), ""},
	{"four", HA("  peers: [{}, {}, {}, {}]\n"),
	 "9:10: peers: a list of 4, expected 0 to 3 items\n"},
	{"a word in the list", HA("  peers: [lb2]\n"),
	 "9:11: peers: a single value, expected a mapping (key: value)\n"},
	{"an empty mapping", PEER(""),
	 "9:11: name: the key is missing here\n"
	 "9:11: addresses: the key is missing here\n"},
	{"a misspelt key", PEER("name: lb2, addresses: [10.2.0.11], chanel: false"),
	 "9:47: unknown key 'chanel'; did you mean 'channel'?\n"},
	{"a bad name", PEER("name: lb/2, addresses: [10.2.0.11]"),
	 "9:18: name: 'lb/2' is not valid, " NAME_EXPECTED},
	{"addresses: none", PEER("name: lb2, addresses: []"),
	 "9:34: addresses: a list of 0, expected 1 to 4 items\n"},
	{"addresses: not one", PEER("name: lb2, addresses: [lb2.example.org]"),
	 "9:35: addresses: 'lb2.example.org' is not an address, " ADDRESS_EXPECTED},
	{"addresses: five",
	 PEER("name: lb2, addresses: [10.2.0.1, 10.2.0.2, 10.2.0.3, 10.2.0.4, 10.2.0.5]"),
	 "9:34: addresses: a list of 5, expected 1 to 4 items\n"},
	{"addresses: a VIP", PEER("name: lb2, addresses: [192.0.2.10]"),
	 "9:35: addresses: '192.0.2.10' is a service's address, expected a node's own\n"},
	{"channel: no word of ours", PEER("name: lb2, addresses: [10.2.0.11], channel: off"),
	 "9:56: channel: 'off' is unknown, expected true or false\n"},
	{"this node's own name", PEER("name: lb1, addresses: [10.2.0.11]"),
	 "9:18: name: 'lb1' is this node's own name, expected the peer's `node`\n"},
	{"the same name twice",
	 PEER("name: a, addresses: [10.2.0.11]}, {name: a, addresses: [10.2.0.12]"),
	 "9:53: name: duplicate peer name 'a', first on line 9\n"},
	{"an address of two peers",
	 PEER("name: a, addresses: [10.2.0.11]}, {name: b, addresses: [10.2.0.11]"),
	 "9:68: addresses: duplicate node address '10.2.0.11', first on line 9\n"},
	{"an address of this node's own",
	 HA("  addresses: [10.2.0.10]\n  peers: [{name: a, addresses: [10.2.0.10]}]\n"),
	 "10:33: addresses: duplicate node address '10.2.0.10', first on line 9\n"},
	{"no family to connect by",
	 HA("  secret: /etc/key\n  addresses: [10.2.0.10]\n  peers: [{name: a, addresses: "
	    "[\"fd00::1\"]}]\n"),
	 "11:11: peers: peer 'a' has IPv6 addresses only, expected one of a family that this "
	 "node's `addresses` have\n"},
	{"no family to connect by, the other way",
	 HA("  secret: /etc/key\n  addresses: [\"fd00::1\"]\n  peers: [{name: a, addresses: "
	    "[10.2.0.11]}]\n"),
	 "11:11: peers: peer 'a' has IPv4 addresses only, expected one of a family that this "
	 "node's `addresses` have\n"},
	{"one of two families to connect by: allowed",
	 HA("  secret: /etc/key\n  addresses: [10.2.0.10]\n  peers: [{name: a, addresses: "
	    "[\"fd00::1\", 10.2.0.11]}]\n"),
	 ""},
	{"no family to connect by, but nothing is to be connected: allowed",
	 HA("  secret: /etc/key\n  addresses: [10.2.0.10]\n  peers: [{name: a, addresses: "
	    "[\"fd00::1\"], channel: false}]\n"),
	 ""},
	{"no error about the family of an address that is none",
	 HA("  secret: /etc/key\n  addresses: [10.2.0.1o]\n  peers: [{name: a, addresses: "
	    "[\"fd00::1\"]}]\n"),
	 "10:15: addresses: '10.2.0.1o' is not an address, " ADDRESS_EXPECTED},
};

static const struct row track_rows[] = {
	{"no list", HA("  track: eth1\n"),
	 "9:10: track: no list, expected items that begin with '-', or [] for none\n"},
	{"none: allowed", HA("  track: []\n"), ""},
	{"seventeen",
	 HA("  track: [{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}]\n"),
	 "9:10: track: a list of 17, expected 0 to 16 items\n"},
	{"a word in the list", HA("  track: [eth1]\n"),
	 "9:11: track: a single value, expected a mapping (key: value)\n"},
	{"nothing to track", TRACK(""), "9:11: track: nothing to track, " ONE_EXPECTED "\n"},
	{"a misspelt key", TRACK("interfce: eth1"),
	 "9:12: unknown key 'interfce'; did you mean 'interface'?\n"},
	{"a bad interface", TRACK("interface: eth/1"),
	 "9:23: interface: 'eth/1' is not valid, " INTERFACE_EXPECTED},
	{"two in one item", TRACK("interface: eth1, route: 0.0.0.0/0"),
	 "9:36: route: stands beside 'interface', " ONE_EXPECTED " in an item\n"},
	{"a set beside an interface", TRACK("interface: eth1, set: uplinks, interfaces: [eth2]"),
	 "9:34: set: stands beside 'interface', " ONE_EXPECTED " in an item\n"
	 "9:55: interfaces: has no meaning without set, expected set: NAME\n"},
	{"all four",
	 TRACK("interface: eth1, set: a, interfaces: [eth2], route: 0.0.0.0/0, script: /bin/true"),
	 "9:34: set: stands beside 'interface', " ONE_EXPECTED " in an item\n"
	 "9:49: interfaces: has no meaning without set, expected set: NAME\n"
	 "9:64: route: stands beside 'interface', " ONE_EXPECTED " in an item\n"
	 "9:83: script: stands beside 'interface', " ONE_EXPECTED " in an item\n"},
	{"members without a set", TRACK("interfaces: [eth1, eth2]"),
	 "9:24: interfaces: has no meaning without set, expected set: NAME\n"},
	{"a set without members", TRACK("set: uplinks"),
	 "9:11: interfaces: the key is missing here\n"},
	{"a set: no members in it", TRACK("set: uplinks, interfaces: []"),
	 "9:38: interfaces: a list of 0, expected 1 to 8 items\n"},
	{"a set: nine members", TRACK("set: uplinks, interfaces: [a, b, c, d, e, f, g, h, i]"),
	 "9:38: interfaces: a list of 9, expected 1 to 8 items\n"},
	{"a set: a bad member", TRACK("set: uplinks, interfaces: [eth1, \"eth:2\"]"),
	 "9:45: interfaces: 'eth:2' is not valid, " INTERFACE_EXPECTED},
	{"a set: a member twice", TRACK("set: uplinks, interfaces: [eth1, eth2, eth1, eth1]"),
	 "9:51: interfaces: 'eth1' stands here twice, expected each interface once\n"
	 "9:57: interfaces: 'eth1' stands here twice, expected each interface once\n"},
	{"a set: a bad name", TRACK("set: up links, interfaces: [eth1]"),
	 "9:17: set: 'up links' is not valid, " NAME_EXPECTED},
	{"two sets of one name", TRACK("set: a, interfaces: [eth1]}, {set: a, interfaces: [eth2]"),
	 "9:47: set: duplicate set 'a', first on line 9\n"},
	{"a route: host bits", TRACK("route: 10.0.0.1/8"),
	 "9:19: route: '10.0.0.1/8' is not a prefix (bits beyond it are zero), " PREFIX_EXPECTED},
	{"a route: a name", TRACK("route: default"),
	 "9:19: route: 'default' is not a prefix (bits beyond it are zero), " PREFIX_EXPECTED},
	{"a route: too long", TRACK("route: 10.0.0.0/33"),
	 "9:19: route: '10.0.0.0/33' is not a prefix (bits beyond it are zero), " PREFIX_EXPECTED},
	{"a route: no value", TRACK("route: "), "9:19: route: no value, " PREFIX_EXPECTED},
	{"a script: relative", TRACK("script: check-db"),
	 "9:20: script: 'check-db' is not valid, expected an absolute path ('/...') of at most 255 "
	 "bytes\n"},
	{"a script: 256 bytes", TRACK("script: /" X64 X64 X64 X64),
	 "9:20: script: '/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...' is too long, expected an "
	 "absolute path ('/...') of at most 255 bytes\n"},
	{"script keys without a script",
	 TRACK("route: 0.0.0.0/0, interval: 1s, timeout: 1s, rise: 1, fall: 1"),
	 "9:40: interval: has no meaning without script, expected script: PATH\n"
	 "9:53: timeout: has no meaning without script, expected script: PATH\n"
	 "9:63: rise: has no meaning without script, expected script: PATH\n"
	 "9:72: fall: has no meaning without script, expected script: PATH\n"},
	{"script: interval out of range", TRACK("script: /bin/true, interval: 99ms"),
	 "9:41: interval: '99ms' is out of range, expected 100ms to 1h with a unit: ms, s, m or "
	 "h\n"},
	{"script: timeout longer than the interval",
	 TRACK("script: /bin/true, interval: 1s, timeout: 2s"),
	 "9:54: timeout: '2s' is longer than the interval, expected at most the interval: runs of "
	 "one script do not overlap\n"},
	{"script: timeout longer than the default interval",
	 TRACK("script: /bin/true, timeout: 6s"),
	 "9:40: timeout: '6s' is longer than the interval, expected at most the interval: runs of "
	 "one script do not overlap\n"},
	{"script: rise and fall out of range", TRACK("script: /bin/true, rise: 0, fall: 101"),
	 "9:37: rise: '0' is out of range, expected a number from 1 to 100\n"
	 "9:46: fall: '101' is out of range, expected a number from 1 to 100\n"},
};

static const struct row instance_rows[] = {
	{"no list", HA("  instances: front\n"),
	 "9:14: instances: no list, expected items that begin with '-', or [] for none\n"},
	{"none: allowed", HA("  instances: []\n"), ""},
	{"seventeen",
	 HA("  instances: [{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}]\n"),
	 "9:14: instances: a list of 17, expected 0 to 16 items\n"},
	{"a word in the list", HA("  instances: [front]\n"),
	 "9:15: instances: a single value, expected a mapping (key: value)\n"},
	{"an empty mapping", HA("  instances: [{}]\n"),
	 "9:15: name: the key is missing here\n"
	 "9:15: vips: the key is missing here\n"
	 "9:15: interface: the key is missing here\n"
	 "9:15: vrid: the key is missing here\n"},
	{"all that is needed", INSTANCE(""), ""},
	{"a misspelt key", INSTANCE("prioritty: 100"),
	 "9:76: unknown key 'prioritty'; did you mean 'priority'?\n"},
	{"a key nothing like ours", INSTANCE("colour: blue"),
	 "9:76: unknown key 'colour', expected one of name, vips, announce, active, interface, "
	 "unicast, heartbeat, vrid, priority, interval, preempt, preempt-delay, checksum\n"},
	{"a bad name", FRONT("name: f/1, vips: [192.0.2.10], interface: eth0, vrid: 51"),
	 "9:22: name: 'f/1' is not valid, " NAME_EXPECTED},
	{"vips: none", FRONT("name: f, vips: [], interface: eth0, vrid: 51"),
	 "9:31: vips: a list of 0, expected 1 to 64 items\n"},
	{"vips: a name", FRONT("name: f, vips: [web], interface: eth0, vrid: 51"),
	 "9:32: vips: 'web' is not an address, " ADDRESS_EXPECTED},
	{"vips: no service's address",
	 FRONT("name: f, vips: [192.0.2.10, 192.0.2.99], interface: eth0, vrid: 51"),
	 "9:44: vips: '192.0.2.99' is no service's address, expected one of those in `services`\n"},
	{"vips: one in a service's prefix",
	 TOP "services: [{name: a, address: [192.0.2.10, 198.51.100.0/28], port: 80, "
	     "backends: [{name: a, address: 10.0.0.1}]}]\n"
	     "ha: {instances: [{name: f, vips: [192.0.2.10, 198.51.100.15], interface: eth0, "
	     "vrid: 51}]}\n",
	 "4:47: vips: '198.51.100.15' is only in a service's prefix, expected it beside the "
	 "prefix\n"},
	{"vips: one beside the prefix that it is in: allowed",
	 TOP "services: [{name: a, address: [198.51.100.15, 198.51.100.0/28], port: 80, "
	     "backends: [{name: a, address: 10.0.0.1}]}]\n"
	     "ha: {instances: [{name: f, vips: [198.51.100.15], interface: eth0, vrid: 51}]}\n",
	 ""},
	{"vips: a service's second address: allowed",
	 TOP "services: [{name: a, address: [192.0.2.9, 192.0.2.10], port: 80, "
	     "backends: [{name: a, address: 10.0.0.1}]}]\n"
	     "ha: {instances: [{name: f, vips: [192.0.2.10], interface: eth0, vrid: 51}]}\n",
	 ""},
	{"vips: no service at all",
	 TOP SERVICES
	 "ha: {instances: [{name: f, vips: [192.0.2.10], interface: eth0, vrid: 51}]}\n",
	 "4:35: vips: '192.0.2.10' is no service's address, expected one of those in `services`\n"},
	{"vips: no error about one while another address of a service is bad",
	 TOP
	 "services: [{name: a, address: [192.0.2.9, 192.0.2.1o], port: 80, backends: [{name: a, "
	 "address: 10.0.0.1}]}]\nha: {instances: [{name: f, vips: [192.0.2.10], interface: "
	 "eth0, vrid: 51}]}\n",
	 "3:43: address: '192.0.2.1o' is not an address, " VIP_EXPECTED},
	{"vips: no error about one whose service has a bad address",
	 TOP "services: [{name: a, address: 192.0.2.1o, port: 80, backends: [{name: a, address: "
	     "10.0.0.1}]}]\nha: {instances: [{name: f, vips: [192.0.2.10], interface: eth0, vrid: "
	     "51}]}\n",
	 "3:31: address: '192.0.2.1o' is not an address, " VIP_EXPECTED},
	{"vips: one twice in an instance",
	 FRONT("name: f, vips: [192.0.2.10, 192.0.2.10], interface: eth0, vrid: 51"),
	 "9:44: vips: duplicate VIP of an instance '192.0.2.10', first on line 9\n"},
	{"name, VIP and vrid of two instances",
	 INSTANCE("}, {name: front, vips: [192.0.2.10], interface: eth0, vrid: 51"),
	 "9:86: name: duplicate instance name 'front', first on line 9\n"
	 "9:100: vips: duplicate VIP of an instance '192.0.2.10', first on line 9\n"
	 "9:136: vrid: duplicate vrid '51', first on line 9\n"},
	{"announcements of instances and of a gateway", INSTANCE("") "announce: arp\n",
	 "10:11: announce: 'arp' cannot stand beside ha: instances, which announce their own VIPs, "
	 "expected none; or the VIPs in an instance\n"},
	{"announcements of instances only: allowed", INSTANCE("") "announce: none\n", ""},
	{"announce: unknown", INSTANCE("announce: bgp"),
	 "9:86: announce: 'bgp' is unknown, expected arp, vmac or route\n"},
	{"active: unknown", INSTANCE("active: both"),
	 "9:84: active: 'both' is unknown, expected one or all\n"},
	{"active: all, by ARP", INSTANCE("active: all"),
	 "9:84: active: 'all' gives several nodes an address that ARP can place on one only, "
	 "expected one, or announce: route\n"},
	{"active: all, by a virtual MAC", INSTANCE("announce: vmac, active: all"),
	 "9:100: active: 'all' gives several nodes an address that ARP can place on one only, "
	 "expected one, or announce: route\n"},
	{"active: all, by routes: allowed", INSTANCE("announce: route, active: all"), ""},
	{"active: one, by ARP: allowed", INSTANCE("active: one"), ""},
	{"active: no second error after a misspelt announce",
	 INSTANCE("announce: rout, active: all"),
	 "9:86: announce: 'rout' is unknown, expected arp, vmac or route\n"},
	{"interface: too long",
	 FRONT("name: f, vips: [192.0.2.10], interface: abcdefghijklmnop, vrid: 51"),
	 "9:56: interface: 'abcdefghijklmnop' is too long, " INTERFACE_EXPECTED},
	{"interface: not one of ours",
	 FRONT("name: f, vips: [192.0.2.10], interface: eth1, vrid: 51"),
	 "9:56: interface: 'eth1' is not in the file's `interfaces`, expected one of those, or "
	 "announce: route\n"},
	{"interface: not one of ours, by routes: allowed",
	 FRONT("name: f, vips: [192.0.2.10], interface: eth1, vrid: 51, announce: route"), ""},
	{"interface: no second error after a misspelt interface",
	 "node: lb1\ninterfaces: [{name: eth/1}]\n" SERVICES
	 "ha: {instances: [{name: f, vips: [192.0.2.10x], interface: eth1, vrid: 51}]}\n",
	 "2:21: name: 'eth/1' is not valid, " INTERFACE_EXPECTED
	 "4:35: vips: '192.0.2.10x' is not an address, " ADDRESS_EXPECTED},
	{"unicast: a number", INSTANCE("unicast: 1"),
	 "9:85: unicast: '1' is unknown, expected true or false\n"},
	{"unicast: to nobody", INSTANCE("unicast: true"),
	 "9:85: unicast: 'true' has nobody to send adverts to, expected `peers` with their "
	 "addresses\n"},
	{"unicast: a peer without the family",
	 WEB6 "ha:\n  peers: [{name: a, addresses: [\"fd00::2\"]}, {name: b, addresses: "
	      "[10.2.0.11]}]\n  instances: [{name: f, vips: [\"2001:db8::10\"], interface: eth0, "
	      "vrid: 51, unicast: true}]\n",
	 "10:85: unicast: peer 'b' has no IPv6 address, expected one for the adverts of "
	 "2001:db8::10\n"},
	{"unicast: a peer without the family, IPv4",
	 HA("  peers: [{name: a, addresses: [\"fd00::2\"]}]\n  instances: [{name: f, vips: "
	    "[192.0.2.10], interface: eth0, vrid: 51, unicast: true}]\n"),
	 "10:81: unicast: peer 'a' has no IPv4 address, expected one for the adverts of "
	 "192.0.2.10\n"},
	{"unicast: to a peer of the family: allowed",
	 HA("  peers: [{name: a, addresses: [10.2.0.11]}]\n  instances: [{name: f, vips: "
	    "[192.0.2.10], interface: eth0, vrid: 51, unicast: true}]\n"),
	 ""},
	{"heartbeat: no list", INSTANCE("heartbeat: eth1"),
	 "9:87: heartbeat: no list, expected items that begin with '-', or [] for none\n"},
	{"heartbeat: nine", INSTANCE("heartbeat: [a, b, c, d, e, f, g, h, i]"),
	 "9:87: heartbeat: a list of 9, expected 0 to 8 items\n"},
	{"heartbeat: the interface itself", INSTANCE("heartbeat: [eth1, eth0]"),
	 "9:94: heartbeat: 'eth0' is the instance's interface, which has its adverts, expected a "
	 "further interface\n"},
	{"heartbeat: one twice", INSTANCE("heartbeat: [eth1, eth1]"),
	 "9:94: heartbeat: 'eth1' stands here twice, expected each interface once\n"},
	{"heartbeat: with unicast",
	 HA("  peers: [{name: a, addresses: [10.2.0.11]}]\n  instances: [{name: f, vips: "
	    "[192.0.2.10], interface: eth0, vrid: 51, unicast: true, heartbeat: [eth1]}]\n"),
	 "10:98: heartbeat: has no meaning with unicast: true, expected adverts by multicast "
	 "(unicast: false)\n"},
	{"vrid: zero", FRONT("name: f, vips: [192.0.2.10], interface: eth0, vrid: 0"),
	 "9:68: vrid: '0' is out of range, expected a number from 1 to 255\n"},
	{"vrid: 256", FRONT("name: f, vips: [192.0.2.10], interface: eth0, vrid: 256"),
	 "9:68: vrid: '256' is out of range, expected a number from 1 to 255\n"},
	{"vrid: 1 is not 257",
	 FRONT("name: f, vips: [192.0.2.10], interface: eth0, vrid: 257}, {name: g, vips: "
	       "[192.0.2.10], interface: eth0, vrid: 1"),
	 "9:68: vrid: '257' is out of range, expected a number from 1 to 255\n"
	 "9:91: vips: duplicate VIP of an instance '192.0.2.10', first on line 9\n"},
	{"priority: zero resigns", INSTANCE("priority: 0"),
	 "9:86: priority: '0' is out of range, expected a number from 1 to 254\n"},
	{"priority: 255 is the owner's", INSTANCE("priority: 255"),
	 "9:86: priority: '255' is out of range, expected a number from 1 to 254\n"},
	{"interval: too short", INSTANCE("interval: 5ms"),
	 "9:86: interval: '5ms' is out of range, " INTERVAL_EXPECTED},
	{"interval: beyond 12 bits", INSTANCE("interval: 40960ms"),
	 "9:86: interval: '40960ms' is out of range, " INTERVAL_EXPECTED},
	{"interval: between two steps", INSTANCE("interval: 105ms"),
	 "9:86: interval: '105ms' is no multiple of 10ms, expected 10ms to 40s950ms in steps of "
	 "10ms, as VRRP counts\n"},
	{"interval: the longest: allowed", INSTANCE("interval: 40s950ms"), ""},
	{"preempt: unknown", INSTANCE("preempt: never"),
	 "9:85: preempt: 'never' is unknown, expected true or false\n"},
	{"preempt-delay: too long", INSTANCE("preempt-delay: 1h1ms"),
	 "9:91: preempt-delay: '1h1ms' is out of range, " DELAY_EXPECTED},
	{"preempt-delay: zero without unit", INSTANCE("preempt-delay: 0"),
	 "9:91: preempt-delay: '0' has no unit, " DELAY_EXPECTED},
	{"preempt-delay: without preempt", INSTANCE("preempt: false, preempt-delay: 5s"),
	 "9:107: preempt-delay: has no meaning with preempt: false, expected preempt: true\n"},
	{"checksum: unknown", INSTANCE("checksum: rfc5798"),
	 "9:86: checksum: 'rfc5798' is unknown, expected rfc or keepalived\n"},
};

static const struct row failover_rows[] = {
	{"unknown", WEB "    failover: full\n",
	 "8:15: failover: 'full' is unknown, expected stateful, stateless or none\n"},
	{"a list", WEB "    failover: [none]\n",
	 "8:15: failover: a list, expected stateful, stateless or none\n"},
	{"stateful, and nothing stored", WEB "    tracking: none\n    failover: stateful\n",
	 "9:15: failover: 'stateful' has nothing to mirror with tracking: none, which stores no "
	 "flow, expected stateless, or another tracking\n"},
	{"stateless, and nothing stored: allowed",
	 WEB "    tracking: none\n    failover: stateless\n", ""},
	{"none, and not all stored", WEB "    failover: none\n",
	 "8:15: failover: 'none' would reset every flow that tracking does not store, expected "
	 "tracking: full beside it, which stores all\n"},
	{"none, and nothing stored", WEB "    tracking: none\n    failover: none\n",
	 "9:15: failover: 'none' would reset every flow that tracking does not store, expected "
	 "tracking: full beside it, which stores all\n"},
	{"none, and all stored: allowed", WEB "    failover: none\n    tracking: full\n", ""},
	{"none, of UDP, which is stored as a rule: allowed",
	 WEB "    protocol: udp\n    failover: none\n", ""},
	{"no second error after a misspelt tracking", WEB "    tracking: ful\n    failover: none\n",
	 "8:15: tracking: 'ful' is unknown, expected just-enough, full or none\n"},
};

ROWS_TEST(section)
ROWS_TEST(peer)
ROWS_TEST(track)
ROWS_TEST(instance)
ROWS_TEST(failover)

/* --- what good files say --------------------------------------------------------------------- */
static void test_no_section(void **state)
{
	struct ek_config *config = good(WEB);

	(void)state;
	assert_false(config->ha.enabled);
	assert_int_equal(config->ha.n_instances, 0);
	assert_int_equal(config->services[0].failover, EK_FAILOVER_STATEFUL);
	ek_config_free(config);
}

static void test_defaults(void **state)
{
	struct ek_config *config = good(
		HA("  peers: [{name: lb2, addresses: [10.2.0.11]}]\n"
		   "  track: [{script: /bin/true}, {script: /bin/true, interval: 1s}]\n"
		   "  instances: [{name: f, vips: [192.0.2.10], interface: eth0, vrid: 1}]\n"));
	const struct ek_config_ha *ha = &config->ha;
	const struct ek_config_instance *f = &ha->instances[0];

	(void)state;
	assert_true(ha->enabled);
	assert_string_equal(ha->secret, "");
	assert_int_equal(ha->n_addresses, 0);
	assert_int_equal(ha->port, 6480);
	assert_int_equal(ha->ack_timeout, 200);
	assert_false(ha->fail_safe);
	assert_int_equal(ha->max_flips, 0);
	assert_int_equal(ha->flip_window, 0);
	assert_true(ha->peers[0].channel);
	assert_int_equal(ha->peers[0].line, 9);
	assert_int_equal(ha->tracks[0].interval, 5000);
	assert_int_equal(ha->tracks[0].timeout, 3000);
	assert_int_equal(ha->tracks[0].rise, 2);
	assert_int_equal(ha->tracks[0].fall, 2);
	assert_int_equal(ha->tracks[1].timeout, 1000);
	assert_int_equal(f->priority, 100);
	assert_int_equal(f->interval, 100);
	assert_true(f->preempt);
	assert_int_equal(f->preempt_delay, 0);
	assert_int_equal(f->announce, EK_ANNOUNCE_ARP);
	assert_false(f->all_active);
	assert_false(f->unicast);
	assert_false(f->pseudo_header);
	assert_int_equal(f->n_heartbeats, 0);
	ek_config_free(config);
}

/* Keys in another order than the tables': the order of the file says nothing. */
#define EVERYTHING                                                                              \
	"ha:\n"                                                                                 \
	"  instances:\n"                                                                        \
	"    - name: front\n"                                                                   \
	"      interface: eth0\n"                                                               \
	"      heartbeat: [eth1, eth2]\n"                                                       \
	"      vrid: 255\n"                                                                     \
	"      priority: 254\n"                                                                 \
	"      interval: 40s950ms\n"                                                            \
	"      preempt-delay: 1m30s\n"                                                          \
	"      preempt: true\n"                                                                 \
	"      announce: vmac\n"                                                                \
	"      active: one\n"                                                                   \
	"      checksum: keepalived\n"                                                          \
	"      vips: [192.0.2.10]\n"                                                            \
	"    - {name: routed, active: all, unicast: true, interface: eth9, vrid: 1, priority: " \
	"1,\n"                                                                                  \
	"       interval: 10ms, preempt: false, announce: route, vips: [192.0.2.20, "           \
	"192.0.2.30]}\n"                                                                        \
	"  track:\n"                                                                            \
	"    - {interface: eth1}\n"                                                             \
	"    - {interfaces: [eth2, eth3.100], set: uplinks}\n"                                  \
	"    - {route: 0.0.0.0/0}\n"                                                            \
	"    - {route: \"::/0\"}\n"                                                             \
	"    - {route: \"2001:db8::/32\"}\n"                                                    \
	"    - {timeout: 1s500ms, interval: 2s, rise: 3, fall: 1, script: /srv/check db}\n"     \
	"  peers:\n"                                                                            \
	"    - {name: lb2, addresses: [10.2.0.11, \"fd00:2::11\"], channel: true}\n"            \
	"    - {name: old, addresses: [10.2.0.12], channel: false}\n"                           \
	"  max-flips: 3/10m\n"                                                                  \
	"  fail-safe: true\n"                                                                   \
	"  ack-timeout: 10s\n"                                                                  \
	"  port: 65535\n"                                                                       \
	"  addresses: [10.2.0.10, \"fd00:2::10\"]\n"                                            \
	"  secret: /etc/evenkeel/peer.key\n"                                                    \
	"interfaces: [{name: eth0}]\n"                                                          \
	"node: lb1\n"                                                                           \
	"services:\n"                                                                           \
	"  - {name: a, address: 192.0.2.10, port: 80, tracking: none,\n"                        \
	"     backends: [{name: web1, address: 10.0.0.1}]}\n"                                   \
	"  - {name: b, address: 192.0.2.20, port: 80, failover: none, tracking: full,\n"        \
	"     backends: [{name: web1, address: 10.0.0.1}]}\n"                                   \
	"  - {name: c, address: 192.0.2.30, port: 80, failover: stateless,\n"                   \
	"     backends: [{name: web1, address: 10.0.0.1}]}\n"

static void test_whole_section(void **state)
{
	struct ek_config *config = good(EVERYTHING);
	const struct ek_config_ha *ha = &config->ha;

	(void)state;
	assert_string_equal(ha->secret, "/etc/evenkeel/peer.key");
	assert_int_equal(ha->n_addresses, 2);
	assert_address(&ha->addresses[0], "10.2.0.10");
	assert_address(&ha->addresses[1], "fd00:2::10");
	assert_int_equal(ha->port, 65535);
	assert_int_equal(ha->ack_timeout, 10000);
	assert_true(ha->fail_safe);
	assert_int_equal(ha->max_flips, 3);
	assert_int_equal(ha->flip_window, 600);
	assert_int_equal(ha->n_peers, 2);
	assert_string_equal(ha->peers[0].name, "lb2");
	assert_int_equal(ha->peers[0].n_addresses, 2);
	assert_address(&ha->peers[0].addresses[1], "fd00:2::11");
	assert_true(ha->peers[0].channel);
	assert_string_equal(ha->peers[1].name, "old");
	assert_int_equal(ha->peers[1].n_addresses, 1);
	assert_false(ha->peers[1].channel);
	assert_int_equal(config->services[0].failover, EK_FAILOVER_STATELESS);
	assert_int_equal(config->services[1].failover, EK_FAILOVER_NONE);
	assert_int_equal(config->services[2].failover, EK_FAILOVER_STATELESS);
	ek_config_free(config);
}

static void test_tracks(void **state)
{
	struct ek_config *config = good(EVERYTHING);
	const struct ek_config_track *tracks = config->ha.tracks;

	(void)state;
	assert_int_equal(config->ha.n_tracks, 6);
	assert_int_equal(tracks[0].kind, EK_TRACK_INTERFACES);
	assert_string_equal(tracks[0].name, "eth1");
	assert_int_equal(tracks[0].n_interfaces, 1);
	assert_string_equal(tracks[0].interfaces[0], "eth1");
	assert_int_equal(tracks[1].kind, EK_TRACK_INTERFACES);
	assert_string_equal(tracks[1].name, "uplinks");
	assert_int_equal(tracks[1].n_interfaces, 2);
	assert_string_equal(tracks[1].interfaces[1], "eth3.100");
	assert_int_equal(tracks[2].kind, EK_TRACK_ROUTE);
	assert_string_equal(tracks[2].name, "0.0.0.0/0");
	assert_address(&tracks[2].prefix, "0.0.0.0");
	assert_int_equal(tracks[2].prefix_length, 0);
	assert_string_equal(tracks[3].name, "::/0");
	assert_address(&tracks[3].prefix, "::");
	assert_string_equal(tracks[4].name, "2001:db8::/32");
	assert_int_equal(tracks[4].prefix_length, 32);
	assert_int_equal(tracks[5].kind, EK_TRACK_SCRIPT);
	assert_string_equal(tracks[5].name, "/srv/check db");
	assert_string_equal(tracks[5].command, "/srv/check db");
	assert_int_equal(tracks[5].interval, 2000);
	assert_int_equal(tracks[5].timeout, 1500);
	assert_int_equal(tracks[5].rise, 3);
	assert_int_equal(tracks[5].fall, 1);
	assert_int_equal(tracks[5].line, 23);
	ek_config_free(config);
}

static void test_instances(void **state)
{
	struct ek_config *config = good(EVERYTHING);
	const struct ek_config_instance *front = &config->ha.instances[0], *routed = front + 1;

	(void)state;
	assert_int_equal(config->ha.n_instances, 2);
	assert_string_equal(front->name, "front");
	assert_string_equal(front->interface, "eth0");
	assert_int_equal(front->n_heartbeats, 2);
	assert_string_equal(front->heartbeats[1], "eth2");
	assert_int_equal(front->vrid, 255);
	assert_int_equal(front->priority, 254);
	assert_int_equal(front->interval, 40950);
	assert_true(front->preempt);
	assert_int_equal(front->preempt_delay, 90000);
	assert_int_equal(front->announce, EK_ANNOUNCE_VMAC);
	assert_false(front->all_active);
	assert_false(front->unicast);
	assert_true(front->pseudo_header);
	assert_int_equal(front->n_vips, 1);
	assert_address(&front->vips[0], "192.0.2.10");
	assert_int_equal(front->line, 3);
	assert_string_equal(routed->interface, "eth9");
	assert_int_equal(routed->vrid, 1);
	assert_int_equal(routed->priority, 1);
	assert_int_equal(routed->interval, 10);
	assert_false(routed->preempt);
	assert_int_equal(routed->announce, EK_ANNOUNCE_ROUTE);
	assert_true(routed->all_active);
	assert_true(routed->unicast);
	assert_int_equal(routed->n_vips, 2);
	ek_config_free(config);
}

/* A script's path may be longer than a name for people is. */
static void test_long_script(void **state)
{
	struct ek_config *config = good(TRACK("script: /" X64 X64));
	const struct ek_config_track *track = &config->ha.tracks[0];

	(void)state;
	assert_int_equal(strlen(track->command), 129);
	assert_int_equal(strlen(track->name), EK_NAME_MAX);
	ek_config_free(config);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(ek_failover_name(EK_FAILOVER_STATEFUL), "stateful");
	assert_string_equal(ek_failover_name(EK_FAILOVER_NONE), "none");
	assert_string_equal(ek_announce_name(EK_ANNOUNCE_ARP), "arp");
	assert_string_equal(ek_announce_name(EK_ANNOUNCE_ROUTE), "route");
	assert_string_equal(ek_announce_name(7), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_section),	    cmocka_unit_test(test_peer),
		cmocka_unit_test(test_track),	    cmocka_unit_test(test_instance),
		cmocka_unit_test(test_failover),    cmocka_unit_test(test_no_section),
		cmocka_unit_test(test_defaults),    cmocka_unit_test(test_whole_section),
		cmocka_unit_test(test_tracks),	    cmocka_unit_test(test_instances),
		cmocka_unit_test(test_long_script), cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("config_ha", tests, NULL, NULL);
}
