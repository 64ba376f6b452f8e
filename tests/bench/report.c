/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The cost of a program is what a packet takes with it less what it takes with the empty program
 * in the same round, so that a slow drift of the machine cancels. Reported is the median of those
 * differences; the minimum and the distance between the quartiles say how noisy the machine was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <jansson.h>
#include "report.h"

struct cost {
	double median, min, spread;
	double ratio; /* to the bare program */
};

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(const double *sorted, int n, double q)
{
	double at = q * (n - 1);
	int below = at;

	return below + 1 < n ? sorted[below] + (at - below) * (sorted[below + 1] - sorted[below])
			     : sorted[below];
}

static double net_median(const struct cell *cell, int rounds, int target, double *sorted)
{
	for (int i = 0; i < rounds; i++)
		sorted[i] = cell->ns[target][i] - (target == EMPTY ? 0 : cell->ns[EMPTY][i]);
	qsort(sorted, rounds, sizeof(*sorted), ascending);
	return quantile(sorted, rounds, 0.5);
}

static struct cost cost_of(const struct results *r, const struct cell *cell, int target)
{
	double sorted[ROUNDS_MAX];
	double bare = net_median(cell, r->rounds, BARE, sorted);
	double median = net_median(cell, r->rounds, target, sorted);

	return (struct cost){
		.median = median,
		.min = sorted[0],
		.spread = quantile(sorted, r->rounds, 0.75) - quantile(sorted, r->rounds, 0.25),
		.ratio = median / bare,
	};
}

static void print_scenario(const struct results *r, int target)
{
	printf("\n%s\n%-14s %8s %9s %6s %6s %6s %6s %7s\n", r->target[target].name, "", "flows",
	       "bare IPIP", "net", "min", "IQR", "ratio", "empty");
	for (int i = 0; i < r->cells; i++) {
		const struct cell *cell = &r->cell[i];
		struct cost cost;

		if (!target_takes(&r->target[target], cell->kind))
			continue;
		cost = cost_of(r, cell, target);
		printf("%-14s %8u %9.1f %6.1f %6.1f %6.1f %6.2f %7.1f\n", cell->kind->name,
		       cell->flows, cost_of(r, cell, BARE).median, cost.median, cost.min,
		       cost.spread, cost.ratio, cost_of(r, cell, EMPTY).median);
	}
}

static const int service_counts[] = {1, 100, 1000};
#define SERVICE_COUNTS (sizeof(service_counts) / sizeof(service_counts[0]))

/* The balancer with the largest connection table: the least is lost to rounding there. */
static const struct lab *largest(const struct results *r)
{
	const struct lab *lab = r->target[FIRST_SCENARIO].lab;

	for (int i = FIRST_SCENARIO; i < r->targets; i++)
		if (r->target[i].lab->flows > lab->flows)
			lab = r->target[i].lab;
	return lab;
}

void report_text(const struct results *r)
{
	const struct lab *lab = largest(r);

	printf("Nanoseconds of CPU per packet, medians of %d interleaved rounds. net, min and IQR "
	       "are\n"
	       "above a program that only returns XDP_TX (empty); ratio is to a bare IPIP program\n"
	       "with constant addresses.\n",
	       r->rounds);
	for (int i = FIRST_SCENARIO; i < r->targets; i++)
		print_scenario(r, i);

	printf("\nmemory (%d backends a service, %d CPUs)\n", LAB_BACKENDS, lab->cpus);
	for (size_t i = 0; i < SERVICE_COUNTS; i++)
		printf("%5d services %10.1f MiB\n", service_counts[i],
		       lab_memory_of_services(lab, service_counts[i]) / 0x1p20);
	printf("tracked flow   %10.1f bytes\n", lab_memory_of_flow(lab));
}

static json_t *cost_json(const struct results *r, const struct cell *cell, int target)
{
	struct cost cost = cost_of(r, cell, target);
	json_t *rounds = json_array();

	for (int i = 0; i < r->rounds; i++)
		json_array_append_new(rounds, json_real(cell->ns[target][i]));
	return json_pack("{s:s s:s s:i s:f s:f s:f s:f s:o}", "program", r->target[target].name,
			 "packet", cell->kind->name, "flows", (int)cell->flows, "net_ns",
			 cost.median, "min_ns", cost.min, "iqr_ns", cost.spread, "ratio",
			 cost.ratio, "gross_ns", rounds);
}

void report_json(const struct results *r)
{
	const struct lab *lab = largest(r);
	json_t *costs = json_array(), *memory = json_array(), *root;

	for (int i = 0; i < r->cells; i++)
		for (int target = BARE; target < r->targets; target++)
			if (target_takes(&r->target[target], r->cell[i].kind))
				json_array_append_new(costs, cost_json(r, &r->cell[i], target));
	for (size_t i = 0; i < SERVICE_COUNTS; i++) {
		json_int_t bytes = lab_memory_of_services(lab, service_counts[i]);

		json_array_append_new(memory, json_pack("{s:i s:I}", "services", service_counts[i],
							"bytes", bytes));
	}
	root = json_pack("{s:i s:o s:o s:f}", "rounds", r->rounds, "costs", costs, "memory", memory,
			 "bytes_per_flow", lab_memory_of_flow(lab));
	json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(root);
}
