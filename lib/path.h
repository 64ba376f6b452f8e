/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether, and how, a service's method reaches a backend: judged from the kernel's next hop and the
 * interface that it leaves by. Pure; controller.c asks whenever it plans, and logs what changed.
 */
#ifndef EVENKEEL_PATH_H
#define EVENKEEL_PATH_H

#include "config.h"
#include "netlink.h"

struct ek_path_query {
	const struct ek_config_service *service;
	const struct ek_ip *address;  /* the backend's */
	bool own;		      /* it is one of this host's */
	const struct ek_nexthop *hop; /* NULL: not watched */
	const struct ek_link *egress; /* the hop's interface, or VLAN; NULL: gone */
	int port;		      /* of the hop's, or -1: it has none */
	int any_port;		      /* some port, for what stays here, or -1 */
};

struct ek_path {
	bool usable; /* packets can leave */
	bool local;  /* to this host's own stack */
	bool misfit; /* not usable, and not until somebody changes something: worth a log line */
	uint8_t port;
	uint8_t mac[6];
	uint16_t mtu;	/* 0: not known */
	char text[160]; /* through whom, or why not, for people */
};

void ek_path_judge(const struct ek_path_query *query, struct ek_path *out);

/*
 * Whether full-size packets of an interface do not fit once the service's method has added its
 * headers. Then `out` says so, about the backend `name`.
 */
bool ek_path_is_narrow(const struct ek_config_service *service, const char *name,
		       const struct ek_ip *address, unsigned int path_mtu, unsigned int link_mtu,
		       char *out, size_t size);

#endif
