/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel's tables say about links and next hops, kept fresh (rtnetlink(7) over libmnl).
 *
 * A watched destination is resolved through the kernel's route to it: egress interface, source
 * address, path MTU, and the MAC of the neighbour that the packet goes to (the gateway, or the
 * destination itself when it is on-link). The kernel is asked to keep that neighbour resolved
 * (NTF_EXT_MANAGED, Linux 5.16), because packets forwarded by XDP do not.
 *
 * `changed` is called from the event loop, never from inside ek_netlink_*(), once per batch of
 * kernel messages that altered a watched next hop or a link. The socket is non-blocking; a lost
 * message (ENOBUFS) makes it read everything anew.
 *
 * The kernel resolves a gateway for as long as it is watched; entries that an administrator or
 * another program keeps (permanent, NOARP, externally learned, already managed) are left as they
 * are. ek_netlink_free() leaves the gateways managed, since the data plane outlives the controller:
 * a later one knows them as its own by EK_NETLINK_PROTOCOL.
 */
#ifndef EVENKEEL_NETLINK_H
#define EVENKEEL_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <evenkeel/abi.h>

/* rtm_protocol and NDA_PROTOCOL of what Evenkeel puts into the kernel's tables. */
#define EK_NETLINK_PROTOCOL 107

struct event_base;
struct ek_netlink;

struct ek_link {
	int ifindex;
	char name[IFNAMSIZ];
	uint8_t mac[6];
	unsigned int mtu;
	bool up;	       /* administratively up and with carrier */
	struct ek_ip address4; /* first global-scope address of the family; zero = none */
	struct ek_ip address6;
	int parent;		/* VLAN devices: the interface below, 0 = this is none */
	uint16_t vlan;		/* its identifier */
	uint16_t vlan_protocol; /* ETH_P_8021Q or ETH_P_8021AD */
};

struct ek_netlink_prefix {
	struct ek_ip address; /* bits past the length are not looked at */
	unsigned int length;  /* IPv4: 96 to 128 */
};

/* An address of an interface, whatever its scope and state. */
struct ek_netlink_address {
	int ifindex;
	struct ek_ip address;
	struct ek_netlink_prefix network; /* what is on-link by it */
	bool source; /* good for packets to anywhere: global, not tentative or deprecated */
};

enum ek_nexthop_state {
	EK_NEXTHOP_NO_ROUTE, /* no route, or a blackhole, unreachable or prohibit route */
	EK_NEXTHOP_IS_LOCAL, /* this host's own address, multicast, broadcast: not forwarded to */
	EK_NEXTHOP_NO_NEIGHBOUR, /* route known, MAC not (yet) */
	EK_NEXTHOP_OK,
};

struct ek_nexthop {
	enum ek_nexthop_state state;
	int ifindex;	      /* egress; 0 before a route is known */
	struct ek_ip gateway; /* the neighbour: a gateway, or the destination itself */
	struct ek_ip source;  /* what the kernel would use toward it; zero = none */
	uint8_t mac[6];	      /* of gateway, valid in EK_NEXTHOP_OK */
	unsigned int mtu;     /* of the route if it has one, at most the interface's */
};

typedef void (*ek_netlink_changed)(void *arg);

/* NULL with errno set. Works in the caller's network namespace. */
struct ek_netlink *ek_netlink_new(struct event_base *base, ek_netlink_changed changed, void *arg);
void ek_netlink_free(struct ek_netlink *netlink);

/*
 * Watched destinations are counted: each watch wants one unwatch. The answer is there when
 * ek_netlink_watch() returns, as far as the kernel knows it then. 0 or -errno.
 */
int ek_netlink_watch(struct ek_netlink *netlink, const struct ek_ip *destination);
void ek_netlink_unwatch(struct ek_netlink *netlink, const struct ek_ip *destination);
/* NULL when not watched. The pointer is valid until control returns to the event loop. */
const struct ek_nexthop *ek_netlink_nexthop(const struct ek_netlink *netlink,
					    const struct ek_ip *destination);

/* NULL when there is none. Valid until control returns to the event loop. */
const struct ek_link *ek_netlink_link(const struct ek_netlink *netlink, const char *name);
const struct ek_link *ek_netlink_link_by_index(const struct ek_netlink *netlink, int ifindex);

/* All links, by ifindex. Valid until control returns to the event loop. */
size_t ek_netlink_link_count(const struct ek_netlink *netlink);
const struct ek_link *ek_netlink_link_at(const struct ek_netlink *netlink, size_t i);

/* All addresses of all links. Valid until control returns to the event loop. */
const struct ek_netlink_address *ek_netlink_addresses(const struct ek_netlink *netlink, size_t *n);

const char *ek_nexthop_state_text(enum ek_nexthop_state state);

#endif
