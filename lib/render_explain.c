/* SPDX-License-Identifier: GPL-2.0-only */
/* The way of a flow's packets as text. See render.h. Called by the command line. */
#include "show.h"

/* Of any protocol a flow is a pair of addresses: its client has no port. */
static void print_flow(const struct ek_render *render, const json_t *answer)
{
	const bool portless = ek_show_is(answer, "protocol", "any");

	ek_show_say(render, EK_SHOW_BOLD, "%s", ek_show_text(answer, "service"));
	if (portless)
		ek_show_say(render, NULL, ": %s, any protocol", ek_show_text(answer, "address"));
	else
		ek_show_say(render, NULL, ": %s/%s",
			    ek_show_endpoint(answer, "address", "port").text,
			    ek_show_text(answer, "protocol"));
	ek_show_say(render, NULL, ", tracking %s; client %s", ek_show_text(answer, "tracking"),
		    portless ? ek_show_text(answer, "client")
			     : ek_show_endpoint(answer, "client", "client_port").text);
	if (!portless && ek_show_true(answer, "port_assumed"))
		ek_show_say(render, EK_SHOW_YELLOW,
			    " (an example: each port is a connection of its own)");
	ek_show_end_line(render);
}

static void print_slot(const struct ek_render *render, const json_t *answer)
{
	const json_t *slot = json_object_get(answer, "slot");

	ek_show_say(render, NULL, "hash %s: slot %s of the ring, bucket %s of the table",
		    ek_show_text(answer, "hash"), ek_show_integer(slot, "index").text,
		    ek_show_integer(answer, "bucket").text);
	ek_show_end_line(render);
	ek_show_say(render, NULL, "slot: current %s", ek_show_text(slot, "current"));
	if (!ek_show_true(slot, "remembers")) {
		ek_show_say(render, NULL, "; remembers nothing: %s", ek_show_text(slot, "why"));
	} else {
		ek_show_say(render, NULL, ", origin %s; looks up: %s", ek_show_text(slot, "origin"),
			    ek_show_text(slot, "why"));
		if (!ek_show_is(slot, "current", ek_show_text(slot, "origin")))
			ek_show_say(render, NULL, "; origin last needed %s ago",
				    ek_show_seconds(slot, "last_hit").text);
	}
	ek_show_end_line(render);
}

static void print_entries(const struct ek_render *render, const json_t *entries)
{
	const json_t *entry;
	size_t i;

	json_array_foreach (entries, i, entry) {
		ek_show_say(render, NULL, "entry: %s, %s; %s old, idle %s, expires in %s",
			    ek_show_text(entry, "backend"), ek_show_text(entry, "state"),
			    ek_show_seconds(entry, "age").text, ek_show_seconds(entry, "idle").text,
			    ek_show_seconds(entry, "expires").text);
		ek_show_end_line(render);
	}
	if (json_array_size(entries))
		return;
	ek_show_say(render, NULL, "entry: none");
	ek_show_end_line(render);
}

static void print_outer(const struct ek_render *render, const json_t *outer)
{
	if (!json_is_object(outer))
		return;
	if (ek_show_is(outer, "forward", "local")) {
		ek_show_say(render, NULL, "  to this host's own stack, as it is");
		ek_show_end_line(render);
		return;
	}
	if (ek_show_is(outer, "forward", "tos"))
		ek_show_say(render, NULL,
			    "  its destination becomes %s, its DSCP %s; packets up to %s bytes",
			    ek_show_text(outer, "destination"), ek_show_integer(outer, "dscp").text,
			    ek_show_integer(outer, "room").text);
	else if (ek_show_is(outer, "forward", "l2"))
		ek_show_say(render, NULL, "  as it is; packets up to %s bytes",
			    ek_show_integer(outer, "room").text);
	else
		ek_show_say(render, NULL,
			    "  outer header %s > %s, %s bytes; inner packets up to %s bytes",
			    ek_show_text(outer, "source"), ek_show_text(outer, "destination"),
			    ek_show_integer(outer, "bytes").text,
			    ek_show_integer(outer, "room").text);
	ek_show_end_line(render);
	ek_show_say(render, NULL, "  out by %s, %s > %s", ek_show_text(outer, "interface"),
		    ek_show_text(outer, "mac"), ek_show_text(outer, "nexthop_mac"));
	ek_show_end_line(render);
}

static void print_packet(const struct ek_render *render, const json_t *packet)
{
	bool forward = ek_show_is(packet, "verdict", "forward");
	bool drop = ek_show_is(packet, "verdict", "drop");

	ek_show_end_line(render);
	ek_show_say(render, EK_SHOW_BOLD, "%s", ek_show_text(packet, "packet"));
	if (forward)
		ek_show_say(render, EK_SHOW_GREEN, ": to %s", ek_show_text(packet, "backend"));
	else if (drop)
		ek_show_say(render, EK_SHOW_RED, ": dropped as %s (%s)",
			    ek_show_text(packet, "drop"), ek_show_text(packet, "description"));
	else if (ek_show_is(packet, "verdict", "reset"))
		ek_show_say(render, EK_SHOW_RED, ": answered with RST as %s (%s)",
			    ek_show_text(packet, "drop"), ek_show_text(packet, "description"));
	else
		ek_show_say(render, EK_SHOW_YELLOW, ": not ours, to this host's stack");
	ek_show_end_line(render);
	if (!ek_show_is(packet, "why", "-")) {
		ek_show_say(render, NULL, "  %s", ek_show_text(packet, "why"));
		ek_show_end_line(render);
	}
	print_outer(render, json_object_get(packet, "outer"));
}

static const struct ek_show_column backend_columns[] = {
	{"BACKEND", false}, {"ADDRESS", false}, {"HEALTH", false}, {"SINCE", true}, {"WHY", false}};

static void print_backend(struct ek_show_table *table, const json_t *backend)
{
	const char *health = ek_show_text(backend, "health");

	ek_show_cell(table, NULL, "%s", ek_show_text(backend, "name"));
	ek_show_cell(table, NULL, "%s", ek_show_text(backend, "address"));
	ek_show_cell(table, ek_show_state_color(health), "%s", health);
	ek_show_cell(table, NULL, "%s", ek_show_age(table->render, backend, "since").text);
	ek_show_cell(table, NULL, "%s%s%s", ek_show_true(backend, "draining") ? "draining; " : "",
		     ek_show_text(backend, "why"),
		     ek_show_is(backend, "nexthop", "unresolved") ? "; next hop unresolved" : "");
}

/* What the checks said before, for a backend whose health has changed since it is known. */
static void print_history(const struct ek_render *render, const json_t *backend)
{
	const json_t *history = json_object_get(backend, "history"), *change;
	size_t i;

	if (json_array_size(history) < 2)
		return;
	ek_show_say(render, NULL, "  %s", ek_show_text(backend, "name"));
	json_array_foreach (history, i, change)
		ek_show_say(render, NULL, "%s %s %s ago (%s)", i ? "," : ":",
			    ek_show_text(change, "health"), ek_show_age(render, change, "at").text,
			    ek_show_text(change, "why"));
	ek_show_end_line(render);
}

void ek_render_explain(const struct ek_render *render, const json_t *answer)
{
	const json_t *packet, *backend;
	size_t i;

	print_flow(render, answer);
	print_slot(render, answer);
	if (ek_show_true(json_object_get(answer, "slot"), "remembers")) /* else nobody looks */
		print_entries(render, json_object_get(answer, "entries"));
	json_array_foreach (json_object_get(answer, "packets"), i, packet)
		print_packet(render, packet);
	if (json_array_size(json_object_get(answer, "backends")))
		ek_show_end_line(render);
	ek_show_rows(render, backend_columns, 5, json_object_get(answer, "backends"),
		     print_backend);
	json_array_foreach (json_object_get(answer, "backends"), i, backend)
		print_history(render, backend);
}
