/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What `evenkeel-backend status` prints: where a program of ours is attached in this network
 * namespace, what it was told and what it has counted. Read from the kernel, by the program's and
 * its maps' ids: the process that attached it is not asked.
 */
#ifndef EVENKEEL_BACKEND_STATUS_H
#define EVENKEEL_BACKEND_STATUS_H

#include <stdio.h>
#include "error.h"

/* Of one interface, or of all for "". 0 if there was one, or -errno with `error`. */
int status_print(const char *interface, FILE *out, struct ek_error *error);

#endif
