/* SPDX-License-Identifier: GPL-2.0-only */
/* Tags of VLAN devices, on links that are made up. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include "vlan.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define Q	      ETH_P_8021Q
#define AD	      ETH_P_8021AD

static const struct ek_link links[] = {
	{.ifindex = 1, .name = "eth0"},
	{.ifindex = 2, .name = "eth0.200", .parent = 1, .vlan = 200, .vlan_protocol = Q},
	{.ifindex = 3, .name = "eth0.100", .parent = 1, .vlan = 100, .vlan_protocol = AD},
	{.ifindex = 4, .name = "eth0.100.7", .parent = 3, .vlan = 7, .vlan_protocol = Q},
	{.ifindex = 5, .name = "eth0.200.7", .parent = 2, .vlan = 7, .vlan_protocol = Q},
	{.ifindex = 6, .name = "eth0.100.8", .parent = 3, .vlan = 8, .vlan_protocol = AD},
	{.ifindex = 7, .name = "deep", .parent = 6, .vlan = 9, .vlan_protocol = Q},
	{.ifindex = 8, .name = "orphan", .parent = 77, .vlan = 9, .vlan_protocol = Q},
	{.ifindex = 9, .name = "priority", .parent = 1, .vlan = 0, .vlan_protocol = Q},
	{.ifindex = 10, .name = "half", .parent = 77, .vlan = 5, .vlan_protocol = AD},
	{.ifindex = 11, .name = "half.6", .parent = 10, .vlan = 6, .vlan_protocol = Q},
};

static const struct {
	const char *description;
	int link;
	bool known;
	int below;
	uint16_t outer, inner;
} rows[] = {
	{"a plain interface", 1, false, 0, 0, 0},
	{"802.1Q", 2, true, 1, 200, 0},
	{"802.1ad alone is not written", 3, false, 0, 0, 0},
	{"802.1Q in 802.1ad", 4, true, 1, 100, 7},
	{"802.1Q in 802.1Q is not written", 5, false, 0, 0, 0},
	{"802.1ad in 802.1ad neither", 6, false, 0, 0, 0},
	{"three tags neither", 7, false, 0, 0, 0},
	{"on a link that is gone", 8, false, 0, 0, 0},
	{"a priority tag", 9, false, 0, 0, 0},
	{"on one that is on a link that is gone", 11, false, 0, 0, 0},
};

static const struct ek_link *find(const void *context, int ifindex)
{
	(void)context;
	for (size_t i = 0; i < LENGTH(links); i++)
		if (links[i].ifindex == ifindex)
			return &links[i];
	return NULL;
}

static void test_tags(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(rows); i++) {
		struct ek_vlan vlan;

		print_message("  %s\n", rows[i].description);
		assert_int_equal(ek_vlan_resolve(find(NULL, rows[i].link), find, NULL, &vlan),
				 rows[i].known);
		if (!rows[i].known)
			continue;
		assert_int_equal(vlan.ifindex, rows[i].below);
		assert_int_equal(ntohs(vlan.tags[0]), rows[i].outer);
		assert_int_equal(ntohs(vlan.tags[1]), rows[i].inner);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
