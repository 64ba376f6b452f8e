/* SPDX-License-Identifier: GPL-2.0-only */
/* Stage 5: counters, and the only exit for drops; two of them are also answered. */
#ifndef EVENKEEL_BPF_ACCOUNT_H
#define EVENKEEL_BPF_ACCOUNT_H

#include "reset.h"
#include "too_big.h"

static __always_inline int account(struct xdp_md *ctx, int verdict)
{
	__u32 reason = -verdict;
	__u64 *count;

	if (likely(verdict > 0))
		return verdict;
	count = bpf_map_lookup_elem(&drops, &reason);
	if (count)
		(*count)++;
	switch (reason) {
	case EK_DROP_UNKNOWN_FLOW:
		return reset(ctx);
	case EK_DROP_TOO_BIG:
		return packet_too_big(ctx);
	}
	return XDP_DROP;
}

#endif
