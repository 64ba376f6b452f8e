/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tracked interfaces and routes look like in the kernel's tables: dumps go in, one message at
 * a time, and a verdict on each track comes out. Pure: no socket, no clock. track.c is the only
 * user; this is apart so that it can be tested with any bytes.
 *
 * An interface works when it is administratively up and its operational state lets packets through
 * (IFF_RUNNING: RFC 2863 "up" or, where the driver cannot say, "unknown"). A route works when it
 * is in the main table, for just that prefix, of type unicast, for any source and TOS, by any
 * protocol but EK_NETLINK_PROTOCOL, and one of its next hops leaves by an interface that works and
 * is neither dead nor without a link. Where next hop objects are shown by number only
 * (net.ipv4.nexthop_compat_mode=0), the route counts as long as it is there.
 */
#ifndef EVENKEEL_TRACK_VIEW_H
#define EVENKEEL_TRACK_VIEW_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <linux/netlink.h>
#include "config.h"

struct ek_track_link {
	int ifindex;
	unsigned int flags; /* IFF_* */
	char name[IFNAMSIZ];
};

/* In order: of several routes to a prefix the best counts. */
enum ek_track_route_state {
	EK_TRACK_ROUTE_ABSENT,
	EK_TRACK_ROUTE_FORBIDS, /* blackhole, unreachable, prohibit; local and the like, too */
	EK_TRACK_ROUTE_DEAD,	/* no next hop that works */
	EK_TRACK_ROUTE_WORKS,
};

struct ek_track_route {
	enum ek_track_route_state state;
	int ifindex; /* of the next hop that works; 0 = not shown */
};

struct ek_track_view {
	const struct ek_config_track *tracks; /* the caller's */
	size_t n_tracks;
	struct ek_track_link *links;
	size_t n_links, room;
	struct ek_track_route *routes; /* [n_tracks] */
};

/* `tracks` must outlive the view. 0 or -ENOMEM. */
int ek_track_view_init(struct ek_track_view *view, const struct ek_config_track *tracks, size_t n);
void ek_track_view_free(struct ek_track_view *view);
/* Before the dumps are read anew. */
void ek_track_view_clear(struct ek_track_view *view);
/*
 * One message of a dump, aligned, whole within its buffer (ek_netlink_message_ok()); links before
 * routes. 0, -EINVAL: malformed, and of no effect; -ENOMEM.
 */
int ek_track_view_add(struct ek_track_view *view, const struct nlmsghdr *message);
/* A notification: may it have changed a verdict? */
bool ek_track_view_concerned(const struct ek_track_view *view, const struct nlmsghdr *message);
/* Has INTERFACES or ROUTE track i failed? `why` tells either way. */
bool ek_track_view_failed(const struct ek_track_view *view, size_t i, char *why, size_t size);
/* Is there a ROUTE track of this family? */
bool ek_track_view_wants_routes(const struct ek_track_view *view, int family);

#endif
