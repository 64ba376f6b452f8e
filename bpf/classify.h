/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Beside stage 1: what the usual path does not know. Fills `struct work` for the stages that
 * follow, or gives a verdict by name. A frame that is not for a VIP is passed, byte for byte.
 *
 * Tags are taken off (vlan.h), IPv4 options stepped over, IPv6 extension headers walked, eight at
 * most: hop-by-hop and destination options, routing, fragment (RFC 8200). AH is none of these here
 * but a protocol, as ESP is, and as it is in IPv4: a security association is with one host, so its
 * packets are steered by their addresses. Transport headers are copied out and may lie in any
 * buffer of the frame; IP headers must lie in the first one, as they do with every driver.
 */
#ifndef EVENKEEL_BPF_CLASSIFY_H
#define EVENKEEL_BPF_CLASSIFY_H

#include "fragment.h"
#include "trace.h"
#include "vlan.h"

#define EXTENSIONS_MAX 8

/* Next headers (IANA): extension headers that are not walked. */
#define NEXT_MOBILITY	    135
#define NEXT_HIP	    139
#define NEXT_SHIM6	    140
#define NEXT_EXPERIMENT	    253
#define NEXT_EXPERIMENT_TOO 254

#define FRAGMENT_MORE	bpf_htons(0x2000)
#define FRAGMENT6_MORE	bpf_htons(1)
#define FRAGMENT_OFFSET 0x1fff

enum {
	ICMP_TYPE_UNREACHABLE = 3,
	ICMP6_TYPE_TOO_BIG = 2,
	ICMP6_TYPE_ND = 133, /* router solicitation, to redirect */
	ICMP6_TYPE_ND_LAST = 137,
};

/* --- transport headers ----------------------------------------------------------------------- */

/* The first fragment of a datagram must have all of the header (RFC 1858, RFC 7112). */
static __always_inline int read_tcp(struct xdp_md *ctx, struct work *w, __u32 room)
{
	struct tcphdr tcp;

	if (room < sizeof(tcp))
		return -EK_DROP_MALFORMED;
	if (bpf_xdp_load_bytes(ctx, w->l4, &tcp, sizeof(tcp)))
		return -EK_DROP_TRUNCATED;
	if (tcp.doff < 5 || tcp.doff * 4u > room)
		return -EK_DROP_MALFORMED;
	w->packet.source_port = tcp.source;
	w->packet.destination_port = tcp.dest;
	w->packet.sequence = tcp.seq;
	w->packet.tcp_flags = ((__u8 *)&tcp)[13];
	return 0;
}

static __always_inline int read_udp(struct xdp_md *ctx, struct work *w, __u32 room)
{
	struct udphdr udp;

	if (room < sizeof(udp))
		return -EK_DROP_MALFORMED;
	if (bpf_xdp_load_bytes(ctx, w->l4, &udp, sizeof(udp)))
		return -EK_DROP_TRUNCATED;
	if (bpf_ntohs(udp.len) < sizeof(udp) || (!w->fragment && bpf_ntohs(udp.len) > room))
		return -EK_DROP_MALFORMED;
	w->packet.source_port = udp.source;
	w->packet.destination_port = udp.dest;
	return 0;
}

/* A later fragment has none, and may neither reach back into the first nor beyond all packets. */
static __always_inline int read_transport(struct xdp_md *ctx, struct work *w)
{
	const __u32 room = w->packet.length - (w->l4 - w->l3);

	if (w->offset)
		return (w->packet.protocol == IPPROTO_TCP && w->offset < sizeof(struct tcphdr)) ||
				       w->offset + room > 0xffff
			       ? -EK_DROP_MALFORMED
			       : 0;
	if (w->packet.protocol == IPPROTO_TCP)
		return read_tcp(ctx, w, room);
	if (w->packet.protocol == IPPROTO_UDP)
		return read_udp(ctx, w, room);
	return 0;
}

/* --- IPv6 extension headers ------------------------------------------------------------------ */

static __always_inline bool is_walked(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT;
}

static __always_inline bool is_extension(__u8 next)
{
	return is_walked(next) || next == NEXT_MOBILITY || next == NEXT_HIP || next == NEXT_SHIM6 ||
	       next == NEXT_EXPERIMENT || next == NEXT_EXPERIMENT_TOO;
}

/* To the transport header or, in a later fragment, to where the datagram goes on. */
verified_alone int walk_extensions(struct xdp_md *ctx)
{
	struct {
		__u8 next, length; /* in units of 8 bytes, without the first; of a fragment: none */
		__be16 fragment;
		__be32 id;
	} header;
	struct work *w = work_here();

	if (!w)
		return -EK_DROP_EXTENSION;
	for (__u32 i = 0; i < EXTENSIONS_MAX && is_walked(w->packet.protocol); i++) {
		const bool fragment = w->packet.protocol == IPPROTO_FRAGMENT;

		if (w->l4 - w->l3 + sizeof(header) > w->packet.length)
			return -EK_DROP_MALFORMED;
		if (bpf_xdp_load_bytes(ctx, w->l4, &header, sizeof(header)))
			return -EK_DROP_TRUNCATED;
		w->packet.protocol = header.next;
		w->l4 += fragment ? sizeof(header) : (header.length + 1) * 8;
		if (w->l4 - w->l3 > w->packet.length)
			return -EK_DROP_MALFORMED;
		if (!fragment)
			continue;
		if (w->fragment)
			return -EK_DROP_EXTENSION;
		w->offset = bpf_ntohs(header.fragment) & ~7;
		if (w->offset || header.fragment & FRAGMENT6_MORE) /* or else it is whole */
			w->fragment = fragment_key(&w->packet, header.id);
		if (w->offset)
			return 0;
	}
	return is_extension(w->packet.protocol) ? -EK_DROP_EXTENSION : 0;
}

/* --- IP headers ------------------------------------------------------------------------------ */

/* Bytes of the frame from the IP header on. */
static __always_inline __u32 room_of(const struct work *w)
{
	return w->packet.frame - w->n_tags * sizeof(struct tag) - ETH_HLEN;
}

static __always_inline int read4(struct work *w, void *data, void *end)
{
	struct packet *p = &w->packet;
	struct iphdr *ip = data + ETH_HLEN;
	__u32 header;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	p->source.halves[0] = p->destination.halves[0] = 0;
	p->source.halves[1] = EK_V4_MAPPED | (__u64)ip->saddr << 32;
	p->destination.halves[1] = EK_V4_MAPPED | (__u64)ip->daddr << 32;
	p->family = AF_INET;
	p->protocol = ip->protocol;
	header = ip->ihl * 4u;
	p->length = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || p->length < header)
		return -EK_DROP_MALFORMED;
	if (p->length > room_of(w))
		return -EK_DROP_TRUNCATED;
	p->tos = ip->tos;
	p->id = ip->id;
	p->dont_fragment = ip->frag_off & IP_DF;
	w->l4 = w->l3 + header;
	w->offset = (bpf_ntohs(ip->frag_off) & FRAGMENT_OFFSET) * 8;
	if (ip->frag_off & IP_OFFSET_OR_MF)
		w->fragment = fragment_key(p, ip->id | (__u32)p->protocol << 16);
	return 0;
}

static __always_inline int read6(struct xdp_md *ctx, struct work *w, void *data, void *end)
{
	struct ipv6hdr *ip = data + ETH_HLEN;
	struct packet *p = &w->packet;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	p->source.halves[0] = *(unaligned64 *)&ip->saddr;
	p->source.halves[1] = *(unaligned64 *)((void *)&ip->saddr + 8);
	p->destination.halves[0] = *(unaligned64 *)&ip->daddr;
	p->destination.halves[1] = *(unaligned64 *)((void *)&ip->daddr + 8);
	p->family = AF_INET6;
	if (ek_ip_is_v4(&p->destination)) /* it could match an IPv4 service */
		return XDP_PASS;
	p->protocol = ip->nexthdr;
	if (ip->version != 6)
		return -EK_DROP_MALFORMED;
	p->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (p->length > room_of(w))
		return -EK_DROP_TRUNCATED;
	p->tos = bpf_ntohs(*(__be16 *)ip) >> 4;
	w->l4 = w->l3 + sizeof(*ip);
	return is_extension(p->protocol) ? walk_extensions(ctx) : 0;
}

/* --- the whole ------------------------------------------------------------------------------- */

static __always_inline void begin(struct xdp_md *ctx, struct work *w)
{
	struct packet *p = &w->packet;

	trace_begin(ctx, w);
	p->frame = bpf_xdp_get_buff_len(ctx);
	p->source_port = p->destination_port = p->id = p->dont_fragment = 0;
	p->sequence = 0;
	p->tcp_flags = p->quoted = 0;
	w->n_tags = w->slot = w->backend = w->offset = 0;
	w->fragment = 0;
	w->l3 = w->l4 = ETH_HLEN;
	vlan_pop(ctx, w);
}

static __always_inline bool is_icmp(const struct packet *p)
{
	return p->protocol == (p->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* For a VIP; about a packet of ours, which icmp.h tells by what it quotes; or the stack's. */
static __always_inline int classify_icmp(struct xdp_md *ctx, const struct work *w)
{
	const bool v4 = w->packet.family == AF_INET;
	__u8 type = 0;

	if (w->fragment)
		return is_vip(ctx) ? -EK_DROP_FRAGMENT : XDP_PASS;
	bpf_xdp_load_bytes(ctx, w->l4, &type, sizeof(type));
	if (!v4 && type >= ICMP6_TYPE_ND && type <= ICMP6_TYPE_ND_LAST)
		return w->n_tags ? XDP_PASS : STAGE_NEIGHBOUR; /* VIPs are announced untagged */
	if (type == (v4 ? ICMP_TYPE_UNREACHABLE : ICMP6_TYPE_TOO_BIG))
		return STAGE_ICMP;
	return is_vip(ctx) ? STAGE_ICMP : XDP_PASS;
}

verified_alone int classify(struct xdp_md *ctx)
{
	struct work *w = work_here();
	void *data, *end;
	struct ethhdr *eth;
	int verdict;

	if (!w)
		return XDP_PASS;
	begin(ctx, w);
	eth = data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	w->ether_type = eth->h_proto;
	if (w->ether_type == bpf_htons(ETH_P_ARP))
		return STAGE_NEIGHBOUR;
	if (w->ether_type == bpf_htons(ETH_P_IP))
		verdict = read4(w, data, end);
	else if (w->ether_type == bpf_htons(ETH_P_IPV6))
		verdict = read6(ctx, w, data, end);
	else
		return XDP_PASS;
	if (!verdict)
		verdict = read_transport(ctx, w);
	if (verdict)
		return verdict > 0 || is_vip(ctx) ? verdict : XDP_PASS;
	if (is_icmp(&w->packet))
		return classify_icmp(ctx, w);
	return w->offset ? fragment_follow(ctx) : find_flow(ctx);
}

#endif
