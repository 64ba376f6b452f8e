/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/icmp.h under BPF_PROG_TEST_RUN (root): echo requests for VIPs and the whole frame that
 * answers each, errors about flows and the backend that each is forwarded to. Every checksum is
 * held against one over the whole message. Errors from inside are test_too_big.c's.
 */
#include "icmp_frames.h"

#define MANY 1000000u

/* --- echo ------------------------------------------------------------------------------------ */

struct echo {
	const char *description;
	size_t data, padding;
	unsigned int tos, id, fragment, options, code;
	uint32_t identifier; /* and sequence number */
	bool zeros;
	const char *source4, *source6; /* NULL: the usual client */
	bool other;		       /* for no VIP */
	unsigned int drop;	       /* 0: answered */
};

static void build_echo(struct frame *in, const struct echo *e, int family)
{
	const char *to = e->other ? (family == 4 ? OTHER4 : OTHER6) : family == 4 ? VIP4 : VIP6;
	const char *from = family == 4 ? e->source4 ?: CLIENT4 : e->source6 ?: CLIENT6;
	const struct packet_spec p = {.family = family,
				      .protocol = family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
				      .source = address(from),
				      .destination = address(to),
				      .tos = e->tos,
				      .id = e->id,
				      .fragment = e->fragment,
				      .options = e->options,
				      .payload = 8 + e->data,
				      .padding = e->padding};
	size_t at;

	build_frame(in, &p, node_mac, client_mac);
	at = icmp_at(in);
	if (e->zeros)
		memset(in->bytes + at, 0, 8 + e->data);
	in->bytes[at] = family == 4 ? 8 : 128;
	in->bytes[at + 1] = e->code;
	overwrite16(in, at + 4, e->identifier >> 16);
	overwrite16(in, at + 6, e->identifier & 0xffff);
	seal_icmp(in);
}

static void exchange(struct frame *f, size_t a, size_t b, size_t n)
{
	uint8_t room[16];

	memcpy(room, f->bytes + a, n);
	memcpy(f->bytes + a, f->bytes + b, n);
	memcpy(f->bytes + b, room, n);
}

/* Everything as it came, but for addresses, TTL, type and what follows from them. */
static void expected_reply(struct frame *e, const struct frame *in)
{
	*e = *in;
	memcpy(e->bytes, in->bytes + 6, 6);
	memcpy(e->bytes + 6, node_mac, 6);
	if (is_six(in)) {
		exchange(e, ETHERNET + 8, ETHERNET + 24, 16);
		e->bytes[ETHERNET + 7] = 64;
		e->bytes[icmp_at(e)] = 129;
	} else {
		exchange(e, ETHERNET + 12, ETHERNET + 16, 4);
		e->bytes[ETHERNET + 8] = 64;
		e->bytes[icmp_at(e)] = 0;
		seal_ip4(e, ETHERNET);
	}
	seal_icmp(e);
}

static void expect_reply(const char *what, const struct frame *in, const struct answered *a)
{
	static struct frame expected, out;

	if (a->r.verdict != XDP_TX || a->r.counted_drops || a->r.counted_forwards)
		fail_msg("%s: verdict %d (drop %u), expected XDP_TX", what, a->r.verdict,
			 a->r.drop);
	expect_answers(what, a, EK_ANSWER_ECHO);
	expected_reply(&expected, in);
	out = a->r.out;
	/* Both are zero in ones' complement, and to all receivers the same: RFC 1624. */
	if (read16(&expected, icmp_at(&expected) + 2) == 0 &&
	    read16(&out, icmp_at(&out) + 2) == 0xffff)
		overwrite16(&out, icmp_at(&out) + 2, 0);
	if (!same_frame(&expected, &out))
		fail_msg("%s: another frame than expected", what);
}

static const struct echo echoes[] = {
	{"as ping sends it", .data = 56, .id = 0x1234, .fragment = 0x4000, .identifier = 0x10001},
	{"no data, padded by Ethernet", .padding = 18},
	{"one byte", .data = 1, .padding = 17},
	{"an odd number of bytes", .data = 1001},
	{"a full frame", .data = 1472, .tos = 0xb8},
	{"longer than that", .data = 1900},
	{"with a TOS and a code", .data = 56, .tos = 0xff, .code = 9, .id = 0xffff},
	{"nothing but zeros", .data = 56, .zeros = true},
	{"of an odd number of them", .data = 7, .zeros = true},
	{"a sum that wraps", .zeros = true, .identifier = 0xfff7},
	{"the one after", .zeros = true, .identifier = 0xfff8},
	{"from the VIP itself", .data = 8, .source4 = VIP4, .source6 = VIP6},
	{"with IPv4 options", .data = 56, .options = 2, .drop = EK_DROP_ICMP_OTHER},
	{"a first fragment", .data = 56, .fragment = 0x2000, .drop = EK_DROP_FRAGMENT},
	{"a later fragment", .data = 56, .fragment = 0x0010, .drop = EK_DROP_FRAGMENT},
	{"from an unspecified address", .data = 8, .source4 = "0.0.0.0",
	 .source6 = "::", .drop = EK_DROP_MALFORMED},
	{"from loopback", .data = 8, .source4 = "127.0.0.1", .source6 = "::1",
	 .drop = EK_DROP_MALFORMED},
	{"from a group", .data = 8, .source4 = "224.0.0.1", .source6 = "ff02::1",
	 .drop = EK_DROP_MALFORMED},
	{"from everybody", .data = 8, .source4 = "255.255.255.255", .source6 = "ff0e::1",
	 .drop = EK_DROP_MALFORMED},
	{"for no VIP", .data = 56, .other = true},
};
#define N_ECHOES (sizeof(echoes) / sizeof(echoes[0]))

static bool is_of(const struct echo *e, int family)
{
	return family == 4 || (!e->options && !(e->fragment & 0x3fff));
}

static void expect_echo(struct fixture *f, const struct echo *e, int family)
{
	static struct frame in;
	static struct answered a;

	print_message("  IPv%d: %s\n", family, e->description);
	build_echo(&in, e, family);
	run_answered(f, &in, &a);
	if (e->other) {
		expect_pass(e->description, &in, &a.r);
		expect_answers(e->description, &a, EK_ANSWER_COUNT);
	} else if (e->drop) {
		expect_silent_drop(e->description, &in, &a, e->drop);
	} else {
		expect_reply(e->description, &in, &a);
	}
}

static void test_echo(void **state)
{
	fixture_fill(*state);
	begin_tick(*state, MANY, 0);
	for (size_t i = 0; i < N_ECHOES; i++)
		for (int family = 4; family <= 6; family += 2)
			if (is_of(&echoes[i], family))
				expect_echo(*state, &echoes[i], family);
}

/* Also where the sums wrap. */
static void test_echo_every_sum(void **state)
{
	static struct frame in;
	static struct answered a;

	fixture_fill(*state);
	begin_tick(*state, MANY, 0);
	for (int family = 4; family <= 6; family += 2)
		for (uint32_t i = 0; i < 65536; i += 3) {
			build_echo(&in, &(struct echo){.data = 4, .identifier = i, .id = i},
				   family);
			run_answered(*state, &in, &a);
			expect_reply("every sum", &in, &a);
		}
}

/* An error on the way is not made good: the reply's checksum is as wrong as the request's. */
static void test_echo_corrupted(void **state)
{
	static struct frame in;
	static struct answered a;

	fixture_fill(*state);
	begin_tick(*state, MANY, 0);
	for (int family = 4; family <= 6; family += 2) {
		build_echo(&in, &(struct echo){.data = 56}, family);
		in.bytes[in.length - 1] ^= 1;
		run_answered(*state, &in, &a);
		assert_int_equal(a.r.verdict, XDP_TX);
		assert_int_not_equal(read16(&a.r.out, icmp_at(&a.r.out) + 2),
				     icmp_checksum(&a.r.out));
	}
}

/* Out in the VLANs that it came in by. */
static void test_echo_tagged(void **state)
{
	static struct frame in, expected;
	static struct answered a;

	fixture_fill(*state);
	begin_tick(*state, MANY, 0);
	for (int family = 4; family <= 6; family += 2)
		for (unsigned int n = 1; n <= 2; n++) {
			build_echo(&in, &echoes[0], family);
			expected_reply(&expected, &in);
			add_tags(&in, n);
			add_tags(&expected, n);
			run_answered(*state, &in, &a);
			assert_int_equal(a.r.verdict, XDP_TX);
			expect_answers("tagged", &a, EK_ANSWER_ECHO);
			assert_true(same_frame(&expected, &a.r.out));
		}
}

static void test_echo_rate(void **state)
{
	static struct frame in;
	static struct answered a;

	fixture_fill(*state);
	for (int family = 4; family <= 6; family += 2) {
		build_echo(&in, &(struct echo){.data = 56}, family);
		begin_tick(*state, 0, MANY);
		run_answered(*state, &in, &a);
		expect_silent_drop("off", &in, &a, EK_DROP_ECHO_OFF);
		begin_tick(*state, 3, 0);
		for (int i = 0; i < 6; i++) {
			run_answered(*state, &in, &a);
			if (i < 3)
				expect_reply("within the rate", &in, &a);
			else
				expect_silent_drop("over the rate", &in, &a, EK_DROP_ICMP_RATE);
		}
		begin_tick(*state, 1, 0);
		run_answered(*state, &in, &a);
		expect_reply("in the next tick", &in, &a);
	}
}

static void test_echo_cut_short(void **state)
{
	static struct frame in;
	static struct answered a;

	fixture_fill(*state);
	begin_tick(*state, MANY, 0);
	for (int family = 4; family <= 6; family += 2) {
		build_echo(&in, &(struct echo){.data = 56}, family);
		for (in.length--; in.length >= ETHERNET; in.length--) {
			run_answered(*state, &in, &a);
			if (a.r.verdict == XDP_PASS)
				expect_pass("cut short", &in, &a.r);
			else
				expect_silent_drop("cut short", &in, &a, EK_DROP_TRUNCATED);
		}
		/* Not only the frame: the packet, too. */
		for (size_t n = 0; n < 8; n++) {
			build_echo(&in, &(struct echo){.data = 56}, family);
			overwrite16(&in, ETHERNET + (family == 4 ? 2 : 4),
				    (family == 4 ? 20 : 0) + n);
			run_answered(*state, &in, &a);
			expect_silent_drop("no whole message", &in, &a, EK_DROP_MALFORMED);
		}
	}
}

/* --- other messages -------------------------------------------------------------------------- */

static bool is_known(int family, unsigned int type)
{
	if (family == 4)
		return type == 3 || type == 8 || type == 11 || type == 12;
	return (type >= 1 && type <= 4) || type == 128 || (type >= 133 && type <= 137);
}

static void test_other_types(void **state)
{
	static struct frame in;
	static struct answered a;

	fixture_fill(*state);
	begin_tick(*state, MANY, MANY);
	for (int family = 4; family <= 6; family += 2) {
		build_echo(&in, &(struct echo){.data = 56}, family);
		for (unsigned int type = 0; type < 256; type++) {
			if (is_known(family, type))
				continue;
			in.bytes[icmp_at(&in)] = type;
			seal_icmp(&in);
			run_answered(*state, &in, &a);
			expect_silent_drop("another type", &in, &a, EK_DROP_ICMP_OTHER);
		}
	}
}

/* --- errors about flows ---------------------------------------------------------------------- */

struct error {
	const char *description;
	unsigned int type4, code4, type6; /* 0: fragmentation needed, packet too big */
	unsigned int protocol;		  /* 0: TCP */
	unsigned int port;		  /* the VIP's; 0: 80 */
	size_t quote;			  /* bytes behind the IP header; 0: 8 */
	unsigned int options;		  /* words, in the quoted IPv4 header */
	unsigned int fragment4;		  /* of the quoted packet */
	const char *vip4, *vip6;	  /* what the quoted packet says it came from */
	uint8_t extensions[8];		  /* in the quoted IPv6 packet, 8 bytes each */
	bool lost;			  /* nothing is found */
};

/* What a backend sent, without extension headers. */
static void build_reply(struct frame *f, const struct error *e, int family)
{
	const struct packet_spec p = {
		.family = family,
		.protocol = e->protocol ?: IPPROTO_TCP,
		.source = address(family == 4 ? e->vip4 ?: VIP4 : e->vip6 ?: VIP6),
		.destination = address(family == 4 ? CLIENT4 : CLIENT6),
		.source_port = e->port ?: 80,
		.destination_port = 40000,
		.options = e->options,
		.fragment = e->fragment4,
		.tcp_flags = ACK,
		.payload = 1000};

	build_frame(f, &p, client_mac, node_mac);
}

/* 8 bytes for each extension header; two have names of their own here, one since it is 0. */
enum { LATER = 201, HOPS };

static uint8_t header_number(uint8_t extension)
{
	return extension == LATER  ? IPPROTO_FRAGMENT
	       : extension == HOPS ? IPPROTO_HOPOPTS
				   : extension;
}

static size_t put_extensions(uint8_t *out, const struct error *e, uint8_t *first)
{
	const uint8_t protocol = e->protocol ?: IPPROTO_TCP;
	size_t n = 0;

	if (e->extensions[0])
		*first = header_number(e->extensions[0]);
	for (; n < 8 && e->extensions[n]; n++) {
		uint8_t next = n < 7 && e->extensions[n + 1] ? e->extensions[n + 1] : protocol;

		memset(out + 8 * n, 0, 8);
		out[8 * n] = header_number(next);
		if (e->extensions[n] == LATER)
			out[8 * n + 3] = 8;
	}
	return 8 * n;
}

static void build_error(struct frame *in, const struct error *e, int family)
{
	const struct message m = {.family = family,
				  .source = address(family == 4 ? ROUTER4 : ROUTER6),
				  .destination = address(family == 4 ? VIP4 : VIP6),
				  .type = family == 4 ? e->type4 ?: 3 : e->type6 ?: 2,
				  .code = family == 4 ? (e->type4 ? e->code4 : 4) : 0,
				  .rest = 1400,
				  .tos = 0xc0,
				  .id = 0x4321,
				  .ttl = 61,
				  .to = node_mac,
				  .from = client_mac};
	static struct frame reply;
	uint8_t quote[1500];
	size_t header = family == 4 ? 20 + 4 * e->options : 40, more = 0;

	build_reply(&reply, e, family);
	memcpy(quote, reply.bytes + ETHERNET, header);
	if (family == 6)
		more = put_extensions(quote + 40, e, &quote[6]);
	memcpy(quote + header + more, reply.bytes + ETHERNET + header, 1000);
	build_message(in, &m, quote, header + more + (e->quote ?: 8));
}

static struct flow flow_of_error(const struct error *e, int family)
{
	return (struct flow){.family = family,
			     .protocol = e->protocol ?: IPPROTO_TCP,
			     .source_port = 40000,
			     .destination_port = e->port ?: 80,
			     .source = address(family == 4 ? CLIENT4 : CLIENT6),
			     .destination = address(family == 4 ? VIP4 : VIP6)};
}

static void expect_with_flow(const char *what, const struct fixture *f, const struct frame *in,
			     const struct answered *a, const struct flow *flow)
{
	static struct frame expected;
	int service = service_of(flow);
	uint32_t row;

	assert_true(service >= 0);
	row = expected_row(f, flow, service);
	if (a->r.verdict != XDP_TX)
		fail_msg("%s: verdict %d (drop %u), expected XDP_TX", what, a->r.verdict,
			 a->r.drop);
	expect_answers(what, a, EK_ANSWER_COUNT);
	if (a->r.counted_drops || a->r.counted_forwards != 1 || a->r.bytes != in->length)
		fail_msg("%s: not counted as one packet", what);
	if (a->r.row != row)
		fail_msg("%s: backend %u, expected %u", what, a->r.row, row);
	expected_frame(&expected, f, in, &a->r.out, service, row);
	if (!same_frame(&expected, &a->r.out))
		fail_msg("%s: another frame than expected", what);
}

static const struct error errors[] = {
	{.description = "fragmentation needed"},
	{"of another service", .port = 443},
	{"about a datagram", .protocol = IPPROTO_UDP, .port = 53},
	{"unreachable", .type4 = 3, .code4 = 1, .type6 = 1},
	{"port unreachable", .type4 = 3, .code4 = 3, .type6 = 1, .protocol = IPPROTO_UDP,
	 .port = 53},
	{"time exceeded", .type4 = 11, .type6 = 3},
	{"parameter problem", .type4 = 12, .type6 = 4},
	{"a long quote", .quote = 528},
	{"a longer one", .quote = 1000},
	{"four bytes behind the header", .quote = 4},
	{"three", .quote = 3, .lost = true},
	{"IPv4 options quoted", .options = 3},
	{"as many as there may be", .options = 10},
	{"a first fragment quoted", .fragment4 = 0x2000},
	{"a later fragment quoted", .fragment4 = 0x2010, .lost = true},
	{"about another address", .vip4 = OTHER4, .vip6 = OTHER6, .lost = true},
	{"about another VIP", .vip4 = VARIED4, .vip6 = VARIED6, .lost = true},
	{"about no service's port", .port = 81, .lost = true},
	{"about the other protocol", .protocol = IPPROTO_UDP, .port = 80, .lost = true},
	{"about a protocol without ports", .protocol = 47, .lost = true},
	{"about an echo reply", .protocol = IPPROTO_ICMP, .lost = true},
};

static const struct error errors6[] = {
	{"options for all hops", .extensions = {HOPS}},
	{"four extension headers",
	 .extensions = {HOPS, IPPROTO_DSTOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS}},
	{"five",
	 .extensions = {HOPS, IPPROTO_DSTOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS, IPPROTO_DSTOPTS},
	 .lost = true},
	{"a first fragment", .extensions = {IPPROTO_FRAGMENT}},
	{"a later fragment", .extensions = {LATER}, .lost = true},
	{"options, and a later fragment", .extensions = {HOPS, LATER}, .lost = true},
};

static void expect_error(struct fixture *f, const struct error *e, int family)
{
	const struct flow flow = flow_of_error(e, family);
	static struct frame in;
	static struct answered a;

	print_message("  IPv%d: %s\n", family, e->description);
	build_error(&in, e, family);
	run_answered(f, &in, &a);
	if (e->lost)
		expect_silent_drop(e->description, &in, &a, EK_DROP_NO_SERVICE);
	else
		expect_with_flow(e->description, f, &in, &a, &flow);
}

static void test_errors(void **state)
{
	fixture_fill(*state);
	begin_tick(*state, 0, 0);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		for (int family = 4; family <= 6; family += 2)
			if (family == 4 || !(errors[i].options || errors[i].fragment4))
				expect_error(*state, &errors[i], family);
	for (size_t i = 0; i < sizeof(errors6) / sizeof(errors6[0]); i++)
		expect_error(*state, &errors6[i], 6);
}

/* Each flow's errors find what the flow's own packets find. */
static void test_errors_follow_flows(void **state)
{
	static struct frame in;
	static struct answered a;

	fixture_fill(*state);
	for (int family = 4; family <= 6; family += 2)
		for (unsigned int port = 1; port < 65536; port += 257) {
			const struct error e = {.description = "any port"};
			struct flow flow = flow_of_error(&e, family);

			build_error(&in, &e, family);
			overwrite16(&in, icmp_at(&in) + 8 + (family == 4 ? 22 : 42), port);
			seal_icmp(&in);
			flow.source_port = port;
			run_answered(*state, &in, &a);
			expect_with_flow("any port", *state, &in, &a, &flow);
		}
}

static void expect_cut(struct fixture *f, const struct error *e, int family)
{
	const size_t header = family == 4 ? 20 : 40, least = 8 + header + 4;
	static struct frame in;
	static struct answered a;
	size_t whole;

	build_error(&in, e, family);
	whole = in.length;
	for (in.length = ETHERNET; in.length < whole; in.length++) {
		run_answered(f, &in, &a);
		if (a.r.verdict == XDP_PASS)
			expect_pass("frame cut", &in, &a.r);
		else
			expect_silent_drop("frame cut", &in, &a, EK_DROP_TRUNCATED);
	}
	for (size_t n = 0; n < least; n++) {
		overwrite16(&in, ETHERNET + (family == 4 ? 2 : 4), (family == 4 ? 20 : 0) + n);
		run_answered(f, &in, &a);
		expect_silent_drop("quote cut", &in, &a,
				   n < 8 ? EK_DROP_MALFORMED : EK_DROP_NO_SERVICE);
	}
}

static void test_errors_cut_short(void **state)
{
	fixture_fill(*state);
	begin_tick(*state, MANY, MANY);
	for (int family = 4; family <= 6; family += 2) {
		expect_cut(*state, &errors[0], family);
		expect_cut(*state, &errors[2], family);
	}
}

/* --- where the table says otherwise ---------------------------------------------------------- */

/* An entry for the flow, and nothing of it changes: an error only looks. */
static void test_errors_look_up(void **state)
{
	static const uint16_t timeouts[EK_FLOW_STATES] = {0, 60, 8100, 120};
	static struct ek_flow_bucket before[BUCKETS];
	struct fixture *f = *state;
	static struct frame in, expected;
	static struct answered a;

	for (int family = 4; family <= 6; family += 2) {
		const struct flow flow = flow_of_error(&errors[0], family);
		struct ek_service entry = entry_of(service_of(&flow));
		uint64_t hash = hash_of(f, &flow);
		uint32_t named = row_of(service_of(&flow), 0), slot;

		fixture_fill(f);
		memcpy(entry.timeout, timeouts, sizeof(timeouts));
		assert_int_equal(ek_service_table_put(f->services, &f->key, &entry), 0);
		slot = (hash >> 32) * 65537 >> 32;
		f->rings[entry.id]->slot[slot] =
			ek_slot(row_of(entry.id, 1), row_of(entry.id, 2), true);
		build_error(&in, &errors[0], family);

		memset(f->flows, 0, sizeof(before));
		run_answered(f, &in, &a);
		assert_int_equal(a.r.verdict, XDP_TX);
		assert_int_equal(a.r.row, row_of(entry.id, 2)); /* older than the change */
		assert_int_equal(f->rings[entry.id]->hit[slot], 0);

		f->flows[ek_flow_bucket_index(hash, BUCKETS - 1)].entry[3] =
			ek_flow_entry(hash, named, EK_FLOW_CLOSING, tick_of(f));
		memcpy(before, f->flows, sizeof(before));
		run_answered(f, &in, &a);
		assert_int_equal(a.r.verdict, XDP_TX);
		assert_int_equal(a.r.row, named);
		expected_frame(&expected, f, &in, &a.r.out, entry.id, named);
		assert_true(same_frame(&expected, &a.r.out));
		assert_memory_equal(before, f->flows, sizeof(before));
		memset(f->flows, 0, sizeof(before));
	}
}

static int set_up(void **state)
{
	static struct fixture f;

	fixture_open(&f);
	*state = &f;
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
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_echo_every_sum),
		cmocka_unit_test(test_echo_corrupted),
		cmocka_unit_test(test_echo_tagged),
		cmocka_unit_test(test_echo_rate),
		cmocka_unit_test(test_echo_cut_short),
		cmocka_unit_test(test_other_types),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_errors_follow_flows),
		cmocka_unit_test(test_errors_cut_short),
		cmocka_unit_test(test_errors_look_up),
	};

	return cmocka_run_group_tests_name("ICMP", tests, set_up, tear_down);
}
