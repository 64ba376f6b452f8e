/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The answer to a segment of no known connection, for services whose failover is none: the frame
 * becomes, in place, the RST of RFC 9293, section 3.5.2, from the VIP to the segment's sender, and
 * leaves by the port it came in. account.h calls it, before anything was written to the frame.
 *
 * The answer is never longer than the question and is itself never answered, so that it neither
 * amplifies nor loops. The question's checksum is not verified, here as for what is forwarded: the
 * receiver of an RST has the sequence number to tell a true one by. Fragments, what has extension
 * headers and what an ICMP error is about are not answered.
 */
#ifndef EVENKEEL_BPF_RESET_H
#define EVENKEEL_BPF_RESET_H

#include <stdbool.h>
#include "checksum.h"
#include "forward.h"

#define RESET_TTL 64u /* or hop limit */

enum {
	RESET_TCP = sizeof(struct tcphdr),
	RESET4_IP = sizeof(struct iphdr) + RESET_TCP,
	RESET4_END = ETH_HLEN + RESET4_IP,
	RESET6_END = ETH_HLEN + sizeof(struct ipv6hdr) + RESET_TCP,
};

/* The TCP header as it leaves, without checksum: the urgent pointer and the window are zero. */
struct reset_tcp {
	__u64 first;  /* ports, sequence number */
	__u64 second; /* acknowledgement number, data offset, flags */
};

/*
 * The sequence number is the one that the segment acknowledged. If it acknowledged none, zero, and
 * the RST acknowledges all of it: its data, and SYN and FIN as one each. `length`: of the segment,
 * header included.
 */
static __always_inline struct reset_tcp reset_tcp(const struct tcphdr *tcp, __u32 length)
{
	const __u64 ports = tcp->dest | (__u32)tcp->source << 16;
	__u32 end;

	if (tcp->ack)
		return (struct reset_tcp){ports | (__u64)tcp->ack_seq << 32,
					  (__u64)(0x50 | TCP_RST << 8) << 32};
	end = bpf_ntohl(tcp->seq) + length - tcp->doff * 4 + tcp->syn + tcp->fin;
	return (struct reset_tcp){ports, bpf_htonl(end) | (__u64)(0x50 | (TCP_RST | TCP_ACK) << 8)
								  << 32};
}

/* The frame in its new length, or NULL; `end` is for the verifier. */
static __always_inline void *reset_cut(struct xdp_md *ctx, int length)
{
	void *data, *end;

	if (bpf_xdp_adjust_tail(ctx, length - (int)bpf_xdp_get_buff_len(ctx)))
		return NULL;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	return data + length > end ? NULL : data;
}

/* Back to the neighbour that it came from, in this port's own name. */
static __always_inline bool reset_ethernet(void *frame, __be16 type)
{
	const __u64 neighbour = *(unaligned64 *)(frame + ETH_ALEN) & 0xffffffffffff;
	__u32 number = own_port;
	struct ek_port *port = bpf_map_lookup_elem(&ports, &number);

	if (!port)
		return false;
	write_ethernet(frame, neighbour, port->mac, type);
	return true;
}

/* `sum`: of the addresses, whose order is no matter. */
static __always_inline void reset_write(void *tcp, const struct reset_tcp *r, __u64 sum)
{
	sum = sum_add(sum_add(sum, r->first), r->second) + sum_begin(RESET_TCP, IPPROTO_TCP);
	*(unaligned64 *)tcp = r->first;
	*(unaligned64 *)(tcp + 8) = r->second;
	*(unaligned32 *)(tcp + 16) = (__u16)~sum_fold(sum);
}

static __always_inline int reset4(struct xdp_md *ctx, struct iphdr *ip, void *end)
{
	const __u64 header = 0x45 | (__u64)bpf_htons(RESET4_IP) << 16 | (__u64)IP_DF << 48;
	const __u32 limit = RESET_TTL | IPPROTO_TCP << 8;
	struct tcphdr *tcp;
	struct reset_tcp r;
	struct ek_ip source = {};
	__u64 addresses;
	void *frame;

	if ((void *)(ip + 1) > end || ip->protocol != IPPROTO_TCP || ip->frag_off & IP_OFFSET_OR_MF)
		return XDP_DROP;
	tcp = (void *)ip + ip->ihl * 4;
	if ((void *)(tcp + 1) > end)
		return XDP_DROP;
	source.halves[1] = EK_V4_MAPPED | (__u64)ip->saddr << 32;
	if (!ek_select_is_told(&source, tcp->rst))
		return XDP_DROP;
	r = reset_tcp(tcp, bpf_ntohs(ip->tot_len) - ip->ihl * 4);

	frame = reset_cut(ctx, RESET4_END);
	if (!frame || !reset_ethernet(frame, bpf_htons(ETH_P_IP)))
		return XDP_DROP;
	ip = frame + ETH_HLEN;
	addresses = *(unaligned64 *)&ip->saddr;
	*(unaligned64 *)ip = header;
	*(unaligned32 *)&ip->ttl =
		limit | (__u32)(__u16)~sum_fold(sum_add(sum_add(limit, header), addresses)) << 16;
	*(unaligned64 *)&ip->saddr = addresses << 32 | addresses >> 32;
	reset_write(ip + 1, &r, sum_add(0, addresses));
	return XDP_TX;
}

static __always_inline int reset6(struct xdp_md *ctx, struct ipv6hdr *ip, void *end)
{
	struct tcphdr *tcp = (void *)(ip + 1);
	unaligned64 *words;
	struct reset_tcp r;
	struct ek_ip source;
	__u64 sum = 0;
	void *frame;

	if ((void *)(tcp + 1) > end || ip->nexthdr != IPPROTO_TCP)
		return XDP_DROP;
	words = (void *)&ip->saddr;
	source = (struct ek_ip){.halves = {words[0], words[1]}};
	if (!ek_select_is_told(&source, tcp->rst))
		return XDP_DROP;
	r = reset_tcp(tcp, bpf_ntohs(ip->payload_len));

	frame = reset_cut(ctx, RESET6_END);
	if (!frame || !reset_ethernet(frame, bpf_htons(ETH_P_IPV6)))
		return XDP_DROP;
	ip = frame + ETH_HLEN;
	*(unaligned64 *)ip = bpf_htonl(6u << 28) | (__u64)bpf_htons(RESET_TCP) << 32 |
			     (__u64)IPPROTO_TCP << 48 | (__u64)RESET_TTL << 56;
	words = (void *)&ip->saddr;
	for (int i = 0; i < 2; i++) {
		const __u64 from = words[i], to = words[i + 2];

		sum = sum_add(sum_add(sum, from), to);
		words[i] = to;
		words[i + 2] = from;
	}
	reset_write(ip + 1, &r, sum);
	return XDP_TX;
}

/* A subprogram, as neighbour() is: what is seldom needed must not cost the stages registers. */
verified_alone int reset(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	int verdict;

	if ((void *)(eth + 1) > end || eth->h_source[0] & 1)
		return XDP_DROP;
	verdict = eth->h_proto == bpf_htons(ETH_P_IP) ? reset4(ctx, data + ETH_HLEN, end)
						      : reset6(ctx, data + ETH_HLEN, end);
	if (verdict == XDP_TX)
		count_answer(EK_ANSWER_RESET);
	return verdict;
}

#endif
