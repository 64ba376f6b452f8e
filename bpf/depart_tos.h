/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * L3DSR: the packet goes to the backend's address, and its DSCP names the VIP that the backend puts
 * back. ECN stays. Every checksum that covers what changed changes with it (RFC 1624, equation 3);
 * so whatever was wrong with it still is. depart.h calls it, for packets of the backend's family.
 *
 * Transport headers are looked for behind options and extension headers. Only a whole packet or a
 * first fragment has one; its checksum is right for all fragments. What cannot be made right (a
 * checksum that is in a later fragment or behind too many headers, an authenticated address, a
 * source route that has not come to its end) is dropped, before anything is written.
 */
#ifndef EVENKEEL_BPF_DEPART_TOS_H
#define EVENKEEL_BPF_DEPART_TOS_H

#include "checksum.h"
#include "outer.h"

#define IP_OFFSET  bpf_htons(0x1fff)
#define IP6_OFFSET bpf_htons(0xfff8)

#define TOS_ECN	    3u
#define TOS_HEADERS 8 /* extension headers that are walked: as many as classify.h does */

/* What is behind the IP header. */
struct upper {
	__u32 at;
	__u8 protocol;
};

static __always_inline __u16 check_adjust(__u16 check, __u64 change)
{
	return ~sum_fold((__u16)~check + change);
}

/*
 * Where the checksum stands in a transport header that has one over the addresses too; 0: it has
 * none. An authentication header covers the addresses themselves.
 */
static __always_inline int check_offset(__u8 protocol, int family)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		return 6;
	case IPPROTO_ICMPV6:
		return family == AF_INET6 ? 2 : 0;
	case IPPROTO_AH:
		return -EK_DROP_NOT_REWRITABLE;
	}
	return 0;
}

/* `length`: of the Ethernet header and the packet. */
static __always_inline int readdress(void *data, void *end, const struct upper *upper, __u32 length,
				     __u64 change, int family)
{
	const int offset = check_offset(upper->protocol, family);
	unaligned16 *check;
	__u32 at;

	if (offset <= 0)
		return offset;
	at = upper->at + offset;
	check = data + at;
	if (at + sizeof(*check) > length || (void *)(check + 1) > end)
		return -EK_DROP_NOT_REWRITABLE;
	if (upper->protocol != IPPROTO_UDP && upper->protocol != IPPROTO_UDPLITE)
		*check = check_adjust(*check, change);
	else if (*check) /* zero: there is none (RFC 768, RFC 6935) */
		*check = check_adjust(*check, change) ?: 0xffff;
	return 0;
}

verified_alone int depart_tos4(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct work *w = work_here();
	struct upper upper;
	__u16 word, old;
	__u64 change;
	int verdict;

	if (!w || (void *)(ip + 1) > end || !ek_ip_is_v4(&w->out.address))
		return -EK_DROP_NOT_REWRITABLE;
	if (w->out.length > w->out.mtu)
		return too_big(w->out.mtu, 0);
	change = (__u64)(__u32)~ip->daddr + w->out.address.words[3];
	if (!(ip->frag_off & IP_OFFSET)) {
		upper = (struct upper){ETH_HLEN + ip->ihl * 4u, ip->protocol};
		verdict = readdress(data, end, &upper, ETH_HLEN + w->out.length, change, AF_INET);
		if (verdict)
			return verdict;
	}
	old = *(unaligned16 *)ip; /* version, header length, TOS */
	word = (old & (TOS_ECN << 8 | 0xff)) | w->out.dscp << 8;
	*(unaligned16 *)ip = word;
	ip->daddr = w->out.address.words[3];
	ip->check = check_adjust(ip->check, change + (__u16)~old + word);
	write_ethernet(data, w->out.nexthop, w->out.mac, bpf_htons(ETH_P_IP));
	return 0;
}

/*
 * Over one extension header (RFC 8200, section 4): 1. 0: there is none here. A later fragment has
 * nothing behind its header that we know. Where a source route goes on, the checksum is for its
 * last address.
 */
static __always_inline int upper_skip(void *data, void *end, struct upper *upper)
{
	struct {
		__u8 next, words, type, segments;
		__be32 more;
	} *header = data + upper->at;
	const __u8 protocol = upper->protocol;

	if (protocol != IPPROTO_HOPOPTS && protocol != IPPROTO_DSTOPTS &&
	    protocol != IPPROTO_ROUTING && protocol != IPPROTO_FRAGMENT)
		return 0;
	if ((void *)(header + 1) > end || (protocol == IPPROTO_ROUTING && header->segments))
		return -EK_DROP_NOT_REWRITABLE;
	upper->protocol = header->next;
	if (protocol != IPPROTO_FRAGMENT)
		upper->at += 8 + header->words * 8u;
	else if (*(unaligned16 *)&header->type & IP6_OFFSET)
		upper->protocol = IPPROTO_NONE;
	else
		upper->at += 8;
	return 1;
}

static __always_inline int readdress6(void *data, void *end, __u8 protocol, __u32 length,
				      __u64 change)
{
	struct upper upper = {ETH_HLEN + sizeof(struct ipv6hdr), protocol};
	int skipped;

	for (int i = 0; i <= TOS_HEADERS; i++) {
		skipped = upper_skip(data, end, &upper);
		if (skipped < 0)
			return skipped;
		if (!skipped)
			return readdress(data, end, &upper, length, change, AF_INET6);
	}
	return -EK_DROP_NOT_REWRITABLE;
}

verified_alone int depart_tos6(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv6hdr *ip = data + ETH_HLEN;
	struct work *w = work_here();
	__u64 change = 0;
	unaligned64 *to;
	__u16 word;
	int verdict;

	if (!w || (void *)(ip + 1) > end || ek_ip_is_v4(&w->out.address))
		return -EK_DROP_NOT_REWRITABLE;
	if (w->out.length > w->out.mtu)
		return too_big(w->out.mtu, 0);
	to = (void *)&ip->daddr;
	change = sum_add(sum_add(change, ~to[0]), ~to[1]);
	change = sum_add(sum_add(change, w->out.address.halves[0]), w->out.address.halves[1]);
	verdict = readdress6(data, end, ip->nexthdr, ETH_HLEN + w->out.length, change);
	if (verdict)
		return verdict;
	word = bpf_ntohs(*(unaligned16 *)ip); /* version, traffic class, label */
	*(unaligned16 *)ip = bpf_htons((word & (0xf00f | TOS_ECN << 4)) | w->out.dscp << 4);
	to[0] = w->out.address.halves[0];
	to[1] = w->out.address.halves[1];
	write_ethernet(data, w->out.nexthop, w->out.mac, bpf_htons(ETH_P_IPV6));
	return 0;
}

#endif
