/* SPDX-License-Identifier: GPL-2.0-only */
/* Results in, states out; and the distance between checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "health.h"

/* `results`: one letter each, + or -. `states`: the state after each, by its letter. */
static const struct {
	const char *description;
	enum ek_health_state initial;
	unsigned int rise, fall;
	const char *results;
	const char *states;
} rows[] = {
	{"first result decides: success", EK_HEALTH_UNKNOWN, 5, 5, "+", "U"},
	{"first result decides: failure", EK_HEALTH_UNKNOWN, 5, 5, "-", "D"},
	{"after the first, rise counts from zero", EK_HEALTH_UNKNOWN, 2, 3, "-++", "DDU"},
	{"after the first, fall counts from zero", EK_HEALTH_UNKNOWN, 2, 3, "+---", "UUUD"},
	{"rise 1, fall 1: every result decides", EK_HEALTH_UP, 1, 1, "-+-+-", "DUDUD"},
	{"a success ends a run of failures", EK_HEALTH_UP, 2, 3, "--+--+---", "UUUUUUUUD"},
	{"a failure ends a run of successes", EK_HEALTH_DOWN, 3, 2, "++-++-+++", "DDDDDDDDU"},
	{"flapping never reaches 2", EK_HEALTH_UP, 2, 2, "-+-+-+-+-+", "UUUUUUUUUU"},
	{"flapping never reaches 2, from down", EK_HEALTH_DOWN, 2, 2, "+-+-+-+-+-", "DDDDDDDDDD"},
	{"agreeing results change nothing", EK_HEALTH_UP, 2, 2, "++++--", "UUUUUD"},
	{"down and up again", EK_HEALTH_UP, 2, 3, "---+++---", "UUDDUUUUD"},
	{"adopted up stands until fall", EK_HEALTH_UP, 2, 3, "--", "UU"},
	{"adopted down stands until rise", EK_HEALTH_DOWN, 2, 3, "+", "D"},
	{"full: successes make it up", EK_HEALTH_FULL, 2, 3, "++", "FU"},
	{"full: failures make it down", EK_HEALTH_FULL, 2, 3, "---", "FFD"},
	{"hold: successes make it up", EK_HEALTH_HOLD, 3, 1, "+++", "HHU"},
	{"hold: a run is of one kind", EK_HEALTH_HOLD, 2, 2, "+-+-++", "HHHHHU"},
	{"hold: an older run of the other kind is forgotten", EK_HEALTH_HOLD, 2, 3, "--+--+-",
	 "HHHHHHH"},
	{"zero counts as one", EK_HEALTH_UP, 0, 0, "-+", "DU"},
};

static void test_results(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ek_health_fsm fsm = {
			.state = rows[i].initial, .rise = rows[i].rise, .fall = rows[i].fall};
		char got[32] = "";

		for (size_t j = 0; rows[i].results[j]; j++) {
			enum ek_health_state before = fsm.state;
			bool changed = ek_health_fsm_result(&fsm, rows[i].results[j] == '+');

			got[j] = "?UFHD"[fsm.state];
			if (changed != (fsm.state != before))
				fail_msg("%s: result %zu: changed is wrong", rows[i].description,
					 j);
		}
		if (strcmp(got, rows[i].states) != 0)
			fail_msg("%s: %s gave %s, expected %s", rows[i].description,
				 rows[i].results, got, rows[i].states);
	}
}

static void test_large_rise_and_fall(void **state)
{
	struct ek_health_fsm fsm = {.state = EK_HEALTH_UP, .rise = 100000, .fall = 1000};

	(void)state;
	for (int i = 1; i < 1000; i++)
		assert_false(ek_health_fsm_result(&fsm, false));
	assert_true(ek_health_fsm_result(&fsm, false));
	for (int i = 1; i < 100000; i++)
		assert_false(ek_health_fsm_result(&fsm, true));
	assert_true(ek_health_fsm_result(&fsm, true));
	assert_int_equal(fsm.state, EK_HEALTH_UP);
}

static void test_lowered_fall_applies_to_the_run(void **state)
{
	struct ek_health_fsm fsm = {.state = EK_HEALTH_UP, .rise = 1, .fall = 10};

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_false(ek_health_fsm_result(&fsm, false));
	fsm.fall = 3;
	assert_true(ek_health_fsm_result(&fsm, false));
}

static const struct {
	const char *description;
	unsigned int interval;
	uint32_t random;
	uint64_t first, next;
} delays[] = {
	{"1 s, lowest", 1000, 0, 0, 900000},
	{"1 s, middle", 1000, 1u << 31, 500000, 1000000},
	{"1 s, highest", 1000, UINT32_MAX, 999999, 1100000},
	{"the first waits a second at most", 60000, UINT32_MAX, 999999, 66000000},
	{"a short interval is its own limit", 100, UINT32_MAX, 99999, 110000},
	{"1 ms", 1, UINT32_MAX, 999, 1100},
	{"the longest interval does not wrap", UINT32_MAX, UINT32_MAX, 999999, 4724464024301},
	{"the longest interval, lowest", UINT32_MAX, 0, 0, 3865470565500},
};

static void test_delays(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		uint64_t first = ek_health_first_delay_us(delays[i].interval, delays[i].random);
		uint64_t next = ek_health_next_delay_us(delays[i].interval, delays[i].random);

		if (first != delays[i].first || next != delays[i].next)
			fail_msg("%s: %llu %llu", delays[i].description, (unsigned long long)first,
				 (unsigned long long)next);
	}
}

/* A thousand checks begun in one instant: after twenty intervals no 50 ms hold a crowd of them. */
static void test_checks_do_not_beat_together(void **state)
{
	enum { CHECKS = 1000, ROUNDS = 20, INTERVAL = 1000, BINS = INTERVAL / 50 };
	unsigned int bins[BINS] = {0};
	uint32_t random = 1;

	(void)state;
	for (int check = 0; check < CHECKS; check++) {
		uint64_t at = 0;

		for (int round = 0; round < ROUNDS; round++) {
			random = random * 1664525u + 1013904223u;
			at += ek_health_next_delay_us(INTERVAL, random);
		}
		bins[at / 50000 % BINS]++;
	}
	for (int i = 0; i < BINS; i++)
		assert_in_range(bins[i], 1, CHECKS / BINS * 3);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(ek_health_state_name(EK_HEALTH_UNKNOWN), "unknown");
	assert_string_equal(ek_health_state_name(EK_HEALTH_UP), "up");
	assert_string_equal(ek_health_state_name(EK_HEALTH_FULL), "full");
	assert_string_equal(ek_health_state_name(EK_HEALTH_HOLD), "hold");
	assert_string_equal(ek_health_state_name(EK_HEALTH_DOWN), "down");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_large_rise_and_fall),
		cmocka_unit_test(test_lowered_fall_applies_to_the_run),
		cmocka_unit_test(test_delays),
		cmocka_unit_test(test_checks_do_not_beat_together),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
