/* SPDX-License-Identifier: GPL-2.0-only */
/* See dscp_map.h. Called by the options of evenkeel-backend, the file through yaml_document.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "dscp_map.h"
#include "ip.h"
#include "yaml_document.h"

#define VALUE_EXPECTED "expected an IPv4 or IPv6 address, or a list of one of each"

/* Digits only, no leading zero (octal elsewhere). 0: not a code point that can name a VIP. */
static unsigned int parse_id(const char *text, size_t length)
{
	size_t digits = strspn(text, "0123456789");
	unsigned int id = digits <= 2 ? atoi(text) : 0;

	return digits == length && text[0] != '0' && id < EK_DSCPS ? id : 0;
}

/* NULL, or what is wrong with it. */
static const char *add(struct ek_dscp_map *map, unsigned int id, const char *text)
{
	struct ek_ip ip, *row;

	if (!id)
		return "the DSCP is not a number from 1 to 63";
	if (ek_ip_parse(text, &ip))
		return "not an IPv4 or IPv6 address";
	if (ek_ip_unusable(&ip))
		return ek_ip_unusable(&ip);
	row = ek_ip_is_v4(&ip) ? &map->vip4[id] : &map->vip6[id];
	if (!ek_ip_is_zero(row))
		return "this DSCP has a VIP of this family already";
	*row = ip;
	return NULL;
}

int ek_dscp_map_add(struct ek_dscp_map *map, const char *text, struct ek_error *error)
{
	const char *equals = strchr(text, '=');
	const char *problem =
		equals ? add(map, parse_id(text, equals - text), equals + 1) : "not ID=VIP";

	if (problem)
		ek_error_set(error, "%s", problem);
	return problem ? -EINVAL : 0;
}

/* The text of a scalar without a NUL in it, or NULL. */
static const char *scalar(const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;

	return node->type == YAML_SCALAR_NODE && strlen(text) == node->data.scalar.length ? text
											  : NULL;
}

static void refuse(struct ek_errors *errors, const yaml_node_t *node, const char *problem)
{
	ek_errors_add(errors, ek_yaml_line(node), ek_yaml_column(node), "dscp", "%s", problem);
}

static void parse_vip(struct ek_dscp_map *map, unsigned int id, const yaml_node_t *value,
		      struct ek_errors *errors)
{
	const char *text = scalar(value);
	const char *problem = text ? add(map, id, text) : VALUE_EXPECTED;

	if (problem)
		refuse(errors, value, problem);
}

static void parse_row(struct ek_dscp_map *map, yaml_document_t *document,
		      const yaml_node_pair_t *pair, struct ek_errors *errors)
{
	const yaml_node_t *key = yaml_document_get_node(document, pair->key);
	const yaml_node_t *value = yaml_document_get_node(document, pair->value);
	unsigned int id = scalar(key) ? parse_id(scalar(key), key->data.scalar.length) : 0;

	if (!id) {
		refuse(errors, key, "the DSCP is not a number from 1 to 63");
	} else if (value->type != YAML_SEQUENCE_NODE) {
		parse_vip(map, id, value, errors);
	} else {
		const yaml_node_item_t *item = value->data.sequence.items.start;

		if (item == value->data.sequence.items.top)
			refuse(errors, value, VALUE_EXPECTED);
		for (; item < value->data.sequence.items.top; item++)
			parse_vip(map, id, yaml_document_get_node(document, *item), errors);
	}
}

static void parse_rows(struct ek_dscp_map *map, yaml_document_t *document, const yaml_node_t *rows,
		       struct ek_errors *errors)
{
	const yaml_node_pair_t *pair;

	if (rows->type != YAML_MAPPING_NODE) {
		refuse(errors, rows, "expected a mapping of DSCP to VIP");
		return;
	}
	pair = rows->data.mapping.pairs.start;
	if (pair == rows->data.mapping.pairs.top)
		refuse(errors, rows, "no VIP, expected a mapping of DSCP to VIP");
	for (; pair < rows->data.mapping.pairs.top; pair++)
		parse_row(map, document, pair, errors);
}

static void parse_root(struct ek_dscp_map *map, yaml_document_t *document, struct ek_errors *errors)
{
	const yaml_node_t *root = yaml_document_get_root_node(document), *key;
	const yaml_node_pair_t *pair;
	bool seen = false;

	if (root->type != YAML_MAPPING_NODE) {
		refuse(errors, root, "expected the key 'dscp'");
		return;
	}
	for (pair = root->data.mapping.pairs.start; pair < root->data.mapping.pairs.top; pair++) {
		key = yaml_document_get_node(document, pair->key);
		if (!scalar(key) || strcmp(scalar(key), "dscp"))
			refuse(errors, key, "another key, expected 'dscp' only");
		else if (seen)
			refuse(errors, key, "given twice");
		else
			parse_rows(map, document, yaml_document_get_node(document, pair->value),
				   errors);
		seen |= scalar(key) && !strcmp(scalar(key), "dscp");
	}
	if (!seen)
		refuse(errors, root, "missing");
}

int ek_dscp_map_parse(struct ek_dscp_map *map, const char *text, size_t length,
		      struct ek_errors *errors)
{
	size_t before = errors->count;
	yaml_document_t document;
	int err = ek_yaml_load(text, length, &document, errors);

	if (err)
		return err;
	parse_root(map, &document, errors);
	yaml_document_delete(&document);
	return errors->count > before ? -EINVAL : 0;
}
