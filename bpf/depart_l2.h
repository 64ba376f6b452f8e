/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What leaves with its IP packet as it is. l2 (direct routing): to the backend's MAC, from the
 * egress port's own, or bridges would take this node for the router. local: to this host's stack,
 * byte for byte, but that a frame to a virtual MAC is given the port's: the stack would take it for
 * another host's. depart.h calls both.
 */
#ifndef EVENKEEL_BPF_DEPART_L2_H
#define EVENKEEL_BPF_DEPART_L2_H

#include "outer.h"

verified_alone int depart_l2(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct work *w = work_here();
	struct ethhdr *eth = data;

	if (!w || (void *)(eth + 1) > end)
		return -EK_DROP_UNRESOLVED;
	if (w->out.length > w->out.mtu)
		return too_big(w->out.mtu, 0);
	write_ethernet(data, w->out.nexthop, w->out.mac, eth->h_proto);
	return 0;
}

verified_alone int depart_local(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 number = own_port;
	struct ek_port *port = bpf_map_lookup_elem(&ports, &number);

	if (!port || data + ETH_HLEN > end)
		return -EK_DROP_UNRESOLVED;
	*(unaligned32 *)data = port->mac;
	*(unaligned16 *)(data + 4) = port->mac >> 32;
	return XDP_PASS;
}

#endif
