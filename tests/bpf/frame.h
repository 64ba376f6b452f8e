/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames for packet tests, put together byte by byte from the RFCs: nothing here is taken from
 * what is under test. Addresses are struct ek_ip, IPv4 v4-mapped; everything else is host order.
 */
#ifndef EVENKEEL_TESTS_FRAME_H
#define EVENKEEL_TESTS_FRAME_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <evenkeel/abi.h>

#define ETHERNET  14
#ifndef FRAME_MAX
#define FRAME_MAX 2048
#endif

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

struct frame {
	size_t length;
	uint8_t bytes[FRAME_MAX];
};

struct packet_spec {
	int family; /* 4 or 6 */
	unsigned int protocol;
	struct ek_ip source, destination;
	unsigned int source_port, destination_port;
	unsigned int tos;	   /* or traffic class */
	unsigned int id, fragment; /* IPv4: identification; flags and offset */
	unsigned int options;	   /* IPv4: words of options */
	unsigned int tcp_flags;
	unsigned int tcp_options; /* words */
	size_t payload;
	size_t padding; /* bytes of the frame after the packet */
};

static inline struct ek_ip address(const char *text)
{
	struct ek_ip ip = {.words[2] = htonl(0xffff)};

	if (inet_pton(AF_INET, text, &ip.words[3]) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, &ip), 1);
	return ip;
}

static inline void put(struct frame *f, const void *bytes, size_t n)
{
	assert_in_range(f->length + n, 0, FRAME_MAX);
	memcpy(f->bytes + f->length, bytes, n);
	f->length += n;
}

static inline void put8(struct frame *f, unsigned int value)
{
	const uint8_t byte = value;

	put(f, &byte, 1);
}

static inline void put16(struct frame *f, unsigned int value)
{
	put8(f, value >> 8);
	put8(f, value);
}

static inline void put_address(struct frame *f, int family, const struct ek_ip *ip)
{
	put(f, family == 4 ? &ip->bytes[12] : ip->bytes, family == 4 ? 4 : 16);
}

static inline void put_pattern(struct frame *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put8(f, 0xa0 + i % 89);
}

static inline void overwrite16(struct frame *f, size_t at, unsigned int value)
{
	f->bytes[at] = value >> 8;
	f->bytes[at + 1] = value;
}

static inline unsigned int read16(const struct frame *f, size_t at)
{
	return f->bytes[at] << 8 | f->bytes[at + 1];
}

/* The Internet checksum of n bytes, n even (RFC 1071, section 1). */
static inline unsigned int checksum(const uint8_t *bytes, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i += 2)
		sum += bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* RFC 791: a header of 20 bytes; the caller adds options. */
static inline void put_ip4(struct frame *f, unsigned int tos, size_t length, unsigned int id,
			   unsigned int fragment, unsigned int ttl, unsigned int protocol)
{
	put8(f, 0x45);
	put8(f, tos);
	put16(f, length);
	put16(f, id);
	put16(f, fragment);
	put8(f, ttl);
	put8(f, protocol);
	put16(f, 0);
}

static inline void seal_ip4(struct frame *f, size_t at)
{
	overwrite16(f, at + 10, 0);
	overwrite16(f, at + 10, checksum(f->bytes + at, (f->bytes[at] & 15) * 4));
}

/* RFC 8200. */
static inline void put_ip6(struct frame *f, unsigned int class, unsigned int label, size_t payload,
			   unsigned int next, unsigned int limit)
{
	put8(f, 0x60 | class >> 4);
	put8(f, (class & 15) << 4 | label >> 16);
	put16(f, label & 0xffff);
	put16(f, payload);
	put8(f, next);
	put8(f, limit);
}

static inline void put_transport(struct frame *f, const struct packet_spec *p)
{
	if (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP) {
		put16(f, p->source_port);
		put16(f, p->destination_port);
	}
	if (p->protocol == IPPROTO_TCP) {
		put(f, "\x11\x22\x33\x44\x55\x66\x77\x88", 8);
		put8(f, (5 + p->tcp_options) << 4);
		put8(f, p->tcp_flags);
		put(f, "\xff\xff\xbe\xef\0\0", 6);
		for (unsigned int i = 0; i < p->tcp_options * 4; i++)
			put8(f, 1); /* no operation */
	} else if (p->protocol == IPPROTO_UDP) {
		put16(f, 8 + p->payload);
		put16(f, 0xbeef);
	}
	put_pattern(f, p->payload);
}

static inline size_t transport_size(const struct packet_spec *p)
{
	if (p->protocol == IPPROTO_TCP)
		return 20 + 4 * p->tcp_options + p->payload;
	return (p->protocol == IPPROTO_UDP ? 8 : 0) + p->payload;
}

static inline void build_frame(struct frame *f, const struct packet_spec *p, const uint8_t *to,
			       const uint8_t *from)
{
	size_t size = transport_size(p);

	f->length = 0;
	put(f, to, 6);
	put(f, from, 6);
	put16(f, p->family == 4 ? 0x0800 : 0x86dd);
	if (p->family == 4)
		put_ip4(f, p->tos, 20 + 4 * p->options + size, p->id, p->fragment, 63, p->protocol);
	else
		put_ip6(f, p->tos, 0x54321, size, p->protocol, 63);
	put_address(f, p->family, &p->source);
	put_address(f, p->family, &p->destination);
	for (unsigned int i = 0; p->family == 4 && i < p->options * 4; i++)
		put8(f, 1);
	if (p->family == 4) {
		f->bytes[ETHERNET] += p->options;
		seal_ip4(f, ETHERNET);
	}
	put_transport(f, p);
	put_pattern(f, p->padding);
}

static inline bool same_frame(const struct frame *a, const struct frame *b)
{
	return a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

#endif
