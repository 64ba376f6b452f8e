/* SPDX-License-Identifier: GPL-2.0-only */
/* The commands that look and change nothing. */
#include "cli.h"

int command_status(const struct cli *cli, char **arguments)
{
	/* "s*": left out when it is NULL */
	return cli_ask(cli, json_pack("{s:s, s:s*}", "command", "status", "service", arguments[0]),
		       ek_render_status);
}

int command_drops(const struct cli *cli, char **arguments)
{
	(void)arguments;
	return cli_ask(cli, json_pack("{s:s}", "command", "drops"), ek_render_drops);
}
