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
	struct ek_datapath_ring_handle rings[EK_SERVICES_MAX];
	struct ek_service entries[EK_SERVICES_MAX]; /* as published, for the sweep */
	struct ek_sweep sweep;
};

void ek_datapath_ring_close(struct ek_datapath_ring_handle *handle);

#endif
