/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TLS 1.3 (RFC 8446) for the peer channel, without a socket: what came off the wire goes in, what
 * is to go on it comes out. channel_conn.c does the reading and writing.
 *
 * Who has the secret is authentic: an external pre-shared key (section 4.2.11) with a fresh
 * Diffie-Hellman exchange (psk_dhe_ke), TLS_AES_128_GCM_SHA256, no certificates, tickets or early
 * data. Both sides have one key, so either may be shown its own messages by somebody between
 * ("Selfie"); the names in the hellos, inside the encryption, are what refuses that.
 */
#ifndef EVENKEEL_CHANNEL_TLS_H
#define EVENKEEL_CHANNEL_TLS_H

#include <stdbool.h>
#include "channel.h"

#define EK_CHANNEL_RECORD_MAX 16384u /* plain bytes of a record, RFC 8446 section 5.1 */

struct evbuffer;
struct ek_channel_keys; /* of all the connections of a node */
struct ek_channel_tls;	/* one connection */

/* NULL with error. Derives the key (HKDF-SHA256, RFC 5869); the secret is not kept. */
struct ek_channel_keys *ek_channel_keys_new(const struct ek_channel_secret *secret,
					    struct ek_error *error);
/* Wipes the key. Not before the last connection made with it. */
void ek_channel_keys_free(struct ek_channel_keys *keys);

/* NULL: no memory. A client's first flight is in `wire` when this returns. */
struct ek_channel_tls *ek_channel_tls_new(struct ek_channel_keys *keys, bool client,
					  struct evbuffer *wire);
void ek_channel_tls_free(struct ek_channel_tls *tls);

/*
 * Takes up to EK_CHANNEL_RECORD_MAX bytes off the wire, appends what they decrypt to to `plain`
 * and what is to be sent in answer to `wire`. NULL, or why the connection is over (static); an
 * alert for the peer may be in `wire` even so.
 */
const char *ek_channel_tls_feed(struct ek_channel_tls *tls, const void *bytes, size_t length,
				struct evbuffer *plain, struct evbuffer *wire);
/* After the handshake only. 0, -EPROTO, -ENOMEM. */
int ek_channel_tls_write(struct ek_channel_tls *tls, const void *plain, size_t length,
			 struct evbuffer *wire);
/* Is the handshake complete? Then the peer has the secret. */
bool ek_channel_tls_ready(const struct ek_channel_tls *tls);
/* Is the failure that feed() told a matter of the secret, not of the line? */
bool ek_channel_tls_refused(const struct ek_channel_tls *tls);

#endif
