/* SPDX-License-Identifier: GPL-2.0-only */
/* See sweep.h. Called by controller.c on a timer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "sweep.h"

int ek_sweep_init(struct ek_sweep *sweep, struct ek_flow_bucket *flows, uint32_t buckets,
		  const struct ek_backend *rows, uint32_t limit)
{
	memset(sweep, 0, sizeof(*sweep));
	sweep->flows = flows;
	sweep->buckets = buckets;
	sweep->rows = rows;
	sweep->limit = limit;
	sweep->counting = calloc(limit, sizeof(*sweep->counting));
	sweep->backends = calloc(limit, sizeof(*sweep->backends));
	if (sweep->counting && sweep->backends)
		return 0;
	ek_sweep_free(sweep);
	return -ENOMEM;
}

static void service_free(struct ek_sweep_service *s)
{
	free(s->busy);
	free(s->changed);
	memset(s, 0, sizeof(*s));
}

void ek_sweep_free(struct ek_sweep *sweep)
{
	for (size_t i = 0; i < EK_SERVICES_MAX; i++)
		service_free(&sweep->services[i]);
	free(sweep->counting);
	free(sweep->backends);
	sweep->counting = sweep->backends = NULL;
}

/* A service that appears in mid-pass has had no whole scan: all its slots count as changed. */
int ek_sweep_service_set(struct ek_sweep *sweep, uint16_t id, struct ek_ring *ring,
			 const struct ek_service *entry, enum ek_tracking tracking)
{
	struct ek_sweep_service *s = &sweep->services[id];

	if (!ring) {
		service_free(s);
		memset(&sweep->results[id], 0, sizeof(sweep->results[id]));
		return 0;
	}
	if (!s->busy) {
		s->busy = calloc(1, EK_RING_BITMAP);
		s->changed = malloc(EK_RING_BITMAP);
		if (!s->busy || !s->changed) {
			service_free(s);
			return -ENOMEM;
		}
		memset(s->changed, 0xff, EK_RING_BITMAP);
	}
	s->ring = ring;
	s->entry = entry;
	s->tracking = tracking;
	return 0;
}

uint8_t *ek_sweep_changed(struct ek_sweep *sweep, uint16_t id)
{
	return sweep->services[id].changed;
}

static struct ek_sweep_service *service_of(struct ek_sweep *sweep, uint32_t backend)
{
	uint16_t id;

	if (backend == EK_BACKEND_NONE || backend >= sweep->limit)
		return NULL;
	id = sweep->rows[backend].service;
	return id < EK_SERVICES_MAX && sweep->services[id].ring ? &sweep->services[id] : NULL;
}

/*
 * The slot of an entry follows from its fingerprint, but with source-hash from the client, which
 * the cold twin knows. A twin that is being written may name another slot: the pass after this
 * one will know, and a slot that changed is not let go before that.
 */
static uint32_t slot_of(const struct ek_sweep *sweep, const struct ek_sweep_service *s,
			const __u64 *at, __u64 entry)
{
	size_t i = at - sweep->flows->entry;

	if (!(s->entry->flags & EK_SERVICE_F_SOURCE_HASH))
		return ek_ring_index(ek_flow_hash_high(entry));
	return ek_ring_index(
		ek_hash_ring(sweep->hash_key, s->entry,
			     &sweep->keys[i / EK_FLOW_WAYS].key[i % EK_FLOW_WAYS].source, 0));
}

static void count_entry(struct ek_sweep *sweep, struct ek_sweep_service *s, const __u64 *at,
			__u64 entry)
{
	struct ek_sweep_backend *b = &sweep->counting[ek_flow_backend(entry)];
	uint32_t slot = slot_of(sweep, s, at, entry);

	switch (ek_flow_state(entry)) {
	case EK_FLOW_EMBRYONIC:
		b->embryonic++;
		break;
	case EK_FLOW_CLOSING:
		b->closing++;
		break;
	default:
		b->established++;
	}
	s->entries++;
	sweep->counting_used++;
	if (ek_flow_backend(entry) != ek_slot_current(s->ring->slot[slot]))
		ek_bit_set(s->busy, slot);
}

/* An entry whose service is gone has nobody to serve it. */
static void visit_entry(struct ek_sweep *sweep, __u64 *at, uint32_t now)
{
	__u64 entry = ek_flow_read(at);
	struct ek_sweep_service *s;

	if (!entry)
		return;
	s = service_of(sweep, ek_flow_backend(entry));
	if (s && ek_flow_age(entry, now) <= s->entry->timeout[ek_flow_state(entry)])
		count_entry(sweep, s, at, entry);
	else if (ek_flow_replace(at, entry, 0))
		sweep->expired++;
	else if (s) /* it was used at this very moment */
		count_entry(sweep, s, at, entry);
}

static void count_slot(struct ek_sweep *sweep, struct ek_sweep_service_result *result,
		       uint32_t slot, uint32_t unhit, enum ek_tracking tracking)
{
	struct ek_sweep_backend *origin = &sweep->counting[ek_slot_origin(slot)];

	sweep->counting[ek_slot_current(slot)].slots++;
	if (!ek_slot_remembers(slot, tracking))
		return;
	result->remembering++;
	if (unhit > result->oldest)
		result->oldest = unhit;
	if (ek_slot_origin(slot) == ek_slot_current(slot))
		return;
	if (!origin->origins++ || unhit < origin->last_hit)
		origin->last_hit = unhit;
}

static void visit_ring(struct ek_sweep *sweep, uint16_t id, uint32_t now)
{
	struct ek_sweep_service *s = &sweep->services[id];
	struct ek_sweep_service_result result = {.entries = s->entries};
	uint32_t idle = s->entry->timeout[EK_FLOW_ESTABLISHED];

	for (uint32_t i = 0; i < EK_RING_SIZE; i++) {
		uint32_t slot = s->ring->slot[i];
		uint16_t hit = __atomic_load_n(&s->ring->hit[i], __ATOMIC_RELAXED);

		if (ek_slot_remembers(slot, s->tracking) && !ek_bit(s->changed, i) &&
		    ek_slot_may_forget(slot, hit, now, idle, ek_bit(s->busy, i))) {
			slot = ek_slot_forget(slot, s->tracking);
			__atomic_store_n(&s->ring->slot[i], slot, __ATOMIC_RELAXED);
			sweep->forgot++;
		}
		count_slot(sweep, &result, slot, ek_tick_age(hit, now), s->tracking);
	}
	sweep->results[id] = result;
	s->entries = 0;
	memset(s->busy, 0, EK_RING_BITMAP);
}

static void finish_pass(struct ek_sweep *sweep)
{
	struct ek_sweep_backend *last = sweep->backends;

	sweep->backends = sweep->counting;
	sweep->counting = last;
	memset(last, 0, sweep->limit * sizeof(*last));
	sweep->used = sweep->counting_used;
	sweep->counting_used = 0;
	sweep->bucket = sweep->service = 0;
	sweep->passes++;
	for (size_t i = 0; i < EK_SERVICES_MAX; i++)
		if (sweep->services[i].changed)
			memset(sweep->services[i].changed, 0, EK_RING_BITMAP);
}

bool ek_sweep_step(struct ek_sweep *sweep, uint32_t now, uint32_t buckets)
{
	for (; buckets && sweep->bucket < sweep->buckets; buckets--, sweep->bucket++)
		for (int way = 0; way < EK_FLOW_WAYS; way++)
			visit_entry(sweep, &sweep->flows[sweep->bucket].entry[way], now);
	if (sweep->bucket < sweep->buckets)
		return false;
	while (sweep->service < EK_SERVICES_MAX && !sweep->services[sweep->service].ring)
		sweep->service++;
	if (sweep->service < EK_SERVICES_MAX)
		visit_ring(sweep, sweep->service++, now);
	if (sweep->service < EK_SERVICES_MAX)
		return false;
	finish_pass(sweep);
	return true;
}
