/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interfaces of the configuration and the programs on them: attaches, follows an interface
 * that goes away and comes back under another index, and keeps the port table fresh (MAC and
 * addresses as the kernel has them). A VLAN device on one of them is a port too: what leaves by it
 * gets its tags.
 */
#ifndef EVENKEEL_PORTS_H
#define EVENKEEL_PORTS_H

#include "attach.h"
#include "datapath.h"
#include "netlink.h"

struct ek_port_status {
	char name[IFNAMSIZ];
	enum ek_xdp_mode wanted;
	int ifindex; /* 0: there is no such interface now */
	int number;  /* of the port, -1 when not attached */
	unsigned int mtu;
	bool up;
	uint8_t mac[6];
	const struct ek_attachment *attachment; /* NULL when not attached */
	char why[256];				/* … and why not */
};

struct ek_ports;

struct ek_ports *ek_ports_new(struct ek_datapath *dp, struct ek_netlink *netlink);
void ek_ports_free(struct ek_ports *ports); /* programs stay attached */

/*
 * Attaches what the configuration lists and detaches what it no longer does. 0, or the first
 * error with `error`; interfaces that can be served are, whatever happens to the others.
 */
int ek_ports_configure(struct ek_ports *ports, const struct ek_config *config,
		       struct ek_error *error);
/* After the kernel's links changed. Returns true if a port's number or state did. */
bool ek_ports_refresh(struct ek_ports *ports);

/*
 * Attaches again what others have taken off, and what was not since another's program was there,
 * which is gone. To be called every now and then: the kernel does not report it. Returns true if
 * anything changed.
 */
bool ek_ports_verify(struct ek_ports *ports);

/* Port number of an attached interface, or of a VLAN device on one; or -1. */
int ek_ports_by_ifindex(const struct ek_ports *ports, int ifindex);
/* The name of the interface or VLAN device of that port, or "-". */
const char *ek_ports_name(const struct ek_ports *ports, int number);
size_t ek_ports_count(const struct ek_ports *ports);
const struct ek_port_status *ek_ports_at(const struct ek_ports *ports, size_t i);

#endif
