/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the data plane (bpf/) and the controller (lib/) both see: the values of the pinned maps.
 * Compiled for BPF and for C. A change to anything here, to hash.h, ring.h or flow_table.h that
 * alters meaning or layout is a new EK_ABI_VERSION: a controller does not adopt maps of another.
 *
 * Byte order: addresses, ports and MACs lie as they do on the wire; everything else is the
 * host's. Ownership: each map's comment in bpf/maps.h says who writes and who reads.
 */
#ifndef EVENKEEL_ABI_H
#define EVENKEEL_ABI_H

#include <linux/types.h>

#define EK_ABI_VERSION 3u

#define EK_RING_SIZE	65537u /* Maglev table size: prime, so that every skip visits every slot */
#define EK_BACKENDS_MAX 32767u /* 15 bits in a ring slot; index 0 is EK_BACKEND_NONE */
#define EK_BACKEND_NONE 0u
#define EK_SERVICE_NONE 0xffffu /* of a row that is nobody's */
#define EK_SERVICES_MAX 1024u
#define EK_SERVICE_SLOTS                                                                        \
	8192u		      /* open-addressed: at most a quarter full (a service and its VIP) \
			       */
#define EK_SERVICE_PROBE 16u  /* consecutive slots a look-up may touch */
#define EK_PORTS_MAX	 64u  /* attached interfaces */
#define EK_LEASES_MAX	 256u /* by VRID; 0 = none */
#define EK_OUTER_TTL	 64u  /* TTL or hop limit of outer headers */

/*
 * An address of either family in the 16 bytes of an IPv6 address. IPv4 is held v4-mapped
 * (::ffff:a.b.c.d, RFC 4291 section 2.5.5.2), so the family follows from the value.
 */
struct ek_ip {
	union {
		__u8 bytes[16];
		__be32 words[4];
		__u64 halves[2];
	};
};
_Static_assert(sizeof(struct ek_ip) == 16, "ek_ip");

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the v4-mapped and wide-store constants are written for little-endian hosts"
#endif
#define EK_V4_MAPPED 0xffff0000ull /* halves[1] of ::ffff:0.0.0.0 */

/* --- services --------------------------------------------------------------------------------
 * One array value holds an open-addressed table of these, indexed by ek_hash_service(). A slot
 * is published by its `key` word and withdrawn by it, so a reader never sees half a service.
 */
enum ek_service_state {
	EK_SERVICE_EMPTY = 0,	/* ends a probe */
	EK_SERVICE_DELETED = 1, /* a probe goes on */
	EK_SERVICE_VIP = 2, /* port 0: "this address is one of ours", says nothing about ports */
	EK_SERVICE_LIVE = 3,
};

/* The second part of the key as one word: port (network order), protocol, state, zero. */
#define EK_SERVICE_KEY(port_be, proto, state) \
	((__u64)(__u16)(port_be) | (__u64)(__u8)(proto) << 16 | (__u64)(state) << 24)
#define EK_SERVICE_KEY_STATE(key) ((__u8)((key) >> 24))
#define EK_SERVICE_KEY_PROTO(key) ((__u8)((key) >> 16))
#define EK_SERVICE_KEY_PORT(key)  ((__u16)(key))

struct ek_service {
	struct ek_ip vip;
	__u64 key;
	__u32 id;	  /* index of its ring in `rings`; what a backend's `service` names */
	__u32 flags;	  /* EK_SERVICE_F_* */
	__u16 timeout[4]; /* ticks of idleness after which an entry is gone, by enum ek_flow_state
			   */
	struct ek_ip outer_source; /* used when outer_mask is set: the prefix, host bits zero */
	__be32 outer_mask; /* bits of the last word that vary per flow; 0 = the node's address */
	__u8 hash_prefix4; /* source-hash: leading bits of the client that count */
	__u8 hash_prefix6;
	__u16 pad;
};
_Static_assert(sizeof(struct ek_service) == 64, "one cache line");

#define EK_SERVICE_F_TRACK_FULL (1u << 0) /* every slot looks up and a miss inserts */
#define EK_SERVICE_F_TRACK_NONE (1u << 1) /* never looks up */
#define EK_SERVICE_F_SOURCE_HASH \
	(1u << 2) /* the ring index and entry follow from the client alone */
#define EK_SERVICE_F_OVER_QUOTA (1u << 3) /* holds its share of the table: stores nothing more */
#define EK_SERVICE_F_MIRRORED	(1u << 4) /* what becomes of its entries is news for the peers */
#define EK_SERVICE_F_RESET	(1u << 5) /* a segment of no known connection is answered with RST */

struct ek_service_table {
	struct ek_service slot[EK_SERVICE_SLOTS];
};

/* --- backends --------------------------------------------------------------------------------
 * A backend is one (service, address) pair. The map holds one copy per possible CPU, at
 * [cpu * limit + index], so that a packet finds everything it needs and its counters in one
 * cache line that no other CPU writes. The controller writes every copy.
 *
 * `nexthop` is read and written as one word: a packet sees an old or a new next hop, never a mix.
 * `address` never changes under an index (a retired index is quarantined before it is reused).
 */
struct ek_backend {
	__u64 packets; /* written by this CPU's data plane only */
	__u64 bytes;   /* of frames as received */
	__u64 nexthop; /* EK_NEXTHOP() */
	struct ek_ip address;
	__u32 csum; /* ones'-complement sum of the outer IPv4 header's constant words and daddr */
	__u16 service; /* ek_service.id */
	__u16 mtu;     /* of the path to it; an outer packet is never longer */
	__u8 forward;  /* enum ek_forward */
	__u8 pad[7];
	__u64 unstored; /* counter: new flows it got, as an origin, that could not be stored */
};
_Static_assert(sizeof(struct ek_backend) == 64, "one cache line");

enum ek_forward {
	EK_FORWARD_IPIP = 1,
	EK_FORWARD_GUE = 2,
	EK_FORWARD_TOS = 3,
	EK_FORWARD_L2 = 4,
	EK_FORWARD_LOCAL = 5,
};

/* The word of a next hop: its MAC in the low 48 bits as on the wire, egress port, flags. */
#define EK_NEXTHOP(mac48, port, flags) ((__u64)(mac48) | (__u64)(port) << 48 | (__u64)(flags) << 56)
#define EK_NEXTHOP_MAC(w)	       ((w)&0xffffffffffffull)
#define EK_NEXTHOP_PORT(w)	       ((__u8)((w) >> 48))
#define EK_NEXTHOP_FLAGS(w)	       ((__u8)((w) >> 56))
#define EK_NEXTHOP_RESOLVED	       1u /* the MAC is known: packets can leave */
#define EK_NEXTHOP_ALIVE	       2u /* its checks say up, full or hold: live connections may stay */
#define EK_NEXTHOP_DRAINING	       4u /* takes no new connections: a SYN that lands here is counted */
#define EK_NEXTHOP_USABLE	       (EK_NEXTHOP_RESOLVED | EK_NEXTHOP_ALIVE)

/* --- ports -----------------------------------------------------------------------------------
 * An attached interface. The program on it knows its own port number (rodata); a backend names
 * its egress by port number.
 */
struct ek_port {
	__u64 mac; /* low 48 bits as on the wire; 0 = no such port */
	__u32 ifindex;
	__be32 source4; /* outer IPv4 source of what leaves here; 0 = none */
	struct ek_ip source6;
	__u8 pad[32];
};
_Static_assert(sizeof(struct ek_port) == 64, "one cache line");

/* --- leases ----------------------------------------------------------------------------------
 * The right to announce a group of VIPs, by VRRP virtual router identifier. The service table's
 * VIP entries name it (ek_service.id; EK_LEASE_NONE: nobody's). ARP requests and neighbour
 * solicitations for a VIP are answered while `until` has not come; it is renewed with each
 * advert and is shorter than the time after which the peers take the master for dead. So a node
 * whose controller died falls silent before another claims, and goes on forwarding.
 *
 * `mac` is also accepted as a destination of frames to be balanced while EK_LEASE_HELD is set,
 * which does not end with the lease: the controller sets it on claiming and clears it on yielding.
 */
struct ek_lease {
	__u64 until; /* CLOCK_MONOTONIC, ns; 0 = not held */
	__u64 mac4;  /* low 48 bits as on the wire: what ARP is answered with; flags above */
	__u64 mac6;  /* the same for neighbour solicitations */
	__u32 port;  /* the one interface on which it is announced */
	__u32 pad;
};
_Static_assert(sizeof(struct ek_lease) == 32, "ek_lease");
#define EK_LEASE_NONE 0u
#define EK_LEASE_HELD (1ull << 56) /* in mac4 and mac6: frames to it are ours */

/* --- mirror ----------------------------------------------------------------------------------
 * What the data plane of one CPU changed in the connection table since the controller last
 * looked: written by that CPU only, read by the controller through mmap, which sends it to the
 * peers. Record i stands at i % EK_NEWS_SIZE; a reader that finds more than that between two
 * readings of `head` has missed some and walks the table instead. Embryonic entries are no news.
 */
#define EK_NEWS_SIZE 16384u

struct ek_news_record {
	__u64 entry; /* as it is now or, with EK_NEWS_REMOVED, as it was */
	__u32 bucket;
	__u8 way;
	__u8 flags; /* EK_NEWS_* */
	__u16 pad;
};
#define EK_NEWS_REMOVED 1u /* expired, found and removed by a packet */
_Static_assert(sizeof(struct ek_news_record) == 16, "ek_news_record");

struct ek_news {
	__u64 head; /* records written since the map was made */
	__u64 pad[7];
	struct ek_news_record record[EK_NEWS_SIZE];
};

/* --- meta ------------------------------------------------------------------------------------
 * What the pinned maps were made with. A controller that finds other numbers does not adopt them.
 */
struct ek_meta {
	__u32 abi;
	__u32 backends_limit;
	__u32 cpus;
	__u32 flow_buckets;
	__u32 tick_shift; /* a tick is 2^tick_shift jiffies, about a second */
	__u32 hz;
	__u64 key_check; /* a digest of the hash key: the key itself is in no readable map */
};
_Static_assert(sizeof(struct ek_meta) == 32, "ek_meta");

/* --- drops -----------------------------------------------------------------------------------
 * Every packet that a VIP refuses has one of these names: X(NAME, "name", "description").
 */
#define EK_DROP_REASONS(X)                                                                         \
	X(MALFORMED, "malformed", "IP or transport header contradicts itself")                     \
	X(TRUNCATED, "truncated", "the frame ends before the packet does")                         \
	X(FRAGMENT, "fragment", "an IP fragment: it names no port")                                \
	X(EXTENSION, "ipv6-extension", "IPv6 extension headers before the transport header")       \
	X(NO_RING, "no-ring", "the service has no ring")                                           \
	X(NO_BACKEND, "no-backend", "no backend of the service may take connections")              \
	X(BACKEND_DOWN, "backend-down", "the chosen backend is down and nothing replaces it")      \
	X(UNRESOLVED, "unresolved", "the chosen backend's next hop is unknown")                    \
	X(TABLE_FULL, "table-full", "a new connection could not be stored and would be cut short") \
	X(NO_SOURCE, "no-source", "the egress interface has no address of the outer family")       \
	X(TOO_BIG, "too-big", "does not fit the path to the backend once encapsulated")            \
	X(NO_HEADROOM, "no-headroom", "the driver left no room for the outer header")              \
	X(UNKNOWN_FLOW, "unknown-flow", "a segment of a connection that this node does not know")

enum ek_drop {
	EK_DROP_NONE = 0,
#define X(name, text, description) EK_DROP_##name,
	EK_DROP_REASONS(X)
#undef X
		EK_DROP_COUNT
};

#endif
