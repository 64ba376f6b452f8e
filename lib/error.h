/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One error, or a list of them, for a person to read. Parsers and pure code fill these and never
 * print; the caller that knows the context does.
 */
#ifndef EVENKEEL_ERROR_H
#define EVENKEEL_ERROR_H

#include <stdbool.h>
#include <stddef.h>

struct ek_error {
	unsigned int line;   /* 1-based; 0 = about the whole */
	unsigned int column; /* 1-based; 0 = unknown */
	char key[64];	     /* the configuration key, or "" */
	char text[256];	     /* what was wrong, and what is expected */
};

#define EK_ERRORS_MAX 100

struct ek_errors {
	struct ek_error list[EK_ERRORS_MAX];
	size_t count;	/* kept in list */
	size_t dropped; /* beyond EK_ERRORS_MAX */
};

__attribute__((format(printf, 2, 3))) void ek_error_set(struct ek_error *error, const char *format,
							...);
__attribute__((format(printf, 5, 6))) void ek_errors_add(struct ek_errors *errors,
							 unsigned int line, unsigned int column,
							 const char *key, const char *format, ...);

/* Into the order of the file, since errors are found in the order of the rules. */
void ek_errors_sort(struct ek_errors *errors);

/* "file:line:column: key: text", leaving out what is unknown. Returns the length, as snprintf. */
int ek_error_format(const struct ek_error *error, const char *file, char *out, size_t size);

#endif
