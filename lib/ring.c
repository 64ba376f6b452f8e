/* SPDX-License-Identifier: GPL-2.0-only */
/* See ring.h. */
#include "ring.h"

uint32_t ek_slot_change(uint32_t slot, uint32_t choice, enum ek_tracking tracking, bool *left)
{
	uint32_t current = ek_slot_current(slot), origin = ek_slot_origin(slot);
	bool lookup = slot & EK_SLOT_LOOKUP, full = tracking == EK_TRACKING_FULL;

	*left = false;
	if (choice == EK_BACKEND_NONE)
		choice = current;
	if (tracking == EK_TRACKING_NONE)
		return ek_slot(choice, choice, false);
	if (current == EK_BACKEND_NONE) /* which may have an entry all the same, from a peer */
		return ek_slot(choice, choice, lookup || (full && choice != EK_BACKEND_NONE));
	if (!lookup)
		origin = current;
	if (choice == current)
		return ek_slot(current, origin, lookup || full);
	*left = current == origin;
	return ek_slot(choice, origin, true);
}

bool ek_slot_remembers(uint32_t slot, enum ek_tracking tracking)
{
	if (!(slot & EK_SLOT_LOOKUP))
		return false;
	return tracking != EK_TRACKING_FULL || ek_slot_current(slot) != ek_slot_origin(slot);
}

bool ek_slot_may_forget(uint32_t slot, uint16_t hit, uint32_t now, uint32_t idle_timeout, bool busy)
{
	if (busy)
		return false;
	return ek_slot_current(slot) == ek_slot_origin(slot) ||
	       ek_tick_age(hit, now) > idle_timeout;
}

uint32_t ek_slot_forget(uint32_t slot, enum ek_tracking tracking)
{
	uint32_t current = ek_slot_current(slot);

	return ek_slot(current, current, tracking == EK_TRACKING_FULL);
}

/* The hit first: a slot that says LOOKUP must not be found with an old one. */
static void change(struct ek_ring *ring, uint32_t i, uint32_t slot, bool left, uint32_t now)
{
	if (left)
		__atomic_store_n(&ring->hit[i], now & EK_TICK_MASK, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->slot[i], slot, __ATOMIC_RELEASE);
}

size_t ek_ring_apply(struct ek_ring *ring, const uint16_t *choices, enum ek_tracking tracking,
		     uint32_t now, uint8_t *changed)
{
	size_t n = 0;

	for (uint32_t i = 0; i < EK_RING_SIZE; i++) {
		bool left;
		uint32_t old = ring->slot[i];
		uint32_t slot = ek_slot_change(old, choices[i], tracking, &left);

		if (slot == old)
			continue;
		change(ring, i, slot, left, now);
		if (changed)
			ek_bit_set(changed, i);
		n++;
	}
	return n;
}
