/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Beside stage 2: the service of an unusual packet. The exact table comes first, as on the usual
 * path; then, if there are any, the rules for prefixes, port ranges and whole protocols. Called by
 * classify.h, and by icmp.h for what an error quotes.
 */
#ifndef EVENKEEL_BPF_WILDCARD_H
#define EVENKEEL_BPF_WILDCARD_H

#include "select.h"

/* The rules for an address, which is then a VIP, or NULL. */
static __always_inline struct ek_wildcard *wildcard_at(const struct ek_ip *vip)
{
	struct ek_wildcard_key key = {.length = 128, .address = *vip};

	return service_wildcards() ? bpf_map_lookup_elem(&wildcards, &key) : NULL;
}

/* Whether the destination of the packet in `struct work` is one of ours. */
verified_alone int is_vip(struct xdp_md *ctx)
{
	struct work *w = work_here();
	struct ek_ip *vip;
	__u64 hash;

	(void)ctx;
	if (!w)
		return 0;
	vip = &w->packet.destination;
	hash = service_hash(vip, 0, w->packet.family);
	return service_find(vip, EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP), hash) || wildcard_at(vip);
}

/* The place of an exact service in its table, or -1. */
static __always_inline int exact_slot(const struct ek_service_table *table, const struct packet *p)
{
	const __u64 key = EK_SERVICE_KEY(p->destination_port, p->protocol, EK_SERVICE_LIVE);
	const __u32 first =
		ek_hash_service_slot(service_hash(&p->destination, service_word(p), p->family));

	for (__u32 i = 0; i < EK_SERVICE_PROBE; i++) {
		const __u32 slot = (first + i) & (EK_SERVICE_SLOTS - 1);

		if (service_is(&table->slot[slot], &p->destination, key))
			return slot;
		if (!table->slot[slot].key)
			break;
	}
	return -1;
}

/* An entry may have become another service's since the rule was read. */
static __always_inline bool rule_names(const struct ek_wildcard_rule *rule, __u64 key)
{
	return EK_SERVICE_KEY_STATE(key) == EK_SERVICE_WILD &&
	       EK_SERVICE_KEY_PROTO(key) == rule->protocol &&
	       EK_SERVICE_KEY_PORT(key) == bpf_htons(rule->first);
}

/* A packet without a port, or of which it is not known, is for a service of any port. */
static __always_inline bool rule_fits(const struct ek_wildcard_rule *rule, __u8 protocol, int port)
{
	if (rule->protocol && rule->protocol != protocol)
		return false;
	return port < 0 ? !rule->first && rule->last == 0xffff
			: port >= rule->first && port <= rule->last;
}

/* The place of a wildcard service, or -1. */
static __always_inline int wildcard_slot(const struct ek_service_table *table,
					 const struct packet *p, int port)
{
	const struct ek_wildcard *wild = wildcard_at(&p->destination);

	if (!wild)
		return -1;
	for (__u32 i = 0; i < EK_WILDCARD_RULES && i < wild->n; i++) {
		const struct ek_wildcard_rule *rule = &wild->rule[i];
		const __u32 slot = rule->slot & (EK_SERVICE_SLOTS - 1);

		if (rule_fits(rule, p->protocol, port) && rule_names(rule, table->slot[slot].key))
			return slot;
	}
	return -1;
}

/* As find_service() has them. */
static __always_inline void flow_hashes(struct work *w, const struct ek_service *service)
{
	struct packet *p = &w->packet;

	if (service->flags & EK_SERVICE_F_PORTLESS) {
		p->protocol = 0;
		p->source_port = p->destination_port = 0;
	}
	w->hash = ek_hash_finish(&hash_key,
				 service_hash(&p->destination, service_word(p), p->family) +
					 client_hash(p, p->family));
	w->ring = p->family == AF_INET
			  ? ek_hash_ring4(&hash_key, service, p->source.words[3], w->hash)
			  : ek_hash_ring6(&hash_key, service, &p->source, w->hash);
}

static __always_inline bool has_ports(const struct work *w)
{
	return !w->offset &&
	       (w->packet.protocol == IPPROTO_TCP || w->packet.protocol == IPPROTO_UDP);
}

/* The service of the packet in `struct work`, and its hashes. 0, or XDP_PASS: there is none. */
verified_alone int find_flow(struct xdp_md *ctx)
{
	struct ek_service_table *table;
	struct work *w = work_here();
	int slot = -1, port = -1;
	__u32 zero = 0;

	(void)ctx;
	table = bpf_map_lookup_elem(&services, &zero);
	if (!w || !table)
		return XDP_PASS;
	if (has_ports(w)) {
		port = bpf_ntohs(w->packet.destination_port);
		slot = exact_slot(table, &w->packet);
	}
	if (slot < 0)
		slot = wildcard_slot(table, &w->packet, port);
	if (slot < 0)
		return XDP_PASS;
	w->slot = slot & (EK_SERVICE_SLOTS - 1);
	flow_hashes(w, &table->slot[w->slot & (EK_SERVICE_SLOTS - 1)]);
	return 0;
}

#endif
