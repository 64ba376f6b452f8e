/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stage 4: the frame as it leaves. IP in IP: RFC 2003 (4-in-4) and RFC 2473 (6-in-6), with the
 * inner packet untouched and its DSCP and ECN copied (RFC 6040, "normal mode" at the ingress).
 *
 * Headers are written with the widest stores there are: the frame is read again at once by the
 * driver or the next program, and a wide load over narrow stores stalls.
 */
#ifndef EVENKEEL_BPF_FORWARD_H
#define EVENKEEL_BPF_FORWARD_H

#include "select.h"

static __always_inline void write_ethernet(void *frame, __u64 nexthop, __u64 own_mac, __be16 type)
{
	*(unaligned64 *)frame = EK_NEXTHOP_MAC(nexthop) | own_mac << 48;
	*(unaligned32 *)(frame + 8) = own_mac >> 16;
	*(unaligned16 *)(frame + 12) = type;
}

/* Everything of the outer IPv4 header that varies, added to the backend's constant part. */
static __always_inline __u16 outer_checksum(__u32 sum, __u16 tos_word, __be16 length, __be16 id,
					    __be16 fragment, __be32 source)
{
	sum += tos_word + length + id + fragment + (source & 0xffff) + (source >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int encapsulate4(struct xdp_md *ctx, const struct packet *p,
					const struct ek_service *service,
					const struct ek_backend *backend,
					const struct ek_port *port, __u64 nexthop, __u64 hash)
{
	__be32 source = port->source4;
	__be16 length = bpf_htons(p->length + sizeof(struct iphdr));
	__u16 tos_word = (__u16)p->tos << 8, checksum;
	void *frame, *end;

	if (service->outer_mask)
		source = service->outer_source.words[3] | ((__be32)hash & service->outer_mask);
	if (unlikely(!source))
		return -EK_DROP_NO_SOURCE;
	if (unlikely(p->length + sizeof(struct iphdr) > backend->mtu))
		return -EK_DROP_TOO_BIG;
	checksum = outer_checksum(backend->csum, tos_word, length, p->id, p->dont_fragment, source);

	if (unlikely(bpf_xdp_adjust_head(ctx, -(int)sizeof(struct iphdr))))
		return -EK_DROP_NO_HEADROOM;
	frame = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (frame + ETH_HLEN + sizeof(struct iphdr) > end)
		return -EK_DROP_NO_HEADROOM;

	write_ethernet(frame, nexthop, port->mac, bpf_htons(ETH_P_IP));
	frame += ETH_HLEN;
	*(unaligned64 *)frame = 0x45 | tos_word | (__u64)length << 16 | (__u64)p->id << 32 |
				(__u64)p->dont_fragment << 48;
	*(unaligned64 *)(frame + 8) =
		EK_OUTER_TTL | IPPROTO_IPIP << 8 | (__u64)checksum << 16 | (__u64)source << 32;
	*(unaligned32 *)(frame + 16) = backend->address.words[3];
	return 0;
}

static __always_inline int encapsulate6(struct xdp_md *ctx, const struct packet *p,
					const struct ek_service *service,
					const struct ek_backend *backend,
					const struct ek_port *port, __u64 nexthop, __u64 hash)
{
	/* The flow label spreads the tunnel over the fabric's paths (RFC 6438). */
	__be32 first = bpf_htonl(6u << 28 | (__u32)p->tos << 20 | ((__u32)hash & 0xfffff));
	__u64 source0 = port->source6.halves[0], source1 = port->source6.halves[1];
	void *frame, *end;

	if (service->outer_mask) {
		source0 = service->outer_source.halves[0];
		source1 = service->outer_source.halves[1] |
			  (__u64)((__u32)(hash >> 32) & service->outer_mask) << 32;
	}
	if (unlikely(!source0))
		return -EK_DROP_NO_SOURCE;
	if (unlikely(p->length + sizeof(struct ipv6hdr) > backend->mtu))
		return -EK_DROP_TOO_BIG;

	if (unlikely(bpf_xdp_adjust_head(ctx, -(int)sizeof(struct ipv6hdr))))
		return -EK_DROP_NO_HEADROOM;
	frame = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (frame + ETH_HLEN + sizeof(struct ipv6hdr) > end)
		return -EK_DROP_NO_HEADROOM;

	write_ethernet(frame, nexthop, port->mac, bpf_htons(ETH_P_IPV6));
	frame += ETH_HLEN;
	*(unaligned64 *)frame = first | (__u64)bpf_htons(p->length) << 32 |
				(__u64)IPPROTO_IPV6 << 48 | (__u64)EK_OUTER_TTL << 56;
	*(unaligned64 *)(frame + 8) = source0;
	*(unaligned64 *)(frame + 16) = source1;
	*(unaligned64 *)(frame + 24) = backend->address.halves[0];
	*(unaligned64 *)(frame + 32) = backend->address.halves[1];
	return 0;
}

/* Out by the port it came in, or by another through the device map. */
static __always_inline int transmit(__u32 to)
{
	if (likely(to == own_port))
		return XDP_TX;
	return bpf_redirect_map(&egress, to, 0) ?: -EK_DROP_UNRESOLVED;
}

static __always_inline int forward(struct xdp_md *ctx, const struct packet *p,
				   const struct ek_service *service,
				   const struct ek_backend *backend, const struct ek_port *port,
				   __u64 hash)
{
	__u64 nexthop = backend->nexthop;
	__u32 to = EK_NEXTHOP_PORT(nexthop);
	int verdict;

	if (unlikely(!(EK_NEXTHOP_FLAGS(nexthop) & EK_NEXTHOP_ALIVE)))
		return -EK_DROP_BACKEND_DOWN;
	if (unlikely(!(EK_NEXTHOP_FLAGS(nexthop) & EK_NEXTHOP_RESOLVED)))
		return -EK_DROP_UNRESOLVED;
	if (unlikely(to != own_port)) {
		port = bpf_map_lookup_elem(&ports, &to);
		if (!port || !port->mac)
			return -EK_DROP_UNRESOLVED;
	}
	verdict = likely(p->family == AF_INET)
			  ? encapsulate4(ctx, p, service, backend, port, nexthop, hash)
			  : encapsulate6(ctx, p, service, backend, port, nexthop, hash);
	return likely(!verdict) ? transmit(to) : verdict;
}

#endif
