/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See channel.h: the birth and death of a channel, and what callers ask of it. None of this calls
 * back: what must be told is told from the loop, by channel_peer.c.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "channel_private.h"

#define RECORD_OVERHEAD 22u /* of TLS: header, inner type, tag */

/* --- birth and death ----------------------------------------------------------------------- */

static int fill(struct ek_channel *channel, struct event_base *base,
		const struct ek_channel_options *options, struct ek_error *error)
{
	const struct ek_config_ha *ha = options->ha;

	if (strlen(options->node) > EK_NAME_MAX || options->hello_length > EK_CHANNEL_HELLO_MAX ||
	    ha->n_addresses > EK_PEER_ADDRESSES_MAX || ha->n_peers > EK_PEERS_MAX) {
		ek_error_set(error, "the peer channel's settings exceed its limits");
		return -EINVAL;
	}
	channel->options = *options;
	channel->options.retry_ms = options->retry_ms ?: 500;
	channel->settings = (struct ek_channel_conn_settings){
		.base = base,
		.keys = ek_channel_keys_new(options->secret, error),
		.ping_ms = options->ping_ms ?: 500,
		.dead_ms = options->dead_ms ?: 2000,
		.ops = &ek_channel_peer_ops,
	};
	channel->hello = (struct ek_channel_hello){.version_min = EK_CHANNEL_VERSION,
						   .version_max = EK_CHANNEL_VERSION,
						   .caller_length = options->hello_length};
	snprintf(channel->hello.node, sizeof(channel->hello.node), "%s", options->node);
	if (options->hello_length)
		memcpy(channel->hello.caller, options->hello, options->hello_length);
	memcpy(channel->own, ha->addresses, sizeof(channel->own));
	channel->n_own = ha->n_addresses;
	channel->port = ha->port;
	channel->n_peers = ha->n_peers;
	if (!channel->settings.keys)
		return -EIO; /* with an error of its own */
	if (getrandom(&channel->hello.instance, sizeof(channel->hello.instance), 0) !=
	    sizeof(channel->hello.instance)) {
		ek_error_set(error, "no random numbers");
		return -EIO;
	}
	return 0;
}

struct ek_channel *ek_channel_new(struct event_base *base, const struct ek_channel_options *options,
				  struct ek_error *error)
{
	struct ek_channel *channel = calloc(1, sizeof(*channel));
	int err;

	if (!channel) {
		ek_error_set(error, "out of memory");
		return NULL;
	}
	LIST_INIT(&channel->conns);
	err = fill(channel, base, options, error);
	for (size_t i = 0; !err && i < channel->n_own; i++)
		err = ek_channel_listen(channel, i, error);
	for (size_t i = 0; !err && i < channel->n_peers; i++) {
		err = ek_channel_peer_init(channel, i, &options->ha->peers[i]);
		if (err)
			ek_error_set(error, "out of memory");
	}
	if (!err)
		return channel;
	ek_channel_free(channel);
	return NULL;
}

void ek_channel_free(struct ek_channel *channel)
{
	struct ek_channel_conn *conn;

	if (!channel)
		return;
	while ((conn = LIST_FIRST(&channel->conns))) {
		LIST_REMOVE(conn, entry);
		ek_channel_conn_free(conn);
	}
	for (size_t i = 0; i < channel->n_own; i++)
		ek_channel_listener_close(&channel->listeners[i]);
	for (size_t i = 0; i < channel->n_peers; i++)
		for (size_t k = 0; k < channel->peers[i].n_links; k++)
			event_free(channel->peers[i].links[k].retry);
	ek_channel_keys_free(channel->settings.keys);
	free(channel);
}

/* --- what callers ask ---------------------------------------------------------------------- */

static struct ek_channel_conn *active(const struct ek_channel *channel, size_t peer)
{
	struct ek_channel_conn *conn = peer < channel->n_peers ? channel->peers[peer].active : NULL;

	return conn && !conn->doomed ? conn : NULL;
}

/* A frame's bytes on the wire. */
static size_t wire_size(size_t length)
{
	size_t frame = EK_CHANNEL_HEADER + length;

	return frame + RECORD_OVERHEAD * (frame / EK_CHANNEL_RECORD_MAX + 1);
}

int ek_channel_send(struct ek_channel *channel, size_t peer, uint8_t type, const void *body,
		    size_t length)
{
	struct ek_channel_conn *conn = active(channel, peer);

	if (type > EK_CHANNEL_TYPE_MAX)
		return -EINVAL;
	if (length > EK_CHANNEL_MESSAGE_MAX)
		return -EMSGSIZE;
	if (!conn)
		return -ENOTCONN;
	if (ek_channel_conn_backlog(conn) + wire_size(length) > EK_CHANNEL_BACKLOG_MAX)
		return -EAGAIN;
	if (ek_channel_conn_send(conn, type, body, length))
		return -ENOTCONN;
	conn->link->sent++;
	return 0;
}

bool ek_channel_is_up(const struct ek_channel *channel, size_t peer)
{
	return active(channel, peer) != NULL;
}

size_t ek_channel_backlog(const struct ek_channel *channel, size_t peer)
{
	const struct ek_channel_conn *conn = active(channel, peer);

	return conn ? ek_channel_conn_backlog(conn) : 0;
}

void ek_channel_reject(struct ek_channel *channel, size_t peer, const char *why)
{
	struct ek_channel_conn *conn = active(channel, peer);

	if (conn)
		ek_channel_conn_doom(conn, why);
}

size_t ek_channel_links(const struct ek_channel *channel, size_t peer)
{
	return peer < channel->n_peers ? channel->peers[peer].n_links : 0;
}

struct ek_channel_link_status ek_channel_link(const struct ek_channel *channel, size_t peer,
					      size_t i)
{
	const struct ek_channel_link *link = &channel->peers[peer].links[i];
	bool shaking = link->state == EK_CHANNEL_CONNECTING && link->conn && link->conn->tls;
	struct ek_channel_link_status status = {
		.address = link->address,
		.state = shaking ? EK_CHANNEL_HANDSHAKE : link->state,
		.active = link->conn && link->conn == active(channel, peer),
		.since = link->since,
		.sent = link->sent,
		.received = link->received,
		.backlog = link->conn ? ek_channel_conn_backlog(link->conn) : 0,
	};

	snprintf(status.why, sizeof(status.why), "%s", link->why);
	return status;
}

struct ek_channel_counters ek_channel_counters(const struct ek_channel *channel)
{
	return channel->counters;
}

const char *ek_channel_state_name(enum ek_channel_state state)
{
	static const char *const names[] = {
		[EK_CHANNEL_CONNECTING] = "connecting",
		[EK_CHANNEL_HANDSHAKE] = "handshake",
		[EK_CHANNEL_UP] = "up",
		[EK_CHANNEL_REFUSED] = "refused",
	};

	return names[state];
}
