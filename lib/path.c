/* SPDX-License-Identifier: GPL-2.0-only */
/* See path.h. */
#include <stdio.h>
#include <string.h>
#include <netinet/in.h>
#include <evenkeel/hash.h>
#include "ip.h"
#include "path.h"
#include "plan.h"

static void misfit(struct ek_path *out)
{
	out->usable = false;
	out->misfit = true;
}

static void judge_local(const struct ek_path_query *q, struct ek_path *out)
{
	out->local = true;
	if (q->any_port < 0) {
		snprintf(out->text, sizeof(out->text), "no interface is attached");
		return;
	}
	out->usable = true;
	out->port = q->any_port;
	out->mtu = q->hop && q->hop->mtu && q->hop->mtu < UINT16_MAX ? q->hop->mtu : UINT16_MAX;
	snprintf(out->text, sizeof(out->text), "this host");
}

/* Direct routing changes the MAC alone: a router would send the packet to the VIP, not on. */
static void judge_l2(const struct ek_path_query *q, struct ek_path *out)
{
	char address[EK_IP_TEXT], gateway[EK_IP_TEXT];

	if (ek_ip_equal(q->address, &q->hop->gateway))
		return;
	misfit(out);
	snprintf(out->text, sizeof(out->text),
		 "l2 needs a backend on the same network: %s is reached through %s",
		 ek_ip_format(q->address, address), ek_ip_format(&q->hop->gateway, gateway));
}

/* The outer header is of the backend's family, and so is its source. */
static void judge_tunnel(const struct ek_path_query *q, struct ek_path *out)
{
	const bool v4 = ek_ip_is_v4(q->address);
	const struct ek_config_service *s = q->service;

	if (s->outer_source_set && ek_ip_is_v4(&s->outer_source) == v4 &&
	    ek_ip_is_v4(&s->vip) == v4)
		return;
	if (q->egress && !ek_ip_is_zero(v4 ? &q->egress->address4 : &q->egress->address6))
		return;
	misfit(out);
	snprintf(out->text, sizeof(out->text),
		 "%s needs an IPv%d address for its outer header, and %s has none",
		 ek_forward_name(s->forward), v4 ? 4 : 6, q->egress ? q->egress->name : "the port");
}

void ek_path_judge(const struct ek_path_query *q, struct ek_path *out)
{
	const struct ek_nexthop *hop = q->hop;
	char gateway[EK_IP_TEXT];

	*out = (struct ek_path){0};
	if (q->own || q->service->forward == EK_FORWARD_LOCAL) {
		judge_local(q, out);
		return;
	}
	if (!hop || (hop->state != EK_NEXTHOP_OK && hop->state != EK_NEXTHOP_NO_NEIGHBOUR)) {
		snprintf(out->text, sizeof(out->text), "%s",
			 ek_nexthop_state_text(hop ? hop->state : EK_NEXTHOP_NO_ROUTE));
		return;
	}
	if (q->port < 0) {
		snprintf(out->text, sizeof(out->text),
			 "leaves by an interface that is not in 'interfaces'");
		return;
	}
	out->usable = hop->state == EK_NEXTHOP_OK;
	out->port = q->port;
	memcpy(out->mac, hop->mac, sizeof(out->mac));
	out->mtu = hop->mtu < UINT16_MAX ? hop->mtu : UINT16_MAX;
	snprintf(out->text, sizeof(out->text), "%s",
		 out->usable ? ek_ip_format(&hop->gateway, gateway)
			     : ek_nexthop_state_text(hop->state));
	if (q->service->forward == EK_FORWARD_L2)
		judge_l2(q, out);
	else if (ek_plan_overhead(q->service, q->address))
		judge_tunnel(q, out);
}

bool ek_path_is_narrow(const struct ek_config_service *s, const char *name,
		       const struct ek_ip *address, unsigned int path_mtu, unsigned int link_mtu,
		       char *out, size_t size)
{
	unsigned int overhead = ek_plan_overhead(s, address);

	if (!overhead || !path_mtu || path_mtu >= link_mtu + overhead)
		return false;
	snprintf(out, size,
		 "%s needs %u for full %u-byte packets and the path to %s has %u: larger packets "
		 "are answered with 'packet too big'",
		 ek_forward_name(s->forward), link_mtu + overhead, link_mtu, name, path_mtu);
	return true;
}
