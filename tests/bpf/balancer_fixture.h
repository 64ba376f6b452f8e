/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A data plane to run frames through: bpf/balancer.bpf.c loaded without an interface and without
 * pins, its maps filled with the services below, and every counter read before and after.
 *
 * expected_*() is a second opinion on what the program should have done, from the bytes of the
 * frame and the list of services. With the program it shares include/evenkeel/hash.h (which is
 * specification) and nothing else.
 */
#ifndef EVENKEEL_TESTS_BALANCER_FIXTURE_H
#define EVENKEEL_TESTS_BALANCER_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <evenkeel/hash.h>
#include "balancer.skel.h"
#include "frame.h"
#include "ring.h"
#include "service_table.h"

#define CPUS_MAX    512
#define ROWS	    64u /* of `backends`, for each CPU */
#define PER_SERVICE 4u
#define OWN_PORT    3u
#define EGRESS_PORT 7u
#define PATH_MTU    1500
#define BUCKETS	    64u /* of the connection table */
#define TICK_SHIFT  31u /* weeks: time stands still */

#define CLIENT4 "198.51.100.7"
#define CLIENT6 "2001:db8:1::7"
#define VIP4	"192.0.2.10"
#define VIP6	"2001:db8::10"
#define VARIED4 "192.0.2.11"
#define VARIED6 "2001:db8::11"
#define OTHER4	"192.0.2.99"
#define OTHER6	"2001:db8::99"
#define NODE4	"10.0.0.1"
#define NODE6	"2001:db8:ff::1"
#define EGRESS4 "10.9.0.1"
#define EGRESS6 "2001:db8:fe::1"

static const uint8_t node_mac[6] = "\x02\x00\x00\x00\x00\x01";
static const uint8_t egress_mac[6] = "\x02\x00\x00\x00\x00\x09";
static const uint8_t client_mac[6] = "\x02\xcc\xcc\xcc\xcc\x01";

/* A service's ring is `rings[its place here]`, its backends the rows from row_of(place, 0). */
static const struct known {
	const char *vip;
	unsigned int port, protocol;
	const char *outer_source; /* prefix; NULL: the node's address */
	unsigned int varied_bits;
} known[] = {
	{VIP4, 80, IPPROTO_TCP, NULL, 0},
	{VIP6, 80, IPPROTO_TCP, NULL, 0},
	{VIP4, 443, IPPROTO_TCP, NULL, 0},
	{VIP6, 443, IPPROTO_TCP, NULL, 0},
	{VIP4, 53, IPPROTO_UDP, NULL, 0},
	{VIP6, 53, IPPROTO_UDP, NULL, 0},
	{VARIED4, 80, IPPROTO_TCP, "10.0.64.0", 14},
	{VARIED6, 80, IPPROTO_TCP, "2001:db8:ff:1::", 28},
};
#define N_KNOWN (sizeof(known) / sizeof(known[0]))

struct fixture {
	struct balancer *skeleton;
	struct ek_hash_key key;
	uint32_t cpus;
	struct ek_service_table *services;
	struct ek_backend *backends;
	struct ek_port *ports;
	struct ek_ring *rings[N_KNOWN];
	struct ek_flow_bucket *flows;
	struct ek_flow_keys *flow_keys;
};

struct counters {
	uint64_t drops[EK_DROP_COUNT];
	uint64_t packets[ROWS], bytes[ROWS];
};

struct result {
	int verdict;
	unsigned int counted_drops, counted_forwards;
	unsigned int drop; /* the reason that was counted */
	unsigned int row;  /* the backend that was counted */
	uint64_t bytes;
	struct frame out;
};

/* --- filling the maps ------------------------------------------------------------------------ */

static inline uint32_t row_of(unsigned int service, unsigned int i)
{
	return 1 + service * PER_SERVICE + i;
}

static inline uint64_t mac48(const uint8_t *mac)
{
	uint64_t word = 0;

	memcpy(&word, mac, 6);
	return word;
}

static inline void backend_mac(uint8_t *mac, uint32_t row)
{
	memcpy(mac, "\x02\xbb\xbb\xbb\xbb", 5);
	mac[5] = row;
}

static inline bool is_v6(const struct ek_ip *ip)
{
	return memcmp(ip->bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
}

static inline struct ek_ip backend_address(unsigned int service, uint32_t row)
{
	struct ek_ip vip = address(known[service].vip);
	struct ek_ip ip = address(is_v6(&vip) ? "2001:db8:b::ff00" : "10.0.255.0");

	ip.bytes[15] = row;
	return ip;
}

/* The constant words of the header, as the ABI has them: in memory order. */
static inline uint32_t constant_sum(const struct ek_ip *to)
{
	const uint8_t bytes[8] = {
		0x45,	      0, 64, IPPROTO_IPIP, to->bytes[12], to->bytes[13], to->bytes[14],
		to->bytes[15]};
	uint32_t sum = 0;

	for (unsigned int i = 0; i < sizeof(bytes); i += 2)
		sum += bytes[i] | bytes[i + 1] << 8;
	return sum;
}

/* Every CPU's copy. */
static inline void set_backend(struct fixture *f, uint32_t row, const struct ek_backend *value)
{
	for (uint32_t cpu = 0; cpu < f->cpus; cpu++)
		f->backends[cpu * ROWS + row] = *value;
}

static inline struct ek_backend usual_backend(unsigned int service, uint32_t row)
{
	uint8_t mac[6];
	struct ek_backend b = {.address = backend_address(service, row),
			       .service = service,
			       .mtu = PATH_MTU,
			       .index = row};

	backend_mac(mac, row);
	b.nexthop = EK_NEXTHOP(mac48(mac), OWN_PORT, EK_NEXTHOP_USABLE);
	b.forward = is_v6(&b.address) ? EK_FORWARD_IPIP6 : EK_FORWARD_IPIP;
	b.csum = is_v6(&b.address) ? 0 : constant_sum(&b.address);
	return b;
}

static inline struct ek_service entry_of(unsigned int service)
{
	const struct known *k = &known[service];
	struct ek_service entry = {
		.vip = address(k->vip),
		.key = EK_SERVICE_KEY(htons(k->port), k->protocol, EK_SERVICE_LIVE),
		.id = service,
	};

	if (k->outer_source) {
		entry.outer_source = address(k->outer_source);
		entry.outer_mask = htonl((1u << k->varied_bits) - 1);
	}
	return entry;
}

static inline void add_service(struct fixture *f, const struct ek_service *entry)
{
	const struct ek_service vip = {.vip = entry->vip,
				       .key = EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP)};

	assert_int_equal(ek_service_table_put(f->services, &f->key, &vip), 0);
	assert_int_equal(ek_service_table_put(f->services, &f->key, entry), 0);
}

/* Which backend a slot names: all of them, in no simple order. */
static inline uint32_t usual_choice(unsigned int service, uint32_t slot)
{
	return row_of(service, (slot * 2654435761u) >> 30);
}

static inline void set_port(struct fixture *f, uint32_t port, const uint8_t *mac, const char *v4,
			    const char *v6)
{
	f->ports[port] = (struct ek_port){.mac = mac48(mac),
					  .ifindex = 1,
					  .source4 = address(v4).words[3],
					  .source6 = address(v6)};
}

/* Everything as listed above; the maps may hold anything. */
static inline void fixture_fill(struct fixture *f)
{
	memset(f->services, 0, sizeof(*f->services));
	memset(f->backends, 0, (size_t)f->cpus * ROWS * sizeof(*f->backends));
	memset(f->ports, 0, EK_PORTS_MAX * sizeof(*f->ports));
	set_port(f, OWN_PORT, node_mac, NODE4, NODE6);
	set_port(f, EGRESS_PORT, egress_mac, EGRESS4, EGRESS6);
	for (unsigned int s = 0; s < N_KNOWN; s++) {
		const struct ek_service entry = entry_of(s);

		for (unsigned int i = 0; i < PER_SERVICE; i++) {
			const struct ek_backend b = usual_backend(s, row_of(s, i));

			set_backend(f, row_of(s, i), &b);
		}
		for (uint32_t slot = 0; slot < EK_RING_SIZE; slot++)
			f->rings[s]->slot[slot] =
				ek_slot(usual_choice(s, slot), usual_choice(s, slot), 0);
		add_service(f, &entry);
	}
}

/* --- loading --------------------------------------------------------------------------------- */

static inline void *map_of(int fd, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static inline struct ek_ring *new_ring(const struct fixture *f, uint32_t id)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ring", sizeof(uint32_t),
				sizeof(struct ek_ring), 1, &opts);
	struct ek_ring *ring;

	assert_true(fd >= 0);
	ring = map_of(fd, sizeof(*ring));
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(f->skeleton->maps.rings), &id, &fd, 0), 0);
	close(fd);
	return ring;
}

static inline void fixture_open(struct fixture *f)
{
	struct balancer *s = balancer__open();
	int cpus = libbpf_num_possible_cpus();

	assert_non_null(s);
	assert_in_range(cpus, 1, CPUS_MAX);
	*f = (struct fixture){.skeleton = s, .cpus = cpus};
	for (unsigned int i = 0; i < EK_HASH_WORDS; i++) /* any key: the same in every run */
		f->key.k[i] = 0x9e3779b97f4a7c15ull * (i + 1) ^ 0xd1b54a32d192ed03ull >> i;
	s->rodata->own_port = OWN_PORT;
	s->rodata->backends_limit = ROWS;
	memcpy((void *)&s->rodata->hash_key, &f->key, sizeof(f->key));
	s->rodata->flow_mask = BUCKETS - 1;
	s->rodata->tick_shift = TICK_SHIFT;
	bpf_map__set_max_entries(s->maps.backends, f->cpus * ROWS);
	bpf_map__set_max_entries(s->maps.flows, BUCKETS);
	bpf_map__set_max_entries(s->maps.flow_keys, BUCKETS);
	assert_int_equal(balancer__load(s), 0);

	f->services = map_of(bpf_map__fd(s->maps.services), sizeof(*f->services));
	f->backends = map_of(bpf_map__fd(s->maps.backends),
			     (size_t)f->cpus * ROWS * sizeof(*f->backends));
	f->ports = map_of(bpf_map__fd(s->maps.ports), EK_PORTS_MAX * sizeof(*f->ports));
	f->flows = map_of(bpf_map__fd(s->maps.flows), BUCKETS * sizeof(*f->flows));
	f->flow_keys = map_of(bpf_map__fd(s->maps.flow_keys), BUCKETS * sizeof(*f->flow_keys));
	for (uint32_t id = 0; id < N_KNOWN; id++)
		f->rings[id] = new_ring(f, id);
	fixture_fill(f);
}

static inline void fixture_close(struct fixture *f)
{
	for (uint32_t id = 0; id < N_KNOWN; id++)
		munmap(f->rings[id], sizeof(struct ek_ring));
	munmap(f->services, sizeof(*f->services));
	munmap(f->backends, (size_t)f->cpus * ROWS * sizeof(*f->backends));
	munmap(f->ports, EK_PORTS_MAX * sizeof(*f->ports));
	munmap(f->flows, BUCKETS * sizeof(*f->flows));
	munmap(f->flow_keys, BUCKETS * sizeof(*f->flow_keys));
	balancer__destroy(f->skeleton);
}

/* --- running --------------------------------------------------------------------------------- */

static inline void read_counters(const struct fixture *f, struct counters *c)
{
	uint64_t values[CPUS_MAX];

	memset(c, 0, sizeof(*c));
	for (uint32_t reason = 0; reason < EK_DROP_COUNT; reason++) {
		assert_int_equal(
			bpf_map_lookup_elem(bpf_map__fd(f->skeleton->maps.drops), &reason, values),
			0);
		for (uint32_t cpu = 0; cpu < f->cpus; cpu++)
			c->drops[reason] += values[cpu];
	}
	for (uint32_t i = 0; i < f->cpus * ROWS; i++) {
		c->packets[i % ROWS] += f->backends[i].packets;
		c->bytes[i % ROWS] += f->backends[i].bytes;
	}
}

static inline void difference(struct result *r, const struct counters *a, const struct counters *b)
{
	for (unsigned int i = 0; i < EK_DROP_COUNT; i++) {
		if (a->drops[i] == b->drops[i])
			continue;
		r->counted_drops += b->drops[i] - a->drops[i];
		r->drop = i;
	}
	for (unsigned int i = 0; i < ROWS; i++) {
		r->bytes += b->bytes[i] - a->bytes[i];
		if (a->packets[i] == b->packets[i])
			continue;
		r->counted_forwards += b->packets[i] - a->packets[i];
		r->row = i;
	}
}

static inline void run(const struct fixture *f, const struct frame *in, struct result *r)
{
	struct counters before, after;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->bytes, .data_size_in = in->length,
		    .data_out = r->out.bytes, .data_size_out = sizeof(r->out.bytes), .repeat = 1);

	r->counted_drops = r->counted_forwards = r->drop = r->row = r->bytes = 0;
	read_counters(f, &before);
	assert_int_equal(
		bpf_prog_test_run_opts(bpf_program__fd(f->skeleton->progs.evenkeel), &opts), 0);
	read_counters(f, &after);
	difference(r, &before, &after);
	r->verdict = opts.retval;
	r->out.length = opts.data_size_out;
}

static inline uint32_t tick_of(const struct fixture *f)
{
	uint8_t bytes[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes, .data_size_in = sizeof(bytes));

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(f->skeleton->progs.tick), &opts),
			 0);
	return opts.retval;
}

/* --- the second opinion ---------------------------------------------------------------------- */

struct flow {
	int family;
	unsigned int protocol, source_port, destination_port;
	struct ek_ip source, destination;
	bool later; /* a fragment, and not the first one: the ports are whatever stands there */
};

/* Over extension headers to the transport header (RFC 8200, section 4). */
static inline size_t past_extensions(const struct frame *in, size_t at, struct flow *flow)
{
	while (flow->protocol == IPPROTO_HOPOPTS || flow->protocol == IPPROTO_ROUTING ||
	       flow->protocol == IPPROTO_FRAGMENT || flow->protocol == IPPROTO_DSTOPTS) {
		bool fragment = flow->protocol == IPPROTO_FRAGMENT;

		flow->protocol = in->bytes[at];
		if (fragment && read16(in, at + 2) & ~7u)
			flow->later = true;
		at += fragment ? 8 : 8 * (in->bytes[at + 1] + 1);
	}
	return at;
}

/* Of a well-formed frame. */
static inline struct flow flow_of(const struct frame *in)
{
	const uint8_t *ip = in->bytes + ETHERNET;
	bool six = read16(in, 12) == 0x86dd;
	size_t l4 = ETHERNET + (six ? 40 : (ip[0] & 15) * 4);
	struct flow flow = {.family = six ? 6 : 4, .protocol = ip[six ? 6 : 9]};

	if (six)
		l4 = past_extensions(in, l4, &flow);
	else
		flow.later = read16(in, ETHERNET + 6) & 0x1fff;
	flow.source_port = read16(in, l4);
	flow.destination_port = read16(in, l4 + 2);
	flow.source = flow.destination = address("0.0.0.0");
	memcpy(six ? flow.source.bytes : &flow.source.bytes[12], ip + (six ? 8 : 12), six ? 16 : 4);
	memcpy(six ? flow.destination.bytes : &flow.destination.bytes[12], ip + (six ? 24 : 16),
	       six ? 16 : 4);
	return flow;
}

static inline uint64_t hash_of(const struct fixture *f, const struct flow *flow)
{
	const uint32_t service = htons(flow->destination_port) | flow->protocol << 16;
	const uint16_t port = htons(flow->source_port);
	uint64_t sum = flow->family == 4
			       ? ek_hash_service4(&f->key, flow->destination.words[3], service) +
					 ek_hash_client4(&f->key, flow->source.words[3], port)
			       : ek_hash_service6(&f->key, &flow->destination, service) +
					 ek_hash_client6(&f->key, &flow->source, port);

	return ek_hash_finish(&f->key, sum);
}

/* What stands before an IP header behind one or two tags. */
static inline void without_tags(const struct frame *in, struct frame *bare)
{
	size_t n = 0;

	while (n <= 8 && (read16(in, 12 + n) == 0x8100 || read16(in, 12 + n) == 0x88a8))
		n += 4;
	if (n > 8 || (read16(in, 12 + n) != 0x0800 && read16(in, 12 + n) != 0x86dd))
		n = 0;
	memcpy(bare->bytes, in->bytes, 12);
	memcpy(bare->bytes + 12, in->bytes + 12 + n, in->length - 12 - n);
	bare->length = in->length - n;
}

static inline int service_of(const struct flow *flow)
{
	for (unsigned int i = 0; i < N_KNOWN; i++) {
		struct ek_ip vip = address(known[i].vip);

		if (known[i].port == flow->destination_port &&
		    known[i].protocol == flow->protocol &&
		    !memcmp(&vip, &flow->destination, sizeof(vip)))
			return i;
	}
	return -1;
}

static inline uint32_t expected_row(const struct fixture *f, const struct flow *flow, int ring)
{
	uint64_t slot = (hash_of(f, flow) >> 32) * 65537 >> 32;

	return f->rings[ring]->slot[slot] & 0x7fff;
}

/*
 * The whole frame that should come out. Two fields are free to vary with the flow and are taken
 * from what did come out: an outer source within its prefix, and the IPv6 flow label.
 */
static inline void expected_frame(struct frame *e, const struct fixture *f, const struct frame *in,
				  const struct frame *out, int service, uint32_t row)
{
	const struct ek_backend *b = &f->backends[row];
	const bool six = read16(in, 12) == 0x86dd;
	const struct ek_port *port = &f->ports[EK_NEXTHOP_PORT(b->nexthop)];
	struct ek_ip source = port->source6;
	unsigned int length = read16(in, ETHERNET + (six ? 4 : 2)) + (six ? 40 : 0);
	unsigned int bits = known[service].varied_bits;
	uint8_t mac[6];

	if (!six)
		source.words[3] = port->source4;
	if (bits) {
		uint32_t varied, mask = (1u << bits) - 1;

		memcpy(&varied, out->bytes + ETHERNET + (six ? 20 : 12), 4);
		source = address(known[service].outer_source);
		source.words[3] |= varied & htonl(mask);
	}
	backend_mac(mac, row);
	e->length = 0;
	put(e, mac, 6);
	put(e, &port->mac, 6);
	put(e, in->bytes + 12, 2);
	if (six)
		put_ip6(e, (in->bytes[14] & 15) << 4 | in->bytes[15] >> 4,
			(out->bytes[15] & 15) << 16 | read16(out, 16), length, IPPROTO_IPV6, 64);
	else
		put_ip4(e, in->bytes[15], 20 + length, read16(in, 18), read16(in, 20) & 0x4000, 64,
			IPPROTO_IPIP);
	put_address(e, six ? 6 : 4, &source);
	put_address(e, six ? 6 : 4, &b->address);
	if (!six)
		seal_ip4(e, ETHERNET);
	put(e, in->bytes + ETHERNET, in->length - ETHERNET);
}

/* --- expectations ---------------------------------------------------------------------------- */

static inline void expect_pass(const char *what, const struct frame *in, const struct result *r)
{
	if (r->verdict != XDP_PASS)
		fail_msg("%s: verdict %d, expected XDP_PASS", what, r->verdict);
	if (r->counted_drops || r->counted_forwards)
		fail_msg("%s: passed, and counted", what);
	if (!same_frame(in, &r->out))
		fail_msg("%s: passed, and changed", what);
}

static inline void expect_drop(const char *what, const struct result *r, unsigned int reason)
{
	if (r->verdict != XDP_DROP)
		fail_msg("%s: verdict %d, expected XDP_DROP", what, r->verdict);
	if (r->counted_drops != 1 || r->counted_forwards || r->drop != reason)
		fail_msg("%s: %u drops counted, as %u; expected one, as %u", what, r->counted_drops,
			 r->drop, reason);
}

static inline void expect_forward(const char *what, const struct fixture *f, const struct frame *in,
				  const struct result *r, int verdict)
{
	static struct frame bare, expected;
	struct flow flow;
	uint32_t row;
	int service;

	without_tags(in, &bare);
	flow = flow_of(&bare);
	service = flow.later ? (int)((r->row - 1) / PER_SERVICE) : service_of(&flow);
	if (r->verdict != verdict)
		fail_msg("%s: verdict %d (drop %u), expected %d", what, r->verdict, r->drop,
			 verdict);
	if (service < 0)
		fail_msg("%s: forwarded, and for no service", what);
	row = flow.later ? r->row : expected_row(f, &flow, service);
	if (r->counted_drops || r->counted_forwards != 1 || r->bytes != in->length)
		fail_msg("%s: not counted as one packet of %zu bytes", what, in->length);
	if (r->row != row)
		fail_msg("%s: backend %u, expected %u", what, r->row, row);
	expected_frame(&expected, f, &bare, &r->out, service, row);
	if (!same_frame(&expected, &r->out))
		fail_msg("%s: another frame than expected", what);
}

/* Whatever the frame is: passed or dropped as it came, or forwarded by the book. */
static inline void expect_sane(const char *what, const struct fixture *f, const struct frame *in,
			       const struct result *r)
{
	static struct frame bare;

	if (r->verdict == XDP_TX) {
		expect_forward(what, f, in, r, XDP_TX);
	} else if (r->verdict == XDP_DROP) {
		expect_drop(what, r, r->drop);
		without_tags(in, &bare);
		if (r->drop == EK_DROP_NONE || !same_frame(&bare, &r->out))
			fail_msg("%s: dropped without a name, or changed", what);
	} else {
		expect_pass(what, in, r);
	}
}

#endif
