/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A service's ring: 65537 slots of 32 bits, each naming the backend that the slot's flows go to
 * and, after a change, the one that older flows still belong to. Compiled for BPF and C.
 *
 *     bits 0-14 current | 15-29 origin | 30 LOOKUP | 31 zero
 *
 * Writer: the controller, by single 32-bit stores through mmap. Reader: the data plane, which
 * writes only `hit`, the second in which a packet last went to a slot's origin.
 */
#ifndef EVENKEEL_RING_H
#define EVENKEEL_RING_H

#include <evenkeel/hash.h>

#define EK_SLOT_LOOKUP (1u << 30)
#define EK_SLOT_BITS   0x7fffu

struct ek_ring {
	__u32 slot[EK_RING_SIZE];
	__u16 hit[EK_RING_SIZE]; /* tick, see flow_table.h */
	__u16 pad;
};

static __always_inline __u32 ek_slot(__u32 current, __u32 origin, int lookup)
{
	return current | origin << 15 | (lookup ? EK_SLOT_LOOKUP : 0);
}

static __always_inline __u32 ek_slot_current(__u32 slot)
{
	return slot & EK_SLOT_BITS;
}

static __always_inline __u32 ek_slot_origin(__u32 slot)
{
	return slot >> 15 & EK_SLOT_BITS;
}

/* Multiply-shift in place of a modulo: the top half of the hash, scaled to the ring. */
static __always_inline __u32 ek_ring_index(__u64 hash)
{
	return (hash >> 32) * EK_RING_SIZE >> 32;
}

#endif
