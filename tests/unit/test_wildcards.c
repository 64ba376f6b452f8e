/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Wildcard rules: rows as text, and random services beside a matcher that knows no tree: of all
 * entries that fit it takes the one with the longest prefix, and of those the narrowest.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <evenkeel/hash.h>
#include "ip.h"
#include "wildcards.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* --- text ------------------------------------------------------------------------------------ */

/* "192.0.2.0/24 80-90 tcp" */
static struct ek_service entry_of(const char *text)
{
	char prefix[64], ports[16], protocol[8];
	unsigned int first, last, length, number = 0;
	struct ek_service entry = {0};

	assert_int_equal(sscanf(text, "%63s %15s %7s", prefix, ports, protocol), 3);
	assert_int_equal(ek_prefix_parse(prefix, &entry.vip, &length), 0);
	if (ek_ip_is_v4(&entry.vip))
		length += 96;
	if (sscanf(ports, "%u-%u", &first, &last) != 2)
		last = first;
	if (!strcmp(protocol, "tcp"))
		number = IPPROTO_TCP;
	else if (!strcmp(protocol, "udp"))
		number = IPPROTO_UDP;
	entry.key = EK_SERVICE_WILD_KEY(htons(first), number, htons(last), length);
	return entry;
}

static size_t entries_of(const char *text, struct ek_service *out)
{
	char copy[4096], *rest = copy, *part;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	while ((part = strsep(&rest, ";")))
		if (*part)
			out[n++] = entry_of(part);
	return n;
}

static void render(const struct ek_wildcards *w, char *out, size_t size)
{
	size_t n = 0;

	*out = '\0';
	for (size_t i = 0; i < w->n; i++) {
		const struct ek_wildcards_node *node = &w->nodes[i];
		const struct ek_ip ip = node->key.address;
		char address[EK_IP_TEXT];

		n += snprintf(out + n, size - n, "%s%s/%u:", i ? " " : "",
			      ek_ip_format(&ip, address),
			      node->key.length - (ek_ip_is_v4(&ip) ? 96 : 0));
		for (uint32_t r = 0; r < node->value.n; r++)
			n += snprintf(out + n, size - n, "%s%u", r ? "," : "",
				      node->value.rule[r].slot);
	}
}

/* --- rows ------------------------------------------------------------------------------------ */

static const struct {
	const char *description, *entries, *nodes;
} rows[] = {
	{"nothing", "", ""},
	{"a prefix", "192.0.2.0/24 80 tcp", "192.0.2.0/24:0"},
	{"an address with several ports", "192.0.2.1/32 80-90 tcp", "192.0.2.1/32:0"},
	{"two ports of a prefix", "192.0.2.0/24 80 tcp;192.0.2.0/24 443 tcp", "192.0.2.0/24:0,1"},
	{"a single port before a range, a range before any",
	 "192.0.2.0/24 0-65535 tcp;192.0.2.0/24 80-90 tcp;192.0.2.0/24 85 tcp",
	 "192.0.2.0/24:2,1,0"},
	{"a protocol before any", "192.0.2.0/24 0-65535 any;192.0.2.0/24 0-65535 tcp",
	 "192.0.2.0/24:1,0"},
	{"a shorter prefix follows", "192.0.2.0/24 80 tcp;192.0.2.128/25 443 tcp",
	 "192.0.2.128/25:1,0 192.0.2.0/24:0"},
	{"… where it has something left", "192.0.2.0/24 80 tcp;192.0.2.128/25 0-65535 tcp",
	 "192.0.2.128/25:1 192.0.2.0/24:0"},
	{"… in the order of length",
	 "192.0.0.0/16 80 tcp;192.0.2.0/24 81 tcp;192.0.2.1/32 82-83 tcp",
	 "192.0.2.1/32:2,1,0 192.0.2.0/24:1,0 192.0.0.0/16:0"},
	{"beside each other", "192.0.2.0/25 80 tcp;192.0.2.128/25 80 tcp",
	 "192.0.2.0/25:0 192.0.2.128/25:1"},
	{"the same twice: the first", "192.0.2.0/24 80 tcp;192.0.2.0/24 80 tcp", "192.0.2.0/24:0"},
	{"everything", "0.0.0.0/0 80 tcp;192.0.2.0/24 81 tcp", "192.0.2.0/24:1,0 0.0.0.0/0:0"},
	{"both families", "192.0.2.0/24 80 tcp;2001:db8::/64 80 tcp",
	 "192.0.2.0/24:0 2001:db8::/64:1"},
	{"IPv6, in IPv6", "2001:db8::/32 80 udp;2001:db8:1::/48 80 tcp;2001:db8:2::/48 81 tcp",
	 "2001:db8:1::/48:1,0 2001:db8:2::/48:2,0 2001:db8::/32:0"},
	{"a prefix that no IPv4 address is in", "8000::/1 80 tcp", "8000::/1:0"},
};

static void test_rows(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < LENGTH(rows); i++) {
		struct ek_service entries[16];
		size_t n = entries_of(rows[i].entries, entries);
		struct ek_wildcards w;
		struct ek_error error;
		char text[1024];

		print_message("  %s\n", rows[i].description);
		assert_int_equal(ek_wildcards_build(entries, NULL, n, &w, &error), 0);
		render(&w, text, sizeof(text));
		assert_string_equal(text, rows[i].nodes);
		ek_wildcards_free(&w);
	}
}

static void test_slots(void **unused)
{
	static const uint16_t slots[] = {8191, 17};
	struct ek_service entries[2];
	struct ek_wildcards w;
	struct ek_error error;
	const struct ek_wildcard *value;

	(void)unused;
	assert_int_equal(entries_of("192.0.2.0/24 80-90 tcp;192.0.2.0/24 0-65535 any", entries), 2);
	assert_int_equal(ek_wildcards_build(entries, slots, 2, &w, &error), 0);
	value = &w.nodes[0].value;
	assert_int_equal(w.n, 1);
	assert_int_equal(value->n, 2);
	assert_int_equal(value->rule[0].slot, 8191);
	assert_int_equal(value->rule[0].first, 80);
	assert_int_equal(value->rule[0].last, 90);
	assert_int_equal(value->rule[0].protocol, IPPROTO_TCP);
	assert_int_equal(value->rule[1].slot, 17);
	assert_int_equal(value->rule[1].first, 0);
	assert_int_equal(value->rule[1].last, 65535);
	assert_int_equal(value->rule[1].protocol, 0);
	ek_wildcards_free(&w);
}

/* --- what does not fit ----------------------------------------------------------------------- */

static void expect_error(const struct ek_service *entries, size_t n, int err, const char *why)
{
	struct ek_wildcards w;
	struct ek_error error;

	assert_int_equal(ek_wildcards_build(entries, NULL, n, &w, &error), err);
	assert_null(w.nodes);
	assert_int_equal(w.n, 0);
	if (!strstr(error.text, why))
		fail_msg("'%s' does not say '%s'", error.text, why);
}

static void test_limits(void **unused)
{
	struct ek_service *entries = calloc(EK_SERVICES_MAX, sizeof(*entries));
	struct ek_wildcards w;
	struct ek_error error;
	char text[64];

	(void)unused;
	for (unsigned int i = 0; i <= EK_WILDCARD_RULES; i++) {
		snprintf(text, sizeof(text), "192.0.2.0/%u %u tcp", i == 20 ? 23 : 24, 80 + i);
		entries[i] = entry_of(text);
	}
	assert_int_equal(ek_wildcards_build(entries, NULL, EK_WILDCARD_RULES, &w, &error), 0);
	assert_int_equal(w.nodes[0].value.n, EK_WILDCARD_RULES);
	ek_wildcards_free(&w);
	expect_error(entries, EK_WILDCARD_RULES + 1, -ENOSPC,
		     "192.0.2.0/24: more than 32 services");

	for (unsigned int i = 0; i < EK_SERVICES_MAX; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.0/24 80 tcp", i / 256, i % 256);
		entries[i] = entry_of(text);
	}
	assert_int_equal(ek_wildcards_build(entries, NULL, EK_WILDCARDS_MAX, &w, &error), 0);
	assert_int_equal(w.n, EK_WILDCARDS_MAX);
	ek_wildcards_free(&w);
	expect_error(entries, EK_SERVICES_MAX, -ENOSPC, "more than 1023 prefixes");
	entries[0] = entry_of("::/0 80 tcp");
	expect_error(entries, 1, -EINVAL, "::/0: too short");
	entries[0] = entry_of("::/64 80 tcp");
	expect_error(entries, 1, -EINVAL, "::/64: too short");
	free(entries);
}

/* --- at random, beside a naive matcher ------------------------------------------------------- */

#define RANDOM_ENTRIES 24

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 33;
}

/* Addresses of few bits, so that prefixes cover each other. */
static struct ek_ip random_address(uint64_t *seed, bool v4)
{
	struct ek_ip ip = {.halves[1] = EK_V4_MAPPED};

	if (!v4)
		ip = (struct ek_ip){.bytes = {0x20, 0x01, 0x0d, 0xb8}};
	for (int i = 0; i < 4; i++)
		ip.bytes[12 + i] = next_random(seed) % 2 * 0x80 + next_random(seed) % 2;
	return ip;
}

static struct ek_service random_entry(uint64_t *seed)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, 0};
	const bool v4 = next_random(seed) % 2;
	unsigned int length = 96 + next_random(seed) % 33, first, last;
	struct ek_ip address = random_address(seed, v4);

	first = next_random(seed) % 8;
	last = next_random(seed) % 3 ? first + next_random(seed) % 4 : 65535;
	if (last == 65535)
		first = 0;
	return (struct ek_service){.vip = ek_mask6(&address, length),
				   .key = EK_SERVICE_WILD_KEY(htons(first),
							      protocols[next_random(seed) % 3],
							      htons(last), length)};
}

struct question {
	struct ek_ip address;
	uint16_t port;
	uint8_t protocol;
};

static bool fits(const struct ek_service *e, const struct question *q)
{
	struct ek_ip masked = ek_mask6(&q->address, EK_SERVICE_KEY_LENGTH(e->key));
	uint8_t protocol = EK_SERVICE_KEY_PROTO(e->key);
	uint16_t first = ntohs(EK_SERVICE_KEY_PORT(e->key));
	uint16_t last = ntohs(EK_SERVICE_KEY_LAST(e->key));

	return ek_ip_equal(&masked, &e->vip) && (!protocol || protocol == q->protocol) &&
	       q->port >= first && q->port <= (last ? last : first);
}

/* Does `a` go before `b`, of two that fit? */
static bool is_better(const struct ek_service *a, const struct ek_service *b)
{
	int width_a = ntohs(EK_SERVICE_KEY_LAST(a->key)) - ntohs(EK_SERVICE_KEY_PORT(a->key));
	int width_b = ntohs(EK_SERVICE_KEY_LAST(b->key)) - ntohs(EK_SERVICE_KEY_PORT(b->key));
	bool any_a = !EK_SERVICE_KEY_PROTO(a->key), any_b = !EK_SERVICE_KEY_PROTO(b->key);

	if (EK_SERVICE_KEY_LENGTH(a->key) != EK_SERVICE_KEY_LENGTH(b->key))
		return EK_SERVICE_KEY_LENGTH(a->key) > EK_SERVICE_KEY_LENGTH(b->key);
	if (any_a != any_b)
		return any_b;
	return (width_a < 0 ? 0 : width_a) < (width_b < 0 ? 0 : width_b);
}

static int naive(const struct ek_service *entries, size_t n, const struct question *q)
{
	int best = -1;

	for (size_t i = 0; i < n; i++)
		if (fits(&entries[i], q) && (best < 0 || is_better(&entries[i], &entries[best])))
			best = i;
	return best;
}

/* What the kernel's trie and the data plane do with the nodes. */
static int look_up(const struct ek_wildcards *w, const struct question *q)
{
	const struct ek_wildcards_node *longest = NULL;

	for (size_t i = 0; i < w->n; i++) {
		const struct ek_wildcards_node *node = &w->nodes[i];
		const struct ek_ip masked = ek_mask6(&q->address, node->key.length);
		const struct ek_ip prefix = node->key.address;

		if (ek_ip_equal(&masked, &prefix) &&
		    (!longest || node->key.length > longest->key.length))
			longest = node;
	}
	for (uint32_t r = 0; longest && r < longest->value.n; r++) {
		const struct ek_wildcard_rule *rule = &longest->value.rule[r];

		if ((!rule->protocol || rule->protocol == q->protocol) && q->port >= rule->first &&
		    q->port <= rule->last)
			return rule->slot;
	}
	return -1;
}

static void test_random(void **unused)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, 132};
	uint64_t seed = 5;
	unsigned int found = 0, questions = 0;

	(void)unused;
	for (int round = 0; round < 400; round++) {
		struct ek_service entries[RANDOM_ENTRIES];
		size_t n = next_random(&seed) % (RANDOM_ENTRIES + 1);
		struct ek_wildcards w;
		struct ek_error error;

		for (size_t i = 0; i < n; i++)
			entries[i] = random_entry(&seed);
		assert_int_equal(ek_wildcards_build(entries, NULL, n, &w, &error), 0);
		for (int i = 0; i < 200; i++) {
			const struct question q = {
				.address = random_address(&seed, next_random(&seed) % 2),
				.port = next_random(&seed) % 12,
				.protocol = protocols[next_random(&seed) % 3]};
			int expected = naive(entries, n, &q);

			assert_int_equal(look_up(&w, &q), expected);
			found += expected >= 0;
			questions++;
		}
		ek_wildcards_free(&w);
	}
	print_message("  %u of %u questions have an answer\n", found, questions);
	assert_true(found > questions / 10 && found < questions);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
