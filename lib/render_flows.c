/* SPDX-License-Identifier: GPL-2.0-only */
/* The connection table as text. See render.h. Called by the command line. */
#include "show.h"

static const struct ek_show_column flow_columns[] = {
	{"PROTO", false},   {"CLIENT", false}, {"VIP", false}, {"SERVICE", false},
	{"BACKEND", false}, {"STATE", false},  {"AGE", true},  {"IDLE", true}};

static void print_flow(struct ek_show_table *table, const json_t *flow)
{
	ek_show_cell(table, NULL, "%s", ek_show_text(flow, "protocol"));
	ek_show_cell(table, NULL, "%s", ek_show_endpoint(flow, "client", "client_port").text);
	ek_show_cell(table, NULL, "%s", ek_show_endpoint(flow, "vip", "port").text);
	ek_show_cell(table, NULL, "%s", ek_show_text(flow, "service"));
	ek_show_cell(table, NULL, "%s", ek_show_text(flow, "backend"));
	ek_show_cell(table, NULL, "%s", ek_show_text(flow, "state"));
	ek_show_cell(table, NULL, "%s", ek_show_seconds(flow, "age").text);
	ek_show_cell(table, NULL, "%s", ek_show_seconds(flow, "idle").text);
}

static const struct ek_show_column count_columns[] = {{"SERVICE", false},
						      {"BACKEND", false},
						      {"EMBRYONIC", true},
						      {"ESTABLISHED", true},
						      {"CLOSING", true}};

static void print_count(struct ek_show_table *table, const json_t *count)
{
	ek_show_cell(table, NULL, "%s", ek_show_text(count, "service"));
	ek_show_cell(table, NULL, "%s", ek_show_text(count, "backend"));
	ek_show_cell(table, NULL, "%s", ek_show_integer(count, "embryonic").text);
	ek_show_cell(table, NULL, "%s", ek_show_integer(count, "established").text);
	ek_show_cell(table, NULL, "%s", ek_show_integer(count, "closing").text);
}

void ek_render_flows(const struct ek_render *render, const json_t *answer)
{
	const json_t *flows = json_object_get(answer, "flows");
	json_int_t matched = json_integer_value(json_object_get(answer, "matched"));
	json_int_t in_flux = json_integer_value(json_object_get(answer, "in_flux"));

	ek_show_rows(render, flow_columns, 8, flows, print_flow);
	ek_show_rows(render, count_columns, 5, json_object_get(answer, "counts"), print_count);
	ek_show_say(render, NULL, "%lld flow%s", (long long)matched, matched == 1 ? "" : "s");
	if (flows && (json_int_t)json_array_size(flows) < matched)
		ek_show_say(render, EK_SHOW_YELLOW, ", of which the first %zu found are shown",
			    json_array_size(flows));
	if (in_flux)
		ek_show_say(render, NULL, "; %lld left out: just being stored", (long long)in_flux);
	ek_show_end_line(render);
}
