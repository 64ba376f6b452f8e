/* SPDX-License-Identifier: GPL-2.0-only */
/* A sorted array of pointers; see sorted.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "sorted.h"

size_t ek_sorted_lower(const struct ek_sorted *sorted, const void *key)
{
	size_t low = 0, high = sorted->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (sorted->compare(key, sorted->item[middle]) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void *ek_sorted_find(const struct ek_sorted *sorted, const void *key)
{
	size_t at = ek_sorted_lower(sorted, key);

	if (at == sorted->count || sorted->compare(key, sorted->item[at]))
		return NULL;
	return sorted->item[at];
}

int ek_sorted_insert(struct ek_sorted *sorted, const void *key, void *item)
{
	size_t at = ek_sorted_lower(sorted, key);

	if (sorted->count == sorted->room) {
		size_t room = sorted->room ? 2 * sorted->room : 16;
		void **grown = reallocarray(sorted->item, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		sorted->item = grown;
		sorted->room = room;
	}
	memmove(sorted->item + at + 1, sorted->item + at,
		(sorted->count - at) * sizeof(*sorted->item));
	sorted->item[at] = item;
	sorted->count++;
	return 0;
}

void *ek_sorted_remove(struct ek_sorted *sorted, const void *key)
{
	void *item = ek_sorted_find(sorted, key);
	size_t at = ek_sorted_lower(sorted, key);

	if (!item)
		return NULL;
	sorted->count--;
	memmove(sorted->item + at, sorted->item + at + 1,
		(sorted->count - at) * sizeof(*sorted->item));
	return item;
}

void ek_sorted_free(struct ek_sorted *sorted)
{
	for (size_t i = 0; i < sorted->count; i++)
		free(sorted->item[i]);
	free(sorted->item);
	sorted->item = NULL;
	sorted->count = sorted->room = 0;
}
