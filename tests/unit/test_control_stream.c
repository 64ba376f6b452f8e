/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Streams on the control socket: what the feeder is told, what a reader gets that is slow, has
 * enough or hangs up, and the blocking client that follows one.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "control.h"
#include "control_client.h"
#include "log.h"

#define DEADLINE_MS 20000

/* --- a server with a command that counts --------------------------------------------------- */

struct fixture {
	char directory[64], path[96];
	struct event_base *base;
	struct ek_control *control;
	struct ek_error error;
	struct ek_control_stream *stream; /* NULL: nobody listens */
	unsigned int sent, lost, ended;
};

static void on_ended(void *arg)
{
	struct fixture *f = arg;
	json_t *line = json_pack("{s:b, s:i}", "end", 1, "sent", (int)f->sent);

	ek_control_stream_send(f->stream, line);
	json_decref(line);
	f->stream = NULL;
	f->ended++;
}

static json_t *follow_count(void *arg, const json_t *request, struct ek_control_stream *stream,
			    struct ek_error *error)
{
	struct fixture *f = arg;

	(void)request;
	if (f->stream) {
		ek_error_set(error, "one is enough");
		return NULL;
	}
	f->stream = stream;
	ek_control_stream_begin(stream, on_ended, f);
	return json_true();
}

static json_t *handle_ping(void *arg, const json_t *request, struct ek_error *error)
{
	(void)arg;
	(void)request;
	(void)error;
	return json_string("pong");
}

static const struct ek_control_command commands[] = {
	{"count", NULL, "counts", follow_count},
	{"ping", handle_ping, "says pong", NULL},
};

static bool count(struct fixture *f)
{
	json_t *line = json_pack("{s:i}", "n", (int)f->sent);
	bool sent = ek_control_stream_send(f->stream, line);

	json_decref(line);
	f->sent += sent;
	f->lost += !sent;
	return sent;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/tmp/evenkeel-test-stream-XXXXXX");
	if (!mkdtemp(f->directory))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/socket", f->directory);
	f->base = event_base_new();
	f->control = ek_control_open(f->base, f->path, commands, 2, f, &f->error);
	*state = f;
	return f->control ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char lock[104];

	if (f->control)
		ek_control_close(f->control);
	event_base_free(f->base);
	snprintf(lock, sizeof(lock), "%s.lock", f->path);
	unlink(lock);
	if (rmdir(f->directory))
		return -1;
	free(f);
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Runs the loop until something happens, for at most a few milliseconds. */
static void turn(struct fixture *f)
{
	struct timeval little = {.tv_usec = 2000};

	event_base_loopexit(f->base, &little);
	event_base_loop(f->base, EVLOOP_ONCE);
}

static int connect_to(struct fixture *f)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(ek_control_address(f->path, &address, &f->error), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void say(int fd, const char *line)
{
	assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL), strlen(line));
}

/* The next line, or NULL when the server hung up. */
static char *hear(struct fixture *f, int fd)
{
	static char line[4096];
	int64_t deadline = now_ms() + DEADLINE_MS;
	size_t used = 0;

	while (!used || line[used - 1] != '\n') {
		ssize_t n = recv(fd, line + used, 1, 0);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return NULL;
		if (n < 0)
			turn(f);
		used += n < 0 ? 0 : n;
		assert_true(used < sizeof(line) && now_ms() < deadline);
	}
	line[used] = '\0';
	return line;
}

static int listen_to(struct fixture *f)
{
	int fd = connect_to(f);

	say(fd, "{\"command\":\"count\"}\n");
	assert_string_equal(hear(f, fd), "{\"ok\":true,\"result\":true}\n");
	assert_non_null(f->stream);
	return fd;
}

static void wait_for_end(struct fixture *f)
{
	int64_t deadline = now_ms() + DEADLINE_MS;

	while (!f->ended) {
		turn(f);
		assert_true(now_ms() < deadline);
	}
	assert_int_equal(f->ended, 1);
	assert_null(f->stream);
}

/* --- one reader ---------------------------------------------------------------------------- */

static void test_lines(void **state)
{
	struct fixture *f = *state;
	int fd = listen_to(f);

	assert_true(count(f) && count(f));
	assert_string_equal(hear(f, fd), "{\"n\":0}\n");
	assert_string_equal(hear(f, fd), "{\"n\":1}\n");
	close(fd);
	wait_for_end(f);
}

static void test_half_closed(void **state)
{
	struct fixture *f = *state;
	int fd = listen_to(f);

	assert_true(count(f));
	shutdown(fd, SHUT_WR);
	wait_for_end(f);
	assert_string_equal(hear(f, fd), "{\"n\":0}\n");
	assert_string_equal(hear(f, fd), "{\"end\":true,\"sent\":1}\n");
	assert_null(hear(f, fd));
	close(fd);
}

/* What is asked before is answered, what comes after is not. */
static void test_pipelined(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f);

	say(fd, "{\"command\":\"ping\"}\n{\"command\":\"count\"}\n{\"command\":\"ping\"}\n");
	assert_string_equal(hear(f, fd), "{\"ok\":true,\"result\":\"pong\"}\n");
	assert_string_equal(hear(f, fd), "{\"ok\":true,\"result\":true}\n");
	assert_true(count(f));
	say(fd, "{\"command\":\"ping\"}\n");
	assert_string_equal(hear(f, fd), "{\"n\":0}\n");
	shutdown(fd, SHUT_WR);
	assert_string_equal(hear(f, fd), "{\"end\":true,\"sent\":1}\n");
	assert_null(hear(f, fd));
	close(fd);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	int fd = listen_to(f), other = connect_to(f);
	char *answer;

	say(other, "{\"command\":\"count\"}\n{\"command\":\"ping\"}\n");
	assert_string_equal(hear(f, other), "{\"ok\":false,\"error\":\"one is enough\"}\n");
	assert_string_equal(hear(f, other), "{\"ok\":true,\"result\":\"pong\"}\n");
	close(other);
	answer = ek_control_answer(commands, 2, f, "{\"command\":\"count\"}", 19);
	assert_string_equal(answer, "{\"ok\":false,\"error\":\"\\\"count\\\" needs a connection "
				    "of its own\"}\n");
	free(answer);
	assert_int_equal(f->ended, 0);
	close(fd);
	wait_for_end(f);
}

/* Memory is bounded, and once it reads again it gets lines again. */
static void test_slow_reader(void **state)
{
	struct fixture *f = *state;
	int fd = listen_to(f);
	unsigned int stored;

	while (count(f))
		assert_in_range(f->sent, 0, EK_CONTROL_STREAM_MAX / 4);
	assert_false(count(f));
	stored = f->sent;
	for (unsigned int i = 0; i < stored; i++) {
		char expected[32];

		snprintf(expected, sizeof(expected), "{\"n\":%u}\n", i);
		assert_string_equal(hear(f, fd), expected);
	}
	assert_true(count(f));
	assert_non_null(hear(f, fd));
	assert_int_equal(f->lost, 2);
	close(fd);
	wait_for_end(f);
}

/* Silence is a listener's right; not to read what there is, is not. */
static void test_idle(void **state)
{
	struct fixture *f = *state;
	int64_t until;
	int fd;

	ek_control_set_idle(f->control, 50);
	fd = listen_to(f);
	for (until = now_ms() + 150; now_ms() < until;)
		turn(f);
	assert_int_equal(f->ended, 0);
	while (!f->ended && count(f))
		turn(f);
	wait_for_end(f);
	close(fd);
}

static void test_ended_by_the_feeder(void **state)
{
	struct fixture *f = *state;
	int fd = listen_to(f);

	assert_true(count(f));
	ek_control_stream_end(f->stream);
	wait_for_end(f);
	assert_string_equal(hear(f, fd), "{\"n\":0}\n");
	assert_string_equal(hear(f, fd), "{\"end\":true,\"sent\":1}\n");
	assert_null(hear(f, fd));
	close(fd);
}

static void test_closing(void **state)
{
	struct fixture *f = *state;
	int fd = listen_to(f);

	ek_control_close(f->control);
	f->control = NULL;
	assert_int_equal(f->ended, 1);
	close(fd);
}

/* --- the client that follows --------------------------------------------------------------- */

struct call {
	struct fixture *f;
	unsigned int enough; /* lines */
	atomic_int begun;
	int n, ended;
	int err;
	struct ek_error error;
	volatile sig_atomic_t stop;
	atomic_bool done;
};

static void on_begun(void *arg, const json_t *result)
{
	struct call *call = arg;

	call->begun += json_is_true(result);
}

static bool on_line(void *arg, const json_t *line)
{
	struct call *call = arg;

	if (json_object_get(line, "end"))
		call->ended++;
	else
		call->n++;
	return (unsigned int)call->n < call->enough;
}

static void on_signal(int number)
{
	(void)number;
}

static void *call_thread(void *arg)
{
	struct call *call = arg;
	json_t *request = json_pack("{s:s}", "command", "count");
	sigset_t unblocked;
	const struct ek_control_follower follower = {on_begun, on_line, call, &call->stop,
						     &unblocked};

	pthread_sigmask(SIG_SETMASK, NULL, &unblocked);
	sigdelset(&unblocked, SIGUSR1);
	call->err = ek_control_follow(call->f->path, request, 2000, &follower, &call->error);
	json_decref(request);
	call->done = true;
	return NULL;
}

static void start_call(struct call *call, struct fixture *f, pthread_t *thread)
{
	const struct sigaction action = {.sa_handler = on_signal};
	int64_t deadline = now_ms() + DEADLINE_MS;
	sigset_t signals;

	call->f = f;
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* the thread's, too */
	sigaction(SIGUSR1, &action, NULL);
	assert_int_equal(pthread_create(thread, NULL, call_thread, call), 0);
	while (!call->begun && !call->done) {
		turn(f);
		assert_true(now_ms() < deadline);
	}
}

static void finish_call(struct call *call, pthread_t thread)
{
	int64_t deadline = now_ms() + DEADLINE_MS;

	while (!call->done) {
		turn(call->f);
		assert_true(now_ms() < deadline);
	}
	pthread_join(thread, NULL);
}

static void test_follow_until_enough(void **state)
{
	struct fixture *f = *state;
	struct call call = {.enough = 3};
	pthread_t thread;

	start_call(&call, f, &thread);
	for (int i = 0; i < 3; i++)
		assert_true(count(f));
	finish_call(&call, thread);
	assert_int_equal(call.err, 0);
	assert_int_equal(call.begun, 1);
	assert_int_equal(call.n, 3);
	assert_int_equal(call.ended, 1);
	assert_int_equal(f->ended, 1);
}

static void test_follow_until_a_signal(void **state)
{
	struct fixture *f = *state;
	struct call call = {.enough = 1000};
	pthread_t thread;

	start_call(&call, f, &thread);
	assert_true(count(f));
	call.stop = 1;
	pthread_kill(thread, SIGUSR1);
	finish_call(&call, thread);
	assert_int_equal(call.err, 0);
	assert_int_equal(call.n, 1);
	assert_int_equal(call.ended, 1);
}

static void test_follow_to_the_end(void **state)
{
	struct fixture *f = *state;
	struct call call = {.enough = 1000};
	pthread_t thread;

	start_call(&call, f, &thread);
	ek_control_close(f->control);
	f->control = NULL;
	finish_call(&call, thread);
	assert_int_equal(call.err, -EPIPE);
	assert_non_null(strstr(call.error.text, "has ended; its log may say why"));
}

static void test_follow_refused(void **state)
{
	struct fixture *f = *state;
	int fd = listen_to(f);
	struct call call = {.enough = 1000};
	pthread_t thread;

	start_call(&call, f, &thread);
	finish_call(&call, thread);
	assert_int_equal(call.err, -EPERM);
	assert_string_equal(call.error.text, "one is enough");
	assert_int_equal(call.begun, 0);
	close(fd);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(test_lines),
		WITH_SERVER(test_half_closed),
		WITH_SERVER(test_pipelined),
		WITH_SERVER(test_refused),
		WITH_SERVER(test_slow_reader),
		WITH_SERVER(test_idle),
		WITH_SERVER(test_ended_by_the_feeder),
		WITH_SERVER(test_closing),
		WITH_SERVER(test_follow_until_enough),
		WITH_SERVER(test_follow_until_a_signal),
		WITH_SERVER(test_follow_to_the_end),
		WITH_SERVER(test_follow_refused),
	};

	signal(SIGPIPE, SIG_IGN);
	ek_log_init(EK_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
