/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One question to evenkeeld. The command line calls it; it owns a socket for as long as a call
 * lasts. Blocking calls with SO_SNDTIMEO and SO_RCVTIMEO set to what is left of the deadline:
 * that covers connect() too, which waits when the listener's backlog is full.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "control_client.h"

struct call {
	const char *path;
	int fd;
	unsigned int deadline_ms; /* as asked for, to be told */
	int64_t deadline;	  /* CLOCK_MONOTONIC, ms */
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Lets the next blocking call last until the deadline. -EAGAIN when that has passed. */
static int arm(const struct call *call)
{
	int64_t left = call->deadline - now_ms();
	struct timeval wait = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};

	if (left <= 0) /* and a zero timeval would mean "for ever" */
		return -EAGAIN;
	if (setsockopt(call->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) ||
	    setsockopt(call->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)))
		return -errno;
	return 0;
}

static void explain(const struct call *call, int err, struct ek_error *error)
{
	switch (-err) {
	case ENOENT:
	case ENOTDIR:
		ek_error_set(error,
			     "evenkeeld is not running (no %s); start it with: evenkeeld -c FILE",
			     call->path);
		break;
	case ECONNREFUSED:
		ek_error_set(error,
			     "evenkeeld is not running (nothing listens on %s); "
			     "start it with: evenkeeld -c FILE",
			     call->path);
		break;
	case EACCES:
	case EPERM:
		ek_error_set(error,
			     "no permission to use %s: run this as root, or as a member of the "
			     "group that owns it",
			     call->path);
		break;
	case EAGAIN:
	case EINPROGRESS:
		ek_error_set(error,
			     "evenkeeld did not answer on %s within %.3g s: it is stopped or very "
			     "busy; its log may say why",
			     call->path, call->deadline_ms / 1000.0);
		break;
	case EPIPE:
	case ECONNRESET:
		ek_error_set(error,
			     "evenkeeld closed the connection on %s before it answered; "
			     "its log may say why",
			     call->path);
		break;
	default:
		ek_error_set(error, "cannot talk to evenkeeld on %s: %s", call->path,
			     strerror(-err));
	}
}

int ek_control_address(const char *path, struct sockaddr_un *out, struct ek_error *error)
{
	size_t length = strlen(path);

	if (length == 0 || length >= sizeof(out->sun_path)) {
		ek_error_set(error, "\"%s\" cannot be a socket: its path needs 1 to %zu bytes",
			     path, sizeof(out->sun_path) - 1);
		return -EINVAL;
	}
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(out->sun_path, path, length);
	return 0;
}

static int send_all(const struct call *call, const char *text, size_t length)
{
	while (length) {
		int err = arm(call);
		ssize_t sent = err ? -1 : send(call->fd, text, length, MSG_NOSIGNAL);

		if (err)
			return err;
		if (sent < 0 && errno == EINTR)
			continue;
		/* A server that hangs up on a newcomer has said why: read it. */
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (sent < 0)
			return -errno;
		text += sent;
		length -= sent;
	}
	return 0;
}

static int send_request(const struct call *call, const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	int err;

	if (!text)
		return -ENOMEM;
	err = send_all(call, text, strlen(text));
	if (!err)
		err = send_all(call, "\n", 1);
	free(text);
	return err;
}

/* Appends what has come to *text. 0, or -errno; -EPIPE when no more will. */
static int receive_some(const struct call *call, char **text, size_t *size, size_t *used)
{
	int err = arm(call);
	ssize_t got;

	if (err)
		return err;
	if (*used == *size) {
		size_t larger = *size ? 2 * *size : 1 << 16;
		char *grown = realloc(*text, larger);

		if (!grown)
			return -ENOMEM;
		*text = grown;
		*size = larger;
	}
	got = recv(call->fd, *text + *used, *size - *used, 0);
	if (got == 0)
		return -EPIPE;
	if (got < 0)
		return errno == EINTR ? 0 : -errno;
	*used += got;
	return 0;
}

/* Reads up to a newline. The answer may be of any size: the deadline bounds it. */
static int receive_line(const struct call *call, char **line, size_t *length)
{
	size_t size = 0, used = 0, seen = 0;
	char *text = NULL, *end = NULL;

	while (!end) {
		int err = receive_some(call, &text, &size, &used);

		if (err) {
			free(text);
			return err;
		}
		end = memchr(text + seen, '\n', used - seen);
		seen = used;
	}
	*line = text;
	*length = end - text;
	return 0;
}

static json_t *result_of(const char *line, size_t length, struct ek_error *error)
{
	json_t *answer = json_loadb(line, length, 0, NULL);
	json_t *ok = json_object_get(answer, "ok");
	const char *refusal = json_string_value(json_object_get(answer, "error"));
	json_t *result = NULL;

	if (json_is_true(ok)) {
		result = json_object_get(answer, "result");
		result = result ? json_incref(result) : json_null();
	} else if (json_is_false(ok) && refusal) {
		ek_error_set(error, "%s", refusal);
	} else {
		ek_error_set(error, "the answer is not one of evenkeeld's: is another program, or "
				    "another version, behind the socket?");
	}
	json_decref(answer);
	return result;
}

json_t *ek_control_call(const char *path, const json_t *request, unsigned int deadline_ms,
			struct ek_error *error)
{
	struct call call = {path, -1, deadline_ms, now_ms() + deadline_ms};
	struct sockaddr_un address;
	json_t *result = NULL;
	char *line = NULL;
	size_t length;
	int err;

	if (ek_control_address(path, &address, error))
		return NULL;
	call.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	err = call.fd < 0 ? -errno : arm(&call);
	if (!err && connect(call.fd, (struct sockaddr *)&address, sizeof(address)))
		err = -errno;
	if (!err)
		err = send_request(&call, request);
	if (!err)
		err = receive_line(&call, &line, &length);
	if (err)
		explain(&call, err, error);
	else
		result = result_of(line, length, error);
	free(line);
	if (call.fd >= 0)
		close(call.fd);
	return result;
}
