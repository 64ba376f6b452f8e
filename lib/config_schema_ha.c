/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The schema of the `ha` section: peers, what is tracked, and the instances, which are VRRP virtual
 * routers (RFC 9568). Called by config_schema.c; that a VIP is a service's, and what may stand only
 * once in the whole file, is checked by config.c.
 */
#include <stdio.h>
#include <string.h>
#include "config_schema.h"
#include "ha_policy.h"
#include "ip.h"

/* --- words ----------------------------------------------------------------------------------- */
/* clang-format off */
static const struct ek_choice announces[] = {
	WORD("arp", EK_ANNOUNCE_ARP),
	WORD("vmac", EK_ANNOUNCE_VMAC),
	WORD("route", EK_ANNOUNCE_ROUTE),
	{.name = NULL},
};
static const struct ek_choice actives[] = {
	WORD("one", false),
	WORD("all", true),
	{.name = NULL},
};
static const struct ek_choice checksums[] = {
	WORD("rfc", false),
	WORD("keepalived", true),
	{.name = NULL},
};
/* clang-format on */

const char *ek_announce_name(enum ek_announce announce)
{
	return ek_schema_word(announces, announce);
}

/* --- lists of single values ------------------------------------------------------------------ */
typedef void (*item_reader)(struct ek_parse *parse, const struct ek_row *row,
			    const yaml_node_t *value, void *out);

/* Into an array of `size` bytes each. Returns how many there are; one that was refused is zero. */
static size_t read_items(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list,
			 item_reader read, void *out, size_t size)
{
	const struct ek_row item = {.key = row->key, .size = size, .claim = row->claim};

	if (!ek_schema_list(parse, row, list))
		return 0;
	for (size_t i = 0; i < ek_schema_length(list); i++)
		read(parse, &item, ek_schema_item(parse, list, i), (char *)out + i * size);
	return ek_schema_length(list);
}

/* Each name once. */
static size_t read_interfaces(struct ek_parse *parse, const struct ek_row *row,
			      const yaml_node_t *list, char (*names)[IFNAMSIZ])
{
	size_t n = read_items(parse, row, list, ek_value_interface, names, IFNAMSIZ);

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (names[i][0] && !strcmp(names[i], names[j])) {
				ek_value_refuse(parse, row, ek_schema_item(parse, list, i),
						"stands here twice", "each interface once");
				break;
			}
	return n;
}

/* --- peers ----------------------------------------------------------------------------------- */
static const char *family_name(int family)
{
	return family == AF_INET ? "IPv4" : "IPv6";
}

/* An address that was refused (all zero) may be of any family. */
static bool has_family(const struct ek_ip *addresses, size_t n, int family)
{
	for (size_t i = 0; i < n; i++)
		if (ek_ip_is_zero(&addresses[i]) || ek_ip_family(&addresses[i]) == family)
			return true;
	return false;
}

static void read_peer_addresses(struct ek_parse *parse, const struct ek_row *row,
				const yaml_node_t *list, void *out)
{
	struct ek_config_peer *peer = out;

	peer->n_addresses = read_items(parse, row, list, ek_value_address, peer->addresses,
				       sizeof(peer->addresses[0]));
}

/* clang-format off */
#define PEER(member) FIELD(ek_config_peer, member)
static const struct ek_row peer_rows[] = {
	{"name",      ek_value_name,       PEER(name), REQUIRED, .claim = EK_CLAIM_PEER},
	{"addresses", read_peer_addresses, HERE,       REQUIRED, .claim = EK_CLAIM_NODE_ADDRESS,
	 RANGE(1, EK_PEER_ADDRESSES_MAX)},
	{"channel",   ek_value_flag,       PEER(channel), .choices = ek_schema_booleans},
	{.key = NULL},
};
/* clang-format on */

/* The channel connects addresses of one family. */
static void check_reachable(struct ek_parse *parse, const struct ek_row *row,
			    const yaml_node_t *item, const struct ek_config_peer *peer)
{
	const struct ek_config_ha *ha = &parse->config->ha;

	if (!peer->channel || !ha->secret[0] || !ha->n_addresses || !peer->n_addresses)
		return;
	for (size_t i = 0; i < peer->n_addresses; i++)
		if (ek_ip_is_zero(&peer->addresses[i]) ||
		    has_family(ha->addresses, ha->n_addresses, ek_ip_family(&peer->addresses[i])))
			return;
	ek_parse_error(parse, item, row->key,
		       "peer '%s' has %s addresses only, expected one of a family that this node's "
		       "`addresses` have",
		       peer->name, family_name(ek_ip_family(&peer->addresses[0])));
}

static void read_peers(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list,
		       void *out)
{
	struct ek_config_ha *ha = out;

	if (!ek_schema_list(parse, row, list))
		return;
	ha->n_peers = ek_schema_length(list);
	for (size_t i = 0; i < ha->n_peers; i++) {
		const yaml_node_t *item = ek_schema_item(parse, list, i);
		struct ek_config_peer *peer = &ha->peers[i];

		peer->channel = true;
		peer->line = ek_yaml_line(item);
		if (ek_schema_mapping(parse, row->key, item, peer_rows, peer))
			check_reachable(parse, row, item, peer);
	}
}

/* --- tracks ---------------------------------------------------------------------------------- */
/* The one key of an item that says what is tracked. Returns whether it is the first. */
static bool choose_track(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
			 enum ek_track_kind kind)
{
	if (parse->tracked) {
		ek_parse_error(parse, value, row->key,
			       "stands beside '%s', expected one of interface, set, route and "
			       "script in an item",
			       parse->tracked);
		return false;
	}
	parse->tracked = row->key;
	parse->track->kind = kind;
	return true;
}

static void read_track_interface(struct ek_parse *parse, const struct ek_row *row,
				 const yaml_node_t *value, void *out)
{
	struct ek_config_track *track = parse->track;

	if (!choose_track(parse, row, value, EK_TRACK_INTERFACES))
		return;
	ek_value_interface(parse, row, value, out);
	strcpy(track->name, out);
	track->n_interfaces = 1;
}

static void read_track_set(struct ek_parse *parse, const struct ek_row *row,
			   const yaml_node_t *value, void *out)
{
	if (choose_track(parse, row, value, EK_TRACK_INTERFACES))
		ek_value_name(parse, row, value, out);
}

static void read_track_route(struct ek_parse *parse, const struct ek_row *row,
			     const yaml_node_t *value, void *out)
{
	struct ek_config_track *track = parse->track;
	char prefix[EK_IP_TEXT];

	if (!choose_track(parse, row, value, EK_TRACK_ROUTE))
		return;
	ek_value_prefix(parse, row, value, out);
	snprintf(track->name, sizeof(track->name), "%s/%u", ek_ip_format(&track->prefix, prefix),
		 track->prefix_length);
}

static void read_track_script(struct ek_parse *parse, const struct ek_row *row,
			      const yaml_node_t *value, void *out)
{
	struct ek_config_track *track = parse->track;

	if (!choose_track(parse, row, value, EK_TRACK_SCRIPT))
		return;
	ek_value_file(parse, row, value, out);
	/* For people: a long path is cut. */
	snprintf(track->name, sizeof(track->name), "%s", track->command);
}

static bool tracks(const struct ek_parse *parse, const char *key)
{
	return parse->tracked && !strcmp(parse->tracked, key);
}

static void set_members(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list,
			void *out)
{
	struct ek_config_track *track = out;

	track->n_interfaces = read_interfaces(parse, row, list, track->interfaces);
}

static void set_members_absent(struct ek_parse *parse, const struct ek_row *row,
			       const yaml_node_t *map, void *out)
{
	if (tracks(parse, "set"))
		ek_schema_required(parse, row, map, out);
}

static const char *unless_set(const struct ek_parse *parse)
{
	return tracks(parse, "set") ? NULL : "has no meaning without set, expected set: NAME";
}

static const char *unless_script(const struct ek_parse *parse)
{
	return tracks(parse, "script") ? NULL
				       : "has no meaning without script, expected script: PATH";
}

static void read_script_timeout(struct ek_parse *parse, const struct ek_row *row,
				const yaml_node_t *value, void *out)
{
	const struct ek_config_track *track = parse->track;

	ek_value_duration(parse, row, value, out);
	if (track->interval && track->timeout > track->interval)
		ek_value_refuse(parse, row, value, "is longer than the interval",
				"at most the interval: runs of one script do not overlap");
}

static void script_timeout_default(struct ek_parse *parse, const struct ek_row *row,
				   const yaml_node_t *map, void *out)
{
	struct ek_config_track *track = parse->track;

	(void)row, (void)map, (void)out;
	if (track->timeout > track->interval)
		track->timeout = track->interval;
}

/* clang-format off */
#define TRACK(member) FIELD(ek_config_track, member)
#define SET           .unfit = unless_set
#define SCRIPT        .unfit = unless_script
#define MILLISECONDS  RANGE(100, 3600000), .unit = 1
static const struct ek_row track_rows[] = {
	{"interface",  read_track_interface, TRACK(interfaces[0])},
	{"set",        read_track_set,       TRACK(name),     .claim = EK_CLAIM_SET},
	{"interfaces", set_members,          HERE,            .absent = set_members_absent,
	 SET, RANGE(1, EK_SET_MEMBERS_MAX)},
	{"route",      read_track_route,     TRACK(prefix)},
	{"script",     read_track_script,    TRACK(command)},
	{"interval",   ek_value_duration,    TRACK(interval), SCRIPT, MILLISECONDS},
	{"timeout",    read_script_timeout,  TRACK(timeout),  .absent = script_timeout_default,
	 SCRIPT, MILLISECONDS},
	{"rise",       ek_value_number,      TRACK(rise),     SCRIPT, RANGE(1, 100)},
	{"fall",       ek_value_number,      TRACK(fall),     SCRIPT, RANGE(1, 100)},
	{.key = NULL},
};
/* clang-format on */
_Static_assert(offsetof(struct ek_config_track, prefix_length) ==
		       offsetof(struct ek_config_track, prefix) + sizeof(struct ek_ip),
	       "ek_value_prefix() stores both");

static const struct ek_config_track track_defaults = {
	.interval = 5000,
	.timeout = 3000,
	.rise = 2,
	.fall = 2,
};

static void read_tracks(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list,
			void *out)
{
	struct ek_config_ha *ha = out;
	size_t errors;

	if (!ek_schema_list(parse, row, list))
		return;
	ha->n_tracks = ek_schema_length(list);
	for (size_t i = 0; i < ha->n_tracks; i++) {
		const yaml_node_t *item = ek_schema_item(parse, list, i);
		struct ek_config_track *track = &ha->tracks[i];

		*track = track_defaults;
		track->line = ek_yaml_line(item);
		parse->track = track;
		parse->tracked = NULL;
		errors = parse->errors->count;
		ek_schema_mapping(parse, row->key, item, track_rows, track);
		if (!parse->tracked && parse->errors->count == errors)
			ek_parse_error(parse, item, row->key,
				       "nothing to track, expected one of interface, set, route "
				       "and script");
	}
	parse->track = NULL;
}

/* --- instances ------------------------------------------------------------------------------- */
static void read_vips(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list,
		      void *out)
{
	struct ek_config_instance *instance = out;

	instance->n_vips = read_items(parse, row, list, ek_value_address, instance->vips,
				      sizeof(instance->vips[0]));
}

static void read_active(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
			void *out)
{
	enum ek_announce announce = parse->instance->announce;

	ek_value_flag(parse, row, value, out);
	if (parse->instance->all_active &&
	    (announce == EK_ANNOUNCE_ARP || announce == EK_ANNOUNCE_VMAC))
		ek_value_refuse(parse, row, value,
				"gives several nodes an address that ARP can place on one only",
				"one, or announce: route");
}

/* A name of the list that was refused (empty) may be the one that is meant. */
static bool is_listed(const struct ek_config *config, const char *interface)
{
	for (size_t i = 0; i < config->n_interfaces; i++)
		if (!config->interfaces[i].name[0] ||
		    !strcmp(config->interfaces[i].name, interface))
			return true;
	return !config->n_interfaces;
}

/* Requests for a VIP are answered by the data plane, which is on `interfaces` only. */
static void read_instance_interface(struct ek_parse *parse, const struct ek_row *row,
				    const yaml_node_t *value, void *out)
{
	enum ek_announce announce = parse->instance->announce;
	const char *name = out;

	ek_value_interface(parse, row, value, out);
	if (*name && (announce == EK_ANNOUNCE_ARP || announce == EK_ANNOUNCE_VMAC) &&
	    !is_listed(parse->config, name))
		ek_value_refuse(parse, row, value, "is not in the file's `interfaces`",
				"one of those, or announce: route");
}

/* Each peer hears of each VIP by its own family. */
static void read_unicast(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
			 void *out)
{
	const struct ek_config_instance *instance = parse->instance;
	const struct ek_config_ha *ha = &parse->config->ha;

	ek_value_flag(parse, row, value, out);
	if (!instance->unicast)
		return;
	if (!ha->n_peers)
		ek_value_refuse(parse, row, value, "has nobody to send adverts to",
				"`peers` with their addresses");
	for (size_t i = 0; i < ha->n_peers * instance->n_vips; i++) {
		const struct ek_config_peer *peer = &ha->peers[i / instance->n_vips];
		const struct ek_ip *vip = &instance->vips[i % instance->n_vips];
		char text[EK_IP_TEXT];
		int family = ek_ip_family(vip);

		if (ek_ip_is_zero(vip) || !peer->n_addresses ||
		    has_family(peer->addresses, peer->n_addresses, family))
			continue;
		ek_parse_error(parse, value, row->key,
			       "peer '%s' has no %s address, expected one for the adverts of %s",
			       peer->name, family_name(family), ek_ip_format(vip, text));
		return;
	}
}

static const char *if_unicast(const struct ek_parse *parse)
{
	return parse->instance->unicast ? "has no meaning with unicast: true, expected adverts by "
					  "multicast (unicast: false)"
					: NULL;
}

static void read_heartbeats(struct ek_parse *parse, const struct ek_row *row,
			    const yaml_node_t *list, void *out)
{
	struct ek_config_instance *instance = out;

	instance->n_heartbeats = read_interfaces(parse, row, list, instance->heartbeats);
	for (size_t i = 0; i < instance->n_heartbeats; i++)
		if (instance->interface[0] && !strcmp(instance->heartbeats[i], instance->interface))
			ek_value_refuse(parse, row, ek_schema_item(parse, list, i),
					"is the instance's interface, which has its adverts",
					"a further interface");
}

static void read_vrid(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		      void *out)
{
	const uint8_t *vrid = out;
	char text[4];

	ek_value_number(parse, row, value, out);
	if (!*vrid)
		return;
	snprintf(text, sizeof(text), "%u", *vrid);
	ek_parse_claim(parse, EK_CLAIM_VRID, row->key, value, text);
}

/* An advert carries its interval in hundredths of a second (RFC 9568, 5.2.7). */
static void read_advert_interval(struct ek_parse *parse, const struct ek_row *row,
				 const yaml_node_t *value, void *out)
{
	const unsigned int *ms = out;

	ek_value_duration(parse, row, value, out);
	if (*ms % 10)
		ek_value_refuse(parse, row, value, "is no multiple of 10ms",
				"10ms to 40s950ms in steps of 10ms, as VRRP counts");
}

static const char *unless_preempt(const struct ek_parse *parse)
{
	return parse->instance->preempt
		       ? NULL
		       : "has no meaning with preempt: false, expected preempt: true";
}

/* clang-format off */
#define INSTANCE(member) FIELD(ek_config_instance, member)
#define PREEMPT          .unfit = unless_preempt
#define MULTICAST        .unfit = if_unicast
static const struct ek_row instance_rows[] = {
	{"name",          ek_value_name,           INSTANCE(name),      REQUIRED,
	 .claim = EK_CLAIM_INSTANCE},
	{"vips",          read_vips,               HERE,                REQUIRED,
	 .claim = EK_CLAIM_INSTANCE_VIP, RANGE(1, EK_INSTANCE_VIPS_MAX)},
	{"announce",      ek_value_choice,         INSTANCE(announce),  .choices = announces},
	{"active",        read_active,             INSTANCE(all_active), .choices = actives},
	{"interface",     read_instance_interface, INSTANCE(interface), REQUIRED},
	{"unicast",       read_unicast,            INSTANCE(unicast),   .choices = ek_schema_booleans},
	{"heartbeat",     read_heartbeats,         HERE, MULTICAST,     RANGE(0, EK_SET_MEMBERS_MAX)},
	{"vrid",          read_vrid,               INSTANCE(vrid),      REQUIRED, RANGE(1, 255)},
	{"priority",      ek_value_number,         INSTANCE(priority),  RANGE(1, 254)},
	{"interval",      read_advert_interval,    INSTANCE(interval),  RANGE(10, 40950), .unit = 1},
	{"preempt",       ek_value_flag,           INSTANCE(preempt),   .choices = ek_schema_booleans},
	{"preempt-delay", ek_value_duration,       INSTANCE(preempt_delay), PREEMPT,
	 RANGE(0, 3600000), .unit = 1},
	{"checksum",      ek_value_flag,           INSTANCE(pseudo_header), .choices = checksums},
	{.key = NULL},
};
/* clang-format on */

static const struct ek_config_instance instance_defaults = {
	.priority = 100,
	.interval = 100,
	.preempt = true,
	.announce = EK_ANNOUNCE_ARP,
};

static void read_instances(struct ek_parse *parse, const struct ek_row *row,
			   const yaml_node_t *list, void *out)
{
	struct ek_config_ha *ha = out;

	if (!ek_schema_list(parse, row, list))
		return;
	ha->n_instances = ek_schema_length(list);
	for (size_t i = 0; i < ha->n_instances; i++) {
		const yaml_node_t *item = ek_schema_item(parse, list, i);
		struct ek_config_instance *instance = &ha->instances[i];

		*instance = instance_defaults;
		instance->line = ek_yaml_line(item);
		parse->instance = instance;
		ek_schema_mapping(parse, row->key, item, instance_rows, instance);
	}
	parse->instance = NULL;
}

/* --- the section ----------------------------------------------------------------------------- */
static void read_addresses(struct ek_parse *parse, const struct ek_row *row,
			   const yaml_node_t *list, void *out)
{
	struct ek_config_ha *ha = out;

	ha->n_addresses = read_items(parse, row, list, ek_value_address, ha->addresses,
				     sizeof(ha->addresses[0]));
}

static void addresses_absent(struct ek_parse *parse, const struct ek_row *row,
			     const yaml_node_t *map, void *out)
{
	const struct ek_config_ha *ha = out;

	if (ha->secret[0])
		ek_parse_error(parse, map, row->key,
			       "the key is missing here: with a secret, the peer channel listens "
			       "on this node's addresses");
}

/* clang-format off */
#define HA(member) FIELD(ek_config_ha, member)
static const struct ek_row ha_rows[] = {
	{"secret",      ek_value_file,     HA(secret)},
	{"addresses",   read_addresses,    HERE,            .absent = addresses_absent,
	 .claim = EK_CLAIM_NODE_ADDRESS, RANGE(1, EK_PEER_ADDRESSES_MAX)},
	{"port",        ek_value_number,   HA(port),        RANGE(1, 65535)},
	{"ack-timeout", ek_value_duration, HA(ack_timeout), RANGE(10, 10000), .unit = 1},
	{"fail-safe",   ek_value_flag,     HA(fail_safe),   .choices = ek_schema_booleans},
	{"max-flips",   ek_value_flips,    HA(max_flips),   RANGE(1, EK_FLIPS_MAX)},
	{"peers",       read_peers,        HERE,            RANGE(0, EK_PEERS_MAX)},
	{"track",       read_tracks,       HERE,            RANGE(0, EK_TRACKS_MAX)},
	{"instances",   read_instances,    HERE,            RANGE(0, EK_INSTANCES_MAX)},
	{.key = NULL},
};
/* clang-format on */
_Static_assert(offsetof(struct ek_config_ha, flip_window) ==
		       offsetof(struct ek_config_ha, max_flips) + sizeof(unsigned int),
	       "ek_value_flips() stores both");

void ek_schema_ha(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
		  void *out)
{
	struct ek_config_ha *ha = out;

	ha->enabled = true;
	ha->port = 6480;
	ha->ack_timeout = 200;
	ek_schema_mapping(parse, row->key, map, ha_rows, ha);
}
