/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pure half of health checking: how results become states, and how far apart checks start.
 * No clock, no socket, no memory of its own. health.c calls it.
 */
#include "health.h"

#define FIRST_DELAY_MAX_MS 1000u

bool ek_health_fsm_result(struct ek_health_fsm *fsm, bool success)
{
	enum ek_health_state toward = success ? EK_HEALTH_UP : EK_HEALTH_DOWN;
	unsigned int needed = success ? fsm->rise : fsm->fall;

	if (fsm->state == toward) {
		fsm->run = 0;
		return false;
	}
	/* Full and hold are contradicted by either kind; only a run of one kind counts. */
	if (fsm->toward != toward) {
		fsm->toward = toward;
		fsm->run = 0;
	}
	if (fsm->state != EK_HEALTH_UNKNOWN && ++fsm->run < needed)
		return false;
	fsm->state = toward;
	fsm->run = 0;
	return true;
}

/* `random` scaled to [0, range): the top half of a 64-bit product, as in ek_ring_index(). */
static uint64_t scale(uint64_t range, uint32_t random)
{
	return (range >> 32) * random + ((range & UINT32_MAX) * random >> 32);
}

uint64_t ek_health_first_delay_us(unsigned int interval, uint32_t random)
{
	unsigned int within = interval < FIRST_DELAY_MAX_MS ? interval : FIRST_DELAY_MAX_MS;

	return scale(within * 1000ull, random);
}

uint64_t ek_health_next_delay_us(unsigned int interval, uint32_t random)
{
	uint64_t tenth = interval * 100ull;

	return 9 * tenth + scale(2 * tenth + 1, random);
}

const char *ek_health_state_name(enum ek_health_state state)
{
	static const char *const names[] = {
		[EK_HEALTH_UNKNOWN] = "unknown", [EK_HEALTH_UP] = "up",
		[EK_HEALTH_FULL] = "full",	 [EK_HEALTH_HOLD] = "hold",
		[EK_HEALTH_DOWN] = "down",
	};

	return names[state];
}
