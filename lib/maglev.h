/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4), weighted.
 *
 * Each backend's preference list is a permutation of the ring's slots seeded by its address and
 * port alone (not the paper's arithmetic progression: see preference() in maglev.c), and backends
 * take turns in the order of their addresses: the same set gives the same table on every node,
 * whatever the order of the file.
 */
#ifndef EVENKEEL_MAGLEV_H
#define EVENKEEL_MAGLEV_H

#include <stddef.h>
#include <stdint.h>
#include <evenkeel/ring.h>

struct ek_maglev_member {
	struct ek_ip address;
	uint16_t port;	 /* host order */
	uint16_t index;	 /* what its slots will hold */
	uint32_t weight; /* 0 = takes no slot */
};

/*
 * Fills table[EK_RING_SIZE] with member indices, or with EK_BACKEND_NONE when nobody has weight.
 * 0, or -ENOMEM with the table untouched.
 */
int ek_maglev_build(const struct ek_maglev_member *members, size_t n, uint16_t *table);

#endif
