/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The controller's side of the open-addressed service table: pure functions on memory that the
 * data plane reads at the same time. A slot is published and withdrawn by its key word.
 */
#ifndef EVENKEEL_SERVICE_TABLE_H
#define EVENKEEL_SERVICE_TABLE_H

#include <evenkeel/hash.h>

/* Adds the entry or changes the one with its VIP and key. 0, or -ENOSPC: its probe is full. */
int ek_service_table_put(struct ek_service_table *table, const struct ek_hash_key *key,
			 const struct ek_service *entry);
/* NULL when absent. */
struct ek_service *ek_service_table_find(struct ek_service_table *table,
					 const struct ek_hash_key *key, const struct ek_ip *vip,
					 __u64 service_key);
void ek_service_table_remove(struct ek_service_table *table, const struct ek_hash_key *key,
			     const struct ek_ip *vip, __u64 service_key);

#endif
