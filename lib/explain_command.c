/* SPDX-License-Identifier: GPL-2.0-only */
/* The command `explain`: what explain.c found out, as JSON and in words. See explain.h. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include "control.h"
#include "controller.h"
#include "endpoint.h"
#include "explain.h"
#include "ip.h"
#include "netlink_parse.h"

/* A port for a client that named none. */
#define SOME_PORT 40000
/* For services of any port, of any protocol. */
#define SOME_SERVICE_PORT 80
#define SOME_PROTOCOL	  IPPROTO_ESP

static const struct {
	const char *name, *description;
} drop_reasons[EK_DROP_COUNT] = {
#define X(id, text, why) [EK_DROP_##id] = {text, why},
	EK_DROP_REASONS(X)
#undef X
};

static const struct kind {
	const char *name;
	enum ek_packet_kind kind;
	bool by_default;
} kinds[] = {
	{"syn", EK_PACKET_SYN, true},
	{"ack", EK_PACKET_DATA, true},
	{"rst", EK_PACKET_REFUSAL, false},
};
static const struct kind datagram = {"datagram", EK_PACKET_DATAGRAM, true};

struct subject {
	const struct ek_controller *c;
	const struct ek_service_runtime *service;
	struct ek_ip vip;      /* zero: the service's */
	uint16_t service_port; /* 0: the service's */
	uint8_t protocol;      /* 0: the service's */
	bool has_segments;     /* of TCP, in distinction from packets that are all of one kind */
	struct ek_ip client;
	uint16_t port;
	const struct kind *only; /* NULL: those that are shown by default */
	uint32_t tick;
};

/* --- the data plane's tables ----------------------------------------------------------------- */

static const struct ek_ring *ring_of(const void *context, uint32_t id)
{
	const struct ek_controller *c = context;

	return id < EK_SERVICES_MAX ? ek_datapath_ring(c->datapath, id) : NULL;
}

static struct ek_backend backend_of(const void *context, uint32_t index)
{
	const struct ek_controller *c = context;

	if (index >= c->config->limits.backends)
		return (struct ek_backend){.service = EK_SERVICE_NONE};
	return ek_datapath_backend_row(c->datapath, index);
}

static struct ek_port port_of(const void *context, uint32_t number)
{
	const struct ek_controller *c = context;

	return ek_datapath_port_row(c->datapath, number);
}

static bool wildcard_of(const void *context, const struct ek_ip *vip, struct ek_wildcard *out)
{
	const struct ek_controller *c = context;

	return ek_datapath_wildcard(c->datapath, vip, out);
}

static struct ek_explain_view view_of(const struct subject *subject)
{
	const struct ek_controller *c = subject->c;

	return (struct ek_explain_view){.services = ek_datapath_services(c->datapath),
					.key = ek_datapath_key(c->datapath),
					.flows = ek_datapath_flows(c->datapath),
					.flow_keys = ek_datapath_flow_keys(c->datapath),
					.buckets = ek_datapath_buckets(c->datapath),
					.tick = subject->tick,
					.ring = ring_of,
					.backend = backend_of,
					.port = port_of,
					.wildcard = wildcard_of,
					.context = c};
}

/* --- what is asked for ----------------------------------------------------------------------- */

static bool has_address(const struct ek_config_service *s, const struct ek_ip *vip)
{
	for (size_t i = 0; i < s->n_addresses; i++) {
		const struct ek_netlink_prefix prefix = {s->addresses[i].address,
							 s->addresses[i].length};

		if (ek_ip_is_v4(vip) == ek_ip_is_v4(&prefix.address) &&
		    ek_netlink_prefix_covers(&prefix, vip))
			return true;
	}
	return false;
}

/* A VIP stands for its only service. */
static int find_by_vip(struct subject *subject, const char *target, struct ek_error *error)
{
	const struct ek_world *world = &subject->c->world;
	const struct ek_service_runtime *found = NULL;

	for (size_t i = 0; i < world->n_services; i++) {
		if (!has_address(world->services[i].config, &subject->vip))
			continue;
		if (found) {
			ek_error_set(error,
				     "%s has several services, among them '%s' and '%s': name one",
				     target, found->config->name, world->services[i].config->name);
			return -1;
		}
		found = &world->services[i];
	}
	subject->service = found;
	return 0;
}

/* As a packet would find it: by TCP, else by UDP, unless one of them was asked for. */
static void find_by_port(struct subject *subject)
{
	const struct ek_explain_view view = view_of(subject);
	const struct ek_world *world = &subject->c->world;
	const struct ek_service *s = NULL;

	for (int i = 0; i < 2 && !s; i++) {
		const struct ek_explain_packet packet = {.destination = subject->vip,
							 .destination_port =
								 htons(subject->service_port),
							 .protocol = i ? IPPROTO_UDP : IPPROTO_TCP};

		if (subject->protocol && subject->protocol != packet.protocol)
			continue;
		s = ek_explain_find(&view, &packet);
		if (s)
			subject->protocol = packet.protocol;
	}
	for (size_t i = 0; s && i < world->n_services; i++)
		if (world->services[i].id == s->id)
			subject->service = &world->services[i];
}

/* VIP[:PORT][/PROTOCOL] */
static int parse_target(struct subject *subject, const char *target)
{
	char endpoint[80];
	const char *slash = strchr(target, '/');

	if (slash && strcmp(slash, "/tcp") && strcmp(slash, "/udp"))
		return -1;
	if (slash)
		subject->protocol = strcmp(slash, "/tcp") ? IPPROTO_UDP : IPPROTO_TCP;
	snprintf(endpoint, sizeof(endpoint), "%.*s",
		 (int)(slash ? slash - target : (long)strlen(target)), target);
	return ek_endpoint_parse(endpoint, &subject->vip, &subject->service_port);
}

static int find_by_endpoint(struct subject *subject, const char *target, struct ek_error *error)
{
	if (parse_target(subject, target)) {
		ek_error_set(error, "there is no service '%s', and it is no VIP[:PORT]", target);
		return -1;
	}
	if (subject->service_port)
		find_by_port(subject);
	else if (find_by_vip(subject, target, error))
		return -1;
	if (subject->service)
		return 0;
	ek_error_set(error, "no service has %s: its packets are passed to this host's stack",
		     target);
	return -1;
}

static int find_service(struct subject *subject, const char *target, struct ek_error *error)
{
	const struct ek_world *world = &subject->c->world;

	for (size_t i = 0; i < world->n_services; i++) {
		if (strcmp(world->services[i].config->name, target))
			continue;
		subject->service = &world->services[i];
		return 0;
	}
	return find_by_endpoint(subject, target, error);
}

static int read_client(struct subject *subject, const char *client, struct ek_error *error)
{
	const struct ek_config_service *s = subject->service->config;

	if (ek_endpoint_parse(client, &subject->client, &subject->port)) {
		ek_error_set(error,
			     "client '%s': expected ADDRESS[:PORT], such as 198.51.100.7:4711 or "
			     "[2001:db8::7]:4711",
			     client);
		return -1;
	}
	for (size_t i = 0; i < s->n_addresses && ek_ip_is_zero(&subject->vip); i++)
		if (ek_ip_is_v4(&subject->client) == ek_ip_is_v4(&s->addresses[i].address))
			subject->vip = s->addresses[i].address;
	if (!ek_ip_is_zero(&subject->vip) &&
	    ek_ip_is_v4(&subject->client) == ek_ip_is_v4(&subject->vip))
		return 0;
	ek_error_set(error, "the client's address and the VIP of '%s' are of different families",
		     s->name);
	return -1;
}

/* What was not asked for is as the service has it, or an example. */
static void choose_packet(struct subject *subject)
{
	const struct ek_config_service *s = subject->service->config;

	if (!subject->protocol)
		subject->protocol = s->protocol ? s->protocol : SOME_PROTOCOL;
	if (!subject->service_port)
		subject->service_port = s->port ? s->port : SOME_SERVICE_PORT;
	subject->has_segments = s->protocol && subject->protocol == IPPROTO_TCP;
}

static int read_kind(struct subject *subject, const char *packet, struct ek_error *error)
{
	choose_packet(subject);
	if (!packet)
		return 0;
	if (!subject->has_segments) {
		ek_error_set(error, "'%s' is no TCP service: its packets are all of one kind",
			     subject->service->config->name);
		return -1;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i].name, packet))
			subject->only = &kinds[i];
	if (subject->only)
		return 0;
	ek_error_set(error, "packet '%s': expected syn, ack or rst", packet);
	return -1;
}

static int read_request(const json_t *request, struct subject *subject, struct ek_error *error)
{
	const char *target, *client, *packet;

	if (ek_control_string(request, "target", &target, error) ||
	    ek_control_string(request, "client", &client, error) ||
	    ek_control_string(request, "packet", &packet, error))
		return -1;
	if (!target || !client) {
		ek_error_set(error, "\"target\" and \"client\" are needed");
		return -1;
	}
	return find_service(subject, target, error) || read_client(subject, client, error) ||
	       read_kind(subject, packet, error);
}

static void explain(const struct subject *subject, const struct kind *kind,
		    struct ek_explanation *e)
{
	const struct ek_explain_view view = view_of(subject);
	const struct ek_explain_packet packet = {
		.source = subject->client,
		.destination = subject->vip,
		.source_port = htons(subject->port ? subject->port : SOME_PORT),
		.destination_port = htons(subject->service_port),
		.protocol = subject->protocol,
		.kind = kind->kind,
		.in_sequence = true,
		.is_reset = kind->kind == EK_PACKET_REFUSAL,
		.length = 60};

	ek_explain(&view, &packet, e);
}

/* --- in words -------------------------------------------------------------------------------- */

static const struct ek_member *member_of(const struct subject *subject, uint32_t index)
{
	for (size_t i = 0; index && i < subject->service->n_members; i++)
		if (subject->service->members[i].backend->index == index)
			return &subject->service->members[i];
	return NULL;
}

static const char *name_of(const struct subject *subject, uint32_t index)
{
	const struct ek_member *m = member_of(subject, index);

	return m ? m->backend->name : "none of this service's";
}

static json_int_t seconds(const struct subject *subject, uint32_t ticks)
{
	return ek_ticks_seconds(ek_datapath_clock(subject->c->datapath), ticks);
}

static json_t *lookup_why(const struct subject *subject, const struct ek_explanation *e)
{
	const char *current = name_of(subject, ek_slot_current(e->slot));
	const char *origin = name_of(subject, ek_slot_origin(e->slot));

	if (!(e->slot & EK_SLOT_LOOKUP))
		return json_string("no connection needs an earlier choice");
	if (ek_slot_current(e->slot) != ek_slot_origin(e->slot))
		return json_sprintf("the choice changed from %s to %s", origin, current);
	if (e->service.flags & EK_SERVICE_F_TRACK_FULL)
		return json_string("the service tracks every connection");
	return json_sprintf("the choice changed, and is %s again: connections begun in between "
			    "may have entries",
			    current);
}

/* By the rules at the top of evenkeel/select.h. */
static json_t *why(const struct subject *subject, const struct ek_explanation *e)
{
	const char *current = name_of(subject, ek_slot_current(e->slot));
	const char *origin = name_of(subject, ek_slot_origin(e->slot));
	const char *chosen = name_of(subject, e->backend), *named = name_of(subject, e->named);

	switch (e->rule) {
	case EK_RULE_NONE:
		break;
	case EK_RULE_STEADY:
		return json_sprintf("slot %u remembers nothing: whatever falls into it goes to %s",
				    e->index, chosen);
	case EK_RULE_ENTRY:
		return json_sprintf("its entry names %s", chosen);
	case EK_RULE_ENTRY_DOWN:
		return json_sprintf(
			"its entry names %s, which is down: %s answers until it is back", named,
			chosen);
	case EK_RULE_ENTRY_MOVED:
		return json_sprintf("its entry names %s, which is down: the flow moves to %s",
				    named, chosen);
	case EK_RULE_FIRST_SYN:
		return json_sprintf("a SYN less than %u s ago chose %s, and the first SYN wins",
				    EK_FLOW_EMBRYO_GRACE, chosen);
	case EK_RULE_COMPLETES:
		return json_sprintf("it completes the handshake of the entry for %s", chosen);
	case EK_RULE_REFUSES:
		return json_sprintf("%s answered the SYN with something else, and has to hear that "
				    "it is refused",
				    chosen);
	case EK_RULE_OLDER:
		if (ek_slot_origin(e->slot) == ek_slot_current(e->slot))
			return json_sprintf("no entry knows it: it stays with %s", chosen);
		return json_sprintf("slot %u remembers %s: a segment without an entry belongs to a "
				    "connection older than the change",
				    e->index, chosen);
	case EK_RULE_OLDER_DOWN:
		return json_sprintf(
			"it belongs to a connection older than the change, of %s, which "
			"is down: %s answers, and will refuse it",
			origin, chosen);
	case EK_RULE_NEW:
		return json_sprintf("it begins a new flow: an entry for %s is stored", chosen);
	case EK_RULE_NEW_AT_HOME:
		return json_sprintf("a new connection, and the choice is %s again: no entry is "
				    "needed",
				    chosen);
	case EK_RULE_UNSTORED:
		return json_sprintf("a new flow that finds no room in the table: to %s, where its "
				    "later packets will go",
				    chosen);
	case EK_RULE_UNSTORED_NOWHERE:
		return json_string("a new connection that finds no room in the table, and whose "
				   "later packets would find nobody");
	case EK_RULE_UNKNOWN:
		return json_sprintf("no entry knows it, and with failover: none all that may go on "
				    "have one%s",
				    e->verdict == EK_EXPLAIN_RESET ? "" : "; it is not answered");
	case EK_RULE_CURRENT_DOWN:
		return json_sprintf("it should go to %s, which is down", current);
	}
	return json_null();
}

/* --- as JSON --------------------------------------------------------------------------------- */

static json_t *mac_json(uint64_t mac48)
{
	uint8_t mac[6];

	memcpy(mac, &mac48, sizeof(mac));
	return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
			    mac[5]);
}

static const char *forward_name(enum ek_forward forward)
{
	switch (forward) {
	case EK_FORWARD_IPIP6:
		return ek_forward_name(EK_FORWARD_IPIP);
	case EK_FORWARD_GUE6:
		return ek_forward_name(EK_FORWARD_GUE);
	default:
		return ek_forward_name(forward);
	}
}

static json_t *outer_json(const struct subject *subject, const struct ek_explanation *e)
{
	const struct ek_explain_outer *o = &e->outer;
	char source[EK_IP_TEXT], destination[EK_IP_TEXT];

	if (e->verdict != EK_EXPLAIN_FORWARD)
		return json_null();
	return json_pack("{s:s, s:o, s:s, s:i, s:o, s:o, s:s, s:i, s:i}", "forward",
			 forward_name(o->forward), "source",
			 o->bytes ? json_string(ek_ip_format(&o->source, source)) : json_null(),
			 "destination", ek_ip_format(&o->destination, destination), "dscp",
			 o->dscp >> 2, "mac", mac_json(o->mac), "nexthop_mac", mac_json(o->nexthop),
			 "interface", ek_ports_name(subject->c->ports, o->port), "bytes", o->bytes,
			 "room", o->room);
}

static json_t *packet_json(const struct subject *subject, const struct kind *kind,
			   const struct ek_explanation *e)
{
	static const char *const verdicts[] = {[EK_EXPLAIN_PASS] = "pass",
					       [EK_EXPLAIN_DROP] = "drop",
					       [EK_EXPLAIN_FORWARD] = "forward",
					       [EK_EXPLAIN_RESET] = "reset"};
	json_t *out = json_pack("{s:s, s:s, s:o, s:b, s:b, s:o}", "packet", kind->name, "verdict",
				verdicts[e->verdict], "why", why(subject, e), "stored", e->stored,
				"unstored", e->unstored, "outer", outer_json(subject, e));

	if (e->backend)
		json_object_set_new(out, "backend", json_string(name_of(subject, e->backend)));
	if (e->drop == EK_DROP_NONE)
		return out;
	json_object_set_new(out, "drop", json_string(drop_reasons[e->drop].name));
	json_object_set_new(out, "description", json_string(drop_reasons[e->drop].description));
	return out;
}

static json_t *entry_json(const struct subject *subject, const struct ek_explanation *e,
			  const struct ek_explain_entry *entry)
{
	static const char *const names[EK_FLOW_STATES] = {"empty", "embryonic", "established",
							  "closing"};
	enum ek_flow_state state = ek_flow_state(entry->entry);
	uint32_t idle = ek_flow_age(entry->entry, subject->tick);
	json_t *age = entry->key_fits
			      ? json_integer(seconds(subject, subject->tick - entry->key.since))
			      : json_null();

	return json_pack("{s:s, s:s, s:o, s:I, s:I}", "state", names[state], "backend",
			 name_of(subject, ek_flow_backend(entry->entry)), "age", age, "idle",
			 seconds(subject, idle), "expires",
			 seconds(subject, e->service.timeout[state] - idle));
}

static json_t *slot_json(const struct subject *subject, const struct ek_explanation *e)
{
	const bool lookup = e->slot & EK_SLOT_LOOKUP;

	return json_pack("{s:i, s:s, s:s, s:b, s:o, s:o}", "index", (int)e->index, "current",
			 name_of(subject, ek_slot_current(e->slot)), "origin",
			 name_of(subject, ek_slot_origin(e->slot)), "remembers", lookup, "why",
			 lookup_why(subject, e), "last_hit",
			 lookup ? json_integer(seconds(subject, e->unhit)) : json_null());
}

/* The latest first. */
static json_t *history_json(const struct ek_check_status *status)
{
	json_t *list = json_array();

	for (uint64_t n = status->changes; n && n + EK_HEALTH_HISTORY > status->changes; n--) {
		const struct ek_health_change *change =
			&status->history[(n - 1) % EK_HEALTH_HISTORY];

		json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "health",
						      ek_health_state_name(change->state), "at",
						      ek_control_time(change->at), "why",
						      ek_control_text(change->why)));
	}
	return list;
}

static json_t *backend_json(const struct subject *subject, const struct ek_member *m)
{
	const struct ek_check_status *status = ek_check_status(m->backend->check);
	char address[EK_IP_TEXT], detail[128];
	uint64_t hop = ek_controller_nexthop(subject->c, subject->service, m, NULL, detail,
					     sizeof(detail));

	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:b, s:o}", "name", m->backend->name,
			 "address", ek_ip_format(&m->backend->address, address), "health",
			 ek_health_state_name(status->state), "why", ek_control_text(status->why),
			 "since", ek_control_time(status->since), "nexthop",
			 EK_NEXTHOP_FLAGS(hop) & EK_NEXTHOP_RESOLVED ? "resolved" : "unresolved",
			 "nexthop_detail", detail, "draining",
			 !!(EK_NEXTHOP_FLAGS(hop) & EK_NEXTHOP_DRAINING), "history",
			 history_json(status));
}

/* Those that the slot or an entry names: nobody else can be chosen. */
static json_t *backends_json(const struct subject *subject, const struct ek_explanation *e)
{
	uint32_t named[4] = {ek_slot_current(e->slot), ek_slot_origin(e->slot)};
	json_t *list = json_array();

	for (size_t i = 0; i < e->n_entries; i++)
		named[2 + i] = ek_flow_backend(e->entries[i].entry);
	for (size_t i = 0; i < sizeof(named) / sizeof(*named); i++) {
		const struct ek_member *m = member_of(subject, named[i]);
		bool again = false;

		for (size_t j = 0; j < i; j++)
			again |= named[j] == named[i];
		if (m && !again)
			json_array_append_new(list, backend_json(subject, m));
	}
	return list;
}

static json_t *flow_json(const struct subject *subject, const struct ek_explanation *e)
{
	const struct ek_config_service *s = subject->service->config;
	char client[EK_IP_TEXT], vip[EK_IP_TEXT];
	json_t *entries = json_array();

	for (size_t i = 0; i < e->n_entries; i++)
		json_array_append_new(entries, entry_json(subject, e, &e->entries[i]));
	return json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:i, s:b, s:o, s:i, s:o, s:o, s:o}",
			 "service", s->name, "address", ek_ip_format(&subject->vip, vip), "port",
			 s->protocol ? subject->service_port : 0, "protocol",
			 !s->protocol			    ? "any"
			 : subject->protocol == IPPROTO_TCP ? "tcp"
							    : "udp",
			 "tracking", ek_tracking_name(s->tracking), "client",
			 ek_ip_format(&subject->client, client), "client_port",
			 subject->port ? subject->port : SOME_PORT, "port_assumed", !subject->port,
			 "hash", json_sprintf("%016llx", (unsigned long long)e->hash), "bucket",
			 (int)e->bucket, "slot", slot_json(subject, e), "entries", entries,
			 "backends", backends_json(subject, e));
}

static void add_packet(json_t *packets, const struct subject *subject, const struct kind *kind)
{
	struct ek_explanation e;

	if (subject->only ? subject->only != kind : !kind->by_default)
		return;
	explain(subject, kind, &e);
	json_array_append_new(packets, packet_json(subject, kind, &e));
}

json_t *ek_explain_command(void *arg, const json_t *request, struct ek_error *error)
{
	const struct ek_controller *c = arg;
	struct subject subject = {.c = c};
	const struct kind *any = &kinds[1];
	json_t *packets, *out;
	struct ek_explanation e;

	if (read_request(request, &subject, error))
		return NULL;
	if (ek_datapath_tick(c->datapath, &subject.tick)) {
		ek_error_set(error, "the data plane does not tell the time");
		return NULL;
	}
	if (!subject.has_segments)
		any = &datagram;
	explain(&subject, any, &e);
	out = flow_json(&subject, &e);
	packets = json_array();
	if (any == &datagram)
		add_packet(packets, &subject, any);
	else
		for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
			add_packet(packets, &subject, &kinds[i]);
	json_object_set_new(out, "packets", packets);
	return out;
}
