/* SPDX-License-Identifier: GPL-2.0-only */
/* The rtnetlink parsers on any datagram, walked as netlink.c walks one. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <libmnl/libmnl.h>
#include "netlink_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const struct nlmsghdr *message)
{
	struct ek_netlink_neighbour neighbour;
	struct ek_netlink_address address;
	struct ek_netlink_prefix prefix;
	struct ek_netlink_route route;
	struct ek_link link;

	if (ek_netlink_parse_link(message, &link) == 0 && !memchr(link.name, 0, sizeof(link.name)))
		abort();
	if (ek_netlink_parse_prefix(message, &prefix) == 0 &&
	    (prefix.length > 128 || !ek_netlink_prefix_covers(&prefix, &prefix.address)))
		abort();
	if (ek_netlink_parse_route(message, &route) == 0 &&
	    (route.state == EK_NEXTHOP_NO_ROUTE) != (route.ifindex == 0))
		abort();
	if (ek_netlink_parse_neighbour(message, &neighbour) == 0)
		ek_netlink_neighbour_usable(&neighbour);
	ek_netlink_parse_address(message, &address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Padded to 4 bytes, as the receive buffer is, and not a byte more. */
	struct nlmsghdr *copy = calloc(1, NLMSG_ALIGN(size) + !size);
	const struct nlmsghdr *message = copy;
	int left = size;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	for (; ek_netlink_message_ok(message, left); message = mnl_nlmsg_next(message, &left))
		parse(message);
	free(copy);
	return 0;
}
