/* SPDX-License-Identifier: GPL-2.0-only */
/* Services that share addresses: ranges, prefixes, and the rules of one prefix. */
#include <stdio.h>
#include "config_rows.h"

/* A service on a line of its own, the first on line 4. */
#define HEAD TOP "services:\n"
#define S(name, address, port)                                   \
	"  - {name: " name ", address: " address ", port: " port \
	", health: {type: none}, backends: [{name: a, address: 10.0.0.1}]}\n"
#define VIP   "192.0.2.10"
#define UDP   ", protocol: udp"
#define BOTH  ", protocol: tcp+udp"
#define APART "expected ranges that lie apart or one within the other\n"

static const struct row range_rows[] = {
	{"apart", HEAD S("a", VIP, "80-89") S("b", VIP, "90-99"), ""},
	{"one within the other", HEAD S("a", VIP, "80-99") S("b", VIP, "85-89"), ""},
	{"within, with the same end", HEAD S("a", VIP, "80-99") S("b", VIP, "90-99"), ""},
	{"a port within", HEAD S("a", VIP, "80-99") S("b", VIP, "90"), ""},
	{"the last port", HEAD S("a", VIP, "80-99") S("b", VIP, "99"), ""},
	{"three, one within the other",
	 HEAD S("a", VIP, "80-99") S("b", VIP, "85-95") S("c", VIP, "86-90"), ""},
	{"any, ranges and ports",
	 HEAD S("a", VIP, "any") S("b", VIP, "1-65535") S("c", VIP, "80-90") S("d", VIP, "85"), ""},
	{"equal", HEAD S("a", VIP, "80-99") S("b", VIP, "80-99"),
	 "5:5: address: duplicate service '192.0.2.10 port 80-99 tcp', first on line 4\n"},
	{"any twice", HEAD S("a", VIP, "any") S("b", VIP, "any"),
	 "5:5: address: duplicate service '192.0.2.10 port any tcp', first on line 4\n"},
	{"crossing by one port", HEAD S("a", VIP, "80-90") S("b", VIP, "90-99"),
	 "5:5: port: 90-99 of 192.0.2.10 crosses 80-90 of the service on line 4, " APART},
	{"crossing, the lower one later", HEAD S("a", VIP, "85-99") S("b", VIP, "80-90"),
	 "5:5: port: 80-90 of 192.0.2.10 crosses 85-99 of the service on line 4, " APART},
	{"crossing one of two",
	 HEAD S("a", VIP, "70-79") S("b", VIP, "80-90") S("c", VIP, "75-78") S("d", VIP, "85-95"),
	 "7:5: port: 85-95 of 192.0.2.10 crosses 80-90 of the service on line 5, " APART},
	{"crossing a prefix's",
	 HEAD S("a", "192.0.2.0/24", "80-90") S("b", "192.0.2.0/24", "85-99"),
	 "5:5: port: 85-99 of 192.0.2.0/24 crosses 80-90 of the service on line 4, " APART},
	{"crossing at a later address",
	 HEAD S("a", "[192.0.2.1, \"2001:db8::1\"]", "80-90")
		 S("b", "[192.0.2.2, \"2001:db8::1\"]", "85-99"),
	 "5:5: port: 85-99 of 2001:db8::1 crosses 80-90 of the service on line 4, " APART},
	{"crossing for udp", HEAD S("a", VIP, "80-90" BOTH) S("b", VIP, "85-99" UDP),
	 "5:5: port: 85-99 of 192.0.2.10 crosses 80-90 of the service on line 4, " APART},
	{"crossing, but another protocol: allowed",
	 HEAD S("a", VIP, "80-90") S("b", VIP, "85-99" UDP), ""},
	{"crossing, but another address: allowed",
	 HEAD S("a", VIP, "80-90") S("b", "192.0.2.11", "85-99"), ""},
	{"crossing, but one is a longer prefix: allowed",
	 HEAD S("a", "192.0.2.0/24", "80-90") S("b", VIP, "85-99"), ""},
};

static const struct row prefix_rows[] = {
	{"a range and its first port", HEAD S("a", VIP, "80-90") S("b", VIP, "80"), ""},
	{"two ranges of one beginning", HEAD S("a", VIP, "80-90") S("b", VIP, "80-99"), ""},
	{"a prefix and its first address",
	 HEAD S("a", "192.0.2.0/24", "80") S("b", "192.0.2.0", "80"), ""},
	{"two prefixes of one beginning",
	 HEAD S("a", "192.0.2.0/24", "80") S("b", "192.0.2.0/28", "80"), ""},
	{"any protocol and any port of tcp",
	 HEAD S("a", VIP, "any, protocol: any") S("b", VIP, "any"), ""},
	{"equal prefixes",
	 HEAD S("a", "192.0.2.0/24", "80") S("b", "[192.0.2.1, 192.0.2.0/24]", "80"),
	 "5:5: address: duplicate service '192.0.2.0/24 port 80 tcp', first on line 4\n"},
	{"a whole prefix is an address",
	 HEAD S("a", "192.0.2.1/32", "80") S("b", "192.0.2.1", "80"),
	 "5:5: address: duplicate service '192.0.2.1 port 80 tcp', first on line 4\n"},
};

/* --- rules of one prefix --------------------------------------------------------------------- */
struct file {
	char *text;
	size_t length;
	FILE *stream;
	unsigned int n;
};

static void begin(struct file *file)
{
	file->n = 0;
	file->stream = open_memstream(&file->text, &file->length);
	fputs(HEAD, file->stream);
}

/* `count` services of one address with ranges apart: ports from 100 * (services so far) on. */
static void add(struct file *file, const char *address, unsigned int count, unsigned int ports)
{
	for (unsigned int i = 0; i < count; i++, file->n++)
		fprintf(file->stream,
			"  - {name: s%u, address: \"%s\", port: %u-%u, health: {type: none}, "
			"backends: [{name: a, address: 10.0.0.1}]}\n",
			file->n, address, 100 * file->n + 1, 100 * file->n + ports);
}

static void expect(struct file *file, const char *errors)
{
	fclose(file->stream);
	if (*errors)
		expect_one(file->text, file->length, errors);
	else
		ek_config_free(good(file->text));
	free(file->text);
}

static void test_most_rules_of_an_address(void **state)
{
	struct file file;

	(void)state;
	begin(&file);
	add(&file, VIP, 32, 2);
	expect(&file, "");
	begin(&file);
	add(&file, VIP, 33, 2);
	expect(&file, "36:5: address: 33 prefixes, ranges of ports and protocols apply to "
		      "192.0.2.10, with those of prefixes around it, expected at most 32\n");
}

static void test_single_ports_are_no_rules(void **state)
{
	struct file file;

	(void)state;
	begin(&file);
	add(&file, VIP, 32, 2);
	add(&file, VIP, 100, 1);
	expect(&file, "");
}

static void test_rules_of_prefixes_around(void **state)
{
	struct file file;

	(void)state;
	begin(&file);
	add(&file, "192.0.2.0/24", 16, 1);
	add(&file, "192.0.0.0/16", 8, 2);
	add(&file, "192.0.2.0/28", 8, 2);
	add(&file, "192.0.2.128/25", 8, 2); /* beside it */
	add(&file, "2001:db8::/64", 32, 2);
	expect(&file, "");

	begin(&file);
	add(&file, "192.0.2.0/24", 16, 1);
	add(&file, "192.0.0.0/16", 8, 2);
	add(&file, "192.0.2.0/28", 9, 2);
	expect(&file, "36:5: address: 33 prefixes, ranges of ports and protocols apply to "
		      "192.0.2.0/28, with those of prefixes around it, expected at most 32\n");
}

/* Told once, where the prefixes around it have not too many of their own. */
static void test_too_many_rules_are_told_once(void **state)
{
	struct file file;

	(void)state;
	begin(&file);
	add(&file, "192.0.2.8", 2, 2);
	add(&file, "192.0.2.0/28", 2, 2);
	add(&file, "192.0.2.0/24", 33, 2);
	expect(&file, "40:5: address: 33 prefixes, ranges of ports and protocols apply to "
		      "192.0.2.0/24, with those of prefixes around it, expected at most 32\n");
}

/* Of each address and protocol. */
static void test_tcp_and_udp_are_two_rules(void **state)
{
	struct file file;

	(void)state;
	begin(&file);
	for (unsigned int i = 0; i < 17; i++)
		fprintf(file.stream,
			"  - {name: s%u, address: " VIP ", port: %u-%u, protocol: tcp+udp, health: "
			"{type: none}, backends: [{name: a, address: 10.0.0.1}]}\n",
			i, 10 * i + 1, 10 * i + 9);
	expect(&file, "20:5: address: 34 prefixes, ranges of ports and protocols apply to "
		      "192.0.2.10, with those of prefixes around it, expected at most 32\n");
}

ROWS_TEST(range)
ROWS_TEST(prefix)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_most_rules_of_an_address),
		cmocka_unit_test(test_single_ports_are_no_rules),
		cmocka_unit_test(test_rules_of_prefixes_around),
		cmocka_unit_test(test_too_many_rules_are_told_once),
		cmocka_unit_test(test_tcp_and_udp_are_two_rules),
	};

	return cmocka_run_group_tests_name("config_overlap", tests, NULL, NULL);
}
