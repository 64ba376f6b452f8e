/* SPDX-License-Identifier: GPL-2.0-only */
/* A decision of the data plane as a line of text. See render.h. Called by the command line. */
#include <string.h>
#include "show.h"

static const char *color_of(const char *verdict)
{
	if (!strcmp(verdict, "drop"))
		return EK_SHOW_RED;
	return !strcmp(verdict, "forward") || !strcmp(verdict, "local") ? EK_SHOW_GREEN
									: EK_SHOW_YELLOW;
}

/* "12:03:12.345678" of an RFC 3339 time. */
static const char *time_of_day(const char *time, char *out, size_t size)
{
	const char *clock = strchr(time, 'T');

	snprintf(out, size, "%s", clock ? clock + 1 : time);
	out[strcspn(out, "Z")] = '\0';
	return out;
}

static void say_end(const struct ek_render *render, const json_t *line, const char *address,
		    const char *port)
{
	ek_show_say(render, NULL, "%s",
		    json_object_get(line, port) ? ek_show_endpoint(line, address, port).text
						: ek_show_text(line, address));
}

static void say_vlans(const struct ek_render *render, const json_t *vlans)
{
	const json_t *vlan;
	size_t i;

	json_array_foreach (vlans, i, vlan)
		ek_show_say(render, NULL, " vlan %lld", (long long)json_integer_value(vlan));
}

static void say_packet(const struct ek_render *render, const json_t *line)
{
	say_vlans(render, json_object_get(line, "vlan"));
	ek_show_say(render, NULL, " %s", ek_show_text(line, "protocol"));
	if (!json_object_get(line, "client"))
		return;
	ek_show_say(render, NULL, " ");
	say_end(render, line, "client", "client_port");
	ek_show_say(render, NULL, " > ");
	say_end(render, line, "vip", "vip_port");
	if (json_object_get(line, "flags"))
		ek_show_say(render, NULL, " %s", ek_show_text(line, "flags"));
	if (json_object_get(line, "icmp_type"))
		ek_show_say(render, NULL, " type %s code %s",
			    ek_show_integer(line, "icmp_type").text,
			    ek_show_integer(line, "icmp_code").text);
	if (json_object_get(line, "about"))
		ek_show_say(render, NULL, " about %s", ek_show_text(line, "about"));
	if (ek_show_true(line, "fragment"))
		ek_show_say(render, NULL, " later fragment");
}

static void say_choice(const struct ek_render *render, const json_t *line)
{
	if (json_object_get(line, "service"))
		ek_show_say(render, NULL, ", %s", ek_show_text(line, "service"));
	if (json_object_get(line, "backend"))
		ek_show_say(render, NULL, " to %s %s by %s", ek_show_text(line, "backend"),
			    ek_show_text(line, "address"), ek_show_text(line, "method"));
}

void ek_render_trace(const struct ek_render *render, const json_t *line)
{
	const char *verdict = ek_show_text(line, "verdict");
	char when[32];

	if (json_integer_value(json_object_get(line, "missed")) > 0) {
		ek_show_say(render, EK_SHOW_YELLOW, "(%s missed)",
			    ek_show_integer(line, "missed").text);
		ek_show_end_line(render);
	}
	ek_show_say(render, NULL, "%s %s ",
		    time_of_day(ek_show_text(line, "time"), when, sizeof(when)),
		    ek_show_text(line, "port"));
	ek_show_say(render, color_of(verdict), "%s", verdict);
	if (json_object_get(line, "reason"))
		ek_show_say(render, NULL, " %s", ek_show_text(line, "reason"));
	if (ek_show_true(line, "answered"))
		ek_show_say(render, NULL, " (answered)");
	say_packet(render, line);
	say_choice(render, line);
	ek_show_say(render, NULL, ", %s bytes", ek_show_integer(line, "length").text);
	ek_show_end_line(render);
}
