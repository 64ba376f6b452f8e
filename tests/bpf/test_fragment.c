/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/fragment.h under BPF_PROG_TEST_RUN (root): datagrams are cut up here by the RFCs, and their
 * pieces have to come out whole at the one backend that the whole would have gone to. Time passes
 * by setting back what was remembered.
 */
#include "wild_fixture.h"

#define REMEMBERED 8192u
#define UNIT	   (1ull << 28) /* of the time that a word holds */

static const unsigned int header_of[] = {[4] = 20, [6] = 40};

struct datagram {
	const char *description;
	int service; /* of the known ones */
	size_t payload;
	unsigned int options; /* IPv4, words */
};

static const struct datagram datagrams[] = {
	{"TCP, IPv4", 0, 1000, 0},
	{"TCP, IPv6", 1, 1000, 0},
	{"TCP, a second service, IPv4", 2, 1000, 0},
	{"TCP, a second service, IPv6", 3, 1000, 0},
	{"UDP, IPv4", 4, 1100, 0},
	{"UDP, IPv6", 5, 1100, 0},
	{"UDP with options, IPv4", 4, 900, 5},
	{"TCP with as many options as fit, IPv4", 0, 1200, 10},
	{"TCP, a varied outer source, IPv4", 6, 1000, 0},
	{"TCP, a varied outer source, IPv6", 7, 1000, 0},
};
#define N_DATAGRAMS (sizeof(datagrams) / sizeof(datagrams[0]))

/* --- what comes in --------------------------------------------------------------------------- */

static void build_whole(struct frame *f, const struct datagram *d, unsigned int source_port,
			unsigned int id)
{
	const struct known *k = &known[d->service];
	const struct ek_ip vip = address(k->vip);
	const struct packet_spec p = {.family = is_v6(&vip) ? 6 : 4,
				      .protocol = k->protocol,
				      .source = address(is_v6(&vip) ? CLIENT6 : CLIENT4),
				      .destination = vip,
				      .source_port = source_port,
				      .destination_port = k->port,
				      .tos = 0x2e,
				      .id = id,
				      .options = d->options,
				      .tcp_flags = ACK,
				      .payload = d->payload};

	build_frame(f, &p, node_mac, client_mac);
}

/* The n bytes of an IP packet's payload from `from` on, as a fragment of it. */
static void cut_out(struct frame *f, const struct frame *whole, size_t from, size_t n, bool more,
		    uint32_t id)
{
	const bool six = read16(whole, 12) == 0x86dd;
	const size_t header = six ? 40 : (whole->bytes[ETHERNET] & 15) * 4;

	f->length = 0;
	put(f, whole->bytes, ETHERNET + header);
	if (six) {
		overwrite16(f, ETHERNET + 4, 8 + n);
		put8(f, f->bytes[ETHERNET + 6]);
		put8(f, 0);
		put16(f, from | more);
		put16(f, id >> 16);
		put16(f, id & 0xffff);
		f->bytes[ETHERNET + 6] = IPPROTO_FRAGMENT;
	} else {
		overwrite16(f, ETHERNET + 2, header + n);
		overwrite16(f, ETHERNET + 4, id & 0xffff);
		overwrite16(f, ETHERNET + 6, from / 8 | (more ? 0x2000 : 0));
		seal_ip4(f, ETHERNET);
	}
	put(f, whole->bytes + ETHERNET + header + from, n);
}

/* In three: the first, one with others on both sides, the last. */
struct pieces {
	struct frame whole, piece[3];
};

static struct pieces *cut_up(const struct datagram *d, unsigned int source_port, uint32_t id)
{
	static struct pieces p;
	size_t size;

	build_whole(&p.whole, d, source_port, id & 0xffff);
	size = p.whole.length - ETHERNET -
	       (read16(&p.whole, 12) == 0x86dd ? 40 : (p.whole.bytes[ETHERNET] & 15) * 4);
	cut_out(&p.piece[0], &p.whole, 0, 400, true, id);
	cut_out(&p.piece[1], &p.whole, 400, 408, true, id);
	cut_out(&p.piece[2], &p.whole, 808, size - 808, false, id);
	return &p;
}

/* --- expectations ---------------------------------------------------------------------------- */

static void expect_at(const char *what, const struct fixture *f, const struct frame *in,
		      uint32_t row)
{
	static struct result r;

	run(f, in, &r);
	expect_forward(what, f, in, &r, XDP_TX);
	if (r.row != row)
		fail_msg("%s: backend %u, expected %u", what, r.row, row);
}

static void expect_lost(const char *what, const struct fixture *f, const struct frame *in,
			unsigned int drop)
{
	static struct result r;

	run(f, in, &r);
	expect_drop(what, &r, drop);
	assert_true(same_frame(in, &r.out));
}

static uint32_t row_of_whole(const struct fixture *f, const struct pieces *p)
{
	const struct flow flow = flow_of(&p->whole);

	return expected_row(f, &flow, service_of(&flow));
}

/* --- what is remembered ---------------------------------------------------------------------- */

/* Applies a change to every word that is not empty; how many there were. */
static unsigned int change_memory(const struct fixture *f, uint64_t (*change)(uint64_t word))
{
	const int fd = bpf_map__fd(f->skeleton->maps.fragments);
	unsigned int n = 0;

	for (uint32_t i = 0; i < REMEMBERED; i++) {
		uint64_t word;

		assert_int_equal(bpf_map_lookup_elem(fd, &i, &word), 0);
		if (!word)
			continue;
		n++;
		word = change(word);
		assert_int_equal(bpf_map_update_elem(fd, &i, &word, 0), 0);
	}
	return n;
}

static uint64_t forgotten(uint64_t word)
{
	(void)word;
	return 0;
}

static uint64_t aged(uint64_t word, unsigned int units)
{
	const uint64_t ages = 0xfffull << 28;

	return (word & ~ages) | ((word - units * UNIT) & ages);
}

static uint64_t younger_than_two_seconds(uint64_t word)
{
	return aged(word, 6);
}

static uint64_t older_than_two_seconds(uint64_t word)
{
	return aged(word, 8);
}

static uint64_t very_old(uint64_t word)
{
	return aged(word, 0x800);
}

static uint64_t of_another(uint64_t word)
{
	return word ^ 1ull << 40;
}

static uint64_t of_quite_another(uint64_t word)
{
	return word ^ 1ull << 63;
}

/* --- tests ----------------------------------------------------------------------------------- */

static void test_datagrams(void **state)
{
	for (size_t i = 0; i < N_DATAGRAMS; i++) {
		const struct datagram *d = &datagrams[i];

		print_message("  %s\n", d->description);
		for (unsigned int n = 0; n < 200; n++) {
			const struct pieces *p = cut_up(d, 1024 + n, 0xabcd0000 + n);
			const uint32_t row = row_of_whole(*state, p);

			expect_at(d->description, *state, &p->whole, row);
			for (unsigned int j = 0; j < 3; j++)
				expect_at(d->description, *state, &p->piece[j], row);
			expect_at("in another order", *state, &p->piece[1], row);
		}
	}
}

static void test_last_first(void **state)
{
	for (size_t i = 0; i < N_DATAGRAMS; i++) {
		const struct pieces *p = cut_up(&datagrams[i], 5000, 7);
		const uint32_t row = row_of_whole(*state, p);

		expect_lost("before the first", *state, &p->piece[2], EK_DROP_FRAGMENT);
		expect_lost("before the first", *state, &p->piece[1], EK_DROP_FRAGMENT);
		expect_at("the first", *state, &p->piece[0], row);
		expect_at("behind the first", *state, &p->piece[2], row);
		change_memory(*state, forgotten);
	}
}

/* Everything that makes it another datagram's. */
static void test_other_datagrams(void **state)
{
	for (size_t i = 0; i < N_DATAGRAMS; i++) {
		struct pieces *p = cut_up(&datagrams[i], 5000, 0x00010007);
		const bool six = read16(&p->whole, 12) == 0x86dd;
		const size_t source = ETHERNET + (six ? 8 : 12), id = ETHERNET + (six ? 44 : 4);
		const uint32_t row = row_of_whole(*state, p);
		struct frame *later = &p->piece[1];

		change_memory(*state, forgotten);
		expect_at("the first", *state, &p->piece[0], row);
		for (unsigned int bit = 0; bit < (six ? 128u : 32u); bit++) {
			later->bytes[source + bit / 8] ^= 1 << bit % 8;
			expect_lost("of another client", *state, later, EK_DROP_FRAGMENT);
			later->bytes[source + bit / 8] ^= 1 << bit % 8;
		}
		for (unsigned int bit = 0; bit < (six ? 32u : 16u); bit++) {
			later->bytes[id + bit / 8] ^= 1 << bit % 8;
			expect_lost("of another datagram", *state, later, EK_DROP_FRAGMENT);
			later->bytes[id + bit / 8] ^= 1 << bit % 8;
		}
		if (!six) {
			later->bytes[23] ^= IPPROTO_TCP ^ IPPROTO_UDP;
			expect_lost("of another protocol", *state, later, EK_DROP_FRAGMENT);
			later->bytes[23] ^= IPPROTO_TCP ^ IPPROTO_UDP;
		}
		expect_at("its own", *state, later, row);
	}
}

/* For another VIP, and for an address that is none. */
static void test_other_destinations(void **state)
{
	static struct result r;

	for (size_t i = 0; i < 2; i++) {
		struct pieces *p = cut_up(&datagrams[i], 5000, 7);
		const size_t to = ETHERNET + (i ? 24 + 15 : 16 + 3);

		expect_at("the first", *state, &p->piece[0], row_of_whole(*state, p));
		p->piece[1].bytes[to]++;
		expect_lost("to another VIP", *state, &p->piece[1], EK_DROP_FRAGMENT);
		p->piece[1].bytes[to] += 77;
		run(*state, &p->piece[1], &r);
		expect_pass("to no VIP", &p->piece[1], &r);
		p->piece[0].bytes[to] += 78;
		run(*state, &p->piece[0], &r);
		expect_pass("the first, to no VIP", &p->piece[0], &r);
		run(*state, &p->piece[1], &r);
		expect_pass("to no VIP, behind its first", &p->piece[1], &r);
	}
}

static void test_time(void **state)
{
	static const struct {
		const char *description;
		uint64_t (*change)(uint64_t word);
		bool known;
	} rows[] = {
		{"younger than two seconds", younger_than_two_seconds, true},
		{"older than two seconds", older_than_two_seconds, false},
		{"very old", very_old, false},
		{"at its place, another's", of_another, false},
		{"at its place, quite another's", of_quite_another, false},
		{"forgotten", forgotten, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t j = 0; j < 2; j++) {
			const struct pieces *p = cut_up(&datagrams[j], 5000, 7);
			const uint32_t row = row_of_whole(*state, p);

			change_memory(*state, forgotten);
			expect_at("the first", *state, &p->piece[0], row);
			assert_int_equal(change_memory(*state, rows[i].change), 1);
			if (rows[i].known)
				expect_at(rows[i].description, *state, &p->piece[1], row);
			else
				expect_lost(rows[i].description, *state, &p->piece[1],
					    EK_DROP_FRAGMENT);
			if (!rows[i].known)
				continue;
			change_memory(*state, rows[i].change);
			expect_lost("later ones prolong nothing", *state, &p->piece[2],
				    EK_DROP_FRAGMENT);
		}
}

/* Only what went out is remembered. */
static void test_first_one_lost(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < N_DATAGRAMS; i++) {
		const struct pieces *p = cut_up(&datagrams[i], 5000, 7);
		const uint32_t row = row_of_whole(f, p);
		struct ek_backend b = usual_backend(datagrams[i].service, row);

		b.mtu = 200;
		set_backend(f, row, &b);
		expect_lost("too big", f, &p->piece[0], EK_DROP_TOO_BIG);
		b = usual_backend(datagrams[i].service, row);
		set_backend(f, row, &b);
		expect_lost("its first was lost", f, &p->piece[1], EK_DROP_FRAGMENT);
	}
	assert_int_equal(change_memory(f, forgotten), 0);
}

/* What happened to backend and service since the first one. */
static void test_meanwhile(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < N_DATAGRAMS; i++) {
		const struct pieces *p = cut_up(&datagrams[i], 5000, 7);
		const uint32_t row = row_of_whole(f, p);
		struct ek_backend b = usual_backend(datagrams[i].service, row);
		struct ek_service entry = entry_of(datagrams[i].service);

		expect_at("the first", f, &p->piece[0], row);
		memset(f->rings[datagrams[i].service], 0, sizeof(struct ek_ring));
		expect_at("another choice by now", f, &p->piece[1], row);
		b.nexthop &= ~EK_NEXTHOP(0, 0, EK_NEXTHOP_ALIVE);
		set_backend(f, row, &b);
		expect_lost("down", f, &p->piece[1], EK_DROP_BACKEND_DOWN);
		b.service = EK_SERVICE_NONE;
		set_backend(f, row, &b);
		expect_lost("retired", f, &p->piece[1], EK_DROP_FRAGMENT);
		fixture_fill(f);
		entry.id = (entry.id + 2) % N_KNOWN;
		add_service(f, &entry);
		expect_lost("another service's place", f, &p->piece[1], EK_DROP_FRAGMENT);
		fixture_fill(f);
	}
}

/* As many at once as there is room for, and more: none goes astray. */
static void test_many(void **state)
{
	static struct result r;
	unsigned int lost = 0;

	for (unsigned int n = 0; n < 1000; n++)
		expect_at("the first", *state, &cut_up(&datagrams[n & 1], n, 65536 + n)->piece[0],
			  row_of_whole(*state, cut_up(&datagrams[n & 1], n, 65536 + n)));
	for (unsigned int n = 0; n < 1000; n++) {
		const struct pieces *p = cut_up(&datagrams[n & 1], n, 65536 + n);

		run(*state, &p->piece[2], &r);
		if (r.verdict == XDP_DROP) {
			expect_drop("overwritten", &r, EK_DROP_FRAGMENT);
			lost++;
			continue;
		}
		expect_forward("one of many", *state, &p->piece[2], &r, XDP_TX);
		assert_int_equal(r.row, row_of_whole(*state, p));
	}
	assert_in_range(lost, 1, 150); /* 60 */
}

/* Headers before the fragment header may be each fragment's own, those behind are the datagram's.
 */
static void test_extensions(void **state)
{
	static const uint8_t options[] = {0, 0, 5, 2, 0, 0, 1, 0};
	struct pieces *p = cut_up(&datagrams[1], 5000, 7);
	const uint32_t row = row_of_whole(*state, p);
	struct frame *f = &p->piece[0];

	memmove(f->bytes + 70, f->bytes + 62, f->length - 62); /* behind */
	memcpy(f->bytes + 62, options, 8);
	f->bytes[62] = f->bytes[54];
	f->bytes[54] = IPPROTO_DSTOPTS;
	f->length += 8;
	overwrite16(f, 18, read16(f, 18) + 8);
	expect_at("the first", *state, f, row);
	f = &p->piece[1];
	memmove(f->bytes + 62, f->bytes + 54, f->length - 54); /* before */
	memcpy(f->bytes + 54, options, 8);
	f->bytes[54] = IPPROTO_FRAGMENT;
	f->bytes[20] = IPPROTO_HOPOPTS;
	f->bytes[62] = IPPROTO_DSTOPTS;
	f->length += 8;
	overwrite16(f, 18, read16(f, 18) + 8);
	expect_at("behind options", *state, f, row);
}

/* A tag is nothing to a datagram. */
static void test_tagged(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		struct pieces *p = cut_up(&datagrams[i], 5000, 7);
		const uint32_t row = row_of_whole(*state, p);
		struct frame *f = &p->piece[1];

		expect_at("the first", *state, &p->piece[0], row);
		memmove(f->bytes + 16, f->bytes + 12, f->length - 12);
		memcpy(f->bytes + 12, "\x81\0\0\x05", 4);
		f->length += 4;
		expect_at("tagged", *state, f, row);
	}
}

/* --- services that need no port -------------------------------------------------------------- */

static const struct datagram without_port[] = {
	{"TCP, IPv4", 0, 1000, 0},
	{"TCP, IPv6", 1, 1000, 0},
};

static void expect_at_free(const char *what, const struct fixture *f, const struct frame *in,
			   uint32_t row)
{
	static struct result r;

	run(f, in, &r);
	if (r.verdict != XDP_TX || r.row != row || r.counted_forwards != 1)
		fail_msg("%s: verdict %d (drop %u), backend %u; expected %u", what, r.verdict,
			 r.drop, r.row, row);
}

/* With source-hash a slot that remembers nothing says all. */
static void test_source_hash(void **state)
{
	static const struct wild list[] = {
		{VIP4, 32, IPPROTO_TCP, ANY_PORT, 0, EK_SERVICE_F_SOURCE_HASH},
		{VIP6, 128, IPPROTO_TCP, ANY_PORT, 1, EK_SERVICE_F_SOURCE_HASH},
	};
	struct fixture *f = *state;
	static struct result r;

	for (size_t i = 0; i < 2; i++) {
		const struct pieces *p = cut_up(&without_port[i], 5000, 7);
		const struct frame *whole = &p->whole;

		offer(f, list, 2);
		run(f, whole, &r);
		assert_int_equal(r.verdict, XDP_TX);
		expect_at_free("before the first", f, &p->piece[2], r.row);
		expect_at_free("the first", f, &p->piece[0], r.row);
		expect_at_free("behind the first", f, &p->piece[1], r.row);
		change_memory(f, forgotten);
		for (uint32_t slot = 0; slot < EK_RING_SIZE; slot++)
			f->rings[i]->slot[slot] |= EK_SLOT_LOOKUP;
		expect_lost("a slot that remembers", f, &p->piece[1], EK_DROP_FRAGMENT);
		fixture_fill(f);
	}
}

/* Flows are pairs of addresses: every fragment is as good as the first. No range takes them. */
static void test_portless(void **state)
{
	static const struct wild list[] = {
		{VIP4, 32, IPPROTO_TCP, 0, 50, 2, 0},
		{VIP6, 128, IPPROTO_TCP, 0, 50, 3, 0},
		{VIP4, 32, 0, ANY_PORT, 0, EK_SERVICE_F_PORTLESS},
		{VIP6, 128, 0, ANY_PORT, 1, EK_SERVICE_F_PORTLESS},
	};
	static const unsigned int protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_GRE};
	struct fixture *f = *state;
	static struct result r;

	offer(f, list, 4);
	for (size_t i = 0; i < 2; i++)
		for (unsigned int n = 0; n < 3; n++) {
			struct pieces *p = cut_up(&without_port[i], 5000 + n, 7 + n);
			const size_t at = ETHERNET + header_of[i ? 6 : 4];
			const size_t type = i ? 54 : 23;

			run(f, &p->whole, &r);
			assert_int_equal(r.verdict, XDP_TX);
			for (int j = 2; j >= 0; j--) {
				p->piece[j].bytes[type] = protocols[n];
				if (!j && protocols[n] == IPPROTO_UDP)
					overwrite16(&p->piece[j], at + (i ? 8 : 0) + 4, 400);
				expect_at_free("by its addresses", f, &p->piece[j], r.row);
			}
		}
}

/* Any port, but each flow has its own backend: the port is needed. */
static void test_any_port(void **state)
{
	static const struct wild list[] = {
		{VIP4, 32, IPPROTO_TCP, ANY_PORT, 0, 0},
		{VIP6, 128, IPPROTO_TCP, ANY_PORT, 1, 0},
	};

	offer(*state, list, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct pieces *p = cut_up(&without_port[i], 5000, 7);

		expect_lost("before the first", *state, &p->piece[1], EK_DROP_FRAGMENT);
		expect_at("the first", *state, &p->piece[0], row_of_whole(*state, p));
		expect_at("behind the first", *state, &p->piece[1], row_of_whole(*state, p));
	}
}

/* --- frames that nobody sends ---------------------------------------------------------------- */

static void test_odd_frames(void **state)
{
	static struct result r;

	for (size_t i = 0; i < N_DATAGRAMS; i++) {
		struct pieces *p = cut_up(&datagrams[i], 5000, 7);
		const uint32_t row = row_of_whole(*state, p);

		expect_at("the first", *state, &p->piece[0], row);
		for (unsigned int j = 0; j < 2; j++) {
			struct frame *in = &p->piece[j];
			const size_t length = in->length;

			for (in->length--; in->length >= ETHERNET; in->length--) {
				run(*state, in, &r);
				expect_sane("cut short", *state, in, &r);
				assert_int_not_equal(r.verdict, XDP_TX);
			}
			in->length = length;
			for (size_t bit = 0; bit < 8 * 90; bit++) {
				in->bytes[bit / 8] ^= 1 << bit % 8;
				run(*state, in, &r);
				expect_sane("a wrong bit", *state, in, &r);
				in->bytes[bit / 8] ^= 1 << bit % 8;
			}
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
	change_memory(*state, forgotten);
	return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, fill)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_datagrams),
		TEST(test_last_first),
		TEST(test_other_datagrams),
		TEST(test_other_destinations),
		TEST(test_time),
		TEST(test_first_one_lost),
		TEST(test_meanwhile),
		TEST(test_many),
		TEST(test_extensions),
		TEST(test_tagged),
		TEST(test_source_hash),
		TEST(test_portless),
		TEST(test_any_port),
		TEST(test_odd_frames),
	};

	return cmocka_run_group_tests_name("fragment", tests, set_up, tear_down);
}
