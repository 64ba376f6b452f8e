/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See vrrp_socket.h. A raw IPv4 socket delivers the IP header, a raw IPv6 socket does not: there,
 * destination and hop limit come as control messages (RFC 3542). The kernel computes an IPv6
 * checksum by itself for ICMPv6 only, so the message goes out as it was given.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <event2/event.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include "ip.h"
#include "vrrp.h"
#include "vrrp_socket.h"

#define MESSAGES_PER_TURN 64
#define PACKET_MAX	  65536 /* nothing is ever cut off */
#define CONTROL_MAX	  256
#define ANY_PORT	  9 /* connect() wants one and sends nothing */

struct ek_vrrp_socket {
	int fd;
	int family;
	int ifindex; /* 0: unicast */
	char interface[IFNAMSIZ];
	bool unicast;
	struct event *readable;
	ek_vrrp_socket_message on_message;
	void *arg;
};

struct packet {
	const uint8_t *message;
	size_t length;
	uint8_t ttl;
	struct ek_ip source, destination;
	int ifindex;
};

struct ek_ip ek_vrrp_group(int family)
{
	if (family == AF_INET)
		return ek_ip_from4(htonl(INADDR_UNSPEC_GROUP | 18));
	return (struct ek_ip){.bytes = {0xff, 0x02, [15] = 0x12}};
}

/* --- options --------------------------------------------------------------------------------- */

struct option {
	int level, name, value;
};

static const struct option options4[] = {
	{IPPROTO_IP, IP_TTL, EK_VRRP_TTL},
	{IPPROTO_IP, IP_MULTICAST_TTL, EK_VRRP_TTL},
	{IPPROTO_IP, IP_MULTICAST_LOOP, 0},
	{IPPROTO_IP, IP_PKTINFO, 1},
	{IPPROTO_IP, IP_TOS, IPTOS_CLASS_CS6},
	/* After IP_TOS, which sets a priority of its own. */
	{SOL_SOCKET, SO_PRIORITY, TC_PRIO_CONTROL},
};

static const struct option options6[] = {
	{IPPROTO_IPV6, IPV6_UNICAST_HOPS, EK_VRRP_TTL},
	{IPPROTO_IPV6, IPV6_MULTICAST_HOPS, EK_VRRP_TTL},
	{IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0},
	{IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1},
	{IPPROTO_IPV6, IPV6_RECVPKTINFO, 1},
	{IPPROTO_IPV6, IPV6_TCLASS, IPTOS_CLASS_CS6},
	{SOL_SOCKET, SO_PRIORITY, TC_PRIO_CONTROL},
};

static int set_options(int fd, const struct option *options, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			       sizeof(options[i].value)) < 0)
			return -errno;
	return 0;
}

static int bind_to_interface(int fd, int ifindex)
{
	return setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, sizeof(ifindex)) < 0 ? -errno
											   : 0;
}

static int join4(const struct ek_vrrp_socket *s)
{
	const struct ek_ip group = ek_vrrp_group(AF_INET);
	const struct ip_mreqn membership = {.imr_multiaddr.s_addr = group.words[3],
					    .imr_ifindex = s->ifindex};

	if (setsockopt(s->fd, IPPROTO_IP, IP_MULTICAST_IF, &membership, sizeof(membership)) < 0 ||
	    setsockopt(s->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof(membership)) < 0)
		return -errno;
	return 0;
}

static int join6(const struct ek_vrrp_socket *s)
{
	const struct ek_ip group = ek_vrrp_group(AF_INET6);
	struct ipv6_mreq membership = {.ipv6mr_interface = s->ifindex};

	memcpy(&membership.ipv6mr_multiaddr, &group, sizeof(group));
	if (setsockopt(s->fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &s->ifindex, sizeof(s->ifindex)) <
		    0 ||
	    setsockopt(s->fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &membership, sizeof(membership)) < 0)
		return -errno;
	return 0;
}

static int prepare(const struct ek_vrrp_socket *s)
{
	int status = s->family == AF_INET
			     ? set_options(s->fd, options4, sizeof(options4) / sizeof(options4[0]))
			     : set_options(s->fd, options6, sizeof(options6) / sizeof(options6[0]));

	if (status || s->unicast)
		return status;
	status = bind_to_interface(s->fd, s->ifindex);
	if (status)
		return status;
	return s->family == AF_INET ? join4(s) : join6(s);
}

/* --- receiving ------------------------------------------------------------------------------- */

/* The value of a control message, or NULL. */
static const void *control(struct msghdr *header, int level, int type, size_t size)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
		if (c->cmsg_level == level && c->cmsg_type == type && c->cmsg_len >= CMSG_LEN(size))
			return CMSG_DATA(c);
	return NULL;
}

/* Addresses and TTL from the IP header that the kernel leaves in front of the message. */
static bool dissect4(struct msghdr *header, size_t length, struct packet *out)
{
	const uint8_t *bytes = header->msg_iov->iov_base;
	const struct in_pktinfo *info = control(header, IPPROTO_IP, IP_PKTINFO, sizeof(*info));
	size_t header_length, total;
	struct iphdr ip;

	if (!info || length < sizeof(ip))
		return false;
	memcpy(&ip, bytes, sizeof(ip));
	header_length = ip.ihl * 4u;
	total = ntohs(ip.tot_len);
	if (ip.version != 4 || header_length < sizeof(ip) || total < header_length ||
	    total > length)
		return false;
	out->message = bytes + header_length;
	out->length = total - header_length;
	out->ttl = ip.ttl;
	out->source = ek_ip_from4(ip.saddr);
	out->destination = ek_ip_from4(ip.daddr);
	out->ifindex = info->ipi_ifindex;
	return true;
}

static bool dissect6(struct msghdr *header, size_t length, struct packet *out)
{
	const struct in6_pktinfo *info = control(header, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(*info));
	const struct sockaddr_in6 *from = header->msg_name;
	const void *limit = control(header, IPPROTO_IPV6, IPV6_HOPLIMIT, sizeof(int));
	int hop_limit;

	if (!info || !limit || header->msg_namelen < sizeof(*from))
		return false;
	memcpy(&hop_limit, limit, sizeof(hop_limit));
	out->message = header->msg_iov->iov_base;
	out->length = length;
	out->ttl = hop_limit;
	memcpy(&out->source, &from->sin6_addr, sizeof(out->source));
	memcpy(&out->destination, &info->ipi6_addr, sizeof(out->destination));
	out->ifindex = info->ipi6_ifindex;
	return true;
}

/*
 * The kernel hands a multicast packet to unicast sockets too, and a unicast one to every socket on
 * its interface.
 */
static bool is_for(const struct ek_vrrp_socket *s, const struct ek_ip *destination)
{
	const struct ek_ip group = ek_vrrp_group(s->family);
	const char *unusable;

	if (!s->unicast)
		return ek_ip_equal(destination, &group);
	unusable = ek_ip_unusable(destination);
	return !unusable || strcmp(unusable, "multicast") != 0;
}

/* False when there is nothing more to read. */
static bool receive(struct ek_vrrp_socket *s)
{
	_Alignas(struct cmsghdr) char controls[CONTROL_MAX];
	struct sockaddr_storage from;
	uint8_t buffer[PACKET_MAX];
	struct iovec data = {.iov_base = buffer, .iov_len = sizeof(buffer)};
	struct msghdr header = {.msg_name = &from,
				.msg_namelen = sizeof(from),
				.msg_iov = &data,
				.msg_iovlen = 1,
				.msg_control = controls,
				.msg_controllen = sizeof(controls)};
	ssize_t length = recvmsg(s->fd, &header, 0);
	struct packet p;

	if (length < 0)
		return false;
	if (!(s->family == AF_INET ? dissect4 : dissect6)(&header, length, &p) ||
	    !is_for(s, &p.destination))
		return true;
	s->on_message(s->arg, s->family, p.message, p.length, p.ttl, &p.source, &p.destination,
		      p.ifindex);
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct ek_vrrp_socket *s = arg;

	(void)fd;
	(void)what;
	/* What is left makes the event fire again, after others had their turn. */
	for (int i = 0; i < MESSAGES_PER_TURN && receive(s); i++)
		;
}

/* --- sending --------------------------------------------------------------------------------- */

/* With the interface of a multicast socket, which a link-local address means nothing without. */
static socklen_t address_of(const struct ek_vrrp_socket *s, const struct ek_ip *ip, in_port_t port,
			    struct sockaddr_storage *out)
{
	socklen_t length = ek_ip_sockaddr(ip, port, out);

	if (out->ss_family == AF_INET6)
		((struct sockaddr_in6 *)out)->sin6_scope_id = s->ifindex;
	return length;
}

/* The control message that says where to send from. */
static void put_source(struct msghdr *header, const struct ek_vrrp_socket *s,
		       const struct ek_ip *source)
{
	const bool v4 = s->family == AF_INET;
	struct in_pktinfo info4 = {.ipi_spec_dst.s_addr = source->words[3]};
	struct in6_pktinfo info6 = {.ipi6_ifindex = s->ifindex};
	const size_t size = v4 ? sizeof(info4) : sizeof(info6);
	struct cmsghdr *c = header->msg_control;

	memcpy(&info6.ipi6_addr, source, sizeof(*source));
	c->cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
	c->cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), v4 ? (const void *)&info4 : (const void *)&info6, size);
	header->msg_controllen = CMSG_SPACE(size);
}

/* The families fail differently when the interface is gone; the caller is to know it. */
static int failure(const struct ek_vrrp_socket *s, int error)
{
	char name[IFNAMSIZ];

	return s->unicast || if_indextoname(s->ifindex, name) ? -error : -ENODEV;
}

int ek_vrrp_socket_send(struct ek_vrrp_socket *s, const uint8_t *message, size_t length,
			const struct ek_ip *source, const struct ek_ip *destination)
{
	_Alignas(struct cmsghdr) char controls[CONTROL_MAX] = {0};
	struct sockaddr_storage to;
	struct iovec data = {.iov_base = (void *)message, .iov_len = length};
	struct msghdr header = {.msg_name = &to, .msg_iov = &data, .msg_iovlen = 1};

	if (ek_ip_family(destination) != s->family || (source && ek_ip_family(source) != s->family))
		return -EINVAL;
	header.msg_namelen = address_of(s, destination, 0, &to);
	if (source) {
		header.msg_control = controls;
		put_source(&header, s, source);
	}
	return sendmsg(s->fd, &header, 0) < 0 ? failure(s, errno) : 0;
}

/* The first IPv4 address of the interface, which is the one that the kernel would choose. */
static int first_address(const struct ek_vrrp_socket *s, struct ek_ip *out)
{
	struct ifreq request = {0};
	struct sockaddr_in address;

	strcpy(request.ifr_name, s->interface);
	if (ioctl(s->fd, SIOCGIFADDR, &request) < 0)
		return -errno;
	memcpy(&address, &request.ifr_addr, sizeof(address));
	*out = ek_ip_from4(address.sin_addr.s_addr);
	return 0;
}

/* What a UDP socket would send from: connecting one asks the routing table and sends nothing. */
static int routed_address(const struct ek_vrrp_socket *s, int fd, const struct ek_ip *destination,
			  struct ek_ip *out)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(s, destination, ANY_PORT, &address);
	int status = s->unicast ? 0 : bind_to_interface(fd, s->ifindex);

	if (status)
		return status;
	if (connect(fd, (struct sockaddr *)&address, length) < 0)
		return failure(s, errno);
	length = sizeof(address);
	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -errno;
	if (s->family == AF_INET)
		*out = ek_ip_from4(((struct sockaddr_in *)&address)->sin_addr.s_addr);
	else
		memcpy(out, &((struct sockaddr_in6 *)&address)->sin6_addr, sizeof(*out));
	return 0;
}

int ek_vrrp_socket_source(const struct ek_vrrp_socket *s, const struct ek_ip *destination,
			  struct ek_ip *out)
{
	struct ek_ip address;
	int fd, status;

	if (ek_ip_family(destination) != s->family)
		return -EINVAL;
	if (s->family == AF_INET && !s->unicast)
		return first_address(s, out);
	fd = socket(s->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	status = routed_address(s, fd, destination, &address);
	close(fd);
	/* Section 5.1.2.2 wants a link-local one; it is not usable while it is being probed for. */
	if (!status && !s->unicast && !ek_ip_is_link_local(&address))
		status = -EADDRNOTAVAIL;
	if (!status)
		*out = address;
	return status;
}

/* --- life ------------------------------------------------------------------------------------ */

static int start(struct ek_vrrp_socket *s, struct event_base *base)
{
	int status;

	s->fd = socket(s->family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, EK_VRRP_PROTOCOL);
	if (s->fd < 0)
		return -errno;
	status = prepare(s);
	if (status)
		return status;
	s->readable = event_new(base, s->fd, EV_READ | EV_PERSIST, on_readable, s);
	if (!s->readable)
		return -ENOMEM;
	/* Before all others, if the base tells them apart. */
	if (event_priority_set(s->readable, 0) < 0 || event_add(s->readable, NULL) < 0)
		return -ENOMEM;
	return 0;
}

static int set_interface(struct ek_vrrp_socket *s, const char *interface)
{
	if (strlen(interface) >= sizeof(s->interface))
		return -ENODEV;
	strcpy(s->interface, interface);
	s->ifindex = if_nametoindex(interface);
	return s->ifindex ? 0 : -ENODEV;
}

struct ek_vrrp_socket *ek_vrrp_socket_new(struct event_base *base, const char *interface,
					  int family, bool unicast,
					  ek_vrrp_socket_message on_message, void *arg,
					  struct ek_error *error)
{
	struct ek_vrrp_socket *s = calloc(1, sizeof(*s));
	int status = s ? 0 : -ENOMEM;

	if (s) {
		s->fd = -1;
		s->family = family;
		s->unicast = unicast;
		s->on_message = on_message;
		s->arg = arg;
		status = unicast ? 0 : set_interface(s, interface);
	}
	if (!status)
		status = start(s, base);
	if (!status)
		return s;
	ek_error_set(error, "%s%scannot open an IPv%d socket for VRRP: %s",
		     unicast ? "" : interface, unicast ? "" : ": ", family == AF_INET ? 4 : 6,
		     strerror(-status));
	ek_vrrp_socket_free(s);
	return NULL;
}

void ek_vrrp_socket_free(struct ek_vrrp_socket *s)
{
	if (!s)
		return;
	if (s->readable)
		event_free(s->readable);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}
