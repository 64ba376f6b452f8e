/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data plane as the controller sees it: the pinned maps and the programs attached to
 * interfaces. With attach.c, the only user of libbpf and libxdp.
 *
 * Everything lives under a pin directory of a bpffs and goes on without the controller:
 *     meta services rings backends ports egress leases drops   maps, see bpf/maps.h
 *     ring-<id>                                         the ring of each service
 *     link-<interface>                                  attachments that no dispatcher holds
 * Opening adopts what is pinned there if it was made by the same ABI, limits and key.
 */
#ifndef EVENKEEL_DATAPATH_H
#define EVENKEEL_DATAPATH_H

#include <stdbool.h>
#include <stdint.h>
#include "config.h"
#include "plan.h"
#include "sweep.h"
#include "ticks.h"

struct ek_datapath;
struct ek_attachment;

struct ek_datapath_options {
	const char *pin_dir;
	uint32_t backends_limit;
	uint32_t flows_limit; /* entries of the connection table, a power of two */
	const struct ek_hash_key *key;
};

struct ek_counters {
	uint64_t packets, bytes;
	uint64_t unstored; /* new flows it got as an origin because they could not be stored */
};

/* 0 or -errno with `error` saying what to do. */
int ek_datapath_open(struct ek_datapath **out, const struct ek_datapath_options *options,
		     struct ek_error *error);
/* Forgets the handles; programs and pins stay. */
void ek_datapath_close(struct ek_datapath *dp);
/* Detaches every interface and removes every pin below `pin_dir`. Needs no open handle. */
int ek_datapath_remove(const char *pin_dir, struct ek_error *error);

bool ek_datapath_adopted(const struct ek_datapath *dp);
/* One step of the sweep (sweep.h); true when it finished a pass. */
bool ek_datapath_sweep(struct ek_datapath *dp, uint32_t buckets);
const struct ek_sweep *ek_datapath_swept(const struct ek_datapath *dp);
/* How many answers the data plane may make itself. */
void ek_datapath_set_rates(struct ek_datapath *dp, const struct ek_config_icmp *icmp);
/* Whether the service holds its share of the connection table and may store nothing more. */
void ek_datapath_limit_service(struct ek_datapath *dp, uint16_t id, bool over);

/* The memory that the data plane works on, for those who look. */
struct ek_flow_bucket *ek_datapath_flows(const struct ek_datapath *dp);
struct ek_flow_keys *ek_datapath_flow_keys(const struct ek_datapath *dp);
struct ek_lease *ek_datapath_leases(const struct ek_datapath *dp); /* [EK_LEASES_MAX] */
uint32_t ek_datapath_buckets(const struct ek_datapath *dp);
const struct ek_hash_key *ek_datapath_key(const struct ek_datapath *dp);
/* A digest that tells two keys apart and says nothing of either. */
uint32_t ek_datapath_key_check(const struct ek_datapath *dp);
struct ek_backend ek_datapath_backend_row(const struct ek_datapath *dp, uint16_t index);
const struct ek_service_table *ek_datapath_services(const struct ek_datapath *dp);
/* The wildcard rules for an address: false if there are none. */
bool ek_datapath_wildcard(const struct ek_datapath *dp, const struct ek_ip *vip,
			  struct ek_wildcard *out);
struct ek_port ek_datapath_port_row(const struct ek_datapath *dp, uint8_t port);

struct ek_clock ek_datapath_clock(const struct ek_datapath *dp);
int ek_datapath_tick(const struct ek_datapath *dp, uint32_t *tick);
/* What the maps hold, for a controller that starts on a running data plane. */
int ek_datapath_snapshot(struct ek_datapath *dp, struct ek_state *state, struct ek_error *error);

/*
 * Carries out a plan in its order. A failure stops it: what was done stays (each operation
 * leaves a working data plane) and `plan->n` is cut to what was.
 */
int ek_datapath_apply(struct ek_datapath *dp, struct ek_plan *plan, struct ek_error *error);
/*
 * Called after each operation, of which a few take long (a ring is 2 ms, a new service on Linux 6.1
 * up to 18): for what cannot wait, such as heartbeats. It applies no plan itself.
 */
void ek_datapath_on_pulse(struct ek_datapath *dp, void (*pulse)(void *arg), void *arg);

/*
 * Port number of an interface, or of a VLAN on it: the one it already has, or a free one. -ENOSPC
 * when none is.
 */
int ek_datapath_port(struct ek_datapath *dp, int ifindex, const __be16 tags[2]);
/* Gives up attachments and ports of interfaces that went away, or left the file, meanwhile. */
void ek_datapath_keep_ports(struct ek_datapath *dp, const struct ek_config *config);
/*
 * By which lease a VIP is announced from now on; EK_LEASE_NONE: by none. It holds whether or not
 * the VIP has a service yet. A VIP that it was never called for keeps the lease that an adopted
 * data plane had for it.
 */
void ek_datapath_set_lease(struct ek_datapath *dp, const struct ek_ip *vip, uint8_t lease);
/* Publishes or (mac48 = 0) withdraws what packets need to know about a port. */
int ek_datapath_port_set(struct ek_datapath *dp, uint8_t port, const struct ek_port *value);

/* See attach.h. */
int ek_datapath_attach(struct ek_datapath *dp, const char *interface, int ifindex, uint8_t port,
		       enum ek_xdp_mode mode, struct ek_attachment **out, struct ek_error *error);

struct ek_counters ek_datapath_backend_counters(const struct ek_datapath *dp, uint16_t index);
/* counts[EK_DROP_COUNT] */
int ek_datapath_drops(const struct ek_datapath *dp, uint64_t *counts);
/* counts[EK_ANSWER_COUNT] */
int ek_datapath_answers(const struct ek_datapath *dp, uint64_t *counts);
const struct ek_ring *ek_datapath_ring(const struct ek_datapath *dp, uint16_t id);

#endif
