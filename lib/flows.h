/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading the connection table: the walk, which is pure, and the command that answers it to
 * `evenkeel flows` in pages, so that a table of any size never holds up the event loop.
 */
#ifndef EVENKEEL_FLOWS_H
#define EVENKEEL_FLOWS_H

#include <jansson.h>
#include <stdint.h>
#include <evenkeel/flow_table.h>
#include "error.h"

struct ek_flows_view {
	const struct ek_flow_bucket *flows;
	const struct ek_flow_keys *flow_keys;
	uint32_t buckets; /* a power of two */
	const struct ek_hash_key *key;
	uint32_t tick;
	/* By a backend's index: its service, or NULL to leave its flows out. */
	const struct ek_service *const *services;
	uint32_t limit; /* of those */
};

struct ek_flow {
	uint64_t entry;
	struct ek_flow_key key;
};

typedef void (*ek_flows_visit)(void *arg, const struct ek_flow *flow);

/*
 * Visits what is alive in one bucket. Returns how many entries were left out because their cold
 * twin is not theirs: a packet is just storing them.
 */
uint32_t ek_flows_walk(const struct ek_flows_view *view, uint32_t bucket, ek_flows_visit visit,
		       void *arg);

#define EK_FLOWS_LIMIT	   1000u   /* flows shown, unless another number was asked for */
#define EK_FLOWS_LIMIT_MAX 100000u /* … which is at most this */

/*
 * A handler of the control socket (control.h); `arg` is the struct ek_controller. One answer is a
 * page: up to EK_FLOWS_PAGE_BUCKETS buckets, or about EK_FLOWS_PAGE_ROWS rows.
 *
 *     request   "service", "backend", "client": whose flows; "limit": rows at most, 0 to count
 *               only; "count": totals in place of rows; "cursor": of the page before
 *     result    "flows" or "counts" of this page, "matched", "in_flux", and the next "cursor" or
 *               null after the last page
 */
#define EK_FLOWS_PAGE_BUCKETS 16384u
#define EK_FLOWS_PAGE_ROWS    500u
json_t *ek_flows_command(void *arg, const json_t *request, struct ek_error *error);

#endif
