/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses with and without ports, and what is neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>
#include "endpoint.h"
#include "ip.h"

static const struct {
	const char *description, *text;
	const char *address; /* NULL: refused */
	unsigned int port;
} rows[] = {
	{"IPv4", "192.0.2.10", "192.0.2.10", 0},
	{"IPv4 and a port", "192.0.2.10:80", "192.0.2.10", 80},
	{"the highest port", "192.0.2.10:65535", "192.0.2.10", 65535},
	{"IPv6", "2001:db8::10", "2001:db8::10", 0},
	{"IPv6 in brackets", "[2001:db8::10]", "2001:db8::10", 0},
	{"IPv6 and a port", "[2001:db8::10]:80", "2001:db8::10", 80},
	{"IPv6 that ends in colons", "2001:db8::", "2001:db8::", 0},
	{"the longest there is", "[1111:2222:3333:4444:5555:6666:7777:8888]:65535",
	 "1111:2222:3333:4444:5555:6666:7777:8888", 65535},
	{"port 0", "192.0.2.10:0", NULL, 0},
	{"port 65536", "192.0.2.10:65536", NULL, 0},
	{"a port of six digits", "192.0.2.10:000080", NULL, 0},
	{"no digits", "192.0.2.10:", NULL, 0},
	{"a port with a sign", "192.0.2.10:+80", NULL, 0},
	{"a port and more", "192.0.2.10:80x", NULL, 0},
	{"brackets and no port", "[2001:db8::10]:", NULL, 0},
	{"brackets and more", "[2001:db8::10]x80", NULL, 0},
	{"an open bracket", "[2001:db8::10", NULL, 0},
	{"brackets around IPv4", "[192.0.2.10]:80", NULL, 0},
	{"brackets around nothing", "[]:80", NULL, 0},
	{"a port alone", ":80", NULL, 0},
	{"a name", "web", NULL, 0},
	{"a name and a port", "web:80", NULL, 0},
	{"nothing", "", NULL, 0},
	{"longer than any address", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", NULL,
	 0},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct ek_ip ip = {.words = {1, 2, 3, 4}}, expected = ip;
		uint16_t port = 4711;
		int err = ek_endpoint_parse(rows[i].text, &ip, &port);

		if (rows[i].address)
			assert_int_equal(ek_ip_parse(rows[i].address, &expected), 0);
		if (err != (rows[i].address ? 0 : -EINVAL) || !ek_ip_equal(&ip, &expected) ||
		    port != (rows[i].address ? rows[i].port : 4711))
			fail_msg("%s: returned %d, port %u", rows[i].description, err, port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
