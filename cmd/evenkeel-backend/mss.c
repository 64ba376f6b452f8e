/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "ip.h"
#include "mss.h"

#define MTU_MIN	 576u /* below it nobody has a tunnel */
#define HEADERS4 40u  /* of the client's packet: IPv4 and TCP */
#define HEADERS6 60u

static const struct method {
	const char *name;
	unsigned int headers; /* bytes that the balancer adds */
	int family;	      /* of the outer packet; 0: there is none */
	bool gue;
} methods[] = {
	{"l2, tos", 0, 0, false},
	{"ipip over IPv4", 20, AF_INET, false},
	{"ipip over IPv6", 40, AF_INET6, false},
	{"gue over IPv4", 20 + 8 + 4, AF_INET, true},
	{"gue over IPv6", 40 + 8 + 4, AF_INET6, true},
};
#define N_METHODS (sizeof(methods) / sizeof(methods[0]))

/* Whether packets of this kind would be decapsulated. */
static bool is_accepted(const struct method *method, const struct options *options)
{
	if (method->gue && !options->gue_port)
		return false;
	for (size_t i = 0; i < options->n_allow; i++)
		if (method->family == ek_ip_family(&options->allow[i].network))
			return true;
	return !method->family || !options->n_allow;
}

/* The MTU, or -errno. */
static int interface_mtu(const char *name)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, name, IFNAMSIZ);
	if (ioctl(fd, SIOCGIFMTU, &request))
		err = -errno;
	close(fd);
	return err ? err : request.ifr_mtu;
}

int mss_print_advice(const struct options *options, FILE *out, struct ek_error *error)
{
	const char *name = options->interface;
	int mtu = interface_mtu(name);
	unsigned int most = 0;

	if (mtu < (int)MTU_MIN) {
		if (mtu < 0)
			ek_error_set(error, "%s: %s", name, strerror(-mtu));
		else
			ek_error_set(error, "%s: an MTU of %d is too small for a tunnel", name,
				     mtu);
		return mtu < 0 ? mtu : -ERANGE;
	}
	fprintf(out, "%s: MTU %d\n%-16s %14s %9s %9s\n", name, mtu, "FORWARD", "OUTER HEADERS",
		"IPV4 MSS", "IPV6 MSS");
	for (size_t i = 0; i < N_METHODS; i++) {
		const struct method *method = &methods[i];

		if (!is_accepted(method, options))
			continue;
		most = method->headers > most ? method->headers : most;
		fprintf(out, "%-16s %14u %9u %9u\n", method->name, method->headers,
			mtu - method->headers - HEADERS4, mtu - method->headers - HEADERS6);
	}
	fprintf(out,
		"For all of them, unless the network between carries more than %d bytes:\n"
		"  ip route change default via GATEWAY dev %s advmss %u\n"
		"  ip -6 route change default via GATEWAY dev %s advmss %u\n",
		mtu, name, mtu - most - HEADERS4, name, mtu - most - HEADERS6);
	return 0;
}
