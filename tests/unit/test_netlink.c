/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ek_netlink against the kernel. Every test has two network namespaces of its own, joined by a veth
 * pair: this process is "here" (e0), and "there" (p0) answers ARP and neighbour solicitations. They
 * have no name, only file descriptors, so they are gone when the process is, however it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <event2/event.h>
#include "ip.h"
#include "netlink.h"

#define DEADLINE_S 20

static const uint8_t mac_there[6] = {2, 0, 0, 0, 0, 2};

struct lab {
	int home, here, there; /* namespaces */
	struct event_base *base;
	struct event *tick;
	struct ek_netlink *netlink;
	unsigned int changes;
};

/* --- the two namespaces --------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	assert_in_range(vsnprintf(command, sizeof(command), format, args), 0, sizeof(command) - 1);
	va_end(args);
	return system(command);
}

#define HERE(...) assert_int_equal(shell(__VA_ARGS__), 0)
#define THERE(lab, ...)                                                 \
	do {                                                            \
		assert_int_equal(setns((lab)->there, CLONE_NEWNET), 0); \
		int failed_ = shell(__VA_ARGS__);                       \
		assert_int_equal(setns((lab)->here, CLONE_NEWNET), 0);  \
		assert_int_equal(failed_, 0);                           \
	} while (0)

/* Left open across exec: ip(8) finds a namespace as /proc/self/fd/N. -1 when not permitted. */
static int new_namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	fd = open("/proc/self/ns/net", O_RDONLY);
	assert_true(fd >= 0);
	HERE("ip link set lo up && sysctl -qw net.ipv6.conf.default.accept_dad=0");
	return fd;
}

static void join(struct lab *lab)
{
	HERE("ip link add e0 address 02:00:00:00:00:01 type veth "
	     "peer name p0 address 02:00:00:00:00:02 netns /proc/self/fd/%d",
	     lab->there);
	THERE(lab, "ip addr add 192.0.2.2/24 dev p0 && ip addr add 192.0.2.3/24 dev p0 && "
		   "ip addr add 2001:db8::2/64 dev p0 && ip link set p0 up");
	HERE("ip addr add 192.0.2.1/24 dev e0 && ip addr add 2001:db8::1/64 dev e0 && "
	     "ip link set e0 up");
	/* An entry that nobody answers for fails after 3 x 50 ms instead of 3 s. */
	HERE("sysctl -qw net.ipv4.neigh.e0.retrans_time_ms=50");
}

/* --- the loop ------------------------------------------------------------------------------- */

static void count_change(void *arg)
{
	struct lab *lab = arg;

	lab->changes++;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static bool is_over(time_t deadline)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > deadline;
}

static time_t deadline(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + DEADLINE_S;
}

#define RUN_UNTIL(lab, condition)                                        \
	do {                                                             \
		time_t deadline_ = deadline();                           \
		while (!(condition)) {                                   \
			if (is_over(deadline_))                          \
				fail_msg("not in time: %s", #condition); \
			event_base_loop((lab)->base, EVLOOP_ONCE);       \
		}                                                        \
	} while (0)

static int set_up(void **state)
{
	const struct timeval every = {.tv_usec = 20000};
	struct lab *lab = calloc(1, sizeof(*lab));

	assert_non_null(lab);
	*state = lab;
	lab->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	lab->there = new_namespace();
	lab->here = lab->there < 0 ? -1 : new_namespace();
	if (lab->here < 0)
		return 0;
	join(lab);
	lab->base = event_base_new();
	lab->tick = event_new(lab->base, -1, EV_PERSIST, on_tick, NULL);
	event_add(lab->tick, &every);
	lab->netlink = ek_netlink_new(lab->base, count_change, lab);
	assert_non_null(lab->netlink);
	return 0;
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	ek_netlink_free(lab->netlink);
	if (lab->tick)
		event_free(lab->tick);
	if (lab->base)
		event_base_free(lab->base);
	if (lab->here >= 0) {
		assert_int_equal(setns(lab->home, CLONE_NEWNET), 0);
		close(lab->here);
		close(lab->there);
	}
	close(lab->home);
	free(lab);
	return 0;
}

static struct lab *enter(void **state)
{
	struct lab *lab = *state;

	if (lab->here < 0) {
		print_message("network namespaces need root\n");
		skip();
	}
	return lab;
}

/* --- short forms ---------------------------------------------------------------------------- */

static struct ek_ip ip(const char *text)
{
	struct ek_ip out;

	assert_int_equal(ek_ip_parse(text, &out), 0);
	return out;
}

static void watch(struct lab *lab, const char *destination)
{
	struct ek_ip address = ip(destination);

	assert_int_equal(ek_netlink_watch(lab->netlink, &address), 0);
}

static void unwatch(struct lab *lab, const char *destination)
{
	struct ek_ip address = ip(destination);

	ek_netlink_unwatch(lab->netlink, &address);
}

static const struct ek_nexthop *nexthop(struct lab *lab, const char *destination)
{
	struct ek_ip address = ip(destination);

	return ek_netlink_nexthop(lab->netlink, &address);
}

static bool in_state(struct lab *lab, const char *destination, enum ek_nexthop_state state)
{
	return nexthop(lab, destination)->state == state;
}

static bool has_mac(struct lab *lab, const char *destination, const uint8_t *mac)
{
	const struct ek_nexthop *next = nexthop(lab, destination);

	return next->state == EK_NEXTHOP_OK && !memcmp(next->mac, mac, 6);
}

static bool goes_through(struct lab *lab, const char *destination, const char *gateway)
{
	struct ek_ip want = ip(gateway);

	return ek_ip_equal(&nexthop(lab, destination)->gateway, &want);
}

static int ifindex(struct lab *lab, const char *name)
{
	const struct ek_link *link = ek_netlink_link(lab->netlink, name);

	return link ? link->ifindex : 0;
}

/* The kernel's neighbour entry of address, as ip(8) prints it, matches the pattern. */
static bool entry_shows(const char *address, const char *pattern)
{
	return shell("ip neigh show to %s dev e0 nud all | grep -q '%s'", address, pattern) == 0;
}

/* --- next hops ------------------------------------------------------------------------------ */

static void resolves_next_hops(void **state)
{
	static const struct {
		const char *what, *route, *destination, *gateway, *source;
		unsigned int mtu;
	} rows[] = {
		{"on-link", NULL, "192.0.2.2", "192.0.2.2", "192.0.2.1", 1500},
		{"a gateway", "198.51.100.0/24 via 192.0.2.2", "198.51.100.9", "192.0.2.2",
		 "192.0.2.1", 1500},
		{"a route's own MTU", "198.51.101.0/24 via 192.0.2.2 mtu 1400", "198.51.101.9",
		 "192.0.2.2", "192.0.2.1", 1400},
		{"an MTU the interface cannot carry", "198.51.102.0/24 via 192.0.2.2 mtu 9000",
		 "198.51.102.9", "192.0.2.2", "192.0.2.1", 1500},
		{"on-link by a device route", "192.0.3.0/24 dev e0", "192.0.3.9", "192.0.3.9",
		 "192.0.2.1", 1500},
		{"two gateways: one of them",
		 "198.51.103.0/24 nexthop via 192.0.2.2 nexthop via 192.0.2.2 weight 2",
		 "198.51.103.9", "192.0.2.2", "192.0.2.1", 1500},
		{"IPv4 through an IPv6 gateway", "198.51.104.0/24 via inet6 2001:db8::2",
		 "198.51.104.9", "2001:db8::2", "192.0.2.1", 1500},
		{"IPv6 on-link", NULL, "2001:db8::2", "2001:db8::2", "2001:db8::1", 1500},
		{"an IPv6 gateway", "2001:db8:1::/48 via 2001:db8::2 mtu 1300", "2001:db8:1::9",
		 "2001:db8::2", "2001:db8::1", 1300},
		{"a link-local gateway", "2001:db8:2::/48 via fe80::ff:fe00:2 dev e0",
		 "2001:db8:2::9", "fe80::ff:fe00:2", "2001:db8::1", 1500},
	};
	struct lab *lab = enter(state);

	THERE(lab, "ip addr add 192.0.3.9/32 dev p0");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct ek_ip source = ip(rows[i].source);

		print_message("%s\n", rows[i].what);
		if (rows[i].route)
			HERE("ip route add %s", rows[i].route);
		watch(lab, rows[i].destination);
		RUN_UNTIL(lab, has_mac(lab, rows[i].destination, mac_there));
		assert_true(goes_through(lab, rows[i].destination, rows[i].gateway));
		assert_true(ek_ip_equal(&nexthop(lab, rows[i].destination)->source, &source));
		assert_int_equal(nexthop(lab, rows[i].destination)->ifindex, ifindex(lab, "e0"));
		assert_int_equal(nexthop(lab, rows[i].destination)->mtu, rows[i].mtu);
	}
}

static void tells_what_is_not_forwarded_to(void **state)
{
	static const struct {
		const char *what, *route, *destination;
		enum ek_nexthop_state want;
	} rows[] = {
		{"no route", NULL, "203.0.113.1", EK_NEXTHOP_NO_ROUTE},
		{"no IPv6 route", NULL, "2001:db8:ffff::1", EK_NEXTHOP_NO_ROUTE},
		{"blackhole", "blackhole 10.1.0.0/16", "10.1.0.1", EK_NEXTHOP_NO_ROUTE},
		{"unreachable", "unreachable 10.2.0.0/16", "10.2.0.1", EK_NEXTHOP_NO_ROUTE},
		{"prohibit", "prohibit 10.3.0.0/16", "10.3.0.1", EK_NEXTHOP_NO_ROUTE},
		{"IPv6 blackhole", "blackhole 2001:db8:a::/48", "2001:db8:a::1",
		 EK_NEXTHOP_NO_ROUTE},
		{"IPv6 unreachable", "unreachable 2001:db8:b::/48", "2001:db8:b::1",
		 EK_NEXTHOP_NO_ROUTE},
		{"own address", NULL, "192.0.2.1", EK_NEXTHOP_IS_LOCAL},
		{"loopback", NULL, "127.0.0.1", EK_NEXTHOP_IS_LOCAL},
		{"subnet broadcast", NULL, "192.0.2.255", EK_NEXTHOP_IS_LOCAL},
		{"multicast", "default via 192.0.2.2", "224.0.0.1", EK_NEXTHOP_IS_LOCAL},
		{"own IPv6 address", NULL, "2001:db8::1", EK_NEXTHOP_IS_LOCAL},
		{"IPv6 multicast", NULL, "ff02::1", EK_NEXTHOP_IS_LOCAL},
		{"nobody answers", NULL, "192.0.2.77", EK_NEXTHOP_NO_NEIGHBOUR},
		{"nobody answers, IPv6", NULL, "2001:db8::77", EK_NEXTHOP_NO_NEIGHBOUR},
	};
	struct lab *lab = enter(state);

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		print_message("%s\n", rows[i].what);
		if (rows[i].route)
			HERE("ip route add %s", rows[i].route);
		watch(lab, rows[i].destination);
		RUN_UNTIL(lab, in_state(lab, rows[i].destination, rows[i].want));
	}
	assert_true(goes_through(lab, "192.0.2.77", "192.0.2.77"));
	assert_int_equal(nexthop(lab, "192.0.2.77")->ifindex, ifindex(lab, "e0"));
	assert_int_equal(nexthop(lab, "10.1.0.1")->ifindex, 0);
}

static void counts_watches(void **state)
{
	struct lab *lab = enter(state);

	assert_null(nexthop(lab, "192.0.2.2"));
	unwatch(lab, "192.0.2.2");
	watch(lab, "192.0.2.2");
	watch(lab, "192.0.2.2");
	unwatch(lab, "192.0.2.2");
	assert_non_null(nexthop(lab, "192.0.2.2"));
	unwatch(lab, "192.0.2.2");
	assert_null(nexthop(lab, "192.0.2.2"));
	unwatch(lab, "192.0.2.2");
}

/* --- changes -------------------------------------------------------------------------------- */

static void follows_routes(void **state)
{
	struct lab *lab = enter(state);

	HERE("ip route add 198.51.100.0/24 via 192.0.2.2");
	watch(lab, "198.51.100.9");
	RUN_UNTIL(lab, has_mac(lab, "198.51.100.9", mac_there));
	assert_true(entry_shows("192.0.2.2", "managed"));

	HERE("ip route del 198.51.100.0/24");
	RUN_UNTIL(lab, in_state(lab, "198.51.100.9", EK_NEXTHOP_NO_ROUTE));
	assert_false(entry_shows("192.0.2.2", "managed"));

	HERE("ip route add 198.51.100.0/24 via 192.0.2.2");
	RUN_UNTIL(lab, has_mac(lab, "198.51.100.9", mac_there));
	HERE("ip route replace 198.51.100.0/24 via 192.0.2.3");
	RUN_UNTIL(lab, goes_through(lab, "198.51.100.9", "192.0.2.3") &&
			       has_mac(lab, "198.51.100.9", mac_there));
	assert_false(entry_shows("192.0.2.2", "managed"));
	assert_true(entry_shows("192.0.2.3", "managed"));

	/* A more specific route, its MTU, a rule, and a nexthop object. */
	HERE("ip route add 198.51.100.9 via 192.0.2.2 mtu 1400");
	RUN_UNTIL(lab, nexthop(lab, "198.51.100.9")->mtu == 1400);
	HERE("ip route add blackhole default table 99 && ip rule add to 198.51.100.9 lookup 99");
	RUN_UNTIL(lab, in_state(lab, "198.51.100.9", EK_NEXTHOP_NO_ROUTE));
	HERE("ip rule del to 198.51.100.9 && ip route del 198.51.100.9");
	RUN_UNTIL(lab, nexthop(lab, "198.51.100.9")->mtu == 1500);
	HERE("ip nexthop add id 7 via 192.0.2.2 dev e0 && "
	     "ip route replace 198.51.100.0/24 nhid 7");
	RUN_UNTIL(lab, goes_through(lab, "198.51.100.9", "192.0.2.2"));
	HERE("ip nexthop replace id 7 via 192.0.2.3 dev e0");
	RUN_UNTIL(lab, goes_through(lab, "198.51.100.9", "192.0.2.3"));
}

static void follows_ipv6_routes(void **state)
{
	struct lab *lab = enter(state);

	watch(lab, "2001:db8:1::9");
	assert_true(in_state(lab, "2001:db8:1::9", EK_NEXTHOP_NO_ROUTE));
	HERE("ip route add default via 2001:db8::2");
	RUN_UNTIL(lab, has_mac(lab, "2001:db8:1::9", mac_there));
	HERE("ip route add unreachable 2001:db8:1::/64");
	RUN_UNTIL(lab, in_state(lab, "2001:db8:1::9", EK_NEXTHOP_NO_ROUTE));
	HERE("ip route del unreachable 2001:db8:1::/64");
	RUN_UNTIL(lab, has_mac(lab, "2001:db8:1::9", mac_there));
}

static void notices_a_new_mac(void **state)
{
	static const uint8_t renewed[6] = {2, 0, 0, 0, 0, 0x22};
	struct lab *lab = enter(state);

	THERE(lab, "sysctl -qw net.ipv4.conf.p0.arp_notify=1");
	watch(lab, "192.0.2.2");
	RUN_UNTIL(lab, has_mac(lab, "192.0.2.2", mac_there));
	lab->changes = 0;
	THERE(lab, "ip link set p0 address 02:00:00:00:00:22");
	RUN_UNTIL(lab, has_mac(lab, "192.0.2.2", renewed));
	RUN_UNTIL(lab, lab->changes > 0);
}

static void survives_its_interface(void **state)
{
	struct lab *lab = enter(state);
	int before = ifindex(lab, "e0");

	HERE("ip route add 198.51.100.0/24 via 192.0.2.2");
	watch(lab, "198.51.100.9");
	watch(lab, "192.0.2.2");
	RUN_UNTIL(lab, has_mac(lab, "198.51.100.9", mac_there));

	HERE("ip link del e0");
	RUN_UNTIL(lab, !ek_netlink_link(lab->netlink, "e0"));
	RUN_UNTIL(lab, in_state(lab, "198.51.100.9", EK_NEXTHOP_NO_ROUTE));
	RUN_UNTIL(lab, in_state(lab, "192.0.2.2", EK_NEXTHOP_NO_ROUTE));
	assert_null(ek_netlink_link_by_index(lab->netlink, before));

	/* Back under another index, since the old one's successor is taken. */
	HERE("ip link add other type veth peer name rehto");
	join(lab);
	HERE("ip route add 198.51.100.0/24 via 192.0.2.2");
	RUN_UNTIL(lab, has_mac(lab, "198.51.100.9", mac_there));
	RUN_UNTIL(lab, has_mac(lab, "192.0.2.2", mac_there));
	assert_int_not_equal(ifindex(lab, "e0"), before);
	assert_int_equal(nexthop(lab, "198.51.100.9")->ifindex, ifindex(lab, "e0"));
}

static void follows_the_carrier(void **state)
{
	struct lab *lab = enter(state);

	watch(lab, "192.0.2.2");
	RUN_UNTIL(lab, has_mac(lab, "192.0.2.2", mac_there));
	RUN_UNTIL(lab, ek_netlink_link(lab->netlink, "e0")->up);
	THERE(lab, "ip link set p0 down");
	RUN_UNTIL(lab, !ek_netlink_link(lab->netlink, "e0")->up);
	RUN_UNTIL(lab, !in_state(lab, "192.0.2.2", EK_NEXTHOP_OK));
	THERE(lab, "ip link set p0 up");
	RUN_UNTIL(lab, ek_netlink_link(lab->netlink, "e0")->up);
	RUN_UNTIL(lab, has_mac(lab, "192.0.2.2", mac_there));
	HERE("ip link set e0 down");
	RUN_UNTIL(lab, in_state(lab, "192.0.2.2", EK_NEXTHOP_NO_ROUTE));
	HERE("ip link set e0 up");
	RUN_UNTIL(lab, has_mac(lab, "192.0.2.2", mac_there));
}

/* The addresses of e0, as ADDRESS/LENGTH with IPv4 lengths of 96 and more. */
static bool has_address(const struct lab *lab, const char *text, unsigned int length, bool source)
{
	const struct ek_link *link = ek_netlink_link(lab->netlink, "e0");
	struct ek_ip address = ip(text);
	size_t n;
	const struct ek_netlink_address *list = ek_netlink_addresses(lab->netlink, &n);

	for (size_t i = 0; i < n; i++)
		if (list[i].ifindex == link->ifindex && ek_ip_equal(&list[i].address, &address) &&
		    list[i].network.length == length && list[i].source == source)
			return true;
	return false;
}

static void follows_addresses(void **state)
{
	struct lab *lab = enter(state);

	RUN_UNTIL(lab, has_address(lab, "192.0.2.1", 120, true));
	lab->changes = 0;
	HERE("ip addr add 192.0.2.9/24 dev e0"); /* secondary */
	RUN_UNTIL(lab, has_address(lab, "192.0.2.9", 120, false));
	assert_true(lab->changes > 0);
	HERE("ip addr add 198.51.100.1 peer 198.51.100.2/31 dev e0");
	RUN_UNTIL(lab, has_address(lab, "198.51.100.1", 127, true));
	HERE("ip addr del 192.0.2.9/24 dev e0");
	RUN_UNTIL(lab, !has_address(lab, "192.0.2.9", 120, false));
}

static void follows_links(void **state)
{
	struct lab *lab = enter(state);
	const struct ek_ip v4 = ip("192.0.2.1"), next4 = ip("10.0.0.1"), v6 = ip("2001:db8::1");
	const struct ek_link *link = ek_netlink_link(lab->netlink, "e0");

	assert_non_null(link);
	assert_ptr_equal(ek_netlink_link_by_index(lab->netlink, link->ifindex), link);
	assert_memory_equal(link->mac, ((uint8_t[]){2, 0, 0, 0, 0, 1}), 6);
	assert_int_equal(link->mtu, 1500);
	RUN_UNTIL(lab, ek_ip_equal(&ek_netlink_link(lab->netlink, "e0")->address4, &v4) &&
			       ek_ip_equal(&ek_netlink_link(lab->netlink, "e0")->address6, &v6));
	/* Host scope does not count. */
	assert_true(ek_ip_is_zero(&ek_netlink_link(lab->netlink, "lo")->address4));

	watch(lab, "192.0.2.2");
	lab->changes = 0;
	HERE("ip link set e0 mtu 1420");
	RUN_UNTIL(lab, ek_netlink_link(lab->netlink, "e0")->mtu == 1420);
	RUN_UNTIL(lab, nexthop(lab, "192.0.2.2")->mtu == 1420);
	assert_true(lab->changes > 0);

	HERE("ip addr add 10.0.0.1/8 dev e0");
	HERE("ip addr del 192.0.2.1/24 dev e0");
	RUN_UNTIL(lab, ek_ip_equal(&ek_netlink_link(lab->netlink, "e0")->address4, &next4));
	RUN_UNTIL(lab, in_state(lab, "192.0.2.2", EK_NEXTHOP_NO_ROUTE));

	HERE("ip link set e0 down && ip link set e0 name out0");
	RUN_UNTIL(lab, ek_netlink_link(lab->netlink, "out0"));
	assert_null(ek_netlink_link(lab->netlink, "e0"));
	lab->changes = 0;
	HERE("ip link add x0 type veth peer name x1");
	RUN_UNTIL(lab, ek_netlink_link(lab->netlink, "x1"));
	assert_true(lab->changes > 0);
}

static void calls_only_for_what_matters(void **state)
{
	struct lab *lab = enter(state);

	HERE("ip route add 198.51.100.0/24 via 192.0.2.2");
	watch(lab, "198.51.100.9");
	RUN_UNTIL(lab, has_mac(lab, "198.51.100.9", mac_there));
	RUN_UNTIL(lab, ek_netlink_link(lab->netlink, "e0")->up);
	lab->changes = 0;
	HERE("for i in $(seq 50); do echo route add 10.0.$i.0/24 via 192.0.2.3; "
	     "echo neigh add 192.0.2.1$i lladdr 02:00:00:00:01:01 dev e0; done | ip -batch -");
	/* Inside the watched prefix's own parent, but it changes nothing for what is watched. */
	HERE("ip route add 198.51.0.0/16 via 192.0.2.3");
	/* In one batch, so that it is one call. */
	HERE("ip route replace 198.51.100.0/24 via 192.0.2.2 mtu 1400");
	RUN_UNTIL(lab, nexthop(lab, "198.51.100.9")->mtu == 1400);
	RUN_UNTIL(lab, lab->changes > 0);
	assert_int_equal(lab->changes, 1);
}

/* --- neighbours kept resolved --------------------------------------------------------------- */

static void keeps_neighbours_managed(void **state)
{
	struct lab *lab = enter(state);

	HERE("ip route add 198.51.100.0/24 via 192.0.2.2");
	watch(lab, "192.0.2.2");
	watch(lab, "198.51.100.9");
	watch(lab, "2001:db8::2");
	assert_true(entry_shows("192.0.2.2", "managed"));
	assert_true(entry_shows("192.0.2.2", "proto 107"));
	assert_true(entry_shows("2001:db8::2", "managed"));
	unwatch(lab, "192.0.2.2");
	assert_true(entry_shows("192.0.2.2", "managed"));
	unwatch(lab, "198.51.100.9");
	assert_false(entry_shows("192.0.2.2", "managed"));
	unwatch(lab, "2001:db8::2");
	assert_false(entry_shows("2001:db8::2", "managed"));
}

static void asks_again(void **state)
{
	struct lab *lab = enter(state);

	watch(lab, "192.0.2.2");
	RUN_UNTIL(lab, has_mac(lab, "192.0.2.2", mac_there));
	HERE("ip neigh del 192.0.2.2 dev e0");
	RUN_UNTIL(lab, in_state(lab, "192.0.2.2", EK_NEXTHOP_NO_NEIGHBOUR));
	RUN_UNTIL(lab, has_mac(lab, "192.0.2.2", mac_there));
	assert_true(entry_shows("192.0.2.2", "managed"));

	/* Somebody takes the flag away and leaves an entry that works for now. */
	HERE("ip neigh replace 192.0.2.2 dev e0 lladdr 02:00:00:00:00:02 nud reachable");
	assert_false(entry_shows("192.0.2.2", "managed"));
	RUN_UNTIL(lab, entry_shows("192.0.2.2", "managed"));
}

static void finds_who_appears_late(void **state)
{
	struct lab *lab = enter(state);

	watch(lab, "192.0.2.5");
	RUN_UNTIL(lab, entry_shows("192.0.2.5", "FAILED"));
	assert_true(in_state(lab, "192.0.2.5", EK_NEXTHOP_NO_NEIGHBOUR));
	THERE(lab, "ip addr add 192.0.2.5/24 dev p0");
	RUN_UNTIL(lab, has_mac(lab, "192.0.2.5", mac_there));
}

static void leaves_the_entries_of_others(void **state)
{
	static const uint8_t fixed[6] = {2, 0, 0, 0, 0, 0x99};
	struct lab *lab = enter(state);

	HERE("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:99 dev e0 nud permanent");
	HERE("ip neigh add 192.0.2.10 lladdr 02:00:00:00:00:99 dev e0 nud noarp");
	HERE("ip neigh add 192.0.2.11 lladdr 02:00:00:00:00:99 dev e0 nud stale extern_learn");
	HERE("ip neigh replace 192.0.2.3 dev e0 managed");
	watch(lab, "192.0.2.9");
	watch(lab, "192.0.2.10");
	watch(lab, "192.0.2.11");
	watch(lab, "192.0.2.3");
	assert_true(has_mac(lab, "192.0.2.9", fixed));
	assert_true(has_mac(lab, "192.0.2.10", fixed));
	assert_true(has_mac(lab, "192.0.2.11", fixed));
	unwatch(lab, "192.0.2.9");
	unwatch(lab, "192.0.2.10");
	unwatch(lab, "192.0.2.11");
	unwatch(lab, "192.0.2.3");
	assert_true(entry_shows("192.0.2.9", "02:00:00:00:00:99 PERMANENT"));
	assert_true(entry_shows("192.0.2.10", "02:00:00:00:00:99 NOARP"));
	assert_true(entry_shows("192.0.2.11", "02:00:00:00:00:99 extern_learn STALE"));
	assert_true(entry_shows("192.0.2.3", "managed"));

	/* One that becomes permanent while it is watched and managed. */
	watch(lab, "192.0.2.2");
	RUN_UNTIL(lab, has_mac(lab, "192.0.2.2", mac_there));
	HERE("ip neigh replace 192.0.2.2 lladdr 02:00:00:00:00:99 dev e0 nud permanent");
	RUN_UNTIL(lab, has_mac(lab, "192.0.2.2", fixed));
	unwatch(lab, "192.0.2.2");
	assert_true(entry_shows("192.0.2.2", "02:00:00:00:00:99 PERMANENT"));
}

static void knows_its_own_after_a_restart(void **state)
{
	struct lab *lab = enter(state);

	watch(lab, "192.0.2.2");
	ek_netlink_free(lab->netlink);
	assert_true(entry_shows("192.0.2.2", "managed"));
	lab->netlink = ek_netlink_new(lab->base, count_change, lab);
	assert_non_null(lab->netlink);
	watch(lab, "192.0.2.2");
	unwatch(lab, "192.0.2.2");
	assert_false(entry_shows("192.0.2.2", "managed"));
}

/* --- crowds --------------------------------------------------------------------------------- */

static void recovers_from_lost_messages(void **state)
{
	struct lab *lab = enter(state);

	HERE("ip route add 198.51.100.0/24 via 192.0.2.2");
	watch(lab, "198.51.100.9");
	watch(lab, "192.0.2.4");
	RUN_UNTIL(lab, has_mac(lab, "198.51.100.9", mac_there));
	HERE("for i in $(seq 60); do for j in $(seq 250); do "
	     "echo route add 10.$i.$j.0/24 via 192.0.2.3; done; done | ip -batch -");
	HERE("awk 'NR > 1 && $9 > 0 { lost = 1 } END { exit !lost }' /proc/net/netlink");
	HERE("ip route replace 198.51.100.0/24 via 192.0.2.3 && ip link set e0 mtu 1430");
	HERE("ip neigh replace 192.0.2.4 lladdr 02:00:00:00:00:02 dev e0 nud permanent");
	RUN_UNTIL(lab, goes_through(lab, "198.51.100.9", "192.0.2.3"));
	RUN_UNTIL(lab, has_mac(lab, "198.51.100.9", mac_there));
	RUN_UNTIL(lab, has_mac(lab, "192.0.2.4", mac_there));
	RUN_UNTIL(lab, ek_netlink_link(lab->netlink, "e0")->mtu == 1430);
}

static struct ek_ip crowd_member(unsigned int i)
{
	char text[EK_IP_TEXT];

	snprintf(text, sizeof(text), "198.51.%u.%u", 100 + i / 250, 1 + i % 250);
	return ip(text);
}

static bool crowd_goes_through(struct lab *lab, unsigned int size, const char *gateway)
{
	const struct ek_ip want = ip(gateway);

	for (unsigned int i = 0; i < size; i++) {
		const struct ek_ip member = crowd_member(i);
		const struct ek_nexthop *next = ek_netlink_nexthop(lab->netlink, &member);

		if (next->state != EK_NEXTHOP_OK || !ek_ip_equal(&next->gateway, &want))
			return false;
	}
	return true;
}

static void moves_a_crowd(void **state)
{
	const unsigned int size = 2000; /* more than one slice */
	struct lab *lab = enter(state);

	HERE("ip route add 198.51.0.0/16 via 192.0.2.2");
	for (unsigned int i = 0; i < size; i++) {
		const struct ek_ip member = crowd_member(i);

		assert_int_equal(ek_netlink_watch(lab->netlink, &member), 0);
	}
	RUN_UNTIL(lab, crowd_goes_through(lab, size, "192.0.2.2"));
	HERE("ip route replace 198.51.0.0/16 via 192.0.2.3");
	RUN_UNTIL(lab, crowd_goes_through(lab, size, "192.0.2.3"));
	for (unsigned int i = 0; i < size; i++) {
		const struct ek_ip member = crowd_member(i);

		ek_netlink_unwatch(lab->netlink, &member);
		assert_null(ek_netlink_nexthop(lab->netlink, &member));
	}
	assert_false(entry_shows("192.0.2.3", "managed"));
}

static void free_in_callback(void *arg)
{
	struct lab *lab = arg;

	ek_netlink_free(lab->netlink);
	lab->netlink = NULL;
}

static void may_be_freed_from_the_callback(void **state)
{
	struct lab *lab = enter(state);

	ek_netlink_free(lab->netlink);
	lab->netlink = ek_netlink_new(lab->base, free_in_callback, lab);
	assert_non_null(lab->netlink);
	HERE("ip link set e0 mtu 1430");
	RUN_UNTIL(lab, !lab->netlink);
	ek_netlink_free(NULL);
}

#define ROW(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(resolves_next_hops),
		ROW(tells_what_is_not_forwarded_to),
		ROW(counts_watches),
		ROW(follows_routes),
		ROW(follows_ipv6_routes),
		ROW(notices_a_new_mac),
		ROW(survives_its_interface),
		ROW(follows_the_carrier),
		ROW(follows_addresses),
		ROW(follows_links),
		ROW(calls_only_for_what_matters),
		ROW(keeps_neighbours_managed),
		ROW(asks_again),
		ROW(finds_who_appears_late),
		ROW(leaves_the_entries_of_others),
		ROW(knows_its_own_after_a_restart),
		ROW(recovers_from_lost_messages),
		ROW(moves_a_crowd),
		ROW(may_be_freed_from_the_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
