/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * High availability as text: this node, its instances (virtual routers, RFC 9568) with the paths of
 * their heartbeats, its tracks, its peers. See render.h. Called by the command line.
 */
#include <string.h>
#include "show.h"
#include "vrrp.h"

/* "12.5 ms", "300 ms", "3m12s" */
static struct ek_show_word milliseconds(const json_t *object, const char *key)
{
	const json_t *number = json_object_get(object, key);
	double ms = json_number_value(number);
	struct ek_show_word word = {"-"};

	if (!json_is_number(number) || ms < 0)
		return word;
	if (ms >= 10000)
		return ek_show_duration((json_int_t)(ms < 1e15 ? ms / 1000 : 1e12));
	snprintf(word.text, sizeof(word.text), "%.*f ms", json_is_real(number) && ms < 99.95, ms);
	return word;
}

/* "1 claim", "2 claims" */
static void say_count(const struct ek_render *render, const char *color, const char *before,
		      const json_t *object, const char *key, const char *noun)
{
	bool one = json_integer_value(json_object_get(object, key)) == 1;

	ek_show_say(render, color, "%s%s %s%s", before, ek_show_integer(object, key).text, noun,
		    one ? "" : "s");
}

static const char *health_color(const char *health)
{
	return !strcmp(health, "complete-fail") ? EK_SHOW_RED : ek_show_state_color(health);
}

static const char *role_color(const char *role)
{
	if (!strcmp(role, "primary"))
		return EK_SHOW_GREEN;
	return !strcmp(role, "secondary") ? NULL : EK_SHOW_YELLOW;
}

/* --- this node ------------------------------------------------------------------------------- */

/* "enabled, stay none" */
static void say_word(const struct ek_render *render, const json_t *answer)
{
	const char *stay = ek_show_text(answer, "stay");
	bool free = !strcmp(stay, "none") || !strcmp(stay, "-");

	if (ek_show_true(answer, "disabled"))
		ek_show_say(render, EK_SHOW_YELLOW, "disabled");
	else
		ek_show_say(render, NULL, "%s",
			    ek_show_false(answer, "disabled") ? "enabled" : "-");
	ek_show_say(render, NULL, ", ");
	ek_show_say(render, free ? NULL : EK_SHOW_YELLOW, "%s%s", free ? "stay " : "", stay);
}

static void print_flips(const struct ek_render *render, const json_t *flips)
{
	say_count(render, NULL, "", flips, "count", "flip");
	if (json_integer_value(json_object_get(flips, "max")) > 0)
		ek_show_say(render, NULL, ", at most %s in %s", ek_show_integer(flips, "max").text,
			    ek_show_seconds(flips, "window").text);
	if (ek_show_true(flips, "exhausted"))
		ek_show_say(render, EK_SHOW_YELLOW, ": reached");
}

static void print_node(const struct ek_render *render, const json_t *answer)
{
	const char *health = ek_show_text(answer, "health");

	ek_show_say(render, EK_SHOW_BOLD, "%s", ek_show_text(answer, "node"));
	ek_show_say(render, NULL, ": ");
	ek_show_say(render, health_color(health), "%s", health);
	ek_show_say(render, NULL, " (%s); ", ek_show_text(answer, "why"));
	say_word(render, answer);
	if (ek_show_true(answer, "fail_safe"))
		ek_show_say(render, NULL, ", fail-safe");
	ek_show_say(render, NULL, "; services of the %s; ", ek_show_text(answer, "services_from"));
	print_flips(render, json_object_get(answer, "flips"));
	ek_show_end_line(render);
}

/* Of ring changes: how many took effect before the peers knew, and how long they did not. */
static void print_continuity(const struct ek_render *render, const json_t *continuity)
{
	bool any = json_integer_value(json_object_get(continuity, "unmirrored")) > 0;
	const char *color = any ? EK_SHOW_YELLOW : NULL;

	say_count(render, color, "continuity: ", continuity, "unmirrored", "ring change");
	ek_show_say(render, color, " took effect before a peer knew");
	if (any)
		ek_show_say(render, NULL, ", for %s the last time, %s at most",
			    milliseconds(continuity, "window_ms").text,
			    milliseconds(continuity, "window_max_ms").text);
	if (ek_show_true(continuity, "waiting"))
		ek_show_say(render, EK_SHOW_YELLOW, "; one waits for a peer now");
	ek_show_end_line(render);
}

/* --- instances ------------------------------------------------------------------------------- */

static const struct ek_show_column instance_columns[] = {
	{"INSTANCE", false}, {"VRID", true},	 {"ROLE", false}, {"SINCE", true},
	{"PRIORITY", true},  {"INTERVAL", true}, {"LEASE", true}, {"ANNOUNCE", false},
	{"MASTER", false},   {"WHY", false}};

/* "10.2.0.10 (150)" */
static struct ek_show_word master_of(const json_t *instance)
{
	const json_t *priority = json_object_get(instance, "master_priority");
	struct ek_show_word word;

	if (ek_show_is(instance, "master", "-"))
		return (struct ek_show_word){"-"};
	if (json_is_integer(priority) && !json_integer_value(priority))
		snprintf(word.text, sizeof(word.text), "%.48s (resigned)",
			 ek_show_text(instance, "master"));
	else
		snprintf(word.text, sizeof(word.text), "%.48s (%.8s)",
			 ek_show_text(instance, "master"),
			 ek_show_integer(instance, "master_priority").text);
	return word;
}

static void print_instance(struct ek_show_table *table, const json_t *instance)
{
	const char *role = ek_show_text(instance, "role");
	/* Nobody is told where the VIPs are: the data plane answers only while the lease runs. */
	bool mute = !strcmp(role, "primary") && !ek_show_is(instance, "announce", "route") &&
		    json_is_null(json_object_get(instance, "lease_ms"));

	ek_show_cell(table, NULL, "%s", ek_show_text(instance, "name"));
	ek_show_cell(table, NULL, "%s", ek_show_integer(instance, "vrid").text);
	ek_show_cell(table, role_color(role), "%s", role);
	ek_show_cell(table, NULL, "%s", ek_show_age(table->render, instance, "since").text);
	ek_show_cell(table, NULL, "%s", ek_show_integer(instance, "priority").text);
	ek_show_cell(table, NULL, "%s", milliseconds(instance, "interval_ms").text);
	ek_show_cell(table, mute ? EK_SHOW_RED : NULL, "%s",
		     mute ? "none" : milliseconds(instance, "lease_ms").text);
	ek_show_cell(table, NULL, "%s", ek_show_text(instance, "announce"));
	ek_show_cell(table, NULL, "%s", master_of(instance).text);
	ek_show_cell(table, NULL, "%s", ek_show_text(instance, "why"));
}

static bool silent(const json_t *path, json_int_t dead_ms)
{
	const json_t *ms = json_object_get(path, "silent_ms");

	return !json_is_integer(ms) || json_integer_value(ms) > dead_ms;
}

/* Silence on one path only is that path's fault. A primary, though, is not spoken to. */
static bool others_are_heard(const json_t *instance, json_int_t dead_ms)
{
	const json_t *path;
	size_t i;

	json_array_foreach (json_object_get(instance, "paths"), i, path)
		if (!silent(path, dead_ms))
			return !ek_show_is(instance, "role", "primary");
	return false;
}

static void print_path(const struct ek_render *render, const json_t *path, bool lost)
{
	bool closed = ek_show_false(path, "open");
	const char *color = lost || closed ? EK_SHOW_RED : NULL;

	ek_show_say(render, color, "  %sheartbeat %s %s: %s sent, %s heard", color ? "alarm: " : "",
		    ek_show_text(path, "interface"), ek_show_text(path, "family"),
		    ek_show_integer(path, "sent").text, ek_show_integer(path, "heard").text);
	if (json_is_integer(json_object_get(path, "silent_ms")))
		ek_show_say(render, color, ", silent for %s", milliseconds(path, "silent_ms").text);
	if (closed)
		ek_show_say(render, color, ", cannot be opened");
	ek_show_end_line(render);
}

/* Adverts of other instances on the same interface, and what comes back of our own. */
static bool harmless(const char *refusal)
{
	return !strcmp(refusal, ek_vrrp_refusal_name(EK_VRRP_REFUSED_VRID)) ||
	       !strcmp(refusal, ek_vrrp_refusal_name(EK_VRRP_REFUSED_OWN));
}

static void print_refusals(const struct ek_render *render, json_t *refused)
{
	const char *before = "  adverts refused: ", *name;
	json_t *count;

	json_object_foreach (refused, name, count) {
		if (json_integer_value(count) <= 0)
			continue;
		ek_show_say(render, NULL, "%s", before);
		ek_show_say(render, harmless(name) ? NULL : EK_SHOW_YELLOW, "%s %lld", name,
			    (long long)json_integer_value(count));
		before = ", ";
	}
	if (*before == ',')
		ek_show_end_line(render);
}

static void print_instance_details(const struct ek_render *render, const json_t *instance)
{
	json_int_t dead_ms = json_integer_value(json_object_get(instance, "dead_ms"));
	bool heard = others_are_heard(instance, dead_ms);
	const json_t *row;
	size_t i;

	ek_show_say(render, EK_SHOW_BOLD, "%s", ek_show_text(instance, "name"));
	ek_show_say(render, NULL, " on %s:", ek_show_text(instance, "interface"));
	json_array_foreach (json_object_get(instance, "vips"), i, row)
		ek_show_say(render, NULL, "%s %s", i ? "," : "", json_string_value(row) ?: "-");
	say_count(render, NULL, "; ", instance, "claims", "claim");
	say_count(render, NULL, ", ", instance, "yields", "yield");
	ek_show_end_line(render);
	json_array_foreach (json_object_get(instance, "paths"), i, row)
		print_path(render, row, heard && silent(row, dead_ms));
	print_refusals(render, json_object_get(instance, "refused"));
}

static void print_instances(const struct ek_render *render, const json_t *instances)
{
	const json_t *instance;
	size_t i;

	if (!json_array_size(instances))
		return;
	ek_show_end_line(render);
	ek_show_rows(render, instance_columns, 10, instances, print_instance);
	json_array_foreach (instances, i, instance)
		print_instance_details(render, instance);
}

/* --- tracks ---------------------------------------------------------------------------------- */

static const struct ek_show_column track_columns[] = {
	{"TRACK", false}, {"STATE", false}, {"SINCE", true}, {"WHY", false}};

static void print_track(struct ek_show_table *table, const json_t *track)
{
	const char *state = ek_show_text(track, "state");
	const char *color = !strcmp(state, "ok")       ? EK_SHOW_GREEN
			    : !strcmp(state, "failed") ? EK_SHOW_RED
						       : EK_SHOW_YELLOW;

	ek_show_cell(table, NULL, "%s", ek_show_text(track, "name"));
	ek_show_cell(table, color, "%s", state);
	ek_show_cell(table, NULL, "%s", ek_show_age(table->render, track, "since").text);
	ek_show_cell(table, NULL, "%s", ek_show_text(track, "why"));
}

static void print_tracks(const struct ek_render *render, const json_t *tracks)
{
	if (!json_array_size(tracks))
		return;
	ek_show_end_line(render);
	ek_show_rows(render, track_columns, 4, tracks, print_track);
}

/* --- peers ----------------------------------------------------------------------------------- */

static void say_sync(const struct ek_render *render, const json_t *peer)
{
	bool here = ek_show_true(peer, "synced"), there = ek_show_true(peer, "synced_with_us");

	if (here && there)
		ek_show_say(render, EK_SHOW_GREEN, "in sync both ways");
	else
		ek_show_say(render, EK_SHOW_YELLOW, "%s",
			    here    ? "in sync here, not there"
			    : there ? "in sync there, not here"
				    : "not in sync");
}

static void say_health(const struct ek_render *render, const json_t *peer)
{
	const char *health = ek_show_text(peer, "health"), *stay = ek_show_text(peer, "stay");

	ek_show_say(render, health_color(health), "%s", health);
	if (ek_show_true(peer, "disabled"))
		ek_show_say(render, EK_SHOW_YELLOW, ", disabled");
	if (strcmp(stay, "none") && strcmp(stay, "-"))
		ek_show_say(render, EK_SHOW_YELLOW, ", %s", stay);
}

static void print_peer_line(const struct ek_render *render, const json_t *peer)
{
	ek_show_say(render, NULL, "peer ");
	ek_show_say(render, EK_SHOW_BOLD, "%s", ek_show_text(peer, "name"));
	ek_show_say(render, NULL, ": ");
	if (ek_show_false(peer, "channel")) {
		ek_show_say(render, NULL, "heartbeats only, no channel");
	} else if (!ek_show_true(peer, "connected")) {
		ek_show_say(render, EK_SHOW_RED, "not connected");
	} else {
		ek_show_say(render, EK_SHOW_GREEN, "connected");
		ek_show_say(render, NULL, ", ");
		say_sync(render, peer);
		ek_show_say(render, NULL, "; ");
		say_health(render, peer);
		ek_show_say(render, NULL, "; services: ");
		ek_show_say(render, ek_show_is(peer, "services", "same") ? NULL : EK_SHOW_YELLOW,
			    "%s", ek_show_text(peer, "services"));
	}
	ek_show_end_line(render);
}

static void print_trouble(const struct ek_render *render, const json_t *peer, const char *key,
			  const char *before)
{
	if (ek_show_is(peer, key, "-"))
		return;
	ek_show_say(render, EK_SHOW_RED, "  %s%s", before, ek_show_text(peer, key));
	ek_show_end_line(render);
}

static const struct ek_show_column link_columns[] = {
	{"LINK", false}, {"STATE", false},   {"ACTIVE", false}, {"SINCE", true},
	{"SENT", true},	 {"RECEIVED", true}, {"BACKLOG", true}, {"WHY", false}};

static void print_link(struct ek_show_table *table, const json_t *link)
{
	const char *state = ek_show_text(link, "state");

	ek_show_cell(table, NULL, "%s", ek_show_text(link, "address"));
	ek_show_cell(table, !strcmp(state, "refused") ? EK_SHOW_RED : ek_show_state_color(state),
		     "%s", state);
	ek_show_cell(table, NULL, "%s", ek_show_true(link, "active") ? "active" : "-");
	ek_show_cell(table, NULL, "%s", ek_show_age(table->render, link, "since").text);
	ek_show_cell(table, NULL, "%s", ek_show_integer(link, "sent").text);
	ek_show_cell(table, NULL, "%s", ek_show_integer(link, "received").text);
	ek_show_cell(table, NULL, "%s", ek_show_integer(link, "backlog").text);
	ek_show_cell(table, NULL, "%s", ek_show_text(link, "why"));
}

static void print_mirror(const struct ek_render *render, const json_t *mirror)
{
	static const char *const losses[] = {"unsent", "unplaced", "unknown", "missed"};

	ek_show_say(render, NULL,
		    "  mirror: entries %s sent, %s received; slots %s sent, %s "
		    "received; ",
		    ek_show_integer(mirror, "entries_sent").text,
		    ek_show_integer(mirror, "entries_received").text,
		    ek_show_integer(mirror, "slots_sent").text,
		    ek_show_integer(mirror, "slots_received").text);
	say_count(render, NULL, "", mirror, "tables", "whole table");
	ek_show_say(render, NULL, " sent");
	if (json_number_value(json_object_get(mirror, "lag_max_ms")) > 0) /* was measured */
		ek_show_say(render, NULL, "; lag %s, %s at most",
			    milliseconds(mirror, "lag_ms").text,
			    milliseconds(mirror, "lag_max_ms").text);
	ek_show_end_line(render);
	for (size_t i = 0; i < sizeof(losses) / sizeof(*losses); i++) {
		bool any = json_integer_value(json_object_get(mirror, losses[i])) > 0;

		ek_show_say(render, NULL, "%s", i ? ", " : "  mirror: ");
		ek_show_say(render, any ? EK_SHOW_YELLOW : NULL, "%s %s",
			    ek_show_integer(mirror, losses[i]).text, losses[i]);
	}
	ek_show_end_line(render);
}

static void print_peer(const struct ek_render *render, const json_t *peer)
{
	ek_show_end_line(render);
	print_peer_line(render, peer);
	if (ek_show_false(peer, "channel"))
		return;
	print_trouble(render, peer, "why", "");
	print_trouble(render, peer, "refused", "it refused a command: ");
	ek_show_rows(render, link_columns, 8, json_object_get(peer, "links"), print_link);
	print_mirror(render, json_object_get(peer, "mirror"));
}

/* Connections to the channel that were closed unheard; nothing while there are none. */
static void print_closed(const struct ek_render *render, const json_t *closed)
{
	static const char *const kinds[][2] = {
		{"strangers", "from strangers"},
		{"crowded", "beyond what a peer may have unfinished"},
		{"failed", "that ended before they were up"}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (json_integer_value(json_object_get(closed, kinds[i][0])) > 0) {
			ek_show_say(render, EK_SHOW_YELLOW, "channel: %s connections %s",
				    ek_show_integer(closed, kinds[i][0]).text, kinds[i][1]);
			ek_show_end_line(render);
		}
}

/* --- answers --------------------------------------------------------------------------------- */

void ek_render_ha(const struct ek_render *render, const json_t *answer)
{
	const json_t *peer;
	size_t i;

	print_node(render, answer);
	print_continuity(render, json_object_get(answer, "continuity"));
	print_closed(render, json_object_get(answer, "closed"));
	print_instances(render, json_object_get(answer, "instances"));
	print_tracks(render, json_object_get(answer, "tracks"));
	json_array_foreach (json_object_get(answer, "peers"), i, peer)
		print_peer(render, peer);
}

static void say_roles(const struct ek_render *render, const json_t *answer)
{
	const json_t *instance;
	size_t i;

	json_array_foreach (json_object_get(answer, "instances"), i, instance) {
		const char *role = ek_show_text(instance, "role");

		ek_show_say(render, NULL, "%s%s is ", i ? ", " : "",
			    ek_show_text(instance, "name"));
		ek_show_say(render, role_color(role), "%s", role);
		ek_show_say(render, NULL, " (%s)", ek_show_text(instance, "why"));
	}
}

void ek_render_ha_failover(const struct ek_render *render, const json_t *answer)
{
	ek_show_say(render, EK_SHOW_BOLD, "%s", ek_show_text(answer, "node"));
	ek_show_say(render, NULL, ": ");
	say_roles(render, answer);
	ek_show_end_line(render);
}

void ek_render_ha_word(const struct ek_render *render, const json_t *answer)
{
	ek_show_say(render, EK_SHOW_BOLD, "%s", ek_show_text(answer, "node"));
	ek_show_say(render, NULL, ": ");
	say_word(render, answer);
	if (json_array_size(json_object_get(answer, "instances")))
		ek_show_say(render, NULL, "; ");
	say_roles(render, answer);
	ek_show_end_line(render);
}
