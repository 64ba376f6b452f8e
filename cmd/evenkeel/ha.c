/* SPDX-License-Identifier: GPL-2.0-only */
/* Several nodes that stand in for each other: what they are, and what an operator says of this one.
 */
#include <string.h>
#include <time.h>
#include "cli.h"
#include "show.h"

/* The primary answers at once; its successor claims within an interval of adverts. */
#define FAILOVER_GAP_NS	 50000000l
#define FAILOVER_ANSWERS 6  /* gaps */
#define FAILOVER_CLAIMS	 40 /* gaps */

static json_t *request_of(const char *action)
{
	return json_pack("{s:s, s:s}", "command", "ha", "action", action);
}

static int status(const struct cli *cli, const char *where)
{
	(void)where;
	return cli_ask(cli, request_of("status"), ek_render_ha);
}

/* --- failover -------------------------------------------------------------------------------- */

static bool has_role(const json_t *answer, const char *role)
{
	const json_t *instance;
	size_t i;

	json_array_foreach (json_object_get(answer, "instances"), i, instance)
		if (ek_show_is(instance, "role", role))
			return true;
	return false;
}

/* What the peer refused last, or ""; it is forgotten once the peer has obeyed. */
static const char *refusal_of(const json_t *answer, const char *name)
{
	const json_t *peer;
	size_t i;

	json_array_foreach (json_object_get(answer, "peers"), i, peer)
		if (ek_show_is(peer, "name", name))
			return json_string_value(json_object_get(peer, "refused")) ?: "";
	return "";
}

static int say_not_primary(const json_t *answer, const char *name)
{
	const char *refusal = refusal_of(answer, name);

	if (*refusal)
		fprintf(stderr, "evenkeel: %s refused: %s\n", name, refusal);
	else
		fprintf(stderr,
			"evenkeel: %s was asked to step aside; this node is not primary so far\n",
			name);
	return CLI_REFUSED;
}

/* This node has asked the primary: what it made of it is seen by the roles. */
static int await_primary(const struct cli *cli, const char *name)
{
	const struct timespec gap = {.tv_nsec = FAILOVER_GAP_NS};
	int code;

	for (int gaps = 1;; gaps++) {
		json_t *answer;

		nanosleep(&gap, NULL);
		answer = cli_call(cli, request_of("status"));
		if (!answer)
			return CLI_REFUSED;
		if (has_role(answer, "primary"))
			return cli_show(cli, answer, ek_render_ha_failover);
		if (gaps >= FAILOVER_CLAIMS ||
		    (gaps >= FAILOVER_ANSWERS && *refusal_of(answer, name))) {
			code = say_not_primary(answer, name);
			json_decref(answer);
			return code;
		}
		json_decref(answer);
	}
}

static int failover(const struct cli *cli, const char *where)
{
	json_t *request = request_of("failover"), *answer;
	const json_t *asked;
	int code;

	(void)where;
	if (cli->option[CLI_FORCE])
		json_object_set_new(request, "force", json_true());
	answer = cli_call(cli, request);
	if (!answer)
		return CLI_REFUSED;
	asked = json_object_get(answer, "asked");
	if (!json_is_string(asked))
		return cli_show(cli, answer, ek_render_ha_failover);
	code = await_primary(cli, json_string_value(asked));
	json_decref(answer);
	return code;
}

/* --- the operator's word --------------------------------------------------------------------- */

static int stay(const struct cli *cli, const char *where)
{
	json_t *request;

	if (!where ||
	    (strcmp(where, "primary") && strcmp(where, "secondary") && strcmp(where, "none"))) {
		fprintf(stderr, "evenkeel: ha stay: expected primary, secondary or none\n");
		return CLI_USAGE;
	}
	request = request_of("stay");
	json_object_set_new(request, "stay", json_string(where));
	return cli_ask(cli, request, ek_render_ha_word);
}

static int disable(const struct cli *cli, const char *where)
{
	(void)where;
	return cli_ask(cli, request_of("disable"), ek_render_ha_word);
}

static int enable(const struct cli *cli, const char *where)
{
	(void)where;
	return cli_ask(cli, request_of("enable"), ek_render_ha_word);
}

static const struct action {
	const char *name;
	int (*run)(const struct cli *cli, const char *where);
	bool takes_where, takes_force;
} actions[] = {
	{"status", status, false, false}, {"failover", failover, false, true},
	{"stay", stay, true, false},	  {"disable", disable, false, false},
	{"enable", enable, false, false},
};

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
		if (!strcmp(name, actions[i].name))
			return &actions[i];
	return NULL;
}

int command_ha(const struct cli *cli, char **arguments)
{
	const struct action *action = find_action(arguments[0] ? arguments[0] : "status");

	if (!action) {
		fprintf(stderr,
			"evenkeel: ha: no action \"%s\", expected status, failover, stay, disable "
			"or enable\n",
			arguments[0]);
		return CLI_USAGE;
	}
	if (arguments[0] && arguments[1] && !action->takes_where) {
		fprintf(stderr, "evenkeel: ha %s: too many arguments\n", action->name);
		return CLI_USAGE;
	}
	if (cli->option[CLI_FORCE] && !action->takes_force) {
		fprintf(stderr, "evenkeel: ha %s has no option --force\n", action->name);
		return CLI_USAGE;
	}
	return action->run(cli, arguments[0] ? arguments[1] : NULL);
}
