/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the stages hand to each other. On the usual path `struct packet` lives in registers; what is
 * unusual (tags, options, fragments, ICMP, wildcards, other tunnels than IP in IP of one family)
 * is worked on in `struct work`, which each CPU has one of: on Linux 6.1 the stack has no room.
 */
#ifndef EVENKEEL_BPF_PACKET_H
#define EVENKEEL_BPF_PACKET_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <evenkeel/select.h>

/*
 * A function that the verifier looks at by itself, once, whoever calls it. Weak, or else clang
 * tells the caller what it found out about the result, which the verifier does not believe.
 */
#define verified_alone __attribute__((noinline, weak))

/* Beside XDP actions (0 to 4) and minus an enum ek_drop, what a stage may say. */
enum stage {
	STAGE_GO_ON = 0,
	STAGE_UNUSUAL = 16, /* the usual path does not know it: classify.h */
	STAGE_NEIGHBOUR,    /* ARP, or neighbour discovery: neighbour.h */
	STAGE_ICMP,	    /* for a VIP, or about a tunnel of ours: icmp.h */
};

struct packet {
	struct ek_ip source;
	struct ek_ip destination; /* v4-mapped for IPv4 */
	__be16 source_port;
	__be16 destination_port;
	__be32 sequence; /* TCP */
	__u8 tcp_flags;
	__u8 family;   /* AF_INET or AF_INET6 */
	__u8 protocol; /* 0: of a portless service */
	__u8 tos;      /* IPv4 TOS or IPv6 traffic class */
	union {	       /* IPv4 identification and DF, for the outer header; of IPv6 zero */
		struct {
			__be16 id;
			__be16 dont_fragment;
		};
		__u32 id_and_flags; /* both, as they lie */
	};
	__u8 quoted; /* by an ICMP error, with source and destination exchanged: that is what is
		      * forwarded */
	__u8 pad[3];
	__u32 length; /* of the IP packet, header included */
	__u32 frame;  /* of the frame as received */
};

/* A packet that leaves by another way than IP in IP of its own family: filled by forward.h. */
struct departure {
	__u64 nexthop; /* ek_backend.nexthop */
	__u64 hash;    /* of the flow */
	__u64 mac;     /* of the egress port */
	struct ek_ip address;
	struct ek_ip source; /* outer, of the address's family; 0: there is none */
	__u32 length;	     /* of the IP packet */
	__u32 csum;	     /* ek_backend.csum */
	__u32 id_and_flags;  /* of an outer IPv4 header, as they lie */
	__be16 gue_port;
	__u16 mtu;
	__u8 family; /* of the packet */
	__u8 tos;
	__u8 dscp;
	__u8 gue_header;
	__u8 forward; /* enum ek_forward */
	__u8 pad[3];
};

/* What selection has in hand while it looks at the connection table. */
struct remembering {
	struct ek_selection selection;
	struct ek_choice choice;
	struct ek_matches matches;
	__u32 service;
	__u32 bucket;
};

struct work {
	struct packet packet;
	__u64 hash, ring;  /* as balance() has them */
	__u32 slot;	   /* of the service in its table */
	__u32 backend;	   /* of a later fragment; 0: to be selected */
	__u64 fragment;	   /* what the backend of its datagram is remembered under; 0: it is whole */
	__u32 offset;	   /* of a later fragment, in bytes */
	__u32 l3;	   /* where the IP header begins, behind what tags are left */
	__u32 l4;	   /* where the transport header does, or would */
	__u16 fits;	   /* the longest packet that would have fitted, after TOO_BIG */
	__be16 ether_type; /* behind the tags */
	__u32 n_tags;	   /* taken off on the way in, and not yet put back: tag[] */
	__be32 tag[2];	   /* TPID and TCI, as they lay, the outer first */
	__u32 traced;	   /* bytes in trace.frame */
	__u32 service;	   /* for the trace */
	struct remembering remembering;
	struct departure out;
	struct ek_trace_record trace;
};

#endif
