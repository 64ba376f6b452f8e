/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/too_big.h and bpf/inside.h under BPF_PROG_TEST_RUN (root): what clients are told of packets
 * that do not fit, here or further inside, as whole frames that were put together byte by byte from
 * RFC 1191 and RFC 8201; and what the controller hears of the paths.
 */
#include "icmp_frames.h"

#define MANY   1000000u
#define SAID   1400u
#define INSIDE "\x02\xee\xee\xee\xee\x01" /* the MAC of a router between here and the backends */

/* What the client should be told: `quote` bytes of its packet. */
static void expected_told(struct frame *e, int family, const uint8_t *packet, size_t quote,
			  unsigned int mtu, const uint8_t *to)
{
	struct message m = {.family = family,
			    .source = address("0.0.0.0"),
			    .destination = address("0.0.0.0"),
			    .type = family == 4 ? 3 : 2,
			    .code = family == 4 ? 4 : 0,
			    .rest = mtu,
			    .tos = family == 4 ? 0xc0 : 0,
			    .fragment = 0x4000,
			    .ttl = 64,
			    .to = to,
			    .from = node_mac};

	memcpy(family == 4 ? &m.destination.bytes[12] : m.destination.bytes,
	       packet + (family == 4 ? 12 : 8), family == 4 ? 4 : 16);
	memcpy(family == 4 ? &m.source.bytes[12] : m.source.bytes, packet + (family == 4 ? 16 : 24),
	       family == 4 ? 4 : 16);
	build_message(e, &m, packet, quote);
}

/* --- packets that do not fit their tunnel ---------------------------------------------------- */

struct oversized {
	const char *description;
	unsigned int protocol;	   /* 0: TCP */
	unsigned int mtu;	   /* of the path; 0: 1500 */
	unsigned int length;	   /* of the packet; 0: one byte more than fits */
	unsigned int tos, options; /* words of IPv4 options */
	unsigned int told4, told6; /* 0: what fits */
	bool fragmentable;	   /* IPv4 without DF */
	const char *source4, *source6;
	bool silent4, silent6;
};

static const struct oversized oversized[] = {
	{.description = "one byte too long"},
	{"a datagram", .protocol = IPPROTO_UDP},
	{"a full frame", .length = 1500},
	{"a jumbo one", .length = 1990},
	{"marked", .tos = 0xff},
	{"with IPv4 options", .options = 10},
	{"over a narrow path", .mtu = 1400},
	{"over a wide one", .mtu = 1900},
	{"over the narrowest that IPv6 has", .mtu = 1280, .length = 1281, .told6 = 1280},
	{"and one that would fit that", .mtu = 1280, .length = 1280, .silent6 = true},
	{"over a narrower one", .mtu = 600, .length = 1400, .told6 = 1280},
	{"the narrowest that can be learned of", .mtu = 576, .told4 = 556, .silent6 = true},
	{"shorter than a quote", .mtu = 100, .length = 500, .silent4 = true, .silent6 = true},
	{"without DF", .fragmentable = true, .silent4 = true},
	{"from an unspecified address", .source4 = "0.0.0.0", .source6 = "::", .silent4 = true,
	 .silent6 = true},
	{"from loopback", .source4 = "127.1.1.1", .source6 = "::1", .silent4 = true,
	 .silent6 = true},
	{"from a group", .source4 = "239.0.0.1", .source6 = "ff02::1", .silent4 = true,
	 .silent6 = true},
	{"from everybody", .source4 = "255.255.255.255", .source6 = "ff0e::1", .silent4 = true,
	 .silent6 = true},
	{"from the VIP", .source4 = VIP4, .source6 = VIP6},
};

static unsigned int fits_of(const struct oversized *o, int family)
{
	return (o->mtu ?: 1500) - (family == 4 ? 20 : 40);
}

static void build_oversized(struct frame *in, const struct oversized *o, int family)
{
	const char *from = family == 4 ? o->source4 ?: CLIENT4 : o->source6 ?: CLIENT6;
	const unsigned int protocol = o->protocol ?: IPPROTO_TCP;
	const unsigned int headers =
		(family == 4 ? 20 + 4 * o->options : 40) + (protocol == IPPROTO_TCP ? 20 : 8);
	const struct packet_spec p = {
		.family = family,
		.protocol = protocol,
		.source = address(from),
		.destination = address(family == 4 ? VIP4 : VIP6),
		.source_port = 40000,
		.destination_port = protocol == IPPROTO_TCP ? 80 : 53,
		.tos = o->tos,
		.id = 0x1234,
		.options = family == 4 ? o->options : 0,
		.fragment = o->fragmentable ? 0 : 0x4000,
		.tcp_flags = ACK,
		.payload = (o->length ?: fits_of(o, family) + 1) - headers,
	};

	build_frame(in, &p, node_mac, client_mac);
}

static void set_mtu(struct fixture *f, unsigned int mtu)
{
	for (uint32_t i = 0; i < f->cpus * ROWS; i++)
		f->backends[i].mtu = mtu ?: 1500;
}

static void expect_told(const char *what, const struct answered *a, unsigned int kind,
			const struct frame *expected)
{
	if (a->r.verdict != XDP_TX)
		fail_msg("%s: verdict %d (drop %u), expected XDP_TX", what, a->r.verdict,
			 a->r.drop);
	expect_answers(what, a, kind);
	if (a->r.counted_forwards)
		fail_msg("%s: counted as forwarded", what);
	if (!same_frame(expected, &a->r.out))
		fail_msg("%s: another frame than expected", what);
}

static void expect_too_big(const char *what, const struct frame *in, const struct answered *a,
			   unsigned int mtu)
{
	const int family = is_six(in) ? 6 : 4;
	static struct frame expected;

	expected_told(&expected, family, in->bytes + ETHERNET, family == 4 ? 528 : 1232, mtu,
		      client_mac);
	expect_told(what, a, EK_ANSWER_TOO_BIG, &expected);
	if (a->r.counted_drops != 1 || a->r.drop != EK_DROP_TOO_BIG)
		fail_msg("%s: not counted as too big", what);
	if (a->r.out.length > in->length + 28)
		fail_msg("%s: the answer is longer", what);
}

static void expect_oversized(struct fixture *f, const struct oversized *o, int family)
{
	static struct frame in;
	static struct answered a;

	print_message("  IPv%d: %s\n", family, o->description);
	set_mtu(f, o->mtu);
	build_oversized(&in, o, family);
	run_answered(f, &in, &a);
	if (family == 4 ? o->silent4 : o->silent6)
		expect_silent_drop(o->description, &in, &a, EK_DROP_TOO_BIG);
	else
		expect_too_big(o->description, &in, &a,
			       (family == 4 ? o->told4 : o->told6) ?: fits_of(o, family));
}

static void test_oversized(void **state)
{
	fixture_fill(*state);
	begin_tick(*state, 0, MANY);
	for (size_t i = 0; i < sizeof(oversized) / sizeof(oversized[0]); i++)
		for (int family = 4; family <= 6; family += 2)
			expect_oversized(*state, &oversized[i], family);
}

static void test_what_fits(void **state)
{
	static struct frame in;
	static struct answered a;

	fixture_fill(*state);
	begin_tick(*state, 0, MANY);
	for (int family = 4; family <= 6; family += 2) {
		build_oversized(&in, &(struct oversized){.length = family == 4 ? 1480 : 1460},
				family);
		run_answered(*state, &in, &a);
		expect_forward("fits", *state, &in, &a.r, XDP_TX);
		expect_answers("fits", &a, EK_ANSWER_COUNT);
	}
}

static void test_rate(void **state)
{
	static struct frame in;
	static struct answered a;

	fixture_fill(*state);
	for (int family = 4; family <= 6; family += 2) {
		build_oversized(&in, &oversized[0], family);
		for (uint32_t rate = 0; rate < 3; rate++) {
			begin_tick(*state, MANY, rate);
			for (uint32_t i = 0; i < 5; i++) {
				run_answered(*state, &in, &a);
				if (i < rate)
					expect_too_big("within the rate", &in, &a,
						       fits_of(&oversized[0], family));
				else
					expect_silent_drop("over the rate", &in, &a,
							   EK_DROP_TOO_BIG);
			}
		}
	}
}

/* An error that does not fit is not answered with another (RFC 1122, section 3.2.2). */
static void test_oversized_error(void **state)
{
	static struct frame in, reply;
	static struct answered a;

	fixture_fill(*state);
	set_mtu(*state, 600);
	begin_tick(*state, MANY, MANY);
	for (int family = 4; family <= 6; family += 2) {
		struct packet_spec p = {.family = family,
					.protocol = IPPROTO_TCP,
					.source = address(family == 4 ? VIP4 : VIP6),
					.destination = address(family == 4 ? CLIENT4 : CLIENT6),
					.source_port = 80,
					.destination_port = 40000,
					.payload = 1400};
		struct message m = {.family = family,
				    .source = address(family == 4 ? ROUTER4 : ROUTER6),
				    .destination = p.source,
				    .type = family == 4 ? 11 : 3,
				    .fragment = 0x4000,
				    .ttl = 60,
				    .to = node_mac,
				    .from = client_mac};

		build_frame(&reply, &p, client_mac, node_mac);
		build_message(&in, &m, reply.bytes + ETHERNET, 1400);
		run_answered(*state, &in, &a);
		expect_silent_drop("an error", &in, &a, EK_DROP_TOO_BIG);
	}
}

static void test_from_a_group_mac(void **state)
{
	static struct frame in;
	static struct answered a;

	fixture_fill(*state);
	begin_tick(*state, MANY, MANY);
	for (int family = 4; family <= 6; family += 2) {
		build_oversized(&in, &oversized[0], family);
		in.bytes[6] |= 1;
		run_answered(*state, &in, &a);
		expect_silent_drop("from a group's MAC", &in, &a, EK_DROP_TOO_BIG);
	}
}

static void test_tagged(void **state)
{
	static struct frame in, expected;
	static struct answered a;

	fixture_fill(*state);
	begin_tick(*state, 0, MANY);
	for (int family = 4; family <= 6; family += 2)
		for (unsigned int n = 1; n <= 2; n++) {
			build_oversized(&in, &oversized[0], family);
			expected_told(&expected, family, in.bytes + ETHERNET,
				      family == 4 ? 528 : 1232, fits_of(&oversized[0], family),
				      client_mac);
			add_tags(&in, n);
			add_tags(&expected, n);
			run_answered(*state, &in, &a);
			expect_told("tagged", &a, EK_ANSWER_TOO_BIG, &expected);
			assert_int_equal(a.r.drop, EK_DROP_TOO_BIG);
		}
}

/* Every checksum that an answer may have: the quote is part of it. */
static void test_every_sum(void **state)
{
	static struct frame in;
	static struct answered a;

	fixture_fill(*state);
	begin_tick(*state, 0, MANY);
	for (int family = 4; family <= 6; family += 2) {
		build_oversized(&in, &oversized[0], family);
		for (unsigned int i = 0; i < 65536; i += 11) {
			overwrite16(&in, ETHERNET + 60, i);
			run_answered(*state, &in, &a);
			expect_too_big("every sum", &in, &a, fits_of(&oversized[0], family));
		}
	}
}

/* --- errors from inside ---------------------------------------------------------------------- */

enum tunnel { IPIP, GUE, GUE_DIRECT };

struct said {
	const char *description;
	int outer, inner; /* families */
	enum tunnel tunnel;
	unsigned int mtu;	  /* 0: SAID */
	size_t length;		  /* of the client's packet; 0: 1460 */
	size_t quote;		  /* of its bytes; 0: 128 */
	unsigned int fragment;	  /* of the client's IPv4 packet; 0: DF */
	unsigned int protocol;	  /* of it; 0: TCP */
	const char *client, *vip; /* NULL: the usual */
	unsigned int told;	  /* 0: not the client: */
	unsigned int drop;	  /* and dropped so; 0: passed */
	bool unlearned;
};

static size_t overhead_of(const struct said *s)
{
	return (s->outer == 4 ? 20 : 40) + (s->tunnel == IPIP ? 0 : s->tunnel == GUE ? 12 : 8);
}

/* The outer headers of a packet of ours toward a backend. */
static void put_outer(struct frame *f, const struct said *s, size_t length)
{
	const size_t payload = length + overhead_of(s) - (s->outer == 4 ? 20 : 40);
	const unsigned int inner = s->inner == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	const struct ek_ip source = address(s->outer == 4 ? NODE4 : NODE6);
	const struct ek_ip backend = address(s->outer == 4 ? "10.0.255.9" : "2001:db8:b::ff09");

	if (s->outer == 4)
		put_ip4(f, 0, 20 + payload, 0x77, 0x4000, 62,
			s->tunnel == IPIP ? inner : IPPROTO_UDP);
	else
		put_ip6(f, 0, 0x12345, payload, s->tunnel == IPIP ? inner : IPPROTO_UDP, 62);
	put_address(f, s->outer, &source);
	put_address(f, s->outer, &backend);
	if (s->outer == 4)
		seal_ip4(f, f->length - 20);
	if (s->tunnel == IPIP)
		return;
	put16(f, 50000);
	put16(f, 6080);
	put16(f, payload);
	put16(f, 0);
	if (s->tunnel == GUE) {
		put8(f, 0);
		put8(f, inner);
		put16(f, 0);
	}
}

/* The client's packet, into `client`, and the router's error about it, into `in`. */
static void build_said(struct frame *in, struct frame *client, const struct said *s)
{
	const size_t length = s->length ?: 1460;
	const unsigned int protocol = s->protocol ?: IPPROTO_TCP;
	const unsigned int headers = (s->inner == 4 ? 20 : 40) + (protocol == IPPROTO_TCP   ? 20
								  : protocol == IPPROTO_UDP ? 8
											    : 0);
	const struct packet_spec p = {.family = s->inner,
				      .protocol = protocol,
				      .source = address(s->client
								?: s->inner == 4 ? CLIENT4
										 : CLIENT6),
				      .destination = address(s->vip
								     ?: s->inner == 4 ? VIP4
										      : VIP6),
				      .source_port = 40000,
				      .destination_port = 80,
				      .id = 0x99,
				      .fragment = s->fragment ?: 0x4000,
				      .tcp_flags = ACK,
				      .payload = length - headers};
	const struct message m = {.family = s->outer,
				  .source = address(s->outer == 4 ? ROUTER4 : ROUTER6),
				  .destination = address(s->outer == 4 ? NODE4 : NODE6),
				  .type = s->outer == 4 ? 3 : 2,
				  .code = s->outer == 4 ? 4 : 0,
				  .rest = s->mtu == 1 ? 0 : s->mtu ?: SAID,
				  .tos = 0xc0,
				  .id = 1,
				  .ttl = 63,
				  .to = node_mac,
				  .from = (const uint8_t *)INSIDE};
	static struct frame outer;

	build_frame(client, &p, node_mac, client_mac);
	outer.length = 0;
	put_outer(&outer, s, length);
	put(&outer, client->bytes + ETHERNET, s->quote ?: 128);
	build_message(in, &m, outer.bytes, outer.length);
}

struct heard {
	unsigned int n;
	struct ek_learned last;
};

static int on_learned(void *context, void *data, size_t size)
{
	struct heard *h = context;

	assert_int_equal(size, sizeof(h->last));
	memcpy(&h->last, data, sizeof(h->last));
	h->n++;
	return 0;
}

static struct heard what_was_heard(const struct fixture *f)
{
	struct heard h = {0};
	struct ring_buffer *ring =
		ring_buffer__new(bpf_map__fd(f->skeleton->maps.learned), on_learned, &h, NULL);

	assert_non_null(ring);
	ring_buffer__consume(ring);
	ring_buffer__free(ring);
	return h;
}

static void expect_learned(const struct said *s, const struct heard *h)
{
	const struct ek_ip source = address(s->outer == 4 ? NODE4 : NODE6);
	const struct ek_ip backend = address(s->outer == 4 ? "10.0.255.9" : "2001:db8:b::ff09");

	if (h->n != !s->unlearned)
		fail_msg("%s: heard of %u times", s->description, h->n);
	if (!h->n)
		return;
	assert_memory_equal(&h->last.source, &source, sizeof(source));
	assert_memory_equal(&h->last.address, &backend, sizeof(backend));
	if (s->mtu != 1 || s->outer == 4)
		assert_int_equal(h->last.mtu, s->mtu == 1		      ? 0
					      : s->outer == 6 && s->mtu < 1280 && s->mtu ? 1280
										 : s->mtu ?: SAID);
}

static void expect_said(struct fixture *f, const struct said *s)
{
	static struct frame in, client, expected;
	static struct answered a;
	struct heard heard;

	print_message("  IPv%d in IPv%d: %s\n", s->inner, s->outer, s->description);
	build_said(&in, &client, s);
	run_answered(f, &in, &a);
	heard = what_was_heard(f);
	expect_learned(s, &heard);
	if (s->told) {
		expected_told(&expected, s->inner, client.bytes + ETHERNET, s->inner == 4 ? 28 : 48,
			      s->told, (const uint8_t *)INSIDE);
		expect_told(s->description, &a, EK_ANSWER_INSIDE, &expected);
		assert_int_equal(a.r.counted_drops, 0);
	} else if (s->drop) {
		expect_silent_drop(s->description, &in, &a, s->drop);
	} else {
		expect_pass(s->description, &in, &a.r);
		expect_answers(s->description, &a, EK_ANSWER_COUNT);
	}
}

static const struct said said[] = {
	{"ipip", 4, 4, IPIP, .told = SAID - 20},
	{"ipip", 4, 6, IPIP, .told = SAID - 20},
	{"ipip", 6, 4, IPIP, .told = SAID - 40},
	{"ipip", 6, 6, IPIP, .told = SAID - 40},
	{"GUE", 4, 4, GUE, .told = SAID - 32},
	{"GUE", 4, 6, GUE, .told = SAID - 32},
	{"GUE", 6, 4, GUE, .told = SAID - 52},
	{"GUE", 6, 6, GUE, .told = SAID - 52},
	{"GUE, direct", 4, 4, GUE_DIRECT, .told = SAID - 28},
	{"GUE, direct", 4, 6, GUE_DIRECT, .told = SAID - 28},
	{"GUE, direct", 6, 4, GUE_DIRECT, .told = SAID - 48},
	{"GUE, direct", 6, 6, GUE_DIRECT, .told = SAID - 48},
	{"the shortest quote that can be answered", 4, 4, IPIP, .quote = 28, .told = SAID - 20},
	{"the shortest quote that can be answered", 4, 6, IPIP, .quote = 48, .told = SAID - 20},
	{"the shortest quote that can be answered", 6, 6, GUE, .quote = 48, .told = SAID - 52},
	{"a byte less", 4, 4, IPIP, .quote = 27},
	{"a byte less", 6, 6, IPIP, .quote = 47},
	{"eight bytes, as RFC 792 has it", 4, 4, IPIP, .quote = 8},
	{"eight bytes, as RFC 792 has it", 4, 6, IPIP, .quote = 8},
	{"a long quote", 4, 4, IPIP, .quote = 528, .told = SAID - 20},
	{"a long quote", 6, 6, IPIP, .quote = 1184, .told = SAID - 40},
	{"the narrowest IPv4 path", 4, 4, IPIP, .mtu = 576, .told = 556},
	{"a narrower one is not believed", 4, 4, IPIP, .mtu = 68, .told = 556},
	{"the narrowest path for IPv6", 6, 6, IPIP, .mtu = 1280, .told = 1280},
	{"a narrower one is discarded", 6, 6, IPIP, .mtu = 1000, .drop = EK_DROP_ICMP_OTHER,
	 .unlearned = true},
	{"IPv6 cannot ask for less", 4, 6, IPIP, .mtu = 576, .told = 1280},
	{"and not at all if it is that short", 4, 6, IPIP, .mtu = 1000, .length = 1280,
	 .drop = EK_DROP_ICMP_OTHER},
	{"the router did not say", 4, 4, IPIP, .mtu = 1, .drop = EK_DROP_ICMP_OTHER},
	{"the router lies", 4, 4, IPIP, .mtu = 1480, .drop = EK_DROP_ICMP_OTHER},
	{"the router lies", 6, 6, IPIP, .mtu = 1500, .drop = EK_DROP_ICMP_OTHER},
	{"no DF", 6, 4, IPIP, .fragment = 0x8000, .drop = EK_DROP_ICMP_OTHER},
	{"a first fragment", 6, 4, IPIP, .fragment = 0x6000, .told = SAID - 40},
	{"a later fragment", 6, 4, IPIP, .fragment = 0x4010, .drop = EK_DROP_ICMP_OTHER},
	{"about an error", 4, 4, IPIP, .protocol = IPPROTO_ICMP, .drop = EK_DROP_ICMP_OTHER},
	{"about an error", 6, 6, IPIP, .protocol = IPPROTO_ICMPV6, .drop = EK_DROP_ICMP_OTHER},
	{"from a group", 4, 4, IPIP, .client = "224.0.0.9", .drop = EK_DROP_ICMP_OTHER},
	{"from a group", 6, 6, IPIP, .client = "ff02::9", .drop = EK_DROP_ICMP_OTHER},
	{"for no VIP", 4, 4, IPIP, .vip = OTHER4},
	{"for no VIP", 6, 6, IPIP, .vip = OTHER6},
	{"for no VIP", 4, 6, GUE, .vip = OTHER6},
};

static void test_said(void **state)
{
	fixture_fill(*state);
	begin_tick(*state, 0, MANY);
	what_was_heard(*state);
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		expect_said(*state, &said[i]);
}

static void test_said_tagged(void **state)
{
	static struct frame in, client, expected;
	static struct answered a;

	fixture_fill(*state);
	begin_tick(*state, 0, MANY);
	for (size_t i = 0; i < 12; i++)
		for (unsigned int n = 1; n <= 2; n++) {
			build_said(&in, &client, &said[i]);
			expected_told(&expected, said[i].inner, client.bytes + ETHERNET,
				      said[i].inner == 4 ? 28 : 48, said[i].told,
				      (const uint8_t *)INSIDE);
			add_tags(&in, n);
			add_tags(&expected, n);
			run_answered(*state, &in, &a);
			expect_told("tagged", &a, EK_ANSWER_INSIDE, &expected);
			what_was_heard(*state);
		}
}

static void test_said_rate(void **state)
{
	fixture_fill(*state);
	for (size_t i = 0; i < 12; i++) {
		struct said over = said[i];

		over.told = 0;
		over.drop = EK_DROP_ICMP_RATE;
		begin_tick(*state, MANY, 2);
		expect_said(*state, &said[i]);
		expect_said(*state, &said[i]);
		expect_said(*state, &over);
	}
}

/* What else the node itself may be told is the stack's: other codes, other tunnels, other senders.
 */
static void expect_untouched(struct fixture *f, const struct said *s, struct frame *in, size_t at,
			     unsigned int value)
{
	const uint8_t before = in->bytes[at];
	static struct answered a;
	struct heard heard;

	in->bytes[at] = value;
	run_answered(f, in, &a);
	expect_pass(s->description, in, &a.r);
	heard = what_was_heard(f);
	assert_int_equal(heard.n, 0);
	in->bytes[at] = before;
}

static void test_not_ours(void **state)
{
	static struct frame in, client;

	fixture_fill(*state);
	begin_tick(*state, 0, MANY);
	for (size_t i = 0; i < 12; i++) {
		const struct said *s = &said[i];
		size_t at, outer;

		build_said(&in, &client, s);
		at = icmp_at(&in);
		outer = at + 8;
		expect_untouched(*state, s, &in, at, s->outer == 4 ? 5 : 1);
		expect_untouched(*state, s, &in, at, s->outer == 4 ? 11 : 3);
		if (s->outer == 4) {
			expect_untouched(*state, s, &in, at + 1, 3);
			expect_untouched(*state, s, &in, outer, 0x46);
		}
		expect_untouched(*state, s, &in, outer, 0);
		expect_untouched(*state, s, &in, outer + (s->outer == 4 ? 9 : 6), IPPROTO_TCP);
		expect_untouched(*state, s, &in, outer + (s->outer == 4 ? 15 : 23), 0xee);
		if (s->outer == 6) /* more than there is of an IP packet */
			expect_untouched(*state, s, &in, at + 4, 1);
	}
}

static void test_said_cut_short(void **state)
{
	static struct frame in, client;
	static struct answered a;

	fixture_fill(*state);
	begin_tick(*state, 0, MANY);
	for (size_t i = 0; i < 12; i++) {
		const struct said *s = &said[i];
		size_t least = 8 + overhead_of(s) + (s->inner == 4 ? 28 : 48);

		build_said(&in, &client, s);
		for (in.length--; in.length >= ETHERNET; in.length--) {
			run_answered(*state, &in, &a);
			expect_pass("frame cut", &in, &a.r);
		}
		build_said(&in, &client, s);
		for (size_t n = 0; n < least; n++) {
			overwrite16(&in, ETHERNET + (s->outer == 4 ? 2 : 4),
				    (s->outer == 4 ? 20 : 0) + n);
			run_answered(*state, &in, &a);
			expect_pass("quote cut", &in, &a.r);
			expect_answers("quote cut", &a, EK_ANSWER_COUNT);
		}
		what_was_heard(*state);
	}
}

/* Behind more extension headers than the answer looks over, the error is the stack's. */
static void test_said_too_far_behind(void **state)
{
	enum { MORE = 1048 };
	static struct frame in, client;
	static struct answered a;

	fixture_fill(*state);
	begin_tick(*state, 0, MANY);
	for (size_t i = 0; i < 12; i++) {
		uint8_t *header = in.bytes + ETHERNET + 40;

		if (said[i].outer == 4)
			continue;
		build_said(&in, &client, &said[i]);
		memmove(header + MORE, header, in.length - ETHERNET - 40);
		memset(header, 0, MORE); /* destination options: padding */
		header[0] = in.bytes[ETHERNET + 6];
		header[1] = MORE / 8 - 1;
		in.bytes[ETHERNET + 6] = IPPROTO_DSTOPTS;
		overwrite16(&in, ETHERNET + 4, read16(&in, ETHERNET + 4) + MORE);
		in.length += MORE;
		run_answered(*state, &in, &a);
		expect_pass("behind long options", &in, &a.r);
		expect_answers("behind long options", &a, EK_ANSWER_COUNT);
		what_was_heard(*state);
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
		cmocka_unit_test(test_oversized),
		cmocka_unit_test(test_what_fits),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_oversized_error),
		cmocka_unit_test(test_from_a_group_mac),
		cmocka_unit_test(test_every_sum),
		cmocka_unit_test(test_tagged),
		cmocka_unit_test(test_said_tagged),
		cmocka_unit_test(test_said),
		cmocka_unit_test(test_said_rate),
		cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_said_cut_short),
		cmocka_unit_test(test_said_too_far_behind),
	};

	return cmocka_run_group_tests_name("too big", tests, set_up, tear_down);
}
