/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packet Too Big, or "fragmentation needed", in a VIP's name: what path MTU discovery of clients
 * lives on (RFC 1191, RFC 8201). Two things are answered so: a packet that would not fit its tunnel
 * (account.h calls packet_too_big() before anything was written to it), and the news of a router
 * inside that a tunnel packet of ours did not fit (inside.h). The frame itself becomes the answer:
 * the packet stands where it stood, quoted, and the headers are put before it.
 *
 * Who must not be answered: RFC 1122, section 3.2.2, and RFC 4443, section 2.4 (e). An answer is
 * never longer than what it answers, and never answered.
 */
#ifndef EVENKEEL_BPF_TOO_BIG_H
#define EVENKEEL_BPF_TOO_BIG_H

#include "icmp_message.h"
#include "allowance.h"
#include "reset.h"

#define TOLD_TTL  64u
#define TOLD_TOS4 0xc0u /* internetwork control (RFC 1812, section 4.3.2.5) */
#define MTU6_MIN  1280u

enum {
	TOLD4 = sizeof(struct iphdr) + sizeof(struct icmp_message),
	TOLD6 = sizeof(struct ipv6hdr) + sizeof(struct icmp_message),
	/*
	 * As much as may be quoted (RFC 1812, section 4.3.2.3; RFC 4443, section 2.4 (c)), less a
	 * tunnel's header: an answer is shorter than what a tunnel over 576 bytes cannot take;
	 */
	QUOTE4 = 576 - sizeof(struct iphdr) - TOLD4,
	QUOTE6 = MTU6_MIN - TOLD6,
	/* and as little. */
	QUOTE4_MIN = sizeof(struct iphdr) + 8,
	QUOTE6_MIN = sizeof(struct ipv6hdr) + 8,
};

#define SUM_MAX 512u /* bytes that bpf_csum_diff() takes on Linux 6.1 */

/* Of the packet's bytes, n a multiple of 4. */
static __always_inline __u64 sum_bytes(void *at, const __u32 n)
{
	__u64 sum = 0;

#pragma unroll
	for (__u32 i = 0; i < n; i += SUM_MAX)
		sum += (__u32)bpf_csum_diff(NULL, 0, at + i, n - i < SUM_MAX ? n - i : SUM_MAX, 0);
	return sum;
}

/*
 * The frame begins `shift` bytes later (or earlier), has `length` bytes and an Ethernet header back
 * to the neighbour that it came from. NULL: it cannot be, and the frame is lost.
 */
static __always_inline void *told_open(struct xdp_md *ctx, int shift, const int length, __be16 type)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 number = own_port;
	struct ek_port *port = bpf_map_lookup_elem(&ports, &number);
	__u64 neighbour;

	if (!port || data + ETH_HLEN > end)
		return NULL;
	neighbour = *(unaligned64 *)(data + ETH_ALEN) & 0xffffffffffff;
	if (bpf_xdp_adjust_head(ctx, shift) ||
	    bpf_xdp_adjust_tail(ctx, length - (int)bpf_xdp_get_buff_len(ctx)))
		return NULL;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + length > end)
		return NULL;
	write_ethernet(data, neighbour, port->mac, type);
	return data;
}

/* About the packet that begins TOLD4 bytes behind the Ethernet header, after the shift. */
static __always_inline bool tell4(struct xdp_md *ctx, int shift, __u32 mtu, const __u32 quote)
{
	const __u64 header =
		0x45 | TOLD_TOS4 << 8 | (__u64)bpf_htons(TOLD4 + quote) << 16 | (__u64)IP_DF << 48;
	const __u64 message =
		ICMP4_UNREACHABLE | ICMP4_CODE_TOO_BIG << 8 | (__u64)bpf_htons(mtu) << 48;
	const __u32 limit = TOLD_TTL | IPPROTO_ICMP << 8;
	void *at = told_open(ctx, shift, ETH_HLEN + TOLD4 + quote, bpf_htons(ETH_P_IP));
	__u64 addresses, sum;

	if (!at)
		return false;
	at += ETH_HLEN;
	addresses = *(unaligned64 *)(at + TOLD4 + 12);
	addresses = addresses << 32 | addresses >> 32;
	sum = sum_add(sum_add(limit, header), addresses);
	*(unaligned64 *)at = header;
	*(unaligned32 *)(at + 8) = limit | (__u32)(__u16)~sum_fold(sum) << 16;
	*(unaligned64 *)(at + 12) = addresses;
	at += sizeof(struct iphdr);
	sum = sum_add(sum_bytes(at + sizeof(struct icmp_message), quote), message);
	*(unaligned64 *)at = message | (__u64)(__u16)~sum_fold(sum) << 16;
	return true;
}

static __always_inline bool tell6(struct xdp_md *ctx, int shift, __u32 mtu, const __u32 quote)
{
	const __u32 length = sizeof(struct icmp_message) + quote;
	const __u64 message = ICMP6_TOO_BIG | (__u64)bpf_htonl(mtu) << 32;
	void *at = told_open(ctx, shift, ETH_HLEN + TOLD6 + quote, bpf_htons(ETH_P_IPV6));
	unaligned64 *from, *to;
	__u64 sum = sum_begin(length, IPPROTO_ICMPV6);

	if (!at)
		return false;
	at += ETH_HLEN;
	*(unaligned64 *)at = bpf_htonl(6u << 28) | (__u64)bpf_htons(length) << 32 |
			     (__u64)IPPROTO_ICMPV6 << 48 | (__u64)TOLD_TTL << 56;
	to = at + 8;
	from = at + TOLD6 + 8;
	for (int i = 0; i < 4; i++) {
		const __u64 word = from[i ^ 2];

		sum = sum_add(sum, word);
		to[i] = word;
	}
	at += sizeof(struct ipv6hdr);
	sum = sum_add(sum + sum_bytes(at + sizeof(struct icmp_message), quote), message);
	*(unaligned64 *)at = message | (__u64)(__u16)~sum_fold(sum) << 16;
	return true;
}

/* Whether its sender can do something about a packet of which only `fits` bytes fit. */
static __always_inline bool is_told4(const struct iphdr *ip, __u32 fits)
{
	struct ek_ip source = {};

	source.halves[1] = EK_V4_MAPPED | (__u64)ip->saddr << 32;
	return ip->frag_off & IP_DF && !(ip->frag_off & bpf_htons(0x1fff)) &&
	       ip->protocol != IPPROTO_ICMP && bpf_ntohs(ip->tot_len) > fits &&
	       ek_select_is_told(&source, 0);
}

/*
 * Less than MTU6_MIN cannot be asked for. Of ICMP, only errors come here, which the stages before
 * have found behind extension headers, too; what is TCP or UDP at once may be a usual packet, of
 * which they know nothing.
 */
static __always_inline bool is_told6(const struct ipv6hdr *ip, const struct work *w, __u32 fits)
{
	struct ek_ip source;

	source.halves[0] = *(unaligned64 *)&ip->saddr;
	source.halves[1] = *(unaligned64 *)((void *)&ip->saddr + 8);
	if (ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP &&
	    (ip->nexthdr == IPPROTO_ICMPV6 || w->packet.quoted))
		return false;
	return bpf_ntohs(ip->payload_len) + sizeof(*ip) > (fits > MTU6_MIN ? fits : MTU6_MIN) &&
	       ek_select_is_told(&source, 0);
}

static __always_inline bool too_big4(struct xdp_md *ctx, void *ip, void *end, const struct work *w)
{
	const __u32 fits = w->fits;

	return ip + QUOTE4 <= end && is_told4(ip, fits) && allow_error() &&
	       tell4(ctx, -(int)TOLD4, fits, QUOTE4);
}

static __always_inline bool too_big6(struct xdp_md *ctx, void *ip, void *end, const struct work *w)
{
	const __u32 fits = w->fits > MTU6_MIN ? w->fits : MTU6_MIN;

	return ip + QUOTE6 <= end && is_told6(ip, w, fits) && allow_error() &&
	       tell6(ctx, -(int)TOLD6, fits, QUOTE6);
}

/* For an EK_DROP_TOO_BIG of which too_big() has noted what would have fitted. */
verified_alone int packet_too_big(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct work *w = work_here();
	struct ethhdr *eth = data;

	if (!w || (void *)(eth + 1) > end || eth->h_source[0] & 1)
		return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_IP) ? !too_big4(ctx, data + ETH_HLEN, end, w)
						: !too_big6(ctx, data + ETH_HLEN, end, w))
		return XDP_DROP;
	count_answer(EK_ANSWER_TOO_BIG);
	return XDP_TX;
}

#endif
