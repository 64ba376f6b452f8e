/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The health check engine: one timer a check, the results, the states, and who is told.
 *
 * A check is idle or it has a probe running; never two. Its one timer is the next start in the
 * first case and the deadline in the second. Checkers (checker.h) run the probes and answer by
 * ek_probe_done(), which calls nobody: a changed check is queued, and an event of the engine's own
 * tells the caller, with no checker or libcurl on the stack. So the caller may do as it likes
 * there. Single-threaded: everything runs on the event base it was given.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/queue.h>
#include <event2/event.h>
#include "checker.h"

static const struct ek_checker_ops *const checkers[] = {
	[EK_CHECK_NONE] = NULL,
	[EK_CHECK_TCP] = &ek_check_tcp_ops,
	[EK_CHECK_HTTP] = &ek_check_http_ops,
	[EK_CHECK_HTTPS] = &ek_check_http_ops,
};
#define N_CHECKERS (sizeof(checkers) / sizeof(checkers[0]))

TAILQ_HEAD(check_list, ek_check);

struct ek_check {
	struct ek_health *health;
	TAILQ_ENTRY(ek_check) all;
	TAILQ_ENTRY(ek_check) queue; /* in health->queue while `queued` */
	bool queued;
	void *owner;
	struct ek_config_check config;
	struct ek_health_fsm fsm;
	struct ek_check_status status;
	struct event *timer;
	const struct ek_checker_ops *running; /* NULL = idle */
	unsigned int timeout;		      /* ms, of the running probe */
	uint64_t started_us;		      /* of the last probe; 0 = none yet */
	struct ek_probe probe;
};

struct ek_health {
	struct event_base *base;
	ek_health_changed changed;
	void *arg;
	struct check_list all;
	struct check_list queue; /* changed, and nobody told yet */
	struct event *tell;
	void *shared[N_CHECKERS];
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ull + now.tv_nsec / 1000;
}

static void enter(struct ek_check *check, enum ek_health_state state)
{
	check->fsm.state = check->status.state = state;
	check->status.since_ms = now_us() / 1000;
	check->status.since = time(NULL);
}

static void remember(struct ek_check_status *status)
{
	struct ek_health_change *change = &status->history[status->changes++ % EK_HEALTH_HISTORY];

	change->state = status->state;
	change->at = status->since;
	memcpy(change->why, status->why, sizeof(change->why));
}

static void set_state(struct ek_check *check, enum ek_health_state state)
{
	struct ek_health *health = check->health;

	enter(check, state);
	remember(&check->status);
	if (!check->queued) {
		TAILQ_INSERT_TAIL(&health->queue, check, queue);
		check->queued = true;
	}
	event_active(health->tell, EV_TIMEOUT, 0);
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
	struct ek_health *health = arg;
	struct ek_check *check = TAILQ_FIRST(&health->queue);

	(void)fd;
	(void)what;
	if (!check)
		return;
	TAILQ_REMOVE(&health->queue, check, queue);
	check->queued = false;
	/* One a turn, and the next turn asked for first: the callback may free check and engine. */
	if (!TAILQ_EMPTY(&health->queue))
		event_active(health->tell, EV_TIMEOUT, 0);
	health->changed(check, health->arg);
}

static void arm(struct ek_check *check, uint64_t delay_us)
{
	struct timeval delay = {delay_us / 1000000, delay_us % 1000000};

	/* Timers count from the loop's cached time: after a long callback that is the past. */
	event_base_update_cache_time(check->health->base);
	evtimer_add(check->timer, &delay);
}

static void schedule_first(struct ek_check *check)
{
	if (checkers[check->config.type])
		arm(check, ek_health_first_delay_us(check->config.interval, arc4random()));
}

/* Intervals run from start to start; a check that took longer is followed at once. */
static void schedule_next(struct ek_check *check)
{
	uint64_t at =
		check->started_us + ek_health_next_delay_us(check->config.interval, arc4random());
	uint64_t now = now_us();

	arm(check, at > now ? at - now : 0);
}

static void begin(struct ek_check *check)
{
	enum ek_check_type type = check->config.type;
	const struct ek_checker_ops *ops = checkers[type];
	void **shared = &check->health->shared[type];

	check->running = ops;
	check->timeout = check->config.timeout;
	check->started_us = now_us();
	arm(check, check->timeout * 1000ull);
	if (ops->open && !*shared)
		*shared = ops->open(check->health->base);
	check->probe.shared = *shared;
	if (ops->open && !*shared)
		ek_probe_error(&check->probe, ENOMEM);
	else
		ops->begin(&check->probe);
}

static void cancel(struct ek_check *check)
{
	if (check->running)
		check->running->cancel(&check->probe);
	check->running = NULL;
	evtimer_del(check->timer);
}

/*
 * The deadline has passed. A loop that was held up for longer than the whole timeout cannot tell
 * a slow backend from a slow controller, so it blames neither.
 */
static void timed_out(struct ek_check *check)
{
	uint64_t elapsed = (now_us() - check->started_us) / 1000;

	check->running->cancel(&check->probe);
	if (elapsed > 2ull * check->timeout)
		ek_probe_done(&check->probe, EK_VERDICT_NOT_CHECKED,
			      "the controller was busy for %llu ms",
			      (unsigned long long)(elapsed - check->timeout));
	else
		ek_probe_done(&check->probe, EK_VERDICT_FAIL, "timed out after %u ms",
			      check->timeout);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ek_check *check = arg;

	(void)fd;
	(void)what;
	if (check->running)
		timed_out(check);
	else
		begin(check);
}

/* --- the checkers' side (checker.h) ------------------------------------------------- */

static void explain(char why[EK_HEALTH_WHY], enum ek_verdict verdict, uint64_t took_us,
		    const char *text)
{
	if (verdict == EK_VERDICT_PASS)
		snprintf(why, EK_HEALTH_WHY, "%.96s in %.1f ms", text, took_us / 1000.0);
	else if (verdict == EK_VERDICT_NOT_CHECKED)
		snprintf(why, EK_HEALTH_WHY, "not checked: %.96s", text);
	else
		snprintf(why, EK_HEALTH_WHY, "%s", text);
}

void ek_probe_done(struct ek_probe *probe, enum ek_verdict verdict, const char *format, ...)
{
	struct ek_check *check =
		(struct ek_check *)((char *)probe - offsetof(struct ek_check, probe));
	struct ek_check_status *status = &check->status;
	uint64_t took_us = now_us() - check->started_us;
	char text[EK_HEALTH_WHY];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	explain(status->why, verdict, took_us, text);
	check->running = NULL;
	schedule_next(check);
	if (verdict == EK_VERDICT_NOT_CHECKED)
		return;
	status->results++;
	status->last_duration_us = took_us;
	if (ek_health_fsm_result(&check->fsm, verdict == EK_VERDICT_PASS))
		set_state(check, check->fsm.state);
}

static bool is_local(int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
	case EAGAIN:
	case EADDRNOTAVAIL: /* every ephemeral port toward this backend is in use */
	case EAFNOSUPPORT:  /* this host has IPv6 disabled */
		return true;
	default:
		return false;
	}
}

void ek_probe_error(struct ek_probe *probe, int error)
{
	const char *text = strerrordesc_np(error);
	char first;

	if (!text)
		text = "Unknown error";
	first = text[0] >= 'A' && text[0] <= 'Z' ? text[0] + 'a' - 'A' : text[0];
	ek_probe_done(probe, is_local(error) ? EK_VERDICT_NOT_CHECKED : EK_VERDICT_FAIL, "%c%s",
		      first, text + 1);
}

/*
 * Closing sends a reset. We close first, so an orderly close would leave TIME_WAIT on this side,
 * a minute per check: at a few hundred checks a second toward one backend the ephemeral ports
 * run out. There is nothing left to deliver that a reset could destroy.
 */
int ek_probe_socket(int family)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* --- the caller's side (health.h) --------------------------------------------------- */

struct ek_health *ek_health_new(struct event_base *base, ek_health_changed changed, void *arg)
{
	struct ek_health *health = calloc(1, sizeof(*health));

	if (!health)
		return NULL;
	health->base = base;
	health->changed = changed;
	health->arg = arg;
	TAILQ_INIT(&health->all);
	TAILQ_INIT(&health->queue);
	health->tell = event_new(base, -1, 0, on_tell, health);
	if (!health->tell) {
		free(health);
		errno = ENOMEM;
		return NULL;
	}
	return health;
}

void ek_health_free(struct ek_health *health)
{
	struct ek_check *check;

	if (!health)
		return;
	while ((check = TAILQ_FIRST(&health->all)))
		ek_check_stop(check);
	for (size_t i = 0; i < N_CHECKERS; i++)
		if (health->shared[i])
			checkers[i]->close(health->shared[i]);
	event_free(health->tell);
	free(health);
}

/* A backend that nobody checks is taken for up. */
static void settle_unchecked(struct ek_check *check)
{
	snprintf(check->status.why, sizeof(check->status.why), "no check");
	check->fsm.run = 0;
	if (check->status.state != EK_HEALTH_UP)
		set_state(check, EK_HEALTH_UP);
}

static void configure(struct ek_check *check, const struct ek_config_check *config, uint16_t port)
{
	check->config = *config;
	check->fsm.rise = config->rise;
	check->fsm.fall = config->fall;
	check->probe.port = port;
	if (!checkers[config->type])
		settle_unchecked(check);
}

struct ek_check *ek_check_start(struct ek_health *health, const struct ek_config_check *config,
				const struct ek_ip *target, uint16_t port, const struct ek_ip *vip,
				enum ek_health_state initial, void *owner)
{
	struct ek_check *check = calloc(1, sizeof(*check));

	if (check)
		check->timer = evtimer_new(health->base, on_timer, check);
	if (!check || !check->timer) {
		free(check);
		errno = ENOMEM;
		return NULL;
	}
	check->health = health;
	check->owner = owner;
	check->probe.base = health->base;
	check->probe.config = &check->config;
	check->probe.target = *target;
	check->probe.vip = *vip;
	enter(check, initial);
	snprintf(check->status.why, sizeof(check->status.why), "not checked yet");
	TAILQ_INSERT_TAIL(&health->all, check, all);
	configure(check, config, port);
	schedule_first(check);
	return check;
}

void ek_check_stop(struct ek_check *check)
{
	if (!check)
		return;
	cancel(check);
	event_free(check->timer);
	if (check->queued)
		TAILQ_REMOVE(&check->health->queue, check, queue);
	TAILQ_REMOVE(&check->health->all, check, all);
	free(check);
}

static bool asks_the_same(const struct ek_config_check *a, const struct ek_config_check *b)
{
	return a->type == b->type && a->status_low == b->status_low &&
	       a->status_high == b->status_high && strcmp(a->path, b->path) == 0 &&
	       strcmp(a->host, b->host) == 0 && strcmp(a->body, b->body) == 0;
}

void ek_check_reconfigure(struct ek_check *check, const struct ek_config_check *config,
			  uint16_t port)
{
	bool same = port == check->probe.port && asks_the_same(config, &check->config);

	if (!same)
		cancel(check);
	configure(check, config, port);
	if (!same || !check->started_us)
		schedule_first(check);
	else if (checkers[config->type] && !check->running)
		schedule_next(check);
}

void *ek_check_owner(const struct ek_check *check)
{
	return check->owner;
}

const struct ek_check_status *ek_check_status(const struct ek_check *check)
{
	return &check->status;
}
