/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The `services` section cut out of files in every style of writing, and put into others. Run from
 * the root of the source tree: the files in configs/ are read as well.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include "config_rows.h"
#include "config_services.h"

#define BOM	"\xef\xbb\xbf"
#define HEAD	"node: lb1\ninterfaces: [{name: eth0}]\n"
#define ONE	"{name: web, address: 192.0.2.10, port: 80, backends: [{name: a, address: 10.0.0.1}]}"
#define SECTION "services:\n  - " ONE "\n"
#define OTHER                       \
	"services:   # two\n"       \
	"  # the first\n"           \
	"  - name: one\n"           \
	"    address: 192.0.2.11\n" \
	"    port: 80\n"            \
	"    backends:\n"           \
	"    - name: \"a\"\n"       \
	"      address: 10.0.0.1\n" \
	"\n"                        \
	"  - name: two\n"           \
	"    address: 192.0.2.12\n" \
	"    port: 80\n"            \
	"    backends: [\n"         \
	"      {name: b, address: 10.0.0.1}]  # the last\n"

/* A text at the very end of its memory, so that reading beyond it is seen. */
static char *at_end(const char *text, size_t length)
{
	char *copy = malloc(length ? length : 1);

	memcpy(copy, text, length);
	return copy;
}

static int cut(const char *file, char **out)
{
	char *copy = at_end(file, strlen(file));
	size_t length = 0;
	int err;

	*out = NULL;
	err = ek_config_services_text(copy, strlen(file), out, &length);
	free(copy);
	if (!err)
		assert_int_equal(strlen(*out), length);
	return err;
}

static int put(const char *file, const char *services, char **out)
{
	char *copy = at_end(file, strlen(file)), *section = at_end(services, strlen(services));
	size_t length = 0;
	int err;

	*out = NULL;
	err = ek_config_services_replace(copy, strlen(file), section, strlen(services), out,
					 &length);
	free(copy);
	free(section);
	if (!err)
		assert_int_equal(strlen(*out), length);
	return err;
}

static void expect_cut(const char *file, const char *expected)
{
	char *text;

	assert_int_equal(cut(file, &text), 0);
	assert_string_equal(text, expected);
	free(text);
}

static void expect_put(const char *file, const char *services, const char *expected)
{
	char *text;

	assert_int_equal(put(file, services, &text), 0);
	assert_string_equal(text, expected);
	free(text);
}

/* --- files of every style -------------------------------------------------------------------- */
static const struct style {
	const char *description, *file;
	const char *section;  /* as cut out */
	const char *replaced; /* with OTHER in its place */
} styles[] = {
	{"at the end", HEAD SECTION, SECTION, HEAD OTHER},
	{"at the beginning", SECTION HEAD, SECTION, OTHER HEAD},
	{"in the middle", "node: lb1\n" SECTION "interfaces: [{name: eth0}]\n", SECTION,
	 "node: lb1\n" OTHER "interfaces: [{name: eth0}]\n"},
	{"no newline at the end", HEAD "services: []", "services: []\n", HEAD OTHER},
	{"none, in one line", HEAD "services: [] # none\n", "services: [] # none\n", HEAD OTHER},
	{"items that are not indented", HEAD "services:\n- " ONE "\n", "services:\n- " ONE "\n",
	 HEAD OTHER},
	{"a quoted key", HEAD "\"services\": []\n", "\"services\": []\n", HEAD OTHER},
	{"a list over several lines", "services: [\n" ONE ",\n]\n" HEAD,
	 "services: [\n" ONE ",\n]\n", OTHER HEAD},
	{"comments: those inside and those below that are indented belong to it",
	 "# the node\nnode: lb1 # one\n\n# what is served\nservices: # all\n  # web\n  - " ONE
	 " # last\n\n  # - nothing\n\n# where\ninterfaces: [{name: eth0}]\n# end\n",
	 "services: # all\n  # web\n  - " ONE " # last\n\n  # - nothing\n",
	 "# the node\nnode: lb1 # one\n\n# what is served\n" OTHER
	 "\n# where\ninterfaces: [{name: eth0}]\n# end\n"},
	{"a comment at the end without a newline", HEAD SECTION "  # end", SECTION "  # end\n",
	 HEAD OTHER},
	{"blanks at the end without a newline", HEAD SECTION "   ", SECTION, HEAD OTHER "   "},
	{"CRLF", "node: lb1\r\nservices:\r\n  - " ONE "\r\ninterfaces: [{name: eth0}]\r\n",
	 "services:\r\n  - " ONE "\r\n", "node: lb1\r\n" OTHER "interfaces: [{name: eth0}]\r\n"},
	{"CR alone", "node: lb1\rservices: []\rinterfaces: [{name: eth0}]\r", "services: []\r",
	 "node: lb1\r" OTHER "interfaces: [{name: eth0}]\r"},
	{"more than ASCII before it", "# Z\xc3\xbcrich \xe2\x82\xac\n" HEAD SECTION, SECTION,
	 "# Z\xc3\xbcrich \xe2\x82\xac\n" HEAD OTHER},
	{"a byte order mark", BOM HEAD SECTION, SECTION, BOM HEAD OTHER},
	{"a byte order mark at the section", BOM SECTION HEAD, SECTION, BOM OTHER HEAD},
	{"two byte order marks: libyaml skips the second", BOM BOM "# a\n" HEAD SECTION, SECTION,
	 BOM BOM "# a\n" HEAD OTHER},
	{"document marks", "%YAML 1.1\n---\n" HEAD SECTION "...\n", SECTION,
	 "%YAML 1.1\n---\n" HEAD OTHER "...\n"},
	{"a value that says the key", "node: services\n" SECTION "state-dir: \"/services: \"\n",
	 SECTION, "node: services\n" OTHER "state-dir: \"/services: \"\n"},
	{"a key below that says the same", "limits:\n  services: 1\n" SECTION, SECTION,
	 "limits:\n  services: 1\n" OTHER},
	{"a value over two lines before it", "node:\n  lb\n  1\n" SECTION, SECTION,
	 "node:\n  lb\n  1\n" OTHER},
	{"literal text at its end",
	 HEAD "services:\n  - name: |\n      a\n      # b\n\nlimits: {}\n",
	 "services:\n  - name: |\n      a\n      # b\n\n", HEAD OTHER "limits: {}\n"},
	{"no value", "services:\n" HEAD, "services:\n", OTHER HEAD},
	{"no value at the end", HEAD "services:", "services:\n", HEAD OTHER},
	{"an item without value at its end", "services:\n  - a\n  -\n" HEAD,
	 "services:\n  - a\n  -\n", OTHER HEAD},
	{"a mapping, as nobody wants it", "services:\n  a:\n    b: c\n" HEAD,
	 "services:\n  a:\n    b: c\n", OTHER HEAD},
	{"a key with a question mark", HEAD "? services\n: []\n", "? services\n: []\n", HEAD OTHER},

	/* Written anew: */
	{"flow style", "# comment\n{node: lb1, services: [{name: web}], limits: {flows: 8192}}\n",
	 "services: [{name: web}]\n", "node: lb1\nlimits: {flows: 8192}\n" OTHER},
	{"JSON",
	 "{\n  \"node\": \"lb1\",\n  \"services\": [\n    {\"name\": \"web\", \"port\": 80}\n  "
	 "]\n}\n",
	 "\"services\": [{\"name\": \"web\", \"port\": 80}]\n", "\"node\": \"lb1\"\n" OTHER},
	{"flow style, nothing else", "{services: [] }", "services: []\n", OTHER},
	{"flow style behind a document mark", "--- {node: lb1, services: []}\n", "services: []\n",
	 "node: lb1\n" OTHER},
	{"a byte order mark that begins a line, which libyaml skips", "# a\n" BOM "services: []\n",
	 "services: []\n", "# a\n" OTHER},
	{"indented as a whole", "  node: lb1\n  services:\n  - name: web\n  limits: {}\n",
	 "services:\n- name: web\n", "node: lb1\nlimits: {}\n" OTHER},
};

static void test_styles(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(styles); i++) {
		const struct style *style = &styles[i];

		print_message("  %s\n", style->description);
		expect_cut(style->file, style->section);
		expect_cut(style->section, style->section);
		expect_put(style->file, OTHER, style->replaced);
		expect_cut(style->replaced, OTHER);
		/* There and back. */
		expect_put(style->replaced, OTHER, style->replaced);
	}
}

static void test_appended(void **state)
{
	(void)state;
	expect_put("node: lb1\n", OTHER, "node: lb1\n" OTHER);
	expect_put("node: lb1", OTHER, "node: lb1\n" OTHER);
	expect_put("node: lb1\n# end", OTHER, "node: lb1\n# end\n" OTHER);
	expect_put("node: lb1\r\n", OTHER, "node: lb1\r\n" OTHER);
	expect_put("node: lb1\n...\n", OTHER, "node: lb1\n" OTHER);
	expect_put("{node: lb1}", OTHER, "node: lb1\n" OTHER);
	expect_put("{}", OTHER, OTHER);
	expect_put("  node: lb1\n", OTHER, "node: lb1\n" OTHER);
}

/* What is put in may itself be written in any style, as long as it is that section alone. */
static void test_styles_put_in(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(styles); i++)
		expect_put("services: []", styles[i].section, styles[i].section);
	expect_put(HEAD, "{services: [a]}", HEAD "services: [a]\n");
	expect_put(HEAD, "--- # of lb2\n" SECTION "...\n", HEAD SECTION);
	expect_put(HEAD, "services: []", HEAD "services: []\n");
}

static const struct bad {
	const char *description, *file;
} bad[] = {
	{"nothing", ""},
	{"blanks", " \n\n"},
	{"a comment", "# services:\n"},
	{"one value", "services"},
	{"a list", "- services: []\n"},
	{"not YAML", "services: [\n"},
	{"not YAML behind it", SECTION "node: [\n"},
	{"not UTF-8", "services: []\n# \xff\n"},
	{"a control character", "services: []\n# \x01\n"},
	{"a tab", "services:\n\t- a\n"},
	{"two documents", SECTION "---\n" SECTION},
	{"twice", SECTION HEAD SECTION},
	{"an anchor", "services: &a []\n"},
	{"an anchor elsewhere", "node: &a lb1\n" SECTION},
	{"an alias", "node: *a\n" SECTION},
	{"a tag", "services: !x []\n"},
	{"too deep", "services: [[[[[[[[[]]]]]]]]]\n"},
};

static void test_bad_files(void **state)
{
	char *text;

	(void)state;
	for (size_t i = 0; i < LENGTH(bad); i++) {
		print_message("  %s\n", bad[i].description);
		assert_int_equal(cut(bad[i].file, &text), -EINVAL);
		assert_int_equal(put(bad[i].file, SECTION, &text), -EINVAL);
		assert_int_equal(put(HEAD, bad[i].file, &text), -EINVAL);
		assert_null(text);
	}
	assert_int_equal(cut(HEAD, &text), -ENOENT);
	assert_int_equal(put(HEAD, HEAD, &text), -EINVAL);
	assert_int_equal(put(HEAD, HEAD SECTION, &text), -EINVAL);
	assert_null(text);
}

static void test_too_large(void **state)
{
	char *large = malloc(EK_CONFIG_MAX + 2), *text = NULL;
	size_t length = 0;

	(void)state;
	memset(large, '\n', EK_CONFIG_MAX + 1);
	memcpy(large, "services: []\n", 13);
	large[EK_CONFIG_MAX + 1] = '\0';
	assert_int_equal(ek_config_services_text(large, EK_CONFIG_MAX, &text, &length), 0);
	assert_string_equal(text, "services: []\n");
	free(text);
	text = NULL;
	assert_int_equal(ek_config_services_text(large, EK_CONFIG_MAX + 1, &text, &length), -E2BIG);
	assert_int_equal(put(HEAD, large, &text), -E2BIG);
	/* Both fit, but not together. */
	large[EK_CONFIG_MAX] = '\0';
	assert_int_equal(put(large, SECTION, &text), -E2BIG);
	assert_null(text);
	free(large);
}

/* --- the examples ---------------------------------------------------------------------------- */
static char *slurp(const char *path)
{
	char *text = calloc(1, EK_CONFIG_MAX + 1);
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	fread(text, 1, EK_CONFIG_MAX, file);
	fclose(file);
	return text;
}

/* What a service says, whatever the lines it stands on. */
static void assert_same_service(const struct ek_config_service *a,
				const struct ek_config_service *b)
{
	struct ek_config_service x = *a, y = *b;

	assert_int_equal(x.n_backends, y.n_backends);
	for (size_t i = 0; i < x.n_backends; i++) {
		struct ek_config_backend p = x.backends[i], q = y.backends[i];

		p.line = q.line = 0;
		assert_memory_equal(&p, &q, sizeof(p));
	}
	x.backends = y.backends = NULL;
	x.line = y.line = 0;
	assert_memory_equal(&x, &y, sizeof(x));
}

static void assert_same_services(const char *left, const char *right)
{
	struct ek_config *a = good(left), *b = good(right);

	assert_int_equal(a->n_services, b->n_services);
	for (size_t i = 0; i < a->n_services; i++)
		assert_same_service(&a->services[i], &b->services[i]);
	ek_config_free(a);
	ek_config_free(b);
}

static void assert_same_rest(const char *left, const char *right)
{
	struct ek_config *a = good(left), *b = good(right);

	assert_string_equal(a->node, b->node);
	assert_memory_equal(&a->limits, &b->limits, sizeof(a->limits));
	assert_int_equal(a->n_interfaces, b->n_interfaces);
	assert_int_equal(a->ha.n_peers, b->ha.n_peers);
	assert_int_equal(a->ha.n_instances, b->ha.n_instances);
	ek_config_free(a);
	ek_config_free(b);
}

/* Each example's section put into each example: itself it does not change. */
static void test_examples(void **state)
{
	char *file, *section, *other, *result, *again;
	glob_t paths;

	(void)state;
	assert_int_equal(glob("configs/*.yaml", 0, NULL, &paths), 0);
	assert_true(paths.gl_pathc >= 2);
	for (size_t i = 0; i < paths.gl_pathc; i++) {
		file = slurp(paths.gl_pathv[i]);
		assert_int_equal(cut(file, &section), 0);
		expect_put(file, section, file);
		for (size_t j = 0; j < paths.gl_pathc; j++) {
			other = slurp(paths.gl_pathv[j]);
			assert_int_equal(put(other, section, &result), 0);
			assert_int_equal(cut(result, &again), 0);
			assert_string_equal(again, section);
			/* An instance's VIPs must still be services'. */
			if (!strstr(other, "\nha:")) {
				assert_same_services(file, result);
				assert_same_rest(other, result);
			}
			free(again);
			free(result);
			free(other);
		}
		free(section);
		free(file);
	}
	globfree(&paths);
}

/* What the two files of a pair say is the same on both must be. */
static void test_pair(void **state)
{
	char *left = slurp("configs/pair-lb1.yaml"), *right = slurp("configs/pair-lb2.yaml");
	char *text;

	(void)state;
	assert_int_equal(cut(left, &text), 0);
	expect_cut(right, text);
	free(text);
	free(left);
	free(right);
}

/* A file in flow style: written anew, it says the same. */
static void test_rewritten_says_the_same(void **state)
{
	static const char file[] =
		"{\"node\": \"lb-1\" , state-dir: '/it''s \\ here', interfaces: [{name: eth0}],\n"
		" hash-key: \"/a\\\\b \\\"c\\\" \xc3\xa9\", # comment\n"
		" services: [{name: web, address: \"2001:db8::10\", port: '80',\n"
		"   health: {type: http, body: \"^(a|b) : \\\\{ # x$\", path: '/?a=%20&b=#c'},\n"
		"   backends: [{name: a, address: \"fd00::1\", weight: 0}, {name: b, address: "
		"fd00::2}]}],\n"
		" limits: {backends: 100}}";
	char *section, *result;

	(void)state;
	assert_int_equal(cut(file, &section), 0);
	assert_int_equal(put(file, section, &result), 0);
	assert_same_services(file, result);
	assert_same_rest(file, result);
	free(result);
	free(section);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_styles),
		cmocka_unit_test(test_appended),
		cmocka_unit_test(test_styles_put_in),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_pair),
		cmocka_unit_test(test_rewritten_says_the_same),
	};

	return cmocka_run_group_tests_name("config_services", tests, NULL, NULL);
}
