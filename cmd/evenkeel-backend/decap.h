/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The XDP program of evenkeel-backend, on its interface from decap_open() to decap_close(), or
 * to the end of the process, however that comes: nothing is pinned.
 */
#ifndef EVENKEEL_BACKEND_DECAP_H
#define EVENKEEL_BACKEND_DECAP_H

#include <stdint.h>
#include "error.h"
#include "options.h"

struct decap;

/* NULL with `error`. `*note` is why it is not native in mode auto, or NULL. */
struct decap *decap_open(const struct options *options, const char **note, struct ek_error *error);
void decap_close(struct decap *decap);

bool decap_is_native(const struct decap *decap);
/* Sums over all CPUs, by enum ek_decap_result. 0 or -errno. */
int decap_counters(const struct decap *decap, uint64_t counters[EK_DECAP_RESULT_COUNT]);
/* The same, of a map that is known by its descriptor. */
int decap_read_counters(int map, uint64_t counters[EK_DECAP_RESULT_COUNT]);
/* Packets to these addresses and no others get their VIP from the DSCP. 0 or -errno. */
int decap_set_own(const struct decap *decap, const struct ek_ip *addresses, size_t n);

/* By enum ek_decap_result, from EK_DECAP_FIRST_COUNTED on. */
struct decap_result_text {
	const char *name, *description;
};
extern const struct decap_result_text decap_results[EK_DECAP_RESULT_COUNT];

#endif
