/* SPDX-License-Identifier: GPL-2.0-only */
/* Services and backends: every key, what depends on another one, and what must be unique. */
#include "config_rows.h"

#define SECONDS_EXPECTED "expected 1s to 3h with a unit: s, m or h\n"
#define PREFIX_EXPECTED	 "expected an IPv4 prefix of /8 to /31 or an IPv6 prefix of /96 to /127\n"
#define BACKEND(text)	 WEB_HEAD "    backends: [{" text "}]\n"
#define WEB64		 WEB_HEAD "    backends: [{name: web1, address: \"fd00::1\"}]\n"

static const struct row service_rows[] = {
	{"an empty mapping", TOP "services: [{}]\n",
	 "3:12: name: the key is missing here\n"
	 "3:12: address: the key is missing here\n"
	 "3:12: port: the key is missing here\n"
	 "3:12: backends: the key is missing here\n"},
	{"a misspelt key", WEB "    adress: 192.0.2.11\n",
	 "8:5: unknown key 'adress'; did you mean 'address'?\n"},
	{"a key of a later version", WEB "    sorry: {address: 10.0.0.9}\n",
	 "8:5: unknown key 'sorry', expected one of name, address, protocol, port, forward, tos, "
	 "gue, mss, method, hash-prefix4, hash-prefix6, tracking, failover, timeouts, health, "
	 "backends, outer-source\n"},
	{"a key twice", WEB "    port: 81\n",
	 "8:5: port: the key stands here twice, first on line 6\n"},
	{"protocol: unknown", WEB "    protocol: sctp\n",
	 "8:15: protocol: 'sctp' is unknown, expected tcp, udp, tcp+udp or any\n"},
	{"forward: unknown", WEB "    forward: nat\n",
	 "8:14: forward: 'nat' is unknown, expected ipip, gue, tos, l2 or local\n"},
	{"method: unknown", WEB "    method: random\n",
	 "8:13: method: 'random' is unknown, expected maglev or source-hash\n"},
	{"method: planned", WEB "    method: priority\n",
	 "8:13: method: 'priority' is not supported yet by this version, expected maglev or "
	 "source-hash\n"},
	{"tracking: no handshake to tell new flows by",
	 WEB "    protocol: udp\n    tracking: just-enough\n",
	 "9:15: tracking: 'just-enough' cannot keep its promise for udp, which has no handshake, "
	 "expected full or none\n"},
	{"tracking: the same beside tcp", WEB "    protocol: tcp+udp\n    tracking: just-enough\n",
	 "9:15: tracking: 'just-enough' cannot keep its promise for udp, which has no handshake, "
	 "expected full or none\n"},
	{"tracking: unknown", WEB "    tracking: some\n",
	 "8:15: tracking: 'some' is unknown, expected just-enough, full or none\n"},
	{"hash prefixes: without source-hash", WEB "    hash-prefix4: 24\n    hash-prefix6: 64\n",
	 "8:19: hash-prefix4: has no meaning with method: maglev, expected method: source-hash\n"
	 "9:19: hash-prefix6: has no meaning with method: maglev, expected method: source-hash\n"},
	{"hash prefixes: no second error after a misspelt method",
	 WEB "    hash-prefix4: 24\n    method: source-hsh\n",
	 "9:13: method: 'source-hsh' is unknown, expected maglev or source-hash\n"},
	{"hash prefixes: out of range",
	 WEB "    method: source-hash\n    hash-prefix4: 33\n    hash-prefix6: 0\n",
	 "9:19: hash-prefix4: '33' is out of range, expected a number from 1 to 32\n"
	 "10:19: hash-prefix6: '0' is out of range, expected a number from 1 to 128\n"},
	{"timeouts: unknown key", WEB "    timeouts: {idle: 1h}\n",
	 "8:16: unknown key 'idle', expected one of established, embryonic, closing, udp\n"},
	{"timeouts: bare number", WEB "    timeouts: {udp: 30}\n",
	 "8:21: udp: '30' has no unit, " SECONDS_EXPECTED},
	{"timeouts: beyond three hours", WEB "    timeouts: {established: 3h1s}\n",
	 "8:29: established: '3h1s' is out of range, " SECONDS_EXPECTED},
	{"timeouts: zero", WEB "    timeouts: {closing: 0s}\n",
	 "8:25: closing: '0s' is out of range, " SECONDS_EXPECTED},
	{"timeouts: part of a second", WEB "    timeouts: {embryonic: 1s500ms}\n",
	 "8:27: embryonic: '1s500ms' is no whole number of seconds, " SECONDS_EXPECTED},
	{"the same name twice",
	 WEB "  - {name: web, address: 192.0.2.10, port: 81, "
	     "backends: [{name: a, address: 10.0.0.1}]}\n",
	 "8:12: name: duplicate service name 'web', first on line 4\n"},
	{"the same address, port and protocol twice, written otherwise",
	 WEB6 "  - {name: b, address: \"2001:DB8:0::10\", port: 80, protocol: tcp, "
	      "backends: [{name: a, address: \"fd00::1\"}]}\n",
	 "8:5: address: duplicate service '2001:db8::10 port 80 tcp', first on line 4\n"},
	{"the same address and port, other protocol: allowed",
	 WEB "  - {name: b, address: 192.0.2.10, port: 80, protocol: udp, "
	     "backends: [{name: a, address: 10.0.0.1}]}\n",
	 ""},
	{"three times the same name: two errors that tell of the first",
	 TOP
	 "services:\n"
	 "  - {name: a, address: 192.0.2.1, port: 1, backends: [{name: a, address: 10.0.0.1}]}\n"
	 "  - {name: a, address: 192.0.2.1, port: 2, backends: [{name: a, address: 10.0.0.1}]}\n"
	 "  - {name: a, address: 192.0.2.1, port: 3, backends: [{name: a, address: "
	 "10.0.0.1}]}\n",
	 "5:12: name: duplicate service name 'a', first on line 4\n"
	 "6:12: name: duplicate service name 'a', first on line 4\n"},
};

/* In place of the service's address and port: on line 4, column 26. */
#define AT(address, rest) TOP "services:\n  - {name: web, address: " address ", " rest "}\n"
#define BACKENDS	  "backends: [{name: a, address: 10.0.0.1}]"
#define A80		  "port: 80, " BACKENDS

static const struct row address_rows[] = {
	{"a list of one", AT("[192.0.2.10]", A80), ""},
	{"both families", AT("[192.0.2.10, \"2001:db8::10\"]", A80), ""},
	{"eight",
	 AT("[192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, 192.0.2.5, 192.0.2.6, "
	    "192.0.2.7, 192.0.2.8]",
	    A80),
	 ""},
	{"none", AT("[]", A80), "4:26: address: a list of 0, expected 1 to 8 items\n"},
	{"nine",
	 AT("[192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, 192.0.2.5, 192.0.2.6, "
	    "192.0.2.7, 192.0.2.8, 192.0.2.9]",
	    A80),
	 "4:26: address: a list of 9, expected 1 to 8 items\n"},
	{"a mapping", AT("{ipv4: 192.0.2.1}", A80), "4:26: address: a mapping, " VIP_EXPECTED},
	{"a list in the list", AT("[192.0.2.1, [192.0.2.2]]", A80),
	 "4:38: address: a list, " VIP_EXPECTED},
	{"one of them is none, and no other error for it", AT("[192.0.2.1o, 192.0.2.2]", A80),
	 "4:27: address: '192.0.2.1o' is not an address, " VIP_EXPECTED},
	{"one twice, written otherwise",
	 AT("[\"2001:db8::1\", 192.0.2.2, \"2001:DB8::1/128\"]", A80),
	 "4:53: address: '2001:DB8::1/128' stands here twice, expected each address once\n"},
	{"a prefix twice", AT("[192.0.2.0/28, 192.0.2.0/28]", A80),
	 "4:41: address: '192.0.2.0/28' stands here twice, expected each address once\n"},
	{"one prefix within another: allowed", AT("[192.0.2.0/28, 192.0.2.0/29, 192.0.2.0]", A80),
	 ""},
	{"a later address is another service's too",
	 AT("[192.0.2.1, 192.0.2.2]", A80) "  - {name: b, address: [192.0.2.3, 192.0.2.2], " A80
					   "}\n",
	 "5:5: address: duplicate service '192.0.2.2 port 80 tcp', first on line 4\n"},
};

#define V4 "192.0.2.10"

static const struct row protocol_rows[] = {
	{"tcp+udp", AT(V4, "protocol: tcp+udp, " A80), ""},
	{"tcp+udp: taken by tcp",
	 AT(V4, "protocol: tcp+udp, " A80) "  - {name: b, address: " V4 ", " A80 "}\n",
	 "5:5: address: duplicate service '192.0.2.10 port 80 tcp', first on line 4\n"},
	{"tcp+udp: taken by udp",
	 AT(V4, "protocol: udp, " A80) "  - {name: b, address: " V4 ", protocol: tcp+udp, " A80
				       "}\n",
	 "5:5: address: duplicate service '192.0.2.10 port 80 udp', first on line 4\n"},
	{"no second error after a misspelt protocol",
	 AT(V4,
	    "protocol: ip, port: any, mss: auto, method: maglev, health: {type: none}, " BACKENDS),
	 "4:48: protocol: 'ip' is unknown, expected tcp, udp, tcp+udp or any\n"},
	{"any: no port needed", AT(V4, "protocol: any, health: {port: 80}, " BACKENDS), ""},
	{"any: any port", AT(V4, "protocol: any, port: any, health: {type: none}, " BACKENDS), ""},
	{"any: a port", AT(V4, "protocol: any, port: 80, health: {type: none}, " BACKENDS),
	 "4:59: port: '80' cannot stand beside protocol: any, expected any; or protocol: tcp, udp "
	 "or tcp+udp\n"},
	{"any: a range", AT(V4, "protocol: any, port: 1-65535, health: {type: none}, " BACKENDS),
	 "4:59: port: '1-65535' cannot stand beside protocol: any, expected any; or protocol: tcp, "
	 "udp or tcp+udp\n"},
	{"any: a port that is none", AT(V4, "protocol: any, port: x, " BACKENDS),
	 "4:59: port: 'x' is not a port or range, " PORTS_EXPECTED},
	{"any: by ports", AT(V4, "protocol: any, method: maglev, health: {type: none}, " BACKENDS),
	 "4:61: method: 'maglev' hashes ports, which protocol: any does not look at, expected "
	 "source-hash\n"},
	{"any: by addresses",
	 AT(V4, "protocol: any, method: source-hash, hash-prefix4: 24, tracking: full, "
		"health: {type: none}, " BACKENDS),
	 ""},
	{"any: tracking just enough",
	 AT(V4, "protocol: any, tracking: just-enough, health: {type: none}, " BACKENDS),
	 "4:63: tracking: 'just-enough' cannot keep its promise for any protocol: most have no "
	 "handshake, expected full or none\n"},
	{"any: a check needs a port", AT(V4, "protocol: any, " BACKENDS),
	 "4:5: health: the key is missing here: a check needs one port, the service has any, "
	 "expected {port: NUMBER} or {type: none}\n"},
	{"any: twice",
	 AT(V4, "protocol: any, health: {type: none}, " BACKENDS) "  - {name: b, address: " V4
								  ", protocol: any, port: any, "
								  "health: {type: none}, " BACKENDS
								  "}\n",
	 "5:5: address: duplicate service '192.0.2.10 port any any', first on line 4\n"},
	{"any, beside any port of tcp: allowed",
	 AT(V4, "protocol: any, health: {type: none}, " BACKENDS) "  - {name: b, address: " V4
								  ", port: any, health: {type: "
								  "none}, " BACKENDS "}\n",
	 ""},
};

static const struct row forward_rows[] = {
	{"gue", WEB "    forward: gue\n", ""},
	{"gue: its defaults", WEB "    forward: gue\n    gue: {}\n", ""},
	{"gue: bounds", WEB "    forward: gue\n    gue: {port: 65535, variant: 1}\n", ""},
	{"gue: out of bounds", WEB "    forward: gue\n    gue: {port: 65536, variant: 2}\n",
	 "9:17: port: '65536' is out of range, expected a number from 1 to 65535\n"
	 "9:33: variant: '2' is out of range, expected a number from 0 to 1\n"},
	{"gue: port 0", WEB "    forward: gue\n    gue: {port: 0}\n",
	 "9:17: port: '0' is out of range, expected a number from 1 to 65535\n"},
	{"gue: a number", WEB "    forward: gue\n    gue: 6080\n",
	 "9:10: gue: a single value, expected a mapping (key: value)\n"},
	{"gue: unknown key", WEB "    forward: gue\n    gue: {checksum: true}\n",
	 "9:11: unknown key 'checksum', expected one of port, variant\n"},
	{"gue: with another method", WEB "    gue: {port: 6080}\n",
	 "8:10: gue: has no meaning with another method, expected forward: gue\n"},
	{"gue: with yet another method", WEB "    forward: l2\n    gue: {port: 6080}\n",
	 "9:10: gue: has no meaning with another method, expected forward: gue\n"},
	{"l2", WEB "    forward: l2\n", ""},
	{"l2: a prefix, and addresses of one family",
	 AT("[192.0.2.0/28, 198.51.100.7]", "forward: l2, " A80), ""},
	{"l2: both families", AT("[192.0.2.1, \"2001:db8::1\"]", "forward: l2, " A80),
	 "4:63: forward: 'l2' cannot carry both families to a backend, which has one address, "
	 "expected another method, or a service for each family\n"},
	{"local", WEB "    forward: local\n", ""},
	{"local: both families, a prefix",
	 AT("[192.0.2.1, \"2001:db8::/64\"]", "forward: local, " A80), ""},
	{"local: two backends",
	 WEB_HEAD "    forward: local\n    backends: [{name: a, address: 10.0.0.1}, "
		  "{name: b, address: 10.0.0.2}]\n",
	 "8:15: backends: a list of 2, expected one: forward: local delivers to this host, which "
	 "is its only backend\n"},
	{"tos: first", WEB "    forward: tos\n    tos: 1\n", ""},
	{"tos: last, IPv6", WEB6 "    forward: tos\n    tos: 63\n", ""},
	{"tos: 0", WEB "    forward: tos\n    tos: 0\n",
	 "9:10: tos: '0' is out of range, expected a number from 1 to 63\n"},
	{"tos: 64", WEB "    forward: tos\n    tos: 64\n",
	 "9:10: tos: '64' is out of range, expected a number from 1 to 63\n"},
	{"tos: hexadecimal", WEB "    forward: tos\n    tos: 0x0c\n",
	 "9:10: tos: '0x0c' is not a whole decimal number, expected a number from 1 to 63\n"},
	{"tos: no number", WEB "    forward: tos\n",
	 "4:5: tos: the key is missing here: forward: tos needs a number from 1 to 63 that names "
	 "the service's address to the backends\n"},
	{"tos: with another method", WEB "    tos: 12\n",
	 "8:10: tos: has no meaning with another method, expected forward: tos\n"},
	{"tos: with yet another method", WEB "    forward: local\n    tos: 12\n",
	 "9:10: tos: has no meaning with another method, expected forward: tos\n"},
	{"tos: no second error after a misspelt forward", WEB "    forward: dscp\n    tos: 12\n",
	 "8:14: forward: 'dscp' is unknown, expected ipip, gue, tos, l2 or local\n"},
	{"tos: a list of one address", AT("[192.0.2.1]", "forward: tos, tos: 1, " A80), ""},
	{"tos: a prefix", AT("192.0.2.0/28", "forward: tos, tos: 1, " A80),
	 "4:49: forward: 'tos' would lose which address of the prefix a packet is for, expected "
	 "another method, or a service for each of them\n"},
	{"tos: two addresses", AT("[192.0.2.1, 192.0.2.2]", "forward: tos, tos: 1, " A80),
	 "4:59: forward: 'tos' would lose which of the addresses a packet is for, expected another "
	 "method, or a service for each of them\n"},
	{"tos: both families", AT("[192.0.2.1, \"2001:db8::1\"]", "forward: tos, tos: 1, " A80),
	 "4:63: forward: 'tos' cannot carry both families to a backend, which has one address, "
	 "expected another method, or a service for each family\n"},
};

/* The second service of a pair, on line 5. */
#define TOS(id, address, port, backend)                                   \
	"  - {name: s" address port ", address: " address ", port: " port \
	", forward: tos, tos: " id ", backends: [{name: a, address: " backend "}]}\n"
#define SERVICES_OF TOP "services:\n"

static const struct row tos_rows[] = {
	{"one number, one VIP, two services: allowed",
	 SERVICES_OF TOS("12", "192.0.2.1", "80", "10.0.0.1")
		 TOS("12", "192.0.2.1", "443", "10.0.0.1"),
	 ""},
	{"one number, two VIPs, two backends: allowed",
	 SERVICES_OF TOS("12", "192.0.2.1", "80", "10.0.0.1")
		 TOS("12", "192.0.2.2", "80", "10.0.0.2"),
	 ""},
	{"two numbers, two VIPs, one backend: allowed",
	 SERVICES_OF TOS("12", "192.0.2.1", "80", "10.0.0.1")
		 TOS("13", "192.0.2.2", "80", "10.0.0.1"),
	 ""},
	{"two numbers, one VIP, one backend: allowed",
	 SERVICES_OF TOS("12", "192.0.2.1", "80", "10.0.0.1")
		 TOS("13", "192.0.2.1", "81", "10.0.0.1"),
	 ""},
	{"one number, a VIP of each family: allowed",
	 SERVICES_OF TOS("12", "192.0.2.1", "80",
			 "10.0.0.1") "  - {name: six, address: \"2001:db8::1\", port: 80, forward: "
				     "tos, tos: 12, "
				     "backends: [{name: a, address: \"fd00::1\"}]}\n",
	 ""},
	{"one number, two VIPs, one backend",
	 SERVICES_OF TOS("12", "192.0.2.1", "80", "10.0.0.1")
		 TOS("12", "192.0.2.2", "80", "10.0.0.1"),
	 "5:109: tos: 12 toward 10.0.0.1 stands for 192.0.2.1 already (line 4), expected another "
	 "for 192.0.2.2\n"},
	{"the same of IPv6, written otherwise",
	 SERVICES_OF "  - {name: a, address: \"2001:db8::1\", port: 80, forward: tos, tos: 12, "
		     "backends: [{name: a, address: \"fd00::1\"}]}\n"
		     "  - {name: b, address: \"2001:db8::2\", port: 80, forward: tos, tos: 12, "
		     "backends: [{name: a, address: \"fd00:0::1\"}]}\n",
	 "5:102: tos: 12 toward fd00::1 stands for 2001:db8::1 already (line 4), expected another "
	 "for 2001:db8::2\n"},
	{"of three, two are told of the first",
	 SERVICES_OF TOS("12", "192.0.2.1", "80", "10.0.0.1")
		 TOS("12", "192.0.2.2", "80", "10.0.0.1") TOS("12", "192.0.2.1", "81", "10.0.0.1")
			 TOS("12", "192.0.2.3", "80", "10.0.0.1"),
	 "5:109: tos: 12 toward 10.0.0.1 stands for 192.0.2.1 already (line 4), expected another "
	 "for 192.0.2.2\n"
	 "7:109: tos: 12 toward 10.0.0.1 stands for 192.0.2.1 already (line 4), expected another "
	 "for 192.0.2.3\n"},
};

#define MSS_EXPECTED "expected auto, off or a number from 88 to 65534\n"

static const struct row mss_rows[] = {
	{"auto", WEB "    mss: auto\n", ""},
	{"off", WEB "    mss: off\n", ""},
	{"least", WEB "    mss: 88\n", ""},
	{"most", WEB "    mss: 65534\n", ""},
	{"too small", WEB "    mss: 87\n", "8:10: mss: '87' is out of range, " MSS_EXPECTED},
	{"none", WEB "    mss: 0\n", "8:10: mss: '0' is out of range, " MSS_EXPECTED},
	{"too large", WEB "    mss: 65535\n", "8:10: mss: '65535' is out of range, " MSS_EXPECTED},
	{"a word", WEB "    mss: on\n", "8:10: mss: 'on' is not a size, " MSS_EXPECTED},
	{"with a unit", WEB "    mss: 1400b\n", "8:10: mss: '1400b' is not a size, " MSS_EXPECTED},
	{"no value", WEB "    mss:\n", "8:9: mss: no value, " MSS_EXPECTED},
	{"a list", WEB "    mss: [1400]\n", "8:10: mss: a list, " MSS_EXPECTED},
	{"udp", WEB "    protocol: udp\n    mss: auto\n",
	 "9:10: mss: has no meaning here, expected protocol: tcp or tcp+udp\n"},
	{"tcp+udp", WEB "    protocol: tcp+udp\n    mss: auto\n", ""},
};

#define OUTER(prefix)  WEB "    outer-source: " prefix "\n"
#define OUTER6(prefix) WEB6 "    outer-source: " prefix "\n"

static const struct row outer_source_rows[] = {
	{"IPv4, shortest", OUTER("10.0.0.0/8"), ""},
	{"IPv4, longest", OUTER("10.0.0.0/31"), ""},
	{"IPv6, shortest", OUTER6("\"fd00::/96\""), ""},
	{"IPv6, longest", OUTER6("\"fd00::/127\""), ""},
	{"of the backends' family, not the VIP's", WEB64 "    outer-source: fd01::/112\n", ""},
	{"with gue", OUTER("10.0.0.0/24") "    forward: gue\n", ""},
	{"where there is no outer header", OUTER("10.0.0.0/24") "    forward: l2\n",
	 "8:19: outer-source: has no meaning without an outer header, expected forward: ipip or "
	 "gue\n"},
	{"no second error after a misspelt forward", OUTER("10.0.0.0/24") "    forward: ip\n",
	 "9:14: forward: 'ip' is unknown, expected ipip, gue, tos, l2 or local\n"},
	{"backends of both families",
	 WEB_HEAD "    backends: [{name: a, address: 10.0.0.1}, {name: b, address: \"fd00::1\"}, "
		  "{name: c, address: \"fd00::2\"}]\n"
		  "    outer-source: 10.1.0.0/24\n",
	 "8:19: outer-source: 10.1.0.0 is IPv4, expected IPv6 as the backend fd00::1\n"},
	{"a backend that is none is of no family",
	 WEB_HEAD "    backends: [{name: a, address: x}]\n    outer-source: 10.1.0.0/24\n",
	 "7:35: address: 'x' is not an address, " ADDRESS_EXPECTED},
	{"no prefix", OUTER("eth0"),
	 "8:19: outer-source: 'eth0' is not a prefix (bits beyond it are zero), " PREFIX_EXPECTED},
	{"host bits", OUTER("10.0.0.1/8"),
	 "8:19: outer-source: '10.0.0.1/8' is not a prefix (bits beyond it are "
	 "zero), " PREFIX_EXPECTED},
	{"IPv4: nothing varies", OUTER("10.0.0.0/32"),
	 "8:19: outer-source: '10.0.0.0/32' has the wrong length, " PREFIX_EXPECTED},
	{"IPv4: a single address", OUTER("10.0.0.1"),
	 "8:19: outer-source: '10.0.0.1' has the wrong length, " PREFIX_EXPECTED},
	{"IPv4: too short", OUTER("10.0.0.0/7"),
	 "8:19: outer-source: '10.0.0.0/7' has the wrong length, " PREFIX_EXPECTED},
	{"IPv6: more than the last word varies", OUTER6("\"fd00::/95\""),
	 "8:19: outer-source: 'fd00::/95' has the wrong length, " PREFIX_EXPECTED},
	{"IPv6: nothing varies", OUTER6("\"fd00::/128\""),
	 "8:19: outer-source: 'fd00::/128' has the wrong length, " PREFIX_EXPECTED},
	{"multicast", OUTER("224.0.0.0/24"),
	 "8:19: outer-source: '224.0.0.0/24' is no unicast prefix, " PREFIX_EXPECTED},
	{"the unspecified address's network", OUTER("0.0.0.0/8"),
	 "8:19: outer-source: '0.0.0.0/8' is no unicast prefix, " PREFIX_EXPECTED},
	{"the other family", OUTER("\"fd00::/96\""),
	 "8:19: outer-source: fd00:: is IPv6, expected IPv4 as the backend 10.0.0.1\n"},
};

static const struct row backend_rows[] = {
	{"an empty list", WEB_HEAD "    backends: []\n",
	 "7:15: backends: a list of 0, expected 1 to 32766 items\n"},
	{"no list", WEB_HEAD "    backends: {name: a}\n",
	 "7:15: backends: no list, expected items that begin with '-'\n"},
	{"an empty mapping", BACKEND(""),
	 "7:16: name: the key is missing here\n7:16: address: the key is missing here\n"},
	{"a misspelt key", BACKEND("name: a, address: 10.0.0.1, wieght: 3"),
	 "7:45: unknown key 'wieght'; did you mean 'weight'?\n"},
	{"a bad name", BACKEND("name: \"a b\", address: 10.0.0.1"),
	 "7:23: name: 'a b' is not valid, " NAME_EXPECTED},
	{"weight -1", BACKEND("name: a, address: 10.0.0.1, weight: -1"),
	 "7:53: weight: '-1' is not a whole decimal number, expected a number from 0 to 1000\n"},
	{"weight 1001", BACKEND("name: a, address: 10.0.0.1, weight: 1001"),
	 "7:53: weight: '1001' is out of range, expected a number from 0 to 1000\n"},
	{"not an address", BACKEND("name: a, address: web1"),
	 "7:35: address: 'web1' is not an address, " ADDRESS_EXPECTED},
	{"multicast", BACKEND("name: a, address: 239.1.1.1"),
	 "7:35: address: '239.1.1.1' is multicast, " UNICAST_EXPECTED},
	{"loopback", BACKEND("name: a, address: 127.0.0.2"),
	 "7:35: address: '127.0.0.2' is loopback, " UNICAST_EXPECTED},
	{"the other family, in a tunnel: allowed", BACKEND("name: a, address: \"fd00::1\""), ""},
	{"both families, in a tunnel: allowed",
	 BACKEND("name: a, address: \"fd00::1\"}, {name: b, address: 10.0.0.1") "    forward: "
										"gue\n",
	 ""},
	{"the other family, here: allowed",
	 BACKEND("name: a, address: \"fd00::1\"") "    forward: local\n", ""},
	{"the other family, and the packet keeps its own",
	 BACKEND("name: a, address: \"fd00::1\"") "    forward: l2\n",
	 "7:35: address: fd00::1 is IPv6, expected IPv4 as the service's address with forward: "
	 "l2\n"},
	{"the other family, and the address is rewritten",
	 BACKEND("name: a, address: \"fd00::1\"") "    forward: tos\n    tos: 1\n",
	 "7:35: address: fd00::1 is IPv6, expected IPv4 as the service's address with forward: "
	 "tos\n"},
	{"no error about the family of a VIP that is none",
	 TOP "services: [{name: a, address: x, port: 80, forward: l2, "
	     "backends: [{name: a, address: \"fd00::1\"}]}]\n",
	 "3:31: address: 'x' is not an address, " VIP_EXPECTED},
	{"in its own VIP's prefix",
	 TOP "services: [{name: a, address: 192.0.2.0/28, port: 80, "
	     "backends: [{name: a, address: 192.0.2.15}, {name: b, address: 192.0.2.16}]}]\n",
	 "3:85: address: '192.0.2.15' is in a service's prefix, expected one outside of it\n"},
	{"in the prefix of another service, which comes later",
	 WEB "  - {name: b, address: [198.51.100.1, 10.0.0.0/8], port: 81, "
	     "backends: [{name: a, address: 192.0.2.1}]}\n",
	 "7:38: address: '10.0.0.1' is in a service's prefix, expected one outside of it\n"},
	{"in an IPv6 prefix",
	 TOP "services: [{name: a, address: \"2001:db8::/64\", port: 80, "
	     "backends: [{name: a, address: \"2001:db8::ffff:1\"}, "
	     "{name: b, address: \"2001:db8:0:1::\"}]}]\n",
	 "3:88: address: '2001:db8::ffff:1' is in a service's prefix, expected one outside of "
	 "it\n"},
	{"a VIP in its prefix is named as such",
	 TOP "services: [{name: a, address: [192.0.2.0/28, 192.0.2.9], port: 80, "
	     "backends: [{name: a, address: 192.0.2.9}]}]\n",
	 "3:98: address: '192.0.2.9' is a service's address, expected the backend's own\n"},
	{"its own VIP", BACKEND("name: a, address: 192.0.2.10"),
	 "7:35: address: '192.0.2.10' is a service's address, expected the backend's own\n"},
	{"another service's VIP, which comes later",
	 BACKEND("name: a, address: 192.0.2.20") "  - {name: b, address: 192.0.2.20, port: 80, "
						 "backends: [{name: a, address: 10.0.0.1}]}\n",
	 "7:35: address: '192.0.2.20' is a service's address, expected the backend's own\n"},
	{"the same name and address twice",
	 WEB_HEAD "    backends:\n"
		  "      - {name: a, address: 10.0.0.1}\n"
		  "      - {name: b, address: 10.0.0.1}\n"
		  "      - {name: a, address: 10.0.0.2}\n",
	 "9:28: address: duplicate backend address '10.0.0.1', first on line 8\n"
	 "10:16: name: duplicate backend name 'a', first on line 8\n"},
	{"the same name and address in two services: allowed",
	 WEB "  - {name: b, address: 192.0.2.20, port: 80, "
	     "backends: [{name: web1, address: 10.0.0.1}]}\n",
	 ""},
	{"more than the limit, told once, whatever the order of keys",
	 WEB "  - {name: b, address: 192.0.2.20, port: 80, "
	     "backends: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2}]}\n"
	     "  - {name: c, address: 192.0.2.30, port: 80, "
	     "backends: [{name: a, address: 10.0.0.1}]}\n"
	     "limits: {backends: 3}\n",
	 "8:56: backends: 3 backends up to here, expected at most 2 (limits: backends, less "
	 "one)\n"},
	{"exactly the limit", WEB "limits: {backends: 2}\n", ""},
};

ROWS_TEST(service)
ROWS_TEST(address)
ROWS_TEST(protocol)
ROWS_TEST(forward)
ROWS_TEST(tos)
ROWS_TEST(mss)
ROWS_TEST(outer_source)
ROWS_TEST(backend)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_service),	     cmocka_unit_test(test_address),
		cmocka_unit_test(test_protocol),     cmocka_unit_test(test_forward),
		cmocka_unit_test(test_tos),	     cmocka_unit_test(test_mss),
		cmocka_unit_test(test_outer_source), cmocka_unit_test(test_backend),
	};

	return cmocka_run_group_tests_name("config_schema_service", tests, NULL, NULL);
}
