/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See announce_gateway.h. Called by controller.c at start, on reload, when the kernel's links or
 * addresses changed and when it stops.
 *
 *   place     where one VIP is announced, or why it is not; all of them, sorted by VIP, are the
 *             state. A refresh works out the next ones and carries out the difference.
 *   outlet    a port of the data plane with VIPs: its lease, the sockets that announce for it, and
 *             how many announcements are still due.
 *
 * A port's lease is row `port` + 1: those are instances' rows where there are any, but such a node
 * announces nothing here. Only these leases never end, which is how a controller knows them again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <event2/event.h>
#include "announce.h"
#include "announce_gateway.h"
#include "ip.h"
#include "log.h"
#include "netlink_parse.h"

#define FOREVER UINT64_MAX

/* As a pair does it (ha_instance.c): one is enough by the RFCs; switches and hosts lose some. */
#define BURST 5
static const struct timeval burst_gap = {.tv_usec = 20000};
static const struct timeval burst_again = {.tv_sec = 5};

/* A socket's memberships are limited by net.core.optmem_max. */
#define VIPS_PER_ANNOUNCER 64
#define ANNOUNCERS_MAX	   (EK_SERVICES_MAX / VIPS_PER_ANNOUNCER)

struct outlet {
	struct ek_announcer *announcers[ANNOUNCERS_MAX];
	size_t n_announcers;
	size_t n_vips;
	struct event *timer; /* NULL: it never announced */
	unsigned int bursts; /* still to be sent */
	uint8_t mac[6];
	bool reopen, announce; /* what a refresh found to be done */
};

struct places {
	struct ek_gateway_place *list;
	size_t n;
};

struct ek_gateway {
	struct event_base *base;
	struct ek_datapath *dp;
	struct places places;
	struct outlet outlets[EK_PORTS_MAX];
};

/* --- where a VIP is announced ---------------------------------------------------------------- */

/* How good it is as the VIP's place; 0: it is none. */
static unsigned int rank(const struct ek_port_status *port, const struct ek_netlink_address *a,
			 const struct ek_ip *vip)
{
	if (!port->ifindex || a->ifindex != port->ifindex ||
	    ek_ip_is_v4(&a->address) != ek_ip_is_v4(vip))
		return 0;
	if (ek_ip_equal(&a->address, vip))
		return UINT32_MAX;
	if (!ek_netlink_prefix_covers(&a->network, vip))
		return 0;
	return 1u << 10 | (port->number >= 0) << 9 | port->up << 8 | a->network.length;
}

/* All host bits set, in a network that has more than two addresses (RFC 3021). */
static bool is_broadcast(const struct ek_ip *vip, unsigned int length)
{
	uint32_t hosts;

	if (!ek_ip_is_v4(vip) || length >= 127)
		return false;
	hosts = UINT32_MAX >> (length - 96);
	return (ntohl(vip->words[3]) & hosts) == hosts;
}

static enum ek_gateway_reason judge(const struct ek_ip *vip, const struct ek_port_status *port,
				    const struct ek_netlink_address *a)
{
	if (ek_ip_equal(&a->address, vip))
		return EK_GATEWAY_OWN;
	if (is_broadcast(vip, a->network.length))
		return EK_GATEWAY_BROADCAST;
	return port->number < 0 ? EK_GATEWAY_UNATTACHED : EK_GATEWAY_ANNOUNCED;
}

struct ek_gateway_place ek_gateway_place(const struct ek_gateway_view *view,
					 const struct ek_ip *vip)
{
	struct ek_gateway_place place = {.vip = *vip, .reason = EK_GATEWAY_NO_NETWORK, .port = -1};
	const struct ek_port_status *best = NULL;
	unsigned int highest = 0;

	for (size_t p = 0; p < view->n_ports; p++)
		for (size_t i = 0; i < view->n_addresses; i++) {
			const struct ek_netlink_address *a = &view->addresses[i];
			unsigned int r = rank(view->ports[p], a, vip);

			if (r <= highest)
				continue;
			highest = r;
			best = view->ports[p];
			place.reason = judge(vip, best, a);
		}
	if (!best)
		return place;
	place.ifindex = best->ifindex;
	place.port = place.reason == EK_GATEWAY_ANNOUNCED ? best->number : -1;
	place.up = best->up;
	memcpy(place.mac, best->mac, sizeof(place.mac));
	snprintf(place.interface, sizeof(place.interface), "%s", best->name);
	return place;
}

/* The port, or -1. */
static int announced_on(const struct ek_gateway_place *place)
{
	return place && place->reason == EK_GATEWAY_ANNOUNCED ? place->port : -1;
}

unsigned int ek_gateway_changes(const struct ek_gateway_place *before,
				const struct ek_gateway_place *after)
{
	int was = announced_on(before), is = announced_on(after);
	unsigned int changes = was != is ? EK_GATEWAY_DO_LEASE | EK_GATEWAY_DO_REOPEN : 0;

	if (was >= 0 && is >= 0 && before->ifindex != after->ifindex)
		changes |= EK_GATEWAY_DO_REOPEN;
	if (is >= 0 && after->up &&
	    (changes || !before->up || memcmp(before->mac, after->mac, sizeof(after->mac))))
		changes |= EK_GATEWAY_DO_ANNOUNCE;
	if (after && is < 0 &&
	    (!before || before->reason != after->reason ||
	     strcmp(before->interface, after->interface)))
		changes |= EK_GATEWAY_DO_REPORT;
	return changes;
}

const char *ek_gateway_why(const struct ek_gateway_place *place, char *out, size_t size)
{
	switch (place->reason) {
	case EK_GATEWAY_ANNOUNCED:
		if (place->up)
			*out = '\0';
		else
			snprintf(out, size, "%s is down", place->interface);
		break;
	case EK_GATEWAY_OWN:
		snprintf(out, size, "%s has the address itself, and the kernel answers for it",
			 place->interface);
		break;
	case EK_GATEWAY_BROADCAST:
		snprintf(out, size, "it is the broadcast address of a network of %s",
			 place->interface);
		break;
	case EK_GATEWAY_UNATTACHED:
		snprintf(out, size, "%s, on whose network it is, has no XDP program",
			 place->interface);
		break;
	case EK_GATEWAY_NO_NETWORK:
		snprintf(out, size, "it is on no network of the file's interfaces");
		break;
	}
	return out;
}

/* --- all VIPs -------------------------------------------------------------------------------- */

static int compare_vips(const void *a, const void *b)
{
	return ek_ip_compare(a, b);
}

/* Each VIP once, sorted; the caller frees. NULL without memory. Prefixes are routed here. */
static struct ek_ip *list_vips(const struct ek_config *config, size_t *n)
{
	struct ek_ip *vips =
		calloc(config->n_services * EK_SERVICE_ADDRESSES_MAX + 1, sizeof(*vips));
	size_t all = 0;

	*n = 0;
	if (!vips || !config->announce)
		return vips;
	for (size_t i = 0; i < config->n_services; i++)
		for (size_t j = 0; j < config->services[i].n_addresses; j++)
			if (config->services[i].addresses[j].length == 128)
				vips[all++] = config->services[i].addresses[j].address;
	qsort(vips, all, sizeof(*vips), compare_vips);
	for (size_t i = 0; i < all; i++)
		if (!*n || !ek_ip_equal(&vips[i], &vips[*n - 1]))
			vips[(*n)++] = vips[i];
	return vips;
}

static int make_places(const struct ek_config *config, const struct ek_gateway_view *view,
		       struct places *out)
{
	struct ek_ip *vips = list_vips(config, &out->n);

	out->list = vips ? calloc(out->n + 1, sizeof(*out->list)) : NULL;
	for (size_t i = 0; out->list && i < out->n; i++)
		out->list[i] = ek_gateway_place(view, &vips[i]);
	free(vips);
	return out->list ? 0 : -ENOMEM;
}

static struct ek_gateway_view look(const struct ek_ports *ports, const struct ek_netlink *netlink)
{
	struct ek_gateway_view view = {.n_ports = ek_ports_count(ports)};

	for (size_t i = 0; i < view.n_ports; i++)
		view.ports[i] = ek_ports_at(ports, i);
	view.addresses = ek_netlink_addresses(netlink, &view.n_addresses);
	return view;
}

/* --- leases ---------------------------------------------------------------------------------- */

static struct ek_lease *lease_of(const struct ek_gateway *g, int port)
{
	return &ek_datapath_leases(g->dp)[port + 1];
}

static void begin_lease(struct ek_gateway *g, const struct ek_gateway_place *place)
{
	struct ek_lease *lease = lease_of(g, place->port);
	uint64_t mac = 0;

	memcpy(&mac, place->mac, sizeof(place->mac));
	lease->port = place->port;
	__atomic_store_n(&lease->mac4, mac, __ATOMIC_RELAXED);
	__atomic_store_n(&lease->mac6, mac, __ATOMIC_RELAXED);
	__atomic_store_n(&lease->until, FOREVER, __ATOMIC_RELEASE);
}

static void end_lease(struct ek_gateway *g, int port)
{
	struct ek_lease *lease = lease_of(g, port);

	if (lease->until != FOREVER)
		return;
	__atomic_store_n(&lease->until, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&lease->mac4, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&lease->mac6, 0, __ATOMIC_RELAXED);
}

/* A place of a life before: as if its interface had been down, so that it is announced again. */
static bool adopt_place(const struct ek_gateway *g, const struct ek_service *entry,
			struct ek_gateway_place *out)
{
	const struct ek_lease *lease;

	if (EK_SERVICE_KEY_STATE(entry->key) != EK_SERVICE_VIP || entry->id == EK_LEASE_NONE ||
	    entry->id > EK_PORTS_MAX)
		return false;
	lease = lease_of(g, (int)entry->id - 1);
	if (lease->until != FOREVER)
		return false;
	*out = (struct ek_gateway_place){
		.vip = entry->vip, .reason = EK_GATEWAY_ANNOUNCED, .port = (int)entry->id - 1};
	out->ifindex = ek_datapath_port_row(g->dp, out->port).ifindex;
	return true;
}

static int adopt(struct ek_gateway *g)
{
	const struct ek_service_table *table = ek_datapath_services(g->dp);
	struct places *places = &g->places;

	places->list = calloc(EK_SERVICES_MAX, sizeof(*places->list));
	if (!places->list)
		return -ENOMEM;
	for (size_t i = 0; i < EK_SERVICE_SLOTS && places->n < EK_SERVICES_MAX; i++)
		places->n += adopt_place(g, &table->slot[i], &places->list[places->n]);
	qsort(places->list, places->n, sizeof(*places->list), compare_vips); /* begins with it */
	return 0;
}
_Static_assert(offsetof(struct ek_gateway_place, vip) == 0, "compare_vips() serves places");

/* --- announcements --------------------------------------------------------------------------- */

static void send_all(struct outlet *o)
{
	for (size_t i = 0; i < o->n_announcers; i++)
		ek_announcer_send(o->announcers[i],
				  o->mac); /* a link that is down: once it is up */
}

static void on_burst(evutil_socket_t fd, short what, void *arg)
{
	struct outlet *o = arg;

	(void)fd;
	(void)what;
	send_all(o);
	if (--o->bursts)
		evtimer_add(o->timer, o->bursts == BURST ? &burst_again : &burst_gap);
}

static void begin_burst(struct ek_gateway *g, struct outlet *o)
{
	if (!o->timer)
		o->timer = evtimer_new(g->base, on_burst, o);
	if (!o->timer)
		return;
	o->bursts = 2 * BURST;
	event_active(o->timer, EV_TIMEOUT, 0);
}

static void close_announcers(struct ek_announcer **announcers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ek_announcer_free(announcers[i]);
}

static void open_announcer(struct outlet *o, const struct ek_gateway_place *first,
			   const struct ek_ip *vips, size_t n)
{
	const struct ek_announcer_options options = {.interface = first->interface,
						     .ifindex = first->ifindex,
						     .vips = vips,
						     .n_vips = n};
	struct ek_error error = {0};
	struct ek_announcer *a = ek_announcer_new(&options, &error);

	if (a)
		o->announcers[o->n_announcers++] = a;
	else
		ek_warn("%s", error.text);
}

/* New sockets before the old ones go: no group is left meanwhile. */
static void reopen(struct ek_gateway *g, int port)
{
	struct outlet *o = &g->outlets[port], old = *o;
	const struct ek_gateway_place *first = NULL;
	struct ek_ip vips[VIPS_PER_ANNOUNCER];
	size_t n = 0;

	o->n_announcers = o->n_vips = 0;
	for (size_t i = 0; i < g->places.n; i++) {
		const struct ek_gateway_place *place = &g->places.list[i];

		if (announced_on(place) != port)
			continue;
		first = place;
		o->n_vips++;
		vips[n++] = place->vip;
		if (n < VIPS_PER_ANNOUNCER)
			continue;
		open_announcer(o, first, vips, n);
		n = 0;
	}
	if (n)
		open_announcer(o, first, vips, n);
	close_announcers(old.announcers, old.n_announcers);
	if (first && o->n_vips != old.n_vips)
		ek_notice("%s: announces %zu VIP%s", first->interface, o->n_vips,
			  o->n_vips == 1 ? "" : "s");
}

/* --- what the NIC lets in -------------------------------------------------------------------- */

static bool same_group(const struct ek_gateway_place *a, const struct ek_gateway_place *b)
{
	return announced_on(a) >= 0 && a->ifindex == b->ifindex && !ek_ip_is_v4(&a->vip) &&
	       !memcmp(&a->vip.bytes[13], &b->vip.bytes[13], 3);
}

/* VIPs may share a group. Those that stay are `kept`. */
static void let_in(const struct ek_gateway_place *place, bool on, const struct places *kept)
{
	char text[EK_IP_TEXT];
	int err;

	if (announced_on(place) < 0 || ek_ip_is_v4(&place->vip) || !place->ifindex)
		return;
	for (size_t i = 0; !on && i < kept->n; i++)
		if (same_group(&kept->list[i], place))
			return;
	err = ek_announce_let_in(place->ifindex, &place->vip, on);
	if (err && on)
		ek_warn("%s: solicitations for %s may not be let in without a controller: %s",
			place->interface, ek_ip_format(&place->vip, text), strerror(-err));
}

/* --- the difference -------------------------------------------------------------------------- */

static void report(const struct ek_gateway_place *place)
{
	char text[EK_IP_TEXT], why[128];

	ek_log(place->reason == EK_GATEWAY_OWN ? EK_LOG_NOTICE : EK_LOG_WARNING,
	       "VIP %s is not announced: %s", ek_ip_format(&place->vip, text),
	       ek_gateway_why(place, why, sizeof(why)));
}

static void note(struct ek_gateway *g, const struct ek_gateway_place *place, unsigned int changes)
{
	int port = announced_on(place);

	if (port < 0)
		return;
	g->outlets[port].reopen |= (changes & EK_GATEWAY_DO_REOPEN) != 0;
	g->outlets[port].announce |= (changes & EK_GATEWAY_DO_ANNOUNCE) != 0;
}

static void change(struct ek_gateway *g, const struct ek_gateway_place *before,
		   const struct ek_gateway_place *after, const struct places *next)
{
	unsigned int changes = ek_gateway_changes(before, after);

	if (changes & EK_GATEWAY_DO_LEASE)
		ek_datapath_set_lease(g->dp, after ? &after->vip : &before->vip,
				      announced_on(after) + 1);
	if (changes & EK_GATEWAY_DO_REOPEN) {
		if (after)
			let_in(after, true, next);
		if (before)
			let_in(before, false, next);
	}
	if (changes & EK_GATEWAY_DO_REPORT)
		report(after);
	note(g, before, changes & EK_GATEWAY_DO_REOPEN);
	note(g, after, changes);
}
_Static_assert(EK_LEASE_NONE == 0, "a VIP without a port names no lease");

/* Both are sorted by VIP. */
static void change_all(struct ek_gateway *g, const struct places *next)
{
	const struct places *now = &g->places;
	size_t i = 0, j = 0;

	while (i < now->n || j < next->n) {
		int order = i == now->n	   ? 1
			    : j == next->n ? -1
					   : ek_ip_compare(&now->list[i].vip, &next->list[j].vip);

		change(g, order <= 0 ? &now->list[i] : NULL, order >= 0 ? &next->list[j] : NULL,
		       next);
		i += order <= 0;
		j += order >= 0;
	}
}

/* Leases that VIPs name begin before and the others end after; sockets last, which may fail. */
static void move_to(struct ek_gateway *g, struct places *next)
{
	bool used[EK_PORTS_MAX] = {false};

	for (size_t i = 0; i < next->n; i++) {
		const struct ek_gateway_place *place = &next->list[i];
		int port = announced_on(place);

		if (port < 0 || used[port])
			continue;
		used[port] = true;
		memcpy(g->outlets[port].mac, place->mac, sizeof(place->mac));
		begin_lease(g, place);
	}
	change_all(g, next);
	free(g->places.list);
	g->places = *next;
	for (size_t port = 0; port < EK_PORTS_MAX; port++) {
		struct outlet *o = &g->outlets[port];

		if (!used[port])
			end_lease(g, port);
		if (o->reopen || (o->announce && !o->n_announcers))
			reopen(g, port);
		if (o->announce)
			begin_burst(g, o);
		o->reopen = o->announce = false;
	}
}

int ek_gateway_refresh(struct ek_gateway *g, const struct ek_config *config,
		       const struct ek_ports *ports, const struct ek_netlink *netlink)
{
	const struct ek_gateway_view view = look(ports, netlink);
	struct places next;
	int err = make_places(config, &view, &next);

	if (!err)
		move_to(g, &next);
	return err;
}

/* --- life ------------------------------------------------------------------------------------ */

struct ek_gateway *ek_gateway_new(struct event_base *base, struct ek_datapath *dp)
{
	struct ek_gateway *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->base = base;
	g->dp = dp;
	if (adopt(g) == 0)
		return g;
	free(g);
	return NULL;
}

void ek_gateway_free(struct ek_gateway *g, bool detach)
{
	struct places none = {0};

	if (!g)
		return;
	if (detach)
		move_to(g, &none);
	for (size_t i = 0; i < EK_PORTS_MAX; i++) {
		close_announcers(g->outlets[i].announcers, g->outlets[i].n_announcers);
		if (g->outlets[i].timer)
			event_free(g->outlets[i].timer);
	}
	free(g->places.list);
	free(g);
}

static json_t *place_json(const struct ek_gateway_place *place)
{
	char text[EK_IP_TEXT], why[128];
	json_t *out;

	ek_gateway_why(place, why, sizeof(why));
	out = json_pack("{s:s, s:b}", "address", ek_ip_format(&place->vip, text), "announced",
			!*why);
	if (place->interface[0])
		json_object_set_new(out, "interface", json_string(place->interface));
	if (*why)
		json_object_set_new(out, "why", json_string(why));
	return out;
}

json_t *ek_gateway_json(const struct ek_gateway *g)
{
	json_t *list = json_array();

	for (size_t i = 0; i < g->places.n; i++)
		json_array_append_new(list, place_json(&g->places.list[i]));
	return list;
}
