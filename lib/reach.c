/* SPDX-License-Identifier: GPL-2.0-only */
/* See reach.h. */
#include <stdio.h>
#include <string.h>
#include "ip.h"
#include "log.h"
#include "reach.h"

static bool is_own(const struct ek_controller *c, const struct ek_ip *address)
{
	size_t n;
	const struct ek_netlink_address *list = ek_netlink_addresses(c->netlink, &n);

	for (size_t i = 0; i < n; i++)
		if (ek_ip_equal(&list[i].address, address))
			return true;
	return false;
}

static int any_port(const struct ek_ports *ports)
{
	for (size_t i = 0; i < ek_ports_count(ports); i++)
		if (ek_ports_at(ports, i)->number >= 0)
			return ek_ports_at(ports, i)->number;
	return -1;
}

void ek_reach_judge(const struct ek_controller *c, const struct ek_service_runtime *s,
		    const struct ek_member *m, struct ek_path *out)
{
	const struct ek_nexthop *hop = ek_netlink_nexthop(c->netlink, &m->backend->address);
	const struct ek_path_query query = {
		.service = s->config,
		.address = &m->backend->address,
		.own = is_own(c, &m->backend->address),
		.hop = hop,
		.egress = hop ? ek_netlink_link_by_index(c->netlink, hop->ifindex) : NULL,
		.port = hop ? ek_ports_by_ifindex(c->ports, hop->ifindex) : -1,
		.any_port = any_port(c->ports)};

	ek_path_judge(&query, out);
}

static unsigned int widest_interface(const struct ek_ports *ports)
{
	unsigned int widest = 0;

	for (size_t i = 0; i < ek_ports_count(ports); i++)
		if (ek_ports_at(ports, i)->number >= 0 && ek_ports_at(ports, i)->mtu > widest)
			widest = ek_ports_at(ports, i)->mtu;
	return widest;
}

static void report_backend(const struct ek_controller *c, const struct ek_service_runtime *s,
			   const struct ek_member *m)
{
	struct ek_backend_runtime *b = m->backend;
	struct ek_path path;

	ek_reach_judge(c, s, m, &path);
	if (!path.misfit) {
		b->misfit[0] = '\0';
	} else if (strcmp(b->misfit, path.text)) {
		snprintf(b->misfit, sizeof(b->misfit), "%s", path.text);
		ek_warn("service %s: backend %s: %s", b->service, b->name, path.text);
	}
}

/* The narrowest path speaks for all. */
static void report_service(const struct ek_controller *c, struct ek_service_runtime *s)
{
	unsigned int widest = widest_interface(c->ports), least = 0;
	char text[sizeof(s->narrow)] = "";

	for (size_t i = 0; i < s->n_members; i++) {
		const struct ek_member *m = &s->members[i];
		struct ek_path path;

		ek_reach_judge(c, s, m, &path);
		if (!m->config || path.local || !path.mtu || (least && path.mtu >= least))
			continue;
		least = path.mtu;
		ek_path_is_narrow(s->config, m->backend->name, &m->backend->address, path.mtu,
				  widest, text, sizeof(text));
	}
	if (text[0] && strcmp(text, s->narrow))
		ek_warn("service %s: %s", s->config->name, text);
	if (least) /* unknown for a moment is no news */
		snprintf(s->narrow, sizeof(s->narrow), "%s", text);
}

void ek_reach_report(const struct ek_controller *c, struct ek_world *world)
{
	for (size_t i = 0; i < world->n_services; i++) {
		struct ek_service_runtime *s = &world->services[i];

		for (size_t j = 0; j < s->n_members; j++)
			report_backend(c, s, &s->members[j]);
		report_service(c, s);
	}
}
