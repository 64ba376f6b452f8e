/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many answers a CPU may give in a tick, which is about a second (RFC 1812, section 4.3.2.8;
 * RFC 4443, section 2.4 (f)): a flood of questions must not become one of answers. Called by what
 * answers, as the last thing before it does.
 */
#ifndef EVENKEEL_BPF_ALLOWANCE_H
#define EVENKEEL_BPF_ALLOWANCE_H

#include "work.h"

static __always_inline const struct ek_settings *settings_here(void)
{
	__u32 zero = 0;
	struct ek_service_table *table = bpf_map_lookup_elem(&services, &zero);

	return table ? &table->settings : NULL;
}

/* One more of at most `rate`. */
static __always_inline bool allow(enum allowance kind, __u32 rate)
{
	const __u64 tick = bpf_jiffies64() >> tick_shift;
	__u32 row = kind;
	struct allowed *a = bpf_map_lookup_elem(&allowances, &row);

	if (!a)
		return false;
	if (a->tick != tick) {
		a->tick = tick;
		a->spent = 0;
	}
	if (a->spent >= rate)
		return false;
	a->spent++;
	return true;
}

static __always_inline bool allow_error(void)
{
	const struct ek_settings *settings = settings_here();

	return settings && allow(ALLOWANCE_ERROR, settings->error_rate);
}

#endif
