/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See channel_conn.h. What one connection may take of a turn of the loop is bounded: in bytes read,
 * in frames answered, and in the time that answering took. The rest waits for a timer of no delay,
 * not for an active event: libevent would run that in the same turn, before it looks at other
 * sockets and timers.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "channel_conn.h"

#define TURN_READS    16 /* of EK_CHANNEL_RECORD_MAX bytes */
#define TURN_FRAMES   256
#define TURN_BYTES    (2u << 20)
#define TURN_MS	      5
#define UNSENT_KERNEL (256 << 10) /* what waits is to wait here, where it is counted */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

/* --- the end ------------------------------------------------------------------------------- */

static void soon(struct ek_channel_conn *conn)
{
	static const struct timeval at_once = {0};

	event_add(conn->work, &at_once);
}

/* The first reason is the one that counts. */
static void set_why(struct ek_channel_conn *conn, const char *why)
{
	if (!conn->doomed && !conn->last)
		snprintf(conn->why, sizeof(conn->why), "%s", why);
}

const char *ek_channel_conn_error(int err, char *out)
{
	snprintf(out, EK_CHANNEL_WHY_MAX, "%s", strerror(err));
	if (out[0] >= 'A' && out[0] <= 'Z')
		out[0] += 'a' - 'A';
	return out;
}

static void set_why_errno(struct ek_channel_conn *conn, int err)
{
	char text[EK_CHANNEL_WHY_MAX];

	set_why(conn, ek_channel_conn_error(err, text));
}

void ek_channel_conn_doom(struct ek_channel_conn *conn, const char *why)
{
	set_why(conn, why);
	conn->doomed = true;
	soon(conn);
}

void ek_channel_conn_free(struct ek_channel_conn *conn)
{
	struct event *events[] = {conn->read, conn->write, conn->timer, conn->work};

	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++)
		if (events[i])
			event_free(events[i]);
	if (conn->plain)
		evbuffer_free(conn->plain);
	if (conn->wire)
		evbuffer_free(conn->wire);
	ek_channel_tls_free(conn->tls);
	close(conn->fd);
	free(conn);
}

/* An alert or a refusal may be waiting: one attempt, so that the peer can show it. */
static void end(struct ek_channel_conn *conn)
{
	if (conn->tls && evbuffer_get_length(conn->wire))
		evbuffer_write(conn->wire, conn->fd);
	conn->settings->ops->ended(conn, conn->why);
	ek_channel_conn_free(conn);
}

void ek_channel_conn_drop(struct ek_channel_conn *conn, const char *why)
{
	if (conn->busy) {
		ek_channel_conn_doom(conn, why);
		return;
	}
	set_why(conn, why);
	end(conn);
}

/* --- output -------------------------------------------------------------------------------- */

/*
 * What the kernel has arrives even if this process is killed in the next moment: an operator who
 * was answered may count on the peers' having heard of it. A failure is on_writable()'s to find
 * again.
 */
static void want_write(struct ek_channel_conn *conn, uint64_t now)
{
	if (!evbuffer_get_length(conn->wire) || event_pending(conn->write, EV_WRITE, NULL))
		return;
	conn->moved_ms = now;
	evbuffer_write(conn->wire, conn->fd);
	if (evbuffer_get_length(conn->wire))
		event_add(conn->write, NULL);
}

int ek_channel_conn_send(struct ek_channel_conn *conn, uint8_t type, const void *body,
			 size_t length)
{
	size_t first = EK_CHANNEL_RECORD_MAX - EK_CHANNEL_HEADER;
	uint8_t record[EK_CHANNEL_RECORD_MAX];
	int err;

	if (length < first)
		first = length;
	ek_channel_frame_header(record, type, length);
	if (first)
		memcpy(record + EK_CHANNEL_HEADER, body, first);
	err = ek_channel_tls_write(conn->tls, record, EK_CHANNEL_HEADER + first, conn->wire);
	if (!err && length > first)
		err = ek_channel_tls_write(conn->tls, (const uint8_t *)body + first, length - first,
					   conn->wire);
	if (err) {
		/* Half a frame may have left: nothing can follow it. */
		ek_channel_conn_doom(conn, err == -ENOMEM ? "out of memory" : "TLS failed");
		return err;
	}
	conn->sent_ms = now_ms();
	want_write(conn, conn->sent_ms);
	return 0;
}

size_t ek_channel_conn_backlog(const struct ek_channel_conn *conn)
{
	return evbuffer_get_length(conn->wire);
}

/* --- input --------------------------------------------------------------------------------- */

/* One frame. NULL, or why it is over; *more: there may be another. */
static const char *take_frame(struct ek_channel_conn *conn, size_t *taken, bool *more)
{
	uint8_t header[EK_CHANNEL_HEADER], type;
	const char *why = NULL;
	const uint8_t *frame;
	size_t length;

	*more = false;
	if (evbuffer_copyout(conn->plain, header, sizeof(header)) < (ssize_t)sizeof(header))
		return NULL;
	why = ek_channel_frame_parse(header, conn->phase, conn->client, &type, &length);
	*taken = EK_CHANNEL_HEADER + length;
	if (why || evbuffer_get_length(conn->plain) < *taken)
		return why;
	frame = evbuffer_pullup(conn->plain, *taken);
	if (!frame)
		return "out of memory";
	if (type != EK_FRAME_PING)
		why = conn->settings->ops->frame(conn, type, frame + EK_CHANNEL_HEADER, length);
	evbuffer_drain(conn->plain, *taken);
	*more = true;
	return why;
}

/*
 * Answers what has come, up to a turn's share. While complete frames wait nothing is read, which
 * bounds what is held for a peer to one frame and a turn's reading. conn may be gone afterwards.
 */
static void take_frames(struct ek_channel_conn *conn)
{
	uint64_t end_ms = now_ms() + TURN_MS;
	size_t bytes = 0, taken;
	const char *why = NULL;
	bool more = true;

	conn->busy = true;
	for (int n = 0; more && !why && !conn->doomed && n < TURN_FRAMES && bytes < TURN_BYTES &&
			now_ms() <= end_ms;
	     n++) {
		taken = 0;
		why = take_frame(conn, &taken, &more);
		bytes += taken;
	}
	conn->busy = false;
	if (why && !conn->doomed) {
		conn->last = false; /* what the peer said is more to the point than its end */
		set_why(conn, why);
		conn->doomed = true;
	}
	if (conn->doomed || (conn->last && !more)) {
		end(conn);
	} else if (more) {
		event_del(conn->read);
		soon(conn);
	} else if (!event_pending(conn->read, EV_READ, NULL)) {
		conn->heard_ms = now_ms(); /* nobody listened until now */
		event_add(conn->read, NULL);
	}
}

static void feed(struct ek_channel_conn *conn, const void *bytes, size_t length)
{
	size_t before = evbuffer_get_length(conn->plain);
	bool was_ready = ek_channel_tls_ready(conn->tls);
	const char *why = ek_channel_tls_feed(conn->tls, bytes, length, conn->plain, conn->wire);

	if (why) {
		conn->refused = ek_channel_tls_refused(conn->tls);
		set_why(conn, why);
		conn->last = true;
	}
	if (evbuffer_get_length(conn->plain) > before)
		conn->heard_ms = now_ms();
	if (!was_ready && ek_channel_tls_ready(conn->tls)) {
		conn->heard_ms = now_ms();
		conn->settings->ops->secured(conn);
	}
	want_write(conn, now_ms());
}

/* False: nothing more this turn. */
static bool receive(struct ek_channel_conn *conn)
{
	char bytes[EK_CHANNEL_RECORD_MAX];
	ssize_t n = read(conn->fd, bytes, sizeof(bytes));

	if (n > 0) {
		feed(conn, bytes, n);
		return !conn->last && n == (ssize_t)sizeof(bytes);
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n)
		set_why_errno(conn, errno);
	else
		set_why(conn, "closed by the peer");
	conn->last = true;
	return false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct ek_channel_conn *conn = arg;
	int reads = TURN_READS;

	(void)fd;
	(void)what;
	while (reads-- && receive(conn))
		;
	take_frames(conn);
}

static void on_work(evutil_socket_t fd, short what, void *arg)
{
	struct ek_channel_conn *conn = arg;

	(void)fd;
	(void)what;
	if (conn->tls)
		take_frames(conn);
	else
		end(conn);
}

/* --- the socket ---------------------------------------------------------------------------- */

static int socket_error(int fd)
{
	int err = 0;
	socklen_t length = sizeof(err);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &length) < 0 ? errno : err;
}

/* False: no memory. */
static bool begin_tls(struct ek_channel_conn *conn)
{
	conn->tls = ek_channel_tls_new(conn->settings->keys, conn->client, conn->wire);
	if (!conn->tls)
		return false;
	event_add(conn->read, NULL);
	want_write(conn, now_ms());
	return true;
}

static void connected(struct ek_channel_conn *conn)
{
	int err = socket_error(conn->fd);

	if (!err && begin_tls(conn))
		return;
	set_why_errno(conn, err ?: ENOMEM);
	end(conn);
}

/* The reason for the end may lie unread: an alert, or a refusal. */
static void write_failed(struct ek_channel_conn *conn, int err)
{
	int reads = TURN_READS;

	event_del(conn->write);
	evbuffer_drain(conn->wire, evbuffer_get_length(conn->wire));
	while (reads-- && receive(conn))
		;
	set_why_errno(conn, err);
	conn->last = true;
	take_frames(conn);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct ek_channel_conn *conn = arg;
	int n;

	(void)what;
	if (!conn->tls) {
		event_del(conn->write);
		connected(conn);
		return;
	}
	n = evbuffer_write(conn->wire, fd);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		write_failed(conn, errno);
		return;
	}
	if (n > 0)
		conn->moved_ms = now_ms();
	if (!evbuffer_get_length(conn->wire))
		event_del(conn->write);
}

/* --- time ---------------------------------------------------------------------------------- */

static const char *overdue(const struct ek_channel_conn *conn, uint64_t now)
{
	unsigned int dead_ms = conn->settings->dead_ms;

	if (conn->deadline_ms && now >= conn->deadline_ms)
		return conn->deadline_why;
	if (conn->phase != EK_CHANNEL_PHASE_UP)
		return NULL;
	if (evbuffer_get_length(conn->wire) && now - conn->moved_ms >= dead_ms)
		return "the peer takes nothing";
	/* While frames wait to be answered nothing is read, which is not the peer's fault. */
	if (event_pending(conn->read, EV_READ, NULL) && now - conn->heard_ms >= dead_ms)
		return "the peer is silent";
	return NULL;
}

static void earlier(uint64_t *due, uint64_t candidate)
{
	if (candidate < *due)
		*due = candidate;
}

static void arm(struct ek_channel_conn *conn, uint64_t now)
{
	const struct ek_channel_conn_settings *settings = conn->settings;
	uint64_t due = now + settings->dead_ms, wait;
	struct timeval delay;

	if (conn->deadline_ms)
		earlier(&due, conn->deadline_ms);
	if (conn->phase == EK_CHANNEL_PHASE_UP) {
		earlier(&due, conn->sent_ms + settings->ping_ms);
		earlier(&due, conn->heard_ms + settings->dead_ms);
		if (evbuffer_get_length(conn->wire))
			earlier(&due, conn->moved_ms + settings->dead_ms);
	}
	wait = due > now ? due - now : 1;
	delay = (struct timeval){.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
	event_add(conn->timer, &delay);
}

/* Comes at the earliest of the times above as they were when it was set; often too early. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ek_channel_conn *conn = arg;
	uint64_t now = now_ms();
	const char *why = overdue(conn, now);

	(void)fd;
	(void)what;
	if (why) {
		ek_channel_conn_drop(conn, why);
		return;
	}
	if (conn->phase == EK_CHANNEL_PHASE_UP && now - conn->sent_ms >= conn->settings->ping_ms)
		ek_channel_conn_send(conn, EK_FRAME_PING, NULL, 0);
	arm(conn, now);
}

void ek_channel_conn_deadline(struct ek_channel_conn *conn, unsigned int ms, const char *why)
{
	uint64_t now = now_ms();

	conn->deadline_ms = now + ms;
	conn->deadline_why = why;
	arm(conn, now);
}

void ek_channel_conn_no_deadline(struct ek_channel_conn *conn)
{
	conn->deadline_ms = 0;
	arm(conn, now_ms());
}

/* --- birth --------------------------------------------------------------------------------- */

/* Refinements: a kernel without one of them still makes a connection. */
static void set_options(int fd, unsigned int dead_ms)
{
	int one = 1, unsent = UNSENT_KERNEL;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

static bool allocate(struct ek_channel_conn *conn)
{
	struct event_base *base = conn->settings->base;

	conn->read = event_new(base, conn->fd, EV_READ | EV_PERSIST, on_readable, conn);
	conn->write = event_new(base, conn->fd, EV_WRITE | EV_PERSIST, on_writable, conn);
	conn->timer = evtimer_new(base, on_timer, conn);
	conn->work = evtimer_new(base, on_work, conn);
	conn->plain = evbuffer_new();
	conn->wire = evbuffer_new();
	return conn->read && conn->write && conn->timer && conn->work && conn->plain && conn->wire;
}

struct ek_channel_conn *ek_channel_conn_new(const struct ek_channel_conn_settings *settings, int fd,
					    bool client)
{
	struct ek_channel_conn *conn = calloc(1, sizeof(*conn));

	if (!conn) {
		close(fd);
		return NULL;
	}
	conn->settings = settings;
	conn->fd = fd;
	conn->client = client;
	conn->heard_ms = conn->sent_ms = conn->moved_ms = now_ms();
	if (!allocate(conn) || (!client && !begin_tls(conn))) {
		ek_channel_conn_free(conn);
		return NULL;
	}
	set_options(fd, settings->dead_ms);
	if (client) /* a connection made at once is writable at once */
		event_add(conn->write, NULL);
	return conn;
}
