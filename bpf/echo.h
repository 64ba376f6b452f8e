/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Echo requests for a VIP (RFC 792; RFC 4443, section 4.1), answered in place: the frame that came
 * in leaves with its addresses exchanged, whatever its length. Both checksums are updated and not
 * computed (RFC 1624), so that an error on the way to us is one on the way back. icmp.h calls it.
 *
 * Nothing is put together from fragments, and IP options would have to be reversed (RFC 1122,
 * section 3.2.2.6): both are refused by name.
 */
#ifndef EVENKEEL_BPF_ECHO_H
#define EVENKEEL_BPF_ECHO_H

#include "icmp_message.h"
#include "allowance.h"
#include "reset.h"

#define ECHO_TTL 64u /* or hop limit */

/*
 * The type goes from 8 to 0: the sum loses 8, its complement wins 8. Said so (RFC 1141), a message
 * of nothing but zeros gets the one checksum that receivers take, 0xffff.
 */
static __always_inline __u16 echo_sum4(__u16 checksum)
{
	return sum_fold((__u64)checksum + bpf_htons(ICMP4_ECHO << 8));
}

/* From 128 to 129. */
static __always_inline __u16 echo_sum6(__u16 checksum)
{
	return ~sum_fold((__u64)(__u16)~checksum + bpf_htons(1 << 8));
}

static __always_inline int echo4(void *data, void *end)
{
	struct iphdr *ip = data + ETH_HLEN;
	struct icmp_message *icmp = (void *)(ip + 1);
	__u16 old;
	__u64 addresses;

	if ((void *)(icmp + 1) > end)
		return -EK_DROP_TRUNCATED;
	if (ip->ihl != 5)
		return -EK_DROP_ICMP_OTHER;
	if (!reset_ethernet(data, bpf_htons(ETH_P_IP)))
		return -EK_DROP_UNRESOLVED;
	old = *(unaligned16 *)&ip->ttl;
	ip->ttl = ECHO_TTL;
	ip->check = ~sum_fold((__u64)(__u16)~ip->check + (__u16)~old + *(unaligned16 *)&ip->ttl);
	addresses = *(unaligned64 *)&ip->saddr;
	*(unaligned64 *)&ip->saddr = addresses << 32 | addresses >> 32;
	icmp->type = ICMP4_ECHO_REPLY;
	icmp->checksum = echo_sum4(icmp->checksum);
	return XDP_TX;
}

static __always_inline int echo6(void *data, void *end)
{
	struct ipv6hdr *ip = data + ETH_HLEN;
	struct icmp_message *icmp = (void *)(ip + 1);
	unaligned64 *words = (void *)&ip->saddr;

	if ((void *)(icmp + 1) > end)
		return -EK_DROP_TRUNCATED;
	if (ip->nexthdr != IPPROTO_ICMPV6)
		return -EK_DROP_ICMP_OTHER;
	if (!reset_ethernet(data, bpf_htons(ETH_P_IPV6)))
		return -EK_DROP_UNRESOLVED;
	ip->hop_limit = ECHO_TTL;
	for (int i = 0; i < 2; i++) {
		const __u64 from = words[i];

		words[i] = words[i + 2];
		words[i + 2] = from;
	}
	icmp->type = ICMP6_ECHO_REPLY;
	icmp->checksum = echo_sum6(icmp->checksum);
	return XDP_TX;
}

/* What can be told from the packet without writing to it, and the rate. */
static __always_inline int echo_refused(const struct work *w, const struct ethhdr *eth)
{
	const struct ek_settings *settings = settings_here();

	if (!settings || !settings->echo_rate)
		return -EK_DROP_ECHO_OFF;
	if (eth->h_source[0] & 1 || !ek_select_is_told(&w->packet.source, 0))
		return -EK_DROP_MALFORMED;
	return allow(ALLOWANCE_ECHO, settings->echo_rate) ? 0 : -EK_DROP_ICMP_RATE;
}

verified_alone int echo(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct work *w = work_here();
	int verdict;

	if (!w || data + ETH_HLEN > end)
		return -EK_DROP_TRUNCATED;
	verdict = echo_refused(w, data);
	if (verdict)
		return verdict;
	verdict = w->packet.family == AF_INET ? echo4(data, end) : echo6(data, end);
	if (verdict == XDP_TX)
		count_answer(EK_ANSWER_ECHO);
	return verdict;
}

#endif
