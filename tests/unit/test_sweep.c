/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "sweep.h"

#define BUCKETS 16u
#define LIMIT	8u /* backends 1 and 2 are service 0's, 3 and 4 service 5's, 5 nobody's */
#define NOW	0x20003u
#define JUST	EK_TRACKING_JUST_ENOUGH

static const struct ek_service service = {.timeout = {0, 60, 8100, 120}};

struct lab {
	struct ek_flow_bucket flows[BUCKETS];
	struct ek_backend rows[LIMIT];
	struct ek_ring ring[2]; /* of services 0 and 5 */
	struct ek_sweep sweep;
};

static int setup(void **state)
{
	static const uint16_t services[LIMIT] = {0, 0, 0, 5, 5, 7, 7, 7};
	struct lab *lab = aligned_alloc(64, (sizeof(*lab) + 63) / 64 * 64);

	assert_non_null(lab);
	memset(lab, 0, sizeof(*lab));
	for (uint32_t i = 0; i < LIMIT; i++)
		lab->rows[i].service = services[i];
	for (uint32_t i = 0; i < EK_RING_SIZE; i++) {
		lab->ring[0].slot[i] = ek_slot(1, 1, false);
		lab->ring[1].slot[i] = ek_slot(3, 3, true);
	}
	assert_int_equal(ek_sweep_init(&lab->sweep, lab->flows, BUCKETS, lab->rows, LIMIT), 0);
	assert_int_equal(ek_sweep_service_set(&lab->sweep, 0, &lab->ring[0], &service, JUST), 0);
	assert_int_equal(
		ek_sweep_service_set(&lab->sweep, 5, &lab->ring[1], &service, EK_TRACKING_FULL), 0);
	*state = lab;
	return 0;
}

static int teardown(void **state)
{
	struct lab *lab = *state;

	ek_sweep_free(&lab->sweep);
	free(lab);
	return 0;
}

/* A flow of ring slot `slot`, in bucket `low`. */
static __u64 hash_of(uint32_t slot, uint32_t low)
{
	return ((((__u64)slot << 32) + EK_RING_SIZE - 1) / EK_RING_SIZE) << 32 | low;
}

static __u64 *put(struct lab *lab, uint32_t low, int way, uint32_t slot, uint32_t backend,
		  enum ek_flow_state flow_state, uint32_t age)
{
	__u64 *at = &lab->flows[low % BUCKETS].entry[way];

	*at = ek_flow_entry(hash_of(slot, low), backend, flow_state, NOW - age);
	return at;
}

static void pass(struct lab *lab, uint32_t now)
{
	while (!ek_sweep_step(&lab->sweep, now, BUCKETS))
		;
}

static void test_steps(void **state)
{
	struct lab *lab = *state;
	int steps = 1;

	while (!ek_sweep_step(&lab->sweep, NOW, 5))
		steps++;
	/* 5 + 5 + 5 buckets; the last one and a ring; the other ring; no more services. */
	assert_int_equal(steps, 6);
	assert_int_equal(lab->sweep.passes, 1);
	assert_int_equal(lab->sweep.bucket, 0);
}

static const struct {
	const char *name;
	uint32_t backend;
	enum ek_flow_state state;
	uint32_t age;
	bool stays;
} expiries[] = {
	{"an embryo at its timeout", 1, EK_FLOW_EMBRYONIC, 60, true},
	{"an embryo past it", 1, EK_FLOW_EMBRYONIC, 61, false},
	{"established at its timeout", 1, EK_FLOW_ESTABLISHED, 8100, true},
	{"established past it", 1, EK_FLOW_ESTABLISHED, 8101, false},
	{"closing at its timeout", 2, EK_FLOW_CLOSING, 120, true},
	{"closing past it", 2, EK_FLOW_CLOSING, 121, false},
	{"seen after the sweep looked at the clock", 1, EK_FLOW_EMBRYONIC, -3u, true},
	{"of a service that is gone", 5, EK_FLOW_ESTABLISHED, 0, false},
	{"of no backend that is known", LIMIT + 1, EK_FLOW_ESTABLISHED, 0, false},
	{"of another service", 3, EK_FLOW_ESTABLISHED, 0, true},
};

static void test_expiry(void **state)
{
	struct lab *lab = *state;

	for (size_t i = 0; i < sizeof(expiries) / sizeof(expiries[0]); i++) {
		__u64 *at =
			put(lab, 3, 4, 7, expiries[i].backend, expiries[i].state, expiries[i].age);
		uint32_t expired = lab->sweep.expired;

		pass(lab, NOW);
		if (!*at == expiries[i].stays ||
		    lab->sweep.expired - expired != !expiries[i].stays ||
		    lab->sweep.used != expiries[i].stays)
			fail_msg("%s", expiries[i].name);
	}
}

static void test_counts(void **state)
{
	struct lab *lab = *state;
	const struct ek_sweep_backend *b;

	put(lab, 0, 0, 10, 1, EK_FLOW_EMBRYONIC, 1);
	put(lab, 1, 0, 11, 1, EK_FLOW_ESTABLISHED, 1);
	put(lab, 1, 7, 12, 1, EK_FLOW_ESTABLISHED, 1);
	put(lab, 2, 3, 13, 2, EK_FLOW_CLOSING, 1);
	put(lab, 3, 3, 14, 3, EK_FLOW_ESTABLISHED, 1);
	lab->ring[0].slot[20] = lab->ring[0].slot[21] = ek_slot(1, 2, true);
	lab->ring[0].slot[22] = ek_slot(2, 2, true);
	lab->ring[0].hit[20] = (NOW - 30) & EK_TICK_MASK;
	lab->ring[0].hit[21] = (NOW - 10) & EK_TICK_MASK;
	lab->ring[0].hit[22] = (NOW - 99) & EK_TICK_MASK;
	pass(lab, NOW); /* the first: nothing has been scanned whole, so nothing forgets */
	assert_int_equal(lab->sweep.forgot, 0);
	assert_int_equal(lab->sweep.used, 5);
	assert_int_equal(lab->sweep.results[0].entries, 4);
	assert_int_equal(lab->sweep.results[0].remembering, 3);
	assert_int_equal(lab->sweep.results[0].oldest, 99);
	assert_int_equal(lab->sweep.results[5].entries, 1);
	assert_int_equal(lab->sweep.results[5].remembering, 0);
	b = &lab->sweep.backends[1];
	assert_int_equal(b->embryonic, 1);
	assert_int_equal(b->established, 2);
	assert_int_equal(b->closing, 0);
	assert_int_equal(b->slots, EK_RING_SIZE - 1);
	assert_int_equal(b->origins, 0);
	b = &lab->sweep.backends[2];
	assert_int_equal(b->closing, 1);
	assert_int_equal(b->slots, 1);
	assert_int_equal(b->origins, 2); /* not the slot whose current it is */
	assert_int_equal(b->last_hit, 10);
	assert_int_equal(lab->sweep.backends[3].slots, EK_RING_SIZE);
}

/* The slot in question is 20; a first pass has made it known. */
static const struct {
	const char *name;
	uint32_t slot;
	uint32_t unhit;
	bool busy, changed;
	bool forgets;
} memories[] = {
	{"hit lately", 1 << 15 | 2 | EK_SLOT_LOOKUP, 8100, false, false, false},
	{"idle", 1 << 15 | 2 | EK_SLOT_LOOKUP, 8101, false, false, true},
	{"idle, but an entry names another", 1 << 15 | 2 | EK_SLOT_LOOKUP, 8101, true, false,
	 false},
	{"idle, but changed during the pass", 1 << 15 | 2 | EK_SLOT_LOOKUP, 8101, false, true,
	 false},
	{"back at its origin", 2 << 15 | 2 | EK_SLOT_LOOKUP, 0, false, false, true},
	{"back at its origin, an entry names another", 2 << 15 | 2 | EK_SLOT_LOOKUP, 0, true, false,
	 false},
};

static void test_forgets(void **state)
{
	struct lab *lab = *state;

	pass(lab, NOW);
	for (size_t i = 0; i < sizeof(memories) / sizeof(memories[0]); i++) {
		uint32_t *slot = &lab->ring[0].slot[20], forgot = lab->sweep.forgot;

		*slot = memories[i].slot;
		lab->ring[0].hit[20] = (NOW - memories[i].unhit) & EK_TICK_MASK;
		put(lab, 9, 1, 20, memories[i].busy ? 1 : 2, EK_FLOW_ESTABLISHED, 5);
		if (memories[i].changed)
			ek_bit_set(ek_sweep_changed(&lab->sweep, 0), 20);
		pass(lab, NOW);
		if ((*slot == ek_slot(2, 2, false)) != memories[i].forgets ||
		    lab->sweep.forgot - forgot != memories[i].forgets)
			fail_msg("%s: %x", memories[i].name, *slot);
		if (!memories[i].changed)
			continue;
		pass(lab, NOW); /* a whole one after the change */
		assert_int_equal(*slot, ek_slot(2, 2, false));
	}
}

static void test_full_tracking_keeps_looking(void **state)
{
	struct lab *lab = *state;

	lab->ring[1].slot[30] = ek_slot(4, 3, true);
	lab->ring[1].hit[30] = (NOW - 9000) & EK_TICK_MASK;
	pass(lab, NOW);
	assert_int_equal(lab->ring[1].slot[30], ek_slot(4, 3, true));
	pass(lab, NOW);
	assert_int_equal(lab->ring[1].slot[30], ek_slot(4, 4, true));
	assert_int_equal(lab->sweep.forgot, 1);
}

/* A change between the scan of its bucket and its ring, and one just after its ring. */
static void test_change_in_mid_pass(void **state)
{
	struct lab *lab = *state;
	uint32_t *slot = &lab->ring[0].slot[20];
	uint16_t *choices = malloc(EK_RING_SIZE * sizeof(*choices));

	assert_non_null(choices);
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		choices[i] = 1;
	pass(lab, NOW);
	put(lab, 0, 0, 20, 1, EK_FLOW_ESTABLISHED, 5);
	*slot = ek_slot(1, 1, true);
	ek_sweep_step(&lab->sweep, NOW, 1); /* the entry names current */
	choices[20] = 2;
	ek_ring_apply(&lab->ring[0], choices, JUST, NOW - 9000, ek_sweep_changed(&lab->sweep, 0));
	pass(lab, NOW);
	assert_int_equal(*slot, ek_slot(2, 1, true));
	pass(lab, NOW);
	assert_int_equal(*slot, ek_slot(2, 1, true)); /* now the entry is in its way */
	free(choices);
}

static void test_services_come_and_go(void **state)
{
	struct lab *lab = *state;
	__u64 *at = put(lab, 3, 3, 14, 3, EK_FLOW_ESTABLISHED, 1);

	pass(lab, NOW);
	assert_int_equal(lab->sweep.results[5].entries, 1);
	assert_int_equal(ek_sweep_service_set(&lab->sweep, 5, NULL, NULL, JUST), 0);
	assert_null(ek_sweep_changed(&lab->sweep, 5));
	assert_int_equal(lab->sweep.results[5].entries, 0);
	pass(lab, NOW);
	assert_int_equal(*at, 0);
	/* One that appears in mid-pass has had no whole scan. */
	ek_sweep_step(&lab->sweep, NOW, 1);
	lab->ring[1].slot[30] = ek_slot(4, 4, true);
	assert_int_equal(ek_sweep_service_set(&lab->sweep, 5, &lab->ring[1], &service, JUST), 0);
	pass(lab, NOW);
	assert_int_equal(lab->ring[1].slot[30], ek_slot(4, 4, true));
	pass(lab, NOW);
	assert_int_equal(lab->ring[1].slot[30], ek_slot(4, 4, false));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_steps),
		TEST(test_expiry),
		TEST(test_counts),
		TEST(test_forgets),
		TEST(test_full_tracking_keeps_looking),
		TEST(test_change_in_mid_pass),
		TEST(test_services_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
