/* SPDX-License-Identifier: GPL-2.0-only */
/* One request, and its answer on standard output. Every command that asks the daemon calls this. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "cli.h"
#include "control_client.h"

static void print_json(const json_t *result)
{
	size_t format = isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT;

	json_dumpf(result, stdout, format | JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
	putchar('\n');
}

/* https://no-color.org: set, and not empty. */
static bool wants_color(void)
{
	const char *no_color = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color);
}

struct ek_render cli_render(const struct cli *cli)
{
	return (struct ek_render){.out = stdout,
				  .color = wants_color(),
				  .now = time(NULL),
				  .all = cli->option[CLI_ALL] != NULL};
}

json_t *cli_call(const struct cli *cli, json_t *request)
{
	struct ek_error error = {0};
	json_t *result = ek_control_call(cli->socket, request, EK_CONTROL_DEADLINE_MS, &error);

	json_decref(request);
	if (!result)
		fprintf(stderr, "evenkeel: %s\n", error.text);
	return result;
}

int cli_show(const struct cli *cli, json_t *result,
	     void (*render)(const struct ek_render *render, const json_t *result))
{
	struct ek_render how = cli_render(cli);

	if (cli->json)
		print_json(result);
	else
		render(&how, result);
	json_decref(result);
	return CLI_OK;
}

int cli_ask(const struct cli *cli, json_t *request,
	    void (*render)(const struct ek_render *render, const json_t *result))
{
	json_t *result;

	if (!request) {
		fprintf(stderr, "evenkeel: an argument is not UTF-8 text\n");
		return CLI_USAGE;
	}
	result = cli_call(cli, request);
	return result ? cli_show(cli, result, render) : CLI_REFUSED;
}
