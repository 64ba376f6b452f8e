/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration's schema: a table of rows for each mapping of the file, and the walk over a
 * mapping or list by its table. evenkeel.yaml(5) describes the same keys in the same order. The
 * tables of the `ha` section are in config_schema_ha.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "config_schema.h"
#include "ip.h"

#define ROWS_MAX       16
#define KEY_LENGTH_MAX 32

/* --- words ----------------------------------------------------------------------------------- */
/* clang-format off */
static const struct ek_choice xdp_modes[] = {
	WORD("auto", EK_XDP_AUTO),
	WORD("native", EK_XDP_NATIVE),
	WORD("generic", EK_XDP_GENERIC),
	{.name = NULL},
};
static const struct ek_choice protocols[] = {
	WORD("tcp", IPPROTO_TCP),
	WORD("udp", IPPROTO_UDP),
	PLANNED("any", UINT32_MAX),
	{.name = NULL},
};
static const struct ek_choice forwards[] = {
	WORD("ipip", EK_FORWARD_IPIP),
	PLANNED("gue", EK_FORWARD_GUE),
	PLANNED("tos", EK_FORWARD_TOS),
	PLANNED("l2", EK_FORWARD_L2),
	PLANNED("local", EK_FORWARD_LOCAL),
	{.name = NULL},
};
static const struct ek_choice methods[] = {
	WORD("maglev", EK_METHOD_MAGLEV),
	WORD("source-hash", EK_METHOD_SOURCE_HASH),
	PLANNED("round-robin", UINT32_MAX),
	PLANNED("least-connections", UINT32_MAX),
	PLANNED("priority", UINT32_MAX),
	{.name = NULL},
};
static const struct ek_choice trackings[] = {
	WORD("just-enough", EK_TRACKING_JUST_ENOUGH),
	WORD("full", EK_TRACKING_FULL),
	WORD("none", EK_TRACKING_NONE),
	{.name = NULL},
};
static const struct ek_choice failovers[] = {
	WORD("stateful", EK_FAILOVER_STATEFUL),
	WORD("stateless", EK_FAILOVER_STATELESS),
	WORD("none", EK_FAILOVER_NONE),
	{.name = NULL},
};
static const struct ek_choice gateway_announces[] = {
	WORD("arp", true),
	WORD("none", false),
	{.name = NULL},
};
static const struct ek_choice check_types[] = {
	WORD("none", EK_CHECK_NONE),
	WORD("tcp", EK_CHECK_TCP),
	WORD("http", EK_CHECK_HTTP),
	WORD("https", EK_CHECK_HTTPS),
	{.name = NULL},
};
/* clang-format on */

const char *ek_schema_word(const struct ek_choice *choices, unsigned int value)
{
	for (; choices->name; choices++)
		if (choices->value == value)
			return choices->name;
	return "?";
}

const char *ek_forward_name(enum ek_forward forward)
{
	return ek_schema_word(forwards, forward);
}

const char *ek_method_name(enum ek_method method)
{
	return ek_schema_word(methods, method);
}

const char *ek_tracking_name(enum ek_tracking tracking)
{
	return ek_schema_word(trackings, tracking);
}

const char *ek_failover_name(enum ek_failover failover)
{
	return ek_schema_word(failovers, failover);
}

const char *ek_check_name(enum ek_check_type type)
{
	return ek_schema_word(check_types, type);
}

const char *ek_xdp_mode_name(enum ek_xdp_mode mode)
{
	return ek_schema_word(xdp_modes, mode);
}

/* --- mappings and lists ---------------------------------------------------------------------- */
static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Levenshtein's edit distance, one row of its matrix at a time; b is a key of ours. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[KEY_LENGTH_MAX + 1], length = strlen(b), diagonal, above;

	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= length; j++) {
			above = row[j];
			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[length];
}

/* The key that was probably meant: at most two edits away, and fewer than it has letters. */
static const char *nearest_key(const struct ek_row *rows, const char *key)
{
	size_t least = 3, distance;
	const char *nearest = NULL;

	if (strlen(key) > KEY_LENGTH_MAX)
		return NULL;
	for (; rows->key; rows++) {
		distance = edit_distance(key, rows->key);
		if (distance < least && distance < strlen(key)) {
			least = distance;
			nearest = rows->key;
		}
	}
	return nearest;
}

static void unknown_key(struct ek_parse *parse, const struct ek_row *rows, const yaml_node_t *key)
{
	const char *text = (const char *)key->data.scalar.value;
	const char *nearest = nearest_key(rows, text);
	char quoted[EK_VALUE_QUOTED], known[160];
	size_t length = 0;

	ek_value_quote(text, quoted);
	if (nearest) {
		ek_parse_error(parse, key, "", "unknown key '%s'; did you mean '%s'?", quoted,
			       nearest);
		return;
	}
	for (; rows->key; rows++)
		length += snprintf(known + length, sizeof(known) - length, "%s%s", rows->key,
				   rows[1].key ? ", " : "");
	ek_parse_error(parse, key, "", "unknown key '%s', expected one of %s", quoted, known);
}

/* Puts each value beside its row. */
static void sort_values(struct ek_parse *parse, const yaml_node_t *map, const struct ek_row *rows,
			const yaml_node_t **values)
{
	const yaml_node_pair_t *pair = map->data.mapping.pairs.start;

	for (; pair < map->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(parse->document, pair->key);
		const char *text;
		size_t i = 0;

		if (key->type != YAML_SCALAR_NODE) {
			ek_parse_error(parse, key, "", "a list or mapping, expected a key");
			continue;
		}
		text = (const char *)key->data.scalar.value;
		while (rows[i].key && strcmp(rows[i].key, text))
			i++;
		if (!rows[i].key)
			unknown_key(parse, rows, key);
		else if (values[i])
			ek_parse_error(parse, key, rows[i].key,
				       "the key stands here twice, first on line %u",
				       ek_yaml_line(values[i]));
		else
			values[i] = yaml_document_get_node(parse->document, pair->value);
	}
}

bool ek_schema_mapping(struct ek_parse *parse, const char *key, const yaml_node_t *map,
		       const struct ek_row *rows, void *out)
{
	const yaml_node_t *values[ROWS_MAX] = {NULL};

	if (map->type != YAML_MAPPING_NODE) {
		ek_parse_error(parse, map, key, "a %s, expected a mapping (key: value)",
			       map->type == YAML_SEQUENCE_NODE ? "list" : "single value");
		return false;
	}
	sort_values(parse, map, rows, values);
	for (size_t i = 0; rows[i].key; i++) {
		void *field = (char *)out + rows[i].offset;
		const char *why;

		if (!values[i]) {
			if (rows[i].absent)
				rows[i].absent(parse, &rows[i], map, field);
			continue;
		}
		why = rows[i].unfit ? rows[i].unfit(parse) : NULL;
		if (why)
			ek_parse_error(parse, values[i], rows[i].key, "%s", why);
		else
			rows[i].read(parse, &rows[i], values[i], field);
	}
	return true;
}

const yaml_node_t *ek_schema_item(struct ek_parse *parse, const yaml_node_t *list, size_t i)
{
	return yaml_document_get_node(parse->document, list->data.sequence.items.start[i]);
}

bool ek_schema_list(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list)
{
	size_t length;

	if (list->type != YAML_SEQUENCE_NODE) {
		ek_parse_error(parse, list, row->key,
			       "no list, expected items that begin with '-'%s",
			       row->min ? "" : ", or [] for none");
		return false;
	}
	length = ek_schema_length(list);
	if (length >= row->min && length <= row->max)
		return true;
	ek_parse_error(parse, list, row->key, "a list of %zu, expected %u to %u items", length,
		       row->min, row->max);
	return false;
}

/* An array for the items of a list of row->min to row->max, or NULL: an error, or no items. */
static void *new_array(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list,
		       size_t size)
{
	void *array;

	if (!ek_schema_list(parse, row, list) || !ek_schema_length(list))
		return NULL;
	array = calloc(ek_schema_length(list), size);
	if (!array)
		ek_parse_error(parse, list, row->key, "%s", strerror(ENOMEM));
	return array;
}

void ek_schema_required(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
			void *out)
{
	(void)out;
	ek_parse_error(parse, map, row->key, "the key is missing here");
}

/* --- interfaces ------------------------------------------------------------------------------ */
/* clang-format off */
#define INTERFACE(member) FIELD(ek_config_interface, member)
static const struct ek_row interface_rows[] = {
	{"name", ek_value_interface, INTERFACE(name), REQUIRED, .claim = EK_CLAIM_INTERFACE},
	{"mode", ek_value_choice,    INTERFACE(mode), .choices = xdp_modes},
	{.key = NULL},
};
/* clang-format on */

static void read_interfaces(struct ek_parse *parse, const struct ek_row *row,
			    const yaml_node_t *list, void *out)
{
	struct ek_config *config = out;

	config->interfaces = new_array(parse, row, list, sizeof(config->interfaces[0]));
	if (!config->interfaces)
		return;
	config->n_interfaces = ek_schema_length(list);
	for (size_t i = 0; i < config->n_interfaces; i++) {
		const yaml_node_t *item = ek_schema_item(parse, list, i);

		config->interfaces[i].line = ek_yaml_line(item);
		ek_schema_mapping(parse, row->key, item, interface_rows, &config->interfaces[i]);
	}
}

/* --- limits ---------------------------------------------------------------------------------- */
static void read_power_of_two(struct ek_parse *parse, const struct ek_row *row,
			      const yaml_node_t *value, void *out)
{
	unsigned int *number = out;
	char expected[64];

	ek_value_number(parse, row, value, out);
	if (!(*number & (*number - 1)))
		return;
	snprintf(expected, sizeof(expected), "a power of two from %u to %u", row->min, row->max);
	ek_value_refuse(parse, row, value, "is no power of two", expected);
}

/* clang-format off */
#define LIMIT(member) FIELD(ek_config_limits, member)
static const struct ek_row limits_rows[] = {
	{"backends", ek_value_number,   LIMIT(backends), RANGE(2, EK_BACKENDS_MAX)},
	{"flows",    read_power_of_two, LIMIT(flows),    RANGE(8192, 1u << 28)},
	{"flow-quota",   ek_value_number, LIMIT(flow_quota),   RANGE(1, 100)},
	{"remember-max", ek_value_number, LIMIT(remember_max), RANGE(1, 100)},
	{.key = NULL},
};
/* clang-format on */

static void read_limits(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
			void *out)
{
	ek_schema_mapping(parse, row->key, map, limits_rows, out);
}

/* --- backends -------------------------------------------------------------------------------- */
static const char *family_name(const struct ek_ip *ip)
{
	return ek_ip_is_v4(ip) ? "IPv4" : "IPv6";
}

/* Of the VIP's family; a VIP that was refused (still all zero) is not compared with. */
static bool same_family(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
			const struct ek_ip *ip)
{
	const struct ek_ip *vip = &parse->service->vip;
	char text[EK_IP_TEXT];

	if (ek_ip_is_zero(vip) || ek_ip_family(vip) == ek_ip_family(ip))
		return true;
	ek_parse_error(parse, value, row->key, "%s is %s, expected %s as the service's address",
		       ek_ip_format(ip, text), family_name(ip), family_name(vip));
	return false;
}

static void read_backend_address(struct ek_parse *parse, const struct ek_row *row,
				 const yaml_node_t *value, void *out)
{
	ek_value_address(parse, row, value, out);
	if (!ek_ip_is_zero(out))
		same_family(parse, row, value, out);
}

/* clang-format off */
#define BACKEND(member) FIELD(ek_config_backend, member)
static const struct ek_row backend_rows[] = {
	{"name",    ek_value_name,        BACKEND(name),    REQUIRED, .claim = EK_CLAIM_BACKEND},
	{"address", read_backend_address, BACKEND(address), REQUIRED,
	 .claim = EK_CLAIM_BACKEND_ADDRESS},
	{"weight",  ek_value_number,      BACKEND(weight),  RANGE(0, 1000)},
	{.key = NULL},
};
/* clang-format on */

/* Index 0 of the backend map is no backend. Told once, where the limit is passed. */
static bool count_backends(struct ek_parse *parse, const struct ek_row *row,
			   const yaml_node_t *list)
{
	size_t limit = parse->config->limits.backends, before = parse->n_backends;

	parse->n_backends += ek_schema_length(list);
	if (!limit || parse->n_backends < limit)
		return true;
	if (before < limit)
		ek_parse_error(parse, list, row->key,
			       "%zu backends up to here, expected at most %zu (limits: backends, "
			       "less one)",
			       parse->n_backends, limit - 1);
	return false;
}

static void read_backends(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list,
			  void *out)
{
	struct ek_config_service *service = out;

	service->backends = new_array(parse, row, list, sizeof(service->backends[0]));
	if (!service->backends || !count_backends(parse, row, list))
		return;
	service->n_backends = ek_schema_length(list);
	for (size_t i = 0; i < service->n_backends; i++) {
		const yaml_node_t *item = ek_schema_item(parse, list, i);

		service->backends[i].weight = 100;
		service->backends[i].line = ek_yaml_line(item);
		ek_schema_mapping(parse, row->key, item, backend_rows, &service->backends[i]);
	}
}

/* --- health ---------------------------------------------------------------------------------- */
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
	(void)out;
	if (parse->service->protocol == IPPROTO_UDP && parse->service->check.type != EK_CHECK_NONE)
		ek_parse_error(parse, map, row->key,
			       "the key is missing here: checks use TCP, this service is udp");
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

static void read_check(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
		       void *out)
{
	ek_schema_mapping(parse, row->key, map, check_rows, out);
}

/* --- services -------------------------------------------------------------------------------- */
static void tracking_default(struct ek_parse *parse, const struct ek_row *row,
			     const yaml_node_t *map, void *out)
{
	(void)row, (void)map;
	*(enum ek_tracking *)out = parse->service->protocol == IPPROTO_UDP
					   ? EK_TRACKING_FULL
					   : EK_TRACKING_JUST_ENOUGH;
}

/* Without a handshake nothing tells a flow's first packet from one that is older than a change. */
static void read_tracking(struct ek_parse *parse, const struct ek_row *row,
			  const yaml_node_t *value, void *out)
{
	enum ek_tracking *tracking = out;

	ek_value_choice(parse, row, value, out);
	if (*tracking == EK_TRACKING_JUST_ENOUGH && parse->service->protocol == IPPROTO_UDP)
		ek_value_refuse(parse, row, value,
				"cannot keep its promise for udp, which has no handshake",
				"full or none");
}

/* Whatever tracking stores can be mirrored; without any, the peers learn of ring changes only. */
static void failover_default(struct ek_parse *parse, const struct ek_row *row,
			     const yaml_node_t *map, void *out)
{
	(void)row, (void)map;
	*(enum ek_failover *)out = parse->service->tracking == EK_TRACKING_NONE
					   ? EK_FAILOVER_STATELESS
					   : EK_FAILOVER_STATEFUL;
}

/* A tracking that was refused is neither none nor full, and no reason for a second error. */
static void read_failover(struct ek_parse *parse, const struct ek_row *row,
			  const yaml_node_t *value, void *out)
{
	enum ek_tracking tracking = parse->service->tracking;
	enum ek_failover *failover = out;

	ek_value_choice(parse, row, value, out);
	if (*failover == EK_FAILOVER_STATEFUL && tracking == EK_TRACKING_NONE)
		ek_value_refuse(parse, row, value,
				"has nothing to mirror with tracking: none, which stores no flow",
				"stateless, or another tracking");
	if (*failover == EK_FAILOVER_NONE &&
	    (tracking == EK_TRACKING_NONE || tracking == EK_TRACKING_JUST_ENOUGH))
		ek_value_refuse(parse, row, value,
				"would reset every flow that tracking does not store",
				"tracking: full beside it, which stores all");
}

static const char *unless_source_hash(const struct ek_parse *parse)
{
	return parse->service->method == EK_METHOD_MAGLEV
		       ? "has no meaning with method: maglev, expected method: source-hash"
		       : NULL;
}

/* At least one bit of the last 32-bit word varies per flow, and no bit outside it. */
static void read_outer_source(struct ek_parse *parse, const struct ek_row *row,
			      const yaml_node_t *value, void *out)
{
	static const char expected[] =
		"an IPv4 prefix of /8 to /31 or an IPv6 prefix of /96 to /127";
	struct ek_config_service *service = out;
	const char *text = ek_value_text(parse, row, value, expected);
	struct ek_ip *prefix = &service->outer_source;
	unsigned int *length = &service->outer_source_length;

	if (!text)
		return;
	if (ek_prefix_parse(text, prefix, length)) {
		ek_value_refuse(parse, row, value, "is not a prefix (bits beyond it are zero)",
				expected);
		return;
	}
	if (ek_ip_is_v4(prefix) ? *length < 8 || *length > 31 : *length < 96 || *length > 127)
		ek_value_refuse(parse, row, value, "has the wrong length", expected);
	else if (ek_ip_unusable(prefix))
		ek_value_refuse(parse, row, value, "is no unicast prefix", expected);
	else
		service->outer_source_set = same_family(parse, row, value, prefix);
}

/* clang-format off */
#define TIMEOUT(member) FIELD(ek_config_timeouts, member)
#define SECONDS         RANGE(1, EK_TIMEOUT_MAX), .unit = 1000
static const struct ek_row timeouts_rows[] = {
	{"established", ek_value_duration, TIMEOUT(established), SECONDS},
	{"embryonic",   ek_value_duration, TIMEOUT(embryonic),   SECONDS},
	{"closing",     ek_value_duration, TIMEOUT(closing),     SECONDS},
	{"udp",         ek_value_duration, TIMEOUT(udp),         SECONDS},
	{.key = NULL},
};
/* clang-format on */

static void read_timeouts(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
			  void *out)
{
	ek_schema_mapping(parse, row->key, map, timeouts_rows, out);
}

/* clang-format off */
#define SERVICE(member) FIELD(ek_config_service, member)
#define SOURCE_HASH     .unfit = unless_source_hash
static const struct ek_row service_rows[] = {
	{"name",         ek_value_name,     SERVICE(name),         REQUIRED,
	 .claim = EK_CLAIM_SERVICE},
	{"address",      ek_value_address,  SERVICE(vip),          REQUIRED, .claim = EK_CLAIM_VIP},
	{"port",         ek_value_number,   SERVICE(port),         REQUIRED, RANGE(1, 65535)},
	{"protocol",     ek_value_choice,   SERVICE(protocol),     .choices = protocols},
	{"forward",      ek_value_choice,   SERVICE(forward),      .choices = forwards},
	{"outer-source", read_outer_source, HERE},
	{"method",       ek_value_choice,   SERVICE(method),       .choices = methods},
	{"hash-prefix4", ek_value_number,   SERVICE(hash_prefix4), SOURCE_HASH, RANGE(1, 32)},
	{"hash-prefix6", ek_value_number,   SERVICE(hash_prefix6), SOURCE_HASH, RANGE(1, 128)},
	{"tracking",     read_tracking,     SERVICE(tracking),     .absent = tracking_default,
	 .choices = trackings},
	{"failover",     read_failover,     SERVICE(failover),     .absent = failover_default,
	 .choices = failovers},
	{"timeouts",     read_timeouts,     SERVICE(timeouts)},
	{"health",       read_check,        SERVICE(check),        .absent = type_default},
	{"backends",     read_backends,     HERE,                  REQUIRED,
	 RANGE(1, EK_BACKENDS_MAX - 1)},
	{.key = NULL},
};
/* clang-format on */
_Static_assert(offsetof(struct ek_config_check, type) == 0, "type_default() serves both");

static const struct ek_config_service service_defaults = {
	.protocol = IPPROTO_TCP,
	.forward = EK_FORWARD_IPIP,
	.method = EK_METHOD_MAGLEV,
	.hash_prefix4 = 32,
	.hash_prefix6 = 128,
	.timeouts = {.established = 8100, .embryonic = 60, .closing = 120, .udp = 30},
	.check = {.interval = 1000,
		  .timeout = 500,
		  .rise = 2,
		  .fall = 3,
		  .path = "/",
		  .status_low = 200,
		  .status_high = 299},
};

/* Two services cannot answer for one address, port and protocol. */
static void claim_endpoint(struct ek_parse *parse, const yaml_node_t *item)
{
	const struct ek_config_service *service = parse->service;
	char text[80], vip[EK_IP_TEXT];

	if (ek_ip_is_zero(&service->vip) || !service->port || service->protocol == UINT8_MAX)
		return;
	snprintf(text, sizeof(text), "%s port %u %s", ek_ip_format(&service->vip, vip),
		 service->port, ek_schema_word(protocols, service->protocol));
	ek_parse_claim(parse, EK_CLAIM_ENDPOINT, "address", item, text);
}

static void read_services(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list,
			  void *out)
{
	struct ek_config *config = out;

	config->services = new_array(parse, row, list, sizeof(config->services[0]));
	if (!config->services)
		return;
	config->n_services = ek_schema_length(list);
	for (size_t i = 0; i < config->n_services; i++) {
		const yaml_node_t *item = ek_schema_item(parse, list, i);
		struct ek_config_service *service = &config->services[i];

		*service = service_defaults;
		service->line = ek_yaml_line(item);
		parse->service = service;
		if (ek_schema_mapping(parse, row->key, item, service_rows, service))
			claim_endpoint(parse, item);
	}
	parse->service = NULL;
}

/* --- the file -------------------------------------------------------------------------------- */
static void node_default(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
			 void *out)
{
	char host[256] = "", quoted[EK_VALUE_QUOTED];

	gethostname(host, sizeof(host) - 1);
	if (ek_value_is_name(host))
		strcpy(out, host);
	else
		ek_parse_error(parse, map, row->key,
			       "the host's name '%s' cannot stand for it, expected node: NAME",
			       ek_value_quote(host, quoted));
}

static void read_announce(struct ek_parse *parse, const struct ek_row *row,
			  const yaml_node_t *value, void *out)
{
	bool *announce = out;

	ek_value_flag(parse, row, value, out);
	if (*announce && parse->config->ha.n_instances)
		ek_value_refuse(parse, row, value,
				"cannot stand beside ha: instances, which announce their own VIPs",
				"none; or the VIPs in an instance");
}

/* clang-format off */
#define FILE_KEY(member) FIELD(ek_config, member)
static const struct ek_row file_rows[] = {
	{"node",       ek_value_name,      FILE_KEY(node),      .absent = node_default},
	{"state-dir",  ek_value_file,     FILE_KEY(state_dir)},
	{"hash-key",   ek_value_file,     FILE_KEY(hash_key)},
	{"interfaces", read_interfaces,    HERE,                REQUIRED, RANGE(1, EK_PORTS_MAX)},
	{"limits",     read_limits,        FILE_KEY(limits)},
	{"services",   read_services,      HERE,                REQUIRED,
	 RANGE(0, EK_SERVICES_MAX)},
	{"ha",         ek_schema_ha,       FILE_KEY(ha)},
	{"announce",   read_announce,      FILE_KEY(announce),  .choices = gateway_announces},
	{.key = NULL},
};
/* clang-format on */

void ek_schema_read(struct ek_parse *parse, const yaml_node_t *root)
{
	parse->config->limits = (struct ek_config_limits){
		.backends = 4096, .flows = 1u << 20, .flow_quota = 75, .remember_max = 75};
	ek_schema_mapping(parse, "", root, file_rows, parse->config);
}
