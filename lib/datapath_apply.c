/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The changing half of datapath.h: rings, the operations of a plan, and the adoption of what is
 * pinned. Called by controller.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "datapath_private.h"
#include "balancer.skel.h"
#include "ip.h"
#include "ring.h"
#include "service_table.h"

/* --- rings ----------------------------------------------------------------------------------- */

static void ring_path(const struct ek_datapath *dp, uint32_t id, char *out)
{
	snprintf(out, PIN_PATH + 16, "%s/ring-%u", dp->pin_dir, id);
}

static int ring_bind(struct ek_datapath_ring_handle *handle, int fd)
{
	void *memory =
		mmap(NULL, sizeof(struct ek_ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	handle->fd = fd;
	handle->ring = memory;
	return 0;
}

void ek_datapath_ring_close(struct ek_datapath_ring_handle *handle)
{
	if (!handle->ring)
		return;
	munmap(handle->ring, sizeof(*handle->ring));
	close(handle->fd);
	*handle = (struct ek_datapath_ring_handle){.fd = -1};
}

static int ring_create(struct ek_datapath *dp, uint32_t id)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	char path[PIN_PATH + 16];
	int fd, err;

	ek_datapath_ring_close(&dp->rings[id]); /* of a plan that was cut short */
	ring_path(dp, id, path);
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ring", sizeof(uint32_t), sizeof(struct ek_ring), 1,
			    &opts);
	if (fd < 0)
		return -errno;
	unlink(path);
	if (bpf_obj_pin(fd, path)) {
		err = -errno;
		close(fd);
		return err;
	}
	err = ring_bind(&dp->rings[id], fd);
	if (err)
		close(fd);
	return err;
}

static int ring_adopt(struct ek_datapath *dp, uint32_t id)
{
	char path[PIN_PATH + 16];
	int fd, err;

	ring_path(dp, id, path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	err = ring_bind(&dp->rings[id], fd);
	if (err)
		close(fd);
	return err;
}

static void ring_remove(struct ek_datapath *dp, uint32_t id)
{
	char path[PIN_PATH + 16];

	ek_sweep_service_set(&dp->sweep, id, NULL, NULL, EK_TRACKING_NONE);

	bpf_map_delete_elem(bpf_map__fd(dp->maps->maps.rings), &id);
	ring_path(dp, id, path);
	unlink(path);
	ek_datapath_ring_close(&dp->rings[id]);
}

const struct ek_ring *ek_datapath_ring(const struct ek_datapath *dp, uint16_t id)
{
	return dp->rings[id].ring;
}

/* --- operations ------------------------------------------------------------------------------ */

/* The next hop goes dark first when the row changes hands, and is published last. */
static void write_row(struct ek_backend *row, const struct ek_backend *value)
{
	if (!ek_ip_equal(&row->address, &value->address) || row->service != value->service) {
		__atomic_store_n(&row->nexthop, 0, __ATOMIC_RELEASE);
		row->packets = row->bytes = row->unstored = 0;
		row->address = value->address;
		row->service = value->service;
	}
	row->csum = value->csum;
	row->mtu = value->mtu;
	row->forward = value->forward;
	__atomic_store_n(&row->nexthop, value->nexthop, __ATOMIC_RELEASE);
}

static void set_backend(struct ek_datapath *dp, uint16_t index, const struct ek_backend *value)
{
	/* CPU 0 last: a snapshot reads its copy, and must not believe in rows half written. */
	for (uint32_t cpu = dp->cpus; cpu-- > 0;)
		write_row(&dp->backends[cpu * dp->limit + index], value);
}

static int set_ring(struct ek_datapath *dp, const struct ek_op *op)
{
	uint16_t *choices = malloc(EK_RING_SIZE * sizeof(*choices));
	uint32_t id = op->id, now = 0;
	int err = choices ? ek_datapath_tick(dp, &now) : -ENOMEM;

	if (!err && op->fresh)
		err = ring_create(dp, id);
	if (!err)
		err = ek_maglev_build(op->members.list, op->members.n, choices);
	if (!err)
		ek_ring_apply(dp->rings[id].ring, choices, op->tracking, now,
			      ek_sweep_changed(&dp->sweep, id));
	ek_sweep_unask(&dp->sweep, id);
	if (!err && op->fresh &&
	    bpf_map_update_elem(bpf_map__fd(dp->maps->maps.rings), &id, &dp->rings[id].fd, BPF_ANY))
		err = -errno;
	free(choices);
	return err;
}

static struct ek_datapath_vip_lease *find_vip_lease(struct ek_datapath *dp, const struct ek_ip *vip)
{
	for (size_t i = 0; i < dp->n_vip_leases; i++)
		if (ek_ip_equal(&dp->vip_leases[i].vip, vip))
			return &dp->vip_leases[i];
	return NULL;
}

static struct ek_service *find_vip(struct ek_datapath *dp, const struct ek_ip *vip)
{
	return ek_service_table_find(dp->services, &dp->key, vip,
				     EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP));
}

/* As we were told or, where we were told nothing, as an adopted data plane has it. */
static uint32_t vip_lease(struct ek_datapath *dp, const struct ek_ip *vip)
{
	const struct ek_datapath_vip_lease *told = find_vip_lease(dp, vip);
	const struct ek_service *published = find_vip(dp, vip);

	if (told)
		return told->lease;
	return published ? published->id : EK_LEASE_NONE;
}

static struct ek_service vip_entry(struct ek_datapath *dp, const struct ek_ip *vip)
{
	return (struct ek_service){
		.vip = *vip, .key = EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP), .id = vip_lease(dp, vip)};
}

static bool vip_in_use(const struct ek_datapath *dp, const struct ek_ip *vip)
{
	for (size_t i = 0; i < EK_SERVICE_SLOTS; i++) {
		const struct ek_service *s = &dp->services->slot[i];

		if (EK_SERVICE_KEY_STATE(s->key) == EK_SERVICE_LIVE && ek_ip_equal(&s->vip, vip))
			return true;
	}
	return false;
}

/* Unless another service has it, the address is none of ours any more. */
static void forget_vip(struct ek_datapath *dp, const struct ek_ip *vip)
{
	if (!vip_in_use(dp, vip))
		ek_service_table_remove(dp->services, &dp->key, vip,
					EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP));
}

static int publish(struct ek_datapath *dp, const struct ek_service *entry)
{
	const struct ek_service vip = vip_entry(dp, &entry->vip);
	int err = ek_service_table_put(dp->services, &dp->key, &vip);

	if (!err)
		err = ek_service_table_put(dp->services, &dp->key, entry);
	if (err)
		forget_vip(dp, &entry->vip);
	return err;
}

int ek_datapath_publish(struct ek_datapath *dp, uint16_t id)
{
	const struct ek_sweep_service *s = &dp->sweep.services[id];
	struct ek_service entry = dp->entries[id];

	entry.flags |= s->over_quota ? EK_SERVICE_F_OVER_QUOTA : 0;
	entry.flags |= s->mirrored ? EK_SERVICE_F_MIRRORED : 0;
	dp->patient[id] = s->role != EK_SWEEP_OWN && s->stateful;
	for (int i = 0; dp->patient[id] && i < EK_FLOW_STATES; i++)
		entry.timeout[i] += i == EK_FLOW_EMBRYONIC ? 0 : EK_SWEEP_PATIENCE;
	return publish(dp, &entry);
}

static int set_service(struct ek_datapath *dp, const struct ek_op *op)
{
	struct ek_service *entry = &dp->entries[op->id];

	*entry = op->entry;
	return ek_datapath_publish(dp, op->id)
		       ?: ek_sweep_service_set(&dp->sweep, op->id, dp->rings[op->id].ring, entry,
					       op->tracking);
}

void ek_datapath_limit_service(struct ek_datapath *dp, uint16_t id, bool over)
{
	if (dp->sweep.services[id].over_quota == over)
		return;
	dp->sweep.services[id].over_quota = over;
	ek_datapath_publish(dp, id);
}

/* Remembers it; one row per VIP, and none for those that are announced by no lease any more. */
static void remember_lease(struct ek_datapath *dp, const struct ek_ip *vip, uint8_t lease)
{
	struct ek_datapath_vip_lease *row = find_vip_lease(dp, vip);

	if (lease == EK_LEASE_NONE) {
		if (row)
			*row = dp->vip_leases[--dp->n_vip_leases];
		return;
	}
	if (!row && dp->n_vip_leases < EK_SERVICES_MAX)
		row = &dp->vip_leases[dp->n_vip_leases++];
	if (row)
		*row = (struct ek_datapath_vip_lease){.vip = *vip, .lease = lease};
}

void ek_datapath_set_lease(struct ek_datapath *dp, const struct ek_ip *vip, uint8_t lease)
{
	struct ek_service *published = find_vip(dp, vip);

	remember_lease(dp, vip, lease);
	if (published)
		__atomic_store_n(&published->id, lease, __ATOMIC_RELEASE);
}

static void clear_service(struct ek_datapath *dp, const struct ek_service *entry)
{
	ek_service_table_remove(dp->services, &dp->key, &entry->vip, entry->key);
	forget_vip(dp, &entry->vip);
	ring_remove(dp, entry->id);
}

static void clear_backend(struct ek_datapath *dp, uint16_t index)
{
	const struct ek_backend empty = {.service = EK_SERVICE_NONE};

	set_backend(dp, index, &empty);
}

static int apply_op(struct ek_datapath *dp, const struct ek_op *op)
{
	switch (op->kind) {
	case EK_OP_BACKEND_SET:
		set_backend(dp, op->index, &op->row);
		return 0;
	case EK_OP_RING_SET:
		return set_ring(dp, op);
	case EK_OP_SERVICE_SET:
		return set_service(dp, op);
	case EK_OP_SERVICE_CLEAR:
		clear_service(dp, &op->entry);
		return 0;
	case EK_OP_BACKEND_CLEAR:
		clear_backend(dp, op->index);
		return 0;
	}
	return -EINVAL;
}

static void cut(struct ek_plan *plan, size_t n)
{
	for (size_t i = n; i < plan->n; i++)
		if (plan->ops[i].kind == EK_OP_RING_SET)
			free(plan->ops[i].members.list);
	plan->n = n;
}

int ek_datapath_apply(struct ek_datapath *dp, struct ek_plan *plan, struct ek_error *error)
{
	for (size_t i = 0; i < plan->n; i++) {
		int err = apply_op(dp, &plan->ops[i]);

		if (dp->pulse)
			dp->pulse(dp->pulse_arg);
		if (!err)
			continue;
		if (err == -ENOSPC)
			ek_error_set(error, "the service table has no room for service %u",
				     plan->ops[i].id);
		else
			ek_error_set(error, "cannot write service %u to the data plane: %s",
				     plan->ops[i].id, strerror(-err));
		cut(plan, i);
		return err;
	}
	return 0;
}

void ek_datapath_on_pulse(struct ek_datapath *dp, void (*pulse)(void *arg), void *arg)
{
	dp->pulse = pulse;
	dp->pulse_arg = arg;
}

/* --- adoption --------------------------------------------------------------------------------- */

/* Its tracking mode is written in its flags; being over its quota is found out anew. */
static int adopt_service(struct ek_datapath *dp, const struct ek_service *s)
{
	struct ek_service *entry = &dp->entries[s->id];
	enum ek_tracking tracking = s->flags & EK_SERVICE_F_TRACK_FULL	 ? EK_TRACKING_FULL
				    : s->flags & EK_SERVICE_F_TRACK_NONE ? EK_TRACKING_NONE
									 : EK_TRACKING_JUST_ENOUGH;
	int err = ring_adopt(dp, s->id);

	if (err)
		return err;
	*entry = *s;
	entry->flags &= ~(EK_SERVICE_F_OVER_QUOTA | EK_SERVICE_F_MIRRORED);
	publish(dp, entry);
	return ek_sweep_service_set(&dp->sweep, s->id, dp->rings[s->id].ring, entry, tracking);
}

/* VIPs of services whose removal was cut short. */
static void forget_orphans(struct ek_datapath *dp)
{
	for (size_t i = 0; i < EK_SERVICE_SLOTS; i++) {
		const struct ek_ip vip = dp->services->slot[i].vip;

		if (EK_SERVICE_KEY_STATE(dp->services->slot[i].key) == EK_SERVICE_VIP)
			forget_vip(dp, &vip);
	}
}

int ek_datapath_snapshot(struct ek_datapath *dp, struct ek_state *state, struct ek_error *error)
{
	for (size_t i = 0; i < EK_SERVICE_SLOTS; i++) {
		const struct ek_service *s = &dp->services->slot[i];
		int err;

		if (EK_SERVICE_KEY_STATE(s->key) != EK_SERVICE_LIVE)
			continue;
		err = s->id < EK_SERVICES_MAX ? adopt_service(dp, s) : -EINVAL;
		if (err) {
			ek_error_set(error,
				     "%s: a service's ring cannot be adopted: %s; "
				     "'evenkeeld --detach' removes what is there",
				     dp->pin_dir, strerror(-err));
			return err;
		}
		state->services[s->id].used = true;
		state->services[s->id].entry = dp->entries[s->id];
	}
	forget_orphans(dp);
	for (uint32_t i = 1; i < dp->limit; i++) {
		struct ek_backend row = dp->backends[i];

		if (ek_ip_is_zero(&row.address))
			continue;
		row.packets = row.bytes = row.unstored = 0;
		set_backend(dp, i, &row); /* the writer may have died between two CPUs' copies */
		state->backends[i] = (struct ek_state_backend){.used = true, .row = row};
	}
	return 0;
}
