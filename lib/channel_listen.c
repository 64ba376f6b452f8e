/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The peer channel's listening sockets, one for each of the node's own addresses. See
 * channel_private.h; who may come in is decided in channel_peer.c.
 */
#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "channel_private.h"
#include "ip.h"
#include "log.h"

#define BACKLOG	     64
#define TURN_ACCEPTS 16 /* the other sockets have their turn too */

static struct ek_ip address_of(const struct sockaddr_storage *from)
{
	struct ek_ip ip;

	if (from->ss_family == AF_INET)
		return ek_ip_from4(((const struct sockaddr_in *)from)->sin_addr.s_addr);
	memcpy(&ip, &((const struct sockaddr_in6 *)from)->sin6_addr, sizeof(ip));
	return ip;
}

/* Out of descriptors or memory: the connection that waits would wake the loop without end. */
static void pause_accepting(struct ek_channel_listener *listener, int err)
{
	static const struct timeval pause = {.tv_sec = 1};

	ek_warn("channel: cannot accept a connection: %s; trying again in 1 s", strerror(err));
	event_del(listener->event);
	evtimer_add(listener->resume, &pause);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct ek_channel_listener *listener = arg;

	(void)fd;
	(void)what;
	event_add(listener->event, NULL);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct ek_channel_listener *listener = arg;

	(void)what;
	for (int i = 0; i < TURN_ACCEPTS; i++) {
		struct sockaddr_storage from = {0};
		socklen_t length = sizeof(from);
		int conn = accept4(fd, (struct sockaddr *)&from, &length,
				   SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct ek_ip remote;

		if (conn < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM)
				pause_accepting(listener, errno);
			return;
		}
		remote = address_of(&from);
		ek_channel_peer_admit(listener->channel, listener->own, conn, &remote);
	}
}

/*
 * An address that is not there yet (the interface is down, or its IPv6 address still tentative)
 * must not keep a node from starting.
 */
static int bind_even_early(int fd, const struct ek_ip *ip, in_port_t port)
{
	struct sockaddr_storage address;
	socklen_t length = ek_ip_sockaddr(ip, port, &address);
	bool v6 = address.ss_family == AF_INET6;
	char text[EK_IP_TEXT];
	int one = 1;

	if (bind(fd, (struct sockaddr *)&address, length) == 0)
		return 0;
	if (errno != EADDRNOTAVAIL ||
	    setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, &one,
		       sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&address, length))
		return -errno;
	ek_warn("channel: own address %s is on no interface yet; peers can reach it once it is",
		ek_ip_format(ip, text));
	return 0;
}

static int make_socket(const struct ek_ip *ip, in_port_t port)
{
	int family = ek_ip_family(ip), one = 1, err = 0;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))))
		err = -errno;
	if (!err)
		err = bind_even_early(fd, ip, port);
	if (!err && listen(fd, BACKLOG))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int ek_channel_listen(struct ek_channel *channel, size_t own, struct ek_error *error)
{
	struct ek_channel_listener *listener = &channel->listeners[own];
	int fd = make_socket(&channel->own[own], channel->port);
	char text[EK_IP_TEXT];

	listener->channel = channel;
	listener->own = own;
	if (fd < 0) {
		ek_error_set(error, "cannot listen for peers on %s port %u: %s",
			     ek_ip_format(&channel->own[own], text), channel->port, strerror(-fd));
		return fd;
	}
	listener->event = event_new(channel->settings.base, fd, EV_READ | EV_PERSIST, on_acceptable,
				    listener);
	listener->resume = evtimer_new(channel->settings.base, on_resume, listener);
	if (!listener->event)
		close(fd);
	if (listener->event && listener->resume && event_add(listener->event, NULL) == 0)
		return 0;
	ek_error_set(error, "out of memory");
	return -ENOMEM;
}

void ek_channel_listener_close(struct ek_channel_listener *listener)
{
	if (listener->resume)
		event_free(listener->resume);
	if (!listener->event)
		return;
	int fd = event_get_fd(listener->event);

	event_free(listener->event);
	close(fd);
}
