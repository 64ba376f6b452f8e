/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The TCP check: the backend completes a handshake. Nothing is sent. health.c calls it through
 * ek_check_tcp_ops; a probe's `run` is the event that waits for its socket.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>
#include "checker.h"
#include "ip.h"

/*
 * connect() to a local port in the ephemeral range may be given that very port as its own, and
 * then meets itself (a simultaneous open, RFC 9293 section 3.5): no listener answered.
 */
static bool connected_to_itself(int fd)
{
	struct sockaddr_storage own = {0}, peer = {0};
	socklen_t own_length = sizeof(own), peer_length = sizeof(peer);

	return getsockname(fd, (struct sockaddr *)&own, &own_length) == 0 &&
	       getpeername(fd, (struct sockaddr *)&peer, &peer_length) == 0 &&
	       own_length == peer_length && memcmp(&own, &peer, own_length) == 0;
}

static int connect_error(int fd)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		return errno;
	if (!error && connected_to_itself(fd))
		return ECONNREFUSED;
	return error;
}

static void cancel(struct ek_probe *probe)
{
	int fd = event_get_fd(probe->run);

	event_free(probe->run);
	close(fd);
	probe->run = NULL;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct ek_probe *probe = arg;
	int error = connect_error(fd);

	(void)what;
	cancel(probe);
	if (error)
		ek_probe_error(probe, error);
	else
		ek_probe_done(probe, EK_VERDICT_PASS, "connected");
}

static void begin(struct ek_probe *probe)
{
	struct sockaddr_storage address;
	socklen_t length = ek_ip_sockaddr(&probe->target, probe->port, &address);
	int fd = ek_probe_socket(address.ss_family);
	int error = ENOMEM;

	if (fd < 0) {
		ek_probe_error(probe, errno);
		return;
	}
	probe->run = event_new(probe->base, fd, EV_WRITE, on_writable, probe);
	if (!probe->run)
		goto failed;
	/* A connection made at once is writable at once: one path for both. */
	if (connect(fd, (struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS)
		error = errno;
	else if (event_add(probe->run, NULL) == 0)
		return;
	event_free(probe->run);
	probe->run = NULL;
failed:
	close(fd);
	ek_probe_error(probe, error);
}

const struct ek_checker_ops ek_check_tcp_ops = {
	.begin = begin,
	.cancel = cancel,
};
