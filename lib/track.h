/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a node's health depends on: interfaces and sets of them, routes, scripts (the `track` list
 * of the configuration). Interfaces and routes are read from the kernel, which also tells when to
 * look again; scripts run as child processes on the event loop, one at a time each, in a process
 * group of their own that is killed when the time is over.
 */
#ifndef EVENKEEL_TRACK_H
#define EVENKEEL_TRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>
#include "config.h"
#include "error.h"

struct event_base;
struct ek_tracker;

struct ek_track_status {
	const struct ek_config_track *config;
	bool known; /* false before the first result; counts as well */
	bool failed;
	time_t since;  /* wall clock, of the last change */
	char why[128]; /* "eth1 has no carrier", "no route to 0.0.0.0/0", "exit 1: text" */
};

/* From the event loop, never from inside ek_tracker_*(). */
typedef void (*ek_track_changed)(void *arg);

/* Copies what it needs of `tracks`. NULL with error. */
struct ek_tracker *ek_tracker_new(struct event_base *base, const struct ek_config_track *tracks,
				  size_t n, ek_track_changed changed, void *arg,
				  struct ek_error *error);
void ek_tracker_free(struct ek_tracker *t);
size_t ek_tracker_count(const struct ek_tracker *t);
const struct ek_track_status *ek_tracker_at(const struct ek_tracker *t, size_t i);
/* How many have failed. */
size_t ek_tracker_failed(const struct ek_tracker *t);

#endif
