/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration's schema: a table of rows for each mapping of the file, and the walk over a
 * mapping or list by its table. evenkeel.yaml(5) describes the same keys in the same order. The
 * tables of services and of the `ha` section are in files of their own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "config_schema.h"
#include "ip.h"

#define ROWS_MAX       24
#define KEY_LENGTH_MAX 32

/* --- words ----------------------------------------------------------------------------------- */
/* clang-format off */
static const struct ek_choice xdp_modes[] = {
	WORD("auto", EK_XDP_AUTO),
	WORD("native", EK_XDP_NATIVE),
	WORD("generic", EK_XDP_GENERIC),
	{.name = NULL},
};
static const struct ek_choice gateway_announces[] = {
	WORD("arp", true),
	WORD("none", false),
	{.name = NULL},
};
/* clang-format on */
const struct ek_choice ek_schema_booleans[] = {
	WORD("true", true),
	WORD("false", false),
	{.name = NULL},
};

const char *ek_schema_word(const struct ek_choice *choices, unsigned int value)
{
	for (; choices->name; choices++)
		if (choices->value == value)
			return choices->name;
	return "?";
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
	char quoted[EK_VALUE_QUOTED], known[256];
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

void *ek_schema_array(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list,
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

	config->interfaces = ek_schema_array(parse, row, list, sizeof(config->interfaces[0]));
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

/* --- icmp ------------------------------------------------------------------------------------ */
/* clang-format off */
#define ICMP(member) FIELD(ek_config_icmp, member)
static const struct ek_row icmp_rows[] = {
	{"echo",       ek_value_flag,   ICMP(echo),       .choices = ek_schema_booleans},
	{"echo-rate",  ek_value_number, ICMP(echo_rate),  RANGE(1, 1000000)},
	{"error-rate", ek_value_number, ICMP(error_rate), RANGE(1, 1000000)},
	{.key = NULL},
};
/* clang-format on */

static void read_icmp(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
		      void *out)
{
	ek_schema_mapping(parse, row->key, map, icmp_rows, out);
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
	{"icmp",       read_icmp,          FILE_KEY(icmp)},
	{"services",   ek_schema_services, HERE,                REQUIRED,
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
	parse->config->icmp =
		(struct ek_config_icmp){.echo = true, .echo_rate = 1000, .error_rate = 100};
	ek_schema_mapping(parse, "", root, file_rows, parse->config);
}
