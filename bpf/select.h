/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stage 3: which backend of the service takes the packet. A slot that remembers nothing answers
 * by itself; only one that says LOOKUP costs a look at the connection table, by the rules of
 * evenkeel/select.h. That path is inline: as a subprogram it costs 2 to 20 ns.
 */
#ifndef EVENKEEL_BPF_SELECT_H
#define EVENKEEL_BPF_SELECT_H

#include "service.h"
#include "work.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

static __always_inline __u64 client_hash(const struct packet *p, const int family)
{
	const volatile struct ek_hash_key *key = &hash_key;

	return family == AF_INET ? ek_hash_client4(key, p->source.words[3], p->source_port)
				 : ek_hash_client6(key, &p->source, p->source_port);
}

static __always_inline struct ek_ring *ring_of(const struct ek_service *service)
{
	__u32 id = service->id, zero = 0;
	void *ring = bpf_map_lookup_elem(&rings, &id);

	return ring ? bpf_map_lookup_elem(ring, &zero) : NULL;
}

static __always_inline struct ek_backend *backend_at(__u32 index)
{
	__u32 row = bpf_get_smp_processor_id() * backends_limit + index;

	return bpf_map_lookup_elem(&backends, &row);
}

/* The map side of struct ek_surroundings. */
static __always_inline int view_flags(void *context, __u32 backend)
{
	const struct remembering *view = context;
	const struct ek_backend *b = backend_at(backend);

	return b && b->service == view->service ? EK_NEXTHOP_FLAGS(b->nexthop) : -1;
}

static __always_inline struct ek_flow_key *view_key(void *context, __u32 way)
{
	const struct remembering *view = context;
	struct ek_flow_keys *keys = bpf_map_lookup_elem(&flow_keys, &view->bucket);

	return keys ? &keys->key[way & (EK_FLOW_WAYS - 1)] : NULL;
}

static __always_inline enum ek_packet_kind packet_kind(const struct packet *p)
{
	if (p->quoted)
		return EK_PACKET_QUOTED;
	if (p->protocol != IPPROTO_TCP)
		return EK_PACKET_DATAGRAM;
	if (p->tcp_flags & TCP_RST)
		return p->tcp_flags & TCP_ACK ? EK_PACKET_END : EK_PACKET_REFUSAL;
	if (p->tcp_flags & TCP_FIN)
		return EK_PACKET_END;
	return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN ? EK_PACKET_SYN : EK_PACKET_DATA;
}

static __always_inline void write_key(struct ek_flow_key *key, const struct packet *p,
				      const struct ek_selection *s, __u32 service)
{
	key->isn = s->kind == EK_PACKET_SYN ? s->sequence : s->sequence - 1;
	barrier(); /* who finds the addresses finds the number */
	key->source = p->source;
	key->destination = p->destination;
	key->source_port = p->source_port;
	key->destination_port = p->destination_port;
	key->since = s->now;
	key->service = service;
	key->protocol = p->protocol;
}

/* Origin is still needed: said at most once a tick, so that the line stays shared. */
static __always_inline void refresh_hit(struct ek_ring *ring, __u32 index, __u32 tick)
{
	__u16 now = tick & EK_TICK_MASK;

	if (ring->hit[index] != now)
		ring->hit[index] = now;
}

/*
 * For the controller to send to the peers. The record is there before it is counted; a packet is
 * not interrupted by another one of its CPU.
 */
static __always_inline void tell(__u64 entry, __u32 bucket, __u32 way, __u8 flags)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct ek_news *log = bpf_map_lookup_elem(&news, &cpu);
	struct ek_news_record *record;
	__u64 head;

	if (!log)
		return;
	record = &log->record[log->head & (EK_NEWS_SIZE - 1)];
	record->entry = entry;
	record->bucket = bucket;
	record->way = way;
	record->flags = flags;
	/* Whose result is used it is a full barrier, so that the record is there first on any CPU.
	 */
	head = __sync_fetch_and_add(&log->head, 1);
	EK_OPAQUE(head);
}

static __always_inline int select_remembering(struct remembering *r,
					      const struct ek_service *service,
					      const struct packet *p, struct ek_ring *ring,
					      __u32 index, __u32 slot, __u64 hash, __u32 *backend)
{
	struct ek_selection *s = &r->selection;
	struct ek_choice *choice = &r->choice;
	struct ek_surroundings around = {view_flags, view_key, r, service, NULL};
	struct ek_flow_key *key;

	r->service = service->id;
	r->bucket = ek_flow_bucket_index(hash, flow_mask);
	around.bucket = bpf_map_lookup_elem(&flows, &r->bucket);
	*s = (struct ek_selection){.hash = hash,
				   .slot = slot,
				   .now = bpf_jiffies64() >> tick_shift,
				   .sequence = bpf_ntohl(p->sequence),
				   .source_word = p->source.words[3],
				   .source_port = p->source_port,
				   .kind = packet_kind(p)};
	if (!around.bucket)
		return -EK_DROP_NO_RING;
	ek_select_using(&r->matches, choice, s, &around);
	if (choice->stored >= 0) {
		key = view_key(r, choice->stored);
		if (key)
			write_key(key, p, s, service->id);
	}
	if (service->flags & EK_SERVICE_F_MIRRORED) {
		if (choice->removed)
			tell(choice->removed, r->bucket, 0, EK_NEWS_REMOVED);
		if (choice->news)
			tell(choice->news, r->bucket, choice->news_way, 0);
	}
	if (choice->origin_hit)
		refresh_hit(ring, index, s->now);
	if (unlikely(choice->unstored) && choice->backend) {
		struct ek_backend *b = backend_at(choice->backend);

		if (b)
			b->unstored++;
	}
	*backend = choice->backend;
	return -(int)(choice->drop & 63);
}

static __always_inline int backend_select(const struct ek_service *service, const struct packet *p,
					  __u64 hash, __u64 ring_hash, struct ek_backend **out)
{
	struct ek_ring *ring = ring_of(service);
	__u32 index = ek_ring_index(ring_hash), slot, backend;
	struct work *w;
	int verdict;

	if (unlikely(!ring || index >= EK_RING_SIZE))
		return -EK_DROP_NO_RING;
	slot = ring->slot[index];
	backend = ek_slot_current(slot);
	if (unlikely(backend == EK_BACKEND_NONE))
		return -EK_DROP_NO_BACKEND;
	if (unlikely(slot & EK_SLOT_LOOKUP)) {
		w = work_here();
		if (!w)
			return -EK_DROP_NO_RING;
		verdict = select_remembering(&w->remembering, service, p, ring, index, slot, hash,
					     &backend);
		if (unlikely(verdict))
			return verdict;
	}
	*out = backend_at(backend);
	return likely(*out) ? 0 : -EK_DROP_NO_BACKEND;
}

/*
 * The same for an unusual packet, out of this CPU's struct work: on Linux 6.1 the stack has no room
 * for it beside the main program's.
 */
verified_alone int select_unusual(struct xdp_md *ctx)
{
	struct work *w = work_here();
	struct ek_service_table *table;
	struct ek_service *service;
	__u32 zero = 0, index, slot, backend;
	struct ek_ring *ring;

	(void)ctx;
	table = bpf_map_lookup_elem(&services, &zero);
	if (!w || !table)
		return -EK_DROP_NO_RING;
	service = &table->slot[w->slot & (EK_SERVICE_SLOTS - 1)];
	w->service = service->id;
	if (w->backend)
		return 0;
	ring = ring_of(service);
	index = ek_ring_index(w->ring);
	if (!ring || index >= EK_RING_SIZE)
		return -EK_DROP_NO_RING;
	slot = ring->slot[index];
	backend = ek_slot_current(slot);
	if (backend == EK_BACKEND_NONE)
		return -EK_DROP_NO_BACKEND;
	w->backend = backend;
	if (!(slot & EK_SLOT_LOOKUP))
		return 0;
	return select_remembering(&w->remembering, service, &w->packet, ring, index, slot, w->hash,
				  &w->backend);
}

#endif
