/* SPDX-License-Identifier: GPL-2.0-only */
/* rtnetlink messages built here byte by byte, and what the parsers make of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <net/if.h>
#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include "ip.h"
#include "netlink_parse.h"

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t zero_mac[6];

static struct ek_ip ip(const char *text)
{
	struct ek_ip out;

	assert_int_equal(ek_ip_parse(text, &out), 0);
	return out;
}

static void assert_ip(const struct ek_ip *have, const char *want)
{
	struct ek_ip expected = ip(want);

	assert_memory_equal(have, &expected, sizeof(expected));
}

static const void *address_bytes(const struct ek_ip *address, size_t *size)
{
	*size = ek_ip_family(address) == AF_INET ? 4 : 16;
	return address->bytes + 16 - *size;
}

static void put_address(struct nlmsghdr *message, uint16_t type, const char *text)
{
	struct ek_ip address = ip(text);
	size_t size;
	const void *bytes = address_bytes(&address, &size);

	mnl_attr_put(message, type, size, bytes);
}

static struct nlmsghdr *begin(void *buffer, uint16_t type, const void *header, size_t size)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

	message->nlmsg_type = type;
	memcpy(mnl_nlmsg_put_extra_header(message, size), header, size);
	return message;
}

static struct nlmsghdr *begin_route(void *buffer, int family, unsigned char type)
{
	const struct rtmsg header = {.rtm_family = family, .rtm_type = type};

	return begin(buffer, RTM_NEWROUTE, &header, sizeof(header));
}

static struct nlmsghdr *full_route(void *buffer)
{
	struct nlmsghdr *message = begin_route(buffer, AF_INET, RTN_UNICAST);
	struct nlattr *metrics;

	put_address(message, RTA_DST, "198.51.100.9");
	mnl_attr_put_u32(message, RTA_OIF, 7);
	put_address(message, RTA_PREFSRC, "192.0.2.1");
	put_address(message, RTA_GATEWAY, "192.0.2.2");
	metrics = mnl_attr_nest_start(message, RTA_METRICS);
	mnl_attr_put_u32(message, RTAX_ADVMSS, 1000);
	mnl_attr_put_u32(message, RTAX_MTU, 1400);
	mnl_attr_nest_end(message, metrics);
	return message;
}

static struct nlmsghdr *full_neighbour(void *buffer, uint16_t type)
{
	const struct ndmsg header = {
		.ndm_family = AF_INET6,
		.ndm_ifindex = 7,
		.ndm_state = NUD_STALE,
		.ndm_flags = NTF_EXT_LEARNED,
	};
	struct nlmsghdr *message = begin(buffer, type, &header, sizeof(header));

	put_address(message, NDA_DST, "2001:db8::2");
	mnl_attr_put(message, NDA_LLADDR, sizeof(mac), mac);
	mnl_attr_put_u8(message, NDA_PROTOCOL, EK_NETLINK_PROTOCOL);
	mnl_attr_put_u32(message, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
	return message;
}

static struct nlmsghdr *full_link(void *buffer)
{
	const struct ifinfomsg header = {.ifi_index = 7, .ifi_flags = IFF_UP | IFF_LOWER_UP};
	struct nlmsghdr *message = begin(buffer, RTM_NEWLINK, &header, sizeof(header));

	mnl_attr_put_strz(message, IFLA_IFNAME, "eth0");
	mnl_attr_put(message, IFLA_ADDRESS, sizeof(mac), mac);
	mnl_attr_put_u32(message, IFLA_MTU, 1500);
	return message;
}

static struct nlmsghdr *full_address(void *buffer)
{
	const struct ifaddrmsg header = {
		.ifa_family = AF_INET, .ifa_prefixlen = 28, .ifa_index = 7};
	struct nlmsghdr *message = begin(buffer, RTM_NEWADDR, &header, sizeof(header));

	put_address(message, IFA_ADDRESS, "192.0.2.99");
	put_address(message, IFA_LOCAL, "192.0.2.1");
	mnl_attr_put_u32(message, IFA_FLAGS, IFA_F_PERMANENT);
	return message;
}

/* --- routes --------------------------------------------------------------------------------- */

static void reads_a_route(void **state)
{
	_Alignas(4) char buffer[512];
	struct ek_netlink_route route;

	(void)state;
	assert_int_equal(ek_netlink_parse_route(full_route(buffer), &route), 0);
	assert_int_equal(route.state, EK_NEXTHOP_NO_NEIGHBOUR);
	assert_int_equal(route.ifindex, 7);
	assert_int_equal(route.mtu, 1400);
	assert_ip(&route.gateway, "192.0.2.2");
	assert_ip(&route.source, "192.0.2.1");
}

static void reads_route_types(void **state)
{
	static const struct {
		unsigned char type;
		enum ek_nexthop_state want;
	} rows[] = {
		{RTN_UNSPEC, EK_NEXTHOP_NO_ROUTE},    {RTN_UNICAST, EK_NEXTHOP_NO_NEIGHBOUR},
		{RTN_LOCAL, EK_NEXTHOP_IS_LOCAL},     {RTN_BROADCAST, EK_NEXTHOP_IS_LOCAL},
		{RTN_ANYCAST, EK_NEXTHOP_IS_LOCAL},   {RTN_MULTICAST, EK_NEXTHOP_IS_LOCAL},
		{RTN_BLACKHOLE, EK_NEXTHOP_NO_ROUTE}, {RTN_UNREACHABLE, EK_NEXTHOP_NO_ROUTE},
		{RTN_PROHIBIT, EK_NEXTHOP_NO_ROUTE},  {RTN_THROW, EK_NEXTHOP_NO_ROUTE},
		{RTN_NAT, EK_NEXTHOP_NO_ROUTE},	      {255, EK_NEXTHOP_NO_ROUTE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_Alignas(4) char buffer[512];
		struct nlmsghdr *message = begin_route(buffer, AF_INET6, rows[i].type);
		struct ek_netlink_route route;

		mnl_attr_put_u32(message, RTA_OIF, 7);
		assert_int_equal(ek_netlink_parse_route(message, &route), 0);
		assert_int_equal(route.state, rows[i].want);
		assert_int_equal(route.ifindex, rows[i].want == EK_NEXTHOP_NO_ROUTE ? 0 : 7);
		assert_true(ek_ip_is_zero(&route.gateway));
	}
}

static void reads_a_gateway_of_another_family(void **state)
{
	static const struct {
		const char *what;
		uint16_t family;
		size_t size; /* of the address */
		int want;
	} rows[] = {
		{"IPv6", AF_INET6, 16, 0},
		{"IPv4", AF_INET, 4, 0},
		{"cut off", AF_INET6, 15, -EINVAL},
		{"no address at all", AF_INET6, 0, -EINVAL},
		{"a family without a gateway", AF_PACKET, 16, -EINVAL},
	};
	const struct ek_ip gateway = ip("2001:db8::2");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_Alignas(4) char buffer[512], via[2 + 16];
		struct nlmsghdr *message = begin_route(buffer, AF_INET, RTN_UNICAST);
		struct ek_netlink_route route;

		print_message("%s\n", rows[i].what);
		mnl_attr_put_u32(message, RTA_OIF, 7);
		memcpy(via, &rows[i].family, 2);
		memcpy(via + 2, gateway.bytes, 16);
		mnl_attr_put(message, RTA_VIA, 2 + rows[i].size, via);
		assert_int_equal(ek_netlink_parse_route(message, &route), rows[i].want);
		if (rows[i].want == 0)
			assert_int_equal(ek_ip_family(&route.gateway), rows[i].family);
	}
}

static void refuses_bad_routes(void **state)
{
	_Alignas(4) char buffer[512];
	struct ek_netlink_route route;
	struct nlmsghdr *message;

	(void)state;
	message = begin_route(buffer, AF_INET, RTN_UNICAST);
	assert_int_equal(ek_netlink_parse_route(message, &route), -EINVAL);
	mnl_attr_put_u32(message, RTA_OIF, UINT32_MAX);
	assert_int_equal(ek_netlink_parse_route(message, &route), -EINVAL);
	message = begin_route(buffer, AF_INET, RTN_UNICAST);
	mnl_attr_put_u16(message, RTA_OIF, 7);
	assert_int_equal(ek_netlink_parse_route(message, &route), -EINVAL);
	message = begin_route(buffer, AF_INET6, RTN_UNICAST);
	mnl_attr_put_u32(message, RTA_OIF, 7);
	put_address(message, RTA_GATEWAY, "192.0.2.2");
	assert_int_equal(ek_netlink_parse_route(message, &route), -EINVAL);
	message = begin_route(buffer, AF_MPLS, RTN_UNICAST);
	assert_int_equal(ek_netlink_parse_route(message, &route), -ENOENT);
	message = full_route(buffer);
	message->nlmsg_type = RTM_DELROUTE;
	assert_int_equal(ek_netlink_parse_route(message, &route), -ENOENT);
}

static void reads_prefixes(void **state)
{
	static const struct {
		const char *what, *address;
		int family;
		unsigned int length, want_length;
		int want;
	} rows[] = {
		{"IPv4", "198.51.100.0", AF_INET, 24, 120, 0},
		{"IPv4 host", "198.51.100.9", AF_INET, 32, 128, 0},
		{"IPv4 default", NULL, AF_INET, 0, 96, 0},
		{"IPv6", "2001:db8::", AF_INET6, 32, 32, 0},
		{"IPv6 default", NULL, AF_INET6, 0, 0, 0},
		{"IPv4 too long", "198.51.100.0", AF_INET, 33, 0, -EINVAL},
		{"IPv6 too long", "2001:db8::", AF_INET6, 129, 0, -EINVAL},
		{"a length without an address", NULL, AF_INET, 24, 0, -EINVAL},
		{"an address of the other family", "198.51.100.0", AF_INET6, 24, 0, -EINVAL},
		{"another family", NULL, AF_MPLS, 0, 0, -ENOENT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct rtmsg header = {
			.rtm_family = rows[i].family,
			.rtm_dst_len = rows[i].length,
		};
		_Alignas(4) char buffer[512];
		struct nlmsghdr *message = begin(buffer, RTM_DELROUTE, &header, sizeof(header));
		struct ek_netlink_prefix prefix;

		print_message("%s\n", rows[i].what);
		if (rows[i].address)
			put_address(message, RTA_DST, rows[i].address);
		assert_int_equal(ek_netlink_parse_prefix(message, &prefix), rows[i].want);
		if (rows[i].want)
			continue;
		assert_int_equal(prefix.length, rows[i].want_length);
		assert_ip(&prefix.address, rows[i].address	       ? rows[i].address
					   : rows[i].family == AF_INET ? "0.0.0.0"
								       : "::");
	}
}

static void knows_what_a_prefix_covers(void **state)
{
	static const struct {
		const char *address;
		unsigned int length;
		const char *ip;
		bool want;
	} rows[] = {
		{"198.51.100.0", 120, "198.51.100.255", true},
		{"198.51.100.0", 120, "198.51.101.0", false},
		{"198.51.100.0", 119, "198.51.101.0", true},
		{"198.51.100.8", 127, "198.51.100.9", true},
		{"198.51.100.8", 127, "198.51.100.10", false},
		{"198.51.100.8", 128, "198.51.100.8", true},
		{"198.51.100.8", 128, "198.51.100.9", false},
		{"0.0.0.0", 96, "255.255.255.255", true},
		{"0.0.0.0", 96, "2001:db8::", false},
		{"::", 0, "2001:db8::", true},
		{"2001:db8::", 33, "2001:db8:7fff::1", true},
		{"2001:db8::", 33, "2001:db8:8000::1", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct ek_netlink_prefix prefix = {ip(rows[i].address), rows[i].length};
		const struct ek_ip address = ip(rows[i].ip);

		assert_int_equal(ek_netlink_prefix_covers(&prefix, &address), rows[i].want);
	}
}

/* --- neighbours, links, addresses ----------------------------------------------------------- */

static void reads_a_neighbour(void **state)
{
	_Alignas(4) char buffer[512];
	struct ek_netlink_neighbour neighbour;
	struct nlmsghdr *message = full_neighbour(buffer, RTM_NEWNEIGH);

	(void)state;
	assert_int_equal(ek_netlink_parse_neighbour(message, &neighbour), 0);
	assert_int_equal(neighbour.ifindex, 7);
	assert_int_equal(neighbour.state, NUD_STALE);
	assert_int_equal(neighbour.protocol, EK_NETLINK_PROTOCOL);
	assert_true(neighbour.managed);
	assert_true(neighbour.learned);
	assert_memory_equal(neighbour.mac, mac, 6);
	assert_ip(&neighbour.address, "2001:db8::2");

	/* Whatever a deletion says about the entry: it is gone. */
	message = full_neighbour(buffer, RTM_DELNEIGH);
	assert_int_equal(ek_netlink_parse_neighbour(message, &neighbour), 0);
	assert_int_equal(neighbour.state, 0);
	assert_false(neighbour.managed);
	assert_memory_equal(neighbour.mac, zero_mac, 6);
	assert_ip(&neighbour.address, "2001:db8::2");
}

static void skips_other_neighbours(void **state)
{
	_Alignas(4) char buffer[512];
	struct ek_netlink_neighbour neighbour;
	struct nlmsghdr *message = full_neighbour(buffer, RTM_GETNEIGH);
	struct ndmsg *header = mnl_nlmsg_get_payload(message);

	(void)state;
	assert_int_equal(ek_netlink_parse_neighbour(message, &neighbour), -ENOENT);
	message->nlmsg_type = RTM_NEWNEIGH;
	header->ndm_flags = NTF_PROXY;
	assert_int_equal(ek_netlink_parse_neighbour(message, &neighbour), -ENOENT);
	header->ndm_flags = 0;
	header->ndm_family = AF_BRIDGE;
	assert_int_equal(ek_netlink_parse_neighbour(message, &neighbour), -ENOENT);
	header->ndm_family = AF_INET6;
	header->ndm_ifindex = 0;
	assert_int_equal(ek_netlink_parse_neighbour(message, &neighbour), -EINVAL);
}

static void knows_usable_neighbours(void **state)
{
	static const struct {
		uint16_t state;
		bool want;
	} rows[] = {
		{0, false},	     {NUD_INCOMPLETE, false}, {NUD_REACHABLE, true},
		{NUD_STALE, true},   {NUD_DELAY, true},	      {NUD_PROBE, true},
		{NUD_FAILED, false}, {NUD_NOARP, true},	      {NUD_PERMANENT, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct ek_netlink_neighbour neighbour = {.state = rows[i].state};

		assert_false(ek_netlink_neighbour_usable(&neighbour));
		memcpy(neighbour.mac, mac, sizeof(mac));
		assert_int_equal(ek_netlink_neighbour_usable(&neighbour), rows[i].want);
	}
}

static void ignores_hardware_addresses_of_other_lengths(void **state)
{
	static const uint8_t long_address[20] = {1, 2, 3, 4, 5, 6, 7, 8};

	(void)state;
	for (size_t size = 0; size <= sizeof(long_address); size++) {
		const struct ndmsg header = {.ndm_family = AF_INET, .ndm_ifindex = 7};
		const struct ifinfomsg link_header = {.ifi_index = 7};
		const uint8_t *want = size == 6 ? long_address : zero_mac;
		struct ek_netlink_neighbour neighbour;
		_Alignas(4) char buffer[512];
		struct nlmsghdr *message = begin(buffer, RTM_NEWNEIGH, &header, sizeof(header));
		struct ek_link link;

		put_address(message, NDA_DST, "192.0.2.2");
		mnl_attr_put(message, NDA_LLADDR, size, long_address);
		assert_int_equal(ek_netlink_parse_neighbour(message, &neighbour), 0);
		assert_memory_equal(neighbour.mac, want, 6);
		message = begin(buffer, RTM_NEWLINK, &link_header, sizeof(link_header));
		mnl_attr_put_strz(message, IFLA_IFNAME, "tun0");
		mnl_attr_put(message, IFLA_ADDRESS, size, long_address);
		assert_int_equal(ek_netlink_parse_link(message, &link), 0);
		assert_memory_equal(link.mac, want, 6);
	}
}

static void reads_a_link(void **state)
{
	_Alignas(4) char buffer[512];
	struct nlmsghdr *message = full_link(buffer);
	struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	struct ek_link link;

	(void)state;
	assert_int_equal(ek_netlink_parse_link(message, &link), 0);
	assert_int_equal(link.ifindex, 7);
	assert_string_equal(link.name, "eth0");
	assert_memory_equal(link.mac, mac, 6);
	assert_int_equal(link.mtu, 1500);
	assert_true(link.up);
	assert_true(ek_ip_is_zero(&link.address4) && ek_ip_is_zero(&link.address6));
	header->ifi_flags = IFF_UP;
	assert_int_equal(ek_netlink_parse_link(message, &link), 0);
	assert_false(link.up);
	header->ifi_family = AF_BRIDGE;
	assert_int_equal(ek_netlink_parse_link(message, &link), -ENOENT);
}

/* What `ip link add link eth0 name eth0.200 type vlan` makes, and what is no such thing. */
static void reads_a_vlan_device(void **state)
{
	static const struct {
		const char *what, *kind;
		int parent, id; /* -1: no such attribute */
		uint16_t protocol;
		bool elsewhere; /* its other end is in another network namespace */
		bool known;
	} rows[] = {
		{"802.1Q", "vlan", 7, 200, ETH_P_8021Q, false, true},
		{"802.1ad", "vlan", 7, 4094, ETH_P_8021AD, false, true},
		{"without a link", "vlan", -1, 200, ETH_P_8021Q, false, false},
		{"without an identifier", "vlan", 7, -1, ETH_P_8021Q, false, false},
		{"without a protocol", "vlan", 7, 200, 0, false, false},
		{"its link is elsewhere", "vlan", 7, 200, ETH_P_8021Q, true, false},
		{"another kind", "macvlan", 7, 200, ETH_P_8021Q, false, false},
		{"no kind", NULL, 7, 200, ETH_P_8021Q, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct ifinfomsg header = {.ifi_index = 9};
		_Alignas(4) char buffer[512];
		struct nlmsghdr *message = begin(buffer, RTM_NEWLINK, &header, sizeof(header));
		struct nlattr *info, *data;
		struct ek_link link;

		print_message("%s\n", rows[i].what);
		mnl_attr_put_strz(message, IFLA_IFNAME, "eth0.200");
		if (rows[i].parent >= 0)
			mnl_attr_put_u32(message, IFLA_LINK, rows[i].parent);
		if (rows[i].elsewhere)
			mnl_attr_put_u32(message, IFLA_LINK_NETNSID, 0);
		info = mnl_attr_nest_start(message, IFLA_LINKINFO);
		if (rows[i].kind)
			mnl_attr_put_strz(message, IFLA_INFO_KIND, rows[i].kind);
		data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
		if (rows[i].id >= 0)
			mnl_attr_put_u16(message, IFLA_VLAN_ID, rows[i].id);
		if (rows[i].protocol)
			mnl_attr_put_u16(message, IFLA_VLAN_PROTOCOL, htons(rows[i].protocol));
		mnl_attr_nest_end(message, data);
		mnl_attr_nest_end(message, info);
		assert_int_equal(ek_netlink_parse_link(message, &link), 0);
		assert_int_equal(link.parent, rows[i].known ? rows[i].parent : 0);
		assert_int_equal(link.vlan, rows[i].known ? rows[i].id : 0);
		assert_int_equal(link.vlan_protocol, rows[i].known ? rows[i].protocol : 0);
	}
}

static void refuses_bad_link_names(void **state)
{
	static const struct {
		const char *what, *name;
		size_t size;
		int want;
	} rows[] = {
		{"the longest", "abcdefghijklmno", 16, 0},
		{"one too long", "abcdefghijklmnop", 17, -EINVAL},
		{"not terminated", "eth0", 4, -EINVAL},
		{"empty attribute", "", 0, -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct ifinfomsg header = {.ifi_index = 7};
		_Alignas(4) char buffer[512];
		struct nlmsghdr *message = begin(buffer, RTM_NEWLINK, &header, sizeof(header));
		struct ek_link link;

		print_message("%s\n", rows[i].what);
		mnl_attr_put(message, IFLA_IFNAME, rows[i].size, rows[i].name);
		assert_int_equal(ek_netlink_parse_link(message, &link), rows[i].want);
		if (rows[i].want == 0)
			assert_string_equal(link.name, rows[i].name);
	}
}

static void picks_addresses(void **state)
{
	static const struct {
		const char *what;
		uint32_t flags;
		unsigned char scope;
		bool want;
	} rows[] = {
		{"global", IFA_F_PERMANENT, RT_SCOPE_UNIVERSE, true},
		{"flags beyond the first eight", IFA_F_NOPREFIXROUTE, RT_SCOPE_UNIVERSE, true},
		{"link scope", 0, RT_SCOPE_LINK, false},
		{"host scope", 0, RT_SCOPE_HOST, false},
		{"secondary or temporary", IFA_F_SECONDARY, RT_SCOPE_UNIVERSE, false},
		{"tentative", IFA_F_TENTATIVE, RT_SCOPE_UNIVERSE, false},
		{"a duplicate", IFA_F_DADFAILED, RT_SCOPE_UNIVERSE, false},
		{"deprecated", IFA_F_DEPRECATED, RT_SCOPE_UNIVERSE, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_Alignas(4) char buffer[512];
		const struct ifaddrmsg header = {
			.ifa_family = AF_INET6,
			.ifa_prefixlen = 64,
			.ifa_scope = rows[i].scope,
			.ifa_index = 7,
		};
		struct nlmsghdr *message = begin(buffer, RTM_NEWADDR, &header, sizeof(header));
		struct ek_netlink_address address;

		print_message("%s\n", rows[i].what);
		put_address(message, IFA_ADDRESS, "2001:db8::1");
		mnl_attr_put_u32(message, IFA_FLAGS, rows[i].flags);
		assert_int_equal(ek_netlink_parse_address(message, &address), 0);
		assert_int_equal(address.source, rows[i].want);
		assert_int_equal(address.ifindex, 7);
		assert_ip(&address.address, "2001:db8::1");
		assert_ip(&address.network.address, "2001:db8::1");
		assert_int_equal(address.network.length, 64);
	}
}

/* Ours is the near end; what is on-link is where the far end is. */
static void tells_the_ends_of_a_link(void **state)
{
	_Alignas(4) char buffer[512];
	struct nlmsghdr *message = full_address(buffer);
	struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct ek_netlink_address address;

	(void)state;
	assert_int_equal(ek_netlink_parse_address(message, &address), 0);
	assert_ip(&address.address, "192.0.2.1");
	assert_ip(&address.network.address, "192.0.2.99");
	assert_int_equal(address.network.length, 96 + 28);
	header->ifa_prefixlen = 33;
	assert_int_equal(ek_netlink_parse_address(message, &address), -EINVAL);
}

/* --- any bytes ------------------------------------------------------------------------------ */

static void parse_all(const struct nlmsghdr *message)
{
	struct ek_netlink_neighbour neighbour;
	struct ek_netlink_address address;
	struct ek_netlink_prefix prefix;
	struct ek_netlink_route route;
	struct ek_link link;

	ek_netlink_parse_link(message, &link);
	ek_netlink_parse_address(message, &address);
	ek_netlink_parse_route(message, &route);
	ek_netlink_parse_prefix(message, &prefix);
	ek_netlink_parse_neighbour(message, &neighbour);
}

static void knows_a_whole_message(void **state)
{
	static const struct {
		const char *what;
		uint32_t length;
		int left;
		bool want;
	} rows[] = {
		{"all of the buffer", 32, 32, true},
		{"more follows", 16, 32, true},
		{"longer than the buffer", 33, 32, false},
		{"shorter than its header", 15, 32, false},
		{"less than a header left", 16, 15, false},
		{"nothing left", 16, 0, false},
		{"stepped past the end", 16, -3, false},
		{"negative as an int", 0xd1000000, 32, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct nlmsghdr message = {.nlmsg_len = rows[i].length};

		print_message("%s\n", rows[i].what);
		assert_int_equal(ek_netlink_message_ok(&message, rows[i].left), rows[i].want);
	}
}

/* Each message cut off at every byte, in memory that ends where the message does. */
static void survives_truncation(void **state)
{
	_Alignas(4) char buffer[5][512];
	const struct nlmsghdr *messages[] = {
		full_route(buffer[0]),
		full_neighbour(buffer[1], RTM_NEWNEIGH),
		full_neighbour(buffer[2], RTM_DELNEIGH),
		full_link(buffer[3]),
		full_address(buffer[4]),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
		for (uint32_t length = NLMSG_HDRLEN; length <= messages[i]->nlmsg_len; length++) {
			struct nlmsghdr *copy = calloc(1, NLMSG_ALIGN(length));

			assert_non_null(copy);
			memcpy(copy, messages[i], length);
			copy->nlmsg_len = length;
			parse_all(copy);
			free(copy);
		}
	}
}

/* Attribute lengths that lie: every 16-bit value that matters at every place one may stand. */
static void survives_wrong_lengths(void **state)
{
	static const uint16_t lengths[] = {0, 1, 3, 4, 5, 7, 8, 20, 255, 0x7fff, 0xffff};
	_Alignas(4) char buffer[512];
	const struct nlmsghdr *message = full_route(buffer);

	(void)state;
	for (uint32_t at = NLMSG_HDRLEN; at + 2 <= message->nlmsg_len; at += 2) {
		for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
			char *copy = malloc(message->nlmsg_len);

			assert_non_null(copy);
			memcpy(copy, message, message->nlmsg_len);
			memcpy(copy + at, &lengths[i], sizeof(lengths[i]));
			parse_all((const struct nlmsghdr *)copy);
			free(copy);
		}
	}
}

/* --- requests ------------------------------------------------------------------------------- */

static void writes_requests(void **state)
{
	const struct ek_ip v6 = ip("2001:db8::2"), v4 = ip("192.0.2.2");
	_Alignas(4) char buffer[EK_NETLINK_REQUEST];
	struct ek_netlink_neighbour neighbour;
	struct nlmsghdr *message;
	const struct ndmsg *entry;
	const struct rtmsg *route;

	(void)state;
	message = ek_netlink_put_manage(buffer, 7, &v6, true);
	assert_in_range(message->nlmsg_len, 0, EK_NETLINK_REQUEST);
	assert_int_equal(message->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE);
	assert_int_equal(ek_netlink_parse_neighbour(message, &neighbour), 0);
	assert_true(neighbour.managed);
	assert_int_equal(neighbour.protocol, EK_NETLINK_PROTOCOL);
	assert_int_equal(neighbour.state, 0);
	assert_ip(&neighbour.address, "2001:db8::2");
	entry = mnl_nlmsg_get_payload(message);
	assert_int_equal(entry->ndm_flags, NTF_USE);

	/* Letting go never makes an entry. */
	message = ek_netlink_put_manage(buffer, 7, &v4, false);
	assert_int_equal(message->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
	assert_int_equal(ek_netlink_parse_neighbour(message, &neighbour), 0);
	assert_false(neighbour.managed);
	assert_int_equal(neighbour.protocol, 0);
	assert_ip(&neighbour.address, "192.0.2.2");

	message = ek_netlink_put_route(buffer, &v4);
	route = mnl_nlmsg_get_payload(message);
	assert_int_equal(message->nlmsg_type, RTM_GETROUTE);
	assert_int_equal(route->rtm_family, AF_INET);
	assert_int_equal(route->rtm_dst_len, 32);
	message = ek_netlink_put_route(buffer, &v6);
	route = mnl_nlmsg_get_payload(message);
	assert_int_equal(route->rtm_family, AF_INET6);
	assert_int_equal(route->rtm_dst_len, 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_route),
		cmocka_unit_test(reads_route_types),
		cmocka_unit_test(reads_a_gateway_of_another_family),
		cmocka_unit_test(refuses_bad_routes),
		cmocka_unit_test(reads_prefixes),
		cmocka_unit_test(knows_what_a_prefix_covers),
		cmocka_unit_test(reads_a_neighbour),
		cmocka_unit_test(skips_other_neighbours),
		cmocka_unit_test(knows_usable_neighbours),
		cmocka_unit_test(ignores_hardware_addresses_of_other_lengths),
		cmocka_unit_test(reads_a_link),
		cmocka_unit_test(reads_a_vlan_device),
		cmocka_unit_test(refuses_bad_link_names),
		cmocka_unit_test(picks_addresses),
		cmocka_unit_test(tells_the_ends_of_a_link),
		cmocka_unit_test(knows_a_whole_message),
		cmocka_unit_test(survives_truncation),
		cmocka_unit_test(survives_wrong_lengths),
		cmocka_unit_test(writes_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
