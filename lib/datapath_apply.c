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
#include "wildcards.h"

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

/*
 * The next hop goes dark first when the row changes hands, and is published last. A method finds
 * what it needs, before it is said and until another one is.
 */
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
	row->dscp = value->dscp ?: row->dscp;
	row->gue_port = value->gue_port ?: row->gue_port;
	row->gue_header = value->gue_header;
	__atomic_store_n(&row->forward, value->forward, __ATOMIC_RELEASE);
	row->dscp = value->dscp;
	row->gue_port = value->gue_port;
	row->index = value->index;
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

/* Of a prefix it is the wildcard rules that say so. */
static bool marks_vip(uint64_t key)
{
	return EK_SERVICE_KEY_STATE(key) == EK_SERVICE_LIVE ||
	       (EK_SERVICE_KEY_STATE(key) == EK_SERVICE_WILD && EK_SERVICE_KEY_LENGTH(key) == 128);
}

static bool vip_in_use(const struct ek_datapath *dp, const struct ek_ip *vip)
{
	for (size_t i = 0; i < EK_SERVICE_SLOTS; i++) {
		const struct ek_service *s = &dp->services->slot[i];

		if (marks_vip(s->key) && ek_ip_equal(&s->vip, vip))
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
	int err = marks_vip(entry->key) ? ek_service_table_put(dp->services, &dp->key, &vip) : 0;

	if (!err)
		err = ek_service_table_put(dp->services, &dp->key, entry);
	if (err)
		forget_vip(dp, &entry->vip);
	return err;
}

int ek_datapath_publish(struct ek_datapath *dp, uint16_t id)
{
	const struct ek_sweep_service *s = &dp->sweep.services[id];
	const struct ek_datapath_service *planned = &dp->planned[id];
	int err = 0;

	dp->patient[id] = s->role != EK_SWEEP_OWN && s->stateful;
	for (size_t i = 0; i < planned->n && !err; i++) {
		struct ek_service entry = planned->entries[i];

		entry.flags |= s->over_quota ? EK_SERVICE_F_OVER_QUOTA : 0;
		entry.flags |= s->mirrored ? EK_SERVICE_F_MIRRORED : 0;
		for (int j = 0; dp->patient[id] && j < EK_FLOW_STATES; j++)
			entry.timeout[j] += j == EK_FLOW_EMBRYONIC ? 0 : EK_SWEEP_PATIENCE;
		err = publish(dp, &entry);
	}
	return err;
}

static void forget_planned(struct ek_datapath *dp, uint16_t id)
{
	free(dp->planned[id].entries);
	dp->planned[id] = (struct ek_datapath_service){0};
}

/* Whose timeouts the flows of UDP have, where others have other ones. */
static const struct ek_service *find_datagrams(const struct ek_datapath_service *planned)
{
	for (size_t i = 1; i < planned->n; i++)
		if (EK_SERVICE_KEY_PROTO(planned->entries[i].key) == IPPROTO_UDP &&
		    EK_SERVICE_KEY_PROTO(planned->entries[0].key) != IPPROTO_UDP)
			return &planned->entries[i];
	return NULL;
}

/* Takes the list over. */
static int set_planned(struct ek_datapath *dp, uint16_t id, struct ek_service *entries, size_t n,
		       enum ek_tracking tracking)
{
	struct ek_datapath_service *planned = &dp->planned[id];
	int err;

	forget_planned(dp, id);
	*planned = (struct ek_datapath_service){entries, n};
	err = ek_sweep_service_set(&dp->sweep, id, dp->rings[id].ring, entries, tracking);
	dp->sweep.services[id].datagrams = find_datagrams(planned);
	return err;
}

static int set_service(struct ek_datapath *dp, const struct ek_op *op)
{
	struct ek_service *entries = calloc(op->entries.n + 1, sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	memcpy(entries, op->entries.list, op->entries.n * sizeof(*entries));
	return set_planned(dp, op->id, entries, op->entries.n, op->tracking)
		       ?: ek_datapath_publish(dp, op->id);
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

/* --- wildcards ------------------------------------------------------------------------------- */

static void set_flag(struct ek_datapath *dp, uint32_t flag, bool on)
{
	uint32_t flags = dp->services->settings.flags;

	__atomic_store_n(&dp->services->settings.flags, on ? flags | flag : flags & ~flag,
			 __ATOMIC_RELEASE);
}

static bool has_node(const struct ek_wildcards *wildcards, const struct ek_wildcard_key *key)
{
	for (size_t i = 0; i < wildcards->n; i++)
		if (!memcmp(&wildcards->nodes[i].key, key, sizeof(*key)))
			return true;
	return false;
}

/* Once the others are there: an address of one that goes falls back on what covers it. */
static int remove_nodes_but(int fd, const struct ek_wildcards *wildcards)
{
	struct ek_wildcard_key *stale = calloc(EK_SERVICES_MAX, sizeof(*stale)), *at = NULL, key;
	size_t n = 0;

	if (!stale)
		return -ENOMEM;
	while (n < EK_SERVICES_MAX && !bpf_map_get_next_key(fd, at, &key)) {
		if (!has_node(wildcards, &key))
			stale[n++] = key;
		at = &key;
	}
	for (size_t i = 0; i < n; i++)
		bpf_map_delete_elem(fd, &stale[i]);
	free(stale);
	return 0;
}

/* Where old and new ones do not fit side by side, the old ones go before they can be replaced. */
static int write_node(int fd, const struct ek_wildcards *wildcards,
		      const struct ek_wildcards_node *node)
{
	int err;

	if (!bpf_map_update_elem(fd, &node->key, &node->value, BPF_ANY))
		return 0;
	err = errno == ENOSPC ? remove_nodes_but(fd, wildcards) : -errno;
	if (err)
		return err;
	return bpf_map_update_elem(fd, &node->key, &node->value, BPF_ANY) ? -errno : 0;
}

static int write_nodes(struct ek_datapath *dp, const struct ek_wildcards *wildcards)
{
	int fd = bpf_map__fd(dp->maps->maps.wildcards), err = 0;

	for (size_t i = 0; i < wildcards->n && !err; i++)
		err = write_node(fd, wildcards, &wildcards->nodes[i]);
	if (err)
		return err;
	if (!wildcards->n)
		set_flag(dp, EK_SETTING_WILDCARDS, false);
	err = remove_nodes_but(fd, wildcards);
	if (!err && wildcards->n)
		set_flag(dp, EK_SETTING_WILDCARDS, true);
	return err;
}

/* The entries are in the service table by now, and stay where they are for as long as they live. */
static int set_wildcards(struct ek_datapath *dp, const struct ek_op *op)
{
	uint16_t *slots = calloc(op->entries.n + 1, sizeof(*slots));
	struct ek_wildcards wildcards = {0};
	struct ek_error error;
	int err = slots ? 0 : -ENOMEM;

	for (size_t i = 0; i < op->entries.n && !err; i++) {
		const struct ek_service *entry = &op->entries.list[i], *found;

		found = ek_service_table_find(dp->services, &dp->key, &entry->vip, entry->key);
		if (found)
			slots[i] = found - dp->services->slot;
		else
			err = -ENOENT;
	}
	if (!err)
		err = ek_wildcards_build(op->entries.list, slots, op->entries.n, &wildcards,
					 &error);
	if (!err)
		err = write_nodes(dp, &wildcards);
	ek_wildcards_free(&wildcards);
	free(slots);
	return err;
}

bool ek_datapath_wildcard(const struct ek_datapath *dp, const struct ek_ip *vip,
			  struct ek_wildcard *out)
{
	const struct ek_wildcard_key key = {.length = 128, .address = *vip};

	return !bpf_map_lookup_elem(bpf_map__fd(dp->maps->maps.wildcards), &key, out);
}

void ek_datapath_set_rates(struct ek_datapath *dp, const struct ek_config_icmp *icmp)
{
	struct ek_settings *settings = &dp->services->settings;

	__atomic_store_n(&settings->echo_rate, icmp->echo ? icmp->echo_rate : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&settings->error_rate, icmp->error_rate, __ATOMIC_RELAXED);
}

/* --- departures ------------------------------------------------------------------------------ */

static void clear_entry(struct ek_datapath *dp, uint16_t id, const struct ek_service *entry)
{
	const struct ek_service *found =
		ek_service_table_find(dp->services, &dp->key, &entry->vip, entry->key);

	if (!found || found->id != id) /* another service has it by now */
		return;
	ek_service_table_remove(dp->services, &dp->key, &entry->vip, entry->key);
	forget_vip(dp, &entry->vip);
}

static bool is_entry(uint64_t key)
{
	return EK_SERVICE_KEY_STATE(key) == EK_SERVICE_LIVE ||
	       EK_SERVICE_KEY_STATE(key) == EK_SERVICE_WILD;
}

static void clear_service(struct ek_datapath *dp, uint16_t id)
{
	for (size_t i = 0; i < EK_SERVICE_SLOTS; i++) {
		const struct ek_service entry = dp->services->slot[i];

		if (is_entry(entry.key) && entry.id == id)
			clear_entry(dp, id, &entry);
	}
	ring_remove(dp, id);
	forget_planned(dp, id);
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
	case EK_OP_WILDCARDS_SET:
		return set_wildcards(dp, op);
	case EK_OP_ENTRY_CLEAR:
		clear_entry(dp, op->id, &op->entry);
		return 0;
	case EK_OP_SERVICE_CLEAR:
		clear_service(dp, op->id);
		return 0;
	case EK_OP_BACKEND_CLEAR:
		clear_backend(dp, op->index);
		return 0;
	}
	return -EINVAL;
}

static void failed(const struct ek_op *op, int err, struct ek_error *error)
{
	if (op->kind == EK_OP_WILDCARDS_SET)
		ek_error_set(error, "cannot write the wildcard rules to the data plane: %s",
			     strerror(-err));
	else if (err == -ENOSPC)
		ek_error_set(error, "the service table has no room for service %u", op->id);
	else
		ek_error_set(error, "cannot write service %u to the data plane: %s", op->id,
			     strerror(-err));
}

int ek_datapath_apply(struct ek_datapath *dp, struct ek_plan *plan, struct ek_error *error)
{
	for (size_t i = 0; i < plan->n; i++) {
		int err = apply_op(dp, &plan->ops[i]);

		if (dp->pulse)
			dp->pulse(dp->pulse_arg);
		if (!err)
			continue;
		failed(&plan->ops[i], err, error);
		ek_plan_cut(plan, i);
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

/* Its tracking mode is written in its flags. */
static enum ek_tracking tracking_of(const struct ek_service *entry)
{
	return entry->flags & EK_SERVICE_F_TRACK_FULL	? EK_TRACKING_FULL
	       : entry->flags & EK_SERVICE_F_TRACK_NONE ? EK_TRACKING_NONE
							: EK_TRACKING_JUST_ENOUGH;
}

/* Those of the id, as they are in the table; that one is over its quota is found out anew. */
static int collect_entries(const struct ek_datapath *dp, uint16_t id, struct ek_service **out,
			   size_t *n)
{
	struct ek_service *list = NULL;

	*n = 0;
	for (size_t i = 0; i < EK_SERVICE_SLOTS; i++) {
		const struct ek_service *s = &dp->services->slot[i];
		struct ek_service *grown;

		if (!is_entry(s->key) || s->id != id)
			continue;
		grown = reallocarray(list, *n + 1, sizeof(*list));
		if (!grown) {
			free(list);
			return -ENOMEM;
		}
		list = grown;
		list[*n] = *s;
		list[(*n)++].flags &= ~(EK_SERVICE_F_OVER_QUOTA | EK_SERVICE_F_MIRRORED);
	}
	ek_state_sort_entries(list, *n);
	*out = list;
	return 0;
}

static int adopt_service(struct ek_datapath *dp, uint16_t id, struct ek_state_service *out)
{
	struct ek_service *list, *copy;
	size_t n;
	int err = ring_adopt(dp, id);

	if (!err)
		err = collect_entries(dp, id, &list, &n);
	if (err)
		return err;
	copy = calloc(n, sizeof(*copy));
	if (!copy) {
		free(list);
		return -ENOMEM;
	}
	memcpy(copy, list, n * sizeof(*copy));
	*out = (struct ek_state_service){.used = true, .entries = copy, .n_entries = n};
	for (size_t i = 0; i < n; i++)
		publish(dp, &list[i]);
	return set_planned(dp, id, list, n, tracking_of(list));
}

static int adopt_services(struct ek_datapath *dp, struct ek_state *state)
{
	for (size_t i = 0; i < EK_SERVICE_SLOTS; i++) {
		const struct ek_service *s = &dp->services->slot[i];
		int err;

		if (!is_entry(s->key))
			continue;
		if (s->id >= EK_SERVICES_MAX)
			return -EINVAL;
		if (state->services[s->id].used)
			continue;
		err = adopt_service(dp, s->id, &state->services[s->id]);
		if (err)
			return err;
	}
	return 0;
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

/* Of services that were not published yet, or whose entries were gone already. */
static void forget_rings(struct ek_datapath *dp, const struct ek_state *state)
{
	char path[PIN_PATH + 16];

	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++) {
		ring_path(dp, id, path);
		if (!state->services[id].used && !access(path, F_OK))
			ring_remove(dp, id);
	}
}

int ek_datapath_snapshot(struct ek_datapath *dp, struct ek_state *state, struct ek_error *error)
{
	int err = adopt_services(dp, state);

	if (err) {
		ek_error_set(error,
			     "%s: a service's ring cannot be adopted: %s; "
			     "'evenkeeld --detach' removes what is there",
			     dp->pin_dir, strerror(-err));
		return err;
	}
	state->wild_unknown = true;
	forget_orphans(dp);
	forget_rings(dp, state);
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
