/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The peer channel's own state. Three files share it: channel.c (birth, death and what callers
 * ask), channel_listen.c (sockets that wait for peers), channel_peer.c (links, hellos, and which
 * connection is active).
 */
#ifndef EVENKEEL_CHANNEL_PRIVATE_H
#define EVENKEEL_CHANNEL_PRIVATE_H

#include "channel_conn.h"

#define EK_CHANNEL_HANDSHAKE_MS 2000u /* from the first packet to the accepted hello */
#define EK_CHANNEL_PENDING_MAX	4u    /* connections from one address that are not yet up */

struct ek_channel_peer;

/*
 * A pair of addresses. Both sides count them alike when they list the server's addresses in the
 * same order: a client has one link to each of the peer's, a server one on each of its own.
 */
struct ek_channel_link {
	struct ek_channel_peer *peer;
	size_t own;		      /* index of our address; may be n_own: none of that number */
	struct ek_ip address;	      /* the peer's */
	struct ek_channel_conn *conn; /* client: that which is, or becomes, the link; server: that
					 which is up */
	struct event *retry;	      /* client: connects */
	enum ek_channel_state state;
	time_t since;
	char why[EK_CHANNEL_WHY_MAX];
	char logged[EK_CHANNEL_WHY_MAX]; /* the last reason in the log since it was up */
	time_t logged_at;
	uint64_t sent, received;
};

struct ek_channel_peer {
	struct ek_channel *channel;
	size_t index; /* in ha->peers */
	struct ek_config_peer config;
	bool client; /* that is what we are */
	struct ek_channel_link links[EK_PEER_ADDRESSES_MAX];
	size_t n_links;				     /* 0: no channel with it */
	struct ek_channel_conn *active, *activating; /* activating: a client's, not answered yet */
	uint64_t instance;			     /* of the peer's run, when it is known */
	uint64_t number;			     /* of the latest activation */
};

struct ek_channel_listener {
	struct ek_channel *channel;
	size_t own; /* index of our address */
	struct event *event;
	struct event *resume; /* accepts again after a shortage of descriptors */
};

struct ek_channel {
	struct ek_channel_options options; /* without what it points to, but for `arg` */
	struct ek_channel_conn_settings settings;
	struct ek_channel_hello hello;
	struct ek_ip own[EK_PEER_ADDRESSES_MAX];
	size_t n_own;
	uint16_t port;
	struct ek_channel_listener listeners[EK_PEER_ADDRESSES_MAX];
	struct ek_channel_peer peers[EK_PEERS_MAX];
	size_t n_peers;
	LIST_HEAD(, ek_channel_conn) conns;
	struct ek_channel_counters counters;
	time_t stranger_told;	      /* in the log */
	char why[EK_CHANNEL_WHY_MAX]; /* what frame() returns, until conn has copied it */
};

extern const struct ek_channel_conn_ops ek_channel_peer_ops;

/* Fills a peer of the channel; nothing is connected or called. 0, or -ENOMEM. */
int ek_channel_peer_init(struct ek_channel *channel, size_t index,
			 const struct ek_config_peer *config);
/* A connection from `remote` on our address `own`. Takes fd. */
void ek_channel_peer_admit(struct ek_channel *channel, size_t own, int fd,
			   const struct ek_ip *remote);

/* 0 or -errno with error. */
int ek_channel_listen(struct ek_channel *channel, size_t own, struct ek_error *error);
void ek_channel_listener_close(struct ek_channel_listener *listener);

#endif
