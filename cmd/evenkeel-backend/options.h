/* SPDX-License-Identifier: GPL-2.0-only */
/* The command line of evenkeel-backend, checked as a whole before anything is done. */
#ifndef EVENKEEL_BACKEND_OPTIONS_H
#define EVENKEEL_BACKEND_OPTIONS_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <evenkeel/backend_abi.h>
#include "config.h"
#include "dscp_map.h"

struct prefix {
	struct ek_ip network;
	unsigned int length;
};

struct options {
	char interface[IFNAMSIZ];
	enum ek_xdp_mode mode;
	const char *state_dir;
	struct ek_ip vips[EK_DECAP_VIPS_MAX]; /* those of `dscp` among them */
	size_t n_vips;
	struct prefix allow[EK_DECAP_ALLOW_MAX];
	size_t n_allow;
	in_port_t gue_port; /* 0: no GUE */
	struct ek_dscp_map dscp;
	bool restores; /* `dscp` is not empty */
	bool verbose;
};

enum options_verdict { OPTIONS_RUN, OPTIONS_STATUS, OPTIONS_ADVICE, OPTIONS_DONE, OPTIONS_ERROR };

/* STATUS: of `interface`, or of all if it is "". DONE: it was --help or --version. ERROR: `error`
 * says what is wrong with which option. */
enum options_verdict options_parse(struct options *options, int argc, char **argv,
				   struct ek_error *error);

#endif
