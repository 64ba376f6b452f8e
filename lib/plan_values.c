/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the data plane's tables hold for a service of the file: the row of each backend and the
 * entries in the service table. See plan.h; called by plan.c.
 */
#include <string.h>
#include <arpa/inet.h>
#include <evenkeel/flow_table.h>
#include "ip.h"
#include "plan.h"

/* --- rows of backends ------------------------------------------------------------------------ */

static uint32_t add16(uint32_t sum, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2) {
		uint16_t word;

		memcpy(&word, bytes + i, 2);
		sum += word;
	}
	return sum;
}

/* The words of the outer IPv4 header that are the same for every packet (RFC 1071). */
static uint32_t outer_constant_sum(const struct ek_ip *address)
{
	static const uint8_t version_tos[2] = {0x45, 0};
	static const uint8_t ttl_protocol[2] = {EK_OUTER_TTL, IPPROTO_IPIP};
	uint32_t sum = add16(add16(0, version_tos, 2), ttl_protocol, 2);

	return add16(sum, &address->bytes[12], 4);
}

/* The outer header is of the backend's family. */
static enum ek_forward forward_of(const struct ek_config_service *service,
				  const struct ek_ip *address)
{
	if (ek_ip_is_v4(address))
		return service->forward;
	switch (service->forward) {
	case EK_FORWARD_IPIP:
		return EK_FORWARD_IPIP6;
	case EK_FORWARD_GUE:
		return EK_FORWARD_GUE6;
	default:
		return service->forward;
	}
}

static unsigned int gue_header(const struct ek_config_service *service)
{
	return service->gue_variant ? 0 : 4;
}

unsigned int ek_plan_overhead(const struct ek_config_service *service, const struct ek_ip *address)
{
	unsigned int outer = ek_ip_is_v4(address) ? 20 : 40;

	switch (forward_of(service, address)) {
	case EK_FORWARD_IPIP:
	case EK_FORWARD_IPIP6:
		return outer;
	case EK_FORWARD_GUE:
	case EK_FORWARD_GUE6:
		return outer + 8 + gue_header(service);
	case EK_FORWARD_TOS:
	case EK_FORWARD_L2:
	case EK_FORWARD_LOCAL:
		break;
	}
	return 0;
}

struct ek_backend ek_plan_row(const struct ek_config_service *service, uint16_t id,
			      const struct ek_intent_backend *backend)
{
	struct ek_backend row = {
		.nexthop = backend->nexthop,
		.address = backend->address,
		.csum = ek_ip_is_v4(&backend->address) ? outer_constant_sum(&backend->address) : 0,
		.service = id,
		.mtu = backend->mtu,
		.forward =
			backend->local ? EK_FORWARD_LOCAL : forward_of(service, &backend->address),
		.index = backend->index,
	};

	if (row.forward == EK_FORWARD_TOS)
		row.dscp = service->tos << 2;
	if (row.forward == EK_FORWARD_GUE || row.forward == EK_FORWARD_GUE6) {
		row.gue_port = htons(service->gue_port);
		row.gue_header = gue_header(service);
	}
	return row;
}

/* --- entries of a service ----------------------------------------------------------------------
 */

/* The longest packet that the paths to all backends take: 0 while none of them is known. */
static unsigned int least_room(const struct ek_intent_service *s)
{
	unsigned int least = 0;

	for (size_t i = 0; i < s->n_backends; i++) {
		unsigned int mtu = s->backends[i].mtu, overhead;

		overhead = s->backends[i].local
				   ? 0
				   : ek_plan_overhead(s->config, &s->backends[i].address);
		if (mtu > overhead && (!least || mtu - overhead < least))
			least = mtu - overhead;
	}
	return least;
}

/* What full segments may carry, without the options of IP and TCP (RFC 6691). */
static uint16_t entry_mss(const struct ek_intent_service *s, const struct ek_config_entry *entry)
{
	unsigned int headers = ek_ip_is_v4(&entry->vip.address) ? 20 + 20 : 40 + 20;
	unsigned int room = least_room(s);

	if (entry->protocol != IPPROTO_TCP)
		return 0;
	if (s->config->mss != EK_MSS_AUTO)
		return s->config->mss;
	return room > headers ? room - headers : 0;
}

static bool has_backend_of_family(const struct ek_intent_service *s, bool v4)
{
	for (size_t i = 0; i < s->n_backends; i++)
		if (ek_ip_is_v4(&s->backends[i].address) == v4)
			return true;
	return false;
}

/*
 * A packet that goes to a backend of its own family takes the outer source as it stands: where
 * there are such backends, that must be of their family too.
 */
static void set_outer_source(struct ek_service *entry, const struct ek_intent_service *s)
{
	const struct ek_config_service *c = s->config;
	bool v4 = ek_ip_is_v4(&c->outer_source), vip_v4 = ek_ip_is_v4(&entry->vip);
	unsigned int bits;

	if (!c->outer_source_set || (v4 != vip_v4 && has_backend_of_family(s, vip_v4)))
		return;
	bits = (v4 ? 32 : 128) - c->outer_source_length;
	entry->outer_source = c->outer_source;
	entry->outer_mask = htonl(bits >= 32 ? ~0u : (1u << bits) - 1);
}

static uint32_t service_flags(const struct ek_config_service *c)
{
	return (c->tracking == EK_TRACKING_FULL ? EK_SERVICE_F_TRACK_FULL : 0) |
	       (c->tracking == EK_TRACKING_NONE ? EK_SERVICE_F_TRACK_NONE : 0) |
	       (c->method == EK_METHOD_SOURCE_HASH ? EK_SERVICE_F_SOURCE_HASH : 0) |
	       (c->failover == EK_FAILOVER_NONE ? EK_SERVICE_F_RESET : 0);
}

static struct ek_service make_entry(const struct ek_intent_service *s,
				    const struct ek_config_entry *e, struct ek_clock clock)
{
	const struct ek_config_service *c = s->config;
	unsigned int established =
		e->protocol == IPPROTO_TCP ? c->timeouts.established : c->timeouts.udp;
	struct ek_service entry = {
		.vip = e->vip.address,
		.key = ek_config_entry_key(e),
		.id = s->id,
		.flags = service_flags(c) | (e->protocol ? 0 : EK_SERVICE_F_PORTLESS),
		.timeout = {[EK_FLOW_EMBRYONIC] = ek_ticks(clock, c->timeouts.embryonic),
			    [EK_FLOW_ESTABLISHED] = ek_ticks(clock, established),
			    [EK_FLOW_CLOSING] = ek_ticks(clock, c->timeouts.closing)},
		.hash_prefix4 = c->hash_prefix4,
		.hash_prefix6 = c->hash_prefix6,
		.mss = entry_mss(s, e),
	};

	set_outer_source(&entry, s);
	return entry;
}

size_t ek_plan_entries(const struct ek_intent_service *s, struct ek_clock clock,
		       struct ek_service *out)
{
	struct ek_config_entry entries[EK_SERVICE_ENTRIES_MAX];
	size_t n = ek_config_entries(s->config, entries);

	for (size_t i = 0; i < n; i++)
		out[i] = make_entry(s, &entries[i], clock);
	if (n)
		out[0].flags |= EK_SERVICE_F_FIRST;
	ek_state_sort_entries(out, n);
	return n;
}
