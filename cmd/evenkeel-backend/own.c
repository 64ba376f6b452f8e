/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <event2/event.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include "ip.h"
#include "own.h"

struct own_watch {
	struct mnl_socket *socket;
	struct event *event;
	own_changed changed;
	void *arg;
};

/* What the messages say does not matter, nor that some were lost: the list is read anew. */
static void on_message(evutil_socket_t fd, short events, void *arg)
{
	struct own_watch *watch = arg;
	char buffer[8192]; /* the size that libmnl asks for */

	(void)fd, (void)events;
	while (mnl_socket_recvfrom(watch->socket, buffer, sizeof(buffer)) >= 0 || errno == ENOBUFS)
		;
	watch->changed(watch->arg);
}

struct own_watch *own_watch_new(struct event_base *base, own_changed changed, void *arg)
{
	struct own_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->changed = changed;
	watch->arg = arg;
	watch->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (watch->socket &&
	    !mnl_socket_bind(watch->socket, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
			     MNL_SOCKET_AUTOPID))
		watch->event = event_new(base, mnl_socket_get_fd(watch->socket),
					 EV_READ | EV_PERSIST, on_message, watch);
	if (watch->event && !event_add(watch->event, NULL))
		return watch;
	own_watch_free(watch);
	return NULL;
}

void own_watch_free(struct own_watch *watch)
{
	if (!watch)
		return;
	if (watch->event)
		event_free(watch->event);
	if (watch->socket)
		mnl_socket_close(watch->socket);
	free(watch);
}

/* False: not an address of IP. */
static bool from_sockaddr(const struct sockaddr *address, struct ek_ip *out)
{
	if (address && address->sa_family == AF_INET)
		*out = ek_ip_from4(((const struct sockaddr_in *)address)->sin_addr.s_addr);
	else if (address && address->sa_family == AF_INET6)
		memcpy(out, &((const struct sockaddr_in6 *)address)->sin6_addr, sizeof(*out));
	else
		return false;
	return true;
}

int own_list(struct ek_ip *out, size_t max, const struct ek_ip *except, size_t n_except)
{
	struct ifaddrs *list;
	size_t n = 0;

	if (getifaddrs(&list))
		return -errno;
	for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
		struct ek_ip ip;
		size_t e = 0;

		if (!from_sockaddr(i->ifa_addr, &ip) || ek_ip_unusable(&ip))
			continue;
		while (e < n_except && !ek_ip_equal(&except[e], &ip))
			e++;
		if (e < n_except)
			continue;
		if (n < max)
			out[n] = ip;
		n++;
	}
	freeifaddrs(list);
	return n;
}
