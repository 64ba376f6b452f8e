/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The schema of `services`: where a service is found, how it forwards, and its backends. Called by
 * config_schema.c; health checks are in config_schema_health.c, and what depends on other services
 * is checked by config.c and config_overlap.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config_schema.h"
#include "ip.h"

#define REFUSED	    UINT8_MAX /* as a protocol: no error about another key follows from it */
#define TCP_AND_UDP 256
/* Entries of all services: with a VIP each they fill a quarter of the data plane's table. */
#define ENTRIES_MAX (EK_SERVICE_SLOTS / 8)

/* --- words ----------------------------------------------------------------------------------- */
/* clang-format off */
static const struct ek_choice protocols[] = {
	WORD("tcp", IPPROTO_TCP),
	WORD("udp", IPPROTO_UDP),
	WORD("tcp+udp", TCP_AND_UDP),
	WORD("any", 0),
	{.name = NULL},
};
static const struct ek_choice forwards[] = {
	WORD("ipip", EK_FORWARD_IPIP),
	WORD("gue", EK_FORWARD_GUE),
	WORD("tos", EK_FORWARD_TOS),
	WORD("l2", EK_FORWARD_L2),
	WORD("local", EK_FORWARD_LOCAL),
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
/* clang-format on */

const char *ek_config_protocol_name(const struct ek_config_service *service)
{
	return ek_schema_word(protocols, service->udp_too ? TCP_AND_UDP : service->protocol);
}

const char *ek_config_ports_text(const struct ek_config_service *service, char out[EK_PORTS_TEXT])
{
	if (!service->port)
		strcpy(out, "any");
	else if (service->port == service->port_last)
		snprintf(out, EK_PORTS_TEXT, "%u", service->port);
	else
		snprintf(out, EK_PORTS_TEXT, "%u-%u", service->port, service->port_last);
	return out;
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

/* --- where it is found ----------------------------------------------------------------------- */
static bool stands_before(const struct ek_config_service *service, size_t i)
{
	const struct ek_config_vip *vip = &service->addresses[i];

	for (size_t j = 0; j < i; j++)
		if (vip->length == service->addresses[j].length &&
		    ek_ip_equal(&vip->address, &service->addresses[j].address))
			return true;
	return false;
}

/* The i-th address; one that was refused is zero. */
static void read_vip(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		     size_t i)
{
	struct ek_config_service *service = parse->service;
	struct ek_config_vip *vip = &service->addresses[i];
	char text[EK_PREFIX_TEXT];

	ek_value_vip(parse, row, value, vip);
	if (ek_ip_is_zero(&vip->address))
		return;
	if (stands_before(service, i)) {
		ek_value_refuse(parse, row, value, "stands here twice", "each address once");
		memset(vip, 0, sizeof(*vip));
		return;
	}
	parse->vip_lengths[vip->length] = true;
	ek_parse_claim(parse, EK_CLAIM_VIP, row->key, value,
		       ek_prefix_format(&vip->address, vip->length, text));
}

static void read_addresses(struct ek_parse *parse, const struct ek_row *row,
			   const yaml_node_t *value, void *out)
{
	struct ek_config_service *service = out;
	bool list = value->type == YAML_SEQUENCE_NODE;

	if (list && !ek_schema_list(parse, row, value))
		return;
	service->n_addresses = list ? ek_schema_length(value) : 1;
	for (size_t i = 0; i < service->n_addresses; i++)
		read_vip(parse, row, list ? ek_schema_item(parse, value, i) : value, i);
	service->vip = service->addresses[0].address;
}

static void read_protocol(struct ek_parse *parse, const struct ek_row *row,
			  const yaml_node_t *value, void *out)
{
	struct ek_config_service *service = out;
	struct ek_row word = *row;
	unsigned int chosen;

	word.size = sizeof(chosen);
	ek_value_choice(parse, &word, value, &chosen);
	service->udp_too = chosen == TCP_AND_UDP;
	if (chosen == UINT32_MAX)
		service->protocol = REFUSED;
	else
		service->protocol = service->udp_too ? IPPROTO_TCP : chosen;
}

/* Without a protocol there is no telling where ports stand, or whether. */
static void read_ports(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		       void *out)
{
	const struct ek_config_service *service = parse->service;

	ek_value_ports(parse, row, value, out);
	if (!service->protocol && service->port)
		ek_value_refuse(parse, row, value, "cannot stand beside protocol: any",
				"any; or protocol: tcp, udp or tcp+udp");
}

static void ports_default(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
			  void *out)
{
	if (parse->service->protocol)
		ek_schema_required(parse, row, map, out);
	else
		parse->service->port_last = UINT16_MAX;
}

/* --- how it forwards ------------------------------------------------------------------------- */
static const char *family_name(const struct ek_ip *ip)
{
	return ek_ip_is_v4(ip) ? "IPv4" : "IPv6";
}

/* An address that was refused is of no family. */
static bool is_dual_stack(const struct ek_config_service *service)
{
	bool found[2] = {false, false};

	for (size_t i = 0; i < service->n_addresses; i++)
		if (!ek_ip_is_zero(&service->addresses[i].address))
			found[ek_ip_is_v4(&service->addresses[i].address)] = true;
	return found[0] && found[1];
}

static bool has_prefix(const struct ek_config_service *service)
{
	for (size_t i = 0; i < service->n_addresses; i++)
		if (service->addresses[i].length && service->addresses[i].length < 128)
			return true;
	return false;
}

/*
 * A backend has one address, so that tos and l2 lead packets of one family to it; and by tos all
 * that is left of the VIP is a number.
 */
static void read_forward(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
			 void *out)
{
	const struct ek_config_service *service = parse->service;
	const char *problem = NULL, *expected = "another method, or a service for each of them";
	enum ek_forward *forward = out;

	ek_value_choice(parse, row, value, out);
	if (*forward != EK_FORWARD_TOS && *forward != EK_FORWARD_L2)
		return;
	if (is_dual_stack(service)) {
		problem = "cannot carry both families to a backend, which has one address";
		expected = "another method, or a service for each family";
	} else if (*forward == EK_FORWARD_TOS && has_prefix(service)) {
		problem = "would lose which address of the prefix a packet is for";
	} else if (*forward == EK_FORWARD_TOS && service->n_addresses > 1) {
		problem = "would lose which of the addresses a packet is for";
	}
	if (!problem)
		return;
	ek_value_refuse(parse, row, value, problem, expected);
	*forward = (enum ek_forward)UINT32_MAX;
}

/* What was refused is no method, and no reason for a second error. */
static bool forwards_otherwise(const struct ek_parse *parse, enum ek_forward forward)
{
	return parse->service->forward <= EK_FORWARD_LOCAL && parse->service->forward != forward;
}

static const char *unless_tos(const struct ek_parse *parse)
{
	return forwards_otherwise(parse, EK_FORWARD_TOS)
		       ? "has no meaning with another method, expected forward: tos"
		       : NULL;
}

static const char *unless_gue(const struct ek_parse *parse)
{
	return forwards_otherwise(parse, EK_FORWARD_GUE)
		       ? "has no meaning with another method, expected forward: gue"
		       : NULL;
}

static const char *unless_tunnel(const struct ek_parse *parse)
{
	return forwards_otherwise(parse, EK_FORWARD_IPIP) &&
			       forwards_otherwise(parse, EK_FORWARD_GUE)
		       ? "has no meaning without an outer header, expected forward: ipip or gue"
		       : NULL;
}

static const char *unless_tcp(const struct ek_parse *parse)
{
	return !parse->service->protocol || parse->service->protocol == IPPROTO_UDP
		       ? "has no meaning here, expected protocol: tcp or tcp+udp"
		       : NULL;
}

static void tos_default(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
			void *out)
{
	(void)out;
	if (parse->service->forward == EK_FORWARD_TOS)
		ek_parse_error(parse, map, row->key,
			       "the key is missing here: forward: tos needs a number from 1 to 63 "
			       "that names the service's address to the backends");
}

/* clang-format off */
#define SERVICE(member) FIELD(ek_config_service, member)
static const struct ek_row gue_rows[] = {
	{"port",    ek_value_number, SERVICE(gue_port),    RANGE(1, 65535)},
	{"variant", ek_value_number, SERVICE(gue_variant), RANGE(0, 1)},
	{.key = NULL},
};
/* clang-format on */

static void read_gue(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
		     void *out)
{
	ek_schema_mapping(parse, row->key, map, gue_rows, out);
}

/* At least one bit of the last 32-bit word varies per flow, and no bit outside it. */
static bool read_outer_prefix(struct ek_parse *parse, const struct ek_row *row,
			      const yaml_node_t *value, struct ek_config_service *service)
{
	static const char expected[] =
		"an IPv4 prefix of /8 to /31 or an IPv6 prefix of /96 to /127";
	const char *text = ek_value_text(parse, row, value, expected), *problem = NULL;
	struct ek_ip *prefix = &service->outer_source;
	unsigned int *length = &service->outer_source_length;

	if (!text)
		return false;
	if (ek_prefix_parse(text, prefix, length))
		problem = "is not a prefix (bits beyond it are zero)";
	else if (ek_ip_is_v4(prefix) ? *length < 8 || *length > 31 : *length < 96 || *length > 127)
		problem = "has the wrong length";
	else if (ek_ip_unusable(prefix))
		problem = "is no unicast prefix";
	if (problem)
		ek_value_refuse(parse, row, value, problem, expected);
	return !problem;
}

/* Both addresses of the outer header are of one family. */
static void read_outer_source(struct ek_parse *parse, const struct ek_row *row,
			      const yaml_node_t *value, void *out)
{
	struct ek_config_service *service = out;
	const struct ek_ip *prefix = &service->outer_source;
	char text[EK_IP_TEXT], other[EK_IP_TEXT];

	service->outer_source_set = read_outer_prefix(parse, row, value, service);
	for (size_t i = 0; service->outer_source_set && i < service->n_backends; i++) {
		const struct ek_ip *backend = &service->backends[i].address;

		if (ek_ip_is_zero(backend) || ek_ip_family(backend) == ek_ip_family(prefix))
			continue;
		ek_parse_error(parse, value, row->key, "%s is %s, expected %s as the backend %s",
			       ek_ip_format(prefix, text), family_name(prefix),
			       family_name(backend), ek_ip_format(backend, other));
		return;
	}
}

/* --- backends -------------------------------------------------------------------------------- */
/* The packet keeps its family, unless an outer header goes around it or it stays here. */
static void check_family(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
			 const struct ek_ip *ip)
{
	const struct ek_config_service *service = parse->service;
	char text[EK_IP_TEXT];

	if ((service->forward != EK_FORWARD_TOS && service->forward != EK_FORWARD_L2) ||
	    ek_ip_is_zero(&service->vip) || ek_ip_family(&service->vip) == ek_ip_family(ip))
		return;
	ek_parse_error(parse, value, row->key,
		       "%s is %s, expected %s as the service's address with forward: %s",
		       ek_ip_format(ip, text), family_name(ip), family_name(&service->vip),
		       ek_forward_name(service->forward));
}

/* The backend finds the VIP by the number alone. */
static void claim_tos(struct ek_parse *parse, const yaml_node_t *value, const struct ek_ip *ip)
{
	const struct ek_config_service *service = parse->service;
	char text[80], address[EK_IP_TEXT];

	if (service->forward != EK_FORWARD_TOS || !service->tos || ek_ip_is_zero(&service->vip))
		return;
	snprintf(text, sizeof(text), "%u toward %s", service->tos, ek_ip_format(ip, address));
	ek_parse_claim(parse, EK_CLAIM_TOS, "tos", value, text);
}

static void read_backend_address(struct ek_parse *parse, const struct ek_row *row,
				 const yaml_node_t *value, void *out)
{
	ek_value_address(parse, row, value, out);
	if (ek_ip_is_zero(out))
		return;
	check_family(parse, row, value, out);
	claim_tos(parse, value, out);
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

	service->backends = ek_schema_array(parse, row, list, sizeof(service->backends[0]));
	if (!service->backends || !count_backends(parse, row, list))
		return;
	if (service->forward == EK_FORWARD_LOCAL && ek_schema_length(list) > 1)
		ek_parse_error(parse, list, row->key,
			       "a list of %zu, expected one: forward: local delivers to this host, "
			       "which is its only backend",
			       ek_schema_length(list));
	service->n_backends = ek_schema_length(list);
	for (size_t i = 0; i < service->n_backends; i++) {
		const yaml_node_t *item = ek_schema_item(parse, list, i);

		service->backends[i].weight = 100;
		service->backends[i].line = ek_yaml_line(item);
		ek_schema_mapping(parse, row->key, item, backend_rows, &service->backends[i]);
	}
}

/* --- services -------------------------------------------------------------------------------- */
static void method_default(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
			   void *out)
{
	(void)row, (void)map;
	if (!parse->service->protocol)
		*(enum ek_method *)out = EK_METHOD_SOURCE_HASH;
}

static void read_method(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
			void *out)
{
	enum ek_method *method = out;

	ek_value_choice(parse, row, value, out);
	if (*method == EK_METHOD_MAGLEV && !parse->service->protocol)
		ek_value_refuse(parse, row, value,
				"hashes ports, which protocol: any does not look at",
				"source-hash");
}

/* Of UDP, alone or beside TCP, or of protocols that are not looked into. */
static bool has_datagrams(const struct ek_config_service *service)
{
	return service->protocol == IPPROTO_UDP || !service->protocol || service->udp_too;
}

static void tracking_default(struct ek_parse *parse, const struct ek_row *row,
			     const yaml_node_t *map, void *out)
{
	(void)row, (void)map;
	*(enum ek_tracking *)out =
		has_datagrams(parse->service) ? EK_TRACKING_FULL : EK_TRACKING_JUST_ENOUGH;
}

/* Without a handshake nothing tells a flow's first packet from one that is older than a change. */
static void read_tracking(struct ek_parse *parse, const struct ek_row *row,
			  const yaml_node_t *value, void *out)
{
	enum ek_tracking *tracking = out;

	ek_value_choice(parse, row, value, out);
	if (*tracking == EK_TRACKING_JUST_ENOUGH && has_datagrams(parse->service))
		ek_value_refuse(parse, row, value,
				parse->service->protocol ? "cannot keep its promise for udp, which "
							   "has no handshake"
							 : "cannot keep its promise for any "
							   "protocol: most have no handshake",
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
#define SOURCE_HASH     .unfit = unless_source_hash
static const struct ek_row service_rows[] = {
	{"name",         ek_value_name,     SERVICE(name),         REQUIRED,
	 .claim = EK_CLAIM_SERVICE},
	{"address",      read_addresses,    HERE,                  REQUIRED,
	 RANGE(1, EK_SERVICE_ADDRESSES_MAX)},
	{"protocol",     read_protocol,     HERE,                  .choices = protocols},
	{"port",         read_ports,        SERVICE(port),         .absent = ports_default},
	{"forward",      read_forward,      SERVICE(forward),      .choices = forwards},
	{"tos",          ek_value_number,   SERVICE(tos),          .absent = tos_default,
	 .unfit = unless_tos, RANGE(1, 63)},
	{"gue",          read_gue,          HERE,                  .unfit = unless_gue},
	{"mss",          ek_value_mss,      SERVICE(mss),          .unfit = unless_tcp,
	 RANGE(88, 65534)},
	{"method",       read_method,       SERVICE(method),       .absent = method_default,
	 .choices = methods},
	{"hash-prefix4", ek_value_number,   SERVICE(hash_prefix4), SOURCE_HASH, RANGE(1, 32)},
	{"hash-prefix6", ek_value_number,   SERVICE(hash_prefix6), SOURCE_HASH, RANGE(1, 128)},
	{"tracking",     read_tracking,     SERVICE(tracking),     .absent = tracking_default,
	 .choices = trackings},
	{"failover",     read_failover,     SERVICE(failover),     .absent = failover_default,
	 .choices = failovers},
	{"timeouts",     read_timeouts,     SERVICE(timeouts)},
	{"health",       ek_schema_check,   SERVICE(check),        .absent = ek_schema_check_default},
	{"backends",     read_backends,     HERE,                  REQUIRED,
	 RANGE(1, EK_BACKENDS_MAX - 1)},
	{"outer-source", read_outer_source, HERE,                  .unfit = unless_tunnel},
	{.key = NULL},
};
/* clang-format on */
_Static_assert(offsetof(struct ek_config_service, port_last) ==
		       offsetof(struct ek_config_service, port) + sizeof(uint16_t),
	       "ek_value_ports() stores both");

static const struct ek_config_service service_defaults = {
	.protocol = IPPROTO_TCP,
	.forward = EK_FORWARD_IPIP,
	.gue_port = 6080,
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

static bool count_entries(struct ek_parse *parse, const yaml_node_t *item, size_t n)
{
	size_t before = parse->n_places;

	if (before + n <= ENTRIES_MAX)
		return true;
	if (parse->entries_told)
		return false;
	parse->entries_told = true;
	ek_parse_error(parse, item, "address",
		       "%zu addresses up to here, two for each with protocol: tcp+udp, expected at "
		       "most %u of all services",
		       before + n, ENTRIES_MAX);
	return false;
}

/* Two services cannot answer for one address, port and protocol. */
static void claim_entry(struct ek_parse *parse, const yaml_node_t *item,
			const struct ek_config_entry *entry)
{
	char text[80], vip[EK_PREFIX_TEXT], ports[EK_PORTS_TEXT];

	parse->places[parse->n_places++] = (struct ek_place){.entry = *entry,
							     .service = parse->service,
							     .line = ek_yaml_line(item),
							     .column = ek_yaml_column(item)};
	snprintf(text, sizeof(text), "%s port %s %s",
		 ek_prefix_format(&entry->vip.address, entry->vip.length, vip),
		 ek_config_ports_text(parse->service, ports),
		 ek_schema_word(protocols, entry->protocol));
	ek_parse_claim(parse, EK_CLAIM_ENDPOINT, "address", item, text);
}

static void claim_entries(struct ek_parse *parse, const yaml_node_t *item)
{
	struct ek_config_entry entries[EK_SERVICE_ENTRIES_MAX];
	const struct ek_config_service *service = parse->service;
	size_t n;

	if (!service->port_last || service->protocol == REFUSED)
		return;
	n = ek_config_entries(service, entries);
	if (!count_entries(parse, item, n))
		return;
	for (size_t i = 0; i < n; i++)
		if (!ek_ip_is_zero(&entries[i].vip.address))
			claim_entry(parse, item, &entries[i]);
}

void ek_schema_services(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list,
			void *out)
{
	struct ek_config *config = out;

	config->services = ek_schema_array(parse, row, list, sizeof(config->services[0]));
	if (!config->services)
		return;
	parse->places = calloc(ENTRIES_MAX, sizeof(parse->places[0]));
	if (!parse->places) {
		ek_parse_error(parse, list, row->key, "%s", strerror(ENOMEM));
		return;
	}
	config->n_services = ek_schema_length(list);
	for (size_t i = 0; i < config->n_services; i++) {
		const yaml_node_t *item = ek_schema_item(parse, list, i);
		struct ek_config_service *service = &config->services[i];

		*service = service_defaults;
		service->line = ek_yaml_line(item);
		parse->service = service;
		if (ek_schema_mapping(parse, row->key, item, service_rows, service))
			claim_entries(parse, item);
	}
	parse->service = NULL;
}
