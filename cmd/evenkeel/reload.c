/* SPDX-License-Identifier: GPL-2.0-only */
/* Applying a changed configuration. */
#include "cli.h"

static void render_reload(const struct ek_render *render, const json_t *result)
{
	const char *config = json_string_value(json_object_get(result, "config"));
	json_int_t services = json_integer_value(json_object_get(result, "services"));

	fprintf(render->out, "%s is in force: %lld service%s\n",
		config ? config : "the configuration", (long long)services,
		services == 1 ? "" : "s");
}

int command_reload(const struct cli *cli, char **arguments)
{
	(void)arguments;
	return cli_ask(cli, json_pack("{s:s}", "command", "reload"), render_reload);
}
