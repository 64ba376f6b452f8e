/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Thousands of groups of two or three VRRP state machines on a network that loses, delays and
 * reorders, under a clock of its own: they start, lose each other, crash, are stopped and given
 * other permits. When all can hear each other again, one of them is master within 2 intervals and
 * the skew; when a master dies, another is within the dead interval and the skew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "ip.h"
#include "vrrp_fsm.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RUNS	     20000
#define NODES_MAX    3
#define PACKETS_MAX  1024

struct node {
	struct ek_vrrp_fsm fsm;
	struct ek_ip address;
	bool up;
	uint64_t stopped_until; /* by SIGSTOP: packets wait, its lease has run out */
};

struct packet {
	uint64_t at;
	unsigned int from, to, interval;
	uint8_t priority;
};

/* Maxima over all runs, in thousandths of the interval. */
static struct figures {
	uint64_t events, claims, lost;
	uint64_t after_loss, gap_crash, gap_stop, overlap_stop;
} figures;

static struct sim {
	uint64_t seed, random, now;
	unsigned int n_nodes, n_packets;
	unsigned int interval, skew, delay; /* the largest of any node; of any packet */
	bool prompt;			    /* all preempt, without delay */
	struct node nodes[NODES_MAX];
	unsigned int loss[NODES_MAX][NODES_MAX]; /* percent */
	struct packet packets[PACKETS_MAX];
	/* Since watch(): */
	uint64_t gap, overlap; /* under way: how long without a master, with several */
	uint64_t worst_gap, worst_overlap;
	uint64_t several_at; /* when there last was not exactly one */
	unsigned int claims;
} sim;

static unsigned int below(unsigned int limit)
{
	sim.random ^= sim.random << 13;
	sim.random ^= sim.random >> 7;
	sim.random ^= sim.random << 17;
	return (sim.random >> 11) % limit;
}

static void holds(bool condition, const char *what)
{
	if (!condition)
		fail_msg("seed %llu at %llu: %s (gap %llu, overlap %llu, interval %u)",
			 (unsigned long long)sim.seed, (unsigned long long)sim.now, what,
			 (unsigned long long)sim.worst_gap, (unsigned long long)sim.worst_overlap,
			 sim.interval);
}

static bool is_master(const struct node *node)
{
	return node->up && sim.now >= node->stopped_until && node->fsm.state == EK_VRRP_MASTER;
}

static unsigned int masters(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < sim.n_nodes; i++)
		n += is_master(&sim.nodes[i]);
	return n;
}

static void broadcast(unsigned int from, uint8_t priority)
{
	for (unsigned int to = 0; to < sim.n_nodes; to++) {
		if (to == from)
			continue;
		if (below(100) < sim.loss[from][to]) {
			figures.lost++;
			continue;
		}
		holds(sim.n_packets < PACKETS_MAX, "too many packets under way");
		sim.packets[sim.n_packets++] = (struct packet){
			.at = sim.now + below(sim.delay + 1),
			.from = from,
			.to = to,
			.interval = sim.nodes[from].fsm.settings.interval_ms,
			.priority = priority,
		};
	}
}

/* What every caller does; and that the actions tell the state. */
static void act(unsigned int i, enum ek_vrrp_state before, unsigned int actions)
{
	enum ek_vrrp_state after = sim.nodes[i].fsm.state;

	figures.events++;
	holds(!!(actions & EK_VRRP_DO_CLAIM) ==
		      (before != EK_VRRP_MASTER && after == EK_VRRP_MASTER),
	      "a claim without an action, or the reverse");
	holds(!!(actions & EK_VRRP_DO_YIELD) ==
		      (before == EK_VRRP_MASTER && after != EK_VRRP_MASTER),
	      "yielded without an action, or the reverse");
	holds(!(actions & EK_VRRP_DO_ADVERT) || after == EK_VRRP_MASTER, "a backup adverts");
	if (actions & EK_VRRP_DO_CLAIM)
		figures.claims++, sim.claims++;
	if (actions & EK_VRRP_DO_ADVERT)
		broadcast(i, ek_vrrp_fsm_priority(&sim.nodes[i].fsm));
	if (actions & EK_VRRP_DO_RESIGN)
		broadcast(i, 0);
}

static void start(unsigned int i)
{
	struct ek_vrrp_settings settings = sim.nodes[i].fsm.settings;

	ek_vrrp_fsm_init(&sim.nodes[i].fsm, &settings);
	ek_vrrp_fsm_permit(&sim.nodes[i].fsm, EK_VRRP_NORMAL, sim.now);
	ek_vrrp_fsm_start(&sim.nodes[i].fsm, sim.now);
	sim.nodes[i].up = true;
	sim.nodes[i].stopped_until = 0;
}

static void permit(unsigned int i, enum ek_vrrp_permit permitted)
{
	struct ek_vrrp_fsm *fsm = &sim.nodes[i].fsm;
	enum ek_vrrp_state before = fsm->state;

	act(i, before, ek_vrrp_fsm_permit(fsm, permitted, sim.now));
}

static void deliver(unsigned int index)
{
	struct packet packet = sim.packets[index];
	struct node *node = &sim.nodes[packet.to];
	enum ek_vrrp_state before = node->fsm.state;

	sim.packets[index] = sim.packets[--sim.n_packets];
	if (node->up)
		act(packet.to, before,
		    ek_vrrp_fsm_heard(&node->fsm, packet.priority, packet.interval,
				      &sim.nodes[packet.from].address, &node->address, sim.now));
}

/* When node `i` does something by itself. */
static uint64_t due(unsigned int i)
{
	const struct node *node = &sim.nodes[i];
	uint64_t at = node->up ? ek_vrrp_fsm_due(&node->fsm) : UINT64_MAX;

	return at < node->stopped_until ? node->stopped_until : at;
}

static uint64_t arrival(const struct packet *packet)
{
	uint64_t until = sim.nodes[packet->to].stopped_until;

	return packet->at < until ? until : packet->at;
}

/* Packets before timers, as vrrp_fsm.h asks for; false: nothing is due at this time. */
static bool step(void)
{
	for (unsigned int i = 0; i < sim.n_packets; i++) {
		if (arrival(&sim.packets[i]) <= sim.now) {
			deliver(i);
			return true;
		}
	}
	for (unsigned int i = 0; i < sim.n_nodes; i++) {
		enum ek_vrrp_state before = sim.nodes[i].fsm.state;

		if (due(i) <= sim.now) {
			act(i, before, ek_vrrp_fsm_timer(&sim.nodes[i].fsm, sim.now));
			return true;
		}
	}
	return false;
}

static void keep_maximum(uint64_t *maximum, uint64_t value)
{
	if (*maximum < value)
		*maximum = value;
}

/* To the next instant at which anything happens, `end` at the latest. */
static void pass_time(uint64_t end)
{
	uint64_t next = end;
	unsigned int n = masters();

	for (unsigned int i = 0; i < sim.n_packets; i++)
		if (arrival(&sim.packets[i]) < next)
			next = arrival(&sim.packets[i]);
	for (unsigned int i = 0; i < sim.n_nodes; i++)
		if (due(i) < next)
			next = due(i);
	sim.gap = n ? 0 : sim.gap + next - sim.now;
	sim.overlap = n < 2 ? 0 : sim.overlap + next - sim.now;
	sim.now = next;
	if (n != 1)
		sim.several_at = sim.now;
	keep_maximum(&sim.worst_gap, sim.gap);
	keep_maximum(&sim.worst_overlap, sim.overlap);
}

static void run(uint64_t duration)
{
	uint64_t end = sim.now + duration;

	do {
		while (step())
			continue;
		if (sim.now < end)
			pass_time(end);
	} while (sim.now < end);
	while (step())
		continue;
}

static void watch(void)
{
	sim.gap = sim.overlap = sim.worst_gap = sim.worst_overlap = 0;
	sim.several_at = sim.now;
	sim.claims = 0;
}

static uint64_t in_intervals(uint64_t duration)
{
	return duration * 1000 / sim.interval;
}

static uint8_t highest_priority(void)
{
	uint8_t highest = 0;

	for (unsigned int i = 0; i < sim.n_nodes; i++)
		if (highest < sim.nodes[i].fsm.settings.priority)
			highest = sim.nodes[i].fsm.settings.priority;
	return highest;
}

static unsigned int the_master(void)
{
	for (unsigned int i = 0; i < sim.n_nodes; i++)
		if (is_master(&sim.nodes[i]))
			return i;
	holds(false, "no master");
	return 0;
}

/*
 * From here on there is always a master, and but one; who pushes it aside after a preempt delay is
 * one beside it until its advert has arrived.
 */
static void expect_one(void)
{
	watch();
	run(8ull * sim.interval);
	holds(sim.worst_gap == 0, "no master in quiet times");
	holds(sim.worst_overlap <= 2ull * sim.delay, "several masters in quiet times");
	if (sim.prompt)
		holds(sim.claims == 0 && sim.worst_overlap == 0, "a handover in quiet times");
}

static void set_loss(unsigned int most)
{
	for (unsigned int i = 0; i < NODES_MAX; i++)
		for (unsigned int j = 0; j < NODES_MAX; j++)
			sim.loss[i][j] = most ? below(most + 1) : 0;
}

static void begin(uint64_t seed)
{
	static const unsigned int intervals[] = {10, 50, 100, 1000, 40950};
	unsigned int common, least;
	bool mixed, equal;

	memset(&sim, 0, sizeof(sim));
	sim.seed = seed;
	sim.random = seed * 0x9e3779b97f4a7c15u | 1;
	sim.now = 1 + below(1000);
	sim.n_nodes = 2 + below(NODES_MAX - 1);
	common = least = intervals[below(COUNT(intervals))];
	mixed = below(4) == 0;
	equal = below(4) == 0;
	sim.prompt = below(2);
	for (unsigned int i = 0; i < sim.n_nodes; i++) {
		struct ek_vrrp_settings *settings = &sim.nodes[i].fsm.settings;

		settings->priority = equal ? 100 : 1 + below(254);
		settings->interval_ms = mixed ? common / (1 + below(4)) / 10 * 10 : common;
		if (!settings->interval_ms)
			settings->interval_ms = 10;
		settings->preempt = sim.prompt || below(2);
		settings->preempt_delay_ms = sim.prompt ? 0 : below(20 * common);
		sim.nodes[i].address = ek_ip_from4(htonl(0x0a000001 + (i + seed) % NODES_MAX));
		if (least > settings->interval_ms)
			least = settings->interval_ms;
		if (sim.interval < settings->interval_ms)
			sim.interval = settings->interval_ms;
	}
	for (unsigned int i = 0; i < sim.n_nodes; i++) {
		unsigned int skew = (256 - sim.nodes[i].fsm.settings.priority) * sim.interval / 256;

		sim.skew = skew > sim.skew ? skew : sim.skew;
	}
	sim.delay = below(least / 5 + 1);
}

/* The longest that nobody is master when one has died: dead, skew, and the last advert's delay. */
static uint64_t patience(void)
{
	return 3ull * sim.interval + sim.skew + 2ull * sim.delay;
}

static void settle(void)
{
	run(patience() + sim.interval);
	expect_one();
}

static void phase_start(void)
{
	for (unsigned int i = 0; i < sim.n_nodes; i++) {
		start(i);
		run(below(sim.interval));
	}
	settle();
}

/* Whatever is lost, somebody remains; afterwards one of them does. */
static void phase_loss(void)
{
	uint64_t stopped;

	watch();
	for (int i = 0; i < 4; i++) {
		set_loss(100);
		run(below(8 * sim.interval));
	}
	holds(sim.worst_gap == 0, "loss alone left nobody master");
	set_loss(0);
	stopped = sim.now;
	watch();
	run(2ull * sim.interval + sim.skew + 2ull * sim.delay);
	if (sim.prompt) {
		keep_maximum(&figures.after_loss, in_intervals(sim.several_at - stopped));
		holds(sim.nodes[the_master()].fsm.settings.priority == highest_priority(),
		      "not the best one is master");
	}
	holds(sim.worst_gap == 0, "nobody is master after the loss");
	expect_one();
}

static void phase_crash(void)
{
	unsigned int victim = the_master();

	sim.nodes[victim].up = false;
	watch();
	run(patience());
	keep_maximum(&figures.gap_crash, in_intervals(sim.worst_gap));
	expect_one();
	start(victim);
	watch();
	run(patience() + sim.interval);
	holds(sim.worst_gap == 0, "a node that returns left nobody master");
	expect_one();
}

/* A backup that was stopped claims nothing; a master finds another, or is one still. */
static void phase_stop(void)
{
	unsigned int victim = below(sim.n_nodes);
	bool was_master = is_master(&sim.nodes[victim]);
	unsigned int duration = below(10 * sim.interval);

	sim.nodes[victim].stopped_until = sim.now + duration;
	watch();
	run(duration);
	run(patience() + sim.interval);
	keep_maximum(&figures.gap_stop, in_intervals(sim.worst_gap));
	keep_maximum(&figures.overlap_stop, in_intervals(sim.worst_overlap));
	holds(sim.worst_gap <= patience(), "nobody is master while one is stopped");
	holds(sim.worst_overlap <= 2ull * sim.delay, "several masters after a stop");
	if (sim.prompt && !was_master)
		holds(sim.claims == 0, "a claim because a backup was stopped");
	expect_one();
}

static void do_anything(void)
{
	unsigned int i = below(sim.n_nodes);

	switch (below(5)) {
	case 0:
		set_loss(below(101));
		break;
	case 1:
		sim.nodes[i].up = false;
		break;
	case 2:
		if (!sim.nodes[i].up)
			start(i);
		break;
	case 3:
		if (sim.nodes[i].up && sim.now >= sim.nodes[i].stopped_until)
			permit(i, below(5));
		break;
	default:
		sim.nodes[i].stopped_until = sim.now + below(8 * sim.interval);
	}
	run(below(3 * sim.interval));
}

static void phase_chaos(void)
{
	for (int i = 0; i < 20; i++)
		do_anything();
	set_loss(0);
	for (unsigned int i = 0; i < sim.n_nodes; i++) {
		sim.nodes[i].stopped_until = 0;
		if (!sim.nodes[i].up)
			start(i);
		permit(i, EK_VRRP_NORMAL);
	}
	watch();
	settle();
}

static void test_groups(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= RUNS; seed++) {
		begin(seed);
		phase_start();
		phase_loss();
		phase_crash();
		phase_stop();
		phase_chaos();
	}
	print_message(
		"%d runs, %llu events, %llu claims, %llu adverts lost; the worst, in intervals: "
		"one master %.2f after loss, none for %.2f after a crash and %.2f in a stop, "
		"several for %.2f after a stop\n",
		RUNS, (unsigned long long)figures.events, (unsigned long long)figures.claims,
		(unsigned long long)figures.lost, figures.after_loss / 1e3, figures.gap_crash / 1e3,
		figures.gap_stop / 1e3, figures.overlap_stop / 1e3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_groups)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
