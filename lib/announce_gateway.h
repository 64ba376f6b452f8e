/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `announce: arp`: a gateway that stands alone tells its networks where the VIPs are. Each VIP
 * belongs to the interface of the file on whose network it is. The data plane answers ARP and
 * neighbour solicitations for it there (bpf/neighbour.h) under a lease that does not end, so it
 * goes on while no controller runs; gratuitous ARP and unsolicited neighbour advertisements are
 * sent by announce.h. The members of a pair do it by instances instead (ha_instance.c).
 *
 * The core, ek_gateway_place() and ek_gateway_changes(), is pure.
 */
#ifndef EVENKEEL_ANNOUNCE_GATEWAY_H
#define EVENKEEL_ANNOUNCE_GATEWAY_H

#include <jansson.h>
#include "config.h"
#include "datapath.h"
#include "ports.h"

struct event_base;

/* --- where a VIP is announced ---------------------------------------------------------------- */

enum ek_gateway_reason {
	EK_GATEWAY_ANNOUNCED,
	EK_GATEWAY_OWN,	       /* the interface has the address itself: the kernel's to answer */
	EK_GATEWAY_BROADCAST,  /* nobody asks who has that */
	EK_GATEWAY_UNATTACHED, /* an interface of the file is on its network, without a program */
	EK_GATEWAY_NO_NETWORK,
};

struct ek_gateway_place {
	struct ek_ip vip;
	enum ek_gateway_reason reason;
	char interface[IFNAMSIZ]; /* "" with NO_NETWORK */
	int ifindex;
	int port; /* with ANNOUNCED: the data plane's number for the interface */
	bool up;  /* … and whether frames leave it */
	uint8_t mac[6];
};

/* What the node's interfaces are at a moment. */
struct ek_gateway_view {
	const struct ek_port_status *ports[EK_PORTS_MAX];
	size_t n_ports;
	const struct ek_netlink_address *addresses;
	size_t n_addresses;
};

/*
 * Of several interfaces on the VIP's network it is the one that is attached, that is up, whose
 * prefix is the longest, that the file names first.
 */
struct ek_gateway_place ek_gateway_place(const struct ek_gateway_view *view,
					 const struct ek_ip *vip);

#define EK_GATEWAY_DO_LEASE    1u /* the VIP names another lease, or none */
#define EK_GATEWAY_DO_REOPEN   2u /* another interface hears for it, or none */
#define EK_GATEWAY_DO_ANNOUNCE 4u /* the network must be told */
#define EK_GATEWAY_DO_REPORT   8u /* there is another reason why it is not announced */

/* What to do when a VIP's place becomes another one. NULL: no service has the VIP, before or now.
 */
unsigned int ek_gateway_changes(const struct ek_gateway_place *before,
				const struct ek_gateway_place *after);

/* Why it is not announced at this moment, or "". Returns out. */
const char *ek_gateway_why(const struct ek_gateway_place *place, char *out, size_t size);

/* --- the gateway ----------------------------------------------------------------------------- */

struct ek_gateway;

/*
 * Takes over what an adopted data plane announces; nothing changes before the first refresh.
 * NULL without memory.
 */
struct ek_gateway *ek_gateway_new(struct event_base *base, struct ek_datapath *dp);
/* With `detach` everything is withdrawn; without, the data plane goes on answering. */
void ek_gateway_free(struct ek_gateway *gateway, bool detach);
/*
 * Announces what the file and the interfaces now ask for, and withdraws the rest: to be called when
 * either has changed. Without `announce: arp` that is nothing. 0, or -ENOMEM with nothing changed.
 */
int ek_gateway_refresh(struct ek_gateway *gateway, const struct ek_config *config,
		       const struct ek_ports *ports, const struct ek_netlink *netlink);
/* For the status: [{address, announced, interface, why}], by address. */
json_t *ek_gateway_json(const struct ek_gateway *gateway);

#endif
