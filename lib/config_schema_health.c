/* SPDX-License-Identifier: GPL-2.0-only */
/* The schema of a service's `health`. Called by config_schema_service.c. */
#include <netinet/in.h>
#include "config_schema.h"

/* clang-format off */
static const struct ek_choice check_types[] = {
	WORD("none", EK_CHECK_NONE),
	WORD("tcp", EK_CHECK_TCP),
	WORD("http", EK_CHECK_HTTP),
	WORD("https", EK_CHECK_HTTPS),
	{.name = NULL},
};
/* clang-format on */

const char *ek_check_name(enum ek_check_type type)
{
	return ek_schema_word(check_types, type);
}

static const char *unless_checked(const struct ek_parse *parse)
{
	return parse->service->check.type == EK_CHECK_NONE
		       ? "nothing is checked (type: none), expected type: tcp, http or https"
		       : NULL;
}

static const char *unless_http(const struct ek_parse *parse)
{
	switch (parse->service->check.type) {
	case EK_CHECK_NONE:
		return unless_checked(parse);
	case EK_CHECK_TCP:
		return "has no meaning with type: tcp, expected type: http or https";
	default:
		return NULL;
	}
}

static void type_default(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
			 void *out)
{
	(void)row, (void)map;
	*(enum ek_check_type *)out =
		parse->service->protocol == IPPROTO_UDP ? EK_CHECK_NONE : EK_CHECK_TCP;
}

/* A check connects by TCP; that TCP listens where the service's UDP does must be said. */
static void port_default(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
			 void *out)
{
	const struct ek_config_service *service = parse->service;
	char ports[EK_PORTS_TEXT];

	(void)out;
	if (service->check.type == EK_CHECK_NONE || service->check.type > EK_CHECK_HTTPS)
		return;
	if (service->protocol == IPPROTO_UDP)
		ek_parse_error(parse, map, row->key,
			       "the key is missing here: checks use TCP, this service is udp");
	else if (service->port != service->port_last)
		ek_parse_error(parse, map, row->key,
			       "the key is missing here: a check needs one port, the service has "
			       "%s",
			       ek_config_ports_text(service, ports));
}

static void read_check_timeout(struct ek_parse *parse, const struct ek_row *row,
			       const yaml_node_t *value, void *out)
{
	const struct ek_config_check *check = &parse->service->check;

	ek_value_duration(parse, row, value, out);
	if (check->interval && check->timeout > check->interval)
		ek_value_refuse(parse, row, value, "is longer than the interval",
				"at most the interval: checks of one backend do not overlap");
}

static void timeout_default(struct ek_parse *parse, const struct ek_row *row,
			    const yaml_node_t *map, void *out)
{
	unsigned int *timeout = out;

	(void)row, (void)map;
	if (*timeout > parse->service->check.interval)
		*timeout = parse->service->check.interval;
}

/* clang-format off */
#define CHECK(member) FIELD(ek_config_check, member)
#define CHECKED        .unfit = unless_checked
#define HTTP           .unfit = unless_http
#define MILLISECONDS   RANGE(10, 3600000), .unit = 1
static const struct ek_row check_rows[] = {
	{"type",     ek_value_choice,    CHECK(type),       .absent = type_default,
	 .choices = check_types},
	{"port",     ek_value_number,    CHECK(port),       .absent = port_default, CHECKED,
	 RANGE(1, 65535)},
	{"interval", ek_value_duration,  CHECK(interval),   CHECKED, MILLISECONDS},
	{"timeout",  read_check_timeout, CHECK(timeout),    .absent = timeout_default,
	 CHECKED, MILLISECONDS},
	{"rise",     ek_value_number,    CHECK(rise),       CHECKED, RANGE(1, 100)},
	{"fall",     ek_value_number,    CHECK(fall),       CHECKED, RANGE(1, 100)},
	{"path",     ek_value_path,      CHECK(path),       HTTP},
	{"host",     ek_value_host,      CHECK(host),       HTTP},
	{"status",   ek_value_status,    CHECK(status_low), HTTP},
	{"body",     ek_value_regex,     CHECK(body),       HTTP},
	{.key = NULL},
};
/* clang-format on */
_Static_assert(offsetof(struct ek_config_check, status_high) ==
		       offsetof(struct ek_config_check, status_low) + sizeof(unsigned int),
	       "ek_value_status() stores both");
_Static_assert(offsetof(struct ek_config_check, type) == 0, "type_default() serves both");

void ek_schema_check_default(struct ek_parse *parse, const struct ek_row *row,
			     const yaml_node_t *map, void *out)
{
	const struct ek_config_service *service = parse->service;
	char ports[EK_PORTS_TEXT];

	type_default(parse, row, map, out);
	if (service->check.type != EK_CHECK_NONE && service->port != service->port_last)
		ek_parse_error(parse, map, row->key,
			       "the key is missing here: a check needs one port, the service has "
			       "%s, expected {port: NUMBER} or {type: none}",
			       ek_config_ports_text(service, ports));
}

void ek_schema_check(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
		     void *out)
{
	ek_schema_mapping(parse, row->key, map, check_rows, out);
}
