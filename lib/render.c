/* SPDX-License-Identifier: GPL-2.0-only */
/* The status and the drops as text. See render.h. Called by the command line. */
#include <string.h>
#include "show.h"

/* --- drops --------------------------------------------------------------------------------- */

static const struct ek_show_column drop_columns[] = {
	{"REASON", false}, {"PACKETS", true}, {"PACKETS/S", true}, {"DESCRIPTION", false}};
static const struct ek_show_column answer_columns[] = {
	{"ANSWER", false}, {"PACKETS", true}, {"PACKETS/S", true}, {"DESCRIPTION", false}};

static bool counted(const struct ek_render *render, const json_t *row)
{
	return render->all || json_integer_value(json_object_get(row, "packets")) > 0;
}

static void print_row(struct ek_show_table *table, const json_t *row, const char *name)
{
	if (!counted(table->render, row))
		return;
	ek_show_cell(table, NULL, "%s", ek_show_text(row, name));
	ek_show_cell(table, NULL, "%s", ek_show_integer(row, "packets").text);
	ek_show_cell(table, NULL, "%s", ek_show_quantity(row, "packets_per_second").text);
	ek_show_cell(table, NULL, "%s", ek_show_text(row, "description"));
}

static void print_drop(struct ek_show_table *table, const json_t *drop)
{
	print_row(table, drop, "reason");
}

static void print_answer(struct ek_show_table *table, const json_t *answer)
{
	print_row(table, answer, "answer");
}

static const struct list {
	const char *heading;
	const struct ek_show_column *columns;
	ek_show_row print;
} dropped = {"dropped", drop_columns, print_drop},
  answered = {"answered in place", answer_columns, print_answer};

/* False: there is nothing to say, and nothing was said. `gap`: an empty line goes before it. */
static bool print_list(const struct ek_render *render, const struct list *list, const json_t *rows,
		       bool gap)
{
	const json_t *row;
	bool any = false;
	size_t i;

	json_array_foreach (rows, i, row)
		any |= counted(render, row);
	if (!any)
		return false;
	if (gap)
		ek_show_end_line(render);
	ek_show_say(render, EK_SHOW_BOLD, "%s", list->heading);
	ek_show_end_line(render);
	ek_show_rows(render, list->columns, 4, rows, list->print);
	return true;
}

void ek_render_drops(const struct ek_render *render, const json_t *drops)
{
	bool any = print_list(render, &dropped, json_object_get(drops, "drops"), false);

	any |= print_list(render, &answered, json_object_get(drops, "answers"), any);
	if (any)
		return;
	ek_show_say(render, NULL, "nothing was dropped or answered in place");
	ek_show_end_line(render);
}

/* --- status -------------------------------------------------------------------------------- */

static void print_node(const struct ek_render *render, const json_t *status)
{
	const json_t *reload = json_object_get(status, "last_reload");

	ek_show_say(render, EK_SHOW_BOLD, "%s", ek_show_text(status, "node"));
	ek_show_say(render, NULL, ": evenkeel %s, pid %s, up %s; %s loaded %s ago",
		    ek_show_text(status, "version"), ek_show_integer(status, "pid").text,
		    ek_show_seconds(status, "uptime").text, ek_show_text(status, "config"),
		    ek_show_age(render, status, "loaded").text);
	ek_show_end_line(render);
	if (ek_show_false(reload, "ok")) {
		ek_show_say(render, EK_SHOW_RED, "the reload %s ago failed and changed nothing: %s",
			    ek_show_age(render, reload, "at").text, ek_show_text(reload, "error"));
		ek_show_end_line(render);
	}
}

/* What an interface may have to add, after `before`. */
static void say_why(const struct ek_render *render, const char *before, const json_t *interface,
		    const char *key)
{
	if (!ek_show_is(interface, key, "-"))
		ek_show_say(render, NULL, "%s%s", before, ek_show_text(interface, key));
}

static void print_attachment(const struct ek_render *render, const json_t *interface)
{
	if (ek_show_false(interface, "attached")) {
		ek_show_say(render, EK_SHOW_RED, "XDP not attached");
		say_why(render, ": ", interface, "why");
		return;
	}
	ek_show_say(render, ek_show_is(interface, "mode", "generic") ? EK_SHOW_YELLOW : NULL,
		    "%s XDP", ek_show_text(interface, "mode"));
	if (ek_show_true(interface, "dispatcher"))
		ek_show_say(render, NULL, " under the libxdp dispatcher");
	say_why(render, "; ", interface, "note");
}

static void print_interface(const struct ek_render *render, const json_t *interface)
{
	const char *link = ek_show_true(interface, "up")    ? "up"
			   : ek_show_false(interface, "up") ? "down"
							    : "-";

	ek_show_say(render, EK_SHOW_BOLD, "%s", ek_show_text(interface, "name"));
	ek_show_say(render, NULL, ": ");
	ek_show_say(render, ek_show_false(interface, "up") ? EK_SHOW_RED : NULL, "%s", link);
	ek_show_say(render, NULL, ", mtu %s, %s, ", ek_show_integer(interface, "mtu").text,
		    ek_show_text(interface, "mac"));
	print_attachment(render, interface);
	ek_show_end_line(render);
}

static void print_unannounced(const struct ek_render *render, const json_t *announcement)
{
	if (!ek_show_false(announcement, "announced"))
		return;
	ek_show_say(render, EK_SHOW_YELLOW, "%s is not announced: %s",
		    ek_show_text(announcement, "address"), ek_show_text(announcement, "why"));
	ek_show_end_line(render);
}

/* "announces 2 of 3 VIPs by ARP and neighbour discovery", and why not the others. */
static void print_announcements(const struct ek_render *render, const json_t *announcements)
{
	size_t i, announced = 0, all = json_array_size(announcements);
	const json_t *row;

	if (!all)
		return;
	json_array_foreach (announcements, i, row)
		announced += ek_show_true(row, "announced");
	ek_show_say(render, NULL, "announces %zu of %zu VIP%s by ARP and neighbour discovery",
		    announced, all, all == 1 ? "" : "s");
	ek_show_end_line(render);
	json_array_foreach (announcements, i, row)
		print_unannounced(render, row);
}

static const struct ek_show_column backend_columns[] = {
	{"BACKEND", false},  {"ADDRESS", false}, {"WEIGHT", true},
	{"HEALTH", false},   {"SINCE", true},	 {"SHARE", true},
	{"PACKETS/S", true}, {"BITS/S", true},	 {"WHY", false}};

/* "draining for 3m12s: 840 slots and 12 entries need it, last hit 2s ago; " */
static void drain_words(const json_t *backend, char *out, size_t size)
{
	const json_t *drain = json_object_get(backend, "drain"), *hit;
	size_t n;

	*out = '\0';
	if (!drain)
		return;
	if (ek_show_true(drain, "done")) {
		snprintf(out, size, "drained%s; ",
			 ek_show_true(drain, "timed_out") ? " (time is over)" : "");
		return;
	}
	n = snprintf(out, size, "draining for %s: %s slots and %s entries need it",
		     ek_show_seconds(drain, "seconds").text, ek_show_integer(drain, "slots").text,
		     ek_show_integer(drain, "entries").text);
	hit = json_object_get(drain, "last_hit");
	if (json_is_number(hit) && n < size)
		n += snprintf(out + n, size - n, ", last hit %s ago",
			      ek_show_duration(json_number_value(hit)).text);
	if (json_integer_value(json_object_get(drain, "overflow")) > 0 && n < size)
		n += snprintf(out + n, size - n,
			      ", %s new connections for want of room in the table",
			      ek_show_integer(drain, "overflow").text);
	if (n < size)
		snprintf(out + n, size - n, "; ");
}

static void print_backend(struct ek_show_table *table, const json_t *backend)
{
	const char *health = ek_show_text(backend, "health");
	const char *nexthop = ek_show_text(backend, "nexthop");
	/* Out of the file, and kept until no connection names it. */
	const char *retired = ek_show_true(backend, "retired") ? "retired; " : "";
	char drain[256];

	drain_words(backend, drain, sizeof(drain));

	ek_show_cell(table, NULL, "%s", ek_show_text(backend, "name"));
	ek_show_cell(table, NULL, "%s", ek_show_text(backend, "address"));
	ek_show_cell(table, NULL, "%s", ek_show_integer(backend, "weight").text);
	ek_show_cell(table, ek_show_state_color(health), "%s", health);
	ek_show_cell(table, NULL, "%s", ek_show_age(table->render, backend, "since").text);
	ek_show_cell(table, NULL, "%s", ek_show_percent(backend, "share").text);
	ek_show_cell(table, NULL, "%s", ek_show_quantity(backend, "packets_per_second").text);
	ek_show_cell(table, NULL, "%s", ek_show_quantity(backend, "bits_per_second").text);
	if (!strcmp(nexthop, "resolved") || !strcmp(nexthop, "-"))
		ek_show_cell(table, NULL, "%s%s%s", drain, retired, ek_show_text(backend, "why"));
	else
		ek_show_cell(table, EK_SHOW_YELLOW, "%s%s%s; next hop %s (%s)", drain, retired,
			     ek_show_text(backend, "why"), nexthop,
			     ek_show_text(backend, "nexthop_detail"));
}

/* "2 of 3 backends", those of the file. */
static struct ek_show_word count_up(const json_t *backends)
{
	size_t i, up = 0, all = 0;
	const json_t *backend;
	struct ek_show_word word;

	json_array_foreach (backends, i, backend) {
		if (ek_show_true(backend, "retired"))
			continue;
		all++;
		up += ek_show_is(backend, "health", "up");
	}
	snprintf(word.text, sizeof(word.text), "%zu of %zu backend%s", up, all,
		 all == 1 ? "" : "s");
	return word;
}

static const char *item(const json_t *list, size_t i)
{
	const char *text = json_string_value(json_array_get(list, i));

	return text ? text : "-";
}

/* One address and one port, as a client has them. */
static bool has_endpoint(const json_t *service)
{
	const json_t *list = json_object_get(service, "addresses");
	const char *ports = ek_show_text(service, "ports");

	if (!list)
		return true;
	return json_array_size(list) == 1 && !ports[strspn(ports, "0123456789")] &&
	       !strchr(item(list, 0), '/');
}

/* "192.0.2.10:80/tcp", or "192.0.2.0/24, 2001:db8::/64 ports 8000-8099/tcp+udp" */
static void say_addresses(const struct ek_render *render, const json_t *service)
{
	const json_t *list = json_object_get(service, "addresses");
	const char *ports = ek_show_text(service, "ports");
	const char *protocol = ek_show_text(service, "protocol");

	if (has_endpoint(service)) {
		ek_show_say(render, NULL, ": %s/%s ",
			    ek_show_endpoint(service, "address", "port").text, protocol);
		return;
	}
	for (size_t i = 0; i < json_array_size(list); i++)
		ek_show_say(render, NULL, "%s%s", i ? ", " : ": ", item(list, i));
	if (!strcmp(protocol, "any"))
		ek_show_say(render, NULL, " any protocol ");
	else if (!strcmp(ports, "any"))
		ek_show_say(render, NULL, " any port/%s ", protocol);
	else
		ek_show_say(render, NULL, " port%s %s/%s ", strchr(ports, '-') ? "s" : "", ports,
			    protocol);
}

static void print_service_line(const struct ek_render *render, const json_t *service)
{
	const char *state = ek_show_text(service, "state");

	ek_show_say(render, EK_SHOW_BOLD, "%s", ek_show_text(service, "name"));
	say_addresses(render, service);
	ek_show_say(render, ek_show_state_color(state), "%s", state);
	ek_show_say(render, NULL, " (%s); %s, %s, tracking %s; %s packets/s, %s bits/s",
		    count_up(json_object_get(service, "backends")).text,
		    ek_show_text(service, ek_show_is(service, "forward_detail", "-")
						  ? "forward"
						  : "forward_detail"),
		    ek_show_text(service, "method"), ek_show_text(service, "tracking"),
		    ek_show_quantity(service, "packets_per_second").text,
		    ek_show_quantity(service, "bits_per_second").text);
	ek_show_end_line(render);
}

static void print_service(const struct ek_render *render, const json_t *service)
{
	const json_t *warnings = json_object_get(service, "warnings");

	ek_show_end_line(render);
	print_service_line(render, service);
	for (size_t i = 0; i < json_array_size(warnings); i++) {
		ek_show_say(render, EK_SHOW_YELLOW, "  %s", item(warnings, i));
		ek_show_end_line(render);
	}
	if (json_integer_value(json_object_get(service, "remembering")) > 0) {
		ek_show_say(render, NULL, "  %s of %s slots remember an earlier backend",
			    ek_show_integer(service, "remembering").text,
			    ek_show_integer(service, "ring_slots").text);
		ek_show_end_line(render);
	}
	ek_show_rows(render, backend_columns, 9, json_object_get(service, "backends"),
		     print_backend);
}

void ek_render_status(const struct ek_render *render, const json_t *status)
{
	const json_t *row;
	size_t i;

	print_node(render, status);
	json_array_foreach (json_object_get(status, "alarms"), i, row) {
		ek_show_say(render, EK_SHOW_RED, "alarm: %s", json_string_value(row));
		ek_show_end_line(render);
	}
	json_array_foreach (json_object_get(status, "interfaces"), i, row)
		print_interface(render, row);
	print_announcements(render, json_object_get(status, "announcements"));
	json_array_foreach (json_object_get(status, "services"), i, row)
		print_service(render, row);
	print_list(render, &dropped, json_object_get(status, "drops"), true);
}
