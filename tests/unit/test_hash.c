/* SPDX-License-Identifier: GPL-2.0-only */
/* include/evenkeel/hash.h, with a handful of fixed keys: the same numbers in every run. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <evenkeel/ring.h>

#define KEYS 8

static uint64_t next_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static struct ek_hash_key key_number(uint64_t number)
{
	struct ek_hash_key key;
	uint64_t seed = number;

	for (size_t i = 0; i < EK_HASH_WORDS; i++)
		key.k[i] = next_random(&seed);
	return key;
}

struct flow {
	struct ek_ip client, vip;
	uint16_t client_port, port; /* network order */
	uint8_t protocol;
	uint8_t pad[3];
};

static uint64_t hash(const struct ek_hash_key *key, const struct flow *f)
{
	const uint32_t service = f->port | (uint32_t)f->protocol << 16;
	uint64_t sum = ek_hash_service(key, &f->vip, service);

	if (ek_ip_is_v4(&f->vip))
		sum += ek_hash_client4(key, f->client.words[3], f->client_port);
	else
		sum += ek_hash_client6(key, &f->client, f->client_port);
	return ek_hash_finish(key, sum);
}

static struct flow flow_of(int family)
{
	struct flow f = {.client_port = htons(40000), .port = htons(80), .protocol = 6};

	if (family == 4) {
		f.client = (struct ek_ip){.words = {0, 0, htonl(0xffff), htonl(0xc6336407)}};
		f.vip = (struct ek_ip){.words = {0, 0, htonl(0xffff), htonl(0xc000020a)}};
	} else {
		f.client = (struct ek_ip){.words = {htonl(0x20010db8), htonl(1), 0, htonl(7)}};
		f.vip = (struct ek_ip){.words = {htonl(0x20010db8), 0, 0, htonl(16)}};
	}
	return f;
}

/* The words of a flow that its family's hash reads, as (offset, size) in bytes. */
static const struct input {
	const char *name;
	int family;
	size_t at, size;
} inputs[] = {
	{"IPv4 client", 4, offsetof(struct flow, client) + 12, 4},
	{"IPv4 client's port", 4, offsetof(struct flow, client_port), 2},
	{"IPv4 VIP", 4, offsetof(struct flow, vip) + 12, 4},
	{"IPv4 port", 4, offsetof(struct flow, port), 2},
	{"IPv4 protocol", 4, offsetof(struct flow, protocol), 1},
	{"IPv6 client", 6, offsetof(struct flow, client), 16},
	{"IPv6 client's port", 6, offsetof(struct flow, client_port), 2},
	{"IPv6 VIP", 6, offsetof(struct flow, vip), 16},
	{"IPv6 port", 6, offsetof(struct flow, port), 2},
	{"IPv6 protocol", 6, offsetof(struct flow, protocol), 1},
};
#define N_INPUTS (sizeof(inputs) / sizeof(inputs[0]))

/* How often, over many keys, each bit of the hash follows one bit of the input. */
static void count_flips(const struct input *in, size_t bit, unsigned int *flips, unsigned int keys)
{
	for (unsigned int number = 0; number < keys; number++) {
		const struct ek_hash_key key = key_number(number);
		struct flow f = flow_of(in->family);
		uint64_t before = hash(&key, &f), changed;

		((uint8_t *)&f)[in->at + bit / 8] ^= 1 << bit % 8;
		changed = before ^ hash(&key, &f);
		if (!changed)
			fail_msg("%s, bit %zu: no change", in->name, bit);
		for (unsigned int i = 0; i < 64; i++)
			flips[i] += changed >> i & 1;
	}
}

/* 400 keys: an even chance is 200 of them, and 100 is ten standard deviations away. */
static void test_every_bit_spreads(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_INPUTS; i++)
		for (size_t bit = 0; bit < inputs[i].size * 8; bit++) {
			unsigned int flips[64] = {0}, sum = 0;

			count_flips(&inputs[i], bit, flips, 400);
			for (unsigned int out = 0; out < 64; out++) {
				if (flips[out] < 100 || flips[out] > 300)
					fail_msg("%s, bit %zu: bit %u of the hash follows %u times",
						 inputs[i].name, bit, out, flips[out]);
				sum += flips[out];
			}
			assert_in_range(sum, 64 * 180, 64 * 220);
		}
}

static void test_families_agree_on_the_service(void **state)
{
	const struct ek_hash_key key = key_number(1);
	const struct flow four = flow_of(4), six = flow_of(6);

	(void)state;
	assert_true(ek_ip_is_v4(&four.vip));
	assert_false(ek_ip_is_v4(&six.vip));
	assert_true(ek_hash_service(&key, &four.vip, 7) ==
		    ek_hash_service4(&key, four.vip.words[3], 7));
	assert_true(ek_hash_service(&key, &six.vip, 7) == ek_hash_service6(&key, &six.vip, 7));
}

static void test_zero_is_no_v4(void **state)
{
	const struct ek_ip zero = {.halves = {0, 0}};
	struct ek_ip almost = {.words = {0, 0, htonl(0xffff), 0}};

	(void)state;
	assert_false(ek_ip_is_v4(&zero));
	assert_true(ek_ip_is_v4(&almost));
	almost.bytes[0] = 1;
	assert_false(ek_ip_is_v4(&almost));
}

/* --- spread ---------------------------------------------------------------------------------- */

#define BINS 256

static double chi_square(const unsigned int *bins, unsigned int samples)
{
	const double expected = (double)samples / BINS;
	double sum = 0;

	for (size_t i = 0; i < BINS; i++)
		sum += (bins[i] - expected) * (bins[i] - expected) / expected;
	return sum;
}

static struct flow nth_port(int family, unsigned int i)
{
	struct flow f = flow_of(family);

	f.client_port = htons(1024 + i);
	return f;
}

static struct flow nth_host(int family, unsigned int i)
{
	struct flow f = flow_of(family);

	f.client.words[3] = htonl(ntohl(f.client.words[3]) + i);
	return f;
}

static struct flow nth_network(int family, unsigned int i)
{
	struct flow f = flow_of(family);

	if (family == 4)
		f.client.words[3] = htonl(i << 16 | 1);
	else
		f.client.words[1] = htonl(i << 8);
	return f;
}

static struct flow nth_both(int family, unsigned int i)
{
	struct flow f = nth_host(family, i);

	f.client_port = htons(1024 + i);
	return f;
}

static struct flow nth_in_low_byte(int family, unsigned int i)
{
	struct flow f = flow_of(family);

	f.client.words[3] = htonl(0x0a000000 + (i >> 8 << 8) + (i & 3));
	f.client_port = htons(30000 + (i & 0xfc));
	return f;
}

static const struct {
	const char *description;
	struct flow (*nth)(int family, unsigned int i);
} sequences[] = {
	{"one client's ports in turn", nth_port},    {"neighbouring clients", nth_host},
	{"one client of each network", nth_network}, {"address and port in step", nth_both},
	{"few bits, in both", nth_in_low_byte},
};

/*
 * 255 degrees of freedom: mean 255, deviation 22.6. 450 is more than eight deviations; evener
 * than by chance is welcome.
 */
static void check_spread(const struct ek_hash_key *key, size_t sequence, int family)
{
	const unsigned int samples = 32768;
	unsigned int ring[BINS] = {0}, low[BINS] = {0};

	for (unsigned int i = 0; i < samples; i++) {
		const struct flow f = sequences[sequence].nth(family, i);
		const uint64_t h = hash(key, &f);
		const uint32_t index = ek_ring_index(h);

		assert_in_range(index, 0, EK_RING_SIZE - 1);
		ring[(uint64_t)index * BINS / EK_RING_SIZE]++;
		low[h % BINS]++;
	}
	if (chi_square(ring, samples) > 450)
		fail_msg("%s, IPv%d: ring index, chi-square %.0f", sequences[sequence].description,
			 family, chi_square(ring, samples));
	if (chi_square(low, samples) > 450)
		fail_msg("%s, IPv%d: bucket, chi-square %.0f", sequences[sequence].description,
			 family, chi_square(low, samples));
}

static void test_spread(void **state)
{
	(void)state;
	for (uint64_t number = 1; number <= KEYS; number++) {
		const struct ek_hash_key key = key_number(number);

		for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
			check_spread(&key, i, 4);
			check_spread(&key, i, 6);
		}
	}
}

/* With another key the same flows lie elsewhere: agreement is by chance, one in 256. */
static void test_keys_differ(void **state)
{
	const struct ek_hash_key a = key_number(1), b = key_number(2);
	unsigned int ring = 0, low = 0;

	(void)state;
	for (unsigned int i = 0; i < 65536; i++) {
		const struct flow f = nth_host(i & 1 ? 6 : 4, i);
		const uint64_t x = hash(&a, &f), y = hash(&b, &f);

		ring += x >> 56 == y >> 56;
		low += x % 256 == y % 256;
	}
	assert_in_range(ring, 150, 370);
	assert_in_range(low, 150, 370);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The upper 33 bits are the connection table's fingerprint: among 2^17, chance makes one pair. */
static void test_fingerprints_differ(void **state)
{
	const unsigned int n = 1 << 17;
	uint64_t *list = calloc(n, sizeof(*list));
	unsigned int pairs = 0;
	const struct ek_hash_key key = key_number(3);

	(void)state;
	assert_non_null(list);
	for (unsigned int i = 0; i < n; i++) {
		struct flow f = nth_host(4, i >> 8);

		f.client_port = htons(1024 + (i & 255));
		list[i] = hash(&key, &f) >> 31;
	}
	qsort(list, n, sizeof(*list), by_value);
	for (unsigned int i = 1; i < n; i++)
		pairs += list[i] == list[i - 1];
	free(list);
	assert_in_range(pairs, 0, 10);
}

static void test_ring_index(void **state)
{
	static const struct {
		uint64_t hash;
		uint32_t index;
	} rows[] = {
		{0, 0},
		{0xffffffffull, 0},
		{~0ull, EK_RING_SIZE - 1},
		{0x8000000000000000ull, 32768},
		{0x0000ffff00000000ull, 0},
		{0x0001000000000000ull, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(ek_ring_index(rows[i].hash), rows[i].index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_bit_spreads),
		cmocka_unit_test(test_families_agree_on_the_service),
		cmocka_unit_test(test_zero_is_no_v4),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_keys_differ),
		cmocka_unit_test(test_fingerprints_differ),
		cmocka_unit_test(test_ring_index),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
