/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's links, routes and neighbours, as far as somebody watches them (rtnetlink(7)).
 *
 * Two sockets. `events` is subscribed, non-blocking and read from the loop; a message is a hint
 * about what to look at again: links as a whole, the destinations inside a route's prefix, one
 * neighbour (whose message already holds the answer). `request` asks and waits for the answer.
 *
 *   watch        a destination, with the next hop last worked out for it       (sorted by address)
 *   neighbour    an entry (interface, address) that watches go through, asked for when the first
 *                one comes and let go when the last one leaves                  (sorted by key)
 *   links        a copy of the kernel's, replaced whole                        (sorted by ifindex)
 *   addresses    the same                                                  (in the kernel's order)
 *
 * on_settle() runs once, 10 ms after the first message of a burst: it does what the hints ask for,
 * in slices, and then calls `changed` if anything came out different. on_tend() runs every 5 s, for
 * what the kernel does not announce or what failed. Nothing here gives up for good.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <event2/event.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include "ip.h"
#include "netlink.h"
#include "netlink_parse.h"
#include "netlink_socket.h"
#include "sorted.h"

#define SETTLE_MS      10
#define SLICE	       256 /* requests to the kernel before other events get their turn */
#define TEND_S	       5
#define TENDS_PER_LOOK 6    /* every 30 s all is looked up again: path MTUs, redirects */
#define ASK_AGAIN_MS   1000 /* a neighbour is not asked for more often */
#define READS_PER_TURN 64

struct neighbour {
	struct ek_netlink_neighbour entry; /* as the kernel had it last */
	bool stale;			   /* a message about it may have been lost */
	uint64_t asked_ms;		   /* 0 = never */
	LIST_HEAD(, watch) users;
};

struct watch {
	struct ek_ip destination;
	struct ek_nexthop nexthop;
	unsigned int count;
	bool stale;		       /* to be looked up again */
	struct neighbour *neighbour;   /* NULL unless the route leads to one */
	LIST_ENTRY(watch) other_users; /* of that neighbour */
};

struct addresses {
	struct ek_netlink_address *list;
	size_t n, room;
};

struct ek_netlink {
	struct ek_netlink_socket events, request;
	struct event *readable, *settle, *tend;
	ek_netlink_changed changed;
	void *arg;
	struct ek_sorted links, watches, neighbours;
	struct addresses addresses;
	unsigned int tends;
	bool links_stale;
	bool announce; /* something changed that `changed` was not called for yet */
};

static const struct timeval settle_soon = {.tv_usec = SETTLE_MS * 1000};
static const struct timeval settle_next_turn;

/* --- keys ----------------------------------------------------------------------------------- */

static int compare_link(const void *key, const void *item)
{
	const int *ifindex = key;
	const struct ek_link *link = item;

	return (*ifindex > link->ifindex) - (*ifindex < link->ifindex);
}

static int compare_watch(const void *key, const void *item)
{
	const struct watch *watch = item;

	return ek_ip_compare(key, &watch->destination);
}

/* The key is a struct ek_netlink_neighbour of which only ifindex and address count. */
static int compare_neighbour(const void *key, const void *item)
{
	const struct ek_netlink_neighbour *wanted = key;
	const struct neighbour *neighbour = item;

	if (wanted->ifindex != neighbour->entry.ifindex)
		return wanted->ifindex < neighbour->entry.ifindex ? -1 : 1;
	return ek_ip_compare(&wanted->address, &neighbour->entry.address);
}

static void schedule(struct ek_netlink *netlink, const struct timeval *delay)
{
	/* A stream of messages must not put it off again and again. */
	if (!evtimer_pending(netlink->settle, NULL))
		evtimer_add(netlink->settle, delay);
}

/* --- links ---------------------------------------------------------------------------------- */

struct link_reading {
	struct ek_sorted *links;
	struct addresses *addresses;
	int status;
};

static void add_link(const struct nlmsghdr *message, void *arg)
{
	struct link_reading *reading = arg;
	struct ek_link link, *copy;

	if (ek_netlink_parse_link(message, &link) || ek_sorted_find(reading->links, &link.ifindex))
		return;
	copy = malloc(sizeof(*copy));
	if (copy) {
		memcpy(copy, &link, sizeof(link));
		if (ek_sorted_insert(reading->links, &link.ifindex, copy) == 0)
			return;
		free(copy);
	}
	reading->status = -ENOMEM;
}

static int keep_address(struct addresses *addresses, const struct ek_netlink_address *address)
{
	if (addresses->n == addresses->room) {
		size_t room = addresses->room ? 2 * addresses->room : 16;
		void *list = reallocarray(addresses->list, room, sizeof(*addresses->list));

		if (!list)
			return -ENOMEM;
		addresses->list = list;
		addresses->room = room;
	}
	memcpy(&addresses->list[addresses->n++], address, sizeof(*address));
	return 0;
}

static void add_address(const struct nlmsghdr *message, void *arg)
{
	struct link_reading *reading = arg;
	struct ek_netlink_address address;
	struct ek_ip *slot;
	struct ek_link *link;

	if (ek_netlink_parse_address(message, &address))
		return;
	link = ek_sorted_find(reading->links, &address.ifindex);
	if (!link)
		return;
	if (keep_address(reading->addresses, &address))
		reading->status = -ENOMEM;
	if (!address.source)
		return;
	slot = ek_ip_family(&address.address) == AF_INET ? &link->address4 : &link->address6;
	if (ek_ip_is_zero(slot))
		*slot = address.address;
}

static bool same_links(const struct ek_sorted *a, const struct ek_sorted *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (memcmp(a->item[i], b->item[i], sizeof(struct ek_link)))
			return false;
	return true;
}

static bool same_addresses(const struct addresses *a, const struct addresses *b)
{
	return a->n == b->n && (!a->n || !memcmp(a->list, b->list, a->n * sizeof(*a->list)));
}

static int read_links(struct ek_netlink_socket *socket, struct link_reading *reading)
{
	_Alignas(struct nlmsghdr) char buffer[EK_NETLINK_REQUEST];
	struct nlmsghdr *request = ek_netlink_put_dump(buffer, RTM_GETLINK);
	int status = ek_netlink_ask(socket, request, add_link, reading);

	if (status)
		return status;
	request = ek_netlink_put_dump(buffer, RTM_GETADDR);
	status = ek_netlink_ask(socket, request, add_address, reading);
	return status ? status : reading->status;
}

/* Reads all links and their addresses anew, if there is reason to. */
static int refresh_links(struct ek_netlink *netlink)
{
	struct ek_sorted links = {.compare = compare_link};
	struct addresses addresses = {0};
	struct link_reading reading = {.links = &links, .addresses = &addresses};
	int status;

	if (!netlink->links_stale)
		return 0;
	status = read_links(&netlink->request, &reading);
	if (status) {
		ek_sorted_free(&links);
		free(addresses.list);
		return status;
	}
	netlink->links_stale = false;
	netlink->announce |= !same_links(&links, &netlink->links) ||
			     !same_addresses(&addresses, &netlink->addresses);
	ek_sorted_free(&netlink->links);
	free(netlink->addresses.list);
	netlink->links = links;
	netlink->addresses = addresses;
	return 0;
}

/* --- neighbours ----------------------------------------------------------------------------- */

/* Brings state and MAC of a next hop up to date with its neighbour, and notes if they changed. */
static void set_nexthop(struct ek_netlink *netlink, struct watch *watch, struct ek_nexthop *next)
{
	const struct neighbour *neighbour = watch->neighbour;

	memset(next->mac, 0, sizeof(next->mac));
	if (neighbour && ek_netlink_neighbour_usable(&neighbour->entry)) {
		next->state = EK_NEXTHOP_OK;
		memcpy(next->mac, neighbour->entry.mac, sizeof(next->mac));
	} else if (neighbour) {
		next->state = EK_NEXTHOP_NO_NEIGHBOUR;
	}
	netlink->announce |= memcmp(next, &watch->nexthop, sizeof(*next)) != 0;
	memcpy(&watch->nexthop, next, sizeof(*next));
}

static void set_entry(struct ek_netlink *netlink, struct neighbour *neighbour,
		      const struct ek_netlink_neighbour *entry)
{
	struct watch *watch;

	/* What worked and no longer does is asked for at once, however recently it was before. */
	if (ek_netlink_neighbour_usable(&neighbour->entry) && !ek_netlink_neighbour_usable(entry))
		neighbour->asked_ms = 0;
	neighbour->entry = *entry;
	LIST_FOREACH(watch, &neighbour->users, other_users)
	{
		struct ek_nexthop next;

		memcpy(&next, &watch->nexthop, sizeof(next));
		set_nexthop(netlink, watch, &next);
	}
}

static void take_entry(const struct nlmsghdr *message, void *arg)
{
	struct ek_netlink_neighbour entry, *wanted = arg;

	if (ek_netlink_parse_neighbour(message, &entry) == 0 && entry.ifindex == wanted->ifindex &&
	    ek_ip_equal(&entry.address, &wanted->address))
		*wanted = entry;
}

static int read_neighbour(struct ek_netlink *netlink, struct neighbour *neighbour)
{
	_Alignas(struct nlmsghdr) char buffer[EK_NETLINK_REQUEST];
	struct ek_netlink_neighbour entry = {
		.ifindex = neighbour->entry.ifindex,
		.address = neighbour->entry.address,
	};
	struct nlmsghdr *request = ek_netlink_put_neighbour(buffer, entry.ifindex, &entry.address);
	int status = ek_netlink_ask(&netlink->request, request, take_entry, &entry);

	neighbour->stale = ek_netlink_is_transient(status);
	if (neighbour->stale)
		return status;
	/* Any other error: there is no such entry. */
	set_entry(netlink, neighbour, &entry);
	return 0;
}

/* A failure is not reported: the entry read afterwards shows it, and on_settle() asks again. */
static void manage(struct ek_netlink *netlink, const struct ek_netlink_neighbour *entry, bool on)
{
	_Alignas(struct nlmsghdr) char buffer[EK_NETLINK_REQUEST];
	struct nlmsghdr *request =
		ek_netlink_put_manage(buffer, entry->ifindex, &entry->address, on);

	ek_netlink_ask(&netlink->request, request, NULL, NULL);
}

/* Fixed by an administrator, or kept by another program. */
static bool belongs_to_others(const struct ek_netlink_neighbour *entry)
{
	return entry->learned || (entry->state & (NUD_PERMANENT | NUD_NOARP)) ||
	       (entry->managed && entry->protocol != EK_NETLINK_PROTOCOL);
}

/* The kernel is not at it, and we may make it. */
static bool wants_asking(const struct ek_netlink_neighbour *entry)
{
	const uint16_t at_it = NUD_INCOMPLETE | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE;

	return !belongs_to_others(entry) && !(entry->managed && (entry->state & at_it));
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Gets the neighbour resolved, if it is not. Reads the entry first, since asking would ruin one
 * that has become permanent; and afterwards, to know what came of it.
 */
static int pursue(struct ek_netlink *netlink, struct neighbour *neighbour)
{
	int status = read_neighbour(netlink, neighbour);

	if (status || !wants_asking(&neighbour->entry))
		return status;
	neighbour->asked_ms = now_ms();
	manage(netlink, &neighbour->entry, true);
	return read_neighbour(netlink, neighbour);
}

static int refresh_neighbours(struct ek_netlink *netlink, unsigned int *budget)
{
	const uint64_t now = now_ms();

	for (size_t i = 0; i < netlink->neighbours.count && *budget; i++) {
		struct neighbour *neighbour = netlink->neighbours.item[i];
		bool may_ask = !neighbour->asked_ms || now - neighbour->asked_ms >= ASK_AGAIN_MS;
		int status = 0;

		if (may_ask && wants_asking(&neighbour->entry))
			status = pursue(netlink, neighbour);
		else if (neighbour->stale)
			status = read_neighbour(netlink, neighbour);
		else
			continue;
		if (status)
			return status;
		--*budget;
	}
	return 0;
}

static struct neighbour *take_neighbour(struct ek_netlink *netlink, int ifindex,
					const struct ek_ip *address)
{
	const struct ek_netlink_neighbour key = {.ifindex = ifindex, .address = *address};
	struct neighbour *neighbour = ek_sorted_find(&netlink->neighbours, &key);

	if (neighbour)
		return neighbour;
	neighbour = calloc(1, sizeof(*neighbour));
	if (!neighbour)
		return NULL;
	neighbour->entry = key;
	LIST_INIT(&neighbour->users);
	if (ek_sorted_insert(&netlink->neighbours, &key, neighbour)) {
		free(neighbour);
		return NULL;
	}
	pursue(netlink, neighbour);
	return neighbour;
}

/* Nobody goes through it any more. */
static void drop_neighbour(struct ek_netlink *netlink, struct neighbour *neighbour)
{
	const struct ek_netlink_neighbour *entry = &neighbour->entry;

	if (read_neighbour(netlink, neighbour) == 0 && entry->managed && !belongs_to_others(entry))
		manage(netlink, entry, false);
	ek_sorted_remove(&netlink->neighbours, entry);
	free(neighbour);
}

/* --- watches -------------------------------------------------------------------------------- */

static void take_route(const struct nlmsghdr *message, void *arg)
{
	ek_netlink_parse_route(message, arg);
}

static int look_up(struct ek_netlink *netlink, const struct ek_ip *destination,
		   struct ek_netlink_route *route)
{
	_Alignas(struct nlmsghdr) char buffer[EK_NETLINK_REQUEST];
	struct nlmsghdr *request = ek_netlink_put_route(buffer, destination);
	int status;

	*route = (struct ek_netlink_route){.state = EK_NEXTHOP_NO_ROUTE};
	status = ek_netlink_ask(&netlink->request, request, take_route, route);
	/* ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL: how the kernel tells routes that forbid. */
	return ek_netlink_is_transient(status) ? status : 0;
}

static void leave_neighbour(struct ek_netlink *netlink, struct watch *watch)
{
	struct neighbour *neighbour = watch->neighbour;

	if (!neighbour)
		return;
	LIST_REMOVE(watch, other_users);
	watch->neighbour = NULL;
	if (LIST_EMPTY(&neighbour->users))
		drop_neighbour(netlink, neighbour);
}

static int set_neighbour(struct ek_netlink *netlink, struct watch *watch, int ifindex,
			 const struct ek_ip *address)
{
	struct neighbour *neighbour = take_neighbour(netlink, ifindex, address);

	if (!neighbour)
		return -ENOMEM;
	if (neighbour == watch->neighbour)
		return 0;
	leave_neighbour(netlink, watch);
	LIST_INSERT_HEAD(&neighbour->users, watch, other_users);
	watch->neighbour = neighbour;
	return 0;
}

/* Asks the kernel for the route to one destination and follows it. */
static int refresh_watch(struct ek_netlink *netlink, struct watch *watch)
{
	struct ek_netlink_route route;
	const struct ek_link *link;
	struct ek_nexthop next;
	int status = look_up(netlink, &watch->destination, &route);

	if (status)
		return status;
	/* Cleared whole, padding too: next hops are compared as bytes. */
	memset(&next, 0, sizeof(next));
	next.state = route.state;
	next.ifindex = route.ifindex;
	next.source = route.source;
	next.mtu = route.mtu;
	link = ek_sorted_find(&netlink->links, &route.ifindex);
	if (link && (!next.mtu || next.mtu > link->mtu))
		next.mtu = link->mtu;
	if (route.state == EK_NEXTHOP_NO_NEIGHBOUR) {
		next.gateway = ek_ip_is_zero(&route.gateway) ? watch->destination : route.gateway;
		status = set_neighbour(netlink, watch, next.ifindex, &next.gateway);
		if (status)
			return status;
	} else {
		leave_neighbour(netlink, watch);
	}
	set_nexthop(netlink, watch, &next);
	watch->stale = false;
	return 0;
}

static int refresh_watches(struct ek_netlink *netlink, unsigned int *budget)
{
	for (size_t i = 0; i < netlink->watches.count && *budget; i++) {
		struct watch *watch = netlink->watches.item[i];
		int status;

		if (!watch->stale)
			continue;
		status = refresh_watch(netlink, watch);
		if (status)
			return status;
		--*budget;
	}
	return 0;
}

/* --- events --------------------------------------------------------------------------------- */

static void look_at_all(struct ek_netlink *netlink)
{
	for (size_t i = 0; i < netlink->watches.count; i++)
		((struct watch *)netlink->watches.item[i])->stale = true;
	schedule(netlink, &settle_soon);
}

static void look_at_links(struct ek_netlink *netlink)
{
	/* Even if no link turns out different: routes go silently when their interface blinks. */
	netlink->links_stale = true;
	look_at_all(netlink);
}

static void look_at_everything(struct ek_netlink *netlink)
{
	for (size_t i = 0; i < netlink->neighbours.count; i++)
		((struct neighbour *)netlink->neighbours.item[i])->stale = true;
	look_at_links(netlink);
}

/* A route came or went: its destinations are neighbours in the sorted set. */
static void note_route(struct ek_netlink *netlink, const struct nlmsghdr *message)
{
	struct ek_netlink_prefix prefix;

	if (ek_netlink_parse_prefix(message, &prefix))
		return;
	for (size_t i = ek_sorted_lower(&netlink->watches, &prefix.address);
	     i < netlink->watches.count; i++) {
		struct watch *watch = netlink->watches.item[i];

		if (!ek_netlink_prefix_covers(&prefix, &watch->destination))
			break;
		watch->stale = true;
		schedule(netlink, &settle_soon);
	}
}

static void note_neighbour(struct ek_netlink *netlink, const struct nlmsghdr *message)
{
	struct ek_netlink_neighbour entry;
	struct neighbour *neighbour;

	if (ek_netlink_parse_neighbour(message, &entry))
		return;
	neighbour = ek_sorted_find(&netlink->neighbours, &entry);
	if (!neighbour)
		return;
	set_entry(netlink, neighbour, &entry);
	schedule(netlink, &settle_soon);
}

/* Takes a hint. What it leads to is done in on_settle(), once for all of them. */
static void note(struct ek_netlink *netlink, const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
	case RTM_NEWADDR:
	case RTM_DELADDR:
		look_at_links(netlink);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		note_route(netlink, message);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		note_neighbour(netlink, message);
		break;
	case RTM_NEWRULE:
	case RTM_DELRULE:
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		look_at_all(netlink);
		break;
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct ek_netlink *netlink = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < READS_PER_TURN; i++) {
		const struct nlmsghdr *message = (const void *)netlink->events.buffer;
		int left = ek_netlink_receive(&netlink->events);

		if (left == -EAGAIN)
			return;
		if (left < 0)
			look_at_everything(netlink);
		for (; left > 0 && ek_netlink_message_ok(message, left);
		     message = mnl_nlmsg_next(message, &left))
			note(netlink, message);
	}
}

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct ek_netlink *netlink = arg;
	unsigned int budget = SLICE;
	int status;

	(void)fd;
	(void)what;
	status = refresh_links(netlink);
	if (!status)
		status = refresh_neighbours(netlink, &budget);
	if (!status)
		status = refresh_watches(netlink, &budget);
	/* Another failure waits for on_tend(). */
	if (status == -EINTR)
		schedule(netlink, &settle_soon);
	else if (!budget)
		schedule(netlink, &settle_next_turn);
	if (netlink->announce) {
		netlink->announce = false;
		/* Last: it may free us. */
		netlink->changed(netlink->arg);
	}
}

static void on_tend(evutil_socket_t fd, short what, void *arg)
{
	struct ek_netlink *netlink = arg;

	(void)fd;
	(void)what;
	if (++netlink->tends % TENDS_PER_LOOK == 0)
		look_at_all(netlink);
	schedule(netlink, &settle_soon);
}

/* --- interface ------------------------------------------------------------------------------ */

static int start(struct ek_netlink *netlink, struct event_base *base)
{
	static const int groups[] = {
		RTNLGRP_LINK,	     RTNLGRP_NEIGH,	 RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
		RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,	 RTNLGRP_NEXTHOP,
	};
	const struct timeval every = {.tv_sec = TEND_S};
	int status = ek_netlink_socket_open_events(&netlink->events, groups,
						   sizeof(groups) / sizeof(*groups));

	if (!status)
		status = ek_netlink_socket_open_requests(&netlink->request);
	if (status)
		return status;
	netlink->readable = event_new(base, ek_netlink_socket_fd(&netlink->events),
				      EV_READ | EV_PERSIST, on_readable, netlink);
	netlink->settle = evtimer_new(base, on_settle, netlink);
	netlink->tend = event_new(base, -1, EV_PERSIST, on_tend, netlink);
	if (!netlink->readable || !netlink->settle || !netlink->tend)
		return -ENOMEM;
	if (event_add(netlink->readable, NULL) || event_add(netlink->tend, &every))
		return -ENOMEM;
	netlink->links_stale = true;
	status = refresh_links(netlink);
	netlink->announce = false;
	if (status != -EINTR)
		return status;
	/* Links come and go at this moment; the loop will know them. */
	schedule(netlink, &settle_soon);
	return 0;
}

struct ek_netlink *ek_netlink_new(struct event_base *base, ek_netlink_changed changed, void *arg)
{
	struct ek_netlink *netlink = calloc(1, sizeof(*netlink));
	int status;

	if (!netlink)
		return NULL;
	netlink->changed = changed;
	netlink->arg = arg;
	netlink->links.compare = compare_link;
	netlink->watches.compare = compare_watch;
	netlink->neighbours.compare = compare_neighbour;
	status = start(netlink, base);
	if (status) {
		ek_netlink_free(netlink);
		errno = -status;
		return NULL;
	}
	return netlink;
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

void ek_netlink_free(struct ek_netlink *netlink)
{
	if (!netlink)
		return;
	free_event(netlink->readable);
	free_event(netlink->settle);
	free_event(netlink->tend);
	ek_netlink_socket_close(&netlink->events);
	ek_netlink_socket_close(&netlink->request);
	ek_sorted_free(&netlink->links);
	free(netlink->addresses.list);
	ek_sorted_free(&netlink->watches);
	ek_sorted_free(&netlink->neighbours);
	free(netlink);
}

int ek_netlink_watch(struct ek_netlink *netlink, const struct ek_ip *destination)
{
	struct watch *watch = ek_sorted_find(&netlink->watches, destination);
	const bool announce = netlink->announce;
	int status;

	if (watch) {
		watch->count++;
		return 0;
	}
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	watch->destination = *destination;
	watch->count = 1;
	status = ek_sorted_insert(&netlink->watches, destination, watch);
	if (status) {
		free(watch);
		return status;
	}
	status = refresh_watch(netlink, watch);
	/* The caller sees it at once; only later changes are news. */
	netlink->announce = announce;
	if (status)
		ek_netlink_unwatch(netlink, destination);
	return status;
}

void ek_netlink_unwatch(struct ek_netlink *netlink, const struct ek_ip *destination)
{
	struct watch *watch = ek_sorted_find(&netlink->watches, destination);

	if (!watch || --watch->count)
		return;
	leave_neighbour(netlink, watch);
	ek_sorted_remove(&netlink->watches, &watch->destination);
	free(watch);
}

const struct ek_nexthop *ek_netlink_nexthop(const struct ek_netlink *netlink,
					    const struct ek_ip *destination)
{
	const struct watch *watch = ek_sorted_find(&netlink->watches, destination);

	return watch ? &watch->nexthop : NULL;
}

const struct ek_link *ek_netlink_link(const struct ek_netlink *netlink, const char *name)
{
	for (size_t i = 0; i < netlink->links.count; i++) {
		const struct ek_link *link = netlink->links.item[i];

		if (!strcmp(link->name, name))
			return link;
	}
	return NULL;
}

const struct ek_link *ek_netlink_link_by_index(const struct ek_netlink *netlink, int ifindex)
{
	return ek_sorted_find(&netlink->links, &ifindex);
}

size_t ek_netlink_link_count(const struct ek_netlink *netlink)
{
	return netlink->links.count;
}

const struct ek_link *ek_netlink_link_at(const struct ek_netlink *netlink, size_t i)
{
	return netlink->links.item[i];
}

const struct ek_netlink_address *ek_netlink_addresses(const struct ek_netlink *netlink, size_t *n)
{
	*n = netlink->addresses.n;
	return netlink->addresses.list;
}

const char *ek_nexthop_state_text(enum ek_nexthop_state state)
{
	switch (state) {
	case EK_NEXTHOP_NO_ROUTE:
		return "no route";
	case EK_NEXTHOP_IS_LOCAL:
		return "local";
	case EK_NEXTHOP_NO_NEIGHBOUR:
		return "no neighbour";
	case EK_NEXTHOP_OK:
		return "ok";
	}
	return "unknown";
}
