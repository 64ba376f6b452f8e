/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of the configuration share: pieces of files, and rows of files with everything
 * that they are answered, as a person sees it.
 */
#ifndef EVENKEEL_TESTS_CONFIG_ROWS_H
#define EVENKEEL_TESTS_CONFIG_ROWS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "config.h"
#include "ip.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Two lines; then a service of four more, so that what follows begins on line 8, column 5. */
#define TOP "node: lb1\ninterfaces: [{name: eth0}]\n"
#define WEB_HEAD                        \
	TOP "services:\n"               \
	    "  - name: web\n"           \
	    "    address: 192.0.2.10\n" \
	    "    port: 80\n"
#define WEB WEB_HEAD "    backends: [{name: web1, address: 10.0.0.1}]\n"
#define WEB6                              \
	TOP "services:\n"                 \
	    "  - name: web\n"             \
	    "    address: 2001:db8::10\n" \
	    "    port: 80\n"              \
	    "    backends: [{name: web1, address: \"fd00::1\"}]\n"
/* A file of one backend, its mapping on line 7 from column 17 on. */
#define SERVICES "services: []\n"

#define NAME_EXPECTED \
	"expected a name: at most 63 letters, digits, '.', '_', '-', a letter or digit first\n"
#define ADDRESS_EXPECTED "expected an IPv4 or IPv6 address\n"
#define VIP_EXPECTED	 "expected an IPv4 or IPv6 address or prefix\n"
#define PORTS_EXPECTED \
	"expected a port from 1 to 65535, a range of them such as 8000-8099, or any\n"
#define UNICAST_EXPECTED "expected a unicast address of the network\n"
#define X64		 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X44		 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

struct row {
	const char *description, *text, *errors; /* a line for each error */
};

/* Every error of a row, formatted as a person sees it, without the file. */
static inline char *format_errors(const struct ek_errors *errors)
{
	char *text = calloc(errors->count + 1, 512);
	size_t length = 0;

	for (size_t i = 0; i < errors->count; i++) {
		length += ek_error_format(&errors->list[i], NULL, text + length, 511);
		text[length++] = '\n';
	}
	return text;
}

/* The text lies at the very end of its memory, so that reading beyond it is seen. */
static inline struct ek_config *parse(const char *text, size_t length, struct ek_errors *errors)
{
	char *copy = malloc(length ? length : 1);
	struct ek_config *config;

	memcpy(copy, text, length);
	config = ek_config_parse(copy, length, errors);
	free(copy);
	return config;
}

static inline void check_rows(const struct row *rows, size_t n)
{
	static struct ek_errors errors;

	for (size_t i = 0; i < n; i++) {
		struct ek_config *config = parse(rows[i].text, strlen(rows[i].text), &errors);
		char *found = format_errors(&errors);

		print_message("  %s\n", rows[i].description);
		assert_string_equal(found, rows[i].errors);
		assert_int_equal(config == NULL, errors.count > 0);
		free(found);
		ek_config_free(config);
	}
}

#define ROWS_TEST(name)                                       \
	static void test_##name(void **state)                 \
	{                                                     \
		(void)state;                                  \
		check_rows(name##_rows, LENGTH(name##_rows)); \
	}

static inline void expect_one(const char *text, size_t length, const char *expected)
{
	static struct ek_errors errors;
	struct ek_config *config = parse(text, length, &errors);
	char *found = format_errors(&errors);

	assert_null(config);
	assert_string_equal(found, expected);
	free(found);
}

static inline struct ek_config *good(const char *text)
{
	static struct ek_errors errors;
	struct ek_config *config = parse(text, strlen(text), &errors);
	char *found = format_errors(&errors);

	assert_string_equal(found, "");
	assert_non_null(config);
	free(found);
	return config;
}

static inline void assert_address(const struct ek_ip *ip, const char *expected)
{
	char text[EK_IP_TEXT];

	assert_string_equal(ek_ip_format(ip, text), expected);
}

#endif
