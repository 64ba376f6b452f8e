/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The links to a peer: connecting and admitting, what each side thinks of the other's hello, and
 * which of the connections carries messages. See channel_private.h; connections call in through
 * ek_channel_peer_ops.
 *
 * The client alone chooses: of the connections that are up the one with the lowest index, and it
 * keeps it as long as that lives. An end that only one side has seen cannot lead to two opinions:
 * a side that ends an activation always closes its connection, the client by choosing another, the
 * server because the client has.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "channel_private.h"
#include "ip.h"
#include "log.h"

/* --- what is shown ------------------------------------------------------------------------- */

static void set_state(struct ek_channel_link *link, enum ek_channel_state state)
{
	if (link->state == state)
		return;
	link->state = state;
	link->since = time(NULL);
}

/* A refusal stands while it is tried again. */
static void set_trying(struct ek_channel_link *link, enum ek_channel_state state)
{
	if (link->state != EK_CHANNEL_REFUSED && link->state != EK_CHANNEL_UP)
		set_state(link, state);
}

static void note_failure(struct ek_channel_link *link, bool refused, const char *why)
{
	char address[EK_IP_TEXT];

	snprintf(link->why, sizeof(link->why), "%s", why);
	set_state(link, refused ? EK_CHANNEL_REFUSED : EK_CHANNEL_CONNECTING);
	/* A reason that stays is told at the next attempt; those that alternate flood no log. */
	if (!strcmp(link->logged, why) || link->logged_at == time(NULL))
		return;
	link->logged_at = time(NULL);
	snprintf(link->logged, sizeof(link->logged), "%s", why);
	ek_warn("channel: peer %s at %s: %s", link->peer->config.name,
		ek_ip_format(&link->address, address), why);
}

/* --- the active connection ----------------------------------------------------------------- */

static bool is_up(const struct ek_channel_conn *conn)
{
	return conn && conn->phase == EK_CHANNEL_PHASE_UP && !conn->doomed;
}

static void send_number(struct ek_channel_conn *conn, uint8_t type, uint64_t number)
{
	uint8_t body[8];

	ek_channel_number_encode(number, body);
	ek_channel_conn_send(conn, type, body, sizeof(body)); /* a failure ends it by itself */
}

static void choose(struct ek_channel_peer *peer)
{
	struct ek_channel_conn *conn = NULL;

	if (!peer->client || peer->active || peer->activating)
		return;
	for (size_t i = 0; i < peer->n_links && !is_up(conn); i++)
		conn = peer->links[i].conn;
	if (!is_up(conn))
		return;
	peer->activating = conn;
	ek_channel_conn_deadline(conn, peer->channel->settings.dead_ms,
				 "no answer to an activation");
	send_number(conn, EK_FRAME_ACTIVATE, ++peer->number);
}

static void begin_activation(struct ek_channel_conn *conn)
{
	struct ek_channel_peer *peer = conn->link->peer;
	const struct ek_channel_options *options = &peer->channel->options;

	peer->active = conn;
	options->up(options->arg, peer->index);
}

/* A server's. */
static const char *on_activate(struct ek_channel_conn *conn, uint64_t number)
{
	struct ek_channel_peer *peer = conn->link->peer;

	if (number <= peer->number || peer->active == conn)
		return "an activation that another has overtaken";
	peer->number = number;
	if (peer->active)
		ek_channel_conn_drop(peer->active, "the peer changed to another link");
	send_number(conn, EK_FRAME_ACTIVATED, number);
	begin_activation(conn);
	return NULL;
}

/* A client's. */
static const char *on_activated(struct ek_channel_conn *conn, uint64_t number)
{
	struct ek_channel_peer *peer = conn->link->peer;

	if (peer->activating != conn || number != peer->number)
		return "malformed: an activation that was not asked for";
	peer->activating = NULL;
	ek_channel_conn_no_deadline(conn);
	begin_activation(conn);
	return NULL;
}

static const char *on_message(struct ek_channel_conn *conn, uint8_t type, const uint8_t *body,
			      size_t length)
{
	struct ek_channel_peer *peer = conn->link->peer;
	const struct ek_channel_options *options = &peer->channel->options;

	if (peer->active != conn)
		return "malformed: a message on a link that is not active";
	conn->link->received++;
	options->message(options->arg, peer->index, type, body, length);
	return NULL;
}

/* --- hellos -------------------------------------------------------------------------------- */

static void on_secured(struct ek_channel_conn *conn)
{
	uint8_t body[EK_CHANNEL_BODY_OWN];
	size_t length = ek_channel_hello_encode(&conn->link->peer->channel->hello, body);

	ek_channel_conn_send(conn, EK_FRAME_HELLO, body, length);
}

/* NULL, or why this peer is not to be had, in channel->why. */
static const char *judge(struct ek_channel_conn *conn, const uint8_t *body, size_t length)
{
	const struct ek_channel_peer *peer = conn->link->peer;
	struct ek_channel *channel = peer->channel;
	const struct ek_channel_options *options = &channel->options;
	struct ek_channel_hello hello;
	const char *why;

	if (!ek_channel_hello_decode(body, length, &channel->hello, peer->config.name, &hello,
				     channel->why))
		return channel->why;
	if (conn->client != peer->client)
		why = "the peer expects another name of us";
	else
		why = options->check(options->arg, peer->index, hello.caller, hello.caller_length);
	conn->instance = hello.instance;
	if (!why)
		return NULL;
	snprintf(channel->why, sizeof(channel->why), "%s", why);
	return channel->why;
}

static const char *on_hello(struct ek_channel_conn *conn, const uint8_t *body, size_t length)
{
	const char *why = judge(conn, body, length);

	if (why) {
		conn->refused = true;
		ek_channel_conn_send(conn, EK_FRAME_REFUSE, why, strlen(why));
		return why;
	}
	conn->phase = EK_CHANNEL_PHASE_ACCEPT;
	ek_channel_conn_send(conn, EK_FRAME_ACCEPT, NULL, 0);
	return NULL;
}

static const char *on_refuse(struct ek_channel_conn *conn, const uint8_t *body, size_t length)
{
	char *why = conn->link->peer->channel->why;

	conn->refused = true;
	ek_channel_refusal_text(body, length, why);
	return why;
}

/* What a former run of the peer has left behind is dead, whether we have seen it die or not. */
static void drop_former(struct ek_channel_peer *peer, uint64_t instance)
{
	for (size_t i = 0; i < peer->n_links; i++) {
		struct ek_channel_conn *conn = peer->links[i].conn;

		if (is_up(conn) && conn->instance != instance)
			ek_channel_conn_drop(conn, "the peer has started anew");
	}
	peer->instance = instance;
	if (!peer->client)
		peer->number = 0;
}

static void on_accept(struct ek_channel_conn *conn)
{
	struct ek_channel_link *link = conn->link;
	struct ek_channel_peer *peer = link->peer;
	char address[EK_IP_TEXT];

	if (peer->instance != conn->instance)
		drop_former(peer, conn->instance);
	if (link->conn && link->conn != conn)
		ek_channel_conn_drop(link->conn, "the peer connected again");
	conn->phase = EK_CHANNEL_PHASE_UP;
	ek_channel_conn_no_deadline(conn);
	link->conn = conn;
	link->address = conn->remote;
	link->logged[0] = '\0';
	link->logged_at = 0;
	set_state(link, EK_CHANNEL_UP);
	ek_notice("channel: peer %s at %s: up", peer->config.name,
		  ek_ip_format(&link->address, address));
	choose(peer);
}

static const char *on_frame(struct ek_channel_conn *conn, uint8_t type, const uint8_t *body,
			    size_t length)
{
	switch (type) {
	case EK_FRAME_HELLO:
		return on_hello(conn, body, length);
	case EK_FRAME_REFUSE:
		return on_refuse(conn, body, length);
	case EK_FRAME_ACCEPT:
		on_accept(conn);
		return NULL;
	case EK_FRAME_ACTIVATE:
		return on_activate(conn, ek_channel_number_decode(body));
	case EK_FRAME_ACTIVATED:
		return on_activated(conn, ek_channel_number_decode(body));
	default:
		return on_message(conn, type, body, length);
	}
}

/* --- connecting ---------------------------------------------------------------------------- */

static void retry_later(struct ek_channel_link *link)
{
	unsigned int ms = link->peer->channel->options.retry_ms;
	struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_add(link->retry, &delay);
}

static void on_ended(struct ek_channel_conn *conn, const char *why)
{
	struct ek_channel_link *link = conn->link;
	struct ek_channel_peer *peer = link->peer;
	const struct ek_channel_options *options = &peer->channel->options;
	bool was_active = peer->active == conn;

	LIST_REMOVE(conn, entry);
	if (link->conn == conn)
		link->conn = NULL;
	if (peer->activating == conn)
		peer->activating = NULL;
	if (was_active)
		peer->active = NULL;
	if (!conn->client && conn->phase != EK_CHANNEL_PHASE_UP)
		peer->channel->counters.failed++;
	/* One that came beside a link that is up says nothing about the link. */
	if (!is_up(link->conn))
		note_failure(link, conn->refused, why);
	if (conn->client)
		retry_later(link);
	if (was_active)
		options->down(options->arg, peer->index);
	choose(peer);
}

const struct ek_channel_conn_ops ek_channel_peer_ops = {
	.secured = on_secured,
	.frame = on_frame,
	.ended = on_ended,
};

/* From our address of the same number, so that two links do not leave by one interface. */
static int bind_source(const struct ek_channel_link *link, int fd)
{
	const struct ek_channel *channel = link->peer->channel;
	struct sockaddr_storage address;
	socklen_t length;
	int one = 1;

	if (link->own >= channel->n_own ||
	    ek_ip_family(&channel->own[link->own]) != ek_ip_family(&link->address))
		return 0;
	length = ek_ip_sockaddr(&channel->own[link->own], 0, &address);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return bind(fd, (struct sockaddr *)&address, length) ? -errno : 0;
}

/* A socket on which a connection has begun, or -errno with what failed. */
static int begin_connect(const struct ek_channel_link *link, const char **what)
{
	struct sockaddr_storage address;
	socklen_t length = ek_ip_sockaddr(&link->address, link->peer->channel->port, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

	*what = "";
	if (fd < 0)
		return -errno;
	err = bind_source(link, fd);
	if (err)
		*what = "our own address: ";
	else if (connect(fd, (struct sockaddr *)&address, length) && errno != EINPROGRESS)
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static struct ek_channel_conn *add_conn(struct ek_channel_link *link, int fd, bool client,
					const struct ek_ip *remote)
{
	struct ek_channel *channel = link->peer->channel;
	struct ek_channel_conn *conn = ek_channel_conn_new(&channel->settings, fd, client);

	if (!conn)
		return NULL;
	conn->link = link;
	conn->remote = *remote;
	LIST_INSERT_HEAD(&channel->conns, conn, entry);
	ek_channel_conn_deadline(conn, EK_CHANNEL_HANDSHAKE_MS,
				 client ? "timed out" : "timed out within the handshake");
	return conn;
}

static void on_retry(evutil_socket_t unused, short event, void *arg)
{
	struct ek_channel_link *link = arg;
	char why[EK_CHANNEL_WHY_MAX], text[EK_CHANNEL_WHY_MAX];
	const char *what;
	int fd = begin_connect(link, &what);

	(void)unused;
	(void)event;
	set_trying(link, EK_CHANNEL_CONNECTING);
	if (fd >= 0)
		link->conn = add_conn(link, fd, true, &link->address);
	if (link->conn)
		return;
	snprintf(why, sizeof(why), "%s%.100s", what,
		 ek_channel_conn_error(fd < 0 ? -fd : ENOMEM, text));
	note_failure(link, false, why);
	retry_later(link);
}

/* --- admitting ----------------------------------------------------------------------------- */

static struct ek_channel_peer *find_peer(struct ek_channel *channel, const struct ek_ip *remote)
{
	for (struct ek_channel_peer *peer = channel->peers;
	     peer < channel->peers + channel->n_peers; peer++)
		for (size_t i = 0; peer->n_links && i < peer->config.n_addresses; i++)
			if (ek_ip_equal(&peer->config.addresses[i], remote))
				return peer;
	return NULL;
}

static struct ek_channel_link *find_link(struct ek_channel_peer *peer, size_t own)
{
	for (size_t i = 0; i < peer->n_links; i++)
		if (peer->links[i].own == own)
			return &peer->links[i];
	return &peer->links[0];
}

static bool crowded(const struct ek_channel *channel, const struct ek_ip *remote)
{
	const struct ek_channel_conn *conn;
	unsigned int pending = 0;

	LIST_FOREACH(conn, &channel->conns, entry)
	if (!conn->client && conn->phase != EK_CHANNEL_PHASE_UP &&
	    ek_ip_equal(&conn->remote, remote))
		pending++;
	return pending >= EK_CHANNEL_PENDING_MAX;
}

/* Once a minute: a node of ours with an address that is missing here would never be noticed. */
static void tell_stranger(struct ek_channel *channel, const struct ek_ip *remote)
{
	char address[EK_IP_TEXT];
	time_t now = time(NULL);

	channel->counters.strangers++;
	if (channel->stranger_told && now - channel->stranger_told < 60)
		return;
	channel->stranger_told = now;
	ek_notice("channel: closed a connection from %s, which is no peer's address",
		  ek_ip_format(remote, address));
}

void ek_channel_peer_admit(struct ek_channel *channel, size_t own, int fd,
			   const struct ek_ip *remote)
{
	struct ek_channel_peer *peer = find_peer(channel, remote);
	struct ek_channel_link *link;

	if (!peer) {
		tell_stranger(channel, remote);
		close(fd);
		return;
	}
	if (crowded(channel, remote)) {
		channel->counters.crowded++;
		close(fd);
		return;
	}
	link = find_link(peer, own);
	if (add_conn(link, fd, false, remote))
		set_trying(link, EK_CHANNEL_HANDSHAKE);
}

/* --- birth --------------------------------------------------------------------------------- */

/* The peer's address that a link on our address `own` is shown with until it connects, or NULL. */
static const struct ek_ip *likely_address(const struct ek_channel *channel,
					  const struct ek_config_peer *config, size_t own)
{
	int family = ek_ip_family(&channel->own[own]);

	if (own < config->n_addresses && ek_ip_family(&config->addresses[own]) == family)
		return &config->addresses[own];
	for (size_t i = 0; i < config->n_addresses; i++)
		if (ek_ip_family(&config->addresses[i]) == family)
			return &config->addresses[i];
	return NULL;
}

static int add_link(struct ek_channel_peer *peer, size_t own, const struct ek_ip *address)
{
	struct ek_channel_link *link = &peer->links[peer->n_links];
	static const struct timeval at_once = {0};

	link->peer = peer;
	link->own = own;
	link->address = *address;
	link->since = time(NULL);
	link->retry = evtimer_new(peer->channel->settings.base, on_retry, link);
	if (!link->retry)
		return -ENOMEM;
	peer->n_links++;
	return peer->client ? event_add(link->retry, &at_once) : 0;
}

int ek_channel_peer_init(struct ek_channel *channel, size_t index,
			 const struct ek_config_peer *config)
{
	struct ek_channel_peer *peer = &channel->peers[index];
	int err = 0;

	peer->channel = channel;
	peer->index = index;
	peer->config = *config;
	peer->client = strcmp(channel->hello.node, config->name) < 0;
	if (!config->channel)
		return 0;
	if (peer->client) {
		for (size_t i = 0; i < config->n_addresses && !err; i++)
			err = add_link(peer, i, &config->addresses[i]);
		return err;
	}
	for (size_t i = 0; i < channel->n_own && !err; i++) {
		const struct ek_ip *address = likely_address(channel, config, i);

		if (address)
			err = add_link(peer, i, address);
	}
	return err;
}
