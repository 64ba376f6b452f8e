/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stage 1: what the packet is. All bounds checks of received data are here; later stages work on
 * `struct packet`, whose fields the compiler keeps in registers.
 *
 * A stage returns 0 to go on, an XDP action to end with it, or minus an enum ek_drop.
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

struct packet {
	struct ek_ip source;
	struct ek_ip destination; /* v4-mapped for IPv4 */
	__be16 source_port;
	__be16 destination_port;
	__be32 sequence; /* TCP */
	__u8 tcp_flags;
	__u8 family; /* AF_INET or AF_INET6 */
	__u8 protocol;
	__u8 tos;  /* IPv4 TOS or IPv6 traffic class */
	__be16 id; /* IPv4 identification and DF, for the outer header */
	__be16 dont_fragment;
	__u32 length; /* of the IP packet, header included */
	__u32 frame;  /* of the frame as received */
};

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
			return -EK_DROP_TRUNCATED;
		p->source_port = tcp->source;
		p->destination_port = tcp->dest;
		p->sequence = tcp->seq;
		p->tcp_flags = ((__u8 *)tcp)[13];
		if (unlikely(tcp->doff < 5 || tcp->doff * 4u > room))
			return -EK_DROP_MALFORMED;
	} else {
		struct udphdr *udp = l4;

		if (unlikely((void *)(udp + 1) > end))
			return -EK_DROP_TRUNCATED;
		p->source_port = udp->source;
		p->destination_port = udp->dest;
		if (unlikely(bpf_ntohs(udp->len) < sizeof(*udp) || bpf_ntohs(udp->len) > room))
			return -EK_DROP_MALFORMED;
	}
	return 0;
}

static __always_inline int parse4(struct packet *p, void *data, void *end)
{
	struct iphdr *ip = data + ETH_HLEN;
	__u32 header;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	p->source.halves[0] = p->destination.halves[0] = 0;
	p->source.halves[1] = EK_V4_MAPPED | (__u64)ip->saddr << 32;
	p->destination.halves[1] = EK_V4_MAPPED | (__u64)ip->daddr << 32;
	p->family = AF_INET;
	p->protocol = ip->protocol;
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return XDP_PASS;

	header = ip->ihl * 4u;
	p->length = bpf_ntohs(ip->tot_len);
	if (unlikely(ip->version != 4 || header < sizeof(*ip) || p->length < header))
		return -EK_DROP_MALFORMED;
	if (unlikely(p->length > p->frame - ETH_HLEN))
		return -EK_DROP_TRUNCATED;
	if (unlikely(ip->frag_off & IP_OFFSET_OR_MF))
		return -EK_DROP_FRAGMENT;
	p->tos = ip->tos;
	p->id = ip->id;
	p->dont_fragment = ip->frag_off & IP_DF;
	return parse_transport(p, (void *)ip + header, end, p->length - header);
}

/* Headers that may stand between an IPv6 header and its transport header (RFC 8200). */
static __always_inline int extension_header(__u8 next)
{
	switch (next) {
	case IPPROTO_FRAGMENT:
		return -EK_DROP_FRAGMENT;
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
		return -EK_DROP_EXTENSION;
	}
	return XDP_PASS;
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
		return extension_header(p->protocol);
	if (unlikely(ip->version != 6))
		return -EK_DROP_MALFORMED;

	payload = bpf_ntohs(ip->payload_len);
	p->length = payload + sizeof(*ip);
	if (unlikely(p->length > p->frame - ETH_HLEN))
		return -EK_DROP_TRUNCATED;
	p->tos = bpf_ntohs(*(__be16 *)ip) >> 4;
	return parse_transport(p, ip + 1, end, payload);
}

#endif
