/* SPDX-License-Identifier: GPL-2.0-only */
/* This CPU's struct work, and what a first look at it gives back to the stages. */
#ifndef EVENKEEL_BPF_WORK_H
#define EVENKEEL_BPF_WORK_H

#include "parse.h"

static __always_inline struct work *work_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&work, &zero);
}

static __always_inline void count_answer(enum ek_answer answer)
{
	__u32 row = answer;
	__u64 *count = bpf_map_lookup_elem(&answers, &row);

	if (count)
		(*count)++;
}

#endif
