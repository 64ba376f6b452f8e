/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ring.h"

#define NONE EK_TRACKING_NONE
#define JUST EK_TRACKING_JUST_ENOUGH
#define FULL EK_TRACKING_FULL

static void test_slot_layout(void **state)
{
	uint32_t slot = ek_slot(EK_BACKENDS_MAX, 1, true);

	(void)state;
	assert_int_equal(slot, 0x40000000u | 1 << 15 | 0x7fff);
	assert_int_equal(ek_slot_current(slot), EK_BACKENDS_MAX);
	assert_int_equal(ek_slot_origin(slot), 1);
	assert_int_equal(ek_slot(1, EK_BACKENDS_MAX, false), EK_BACKENDS_MAX << 15 | 1);
	assert_int_equal(ek_ring_index(0), 0);
	assert_int_equal(ek_ring_index(~0ull), EK_RING_SIZE - 1);
}

/* A slot as {current, origin, LOOKUP}. */
struct triple {
	uint16_t current, origin;
	bool lookup;
};

static const struct {
	const char *name;
	enum ek_tracking tracking;
	struct triple before;
	uint16_t choice;
	struct triple after;
	bool left;
} changes[] = {
	/* Just enough. */
	{"the first choice of all", JUST, {0, 0, 0}, 1, {1, 1, 0}, false},
	{"nobody yet, and still nobody", JUST, {0, 0, 0}, 0, {0, 0, 0}, false},
	{"no change", JUST, {1, 1, 0}, 1, {1, 1, 0}, false},
	{"nobody may take connections", JUST, {1, 1, 0}, 0, {1, 1, 0}, false},
	{"a first change", JUST, {1, 1, 0}, 2, {2, 1, 1}, true},
	{"again the same", JUST, {2, 1, 1}, 2, {2, 1, 1}, false},
	{"a further change", JUST, {2, 1, 1}, 3, {3, 1, 1}, false},
	{"back to the origin", JUST, {3, 1, 1}, 1, {1, 1, 1}, false},
	{"nothing, back at the origin", JUST, {1, 1, 1}, 1, {1, 1, 1}, false},
	{"away from the origin again", JUST, {1, 1, 1}, 2, {2, 1, 1}, true},
	{"nobody, while it remembers", JUST, {2, 1, 1}, 0, {2, 1, 1}, false},
	{"what was forgotten is no origin", JUST, {2, 9, 0}, 3, {3, 2, 1}, true},
	/* Full tracking always looks up. */
	{"full: the first choice", FULL, {0, 0, 0}, 1, {1, 1, 1}, false},
	{"full: nobody yet", FULL, {0, 0, 0}, 0, {0, 0, 0}, false},
	{"full: no change", FULL, {1, 1, 1}, 1, {1, 1, 1}, false},
	{"full: a first change", FULL, {1, 1, 1}, 2, {2, 1, 1}, true},
	{"full: back", FULL, {2, 1, 1}, 1, {1, 1, 1}, false},
	{"full: from just enough", FULL, {1, 1, 0}, 1, {1, 1, 1}, false},
	{"full: from just enough, with a change", FULL, {1, 1, 0}, 2, {2, 1, 1}, true},
	/* No tracking never does. */
	{"none: the first choice", NONE, {0, 0, 0}, 1, {1, 1, 0}, false},
	{"none: a change", NONE, {1, 1, 0}, 2, {2, 2, 0}, false},
	{"none: nobody", NONE, {1, 1, 0}, 0, {1, 1, 0}, false},
	{"none: what it remembered is dropped", NONE, {2, 1, 1}, 2, {2, 2, 0}, false},
};

static uint32_t pack(const struct triple *t)
{
	return ek_slot(t->current, t->origin, t->lookup);
}

static void test_change(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		bool left = !changes[i].left;
		uint32_t slot = ek_slot_change(pack(&changes[i].before), changes[i].choice,
					       changes[i].tracking, &left);

		if (slot != pack(&changes[i].after) || left != changes[i].left)
			fail_msg("%s: {%u %u %d} left %d", changes[i].name, ek_slot_current(slot),
				 ek_slot_origin(slot), !!(slot & EK_SLOT_LOOKUP), left);
	}
}

static const struct {
	const char *name;
	enum ek_tracking tracking;
	struct triple slot;
	bool remembers;
} memories[] = {
	{"steady", JUST, {1, 1, 0}, false},
	{"another origin", JUST, {2, 1, 1}, true},
	{"back at the origin", JUST, {1, 1, 1}, true},
	{"full: steady", FULL, {1, 1, 1}, false},
	{"full: another origin", FULL, {2, 1, 1}, true},
	{"none", NONE, {1, 1, 0}, false},
};

static void test_remembers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(memories) / sizeof(memories[0]); i++)
		if (ek_slot_remembers(pack(&memories[i].slot), memories[i].tracking) !=
		    memories[i].remembers)
			fail_msg("%s", memories[i].name);
}

#define IDLE 8100

static const struct {
	const char *name;
	struct triple slot;
	uint16_t hit;
	uint32_t now;
	bool busy, may;
} forgets[] = {
	{"just hit", {2, 1, 1}, 100, 100, false, false},
	{"idle, but not for long enough", {2, 1, 1}, 100, 100 + IDLE, false, false},
	{"idle for long enough", {2, 1, 1}, 100, 100 + IDLE + 1, false, true},
	{"idle, but an entry names another", {2, 1, 1}, 100, 100 + IDLE + 1, true, false},
	{"at its origin, just hit", {1, 1, 1}, 100, 100, false, true},
	{"at its origin, but an entry names another", {1, 1, 1}, 100, 100, true, false},
	{"the clock's 14 bits wrap: young", {2, 1, 1}, EK_TICK_MASK, 0x10000, false, false},
	{"the clock's 14 bits wrap: old", {2, 1, 1}, EK_TICK_MASK, 0xffff + IDLE + 1, false, true},
	{"the clock's 32 bits wrap", {2, 1, 1}, EK_TICK_MASK, 5, false, false},
	{"hit after the reader looked at the clock", {2, 1, 1}, 101, 100, false, false},
	{"hit well after it", {2, 1, 1}, 100 + EK_TICK_SLACK, 100, false, false},
};

static void test_may_forget(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(forgets) / sizeof(forgets[0]); i++)
		if (ek_slot_may_forget(pack(&forgets[i].slot), forgets[i].hit, forgets[i].now, IDLE,
				       forgets[i].busy) != forgets[i].may)
			fail_msg("%s", forgets[i].name);
}

static void test_forget(void **state)
{
	(void)state;
	assert_int_equal(ek_slot_forget(ek_slot(2, 1, true), JUST), ek_slot(2, 2, false));
	assert_int_equal(ek_slot_forget(ek_slot(2, 1, true), FULL), ek_slot(2, 2, true));
}

static void test_apply(void **state)
{
	struct ek_ring *ring = calloc(1, sizeof(*ring));
	uint16_t *choices = calloc(EK_RING_SIZE, sizeof(*choices));
	uint8_t *changed = calloc(1, EK_RING_BITMAP);

	(void)state;
	assert_true(ring && choices && changed);
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		choices[i] = 1 + i % 2;
	assert_int_equal(ek_ring_apply(ring, choices, JUST, 5, NULL), EK_RING_SIZE);
	assert_int_equal(ek_ring_apply(ring, choices, JUST, 6, changed), 0);
	assert_int_equal(ring->hit[0], 0); /* nothing was left */
	choices[0] = choices[EK_RING_SIZE - 1] = 3;
	assert_int_equal(ek_ring_apply(ring, choices, JUST, 0x4007, changed), 2);
	assert_int_equal(ring->slot[0], ek_slot(3, 1, true));
	assert_int_equal(ring->hit[0], 7); /* 14 bits of the clock */
	assert_int_equal(ring->hit[1], 0);
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		assert_int_equal(ek_bit(changed, i), i == 0 || i == EK_RING_SIZE - 1);
	choices[0] = 2;
	assert_int_equal(ek_ring_apply(ring, choices, JUST, 9, NULL), 1);
	assert_int_equal(ring->hit[0], 7); /* origin was not current: its memory is no younger */
	free(ring);
	free(choices);
	free(changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slot_layout), cmocka_unit_test(test_change),
		cmocka_unit_test(test_remembers),   cmocka_unit_test(test_may_forget),
		cmocka_unit_test(test_forget),	    cmocka_unit_test(test_apply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
