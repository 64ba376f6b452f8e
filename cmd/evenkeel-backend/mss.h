/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What `evenkeel-backend --mss-advice` prints. A client's segment grows by outer headers between
 * balancer and backend only; so the server should advertise (RFC 9293, section 3.7.1) a segment
 * that still fits with the largest of them.
 */
#ifndef EVENKEEL_BACKEND_MSS_H
#define EVENKEEL_BACKEND_MSS_H

#include <stdio.h>
#include "error.h"
#include "options.h"

/* 0, or -errno with `error`. */
int mss_print_advice(const struct options *options, FILE *out, struct ek_error *error);

#endif
