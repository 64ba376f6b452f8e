/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Beside the stages: ICMP (RFC 792, RFC 4443) for a VIP, and about our own tunnels. Echo requests
 * are answered (echo.h), errors find the flow that they are about (quoted.h) and go on as packets
 * of it do; source quench is no longer one (RFC 6633). What is for no VIP may be about a tunnel
 * packet of ours (inside.h). Neighbour discovery does not come here.
 */
#ifndef EVENKEEL_BPF_ICMP_H
#define EVENKEEL_BPF_ICMP_H

#include "echo.h"
#include "inside.h"
#include "quoted.h"

static __always_inline int icmp4(struct xdp_md *ctx, __u8 type)
{
	switch (type) {
	case ICMP4_ECHO:
		return echo(ctx);
	case ICMP4_UNREACHABLE:
	case ICMP4_TIME_EXCEEDED:
	case ICMP4_PARAMETER:
		return quoted(ctx);
	}
	return -EK_DROP_ICMP_OTHER;
}

static __always_inline int icmp6(struct xdp_md *ctx, __u8 type)
{
	switch (type) {
	case ICMP6_ECHO:
		return echo(ctx);
	case ICMP6_UNREACHABLE:
	case ICMP6_TOO_BIG:
	case ICMP6_TIME_EXCEEDED:
	case ICMP6_PARAMETER:
		return quoted(ctx);
	}
	return -EK_DROP_ICMP_OTHER;
}

/* For what classify() has filled `struct work` with. 0: to be selected and forwarded. */
verified_alone int icmp(struct xdp_md *ctx)
{
	struct work *w = work_here();
	__u8 header[sizeof(struct icmp_message)];

	if (!w)
		return XDP_PASS;
	if (!is_vip(ctx))
		return inside_read(ctx) ?: inside_tell(ctx);
	if (w->packet.length < w->l4 - w->l3 + sizeof(header))
		return -EK_DROP_MALFORMED;
	if (bpf_xdp_load_bytes(ctx, w->l4, header, sizeof(header)))
		return -EK_DROP_TRUNCATED;
	return w->packet.family == AF_INET ? icmp4(ctx, header[0]) : icmp6(ctx, header[0]);
}

#endif
