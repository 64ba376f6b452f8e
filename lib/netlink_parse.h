/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rtnetlink messages to structs, and back. Pure: no socket, no state. netlink.c is the only user;
 * this is apart so that it can be tested and fuzzed with any bytes.
 *
 * A parser takes one message, aligned and padded to 4 bytes, whose nlmsg_len lies within its buffer
 * (ek_netlink_message_ok()). It returns 0, -EINVAL when the message is malformed, or -ENOENT when
 * it is about something else (another family or kind). `out` is written only on 0.
 */
#ifndef EVENKEEL_NETLINK_PARSE_H
#define EVENKEEL_NETLINK_PARSE_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/netlink.h>
#include "netlink.h"

/* The answer to a route look-up: what the kernel would do with a packet to one destination. */
struct ek_netlink_route {
	enum ek_nexthop_state
		state; /* NO_ROUTE, IS_LOCAL, or NO_NEIGHBOUR: a neighbour is wanted */
	int ifindex;
	struct ek_ip gateway; /* zero: on-link */
	struct ek_ip source;
	unsigned int mtu; /* zero: the route has none of its own */
};

struct ek_netlink_neighbour {
	int ifindex;
	struct ek_ip address;
	uint16_t state;	  /* NUD_*; 0 = no such entry */
	uint8_t protocol; /* who made it: NDA_PROTOCOL */
	bool managed;	  /* NTF_EXT_MANAGED: the kernel keeps it resolved */
	bool learned;	  /* NTF_EXT_LEARNED: another control plane keeps it */
	uint8_t mac[6];	  /* zero = none */
};

/* A whole message lies in the `left` bytes. mnl_nlmsg_ok() takes a length past 2 GiB for negative.
 */
bool ek_netlink_message_ok(const struct nlmsghdr *message, int left);

int ek_netlink_parse_link(const struct nlmsghdr *message, struct ek_link *out);
int ek_netlink_parse_address(const struct nlmsghdr *message, struct ek_netlink_address *out);
int ek_netlink_parse_route(const struct nlmsghdr *message, struct ek_netlink_route *out);
/* The destinations that a route notification is about. */
int ek_netlink_parse_prefix(const struct nlmsghdr *message, struct ek_netlink_prefix *out);
int ek_netlink_parse_neighbour(const struct nlmsghdr *message, struct ek_netlink_neighbour *out);

bool ek_netlink_prefix_covers(const struct ek_netlink_prefix *prefix, const struct ek_ip *ip);
/* The entry's MAC can be put on a packet now (it may be waiting to be confirmed). */
bool ek_netlink_neighbour_usable(const struct ek_netlink_neighbour *neighbour);

/*
 * Requests, written into `buffer` of at least EK_NETLINK_REQUEST bytes; the caller sets nlmsg_seq.
 * ek_netlink_put_manage(): `manage` asks the kernel to resolve the neighbour and keep it so, as
 * ours; without it the entry is only used once, which also takes NTF_EXT_MANAGED away. Neither
 * touches a MAC or state that is there, except that NUD_PERMANENT would be lost: not for those.
 */
#define EK_NETLINK_REQUEST 128
struct nlmsghdr *ek_netlink_put_dump(void *buffer, uint16_t type); /* RTM_GETLINK, RTM_GETADDR */
struct nlmsghdr *ek_netlink_put_route(void *buffer, const struct ek_ip *destination);
struct nlmsghdr *ek_netlink_put_neighbour(void *buffer, int ifindex, const struct ek_ip *address);
struct nlmsghdr *ek_netlink_put_manage(void *buffer, int ifindex, const struct ek_ip *address,
				       bool manage);

#endif
