/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loads a balancer and fills its maps through mmap; reads its counters and what its maps weigh.
 * The object may be another build's, so constants and maps are found by name.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include "lab.h"
#include "balancer.skel.h"

#define MAPPED4(a, b, c, d)                                \
	{                                                  \
		.bytes = { [10] = 0xff, 0xff, a, b, c, d } \
	}

const struct ek_ip lab_vip4 = MAPPED4(192, 0, 2, 10);
const struct ek_ip lab_vip6 = {.bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 10}};
const struct ek_ip lab_source4 = MAPPED4(10, 0, 0, 1);
const struct ek_ip lab_source6 = {.bytes = {0xfd, [15] = 1}};
const uint64_t lab_mac = 0x010000000002;	 /* 02:00:00:00:00:01 */
const uint64_t lab_nexthop_mac = 0x020000000002; /* 02:00:00:00:00:02 */

static bool service_is_v4(enum lab_service id)
{
	return id == LAB_TCP4 || id == LAB_UDP4;
}

static uint8_t service_protocol(enum lab_service id)
{
	return id == LAB_TCP4 || id == LAB_TCP6 ? IPPROTO_TCP : IPPROTO_UDP;
}

struct ek_ip lab_backend(enum lab_service id, int i)
{
	struct ek_ip ip = service_is_v4(id) ? lab_source4 : lab_source6;

	ip.bytes[14] = 1 + id;
	ip.bytes[15] = 1 + i;
	return ip;
}

static int map_fd(const struct lab *lab, const char *name)
{
	return bpf_object__find_map_fd_by_name(lab->object, name);
}

static void *map_view(int map, size_t size)
{
	void *view = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);

	return view == MAP_FAILED ? NULL : view;
}

/* Where a `const volatile` of the program lies: found by name in the object's own type data. */
static const struct btf_var_secinfo *find_constant(const struct bpf_object *object,
						   const char *name)
{
	const struct btf *btf = bpf_object__btf(object);
	int id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	const struct btf_type *section = id < 0 ? NULL : btf__type_by_id(btf, id);

	for (int i = 0; section && i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *var = btf_var_secinfos(section) + i;
		const struct btf_type *type = btf__type_by_id(btf, var->type);

		if (!strcmp(btf__name_by_offset(btf, type->name_off), name))
			return var;
	}
	return NULL;
}

static int set_constant(struct lab *lab, const char *name, const void *value, size_t size)
{
	struct bpf_map *map = bpf_object__find_map_by_name(lab->object, ".rodata");
	const struct btf_var_secinfo *var = find_constant(lab->object, name);
	const void *old;
	size_t room;
	char *changed;
	int err;

	if (!map || !var || var->size != size)
		return -ENOENT;
	old = bpf_map__initial_value(map, &room);
	changed = malloc(room);
	if (!changed)
		return -ENOMEM;
	memcpy(changed, old, room);
	memcpy(changed + var->offset, value, size);
	err = bpf_map__set_initial_value(map, changed, room);
	free(changed);
	return err;
}

static int set_constants(struct lab *lab)
{
	/* HZ is 100 to 1000: a tick is a quarter of a second to some seconds, well within timeouts.
	 */
	const uint32_t own_port = 0, rows = LAB_ROWS, tick_shift = 8;
	const uint32_t flow_mask = lab->flows / EK_FLOW_WAYS - 1;
	int err;

	if ((err = set_constant(lab, "own_port", &own_port, sizeof(own_port))) ||
	    (err = set_constant(lab, "backends_limit", &rows, sizeof(rows))) ||
	    (err = set_constant(lab, "hash_key", &lab->key, sizeof(lab->key))) ||
	    (err = set_constant(lab, "flow_mask", &flow_mask, sizeof(flow_mask))))
		return err;
	return set_constant(lab, "tick_shift", &tick_shift, sizeof(tick_shift));
}

static int size_map(struct lab *lab, const char *name, uint32_t entries)
{
	struct bpf_map *map = bpf_object__find_map_by_name(lab->object, name);

	return map ? bpf_map__set_max_entries(map, entries) : -ENOENT;
}

static int load(struct lab *lab, const char *file)
{
	struct bpf_program *program;
	int err;

	if (file)
		lab->object = bpf_object__open_file(file, NULL);
	else if ((lab->skeleton = balancer__open()))
		lab->object = lab->skeleton->obj;
	if (!lab->object)
		return -errno;
	if ((err = set_constants(lab)) || (err = size_map(lab, "backends", lab->cpus * LAB_ROWS)) ||
	    (err = size_map(lab, "flows", lab->flows / EK_FLOW_WAYS)) ||
	    (err = size_map(lab, "flow_keys", lab->flows / EK_FLOW_WAYS)) ||
	    (err = bpf_object__load(lab->object)))
		return err;
	program = bpf_object__find_program_by_name(lab->object, "evenkeel");
	lab->program = program ? bpf_program__fd(program) : -ENOENT;
	return lab->program < 0 ? lab->program : 0;
}

static int fill_port(struct lab *lab)
{
	const struct ek_port port = {
		.mac = lab_mac,
		.ifindex = 1,
		.source4 = lab_source4.words[3],
		.source6 = lab_source6,
	};
	const uint32_t number = 0;

	return bpf_map_update_elem(map_fd(lab, "ports"), &number, &port, BPF_ANY);
}

/* The words of an outer IPv4 header that are the same for every packet, as the data plane adds. */
static uint32_t constant_sum(const struct ek_ip *destination)
{
	return 0x45 + (EK_OUTER_TTL | IPPROTO_IPIP << 8) + (destination->words[3] & 0xffff) +
	       (destination->words[3] >> 16);
}

static int fill_backends(struct lab *lab)
{
	lab->backends = map_view(map_fd(lab, "backends"),
				 (size_t)lab->cpus * LAB_ROWS * sizeof(*lab->backends));
	if (!lab->backends)
		return -errno;
	for (int n = 0; n < lab->cpus * LAB_ROWS; n++) {
		struct ek_backend *b = &lab->backends[n];
		int index = n % LAB_ROWS - 1;

		if (index < 0)
			continue;
		b->service = index / LAB_BACKENDS;
		b->address = lab_backend(b->service, index % LAB_BACKENDS);
		b->csum = constant_sum(&b->address);
		b->mtu = 1500;
		b->index = index + 1;
		b->forward = ek_ip_is_v4(&b->address) ? EK_FORWARD_IPIP : EK_FORWARD_IPIP6;
		b->nexthop = EK_NEXTHOP(lab_nexthop_mac, 0, EK_NEXTHOP_USABLE);
	}
	return 0;
}

static int fill_services(struct lab *lab)
{
	struct ek_service_table *table = map_view(map_fd(lab, "services"), sizeof(*table));

	if (!table)
		return -errno;
	for (int id = 0; id < LAB_SERVICES; id++) {
		const struct ek_ip *vip = service_is_v4(id) ? &lab_vip4 : &lab_vip6;
		uint32_t word = htons(LAB_PORT) | (uint32_t)service_protocol(id) << 16;
		uint32_t slot = ek_hash_service_slot(ek_hash_service(&lab->key, vip, word));
		struct ek_service *s;

		while ((s = &table->slot[slot++ % EK_SERVICE_SLOTS])->key)
			;
		s->vip = *vip;
		s->id = id;
		for (int state = 0; state < EK_FLOW_STATES; state++)
			s->timeout[state] = 8100; /* nobody sweeps here */
		s->key = EK_SERVICE_KEY(htons(LAB_PORT), service_protocol(id), EK_SERVICE_LIVE);
		lab->service[id] = s;
	}
	return 0;
}

/* Backends in turn: flows meet the slots in the order of a hash, so the order here is no matter. */
static int fill_ring(struct lab *lab, uint32_t id)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	struct ek_ring *ring;
	int err = 0, map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ring", sizeof(uint32_t),
					  sizeof(*ring), 1, &opts);

	if (map < 0)
		return map;
	ring = lab->ring[id] = map_view(map, sizeof(*ring));
	if (!ring) {
		err = -errno;
	} else {
		for (uint32_t i = 0; i < EK_RING_SIZE; i++) {
			uint32_t index = 1 + id * LAB_BACKENDS + i % LAB_BACKENDS;

			ring->slot[i] = ek_slot(index, index, 0);
		}
		err = bpf_map_update_elem(map_fd(lab, "rings"), &id, &map, BPF_ANY);
	}
	close(map);
	return err;
}

int lab_open(struct lab *lab, const char *file, uint32_t flows)
{
	int err;

	*lab = (struct lab){.cpus = libbpf_num_possible_cpus(), .flows = flows};
	if (getrandom(&lab->key, sizeof(lab->key), 0) != sizeof(lab->key))
		return -errno;
	if ((err = load(lab, file)) || (err = fill_port(lab)) || (err = fill_backends(lab)) ||
	    (err = fill_services(lab)))
		return err;
	for (uint32_t id = 0; id < LAB_SERVICES && !err; id++)
		err = fill_ring(lab, id);
	return err;
}

/* The mapped views go with the process. */
void lab_close(struct lab *lab)
{
	if (lab->skeleton)
		balancer__destroy(lab->skeleton);
	else
		bpf_object__close(lab->object);
}

uint64_t lab_forwarded(const struct lab *lab)
{
	const volatile struct ek_backend *row = lab->backends;
	uint64_t sum = 0;

	for (int n = 0; n < lab->cpus * LAB_ROWS; n++)
		sum += row[n].packets;
	return sum;
}

uint64_t lab_dropped(const struct lab *lab)
{
	uint64_t count[lab->cpus], sum = 0;

	for (uint32_t reason = 0; reason < EK_DROP_COUNT; reason++) {
		if (bpf_map_lookup_elem(map_fd(lab, "drops"), &reason, count))
			continue;
		for (int cpu = 0; cpu < lab->cpus; cpu++)
			sum += count[cpu];
	}
	return sum;
}

/* As the kernel accounts for it. */
static long map_memory(int map)
{
	char path[64], line[128];
	long bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", map);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %ld", &bytes) == 1)
			break;
	fclose(f);
	return bytes;
}

/* `backends` as the controller would size it: asked of the kernel, then let go. */
static long backends_memory(const struct lab *lab, int services)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	int rows = 1 + services * LAB_BACKENDS;
	int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "backends", sizeof(uint32_t),
				 sizeof(struct ek_backend), lab->cpus * rows, &opts);
	long bytes;

	if (map < 0)
		return 0;
	bytes = map_memory(map);
	close(map);
	return bytes;
}

long lab_memory_of_services(const struct lab *lab, int services)
{
	return map_memory(map_fd(lab, "services")) + map_memory(map_fd(lab, "rings")) +
	       services * map_memory(map_fd(lab, "ring_template")) + backends_memory(lab, services);
}

double lab_memory_of_flow(const struct lab *lab)
{
	long bytes = map_memory(map_fd(lab, "flows")) + map_memory(map_fd(lab, "flow_keys"));

	return (double)bytes / lab->flows;
}
