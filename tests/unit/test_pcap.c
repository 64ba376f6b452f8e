/* SPDX-License-Identifier: GPL-2.0-only */
/* Capture files, byte by byte, and the text that they are made from. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "pcap.h"

/* draft-ietf-opsawg-pcap, on a little-endian host. */
static const uint8_t expected[] = {
	0xd4, 0xc3, 0xb2, 0xa1, 2,    0,    4,	  0,	/* microseconds, version 2.4 */
	0,    0,    0,	  0,	0,    0,    0,	  0,	/* unused */
	192,  0,    0,	  0,	1,    0,    0,	  0,	/* snap length, Ethernet */
	0x40, 0x1b, 0x03, 0x6b, 0x4e, 0x46, 0x05, 0x00, /* 1795365696 s, 345678 us */
	3,    0,    0,	  0,	0xdc, 0x05, 0,	  0,	/* 3 of 1500 bytes */
	0xaa, 0xbb, 0xcc,				/* a frame */
	1,    0,    0,	  0,	2,    0,    0,	  0,	/* 1 s, 2 us */
	1,    0,    0,	  0,	1,    0,    0,	  0,	/* never longer than it was */
	0xdd,
};

static void test_file(void **state)
{
	char *bytes = NULL;
	size_t size;
	FILE *out = open_memstream(&bytes, &size);

	(void)state;
	assert_int_equal(ek_pcap_begin(out, 192), 0);
	assert_int_equal(ek_pcap_frame(out, (struct ek_pcap_time){1795365696, 345678},
				       (const uint8_t *)"\xaa\xbb\xcc", 3, 1500),
			 0);
	assert_int_equal(
		ek_pcap_frame(out, (struct ek_pcap_time){1, 2}, (const uint8_t *)"\xdd", 1, 0), 0);
	fclose(out);
	assert_int_equal(size, sizeof(expected));
	assert_memory_equal(bytes, expected, sizeof(expected));
	free(bytes);
}

static void test_full_disk(void **state)
{
	FILE *out = fopen("/dev/full", "w");

	(void)state;
	assert_int_equal(ek_pcap_begin(out, 192), -ENOSPC);
	assert_int_equal(ek_pcap_frame(out, (struct ek_pcap_time){0}, expected, 1, 1), -ENOSPC);
	fclose(out);
}

static const struct {
	const char *description, *text;
	int err;
	struct ek_pcap_time time;
} times[] = {
	{"as the daemon writes it", "2026-11-22T12:03:12.345678Z", 0, {1795348992, 345678}},
	{"the beginning", "1970-01-01T00:00:00.000000Z", 0, {0, 0}},
	{"the end of 32 bits", "2106-02-07T06:28:15.999999Z", 0, {UINT32_MAX, 999999}},
	{"after it", "2106-02-07T06:28:16.000000Z", -EINVAL, {0, 0}},
	{"before 1970", "1969-12-31T23:59:59.000000Z", -EINVAL, {0, 0}},
	{"no fraction", "2026-11-22T12:03:12Z", -EINVAL, {0, 0}},
	{"a short fraction", "2026-11-22T12:03:12.345Z", -EINVAL, {0, 0}},
	{"a long fraction", "2026-11-22T12:03:12.3456789Z", -EINVAL, {0, 0}},
	{"no zone", "2026-11-22T12:03:12.345678", -EINVAL, {0, 0}},
	{"something else", "yesterday", -EINVAL, {0, 0}},
	{"nothing", "", -EINVAL, {0, 0}},
	{"not even that", NULL, -EINVAL, {0, 0}},
};

static void test_times(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		struct ek_pcap_time time = {0};

		if (ek_pcap_time(times[i].text, &time) != times[i].err ||
		    memcmp(&time, &times[i].time, sizeof(time)))
			fail_msg("%s: %u.%06u", times[i].description, time.seconds,
				 time.microseconds);
	}
}

static const struct {
	const char *description, *hex;
	int n;
	const char *bytes;
} texts[] = {
	{"bytes", "00ff7fa0", 4, "\x00\xff\x7f\xa0"},
	{"none", "", 0, ""},
	{"as many as fit", "0102030405", 5, "\1\2\3\4\5"},
	{"one more", "010203040506", -EINVAL, ""},
	{"half a byte", "012", -EINVAL, ""},
	{"capitals", "0A", -EINVAL, ""},
	{"no digits", "0x", -EINVAL, ""},
	{"a sign", "-1", -EINVAL, ""},
	{"not ASCII", "\xc3\xa9", -EINVAL, ""},
};

static void test_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		uint8_t out[5];
		int n = ek_pcap_bytes(texts[i].hex, out, sizeof(out));

		if (n != texts[i].n || (n > 0 && memcmp(out, texts[i].bytes, n)))
			fail_msg("%s: %d", texts[i].description, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
