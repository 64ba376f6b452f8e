/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of lib/render*.c share: rows of an answer and the whole text that it becomes. */
#ifndef EVENKEEL_TESTS_RENDER_FIXTURE_H
#define EVENKEEL_TESTS_RENDER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "render.h"

#define NOW 1795348992 /* 2026-11-22T12:03:12Z */

typedef void (*renderer)(const struct ek_render *render, const json_t *result);

struct render_row {
	const char *description;
	renderer render;
	bool color;
	const char *answer; /* with ' for " */
	const char *text;
};

static inline json_t *parse(const char *quoted)
{
	char *text = strdup(quoted);
	json_error_t error;
	json_t *json;

	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	json = json_loads(text, 0, &error);
	if (!json)
		fail_msg("%s in %s", error.text, text);
	free(text);
	return json;
}

static inline char *rendered(renderer render, bool color, const json_t *answer)
{
	char *text = NULL;
	size_t length;
	struct ek_render how = {.out = open_memstream(&text, &length), .color = color, .now = NOW};

	render(&how, answer);
	fclose(how.out);
	return text;
}

static inline void check_rows(const struct render_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		json_t *answer = parse(rows[i].answer);
		char *text = rendered(rows[i].render, rows[i].color, answer);

		if (strcmp(text, rows[i].text))
			fail_msg("%s:\n%s\ninstead of\n%s", rows[i].description, text,
				 rows[i].text);
		free(text);
		json_decref(answer);
	}
}

#endif
