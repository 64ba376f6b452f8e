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
#include "attach.h"
#include "datapath_private.h"
#include "balancer.skel.h"
#include "ip.h"
#include "log.h"

#define BPFFS_ROOT "/sys/fs/bpf"
#define PRIVILEGES "; run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"

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

uint32_t ek_datapath_key_check(const struct ek_datapath *dp)
{
	return key_check(&dp->key);
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
	if (fd < 0 && errno == ENOENT)
		return 0;
	err = fd < 0 || bpf_map_lookup_elem(fd, &zero, &have) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (err) {
		ek_error_set(error, "%s cannot be read: %s%s", path, strerror(-err),
			     err == -EPERM || err == -EACCES ? PRIVILEGES : "");
		return err;
	}
	if (!have.abi)
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
	bpf_map__set_max_entries(skeleton->maps.news, dp->cpus);
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
			     err == -EPERM ? PRIVILEGES : "");
		return err;
	}
	dp->services = map_memory(dp->maps->maps.services, sizeof(*dp->services));
	dp->backends = map_memory(dp->maps->maps.backends,
				  (size_t)dp->cpus * dp->limit * sizeof(*dp->backends));
	dp->ports = map_memory(dp->maps->maps.ports, EK_PORTS_MAX * sizeof(*dp->ports));
	dp->flows = map_memory(dp->maps->maps.flows, dp->buckets * sizeof(*dp->flows));
	dp->flow_keys = map_memory(dp->maps->maps.flow_keys, dp->buckets * sizeof(*dp->flow_keys));
	dp->leases = map_memory(dp->maps->maps.leases, EK_LEASES_MAX * sizeof(*dp->leases));
	dp->news = map_memory(dp->maps->maps.news, dp->cpus * sizeof(*dp->news));
	dp->news_read = calloc(dp->cpus, sizeof(*dp->news_read));
	if (!dp->news_read)
		return -ENOMEM;
	if (!dp->services || !dp->backends || !dp->ports || !dp->flows || !dp->flow_keys ||
	    !dp->leases || !dp->news) {
		ek_error_set(error, "cannot map the BPF maps: %s", strerror(errno));
		return -errno;
	}
	for (uint32_t cpu = 0; cpu < dp->cpus; cpu++) /* of before we came */
		dp->news_read[cpu] = dp->news[cpu].head;
	if (bpf_map_update_elem(bpf_map__fd(dp->maps->maps.meta), &zero, &meta, BPF_ANY))
		return -errno;
	err = ek_sweep_init(&dp->sweep, dp->flows, dp->buckets, dp->backends, dp->limit);
	if (err)
		return err;
	dp->sweep.keys = dp->flow_keys;
	dp->sweep.hash_key = &dp->key;
	return 0;
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
		ek_datapath_ring_close(&dp->rings[i]);
	for (size_t i = 0; i < EK_SERVICES_MAX; i++)
		free(dp->planned[i].entries);
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
	if (dp->leases)
		munmap(dp->leases, EK_LEASES_MAX * sizeof(*dp->leases));
	if (dp->news)
		munmap(dp->news, dp->cpus * sizeof(*dp->news));
	free(dp->news_read);
	ek_sweep_free(&dp->sweep);
	balancer__destroy(dp->maps);
	explicit_bzero(&dp->key, sizeof(dp->key));
	free(dp);
}

/* Is this the name of something that evenkeeld pins? */
static bool is_our_pin(const char *name)
{
	static const char *const maps[] = {
		"services",   "rings",	 "backends", "flows",	"flow_keys",  "ports", "egress",
		"drops",      "news",	 "leases",   "answers", "wildcards",  "work",  "fragments",
		"allowances", "learned", "tracing",  "trace",	"trace_spent"};

	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		if (!strcmp(name, maps[i]))
			return true;
	return !strncmp(name, "ring-", 5) || !strncmp(name, "link-", 5);
}

/* `meta` goes first: without it the rest is leftovers, should this be cut short. */
int ek_datapath_remove(const char *pin_dir, struct ek_error *error)
{
	struct dirent *entry;
	char path[PIN_PATH + NAME_MAX];
	DIR *dir = opendir(pin_dir);

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	if (!is_bpffs(pin_dir)) {
		closedir(dir);
		ek_error_set(error, "not on a bpffs, so it holds no data plane");
		return -EINVAL;
	}
	ek_detach_all_but(pin_dir, NULL);
	snprintf(path, sizeof(path), "%s/meta", pin_dir);
	unlink(path);
	while ((entry = readdir(dir))) {
		if (!is_our_pin(entry->d_name))
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

int ek_datapath_tick(const struct ek_datapath *dp, uint32_t *tick)
{
	uint8_t frame[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame));

	if (bpf_prog_test_run_opts(bpf_program__fd(dp->maps->progs.tick), &run))
		return -errno;
	*tick = run.retval;
	return 0;
}

/* Without the time nothing is old. */
bool ek_datapath_sweep(struct ek_datapath *dp, uint32_t buckets)
{
	uint32_t now;

	if (ek_datapath_tick(dp, &now) || !ek_sweep_step(&dp->sweep, now, buckets))
		return false;
	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++) /* who has renewed all ages may expire */
		if (dp->patient[id] && dp->sweep.services[id].ring &&
		    dp->sweep.services[id].role == EK_SWEEP_OWN)
			ek_datapath_publish(dp, id);
	return true;
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

struct ek_lease *ek_datapath_leases(const struct ek_datapath *dp)
{
	return dp->leases;
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

/* --- ports ----------------------------------------------------------------------------------- */

int ek_datapath_port(struct ek_datapath *dp, int ifindex, const __be16 tags[2])
{
	for (int i = 0; i < (int)EK_PORTS_MAX; i++)
		if (dp->ports[i].ifindex == (uint32_t)ifindex &&
		    !memcmp(dp->ports[i].tags, tags, sizeof(dp->ports[i].tags)))
			return i;
	for (int i = 0; i < (int)EK_PORTS_MAX; i++)
		if (!dp->ports[i].ifindex)
			return i;
	return -ENOSPC;
}

void ek_datapath_keep_ports(struct ek_datapath *dp, const struct ek_config *config)
{
	const struct ek_port none = {0};
	char name[IF_NAMESIZE];

	ek_detach_all_but(dp->pin_dir, config);
	for (uint32_t i = 0; i < EK_PORTS_MAX; i++) {
		bool kept = false;

		if (!dp->ports[i].ifindex)
			continue;
		if (if_indextoname(dp->ports[i].ifindex, name))
			for (size_t j = 0; j < config->n_interfaces; j++)
				kept |= !strcmp(config->interfaces[j].name, name);
		if (!kept)
			ek_datapath_port_set(dp, i, &none);
	}
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
	memcpy(p->tags, value->tags, sizeof(p->tags)); /* first: without it looks like its parent */
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
	char name[IFNAMSIZ + 8];
	struct ek_attachment *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	snprintf(a->interface, sizeof(a->interface), "%s", interface);
	ek_attach_pin_name(interface, name, sizeof(name));
	snprintf(a->pin, sizeof(a->pin), "%s/%s", dp->pin_dir, name);
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

/* Sums of a map of counters for each CPU. */
static int read_counters(const struct ek_datapath *dp, const struct bpf_map *map, uint32_t n,
			 uint64_t *counts)
{
	uint64_t *values = calloc(dp->cpus, sizeof(*values));

	if (!values)
		return -ENOMEM;
	for (uint32_t row = 0; row < n; row++) {
		counts[row] = 0;
		if (bpf_map_lookup_elem(bpf_map__fd(map), &row, values))
			continue;
		for (uint32_t cpu = 0; cpu < dp->cpus; cpu++)
			counts[row] += values[cpu];
	}
	free(values);
	return 0;
}

int ek_datapath_drops(const struct ek_datapath *dp, uint64_t *counts)
{
	return read_counters(dp, dp->maps->maps.drops, EK_DROP_COUNT, counts);
}

int ek_datapath_answers(const struct ek_datapath *dp, uint64_t *counts)
{
	return read_counters(dp, dp->maps->maps.answers, EK_ANSWER_COUNT, counts);
}
