/* SPDX-License-Identifier: GPL-2.0-only */
/* See service_table.h; the reader is bpf/service.h. Called by datapath.c. */
#include <errno.h>
#include <string.h>
#include "ip.h"
#include "service_table.h"

static __u32 home_slot(const struct ek_hash_key *key, const struct ek_ip *vip, __u64 service_key)
{
	__u32 word = EK_SERVICE_KEY_PORT(service_key) | EK_SERVICE_KEY_PROTO(service_key) << 16;

	if (EK_SERVICE_KEY_STATE(service_key) == EK_SERVICE_WILD) /* nobody probes for these */
		word ^= (__u32)(service_key >> 32);
	return ek_hash_service_slot(ek_hash_service(key, vip, word));
}

static struct ek_service *probe(struct ek_service_table *table, __u32 home, __u32 distance)
{
	return &table->slot[(home + distance) & (EK_SERVICE_SLOTS - 1)];
}

struct ek_service *ek_service_table_find(struct ek_service_table *table,
					 const struct ek_hash_key *key, const struct ek_ip *vip,
					 __u64 service_key)
{
	__u32 home = home_slot(key, vip, service_key);

	for (__u32 i = 0; i < EK_SERVICE_PROBE; i++) {
		struct ek_service *s = probe(table, home, i);

		if (s->key == service_key && ek_ip_equal(&s->vip, vip))
			return s;
		if (!s->key)
			break;
	}
	return NULL;
}

static struct ek_service *find_room(struct ek_service_table *table, __u32 home)
{
	for (__u32 i = 0; i < EK_SERVICE_PROBE; i++) {
		struct ek_service *s = probe(table, home, i);

		if (EK_SERVICE_KEY_STATE(s->key) <= EK_SERVICE_DELETED)
			return s;
	}
	return NULL;
}

/* Word by word, so that the data plane never sees a torn field; the key stays as it is. */
static void copy_words(struct ek_service *to, const struct ek_service *from)
{
	const __u64 *source = (const __u64 *)from;
	__u64 *target = (__u64 *)to;

	for (size_t i = 0; i < sizeof(*to) / sizeof(__u64); i++)
		if (&target[i] != &to->key)
			__atomic_store_n(&target[i], source[i], __ATOMIC_RELAXED);
}

int ek_service_table_put(struct ek_service_table *table, const struct ek_hash_key *key,
			 const struct ek_service *entry)
{
	struct ek_service *s = ek_service_table_find(table, key, &entry->vip, entry->key);

	if (!s)
		s = find_room(table, home_slot(key, &entry->vip, entry->key));
	if (!s)
		return -ENOSPC;
	copy_words(s, entry);
	__atomic_store_n(&s->key, entry->key, __ATOMIC_RELEASE);
	return 0;
}

/* A tombstone only where a probe must go on; those before an empty slot are cleaned up. */
void ek_service_table_remove(struct ek_service_table *table, const struct ek_hash_key *key,
			     const struct ek_ip *vip, __u64 service_key)
{
	struct ek_service *s = ek_service_table_find(table, key, vip, service_key);
	const __u64 deleted = EK_SERVICE_KEY(0, 0, EK_SERVICE_DELETED);
	__u32 i;

	if (!s)
		return;
	__atomic_store_n(&s->key, deleted, __ATOMIC_RELEASE);
	i = s - table->slot;
	if (probe(table, i, 1)->key)
		return;
	while (table->slot[i].key == deleted) {
		__atomic_store_n(&table->slot[i].key, 0, __ATOMIC_RELEASE);
		i = (i - 1) & (EK_SERVICE_SLOTS - 1);
	}
}
