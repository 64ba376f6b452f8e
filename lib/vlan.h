/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which tags a VLAN device stands for, and on which interface: 802.1Q over a plain interface, or
 * over an 802.1ad device over one (QinQ). Pure; ports.c makes ports of them.
 */
#ifndef EVENKEEL_VLAN_H
#define EVENKEEL_VLAN_H

#include "netlink.h"

struct ek_vlan {
	int ifindex;	/* of the interface below the tags */
	__be16 tags[2]; /* as in struct ek_port */
};

typedef const struct ek_link *(*ek_vlan_find)(const void *context, int ifindex);

/* False: the link is no VLAN device, or of a kind whose tags the data plane does not write. */
bool ek_vlan_resolve(const struct ek_link *link, ek_vlan_find find, const void *context,
		     struct ek_vlan *out);

#endif
