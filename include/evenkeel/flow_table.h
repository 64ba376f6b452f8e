/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The connection table: 8 bytes a flow, one cache line a look-up. Compiled for BPF and for C; the
 * controller walks and writes the same memory through mmap with these functions.
 *
 * A bucket is a cache line of eight 64-bit entries:
 *
 *     bits 31-63 fingerprint | 16-30 backend | 14-15 state | 0-13 last seen      (0 = empty)
 *
 * The flow's hash gives the fingerprint (its upper 33 bits, of which the top 32 are also the
 * ring index) and the bucket (its lower bits). Every change is one 64-bit compare-and-swap, so
 * CPUs share the table without locks and an entry is never seen torn.
 *
 * What may be replaced: an empty entry, or an embryonic one older than EK_FLOW_EMBRYO_GRACE. An
 * established or closing one that has not expired never is, whatever arrives: no flood can
 * evict or divert a connection in use.
 *
 * Time is in ticks of about a second (2^n jiffies, see ek_meta.tick_shift), 14 bits of it in an
 * entry: the controller's sweep removes what expired long before an age can wrap. Whoever reads
 * may have looked at the clock before the writer did (a sweep that was preempted, by seconds): up
 * to EK_TICK_SLACK ticks in the future count as now.
 */
#ifndef EVENKEEL_FLOW_TABLE_H
#define EVENKEEL_FLOW_TABLE_H

#include <evenkeel/hash.h>

#define EK_FLOW_WAYS	     8
#define EK_FLOW_EMBRYO_GRACE 5u /* ticks for which the first SYN wins */
/* Ticks since a FIN or RST after which a SYN is a new connection, and data shows it lives on. */
#define EK_FLOW_REUSE_AFTER 2u
#define EK_FLOW_ISN_WINDOW  (1u << 20)

#define EK_TICK_MASK  0x3fffu
#define EK_TICK_SLACK 64u
#define EK_AGE_MAX    (EK_TICK_MASK - EK_TICK_SLACK)

enum ek_flow_state {
	EK_FLOW_EMPTY = 0,
	EK_FLOW_EMBRYONIC = 1,	 /* a SYN was seen, and nothing within its sequence window yet */
	EK_FLOW_ESTABLISHED = 2, /* also every flow without a handshake */
	EK_FLOW_CLOSING = 3,	 /* the client sent FIN or RST; a later packet revives it */
	EK_FLOW_STATES
};

struct ek_flow_bucket {
	__u64 entry[EK_FLOW_WAYS];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct ek_flow_bucket) == 64, "one cache line");

/*
 * The cold twin of an entry: written once, when it is stored; read by people, by mirroring, and
 * by the packet that completes a handshake. Between the two writes it may be of the entry
 * before: a reader checks whose it is.
 */
struct ek_flow_key {
	struct ek_ip source;
	struct ek_ip destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 isn;   /* the SYN's sequence number, host order */
	__u32 since; /* tick at which it was stored, 32 bits of it */
	__u16 service;
	__u8 protocol;
	__u8 pad;
};
_Static_assert(sizeof(struct ek_flow_key) == 48, "ek_flow_key");

struct ek_flow_keys {
	struct ek_flow_key key[EK_FLOW_WAYS];
};

/*
 * Bucket scans are arithmetic, without a branch per way: the verifier follows both sides of every
 * branch, and eight of them with what hangs on each are more than it is willing to follow. The
 * barrier keeps the compiler from turning the arithmetic back into branches.
 */
#define EK_OPAQUE(x) __asm__ volatile("" : "+r"(x))

/* Ticks between two readings of the clock, of which 14 bits are known. */
static __always_inline __u32 ek_tick_age(__u32 then, __u32 now)
{
	__u64 age = ((now - then + EK_TICK_SLACK) & EK_TICK_MASK) - (__u64)EK_TICK_SLACK;
	__u64 past = (age >> 63) - 1;

	EK_OPAQUE(past);
	return age & past;
}

static __always_inline __u64 ek_flow_entry(__u64 hash, __u32 backend, enum ek_flow_state state,
					   __u32 now)
{
	return (hash & ~0x7fffffffull) | (__u64)backend << 16 | (__u64)state << 14 |
	       (now & EK_TICK_MASK);
}

static __always_inline __u32 ek_flow_backend(__u64 entry)
{
	return entry >> 16 & EK_BACKENDS_MAX;
}

static __always_inline enum ek_flow_state ek_flow_state(__u64 entry)
{
	return entry >> 14 & 3;
}

static __always_inline __u32 ek_flow_age(__u64 entry, __u32 now)
{
	return ek_tick_age(entry, now);
}

/* The top half of the hash it was stored under: all that a ring index needs. */
static __always_inline __u64 ek_flow_hash_high(__u64 entry)
{
	return entry & ~0x7fffffffull;
}

static __always_inline __u32 ek_flow_bucket_index(__u64 hash, __u32 mask)
{
	return (__u32)hash & mask;
}

/* clang has no relaxed atomic load for BPF, where a volatile one is the same instruction. */
static __always_inline __u64 ek_flow_read(const __u64 *entry)
{
#ifdef __bpf__
	return *(const volatile __u64 *)entry;
#else
	return __atomic_load_n(entry, __ATOMIC_RELAXED);
#endif
}

/* Tests put another CPU's work in front of it. */
#ifndef EK_FLOW_CAS
#define EK_FLOW_CAS(entry, old, new) __sync_val_compare_and_swap(entry, old, new)
#endif

static __always_inline int ek_flow_replace(__u64 *entry, __u64 old, __u64 new)
{
	return EK_FLOW_CAS(entry, old, new) == old;
}

/* 1 if x is zero, else 0. */
static __always_inline __u64 ek_is_zero(__u64 x)
{
	x = ~x & (x - 1);
	EK_OPAQUE(x);
	return x >> 63;
}

/*
 * The number of the lowest bit set in `ways`, 1 to 255. Linux 6.1 knows no bounds of what was OR-ed
 * ("math between map_value pointer and register with unbounded min value"), and clang would drop
 * the mask that gives it some.
 */
static __always_inline __u32 ek_flow_first(__u64 ways)
{
	__u64 low = ways & -ways, way;

	EK_OPAQUE(low);
	way = (((low & 0xaa) + 0xff) >> 8) | (((low & 0xcc) + 0xff) >> 8) << 1 |
	      (((low & 0xf0) + 0xff) >> 8) << 2;
	EK_OPAQUE(way);
	return way & (EK_FLOW_WAYS - 1);
}

/* One bit for each way that holds this fingerprint. */
static __always_inline __u64 ek_flow_find(const struct ek_flow_bucket *bucket, __u64 hash)
{
	__u64 ways = 0;

#pragma GCC unroll 8
	for (int i = 0; i < EK_FLOW_WAYS; i++)
		ways |= ek_is_zero((ek_flow_read(&bucket->entry[i]) ^ hash) >> 31) << i;
	return ways;
}

static __always_inline __u64 ek_flow_is_embryo(__u64 entry)
{
	__u64 state = entry >> 14;

	return state & ~(state >> 1) & 1;
}

/* One bit for each way that holds an embryo. */
static __always_inline __u64 ek_flow_embryos(const struct ek_flow_bucket *bucket)
{
	__u64 ways = 0;

#pragma GCC unroll 8
	for (int i = 0; i < EK_FLOW_WAYS; i++)
		ways |= ek_flow_is_embryo(ek_flow_read(&bucket->entry[i])) << i;
	return ways;
}

/* 1 if the entry is an embryo that may be replaced. */
static __always_inline __u64 ek_flow_is_old_embryo(__u64 entry, __u32 now)
{
	__u64 age = ek_flow_age(entry, now) - (__u64)EK_FLOW_EMBRYO_GRACE;

	EK_OPAQUE(age);
	return ek_flow_is_embryo(entry) & ~(age >> 63);
}

/*
 * One bit for each way that a new entry may take: the empty ones, or else the old embryos, so
 * that each of those gets all the time it can.
 */
static __always_inline __u64 ek_flow_room(const struct ek_flow_bucket *bucket, __u32 now)
{
	__u64 empty = 0, old = 0;

#pragma GCC unroll 8
	for (int i = 0; i < EK_FLOW_WAYS; i++) {
		__u64 entry = ek_flow_read(&bucket->entry[i]);

		empty |= ek_is_zero(entry) << i;
		old |= ek_flow_is_old_embryo(entry, now) << i;
	}
	return empty ? empty : old;
}

#endif
