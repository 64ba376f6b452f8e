/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an operator said of a backend at run time: a drain, another weight. Kept by the names of
 * service and backend in <state-dir>/overrides.json (0600), so that it outlives reloads and
 * restarts; written whole under another name and renamed.
 */
#ifndef EVENKEEL_OVERRIDES_H
#define EVENKEEL_OVERRIDES_H

#include <stdint.h>
#include <jansson.h>
#include <time.h>
#include "config.h"

struct ek_override {
	char service[EK_NAME_MAX + 1];
	char backend[EK_NAME_MAX + 1];
	int weight; /* -1: the file's */
	bool drain;
	time_t drain_since;
	unsigned int drain_timeout; /* seconds, 0 = none */
	uint64_t unstored_before;   /* the backend's counter when the drain began */
};

struct ek_overrides {
	char path[256];
	struct ek_override *list;
	size_t n;
};

/* A missing file is an empty list. 0 or -errno with error. */
int ek_overrides_load(struct ek_overrides *o, const char *state_dir, struct ek_error *error);
void ek_overrides_free(struct ek_overrides *o);
/* NULL when nothing was said. */
const struct ek_override *ek_overrides_find(const struct ek_overrides *o, const char *service,
					    const char *backend);
/*
 * Adds or replaces, or removes an entry that says nothing, and writes the file. On failure the
 * list is as it was.
 */
int ek_overrides_set(struct ek_overrides *o, const struct ek_override *value,
		     struct ek_error *error);
/* All of them, for another node; and in the place of all, from another one: 0 or -errno. */
json_t *ek_overrides_export(const struct ek_overrides *o);
int ek_overrides_import(struct ek_overrides *o, const json_t *list, struct ek_error *error);

#endif
