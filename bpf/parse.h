/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stage 1: what the packet is, if it is a usual one: whole TCP or UDP, untagged, right behind its
 * IP header. Later stages work on `struct packet`, whose fields the compiler keeps in registers.
 * Whatever else it may be, and what is wrong with it, classify.h finds out.
 *
 * A stage returns 0 to go on, an XDP action to end with it, minus an enum ek_drop, or an enum
 * stage.
 */
#ifndef EVENKEEL_BPF_PARSE_H
#define EVENKEEL_BPF_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include "maps.h"

/*
 * Words of a packet at any offset. They claim their natural alignment: told the truth, clang takes
 * them apart into bytes (the BPF target has no unaligned access), and a byte-wise header costs 4 to
 * 6 ns. The verifier allows it where the machine does.
 */
typedef __u16 __attribute__((may_alias)) unaligned16;
typedef __u32 __attribute__((may_alias)) unaligned32;
typedef __u64 __attribute__((may_alias)) unaligned64;

#define AF_INET	 2
#define AF_INET6 10

#define IP_OFFSET_OR_MF bpf_htons(0x3fff)
#define IP_DF		bpf_htons(0x4000)

static __always_inline __u32 service_word(const struct packet *p)
{
	return p->destination_port | (__u32)p->protocol << 16;
}

/* Ports, and the checks that make the transport header mean what it says. */
static __always_inline int parse_transport(struct packet *p, void *l4, void *end, __u32 room)
{
	if (p->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;

		if (unlikely((void *)(tcp + 1) > end))
			return STAGE_UNUSUAL;
		p->source_port = tcp->source;
		p->destination_port = tcp->dest;
		p->sequence = tcp->seq;
		p->tcp_flags = ((__u8 *)tcp)[13];
		if (unlikely(tcp->doff < 5 || tcp->doff * 4u > room))
			return STAGE_UNUSUAL;
	} else {
		struct udphdr *udp = l4;

		if (unlikely((void *)(udp + 1) > end))
			return STAGE_UNUSUAL;
		p->source_port = udp->source;
		p->destination_port = udp->dest;
		if (unlikely(bpf_ntohs(udp->len) < sizeof(*udp) || bpf_ntohs(udp->len) > room))
			return STAGE_UNUSUAL;
	}
	return 0;
}

static __always_inline int parse4(struct packet *p, void *data, void *end)
{
	struct iphdr *ip = data + ETH_HLEN;
	__u32 header, id_and_flags;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	p->source.halves[0] = p->destination.halves[0] = 0;
	p->source.halves[1] = EK_V4_MAPPED | (__u64)ip->saddr << 32;
	p->destination.halves[1] = EK_V4_MAPPED | (__u64)ip->daddr << 32;
	p->family = AF_INET;
	p->protocol = ip->protocol;
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return STAGE_UNUSUAL;

	header = ip->ihl * 4u;
	p->length = bpf_ntohs(ip->tot_len);
	if (unlikely(ip->version != 4 || header < sizeof(*ip) || p->length < header))
		return STAGE_UNUSUAL;
	if (unlikely(p->length > p->frame - ETH_HLEN))
		return STAGE_UNUSUAL;
	id_and_flags = *(unaligned32 *)&ip->id;
	if (unlikely(id_and_flags & (__u32)IP_OFFSET_OR_MF << 16))
		return STAGE_UNUSUAL;
	p->tos = ip->tos;
	p->id_and_flags = id_and_flags & ((__u32)IP_DF << 16 | 0xffff);
	return parse_transport(p, (void *)ip + header, end, p->length - header);
}

static __always_inline int parse6(struct packet *p, void *data, void *end)
{
	struct ipv6hdr *ip = data + ETH_HLEN;
	__u32 payload;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	p->source.halves[0] = *(unaligned64 *)&ip->saddr;
	p->source.halves[1] = *(unaligned64 *)((void *)&ip->saddr + 8);
	p->destination.halves[0] = *(unaligned64 *)&ip->daddr;
	p->destination.halves[1] = *(unaligned64 *)((void *)&ip->daddr + 8);
	p->family = AF_INET6;
	if (unlikely(ek_ip_is_v4(&p->destination))) /* it could match an IPv4 service */
		return XDP_PASS;
	p->protocol = ip->nexthdr;
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return STAGE_UNUSUAL;
	if (unlikely(ip->version != 6))
		return STAGE_UNUSUAL;

	payload = bpf_ntohs(ip->payload_len);
	p->length = payload + sizeof(*ip);
	if (unlikely(p->length > p->frame - ETH_HLEN))
		return STAGE_UNUSUAL;
	p->tos = bpf_ntohs(*(__be16 *)ip) >> 4;
	return parse_transport(p, ip + 1, end, payload);
}

#endif
