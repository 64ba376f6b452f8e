/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tells a listener what was decided, while there is one. classify.h calls trace_begin() before it
 * touches the frame, and leave.h trace_end() once there is a verdict. What is wanted, and until
 * when, stands in `tracing`: a listener that died costs nothing for long.
 *
 * A frame that was passed for not being for a VIP is no decision and is not told.
 */
#ifndef EVENKEEL_BPF_TRACE_H
#define EVENKEEL_BPF_TRACE_H

#include "wildcard.h"

#define TRACE_SECOND 1000000000ull

static __always_inline struct ek_trace *trace_filter(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&tracing, &zero);
}

/* Keeps the beginning of the frame as it came. */
static __always_inline void trace_begin(struct xdp_md *ctx, struct work *w)
{
	const struct ek_trace *t = trace_filter();
	__u64 length;

	w->traced = 0;
	w->service = EK_SERVICE_NONE;
	if (!t || likely(!t->until))
		return;
	w->trace.time = bpf_ktime_get_ns();
	if (w->trace.time >= t->until)
		return;
	w->packet.source = w->packet.destination = (struct ek_ip){}; /* for what is no IP packet */
	length = bpf_xdp_get_buff_len(ctx);
	w->trace.length = length;
	if (length > EK_TRACE_SNAP)
		length = EK_TRACE_SNAP;
	if (length < ETH_HLEN || bpf_xdp_load_bytes(ctx, 0, w->trace.frame, length))
		return;
	w->traced = length;
}

static __always_inline bool trace_same(const struct ek_ip *a, const struct ek_ip *b)
{
	return !((a->halves[0] ^ b->halves[0]) | (a->halves[1] ^ b->halves[1]));
}

/* The sender or, of an error, whose packet it quotes. Not IP: nobody. */
static __always_inline bool trace_client(const struct work *w, const struct ek_ip *client)
{
	return !(client->halves[0] | client->halves[1]) || trace_same(&w->packet.source, client);
}

static __always_inline bool trace_wanted(const struct work *w, const struct ek_trace *t,
					 int verdict)
{
	if (t->flags & EK_TRACE_DROPS && verdict > 0)
		return false;
	if (t->service != EK_SERVICE_NONE && t->service != w->service)
		return false;
	return trace_client(w, &t->client);
}

/* One more within this second, or NULL after counting that it is not. */
static __always_inline struct ek_trace_spent *trace_allowed(__u64 now, __u32 rate)
{
	__u32 zero = 0;
	struct ek_trace_spent *a = bpf_map_lookup_elem(&trace_spent, &zero);

	if (!a)
		return NULL;
	if (a->second != now / TRACE_SECOND) {
		a->second = now / TRACE_SECOND;
		a->spent = 0;
	}
	if (a->spent >= rate) {
		a->missed++;
		return NULL;
	}
	a->spent++;
	return a;
}

static __always_inline void trace_tell(struct ek_trace_record *r, const struct work *w, int verdict,
				       int action, struct ek_trace_spent *a)
{
	r->missed = a->missed;
	r->verdict = verdict;
	r->backend = w->backend;
	r->service = w->service;
	r->captured = w->traced;
	r->action = action;
	r->port = own_port;
	if (bpf_ringbuf_output(&trace, r, sizeof(*r), 0))
		a->missed++;
	else
		a->missed = 0;
}

/* `verdict`: as the stages gave it; `action`: what became of the frame. */
verified_alone int trace_end(struct xdp_md *ctx, int verdict, int action)
{
	const struct ek_trace *t = trace_filter();
	struct work *w = work_here();
	struct ek_trace_spent *a;

	if (!w || !w->traced || !t)
		return 0;
	/* Passed for a VIP: nothing is offered on that port. */
	if (trace_wanted(w, t, verdict) && (verdict != XDP_PASS || w->backend || is_vip(ctx))) {
		a = trace_allowed(w->trace.time, t->rate);
		if (a)
			trace_tell(&w->trace, w, verdict, action, a);
	}
	w->traced = 0;
	return 0;
}

#endif
