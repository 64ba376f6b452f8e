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

/* What the sweep knows of a service. The caller fills the first part. */
struct ek_sweep_service {
	struct ek_ring *ring; /* NULL: no such service */
	const struct ek_service *entry;
	enum ek_tracking tracking;
	bool over_quota;
	/* The sweep's: */
	uint8_t *busy, *changed; /* EK_RING_BITMAP each; changed since this pass began */
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
	const struct ek_backend *rows; /* one CPU's: whose service is each backend's */
	uint32_t limit;
	struct ek_sweep_service services[EK_SERVICES_MAX];
	/* Position: a bucket, then a service. */
	uint32_t bucket, service;
	uint64_t passes;
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

/* Walks up to `buckets` buckets, or one ring. Returns true when that finished a pass. */
bool ek_sweep_step(struct ek_sweep *sweep, uint32_t now, uint32_t buckets);

#endif
