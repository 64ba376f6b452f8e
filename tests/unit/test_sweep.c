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
	lab->sweep.services[0].stateful = true;
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

/* --- one of several nodes -------------------------------------------------------------------- */

#define BEYOND (8100 + EK_SWEEP_PATIENCE / 2 + 1)

/* What the hooks were told. */
static struct {
	unsigned int expired, asked;
	uint32_t bucket;
	uint64_t entry;
	uint8_t pending[EK_RING_BITMAP];
} told;

static void on_expired(void *arg, uint32_t bucket, uint64_t entry)
{
	(void)arg;
	told.expired++;
	told.bucket = bucket;
	told.entry = entry;
}

static void on_forget(void *arg, uint16_t id, const uint8_t *pending)
{
	(void)arg;
	assert_int_equal(id, 0);
	told.asked++;
	memcpy(told.pending, pending, EK_RING_BITMAP);
}

static void listen_to(struct lab *lab)
{
	memset(&told, 0, sizeof(told));
	lab->sweep.hooks = (struct ek_sweep_hooks){.expired = on_expired, .forget = on_forget};
	lab->sweep.services[0].mirrored = lab->sweep.services[0].asks = true;
}

static uint32_t age_at(const __u64 *at)
{
	return ek_flow_age(*at, NOW);
}

/*
 * What becomes of an entry of service 0 in one pass of who owns nothing, or has just taken over.
 * Backend 6 stands for 1, of a service that is not stateful.
 */
static const struct {
	const char *name;
	enum ek_sweep_role role;
	uint32_t backend;
	enum ek_flow_state state;
	uint32_t age;
	int left; /* its age then, -1: it is gone */
} kept[] = {
	{"followed, in use", EK_SWEEP_FOLLOW, 1, EK_FLOW_ESTABLISHED, 10, 10},
	{"followed, past its timeout", EK_SWEEP_FOLLOW, 1, EK_FLOW_ESTABLISHED, 8101, 8101},
	{"followed, at the end of patience", EK_SWEEP_FOLLOW, 1, EK_FLOW_ESTABLISHED, BEYOND - 1,
	 BEYOND - 1},
	{"followed, far past it", EK_SWEEP_FOLLOW, 1, EK_FLOW_ESTABLISHED, BEYOND, 8101},
	{"followed, closing, far past it", EK_SWEEP_FOLLOW, 2, EK_FLOW_CLOSING, 1000, 121},
	{"followed, an embryo is this node's own", EK_SWEEP_FOLLOW, 1, EK_FLOW_EMBRYONIC, 61, -1},
	{"followed, of a service that is gone", EK_SWEEP_FOLLOW, 5, EK_FLOW_ESTABLISHED, 1, -1},
	{"followed, and the owner tells nobody of its entries", EK_SWEEP_FOLLOW, 6,
	 EK_FLOW_ESTABLISHED, 8101, -1},
	{"taken over, of which nobody was told", EK_SWEEP_RENEW, 6, EK_FLOW_ESTABLISHED, 8101, -1},
	{"taken over, of which nobody was told, in use", EK_SWEEP_RENEW, 6, EK_FLOW_ESTABLISHED, 9,
	 9},
	{"followed, of an owned service", EK_SWEEP_FOLLOW, 3, EK_FLOW_ESTABLISHED, 8101, -1},
	{"taken over, in use", EK_SWEEP_RENEW, 1, EK_FLOW_ESTABLISHED, 10, 0},
	{"taken over, past its timeout", EK_SWEEP_RENEW, 1, EK_FLOW_ESTABLISHED, 8101, 0},
	{"taken over, closing: the next packet shows that it lives", EK_SWEEP_RENEW, 2,
	 EK_FLOW_CLOSING, 300, EK_FLOW_REUSE_AFTER + 1},
	{"taken over, an embryo", EK_SWEEP_RENEW, 1, EK_FLOW_EMBRYONIC, 61, -1},
	{"owned", EK_SWEEP_OWN, 1, EK_FLOW_ESTABLISHED, 8101, -1},
};

static void test_roles(void **state)
{
	struct lab *lab = *state;

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		uint32_t backend = kept[i].backend == 6 ? 1 : kept[i].backend;
		__u64 *at = put(lab, 3, 4, 7, backend, kept[i].state, kept[i].age);

		lab->sweep.services[0].stateful = kept[i].backend != 6;
		lab->sweep.services[0].role = EK_SWEEP_OWN;
		if (kept[i].role != EK_SWEEP_OWN)
			ek_sweep_role_set(&lab->sweep, 0, EK_SWEEP_FOLLOW, NOW);
		if (kept[i].role == EK_SWEEP_RENEW)
			ek_sweep_role_set(&lab->sweep, 0, EK_SWEEP_OWN, NOW);
		assert_int_equal(lab->sweep.services[0].role, kept[i].role);
		pass(lab, NOW);
		if ((kept[i].left < 0) != !*at || (*at && (age_at(at) != (uint32_t)kept[i].left ||
							   ek_flow_state(*at) != kept[i].state ||
							   ek_flow_backend(*at) != backend)))
			fail_msg("%s: %llx, age %u", kept[i].name, *at, age_at(at));
		*at = 0;
	}
}

/* However long it is never seen here, its age does not wrap. */
static void test_patience(void **state)
{
	struct lab *lab = *state;
	__u64 *at = put(lab, 3, 4, 7, 1, EK_FLOW_ESTABLISHED, 0);
	uint32_t now = NOW;

	ek_sweep_role_set(&lab->sweep, 0, EK_SWEEP_FOLLOW, now);
	lab->ring[0].slot[20] = ek_slot(2, 1, true);
	lab->ring[0].hit[20] = now & EK_TICK_MASK;
	for (int i = 0; i < 500; i++) {
		now += 500;
		pass(lab, now);
		assert_true(*at != 0);
		assert_in_range(ek_flow_age(*at, now), 500, 8100 + EK_SWEEP_PATIENCE);
		assert_in_range(ek_tick_age(lab->ring[0].hit[20], now), 500,
				8100 + EK_SWEEP_PATIENCE);
		assert_int_equal(lab->ring[0].slot[20], ek_slot(2, 1, true));
	}
	assert_true(ek_flow_age(*at, now) > 8100);
}

/* What is left of the pass under way, and a whole one: then everything has been renewed. */
static void test_renewing(void **state)
{
	struct lab *lab = *state;
	const struct ek_sweep_service *s = &lab->sweep.services[0];
	__u64 *early = put(lab, 0, 0, 7, 1, EK_FLOW_ESTABLISHED, 8101);

	ek_sweep_role_set(&lab->sweep, 0, EK_SWEEP_FOLLOW, NOW);
	ek_sweep_step(&lab->sweep, NOW, 4); /* its bucket has been passed */
	lab->ring[0].slot[20] = ek_slot(2, 1, true);
	lab->ring[0].hit[20] = (NOW - 9000) & EK_TICK_MASK;
	ek_sweep_role_set(&lab->sweep, 0, EK_SWEEP_OWN, NOW);
	assert_int_equal(s->role, EK_SWEEP_RENEW);
	assert_int_equal(ek_tick_age(lab->ring[0].hit[20], NOW), 0);
	ek_sweep_role_set(&lab->sweep, 0, EK_SWEEP_OWN, NOW); /* said again: no matter */
	pass(lab, NOW);
	assert_int_equal(s->role, EK_SWEEP_RENEW);
	assert_int_equal(age_at(early), 8101);
	pass(lab, NOW);
	assert_int_equal(s->role, EK_SWEEP_OWN);
	assert_int_equal(age_at(early), 0);
	pass(lab, NOW);
	assert_int_equal(lab->ring[0].slot[20], ek_slot(2, 1, true));
	pass(lab, NOW + 8101);
	assert_int_equal(*early, 0);
	assert_int_equal(lab->ring[0].slot[20], ek_slot(2, 2, false));
}

/* A follower again before it is done: nothing expires. */
static void test_renewing_is_cut_short(void **state)
{
	struct lab *lab = *state;
	__u64 *at = put(lab, 0, 0, 7, 1, EK_FLOW_ESTABLISHED, 8101);

	ek_sweep_role_set(&lab->sweep, 0, EK_SWEEP_FOLLOW, NOW);
	ek_sweep_role_set(&lab->sweep, 0, EK_SWEEP_OWN, NOW);
	ek_sweep_role_set(&lab->sweep, 0, EK_SWEEP_FOLLOW, NOW);
	for (int i = 0; i < 4; i++)
		pass(lab, NOW);
	assert_int_equal(lab->sweep.services[0].role, EK_SWEEP_FOLLOW);
	assert_int_equal(age_at(at), 8101);
}

static void test_expiry_is_told(void **state)
{
	struct lab *lab = *state;
	__u64 entry = *put(lab, 3, 4, 7, 1, EK_FLOW_ESTABLISHED, 8101);

	listen_to(lab);
	pass(lab, NOW);
	assert_int_equal(told.expired, 1);
	assert_int_equal(told.bucket, 3);
	assert_true(told.entry == entry);
	put(lab, 3, 4, 7, 1, EK_FLOW_EMBRYONIC, 61);	 /* nobody knows of it */
	put(lab, 4, 4, 7, 3, EK_FLOW_ESTABLISHED, 8101); /* nobody is told of it */
	put(lab, 5, 4, 7, 5, EK_FLOW_ESTABLISHED, 1);
	pass(lab, NOW);
	assert_int_equal(lab->sweep.expired, 4);
	assert_int_equal(told.expired, 1);
}

/* Slots 20, 21 and 22 may forget, 23 may not. */
static void ask(struct lab *lab)
{
	for (uint32_t i = 20; i < 24; i++) {
		lab->ring[0].slot[i] = ek_slot(2, 1, true);
		lab->ring[0].hit[i] = (NOW - (i < 23 ? 9000 : 0)) & EK_TICK_MASK;
	}
	pass(lab, NOW);
	assert_int_equal(told.asked, 0);
	pass(lab, NOW);
	assert_int_equal(told.asked, 1);
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		assert_int_equal(ek_bit(told.pending, i), i >= 20 && i < 23);
	assert_int_equal(lab->ring[0].slot[20], ek_slot(2, 1, true));
}

static void test_forgets_when_agreed(void **state)
{
	struct lab *lab = *state;
	uint8_t refused[EK_RING_BITMAP] = {0};

	listen_to(lab);
	ask(lab);
	ek_bit_set(refused, 21);
	ek_sweep_forget(&lab->sweep, 0, refused);
	assert_int_equal(lab->ring[0].slot[20], ek_slot(2, 2, false));
	assert_int_equal(lab->ring[0].slot[21], ek_slot(2, 1, true));
	assert_int_equal(lab->ring[0].slot[22], ek_slot(2, 2, false));
	assert_int_equal(lab->sweep.forgot, 2);
	ek_sweep_forget(&lab->sweep, 0, NULL); /* an answer to nothing */
	assert_int_equal(lab->ring[0].slot[21], ek_slot(2, 1, true));
	pass(lab, NOW);
	assert_int_equal(told.asked, 2);
	ek_sweep_forget(&lab->sweep, 0, NULL);
	assert_int_equal(lab->ring[0].slot[21], ek_slot(2, 2, false));
	pass(lab, NOW);
	assert_int_equal(told.asked, 2);
}

/* What comes between question and answer. */
static void test_what_changes_is_not_forgotten(void **state)
{
	struct lab *lab = *state;
	uint16_t *choices = malloc(EK_RING_SIZE * sizeof(*choices));

	assert_non_null(choices);
	listen_to(lab);
	ask(lab);
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		choices[i] = ek_slot_current(lab->ring[0].slot[i]);
	choices[20] = 1;
	ek_ring_apply(&lab->ring[0], choices, JUST, NOW, ek_sweep_changed(&lab->sweep, 0));
	ek_sweep_unask(&lab->sweep, 0);
	ek_sweep_touch(&lab->sweep, 0, 21);
	ek_sweep_forget(&lab->sweep, 0, NULL);
	assert_int_equal(lab->ring[0].slot[20], ek_slot(1, 1, true));
	assert_int_equal(lab->ring[0].slot[21], ek_slot(2, 1, true));
	assert_int_equal(lab->ring[0].slot[22], ek_slot(2, 2, false));
	free(choices);
}

/* Who loses the service does not carry out what was agreed before. */
static void test_role_ends_the_question(void **state)
{
	struct lab *lab = *state;

	listen_to(lab);
	ask(lab);
	ek_sweep_role_set(&lab->sweep, 0, EK_SWEEP_FOLLOW, NOW);
	ek_sweep_forget(&lab->sweep, 0, NULL);
	assert_int_equal(lab->ring[0].slot[20], ek_slot(2, 1, true));
	for (int i = 0; i < 3; i++)
		pass(lab, NOW);
	assert_int_equal(told.asked, 1);    /* a follower asks nothing */
	ek_sweep_touch(&lab->sweep, 9, 20); /* no such service */
	ek_sweep_forget(&lab->sweep, 9, NULL);
	ek_sweep_unask(&lab->sweep, 9);
	ek_sweep_role_set(&lab->sweep, 9, EK_SWEEP_FOLLOW, NOW);
	assert_false(ek_sweep_clear(&lab->sweep, 9, 20));
}

/* Whether a follower may agree: a whole pass since the last change has met nothing. */
static void test_clear(void **state)
{
	struct lab *lab = *state;
	__u64 *at;

	ek_sweep_role_set(&lab->sweep, 0, EK_SWEEP_FOLLOW, NOW);
	assert_false(ek_sweep_clear(&lab->sweep, 0, 20));
	pass(lab, NOW); /* a service that is new has changed */
	assert_false(ek_sweep_clear(&lab->sweep, 0, 20));
	pass(lab, NOW);
	assert_true(ek_sweep_clear(&lab->sweep, 0, 20));
	at = put(lab, 9, 1, 20, 2, EK_FLOW_ESTABLISHED, 5); /* current is 1 */
	pass(lab, NOW);
	assert_false(ek_sweep_clear(&lab->sweep, 0, 20));
	assert_true(ek_sweep_clear(&lab->sweep, 0, 21));
	*at = 0;
	pass(lab, NOW);
	assert_true(ek_sweep_clear(&lab->sweep, 0, 20));
	ek_sweep_step(&lab->sweep, NOW, 3);
	ek_sweep_touch(&lab->sweep, 0, 20);
	assert_false(ek_sweep_clear(&lab->sweep, 0, 20));
	pass(lab, NOW); /* began before */
	assert_false(ek_sweep_clear(&lab->sweep, 0, 20));
	pass(lab, NOW);
	assert_true(ek_sweep_clear(&lab->sweep, 0, 20));
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
		TEST(test_roles),
		TEST(test_patience),
		TEST(test_renewing),
		TEST(test_renewing_is_cut_short),
		TEST(test_expiry_is_told),
		TEST(test_forgets_when_agreed),
		TEST(test_what_changes_is_not_forgotten),
		TEST(test_role_ends_the_question),
		TEST(test_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
