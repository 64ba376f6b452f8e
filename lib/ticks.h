/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data plane's clock: ticks of 2^shift jiffies, about a second (bpf_jiffies64() costs nothing
 * and a shift costs less than a division; HZ differs between kernels).
 */
#ifndef EVENKEEL_TICKS_H
#define EVENKEEL_TICKS_H

#include <stdint.h>

struct ek_clock {
	unsigned int hz;
	unsigned int shift;
};

/* The shift that brings a tick nearest to a second: 10 for HZ 1000, 8 for 250 and 300, 7 for 100.
 */
static inline struct ek_clock ek_clock_of(unsigned int hz)
{
	struct ek_clock clock = {.hz = hz};

	while ((2u << clock.shift) <= hz + hz / 3)
		clock.shift++;
	return clock;
}

/* Rounded up, and one more: a tick may just have begun. */
static inline uint32_t ek_ticks(struct ek_clock clock, unsigned int seconds)
{
	uint64_t unit = 1ull << clock.shift;

	return ((uint64_t)seconds * clock.hz + unit - 1) / unit + 1;
}

static inline double ek_ticks_seconds(struct ek_clock clock, uint32_t ticks)
{
	return (double)((uint64_t)ticks << clock.shift) / clock.hz;
}

#endif
