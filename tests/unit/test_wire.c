/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The binary messages between peers, as bytes: each record there and back, cut at every byte, and
 * without memory. wire.c is included so that a test can let realloc() fail.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static int allocations = -1; /* that succeed; -1: all */

static void *scarce_realloc(void *old, size_t size)
{
	if (!allocations)
		return NULL;
	allocations -= allocations > 0;
	return realloc(old, size);
}

#define realloc scarce_realloc
#include "wire.c"
#undef realloc

static struct ek_ip address(uint8_t first)
{
	struct ek_ip ip;

	for (int i = 0; i < 16; i++)
		ip.bytes[i] = first + i;
	return ip;
}

static struct ek_wire_service a_service(void)
{
	struct ek_wire_service s;

	memset(&s, 0, sizeof(s));
	s.vip = address(0x10);
	s.key = 0x2021222324252627ull;
	return s;
}

static struct ek_wire_backend a_backend(void)
{
	struct ek_wire_backend b;

	memset(&b, 0, sizeof(b));
	b.index = 0x7ffe;
	b.service = a_service();
	b.address = address(0x40);
	return b;
}

static struct ek_flow_image an_image(void)
{
	struct ek_flow_image i;

	memset(&i, 0, sizeof(i));
	i.bucket = 0x01020304;
	i.entry = 0x1112131415161718ull;
	i.key.source = address(0x50);
	i.key.destination = address(0x70);
	memcpy(&i.key.source_port, "\x91\x92", 2);
	memcpy(&i.key.destination_port, "\x93\x94", 2);
	i.key.isn = 0xa1a2a3a4;
	i.key.since = 0xb1b2b3b4;
	i.key.protocol = 17;
	return i;
}

/* --- the bytes ------------------------------------------------------------------------------- */

/* Numbers most significant byte first, addresses and ports as they lie: written out once. */
static void test_written_out(void **state)
{
	static const uint8_t expected[] = {
		0x12, 0x34,						    /* 16 */
		0xde, 0xad, 0xbe, 0xef,					    /* 32 */
		1,    2,    3,	  4,	5,    6,    7,	  8,		    /* 64 */
		0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,		    /* service */
		0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,		    /**/
		0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27,		    /**/
		0,    0,    0xff, 0xff, 0x40, 0,    0x80, 1,		    /* slot */
		0,    0,    0,	  5,	0,    0,    1,	  0,	0, 0, 0, 9, /* drop */
	};
	const struct ek_wire_service service = a_service();
	const struct ek_wire_slot slot = {.slot = 0xffff, .word = 0x40008001};
	const struct ek_wire_drop drop = {.bucket = 5, .entry = 0x10000000009ull};
	struct ek_wire_out out = {0};

	(void)state;
	ek_wire_put16(&out, 0x1234);
	ek_wire_put32(&out, 0xdeadbeef);
	ek_wire_put64(&out, 0x0102030405060708ull);
	ek_wire_put_service(&out, &service);
	ek_wire_put_slot(&out, &slot);
	ek_wire_put_drop(&out, &drop);
	assert_int_equal(out.length, sizeof(expected));
	assert_memory_equal(out.bytes, expected, sizeof(expected));
	ek_wire_free(&out);
	assert_null(out.bytes);
	assert_int_equal(out.length + out.room, 0);
}

/* --- there and back -------------------------------------------------------------------------- */

static void put_all(struct ek_wire_out *out, uint32_t n)
{
	struct ek_wire_service service = a_service();
	struct ek_wire_backend backend = a_backend();
	struct ek_flow_image image = an_image();
	const struct ek_wire_slot slot = {.slot = n, .word = ~n};
	const struct ek_wire_drop drop = {.bucket = n, .entry = ~(uint64_t)n};

	ek_wire_put16(out, n);
	ek_wire_put32(out, n);
	ek_wire_put64(out, (uint64_t)n << 40 | n);
	ek_wire_put_service(out, &service);
	ek_wire_put_backend(out, &backend);
	ek_wire_put_slot(out, &slot);
	ek_wire_put_image(out, &image);
	ek_wire_put_drop(out, &drop);
}

static void expect_all(struct ek_wire_in *in, uint32_t n)
{
	struct ek_wire_service service = a_service(), service_read;
	struct ek_wire_backend backend = a_backend(), backend_read;
	struct ek_flow_image image = an_image(), image_read;
	struct ek_wire_slot slot;
	struct ek_wire_drop drop;

	assert_int_equal(ek_wire_get16(in), n & 0xffff);
	assert_int_equal(ek_wire_get32(in), n);
	assert_int_equal(ek_wire_get64(in), (uint64_t)n << 40 | n);
	memset(&service_read, 0, sizeof(service_read));
	service_read = ek_wire_get_service(in);
	assert_memory_equal(&service_read.vip, &service.vip, 16);
	assert_int_equal(service_read.key, service.key);
	backend_read = ek_wire_get_backend(in);
	assert_int_equal(backend_read.index, backend.index);
	assert_memory_equal(&backend_read.service.vip, &service.vip, 16);
	assert_memory_equal(&backend_read.address, &backend.address, 16);
	slot = ek_wire_get_slot(in);
	assert_int_equal(slot.slot, n);
	assert_int_equal(slot.word, ~n);
	image_read = ek_wire_get_image(in);
	assert_int_equal(image_read.bucket, image.bucket);
	assert_int_equal(image_read.entry, image.entry);
	assert_memory_equal(&image_read.key, &image.key, sizeof(image.key));
	drop = ek_wire_get_drop(in);
	assert_int_equal(drop.bucket, n);
	assert_int_equal(drop.entry, ~(uint64_t)n);
}

/* So many that the buffer grows a dozen times. */
static void test_there_and_back(void **state)
{
	struct ek_wire_out out = {0};
	struct ek_wire_in in;

	(void)state;
	for (uint32_t n = 0; n < 50000; n++)
		put_all(&out, n * 2654435761u);
	assert_false(out.failed);
	assert_true(out.length > 7000000 && out.room >= out.length);
	in = (struct ek_wire_in){.at = out.bytes, .end = out.bytes + out.length};
	for (uint32_t n = 0; n < 50000; n++) {
		assert_true(ek_wire_more(&in));
		expect_all(&in, n * 2654435761u);
	}
	assert_false(ek_wire_more(&in));
	assert_false(in.bad);
	ek_wire_free(&out);
}

/* --- cut short ------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	size_t length;
} records[] = {{"16", 2},	{"32", 4},   {"64", 8},	    {"service", 24},
	       {"backend", 42}, {"slot", 8}, {"image", 57}, {"drop", 12}};

/* True if everything that was read is zero. */
static bool read_one(size_t record, struct ek_wire_in *in)
{
	static const uint8_t zero[64];

	switch (record) {
	case 0:
		return !ek_wire_get16(in);
	case 1:
		return !ek_wire_get32(in);
	case 2:
		return !ek_wire_get64(in);
	case 3:
		return !memcmp(
			&(struct ek_wire_service[]) { ek_wire_get_service(in) } -> vip, zero, 16);
	case 4:
		return !memcmp(
			&(struct ek_wire_backend[]) { ek_wire_get_backend(in) } -> address, zero,
			16);
	case 5:
		return !ek_wire_get_slot(in).word;
	case 6:
		return !ek_wire_get_image(in).key.protocol;
	default:
		return !ek_wire_get_drop(in).entry;
	}
}

/* From bytes that end where the record does not: bad, the rest zero, and bad it stays. */
static void test_cut_short(void **state)
{
	(void)state;
	for (size_t r = 0; r < sizeof(records) / sizeof(records[0]); r++)
		for (size_t n = 0; n <= records[r].length; n++) {
			uint8_t *bytes = malloc(n + !n);
			struct ek_wire_in in = {.at = bytes, .end = bytes + n};
			bool whole = n == records[r].length, zero;

			memset(bytes, 0xee, n);
			assert_int_equal(ek_wire_more(&in), n > 0);
			zero = read_one(r, &in);
			if (in.bad == whole || (whole && zero) ||
			    (!whole && !zero && r != 3 /* the VIP comes first */))
				fail_msg("%s, %zu bytes", records[r].name, n);
			if (whole)
				assert_ptr_equal(in.at, in.end);
			assert_int_equal(ek_wire_more(&in), 0);
			assert_true(read_one(r, &in));
			assert_true(in.bad);
			free(bytes);
		}
}

/* --- without memory -------------------------------------------------------------------------- */

/* It is remembered, also when there is memory again; nothing leaks, nothing is written beyond. */
static void test_without_memory(void **state)
{
	(void)state;
	for (int some = 0; some < 6; some++) {
		struct ek_wire_out out = {0};

		allocations = some;
		for (uint32_t n = 0; n < 1000; n++)
			put_all(&out, n);
		assert_true(out.failed);
		assert_true(out.length <= out.room);
		allocations = -1;
		put_all(&out, 1);
		assert_true(out.failed);
		ek_wire_free(&out);
		assert_false(out.failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written_out),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
