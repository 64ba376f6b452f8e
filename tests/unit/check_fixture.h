/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of health.c and of the checkers share: an engine on an event loop, listeners in
 * the same process, a server that plays a script. A watchdog ends the wait for what does not
 * happen; a test that leaves a file descriptor behind fails.
 */
#ifndef TESTS_CHECK_FIXTURE_H
#define TESTS_CHECK_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <cmocka.h>
#include "health.h"
#include "ip.h"

#define WATCHDOG_SECONDS 60

struct fixture {
	struct event_base *base;
	struct ek_health *health;
	struct event *watchdog;
	bool expired;
	bool inside; /* a call of ek_check_*(): no callback may come now */
	unsigned int changes;
	void (*react)(struct fixture *f, struct ek_check *check);
	struct ek_check *others[2];
	int fds; /* open before the test */
	int netns;
	struct rlimit files;
};

#define WAIT(f, condition)                                                             \
	while (!(condition)) {                                                         \
		if ((f)->expired)                                                      \
			fail_msg("not within %d s: %s", WATCHDOG_SECONDS, #condition); \
		event_base_loop((f)->base, EVLOOP_ONCE);                               \
	}

static inline int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static inline void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	((struct fixture *)arg)->expired = true;
}

static inline void on_changed(struct ek_check *check, void *arg)
{
	struct fixture *f = arg;

	assert_false(f->inside);
	f->changes++;
	if (f->react)
		f->react(f, check);
}

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct timeval watchdog = {WATCHDOG_SECONDS, 0};

	f->fds = count_fds();
	f->netns = -1;
	getrlimit(RLIMIT_NOFILE, &f->files);
	f->base = event_base_new();
	f->watchdog = evtimer_new(f->base, on_watchdog, f);
	evtimer_add(f->watchdog, &watchdog);
	f->health = ek_health_new(f->base, on_changed, f);
	*state = f;
	return f->health ? 0 : -1;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;
	int leaked;

	setrlimit(RLIMIT_NOFILE, &f->files);
	ek_health_free(f->health);
	event_free(f->watchdog);
	event_base_free(f->base);
	if (f->netns >= 0) {
		setns(f->netns, CLONE_NEWNET);
		close(f->netns);
	}
	leaked = count_fds() - f->fds;
	if (leaked)
		print_error("%d file descriptors left open\n", leaked);
	free(f);
	return leaked ? -1 : 0;
}

/* --- sockets ------------------------------------------------------------------------ */

static inline struct ek_ip ip(const char *text)
{
	struct ek_ip out;

	assert_int_equal(ek_ip_parse(text, &out), 0);
	return out;
}

/* Bound to `port`, or to a free one; with listen() still to come, connecting to it is refused. */
static inline int bind_to(const char *address, in_port_t *port)
{
	struct ek_ip local = ip(address);
	struct sockaddr_storage sockaddr;
	socklen_t length = ek_ip_sockaddr(&local, *port, &sockaddr);
	int fd = socket(sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sockaddr, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sockaddr, &length), 0);
	/* sin_port and sin6_port share their place. */
	*port = ntohs(((struct sockaddr_in *)&sockaddr)->sin_port);
	return fd;
}

static inline int listen_on(const char *address, in_port_t *port, int backlog)
{
	int fd;

	*port = 0;
	fd = bind_to(address, port);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

/* A network namespace of our own, with nothing but loopback, until teardown; or skip. */
static inline void enter_namespace(struct fixture *f)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	f->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (unshare(CLONE_NEWNET) < 0) {
		assert_int_equal(errno, EPERM);
		skip();
	}
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
}

static inline void ephemeral_ports(unsigned int low, unsigned int high)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "w");

	assert_non_null(file);
	fprintf(file, "%u %u", low, high);
	assert_int_equal(fclose(file), 0);
}

/* --- checks ------------------------------------------------------------------------- */

static const struct ek_config_check tcp = {
	.type = EK_CHECK_TCP, .interval = 50, .timeout = 5000, .rise = 2, .fall = 3};
static const struct ek_config_check http = {.type = EK_CHECK_HTTP,
					    .interval = 50,
					    .timeout = 5000,
					    .rise = 2,
					    .fall = 3,
					    .path = "/",
					    .status_low = 200,
					    .status_high = 299};

static inline struct ek_check *start_at(struct fixture *f, const struct ek_config_check *config,
					const char *target, in_port_t port, const char *vip_text,
					enum ek_health_state initial)
{
	struct ek_ip address = ip(target), vip = ip(vip_text);
	struct ek_check *check;

	f->inside = true;
	check = ek_check_start(f->health, config, &address, port, &vip, initial, f);
	f->inside = false;
	assert_non_null(check);
	assert_ptr_equal(ek_check_owner(check), f);
	return check;
}

static inline struct ek_check *start(struct fixture *f, const struct ek_config_check *config,
				     in_port_t port)
{
	return start_at(f, config, "127.0.0.1", port, "192.0.2.1", EK_HEALTH_UNKNOWN);
}

static inline void reconfigure(struct fixture *f, struct ek_check *check,
			       const struct ek_config_check *config, in_port_t port)
{
	f->inside = true;
	ek_check_reconfigure(check, config, port);
	f->inside = false;
}

static inline enum ek_health_state state_of(const struct ek_check *check)
{
	return ek_check_status(check)->state;
}

/* The first verdict of a check that was just started, then the check is stopped. */
static inline void expect(struct fixture *f, struct ek_check *check, const char *description,
			  enum ek_health_state state, const char *why)
{
	const struct ek_check_status *status = ek_check_status(check);

	WAIT(f, status->results > 0);
	if (status->state != state || strncmp(status->why, why, strlen(why)) != 0)
		fail_msg("%s: %s, \"%s\"; expected %s, \"%s\"", description,
			 ek_health_state_name(status->state), status->why,
			 ek_health_state_name(state), why);
	ek_check_stop(check);
}

static inline void expect_not_checked(struct fixture *f, struct ek_check *check, const char *why)
{
	const struct ek_check_status *status = ek_check_status(check);

	WAIT(f, strcmp(status->why, "not checked yet") != 0);
	assert_string_equal(status->why, why);
	assert_int_equal(status->results, 0);
	assert_int_equal(status->state, EK_HEALTH_UNKNOWN);
	ek_check_stop(check);
}

/* --- a server that plays a script --------------------------------------------------- */

enum after { CLOSE, HOLD, DRIP };

struct script {
	const char *head;
	size_t filler; /* bytes of 'x' after the head */
	const char *tail;
	enum after after;
	struct evconnlistener *listener;
	int open, accepted;
	int last; /* the newest connection */
	bool overlapped;
};

static inline void hang_up(struct bufferevent *peer, void *arg)
{
	((struct script *)arg)->open--;
	bufferevent_free(peer);
}

static inline void on_event(struct bufferevent *peer, short what, void *arg)
{
	(void)what;
	hang_up(peer, arg);
}

static inline void drip(struct bufferevent *peer, void *arg)
{
	(void)arg;
	bufferevent_write(peer, "x", 1);
}

static inline void play(struct bufferevent *peer, void *arg)
{
	struct script *script = arg;
	struct evbuffer *in = bufferevent_get_input(peer), *out = bufferevent_get_output(peer);
	char *filler = malloc(script->filler + 1);

	evbuffer_drain(in, evbuffer_get_length(in));
	memset(filler, 'x', script->filler);
	evbuffer_add(out, script->head, strlen(script->head));
	evbuffer_add(out, filler, script->filler);
	evbuffer_add(out, script->tail, strlen(script->tail));
	free(filler);
	if (script->after == CLOSE && evbuffer_get_length(out) == 0)
		hang_up(peer, script);
	else if (script->after == CLOSE)
		bufferevent_setcb(peer, NULL, hang_up, on_event, script);
	else if (script->after == DRIP)
		bufferevent_setcb(peer, NULL, drip, on_event, script);
}

static inline void on_accept(struct evconnlistener *listener, evutil_socket_t fd,
			     struct sockaddr *address, int length, void *arg)
{
	struct script *script = arg;
	struct bufferevent *peer = bufferevent_socket_new(evconnlistener_get_base(listener), fd,
							  BEV_OPT_CLOSE_ON_FREE);
	struct pollfd last = {.fd = script->last};

	(void)address;
	(void)length;
	if (script->open > 0 && poll(&last, 1, 0) == 0)
		script->overlapped = true;
	script->last = fd;
	script->open++;
	script->accepted++;
	bufferevent_setcb(peer, play, NULL, on_event, script);
	bufferevent_enable(peer, EV_READ | EV_WRITE);
}

static inline in_port_t script_start(struct fixture *f, struct script *script)
{
	in_port_t port;
	int fd = listen_on("127.0.0.1", &port, 2000);

	script->listener =
		evconnlistener_new(f->base, on_accept, script, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	return port;
}

/* Every check has been stopped: each connection must end without the script's doing. */
static inline void script_stop(struct fixture *f, struct script *script)
{
	evconnlistener_free(script->listener);
	WAIT(f, script->open == 0);
}

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
