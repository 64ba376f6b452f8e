/* SPDX-License-Identifier: GPL-2.0-only */
/* See sweep.h. Called by controller.c on a timer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
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
	sweep->named = calloc(limit, sizeof(*sweep->named));
	if (sweep->counting && sweep->backends && sweep->named)
		return 0;
	ek_sweep_free(sweep);
	return -ENOMEM;
}

static void service_free(struct ek_sweep_service *s)
{
	free(s->busy);
	free(s->changed);
	free(s->pending);
	free(s->clear);
	memset(s, 0, sizeof(*s));
}

void ek_sweep_free(struct ek_sweep *sweep)
{
	for (size_t i = 0; i < EK_SERVICES_MAX; i++)
		service_free(&sweep->services[i]);
	free(sweep->counting);
	free(sweep->backends);
	free(sweep->named);
	sweep->counting = sweep->backends = NULL;
	sweep->named = NULL;
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
		s->pending = calloc(1, EK_RING_BITMAP);
		s->clear = calloc(1, EK_RING_BITMAP);
		if (!s->busy || !s->changed || !s->pending || !s->clear) {
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

static const struct ek_flow_key *twin_at(const struct ek_sweep *sweep, const __u64 *at)
{
	size_t i = at - sweep->flows->entry;

	return &sweep->keys[i / EK_FLOW_WAYS].key[i % EK_FLOW_WAYS];
}

/*
 * The slot of an entry follows from its fingerprint, but with source-hash from the client, which
 * the cold twin knows. A twin that is being written may name another slot: the pass after this
 * one will know, and a slot that changed is not let go before that.
 */
uint32_t ek_sweep_slot(const struct ek_sweep *sweep, uint16_t id, const __u64 *at, __u64 entry)
{
	const struct ek_sweep_service *s = &sweep->services[id];

	if (!(s->entry->flags & EK_SERVICE_F_SOURCE_HASH))
		return ek_ring_index(ek_flow_hash_high(entry));
	return ek_ring_index(
		ek_hash_ring(sweep->hash_key, s->entry, &twin_at(sweep, at)->source, 0));
}

/* A twin that is being written belongs to an entry too young for either. */
uint32_t ek_sweep_timeout(const struct ek_sweep *sweep, const struct ek_sweep_service *s,
			  const __u64 *at, __u64 entry)
{
	const struct ek_service *of = s->entry;

	if (s->datagrams && twin_at(sweep, at)->protocol == IPPROTO_UDP)
		of = s->datagrams;
	return of->timeout[ek_flow_state(entry)];
}

uint32_t ek_sweep_idle(const struct ek_sweep_service *s)
{
	uint32_t idle = s->entry->timeout[EK_FLOW_ESTABLISHED];
	uint32_t other = s->datagrams ? s->datagrams->timeout[EK_FLOW_ESTABLISHED] : 0;

	return idle > other ? idle : other;
}

static void count_entry(struct ek_sweep *sweep, struct ek_sweep_service *s, const __u64 *at,
			__u64 entry)
{
	struct ek_sweep_backend *b = &sweep->counting[ek_flow_backend(entry)];
	uint32_t slot = ek_sweep_slot(sweep, s - sweep->services, at, entry);

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

static void expire(struct ek_sweep *sweep, struct ek_sweep_service *s, __u64 *at, __u64 entry)
{
	if (!ek_flow_replace(at, entry, 0)) { /* it was used at this very moment */
		if (s)
			count_entry(sweep, s, at, entry);
		return;
	}
	sweep->expired++;
	if (s && s->mirrored && ek_flow_state(entry) != EK_FLOW_EMBRYONIC)
		sweep->hooks.expired(sweep->hooks.arg, (at - sweep->flows->entry) / EK_FLOW_WAYS,
				     entry);
}

static __u64 aged(__u64 entry, uint32_t now, uint32_t age)
{
	return (entry & ~(__u64)EK_TICK_MASK) | ((now - age) & EK_TICK_MASK);
}

/* Whether or not this loses to a packet, the entry is as young as it should be. */
static void renew_entry(struct ek_sweep *sweep, struct ek_sweep_service *s, __u64 *at, __u64 entry,
			uint32_t now)
{
	/* A SYN that reuses the port of a closing one finds it closing for long enough. */
	uint32_t age = ek_flow_state(entry) == EK_FLOW_CLOSING ? EK_FLOW_REUSE_AFTER + 1 : 0;

	ek_flow_replace(at, entry, aged(entry, now, age));
	count_entry(sweep, s, at, entry);
}

/* A follower's: just beyond its timeout for as long as it lives. */
static void keep_entry(struct ek_sweep *sweep, struct ek_sweep_service *s, __u64 *at, __u64 entry,
		       uint32_t now)
{
	uint32_t timeout = ek_sweep_timeout(sweep, s, at, entry);

	if (ek_flow_age(entry, now) > timeout + EK_SWEEP_PATIENCE / 2)
		ek_flow_replace(at, entry, aged(entry, now, timeout + 1));
	count_entry(sweep, s, at, entry);
}

/* An entry whose service is gone has nobody to serve it. */
static void visit_entry(struct ek_sweep *sweep, __u64 *at, uint32_t now)
{
	__u64 entry = ek_flow_read(at);
	struct ek_sweep_service *s;
	bool expired;

	if (!entry)
		return;
	s = service_of(sweep, ek_flow_backend(entry));
	expired = !s || ek_flow_age(entry, now) > ek_sweep_timeout(sweep, s, at, entry);
	if (s && s->role != EK_SWEEP_OWN && s->stateful &&
	    ek_flow_state(entry) != EK_FLOW_EMBRYONIC) {
		if (s->role == EK_SWEEP_RENEW)
			renew_entry(sweep, s, at, entry, now);
		else
			keep_entry(sweep, s, at, entry, now);
	} else if (expired) {
		expire(sweep, s, at, entry);
	} else {
		count_entry(sweep, s, at, entry);
	}
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

static void forget_slot(struct ek_sweep *sweep, struct ek_sweep_service *s, uint32_t i)
{
	uint32_t slot = ek_slot_forget(s->ring->slot[i], s->tracking);

	__atomic_store_n(&s->ring->slot[i], slot, __ATOMIC_RELAXED);
	sweep->forgot++;
}

/* The hit of a slot that somebody else will let go of, as keep_entry() for an entry. */
static void keep_hit(struct ek_sweep_service *s, uint32_t i, uint16_t hit, uint32_t now,
		     uint32_t idle)
{
	if (s->role == EK_SWEEP_FOLLOW && ek_tick_age(hit, now) > idle + EK_SWEEP_PATIENCE / 2)
		__atomic_store_n(&s->ring->hit[i], (now - idle - 1) & EK_TICK_MASK,
				 __ATOMIC_RELAXED);
}

static void visit_ring(struct ek_sweep *sweep, uint16_t id, uint32_t now)
{
	struct ek_sweep_service *s = &sweep->services[id];
	struct ek_sweep_service_result result = {.entries = s->entries};
	uint32_t idle = ek_sweep_idle(s), pending = 0;

	for (uint32_t i = 0; i < EK_RING_SIZE; i++) {
		uint32_t slot = s->ring->slot[i];
		uint16_t hit = __atomic_load_n(&s->ring->hit[i], __ATOMIC_RELAXED);

		if (s->role == EK_SWEEP_OWN && ek_slot_remembers(slot, s->tracking) &&
		    !ek_bit(s->changed, i) &&
		    ek_slot_may_forget(slot, hit, now, idle, ek_bit(s->busy, i))) {
			if (s->asks)
				ek_bit_set(s->pending, i);
			else
				forget_slot(sweep, s, i);
			pending++;
		}
		keep_hit(s, i, hit, now, idle);
		count_slot(sweep, &result, s->ring->slot[i], ek_tick_age(hit, now), s->tracking);
	}
	for (size_t i = 0; i < EK_RING_BITMAP; i++)
		s->clear[i] = ~(s->busy[i] | s->changed[i]);
	sweep->results[id] = result;
	s->entries = 0;
	memset(s->busy, 0, EK_RING_BITMAP);
	if (s->asks && pending)
		sweep->hooks.forget(sweep->hooks.arg, id, s->pending);
}

void ek_sweep_forget(struct ek_sweep *sweep, uint16_t id, const uint8_t *refused)
{
	struct ek_sweep_service *s = &sweep->services[id];

	if (!s->ring)
		return;
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		if (ek_bit(s->pending, i) && !(refused && ek_bit(refused, i)))
			forget_slot(sweep, s, i);
	memset(s->pending, 0, EK_RING_BITMAP);
}

void ek_sweep_name(struct ek_sweep *sweep, uint32_t row)
{
	if (row < sweep->limit)
		sweep->named[row] = 2; /* the pass under way, and a whole one */
}

void ek_sweep_unask(struct ek_sweep *sweep, uint16_t id)
{
	struct ek_sweep_service *s = &sweep->services[id];

	for (size_t i = 0; s->ring && i < EK_RING_BITMAP; i++)
		s->pending[i] &= ~s->changed[i];
}

void ek_sweep_touch(struct ek_sweep *sweep, uint16_t id, uint32_t slot)
{
	struct ek_sweep_service *s = &sweep->services[id];

	if (!s->ring)
		return;
	ek_bit_set(s->changed, slot);
	s->pending[slot / 8] &= ~(1u << slot % 8);
	s->clear[slot / 8] &= ~(1u << slot % 8);
}

bool ek_sweep_clear(const struct ek_sweep *sweep, uint16_t id, uint32_t slot)
{
	return sweep->services[id].ring && ek_bit(sweep->services[id].clear, slot);
}

void ek_sweep_role_set(struct ek_sweep *sweep, uint16_t id, enum ek_sweep_role role, uint32_t now)
{
	struct ek_sweep_service *s = &sweep->services[id];

	if (!s->ring || s->role == role || (s->role == EK_SWEEP_RENEW && role == EK_SWEEP_OWN))
		return;
	s->role = s->role == EK_SWEEP_FOLLOW ? EK_SWEEP_RENEW : role;
	memset(s->pending, 0, EK_RING_BITMAP);
	memset(s->clear, 0, EK_RING_BITMAP);
	if (s->role != EK_SWEEP_RENEW)
		return;
	s->renewing = 2; /* what is left of this pass, and a whole one */
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		__atomic_store_n(&s->ring->hit[i], now & EK_TICK_MASK, __ATOMIC_RELAXED);
	memset(s->changed, 0xff, EK_RING_BITMAP);
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
	for (uint32_t row = 0; row < sweep->limit; row++)
		sweep->named[row] -= sweep->named[row] > 0;
	for (size_t i = 0; i < EK_SERVICES_MAX; i++) {
		struct ek_sweep_service *s = &sweep->services[i];

		if (!s->changed)
			continue;
		memset(s->changed, 0, EK_RING_BITMAP);
		if (s->role == EK_SWEEP_RENEW && !--s->renewing)
			s->role = EK_SWEEP_OWN;
	}
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
