/* SPDX-License-Identifier: GPL-2.0-only */
/* See path_mtu.h. */
#include <errno.h>
#include <stdlib.h>
#include "ip.h"
#include "path_mtu.h"

struct path {
	struct ek_ip address;
	uint16_t mtu;
	time_t learned;
};

static int compare_path(const void *key, const void *item)
{
	return ek_ip_compare(key, &((const struct path *)item)->address);
}

void ek_path_mtu_init(struct ek_path_mtu *table)
{
	*table = (struct ek_path_mtu){.paths = {.compare = compare_path}};
}

void ek_path_mtu_free(struct ek_path_mtu *table)
{
	ek_sorted_free(&table->paths);
}

/* The widest usual link that is narrower. */
static uint32_t plateau_below(uint32_t mtu)
{
	static const uint16_t plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006};

	for (size_t i = 0; i < sizeof(plateaus) / sizeof(plateaus[0]); i++)
		if (plateaus[i] < mtu)
			return plateaus[i];
	return EK_PATH_MTU_MIN4;
}

int ek_path_mtu_learn(struct ek_path_mtu *table, const struct ek_ip *address, uint32_t said,
		      uint16_t width, time_t now)
{
	const uint32_t least =
		ek_ip_family(address) == AF_INET ? EK_PATH_MTU_MIN4 : EK_PATH_MTU_MIN6;
	struct path *path = ek_sorted_find(&table->paths, address);
	const uint32_t present = path && path->mtu < width ? path->mtu : width;
	uint32_t mtu = said ? said : plateau_below(present);

	if (mtu < least)
		mtu = least;
	if (path && mtu == path->mtu)
		path->learned = now;
	if (mtu >= present)
		return 0;
	if (!path) {
		path = calloc(1, sizeof(*path));
		if (!path || ek_sorted_insert(&table->paths, address, path)) {
			free(path);
			return -ENOMEM;
		}
		path->address = *address;
	}
	path->mtu = mtu;
	path->learned = now;
	return 1;
}

uint16_t ek_path_mtu_limit(const struct ek_path_mtu *table, const struct ek_ip *address,
			   uint16_t width)
{
	const struct path *path = ek_sorted_find(&table->paths, address);

	return path && path->mtu < width ? path->mtu : width;
}

bool ek_path_mtu_expire(struct ek_path_mtu *table, time_t now)
{
	bool expired = false;

	for (size_t i = 0; i < table->paths.count;) {
		struct path *path = table->paths.item[i];

		if (now - path->learned < EK_PATH_MTU_SECONDS) {
			i++;
			continue;
		}
		free(ek_sorted_remove(&table->paths, &path->address));
		expired = true;
	}
	return expired;
}
