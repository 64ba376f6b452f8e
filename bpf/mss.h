/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The MSS option of SYNs (RFC 9293, section 3.7.1), lowered to what the service asks for and never
 * raised. It limits what the server sends. What the client sends is limited by the SYN and ACK that
 * the server answers directly, which does not come by here, and by Packet Too Big (too_big.h).
 * forward.h calls it before a packet leaves: SYNs of such a service are unusual ones.
 */
#ifndef EVENKEEL_BPF_MSS_H
#define EVENKEEL_BPF_MSS_H

#include "checksum.h"
#include "select.h"

#define TCP_OPTION_END	0
#define TCP_OPTION_NONE 1
#define TCP_OPTION_MSS	2
#define TCP_OPTIONS_MAX 40 /* bytes, and so options */
#define TCP_OFFSET_AT	12
#define TCP_CHECKSUM_AT 16

/* The option's value stands at `at`: at an odd distance, bytes count the other way round. */
static __always_inline void mss_lower(struct xdp_md *ctx, __u32 tcp, __u32 at, __u16 mss)
{
	__u16 checksum, value = bpf_htons(mss), old;

	if (bpf_xdp_load_bytes(ctx, at, &old, sizeof(old)) || bpf_ntohs(old) <= mss ||
	    bpf_xdp_load_bytes(ctx, tcp + TCP_CHECKSUM_AT, &checksum, sizeof(checksum)) ||
	    bpf_xdp_store_bytes(ctx, at, &value, sizeof(value)))
		return;
	if ((at - tcp) & 1) {
		old = __builtin_bswap16(old);
		value = __builtin_bswap16(value);
	}
	checksum = ~sum_fold((__u64)(__u16)~checksum + (__u16)~old + value);
	bpf_xdp_store_bytes(ctx, tcp + TCP_CHECKSUM_AT, &checksum, sizeof(checksum));
}

static __always_inline void mss_find(struct xdp_md *ctx, __u32 tcp, __u16 mss)
{
	__u8 offset = 0, option[4]; /* kind, length, value */
	__u32 at = tcp + sizeof(struct tcphdr);

	if (bpf_xdp_load_bytes(ctx, tcp + TCP_OFFSET_AT, &offset, sizeof(offset)))
		return;
	for (int i = 0; i < TCP_OPTIONS_MAX; i++) {
		if (at + sizeof(option) > tcp + (offset >> 4) * 4 ||
		    bpf_xdp_load_bytes(ctx, at, option, sizeof(option)))
			return;
		if (option[0] == TCP_OPTION_NONE) {
			at++;
			continue;
		}
		if (option[0] == TCP_OPTION_END || option[1] < 2)
			return;
		if (option[0] == TCP_OPTION_MSS && option[1] == sizeof(option)) {
			mss_lower(ctx, tcp, at + 2, mss);
			return;
		}
		at += option[1];
	}
}

/* The packet in `struct work`, if it is a SYN. */
verified_alone int clamp_mss(struct xdp_md *ctx)
{
	struct work *w = work_here();
	struct ek_service_table *table;
	__u32 zero = 0;
	__u16 mss;

	table = bpf_map_lookup_elem(&services, &zero);
	if (!w || !table)
		return 0;
	mss = table->slot[w->slot & (EK_SERVICE_SLOTS - 1)].mss;
	if (mss && w->packet.protocol == IPPROTO_TCP && w->packet.tcp_flags & TCP_SYN &&
	    !w->packet.quoted)
		mss_find(ctx, w->l4, mss);
	return 0;
}

#endif
