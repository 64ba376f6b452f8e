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

struct cli {
	const char *socket;
	bool json; /* -j */
};

/*
 * Sends `request` (its reference is taken) and prints the result, as JSON or by `render`.
 * Returns the exit code.
 */
int cli_ask(const struct cli *cli, json_t *request,
	    void (*render)(const struct ek_render *render, const json_t *result));

/* The commands: `arguments` ends with NULL, and main() has checked how many there are. */
int command_status(const struct cli *cli, char **arguments);
int command_drops(const struct cli *cli, char **arguments);
int command_reload(const struct cli *cli, char **arguments);

#endif
