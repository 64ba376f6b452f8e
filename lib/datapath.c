/* SPDX-License-Identifier: GPL-2.0-only */
/* See datapath.h. Called by controller.c. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <linux/magic.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <evenkeel/flow_table.h>
#include "attach.h"
#include "balancer.skel.h"
#include "datapath.h"
#include "ip.h"
#include "log.h"
#include "ring.h"
#include "service_table.h"
#include "sweep.h"

#define PIN_PATH   160
#define BPFFS_ROOT "/sys/fs/bpf"

struct ring_handle {
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
	struct ring_handle rings[EK_SERVICES_MAX];
	struct ek_service entries[EK_SERVICES_MAX]; /* as published, for the sweep */
	struct ek_sweep sweep;
};

/* --- the environment ------------------------------------------------------------------------- */

static int check_kernel(struct ek_error *error)
{
	struct utsname name;
	unsigned int major = 0, minor = 0;

	if (uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return 0;
	if (major > 6 || (major == 6 && minor >= 1))
		return 0;
	ek_error_set(error, "Linux %s is too old: Evenkeel needs 6.1 or newer", name.release);
	return -ENOSYS;
}

/* The coarse clock advances once a jiffy, and says so. */
static unsigned int kernel_hz(void)
{
	struct timespec jiffy;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &jiffy) || !jiffy.tv_nsec)
		return 1000;
	return (1000000000l + jiffy.tv_nsec / 2) / jiffy.tv_nsec;
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == BPF_FS_MAGIC;
}

static int ensure_pin_dir(const char *dir, struct ek_error *error)
{
	char parent[PIN_PATH];
	char *slash;

	if (snprintf(parent, sizeof(parent), "%s", dir) >= (int)sizeof(parent)) {
		ek_error_set(error, "%s: longer than %d bytes", dir, PIN_PATH - 1);
		return -ENAMETOOLONG;
	}
	slash = strrchr(parent, '/');
	if (!slash || slash == parent) {
		ek_error_set(error, "%s: the pin directory must lie below a bpffs", dir);
		return -EINVAL;
	}
	*slash = '\0';
	if (!is_bpffs(parent) && !strcmp(parent, BPFFS_ROOT))
		mount("bpf", BPFFS_ROOT, "bpf", 0, "mode=0700");
	if (!is_bpffs(parent)) {
		ek_error_set(error, "%s is no bpffs; mount one with: mount -t bpf bpf %s", parent,
			     BPFFS_ROOT);
		return -ENODEV;
	}
	if (mkdir(dir, 0700) && errno != EEXIST) {
		int err = errno;

		ek_error_set(error, "cannot create %s: %s%s", dir, strerror(err),
			     err == EACCES || err == EPERM ? "; run as root" : "");
		return -err;
	}
	return 0;
}

/* --- maps ------------------------------------------------------------------------------------ */

static uint64_t key_check(const struct ek_hash_key *key)
{
	uint64_t digest = 0x9e3779b97f4a7c15ull;

	for (size_t i = 0; i < EK_HASH_WORDS; i++)
		digest = (digest ^ key->k[i]) * 0xd6e8feb86659fd93ull ^ digest >> 29;
	return digest >> 32; /* 32 bits tell two keys apart and say nothing of 768 */
}

static struct ek_meta expected_meta(const struct ek_datapath *dp)
{
	return (struct ek_meta){.abi = EK_ABI_VERSION,
				.backends_limit = dp->limit,
				.cpus = dp->cpus,
				.flow_buckets = dp->buckets,
				.tick_shift = dp->clock.shift,
				.hz = dp->clock.hz,
				.key_check = key_check(&dp->key)};
}

/* Is what is pinned here ours to adopt? 1 yes, 0 nothing usable is there, or an error. */
static int check_pinned(const struct ek_datapath *dp, struct ek_error *error)
{
	const struct ek_meta want = expected_meta(dp);
	struct ek_meta have;
	char path[PIN_PATH + 16];
	uint32_t zero = 0;
	int fd, err;

	snprintf(path, sizeof(path), "%s/meta", dp->pin_dir);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return 0;
	err = bpf_map_lookup_elem(fd, &zero, &have);
	close(fd);
	if (err || !have.abi)
		return 0;
	if (!memcmp(&have, &want, sizeof(have)))
		return 1;
	if (have.abi != want.abi)
		ek_error_set(error, "%s was pinned with ABI %u and this build speaks %u",
			     dp->pin_dir, have.abi, want.abi);
	else if (have.backends_limit != want.backends_limit)
		ek_error_set(error, "%s was made for %u backends and the configuration says %u",
			     dp->pin_dir, have.backends_limit, want.backends_limit);
	else if (have.key_check != want.key_check)
		ek_error_set(error,
			     "%s was made with another hash key: its connections would be lost",
			     dp->pin_dir);
	else if (have.flow_buckets != want.flow_buckets)
		ek_error_set(error, "%s was made for %u flows and the configuration says %u",
			     dp->pin_dir, have.flow_buckets * EK_FLOW_WAYS,
			     want.flow_buckets * EK_FLOW_WAYS);
	else
		ek_error_set(error, "%s was made for %u CPUs and there are %u", dp->pin_dir,
			     have.cpus, want.cpus);
	snprintf(error->text + strlen(error->text), sizeof(error->text) - strlen(error->text),
		 "; 'evenkeeld --detach' removes it, and connections with it");
	return -EEXIST;
}

/*
 * The kernel adds BPF_F_RDONLY_PROG to a devmap's flags and libbpf 1.1 then takes a pinned one for
 * a stranger, so a pinned map is bound by hand; meta has vouched for its shape.
 */
static int bind_map(struct bpf_map *map, const char *path)
{
	int fd = bpf_obj_get(path), err;

	if (fd < 0)
		return bpf_map__set_pin_path(map, path);
	err = bpf_map__reuse_fd(map, fd);
	close(fd);
	return err;
}

/* A skeleton for one port, bound to the pinned maps and not loaded. */
static struct balancer *open_skeleton(const struct ek_datapath *dp, uint32_t port)
{
	struct balancer *skeleton = balancer__open();
	struct bpf_map *map;
	char path[PIN_PATH + 32];

	if (!skeleton)
		return NULL;
	skeleton->rodata->own_port = port;
	skeleton->rodata->backends_limit = dp->limit;
	skeleton->rodata->flow_mask = dp->buckets - 1;
	skeleton->rodata->tick_shift = dp->clock.shift;
	memcpy((void *)&skeleton->rodata->hash_key, &dp->key, sizeof(dp->key));
	bpf_map__set_max_entries(skeleton->maps.backends, dp->cpus * dp->limit);
	bpf_map__set_max_entries(skeleton->maps.flows, dp->buckets);
	bpf_map__set_max_entries(skeleton->maps.flow_keys, dp->buckets);
	bpf_program__set_autoload(skeleton->progs.tick, false);
	bpf_object__for_each_map(map, skeleton->obj)
	{
		if (bpf_map__is_internal(map) || map == skeleton->maps.ring_template)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dp->pin_dir, bpf_map__name(map));
		if (bind_map(map, path)) {
			balancer__destroy(skeleton);
			return NULL;
		}
	}
	return skeleton;
}

static void *map_memory(const struct bpf_map *map, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int open_maps(struct ek_datapath *dp, struct ek_error *error)
{
	struct ek_meta meta = expected_meta(dp);
	uint32_t zero = 0;
	int err;

	dp->maps = open_skeleton(dp, 0);
	if (!dp->maps)
		return -ENOMEM;
	bpf_program__set_autoload(dp->maps->progs.evenkeel, false);
	bpf_program__set_autoload(dp->maps->progs.tick, true);
	err = balancer__load(dp->maps);
	if (err) {
		ek_error_set(error, "cannot create the BPF maps: %s%s", strerror(-err),
			     err == -EPERM ? "; run as root, or with CAP_BPF, CAP_NET_ADMIN and "
					     "CAP_PERFMON"
					   : "");
		return err;
	}
	dp->services = map_memory(dp->maps->maps.services, sizeof(*dp->services));
	dp->backends = map_memory(dp->maps->maps.backends,
				  (size_t)dp->cpus * dp->limit * sizeof(*dp->backends));
	dp->ports = map_memory(dp->maps->maps.ports, EK_PORTS_MAX * sizeof(*dp->ports));
	dp->flows = map_memory(dp->maps->maps.flows, dp->buckets * sizeof(*dp->flows));
	dp->flow_keys = map_memory(dp->maps->maps.flow_keys, dp->buckets * sizeof(*dp->flow_keys));
	if (!dp->services || !dp->backends || !dp->ports || !dp->flows || !dp->flow_keys) {
		ek_error_set(error, "cannot map the BPF maps: %s", strerror(errno));
		return -errno;
	}
	if (bpf_map_update_elem(bpf_map__fd(dp->maps->maps.meta), &zero, &meta, BPF_ANY))
		return -errno;
	err = ek_sweep_init(&dp->sweep, dp->flows, dp->buckets, dp->backends, dp->limit);
	if (err)
		return err;
	dp->sweep.keys = dp->flow_keys;
	dp->sweep.hash_key = &dp->key;
	return 0;
}

/* --- rings ----------------------------------------------------------------------------------- */

static void ring_path(const struct ek_datapath *dp, uint32_t id, char *out)
{
	snprintf(out, PIN_PATH + 16, "%s/ring-%u", dp->pin_dir, id);
}

static int ring_bind(struct ring_handle *handle, int fd)
{
	void *memory =
		mmap(NULL, sizeof(struct ek_ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	handle->fd = fd;
	handle->ring = memory;
	return 0;
}

static void ring_close(struct ring_handle *handle)
{
	if (!handle->ring)
		return;
	munmap(handle->ring, sizeof(*handle->ring));
	close(handle->fd);
	*handle = (struct ring_handle){.fd = -1};
}

static int ring_create(struct ek_datapath *dp, uint32_t id)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	char path[PIN_PATH + 16];
	int fd, err;

	ring_close(&dp->rings[id]); /* of a plan that was cut short */
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
	ring_close(&dp->rings[id]);
}

const struct ek_ring *ek_datapath_ring(const struct ek_datapath *dp, uint16_t id)
{
	return dp->rings[id].ring;
}

/* --- opening and closing --------------------------------------------------------------------- */

int ek_datapath_open(struct ek_datapath **out, const struct ek_datapath_options *options,
		     struct ek_error *error)
{
	struct ek_datapath *dp;
	int err = check_kernel(error);

	ek_attach_quiet();
	if (!err)
		err = ensure_pin_dir(options->pin_dir, error);
	if (err)
		return err;
	dp = calloc(1, sizeof(*dp));
	if (!dp)
		return -ENOMEM;
	snprintf(dp->pin_dir, sizeof(dp->pin_dir), "%s", options->pin_dir);
	dp->limit = options->backends_limit;
	dp->buckets = options->flows_limit / EK_FLOW_WAYS;
	dp->clock = ek_clock_of(kernel_hz());
	dp->cpus = libbpf_num_possible_cpus();
	dp->key = *options->key;

	err = check_pinned(dp, error);
	dp->adopted = err == 1;
	if (err == 0) { /* leftovers of a start that failed half-way */
		ek_datapath_remove(dp->pin_dir, error);
		err = ensure_pin_dir(dp->pin_dir, error);
	}
	if (err >= 0)
		err = open_maps(dp, error);
	if (err) {
		ek_datapath_close(dp);
		return err;
	}
	*out = dp;
	return 0;
}

void ek_datapath_close(struct ek_datapath *dp)
{
	if (!dp)
		return;
	for (size_t i = 0; i < EK_SERVICES_MAX; i++)
		ring_close(&dp->rings[i]);
	if (dp->services)
		munmap(dp->services, sizeof(*dp->services));
	if (dp->backends)
		munmap(dp->backends, (size_t)dp->cpus * dp->limit * sizeof(*dp->backends));
	if (dp->ports)
		munmap(dp->ports, EK_PORTS_MAX * sizeof(*dp->ports));
	if (dp->flows)
		munmap(dp->flows, dp->buckets * sizeof(*dp->flows));
	if (dp->flow_keys)
		munmap(dp->flow_keys, dp->buckets * sizeof(*dp->flow_keys));
	ek_sweep_free(&dp->sweep);
	balancer__destroy(dp->maps);
	explicit_bzero(&dp->key, sizeof(dp->key));
	free(dp);
}

int ek_datapath_remove(const char *pin_dir, struct ek_error *error)
{
	struct dirent *entry;
	char path[PIN_PATH + NAME_MAX];
	DIR *dir;

	ek_detach_all(pin_dir);
	dir = opendir(pin_dir);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", pin_dir, entry->d_name);
		if (unlink(path))
			ek_error_set(error, "cannot remove %s: %s", path, strerror(errno));
	}
	closedir(dir);
	return rmdir(pin_dir) ? -errno : 0;
}

struct ek_clock ek_datapath_clock(const struct ek_datapath *dp)
{
	return dp->clock;
}

uint32_t ek_datapath_tick(const struct ek_datapath *dp)
{
	uint8_t frame[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame));

	if (bpf_prog_test_run_opts(bpf_program__fd(dp->maps->progs.tick), &run))
		return 0;
	return run.retval;
}

bool ek_datapath_sweep(struct ek_datapath *dp, uint32_t buckets)
{
	return ek_sweep_step(&dp->sweep, ek_datapath_tick(dp), buckets);
}

const struct ek_sweep *ek_datapath_swept(const struct ek_datapath *dp)
{
	return &dp->sweep;
}

struct ek_flow_bucket *ek_datapath_flows(const struct ek_datapath *dp)
{
	return dp->flows;
}

struct ek_flow_keys *ek_datapath_flow_keys(const struct ek_datapath *dp)
{
	return dp->flow_keys;
}

uint32_t ek_datapath_buckets(const struct ek_datapath *dp)
{
	return dp->buckets;
}

const struct ek_hash_key *ek_datapath_key(const struct ek_datapath *dp)
{
	return &dp->key;
}

struct ek_backend ek_datapath_backend_row(const struct ek_datapath *dp, uint16_t index)
{
	return dp->backends[index];
}

const struct ek_service_table *ek_datapath_services(const struct ek_datapath *dp)
{
	return dp->services;
}

bool ek_datapath_adopted(const struct ek_datapath *dp)
{
	return dp->adopted;
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
	uint32_t id = op->id;
	int err = choices ? 0 : -ENOMEM;

	if (!err && op->fresh)
		err = ring_create(dp, id);
	if (!err)
		err = ek_maglev_build(op->members.list, op->members.n, choices);
	if (!err)
		ek_ring_apply(dp->rings[id].ring, choices, op->tracking, ek_datapath_tick(dp),
			      ek_sweep_changed(&dp->sweep, id));
	if (!err && op->fresh &&
	    bpf_map_update_elem(bpf_map__fd(dp->maps->maps.rings), &id, &dp->rings[id].fd, BPF_ANY))
		err = -errno;
	free(choices);
	return err;
}

static struct ek_service vip_entry(const struct ek_service *service)
{
	return (struct ek_service){.vip = service->vip,
				   .key = EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP)};
}

static int publish(struct ek_datapath *dp, const struct ek_service *entry)
{
	const struct ek_service vip = vip_entry(entry);
	int err = ek_service_table_put(dp->services, &dp->key, &vip);

	return err ? err : ek_service_table_put(dp->services, &dp->key, entry);
}

static int set_service(struct ek_datapath *dp, const struct ek_op *op)
{
	struct ek_service *entry = &dp->entries[op->id];

	*entry = op->entry;
	entry->flags |= dp->sweep.services[op->id].over_quota ? EK_SERVICE_F_OVER_QUOTA : 0;
	return publish(dp, entry)
		       ?: ek_sweep_service_set(&dp->sweep, op->id, dp->rings[op->id].ring, entry,
					       op->tracking);
}

void ek_datapath_limit_service(struct ek_datapath *dp, uint16_t id, bool over)
{
	struct ek_service *entry = &dp->entries[id];

	if (dp->sweep.services[id].over_quota == over)
		return;
	dp->sweep.services[id].over_quota = over;
	entry->flags ^= EK_SERVICE_F_OVER_QUOTA;
	publish(dp, entry);
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

static void clear_service(struct ek_datapath *dp, const struct ek_service *entry)
{
	const struct ek_service vip = vip_entry(entry);

	ek_service_table_remove(dp->services, &dp->key, &entry->vip, entry->key);
	if (!vip_in_use(dp, &entry->vip))
		ek_service_table_remove(dp->services, &dp->key, &vip.vip, vip.key);
	ring_remove(dp, entry->id);
}

static void clear_backend(struct ek_datapath *dp, uint16_t index)
{
	const struct ek_backend empty = {0};

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
	entry->flags &= ~EK_SERVICE_F_OVER_QUOTA;
	publish(dp, entry);
	return ek_sweep_service_set(&dp->sweep, s->id, dp->rings[s->id].ring, entry, tracking);
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
	for (uint32_t i = 1; i < dp->limit; i++) {
		struct ek_backend row = dp->backends[i];

		if (ek_ip_is_zero(&row.address))
			continue;
		row.packets = row.bytes = row.unstored = 0;
		state->backends[i] = (struct ek_state_backend){.used = true, .row = row};
	}
	return 0;
}

/* --- ports ----------------------------------------------------------------------------------- */

int ek_datapath_port(struct ek_datapath *dp, int ifindex)
{
	for (int i = 0; i < (int)EK_PORTS_MAX; i++)
		if (dp->ports[i].ifindex == (uint32_t)ifindex)
			return i;
	for (int i = 0; i < (int)EK_PORTS_MAX; i++)
		if (!dp->ports[i].ifindex)
			return i;
	return -ENOSPC;
}

struct ek_port ek_datapath_port_row(const struct ek_datapath *dp, uint8_t port)
{
	return port < EK_PORTS_MAX ? dp->ports[port] : (struct ek_port){0};
}

int ek_datapath_port_set(struct ek_datapath *dp, uint8_t port, const struct ek_port *value)
{
	struct ek_port *p = &dp->ports[port];
	uint32_t key = port;
	int fd = bpf_map__fd(dp->maps->maps.egress);

	if (!value->mac) {
		__atomic_store_n(&p->mac, 0, __ATOMIC_RELEASE);
		p->ifindex = 0;
		return bpf_map_delete_elem(fd, &key) && errno != ENOENT ? -errno : 0;
	}
	p->source4 = value->source4;
	p->source6 = value->source6;
	p->ifindex = value->ifindex;
	__atomic_store_n(&p->mac, value->mac, __ATOMIC_RELEASE);
	return bpf_map_update_elem(fd, &key, &value->ifindex, BPF_ANY) ? -errno : 0;
}

struct make_arguments {
	const struct ek_datapath *dp;
	uint8_t port;
};

static struct balancer *make_skeleton(void *arg)
{
	const struct make_arguments *m = arg;

	return open_skeleton(m->dp, m->port);
}

int ek_datapath_attach(struct ek_datapath *dp, const char *interface, int ifindex, uint8_t port,
		       enum ek_xdp_mode mode, struct ek_attachment **out, struct ek_error *error)
{
	struct make_arguments m = {dp, port};
	struct ek_attachment *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	snprintf(a->interface, sizeof(a->interface), "%s", interface);
	snprintf(a->pin, sizeof(a->pin), "%s/link-%s", dp->pin_dir, interface);
	for (char *c = a->pin + strlen(dp->pin_dir) + 1; *c; c++)
		if (*c == '.') /* which bpffs refuses; ':' is in no interface name that we accept */
			*c = ':';
	a->ifindex = ifindex;
	err = ek_attach(a, mode, make_skeleton, &m, error);
	if (err) {
		ek_attachment_free(a);
		return err;
	}
	*out = a;
	return 0;
}

/* --- counters -------------------------------------------------------------------------------- */

struct ek_counters ek_datapath_backend_counters(const struct ek_datapath *dp, uint16_t index)
{
	struct ek_counters sum = {0};

	for (uint32_t cpu = 0; cpu < dp->cpus; cpu++) {
		const struct ek_backend *row = &dp->backends[cpu * dp->limit + index];

		sum.packets += __atomic_load_n(&row->packets, __ATOMIC_RELAXED);
		sum.bytes += __atomic_load_n(&row->bytes, __ATOMIC_RELAXED);
		sum.unstored += __atomic_load_n(&row->unstored, __ATOMIC_RELAXED);
	}
	return sum;
}

int ek_datapath_drops(const struct ek_datapath *dp, uint64_t *counts)
{
	uint64_t *values = calloc(dp->cpus, sizeof(*values));
	int fd = bpf_map__fd(dp->maps->maps.drops);

	if (!values)
		return -ENOMEM;
	for (uint32_t reason = 0; reason < EK_DROP_COUNT; reason++) {
		counts[reason] = 0;
		if (bpf_map_lookup_elem(fd, &reason, values))
			continue;
		for (uint32_t cpu = 0; cpu < dp->cpus; cpu++)
			counts[reason] += values[cpu];
	}
	free(values);
	return 0;
}
