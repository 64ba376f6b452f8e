/* SPDX-License-Identifier: GPL-2.0-only */
/* The commands that change a running balancer, and the one that asks what a reload would change. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "config.h"
#include "show.h"

/* "SERVICE/BACKEND" into a request, or NULL after saying what is wrong. */
static json_t *target_request(const char *command, const char *target)
{
	const char *slash = target ? strchr(target, '/') : NULL;

	if (!slash || slash == target || !slash[1]) {
		fprintf(stderr, "evenkeel: %s: expected SERVICE/BACKEND\n", command);
		return NULL;
	}
	return json_pack("{s:s, s:s%, s:s}", "command", command, "service", target,
			 (size_t)(slash - target), "backend", slash + 1);
}

static void render_target(const struct ek_render *render, const json_t *result)
{
	bool draining = ek_show_true(result, "draining");

	ek_show_say(render, NULL, "%s/%s: %s", ek_show_text(result, "service"),
		    ek_show_text(result, "backend"), draining ? "draining" : "takes connections");
	if (json_integer_value(json_object_get(result, "weight")) >= 0)
		ek_show_say(render, NULL, ", weight %s", ek_show_integer(result, "weight").text);
	else
		ek_show_say(render, NULL, ", weight of the file");
	ek_show_end_line(render);
}

int command_drain(const struct cli *cli, char **arguments)
{
	const char *timeout = cli->option[CLI_TIMEOUT], *problem;
	json_t *request = target_request("drain", arguments[0]);
	unsigned long ms;

	if (!request)
		return CLI_USAGE;
	if (timeout) {
		problem = ek_duration_parse(timeout, &ms);
		if (problem || ms < 1000) {
			fprintf(stderr,
				"evenkeel: drain: --timeout '%s' %s, expected 10m or the like\n",
				timeout, problem ? problem : "is under a second");
			json_decref(request);
			return CLI_USAGE;
		}
		json_object_set_new(request, "timeout", json_integer(ms / 1000));
	}
	return cli_ask(cli, request, render_target);
}

int command_undrain(const struct cli *cli, char **arguments)
{
	json_t *request = target_request("undrain", arguments[0]);

	return request ? cli_ask(cli, request, render_target) : CLI_USAGE;
}

int command_weight(const struct cli *cli, char **arguments)
{
	json_t *request = target_request("weight", arguments[0]), *weight = NULL;
	const char *text = arguments[0] ? arguments[1] : NULL;
	char *end;
	long n;

	if (!request)
		return CLI_USAGE;
	if (text && !strcmp(text, "default")) {
		weight = json_null();
	} else if (text) {
		errno = 0;
		n = strtol(text, &end, 10);
		if (!errno && end != text && !*end && n >= 0 && n <= 1000)
			weight = json_integer(n);
	}
	if (!weight) {
		fprintf(stderr, "evenkeel: weight: expected a number from 0 to 1000, or default\n");
		json_decref(request);
		return CLI_USAGE;
	}
	json_object_set_new(request, "weight", weight);
	return cli_ask(cli, request, render_target);
}

/* --- plan ------------------------------------------------------------------------------------ */

static void print_plan_backend(const struct ek_render *render, const json_t *backend)
{
	if (ek_show_is(backend, "change", "same"))
		return;
	ek_show_say(render, NULL, "  %s %s (%s)", ek_show_text(backend, "change"),
		    ek_show_text(backend, "name"), ek_show_text(backend, "address"));
	ek_show_end_line(render);
}

static void print_plan_service(const struct ek_render *render, const json_t *service)
{
	const json_t *backend;
	size_t i;

	ek_show_say(render, EK_SHOW_BOLD, "%s", ek_show_text(service, "name"));
	ek_show_say(render, NULL, ": %s", ek_show_text(service, "change"));
	if (ek_show_is(service, "change", "change"))
		ek_show_say(render, NULL, ", %s slots move, %s begin to remember",
			    ek_show_integer(service, "slots_moved").text,
			    ek_show_integer(service, "slots_remembering").text);
	if (ek_show_is(service, "change", "remove"))
		ek_show_say(render, EK_SHOW_RED, ", its connections cannot be kept (%s tracked)",
			    ek_show_integer(service, "lost_entries").text);
	ek_show_end_line(render);
	json_array_foreach (json_object_get(service, "backends"), i, backend)
		print_plan_backend(render, backend);
}

static void render_plan(const struct ek_render *render, const json_t *result)
{
	const json_t *service;
	size_t i;

	json_array_foreach (json_object_get(result, "services"), i, service)
		print_plan_service(render, service);
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = file ? malloc(EK_CONFIG_MAX + 2) : NULL;
	size_t n = text ? fread(text, 1, EK_CONFIG_MAX + 1, file) : 0;

	if (!text || ferror(file) || n > EK_CONFIG_MAX || memchr(text, 0, n)) {
		fprintf(stderr, "evenkeel: plan: %s: %s\n", path,
			file && text && !ferror(file) ? "no configuration file" : strerror(errno));
		free(text);
		text = NULL;
	} else {
		text[n] = '\0';
	}
	if (file)
		fclose(file);
	return text;
}

int command_plan(const struct cli *cli, char **arguments)
{
	json_t *request;
	char *text;

	if (!arguments[0]) {
		fprintf(stderr, "evenkeel: plan: expected FILE\n");
		return CLI_USAGE;
	}
	text = read_file(arguments[0]);
	if (!text)
		return CLI_REFUSED;
	request =
		json_pack("{s:s, s:s, s:s}", "command", "plan", "name", arguments[0], "text", text);
	free(text);
	if (!request) {
		fprintf(stderr, "evenkeel: plan: %s: not UTF-8\n", arguments[0]);
		return CLI_REFUSED;
	}
	return cli_ask(cli, request, render_plan);
}
