/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses and prefixes as text, and struct ek_ip. No name resolution, ever. */
#ifndef EVENKEEL_IP_H
#define EVENKEEL_IP_H

#include <stdbool.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <evenkeel/hash.h>

#define EK_IP_TEXT     48 /* an address */
#define EK_PREFIX_TEXT 52

/* 0, or -EINVAL. IPv4 dotted quad or IPv6; a v4-mapped IPv6 text is refused. */
int ek_ip_parse(const char *text, struct ek_ip *out);
/* "ADDRESS/LENGTH" or "ADDRESS" (a whole address). Host bits must be zero. 0 or -EINVAL. */
int ek_prefix_parse(const char *text, struct ek_ip *out, unsigned int *length);
/* Returns out, which holds at least EK_IP_TEXT bytes. */
const char *ek_ip_format(const struct ek_ip *ip, char *out);

/*
 * The same of a prefix of `length` of the 128 bits, with its length as it is written ("/28"); of a
 * whole address without. `out` holds at least EK_PREFIX_TEXT bytes.
 */
const char *ek_prefix_format(const struct ek_ip *ip, unsigned int length, char *out);

struct ek_ip ek_ip_from4(in_addr_t address);
/* The first `length` of the 128 bits, the others zero. */
struct ek_ip ek_ip_mask(const struct ek_ip *ip, unsigned int length);
int ek_ip_family(const struct ek_ip *ip); /* AF_INET or AF_INET6 */
bool ek_ip_equal(const struct ek_ip *a, const struct ek_ip *b);
int ek_ip_compare(const struct ek_ip *a, const struct ek_ip *b); /* as memcmp */
bool ek_ip_is_zero(const struct ek_ip *ip);			 /* all 16 bytes: not set */
bool ek_ip_is_link_local(const struct ek_ip *ip);		 /* fe80::/10 */
/*
 * Why no host on the network can be reached by this address ("unspecified", "loopback",
 * "multicast", "broadcast", "link-local": it needs an interface beside it), or NULL.
 */
const char *ek_ip_unusable(const struct ek_ip *ip);
/* Fills a sockaddr for connect(); returns its length. Port in host order. */
socklen_t ek_ip_sockaddr(const struct ek_ip *ip, in_port_t port, struct sockaddr_storage *out);

#endif
