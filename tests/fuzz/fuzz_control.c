/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Any line gets exactly one line back, which is JSON and says whether it went well. What is JSON
 * is also rendered, as if a daemon had answered it: whatever it lacks, no control character
 * reaches the terminal.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "control.h"
#include "render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *handle_echo(void *arg, const json_t *request, struct ek_error *error)
{
	const char *text;

	(void)arg;
	if (ek_control_string(request, "text", &text, error))
		return NULL;
	return text ? ek_control_text(text) : json_deep_copy(request);
}

static json_t *handle_fail(void *arg, const json_t *request, struct ek_error *error)
{
	(void)arg;
	ek_error_set(error, "%s", json_string_value(json_object_get(request, "text")) ?: "");
	return NULL;
}

static const struct ek_control_command commands[] = {
	{"echo", handle_echo, "says it again", NULL},
	{"fail", handle_fail, "says it as an error", NULL},
};

static void check_answer(const char *line, size_t length)
{
	char *answer = ek_control_answer(commands, 2, NULL, line, length);
	json_t *json;

	assert(answer && strchr(answer, '\n') == answer + strlen(answer) - 1);
	json = json_loads(answer, 0, NULL);
	assert(json_is_boolean(json_object_get(json, "ok")));
	assert(json_object_get(json,
			       json_is_true(json_object_get(json, "ok")) ? "result" : "error"));
	json_decref(json);
	free(answer);
}

static void check_rendering(const json_t *answer)
{
	char *text = NULL;
	size_t length;
	struct ek_render render = {.out = open_memstream(&text, &length), .now = 1000000000};

	ek_render_status(&render, answer);
	ek_render_drops(&render, answer);
	ek_render_trace(&render, answer);
	fclose(render.out);
	for (size_t i = 0; i < length; i++)
		assert((unsigned char)text[i] >= 0x20 || text[i] == '\n');
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *json = json_loadb((const char *)data, size, 0, NULL);

	check_answer((const char *)data, size);
	if (json)
		check_rendering(json);
	json_decref(json);
	return 0;
}
