/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Errors as values: filled by parsers and pure code, formatted by whoever knows the file's name.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "error.h"

void ek_error_set(struct ek_error *error, const char *format, ...)
{
	va_list args;

	memset(error, 0, sizeof(*error));
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
}

void ek_errors_add(struct ek_errors *errors, unsigned int line, unsigned int column,
		   const char *key, const char *format, ...)
{
	struct ek_error *error;
	va_list args;

	if (errors->count == EK_ERRORS_MAX) {
		errors->dropped++;
		return;
	}
	error = &errors->list[errors->count++];
	*error = (struct ek_error){.line = line, .column = column};
	snprintf(error->key, sizeof(error->key), "%s", key ? key : "");
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
}

static bool is_before(const struct ek_error *a, const struct ek_error *b)
{
	return a->line < b->line || (a->line == b->line && a->column < b->column);
}

/* By insertion: the list is short, and errors at one place keep their order. */
void ek_errors_sort(struct ek_errors *errors)
{
	struct ek_error *list = errors->list, moved;
	size_t to;

	for (size_t from = 1; from < errors->count; from++) {
		moved = list[from];
		for (to = from; to && is_before(&moved, &list[to - 1]); to--)
			list[to] = list[to - 1];
		list[to] = moved;
	}
}

int ek_error_format(const struct ek_error *error, const char *file, char *out, size_t size)
{
	char place[2 * sizeof("4294967295:")] = "";

	if (error->line && error->column)
		snprintf(place, sizeof(place), "%u:%u:", error->line, error->column);
	else if (error->line)
		snprintf(place, sizeof(place), "%u:", error->line);
	if (!file)
		file = "";
	return snprintf(out, size, "%s%s%s%s%s%s%s", file, *file ? ":" : "", place,
			*file || *place ? " " : "", error->key, error->key[0] ? ": " : "",
			error->text);
}
