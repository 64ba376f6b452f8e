/* SPDX-License-Identifier: GPL-2.0-only */
/* What is no YAML, or more of YAML than a configuration needs: seen through config.c. */
#include "config_rows.h"

static const struct row yaml_rows[] = {
	{"nothing", "", "the file is empty, expected a configuration\n"},
	{"blank lines and comments", "\n# nothing\n",
	 "the file is empty, expected a configuration\n"},
	{"the marks of a document", "---\n...\n", "the file is empty, expected a configuration\n"},
	{"a byte order mark alone", "\xef\xbb\xbf",
	 "the file is empty, expected a configuration\n"},
	{"a list", "- a\n", "1:1: a list, expected a mapping (key: value)\n"},
	{"a word", "evenkeel\n", "1:1: a single value, expected a mapping (key: value)\n"},
	{"an unclosed list", "interfaces: [\n",
	 "2:1: not YAML: did not find expected node content, while parsing a flow node from line 2 "
	 "on\n"},
	{"wrong indentation", "services:\n  - name: web\n   port: 80\n",
	 "3:4: not YAML: did not find expected '-' indicator, while parsing a block collection "
	 "from line 2 on\n"},
	{"indented with a tab", "services:\n\t- name: web\n",
	 "2:1: a tab character, expected spaces: YAML does not indent with tabs\n"},
	{"a tab after other characters", "node: \xc3\xa9\nservices:\n\t- name: web\n",
	 "3:1: a tab character, expected spaces: YAML does not indent with tabs\n"},
	{"Latin-1", "node: lb1\nstate-dir: /caf\xe9\n",
	 "2:16: not UTF-8 text (incomplete UTF-8 octet sequence)\n"},
	{"UTF-16", "\xff\xfen\0o\0", "1:1: not UTF-8 text (invalid leading UTF-8 octet)\n"},
	{"cut within a character", "node: \xc3",
	 "1:7: not UTF-8 text (incomplete UTF-8 octet sequence)\n"},
	{"a control character", "node: a\x01\n",
	 "1:8: control character 0x01, expected printable UTF-8 text\n"},
	{"two documents", TOP SERVICES "---\nnode: lb2\n",
	 "4:1: a second document ('---'), expected one document in the file\n"},
	{"an anchor", "node: &name lb1\n",
	 "1:7: an anchor ('&'), expected a plain value: write it out\n"},
	{"an anchor on a list, and an alias", "interfaces: &all\n  - name: eth0\nservices: *all\n",
	 "1:13: an anchor ('&'), expected a plain value: write it out\n"
	 "3:11: an alias ('*'), expected a plain value: write it out\n"},
	{"a merge key", "limits: {<<: *x}\n",
	 "1:14: an alias ('*'), expected a plain value: write it out\n"},
	{"tags", "node: !!str lb1\nlimits: !limits {backends: 8}\n",
	 "1:7: a tag ('!'), expected a plain value: types follow from keys\n"
	 "2:9: a tag ('!'), expected a plain value: types follow from keys\n"},
	{"nine levels", "node: [[[[[[[[a]]]]]]]]\n",
	 "1:14: nested too deep, expected at most 8 levels\n"},
	{"eight levels", TOP SERVICES "limits: {flows: [[[[[[a]]]]]]}\n",
	 "4:17: flows: a list, expected a number from 8192 to 268435456\n"},
};

ROWS_TEST(yaml)

static void test_nul_byte(void **state)
{
	static const char text[] = "node: a\0b\n";

	(void)state;
	expect_one(text, sizeof(text) - 1,
		   "1:8: control character 0x00, expected printable UTF-8 text\n");
}

static void test_byte_order_mark(void **state)
{
	static struct ek_errors errors;
	static const char text[] = "\xef\xbb\xbf" WEB;
	static const char wrong[] = "\xef\xbb\xbfnode: [a]\ninterfaces: []\nservices: []\n";
	struct ek_config *config = parse(text, strlen(text), &errors);

	(void)state;
	assert_non_null(config);
	ek_config_free(config);
	expect_one(wrong, strlen(wrong),
		   "1:7: node: a list, " NAME_EXPECTED
		   "2:13: interfaces: a list of 0, expected 1 to 64 items\n");
}

/* `count` times `unit`; the caller frees. */
static char *repeat(const char *unit, size_t count)
{
	size_t length = strlen(unit);
	char *text = malloc(count * length + 1);

	for (size_t i = 0; i < count; i++)
		memcpy(text + i * length, unit, length);
	text[count * length] = '\0';
	return text;
}

static void test_hundred_thousand_levels(void **state)
{
	static const struct {
		const char *unit, *error;
	} rows[] = {
		{"[", "1:9: nested too deep, expected at most 8 levels\n"},
		{"{", "1:9: nested too deep, expected at most 8 levels\n"},
		{"- ", "1:17: nested too deep, expected at most 8 levels\n"},
		{"? ", "1:17: nested too deep, expected at most 8 levels\n"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(rows); i++) {
		char *text = repeat(rows[i].unit, 100000);

		expect_one(text, strlen(text), rows[i].error);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml),
		cmocka_unit_test(test_nul_byte),
		cmocka_unit_test(test_byte_order_mark),
		cmocka_unit_test(test_hundred_thousand_levels),
	};

	return cmocka_run_group_tests_name("yaml_document", tests, NULL, NULL);
}
