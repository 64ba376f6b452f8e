/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sweep: walks the connection table in small steps, removes what expired, counts what lives,
 * and lets slots forget. One pass is: every bucket, then every service's ring. A slot forgets
 * only at the end of a pass that began after its last change, when the pass met no entry of it
 * that names another backend than its current one.
 *
 * Pure but for the memory it is given, which the data plane uses at the same time: entries are
 * changed by compare-and-swap, ring slots by plain stores (the controller is their only writer).
 */
#ifndef EVENKEEL_SWEEP_H
#define EVENKEEL_SWEEP_H

#include <stdbool.h>
#include <stdint.h>
#include "ring.h"

/*
 * Of several nodes one owns a service's ring: it alone lets entries expire and slots forget. A
 * follower keeps what it was told until it is told otherwise: an entry that it has not seen in use
 * itself for longer than the timeout stays just beyond it, so that its age never wraps and tells
 * whether this node served it. Whoever takes over first renews every age.
 */
enum ek_sweep_role { EK_SWEEP_OWN, EK_SWEEP_FOLLOW, EK_SWEEP_RENEW };

/* Ticks by which a follower's timeouts, and those of a node that renews, are longer. */
#define EK_SWEEP_PATIENCE 1024u

/* For the peers; without hooks everything takes effect at once. */
struct ek_sweep_hooks {
	void *arg;
	/* An entry of an owned service expired and was removed from this bucket. */
	void (*expired)(void *arg, uint32_t bucket, uint64_t entry);
	/* The slots marked in `pending` may forget, if the peers agree: ek_sweep_forget() then. */
	void (*forget)(void *arg, uint16_t id, const uint8_t *pending);
};

/* What the sweep knows of a service. The caller fills the first part. */
struct ek_sweep_service {
	struct ek_ring *ring; /* NULL: no such service */
	const struct ek_service *entry;
	/* Of a service of TCP and UDP: whose timeouts its UDP flows have. NULL: `entry`'s. */
	const struct ek_service *datagrams;
	enum ek_tracking tracking;
	bool over_quota;
	bool stateful; /* the owner tells when an entry has expired */
	bool mirrored; /* hooks.expired is told */
	bool asks;     /* hooks.forget is asked */
	/* The sweep's: */
	enum ek_sweep_role role;
	unsigned int renewing;	 /* passes until everything is renewed */
	uint8_t *busy, *changed; /* EK_RING_BITMAP each; changed since this pass began */
	uint8_t *pending;	 /* may forget once the peers agree, unless they change before */
	uint8_t *clear;		 /* by a whole pass since its last change no entry is in its way */
	uint32_t entries;	 /* of the pass under way */
};

struct ek_sweep_backend {
	uint32_t embryonic, established, closing; /* entries that name it */
	uint32_t slots;				  /* whose current it is */
	uint32_t origins;  /* remembering slots whose origin it is, without being their current */
	uint32_t last_hit; /* ticks since one of those was last hit; valid when origins is not 0 */
};

/* Of the last finished pass. */
struct ek_sweep_service_result {
	uint32_t entries;
	uint32_t remembering; /* slots */
	uint32_t oldest;      /* ticks since the longest unhit of them was hit */
};

struct ek_sweep {
	struct ek_flow_bucket *flows;
	uint32_t buckets;
	/* For services whose slot does not follow from the fingerprint (source-hash): */
	const struct ek_flow_keys *keys;
	const struct ek_hash_key *hash_key;
	struct ek_sweep_hooks hooks;
	const struct ek_backend *rows; /* one CPU's: whose service is each backend's */
	uint32_t limit;
	struct ek_sweep_service services[EK_SERVICES_MAX];
	/* Position: a bucket, then a service. */
	uint32_t bucket, service;
	uint64_t passes;
	uint8_t *named; /* [limit]: a peer named the row so lately that no whole pass can tell */
	struct ek_sweep_backend *counting, *backends; /* [limit]: this pass's and the last one's */
	struct ek_sweep_service_result results[EK_SERVICES_MAX];
	uint32_t used, expired, forgot; /* entries in use, of the last pass; totals since start */
	uint32_t counting_used;
};

/* 0 or -ENOMEM. */
int ek_sweep_init(struct ek_sweep *sweep, struct ek_flow_bucket *flows, uint32_t buckets,
		  const struct ek_backend *rows, uint32_t limit);
void ek_sweep_free(struct ek_sweep *sweep);

/*
 * Tells it of a service (or, with ring NULL, that there is none of this id any more). Call it
 * when the service's ring or entry moved; counts and bitmaps stay. 0 or -ENOMEM.
 */
int ek_sweep_service_set(struct ek_sweep *sweep, uint16_t id, struct ek_ring *ring,
			 const struct ek_service *entry, enum ek_tracking tracking);
/* The bitmap in which ek_ring_apply() marks what it changes. NULL when there is no such service. */
uint8_t *ek_sweep_changed(struct ek_sweep *sweep, uint16_t id);

/* Who the node is to the service; a follower that becomes the owner renews all ages first. */
void ek_sweep_role_set(struct ek_sweep *sweep, uint16_t id, enum ek_sweep_role role, uint32_t now);
/* A slot was written, or an entry of it came from a peer: only a later whole pass may judge it. */
void ek_sweep_touch(struct ek_sweep *sweep, uint16_t id, uint32_t slot);
/* A peer speaks of the row: only a whole pass from now on knows whether it is in use. */
void ek_sweep_name(struct ek_sweep *sweep, uint32_t row);
/* After ek_ring_apply(): what has changed is not to be forgotten by an answer to come. */
void ek_sweep_unask(struct ek_sweep *sweep, uint16_t id);
/* Has a whole pass since the slot's last change met no entry that names another than its current?
 */
bool ek_sweep_clear(const struct ek_sweep *sweep, uint16_t id, uint32_t slot);
/* Ticks after which an entry of the service, which lies at `at`, is gone. */
uint32_t ek_sweep_timeout(const struct ek_sweep *sweep, const struct ek_sweep_service *service,
			  const __u64 *at, __u64 entry);
/* Ticks after which a slot that was not hit has no flow any more. */
uint32_t ek_sweep_idle(const struct ek_sweep_service *service);
/* The slot of an entry that lies at `at` in the table. */
uint32_t ek_sweep_slot(const struct ek_sweep *sweep, uint16_t id, const __u64 *at, __u64 entry);
/* The peers' answer to hooks.forget: those still pending and not `refused` (or NULL) forget. */
void ek_sweep_forget(struct ek_sweep *sweep, uint16_t id, const uint8_t *refused);

/* Walks up to `buckets` buckets, or one ring. Returns true when that finished a pass. */
bool ek_sweep_step(struct ek_sweep *sweep, uint32_t now, uint32_t buckets);

#endif
