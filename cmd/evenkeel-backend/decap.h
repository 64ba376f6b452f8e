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

#endif
