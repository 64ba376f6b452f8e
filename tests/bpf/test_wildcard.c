/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/wildcard.h under BPF_PROG_TEST_RUN (root): services of prefixes, of port ranges and of any
 * protocol, with the rules as the controller builds them. expected_entry() is a second opinion: the
 * exact service, or else of all that fit the one of the longest prefix and then the narrowest.
 */
#include "wild_fixture.h"

static const struct wild usual[] = {
	/* A range beside an exact service, on one address. */
	{VIP4, 32, IPPROTO_TCP, 80, 80, 0, 0},
	{VIP4, 32, IPPROTO_TCP, 8000, 8999, 2, 0},
	{VIP4, 32, IPPROTO_UDP, 8500, 8500, 0, 0},
	{VIP6, 128, IPPROTO_TCP, 80, 80, 1, 0},
	{VIP6, 128, IPPROTO_TCP, 8000, 8999, 3, 0},
	{VIP6, 128, IPPROTO_UDP, 8500, 8500, 1, 0},
	/* Any port, and narrower ones within. */
	{"192.0.2.20", 32, IPPROTO_TCP, ANY_PORT, 4, 0},
	{"192.0.2.20", 32, IPPROTO_TCP, 100, 200, 2, 0},
	{"192.0.2.20", 32, IPPROTO_TCP, 150, 160, 0, 0},
	{"2001:db8::20", 128, IPPROTO_TCP, ANY_PORT, 5, 0},
	{"2001:db8::20", 128, IPPROTO_TCP, 100, 200, 3, 0},
	{"2001:db8::20", 128, IPPROTO_TCP, 150, 160, 1, 0},
	/* Prefixes within prefixes. */
	{"203.0.113.0", 24, IPPROTO_TCP, 443, 443, 0, 0},
	{"203.0.113.64", 26, IPPROTO_TCP, 443, 443, 2, 0},
	{"203.0.113.64", 26, IPPROTO_UDP, ANY_PORT, 4, 0},
	{"203.0.113.77", 32, IPPROTO_TCP, 443, 443, 4, 0},
	{"2001:db8:7::", 48, IPPROTO_TCP, 443, 443, 1, 0},
	{"2001:db8:7:7::", 64, IPPROTO_TCP, 443, 443, 3, 0},
	{"2001:db8:7:7::", 64, IPPROTO_UDP, ANY_PORT, 5, 0},
	{"2001:db8:7:7::77", 128, IPPROTO_TCP, 443, 443, 5, 0},
	/* Whole protocols, by address. */
	{"198.18.0.0", 15, 0, ANY_PORT, 2, EK_SERVICE_F_PORTLESS},
	{"198.18.0.9", 32, IPPROTO_TCP, 25, 25, 4, 0},
	{"2001:db8:8::", 45, 0, ANY_PORT, 3, EK_SERVICE_F_PORTLESS},
	{"2001:db8:8::9", 128, IPPROTO_TCP, 25, 25, 5, 0},
};
#define N_USUAL (sizeof(usual) / sizeof(usual[0]))

/* --- the second opinion ---------------------------------------------------------------------- */

static bool within(const struct wild *w, const struct ek_ip *ip)
{
	const struct ek_ip prefix = address(w->prefix);
	const unsigned int length = is_v6(&prefix) ? w->length : 96 + w->length;

	for (unsigned int bit = 0; bit < length; bit++)
		if ((prefix.bytes[bit / 8] ^ ip->bytes[bit / 8]) & 0x80 >> bit % 8)
			return false;
	return true;
}

static bool takes(const struct wild *w, const struct flow *flow)
{
	const bool ports = flow->protocol == IPPROTO_TCP || flow->protocol == IPPROTO_UDP;

	if (w->protocol && w->protocol != flow->protocol)
		return false;
	if (!ports)
		return w->first == 0 && w->last == 65535;
	return flow->destination_port >= w->first && flow->destination_port <= w->last;
}

static bool is_better(const struct wild *a, const struct wild *b)
{
	if (is_exact(a) != is_exact(b))
		return is_exact(a);
	if (a->length != b->length)
		return a->length > b->length;
	if (!a->protocol != !b->protocol)
		return a->protocol;
	return a->last - a->first < b->last - b->first;
}

static const struct wild *expected_entry(const struct wild *list, size_t n, const struct flow *flow)
{
	const struct wild *best = NULL;

	for (size_t i = 0; i < n; i++)
		if (within(&list[i], &flow->destination) && takes(&list[i], flow) &&
		    (!best || is_better(&list[i], best)))
			best = &list[i];
	return best;
}

static bool is_ours(const struct wild *list, size_t n, const struct flow *flow)
{
	for (size_t i = 0; i < n; i++)
		if (within(&list[i], &flow->destination))
			return true;
	return false;
}

static uint32_t expected_backend(const struct fixture *f, const struct wild *w, struct flow flow)
{
	if (w->flags & EK_SERVICE_F_PORTLESS)
		flow.protocol = flow.source_port = flow.destination_port = 0;
	return expected_row(f, &flow, w->id);
}

static void expect_by_rules(const char *what, const struct fixture *f, const struct wild *list,
			    size_t n, const struct frame *in)
{
	const struct flow flow = flow_of(in);
	const struct wild *w = expected_entry(list, n, &flow);
	static struct frame expected;
	static struct result r;
	uint32_t row;

	run(f, in, &r);
	if (!w) {
		expect_pass(what, in, &r);
		return;
	}
	row = expected_backend(f, w, flow);
	if (r.verdict != XDP_TX || r.counted_forwards != 1 || r.counted_drops || r.row != row ||
	    r.bytes != in->length)
		fail_msg("%s: verdict %d (drop %u), backend %u; expected backend %u", what,
			 r.verdict, r.drop, r.row, row);
	expected_frame(&expected, f, in, &r.out, w->id, row);
	if (!same_frame(&expected, &r.out))
		fail_msg("%s: another frame than expected", what);
}

/* --- rows ------------------------------------------------------------------------------------ */

static const struct row {
	const char *description, *to;
	unsigned int protocol, port;
	int id; /* -1: passed */
} rows[] = {
	{"the exact service", VIP4, IPPROTO_TCP, 80, 0},
	{"below the range", VIP4, IPPROTO_TCP, 7999, -1},
	{"first port of the range", VIP4, IPPROTO_TCP, 8000, 2},
	{"within the range", VIP4, IPPROTO_TCP, 8500, 2},
	{"last port of the range", VIP4, IPPROTO_TCP, 8999, 2},
	{"above the range", VIP4, IPPROTO_TCP, 9000, -1},
	{"another protocol, exact", VIP4, IPPROTO_UDP, 8500, 0},
	{"another protocol", VIP4, IPPROTO_UDP, 8501, -1},
	{"a protocol without ports", VIP4, IPPROTO_GRE, 0, -1},
	{"port 0 of any", "192.0.2.20", IPPROTO_TCP, 0, 4},
	{"port 65535 of any", "192.0.2.20", IPPROTO_TCP, 65535, 4},
	{"the narrower range", "192.0.2.20", IPPROTO_TCP, 149, 2},
	{"the narrowest range", "192.0.2.20", IPPROTO_TCP, 160, 0},
	{"beside the narrowest range", "192.0.2.20", IPPROTO_TCP, 161, 2},
	{"any port, another protocol", "192.0.2.20", IPPROTO_UDP, 53, -1},
	{"an address of the prefix", "203.0.113.1", IPPROTO_TCP, 443, 0},
	{"its first address", "203.0.113.0", IPPROTO_TCP, 443, 0},
	{"its last address", "203.0.113.255", IPPROTO_TCP, 443, 0},
	{"beside the prefix", "203.0.112.255", IPPROTO_TCP, 443, -1},
	{"the prefix within", "203.0.113.65", IPPROTO_TCP, 443, 2},
	{"one address within that", "203.0.113.77", IPPROTO_TCP, 443, 4},
	{"a rule of the prefix for one of its addresses", "203.0.113.77", IPPROTO_UDP, 9, 4},
	{"another port of the prefix", "203.0.113.1", IPPROTO_TCP, 80, -1},
	{"UDP where the wider prefix has none", "203.0.113.1", IPPROTO_UDP, 9, -1},
	{"any protocol: TCP", "198.19.255.255", IPPROTO_TCP, 80, 2},
	{"any protocol: UDP", "198.18.0.1", IPPROTO_UDP, 53, 2},
	{"any protocol: GRE", "198.18.0.1", IPPROTO_GRE, 0, 2},
	{"any protocol: ESP", "198.18.0.1", IPPROTO_ESP, 0, 2},
	{"any protocol: SCTP", "198.18.0.1", IPPROTO_SCTP, 0, 2},
	{"any protocol: AH", "198.18.0.1", IPPROTO_AH, 0, 2},
	{"any protocol: an unassigned one", "198.18.0.1", 222, 0, 2},
	{"one address of it has a service of its own", "198.18.0.9", IPPROTO_TCP, 25, 4},
	{"and all the rest beside", "198.18.0.9", IPPROTO_TCP, 26, 2},

	{"the exact service", VIP6, IPPROTO_TCP, 80, 1},
	{"below the range", VIP6, IPPROTO_TCP, 7999, -1},
	{"first port of the range", VIP6, IPPROTO_TCP, 8000, 3},
	{"last port of the range", VIP6, IPPROTO_TCP, 8999, 3},
	{"above the range", VIP6, IPPROTO_TCP, 9000, -1},
	{"another protocol, exact", VIP6, IPPROTO_UDP, 8500, 1},
	{"port 0 of any", "2001:db8::20", IPPROTO_TCP, 0, 5},
	{"port 65535 of any", "2001:db8::20", IPPROTO_TCP, 65535, 5},
	{"the narrower range", "2001:db8::20", IPPROTO_TCP, 149, 3},
	{"the narrowest range", "2001:db8::20", IPPROTO_TCP, 160, 1},
	{"an address of the prefix", "2001:db8:7::1", IPPROTO_TCP, 443, 1},
	{"its last address", "2001:db8:7:ffff:ffff:ffff:ffff:ffff", IPPROTO_TCP, 443, 1},
	{"beside the prefix", "2001:db8:6:ffff::", IPPROTO_TCP, 443, -1},
	{"the prefix within", "2001:db8:7:7::1", IPPROTO_TCP, 443, 3},
	{"one address within that", "2001:db8:7:7::77", IPPROTO_TCP, 443, 5},
	{"a rule of the prefix for one of its addresses", "2001:db8:7:7::77", IPPROTO_UDP, 9, 5},
	{"any protocol: TCP", "2001:db8:f:ffff::", IPPROTO_TCP, 80, 3},
	{"any protocol: UDP", "2001:db8:8::1", IPPROTO_UDP, 53, 3},
	{"any protocol: GRE", "2001:db8:8::1", IPPROTO_GRE, 0, 3},
	{"any protocol: ESP", "2001:db8:8::1", IPPROTO_ESP, 0, 3},
	{"any protocol: AH", "2001:db8:8::1", IPPROTO_AH, 0, 3},
	{"any protocol: SCTP", "2001:db8:8::1", IPPROTO_SCTP, 0, 3},
	{"one address of it has a service of its own", "2001:db8:8::9", IPPROTO_TCP, 25, 5},
	{"and all the rest beside", "2001:db8:8::9", IPPROTO_TCP, 26, 3},
	{"beside it", "2001:db8:10::", IPPROTO_TCP, 26, -1},
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static void build_to(struct frame *in, const char *to, unsigned int protocol, unsigned int port,
		     unsigned int source_port)
{
	const struct ek_ip vip = address(to);
	const struct packet_spec p = {.family = is_v6(&vip) ? 6 : 4,
				      .protocol = protocol,
				      .source = address(is_v6(&vip) ? CLIENT6 : CLIENT4),
				      .destination = vip,
				      .source_port = source_port,
				      .destination_port = port,
				      .tos = 0xb9,
				      .id = 0x1234,
				      .tcp_flags = SYN,
				      .payload = 40};

	build_frame(in, &p, node_mac, client_mac);
}

static void test_rows(void **state)
{
	static struct frame in;

	offer(*state, usual, N_USUAL);
	for (size_t i = 0; i < N_ROWS; i++) {
		const struct row *row = &rows[i];
		const struct wild *w;
		struct flow flow;

		print_message("  %s, port %u: %s\n", row->to, row->port, row->description);
		build_to(&in, row->to, row->protocol, row->port, 40000);
		flow = flow_of(&in);
		w = expected_entry(usual, N_USUAL, &flow);
		assert_int_equal(w ? (int)w->id : -1, row->id);
		expect_by_rules(row->description, *state, usual, N_USUAL, &in);
	}
}

/* Without the setting nobody looks, and nothing but exact services is ours. */
static void test_off(void **state)
{
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	offer(f, usual, N_USUAL);
	f->services->settings.flags = 0;
	for (size_t i = 0; i < N_ROWS; i++) {
		const struct wild *w;
		struct flow flow;

		build_to(&in, rows[i].to, rows[i].protocol, rows[i].port, 40000);
		flow = flow_of(&in);
		w = expected_entry(usual, N_USUAL, &flow);
		run(f, &in, &r);
		if (!w || !is_exact(w))
			expect_pass(rows[i].description, &in, &r);
		else
			assert_int_equal(r.verdict, XDP_TX);
	}
}

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 32;
}

static unsigned int some_port(uint64_t *seed)
{
	static const unsigned int near[] = {80, 443, 25, 100, 150, 160, 200, 8000, 8500, 8999};
	const unsigned int edge = near[next_random(seed) % 10] + next_random(seed) % 3 - 1;

	return next_random(seed) & 1 ? edge : next_random(seed) % 65536;
}

/* An address near the edges of what is offered. */
static struct ek_ip some_address(uint64_t *seed)
{
	const struct wild *w = &usual[next_random(seed) % N_USUAL];
	struct ek_ip ip = address(w->prefix);
	const unsigned int length = is_v6(&ip) ? w->length : 96 + w->length;

	for (unsigned int n = next_random(seed) % 4; n; n--) {
		const unsigned int bit =
			(length + 3 - next_random(seed) % 8) % 128 | (is_v6(&ip) ? 0 : 96);

		ip.bytes[bit / 8] ^= 0x80 >> bit % 8;
	}
	return ip;
}

static void test_random(void **state)
{
	static const unsigned int protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_TCP,
						 IPPROTO_UDP, IPPROTO_GRE, IPPROTO_SCTP};
	static struct frame in;
	unsigned int ours = 0;
	uint64_t seed = 7;

	offer(*state, usual, N_USUAL);
	for (unsigned int i = 0; i < 20000; i++) {
		const struct ek_ip vip = some_address(&seed);
		struct packet_spec p = {.family = is_v6(&vip) ? 6 : 4,
					.protocol = protocols[next_random(&seed) % 6],
					.destination = vip,
					.source_port = next_random(&seed) % 65536,
					.destination_port = some_port(&seed),
					.payload = 8};
		struct flow flow;

		p.source = address(is_v6(&vip) ? CLIENT6 : CLIENT4);
		p.source.words[3] = next_random(&seed);
		build_frame(&in, &p, node_mac, client_mac);
		flow = flow_of(&in);
		ours += !!expected_entry(usual, N_USUAL, &flow);
		expect_by_rules("a random packet", *state, usual, N_USUAL, &in);
	}
	assert_in_range(ours, 2000, 18000);
}

/* --- source-hash ----------------------------------------------------------------------------- */

/* All connections of a client's network, to whatever port, fall into one slot. */
static void test_source_hash(void **state)
{
	static const struct wild list[] = {
		{VIP4, 32, IPPROTO_TCP, ANY_PORT, 0, EK_SERVICE_F_SOURCE_HASH},
		{VIP6, 128, IPPROTO_TCP, ANY_PORT, 1, EK_SERVICE_F_SOURCE_HASH},
	};
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	offer(f, list, 2);
	for (int family = 4; family <= 6; family += 2) {
		const struct ek_ip client = address(family == 4 ? CLIENT4 : CLIENT6);
		const struct ek_ip network =
			family == 4 ? address("198.51.100.0") : ek_mask6(&client, 56);
		uint64_t hash = ek_hash_finish(
			&f->key, family == 4 ? ek_hash_client4(&f->key, network.words[3], 0)
					     : ek_hash_client6(&f->key, &network, 0));
		uint32_t row = f->rings[family == 6]->slot[(hash >> 32) * 65537 >> 32] & 0x7fff;

		for (unsigned int port = 1; port < 65536; port += 97) {
			build_to(&in, family == 4 ? VIP4 : VIP6, IPPROTO_TCP, port, 65536 - port);
			run(f, &in, &r);
			assert_int_equal(r.verdict, XDP_TX);
			assert_int_equal(r.row, row);
		}
	}
}

/* --- what is refused ------------------------------------------------------------------------- */

/* Every address of a prefix is a VIP: what is wrong with a packet has a name. */
static void test_refused(void **state)
{
	static const char *const to[] = {"203.0.113.200", "2001:db8:7::200"};
	static struct frame in;
	static struct result r;

	offer(*state, usual, N_USUAL);
	for (unsigned int i = 0; i < 2; i++) {
		build_to(&in, to[i], IPPROTO_TCP, 443, 40000);
		in.bytes[ETHERNET + (i ? 40 : 20) + 12] = 0x40;
		run(*state, &in, &r);
		expect_drop("data offset 4", &r, EK_DROP_MALFORMED);
		build_to(&in, to[i], IPPROTO_TCP, 443, 40000);
		in.length--;
		run(*state, &in, &r);
		expect_drop("cut", &r, EK_DROP_TRUNCATED);
		((struct fixture *)*state)->services->settings.flags = 0;
		run(*state, &in, &r);
		expect_pass("cut, and not ours", &in, &r);
		((struct fixture *)*state)->services->settings.flags = EK_SETTING_WILDCARDS;
	}
}

/* A rule whose entry was cleared, or is another's by now, is no rule. */
static void test_stale_rule(void **state)
{
	static const struct wild list[] = {{"192.0.2.20", 32, IPPROTO_TCP, 100, 200, 0, 0}};
	struct fixture *f = *state;
	struct ek_service *entry;
	static struct frame in;
	static struct result r;
	uint64_t key;

	offer(f, list, 1);
	for (entry = f->services->slot; EK_SERVICE_KEY_STATE(entry->key) != EK_SERVICE_WILD;)
		entry++;
	key = entry->key;
	build_to(&in, "192.0.2.20", IPPROTO_TCP, 150, 40000);
	run(f, &in, &r);
	assert_int_equal(r.verdict, XDP_TX);
	entry->key = EK_SERVICE_KEY(0, 0, EK_SERVICE_DELETED);
	run(f, &in, &r);
	expect_pass("its entry was cleared", &in, &r);
	entry->key = EK_SERVICE_KEY(htons(100), IPPROTO_TCP, EK_SERVICE_LIVE);
	run(f, &in, &r);
	expect_pass("its entry is an exact one", &in, &r);
	entry->key = EK_SERVICE_WILD_KEY(htons(101), IPPROTO_TCP, htons(200), 128);
	run(f, &in, &r);
	expect_pass("its entry is of other ports", &in, &r);
	entry->key = EK_SERVICE_WILD_KEY(htons(100), IPPROTO_UDP, htons(200), 128);
	run(f, &in, &r);
	expect_pass("its entry is of another protocol", &in, &r);
	entry->key = key;
	run(f, &in, &r);
	assert_int_equal(r.verdict, XDP_TX);
}

/* As many rules as a prefix may have: the last one counts, too. */
static void test_many_rules(void **state)
{
	struct wild list[EK_WILDCARD_RULES];
	static struct frame in;

	for (unsigned int i = 0; i < EK_WILDCARD_RULES; i++)
		list[i] = (struct wild){VIP4,	   32, IPPROTO_TCP, 1000 * i, 1000 * i + 1 + i,
					i % 3 * 2, 0};
	offer(*state, list, EK_WILDCARD_RULES);
	for (unsigned int i = 0; i < EK_WILDCARD_RULES; i++) {
		build_to(&in, VIP4, IPPROTO_TCP, 1000 * i, 40000);
		expect_by_rules("first port of a rule", *state, list, EK_WILDCARD_RULES, &in);
		build_to(&in, VIP4, IPPROTO_TCP, 1000 * i + 2 + i, 40000);
		expect_by_rules("behind a rule", *state, list, EK_WILDCARD_RULES, &in);
	}
}

/* --- frames that nobody sends ---------------------------------------------------------------- */

/* By the rules, if it is sound; otherwise passed as it came, or dropped by name if it is ours. */
static void expect_sane_by_rules(const struct fixture *f, const struct frame *in)
{
	const bool ip = read16(in, 12) == 0x0800 || read16(in, 12) == 0x86dd;
	static struct result r;

	run(f, in, &r);
	if (r.verdict == XDP_PASS) {
		expect_pass("odd", in, &r);
		return;
	}
	assert_true(ip);
	if (r.verdict == XDP_DROP) {
		const struct flow flow = flow_of(in);

		expect_drop("odd", &r, r.drop);
		assert_true(r.drop != EK_DROP_NONE && same_frame(in, &r.out));
		assert_true(is_ours(usual, N_USUAL, &flow));
		return;
	}
	if (!flow_of(in).later)
		expect_by_rules("odd", f, usual, N_USUAL, in);
}

static void test_odd_frames(void **state)
{
	static struct frame in;

	offer(*state, usual, N_USUAL);
	for (size_t i = 0; i < N_ROWS; i++) {
		size_t length;

		build_to(&in, rows[i].to, rows[i].protocol, rows[i].port, 40000);
		length = in.length;
		for (; in.length >= ETHERNET; in.length--)
			expect_sane_by_rules(*state, &in);
		in.length = length;
		for (size_t bit = 0; bit < 8 * in.length && bit < 8 * 80; bit++) {
			in.bytes[bit / 8] ^= 1 << bit % 8;
			expect_sane_by_rules(*state, &in);
			in.bytes[bit / 8] ^= 1 << bit % 8;
		}
	}
}

/* --- */

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

static int fill(void **state)
{
	fixture_fill(*state);
	forget_wildcards(*state);
	return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, fill)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rows),	TEST(test_off),	       TEST(test_random),
		TEST(test_source_hash), TEST(test_refused),    TEST(test_stale_rule),
		TEST(test_many_rules),	TEST(test_odd_frames),
	};

	return cmocka_run_group_tests_name("wildcard", tests, set_up, tear_down);
}
