/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `make bench`: what a packet costs, beside what it would cost at least.
 *
 * In each round, for each kind of packet and number of flows, every program takes its turn: an
 * empty one, a bare IPIP encapsulation with constant addresses, and the balancer in the state that
 * each scenario puts it in. The order rotates by the round, so that none profits from what another
 * left in the caches. A scenario is one row of a table below.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "report.h"

#define SAMPLE_PACKETS 1000000
#define QUICK_PACKETS  200000
#define AGAINST_MAX    8

/* Room in the connection table: twice for the most flows there are, and a fraction of a flood. */
#define TRACKED_FLOWS (1u << 21)
#define FLOODED_FLOWS (1u << 16)

struct scenario {
	const char *name;
	const char *only; /* kinds of packets with this in their name; NULL: all */
	uint32_t flows;	  /* room in the connection table */
	/* Changes a balancer in which nothing has happened yet; NULL: leaves it so. */
	void (*setup)(struct lab *lab);
};

/* Every `nth` slot has moved from one backend to the next, and not yet forgotten. */
static void remember(struct lab *lab, uint32_t nth)
{
	for (uint32_t id = 0; id < LAB_SERVICES; id++) {
		for (uint32_t i = 0; i < EK_RING_SIZE; i += nth) {
			uint32_t origin = ek_slot_origin(lab->ring[id]->slot[i]);
			uint32_t first = 1 + id * LAB_BACKENDS;
			uint32_t current = first + (origin - first + 1) % LAB_BACKENDS;

			lab->ring[id]->slot[i] = ek_slot(current, origin, 1);
		}
	}
}

static void remember_tenth(struct lab *lab)
{
	remember(lab, 10);
}

static void remember_all(struct lab *lab)
{
	remember(lab, 1);
}

static void track_all(struct lab *lab)
{
	for (int id = 0; id < LAB_SERVICES; id++) {
		lab->service[id]->flags |= EK_SERVICE_F_TRACK_FULL;
		for (uint32_t i = 0; i < EK_RING_SIZE; i++)
			lab->ring[id]->slot[i] |= EK_SLOT_LOOKUP;
	}
}

static const struct scenario scenarios[] = {
	{"steady: no slot remembers", NULL, EK_FLOW_WAYS, NULL},
	{"10 % of slots remember, older flows", "ACK", TRACKED_FLOWS, remember_tenth},
	{"all slots remember, older flows", "ACK", TRACKED_FLOWS, remember_all},
	{"full tracking, live flows", "ACK", TRACKED_FLOWS, track_all},
	{"full tracking, UDP", "UDP", TRACKED_FLOWS, track_all},
	{"SYN flood over the table's size, all slots remember", "SYN", FLOODED_FLOWS, remember_all},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static const uint32_t flow_counts[] = {1, 1000, 100000, 1000000};
#define FLOW_COUNTS (sizeof(flow_counts) / sizeof(flow_counts[0]))

struct options {
	bool json, quick;
	int rounds;
	const char *against[AGAINST_MAX]; /* other builds' balancer.bpf.o, measured as well */
	int others;
};

static int usage(FILE *to)
{
	fprintf(to,
		"usage: bench [--json] [--quick] [--rounds N] [--against OTHER/balancer.bpf.o]\n");
	return to == stdout ? EXIT_SUCCESS : 2;
}

/* 0, or -1 when the program is to end with *status. */
static int parse_options(int argc, char **argv, struct options *o, int *status)
{
	static const struct option table[] = {
		{"json", no_argument, NULL, 'j'},	  {"quick", no_argument, NULL, 'q'},
		{"rounds", required_argument, NULL, 'r'}, {"against", required_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},	  {NULL, 0, NULL, 0},
	};
	int c;

	*o = (struct options){0};
	while ((c = getopt_long(argc, argv, "jqr:a:h", table, NULL)) != -1) {
		switch (c) {
		case 'j':
			o->json = true;
			break;
		case 'q':
			o->quick = true;
			break;
		case 'r':
			o->rounds = atoi(optarg);
			if (o->rounds >= 1 && o->rounds <= ROUNDS_MAX)
				break;
			fprintf(stderr, "bench: --rounds takes 1 to %d\n", ROUNDS_MAX);
			*status = 2;
			return -1;
		case 'a':
			if (o->others < AGAINST_MAX) {
				o->against[o->others++] = optarg;
				break;
			}
			/* fall through */
		default:
			*status = usage(c == 'h' ? stdout : stderr);
			return -1;
		}
	}
	if (!o->rounds)
		o->rounds = o->quick ? 5 : 7;
	return 0;
}

/* One CPU, the last that is allowed: the first ones serve more interrupts. */
static int stay_on_one_cpu(void)
{
	cpu_set_t allowed, one;
	int cpu = CPU_SETSIZE - 1;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return -errno;
	while (!CPU_ISSET(cpu, &allowed))
		cpu--;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) ? -errno : 0;
}

/* In the state of a scenario; this build's, or the one in `file`. */
static int add_balancer(struct target *target, struct lab *lab, const char *file,
			const struct scenario *scenario)
{
	int err = lab_open(lab, file, scenario->flows);

	if (err) {
		fprintf(stderr, "bench: %s: %s\n", file ? file : scenario->name, strerror(-err));
		return err;
	}
	if (scenario->setup)
		scenario->setup(lab);
	*target = (struct target){
		.name = file ? file : scenario->name,
		.program = {lab->program, lab->program},
		.lab = lab,
		.only = scenario->only,
	};
	return 0;
}

static int verify(struct traffic *t, const struct results *r)
{
	int err = 0;

	for (int target = BARE; target < r->targets && !err; target++)
		for (size_t i = 0; i < kinds_count && !err; i++)
			if (target_takes(&r->target[target], &kinds[i]))
				err = traffic_verify(t, &r->target[target], &kinds[i]);
	return err;
}

static int measure_round(struct traffic *t, const struct results *r, struct cell *cell, int round,
			 uint32_t packets)
{
	int err = 0;

	for (int i = 0; i < r->targets && !err; i++) {
		int target = (i + round) % r->targets;

		if (target_takes(&r->target[target], cell->kind))
			err = traffic_measure(t, &r->target[target], cell->kind, cell->flows,
					      packets, &cell->ns[target][round]);
	}
	return err;
}

static int measure(struct traffic *t, const struct results *r, struct cell *cells, uint32_t packets)
{
	int err = 0;

	for (int round = 0; round < r->rounds && !err; round++) {
		for (int i = 0; i < r->cells && !err; i++)
			err = measure_round(t, r, &cells[i], round, packets);
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\rround %d of %d%s", round + 1, r->rounds,
				round + 1 < r->rounds ? "" : "\n");
	}
	return err;
}

static int bench(const struct options *o)
{
	struct traffic traffic;
	struct lab labs[SCENARIOS + AGAINST_MAX];
	struct target targets[TARGETS_MAX];
	struct results r = {.target = targets, .targets = FIRST_SCENARIO, .rounds = o->rounds};
	size_t flow_rows = FLOW_COUNTS - o->quick;
	struct cell *cells = calloc(kinds_count * FLOW_COUNTS, sizeof(*cells));
	int err = cells ? traffic_open(&traffic) : -ENOMEM;

	if (err)
		return err;
	targets[EMPTY] = traffic.empty;
	targets[BARE] = traffic.bare;
	for (size_t i = 0; i < SCENARIOS && !err; i++, r.targets++)
		err = add_balancer(&targets[r.targets], &labs[i], NULL, &scenarios[i]);
	for (int i = 0; i < o->others && !err; i++, r.targets++)
		err = add_balancer(&targets[r.targets], &labs[SCENARIOS + i], o->against[i],
				   &scenarios[0]);
	if (err)
		return err;

	r.cell = cells;
	r.cells = kinds_count * flow_rows;
	for (int i = 0; i < r.cells; i++) {
		cells[i].kind = &kinds[i / flow_rows];
		cells[i].flows = flow_counts[i % flow_rows];
	}
	if ((err = verify(&traffic, &r)) ||
	    (err = measure(&traffic, &r, cells, o->quick ? QUICK_PACKETS : SAMPLE_PACKETS)))
		return err;
	(o->json ? report_json : report_text)(&r);
	for (int i = FIRST_SCENARIO; i < r.targets; i++)
		lab_close(targets[i].lab);
	traffic_close(&traffic);
	free(cells);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o;
	int status, err;

	if (parse_options(argc, argv, &o, &status))
		return status;
	err = stay_on_one_cpu();
	if (!err)
		err = bench(&o);
	if (err == -EPERM || err == -EACCES)
		fprintf(stderr, "bench: it loads BPF programs: run it as root\n");
	else if (err)
		fprintf(stderr, "bench: %s\n", strerror(-err));
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
