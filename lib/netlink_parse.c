/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rtnetlink messages to structs, and back (rtnetlink(7)). Pure; see netlink_parse.h. Every length
 * is checked here: libmnl's iterators keep attributes inside the message, payload() keeps reads
 * inside the attribute.
 */
#include <errno.h>
#include <string.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include "ip.h"
#include "netlink_parse.h"

bool ek_netlink_message_ok(const struct nlmsghdr *message, int left)
{
	return left >= (int)sizeof(*message) && message->nlmsg_len >= sizeof(*message) &&
	       message->nlmsg_len <= (unsigned int)left;
}

/* The message's fixed header, or NULL when it is too short for one. */
static const void *fixed_header(const struct nlmsghdr *message, size_t size)
{
	return message->nlmsg_len >= MNL_NLMSG_HDRLEN + size ? mnl_nlmsg_get_payload(message)
							     : NULL;
}

/* Fills table[0..max] with the attribute of each type, NULL where there is none. */
static void index_attributes(const struct nlmsghdr *message, size_t header,
			     const struct nlattr **table, unsigned int max)
{
	const struct nlattr *attribute;

	memset(table, 0, (max + 1) * sizeof(*table));
	mnl_attr_for_each(attribute, message, header) if (mnl_attr_get_type(attribute) <= max)
		table[mnl_attr_get_type(attribute)] = attribute;
}

/* NULL when the attribute is absent or shorter than size. */
static const void *payload(const struct nlattr *attribute, size_t size)
{
	if (!attribute || mnl_attr_get_payload_len(attribute) < size)
		return NULL;
	return mnl_attr_get_payload(attribute);
}

static bool get_u32(const struct nlattr *attribute, uint32_t *out)
{
	const void *bytes = payload(attribute, sizeof(*out));

	if (bytes)
		memcpy(out, bytes, sizeof(*out));
	return bytes;
}

static bool ip_from_bytes(int family, const void *bytes, struct ek_ip *out)
{
	in_addr_t address;

	if (!bytes)
		return false;
	if (family == AF_INET6) {
		memcpy(out->bytes, bytes, sizeof(out->bytes));
		return true;
	}
	memcpy(&address, bytes, sizeof(address));
	*out = ek_ip_from4(address);
	return true;
}

static size_t address_size(int family)
{
	return family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
}

static bool is_ip(int family)
{
	return family == AF_INET || family == AF_INET6;
}

static bool get_ip(const struct nlattr *attribute, int family, struct ek_ip *out)
{
	return ip_from_bytes(family, payload(attribute, address_size(family)), out);
}

static void index_nested(const struct nlattr *nest, const struct nlattr **table, unsigned int max)
{
	const struct nlattr *attribute;

	memset(table, 0, (max + 1) * sizeof(*table));
	if (nest)
		mnl_attr_for_each_nested(attribute, nest) if (mnl_attr_get_type(attribute) <= max)
			table[mnl_attr_get_type(attribute)] = attribute;
}

/* A VLAN device whose other end is in this network namespace, too. */
static void get_vlan(const struct nlattr *const *attributes, struct ek_link *link)
{
	const struct nlattr *info[IFLA_INFO_MAX + 1], *data[IFLA_VLAN_MAX + 1];
	const void *id, *protocol;
	uint32_t parent = 0;

	index_nested(attributes[IFLA_LINKINFO], info, IFLA_INFO_MAX);
	if (!info[IFLA_INFO_KIND] ||
	    mnl_attr_validate(info[IFLA_INFO_KIND], MNL_TYPE_NUL_STRING) < 0 ||
	    strcmp(mnl_attr_get_str(info[IFLA_INFO_KIND]), "vlan") || attributes[IFLA_LINK_NETNSID])
		return;
	index_nested(info[IFLA_INFO_DATA], data, IFLA_VLAN_MAX);
	id = payload(data[IFLA_VLAN_ID], sizeof(link->vlan));
	protocol = payload(data[IFLA_VLAN_PROTOCOL], sizeof(link->vlan_protocol));
	if (!id || !protocol || !get_u32(attributes[IFLA_LINK], &parent) || parent > INT32_MAX)
		return;
	link->parent = parent;
	memcpy(&link->vlan, id, sizeof(link->vlan));
	memcpy(&link->vlan_protocol, protocol, sizeof(link->vlan_protocol));
	link->vlan_protocol = ntohs(link->vlan_protocol);
}

int ek_netlink_parse_link(const struct nlmsghdr *message, struct ek_link *out)
{
	const struct nlattr *attributes[IFLA_MAX + 1], *name;
	const struct ifinfomsg *info = fixed_header(message, sizeof(*info));
	const unsigned int want = IFF_UP | IFF_LOWER_UP;
	struct ek_link link;
	uint32_t mtu = 0;
	const void *mac;

	if (!info)
		return -EINVAL;
	if (message->nlmsg_type != RTM_NEWLINK || info->ifi_family != AF_UNSPEC)
		return -ENOENT;
	index_attributes(message, sizeof(*info), attributes, IFLA_MAX);
	name = attributes[IFLA_IFNAME];
	if (info->ifi_index <= 0 || !name || mnl_attr_validate(name, MNL_TYPE_NUL_STRING) < 0 ||
	    mnl_attr_get_payload_len(name) > IFNAMSIZ)
		return -EINVAL;

	/* Cleared whole, padding too: links are compared as bytes. */
	memset(&link, 0, sizeof(link));
	link.ifindex = info->ifi_index;
	strncpy(link.name, mnl_attr_get_str(name), IFNAMSIZ - 1);
	get_u32(attributes[IFLA_MTU], &mtu);
	link.mtu = mtu;
	mac = payload(attributes[IFLA_ADDRESS], sizeof(link.mac));
	if (mac && mnl_attr_get_payload_len(attributes[IFLA_ADDRESS]) == sizeof(link.mac))
		memcpy(link.mac, mac, sizeof(link.mac));
	link.up = (info->ifi_flags & want) == want;
	get_vlan(attributes, &link);
	*out = link;
	return 0;
}

int ek_netlink_parse_address(const struct nlmsghdr *message, struct ek_netlink_address *out)
{
	/* IFA_F_SECONDARY is IFA_F_TEMPORARY in IPv6: a privacy address, gone tomorrow. */
	const uint32_t unfit =
		IFA_F_SECONDARY | IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;
	const struct nlattr *attributes[IFA_MAX + 1];
	const struct ifaddrmsg *info = fixed_header(message, sizeof(*info));
	struct ek_netlink_address address;
	unsigned int bits;
	uint32_t flags;

	if (!info)
		return -EINVAL;
	if (message->nlmsg_type != RTM_NEWADDR || !is_ip(info->ifa_family))
		return -ENOENT;
	index_attributes(message, sizeof(*info), attributes, IFA_MAX);
	flags = info->ifa_flags;
	get_u32(attributes[IFA_FLAGS], &flags);
	bits = 8 * address_size(info->ifa_family);
	if (info->ifa_prefixlen > bits)
		return -EINVAL;
	/* Cleared whole, padding too: addresses are compared as bytes. */
	memset(&address, 0, sizeof(address));
	/* On a point-to-point link IFA_ADDRESS is the peer's and IFA_LOCAL ours. */
	if (!get_ip(attributes[IFA_LOCAL], info->ifa_family, &address.address) &&
	    !get_ip(attributes[IFA_ADDRESS], info->ifa_family, &address.address))
		return -EINVAL;
	if (!get_ip(attributes[IFA_ADDRESS], info->ifa_family, &address.network.address))
		address.network.address = address.address;
	address.network.length = 128 - bits + info->ifa_prefixlen;
	address.source = info->ifa_scope == RT_SCOPE_UNIVERSE && !(flags & unfit);
	address.ifindex = info->ifa_index;
	*out = address;
	return 0;
}

static enum ek_nexthop_state route_state(unsigned int type)
{
	switch (type) {
	case RTN_UNICAST:
		return EK_NEXTHOP_NO_NEIGHBOUR;
	case RTN_LOCAL:
	case RTN_BROADCAST:
	case RTN_ANYCAST:
	case RTN_MULTICAST:
		return EK_NEXTHOP_IS_LOCAL;
	default:
		return EK_NEXTHOP_NO_ROUTE;
	}
}

/* RTA_VIA: the gateway is of another family than the destination (RFC 5549 and its kind). */
static bool get_via(const struct nlattr *attribute, struct ek_ip *out)
{
	const struct rtvia *via = payload(attribute, sizeof(*via));

	if (!via || !is_ip(via->rtvia_family) ||
	    !payload(attribute, sizeof(*via) + address_size(via->rtvia_family)))
		return false;
	return ip_from_bytes(via->rtvia_family, via->rtvia_addr, out);
}

static uint32_t metrics_mtu(const struct nlattr *metrics)
{
	const struct nlattr *metric;
	uint32_t mtu = 0;

	if (metrics)
		mnl_attr_for_each_nested(metric, metrics) if (mnl_attr_get_type(metric) == RTAX_MTU)
			get_u32(metric, &mtu);
	return mtu;
}

int ek_netlink_parse_route(const struct nlmsghdr *message, struct ek_netlink_route *out)
{
	const struct nlattr *attributes[RTA_MAX + 1];
	const struct rtmsg *info = fixed_header(message, sizeof(*info));
	struct ek_netlink_route route = {0};
	uint32_t ifindex = 0;

	if (!info)
		return -EINVAL;
	if (message->nlmsg_type != RTM_NEWROUTE || !is_ip(info->rtm_family))
		return -ENOENT;
	index_attributes(message, sizeof(*info), attributes, RTA_MAX);
	route.state = route_state(info->rtm_type);
	if (route.state != EK_NEXTHOP_NO_ROUTE) {
		if (!get_u32(attributes[RTA_OIF], &ifindex) || !ifindex || ifindex > INT32_MAX)
			return -EINVAL;
		route.ifindex = ifindex;
		get_ip(attributes[RTA_PREFSRC], info->rtm_family, &route.source);
		route.mtu = metrics_mtu(attributes[RTA_METRICS]);
	}
	if (route.state == EK_NEXTHOP_NO_NEIGHBOUR &&
	    ((attributes[RTA_GATEWAY] &&
	      !get_ip(attributes[RTA_GATEWAY], info->rtm_family, &route.gateway)) ||
	     (attributes[RTA_VIA] && !get_via(attributes[RTA_VIA], &route.gateway))))
		return -EINVAL;
	*out = route;
	return 0;
}

int ek_netlink_parse_prefix(const struct nlmsghdr *message, struct ek_netlink_prefix *out)
{
	const struct nlattr *attributes[RTA_MAX + 1];
	const struct rtmsg *info = fixed_header(message, sizeof(*info));
	struct ek_netlink_prefix prefix = {0};

	if (!info)
		return -EINVAL;
	if ((message->nlmsg_type != RTM_NEWROUTE && message->nlmsg_type != RTM_DELROUTE) ||
	    !is_ip(info->rtm_family))
		return -ENOENT;
	if (info->rtm_dst_len > 8 * address_size(info->rtm_family))
		return -EINVAL;
	index_attributes(message, sizeof(*info), attributes, RTA_MAX);
	if (!attributes[RTA_DST] && info->rtm_dst_len == 0) {
		if (info->rtm_family == AF_INET)
			prefix.address = ek_ip_from4(INADDR_ANY);
	} else if (!get_ip(attributes[RTA_DST], info->rtm_family, &prefix.address)) {
		return -EINVAL;
	}
	prefix.length = info->rtm_dst_len + (info->rtm_family == AF_INET ? 96 : 0);
	*out = prefix;
	return 0;
}

int ek_netlink_parse_neighbour(const struct nlmsghdr *message, struct ek_netlink_neighbour *out)
{
	const struct nlattr *attributes[NDA_MAX + 1];
	const struct ndmsg *info = fixed_header(message, sizeof(*info));
	struct ek_netlink_neighbour neighbour = {0};
	const uint8_t *protocol;
	uint32_t flags = 0;

	if (!info)
		return -EINVAL;
	if ((message->nlmsg_type != RTM_NEWNEIGH && message->nlmsg_type != RTM_DELNEIGH) ||
	    !is_ip(info->ndm_family) || (info->ndm_flags & NTF_PROXY))
		return -ENOENT;
	index_attributes(message, sizeof(*info), attributes, NDA_MAX);
	if (info->ndm_ifindex <= 0 ||
	    !get_ip(attributes[NDA_DST], info->ndm_family, &neighbour.address))
		return -EINVAL;
	neighbour.ifindex = info->ndm_ifindex;
	if (message->nlmsg_type == RTM_NEWNEIGH) {
		const void *mac = payload(attributes[NDA_LLADDR], sizeof(neighbour.mac));

		if (mac &&
		    mnl_attr_get_payload_len(attributes[NDA_LLADDR]) == sizeof(neighbour.mac))
			memcpy(neighbour.mac, mac, sizeof(neighbour.mac));
		get_u32(attributes[NDA_FLAGS_EXT], &flags);
		protocol = payload(attributes[NDA_PROTOCOL], sizeof(*protocol));
		neighbour.protocol = protocol ? *protocol : 0;
		neighbour.state = info->ndm_state;
		neighbour.managed = flags & NTF_EXT_MANAGED;
		neighbour.learned = info->ndm_flags & NTF_EXT_LEARNED;
	}
	*out = neighbour;
	return 0;
}

bool ek_netlink_prefix_covers(const struct ek_netlink_prefix *prefix, const struct ek_ip *ip)
{
	unsigned int whole = prefix->length / 8, rest = prefix->length % 8;

	if (memcmp(prefix->address.bytes, ip->bytes, whole))
		return false;
	return !rest || !((prefix->address.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest));
}

bool ek_netlink_neighbour_usable(const struct ek_netlink_neighbour *neighbour)
{
	static const uint8_t none[6];

	return (neighbour->state &
		(NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)) &&
	       memcmp(neighbour->mac, none, sizeof(none));
}

static struct nlmsghdr *put_request(void *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	return message;
}

static void put_ip(struct nlmsghdr *message, uint16_t type, const struct ek_ip *ip)
{
	size_t size = address_size(ek_ip_family(ip));

	mnl_attr_put(message, type, size, ip->bytes + sizeof(ip->bytes) - size);
}

struct nlmsghdr *ek_netlink_put_dump(void *buffer, uint16_t type)
{
	struct nlmsghdr *message = put_request(buffer, type, NLM_F_DUMP);

	if (type == RTM_GETLINK) {
		mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
		mnl_attr_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	} else {
		mnl_nlmsg_put_extra_header(message, sizeof(struct ifaddrmsg));
	}
	return message;
}

struct nlmsghdr *ek_netlink_put_route(void *buffer, const struct ek_ip *destination)
{
	struct nlmsghdr *message = put_request(buffer, RTM_GETROUTE, NLM_F_ACK);
	struct rtmsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));

	info->rtm_family = ek_ip_family(destination);
	info->rtm_dst_len = 8 * address_size(info->rtm_family);
	put_ip(message, RTA_DST, destination);
	return message;
}

static struct nlmsghdr *put_neighbour(void *buffer, uint16_t type, uint16_t flags, int ifindex,
				      const struct ek_ip *address, uint8_t use)
{
	struct nlmsghdr *message = put_request(buffer, type, NLM_F_ACK | flags);
	struct ndmsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));

	info->ndm_family = ek_ip_family(address);
	info->ndm_ifindex = ifindex;
	info->ndm_flags = use;
	put_ip(message, NDA_DST, address);
	return message;
}

struct nlmsghdr *ek_netlink_put_neighbour(void *buffer, int ifindex, const struct ek_ip *address)
{
	return put_neighbour(buffer, RTM_GETNEIGH, 0, ifindex, address, 0);
}

struct nlmsghdr *ek_netlink_put_manage(void *buffer, int ifindex, const struct ek_ip *address,
				       bool manage)
{
	/*
	 * NTF_USE makes the kernel keep state and MAC as they are and start a resolution if one is
	 * due. A kernel before 5.16 skips NDA_FLAGS_EXT and is left with just that.
	 */
	struct nlmsghdr *message = put_neighbour(buffer, RTM_NEWNEIGH, manage ? NLM_F_CREATE : 0,
						 ifindex, address, NTF_USE);

	if (manage) {
		mnl_attr_put_u32(message, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
		mnl_attr_put_u8(message, NDA_PROTOCOL, EK_NETLINK_PROTOCOL);
	}
	return message;
}
