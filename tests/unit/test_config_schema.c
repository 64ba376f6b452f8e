/* SPDX-License-Identifier: GPL-2.0-only */
/* Keys, lists, and the mappings that stand at the top of the file. */
#include "config_rows.h"

#define INTERFACE_EXPECTED \
	"expected an interface name: at most 15 characters, no '/', ':' or blank\n"

static const struct row file_rows[] = {
	{"nothing that is needed", "node: lb1\n",
	 "1:1: interfaces: the key is missing here\n1:1: services: the key is missing here\n"},
	{"a misspelt key", TOP "servces: []\n" SERVICES,
	 "3:1: unknown key 'servces'; did you mean 'services'?\n"},
	{"a key nothing like ours", TOP SERVICES "colour: blue\n",
	 "4:1: unknown key 'colour', expected one of node, state-dir, hash-key, interfaces, "
	 "limits, icmp, services, ha, announce\n"},
	{"a short key is not corrected into another word", TOP SERVICES "no: 1\n",
	 "4:1: unknown key 'no', expected one of node, state-dir, hash-key, interfaces, limits, "
	 "icmp, "
	 "services, ha, announce\n"},
	{"a very long key", TOP SERVICES X64 ": 1\n",
	 "4:1: unknown key '" X44
	 "...', expected one of node, state-dir, hash-key, interfaces, limits, icmp, "
	 "services, ha, announce\n"},
	{"a key with a control character", TOP SERVICES "\"a\\e[31m\": 1\n",
	 "4:1: unknown key 'a?[31m', expected one of node, state-dir, hash-key, interfaces, "
	 "limits, icmp, services, ha, announce\n"},
	{"an empty key", TOP SERVICES "\"\": 1\n",
	 "4:1: unknown key '', expected one of node, state-dir, hash-key, interfaces, limits, "
	 "icmp, "
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

static const struct row icmp_rows[] = {
	{"all of it", TOP SERVICES "icmp: {echo: false, echo-rate: 1, error-rate: 1000000}\n", ""},
	{"nothing in it: allowed", TOP SERVICES "icmp: {}\n", ""},
	{"a word", TOP SERVICES "icmp: off\n",
	 "4:7: icmp: a single value, expected a mapping (key: value)\n"},
	{"echo: no boolean", TOP SERVICES "icmp: {echo: maybe}\n",
	 "4:14: echo: 'maybe' is unknown, expected true or false\n"},
	{"rates: none", TOP SERVICES "icmp: {echo-rate: 0, error-rate: 0}\n",
	 "4:19: echo-rate: '0' is out of range, expected a number from 1 to 1000000\n"
	 "4:34: error-rate: '0' is out of range, expected a number from 1 to 1000000\n"},
	{"rates: too many", TOP SERVICES "icmp: {echo-rate: 1000001, error-rate: 1000001}\n",
	 "4:19: echo-rate: '1000001' is out of range, expected a number from 1 to 1000000\n"
	 "4:40: error-rate: '1000001' is out of range, expected a number from 1 to 1000000\n"},
	{"a misspelt key", TOP SERVICES "icmp: {echo_rate: 5}\n",
	 "4:8: unknown key 'echo_rate'; did you mean 'echo-rate'?\n"},
};

ROWS_TEST(file)
ROWS_TEST(interface)
ROWS_TEST(icmp)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_interface),
		cmocka_unit_test(test_icmp),
	};

	return cmocka_run_group_tests_name("config_schema", tests, NULL, NULL);
}
