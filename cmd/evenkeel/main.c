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

#define TAKES(option) (1u << CLI_##option)

static const struct command {
	char name[16];
	int (*run)(const struct cli *cli, char **arguments);
	int max_arguments;
	unsigned int options; /* TAKES() */
	const char *arguments;
	const char *description;
	const char *details; /* NULL: there is no more to say */
} commands[] = {
	{"status", command_status, 1, 0, "[SERVICE]",
	 "the node, its interfaces, services and backends", NULL},
	{"drops", command_drops, 0, TAKES(WATCH) | TAKES(ALL), "[OPTION]...",
	 "why packets were dropped or answered, and how many",
	 "  --all                 also reasons that there was no packet for\n"
	 "  --watch               again every second\n"},
	{"trace", command_trace, 1,
	 TAKES(SERVICE) | TAKES(CLIENT) | TAKES(DROPS) | TAKES(RATE) | TAKES(COUNT) | TAKES(PCAP),
	 "[OPTION]...", "what is decided about packets, as it is decided",
	 "  --service SERVICE     only packets of this service\n"
	 "  --client ADDRESS      only packets from this address, and errors about them\n"
	 "  --drops               only packets that are dropped\n"
	 "  --rate N              at most N a second and CPU (100)\n"
	 "  --count N             end after N\n"
	 "  --pcap FILE           also write the frames to FILE, as they came; -: standard output\n"
	 "Until Ctrl-C. While it runs, every packet takes the longer way through the program.\n"},
	{"flows", command_flows, 0,
	 TAKES(SERVICE) | TAKES(BACKEND) | TAKES(CLIENT) | TAKES(LIMIT) | TAKES(COUNT),
	 "[OPTION]...", "the connections in the table",
	 "  --service SERVICE     only those of this service\n"
	 "  --backend BACKEND     only those of backends with this name\n"
	 "  --client ADDR[/LEN]   only those from this address or prefix\n"
	 "  --limit N             show at most N (1000); all are counted\n"
	 "  --count               show how many by backend and state\n"},
	{"explain", command_explain, 2, TAKES(PACKET), "SERVICE|VIP[:PORT][/udp] CLIENT[:PORT]",
	 "what becomes of a client's packets, and why",
	 "  --packet syn|ack|rst  only this kind (syn and ack)\n"
	 "IPv6 addresses with a port stand in brackets: [2001:db8::7]:4711\n"},
	{"drain", command_drain, 1, TAKES(TIMEOUT), "SERVICE/BACKEND",
	 "give a backend no new connections, and keep the ones it has",
	 "  --timeout DURATION    call it done after this time, whatever is left (10m, 2h)\n"
	 "'evenkeel status SERVICE' shows what still needs the backend.\n"},
	{"undrain", command_undrain, 1, 0, "SERVICE/BACKEND", "give it new connections again",
	 NULL},
	{"weight", command_weight, 2, 0, "SERVICE/BACKEND N|default",
	 "another weight than the file's, until it is set to default", NULL},
	{"plan", command_plan, 1, 0, "FILE", "what a reload of FILE would change", NULL},
	{"reload", command_reload, 0, 0, "", "read the configuration again and apply what changed",
	 NULL},
	{"ha", command_ha, 2, TAKES(FORCE), "[ACTION]",
	 "the pair: who has the VIPs and why, and who shall",
	 "  status                       this node, its instances, tracks and peers; the default\n"
	 "  failover [--force]           the primary steps aside; --force: for a peer that is not\n"
	 "                               healthy or not in sync, too\n"
	 "  stay primary|secondary|none  what this node is whatever happens; none: no more\n"
	 "  disable                      this node gives its VIPs up and claims none\n"
	 "  enable                       it may have them again\n"},
	{"help", command_help, 1, 0, "[COMMAND]", "this list, or how to use one command", NULL},
};

#define N_COMMANDS	(sizeof(commands) / sizeof(*commands))
#define ARGUMENTS_WIDTH 40

#define OF_COMMAND 256 /* and above: options that only some commands take */

static const struct option options[] = {
	{"json", no_argument, NULL, 'j'},
	{"socket", required_argument, NULL, 's'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{"service", required_argument, NULL, OF_COMMAND + CLI_SERVICE},
	{"backend", required_argument, NULL, OF_COMMAND + CLI_BACKEND},
	{"client", required_argument, NULL, OF_COMMAND + CLI_CLIENT},
	{"limit", required_argument, NULL, OF_COMMAND + CLI_LIMIT},
	{"count", optional_argument, NULL, OF_COMMAND + CLI_COUNT}, /* of trace: a number */
	{"packet", required_argument, NULL, OF_COMMAND + CLI_PACKET},
	{"timeout", required_argument, NULL, OF_COMMAND + CLI_TIMEOUT},
	{"force", no_argument, NULL, OF_COMMAND + CLI_FORCE},
	{"watch", no_argument, NULL, OF_COMMAND + CLI_WATCH},
	{"all", no_argument, NULL, OF_COMMAND + CLI_ALL},
	{"drops", no_argument, NULL, OF_COMMAND + CLI_DROPS},
	{"rate", required_argument, NULL, OF_COMMAND + CLI_RATE},
	{"pcap", required_argument, NULL, OF_COMMAND + CLI_PCAP},
	{NULL, 0, NULL, 0},
};

static void print_usage(FILE *out)
{
	fprintf(out, "Usage: evenkeel [-j] [-s SOCKET] COMMAND [ARGUMENTS]\n\nCommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %s %-*s %s\n", commands[i].name,
			ARGUMENTS_WIDTH - (int)strlen(commands[i].name), commands[i].arguments,
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
	fprintf(out, "Usage: evenkeel [-j] [-s SOCKET] %s %s\n\n%s\n%s", command->name,
		command->arguments, command->description, command->details ? command->details : "");
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

/* Does the command take every option that was given? */
static bool takes_options(const struct command *command, const struct cli *cli)
{
	for (const struct option *o = options; o->name; o++) {
		int i = o->val - OF_COMMAND;

		if (i < 0 || !cli->option[i] || command->options & 1u << i)
			continue;
		fprintf(stderr, "evenkeel: %s has no option --%s\n", command->name, o->name);
		return false;
	}
	return true;
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
	if (!takes_options(command, cli)) {
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
		case '?':
			fprintf(stderr, "'evenkeel help' tells more\n");
			return CLI_USAGE;
		default:
			cli.option[option - OF_COMMAND] = optarg ? optarg : "";
		}
	}
	code = help ? command_help(&cli, argv + optind) : run(&cli, argc - optind, argv + optind);
	if (fflush(stdout) || ferror(stdout)) {
		perror("evenkeel: standard output");
		return CLI_REFUSED;
	}
	return code;
}
