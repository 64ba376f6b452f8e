/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/reset.h under BPF_PROG_TEST_RUN (root): segments of no known connection, to services whose
 * failover is none, and the whole frame that answers each. expected_reset() is a second opinion,
 * put together byte by byte from RFC 9293, section 3.5.2; that what is known is not answered, and
 * that no answer changes the connection table, is held against every one.
 */
#include "balancer_fixture.h"

static const uint8_t virtual_mac4[6] = "\0\0\x5e\0\x01\x07";
static const uint8_t virtual_mac6[6] = "\0\0\x5e\0\x02\x07";

/* --- what comes in --------------------------------------------------------------------------- */

struct segment {
	const char *description;
	unsigned int flags;
	size_t payload, padding;
	unsigned int tcp_options, ip_options; /* words */
	uint32_t sequence, acknowledgement;   /* 0: some */
	const char *source4, *source6;	      /* NULL: the usual client */
	bool silent;			      /* dropped, and not answered */
};

static size_t tcp_at(const struct frame *f)
{
	return ETHERNET + (read16(f, 12) == 0x0800 ? (f->bytes[14] & 15) * 4 : 40);
}

static void overwrite32(struct frame *f, size_t at, uint32_t value)
{
	overwrite16(f, at, value >> 16);
	overwrite16(f, at + 2, value & 0xffff);
}

static uint32_t read32(const struct frame *f, size_t at)
{
	return (uint32_t)read16(f, at) << 16 | read16(f, at + 2);
}

static void build_to(struct frame *in, const struct segment *s, int family, const uint8_t *mac)
{
	const char *source = family == 4 ? s->source4 ?: CLIENT4 : s->source6 ?: CLIENT6;
	const struct packet_spec p = {.family = family,
				      .protocol = IPPROTO_TCP,
				      .source = address(source),
				      .destination = address(family == 4 ? VIP4 : VIP6),
				      .source_port = 40000,
				      .destination_port = 80,
				      .tos = 0xb9,
				      .id = 0x1234,
				      .options = s->ip_options,
				      .tcp_flags = s->flags,
				      .tcp_options = s->tcp_options,
				      .payload = s->payload,
				      .padding = s->padding};

	build_frame(in, &p, mac, client_mac);
	if (s->sequence)
		overwrite32(in, tcp_at(in) + 4, s->sequence);
	if (s->acknowledgement)
		overwrite32(in, tcp_at(in) + 8, s->acknowledgement);
}

static void build(struct frame *in, const struct segment *s, int family)
{
	build_to(in, s, family, node_mac);
}

/* --- what should come out -------------------------------------------------------------------- */

/* RFC 9293, section 3.1: over the pseudo-header, too. */
static unsigned int tcp_checksum(const struct frame *f, size_t length)
{
	struct frame pseudo = {0};
	const bool six = read16(f, 12) == 0x86dd;

	put(&pseudo, f->bytes + (six ? 22 : 26), six ? 32 : 8);
	put(&pseudo, six ? "\0\0\0\x14\0\0\0\x06" : "\0\x06\0\x14", six ? 8 : 4);
	put(&pseudo, f->bytes + f->length - length, length);
	return checksum(pseudo.bytes, pseudo.length);
}

static void put_tcp_reset(struct frame *e, const struct frame *in)
{
	const size_t at = tcp_at(in);
	const unsigned int flags = in->bytes[at + 13];
	const bool six = read16(in, 12) == 0x86dd;
	uint32_t length = read16(in, ETHERNET + (six ? 4 : 2)) + (six ? 40 : 0);

	length = length + ETHERNET - at - (in->bytes[at + 12] >> 4) * 4;
	put(e, in->bytes + at + 2, 2);
	put(e, in->bytes + at, 2);
	put(e, "\0\0\0\0\0\0\0\0", 8);
	put8(e, 0x50);
	put8(e, flags & ACK ? RST : RST | ACK);
	put(e, "\0\0\0\0\0\0", 6);
	if (flags & ACK)
		memcpy(e->bytes + e->length - 16, in->bytes + at + 8, 4);
	else
		overwrite32(e, e->length - 12,
			    read32(in, at + 4) + length + !!(flags & SYN) + !!(flags & FIN));
	overwrite16(e, e->length - 4, tcp_checksum(e, 20));
}

static void expected_reset(struct frame *e, const struct frame *in)
{
	const uint8_t *ip = in->bytes + ETHERNET;
	const bool six = read16(in, 12) == 0x86dd;

	e->length = 0;
	put(e, in->bytes + 6, 6);
	put(e, node_mac, 6);
	put(e, in->bytes + 12, 2);
	if (six) {
		put_ip6(e, 0, 0, 20, IPPROTO_TCP, 64);
		put(e, ip + 24, 16);
		put(e, ip + 8, 16);
	} else {
		put_ip4(e, 0, 40, 0, 0x4000, 64, IPPROTO_TCP);
		put(e, ip + 16, 4);
		put(e, ip + 12, 4);
		seal_ip4(e, ETHERNET);
	}
	put_tcp_reset(e, in);
	assert_int_equal(e->length, six ? 74 : 54);
}

static void expect_counted(const char *what, const struct result *r)
{
	if (r->counted_drops != 1 || r->counted_forwards || r->drop != EK_DROP_UNKNOWN_FLOW)
		fail_msg("%s: %u drops counted, as %u, and %u forwards", what, r->counted_drops,
			 r->drop, r->counted_forwards);
}

static void expect_reset(const char *what, const struct frame *in, const struct result *r)
{
	static struct frame expected;

	if (r->verdict != XDP_TX)
		fail_msg("%s: verdict %d (drop %u), expected XDP_TX", what, r->verdict, r->drop);
	expect_counted(what, r);
	expected_reset(&expected, in);
	if (!same_frame(&expected, &r->out))
		fail_msg("%s: another frame than expected", what);
	if (r->out.length > in->length)
		fail_msg("%s: the answer is longer", what);
}

static void expect_silence(const char *what, const struct frame *in, const struct result *r)
{
	expect_drop(what, r, EK_DROP_UNKNOWN_FLOW);
	if (!same_frame(in, &r->out))
		fail_msg("%s: dropped, and changed", what);
}

/* --- the data plane -------------------------------------------------------------------------- */

static const uint16_t timeouts[EK_FLOW_STATES] = {0, 60, 8100, 120};

static void forget_flows(struct fixture *f)
{
	memset(f->flows, 0, BUCKETS * sizeof(*f->flows));
	memset(f->flow_keys, 0, BUCKETS * sizeof(*f->flow_keys));
}

static void set_flags(struct fixture *f, uint32_t flags)
{
	for (unsigned int s = 0; s < N_KNOWN; s++) {
		struct ek_service entry = entry_of(s);

		entry.flags = flags;
		memcpy(entry.timeout, timeouts, sizeof(timeouts));
		assert_int_equal(ek_service_table_put(f->services, &f->key, &entry), 0);
	}
}

static void set_lookup(struct fixture *f, bool lookup)
{
	for (unsigned int s = 0; s < N_KNOWN; s++)
		for (uint32_t slot = 0; slot < EK_RING_SIZE; slot++)
			f->rings[s]->slot[slot] =
				ek_slot(usual_choice(s, slot), usual_choice(s, slot), lookup);
}

/* Every service tracks in full and has no failover; no flow is known. */
static void disown(struct fixture *f)
{
	fixture_fill(f);
	forget_flows(f);
	set_flags(f, EK_SERVICE_F_TRACK_FULL | EK_SERVICE_F_RESET);
	set_lookup(f, true);
}

/* Runs it, and holds the program to it that the connection table stays as it is. */
static void run_unstored(struct fixture *f, const struct frame *in, struct result *r)
{
	static struct ek_flow_bucket flows[BUCKETS];
	static struct ek_flow_keys keys[BUCKETS];

	memcpy(flows, f->flows, sizeof(flows));
	memcpy(keys, f->flow_keys, sizeof(keys));
	run(f, in, r);
	assert_memory_equal(flows, f->flows, sizeof(flows));
	assert_memory_equal(keys, f->flow_keys, sizeof(keys));
}

/* --- segments of no known connection --------------------------------------------------------- */

static const struct segment segments[] = {
	{"ACK", .flags = ACK},
	{"ACK, as Ethernet pads it", .flags = ACK, .padding = 6},
	{"data", .flags = ACK | PSH, .payload = 1},
	{"data, a full segment", .flags = ACK | PSH, .payload = 1440},
	{"data after an ACK of nothing", .flags = ACK, .payload = 9, .acknowledgement = UINT32_MAX},
	{"FIN and ACK", .flags = FIN | ACK},
	{"FIN, ACK and data", .flags = FIN | ACK | PSH, .payload = 77},
	{"SYN and ACK", .flags = SYN | ACK},
	{"every flag but RST", .flags = 0xff & ~RST, .payload = 3},
	{"no ACK", .flags = 0},
	{"no ACK, data", .flags = PSH, .payload = 100},
	{"no ACK, FIN", .flags = FIN},
	{"no ACK, FIN and data", .flags = FIN | PSH, .payload = 33},
	{"no ACK, SYN and FIN", .flags = SYN | FIN},
	{"no ACK, SYN, FIN and data", .flags = SYN | FIN, .payload = 1},
	{"no ACK, data, the sequence wraps", .flags = 0, .payload = 2, .sequence = UINT32_MAX - 1},
	{"no ACK, FIN, the sequence wraps", .flags = FIN, .sequence = UINT32_MAX},
	{"no ACK, data behind options, padded", .flags = 0, .payload = 5, .padding = 9,
	 .tcp_options = 3},
	{"ACK behind the longest TCP options", .flags = ACK, .payload = 1, .tcp_options = 10},
	{"no ACK, the longest TCP options", .flags = FIN, .payload = 1, .tcp_options = 10},
	{"ACK behind IPv4 options", .flags = ACK, .payload = 1, .ip_options = 1},
	{"no ACK, the longest options of both", .flags = PSH, .payload = 7, .ip_options = 10,
	 .tcp_options = 10},
	{"RST", .flags = RST, .silent = true},
	{"RST and ACK", .flags = RST | ACK, .silent = true},
	{"RST and data", .flags = RST | ACK, .payload = 20, .silent = true},
	{"every flag", .flags = 0xff, .silent = true},
	{"from the first address of class A", .flags = ACK, .source4 = "1.0.0.0",
	 .source6 = "100::"},
	{"from the last one of class C", .flags = ACK, .source4 = "223.255.255.255",
	 .source6 = "fe80::7"},
	{"from the VIP itself", .flags = ACK, .source4 = VIP4, .source6 = VIP6},
	{"from an unspecified address", .flags = ACK, .source4 = "0.0.0.0",
	 .source6 = "::", .silent = true},
	{"from loopback", .flags = ACK, .source4 = "127.0.0.1", .source6 = "::1", .silent = true},
	{"from a group", .flags = ACK, .source4 = "224.0.0.1", .source6 = "ff02::1",
	 .silent = true},
	{"from everybody", .flags = ACK, .source4 = "255.255.255.255", .source6 = "ff0e::1",
	 .silent = true},
};
#define N_SEGMENTS (sizeof(segments) / sizeof(segments[0]))

static void for_each_segment(struct fixture *f,
			     void (*each)(struct fixture *f, const struct segment *s,
					  struct frame *in))
{
	static struct frame in;

	for (size_t i = 0; i < N_SEGMENTS; i++)
		for (int family = 4; family <= 6; family += 2) {
			if (segments[i].ip_options && family == 6)
				continue;
			build(&in, &segments[i], family);
			each(f, &segments[i], &in);
		}
}

static void expect_answer(struct fixture *f, const struct segment *s, struct frame *in)
{
	static struct result r;

	print_message("  IPv%d: %s\n", read16(in, 12) == 0x0800 ? 4 : 6, s->description);
	run_unstored(f, in, &r);
	if (s->silent)
		expect_silence(s->description, in, &r);
	else
		expect_reset(s->description, in, &r);
}

static void test_segments(void **state)
{
	disown(*state);
	for_each_segment(*state, expect_answer);
}

/* What is not for the service is not its to answer. */
static void expect_none_elsewhere(struct fixture *f, const struct segment *s, struct frame *in)
{
	const bool six = read16(in, 12) == 0x86dd;
	static struct result r;

	in->bytes[4] ^= 1;
	run_unstored(f, in, &r);
	expect_pass(s->description, in, &r);
	in->bytes[4] ^= 1;
	overwrite16(in, tcp_at(in) + 2, 8080);
	run_unstored(f, in, &r);
	expect_pass(s->description, in, &r);
	overwrite16(in, tcp_at(in) + 2, 80);
	in->bytes[six ? 53 : 33] ^= 0x80;
	run_unstored(f, in, &r);
	expect_pass(s->description, in, &r);
}

static void test_elsewhere(void **state)
{
	disown(*state);
	for_each_segment(*state, expect_none_elsewhere);
}

/* Cut short, a segment is refused for that; what Ethernet pads does not count. */
static void expect_truncated(struct fixture *f, const struct segment *s, struct frame *in)
{
	const size_t whole = in->length - s->padding;
	static struct result r;

	for (in->length = ETHERNET; in->length < whole; in->length++) {
		if (in->length > 150 && in->length + 3 < whole)
			continue;
		run_unstored(f, in, &r);
		if (r.verdict == XDP_PASS)
			expect_pass(s->description, in, &r);
		else
			expect_drop(s->description, &r, EK_DROP_TRUNCATED);
	}
}

static void test_cut_short(void **state)
{
	disown(*state);
	for_each_segment(*state, expect_truncated);
}

/* Passed or dropped as it came or, if it is a segment for the service, answered by the book. */
static void expect_sane_flip(struct fixture *f, const struct segment *s, struct frame *in)
{
	const size_t end = tcp_at(in) + 20;
	static struct result r;

	if (s->payload > 100)
		return;
	for (size_t bit = 0; bit < end * 8; bit++) {
		in->bytes[bit / 8] ^= 1 << bit % 8;
		forget_flows(f);
		run(f, in, &r);
		if (r.verdict == XDP_TX && r.counted_drops)
			expect_reset(s->description, in, &r);
		else
			expect_sane(s->description, f, in, &r);
		in->bytes[bit / 8] ^= 1 << bit % 8;
	}
}

static void test_every_bit_flipped(void **state)
{
	disown(*state);
	for_each_segment(*state, expect_sane_flip);
}

/* Every value that the sum of an answer can have. */
static void test_every_checksum(void **state)
{
	static const struct segment s = {"checksums", .flags = ACK};
	static struct frame in;
	static struct result r;

	disown(*state);
	for (int family = 4; family <= 6; family += 2) {
		build(&in, &s, family);
		for (unsigned int i = 0; i < 65536; i++) {
			overwrite16(&in, tcp_at(&in) + 10, i);
			run(*state, &in, &r);
			expect_reset(s.description, &in, &r);
		}
	}
}

/* The builders of frames are themselves no authority: these were written by hand. */
static const uint8_t written_in[] = {
	0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0xcc, 0xcc, 0xcc, 0xcc, 0x01, 0x08, 0x00, /**/
	0x45, 0xb9, 0x00, 0x2a, 0x12, 0x34, 0x00, 0x00, 0x3f, 0x06, 0x7c, 0x9c,		    /**/
	0xc6, 0x33, 0x64, 0x07, 0xc0, 0x00, 0x02, 0x0a,					    /**/
	0x9c, 0x40, 0x00, 0x50, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x50, 0x09, /**/
	0xff, 0xff, 0xbe, 0xef, 0x00, 0x00, 0xa0, 0xa1,
};

static const uint8_t written_out[] = {
	0x02, 0xcc, 0xcc, 0xcc, 0xcc, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, /**/
	0x45, 0x00, 0x00, 0x28, 0x00, 0x00, 0x40, 0x00, 0x40, 0x06, 0x4e, 0x8b,		    /**/
	0xc0, 0x00, 0x02, 0x0a, 0xc6, 0x33, 0x64, 0x07,					    /**/
	0x00, 0x50, 0x9c, 0x40, 0x00, 0x00, 0x00, 0x00, 0x11, 0x22, 0x33, 0x47, 0x50, 0x14, /**/
	0x00, 0x00, 0xe2, 0x91, 0x00, 0x00,
};

static void test_written_out(void **state)
{
	static struct frame in, out;
	static struct result r;

	disown(*state);
	in.length = out.length = 0;
	put(&in, written_in, sizeof(written_in));
	put(&out, written_out, sizeof(written_out));
	run(*state, &in, &r);
	assert_int_equal(r.verdict, XDP_TX);
	assert_true(same_frame(&out, &r.out));
}

/* --- who is known ---------------------------------------------------------------------------- */

static void expect_through(struct fixture *f, int family, const struct segment *s)
{
	static struct frame in;
	static struct result r;

	print_message("  IPv%d: %s\n", family, s->description);
	build(&in, s, family);
	run(f, &in, &r);
	expect_forward(s->description, f, &in, &r, XDP_TX);
}

static void expect_refused(struct fixture *f, int family, const struct segment *s)
{
	static struct frame in;
	static struct result r;

	build(&in, s, family);
	run_unstored(f, &in, &r);
	expect_answer(f, s, &in);
}

/* A whole connection, and what does not belong to it while its handshake lasts. */
static void test_connection(void **state)
{
	for (int family = 4; family <= 6; family += 2) {
		disown(*state);
		expect_refused(*state, family, &(struct segment){"before its SYN", .flags = ACK});
		expect_through(*state, family,
			       &(struct segment){"SYN", .flags = SYN, .sequence = 1000});
		expect_refused(*state, family,
			       &(struct segment){"another's ACK", .flags = ACK, .sequence = 1000});
		expect_refused(*state, family,
			       &(struct segment){"another's FIN", .flags = FIN | ACK,
						 .sequence = 1 << 30});
		expect_refused(*state, family,
			       &(struct segment){"another's RST", .flags = RST | ACK,
						 .sequence = 1 << 30, .silent = true});
		/* It may answer what the server still holds of an older connection. */
		expect_through(*state, family,
			       &(struct segment){"a refusal", .flags = RST, .sequence = 1 << 30});
		expect_through(*state, family,
			       &(struct segment){"SYN, repeated", .flags = SYN, .sequence = 1000});
		expect_through(*state, family,
			       &(struct segment){"ACK", .flags = ACK, .sequence = 1001});
		expect_through(
			*state, family,
			&(struct segment){"data", .flags = ACK, .payload = 5, .sequence = 1001});
		expect_through(
			*state, family,
			&(struct segment){"out of every window", .flags = ACK, .sequence = 7});
		expect_through(*state, family,
			       &(struct segment){
				       .description = "FIN", .flags = FIN | ACK, .sequence = 1006});
		expect_through(*state, family,
			       &(struct segment){"the last ACK", .flags = ACK, .sequence = 1007});
		expect_through(*state, family,
			       &(struct segment){"RST", .flags = RST, .sequence = 1007});
		forget_flows(*state);
		expect_refused(*state, family, &(struct segment){"a new node", .flags = ACK});
	}
}

static void expect_dropped(struct fixture *f, int family, const struct segment *s,
			   enum ek_drop reason)
{
	static struct frame in;
	static struct result r;

	build(&in, s, family);
	run_unstored(f, &in, &r);
	expect_drop(s->description, &r, reason);
}

/* A connection that has no entry would be reset: it is not begun. */
static void test_unstored(void **state)
{
	for (int family = 4; family <= 6; family += 2) {
		struct fixture *f = *state;

		disown(f);
		expect_through(f, family,
			       &(struct segment){
				       .description = "first SYN", .flags = SYN, .sequence = 1000});
		expect_dropped(f, family,
			       &(struct segment){
				       .description = "second SYN", .flags = SYN, .sequence = 2000},
			       EK_DROP_TABLE_FULL);
		for (uint32_t i = 0; i < BUCKETS * EK_FLOW_WAYS; i++)
			f->flows[i / EK_FLOW_WAYS].entry[i % EK_FLOW_WAYS] = ek_flow_entry(
				(uint64_t)i << 32, 1, EK_FLOW_ESTABLISHED, tick_of(f));
		expect_dropped(f, family, &(struct segment){"SYN", .flags = SYN},
			       EK_DROP_TABLE_FULL);
		expect_refused(f, family, &(struct segment){"data", .flags = ACK});
	}
}

/* --- when nothing is answered ---------------------------------------------------------------- */

/* A slot that does not look up knows its connections without entries. */
static void test_no_lookup(void **state)
{
	for (int family = 4; family <= 6; family += 2) {
		disown(*state);
		set_lookup(*state, false);
		expect_through(*state, family, &(struct segment){"no LOOKUP: ACK", .flags = ACK});
		expect_through(*state, family, &(struct segment){"no LOOKUP: RST", .flags = RST});
	}
}

/* With failover it is adopted: then it has an entry, which counts after a switch. */
static void test_switched(void **state)
{
	for (int family = 4; family <= 6; family += 2) {
		disown(*state);
		set_flags(*state, EK_SERVICE_F_TRACK_FULL);
		expect_through(*state, family, &(struct segment){"ACK, adopted", .flags = ACK});
		set_flags(*state, EK_SERVICE_F_TRACK_FULL | EK_SERVICE_F_RESET);
		expect_through(*state, family,
			       &(struct segment){"ACK, after the switch", .flags = ACK});
		expect_through(*state, family, &(struct segment){"and again", .flags = ACK});
	}
}

static void test_no_ring_choice(void **state)
{
	struct fixture *f = *state;

	for (int family = 4; family <= 6; family += 2) {
		disown(f);
		for (uint32_t slot = 0; slot < EK_RING_SIZE; slot++)
			f->rings[family == 6]->slot[slot] = ek_slot(EK_BACKEND_NONE, 1, true);
		expect_dropped(f, family, &(struct segment){"ACK", .flags = ACK},
			       EK_DROP_NO_BACKEND);
	}
}

static void build_datagram(struct frame *in, int family)
{
	const struct packet_spec p = {.family = family,
				      .protocol = IPPROTO_UDP,
				      .source = address(family == 4 ? CLIENT4 : CLIENT6),
				      .destination = address(family == 4 ? VIP4 : VIP6),
				      .source_port = 40000,
				      .destination_port = 53,
				      .payload = 30};

	build_frame(in, &p, node_mac, client_mac);
}

/* A UDP flow is never refused: unknown, it goes where the ring says, and so it does again. */
static void test_datagrams(void **state)
{
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	for (int family = 4; family <= 6; family += 2) {
		struct flow flow;
		uint32_t slot;

		disown(f);
		build_datagram(&in, family);
		for (int i = 0; i < 3; i++) {
			run(f, &in, &r);
			expect_forward("datagram", f, &in, &r, XDP_TX);
			if (i == 1)
				forget_flows(f);
		}
		flow = flow_of(&in);
		slot = ek_ring_index(hash_of(f, &flow));
		for (unsigned int i = 0; i < PER_SERVICE; i++) {
			const unsigned int service = service_of(&flow);

			f->rings[service]->slot[slot] =
				ek_slot(row_of(service, i), usual_choice(service, slot), true);
			forget_flows(f);
			run(f, &in, &r);
			expect_forward("datagram, re-selected", f, &in, &r, XDP_TX);
		}
	}
}

/* --- MACs ------------------------------------------------------------------------------------ */

/* What came to a virtual MAC is answered from the port's own. */
static void test_virtual_mac(void **state)
{
	static const struct segment s = {"to a virtual MAC", .flags = ACK};
	struct fixture *f = *state;
	struct ek_lease *leases =
		map_of(bpf_map__fd(f->skeleton->maps.leases), EK_LEASES_MAX * sizeof(*leases));
	static struct frame in;
	static struct result r;

	disown(f);
	leases[7] = (struct ek_lease){.mac4 = mac48(virtual_mac4) | EK_LEASE_HELD,
				      .mac6 = mac48(virtual_mac6) | EK_LEASE_HELD,
				      .port = OWN_PORT};
	for (int family = 4; family <= 6; family += 2) {
		build_to(&in, &s, family, family == 4 ? virtual_mac4 : virtual_mac6);
		run_unstored(f, &in, &r);
		expect_reset(s.description, &in, &r);
	}
	memset(leases, 0, EK_LEASES_MAX * sizeof(*leases));
	munmap(leases, EK_LEASES_MAX * sizeof(*leases));
}

/* Nobody answers to a group of neighbours. */
static void test_group_mac(void **state)
{
	static const struct segment s = {"from a group of neighbours", .flags = ACK};
	static struct frame in;
	static struct result r;

	disown(*state);
	for (int family = 4; family <= 6; family += 2) {
		build(&in, &s, family);
		in.bytes[6] |= 1;
		run_unstored(*state, &in, &r);
		expect_silence(s.description, &in, &r);
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments),	  cmocka_unit_test(test_written_out),
		cmocka_unit_test(test_elsewhere),	  cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_every_bit_flipped), cmocka_unit_test(test_every_checksum),
		cmocka_unit_test(test_connection),	  cmocka_unit_test(test_unstored),
		cmocka_unit_test(test_no_lookup),	  cmocka_unit_test(test_switched),
		cmocka_unit_test(test_no_ring_choice),	  cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_virtual_mac),	  cmocka_unit_test(test_group_mac),
	};

	return cmocka_run_group_tests_name("reset", tests, set_up, tear_down);
}
