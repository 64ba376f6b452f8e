/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which VIP a DSCP (RFC 2474) names on a backend in L3DSR: one of each family for each of the
 * code points 1 to 63. Said in words of a command line, or in a small YAML file:
 *
 *	dscp:
 *	  12: 192.0.2.20
 *	  13: [192.0.2.21, 2001:db8::21]
 *
 * Used by evenkeel-backend. No input or output here.
 */
#ifndef EVENKEEL_DSCP_MAP_H
#define EVENKEEL_DSCP_MAP_H

#include <stddef.h>
#include <evenkeel/hash.h>
#include "error.h"

#define EK_DSCPS	 64u	 /* 0 never names a VIP */
#define EK_DSCP_FILE_MAX 65536ul /* bytes; a full map takes a tenth */

/* By code point; zero (ek_ip_is_zero) where there is none. All zero is the empty map. */
struct ek_dscp_map {
	struct ek_ip vip4[EK_DSCPS];
	struct ek_ip vip6[EK_DSCPS];
};

/* "ID=VIP". 0, or -EINVAL with `error` and the map as it was. */
int ek_dscp_map_add(struct ek_dscp_map *map, const char *text, struct ek_error *error);
/* Adds what a file says. 0, or -EINVAL with errors; the map then has what had none. */
int ek_dscp_map_parse(struct ek_dscp_map *map, const char *text, size_t length,
		      struct ek_errors *errors);

#endif
