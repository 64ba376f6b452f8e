/* SPDX-License-Identifier: GPL-2.0-only */
/* What becomes of one client's packets. */
#include "cli.h"

int command_explain(const struct cli *cli, char **arguments)
{
	if (!arguments[0] || !arguments[1]) {
		fprintf(stderr, "evenkeel: explain: expected a service or VIP, and a client\n");
		return CLI_USAGE;
	}
	/* "s*": left out when it is NULL */
	return cli_ask(cli,
		       json_pack("{s:s, s:s, s:s, s:s*}", "command", "explain", "target",
				 arguments[0], "client", arguments[1], "packet",
				 cli->option[CLI_PACKET]),
		       ek_render_explain);
}
