/* SPDX-License-Identifier: GPL-2.0-only */
/* See wildcards.h. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <evenkeel/hash.h>
#include "ip.h"
#include "wildcards.h"

/* An entry as a prefix and a rule. */
struct wild {
	struct ek_ip address;
	unsigned int length;
	struct ek_wildcard_rule rule;
	size_t number; /* among the entries */
};

static struct wild wild_of(const struct ek_service *entry, size_t number, uint16_t slot)
{
	uint16_t first = ntohs(EK_SERVICE_KEY_PORT(entry->key));
	uint16_t last = ntohs(EK_SERVICE_KEY_LAST(entry->key));

	return (struct wild){.address = entry->vip,
			     .length = EK_SERVICE_KEY_LENGTH(entry->key),
			     .rule = {.first = first,
				      .last = last ? last : first,
				      .protocol = EK_SERVICE_KEY_PROTO(entry->key),
				      .slot = slot},
			     .number = number};
}

static int compare_prefix(const struct wild *x, const struct wild *y)
{
	if (x->length != y->length)
		return x->length > y->length ? -1 : 1;
	return ek_ip_compare(&x->address, &y->address);
}

/* By prefix, the longest first; then by how much a rule takes, the least first. */
static int compare(const void *a, const void *b)
{
	const struct wild *x = a, *y = b;
	int width_x = x->rule.last - x->rule.first, width_y = y->rule.last - y->rule.first;
	int order = compare_prefix(x, y);

	if (order)
		return order;
	if (!x->rule.protocol != !y->rule.protocol)
		return x->rule.protocol ? -1 : 1;
	if (width_x != width_y)
		return width_x < width_y ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

static bool covers(const struct wild *wide, const struct wild *narrow)
{
	struct ek_ip masked;

	if (wide->length > narrow->length ||
	    ek_ip_is_v4(&wide->address) != ek_ip_is_v4(&narrow->address))
		return false;
	if (!wide->length)
		return true;
	masked = ek_mask6(&narrow->address, wide->length);
	return ek_ip_equal(&masked, &wide->address);
}

static bool leaves_nothing(const struct ek_wildcard_rule *earlier,
			   const struct ek_wildcard_rule *later)
{
	return (!earlier->protocol || earlier->protocol == later->protocol) &&
	       earlier->first <= later->first && earlier->last >= later->last;
}

static int add_rule(struct ek_wildcard *value, const struct ek_wildcard_rule *rule)
{
	for (size_t i = 0; i < value->n; i++)
		if (leaves_nothing(&value->rule[i], rule))
			return 0;
	if (value->n == EK_WILDCARD_RULES)
		return -ENOSPC;
	value->rule[value->n++] = *rule;
	return 0;
}

static void format(const struct wild *w, char out[EK_IP_TEXT + 4])
{
	char address[EK_IP_TEXT];
	bool v4 = ek_ip_is_v4(&w->address);

	snprintf(out, EK_IP_TEXT + 4, "%s/%u", ek_ip_format(&w->address, address),
		 v4 ? w->length - 96 : w->length);
}

static int fill(struct ek_wildcards_node *node, const struct wild *own, const struct wild *list,
		size_t n, struct ek_error *error)
{
	char prefix[EK_IP_TEXT + 4];

	node->key = (struct ek_wildcard_key){.length = own->length, .address = own->address};
	for (size_t i = 0; i < n; i++)
		if (covers(&list[i], own) && add_rule(&node->value, &list[i].rule)) {
			format(own, prefix);
			ek_error_set(error, "%s: more than %u services have a part in it", prefix,
				     EK_WILDCARD_RULES);
			return -ENOSPC;
		}
	return 0;
}

/* A look-up of ::ffff:192.0.2.1 would find it. */
static bool takes_v4(const struct wild *w)
{
	static const struct ek_ip v4 = {.halves = {0, EK_V4_MAPPED}};
	struct ek_ip masked = v4;

	if (ek_ip_is_v4(&w->address) || w->length > 96)
		return ek_ip_is_v4(&w->address) && w->length < 96;
	if (w->length)
		masked = ek_mask6(&v4, w->length);
	return !w->length || ek_ip_equal(&masked, &w->address);
}

static int check(const struct wild *list, size_t n, struct ek_error *error)
{
	char prefix[EK_IP_TEXT + 4];

	for (size_t i = 0; i < n; i++) {
		if (!takes_v4(&list[i]))
			continue;
		format(&list[i], prefix);
		ek_error_set(error, "%s: too short, the addresses of IPv4 are among its own",
			     prefix);
		return -EINVAL;
	}
	return 0;
}

static int build_nodes(const struct wild *list, size_t n, struct ek_wildcards *out,
		       struct ek_error *error)
{
	int err = check(list, n, error);

	for (size_t i = 0; i < n && !err; i++) {
		if (i && !compare_prefix(&list[i - 1], &list[i]))
			continue;
		if (out->n == EK_WILDCARDS_MAX) {
			ek_error_set(error, "more than %u prefixes", EK_WILDCARDS_MAX);
			return -ENOSPC;
		}
		err = fill(&out->nodes[out->n++], &list[i], list, n, error);
	}
	return err;
}

int ek_wildcards_build(const struct ek_service *entries, const uint16_t *slots, size_t n,
		       struct ek_wildcards *out, struct ek_error *error)
{
	struct wild *list = calloc(n + 1, sizeof(*list));
	int err = -ENOMEM;

	*out = (struct ek_wildcards){.nodes = calloc(n + 1, sizeof(*out->nodes))};
	if (list && out->nodes) {
		for (size_t i = 0; i < n; i++)
			list[i] = wild_of(&entries[i], i, slots ? slots[i] : i);
		qsort(list, n, sizeof(*list), compare);
		err = build_nodes(list, n, out, error);
	}
	free(list);
	if (err)
		ek_wildcards_free(out);
	return err;
}

void ek_wildcards_free(struct ek_wildcards *wildcards)
{
	free(wildcards->nodes);
	*wildcards = (struct ek_wildcards){0};
}
