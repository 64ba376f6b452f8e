/* SPDX-License-Identifier: GPL-2.0-only */
/* Stage 5: counters, and the only exit for drops; one of them is also answered, see reset.h. */
#ifndef EVENKEEL_BPF_ACCOUNT_H
#define EVENKEEL_BPF_ACCOUNT_H

#include "reset.h"

/* The row is this CPU's own, and XDP is not preempted by XDP: no atomic is needed. */
static __always_inline void account_forward(struct ek_backend *backend, const struct packet *p)
{
	backend->packets++;
	backend->bytes += p->frame;
}

static __always_inline int account(struct xdp_md *ctx, int verdict)
{
	__u32 reason = -verdict;
	__u64 *count;

	if (likely(verdict > 0))
		return verdict;
	count = bpf_map_lookup_elem(&drops, &reason);
	if (count)
		(*count)++;
	return reason == EK_DROP_UNKNOWN_FLOW ? reset(ctx) : XDP_DROP;
}

#endif
