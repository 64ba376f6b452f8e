/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The wildcard rules of all services, by prefix: what the data plane's longest-prefix match has to
 * find. Pure. plan.c builds them to see whether they fit, datapath_apply.c to publish them.
 */
#ifndef EVENKEEL_WILDCARDS_H
#define EVENKEEL_WILDCARDS_H

#include <stddef.h>
#include <stdint.h>
#include <evenkeel/abi.h>
#include "error.h"

/* Prefixes; one less than the map has room for, so that a node can always be replaced. */
#define EK_WILDCARDS_MAX (EK_SERVICES_MAX - 1)

struct ek_wildcards_node {
	struct ek_wildcard_key key;
	struct ek_wildcard value;
};

struct ek_wildcards {
	struct ek_wildcards_node *nodes; /* no two of one key */
	size_t n;
};

/*
 * One node for each prefix among the entries (EK_SERVICE_WILD), with its own rules, narrow ones
 * first, and then those of the prefixes that cover it, from the longest on. A rule that an earlier
 * one leaves nothing to is left out. slots[i] is where entries[i] stands in the service table;
 * NULL: rules name the entry by its index. Of two entries with the same addresses, ports and
 * protocol the first has them.
 *
 * 0, -ENOMEM, -ENOSPC (too many prefixes, or rules for one), or -EINVAL (an IPv6 prefix among
 * whose addresses are those of IPv4), the latter two with `error`.
 */
int ek_wildcards_build(const struct ek_service *entries, const uint16_t *slots, size_t n,
		       struct ek_wildcards *out, struct ek_error *error);
void ek_wildcards_free(struct ek_wildcards *wildcards);

#endif
