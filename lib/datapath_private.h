/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the two halves of the data plane's handle share: datapath.c opens, attaches and reads;
 * datapath_apply.c changes. Nobody else includes this.
 */
#ifndef EVENKEEL_DATAPATH_PRIVATE_H
#define EVENKEEL_DATAPATH_PRIVATE_H

#include <evenkeel/flow_table.h>
#include "datapath.h"
#include "sweep.h"

#define PIN_PATH 160

struct ek_datapath_ring_handle {
	int fd;
	struct ek_ring *ring; /* NULL: no such service */
};

/* A service as it is planned. */
struct ek_datapath_service {
	struct ek_service *entries; /* as in struct ek_state_service */
	size_t n;
};

/* By which lease a VIP is announced, for when its entry is published. */
struct ek_datapath_vip_lease {
	struct ek_ip vip;
	uint8_t lease;
};

struct ek_datapath {
	char pin_dir[PIN_PATH];
	uint32_t limit, cpus, buckets;
	struct ek_clock clock;
	struct ek_hash_key key;
	bool adopted;
	struct balancer *maps; /* a skeleton that holds the maps and no program */
	struct ek_service_table *services;
	struct ek_backend *backends;
	struct ek_port *ports;
	struct ek_flow_bucket *flows;
	struct ek_flow_keys *flow_keys;
	struct ek_lease *leases;
	struct ek_news *news; /* [cpu] */
	uint64_t *news_read;  /* [cpu]: records read so far */
	struct ek_datapath_ring_handle rings[EK_SERVICES_MAX];
	struct ek_datapath_service planned[EK_SERVICES_MAX]; /* for the sweep, among others */
	bool patient[EK_SERVICES_MAX]; /* published with a follower's timeouts */
	struct ek_datapath_vip_lease vip_leases[EK_SERVICES_MAX];
	size_t n_vip_leases;
	struct ek_sweep sweep;
	void (*pulse)(void *arg);
	void *pulse_arg;
};

/* Writes all entries of a service as they are planned, with what role and sweep add to them. */
int ek_datapath_publish(struct ek_datapath *dp, uint16_t id);
void ek_datapath_ring_close(struct ek_datapath_ring_handle *handle);

#endif
