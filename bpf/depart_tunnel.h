/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IP in IP between any two families, of what is in `struct work` (depart.h calls it): RFC 2003,
 * RFC 4213 (6-in-4), RFC 2473 (4-in-6 and 6-in-6). The usual packet of the backend's own family has
 * forward.h.
 *
 * An outer IPv4 header has the identification and DF of the IPv4 packet in it. For an IPv6 one DF
 * is set and the identification zero (RFC 6864): whoever sent it expects to be told, not cut up.
 */
#ifndef EVENKEEL_BPF_DEPART_TUNNEL_H
#define EVENKEEL_BPF_DEPART_TUNNEL_H

#include "outer.h"

static __always_inline __u8 inner_protocol(const struct departure *d)
{
	return d->family == AF_INET ? IPPROTO_IPIP : IPPROTO_IPV6;
}

/*
 * The frame with an outer header, and `shim` bytes between it and the packet, the first `known` of
 * which can be written at `inside`. Nothing was written if it is refused.
 */
static __always_inline int tunnel4(struct xdp_md *ctx, const struct departure *d, __u8 protocol,
				   __u32 shim, const __u32 known, void **inside)
{
	const __u32 overhead = sizeof(struct iphdr) + shim;
	const __be32 source = d->source.words[3];
	__u16 checksum;
	__u64 begin;
	void *frame;

	if (!source)
		return -EK_DROP_NO_SOURCE;
	if (d->length + overhead > d->mtu)
		return too_big(d->mtu, overhead);
	begin = outer4_begin(d->tos, bpf_htons(d->length + overhead), d->id_and_flags);
	checksum = outer4_checksum(d->csum, begin, protocol, source);
	if (outer_open(ctx, overhead, sizeof(struct iphdr) + known, &frame))
		return -EK_DROP_NO_HEADROOM;
	write_ethernet(frame, d->nexthop, d->mac, bpf_htons(ETH_P_IP));
	outer4_write(frame + ETH_HLEN, begin, protocol, checksum, source, d->address.words[3]);
	*inside = frame + ETH_HLEN + sizeof(struct iphdr);
	return 0;
}

static __always_inline int tunnel6(struct xdp_md *ctx, const struct departure *d, __u8 protocol,
				   __u32 shim, const __u32 known, void **inside)
{
	const __u32 overhead = sizeof(struct ipv6hdr) + shim;
	void *frame;

	if (!d->source.halves[0])
		return -EK_DROP_NO_SOURCE;
	if (d->length + overhead > d->mtu)
		return too_big(d->mtu, overhead);
	if (outer_open(ctx, overhead, sizeof(struct ipv6hdr) + known, &frame))
		return -EK_DROP_NO_HEADROOM;
	write_ethernet(frame, d->nexthop, d->mac, bpf_htons(ETH_P_IPV6));
	outer6_write(frame + ETH_HLEN, d->tos, d->hash, d->length + shim, protocol,
		     d->source.halves[0], d->source.halves[1], &d->address);
	*inside = frame + ETH_HLEN + sizeof(struct ipv6hdr);
	return 0;
}

verified_alone int depart_ipip(struct xdp_md *ctx)
{
	struct work *w = work_here();
	void *inside;

	return w ? tunnel4(ctx, &w->out, inner_protocol(&w->out), 0, 0, &inside)
		 : -EK_DROP_UNRESOLVED;
}

verified_alone int depart_ipip6(struct xdp_md *ctx)
{
	struct work *w = work_here();
	void *inside;

	return w ? tunnel6(ctx, &w->out, inner_protocol(&w->out), 0, 0, &inside)
		 : -EK_DROP_UNRESOLVED;
}

#endif
