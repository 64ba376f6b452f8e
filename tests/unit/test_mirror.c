/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two and three mirrors joined in memory: what one node does to its rings and entries, and what
 * the others have then. Rows are numbered differently on every node: what is compared is the
 * backends that they stand for.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "mirror_private.h"
#include "mirror_sim.h"

#define BUCKETS 64u
#define IDLE	302u /* ticks: more than the timeout of 300 s */
#define ISN	1000u

/* --- a cluster ------------------------------------------------------------------------------- */

static void pass(unsigned int node)
{
	while (!ek_datapath_sweep(sim_nodes[node].dp, BUCKETS))
		;
}

/* The others first: who is asked must have looked. */
static void pass_all(void)
{
	for (unsigned int i = sim_n; i-- > 0;)
		pass(i);
}

static void ticks(uint32_t n)
{
	for (unsigned int i = 0; i < SIM_NODES; i++)
		sim_tick[i] += n;
}

/*
 * Node 0 owns service 0 with backends 1 and 2. The others follow; they had another service first,
 * and name the backends in another order.
 */
static void start(unsigned int nodes)
{
	sim_n = nodes;
	for (unsigned int i = 0; i < nodes; i++) {
		struct sim_node *node = &sim_nodes[i];

		sim_tick[i] = 70000 + i * 12345;
		sim_node_start(i, BUCKETS);
		if (i)
			sim_service_add(node, 1, false);
		for (uint8_t other = 0; i && other < 2 + i; other++)
			sim_member_add(node, 1, 100 + other, 1);
		sim_apply(node);
		sim_service_add(node, 0, i == 0);
		sim_member_add(node, 0, i ? 2 : 1, 1);
		sim_member_add(node, 0, i ? 1 : 2, 1);
		sim_apply(node);
		if (i == 0) {
			sim_service_add(node, 1, true);
			sim_member_add(node, 1, 100, 1);
			sim_apply(node);
		}
	}
}

static void join_all(void)
{
	for (unsigned int i = 0; i < sim_n; i++)
		for (unsigned int j = 0; j < i; j++)
			sim_join(j, i);
	sim_settle();
}

static int stop(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sim_n; i++)
		if (sim_nodes[i].dp)
			sim_node_stop(i);
	return 0;
}

static int setup_two(void **state)
{
	(void)state;
	start(2);
	return 0;
}

static int setup_joined(void **state)
{
	(void)state;
	start(2);
	join_all();
	return 0;
}

static int setup_three(void **state)
{
	(void)state;
	start(3);
	join_all();
	return 0;
}

static const struct ek_mirror_counters *counters(unsigned int node, unsigned int other)
{
	return ek_mirror_counters(sim_nodes[node].mirror, sim_peer(node, other));
}

/* --- what they have -------------------------------------------------------------------------- */

static const struct ek_ring *ring_of(unsigned int node, unsigned int service)
{
	return ek_datapath_ring(sim_nodes[node].dp, sim_nodes[node].services[service].id);
}

/* The slot by hosts: current, origin, LOOKUP. */
static uint32_t slot_at(unsigned int node, unsigned int service, uint32_t slot)
{
	uint32_t word = ring_of(node, service)->slot[slot];

	return sim_host(&sim_nodes[node], ek_slot_current(word)) |
	       (uint32_t)sim_host(&sim_nodes[node], ek_slot_origin(word)) << 8 |
	       (word & EK_SLOT_LOOKUP ? 1u << 16 : 0);
}

#define SLOT(current, origin, lookup) ((current) | (origin) << 8 | (uint32_t)(lookup) << 16)

static uint32_t ring_differences(unsigned int a, unsigned int b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		n += slot_at(a, 0, i) != slot_at(b, 0, i);
	return n;
}

static uint32_t entries(unsigned int node)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < BUCKETS * EK_FLOW_WAYS; i++) {
		uint64_t entry =
			sim_nodes[node].dp->flows[i / EK_FLOW_WAYS].entry[i % EK_FLOW_WAYS];

		n += ek_flow_state(entry) > EK_FLOW_EMBRYONIC;
	}
	return n;
}

/* State and host of a flow's entry; 0 = none. */
static uint32_t entry_at(unsigned int node, const struct sim_flow *flow)
{
	uint64_t entry = sim_entry(sim_nodes[node].dp, flow);

	return entry ? ek_flow_state(entry) << 8 |
			       sim_host(&sim_nodes[node], ek_flow_backend(entry))
		     : 0;
}

#define LIVE(host)    (EK_FLOW_ESTABLISHED << 8 | (host))
#define CLOSING(host) (EK_FLOW_CLOSING << 8 | (host))

static uint32_t age_at(unsigned int node, const struct sim_flow *flow)
{
	return ek_flow_age(sim_entry(sim_nodes[node].dp, flow), sim_tick[node]);
}

/* --- what they do ---------------------------------------------------------------------------- */

/* The n-th slot of node 0 that is like this. */
static uint32_t find_slot(uint32_t like, unsigned int n)
{
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		if (slot_at(0, 0, i) == like && !n--)
			return i;
	fail_msg("no slot is like %x", like);
	return 0;
}

static uint8_t packet(unsigned int node, const struct sim_flow *flow, enum ek_packet_kind kind,
		      uint32_t sequence)
{
	return sim_host(&sim_nodes[node], sim_packet(sim_nodes[node].dp, flow, kind, sequence));
}

static uint8_t open_flow(unsigned int node, const struct sim_flow *flow)
{
	packet(node, flow, EK_PACKET_SYN, ISN);
	return packet(node, flow, EK_PACKET_DATA, ISN + 1);
}

/* Backend 3 comes to node 0; the ring is changed at once if nobody is there to wait for. */
static void add_third(void)
{
	sim_member_add(&sim_nodes[0], 0, 3, 1);
	sim_apply(&sim_nodes[0]);
}

/* A flow of backend 3 on a slot that was 1's before: it has an entry. */
static struct sim_flow changed_flow(unsigned int n)
{
	return (struct sim_flow){.slot = find_slot(SLOT(3, 1, 1), n),
				 .low = n * 7,
				 .port = n,
				 .service = sim_nodes[0].services[0].id};
}

/* Ids of services differ as rows do. */
static struct sim_flow flow_on(unsigned int node, struct sim_flow flow)
{
	flow.service = sim_nodes[node].services[0].id;
	return flow;
}

/* --- everything, for who joins --------------------------------------------------------------- */

static void test_bulk(void **state)
{
	struct sim_flow flow[40];

	(void)state;
	add_third();
	for (unsigned int i = 0; i < 40; i++) {
		flow[i] = changed_flow(i);
		assert_int_equal(open_flow(0, &flow[i]), 3);
		ticks(1);
	}
	packet(0, &flow[7], EK_PACKET_END, ISN + 1);
	assert_int_equal(entries(0), 40);
	assert_false(ek_mirror_synced(sim_nodes[1].mirror, 0));
	join_all();
	assert_true(ek_mirror_synced(sim_nodes[1].mirror, 0));
	assert_true(ek_mirror_synced(sim_nodes[0].mirror, 0));
	assert_int_not_equal(sim_row(&sim_nodes[0], 0, 1), sim_row(&sim_nodes[1], 0, 1));
	assert_int_equal(ring_differences(0, 1), 0);
	assert_int_equal(entries(1), 40);
	for (unsigned int i = 0; i < 40; i++) {
		uint32_t expected = i == 7 ? CLOSING(3) : LIVE(3);

		assert_int_equal(entry_at(1, &flow[i]), expected);
		assert_int_equal(age_at(1, &flow[i]), i == 7 ? 0 : 40 - i);
	}
	assert_int_equal(counters(1, 0)->entries_received, 40);
	assert_int_equal(counters(0, 1)->entries_sent, 40);
	assert_int_equal(counters(0, 1)->tables, 1);
	assert_int_equal(counters(1, 0)->slots_received, 2 * EK_RING_SIZE);
	assert_int_equal(counters(1, 0)->unknown, 0);
	assert_int_equal(sim_nodes[0].rejected + sim_nodes[1].rejected, 0);
}

/* What the follower needs to serve the connection and to show it: the cold twin. */
static void test_the_twin_travels(void **state)
{
	const struct ek_flow_key *key = NULL;
	struct sim_flow flow;

	(void)state;
	add_third();
	sim_settle();
	flow = changed_flow(5);
	open_flow(0, &flow);
	ticks(9);
	sim_settle();
	for (int way = 0; way < EK_FLOW_WAYS; way++)
		if (sim_nodes[1].dp->flows[flow.low % BUCKETS].entry[way])
			key = &sim_nodes[1].dp->flow_keys[flow.low % BUCKETS].key[way];
	assert_non_null(key);
	assert_int_equal(key->isn, ISN);
	assert_int_equal(key->source_port, flow.port);
	assert_int_equal(key->source.words[3], flow.slot);
	assert_int_equal(key->protocol, IPPROTO_TCP);
	assert_int_equal(key->service, sim_nodes[1].services[0].id);
	assert_int_equal(key->since, sim_tick[1] - 9);
	assert_memory_equal(&key->destination, &sim_nodes[1].services[0].config.vip, 16);
}

/* A service that comes while both are there; and one that is not stateful. */
static void test_services_come(void **state)
{
	struct sim_flow flow;

	(void)state;
	sim_nodes[0].services[0].failover = EK_FAILOVER_STATELESS;
	sim_apply(&sim_nodes[0]);
	add_third();
	sim_settle();
	assert_int_equal(ring_differences(0, 1), 0);
	flow = changed_flow(1);
	open_flow(0, &flow);
	sim_part(0, 1);
	join_all();
	assert_int_equal(entries(0), 1);
	assert_int_equal(entries(1), 0);
	sim_nodes[0].services[0].failover = EK_FAILOVER_STATEFUL;
	sim_apply(&sim_nodes[0]);
	packet(0, &flow, EK_PACKET_END, ISN + 1);
	sim_settle();
	assert_int_equal(entry_at(1, &flow), CLOSING(3));
}

/* What the owner no longer has when its whole table comes, the other should not keep. */
static void test_what_ended_meanwhile(void **state)
{
	struct sim_flow gone, kept, used;

	(void)state;
	add_third();
	sim_settle();
	gone = changed_flow(1);
	kept = changed_flow(2);
	used = changed_flow(3);
	open_flow(0, &gone);
	open_flow(0, &kept);
	open_flow(0, &used);
	sim_settle();
	assert_int_equal(entries(1), 3);
	sim_part(0, 1);
	for (uint32_t t = 0; t < IDLE; t += IDLE / 2) {
		ticks(IDLE / 2);
		packet(0, &kept, EK_PACKET_DATA, ISN + 1);
	}
	packet(1,
	       &(struct sim_flow){.slot = used.slot,
				  .low = used.low,
				  .port = used.port,
				  .service = sim_nodes[1].services[0].id},
	       EK_PACKET_DATA, ISN + 1);
	pass(0);
	pass(0);
	assert_int_equal(entries(0), 1);
	assert_int_equal(entries(1), 3);
	join_all();
	assert_int_equal(entry_at(1, &gone), 0);
	assert_int_equal(entry_at(1, &kept), LIVE(3));
	assert_int_equal(entry_at(1, &used), LIVE(3)); /* this node knows better … */
	assert_int_equal(entry_at(0, &used), LIVE(3)); /* … and says so */
}

/* --- rings ----------------------------------------------------------------------------------- */

static void test_ring_waits_for_the_peer(void **state)
{
	uint64_t sent = counters(0, 1)->slots_sent;

	(void)state;
	add_third();
	assert_true(sim_nodes[0].waiting);
	assert_int_equal(ring_differences(0, 1), 0); /* neither here nor there */
	sim_us += 300;
	while (sim_deliver(0, 1))
		;
	assert_true(ring_differences(0, 1) > EK_RING_SIZE / 4);
	assert_int_equal(counters(0, 1)->slots_sent - sent, ring_differences(0, 1));
	assert_int_equal(ek_mirror_silence_us(sim_nodes[0].mirror), 300);
	while (sim_deliver(1, 0))
		;
	assert_int_equal(counters(0, 1)->lag_us, 300);
	assert_int_equal(ek_mirror_silence_us(sim_nodes[0].mirror), 0);
	assert_true(sim_nodes[0].due);
	sim_apply(&sim_nodes[0]);
	assert_false(sim_nodes[0].waiting);
	assert_int_equal(ring_differences(0, 1), 0);
	find_slot(SLOT(3, 1, 1), 0);
}

/* The same change is not told twice, and does not wait for another mark. */
static void test_ring_is_told_once(void **state)
{
	uint64_t sent;

	(void)state;
	add_third();
	sent = counters(0, 1)->slots_sent;
	sim_apply(&sim_nodes[0]);
	sim_apply(&sim_nodes[0]);
	assert_true(sim_nodes[0].waiting);
	assert_int_equal(counters(0, 1)->slots_sent, sent);
	sim_settle();
	assert_int_equal(counters(0, 1)->slots_sent, sent);
	assert_int_equal(ring_differences(0, 1), 0);
}

static void test_ring_unacknowledged(void **state)
{
	(void)state;
	sim_member(&sim_nodes[0], 0, 2)->down = true;
	sim_apply(&sim_nodes[0]);
	assert_true(sim_nodes[0].waiting);
	find_slot(SLOT(2, 2, 0), 0);
	sim_nodes[0].late = true; /* a loss does not wait for ever */
	sim_apply(&sim_nodes[0]);
	assert_false(sim_nodes[0].waiting);
	find_slot(SLOT(1, 2, 1), 0);
	sim_nodes[0].late = false;
	sim_settle();
	assert_int_equal(ring_differences(0, 1), 0);
}

static void test_ring_whose_peer_goes(void **state)
{
	(void)state;
	add_third();
	assert_true(sim_nodes[0].waiting);
	sim_part(0, 1);
	assert_true(sim_nodes[0].due);
	sim_apply(&sim_nodes[0]);
	assert_false(sim_nodes[0].waiting);
	find_slot(SLOT(3, 1, 1), 0);
	join_all();
	assert_int_equal(ring_differences(0, 1), 0);
}

/* Announced, and taken back before it took effect: told, or not even received yet. */
static void test_ring_superseded(void **state)
{
	(void)state;
	for (int heard = 0; heard < 2; heard++) {
		sim_member(&sim_nodes[0], 0, 1)->weight = 0;
		sim_apply(&sim_nodes[0]);
		assert_true(sim_nodes[0].waiting);
		while (heard && sim_deliver(0, 1))
			;
		sim_member(&sim_nodes[0], 0, 1)->weight = 1;
		sim_apply(&sim_nodes[0]);
		assert_false(sim_nodes[0].waiting);
		sim_settle();
		assert_int_equal(ring_differences(0, 1), 0);
		find_slot(SLOT(1, 1, 1), 0); /* somebody may have gone to 2 */
		pass_all();
		pass_all();
		sim_settle();
		assert_int_equal(ring_differences(0, 1), 0);
		find_slot(SLOT(1, 1, 0), 0);
	}
}

/* A connection that the follower took while it had the new ring is not sent elsewhere. */
static void test_ring_superseded_in_use(void **state)
{
	struct sim_flow flow = {.port = 9, .low = 3};

	(void)state;
	flow.slot = find_slot(SLOT(1, 1, 0), 3);
	sim_member(&sim_nodes[0], 0, 1)->weight = 0;
	sim_apply(&sim_nodes[0]);
	while (sim_deliver(0, 1))
		;
	flow = flow_on(1, flow);
	assert_int_equal(open_flow(1, &flow), 2);
	sim_member(&sim_nodes[0], 0, 1)->weight = 1;
	sim_apply(&sim_nodes[0]);
	sim_settle();
	assert_int_equal(ring_differences(0, 1), 0);
	assert_int_equal(packet(1, &flow, EK_PACKET_DATA, ISN + 1), 2);
	flow = flow_on(0, flow);
	assert_int_equal(packet(0, &flow, EK_PACKET_DATA, ISN + 1), 2);
}

/* Who takes over goes on with what it was told, by its own view of the backends. */
static void test_ring_changes_hands(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third();
	sim_settle();
	flow = changed_flow(4);
	open_flow(0, &flow);
	sim_settle();
	sim_part(0, 1);
	sim_member(&sim_nodes[1], 0, 3)->weight = 1;
	sim_own(&sim_nodes[1], true);
	assert_int_equal(ring_differences(0, 1), 0);
	flow = flow_on(1, flow);
	assert_int_equal(packet(1, &flow, EK_PACKET_DATA, ISN + 1), 3);
	assert_int_equal(open_flow(1, &flow), 3);
	/* The old owner returns as a follower, with rings of its own time. */
	sim_own(&sim_nodes[0], false);
	sim_member(&sim_nodes[1], 0, 2)->weight = 0;
	sim_apply(&sim_nodes[1]);
	join_all();
	assert_int_equal(ring_differences(0, 1), 0);
	assert_int_equal(entry_at(0, &flow), LIVE(3));
}

/* --- forgetting ------------------------------------------------------------------------------ */

/* Everything is idle, and the owner's sweep finds that its slots may forget. */
static void idle_until_asked(void)
{
	add_third();
	sim_settle();
	pass_all();
	ticks(IDLE);
	pass_all();
	pass_all();
}

static void test_forget_agreed(void **state)
{
	uint32_t slot;

	(void)state;
	idle_until_asked();
	slot = find_slot(SLOT(3, 1, 1), 0); /* nothing before the answer */
	sim_settle();
	assert_int_equal(slot_at(0, 0, slot), SLOT(3, 3, 0));
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		assert_int_equal(ring_of(0, 0)->slot[i] & EK_SLOT_LOOKUP, 0);
	assert_int_equal(ring_differences(0, 1), 0);
}

static void test_forget_alone(void **state)
{
	(void)state;
	sim_part(0, 1);
	idle_until_asked();
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		assert_int_equal(ring_of(0, 0)->slot[i] & EK_SLOT_LOOKUP, 0);
	join_all();
	assert_int_equal(ring_differences(0, 1), 0);
}

/* Node 2 has sent something to the origin: the others remember too, node 1 once more. */
static void test_forget_refused_by_one(void **state)
{
	struct sim_flow old = {.port = 1};

	(void)state;
	add_third();
	sim_settle();
	pass_all();
	ticks(IDLE);
	old.slot = find_slot(SLOT(3, 1, 1), 2);
	old = flow_on(2, old);
	assert_int_equal(packet(2, &old, EK_PACKET_DATA, 5), 1);
	pass_all();
	pass_all();
	while (sim_deliver(0, 1))
		;
	assert_int_equal(slot_at(1, 0, old.slot), SLOT(3, 3, 0));
	sim_settle();
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(slot_at(i, 0, old.slot), SLOT(3, 1, 1));
	assert_int_equal(ring_differences(0, 1), 0);
	assert_int_equal(ring_differences(0, 2), 0);
	assert_int_equal(slot_at(0, 0, find_slot(SLOT(3, 3, 0), 0)) & 1 << 16, 0);
}

static void test_forget_whose_peer_dies(void **state)
{
	(void)state;
	idle_until_asked();
	while (sim_deliver(0, 1))
		;
	while (sim_deliver(1, 0))
		;
	find_slot(SLOT(3, 1, 1), 0);
	sim_part(0, 2);
	sim_settle();
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		assert_int_equal(ring_of(0, 0)->slot[i] & EK_SLOT_LOOKUP, 0);
	assert_int_equal(ring_differences(0, 1), 0);
}

/* What was not asked about when the question was put does not follow from its answer. */
static void test_forget_only_what_was_asked(void **state)
{
	struct sim_flow old = {.port = 1};

	(void)state;
	add_third();
	sim_settle();
	old.slot = find_slot(SLOT(3, 1, 1), 2);
	old = flow_on(0, old);
	ticks(IDLE - 10);
	packet(0, &old, EK_PACKET_DATA, 5);
	pass_all();
	ticks(10);
	pass_all();
	pass_all(); /* all but this one are asked about */
	old = flow_on(1, old);
	ticks(IDLE);
	packet(1, &old, EK_PACKET_DATA, 5); /* node 1 still needs it */
	pass_all();
	pass_all(); /* now it might forget too; but the first answer is still awaited */
	while (sim_deliver(0, 1))
		;
	while (sim_deliver(1, 0))
		;
	assert_int_equal(slot_at(0, 0, old.slot), SLOT(3, 1, 1));
	sim_settle();
	assert_int_equal(slot_at(0, 0, old.slot), SLOT(3, 1, 1));
	assert_int_equal(ring_differences(0, 1), 0);
}

/* A plan is announced between question and answer, and then it does not come to it. */
static void test_forget_beside_a_plan(void **state)
{
	(void)state;
	idle_until_asked();
	sim_member(&sim_nodes[0], 0, 1)->weight = 0;
	sim_apply(&sim_nodes[0]);
	assert_true(sim_nodes[0].waiting);
	while (sim_deliver(0, 1))
		;
	while (sim_deliver(1, 0))
		;
	sim_member(&sim_nodes[0], 0, 1)->weight = 1;
	sim_apply(&sim_nodes[0]);
	sim_settle();
	assert_int_equal(ring_differences(0, 1), 0);
}

/* A peer's entry comes between question and answer: nothing is forgotten, not even over there. */
static void test_forget_beside_an_entry(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third();
	sim_settle();
	flow = changed_flow(2);
	pass_all();
	ticks(IDLE);
	pass_all();
	pass_all();
	flow = flow_on(1, flow);
	open_flow(1, &flow);
	ek_mirror_pump(sim_nodes[1].mirror); /* on its way */
	sim_settle();
	assert_int_equal(ring_differences(0, 1), 0);
	assert_int_equal(entry_at(0, &flow), LIVE(3));
}

/* A question of a former owner, answered when it owns again. */
static void test_forget_late_answer(void **state)
{
	(void)state;
	idle_until_asked();
	sim_own(&sim_nodes[0], false);
	sim_own(&sim_nodes[0], true);
	while (sim_deliver(0, 1))
		;
	while (sim_deliver(1, 0))
		;
	find_slot(SLOT(3, 1, 1), 0);
	sim_settle();
	assert_int_equal(ring_differences(0, 1), 0);
}

/* A slot of which a change is announced is not asked about: the peers have another word for it. */
static void test_forget_what_is_announced(void **state)
{
	(void)state;
	idle_until_asked();
	sim_settle();
	sim_member(&sim_nodes[0], 0, 1)->weight = 0;
	sim_nodes[1].to[0].capacity = 1; /* no acknowledgement comes for a while */
	sim_apply(&sim_nodes[0]);
	while (sim_deliver(0, 1))
		;
	for (int i = 0; i < 4; i++) {
		pass_all();
		while (sim_deliver(0, 1))
			;
	}
	assert_true(sim_nodes[0].waiting);
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		if (slot_at(0, 0, i) == SLOT(1, 1, 0))
			assert_int_equal(slot_at(1, 0, i) >> 8, 0x101); /* from 1, looked up */
	sim_nodes[1].to[0].capacity = 0;
	sim_settle();
	assert_int_equal(ring_differences(0, 1), 0);
}

/* Who joins between question and answer has the ring from before the answer. */
static void test_forget_beside_a_joiner(void **state)
{
	(void)state;
	add_third();
	sim_settle();
	pass_all();
	ticks(IDLE);
	sim_part(0, 1);
	sim_join(0, 1);
	sim_apply(&sim_nodes[0]);
	pass_all();
	pass_all();
	sim_settle();
	assert_int_equal(ring_differences(0, 1), 0);
}

/* Entries of a service that is not stateful stay here; what its slots forget does not. */
static void test_forget_stateless(void **state)
{
	(void)state;
	sim_nodes[0].services[0].failover = EK_FAILOVER_STATELESS;
	sim_nodes[1].services[0].failover = EK_FAILOVER_STATELESS;
	sim_apply(&sim_nodes[0]);
	sim_apply(&sim_nodes[1]);
	idle_until_asked();
	sim_settle();
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		assert_int_equal(ring_of(0, 0)->slot[i] & EK_SLOT_LOOKUP, 0);
	assert_int_equal(ring_differences(0, 1), 0);
}

/* --- entries --------------------------------------------------------------------------------- */

static void test_entry_lives(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third();
	sim_settle();
	flow = changed_flow(0);
	packet(0, &flow, EK_PACKET_SYN, ISN);
	sim_settle();
	assert_int_equal(entry_at(1, &flow), 0); /* an embryo is nobody's business */
	packet(0, &flow, EK_PACKET_DATA, ISN + 1);
	sim_settle();
	assert_int_equal(entry_at(1, &flow), LIVE(3));
	packet(0, &flow, EK_PACKET_END, ISN + 1);
	sim_settle();
	assert_int_equal(entry_at(1, &flow), CLOSING(3));
	ticks(EK_FLOW_REUSE_AFTER + 1);
	packet(0, &flow, EK_PACKET_DATA, ISN + 1);
	sim_settle();
	assert_int_equal(entry_at(1, &flow), LIVE(3));
	assert_int_equal(age_at(1, &flow), 0);
	assert_int_equal(counters(0, 1)->entries_sent, 3);
}

/* Its port is reused, and goes to another backend now. */
static void test_entry_reused(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third();
	sim_settle();
	flow = changed_flow(0);
	open_flow(0, &flow);
	packet(0, &flow, EK_PACKET_END, ISN + 1);
	sim_settle();
	sim_member(&sim_nodes[0], 0, 3)->weight = 0;
	sim_apply(&sim_nodes[0]);
	sim_settle();
	ticks(EK_FLOW_REUSE_AFTER + 1);
	packet(0, &flow, EK_PACKET_SYN, 90000000);
	packet(0, &flow, EK_PACKET_DATA, 90000001);
	sim_settle();
	assert_int_equal(entries(0), 1);
	assert_int_equal(entries(1), 1);
	assert_int_equal(entry_at(1, &flow), entry_at(0, &flow));
	assert_int_not_equal(entry_at(1, &flow), LIVE(3));
}

/* Expired: met by a packet, or by the sweep. */
static void test_entry_expires(void **state)
{
	struct sim_flow met, swept;

	(void)state;
	add_third();
	sim_settle();
	met = changed_flow(0);
	swept = changed_flow(1);
	open_flow(0, &met);
	open_flow(0, &swept);
	sim_settle();
	assert_int_equal(entries(1), 2);
	ticks(IDLE);
	pass(1); /* a follower keeps it */
	assert_int_equal(entries(1), 2);
	packet(0, &met, EK_PACKET_DATA, 5);
	sim_settle();
	assert_int_equal(entry_at(1, &met), 0);
	assert_int_equal(entry_at(1, &swept), LIVE(3));
	pass(0);
	sim_settle();
	assert_int_equal(entries(1), 0);
}

/* The follower forwards too and has used it: the owner takes it back. */
static void test_entry_expiry_refused(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third();
	sim_settle();
	flow = changed_flow(0);
	open_flow(0, &flow);
	sim_settle();
	ticks(IDLE - 5);
	flow = flow_on(1, flow);
	assert_int_equal(packet(1, &flow, EK_PACKET_DATA, ISN + 1), 3);
	ticks(5);
	pass(0);
	assert_int_equal(entry_at(0, &flow), 0);
	sim_settle();
	assert_int_equal(entry_at(0, &flow), LIVE(3));
	assert_int_equal(age_at(0, &flow), 5);
	assert_int_equal(entry_at(1, &flow), LIVE(3));
}

/* The follower's copy is a second younger, since the message took its time: that is no use of it.
 */
static void test_entry_expires_a_little_early(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third();
	sim_settle();
	flow = changed_flow(0);
	open_flow(0, &flow);
	ek_mirror_pump(sim_nodes[0].mirror);
	ticks(1);
	sim_settle();
	ticks(sim_nodes[0].dp->planned[0].entries->timeout[EK_FLOW_ESTABLISHED]);
	packet(0, &flow, EK_PACKET_DATA, 5);
	assert_int_equal(entry_at(0, &flow), 0);
	assert_int_equal(age_at(1, &flow),
			 sim_nodes[0].dp->planned[0].entries->timeout[EK_FLOW_ESTABLISHED]);
	sim_settle();
	assert_int_equal(entry_at(1, &flow), 0);
	assert_int_equal(entry_at(0, &flow), 0);
}

/*
 * A node that was cut off for a minute knows a connection that has ended, and one that goes
 * elsewhere by now: it does not say so, and believes the owner.
 */
static void test_entry_of_before(void **state)
{
	struct sim_flow ended, reused;

	(void)state;
	add_third();
	sim_settle();
	ended = changed_flow(0);
	reused = changed_flow(1);
	open_flow(0, &ended);
	open_flow(0, &reused);
	sim_settle();
	ticks(10);
	sim_part(0, 1);
	sim_member(&sim_nodes[0], 0, 3)->weight = 0;
	sim_apply(&sim_nodes[0]);
	packet(0, &ended, EK_PACKET_END, ISN + 1);
	packet(0, &reused, EK_PACKET_END, ISN + 1);
	ticks(130);
	pass(0);
	assert_int_not_equal(open_flow(0, &reused), 3);
	ticks(60);
	join_all();
	assert_int_equal(entry_at(0, &ended), 0);
	assert_int_equal(entry_at(1, &ended), 0);
	assert_int_equal(entry_at(1, &reused), entry_at(0, &reused));
	assert_int_equal(counters(1, 0)->entries_sent, 0);
}

/* An entry comes to an owner whose slot looks nothing up: from here on it does, everywhere. */
static void test_entry_that_was_overlooked(void **state)
{
	struct sim_flow flow = {.port = 3, .low = 9};

	(void)state;
	flow.slot = find_slot(SLOT(1, 1, 0), 4);
	sim_part(0, 1);
	sim_member(&sim_nodes[1], 0, 1)->weight = 0; /* it took over there, and turns back */
	sim_own(&sim_nodes[1], true);
	flow = flow_on(1, flow);
	assert_int_equal(open_flow(1, &flow), 2);
	sim_own(&sim_nodes[1], false);
	join_all();
	assert_int_equal(entry_at(0, &flow), LIVE(2));
	assert_int_equal(slot_at(0, 0, flow.slot), SLOT(1, 1, 1));
	assert_int_equal(ring_differences(0, 1), 0);
	flow = flow_on(0, flow);
	assert_int_equal(packet(0, &flow, EK_PACKET_DATA, ISN + 1), 2);
}

/* Two nodes gave the flow to two backends in the same second: both keep the owner's. */
static void test_entry_contradicted(void **state)
{
	struct sim_flow flow;
	uint16_t id;

	(void)state;
	add_third();
	sim_settle();
	flow = changed_flow(0);
	id = flow.service;
	open_flow(0, &flow);
	flow = flow_on(1, flow);
	sim_packet(sim_nodes[1].dp, &flow, EK_PACKET_SYN, ISN);
	for (int way = 0; way < EK_FLOW_WAYS; way++) {
		uint64_t *entry =
			(uint64_t *)&sim_nodes[1].dp->flows[flow.low % BUCKETS].entry[way];

		if (*entry)
			*entry = ek_flow_entry(*entry, sim_row(&sim_nodes[1], 0, 2),
					       EK_FLOW_EMBRYONIC, sim_tick[1]);
	}
	assert_int_equal(packet(1, &flow, EK_PACKET_DATA, ISN + 1), 2);
	flow.service = id;
	sim_settle();
	assert_int_equal(entry_at(0, &flow), LIVE(3));
	assert_int_equal(entry_at(1, &flow), LIVE(3));
}

/* Kept for a year by a follower that never sees it, and not older than a takeover can bear. */
static void test_entry_ages_no_further(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third();
	sim_settle();
	flow = changed_flow(0);
	open_flow(0, &flow);
	sim_settle();
	for (int i = 0; i < 100; i++) {
		ticks(251);
		assert_int_equal(packet(0, &flow, EK_PACKET_DATA, ISN + 1), 3);
		pass(1);
		assert_in_range(age_at(1, &flow), 251, 301 + EK_SWEEP_PATIENCE);
	}
	sim_part(0, 1);
	sim_own(&sim_nodes[1], true);
	flow = flow_on(1, flow);
	assert_int_equal(packet(1, &flow, EK_PACKET_DATA, ISN + 1), 3);
	for (int i = 0; i < 3; i++) {
		pass(1);
		ticks(100);
	}
	assert_int_equal(entry_at(1, &flow), LIVE(3));
	ticks(IDLE);
	pass(1);
	assert_int_equal(entry_at(1, &flow), 0);
}

/* Who takes over renews what it has not seen in use, for as long as the timeout. */
static void test_takeover_renews(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third();
	sim_settle();
	flow = changed_flow(0);
	open_flow(0, &flow);
	sim_settle();
	ticks(3000);
	pass(1);
	sim_part(0, 1);
	sim_member(&sim_nodes[1], 0, 3)->weight = 1;
	sim_own(&sim_nodes[1], true);
	assert_true(sim_service(sim_nodes[1].dp, 1)->timeout[EK_FLOW_ESTABLISHED] > 1000);
	pass(1);
	pass(1);
	assert_int_equal(age_at(1, &flow), 0);
	assert_int_equal(sim_service(sim_nodes[1].dp, 1)->timeout[EK_FLOW_ESTABLISHED],
			 sim_nodes[1].dp->planned[1].entries->timeout[EK_FLOW_ESTABLISHED]);
	ticks(100);
	pass(1);
	assert_int_equal(entry_at(1, &flow), LIVE(3));
	assert_int_equal(slot_at(1, 0, flow.slot), SLOT(3, 1, 1));
	ticks(IDLE);
	pass(1);
	assert_int_equal(entry_at(1, &flow), 0);
}

/* Both forward: what the follower did is the owner's knowledge too. */
static void test_entry_of_a_follower(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third();
	sim_settle();
	flow = flow_on(1, changed_flow(0));
	assert_int_equal(open_flow(1, &flow), 3);
	sim_settle();
	assert_int_equal(entry_at(0, &flow), LIVE(3));
	packet(1, &flow, EK_PACKET_END, ISN + 1);
	sim_settle();
	assert_int_equal(entry_at(0, &flow), CLOSING(3));
	assert_int_equal(counters(1, 0)->entries_sent, 2);
}

/* --- what is not there ----------------------------------------------------------------------- */

static void test_unknown_backend(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third(); /* node 1's file does not have it */
	sim_settle();
	assert_int_not_equal(sim_row(&sim_nodes[1], 0, 3), 0);
	assert_int_equal(sim_member(&sim_nodes[1], 0, 3)->weight, 0);
	sim_nodes[1].no_adoption = true;
	sim_member_add(&sim_nodes[0], 0, 4, 1);
	sim_apply(&sim_nodes[0]);
	sim_settle();
	assert_int_equal(sim_row(&sim_nodes[1], 0, 4), 0);
	assert_true(counters(1, 0)->unknown > 1000);
	flow = (struct sim_flow){.slot = find_slot(SLOT(4, 1, 1), 0), .port = 3};
	open_flow(0, &flow);
	sim_settle();
	assert_int_equal(entries(1), 0);
	assert_int_equal(sim_nodes[1].rejected, 0);
	sim_nodes[1].no_adoption = false;
	sim_apply(&sim_nodes[1]);
	packet(0, &flow, EK_PACKET_END, ISN + 1);
	sim_settle();
	assert_int_equal(entry_at(1, &flow), CLOSING(4));
}

/* A backend that nobody names any more is not brought back again and again. */
static void test_adopted_no_longer(void **state)
{
	struct sim_world *w = &sim_nodes[1].services[0];

	(void)state;
	add_third();
	sim_settle();
	sim_member(&sim_nodes[0], 0, 3)->weight = 0;
	sim_apply(&sim_nodes[0]);
	sim_settle();
	ticks(IDLE);
	pass_all();
	pass_all();
	pass_all();
	sim_settle();
	assert_int_equal(w->n, 3);
	w->n--; /* forgotten here: no slot and no entry names it */
	sim_apply(&sim_nodes[1]);
	sim_nodes[0].services[0].n--;
	sim_apply(&sim_nodes[0]);
	sim_member(&sim_nodes[0], 0, 2)->weight = 2;
	sim_apply(&sim_nodes[0]);
	sim_settle();
	assert_int_equal(ring_differences(0, 1), 0);
	assert_int_equal(w->n, 2);
}

static void test_unknown_service(void **state)
{
	(void)state;
	sim_nodes[1].services[0].present = false;
	sim_apply(&sim_nodes[1]);
	add_third();
	sim_settle();
	assert_true(counters(1, 0)->unknown > 1000);
	assert_int_equal(sim_nodes[1].rejected, 0);
	sim_service_add(&sim_nodes[1], 0, false);
	sim_member_add(&sim_nodes[1], 0, 2, 1);
	sim_apply(&sim_nodes[1]);
	ek_mirror_want(sim_nodes[1].mirror, 0); /* as a reload that brought it asks */
	sim_settle();
	assert_int_equal(ring_differences(0, 1), 0);
}

static void test_no_room(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third();
	sim_settle();
	flow = changed_flow(0);
	for (int way = 0; way < EK_FLOW_WAYS; way++)
		sim_nodes[1].dp->flows[flow.low % BUCKETS].entry[way] =
			ek_flow_entry((uint64_t)(way + 1) << 33, sim_row(&sim_nodes[1], 0, 1),
				      EK_FLOW_ESTABLISHED, sim_tick[1]);
	open_flow(0, &flow);
	sim_settle();
	assert_int_equal(entry_at(1, &flow), 0);
	assert_int_equal(counters(1, 0)->unplaced, 1);
}

/* --- a peer that takes too little ------------------------------------------------------------ */

static void jam(size_t more)
{
	sim_nodes[0].to[1].capacity = sim_nodes[0].to[1].bytes + more;
}

static void test_behind(void **state)
{
	struct sim_flow flow[6];

	(void)state;
	add_third();
	sim_settle();
	jam(100);
	for (unsigned int i = 0; i < 6; i++) {
		flow[i] = changed_flow(i);
		open_flow(0, &flow[i]);
		ek_mirror_pump(sim_nodes[0].mirror);
	}
	assert_int_equal(counters(0, 1)->unsent, 5);
	assert_int_equal(counters(0, 1)->tables, 1);
	sim_nodes[0].to[1].capacity = 0;
	sim_settle();
	assert_int_equal(counters(0, 1)->tables, 2);
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(entry_at(1, &flow[i]), LIVE(3));
}

/* Nothing at all gets through for a while, whatever it is: names, rings, marks, answers. */
static void test_jammed(void **state)
{
	struct sim_flow flow;

	(void)state;
	jam(0);
	sim_nodes[1].to[0].capacity = 1;
	sim_member_add(&sim_nodes[0], 0, 3, 1);
	sim_apply(&sim_nodes[0]);
	for (int i = 0; i < 10; i++)
		ek_mirror_pump(sim_nodes[0].mirror);
	assert_true(sim_nodes[0].waiting);
	assert_false(ek_mirror_acked(sim_nodes[0].mirror, 1));
	sim_nodes[0].to[1].capacity = sim_nodes[1].to[0].capacity = 0;
	sim_settle();
	assert_false(sim_nodes[0].waiting);
	assert_int_equal(ring_differences(0, 1), 0);
	find_slot(SLOT(3, 1, 1), 0);
	flow = changed_flow(2);
	open_flow(0, &flow);
	sim_settle();
	assert_int_equal(entry_at(1, &flow), LIVE(3));
}

/* The ring does not fit, the mark after it would: what is acknowledged must be there. */
static void test_no_mark_before_its_ring(void **state)
{
	(void)state;
	jam(4000);
	add_third();
	for (int i = 0; i < 5; i++) {
		ek_mirror_pump(sim_nodes[0].mirror);
		while (sim_deliver(0, 1))
			;
		while (sim_deliver(1, 0))
			;
	}
	assert_true(sim_nodes[0].waiting && !sim_nodes[0].due);
	sim_nodes[0].to[1].capacity = 0;
	sim_settle();
	assert_false(sim_nodes[0].waiting);
	assert_int_equal(ring_differences(0, 1), 0);
}

/* The answer finds no room. */
static void test_answer_jammed(void **state)
{
	(void)state;
	idle_until_asked();
	sim_nodes[1].to[0].capacity = 1;
	while (sim_deliver(0, 1))
		;
	find_slot(SLOT(3, 1, 1), 0);
	sim_nodes[1].to[0].capacity = 0;
	sim_settle();
	assert_true(ring_differences(0, 1) > 1000);
	for (int i = 0; i < 8; i++) { /* it is put again, in time */
		pass_all();
		sim_settle();
	}
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		assert_int_equal(ring_of(0, 0)->slot[i] & EK_SLOT_LOOKUP, 0);
	assert_int_equal(ring_differences(0, 1), 0);
}

/* The question of who joins, or the end of the answer. */
static void test_want_jammed(void **state)
{
	(void)state;
	sim_part(0, 1);
	sim_nodes[0].to[1].capacity = sim_nodes[1].to[0].capacity = 1;
	sim_join(0, 1);
	for (int i = 0; i < 5; i++) {
		ek_mirror_pump(sim_nodes[0].mirror);
		ek_mirror_pump(sim_nodes[1].mirror);
	}
	assert_false(ek_mirror_synced(sim_nodes[1].mirror, 0));
	sim_nodes[1].to[0].capacity = 0;
	for (int i = 0; i < 5; i++) {
		ek_mirror_pump(sim_nodes[1].mirror);
		while (sim_deliver(1, 0))
			;
		ek_mirror_pump(sim_nodes[0].mirror);
	}
	sim_nodes[0].to[1].capacity = 0;
	sim_settle();
	assert_true(ek_mirror_synced(sim_nodes[1].mirror, 0));
	assert_true(ek_mirror_synced(sim_nodes[0].mirror, 0));
	assert_int_equal(ring_differences(0, 1), 0);
}

/* More at once than the log of a CPU holds. */
static void test_news_missed(void **state)
{
	struct sim_flow flow[4];

	(void)state;
	add_third();
	sim_settle();
	for (unsigned int i = 0; i < 4; i++) {
		flow[i] = changed_flow(2 * i);
		open_flow(0, &flow[i]);
	}
	for (uint32_t n = 0; n < EK_NEWS_SIZE; n++) {
		packet(0, &flow[0], EK_PACKET_END, ISN + 1);
		ticks(EK_FLOW_REUSE_AFTER + 1);
		packet(0, &flow[0], EK_PACKET_DATA, ISN + 1);
		ticks(n % 64 == 0); /* so that nothing expires for it */
		if (n % 64 == 0)
			for (unsigned int i = 1; i < 4; i++)
				packet(0, &flow[i], EK_PACKET_DATA, ISN + 1);
	}
	sim_settle();
	assert_true(counters(0, 1)->missed >= 4 + EK_NEWS_SIZE);
	assert_int_equal(counters(0, 1)->tables, 2);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(entry_at(1, &flow[i]), LIVE(3));
}

static void count_record(void *arg, const struct ek_news_record *record)
{
	uint64_t *next = arg;

	assert_true(record->entry == *next);
	++*next;
}

/* Of what is overwritten as many are missed; the oldest one left may be under way. */
static void test_log_overflows(void **state)
{
	static const struct {
		uint64_t written, missed;
	} rows[] = {{0, 0},
		    {1, 0},
		    {EK_NEWS_SIZE - 1, 0},
		    {EK_NEWS_SIZE, 1},
		    {EK_NEWS_SIZE + 1, 2},
		    {3 * EK_NEWS_SIZE + 7, 2 * EK_NEWS_SIZE + 8}};
	struct ek_datapath *dp = sim_nodes[0].dp;
	uint64_t next = 0;

	(void)state;
	dp->news[1].head = dp->news_read[1] = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t begin = dp->news[1].head;

		for (uint64_t n = 0; n < rows[i].written; n++)
			sim_tell(dp, 1, begin + n, 0, 0, 0);
		next = begin + rows[i].missed;
		assert_int_equal(ek_datapath_news(dp, count_record, &next), rows[i].missed);
		assert_int_equal(next, dp->news[1].head);
	}
}

/* Without anybody to tell the log is not read; what it holds then is told by the table. */
static void test_news_of_before(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third();
	flow = changed_flow(0);
	open_flow(0, &flow);
	assert_int_equal(sim_nodes[0].dp->news[0].head, 0);
	join_all();
	assert_int_equal(entry_at(1, &flow), LIVE(3));
}

/* --- nonsense -------------------------------------------------------------------------------- */

static bool hear(uint8_t type, const struct ek_wire_out *out, size_t length)
{
	uint8_t *body = malloc(length + !length); /* of its own, so that a byte too far is seen */
	bool ok;

	memcpy(body, out->bytes, length);
	ok = ek_mirror_message(sim_nodes[1].mirror, 0, type, body, length);
	free(body);
	return ok;
}

static struct ek_wire_service named_service(void)
{
	return (struct ek_wire_service){
		.vip = sim_nodes[1].services[0].config.vip,
		.key = EK_SERVICE_KEY(htons(80), IPPROTO_TCP, EK_SERVICE_LIVE)};
}

/* Two records of every kind, cut at every byte: whole ones have been obeyed, parts are refused. */
static void test_cut_short(void **state)
{
	const struct ek_wire_service name = named_service();
	const struct ek_wire_backend backend = {
		.index = 7, .service = name, .address = sim_address(1)};
	const struct ek_wire_slot slot = {.slot = 3, .word = ek_slot(7, 7, false)};
	const struct ek_wire_drop drop = {.bucket = 2, .entry = 1ull << 40};
	const struct ek_flow_image image = {
		.bucket = 2, .entry = ek_flow_entry(1ull << 40, 7, EK_FLOW_ESTABLISHED, 1)};
	static const struct {
		uint8_t type;
		size_t head, record; /* bytes */
	} kinds[] = {{EK_WIRE_WANT, 8, 0},	 {EK_WIRE_END, 8, 0},	    {EK_WIRE_MARK, 8, 0},
		     {EK_WIRE_ACK, 8, 0},	 {EK_WIRE_BACKENDS, 0, 42}, {EK_WIRE_RING, 24, 8},
		     {EK_WIRE_ENTRIES, 0, 57},	 {EK_WIRE_DROPS, 0, 12},    {EK_WIRE_FORGET, 28, 4},
		     {EK_WIRE_FORGOTTEN, 28, 4}, {EK_WIRE_TABLE_END, 0, 24}};

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct ek_wire_out out = {0};

		if (kinds[k].head == 8)
			ek_wire_put64(&out, 1);
		if (kinds[k].head >= 24)
			ek_wire_put_service(&out, &name);
		if (kinds[k].head == 28)
			ek_wire_put32(&out, 1);
		for (int i = 0; i < 2; i++) {
			if (kinds[k].type == EK_WIRE_BACKENDS)
				ek_wire_put_backend(&out, &backend);
			if (kinds[k].type == EK_WIRE_RING)
				ek_wire_put_slot(&out, &slot);
			if (kinds[k].type == EK_WIRE_ENTRIES)
				ek_wire_put_image(&out, &image);
			if (kinds[k].type == EK_WIRE_DROPS)
				ek_wire_put_drop(&out, &drop);
			if (kinds[k].head == 28)
				ek_wire_put32(&out, 3);
			if (kinds[k].type == EK_WIRE_TABLE_END)
				ek_wire_put_service(&out, &name);
		}
		assert_int_equal(out.length, kinds[k].head + 2 * kinds[k].record);
		for (size_t n = 0; n <= out.length; n++) {
			bool whole =
				n >= kinds[k].head &&
				(!kinds[k].record || (n - kinds[k].head) % kinds[k].record == 0);

			if (hear(kinds[k].type, &out, n) != whole)
				fail_msg("type %u, %zu of %zu bytes", kinds[k].type, n, out.length);
		}
		ek_wire_free(&out);
		sim_settle();
	}
}

static void test_nonsense(void **state)
{
	const struct ek_wire_service name = named_service();
	struct ek_wire_out out = {0};
	uint32_t before = slot_at(1, 0, 5);

	(void)state;
	/* A slot that no ring has. */
	ek_wire_put_service(&out, &name);
	ek_wire_put_slot(&out, &(struct ek_wire_slot){.slot = EK_RING_SIZE, .word = 1});
	assert_false(hear(EK_WIRE_RING, &out, out.length));
	ek_wire_free(&out);
	ek_wire_put_service(&out, &name);
	ek_wire_put32(&out, 1);
	ek_wire_put32(&out, EK_RING_SIZE);
	assert_false(hear(EK_WIRE_FORGET, &out, out.length));
	assert_false(hear(EK_WIRE_FORGOTTEN, &out, out.length));
	ek_wire_free(&out);
	/* Backends that were never introduced. */
	ek_wire_put_service(&out, &name);
	ek_wire_put_slot(&out,
			 &(struct ek_wire_slot){.slot = 5, .word = ek_slot(32767, 32767, true)});
	assert_true(hear(EK_WIRE_RING, &out, out.length));
	assert_int_equal(slot_at(1, 0, 5), before);
	assert_int_equal(counters(1, 0)->unknown, 1);
	ek_wire_free(&out);
	ek_wire_put_backend(&out, &(struct ek_wire_backend){.index = 0, .service = name});
	assert_false(hear(EK_WIRE_BACKENDS, &out, out.length));
	ek_wire_free(&out);
	ek_wire_put_backend(&out, &(struct ek_wire_backend){.index = 32768, .service = name});
	assert_false(hear(EK_WIRE_BACKENDS, &out, out.length));
	ek_wire_free(&out);
	/* Entries that nobody sends, and places that no table has. */
	for (int i = 0; i < 3; i++) {
		static const struct ek_flow_image images[] = {
			{.entry = 1ull << 40 | 1 << 16 | EK_FLOW_EMBRYONIC << 14},
			{.entry = 1ull << 40 | 1 << 16},
			{.entry = 1ull << 40 | 1 << 16 | EK_FLOW_CLOSING << 14, .bucket = BUCKETS}};

		ek_wire_put_image(&out, &images[i]);
		assert_false(hear(EK_WIRE_ENTRIES, &out, out.length));
		ek_wire_free(&out);
	}
	ek_wire_put_drop(&out, &(struct ek_wire_drop){.bucket = BUCKETS});
	assert_false(hear(EK_WIRE_DROPS, &out, out.length));
	assert_int_equal(entries(1), 0);
	for (unsigned int type = 0; type < 256; type++)
		if (type < EK_WIRE_WANT || type > EK_WIRE_TABLE_END)
			assert_false(hear(type, &out, out.length));
	ek_wire_free(&out);
}

/* Numbers that were never said. */
static void test_false_numbers(void **state)
{
	struct ek_wire_out out = {0};

	(void)state;
	add_third();
	ek_wire_put64(&out, 99);
	assert_true(ek_mirror_message(sim_nodes[0].mirror, 0, EK_WIRE_ACK, out.bytes, out.length));
	assert_false(sim_nodes[0].due);
	sim_part(0, 1);
	sim_join(0, 1);
	assert_true(ek_mirror_message(sim_nodes[0].mirror, 0, EK_WIRE_END, out.bytes, out.length));
	assert_false(ek_mirror_synced(sim_nodes[0].mirror, 0));
	ek_wire_free(&out);
}

/* Two owners: neither writes the other's ring. */
static void test_two_owners(void **state)
{
	(void)state;
	sim_own(&sim_nodes[1], true);
	sim_settle();
	add_third();
	sim_settle();
	assert_int_equal(sim_row(&sim_nodes[1], 0, 3), 0);
	assert_true(ring_differences(0, 1) > 1000);
	sim_own(&sim_nodes[1], false);
	ek_mirror_want(sim_nodes[1].mirror, 0);
	sim_settle();
	assert_int_equal(ring_differences(0, 1), 0);
}

/* --- peers ----------------------------------------------------------------------------------- */

/* Names are said anew: the other may be another process by now. */
static void test_names_anew(void **state)
{
	struct sim_flow flow;

	(void)state;
	add_third();
	sim_settle();
	flow = changed_flow(0);
	open_flow(0, &flow);
	sim_part(0, 1);
	sim_node_stop(1);
	sim_node_start(1, BUCKETS);
	sim_service_add(&sim_nodes[1], 0, false);
	for (uint8_t host = 9; host; host -= host > 5 ? 1 : host)
		sim_member_add(&sim_nodes[1], 0, host, 1);
	sim_apply(&sim_nodes[1]);
	join_all();
	assert_int_equal(ring_differences(0, 1), 0);
	assert_int_equal(entry_at(1, &flow), LIVE(3));
}

/* A row changes hands: the peer hears of it before anything names it. */
static void test_row_of_another(void **state)
{
	uint16_t row;

	(void)state;
	add_third();
	sim_settle();
	row = sim_row(&sim_nodes[0], 0, 3);
	sim_member(&sim_nodes[0], 0, 3)->weight = 0;
	sim_apply(&sim_nodes[0]);
	sim_settle();
	ticks(IDLE);
	pass_all();
	pass_all();
	pass_all();
	sim_settle();
	sim_nodes[0].services[0].n--;
	sim_apply(&sim_nodes[0]);
	sim_nodes[0].state.next = row;
	sim_member_add(&sim_nodes[0], 0, 4, 1);
	sim_apply(&sim_nodes[0]);
	assert_int_equal(sim_row(&sim_nodes[0], 0, 4), row);
	sim_settle();
	assert_int_equal(ring_differences(0, 1), 0);
	find_slot(SLOT(4, 1, 1), 0);
}

#define TEST(f, setup) cmocka_unit_test_setup_teardown(f, setup, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bulk, setup_two),
		TEST(test_the_twin_travels, setup_joined),
		TEST(test_services_come, setup_joined),
		TEST(test_what_ended_meanwhile, setup_joined),
		TEST(test_ring_waits_for_the_peer, setup_joined),
		TEST(test_ring_is_told_once, setup_joined),
		TEST(test_ring_unacknowledged, setup_joined),
		TEST(test_ring_whose_peer_goes, setup_joined),
		TEST(test_ring_superseded, setup_joined),
		TEST(test_ring_superseded_in_use, setup_joined),
		TEST(test_ring_changes_hands, setup_joined),
		TEST(test_forget_agreed, setup_joined),
		TEST(test_forget_alone, setup_joined),
		TEST(test_forget_refused_by_one, setup_three),
		TEST(test_forget_whose_peer_dies, setup_three),
		TEST(test_forget_only_what_was_asked, setup_joined),
		TEST(test_forget_beside_a_plan, setup_joined),
		TEST(test_forget_beside_an_entry, setup_joined),
		TEST(test_forget_late_answer, setup_joined),
		TEST(test_forget_what_is_announced, setup_joined),
		TEST(test_forget_beside_a_joiner, setup_joined),
		TEST(test_forget_stateless, setup_joined),
		TEST(test_entry_lives, setup_joined),
		TEST(test_entry_reused, setup_joined),
		TEST(test_entry_expires, setup_joined),
		TEST(test_entry_expiry_refused, setup_joined),
		TEST(test_entry_expires_a_little_early, setup_joined),
		TEST(test_entry_of_before, setup_joined),
		TEST(test_entry_that_was_overlooked, setup_joined),
		TEST(test_entry_contradicted, setup_joined),
		TEST(test_entry_ages_no_further, setup_joined),
		TEST(test_takeover_renews, setup_joined),
		TEST(test_entry_of_a_follower, setup_joined),
		TEST(test_unknown_backend, setup_joined),
		TEST(test_adopted_no_longer, setup_joined),
		TEST(test_unknown_service, setup_joined),
		TEST(test_no_room, setup_joined),
		TEST(test_behind, setup_joined),
		TEST(test_jammed, setup_joined),
		TEST(test_no_mark_before_its_ring, setup_joined),
		TEST(test_answer_jammed, setup_joined),
		TEST(test_want_jammed, setup_joined),
		TEST(test_news_missed, setup_joined),
		TEST(test_log_overflows, setup_two),
		TEST(test_news_of_before, setup_two),
		TEST(test_cut_short, setup_joined),
		TEST(test_nonsense, setup_joined),
		TEST(test_false_numbers, setup_joined),
		TEST(test_two_owners, setup_joined),
		TEST(test_names_anew, setup_joined),
		TEST(test_row_of_another, setup_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
