/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <arpa/inet.h>
#include "ip.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* An address that is accepted reads back as `canonical`; one that is not has none. */
static const struct {
	const char *description, *text, *canonical;
} addresses[] = {
	{"dotted quad", "192.0.2.10", "192.0.2.10"},
	{"all zero IPv4", "0.0.0.0", "0.0.0.0"},
	{"all ones IPv4", "255.255.255.255", "255.255.255.255"},
	{"IPv6", "2001:db8::10", "2001:db8::10"},
	{"IPv6 in upper case and full", "2001:0DB8:0:0:0:0:0:0010", "2001:db8::10"},
	{"all zero IPv6", "::", "::"},
	{"longest IPv6", "1111:2222:3333:4444:5555:6666:7777:8888",
	 "1111:2222:3333:4444:5555:6666:7777:8888"},
	{"IPv6 with an IPv4 tail outside ::ffff", "64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
	{"v4-mapped", "::ffff:192.0.2.1", NULL},
	{"v4-mapped in hexadecimal", "::ffff:c000:201", NULL},
	{"empty", "", NULL},
	{"three parts", "192.0.2", NULL},
	{"five parts", "192.0.2.1.1", NULL},
	{"part above 255", "192.0.2.256", NULL},
	{"leading zero (octal elsewhere)", "192.0.02.1", NULL},
	{"hexadecimal part", "0xc0.0.2.1", NULL},
	{"blank before", " 192.0.2.1", NULL},
	{"blank after", "192.0.2.1 ", NULL},
	{"a port behind", "192.0.2.1:80", NULL},
	{"a name", "localhost", NULL},
	{"a scope", "fe80::1%eth0", NULL},
	{"brackets", "[2001:db8::1]", NULL},
	{"two double colons", "2001::db8::1", NULL},
	{"a prefix", "192.0.2.0/24", NULL},
};

static void test_parse_and_format(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(addresses); i++) {
		struct ek_ip ip, untouched;
		char text[EK_IP_TEXT];
		int err;

		memset(&ip, 0xa5, sizeof(ip));
		untouched = ip;
		err = ek_ip_parse(addresses[i].text, &ip);
		print_message("  %s\n", addresses[i].description);
		assert_int_equal(err, addresses[i].canonical ? 0 : -EINVAL);
		if (addresses[i].canonical)
			assert_string_equal(ek_ip_format(&ip, text), addresses[i].canonical);
		else
			assert_memory_equal(&ip, &untouched, sizeof(ip));
	}
}

static const struct {
	const char *description, *text, *address;
	int length; /* -1: refused */
} prefixes[] = {
	{"IPv4", "10.0.0.0/8", "10.0.0.0", 8},
	{"IPv4, in the middle of a byte", "10.16.0.0/12", "10.16.0.0", 12},
	{"everything", "0.0.0.0/0", "0.0.0.0", 0},
	{"one address", "10.0.0.1/32", "10.0.0.1", 32},
	{"one address, no length", "10.0.0.1", "10.0.0.1", 32},
	{"IPv6", "fd00::/96", "fd00::", 96},
	{"IPv6, in the middle of a byte", "fd00::8/125", "fd00::8", 125},
	{"all of IPv6", "::/0", "::", 0},
	{"IPv6, no length", "fd00::1", "fd00::1", 128},
	{"host bits in the same byte", "10.17.0.0/12", NULL, -1},
	{"host bits in the last byte", "10.0.0.1/8", NULL, -1},
	{"IPv6 host bits", "fd00::1/127", NULL, -1},
	{"IPv4 too long", "10.0.0.0/33", NULL, -1},
	{"IPv6 too long", "fd00::/129", NULL, -1},
	{"number overflow", "10.0.0.0/4294967304", NULL, -1},
	{"negative", "10.0.0.0/-8", NULL, -1},
	{"plus sign", "10.0.0.0/+8", NULL, -1},
	{"leading zero", "10.0.0.0/08", NULL, -1},
	{"a netmask", "10.0.0.0/255.0.0.0", NULL, -1},
	{"nothing after the slash", "10.0.0.0/", NULL, -1},
	{"two slashes", "10.0.0.0/8/8", NULL, -1},
	{"no address", "/8", NULL, -1},
	{"an address longer than any",
	 "00000000000000000000000000000000000000000000000000000000000000000/8", NULL, -1},
};

static void test_prefix(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(prefixes); i++) {
		char text[EK_IP_TEXT];
		unsigned int length;
		struct ek_ip ip;
		int err = ek_prefix_parse(prefixes[i].text, &ip, &length);

		print_message("  %s\n", prefixes[i].description);
		assert_int_equal(err, prefixes[i].address ? 0 : -EINVAL);
		if (err)
			continue;
		assert_string_equal(ek_ip_format(&ip, text), prefixes[i].address);
		assert_int_equal(length, prefixes[i].length);
	}
}

static const struct {
	const char *text;
	unsigned int length; /* of 128 bits */
	const char *masked;
} masks[] = {
	{"192.0.2.10", 128, "192.0.2.10"},
	{"192.0.2.255", 127, "192.0.2.254/31"},
	{"192.0.2.10", 124, "192.0.2.0/28"},
	{"192.0.2.10", 120, "192.0.2.0/24"},
	{"172.17.1.1", 108, "172.16.0.0/12"},
	{"192.0.2.10", 96, "0.0.0.0/0"},
	{"2001:db8::ffff", 128, "2001:db8::ffff"},
	{"2001:db8::ffff", 113, "2001:db8::8000/113"},
	{"2001:db8::ffff", 64, "2001:db8::/64"},
	{"2001:db8::ffff", 3, "2000::/3"},
	{"2001:db8::ffff", 0, "::/0"},
};

static void test_mask(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(masks); i++) {
		char text[EK_PREFIX_TEXT];
		struct ek_ip ip;

		assert_int_equal(ek_ip_parse(masks[i].text, &ip), 0);
		ip = ek_ip_mask(&ip, masks[i].length);
		assert_string_equal(ek_prefix_format(&ip, masks[i].length, text), masks[i].masked);
	}
}

static const struct {
	const char *text, *why;
} uses[] = {
	{"0.0.0.0", "unspecified"},  {"255.255.255.255", "broadcast"},
	{"127.0.0.1", "loopback"},   {"127.255.255.254", "loopback"},
	{"224.0.0.18", "multicast"}, {"239.255.255.255", "multicast"},
	{"::", "unspecified"},	     {"::1", "loopback"},
	{"ff02::12", "multicast"},   {"fe80::1", "link-local"},
	{"126.255.255.255", NULL},   {"128.0.0.0", NULL},
	{"192.0.2.10", NULL},	     {"2001:db8::10", NULL},
	{"fd00:2::21", NULL},
};

static void test_unusable(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(uses); i++) {
		struct ek_ip ip;
		const char *why;

		print_message("  %s\n", uses[i].text);
		assert_int_equal(ek_ip_parse(uses[i].text, &ip), 0);
		why = ek_ip_unusable(&ip);
		assert_string_equal(why ? why : "usable", uses[i].why ? uses[i].why : "usable");
	}
}

/* The bytes that the data plane reads: v4-mapped, network order. */
static void test_layout(void **state)
{
	static const unsigned char mapped[16] = {0, 0, 0,    0,	   0,	0, 0, 0,
						 0, 0, 0xff, 0xff, 192, 0, 2, 10};
	struct ek_ip v4, same, v6, zero = {.halves = {0, 0}};

	(void)state;
	assert_int_equal(ek_ip_parse("192.0.2.10", &v4), 0);
	assert_int_equal(ek_ip_parse("2001:db8::10", &v6), 0);
	assert_memory_equal(&v4, mapped, sizeof(mapped));
	same = ek_ip_from4(inet_addr("192.0.2.10"));
	assert_true(ek_ip_equal(&v4, &same));
	assert_false(ek_ip_equal(&v4, &v6));
	assert_int_equal(ek_ip_family(&v4), AF_INET);
	assert_int_equal(ek_ip_family(&v6), AF_INET6);
	assert_int_equal(ek_ip_compare(&v4, &same), 0);
	assert_true(ek_ip_compare(&v4, &v6) < 0);
	assert_true(ek_ip_compare(&v6, &v4) > 0);
	assert_true(ek_ip_is_zero(&zero));
	assert_false(ek_ip_is_zero(&v6));
	v4 = ek_ip_from4(0);
	assert_false(ek_ip_is_zero(&v4));
}

static void test_sockaddr(void **state)
{
	struct sockaddr_storage storage;
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;
	struct in6_addr expected;
	struct ek_ip ip;

	(void)state;
	ek_ip_parse("192.0.2.10", &ip);
	assert_int_equal(ek_ip_sockaddr(&ip, 8080, &storage), sizeof(v4));
	memcpy(&v4, &storage, sizeof(v4));
	assert_int_equal(v4.sin_family, AF_INET);
	assert_int_equal(v4.sin_port, htons(8080));
	assert_int_equal(v4.sin_addr.s_addr, inet_addr("192.0.2.10"));

	ek_ip_parse("2001:db8::10", &ip);
	assert_int_equal(ek_ip_sockaddr(&ip, 443, &storage), sizeof(v6));
	memcpy(&v6, &storage, sizeof(v6));
	inet_pton(AF_INET6, "2001:db8::10", &expected);
	assert_int_equal(v6.sin6_family, AF_INET6);
	assert_int_equal(v6.sin6_port, htons(443));
	assert_memory_equal(&v6.sin6_addr, &expected, sizeof(expected));
	assert_int_equal(v6.sin6_flowinfo | v6.sin6_scope_id, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_and_format),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_mask),
		cmocka_unit_test(test_unusable),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_sockaddr),
	};

	return cmocka_run_group_tests_name("ip", tests, NULL, NULL);
}
