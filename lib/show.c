/* SPDX-License-Identifier: GPL-2.0-only */
/* See show.h. Called by render*.c. */
#include <stdarg.h>
#include <string.h>
#include "show.h"

#define NO_COLOR "\033[0m"
#define TEXT_MAX 1024

/* --- values -------------------------------------------------------------------------------- */

const char *ek_show_text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value && *value ? value : "-";
}

bool ek_show_is(const json_t *object, const char *key, const char *value)
{
	return !strcmp(ek_show_text(object, key), value);
}

bool ek_show_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

bool ek_show_false(const json_t *object, const char *key)
{
	return json_is_false(json_object_get(object, key));
}

struct ek_show_word ek_show_integer(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	struct ek_show_word word = {"-"};

	if (json_is_integer(value))
		snprintf(word.text, sizeof(word.text), "%lld",
			 (long long)json_integer_value(value));
	return word;
}

struct ek_show_word ek_show_quantity(const json_t *object, const char *key)
{
	static const char prefix[] = "\0kMGTPE";
	const json_t *number = json_object_get(object, key);
	double value = json_number_value(number);
	struct ek_show_word word = {"-"};
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

struct ek_show_word ek_show_percent(const json_t *object, const char *key)
{
	const json_t *share = json_object_get(object, key);
	struct ek_show_word word = {"-"};

	if (json_is_number(share))
		snprintf(word.text, sizeof(word.text), "%.1f%%", 100 * json_number_value(share));
	return word;
}

struct ek_show_word ek_show_duration(json_int_t seconds)
{
	static const struct {
		json_int_t seconds;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	struct ek_show_word word;
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

struct ek_show_word ek_show_seconds(const json_t *object, const char *key)
{
	const json_t *seconds = json_object_get(object, key);

	return json_is_integer(seconds) ? ek_show_duration(json_integer_value(seconds))
					: (struct ek_show_word){"-"};
}

struct ek_show_word ek_show_age(const struct ek_render *render, const json_t *object,
				const char *key)
{
	struct tm tm = {0};
	const char *end = strptime(ek_show_text(object, key), "%Y-%m-%dT%H:%M:%SZ", &tm);

	return end && !*end ? ek_show_duration(render->now - timegm(&tm))
			    : (struct ek_show_word){"-"};
}

struct ek_show_word ek_show_endpoint(const json_t *object, const char *address, const char *port)
{
	const char *host = ek_show_text(object, address);
	bool v6 = strchr(host, ':') != NULL;
	struct ek_show_word word;

	snprintf(word.text, sizeof(word.text), "%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "",
		 ek_show_integer(object, port).text);
	return word;
}

const char *ek_show_state_color(const char *state)
{
	if (!strcmp(state, "up"))
		return EK_SHOW_GREEN;
	return !strcmp(state, "down") ? EK_SHOW_RED : EK_SHOW_YELLOW;
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

void ek_show_say(const struct ek_render *render, const char *color, const char *format, ...)
{
	char string[TEXT_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(string, sizeof(string), format, ap);
	va_end(ap);
	scrub(string);
	put(render, color, string);
}

void ek_show_end_line(const struct ek_render *render)
{
	fputc('\n', render->out);
}

/* Characters, not bytes. */
static size_t width_of(const char *string)
{
	size_t width = 0;

	for (; *string; string++)
		width += (*string & 0xc0) != 0x80;
	return width;
}

static void print_cell(const struct ek_show_table *table, const char *color, const char *string)
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

void ek_show_cell(struct ek_show_table *table, const char *color, const char *format, ...)
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

void ek_show_rows(const struct ek_render *render, const struct ek_show_column *columns,
		  size_t n_columns, const json_t *rows, ek_show_row print_row)
{
	struct ek_show_table table = {.render = render, .columns = columns, .n_columns = n_columns};

	if (json_array_size(rows) == 0)
		return;
	for (int walk = 0; walk < 2; walk++) {
		const json_t *row;
		size_t i;

		table.printing = walk == 1;
		for (i = 0; i < n_columns; i++)
			ek_show_cell(&table, EK_SHOW_BOLD, "%s", columns[i].title);
		json_array_foreach (rows, i, row)
			print_row(&table, row);
	}
}
