/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See ports.h. Called by controller.c at start, on reload, when netlink reports a change and every
 * second.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "ports.h"
#include "vlan.h"

struct port {
	struct ek_port_status status;
	struct ek_attachment *attachment;
	bool taken; /* not attached, since another program is */
};

/* A VLAN device on one of the interfaces: nothing is attached to it. */
struct vlan {
	char name[IFNAMSIZ];
	int ifindex; /* its own */
	int number;
};

struct ek_ports {
	struct vlan vlans[EK_PORTS_MAX];
	size_t n_vlans;
	struct ek_datapath *dp;
	struct ek_netlink *netlink;
	struct port list[EK_PORTS_MAX];
	size_t n;
};

struct ek_ports *ek_ports_new(struct ek_datapath *dp, struct ek_netlink *netlink)
{
	struct ek_ports *ports = calloc(1, sizeof(*ports));

	if (ports) {
		ports->dp = dp;
		ports->netlink = netlink;
	}
	return ports;
}

void ek_ports_free(struct ek_ports *ports)
{
	if (!ports)
		return;
	for (size_t i = 0; i < ports->n; i++)
		ek_attachment_free(ports->list[i].attachment);
	free(ports);
}

/* `vlan`: where the link is, if it is a VLAN device; NULL: it is an interface. */
static void publish(struct ek_ports *ports, int number, const struct ek_link *link,
		    const struct ek_vlan *vlan)
{
	struct ek_port value = {.ifindex = vlan ? vlan->ifindex : link->ifindex,
				.source4 = link->address4.words[3],
				.source6 = link->address6};
	int err;

	if (vlan)
		memcpy(value.tags, vlan->tags, sizeof(value.tags));
	memcpy(&value.mac, link->mac, sizeof(link->mac));
	err = ek_datapath_port_set(ports->dp, number, &value);
	if (err)
		ek_err("%s: cannot publish the port: %s", link->name, strerror(-err));
}

/* The program is gone with the interface, or is taken off it; the port number is free again. */
static void release(struct ek_ports *ports, struct port *p, bool detach)
{
	const struct ek_port none = {0};

	if (detach && p->attachment)
		ek_detach(p->attachment);
	if (p->status.number >= 0)
		ek_datapath_port_set(ports->dp, p->status.number, &none);
	ek_attachment_free(p->attachment);
	p->attachment = NULL;
	p->status.attachment = NULL;
	p->status.number = -1;
}

static void report_attachment(const struct port *p)
{
	const struct ek_attachment *a = p->attachment;

	ek_notice("%s: %s, %s%s%s%s", p->status.name,
		  a->replaced ? "program replaced" : "program attached",
		  a->native ? "native XDP" : "generic XDP",
		  a->dispatcher ? ", with the libxdp dispatcher" : "", a->note[0] ? ", " : "",
		  a->note);
}

static int refuse(struct port *p, int err, const struct ek_error *error)
{
	snprintf(p->status.why, sizeof(p->status.why), "%s", error->text);
	p->status.number = -1;
	p->taken = err == -EBUSY || err == -EEXIST;
	return err;
}

/*
 * A port that an adopted data plane has stays published when the new program is refused: the old
 * one is still attached and needs it.
 */
static int acquire(struct ek_ports *ports, struct port *p, const struct ek_link *link,
		   struct ek_error *error)
{
	static const uint8_t no_mac[6];
	static const __be16 no_tags[2];
	int err, number = ek_datapath_port(ports->dp, link->ifindex, no_tags);
	bool adopted;

	if (!memcmp(link->mac, no_mac, sizeof(no_mac))) {
		ek_error_set(error, "%s: has no MAC address, so no XDP frames", p->status.name);
		return refuse(p, -EINVAL, error);
	}
	if (number < 0) {
		ek_error_set(error, "%s: more than %u interfaces", p->status.name, EK_PORTS_MAX);
		return refuse(p, number, error);
	}
	adopted = ek_datapath_port_row(ports->dp, number).ifindex == (uint32_t)link->ifindex;
	p->status.number = number;
	publish(ports, number, link, NULL);
	err = ek_datapath_attach(ports->dp, p->status.name, link->ifindex, number, p->status.wanted,
				 &p->attachment, error);
	if (err) {
		if (!adopted)
			release(ports, p, false);
		return refuse(p, err, error);
	}
	p->status.attachment = p->attachment;
	p->status.why[0] = '\0';
	report_attachment(p);
	return 0;
}

/* Brings one port in line with the link of its name. Returns true if that changed something. */
static bool follow(struct ek_ports *ports, struct port *p, struct ek_error *error, int *err)
{
	const struct ek_link *link = ek_netlink_link(ports->netlink, p->status.name);
	int ifindex = link ? link->ifindex : 0;
	bool was_attached = p->attachment;

	if (was_attached && ifindex != p->status.ifindex) {
		ek_warn("%s: the interface went away", p->status.name);
		release(ports, p, false);
	}
	p->status.ifindex = ifindex;
	if (!link) {
		ek_error_set(error, "%s: there is no such interface; see 'ip link'",
			     p->status.name);
		snprintf(p->status.why, sizeof(p->status.why), "%s", error->text);
		*err = -ENODEV;
		return was_attached;
	}
	p->status.mtu = link->mtu;
	p->status.up = link->up;
	memcpy(p->status.mac, link->mac, sizeof(p->status.mac));
	if (p->attachment) {
		publish(ports, p->status.number, link, NULL);
		return false;
	}
	*err = acquire(ports, p, link, error);
	return was_attached || !*err;
}

/* --- VLAN devices ---------------------------------------------------------------------------- */

static int attached_number(const struct ek_ports *ports, int ifindex)
{
	for (size_t i = 0; i < ports->n; i++)
		if (ports->list[i].attachment && ports->list[i].status.ifindex == ifindex)
			return ports->list[i].status.number;
	return -1;
}

static const struct ek_link *link_of(const void *context, int ifindex)
{
	return ek_netlink_link_by_index(context, ifindex);
}

static void add_vlan(struct ek_ports *ports, const struct ek_link *link)
{
	struct vlan *v = &ports->vlans[ports->n_vlans];
	struct ek_vlan place;
	int number;

	if (attached_number(ports, link->ifindex) >= 0 ||
	    !ek_vlan_resolve(link, link_of, ports->netlink, &place) ||
	    attached_number(ports, place.ifindex) < 0)
		return;
	number = ek_datapath_port(ports->dp, place.ifindex, place.tags);
	if (number < 0) {
		ek_warn("%s: more than %u interfaces and VLANs", link->name, EK_PORTS_MAX);
		return;
	}
	publish(ports, number, link, &place);
	*v = (struct vlan){.ifindex = link->ifindex, .number = number};
	snprintf(v->name, sizeof(v->name), "%s", link->name);
	ports->n_vlans++;
}

/* Of devices that went away, now or before an adopted data plane was ours. */
static void release_vlans(struct ek_ports *ports)
{
	const struct ek_port none = {0};

	for (int number = 0; number < (int)EK_PORTS_MAX; number++) {
		struct ek_port row = ek_datapath_port_row(ports->dp, number);
		bool kept = !row.ifindex || !row.tags[0];

		for (size_t i = 0; i < ports->n_vlans; i++)
			kept |= ports->vlans[i].number == number;
		if (!kept)
			ek_datapath_port_set(ports->dp, number, &none);
	}
}

/* Returns true if one came, went or got another number. */
static bool follow_vlans(struct ek_ports *ports)
{
	struct vlan before[EK_PORTS_MAX];
	size_t n_before = ports->n_vlans;

	memcpy(before, ports->vlans, sizeof(before));
	ports->n_vlans = 0;
	for (size_t i = 0; i < ek_netlink_link_count(ports->netlink); i++)
		add_vlan(ports, ek_netlink_link_at(ports->netlink, i));
	release_vlans(ports);
	return ports->n_vlans != n_before ||
	       memcmp(before, ports->vlans, n_before * sizeof(*before));
}

/* --- interfaces ------------------------------------------------------------------------------ */

static const struct ek_config_interface *configured(const struct ek_config *config,
						    const char *name)
{
	for (size_t i = 0; i < config->n_interfaces; i++)
		if (!strcmp(config->interfaces[i].name, name))
			return &config->interfaces[i];
	return NULL;
}

static struct port *find(struct ek_ports *ports, const char *name)
{
	for (size_t i = 0; i < ports->n; i++)
		if (!strcmp(ports->list[i].status.name, name))
			return &ports->list[i];
	return NULL;
}

static void drop_unlisted(struct ek_ports *ports, const struct ek_config *config)
{
	for (size_t i = 0; i < ports->n;) {
		struct port *p = &ports->list[i];
		const struct ek_config_interface *c = configured(config, p->status.name);

		if (c && c->mode == p->status.wanted) {
			i++;
			continue;
		}
		if (!c)
			ek_notice("%s: no longer in the configuration, detached", p->status.name);
		release(ports, p, true);
		*p = ports->list[--ports->n];
	}
}

int ek_ports_configure(struct ek_ports *ports, const struct ek_config *config,
		       struct ek_error *error)
{
	int first = 0;

	drop_unlisted(ports, config);
	for (size_t i = 0; i < config->n_interfaces; i++) {
		const struct ek_config_interface *c = &config->interfaces[i];
		struct port *p = find(ports, c->name);
		struct ek_error local = {0};
		int err = 0;

		if (!p) {
			p = &ports->list[ports->n++];
			*p = (struct port){.status = {.number = -1, .wanted = c->mode}};
			snprintf(p->status.name, sizeof(p->status.name), "%s", c->name);
		}
		follow(ports, p, &local, &err);
		if (err && !first) {
			first = err;
			*error = local;
		}
	}
	follow_vlans(ports);
	return first;
}

bool ek_ports_refresh(struct ek_ports *ports)
{
	bool changed = false;

	for (size_t i = 0; i < ports->n; i++) {
		struct port *p = &ports->list[i];
		bool was_attached = p->attachment;
		struct ek_error error = {0};
		int err = 0;

		changed |= follow(ports, p, &error, &err);
		if (err && was_attached)
			ek_err("%s", error.text);
	}
	return follow_vlans(ports) || changed;
}

/* The port stays what it is, unless that fails. */
static void attach_again(struct ek_ports *ports, struct port *p)
{
	struct ek_error error = {0};
	int err;

	ek_warn("%s: the program was taken off the interface, attaching it again", p->status.name);
	err = ek_attach_again(p->attachment, &error);
	if (!err)
		return;
	release(ports, p, false);
	if (err == -EOPNOTSUPP)
		follow(ports, p, &error, &err);
	else
		refuse(p, err, &error);
	if (err)
		ek_err("%s", error.text);
}

bool ek_ports_verify(struct ek_ports *ports)
{
	bool changed = false;

	for (size_t i = 0; i < ports->n; i++) {
		struct port *p = &ports->list[i];
		struct ek_error error = {0};
		int err = 0;

		if (p->attachment && !ek_attached(p->attachment)) {
			attach_again(ports, p);
			changed = true;
		} else if (!p->attachment && p->taken && ek_attach_is_free(p->status.ifindex)) {
			changed |= follow(ports, p, &error, &err);
		}
	}
	if (changed)
		follow_vlans(ports);
	return changed;
}

int ek_ports_by_ifindex(const struct ek_ports *ports, int ifindex)
{
	for (size_t i = 0; i < ports->n_vlans; i++)
		if (ports->vlans[i].ifindex == ifindex)
			return ports->vlans[i].number;
	return attached_number(ports, ifindex);
}

const char *ek_ports_name(const struct ek_ports *ports, int number)
{
	for (size_t i = 0; i < ports->n_vlans; i++)
		if (ports->vlans[i].number == number)
			return ports->vlans[i].name;
	for (size_t i = 0; i < ports->n; i++)
		if (ports->list[i].status.number == number)
			return ports->list[i].status.name;
	return "-";
}

size_t ek_ports_count(const struct ek_ports *ports)
{
	return ports->n;
}

const struct ek_port_status *ek_ports_at(const struct ek_ports *ports, size_t i)
{
	return &ports->list[i].status;
}
