/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The peer channel: authenticated, encrypted streams of messages between the nodes of a cluster.
 * TLS 1.3 (RFC 8446) with a pre-shared key from a file, TLS_AES_128_GCM_SHA256, no certificates;
 * one TCP connection per peer and address pair, of which the node whose name sorts first is the
 * client, reconnecting for ever. All run on the event loop; nothing blocks.
 *
 * A connection begins with a hello each way (version range, node name, and what the caller gives as
 * its `hello` bytes). When both are accepted the connection is up. Of the connections to one peer
 * that are up, one carries messages ("active"); the others are kept alive for when it dies. A
 * message is an opaque byte string with a type; messages of one activation arrive in order, once,
 * or the activation ends. A change of the active connection is a `down` and an `up` to the caller,
 * who begins anew.
 *
 * The client decides which is active, by the order of the addresses, and stays with it while it
 * lives; the server follows. Links are counted by the peer's addresses on the client and by the own
 * ones on the server, so both sides name a link alike when their files list the same addresses in
 * the same order. A client connects from its own address of the link's number if that is of the
 * same family. Whoever does not come from a peer's address is closed at once.
 *
 * Framing inside TLS: channel_frame.h.
 *
 * Backpressure: ek_channel_send() never blocks and refuses (-EAGAIN) what would lift the unsent
 * bytes above EK_CHANNEL_BACKLOG_MAX. A peer that says nothing for `dead_ms`, or takes nothing, is
 * dropped; a peer that sends what is malformed or too long is dropped, by name.
 */
#ifndef EVENKEEL_CHANNEL_H
#define EVENKEEL_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include "config.h"
#include "error.h"

#define EK_CHANNEL_VERSION     1u
#define EK_CHANNEL_MESSAGE_MAX (1u << 20)
#define EK_CHANNEL_BACKLOG_MAX (64u << 20)
#define EK_CHANNEL_TYPE_MAX    239u /* of a message */
#define EK_CHANNEL_SECRET_MIN  16u  /* bytes of a secret file, trailing white space not counted */
#define EK_CHANNEL_SECRET_MAX  256u
#define EK_CHANNEL_HELLO_MAX   256u

struct event_base;
struct ek_channel;

struct ek_channel_secret {
	uint8_t bytes[EK_CHANNEL_SECRET_MAX];
	size_t length;
};

/*
 * Reads a secret file: regular (or a symbolic link to one), owned by root or the caller, no access
 * for group and others. 0 or -errno with an error that names the file and what is wrong; never the
 * content. `out` is untouched on failure.
 */
int ek_channel_secret_read(const char *path, struct ek_channel_secret *out, struct ek_error *error);

struct ek_channel_options {
	const char *node;			/* own name */
	const struct ek_channel_secret *secret; /* copied; the caller wipes his own */
	const struct ek_config_ha *ha;		/* addresses, port, peers; copied */
	const void *hello; /* the caller's part of the hello, up to EK_CHANNEL_HELLO_MAX; copied */
	size_t hello_length;
	unsigned int ping_ms, dead_ms; /* 0: 500, 2000 */
	unsigned int retry_ms;	       /* 0: 500 */

	/*
	 * All from the event loop, never from inside ek_channel_*(), none NULL. `peer` indexes
	 * ha->peers. They may call anything here but ek_channel_free(). `up` and `down` alternate;
	 * messages come, and can be sent, from `up` to `down`. `body` is not aligned, and gone
	 * after the call. Not called any more once ek_channel_free() began.
	 */
	/* The peer's part of the hello: NULL to accept it, or why not (a static text). */
	const char *(*check)(void *arg, size_t peer, const void *hello, size_t length);
	void (*up)(void *arg, size_t peer);
	void (*down)(void *arg, size_t peer);
	void (*message)(void *arg, size_t peer, uint8_t type, const void *body, size_t length);
	void *arg;
};

enum ek_channel_state {
	EK_CHANNEL_CONNECTING, /* or waiting for the peer to connect */
	EK_CHANNEL_HANDSHAKE,
	EK_CHANNEL_UP,
	EK_CHANNEL_REFUSED, /* wrong secret, version, name or hello; stands while it is retried */
};

struct ek_channel_link_status {
	struct ek_ip address; /* the peer's */
	enum ek_channel_state state;
	bool active;
	time_t since;		 /* of the state; of the day */
	char why[128];		 /* of the last failure, also when it is up again: "wrong secret",
				    "connection refused", … "" when there was none */
	uint64_t sent, received; /* messages, since ek_channel_new() */
	uint64_t backlog;	 /* unsent bytes */
};

/* Connections to us that came to nothing. */
struct ek_channel_counters {
	uint64_t strangers; /* closed at once: from what is no peer's address */
	uint64_t crowded;   /* … from a peer's, with too many unfinished ones before it */
	uint64_t failed;    /* from a peer's, and ended before it was up */
};

/*
 * Listens on the configured addresses and begins to connect. NULL with error. An own address that
 * is on no interface yet is no error. SIGPIPE must be ignored by the process.
 */
struct ek_channel *ek_channel_new(struct event_base *base, const struct ek_channel_options *options,
				  struct ek_error *error);
/* Closes everything; no callback is called, `down` neither. Never from a callback. NULL is fine. */
void ek_channel_free(struct ek_channel *channel);
/*
 * 0, -ENOTCONN, -EMSGSIZE, -EINVAL (the type), or -EAGAIN: too much is waiting. But for 0, nothing
 * was queued.
 */
int ek_channel_send(struct ek_channel *channel, size_t peer, uint8_t type, const void *body,
		    size_t length);
bool ek_channel_is_up(const struct ek_channel *channel, size_t peer);
size_t ek_channel_backlog(const struct ek_channel *channel, size_t peer);
/*
 * Ends the active connection of a peer whose messages made no sense; `why` is shown. The peer is
 * not up from here on; `down` follows from the loop, and in time another `up`.
 */
void ek_channel_reject(struct ek_channel *channel, size_t peer, const char *why);
size_t ek_channel_links(const struct ek_channel *channel, size_t peer);
struct ek_channel_link_status ek_channel_link(const struct ek_channel *channel, size_t peer,
					      size_t i);
struct ek_channel_counters ek_channel_counters(const struct ek_channel *channel);
const char *ek_channel_state_name(enum ek_channel_state state);

#endif
