/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the peer channel says inside TLS: frames, and which of them may come when. Pure: bytes in,
 * verdicts out. channel_conn.c reads and writes frames with it, channel.c answers them.
 *
 * A frame is a length (32 bits, of what follows it), a type (8 bits) and a body, all numbers in
 * network order. A connection begins with a HELLO each way, then an ACCEPT or a REFUSE each way;
 * it is up when it was accepted on both sides. The client then chooses one connection to a peer
 * with ACTIVATE, and the server says ACTIVATED there: from then on it carries messages.
 */
#ifndef EVENKEEL_CHANNEL_FRAME_H
#define EVENKEEL_CHANNEL_FRAME_H

#include <stdbool.h>
#include "channel.h"

#define EK_CHANNEL_HEADER   5u
#define EK_CHANNEL_WHY_MAX  128u
#define EK_CHANNEL_BODY_OWN 512u /* no frame of the channel's own is longer */

/* The channel's own; messages have lower types (EK_CHANNEL_TYPE_MAX). */
enum ek_channel_type {
	EK_FRAME_HELLO = 240, /* struct ek_channel_hello */
	EK_FRAME_ACCEPT,      /* of the other's hello; empty */
	EK_FRAME_REFUSE,      /* of the other's hello: why, as printable ASCII; then the end */
	EK_FRAME_PING,	      /* empty, and not answered: each side sends its own */
	EK_FRAME_ACTIVATE,    /* from the client: a number, 64 bits, higher than before */
	EK_FRAME_ACTIVATED,   /* from the server: the same number */
};

enum ek_channel_phase {
	EK_CHANNEL_PHASE_HELLO,	 /* the peer has said nothing yet */
	EK_CHANNEL_PHASE_ACCEPT, /* its hello pleased; its verdict on ours is awaited */
	EK_CHANNEL_PHASE_UP,
};

struct ek_channel_hello {
	uint16_t version_min, version_max;
	uint32_t flags;	   /* 0; unknown ones are ignored */
	uint64_t instance; /* random, of this run of the node: another one is a restart */
	char node[EK_NAME_MAX + 1];
	uint8_t caller[EK_CHANNEL_HELLO_MAX];
	size_t caller_length;
};

/* Writes EK_CHANNEL_HEADER bytes. */
void ek_channel_frame_header(uint8_t *out, uint8_t type, size_t body_length);

/*
 * Reads EK_CHANNEL_HEADER bytes that came in `phase`, in which `client` is what we are. NULL with
 * the type and the length of the body, or what is malformed (static). Nothing of the body need
 * have come: a frame that is too long is known by its header.
 */
const char *ek_channel_frame_parse(const uint8_t *header, enum ek_channel_phase phase, bool client,
				   uint8_t *type, size_t *body_length);

/* The length of the body; `out` holds EK_CHANNEL_BODY_OWN bytes. */
size_t ek_channel_hello_encode(const struct ek_channel_hello *hello, uint8_t *out);

/*
 * Reads a HELLO's body and judges it: true, or false with what is wrong in `why`
 * (EK_CHANNEL_WHY_MAX bytes). `own` is our hello, `expected` the configured name of the peer.
 * The name is valid in `out` only when true, the caller's part then only bounded, not judged.
 */
bool ek_channel_hello_decode(const uint8_t *body, size_t length, const struct ek_channel_hello *own,
			     const char *expected, struct ek_channel_hello *out, char *why);

/* ACTIVATE and ACTIVATED: 8 bytes. */
void ek_channel_number_encode(uint64_t number, uint8_t *out);
uint64_t ek_channel_number_decode(const uint8_t *body);

/* The body of a REFUSE into `why`, after "refused by the peer: "; what is not printable as '?'. */
void ek_channel_refusal_text(const uint8_t *body, size_t length, char *why);

#endif
