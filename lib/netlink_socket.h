/* SPDX-License-Identifier: GPL-2.0-only */
/* The two kinds of rtnetlink socket: one to ask and wait on, one that events arrive on. */
#ifndef EVENKEEL_NETLINK_SOCKET_H
#define EVENKEEL_NETLINK_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/netlink.h>

/* A zeroed one is closed. Each has its own buffer: asking does not overwrite an event in hand. */
struct ek_netlink_socket {
	struct mnl_socket *socket;
	uint32_t sequence;
	_Alignas(
		struct nlmsghdr) char buffer[32 << 10]; /* a dump comes in pieces of up to 32 KiB */
};

/* 0 or -errno. On failure the socket may be left open, for ek_netlink_socket_close(). */
int ek_netlink_socket_open_requests(struct ek_netlink_socket *self);
int ek_netlink_socket_open_events(struct ek_netlink_socket *self, const int *groups, size_t count);
void ek_netlink_socket_close(struct ek_netlink_socket *self);
int ek_netlink_socket_fd(const struct ek_netlink_socket *self);

/*
 * One datagram from the kernel into the buffer: its length, or -errno. -EAGAIN: nothing there (or
 * no answer within a second); -ENOBUFS, -EMSGSIZE: messages were lost.
 */
int ek_netlink_receive(struct ek_netlink_socket *self);

typedef void (*ek_netlink_each)(const struct nlmsghdr *message, void *arg);

/*
 * Sends a request (a dump, or one with NLM_F_ACK) and calls `each` for every message of the answer.
 * 0 or -errno: the kernel's, or -EINTR when a dump was overtaken by a change.
 */
int ek_netlink_ask(struct ek_netlink_socket *self, struct nlmsghdr *request, ek_netlink_each each,
		   void *arg);

/* A failure that says nothing about what was asked: keep what is known, and ask again later. */
bool ek_netlink_is_transient(int status);

#endif
