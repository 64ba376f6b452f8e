/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A backend host takes its VIPs: addresses on lo that nobody on the LAN hears of, and the
 * sysctls that keep ARP silent about them. Everything done is undone by ek_vip_host_restore().
 *
 * What there is to undo is written to <state_dir>/backend-<interface>-<netns>.json before it is
 * done, <netns> being the kernel's cookie of the network namespace (1 is the first). A process
 * that died without undoing it leaves the file, and the next one adopts it: it removes the
 * addresses that it does not want and owns the rest, with the sysctls' first values. An address
 * that was on lo before is used and never removed.
 */
#ifndef EVENKEEL_VIP_HOST_H
#define EVENKEEL_VIP_HOST_H

#include <stddef.h>
#include <evenkeel/hash.h>
#include "error.h"

#define EK_VIP_HOST_MAX 128

struct ek_vip_host;

struct ek_vip_host_options {
	const char *interface; /* where the VIPs' packets come in */
	const char *state_dir; /* must not survive a reboot; made if missing, its parent is not */
	const struct ek_ip *vips;
	size_t n_vips; /* at most EK_VIP_HOST_MAX */
};

/* In the caller's network namespace. All or nothing. NULL with errno and `error`. */
struct ek_vip_host *ek_vip_host_prepare(const struct ek_vip_host_options *options,
					struct ek_error *error);
/* Undoes it, as far as it can, and frees `host`. 0 or the first -errno, with `error`. */
int ek_vip_host_restore(struct ek_vip_host *host, struct ek_error *error);
/* Frees it and undoes nothing. */
void ek_vip_host_free(struct ek_vip_host *host);

#endif
