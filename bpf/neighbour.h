/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Beside the stages: frames that are not for the port's own MAC, and the questions by which a VIP's
 * MAC is found out. ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861) for a VIP are
 * answered in place as long as the VIP's lease runs (struct ek_lease), and no longer: a node whose
 * controller died falls silent by itself. Whatever is not a well-formed question for such a VIP is
 * the stack's business and is passed byte for byte.
 */
#ifndef EVENKEEL_BPF_NEIGHBOUR_H
#define EVENKEEL_BPF_NEIGHBOUR_H

#include <stdbool.h>
#include "checksum.h"
#include "forward.h"

#define GROUP_MAC(mac) ((mac)&1)

/* 00:00:5e:00:01:VRID and, for IPv6, 00:00:5e:00:02:VRID (RFC 9568, section 7.3). */
#define VIRTUAL_MAC4	      0x01005e0000ull
#define VIRTUAL_MAC6	      0x02005e0000ull
#define VIRTUAL_MAC_KIND(mac) ((mac)&0xffffffffffull)
#define VIRTUAL_MAC_VRID(mac) ((__u8)((mac) >> 40))

/* Whether a VIP's lease says that frames to this MAC are ours. */
static __always_inline bool holds_virtual_mac(__u64 mac)
{
	const __u64 kind = VIRTUAL_MAC_KIND(mac);
	__u32 id = VIRTUAL_MAC_VRID(mac);
	struct ek_lease *lease;
	__u64 held;

	if (kind != VIRTUAL_MAC4 && kind != VIRTUAL_MAC6)
		return false;
	lease = bpf_map_lookup_elem(&leases, &id);
	if (!lease || lease->port != own_port)
		return false;
	held = kind == VIRTUAL_MAC4 ? lease->mac4 : lease->mac6;
	return held & EK_LEASE_HELD && EK_NEXTHOP_MAC(held) == mac;
}

/* The lease by which this port answers for a VIP now, or NULL. */
static __always_inline const struct ek_lease *running_lease(const struct ek_ip *vip,
							    const int family)
{
	__u64 key = EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP);
	struct ek_service *entry = service_find(vip, key, service_hash(vip, 0, family));
	struct ek_lease *lease;
	__u32 id;

	if (!entry)
		return NULL;
	id = entry->id;
	if (id == EK_LEASE_NONE)
		return NULL;
	lease = bpf_map_lookup_elem(&leases, &id);
	if (!lease || lease->port != own_port || lease->until <= bpf_ktime_get_ns())
		return NULL;
	return lease;
}

/* --- ARP ------------------------------------------------------------------------------------- */

/* Hardware and protocol types, their lengths, operation; as one word in memory order. */
#define ARP_REQUEST bpf_cpu_to_be64(0x0001080006040001)
#define ARP_REPLY   bpf_cpu_to_be64(0x0001080006040002)

/* Where fields start in the frame. */
enum {
	ARP_HEADER = ETH_HLEN,
	ARP_SENDER_MAC = ARP_HEADER + 8,
	ARP_SENDER_IP = ARP_SENDER_MAC + 6,
	ARP_TARGET_MAC = ARP_SENDER_IP + 4,
	ARP_TARGET_IP = ARP_TARGET_MAC + 6,
	ARP_END = ARP_TARGET_IP + 4,
};

/*
 * A sender of 0.0.0.0 probes whether the VIP is free (RFC 5227), and is told that it is not. A
 * sender that is the VIP itself announces: that is news, and no question.
 */
static __always_inline int answer_arp(void *data, void *end)
{
	struct ek_ip vip = {};
	const struct ek_lease *lease;
	__u64 asker, mac;
	__be32 asker_ip, ip;

	if (data + ARP_END > end || *(unaligned64 *)(data + ARP_HEADER) != ARP_REQUEST)
		return XDP_PASS;
	asker = EK_NEXTHOP_MAC(*(unaligned64 *)(data + ARP_SENDER_MAC));
	asker_ip = *(unaligned32 *)(data + ARP_SENDER_IP);
	ip = *(unaligned32 *)(data + ARP_TARGET_IP);
	if (GROUP_MAC(asker) || asker_ip == ip)
		return XDP_PASS;
	vip.halves[1] = EK_V4_MAPPED | (__u64)ip << 32;
	lease = running_lease(&vip, AF_INET);
	if (!lease)
		return XDP_PASS;

	mac = EK_NEXTHOP_MAC(lease->mac4);
	write_ethernet(data, asker, mac, bpf_htons(ETH_P_ARP));
	*(unaligned64 *)(data + ARP_HEADER) = ARP_REPLY;
	*(unaligned64 *)(data + ARP_SENDER_MAC) = mac | (__u64)ip << 48;
	*(unaligned64 *)(data + ARP_SENDER_IP + 2) = ip >> 16 | asker << 16;
	*(unaligned32 *)(data + ARP_TARGET_IP) = asker_ip;
	return XDP_TX;
}

/* --- neighbour discovery --------------------------------------------------------------------- */

#define ND_SOLICITATION	 135 /* type, code 0, in memory order */
#define ND_ADVERTISEMENT 136
#define ND_OPTION_SOURCE 1
#define ND_OPTION_TARGET 2
#define ND_SOLICITED	 bpf_htonl(1u << 30)
#define ND_OVERRIDE	 bpf_htonl(1u << 29)
#define ND_HOP_LIMIT	 255

#define ALL_NODES_MAC 0x010000003333ull /* 33:33:00:00:00:01 */

enum {
	ND_SOURCE = ETH_HLEN + 8,
	ND_DESTINATION = ND_SOURCE + 16,
	ND_MESSAGE = ETH_HLEN + sizeof(struct ipv6hdr),
	ND_TARGET = ND_MESSAGE + 8,
	ND_OPTIONS = ND_TARGET + 16,
	ND_SHORTEST = ND_OPTIONS - ND_MESSAGE,
	ND_UNITS_MAX = 4, /* of 8 bytes, all options together: one is usual, two with a nonce */
	ND_ANSWER = ND_SHORTEST + 8,
	ND_ANSWER_END = ND_MESSAGE + ND_ANSWER,
};

static __always_inline struct ek_ip address_at(const unaligned64 *at)
{
	return (struct ek_ip){.halves = {at[0], at[1]}};
}

static __always_inline void write_address(unaligned64 *at, const struct ek_ip *ip)
{
	at[0] = ip->halves[0];
	at[1] = ip->halves[1];
}

static __always_inline bool is_unspecified(const struct ek_ip *ip)
{
	return !(ip->halves[0] | ip->halves[1]);
}

static __always_inline bool is_multicast(const struct ek_ip *ip)
{
	return (__u8)ip->halves[0] == 0xff;
}

static __always_inline bool is_equal(const struct ek_ip *a, const struct ek_ip *b)
{
	return !((a->halves[0] ^ b->halves[0]) | (a->halves[1] ^ b->halves[1]));
}

/* ff02::1:ffXX:XXXX, the group that hears questions for an address (RFC 4291, section 2.7.1). */
static __always_inline struct ek_ip solicited_node(const struct ek_ip *ip)
{
	return (struct ek_ip){.halves = {0x02ff, 0xff01000000 | ip->halves[1] >> 40 << 40}};
}

static __always_inline struct ek_ip all_nodes(void)
{
	return (struct ek_ip){.halves = {0x02ff, 1ull << 56}};
}

/*
 * Every option must have a length and end with the message; the asker's MAC is the one that the
 * first source link-layer option says, if there is one. The walk goes by units of 8 bytes, not by
 * options, so that no offset into the packet is a variable.
 */
static __always_inline bool read_options(void *data, void *end, __u32 units, bool probe,
					 __u64 *asker, __u64 *sum)
{
	bool has_source = false;
	__u32 next = 0;

	for (__u32 i = 0; i < ND_UNITS_MAX && i < units; i++) {
		unaligned64 *at = data + ND_OPTIONS + 8 * i;
		__u8 type, length;

		if ((void *)(at + 1) > end)
			return false;
		*sum = sum_add(*sum, *at);
		if (i != next)
			continue;
		type = *at;
		length = *at >> 8;
		next += length; /* by none: it never arrives */
		if (type != ND_OPTION_SOURCE || has_source)
			continue;
		if (length != 1 || probe)
			return false;
		has_source = true;
		*asker = *at >> 16;
	}
	return next == units;
}

/* From whom it is, and whether what it says of itself is true. */
static __always_inline bool read_message(void *data, void *end, __u32 units, __u64 *asker)
{
	const struct ek_ip source = address_at(data + ND_SOURCE);
	unaligned64 *words = data + ND_SOURCE; /* both addresses, and the message to its options */
	__u64 sum = sum_begin(ND_SHORTEST + 8 * units, IPPROTO_ICMPV6);

	for (int i = 0; i < 7; i++)
		sum = sum_add(sum, words[i]);
	*asker = *(unaligned64 *)(data + ETH_ALEN) & 0xffffffffffff;
	return read_options(data, end, units, is_unspecified(&source), asker, &sum) &&
	       sum_fold(sum) == 0xffff && !GROUP_MAC(*asker);
}

/* From whom to whom: both must make sense with the target. */
static __always_inline bool addresses_fit(void *data)
{
	const struct ek_ip source = address_at(data + ND_SOURCE);
	const struct ek_ip destination = address_at(data + ND_DESTINATION);
	const struct ek_ip target = address_at(data + ND_TARGET);
	const struct ek_ip group = solicited_node(&target);

	if (is_multicast(&source) || is_equal(&source, &target))
		return false;
	return is_equal(&destination, &group) ||
	       (is_equal(&destination, &target) && !is_unspecified(&source));
}

/*
 * Whether it is a solicitation, and valid (RFC 4861, section 7.1.1). Here and below the compiler
 * may not keep addresses on the stack but must read them again: on Linux 6.1 there are 96 bytes
 * for what the main program calls.
 */
static __always_inline bool read_solicitation(void *data, void *end, __u64 *asker)
{
	struct ipv6hdr *ip = data + ETH_HLEN;
	__u32 length;

	if (data + ND_OPTIONS > end)
		return false;
	length = bpf_ntohs(ip->payload_len);
	if (ip->version != 6 || ip->nexthdr != IPPROTO_ICMPV6 || ip->hop_limit != ND_HOP_LIMIT ||
	    *(unaligned16 *)(data + ND_MESSAGE) != ND_SOLICITATION)
		return false;
	if (length < ND_SHORTEST || length > ND_SHORTEST + 8 * ND_UNITS_MAX || length % 8)
		return false;
	if (!addresses_fit(data))
		return false;
	barrier();
	return read_message(data, end, (length - ND_SHORTEST) / 8, asker);
}

/*
 * The question becomes the answer, in place: the target stays where it is. It goes to the asker or,
 * since one who has no address yet cannot be told, to everybody (RFC 4861, section 7.2.4).
 */
static __always_inline int advertise(struct xdp_md *ctx, __u64 asker, __u64 mac)
{
	const __u64 option = ND_OPTION_TARGET | 1 << 8 | mac << 16;
	__u64 message = ND_ADVERTISEMENT | (__u64)ND_OVERRIDE << 32, sum;
	struct ek_ip to, target;
	void *data, *end;

	if (bpf_xdp_adjust_tail(ctx, ND_ANSWER_END - (int)bpf_xdp_get_buff_len(ctx)))
		return XDP_PASS;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + ND_ANSWER_END > end) /* never; the verifier wants to be told */
		return XDP_PASS;
	to = address_at(data + ND_SOURCE);
	target = address_at(data + ND_TARGET);
	if (is_unspecified(&to)) {
		to = all_nodes();
		asker = ALL_NODES_MAC;
	} else {
		message |= (__u64)ND_SOLICITED << 32;
	}
	sum = sum_begin(ND_ANSWER, IPPROTO_ICMPV6);
	sum = sum_add(sum_add(sum, target.halves[0]), target.halves[1]);
	sum = sum_add(sum_add(sum, to.halves[0]), to.halves[1]);
	sum = sum_add(sum_add(sum, target.halves[0]), target.halves[1]);
	sum = sum_add(sum_add(sum, message), option);

	write_ethernet(data, asker, mac, bpf_htons(ETH_P_IPV6));
	*(unaligned64 *)(data + ETH_HLEN) = bpf_htonl(6u << 28) |
					    (__u64)bpf_htons(ND_ANSWER) << 32 |
					    (__u64)IPPROTO_ICMPV6 << 48 | (__u64)ND_HOP_LIMIT << 56;
	write_address(data + ND_SOURCE, &target);
	write_address(data + ND_DESTINATION, &to);
	*(unaligned64 *)(data + ND_MESSAGE) = message | (__u64)(__u16)~sum_fold(sum) << 16;
	*(unaligned64 *)(data + ND_OPTIONS) = option;
	return XDP_TX;
}

static __always_inline int answer_solicitation(struct xdp_md *ctx, void *data, void *end)
{
	const struct ek_lease *lease;
	struct ek_ip target;
	__u64 asker;

	if (!read_solicitation(data, end, &asker))
		return XDP_PASS;
	barrier();
	target = address_at(data + ND_TARGET);
	if (ek_ip_is_v4(&target)) /* it could match an IPv4 VIP */
		return XDP_PASS;
	lease = running_lease(&target, AF_INET6);
	return lease ? advertise(ctx, asker, EK_NEXTHOP_MAC(lease->mac6)) : XDP_PASS;
}

/* --- where frames of balancer.bpf.c leave its stages ------------------------------------------ */

/*
 * `ours`: the frame is for the port's own MAC or a virtual one that it holds, and no service wants
 * it. Otherwise 0 says that its MAC is such a virtual one. A subprogram: what is seldom needed must
 * not cost the stages registers.
 */
verified_alone int neighbour(struct xdp_md *ctx, int ours)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	__u64 mac;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	mac = EK_NEXTHOP_MAC(*(unaligned64 *)data);
	if (!ours && !GROUP_MAC(mac))
		return holds_virtual_mac(mac) ? 0 : XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_ARP))
		return answer_arp(data, end);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return answer_solicitation(ctx, data, end);
	return XDP_PASS;
}

#endif
