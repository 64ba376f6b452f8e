/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <evenkeel/flow_table.h>

#define HASH 0xfedcba9876543210ull

static void test_entry_layout(void **state)
{
	__u64 entry = ek_flow_entry(HASH, EK_BACKENDS_MAX, EK_FLOW_CLOSING, 0x12345);

	(void)state;
	assert_int_equal(entry, (HASH & ~0x7fffffffull) | 0x7fffull << 16 | 3ull << 14 | 0x2345);
	assert_int_equal(ek_flow_backend(entry), EK_BACKENDS_MAX);
	assert_int_equal(ek_flow_state(entry), EK_FLOW_CLOSING);
	assert_int_equal(ek_flow_hash_high(entry), HASH & ~0x7fffffffull);
	assert_int_equal(ek_flow_bucket_index(HASH, 0xff), 0x10);
}

static const struct {
	const char *name;
	uint32_t then, now, age;
} ages[] = {
	{"now", 100, 100, 0},
	{"a tick ago", 100, 101, 1},
	{"the longest", 0, EK_AGE_MAX, EK_AGE_MAX},
	{"14 bits wrapped", EK_TICK_MASK, EK_TICK_MASK + 3, 3},
	{"32 bits wrapped", 0xfffffffe, 3, 5},
	{"only 14 bits are known", 5, 0x8005 + 7, 7},
	{"a tick ahead", 101, 100, 0},
	{"as far ahead as may be", 100 + EK_TICK_SLACK, 100, 0},
	{"ahead over the wrap", 3, 0xffffffff, 0},
	{"further ahead is long ago", 100 + EK_TICK_SLACK + 1, 100, EK_AGE_MAX},
};

static void test_age(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
		uint32_t age = ek_flow_age(ek_flow_entry(HASH, 1, 2, ages[i].then), ages[i].now);

		if (age != ages[i].age)
			fail_msg("%s: %u", ages[i].name, age);
	}
}

static void test_is_zero_and_first(void **state)
{
	(void)state;
	assert_int_equal(ek_is_zero(0), 1);
	for (int bit = 0; bit < 64; bit++) {
		assert_int_equal(ek_is_zero(1ull << bit), 0);
		assert_int_equal(ek_is_zero(~0ull << bit), 0);
	}
	for (unsigned int ways = 1; ways < 256; ways++)
		assert_int_equal(ek_flow_first(ways), __builtin_ctz(ways));
}

static void test_find(void **state)
{
	struct ek_flow_bucket bucket = {{0}};

	(void)state;
	assert_int_equal(ek_flow_find(&bucket, HASH), 0);
	bucket.entry[2] = ek_flow_entry(HASH, 1, EK_FLOW_ESTABLISHED, 7);
	bucket.entry[7] = ek_flow_entry(HASH, 2, EK_FLOW_EMBRYONIC, 9);
	bucket.entry[3] = ek_flow_entry(HASH ^ 1ull << 31, 1, EK_FLOW_ESTABLISHED, 7);
	bucket.entry[4] = ek_flow_entry(HASH ^ 1ull << 63, 1, EK_FLOW_ESTABLISHED, 7);
	assert_int_equal(ek_flow_find(&bucket, HASH), 1 << 2 | 1 << 7);
	assert_int_equal(ek_flow_find(&bucket, HASH ^ 0x7fffffff), 1 << 2 | 1 << 7);
	assert_int_equal(ek_flow_embryos(&bucket), 1 << 7);
}

/* Who is in the bucket: a state and an age for each way. */
static const struct {
	const char *name;
	struct {
		uint8_t state, age;
	} way[EK_FLOW_WAYS];
	uint8_t room;
} rooms[] = {
	{"empty", {{0}}, 0xff},
	{"the empty ones come first",
	 {{1, 9}, {2, 9}, {3, 9}, {0, 0}, {1, 9}, {2, 0}, {2, 0}, {2, 0}},
	 1 << 3},
	{"then old embryos",
	 {{1, 5}, {2, 200}, {3, 200}, {1, 4}, {1, 200}, {2, 0}, {3, 0}, {1, 0}},
	 1 << 0 | 1 << 4},
	{"young embryos stay", {{1, 0}, {1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 4}, {1, 4}, {1, 4}}, 0},
	{"established ones stay",
	 {{2, 0}, {2, 5}, {2, 50}, {2, 99}, {2, 200}, {2, 250}, {2, 6}, {2, 7}},
	 0},
	{"closing ones stay",
	 {{3, 0}, {3, 5}, {3, 50}, {3, 99}, {3, 200}, {3, 250}, {3, 6}, {3, 7}},
	 0},
};

static void test_room(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		for (uint32_t now = 0; now < 3 * EK_TICK_MASK; now += 4001) {
			struct ek_flow_bucket bucket = {{0}};

			for (int w = 0; w < EK_FLOW_WAYS; w++)
				if (rooms[i].way[w].state)
					bucket.entry[w] =
						ek_flow_entry(HASH, 1, rooms[i].way[w].state,
							      now - rooms[i].way[w].age);
			if (ek_flow_room(&bucket, now) != rooms[i].room)
				fail_msg("%s, at %u", rooms[i].name, now);
		}
	}
}

/* An embryo that another CPU stored after we looked at the clock is not old. */
static void test_embryo_of_the_future(void **state)
{
	(void)state;
	assert_int_equal(ek_flow_is_old_embryo(ek_flow_entry(HASH, 1, 1, 101), 100), 0);
	assert_int_equal(ek_flow_is_old_embryo(ek_flow_entry(HASH, 1, 1, 100), 105), 1);
}

static void test_replace(void **state)
{
	__u64 entry = 5;

	(void)state;
	assert_false(ek_flow_replace(&entry, 4, 6));
	assert_int_equal(ek_flow_read(&entry), 5);
	assert_true(ek_flow_replace(&entry, 5, 6));
	assert_int_equal(ek_flow_read(&entry), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entry_layout),
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_is_zero_and_first),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_embryo_of_the_future),
		cmocka_unit_test(test_replace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
