/* SPDX-License-Identifier: GPL-2.0-only */
/* Which DSCP names which VIP: words of a command line, files, and what is neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>
#include "dscp_map.h"
#include "ip.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define NOT_A_DSCP "the DSCP is not a number from 1 to 63"
#define TAKEN	   "this DSCP has a VIP of this family already"

/* A map as text: "ID=VIP ID=VIP", IPv4 first. */
static const char *show(const struct ek_dscp_map *map)
{
	static char text[2 * EK_DSCPS * (EK_IP_TEXT + 4)];
	char ip[EK_IP_TEXT];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < 2 * EK_DSCPS; i++) {
		const struct ek_ip *vip = i < EK_DSCPS ? &map->vip4[i] : &map->vip6[i - EK_DSCPS];

		if (!ek_ip_is_zero(vip))
			used += snprintf(text + used, sizeof(text) - used, "%s%zu=%s",
					 used ? " " : "", i % EK_DSCPS, ek_ip_format(vip, ip));
	}
	return text;
}

static const struct {
	const char *description, *text;
	const char *problem; /* NULL: accepted */
} words[] = {
	{"IPv4", "12=192.0.2.20", NULL},
	{"IPv6", "12=2001:db8::20", NULL},
	{"the lowest", "1=192.0.2.20", NULL},
	{"the highest", "63=2001:db8::20", NULL},
	{"zero", "0=192.0.2.20", NOT_A_DSCP},
	{"too high", "64=192.0.2.20", NOT_A_DSCP},
	{"three digits", "012=192.0.2.20", NOT_A_DSCP},
	{"a leading zero", "08=192.0.2.20", NOT_A_DSCP},
	{"an overflow", "4294967308=192.0.2.20", NOT_A_DSCP},
	{"a sign", "+8=192.0.2.20", NOT_A_DSCP},
	{"hexadecimal", "0x8=192.0.2.20", NOT_A_DSCP},
	{"a name of a code point", "ef=192.0.2.20", NOT_A_DSCP},
	{"a blank", "8 =192.0.2.20", NOT_A_DSCP},
	{"no DSCP", "=192.0.2.20", NOT_A_DSCP},
	{"no equals sign", "12:192.0.2.20", "not ID=VIP"},
	{"nothing", "", "not ID=VIP"},
	{"no address", "12=", "not an IPv4 or IPv6 address"},
	{"a name", "12=web", "not an IPv4 or IPv6 address"},
	{"a prefix", "12=192.0.2.0/24", "not an IPv4 or IPv6 address"},
	{"a v4-mapped address", "12=::ffff:192.0.2.20", "not an IPv4 or IPv6 address"},
	{"taken", "7=192.0.2.21", TAKEN},
	{"taken, by the same", "7=192.0.2.7", TAKEN},
	{"the other family of one that is taken", "7=2001:db8::7", NULL},
};

static void one_word_at_a_time(void **state)
{
	struct ek_error error;

	(void)state;
	for (size_t i = 0; i < LENGTH(words); i++) {
		struct ek_dscp_map map = {0}, before;
		int err;

		assert_int_equal(ek_dscp_map_add(&map, "7=192.0.2.7", &error), 0);
		before = map;
		err = ek_dscp_map_add(&map, words[i].text, &error);
		print_message("  %s\n", words[i].description);
		assert_int_equal(err, words[i].problem ? -EINVAL : 0);
		if (words[i].problem) {
			assert_string_equal(error.text, words[i].problem);
			assert_memory_equal(&map, &before, sizeof(map));
		} else {
			assert_non_null(strstr(show(&map), words[i].text));
		}
	}
}

static void unusable_addresses_are_refused_by_name(void **state)
{
	static const char *const list[] = {"1=0.0.0.0", "1=127.0.0.1", "1=224.0.0.1", "1=ff02::1",
					   "1=fe80::1", "1=::",	       "1=::1"};
	struct ek_dscp_map map = {0};
	struct ek_error error;

	(void)state;
	for (size_t i = 0; i < LENGTH(list); i++)
		assert_int_equal(ek_dscp_map_add(&map, list[i], &error), -EINVAL);
	assert_string_equal(show(&map), "");
}

static const struct {
	const char *description, *text;
	const char *map;    /* what is read */
	const char *errors; /* a line each */
} files[] = {
	{"one line", "dscp: {12: 192.0.2.20, 13: 192.0.2.21}\n", "12=192.0.2.20 13=192.0.2.21", ""},
	{"several lines, and a list", "dscp:\n  12: 192.0.2.20\n  63: [2001:db8::1, 192.0.2.63]\n",
	 "12=192.0.2.20 63=192.0.2.63 63=2001:db8::1", ""},
	{"one VIP under two code points", "dscp: {1: 192.0.2.1, 2: 192.0.2.1}\n",
	 "1=192.0.2.1 2=192.0.2.1", ""},
	{"a key twice, for two families", "dscp:\n  5: 192.0.2.5\n  5: 2001:db8::5\n",
	 "5=192.0.2.5 5=2001:db8::5", ""},
	{"a key twice", "dscp:\n  5: 192.0.2.5\n  5: 192.0.2.6\n", "5=192.0.2.5",
	 "3:6: dscp: " TAKEN "\n"},
	{"nothing", "", "", "the file is empty, expected a configuration\n"},
	{"a list", "- 12\n", "", "1:1: dscp: expected the key 'dscp'\n"},
	{"another key", "dscp: {1: 192.0.2.1}\nvips: []\n", "1=192.0.2.1",
	 "2:1: dscp: another key, expected 'dscp' only\n"},
	{"another key only", "vips: []\n", "",
	 "1:1: dscp: another key, expected 'dscp' only\n1:1: dscp: missing\n"},
	{"an empty mapping", "{}\n", "", "1:1: dscp: missing\n"},
	{"a list as key", "[a]: b\n", "",
	 "1:1: dscp: another key, expected 'dscp' only\n1:1: dscp: missing\n"},
	{"dscp twice", "dscp: {1: 192.0.2.1}\ndscp: {2: 192.0.2.2}\n", "1=192.0.2.1",
	 "2:1: dscp: given twice\n"},
	{"no VIP", "dscp:\n", "", "1:6: dscp: expected a mapping of DSCP to VIP\n"},
	{"no VIP in the mapping", "dscp: {}\n", "",
	 "1:7: dscp: no VIP, expected a mapping of DSCP to VIP\n"},
	{"a list of VIPs", "dscp: [192.0.2.1]\n", "",
	 "1:7: dscp: expected a mapping of DSCP to VIP\n"},
	{"wrong rows", "dscp:\n  0: 192.0.2.1\n  2: web\n  3: 192.0.2.3\n", "3=192.0.2.3",
	 "2:3: dscp: " NOT_A_DSCP "\n3:6: dscp: not an IPv4 or IPv6 address\n"},
	{"an empty list", "dscp: {4: []}\n", "",
	 "1:11: dscp: expected an IPv4 or IPv6 address, or a list of one of each\n"},
	{"a list in a list", "dscp: {4: [[192.0.2.1]]}\n", "",
	 "1:12: dscp: expected an IPv4 or IPv6 address, or a list of one of each\n"},
	{"a mapping as VIP", "dscp: {4: {a: b}}\n", "",
	 "1:11: dscp: expected an IPv4 or IPv6 address, or a list of one of each\n"},
	{"two of one family in a list", "dscp: {4: [192.0.2.1, 192.0.2.2]}\n", "4=192.0.2.1",
	 "1:23: dscp: " TAKEN "\n"},
	{"not YAML", "dscp: {4: \n", "",
	 "2:1: not YAML: did not find expected node content, while parsing a flow node from line 2 "
	 "on\n"},
};

static const char *format(const struct ek_errors *errors)
{
	static char text[4096];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < errors->count; i++) {
		used += ek_error_format(&errors->list[i], NULL, text + used, sizeof(text) - used);
		used += snprintf(text + used, sizeof(text) - used, "\n");
	}
	return text;
}

static void whole_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(files); i++) {
		static struct ek_errors errors;
		struct ek_dscp_map map = {0};
		int err;

		memset(&errors, 0, sizeof(errors));
		err = ek_dscp_map_parse(&map, files[i].text, strlen(files[i].text), &errors);
		print_message("  %s\n", files[i].description);
		assert_string_equal(format(&errors), files[i].errors);
		assert_string_equal(show(&map), files[i].map);
		assert_int_equal(err, errors.count ? -EINVAL : 0);
	}
}

static void a_nul_ends_no_word(void **state)
{
	static const char text[] = "dscp: {4: \"192.0.2.1\\0x\"}\n";
	struct ek_dscp_map map = {0};
	struct ek_errors errors = {0};

	(void)state;
	assert_int_equal(ek_dscp_map_parse(&map, text, sizeof(text) - 1, &errors), -EINVAL);
	assert_string_equal(show(&map), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_word_at_a_time),
		cmocka_unit_test(unusable_addresses_are_refused_by_name),
		cmocka_unit_test(whole_files),
		cmocka_unit_test(a_nul_ends_no_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
