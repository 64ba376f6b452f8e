/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See render.h. Called by the command line. Text that came over the network (a check's answer)
 * reaches a terminal here, so everything is printed by say() or cell(), which let no control
 * character through.
 */
#include <stdarg.h>
#include <string.h>
#include "render.h"

#define GREEN	 "\033[32m"
#define YELLOW	 "\033[33m"
#define RED	 "\033[31m"
#define BOLD	 "\033[1m"
#define NO_COLOR "\033[0m"

#define TEXT_MAX    1024
#define COLUMNS_MAX 12

/* --- values -------------------------------------------------------------------------------- */

/* A formatted value, returned by value so that it can stand in an argument list. */
struct word {
	char text[48];
};

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value && *value ? value : "-";
}

static bool is(const json_t *object, const char *key, const char *value)
{
	return !strcmp(text(object, key), value);
}

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static bool is_false(const json_t *object, const char *key)
{
	return json_is_false(json_object_get(object, key));
}

static struct word integer(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	struct word word = {"-"};

	if (json_is_integer(value))
		snprintf(word.text, sizeof(word.text), "%lld",
			 (long long)json_integer_value(value));
	return word;
}

/* Three significant digits and a decimal prefix: 0, 0.3, 42, 1.25k, 980M. */
static struct word quantity(const json_t *object, const char *key)
{
	static const char prefix[] = "\0kMGTPE";
	const json_t *number = json_object_get(object, key);
	double value = json_number_value(number);
	struct word word = {"-"};
	int p = 0;

	if (!json_is_number(number) || value < 0)
		return word;
	for (; value >= 999.5 && prefix[p + 1]; p++)
		value /= 1000;
	if (value < 0.05)
		snprintf(word.text, sizeof(word.text), "0");
	else if (p == 0)
		snprintf(word.text, sizeof(word.text), "%.*f", value < 9.95, value);
	else
		snprintf(word.text, sizeof(word.text), "%.*f%c", value < 9.995 ? 2 : value < 99.95,
			 value, prefix[p]);
	return word;
}

static struct word percent(const json_t *object, const char *key)
{
	const json_t *share = json_object_get(object, key);
	struct word word = {"-"};

	if (json_is_number(share))
		snprintf(word.text, sizeof(word.text), "%.1f%%", 100 * json_number_value(share));
	return word;
}

/* The two largest units: 12s, 3m12s, 2h5m, 41d7h. */
static struct word duration(json_int_t seconds)
{
	static const struct {
		json_int_t seconds;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	struct word word;
	int u = 0;

	if (seconds < 0) /* two clocks that differ */
		seconds = 0;
	while (u < 3 && seconds < units[u].seconds)
		u++;
	if (u == 3)
		snprintf(word.text, sizeof(word.text), "%llds", (long long)seconds);
	else
		snprintf(word.text, sizeof(word.text), "%lld%c%lld%c",
			 (long long)(seconds / units[u].seconds), units[u].unit,
			 (long long)(seconds % units[u].seconds / units[u + 1].seconds),
			 units[u + 1].unit);
	return word;
}

/* How long ago the RFC 3339 time at `key` was. */
static struct word age(const struct ek_render *render, const json_t *object, const char *key)
{
	struct tm tm = {0};
	const char *end = strptime(text(object, key), "%Y-%m-%dT%H:%M:%SZ", &tm);

	return end && !*end ? duration(render->now - timegm(&tm)) : (struct word){"-"};
}

static struct word uptime(const json_t *status)
{
	const json_t *seconds = json_object_get(status, "uptime");

	return json_is_integer(seconds) ? duration(json_integer_value(seconds))
					: (struct word){"-"};
}

static const char *state_color(const char *state)
{
	if (!strcmp(state, "up"))
		return GREEN;
	return !strcmp(state, "down") ? RED : YELLOW;
}

/* --- printing ------------------------------------------------------------------------------ */

/* C0, DEL, and C1 in UTF-8: what a terminal could take for a command. */
static void scrub(char *string)
{
	unsigned char *c = (unsigned char *)string;

	for (; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[0] = c[1] = '?';
	}
}

static void put(const struct ek_render *render, const char *color, const char *string)
{
	if (render->color && color)
		fprintf(render->out, "%s%s" NO_COLOR, color, string);
	else
		fputs(string, render->out);
}

__attribute__((format(printf, 3, 4))) static void say(const struct ek_render *render,
						      const char *color, const char *format, ...)
{
	char string[TEXT_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(string, sizeof(string), format, ap);
	va_end(ap);
	scrub(string);
	put(render, color, string);
}

static void end_line(const struct ek_render *render)
{
	fputc('\n', render->out);
}

struct column {
	const char *title;
	bool right; /* aligned: numbers */
};

/*
 * A table is walked twice by the same code: the first walk measures the columns, the second
 * prints them. So nothing is stored.
 */
struct table {
	const struct ek_render *render;
	const struct column *columns;
	size_t n_columns;
	size_t at; /* the next cell's column */
	bool printing;
	size_t width[COLUMNS_MAX];
};

/* Characters, not bytes. */
static size_t width_of(const char *string)
{
	size_t width = 0;

	for (; *string; string++)
		width += (*string & 0xc0) != 0x80;
	return width;
}

static void print_cell(const struct table *table, const char *color, const char *string)
{
	int padding = table->width[table->at] - width_of(string);
	FILE *out = table->render->out;

	fprintf(out, "  ");
	if (table->columns[table->at].right)
		fprintf(out, "%*s", padding, "");
	put(table->render, color, string);
	if (table->at + 1 == table->n_columns)
		fputc('\n', out);
	else if (!table->columns[table->at].right)
		fprintf(out, "%*s", padding, "");
}

__attribute__((format(printf, 3, 4))) static void cell(struct table *table, const char *color,
						       const char *format, ...)
{
	char string[TEXT_MAX];
	size_t *width = &table->width[table->at];
	va_list ap;

	va_start(ap, format);
	vsnprintf(string, sizeof(string), format, ap);
	va_end(ap);
	scrub(string);
	if (table->printing)
		print_cell(table, color, string);
	else if (width_of(string) > *width)
		*width = width_of(string);
	table->at = (table->at + 1) % table->n_columns;
}

typedef void (*row_printer)(struct table *table, const json_t *row);

static void print_table(const struct ek_render *render, const struct column *columns,
			size_t n_columns, const json_t *rows, row_printer print_row)
{
	struct table table = {.render = render, .columns = columns, .n_columns = n_columns};

	if (json_array_size(rows) == 0)
		return;
	for (int walk = 0; walk < 2; walk++) {
		const json_t *row;
		size_t i;

		table.printing = walk == 1;
		for (i = 0; i < n_columns; i++)
			cell(&table, BOLD, "%s", columns[i].title);
		json_array_foreach (rows, i, row)
			print_row(&table, row);
	}
}

/* --- drops --------------------------------------------------------------------------------- */

static const struct column drop_columns[] = {
	{"REASON", false}, {"PACKETS", true}, {"PACKETS/S", true}, {"DESCRIPTION", false}};

static void print_any_drop(struct table *table, const json_t *drop)
{
	cell(table, NULL, "%s", text(drop, "reason"));
	cell(table, NULL, "%s", integer(drop, "packets").text);
	cell(table, NULL, "%s", quantity(drop, "packets_per_second").text);
	cell(table, NULL, "%s", text(drop, "description"));
}

static bool dropped(const json_t *drop)
{
	return json_integer_value(json_object_get(drop, "packets")) > 0;
}

static void print_drop(struct table *table, const json_t *drop)
{
	if (dropped(drop))
		print_any_drop(table, drop);
}

void ek_render_drops(const struct ek_render *render, const json_t *drops)
{
	print_table(render, drop_columns, 4, json_object_get(drops, "drops"), print_any_drop);
}

/* --- status -------------------------------------------------------------------------------- */

static void print_node(const struct ek_render *render, const json_t *status)
{
	const json_t *reload = json_object_get(status, "last_reload");

	say(render, BOLD, "%s", text(status, "node"));
	say(render, NULL, ": evenkeel %s, pid %s, up %s; %s loaded %s ago", text(status, "version"),
	    integer(status, "pid").text, uptime(status).text, text(status, "config"),
	    age(render, status, "loaded").text);
	end_line(render);
	if (is_false(reload, "ok")) {
		say(render, RED, "the reload %s ago failed and changed nothing: %s",
		    age(render, reload, "at").text, text(reload, "error"));
		end_line(render);
	}
}

/* What an interface may have to add, after `before`. */
static void say_why(const struct ek_render *render, const char *before, const json_t *interface,
		    const char *key)
{
	if (!is(interface, key, "-"))
		say(render, NULL, "%s%s", before, text(interface, key));
}

static void print_attachment(const struct ek_render *render, const json_t *interface)
{
	if (is_false(interface, "attached")) {
		say(render, RED, "XDP not attached");
		say_why(render, ": ", interface, "why");
		return;
	}
	say(render, is(interface, "mode", "generic") ? YELLOW : NULL, "%s XDP",
	    text(interface, "mode"));
	if (is_true(interface, "dispatcher"))
		say(render, NULL, " under the libxdp dispatcher");
	say_why(render, "; ", interface, "note");
}

static void print_interface(const struct ek_render *render, const json_t *interface)
{
	const char *link = is_true(interface, "up")    ? "up"
			   : is_false(interface, "up") ? "down"
						       : "-";

	say(render, BOLD, "%s", text(interface, "name"));
	say(render, NULL, ": ");
	say(render, is_false(interface, "up") ? RED : NULL, "%s", link);
	say(render, NULL, ", mtu %s, %s, ", integer(interface, "mtu").text, text(interface, "mac"));
	print_attachment(render, interface);
	end_line(render);
}

static const struct column backend_columns[] = {
	{"BACKEND", false},  {"ADDRESS", false}, {"WEIGHT", true},
	{"HEALTH", false},   {"SINCE", true},	 {"SHARE", true},
	{"PACKETS/S", true}, {"BITS/S", true},	 {"WHY", false}};

static void print_backend(struct table *table, const json_t *backend)
{
	const char *health = text(backend, "health");
	const char *nexthop = text(backend, "nexthop");
	/* Out of the file, and kept until no connection names it. */
	const char *retired = is_true(backend, "retired") ? "retired; " : "";

	cell(table, NULL, "%s", text(backend, "name"));
	cell(table, NULL, "%s", text(backend, "address"));
	cell(table, NULL, "%s", integer(backend, "weight").text);
	cell(table, state_color(health), "%s", health);
	cell(table, NULL, "%s", age(table->render, backend, "since").text);
	cell(table, NULL, "%s", percent(backend, "share").text);
	cell(table, NULL, "%s", quantity(backend, "packets_per_second").text);
	cell(table, NULL, "%s", quantity(backend, "bits_per_second").text);
	if (!strcmp(nexthop, "resolved") || !strcmp(nexthop, "-"))
		cell(table, NULL, "%s%s", retired, text(backend, "why"));
	else
		cell(table, YELLOW, "%s%s; next hop %s (%s)", retired, text(backend, "why"),
		     nexthop, text(backend, "nexthop_detail"));
}

/* "2 of 3 backends", those of the file. */
static struct word count_up(const json_t *backends)
{
	size_t i, up = 0, all = 0;
	const json_t *backend;
	struct word word;

	json_array_foreach (backends, i, backend) {
		if (is_true(backend, "retired"))
			continue;
		all++;
		up += is(backend, "health", "up");
	}
	snprintf(word.text, sizeof(word.text), "%zu of %zu backend%s", up, all,
		 all == 1 ? "" : "s");
	return word;
}

static void print_service_line(const struct ek_render *render, const json_t *service)
{
	const char *address = text(service, "address"), *state = text(service, "state");
	bool v6 = strchr(address, ':') != NULL;

	say(render, BOLD, "%s", text(service, "name"));
	say(render, NULL, ": %s%s%s:%s/%s ", v6 ? "[" : "", address, v6 ? "]" : "",
	    integer(service, "port").text, text(service, "protocol"));
	say(render, state_color(state), "%s", state);
	say(render, NULL, " (%s); %s, %s, tracking %s; %s packets/s, %s bits/s",
	    count_up(json_object_get(service, "backends")).text, text(service, "forward"),
	    text(service, "method"), text(service, "tracking"),
	    quantity(service, "packets_per_second").text,
	    quantity(service, "bits_per_second").text);
	end_line(render);
}

static void print_service(const struct ek_render *render, const json_t *service)
{
	end_line(render);
	print_service_line(render, service);
	if (json_integer_value(json_object_get(service, "remembering")) > 0) {
		say(render, NULL, "  %s of %s slots remember an earlier backend",
		    integer(service, "remembering").text, integer(service, "ring_slots").text);
		end_line(render);
	}
	print_table(render, backend_columns, 9, json_object_get(service, "backends"),
		    print_backend);
}

static void print_drops(const struct ek_render *render, const json_t *status)
{
	const json_t *drops = json_object_get(status, "drops");
	const json_t *drop;
	bool any = false;
	size_t i;

	json_array_foreach (drops, i, drop)
		any |= dropped(drop);
	if (!any)
		return;
	end_line(render);
	say(render, BOLD, "dropped");
	end_line(render);
	print_table(render, drop_columns, 4, drops, print_drop);
}

void ek_render_status(const struct ek_render *render, const json_t *status)
{
	const json_t *row;
	size_t i;

	print_node(render, status);
	json_array_foreach (json_object_get(status, "interfaces"), i, row)
		print_interface(render, row);
	json_array_foreach (json_object_get(status, "services"), i, row)
		print_service(render, row);
	print_drops(render, status);
}
