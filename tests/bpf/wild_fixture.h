/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Services of prefixes, port ranges and whole protocols in the place of those of the fixture, with
 * the rules as the controller builds them.
 */
#ifndef EVENKEEL_TESTS_WILD_FIXTURE_H
#define EVENKEEL_TESTS_WILD_FIXTURE_H

#include "balancer_fixture.h"
#include "wildcards.h"

#define ENTRIES_MAX 32

/* Backends, ring and outer family are those of the known service `id`. */
struct wild {
	const char *prefix;
	unsigned int length; /* of 32 or 128 */
	unsigned int protocol, first, last;
	unsigned int id, flags;
};

#define ANY_PORT 0, 65535

static inline bool is_exact(const struct wild *w)
{
	return w->protocol && w->first == w->last &&
	       w->length == (strchr(w->prefix, ':') ? 128 : 32);
}

static inline struct ek_service wild_entry(const struct wild *w)
{
	const unsigned int length = strchr(w->prefix, ':') ? w->length : 96 + w->length;

	return (struct ek_service){
		.vip = address(w->prefix),
		.key = is_exact(w) ? EK_SERVICE_KEY(htons(w->first), w->protocol, EK_SERVICE_LIVE)
				   : EK_SERVICE_WILD_KEY(htons(w->first), w->protocol,
							 htons(w->last), length),
		.id = w->id,
		.flags = w->flags,
		.hash_prefix4 = 24,
		.hash_prefix6 = 56,
	};
}

static inline void forget_wildcards(struct fixture *f)
{
	const int fd = bpf_map__fd(f->skeleton->maps.wildcards);
	struct ek_wildcard_key key;

	while (!bpf_map_get_next_key(fd, NULL, &key))
		assert_int_equal(bpf_map_delete_elem(fd, &key), 0);
}

/* The table and the rules of these services alone. */
static inline void offer(struct fixture *f, const struct wild *list, size_t n)
{
	struct ek_service entries[ENTRIES_MAX];
	uint16_t slots[ENTRIES_MAX];
	struct ek_wildcards rules;
	size_t wild = 0;

	forget_wildcards(f);
	memset(f->services, 0, sizeof(*f->services));
	for (size_t i = 0; i < n; i++) {
		const struct ek_service entry = wild_entry(&list[i]);

		assert_int_equal(ek_service_table_put(f->services, &f->key, &entry), 0);
		if (is_exact(&list[i])) {
			add_service(f, &entry);
			continue;
		}
		entries[wild] = entry;
		slots[wild++] = ek_service_table_find(f->services, &f->key, &entry.vip, entry.key) -
				f->services->slot;
	}
	assert_int_equal(ek_wildcards_build(entries, slots, wild, &rules, NULL), 0);
	for (size_t i = 0; i < rules.n; i++)
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(f->skeleton->maps.wildcards),
						     &rules.nodes[i].key, &rules.nodes[i].value, 0),
				 0);
	ek_wildcards_free(&rules);
	f->services->settings.flags = EK_SETTING_WILDCARDS;
}

#endif
