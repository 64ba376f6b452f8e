/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/mss.h under BPF_PROG_TEST_RUN (root): SYNs of services that limit the MSS, with every kind of
 * options before it, and the whole frame that leaves: the option and the TCP checksum changed, or
 * nothing. The checksum is held against one over the whole segment.
 */
#include "balancer_fixture.h"

#define LIMIT 1400

struct syn {
	const char *description;
	unsigned int flags; /* 0: SYN */
	unsigned int words; /* of options */
	uint8_t options[40];
	unsigned int option; /* where its value stands among them; 0: nothing changes */
	unsigned int ip_options;
	size_t payload;
};

#define MSS(value) 2, 4, (value) >> 8, (value)&0xff

static const struct syn syns[] = {
	{"larger", .words = 1, .options = {MSS(1460)}, .option = 2},
	{"as large as can be", .words = 1, .options = {MSS(65535)}, .option = 2},
	{"larger by one", .words = 1, .options = {MSS(LIMIT + 1)}, .option = 2},
	{"as it should be", .words = 1, .options = {MSS(LIMIT)}},
	{"smaller", .words = 1, .options = {MSS(536)}},
	{"none", .words = 1, .options = {MSS(0)}},
	{"as Linux sends it", .words = 5, .option = 2,
	 .options = {MSS(1460), 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}},
	{"behind others", .words = 5, .option = 18,
	 .options = {4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 3, 3, 7, 1, MSS(1460)}},
	{"at an odd place", .words = 2, .options = {1, MSS(1460), 1, 1, 1}, .option = 3},
	{"at an odd place, a sum that wraps", .words = 2, .options = {1, MSS(0xffff), 0, 0, 0},
	 .option = 3},
	{"behind as many as there may be", .words = 10, .option = 38,
	 .options = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,	  1,
		     1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, MSS(1460)}},
	{"the first of two", .words = 2, .options = {MSS(1460), MSS(9000)}, .option = 2},
	{"with data, as fast open has it", .words = 1, .options = {MSS(1460)}, .option = 2,
	 .payload = 333},
	{"behind IPv4 options", .words = 1, .options = {MSS(1460)}, .option = 2, .ip_options = 3},
	{"with ECN", .flags = SYN | 0xc0, .words = 1, .options = {MSS(1460)}, .option = 2},
	{"with an ACK, which no client sends", .flags = SYN | ACK, .words = 1,
	 .options = {MSS(1460)}, .option = 2},
	{"no options", .words = 0},
	{"no such option", .words = 3, .options = {4, 2, 1, 1, 8, 2, 1, 1, 3, 3, 7, 0}},
	{"behind the end", .words = 2, .options = {0, 0, 0, 0, MSS(1460)}},
	{"of another length", .words = 2, .options = {2, 6, 0xff, 0xff, 0xff, 0xff, 1, 1}},
	{"cut short", .words = 1, .options = {1, 1, 2, 4}},
	{"cut shorter", .words = 1, .options = {1, 1, 1, 2}},
	{"behind one of no length", .words = 2, .options = {8, 0, 1, 1, MSS(1460)}},
	{"behind one that is too long", .words = 2, .options = {8, 200, 1, 1, MSS(1460)}},
	{"data: none", .flags = ACK, .words = 1, .options = {MSS(1460)}},
	{"a reset: none", .flags = RST, .words = 1, .options = {MSS(1460)}},
};

static size_t tcp_at(const struct frame *f)
{
	return ETHERNET + (read16(f, 12) == 0x0800 ? (f->bytes[14] & 15) * 4 : 40);
}

/* RFC 9293, section 3.1. */
static void seal_tcp(struct frame *f)
{
	const bool six = read16(f, 12) == 0x86dd;
	const size_t at = tcp_at(f), n = f->length - at;
	static struct frame pseudo;

	overwrite16(f, at + 16, 0);
	pseudo.length = 0;
	put(&pseudo, f->bytes + (six ? 22 : 26), six ? 32 : 8);
	put16(&pseudo, n);
	put16(&pseudo, IPPROTO_TCP);
	put(&pseudo, f->bytes + at, n);
	if (n & 1)
		put8(&pseudo, 0);
	overwrite16(f, at + 16, checksum(pseudo.bytes, pseudo.length));
}

static void build_syn(struct frame *in, const struct syn *s, int family)
{
	const struct packet_spec p = {.family = family,
				      .protocol = IPPROTO_TCP,
				      .source = address(family == 4 ? CLIENT4 : CLIENT6),
				      .destination = address(family == 4 ? VIP4 : VIP6),
				      .source_port = 40000,
				      .destination_port = 80,
				      .id = 0x1234,
				      .options = s->ip_options,
				      .tcp_flags = s->flags ?: SYN,
				      .tcp_options = s->words,
				      .payload = s->payload};

	build_frame(in, &p, node_mac, client_mac);
	memcpy(in->bytes + tcp_at(in) + 20, s->options, s->words * 4);
	seal_tcp(in);
}

static void set_mss(struct fixture *f, uint16_t mss)
{
	fixture_fill(f);
	for (unsigned int s = 0; s < N_KNOWN; s++) {
		struct ek_service entry = entry_of(s);

		entry.mss = mss;
		assert_int_equal(ek_service_table_put(f->services, &f->key, &entry), 0);
	}
}

static void expect_left(struct fixture *f, const struct syn *s, const struct frame *in,
			unsigned int mss)
{
	static struct frame packet;
	static struct result r;

	packet = *in;
	if (s->option && mss) {
		overwrite16(&packet, tcp_at(in) + 20 + s->option, mss);
		seal_tcp(&packet);
	}
	run(f, in, &r);
	expect_forward(s->description, f, &packet, &r, XDP_TX);
}

static void for_each_syn(struct fixture *f, unsigned int mss)
{
	static struct frame in;

	for (size_t i = 0; i < sizeof(syns) / sizeof(syns[0]); i++)
		for (int family = 4; family <= 6; family += 2) {
			if (family == 6 && syns[i].ip_options)
				continue;
			print_message("  IPv%d: %s\n", family, syns[i].description);
			build_syn(&in, &syns[i], family);
			expect_left(f, &syns[i], &in, mss);
		}
}

static void test_lowered(void **state)
{
	set_mss(*state, LIMIT);
	for_each_syn(*state, LIMIT);
}

static void test_off(void **state)
{
	set_mss(*state, 0);
	for_each_syn(*state, 0);
}

/* Every checksum that may come in, at even places and odd ones. */
static void test_every_sum(void **state)
{
	static const size_t some[] = {0, 8};
	static struct frame in;

	set_mss(*state, LIMIT);
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		for (int family = 4; family <= 6; family += 2) {
			build_syn(&in, &syns[some[i]], family);
			for (unsigned int n = 0; n < 65536; n += 11) {
				overwrite16(&in, tcp_at(&in) + 4, n);
				seal_tcp(&in);
				expect_left(*state, &syns[some[i]], &in, LIMIT);
			}
		}
}

/* A wrong checksum stays wrong. */
static void test_corrupted(void **state)
{
	static struct frame in;
	static struct result r;

	set_mss(*state, LIMIT);
	for (int family = 4; family <= 6; family += 2) {
		build_syn(&in, &syns[0], family);
		in.bytes[in.length - 1] ^= 1;
		run(*state, &in, &r);
		assert_int_equal(r.verdict, XDP_TX);
		in = r.out;
		memmove(in.bytes + ETHERNET, in.bytes + ETHERNET + (family == 4 ? 20 : 40),
			in.length - ETHERNET);
		in.length -= family == 4 ? 20 : 40;
		seal_tcp(&in);
		assert_memory_not_equal(in.bytes + ETHERNET,
					r.out.bytes + ETHERNET + (family == 4 ? 20 : 40),
					in.length - ETHERNET);
	}
}

/* One that does not fit its tunnel is quoted to its sender as it came. */
static void test_quoted_as_it_came(void **state)
{
	const struct syn syn = {.words = 1, .options = {MSS(1460)}, .payload = 1440};
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	set_mss(f, LIMIT);
	f->services->settings.error_rate = 1000;
	for (int family = 4; family <= 6; family += 2) {
		const size_t told = family == 4 ? 28 : 48, quote = family == 4 ? 528 : 1232;

		build_syn(&in, &syn, family);
		if (family == 4)
			in.bytes[ETHERNET + 6] = 0x40; /* DF */
		run(f, &in, &r);
		assert_int_equal(r.verdict, XDP_TX);
		assert_int_equal(r.drop, EK_DROP_TOO_BIG);
		assert_int_equal(r.out.length, ETHERNET + told + quote);
		assert_memory_equal(r.out.bytes + ETHERNET + told, in.bytes + ETHERNET, quote);
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
		cmocka_unit_test(test_lowered),		  cmocka_unit_test(test_off),
		cmocka_unit_test(test_every_sum),	  cmocka_unit_test(test_corrupted),
		cmocka_unit_test(test_quoted_as_it_came),
	};

	return cmocka_run_group_tests_name("MSS", tests, set_up, tear_down);
}
