/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the packet source (flood.bpf.c) shares with its user-space half (flood_world.h): who the
 * clients are, and what the source saw happen.
 */
#ifndef EVENKEEL_TESTS_FLOOD_H
#define EVENKEEL_TESTS_FLOOD_H

#include <evenkeel/flow_table.h>

#define FLOOD_WORDS   8
#define FLOOD_LENGTH  64	  /* 14 + 20 + 20, padded to whole words */
#define FLOOD_VIP     0xc000020au /* 192.0.2.10 */
#define FLOOD_PORT    80
#define FLOOD_OUTER   0x0a000100u /* 10.0.1.0: a backend's address is this and its row */
#define FLOOD_ROWS    16	  /* of a service */
#define FLOOD_CLIENTS 50
#define FLOOD_LIVE    1000
#define DUEL_FLOWS    (1u << 17)

enum { FLOOD_FIN = 0x01, FLOOD_SYN = 0x02, FLOOD_ACK = 0x10 };

struct flood_tuple {
	__be32 address;
	__be16 port;
	__u16 pad;
};

/* What became of the SYNs, by the buckets that they fell into. */
struct flood_audit {
	__u64 into_empty, over_embryo; /* stored */
	__u64 renewed;		       /* stored over the same flow's own old embryo */
	__u64 known;		       /* the flow had a live entry, which kept its backend */
	__u64 second;		       /* another SYN of it has a young embryo: not stored */
	__u64 lost;		       /* not stored */
	__u64 broken;		       /* something else changed, or too early */
	__u32 youngest;		       /* embryo that was replaced: its age in ticks */
	__u32 pad;
};

struct duel_tally {
	__u64 sent, syns;
	__u64 diverted; /* left a connection's backend */
	__u64 dropped, foreign;
	__u32 flow; /* of the last packet, and its flags */
	__u32 flags;
};

/* Any number to another that looks random (a bijection: xor-shifts and odd multipliers). */
static __always_inline __u64 flood_mix(__u64 x)
{
	x = (x ^ x >> 31) * 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 29) * 0xd1b54a32d192ed03ull;
	return x ^ x >> 32;
}

static __always_inline __be32 flood_client(__u32 i)
{
	return __builtin_bswap32(0xc6336401u + i); /* 198.51.100.1 and on */
}

static __always_inline struct flood_tuple duel_tuple(__u32 flow)
{
	return (struct flood_tuple){.address = __builtin_bswap32(0xc6120000u + flow),
				    .port = __builtin_bswap16(1024 + (flow & 1023))};
}

static __always_inline __u32 duel_isn(__u32 flow)
{
	return flood_mix(flow);
}

/* Established before the duel and only attacked in it; the others come and go. */
static __always_inline int duel_is_held(__u32 flow)
{
	return !(flow & 1);
}

#endif
