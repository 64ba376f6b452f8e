/* SPDX-License-Identifier: GPL-2.0-only */
/* Decisions of the data plane as they are made (lib/trace.h), as text, JSON or frames. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <evenkeel/abi.h>
#include "cli.h"
#include "control_client.h"
#include "pcap.h"

static volatile sig_atomic_t stop;

struct output {
	const struct cli *cli;
	struct ek_render render;
	FILE *pcap;  /* NULL: none is written */
	bool silent; /* the frames have standard output */
	long count;  /* lines to show, 0: no end */
	long shown;
	bool ended; /* the daemon has said its last line */
	json_int_t missed;
	int err; /* the file could not be written */
};

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

/* Lets SIGINT and SIGTERM end the trace in order; they wait, but for where `unblocked` is used. */
static void catch_signals(sigset_t *unblocked)
{
	const struct sigaction action = {.sa_handler = on_signal};
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigprocmask(SIG_BLOCK, &ours, unblocked);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN); /* seen as an error of the write */
}

static int write_frame(struct output *o, const json_t *line)
{
	const char *hex = json_string_value(json_object_get(line, "frame"));
	json_int_t length = json_integer_value(json_object_get(line, "length"));
	uint8_t frame[EK_TRACE_SNAP];
	struct ek_pcap_time time;
	int n = hex ? ek_pcap_bytes(hex, frame, sizeof(frame)) : -EINVAL;

	if (n < 0 || ek_pcap_time(json_string_value(json_object_get(line, "time")), &time))
		return 0; /* of another version */
	return ek_pcap_frame(o->pcap, time, frame, n,
			     length > 0 && length < UINT32_MAX ? length : n);
}

static int print_line(const struct output *o, const json_t *line)
{
	if (o->silent)
		return 0;
	if (o->cli->json) {
		json_dumpf(line, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		ek_render_trace(&o->render, line);
	}
	return fflush(stdout) ? -errno : 0;
}

/* Beside the decisions, so that they can be piped. */
static void on_begun(void *arg, const json_t *result)
{
	(void)arg;
	fprintf(stderr, "listening, at most %lld a second and CPU; Ctrl-C ends it\n",
		(long long)json_integer_value(json_object_get(result, "rate")));
}

static bool on_line(void *arg, const json_t *line)
{
	struct output *o = arg;

	if (json_is_true(json_object_get(line, "end"))) {
		o->ended = true;
		o->missed = json_integer_value(json_object_get(line, "missed"));
		return false;
	}
	if (o->err || (o->count && o->shown == o->count))
		return false;
	o->shown++;
	if (o->pcap)
		o->err = write_frame(o, line);
	if (!o->err)
		o->err = print_line(o, line);
	return !o->err && o->shown != o->count;
}

/* --- the command line ------------------------------------------------------------------------ */

/* An optional number of at least 1; `otherwise` when it is not given, -1 after saying what is
 * wrong. */
static long read_number(const char *name, const char *text, long most, long otherwise)
{
	char *end;
	long value;

	if (!text)
		return otherwise;
	errno = 0;
	value = strtol(text, &end, 10);
	if (!errno && end != text && !*end && value >= 1 && value <= most)
		return value;
	fprintf(stderr, "evenkeel: trace: %s '%s': expected a number from 1 to %ld\n", name, text,
		most);
	return -1;
}

/* `flows` has a --count that takes no value, so this one's may be a word of its own. */
static int read_count(const struct cli *cli, char **arguments, long *count)
{
	const char *text = cli->option[CLI_COUNT];

	if (text && !*text && arguments[0])
		text = arguments[0];
	else if (arguments[0]) {
		fprintf(stderr, "evenkeel: trace: unexpected argument '%s'\n", arguments[0]);
		return -1;
	}
	*count = read_number("--count", text, INT_MAX, 0);
	return *count < 0 ? -1 : 0;
}

/* An exit code. */
static int open_pcap(struct output *o, const char *path)
{
	int err;

	if (!path)
		return CLI_OK;
	o->silent = !strcmp(path, "-");
	if (o->silent && o->cli->json) {
		fprintf(stderr, "evenkeel: trace: --json and --pcap - both want standard output\n");
		return CLI_USAGE;
	}
	if (o->silent && isatty(STDOUT_FILENO)) {
		fprintf(stderr, "evenkeel: trace: --pcap - would write to the terminal\n");
		return CLI_USAGE;
	}
	o->pcap = o->silent ? stdout : fopen(path, "we");
	err = o->pcap ? ek_pcap_begin(o->pcap, EK_TRACE_SNAP) : -errno;
	if (err)
		fprintf(stderr, "evenkeel: trace: cannot write %s: %s\n", path, strerror(-err));
	return err ? CLI_REFUSED : CLI_OK;
}

static json_t *trace_request(const struct cli *cli, long rate)
{
	/* "s*": left out when it is NULL */
	json_t *request =
		json_pack("{s:s, s:s*, s:s*, s:b, s:b}", "command", "trace", "service",
			  cli->option[CLI_SERVICE], "client", cli->option[CLI_CLIENT], "drops",
			  cli->option[CLI_DROPS] != NULL, "frames", cli->option[CLI_PCAP] != NULL);

	if (request && rate)
		json_object_set_new(request, "rate", json_integer(rate));
	if (!request)
		fprintf(stderr, "evenkeel: an argument is not UTF-8 text\n");
	return request;
}

static int report(const struct output *o, int err, const struct ek_error *error)
{
	if (err) {
		fprintf(stderr, "evenkeel: %s\n", error->text);
	} else if (o->err) {
		if (o->err != -EPIPE) /* whoever read it has had enough */
			fprintf(stderr, "evenkeel: trace: cannot write: %s\n", strerror(-o->err));
	} else if (!stop && !(o->count && o->shown == o->count)) {
		fprintf(stderr, "evenkeel: evenkeeld has ended the trace: it is stopping\n");
		err = -EPIPE;
	}
	if (o->ended || o->shown)
		fprintf(stderr, "%ld shown, %lld missed\n", o->shown, (long long)o->missed);
	return err || o->err ? CLI_REFUSED : CLI_OK;
}

static int follow(struct output *o, json_t *request)
{
	sigset_t unblocked;
	const struct ek_control_follower follower = {.begun = on_begun,
						     .each = on_line,
						     .arg = o,
						     .stop = &stop,
						     .unblocked = &unblocked};
	struct ek_error error = {0};
	int err;

	catch_signals(&unblocked);
	err = ek_control_follow(o->cli->socket, request, EK_CONTROL_DEADLINE_MS, &follower, &error);
	return report(o, err, &error);
}

int command_trace(const struct cli *cli, char **arguments)
{
	struct output o = {.cli = cli, .render = cli_render(cli)};
	long rate = read_number("--rate", cli->option[CLI_RATE], INT_MAX, 0);
	json_t *request;
	int code;

	if (rate < 0 || read_count(cli, arguments, &o.count))
		return CLI_USAGE;
	request = trace_request(cli, rate);
	if (!request)
		return CLI_USAGE;
	code = open_pcap(&o, cli->option[CLI_PCAP]);
	if (!code)
		code = follow(&o, request);
	json_decref(request);
	if (o.pcap && o.pcap != stdout && fclose(o.pcap) && !code)
		code = CLI_REFUSED;
	return code;
}
