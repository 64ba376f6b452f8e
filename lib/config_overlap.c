/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether the data plane can tell all services of a file apart. It looks for the entry of a
 * packet's address, port and protocol; then for the longest prefix, in it for the narrowest range
 * of ports, and of equal ones for the named protocol before any. Refused is what has no place in
 * this order: ranges of one prefix that overlap in part, and more rules than a prefix has room for.
 * What is equal in everything is refused by config.c. Called there, when all is read.
 */
#include <stdlib.h>
#include <string.h>
#include "config_schema.h"
#include "ip.h"

static int compare(unsigned int a, unsigned int b)
{
	return (a > b) - (a < b);
}

static int compare_lines(const struct ek_place *a, const struct ek_place *b)
{
	return compare(a->line, b->line) ?: compare(a->column, b->column);
}

static int compare_vips(const struct ek_config_vip *a, const struct ek_config_vip *b)
{
	return ek_ip_compare(&a->address, &b->address) ?: compare(a->length, b->length);
}

/* A prefix comes before those that it covers. */
static int by_prefix(const void *left, const void *right)
{
	const struct ek_place *a = left, *b = right;

	return compare_vips(&a->entry.vip, &b->entry.vip)
		       ?: compare(a->entry.protocol, b->entry.protocol)
		       ?: compare(a->entry.port, b->entry.port)
		       ?: compare_lines(a, b);
}

static const char *format_vip(const struct ek_place *place, char out[EK_PREFIX_TEXT])
{
	return ek_prefix_format(&place->entry.vip.address, place->entry.vip.length, out);
}

#define refuse(parse, place, key, ...) \
	ek_errors_add((parse)->errors, (place)->line, (place)->column, key, __VA_ARGS__)

/* --- ranges of one prefix and protocol ------------------------------------------------------- */
/* a begins first, or with b. */
static bool cross(const struct ek_config_entry *a, const struct ek_config_entry *b)
{
	return a->port < b->port && b->port <= a->port_last && a->port_last < b->port_last;
}

static void refuse_crossing(struct ek_parse *parse, const struct ek_place *a,
			    const struct ek_place *b)
{
	const struct ek_place *first = compare_lines(a, b) < 0 ? a : b, *place = first == a ? b : a;
	char vip[EK_PREFIX_TEXT], ports[EK_PORTS_TEXT], others[EK_PORTS_TEXT];

	refuse(parse, place, "port",
	       "%s of %s crosses %s of the service on line %u, expected ranges that lie apart or "
	       "one within the other",
	       ek_config_ports_text(place->service, ports), format_vip(place, vip),
	       ek_config_ports_text(first->service, others), first->line);
}

static void check_ranges(struct ek_parse *parse)
{
	const struct ek_place *places = parse->places;

	for (size_t i = 0, group = 0; i < parse->n_places; i++) {
		if (compare_vips(&places[i].entry.vip, &places[group].entry.vip) ||
		    places[i].entry.protocol != places[group].entry.protocol)
			group = i;
		for (size_t j = group; j < i; j++)
			if (cross(&places[j].entry, &places[i].entry)) {
				refuse_crossing(parse, &places[j], &places[i]);
				break;
			}
	}
}

/* --- rules of a prefix ----------------------------------------------------------------------- */
static bool covers(const struct ek_config_vip *prefix, const struct ek_config_vip *vip)
{
	struct ek_ip masked = ek_ip_mask(&vip->address, prefix->length);

	return prefix->length <= vip->length && ek_ip_equal(&masked, &prefix->address);
}

/* A prefix, and how many rules apply to it. */
struct covering {
	const struct ek_config_vip *vip;
	size_t rules;
};

/* Counts the prefix that begins at places[i]. Returns where the next one does. */
static size_t count_rules(struct ek_parse *parse, size_t i, struct covering *prefix)
{
	const struct ek_place *last = NULL;
	size_t before = prefix->rules;
	char vip[EK_PREFIX_TEXT];

	prefix->vip = &parse->places[i].entry.vip;
	for (; i < parse->n_places; i++) {
		const struct ek_place *place = &parse->places[i];

		if (compare_vips(&place->entry.vip, prefix->vip))
			break;
		if (ek_config_entry_is_exact(&place->entry))
			continue;
		prefix->rules++;
		if (!last || compare_lines(last, place) < 0)
			last = place;
	}
	if (last && before <= EK_WILDCARD_RULES && prefix->rules > EK_WILDCARD_RULES)
		refuse(parse, last, "address",
		       "%zu prefixes, ranges of ports and protocols apply to %s, with those of "
		       "prefixes around it, expected at most %u",
		       prefix->rules, format_vip(last, vip), EK_WILDCARD_RULES);
	return i;
}

/* The prefixes around the present one are of different lengths, so there are not more of them. */
static void check_rules(struct ek_parse *parse)
{
	struct covering stack[129];
	size_t depth = 0;

	for (size_t i = 0; i < parse->n_places;) {
		while (depth && !covers(stack[depth - 1].vip, &parse->places[i].entry.vip))
			depth--;
		stack[depth].rules = depth ? stack[depth - 1].rules : 0;
		i = count_rules(parse, i, &stack[depth]);
		depth++;
	}
}

void ek_config_check_overlaps(struct ek_parse *parse)
{
	if (!parse->n_places)
		return;
	qsort(parse->places, parse->n_places, sizeof(parse->places[0]), by_prefix);
	check_ranges(parse);
	check_rules(parse);
}
