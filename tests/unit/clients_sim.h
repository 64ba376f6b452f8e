/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The clients of the simulated world: connections that open, speak and end, and the judgement of
 * where their packets went. What is promised to whom is at the top of test_property.c.
 */
#ifndef TESTS_CLIENTS_SIM_H
#define TESTS_CLIENTS_SIM_H

#include <stddef.h>
#include <stdio.h>
#include "world_sim.h"

#define TUPLES_MAX 512
#define SKEW	   1u /* ticks by which a packet's clock may lag */

enum stage { NONE, SYN_SENT, ESTABLISHED, HALF_CLOSED };

struct connection {
	__u64 hash;
	enum stage stage;
	bool idler;	 /* says nothing by itself */
	bool raced;	 /* another SYN with its addresses was on another CPU at the same time */
	bool closed;	 /* the connection before, if any, has ended as one should, at `end` */
	bool ended;	 /* its entry was closing at `end`, and nothing has revived it */
	uint8_t backend; /* who answered its SYN */
	uint32_t life;	 /* of that backend */
	uint32_t isn, sequence;
	uint32_t last;		   /* tick of its last packet */
	uint32_t end;		   /* of the last FIN or RST */
	uint32_t forged;	   /* SYNs and data with its addresses, so far */
	uint64_t changes, outages; /* sim's when its SYN was sent */
};

struct figures {
	uint64_t events, established, straddled, refused, policy, idle, ended, crashed;
};

static struct connection connections[TUPLES_MAX];
static uint32_t tuples;
static bool host[SIM_LIMIT]; /* is it really alive? */
static uint32_t life[SIM_LIMIT];
static struct figures total;
static char broken[160];

static uint32_t idle_timeout(void)
{
	return sim.service.timeout[EK_FLOW_ESTABLISHED];
}

/* A takeover makes a closing entry look as old as one that the next packet revives. */
static uint32_t closing_limit(void)
{
	return sim.service.timeout[EK_FLOW_CLOSING] - SKEW - EK_FLOW_REUSE_AFTER - 1;
}

static void broke(const struct connection *c, const char *what, uint32_t backend)
{
	if (!*broken)
		snprintf(broken, sizeof(broken),
			 "t=%u flow %td slot %u: %s: b%u was expected, got b%u",
			 sim.now - sim.profile.start, c - connections, ek_ring_index(c->hash), what,
			 c->backend, backend);
	connections[c - connections].stage = NONE;
}

static enum ek_packet_kind data_kind(void)
{
	return sim.profile.udp ? EK_PACKET_DATAGRAM : EK_PACKET_DATA;
}

/* Has it been silent for so long that nothing is promised, even if it has been lucky? */
static bool is_forgotten(const struct connection *c)
{
	if (sim.now - c->last > idle_timeout() - SKEW) {
		total.idle++;
		return true;
	}
	if (!c->ended || sim.now - c->end <= closing_limit())
		return false;
	total.ended++;
	return true;
}

/* Where did a packet of an established connection go? */
static void judge(struct connection *c, uint32_t backend)
{
	if (c->stage < ESTABLISHED)
		return;
	if (is_forgotten(c)) {
		c->stage = NONE;
	} else if (backend == c->backend && life[backend] == c->life) {
		c->last = sim.now;
	} else if (sim.up[c->backend]) {
		broke(c, "established", backend);
	} else if (backend != EK_BACKEND_NONE) { /* dropped, TCP would try again */
		total.policy++;
		c->stage = sim.profile.udp ? ESTABLISHED : NONE; /* UDP is re-selected for good */
		c->backend = backend;
		c->life = life[backend];
		c->last = sim.now;
	}
}

/* A FIN or RST with its addresses was seen, whoever sent it. */
static void note_end(struct connection *c)
{
	if (ek_flow_state(sim_live_entry(c->hash)) != EK_FLOW_CLOSING)
		return;
	c->ended = true;
	c->end = sim.now;
}

static void send_data(struct connection *c, uint32_t bytes, uint32_t lag)
{
	if (c->ended && sim.now - c->end > EK_FLOW_REUSE_AFTER + SKEW &&
	    sim.now - c->end <= closing_limit())
		c->ended = false;
	judge(c, sim_packet(c->hash, data_kind(), c->sequence, sim.now - lag));
	c->sequence += bytes;
}

/* The client's first packet after the handshake, which may straddle changes of the ring. */
static void complete(struct connection *c)
{
	uint32_t expected = c->backend;
	uint32_t backend = sim_packet(c->hash, EK_PACKET_DATA, c->sequence, sim.now);
	bool promised = !c->raced && sim.now - c->last < EK_FLOW_EMBRYO_GRACE &&
			c->outages == sim.outages && sim.up[expected];

	if (c->stage != SYN_SENT)
		return;
	if (promised && backend == expected) {
		c->stage = ESTABLISHED;
		c->last = sim.now;
		total.established++;
		return;
	}
	if (promised)
		broke(c, "handshake", backend);
	total.straddled++;
	c->stage = NONE;
}

static void open_datagram(struct connection *c)
{
	uint32_t backend = sim_packet(c->hash, EK_PACKET_DATAGRAM, 0, sim.now);

	if (!backend || !host[backend] || !sim_live_entry(c->hash)) {
		total.refused++; /* or not stored: nothing is promised */
		return;
	}
	c->stage = ESTABLISHED;
	c->backend = backend;
	c->life = life[backend];
	c->last = sim.now;
	total.established++;
}

/*
 * A SYN, stored or in no need of it, goes where new connections go, unless the connection before
 * did not end, or not two ticks ago.
 */
static void judge_syn(struct connection *c, uint32_t backend, uint64_t unstored)
{
	uint32_t slot = sim_owner()->ring.slot[ek_ring_index(c->hash)];

	if (c->closed && sim.now - c->end > EK_FLOW_REUSE_AFTER && !c->raced &&
	    unstored == sim.unstored && c->changes == sim.changes &&
	    backend != ek_slot_current(slot)) {
		c->backend = ek_slot_current(slot);
		broke(c, "a new connection", backend);
	}
}

static void begin(struct connection *c, uint32_t r)
{
	if (c->stage != NONE)
		c->closed = false;
	c->stage = NONE;
	c->ended = false;
	c->idler = r % 8 == 0;
	c->isn = sim_mix(r);
	c->sequence = c->isn + 1;
	c->changes = sim.changes;
	c->outages = sim.outages;
	c->last = sim.now;
}

static void open_connection(struct connection *c, uint32_t r, bool delayed)
{
	uint64_t unstored = sim.unstored;
	uint32_t backend, forged = c->forged;

	begin(c, r);
	if (sim.profile.udp) {
		open_datagram(c);
		return;
	}
	backend = sim_packet(c->hash, EK_PACKET_SYN, c->isn, sim.now);
	c->raced = c->forged != forged;
	if (!backend || !host[backend]) {
		total.refused++;
		return;
	}
	judge_syn(c, backend, unstored);
	c->closed = false;
	c->backend = backend;
	c->life = life[backend];
	c->stage = SYN_SENT;
	if (!delayed)
		complete(c);
}

static void end_connection(struct connection *c, uint32_t r)
{
	__u64 live;

	if (sim.profile.udp || c->stage < ESTABLISHED)
		return;
	judge(c, sim_packet(c->hash, EK_PACKET_END, c->sequence++, sim.now));
	if (c->stage < ESTABLISHED)
		return;
	note_end(c);
	if (r % 3 == 1) {
		c->stage = HALF_CLOSED;
		return;
	}
	live = sim_live_entry(c->hash);
	c->closed = ek_flow_state(live) == EK_FLOW_CLOSING ||
		    (!live && sim.profile.tracking != EK_TRACKING_FULL);
	if (r % 3 == 0) /* a FIN: the server's is acknowledged yet */
		judge(c, sim_packet(c->hash, EK_PACKET_DATA, c->sequence, sim.now));
	c->stage = NONE;
	c->end = sim.now;
}

#endif
