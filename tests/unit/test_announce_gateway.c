/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lib/announce_gateway.c, the pure part: on which interface each VIP is announced or why on none,
 * and what is done when that changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "announce_gateway.h"
#include "ip.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* --- where a VIP is announced ---------------------------------------------------------------- */

/* eth0 and eth1 are on one network, eth1 on a larger part of it; eth2 is down; eth3 has no program;
 * eth4 is not there now. dummy0, interface 9, is not in the file. */
static const struct ek_port_status ports[] = {
	{.name = "eth0", .ifindex = 2, .number = 7, .up = true, .mac = {2, 0, 0, 0, 0, 2}},
	{.name = "eth1", .ifindex = 3, .number = 0, .up = true, .mac = {2, 0, 0, 0, 0, 3}},
	{.name = "eth2", .ifindex = 4, .number = 2, .up = false, .mac = {2, 0, 0, 0, 0, 4}},
	{.name = "eth3", .ifindex = 5, .number = -1, .up = true, .mac = {2, 0, 0, 0, 0, 5}},
	{.name = "eth4", .ifindex = 0, .number = -1},
};

static const struct {
	int ifindex;
	const char *address, *network;
	unsigned int length; /* of the address's own family */
} addresses[] = {
	{1, "127.0.0.1", "127.0.0.1", 8},	 {2, "192.0.2.2", "192.0.2.2", 25},
	{2, "2001:db8::2", "2001:db8::2", 64},	 {2, "fe80::2", "fe80::2", 64},
	{3, "192.0.2.3", "192.0.2.3", 24},	 {3, "2001:db8::3", "2001:db8::3", 64},
	{3, "203.0.113.3", "203.0.113.2", 31},	 {4, "198.51.100.4", "198.51.100.4", 24},
	{4, "192.0.2.4", "192.0.2.4", 26},	 {5, "10.5.0.5", "10.5.0.5", 16},
	{5, "198.51.100.5", "198.51.100.5", 25}, {0, "10.6.0.6", "10.6.0.6", 16},
	{9, "10.9.0.9", "10.9.0.9", 16},	 {3, "fd00::3", "fd00::3", 0},
};

static const struct {
	const char *description, *vip;
	enum ek_gateway_reason reason;
	const char *interface, *why;
	int port;
} places[] = {
	{"on one network", "192.0.2.200", EK_GATEWAY_ANNOUNCED, "eth1", "", 0},
	{"the longer prefix, unless its link is down", "192.0.2.10", EK_GATEWAY_ANNOUNCED, "eth0",
	 "", 7},
	{"equal prefixes: first in the file", "2001:db8::10", EK_GATEWAY_ANNOUNCED, "eth0", "", 7},
	{"the shortest prefix", "2001:db8:1::10", EK_GATEWAY_ANNOUNCED, "eth1", "", 0},
	{"only one that is down", "198.51.100.200", EK_GATEWAY_ANNOUNCED, "eth2", "eth2 is down",
	 2},
	{"attached goes before up and longer", "198.51.100.10", EK_GATEWAY_ANNOUNCED, "eth2",
	 "eth2 is down", 2},
	{"both ends of a point-to-point link: the other", "203.0.113.2", EK_GATEWAY_ANNOUNCED,
	 "eth1", "", 0},
	{"... ours", "203.0.113.3", EK_GATEWAY_OWN, "eth1",
	 "eth1 has the address itself, and the kernel answers for it", -1},
	{"own address", "192.0.2.2", EK_GATEWAY_OWN, "eth0",
	 "eth0 has the address itself, and the kernel answers for it", -1},
	{"own address in another's longer prefix", "192.0.2.3", EK_GATEWAY_OWN, "eth1",
	 "eth1 has the address itself, and the kernel answers for it", -1},
	{"own address of a link that is down", "192.0.2.4", EK_GATEWAY_OWN, "eth2",
	 "eth2 has the address itself, and the kernel answers for it", -1},
	{"broadcast", "192.0.2.255", EK_GATEWAY_BROADCAST, "eth1",
	 "it is the broadcast address of a network of eth1", -1},
	{"broadcast of the longer prefix", "192.0.2.127", EK_GATEWAY_BROADCAST, "eth0",
	 "it is the broadcast address of a network of eth0", -1},
	{"all ones is an address like another in IPv6", "2001:db8::ffff:ffff:ffff:ffff",
	 EK_GATEWAY_ANNOUNCED, "eth0", "", 7},
	{"an interface without a program", "10.5.0.10", EK_GATEWAY_UNATTACHED, "eth3",
	 "eth3, on whose network it is, has no XDP program", -1},
	{"an interface that went away", "10.6.0.10", EK_GATEWAY_NO_NETWORK, "",
	 "it is on no network of the file's interfaces", -1},
	{"an interface that is not in the file", "10.9.0.10", EK_GATEWAY_NO_NETWORK, "",
	 "it is on no network of the file's interfaces", -1},
	{"no network; ::/0 is none for IPv4", "100.64.0.1", EK_GATEWAY_NO_NETWORK, "",
	 "it is on no network of the file's interfaces", -1},
};

static struct ek_ip ip(const char *text)
{
	struct ek_ip out;

	assert_int_equal(ek_ip_parse(text, &out), 0);
	return out;
}

static void make_addresses(struct ek_netlink_address *out)
{
	for (size_t i = 0; i < LENGTH(addresses); i++) {
		out[i] = (struct ek_netlink_address){.ifindex = addresses[i].ifindex,
						     .address = ip(addresses[i].address)};
		out[i].network.address = ip(addresses[i].network);
		out[i].network.length =
			addresses[i].length + (ek_ip_is_v4(&out[i].address) ? 96 : 0);
	}
}

static void test_places(void **state)
{
	struct ek_netlink_address list[LENGTH(addresses)];
	struct ek_gateway_view view = {
		.n_ports = LENGTH(ports), .addresses = list, .n_addresses = LENGTH(list)};

	(void)state;
	make_addresses(list);
	for (size_t i = 0; i < LENGTH(ports); i++)
		view.ports[i] = &ports[i];
	for (size_t i = 0; i < LENGTH(places); i++) {
		struct ek_ip vip = ip(places[i].vip);
		struct ek_gateway_place place = ek_gateway_place(&view, &vip);
		char why[128];

		print_message("  %s\n", places[i].description);
		assert_true(ek_ip_equal(&place.vip, &vip));
		assert_int_equal(place.reason, places[i].reason);
		assert_string_equal(place.interface, places[i].interface);
		assert_int_equal(place.port, places[i].port);
		assert_string_equal(ek_gateway_why(&place, why, sizeof(why)), places[i].why);
	}
}

static void test_nothing_known(void **state)
{
	const struct ek_gateway_view view = {.n_ports = 0};
	struct ek_ip vip = ip("192.0.2.10");

	(void)state;
	assert_int_equal(ek_gateway_place(&view, &vip).reason, EK_GATEWAY_NO_NETWORK);
}

/* --- what changes ---------------------------------------------------------------------------- */

#define ON(...)                                                                  \
	{                                                                        \
		.reason = EK_GATEWAY_ANNOUNCED, .interface = "eth0", __VA_ARGS__ \
	}
#define OFF(why, name)                                                                \
	{                                                                             \
		.reason = EK_GATEWAY_##why, .interface = name, .port = -1, .up = true \
	}

static const struct ek_gateway_place up = ON(.up = true), down = ON(.up = false),
				     elsewhere = ON(.up = true, .port = 1),
				     elsewhere_down = ON(.port = 1),
				     anew = ON(.up = true, .ifindex = 5),
				     new_mac = ON(.up = true, .mac = {2}), own = OFF(OWN, "eth0"),
				     own1 = OFF(OWN, "eth1"), unattached = OFF(UNATTACHED, "eth0"),
				     nowhere = OFF(NO_NETWORK, "");

#define LEASE	 EK_GATEWAY_DO_LEASE
#define REOPEN	 EK_GATEWAY_DO_REOPEN
#define ANNOUNCE EK_GATEWAY_DO_ANNOUNCE
#define REPORT	 EK_GATEWAY_DO_REPORT

static const struct {
	const char *description;
	const struct ek_gateway_place *before, *after;
	unsigned int changes;
} changes[] = {
	{"a new VIP", NULL, &up, LEASE | REOPEN | ANNOUNCE},
	{"a new VIP on a link that is down", NULL, &down, LEASE | REOPEN},
	{"a new VIP on no network", NULL, &nowhere, REPORT},
	{"a new VIP that is the node's own", NULL, &own, REPORT},
	{"nothing", &up, &up, 0},
	{"nothing on a link that is down", &down, &down, 0},
	{"nothing, which was said", &nowhere, &nowhere, 0},
	{"the link came up", &down, &up, ANNOUNCE},
	{"the link went down", &up, &down, 0},
	{"another MAC", &up, &new_mac, ANNOUNCE},
	{"another interface", &up, &elsewhere, LEASE | REOPEN | ANNOUNCE},
	{"another interface, which is down", &up, &elsewhere_down, LEASE | REOPEN},
	{"another interface of this name", &up, &anew, REOPEN | ANNOUNCE},
	{"the network went away", &up, &nowhere, LEASE | REOPEN | REPORT},
	{"the program went away", &up, &unattached, LEASE | REOPEN | REPORT},
	{"the node took the address", &up, &own, LEASE | REOPEN | REPORT},
	{"another reason", &unattached, &nowhere, REPORT},
	{"the same reason on another interface", &own, &own1, REPORT},
	{"the network came", &nowhere, &up, LEASE | REOPEN | ANNOUNCE},
	{"the VIP went", &up, NULL, LEASE | REOPEN},
	{"a VIP that was not announced went", &nowhere, NULL, 0},
};

static void test_changes(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(changes); i++) {
		unsigned int found = ek_gateway_changes(changes[i].before, changes[i].after);

		if (found != changes[i].changes)
			fail_msg("%s: %x instead of %x", changes[i].description, found,
				 changes[i].changes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_nothing_known),
		cmocka_unit_test(test_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
