/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IP fragments (RFC 791, RFC 8200 section 4.5). The first one has the ports and goes the way of any
 * packet; where it went is remembered for two seconds, so that the later ones follow it. Nothing is
 * put together here, and nothing is held back: a later fragment that comes first is dropped by
 * name, except by services that do not need the port.
 *
 * A word of `fragments` says all: the time in its bits 28 to 39, the service's place in its table
 * below, the backend below that, and above a part of the hash that has not already given the place.
 * What is overwritten by another datagram's, of 8192 at a time, is forgotten.
 */
#ifndef EVENKEEL_BPF_FRAGMENT_H
#define EVENKEEL_BPF_FRAGMENT_H

#include "wildcard.h"

#define FRAGMENT_UNIT 28 /* of time: 2^28 ns, about a quarter of a second */
#define FRAGMENT_LIFE 7	 /* of them, and the rest of the one that it began in */
#define FRAGMENT_AGES 0xfff

_Static_assert(EK_BACKENDS_MAX < 1 << 15 && EK_SERVICE_SLOTS == 1 << 13, "fields of the word");

/* What a datagram is known by. Never 0. */
static __always_inline __u64 fragment_key(const struct packet *p, __u32 id)
{
	return ek_hash_finish(&hash_key, service_hash(&p->destination, id, p->family) +
						 client_hash(p, p->family)) |
	       1;
}

static __always_inline __u64 *fragment_at(__u64 key)
{
	__u32 index = key >> 1 & (FRAGMENTS - 1);

	return bpf_map_lookup_elem(&fragments, &index);
}

static __always_inline __u32 fragment_now(void)
{
	return bpf_ktime_get_ns() >> FRAGMENT_UNIT & FRAGMENT_AGES;
}

/* Of a first fragment that is on its way. */
verified_alone int fragment_remember(struct xdp_md *ctx)
{
	struct work *w = work_here();
	__u64 *at;

	(void)ctx;
	if (!w || !w->fragment || w->offset)
		return 0;
	at = fragment_at(w->fragment);
	if (at)
		*(volatile __u64 *)at = w->fragment >> 40 << 40 | (__u64)fragment_now() << 28 |
					(__u64)(w->slot & (EK_SERVICE_SLOTS - 1)) << 15 |
					(w->backend & EK_BACKENDS_MAX);
	return 0;
}

/* Whether the backend still is the service's: either may have gone since, and come as another. */
static __always_inline bool fragment_fits(const struct work *w)
{
	__u32 zero = 0;
	struct ek_service_table *table = bpf_map_lookup_elem(&services, &zero);
	struct ek_backend *backend = backend_at(w->backend);

	return table && backend &&
	       backend->service == table->slot[w->slot & (EK_SERVICE_SLOTS - 1)].id;
}

static __always_inline bool fragment_recall(struct work *w)
{
	const __u64 *at = fragment_at(w->fragment);
	__u64 word;

	if (!at)
		return false;
	word = *(const volatile __u64 *)at;
	if ((word ^ w->fragment) >> 40 ||
	    ((fragment_now() - (word >> 28)) & FRAGMENT_AGES) > FRAGMENT_LIFE)
		return false;
	w->slot = word >> 15 & (EK_SERVICE_SLOTS - 1);
	w->backend = word & EK_BACKENDS_MAX;
	w->hash = w->fragment;
	if (w->backend && fragment_fits(w))
		return true;
	w->backend = EK_BACKEND_NONE;
	return false;
}

/*
 * With source-hash the client alone gives the slot; only what its connections are remembered under
 * needs the port.
 */
static __always_inline bool fragment_needs_port(const struct work *w)
{
	struct ek_service_table *table;
	struct ek_service *service;
	__u32 zero = 0, index = ek_ring_index(w->ring);
	struct ek_ring *ring;

	table = bpf_map_lookup_elem(&services, &zero);
	if (!table)
		return true;
	service = &table->slot[w->slot & (EK_SERVICE_SLOTS - 1)];
	if (service->flags & EK_SERVICE_F_PORTLESS)
		return false;
	ring = ring_of(service);
	EK_OPAQUE(index); /* Linux 6.1 does not know that it has an end, as clang does */
	return !(service->flags & EK_SERVICE_F_SOURCE_HASH) || !ring || index >= EK_RING_SIZE ||
	       ring->slot[index] & EK_SLOT_LOOKUP;
}

/* The way of a later fragment. 0: it is found, and if w->backend is 0, yet to be selected. */
verified_alone int fragment_follow(struct xdp_md *ctx)
{
	struct work *w = work_here();

	if (!w || !is_vip(ctx))
		return XDP_PASS;
	if (fragment_recall(w))
		return 0;
	return find_flow(ctx) || fragment_needs_port(w) ? -EK_DROP_FRAGMENT : 0;
}

#endif
