/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * evenkeel-backend prepares a backend host: first the XDP program, so that no request for a VIP's
 * MAC is answered, then sysctls and VIPs (lib/vip_host.h). It holds them until it is told to stop
 * and undoes them in the opposite order.
 */
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "decap.h"
#include "ip.h"
#include "log.h"
#include "netlink.h"
#include "options.h"
#include "vip_host.h"

enum { EXIT_OK = 0, EXIT_RUNTIME = 1, EXIT_USAGE = 2 };

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
#define VIPS_SHOWN 8 /* in the log */
#define N_SIGNALS  (sizeof(signals) / sizeof(signals[0]))

struct backend_host {
	struct options options;
	struct event_base *base;
	struct event *events[N_SIGNALS];
	struct ek_netlink *netlink;
	bool lost; /* the interface: there is nothing left to do */
	struct decap *decap;
	struct ek_vip_host *vips;
};

static void log_counters(const struct backend_host *b)
{
	static const char *const names[] = {
#define X(name, text, description) [EK_DECAP_##name] = text,
		EK_DECAP_RESULTS(X)
#undef X
	};
	uint64_t counters[EK_DECAP_RESULT_COUNT];
	char line[64 * EK_DECAP_RESULT_COUNT];
	size_t used = 0;
	int err = decap_counters(b->decap, counters);

	if (err) {
		ek_warn("%s: cannot read the counters: %s", b->options.interface, strerror(-err));
		return;
	}
	for (size_t i = EK_DECAP_FIRST_COUNTED; i < EK_DECAP_RESULT_COUNT; i++)
		used += snprintf(line + used, sizeof(line) - used, "%s%s %" PRIu64,
				 used ? ", " : "", names[i], counters[i]);
	ek_notice("%s: %s", b->options.interface, line);
}

static void on_signal(evutil_socket_t number, short events, void *arg)
{
	struct backend_host *b = arg;

	(void)events;
	if (number == SIGUSR1)
		log_counters(b);
	else
		event_base_loopbreak(b->base);
}

/* The program went with the interface; one of the same name that comes later would lack it. */
static void on_link(void *arg)
{
	struct backend_host *b = arg;

	if (b->lost || ek_netlink_link(b->netlink, b->options.interface))
		return;
	ek_err("%s: the interface is gone", b->options.interface);
	b->lost = true;
	event_base_loopbreak(b->base);
}

static int watch(struct backend_host *b)
{
	b->base = event_base_new();
	for (size_t i = 0; b->base && i < N_SIGNALS; i++) {
		b->events[i] = evsignal_new(b->base, signals[i], on_signal, b);
		if (!b->events[i] || event_add(b->events[i], NULL))
			return -ENOMEM;
	}
	b->netlink = b->base ? ek_netlink_new(b->base, on_link, b) : NULL;
	return b->netlink ? 0 : -ENOMEM;
}

static void log_ready(const struct backend_host *b)
{
	const struct options *o = &b->options;
	const char *mode = decap_is_native(b->decap) ? "native" : "generic";
	char list[VIPS_SHOWN * (EK_IP_TEXT + 2) + 32] = "any destination", text[EK_IP_TEXT];
	size_t used = 0;

	for (size_t i = 0; i < o->n_vips && i < VIPS_SHOWN; i++)
		used += snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
				 ek_ip_format(&o->vips[i], text));
	if (o->n_vips > VIPS_SHOWN)
		snprintf(list + used, sizeof(list) - used, " and %zu more", o->n_vips - VIPS_SHOWN);
	if (!o->n_allow)
		ek_warn("%s: any host that reaches it can send packets in a tunnel; --allow "
			"PREFIX names the balancers",
			o->interface);
	ek_notice("ready: %s: decapsulating for %s (%s)", o->interface, list, mode);
}

static int start(struct backend_host *b, struct ek_error *error)
{
	const struct ek_vip_host_options vips = {
		.interface = b->options.interface,
		.state_dir = b->options.state_dir,
		.vips = b->options.vips,
		.n_vips = b->options.n_vips,
	};
	const char *note = NULL;

	if (watch(b)) {
		ek_error_set(error, "cannot watch for signals and links: %m");
		return -ENOMEM;
	}
	b->decap = decap_open(&b->options, &note, error);
	if (!b->decap)
		return -EIO;
	if (note)
		ek_notice("%s: no native XDP (%s): generic mode, which is slower",
			  b->options.interface, note);
	b->vips = ek_vip_host_prepare(&vips, error);
	return b->vips ? 0 : -EIO;
}

/* Also undoes a start that failed half-way. */
static int stop(struct backend_host *b, struct ek_error *error)
{
	int err = b->vips ? ek_vip_host_restore(b->vips, error) : 0;

	if (b->vips)
		log_counters(b);
	decap_close(b->decap);
	ek_netlink_free(b->netlink);
	for (size_t i = 0; i < N_SIGNALS; i++)
		if (b->events[i])
			event_free(b->events[i]);
	if (b->base)
		event_base_free(b->base);
	return err;
}

static int run(struct backend_host *b)
{
	struct ek_error error;
	int result = EXIT_OK;

	if (start(b, &error)) {
		ek_err("%s", error.text);
		result = EXIT_RUNTIME;
	} else {
		log_ready(b);
		event_base_dispatch(b->base);
		result = b->lost ? EXIT_RUNTIME : EXIT_OK;
	}
	if (stop(b, &error)) {
		ek_err("%s", error.text);
		result = EXIT_RUNTIME;
	}
	return result;
}

int main(int argc, char **argv)
{
	struct backend_host b = {0};
	struct ek_error error;

	switch (options_parse(&b.options, argc, argv, &error)) {
	case OPTIONS_DONE:
		return EXIT_OK;
	case OPTIONS_ERROR:
		fprintf(stderr, "evenkeel-backend: %s; see --help\n", error.text);
		return EXIT_USAGE;
	case OPTIONS_RUN:
		break;
	}
	signal(SIGPIPE, SIG_IGN); /* a log nobody reads is no reason to leave the VIPs behind */
	ek_log_init(b.options.verbose ? EK_LOG_DEBUG : EK_LOG_INFO);
	return run(&b);
}
