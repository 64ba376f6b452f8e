/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Flows that keep their backend in bpf/balancer.bpf.c (root): from CPU to CPU, UDP across changes
 * of weight, and with two CPUs in the same flows at once while the ring changes under them.
 */
#include "flood_world.h"
#include <inttypes.h>
#include <pthread.h>
#include "maglev.h"

/* --- from CPU to CPU ------------------------------------------------------------------------- */

#define MOVERS 300u /* of each kind */
#define ROUNDS 3u

/* Each step of each connection comes in on another CPU. */
static void connect_across(const struct world *w, struct connection *c, uint32_t first)
{
	int cpu = next_cpu(w, -1);

	pin_to(cpu);
	for (uint32_t i = 0; i < MOVERS; i++) {
		c[i] = (struct connection){.from = nth_tuple(first + i),
					   .isn = live_isn(first + i)};
		c[i].row = send_packet(w, TCP, c[i].from, SYN, c[i].isn);
	}
	pin_to(next_cpu(w, cpu));
	for (uint32_t i = 0; i < MOVERS; i++)
		assert_int_equal(send_packet(w, TCP, c[i].from, ACK, c[i].isn + 1), c[i].row);
}

static void send_all(const struct world *w, const struct connection *c, uint32_t n,
		     unsigned int service)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(send_packet(w, service, c[i].from, ACK, c[i].isn + 1), c[i].row);
}

/* Every packet of a round is counted in the rows of the CPU that it came in on. */
static void expect_round(const struct world *w, int cpu, const struct connection *tcp,
			 const struct connection *udp)
{
	uint64_t due[CPUS * ROWS];

	for (uint32_t i = 0; i < w->cpus * ROWS; i++)
		due[i] = w->backends[i].packets;
	for (uint32_t i = 0; i < 2 * MOVERS; i++)
		due[cpu * ROWS + tcp[i].row]++;
	for (uint32_t i = 0; i < MOVERS; i++)
		due[cpu * ROWS + udp[i].row]++;
	pin_to(cpu);
	send_all(w, tcp, 2 * MOVERS, TCP);
	send_all(w, udp, MOVERS, UDP);
	for (uint32_t i = 0; i < w->cpus * ROWS; i++)
		assert_int_equal(w->backends[i].packets, due[i]);
}

static void test_moving(void **state)
{
	static struct connection tcp[2 * MOVERS], udp[MOVERS];
	static struct world w;
	uint32_t used = 0;

	world_open(&w, *state, 1024, FLOOD_SHIFT);
	if (CPU_COUNT(&w.allowed) < 2) {
		world_close(&w);
		skip();
	}
	connect_across(&w, tcp, 0); /* held by origin */
	change_ring(&w, TCP, 1);
	connect_across(&w, tcp + MOVERS, MOVERS); /* by an entry */
	for (uint32_t i = 0; i < MOVERS; i++) {
		udp[i].from = nth_tuple(i);
		udp[i].row = send_packet(&w, UDP, udp[i].from, 0, 0);
	}
	change_ring(&w, TCP, 2);
	change_ring(&w, UDP, 1);
	for (unsigned int round = 0; round < ROUNDS; round++)
		for (int cpu = next_cpu(&w, -1); cpu >= 0; cpu = next_cpu(&w, cpu), used++)
			expect_round(&w, cpu, tcp, udp);
	print_message("  %u connections held by origin, %u by an entry, %u of UDP: none moved in "
		      "%u changes of CPU\n",
		      MOVERS, MOVERS, MOVERS, used);
	world_close(&w);
}

/* --- UDP and weights ------------------------------------------------------------------------- */

#define DATAGRAM_FLOWS 5000u

static size_t weigh_udp(const struct world *w, uint32_t weight)
{
	static uint16_t choices[EK_RING_SIZE];
	struct ek_maglev_member members[PER_SET];

	for (uint32_t i = 0; i < PER_SET; i++) {
		uint32_t row = 1 + UDP * FLOOD_ROWS + i;

		members[i] = (struct ek_maglev_member){.address = mapped4(FLOOD_OUTER + row),
						       .port = FLOOD_PORT,
						       .index = row,
						       .weight = i ? 100 : weight};
	}
	assert_int_equal(ek_maglev_build(members, PER_SET, choices), 0);
	return ek_ring_apply(w->ring[UDP], choices, EK_TRACKING_FULL, tick_of(w), NULL);
}

static uint32_t chosen_now(const struct world *w, struct flood_tuple from)
{
	return ek_slot_current(w->ring[UDP]->slot[ek_ring_index(hash_of(w, UDP, from))]);
}

static void test_weights(void **state)
{
	static const uint32_t weights[] = {100, 10, 0, 300, 100};
	enum { CHANGES = sizeof(weights) / sizeof(weights[0]) };
	static struct connection flows[CHANGES * DATAGRAM_FLOWS];
	static struct world w;

	world_open(&w, *state, 65536, FLOOD_SHIFT);
	for (uint32_t i = 0, n = 0; i < CHANGES; i++) {
		size_t slots = weigh_udp(&w, weights[i]);
		uint32_t changed = 0, fresh = n, first = 0;

		for (uint32_t k = 0; k < n; k++) {
			changed += chosen_now(&w, flows[k].from) != flows[k].row;
			assert_int_equal(send_packet(&w, UDP, flows[k].from, 0, 0), flows[k].row);
		}
		for (; n < fresh + DATAGRAM_FLOWS; n++) {
			struct connection *c = &flows[n];

			c->from = nth_tuple(n);
			c->row = send_packet(&w, UDP, c->from, 0, 0);
			assert_int_equal(c->row, chosen_now(&w, c->from));
			first += c->row == 1 + UDP * FLOOD_ROWS;
		}
		assert_true(!i || changed > DATAGRAM_FLOWS / 20);
		print_message("  weight %3u: %5zu slots changed; %5u old flows, 0 moved, though %u "
			      "would be elsewhere; %.1f %% of the new ones\n",
			      weights[i], slots, fresh, changed, 100.0 * first / DATAGRAM_FLOWS);
	}
	assert_int_equal(entries_in_use(&w), CHANGES * DATAGRAM_FLOWS);
	world_close(&w);
}

/* --- two CPUs in the same flows --------------------------------------------------------------- */

#define DUEL_PACKETS 20000000u
#define DUEL_RUN     20000u /* packets at a time */
#define DUEL_RUNS    5u	    /* between changes of the ring */
#define DUEL_BUCKETS 65536u

struct fighter {
	struct world *w;
	int cpu, err;
	pthread_t thread;
};

/* Which fingerprints a bucket may hold: those of its flows, high[start[bucket]] and on. */
struct census {
	uint32_t start[DUEL_BUCKETS + 1];
	uint64_t high[DUEL_FLOWS];
};

static void take_census(const struct world *w, struct census *c)
{
	static uint32_t next[DUEL_BUCKETS];

	for (uint32_t flow = 0; flow < DUEL_FLOWS; flow++)
		c->start[ek_flow_bucket_index(hash_of(w, TCP, duel_tuple(flow)), w->buckets - 1) +
			 1]++;
	for (uint32_t i = 0; i < DUEL_BUCKETS; i++)
		next[i] = c->start[i + 1] += c->start[i];
	for (uint32_t flow = 0; flow < DUEL_FLOWS; flow++) {
		uint64_t hash = hash_of(w, TCP, duel_tuple(flow));

		c->high[--next[ek_flow_bucket_index(hash, w->buckets - 1)]] =
			ek_flow_hash_high(hash);
	}
}

/* A torn one would name another flow, somebody else's backend, or no state. */
static void expect_whole(const struct world *w, const struct census *c, uint32_t bucket,
			 uint64_t entry)
{
	uint32_t row = ek_flow_backend(entry), i = c->start[bucket];

	if (!entry)
		return;
	if (row <= PER_SET || row > FLOOD_ROWS || ek_flow_state(entry) == EK_FLOW_EMPTY)
		fail_msg("bucket %u: entry %016" PRIx64 ": backend %u", bucket, entry, row);
	while (i < c->start[bucket + 1] && c->high[i] != ek_flow_hash_high(entry))
		i++;
	if (i == c->start[bucket + 1])
		fail_msg("bucket %u: entry %016" PRIx64 " of no flow of its", bucket, entry);
	assert_int_equal(w->backends[row].service, TCP);
}

static void expect_all_whole(const struct world *w, const struct census *c)
{
	for (uint32_t bucket = 0; bucket < w->buckets; bucket++)
		for (unsigned int way = 0; way < EK_FLOW_WAYS; way++)
			expect_whole(w, c, bucket, ek_flow_read(&w->flows[bucket].entry[way]));
}

static uint64_t drawn(const struct world *w)
{
	return __atomic_load_n(&w->source->bss->duel_ticket, __ATOMIC_RELAXED);
}

static int fight_once(const struct fighter *f)
{
	uint8_t bytes[FLOOD_LENGTH] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes, .data_size_in = sizeof(bytes),
		    .repeat = DUEL_RUN);

	return bpf_prog_test_run_opts(bpf_program__fd(f->w->source->progs.duel), &opts);
}

/* In a thread, where an assertion would have nowhere to go. */
static void *fight(void *arg)
{
	struct fighter *f = arg;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(f->cpu, &one);
	f->err = pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
	while (!f->err && drawn(f->w) < DUEL_PACKETS)
		f->err = fight_once(f);
	return NULL;
}

/* As a sweep does when it has expired. */
static void clear_entry(const struct world *w, uint32_t flow)
{
	uint64_t hash = hash_of(w, TCP, duel_tuple(flow));
	struct ek_flow_bucket *b = &w->flows[ek_flow_bucket_index(hash, w->buckets - 1)];
	uint64_t ways = ek_flow_find(b, hash);

	if (ways)
		b->entry[ek_flow_first(ways)] = 0;
}

/*
 * Those that are held get an entry that names neither origin nor what current will be. The others
 * leave holes between them: room for embryos on both sides of an entry.
 */
static void establish(const struct world *w)
{
	change_ring(w, TCP, 1);
	for (uint32_t flow = 0; flow < DUEL_FLOWS; flow++) {
		struct flood_tuple from = duel_tuple(flow);
		uint32_t row = send_packet(w, TCP, from, SYN, duel_isn(flow));

		assert_int_equal(send_packet(w, TCP, from, ACK, duel_isn(flow) + 1), row);
		w->source->bss->duel_row[flow] = row;
	}
	for (uint32_t flow = 0; flow < DUEL_FLOWS; flow++)
		if (!duel_is_held(flow))
			clear_entry(w, flow);
}

/*
 * Exactly one entry that may not be replaced, and it names the backend that it always did; none
 * for the few that found their bucket full, and were origin's from the start.
 */
static void expect_held(const struct world *w)
{
	uint32_t by_origin = 0, crowded = 0;

	for (uint32_t flow = 0; flow < DUEL_FLOWS; flow += 2) {
		uint64_t hash = hash_of(w, TCP, duel_tuple(flow));
		struct ek_flow_bucket *b = &w->flows[ek_flow_bucket_index(hash, w->buckets - 1)];
		uint32_t row = w->source->bss->duel_row[flow], live = 0, embryos = 0;

		for (uint64_t ways = ek_flow_find(b, hash); ways; ways &= ways - 1) {
			uint64_t entry = b->entry[ek_flow_first(ways)];

			if (ek_flow_state(entry) == EK_FLOW_EMBRYONIC) {
				embryos++;
				continue;
			}
			assert_int_equal(ek_flow_backend(entry), row);
			live++;
		}
		assert_int_equal(live, row > PER_SET);
		by_origin += row <= PER_SET;
		crowded += embryos > 1;
	}
	print_message("  %u connections held by an entry, %u by origin; %u have two embryos beside "
		      "them, stored at once\n",
		      DUEL_FLOWS / 2 - by_origin, by_origin, crowded);
}

static void expect_tallies(const struct world *w, const struct fighter *fighters)
{
	struct duel_tally t[CPUS], sum = {0};
	const uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(w->source->maps.tallies), &zero, t), 0);
	for (unsigned int i = 0; i < 2; i++) {
		const struct duel_tally *of = &t[fighters[i].cpu];

		assert_true(of->sent > DUEL_RUN);
		print_message("  CPU %d: %" PRIu64 " packets, %" PRIu64 " of them SYNs; diverted: "
			      "%" PRIu64 "\n",
			      fighters[i].cpu, (uint64_t)of->sent, (uint64_t)of->syns,
			      (uint64_t)of->diverted);
		sum.diverted += of->diverted;
		sum.dropped += of->dropped;
		sum.foreign += of->foreign;
	}
	assert_int_equal(sum.foreign, 0);
	assert_int_equal(sum.dropped, 0);
	assert_int_equal(sum.diverted, 0);
}

/* This thread is one of the two, and the controller as well: the other goes on meanwhile. */
static void fight_and_change(const struct fighter *f, const struct census *census)
{
	uint32_t changes = 0;

	pin_to(f->cpu);
	for (uint32_t i = 1; drawn(f->w) < DUEL_PACKETS; i++) {
		assert_int_equal(fight_once(f), 0);
		if (i % DUEL_RUNS)
			continue;
		change_ring(f->w, TCP, 2 + ++changes % 2);
		expect_all_whole(f->w, census);
	}
	print_message("  %u changes of the whole ring meanwhile\n", changes);
}

static void test_duel(void **state)
{
	static struct fighter fighters[2];
	static struct census census;
	static struct world w;

	world_open(&w, *state, DUEL_BUCKETS, 0);
	fighters[0] = (struct fighter){.w = &w, .cpu = next_cpu(&w, -1)};
	fighters[1] = (struct fighter){.w = &w, .cpu = next_cpu(&w, fighters[0].cpu)};
	if (fighters[1].cpu < 0) {
		world_close(&w);
		skip();
	}
	take_census(&w, &census);
	establish(&w);
	change_ring(&w, TCP, 2);
	assert_int_equal(pthread_create(&fighters[1].thread, NULL, fight, &fighters[1]), 0);
	fight_and_change(&fighters[0], &census);
	assert_int_equal(pthread_join(fighters[1].thread, NULL), 0);
	assert_int_equal(fighters[1].err, 0);
	expect_all_whole(&w, &census);
	expect_held(&w);
	expect_tallies(&w, fighters);
	world_close(&w);
}

/* --- all of it ------------------------------------------------------------------------------- */

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_moving),
		TEST(test_weights),
		TEST(test_duel),
	};

	return cmocka_run_group_tests_name("cpus", tests, set_up, NULL);
}
