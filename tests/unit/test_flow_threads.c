/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The connection table under threads, built with ThreadSanitizer: several CPUs' packets through
 * ek_select() while the controller changes the ring and sweeps, as the data plane and evenkeeld
 * share the maps. What is held against it: every packet of an established connection goes to the
 * backend that has it, no entry is torn, no flow ends up with two live entries, and every entry
 * that was ever stored is removed or still there.
 *
 * The table is small, so that bucket and entry are fought for, and it never gets idle enough for
 * a sweep to remove anything live.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/types.h>

static __u64 counted_cas(__u64 *entry, __u64 old, __u64 new);
#define EK_FLOW_CAS(entry, old, new) counted_cas(entry, old, new)

#include "ring.c"
#include "sweep.c"

#define CPUS	 3
#define BACKENDS 4 /* indices 1 to 4 */
#define BUCKETS	 4u
#define FLOWS	 48 /* of them every CPU opens its own, and all CPUs carry all */
#define ROUNDS	 1500000
#define SLOT	 4321u
#define CLOSED	 0u /* of a flow's word; else backend | generation << 8 */

struct cpu {
	pthread_t thread;
	uint32_t number, seed;
	uint64_t packets, opened, closed, misdirected, straddled;
};

static struct ek_flow_bucket flows[BUCKETS];
static struct ek_flow_keys keys[BUCKETS];
static struct ek_ring ring;
static struct ek_sweep sweep;
static struct ek_backend rows[BACKENDS + 1];
static struct ek_service service = {.timeout = {0, 40, 16000, 8000}};
static uint16_t choices[EK_RING_SIZE];
static atomic_uint word[FLOWS]; /* who has the flow */
static atomic_uint clock_now;
static atomic_int running;
static atomic_long stored, removed, lost;

/* Now and then the CPU is taken away between a read and its compare-and-swap. */
static __u64 counted_cas(__u64 *entry, __u64 old, __u64 new)
{
	static _Thread_local uint32_t calls;
	__u64 found;

	if (++calls % 16 == 0)
		sched_yield();
	found = __sync_val_compare_and_swap(entry, old, new);
	if (found != old)
		atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
	else if (!old && new)
		atomic_fetch_add_explicit(&stored, 1, memory_order_relaxed);
	else if (old && !new)
		atomic_fetch_add_explicit(&removed, 1, memory_order_relaxed);
	return found;
}

static uint32_t roll(struct cpu *cpu, uint32_t n)
{
	cpu->seed = cpu->seed * 1664525 + 1013904223;
	return (cpu->seed >> 8) % n;
}

static __u64 hash_of(uint32_t flow)
{
	__u64 high = (((__u64)SLOT << 32) + EK_RING_SIZE - 1) / EK_RING_SIZE + flow;

	return high << 32 | flow;
}

static int flags_of(void *context, __u32 backend)
{
	(void)context;
	return backend && backend <= BACKENDS ? (int)EK_NEXTHOP_USABLE : -1;
}

/* A copy: the cold twin is written and read without order, and a stale one is only a miss. */
static struct ek_flow_key *key_of(void *context, __u32 way)
{
	static _Thread_local struct ek_flow_key copy;
	struct ek_flow_keys *at = context;

	copy.isn = __atomic_load_n(&at->key[way & 7].isn, __ATOMIC_RELAXED);
	return &copy;
}

static uint32_t packet(struct cpu *cpu, uint32_t flow, enum ek_packet_kind kind, uint32_t sequence)
{
	__u64 hash = hash_of(flow);
	uint32_t bucket = ek_flow_bucket_index(hash, BUCKETS - 1);
	struct ek_surroundings around = {flags_of, key_of, &keys[bucket], &service, &flows[bucket]};
	struct ek_selection s = {.hash = hash,
				 .slot = __atomic_load_n(&ring.slot[SLOT], __ATOMIC_ACQUIRE),
				 .now = clock_now,
				 .sequence = sequence,
				 .kind = kind};
	struct ek_choice c;

	cpu->packets++;
	if (!(s.slot & EK_SLOT_LOOKUP))
		return ek_slot_current(s.slot);
	ek_select(&c, &s, &around);
	if (c.stored >= 0)
		__atomic_store_n(&keys[bucket].key[c.stored].isn, sequence, __ATOMIC_RELAXED);
	if (c.origin_hit)
		__atomic_store_n(&ring.hit[SLOT], s.now & EK_TICK_MASK, __ATOMIC_RELAXED);
	return c.backend;
}

/* A handshake, on this CPU; until its word is set no other CPU sends for the flow. */
static void open_flow(struct cpu *cpu, uint32_t flow, uint32_t generation)
{
	uint32_t isn = generation * 0x10000000u + roll(cpu, 0x1000000), began = clock_now;
	uint32_t backend = packet(cpu, flow, EK_PACKET_SYN, isn);

	if (!backend || packet(cpu, flow, EK_PACKET_DATA, isn + 1) != backend ||
	    clock_now - began >= EK_FLOW_EMBRYO_GRACE) {
		cpu->straddled++;
		return;
	}
	cpu->opened++;
	atomic_store(&word[flow], backend | generation << 8);
}

/* The owner closes; others may still be sending for a moment, and are not judged then. */
static void close_flow(struct cpu *cpu, uint32_t flow)
{
	atomic_store(&word[flow], CLOSED);
	packet(cpu, flow, EK_PACKET_END, 0);
	cpu->closed++;
}

/* Sequence numbers outside of any handshake's window: what was promoted no longer needs it. */
static void carry(struct cpu *cpu, uint32_t flow)
{
	uint32_t before = atomic_load(&word[flow]), backend;

	if (before == CLOSED)
		return;
	backend = packet(cpu, flow, EK_PACKET_DATA, (before >> 8) * 0x10000000u + 0x8000000u);
	if (atomic_load(&word[flow]) == before && backend != (before & 0xff))
		cpu->misdirected++;
}

static void *cpu_run(void *argument)
{
	struct cpu *cpu = argument;
	uint32_t generation = 0;

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t flow = roll(cpu, FLOWS), mine = flow - flow % CPUS + cpu->number;

		switch (roll(cpu, 8)) {
		case 0:
			if (atomic_load(&word[mine]) == CLOSED)
				open_flow(cpu, mine, ++generation);
			break;
		case 1:
			if (atomic_load(&word[mine]) != CLOSED && !roll(cpu, 4))
				close_flow(cpu, mine);
			break;
		case 2: /* forged, for a flow of nobody */
			packet(cpu, FLOWS + roll(cpu, 200), EK_PACKET_SYN, cpu->seed);
			break;
		default:
			carry(cpu, flow);
		}
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

/* The controller: one thread that changes slots and sweeps. */
static void control(void)
{
	for (uint32_t turn = 0; atomic_load(&running); turn++) {
		choices[SLOT] = 1 + turn % BACKENDS;
		ek_ring_apply(&ring, choices, EK_TRACKING_JUST_ENOUGH, clock_now,
			      ek_sweep_changed(&sweep, 0));
		for (int i = 0; i < 3; i++) {
			atomic_fetch_add(&clock_now, turn % 2);
			ek_sweep_step(&sweep, clock_now - turn % 3, BUCKETS / 2);
		}
	}
}

static uint32_t count_entries(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < BUCKETS * EK_FLOW_WAYS; i++) {
		__u64 entry = flows[i / EK_FLOW_WAYS].entry[i % EK_FLOW_WAYS];
		uint32_t flow;

		if (!entry)
			continue;
		n++;
		/* Not torn: it is of a flow of this bucket, and names a backend. */
		flow = (entry >> 32) - (hash_of(0) >> 32);
		assert_in_range(flow, 0, FLOWS + 199);
		assert_int_equal(flow & (BUCKETS - 1), i / EK_FLOW_WAYS);
		assert_in_range(ek_flow_backend(entry), 1, BACKENDS);
		assert_int_not_equal(ek_flow_state(entry), EK_FLOW_EMPTY);
	}
	return n;
}

/* Of one flow: an established or closing entry stands alone. */
static void check_live_entries(void)
{
	for (uint32_t flow = 0; flow < FLOWS; flow++) {
		const struct ek_flow_bucket *bucket = &flows[flow & (BUCKETS - 1)];
		uint32_t live = 0;

		for (int way = 0; way < EK_FLOW_WAYS; way++)
			live += !ek_flow_hash_high(bucket->entry[way] ^ hash_of(flow)) &&
				ek_flow_state(bucket->entry[way]) > EK_FLOW_EMBRYONIC;
		assert_in_range(live, 0, 1);
	}
}

static void test_cpus_share_the_table(void **state)
{
	struct cpu cpus[CPUS] = {0}, sum = {0};

	(void)state;
	atomic_store(&clock_now, 16300); /* 14 bits of it wrap on the way */
	atomic_store(&running, CPUS);
	memset(choices, 1, sizeof(choices));
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		choices[i] = 1;
	ek_ring_apply(&ring, choices, EK_TRACKING_JUST_ENOUGH, clock_now, NULL);
	assert_int_equal(ek_sweep_init(&sweep, flows, BUCKETS, rows, BACKENDS + 1), 0);
	assert_int_equal(ek_sweep_service_set(&sweep, 0, &ring, &service, EK_TRACKING_JUST_ENOUGH),
			 0);
	for (uint32_t i = 0; i < CPUS; i++) {
		cpus[i].number = cpus[i].seed = i;
		assert_int_equal(pthread_create(&cpus[i].thread, NULL, cpu_run, &cpus[i]), 0);
	}
	control();
	for (uint32_t i = 0; i < CPUS; i++) {
		pthread_join(cpus[i].thread, NULL);
		sum.packets += cpus[i].packets;
		sum.opened += cpus[i].opened;
		sum.closed += cpus[i].closed;
		sum.misdirected += cpus[i].misdirected;
		sum.straddled += cpus[i].straddled;
	}
	printf("threads: %d CPUs and a controller, %ju packets, %ju connections, %ju closed, %ju "
	       "handshakes refused or too slow, %ld compare-and-swaps lost, %ju passes; "
	       "misdirected "
	       "%ju\n",
	       CPUS, (uintmax_t)sum.packets, (uintmax_t)sum.opened, (uintmax_t)sum.closed,
	       (uintmax_t)sum.straddled, atomic_load(&lost), (uintmax_t)sweep.passes,
	       (uintmax_t)sum.misdirected);
	assert_int_equal(sum.misdirected, 0);
	assert_true(sum.opened > ROUNDS / 100);
	assert_int_equal(count_entries(), atomic_load(&stored) - atomic_load(&removed));
	check_live_entries();
	ek_sweep_free(&sweep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cpus_share_the_table)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
