/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One question to evenkeeld, with one answer or a stream of them. The command line calls it; it
 * owns a socket for as long as a call lasts. Blocking calls with SO_SNDTIMEO and SO_RCVTIMEO set to
 * what is left of the deadline: that covers connect() too, which waits when the listener's backlog
 * is full.
 */
#include <errno.h>
#include <poll.h>
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

/* What ended a stream that nobody asked to end. */
static void explain_end(const struct call *call, int err, struct ek_error *error)
{
	if (err == -EPIPE || err == -ECONNRESET)
		ek_error_set(error, "evenkeeld on %s has ended; its log may say why", call->path);
	else if (err == -EPROTO)
		ek_error_set(error, "what came from %s is not one of evenkeeld's lines",
			     call->path);
	else
		explain(call, err, error);
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

struct received {
	char *text;
	size_t size, used;
	size_t seen; /* leading bytes that hold no newline */
};

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

/* Appends what has come. 0, or -errno; -EPIPE when no more will. */
static int receive_some(const struct call *call, struct received *r)
{
	int err = arm(call);
	ssize_t got;

	if (err)
		return err;
	if (r->used == r->size) {
		size_t larger = r->size ? 2 * r->size : 1 << 16;
		char *grown = realloc(r->text, larger);

		if (!grown)
			return -ENOMEM;
		r->text = grown;
		r->size = larger;
	}
	got = recv(call->fd, r->text + r->used, r->size - r->used, 0);
	if (got == 0)
		return -EPIPE;
	if (got < 0)
		return errno == EINTR ? 0 : -errno;
	r->used += got;
	return 0;
}

/* Length of the first line, or -EAGAIN when its end has not come. */
static ssize_t first_line(struct received *r)
{
	const char *end =
		r->used > r->seen ? memchr(r->text + r->seen, '\n', r->used - r->seen) : NULL;

	r->seen = end ? 0 : r->used;
	return end ? end - r->text : -EAGAIN;
}

static void drop_line(struct received *r, size_t length)
{
	r->used -= length + 1;
	memmove(r->text, r->text + length + 1, r->used);
}

/* Reads up to a newline. The answer may be of any size: the deadline bounds it. */
static ssize_t receive_line(const struct call *call, struct received *r)
{
	ssize_t length;
	int err;

	while ((length = first_line(r)) < 0) {
		err = receive_some(call, r);
		if (err)
			return err;
	}
	return length;
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

/* Connects, asks, and reads the first line: its length, or -errno. */
static ssize_t begin(struct call *call, const struct sockaddr_un *address, const json_t *request,
		     struct received *r)
{
	int err;

	call->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	err = call->fd < 0 ? -errno : arm(call);
	if (!err && connect(call->fd, (const struct sockaddr *)address, sizeof(*address)))
		err = -errno;
	if (!err)
		err = send_request(call, request);
	return err ? err : receive_line(call, r);
}

static void finish(struct call *call, struct received *r)
{
	free(r->text);
	if (call->fd >= 0)
		close(call->fd);
}

json_t *ek_control_call(const char *path, const json_t *request, unsigned int deadline_ms,
			struct ek_error *error)
{
	struct call call = {path, -1, deadline_ms, now_ms() + deadline_ms};
	struct received received = {0};
	struct sockaddr_un address;
	json_t *result = NULL;
	ssize_t length;

	if (ek_control_address(path, &address, error))
		return NULL;
	length = begin(&call, &address, request, &received);
	if (length < 0)
		explain(&call, length, error);
	else
		result = result_of(received.text, length, error);
	finish(&call, &received);
	return result;
}

/* --- streams --------------------------------------------------------------------------------- */

#define LINE_MAX_BYTES (1u << 20)

struct stream {
	struct call call;
	struct received received;
	const struct ek_control_follower *follower;
	bool enough; /* the daemon was asked to end */
};

/* From now on there is a deadline again. */
static void ask_to_end(struct stream *s)
{
	if (s->enough)
		return;
	s->enough = true;
	s->call.deadline = now_ms() + s->call.deadline_ms;
	shutdown(s->call.fd, SHUT_WR);
}

/* Every line that has come. 0, or -EPROTO. */
static int hand_over(struct stream *s)
{
	ssize_t length;

	while ((length = first_line(&s->received)) >= 0) {
		json_t *line = json_loadb(s->received.text, length, 0, NULL);
		bool more = line && s->follower->each(s->follower->arg, line);

		json_decref(line);
		if (!line)
			return -EPROTO;
		if (!more)
			ask_to_end(s);
		drop_line(&s->received, length);
	}
	return s->received.used > LINE_MAX_BYTES ? -EPROTO : 0;
}

/* Until there is something to read, or a signal has come. */
static int wait_for_more(struct stream *s)
{
	struct pollfd fd = {.fd = s->call.fd, .events = POLLIN};
	struct timespec limit = {.tv_sec = 3600};
	int n;

	if (!s->enough) /* no deadline, so one far away */
		s->call.deadline = now_ms() + 2 * 3600 * 1000;
	else
		limit = (struct timespec){.tv_sec = s->call.deadline_ms / 1000 + 1};
	n = ppoll(&fd, 1, &limit, s->follower->unblocked);
	if (*s->follower->stop)
		ask_to_end(s);
	if (n < 0 && errno != EINTR)
		return -errno;
	return n > 0 || s->enough ? receive_some(&s->call, &s->received) : 0;
}

static int follow(struct stream *s)
{
	int err;

	do {
		err = hand_over(s);
		if (!err)
			err = wait_for_more(s);
	} while (!err);
	return s->enough && err == -EPIPE ? 0 : err;
}

int ek_control_follow(const char *path, const json_t *request, unsigned int deadline_ms,
		      const struct ek_control_follower *follower, struct ek_error *error)
{
	struct stream s = {.call = {path, -1, deadline_ms, now_ms() + deadline_ms},
			   .follower = follower};
	struct sockaddr_un address;
	json_t *answer = NULL;
	ssize_t length;
	int err = ek_control_address(path, &address, error);

	if (err)
		return err;
	length = begin(&s.call, &address, request, &s.received);
	if (length >= 0) {
		answer = result_of(s.received.text, length, error);
		err = answer ? 0 : -EPERM;
		drop_line(&s.received, length);
	} else {
		err = length;
		explain(&s.call, err, error);
	}
	if (!err) {
		follower->begun(follower->arg, answer);
		err = follow(&s);
		if (err)
			explain_end(&s.call, err, error);
	}
	json_decref(answer);
	finish(&s.call, &s.received);
	return err;
}
