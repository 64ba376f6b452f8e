/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the data plane would do with one packet, and by which rule. The same functions decide here
 * and there (hash.h, service_table.h, ring.h, select.h): this runs them on the data plane's own
 * tables, and on a copy of the one bucket that the decision could change. So looking at a flow
 * never touches it.
 *
 * Pure: explain_command.c calls it for `evenkeel explain`, and tests/bpf/test_explain.c holds it
 * against the program.
 */
#ifndef EVENKEEL_EXPLAIN_H
#define EVENKEEL_EXPLAIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <evenkeel/select.h>
#include "error.h"

/* The data plane's tables; the functions look up in them. A row that is not is EK_SERVICE_NONE's.
 */
struct ek_explain_view {
	const struct ek_service_table *services;
	const struct ek_hash_key *key;
	const struct ek_flow_bucket *flows;
	const struct ek_flow_keys *flow_keys;
	uint32_t buckets;
	uint32_t tick;
	const struct ek_ring *(*ring)(const void *context, uint32_t id);
	struct ek_backend (*backend)(const void *context, uint32_t index);
	struct ek_port (*port)(const void *context, uint32_t number);
	/* The wildcard rules for an address: false if there are none. NULL: for no address. */
	bool (*wildcard)(const void *context, const struct ek_ip *vip, struct ek_wildcard *out);
	const void *context;
};

/* A whole packet that arrived for this node. */
struct ek_explain_packet {
	struct ek_ip source, destination;
	__be16 source_port, destination_port;
	uint8_t protocol;
	enum ek_packet_kind kind;
	uint32_t sequence; /* of a TCP segment, host order … */
	bool in_sequence;  /* … or the one after the SYN that is in the table, if there is one */
	bool is_reset;	   /* RST is set */
	uint32_t length;   /* of the IP packet */
};

enum ek_explain_verdict {
	EK_EXPLAIN_PASS, /* not ours: to the stack, as it is */
	EK_EXPLAIN_DROP,
	EK_EXPLAIN_FORWARD,
	EK_EXPLAIN_RESET, /* counted as a drop, and answered with RST */
};

/* Why this backend, or none. */
enum ek_explain_rule {
	EK_RULE_NONE,	     /* there was no choice to make */
	EK_RULE_STEADY,	     /* the slot remembers nothing: its current backend */
	EK_RULE_ENTRY,	     /* the entry's */
	EK_RULE_ENTRY_DOWN,  /* the entry's is down: the current one, meanwhile */
	EK_RULE_ENTRY_MOVED, /* the entry's is down: the current one, for good (no handshake) */
	EK_RULE_FIRST_SYN,   /* a SYN of late was first, and its choice stands */
	EK_RULE_COMPLETES,   /* a handshake that the table holds: the entry's */
	EK_RULE_REFUSES,     /* an RST for who answered the SYN with something else: the embryo's */
	EK_RULE_OLDER,	     /* not in the table, so older than the change: the origin */
	EK_RULE_OLDER_DOWN,  /* the same, and the origin is down: the current one */
	EK_RULE_NEW,	     /* a new connection, which gets an entry: the current one */
	EK_RULE_NEW_AT_HOME, /* the same; current is origin again and no entry is needed */
	EK_RULE_UNSTORED,    /* no room: where the flow's later packets will go */
	EK_RULE_UNSTORED_NOWHERE, /* no room, and those would find nobody */
	EK_RULE_CURRENT_DOWN,	  /* whoever should take it is down */
	EK_RULE_UNKNOWN,	  /* not in the table, and the service has no others */
};

struct ek_explain_entry {
	uint64_t entry;
	struct ek_flow_key key;
	bool key_fits; /* the twin is this flow's, not that of an entry before or of a like one */
};

/* How it leaves. A method without an outer header has neither source nor, but for tos, destination.
 */
struct ek_explain_outer {
	enum ek_forward forward;
	uint8_t dscp; /* tos: where it stands in the TOS byte */
	struct ek_ip source, destination;
	uint64_t mac, nexthop; /* 48 bits each, as on the wire: from, to */
	uint8_t port;
	uint16_t bytes; /* added to the packet */
	uint16_t room;	/* the longest packet that fits the path */
};

struct ek_explanation {
	enum ek_explain_verdict verdict;
	enum ek_drop drop; /* when the verdict is DROP or RESET */
	/* What follows is filled as far as the packet came. */
	struct ek_service service;
	uint64_t hash;
	uint32_t bucket;
	uint32_t index, slot; /* of the ring */
	uint32_t unhit;	      /* ticks since a packet went to the slot's origin, or it changed */
	struct ek_explain_entry entries[2];
	size_t n_entries; /* of this flow, and not expired */
	enum ek_explain_rule rule;
	uint32_t backend;
	uint32_t named; /* by the entry, when its backend is down */
	bool stored;	/* it would get an entry */
	bool unstored;	/* it would, if there were room */
	struct ek_explain_outer outer;
};

/* The service's entry that the packet belongs to, or NULL. */
const struct ek_service *ek_explain_find(const struct ek_explain_view *view,
					 const struct ek_explain_packet *packet);
/* 0, or -EINVAL: source and destination are not of one family. */
int ek_explain(const struct ek_explain_view *view, const struct ek_explain_packet *packet,
	       struct ek_explanation *out);

/*
 * A handler of the control socket (control.h); `arg` is the struct ek_controller.
 *
 *     request   "target": a service's name or VIP[:PORT][/tcp|udp]; "client": ADDRESS[:PORT];
 *               "packet": "syn", "ack" or "rst", or absent for the first two
 */
json_t *ek_explain_command(void *arg, const json_t *request, struct ek_error *error);

#endif
