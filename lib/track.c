/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tracker: keeps a status for every track, and tells ha.c when one changes.
 *
 * Scripts report by themselves (track_script.h); rise and fall make states of their results.
 *
 * Interfaces and routes come from a reading of the kernel's tables (rtnetlink(7), judged in
 * track_view.c): a dump of the links, then of the main routing table for each family that somebody
 * tracks a route of. `dump` is non-blocking and read from the loop in turns, since a router may
 * have a million routes and adverts cannot wait for them. `events` only says that it is time for
 * another reading: 10 ms after the first message that concerns a track, so that a burst makes one
 * reading. What the kernel does not announce shows in the reading that is due every 30 s.
 *
 * `changed` is called by an event of its own, with nothing of this module on the stack, so that it
 * may free the tracker.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <event2/event.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include "health.h"
#include "netlink_parse.h"
#include "netlink_socket.h"
#include "track.h"
#include "track_script.h"
#include "track_view.h"

#define SETTLE_MS      10
#define RETRY_MS       1000
#define TEND_MS	       30000
#define READS_PER_TURN 64

struct item {
	struct ek_tracker *tracker;
	struct ek_track_status status;
	struct ek_health_fsm fsm;	/* SCRIPT */
	struct ek_track_script *script; /* SCRIPT */
};

struct ek_tracker {
	struct event_base *base;
	ek_track_changed changed;
	void *arg;
	struct event *tell;
	struct ek_config_track *tracks;
	struct item *items;
	size_t n;
	/* Only when there are interfaces or routes: */
	struct ek_netlink_socket events, dump;
	struct event *notified, *answered, *due;
	struct ek_track_view view;
	size_t stage; /* of the reading: an index of dumps[] */
	bool reading;
	bool stale;	/* something happened since the reading began */
	bool overtaken; /* the kernel says that a dump is not of one moment */
};

static const struct {
	uint16_t type;
	int family;
} dumps[] = {
	{RTM_GETLINK, AF_UNSPEC},
	{RTM_GETROUTE, AF_INET},
	{RTM_GETROUTE, AF_INET6},
};
#define N_DUMPS (sizeof(dumps) / sizeof(dumps[0]))

static void set_status(struct item *item, bool failed)
{
	struct ek_track_status *status = &item->status;

	if (status->known && status->failed == failed)
		return;
	status->known = true;
	status->failed = failed;
	status->since = time(NULL);
	event_active(item->tracker->tell, EV_TIMEOUT, 0);
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
	struct ek_tracker *t = arg;

	(void)fd;
	(void)what;
	/* Last: it may free us. */
	t->changed(t->arg);
}

static void on_ran(enum ek_script_verdict verdict, const char *why, void *arg)
{
	struct item *item = arg;

	snprintf(item->status.why, sizeof(item->status.why), "%s", why);
	if (verdict == EK_SCRIPT_NOT_RUN)
		return;
	ek_health_fsm_result(&item->fsm, verdict == EK_SCRIPT_PASS);
	set_status(item, item->fsm.state == EK_HEALTH_DOWN);
}

/* --- reading the kernel's tables ------------------------------------------------------------ */

static void arm(struct ek_tracker *t, unsigned int delay_ms)
{
	const struct timeval delay = {delay_ms / 1000, delay_ms % 1000 * 1000};

	evtimer_add(t->due, &delay);
}

static void on_answered(evutil_socket_t fd, short what, void *arg);

static int open_dump(struct ek_tracker *t)
{
	const int on = 1;
	int status = ek_netlink_socket_open_events(&t->dump, NULL, 0);

	if (status)
		return status;
	/* Without it the kernel does not filter, which costs time but changes nothing. */
	mnl_socket_setsockopt(t->dump.socket, NETLINK_GET_STRICT_CHK, (void *)&on, sizeof(on));
	t->answered = event_new(t->base, ek_netlink_socket_fd(&t->dump), EV_READ | EV_PERSIST,
				on_answered, t);
	return t->answered && !event_add(t->answered, NULL) ? 0 : -ENOMEM;
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

static void close_dump(struct ek_tracker *t)
{
	free_event(t->answered);
	t->answered = NULL;
	ek_netlink_socket_close(&t->dump);
}

/* What was known stands. A new socket knows nothing of a dump that went wrong half-way. */
static void give_up(struct ek_tracker *t)
{
	close_dump(t);
	t->reading = false;
	arm(t, RETRY_MS);
}

static void finish(struct ek_tracker *t)
{
	t->reading = false;
	t->stale |= t->overtaken;
	arm(t, t->stale ? SETTLE_MS : TEND_MS);
	if (t->overtaken)
		return;
	for (size_t i = 0; i < t->n; i++) {
		struct ek_track_status *status = &t->items[i].status;

		if (t->tracks[i].kind != EK_TRACK_SCRIPT)
			set_status(&t->items[i], ek_track_view_failed(&t->view, i, status->why,
								      sizeof(status->why)));
	}
}

static bool is_wanted(const struct ek_tracker *t, size_t stage)
{
	return dumps[stage].type == RTM_GETLINK ||
	       ek_track_view_wants_routes(&t->view, dumps[stage].family);
}

/* Asks for the first dump from t->stage on that is wanted; after the last one it is over. */
static void ask(struct ek_tracker *t)
{
	_Alignas(struct nlmsghdr) char buffer[EK_NETLINK_REQUEST];
	struct nlmsghdr *request;

	while (t->stage < N_DUMPS && !is_wanted(t, t->stage))
		t->stage++;
	if (t->stage == N_DUMPS) {
		finish(t);
		return;
	}
	if (dumps[t->stage].type == RTM_GETLINK) {
		request = ek_netlink_put_dump(buffer, RTM_GETLINK);
	} else {
		struct rtmsg *info;

		request = mnl_nlmsg_put_header(buffer);
		request->nlmsg_type = RTM_GETROUTE;
		request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
		info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
		info->rtm_family = dumps[t->stage].family;
		info->rtm_table = RT_TABLE_MAIN;
	}
	request->nlmsg_seq = ++t->dump.sequence;
	if (mnl_socket_sendto(t->dump.socket, request, request->nlmsg_len) < 0)
		give_up(t);
}

static void begin(struct ek_tracker *t)
{
	t->stale = t->overtaken = false;
	ek_track_view_clear(&t->view);
	t->stage = 0;
	t->reading = true;
	ask(t);
}

/* The error that ends a dump or refuses it; 0 = none. */
static int error_of(const struct nlmsghdr *message)
{
	int error;

	if (message->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(error))
		return message->nlmsg_type == NLMSG_DONE ? 0 : -EBADMSG;
	memcpy(&error, mnl_nlmsg_get_payload(message), sizeof(error));
	return error;
}

/* One message of the answer: 1 go on, 0 the dump is complete, or -errno. */
static int take(struct ek_tracker *t, const struct nlmsghdr *message)
{
	int status;

	if (message->nlmsg_seq != t->dump.sequence)
		return 1;
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		t->overtaken = true;
	if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
		status = error_of(message);
		/* A namespace has no main table before its first route. */
		return status == -ENOENT ? 0 : status;
	}
	status = ek_track_view_add(&t->view, message);
	return status == -ENOMEM ? status : 1;
}

/* What has arrived, at most so much that the loop is not held up. */
static void read_answers(struct ek_tracker *t)
{
	for (int i = 0; i < READS_PER_TURN && t->reading; i++) {
		const struct nlmsghdr *message = (const void *)t->dump.buffer;
		int left = ek_netlink_receive(&t->dump), status = 1;

		if (left == -EAGAIN)
			return;
		if (left < 0)
			status = left;
		for (; status > 0 && ek_netlink_message_ok(message, left);
		     message = mnl_nlmsg_next(message, &left))
			status = take(t, message);
		if (status == 0) {
			t->stage++;
			ask(t);
		} else if (status < 0) {
			give_up(t);
		}
	}
}

static void on_answered(evutil_socket_t fd, short what, void *arg)
{
	struct ek_tracker *t = arg;
	char unexpected;

	(void)what;
	if (t->reading)
		read_answers(t);
	else
		recv(fd, &unexpected, sizeof(unexpected), MSG_DONTWAIT);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	struct ek_tracker *t = arg;

	(void)fd;
	(void)what;
	if (!t->answered && open_dump(t))
		give_up(t);
	else
		begin(t);
}

static void note(struct ek_tracker *t)
{
	/* A stream of messages must not put it off again and again. */
	if (!t->stale && !t->reading)
		arm(t, SETTLE_MS);
	t->stale = true;
}

static void on_notified(evutil_socket_t fd, short what, void *arg)
{
	struct ek_tracker *t = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < READS_PER_TURN; i++) {
		const struct nlmsghdr *message = (const void *)t->events.buffer;
		int left = ek_netlink_receive(&t->events);

		if (left == -EAGAIN)
			return;
		/* Lost messages: they may have been about anything. */
		if (left < 0)
			note(t);
		for (; left > 0 && ek_netlink_message_ok(message, left);
		     message = mnl_nlmsg_next(message, &left))
			if (ek_track_view_concerned(&t->view, message))
				note(t);
	}
}

/* --- interface ------------------------------------------------------------------------------ */

static int watch_kernel(struct ek_tracker *t)
{
	static const int groups[] = {
		RTNLGRP_LINK,	 RTNLGRP_IPV4_ROUTE,  RTNLGRP_IPV6_ROUTE,
		RTNLGRP_NEXTHOP, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
	};
	int status =
		ek_netlink_socket_open_events(&t->events, groups, sizeof(groups) / sizeof(*groups));

	if (!status)
		status = open_dump(t);
	if (status)
		return status;
	t->notified = event_new(t->base, ek_netlink_socket_fd(&t->events), EV_READ | EV_PERSIST,
				on_notified, t);
	t->due = evtimer_new(t->base, on_due, t);
	if (!t->notified || !t->due || event_add(t->notified, NULL))
		return -ENOMEM;
	begin(t);
	/* Unless the tables are very long, all is known when ek_tracker_new() returns. */
	read_answers(t);
	return 0;
}

static int start_script(struct item *item, const struct ek_config_track *track)
{
	item->fsm = (struct ek_health_fsm){.rise = track->rise, .fall = track->fall};
	item->script = ek_track_script_new(item->tracker->base, track->command, track->interval,
					   track->timeout, on_ran, item);
	return item->script ? 0 : -ENOMEM;
}

static int start(struct ek_tracker *t, const struct ek_config_track *tracks)
{
	bool kernel = false;
	int status;

	t->tracks = calloc(t->n ? t->n : 1, sizeof(*t->tracks));
	t->items = calloc(t->n ? t->n : 1, sizeof(*t->items));
	t->tell = event_new(t->base, -1, 0, on_tell, t);
	if (!t->tracks || !t->items || !t->tell)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		struct item *item = &t->items[i];

		t->tracks[i] = tracks[i];
		item->tracker = t;
		item->status.config = &t->tracks[i];
		item->status.since = time(NULL);
		strcpy(item->status.why, "not known yet");
		if (tracks[i].kind != EK_TRACK_SCRIPT)
			kernel = true;
		else if (start_script(item, &tracks[i]))
			return -ENOMEM;
	}
	status = ek_track_view_init(&t->view, t->tracks, t->n);
	if (!status && kernel)
		status = watch_kernel(t);
	/* The caller sees it at once; only later changes are news. */
	event_del(t->tell);
	return status;
}

struct ek_tracker *ek_tracker_new(struct event_base *base, const struct ek_config_track *tracks,
				  size_t n, ek_track_changed changed, void *arg,
				  struct ek_error *error)
{
	struct ek_tracker *t = calloc(1, sizeof(*t));
	int status = -ENOMEM;

	if (t) {
		t->base = base;
		t->n = n;
		t->changed = changed;
		t->arg = arg;
		status = start(t, tracks);
	}
	if (!status)
		return t;
	ek_error_set(error, "cannot track interfaces, routes and scripts: %s", strerror(-status));
	ek_tracker_free(t);
	return NULL;
}

void ek_tracker_free(struct ek_tracker *t)
{
	if (!t)
		return;
	for (size_t i = 0; t->items && i < t->n; i++)
		ek_track_script_free(t->items[i].script);
	free_event(t->tell);
	free_event(t->notified);
	free_event(t->due);
	close_dump(t);
	ek_netlink_socket_close(&t->events);
	ek_track_view_free(&t->view);
	free(t->items);
	free(t->tracks);
	free(t);
}

size_t ek_tracker_count(const struct ek_tracker *t)
{
	return t->n;
}

const struct ek_track_status *ek_tracker_at(const struct ek_tracker *t, size_t i)
{
	return &t->items[i].status;
}

size_t ek_tracker_failed(const struct ek_tracker *t)
{
	size_t failed = 0;

	for (size_t i = 0; i < t->n; i++)
		failed += t->items[i].status.failed;
	return failed;
}
