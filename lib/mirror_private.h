/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of mirror.h share: mirror.c talks, mirror_bulk.c sends everything, mirror_forget.c
 * asks before slots forget.
 */
#ifndef EVENKEEL_MIRROR_PRIVATE_H
#define EVENKEEL_MIRROR_PRIVATE_H

#include "mirror.h"
#include "ring.h"

/* Bytes of one message, about: well below what the channel carries. */
#define EK_MIRROR_BATCH (512u << 10)

/* Everything on its way to a peer: rings, then the table, then END. */
struct ek_mirror_bulk {
	bool rings, table; /* under way */
	uint32_t service, bucket;
	uint64_t end; /* the number to END with; 0 = nobody asked */
};

/* Numbers that are to be said to a peer, as soon as there is room; 0 = none. */
struct ek_mirror_due {
	uint64_t want, ack, mark;
};

struct ek_mirror_peer {
	bool up, synced, behind;
	bool stale;	/* rows have changed since they were introduced */
	bool renamed;	/* … since the peer's were resolved */
	uint32_t alone; /* tick at which the connection was last lost */
	uint64_t wanted;
	uint64_t marked, acked; /* numbers */
	uint64_t marked_us;
	struct ek_wire_backend *told;  /* [limit]: own rows as the peer knows them */
	struct ek_wire_backend *names; /* [EK_BACKENDS_MAX + 1]: the peer's rows … */
	uint16_t *rows;		       /* … and ours for them */
	struct ek_mirror_bulk bulk;
	struct ek_mirror_due due;
	/* A whole table from the peer: a bit for each way that it named, a byte for each bucket. */
	uint8_t *named;
	bool pruning;		      /* the rest is being removed … */
	uint32_t prune;		      /* … from this bucket on … */
	bool pruned[EK_SERVICES_MAX]; /* … of the services that the peer owns */
	struct ek_mirror_counters counters;
};

/* Slots of the last FORGET: what the peers were asked about, and what must stay. */
struct ek_mirror_ballot {
	uint8_t asked[EK_RING_BITMAP], refused[EK_RING_BITMAP];
};

struct ek_mirror_service {
	uint32_t *shadow; /* what the peers were told; NULL: this node does not own the ring */
	uint32_t whole;	  /* peers, by bit, to which the ring is to be sent whole */
	bool stateful;
	bool moved;			 /* the ring may differ from the shadow */
	bool seen;			 /* some of its slots look up what the peers' do not */
	uint32_t question;		 /* of the last FORGET */
	uint32_t asking;		 /* peers whose answer is awaited, by bit */
	int patience;			 /* passes for which it may be */
	struct ek_mirror_ballot *ballot; /* NULL until the first */
};

struct ek_mirror {
	struct ek_mirror_options options;
	struct ek_mirror_peer peers[EK_PEERS_MAX];
	struct ek_mirror_service services[EK_SERVICES_MAX];
	uint64_t mark;
	uint32_t tick;
	struct ek_wire_out entries, drops; /* to be sent with the next flush */
	size_t n_entries;
};

int ek_mirror_send(struct ek_mirror *m, size_t peer, uint8_t type, struct ek_wire_out *out);
void ek_mirror_say_numbers(struct ek_mirror *m, size_t peer);
struct ek_wire_service ek_mirror_name(const struct ek_mirror *m, uint16_t id);
int ek_mirror_find(const struct ek_mirror *m, const struct ek_wire_service *name);
void ek_mirror_queue(struct ek_mirror *m, const struct ek_flow_image *image);
int ek_mirror_introduce(struct ek_mirror *m, size_t peer);

/* Tells the peers what differs from the shadow, and makes it the shadow. Returns how much. */
size_t ek_mirror_tell_ring(struct ek_mirror *m, uint16_t id, const uint32_t *words);
/* Sends the entries and removals that have gathered; after looking for more. */
void ek_mirror_flush(struct ek_mirror *m);
void ek_mirror_tell_news(struct ek_mirror *m);

/* mirror_forget.c */
void ek_mirror_on_forget(void *arg, uint16_t id, const uint8_t *pending);
void ek_mirror_answered(struct ek_mirror *m, uint16_t id, size_t peer);
bool ek_mirror_receive_forget(struct ek_mirror *m, size_t peer, struct ek_wire_in *in,
			      uint32_t now);
bool ek_mirror_receive_forgotten(struct ek_mirror *m, size_t peer, struct ek_wire_in *in);

/* mirror_bulk.c */
uint32_t ek_mirror_unheard(const struct ek_mirror *m, size_t peer);
void ek_mirror_table_begin(struct ek_mirror *m, size_t peer);
void ek_mirror_table_named(struct ek_mirror *m, size_t peer, uint32_t bucket, uint64_t entry);
bool ek_mirror_table_end(struct ek_mirror *m, size_t peer, struct ek_wire_in *in);
void ek_mirror_table_stop(struct ek_mirror *m, size_t peer);
void ek_mirror_prune_step(struct ek_mirror *m, size_t peer);
void ek_mirror_send_ring(struct ek_mirror *m, size_t peer, uint16_t id);
void ek_mirror_bulk_begin(struct ek_mirror *m, size_t peer, uint64_t end);
void ek_mirror_bulk_ring(struct ek_mirror *m, size_t peer, uint16_t id);
void ek_mirror_bulk_rings(struct ek_mirror *m, size_t peer);
void ek_mirror_bulk_step(struct ek_mirror *m, size_t peer);

#endif
