/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lib/vrrp_socket.c and the sockets and routes of lib/announce.c, against the kernel. Every test
 * has two network namespaces without a name, joined by a veth pair: e0 is here, where this process
 * is, and p0 is there. A socket stays in the namespace that it was made in.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>
#include <event2/event.h>
#include <jansson.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include "announce.h"
#include "ip.h"
#include "vrrp_socket.h"

#define DEADLINE_S 20

extern char **environ;

struct heard {
	int family;
	uint8_t message[512];
	size_t length;
	uint8_t ttl;
	struct ek_ip source, destination;
	int ifindex;
};

struct ear {
	size_t n;
	struct heard last;
};

struct lab {
	int home, here, there; /* namespaces; -1: not permitted */
	struct event_base *base;
	struct ear ear_here, ear_there;
	int wire; /* a packet socket on p0: all frames that come in there */
};

/* --- the two namespaces ---------------------------------------------------------------------- */

/* Runs a program, whose output goes to `out`; -1 = to ours. Words are apart by one space. */
static int spawn(const char *command, int out)
{
	char copy[512], *words[48] = {NULL}, *rest = copy;
	posix_spawn_file_actions_t actions;
	int status = 0;
	size_t n = 0;
	pid_t pid;

	assert_in_range(snprintf(copy, sizeof(copy), "%s", command), 1, sizeof(copy) - 1);
	while (n < 47 && (words[n] = strsep(&rest, " ")))
		n++;
	posix_spawn_file_actions_init(&actions);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	assert_int_equal(posix_spawnp(&pid, words[0], &actions, NULL, words, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

__attribute__((format(printf, 1, 2))) static void run(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (spawn(command, -1))
		fail_msg("failed: %s", command);
}

/* What a program prints. Returns `out`. */
static char *output(const char *command, char *out, size_t size)
{
	FILE *file = tmpfile();
	size_t length;

	assert_non_null(file);
	if (spawn(command, fileno(file)))
		fail_msg("failed: %s", command);
	rewind(file);
	length = fread(out, 1, size - 1, file);
	out[length] = '\0';
	fclose(file);
	return out;
}

static void enter(int namespace)
{
	assert_int_equal(setns(namespace, CLONE_NEWNET), 0);
}

/* Left open across exec: ip(8) finds a namespace as /proc/self/fd/N. */
static int new_namespace(void)
{
	FILE *file;
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	fd = open("/proc/self/ns/net", O_RDONLY);
	assert_true(fd >= 0);
	/* Addresses are there at once, not after a second of probing for others who have them. */
	file = fopen("/proc/sys/net/ipv6/conf/default/accept_dad", "w");
	assert_non_null(file);
	fputs("0\n", file);
	assert_int_equal(fclose(file), 0);
	run("ip link set lo up");
	return fd;
}

static int open_wire(void)
{
	const struct sockaddr_ll address = {.sll_family = AF_PACKET,
					    .sll_protocol = htons(ETH_P_ALL),
					    .sll_ifindex = if_nametoindex("p0")};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const void *)&address, sizeof(address)), 0);
	return fd;
}

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

static void await_carrier(const char *interface)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const time_t deadline = now() + DEADLINE_S;
	struct ifreq request = {0};

	assert_true(fd >= 0);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	while (!(request.ifr_flags & IFF_RUNNING)) {
		assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
		assert_true(now() <= deadline);
		usleep(1000);
	}
	close(fd);
}

static void join(struct lab *lab)
{
	run("ip link add e0 address 02:00:00:00:00:01 type veth "
	    "peer name p0 address 02:00:00:00:00:02 netns /proc/self/fd/%d",
	    lab->there);
	run("ip link set e0 up");
	enter(lab->there);
	run("ip link set p0 up");
	run("ip addr add 192.0.2.2/24 dev p0");
	run("ip addr add 2001:db8::2/64 dev p0");
	lab->wire = open_wire();
	enter(lab->here);
	run("ip addr add 192.0.2.1/24 dev e0");
	run("ip addr add 2001:db8::1/64 dev e0");
}

static int set_up(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	assert_non_null(lab);
	*state = lab;
	lab->wire = -1;
	lab->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	lab->there = new_namespace();
	lab->here = lab->there < 0 ? -1 : new_namespace();
	if (lab->here < 0)
		return 0;
	join(lab);
	lab->base = event_base_new();
	assert_non_null(lab->base);
	assert_int_equal(event_base_priority_init(lab->base, 3), 0);
	return 0;
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	if (lab->here >= 0) {
		event_base_free(lab->base);
		close(lab->wire);
		enter(lab->home);
		close(lab->here);
	}
	if (lab->there >= 0)
		close(lab->there);
	close(lab->home);
	free(lab);
	return 0;
}

static struct lab *lab_of(void **state)
{
	struct lab *lab = *state;

	if (lab->here < 0) {
		print_message("network namespaces need root\n");
		skip();
	}
	return lab;
}

/* For tests that send: what is sent before the kernel has noticed the other end is lost. */
static struct lab *wired_lab_of(void **state)
{
	struct lab *lab = lab_of(state);

	enter(lab->there);
	await_carrier("p0");
	enter(lab->here);
	await_carrier("e0");
	/* Waits for the lock under which the kernel makes the queue ready. */
	run("ip link set e0 up");
	return lab;
}

/* --- short forms ----------------------------------------------------------------------------- */

static struct ek_ip ip(const char *text)
{
	struct ek_ip out;

	assert_int_equal(ek_ip_parse(text, &out), 0);
	return out;
}

static void assert_ip(const char *description, const struct ek_ip *got, const char *wanted)
{
	char text[EK_IP_TEXT];

	if (strcmp(ek_ip_format(got, text), wanted) != 0)
		fail_msg("%s: %s instead of %s", description, text, wanted);
}

static void listen_to(void *arg, int family, const uint8_t *message, size_t length, uint8_t ttl,
		      const struct ek_ip *source, const struct ek_ip *destination, int ifindex)
{
	struct ear *ear = arg;

	ear->n++;
	ear->last = (struct heard){family, {0}, length, ttl, *source, *destination, ifindex};
	assert_true(length <= sizeof(ear->last.message));
	memcpy(ear->last.message, message, length);
}

/* Lets the loop run until the ear has heard n messages. */
static void await(struct lab *lab, const struct ear *ear, size_t n, const char *description)
{
	const struct timeval tick = {.tv_usec = 20000};
	const time_t deadline = now() + DEADLINE_S;

	while (ear->n < n) {
		if (now() > deadline)
			fail_msg("%s: %zu of %zu messages came", description, ear->n, n);
		event_base_loopexit(lab->base, &tick);
		event_base_loop(lab->base, EVLOOP_ONCE);
	}
}

static struct ek_vrrp_socket *open_socket(struct lab *lab, bool there, int family, bool unicast)
{
	struct ek_error error = {0};
	struct ek_vrrp_socket *s;

	enter(there ? lab->there : lab->here);
	s = ek_vrrp_socket_new(lab->base, there ? "p0" : "e0", family, unicast, listen_to,
			       there ? &lab->ear_there : &lab->ear_here, &error);
	enter(lab->here);
	if (!s)
		fail_msg("%s", error.text);
	return s;
}

static int ifindex_of(struct lab *lab, bool there)
{
	int ifindex;

	enter(there ? lab->there : lab->here);
	ifindex = if_nametoindex(there ? "p0" : "e0");
	enter(lab->here);
	return ifindex;
}

/* The next frame on the wire for which `wanted` is true. Returns its length. */
static size_t capture(struct lab *lab, bool (*wanted)(const uint8_t *frame, size_t length),
		      uint8_t *frame, size_t size)
{
	struct pollfd wire = {.fd = lab->wire, .events = POLLIN};
	const time_t deadline = now() + DEADLINE_S;
	ssize_t length;

	while (now() <= deadline) {
		poll(&wire, 1, 100);
		length = recv(lab->wire, frame, size, 0);
		if (length > 0 && wanted(frame, length))
			return length;
	}
	fail_msg("no such frame came");
	return 0;
}

static bool is_advert(const uint8_t *frame, size_t length)
{
	return length > 54 && ((frame[12] == 0x08 && frame[13] == 0x00 && frame[14 + 9] == 112) ||
			       (frame[12] == 0x86 && frame[13] == 0xdd && frame[14 + 6] == 112));
}

/* --- adverts --------------------------------------------------------------------------------- */

/* No advert, and its checksum would be wrong: nobody is to look at it, or to mend it. */
static const uint8_t message[24] = {0x31, 51, 100, 1, 0, 10, 0xde, 0xad, 192, 0,  2,  9,
				    1,	  2,  3,   4, 5, 6,  7,	   8,	 9,   10, 11, 12};

static const struct {
	const char *description;
	int family;
	bool unicast;
	bool name_source;
	const char *here, *there;
} paths[] = {
	{"IPv4 multicast", AF_INET, false, true, "192.0.2.1", "192.0.2.2"},
	{"IPv4 multicast, the kernel chooses", AF_INET, false, false, "192.0.2.1", "192.0.2.2"},
	{"IPv4 unicast", AF_INET, true, true, "192.0.2.1", "192.0.2.2"},
	{"IPv4 unicast, the kernel chooses", AF_INET, true, false, "192.0.2.1", "192.0.2.2"},
	{"IPv6 multicast", AF_INET6, false, true, "fe80::ff:fe00:1", "fe80::ff:fe00:2"},
	{"IPv6 multicast, the kernel chooses", AF_INET6, false, false, "fe80::ff:fe00:1",
	 "fe80::ff:fe00:2"},
	{"IPv6 unicast", AF_INET6, true, true, "2001:db8::1", "2001:db8::2"},
	{"IPv6 unicast, the kernel chooses", AF_INET6, true, false, "2001:db8::1", "2001:db8::2"},
};

static void pass_one(struct lab *lab, size_t i, bool from_there, struct ek_vrrp_socket *from)
{
	const char *description = paths[i].description;
	const char *own = from_there ? paths[i].there : paths[i].here;
	struct ear *ear = from_there ? &lab->ear_here : &lab->ear_there;
	struct ek_ip to = paths[i].unicast ? ip(from_there ? paths[i].here : paths[i].there)
					   : ek_vrrp_group(paths[i].family);
	char text[EK_IP_TEXT];
	struct ek_ip source;
	size_t before = ear->n;

	enter(from_there ? lab->there : lab->here);
	assert_int_equal(ek_vrrp_socket_source(from, &to, &source), 0);
	enter(lab->here);
	assert_ip(description, &source, own);
	assert_int_equal(ek_vrrp_socket_send(from, message, sizeof(message),
					     paths[i].name_source ? &source : NULL, &to),
			 0);
	await(lab, ear, before + 1, description);
	assert_int_equal(ear->last.family, paths[i].family);
	assert_int_equal(ear->last.length, sizeof(message));
	assert_memory_equal(ear->last.message, message, sizeof(message));
	assert_int_equal(ear->last.ttl, 255);
	assert_ip(description, &ear->last.source, own);
	assert_ip(description, &ear->last.destination, ek_ip_format(&to, text));
	assert_int_equal(ear->last.ifindex, ifindex_of(lab, !from_there));
}

static void test_both_ways(void **state)
{
	struct lab *lab = wired_lab_of(state);

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct ek_vrrp_socket *here =
			open_socket(lab, false, paths[i].family, paths[i].unicast);
		struct ek_vrrp_socket *there =
			open_socket(lab, true, paths[i].family, paths[i].unicast);

		memset(&lab->ear_here, 0, sizeof(lab->ear_here));
		memset(&lab->ear_there, 0, sizeof(lab->ear_there));
		pass_one(lab, i, false, here);
		pass_one(lab, i, true, there);
		if (lab->ear_here.n != 1 || lab->ear_there.n != 1)
			fail_msg("%s: a sender hears itself", paths[i].description);
		ek_vrrp_socket_free(here);
		ek_vrrp_socket_free(there);
	}
}

static void test_header_on_the_wire(void **state)
{
	static const uint8_t mac4[6] = {0x01, 0x00, 0x5e, 0x00, 0x00, 0x12};
	static const uint8_t mac6[6] = {0x33, 0x33, 0x00, 0x00, 0x00, 0x12};
	const struct ek_ip group4 = ek_vrrp_group(AF_INET), group6 = ek_vrrp_group(AF_INET6);
	struct lab *lab = wired_lab_of(state);
	struct ek_vrrp_socket *s = open_socket(lab, false, AF_INET, false);
	uint8_t frame[256];

	assert_int_equal(ek_vrrp_socket_send(s, message, sizeof(message), NULL, &group4), 0);
	assert_int_equal(capture(lab, is_advert, frame, sizeof(frame)), 14 + 20 + sizeof(message));
	assert_memory_equal(frame, mac4, 6);
	assert_int_equal(frame[14], 0x45);
	assert_int_equal(frame[14 + 1], 0xc0); /* CS6 */
	assert_int_equal(frame[14 + 8], 255);
	ek_vrrp_socket_free(s);

	s = open_socket(lab, false, AF_INET6, false);
	assert_int_equal(ek_vrrp_socket_send(s, message, sizeof(message), NULL, &group6), 0);
	assert_int_equal(capture(lab, is_advert, frame, sizeof(frame)), 14 + 40 + sizeof(message));
	assert_memory_equal(frame, mac6, 6);
	assert_int_equal(frame[14] << 4 | frame[15] >> 4, 0x6c0); /* version 6, CS6 */
	assert_int_equal(frame[14 + 7], 255);
	/* The two bytes of the checksum are as they were given. */
	assert_memory_equal(frame + 14 + 40, message, sizeof(message));
	ek_vrrp_socket_free(s);
}

/* Each packet is heard by the sockets that it is for, and by them only. */
static void test_kinds_are_apart(void **state)
{
	static const int families[] = {AF_INET, AF_INET6};
	static const char *const addresses[] = {"192.0.2.2", "2001:db8::2"};
	struct lab *lab = wired_lab_of(state);

	for (size_t i = 0; i < 2; i++) {
		const struct ek_ip group = ek_vrrp_group(families[i]), peer = ip(addresses[i]);
		struct ek_vrrp_socket *to_group = open_socket(lab, false, families[i], false);
		struct ek_vrrp_socket *to_peer = open_socket(lab, false, families[i], true);
		struct ek_vrrp_socket *group_there = open_socket(lab, true, families[i], false);
		struct ear *ear = &lab->ear_there;

		/* The unicast socket there shares the ear: a message heard twice counts twice. */
		struct ek_vrrp_socket *peer_there = open_socket(lab, true, families[i], true);

		ear->n = 0;
		assert_int_equal(
			ek_vrrp_socket_send(to_group, message, sizeof(message), NULL, &group), 0);
		await(lab, ear, 1, "to the group");
		assert_true(ek_ip_equal(&ear->last.destination, &group));
		assert_int_equal(
			ek_vrrp_socket_send(to_peer, message, sizeof(message), NULL, &peer), 0);
		await(lab, ear, 2, "to the peer");
		assert_true(ek_ip_equal(&ear->last.destination, &peer));
		/* What is queued twice is there by now. */
		event_base_loop(lab->base, EVLOOP_NONBLOCK);
		event_base_loop(lab->base, EVLOOP_NONBLOCK);
		assert_int_equal(ear->n, 2);
		ek_vrrp_socket_free(to_group);
		ek_vrrp_socket_free(to_peer);
		ek_vrrp_socket_free(group_there);
		ek_vrrp_socket_free(peer_there);
	}
}

/* A sender of its own, so that headers can be as no advert's should be. */
static void send_from_there(struct lab *lab, int level, int option, const void *value,
			    socklen_t size)
{
	struct sockaddr_storage to;
	struct ek_ip here = ip(level == IPPROTO_IP ? "192.0.2.1" : "2001:db8::1");
	socklen_t length = ek_ip_sockaddr(&here, 0, &to);
	int fd;

	enter(lab->there);
	fd = socket(to.ss_family, SOCK_RAW | SOCK_CLOEXEC, 112);
	enter(lab->here);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, level, option, value, size), 0);
	assert_int_equal(sendto(fd, message, sizeof(message), 0, (struct sockaddr *)&to, length),
			 sizeof(message));
	close(fd);
}

static void test_strange_headers(void **state)
{
	static const uint8_t router_alert[4] = {0x94, 4, 0, 0};
	static const uint8_t padding[8] = {0, 0, 1, 4}; /* destination options: PadN */
	const int ttl = 254, hop_limit = 1;
	struct lab *lab = wired_lab_of(state);
	struct ek_vrrp_socket *v4 = open_socket(lab, false, AF_INET, true);
	struct ek_vrrp_socket *v6 = open_socket(lab, false, AF_INET6, true);
	const struct {
		const char *description;
		int level, option;
		const void *value;
		socklen_t size;
		uint8_t ttl;
	} rows[] = {
		{"IPv4 options", IPPROTO_IP, IP_OPTIONS, router_alert, sizeof(router_alert), 64},
		{"TTL of 254", IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl), 254},
		{"an IPv6 extension header", IPPROTO_IPV6, IPV6_DSTOPTS, padding, sizeof(padding),
		 64},
		{"hop limit of 1", IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hop_limit, sizeof(hop_limit),
		 1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ear *ear = &lab->ear_here;

		ear->n = 0;
		send_from_there(lab, rows[i].level, rows[i].option, rows[i].value, rows[i].size);
		await(lab, ear, 1, rows[i].description);
		if (ear->last.length != sizeof(message) ||
		    memcmp(ear->last.message, message, sizeof(message)) != 0)
			fail_msg("%s: not the message", rows[i].description);
		if (ear->last.ttl != rows[i].ttl)
			fail_msg("%s: TTL of %u", rows[i].description, ear->last.ttl);
	}
	ek_vrrp_socket_free(v4);
	ek_vrrp_socket_free(v6);
}

static void test_a_crowd_is_heard_whole(void **state)
{
	enum { CROWD = 100 }; /* more than one turn reads */
	const struct ek_ip group = ek_vrrp_group(AF_INET);
	struct lab *lab = wired_lab_of(state);
	struct ek_vrrp_socket *here = open_socket(lab, false, AF_INET, false);
	struct ek_vrrp_socket *there = open_socket(lab, true, AF_INET, false);

	for (int i = 0; i < CROWD; i++)
		assert_int_equal(ek_vrrp_socket_send(here, message, 8 + 8 * (i % 3), NULL, &group),
				 0);
	await(lab, &lab->ear_there, CROWD, "a crowd");
	assert_int_equal(lab->ear_there.last.length, 8);
	ek_vrrp_socket_free(here);
	ek_vrrp_socket_free(there);
}

static void test_no_source(void **state)
{
	const struct ek_ip group4 = ek_vrrp_group(AF_INET), group6 = ek_vrrp_group(AF_INET6);
	const struct ek_ip nowhere = ip("198.51.100.1"), peer = ip("192.0.2.2"),
			   foreign = ip("192.0.2.77");
	struct lab *lab = wired_lab_of(state);
	struct ek_vrrp_socket *v4 = open_socket(lab, false, AF_INET, false);
	struct ek_vrrp_socket *v6 = open_socket(lab, false, AF_INET6, false);
	struct ek_vrrp_socket *unicast = open_socket(lab, false, AF_INET, true);
	struct ek_ip source = ip("203.0.113.1");

	assert_int_equal(ek_vrrp_socket_source(unicast, &nowhere, &source), -ENETUNREACH);
	assert_true(ek_vrrp_socket_send(unicast, message, sizeof(message), &foreign, &peer) < 0);
	run("ip addr flush dev e0 scope link");
	assert_int_equal(ek_vrrp_socket_source(v6, &group6, &source), -EADDRNOTAVAIL);
	run("ip addr flush dev e0");
	assert_int_equal(ek_vrrp_socket_source(v4, &group4, &source), -EADDRNOTAVAIL);
	assert_true(ek_vrrp_socket_source(v6, &group6, &source) < 0);
	assert_ip("untouched on failure", &source, "203.0.113.1");
	assert_int_equal(ek_vrrp_socket_source(v4, &group6, &source), -EINVAL);
	assert_int_equal(ek_vrrp_socket_send(v4, message, sizeof(message), NULL, &group6), -EINVAL);
	assert_int_equal(ek_vrrp_socket_send(v4, message, sizeof(message), &group6, &group4),
			 -EINVAL);
	ek_vrrp_socket_free(v4);
	ek_vrrp_socket_free(v6);
	ek_vrrp_socket_free(unicast);
}

static void test_no_interface(void **state)
{
	struct ek_error error = {0};
	struct lab *lab = lab_of(state);

	assert_null(
		ek_vrrp_socket_new(lab->base, "nosuch0", AF_INET, false, listen_to, NULL, &error));
	assert_string_equal(error.text,
			    "nosuch0: cannot open an IPv4 socket for VRRP: No such device");
	assert_null(ek_vrrp_socket_new(lab->base, "a-name-that-is-too-long", AF_INET6, false,
				       listen_to, NULL, &error));
	assert_string_equal(
		error.text,
		"a-name-that-is-too-long: cannot open an IPv6 socket for VRRP: No such device");
	ek_vrrp_socket_free(NULL);
}

/* --- announcements --------------------------------------------------------------------------- */

static struct ek_announcer *new_announcer(const struct ek_ip *vips, size_t n, bool virtual_mac)
{
	const struct ek_announcer_options options = {.interface = "e0",
						     .ifindex = if_nametoindex("e0"),
						     .vips = vips,
						     .n_vips = n,
						     .virtual_mac = virtual_mac,
						     .vrid = 7};
	struct ek_error error = {0};
	struct ek_announcer *a = ek_announcer_new(&options, &error);

	if (!a)
		fail_msg("%s", error.text);
	return a;
}

/* How many sockets and addresses of ours have e0 in a solicited-node group; 0 = it is not in it. */
static int group_users(const char *group)
{
	char line[128], name[IFNAMSIZ], address[33];
	FILE *file = fopen("/proc/net/igmp6", "r");
	int index, users, found = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%d %15s %32s %d", &index, name, address, &users) == 4 &&
		    !strcmp(name, "e0") && !strcmp(address, group))
			found = users;
	fclose(file);
	return found;
}

#define GROUP(last) "ff0200000000000000000001ff" last

static void test_groups(void **state)
{
	const struct ek_ip vips[] = {ip("192.0.2.10"), ip("2001:db8::12:3456"),
				     ip("2001:db8:5::12:3456"), ip("2001:db8::ab:cdef")};
	struct ek_announcer *a, *b;

	lab_of(state);
	assert_int_equal(group_users(GROUP("123456")), 0);
	a = new_announcer(vips, 4, false);
	assert_int_equal(group_users(GROUP("123456")), 1);
	assert_int_equal(group_users(GROUP("abcdef")), 1);
	b = new_announcer(vips, 2, false);
	ek_announcer_free(a);
	assert_int_equal(group_users(GROUP("123456")), 1);
	assert_int_equal(group_users(GROUP("abcdef")), 0);
	ek_announcer_free(b);
	assert_int_equal(group_users(GROUP("123456")), 0);
	ek_announcer_free(NULL);
}

static void test_as_many_groups_as_vips(void **state)
{
	struct ek_ip vips[EK_INSTANCE_VIPS_MAX];
	struct ek_announcer *a;

	lab_of(state);
	for (int i = 0; i < EK_INSTANCE_VIPS_MAX; i++) {
		vips[i] = ip("2001:db8::aa:0");
		vips[i].bytes[15] = i;
	}
	a = new_announcer(vips, EK_INSTANCE_VIPS_MAX, true);
	assert_int_equal(group_users(GROUP("aa0000")), 1);
	assert_int_equal(group_users(GROUP("aa003f")), 1);
	ek_announcer_free(a);
}

static bool is_announcement(const uint8_t *frame, size_t length)
{
	/* ARP; or a neighbour advertisement for one of the VIPs, not for the host's own address. */
	return (frame[12] == 0x08 && frame[13] == 0x06) ||
	       (length == 86 && frame[54] == 136 && frame[14 + 8 + 12] == 0xee);
}

static void assert_announced(struct lab *lab, const struct ek_ip *vip, const uint8_t mac[6])
{
	uint8_t wanted[EK_ANNOUNCE_FRAME_MAX], frame[256];
	size_t length = ek_announce_frame(vip, mac, wanted);

	assert_int_equal(capture(lab, is_announcement, frame, sizeof(frame)), length);
	assert_memory_equal(frame, wanted, length);
}

static void test_announcements(void **state)
{
	static const uint8_t own[6] = {2, 0, 0, 0, 0, 1};
	const struct ek_ip vips[] = {ip("192.0.2.10"), ip("2001:db8::ee00:1"), ip("192.0.2.11")};
	struct lab *lab = wired_lab_of(state);
	struct ek_announcer *a = new_announcer(vips, 3, false);
	uint8_t mac4[6], mac6[6];

	assert_int_equal(ek_announcer_send(a, own), 0);
	for (size_t i = 0; i < 3; i++)
		assert_announced(lab, &vips[i], own);
	ek_announcer_free(a);

	ek_announce_vmac(7, false, mac4);
	ek_announce_vmac(7, true, mac6);
	a = new_announcer(vips, 3, true);
	assert_int_equal(ek_announcer_send(a, NULL), 0);
	assert_announced(lab, &vips[0], mac4);
	assert_announced(lab, &vips[1], mac6);
	assert_announced(lab, &vips[2], mac4);

	run("ip link set e0 down");
	assert_int_equal(ek_announcer_send(a, NULL), -ENETDOWN);
	run("ip link set e0 up");
	assert_int_equal(ek_announcer_send(a, NULL), 0);
	ek_announcer_free(a);
}

static bool nic_accepts(const char *mac)
{
	char text[4096];

	return strstr(output("bridge fdb show dev e0", text, sizeof(text)), mac);
}

static void test_virtual_mac_in_the_filter(void **state)
{
	const struct ek_ip vips[] = {ip("192.0.2.10"), ip("2001:db8::10")};
	struct ek_announcer *a, *b;

	lab_of(state);
	a = new_announcer(vips, 2, false);
	assert_false(nic_accepts("00:00:5e:00"));
	ek_announcer_free(a);
	a = new_announcer(vips, 2, true);
	assert_true(nic_accepts("00:00:5e:00:01:07"));
	assert_true(nic_accepts("00:00:5e:00:02:07"));
	/* A reload: the next one is there before this one goes. */
	b = new_announcer(vips, 1, true);
	ek_announcer_free(a);
	assert_true(nic_accepts("00:00:5e:00:01:07"));
	assert_false(nic_accepts("00:00:5e:00:02:07"));
	ek_announcer_free(b);
	assert_false(nic_accepts("00:00:5e:00"));
}

static void test_announcer_without_interface(void **state)
{
	const struct ek_ip vip = ip("192.0.2.10");
	const struct ek_announcer_options options = {
		.interface = "gone0", .ifindex = 9999, .vips = &vip, .n_vips = 1};
	struct ek_error error = {0};

	lab_of(state);
	assert_null(ek_announcer_new(&options, &error));
	assert_string_equal(error.text, "gone0: cannot open a packet socket: No such device");
}

/* An interface that goes for good: one of that name that comes later wants new sockets. */
static void test_interface_removed(void **state)
{
	static const uint8_t own[6] = {2, 0, 0, 0, 0, 1};
	const struct ek_ip vips[] = {ip("192.0.2.10"), ip("2001:db8::10")};
	const struct ek_ip group4 = ek_vrrp_group(AF_INET), group6 = ek_vrrp_group(AF_INET6);
	struct lab *lab = lab_of(state);
	struct ek_announcer *a = new_announcer(vips, 2, true);
	struct ek_vrrp_socket *v4 = open_socket(lab, false, AF_INET, false);
	struct ek_vrrp_socket *v6 = open_socket(lab, false, AF_INET6, false);
	struct ek_ip source;

	run("ip link del e0");
	run("ip link add e0 type veth peer name e1");
	run("ip link set e0 up");
	run("ip addr add 192.0.2.1/24 dev e0");
	assert_int_equal(ek_announcer_send(a, own), -ENXIO);
	assert_int_equal(ek_vrrp_socket_send(v4, message, sizeof(message), NULL, &group4), -ENODEV);
	assert_int_equal(ek_vrrp_socket_send(v6, message, sizeof(message), NULL, &group6), -ENODEV);
	assert_int_equal(ek_vrrp_socket_source(v6, &group6, &source), -ENODEV);
	/* Nothing is left to be read for ever, either. */
	assert_int_equal(event_base_loop(lab->base, EVLOOP_NONBLOCK), 0);
	ek_announcer_free(a);
	ek_vrrp_socket_free(v4);
	ek_vrrp_socket_free(v6);
}

/* --- routes ---------------------------------------------------------------------------------- */

/* Every route of ours: "ADDRESS ADDRESS …", as ip(8) orders them. */
static const char *our_routes(char *out, size_t size)
{
	static const char *const commands[] = {"ip -j -d route show table main proto 107",
					       "ip -j -d -6 route show table main proto 107"};
	char text[32768];

	out[0] = '\0';
	for (size_t i = 0; i < 2; i++) {
		json_t *routes = json_loads(output(commands[i], text, sizeof(text)), 0, NULL),
		       *route;
		size_t j;

		json_array_foreach (routes, j, route) {
			const char *dst = json_string_value(json_object_get(route, "dst"));

			snprintf(out + strlen(out), size - strlen(out), "%s%s", *out ? " " : "",
				 dst);
		}
		json_decref(routes);
	}
	return out;
}

static void assert_routes(const char *wanted)
{
	char got[1024];

	assert_string_equal(our_routes(got, sizeof(got)), wanted);
}

static void assert_route(const char *command, const char *key, const char *wanted)
{
	char text[4096];
	json_t *routes = json_loads(output(command, text, sizeof(text)), 0, NULL);
	json_t *route = json_array_get(routes, 0);

	assert_int_equal(json_array_size(routes), 1);
	assert_string_equal(json_string_value(json_object_get(route, key)), wanted);
	json_decref(routes);
}

static void test_route_comes_and_goes(void **state)
{
	const struct ek_ip v4 = ip("203.0.113.10"), v6 = ip("2001:db8:5::10");

	lab_of(state);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(ek_announce_route(&v4, true), 0);
		assert_int_equal(ek_announce_route(&v6, true), 0);
		assert_routes("203.0.113.10 2001:db8:5::10");
	}
	assert_route("ip -j -d route show 203.0.113.10", "type", "unicast");
	assert_route("ip -j -d route show 203.0.113.10", "scope", "link");
	assert_route("ip -j -d route show 203.0.113.10", "dev", "lo");
	assert_route("ip -j -d -6 route show 2001:db8:5::10", "dev", "lo");
	for (int again = 0; again < 2; again++) {
		assert_int_equal(ek_announce_route(&v4, false), 0);
		assert_int_equal(ek_announce_route(&v6, false), 0);
		assert_routes("");
	}
}

/* What an administrator has put there stays, whatever is asked for. */
static void test_routes_of_others(void **state)
{
	const struct ek_ip vip = ip("203.0.113.10"), vip6 = ip("2001:db8:5::10");

	lab_of(state);
	run("ip route add 203.0.113.10 via 192.0.2.2");
	run("ip -6 route add 2001:db8:5::10 via 2001:db8::2");
	assert_int_equal(ek_announce_route(&vip, true), -EEXIST);
	assert_int_equal(ek_announce_route(&vip6, true), -EEXIST);
	assert_int_equal(ek_announce_route(&vip, false), 0);
	assert_int_equal(ek_announce_route(&vip6, false), 0);
	assert_int_equal(ek_announce_routes_flush(NULL, 0), 0);
	assert_route("ip -j -d route show 203.0.113.10", "gateway", "192.0.2.2");
	assert_route("ip -j -d -6 route show 2001:db8:5::10", "gateway", "2001:db8::2");
	/* Ours beside it, in another way: known as ours. */
	run("ip route add 203.0.113.10 dev lo metric 5 proto 107");
	assert_int_equal(ek_announce_route(&vip, true), 0);
	assert_int_equal(ek_announce_route(&vip, false), 0);
	assert_routes("");
	assert_route("ip -j -d route show 203.0.113.10", "gateway", "192.0.2.2");
}

static void test_flush(void **state)
{
	const struct ek_ip keep[] = {ip("203.0.113.11"), ip("2001:db8:5::11")};
	char address[32];

	lab_of(state);
	/* A namespace that never had a route has no table either. */
	assert_int_equal(ek_announce_routes_flush(keep, 2), 0);
	for (int i = 10; i < 90; i++) {
		struct ek_ip vip;

		snprintf(address, sizeof(address), "203.0.113.%d", i);
		vip = ip(address);
		assert_int_equal(ek_announce_route(&vip, true), 0);
		snprintf(address, sizeof(address), "2001:db8:5::%d", i);
		vip = ip(address);
		assert_int_equal(ek_announce_route(&vip, true), 0);
	}
	run("ip route add 203.0.113.200 dev lo table 99 proto 107");
	assert_int_equal(ek_announce_routes_flush(keep, 2), 0);
	assert_routes("203.0.113.11 2001:db8:5::11");
	assert_route("ip -j route show table 99", "dst", "203.0.113.200");
	assert_int_equal(ek_announce_routes_flush(NULL, 0), 0);
	assert_routes("");
}

static void test_route_without_lo(void **state)
{
	const struct ek_ip vip = ip("203.0.113.10");

	lab_of(state);
	run("ip link set lo down");
	assert_int_equal(ek_announce_route(&vip, true), -ENETDOWN);
	assert_int_equal(ek_announce_route(&vip, false), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_ways),
		TEST(test_header_on_the_wire),
		TEST(test_kinds_are_apart),
		TEST(test_strange_headers),
		TEST(test_a_crowd_is_heard_whole),
		TEST(test_no_source),
		TEST(test_no_interface),
		TEST(test_groups),
		TEST(test_as_many_groups_as_vips),
		TEST(test_announcements),
		TEST(test_virtual_mac_in_the_filter),
		TEST(test_announcer_without_interface),
		TEST(test_interface_removed),
		TEST(test_route_comes_and_goes),
		TEST(test_routes_of_others),
		TEST(test_flush),
		TEST(test_route_without_lo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
