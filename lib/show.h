/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every rendered answer (render.h) is put together from: values of a JSON object as words,
 * lines, and tables. Text that came over the network (a check's answer) reaches a terminal here,
 * so everything is printed by ek_show_say() or ek_show_cell(), which let no control character
 * through. A value that is absent or of another type is "-".
 */
#ifndef EVENKEEL_SHOW_H
#define EVENKEEL_SHOW_H

#include <stddef.h>
#include "render.h"

#define EK_SHOW_GREEN  "\033[32m"
#define EK_SHOW_YELLOW "\033[33m"
#define EK_SHOW_RED    "\033[31m"
#define EK_SHOW_BOLD   "\033[1m"

/* --- values -------------------------------------------------------------------------------- */

/* A formatted value, returned by value so that it can stand in an argument list. */
struct ek_show_word {
	char text[64]; /* an IPv6 address with its port */
};

const char *ek_show_text(const json_t *object, const char *key);
bool ek_show_is(const json_t *object, const char *key, const char *value);
bool ek_show_true(const json_t *object, const char *key);
bool ek_show_false(const json_t *object, const char *key);
struct ek_show_word ek_show_integer(const json_t *object, const char *key);
/* Three significant digits and a decimal prefix: 0, 0.3, 42, 1.25k, 980M. */
struct ek_show_word ek_show_quantity(const json_t *object, const char *key);
struct ek_show_word ek_show_percent(const json_t *object, const char *key);
/* The two largest units: 12s, 3m12s, 2h5m, 41d7h. */
struct ek_show_word ek_show_duration(json_int_t seconds);
struct ek_show_word ek_show_seconds(const json_t *object, const char *key);
/* How long ago the RFC 3339 time at `key` was. */
struct ek_show_word ek_show_age(const struct ek_render *render, const json_t *object,
				const char *key);
/* "192.0.2.10:80", "[2001:db8::10]:80" */
struct ek_show_word ek_show_endpoint(const json_t *object, const char *address, const char *port);
const char *ek_show_state_color(const char *state);

/* --- printing ------------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) void ek_show_say(const struct ek_render *render,
						       const char *color, const char *format, ...);
void ek_show_end_line(const struct ek_render *render);

#define EK_SHOW_COLUMNS_MAX 12

struct ek_show_column {
	const char *title;
	bool right; /* aligned: numbers */
};

/*
 * A table is walked twice by the same code: the first walk measures the columns, the second
 * prints them. So nothing is stored.
 */
struct ek_show_table {
	const struct ek_render *render;
	const struct ek_show_column *columns;
	size_t n_columns;
	size_t at; /* the next cell's column */
	bool printing;
	size_t width[EK_SHOW_COLUMNS_MAX];
};

__attribute__((format(printf, 3, 4))) void ek_show_cell(struct ek_show_table *table,
							const char *color, const char *format, ...);

/* Prints as many cells as there are columns, or none. */
typedef void (*ek_show_row)(struct ek_show_table *table, const json_t *row);
/* An array of rows; nothing at all when it is empty. */
void ek_show_rows(const struct ek_render *render, const struct ek_show_column *columns,
		  size_t n_columns, const json_t *rows, ek_show_row print_row);

#endif
