/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "sorted.h"

static int compare_int(const void *key, const void *item)
{
	const int *left = key, *right = item;

	return (*left > *right) - (*left < *right);
}

static void insert(struct ek_sorted *sorted, int value)
{
	int *item = malloc(sizeof(*item));

	assert_non_null(item);
	*item = value;
	assert_int_equal(ek_sorted_insert(sorted, &value, item), 0);
}

/* Every residue of a generator of Z/101, so the values come in no order. */
static void fill(struct ek_sorted *sorted)
{
	for (int i = 1, value = 2; i <= 100; i++, value = value * 2 % 101)
		insert(sorted, value);
}

static void stays_in_order(void **state)
{
	struct ek_sorted sorted = {.compare = compare_int};

	(void)state;
	fill(&sorted);
	assert_int_equal(sorted.count, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(*(int *)sorted.item[i], i + 1);
	ek_sorted_free(&sorted);
	assert_int_equal(sorted.count, 0);
}

static void finds_what_is_there(void **state)
{
	struct ek_sorted sorted = {.compare = compare_int};

	(void)state;
	for (int key = 0; key < 3; key++) {
		assert_null(ek_sorted_find(&sorted, &key));
		assert_int_equal(ek_sorted_lower(&sorted, &key), 0);
	}
	fill(&sorted);
	for (int key = 0; key <= 101; key++) {
		const int *item = ek_sorted_find(&sorted, &key);

		if (key == 0 || key == 101)
			assert_null(item);
		else
			assert_int_equal(*item, key);
		assert_int_equal(ek_sorted_lower(&sorted, &key), key == 0 ? 0 : key - 1);
	}
	ek_sorted_free(&sorted);
}

static void removes_in_any_order(void **state)
{
	struct ek_sorted sorted = {.compare = compare_int};

	(void)state;
	fill(&sorted);
	for (int i = 1, key = 3; i <= 100; i++, key = key * 3 % 101) {
		int *item = ek_sorted_remove(&sorted, &key);

		/* 3 generates all of 1..100 too, once each. */
		assert_non_null(item);
		assert_int_equal(*item, key);
		free(item);
		assert_null(ek_sorted_remove(&sorted, &key));
		assert_int_equal(sorted.count, 100 - i);
	}
	ek_sorted_free(&sorted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stays_in_order),
		cmocka_unit_test(finds_what_is_there),
		cmocka_unit_test(removes_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
