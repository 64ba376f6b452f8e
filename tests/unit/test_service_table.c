/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "service_table.h"

#define DELETED EK_SERVICE_KEY(0, 0, EK_SERVICE_DELETED)

static struct ek_service_table table;
static struct ek_hash_key key;

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 33;
}

static int start_empty(void **state)
{
	uint64_t seed = 42;

	(void)state;
	memset(&table, 0, sizeof(table));
	for (size_t i = 0; i < EK_HASH_WORDS; i++)
		key.k[i] = (uint64_t)next_random(&seed) << 40 ^ (uint64_t)next_random(&seed) << 20 ^
			   next_random(&seed);
	return 0;
}

/* Service number i of many; every other field follows from i, so that a mixture shows. */
static struct ek_service entry(uint32_t i)
{
	struct ek_service e = {.key = EK_SERVICE_KEY(htons(1 + i % 60000), 6, EK_SERVICE_LIVE),
			       .id = i,
			       .flags = ~i,
			       .outer_mask = i * 2654435761u};

	if (i % 2)
		e.vip = (struct ek_ip){.halves = {0, EK_V4_MAPPED | (uint64_t)(i / 7) << 32}};
	else
		e.vip = (struct ek_ip){.words = {htonl(0x20010db8), 0, 0, i / 5}};
	memset(&e.outer_source, i & 0xff, sizeof(e.outer_source));
	return e;
}

static struct ek_service *find(const struct ek_service *e)
{
	return ek_service_table_find(&table, &key, &e->vip, e->key);
}

static int put_entry(const struct ek_service *e)
{
	return ek_service_table_put(&table, &key, e);
}

static void remove_entry(const struct ek_service *e)
{
	ek_service_table_remove(&table, &key, &e->vip, e->key);
}

static uint32_t home(const struct ek_service *e)
{
	const uint32_t word = EK_SERVICE_KEY_PORT(e->key) | EK_SERVICE_KEY_PROTO(e->key) << 16;

	return ek_hash_service_slot(ek_hash_service(&key, &e->vip, word));
}

/* The entries whose home is this slot, from number `from` on. */
static uint32_t next_at_home(uint32_t slot, uint32_t from)
{
	struct ek_service e;

	do
		e = entry(from++);
	while (home(&e) != slot);
	return from - 1;
}

/* --- one at a time --------------------------------------------------------------------------- */

static void test_found_as_put(void **state)
{
	const struct ek_service a = entry(1), b = entry(2);
	struct ek_service *found;

	(void)state;
	assert_null(find(&a));
	assert_int_equal(put_entry(&a), 0);
	found = find(&a);
	assert_non_null(found);
	assert_memory_equal(found, &a, sizeof(a));
	assert_null(find(&b));
}

static void test_every_part_of_the_key_counts(void **state)
{
	const struct ek_service a = entry(1);
	struct ek_service other = a;

	(void)state;
	assert_int_equal(put_entry(&a), 0);
	other.vip.bytes[15] ^= 1;
	assert_null(find(&other));
	other = a;
	other.key = EK_SERVICE_KEY(EK_SERVICE_KEY_PORT(a.key), 17, EK_SERVICE_LIVE);
	assert_null(find(&other));
	other.key = EK_SERVICE_KEY(EK_SERVICE_KEY_PORT(a.key) ^ 1, 6, EK_SERVICE_LIVE);
	assert_null(find(&other));
	other.key = EK_SERVICE_KEY(EK_SERVICE_KEY_PORT(a.key), 6, EK_SERVICE_VIP);
	assert_null(find(&other));
	remove_entry(&other);
	assert_non_null(find(&a));
}

static void test_put_again_changes_in_place(void **state)
{
	struct ek_service a = entry(1);
	const struct ek_service *first;

	(void)state;
	assert_int_equal(put_entry(&a), 0);
	first = find(&a);
	a.id = 77;
	a.flags = 5;
	assert_int_equal(put_entry(&a), 0);
	assert_ptr_equal(find(&a), first);
	assert_memory_equal(first, &a, sizeof(a));
}

static void test_remove_what_is_not_there(void **state)
{
	const struct ek_service a = entry(1), b = entry(2);

	(void)state;
	assert_int_equal(put_entry(&a), 0);
	remove_entry(&b);
	assert_non_null(find(&a));
	remove_entry(&a);
	remove_entry(&a);
	assert_null(find(&a));
}

/* --- probes ---------------------------------------------------------------------------------- */

/* A whole probe of one home: at the start of the table, and where it wraps around. */
static void test_probe_limit(void **state)
{
	static const uint32_t homes[] = {0, 5000, EK_SERVICE_SLOTS - 1, EK_SERVICE_SLOTS - 8};
	static struct ek_service_table full;
	struct ek_service list[EK_SERVICE_PROBE + 1];

	for (size_t h = 0; h < sizeof(homes) / sizeof(homes[0]); h++) {
		uint32_t number = 0;

		start_empty(state);
		for (size_t i = 0; i <= EK_SERVICE_PROBE; i++) {
			number = next_at_home(homes[h], number);
			list[i] = entry(number++);
		}
		for (size_t i = 0; i < EK_SERVICE_PROBE; i++)
			assert_int_equal(put_entry(&list[i]), 0);
		full = table;
		assert_int_equal(put_entry(&list[EK_SERVICE_PROBE]), -ENOSPC);
		assert_memory_equal(&table, &full, sizeof(table));
		assert_null(find(&list[EK_SERVICE_PROBE]));
		for (size_t i = 0; i < EK_SERVICE_PROBE; i++) {
			assert_non_null(find(&list[i]));
			assert_int_equal(put_entry(&list[i]), 0); /* needs no room */
		}
		remove_entry(&list[3]);
		assert_int_equal(put_entry(&list[EK_SERVICE_PROBE]), 0);
		assert_ptr_equal(find(&list[EK_SERVICE_PROBE]),
				 &table.slot[(homes[h] + 3) & (EK_SERVICE_SLOTS - 1)]);
	}
}

static uint64_t key_at(uint32_t slot)
{
	return table.slot[slot & (EK_SERVICE_SLOTS - 1)].key;
}

/* Four of one home, in the middle of the table and in each way around its end. */
static void test_tombstones(void **state)
{
	static const uint32_t homes[] = {100, EK_SERVICE_SLOTS - 1, EK_SERVICE_SLOTS - 2,
					 EK_SERVICE_SLOTS - 3};
	struct ek_service list[4];

	for (size_t h = 0; h < sizeof(homes) / sizeof(homes[0]); h++) {
		const uint32_t at = homes[h];
		uint32_t number = 0;

		start_empty(state);
		for (size_t i = 0; i < 4; i++) {
			number = next_at_home(at, number);
			list[i] = entry(number++);
			assert_int_equal(put_entry(&list[i]), 0);
		}
		remove_entry(&list[0]);
		remove_entry(&list[2]);
		assert_int_equal(key_at(at), DELETED); /* or the others are lost */
		assert_int_equal(key_at(at + 2), DELETED);
		assert_non_null(find(&list[1]));
		assert_non_null(find(&list[3]));
		remove_entry(&list[3]); /* and with it the one before it */
		assert_int_equal(key_at(at + 3), 0);
		assert_int_equal(key_at(at + 2), 0);
		assert_int_equal(key_at(at), DELETED);
		assert_non_null(find(&list[1]));
		remove_entry(&list[1]);
		assert_int_equal(key_at(at + 1), 0);
		assert_int_equal(key_at(at), 0);
	}
}

/* --- at random, beside a simple model -------------------------------------------------------- */

#define MODEL 3000

static void check_table(const bool *there)
{
	size_t used = 0, live = 0;

	for (uint32_t i = 0; i < MODEL; i++) {
		const struct ek_service e = entry(i);
		const struct ek_service *found = find(&e);

		if (there[i] != !!found)
			fail_msg("service %u: %s", i, found ? "found" : "lost");
		if (found && memcmp(found, &e, sizeof(e)))
			fail_msg("service %u: changed", i);
		live += there[i];
	}
	for (uint32_t i = 0; i < EK_SERVICE_SLOTS; i++) {
		const uint64_t after = table.slot[(i + 1) & (EK_SERVICE_SLOTS - 1)].key;

		used += EK_SERVICE_KEY_STATE(table.slot[i].key) > EK_SERVICE_DELETED;
		if (table.slot[i].key == DELETED && !after)
			fail_msg("slot %u: a tombstone that no probe needs", i);
	}
	assert_int_equal(used, live);
}

static void test_random_changes(void **state)
{
	static bool there[MODEL];
	uint64_t seed = 7;

	(void)state;
	for (size_t step = 0; step < 60000; step++) {
		/* In waves: mostly puts, then mostly removals. */
		const bool remove = next_random(&seed) % 10 < (step / 6000 % 2 ? 8 : 3);
		const uint32_t i = next_random(&seed) % MODEL;
		const struct ek_service e = entry(i);

		if (remove)
			remove_entry(&e);
		else
			assert_int_equal(put_entry(&e), 0);
		there[i] = !remove;
		if (step % 1500 == 0)
			check_table(there);
	}
	for (uint32_t i = 0; i < MODEL; i++) {
		const struct ek_service e = entry(i);

		remove_entry(&e);
	}
	for (uint32_t i = 0; i < EK_SERVICE_SLOTS; i++)
		assert_int_equal(table.slot[i].key, 0);
}

/* --- beside a reader ------------------------------------------------------------------------- */

#define CROWD 6 /* entries of one home, so that probes cross what comes and goes */

struct reader {
	struct ek_service crowd[CROWD], steady; /* which is never removed, and stands behind them */
	unsigned long passes;
	unsigned long found, halves, lost;
	bool stop;
};

/* As bpf/service.h does it. */
static const struct ek_service *read_entry(const struct ek_service *e)
{
	const uint32_t first = home(e);

	for (uint32_t i = 0; i < EK_SERVICE_PROBE; i++) {
		const struct ek_service *s = &table.slot[(first + i) & (EK_SERVICE_SLOTS - 1)];
		const uint64_t k = __atomic_load_n(&s->key, __ATOMIC_ACQUIRE);

		if (k == e->key && s->vip.halves[1] == e->vip.halves[1] &&
		    s->vip.halves[0] == e->vip.halves[0])
			return s;
		if (!k)
			break;
	}
	return NULL;
}

static bool whole(const struct ek_service *found, const struct ek_service *e)
{
	return found->id == e->id && found->flags == e->flags &&
	       found->outer_mask == e->outer_mask &&
	       !memcmp(&found->outer_source, &e->outer_source, sizeof(e->outer_source));
}

static void *keep_reading(void *arg)
{
	struct reader *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		for (size_t i = 0; i < CROWD; i++) {
			const struct ek_service *found = read_entry(&r->crowd[i]);

			r->found += !!found;
			r->halves += found && !whole(found, &r->crowd[i]);
		}
		r->lost += !read_entry(&r->steady);
		__atomic_add_fetch(&r->passes, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* What RCU is to a packet: whoever looked before this has looked away. */
static void grace_period(const struct reader *r)
{
	const unsigned long now = __atomic_load_n(&r->passes, __ATOMIC_ACQUIRE);

	while (__atomic_load_n(&r->passes, __ATOMIC_ACQUIRE) < now + 2)
		sched_yield();
}

/* A slot that is not published may hold anything. */
static void scramble_free_slots(uint32_t from)
{
	for (uint32_t i = 0; i < EK_SERVICE_PROBE; i++) {
		struct ek_service *s = &table.slot[(from + i) & (EK_SERVICE_SLOTS - 1)];
		const uint64_t k = s->key;

		if (EK_SERVICE_KEY_STATE(k) > EK_SERVICE_DELETED)
			continue;
		memset(&s->vip, 0x5a, sizeof(s->vip));
		memset(&s->id, 0x5a, sizeof(*s) - offsetof(struct ek_service, id));
	}
}

/* A second of rounds, however many those are: with one CPU for both threads, not many. */
static bool time_is_up(const struct timespec *begin)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - begin->tv_sec > (now.tv_nsec < begin->tv_nsec ? 1 : 0);
}

static void test_reader_sees_no_half_entry(void **state)
{
	struct timespec begin;
	struct reader r = {.passes = 0};
	pthread_t thread;
	uint32_t number = 0;
	uint64_t seed = 11;

	(void)state;
	for (size_t i = 0; i < CROWD; i++) {
		number = next_at_home(100, number);
		r.crowd[i] = entry(number++);
		assert_int_equal(put_entry(&r.crowd[i]), 0);
	}
	number = next_at_home(100, number);
	r.steady = entry(number);
	assert_int_equal(put_entry(&r.steady), 0);

	assert_int_equal(pthread_create(&thread, NULL, keep_reading, &r), 0);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (!time_is_up(&begin)) {
		for (size_t i = 0; i < CROWD; i++)
			if (next_random(&seed) % 2)
				remove_entry(&r.crowd[i]);
		grace_period(&r);
		scramble_free_slots(100);
		for (size_t i = 0; i < CROWD; i++) {
			const size_t any = next_random(&seed) % CROWD;

			assert_int_equal(put_entry(&r.crowd[any]), 0);
		}
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(r.halves, 0);
	assert_int_equal(r.lost, 0);
	assert_int_not_equal(r.found, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_found_as_put, start_empty),
		cmocka_unit_test_setup(test_every_part_of_the_key_counts, start_empty),
		cmocka_unit_test_setup(test_put_again_changes_in_place, start_empty),
		cmocka_unit_test_setup(test_remove_what_is_not_there, start_empty),
		cmocka_unit_test_setup(test_probe_limit, start_empty),
		cmocka_unit_test_setup(test_tombstones, start_empty),
		cmocka_unit_test_setup(test_random_changes, start_empty),
		cmocka_unit_test_setup(test_reader_sees_no_half_entry, start_empty),
	};

	return cmocka_run_group_tests_name("service_table", tests, NULL, NULL);
}
