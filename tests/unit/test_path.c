/* SPDX-License-Identifier: GPL-2.0-only */
/* How a method reaches a backend: rows of service, next hop and interface, and what is said. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>
#include "ip.h"
#include "path.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum { USABLE = 1, LOCAL = 2, MISFIT = 4 };

static const struct {
	const char *description;
	enum ek_forward forward;
	const char *backend, *gateway; /* gateway NULL: not watched */
	enum ek_nexthop_state state;
	bool own;
	int port, any_port;
	const char *source4, *source6; /* of the egress interface */
	const char *outer_source;
	unsigned int verdict;
	const char *text;
} rows[] = {
	{"ipip, on-link", EK_FORWARD_IPIP, "10.0.0.2", "10.0.0.2", EK_NEXTHOP_OK, false, 3, 0,
	 "10.0.0.1", NULL, NULL, USABLE, "10.0.0.2"},
	{"ipip, by a router", EK_FORWARD_IPIP, "10.9.0.2", "10.0.0.254", EK_NEXTHOP_OK, false, 3, 0,
	 "10.0.0.1", NULL, NULL, USABLE, "10.0.0.254"},
	{"ipip, IPv6, by a router", EK_FORWARD_IPIP, "fd00::2", "fe80::1", EK_NEXTHOP_OK, false, 3,
	 0, NULL, "fd00::1", NULL, USABLE, "fe80::1"},
	{"not watched", EK_FORWARD_IPIP, "10.0.0.2", NULL, EK_NEXTHOP_OK, false, 3, 0, "10.0.0.1",
	 NULL, NULL, 0, "no route"},
	{"no route", EK_FORWARD_IPIP, "10.0.0.2", "10.0.0.2", EK_NEXTHOP_NO_ROUTE, false, 3, 0,
	 "10.0.0.1", NULL, NULL, 0, "no route"},
	{"no neighbour", EK_FORWARD_IPIP, "10.0.0.2", "10.0.0.2", EK_NEXTHOP_NO_NEIGHBOUR, false, 3,
	 0, "10.0.0.1", NULL, NULL, 0, "no neighbour"},
	{"by an interface that is not ours", EK_FORWARD_IPIP, "10.0.0.2", "10.0.0.2", EK_NEXTHOP_OK,
	 false, -1, 0, "10.0.0.1", NULL, NULL, 0,
	 "leaves by an interface that is not in 'interfaces'"},

	{"ipip: no IPv4 address there", EK_FORWARD_IPIP, "10.0.0.2", "10.0.0.2", EK_NEXTHOP_OK,
	 false, 3, 0, NULL, "fd00::1", NULL, MISFIT,
	 "ipip needs an IPv4 address for its outer header, and eth1 has none"},
	{"gue: no IPv6 address there", EK_FORWARD_GUE, "fd00::2", "fe80::1", EK_NEXTHOP_OK, false,
	 3, 0, "10.0.0.1", NULL, NULL, MISFIT,
	 "gue needs an IPv6 address for its outer header, and eth1 has none"},
	{"… said before there is a neighbour", EK_FORWARD_GUE, "fd00::2", "fe80::1",
	 EK_NEXTHOP_NO_NEIGHBOUR, false, 3, 0, "10.0.0.1", NULL, NULL, MISFIT,
	 "gue needs an IPv6 address for its outer header, and eth1 has none"},
	{"outer-source stands in", EK_FORWARD_IPIP, "10.0.0.2", "10.0.0.2", EK_NEXTHOP_OK, false, 3,
	 0, NULL, "fd00::1", "10.99.0.0", USABLE, "10.0.0.2"},
	{"… not for another family", EK_FORWARD_IPIP, "10.0.0.2", "10.0.0.2", EK_NEXTHOP_OK, false,
	 3, 0, NULL, "fd00::1", "fd99::", MISFIT,
	 "ipip needs an IPv4 address for its outer header, and eth1 has none"},
	{"tos needs none", EK_FORWARD_TOS, "10.0.0.2", "10.0.0.2", EK_NEXTHOP_OK, false, 3, 0, NULL,
	 NULL, NULL, USABLE, "10.0.0.2"},
	{"tos may be routed", EK_FORWARD_TOS, "10.9.0.2", "10.0.0.254", EK_NEXTHOP_OK, false, 3, 0,
	 NULL, NULL, NULL, USABLE, "10.0.0.254"},

	{"l2, on-link", EK_FORWARD_L2, "10.0.0.2", "10.0.0.2", EK_NEXTHOP_OK, false, 3, 0, NULL,
	 NULL, NULL, USABLE, "10.0.0.2"},
	{"l2, by a router", EK_FORWARD_L2, "10.9.9.9", "10.2.0.1", EK_NEXTHOP_OK, false, 3, 0, NULL,
	 NULL, NULL, MISFIT,
	 "l2 needs a backend on the same network: 10.9.9.9 is reached through 10.2.0.1"},
	{"l2, IPv6, by a router", EK_FORWARD_L2, "fd00::2", "fe80::1", EK_NEXTHOP_OK, false, 3, 0,
	 NULL, NULL, NULL, MISFIT,
	 "l2 needs a backend on the same network: fd00::2 is reached through fe80::1"},

	{"this host, by any method", EK_FORWARD_IPIP, "10.0.0.1", "10.0.0.1", EK_NEXTHOP_IS_LOCAL,
	 true, -1, 5, NULL, NULL, NULL, USABLE | LOCAL, "this host"},
	{"forward: local", EK_FORWARD_LOCAL, "10.0.0.2", NULL, EK_NEXTHOP_NO_ROUTE, false, -1, 5,
	 NULL, NULL, NULL, USABLE | LOCAL, "this host"},
	{"… with nothing attached", EK_FORWARD_LOCAL, "10.0.0.2", NULL, EK_NEXTHOP_NO_ROUTE, false,
	 -1, -1, NULL, NULL, NULL, LOCAL, "no interface is attached"},
	{"a multicast address is not this host", EK_FORWARD_IPIP, "224.0.0.1", "224.0.0.1",
	 EK_NEXTHOP_IS_LOCAL, false, 3, 0, "10.0.0.1", NULL, NULL, 0, "local"},
};

static struct ek_ip ip(const char *text)
{
	struct ek_ip out = {0};

	if (text)
		assert_int_equal(ek_ip_parse(text, &out), 0);
	return out;
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(rows); i++) {
		const struct ek_ip backend = ip(rows[i].backend);
		struct ek_config_service service = {.forward = rows[i].forward,
						    .vip = ip("192.0.2.1"),
						    .outer_source = ip(rows[i].outer_source),
						    .outer_source_set = rows[i].outer_source};
		const struct ek_nexthop hop = {.state = rows[i].state,
					       .gateway = ip(rows[i].gateway),
					       .mac = {2, 0, 0, 0, 0, 7},
					       .mtu = 1400};
		const struct ek_link egress = {.name = "eth1",
					       .address4 = ip(rows[i].source4),
					       .address6 = ip(rows[i].source6)};
		const struct ek_path_query query = {.service = &service,
						    .address = &backend,
						    .own = rows[i].own,
						    .hop = rows[i].gateway ? &hop : NULL,
						    .egress = &egress,
						    .port = rows[i].port,
						    .any_port = rows[i].any_port};
		struct ek_path path;

		print_message("  %s\n", rows[i].description);
		ek_path_judge(&query, &path);
		assert_string_equal(path.text, rows[i].text);
		assert_int_equal(path.usable * USABLE | path.local * LOCAL | path.misfit * MISFIT,
				 rows[i].verdict);
		if (!path.usable)
			continue;
		assert_int_equal(path.port, path.local ? rows[i].any_port : rows[i].port);
		assert_int_equal(path.mtu, path.local && !query.hop ? 65535 : 1400);
		if (!path.local)
			assert_memory_equal(path.mac, hop.mac, 6);
	}
}

static const struct {
	const char *description;
	struct ek_config_service service;
	const char *backend;
	unsigned int path, link;
	const char *text; /* NULL: wide enough */
} narrow[] = {
	{"ipip",
	 {.forward = EK_FORWARD_IPIP, .protocol = IPPROTO_TCP},
	 "10.0.0.2",
	 1500,
	 1500,
	 "ipip needs 1520 for full 1500-byte packets and the path to web1 has 1500: larger packets "
	 "are answered with 'packet too big'"},
	{"ipip, just enough", {.forward = EK_FORWARD_IPIP}, "10.0.0.2", 1520, 1500, NULL},
	{"ipip, one byte less",
	 {.forward = EK_FORWARD_IPIP},
	 "10.0.0.2",
	 1519,
	 1500,
	 "ipip needs 1520 for full 1500-byte packets and the path to web1 has 1519: larger packets "
	 "are answered with 'packet too big'"},
	{"ipip over IPv6",
	 {.forward = EK_FORWARD_IPIP},
	 "fd00::2",
	 1500,
	 1500,
	 "ipip needs 1540 for full 1500-byte packets and the path to web1 has 1500: larger packets "
	 "are answered with 'packet too big'"},
	{"gue",
	 {.forward = EK_FORWARD_GUE},
	 "10.0.0.2",
	 1500,
	 1500,
	 "gue needs 1532 for full 1500-byte packets and the path to web1 has 1500: larger packets "
	 "are answered with 'packet too big'"},
	{"gue, direct, over IPv6",
	 {.forward = EK_FORWARD_GUE, .gue_variant = 1},
	 "fd00::2",
	 1400,
	 9000,
	 "gue needs 9048 for full 9000-byte packets and the path to web1 has 1400: larger packets "
	 "are answered with 'packet too big'"},
	{"tos adds nothing", {.forward = EK_FORWARD_TOS}, "10.0.0.2", 1400, 1500, NULL},
	{"l2 adds nothing", {.forward = EK_FORWARD_L2}, "10.0.0.2", 1400, 1500, NULL},
	{"not known yet", {.forward = EK_FORWARD_IPIP}, "10.0.0.2", 0, 1500, NULL},
	{"an MSS for servers, which says nothing to clients",
	 {.forward = EK_FORWARD_IPIP, .protocol = IPPROTO_TCP, .mss = EK_MSS_AUTO},
	 "10.0.0.2",
	 1500,
	 1500,
	 "ipip needs 1520 for full 1500-byte packets and the path to web1 has 1500: larger packets "
	 "are answered with 'packet too big'"},
};

static void test_narrow(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(narrow); i++) {
		const struct ek_ip backend = ip(narrow[i].backend);
		char text[200] = "";

		print_message("  %s\n", narrow[i].description);
		assert_int_equal(ek_path_is_narrow(&narrow[i].service, "web1", &backend,
						   narrow[i].path, narrow[i].link, text,
						   sizeof(text)),
				 narrow[i].text != NULL);
		assert_string_equal(text, narrow[i].text ? narrow[i].text : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_narrow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
