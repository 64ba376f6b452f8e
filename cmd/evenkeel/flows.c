/* SPDX-License-Identifier: GPL-2.0-only */
/* The connection table, asked for page by page (lib/flows.h) and put together here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "flows.h"

/* -1 after saying what is wrong. */
static json_int_t read_limit(const struct cli *cli)
{
	const char *text = cli->option[CLI_LIMIT];
	char *end;
	long value;

	if (!text)
		return EK_FLOWS_LIMIT;
	errno = 0;
	value = strtol(text, &end, 10);
	if (!errno && end != text && !*end && value >= 1 && value <= (long)EK_FLOWS_LIMIT_MAX)
		return value;
	fprintf(stderr, "evenkeel: flows: --limit '%s': expected a number from 1 to %u\n", text,
		EK_FLOWS_LIMIT_MAX);
	return -1;
}

static void add_to(json_t *sum, const json_t *part)
{
	const char *key;
	json_t *value;

	json_object_foreach (sum, key, value)
		if (json_is_integer(value))
			json_integer_set(value,
					 json_integer_value(value) +
						 json_integer_value(json_object_get(part, key)));
}

static bool same(const json_t *a, const json_t *b, const char *key)
{
	return json_equal(json_object_get(a, key), json_object_get(b, key));
}

static void add_count(json_t *counts, const json_t *part)
{
	json_t *sum;
	size_t i;

	json_array_foreach (counts, i, sum) {
		if (same(sum, part, "backend") && same(sum, part, "service")) {
			add_to(sum, part);
			return;
		}
	}
	json_array_append_new(counts, json_deep_copy(part));
}

/* Adds a page to what there is. */
static void add_page(json_t *total, const json_t *page)
{
	static const char *const sums[] = {"matched", "in_flux"};
	const json_t *count;
	size_t i;

	json_array_extend(json_object_get(total, "flows"), json_object_get(page, "flows"));
	json_array_foreach (json_object_get(page, "counts"), i, count)
		add_count(json_object_get(total, "counts"), count);
	for (i = 0; i < sizeof(sums) / sizeof(*sums); i++) {
		json_t *sum = json_object_get(total, sums[i]);

		json_integer_set(sum, json_integer_value(sum) +
					      json_integer_value(json_object_get(page, sums[i])));
	}
}

static json_t *page_request(const struct cli *cli, json_int_t limit, json_int_t cursor)
{
	/* "s*": left out when it is NULL */
	return json_pack("{s:s, s:s*, s:s*, s:s*, s:b, s:I, s:I}", "command", "flows", "service",
			 cli->option[CLI_SERVICE], "backend", cli->option[CLI_BACKEND], "client",
			 cli->option[CLI_CLIENT], "count", cli->option[CLI_COUNT] != NULL, "limit",
			 limit, "cursor", cursor);
}

/* Once `limit` flows are there, the rest is only counted. */
static int collect(const struct cli *cli, json_t *total, json_int_t limit)
{
	const json_t *flows = json_object_get(total, "flows"), *next;
	json_int_t cursor = 0;
	json_t *page;
	bool more;

	do {
		json_t *request = page_request(cli, limit - json_array_size(flows), cursor);

		if (!request) {
			fprintf(stderr, "evenkeel: an argument is not UTF-8 text\n");
			return CLI_USAGE;
		}
		page = cli_call(cli, request);
		if (!page)
			return CLI_REFUSED;
		add_page(total, page);
		next = json_object_get(page, "cursor");
		more = json_is_integer(next) && json_integer_value(next) > cursor;
		cursor = json_integer_value(next);
		json_decref(page);
	} while (more);
	return CLI_OK;
}

int command_flows(const struct cli *cli, char **arguments)
{
	const char *list = cli->option[CLI_COUNT] ? "counts" : "flows";
	json_int_t limit = read_limit(cli);
	json_t *total;
	int code;

	(void)arguments;
	if (limit < 0)
		return CLI_USAGE;
	if (cli->option[CLI_COUNT] && *cli->option[CLI_COUNT]) {
		fprintf(stderr, "evenkeel: flows: --count takes no number\n");
		return CLI_USAGE;
	}
	total = json_pack("{s:[], s:i, s:i}", list, "matched", 0, "in_flux", 0);
	code = collect(cli, total, limit);
	if (code) {
		json_decref(total);
		return code;
	}
	return cli_show(cli, total, ek_render_flows);
}
