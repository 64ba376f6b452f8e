/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tunnels have in common, on the usual path (forward.h) and beside it (depart_tunnel.h,
 * depart_gue.h): outer headers that carry the packet's own DSCP and ECN (RFC 6040, "normal mode" at
 * the ingress), and the question whether it fits.
 *
 * Headers are written with the widest stores there are: the frame is read again at once by the
 * driver or the next program, and a wide load over narrow stores stalls.
 */
#ifndef EVENKEEL_BPF_OUTER_H
#define EVENKEEL_BPF_OUTER_H

#include "ethernet.h"
#include "work.h"

/* A function of its own: what is seldom needed must not cost the usual path registers. */
verified_alone int note_fits(__u32 mtu, __u32 overhead)
{
	struct work *w = work_here();

	if (w)
		w->fits = mtu > overhead ? mtu - overhead : 0;
	return 0;
}

/* Says how long a packet would have fitted, for whoever answers: see too_big.h. */
static __always_inline int too_big(__u32 mtu, __u32 overhead)
{
	note_fits(mtu, overhead);
	return -EK_DROP_TOO_BIG;
}

/*
 * The first eight bytes of an IPv4 header without options but for the 0x45. `id`: identification,
 * flags and offset, as they lie.
 */
static __always_inline __u64 outer4_begin(__u8 tos, __be16 length, __u32 id)
{
	return (__u32)tos << 8 | (__u32)length << 16 | (__u64)id << 32;
}

/*
 * Its checksum. `constant`: ek_backend.csum, which has the words that are the same for every packet
 * of an IP in IP tunnel; another protocol differs by a constant itself.
 */
static __always_inline __u16 outer4_checksum(__u32 constant, __u64 begin, __u8 protocol,
					     __be32 source)
{
	__u64 sum = (__u64)source + (__u32)begin + (begin >> 32) + constant;

	sum += (protocol - IPPROTO_IPIP) << 8;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline void outer4_write(void *ip, __u64 begin, __u8 protocol, __u16 checksum,
					 __be32 source, __be32 destination)
{
	*(unaligned64 *)ip = 0x45 | begin;
	*(unaligned64 *)(ip + 8) =
		EK_OUTER_TTL | protocol << 8 | (__u64)checksum << 16 | (__u64)source << 32;
	*(unaligned32 *)(ip + 16) = destination;
}

/* The flow label spreads the tunnel over the fabric's paths (RFC 6438). `payload`: bytes. */
static __always_inline void outer6_write(void *ip, __u8 tos, __u64 hash, __u32 payload,
					 __u8 protocol, __u64 source0, __u64 source1,
					 const struct ek_ip *destination)
{
	__be32 first = bpf_htonl(6u << 28 | (__u32)tos << 20 | ((__u32)hash & 0xfffff));

	*(unaligned64 *)ip = first | (__u64)bpf_htons(payload) << 32 | (__u64)protocol << 48 |
			     (__u64)EK_OUTER_TTL << 56;
	*(unaligned64 *)(ip + 8) = source0;
	*(unaligned64 *)(ip + 16) = source1;
	*(unaligned64 *)(ip + 24) = destination->halves[0];
	*(unaligned64 *)(ip + 32) = destination->halves[1];
}

/* `frame`, with `room` more bytes before the packet, at least `known` of which can be written. */
static __always_inline int outer_open(struct xdp_md *ctx, int room, int known, void **frame)
{
	if (unlikely(bpf_xdp_adjust_head(ctx, -room)))
		return -EK_DROP_NO_HEADROOM;
	*frame = (void *)(long)ctx->data;
	if (*frame + ETH_HLEN + known > (void *)(long)ctx->data_end)
		return -EK_DROP_NO_HEADROOM;
	return 0;
}

#endif
