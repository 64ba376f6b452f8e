/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One loaded balancer with its maps filled by hand, as include/evenkeel/abi.h says: what a
 * scenario of the benchmark starts from. It is never attached; BPF_PROG_TEST_RUN calls it.
 */
#ifndef EVENKEEL_BENCH_LAB_H
#define EVENKEEL_BENCH_LAB_H

#include <stddef.h>
#include <stdint.h>
#include <bpf/libbpf.h>
#include <evenkeel/flow_table.h>
#include <evenkeel/ring.h>

#define LAB_PORT     80
#define LAB_BACKENDS 16 /* per service */

/* A service for each family and protocol, so that every kind of packet has one. */
enum lab_service { LAB_TCP4, LAB_UDP4, LAB_TCP6, LAB_UDP6, LAB_SERVICES };

#define LAB_ROWS (1 + LAB_SERVICES * LAB_BACKENDS) /* of one CPU in `backends`; row 0 is nobody */

struct lab {
	struct balancer *skeleton; /* NULL when the object came from a file */
	struct bpf_object *object;
	int program;
	int cpus;
	uint32_t flows;
	struct ek_hash_key key;
	struct ek_service
		*service[LAB_SERVICES]; /* this and the following lie in the mapped maps */
	struct ek_ring *ring[LAB_SERVICES];
	struct ek_backend *backends;
};

extern const struct ek_ip lab_vip4, lab_vip6, lab_source4, lab_source6;
extern const uint64_t lab_mac, lab_nexthop_mac;

/* The address of one of a service's backends, i counting from 0. */
struct ek_ip lab_backend(enum lab_service id, int i);

/*
 * Loads `file`, or this build's balancer when it is NULL, with room for `flows` tracked connections
 * (a power of two) and with nothing changed in any ring.
 */
int lab_open(struct lab *lab, const char *file, uint32_t flows);
void lab_close(struct lab *lab);

/* How many packets have been forwarded, and how many dropped, since it was loaded. */
uint64_t lab_forwarded(const struct lab *lab);
uint64_t lab_dropped(const struct lab *lab);

/* Kernel memory, in bytes, of what so many services of LAB_BACKENDS backends need. */
long lab_memory_of_services(const struct lab *lab, int services);
/* And of the connection table and its cold twin, for each connection that has room in it. */
double lab_memory_of_flow(const struct lab *lab);

#endif
