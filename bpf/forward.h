/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stage 4: the frame as it leaves. The usual packet goes by IP in IP of its own family, RFC 2003
 * (4-in-4) or RFC 2473 (6-in-6), inline. All others, and the tags of a VLAN (vlan.h), cost calls:
 * see depart.h.
 */
#ifndef EVENKEEL_BPF_FORWARD_H
#define EVENKEEL_BPF_FORWARD_H

#include "depart.h"
#include "fragment.h"
#include "mss.h"
#include "vlan.h"

static __always_inline int encapsulate4(struct xdp_md *ctx, const struct packet *p,
					const struct ek_service *service,
					const struct ek_backend *backend,
					const struct ek_port *port, __u64 nexthop, __u64 hash)
{
	__u32 length = p->length + sizeof(struct iphdr);
	__be32 source = port->source4;
	__u16 checksum;
	__u64 begin;
	void *frame;

	if (service->outer_mask)
		source = service->outer_source.words[3] | ((__be32)hash & service->outer_mask);
	if (unlikely(!source))
		return -EK_DROP_NO_SOURCE;
	if (unlikely(length > backend->mtu))
		return too_big(backend->mtu, sizeof(struct iphdr));
	begin = outer4_begin(p->tos, bpf_htons(length), p->id_and_flags);
	checksum = outer4_checksum(backend->csum, begin, IPPROTO_IPIP, source);
	if (outer_open(ctx, sizeof(struct iphdr), sizeof(struct iphdr), &frame))
		return -EK_DROP_NO_HEADROOM;
	write_ethernet(frame, nexthop, port->mac, bpf_htons(ETH_P_IP));
	outer4_write(frame + ETH_HLEN, begin, IPPROTO_IPIP, checksum, source,
		     backend->address.words[3]);
	return 0;
}

static __always_inline int encapsulate6(struct xdp_md *ctx, const struct packet *p,
					const struct ek_service *service,
					const struct ek_backend *backend,
					const struct ek_port *port, __u64 nexthop, __u64 hash)
{
	__u64 source0 = port->source6.halves[0], source1 = port->source6.halves[1];
	void *frame;

	if (service->outer_mask) {
		source0 = service->outer_source.halves[0];
		source1 = service->outer_source.halves[1] |
			  (__u64)((__u32)(hash >> 32) & service->outer_mask) << 32;
	}
	if (unlikely(!source0))
		return -EK_DROP_NO_SOURCE;
	if (unlikely(p->length + sizeof(struct ipv6hdr) > backend->mtu))
		return too_big(backend->mtu, sizeof(struct ipv6hdr));
	if (outer_open(ctx, sizeof(struct ipv6hdr), sizeof(struct ipv6hdr), &frame))
		return -EK_DROP_NO_HEADROOM;
	write_ethernet(frame, nexthop, port->mac, bpf_htons(ETH_P_IPV6));
	outer6_write(frame + ETH_HLEN, p->tos, hash, p->length, IPPROTO_IPV6, source0, source1,
		     &backend->address);
	return 0;
}

/* The row is this CPU's own, and XDP is not preempted by XDP: no atomic is needed. */
static __always_inline void account_forward(struct ek_backend *backend, __u32 frame)
{
	backend->packets++;
	backend->bytes += frame;
}

/* Out by a VLAN, of the interface that it came in by or of another. */
verified_alone int transmit_tagged(struct xdp_md *ctx, __u32 to)
{
	struct ek_port *port = bpf_map_lookup_elem(&ports, &to), *own;
	__u32 number = own_port;

	own = bpf_map_lookup_elem(&ports, &number);
	if (!port || !own)
		return -EK_DROP_UNRESOLVED;
	if (vlan_push(ctx, to))
		return -EK_DROP_NO_HEADROOM;
	if (port->ifindex == own->ifindex)
		return XDP_TX;
	return bpf_redirect_map(&egress, to, 0) ?: -EK_DROP_UNRESOLVED;
}

/* Out by the port it came in by, or by another through the device map. */
static __always_inline int transmit(struct xdp_md *ctx, __u32 to, const struct ek_port *port)
{
	if (likely(to == own_port))
		return XDP_TX;
	if (*(const __u32 *)port->tags)
		return transmit_tagged(ctx, to);
	return bpf_redirect_map(&egress, to, 0) ?: -EK_DROP_UNRESOLVED;
}

static __always_inline int forward_otherwise(struct xdp_md *ctx, const struct packet *p,
					     const struct ek_service *service,
					     const struct ek_backend *backend,
					     const struct ek_port *port, __u64 nexthop, __u64 hash)
{
	struct work *w = work_here();

	if (!w)
		return -EK_DROP_UNRESOLVED;
	departure_fill(&w->out, p, service, backend, port, nexthop, hash);
	return depart(ctx, &w->out);
}

/* The frame made ready to leave: 0, or a verdict. */
static __always_inline int prepare(struct xdp_md *ctx, const struct packet *p,
				   const struct ek_service *service,
				   const struct ek_backend *backend, const struct ek_port *port,
				   __u64 nexthop, __u64 hash)
{
	if (likely(p->family == AF_INET && backend->forward == EK_FORWARD_IPIP))
		return encapsulate4(ctx, p, service, backend, port, nexthop, hash);
	if (likely(p->family == AF_INET6 && backend->forward == EK_FORWARD_IPIP6))
		return encapsulate6(ctx, p, service, backend, port, nexthop, hash);
	return forward_otherwise(ctx, p, service, backend, port, nexthop, hash);
}

static __always_inline int nexthop_verdict(__u64 nexthop)
{
	if (!(EK_NEXTHOP_FLAGS(nexthop) & EK_NEXTHOP_ALIVE))
		return -EK_DROP_BACKEND_DOWN;
	return EK_NEXTHOP_FLAGS(nexthop) & EK_NEXTHOP_RESOLVED ? 0 : -EK_DROP_UNRESOLVED;
}

/* That the next hop can be used and is behind the packet's own port is asked in one comparison. */
static __always_inline int forward(struct xdp_md *ctx, const struct packet *p,
				   const struct ek_service *service,
				   const struct ek_backend *backend, const struct ek_port *port,
				   __u64 hash)
{
	const __u64 nexthop = backend->nexthop;
	__u32 to = EK_NEXTHOP_PORT(nexthop);
	int verdict;

	if (likely((nexthop >> 48 & (EK_NEXTHOP_USABLE << 8 | 0xff)) ==
		   (EK_NEXTHOP_USABLE << 8 | own_port)))
		return prepare(ctx, p, service, backend, port, nexthop, hash) ?: XDP_TX;
	verdict = nexthop_verdict(nexthop);
	if (verdict)
		return verdict;
	port = bpf_map_lookup_elem(&ports, &to);
	if (!port || !port->mac)
		return -EK_DROP_UNRESOLVED;
	verdict = prepare(ctx, p, service, backend, port, nexthop, hash);
	return verdict ?: transmit(ctx, to, port);
}

/* For select_unusual()'s choice. What is forwarded keeps no tags but its egress port's. */
verified_alone int forward_unusual(struct xdp_md *ctx)
{
	struct work *w = work_here();
	struct ek_service_table *table;
	struct ek_service *service;
	struct ek_backend *backend;
	struct ek_port *port;
	__u32 to, length, zero = 0;
	__u64 nexthop;
	int verdict;

	table = bpf_map_lookup_elem(&services, &zero);
	if (!w || !table)
		return -EK_DROP_NO_RING;
	service = &table->slot[w->slot & (EK_SERVICE_SLOTS - 1)];
	backend = backend_at(w->backend);
	if (!backend)
		return -EK_DROP_NO_BACKEND;
	nexthop = backend->nexthop;
	verdict = nexthop_verdict(nexthop);
	if (verdict)
		return verdict;
	to = EK_NEXTHOP_PORT(nexthop);
	port = bpf_map_lookup_elem(&ports, &to);
	if (!port || !port->mac)
		return -EK_DROP_UNRESOLVED;
	departure_fill(&w->out, &w->packet, service, backend, port, nexthop, w->hash);
	length = bpf_xdp_get_buff_len(ctx);
	verdict = depart(ctx, &w->out);
	if (verdict >= 0) { /* what is refused is quoted as it came */
		w->l4 += bpf_xdp_get_buff_len(ctx) - length;
		clamp_mss(ctx);
	}
	if (!verdict) {
		verdict = transmit(ctx, to, port);
		w->n_tags = 0;
	}
	if (verdict > 0) {
		account_forward(backend, w->packet.frame);
		fragment_remember(ctx);
	}
	return verdict;
}

#endif
