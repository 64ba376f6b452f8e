/* SPDX-License-Identifier: GPL-2.0-only */
/* The commands that look and change nothing. */
#include <unistd.h>
#include "cli.h"

int command_status(const struct cli *cli, char **arguments)
{
	/* "s*": left out when it is NULL */
	return cli_ask(cli, json_pack("{s:s, s:s*}", "command", "status", "service", arguments[0]),
		       ek_render_status);
}

int command_drops(const struct cli *cli, char **arguments)
{
	int code;

	(void)arguments;
	for (;;) {
		if (cli->option[CLI_WATCH] && isatty(STDOUT_FILENO))
			printf("\033[H\033[J"); /* home, and clear */
		code = cli_ask(cli, json_pack("{s:s}", "command", "drops"), ek_render_drops);
		if (code || !cli->option[CLI_WATCH] || fflush(stdout))
			return code;
		sleep(1);
	}
}
