/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The difference between what the data plane holds and what it should: pure, no clock, no map.
 *
 *     struct ek_state   what the maps hold, services by id and backends by index
 *     struct ek_intent  what configuration, health and next hops ask for
 *     struct ek_plan    operations that lead from one to the other, in a safe order: backends
 *                       before the rings that name them, backends that fail after the rings
 *                       that leave them, rings before the services that use them, entries of
 *                       the service table before the wildcard rules that name them; what nobody
 *                       names any more goes last
 *
 * A service has one id, one ring, and an entry in the service table for each of its addresses and
 * protocols (ek_config_entries()). The first of them names it: here, to the peers, and, by
 * EK_SERVICE_F_FIRST, to a controller that adopts the table.
 *
 * A backend that left the file stays in the intent with weight 0 until no ring and no connection
 * names it: who decides that is the controller. Rows are handed out in rotation, so that an index
 * rests as long as possible before it is reused.
 */
#ifndef EVENKEEL_PLAN_H
#define EVENKEEL_PLAN_H

#include <stdbool.h>
#include "config.h"
#include "maglev.h"
#include "ticks.h"

struct ek_state_backend {
	bool used;
	struct ek_backend row; /* counters not kept */
};

struct ek_state_service {
	bool used;
	struct ek_service *entries; /* the first names it, the others are sorted */
	size_t n_entries;
	/* What its ring was last built from; unknown (built = false) after a restart. */
	bool built;
	enum ek_tracking tracking;
	struct ek_maglev_member *members;
	size_t n_members;
};

struct ek_state {
	struct ek_state_service services[EK_SERVICES_MAX];
	/* What the wildcard rules were last built from; unknown after a restart. */
	struct ek_service *wild;
	size_t n_wild;
	bool wild_unknown;
	struct ek_state_backend *backends; /* [limit], 0 unused */
	uint32_t limit;
	uint32_t next;	       /* where the search for a free row begins */
	struct ek_clock clock; /* for timeouts; HZ 1000 unless set */
};

struct ek_intent_backend {
	struct ek_ip address;
	uint32_t weight; /* for new connections: 0 unless it may take them */
	uint64_t nexthop;
	uint16_t mtu;	/* 0: not known */
	bool local;	/* it is this host, whatever the service's method */
	bool retired;	/* it left the file: its last connections reach it as they did */
	uint16_t index; /* out: its row */
};

struct ek_intent_service {
	const struct ek_config_service *config;
	struct ek_intent_backend *backends;
	size_t n_backends;
	bool follow; /* another node owns its ring: once there, it is written as that one says */
	uint16_t id; /* out */
};

struct ek_intent {
	struct ek_intent_service *services;
	size_t n_services;
};

enum ek_op_kind {
	EK_OP_BACKEND_SET,   /* index, row: a new or changed row, counters kept */
	EK_OP_RING_SET,	     /* id, members: choose for every slot */
	EK_OP_SERVICE_SET,   /* id, entries: publish or change */
	EK_OP_WILDCARDS_SET, /* entries: of all services, those that need rules; and their order */
	EK_OP_ENTRY_CLEAR,   /* id, entry: withdraw, unless it is another service's by now */
	EK_OP_SERVICE_CLEAR, /* id: withdraw all its entries, and give up its ring */
	EK_OP_BACKEND_CLEAR, /* index: its row is free */
};

struct ek_op {
	enum ek_op_kind kind;
	uint16_t index;
	uint16_t id;
	bool fresh;		   /* RING_SET: the service is new, its ring has no past */
	bool loss;		   /* BACKEND_SET: it can no longer be used */
	enum ek_tracking tracking; /* RING_SET, SERVICE_SET */
	union {
		struct ek_backend row;
		struct ek_service entry;
		struct {
			struct ek_maglev_member *list;
			size_t n;
		} members;
		struct {
			struct ek_service *list;
			size_t n;
		} entries;
	};
};

struct ek_plan {
	struct ek_op *ops;
	size_t n, room;
	uint32_t next; /* state->next once committed */
	bool wild_cut; /* cut at the wildcard rules, of which some may be written */
};

/* The id of the service that is named as this one, or -1. */
int ek_state_find(const struct ek_state *state, const struct ek_config_service *config);
/* The id of the service whose first entry has this VIP and key, or -1. */
int ek_state_find_key(const struct ek_state *state, const struct ek_ip *vip, uint64_t key);
/* Of a used service: the entry whose flows live longest without a packet. */
const struct ek_service *ek_state_longest(const struct ek_state_service *service);
/* Puts the one that names the service first and the others in order, as states have them. */
void ek_state_sort_entries(struct ek_service *entries, size_t n);
int ek_state_init(struct ek_state *state, uint32_t limit);
void ek_state_free(struct ek_state *state);

/*
 * Fills `plan`, and the out fields of `intent`. 0, -ENOMEM, or -ENOSPC with `error` naming the
 * limit. `state` is not touched: ek_plan_commit() does that once the operations were applied.
 */
int ek_plan_make(const struct ek_state *state, struct ek_intent *intent, struct ek_plan *plan,
		 struct ek_error *error);
/*
 * Takes out what must wait until the peers know of it: changes of rings that have a past, and the
 * losses that come after them. The next plan will have them again. Returns true if a loss is among
 * them: that must not wait for long.
 */
bool ek_plan_defer_rings(struct ek_plan *plan);
bool ek_plan_changes_rings(const struct ek_plan *plan);
void ek_plan_commit(struct ek_state *state, struct ek_plan *plan);
/* Leaves the first n operations: the next one failed, and may be half done. */
void ek_plan_cut(struct ek_plan *plan, size_t n);
void ek_plan_free(struct ek_plan *plan);

/* Bytes that the service's method adds to a packet for this backend. */
unsigned int ek_plan_overhead(const struct ek_config_service *service, const struct ek_ip *address);

/*
 * The service's entries (with its id) as states have them, into out[EK_SERVICE_ENTRIES_MAX]; their
 * number. The MSS follows from the backends' paths.
 */
size_t ek_plan_entries(const struct ek_intent_service *service, struct ek_clock clock,
		       struct ek_service *out);

/* The row that the data plane needs for a backend of this service. */
struct ek_backend ek_plan_row(const struct ek_config_service *service, uint16_t id,
			      const struct ek_intent_backend *backend);

#endif
