/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Path MTUs of backends that routers have taught us (RFC 1191, RFC 8201): what one of them said of
 * a tunnel packet holds for ten minutes, then the path is tried again at its full width. Pure;
 * path_learn.c feeds it.
 *
 * The word of a router can be forged. It only ever makes a path narrower, and not below what every
 * IPv4 host or IPv6 link takes (RFC 8201, section 4; of IPv4, RFC 791 has 576).
 */
#ifndef EVENKEEL_PATH_MTU_H
#define EVENKEEL_PATH_MTU_H

#include <evenkeel/abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "sorted.h"

#define EK_PATH_MTU_MIN4    576u
#define EK_PATH_MTU_MIN6    1280u
#define EK_PATH_MTU_SECONDS 600 /* RFC 1191, section 6.3 */

struct ek_path_mtu {
	struct ek_sorted paths; /* by address */
};

void ek_path_mtu_init(struct ek_path_mtu *table);
void ek_path_mtu_free(struct ek_path_mtu *table);

/*
 * A router said that packets for `address` longer than `said` do not pass; 0: it did not say, and
 * the next plateau of RFC 1191, section 7.1, is tried. `width`: the path's MTU as the kernel has
 * it. `now`: seconds of a clock that does not jump. 1 if the path is narrower now than before, 0 if
 * that was no news, or -ENOMEM.
 */
int ek_path_mtu_learn(struct ek_path_mtu *table, const struct ek_ip *address, uint32_t said,
		      uint16_t width, time_t now);
/* The MTU of a path that is `width` wide: that, or what was learned if it is less. */
uint16_t ek_path_mtu_limit(const struct ek_path_mtu *table, const struct ek_ip *address,
			   uint16_t width);
/* Forgets what was learned too long ago; true if there was such. */
bool ek_path_mtu_expire(struct ek_path_mtu *table, time_t now);

#endif
