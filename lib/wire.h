/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The binary messages between peers: pure encoding and decoding, no socket. Numbers are in network
 * order, addresses and ports as in packets. The rest of the conversation is JSON (ha_peers.c).
 *
 * A writer grows its own buffer and remembers that memory failed; a reader remembers that it was
 * asked for more than there is. So a message is written or read without a check at each field, and
 * judged once at its end.
 */
#ifndef EVENKEEL_WIRE_H
#define EVENKEEL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "datapath_mirror.h"

/* Version of everything that is said over the channel, compared in the hello. */
#define EK_WIRE_FORMAT 2u

enum ek_wire_type {
	EK_WIRE_STATUS = 1,    /* JSON: health, roles, digests */
	EK_WIRE_CONFIG = 2,    /* JSON: format, digest, text of the services section */
	EK_WIRE_OVERRIDES = 3, /* JSON: what operators said */
	EK_WIRE_COMMAND = 4,   /* JSON: an operator's command to be carried out here too */
	EK_WIRE_ANSWER = 5,    /* JSON */
	EK_WIRE_WANT = 16,     /* number: send me everything, and END with that number */
	EK_WIRE_END = 17,
	EK_WIRE_MARK = 18, /* number: say so when all before this is done */
	EK_WIRE_ACK = 19,
	EK_WIRE_BACKENDS = 20,	/* struct ek_wire_backend ... */
	EK_WIRE_RING = 21,	/* service, struct ek_wire_slot ... */
	EK_WIRE_ENTRIES = 22,	/* struct ek_flow_image ... */
	EK_WIRE_DROPS = 23,	/* struct ek_wire_drop ... */
	EK_WIRE_FORGET = 24,	/* service, number, slots: may these forget? */
	EK_WIRE_FORGOTTEN = 25, /* service, number, slots that may not; the others have */
	EK_WIRE_TABLE = 26,	/* all entries follow, among others … */
	EK_WIRE_TABLE_END = 27, /* services that the sender owns: what was not sent is gone */
};

/* By the entry of the service table that names it. */
struct ek_wire_service {
	struct ek_ip vip;
	uint64_t key;
};

/* The sender's row number stands for the backend from here on. */
struct ek_wire_backend {
	uint16_t index;
	struct ek_wire_service service;
	struct ek_ip address;
};

struct ek_wire_slot {
	uint32_t slot, word; /* the word with the sender's rows */
};

struct ek_wire_drop {
	uint32_t bucket;
	uint64_t entry;
};

struct ek_wire_out {
	uint8_t *bytes; /* freed by ek_wire_free() */
	size_t length, room;
	bool failed;
};

struct ek_wire_in {
	const uint8_t *at, *end;
	bool bad;
};

void ek_wire_free(struct ek_wire_out *out);
void ek_wire_put16(struct ek_wire_out *out, uint16_t value);
void ek_wire_put32(struct ek_wire_out *out, uint32_t value);
void ek_wire_put64(struct ek_wire_out *out, uint64_t value);
void ek_wire_put_service(struct ek_wire_out *out, const struct ek_wire_service *service);
void ek_wire_put_backend(struct ek_wire_out *out, const struct ek_wire_backend *backend);
void ek_wire_put_slot(struct ek_wire_out *out, const struct ek_wire_slot *slot);
void ek_wire_put_image(struct ek_wire_out *out, const struct ek_flow_image *image);
void ek_wire_put_drop(struct ek_wire_out *out, const struct ek_wire_drop *drop);

/* Zeros once the message is used up, with `bad` set. */
uint16_t ek_wire_get16(struct ek_wire_in *in);
uint32_t ek_wire_get32(struct ek_wire_in *in);
uint64_t ek_wire_get64(struct ek_wire_in *in);
struct ek_wire_service ek_wire_get_service(struct ek_wire_in *in);
struct ek_wire_backend ek_wire_get_backend(struct ek_wire_in *in);
struct ek_wire_slot ek_wire_get_slot(struct ek_wire_in *in);
struct ek_flow_image ek_wire_get_image(struct ek_wire_in *in);
struct ek_wire_drop ek_wire_get_drop(struct ek_wire_in *in);
/* Is there another record? */
bool ek_wire_more(const struct ek_wire_in *in);

#endif
