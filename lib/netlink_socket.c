/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rtnetlink sockets over libmnl: opening, one datagram, one request with its answer (netlink(7)).
 * netlink.c, announce.c and track.c are the users. rtnetlink works a request off inside the system
 * call that sends it, so the answer is there when it returns; the receive timeout is for a kernel
 * that fails to.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <libmnl/libmnl.h>
#include "netlink_parse.h"
#include "netlink_socket.h"

#define EVENT_BUFFER (4 << 20)

static int open_socket(struct ek_netlink_socket *self, int flags)
{
	self->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags);
	if (!self->socket || mnl_socket_bind(self->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	return 0;
}

int ek_netlink_socket_open_requests(struct ek_netlink_socket *self)
{
	const struct timeval patience = {.tv_sec = 1};
	int status = open_socket(self, 0);

	if (!status && setsockopt(ek_netlink_socket_fd(self), SOL_SOCKET, SO_RCVTIMEO, &patience,
				  sizeof(patience)) < 0)
		status = -errno;
	return status;
}

int ek_netlink_socket_open_events(struct ek_netlink_socket *self, const int *groups, size_t count)
{
	int size = EVENT_BUFFER, fd, status = open_socket(self, SOCK_NONBLOCK);

	if (status)
		return status;
	/* Without CAP_NET_ADMIN in the first namespace: as much as rmem_max allows. */
	fd = ek_netlink_socket_fd(self);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	for (size_t i = 0; i < count; i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			       sizeof(groups[i])) < 0)
			return -errno;
	return 0;
}

void ek_netlink_socket_close(struct ek_netlink_socket *self)
{
	if (self->socket)
		mnl_socket_close(self->socket);
	self->socket = NULL;
}

int ek_netlink_socket_fd(const struct ek_netlink_socket *self)
{
	return mnl_socket_get_fd(self->socket);
}

int ek_netlink_receive(struct ek_netlink_socket *self)
{
	struct sockaddr_nl from;
	socklen_t from_size;
	ssize_t length;

	do {
		from_size = sizeof(from);
		length = recvfrom(ek_netlink_socket_fd(self), self->buffer, sizeof(self->buffer),
				  MSG_TRUNC, (struct sockaddr *)&from, &from_size);
	} while ((length < 0 && errno == EINTR) || (length >= 0 && from.nl_pid != 0));
	if (length < 0)
		return -errno;
	return (size_t)length > sizeof(self->buffer) ? -EMSGSIZE : length;
}

/* What one message of an answer means: 1 go on, 0 that was all, -errno as the kernel says. */
static int answer(const struct nlmsghdr *message, ek_netlink_each each, void *arg)
{
	if (message->nlmsg_type == NLMSG_DONE)
		return 0;
	if (message->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);

		if (mnl_nlmsg_get_payload_len(message) < sizeof(*error))
			return -EBADMSG;
		return error->error;
	}
	if (each)
		each(message, arg);
	return 1;
}

int ek_netlink_ask(struct ek_netlink_socket *self, struct nlmsghdr *request, ek_netlink_each each,
		   void *arg)
{
	const uint32_t sequence = ++self->sequence;
	bool overtaken = false;
	int status = 1;

	request->nlmsg_seq = sequence;
	if (mnl_socket_sendto(self->socket, request, request->nlmsg_len) < 0)
		return -errno;
	while (status > 0) {
		const struct nlmsghdr *reply = (const void *)self->buffer;
		int left = ek_netlink_receive(self);

		if (left < 0)
			return left;
		for (; status > 0 && ek_netlink_message_ok(reply, left);
		     reply = mnl_nlmsg_next(reply, &left)) {
			/* The late answer to a request that had timed out. */
			if (reply->nlmsg_seq != sequence)
				continue;
			if (reply->nlmsg_flags & NLM_F_DUMP_INTR)
				overtaken = true;
			status = answer(reply, each, arg);
		}
	}
	return status ? status : overtaken ? -EINTR : 0;
}

bool ek_netlink_is_transient(int status)
{
	switch (status) {
	case -EAGAIN:
	case -EINTR:
	case -ENOBUFS:
	case -ENOMEM:
	case -EMSGSIZE:
	case -EBADMSG:
		return true;
	default:
		return false;
	}
}
