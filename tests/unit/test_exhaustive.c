/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The same promise as test_property.c, in a world small enough to try everything: two slots, three
 * backends, two flows, one bucket, and every order of every event up to a depth. Breadth first;
 * states that differ only in what time it is are one state. Slots change, forget and select by the
 * real functions; the sweep is in two halves, so that anything may come between them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ring.h"

#define SLOTS	 2
#define BACKENDS 3 /* indices 1 to 3 */
#define FLOWS	 2
#define STEP	 6 /* ticks: past EK_FLOW_EMBRYO_GRACE and EK_FLOW_REUSE_AFTER */

enum { IDLE = 3 * STEP, EMBRYO = STEP, CLOSING = 2 * STEP };

static const struct ek_service service = {.timeout = {0, EMBRYO, IDLE, CLOSING}};

enum stage { NONE, SYN_SENT, ESTABLISHED };

struct flow {
	uint8_t stage, backend;
	uint8_t silent;	  /* steps since its last packet */
	uint8_t ended;	  /* steps since a FIN or RST that nothing followed, plus one; 0 = none */
	uint8_t doubtful; /* in this step: another SYN came first, or health changed meanwhile */
};

/* All that a history leaves behind. Times are ages; `hit` and entries are kept relative to 0. */
struct world {
	struct ek_flow_bucket bucket;
	uint32_t isn[EK_FLOW_WAYS];
	uint32_t slot[SLOTS];
	uint16_t hit[SLOTS];
	struct flow flow[FLOWS];
	uint8_t up, eligible;  /* bit per backend */
	uint8_t busy, changed; /* bit per slot: what the sweep under way has seen */
	uint8_t pad[6];
};

struct search {
	struct world *worlds;
	uint8_t *event; /* that led there */
	uint32_t *parent;
	uint32_t *table; /* open addressing; index + 1 */
	uint32_t used, limit, mask;
	const uint8_t *slot_of; /* each flow's */
	uint8_t room;
	uint32_t now;
	struct world w;
	const char *broken;
};

static uint64_t hash_of(const struct search *x, int flow)
{
	uint64_t slot = x->slot_of[flow] * 1000;

	return ((slot << 32) / EK_RING_SIZE + 1 + flow) << 32;
}

static int flags_of(void *context, __u32 backend)
{
	const struct search *x = context;

	if (backend > BACKENDS)
		return -1;
	return x->w.up >> backend & 1 ? EK_NEXTHOP_ALIVE : 0;
}

static struct ek_flow_key *key_of(void *context, __u32 way)
{
	static struct ek_flow_key key;
	const struct search *x = context;

	key.isn = x->w.isn[way];
	return &key;
}

static uint32_t packet(struct search *x, int flow, enum ek_packet_kind kind, uint32_t sequence)
{
	int slot = x->slot_of[flow];
	struct ek_surroundings around = {flags_of, key_of, x, &service, &x->w.bucket};
	struct ek_selection s = {.hash = hash_of(x, flow),
				 .slot = x->w.slot[slot],
				 .now = x->now,
				 .sequence = sequence,
				 .kind = kind};
	struct ek_choice c;

	if (!(s.slot & EK_SLOT_LOOKUP))
		return ek_slot_current(s.slot);
	ek_select(&c, &s, &around);
	if (c.stored >= 0)
		x->w.isn[c.stored] = sequence;
	if (c.origin_hit)
		x->w.hit[slot] = x->now & EK_TICK_MASK;
	return c.backend;
}

/* --- events ---------------------------------------------------------------------------------- */

static uint32_t choose(const struct world *w, int slot)
{
	uint8_t of = w->up & w->eligible ? w->up & w->eligible : w->up;

	for (int i = 0; i < BACKENDS; i++) {
		uint32_t b = 1 + (slot + i) % BACKENDS;

		if (of >> b & 1)
			return b;
	}
	return EK_BACKEND_NONE;
}

static void rechoose(struct search *x)
{
	for (int i = 0; i < SLOTS; i++) {
		bool left;
		uint32_t slot = ek_slot_change(x->w.slot[i], choose(&x->w, i),
					       EK_TRACKING_JUST_ENOUGH, &left);

		if (slot == x->w.slot[i])
			continue;
		if (left)
			x->w.hit[i] = x->now & EK_TICK_MASK;
		x->w.slot[i] = slot;
		x->w.changed |= 1 << i;
	}
}

/* `genuine`: sequence numbers 1 and 2; whoever forges uses others. */
static void open_flow(struct search *x, int f)
{
	struct flow *flow = &x->w.flow[f];
	uint32_t backend = packet(x, f, EK_PACKET_SYN, 1);

	flow->stage = backend ? SYN_SENT : NONE;
	flow->backend = backend;
	flow->silent = flow->ended = 0;
}

static void data(struct search *x, int f)
{
	struct flow *flow = &x->w.flow[f];
	uint32_t backend = packet(x, f, EK_PACKET_DATA, 2);
	bool right = backend == flow->backend;
	bool quick = !flow->silent && !flow->doubtful;

	if (flow->stage == SYN_SENT) {
		flow->stage = right && quick ? ESTABLISHED : NONE;
		flow->doubtful |= !flow->stage;
		flow->silent = 0;
		return;
	}
	if (flow->silent > IDLE / STEP || flow->ended > CLOSING / STEP + 1 ||
	    (!right && backend && !(x->w.up >> flow->backend & 1)))
		flow->stage = NONE;
	else if (!right && x->w.up >> flow->backend & 1)
		x->broken = "an established connection changed backend";
	if (right || !flow->stage)
		flow->silent = 0;
	if (flow->ended > 1)
		flow->ended = 0;
}

static void end(struct search *x, int f, bool forged)
{
	struct flow *flow = &x->w.flow[f];

	if (flow->stage == ESTABLISHED &&
	    (flow->silent > IDLE / STEP || flow->ended > CLOSING / STEP + 1))
		flow->stage = NONE;
	packet(x, f, EK_PACKET_END, forged ? 0x60000000 : 2);
	if (forged)
		flow->ended = 1;
	else
		flow->stage = flow->ended = 0;
}

static void advance(struct search *x)
{
	x->now += STEP;
	for (int f = 0; f < FLOWS; f++) {
		struct flow *flow = &x->w.flow[f];

		flow->silent += flow->stage && flow->silent < 9;
		flow->ended += flow->ended && flow->ended < 9;
		flow->doubtful = 0; /* a step is longer than EK_FLOW_EMBRYO_GRACE */
	}
}

static void sweep_table(struct search *x)
{
	x->w.busy = x->w.changed = 0;
	for (int way = 0; way < EK_FLOW_WAYS; way++) {
		__u64 *at = &x->w.bucket.entry[way];

		if (*at && ek_flow_age(*at, x->now) > service.timeout[ek_flow_state(*at)])
			*at = 0;
		for (int f = 0; f < FLOWS; f++)
			if (*at && !ek_flow_hash_high(*at ^ hash_of(x, f)) &&
			    ek_flow_backend(*at) != ek_slot_current(x->w.slot[x->slot_of[f]]))
				x->w.busy |= 1 << x->slot_of[f];
	}
}

static void sweep_ring(struct search *x)
{
	for (int i = 0; i < SLOTS; i++)
		if (ek_slot_remembers(x->w.slot[i], EK_TRACKING_JUST_ENOUGH) &&
		    !(x->w.changed >> i & 1) &&
		    ek_slot_may_forget(x->w.slot[i], x->w.hit[i], x->now, IDLE, x->w.busy >> i & 1))
			x->w.slot[i] = ek_slot_forget(x->w.slot[i], EK_TRACKING_JUST_ENOUGH);
	x->w.changed = 3; /* the next half needs a first one of its own */
}

enum {
	E_ADVANCE,
	E_SWEEP_TABLE,
	E_SWEEP_RING,
	E_HEALTH,			/* of each backend: believed down, or up again */
	E_WEIGHT = E_HEALTH + BACKENDS, /* drained, or no longer */
	E_OPEN = E_WEIGHT + BACKENDS,	/* of each flow */
	E_DATA = E_OPEN + FLOWS,
	E_FIN = E_DATA + FLOWS,
	E_FORGED_SYN = E_FIN + FLOWS,
	E_FORGED_RST = E_FORGED_SYN + FLOWS,
	E_EVENTS = E_FORGED_RST + FLOWS
};

static bool apply_flow(struct search *x, int kind, int f)
{
	struct flow *flow = &x->w.flow[f];

	switch (kind) {
	case E_OPEN:
		if (flow->stage == NONE)
			open_flow(x, f);
		else
			return false;
		break;
	case E_DATA:
		if (flow->stage == NONE)
			return false;
		data(x, f);
		break;
	case E_FIN:
		if (flow->stage != ESTABLISHED)
			return false;
		end(x, f, false);
		break;
	case E_FORGED_SYN:
		packet(x, f, EK_PACKET_SYN, 0x80000000);
		flow->doubtful |= flow->stage != SYN_SENT; /* the first one wins */
		break;
	case E_FORGED_RST:
		end(x, f, true);
		break;
	}
	return true;
}

/* False when the event means nothing in this world. */
static bool apply(struct search *x, int event)
{
	if (event >= E_OPEN)
		return apply_flow(x, E_OPEN + (event - E_OPEN) / FLOWS * FLOWS,
				  (event - E_OPEN) % FLOWS);
	if (event >= E_WEIGHT) {
		x->w.eligible ^= 2 << (event - E_WEIGHT);
		rechoose(x);
	} else if (event >= E_HEALTH) {
		x->w.up ^= 2 << (event - E_HEALTH);
		for (int f = 0; f < FLOWS; f++)
			x->w.flow[f].doubtful |= x->w.flow[f].stage == SYN_SENT;
		rechoose(x);
	} else if (event == E_ADVANCE) {
		advance(x);
	} else if (event == E_SWEEP_TABLE) {
		sweep_table(x);
	} else {
		sweep_ring(x);
	}
	return true;
}

static void print_history(const struct search *x, uint32_t from, int last)
{
	static const char *const names[] = {"open", "data", "fin", "forged SYN", "forged RST"};
	int events[64], n = 0;

	for (events[n++] = last; from; from = x->parent[from])
		events[n++] = x->event[from];
	while (n--) {
		int e = events[n];

		if (e >= E_OPEN)
			printf("    %s, flow %d\n", names[(e - E_OPEN) / FLOWS],
			       (e - E_OPEN) % FLOWS);
		else if (e >= E_HEALTH)
			printf("    %s b%d\n", e >= E_WEIGHT ? "weight" : "health",
			       1 + (e - E_HEALTH) % BACKENDS);
		else
			printf("    %s\n", e == E_ADVANCE	? "tick 6"
					   : e == E_SWEEP_TABLE ? "sweep, table"
								: "sweep, ring");
	}
	printf("  %s\n", x->broken);
}

/* --- the search ------------------------------------------------------------------------------ */

/* Ages in place of times, capped where they stop to matter. */
static void normalize(struct search *x)
{
	for (int way = 0; way < EK_FLOW_WAYS; way++) {
		__u64 *at = &x->w.bucket.entry[way];
		uint32_t age = ek_flow_age(*at, x->now);

		if (!*at)
			x->w.isn[way] = 0;
		else
			*at = (*at & ~(__u64)EK_TICK_MASK) |
			      (0u - (age < 60 ? age : 60)) % (EK_TICK_MASK + 1);
	}
	for (int i = 0; i < SLOTS; i++) {
		uint32_t age = ek_tick_age(x->w.hit[i], x->now);

		if (x->w.slot[i] & EK_SLOT_LOOKUP)
			x->w.hit[i] = (0u - (age < 60 ? age : 60)) & EK_TICK_MASK;
		else
			x->w.hit[i] = 0;
	}
}

static uint64_t digest(const struct world *w)
{
	const uint64_t *words = (const uint64_t *)w;
	uint64_t h = 0;

	for (size_t i = 0; i < sizeof(*w) / 8; i++) {
		h = (h ^ words[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return h;
}

/* Notes the world if it is new. False when there is no more room. */
static bool note(struct search *x, uint32_t parent, uint8_t event)
{
	uint32_t at = digest(&x->w) & x->mask;

	for (; x->table[at]; at = (at + 1) & x->mask)
		if (!memcmp(&x->worlds[x->table[at] - 1], &x->w, sizeof(x->w)))
			return true;
	if (x->used == x->limit)
		return false;
	x->worlds[x->used] = x->w;
	x->parent[x->used] = parent;
	x->event[x->used] = event;
	x->table[at] = ++x->used;
	return true;
}

/* `room` ways are free: the others hold connections of other services. */
static void start(struct search *x)
{
	memset(&x->w, 0, sizeof(x->w));
	x->used = 0;
	memset(x->table, 0, (x->mask + 1) * sizeof(*x->table));
	x->w.up = x->w.eligible = 0xe;
	x->w.changed = 3;
	for (int i = 0; i < SLOTS; i++)
		x->w.slot[i] = ek_slot(1 + i, 1 + i, false);
	note(x, 0, 0);
}

static void refill(struct search *x)
{
	for (int way = x->room; way < EK_FLOW_WAYS; way++)
		x->w.bucket.entry[way] =
			ek_flow_entry(~0ull << 40, BACKENDS + 1, EK_FLOW_ESTABLISHED, x->now);
}

/* All histories of up to `depth` events. Returns how far it came. */
static int explore(struct search *x, int depth)
{
	uint32_t from = 0;

	start(x);
	for (int d = 0; d < depth; d++) {
		for (uint32_t end_of_level = x->used; from < end_of_level; from++) {
			for (int event = 0; event < E_EVENTS; event++) {
				x->w = x->worlds[from];
				x->now = 0;
				refill(x);
				if (!apply(x, event))
					continue;
				if (x->broken) {
					print_history(x, from, event);
					return -1;
				}
				if (d == depth - 1)
					continue; /* nothing follows: it need not be kept */
				refill(x);
				normalize(x);
				if (!note(x, from, event))
					return d;
			}
		}
	}
	return depth;
}

#ifdef __SANITIZE_ADDRESS__
#define DEPTH  7
#define WORLDS (1u << 20)
#else
#define DEPTH  9
#define WORLDS (4u << 20)
#endif

static void run(const uint8_t *slot_of, uint8_t room, const char *name)
{
	struct search x = {
		.limit = WORLDS, .mask = (1u << 23) - 1, .slot_of = slot_of, .room = room};
	int depth;

	x.worlds = malloc(x.limit * sizeof(*x.worlds));
	x.event = malloc(x.limit);
	x.parent = malloc(x.limit * sizeof(*x.parent));
	x.table = malloc((x.mask + 1) * sizeof(*x.table));
	assert_true(x.worlds && x.event && x.parent && x.table);
	depth = explore(&x, DEPTH);
	printf("exhaustive: %s, room for %u: depth %d, %u states followed, broken %d\n", name, room,
	       depth, x.used, !!x.broken);
	free(x.worlds);
	free(x.event);
	free(x.parent);
	free(x.table);
	assert_null(x.broken);
	assert_int_equal(depth, DEPTH);
}

static void test_flows_of_one_slot(void **state)
{
	static const uint8_t slot_of[FLOWS] = {0, 0};

	(void)state;
	run(slot_of, 1, "two flows in one slot");
	run(slot_of, EK_FLOW_WAYS, "two flows in one slot");
}

static void test_flows_of_two_slots(void **state)
{
	static const uint8_t slot_of[FLOWS] = {0, 1};

	(void)state;
	run(slot_of, 0, "a flow in each slot");
	run(slot_of, 1, "a flow in each slot");
	run(slot_of, 2, "a flow in each slot");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_flows_of_one_slot),
					   cmocka_unit_test(test_flows_of_two_slots)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
