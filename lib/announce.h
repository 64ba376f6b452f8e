/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Telling a network where VIPs are: gratuitous ARP (RFC 5227, RFC 826) and unsolicited neighbour
 * advertisements (RFC 4861) over AF_PACKET, membership of the VIPs' solicited-node groups, the
 * virtual MAC in the NIC's unicast filter, and kernel routes for routing daemons to redistribute.
 * Requests are answered by the data plane (bpf/neighbour.h), not here. Called by ha.c
 * and announce_gateway.c.
 */
#ifndef EVENKEEL_ANNOUNCE_H
#define EVENKEEL_ANNOUNCE_H

#include <stddef.h>
#include <stdint.h>
#include "config.h"
#include "error.h"

#define EK_ANNOUNCE_FRAME_MAX 96

/* 00:00:5e:00:01:VRID, and 02 for IPv6 (RFC 9568, 7.3). */
void ek_announce_vmac(uint8_t vrid, bool v6, uint8_t out[6]);

/* Pure: the whole broadcast or all-nodes multicast Ethernet frame. Returns its length. */
size_t ek_announce_frame(const struct ek_ip *vip, const uint8_t mac[6],
			 uint8_t out[EK_ANNOUNCE_FRAME_MAX]);

/*
 * Puts the VIP's solicited-node group into the NIC's multicast filter, or takes it out; neither
 * twice is an error. It outlives the process, as a membership does not; but only a membership is
 * reported to switches that look into MLD. 0 or -errno.
 */
int ek_announce_let_in(int ifindex, const struct ek_ip *vip, bool on);

struct ek_announcer; /* one instance on one interface: sockets, memberships, filter entries */

struct ek_announcer_options {
	const char *interface;
	int ifindex;
	const struct ek_ip *vips; /* copied */
	size_t n_vips;
	bool virtual_mac;
	uint8_t vrid;
};

/*
 * Opens the sockets, joins the solicited-node groups of the IPv6 VIPs and, with virtual_mac, has
 * the NIC accept the virtual MACs of the families present. Needed on a backup too: who claims must
 * hear requests at once. NULL with error. Undone by ek_announcer_free().
 */
struct ek_announcer *ek_announcer_new(const struct ek_announcer_options *options,
				      struct ek_error *error);
void ek_announcer_free(struct ek_announcer *a);
/*
 * Announces every VIP once with `mac` (the NIC's own; ignored with virtual_mac, whose frames are
 * sent from the virtual MAC, so that switches learn it). The caller repeats it as it likes. Returns
 * 0 or the first -errno; sends to the others all the same.
 */
int ek_announcer_send(struct ek_announcer *a, const uint8_t mac[6]);

/*
 * Adds or removes the host route of a VIP (dev lo, protocol EK_NETLINK_PROTOCOL, main table,
 * -EEXIST if somebody else's is there), for `announce: route`. Removing what is not there is no
 * error.
 */
int ek_announce_route(const struct ek_ip *vip, bool present);
/*
 * Removes every route of ours in the main table that is not in `keep`: what a controller that died
 * has left. 0 or -errno.
 */
int ek_announce_routes_flush(const struct ek_ip *keep, size_t n);

#endif
