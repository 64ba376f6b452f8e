/* SPDX-License-Identifier: GPL-2.0-only */
/* The walk over the connection table: which entries it shows, and which it leaves out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include "flows.h"
#include "ip.h"

#define BUCKETS 64u
#define TICK	20000u

static struct ek_flow_bucket flows[BUCKETS];
static struct ek_flow_keys keys[BUCKETS];
static const struct ek_hash_key hash_key = {
	{11, 0x8000000000000003, 5, 7, 1ull << 40 | 1, 9, 13, 17, 19, 23, 0x123456789abcdef, 29}};
static const struct ek_service service = {.timeout = {0, 60, 8100, 120}};
static const struct ek_service *services[] = {NULL, &service, &service, NULL};
static const struct ek_flows_view view = {.flows = flows,
					  .flow_keys = keys,
					  .buckets = BUCKETS,
					  .key = &hash_key,
					  .tick = TICK,
					  .services = services,
					  .limit = 4};

static struct ek_flow_key flow_key(const char *source, const char *destination, unsigned int port)
{
	struct ek_flow_key key = {.source_port = htons(port),
				  .destination_port = htons(80),
				  .protocol = IPPROTO_TCP,
				  .since = TICK - 100};

	assert_int_equal(ek_ip_parse(source, &key.source), 0);
	assert_int_equal(ek_ip_parse(destination, &key.destination), 0);
	return key;
}

static uint64_t hash_of(const struct ek_flow_key *key)
{
	return ek_hash_flow(&hash_key, &key->source, key->source_port, &key->destination,
			    key->destination_port | (uint32_t)key->protocol << 16);
}

static const struct row {
	const char *description;
	uint32_t backend;
	enum ek_flow_state state;
	uint32_t age;
	unsigned int twin_port; /* of the cold twin; the flow's is 4711 */
	bool elsewhere;		/* in the bucket beside its own */
	unsigned int shown, in_flux;
} rows[] = {
	{"an established flow", 1, EK_FLOW_ESTABLISHED, 0, 4711, false, 1, 0},
	{"one that is just not expired", 2, EK_FLOW_ESTABLISHED, 8100, 4711, false, 1, 0},
	{"one that is", 2, EK_FLOW_ESTABLISHED, 8101, 4711, false, 0, 0},
	{"an embryo", 1, EK_FLOW_EMBRYONIC, 60, 4711, false, 1, 0},
	{"an expired embryo", 1, EK_FLOW_EMBRYONIC, 61, 4711, false, 0, 0},
	{"a closing flow", 1, EK_FLOW_CLOSING, 120, 4711, false, 1, 0},
	{"an expired closing flow", 1, EK_FLOW_CLOSING, 121, 4711, false, 0, 0},
	{"of a backend that is not wanted", 3, EK_FLOW_ESTABLISHED, 0, 4711, false, 0, 0},
	{"of a backend that does not exist", 4, EK_FLOW_ESTABLISHED, 0, 4711, false, 0, 0},
	{"of no backend", 0, EK_FLOW_ESTABLISHED, 0, 4711, false, 0, 0},
	{"its twin is still of the entry before", 1, EK_FLOW_ESTABLISHED, 0, 4712, false, 0, 1},
	{"its twin belongs to another bucket", 1, EK_FLOW_ESTABLISHED, 0, 4711, true, 0, 1},
};

static void note(void *arg, const struct ek_flow *flow)
{
	struct ek_flow *seen = arg;

	assert_int_equal(seen->entry, 0);
	*seen = *flow;
}

static void check(const struct row *row, const char *source, const char *destination)
{
	struct ek_flow_key key = flow_key(source, destination, 4711);
	struct ek_flow_key twin = flow_key(source, destination, row->twin_port);
	uint64_t hash = hash_of(&key);
	uint32_t bucket = (ek_flow_bucket_index(hash, BUCKETS - 1) + row->elsewhere) % BUCKETS;
	struct ek_flow seen = {0};
	uint32_t in_flux;

	memset(flows, 0, sizeof(flows));
	memset(keys, 0, sizeof(keys));
	flows[bucket].entry[5] = ek_flow_entry(hash, row->backend, row->state, TICK - row->age);
	keys[bucket].key[5] = twin;
	in_flux = ek_flows_walk(&view, bucket, note, &seen);
	if (in_flux != row->in_flux || !!seen.entry != row->shown)
		fail_msg("%s (%s): in flux %u, entry %llx", row->description, source, in_flux,
			 (unsigned long long)seen.entry);
	if (row->shown) {
		assert_int_equal(seen.entry, flows[bucket].entry[5]);
		assert_memory_equal(&seen.key, &key, sizeof(key));
	}
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		check(&rows[i], "198.51.100.7", "192.0.2.10");
		check(&rows[i], "2001:db8:1::7", "2001:db8::10");
	}
}

static void count(void *arg, const struct ek_flow *flow)
{
	(void)flow;
	++*(unsigned int *)arg;
}

/* Every way of every bucket is visited. */
static void test_whole_table(void **state)
{
	unsigned int stored = 0, visited = 0;

	(void)state;
	memset(flows, 0, sizeof(flows));
	for (unsigned int port = 1; port < 4000; port++) {
		struct ek_flow_key key = flow_key("198.51.100.7", "192.0.2.10", port);
		uint64_t hash = hash_of(&key), ways;
		uint32_t bucket = ek_flow_bucket_index(hash, BUCKETS - 1);

		ways = ek_flow_room(&flows[bucket], TICK);
		if (!ways)
			continue;
		flows[bucket].entry[ek_flow_first(ways)] =
			ek_flow_entry(hash, 1, EK_FLOW_ESTABLISHED, TICK);
		keys[bucket].key[ek_flow_first(ways)] = key;
		stored++;
	}
	assert_int_equal(stored, BUCKETS * EK_FLOW_WAYS);
	for (uint32_t bucket = 0; bucket < BUCKETS; bucket++)
		assert_int_equal(ek_flows_walk(&view, bucket, count, &visited), 0);
	assert_int_equal(visited, stored);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_whole_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
