/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Continuity across nodes: keeps the rings and the connection entries of peers alike.
 *
 * Of the nodes one owns a service's ring (the primary of its VIP). What the owner does to the ring
 * goes to the peers first, in one ordered stream with the entries, and takes effect here when they
 * have acknowledged it; the controller waits, with a bound (ek_mirror_announce() and
 * ek_mirror_acked()). A `shadow` of each owned ring is what the peers were told: only differences
 * to it are sent. Every node tells the others what its own data plane made of entries (the log of
 * bpf/select.h, read every few milliseconds); the owner tells what expired, and asks before a slot
 * forgets. A peer that asks (WANT) gets everything: backends, rings, entries, then END.
 *
 * A peer that takes too little is `behind`: entries are not sent to it any more but counted, and
 * once its backlog has shrunk it gets the whole table. Forwarding never waits for a peer.
 *
 * Backends are named by the sender's row numbers, which a dictionary introduces (BACKENDS).
 * Called by controller.c and ha*.c; sends through a function, so that two of them can be joined
 * without a network.
 */
#ifndef EVENKEEL_MIRROR_H
#define EVENKEEL_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "plan.h"
#include "wire.h"

struct event_base;
struct ek_mirror;

struct ek_mirror_options {
	struct ek_datapath *datapath;
	const struct ek_state *state; /* ids and rows, as the controller keeps them */
	size_t n_peers;
	/* 0, -EAGAIN (too much is waiting) or another -errno. */
	int (*send)(void *arg, size_t peer, uint8_t type, const void *body, size_t length);
	size_t (*backlog)(void *arg, size_t peer); /* bytes */
	/* A peer's backend that no row here stands for: its row, after making one, or 0. */
	uint16_t (*adopt)(void *arg, uint16_t service, const struct ek_ip *address);
	/* A peer acknowledged, or everything that it was asked for has come. */
	void (*progress)(void *arg, size_t peer);
	uint64_t (*now_us)(void); /* CLOCK_MONOTONIC */
	void *arg;
};

/* Totals since the start, per peer. */
struct ek_mirror_counters {
	uint64_t entries_sent, entries_received;
	uint64_t slots_sent, slots_received;
	uint64_t unsent;   /* entries that found the peer behind; sent again with the table */
	uint64_t tables;   /* whole tables sent */
	uint64_t unplaced; /* entries of the peer for which there was no room here */
	uint64_t unknown;  /* slots or entries of a service or backend that is not here */
	uint64_t missed;   /* news overwritten before it was read */
	uint64_t lag_us;   /* between sending a mark and its acknowledgement, the last one's */
	uint64_t lag_max_us;
};

struct ek_mirror *ek_mirror_new(const struct ek_mirror_options *options);
void ek_mirror_free(struct ek_mirror *m);

/* The peer can be sent to, and asked for everything; or not any more. */
void ek_mirror_peer_up(struct ek_mirror *m, size_t peer);
void ek_mirror_peer_down(struct ek_mirror *m, size_t peer);
/* Asks the peer for everything it has. */
void ek_mirror_want(struct ek_mirror *m, size_t peer);
/* Has what was last asked for come whole? */
bool ek_mirror_synced(const struct ek_mirror *m, size_t peer);

/* A message of a binary type. False if it makes no sense. */
bool ek_mirror_message(struct ek_mirror *m, size_t peer, uint8_t type, const void *body,
		       size_t length);

/*
 * This node owns the service's ring, or follows another's; `stateful`: entries are mirrored. To be
 * said again after every plan that was applied, for every service.
 */
void ek_mirror_service(struct ek_mirror *m, uint16_t id, bool own, bool stateful);
/*
 * After a plan was applied: new rows are told, rings of services that left forgotten. `whole`: none
 * of it waits for the peers, so what differs from what they were told is told now.
 */
void ek_mirror_applied(struct ek_mirror *m, bool whole);

/*
 * Tells the peers what the plan will make of rings that this node owns. Returns a number for
 * ek_mirror_acked(); 0 when there is nobody to wait for.
 */
uint64_t ek_mirror_announce(struct ek_mirror *m, const struct ek_plan *plan);
/* Have all peers that are up acknowledged it? */
bool ek_mirror_acked(const struct ek_mirror *m, uint64_t number);
/* Since when the longest unanswered mark waits, in microseconds ago. */
uint64_t ek_mirror_silence_us(const struct ek_mirror *m);
/* Would anybody have to be told of changes? */
bool ek_mirror_has_peers(const struct ek_mirror *m);

/* Reads the log of the data plane, sends what is due; to be called every few milliseconds. */
void ek_mirror_pump(struct ek_mirror *m);

/* Is there something that the peer could not be told yet, a whole table or ring for instance? */
bool ek_mirror_behind(const struct ek_mirror *m, size_t peer);

const struct ek_mirror_counters *ek_mirror_counters(const struct ek_mirror *m, size_t peer);

#endif
