/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changes to a ring: what a slot becomes when the choice for it changes, and when it may forget.
 * Pure: called by datapath.c and sweep.c on rings that the data plane reads at the same time, by
 * the tests, and by nothing else. The rules that read a slot are in evenkeel/select.h.
 */
#ifndef EVENKEEL_LIB_RING_H
#define EVENKEEL_LIB_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <evenkeel/select.h>
#include "config.h"

/*
 * The slot after `choice` (EK_BACKEND_NONE: nobody may take connections, nothing changes). *left
 * is set when it leaves the state in which a SYN needs no entry: its last hit is then now, since
 * connections have begun there that no table knows.
 */
uint32_t ek_slot_change(uint32_t slot, uint32_t choice, enum ek_tracking tracking, bool *left);

/* Does the slot remember another backend, or that it has just come back to its origin? */
bool ek_slot_remembers(uint32_t slot, enum ek_tracking tracking);
/*
 * May it forget? `busy`: an entry of this slot names another backend than current, by a whole
 * scan of the table that began after the slot's last change. Times in ticks.
 */
bool ek_slot_may_forget(uint32_t slot, uint16_t hit, uint32_t now, uint32_t idle_timeout,
			bool busy);
uint32_t ek_slot_forget(uint32_t slot, enum ek_tracking tracking);

/*
 * Applies a whole table of choices; returns how many slots changed. `changed`, if not NULL, is a
 * bitmap of EK_RING_SIZE bits in which those are marked.
 */
size_t ek_ring_apply(struct ek_ring *ring, const uint16_t *choices, enum ek_tracking tracking,
		     uint32_t now, uint8_t *changed);

#define EK_RING_BITMAP (EK_RING_SIZE / 8 + 1) /* bytes */

static inline void ek_bit_set(uint8_t *bitmap, uint32_t i)
{
	bitmap[i / 8] |= 1u << i % 8;
}

static inline bool ek_bit(const uint8_t *bitmap, uint32_t i)
{
	return bitmap[i / 8] >> i % 8 & 1;
}

#endif
