/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a command of `evenkeel` is given and returns. A command family is a file; main.c has the
 * table that names them all.
 */
#ifndef EVENKEEL_CLI_H
#define EVENKEEL_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include "render.h"

/* Exit codes. */
enum { CLI_OK = 0, CLI_REFUSED = 1, CLI_USAGE = 2 };

/* Options that belong to some commands: main.c says to which. */
enum cli_option {
	CLI_SERVICE,
	CLI_BACKEND,
	CLI_CLIENT,
	CLI_LIMIT,
	CLI_COUNT,
	CLI_PACKET,
	CLI_TIMEOUT,
	CLI_FORCE,
	CLI_WATCH,
	CLI_ALL,
	CLI_DROPS,
	CLI_RATE,
	CLI_PCAP,
	CLI_OPTIONS,
};

struct cli {
	const char *socket;
	bool json;			 /* -j */
	const char *option[CLI_OPTIONS]; /* NULL: not given; "": given, and has no value */
};

/*
 * Sends `request` (its reference is taken) and prints the result, as JSON or by `render`.
 * Returns the exit code.
 */
int cli_ask(const struct cli *cli, json_t *request,
	    void (*render)(const struct ek_render *render, const json_t *result));

/*
 * The two halves of cli_ask(), for commands that ask more than once. cli_call() returns NULL after
 * saying why it failed; cli_show() takes the reference to `result`.
 */
json_t *cli_call(const struct cli *cli, json_t *request);
int cli_show(const struct cli *cli, json_t *result,
	     void (*render)(const struct ek_render *render, const json_t *result));

/* How results are shown: for commands that show more than one. */
struct ek_render cli_render(const struct cli *cli);

/* The commands: `arguments` ends with NULL, and main() has checked how many there are. */
int command_status(const struct cli *cli, char **arguments);
int command_drops(const struct cli *cli, char **arguments);
int command_trace(const struct cli *cli, char **arguments);
int command_flows(const struct cli *cli, char **arguments);
int command_explain(const struct cli *cli, char **arguments);
int command_drain(const struct cli *cli, char **arguments);
int command_undrain(const struct cli *cli, char **arguments);
int command_weight(const struct cli *cli, char **arguments);
int command_plan(const struct cli *cli, char **arguments);
int command_reload(const struct cli *cli, char **arguments);
int command_ha(const struct cli *cli, char **arguments);

#endif
