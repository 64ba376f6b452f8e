/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The promise of the ring that remembers, on thousands of random histories: no established
 * connection changes backend while that backend is up. Histories mix every change a controller
 * makes (add, remove, fail, recover, false alarms, drain, undrain, re-weight, takeover) with
 * clients (idle ones, half-closed ones, reused ports, silent deaths), forged packets and other
 * CPUs that get in front of a compare-and-swap. A failure is shrunk and printed as a script.
 *
 * A connection is established once the packet that completes its handshake reached the backend
 * that answered its SYN. Not promised, and therefore not held against it: a handshake that
 * straddles a change of health or a takeover, takes 5 s, or begins while another CPU has a forged
 * SYN for its addresses in hand; silence for longer than the idle timeout, or than the closing
 * timeout after a FIN or RST that nothing followed two ticks later or more, forged or not; a
 * connection that spoke while its backend was believed down (another host has answered); somebody
 * who guesses a sequence number within 2^20 of the client's.
 *
 *     test_property                          as many seeds as a unit test may take
 *     test_property SEEDS [FIRST [EVENTS]]   that many; the exit code says whether one failed
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "clients_sim.h"

#ifdef __SANITIZE_ADDRESS__
#define SEEDS_DEFAULT 150
#else
#define SEEDS_DEFAULT 2500
#endif
#define EVENTS_DEFAULT 2500
#define EVENTS_MAX     20000

/* --- events ---------------------------------------------------------------------------------- */

enum event_kind {
	E_TICK,
	E_OPEN,
	E_OPEN_SLOWLY,
	E_DATA,
	E_END,
	E_FORGED_SYN,
	E_FORGED_END,
	E_FORGED_DATA,
	E_FLOOD,
	E_STRAY,
	E_FAIL,
	E_FALSE_ALARM,
	E_RECOVER,
	E_DRAIN,
	E_UNDRAIN,
	E_WEIGHT,
	E_REMOVE,
	E_ADD,
	E_TAKEOVER,
	E_SWEEP_STEP,
	E_SWEEP_PASS,
	E_RACE,
	E_KINDS,
};

struct event {
	uint8_t kind;
	uint8_t b; /* a backend, where the kind wants one */
	uint16_t tuple;
	uint32_t r;
};

static const struct {
	const char *name;
	uint8_t usual; /* how often, of all of them */
	char about;    /* t(uple), b(ackend), n(umber) */
} kinds[E_KINDS] = {
	[E_TICK] = {"tick", 60, 'n'},
	[E_OPEN] = {"open", 60, 't'},
	[E_OPEN_SLOWLY] = {"open, slowly", 12, 't'},
	[E_DATA] = {"data", 90, 't'},
	[E_END] = {"end", 12, 't'},
	[E_FORGED_SYN] = {"forged SYN", 12, 't'},
	[E_FORGED_END] = {"forged RST", 8, 't'},
	[E_FORGED_DATA] = {"forged ACK", 8, 't'},
	[E_FLOOD] = {"flood", 4, 'n'},
	[E_STRAY] = {"stray ACK", 8, 't'},
	[E_FAIL] = {"fail", 2, 'b'},
	[E_FALSE_ALARM] = {"false alarm", 4, 'b'},
	[E_RECOVER] = {"recover", 9, 'b'},
	[E_DRAIN] = {"drain", 4, 'b'},
	[E_UNDRAIN] = {"undrain", 5, 'b'},
	[E_WEIGHT] = {"weight", 4, 'b'},
	[E_REMOVE] = {"remove", 2, 'b'},
	[E_ADD] = {"add", 3, 'b'},
	[E_TAKEOVER] = {"takeover", 2, 'n'},
	[E_SWEEP_STEP] = {"sweep, a step", 6, 'n'},
	[E_SWEEP_PASS] = {"sweep, a pass", 3, 'n'},
	[E_RACE] = {"another CPU first", 12, 'r'},
};

/* What another CPU may be doing in the middle of a packet. */
static const uint8_t racing[] = {E_FLOOD,      E_DATA,	      E_OPEN,	    E_FORGED_SYN,
				 E_FORGED_END, E_FORGED_DATA, E_SWEEP_PASS, E_WEIGHT};

static struct event racer;
static bool removed[SIM_LIMIT];
static bool change_is_due; /* health has changed, the ring has not yet */
static uint32_t swept;	   /* tick of the last whole pass */

static void apply(const struct event *e);

/* Nobody gets in front of himself: neither the controller, nor a client that opens. */
static void race(void)
{
	if (sim.sweeping && (racer.kind == E_SWEEP_PASS || racer.kind == E_WEIGHT))
		return;
	if (racer.kind == E_OPEN && connections[racer.tuple % tuples].hash == sim.hash)
		return;
	apply(&racer);
}

static uint8_t racing_kind(const struct event *e)
{
	return racing[e->r % (sizeof(racing) / sizeof(racing[0]))];
}

/* Health first, and the ring in the same breath or at the next tick. */
static void health_changed(const struct event *e)
{
	sim.changes++;
	sim.outages++;
	change_is_due = true;
	if (e->r % 4)
		return;
	sim_rechoose();
	change_is_due = false;
}

static void crash(uint32_t b)
{
	sim.up[b] = host[b] = false;
	life[b]++;
	for (uint32_t i = 0; i < tuples; i++)
		if (connections[i].stage != NONE && connections[i].backend == b) {
			connections[i].stage = NONE;
			total.crashed++;
		}
}

/* An index that nothing names is free for another backend. */
static void add(uint32_t b)
{
	if (removed[b] && !sim_is_named(b)) {
		life[b]++;
		for (uint32_t i = 0; i < tuples; i++)
			if (connections[i].stage >= ESTABLISHED && connections[i].backend == b &&
			    sim.now - connections[i].last <= idle_timeout() - SKEW &&
			    !connections[i].ended)
				broke(&connections[i], "named by nothing", 0);
	}
	removed[b] = false;
	sim.weight[b] = 4;
}

static void sweep_pass(uint32_t lag)
{
	while (!sim_sweep_step(sim.profile.buckets, lag))
		;
	swept = sim.now;
}

/* Clients that do not idle speak just before their time is up, whichever time that is. */
static void keep_alive(void)
{
	for (uint32_t i = 0; i < tuples; i++) {
		struct connection *c = &connections[i];

		if (c->stage < ESTABLISHED || c->idler)
			continue;
		if (sim.now - c->last >= idle_timeout() - SKEW ||
		    (c->ended && sim.now - c->end >= closing_limit()))
			send_data(c, 1, 0);
	}
}

static void tick(uint32_t ticks)
{
	if (change_is_due)
		sim_rechoose();
	change_is_due = false;
	while (ticks--) {
		sim.now++;
		keep_alive();
		if (sim.now - swept > 2000)
			sweep_pass(0);
	}
}

/* Mostly one; now and then so long that everything silent is near its end. */
static uint32_t tick_length(uint32_t r)
{
	if (r % 8)
		return 1 + r / 8 % 3;
	if (r / 8 % 4)
		return r / 32 % (sim.service.timeout[EK_FLOW_CLOSING] + 2);
	return r / 32 % (idle_timeout() / 2);
}

/* A forged datagram is as good as a true one; a forged segment must do no harm. */
static void apply_forged(const struct event *e, struct connection *c)
{
	uint32_t far = c->isn + (e->kind == E_FORGED_SYN ? 0x80000000u : 0x60000000u) + (e->r >> 8);

	if (sim.profile.udp) {
		send_data(c, 0, 0);
		return;
	}
	if (c->stage >= ESTABLISHED && is_forgotten(c))
		c->stage = NONE;
	c->closed = false;
	c->forged++;
	switch (e->kind) {
	case E_FORGED_SYN:
		sim_packet(c->hash, EK_PACKET_SYN, far, sim.now);
		break;
	case E_FORGED_END:
		sim_packet(c->hash, EK_PACKET_END, far, sim.now);
		note_end(c);
		break;
	case E_FORGED_DATA:
		sim_packet(c->hash, EK_PACKET_DATA, far, sim.now);
		break;
	}
}

/* Random flows of the tuple's bucket. */
static void flood(const struct event *e, const struct connection *c)
{
	__u64 near = sim.hash ? sim.hash : c->hash;

	for (uint32_t i = 0; i < 1 + e->r % 8; i++)
		sim_packet(
			sim_flow_hash(ek_ring_index(near), 1000 + sim_mix(e->r + i) % 60000, near),
			sim.profile.udp ? EK_PACKET_DATAGRAM : EK_PACKET_SYN, i, sim.now);
}

static void apply_client(const struct event *e, struct connection *c)
{
	switch (e->kind) {
	case E_OPEN:
	case E_OPEN_SLOWLY: /* one in eight clients forgets the connection it had */
		if (c->stage == NONE || (e->r >> 4) % 8 == 0)
			open_connection(c, e->r, e->kind == E_OPEN_SLOWLY);
		break;
	case E_DATA:
		if (c->stage == SYN_SENT)
			complete(c);
		else if (c->stage >= ESTABLISHED)
			send_data(c, (e->r >> 8) % 65536, e->r % 8 == 0);
		break;
	case E_END:
		end_connection(c, e->r);
		break;
	case E_STRAY:
		if (c->stage != NONE)
			break;
		c->closed = false;
		sim_packet(c->hash, data_kind(), e->r, sim.now);
		break;
	}
}

static void apply_change(const struct event *e)
{
	uint32_t b = 1 + e->b % sim.profile.backends;

	switch (e->kind) {
	case E_FAIL:
		crash(b);
		health_changed(e);
		return;
	case E_FALSE_ALARM:
		sim.up[b] = false;
		health_changed(e);
		return;
	case E_RECOVER:
		sim.up[b] = host[b] = true;
		health_changed(e);
		return;
	case E_DRAIN:
		sim.weight[b] = 0;
		break;
	case E_REMOVE:
		sim.weight[b] = 0;
		removed[b] = true;
		break;
	case E_UNDRAIN:
		sim.weight[b] = removed[b] ? 0 : 4;
		break;
	case E_WEIGHT:
		sim.weight[b] = removed[b] ? 0 : 1 + e->r % 4;
		break;
	case E_ADD:
		add(b);
		break;
	}
	sim_rechoose();
	change_is_due = false;
}

static void apply(const struct event *e)
{
	struct connection *c = &connections[e->tuple % tuples];

	switch (e->kind) {
	case E_TICK:
		tick(tick_length(e->r));
		break;
	case E_FLOOD:
		flood(e, c);
		break;
	case E_TAKEOVER:
		sim_takeover();
		swept = sim.now;
		break;
	case E_SWEEP_STEP:
		if (sim_sweep_step(1 + e->r / 4 % 8, e->r % 4))
			swept = sim.now;
		break;
	case E_SWEEP_PASS:
		sweep_pass(e->r / 64 % 4);
		break;
	case E_RACE:
		racer = *e;
		racer.kind = racing_kind(e);
		sim.interloper = race;
		sim.interloper_after = e->r >> 8 & 1;
		break;
	case E_FORGED_SYN:
	case E_FORGED_END:
	case E_FORGED_DATA:
		apply_forged(e, c);
		break;
	case E_OPEN:
	case E_OPEN_SLOWLY:
	case E_DATA:
	case E_END:
	case E_STRAY:
		apply_client(e, c);
		break;
	default:
		apply_change(e);
	}
}

/* --- histories ------------------------------------------------------------------------------- */

static uint64_t rolling;

static uint32_t roll(uint32_t n)
{
	return (sim_mix(rolling++) >> 16) % n;
}

static uint32_t pick(const uint32_t *from, size_t n)
{
	return from[roll(n)];
}
#define PICK(...) \
	pick((const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void make_profile(struct sim_profile *p)
{
	bool brisk = roll(4);

	*p = (struct sim_profile){
		.tracking = roll(4) ? EK_TRACKING_JUST_ENOUGH : EK_TRACKING_FULL,
		.slots = PICK(1, 2, 4, 16),
		.backends = PICK(2, 3, 4, 6),
		.buckets = PICK(1, 2, 16, 64),
		.room = PICK(0, 1, 2, 3, 8, 8),
		.timeout = {0, brisk ? 9 : 60, brisk ? 40 : 8100, brisk ? 12 : 120},
		.start = PICK(100, EK_TICK_MASK - 60, 0xffffffffu - 200) + roll(100),
		.pair = roll(3) == 0,
	};
	p->udp = p->tracking == EK_TRACKING_FULL && roll(2);
	p->disowns = p->tracking == EK_TRACKING_FULL && !p->udp && !p->pair && sim_mix(rolling) % 2;
	tuples = PICK(1, 2, 8, 32, 128, 512);
}

/* Some kinds are left out or made frequent, so that histories differ in character. */
static void make_events(struct event *events, size_t n)
{
	uint32_t weight[E_KINDS], sum = 0;

	for (int k = 0; k < E_KINDS; k++) {
		weight[k] = kinds[k].usual * (k <= E_DATA ? 2 : PICK(0, 1, 1, 2, 4));
		if (k == E_TAKEOVER && !sim.profile.pair)
			weight[k] = 0;
		sum += weight[k];
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t at = roll(sum), k = 0;

		while (at >= weight[k])
			at -= weight[k++];
		events[i] = (struct event){k, roll(256), roll(65536), sim_mix(rolling)};
		if (i &&
		    roll(3) ==
			    0) /* the same flow again: histories of one flow are the dense ones */
			events[i].tuple = events[i - 1].tuple;
	}
}

static void make_connections(void)
{
	memset(connections, 0, sizeof(connections));
	for (uint32_t i = 0; i < tuples; i++)
		connections[i].hash = sim_flow_hash(sim.slot_at[i % sim.profile.slots], i,
						    (uint32_t)sim_mix(i) & 0xff);
	memset(host, true, sizeof(host));
	memset(removed, false, sizeof(removed));
	change_is_due = false;
	swept = sim.now;
	*broken = '\0';
}

/* Returns how many events it took to break something, or 0. */
static size_t play(const struct sim_profile *profile, const struct event *events, size_t n)
{
	sim_start(profile);
	make_connections();
	for (size_t i = 0; i < n; i++) {
		apply(&events[i]);
		total.events++;
		if (*broken)
			return i + 1;
	}
	for (uint32_t i = 0; i < tuples && !*broken; i++)
		if (connections[i].stage >= ESTABLISHED)
			send_data(&connections[i], 0, 0);
	return *broken ? n : 0;
}

/* Delta debugging: leaves out ever smaller pieces for as long as it still breaks. */
static size_t shrink(const struct sim_profile *profile, struct event *events, size_t n)
{
	static struct event fewer[EVENTS_MAX];

	for (size_t piece = (n + 1) / 2; piece; piece /= 2) {
		for (size_t at = 0; at < n;) {
			size_t left_out = piece < n - at ? piece : n - at, m = n - left_out;

			memcpy(fewer, events, at * sizeof(*events));
			memcpy(fewer + at, events + at + left_out, (m - at) * sizeof(*events));
			m = play(profile, fewer, m);
			if (m) {
				memcpy(events, fewer, m * sizeof(*events));
				n = m;
			} else {
				at += left_out;
			}
		}
	}
	return n;
}

static void print_event(const struct event *e)
{
	switch (kinds[e->kind].about) {
	case 't':
		printf("    %s, flow %u\n", kinds[e->kind].name, e->tuple % tuples);
		break;
	case 'b':
		printf("    %s b%u%s\n", kinds[e->kind].name, 1 + e->b % sim.profile.backends,
		       e->kind <= E_RECOVER && e->r % 4 ? ", ring at the next tick" : "");
		break;
	case 'r':
		printf("    %s: %s, flow %u\n", kinds[e->kind].name, kinds[racing_kind(e)].name,
		       e->tuple % tuples);
		break;
	default:
		printf("    %s %u\n", kinds[e->kind].name,
		       e->kind == E_TICK ? tick_length(e->r) : e->r % 4);
	}
}

static void print_script(uint64_t seed, const struct sim_profile *p, struct event *events, size_t n)
{
	printf("seed %ju breaks after %zu events: %s\n", (uintmax_t)seed, n, broken);
	n = shrink(p, events, n);
	play(p, events, n);
	printf("  %s%s%s, %u slots, %u backends, %u buckets with room for %u, timeouts %u %u "
	       "%u%s\n",
	       p->tracking == EK_TRACKING_FULL ? "full" : "just-enough", p->udp ? " UDP" : "",
	       p->disowns ? ", no failover" : "", p->slots, p->backends, p->buckets, p->room,
	       p->timeout[1], p->timeout[2], p->timeout[3], p->pair ? ", a pair" : "");
	for (size_t i = 0; i < n; i++)
		print_event(&events[i]);
	printf("  %s\n", broken);
}

/*
 * Seed 0 is written by hand: chance does not find it. A slot is back at its origin for longer than
 * the idle timeout, held by one connection to another backend, whose end goes unnoticed until a
 * handshake straddles the next change; then a forged SYN in the middle of another; then an entry
 * that is about to expire when it has to serve a SYN that finds no room.
 */
static size_t make_history(struct sim_profile *p, struct event *events)
{
	uint8_t home = sim_mix(1) > sim_mix(2) ? 0 : 1; /* the choice of slot 0, less one */
	const uint32_t ten_ticks = 8 + 32 * 10;
	/* clang-format off */
	const struct event history[] = {
		{E_DRAIN, home, 0, 0}, {E_OPEN, 0, 0, 1}, {E_UNDRAIN, home, 0, 0},
		{E_TICK, 0, 0, ten_ticks}, {E_DATA, 0, 0, 1},
		{E_TICK, 0, 0, ten_ticks}, {E_DATA, 0, 0, 1},
		{E_TICK, 0, 0, ten_ticks}, {E_DATA, 0, 0, 1},
		{E_TICK, 0, 0, ten_ticks}, {E_END, 0, 0, 2},
		{E_TICK, 0, 0, ten_ticks}, {E_TICK, 0, 0, ten_ticks},
		{E_OPEN_SLOWLY, 0, 1, 1}, {E_DRAIN, home, 0, 0},
		{E_SWEEP_PASS, 0, 0, 0}, {E_SWEEP_PASS, 0, 0, 0}, {E_DATA, 0, 1, 1},
		{E_OPEN_SLOWLY, 0, 0, 1}, {E_TICK, 0, 0, 1}, {E_FORGED_SYN, 0, 0, 0}, {E_DATA, 0, 0, 1},
		{E_END, 0, 0, 2}, {E_TICK, 0, 0, ten_ticks}, {E_OPEN_SLOWLY, 0, 0, 1},
		{E_TICK, 0, 0, 9}, {E_TICK, 0, 0, 9}, {E_DATA, 0, 0, 1},
	};
	/* clang-format on */

	*p = (struct sim_profile){.tracking = EK_TRACKING_JUST_ENOUGH,
				  .slots = 1,
				  .backends = 2,
				  .buckets = 1,
				  .room = 1,
				  .timeout = {0, 9, 40, 12}};
	tuples = 2;
	memcpy(events, history, sizeof(history));
	return sizeof(history) / sizeof(history[0]);
}

/* Returns the number of events after which a seed broke, or 0. */
static size_t run_seed(uint64_t seed, size_t n, bool show)
{
	static struct event events[EVENTS_MAX];
	struct sim_profile profile;
	size_t at;

	rolling = sim_mix(seed);
	make_profile(&profile);
	sim.profile = profile;
	if (seed)
		make_events(events, n);
	else
		n = make_history(&profile, events);
	at = play(&profile, events, n);
	if (at && show)
		print_script(seed, &profile, events, at);
	return at;
}

static void print_figures(uint64_t seeds)
{
	printf("property: %ju seeds, %ju events, %ju packets (%ju by an entry, %ju by origin), %ju "
	       "connections, %ju SYNs unstored, %ju compare-and-swaps lost; not promised: %ju "
	       "handshakes straddled, %ju refused, %ju spoke to a backend believed down, %ju idle "
	       "too "
	       "long, %ju silent after an end, %ju crashed; broken %d\n",
	       (uintmax_t)seeds, (uintmax_t)total.events, (uintmax_t)sim.packets,
	       (uintmax_t)sim.by_entry, (uintmax_t)sim.by_origin, (uintmax_t)total.established,
	       (uintmax_t)sim.unstored, (uintmax_t)sim.lost, (uintmax_t)total.straddled,
	       (uintmax_t)total.refused, (uintmax_t)total.policy, (uintmax_t)total.idle,
	       (uintmax_t)total.ended, (uintmax_t)total.crashed, *broken ? 1 : 0);
}

static bool run(uint64_t first, uint64_t seeds, size_t events, bool show)
{
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		size_t at = run_seed(seed, events, show);

		if (!at)
			continue;
		if (!show)
			printf("killed by seed %ju after %zu events\n", (uintmax_t)seed, at);
		return false;
	}
	if (show)
		print_figures(seeds);
	return true;
}

static void test_no_connection_changes_backend(void **state)
{
	(void)state;
	assert_true(run(0, SEEDS_DEFAULT, EVENTS_DEFAULT, true));
	assert_true(total.established > 50 * SEEDS_DEFAULT);
	assert_true(sim.by_entry > 0 && sim.by_origin > 0 && sim.unstored > 0 && sim.lost > 0);
	sim_stop();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_connection_changes_backend)};

	if (argc > 1)
		return !run(argc > 2 ? strtoull(argv[2], NULL, 0) : 0, strtoull(argv[1], NULL, 0),
			    argc > 3 ? strtoul(argv[3], NULL, 0) : EVENTS_DEFAULT,
			    !getenv("QUIET"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
