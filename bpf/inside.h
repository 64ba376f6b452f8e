/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Errors from inside: a router between here and a backend says that a tunnel packet of ours did not
 * fit (RFC 2003, section 5; RFC 2473, section 7). The controller is told, and lowers the path MTU
 * of that backend (lib/path_mtu.h), so that from then on too_big.h answers what does not fit. If
 * the quote reaches as far as the client's packet, the error itself becomes the client's Packet Too
 * Big, less the overhead of the tunnel: nothing is lost by waiting.
 *
 * The answer goes to the neighbour that the error came from, which leads to the client wherever
 * one router stands before both; nothing better is known, and the next oversized packet brings
 * another chance. icmp.h calls it. What is no packet of ours is the stack's.
 */
#ifndef EVENKEEL_BPF_INSIDE_H
#define EVENKEEL_BPF_INSIDE_H

#include "too_big.h"
#include "wildcard.h"

#define MTU4_MIN 576u /* as lib/path_mtu.h: less is not believed */

/* The last byte of the frame at which the client's packet may begin: a power of two, less one. */
#define INSIDE_REACH 0x3ffu

/* What is behind an outer header: at most a UDP and a GUE header before an IP header. */
struct inner {
	__u32 at;
	__u8 family; /* 0: none that is ours */
};

static __always_inline struct inner inside_gue(struct xdp_md *ctx, __u32 at)
{
	__u8 gue[2];

	at += sizeof(struct udphdr);
	if (bpf_xdp_load_bytes(ctx, at, gue, sizeof(gue)))
		return (struct inner){};
	if (gue[0] == 0 && (gue[1] == IPPROTO_IPIP || gue[1] == IPPROTO_IPV6)) /* variant 0 */
		return (struct inner){at + 4, gue[1] == IPPROTO_IPIP ? AF_INET : AF_INET6};
	if (gue[0] >> 4 == 4 || gue[0] >> 4 == 6) /* variant 1 */
		return (struct inner){at, gue[0] >> 4 == 4 ? AF_INET : AF_INET6};
	return (struct inner){};
}

static __always_inline struct inner inside_of(struct xdp_md *ctx, __u32 at, __u8 protocol)
{
	switch (protocol) {
	case IPPROTO_IPIP:
		return (struct inner){at, AF_INET};
	case IPPROTO_IPV6:
		return (struct inner){at, AF_INET6};
	case IPPROTO_UDP:
		return inside_gue(ctx, at);
	}
	return (struct inner){};
}

static __always_inline bool is_tunnel(__u8 protocol)
{
	return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6 || protocol == IPPROTO_UDP;
}

/* The controller looks now and then: a flood of such errors must not wake it. */
static __always_inline void learn(const struct ek_ip *source, __u64 high, __u64 low, __u32 mtu)
{
	struct ek_learned *l = bpf_ringbuf_reserve(&learned, sizeof(*l), 0);

	if (!l)
		return;
	l->source = *source;
	l->address.halves[0] = high;
	l->address.halves[1] = low;
	l->mtu = mtu;
	l->pad = 0;
	bpf_ringbuf_submit(l, BPF_RB_NO_WAKEUP);
}

/* Reads the error and the outer header that it quotes. What is behind that, and in w->fits what
 * would have fitted there; 0: the router did not say. */
static __always_inline struct inner inside4(struct xdp_md *ctx, struct work *w)
{
	struct {
		struct icmp_message icmp;
		struct iphdr outer;
	} error;
	__u32 at = w->l4 + sizeof(error), mtu;
	struct inner inner;

	if (at > w->l3 + w->packet.length ||
	    bpf_xdp_load_bytes(ctx, w->l4, &error, sizeof(error)) ||
	    error.icmp.type != ICMP4_UNREACHABLE || error.icmp.code != ICMP4_CODE_TOO_BIG ||
	    *(__u8 *)&error.outer != 0x45 || error.outer.saddr != w->packet.destination.words[3] ||
	    !is_tunnel(error.outer.protocol))
		return (struct inner){};
	mtu = bpf_ntohl(error.icmp.rest) & 0xffff;
	learn(&w->packet.destination, 0, EK_V4_MAPPED | (__u64)error.outer.daddr << 32, mtu);
	inner = inside_of(ctx, at, error.outer.protocol);
	if (mtu && mtu < MTU4_MIN)
		mtu = MTU4_MIN;
	w->fits = mtu ? mtu - (inner.at - at + sizeof(error.outer)) : 0;
	return inner;
}

static __always_inline struct inner inside6(struct xdp_md *ctx, struct work *w)
{
	const __u32 at = w->l4 + sizeof(struct icmp_message), end = at + sizeof(struct ipv6hdr);
	struct inner inner;
	struct icmp_message icmp;
	struct ipv6hdr ip;
	__u32 mtu;

	if (end > w->l3 + w->packet.length || bpf_xdp_load_bytes(ctx, w->l4, &icmp, sizeof(icmp)) ||
	    icmp.type != ICMP6_TOO_BIG || bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) ||
	    ip.version != 6 || !is_tunnel(ip.nexthdr) ||
	    *(unaligned64 *)&ip.saddr != w->packet.destination.halves[0] ||
	    *(unaligned64 *)((void *)&ip.saddr + 8) != w->packet.destination.halves[1])
		return (struct inner){};
	mtu = bpf_ntohl(icmp.rest);
	if (mtu > 0xffff)
		return (struct inner){};
	inner = inside_of(ctx, end, ip.nexthdr);
	w->fits = 0;
	if (mtu < MTU6_MIN) /* to be discarded: RFC 8201, section 4 */
		return inner;
	learn(&w->packet.destination, *(unaligned64 *)&ip.daddr,
	      *(unaligned64 *)((void *)&ip.daddr + 8), mtu);
	w->fits = mtu - (inner.at - at);
	return inner;
}

/*
 * The client's packet, in w->packet's place: whether it is one for a VIP. Only its addresses count
 * here.
 */
static __always_inline bool inside_is_ours(struct xdp_md *ctx, struct work *w,
					   const struct inner *inner)
{
	const __u32 least = inner->family == AF_INET ? QUOTE4_MIN : QUOTE6_MIN;
	struct packet *p = &w->packet;

	if (inner->at > INSIDE_REACH || inner->at + least > w->l3 + p->length)
		return false;
	w->l3 = inner->at;
	p->family = inner->family;
	if (p->family == AF_INET6)
		return !bpf_xdp_load_bytes(ctx, w->l3 + 24, &p->destination, 16) &&
		       !ek_ip_is_v4(&p->destination) && is_vip(ctx);
	p->destination.halves[0] = 0;
	p->destination.halves[1] = EK_V4_MAPPED;
	return !bpf_xdp_load_bytes(ctx, w->l3 + 16, &p->destination.words[3], 4) && is_vip(ctx);
}

/* 0: w->l3 is where the packet of a client begins, of which w->fits bytes would have fitted. */
verified_alone int inside_read(struct xdp_md *ctx)
{
	struct work *w = work_here();
	struct inner inner;

	if (!w)
		return XDP_PASS;
	inner = w->packet.family == AF_INET ? inside4(ctx, w) : inside6(ctx, w);
	if (!inner.family || !inside_is_ours(ctx, w, &inner))
		return XDP_PASS;
	return 0;
}

static __always_inline int inside_tell4(struct xdp_md *ctx, void *ip, void *end, struct work *w)
{
	const __u32 fits = w->fits, at = w->l3;
	struct iphdr *inner = ip;

	if (ip + QUOTE4_MIN > end)
		return XDP_PASS;
	if (!fits || inner->ihl != 5 || !is_told4(inner, fits))
		return -EK_DROP_ICMP_OTHER;
	if (!allow_error() || !tell4(ctx, at - ETH_HLEN - TOLD4, fits, QUOTE4_MIN))
		return -EK_DROP_ICMP_RATE;
	return 0;
}

static __always_inline int inside_tell6(struct xdp_md *ctx, void *ip, void *end, struct work *w)
{
	const __u32 fits = w->fits > MTU6_MIN ? w->fits : MTU6_MIN, at = w->l3;

	if (ip + QUOTE6_MIN > end)
		return XDP_PASS;
	if (!w->fits || !is_told6(ip, w, fits))
		return -EK_DROP_ICMP_OTHER;
	if (!allow_error() || !tell6(ctx, at - ETH_HLEN - TOLD6, fits, QUOTE6_MIN))
		return -EK_DROP_ICMP_RATE;
	return 0;
}

verified_alone int inside_tell(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct work *w = work_here();
	struct ethhdr *eth = data;
	int verdict;

	if (!w || (void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_source[0] & 1)
		return -EK_DROP_ICMP_OTHER;
	data += w->l3 & INSIDE_REACH;
	verdict = w->packet.family == AF_INET ? inside_tell4(ctx, data, end, w)
					      : inside_tell6(ctx, data, end, w);
	if (verdict)
		return verdict;
	count_answer(EK_ANSWER_INSIDE);
	return XDP_TX;
}

#endif
