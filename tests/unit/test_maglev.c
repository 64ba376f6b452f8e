/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "maglev.h"

#define M	    65537u
#define MEMBERS_MAX 201

/* --- an independent, slow reference ---------------------------------------------------------- */

/*
 * The two words that seed a backend's permutation are part of what nodes must agree on, so they
 * are repeated here: address and port mixed by xor-shift-multiply rounds.
 */
static uint64_t reference_mix(uint64_t x)
{
	for (int round = 0; round < 2; round++) {
		x ^= x >> 32;
		x *= 0xd6e8feb86659fd93ull;
	}
	return x ^ x >> 32;
}

static uint64_t reference_hash(const struct ek_maglev_member *m, uint64_t salt)
{
	uint64_t word, h = reference_mix(salt ^ m->port);

	memcpy(&word, m->address.bytes, 8);
	h = reference_mix(h ^ word);
	memcpy(&word, m->address.bytes + 8, 8);
	return reference_mix(h ^ word);
}

static const struct ek_maglev_member *members_by_address;

static int order_by_address(const void *a, const void *b)
{
	const struct ek_maglev_member *x = &members_by_address[*(const size_t *)a];
	const struct ek_maglev_member *y = &members_by_address[*(const size_t *)b];
	int order = memcmp(x->address.bytes, y->address.bytes, 16);

	return order ? order : (int)x->port - (int)y->port;
}

/*
 * Eisenbud et al. 2016, section 3.4: the whole permutation table, then pseudo-code 1 as printed
 * (-1 is "free"). Weights: of two backends, one with half the weight has half as many turns; a
 * round in which it is owed less than a turn passes it by.
 */
static void reference(const struct ek_maglev_member *members, size_t n, uint16_t *table)
{
	uint32_t(*permutation)[M] = calloc(n, sizeof(*permutation));
	size_t *order = calloc(n, sizeof(*order)), *next = calloc(n, sizeof(*next));
	int64_t *entry = calloc(M, sizeof(*entry));
	uint64_t heaviest = 0;
	size_t filled = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t offset = reference_hash(&members[i], 1) % M;
		uint64_t scale = reference_hash(&members[i], 2) % (M - 1) + 1;
		uint64_t start = reference_hash(&members[i], 3) % M;

		for (uint64_t j = 0; j < M; j++) {
			uint64_t x = (start + j) % M, cube = x * x * x % M;

			permutation[i][j] = (offset + scale * cube) % M;
		}
		order[i] = i;
		if (members[i].weight > heaviest)
			heaviest = members[i].weight;
	}
	members_by_address = members;
	qsort(order, n, sizeof(*order), order_by_address);
	for (size_t j = 0; j < M; j++)
		entry[j] = -1;

	for (uint64_t round = 1; filled < M; round++)
		for (size_t k = 0; k < n && filled < M; k++) {
			const size_t i = order[k];
			const uint64_t weight = members[i].weight;
			uint32_t c;

			if (round * weight / heaviest == (round - 1) * weight / heaviest)
				continue;
			do
				c = permutation[i][next[i]++];
			while (entry[c] >= 0);
			entry[c] = i;
			filled++;
		}
	for (size_t j = 0; j < M; j++)
		table[j] = members[entry[j]].index;
	free(permutation);
	free(order);
	free(next);
	free(entry);
}

/* --- members --------------------------------------------------------------------------------- */

static struct ek_maglev_member member(unsigned int i, uint32_t weight)
{
	struct ek_maglev_member m = {.port = 80, .index = 1 + i, .weight = weight};

	if (i % 3 == 2) { /* every third is IPv6 */
		memcpy(m.address.bytes, "\x20\x01\x0d\xb8\0\x0b", 6);
	} else {
		memcpy(m.address.bytes + 10, "\xff\xff\x0a\0", 4);
	}
	m.address.bytes[14] = i >> 8;
	m.address.bytes[15] = i;
	return m;
}

static void make_members(struct ek_maglev_member *list, size_t n, const uint32_t *weights)
{
	for (size_t i = 0; i < n; i++)
		list[i] = member(i, weights ? weights[i] : 100);
}

static void build(const struct ek_maglev_member *list, size_t n, uint16_t *table)
{
	assert_int_equal(ek_maglev_build(list, n, table), 0);
}

static void shuffle(struct ek_maglev_member *list, size_t n, uint64_t seed)
{
	for (size_t i = n; i > 1; i--) {
		struct ek_maglev_member swap = list[i - 1];
		size_t j;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		j = (seed >> 33) % i;
		list[i - 1] = list[j];
		list[j] = swap;
	}
}

static size_t moved(const uint16_t *a, const uint16_t *b)
{
	size_t n = 0;

	for (size_t j = 0; j < M; j++)
		n += a[j] != b[j];
	return n;
}

static uint16_t before[M], after[M];

/* --- tests ----------------------------------------------------------------------------------- */

static const struct {
	const char *description;
	size_t n;
	uint32_t weights[8];
} sets[] = {
	{"one", 1, {100}},
	{"one of weight 1", 1, {1}},
	{"two", 2, {100, 100}},
	{"three, weights 1:2:4", 3, {1, 2, 4}},
	{"weights without a common divisor", 5, {7, 11, 13, 100, 97}},
	{"one takes nothing", 4, {100, 0, 100, 50}},
	{"far apart", 3, {1, 1000, 1}},
	{"eight", 8, {1, 1, 1, 1, 1, 1, 1, 1}},
};

static void test_like_the_paper(void **state)
{
	struct ek_maglev_member list[8];

	(void)state;
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		print_message("  %s\n", sets[i].description);
		make_members(list, sets[i].n, sets[i].weights);
		build(list, sets[i].n, after);
		reference(list, sets[i].n, before);
		assert_memory_equal(before, after, sizeof(before));
	}
}

/* Nodes of different releases share a ring: the table itself is a promise (FNV-1a of it). */
static void test_table_is_for_ever(void **state)
{
	struct ek_maglev_member list[5];
	const uint32_t weights[5] = {1, 2, 3, 4, 5};
	uint64_t digest = 0xcbf29ce484222325ull;

	(void)state;
	make_members(list, 5, weights);
	build(list, 5, after);
	for (size_t j = 0; j < M; j++)
		digest = (digest ^ after[j]) * 0x100000001b3ull;
	if (digest != 0x5f8b4e43559c879dull)
		fail_msg("digest %#llx: nodes of two releases would disagree",
			 (unsigned long long)digest);
}

static void test_order_does_not_matter(void **state)
{
	struct ek_maglev_member list[50];

	(void)state;
	make_members(list, 50, NULL);
	for (size_t i = 0; i < 50; i++)
		list[i].weight = 1 + i % 7;
	build(list, 50, before);
	for (uint64_t seed = 1; seed <= 5; seed++) {
		shuffle(list, 50, seed);
		build(list, 50, after);
		assert_memory_equal(before, after, sizeof(before));
	}
}

/* A row number is what slots hold, and has no say in which slots those are. */
static void test_index_does_not_matter(void **state)
{
	struct ek_maglev_member list[10];

	(void)state;
	make_members(list, 10, NULL);
	build(list, 10, before);
	for (size_t i = 0; i < 10; i++)
		list[i].index += 1000 * (i + 1);
	build(list, 10, after);
	for (size_t j = 0; j < M; j++)
		assert_int_equal(after[j], before[j] + 1000 * before[j]);
}

static void test_port_seeds(void **state)
{
	struct ek_maglev_member list[10];

	(void)state;
	make_members(list, 10, NULL);
	build(list, 10, before);
	for (size_t i = 0; i < 10; i++)
		list[i].port = 443;
	build(list, 10, after);
	assert_in_range(moved(before, after), M * 85 / 100, M * 95 / 100); /* 9 of 10 by chance */
}

/* One address with two ports is two members; an address twice in two families likewise. */
static void test_neighbours(void **state)
{
	struct ek_maglev_member list[3] = {member(0, 1), member(0, 1), member(0, 1)};
	size_t share[4] = {0};

	(void)state;
	list[1].port = 81;
	list[1].index = 2;
	memset(list[2].address.bytes + 10, 0, 2);
	list[2].index = 3;
	build(list, 3, after);
	for (size_t j = 0; j < M; j++)
		share[after[j]]++;
	for (size_t i = 1; i <= 3; i++)
		assert_in_range(share[i], M / 3, M / 3 + 1);
}

/* Within 1 % of its share, or within one slot where that is more. */
static void check_shares(const struct ek_maglev_member *list, size_t n, const uint16_t *table)
{
	static size_t share[EK_BACKENDS_MAX];
	uint64_t total = 0;

	memset(share, 0, sizeof(share));
	for (size_t j = 0; j < M; j++)
		share[table[j]]++;
	assert_int_equal(share[EK_BACKEND_NONE], 0);
	for (size_t i = 0; i < n; i++)
		total += list[i].weight;
	for (size_t i = 0; i < n; i++) {
		double fair = (double)M * list[i].weight / total;
		double off = share[list[i].index] > fair ? share[list[i].index] - fair
							 : fair - share[list[i].index];

		if (off > fair / 100 && off > 1)
			fail_msg("member %zu of %zu: %zu slots, fair %.1f", i, n,
				 share[list[i].index], fair);
	}
}

static void test_balance(void **state)
{
	static struct ek_maglev_member list[MEMBERS_MAX];
	static const uint32_t doubling[3] = {1, 2, 4};

	(void)state;
	for (size_t n = 1; n <= 200; n = n < 20 ? n + 1 : n + 9) {
		make_members(list, n, NULL);
		build(list, n, after);
		check_shares(list, n, after);
		for (size_t i = 0; i < n; i++)
			list[i].weight = i % 5 ? 1 + i * i % 1000 : 0;
		build(list, n, after);
		if (n > 1)
			check_shares(list, n, after);
	}
	make_members(list, 3, doubling);
	build(list, 3, after);
	check_shares(list, 3, after);
}

/* How many slots change hands when this one of n leaves, or comes back. */
static size_t slots_moved_by(struct ek_maglev_member *list, size_t n, size_t gone)
{
	const uint16_t index = list[gone].index;
	const uint32_t weight = list[gone].weight;
	size_t changed;

	build(list, n, before);
	list[gone].weight = 0;
	build(list, n, after);
	list[gone].weight = weight;
	changed = moved(before, after);
	for (size_t j = 0; j < M; j++)
		assert_int_not_equal(after[j], index);

	/* Taken out of the list is the same as without weight. */
	memcpy(before, after, sizeof(before));
	memmove(&list[gone], &list[gone + 1], (n - gone - 1) * sizeof(*list));
	build(list, n - 1, after);
	assert_memory_equal(before, after, sizeof(before));
	return changed;
}

/* To add or remove one of n moves its own 1/n of the slots, and besides less than 1 % of all. */
static void test_disruption(void **state)
{
	static struct ek_maglev_member list[MEMBERS_MAX];

	(void)state;
	for (size_t n = 2; n <= 200; n++) {
		const size_t gone[3] = {0, n / 2, n - 1};

		for (size_t i = 0; i < 3; i++) {
			size_t changed;

			make_members(list, n, NULL);
			changed = slots_moved_by(list, n, gone[i]);
			if (changed > M / n + 1 + M / 100)
				fail_msg("number %zu of %zu moves %zu slots", gone[i], n, changed);
		}
	}
}

static void test_nobody(void **state)
{
	static const uint32_t zero[4];
	struct ek_maglev_member list[4];

	(void)state;
	memset(after, 0xff, sizeof(after));
	build(NULL, 0, after);
	for (size_t j = 0; j < M; j++)
		assert_int_equal(after[j], EK_BACKEND_NONE);
	make_members(list, 4, zero);
	memset(after, 0xff, sizeof(after));
	build(list, 4, after);
	for (size_t j = 0; j < M; j++)
		assert_int_equal(after[j], EK_BACKEND_NONE);
}

static void test_only_one(void **state)
{
	static const uint32_t weights[3] = {0, 1000, 0};
	struct ek_maglev_member list[3];

	(void)state;
	make_members(list, 3, weights);
	build(list, 3, after);
	for (size_t j = 0; j < M; j++)
		assert_int_equal(after[j], list[1].index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_like_the_paper),
		cmocka_unit_test(test_table_is_for_ever),
		cmocka_unit_test(test_order_does_not_matter),
		cmocka_unit_test(test_index_does_not_matter),
		cmocka_unit_test(test_port_seeds),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_balance),
		cmocka_unit_test(test_disruption),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_only_one),
	};

	return cmocka_run_group_tests_name("maglev", tests, NULL, NULL);
}
