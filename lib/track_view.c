/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracked interfaces and routes as rtnetlink(7) dumps show them; see track_view.h. Every length is
 * checked here, as in netlink_parse.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <net/if.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include "ip.h"
#include "netlink.h"
#include "netlink_parse.h"
#include "track_view.h"

int ek_track_view_init(struct ek_track_view *view, const struct ek_config_track *tracks, size_t n)
{
	*view = (struct ek_track_view){.tracks = tracks, .n_tracks = n};
	view->routes = calloc(n ? n : 1, sizeof(*view->routes));
	return view->routes ? 0 : -ENOMEM;
}

void ek_track_view_free(struct ek_track_view *view)
{
	free(view->links);
	free(view->routes);
}

void ek_track_view_clear(struct ek_track_view *view)
{
	view->n_links = 0;
	memset(view->routes, 0, view->n_tracks * sizeof(*view->routes));
}

/* --- messages ------------------------------------------------------------------------------- */

/* NULL when the message is too short for its fixed header. */
static const void *fixed_header(const struct nlmsghdr *message, size_t size)
{
	return message->nlmsg_len >= MNL_NLMSG_HDRLEN + size ? mnl_nlmsg_get_payload(message)
							     : NULL;
}

/* The last one of that type, or NULL. */
static const struct nlattr *find(const struct nlmsghdr *message, size_t header, uint16_t type)
{
	const struct nlattr *attribute, *found = NULL;

	mnl_attr_for_each(attribute, message, header) if (mnl_attr_get_type(attribute) == type)
		found = attribute;
	return found;
}

static uint32_t get_u32(const struct nlattr *attribute, uint32_t otherwise)
{
	if (!attribute || mnl_attr_get_payload_len(attribute) < sizeof(otherwise))
		return otherwise;
	return mnl_attr_get_u32(attribute);
}

static int add_link(struct ek_track_view *view, const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = fixed_header(message, sizeof(*info));
	const struct nlattr *name = info ? find(message, sizeof(*info), IFLA_IFNAME) : NULL;
	struct ek_track_link *link;

	if (!name || mnl_attr_validate(name, MNL_TYPE_NUL_STRING) < 0 ||
	    mnl_attr_get_payload_len(name) > IFNAMSIZ)
		return -EINVAL;
	if (view->n_links == view->room) {
		size_t room = view->room ? 2 * view->room : 16;

		link = realloc(view->links, room * sizeof(*link));
		if (!link)
			return -ENOMEM;
		view->links = link;
		view->room = room;
	}
	link = &view->links[view->n_links++];
	*link = (struct ek_track_link){.ifindex = info->ifi_index, .flags = info->ifi_flags};
	strncpy(link->name, mnl_attr_get_str(name), IFNAMSIZ - 1);
	return 0;
}

static bool works(const struct ek_track_link *link)
{
	const unsigned int want = IFF_UP | IFF_RUNNING;

	return link && (link->flags & want) == want;
}

static const struct ek_track_link *link_by_index(const struct ek_track_view *view, int ifindex)
{
	for (size_t i = 0; i < view->n_links; i++)
		if (view->links[i].ifindex == ifindex)
			return &view->links[i];
	return NULL;
}

static const struct ek_track_link *link_by_name(const struct ek_track_view *view, const char *name)
{
	for (size_t i = 0; i < view->n_links; i++)
		if (!strcmp(view->links[i].name, name))
			return &view->links[i];
	return NULL;
}

static struct ek_track_route judge_hop(const struct ek_track_view *view, int ifindex,
				       unsigned int flags)
{
	if ((flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) || !works(link_by_index(view, ifindex)))
		return (struct ek_track_route){.state = EK_TRACK_ROUTE_DEAD};
	return (struct ek_track_route){.state = EK_TRACK_ROUTE_WORKS, .ifindex = ifindex};
}

static struct ek_track_route judge_hops(const struct ek_track_view *view, const struct nlattr *hops)
{
	struct ek_track_route best = {.state = EK_TRACK_ROUTE_DEAD};
	const char *at = mnl_attr_get_payload(hops);
	size_t left = mnl_attr_get_payload_len(hops);

	while (left >= sizeof(struct rtnexthop) && best.state != EK_TRACK_ROUTE_WORKS) {
		const struct rtnexthop *hop = (const void *)at;
		size_t step = RTNH_ALIGN(hop->rtnh_len);

		if (hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > left)
			break;
		best = judge_hop(view, hop->rtnh_ifindex, hop->rtnh_flags);
		if (step > left)
			break;
		at += step;
		left -= step;
	}
	return best;
}

static struct ek_track_route judge_route(const struct ek_track_view *view,
					 const struct nlmsghdr *message, const struct rtmsg *info)
{
	const struct nlattr *hops = find(message, sizeof(*info), RTA_MULTIPATH);
	const struct nlattr *oif = find(message, sizeof(*info), RTA_OIF);

	if (info->rtm_type != RTN_UNICAST)
		return (struct ek_track_route){.state = EK_TRACK_ROUTE_FORBIDS};
	if (hops)
		return judge_hops(view, hops);
	if (!oif && find(message, sizeof(*info), RTA_NH_ID))
		return (struct ek_track_route){.state = EK_TRACK_ROUTE_WORKS};
	return judge_hop(view, get_u32(oif, 0), info->rtm_flags);
}

/* IPv4 prefixes are v4-mapped in both: 0.0.0.0/0 and ::ffff:0:0/96 differ by family only. */
static bool is_about(const struct ek_config_track *track, int family,
		     const struct ek_netlink_prefix *prefix)
{
	unsigned int length = track->prefix_length + (family == AF_INET ? 96 : 0);

	return track->kind == EK_TRACK_ROUTE && ek_ip_family(&track->prefix) == family &&
	       length == prefix->length && ek_ip_equal(&track->prefix, &prefix->address);
}

static int add_route(struct ek_track_view *view, const struct nlmsghdr *message)
{
	const struct rtmsg *info = fixed_header(message, sizeof(*info));
	struct ek_netlink_prefix prefix;
	int status = ek_netlink_parse_prefix(message, &prefix);

	if (status)
		return status == -ENOENT ? 0 : status;
	if (get_u32(find(message, sizeof(*info), RTA_TABLE), info->rtm_table) != RT_TABLE_MAIN ||
	    info->rtm_protocol == EK_NETLINK_PROTOCOL || info->rtm_src_len || info->rtm_tos ||
	    (info->rtm_flags & RTM_F_CLONED))
		return 0;
	for (size_t i = 0; i < view->n_tracks; i++) {
		struct ek_track_route route;

		if (!is_about(&view->tracks[i], info->rtm_family, &prefix))
			continue;
		route = judge_route(view, message, info);
		if (route.state > view->routes[i].state)
			view->routes[i] = route;
	}
	return 0;
}

int ek_track_view_add(struct ek_track_view *view, const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
		return add_link(view, message);
	case RTM_NEWROUTE:
		return add_route(view, message);
	default:
		return 0;
	}
}

bool ek_track_view_wants_routes(const struct ek_track_view *view, int family)
{
	for (size_t i = 0; i < view->n_tracks; i++)
		if (view->tracks[i].kind == EK_TRACK_ROUTE &&
		    ek_ip_family(&view->tracks[i].prefix) == family)
			return true;
	return false;
}

bool ek_track_view_concerned(const struct ek_track_view *view, const struct nlmsghdr *message)
{
	const struct rtmsg *info;
	struct ek_netlink_prefix prefix;

	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return true;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (ek_netlink_parse_prefix(message, &prefix))
			return false;
		info = mnl_nlmsg_get_payload(message);
		for (size_t i = 0; i < view->n_tracks; i++)
			if (is_about(&view->tracks[i], info->rtm_family, &prefix))
				return true;
		return false;
	default:
		/* Addresses and next hop objects: routes go with them, some in silence. */
		return ek_track_view_wants_routes(view, AF_INET) ||
		       ek_track_view_wants_routes(view, AF_INET6);
	}
}

/* --- verdicts ------------------------------------------------------------------------------- */

static const char *link_text(const struct ek_track_link *link)
{
	if (!link)
		return "is absent";
	if (!(link->flags & IFF_UP))
		return "is down";
	if (!(link->flags & IFF_LOWER_UP))
		return "has no carrier";
	return works(link) ? "is up" : "is not running";
}

static bool interfaces_failed(const struct ek_track_view *view, const struct ek_config_track *track,
			      char *why, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < track->n_interfaces; i++) {
		const char *name = track->interfaces[i];
		const struct ek_track_link *link = link_by_name(view, name);

		if (works(link)) {
			snprintf(why, size, "%s is up", name);
			return false;
		}
		if (used < size)
			used += snprintf(why + used, size - used, "%s%s %s", i ? ", " : "", name,
					 link_text(link));
	}
	return true;
}

static bool route_failed(const struct ek_track_view *view, size_t i, char *why, size_t size)
{
	const struct ek_track_route *route = &view->routes[i];
	const struct ek_track_link *link = link_by_index(view, route->ifindex);
	char to[EK_IP_TEXT];

	ek_ip_format(&view->tracks[i].prefix, to);
	switch (route->state) {
	case EK_TRACK_ROUTE_ABSENT:
		snprintf(why, size, "no route to %s/%u", to, view->tracks[i].prefix_length);
		return true;
	case EK_TRACK_ROUTE_FORBIDS:
		snprintf(why, size, "the route to %s/%u leads nowhere", to,
			 view->tracks[i].prefix_length);
		return true;
	case EK_TRACK_ROUTE_DEAD:
		snprintf(why, size, "the route to %s/%u has no next hop that is up", to,
			 view->tracks[i].prefix_length);
		return true;
	case EK_TRACK_ROUTE_WORKS:
		snprintf(why, size, "route to %s/%u%s%s", to, view->tracks[i].prefix_length,
			 link ? " through " : "", link ? link->name : "");
		return false;
	}
	return true;
}

bool ek_track_view_failed(const struct ek_track_view *view, size_t i, char *why, size_t size)
{
	const struct ek_config_track *track = &view->tracks[i];

	return track->kind == EK_TRACK_ROUTE ? route_failed(view, i, why, size)
					     : interfaces_failed(view, track, why, size);
}
