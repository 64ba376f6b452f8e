/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Generic UDP Encapsulation (draft-ietf-intarea-gue-09): variant 0, a header of four bytes that
 * says which protocol follows, or variant 1, the packet right behind the UDP header. depart.h calls
 * it. The source port differs from flow to flow, so that routers and NICs that look no further
 * spread the tunnel over their paths and queues; its range is that of RFC 6335, section 6.
 *
 * The UDP checksum is zero, over IPv6 too, as RFC 6935 and RFC 6936 allow a tunnel whose packets
 * have checksums of their own: summing a packet up costs more than forwarding it, and what could be
 * had from the packet's own checksum would be wrong wherever that is left to a NIC. The receiver
 * must not insist (Linux does not in its FOU and GUE sockets, nor does evenkeel-backend).
 */
#ifndef EVENKEEL_BPF_DEPART_GUE_H
#define EVENKEEL_BPF_DEPART_GUE_H

#include "depart_tunnel.h"

#define GUE_FIRST_PORT 49152u
#define GUE_PORTS_MASK 0x3fffu /* of the hash: bits of which the ring made no use */

enum { GUE_HEADER = 4, GUE_MOST = sizeof(struct udphdr) + GUE_HEADER };

static __always_inline __u32 gue_shim(const struct departure *d)
{
	return sizeof(struct udphdr) + (d->gue_header ? GUE_HEADER : 0);
}

/* A direct packet has GUE_MOST bytes there, too: its own IP header begins among them. */
static __always_inline int gue_write(void *udp, const struct departure *d)
{
	const __be16 port = bpf_htons(GUE_FIRST_PORT | ((__u32)d->hash & GUE_PORTS_MASK));

	*(unaligned64 *)udp =
		port | (__u64)d->gue_port << 16 | (__u64)bpf_htons(d->length + gue_shim(d)) << 32;
	if (d->gue_header) /* variant, control bit, length and flags: zero */
		*(unaligned32 *)(udp + sizeof(struct udphdr)) = (__u32)inner_protocol(d) << 8;
	return 0;
}

verified_alone int depart_gue(struct xdp_md *ctx)
{
	struct work *w = work_here();
	void *udp;

	if (!w)
		return -EK_DROP_UNRESOLVED;
	return tunnel4(ctx, &w->out, IPPROTO_UDP, gue_shim(&w->out), GUE_MOST, &udp)
		       ?: gue_write(udp, &w->out);
}

verified_alone int depart_gue6(struct xdp_md *ctx)
{
	struct work *w = work_here();
	void *udp;

	if (!w)
		return -EK_DROP_UNRESOLVED;
	return tunnel6(ctx, &w->out, IPPROTO_UDP, gue_shim(&w->out), GUE_MOST, &udp)
		       ?: gue_write(udp, &w->out);
}

#endif
