/* SPDX-License-Identifier: GPL-2.0-only */
/* evenkeeld: reads the options, runs the controller on one event loop, turns signals into calls. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <curl/curl.h>
#include "control.h"
#include "control_client.h"
#include "controller.h"
#include "log.h"
#include "version.h"

#define PIN_DIR "/sys/fs/bpf/evenkeel"

enum { EXIT_BAD_INPUT = 2 };

struct daemon_run {
	struct event_base *base;
	struct ek_controller controller;
	bool detach;
};

static const char usage[] =
	"Usage: evenkeeld -c FILE [OPTION]...\n"
	"Balances connections to the services of FILE over their backends, in XDP.\n"
	"\n"
	"  -c, --config FILE     the configuration, see evenkeel.yaml(5)\n"
	"      --check           check FILE, print every error, and exit\n"
	"      --detach          take down a data plane that was left running, and exit\n"
	"      --pin-dir DIR     where BPF maps are pinned (" PIN_DIR ")\n"
	"      --socket PATH     the control socket (" EK_CONTROL_PATH ")\n"
	"      --state-dir DIR   where the hash key is kept (/var/lib/evenkeel)\n"
	"  -v, --verbose         log more\n"
	"      --help\n"
	"      --version\n"
	"\n"
	"SIGHUP reloads FILE. SIGTERM and SIGINT stop and detach. SIGQUIT stops and leaves the "
	"data\n"
	"plane forwarding, for the next evenkeeld to adopt. Exit status: 0, 1 on failure, 2 when "
	"the\n"
	"options or FILE are wrong.\n";

static void on_hangup(evutil_socket_t number, short what, void *arg)
{
	struct daemon_run *d = arg;
	struct ek_error error = {0};

	(void)number;
	(void)what;
	ek_controller_reload(&d->controller, &error);
}

/* Of routes and neighbours that send packets here when they should not any more. */
static const struct timeval farewell = {.tv_sec = 1};

static void on_stop(evutil_socket_t number, short what, void *arg)
{
	struct daemon_run *d = arg;
	bool asked_before = d->detach;

	(void)what;
	d->detach = number != SIGQUIT;
	ek_notice("signal %d (%s): %s", (int)number, strsignal(number),
		  d->detach ? "detaching" : "leaving the data plane in place");
	if (d->detach && !asked_before && ek_controller_leave(&d->controller))
		event_base_loopexit(d->base, &farewell);
	else
		event_base_loopbreak(d->base);
}

static void print_errors(const struct ek_errors *errors, const char *path)
{
	char line[512];

	for (size_t i = 0; i < errors->count; i++) {
		ek_error_format(&errors->list[i], path, line, sizeof(line));
		fprintf(stderr, "%s\n", line);
	}
	if (errors->dropped)
		fprintf(stderr, "%s: and %zu more\n", path, errors->dropped);
}

static struct ek_config *load(const char *path)
{
	struct ek_errors *errors = calloc(1, sizeof(*errors));
	struct ek_config *config = errors ? ek_config_load(path, errors) : NULL;

	if (!config && errors)
		print_errors(errors, path);
	free(errors);
	return config;
}

static struct event *watch_signal(struct daemon_run *d, int number, event_callback_fn callback)
{
	struct event *event = evsignal_new(d->base, number, callback, d);

	if (event)
		event_add(event, NULL);
	return event;
}

static int loop(struct daemon_run *d)
{
	struct event *events[] = {
		watch_signal(d, SIGHUP, on_hangup),
		watch_signal(d, SIGTERM, on_stop),
		watch_signal(d, SIGINT, on_stop),
		watch_signal(d, SIGQUIT, on_stop),
	};
	int failed = event_base_dispatch(d->base) < 0;

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	return failed;
}

/* Heartbeats come every 10 ms at the fastest: libevent's coarse clock may be off by 4. */
static struct event_base *new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config && !event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER))
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

/*
 * A start that fails takes down what it put up, unless it had adopted a running data plane:
 * that one goes on.
 */
static int run(const struct ek_controller_options *options)
{
	struct daemon_run d = {.base = new_base()};
	struct ek_config *config = load(options->config_path);
	struct ek_error error = {0};
	char line[512];
	int err, status;

	if (!config)
		return EXIT_BAD_INPUT;
	if (!d.base)
		return EXIT_FAILURE;
	err = ek_controller_start(&d.controller, d.base, options, config, &error);
	if (err) {
		ek_error_format(&error, options->config_path, line, sizeof(line));
		ek_err("%s", line);
		d.detach = d.controller.datapath && !ek_datapath_adopted(d.controller.datapath);
		status = err == -ENODEV ? EXIT_BAD_INPUT : EXIT_FAILURE;
	} else {
		/* not `config`: the cluster's services may have taken its place */
		ek_notice("ready: node %s, %zu services", d.controller.config->node,
			  d.controller.config->n_services);
		status = loop(&d) ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	ek_controller_stop(&d.controller, d.detach);
	event_base_free(d.base);
	return status;
}

static int check(const char *path)
{
	struct ek_config *config = load(path);

	if (!config)
		return EXIT_BAD_INPUT;
	printf("%s: ok, %zu services on %zu interfaces\n", path, config->n_services,
	       config->n_interfaces);
	ek_config_free(config);
	return EXIT_SUCCESS;
}

/* Holds the control socket meanwhile, so that no running evenkeeld loses what it serves. */
static int detach(const struct ek_controller_options *options)
{
	struct event_base *base = event_base_new();
	struct ek_error error = {0};
	struct ek_control *control =
		base ? ek_control_open(base, options->socket_path, NULL, 0, NULL, &error) : NULL;
	int err = control ? ek_datapath_remove(options->pin_dir, &error) : -EBUSY;

	if (err)
		fprintf(stderr, "evenkeeld: cannot detach %s: %s\n", options->pin_dir,
			error.text[0] ? error.text : strerror(-err));
	if (control)
		ek_control_close(control);
	if (base)
		event_base_free(base);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

enum option_id {
	OPT_CHECK = 256,
	OPT_DETACH,
	OPT_PIN_DIR,
	OPT_SOCKET,
	OPT_STATE_DIR,
	OPT_HELP,
	OPT_VERSION
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"check", no_argument, NULL, OPT_CHECK},
	{"detach", no_argument, NULL, OPT_DETACH},
	{"pin-dir", required_argument, NULL, OPT_PIN_DIR},
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"state-dir", required_argument, NULL, OPT_STATE_DIR},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{0},
};

int main(int argc, char **argv)
{
	struct ek_controller_options options = {.pin_dir = PIN_DIR, .socket_path = EK_CONTROL_PATH};
	bool only_check = false, only_detach = false, verbose = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:v", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			options.config_path = optarg;
			break;
		case 'v':
			verbose = true;
			break;
		case OPT_CHECK:
			only_check = true;
			break;
		case OPT_DETACH:
			only_detach = true;
			break;
		case OPT_PIN_DIR:
			options.pin_dir = optarg;
			break;
		case OPT_SOCKET:
			options.socket_path = optarg;
			break;
		case OPT_STATE_DIR:
			options.state_dir = optarg;
			break;
		case OPT_HELP:
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case OPT_VERSION:
			printf("evenkeeld %s\n", EK_VERSION);
			return EXIT_SUCCESS;
		default:
			fprintf(stderr, "Try 'evenkeeld --help'.\n");
			return EXIT_BAD_INPUT;
		}
	}
	if (only_detach)
		return detach(&options);
	if (!options.config_path || optind < argc) {
		fputs(usage, stderr);
		return EXIT_BAD_INPUT;
	}
	if (only_check)
		return check(options.config_path);
	ek_log_init(verbose ? EK_LOG_DEBUG : EK_LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* an inherited "ignore" would hide how scripts ended */
	curl_global_init(CURL_GLOBAL_DEFAULT);
	c = run(&options);
	curl_global_cleanup();
	return c;
}
