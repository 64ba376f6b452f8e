/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration file: reads it whole, has it parsed by the schema, and then checks what only
 * the whole shows: names and addresses that stand twice, a backend or node that is a VIP, an
 * instance of a VIP that is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "config_schema.h"
#include "ip.h"

/* --- uniqueness ------------------------------------------------------------------------------ */
void ek_parse_claim(struct ek_parse *parse, enum ek_claim_kind kind, const char *key,
		    const yaml_node_t *node, const char *text)
{
	struct ek_claim *claim;

	if (parse->n_claims == parse->room) {
		size_t room = parse->room ? 2 * parse->room : 64;
		struct ek_claim *claims = reallocarray(parse->claims, room, sizeof(*claims));

		if (!claims) {
			ek_parse_error(parse, node, key, "%s", strerror(ENOMEM));
			return;
		}
		parse->claims = claims;
		parse->room = room;
	}
	claim = &parse->claims[parse->n_claims++];
	*claim = (struct ek_claim){.kind = kind,
				   .line = ek_yaml_line(node),
				   .column = ek_yaml_column(node),
				   .key = key};
	if (kind >= EK_CLAIM_BACKEND)
		claim->owner = parse->service - parse->config->services;
	if (kind == EK_CLAIM_TOS)
		claim->vip = parse->service->vip;
	strncpy(claim->text, text, sizeof(claim->text) - 1);
}

static int compare_texts(const void *left, const void *right)
{
	const struct ek_claim *a = left, *b = right;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->owner != b->owner)
		return a->owner < b->owner ? -1 : 1;
	return strcmp(a->text, b->text);
}

static int compare_claims(const void *left, const void *right)
{
	const struct ek_claim *a = left, *b = right;
	int order = compare_texts(a, b);

	if (order)
		return order;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->column < b->column ? -1 : a->column > b->column;
}

static const char *claim_name(enum ek_claim_kind kind)
{
	switch (kind) {
	case EK_CLAIM_INTERFACE:
		return "interface";
	case EK_CLAIM_SERVICE:
		return "service name";
	case EK_CLAIM_ENDPOINT:
		return "service";
	case EK_CLAIM_NODE_ADDRESS:
		return "node address";
	case EK_CLAIM_PEER:
		return "peer name";
	case EK_CLAIM_SET:
		return "set";
	case EK_CLAIM_INSTANCE:
		return "instance name";
	case EK_CLAIM_VRID:
		return "vrid";
	case EK_CLAIM_INSTANCE_VIP:
		return "VIP of an instance";
	case EK_CLAIM_BACKEND:
		return "backend name";
	case EK_CLAIM_BACKEND_ADDRESS:
		return "backend address";
	default:
		return "?";
	}
}

static void refuse_claim(struct ek_parse *parse, const struct ek_claim *claim,
			 const struct ek_claim *first)
{
	char vip[EK_IP_TEXT], other[EK_IP_TEXT];

	if (claim->kind == EK_CLAIM_TOS)
		ek_errors_add(parse->errors, claim->line, claim->column, claim->key,
			      "%s stands for %s already (line %u), expected another for %s",
			      claim->text, ek_ip_format(&first->vip, other), first->line,
			      ek_ip_format(&claim->vip, vip));
	else
		ek_errors_add(parse->errors, claim->line, claim->column, claim->key,
			      "duplicate %s '%s', first on line %u", claim_name(claim->kind),
			      claim->text, first->line);
}

static bool may_stand_twice(const struct ek_claim *claim, const struct ek_claim *first)
{
	return claim->kind == EK_CLAIM_VIP ||
	       (claim->kind == EK_CLAIM_TOS && ek_ip_equal(&claim->vip, &first->vip));
}

/* Length of the longest prefix of a service that has the address, or 0: no service has it. */
static unsigned int vip_length(const struct ek_parse *parse, const char *text)
{
	struct ek_claim wanted = {.kind = EK_CLAIM_VIP};
	struct ek_ip ip, prefix;

	if (ek_ip_parse(text, &ip))
		return 0;
	for (unsigned int length = 128; length; length--) {
		if (!parse->vip_lengths[length])
			continue;
		prefix = ek_ip_mask(&ip, length);
		ek_prefix_format(&prefix, length, wanted.text);
		if (bsearch(&wanted, parse->claims, parse->n_claims, sizeof(wanted), compare_texts))
			return length;
	}
	return 0;
}

/* A service whose address was refused may be the one that is meant. */
static bool vips_known(const struct ek_parse *parse)
{
	for (size_t i = 0; i < parse->config->n_services; i++) {
		const struct ek_config_service *service = &parse->config->services[i];

		for (size_t j = 0; j < service->n_addresses; j++)
			if (ek_ip_is_zero(&service->addresses[j].address))
				return false;
		if (!service->n_addresses)
			return false;
	}
	return true;
}

/* What one claim must be, whatever the others of its kind are: NULL, or what it is instead. */
static const char *misfit(const struct ek_parse *parse, const struct ek_claim *claim)
{
	unsigned int length;

	switch (claim->kind) {
	case EK_CLAIM_BACKEND_ADDRESS:
		/* The data plane would send what it encapsulated for it to itself. */
		length = vip_length(parse, claim->text);
		if (length == 128)
			return "is a service's address, expected the backend's own";
		return length ? "is in a service's prefix, expected one outside of it" : NULL;
	case EK_CLAIM_NODE_ADDRESS:
		/* It moves from node to node. */
		length = vip_length(parse, claim->text);
		if (length == 128)
			return "is a service's address, expected a node's own";
		return length ? "is in a service's prefix, expected one outside of it" : NULL;
	case EK_CLAIM_PEER:
		return strcmp(claim->text, parse->config->node)
			       ? NULL
			       : "is this node's own name, expected the peer's `node`";
	case EK_CLAIM_INSTANCE_VIP:
		length = vip_length(parse, claim->text);
		if (length == 128 || (!length && !vips_known(parse)))
			return NULL;
		return length ? "is only in a service's prefix, expected it beside the prefix"
			      : "is no service's address, expected one of those in `services`";
	default:
		return NULL;
	}
}

static void check_claims(struct ek_parse *parse)
{
	const struct ek_claim *first = parse->claims;

	if (!parse->n_claims)
		return;
	qsort(parse->claims, parse->n_claims, sizeof(parse->claims[0]), compare_claims);
	for (size_t i = 0; i < parse->n_claims; i++) {
		const struct ek_claim *claim = &parse->claims[i];
		const char *why = misfit(parse, claim);

		if (why)
			ek_errors_add(parse->errors, claim->line, claim->column, claim->key,
				      "'%s' %s", claim->text, why);
		if (!i || compare_texts(first, claim))
			first = claim;
		else if (!may_stand_twice(claim, first))
			refuse_claim(parse, claim, first);
	}
}

/* --- entry points ---------------------------------------------------------------------------- */
static struct ek_config *parse_document(yaml_document_t *document, struct ek_errors *errors)
{
	struct ek_parse parse = {.document = document, .errors = errors};

	parse.config = calloc(1, sizeof(*parse.config));
	if (!parse.config) {
		ek_errors_add(errors, 0, 0, "", "%s", strerror(ENOMEM));
		return NULL;
	}
	ek_schema_read(&parse, yaml_document_get_root_node(document));
	check_claims(&parse);
	ek_config_check_overlaps(&parse);
	free(parse.claims);
	free(parse.places);
	return parse.config;
}

struct ek_config *ek_config_parse(const char *text, size_t length, struct ek_errors *errors)
{
	struct ek_config *config;
	yaml_document_t document;

	*errors = (struct ek_errors){.count = 0};
	if (length > EK_CONFIG_MAX) {
		ek_errors_add(errors, 0, 0, "", "the file is too large, expected at most %u bytes",
			      EK_CONFIG_MAX);
		return NULL;
	}
	if (ek_yaml_load(text, length, &document, errors)) {
		ek_errors_sort(errors);
		return NULL;
	}
	config = parse_document(&document, errors);
	yaml_document_delete(&document);
	if (!errors->count)
		return config;
	ek_errors_sort(errors);
	ek_config_free(config);
	return NULL;
}

/* Fills at most `size` bytes. The number read, or -errno. */
static ssize_t read_all(int fd, char *out, size_t size)
{
	size_t length = 0;
	ssize_t n;

	while (length < size) {
		n = read(fd, out + length, size - length);
		if (!n)
			break;
		if (n > 0)
			length += n;
		else if (errno != EINTR)
			return -errno;
	}
	return length;
}

/* One byte more than is allowed is enough to know that a file is too large. */
static ssize_t read_file(const char *path, char **out)
{
	ssize_t length;
	char *text;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	text = malloc(EK_CONFIG_MAX + 2);
	length = text ? read_all(fd, text, EK_CONFIG_MAX + 1) : -ENOMEM;
	close(fd);
	if (length < 0)
		free(text);
	else
		*out = text;
	return length;
}

char *ek_config_read(const char *path, size_t *out_length, struct ek_errors *errors)
{
	char *text = NULL;
	ssize_t length = read_file(path, &text);

	if (length < 0) {
		*errors = (struct ek_errors){.count = 0};
		ek_errors_add(errors, 0, 0, "", "cannot be read: %s", strerror(-length));
		return NULL;
	}
	text[length] = '\0';
	*out_length = length;
	return text;
}

struct ek_config *ek_config_load(const char *path, struct ek_errors *errors)
{
	struct ek_config *config;
	size_t length;
	char *text = ek_config_read(path, &length, errors);

	if (!text)
		return NULL;
	config = ek_config_parse(text, length, errors);
	free(text);
	return config;
}

void ek_config_free(struct ek_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->n_services; i++)
		free(config->services[i].backends);
	free(config->services);
	free(config->interfaces);
	free(config);
}

/* --- entries of a service -------------------------------------------------------------------- */

bool ek_config_entry_is_exact(const struct ek_config_entry *entry)
{
	return entry->vip.length == 128 && entry->port == entry->port_last && entry->protocol;
}

uint64_t ek_config_entry_key(const struct ek_config_entry *entry)
{
	if (ek_config_entry_is_exact(entry))
		return EK_SERVICE_KEY(htons(entry->port), entry->protocol, EK_SERVICE_LIVE);
	return EK_SERVICE_WILD_KEY(htons(entry->port), entry->protocol, htons(entry->port_last),
				   entry->vip.length);
}

size_t ek_config_entries(const struct ek_config_service *service, struct ek_config_entry *out)
{
	size_t n = 0;

	for (size_t i = 0; i < service->n_addresses; i++) {
		const struct ek_config_entry entry = {.vip = service->addresses[i],
						      .port = service->port,
						      .port_last = service->port_last,
						      .protocol = service->protocol};

		out[n++] = entry;
		if (!service->udp_too)
			continue;
		out[n] = entry;
		out[n++].protocol = IPPROTO_UDP;
	}
	return n;
}
