/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The promise to connections when the primary of a pair vanishes, on thousands of random histories:
 * whoever was established is served by the same backend, as long as that is up. Plans, rings,
 * sweeps, the rules of evenkeel/select.h, the mirror and the words on the wire are the real ones,
 * included here so that rings and tables can be small; the controller between them and the channel
 * are those of mirror_sim.h. Histories mix changes of backends, clients, steps of the sweeps, and
 * messages that wait; nodes that die with what was on its way, are handed over, are cut off and
 * return, with nothing or with what they had.
 *
 * Not promised, and counted apart: a connection of which the last news (that its handshake was
 * complete, that it ended or lives on) had not reached the other node; any connection while the
 * other node has not yet been told everything. In histories in which both nodes forward, also what
 * moves to the other node while a ring is between announcement and effect.
 *
 *     test_mirror_property                          as many seeds as a unit test may take
 *     test_mirror_property SEEDS [FIRST [EVENTS]]   that many; the exit code says whether one
 * failed
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <evenkeel/abi.h>

#undef EK_RING_SIZE
#define EK_RING_SIZE 61u
#undef EK_BACKENDS_MAX
#define EK_BACKENDS_MAX 63u
#undef EK_SERVICES_MAX
#define EK_SERVICES_MAX 4u
#undef EK_NEWS_SIZE
#define EK_NEWS_SIZE 64u

#include "error.c"
#include "ip.c"
#include "plan.c"
#include "ring.c"
#include "service_table.c"
#define service_of sweep_service_of
#include "sweep.c"
#undef service_of
#include "datapath_apply.c"
#include "datapath_mirror.c"
#include "wire.c"
#include "mirror.c"
#include "mirror_bulk.c"
#include "mirror_forget.c"
#include "mirror_sim.h"

#ifdef __SANITIZE_ADDRESS__
#define SEEDS_DEFAULT 200
#else
#define SEEDS_DEFAULT 3000
#endif
#define EVENTS_DEFAULT 1500
#define EVENTS_MAX     20000
#define TUPLES_MAX     64
#define HOSTS	       6 /* 1 to 6 */
#define FLUSHES_MAX    65536
#define JAM_TICKS      3
#define SWEEP_TICKS    200 /* a pass takes no longer */
#define REST	       3u  /* ticks before a client takes the same port again */

static uint64_t scramble(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* --- in the place of maglev.c, which is for one size of ring, and of datapath.c ----------------
 */

/* Every slot has its favourite; one of weight 2 has twice as many tickets. */
int ek_maglev_build(const struct ek_maglev_member *members, size_t n, uint16_t *table)
{
	for (uint32_t slot = 0; slot < EK_RING_SIZE; slot++) {
		uint64_t best = 0;

		table[slot] = EK_BACKEND_NONE;
		for (size_t i = 0; i < n; i++)
			for (uint32_t t = 0; t < members[i].weight; t++) {
				uint64_t score = scramble(slot * 1000 +
							  members[i].address.bytes[15] * 10 + t);

				if (score > best) {
					best = score;
					table[slot] = members[i].index;
				}
			}
	}
	return 0;
}

int ek_datapath_tick(const struct ek_datapath *dp, uint32_t *tick)
{
	*tick = sim_tick[(intptr_t)dp->maps->progs.tick - 1];
	return 0;
}

uint32_t ek_datapath_buckets(const struct ek_datapath *dp)
{
	return dp->buckets;
}

const struct ek_sweep *ek_datapath_swept(const struct ek_datapath *dp)
{
	return &dp->sweep;
}

bool ek_datapath_sweep(struct ek_datapath *dp, uint32_t buckets)
{
	uint32_t now;

	ek_datapath_tick(dp, &now);
	if (!ek_sweep_step(&dp->sweep, now, buckets))
		return false;
	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++)
		if (dp->patient[id] && dp->sweep.services[id].ring &&
		    dp->sweep.services[id].role == EK_SWEEP_OWN)
			ek_datapath_publish(dp, id);
	return true;
}

/* --- the world ------------------------------------------------------------------------------- */

enum event_kind {
	E_TICK,
	E_OPEN,
	E_OPEN_SLOWLY,
	E_DATA,
	E_END,
	E_HOP,
	E_PUMP,
	E_DELIVER,
	E_SETTLE,
	E_SWEEP_STEP,
	E_SWEEP_PASS,
	E_FAIL,
	E_FALSE_ALARM,
	E_RECOVER,
	E_WEIGHT,
	E_REMOVE,
	E_ADD,
	E_FORGET,
	E_KILL,
	E_KILL_OTHER,
	E_RETURN,
	E_BLIP,
	E_HAND_OVER,
	E_JAM,
	E_KINDS,
};

struct event {
	uint8_t kind;
	uint8_t a; /* a node or a host, where the kind wants one */
	uint16_t tuple;
	uint32_t r;
};

static const struct {
	const char *name;
	uint8_t usual; /* how often, of all of them */
	char about;    /* t(uple), h(ost), n(ode), space for nothing */
} kinds[E_KINDS] = {
	[E_TICK] = {"tick", 40, ' '},
	[E_OPEN] = {"open", 60, 't'},
	[E_OPEN_SLOWLY] = {"open, slowly", 10, 't'},
	[E_DATA] = {"data", 90, 't'},
	[E_END] = {"end", 15, 't'},
	[E_HOP] = {"hop", 10, 't'},
	[E_PUMP] = {"pump", 90, 'n'},
	[E_DELIVER] = {"deliver from", 90, 'n'},
	[E_SETTLE] = {"settle", 8, ' '},
	[E_SWEEP_STEP] = {"sweep, a step", 20, 'n'},
	[E_SWEEP_PASS] = {"sweep, a pass", 10, 'n'},
	[E_FAIL] = {"fail", 3, 'h'},
	[E_FALSE_ALARM] = {"false alarm", 3, 'h'},
	[E_RECOVER] = {"recover", 8, 'h'},
	[E_WEIGHT] = {"weight", 8, 'h'},
	[E_REMOVE] = {"remove", 3, 'h'},
	[E_ADD] = {"add", 4, 'h'},
	[E_FORGET] = {"forget members", 6, 'n'},
	[E_KILL] = {"the primary dies", 4, ' '},
	[E_KILL_OTHER] = {"the other dies", 1, ' '},
	[E_RETURN] = {"return", 12, ' '},
	[E_BLIP] = {"blip", 2, ' '},
	[E_HAND_OVER] = {"hand over", 2, ' '},
	[E_JAM] = {"jam", 3, 'n'},
};

struct profile {
	enum ek_tracking tracking;
	bool udp, both; /* both nodes forward */
	uint32_t tuples, slots, buckets;
	unsigned int established, closing;
};

enum stage { NONE, SYN_SENT, ESTABLISHED };

/* It moved when nothing was promised: why. */
enum window { W_NONE, W_NEWS, W_UNTOLD, W_OTHER, W_KINDS };

struct connection {
	struct sim_flow flow;
	enum stage stage;
	uint8_t host, via;
	bool idler; /* says nothing by itself */
	bool ended; /* at `end`, and nothing has revived it */
	enum window window;
	bool stale; /* a node that returned has an entry of before for its addresses */
	uint32_t life, sequence, opened, last, end;
	uint32_t seen[2]; /* when by each node */
	uint32_t shunned; /* its port is not taken again before */
	uint8_t teller;	  /* the node whose news of it is the last … */
	uint32_t flush;	  /* … that came after so many flushes */
};

/* What a flush of a node's news comes to: all before it are known once so much is delivered. */
struct flushes {
	uint32_t n;
	uint64_t told[FLUSHES_MAX]; /* UINT64_MAX: not by this one */
};

static struct profile profile;
static struct connection connections[TUPLES_MAX];
static struct flushes flushes[2];
static bool dead[2];
static unsigned int primary;
static bool up[HOSTS + 1], host[HOSTS + 1], listed[HOSTS + 1];
static uint8_t weight[HOSTS + 1];
static uint32_t life[HOSTS + 1];
static uint32_t now, died;
static char broken[160];
static struct figures {
	uint64_t events, packets, established, straddled, policy, idle, ended, crashed;
	uint64_t deaths, handed, hops, returns;
	uint64_t moved[W_KINDS], broken[W_KINDS], reused, forgot;
} total;

static struct sim_node *owner(void)
{
	return &sim_nodes[primary];
}

/* --- what the other node has been told ------------------------------------------------------- */

static void pump(unsigned int node)
{
	struct flushes *f = &flushes[node];
	struct sim_node *n = &sim_nodes[node];
	const struct ek_mirror_peer *peer = &n->mirror->peers[0];

	ek_mirror_pump(n->mirror);
	f->told[++f->n % FLUSHES_MAX] =
		peer->up && !peer->behind && !peer->bulk.table ? n->to[!node].sent : UINT64_MAX;
}

static bool is_told(const struct connection *c)
{
	const struct flushes *f = &flushes[c->teller];

	for (uint32_t i = c->flush + 1; i <= f->n && f->n - c->flush < FLUSHES_MAX; i++)
		if (f->told[i % FLUSHES_MAX] != UINT64_MAX)
			return sim_nodes[c->teller].to[!c->teller].delivered >=
			       f->told[i % FLUSHES_MAX];
	return false;
}

static bool is_synced(unsigned int n)
{
	return ek_mirror_synced(sim_nodes[n].mirror, 0);
}

/* --- clients --------------------------------------------------------------------------------- */

static uint32_t idle_limit(void)
{
	return owner()->dp->planned[0].entries->timeout[EK_FLOW_ESTABLISHED] - 2;
}

static uint32_t closing_limit(void)
{
	return owner()->dp->planned[0].entries->timeout[EK_FLOW_CLOSING] - EK_FLOW_REUSE_AFTER - 3;
}

static uint8_t packet(const struct connection *c, enum ek_packet_kind kind, uint32_t sequence)
{
	struct sim_node *node = &sim_nodes[c->via];
	struct sim_flow flow = c->flow;

	total.packets++;
	flow.service = node->services[0].id;
	return sim_host(node, sim_packet(node->dp, &flow, kind, sequence));
}

static uint64_t live_entry(const struct connection *c)
{
	return sim_entry(sim_nodes[c->via].dp, &c->flow);
}

static void note_news(struct connection *c, uint64_t before)
{
	uint64_t entry = live_entry(c);

	if (before >> 14 == entry >> 14 ||
	    sim_host(&sim_nodes[c->via], ek_flow_backend(entry)) != c->host)
		return;
	c->teller = c->via;
	c->flush = flushes[c->via].n;
	c->window = W_NONE;
}

/* Ages are not told: of a connection that moves, a node knows the time when it was last here. */
static bool is_forgotten(const struct connection *c)
{
	if (now - c->seen[c->via] > idle_limit()) {
		total.idle++;
		return true;
	}
	if (!c->ended || now - c->end <= closing_limit())
		return false;
	total.ended++;
	return true;
}

static void broke(struct connection *c, uint8_t backend)
{
	if (c->window) {
		total.broken[c->window]++;
		c->shunned = now + 2 * profile.established;
	} else if (!*broken) {
		snprintf(broken, sizeof(broken),
			 "flow %td (slot %u) on node %u: host %u was expected, got %u",
			 c - connections, c->flow.slot, c->via, c->host, backend);
	}
	c->stage = NONE;
}

static void judge(struct connection *c, uint8_t backend)
{
	if (c->stage < ESTABLISHED)
		return;
	if (is_forgotten(c)) {
		c->stage = NONE;
	} else if (backend == c->host && life[backend] == c->life) {
		; /* as promised */
	} else if (up[c->host]) {
		broke(c, backend);
	} else { /* believed down: another has answered, or it was dropped and is tried again */
		total.policy++;
		c->stage = NONE;
	}
	c->last = c->seen[c->via] = now;
}

static void send_data(struct connection *c)
{
	uint64_t before = live_entry(c);

	if (c->ended && now - c->end > EK_FLOW_REUSE_AFTER + 1 && now - c->end <= closing_limit())
		c->ended = false;
	judge(c, packet(c, profile.udp ? EK_PACKET_DATAGRAM : EK_PACKET_DATA, c->sequence++));
	if (c->stage == ESTABLISHED)
		note_news(c, before);
}

static void established(struct connection *c, uint8_t backend)
{
	c->stage = ESTABLISHED;
	c->host = backend;
	c->life = life[backend];
	c->last = c->seen[0] = c->seen[1] = now;
	c->teller = c->via;
	c->flush = flushes[c->via].n;
	c->window = c->stale && !(is_synced(0) && is_synced(1)) ? W_OTHER : W_NONE;
	total.reused += c->window != W_NONE;
	total.established++;
}

static void complete(struct connection *c)
{
	uint8_t backend = packet(c, EK_PACKET_DATA, c->sequence);

	c->stage = NONE;
	if (backend == c->host && host[backend] && life[backend] == c->life)
		established(c, backend);
	else
		total.straddled++;
}

static void open_connection(struct connection *c, uint32_t r, bool slowly)
{
	uint8_t backend;

	c->ended = false;
	c->window = W_NONE;
	c->idler = r % 8 == 0;
	c->sequence = scramble(r);
	c->via = profile.both ? (c - connections) % 2 : primary;
	if (dead[c->via] || !is_synced(c->via)) /* nobody comes to who does not know everything */
		c->via = primary;
	c->stage = NONE;
	c->last = c->opened = now;
	if (profile.udp) {
		backend = packet(c, EK_PACKET_DATAGRAM, 0);
		if (backend && host[backend] && live_entry(c))
			established(c, backend);
		return;
	}
	backend = packet(c, EK_PACKET_SYN, c->sequence++);
	if (!backend || !host[backend])
		return;
	c->stage = SYN_SENT;
	c->host = backend;
	c->life = life[backend];
	if (!slowly)
		complete(c);
}

static void end_connection(struct connection *c, uint32_t r)
{
	uint64_t before = live_entry(c);

	if (profile.udp || c->stage != ESTABLISHED)
		return;
	judge(c, packet(c, EK_PACKET_END, c->sequence++));
	if (c->stage != ESTABLISHED)
		return;
	if (ek_flow_state(live_entry(c)) == EK_FLOW_CLOSING) {
		c->ended = true;
		c->end = now;
	}
	note_news(c, before);
	if (r % 3)
		c->stage = NONE;
}

static void keep_alive(void)
{
	for (uint32_t i = 0; i < profile.tuples; i++) {
		struct connection *c = &connections[i];

		if (c->stage == SYN_SENT && now - c->last >= EK_FLOW_EMBRYO_GRACE - 1)
			c->stage = NONE;
		if (c->stage == ESTABLISHED && !c->idler &&
		    (now - c->last >= idle_limit() ||
		     (c->ended && now - c->end >= closing_limit())))
			send_data(c);
	}
}

/* --- nodes ----------------------------------------------------------------------------------- */

/* The file and the checks say the same on both nodes, at the same moment. */
static void configure(struct sim_node *node)
{
	struct sim_world *w = &node->services[0];

	for (uint8_t h = 1; h <= HOSTS; h++) {
		struct sim_member *m = sim_member(node, 0, h);

		if (!m && listed[h])
			m = sim_member_add(node, 0, h, 0);
		if (m)
			m->weight = listed[h] ? weight[h] : 0;
	}
	for (size_t i = 0; i < w->n; i++)
		w->members[i].down = !up[w->members[i].host];
}

static void reconfigure(void)
{
	for (unsigned int n = 0; n < 2; n++) {
		if (dead[n])
			continue;
		configure(&sim_nodes[n]);
		sim_apply(&sim_nodes[n]);
	}
}

static bool is_named(const struct sim_node *node, uint16_t row)
{
	const struct ek_ring *ring = node->dp->rings[0].ring;

	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		if (ek_slot_current(ring->slot[i]) == row || ek_slot_origin(ring->slot[i]) == row)
			return true;
	for (uint32_t i = 0; i < node->dp->buckets * EK_FLOW_WAYS; i++)
		if (ek_flow_backend(node->dp->flows[i / EK_FLOW_WAYS].entry[i % EK_FLOW_WAYS]) ==
		    row)
			return true;
	return false;
}

/* ek_world_forget() */
static void forget_members(struct sim_node *node)
{
	struct sim_world *w = &node->services[0];
	bool any = false;

	for (size_t i = 0; i < w->n;) {
		uint8_t h = w->members[i].host;
		uint16_t row = sim_row(node, 0, h);

		if (listed[h] || (row && is_named(node, row))) {
			i++;
			continue;
		}
		w->members[i] = w->members[--w->n];
		any = true;
		total.forgot++;
	}
	if (any)
		sim_apply(node);
}

static void node_start(unsigned int n, bool own)
{
	struct sim_node *node = &sim_nodes[n];
	struct ek_config_service *config = &node->services[0].config;

	sim_node_start(n, profile.buckets);
	sim_service_add(node, 0, own);
	config->protocol = profile.udp ? IPPROTO_UDP : IPPROTO_TCP;
	config->tracking = profile.tracking;
	config->timeouts.established = config->timeouts.udp = profile.established;
	config->timeouts.closing = profile.closing;
	config->timeouts.embryonic = 9;
	node->state.next = 1 + n * 7; /* rows have other numbers */
	configure(node);
	sim_apply(node);
}

/* There was no room for its entry. */
static bool is_unplaced(const struct connection *c)
{
	return live_entry(c) && !sim_entry(sim_nodes[!c->via].dp, &c->flow) &&
	       ek_mirror_counters(sim_nodes[!c->via].mirror, 0)->unplaced;
}

/* Its packets go to the other node from here on. */
static void move(struct connection *c, bool synced, bool settled)
{
	enum window window = W_NONE;

	if (c->stage == NONE)
		return;
	if (c->stage == SYN_SENT) {
		c->stage = NONE; /* the client tries again */
		return;
	}
	if (!synced)
		window = W_UNTOLD;
	else if (c->via == c->teller && !is_told(c))
		window = W_NEWS;
	else if (!settled || is_unplaced(c) || c->via != primary)
		window = W_OTHER;
	total.moved[window]++;
	if (!c->window)
		c->window = window;
	if (profile.both) /* … and takes another port, should it end */
		c->shunned = now + 2 * profile.established;
	c->via = !c->via;
}

static void move_all(unsigned int from, bool synced)
{
	for (uint32_t i = 0; i < profile.tuples; i++)
		if (connections[i].via == from)
			move(&connections[i], synced, true);
}

static void kill_node(unsigned int n)
{
	unsigned int other = !n;

	if (dead[0] || dead[1])
		return;
	total.deaths++;
	move_all(n, is_synced(other));
	/* Who has not been told everything may have entries of connections that ended long ago. */
	for (uint32_t i = 0; i < profile.tuples && !is_synced(other); i++)
		connections[i].shunned = now + 2 * profile.established;
	for (uint32_t i = 0; i < profile.tuples; i++) { /* whatever it knew is known or lost */
		connections[i].teller = other;
		connections[i].flush = flushes[other].n;
	}
	dead[n] = true;
	died = now;
	sim_part(0, 1);
	sim_nodes[0].to[1].capacity = sim_nodes[1].to[0].capacity = 0;
	if (primary == n) {
		for (uint32_t i = 0; i < profile.tuples; i++)
			connections[i].seen[other] = connections[i].last; /* all is renewed */
		primary = other;
		sim_own(&sim_nodes[other], true);
	} else {
		sim_apply(&sim_nodes[other]);
	}
}

/*
 * It has an entry from just before it was cut off, of which the other may not have heard, and the
 * client has taken the same port again meanwhile.
 */
static void excuse_reused(unsigned int n)
{
	for (uint32_t i = 0; i < profile.tuples; i++) {
		struct connection *c = &connections[i];
		uint64_t entry = sim_entry(sim_nodes[n].dp, &c->flow);

		c->stale = entry && ek_flow_age(entry, sim_tick[n]) <= now - died + LATE_TICKS;
		if (c->stage == ESTABLISHED && c->stale && c->opened >= died) {
			c->window = W_OTHER;
			total.reused++;
		}
	}
}

/* With nothing, or with what it had. */
static void return_node(uint32_t r)
{
	unsigned int n = dead[0] ? 0 : 1;

	if (!dead[n])
		return;
	total.returns++;
	dead[n] = false;
	if (r % 2) {
		sim_node_stop(n);
		node_start(n, false);
	} else {
		configure(&sim_nodes[n]);
		sim_own(&sim_nodes[n], false);
		excuse_reused(n);
	}
	sim_join(0, 1);
}

static void blip(void)
{
	if (dead[0] || dead[1])
		return;
	/* What the other does and the owner does not know the owner may forget. */
	for (uint32_t i = 0; i < profile.tuples; i++) {
		struct connection *c = &connections[i];

		if (c->stage == ESTABLISHED && c->via != primary)
			c->window = W_OTHER;
		c->flush = flushes[c->teller].n;
	}
	sim_part(0, 1);
	sim_join(0, 1);
}

/* Both are there, and in sync: it is asked for. */
static void hand_over(void)
{
	unsigned int other = !primary;

	if (dead[0] || dead[1] || !is_synced(other) || owner()->waiting)
		return;
	total.handed++;
	move_all(primary, true);
	for (uint32_t i = 0; i < profile.tuples; i++)
		connections[i].seen[other] = connections[i].last;
	primary = other;
	sim_own(&sim_nodes[!primary], false);
	ek_mirror_want(sim_nodes[!primary].mirror, 0);
	sim_own(&sim_nodes[primary], true);
}

static bool is_settled(void)
{
	return !owner()->waiting && !sim_nodes[0].to[1].first && !sim_nodes[1].to[0].first;
}

static void hop(struct connection *c)
{
	if (!profile.both || dead[0] || dead[1] || !is_synced(!c->via))
		return;
	total.hops++;
	move(c, is_synced(!c->via), is_settled());
}

/* A second is long for a message, and for news that wait to be read. */
static void exchange(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		if (dead[i])
			continue;
		pump(i);
		while (!dead[!i] && sim_deliver(i, !i))
			;
	}
	for (unsigned int i = 0; i < 2; i++)
		if (!dead[i] && sim_nodes[i].due)
			sim_apply(&sim_nodes[i]);
}

static void settle(void)
{
	for (int n = 0; n < 6; n++)
		exchange();
}

static void deliver(unsigned int from, uint32_t messages)
{
	if (dead[0] || dead[1])
		return;
	while (messages-- && sim_deliver(from, !from))
		;
	for (unsigned int i = 0; i < 2; i++)
		if (sim_nodes[i].due)
			sim_apply(&sim_nodes[i]);
}

/* --- events ---------------------------------------------------------------------------------- */

static void pass(unsigned int node)
{
	while (!ek_datapath_sweep(sim_nodes[node].dp, profile.buckets))
		;
}

static void tick(uint32_t n)
{
	while (n--) {
		exchange();
		if (now % JAM_TICKS == 0) /* a peer that takes nothing for longer is dropped */
			sim_nodes[0].to[1].capacity = sim_nodes[1].to[0].capacity = 0;
		now++;
		sim_tick[0]++;
		sim_tick[1]++;
		keep_alive();
		for (unsigned int i = 0; i < 2; i++)
			if (!dead[i] && now % SWEEP_TICKS == 0)
				pass(i);
	}
}

/* Mostly one; now and then so long that everything silent is near its end. */
static uint32_t tick_length(uint32_t r)
{
	if (r % 8)
		return 1 + r / 8 % 2;
	if (r / 8 % 4)
		return 2 + r / 32 % (profile.closing + 2);
	return r / 32 % (profile.established + 4);
}

static void crash(uint8_t h)
{
	up[h] = host[h] = false;
	life[h]++;
	for (uint32_t i = 0; i < profile.tuples; i++)
		if (connections[i].stage != NONE && connections[i].host == h) {
			connections[i].stage = NONE;
			total.crashed++;
		}
}

static void apply_change(const struct event *e)
{
	uint8_t h = 1 + e->a % HOSTS;

	switch (e->kind) {
	case E_FAIL:
		crash(h);
		break;
	case E_FALSE_ALARM:
		up[h] = false;
		break;
	case E_RECOVER:
		up[h] = host[h] = true;
		break;
	case E_WEIGHT:
		weight[h] = e->r % 4;
		break;
	case E_REMOVE:
		listed[h] = false;
		break;
	case E_ADD:
		listed[h] = true;
		weight[h] = 2;
		break;
	}
	reconfigure();
}

static void apply_client(const struct event *e, struct connection *c)
{
	switch (e->kind) {
	case E_OPEN:
	case E_OPEN_SLOWLY:
		if (c->stage == NONE && now - c->last > REST && now >= c->shunned)
			open_connection(c, e->r, e->kind == E_OPEN_SLOWLY);
		break;
	case E_DATA:
		if (c->stage == SYN_SENT)
			complete(c);
		else if (c->stage == ESTABLISHED)
			send_data(c);
		break;
	case E_END:
		end_connection(c, e->r);
		break;
	case E_HOP:
		hop(c);
		break;
	}
}

static void apply_node(const struct event *e, unsigned int n)
{
	if (dead[n])
		return;
	switch (e->kind) {
	case E_PUMP:
		pump(n);
		break;
	case E_DELIVER:
		deliver(n, 1 + e->r % 4);
		break;
	case E_SWEEP_STEP:
		ek_datapath_sweep(sim_nodes[n].dp, 1 + e->r % 8);
		break;
	case E_SWEEP_PASS:
		pass(n);
		break;
	case E_FORGET:
		forget_members(&sim_nodes[n]);
		break;
	case E_JAM: /* or not any more */
		sim_nodes[n].to[!n].capacity = e->r % 2 ? 1 + (e->r >> 8) % 600 : 0;
		break;
	}
}

static void apply(const struct event *e)
{
	switch (e->kind) {
	case E_TICK:
		tick(tick_length(e->r));
		break;
	case E_SETTLE:
		settle();
		break;
	case E_KILL:
		kill_node(primary);
		break;
	case E_KILL_OTHER:
		kill_node(!primary);
		break;
	case E_RETURN:
		return_node(e->r);
		break;
	case E_BLIP:
		blip();
		break;
	case E_HAND_OVER:
		hand_over();
		break;
	default:
		if (kinds[e->kind].about == 't')
			apply_client(e, &connections[e->tuple % profile.tuples]);
		else if (kinds[e->kind].about == 'h')
			apply_change(e);
		else
			apply_node(e, e->a % 2);
	}
}

/* --- histories ------------------------------------------------------------------------------- */

static uint64_t rolling;

static uint32_t roll(uint32_t n)
{
	return (scramble(rolling++) >> 16) % n;
}

static uint32_t pick(const uint32_t *from, size_t n)
{
	return from[roll(n)];
}
#define PICK(...) \
	pick((const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void make_profile(void)
{
	bool brisk = roll(4);

	profile = (struct profile){
		.tracking = roll(4) ? EK_TRACKING_JUST_ENOUGH : EK_TRACKING_FULL,
		.both = roll(3) == 0,
		.tuples = PICK(2, 8, 32, 64),
		.slots = PICK(1, 3, 16),
		.buckets = PICK(4, 16, 64),
		.established = brisk ? 40 : 2000,
		.closing = brisk ? 14 : 120,
	};
	profile.udp = profile.tracking == EK_TRACKING_FULL && roll(2);
}

static void make_events(struct event *events, size_t n)
{
	uint32_t often[E_KINDS], sum = 0;

	for (int k = 0; k < E_KINDS; k++) {
		often[k] = kinds[k].usual * (k <= E_DATA ? 2 : PICK(0, 1, 1, 2, 4));
		if (k == E_PUMP || k == E_DELIVER)
			often[k] = kinds[k].usual * PICK(1, 2, 4);
		sum += often[k];
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t at = roll(sum), k = 0;

		while (at >= often[k])
			at -= often[k++];
		events[i] = (struct event){k, roll(256), roll(65536), scramble(rolling)};
		if (i && roll(3) == 0)
			events[i].tuple = events[i - 1].tuple;
	}
}

static void begin(void)
{
	*broken = '\0';
	primary = 0;
	dead[0] = dead[1] = false;
	now = 1000;
	sim_n = 2;
	sim_tick[0] = 70000;
	sim_tick[1] = EK_TICK_MASK - 40; /* wraps soon */
	flushes[0].n = flushes[1].n = 0;
	for (uint8_t h = 1; h <= HOSTS; h++) {
		up[h] = host[h] = true;
		listed[h] = h <= 3;
		weight[h] = 2;
	}
	memset(connections, 0, sizeof(connections));
	for (uint32_t i = 0; i < profile.tuples; i++)
		connections[i].flow = (struct sim_flow){
			.slot = i % profile.slots * 3, .port = i + 1, .low = scramble(i)};
	node_start(0, true);
	node_start(1, false);
	sim_join(0, 1);
	settle();
}

static void finish(void)
{
	sim_node_stop(0);
	sim_node_stop(1);
}

/* Returns how many events it took to break something, or 0. */
static size_t play(const struct event *events, size_t n)
{
	size_t at = 0;

	begin();
	while (at < n && !*broken) {
		apply(&events[at++]);
		total.events++;
	}
	for (uint32_t i = 0; i < profile.tuples && !*broken; i++)
		if (connections[i].stage == ESTABLISHED)
			send_data(&connections[i]);
	finish();
	return *broken ? at : 0;
}

/* Delta debugging: leaves out ever smaller pieces for as long as it still breaks. */
static size_t shrink(struct event *events, size_t n)
{
	static struct event fewer[EVENTS_MAX];

	for (size_t piece = (n + 1) / 2; piece; piece /= 2) {
		for (size_t at = 0; at < n;) {
			size_t left_out = piece < n - at ? piece : n - at, m = n - left_out;

			memcpy(fewer, events, at * sizeof(*events));
			memcpy(fewer + at, events + at + left_out, (m - at) * sizeof(*events));
			m = play(fewer, m);
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
	printf("    %s", kinds[e->kind].name);
	if (kinds[e->kind].about == 't')
		printf(", flow %u (%u)", e->tuple % profile.tuples, e->r % 24);
	if (kinds[e->kind].about == 'h')
		printf(" %u", 1 + e->a % HOSTS);
	if (kinds[e->kind].about == 'n')
		printf(" %u (%u)", e->a % 2, e->r % 4);
	if (e->kind == E_TICK)
		printf(" %u", tick_length(e->r));
	if (e->kind == E_RETURN)
		printf(" with %s", e->r % 2 ? "nothing" : "what it had");
	printf("\n");
}

static void print_script(uint64_t seed, struct event *events, size_t n)
{
	printf("seed %ju breaks after %zu events: %s\n", (uintmax_t)seed, n, broken);
	n = shrink(events, n);
	play(events, n);
	printf("  %s%s%s, %u slots, %u buckets, timeouts %u %u\n",
	       profile.tracking == EK_TRACKING_FULL ? "full" : "just-enough",
	       profile.udp ? " UDP" : "", profile.both ? ", both forward" : "", profile.slots,
	       profile.buckets, profile.established, profile.closing);
	for (size_t i = 0; i < n; i++)
		print_event(&events[i]);
	printf("  %s\n", broken);
}

static size_t run_seed(uint64_t seed, size_t n, bool show)
{
	static struct event events[EVENTS_MAX];
	size_t at;

	rolling = scramble(seed);
	make_profile();
	make_events(events, n);
	at = play(events, n);
	if (at && show)
		print_script(seed, events, at);
	return at;
}

static void print_figures(uint64_t seeds)
{
	static const char *const why[W_KINDS] = {"as promised", "before their news had",
						 "to who had not been told everything",
						 "otherwise"};

	printf("mirror: %ju seeds, %ju events, %ju packets, %ju connections; %ju deaths, %ju "
	       "returns, %ju handed over, %ju hops; moved:",
	       (uintmax_t)seeds, (uintmax_t)total.events, (uintmax_t)total.packets,
	       (uintmax_t)total.established, (uintmax_t)total.deaths, (uintmax_t)total.returns,
	       (uintmax_t)total.handed, (uintmax_t)total.hops);
	for (int w = 0; w < W_KINDS; w++)
		printf("%s %ju %s (%ju broke)", w ? "," : "", (uintmax_t)total.moved[w], why[w],
		       (uintmax_t)total.broken[w]);
	printf("; not promised: %ju handshakes straddled, %ju spoke to a backend believed down, "
	       "%ju idle too long, %ju silent after an end, %ju crashed; broken %d\n",
	       (uintmax_t)total.straddled, (uintmax_t)total.policy, (uintmax_t)total.idle,
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

static void test_takeover_breaks_nothing(void **state)
{
	(void)state;
	assert_true(run(0, SEEDS_DEFAULT, EVENTS_DEFAULT, true));
	assert_true(total.deaths > SEEDS_DEFAULT && total.moved[W_NONE] > 3 * total.deaths);
	assert_true(total.hops > 0 && total.handed > 0 && total.broken[W_NEWS] > 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_takeover_breaks_nothing)};

	if (argc > 1)
		return !run(argc > 2 ? strtoull(argv[2], NULL, 0) : 0, strtoull(argv[1], NULL, 0),
			    argc > 3 ? strtoul(argv[3], NULL, 0) : EVENTS_DEFAULT,
			    !getenv("QUIET"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
