/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ICMP errors about a flow go to the backend that has it (RFC 1122, section 3.2.2: it needs them to
 * find the path's MTU, or to give up). What an error quotes is a packet that a backend sent, from
 * the VIP to the client: exchanged, its addresses and ports are those of the flow's own packets,
 * and find the same backend. Who sent the error says nothing, and its checksum is for the backend
 * to verify. icmp.h calls it.
 */
#ifndef EVENKEEL_BPF_QUOTED_H
#define EVENKEEL_BPF_QUOTED_H

#include "icmp_message.h"
#include "wildcard.h"

#define QUOTED_EXTENSIONS 4

/* Where the quoted packet begins. */
static __always_inline __u32 quoted_at(const struct work *w)
{
	return w->l4 + sizeof(struct icmp_message);
}

/* The ports, if it is of a protocol that has them; what is behind the error is no quote. */
static __always_inline int quoted_ports(struct xdp_md *ctx, const struct work *w, struct packet *p,
					__u32 at)
{
	__be16 ports[2] = {};
	__u32 n = p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP ? sizeof(ports) : 0;

	if (at + n > w->l3 + p->length)
		return -EK_DROP_NO_SERVICE;
	if (n && bpf_xdp_load_bytes(ctx, at, ports, sizeof(ports)))
		return -EK_DROP_NO_SERVICE;
	p->source_port = ports[1];
	p->destination_port = ports[0];
	return 0;
}

static __always_inline int quoted4(struct xdp_md *ctx, const struct work *w, struct packet *p,
				   __u32 at)
{
	struct iphdr ip;

	if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
	    ip.frag_off & bpf_htons(0x1fff) || ip.saddr != p->destination.words[3])
		return -EK_DROP_NO_SERVICE;
	p->source.words[3] = ip.daddr;
	p->protocol = ip.protocol;
	return quoted_ports(ctx, w, p, at + ip.ihl * 4);
}

/* Past extension headers (RFC 8200, section 4): where the transport header is, or 0. */
static __always_inline __u32 quoted_transport6(struct xdp_md *ctx, struct packet *p, __u32 at)
{
	__u8 header[4]; /* next header, length in units of 8 bytes, fragment offset */

	for (int i = 0; i < QUOTED_EXTENSIONS; i++) {
		if (p->protocol != IPPROTO_HOPOPTS && p->protocol != IPPROTO_ROUTING &&
		    p->protocol != IPPROTO_DSTOPTS && p->protocol != IPPROTO_FRAGMENT)
			return at;
		if (bpf_xdp_load_bytes(ctx, at, header, sizeof(header)))
			return 0;
		if (p->protocol != IPPROTO_FRAGMENT)
			at += (header[1] + 1) * 8;
		else if (header[2] || header[3] & 0xf8)
			return 0; /* a later fragment */
		else
			at += 8;
		p->protocol = header[0];
	}
	return at; /* of a protocol that no service has, if it is one header more */
}

static __always_inline int quoted6(struct xdp_md *ctx, const struct work *w, struct packet *p,
				   __u32 at)
{
	struct ipv6hdr ip;

	if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.version != 6)
		return -EK_DROP_NO_SERVICE;
	p->source.halves[0] = *(unaligned64 *)&ip.saddr ^ p->destination.halves[0];
	p->source.halves[1] = *(unaligned64 *)((void *)&ip.saddr + 8) ^ p->destination.halves[1];
	if (p->source.halves[0] | p->source.halves[1])
		return -EK_DROP_NO_SERVICE;
	p->source.halves[0] = *(unaligned64 *)&ip.daddr;
	p->source.halves[1] = *(unaligned64 *)((void *)&ip.daddr + 8);
	p->protocol = ip.nexthdr;
	at = quoted_transport6(ctx, p, at + sizeof(ip));
	return at ? quoted_ports(ctx, w, p, at) : -EK_DROP_NO_SERVICE;
}

/* Fills `struct work` as if a packet of the flow had come. */
verified_alone int quoted(struct xdp_md *ctx)
{
	struct work *w = work_here();
	int verdict;

	if (!w)
		return -EK_DROP_NO_SERVICE;
	verdict = w->packet.family == AF_INET ? quoted4(ctx, w, &w->packet, quoted_at(w))
					      : quoted6(ctx, w, &w->packet, quoted_at(w));
	if (verdict)
		return verdict;
	w->packet.quoted = 1;
	return find_flow(ctx) ? -EK_DROP_NO_SERVICE : 0;
}

#endif
