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
#include "mss.h"
#include "netlink.h"
#include "options.h"
#include "own.h"
#include "status.h"
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
	struct own_watch *own; /* if VIPs are restored from DSCPs */
	struct ek_vip_host *vips;
};

static void log_counters(const struct backend_host *b)
{
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
				 used ? ", " : "", decap_results[i].name, counters[i]);
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

/* Which packets are to this host: those that a balancer sends to a backend in L3DSR. */
static void on_own(void *arg)
{
	static struct ek_ip addresses[EK_DECAP_OWN_MAX];
	struct backend_host *b = arg;
	const struct options *o = &b->options;
	int n = own_list(addresses, EK_DECAP_OWN_MAX, o->vips, o->n_vips), err = n < 0 ? n : 0;

	if (n > (int)EK_DECAP_OWN_MAX) {
		ek_warn("%s: the host has %d addresses; DSCPs count on the first %u only",
			o->interface, n, EK_DECAP_OWN_MAX);
		n = EK_DECAP_OWN_MAX;
	}
	if (!err)
		err = decap_set_own(b->decap, addresses, n);
	if (err)
		ek_err("%s: cannot follow the host's addresses: %s", o->interface, strerror(-err));
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
	if (o->restores)
		ek_notice("%s: VIPs are restored from DSCPs, whoever sends them", o->interface);
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
	if (b->options.restores) {
		b->own = own_watch_new(b->base, on_own, b);
		if (!b->own) {
			ek_error_set(error, "cannot watch the host's addresses: %m");
			return -EIO;
		}
		on_own(b);
	}
	b->vips = ek_vip_host_prepare(&vips, error);
	return b->vips ? 0 : -EIO;
}

/* Also undoes a start that failed half-way. */
static int stop(struct backend_host *b, struct ek_error *error)
{
	int err = b->vips ? ek_vip_host_restore(b->vips, error) : 0;

	if (b->vips)
		log_counters(b);
	own_watch_free(b->own);
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

/* Of the commands that print and end: their exit status. */
static int said(int err, const struct ek_error *error)
{
	if (err)
		fprintf(stderr, "evenkeel-backend: %s\n", error->text);
	return err ? EXIT_RUNTIME : EXIT_OK;
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
	case OPTIONS_STATUS:
		return said(status_print(b.options.interface, stdout, &error), &error);
	case OPTIONS_ADVICE:
		return said(mss_print_advice(&b.options, stdout, &error), &error);
	case OPTIONS_RUN:
		break;
	}
	signal(SIGPIPE, SIG_IGN); /* a log nobody reads is no reason to leave the VIPs behind */
	ek_log_init(b.options.verbose ? EK_LOG_DEBUG : EK_LOG_INFO);
	return run(&b);
}
