/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The forwarding methods of bpf/depart.h under BPF_PROG_TEST_RUN (root): every usual packet below
 * by every method, out by every kind of port, whole and cut short at every byte and with every bit
 * of its headers flipped; and what each method has of its own.
 */
#include "forward_book.h"

/* --- packets --------------------------------------------------------------------------------- */

static void no_checksum(struct frame *f)
{
	uint8_t *ip = f->bytes + ETHERNET;
	unsigned int protocol;

	put_checksum(ip + transport_of(ip, &protocol) + 6, 0);
}

/* The sum over all but the checksum is zero, so that it would be zero, too. */
static void checksum_of_ones(struct frame *f)
{
	uint8_t *ip = f->bytes + ETHERNET, *udp;
	unsigned int protocol;
	size_t at = transport_of(ip, &protocol);

	udp = ip + at;
	put_checksum(udp + 6, 0);
	put_checksum(udp + 8, 0);
	put_checksum(udp + 8, 0xffff - transport_residue(ip, at, packet_length(ip), IPPROTO_UDP));
	put_checksum(udp + 6, 0xffff);
}

static const struct variant {
	const char *description;
	int only; /* 4 or 6; 0: both families */
	struct packet_spec packet;
	void (*edit)(struct frame *f);
} variants[] = {
	{"SYN", .packet = {.tcp_flags = SYN}},
	{"data", .packet = {.tcp_flags = ACK, .payload = 100}},
	{"data of odd length", .packet = {.tcp_flags = ACK | PSH, .payload = 101}},
	{"TCP options", .packet = {.tcp_flags = SYN, .tcp_options = 10}},
	{"UDP", .packet = {.protocol = IPPROTO_UDP, .payload = 33}},
	{"UDP without data", .packet = {.protocol = IPPROTO_UDP}},
	{"UDP without checksum", .packet = {.protocol = IPPROTO_UDP, .payload = 12},
	 .edit = no_checksum},
	{"UDP checksum of ones", .packet = {.protocol = IPPROTO_UDP, .payload = 2},
	 .edit = checksum_of_ones},
	{"IPv4 option", 4, .packet = {.options = 1, .tcp_flags = ACK, .payload = 5}},
	{"IPv4 options, as many as fit, and UDP", 4,
	 .packet = {.protocol = IPPROTO_UDP, .options = 10, .payload = 3}},
	{"DF", 4, .packet = {.tcp_flags = ACK, .fragment = 0x4000}},
	{"DF, identification 0", 4,
	 .packet = {.tcp_flags = ACK, .fragment = 0x4000, .id = 0x10000}},
	{"the reserved flag", 4, .packet = {.tcp_flags = ACK, .fragment = 0x8000}},
	{"no DSCP, not ECN-capable", .packet = {.tcp_flags = ACK, .tos = 0x100}},
	{"every DSCP bit, CE", .packet = {.tcp_flags = ACK, .tos = 0xff}},
	{"ECT(0)", .packet = {.tcp_flags = ACK, .tos = 0x02}},
	{"padded", .packet = {.tcp_flags = ACK, .padding = 6}},
	{"padded UDP", .packet = {.protocol = IPPROTO_UDP, .payload = 1, .padding = 18}},
};
#define N_VARIANTS (sizeof(variants) / sizeof(variants[0]))

static void build(struct frame *f, const struct variant *v, int family)
{
	struct packet_spec p = v->packet;

	p.family = family;
	p.protocol = p.protocol ? p.protocol : IPPROTO_TCP;
	p.source = p.source.halves[1] ? p.source : address(family == 4 ? CLIENT4 : CLIENT6);
	p.destination = address(family == 4 ? VIP4 : VIP6);
	p.source_port = p.source_port ? p.source_port : 40000;
	p.destination_port = p.protocol == IPPROTO_UDP ? 53 : 80;
	p.tos = p.tos ? p.tos & 0xff : 0xb9;
	p.id = p.id ? p.id & 0xffff : 0x1234;
	build_frame(f, &p, node_mac, client_mac);
	seal_transport(f->bytes + ETHERNET, 0);
	if (v->edit)
		v->edit(f);
}

static void expect_usual(const char *what, const struct fixture *f, const struct method *m,
			 const struct way_out *out, const struct frame *in, const struct result *r)
{
	const struct flow flow = flow_of(in);
	const int service = service_of(&flow);

	expect_book(what, f, m, out, in, r);
	assert_true(service >= 0);
	assert_int_equal(r->row, expected_row(f, &flow, service));
	holds(what, &r->out);
}

/* --- every packet by every method out by every port ------------------------------------------ */

typedef void each_fn(struct fixture *f, const char *what, const struct method *m,
		     const struct way_out *out, struct frame *in);

static void for_each(struct fixture *f, size_t n_ways_out, each_fn *each)
{
	static struct frame in;
	char what[256];

	for (size_t i = 0; i < N_METHODS; i++)
		for (size_t j = 0; j < n_ways_out; j++) {
			arrange(f, &methods[i], &ways_out[j]);
			for (size_t k = 0; k < 2 * N_VARIANTS; k++) {
				const struct variant *v = &variants[k / 2];
				const int family = k & 1 ? 6 : 4;

				if (v->only && v->only != family)
					continue;
				snprintf(what, sizeof(what), "IPv%d %s, %s, %s", family,
					 v->description, methods[i].name, ways_out[j].name);
				build(&in, v, family);
				each(f, what, &methods[i], &ways_out[j], &in);
			}
			fixture_fill(f);
		}
}

static unsigned int whole_frames;

static void whole_frame(struct fixture *f, const char *what, const struct method *m,
			const struct way_out *out, struct frame *in)
{
	static struct result r;

	holds(what, in);
	run(f, in, &r);
	expect_usual(what, f, m, out, in, &r);
	whole_frames++;
}

static void test_whole_frames(void **state)
{
	for_each(*state, N_WAYS_OUT, whole_frame);
	print_message("  %u packets\n", whole_frames);
}

static void cut_short(struct fixture *f, const char *what, const struct method *m,
		      const struct way_out *out, struct frame *in)
{
	const size_t end = ETHERNET + packet_length(in->bytes + ETHERNET);
	static struct result r;

	while (--in->length >= ETHERNET) {
		run(f, in, &r);
		expect_sane_by(what, f, m, out, in, &r);
		if (in->length < end && r.counted_forwards)
			fail_msg("%s: forwarded, cut to %zu bytes", what, in->length);
	}
}

static void test_cut_short(void **state)
{
	for_each(*state, 1, cut_short);
}

static void flip_bits(struct fixture *f, const char *what, const struct method *m,
		      const struct way_out *out, struct frame *in)
{
	static struct result r;

	/* From the MACs on: another source MAC is no matter, another destination is not ours. */
	for (size_t bit = 8 * 12; bit < 8 * 76 && bit < 8 * in->length; bit++) {
		in->bytes[bit / 8] ^= 1 << bit % 8;
		run(f, in, &r);
		expect_sane_by(what, f, m, out, in, &r);
		in->bytes[bit / 8] ^= 1 << bit % 8;
	}
}

static void test_every_bit_flipped(void **state)
{
	for_each(*state, 1, flip_bits);
}

/* --- the path's MTU -------------------------------------------------------------------------- */

/* The sender is told what would have fitted (too_big.h): that is for this method to say. */
static void expect_told(struct fixture *f, const struct method *m, const struct frame *in)
{
	const size_t at = ETHERNET + (read16(in, 12) == 0x86dd ? 40 + 6 : 20 + 6);
	static struct result r;

	f->services->settings.error_rate = 1000000;
	run(f, in, &r);
	f->services->settings.error_rate = 0;
	assert_int_equal(r.verdict, XDP_TX);
	assert_int_equal(r.drop, EK_DROP_TOO_BIG);
	assert_int_equal(read16(&r.out, at), PATH_MTU - overhead(m));
}

static void expect_edge(struct fixture *f, const struct method *m, int family)
{
	const size_t headers = (family == 4 ? 20 : 40) + 20;
	struct variant v = {.packet = {.tcp_flags = ACK, .fragment = 0x4000, .padding = 4}};
	static struct frame in;
	static struct result r;

	v.packet.payload = PATH_MTU - overhead(m) - headers;
	build(&in, &v, family);
	run(f, &in, &r);
	expect_usual("exactly the path's MTU", f, m, &ways_out[0], &in, &r);
	v.packet.payload++;
	build(&in, &v, family);
	run(f, &in, &r);
	if (m->forward == EK_FORWARD_LOCAL) {
		expect_usual("no path, no MTU", f, m, &ways_out[0], &in, &r);
		return;
	}
	expect_drop(m->name, &r, EK_DROP_TOO_BIG);
	if (!same_frame(&in, &r.out))
		fail_msg("%s: too big, and changed", m->name);
	expect_told(f, m, &in);
}

static void test_mtu(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < N_METHODS; i++) {
		arrange(f, &methods[i], &ways_out[0]);
		expect_edge(f, &methods[i], 4);
		expect_edge(f, &methods[i], 6);
	}
	fixture_fill(f);
}

/* --- sources --------------------------------------------------------------------------------- */

static void test_no_source(void **state)
{
	static const struct variant v = {.packet = {.tcp_flags = ACK}};
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	for (size_t i = 0; i < 2 * N_METHODS; i++) {
		const struct method *m = &methods[i / 2];

		arrange(f, m, &ways_out[0]);
		if (m->outer == 4)
			f->ports[OWN_PORT].source4 = 0;
		else
			f->ports[OWN_PORT].source6 = (struct ek_ip){0};
		build(&in, &v, i & 1 ? 6 : 4);
		run(f, &in, &r);
		if (!is_tunnel(m)) {
			expect_usual(m->name, f, m, &ways_out[0], &in, &r);
		} else {
			expect_drop(m->name, &r, EK_DROP_NO_SOURCE);
			assert_true(same_frame(&in, &r.out));
		}
		fixture_fill(f);
	}
}

/* A prefix is used where it is of the outer header's family, and the port's address elsewhere. */
static void expect_varied(struct fixture *f, const struct method *m, unsigned int service)
{
	const struct ek_ip vip = address(known[service].vip);
	const int family = is_v6(&vip) ? 6 : 4;
	const size_t at = ETHERNET + (m->outer == 6 ? 8 : 12);
	static struct frame in, first;
	static struct result r;
	unsigned int others = 0;

	for (unsigned int port = 1; port <= 32; port++) {
		const struct packet_spec p = {.family = family,
					      .protocol = IPPROTO_TCP,
					      .source = address(family == 4 ? CLIENT4 : CLIENT6),
					      .destination = vip,
					      .source_port = port,
					      .destination_port = 80,
					      .tcp_flags = ACK};

		build_frame(&in, &p, node_mac, client_mac);
		run(f, &in, &r);
		expect_book(m->name, f, m, &ways_out[0], &in, &r);
		if (port == 1)
			first = r.out;
		others += !!memcmp(first.bytes + at, r.out.bytes + at, m->outer == 6 ? 16 : 4);
	}
	assert_in_range(others, family == m->outer ? 30 : 0, family == m->outer ? 31 : 0);
}

static void test_varied_source(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < N_METHODS; i++) {
		if (!is_tunnel(&methods[i]))
			continue;
		arrange(f, &methods[i], &ways_out[0]);
		expect_varied(f, &methods[i], 6);
		expect_varied(f, &methods[i], 7);
	}
	fixture_fill(f);
}

/* --- the outer IPv4 checksum ----------------------------------------------------------------- */

/* The greater the identification, the less the checksum: from `from` on it is nothing and less. */
static void expect_ids(struct fixture *f, const struct method *m, unsigned int from)
{
	struct variant v = {.packet = {.tcp_flags = ACK, .tos = 0xff}};
	static struct frame in;
	static struct result r;

	for (unsigned int id = from; id < from + 8; id++) {
		v.packet.id = 0x10000 | id % 0xffff;
		build(&in, &v, 4);
		run(f, &in, &r);
		expect_usual("outer checksum", f, m, &ways_out[0], &in, &r);
	}
}

/*
 * From sums that want their carries added three times: sources and lengths that are great as they
 * lie, and either byte of the checksum next to nothing, for the sum may be of swapped bytes.
 */
static void expect_carries(struct fixture *f, const struct method *m)
{
	static const char *const sources[] = {"255.255.255.255", "1.0.255.255", "255.254.255.254"};
	const struct variant v = {.packet = {.tcp_flags = ACK, .tos = 0xff, .id = 0x10000}};
	static struct frame in;
	static struct result r;
	unsigned int zero;

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		f->ports[OWN_PORT].source4 = address(sources[i]).words[3];
		build(&in, &v, 4);
		run(f, &in, &r);
		zero = read16(&r.out, ETHERNET + 10);
		for (unsigned int k = 0; k < 4; k++)
			expect_ids(f, m, zero + 0xffff - 4 + 0x100 * k);
	}
}

static void test_outer_checksum(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < N_METHODS; i++) {
		if (!is_tunnel(&methods[i]) || methods[i].outer != 4)
			continue;
		arrange(f, &methods[i], &ways_out[0]);
		expect_carries(f, &methods[i]);
	}
	fixture_fill(f);
}

/* --- GUE ------------------------------------------------------------------------------------- */

/* A flow keeps its port; flows to the same backend have many, all over the range. */
static void expect_spread(struct fixture *f, const struct method *m, int family)
{
	const size_t at = ETHERNET + (m->outer == 6 ? 40 : 20);
	struct variant v = {.packet = {.tcp_flags = ACK}};
	unsigned int quarters[4] = {0}, distinct = 0;
	static uint8_t seen[65536];
	static struct frame in;
	static struct result r;

	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < 1000; i++) {
		unsigned int port;

		v.packet.source_port = 1024 + i;
		build(&in, &v, family);
		run(f, &in, &r);
		expect_usual(m->name, f, m, &ways_out[0], &in, &r);
		if (r.row != row_of(family == 6, 0))
			continue;
		port = read16(&r.out, at);
		run(f, &in, &r);
		assert_int_equal(read16(&r.out, at), port);
		distinct += !seen[port]++;
		quarters[(port - GUE_FIRST) / 4096]++;
	}
	/* 250, five standard deviations. */
	assert_in_range(distinct, 175, 325);
	for (unsigned int i = 0; i < 4; i++)
		assert_in_range(quarters[i], distinct / 8, distinct / 2);
}

static void test_gue_source_ports(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < N_METHODS; i++) {
		if (!gue_size(&methods[i]))
			continue;
		arrange(f, &methods[i], &ways_out[0]);
		expect_spread(f, &methods[i], 4);
		expect_spread(f, &methods[i], 6);
	}
	fixture_fill(f);
}

/* --- L3DSR ----------------------------------------------------------------------------------- */

static const struct method tos = {"tos", EK_FORWARD_TOS, 0, 0};

/* Its DSCP gives way to the VIP's number; its ECN is the network's and stays. */
static void test_tos_every_dscp_and_ecn(void **state)
{
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	arrange(f, &tos, &ways_out[0]);
	for (unsigned int i = 0; i < 512; i++) {
		const struct variant v = {.packet = {.tcp_flags = ACK, .tos = i / 2 ? i / 2 : 256}};

		build(&in, &v, i & 1 ? 6 : 4);
		run(f, &in, &r);
		expect_usual("DSCP and ECN", f, &tos, &ways_out[0], &in, &r);
	}
	fixture_fill(f);
}

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 32;
}

/* Addresses, lengths and checksums over their whole range; right ones and wrong ones. */
static void test_tos_checksums(void **state)
{
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;
	uint64_t seed = 1;

	arrange(f, &tos, &ways_out[0]);
	for (unsigned int i = 0; i < 8000; i++) {
		const int family = i & 1 ? 6 : 4;
		struct variant v = {.packet = {.protocol = i & 2 ? IPPROTO_UDP : IPPROTO_TCP,
					       .tcp_flags = ACK,
					       .id = 1 + next_random(&seed) % 65535,
					       .payload = next_random(&seed) % 64,
					       .options = i % 11}};
		struct ek_backend b;

		v.packet.source = address(family == 4 ? CLIENT4 : CLIENT6);
		v.packet.source.words[3] = next_random(&seed);
		build(&in, &v, family);
		if (i & 4)
			in.bytes[ETHERNET + 41 + next_random(&seed) % 7] ^= 1 << i % 8;
		run(f, &in, &r);
		if (i & 4)
			expect_sane_by("a wrong bit", f, &tos, &ways_out[0], &in, &r);
		else
			expect_usual("checksums", f, &tos, &ways_out[0], &in, &r);
		b = f->backends[r.row];
		b.address.words[3] = next_random(&seed);
		if (family == 6)
			b.address.words[2] = next_random(&seed);
		set_backend(f, r.row, &b);
	}
	fixture_fill(f);
}

/* Zero would say that there is none: it is sent as ones (RFC 768). */
static void expect_no_zero(struct fixture *f, int family)
{
	static const struct variant v = {.packet = {.protocol = IPPROTO_UDP, .payload = 2}};
	static struct frame in;
	static struct result r;
	uint8_t *ip = in.bytes + ETHERNET;
	unsigned int word, ones = 0;
	size_t check, data;

	build(&in, &v, family);
	data = in.length - 2;
	check = in.length - 4;
	overwrite16(&in, data, 0);
	seal_transport(ip, 0);
	run(f, &in, &r);
	/* The greater the data, the less the checksum. */
	word = read16(&r.out, check) + 0xffff - 200;
	for (unsigned int i = 0; i < 400; i++, word++) {
		overwrite16(&in, data, word % 0xffff);
		seal_transport(ip, 0);
		run(f, &in, &r);
		expect_usual("UDP checksum", f, &tos, &ways_out[0], &in, &r);
		ones += read16(&r.out, check) == 0xffff;
	}
	assert_int_equal(ones, 1);
}

static void test_tos_udp_checksum_of_zero(void **state)
{
	struct fixture *f = *state;

	arrange(f, &tos, &ways_out[0]);
	expect_no_zero(f, 4);
	expect_no_zero(f, 6);
	fixture_fill(f);
}

static void test_tos_other_family(void **state)
{
	static const struct variant v = {.packet = {.tcp_flags = ACK}};
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	for (int family = 4; family <= 6; family += 2) {
		const struct method other = {"tos", EK_FORWARD_TOS, 10 - family, 0};

		arrange(f, &other, &ways_out[0]);
		build(&in, &v, family);
		run(f, &in, &r);
		expect_drop("a backend of the other family", &r, EK_DROP_NOT_REWRITABLE);
		assert_true(same_frame(&in, &r.out));
	}
	fixture_fill(f);
}

/* --- to this host ---------------------------------------------------------------------------- */

/* A frame to a virtual MAC that is held would be another host's to the stack. */
static void test_local_by_virtual_mac(void **state)
{
	static const uint8_t macs[2][6] = {"\0\0\x5e\0\x01\x07", "\0\0\x5e\0\x02\x07"};
	static const struct variant v = {.packet = {.tcp_flags = ACK, .payload = 9}};
	const struct method *m = &methods[N_METHODS - 1];
	const struct ek_lease lease = {.mac4 = mac48(macs[0]) | EK_LEASE_HELD,
				       .mac6 = mac48(macs[1]) | EK_LEASE_HELD,
				       .port = OWN_PORT};
	const struct ek_lease none = {0};
	const uint32_t id = 7;
	struct fixture *f = *state;
	const int leases = bpf_map__fd(f->skeleton->maps.leases);
	static struct frame in;
	static struct result r;

	assert_int_equal(bpf_map_update_elem(leases, &id, &lease, 0), 0);
	arrange(f, m, &ways_out[0]);
	for (int family = 4; family <= 6; family += 2) {
		build(&in, &v, family);
		memcpy(in.bytes, macs[family == 6], 6);
		run(f, &in, &r);
		expect_usual("virtual MAC", f, m, &ways_out[0], &in, &r);
		assert_memory_equal(r.out.bytes, node_mac, 6);
	}
	assert_int_equal(bpf_map_update_elem(leases, &id, &none, 0), 0);
	fixture_fill(f);
}

/* --- states of the data plane ---------------------------------------------------------------- */

static void expect_refused(struct fixture *f, const struct method *m, unsigned int reason)
{
	static const struct variant v = {.packet = {.tcp_flags = ACK}};
	static struct frame in;
	static struct result r;

	for (int family = 4; family <= 6; family += 2) {
		build(&in, &v, family);
		run(f, &in, &r);
		expect_drop(m->name, &r, reason);
	}
}

static void set_nexthops(struct fixture *f, unsigned int port, unsigned int flags)
{
	for (uint32_t i = 0; i < f->cpus * ROWS; i++)
		f->backends[i].nexthop =
			EK_NEXTHOP(EK_NEXTHOP_MAC(f->backends[i].nexthop), port, flags);
}

static void test_next_hops(void **state)
{
	struct fixture *f = *state;
	const uint32_t port = EGRESS_PORT;
	const int egress = bpf_map__fd(f->skeleton->maps.egress);
	const uint32_t loopback = 1;

	for (size_t i = 0; i < N_METHODS; i++) {
		const struct method *m = &methods[i];

		for (size_t j = 0; j < N_WAYS_OUT; j++) {
			arrange(f, m, &ways_out[j]);
			set_nexthops(f, ways_out[j].port, 0);
			expect_refused(f, m, EK_DROP_BACKEND_DOWN);
			set_nexthops(f, ways_out[j].port, EK_NEXTHOP_RESOLVED);
			expect_refused(f, m, EK_DROP_BACKEND_DOWN);
			set_nexthops(f, ways_out[j].port, EK_NEXTHOP_ALIVE);
			expect_refused(f, m, EK_DROP_UNRESOLVED);
			fixture_fill(f);
		}
		arrange(f, m, &ways_out[0]);
		set_nexthops(f, EGRESS_PORT + 1, EK_NEXTHOP_USABLE);
		expect_refused(f, m, EK_DROP_UNRESOLVED);
		set_nexthops(f, EK_PORTS_MAX, EK_NEXTHOP_USABLE);
		expect_refused(f, m, EK_DROP_UNRESOLVED);
		if (m->forward != EK_FORWARD_LOCAL) {
			set_nexthops(f, EGRESS_PORT, EK_NEXTHOP_USABLE);
			assert_int_equal(bpf_map_delete_elem(egress, &port), 0);
			expect_refused(f, m, EK_DROP_UNRESOLVED);
			assert_int_equal(bpf_map_update_elem(egress, &port, &loopback, 0), 0);
		}
		fixture_fill(f);
	}
	arrange(f, &(struct method){"no such method", 0, 4, 0}, &ways_out[0]);
	expect_refused(f, &(struct method){"no such method", 0, 4, 0}, EK_DROP_UNRESOLVED);
	fixture_fill(f);
}

/* --- jumbo frames, of several buffers -------------------------------------------------------- */

static void test_jumbo_frames(void **state)
{
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	for (size_t i = 0; i < N_METHODS * N_WAYS_OUT; i++) {
		const struct method *m = &methods[i / N_WAYS_OUT];
		const struct way_out *out = &ways_out[i % N_WAYS_OUT];

		arrange(f, m, out);
		for (uint32_t b = 0; b < f->cpus * ROWS; b++)
			f->backends[b].mtu = 9100;
		for (int family = 4; family <= 6; family += 2) {
			const struct variant v = {.packet = {.tcp_flags = ACK, .payload = 8900}};

			build(&in, &v, family);
			run(f, &in, &r);
			expect_usual(m->name, f, m, out, &in, &r);
		}
		fixture_fill(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_frames),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_every_bit_flipped),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_no_source),
		cmocka_unit_test(test_varied_source),
		cmocka_unit_test(test_outer_checksum),
		cmocka_unit_test(test_gue_source_ports),
		cmocka_unit_test(test_tos_every_dscp_and_ecn),
		cmocka_unit_test(test_tos_checksums),
		cmocka_unit_test(test_tos_udp_checksum_of_zero),
		cmocka_unit_test(test_tos_other_family),
		cmocka_unit_test(test_local_by_virtual_mac),
		cmocka_unit_test(test_next_hops),
		cmocka_unit_test(test_jumbo_frames),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
