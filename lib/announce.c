/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sockets and routes behind announce.h; announce_frame.c builds the frames. Called by ha.c and
 * announce_gateway.c.
 *
 * The virtual MAC gets into the NIC's unicast filter as a membership of the packet socket
 * (packet(7), PACKET_MR_UNICAST). A forwarding database entry (RTM_NEWNEIGH, NTF_SELF) would do the
 * same where the driver allows it, but it outlives a controller that dies, and it is one entry for
 * all who want it; memberships are counted by the kernel and end with their socket. So do those of
 * the solicited-node groups: a node that nobody runs any more stops hearing for its VIPs, unless
 * ek_announce_let_in() was told otherwise.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include "announce.h"
#include "ip.h"
#include "netlink.h"
#include "netlink_parse.h"
#include "netlink_socket.h"

struct ek_announcer {
	int packet; /* sends only */
	int groups; /* UDP, never bound: it holds memberships; -1 without IPv6 VIPs */
	bool virtual_mac;
	uint8_t vrid;
	size_t n_vips;
	struct ek_ip vips[];
};

/* --- one interface --------------------------------------------------------------------------- */

static int open_packet_socket(const struct ek_announcer_options *options)
{
	/* Protocol 0: no frame is ever queued to it. */
	const struct sockaddr_ll address = {.sll_family = AF_PACKET,
					    .sll_ifindex = options->ifindex};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int status;

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	status = -errno;
	close(fd);
	return status;
}

static bool has_family(const struct ek_announcer_options *options, int family)
{
	for (size_t i = 0; i < options->n_vips; i++)
		if (ek_ip_family(&options->vips[i]) == family)
			return true;
	return false;
}

static int accept_virtual_mac(int packet, const struct ek_announcer_options *options, int family)
{
	struct packet_mreq membership = {
		.mr_ifindex = options->ifindex, .mr_type = PACKET_MR_UNICAST, .mr_alen = ETH_ALEN};

	if (!has_family(options, family))
		return 0;
	ek_announce_vmac(options->vrid, family == AF_INET6, membership.mr_address);
	if (setsockopt(packet, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership)) <
	    0)
		return -errno;
	return 0;
}

/* Do the two have one solicited-node group (RFC 4291, section 2.7.1)? */
static bool same_group(const struct ek_ip *a, const struct ek_ip *b)
{
	return ek_ip_family(b) == AF_INET6 && !memcmp(&a->bytes[13], &b->bytes[13], 3);
}

static bool is_joined(const struct ek_announcer_options *options, size_t before)
{
	for (size_t i = 0; i < before; i++)
		if (same_group(&options->vips[before], &options->vips[i]))
			return true;
	return false;
}

static int join_group(int fd, int ifindex, const struct ek_ip *vip)
{
	struct ipv6_mreq membership = {
		.ipv6mr_multiaddr.s6_addr = {0xff, 0x02, [11] = 1, [12] = 0xff},
		.ipv6mr_interface = ifindex,
	};

	memcpy(&membership.ipv6mr_multiaddr.s6_addr[13], &vip->bytes[13], 3);
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &membership, sizeof(membership)) < 0)
		return -errno;
	return 0;
}

/* Each distinct group once: the kernel refuses a second membership of one socket. */
static int join_groups(int fd, const struct ek_announcer_options *options, struct ek_error *error)
{
	char text[EK_IP_TEXT];
	int status;

	for (size_t i = 0; i < options->n_vips; i++) {
		const struct ek_ip *vip = &options->vips[i];

		if (ek_ip_family(vip) != AF_INET6 || is_joined(options, i))
			continue;
		status = join_group(fd, options->ifindex, vip);
		if (!status)
			continue;
		ek_error_set(error, "%s: cannot join the solicited-node group of %s: %s%s",
			     options->interface, ek_ip_format(vip, text), strerror(-status),
			     status == -ENOMEM || status == -ENOBUFS
				     ? " (net.core.optmem_max limits the groups of a socket)"
				     : "");
		return status;
	}
	return 0;
}

static int open_sockets(struct ek_announcer *a, const struct ek_announcer_options *options,
			struct ek_error *error)
{
	int status = open_packet_socket(options);

	if (status < 0) {
		ek_error_set(error, "%s: cannot open a packet socket: %s", options->interface,
			     strerror(-status));
		return status;
	}
	a->packet = status;
	status = options->virtual_mac ? accept_virtual_mac(a->packet, options, AF_INET) : 0;
	if (!status && options->virtual_mac)
		status = accept_virtual_mac(a->packet, options, AF_INET6);
	if (status) {
		ek_error_set(error, "%s: cannot accept the virtual MAC: %s", options->interface,
			     strerror(-status));
		return status;
	}
	if (!has_family(options, AF_INET6))
		return 0;
	a->groups = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (a->groups < 0) {
		status = -errno;
		ek_error_set(error, "%s: cannot open an IPv6 socket: %s", options->interface,
			     strerror(-status));
		return status;
	}
	return join_groups(a->groups, options, error);
}

struct ek_announcer *ek_announcer_new(const struct ek_announcer_options *options,
				      struct ek_error *error)
{
	struct ek_announcer *a = calloc(1, sizeof(*a) + options->n_vips * sizeof(a->vips[0]));

	if (!a) {
		ek_error_set(error, "%s: out of memory", options->interface);
		return NULL;
	}
	a->packet = -1;
	a->groups = -1;
	a->virtual_mac = options->virtual_mac;
	a->vrid = options->vrid;
	a->n_vips = options->n_vips;
	for (size_t i = 0; i < options->n_vips; i++)
		a->vips[i] = options->vips[i];
	if (open_sockets(a, options, error) == 0)
		return a;
	ek_announcer_free(a);
	return NULL;
}

void ek_announcer_free(struct ek_announcer *a)
{
	if (!a)
		return;
	if (a->groups >= 0)
		close(a->groups);
	if (a->packet >= 0)
		close(a->packet);
	free(a);
}

int ek_announcer_send(struct ek_announcer *a, const uint8_t mac[6])
{
	uint8_t frame[EK_ANNOUNCE_FRAME_MAX], own[ETH_ALEN];
	int status = 0;

	for (size_t i = 0; i < a->n_vips; i++) {
		size_t length;

		if (a->virtual_mac)
			ek_announce_vmac(a->vrid, ek_ip_family(&a->vips[i]) == AF_INET6, own);
		else
			memcpy(own, mac, sizeof(own));
		length = ek_announce_frame(&a->vips[i], own, frame);
		if (send(a->packet, frame, length, 0) < 0 && !status)
			status = -errno;
	}
	return status;
}

int ek_announce_let_in(int ifindex, const struct ek_ip *vip, bool on)
{
	/* The group's MAC: RFC 4291, section 2.7.1, and RFC 2464, section 7. */
	const uint8_t *id = &vip->bytes[13];
	const uint8_t mac[ETH_ALEN] = {0x33, 0x33, 0xff, id[0], id[1], id[2]};
	struct ifreq request = {.ifr_hwaddr.sa_family = AF_UNSPEC};
	int fd, status = 0;

	if (!if_indextoname(ifindex, request.ifr_name))
		return -errno;
	memcpy(request.ifr_hwaddr.sa_data, mac, sizeof(mac));
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* EINVAL: a device without a filter; ENOENT: not in it. */
	if (ioctl(fd, on ? SIOCADDMULTI : SIOCDELMULTI, &request) < 0 && errno != EINVAL &&
	    (on || errno != ENOENT))
		status = -errno;
	close(fd);
	return status;
}

/* --- routes ---------------------------------------------------------------------------------- */

struct routes {
	struct ek_ip *list;
	size_t n, size;
	int status; /* -ENOMEM: the list is not whole */
};

/*
 * A unicast route on lo is what a routing daemon takes for one to redistribute (BIRD's `learn`);
 * "local" it leaves alone. The data plane has taken the VIP's packets before routing. Of those that
 * it passes on, a host that does not forward drops all. One that forwards refuses IPv6, where such
 * a route means unreachable, but sends IPv4 round lo until the TTL is used up.
 */
static struct nlmsghdr *put_route(void *buffer, uint16_t type, uint16_t flags, int family)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct rtmsg *route = mnl_nlmsg_put_extra_header(message, sizeof(*route));

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	route->rtm_family = family;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = EK_NETLINK_PROTOCOL;
	return message;
}

static struct nlmsghdr *put_host_route(void *buffer, uint16_t type, uint16_t flags,
				       const struct ek_ip *vip)
{
	bool v4 = ek_ip_is_v4(vip);
	struct nlmsghdr *message = put_route(buffer, type, flags | NLM_F_ACK, ek_ip_family(vip));
	struct rtmsg *route = mnl_nlmsg_get_payload(message);

	route->rtm_dst_len = v4 ? 32 : 128;
	route->rtm_scope = RT_SCOPE_NOWHERE; /* when removing: any */
	mnl_attr_put(message, RTA_DST, v4 ? 4 : 16, &vip->bytes[v4 ? 12 : 0]);
	return message;
}

/* NLM_F_EXCL and not NLM_F_REPLACE: the latter would overwrite what an administrator has put. */
static int add_route(struct ek_netlink_socket *socket, const struct ek_ip *vip)
{
	_Alignas(struct nlmsghdr) char buffer[EK_NETLINK_REQUEST];
	struct nlmsghdr *message =
		put_host_route(buffer, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, vip);
	struct rtmsg *route = mnl_nlmsg_get_payload(message);
	unsigned int lo = if_nametoindex("lo");

	if (!lo)
		return -errno;
	route->rtm_type = RTN_UNICAST;
	route->rtm_scope = ek_ip_is_v4(vip) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	mnl_attr_put_u32(message, RTA_OIF, lo);
	return ek_netlink_ask(socket, message, NULL, NULL);
}

/* Of whatever type, metric and interface, as long as it is ours. */
static int remove_route(struct ek_netlink_socket *socket, const struct ek_ip *vip)
{
	_Alignas(struct nlmsghdr) char buffer[EK_NETLINK_REQUEST];
	struct nlmsghdr *message = put_host_route(buffer, RTM_DELROUTE, 0, vip);
	int status = ek_netlink_ask(socket, message, NULL, NULL);

	return status == -ESRCH ? 0 : status;
}

/* A host route of ours in the main table: its destination. */
static bool parse_route(const struct nlmsghdr *message, struct ek_ip *out)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	size_t size;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*route) ||
	    message->nlmsg_type != RTM_NEWROUTE || route->rtm_table != RT_TABLE_MAIN ||
	    route->rtm_protocol != EK_NETLINK_PROTOCOL || (route->rtm_flags & RTM_F_CLONED))
		return false;
	if (route->rtm_family != AF_INET && route->rtm_family != AF_INET6)
		return false;
	size = route->rtm_family == AF_INET ? 4 : 16;
	if (route->rtm_dst_len != 8 * size)
		return false;
	mnl_attr_for_each(attribute, message, sizeof(*route))
	{
		if (mnl_attr_get_type(attribute) != RTA_DST ||
		    mnl_attr_get_payload_len(attribute) != size)
			continue;
		*out = ek_ip_from4(0);
		memcpy(&out->bytes[sizeof(out->bytes) - size], mnl_attr_get_payload(attribute),
		       size);
		return true;
	}
	return false;
}

static void take_route(const struct nlmsghdr *message, void *arg)
{
	struct routes *routes = arg;
	struct ek_ip vip;

	if (!parse_route(message, &vip))
		return;
	if (routes->n == routes->size) {
		size_t size = routes->size ? 2 * routes->size : 64;
		struct ek_ip *list = realloc(routes->list, size * sizeof(*list));

		if (!list) {
			routes->status = -ENOMEM;
			return;
		}
		routes->list = list;
		routes->size = size;
	}
	routes->list[routes->n++] = vip;
}

/*
 * Our routes of one family; the caller frees the list, whatever is returned. The kernel does the
 * choosing (open_routes()): a router's whole table would take a second to read.
 */
static int list_routes(struct ek_netlink_socket *socket, int family, struct routes *routes)
{
	_Alignas(struct nlmsghdr) char buffer[EK_NETLINK_REQUEST];
	int status, tries = 5;

	memset(routes, 0, sizeof(*routes));
	do {
		routes->n = 0;
		status = ek_netlink_ask(socket, put_route(buffer, RTM_GETROUTE, NLM_F_DUMP, family),
					take_route, routes);
	} while (status == -EINTR && --tries);
	/* A table that never had a route is not there yet. */
	if (status && status != -ENOENT)
		return status;
	return routes->status;
}

static bool contains(const struct ek_ip *list, size_t n, const struct ek_ip *ip)
{
	for (size_t i = 0; i < n; i++)
		if (ek_ip_equal(&list[i], ip))
			return true;
	return false;
}

static int open_routes(struct ek_netlink_socket *socket)
{
	const int strict = 1;
	int status = ek_netlink_socket_open_requests(socket);

	if (!status && setsockopt(ek_netlink_socket_fd(socket), SOL_NETLINK, NETLINK_GET_STRICT_CHK,
				  &strict, sizeof(strict)) < 0)
		status = -errno;
	return status;
}

/* Something has this destination: 0 if it is ours, from an earlier life perhaps. */
static int check_ours(struct ek_netlink_socket *socket, const struct ek_ip *vip)
{
	struct routes routes;
	int status = list_routes(socket, ek_ip_family(vip), &routes);

	if (!status && !contains(routes.list, routes.n, vip))
		status = -EEXIST;
	free(routes.list);
	return status;
}

int ek_announce_route(const struct ek_ip *vip, bool present)
{
	struct ek_netlink_socket socket = {0};
	int status = open_routes(&socket);

	if (!status)
		status = present ? add_route(&socket, vip) : remove_route(&socket, vip);
	if (present && status == -EEXIST)
		status = check_ours(&socket, vip);
	ek_netlink_socket_close(&socket);
	return status;
}

static int flush_family(struct ek_netlink_socket *socket, int family, const struct ek_ip *keep,
			size_t n)
{
	struct routes routes;
	int status = list_routes(socket, family, &routes);

	for (size_t i = 0; i < routes.n; i++) {
		int removed = 0;

		if (!contains(keep, n, &routes.list[i]))
			removed = remove_route(socket, &routes.list[i]);
		if (!status)
			status = removed;
	}
	free(routes.list);
	return status;
}

int ek_announce_routes_flush(const struct ek_ip *keep, size_t n)
{
	struct ek_netlink_socket socket = {0};
	int status = open_routes(&socket);
	int status6;

	if (!status) {
		status = flush_family(&socket, AF_INET, keep, n);
		status6 = flush_family(&socket, AF_INET6, keep, n);
		if (!status)
			status = status6;
	}
	ek_netlink_socket_close(&socket);
	return status;
}
