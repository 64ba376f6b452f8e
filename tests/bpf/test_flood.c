/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/balancer.bpf.c under a SYN flood (root): ten million forged SYNs into a service whose slots
 * have all changed, beside live connections of which some are held by an entry and the others by
 * origin. None is diverted, no memory is taken, and every SYN is accounted for. And what a SYN
 * costs.
 */
#include "flood_world.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SYNS   10000000u
#define CHUNKS 10u /* between which the live connections are looked at */

/* Runs a program of the source; returns the CPU time it took, in seconds. */
static double run_source(const struct bpf_program *program, uint32_t packets)
{
	uint8_t bytes[FLOOD_LENGTH] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes, .data_size_in = sizeof(bytes),
		    .repeat = packets);
	struct timespec a, b;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), 0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	return b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9;
}

/* The whole handshake. False: its SYN was dropped. */
static bool connect_from(const struct world *w, struct connection *c, struct flood_tuple from,
			 uint32_t n)
{
	uint32_t row;

	*c = (struct connection){.from = from, .isn = live_isn(n), .hash = hash_of(w, TCP, from)};
	row = send_packet(w, TCP, from, SYN, c->isn);
	if (row == EK_BACKEND_NONE)
		return false;
	c->row = send_packet(w, TCP, from, ACK, c->isn + 1);
	assert_int_equal(c->row, row);
	return true;
}

static void find_entry(const struct world *w, struct connection *c)
{
	uint32_t index = ek_flow_bucket_index(c->hash, w->buckets - 1);
	uint64_t ways;

	c->bucket = &w->flows[index];
	ways = ek_flow_find(c->bucket, c->hash);
	c->way = ways ? (int)ek_flow_first(ways) : -1;
	if (c->way < 0)
		return;
	assert_int_equal(ways & (ways - 1), 0);
	c->entry = c->bucket->entry[c->way];
	c->key = w->flow_keys[index].key[c->way];
	assert_int_equal(ek_flow_state(c->entry), EK_FLOW_ESTABLISHED);
	assert_int_equal(ek_flow_backend(c->entry), c->row);
}

/* --- ten million SYNs ------------------------------------------------------------------------ */

static const struct flood_row {
	const char *description;
	uint32_t buckets;
	uint32_t newer;	  /* connections opened after the change; the rest before it */
	uint32_t entries; /* of those, the ones for which there is room */
} flood_rows[] = {
	{"one bucket, half of it taken", 1, 4, 4},
	{"one bucket, all of it taken", 1, 500, EK_FLOW_WAYS},
	{"1024 buckets", 1024, 500, 500},
	{"131072 buckets", 131072, 500, 500},
};

struct tally {
	uint64_t forwarded, unstored, table_full, dropped;
};

/* In a quarter of the slots origin dies with the change. */
#define DEAD_ORIGIN 4u

static struct tally tally(const struct world *w)
{
	struct tally t = {0};
	uint64_t count[CPUS];

	for (uint32_t i = 0; i < w->cpus * ROWS; i++) {
		t.forwarded += w->backends[i].packets;
		t.unstored += w->backends[i].unstored;
	}
	for (uint32_t reason = 0; reason < EK_DROP_COUNT; reason++) {
		assert_int_equal(
			bpf_map_lookup_elem(bpf_map__fd(w->balancer->maps.drops), &reason, count),
			0);
		for (uint32_t cpu = 0; cpu < w->cpus; cpu++) {
			t.dropped += count[cpu];
			t.table_full += reason == EK_DROP_TABLE_FULL ? count[cpu] : 0;
		}
	}
	return t;
}

/* What the kernel accounts for the balancer's maps, in bytes. */
static long memory_of(const struct world *w)
{
	struct bpf_map *map;
	long sum = 0, bytes;

	bpf_object__for_each_map(map, w->balancer->obj)
	{
		char path[64], line[128];
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", bpf_map__fd(map));
		f = fopen(path, "re");
		assert_non_null(f);
		while (fgets(line, sizeof(line), f))
			if (sscanf(line, "memlock: %ld", &bytes) == 1)
				sum += bytes;
		fclose(f);
	}
	return sum;
}

/* All slots change between the older connections and the newer ones. */
static void open_live(const struct world *w, struct connection *live, const struct flood_row *row)
{
	uint32_t n = 0, i = 0;

	while (i < FLOOD_LIVE - row->newer) {
		assert_true(connect_from(w, &live[i], nth_tuple(n), n));
		i += live[i].row != DEAD_ORIGIN;
		n++;
	}
	set_backend(w, DEAD_ORIGIN, EK_NEXTHOP_RESOLVED);
	assert_int_equal(change_ring(w, TCP, 1), EK_RING_SIZE);
	for (; i < FLOOD_LIVE; n++)
		i += connect_from(w, &live[i], nth_tuple(n), n);
	for (i = 0, n = 0; i < FLOOD_LIVE; i++) {
		find_entry(w, &live[i]);
		n += live[i].way >= 0;
		w->source->bss->flood_live[i] = live[i].from;
	}
	assert_int_equal(n, row->entries);
}

static void expect_all_kept(const struct world *w, const struct connection *live, const char *when)
{
	const uint64_t lasting = ~(uint64_t)EK_TICK_MASK;
	uint32_t diverted = 0;

	for (uint32_t i = 0; i < FLOOD_LIVE; i++) {
		const struct connection *c = &live[i];

		diverted += send_packet(w, TCP, c->from, ACK, c->isn + 1) != c->row;
		if (c->way < 0)
			continue;
		assert_int_equal(c->bucket->entry[c->way] & lasting, c->entry & lasting);
		assert_memory_equal(&w->flow_keys[c->bucket - w->flows].key[c->way], &c->key,
				    sizeof(c->key));
	}
	if (diverted)
		fail_msg("%s: %u of %u live connections were diverted", when, diverted, FLOOD_LIVE);
}

static double pour(const struct world *w, const struct connection *live)
{
	char when[64];
	double seconds = 0;

	w->source->bss->flood_flags = FLOOD_SYN;
	w->source->bss->flood_audited = 1;
	w->source->bss->flood_audit.youngest = UINT32_MAX;
	for (unsigned int i = 1; i <= CHUNKS; i++) {
		seconds += run_source(w->source->progs.flood, SYNS / CHUNKS);
		run_source(w->source->progs.settle, 1);
		snprintf(when, sizeof(when), "after %u SYNs", SYNS / CHUNKS * i);
		expect_all_kept(w, live, when);
	}
	return seconds;
}

/* Every SYN is accounted for, once by the program's counters and once by the bucket it fell into.
 */
static void expect_accounted(const struct world *w, const struct tally *before,
			     const struct tally *after)
{
	const struct flood_audit *a = &w->source->bss->flood_audit;
	uint64_t full = after->table_full - before->table_full;
	uint64_t lost = after->unstored - before->unstored + full;

	assert_int_equal(a->broken, 0);
	assert_int_equal(
		a->into_empty + a->over_embryo + a->renewed + a->known + a->second + a->lost, SYNS);
	assert_int_equal(a->second + a->lost, lost);
	assert_int_equal(after->dropped - before->dropped, full);
	assert_int_equal(after->forwarded - before->forwarded, SYNS - full + CHUNKS * FLOOD_LIVE);
	if (a->over_embryo + a->renewed)
		assert_true(a->youngest >= EK_FLOW_EMBRYO_GRACE);
}

static void print_flood(const struct world *w, const struct flood_row *row, double seconds,
			const struct tally *before, const struct tally *after)
{
	const struct flood_audit *a = &w->source->bss->flood_audit;

	print_message("  %s: %u SYNs in %.1f s of CPU (checks included)\n", row->description, SYNS,
		      seconds);
	print_message("    live: %u held by an entry, %u by origin; diverted: 0, at %u times\n",
		      row->entries, FLOOD_LIVE - row->entries, CHUNKS + 2);
	print_message("    stored: %" PRIu64 " in empty entries, %" PRIu64 " over embryos, %" PRIu64
		      " over their own; known: %" PRIu64 "\n",
		      (uint64_t)a->into_empty, (uint64_t)a->over_embryo, (uint64_t)a->renewed,
		      (uint64_t)a->known);
	if (a->over_embryo + a->renewed)
		print_message("    the youngest embryo replaced was %u ticks old (grace: %u)\n",
			      a->youngest, EK_FLOW_EMBRYO_GRACE);
	print_message("    not stored: %" PRIu64 " for want of room, %" PRIu64
		      " after another SYN (to origin %" PRIu64 ", table-full %" PRIu64 ")\n",
		      (uint64_t)a->lost, (uint64_t)a->second, after->unstored - before->unstored,
		      after->table_full - before->table_full);
	print_message("    table: %" PRIu64 " of %u entries in use; memory: %ld bytes, as before\n",
		      entries_in_use(w), w->buckets * EK_FLOW_WAYS, memory_of(w));
}

static void expect_flood_harmless(const struct flood_row *row, const cpu_set_t *allowed)
{
	static struct connection live[FLOOD_LIVE];
	static struct world w;
	struct tally before, after;
	double seconds;
	long memory;

	world_open(&w, allowed, row->buckets, FLOOD_SHIFT);
	pin_to(next_cpu(&w, -1));
	open_live(&w, live, row);
	expect_all_kept(&w, live, "before the flood");
	memory = memory_of(&w);
	before = tally(&w);
	seconds = pour(&w, live);
	after = tally(&w);
	expect_all_kept(&w, live, "after the flood");
	expect_accounted(&w, &before, &after);
	assert_int_equal(memory_of(&w), memory);
	assert_in_range(entries_in_use(&w), row->entries, row->buckets * EK_FLOW_WAYS);
	print_flood(&w, row, seconds, &before, &after);
	world_close(&w);
}

static void test_flood(void **state)
{
	for (size_t i = 0; i < sizeof(flood_rows) / sizeof(flood_rows[0]); i++)
		expect_flood_harmless(&flood_rows[i], *state);
}

/* --- what a SYN costs ------------------------------------------------------------------------ */

#define COST_ROUNDS  7
#define COST_PACKETS 500000u

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double cost_of(const struct world *w, const struct bpf_program *at, uint32_t flags)
{
	aim_source(w, at);
	w->source->bss->flood_flags = flags;
	return run_source(w->source->progs.flood, COST_PACKETS) / COST_PACKETS * 1e9;
}

/* Printed, not asserted: nanoseconds on a machine that does other things are no test. */
static void print_costs(const struct world *w, const char *what)
{
	enum { EMPTY, A_SYN, AN_ACK, KINDS };
	double ns[KINDS][COST_ROUNDS], syn, ack;

	for (unsigned int i = 0; i < COST_ROUNDS; i++) {
		ns[EMPTY][i] = cost_of(w, w->source->progs.empty, FLOOD_SYN);
		ns[A_SYN][i] = cost_of(w, w->balancer->progs.evenkeel, FLOOD_SYN);
		ns[AN_ACK][i] = cost_of(w, w->balancer->progs.evenkeel, FLOOD_ACK);
	}
	for (unsigned int kind = 0; kind < KINDS; kind++)
		qsort(ns[kind], COST_ROUNDS, sizeof(double), by_value);
	syn = ns[A_SYN][COST_ROUNDS / 2] - ns[EMPTY][COST_ROUNDS / 2];
	ack = ns[AN_ACK][COST_ROUNDS / 2] - ns[EMPTY][COST_ROUNDS / 2];
	print_message("  %s: a SYN %.1f ns, an ACK %.1f ns, ratio %.2f\n", what, syn, ack,
		      syn / ack);
}

static void test_cost(void **state)
{
	static struct world w;

	world_open(&w, *state, 131072, FLOOD_SHIFT);
	pin_to(next_cpu(&w, -1));
	print_costs(&w, "no slot changed");
	change_ring(&w, TCP, 1);
	print_costs(&w, "every slot changed, every SYN a new flow");
	world_close(&w);
}

/* --- all of it ------------------------------------------------------------------------------- */

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_flood),
		TEST(test_cost),
	};

	return cmocka_run_group_tests_name("flood", tests, set_up, NULL);
}
