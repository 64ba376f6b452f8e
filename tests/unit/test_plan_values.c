/* SPDX-License-Identifier: GPL-2.0-only */
/* What the data plane's tables hold for services of every method: rows of backends, and entries. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <evenkeel/flow_table.h>
#include "ip.h"
#include "plan.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct ek_ip ip(const char *text)
{
	struct ek_ip out;

	assert_int_equal(ek_ip_parse(text, &out), 0);
	return out;
}

static void append(char *out, size_t size, const char *format, ...)
{
	size_t length = strlen(out);
	va_list args;

	va_start(args, format);
	vsnprintf(out + length, size - length, format, args);
	va_end(args);
}

/* --- rows of backends ------------------------------------------------------------------------ */

/* RFC 1071 over a header with the backend's sum and any values in the words that vary. */
static void test_constant_sum(void **unused)
{
	static const char *const addresses[] = {"10.0.0.1", "255.254.253.252", "1.2.3.4",
						"203.0.113.255"};
	const struct ek_config_service config = {.forward = EK_FORWARD_IPIP};

	(void)unused;
	for (size_t i = 0; i < LENGTH(addresses); i++) {
		struct ek_intent_backend b = {.mtu = 1500, .nexthop = 7};
		struct ek_backend row;
		uint8_t header[20] = {0x45, 0, 0, 0, 0, 0, 0, 0, EK_OUTER_TTL, IPPROTO_IPIP};
		uint32_t sum = 0;

		assert_int_equal(ek_ip_parse(addresses[i], &b.address), 0);
		memcpy(header + 16, &b.address.bytes[12], 4);
		for (size_t j = 0; j < sizeof(header); j += 2)
			sum += header[j] << 8 | header[j + 1];
		row = ek_plan_row(&config, 9, &b);
		/* The ABI's sum is of words as they lie in memory: the same, bytes swapped. */
		assert_int_equal(htons(sum % 0xffff), row.csum % 0xffff);
		assert_int_equal(row.service, 9);
		assert_int_equal(row.mtu, 1500);
		assert_int_equal(row.nexthop, 7);
		assert_int_equal(row.forward, EK_FORWARD_IPIP);
		assert_true(ek_ip_equal(&row.address, &b.address));
	}
}

/* How packets for a backend leave, and by how many bytes they grow. */
static const struct {
	const char *description;
	struct ek_config_service config;
	const char *address;
	bool local;
	enum ek_forward forward;
	uint8_t dscp, gue_header;
	uint16_t gue_port;
	unsigned int overhead;
} methods[] = {
	{"ipip", {.forward = EK_FORWARD_IPIP}, "10.0.0.1", false, EK_FORWARD_IPIP, 0, 0, 0, 20},
	{"ipip, IPv6",
	 {.forward = EK_FORWARD_IPIP},
	 "fd00::1",
	 false,
	 EK_FORWARD_IPIP6,
	 0,
	 0,
	 0,
	 40},
	{"gue",
	 {.forward = EK_FORWARD_GUE, .gue_port = 6080},
	 "10.0.0.1",
	 false,
	 EK_FORWARD_GUE,
	 0,
	 4,
	 6080,
	 32},
	{"gue, direct",
	 {.forward = EK_FORWARD_GUE, .gue_port = 5555, .gue_variant = 1},
	 "fd00::1",
	 false,
	 EK_FORWARD_GUE6,
	 0,
	 0,
	 5555,
	 48},
	{"tos",
	 {.forward = EK_FORWARD_TOS, .tos = 63},
	 "10.0.0.1",
	 false,
	 EK_FORWARD_TOS,
	 252,
	 0,
	 0,
	 0},
	{"tos, IPv6",
	 {.forward = EK_FORWARD_TOS, .tos = 1},
	 "fd00::1",
	 false,
	 EK_FORWARD_TOS,
	 4,
	 0,
	 0,
	 0},
	{"l2", {.forward = EK_FORWARD_L2}, "10.0.0.1", false, EK_FORWARD_L2, 0, 0, 0, 0},
	{"local", {.forward = EK_FORWARD_LOCAL}, "10.0.0.1", true, EK_FORWARD_LOCAL, 0, 0, 0, 0},
	{"this host, by gue",
	 {.forward = EK_FORWARD_GUE, .gue_port = 6080},
	 "10.0.0.1",
	 true,
	 EK_FORWARD_LOCAL,
	 0,
	 0,
	 0,
	 32},
};

static void test_methods(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < LENGTH(methods); i++) {
		struct ek_intent_backend b = {.local = methods[i].local, .index = 7};
		struct ek_backend row;

		print_message("  %s\n", methods[i].description);
		assert_int_equal(ek_ip_parse(methods[i].address, &b.address), 0);
		row = ek_plan_row(&methods[i].config, 3, &b);
		assert_int_equal(row.forward, methods[i].forward);
		assert_int_equal(row.dscp, methods[i].dscp);
		assert_int_equal(row.gue_header, methods[i].gue_header);
		assert_int_equal(ntohs(row.gue_port), methods[i].gue_port);
		assert_int_equal(row.index, 7);
		assert_int_equal(ek_plan_overhead(&methods[i].config, &b.address),
				 methods[i].overhead);
	}
}

/* --- entries --------------------------------------------------------------------------------- */

/* Of a service with 192.0.2.1 and 2001:db8::/64, and backends with these MTUs. */
static const struct {
	const char *description;
	struct ek_config_service config;
	const char *mtus;    /* "1500" is 10.0.0.1's, "6:1400" one of IPv6, "l:1300" this host's */
	const char *entries; /* first-last/protocol mss timeout flags, of each */
} several[] = {
	{"tcp",
	 {.protocol = IPPROTO_TCP, .port = 80, .port_last = 80, .forward = EK_FORWARD_L2},
	 "1500",
	 "4:80-0/6 0 7912 F; 6:80-80/6 0 7912"},
	{"udp",
	 {.protocol = IPPROTO_UDP, .port = 80, .port_last = 90, .forward = EK_FORWARD_L2},
	 "1500",
	 "4:80-90/17 0 294 F; 6:80-90/17 0 294"},
	{"any protocol: addresses alone, and datagrams",
	 {.port_last = 65535},
	 "1500",
	 "4:0-65535/0 0 294 FP; 6:0-65535/0 0 294 P"},
	{"both protocols: timeouts by each, an MSS for one",
	 {.udp_too = true, .protocol = IPPROTO_TCP, .port = 53, .port_last = 53, .mss = 1300},
	 "1500",
	 "4:53-0/6 1300 7912 F; 4:53-0/17 0 294; 6:53-53/6 1300 7912; 6:53-53/17 0 294"},
	{"mss: auto, ipip",
	 {.protocol = IPPROTO_TCP,
	  .port = 80,
	  .port_last = 80,
	  .forward = EK_FORWARD_IPIP,
	  .mss = EK_MSS_AUTO},
	 "1500",
	 "4:80-0/6 1440 7912 F; 6:80-80/6 1420 7912"},
	{"… by the smallest path",
	 {.protocol = IPPROTO_TCP,
	  .port = 80,
	  .port_last = 80,
	  .forward = EK_FORWARD_IPIP,
	  .mss = EK_MSS_AUTO},
	 "1500 1400 0",
	 "4:80-0/6 1340 7912 F; 6:80-80/6 1320 7912"},
	{"… where IPv6 costs more",
	 {.protocol = IPPROTO_TCP,
	  .port = 80,
	  .port_last = 80,
	  .forward = EK_FORWARD_IPIP,
	  .mss = EK_MSS_AUTO},
	 "1500 6:1500",
	 "4:80-0/6 1420 7912 F; 6:80-80/6 1400 7912"},
	{"… with no tunnel to this host",
	 {.protocol = IPPROTO_TCP,
	  .port = 80,
	  .port_last = 80,
	  .forward = EK_FORWARD_GUE,
	  .mss = EK_MSS_AUTO},
	 "l:1450 1500",
	 "4:80-0/6 1410 7912 F; 6:80-80/6 1390 7912"},
	{"… by gue",
	 {.protocol = IPPROTO_TCP,
	  .port = 80,
	  .port_last = 80,
	  .forward = EK_FORWARD_GUE,
	  .mss = EK_MSS_AUTO},
	 "1500",
	 "4:80-0/6 1428 7912 F; 6:80-80/6 1408 7912"},
	{"… while no path is known",
	 {.protocol = IPPROTO_TCP,
	  .port = 80,
	  .port_last = 80,
	  .forward = EK_FORWARD_IPIP,
	  .mss = EK_MSS_AUTO},
	 "0",
	 "4:80-0/6 0 7912 F; 6:80-80/6 0 7912"},
};

static size_t parse_mtus(const char *text, struct ek_intent_backend *out)
{
	size_t n = 0;

	for (; *text; n++) {
		bool six = text[0] == '6' && text[1] == ':', local = text[0] == 'l';

		out[n] = (struct ek_intent_backend){.local = local};
		assert_int_equal(ek_ip_parse(six ? "fd00::1" : "10.0.0.1", &out[n].address), 0);
		out[n].mtu = atoi(text + 2 * (six || local));
		text += strcspn(text, " ");
		text += strspn(text, " ");
	}
	return n;
}

static void render_entries(const struct ek_service *list, size_t n, char *out, size_t size)
{
	*out = '\0';
	for (size_t i = 0; i < n; i++) {
		uint64_t key = list[i].key;

		append(out, size, "%s%d:%u-%u/%u %u %u", i ? "; " : "",
		       ek_ip_is_v4(&list[i].vip) ? 4 : 6, ntohs(EK_SERVICE_KEY_PORT(key)),
		       ntohs(EK_SERVICE_KEY_LAST(key)), EK_SERVICE_KEY_PROTO(key), list[i].mss,
		       list[i].timeout[EK_FLOW_ESTABLISHED]);
		if (list[i].flags)
			append(out, size, " %s%s", list[i].flags & EK_SERVICE_F_FIRST ? "F" : "",
			       list[i].flags & EK_SERVICE_F_PORTLESS ? "P" : "");
	}
}

/* In any order but for the first: tables have them in another than files. */
static void test_several_entries(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < LENGTH(several); i++) {
		struct ek_config_service config = several[i].config;
		struct ek_intent_backend backends[4];
		struct ek_intent_service s = {.config = &config, .backends = backends, .id = 9};
		struct ek_service list[EK_SERVICE_ENTRIES_MAX];
		char text[512], *at, *part, copy[512];
		size_t n;

		print_message("  %s\n", several[i].description);
		config.addresses[0] = (struct ek_config_vip){ip("192.0.2.1"), 128};
		config.addresses[1] = (struct ek_config_vip){ip("2001:db8::"), 64};
		config.n_addresses = 2;
		config.timeouts = (struct ek_config_timeouts){8100, 60, 120, 300};
		s.n_backends = parse_mtus(several[i].mtus, backends);
		n = ek_plan_entries(&s, ek_clock_of(1000), list);
		render_entries(list, n, text, sizeof(text));
		assert_true(list[0].flags & EK_SERVICE_F_FIRST);
		snprintf(copy, sizeof(copy), "%s", several[i].entries);
		assert_int_equal(strlen(text), strlen(copy));
		for (at = copy; (part = strsep(&at, ";"));)
			if (!strstr(text, part + strspn(part, " ")))
				fail_msg("'%s' is not in '%s'", part, text);
		for (size_t j = 0; j < n; j++)
			assert_int_equal(list[j].id, 9);
	}
}

/* A source of another family than the VIP's serves only where all packets change families. */
static void test_outer_source_of_another_family(void **unused)
{
	struct ek_intent_backend backends[2] = {{.address = ip("fd00::2")},
						{.address = ip("10.0.0.2")}};
	struct ek_config_service config = {.forward = EK_FORWARD_IPIP,
					   .protocol = IPPROTO_TCP,
					   .addresses[0] = {ip("192.0.2.1"), 128},
					   .n_addresses = 1,
					   .port = 80,
					   .port_last = 80,
					   .outer_source_set = true};
	struct ek_intent_service s = {.config = &config, .backends = backends, .n_backends = 1};
	struct ek_service list[EK_SERVICE_ENTRIES_MAX];

	(void)unused;
	assert_int_equal(ek_prefix_parse("2001:db8:1::/112", &config.outer_source,
					 &config.outer_source_length),
			 0);
	assert_int_equal(ek_plan_entries(&s, ek_clock_of(1000), list), 1);
	assert_int_equal(ntohl(list[0].outer_mask), 0xffff);
	s.n_backends = 2;
	assert_int_equal(ek_plan_entries(&s, ek_clock_of(1000), list), 1);
	assert_int_equal(list[0].outer_mask, 0);
	assert_true(ek_ip_is_zero(&list[0].outer_source));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_constant_sum),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_several_entries),
		cmocka_unit_test(test_outer_source_of_another_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
