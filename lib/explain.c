/* SPDX-License-Identifier: GPL-2.0-only */
/* See explain.h. The stages of bpf/balancer.bpf.c in their order, on tables that only it writes. */
#include <errno.h>
#include <arpa/inet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include "explain.h"
#include "ip.h"
#include "service_table.h"

static int drop(struct ek_explanation *out, enum ek_drop reason)
{
	out->verdict = EK_EXPLAIN_DROP;
	out->drop = reason;
	return -1;
}

/* --- service.h ------------------------------------------------------------------------------- */

static const struct ek_service *find_exact(const struct ek_explain_view *view,
					   const struct ek_explain_packet *p)
{
	/* Found for those who write, too: hence not const. Here it is only read. */
	struct ek_service_table *table = (struct ek_service_table *)view->services;

	return ek_service_table_find(
		table, view->key, &p->destination,
		EK_SERVICE_KEY(p->destination_port, p->protocol, EK_SERVICE_LIVE));
}

/* --- wildcard.h ------------------------------------------------------------------------------ */

static bool rule_fits(const struct ek_wildcard_rule *rule, const struct ek_explain_packet *p)
{
	const uint16_t port = ntohs(p->destination_port);

	if (rule->protocol && rule->protocol != p->protocol)
		return false;
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return !rule->first && rule->last == UINT16_MAX;
	return port >= rule->first && port <= rule->last;
}

static const struct ek_service *find_wildcard(const struct ek_explain_view *view,
					      const struct ek_explain_packet *p)
{
	struct ek_wildcard wild;

	if (!view->wildcard || !(view->services->settings.flags & EK_SETTING_WILDCARDS) ||
	    !view->wildcard(view->context, &p->destination, &wild))
		return NULL;
	for (uint32_t i = 0; i < wild.n && i < EK_WILDCARD_RULES; i++) {
		const struct ek_service *s = &view->services->slot[wild.rule[i].slot];

		if (rule_fits(&wild.rule[i], p) && EK_SERVICE_KEY_STATE(s->key) == EK_SERVICE_WILD)
			return s;
	}
	return NULL;
}

const struct ek_service *ek_explain_find(const struct ek_explain_view *view,
					 const struct ek_explain_packet *packet)
{
	return find_exact(view, packet) ?: find_wildcard(view, packet);
}

/* Of a service of any protocol a flow is a pair of addresses. */
static int find_service(const struct ek_explain_view *view, struct ek_explain_packet *p,
			struct ek_explanation *out)
{
	const struct ek_service *s = ek_explain_find(view, p);

	if (!s) {
		out->verdict = EK_EXPLAIN_PASS;
		return -1;
	}
	if (s->flags & EK_SERVICE_F_PORTLESS) {
		p->protocol = 0;
		p->source_port = p->destination_port = 0;
		p->kind = EK_PACKET_DATAGRAM;
	}
	out->service = *s;
	out->hash = ek_hash_flow(view->key, &p->source, p->source_port, &p->destination,
				 p->destination_port | (uint32_t)p->protocol << 16);
	out->bucket = ek_flow_bucket_index(out->hash, view->buckets - 1);
	return 0;
}

/* --- select.h -------------------------------------------------------------------------------- */

/* What selection may change, for itself. */
struct surroundings {
	const struct ek_explain_view *view;
	uint32_t service;
	struct ek_flow_bucket bucket;
	struct ek_flow_keys keys;
};

static int flags_of(void *context, __u32 index)
{
	const struct surroundings *own = context;
	struct ek_backend b = own->view->backend(own->view->context, index);

	return b.service == own->service ? EK_NEXTHOP_FLAGS(b.nexthop) : -1;
}

static struct ek_flow_key *key_of(void *context, __u32 way)
{
	struct surroundings *own = context;

	return &own->keys.key[way & (EK_FLOW_WAYS - 1)];
}

static bool is_twin(const struct ek_explain_packet *p, const struct ek_flow_key *key)
{
	return ek_ip_equal(&key->source, &p->source) &&
	       ek_ip_equal(&key->destination, &p->destination) &&
	       key->source_port == p->source_port && key->destination_port == p->destination_port &&
	       key->protocol == p->protocol;
}

static void add_entry(struct ek_explanation *out, const struct ek_explain_packet *p, uint64_t entry,
		      const struct ek_flow_key *key)
{
	struct ek_explain_entry *e = &out->entries[out->n_entries];

	if (!entry)
		return;
	*e = (struct ek_explain_entry){.entry = entry, .key = *key, .key_fits = is_twin(p, key)};
	out->n_entries++;
}

static enum ek_explain_rule rule_of_datagram(const struct ek_choice *c, const struct ek_matches *m)
{
	if (m->live)
		return c->backend == ek_flow_backend(m->live) ? EK_RULE_ENTRY : EK_RULE_ENTRY_MOVED;
	return c->unstored ? EK_RULE_UNSTORED : EK_RULE_NEW;
}

static enum ek_explain_rule rule_of_syn(const struct ek_choice *c, const struct ek_matches *m)
{
	if (c->unstored)
		return c->backend ? EK_RULE_UNSTORED : EK_RULE_UNSTORED_NOWHERE;
	if (c->entry_way != EK_WAY_NONE)
		return EK_RULE_NEW;
	if (m->live && c->backend == ek_flow_backend(m->live))
		return EK_RULE_ENTRY;
	return m->embryo ? EK_RULE_FIRST_SYN : EK_RULE_NEW_AT_HOME;
}

static enum ek_explain_rule rule_of_segment(const struct ek_choice *c, const struct ek_matches *m,
					    enum ek_packet_kind kind)
{
	if (c->origin_hit)
		return EK_RULE_OLDER;
	if (c->entry_way == EK_WAY_NONE)
		return kind == EK_PACKET_REFUSAL && m->embryo &&
				       c->backend == ek_flow_backend(m->embryo)
			       ? EK_RULE_REFUSES
			       : EK_RULE_OLDER_DOWN;
	if (c->backend != c->entry_backend)
		return EK_RULE_ENTRY_DOWN;
	return m->embryo && c->entry_way == m->embryo_way ? EK_RULE_COMPLETES : EK_RULE_ENTRY;
}

/* Selection says what it chose; by which rule follows from what it found and what it wrote. */
static enum ek_explain_rule rule_of(const struct ek_choice *c, const struct ek_matches *m,
				    enum ek_packet_kind kind)
{
	if (c->drop == EK_DROP_BACKEND_DOWN)
		return EK_RULE_CURRENT_DOWN;
	if (c->drop == EK_DROP_UNKNOWN_FLOW)
		return EK_RULE_UNKNOWN;
	switch (kind) {
	case EK_PACKET_DATAGRAM:
		return rule_of_datagram(c, m);
	case EK_PACKET_SYN:
		return rule_of_syn(c, m);
	default:
		return rule_of_segment(c, m, kind);
	}
}

static int select_remembering(const struct ek_explain_view *view, const struct ek_explain_packet *p,
			      struct ek_explanation *out)
{
	struct surroundings own = {.view = view,
				   .service = out->service.id,
				   .bucket = view->flows[out->bucket],
				   .keys = view->flow_keys[out->bucket]};
	const struct ek_surroundings around = {flags_of, key_of, &own, &out->service, &own.bucket};
	struct ek_selection s = {.hash = out->hash,
				 .slot = out->slot,
				 .now = view->tick,
				 .source_word = p->source.words[3],
				 .source_port = p->source_port,
				 .sequence = p->sequence,
				 .kind = p->kind};
	struct ek_matches m;
	struct ek_choice c;

	ek_select_find(&s, &around, &m);
	add_entry(out, p, m.live, &own.keys.key[m.live_way]);
	add_entry(out, p, m.embryo, &own.keys.key[m.embryo_way]);
	if (p->in_sequence && m.embryo)
		s.sequence = own.keys.key[m.embryo_way].isn + 1;
	ek_select(&c, &s, &around);
	out->rule = rule_of(&c, &m, p->kind);
	out->backend = c.backend;
	out->named = out->rule == EK_RULE_ENTRY_DOWN ? c.entry_backend : ek_flow_backend(m.live);
	out->stored = c.stored >= 0;
	out->unstored = c.unstored;
	return c.backend ? 0 : drop(out, c.drop);
}

static int select_backend(const struct ek_explain_view *view, const struct ek_explain_packet *p,
			  struct ek_explanation *out)
{
	const struct ek_ring *ring = view->ring(view->context, out->service.id);

	if (!ring)
		return drop(out, EK_DROP_NO_RING);
	out->index = ek_ring_index(ek_hash_ring(view->key, &out->service, &p->source, out->hash));
	out->slot = __atomic_load_n(&ring->slot[out->index], __ATOMIC_RELAXED);
	out->unhit = ek_tick_age(ring->hit[out->index], view->tick);
	out->backend = ek_slot_current(out->slot);
	if (out->backend == EK_BACKEND_NONE)
		return drop(out, EK_DROP_NO_BACKEND);
	if (out->slot & EK_SLOT_LOOKUP)
		return select_remembering(view, p, out);
	out->rule = EK_RULE_STEADY;
	return 0;
}

/* --- forward.h ------------------------------------------------------------------------------- */

/* A varied source is of its own family only. */
static struct ek_ip outer_source(const struct ek_explanation *e, const struct ek_port *port,
				 bool v4)
{
	const struct ek_service *s = &e->service;
	struct ek_ip source = v4 ? ek_ip_from4(port->source4) : port->source6;

	if (!s->outer_mask || ek_ip_is_v4(&s->outer_source) != v4)
		return source;
	source = s->outer_source;
	if (v4)
		source = ek_ip_from4(source.words[3] | ((uint32_t)e->hash & s->outer_mask));
	else
		source.words[3] |= (uint32_t)(e->hash >> 32) & s->outer_mask;
	return source;
}

static uint16_t overhead_of(const struct ek_backend *b)
{
	switch ((enum ek_forward)b->forward) {
	case EK_FORWARD_IPIP:
		return sizeof(struct iphdr);
	case EK_FORWARD_IPIP6:
		return sizeof(struct ipv6hdr);
	case EK_FORWARD_GUE:
		return sizeof(struct iphdr) + sizeof(struct udphdr) + b->gue_header;
	case EK_FORWARD_GUE6:
		return sizeof(struct ipv6hdr) + sizeof(struct udphdr) + b->gue_header;
	case EK_FORWARD_TOS:
	case EK_FORWARD_L2:
	case EK_FORWARD_LOCAL:
		break;
	}
	return 0;
}

static int forward(const struct ek_explain_view *view, const struct ek_explain_packet *p,
		   struct ek_explanation *out)
{
	const struct ek_backend b = view->backend(view->context, out->backend);
	const unsigned int flags = EK_NEXTHOP_FLAGS(b.nexthop);
	const struct ek_port port = view->port(view->context, EK_NEXTHOP_PORT(b.nexthop));
	const bool v4 = ek_ip_is_v4(&b.address);
	struct ek_explain_outer *o = &out->outer;

	if (!(flags & EK_NEXTHOP_ALIVE))
		return drop(out, EK_DROP_BACKEND_DOWN);
	if (!(flags & EK_NEXTHOP_RESOLVED) || !port.mac)
		return drop(out, EK_DROP_UNRESOLVED);
	o->forward = b.forward;
	o->dscp = b.dscp;
	o->bytes = overhead_of(&b);
	if (o->bytes) {
		o->source = outer_source(out, &port, v4);
		if (v4 ? !o->source.words[3] : !o->source.halves[0])
			return drop(out, EK_DROP_NO_SOURCE);
	}
	o->room = b.mtu > o->bytes ? b.mtu - o->bytes : 0;
	if (p->length > o->room && b.forward != EK_FORWARD_LOCAL)
		return drop(out, EK_DROP_TOO_BIG);
	o->destination = b.address;
	o->mac = port.mac;
	o->nexthop = EK_NEXTHOP_MAC(b.nexthop);
	o->port = EK_NEXTHOP_PORT(b.nexthop);
	out->verdict = EK_EXPLAIN_FORWARD;
	return 0;
}

/* --- account.h ------------------------------------------------------------------------------- */

/* All drops but one are silent. */
static void answer(const struct ek_explain_packet *p, struct ek_explanation *out)
{
	if (out->drop == EK_DROP_UNKNOWN_FLOW && ek_select_is_told(&p->source, p->is_reset))
		out->verdict = EK_EXPLAIN_RESET;
}

int ek_explain(const struct ek_explain_view *view, const struct ek_explain_packet *packet,
	       struct ek_explanation *out)
{
	struct ek_explain_packet p = *packet;

	if (ek_ip_is_v4(&packet->source) != ek_ip_is_v4(&packet->destination))
		return -EINVAL;
	*out = (struct ek_explanation){0};
	if (!find_service(view, &p, out) && !select_backend(view, &p, out))
		forward(view, &p, out);
	answer(&p, out);
	return 0;
}
