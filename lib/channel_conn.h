/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One connection of the peer channel: its socket, its TLS, its heartbeat, and the frames on it.
 * channel.c makes them, answers their frames and hears of their end; which peer is behind one and
 * what the connection is for is its business.
 *
 * Liveness: a ping when nothing else was sent for ping_ms; the end when nothing authentic came, or
 * nothing could be written of what waits, for dead_ms; or when a deadline that channel.c set came.
 */
#ifndef EVENKEEL_CHANNEL_CONN_H
#define EVENKEEL_CHANNEL_CONN_H

#include <sys/queue.h>
#include "channel_frame.h"
#include "channel_tls.h"

struct event;
struct ek_channel_conn;

struct ek_channel_conn_ops {
	/* The peer has proved that it has the secret. */
	void (*secured)(struct ek_channel_conn *conn);
	/* A frame that `phase` allows, but for pings. NULL, or why the connection is over. */
	const char *(*frame)(struct ek_channel_conn *conn, uint8_t type, const uint8_t *body,
			     size_t length);
	/* It is over, for `why`; the memory goes when this returns. `fd` is still open. */
	void (*ended)(struct ek_channel_conn *conn, const char *why);
};

struct ek_channel_conn_settings {
	struct event_base *base;
	struct ek_channel_keys *keys;
	unsigned int ping_ms, dead_ms;
	const struct ek_channel_conn_ops *ops;
};

struct ek_channel_conn {
	/* channel.c's: */
	LIST_ENTRY(ek_channel_conn) entry;
	struct ek_channel_link *link;
	struct ek_ip remote;
	enum ek_channel_phase phase;
	uint64_t instance; /* of the peer, from its hello */
	bool client;
	bool refused; /* ends for what the peer is or says, not for the line */

	/* channel_conn.c's: */
	const struct ek_channel_conn_settings *settings;
	int fd;
	struct ek_channel_tls *tls; /* NULL: TCP is not connected yet */
	struct event *read, *write, *timer, *work;
	struct evbuffer *plain, *wire;
	uint64_t heard_ms, sent_ms, moved_ms; /* CLOCK_MONOTONIC; moved: output began or shrank */
	uint64_t deadline_ms;		      /* 0 = none */
	const char *deadline_why;
	bool busy;   /* in its own frames: not to be freed */
	bool doomed; /* ends in the next turn, for `why` */
	bool last;   /* nothing more will come: ends when all frames are read */
	char why[EK_CHANNEL_WHY_MAX];
};

/*
 * Takes the non-blocking `fd`, in all cases: of a client, on which connect() has begun. NULL: no
 * memory. The caller sets its own members afterwards; nothing is called before the loop turns.
 */
struct ek_channel_conn *ek_channel_conn_new(const struct ek_channel_conn_settings *settings, int fd,
					    bool client);
/* The end without a call of ended(): all is given back. */
void ek_channel_conn_free(struct ek_channel_conn *conn);
/* From the loop: the end at once, through ended(); within its own frame(), after that. */
void ek_channel_conn_drop(struct ek_channel_conn *conn, const char *why);
/* From anywhere: the end in the next turn of the loop. */
void ek_channel_conn_doom(struct ek_channel_conn *conn, const char *why);
/* 0 or -EPROTO, -ENOMEM: then it is doomed. Only once it is secured. */
int ek_channel_conn_send(struct ek_channel_conn *conn, uint8_t type, const void *body,
			 size_t length);
/* The end, for `why` (static), in `ms` from now, unless another is set or it is lifted by then. */
void ek_channel_conn_deadline(struct ek_channel_conn *conn, unsigned int ms, const char *why);
void ek_channel_conn_no_deadline(struct ek_channel_conn *conn);
size_t ek_channel_conn_backlog(const struct ek_channel_conn *conn);
/* What an errno is called in a `why`: EK_CHANNEL_WHY_MAX bytes in `out`, which it returns. */
const char *ek_channel_conn_error(int err, char *out);

#endif
