/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "error.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *description, *file;
	struct ek_error error;
	const char *expected;
} formats[] = {
	{"all is known", "a.yaml", {3, 7, "port", "bad"}, "a.yaml:3:7: port: bad"},
	{"no key", "a.yaml", {3, 7, "", "bad"}, "a.yaml:3:7: bad"},
	{"no column", "a.yaml", {3, 0, "port", "bad"}, "a.yaml:3: port: bad"},
	{"no line, so no column", "a.yaml", {0, 7, "port", "bad"}, "a.yaml: port: bad"},
	{"about the whole file", "a.yaml", {0, 0, "", "bad"}, "a.yaml: bad"},
	{"no file", NULL, {3, 7, "port", "bad"}, "3:7: port: bad"},
	{"an empty file name", "", {3, 7, "port", "bad"}, "3:7: port: bad"},
	{"nothing but the text", NULL, {0, 0, "", "bad"}, "bad"},
	{"the largest place",
	 "a",
	 {4294967295u, 4294967295u, "", "bad"},
	 "a:4294967295:4294967295: bad"},
};

static void test_format(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(formats); i++) {
		char text[512];
		int length =
			ek_error_format(&formats[i].error, formats[i].file, text, sizeof(text));

		print_message("  %s\n", formats[i].description);
		assert_string_equal(text, formats[i].expected);
		assert_int_equal(length, strlen(formats[i].expected));
	}
}

static void test_format_truncates_as_snprintf(void **state)
{
	struct ek_error error = {3, 7, "port", "bad"};
	char text[8];

	(void)state;
	assert_int_equal(ek_error_format(&error, "a.yaml", text, sizeof(text)), 21);
	assert_string_equal(text, "a.yaml:");
	assert_int_equal(ek_error_format(&error, "a.yaml", NULL, 0), 21);
}

static void test_set_replaces_all(void **state)
{
	struct ek_error error = {3, 7, "port", "bad"};
	char text[2 * sizeof(error.text)];

	(void)state;
	ek_error_set(&error, "%s: %d", "eth0", 5);
	assert_int_equal(error.line + error.column, 0);
	assert_string_equal(error.key, "");
	assert_string_equal(error.text, "eth0: 5");

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ek_error_set(&error, "%s", text);
	assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
}

static void test_list_is_bounded(void **state)
{
	struct ek_errors errors = {.count = 0};

	(void)state;
	for (unsigned int i = 1; i <= EK_ERRORS_MAX + 5; i++)
		ek_errors_add(&errors, i, 1, i % 2 ? "port" : NULL, "number %u", i);
	assert_int_equal(errors.count, EK_ERRORS_MAX);
	assert_int_equal(errors.dropped, 5);
	assert_string_equal(errors.list[0].key, "port");
	assert_string_equal(errors.list[1].key, "");
	assert_string_equal(errors.list[EK_ERRORS_MAX - 1].text, "number 100");
}

static void test_sort_is_by_place(void **state)
{
	struct ek_errors errors = {.count = 0};
	static const char expected[] = "abcdef";

	(void)state;
	ek_errors_add(&errors, 2, 1, "", "d: before e, as added");
	ek_errors_add(&errors, 10, 1, "", "f");
	ek_errors_add(&errors, 1, 9, "", "c");
	ek_errors_add(&errors, 2, 1, "", "e");
	ek_errors_add(&errors, 1, 2, "", "b");
	ek_errors_add(&errors, 0, 0, "", "a");
	ek_errors_sort(&errors);
	for (size_t i = 0; i < errors.count; i++)
		assert_int_equal(errors.list[i].text[0], expected[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_format_truncates_as_snprintf),
		cmocka_unit_test(test_set_replaces_all),
		cmocka_unit_test(test_list_is_bounded),
		cmocka_unit_test(test_sort_is_by_place),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
