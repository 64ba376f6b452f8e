/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A data plane for test_flood.c and test_cpus.c: bpf/balancer.bpf.c with one TCP and one UDP
 * service, a connection table of any size, and flood.bpf.c in front of it. Nothing is attached:
 * packets go through BPF_PROG_TEST_RUN, one by one from here or by the million from flood.bpf.c,
 * and a connection's backend is read from the outer header that comes out.
 */
#ifndef EVENKEEL_TESTS_FLOOD_WORLD_H
#define EVENKEEL_TESTS_FLOOD_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include "flood.h"
#include "balancer.skel.h"
#include "frame.h"
#include "ring.h"
#include "service_table.h"
#include "tests/bpf/flood.skel.h"

#define SETS	4u /* of backends: what a ring is changed from and to */
#define PER_SET (FLOOD_ROWS / SETS)
#define ROWS	(1 + SERVICES * FLOOD_ROWS) /* of one CPU in `backends` */
#define NEVER	16000			    /* ticks: nobody sweeps here, nothing shall expire */
#define CPUS	64u

enum { TCP, UDP, SERVICES };

static const uint8_t node_mac[6] = "\x02\x00\x00\x00\x00\x01";
static const uint8_t other_mac[6] = "\x02\x00\x00\x00\x00\x02";

struct world {
	struct balancer *balancer;
	struct flood *source;
	struct ek_hash_key key;
	uint32_t cpus, buckets;
	struct ek_service_table *services;
	struct ek_backend *backends;
	struct ek_port *ports;
	struct ek_ring *ring[SERVICES];
	struct ek_flow_bucket *flows;
	struct ek_flow_keys *flow_keys;
	cpu_set_t allowed; /* CPUs */
};

struct connection {
	struct flood_tuple from;
	uint32_t isn;
	uint32_t row;
	uint64_t hash;
	/* Held by an entry: where, and what it was. */
	struct ek_flow_bucket *bucket;
	int way; /* or -1 */
	uint64_t entry;
	struct ek_flow_key key;
};

/* Ticks of 8 to 80 ms: the grace of embryos ends many times in a flood of seconds. */
#define FLOOD_SHIFT 3

/* --- a world --------------------------------------------------------------------------------- */

static inline uint32_t row_of(unsigned int service, unsigned int set, uint32_t slot)
{
	return 1 + service * FLOOD_ROWS + set * PER_SET + (slot * 2654435761u >> 30);
}

static inline struct ek_ip mapped4(uint32_t address)
{
	struct ek_ip ip = {.halves = {0, EK_V4_MAPPED}};

	ip.words[3] = htonl(address);
	return ip;
}

static inline uint64_t mac48(const uint8_t *mac)
{
	uint64_t word = 0;

	memcpy(&word, mac, 6);
	return word;
}

static inline void *map_of(const struct bpf_map *map, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static inline uint32_t tick_of(const struct world *w)
{
	uint8_t bytes[FLOOD_LENGTH] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes, .data_size_in = sizeof(bytes));

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(w->balancer->progs.tick), &opts),
			 0);
	return opts.retval;
}

static inline size_t change_ring(const struct world *w, unsigned int service, unsigned int set)
{
	static uint16_t choices[EK_RING_SIZE];

	for (uint32_t slot = 0; slot < EK_RING_SIZE; slot++)
		choices[slot] = row_of(service, set, slot);
	return ek_ring_apply(w->ring[service], choices,
			     service == UDP ? EK_TRACKING_FULL : EK_TRACKING_JUST_ENOUGH,
			     tick_of(w), NULL);
}

static inline void set_backend(const struct world *w, uint32_t row, unsigned int flags)
{
	struct ek_backend b = {.address = mapped4(FLOOD_OUTER + row),
			       .service = (row - 1) / FLOOD_ROWS,
			       .mtu = 1500,
			       .forward = EK_FORWARD_IPIP,
			       .nexthop = EK_NEXTHOP(mac48(other_mac), 0, flags)};

	b.csum = 0x45 + (EK_OUTER_TTL | IPPROTO_IPIP << 8) + (b.address.words[3] & 0xffff) +
		 (b.address.words[3] >> 16);
	for (uint32_t cpu = 0; cpu < w->cpus; cpu++)
		w->backends[cpu * ROWS + row] = b;
}

static inline void add_service(struct world *w, uint32_t id)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	struct ek_service s = {.vip = mapped4(FLOOD_VIP),
			       .key = EK_SERVICE_KEY(htons(FLOOD_PORT),
						     id == UDP ? IPPROTO_UDP : IPPROTO_TCP,
						     EK_SERVICE_LIVE),
			       .id = id,
			       .flags = id == UDP ? EK_SERVICE_F_TRACK_FULL : 0,
			       .timeout = {NEVER, NEVER, NEVER, NEVER}};
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ring", sizeof(uint32_t),
				sizeof(struct ek_ring), 1, &opts);

	assert_true(fd >= 0);
	w->ring[id] = mmap(NULL, sizeof(struct ek_ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(w->ring[id], MAP_FAILED);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(w->balancer->maps.rings), &id, &fd, 0), 0);
	close(fd);
	change_ring(w, id, 0);
	assert_int_equal(ek_service_table_put(w->services, &w->key, &s), 0);
}

static inline void load_balancer(struct world *w, uint32_t tick_shift)
{
	struct balancer *b = w->balancer = balancer__open();

	assert_non_null(b);
	b->rodata->backends_limit = ROWS;
	b->rodata->flow_mask = w->buckets - 1;
	b->rodata->tick_shift = tick_shift;
	memcpy((void *)&b->rodata->hash_key, &w->key, sizeof(w->key));
	bpf_map__set_max_entries(b->maps.backends, w->cpus * ROWS);
	bpf_map__set_max_entries(b->maps.flows, w->buckets);
	bpf_map__set_max_entries(b->maps.flow_keys, w->buckets);
	assert_int_equal(balancer__load(b), 0);
	w->services = map_of(b->maps.services, sizeof(*w->services));
	w->backends = map_of(b->maps.backends, w->cpus * ROWS * sizeof(*w->backends));
	w->ports = map_of(b->maps.ports, EK_PORTS_MAX * sizeof(*w->ports));
	w->flows = map_of(b->maps.flows, w->buckets * sizeof(*w->flows));
	w->flow_keys = map_of(b->maps.flow_keys, w->buckets * sizeof(*w->flow_keys));
}

static inline void load_source(struct world *w)
{
	const struct packet_spec tcp = {.family = 4,
					.protocol = IPPROTO_TCP,
					.source = mapped4(0),
					.destination = mapped4(FLOOD_VIP),
					.destination_port = FLOOD_PORT};
	struct flood *s = w->source = flood__open();
	struct frame f = {0};

	assert_non_null(s);
	s->rodata->flow_mask = w->buckets - 1;
	memcpy((void *)&s->rodata->hash_key, &w->key, sizeof(w->key));
	assert_int_equal(bpf_map__reuse_fd(s->maps.flows, bpf_map__fd(w->balancer->maps.flows)), 0);
	assert_int_equal(flood__load(s), 0);
	build_frame(&f, &tcp, node_mac, other_mac);
	memset(f.bytes + ETHERNET + 24, 0, 4);
	memcpy(s->bss->frame, f.bytes, sizeof(s->bss->frame));
}

static inline void aim_source(const struct world *w, const struct bpf_program *at)
{
	const uint32_t first = 0;
	int fd = bpf_program__fd(at);

	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(w->source->maps.under_test), &first, &fd, 0), 0);
}

static inline void world_open(struct world *w, const cpu_set_t *allowed, uint32_t buckets,
			      uint32_t tick_shift)
{
	int cpus = libbpf_num_possible_cpus();

	assert_in_range(cpus, 1, CPUS);
	*w = (struct world){.cpus = cpus, .buckets = buckets, .allowed = *allowed};
	for (unsigned int i = 0; i < EK_HASH_WORDS; i++) /* any key: the same in every run */
		w->key.k[i] = flood_mix(i + 1);
	load_balancer(w, tick_shift);
	load_source(w);
	aim_source(w, w->balancer->progs.evenkeel);
	w->ports[0] = (struct ek_port){
		.mac = mac48(node_mac), .ifindex = 1, .source4 = htonl(0x0a000001)};
	for (uint32_t row = 1; row < ROWS; row++)
		set_backend(w, row, EK_NEXTHOP_USABLE);
	for (uint32_t id = 0; id < SERVICES; id++)
		add_service(w, id);
}

static inline void world_close(struct world *w)
{
	for (uint32_t id = 0; id < SERVICES; id++)
		munmap(w->ring[id], sizeof(struct ek_ring));
	munmap(w->services, sizeof(*w->services));
	munmap(w->backends, w->cpus * ROWS * sizeof(*w->backends));
	munmap(w->ports, EK_PORTS_MAX * sizeof(*w->ports));
	munmap(w->flows, w->buckets * sizeof(*w->flows));
	munmap(w->flow_keys, w->buckets * sizeof(*w->flow_keys));
	flood__destroy(w->source);
	balancer__destroy(w->balancer);
}

/* --- packets --------------------------------------------------------------------------------- */

/* The row of the backend that it went to, or EK_BACKEND_NONE if it was dropped. */
static inline uint32_t send_packet(const struct world *w, unsigned int service,
				   struct flood_tuple from, unsigned int flags, uint32_t sequence)
{
	const struct packet_spec p = {.family = 4,
				      .protocol = service == UDP ? IPPROTO_UDP : IPPROTO_TCP,
				      .source = mapped4(ntohl(from.address)),
				      .destination = mapped4(FLOOD_VIP),
				      .source_port = ntohs(from.port),
				      .destination_port = FLOOD_PORT,
				      .tcp_flags = flags};
	static struct frame in, out;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in.bytes, .data_out = out.bytes,
		    .data_size_out = sizeof(out.bytes));

	build_frame(&in, &p, node_mac, other_mac);
	if (service == TCP) {
		overwrite16(&in, ETHERNET + 24, sequence >> 16);
		overwrite16(&in, ETHERNET + 26, sequence & 0xffff);
	}
	opts.data_size_in = in.length;
	assert_int_equal(
		bpf_prog_test_run_opts(bpf_program__fd(w->balancer->progs.evenkeel), &opts), 0);
	if (opts.retval == XDP_DROP)
		return EK_BACKEND_NONE;
	assert_int_equal(opts.retval, XDP_TX);
	assert_int_equal(opts.data_size_out, in.length + 20);
	assert_int_equal(read16(&out, ETHERNET + 16) << 16, FLOOD_OUTER & 0xffff0000);
	return read16(&out, ETHERNET + 18) - (FLOOD_OUTER & 0xffff);
}

static inline uint64_t hash_of(const struct world *w, unsigned int service, struct flood_tuple from)
{
	const struct ek_ip source = mapped4(ntohl(from.address)), vip = mapped4(FLOOD_VIP);
	uint32_t protocol = service == UDP ? IPPROTO_UDP : IPPROTO_TCP;

	return ek_hash_flow(&w->key, &source, from.port, &vip, htons(FLOOD_PORT) | protocol << 16);
}

/* Numbers from a part of the space that forged SYNs leave alone: see flood.bpf.c. */
static inline uint32_t live_isn(uint32_t n)
{
	return 0x41000000 + flood_mix(n) % 0x0e000000;
}

static inline void pin_to(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

/* The first CPU after `cpu` (-1: the first at all) that we may use; -1: no more. */
static inline int next_cpu(const struct world *w, int cpu)
{
	while (++cpu < (int)w->cpus)
		if (CPU_ISSET(cpu, &w->allowed))
			return cpu;
	return -1;
}

/* The n-th that any client opens; ports are never used twice. */
static inline struct flood_tuple nth_tuple(uint32_t n)
{
	return (struct flood_tuple){.address = flood_client(n % FLOOD_CLIENTS),
				    .port = htons(1024 + n / FLOOD_CLIENTS * 37)};
}

static inline uint64_t entries_in_use(const struct world *w)
{
	uint64_t used = 0;

	for (uint32_t i = 0; i < w->buckets * EK_FLOW_WAYS; i++)
		used += !!w->flows[i / EK_FLOW_WAYS].entry[i % EK_FLOW_WAYS];
	return used;
}

/* --- running the tests ----------------------------------------------------------------------- */

static inline int set_up(void **state)
{
	static cpu_set_t allowed;

	*state = &allowed;
	return sched_getaffinity(0, sizeof(allowed), &allowed);
}

/* A failed test may leave us on one CPU. */
static inline int unpin(void **state)
{
	return sched_setaffinity(0, sizeof(cpu_set_t), *state);
}

#define TEST(name) cmocka_unit_test_teardown(name, unpin)

#endif
