/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A data plane in memory: a struct ek_datapath as datapath.c would open it, without a kernel and
 * without privileges. The few calls of libbpf that are left have stand-ins here, which the
 * executable's own linkage prefers to the library's: a ring is a memory file, a pin is nothing, and
 * the program that tells the tick tells that of the node whose number it is.
 *
 * sim_packet() is what bpf/select.h does around ek_select().
 */
#ifndef TESTS_DATAPATH_SIM_H
#define TESTS_DATAPATH_SIM_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "datapath_mirror.h"
#include "datapath_private.h"
#include "balancer.skel.h"
#include "service_table.h"

#define SIM_NODES 3
#define SIM_CPUS  2

static uint32_t sim_tick[SIM_NODES]; /* nodes' clocks have nothing in common */
static uint64_t sim_unstored;

/* --- in the place of libbpf ------------------------------------------------------------------ */

int bpf_program__fd(const struct bpf_program *program)
{
	return (int)(intptr_t)program;
}

int bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *opts)
{
	opts->retval = sim_tick[fd - 1];
	return 0;
}

/* The one map with keys that are no numbers; the others take what is written and forget it. */
#define SIM_WILDCARDS 1000

static struct sim_trie {
	struct ek_wildcard_key key[EK_SERVICES_MAX];
	struct ek_wildcard value[EK_SERVICES_MAX];
	size_t n, room;	       /* 0: as much as the arrays have */
	void (*changed)(void); /* after each write, unless NULL */
} sim_trie;

int bpf_map__fd(const struct bpf_map *map)
{
	return map == (const struct bpf_map *)SIM_WILDCARDS ? SIM_WILDCARDS : -1;
}

static size_t sim_trie_find(const void *key)
{
	size_t i = 0;

	while (i < sim_trie.n && memcmp(&sim_trie.key[i], key, sizeof(sim_trie.key[i])))
		i++;
	return i;
}

static void sim_trie_set(size_t at, const void *key, const void *value)
{
	if (value) {
		memcpy(&sim_trie.key[at], key, sizeof(sim_trie.key[at]));
		memcpy(&sim_trie.value[at], value, sizeof(sim_trie.value[at]));
		sim_trie.n += at == sim_trie.n;
	} else if (at < sim_trie.n) {
		sim_trie.key[at] = sim_trie.key[--sim_trie.n];
		sim_trie.value[at] = sim_trie.value[sim_trie.n];
	}
	if (sim_trie.changed)
		sim_trie.changed();
}

int bpf_map_get_next_key(int fd, const void *key, void *next)
{
	size_t at = key ? sim_trie_find(key) + 1 : 0;

	if (fd != SIM_WILDCARDS || at >= sim_trie.n)
		return -1;
	memcpy(next, &sim_trie.key[at], sizeof(sim_trie.key[at]));
	return 0;
}

int bpf_map_create(enum bpf_map_type type, const char *name, __u32 key_size, __u32 value_size,
		   __u32 entries, const struct bpf_map_create_opts *opts)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	(void)type;
	(void)key_size;
	(void)entries;
	(void)opts;
	if (fd < 0 || ftruncate(fd, value_size))
		abort();
	return fd;
}

/* Kept for who adopts: to be closed by sim_unpin(). */
static struct sim_pin {
	char path[96];
	int fd;
} sim_pins[8];
static bool sim_pinning;

int bpf_obj_pin(int fd, const char *path)
{
	for (size_t i = 0; sim_pinning && i < sizeof(sim_pins) / sizeof(*sim_pins); i++) {
		if (sim_pins[i].path[0])
			continue;
		snprintf(sim_pins[i].path, sizeof(sim_pins[i].path), "%s", path);
		sim_pins[i].fd = dup(fd);
		break;
	}
	return 0;
}

int bpf_obj_get(const char *path)
{
	for (size_t i = 0; i < sizeof(sim_pins) / sizeof(*sim_pins); i++)
		if (!strcmp(sim_pins[i].path, path))
			return dup(sim_pins[i].fd);
	return -1;
}

static inline void sim_unpin(void)
{
	for (size_t i = 0; i < sizeof(sim_pins) / sizeof(*sim_pins); i++)
		if (sim_pins[i].path[0])
			close(sim_pins[i].fd);
	memset(sim_pins, 0, sizeof(sim_pins));
	sim_pinning = false;
}

int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	(void)flags;
	if (fd != SIM_WILDCARDS)
		return 0;
	if (sim_trie.n == (sim_trie.room ? sim_trie.room : EK_SERVICES_MAX)) { /* as Linux 6.1 */
		errno = ENOSPC;
		return -1;
	}
	sim_trie_set(sim_trie_find(key), key, value);
	return 0;
}

int bpf_map_delete_elem(int fd, const void *key)
{
	if (fd == SIM_WILDCARDS)
		sim_trie_set(sim_trie_find(key), key, NULL);
	return 0;
}

/* --- life ------------------------------------------------------------------------------------ */

static void *sim_memory(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!memory)
		abort();
	return memset(memory, 0, size);
}

static struct ek_datapath *sim_datapath_new(unsigned int node, uint32_t limit, uint32_t buckets)
{
	struct ek_datapath *dp = sim_memory(sizeof(*dp));

	strcpy(dp->pin_dir, "/nonexistent");
	dp->limit = limit;
	dp->cpus = SIM_CPUS;
	dp->buckets = buckets;
	dp->clock = ek_clock_of(1000);
	for (size_t i = 0; i < EK_HASH_WORDS; i++)
		dp->key.k[i] = 0x9e3779b97f4a7c15ull * (i + 1);
	dp->maps = sim_memory(sizeof(*dp->maps));
	dp->maps->maps.wildcards = (struct bpf_map *)SIM_WILDCARDS;
	dp->maps->progs.tick = (struct bpf_program *)(intptr_t)(node + 1);
	dp->services = sim_memory(sizeof(*dp->services));
	dp->backends = sim_memory(SIM_CPUS * limit * sizeof(*dp->backends));
	dp->flows = sim_memory(buckets * sizeof(*dp->flows));
	dp->flow_keys = sim_memory(buckets * sizeof(*dp->flow_keys));
	dp->news = sim_memory(SIM_CPUS * sizeof(*dp->news));
	dp->news_read = sim_memory(SIM_CPUS * sizeof(*dp->news_read));
	if (ek_sweep_init(&dp->sweep, dp->flows, buckets, dp->backends, limit))
		abort();
	dp->sweep.keys = dp->flow_keys;
	dp->sweep.hash_key = &dp->key;
	for (uint32_t i = 0; i < SIM_CPUS * limit; i++)
		dp->backends[i].service = EK_SERVICE_NONE;
	return dp;
}

static void sim_datapath_free(struct ek_datapath *dp)
{
	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++)
		ek_datapath_ring_close(&dp->rings[id]);
	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++)
		free(dp->planned[id].entries);
	ek_sweep_free(&dp->sweep);
	free(dp->maps);
	free(dp->services);
	free(dp->backends);
	free(dp->flows);
	free(dp->flow_keys);
	free(dp->news);
	free(dp->news_read);
	free(dp);
}

/* --- packets --------------------------------------------------------------------------------- */

struct sim_flow {
	uint16_t service;
	uint32_t slot; /* of the ring */
	uint32_t low;  /* of the hash: the bucket */
	uint16_t port; /* of the client; two of one slot and bucket are two flows */
};

struct sim_view {
	struct ek_datapath *dp;
	uint16_t service;
	uint32_t bucket;
};

static inline uint64_t sim_hash(const struct sim_flow *flow)
{
	uint64_t high = (((uint64_t)flow->slot << 32) + EK_RING_SIZE - 1) / EK_RING_SIZE;

	return (high + flow->port) << 32 | flow->low;
}

static inline int sim_flags(void *context, __u32 backend)
{
	const struct sim_view *view = context;
	const struct ek_backend *row =
		backend < view->dp->limit ? &view->dp->backends[backend] : NULL;

	return row && row->service == view->service ? (int)EK_NEXTHOP_FLAGS(row->nexthop) : -1;
}

static inline struct ek_flow_key *sim_key(void *context, __u32 way)
{
	const struct sim_view *view = context;

	return &view->dp->flow_keys[view->bucket].key[way & (EK_FLOW_WAYS - 1)];
}

static inline void sim_tell(struct ek_datapath *dp, unsigned int cpu, uint64_t entry,
			    uint32_t bucket, uint8_t way, uint8_t flags)
{
	struct ek_news *log = &dp->news[cpu];

	log->record[log->head++ % EK_NEWS_SIZE] = (struct ek_news_record){
		.entry = entry, .bucket = bucket, .way = way, .flags = flags};
}

static inline struct ek_ip sim_client(const struct sim_flow *flow)
{
	struct ek_ip ip = {.halves[1] = EK_V4_MAPPED};

	ip.words[3] = flow->slot;
	return ip;
}

/* As it is published, with what role and sweep add to it. */
static inline const struct ek_service *sim_service(struct ek_datapath *dp, uint16_t id)
{
	const struct ek_service *first = dp->planned[id].entries;

	return ek_service_table_find(dp->services, &dp->key, &first->vip, first->key);
}

/* Which backend takes the packet: a row of this node, or EK_BACKEND_NONE. */
static inline uint32_t sim_packet(struct ek_datapath *dp, const struct sim_flow *flow,
				  enum ek_packet_kind kind, uint32_t sequence)
{
	uint32_t now = sim_tick[(intptr_t)dp->maps->progs.tick - 1];
	struct sim_view view = {dp, flow->service, flow->low & (dp->buckets - 1)};
	struct ek_ring *ring = dp->rings[flow->service].ring;
	const struct ek_surroundings around = {
		sim_flags, sim_key, &view, sim_service(dp, flow->service), &dp->flows[view.bucket]};
	const struct ek_selection s = {.hash = sim_hash(flow),
				       .slot = ring->slot[flow->slot],
				       .now = now,
				       .sequence = sequence,
				       .source_word = sim_client(flow).words[3],
				       .source_port = flow->port,
				       .kind = kind};
	struct ek_choice choice;

	if (!(s.slot & EK_SLOT_LOOKUP) || !ek_slot_current(s.slot))
		return ek_slot_current(s.slot);
	ek_select(&choice, &s, &around);
	if (choice.stored >= 0)
		*sim_key(&view, choice.stored) = (struct ek_flow_key){
			.source = sim_client(flow),
			.destination = around.service->vip,
			.source_port = flow->port,
			.destination_port = EK_SERVICE_KEY_PORT(around.service->key),
			.isn = kind == EK_PACKET_SYN ? sequence : sequence - 1,
			.since = now,
			.service = flow->service,
			.protocol = EK_SERVICE_KEY_PROTO(around.service->key)};
	if (around.service->flags & EK_SERVICE_F_MIRRORED) {
		if (choice.removed)
			sim_tell(dp, flow->port % SIM_CPUS, choice.removed, view.bucket, 0,
				 EK_NEWS_REMOVED);
		if (choice.news)
			sim_tell(dp, flow->port % SIM_CPUS, choice.news, view.bucket,
				 choice.news_way, 0);
	}
	if (choice.origin_hit)
		ring->hit[flow->slot] = now & EK_TICK_MASK;
	sim_unstored += choice.unstored;
	return choice.backend;
}

/* The flow's entry that is no embryo, or 0. */
static inline uint64_t sim_entry(const struct ek_datapath *dp, const struct sim_flow *flow)
{
	const struct ek_flow_bucket *b = &dp->flows[flow->low & (dp->buckets - 1)];

	for (int way = 0; way < EK_FLOW_WAYS; way++)
		if (ek_flow_hash_high(b->entry[way] ^ sim_hash(flow)) == 0 &&
		    ek_flow_state(b->entry[way]) > EK_FLOW_EMBRYONIC)
			return b->entry[way];
	return 0;
}

#endif
