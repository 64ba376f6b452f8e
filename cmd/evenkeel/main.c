/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * evenkeel, the command line: finds the command in a table and runs it. Everything it shows is
 * what evenkeeld answers on its control socket (lib/control.h).
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include "cli.h"
#include "control_client.h"
#include "version.h"

static int command_help(const struct cli *cli, char **arguments);

static const struct command {
	char name[16];
	int (*run)(const struct cli *cli, char **arguments);
	int max_arguments;
	const char *arguments;
	const char *description;
} commands[] = {
	{"status", command_status, 1, "[SERVICE]",
	 "the node, its interfaces, services and backends"},
	{"drops", command_drops, 0, "", "why packets were dropped, and how many"},
	{"reload", command_reload, 0, "", "read the configuration again and apply what changed"},
	{"help", command_help, 1, "[COMMAND]", "this list, or how to use one command"},
};

#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

static const struct option options[] = {
	{"json", no_argument, NULL, 'j'},
	{"socket", required_argument, NULL, 's'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static void print_usage(FILE *out)
{
	fprintf(out, "Usage: evenkeel [-j] [-s SOCKET] COMMAND [ARGUMENTS]\n\nCommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-8s %-12s %s\n", commands[i].name, commands[i].arguments,
			commands[i].description);
	fprintf(out,
		"\nOptions, anywhere on the line:\n"
		"  -j, --json           print the answer as JSON\n"
		"  -s, --socket SOCKET  where evenkeeld listens (%s)\n"
		"  -h, --help           this text, or how to use COMMAND\n"
		"  -V, --version        the version\n",
		EK_CONTROL_PATH);
}

/* Levenshtein's distance, to a command name; one row of the matrix at a time. */
static size_t distance(const char *word, const char *name)
{
	size_t row[sizeof(commands->name)], length = strlen(name);

	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 1; *word; i++, word++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= length; j++) {
			size_t above = row[j], cost = diagonal + (*word != name[j - 1]);

			if (above + 1 < cost)
				cost = above + 1;
			if (row[j - 1] + 1 < cost)
				cost = row[j - 1] + 1;
			row[j] = cost;
			diagonal = above;
		}
	}
	return row[length];
}

static const struct command *nearest_command(const char *word)
{
	const struct command *nearest = commands;

	for (size_t i = 1; i < N_COMMANDS; i++)
		if (distance(word, commands[i].name) < distance(word, nearest->name))
			nearest = &commands[i];
	return nearest;
}

/* NULL after saying what could have been meant. */
static const struct command *find_command(const char *word)
{
	const struct command *nearest = nearest_command(word);

	if (!strcmp(nearest->name, word))
		return nearest;
	fprintf(stderr, "evenkeel: no command \"%s\"", word);
	if (distance(word, nearest->name) < strlen(nearest->name)) /* some letters agree */
		fprintf(stderr, "; did you mean \"%s\"?", nearest->name);
	fprintf(stderr, "\n'evenkeel help' lists the commands\n");
	return NULL;
}

static void print_command_usage(FILE *out, const struct command *command)
{
	fprintf(out, "Usage: evenkeel [-j] [-s SOCKET] %s %s\n\n%s\n", command->name,
		command->arguments, command->description);
}

static int command_help(const struct cli *cli, char **arguments)
{
	const struct command *command;

	(void)cli;
	if (!arguments[0]) {
		print_usage(stdout);
		return CLI_OK;
	}
	command = find_command(arguments[0]);
	if (!command)
		return CLI_USAGE;
	print_command_usage(stdout, command);
	return CLI_OK;
}

static int run(const struct cli *cli, int n, char **words)
{
	const struct command *command;

	if (n == 0) {
		print_usage(stderr);
		return CLI_USAGE;
	}
	command = find_command(words[0]);
	if (!command)
		return CLI_USAGE;
	if (n - 1 > command->max_arguments) {
		fprintf(stderr, "evenkeel: %s: too many arguments\n", command->name);
		print_command_usage(stderr, command);
		return CLI_USAGE;
	}
	return command->run(cli, words + 1);
}

int main(int argc, char **argv)
{
	struct cli cli = {.socket = EK_CONTROL_PATH};
	bool help = false;
	int option, code;

	while ((option = getopt_long(argc, argv, "js:hV", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			cli.json = true;
			break;
		case 's':
			cli.socket = optarg;
			break;
		case 'h':
			help = true;
			break;
		case 'V':
			printf("evenkeel %s\n", EK_VERSION);
			return CLI_OK;
		default:
			fprintf(stderr, "'evenkeel help' tells more\n");
			return CLI_USAGE;
		}
	}
	code = help ? command_help(&cli, argv + optind) : run(&cli, argc - optind, argv + optind);
	if (fflush(stdout) || ferror(stdout)) {
		perror("evenkeel: standard output");
		return CLI_REFUSED;
	}
	return code;
}
