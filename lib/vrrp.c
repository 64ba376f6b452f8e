/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VRRP version 3 advertisements as bytes (RFC 9568, section 5): built and parsed, nothing sent.
 * The socket's owner calls it; what a message means is vrrp_fsm.c's.
 *
 *      0                   1                   2                   3
 *     |version| type  |     VRID      |   priority    |     count     |
 *     | rsvd  |  interval in 10 ms    |           checksum            |
 *     |  count addresses of 4 or 16 bytes ...                         |
 */
#include <string.h>
#include <evenkeel/hash.h>
#include "ip.h"
#include "vrrp.h"

#define VERSION	       3u
#define ADVERTISEMENT  1u
#define HEADER	       8u
#define INTERVAL_MASK  0xfffu /* the upper four bits are reserved: sent as zero, not looked at */
#define CENTISECOND_MS 10u
#define COUNT_MAX      255u

const char *ek_vrrp_refusal_name(enum ek_vrrp_refusal refusal)
{
	static const char *const names[] = {[EK_VRRP_ACCEPTED] = "accepted",
#define X(name, text) [EK_VRRP_REFUSED_##name] = text,
					    EK_VRRP_REFUSALS(X)
#undef X
	};

	return names[refusal];
}

/* The bytes of an address as they are on the wire of its family. */
static const uint8_t *wire_bytes(const struct ek_ip *ip, size_t *length)
{
	*length = ek_ip_is_v4(ip) ? 4 : 16;
	return ip->bytes + sizeof(ip->bytes) - *length;
}

/* Sums of 16-bit words in network order; carries are folded at the end (RFC 1071). */
static uint64_t sum_bytes(const uint8_t *bytes, size_t length)
{
	uint64_t sum = 0;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint64_t)bytes[i] << 8 | bytes[i + 1];
	if (length % 2)
		sum += (uint64_t)bytes[length - 1] << 8;
	return sum;
}

/* RFC 8200, section 8.1; the shorter one of IPv4 holds the same words (RFC 9293, 3.1). */
static uint64_t sum_pseudo_header(const struct ek_ip *source, const struct ek_ip *destination,
				  size_t length)
{
	size_t size;
	const uint8_t *from = wire_bytes(source, &size);
	uint64_t sum = sum_bytes(from, size) + length;

	return sum + sum_bytes(wire_bytes(destination, &size), size) + EK_VRRP_PROTOCOL;
}

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static bool can_build(const struct ek_vrrp_advert *advert, const struct ek_ip *source,
		      const struct ek_ip *destination)
{
	unsigned int interval = advert->interval / CENTISECOND_MS;

	if (!advert->n_vips || advert->n_vips > COUNT_MAX || !interval || interval > INTERVAL_MASK)
		return false;
	for (size_t i = 0; i < advert->n_vips; i++)
		if (ek_ip_is_v4(&advert->vips[i]) != ek_ip_is_v4(source))
			return false;
	return ek_ip_is_v4(destination) == ek_ip_is_v4(source);
}

size_t ek_vrrp_build(const struct ek_vrrp_advert *advert, const struct ek_ip *source,
		     const struct ek_ip *destination, bool pseudo_header, uint8_t *out, size_t size)
{
	size_t width = ek_ip_is_v4(source) ? 4 : 16;
	size_t length = HEADER + advert->n_vips * width;
	unsigned int interval = advert->interval / CENTISECOND_MS;
	uint64_t sum;
	uint16_t checksum;

	if (!can_build(advert, source, destination) || length > size)
		return 0;
	out[0] = VERSION << 4 | ADVERTISEMENT;
	out[1] = advert->vrid;
	out[2] = advert->priority;
	out[3] = advert->n_vips;
	out[4] = interval >> 8;
	out[5] = interval;
	out[6] = out[7] = 0;
	for (size_t i = 0; i < advert->n_vips; i++)
		memcpy(out + HEADER + i * width, wire_bytes(&advert->vips[i], &width), width);

	sum = sum_bytes(out, length);
	if (pseudo_header || !ek_ip_is_v4(source))
		sum += sum_pseudo_header(source, destination, length);
	checksum = ~fold(sum);
	out[6] = checksum >> 8;
	out[7] = checksum;
	return length;
}

/* Is the checksum right? `pseudo_header`: it is for IPv4 too, and only so. */
static bool checksum_holds(const uint8_t *message, size_t length, const struct ek_ip *source,
			   const struct ek_ip *destination, bool *pseudo_header)
{
	uint64_t sum = sum_bytes(message, length);
	bool alone = ek_ip_is_v4(source) && fold(sum) == 0xffff;

	*pseudo_header = ek_ip_is_v4(source) && !alone;
	return alone || fold(sum + sum_pseudo_header(source, destination, length)) == 0xffff;
}

/* The addresses, all of the message's family: a v4-mapped one in IPv6 is nobody's VIP. */
static bool parse_vips(const uint8_t *at, size_t width, struct ek_vrrp_heard *out)
{
	for (size_t i = 0; i < out->n_vips; i++, at += width) {
		struct ek_ip *vip = &out->vips[i];

		*vip = ek_ip_from4(0);
		memcpy(vip->bytes + sizeof(vip->bytes) - width, at, width);
		if (width != 4 && ek_ip_is_v4(vip))
			return false;
	}
	return true;
}

enum ek_vrrp_refusal ek_vrrp_parse(const uint8_t *message, size_t length, uint8_t ttl,
				   const struct ek_ip *source, const struct ek_ip *destination,
				   struct ek_vrrp_heard *out)
{
	size_t width = ek_ip_is_v4(source) ? 4 : 16;
	struct ek_vrrp_heard heard;

	if (ttl != EK_VRRP_TTL)
		return EK_VRRP_REFUSED_TTL;
	if (length < HEADER)
		return EK_VRRP_REFUSED_TRUNCATED;
	if (message[0] >> 4 != VERSION)
		return EK_VRRP_REFUSED_VERSION;
	if ((message[0] & 0xf) != ADVERTISEMENT)
		return EK_VRRP_REFUSED_TYPE;
	if (!checksum_holds(message, length, source, destination, &heard.pseudo_header))
		return EK_VRRP_REFUSED_CHECKSUM;
	heard.n_vips = message[3];
	if (!heard.n_vips || length != HEADER + heard.n_vips * width)
		return EK_VRRP_REFUSED_COUNT;
	heard.interval = ((message[4] << 8 | message[5]) & INTERVAL_MASK) * CENTISECOND_MS;
	if (!heard.interval)
		return EK_VRRP_REFUSED_INTERVAL;
	if (!parse_vips(message + HEADER, width, &heard))
		return EK_VRRP_REFUSED_ADDRESSES;
	heard.vrid = message[1];
	heard.priority = message[2];
	memcpy(out, &heard, sizeof(heard));
	return EK_VRRP_ACCEPTED;
}
