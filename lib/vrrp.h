/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VRRP version 3 advertisements on the wire (RFC 9568, section 5): pure, no socket.
 *
 * An IPv4 checksum is computed over the message alone, as RFC 9568 says, or over a pseudo-header
 * too, as RFC 5798 was read by others (keepalived): both are accepted, which one is sent is a
 * choice. For IPv6 the pseudo-header is part of it.
 *
 * IPv4 addresses are v4-mapped; an interval in ms is ten times the field on the wire.
 */
#ifndef EVENKEEL_VRRP_H
#define EVENKEEL_VRRP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <evenkeel/abi.h>
#include "config.h"

#define EK_VRRP_PROTOCOL	112
#define EK_VRRP_TTL		255
#define EK_VRRP_PRIORITY_RESIGN 0
#define EK_VRRP_MESSAGE_MAX	(8 + 16 * EK_INSTANCE_VIPS_MAX)

struct ek_vrrp_advert {
	uint8_t vrid;
	uint8_t priority;
	unsigned int interval;	  /* ms, a multiple of 10, 10-40950; centiseconds on the wire */
	const struct ek_ip *vips; /* of one family */
	size_t n_vips;		  /* 1-255 */
};

/* Why a message is refused: each is counted by name. X(NAME, "text") */
#define EK_VRRP_REFUSALS(X)                               \
	X(TRUNCATED, "truncated")                         \
	X(VERSION, "not version 3")                       \
	X(TYPE, "not an advertisement")                   \
	X(TTL, "TTL or hop limit below 255")              \
	X(CHECKSUM, "wrong checksum")                     \
	X(COUNT, "address count does not fit the length") \
	X(INTERVAL, "interval of zero")                   \
	X(VRID, "no such virtual router here")            \
	X(SOURCE, "not from a configured peer")           \
	X(OWN, "our own")                                 \
	X(ADDRESSES, "other addresses than ours")

enum ek_vrrp_refusal {
	EK_VRRP_ACCEPTED = 0,
#define X(name, text) EK_VRRP_REFUSED_##name,
	EK_VRRP_REFUSALS(X)
#undef X
		EK_VRRP_REFUSAL_COUNT
};
const char *ek_vrrp_refusal_name(enum ek_vrrp_refusal refusal);

struct ek_vrrp_heard {
	uint8_t vrid, priority;
	unsigned int interval; /* ms */
	size_t n_vips;
	struct ek_ip vips[255];
	bool pseudo_header; /* IPv4: the checksum was right only with one */
};

/*
 * The VRRP message (without IP header). `source` and `destination` are of the family of the VIPs;
 * they enter the checksum for IPv6, and for IPv4 with `pseudo_header`. Returns its length, or 0
 * when `size` is too small, a VIP is of another family, or the advert is outside the limits above.
 */
size_t ek_vrrp_build(const struct ek_vrrp_advert *advert, const struct ek_ip *source,
		     const struct ek_ip *destination, bool pseudo_header, uint8_t *out,
		     size_t size);

/*
 * `message` is what follows the IP header; `ttl` and the addresses are that header's, `source`
 * gives the family. Fills `out` only if accepted.
 *
 * The first of these that holds is the reason to refuse: TTL, TRUNCATED (less than a header),
 * VERSION, TYPE, CHECKSUM (over the whole length), COUNT (zero, or more or fewer bytes than that
 * many addresses take), INTERVAL, ADDRESSES (an IPv4 address in an IPv6 message). Whether VRID,
 * source and addresses are right is the caller's question, as is our own message come back.
 * Reserved bits are not looked at.
 */
enum ek_vrrp_refusal ek_vrrp_parse(const uint8_t *message, size_t length, uint8_t ttl,
				   const struct ek_ip *source, const struct ek_ip *destination,
				   struct ek_vrrp_heard *out);

#endif
