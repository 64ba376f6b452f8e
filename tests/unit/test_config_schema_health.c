/* SPDX-License-Identifier: GPL-2.0-only */
/* Every value of a health check, and when it must be told a port. */
#include "config_rows.h"

#define PORT_EXPECTED  "expected a number from 1 to 65535\n"
#define CHECK_EXPECTED "expected 10ms to 1h with a unit: ms, s, m or h\n"
#define PATH_EXPECTED \
	"expected a path that begins with '/', at most 255 ASCII characters, no blanks\n"
#define HOST_EXPECTED \
	"expected a name, IPv4 or [IPv6] address, with :port if needed, at most 255 characters\n"
#define STATUS_EXPECTED "expected an HTTP status from 100 to 599 or a range such as 200-299\n"
#define X256		X64 X64 X64 X64
#define DNS		WEB "    protocol: udp\n"

/* At line 4, in place of the service's address and port. */
#define AT(address, port)                                                  \
	TOP "services:\n  - {name: web, address: " address ", port: " port \
	    ", backends: [{name: a, address: 10.0.0.1}]}\n"

#define HTTP(keys) WEB "    health: {type: http, " keys "}\n" /* keys at column 26 */
#define ESC(text)  HTTP("body: '" text "'")

static const struct row health_rows[] = {
	{"a word", WEB "    health: tcp\n",
	 "8:13: health: a single value, expected a mapping (key: value)\n"},
	{"unknown type", WEB "    health: {type: ping}\n",
	 "8:20: type: 'ping' is unknown, expected none, tcp, http or https\n"},
	{"unknown key", WEB "    health: {intervall: 1s}\n",
	 "8:14: unknown key 'intervall'; did you mean 'interval'?\n"},
	{"http keys with tcp", WEB "    health: {path: /, host: a, status: 200, body: b}\n",
	 "8:20: path: has no meaning with type: tcp, expected type: http or https\n"
	 "8:29: host: has no meaning with type: tcp, expected type: http or https\n"
	 "8:40: status: has no meaning with type: tcp, expected type: http or https\n"
	 "8:51: body: has no meaning with type: tcp, expected type: http or https\n"},
	{"any key with none", WEB "    health: {type: none, port: 80, path: /}\n",
	 "8:32: port: nothing is checked (type: none), expected type: tcp, http or https\n"
	 "8:42: path: nothing is checked (type: none), expected type: tcp, http or https\n"},
	{"udp is not checked by default", DNS "    health: {interval: 1s}\n",
	 "9:24: interval: nothing is checked (type: none), expected type: tcp, http or https\n"},
	{"udp: the check needs a port", DNS "    health: {type: tcp}\n",
	 "9:13: port: the key is missing here: checks use TCP, this service is udp\n"},
	{"udp: with a port", DNS "    health: {type: tcp, port: 80}\n", ""},
	{"udp: none", DNS "    health: {type: none}\n", ""},
	{"several ports: which one", AT("192.0.2.10", "8000-8099"),
	 "4:5: health: the key is missing here: a check needs one port, the service has 8000-8099, "
	 "expected {port: NUMBER} or {type: none}\n"},
	{"several ports: which one, by http", AT("192.0.2.10", "8000-8099, health: {type: http}"),
	 "4:63: port: the key is missing here: a check needs one port, the service has "
	 "8000-8099\n"},
	{"any port: which one", AT("192.0.2.10", "any, health: {interval: 1s}"),
	 "4:57: port: the key is missing here: a check needs one port, the service has any\n"},
	{"any port: with one", AT("192.0.2.10", "any, health: {port: 80}"), ""},
	{"any port: none", AT("192.0.2.10", "any, health: {type: none}"), ""},
	{"any port: udp is not checked", AT("192.0.2.10", "any, protocol: udp"), ""},
	{"any port: udp that is checked",
	 AT("192.0.2.10", "any, protocol: udp, health: {type: tcp}"),
	 "4:72: port: the key is missing here: checks use TCP, this service is udp\n"},
	{"any port: no second error after an unknown type",
	 AT("192.0.2.10", "any, health: {type: ping}"),
	 "4:64: type: 'ping' is unknown, expected none, tcp, http or https\n"},
	{"tcp+udp is checked by tcp", WEB "    protocol: tcp+udp\n    health: {interval: 2s}\n",
	 ""},
	{"port 0", WEB "    health: {port: 0}\n",
	 "8:20: port: '0' is out of range, " PORT_EXPECTED},
	{"interval: bare number", WEB "    health: {interval: 500}\n",
	 "8:24: interval: '500' has no unit, " CHECK_EXPECTED},
	{"interval: unknown unit", WEB "    health: {interval: 500us}\n",
	 "8:24: interval: '500us' is not a duration, " CHECK_EXPECTED},
	{"interval: capital unit", WEB "    health: {interval: 1S}\n",
	 "8:24: interval: '1S' is not a duration, " CHECK_EXPECTED},
	{"interval: a blank", WEB "    health: {interval: 1 s}\n",
	 "8:24: interval: '1 s' is not a duration, " CHECK_EXPECTED},
	{"interval: a fraction", WEB "    health: {interval: 1.5s}\n",
	 "8:24: interval: '1.5s' is not a duration, " CHECK_EXPECTED},
	{"interval: negative", WEB "    health: {interval: -1s}\n",
	 "8:24: interval: '-1s' is not a duration, " CHECK_EXPECTED},
	{"interval: no number", WEB "    health: {interval: ms}\n",
	 "8:24: interval: 'ms' is not a duration, " CHECK_EXPECTED},
	{"interval: small unit first", WEB "    health: {interval: 5s1m}\n",
	 "8:24: interval: '5s1m' is not a duration, " CHECK_EXPECTED},
	{"interval: a unit twice", WEB "    health: {interval: 5s5s}\n",
	 "8:24: interval: '5s5s' is not a duration, " CHECK_EXPECTED},
	{"interval: a number left over", WEB "    health: {interval: 1m30}\n",
	 "8:24: interval: '1m30' has no unit, " CHECK_EXPECTED},
	{"interval: too short", WEB "    health: {interval: 9ms}\n",
	 "8:24: interval: '9ms' is out of range, " CHECK_EXPECTED},
	{"interval: too long", WEB "    health: {interval: 1h1ms}\n",
	 "8:24: interval: '1h1ms' is out of range, " CHECK_EXPECTED},
	{"interval: would wrap 64 bits", WEB "    health: {interval: 5124095576031h}\n",
	 "8:24: interval: '5124095576031h' is not a duration, " CHECK_EXPECTED},
	{"timeout: longer than the interval", WEB "    health: {timeout: 200ms, interval: 100ms}\n",
	 "8:23: timeout: '200ms' is longer than the interval, expected at most the interval: "
	 "checks of one backend do not overlap\n"},
	{"timeout: longer than the default interval", WEB "    health: {timeout: 1001ms}\n",
	 "8:23: timeout: '1001ms' is longer than the interval, expected at most the interval: "
	 "checks of one backend do not overlap\n"},
	{"timeout: not compared with an interval that is none",
	 WEB "    health: {timeout: 5s, interval: 5}\n",
	 "8:37: interval: '5' has no unit, " CHECK_EXPECTED},
	{"timeout: the interval", WEB "    health: {timeout: 1s}\n", ""},
	{"rise and fall", WEB "    health: {rise: 0, fall: 101}\n",
	 "8:20: rise: '0' is out of range, expected a number from 1 to 100\n"
	 "8:29: fall: '101' is out of range, expected a number from 1 to 100\n"},
	{"path: no slash", HTTP("path: health"),
	 "8:32: path: 'health' is not valid, " PATH_EXPECTED},
	{"path: a blank", HTTP("path: /a b"), "8:32: path: '/a b' is not valid, " PATH_EXPECTED},
	{"path: CR LF", HTTP("path: \"/\\r\\nX: y\""),
	 "8:32: path: '/??X: y' is not valid, " PATH_EXPECTED},
	{"path: not ASCII", HTTP("path: /\xc3\xa9"),
	 "8:32: path: '/\xc3\xa9' is not valid, " PATH_EXPECTED},
	{"path: too long", HTTP("path: /" X256),
	 "8:32: path: '/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...' is too "
	 "long, " PATH_EXPECTED},
	{"host: a blank", HTTP("host: a b"), "8:32: host: 'a b' is not valid, " HOST_EXPECTED},
	{"host: CR LF", HTTP("host: \"a\\r\\nX:y\""),
	 "8:32: host: 'a??X:y' is not valid, " HOST_EXPECTED},
	{"host: a URL", HTTP("host: http://a/"),
	 "8:32: host: 'http://a/' is not valid, " HOST_EXPECTED},
	{"host: IPv6 without brackets", HTTP("host: fd00::1"),
	 "8:32: host: 'fd00::1' is not valid, " HOST_EXPECTED},
	{"host: an open bracket", HTTP("host: '[fd00::1'"),
	 "8:32: host: '[fd00::1' is not valid, " HOST_EXPECTED},
	{"host: IPv4 in brackets", HTTP("host: '[192.0.2.1]'"),
	 "8:32: host: '[192.0.2.1]' is not valid, " HOST_EXPECTED},
	{"host: a port beyond 65535", HTTP("host: a:65536"),
	 "8:32: host: 'a:65536' is not valid, " HOST_EXPECTED},
	{"host: a port that is none", HTTP("host: a:b"),
	 "8:32: host: 'a:b' is not valid, " HOST_EXPECTED},
	{"host: no port after the colon", HTTP("host: 'a:'"),
	 "8:32: host: 'a:' is not valid, " HOST_EXPECTED},
	{"host: only a port", HTTP("host: ':80'"),
	 "8:32: host: ':80' is not valid, " HOST_EXPECTED},
	{"host: text after the brackets", HTTP("host: '[fd00::1]a'"),
	 "8:32: host: '[fd00::1]a' is not valid, " HOST_EXPECTED},
	{"host: a name", HTTP("host: www.example.org"), ""},
	{"host: a name and port", HTTP("host: a:65535"), ""},
	{"host: IPv4", HTTP("host: 192.0.2.1"), ""},
	{"host: IPv6 and port", HTTP("host: '[fd00::1]:1'"), ""},
	{"host: IPv6", HTTP("host: '[fd00::1]'"), ""},
	{"host: too long", HTTP("host: " X256),
	 "8:32: host: '" X44 "...' is too long, " HOST_EXPECTED},
	{"status: a word", HTTP("status: ok"),
	 "8:34: status: 'ok' is not a status, " STATUS_EXPECTED},
	{"status: below 100", HTTP("status: 99"),
	 "8:34: status: '99' is out of range, " STATUS_EXPECTED},
	{"status: above 599", HTTP("status: 200-600"),
	 "8:34: status: '200-600' is out of range, " STATUS_EXPECTED},
	{"status: reversed", HTTP("status: 299-200"),
	 "8:34: status: '299-200' is out of range, " STATUS_EXPECTED},
	{"status: half a range", HTTP("status: 200-"),
	 "8:34: status: '200-' is not a status, " STATUS_EXPECTED},
	{"status: negative", HTTP("status: -200"),
	 "8:34: status: '-200' is not a status, " STATUS_EXPECTED},
	{"status: four digits", HTTP("status: 2000"),
	 "8:34: status: '2000' is not a status, " STATUS_EXPECTED},
	{"status: two ranges", HTTP("status: 200-204-206"),
	 "8:34: status: '200-204-206' is not a status, " STATUS_EXPECTED},
	{"body: unmatched parenthesis", ESC("("),
	 "8:32: body: Unmatched ( or \\(, expected a POSIX extended regular expression\n"},
	{"body: bad class", ESC("[[:foo:]]"),
	 "8:32: body: Invalid character class name, expected a POSIX extended regular "
	 "expression\n"},
	{"body: empty", ESC(""),
	 "8:32: body: no value, expected a POSIX extended regular expression\n"},
	{"body: too long", ESC(X256),
	 "8:32: body: '" X44 "...' is too long, expected at most 255 bytes\n"},
	{"body: ten nested repetitions", ESC("((((((((((a+)+)+)+)+)+)+)+)+)+)"),
	 "8:32: body: '((((((((((a+)+)+)+)+)+)+)+)+)+)' repeats too much, expected at most 1000 "
	 "elements with all repetitions written out\n"},
	{"body: a great many plus signs", ESC("a+++++++++++++++++++++++"),
	 "8:32: body: 'a+++++++++++++++++++++++' repeats too much, expected at most 1000 elements "
	 "with all repetitions written out\n"},
	{"body: intervals multiply", ESC("(a{1,100}b){20}"),
	 "8:32: body: '(a{1,100}b){20}' repeats too much, expected at most 1000 elements with all "
	 "repetitions written out\n"},
	{"body: an interval beyond 64 bits", ESC("a{99999999999999999999}"),
	 "8:32: body: 'a{99999999999999999999}' repeats too much, expected at most 1000 elements "
	 "with all repetitions written out\n"},
	{"body: brackets are no repetitions", ESC("[]({1000}+[:alpha:]+]+([^]+]|\\(\\+\\[)*"), ""},
	{"body: repetitions side by side add up",
	 ESC("([0-9]{1,3}\\.){3}[0-9]+ (a+|b+|c+|d+|e+|f+|g+)+ ?ready$"), ""},
};

ROWS_TEST(health)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_health),
	};

	return cmocka_run_group_tests_name("config_schema_health", tests, NULL, NULL);
}
