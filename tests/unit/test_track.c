/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracked interfaces, routes and scripts. The view is fed with messages made here; the tracker
 * meets the kernel in two network namespaces of its own, joined by veth pairs: this process is
 * "here" (e0, e1), and "there" has their peers (p0, p1), which give carrier or take it. The
 * namespaces have no name, only file descriptors, so they are gone when the process is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <net/if.h>
#include <cmocka.h>
#include <event2/event.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include "ip.h"
#include "netlink.h"
#include "track.h"
#include "track_script.h"
#include "track_view.h"

#define DEADLINE_S 20
#define N(array)   (sizeof(array) / sizeof((array)[0]))

/* --- tracks ---------------------------------------------------------------------------------- */

/* "e0" or "e0 e1" or "10.0.0.0/8" or an absolute path. */
static struct ek_config_track track(const char *what)
{
	struct ek_config_track out = {.kind = EK_TRACK_INTERFACES,
				      .interval = 20,
				      .timeout = 10000,
				      .rise = 1,
				      .fall = 1};
	char copy[256], *word, *rest = NULL;

	snprintf(out.name, sizeof(out.name), "%.*s", EK_NAME_MAX, what);
	if (*what == '/') {
		out.kind = EK_TRACK_SCRIPT;
		snprintf(out.command, sizeof(out.command), "%s", what);
		return out;
	}
	if (strchr(what, '/')) {
		out.kind = EK_TRACK_ROUTE;
		assert_int_equal(ek_prefix_parse(what, &out.prefix, &out.prefix_length), 0);
		return out;
	}
	snprintf(copy, sizeof(copy), "%s", what);
	for (word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		snprintf(out.interfaces[out.n_interfaces++], IFNAMSIZ, "%s", word);
	return out;
}

/* --- the view: messages in, verdicts out ------------------------------------------------------ */

#define GOOD (IFF_UP | IFF_RUNNING | IFF_LOWER_UP)

static union {
	struct nlmsghdr header;
	char bytes[4096];
} scratch;

static struct nlmsghdr *link_message(int ifindex, const char *name, unsigned int flags)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(scratch.bytes);
	struct ifinfomsg *info;

	message->nlmsg_type = RTM_NEWLINK;
	info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
	info->ifi_index = ifindex;
	info->ifi_flags = flags;
	mnl_attr_put_u32(message, IFLA_MTU, 1500);
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	return message;
}

/*
 * A route in words, about as ip(8) has it: a prefix, its hops (e1, e2, e3, each with what is wrong
 * with it), and what else is special about it.
 */
struct route {
	const char *prefix;
	struct rtnexthop hops[3];
	size_t n_hops;
	unsigned int table, length;
	bool by_number; /* RTA_NH_ID, and no hop shown */
	struct rtmsg info;
};

static bool takes_value(const char *word, const char *key, unsigned int *value)
{
	size_t length = strlen(key);

	if (strncmp(word, key, length) || word[length] != '=')
		return false;
	*value = atoi(word + length + 1);
	return true;
}

static void take_word(struct route *route, const char *word)
{
	static const struct {
		const char *word;
		unsigned int flag, type;
	} words[] = {
		{"dead", RTNH_F_DEAD, 0},
		{"linkdown", RTNH_F_LINKDOWN, 0},
		{"onlink", RTNH_F_ONLINK, 0},
		{"blackhole", 0, RTN_BLACKHOLE},
		{"unreachable", 0, RTN_UNREACHABLE},
		{"prohibit", 0, RTN_PROHIBIT},
		{"throw", 0, RTN_THROW},
		{"local", 0, RTN_LOCAL},
	};
	unsigned int value;

	for (size_t i = 0; i < N(words); i++) {
		if (strcmp(word, words[i].word))
			continue;
		if (words[i].flag)
			route->hops[route->n_hops - 1].rtnh_flags |= words[i].flag;
		else
			route->info.rtm_type = words[i].type;
		return;
	}
	if (*word == 'e')
		route->hops[route->n_hops++].rtnh_ifindex = atoi(word + 1);
	else if (takes_value(word, "table", &value))
		route->table = value;
	else if (takes_value(word, "proto", &value))
		route->info.rtm_protocol = value;
	else if (takes_value(word, "tos", &value))
		route->info.rtm_tos = value;
	else if (takes_value(word, "from", &value))
		route->info.rtm_src_len = value;
	else if (!strcmp(word, "nhid"))
		route->by_number = true;
	else if (!strcmp(word, "cloned"))
		route->info.rtm_flags |= RTM_F_CLONED;
	else
		fail_msg("no such word: %s", word);
}

static void put_hops(struct nlmsghdr *message, const struct route *route)
{
	struct nlattr *nest;

	if (route->by_number) {
		mnl_attr_put_u32(message, RTA_NH_ID, 7);
		return;
	}
	if (route->n_hops == 1)
		mnl_attr_put_u32(message, RTA_OIF, route->hops[0].rtnh_ifindex);
	if (route->n_hops < 2)
		return;
	nest = mnl_attr_nest_start(message, RTA_MULTIPATH);
	for (size_t i = 0; i < route->n_hops; i++) {
		struct rtnexthop *hop = mnl_nlmsg_get_payload_tail(message);

		*hop = route->hops[i];
		message->nlmsg_len += sizeof(*hop);
		mnl_attr_put_u32(message, RTA_GATEWAY, 0x01020304);
		hop->rtnh_len = (char *)mnl_nlmsg_get_payload_tail(message) - (char *)hop;
	}
	mnl_attr_nest_end(message, nest);
}

static struct nlmsghdr *route_message(const char *text)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(scratch.bytes);
	struct route route = {.info = {.rtm_type = RTN_UNICAST,
				       .rtm_protocol = RTPROT_STATIC,
				       .rtm_table = RT_TABLE_MAIN}};
	char copy[128], *word, *rest = NULL;
	struct ek_ip prefix;
	unsigned int length, size;
	struct rtmsg *info;

	snprintf(copy, sizeof(copy), "%s", text);
	assert_int_equal(ek_prefix_parse(strtok_r(copy, " ", &rest), &prefix, &length), 0);
	while ((word = strtok_r(NULL, " ", &rest)))
		take_word(&route, word);
	message->nlmsg_type = RTM_NEWROUTE;
	info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
	*info = route.info;
	info->rtm_family = ek_ip_family(&prefix);
	info->rtm_dst_len = length;
	if (route.n_hops == 1)
		info->rtm_flags |= route.hops[0].rtnh_flags;
	if (route.table && route.table < RT_TABLE_MAIN) {
		info->rtm_table = route.table; /* as before there was RTA_TABLE */
	} else if (route.table) {
		info->rtm_table = RT_TABLE_COMPAT;
		mnl_attr_put_u32(message, RTA_TABLE, route.table);
	}
	size = info->rtm_family == AF_INET ? 4 : 16;
	if (length)
		mnl_attr_put(message, RTA_DST, size, prefix.bytes + 16 - size);
	put_hops(message, &route);
	return message;
}

static const struct {
	const char *description;
	unsigned int flags[2]; /* of e0 and e1; 0 = there is none */
	const char *track;
	bool failed;
	const char *why;
} interface_rows[] = {
	{"works", {GOOD}, "e0", false, "e0 is up"},
	{"absent", {0}, "e0", true, "e0 is absent"},
	{"another one's name is longer", {GOOD}, "e", true, "e is absent"},
	{"administratively down", {IFF_BROADCAST}, "e0", true, "e0 is down"},
	{"down, with carrier", {GOOD & ~IFF_UP}, "e0", true, "e0 is down"},
	{"no carrier", {IFF_UP}, "e0", true, "e0 has no carrier"},
	{"carrier, and yet dormant", {IFF_UP | IFF_LOWER_UP}, "e0", true, "e0 is not running"},
	{"a set, both work", {GOOD, GOOD}, "e0 e1", false, "e0 is up"},
	{"a set, the second works", {IFF_UP, GOOD}, "e0 e1", false, "e1 is up"},
	{"a set, the second is absent", {GOOD}, "e1 e0", false, "e0 is up"},
	{"a set, none works", {IFF_UP, 0}, "e0 e1", true, "e0 has no carrier, e1 is absent"},
	{"a long set is cut short",
	 {0},
	 "interface-one-1 interface-two-2 interface-thr-3 interface-fou-4 interface-fiv-5 "
	 "interface-six-6 interface-sev-7 interface-eig-8",
	 true,
	 "interface-one-1 is absent, interface-two-2 is absent, interface-thr-3 is absent, "
	 "interface-fou-4 is absent, interface-fiv-5"},
};

static void test_view_interfaces(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(interface_rows); i++) {
		struct ek_config_track one = track(interface_rows[i].track);
		struct ek_track_view view;
		char why[128];
		bool failed;

		assert_int_equal(ek_track_view_init(&view, &one, 1), 0);
		for (int j = 0; j < 2; j++) {
			char name[3] = {'e', '0' + j};
			unsigned int flags = interface_rows[i].flags[j];

			if (flags)
				assert_int_equal(
					ek_track_view_add(&view, link_message(j + 1, name, flags)),
					0);
		}
		failed = ek_track_view_failed(&view, 0, why, sizeof(why));
		if (failed != interface_rows[i].failed ||
		    strncmp(why, interface_rows[i].why, strlen(interface_rows[i].why)))
			fail_msg("%s: %s", interface_rows[i].description, why);
		ek_track_view_free(&view);
	}
}

#define DEFAULT "0.0.0.0/0"

/* e1 works, e2 has no carrier, e3 is absent. */
static const struct {
	const char *description, *routes[2], *track;
	bool failed;
	const char *why;
} route_rows[] = {
	{"none", {NULL}, DEFAULT, true, "no route to 0.0.0.0/0"},
	{"default", {"0.0.0.0/0 e1"}, DEFAULT, false, "route to 0.0.0.0/0 through e1"},
	{"IPv6 default", {"::/0 e1"}, "::/0", false, "route to ::/0 through e1"},
	{"a prefix", {"10.1.0.0/16 e1"}, "10.1.0.0/16", false, "10.1.0.0/16 through e1"},
	{"a host", {"10.1.2.3/32 e1"}, "10.1.2.3/32", false, "10.1.2.3/32 through e1"},
	{"IPv6 prefix", {"2001:db8::/32 e1"}, "2001:db8::/32", false, "8::/32 through e1"},
	{"a longer one does not count", {"10.1.0.0/17 e1"}, "10.1.0.0/16", true, "no route"},
	{"a shorter one does not count", {"10.0.0.0/8 e1"}, "10.0.0.0/16", true, "no route"},
	{"the other half does not count", {"128.0.0.0/1 e1"}, "0.0.0.0/1", true, "no route"},
	{"IPv6 default is not IPv4's", {"::/0 e1"}, DEFAULT, true, "no route"},
	{"IPv4 default is not IPv6's", {"0.0.0.0/0 e1"}, "::/0", true, "no route"},
	{"any protocol", {"0.0.0.0/0 e1 proto=12"}, DEFAULT, false, "route to"},
	{"our own does not count", {"0.0.0.0/0 e1 proto=107"}, DEFAULT, true, "no route"},
	{"beside our own", {"0.0.0.0/0 e1 proto=107", "0.0.0.0/0 e1"}, DEFAULT, false, "e1"},
	{"another table", {"0.0.0.0/0 e1 table=100"}, DEFAULT, true, "no route"},
	{"another table, by attribute", {"0.0.0.0/0 e1 table=255"}, DEFAULT, true, "no route"},
	{"a table beyond 255", {"0.0.0.0/0 e1 table=510"}, DEFAULT, true, "no route"},
	{"main, by attribute", {"0.0.0.0/0 e1 table=254"}, DEFAULT, false, "route to"},
	{"for one TOS only", {"0.0.0.0/0 e1 tos=16"}, DEFAULT, true, "no route"},
	{"for one source only", {"::/0 e1 from=64"}, "::/0", true, "no route"},
	{"cloned", {"::/0 e1 cloned"}, "::/0", true, "no route"},
	{"blackhole", {"0.0.0.0/0 blackhole"}, DEFAULT, true, "leads nowhere"},
	{"unreachable", {"::/0 unreachable e1"}, "::/0", true, "leads nowhere"},
	{"prohibit", {"0.0.0.0/0 prohibit"}, DEFAULT, true, "leads nowhere"},
	{"throw", {"0.0.0.0/0 throw"}, DEFAULT, true, "leads nowhere"},
	{"local", {"10.1.2.3/32 local e1"}, "10.1.2.3/32", true, "leads nowhere"},
	{"a last resort", {"0.0.0.0/0 e1", "0.0.0.0/0 blackhole"}, DEFAULT, false, "e1"},
	{"dead", {"0.0.0.0/0 e1 dead"}, DEFAULT, true, "no next hop that is up"},
	{"link down", {"0.0.0.0/0 e1 linkdown"}, DEFAULT, true, "no next hop that is up"},
	{"on-link is no fault", {"0.0.0.0/0 e1 onlink"}, DEFAULT, false, "through e1"},
	{"no carrier", {"0.0.0.0/0 e2"}, DEFAULT, true, "no next hop"},
	{"the interface is gone", {"0.0.0.0/0 e3"}, DEFAULT, true, "no next hop"},
	{"no next hop at all", {"0.0.0.0/0"}, DEFAULT, true, "no next hop"},
	{"two hops, one dead", {"0.0.0.0/0 e1 dead e1"}, DEFAULT, false, "through e1"},
	{"two hops, one without carrier", {"0.0.0.0/0 e2 e1"}, DEFAULT, false, "through e1"},
	{"three, the first works", {"0.0.0.0/0 e1 e1 dead e2"}, DEFAULT, false, "through e1"},
	{"three, none works", {"0.0.0.0/0 e2 e1 linkdown e3"}, DEFAULT, true, "no next hop"},
	{"dead, and one of another metric", {"0.0.0.0/0 e2", "0.0.0.0/0 e1"}, DEFAULT, false, "e1"},
	{"the same the other way round", {"0.0.0.0/0 e1", "0.0.0.0/0 e2"}, DEFAULT, false, "e1"},
	{"a next hop by number", {"0.0.0.0/0 nhid"}, DEFAULT, false, "route to 0.0.0.0/0"},
};

static void view_of_row(struct ek_track_view *view, const struct ek_config_track *one)
{
	assert_int_equal(ek_track_view_init(view, one, 1), 0);
	assert_int_equal(ek_track_view_add(view, link_message(1, "e1", GOOD)), 0);
	assert_int_equal(ek_track_view_add(view, link_message(2, "e2", IFF_UP)), 0);
}

static void test_view_routes(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(route_rows); i++) {
		struct ek_config_track one = track(route_rows[i].track);
		struct ek_track_view view;
		char why[128];
		bool failed;

		view_of_row(&view, &one);
		for (size_t j = 0; j < 2 && route_rows[i].routes[j]; j++)
			assert_int_equal(
				ek_track_view_add(&view, route_message(route_rows[i].routes[j])),
				0);
		failed = ek_track_view_failed(&view, 0, why, sizeof(why));
		if (failed != route_rows[i].failed || !strstr(why, route_rows[i].why))
			fail_msg("%s: %s", route_rows[i].description, why);
		ek_track_view_clear(&view);
		assert_true(ek_track_view_failed(&view, 0, why, sizeof(why)));
		ek_track_view_free(&view);
	}
}

/* IPv4's default route is ::ffff:0:0/96 to us, which IPv6 may have a route for. */
static void test_view_mapped_prefix(void **state)
{
	struct ek_config_track one = track(DEFAULT);
	struct nlmsghdr *message;
	struct ek_track_view view;
	uint8_t *prefix;
	char why[128];

	(void)state;
	view_of_row(&view, &one);
	message = route_message("2001:db8::/96 e1");
	prefix = memmem(message, message->nlmsg_len, "\x20\x01\x0d\xb8", 4);
	assert_non_null(prefix);
	memcpy(prefix, "\0\0\0\0\0\0\0\0\0\0\xff\xff\0\0\0", 16);
	assert_int_equal(ek_track_view_add(&view, message), 0);
	assert_false(ek_track_view_concerned(&view, message));
	assert_true(ek_track_view_failed(&view, 0, why, sizeof(why)));
	assert_string_equal(why, "no route to 0.0.0.0/0");
	ek_track_view_free(&view);
}

/* Adds every beginning of the message, and every single byte of it turned round. */
static void try_damaged(struct ek_track_view *view, const struct nlmsghdr *whole)
{
	size_t length = whole->nlmsg_len;
	char why[128];

	for (size_t i = 0; i < 2 * length; i++) {
		size_t keep = i < length ? i : length;
		struct nlmsghdr *copy = malloc(length);

		assert_non_null(copy);
		memcpy(copy, whole, length);
		if (i >= length)
			((uint8_t *)copy)[i - length] ^= 0xff;
		copy->nlmsg_len = keep < sizeof(*copy) ? sizeof(*copy) : keep;
		ek_track_view_add(view, copy);
		ek_track_view_concerned(view, copy);
		ek_track_view_failed(view, 0, why, sizeof(why));
		free(copy);
	}
}

static void test_view_malformed(void **state)
{
	struct ek_config_track one = track(DEFAULT);
	struct ek_track_view view;

	(void)state;
	view_of_row(&view, &one);
	for (size_t i = 0; i < N(route_rows); i++)
		for (size_t j = 0; j < 2 && route_rows[i].routes[j]; j++)
			try_damaged(&view, route_message(route_rows[i].routes[j]));
	try_damaged(&view, link_message(9, "e9", GOOD));
	assert_int_equal(
		ek_track_view_add(&view, link_message(9, "a-name-far-too-long-for-one", GOOD)),
		-EINVAL);
	ek_track_view_free(&view);
}

static void test_view_concerned(void **state)
{
	struct ek_config_track both[] = {track("e0"), track("10.1.0.0/16")};
	const char *near = "10.1.2.0/24 e1", *same = "10.1.0.0/16 e1";
	struct ek_track_view view;
	struct nlmsghdr *message;

	(void)state;
	assert_int_equal(ek_track_view_init(&view, both, 2), 0);
	assert_true(ek_track_view_concerned(&view, link_message(1, "x", 0)));
	assert_true(ek_track_view_concerned(&view, route_message(same)));
	assert_false(ek_track_view_concerned(&view, route_message(near)));
	message = route_message(same);
	message->nlmsg_type = RTM_DELROUTE;
	assert_true(ek_track_view_concerned(&view, message));
	message->nlmsg_type = RTM_DELADDR;
	assert_true(ek_track_view_concerned(&view, message));
	ek_track_view_free(&view);

	assert_int_equal(ek_track_view_init(&view, both, 1), 0);
	assert_false(ek_track_view_concerned(&view, message));
	assert_false(ek_track_view_concerned(&view, route_message(same)));
	ek_track_view_free(&view);
}

/* --- the lab --------------------------------------------------------------------------------- */

struct lab {
	int home, here, there; /* namespaces; -1: not permitted */
	struct event_base *base;
	struct event *tick;
	struct ek_tracker *tracker;
	unsigned int changes;
	bool free_on_change;
	char directory[32];
	unsigned int scripts;
	int files; /* open at the start */
};

__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
	char command[1024];
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

static int open_files(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(directory);
	while (readdir(directory))
		n++;
	closedir(directory);
	return n;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void count_change(void *arg)
{
	struct lab *lab = arg;

	lab->changes++;
	if (lab->free_on_change) {
		ek_tracker_free(lab->tracker);
		lab->tracker = NULL;
	}
}

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

#define RUN_UNTIL(lab, condition)                                        \
	do {                                                             \
		time_t deadline_ = now_s() + DEADLINE_S;                 \
		while (!(condition)) {                                   \
			if (now_s() > deadline_)                         \
				fail_msg("not in time: %s", #condition); \
			event_base_loop((lab)->base, EVLOOP_ONCE);       \
		}                                                        \
	} while (0)

/* Left open across exec: ip(8) finds a namespace as /proc/self/fd/N. -1 when not permitted. */
static int new_namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	fd = open("/proc/self/ns/net", O_RDONLY);
	assert_true(fd >= 0);
	HERE("ip link set lo up && sysctl -qw net.ipv6.conf.default.accept_dad=0 "
	     "net.ipv6.conf.all.keep_addr_on_down=1");
	return fd;
}

static void join(struct lab *lab)
{
	for (int i = 0; i < 2; i++) {
		HERE("ip link add e%d type veth peer name p%d netns /proc/self/fd/%d", i, i,
		     lab->there);
		HERE("ip addr add 192.0.%d.1/24 dev e%d && ip addr add 2001:db8:%d::1/64 dev e%d "
		     "&& ip link set e%d up",
		     i + 2, i, i, i, i);
		THERE(lab, "ip link set p%d up", i);
	}
	HERE("for i in $(seq 100); do"
	     "  ip link show e0 | grep -q 'state UP' && ip link show e1 | grep -q 'state UP' && "
	     "exit;"
	     "  sleep 0.05;"
	     "done; exit 1");
}

static int set_up_loop(void **state)
{
	const struct timeval every = {.tv_usec = 20000};
	struct lab *lab = calloc(1, sizeof(*lab));

	assert_non_null(lab);
	*state = lab;
	lab->home = lab->here = lab->there = -1;
	lab->base = event_base_new();
	lab->tick = event_new(lab->base, -1, EV_PERSIST, on_tick, NULL);
	event_add(lab->tick, &every);
	strcpy(lab->directory, "/tmp/track-XXXXXX");
	assert_non_null(mkdtemp(lab->directory));
	lab->files = open_files();
	return 0;
}

static int set_up(void **state)
{
	struct lab *lab;

	set_up_loop(state);
	lab = *state;
	lab->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	lab->there = new_namespace();
	lab->here = lab->there < 0 ? -1 : new_namespace();
	if (lab->here >= 0)
		join(lab);
	return 0;
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	ek_tracker_free(lab->tracker);
	event_free(lab->tick);
	event_base_free(lab->base);
	if (lab->here >= 0) {
		assert_int_equal(setns(lab->home, CLONE_NEWNET), 0);
		close(lab->here);
		close(lab->there);
	}
	if (lab->home >= 0)
		close(lab->home);
	HERE("rm -r %s", lab->directory);
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

static void start(struct lab *lab, const struct ek_config_track *tracks, size_t n)
{
	struct ek_error error;

	lab->tracker = ek_tracker_new(lab->base, tracks, n, count_change, lab, &error);
	assert_non_null(lab->tracker);
	assert_int_equal(ek_tracker_count(lab->tracker), n);
}

static const struct ek_track_status *at(struct lab *lab, size_t i)
{
	return ek_tracker_at(lab->tracker, i);
}

static bool shows(struct lab *lab, size_t i, bool failed, const char *why)
{
	return at(lab, i)->known && at(lab, i)->failed == failed && strstr(at(lab, i)->why, why);
}

/* --- interfaces ------------------------------------------------------------------------------ */

static void tracks_an_interface(void **state)
{
	struct lab *lab = enter(state);
	struct ek_config_track one = track("e0");
	unsigned int changes;

	start(lab, &one, 1);
	memset(&one, 0, sizeof(one)); /* it has its own copy */
	assert_true(shows(lab, 0, false, "e0 is up"));
	assert_string_equal(at(lab, 0)->config->name, "e0");
	assert_int_equal(lab->changes, 0);

	HERE("ip link set e0 down");
	RUN_UNTIL(lab, shows(lab, 0, true, "e0 is down"));
	assert_int_equal(ek_tracker_failed(lab->tracker), 1);
	HERE("ip link set e0 up");
	RUN_UNTIL(lab, shows(lab, 0, false, "e0 is up"));
	assert_int_equal(ek_tracker_failed(lab->tracker), 0);
	THERE(lab, "ip link set p0 down");
	RUN_UNTIL(lab, shows(lab, 0, true, "e0 has no carrier"));
	THERE(lab, "ip link set p0 up");
	RUN_UNTIL(lab, shows(lab, 0, false, "e0 is up"));
	changes = lab->changes;
	assert_in_range(changes, 4, 8); /* once each, but for what lies between */

	HERE("ip link set e0 down && ip link set e0 name other && ip link set other up");
	RUN_UNTIL(lab, shows(lab, 0, true, "e0 is absent"));
	HERE("ip link set other down && ip link set other name e0 && ip link set e0 up");
	RUN_UNTIL(lab, shows(lab, 0, false, "e0 is up"));
	HERE("ip link del e0");
	RUN_UNTIL(lab, shows(lab, 0, true, "e0 is absent"));
	HERE("ip link add e0 type veth peer name e9 && ip link set e0 up");
	RUN_UNTIL(lab, shows(lab, 0, true, "e0 has no carrier"));
	HERE("ip link set e9 up");
	RUN_UNTIL(lab, shows(lab, 0, false, "e0 is up"));
}

static void tracks_a_set(void **state)
{
	struct lab *lab = enter(state);
	struct ek_config_track both[] = {track("e0 e1"), track("e1 nosuch"), track("lo")};

	start(lab, both, 3);
	assert_int_equal(ek_tracker_failed(lab->tracker), 0);
	THERE(lab, "ip link set p0 down");
	RUN_UNTIL(lab, shows(lab, 0, false, "e1 is up"));
	assert_int_equal(ek_tracker_failed(lab->tracker), 0);
	assert_int_equal(lab->changes, 0);
	HERE("ip link set e1 down");
	RUN_UNTIL(lab, shows(lab, 0, true, "e0 has no carrier, e1 is down"));
	assert_true(shows(lab, 1, true, "e1 is down, nosuch is absent"));
	assert_true(shows(lab, 2, false, "lo is up"));
	assert_int_equal(ek_tracker_failed(lab->tracker), 2);
	THERE(lab, "ip link set p0 up");
	RUN_UNTIL(lab, shows(lab, 0, false, "e0 is up"));
	assert_int_equal(ek_tracker_failed(lab->tracker), 1);
}

static void write_flaps(struct lab *lab, const char *link)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/flaps", lab->directory);
	file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		fprintf(file, "link set %s down\nlink set %s up\n", link, link);
	fclose(file);
}

/* All while the loop stands still: the socket's buffer overflows. Then while it runs. */
static void survives_a_thousand_flaps(void **state)
{
	struct lab *lab = enter(state);
	struct ek_config_track two[] = {track("e0"), track("192.0.2.0/24")};

	start(lab, two, 2);
	write_flaps(lab, "e0");
	HERE("ip -batch %s/flaps && ip link set e0 down", lab->directory);
	RUN_UNTIL(lab, shows(lab, 0, true, "e0 is down") && shows(lab, 1, true, "no route"));
	HERE("ip -batch %s/flaps", lab->directory);
	RUN_UNTIL(lab, shows(lab, 0, false, "e0 is up") && shows(lab, 1, false, "through e0"));

	HERE("(ip -batch %s/flaps; ip link set e0 down; : >%s/done) &", lab->directory,
	     lab->directory);
	RUN_UNTIL(lab, shell("test -e %s/done", lab->directory) == 0);
	RUN_UNTIL(lab, shows(lab, 0, true, "e0 is down") && shows(lab, 1, true, "no route"));
	assert_int_equal(ek_tracker_failed(lab->tracker), 2);
}

/* --- routes ---------------------------------------------------------------------------------- */

static void tracks_routes(void **state)
{
	static const struct {
		const char *command, *track;
		bool failed;
		const char *why;
	} steps[] = {
		{"ip route add default via 192.0.2.2", "0.0.0.0/0", false, "through e0"},
		{"ip route del default", "0.0.0.0/0", true, "no route to 0.0.0.0/0"},
		{"ip route add default via 192.0.2.2 proto 107", "0.0.0.0/0", true, "no route"},
		{"ip route add default via 192.0.2.2 proto bird metric 9", "0.0.0.0/0", false,
		 "e0"},
		{"ip route del default proto bird metric 9", "0.0.0.0/0", true, "no route"},
		{"ip route add default via 192.0.2.2 table 7", "0.0.0.0/0", true, "no route"},
		{"ip route replace blackhole default proto static metric 5", "0.0.0.0/0", true,
		 "leads nowhere"},
		{"ip route add default metric 8 nexthop via 192.0.2.2 nexthop via 192.0.3.2",
		 "0.0.0.0/0", false, "through e0"},
		{"ip link set e0 down", "0.0.0.0/0", false, "through e1"},
		{"ip link set e1 down", "0.0.0.0/0", true, "leads nowhere"},
		{"ip link set e0 up; ip link set e1 up;"
		 "ip route add 10.0.0.0/8 via 192.0.2.2",
		 "10.0.0.0/8", false, "through e0"},
		{"ip addr del 192.0.2.1/24 dev e0", "10.0.0.0/8", true, "no route"},
		{"ip nexthop add id 7 via 192.0.3.2 dev e1 && ip route add 10.0.0.0/8 nhid 7",
		 "10.0.0.0/8", false, "through e1"},
		{"ip nexthop del id 7", "10.0.0.0/8", true, "no route"},
		{"ip -6 route add default via 2001:db8:1::2", "::/0", false, "through e1"},
		{"ip -6 route del default", "::/0", true, "no route to ::/0"},
		{"ip -6 route add blackhole default", "::/0", true, "leads nowhere"},
		{"ip -6 route add default from 2001:db8:1::/64 via 2001:db8:1::2; true", "::/0",
		 true, "leads nowhere"},
		{"ip -6 route add 2001:db8:8::/48 nexthop via 2001:db8:1::2 nexthop via "
		 "2001:db8:1::3",
		 "2001:db8:8::/48", false, "through e1"},
		{"ip link set e1 down", "2001:db8:8::/48", true, "no route"},
	};
	struct lab *lab = enter(state);
	struct ek_config_track tracks[] = {track("0.0.0.0/0"), track("10.0.0.0/8"), track("::/0"),
					   track("2001:db8:8::/48")};

	start(lab, tracks, N(tracks));
	assert_int_equal(ek_tracker_failed(lab->tracker), N(tracks));
	for (size_t i = 0; i < N(steps); i++) {
		size_t which = 0;

		while (strcmp(steps[i].track, tracks[which].name))
			which++;
		print_message("%s\n", steps[i].command);
		HERE("%s", steps[i].command);
		RUN_UNTIL(lab, shows(lab, which, steps[i].failed, steps[i].why));
		/* It stays so. */
		for (int turn = 0; turn < 3; turn++)
			event_base_loop(lab->base, EVLOOP_ONCE);
		assert_true(shows(lab, which, steps[i].failed, steps[i].why));
	}
}

static void follows_carrier_below_a_route(void **state)
{
	struct lab *lab = enter(state);
	struct ek_config_track tracks[] = {track("10.0.0.0/8"), track("2001:db8:8::/48")};

	HERE("ip route add 10.0.0.0/8 via 192.0.2.2 && "
	     "ip route add 2001:db8:8::/48 via 2001:db8:0::2");
	start(lab, tracks, 2);
	assert_int_equal(ek_tracker_failed(lab->tracker), 0);
	/* The routes stay in the table. */
	THERE(lab, "ip link set p0 down");
	RUN_UNTIL(lab, shows(lab, 0, true, "no next hop that is up"));
	RUN_UNTIL(lab, shows(lab, 1, true, "no next hop that is up"));
	THERE(lab, "ip link set p0 up");
	RUN_UNTIL(lab, ek_tracker_failed(lab->tracker) == 0);
}

/* Puts something else in the place of the socket that dumps are read from: the latest one. */
static void break_dump_socket(void)
{
	int last = -1, other = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_true(other >= 0);
	for (int fd = 3; fd < 100; fd++) {
		int domain = 0;
		socklen_t size = sizeof(domain);

		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
		    domain == AF_NETLINK)
			last = fd;
	}
	assert_true(last > 0);
	assert_int_equal(dup2(other, last), last);
	close(other);
}

static void gets_over_a_failed_reading(void **state)
{
	struct lab *lab = enter(state);
	struct ek_config_track tracks[] = {track("e0"), track("192.0.2.0/24")};

	start(lab, tracks, 2);
	break_dump_socket();
	HERE("ip link set e0 down");
	RUN_UNTIL(lab, shows(lab, 0, true, "e0 is down") && shows(lab, 1, true, "no route"));
	HERE("ip link set e0 up");
	RUN_UNTIL(lab, ek_tracker_failed(lab->tracker) == 0);
}

#define MANY_ROUTES 60000

/* More than one turn of the loop can read. */
static void reads_a_long_table(void **state)
{
	struct lab *lab = enter(state);
	struct ek_config_track tracks[] = {track("e0"), track("203.0.113.0/24"),
					   track("0.0.0.0/0")};
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/routes", lab->directory);
	file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < MANY_ROUTES; i++)
		fprintf(file, "route add 10.%d.%d.0/25 via 192.0.2.2\n", i >> 8, i & 255);
	fclose(file);
	HERE("ip -batch %s && ip route add 203.0.113.0/24 via 192.0.2.2", path);
	start(lab, tracks, N(tracks));
	assert_false(at(lab, 0)->known);
	assert_false(at(lab, 2)->known);
	assert_int_equal(ek_tracker_failed(lab->tracker), 0);
	RUN_UNTIL(lab, shows(lab, 2, true, "no route"));
	assert_true(shows(lab, 0, false, "e0 is up"));
	assert_true(shows(lab, 1, false, "through e0"));
	assert_int_not_equal(lab->changes, 0);
	/* A change in the middle of a reading is not lost. */
	HERE("ip route add default via 192.0.2.2");
	event_base_loop(lab->base, EVLOOP_ONCE);
	HERE("ip route del 203.0.113.0/24");
	RUN_UNTIL(lab, shows(lab, 2, false, "through e0"));
	RUN_UNTIL(lab, shows(lab, 1, true, "no route"));
	/* Freed in the middle of one. */
	HERE("ip link set e1 down");
	event_base_loop(lab->base, EVLOOP_ONCE);
}

/* --- scripts --------------------------------------------------------------------------------- */

/* Writes a script and returns a track of it. */
__attribute__((format(printf, 2, 3))) static struct ek_config_track script(struct lab *lab,
									   const char *format, ...)
{
	char path[64];
	va_list args;
	FILE *file;

	snprintf(path, sizeof(path), "%s/script%u", lab->directory, lab->scripts++);
	file = fopen(path, "we");
	assert_non_null(file);
	va_start(args, format);
	vfprintf(file, format, args);
	va_end(args);
	fclose(file);
	assert_int_equal(chmod(path, 0755), 0);
	return track(path);
}

static bool has_file(struct lab *lab, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", lab->directory, name);
	return access(path, F_OK) == 0;
}

/* A number that a script wrote into a file; 0 = it has not yet. */
static long number_in(struct lab *lab, const char *name)
{
	char path[64], line[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", lab->directory, name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(line, sizeof(line), file) || !strchr(line, '\n'))
		line[0] = '\0';
	fclose(file);
	return atol(line);
}

/* Gone, or dead and waiting for whoever is its parent now. */
static bool is_dead(long pid)
{
	char path[64], line[256] = "";
	const char *after;
	FILE *file;

	assert_true(pid > 0);
	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return true;
	after = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	return !after || after[2] == 'Z' || after[2] == 'X';
}

static bool has_children(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static int lowest_free_file(void)
{
	int fd = dup(0);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

/* For where a failed assertion would leave the process crippled. */
static bool turns_until(struct lab *lab, int turns, const char *why)
{
	while (turns-- && !strstr(at(lab, 0)->why, why))
		event_base_loop(lab->base, EVLOOP_ONCE);
	return strstr(at(lab, 0)->why, why);
}

/* Nothing of the tracker's is left. */
static void end(struct lab *lab)
{
	ek_tracker_free(lab->tracker);
	lab->tracker = NULL;
	assert_false(has_children());
	assert_int_equal(open_files(), lab->files);
}

static const struct {
	const char *description, *text; /* without the first line, #!/bin/sh */
	bool failed;
	const char *why;
} script_rows[] = {
	{"success", "exit 0", false, "exit 0"},
	{"success with words", "echo fine", false, "exit 0: fine"},
	{"failure", "exit 1", true, "exit 1"},
	{"failure with words", "echo no such table; exit 3", true, "exit 3: no such table"},
	{"words on stderr", "echo bad >&2; exit 2", true, "exit 2: bad"},
	{"the first line counts", "printf 'one\\ntwo\\n'; exit 1", true, "exit 1: one"},
	{"the first that is not empty", "printf '\\r\\n\\none\\n'", false, "exit 0: one"},
	{"no newline", "printf one; exit 1", true, "exit 1: one"},
	{"blanks at the end", "printf 'one \\t \\n'; exit 1", true, "exit 1: one"},
	{"terminal controls and UTF-8", "printf 'a\\033[31m\\tb\\303\\251'; exit 1", true,
	 "exit 1: a?[31m b??"},
	{"a NUL", "printf 'one\\0two'; exit 1", true, "exit 1: one"},
	{"nothing but blanks", "printf '  '; exit 1", true, "exit 1"},
	{"a format", "echo '%s%n%d'; exit 1", true, "exit 1: %s%n%d"},
	{"exit 255", "exit 255", true, "exit 255"},
	{"killed by a signal", "kill -SEGV $$", true, "killed by SIGSEGV"},
	{"killed by SIGKILL, with words", "echo one; kill -KILL $$", true,
	 "killed by SIGKILL: one"},
	{"killed by a signal without a name", "kill -40 $$", true, "killed by signal 40"},
	{"stdin is empty", "read x && exit 1; exit 0", false, "exit 0"},
	{"a clean environment", "test \"$(/usr/bin/env | grep -cv -e ^PATH= -e ^PWD= -e ^_=)\" = 0",
	 false, "exit 0"},
	{"PATH finds programs", "uname >/dev/null && ip -V >/dev/null", false, "exit 0"},
	{"no other files: ls has three and a directory", "test $(ls /proc/self/fd | wc -l) = 4",
	 false, "exit 0"},
	{"signals are as usual", "kill -PIPE $$; exit 0", true, "killed by SIGPIPE"},
	{"no signal is blocked", "grep -q 'SigBlk:.0*$' /proc/self/status", false, "exit 0"},
	{"a group of its own", "test \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$", false, "exit 0"},
	{"no arguments", "exit $#", false, "exit 0"},
	{"closes its output and goes on", "exec >&- 2>&-; true; exit 4", true, "exit 4"},
};

static void runs_scripts(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track tracks[N(script_rows)];
	sigset_t blocked, before;
	int leak;

	for (size_t i = 0; i < N(script_rows); i++) {
		tracks[i] = script(lab, "#!/bin/sh\n%s\n", script_rows[i].text);
		tracks[i].interval = 60000;
	}
	/* What a daemon does to itself is not handed on. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	signal(SIGPIPE, SIG_IGN);
	setenv("SECRET", "value", 1);
	leak = open("/dev/null", O_RDONLY);
	start(lab, tracks, N(tracks));
	for (size_t i = 0; i < N(tracks); i++) {
		assert_false(at(lab, i)->known);
		assert_false(at(lab, i)->failed);
	}
	for (size_t i = 0; i < N(tracks); i++) {
		RUN_UNTIL(lab, at(lab, i)->known);
		if (at(lab, i)->failed != script_rows[i].failed ||
		    strcmp(at(lab, i)->why, script_rows[i].why))
			fail_msg("%s: %s", script_rows[i].description, at(lab, i)->why);
	}
	close(leak);
	end(lab);
	unsetenv("SECRET");
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

static void reports_what_cannot_run(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track tracks[] = {
		track("/nonexistent/script"),
		script(lab, "#!/bin/sh\nexit 0\n"),
		script(lab, "exit 0\n"),
		script(lab, "#!/nonexistent/interpreter\n"),
		track("/tmp"),
		track("/dev/null/x"),
	};

	assert_int_equal(chmod(tracks[1].command, 0644), 0);
	start(lab, tracks, N(tracks));
	RUN_UNTIL(lab, shows(lab, 0, true, "not run: No such file or directory"));
	RUN_UNTIL(lab, shows(lab, 1, true, "not run: Permission denied"));
	RUN_UNTIL(lab, shows(lab, 2, true, "not run: Exec format error"));
	RUN_UNTIL(lab, shows(lab, 3, true, "not run: No such file or directory"));
	RUN_UNTIL(lab, shows(lab, 4, true, "not run: Permission denied"));
	RUN_UNTIL(lab, shows(lab, 5, true, "not run: Not a directory"));
	/* It is tried again. */
	assert_int_equal(chmod(tracks[1].command, 0755), 0);
	RUN_UNTIL(lab, shows(lab, 1, false, "exit 0"));
	end(lab);
}

static void a_shortage_says_nothing(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track one = script(lab, "#!/bin/sh\nexit 0\n");
	struct rlimit before, few;
	bool noticed;

	start(lab, &one, 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	/* No room for a pipe, or for half of one. */
	for (int room = 0; room < 2; room++) {
		RUN_UNTIL(lab, shows(lab, 0, false, "exit 0") && !has_children());
		few.rlim_cur = lowest_free_file() + room;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		noticed = turns_until(lab, 1000, "not run: Too many open files");
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (!noticed)
			fail_msg("room for %d: %s", room, at(lab, 0)->why);
		assert_false(at(lab, 0)->failed);
	}
	RUN_UNTIL(lab, shows(lab, 0, false, "exit 0"));
	assert_int_equal(lab->changes, 1);
	end(lab);
}

static void kills_what_takes_too_long(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track one =
		script(lab,
		       "#!/bin/sh\n"
		       "trap '' TERM INT HUP\n"
		       "(trap '' TERM; echo $(exec sh -c 'echo $PPID') >%s/child; sleep 1000) &\n"
		       "echo $$ >%s/leader; echo waiting; sleep 1000\n",
		       lab->directory, lab->directory);
	long leader, child;

	one.timeout = 1000;
	one.interval = 100;
	start(lab, &one, 1);
	RUN_UNTIL(lab, number_in(lab, "leader") && number_in(lab, "child"));
	leader = number_in(lab, "leader");
	child = number_in(lab, "child");
	assert_false(is_dead(leader));
	RUN_UNTIL(lab, shows(lab, 0, true, "timed out after 1 s: waiting"));
	RUN_UNTIL(lab, is_dead(leader) && is_dead(child));
	/* And again, another one: the first is reaped by then. */
	RUN_UNTIL(lab, number_in(lab, "leader") && number_in(lab, "leader") != leader);
	assert_int_equal(kill(leader, 0), -1);
	leader = number_in(lab, "leader");
	end(lab);
	assert_true(is_dead(leader));
}

static void kills_a_leader_that_left_its_group(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track one =
		script(lab,
		       "#!/usr/bin/perl\nsetpgrp(0, getppid()); print \"left\\n\"; "
		       "open(F, '>%s/leader'); print F \"$$\\n\"; close(F); $| = 1; sleep 1000;\n",
		       lab->directory);

	one.timeout = 2000;
	one.interval = 60000;
	start(lab, &one, 1);
	RUN_UNTIL(lab, at(lab, 0)->known);
	assert_true(shows(lab, 0, true, "timed out after 2 s"));
	RUN_UNTIL(lab, is_dead(number_in(lab, "leader")));
	end(lab);
}

/* Runs do not pile up by what they leave behind; what is meant to outlive them does. */
static void kills_what_a_script_leaves(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track one =
		script(lab,
		       "#!/bin/sh\n"
		       "sleep 1000 & echo $! >%s/child\n"
		       "setsid sh -c 'echo $$ >%s/daemon; exec sleep 1000' >/dev/null 2>&1 &\n"
		       "while ! test -s %s/daemon; do sleep 0.01; done; exit 0\n",
		       lab->directory, lab->directory, lab->directory);

	one.interval = 60000;
	start(lab, &one, 1);
	RUN_UNTIL(lab, shows(lab, 0, false, "exit 0"));
	RUN_UNTIL(lab, is_dead(number_in(lab, "child")));
	assert_false(is_dead(number_in(lab, "daemon")));
	end(lab);
	assert_int_equal(kill(number_in(lab, "daemon"), SIGKILL), 0);
}

static void takes_any_amount_of_output(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track tracks[] = {
		script(lab, "#!/bin/sh\nhead -c 5000000 /dev/zero | tr '\\0' x; exit 5\n"),
		script(lab, "#!/bin/sh\nhead -c 5000000 /dev/zero; exit 0\n"),
		script(lab, "#!/bin/sh\nexec yes endless\n"),
	};

	for (size_t i = 0; i < N(tracks); i++)
		tracks[i].interval = 60000;
	tracks[2].timeout = 1500;
	start(lab, tracks, N(tracks));
	RUN_UNTIL(lab, shows(lab, 0, true, "exit 5: xxxxxxxx"));
	assert_int_equal(strlen(at(lab, 0)->why), sizeof(at(lab, 0)->why) - 1);
	RUN_UNTIL(lab, shows(lab, 1, false, "exit 0"));
	RUN_UNTIL(lab, shows(lab, 2, true, "timed out after 1.5 s: endless"));
	end(lab);
}

static void says_why_it_cannot_start(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track tracks[] = {track("/bin/true"), track("lo"), track("0.0.0.0/0")};
	struct rlimit before, few;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	/* One socket, and then the other one. */
	for (int room = 0; room < 2; room++) {
		struct ek_error error = {0};

		few.rlim_cur = lowest_free_file() + room;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		lab->tracker = ek_tracker_new(lab->base, tracks, 3, count_change, lab, &error);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_null(lab->tracker);
		assert_non_null(strstr(error.text, "Too many open files"));
	}
	end(lab);
}

static void tells_when_an_exit_status_is_lost(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track one = script(lab, "#!/bin/sh\nexit 1\n");
	bool lost;

	start(lab, &one, 1);
	signal(SIGCHLD, SIG_IGN);
	lost = turns_until(lab, 1000, "exit status lost (No child processes)");
	signal(SIGCHLD, SIG_DFL);
	assert_true(lost);
	assert_false(at(lab, 0)->known);
	RUN_UNTIL(lab, shows(lab, 0, true, "exit 1"));
	end(lab);
}

static void rise_and_fall(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track one =
		script(lab,
		       "#!/bin/sh\n"
		       "echo x >>%s/runs; n=$(wc -l <%s/runs)\n"
		       /* Fails in runs 3, 4, 6 to 10, then 13. */
		       "case $n in 3|4|6|7|8|9|10|13) echo run $n; exit 1;; esac; echo run $n\n",
		       lab->directory, lab->directory);
	char log[64] = "";
	unsigned int seen = 0, run;
	bool failed = false;

	one.rise = 3;
	one.fall = 3;
	one.interval = 50;
	start(lab, &one, 1);
	/* Each change is told, and `why` is about the run that made it. */
	while (seen < 3) {
		RUN_UNTIL(lab, lab->changes > seen);
		seen = lab->changes;
		failed = at(lab, 0)->failed;
		assert_int_equal(sscanf(at(lab, 0)->why, "exit %*d: run %u", &run), 1);
		snprintf(log + strlen(log), sizeof(log) - strlen(log), "%s%u ", failed ? "-" : "+",
			 run);
	}
	assert_string_equal(log, "+1 -8 +16 ");
	end(lab);
}

/* Start to start, and never two at a time, though a run takes longer than the interval. */
static void never_two_at_a_time(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track one = script(lab,
					    "#!/bin/sh\n"
					    "mkdir %s/busy || { : >%s/twice; exit 1; }\n"
					    "echo x >>%s/runs; sleep 0.1; rmdir %s/busy\n"
					    "test $(wc -l <%s/runs) -lt 10 || : >%s/enough\n",
					    lab->directory, lab->directory, lab->directory,
					    lab->directory, lab->directory, lab->directory);

	one.interval = 10;
	start(lab, &one, 1);
	RUN_UNTIL(lab, has_file(lab, "enough"));
	assert_false(has_file(lab, "twice"));
	end(lab);
}

static void frees_in_mid_run(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track tracks[8];

	for (size_t i = 0; i < N(tracks); i++)
		tracks[i] = script(lab, "#!/bin/sh\nsleep 1000 &\necho $! >%s/child%zu\nwait\n",
				   lab->directory, i);
	start(lab, tracks, N(tracks));
	for (size_t i = 0; i < N(tracks); i++) {
		char name[16];

		snprintf(name, sizeof(name), "child%zu", i);
		RUN_UNTIL(lab, number_in(lab, name));
	}
	end(lab);
	for (size_t i = 0; i < N(tracks); i++) {
		char name[16];

		snprintf(name, sizeof(name), "child%zu", i);
		RUN_UNTIL(lab, is_dead(number_in(lab, name)));
	}
}

static void frees_at_any_moment(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track one = script(lab, "#!/bin/sh\necho words; exit 1\n");

	one.interval = 1;
	for (int turns = 0; turns < 30; turns++) {
		start(lab, &one, 1);
		for (int i = 0; i < turns; i++)
			event_base_loop(lab->base, EVLOOP_NONBLOCK);
		end(lab);
	}
}

static void may_be_freed_by_its_listener(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track tracks[] = {script(lab, "#!/bin/sh\nexit 1\n"),
					   script(lab, "#!/bin/sh\nsleep 1000\n")};

	lab->free_on_change = true;
	start(lab, tracks, 2);
	RUN_UNTIL(lab, !lab->tracker);
	assert_int_equal(lab->changes, 1);
	end(lab);
}

/* Attaches to a process and holds on to it, dead or alive, until the pipe is closed. */
static pid_t hold(long pid, int ends[2])
{
	pid_t tracer;
	char ready;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	tracer = fork();
	if (!tracer) {
		close(ends[0]);
		ready = ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
		if (write(ends[1], &ready, 1) == 1)
			ready = read(ends[1], &ready, 1);
		_exit(0);
	}
	assert_true(tracer > 0);
	close(ends[1]);
	assert_int_equal(read(ends[0], &ready, 1), 1);
	return ready ? tracer : 0;
}

/* Under strace(1) a process that has ended is not its parent's to reap at once. */
static void waits_for_a_tracer(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track one = script(lab,
					    "#!/bin/sh\necho $$ >%s/leader\n"
					    "read go <%s/go; echo traced; exit 3\n",
					    lab->directory, lab->directory);
	pid_t tracer;
	int ends[2];

	/* A child of its own would stop it: signals wait for the tracer's word. */
	HERE("mkfifo %s/go", lab->directory);
	one.interval = 60000;
	start(lab, &one, 1);
	RUN_UNTIL(lab, number_in(lab, "leader"));
	tracer = hold(number_in(lab, "leader"), ends);
	HERE("echo >%s/go", lab->directory);
	RUN_UNTIL(lab, is_dead(number_in(lab, "leader")));
	for (int turn = 0; turn < 10; turn++)
		event_base_loop(lab->base, EVLOOP_ONCE);
	assert_true(!tracer || !at(lab, 0)->known);
	close(ends[0]);
	assert_true(!tracer || waitpid(tracer, NULL, 0) == tracer);
	RUN_UNTIL(lab, shows(lab, 0, true, "exit 3: traced"));
	end(lab);
}

/* As one that hangs in the kernel: what survives SIGKILL goes on failing. */
static void counts_what_cannot_be_killed(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track one = script(lab, "#!/bin/sh\necho $$ >%s/leader\nread go <%s/go\n",
					    lab->directory, lab->directory);
	pid_t tracer;
	int ends[2];

	HERE("mkfifo %s/go", lab->directory);
	one.timeout = 1000;
	one.interval = 100;
	one.fall = 3;
	start(lab, &one, 1);
	RUN_UNTIL(lab, number_in(lab, "leader"));
	tracer = hold(number_in(lab, "leader"), ends);
	if (tracer)
		RUN_UNTIL(lab, shows(lab, 0, true, "hangs beyond the reach of SIGKILL"));
	close(ends[0]);
	assert_true(!tracer || waitpid(tracer, NULL, 0) == tracer);
	/* The next run is told apart by its number. */
	HERE("mv %s/leader %s/first", lab->directory, lab->directory);
	RUN_UNTIL(lab, number_in(lab, "leader"));
	assert_int_not_equal(number_in(lab, "leader"), number_in(lab, "first"));
	end(lab);
}

/* Children that are not the tracker's stay whose they are. */
static void leaves_other_children_alone(void **state)
{
	struct lab *lab = *state;
	struct ek_config_track one = script(lab, "#!/bin/sh\nexit 0\n");
	pid_t other = fork();
	int status;

	if (!other)
		_exit(42);
	assert_true(other > 0);
	start(lab, &one, 1);
	RUN_UNTIL(lab, at(lab, 0)->known);
	ek_tracker_free(lab->tracker);
	lab->tracker = NULL;
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	assert_false(has_children());
}

static void nothing_to_track(void **state)
{
	struct lab *lab = *state;

	start(lab, NULL, 0);
	assert_int_equal(ek_tracker_failed(lab->tracker), 0);
	end(lab);
	ek_tracker_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_view_interfaces),
		cmocka_unit_test(test_view_routes),
		cmocka_unit_test(test_view_mapped_prefix),
		cmocka_unit_test(test_view_malformed),
		cmocka_unit_test(test_view_concerned),
		cmocka_unit_test_setup_teardown(tracks_an_interface, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tracks_a_set, set_up, tear_down),
		cmocka_unit_test_setup_teardown(survives_a_thousand_flaps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tracks_routes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(follows_carrier_below_a_route, set_up, tear_down),
		cmocka_unit_test_setup_teardown(gets_over_a_failed_reading, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reads_a_long_table, set_up, tear_down),
		cmocka_unit_test_setup_teardown(runs_scripts, set_up_loop, tear_down),
		cmocka_unit_test_setup_teardown(reports_what_cannot_run, set_up_loop, tear_down),
		cmocka_unit_test_setup_teardown(a_shortage_says_nothing, set_up_loop, tear_down),
		cmocka_unit_test_setup_teardown(kills_what_takes_too_long, set_up_loop, tear_down),
		cmocka_unit_test_setup_teardown(kills_a_leader_that_left_its_group, set_up_loop,
						tear_down),
		cmocka_unit_test_setup_teardown(kills_what_a_script_leaves, set_up_loop, tear_down),
		cmocka_unit_test_setup_teardown(takes_any_amount_of_output, set_up_loop, tear_down),
		cmocka_unit_test_setup_teardown(says_why_it_cannot_start, set_up_loop, tear_down),
		cmocka_unit_test_setup_teardown(tells_when_an_exit_status_is_lost, set_up_loop,
						tear_down),
		cmocka_unit_test_setup_teardown(rise_and_fall, set_up_loop, tear_down),
		cmocka_unit_test_setup_teardown(never_two_at_a_time, set_up_loop, tear_down),
		cmocka_unit_test_setup_teardown(frees_in_mid_run, set_up_loop, tear_down),
		cmocka_unit_test_setup_teardown(frees_at_any_moment, set_up_loop, tear_down),
		cmocka_unit_test_setup_teardown(may_be_freed_by_its_listener, set_up_loop,
						tear_down),
		cmocka_unit_test_setup_teardown(waits_for_a_tracer, set_up_loop, tear_down),
		cmocka_unit_test_setup_teardown(counts_what_cannot_be_killed, set_up_loop,
						tear_down),
		cmocka_unit_test_setup_teardown(leaves_other_children_alone, set_up_loop,
						tear_down),
		cmocka_unit_test_setup_teardown(nothing_to_track, set_up_loop, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
