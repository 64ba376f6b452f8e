/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses and prefixes as text, and struct ek_ip: both families in the 16 bytes of an IPv6
 * address, IPv4 v4-mapped (RFC 4291 section 2.5.5.2). No name resolution.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ip.h"

struct ek_ip ek_ip_from4(in_addr_t address)
{
	struct ek_ip ip = {.halves = {0, EK_V4_MAPPED | (__u64)address << 32}};

	return ip;
}

int ek_ip_parse(const char *text, struct ek_ip *out)
{
	struct in_addr v4;
	struct ek_ip ip;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		*out = ek_ip_from4(v4.s_addr);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &ip) != 1 || ek_ip_is_v4(&ip))
		return -EINVAL;
	*out = ip;
	return 0;
}

/* Are all bits after the first `length` of the 128 zero? */
static bool host_bits_zero(const struct ek_ip *ip, unsigned int length)
{
	if (length % 8 && ip->bytes[length / 8] & 0xff >> length % 8)
		return false;
	for (unsigned int i = (length + 7) / 8; i < sizeof(ip->bytes); i++)
		if (ip->bytes[i])
			return false;
	return true;
}

/* One to three digits, no sign, no leading zero. -EINVAL, or the number. */
static int parse_length(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 3 || text[digits] || (digits > 1 && text[0] == '0'))
		return -EINVAL;
	return atoi(text);
}

int ek_prefix_parse(const char *text, struct ek_ip *out, unsigned int *length)
{
	const char *slash = strchr(text, '/');
	size_t address_length = slash ? (size_t)(slash - text) : strlen(text);
	char address[INET6_ADDRSTRLEN];
	struct ek_ip ip;
	int bits, whole;

	if (address_length >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, address_length);
	address[address_length] = '\0';
	if (ek_ip_parse(address, &ip))
		return -EINVAL;

	whole = ek_ip_is_v4(&ip) ? 32 : 128;
	bits = slash ? parse_length(slash + 1) : whole;
	if (bits < 0 || bits > whole || !host_bits_zero(&ip, 128 - whole + bits))
		return -EINVAL;
	*out = ip;
	*length = bits;
	return 0;
}

const char *ek_ip_format(const struct ek_ip *ip, char *out)
{
	if (ek_ip_is_v4(ip))
		inet_ntop(AF_INET, &ip->words[3], out, EK_IP_TEXT);
	else
		inet_ntop(AF_INET6, ip, out, EK_IP_TEXT);
	return out;
}

const char *ek_prefix_format(const struct ek_ip *ip, unsigned int length, char *out)
{
	size_t end = strlen(ek_ip_format(ip, out));

	if (length < 128)
		snprintf(out + end, EK_PREFIX_TEXT - end, "/%u",
			 ek_ip_is_v4(ip) ? length - 96 : length);
	return out;
}

struct ek_ip ek_ip_mask(const struct ek_ip *ip, unsigned int length)
{
	struct ek_ip out = *ip;

	for (unsigned int i = 0; i < sizeof(out.bytes); i++) {
		unsigned int bits = length > 8 * i ? length - 8 * i : 0;

		if (bits < 8)
			out.bytes[i] &= ~(0xff >> bits);
	}
	return out;
}

int ek_ip_family(const struct ek_ip *ip)
{
	return ek_ip_is_v4(ip) ? AF_INET : AF_INET6;
}

bool ek_ip_equal(const struct ek_ip *a, const struct ek_ip *b)
{
	return a->halves[0] == b->halves[0] && a->halves[1] == b->halves[1];
}

int ek_ip_compare(const struct ek_ip *a, const struct ek_ip *b)
{
	return memcmp(a, b, sizeof(*a));
}

bool ek_ip_is_zero(const struct ek_ip *ip)
{
	return !ip->halves[0] && !ip->halves[1];
}

static const char *unusable4(in_addr_t address)
{
	in_addr_t host = ntohl(address);

	if (host == INADDR_ANY)
		return "unspecified";
	if (host == INADDR_BROADCAST)
		return "broadcast";
	if (host >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET)
		return "loopback";
	return IN_MULTICAST(host) ? "multicast" : NULL;
}

const char *ek_ip_unusable(const struct ek_ip *ip)
{
	struct in6_addr v6;

	if (ek_ip_is_v4(ip))
		return unusable4(ip->words[3]);
	memcpy(&v6, ip, sizeof(v6));
	if (IN6_IS_ADDR_UNSPECIFIED(&v6))
		return "unspecified";
	if (IN6_IS_ADDR_LOOPBACK(&v6))
		return "loopback";
	if (IN6_IS_ADDR_LINKLOCAL(&v6))
		return "link-local";
	return IN6_IS_ADDR_MULTICAST(&v6) ? "multicast" : NULL;
}

socklen_t ek_ip_sockaddr(const struct ek_ip *ip, in_port_t port, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (ek_ip_is_v4(ip)) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)out;

		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		v4->sin_addr.s_addr = ip->words[3];
		return sizeof(*v4);
	}
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, ip, sizeof(v6->sin6_addr));
	return sizeof(*v6);
}

bool ek_ip_is_link_local(const struct ek_ip *ip)
{
	return ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}
