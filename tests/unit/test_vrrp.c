/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VRRP messages against bytes that Scapy built, both IPv4 checksums, every reason to refuse one and
 * which of several comes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "ip.h"
#include "vrrp.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct ek_ip ip(const char *text)
{
	struct ek_ip out;

	assert_int_equal(ek_ip_parse(text, &out), 0);
	return out;
}

#define FOUR_HEAD "\x31\x33\xc8\x01\x00\x64"
#define SIX	  "\xfe\x80\0\0\0\0\0\0\x02\0\x5e\xff\xfe\0\x02\xff"

static const struct {
	const char *description, *source, *destination;
	const char *vips[4];
	unsigned int interval;
	uint8_t vrid, priority;
	bool pseudo_header;
	size_t length;
	const char *bytes;
} messages[] = {
	{"IPv4",
	 "192.0.2.1",
	 "224.0.0.18",
	 {"198.51.100.10"},
	 1000,
	 51,
	 200,
	 false,
	 12,
	 FOUR_HEAD "\xdc\x28\xc6\x33\x64\x0a"},
	{"IPv4, pseudo-header",
	 "192.0.2.1",
	 "224.0.0.18",
	 {"198.51.100.10"},
	 1000,
	 51,
	 200,
	 true,
	 12,
	 FOUR_HEAD "\x39\x98\xc6\x33\x64\x0a"},
	{"unicast, resignation, three VIPs, 10 ms",
	 "10.0.0.1",
	 "10.0.0.2",
	 {"10.0.0.10", "10.0.0.11", "10.0.0.12"},
	 10,
	 1,
	 0,
	 false,
	 20,
	 "\x31\x01\0\x03\0\x01\xb0\xd9\x0a\0\0\x0a\x0a\0\0\x0b\x0a\0\0\x0c"},
	{"the same, pseudo-header",
	 "10.0.0.1",
	 "10.0.0.2",
	 {"10.0.0.10", "10.0.0.11", "10.0.0.12"},
	 10,
	 1,
	 0,
	 true,
	 20,
	 "\x31\x01\0\x03\0\x01\x9c\x52\x0a\0\0\x0a\x0a\0\0\x0b\x0a\0\0\x0c"},
	{"IPv6, two VIPs, 40.95 s",
	 "fe80::1",
	 "ff02::12",
	 {"fe80::200:5eff:fe00:2ff", "2001:db8::10"},
	 40950,
	 255,
	 254,
	 false,
	 40,
	 "\x31\xff\xfe\x02\x0f\xff\x33\x86" SIX "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x10"},
	{"IPv6 has one convention",
	 "fe80::1",
	 "ff02::12",
	 {"fe80::200:5eff:fe00:2ff", "2001:db8::10"},
	 40950,
	 255,
	 254,
	 true,
	 40,
	 "\x31\xff\xfe\x02\x0f\xff\x33\x86" SIX "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x10"},
};

static size_t parse_vips(const char *const text[4], struct ek_ip *vips)
{
	size_t n = 0;

	for (; n < 4 && text[n]; n++)
		vips[n] = ip(text[n]);
	return n;
}

static void test_build(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		struct ek_ip vips[4], source = ip(messages[i].source),
				      destination = ip(messages[i].destination);
		struct ek_vrrp_advert advert = {messages[i].vrid, messages[i].priority,
						messages[i].interval, vips,
						parse_vips(messages[i].vips, vips)};
		uint8_t out[EK_VRRP_MESSAGE_MAX];
		size_t length = ek_vrrp_build(&advert, &source, &destination,
					      messages[i].pseudo_header, out, sizeof(out));

		if (length != messages[i].length || memcmp(out, messages[i].bytes, length) != 0)
			fail_msg("%s: other bytes", messages[i].description);
		if (ek_vrrp_build(&advert, &source, &destination, messages[i].pseudo_header, out,
				  length - 1))
			fail_msg("%s: built into too little room", messages[i].description);
	}
}

static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		struct ek_ip vips[4], source = ip(messages[i].source),
				      destination = ip(messages[i].destination);
		size_t n = parse_vips(messages[i].vips, vips);
		struct ek_vrrp_heard heard;
		bool convention = messages[i].pseudo_header && ek_ip_is_v4(&source);

		if (ek_vrrp_parse((const uint8_t *)messages[i].bytes, messages[i].length, 255,
				  &source, &destination, &heard))
			fail_msg("%s: refused", messages[i].description);
		if (heard.vrid != messages[i].vrid || heard.priority != messages[i].priority ||
		    heard.interval != messages[i].interval || heard.n_vips != n ||
		    memcmp(heard.vips, vips, n * sizeof(*vips)) != 0 ||
		    heard.pseudo_header != convention)
			fail_msg("%s: read otherwise", messages[i].description);
	}
}

static void test_not_built(void **state)
{
	static struct ek_ip vips[256];
	const struct ek_ip four = ip("10.0.0.1"), six = ip("fe80::1");
	struct ek_vrrp_advert advert = {1, 100, 1000, vips, 2};
	uint8_t out[8 + 256 * 16];

	(void)state;
	vips[0] = vips[1] = ip("10.0.0.10");
	assert_int_equal(ek_vrrp_build(&advert, &four, &four, false, out, sizeof(out)), 16);
	assert_int_equal(ek_vrrp_build(&advert, &four, &six, false, out, sizeof(out)), 0);
	assert_int_equal(ek_vrrp_build(&advert, &six, &six, false, out, sizeof(out)), 0);
	vips[1] = ip("2001:db8::1");
	assert_int_equal(ek_vrrp_build(&advert, &four, &four, false, out, sizeof(out)), 0);
	assert_int_equal(ek_vrrp_build(&advert, &six, &six, false, out, sizeof(out)), 0);
	for (size_t i = 0; i < 256; i++)
		vips[i] = six;
	advert.n_vips = 0;
	assert_int_equal(ek_vrrp_build(&advert, &six, &six, false, out, sizeof(out)), 0);
	advert.n_vips = 256;
	assert_int_equal(ek_vrrp_build(&advert, &six, &six, false, out, sizeof(out)), 0);
	advert.n_vips = 255;
	assert_int_equal(ek_vrrp_build(&advert, &six, &six, false, out, sizeof(out)), 8 + 255 * 16);
	advert.interval = 9;
	assert_int_equal(ek_vrrp_build(&advert, &six, &six, false, out, sizeof(out)), 0);
	advert.interval = 40960;
	assert_int_equal(ek_vrrp_build(&advert, &six, &six, false, out, sizeof(out)), 0);
}

/* --- refusals -------------------------------------------------------------------------------- */

static void put_checksum(uint8_t *message, size_t length, uint32_t pseudo)
{
	uint32_t sum = pseudo;

	message[6] = message[7] = 0;
	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? message[i] : message[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	message[6] = ~sum >> 8;
	message[7] = ~sum;
}

#define LONG 24

/* A good IPv4 message of one VIP; then `length`, one byte set, and the checksum made right again.
 */
static const struct {
	const char *description;
	enum ek_vrrp_refusal expected;
	uint8_t ttl, length, at, value;
	bool wrong_checksum;
} refusals[] = {
	{"good", EK_VRRP_ACCEPTED, 255, 12, 2, 100, false},
	{"TTL 254", EK_VRRP_REFUSED_TTL, 254, 12, 2, 100, false},
	{"TTL 0", EK_VRRP_REFUSED_TTL, 0, 12, 2, 100, false},
	{"nothing", EK_VRRP_REFUSED_TRUNCATED, 255, 0, 2, 100, true},
	{"7 bytes", EK_VRRP_REFUSED_TRUNCATED, 255, 7, 2, 100, true},
	{"VRRP version 2", EK_VRRP_REFUSED_VERSION, 255, 12, 0, 0x21, false},
	{"version 4", EK_VRRP_REFUSED_VERSION, 255, 12, 0, 0x41, false},
	{"type 0", EK_VRRP_REFUSED_TYPE, 255, 12, 0, 0x30, false},
	{"type 2", EK_VRRP_REFUSED_TYPE, 255, 12, 0, 0x32, false},
	{"a bit turned over", EK_VRRP_REFUSED_CHECKSUM, 255, 12, 11, 0xfe, true},
	{"odd length, wrong checksum", EK_VRRP_REFUSED_CHECKSUM, 255, 11, 2, 100, true},
	{"no address counted", EK_VRRP_REFUSED_COUNT, 255, 12, 3, 0, false},
	{"no address counted, none there", EK_VRRP_REFUSED_COUNT, 255, 8, 3, 0, false},
	{"a header alone", EK_VRRP_REFUSED_COUNT, 255, 8, 2, 100, false},
	{"an address cut short", EK_VRRP_REFUSED_COUNT, 255, 11, 2, 100, false},
	{"one more counted", EK_VRRP_REFUSED_COUNT, 255, 12, 3, 2, false},
	{"255 counted", EK_VRRP_REFUSED_COUNT, 255, 12, 3, 255, false},
	{"a byte behind", EK_VRRP_REFUSED_COUNT, 255, 13, 12, 7, false},
	{"authentication data as of version 2", EK_VRRP_REFUSED_COUNT, 255, 20, 2, 100, false},
	{"trailing bytes outside the checksum", EK_VRRP_REFUSED_CHECKSUM, 255, 20, 19, 7, true},
	{"interval 0", EK_VRRP_REFUSED_INTERVAL, 255, 12, 5, 0, false},
	{"VRID 0 is the caller's", EK_VRRP_ACCEPTED, 255, 12, 1, 0, false},
	{"priority 255", EK_VRRP_ACCEPTED, 255, 12, 2, 255, false},
	{"reserved bits", EK_VRRP_ACCEPTED, 255, 12, 4, 0xf0, false},
};

static void test_refusals(void **state)
{
	static const uint8_t good[LONG] = {0x31, 1, 100, 1, 0, 100, 0, 0, 10, 0, 0, 10};
	const struct ek_ip source = ip("10.0.0.1"), destination = ip("224.0.0.18");

	(void)state;
	for (size_t i = 0; i < COUNT(refusals); i++) {
		struct ek_vrrp_heard heard, before;
		uint8_t message[LONG];
		enum ek_vrrp_refusal got;

		memcpy(message, good, sizeof(good));
		put_checksum(message, 12, 0);
		message[refusals[i].at] = refusals[i].value;
		if (!refusals[i].wrong_checksum)
			put_checksum(message, refusals[i].length, 0);
		memset(&heard, 0x5a, sizeof(heard));
		before = heard;
		got = ek_vrrp_parse(message, refusals[i].length, refusals[i].ttl, &source,
				    &destination, &heard);
		if (got != refusals[i].expected)
			fail_msg("%s: %s", refusals[i].description, ek_vrrp_refusal_name(got));
		if (got && memcmp(&heard, &before, sizeof(heard)) != 0)
			fail_msg("%s: refused, but the result is filled", refusals[i].description);
		if (!got && heard.interval != 1000)
			fail_msg("%s: interval %u", refusals[i].description, heard.interval);
	}
}

/* Everything wrong at once, put right one by one: the reasons come in the order of the header. */
static void test_order_of_refusals(void **state)
{
	const struct ek_ip source = ip("fe80::1"), destination = ip("ff02::12");
	const uint32_t pseudo = 0xfe80 + 1 + 0xff02 + 0x12 + EK_VRRP_PROTOCOL;
	uint8_t message[41] = {0x22, 1, 100, 1, 0xf0, 0, 0, 0, [18] = 0xff, 0xff, 10, 0, 0, 1};
	struct ek_vrrp_heard heard;

	(void)state;
#define GIVES(name, length, ttl) \
	assert_int_equal(ek_vrrp_parse(message, length, ttl, &source, &destination, &heard), name)
	GIVES(EK_VRRP_REFUSED_TTL, 7, 254);
	GIVES(EK_VRRP_REFUSED_TRUNCATED, 7, 255);
	GIVES(EK_VRRP_REFUSED_VERSION, 25, 255);
	message[0] = 0x32;
	GIVES(EK_VRRP_REFUSED_TYPE, 25, 255);
	message[0] = 0x31;
	GIVES(EK_VRRP_REFUSED_CHECKSUM, 25, 255);
	put_checksum(message, 25, pseudo + 25);
	GIVES(EK_VRRP_REFUSED_COUNT, 25, 255);
	put_checksum(message, 24, 0);
	GIVES(EK_VRRP_REFUSED_CHECKSUM, 24, 255); /* without pseudo-header: not in IPv6 */
	put_checksum(message, 24, pseudo + 24);
	GIVES(EK_VRRP_REFUSED_INTERVAL, 24, 255);
	message[5] = 1;
	put_checksum(message, 24, pseudo + 24);
	GIVES(EK_VRRP_REFUSED_ADDRESSES, 24, 255); /* ::ffff:10.0.0.1 */
	message[8] = 0x20;
	put_checksum(message, 24, pseudo + 24);
	GIVES(EK_VRRP_ACCEPTED, 24, 255);
#undef GIVES
}

static void test_any_other_address_breaks_the_checksum(void **state)
{
	const struct ek_ip vip = ip("10.0.0.10"), source = ip("10.0.0.1");
	const struct ek_ip destination = ip("10.0.0.2"), other = ip("10.0.0.3");
	const struct ek_vrrp_advert advert = {1, 100, 1000, &vip, 1};
	struct ek_vrrp_heard heard;
	uint8_t out[12];

	(void)state;
	ek_vrrp_build(&advert, &source, &destination, true, out, sizeof(out));
	assert_int_equal(ek_vrrp_parse(out, 12, 255, &source, &destination, &heard), 0);
	assert_true(heard.pseudo_header);
	assert_int_equal(ek_vrrp_parse(out, 12, 255, &other, &destination, &heard),
			 EK_VRRP_REFUSED_CHECKSUM);
	ek_vrrp_build(&advert, &source, &destination, false, out, sizeof(out));
	assert_int_equal(ek_vrrp_parse(out, 12, 255, &other, &destination, &heard), 0);
	assert_false(heard.pseudo_header);
}

static void test_every_interval(void **state)
{
	const struct ek_ip vip = ip("10.0.0.10");
	struct ek_vrrp_advert advert = {1, 100, 0, &vip, 1};
	struct ek_vrrp_heard heard;
	uint8_t out[12];

	(void)state;
	for (advert.interval = 10; advert.interval <= 40950; advert.interval += 10) {
		assert_int_equal(ek_vrrp_build(&advert, &vip, &vip, false, out, sizeof(out)), 12);
		assert_int_equal(ek_vrrp_parse(out, 12, 255, &vip, &vip, &heard), 0);
		assert_int_equal(heard.interval, advert.interval);
	}
}

static void test_names(void **state)
{
	(void)state;
	for (int i = 0; i < EK_VRRP_REFUSAL_COUNT; i++)
		assert_non_null(ek_vrrp_refusal_name(i));
	assert_string_equal(ek_vrrp_refusal_name(EK_VRRP_REFUSED_OWN), "our own");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_not_built),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_order_of_refusals),
		cmocka_unit_test(test_any_other_address_breaks_the_checksum),
		cmocka_unit_test(test_every_interval),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
