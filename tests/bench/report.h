/* SPDX-License-Identifier: GPL-2.0-only */
/* What the samples say: medians and their spread, as tables or as JSON. */
#ifndef EVENKEEL_BENCH_REPORT_H
#define EVENKEEL_BENCH_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include "traffic.h"

#define ROUNDS_MAX  99
#define TARGETS_MAX 12

enum { EMPTY, BARE, FIRST_SCENARIO }; /* indices of targets */

/* One kind of packet at one number of flows: a sample for each target and round. */
struct cell {
	const struct kind *kind;
	uint32_t flows;
	double ns[TARGETS_MAX][ROUNDS_MAX];
};

struct results {
	const struct target *target; /* in the order of the enumeration above */
	int targets;
	const struct cell *cell;
	int cells;
	int rounds;
};

void report_text(const struct results *r);
void report_json(const struct results *r);

#endif
