/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The exit of what is unusual: a listener is told, and a frame that is passed or answered gets its
 * tags back. What was forwarded has had those of its egress port, and none are left to put back.
 */
#ifndef EVENKEEL_BPF_LEAVE_H
#define EVENKEEL_BPF_LEAVE_H

#include "trace.h"
#include "vlan.h"

verified_alone int leave(struct xdp_md *ctx, int verdict, int action)
{
	struct work *w = work_here();

	trace_end(ctx, verdict, action);
	if (!w || !w->n_tags || (action != XDP_PASS && action != XDP_TX))
		return action;
	return vlan_restore(ctx, w) ? XDP_DROP : action;
}

#endif
