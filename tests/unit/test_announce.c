/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lib/announce_frame.c: whole frames, against bytes written out by hand. The sockets and routes of
 * lib/announce.c are in test_vrrp_socket.c, which has the namespaces for them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "announce.h"
#include "ip.h"

#define MAC 0x02, 0x11, 0x22, 0x33, 0x44, 0x55

/* clang-format off */
static const uint8_t arp_frame[] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, MAC, 0x08, 0x06,
	0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, 0x01,	/* Ethernet, IPv4, request */
	MAC, 192, 0, 2, 10,				/* sender */
	0, 0, 0, 0, 0, 0, 192, 0, 2, 10,		/* target */
};

static const uint8_t advertisement_frame[] = {
	0x33, 0x33, 0x00, 0x00, 0x00, 0x01, MAC, 0x86, 0xdd,
	0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 58, 255,	/* 32 bytes of ICMPv6, hop limit 255 */
	0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
	0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01,
	136, 0, 0x92, 0x74, 0x20, 0, 0, 0,		/* override only */
	0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
	2, 1, MAC,					/* target link-layer address */
};
/* clang-format on */

static const struct {
	const char *description;
	const char *vip;
	const uint8_t *frame;
	size_t length;
} rows[] = {
	{"an ARP announcement", "192.0.2.10", arp_frame, sizeof(arp_frame)},
	{"a neighbour advertisement", "2001:db8::10", advertisement_frame,
	 sizeof(advertisement_frame)},
};

static struct ek_ip ip(const char *text)
{
	struct ek_ip out;

	assert_int_equal(ek_ip_parse(text, &out), 0);
	return out;
}

static void test_frames(void **state)
{
	static const uint8_t mac[6] = {MAC};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t out[EK_ANNOUNCE_FRAME_MAX];
		struct ek_ip vip = ip(rows[i].vip);
		size_t length = ek_announce_frame(&vip, mac, out);

		if (length != rows[i].length)
			fail_msg("%s: %zu bytes", rows[i].description, length);
		for (size_t j = 0; j < length; j++)
			if (out[j] != rows[i].frame[j])
				fail_msg("%s: byte %zu is %02x", rows[i].description, j, out[j]);
	}
}

/* What a receiver does (RFC 1071, RFC 8200 section 8.1): with the checksum in, all comes to ffff.
 */
static uint32_t received_sum(const uint8_t *ip6, size_t length)
{
	uint32_t total = length + ip6[6];

	for (size_t i = 8; i < 40 + length; i++)
		total += i % 2 ? ip6[i] : ip6[i] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total;
}

static void test_checksums(void **state)
{
	static const char *const vips[] = {"2001:db8::10", "::1",
					   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
					   "2001:db8:1234:5678:9abc:def0:1357:9bdf"};
	uint8_t out[EK_ANNOUNCE_FRAME_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(vips) / sizeof(vips[0]); i++)
		for (unsigned int last = 0; last < 256; last++) {
			const uint8_t mac[6] = {0xfe, 0xff, last, 0xff, 0xff, ~last};
			struct ek_ip vip = ip(vips[i]);

			assert_int_equal(ek_announce_frame(&vip, mac, out), 86);
			if (received_sum(out + 14, 32) != 0xffff)
				fail_msg("%s, %u: wrong checksum", vips[i], last);
		}
}

static void test_virtual_macs(void **state)
{
	static const uint8_t v4[6] = {0x00, 0x00, 0x5e, 0x00, 0x01, 0x33};
	static const uint8_t v6[6] = {0x00, 0x00, 0x5e, 0x00, 0x02, 0xff};
	uint8_t mac[6];

	(void)state;
	ek_announce_vmac(0x33, false, mac);
	assert_memory_equal(mac, v4, 6);
	ek_announce_vmac(255, true, mac);
	assert_memory_equal(mac, v6, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_checksums),
		cmocka_unit_test(test_virtual_macs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
