/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See vip_host.h. The only caller is evenkeel-backend. Order of things: the file, then the
 * sysctls, then the addresses, so that no VIP is ever there without the silence around it;
 * undoing goes the other way.
 *
 * IPv6 needs no sysctl: Linux answers a neighbour solicitation only for addresses of the
 * interface that it came in by, never for those of lo.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <jansson.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include "ip.h"
#include "vip_host.h"

/*
 * The kernel takes the larger of "all" and the interface's own value. A larger value than ours
 * is a stricter one and is left alone.
 */
static const struct {
	bool all;
	const char *name;
	int value;
} sysctls[] = {
	{true, "arp_ignore", 1},   /* answer for addresses of the asked interface only */
	{true, "arp_announce", 2}, /* never name a VIP as the sender of an ARP request */
	{false, "arp_ignore", 1},
	{false, "arp_announce", 2},
};
#define N_SYSCTLS   (sizeof(sysctls) / sizeof(sysctls[0]))
#define UNCHANGED   (-1)
#define SYSCTL_MAX  80
#define REQUEST_MAX 256 /* a netlink message of ours */

struct ek_vip_host {
	char interface[IFNAMSIZ];
	char state[256];
	struct ek_ip addresses[EK_VIP_HOST_MAX]; /* ours, or about to be */
	size_t n_addresses;
	int before[N_SYSCTLS];
};

static bool contains(const struct ek_ip *list, size_t n, const struct ek_ip *ip)
{
	for (size_t i = 0; i < n; i++)
		if (ek_ip_equal(&list[i], ip))
			return true;
	return false;
}

/* --- sysctls --------------------------------------------------------------------------------- */

static const char *sysctl_name(const struct ek_vip_host *host, size_t i, char *out)
{
	snprintf(out, SYSCTL_MAX, "net/ipv4/conf/%s/%s", sysctls[i].all ? "all" : host->interface,
		 sysctls[i].name);
	return out;
}

static int sysctl_open(const struct ek_vip_host *host, size_t i, int flags)
{
	char name[SYSCTL_MAX], path[SYSCTL_MAX + 16];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/%s", sysctl_name(host, i, name));
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int sysctl_read(const struct ek_vip_host *host, size_t i)
{
	int fd = sysctl_open(host, i, O_RDONLY);
	char text[16] = "";
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n <= 0 ? -EIO : atoi(text);
}

static int sysctl_write(const struct ek_vip_host *host, size_t i, int value)
{
	int fd = sysctl_open(host, i, O_WRONLY);
	int err = fd < 0 ? fd : dprintf(fd, "%d\n", value) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

/* --- addresses on lo (rtnetlink(7)) ---------------------------------------------------------- */

static struct nlmsghdr *address_message(char *buffer, __u16 type, __u16 flags, int family)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct ifaddrmsg *address;

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	address = mnl_nlmsg_put_extra_header(message, sizeof(*address));
	address->ifa_family = family;
	address->ifa_index = if_nametoindex("lo");
	return message;
}

/* One request and its answer: 0, or the kernel's -errno. */
static int transact(struct nlmsghdr *message, mnl_cb_t callback, void *arg)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	alignas(struct nlmsghdr) char buffer[8192]; /* the size that libmnl asks for */
	int n, err = 0;

	if (!socket)
		return -errno;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		err = -errno;
	for (n = MNL_CB_OK; !err && n > MNL_CB_STOP;) {
		n = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (n >= 0)
			n = mnl_cb_run(buffer, n, message->nlmsg_seq, mnl_socket_get_portid(socket),
				       callback, arg);
		if (n < 0)
			err = -errno;
	}
	mnl_socket_close(socket);
	return err;
}

/*
 * Neither family's VIP is to become the source of the host's own connections: host scope keeps
 * the IPv4 one out of source selection, and an IPv6 address without preferred lifetime is the
 * last choice of RFC 6724.
 */
static int address_change(__u16 type, __u16 flags, const struct ek_ip *ip)
{
	struct ifa_cacheinfo lifetime = {.ifa_prefered = 0, .ifa_valid = UINT32_MAX};
	alignas(struct nlmsghdr) char buffer[REQUEST_MAX];
	struct nlmsghdr *message;
	struct ifaddrmsg *address;
	bool v4 = ek_ip_is_v4(ip);

	message = address_message(buffer, type, NLM_F_ACK | flags, ek_ip_family(ip));
	address = mnl_nlmsg_get_payload(message);
	address->ifa_prefixlen = v4 ? 32 : 128;
	address->ifa_scope = v4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
	mnl_attr_put(message, IFA_LOCAL, v4 ? 4 : 16, &ip->bytes[v4 ? 12 : 0]);
	mnl_attr_put(message, IFA_ADDRESS, v4 ? 4 : 16, &ip->bytes[v4 ? 12 : 0]);
	if (!v4) {
		mnl_attr_put_u32(message, IFA_FLAGS, IFA_F_NODAD);
		mnl_attr_put(message, IFA_CACHEINFO, sizeof(lifetime), &lifetime);
	}
	return transact(message, NULL, NULL);
}

struct address_search {
	struct ek_ip ip;
	bool found;
};

static int address_compare(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *address = mnl_nlmsg_get_payload(message);
	struct address_search *search = arg;
	bool v4 = address->ifa_family == AF_INET;
	const struct nlattr *attribute;

	if (address->ifa_index != if_nametoindex("lo") ||
	    address->ifa_family != ek_ip_family(&search->ip))
		return MNL_CB_OK;
	mnl_attr_for_each(attribute, message, sizeof(*address))
	{
		if (mnl_attr_get_type(attribute) == (v4 ? IFA_LOCAL : IFA_ADDRESS) &&
		    mnl_attr_get_payload_len(attribute) == (v4 ? 4 : 16) &&
		    !memcmp(mnl_attr_get_payload(attribute), &search->ip.bytes[v4 ? 12 : 0],
			    v4 ? 4 : 16))
			search->found = true;
	}
	return MNL_CB_OK;
}

/* 1 if lo has it, with whatever prefix length, 0 if not, or -errno. */
static int address_exists(const struct ek_ip *ip)
{
	struct address_search search = {.ip = *ip};
	alignas(struct nlmsghdr) char buffer[REQUEST_MAX];
	int err = transact(address_message(buffer, RTM_GETADDR, NLM_F_DUMP, ek_ip_family(ip)),
			   address_compare, &search);

	return err ? err : search.found;
}

/* --- the file -------------------------------------------------------------------------------- */

static json_t *journal_json(const struct ek_vip_host *host)
{
	json_t *addresses = json_array(), *before = json_object();
	char text[EK_IP_TEXT], name[SYSCTL_MAX];

	for (size_t i = 0; i < host->n_addresses; i++)
		json_array_append_new(addresses,
				      json_string(ek_ip_format(&host->addresses[i], text)));
	for (size_t i = 0; i < N_SYSCTLS; i++)
		if (host->before[i] != UNCHANGED)
			json_object_set_new(before, sysctl_name(host, i, name),
					    json_integer(host->before[i]));
	return json_pack("{s:o, s:o}", "addresses", addresses, "sysctls", before);
}

/* Replaces the file as a whole, readable by its owner only. */
static int journal_write(const struct ek_vip_host *host, struct ek_error *error)
{
	json_t *json = journal_json(host);
	char fresh[sizeof(host->state) + 4];
	int fd, err = json ? 0 : -ENOMEM;

	snprintf(fresh, sizeof(fresh), "%s.new", host->state);
	if (!err) {
		fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0 || json_dumpfd(json, fd, JSON_INDENT(2)) || rename(fresh, host->state))
			err = -errno;
		if (fd >= 0)
			close(fd);
	}
	json_decref(json);
	if (err)
		ek_error_set(error, "%s: cannot write what is to be undone: %s", host->state,
			     strerror(-err));
	return err;
}

static int journal_adopt(struct ek_vip_host *host, const json_t *json)
{
	const json_t *addresses = json_object_get(json, "addresses");
	const json_t *before = json_object_get(json, "sysctls");
	char name[SYSCTL_MAX];

	if (!json_is_array(addresses) || json_array_size(addresses) > EK_VIP_HOST_MAX ||
	    !json_is_object(before))
		return -EBADMSG;
	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const char *text = json_string_value(json_array_get(addresses, i));

		if (!text || ek_ip_parse(text, &host->addresses[host->n_addresses++]))
			return -EBADMSG;
	}
	for (size_t i = 0; i < N_SYSCTLS; i++) {
		const json_t *value = json_object_get(before, sysctl_name(host, i, name));

		if (json_is_integer(value))
			host->before[i] = json_integer_value(value);
	}
	return 0;
}

/* What a predecessor left. No file is no predecessor. */
static int journal_read(struct ek_vip_host *host, struct ek_error *error)
{
	json_error_t where;
	json_t *json;
	int err;

	if (access(host->state, F_OK) && errno == ENOENT)
		return 0;
	json = json_load_file(host->state, 0, &where);
	err = journal_adopt(host, json);
	json_decref(json);
	if (err)
		ek_error_set(error,
			     "%s: not readable as a state file; look at `ip address show lo`"
			     " for VIPs left behind, then remove the file",
			     host->state);
	return err;
}

/* --- doing and undoing ----------------------------------------------------------------------- */

/* Adds to host->addresses the VIPs that lo has not. */
static int plan_addresses(struct ek_vip_host *host, const struct ek_vip_host_options *options,
			  struct ek_error *error)
{
	for (size_t i = 0; i < options->n_vips; i++) {
		const struct ek_ip *vip = &options->vips[i];
		int exists;

		if (contains(host->addresses, host->n_addresses, vip))
			continue;
		exists = address_exists(vip);
		if (exists < 0) {
			ek_error_set(error, "lo: cannot list its addresses: %s", strerror(-exists));
			return exists;
		}
		if (!exists)
			host->addresses[host->n_addresses++] = *vip;
	}
	return 0;
}

/* Notes the values of the sysctls that are to be raised. */
static int plan_sysctls(struct ek_vip_host *host, const struct ek_vip_host_options *options,
			struct ek_error *error)
{
	bool v4 = false;

	for (size_t i = 0; i < options->n_vips; i++)
		v4 |= ek_ip_is_v4(&options->vips[i]);
	for (size_t i = 0; v4 && i < N_SYSCTLS; i++) {
		char name[SYSCTL_MAX];
		int now = sysctl_read(host, i);

		if (now < 0) {
			ek_error_set(error, "/proc/sys/%s: %s", sysctl_name(host, i, name),
				     strerror(-now));
			return now;
		}
		if (host->before[i] == UNCHANGED && now < sysctls[i].value)
			host->before[i] = now;
	}
	return 0;
}

static int apply(const struct ek_vip_host *host, struct ek_error *error)
{
	char text[SYSCTL_MAX];
	int err;

	for (size_t i = 0; i < N_SYSCTLS; i++) {
		err = host->before[i] == UNCHANGED ? 0 : sysctl_write(host, i, sysctls[i].value);
		if (err) {
			ek_error_set(error, "/proc/sys/%s: cannot write: %s%s",
				     sysctl_name(host, i, text), strerror(-err),
				     err == -EROFS ? " (in a container, set it from outside)" : "");
			return err;
		}
	}
	for (size_t i = 0; i < host->n_addresses; i++) {
		err = address_change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &host->addresses[i]);
		if (err && err != -EEXIST) {
			ek_error_set(error, "lo: cannot add %s: %s%s",
				     ek_ip_format(&host->addresses[i], text), strerror(-err),
				     err == -EACCES ? " (net.ipv6.conf.lo.disable_ipv6 is set?)"
						    : "");
			return err;
		}
	}
	return 0;
}

/* Removes the addresses that are ours and not in `keep`. An address that is gone is no error. */
static int remove_addresses(struct ek_vip_host *host, const struct ek_ip *keep, size_t n_keep,
			    struct ek_error *error)
{
	char text[EK_IP_TEXT];
	size_t left = 0;
	int first = 0;

	for (size_t i = 0; i < host->n_addresses; i++) {
		struct ek_ip ip = host->addresses[i];
		int err = contains(keep, n_keep, &ip) ? 1 : address_change(RTM_DELADDR, 0, &ip);

		if (err && err != -EADDRNOTAVAIL)
			host->addresses[left++] = ip;
		if (err >= 0 || err == -EADDRNOTAVAIL || first)
			continue;
		first = err;
		ek_error_set(error, "lo: cannot remove %s: %s", ek_ip_format(&ip, text),
			     strerror(-err));
	}
	host->n_addresses = left;
	return first;
}

/* A value that is no longer ours was set by somebody else since: it stays. */
static int restore_sysctls(const struct ek_vip_host *host, struct ek_error *error)
{
	char name[SYSCTL_MAX];
	int first = 0;

	for (size_t i = N_SYSCTLS; i-- > 0;) {
		int err = 0;

		if (host->before[i] != UNCHANGED && sysctl_read(host, i) == sysctls[i].value)
			err = sysctl_write(host, i, host->before[i]);
		if (!err || first)
			continue;
		first = err;
		ek_error_set(error, "/proc/sys/%s: cannot write: %s", sysctl_name(host, i, name),
			     strerror(-err));
	}
	return first;
}

static int take(struct ek_vip_host *host, const struct ek_vip_host_options *options,
		struct ek_error *error)
{
	bool adopted = host->n_addresses;
	int err = remove_addresses(host, options->vips, options->n_vips, error);

	if (!err)
		err = plan_addresses(host, options, error);
	if (!err)
		err = plan_sysctls(host, options, error);
	if (!err && (adopted || options->n_vips))
		err = journal_write(host, error);
	return err ? err : apply(host, error);
}

/* Unlike the inode of a namespace, its cookie is never used again. 0 or -errno. */
static int netns_cookie(uint64_t *cookie)
{
	socklen_t size = sizeof(*cookie);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &size) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

static int host_init(struct ek_vip_host *host, const struct ek_vip_host_options *options,
		     struct ek_error *error)
{
	uint64_t cookie;
	int err = netns_cookie(&cookie);
	size_t length;

	snprintf(host->interface, sizeof(host->interface), "%s", options->interface);
	for (size_t i = 0; i < N_SYSCTLS; i++)
		host->before[i] = UNCHANGED;
	if (!err && mkdir(options->state_dir, 0755) && errno != EEXIST)
		err = -errno;
	if (!err) {
		length =
			snprintf(host->state, sizeof(host->state), "%s/backend-%s-%" PRIu64 ".json",
				 options->state_dir, options->interface, cookie);
		err = length < sizeof(host->state) ? 0 : -ENAMETOOLONG;
	}
	if (err)
		ek_error_set(error, "%s: %s", options->state_dir, strerror(-err));
	return err;
}

struct ek_vip_host *ek_vip_host_prepare(const struct ek_vip_host_options *options,
					struct ek_error *error)
{
	struct ek_vip_host *host = calloc(1, sizeof(*host));
	struct ek_error ignored;
	int err;

	if (!host) {
		ek_error_set(error, "%m");
		return NULL;
	}
	err = host_init(host, options, error);
	if (!err)
		err = journal_read(host, error);
	if (err) {
		ek_vip_host_free(host);
	} else {
		err = take(host, options, error);
		if (err)
			ek_vip_host_restore(host, &ignored);
	}
	errno = -err;
	return err ? NULL : host;
}

int ek_vip_host_restore(struct ek_vip_host *host, struct ek_error *error)
{
	struct ek_error later;
	int err = remove_addresses(host, NULL, 0, error);
	int more = restore_sysctls(host, err ? &later : error);

	if (!err)
		err = more;
	if (!err && unlink(host->state) && errno != ENOENT) {
		err = -errno;
		ek_error_set(error, "%s: %m", host->state);
	}
	ek_vip_host_free(host);
	return err;
}

void ek_vip_host_free(struct ek_vip_host *host)
{
	free(host);
}
