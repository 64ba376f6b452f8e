/* SPDX-License-Identifier: GPL-2.0-only */
/* The Ethernet header as it leaves. */
#ifndef EVENKEEL_BPF_ETHERNET_H
#define EVENKEEL_BPF_ETHERNET_H

#include "parse.h"

static __always_inline void write_ethernet(void *frame, __u64 nexthop, __u64 own_mac, __be16 type)
{
	*(unaligned64 *)frame = EK_NEXTHOP_MAC(nexthop) | own_mac << 48;
	*(unaligned32 *)(frame + 8) = own_mac >> 16;
	*(unaligned16 *)(frame + 12) = type;
}

#endif
