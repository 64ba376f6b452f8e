/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket: the answer to a line as a pure function, then a server on the event loop
 * with clients in the same process (raw sockets, pumped without threads) and, for the blocking
 * client, in a thread or a child.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "control.h"
#include "control_client.h"
#include "log.h"

#define DEADLINE_MS 20000
#define BIG_BYTES   (1u << 20)
#define HUGE_BYTES  (24u << 20)

/* --- the commands of the server under test ------------------------------------------------- */

struct calls {
	unsigned int n;
};

static json_t *handle_echo(void *arg, const json_t *request, struct ek_error *error)
{
	const char *text;

	((struct calls *)arg)->n++;
	if (ek_control_string(request, "text", &text, error))
		return NULL;
	return text ? json_string(text) : json_null();
}

static json_t *handle_fail(void *arg, const json_t *request, struct ek_error *error)
{
	(void)arg;
	(void)request;
	ek_error_set(error, "no such \"thing\"");
	return NULL;
}

static json_t *handle_silent(void *arg, const json_t *request, struct ek_error *error)
{
	(void)arg;
	(void)request;
	(void)error;
	return NULL;
}

static json_t *handle_cut(void *arg, const json_t *request, struct ek_error *error)
{
	(void)arg;
	(void)request;
	ek_error_set(error, "cut within a character: \xe2\x80");
	return NULL;
}

static json_t *handle_number(void *arg, const json_t *request, struct ek_error *error)
{
	(void)arg;
	(void)request;
	(void)error;
	return json_pack("{s:f, s:I}", "share", 0.3333, "bytes", (json_int_t)INT64_MAX);
}

static json_t *repeated(void *arg, size_t length)
{
	char *text = malloc(length);
	json_t *string;

	((struct calls *)arg)->n++;
	memset(text, 'x', length);
	string = json_stringn(text, length);
	free(text);
	return string;
}

static json_t *handle_big(void *arg, const json_t *request, struct ek_error *error)
{
	(void)request;
	(void)error;
	return repeated(arg, BIG_BYTES);
}

static json_t *handle_huge(void *arg, const json_t *request, struct ek_error *error)
{
	(void)request;
	(void)error;
	return repeated(arg, HUGE_BYTES);
}

static const struct ek_control_command commands[] = {
	{"echo", handle_echo, "says it again", NULL},
	{"fail", handle_fail, "fails", NULL},
	{"silent", handle_silent, "fails mutely", NULL},
	{"cut", handle_cut, "fails in half a character", NULL},
	{"number", handle_number, "numbers", NULL},
	{"big", handle_big, "a megabyte", NULL},
	{"huge", handle_huge, "more than the output limit", NULL},
};
#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

/* --- one line ------------------------------------------------------------------------------ */

#define STRING(s) s, sizeof(s) - 1

static const struct {
	const char *description;
	const char *line;
	size_t length;
	const char *answer; /* or how it begins, when it ends in "..." */
} lines[] = {
	{"a request", STRING("{\"command\":\"echo\",\"text\":\"hi\"}"),
	 "{\"ok\":true,\"result\":\"hi\"}\n"},
	{"an absent argument", STRING("{\"command\":\"echo\"}"), "{\"ok\":true,\"result\":null}\n"},
	{"white space and a carriage return", STRING(" { \"command\" : \"echo\" }\r"),
	 "{\"ok\":true,\"result\":null}\n"},
	{"newlines are escaped in an answer", STRING("{\"command\":\"echo\",\"text\":\"a\\nb\"}"),
	 "{\"ok\":true,\"result\":\"a\\nb\"}\n"},
	{"numbers are short and exact", STRING("{\"command\":\"number\"}"),
	 "{\"ok\":true,\"result\":{\"share\":0.3333,\"bytes\":9223372036854775807}}\n"},
	{"an argument of the wrong type", STRING("{\"command\":\"echo\",\"text\":7}"),
	 "{\"ok\":false,\"error\":\"\\\"text\\\" must be a string\"}\n"},
	{"null is not absent", STRING("{\"command\":\"echo\",\"text\":null}"),
	 "{\"ok\":false,\"error\":\"\\\"text\\\" must be a string\"}\n"},
	{"a handler that refuses", STRING("{\"command\":\"fail\"}"),
	 "{\"ok\":false,\"error\":\"no such \\\"thing\\\"\"}\n"},
	{"a handler that says nothing", STRING("{\"command\":\"silent\"}"),
	 "{\"ok\":false,\"error\":\"failed, and did not say why\"}\n"},
	{"an error text that is not UTF-8", STRING("{\"command\":\"cut\"}"),
	 "{\"ok\":false,\"error\":\"cut within a character: ?\?\"}\n"},
	{"an unknown command", STRING("{\"command\":\"stauts\"}"),
	 "{\"ok\":false,\"error\":\"unknown command \\\"stauts\\\"; ..."},
	{"no command", STRING("{}"), "{\"ok\":false,\"error\":\"the request names no ..."},
	{"a command that is no string", STRING("{\"command\":1}"),
	 "{\"ok\":false,\"error\":\"\\\"command\\\" must be a string\"}\n"},
	{"an array", STRING("[]"), "{\"ok\":false,\"error\":\"a request is a JSON object, ..."},
	{"a number", STRING("42"), "{\"ok\":false,\"error\":\"a request is a JSON object, ..."},
	{"an empty line", STRING(""), "{\"ok\":false,\"error\":\"column 0: not JSON: ..."},
	{"no JSON", STRING("status"), "{\"ok\":false,\"error\":\"column 6: not JSON: ..."},
	{"an unfinished object", STRING("{\"command\":"), "{\"ok\":false,\"error\":\"column ..."},
	{"something after it", STRING("{\"command\":\"echo\"} x"),
	 "{\"ok\":false,\"error\":\"column ..."},
	{"a key given twice", STRING("{\"command\":\"echo\",\"command\":\"fail\"}"),
	 "{\"ok\":false,\"error\":\"column ..."},
	{"a NUL byte", STRING("{\"command\":\"ec\0ho\"}"), "{\"ok\":false,\"error\":\"column ..."},
	{"an escaped NUL", STRING("{\"command\":\"ec\\u0000ho\"}"),
	 "{\"ok\":false,\"error\":\"column ..."},
	{"bytes that are not UTF-8", STRING("{\"command\":\"\xff\xfe\"}"),
	 "{\"ok\":false,\"error\":\"column ..."},
	{"help lists the table", STRING("{\"command\":\"help\"}"),
	 "{\"ok\":true,\"result\":{\"commands\":[{\"command\":\"echo\",\"description\":\"says it "
	 "again\"},..."},
};

static void assert_answer(const char *description, const char *got, const char *expected)
{
	size_t length = strlen(expected);
	bool begins = length > 3 && !strcmp(expected + length - 3, "...");

	if (begins ? strncmp(got, expected, length - 3) != 0 : strcmp(got, expected) != 0)
		fail_msg("%s: got %s", description, got);
	assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1);
}

static void test_lines(void **state)
{
	struct calls calls = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		/* A copy of the exact size: reading past it would be seen. */
		char *line = malloc(lines[i].length + 1);
		char *answer;

		memcpy(line, lines[i].line, lines[i].length);
		line = realloc(line, lines[i].length ? lines[i].length : 1);
		answer = ek_control_answer(commands, N_COMMANDS, &calls, line, lines[i].length);
		assert_non_null(answer);
		assert_answer(lines[i].description, answer, lines[i].answer);
		free(answer);
		free(line);
	}
}

static void test_deep_nesting(void **state)
{
	size_t length = EK_CONTROL_LINE_MAX;
	char *line = malloc(length), *answer;

	(void)state;
	memset(line, '[', length);
	answer = ek_control_answer(commands, N_COMMANDS, NULL, line, length);
	assert_answer("a megabyte of brackets", answer, "{\"ok\":false,\"error\":\"column ...");
	free(answer);
	free(line);
}

static void test_text(void **state)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {{"", ""}, {"plain", "plain"}, {"\xc3\xa4", "\xc3\xa4"}, {"a\xff-\xc3", "a?-?"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		json_t *string = ek_control_text(rows[i].text);

		assert_string_equal(json_string_value(string), rows[i].expected);
		json_decref(string);
	}
}

/* --- a server and its surroundings --------------------------------------------------------- */

struct fixture {
	char directory[64], path[96], lock[104];
	struct event_base *base;
	struct ek_control *control;
	struct ek_error error;
	struct calls calls;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void open_control(struct fixture *f)
{
	f->control = ek_control_open(f->base, f->path, commands, N_COMMANDS, &f->calls, &f->error);
	if (!f->control)
		fail_msg("ek_control_open: %s", f->error.text);
}

static void close_control(struct fixture *f)
{
	ek_control_close(f->control);
	f->control = NULL;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/tmp/evenkeel-test-control-XXXXXX");
	if (!mkdtemp(f->directory) || chmod(f->directory, 0755))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/run/socket", f->directory);
	snprintf(f->lock, sizeof(f->lock), "%s.lock", f->path);
	f->base = event_base_new();
	*state = f;
	open_control(f);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char run[80];

	if (f->control)
		close_control(f);
	event_base_free(f->base);
	snprintf(run, sizeof(run), "%s/run", f->directory);
	unlink(f->path);
	unlink(f->lock);
	rmdir(run);
	if (rmdir(f->directory))
		return -1;
	free(f);
	return 0;
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

/* Sends all of it, turning the loop while the socket is full. Less when the server hung up. */
static size_t send_pumped(struct fixture *f, int fd, const char *text, size_t length)
{
	int64_t deadline = now_ms() + DEADLINE_MS;
	size_t sent = 0;

	while (sent < length) {
		ssize_t n = send(fd, text + sent, length - sent, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break;
		sent += n < 0 ? 0 : n;
		turn(f);
		assert_true(now_ms() < deadline);
	}
	return sent;
}

static void say(struct fixture *f, int fd, const char *line)
{
	assert_int_equal(send_pumped(f, fd, line, strlen(line)), strlen(line));
}

/*
 * Reads until `newlines` answers have come or the server hung up: then *hung_up is set. The
 * text, to be freed.
 */
static char *hear(struct fixture *f, int fd, int newlines, bool *hung_up)
{
	int64_t deadline = now_ms() + DEADLINE_MS;
	size_t size = 2 * HUGE_BYTES, used = 0;
	char *text = malloc(size);

	*hung_up = false;
	while (newlines > 0) {
		ssize_t n = recv(fd, text + used, size - used - 1, 0);

		if (n == 0 || (n < 0 && errno == ECONNRESET)) {
			*hung_up = true;
			break;
		}
		for (ssize_t i = 0; i < n; i++)
			newlines -= text[used + i] == '\n';
		used += n < 0 ? 0 : n;
		turn(f);
		assert_true(now_ms() < deadline);
	}
	text[used] = '\0';
	return text;
}

static void expect(struct fixture *f, int fd, int newlines, const char *expected)
{
	bool hung_up;
	char *text = hear(f, fd, newlines, &hung_up);

	assert_false(hung_up);
	assert_string_equal(text, expected);
	free(text);
}

static void expect_end(struct fixture *f, int fd)
{
	bool hung_up;
	char *text = hear(f, fd, 1, &hung_up);

	assert_true(hung_up);
	assert_string_equal(text, "");
	free(text);
	close(fd);
}

#define ECHO(s)	 "{\"command\":\"echo\",\"text\":\"" s "\"}\n"
#define HEARD(s) "{\"ok\":true,\"result\":\"" s "\"}\n"

static void test_serves(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f);

	say(f, fd, ECHO("one"));
	expect(f, fd, 1, HEARD("one"));
	say(f, fd, "bad\n" ECHO("two"));
	free(hear(f, fd, 2, &(bool){false}));
	say(f, fd, ECHO("three"));
	close(fd);
}

static void test_usable_after_a_bad_line(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f);

	say(f, fd, "{\"command\":\"fail\"}\n\n" ECHO("still here"));
	expect(f, fd, 3,
	       "{\"ok\":false,\"error\":\"no such \\\"thing\\\"\"}\n"
	       "{\"ok\":false,\"error\":\"column 0: not JSON: unexpected token near end of "
	       "file\"}\n" HEARD("still here"));
	close(fd);
}

static void test_partial_lines(void **state)
{
	struct fixture *f = *state;
	const char *line = ECHO("piecemeal");
	int fd = connect_to(f);

	for (size_t i = 0; line[i]; i++)
		assert_int_equal(send_pumped(f, fd, line + i, 1), 1);
	expect(f, fd, 1, HEARD("piecemeal"));
	say(f, fd, "{\"command\":\"echo\",");
	say(f, fd, "\"text\":\"b\"}\n" ECHO("c") "{\"command\":\"echo\"");
	expect(f, fd, 2, HEARD("b") HEARD("c"));
	say(f, fd, "}\n");
	expect(f, fd, 1, "{\"ok\":true,\"result\":null}\n");
	close(fd);
}

#define REQUESTS 200

static void fill_pipeline(char *requests, char *answers)
{
	for (int i = 0; i < REQUESTS; i++) {
		requests += sprintf(requests, ECHO("%d"), i);
		answers += sprintf(answers, HEARD("%d"), i);
	}
}

static void test_pipelined(void **state)
{
	struct fixture *f = *state;
	char requests[REQUESTS * 48], answers[REQUESTS * 48];
	int fd = connect_to(f);

	fill_pipeline(requests, answers);
	say(f, fd, requests);
	expect(f, fd, REQUESTS, answers);
	assert_int_equal(f->calls.n, REQUESTS);
	close(fd);
}

/* A client that shut its sending side down gets all its answers, then the end. */
static void test_half_closed(void **state)
{
	struct fixture *f = *state;
	char requests[REQUESTS * 48], answers[REQUESTS * 48];
	int fd = connect_to(f);

	fill_pipeline(requests, answers);
	strcat(requests, "{"); /* and a line that will never be whole */
	assert_int_equal(send(fd, requests, strlen(requests), 0), strlen(requests));
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	expect(f, fd, REQUESTS, answers);
	expect_end(f, fd);
}

static void test_gone_before_the_answer(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f);

	assert_true(send(fd, ECHO("a") ECHO("b"), sizeof(ECHO("a") ECHO("b")) - 1, 0) > 0);
	close(fd);
	fd = connect_to(f);
	say(f, fd, ECHO("next"));
	expect(f, fd, 1, HEARD("next"));
	close(fd);
}

static char *padded_request(size_t length)
{
	char *line = malloc(length + 1);

	memset(line, ' ', length);
	memcpy(line, "{\"command\":\"echo\"}", strlen("{\"command\":\"echo\"}"));
	line[length] = '\n';
	return line;
}

static void test_line_limit(void **state)
{
	static const struct {
		const char *description;
		size_t length;
		const char *answer;
	} rows[] = {
		{"the longest", EK_CONTROL_LINE_MAX, "{\"ok\":true,\"result\":null}\n"},
		{"a byte longer", EK_CONTROL_LINE_MAX + 1,
		 "{\"ok\":false,\"error\":\"the line is longer than 1048576 bytes\"}\n"},
		{"much longer", 3 * EK_CONTROL_LINE_MAX,
		 "{\"ok\":false,\"error\":\"the line is longer than 1048576 bytes\"}\n"},
	};
	struct fixture *f = *state;
	int fd = connect_to(f);

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *line = padded_request(rows[i].length);

		assert_int_equal(send_pumped(f, fd, line, rows[i].length + 1), rows[i].length + 1);
		expect(f, fd, 1, rows[i].answer);
		say(f, fd, ECHO("usable"));
		expect(f, fd, 1, HEARD("usable"));
		free(line);
	}
	close(fd);
}

static void test_huge_answer(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f);
	bool hung_up;
	char *text;

	say(f, fd, "{\"command\":\"huge\"}\n");
	text = hear(f, fd, 1, &hung_up);
	assert_false(hung_up);
	assert_int_equal(strlen(text), HUGE_BYTES + strlen(HEARD("")));
	free(text);
	say(f, fd, ECHO("after"));
	expect(f, fd, 1, HEARD("after"));
	close(fd);
}

static void test_slow_reader(void **state)
{
	struct fixture *f = *state;
	struct pollfd slow = {.fd = connect_to(f)};
	int64_t deadline = now_ms() + DEADLINE_MS;
	int fd = connect_to(f);

	for (int i = 0; i < 64; i++)
		send_pumped(f, slow.fd, "{\"command\":\"big\"}\n", 18);
	while (poll(&slow, 1, 0) >= 0 && !(slow.revents & POLLHUP)) {
		turn(f);
		assert_true(now_ms() < deadline);
	}
	/* What the kernel holds comes on top; 64 answers would be four times as much. */
	assert_in_range(f->calls.n, EK_CONTROL_OUTPUT_MAX / BIG_BYTES, 24);
	close(slow.fd);
	say(f, fd, ECHO("others are served"));
	expect(f, fd, 1, HEARD("others are served"));
	close(fd);
}

static void test_client_limit(void **state)
{
	struct fixture *f = *state;
	int fds[EK_CONTROL_CLIENTS_MAX], fd;

	for (unsigned int i = 0; i < EK_CONTROL_CLIENTS_MAX; i++) {
		fds[i] = connect_to(f);
		say(f, fds[i], ECHO("in"));
		expect(f, fds[i], 1, HEARD("in"));
	}
	fd = connect_to(f);
	expect(f, fd, 1,
	       "{\"ok\":false,\"error\":\"32 clients are connected already; try again when one "
	       "has left\"}\n");
	expect_end(f, fd);
	close(fds[7]);
	turn(f);
	fd = connect_to(f);
	say(f, fd, ECHO("in"));
	expect(f, fd, 1, HEARD("in"));
	close(fd);
	for (unsigned int i = 0; i < EK_CONTROL_CLIENTS_MAX; i++)
		if (i != 7)
			close(fds[i]);
}

/* Without a descriptor for it, a client waits until there is one. */
static void test_out_of_descriptors(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f), next = dup(fd);
	struct rlimit before, none_left;

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none_left = before;
	none_left.rlim_cur = next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none_left), 0);
	for (int i = 0; i < 3; i++)
		turn(f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	say(f, fd, ECHO("at last"));
	expect(f, fd, 1, HEARD("at last"));
	close(fd);
}

static void test_idle_client(void **state)
{
	struct fixture *f = *state;
	int fd;

	ek_control_set_idle(f->control, 20);
	fd = connect_to(f);
	expect_end(f, fd);
	fd = connect_to(f);
	say(f, fd, "{"); /* a line that is never finished is idle too */
	expect_end(f, fd);
}

/*
 * The client says nothing for three times the idle time: it is still reading a long answer. If
 * this machine does not run us for that long, nothing was learnt.
 */
static void test_reading_is_not_idle(void **state)
{
	const int64_t idle = 200, lasts = 3 * idle;
	int64_t start, now, last, stall = 0, used = 0;
	struct fixture *f = *state;
	bool hung_up = false;
	int fd;

	ek_control_set_idle(f->control, idle);
	fd = connect_to(f);
	say(f, fd, "{\"command\":\"big\"}\n");
	start = last = now_ms();
	for (; (now = now_ms()) - start < lasts && !hung_up; last = now) {
		char some[1 << 14];
		ssize_t n = 0;

		if (used < BIG_BYTES / 4 * 3 * (now - start) / lasts) {
			n = recv(fd, some, sizeof(some), 0);
			hung_up = n == 0 || (n < 0 && errno != EAGAIN);
		}
		used += n > 0 ? n : 0;
		stall = now - last > stall ? now - last : stall;
		turn(f);
	}
	if (!hung_up)
		free(hear(f, fd, 1, &hung_up));
	close(fd);
	if (hung_up && stall > idle / 2)
		skip();
	assert_false(hung_up);
}

static void test_does_not_read_is_idle(void **state)
{
	struct fixture *f = *state;
	struct pollfd client = {0};
	int64_t deadline = now_ms() + DEADLINE_MS;

	ek_control_set_idle(f->control, 20);
	client.fd = connect_to(f);
	say(f, client.fd, "{\"command\":\"huge\"}\n");
	while (poll(&client, 1, 0) >= 0 && !(client.revents & POLLHUP)) {
		turn(f);
		assert_true(now_ms() < deadline);
	}
	close(client.fd);
}

static void test_closing_drops_clients(void **state)
{
	struct fixture *f = *state;
	int fd = connect_to(f), busy = connect_to(f);

	say(f, fd, ECHO("a"));
	expect(f, fd, 1, HEARD("a"));
	say(f, busy, "{\"command\":\"huge\"}\n" ECHO("b") ECHO("c"));
	close_control(f);
	expect_end(f, fd);
	close(busy);
	assert_int_equal(access(f->path, F_OK), -1);
}

/* --- the path ------------------------------------------------------------------------------ */

static void test_modes(void **state)
{
	static const mode_t masks[] = {0, 022, 077, 0777};
	struct fixture *f = *state;
	char run[80];
	struct stat st;

	snprintf(run, sizeof(run), "%s/run", f->directory);
	for (size_t i = 0; i < sizeof(masks) / sizeof(*masks); i++) {
		mode_t before;

		close_control(f);
		unlink(f->lock);
		assert_int_equal(rmdir(run), 0);
		before = umask(masks[i]);
		open_control(f);
		assert_int_equal(umask(before), masks[i]);
		assert_int_equal(stat(run, &st), 0);
		assert_int_equal(st.st_mode, S_IFDIR | 0755);
		assert_int_equal(stat(f->path, &st), 0);
		assert_int_equal(st.st_mode, S_IFSOCK | 0660);
	}
}

static void expect_refused(struct fixture *f, const char *path, const char *expected)
{
	assert_null(ek_control_open(f->base, path, commands, N_COMMANDS, NULL, &f->error));
	if (!strstr(f->error.text, expected))
		fail_msg("\"%s\" is not in \"%s\"", expected, f->error.text);
}

static void test_live_socket(void **state)
{
	struct fixture *f = *state;
	char expected[64];
	int fd;

	snprintf(expected, sizeof(expected), "another evenkeeld (pid %d) is running", getpid());
	expect_refused(f, f->path, expected);
	unlink(f->lock); /* by hand: the socket alone is enough to tell */
	expect_refused(f, f->path, expected);
	turn(f); /* the two that asked are gone */
	fd = connect_to(f);
	say(f, fd, ECHO("undisturbed"));
	expect(f, fd, 1, HEARD("undisturbed"));
	close(fd);
}

/* A socket that a process left behind when it was killed. */
static void test_stale_socket(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address;
	struct stat st;
	int fd;

	close_control(f);
	assert_int_equal(ek_control_address(f->path, &address, &f->error), 0);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	close(fd);
	assert_int_equal(stat(f->path, &st), 0);
	open_control(f);
	fd = connect_to(f);
	say(f, fd, ECHO("replaced"));
	expect(f, fd, 1, HEARD("replaced"));
	close(fd);
}

static void test_lock(void **state)
{
	struct fixture *f = *state;
	int fd;

	close_control(f);
	fd = open(f->lock, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0); /* let go on closing */
	expect_refused(f, f->path, "another evenkeeld holds it");
	close(fd);
	open_control(f);
}

static void test_bad_paths(void **state)
{
	struct fixture *f = *state;
	char path[200];
	int fd;

	expect_refused(f, "", "needs 1 to 107 bytes");
	memset(path, 'x', 108);
	path[108] = '\0';
	expect_refused(f, path, "needs 1 to 107 bytes");
	expect_refused(f, "/proc/evenkeel/socket", "cannot create the directory");
	close_control(f);
	fd = open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	expect_refused(f, f->path, "in the way");
	assert_int_equal(access(f->path, F_OK), 0);
	close(fd);
}

/* --- the blocking client ------------------------------------------------------------------- */

struct call {
	const char *path;
	json_t *request, *result;
	struct ek_error error;
	atomic_bool done;
};

static void *call_thread(void *arg)
{
	struct call *call = arg;

	call->result = ek_control_call(call->path, call->request, DEADLINE_MS, &call->error);
	call->done = true;
	return NULL;
}

static void call_pumped(struct fixture *f, struct call *call)
{
	pthread_t thread;

	call->path = f->path;
	assert_int_equal(pthread_create(&thread, NULL, call_thread, call), 0);
	while (!call->done) /* the client has a deadline of its own */
		turn(f);
	pthread_join(thread, NULL);
	json_decref(call->request);
}

static void test_call(void **state)
{
	struct fixture *f = *state;
	struct call echo = {.request = json_pack("{s:s, s:s}", "command", "echo", "text", "x")};
	struct call nothing = {.request = json_pack("{s:s}", "command", "echo")};
	struct call refused = {.request = json_pack("{s:s}", "command", "fail")};
	struct call huge = {.request = json_pack("{s:s}", "command", "huge")};

	call_pumped(f, &echo);
	assert_string_equal(json_string_value(echo.result), "x");
	json_decref(echo.result);
	call_pumped(f, &nothing);
	assert_true(json_is_null(nothing.result));
	call_pumped(f, &refused);
	assert_null(refused.result);
	assert_string_equal(refused.error.text, "no such \"thing\"");
	call_pumped(f, &huge);
	assert_int_equal(json_string_length(huge.result), HUGE_BYTES);
	json_decref(huge.result);
}

/* The answer to the one client too many arrives although its request was never read. */
static void test_call_one_too_many(void **state)
{
	struct fixture *f = *state;
	struct call call = {.request = json_pack("{s:s}", "command", "echo")};
	int fds[EK_CONTROL_CLIENTS_MAX];

	for (unsigned int i = 0; i < EK_CONTROL_CLIENTS_MAX; i++) {
		fds[i] = connect_to(f);
		turn(f);
	}
	call_pumped(f, &call);
	assert_null(call.result);
	assert_non_null(strstr(call.error.text, "32 clients are connected already"));
	for (unsigned int i = 0; i < EK_CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
}

static void expect_call_fails(struct fixture *f, const char *path, const char *expected)
{
	json_t *request = json_pack("{s:s}", "command", "echo");

	assert_null(ek_control_call(path, request, 50, &f->error));
	json_decref(request);
	if (!strstr(f->error.text, expected))
		fail_msg("\"%s\" is not in \"%s\"", expected, f->error.text);
}

static void test_call_nobody(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address;
	char expected[200];
	int fd;

	close_control(f);
	snprintf(expected, sizeof(expected),
		 "evenkeeld is not running (no %s); start it with: evenkeeld -c FILE", f->path);
	expect_call_fails(f, f->path, expected);
	assert_int_equal(ek_control_address(f->path, &address, &f->error), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	snprintf(expected, sizeof(expected), "evenkeeld is not running (nothing listens on %s)",
		 f->path);
	expect_call_fails(f, f->path, expected);
	/* Connected by the kernel, never answered. */
	assert_int_equal(listen(fd, 0), 0);
	expect_call_fails(f, f->path, "did not answer");
	expect_call_fails(f, f->path, "within 0.05 s");
	close(fd);
	expect_call_fails(f, "", "needs 1 to 107 bytes");
}

/* As nobody, whom a socket of mode 0660 does not admit; a plain user loses its own right to it. */
static void test_call_not_permitted(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		assert_int_equal(chmod(f->path, 0), 0);
	pid = fork();
	if (pid == 0) {
		json_t *request = json_object();

		if (geteuid() == 0 && (setgroups(0, NULL) || setgid(65534) || setuid(65534)))
			_exit(2);
		if (ek_control_call(f->path, request, 1000, &f->error))
			_exit(3);
		_exit(strncmp(f->error.text, "no permission to use ", 21) ? 4 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static const struct {
	const char *description, *answer, *error;
} foreign[] = {
	{"not JSON", "HTTP/1.1 400 Bad Request\r\n", "the answer is not one of evenkeeld's"},
	{"not an object", "[]\n", "the answer is not one of evenkeeld's"},
	{"says neither", "{\"result\":1}\n", "the answer is not one of evenkeeld's"},
	{"refuses without a reason", "{\"ok\":false}\n", "the answer is not one of evenkeeld's"},
	{"hangs up", "", "closed the connection"},
	{"hangs up within a line", "{\"ok\":true", "closed the connection"},
};

struct impostor {
	int fd;
	const char *answer;
};

static void *impostor_thread(void *arg)
{
	struct impostor *impostor = arg;
	int fd = accept(impostor->fd, NULL, NULL);
	char request[256];

	if (recv(fd, request, sizeof(request), 0) > 0)
		send(fd, impostor->answer, strlen(impostor->answer), MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static void test_call_foreign(void **state)
{
	struct fixture *f = *state;
	json_t *request = json_object();
	struct sockaddr_un address;
	struct impostor impostor;

	close_control(f);
	assert_int_equal(ek_control_address(f->path, &address, &f->error), 0);
	impostor.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(impostor.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(impostor.fd, 1), 0);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++) {
		pthread_t thread;

		impostor.answer = foreign[i].answer;
		assert_int_equal(pthread_create(&thread, NULL, impostor_thread, &impostor), 0);
		assert_null(ek_control_call(f->path, request, DEADLINE_MS, &f->error));
		pthread_join(thread, NULL);
		if (!strstr(f->error.text, foreign[i].error))
			fail_msg("%s: %s", foreign[i].description, f->error.text);
	}
	close(impostor.fd);
	json_decref(request);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_deep_nesting),
		cmocka_unit_test(test_text),
		WITH_SERVER(test_serves),
		WITH_SERVER(test_usable_after_a_bad_line),
		WITH_SERVER(test_partial_lines),
		WITH_SERVER(test_pipelined),
		WITH_SERVER(test_half_closed),
		WITH_SERVER(test_gone_before_the_answer),
		WITH_SERVER(test_line_limit),
		WITH_SERVER(test_huge_answer),
		WITH_SERVER(test_slow_reader),
		WITH_SERVER(test_client_limit),
		WITH_SERVER(test_out_of_descriptors),
		WITH_SERVER(test_idle_client),
		WITH_SERVER(test_reading_is_not_idle),
		WITH_SERVER(test_does_not_read_is_idle),
		WITH_SERVER(test_closing_drops_clients),
		WITH_SERVER(test_modes),
		WITH_SERVER(test_live_socket),
		WITH_SERVER(test_stale_socket),
		WITH_SERVER(test_lock),
		WITH_SERVER(test_bad_paths),
		WITH_SERVER(test_call),
		WITH_SERVER(test_call_one_too_many),
		WITH_SERVER(test_call_nobody),
		WITH_SERVER(test_call_not_permitted),
		WITH_SERVER(test_call_foreign),
	};

	signal(SIGPIPE, SIG_IGN);
	ek_log_init(EK_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
