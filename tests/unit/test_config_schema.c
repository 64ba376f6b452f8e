/* SPDX-License-Identifier: GPL-2.0-only */
/* Keys, lists, what depends on another key, and what must be unique. */
#include "config_rows.h"

#define SECONDS_EXPECTED "expected 1s to 3h with a unit: s, m or h\n"
#define PREFIX_EXPECTED	 "expected an IPv4 prefix of /8 to /31 or an IPv6 prefix of /96 to /127\n"
#define INTERFACE_EXPECTED \
	"expected an interface name: at most 15 characters, no '/', ':' or blank\n"
#define BACKEND(text) WEB_HEAD "    backends: [{" text "}]\n"

static const struct row file_rows[] = {
	{"nothing that is needed", "node: lb1\n",
	 "1:1: interfaces: the key is missing here\n1:1: services: the key is missing here\n"},
	{"a misspelt key", TOP "servces: []\n" SERVICES,
	 "3:1: unknown key 'servces'; did you mean 'services'?\n"},
	{"a key nothing like ours", TOP SERVICES "colour: blue\n",
	 "4:1: unknown key 'colour', expected one of node, state-dir, hash-key, interfaces, "
	 "limits, services, ha, announce\n"},
	{"a short key is not corrected into another word", TOP SERVICES "no: 1\n",
	 "4:1: unknown key 'no', expected one of node, state-dir, hash-key, interfaces, limits, "
	 "services, ha, announce\n"},
	{"a very long key", TOP SERVICES X64 ": 1\n",
	 "4:1: unknown key '" X44
	 "...', expected one of node, state-dir, hash-key, interfaces, limits, "
	 "services, ha, announce\n"},
	{"a key with a control character", TOP SERVICES "\"a\\e[31m\": 1\n",
	 "4:1: unknown key 'a?[31m', expected one of node, state-dir, hash-key, interfaces, "
	 "limits, services, ha, announce\n"},
	{"an empty key", TOP SERVICES "\"\": 1\n",
	 "4:1: unknown key '', expected one of node, state-dir, hash-key, interfaces, limits, "
	 "services, ha, announce\n"},
	{"announce: unknown", TOP SERVICES "announce: vmac\n",
	 "4:11: announce: 'vmac' is unknown, expected arp or none\n"},
	{"announce: a boolean", TOP SERVICES "announce: true\n",
	 "4:11: announce: 'true' is unknown, expected arp or none\n"},
	{"announce: a list", TOP SERVICES "announce: [arp]\n",
	 "4:11: announce: a list, expected arp or none\n"},
	{"announce: no value", TOP SERVICES "announce:\n",
	 "4:10: announce: no value, expected arp or none\n"},
	{"a list as a key", TOP SERVICES "? [a]\n: 1\n",
	 "4:3: a list or mapping, expected a key\n"},
	{"a key twice", TOP SERVICES "node: lb2\n",
	 "4:1: node: the key stands here twice, first on line 1\n"},
	{"node: bad characters", "node: lb/1\ninterfaces: [{name: eth0}]\n" SERVICES,
	 "1:7: node: 'lb/1' is not valid, " NAME_EXPECTED},
	{"node: begins with a dash", "node: -lb\ninterfaces: [{name: eth0}]\n" SERVICES,
	 "1:7: node: '-lb' is not valid, " NAME_EXPECTED},
	{"node: not ASCII", "node: l\xc3\xa9\ninterfaces: [{name: eth0}]\n" SERVICES,
	 "1:7: node: 'l\xc3\xa9' is not valid, " NAME_EXPECTED},
	{"node: a newline", "node: \"a\\nb\"\ninterfaces: [{name: eth0}]\n" SERVICES,
	 "1:7: node: 'a?b' is not valid, " NAME_EXPECTED},
	{"node: a NUL", "node: \"a\\0b\"\ninterfaces: [{name: eth0}]\n" SERVICES,
	 "1:7: node: a NUL character, " NAME_EXPECTED},
	{"node: 64 characters", "node: " X64 "\ninterfaces: [{name: eth0}]\n" SERVICES,
	 "1:7: node: '" X44 "...' is too long, " NAME_EXPECTED},
	{"node: no value", "node:\ninterfaces: [{name: eth0}]\n" SERVICES,
	 "1:6: node: no value, " NAME_EXPECTED},
	{"node: a list", "node: [a]\ninterfaces: [{name: eth0}]\n" SERVICES,
	 "1:7: node: a list, " NAME_EXPECTED},
	{"node: a mapping", "node: {a: b}\ninterfaces: [{name: eth0}]\n" SERVICES,
	 "1:7: node: a mapping, " NAME_EXPECTED},
	{"state-dir: relative", TOP SERVICES "state-dir: var/lib\n",
	 "4:12: state-dir: 'var/lib' is not valid, expected an absolute path ('/...') of at most "
	 "107 bytes\n"},
	{"state-dir: a newline", TOP SERVICES "state-dir: \"/var\\n\"\n",
	 "4:12: state-dir: '/var?' is not valid, expected an absolute path ('/...') of at most 107 "
	 "bytes\n"},
	{"state-dir: 108 bytes", TOP SERVICES "state-dir: /" X64 X44 "\n",
	 "4:12: state-dir: '/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...' is too long, "
	 "expected an absolute path ('/...') of at most 107 bytes\n"},
	{"hash-key: relative", TOP SERVICES "hash-key: key\n",
	 "4:11: hash-key: 'key' is not valid, expected an absolute path ('/...') of at most 107 "
	 "bytes\n"},
	{"limits: a quota of nothing, and more than everything",
	 TOP SERVICES "limits: {flow-quota: 0, remember-max: 101}\n",
	 "4:22: flow-quota: '0' is out of range, expected a number from 1 to 100\n"
	 "4:39: remember-max: '101' is out of range, expected a number from 1 to 100\n"},
	{"limits: a list", TOP SERVICES "limits: [1]\n",
	 "4:9: limits: a list, expected a mapping (key: value)\n"},
	{"limits: too small", TOP SERVICES "limits: {backends: 1, flows: 4096}\n",
	 "4:20: backends: '1' is out of range, expected a number from 2 to 32767\n"
	 "4:30: flows: '4096' is out of range, expected a number from 8192 to 268435456\n"},
	{"limits: too large", TOP SERVICES "limits: {backends: 32768, flows: 536870912}\n",
	 "4:20: backends: '32768' is out of range, expected a number from 2 to 32767\n"
	 "4:34: flows: '536870912' is out of range, expected a number from 8192 to 268435456\n"},
	{"limits: no power of two", TOP SERVICES "limits: {flows: 10000}\n",
	 "4:17: flows: '10000' is no power of two, expected a power of two from 8192 to "
	 "268435456\n"},
	{"limits: beyond 64 bits", TOP SERVICES "limits: {flows: 18446744073709551616}\n",
	 "4:17: flows: '18446744073709551616' is not a whole decimal number, expected a number "
	 "from 8192 to 268435456\n"},
	{"services: no value", TOP "services:\n",
	 "3:10: services: no list, expected items that begin with '-', or [] for none\n"},
	{"services: a mapping", TOP "services: {name: web}\n",
	 "3:11: services: no list, expected items that begin with '-', or [] for none\n"},
	{"services: a word in the list", TOP "services: [web]\n",
	 "3:12: services: a single value, expected a mapping (key: value)\n"},
};

static const struct row interface_rows[] = {
	{"an empty list", "node: lb1\ninterfaces: []\n" SERVICES,
	 "2:13: interfaces: a list of 0, expected 1 to 64 items\n"},
	{"no list", "node: lb1\ninterfaces: eth0\n" SERVICES,
	 "2:13: interfaces: no list, expected items that begin with '-'\n"},
	{"words in place of mappings", "node: lb1\ninterfaces: [eth0]\n" SERVICES,
	 "2:14: interfaces: a single value, expected a mapping (key: value)\n"},
	{"no name", "node: lb1\ninterfaces:\n  - mode: auto\n" SERVICES,
	 "3:5: name: the key is missing here\n"},
	{"16 characters", "node: lb1\ninterfaces: [{name: abcdefghijklmnop}]\n" SERVICES,
	 "2:21: name: 'abcdefghijklmnop' is too long, " INTERFACE_EXPECTED},
	{"a slash", "node: lb1\ninterfaces: [{name: a/b}]\n" SERVICES,
	 "2:21: name: 'a/b' is not valid, " INTERFACE_EXPECTED},
	{"an alias address", "node: lb1\ninterfaces: [{name: \"eth0:1\"}]\n" SERVICES,
	 "2:21: name: 'eth0:1' is not valid, " INTERFACE_EXPECTED},
	{"a blank", "node: lb1\ninterfaces: [{name: eth 0}]\n" SERVICES,
	 "2:21: name: 'eth 0' is not valid, " INTERFACE_EXPECTED},
	{"the parent directory", "node: lb1\ninterfaces: [{name: ..}]\n" SERVICES,
	 "2:21: name: '..' is not valid, " INTERFACE_EXPECTED},
	{"an unknown mode", "node: lb1\ninterfaces: [{name: eth0, mode: fast}]\n" SERVICES,
	 "2:33: mode: 'fast' is unknown, expected auto, native or generic\n"},
	{"the same interface twice",
	 "node: lb1\ninterfaces:\n  - name: eth0\n  - name: eth1\n  - name: eth0\n" SERVICES,
	 "5:11: name: duplicate interface 'eth0', first on line 3\n"},
};

static const struct row service_rows[] = {
	{"an empty mapping", TOP "services: [{}]\n",
	 "3:12: name: the key is missing here\n"
	 "3:12: address: the key is missing here\n"
	 "3:12: port: the key is missing here\n"
	 "3:12: backends: the key is missing here\n"},
	{"a misspelt key", WEB "    adress: 192.0.2.11\n",
	 "8:5: unknown key 'adress'; did you mean 'address'?\n"},
	{"a key of a later version", WEB "    sorry: {address: 10.0.0.9}\n",
	 "8:5: unknown key 'sorry', expected one of name, address, port, protocol, forward, "
	 "outer-source, method, hash-prefix4, hash-prefix6, tracking, failover, timeouts, "
	 "health, backends\n"},
	{"a key twice", WEB "    port: 81\n",
	 "8:5: port: the key stands here twice, first on line 6\n"},
	{"protocol: unknown", WEB "    protocol: sctp\n",
	 "8:15: protocol: 'sctp' is unknown, expected tcp or udp\n"},
	{"protocol: planned", WEB "    protocol: any\n",
	 "8:15: protocol: 'any' is not supported yet by this version, expected tcp or udp\n"},
	{"forward: unknown", WEB "    forward: nat\n",
	 "8:14: forward: 'nat' is unknown, expected ipip\n"},
	{"forward: gue", WEB "    forward: gue\n",
	 "8:14: forward: 'gue' is not supported yet by this version, expected ipip\n"},
	{"forward: tos", WEB "    forward: tos\n",
	 "8:14: forward: 'tos' is not supported yet by this version, expected ipip\n"},
	{"forward: l2", WEB "    forward: l2\n",
	 "8:14: forward: 'l2' is not supported yet by this version, expected ipip\n"},
	{"forward: local", WEB "    forward: local\n",
	 "8:14: forward: 'local' is not supported yet by this version, expected ipip\n"},
	{"method: unknown", WEB "    method: random\n",
	 "8:13: method: 'random' is unknown, expected maglev or source-hash\n"},
	{"method: planned", WEB "    method: priority\n",
	 "8:13: method: 'priority' is not supported yet by this version, expected maglev or "
	 "source-hash\n"},
	{"tracking: no handshake to tell new flows by",
	 WEB "    protocol: udp\n    tracking: just-enough\n",
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

#define OUTER(prefix)  WEB "    outer-source: " prefix "\n"
#define OUTER6(prefix) WEB6 "    outer-source: " prefix "\n"

static const struct row outer_source_rows[] = {
	{"IPv4, shortest", OUTER("10.0.0.0/8"), ""},
	{"IPv4, longest", OUTER("10.0.0.0/31"), ""},
	{"IPv6, shortest", OUTER6("\"fd00::/96\""), ""},
	{"IPv6, longest", OUTER6("\"fd00::/127\""), ""},
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
	 "8:19: outer-source: fd00:: is IPv6, expected IPv4 as the service's address\n"},
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
	{"the other family", BACKEND("name: a, address: \"fd00::1\""),
	 "7:35: address: fd00::1 is IPv6, expected IPv4 as the service's address\n"},
	{"no error about the family of a VIP that is none",
	 TOP "services: [{name: a, address: x, port: 80, "
	     "backends: [{name: a, address: \"fd00::1\"}]}]\n",
	 "3:31: address: 'x' is not an address, " ADDRESS_EXPECTED},
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

ROWS_TEST(file)
ROWS_TEST(interface)
ROWS_TEST(service)
ROWS_TEST(outer_source)
ROWS_TEST(backend)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),	cmocka_unit_test(test_interface),
		cmocka_unit_test(test_service), cmocka_unit_test(test_outer_source),
		cmocka_unit_test(test_backend),
	};

	return cmocka_run_group_tests_name("config_schema", tests, NULL, NULL);
}
