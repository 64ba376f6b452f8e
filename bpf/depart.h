/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stage 4 for all that is not a usual packet by IP in IP of its own family. Each method is a
 * function of its own that the verifier checks by itself; what it needs is laid out in struct
 * departure. It returns 0 when the frame is ready to leave, or a verdict.
 */
#ifndef EVENKEEL_BPF_DEPART_H
#define EVENKEEL_BPF_DEPART_H

#include "depart_gue.h"
#include "depart_l2.h"
#include "depart_tos.h"
#include "depart_tunnel.h"
#include "select.h"

static __always_inline void departure_source(struct departure *d, const struct ek_service *service,
					     const struct ek_port *port, bool v4, __u64 hash)
{
	const bool varied = service->outer_mask && ek_ip_is_v4(&service->outer_source) == v4;

	d->source = (struct ek_ip){};
	if (v4) {
		d->source.words[3] = varied ? service->outer_source.words[3] |
						      ((__be32)hash & service->outer_mask)
					    : port->source4;
		return;
	}
	d->source = varied ? service->outer_source : port->source6;
	if (varied)
		d->source.words[3] |= (__u32)(hash >> 32) & service->outer_mask;
}

static __always_inline void departure_fill(struct departure *d, const struct packet *p,
					   const struct ek_service *service,
					   const struct ek_backend *backend,
					   const struct ek_port *port, __u64 nexthop, __u64 hash)
{
	d->nexthop = nexthop;
	d->hash = hash;
	d->mac = port->mac;
	d->address = backend->address;
	departure_source(d, service, port, ek_ip_is_v4(&backend->address), hash);
	d->length = p->length;
	d->csum = backend->csum;
	d->id_and_flags = p->family == AF_INET ? p->id_and_flags : (__u32)IP_DF << 16;
	d->gue_port = backend->gue_port;
	d->mtu = backend->mtu;
	d->family = p->family;
	d->tos = p->tos;
	d->dscp = backend->dscp;
	d->gue_header = backend->gue_header;
	d->forward = backend->forward;
}

/* By which method: `d` is this CPU's, and filled. */
static __always_inline int depart(struct xdp_md *ctx, const struct departure *d)
{
	switch (d->forward) {
	case EK_FORWARD_IPIP:
		return depart_ipip(ctx);
	case EK_FORWARD_IPIP6:
		return depart_ipip6(ctx);
	case EK_FORWARD_GUE:
		return depart_gue(ctx);
	case EK_FORWARD_GUE6:
		return depart_gue6(ctx);
	case EK_FORWARD_TOS:
		return d->family == AF_INET ? depart_tos4(ctx) : depart_tos6(ctx);
	case EK_FORWARD_L2:
		return depart_l2(ctx);
	case EK_FORWARD_LOCAL:
		return depart_local(ctx);
	}
	return -EK_DROP_UNRESOLVED;
}

#endif
