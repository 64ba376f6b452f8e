/* SPDX-License-Identifier: GPL-2.0-only */
/* The kinds of packets that are measured, and the driver program that sends them. */
#ifndef EVENKEEL_BENCH_TRAFFIC_H
#define EVENKEEL_BENCH_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>
#include "lab.h"

struct kind {
	const char *name;
	enum lab_service service;
	bool v6;
	uint8_t protocol;
	uint8_t tcp_flags;
};

extern const struct kind kinds[];
extern const size_t kinds_count;

/* A program under test: a reference (no balancer behind it), or a balancer in some state. */
struct target {
	const char *name;
	int program[2]; /* for IPv4, IPv6 */
	struct lab *lab;
	const char *only; /* kinds with this in their name; NULL: all */
};

bool target_takes(const struct target *target, const struct kind *kind);

struct traffic {
	struct driver *skeleton;
	struct target empty, bare;
};

int traffic_open(struct traffic *t);
void traffic_close(struct traffic *t);

/*
 * Sends a few packets of each kind one by one and compares what comes out with what an IP in IP
 * frame must be. -EBADMSG after saying on stderr what was wrong.
 */
int traffic_verify(struct traffic *t, const struct target *target, const struct kind *kind);

/*
 * Nanoseconds of CPU per packet over `packets`, driver included, after every one of the `flows`
 * has been seen once. Fails unless every single packet was transmitted.
 */
int traffic_measure(struct traffic *t, const struct target *target, const struct kind *kind,
		    uint32_t flows, uint32_t packets, double *ns);

#endif
