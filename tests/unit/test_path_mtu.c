/* SPDX-License-Identifier: GPL-2.0-only */
/* Rows: what was learned before, what a router says, what the path then is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "ip.h"
#include "path_mtu.h"

#define BACKEND4 "10.0.0.11"
#define BACKEND6 "2001:db8::11"
#define EARLIER	 1000
#define NOW	 1300

static struct ek_ip ip(const char *text)
{
	struct ek_ip out;

	assert_int_equal(ek_ip_parse(text, &out), 0);
	return out;
}

struct row {
	const char *description, *address;
	uint16_t width;
	uint32_t before; /* learned; 0: nothing */
	uint32_t said;
	uint16_t after;
	bool news;
};

static const struct row rows[] = {
	{"narrower", BACKEND4, 1500, 0, 1400, 1400, true},
	{"narrower still", BACKEND4, 1500, 1400, 1300, 1300, true},
	{"wider than learned", BACKEND4, 1500, 1400, 1450, 1400, false},
	{"as learned", BACKEND4, 1500, 1400, 1400, 1400, false},
	{"as wide as the kernel knows", BACKEND4, 1500, 0, 1500, 1500, false},
	{"wider than that", BACKEND4, 1500, 0, 9000, 1500, false},
	{"more than there is of a packet", BACKEND4, 1500, 0, UINT32_MAX, 1500, false},
	{"the kernel's path has become narrower", BACKEND4, 1280, 1400, 1300, 1280, false},
	{"the least", BACKEND4, 1500, 0, 576, 576, true},
	{"less is not believed", BACKEND4, 1500, 0, 575, 576, true},
	{"nor 1", BACKEND4, 1500, 0, 1, 576, true},
	{"and is no news then", BACKEND4, 1500, 576, 68, 576, false},
	{"a path that is narrower than the least", BACKEND4, 500, 0, 400, 500, false},
	{"not said: the plateau below", BACKEND4, 1500, 0, 0, 1492, true},
	{"not said: the one after", BACKEND4, 1500, 1492, 0, 1006, true},
	{"not said: the last", BACKEND4, 1500, 1006, 0, 576, true},
	{"not said: none is left", BACKEND4, 1500, 576, 0, 576, false},
	{"not said: a jumbo path", BACKEND4, 9000, 0, 0, 8166, true},
	{"not said: the widest there is", BACKEND4, 65535, 0, 0, 32000, true},
	{"IPv6, narrower", BACKEND6, 1500, 0, 1400, 1400, true},
	{"IPv6, the least", BACKEND6, 1500, 0, 1280, 1280, true},
	{"IPv6, less is not believed", BACKEND6, 1500, 0, 1279, 1280, true},
	{"IPv6, not said", BACKEND6, 1500, 0, 0, 1492, true},
	{"IPv6, not said, the last", BACKEND6, 1500, 1492, 0, 1280, true},
	{"IPv6, the path is no wider than the least", BACKEND6, 1280, 0, 600, 1280, false},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		const struct ek_ip backend = ip(r->address);
		struct ek_path_mtu table;

		print_message("  %s\n", r->description);
		ek_path_mtu_init(&table);
		if (r->before)
			assert_int_equal(
				ek_path_mtu_learn(&table, &backend, r->before, 65535, EARLIER), 1);
		assert_int_equal(ek_path_mtu_learn(&table, &backend, r->said, r->width, NOW),
				 r->news);
		assert_int_equal(ek_path_mtu_limit(&table, &backend, r->width), r->after);
		ek_path_mtu_free(&table);
	}
}

static void test_of_one_backend_only(void **state)
{
	const struct ek_ip one = ip(BACKEND4), other = ip("10.0.0.12");
	struct ek_path_mtu table;

	(void)state;
	ek_path_mtu_init(&table);
	ek_path_mtu_learn(&table, &one, 1400, 1500, NOW);
	assert_int_equal(ek_path_mtu_limit(&table, &other, 1500), 1500);
	assert_int_equal(ek_path_mtu_limit(&table, &one, 1300), 1300); /* the kernel knows better */
	ek_path_mtu_free(&table);
}

/* Ten minutes after it was last said. */
static void test_expires(void **state)
{
	const struct ek_ip four = ip(BACKEND4), six = ip(BACKEND6);
	struct ek_path_mtu table;

	(void)state;
	ek_path_mtu_init(&table);
	ek_path_mtu_learn(&table, &four, 1400, 1500, 0);
	ek_path_mtu_learn(&table, &six, 1400, 1500, 0);
	ek_path_mtu_learn(&table, &six, 1400, 1500, 100);
	assert_false(ek_path_mtu_expire(&table, 599));
	assert_true(ek_path_mtu_expire(&table, 600));
	assert_int_equal(ek_path_mtu_limit(&table, &four, 1500), 1500);
	assert_int_equal(ek_path_mtu_limit(&table, &six, 1500), 1400);
	assert_false(ek_path_mtu_expire(&table, 699));
	assert_true(ek_path_mtu_expire(&table, 700));
	assert_int_equal(ek_path_mtu_limit(&table, &six, 1500), 1500);
	assert_false(ek_path_mtu_expire(&table, 100000));
	/* And is learned anew. */
	assert_int_equal(ek_path_mtu_learn(&table, &four, 1400, 1500, 100000), 1);
	ek_path_mtu_free(&table);
}

/* Many at once, some of which expire. */
static void test_many(void **state)
{
	struct ek_path_mtu table;

	(void)state;
	ek_path_mtu_init(&table);
	for (uint32_t i = 0; i < 1000; i++) {
		const struct ek_ip backend = ek_ip_from4(htonl(0x0a000000 + i * 7919 % 1000));

		assert_int_equal(ek_path_mtu_learn(&table, &backend, 600 + i, 1700, i), 1);
	}
	assert_true(ek_path_mtu_expire(&table, 1100));
	for (uint32_t i = 0; i < 1000; i++) {
		const struct ek_ip backend = ek_ip_from4(htonl(0x0a000000 + i * 7919 % 1000));

		assert_int_equal(ek_path_mtu_limit(&table, &backend, 1700),
				 i <= 500 ? 1700 : 600 + i);
	}
	ek_path_mtu_free(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_of_one_backend_only),
		cmocka_unit_test(test_expires),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests_name("path MTU", tests, NULL, NULL);
}
