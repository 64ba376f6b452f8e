/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/balancer.bpf.c under BPF_PROG_TEST_RUN (root): what goes in, and the verdict, the whole
 * frame and the counter that come out. Each row is also run to a destination that is no VIP and
 * to another MAC, cut short at every byte, and with every bit of its headers flipped.
 */
#include <sched.h>
#include "balancer_rows.h"

/* Behind how many bytes of tags there is IP, or -1. */
static int ip_behind(const struct frame *f, int family)
{
	for (int n = 0; n <= 8; n += 4)
		if (read16(f, 12 + n) == (family == 4 ? 0x0800 : 0x86dd))
			return n;
	return -1;
}

static void set_destination(struct frame *f, size_t tags, const char *text)
{
	struct ek_ip ip = address(text);

	if (is_v6(&ip))
		memcpy(f->bytes + ETHERNET + tags + 24, ip.bytes, 16);
	else
		memcpy(f->bytes + ETHERNET + tags + 16, &ip.bytes[12], 4);
}

/* Runs `each` for every row, in every family that it is for, with the data plane it asks for. */
static void for_each_row(struct fixture *f, void (*each)(struct fixture *f, const struct row *row,
							 int family, struct frame *in))
{
	static struct frame in;

	for (size_t i = 0; i < N_ROWS; i++)
		for (int family = 4; family <= 6; family += 2) {
			if (rows[i].only && rows[i].only != family)
				continue;
			if (rows[i].arrange)
				rows[i].arrange(f);
			build(&in, &rows[i], family);
			each(f, &rows[i], family, &in);
			if (rows[i].arrange)
				fixture_fill(f);
		}
}

static void expect_row(struct fixture *f, const struct row *row, int family, struct frame *in)
{
	static struct result r;

	print_message("  IPv%d: %s\n", family, row->description);
	run(f, in, &r);
	if (row->verdict == XDP_PASS)
		expect_pass(row->description, in, &r);
	else if (row->verdict == XDP_DROP)
		expect_drop(row->description, &r, row->drop);
	else
		expect_forward(row->description, f, in, &r, row->verdict);
}

static void test_rows(void **state)
{
	for_each_row(*state, expect_row);
}

/* Whatever a row's packet is: to a destination that is no VIP it is none of our business. */
static void expect_pass_elsewhere(struct fixture *f, const struct row *row, int family,
				  struct frame *in)
{
	static struct result r;
	int tags = ip_behind(in, family);

	if (tags >= 0) {
		set_destination(in, tags, family == 4 ? OTHER4 : OTHER6);
		run(f, in, &r);
		expect_pass(row->description, in, &r);
		set_destination(in, tags, family == 4 ? VIP4 : VIP6);
	}
	in->bytes[4] ^= 0x01; /* the NIC is promiscuous, or a switch floods */
	run(f, in, &r);
	expect_pass(row->description, in, &r);
}

static void test_rows_elsewhere(void **state)
{
	for_each_row(*state, expect_pass_elsewhere);
}

/* --- while somebody listens ------------------------------------------------------------------ */

/* By the usual path, and by the one that everything takes while its port is traced. */
static void expect_no_difference(struct fixture *f, const struct row *row, struct frame *in)
{
	static struct result usual, traced;

	run(f, in, &usual);
	f->ports[OWN_PORT].flags = EK_PORT_TRACED;
	run(f, in, &traced);
	f->ports[OWN_PORT].flags = 0;
	if (usual.verdict != traced.verdict || usual.drop != traced.drop ||
	    usual.row != traced.row || usual.bytes != traced.bytes ||
	    usual.counted_drops != traced.counted_drops ||
	    usual.counted_forwards != traced.counted_forwards)
		fail_msg("%s: verdict %d, traced %d; drop %u, traced %u; backend %u, traced %u",
			 row->description, usual.verdict, traced.verdict, usual.drop, traced.drop,
			 usual.row, traced.row);
	if (!same_frame(&usual.out, &traced.out))
		fail_msg("%s: traced, another frame", row->description);
}

static void row_traced(struct fixture *f, const struct row *row, int family, struct frame *in)
{
	const size_t length = in->length;

	(void)family;
	expect_no_difference(f, row, in);
	in->bytes[4] ^= 0x01;
	expect_no_difference(f, row, in);
	in->bytes[4] ^= 0x01;
	if (row->verdict != XDP_TX || length > 400)
		return;
	for (; in->length >= ETHERNET; in->length--)
		expect_no_difference(f, row, in);
	in->length = length;
	for (size_t bit = 8 * ETHERNET; bit < 8 * length && bit < 8 * 100; bit++) {
		in->bytes[bit / 8] ^= 1 << bit % 8;
		expect_no_difference(f, row, in);
		in->bytes[bit / 8] ^= 1 << bit % 8;
	}
}

static void test_rows_traced(void **state)
{
	for_each_row(*state, row_traced);
}

/* --- written out ----------------------------------------------------------------------------- */

static const uint8_t written_in4[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0xcc, 0xcc, 0xcc, 0xcc, 0x01, 0x08, 0x00, /**/
	0x45, 0xb9, 0x00, 0x1c, 0x12, 0x34, 0x40, 0x00, 0x3f, 0x11, 0x3c, 0x9f,		    /**/
	0xc6, 0x33, 0x64, 0x07, 0xc0, 0x00, 0x02, 0x0a,					    /**/
	0x9c, 0x40, 0x00, 0x35, 0x00, 0x08, 0xbe, 0xef,
};

static const uint8_t written_outer4[] = {
	0x45, 0xb9, 0x00, 0x30, 0x12, 0x34, 0x40, 0x00, 0x40, 0x04, 0x00, 0x00, /* checksum */
	0x0a, 0x00, 0x00, 0x01, 0x0a, 0x00, 0xff, 0x00,				/* row */
};

static const uint8_t written_in6[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0xcc, 0xcc, 0xcc, 0xcc, 0x01, 0x86, 0xdd, /**/
	0x6b, 0x95, 0x43, 0x21, 0x00, 0x08, 0x11, 0x3f,					    /**/
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x01, 0,	  0,	0,    0,    0,	  0,	0,    0,
	0,    0x07, /**/
	0x20, 0x01, 0x0d, 0xb8, 0,    0,    0,	  0,	0,    0,    0,	  0,	0,    0,
	0,    0x10, /**/
	0x9c, 0x40, 0x00, 0x35, 0x00, 0x08, 0xbe, 0xef,
};

static const uint8_t written_outer6[] = {
	0x6b, 0x90, 0x00, 0x00, 0x00, 0x30, 0x29, 0x40,				      /* label */
	0x20, 0x01, 0x0d, 0xb8, 0,    0xff, 0,	  0,	0, 0, 0, 0, 0, 0, 0,	0x01, /**/
	0x20, 0x01, 0x0d, 0xb8, 0,    0x0b, 0,	  0,	0, 0, 0, 0, 0, 0, 0xff, 0x00, /* row */
};

/* The builders of frames are themselves no authority: these were written by hand. */
static void test_written_out(void **state)
{
	static const struct row udp = {.packet = {UDP, .fragment = 0x4000}};
	struct fixture *f = *state;
	static struct frame in, want;
	static struct result r;

	build(&in, &udp, 4);
	assert_int_equal(in.length, sizeof(written_in4));
	assert_memory_equal(in.bytes, written_in4, sizeof(written_in4));
	run(f, &in, &r);
	want.length = 0;
	put(&want, "\x02\xbb\xbb\xbb\xbb\0\x02\0\0\0\0\x01\x08\x00", ETHERNET);
	put(&want, written_outer4, sizeof(written_outer4));
	put(&want, written_in4 + ETHERNET, sizeof(written_in4) - ETHERNET);
	want.bytes[5] = want.bytes[33] = r.row;
	memcpy(want.bytes + 24, r.out.bytes + 24, 2);
	assert_int_equal(checksum(r.out.bytes + ETHERNET, 20), 0);
	assert_true(same_frame(&want, &r.out));

	build(&in, &udp, 6);
	assert_int_equal(in.length, sizeof(written_in6));
	assert_memory_equal(in.bytes, written_in6, sizeof(written_in6));
	run(f, &in, &r);
	want.length = 0;
	put(&want, "\x02\xbb\xbb\xbb\xbb\0\x02\0\0\0\0\x01\x86\xdd", ETHERNET);
	put(&want, written_outer6, sizeof(written_outer6));
	put(&want, written_in6 + ETHERNET, sizeof(written_in6) - ETHERNET);
	want.bytes[5] = want.bytes[53] = r.row;
	want.bytes[15] |= r.out.bytes[15] & 15;
	memcpy(want.bytes + 16, r.out.bytes + 16, 2);
	assert_true(same_frame(&want, &r.out));
}

/* --- every value of a field ------------------------------------------------------------------ */

static void expect_tx(struct fixture *f, const char *what, const struct row *row, int family)
{
	static struct frame in;
	static struct result r;

	build(&in, row, family);
	run(f, &in, &r);
	expect_forward(what, f, &in, &r, XDP_TX);
}

static void test_every_dscp_and_ecn(void **state)
{
	for (unsigned int tos = 0; tos < 256; tos++) {
		/* 256: build() takes 0 for "not given". */
		const struct row row = {.packet = {.tos = tos ? tos : 256}};

		expect_tx(*state, "DSCP and ECN", &row, 4);
		expect_tx(*state, "DSCP and ECN", &row, 6);
	}
}

static void test_every_header_length(void **state)
{
	for (unsigned int options = 0; options <= 10; options++)
		for (unsigned int tcp_options = 0; tcp_options <= 10; tcp_options++) {
			const struct row row = {.packet = {.options = options,
							   .tcp_options = tcp_options,
							   .payload = options + tcp_options}};

			expect_tx(*state, "header lengths", &row, 4);
			expect_tx(*state, "header lengths", &row, 6);
		}
}

/* Every value of the outer checksum, with a sum that needs its carry added in twice. */
static void test_every_identification(void **state)
{
	for (unsigned int id = 0; id < 65536; id++) {
		const struct row row = {.packet = {.id = id ? id : 65536, .tos = 0xff}};

		expect_tx(*state, "identification", &row, 4);
	}
}

/* Identifications, lengths and sources over their whole range, together. */
static void test_checksum_carries(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 3000; i++) {
		const struct row row = {.packet = {.id = 1 + (i * 40503u) % 65535,
						   .fragment = i & 1 ? 0x4000 : 0,
						   .payload = i % 1441,
						   .tos = 1 + i % 255}};

		f->ports[OWN_PORT].source4 = 1 + i * 2654435761u;
		expect_tx(f, "checksum carries", &row, 4);
	}
	fixture_fill(f);
}

/* --- frames that nobody sends ---------------------------------------------------------------- */

static void cut_short(struct fixture *f, const struct row *row, int family, struct frame *in)
{
	static struct result r;
	(void)family;

	if (row->verdict != XDP_TX || in->length > 400)
		return;
	while (--in->length >= ETHERNET) {
		run(f, in, &r);
		expect_sane(row->description, f, in, &r);
		if (row->packet.padding)
			continue;
		if (r.verdict == XDP_TX)
			fail_msg("%s: forwarded, cut to %zu bytes", row->description, in->length);
	}
}

static void test_cut_short(void **state)
{
	for_each_row(*state, cut_short);
}

static void flip_bits(struct fixture *f, const struct row *row, int family, struct frame *in)
{
	const size_t headers = ETHERNET + (family == 4 ? 60 : 40) + 60;
	static struct result r;

	if (row->arrange == elsewhere || row->arrange == no_ring)
		return;
	for (size_t bit = 0; bit < 8 * headers && bit < 8 * in->length; bit++) {
		in->bytes[bit / 8] ^= 1 << bit % 8;
		run(f, in, &r);
		expect_sane(row->description, f, in, &r);
		in->bytes[bit / 8] ^= 1 << bit % 8;
	}
}

static void test_every_bit_flipped(void **state)
{
	for_each_row(*state, flip_bits);
}

/* --- which backend --------------------------------------------------------------------------- */

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 32;
}

static void random_client(struct packet_spec *p, uint64_t *seed)
{
	p->source = address(p->family == 4 ? CLIENT4 : CLIENT6);
	for (unsigned int i = p->family == 4 ? 3 : 1; i < 4; i++)
		p->source.words[i] = next_random(seed);
	p->source_port = 1 + next_random(seed) % 65535;
}

static void flows_to(struct fixture *f, unsigned int service, unsigned int *seen)
{
	static struct frame in;
	static struct result r;
	const struct ek_ip vip = address(known[service].vip);
	uint64_t seed = service;

	for (unsigned int i = 0; i < 1000; i++) {
		struct packet_spec p = {.family = is_v6(&vip) ? 6 : 4,
					.protocol = known[service].protocol,
					.destination = vip,
					.destination_port = known[service].port,
					.tcp_flags = i & 1 ? ACK : SYN};

		random_client(&p, &seed);
		build_frame(&in, &p, node_mac, client_mac);
		run(f, &in, &r);
		expect_forward("a random flow", f, &in, &r, XDP_TX);
		assert_in_range(r.row, row_of(service, 0), row_of(service, PER_SERVICE - 1));
		seen[r.row - row_of(service, 0)]++;
	}
}

/* expect_forward() computes the slot; here it is a thousand times for every service. */
static void test_random_flows(void **state)
{
	for (unsigned int s = 0; s < N_KNOWN; s++) {
		unsigned int seen[PER_SERVICE] = {0};

		flows_to(*state, s, seen);
		for (unsigned int i = 0; i < PER_SERVICE; i++)
			assert_in_range(seen[i], 175, 325); /* 250, five standard deviations */
	}
}

static void test_thousand_services(void **state)
{
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	for (unsigned int i = 0; i < 1000; i++) {
		struct ek_service entry = entry_of(i & 1);

		entry.vip.bytes[14] = 1 + i / 250;
		entry.vip.bytes[15] = i % 250;
		entry.key = EK_SERVICE_KEY(htons(1 + i), IPPROTO_TCP, EK_SERVICE_LIVE);
		add_service(f, &entry);
	}
	for (unsigned int i = 0; i < 1001; i++) {
		const int family = i & 1 ? 6 : 4;
		struct packet_spec p = {.family = family,
					.protocol = IPPROTO_TCP,
					.source = address(family == 4 ? CLIENT4 : CLIENT6),
					.destination = address(family == 4 ? VIP4 : VIP6),
					.source_port = 40000,
					.destination_port = 1 + i};
		struct flow flow;

		p.destination.bytes[14] = 1 + i / 250;
		p.destination.bytes[15] = i % 250;
		build_frame(&in, &p, node_mac, client_mac);
		run(f, &in, &r);
		if (i == 1000) { /* one more than there are */
			expect_pass("no such service", &in, &r);
			continue;
		}
		flow = flow_of(&in);
		assert_int_equal(r.verdict, XDP_TX);
		assert_int_equal(r.row, expected_row(f, &flow, i & 1));
	}
	fixture_fill(f);
}

/*
 * In IPv6 clothes an IPv4 VIP is nobody's address: ::ffff:192.0.2.10 must not match its service,
 * not even where the two hashes are neighbours in the table.
 */
static void test_mapped_destination(void **state)
{
	struct fixture *f = *state;
	struct ek_service entry = entry_of(0);
	struct packet_spec p = {.family = 6,
				.protocol = IPPROTO_TCP,
				.source = address(CLIENT6),
				.destination = entry.vip,
				.source_port = 40000};
	static struct frame in;
	static struct result r;
	unsigned int neighbours = 0;

	for (uint32_t port = 1; port < 65536; port++) {
		const uint32_t word = htons(port) | IPPROTO_TCP << 16;
		uint32_t four = ek_hash_service4(&f->key, entry.vip.words[3], word) >> 51;
		uint32_t six = ek_hash_service6(&f->key, &entry.vip, word) >> 51;

		if (((four - six) & 8191) >= 12)
			continue;
		neighbours++;
		entry.key = EK_SERVICE_KEY(htons(port), IPPROTO_TCP, EK_SERVICE_LIVE);
		memset(f->services, 0, sizeof(*f->services));
		add_service(f, &entry);
		for (uint32_t slot = six; slot != four; slot = (slot + 1) & 8191)
			if (!f->services->slot[slot].key) /* somebody else's, in between */
				f->services->slot[slot].key = 1u << 24;
		p.destination_port = port;
		build_frame(&in, &p, node_mac, client_mac);
		run(f, &in, &r);
		expect_pass("IPv4 VIP as an IPv6 destination", &in, &r);
	}
	assert_in_range(neighbours, 1, 65535);
	fixture_fill(f);
}

/* --- outer source ---------------------------------------------------------------------------- */

static void outer_sources(struct fixture *f, int family)
{
	const size_t at = ETHERNET + (family == 4 ? 12 : 20);
	uint32_t first = 0, distinct = 0, labels = 0;
	static struct frame in;
	static struct result r;

	for (unsigned int i = 0; i < 256; i++) {
		const struct row row = {
			.packet = {.source_port = 1024 + i}, .vip4 = VARIED4, .vip6 = VARIED6};
		unsigned int label;
		uint32_t source, again;

		build(&in, &row, family);
		run(f, &in, &r);
		expect_forward("outer source", f, &in, &r, XDP_TX); /* is within its prefix */
		memcpy(&source, r.out.bytes + at, 4);
		label = read16(&r.out, 16);
		run(f, &in, &r);
		memcpy(&again, r.out.bytes + at, 4);
		assert_int_equal(source, again);
		assert_true(family == 4 || label == read16(&r.out, 16));
		distinct += i && source != first;
		labels += label != 0;
		first = source;
	}
	assert_in_range(distinct, 240, 255);
	assert_true(family == 4 || labels > 240);
}

static void test_outer_source(void **state)
{
	outer_sources(*state, 4);
	outer_sources(*state, 6);
}

/* --- another port ---------------------------------------------------------------------------- */

/* Loopback stands in for a NIC: a test run reports the redirect and does not carry it out. */
static void test_redirect(void **state)
{
	struct fixture *f = *state;
	int fd = bpf_map__fd(f->skeleton->maps.egress);
	const uint32_t port = EGRESS_PORT, loopback = 1;
	static const struct row syn = {.packet = {.tcp_flags = SYN}};
	static struct frame in;
	static struct result r;

	assert_int_equal(bpf_map_update_elem(fd, &port, &loopback, BPF_ANY), 0);
	elsewhere(f);
	for (int family = 4; family <= 6; family += 2) {
		build(&in, &syn, family);
		run(f, &in, &r);
		expect_forward("by another port", f, &in, &r, XDP_REDIRECT);
	}
	f->ports[EGRESS_PORT].source4 = 0;
	build(&in, &syn, 4);
	run(f, &in, &r);
	expect_drop("the other port has no address", &r, EK_DROP_NO_SOURCE);
	memset(&f->ports[EGRESS_PORT], 0, sizeof(f->ports[EGRESS_PORT]));
	run(f, &in, &r);
	expect_drop("the other port was withdrawn", &r, EK_DROP_UNRESOLVED);
	assert_int_equal(bpf_map_delete_elem(fd, &port), 0);
	fixture_fill(f);
}

/* --- counters -------------------------------------------------------------------------------- */

static void expect_counts(struct fixture *f, uint32_t cpu, const struct frame *in)
{
	static struct result r;

	fixture_fill(f);
	for (unsigned int i = 0; i < 3; i++)
		run(f, in, &r);
	for (uint32_t i = 0; i < f->cpus * ROWS; i++) {
		bool own = i == cpu * ROWS + r.row;

		assert_int_equal(f->backends[i].packets, own ? 3 : 0);
		assert_int_equal(f->backends[i].bytes, own ? 3 * in->length : 0);
	}
}

static void test_every_cpu(void **state)
{
	static const struct row data = {.packet = {.tcp_flags = ACK, .payload = 99}};
	static struct frame in;
	cpu_set_t before, one;

	build(&in, &data, 4);
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &before))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
		expect_counts(*state, cpu, &in);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	fixture_fill(*state);
}

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture_open(&fixture);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	fixture_close(*state);
	return 0;
}

/* A failed test may leave the data plane as it arranged it. */
static int fill(void **state)
{
	fixture_fill(*state);
	return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, fill)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rows),
		TEST(test_rows_elsewhere),
		TEST(test_rows_traced),
		TEST(test_written_out),
		TEST(test_every_dscp_and_ecn),
		TEST(test_every_header_length),
		TEST(test_every_identification),
		TEST(test_checksum_carries),
		TEST(test_cut_short),
		TEST(test_every_bit_flipped),
		TEST(test_random_flows),
		TEST(test_thousand_services),
		TEST(test_mapped_destination),
		TEST(test_outer_source),
		TEST(test_redirect),
		TEST(test_every_cpu),
	};

	return cmocka_run_group_tests_name("balancer", tests, set_up, tear_down);
}
