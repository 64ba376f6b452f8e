/* SPDX-License-Identifier: GPL-2.0-only */
/* See trace.h. Called by controller.c and, as a command, by status.c's table. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/bpf.h>
#include "controller.h"
#include "datapath_trace.h"
#include "ip.h"
#include "log.h"
#include "trace.h"
#include "trace_frame.h"
#include "verdict.h"

#define SECOND_NS 1000000000ull
#define LEASE_NS  (5 * SECOND_NS) /* for how long the data plane goes on by itself */

static const struct timeval renewal = {.tv_sec = 1};

struct listener {
	struct ek_tracer *tracer;
	struct ek_control_stream *stream; /* NULL: a free place */
	struct ek_trace filter;
	char service[EK_NAME_MAX + 1]; /* "": any. A reload may give it another number */
	bool frames;		       /* wants the bytes, too */
	uint64_t shown, missed;
	uint64_t untold; /* of those missed: since the last line */
	uint64_t second; /* in which `spent` lines were sent */
	uint64_t spent;
};

struct ek_tracer {
	struct ek_controller *c;
	struct listener listeners[EK_TRACE_LISTENERS_MAX];
	struct ek_datapath_records *records; /* NULL: nobody listens */
	struct event *readable, *renew;
	uint64_t since; /* records from before are of an earlier trace */
	int64_t offset; /* from CLOCK_MONOTONIC to CLOCK_REALTIME, ns */
	uint32_t cpus;
};

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * (int64_t)SECOND_NS + now.tv_nsec;
}

/* --- a record as JSON ------------------------------------------------------------------------ */

static void set(json_t *out, const char *key, json_t *value)
{
	json_object_set_new(out, key, value);
}

static json_t *json_time(int64_t ns)
{
	const time_t seconds = ns / (int64_t)SECOND_NS;
	char text[32];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm))
		return json_null();
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	return json_sprintf("%s.%06dZ", text, (int)(ns % (int64_t)SECOND_NS / 1000));
}

static void add_verdict(json_t *out, const struct ek_trace_record *r)
{
	const bool forwarded = r->backend != EK_BACKEND_NONE;
	const char *verdict = "drop";

	if (r->verdict == XDP_PASS)
		verdict = forwarded ? "local" : "pass";
	else if (r->verdict == XDP_TX || r->verdict == XDP_REDIRECT)
		verdict = forwarded ? "forward" : "answer";
	set(out, "verdict", json_string(verdict));
	if (r->verdict <= 0)
		set(out, "reason", json_string(ek_drop_name(-r->verdict).name));
	if (r->verdict <= 0 && r->action == XDP_TX)
		set(out, "answered", json_true());
}

static const char *protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmpv6";
	case IPPROTO_SCTP:
		return "sctp";
	case IPPROTO_GRE:
		return "gre";
	case IPPROTO_ESP:
		return "esp";
	case IPPROTO_AH:
		return "ah";
	}
	return NULL;
}

static json_t *json_address(const struct ek_ip *ip)
{
	char text[EK_IP_TEXT];

	return json_string(ek_ip_format(ip, text));
}

static void add_transport(json_t *out, const struct ek_trace_frame *f)
{
	char flags[EK_TRACE_FLAGS];

	if (f->ports) {
		set(out, "client_port", json_integer(f->source_port));
		set(out, "vip_port", json_integer(f->destination_port));
	}
	if (f->tcp)
		set(out, "flags", json_string(ek_trace_tcp_flags(f->tcp_flags, flags)));
	if (f->icmp) {
		set(out, "icmp_type", json_integer(f->icmp_type));
		set(out, "icmp_code", json_integer(f->icmp_code));
	}
	if (f->quotes)
		set(out, "about", json_address(&f->about));
	if (f->fragment)
		set(out, "fragment", json_true());
}

static void add_frame(json_t *out, const struct ek_trace_frame *f)
{
	for (size_t i = 0; i < f->n_vlans; i++) {
		if (!i)
			set(out, "vlan", json_array());
		json_array_append_new(json_object_get(out, "vlan"), json_integer(f->vlan[i]));
	}
	if (!f->ip) {
		set(out, "protocol",
		    f->type == 0x0806 ? json_string("arp") : json_sprintf("0x%04x", f->type));
		return;
	}
	set(out, "protocol",
	    protocol_name(f->protocol) ? json_string(protocol_name(f->protocol))
				       : json_sprintf("ip-%u", f->protocol));
	set(out, "client", json_address(&f->source));
	set(out, "vip", json_address(&f->destination));
	add_transport(out, f);
}

static void add_backend(json_t *out, const struct ek_service_runtime *s, uint16_t index)
{
	for (size_t i = 0; i < s->n_members; i++) {
		const struct ek_backend_runtime *b = s->members[i].backend;

		if (b->index != index)
			continue;
		set(out, "backend", json_string(b->name));
		set(out, "address", json_address(&b->address));
		set(out, "method", json_string(ek_forward_name(s->config->forward)));
		return;
	}
}

/* A row that was given away since is left out. */
static void add_service(json_t *out, const struct ek_controller *c, const struct ek_trace_record *r)
{
	for (size_t i = 0; i < c->world.n_services; i++) {
		const struct ek_service_runtime *s = &c->world.services[i];

		if (s->id != r->service || r->service == EK_SERVICE_NONE)
			continue;
		set(out, "service", json_string(s->config->name));
		if (r->backend != EK_BACKEND_NONE)
			add_backend(out, s, r->backend);
		return;
	}
}

static const char *port_name(const struct ek_controller *c, uint8_t number)
{
	for (size_t i = 0; i < ek_ports_count(c->ports); i++)
		if (ek_ports_at(c->ports, i)->number == number)
			return ek_ports_at(c->ports, i)->name;
	return "-";
}

static json_t *json_hex(const uint8_t *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * EK_TRACE_SNAP];

	for (size_t i = 0; i < n; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	return json_stringn(text, 2 * n);
}

static size_t captured(const struct ek_trace_record *r)
{
	return r->captured < EK_TRACE_SNAP ? r->captured : EK_TRACE_SNAP;
}

static json_t *record_json(const struct listener *l, const struct ek_trace_record *r,
			   const struct ek_trace_frame *frame)
{
	const struct ek_controller *c = l->tracer->c;
	json_t *out = json_object();

	set(out, "time", json_time((int64_t)r->time + l->tracer->offset));
	set(out, "port", json_string(port_name(c, r->port)));
	add_verdict(out, r);
	add_frame(out, frame);
	add_service(out, c, r);
	set(out, "length", json_integer(r->length));
	if (l->untold)
		set(out, "missed", json_integer(l->untold));
	if (l->frames)
		set(out, "frame", json_hex(r->frame, captured(r)));
	return out;
}

/* --- records --------------------------------------------------------------------------------- */

static void miss(struct listener *l, uint64_t n)
{
	l->missed += n;
	l->untold += n;
}

/* Another listener's rate may be higher than this one's. */
static bool within_rate(struct listener *l, const struct ek_trace_record *r)
{
	if (l->second != r->time / SECOND_NS) {
		l->second = r->time / SECOND_NS;
		l->spent = 0;
	}
	return l->spent++ < (uint64_t)l->filter.rate * l->tracer->cpus;
}

static void tell(struct listener *l, const struct ek_trace_record *r,
		 const struct ek_trace_frame *frame)
{
	json_t *line;

	miss(l, r->missed);
	if (!ek_trace_fits(&l->filter, r, frame))
		return;
	line = within_rate(l, r) ? record_json(l, r, frame) : NULL;
	if (line && ek_control_stream_send(l->stream, line)) {
		l->shown++;
		l->untold = 0;
	} else {
		miss(l, 1);
	}
	json_decref(line);
}

static void on_record(void *arg, const struct ek_trace_record *r)
{
	struct ek_tracer *t = arg;
	struct ek_trace_frame frame;

	if (r->time < t->since)
		return;
	ek_trace_frame_read(r->frame, captured(r), &frame);
	for (size_t i = 0; i < EK_TRACE_LISTENERS_MAX; i++)
		if (t->listeners[i].stream)
			tell(&t->listeners[i], r, &frame);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct ek_tracer *t = arg;

	(void)fd;
	(void)what;
	ek_datapath_records_read(t->records);
}

/* --- on and off ------------------------------------------------------------------------------ */

/* The service's number now; one that is nobody's while there is no such service. */
static uint32_t number_of(const struct ek_controller *c, const char *name)
{
	for (size_t i = 0; i < c->world.n_services; i++)
		if (!strcmp(c->world.services[i].config->name, name))
			return c->world.services[i].id;
	return EK_SERVICES_MAX;
}

/* What all listeners together want, for a while. False: nobody listens. */
static bool unite(const struct ek_tracer *t, struct ek_trace *all)
{
	bool any = false;

	for (size_t i = 0; i < EK_TRACE_LISTENERS_MAX; i++) {
		if (!t->listeners[i].stream)
			continue;
		if (any)
			ek_trace_unite(all, &t->listeners[i].filter);
		else
			*all = t->listeners[i].filter;
		any = true;
	}
	all->until = now_ns(CLOCK_MONOTONIC) + LEASE_NS;
	return any;
}

static int renew_trace(struct ek_tracer *t)
{
	struct ek_trace all = {0};

	for (size_t i = 0; i < EK_TRACE_LISTENERS_MAX; i++)
		if (t->listeners[i].service[0])
			t->listeners[i].filter.service = number_of(t->c, t->listeners[i].service);
	if (!unite(t, &all))
		return 0;
	t->offset = now_ns(CLOCK_REALTIME) - now_ns(CLOCK_MONOTONIC);
	return ek_datapath_trace(t->c->datapath, &all);
}

static void on_renew(evutil_socket_t fd, short what, void *arg)
{
	struct ek_tracer *t = arg;
	int err = renew_trace(t);

	(void)fd;
	(void)what;
	if (err)
		ek_err("trace: cannot go on: %s", strerror(-err));
}

static void stop(struct ek_tracer *t)
{
	event_del(t->renew);
	ek_datapath_trace_end(t->c->datapath);
	if (t->readable)
		event_free(t->readable);
	ek_datapath_records_close(t->records);
	t->readable = NULL;
	t->records = NULL;
	ek_info("trace: off");
}

static int start(struct ek_tracer *t)
{
	t->since = now_ns(CLOCK_MONOTONIC);
	ek_datapath_trace_missed(t->c->datapath);
	t->records = ek_datapath_records_open(t->c->datapath, on_record, t);
	if (!t->records)
		return -errno;
	t->readable = event_new(t->c->base, ek_datapath_records_fd(t->records),
				EV_READ | EV_PERSIST, on_readable, t);
	if (!t->readable || event_add(t->readable, NULL) || event_add(t->renew, &renewal)) {
		stop(t);
		return -ENOMEM;
	}
	ek_info("trace: on");
	return 0;
}

/* The listener's place is free, and the data plane is told what the others want. */
static int leave(struct listener *l)
{
	struct ek_tracer *t = l->tracer;
	struct ek_trace rest = {0};

	*l = (struct listener){.tracer = t};
	if (unite(t, &rest))
		return renew_trace(t);
	stop(t);
	return 0;
}

/* With what was missed since the last record. */
static void on_ended(void *arg)
{
	struct listener *l = arg;
	struct ek_tracer *t = l->tracer;
	uint64_t missed;
	json_t *line;

	ek_datapath_records_read(t->records);
	missed = ek_datapath_trace_missed(t->c->datapath);
	for (size_t i = 0; i < EK_TRACE_LISTENERS_MAX; i++)
		miss(&t->listeners[i], missed);
	line = json_pack("{s:b, s:I, s:I}", "end", 1, "shown", (json_int_t)l->shown, "missed",
			 (json_int_t)l->missed);
	ek_control_stream_send(l->stream, line);
	json_decref(line);
	leave(l);
}

struct ek_tracer *ek_tracer_new(struct ek_controller *c)
{
	struct ek_tracer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->c = c;
	t->cpus = sysconf(_SC_NPROCESSORS_ONLN);
	t->renew = event_new(c->base, -1, EV_PERSIST, on_renew, t);
	if (!t->renew) {
		free(t);
		return NULL;
	}
	ek_datapath_trace_end(c->datapath);
	return t;
}

void ek_tracer_free(struct ek_tracer *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < EK_TRACE_LISTENERS_MAX; i++)
		if (t->listeners[i].stream)
			ek_control_stream_end(t->listeners[i].stream);
	event_free(t->renew);
	free(t);
}

/* --- the command ----------------------------------------------------------------------------- */

static int read_service(const struct ek_controller *c, const json_t *request, struct listener *l,
			struct ek_error *error)
{
	const char *name;

	l->filter.service = EK_SERVICE_NONE;
	if (ek_control_string(request, "service", &name, error))
		return -EINVAL;
	if (!name)
		return 0;
	l->filter.service = number_of(c, name);
	snprintf(l->service, sizeof(l->service), "%s", name);
	if (l->filter.service != EK_SERVICES_MAX)
		return 0;
	ek_error_set(error, "there is no service '%s'", name);
	return -ENOENT;
}

static int read_client(const json_t *request, struct ek_trace *filter, struct ek_error *error)
{
	const char *client;

	if (ek_control_string(request, "client", &client, error))
		return -EINVAL;
	if (!client || !ek_ip_parse(client, &filter->client))
		return 0;
	ek_error_set(error, "client '%s': expected an IPv4 or IPv6 address", client);
	return -EINVAL;
}

static int read_rate(const json_t *request, struct ek_trace *filter, struct ek_error *error)
{
	const json_t *rate = json_object_get(request, "rate");
	json_int_t value = rate ? json_integer_value(rate) : EK_TRACE_RATE;

	if (value < 1 || value > (json_int_t)EK_TRACE_RATE_MAX) {
		ek_error_set(error, "\"rate\" must be a number from 1 to %u", EK_TRACE_RATE_MAX);
		return -EINVAL;
	}
	filter->rate = value;
	return 0;
}

static struct listener *free_place(struct ek_tracer *t, struct ek_error *error)
{
	for (size_t i = 0; i < EK_TRACE_LISTENERS_MAX; i++)
		if (!t->listeners[i].stream)
			return &t->listeners[i];
	ek_error_set(error, "%u listen already; try again when one has left",
		     EK_TRACE_LISTENERS_MAX);
	return NULL;
}

json_t *ek_trace_command(void *arg, const json_t *request, struct ek_control_stream *stream,
			 struct ek_error *error)
{
	struct ek_controller *c = arg;
	struct ek_tracer *t = c->tracer;
	struct listener wanted = {.tracer = t, .stream = stream}, *l;
	int err;

	if (read_service(c, request, &wanted, error) ||
	    read_client(request, &wanted.filter, error) ||
	    read_rate(request, &wanted.filter, error))
		return NULL;
	wanted.filter.flags = json_is_true(json_object_get(request, "drops")) ? EK_TRACE_DROPS : 0;
	wanted.frames = json_is_true(json_object_get(request, "frames"));
	l = free_place(t, error);
	if (!l)
		return NULL;
	err = t->records ? 0 : start(t);
	if (!err) {
		*l = wanted;
		err = renew_trace(t);
		if (err)
			leave(l);
	}
	if (err) {
		ek_error_set(error, "cannot trace: %s", strerror(-err));
		return NULL;
	}
	ek_control_stream_begin(stream, on_ended, l);
	return json_pack("{s:i}", "rate", (int)wanted.filter.rate);
}
