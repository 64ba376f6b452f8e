/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VRRP adverts in and out: one raw socket of one family, either for the VRRP group on one interface
 * (RFC 9568, sections 5.1.1 and 5.1.2) or for unicast to configured peers on any. It checks nothing
 * of the message: see vrrp.h for that. In the caller's network namespace. Called by ha.c.
 */
#ifndef EVENKEEL_VRRP_SOCKET_H
#define EVENKEEL_VRRP_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <evenkeel/abi.h>
#include "error.h"

struct event_base;
struct ek_vrrp_socket;

/*
 * A packet of IP protocol 112: `message` is what follows the IP header (and the extension headers),
 * `ttl` its TTL or hop limit, `ifindex` where it came in. A multicast socket passes on what was
 * sent to the group, a unicast socket what was sent to an address of this host, so that a packet
 * reaches one kind only. The socket must not be freed from here.
 */
typedef void (*ek_vrrp_socket_message)(void *arg, int family, const uint8_t *message, size_t length,
				       uint8_t ttl, const struct ek_ip *source,
				       const struct ek_ip *destination, int ifindex);

/*
 * `family` is AF_INET or AF_INET6. Multicast: bound to `interface`, member of 224.0.0.18 or
 * ff02::12 there. Unicast: `interface` is not looked at and may be NULL. What is sent has TTL 255,
 * DSCP CS6 and the priority of network control, and is not looped back. NULL with error.
 */
struct ek_vrrp_socket *ek_vrrp_socket_new(struct event_base *base, const char *interface,
					  int family, bool unicast,
					  ek_vrrp_socket_message on_message, void *arg,
					  struct ek_error *error);
void ek_vrrp_socket_free(struct ek_vrrp_socket *s);

/*
 * One advert to `destination`: of the socket's family, the group or a peer. With a `source` (an
 * address of this host) it is sent from there, otherwise as the kernel chooses. Never blocks. 0 or
 * -errno, also for a source that the host does not have any more; -ENODEV on a multicast socket
 * whose interface is gone: one of that name that comes later wants a new socket.
 */
int ek_vrrp_socket_send(struct ek_vrrp_socket *s, const uint8_t *message, size_t length,
			const struct ek_ip *source, const struct ek_ip *destination);
/*
 * The address to send from toward `destination`, which the checksum needs beforehand: on a
 * multicast socket the interface's first IPv4 or its link-local IPv6 address, on a unicast socket
 * what the routing table says. 0 or -errno: -EADDRNOTAVAIL when the interface has none (yet).
 */
int ek_vrrp_socket_source(const struct ek_vrrp_socket *s, const struct ek_ip *destination,
			  struct ek_ip *out);
/* 224.0.0.18 or ff02::12. */
struct ek_ip ek_vrrp_group(int family);

#endif
