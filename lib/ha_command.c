/* SPDX-License-Identifier: GPL-2.0-only */
/* See ha.h: `evenkeel ha`, as JSON. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "control.h"
#include "ha_private.h"
#include "ip.h"
#include "log.h"

/* --- status ---------------------------------------------------------------------------------- */

static const char *role_name(const struct ek_ha *ha, size_t i)
{
	const struct ek_ha_instance *instance = &ha->instances[i];
	struct ek_ha_view view;

	if (instance->fsm.state == EK_VRRP_MASTER)
		return "primary";
	if (instance->fsm.permit == EK_VRRP_NEVER)
		return ha->disabled ? "disabled" : "secondary";
	view = ek_ha_view(ha, i);
	return view.synced ? "secondary" : "claiming";
}

static json_t *refused_json(const struct ek_ha_instance *i)
{
	json_t *out = json_object();

	for (int r = 1; r < EK_VRRP_REFUSAL_COUNT; r++)
		if (i->refused[r])
			json_object_set_new(out, ek_vrrp_refusal_name(r),
					    json_integer(i->refused[r]));
	return out;
}

static json_t *paths_json(const struct ek_ha_instance *i)
{
	uint64_t now = ek_ha_now_ms();
	json_t *out = json_array();

	for (size_t p = 0; p < i->n_paths; p++) {
		const struct ek_ha_path *path = &i->paths[p];

		json_array_append_new(
			out, json_pack("{s:s, s:s, s:b, s:I, s:I, s:o}", "interface",
				       path->interface[0] ? path->interface : "unicast", "family",
				       path->family == AF_INET6 ? "ipv6" : "ipv4", "open",
				       path->socket != NULL, "sent", (json_int_t)path->sent,
				       "heard", (json_int_t)path->heard, "silent_ms",
				       path->heard_ms ? json_integer(now - path->heard_ms)
						      : json_null()));
	}
	return out;
}

static json_t *vips_json(const struct ek_config_instance *config)
{
	json_t *out = json_array();
	char text[EK_IP_TEXT];

	for (size_t v = 0; v < config->n_vips; v++)
		json_array_append_new(out, json_string(ek_ip_format(&config->vips[v], text)));
	return out;
}

static void add_master(json_t *out, const struct ek_ha_instance *i)
{
	char text[EK_IP_TEXT];

	if (i->fsm.state == EK_VRRP_MASTER || !i->fsm.heard_ms)
		return;
	json_object_set_new(out, "master", json_string(ek_ip_format(&i->fsm.master, text)));
	json_object_set_new(out, "master_priority", json_integer(i->fsm.master_priority));
}

static json_t *instance_json(const struct ek_ha *ha, size_t n)
{
	const struct ek_ha_instance *i = &ha->instances[n];
	const struct ek_lease *lease = &ek_datapath_leases(ha->c->datapath)[i->config->vrid];
	int64_t left = (int64_t)(lease->until / 1000 - ek_ha_now_us()) / 1000;
	json_t *out = json_pack(
		"{s:s, s:i, s:s, s:i, s:i, s:s, s:s, s:o, s:s, s:o, s:i, s:I, s:I, s:o, s:o}",
		"name", i->config->name, "vrid", i->config->vrid, "interface", i->config->interface,
		"priority", ek_vrrp_fsm_priority(&i->fsm), "interval_ms", (int)i->config->interval,
		"role", role_name(ha, n), "why", i->why, "since", ek_control_time(i->since),
		"announce", ek_announce_name(i->config->announce), "vips", vips_json(i->config),
		"dead_ms", (int)ek_vrrp_fsm_dead_ms(&i->fsm), "claims", (json_int_t)i->claims,
		"yields", (json_int_t)i->yields, "refused", refused_json(i), "paths",
		paths_json(i));

	json_object_set_new(out, "lease_ms",
			    lease->until && left > 0 ? json_integer(left) : json_null());
	add_master(out, i);
	return out;
}

static json_t *tracks_json(const struct ek_ha *ha)
{
	json_t *out = json_array();

	for (size_t i = 0; i < ek_tracker_count(ha->tracker); i++) {
		const struct ek_track_status *t = ek_tracker_at(ha->tracker, i);

		json_array_append_new(out, json_pack("{s:s, s:s, s:o, s:o}", "name",
						     t->config->name, "state",
						     t->failed	? "failed"
						     : t->known ? "ok"
								: "unknown",
						     "since", ek_control_time(t->since), "why",
						     ek_control_text(t->why)));
	}
	return out;
}

static json_t *links_json(const struct ek_ha *ha, size_t peer)
{
	json_t *out = json_array();
	char text[EK_IP_TEXT];

	for (size_t i = 0; ha->channel && i < ek_channel_links(ha->channel, peer); i++) {
		const struct ek_channel_link_status link = ek_channel_link(ha->channel, peer, i);

		json_array_append_new(
			out,
			json_pack("{s:s, s:s, s:b, s:o, s:o, s:I, s:I, s:I}", "address",
				  ek_ip_format(&link.address, text), "state",
				  ek_channel_state_name(link.state), "active", link.active, "since",
				  ek_control_time(link.since), "why", ek_control_text(link.why),
				  "sent", (json_int_t)link.sent, "received",
				  (json_int_t)link.received, "backlog", (json_int_t)link.backlog));
	}
	return out;
}

static json_t *mirror_json(const struct ek_mirror_counters *c)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "entries_sent",
			 (json_int_t)c->entries_sent, "entries_received",
			 (json_int_t)c->entries_received, "slots_sent", (json_int_t)c->slots_sent,
			 "slots_received", (json_int_t)c->slots_received, "unsent",
			 (json_int_t)c->unsent, "tables", (json_int_t)c->tables, "unplaced",
			 (json_int_t)c->unplaced, "unknown", (json_int_t)c->unknown, "missed",
			 (json_int_t)c->missed, "lag_ms", c->lag_us / 1000.0, "lag_max_ms",
			 c->lag_max_us / 1000.0);
}

static const char *config_state(const struct ek_ha *ha, const struct ek_ha_peer *peer)
{
	if (!peer->greeted)
		return "unknown";
	if (peer->format != EK_WIRE_FORMAT)
		return "other format";
	return strcmp(peer->digest, ha->digest) ? "different" : "same";
}

static json_t *peer_json(const struct ek_ha *ha, size_t p)
{
	const struct ek_ha_peer *peer = &ha->peers[p];
	json_t *out = json_pack(
		"{s:s, s:b, s:b, s:b, s:b, s:s, s:b, s:s, s:s, s:o, s:o, s:o, s:o}", "name",
		peer->config->name, "channel", ha->channel && peer->config->channel, "connected",
		peer->connected, "synced", ek_mirror_synced(ha->mirror, p), "synced_with_us",
		peer->connected && peer->synced && !ek_mirror_behind(ha->mirror, p), "health",
		peer->greeted ? ek_node_health_name(peer->health) : "unknown", "disabled",
		peer->disabled, "stay", ek_stay_name(peer->stay), "services",
		config_state(ha, peer), "why", ek_control_text(peer->why), "refused",
		ek_control_text(peer->refused), "links", links_json(ha, p), "mirror",
		mirror_json(ek_mirror_counters(ha->mirror, p)));

	return out;
}

/* Connections to the peer channel that came to nothing. */
static json_t *closed_json(const struct ek_ha *ha)
{
	struct ek_channel_counters closed = {0};

	if (ha->channel)
		closed = ek_channel_counters(ha->channel);
	return json_pack("{s:I, s:I, s:I}", "strangers", (json_int_t)closed.strangers, "crowded",
			 (json_int_t)closed.crowded, "failed", (json_int_t)closed.failed);
}

static bool any_exhausted(const struct ek_ha *ha)
{
	for (size_t i = 0; i < ha->n_instances; i++)
		if (ek_flips_exhausted(&ha->instances[i].flips, ha->config->max_flips,
				       ha->config->flip_window, ek_ha_now_ms()))
			return true;
	return false;
}

static json_t *status_json(const struct ek_ha *ha)
{
	size_t flips = 0;

	json_t *instances = json_array(), *peers = json_array();
	const struct ek_config_ha *config = ha->config;

	for (size_t i = 0; i < ha->n_instances; i++) {
		json_array_append_new(instances, instance_json(ha, i));
		flips += ha->instances[i].flips.n;
	}
	for (size_t p = 0; p < ha->n_peers; p++)
		json_array_append_new(peers, peer_json(ha, p));
	return json_pack("{s:s, s:s, s:o, s:b, s:s, s:b, s:s, s:s, s:{s:i, s:i, s:i, s:b}, "
			 "s:{s:I, s:f, s:f, s:b}, s:o, s:o, s:o, s:o}",
			 "node", ha->c->config->node, "health", ek_node_health_name(ha->health),
			 "why", ek_control_text(ha->why), "disabled", ha->disabled, "stay",
			 ek_stay_name(ha->stay), "fail_safe", config->fail_safe, "services",
			 ha->digest, "services_from", ha->services ? "primary" : "file", "flips",
			 "count", (int)flips, "max", (int)config->max_flips, "window",
			 (int)config->flip_window, "exhausted", any_exhausted(ha), "continuity",
			 "unmirrored", (json_int_t)ha->unmirrored, "window_ms",
			 ha->window_us / 1000.0, "window_max_ms", ha->window_max_us / 1000.0,
			 "waiting", ha->waiting, "closed", closed_json(ha), "tracks",
			 tracks_json(ha), "instances", instances, "peers", peers);
}

/* --- what an operator says ------------------------------------------------------------------- */

static json_t *set_word(struct ek_ha *ha, enum ek_stay stay, bool disabled, struct ek_error *error)
{
	enum ek_stay stay_before = ha->stay;
	bool disabled_before = ha->disabled;

	ha->stay = stay;
	ha->disabled = disabled;
	if (ek_ha_state_save(ha, error)) {
		ha->stay = stay_before;
		ha->disabled = disabled_before;
		return NULL;
	}
	ek_notice("by command: stay %s, %s", ek_stay_name(stay), disabled ? "disabled" : "enabled");
	ek_ha_evaluate(ha);
	ek_ha_say_status(ha);
	return status_json(ha);
}

static json_t *set_stay(struct ek_ha *ha, const json_t *request, struct ek_error *error)
{
	const char *where = json_string_value(json_object_get(request, "stay"));

	for (int s = EK_STAY_NONE; where && s <= EK_STAY_SECONDARY; s++) {
		const char *name = ek_stay_name(s);

		if (!strcmp(where, s == EK_STAY_NONE ? name : name + strlen("stay-")))
			return set_word(ha, s, ha->disabled, error);
	}
	ek_error_set(error, "'stay' is primary, secondary or none");
	return NULL;
}

static bool is_primary_of_any(const struct ek_ha *ha)
{
	for (size_t i = 0; i < ha->n_instances; i++)
		if (ek_ha_is_primary(ha, i))
			return true;
	return false;
}

/* The peer that would take over: best one that is well and in sync. */
static const struct ek_ha_peer *successor(const struct ek_ha *ha)
{
	const struct ek_ha_peer *best = NULL;
	int best_rank = -1;

	for (size_t p = 0; p < ha->n_peers; p++) {
		const struct ek_ha_peer *peer = &ha->peers[p];
		int rank = ek_ha_peer_is_well(peer) ? 1 + peer->synced : 0;

		if (peer->connected && rank > best_rank) {
			best = peer;
			best_rank = rank;
		}
	}
	return best;
}

static json_t *step_aside(struct ek_ha *ha, bool force, struct ek_error *error)
{
	const struct ek_ha_peer *next = successor(ha);
	struct ek_ha_view view = ek_ha_view(ha, 0);
	const char *why = ek_ha_refuse_failover(
		&view, next && next->disabled, next && next->stay == EK_STAY_SECONDARY,
		next && next->synced && !ek_mirror_behind(ha->mirror, next - ha->peers), force);

	if (why) {
		ek_error_set(error, "%s", why);
		return NULL;
	}
	ek_notice("stepping aside by command");
	if (ek_mirror_has_peers(ha->mirror))
		ek_mirror_pump(ha->mirror);
	for (size_t i = 0; i < ha->n_instances; i++)
		ek_ha_instance_permit(&ha->instances[i], EK_VRRP_NEVER, "stepped aside by command");
	ha->yielded = true;
	ek_ha_evaluate(ha);
	ek_ha_say_status(ha);
	return status_json(ha);
}

/* On a secondary: the primary is asked, and says by its role what it made of it. */
static json_t *failover(struct ek_ha *ha, const json_t *request, struct ek_error *error)
{
	bool force = json_is_true(json_object_get(request, "force"));

	if (is_primary_of_any(ha))
		return step_aside(ha, force, error);
	if (ha->relaying) {
		ek_error_set(error, "this node is not primary");
		return NULL;
	}
	for (size_t p = 0; p < ha->n_peers; p++)
		for (size_t i = 0; i < ha->n_instances; i++)
			if (ha->peers[p].primary[ha->instances[i].config->vrid] &&
			    ek_ha_ask_failover(ha, p, force))
				return json_pack("{s:s}", "asked", ha->peers[p].config->name);
	ek_error_set(error, "no peer that is connected is primary");
	return NULL;
}

json_t *ek_ha_command(void *controller, const json_t *request, struct ek_error *error)
{
	struct ek_ha *ha = ((struct ek_controller *)controller)->ha;
	const char *action;

	if (ek_control_string(request, "action", &action, error))
		return NULL;
	if (!ha) {
		ek_error_set(error,
			     "this node stands alone: its configuration has no 'ha' section");
		return NULL;
	}
	if (!action || !strcmp(action, "status"))
		return status_json(ha);
	if (!strcmp(action, "failover"))
		return failover(ha, request, error);
	if (!strcmp(action, "stay"))
		return set_stay(ha, request, error);
	if (!strcmp(action, "disable") || !strcmp(action, "enable"))
		return set_word(ha, ha->stay, !strcmp(action, "disable"), error);
	ek_error_set(error, "'action' is status, failover, stay, disable or enable");
	return NULL;
}
