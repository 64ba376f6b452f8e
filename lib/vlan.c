/* SPDX-License-Identifier: GPL-2.0-only */
/* See vlan.h. */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include "vlan.h"

/* An identifier of 0 is no VLAN but a priority (IEEE 802.1Q, 9.6). */
static bool is_vlan(const struct ek_link *link, uint16_t protocol)
{
	return link->parent && link->vlan && link->vlan_protocol == protocol;
}

bool ek_vlan_resolve(const struct ek_link *link, ek_vlan_find find, const void *context,
		     struct ek_vlan *out)
{
	const struct ek_link *below;

	if (!is_vlan(link, ETH_P_8021Q))
		return false;
	below = find(context, link->parent);
	if (!below)
		return false;
	if (!below->parent) {
		*out = (struct ek_vlan){below->ifindex, {htons(link->vlan), 0}};
		return true;
	}
	if (!is_vlan(below, ETH_P_8021AD))
		return false;
	*out = (struct ek_vlan){below->parent, {htons(below->vlan), htons(link->vlan)}};
	below = find(context, below->parent);
	return below && !below->parent;
}
