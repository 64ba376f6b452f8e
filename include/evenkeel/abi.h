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

#define EK_ABI_VERSION 4u

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
	EK_SERVICE_WILD =
		4, /* of a prefix, of several ports or protocols: a wildcard rule names it */
};

/* The second part of the key as one word: port (network order), protocol, state, zero. */
#define EK_SERVICE_KEY(port_be, proto, state) \
	((__u64)(__u16)(port_be) | (__u64)(__u8)(proto) << 16 | (__u64)(state) << 24)
/*
 * Of a wildcard: the first port (0: any), the protocol (0: any), the last port (network order; 0:
 * as the first), the length of the VIP's prefix (of 128 bits; 128: the whole address). No packet's
 * key is like it.
 */
#define EK_SERVICE_WILD_KEY(first_be, proto, last_be, length)                               \
	(EK_SERVICE_KEY(first_be, proto, EK_SERVICE_WILD) | (__u64)(__u16)(last_be) << 32 | \
	 (__u64)(__u8)(length) << 48)
#define EK_SERVICE_KEY_STATE(key)  ((__u8)((key) >> 24))
#define EK_SERVICE_KEY_PROTO(key)  ((__u8)((key) >> 16))
#define EK_SERVICE_KEY_PORT(key)   ((__u16)(key))
#define EK_SERVICE_KEY_LAST(key)   ((__u16)((key) >> 32))
#define EK_SERVICE_KEY_LENGTH(key) ((__u8)((key) >> 48))

struct ek_service {
	struct ek_ip vip;
	__u64 key;
	__u32 id;	  /* index of its ring in `rings`; what a backend's `service` names. A
			   * service of several addresses or protocols has an entry for each */
	__u32 flags;	  /* EK_SERVICE_F_* */
	__u16 timeout[4]; /* ticks of idleness after which an entry is gone, by enum ek_flow_state
			   */
	struct ek_ip outer_source; /* used when outer_mask is set: the prefix, host bits zero */
	__be32 outer_mask; /* bits of the last word that vary per flow; 0 = the node's address */
	__u8 hash_prefix4; /* source-hash: leading bits of the client that count */
	__u8 hash_prefix6;
	__u16 mss; /* of SYNs, at most; 0 = as they are */
};
_Static_assert(sizeof(struct ek_service) == 64, "one cache line");

#define EK_SERVICE_F_TRACK_FULL (1u << 0) /* every slot looks up and a miss inserts */
#define EK_SERVICE_F_TRACK_NONE (1u << 1) /* never looks up */
#define EK_SERVICE_F_SOURCE_HASH \
	(1u << 2) /* the ring index and entry follow from the client alone */
#define EK_SERVICE_F_OVER_QUOTA (1u << 3) /* holds its share of the table: stores nothing more */
#define EK_SERVICE_F_MIRRORED	(1u << 4) /* what becomes of its entries is news for the peers */
#define EK_SERVICE_F_RESET	(1u << 5) /* a segment of no known connection is answered with RST */
#define EK_SERVICE_F_PORTLESS \
	(1u << 6) /* any protocol: flows are pairs of addresses, all of them datagrams */
#define EK_SERVICE_F_FIRST (1u << 7) /* of a service's entries the one that names it */

/* What holds for all services. */
struct ek_settings {
	__u32 flags;	 /* EK_SETTING_* */
	__u32 echo_rate; /* echo replies a second and CPU; 0 = none: requests are dropped by name */
	__u32 error_rate; /* "packet too big" a second and CPU */
	__u32 pad[13];
};
_Static_assert(sizeof(struct ek_settings) == 64, "one cache line");
#define EK_SETTING_WILDCARDS (1u << 0) /* there are rules in `wildcards` */

struct ek_service_table {
	struct ek_service slot[EK_SERVICE_SLOTS];
	struct ek_settings settings;
};

/* --- wildcards -------------------------------------------------------------------------------
 * Services of a prefix, of several ports or of any protocol, by longest prefix: looked at when no
 * exact entry matches, and only while EK_SETTING_WILDCARDS is set. The first rule that fits wins;
 * those of shorter prefixes that cover this one follow its own. That an address matches at all says
 * that it is a VIP.
 */
#define EK_WILDCARD_RULES 32u

/* As the kernel wants it: the bits to compare follow the length at once. */
struct ek_wildcard_key {
	__u32 length; /* of 128 bits: 96 more than an IPv4 prefix has */
	struct ek_ip address;
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct ek_wildcard_key) == 20, "ek_wildcard_key");

struct ek_wildcard_rule {
	__u16 first, last; /* ports, host order, both included; 0 to 65535: any, and none */
	__u8 protocol;	   /* 0 = any */
	__u8 pad;
	__u16 slot; /* its entry in the service table */
};

struct ek_wildcard {
	__u32 n;
	__u32 pad;
	struct ek_wildcard_rule rule[EK_WILDCARD_RULES];
};
_Static_assert(sizeof(struct ek_wildcard) == 264, "ek_wildcard");

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
	__u8 dscp;     /* tos: what names the VIP, where it stands in the TOS byte (id << 2) */
	__be16 gue_port;
	__u8 gue_header; /* bytes of the GUE header: 4 (variant 0), or 0 (variant 1, direct) */
	__u8 pad;
	__u16 index;	/* its own */
	__u64 unstored; /* counter: new flows it got, as an origin, that could not be stored */
};
_Static_assert(sizeof(struct ek_backend) == 64, "one cache line");

/* The outer header of ipip and gue is of the backend's family, whatever the packet's. */
enum ek_forward {
	EK_FORWARD_IPIP = 1,  /* outer IPv4: RFC 2003, RFC 4213 (6-in-4) */
	EK_FORWARD_GUE = 2,   /* outer IPv4, UDP, draft-ietf-intarea-gue */
	EK_FORWARD_TOS = 3,   /* destination and DSCP rewritten */
	EK_FORWARD_L2 = 4,    /* destination MAC */
	EK_FORWARD_LOCAL = 5, /* to this host's stack */
	EK_FORWARD_IPIP6 = 6, /* outer IPv6: RFC 2473; in rows only */
	EK_FORWARD_GUE6 = 7,  /* in rows only */
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
 * An attached interface, or a VLAN on one: what leaves by it gets its tags. The program on an
 * interface knows its own port number (rodata); a backend names its egress by port number.
 */
struct ek_port {
	__u64 mac;	/* low 48 bits as on the wire; 0 = no such port */
	__u32 ifindex;	/* of the attached interface, also for a VLAN */
	__be32 source4; /* outer IPv4 source of what leaves here; 0 = none */
	struct ek_ip source6;
	__be16 tags[2]; /* VLAN identifiers, the outer first; 0 = none. One: 802.1Q; two: 802.1ad
			 * and 802.1Q */
	__u32 flags;	/* EK_PORT_* */
	__u8 pad[24];
};
_Static_assert(sizeof(struct ek_port) == 64, "one cache line");
#define EK_PORT_TRACED 1u /* somebody listens: see struct ek_trace */

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
	X(FRAGMENT, "fragment",                                                                    \
	  "a later IP fragment, of which no first one was seen, or any of ICMP")                   \
	X(EXTENSION, "ipv6-extension",                                                             \
	  "more IPv6 extension headers than are walked, or unknown ones")                          \
	X(NO_RING, "no-ring", "the service has no ring")                                           \
	X(NO_BACKEND, "no-backend", "no backend of the service may take connections")              \
	X(BACKEND_DOWN, "backend-down", "the chosen backend is down and nothing replaces it")      \
	X(UNRESOLVED, "unresolved", "the chosen backend's next hop is unknown")                    \
	X(TABLE_FULL, "table-full", "a new connection could not be stored and would be cut short") \
	X(NO_SOURCE, "no-source", "the egress interface has no address of the outer family")       \
	X(TOO_BIG, "too-big", "does not fit the path to the backend once encapsulated")            \
	X(NO_HEADROOM, "no-headroom", "the driver left no room for the outer header")              \
	X(UNKNOWN_FLOW, "unknown-flow", "a segment of a connection that this node does not know")  \
	X(NO_SERVICE, "no-service", "an ICMP error for a VIP, about no flow of a service")         \
	X(ICMP_OTHER, "icmp-other",                                                                \
	  "an ICMP message for a VIP that is no echo request and no error")                        \
	X(ICMP_RATE, "icmp-rate", "an answer would exceed the rate for such answers")              \
	X(ECHO_OFF, "echo-off", "an echo request for a VIP, and they are not answered")            \
	X(NOT_REWRITABLE, "not-rewritable", "its checksum is out of reach of the tos method")

enum ek_drop {
	EK_DROP_NONE = 0,
#define X(name, text, description) EK_DROP_##name,
	EK_DROP_REASONS(X)
#undef X
		EK_DROP_COUNT
};

/* What is answered in place: X(NAME, "name", "description"). */
#define EK_ANSWERS(X)                                                        \
	X(RESET, "reset", "RST for a segment of an unknown connection")      \
	X(ECHO, "echo", "echo reply in a VIP's name")                        \
	X(TOO_BIG, "too-big", "packet too big: it would not fit the tunnel") \
	X(INSIDE, "too-big-inside", "packet too big, as a router between here and a backend said")

enum ek_answer {
#define X(name, text, description) EK_ANSWER_##name,
	EK_ANSWERS(X)
#undef X
		EK_ANSWER_COUNT
};

/* --- path MTU --------------------------------------------------------------------------------
 * What routers toward backends said of packets of ours that did not fit. Read by the controller,
 * which knows whether the address is a backend's and lowers the row's `mtu` for a while (RFC 1191,
 * section 6.3).
 */
struct ek_learned {
	struct ek_ip source, address; /* of the outer header that was quoted */
	__u32 mtu;		      /* 0: the router did not say */
	__u32 pad;
};

/* --- trace -----------------------------------------------------------------------------------
 * Decisions for a listener. Written by the controller before EK_PORT_TRACED is set on the ports:
 * what is recorded, and until when, so that a listener that died costs nothing for long.
 */
#define EK_TRACE_SNAP  192u /* bytes of a frame that are kept */
#define EK_TRACE_DROPS 1u   /* drops only */

struct ek_trace {
	__u64 until;	     /* CLOCK_MONOTONIC, ns */
	struct ek_ip client; /* 0: any */
	__u32 service;	     /* EK_SERVICE_NONE: any */
	__u32 flags;	     /* EK_TRACE_* */
	__u32 rate;	     /* records a second and CPU; more are counted as missed */
	__u32 pad;
};

/* Of one CPU. */
struct ek_trace_spent {
	__u64 second; /* of CLOCK_MONOTONIC, in which `spent` records were written */
	__u32 spent;
	__u32 missed; /* since the last record; the controller clears it before it traces */
};
_Static_assert(sizeof(struct ek_trace_spent) == 16, "ek_trace_spent");

struct ek_trace_record {
	__u64 time;	/* CLOCK_MONOTONIC, ns */
	__u32 length;	/* of the frame as received */
	__u32 missed;	/* on this CPU since its last record, for want of rate or of room */
	__s16 verdict;	/* an XDP action, or minus an enum ek_drop */
	__u16 backend;	/* EK_BACKEND_NONE: none was chosen */
	__u16 service;	/* EK_SERVICE_NONE */
	__u16 captured; /* bytes of `frame` */
	__u8 action;	/* XDP action: TX also where a drop was answered */
	__u8 port;
	__u8 pad[6];
	__u8 frame[EK_TRACE_SNAP]; /* as received */
};
_Static_assert(sizeof(struct ek_trace_record) == 32 + EK_TRACE_SNAP, "ek_trace_record");

#endif
