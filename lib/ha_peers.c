/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See ha.h. What the nodes say to each other over the channel beside the mirror's messages: their
 * status, the services section of the node that leads (the primary of the first instance), what
 * operators said, and commands. All of it JSON, taken apart with care: a peer is authenticated,
 * which does not make it right.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include "config_services.h"
#include "ha_private.h"
#include "log.h"
#include "operate.h"

#define ASK_AGAIN_MS 5000

/* --- saying ---------------------------------------------------------------------------------- */

/* False if it was not: too much is waiting, or there is no memory. */
static bool say(struct ek_ha *ha, size_t peer, uint8_t type, const json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT);
	int err = text ? ek_channel_send(ha->channel, peer, type, text, strlen(text)) : -ENOMEM;

	if (err && err != -ENOTCONN)
		ek_warn("peer %s: a message cannot be sent: %s", ha->peers[peer].config->name,
			strerror(-err));
	free(text);
	return !err || err == -ENOTCONN;
}

static bool say_all(struct ek_ha *ha, uint8_t type, json_t *message)
{
	bool said = true;

	for (size_t p = 0; p < ha->n_peers; p++)
		if (ha->peers[p].connected)
			said &= say(ha, p, type, message);
	json_decref(message);
	return said;
}

static bool synced_with_all(const struct ek_ha *ha)
{
	for (size_t i = 0; i < ha->n_instances; i++) {
		struct ek_ha_view view = ek_ha_view(ha, i);

		if (!view.primary && !view.synced)
			return false;
	}
	return true;
}

static json_t *own_status(const struct ek_ha *ha)
{
	json_t *primary = json_array();

	for (size_t i = 0; i < ha->n_instances; i++)
		if (ek_ha_is_primary(ha, i))
			json_array_append_new(primary, json_integer(ha->instances[i].config->vrid));
	return json_pack("{s:s, s:b, s:s, s:b, s:o, s:s, s:i}", "health",
			 ek_node_health_name(ha->health), "disabled", ha->disabled, "stay",
			 ek_stay_name(ha->stay), "synced", synced_with_all(ha), "primary", primary,
			 "services", ha->digest, "format", (int)EK_WIRE_FORMAT);
}

/* Only news: an answer to every status would be answered in turn. */
void ek_ha_say_status(struct ek_ha *ha)
{
	json_t *status;

	if (!ha->channel)
		return;
	status = own_status(ha);
	if (json_equal(status, ha->said)) {
		json_decref(status);
		return;
	}
	json_decref(ha->said);
	ha->said = json_incref(status);
	if (say_all(ha, EK_WIRE_STATUS, status))
		return;
	json_decref(ha->said); /* once more, with the next greeting */
	ha->said = NULL;
}

/* The instance whose primary leads: the same on every node, whatever the order in its file. */
static size_t leading(const struct ek_ha *ha)
{
	size_t lowest = 0;

	for (size_t i = 1; i < ha->n_instances; i++)
		if (ha->instances[i].config->vrid < ha->instances[lowest].config->vrid)
			lowest = i;
	return lowest;
}

bool ek_ha_leads(const struct ek_ha *ha)
{
	return ha->n_instances && ek_ha_is_primary(ha, leading(ha));
}

const char *ek_ha_services(const struct ek_ha *ha)
{
	return ek_ha_leads(ha) ? NULL : ha->services;
}

/* The section as it is in use here, from the text that the configuration was read from. */
static char *services_text(const struct ek_ha *ha, size_t *length)
{
	char *out;

	if (ek_config_services_text(ha->c->text, strlen(ha->c->text), &out, length))
		return NULL;
	return out;
}

void ek_ha_digest(struct ek_ha *ha)
{
	size_t length;
	char *text = services_text(ha, &length);

	ha->digest[0] = '\0';
	if (text)
		ek_ha_sha256(text, length, ha->digest);
	free(text);
}

static json_t *config_message(const struct ek_ha *ha)
{
	size_t length;
	char *text = services_text(ha, &length);
	json_t *out = json_pack("{s:i, s:s, s:s}", "format", (int)EK_WIRE_FORMAT, "digest",
				ha->digest, "text", text ? text : "");

	free(text);
	return out;
}

void ek_ha_say_config(struct ek_ha *ha)
{
	if (!ha->channel || !ek_ha_leads(ha))
		return;
	say_all(ha, EK_WIRE_CONFIG, config_message(ha));
	ek_ha_say_status(ha);
}

/* To one that asked for everything: what rings and entries are about comes before them. */
static void say_foundations(struct ek_ha *ha, size_t peer)
{
	json_t *config, *overrides;

	if (!ek_ha_leads(ha))
		return;
	config = config_message(ha);
	overrides = ek_overrides_export(&ha->c->overrides);
	say(ha, peer, EK_WIRE_CONFIG, config);
	say(ha, peer, EK_WIRE_OVERRIDES, overrides);
	json_decref(config);
	json_decref(overrides);
}

void ek_ha_propagate(struct ek_ha *ha, const char *command, const json_t *request)
{
	if (!ha->channel || ha->relaying)
		return;
	say_all(ha, EK_WIRE_COMMAND,
		json_pack("{s:i, s:s, s:O}", "id", (int)++ha->asked, "command", command, "request",
			  request));
}

bool ek_ha_ask_failover(struct ek_ha *ha, size_t peer, bool force)
{
	json_t *message;

	if (!ha->peers[peer].connected)
		return false;
	message = json_pack("{s:i, s:s, s:{s:b}}", "id", (int)++ha->asked, "command", "failover",
			    "request", "force", force);
	say(ha, peer, EK_WIRE_COMMAND, message);
	json_decref(message);
	return true;
}

/* --- hearing --------------------------------------------------------------------------------- */

static enum ek_node_health health_of(const char *name)
{
	for (int h = EK_NODE_UP; h <= EK_NODE_COMPLETE_FAIL; h++)
		if (!strcmp(name, ek_node_health_name(h)))
			return h;
	return EK_NODE_COMPLETE_FAIL;
}

static enum ek_stay stay_of(const char *name)
{
	for (int s = EK_STAY_NONE; s <= EK_STAY_SECONDARY; s++)
		if (!strcmp(name, ek_stay_name(s)))
			return s;
	return EK_STAY_NONE;
}

/* What the old primary said last may have come after the new one's rings. */
static void hear_successor(struct ek_ha *ha, uint8_t vrid)
{
	for (size_t p = 0; p < ha->n_peers; p++)
		if (ha->peers[p].connected && ha->peers[p].primary[vrid])
			ek_mirror_want(ha->mirror, p);
}

/* Who newly is primary of something that this node is not has things to tell. */
static bool take_primary(struct ek_ha *ha, struct ek_ha_peer *peer, const json_t *list)
{
	bool primary[256] = {false}, news = false;
	bool deposed[EK_INSTANCES_MAX] = {false};
	json_t *vrid;
	size_t i;

	json_array_foreach ((json_t *)list, i, vrid)
		if (json_is_integer(vrid) && json_integer_value(vrid) > 0 &&
		    json_integer_value(vrid) < 256)
			primary[json_integer_value(vrid)] = true;
	for (i = 0; i < ha->n_instances; i++) {
		uint8_t id = ha->instances[i].config->vrid;

		news |= primary[id] && !peer->primary[id] && !ek_ha_is_primary(ha, i);
		deposed[i] = !primary[id] && peer->primary[id];
	}
	memcpy(peer->primary, primary, sizeof(primary));
	for (i = 0; i < ha->n_instances; i++)
		if (deposed[i])
			hear_successor(ha, ha->instances[i].config->vrid);
	return news;
}

static void complain(struct ek_ha_peer *peer, const char *why)
{
	if (strcmp(peer->why, why) && why[0])
		ek_warn("peer %s: %s", peer->config->name, why);
	snprintf(peer->why, sizeof(peer->why), "%s", why);
}

static bool leads(const struct ek_ha *ha, const struct ek_ha_peer *peer)
{
	return ha->n_instances && peer->primary[ha->instances[leading(ha)].config->vrid];
}

/*
 * A push may have been refused for a reason that has gone since, or another's have come after it.
 * Asked for once in a few seconds: the answer is everything.
 */
void ek_ha_ask_again(struct ek_ha *ha)
{
	uint64_t now = ek_ha_now_ms();

	for (size_t p = 0; p < ha->n_peers; p++) {
		struct ek_ha_peer *peer = &ha->peers[p];

		if (!peer->greeted || ek_ha_leads(ha) || !leads(ha, peer) ||
		    !strcmp(peer->digest, ha->digest) || now - peer->asked_ms < ASK_AGAIN_MS)
			continue;
		peer->asked_ms = now;
		ek_mirror_want(ha->mirror, p);
	}
}

static bool hear_status(struct ek_ha *ha, size_t p, const json_t *message)
{
	const char *health, *stay, *services;
	struct ek_ha_peer *peer = &ha->peers[p];
	int disabled, synced, format;
	bool first = !peer->greeted;
	json_t *primary;

	if (json_unpack((json_t *)message, "{s:s, s:b, s:s, s:b, s:o, s:s, s:i}", "health", &health,
			"disabled", &disabled, "stay", &stay, "synced", &synced, "primary",
			&primary, "services", &services, "format", &format))
		return false;
	peer->greeted = true;
	peer->health = health_of(health);
	peer->disabled = disabled;
	peer->stay = stay_of(stay);
	peer->synced = synced;
	peer->format = format;
	snprintf(peer->digest, sizeof(peer->digest), "%s", services);
	if (take_primary(ha, peer, primary) && !first)
		ek_mirror_want(ha->mirror, p);
	if (!leads(ha, peer)) /* nor does it matter any more what its services are */
		complain(peer, "");
	ek_ha_recheck(ha);
	return true;
}

/* For reloads and starts: also when the file says the same, which it may not do for ever. */
static void keep_services(struct ek_ha *ha, const char *text)
{
	if (ha->services && !strcmp(ha->services, text))
		return;
	free(ha->services);
	ha->services = strdup(text);
	if (ha->services)
		ek_controller_save_services(ha->c);
}

static bool hear_config(struct ek_ha *ha, size_t p, const json_t *message)
{
	struct ek_ha_peer *peer = &ha->peers[p];
	struct ek_error error = {0};
	const char *digest, *text;
	char why[sizeof(peer->why)];
	char actual[sizeof(ha->digest)];
	int format;

	if (json_unpack((json_t *)message, "{s:i, s:s, s:s}", "format", &format, "digest", &digest,
			"text", &text))
		return false;
	ek_ha_sha256(text, strlen(text), actual);
	if (format != (int)EK_WIRE_FORMAT) {
		snprintf(why, sizeof(why), "its configuration has format %d and ours %u: not taken",
			 format, EK_WIRE_FORMAT);
		complain(peer, why);
	} else if (ek_ha_leads(ha)) {
		complain(peer, "both nodes lead: its services are not taken");
	} else if (strcmp(digest, actual)) {
		complain(peer, "its services do not have the digest that it says: not taken");
	} else if (!strcmp(digest, ha->digest)) {
		keep_services(ha, text);
		complain(peer, "");
	} else if (ek_controller_load_services(ha->c, text, &error)) {
		snprintf(why, sizeof(why), "its services are refused: %.120s", error.text);
		complain(peer, why);
	} else {
		ek_ha_digest(ha);
		keep_services(ha, text);
		complain(peer, "");
		ek_notice("the services of peer %s are in use", peer->config->name);
		ek_ha_recheck(ha);
	}
	return true;
}

static bool hear_overrides(struct ek_ha *ha, const json_t *message)
{
	struct ek_error error = {0};

	if (ek_ha_leads(ha))
		return true;
	if (ek_overrides_import(&ha->c->overrides, message, &error))
		ek_warn("a peer's drains and weights: %s", error.text);
	ek_controller_apply_soon(ha->c);
	return true;
}

/* Of `ha`, only this is a peer's business. */
static json_t *relayed_failover(void *controller, const json_t *request, struct ek_error *error)
{
	json_t *own = json_pack("{s:s, s:b}", "action", "failover", "force",
				json_is_true(json_object_get(request, "force")));
	json_t *result = ek_ha_command(controller, own, error);

	json_decref(own);
	return result;
}

static const struct {
	const char *name;
	json_t *(*handler)(void *arg, const json_t *request, struct ek_error *error);
} relayed[] = {
	{"drain", ek_drain_command},
	{"undrain", ek_undrain_command},
	{"weight", ek_weight_command},
	{"failover", relayed_failover},
};

static json_t *carry_out(struct ek_ha *ha, const char *command, const json_t *request,
			 struct ek_error *error)
{
	json_t *result = NULL;

	ek_error_set(error, "'%s' is no command for a peer", command);
	for (size_t i = 0; i < sizeof(relayed) / sizeof(*relayed); i++)
		if (!strcmp(relayed[i].name, command)) {
			ha->relaying = true;
			result = relayed[i].handler(ha->c, request, error);
			ha->relaying = false;
		}
	return result;
}

static bool hear_command(struct ek_ha *ha, size_t p, const json_t *message)
{
	struct ek_error error = {0};
	const char *command;
	json_t *request, *result, *answer;
	int id;

	if (json_unpack((json_t *)message, "{s:i, s:s, s:o}", "id", &id, "command", &command,
			"request", &request) ||
	    !json_is_object(request))
		return false;
	result = carry_out(ha, command, request, &error);
	answer = json_pack("{s:i, s:s, s:b, s:s}", "id", id, "command", command, "ok",
			   result != NULL, "error", result ? "" : error.text);
	say(ha, p, EK_WIRE_ANSWER, answer);
	json_decref(answer);
	json_decref(result);
	return true;
}

static bool hear_answer(struct ek_ha *ha, size_t p, const json_t *message)
{
	struct ek_ha_peer *peer = &ha->peers[p];
	const char *command, *error;
	int id, ok;

	if (json_unpack((json_t *)message, "{s:i, s:s, s:b, s:s}", "id", &id, "command", &command,
			"ok", &ok, "error", &error))
		return false;
	if (ok) {
		peer->refused[0] = '\0';
		return true;
	}
	snprintf(peer->refused, sizeof(peer->refused), "%.32s: %.200s", command, error);
	ek_warn("peer %s refused a command: %s", peer->config->name, peer->refused);
	return true;
}

static bool hear_json(struct ek_ha *ha, size_t peer, uint8_t type, const void *body, size_t length)
{
	json_t *message = json_loadb(body, length, JSON_REJECT_DUPLICATES, NULL);
	bool ok = message != NULL;

	switch ((enum ek_wire_type)type) {
	case EK_WIRE_STATUS:
		ok = ok && hear_status(ha, peer, message);
		break;
	case EK_WIRE_CONFIG:
		ok = ok && hear_config(ha, peer, message);
		break;
	case EK_WIRE_OVERRIDES:
		ok = ok && hear_overrides(ha, message);
		break;
	case EK_WIRE_COMMAND:
		ok = ok && hear_command(ha, peer, message);
		break;
	case EK_WIRE_ANSWER:
		ok = ok && hear_answer(ha, peer, message);
		break;
	default:
		ok = false;
	}
	json_decref(message);
	return ok;
}

/* --- the channel's callbacks ----------------------------------------------------------------- */

static void on_message(void *arg, size_t peer, uint8_t type, const void *body, size_t length)
{
	struct ek_ha *ha = arg;
	bool ok;

	if (type == EK_WIRE_WANT)
		say_foundations(ha, peer);
	ok = type < EK_WIRE_WANT ? hear_json(ha, peer, type, body, length)
				 : ek_mirror_message(ha->mirror, peer, type, body, length);
	if (!ok)
		ek_channel_reject(ha->channel, peer, "a message that makes no sense");
}

/* Without instances, who owns the rings follows from who is there. */
static void connection_changed(struct ek_ha *ha)
{
	if (ha->n_instances)
		ek_controller_apply_soon(ha->c);
	else
		ek_controller_rebuild(ha->c);
}

static void on_up(void *arg, size_t peer)
{
	struct ek_ha *ha = arg;
	struct ek_ha_peer *p = &ha->peers[peer];
	json_t *status = own_status(ha);

	p->connected = true;
	p->greeted = false;
	memset(p->primary, 0, sizeof(p->primary));
	ek_notice("peer %s: connected", p->config->name);
	say(ha, peer, EK_WIRE_STATUS, status);
	json_decref(status);
	ek_mirror_peer_up(ha->mirror, peer);
	connection_changed(ha);
}

static void on_down(void *arg, size_t peer)
{
	struct ek_ha *ha = arg;
	struct ek_ha_peer *p = &ha->peers[peer];

	p->connected = p->greeted = false;
	ek_notice("peer %s: disconnected", p->config->name);
	ek_mirror_peer_down(ha->mirror, peer);
	connection_changed(ha);
	ek_ha_recheck(ha);
}

/* What must be alike for rings and entries to mean the same. */
struct hello {
	uint32_t format, buckets, key_check, ring_size, tick;
};

static struct hello own_hello(const struct ek_ha *ha)
{
	struct ek_clock clock = ek_datapath_clock(ha->c->datapath);

	return (struct hello){.format = htonl(EK_WIRE_FORMAT),
			      .buckets = htonl(ek_datapath_buckets(ha->c->datapath)),
			      .key_check = htonl(ek_datapath_key_check(ha->c->datapath)),
			      .ring_size = htonl(EK_RING_SIZE),
			      .tick = htonl((clock.hz << 8) + clock.shift)};
}

static const char *on_check(void *arg, size_t peer, const void *bytes, size_t length)
{
	const struct hello own = own_hello(arg);
	struct hello hello;

	(void)peer;
	if (length != sizeof(hello))
		return "its hello is not understood: another version";
	memcpy(&hello, bytes, sizeof(hello));
	if (hello.format != own.format)
		return "it speaks another format";
	if (hello.key_check != own.key_check)
		return "it has another hash key: copy one node's key to the other";
	if (hello.buckets != own.buckets)
		return "it has another limits.flows";
	if (hello.tick != own.tick)
		return "its kernel has another HZ: ages would mean something else";
	return hello.ring_size == own.ring_size ? NULL : "it has rings of another size";
}

/* --- the mirror's callbacks ------------------------------------------------------------------ */

static int mirror_send(void *arg, size_t peer, uint8_t type, const void *body, size_t length)
{
	return ek_channel_send(((struct ek_ha *)arg)->channel, peer, type, body, length);
}

static size_t mirror_backlog(void *arg, size_t peer)
{
	return ek_channel_backlog(((struct ek_ha *)arg)->channel, peer);
}

static uint16_t mirror_adopt(void *arg, uint16_t service, const struct ek_ip *address)
{
	return ek_controller_adopt(((struct ek_ha *)arg)->c, service, address);
}

static void mirror_progress(void *arg, size_t peer)
{
	struct ek_ha *ha = arg;

	(void)peer;
	if (ha->unmirrored_us && !ek_mirror_silence_us(ha->mirror)) {
		ha->window_us = ek_ha_now_us() - ha->unmirrored_us;
		ha->window_max_us =
			ha->window_us > ha->window_max_us ? ha->window_us : ha->window_max_us;
		ha->unmirrored_us = 0;
	}
	if (ha->waiting)
		ek_controller_apply_soon(ha->c);
	ek_ha_recheck(ha);
}

/* --- life ------------------------------------------------------------------------------------ */

static int open_channel(struct ek_ha *ha, struct ek_error *error)
{
	const struct hello hello = own_hello(ha);
	struct ek_channel_secret secret;
	struct ek_channel_options options = {
		.node = ha->c->config->node,
		.secret = &secret,
		.ha = ha->config,
		.hello = &hello,
		.hello_length = sizeof(hello),
		.check = on_check,
		.up = on_up,
		.down = on_down,
		.message = on_message,
		.arg = ha,
	};
	int err = ek_channel_secret_read(ha->config->secret, &secret, error);

	if (err)
		return err;
	ha->channel = ek_channel_new(ha->c->base, &options, error);
	explicit_bzero(&secret, sizeof(secret));
	return ha->channel ? 0 : -EIO;
}

int ek_ha_peers_start(struct ek_ha *ha, struct ek_error *error)
{
	const struct ek_mirror_options options = {
		.datapath = ha->c->datapath,
		.state = &ha->c->state,
		.n_peers = ha->config->n_peers,
		.send = mirror_send,
		.backlog = mirror_backlog,
		.adopt = mirror_adopt,
		.progress = mirror_progress,
		.now_us = ek_ha_now_us,
		.arg = ha,
	};

	ha->n_peers = ha->config->n_peers;
	for (size_t p = 0; p < ha->n_peers; p++)
		ha->peers[p].config = &ha->config->peers[p];
	ek_ha_digest(ha);
	ha->mirror = ek_mirror_new(&options);
	if (!ha->mirror) {
		ek_error_set(error, "out of memory");
		return -ENOMEM;
	}
	return ha->config->secret[0] ? open_channel(ha, error) : 0;
}

void ek_ha_peers_stop(struct ek_ha *ha)
{
	if (ha->channel)
		ek_channel_free(ha->channel);
	ek_mirror_free(ha->mirror);
	json_decref(ha->said);
	ha->channel = NULL;
	ha->mirror = NULL;
}
