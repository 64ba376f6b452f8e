/* SPDX-License-Identifier: GPL-2.0-only */
/* See status.h. Reads the controller and the maps; the only change it makes is a reload. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "announce_gateway.h"
#include "controller.h"
#include "explain.h"
#include "flows.h"
#include "ha.h"
#include "ip.h"
#include "operate.h"
#include "ring.h"
#include "status.h"
#include "trace.h"
#include "verdict.h"
#include "version.h"

static json_t *json_mac(const uint8_t *mac)
{
	return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
			    mac[5]);
}

static json_t *interface_json(const struct ek_port_status *p)
{
	const struct ek_attachment *a = p->attachment;
	json_t *out = json_pack("{s:s, s:i, s:b, s:i, s:b, s:o}", "name", p->name, "ifindex",
				p->ifindex, "attached", a != NULL, "mtu", (int)p->mtu, "up", p->up,
				"mac", json_mac(p->mac));

	if (a) {
		json_object_set_new(out, "mode", json_string(a->native ? "native" : "generic"));
		json_object_set_new(out, "dispatcher", json_boolean(a->dispatcher));
	}
	if (a && a->note[0])
		json_object_set_new(out, "note", json_string(a->note));
	if (!a && p->why[0])
		json_object_set_new(out, "why", json_string(p->why));
	return out;
}

static json_t *interfaces_json(const struct ek_controller *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ek_ports_count(c->ports); i++)
		json_array_append_new(list, interface_json(ek_ports_at(c->ports, i)));
	return list;
}

static void add_health(json_t *out, const struct ek_check *check)
{
	const struct ek_check_status *status = ek_check_status(check);

	json_object_set_new(out, "health", json_string(ek_health_state_name(status->state)));
	json_object_set_new(out, "why", ek_control_text(status->why));
	json_object_set_new(out, "since", ek_control_time(status->since));
	json_object_set_new(out, "checks", json_integer(status->results));
}

static void add_memory(json_t *out, const struct ek_controller *c,
		       const struct ek_service_runtime *s, const struct ek_member *m,
		       uint64_t unstored)
{
	const struct ek_sweep_backend *b = ek_controller_swept(c, m);
	json_t *drain = ek_drain_json(c, s, m);

	json_object_set_new(out, "configured_weight",
			    json_integer(m->config ? m->config->weight : 0));
	json_object_set_new(out, "entries",
			    json_integer(b->embryonic + b->established + b->closing));
	json_object_set_new(out, "origins", json_integer(b->origins));
	json_object_set_new(out, "unstored", json_integer(unstored));
	json_object_set_new(out, "draining", json_boolean(drain != NULL));
	if (drain)
		json_object_set_new(out, "drain", drain);
}

static json_t *backend_json(const struct ek_controller *c, const struct ek_service_runtime *s,
			    const struct ek_member *m, uint32_t slots)
{
	const struct ek_backend_runtime *b = m->backend;
	char address[EK_IP_TEXT], detail[128];
	uint64_t hop = ek_controller_nexthop(c, s, m, NULL, detail, sizeof(detail));
	bool resolved = EK_NEXTHOP_FLAGS(hop) & EK_NEXTHOP_RESOLVED;
	struct ek_counters counters = ek_datapath_backend_counters(c->datapath, b->index);
	json_t *out = json_pack(
		"{s:s, s:s, s:i, s:i, s:b, s:s, s:s, s:i, s:f, s:I, s:I, s:f, s:f}", "name",
		b->name, "address", ek_ip_format(&b->address, address), "index", b->index, "weight",
		(int)ek_controller_weight(c, s, m), "retired", m->config == NULL, "nexthop",
		resolved ? "resolved" : "unresolved", "nexthop_detail", detail, "slots", (int)slots,
		"share", (double)slots / EK_RING_SIZE, "packets", (json_int_t)counters.packets,
		"bytes", (json_int_t)counters.bytes, "packets_per_second", b->packets_per_second,
		"bits_per_second", b->bytes_per_second * 8);

	add_health(out, b->check);
	add_memory(out, c, s, m, counters.unstored);
	return out;
}

/* Slots whose new flows go to each backend, by index. */
static uint32_t *count_slots(const struct ek_controller *c, const struct ek_service_runtime *s)
{
	uint32_t *slots = calloc(EK_BACKENDS_MAX + 1, sizeof(*slots));
	const struct ek_ring *ring = ek_datapath_ring(c->datapath, s->id);

	for (size_t i = 0; slots && ring && i < EK_RING_SIZE; i++)
		slots[ek_slot_current(ring->slot[i])]++;
	return slots;
}

static void add_totals(json_t *out, const struct ek_controller *c,
		       const struct ek_service_runtime *s)
{
	struct ek_counters sum = {0};
	double packets = 0, bytes = 0;
	bool up = false;

	for (size_t i = 0; i < s->n_members; i++) {
		const struct ek_backend_runtime *b = s->members[i].backend;
		struct ek_counters one = ek_datapath_backend_counters(c->datapath, b->index);

		sum.packets += one.packets;
		sum.bytes += one.bytes;
		sum.unstored += one.unstored;
		packets += b->packets_per_second;
		bytes += b->bytes_per_second;
		up |= ek_controller_eligible(c, s, &s->members[i]);
	}
	json_object_set_new(out, "state", json_string(up ? "up" : "down"));
	json_object_set_new(out, "packets", json_integer(sum.packets));
	json_object_set_new(out, "bytes", json_integer(sum.bytes));
	json_object_set_new(out, "unstored", json_integer(sum.unstored));
	json_object_set_new(out, "packets_per_second", json_real(packets));
	json_object_set_new(out, "bits_per_second", json_real(bytes * 8));
}

/* What the service's memory costs. */
static void add_gauges(json_t *out, const struct ek_controller *c,
		       const struct ek_service_runtime *s)
{
	const struct ek_sweep *sweep = ek_datapath_swept(c->datapath);
	const struct ek_sweep_service_result *r = &sweep->results[s->id];

	json_object_set_new(out, "entries", json_integer(r->entries));
	json_object_set_new(out, "remembering", json_integer(r->remembering));
	json_object_set_new(out, "remembering_share",
			    json_real((double)r->remembering / EK_RING_SIZE));
	json_object_set_new(out, "oldest_seconds",
			    json_real(ek_ticks_seconds(ek_datapath_clock(c->datapath), r->oldest)));
	json_object_set_new(out, "over_quota", json_boolean(sweep->services[s->id].over_quota));
}

static json_t *table_json(const struct ek_controller *c)
{
	const struct ek_sweep *sweep = ek_datapath_swept(c->datapath);
	double capacity = (double)ek_datapath_buckets(c->datapath) * EK_FLOW_WAYS;

	return json_pack("{s:I, s:I, s:f, s:I, s:I, s:I}", "entries", (json_int_t)sweep->used,
			 "capacity", (json_int_t)capacity, "fill", sweep->used / capacity,
			 "expired", (json_int_t)sweep->expired, "slots_forgot",
			 (json_int_t)sweep->forgot, "passes", (json_int_t)sweep->passes);
}

/* Sentences for what an operator should look at. */
static json_t *alarms_json(const struct ek_controller *c)
{
	const struct ek_sweep *sweep = ek_datapath_swept(c->datapath);
	uint64_t capacity = (uint64_t)ek_datapath_buckets(c->datapath) * EK_FLOW_WAYS;
	json_t *list = json_array();

	if (sweep->used * 10ull > capacity * 9)
		json_array_append_new(
			list, json_sprintf("the connection table is %u %% full",
					   (unsigned int)(sweep->used * 100ull / capacity)));
	for (size_t i = 0; i < c->world.n_services; i++) {
		const struct ek_service_runtime *s = &c->world.services[i];
		uint32_t remembering = sweep->results[s->id].remembering;

		if (remembering * 100ull > (uint64_t)EK_RING_SIZE * c->config->limits.remember_max)
			json_array_append_new(
				list, json_sprintf("service %s: %u of %u slots remember "
						   "an older backend",
						   s->config->name, remembering, EK_RING_SIZE));
		if (sweep->services[s->id].over_quota)
			json_array_append_new(
				list, json_sprintf("service %s holds its share of the "
						   "connection table and stores nothing more",
						   s->config->name));
	}
	return list;
}

static json_t *addresses_json(const struct ek_config_service *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n_addresses; i++) {
		const struct ek_config_vip *vip = &s->addresses[i];
		char text[EK_IP_TEXT];

		ek_ip_format(&vip->address, text);
		json_array_append_new(list, vip->length == 128
						    ? json_string(text)
						    : json_sprintf("%s/%u", text,
								   ek_ip_is_v4(&vip->address)
									   ? vip->length - 96
									   : vip->length));
	}
	return list;
}

/* "gue to port 6080, direct" */
static json_t *forward_json(const struct ek_config_service *s)
{
	const char *name = ek_forward_name(s->forward);

	switch (s->forward) {
	case EK_FORWARD_GUE:
		return json_sprintf("%s to port %u%s", name, s->gue_port,
				    s->gue_variant ? ", direct" : "");
	case EK_FORWARD_TOS:
		return json_sprintf("%s %u", name, s->tos);
	default:
		return json_string(name);
	}
}

static json_t *mss_json(const struct ek_config_service *s)
{
	if (s->mss == EK_MSS_AUTO)
		return json_string("auto");
	return s->mss ? json_integer(s->mss) : json_string("off");
}

static json_t *warnings_json(const struct ek_service_runtime *s)
{
	json_t *list = json_array();

	if (s->narrow[0])
		json_array_append_new(list, ek_control_text(s->narrow));
	return list;
}

static json_t *service_json(const struct ek_controller *c, const struct ek_service_runtime *s)
{
	uint32_t *slots = count_slots(c, s);
	json_t *backends = json_array(), *out;
	char address[EK_IP_TEXT], ports[EK_PORTS_TEXT];

	for (size_t i = 0; slots && i < s->n_members; i++)
		json_array_append_new(backends, backend_json(c, s, &s->members[i],
							     slots[s->members[i].backend->index]));
	free(slots);
	out = json_pack(
		"{s:s, s:i, s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:o}", "name", s->config->name, "id",
		s->id, "address", ek_ip_format(&s->config->vip, address), "port", s->config->port,
		"protocol", ek_config_protocol_name(s->config), "forward",
		ek_forward_name(s->config->forward), "method", ek_method_name(s->config->method),
		"tracking", ek_tracking_name(s->config->tracking), "ring_slots", (int)EK_RING_SIZE,
		"backends", backends);
	json_object_set_new(out, "addresses", addresses_json(s->config));
	json_object_set_new(out, "ports", json_string(ek_config_ports_text(s->config, ports)));
	json_object_set_new(out, "forward_detail", forward_json(s->config));
	json_object_set_new(out, "mss", mss_json(s->config));
	json_object_set_new(out, "warnings", warnings_json(s));
	add_totals(out, c, s);
	add_gauges(out, c, s);
	return out;
}

static json_t *services_json(const struct ek_controller *c, const char *only)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->world.n_services; i++)
		if (!only || !strcmp(only, c->world.services[i].config->name))
			json_array_append_new(list, service_json(c, &c->world.services[i]));
	return list;
}

static json_t *drops_json(const struct ek_controller *c)
{
	uint64_t counts[EK_DROP_COUNT] = {0};
	json_t *list = json_array();

	ek_datapath_drops(c->datapath, counts);
	for (size_t i = 1; i < EK_DROP_COUNT; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:f}", "reason",
						      ek_drop_name(i).name, "description",
						      ek_drop_name(i).description, "packets",
						      (json_int_t)counts[i], "packets_per_second",
						      c->drops_per_second[i]));
	return list;
}

static json_t *answers_json(const struct ek_controller *c)
{
	uint64_t counts[EK_ANSWER_COUNT] = {0};
	json_t *list = json_array();

	ek_datapath_answers(c->datapath, counts);
	for (size_t i = 0; i < EK_ANSWER_COUNT; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:f}", "answer",
						      ek_answer_name(i).name, "description",
						      ek_answer_name(i).description, "packets",
						      (json_int_t)counts[i], "packets_per_second",
						      c->answers_per_second[i]));
	return list;
}

static json_t *reload_json(const struct ek_controller *c)
{
	return json_pack("{s:b, s:o, s:o}", "ok", c->reload.ok, "at", ek_control_time(c->reload.at),
			 "error",
			 c->reload.ok ? json_null() : ek_control_text(c->reload.error.text));
}

static json_t *status(void *arg, const json_t *request, struct ek_error *error)
{
	const struct ek_controller *c = arg;
	const char *only;
	json_t *services;

	if (ek_control_string(request, "service", &only, error))
		return NULL;
	services = services_json(c, only);
	if (only && !json_array_size(services)) {
		json_decref(services);
		ek_error_set(error, "there is no service '%s'", only);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:i, s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "version", EK_VERSION, "node", c->config->node, "pid", (int)getpid(),
			 "uptime", (json_int_t)(time(NULL) - c->started), "config",
			 c->options.config_path, "loaded", ek_control_time(c->loaded),
			 "last_reload", reload_json(c), "interfaces", interfaces_json(c),
			 "announcements", ek_gateway_json(c->gateway), "services", services,
			 "drops", drops_json(c), "table", table_json(c), "alarms", alarms_json(c));
}

static json_t *drops(void *arg, const json_t *request, struct ek_error *error)
{
	(void)request;
	(void)error;
	return json_pack("{s:o, s:o}", "drops", drops_json(arg), "answers", answers_json(arg));
}

static json_t *reload(void *arg, const json_t *request, struct ek_error *error)
{
	struct ek_controller *c = arg;

	(void)request;
	if (ek_controller_reload(c, error))
		return NULL;
	return json_pack("{s:s, s:i}", "config", c->options.config_path, "services",
			 (int)c->config->n_services);
}

static const struct ek_control_command commands[] = {
	{"status", status, "node, interfaces, services, backends, drops", NULL},
	{"drops", drops, "every reason to drop a packet or answer it in place, with its count",
	 NULL},
	{"trace", NULL, "decisions, as they are made", ek_trace_command},
	{"flows", ek_flows_command, "the connection table, by pages", NULL},
	{"explain", ek_explain_command, "what becomes of a client's packets, and why", NULL},
	{"drain", ek_drain_command, "give a backend no new connections", NULL},
	{"undrain", ek_undrain_command, "give it new connections again", NULL},
	{"weight", ek_weight_command, "another weight than the file's", NULL},
	{"plan", ek_plan_command, "what a reload of a configuration would change", NULL},
	{"ha", ek_ha_command, "the pair: status, failover, stay, disable, enable", NULL},
	{"reload", reload, "read the configuration again and apply the difference", NULL},
};

const struct ek_control_command *ek_status_commands(size_t *n)
{
	*n = sizeof(commands) / sizeof(commands[0]);
	return commands;
}
