/* SPDX-License-Identifier: GPL-2.0-only */
/* See maglev.h. Pure: called by plan.c for every service whose members or weights changed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "maglev.h"

struct candidate {
	const struct ek_maglev_member *member;
	uint32_t at; /* how far down its list it is, from a start of its own */
	uint32_t offset, scale;
	uint64_t credit; /* turns owed, in units of 1/heaviest */
};

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

/* Independent words from address and port. Part of the ABI: nodes must agree on it. */
static uint64_t seed(const struct ek_maglev_member *m, uint64_t salt)
{
	uint64_t h = mix(salt ^ m->port);

	h = mix(h ^ m->address.halves[0]);
	return mix(h ^ m->address.halves[1]);
}

static int by_address(const void *a, const void *b)
{
	const struct ek_maglev_member *x = ((const struct candidate *)a)->member;
	const struct ek_maglev_member *y = ((const struct candidate *)b)->member;
	int order = memcmp(&x->address, &y->address, sizeof(x->address));

	return order ? order : (x->port > y->port) - (x->port < y->port);
}

/*
 * The list's entry at a position. Cubing permutes the residues of a prime p when 3 does not divide
 * p - 1, and 65536 it does not. The paper's lists are arithmetic progressions; two of those whose
 * skips are near a small multiple of each other collide all along, and then losing one backend in
 * ten moved up to 2.3 % more of the slots than it had to. With cubes no such pair was found, and
 * the most was 0.5 %.
 */
static uint32_t preference(const struct candidate *c)
{
	uint64_t x = c->at, cube = x * x % EK_RING_SIZE * x % EK_RING_SIZE;

	return (c->offset + c->scale * cube) % EK_RING_SIZE;
}

static uint32_t take_next_free(struct candidate *c, const uint8_t *taken)
{
	uint32_t slot;

	while (taken[slot = preference(c)])
		c->at = c->at + 1 < EK_RING_SIZE ? c->at + 1 : 0;
	return slot;
}

/* Rounds of turns; a backend of half the heaviest weight has a turn in every second round. */
static void fill(struct candidate *list, size_t n, uint64_t heaviest, uint8_t *taken,
		 uint16_t *table)
{
	uint32_t filled = 0;

	while (filled < EK_RING_SIZE) {
		for (size_t i = 0; i < n && filled < EK_RING_SIZE; i++) {
			uint32_t slot;

			list[i].credit += list[i].member->weight;
			if (list[i].credit < heaviest)
				continue;
			list[i].credit -= heaviest;
			slot = take_next_free(&list[i], taken);
			taken[slot] = 1;
			table[slot] = list[i].member->index;
			filled++;
		}
	}
}

int ek_maglev_build(const struct ek_maglev_member *members, size_t n, uint16_t *table)
{
	struct candidate *list = calloc(n ? n : 1, sizeof(*list));
	uint8_t *taken = calloc(EK_RING_SIZE, 1);
	uint64_t heaviest = 0;
	size_t used = 0;

	if (!list || !taken) {
		free(list);
		free(taken);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		if (!members[i].weight)
			continue;
		list[used++] = (struct candidate){
			.member = &members[i],
			.offset = seed(&members[i], 1) % EK_RING_SIZE,
			.scale = seed(&members[i], 2) % (EK_RING_SIZE - 1) + 1,
			.at = seed(&members[i], 3) % EK_RING_SIZE,
		};
		if (members[i].weight > heaviest)
			heaviest = members[i].weight;
	}
	if (used) {
		qsort(list, used, sizeof(*list), by_address);
		fill(list, used, heaviest, taken, table);
	} else {
		memset(table, 0, EK_RING_SIZE * sizeof(*table));
	}
	free(list);
	free(taken);
	return 0;
}
