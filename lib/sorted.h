/* SPDX-License-Identifier: GPL-2.0-only */
/* A sorted array of pointers: found by bisection, walked in order. For thousands, not millions. */
#ifndef EVENKEEL_SORTED_H
#define EVENKEEL_SORTED_H

#include <stddef.h>

struct ek_sorted {
	void **item;
	size_t count, room;
	/* < 0, 0 or > 0: where key lies relative to the item's own. Set before the first use. */
	int (*compare)(const void *key, const void *item);
};

/* Index of the first item not below key; count when all are. */
size_t ek_sorted_lower(const struct ek_sorted *sorted, const void *key);
void *ek_sorted_find(const struct ek_sorted *sorted, const void *key); /* NULL: not there */
/* The key must not be there yet. 0 or -ENOMEM. */
int ek_sorted_insert(struct ek_sorted *sorted, const void *key, void *item);
/* The item is the caller's again. NULL: it was not there. */
void *ek_sorted_remove(struct ek_sorted *sorted, const void *key);
/* Frees the array and, with free(3), its items; it is empty afterwards. */
void ek_sorted_free(struct ek_sorted *sorted);

#endif
