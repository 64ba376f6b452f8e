/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/neighbour.h under BPF_PROG_TEST_RUN (root): which questions for a VIP's MAC are answered, and
 * with which whole frame; that everything else is passed as it came; which frames to a virtual MAC
 * are balanced. Questions are also cut short at every byte, have every bit flipped, and are changed
 * at random with their checksum made right. At the end, the controller's side: which lease a VIP's
 * entry names.
 */
#include "datapath.h"
#include "neighbour_rows.h"

static void expect_answer(const char *what, const struct frame *expected, const struct result *r)
{
	if (r->verdict != XDP_TX)
		fail_msg("%s: verdict %d, expected an answer", what, r->verdict);
	if (r->counted_drops || r->counted_forwards)
		fail_msg("%s: answered, and counted", what);
	if (!same_frame(expected, &r->out))
		fail_msg("%s: another answer than expected", what);
}

/*
 * Passed as it came; or, sent to a VIP itself, dropped as it came, by name: it is an echo request,
 * or wrong.
 */
static void expect_unanswered(const char *what, const struct frame *in, const struct result *r)
{
	bool to_vip = false;

	for (unsigned int i = 0; i < N_KNOWN; i++) {
		const struct ek_ip vip = address(known[i].vip);

		to_vip |= !memcmp(in->bytes + ETHERNET + 24, vip.bytes, 16);
	}
	if (r->verdict != XDP_DROP || in->bytes[0] & 1 || read16(in, 12) != 0x86dd || !to_vip) {
		expect_pass(what, in, r);
		return;
	}
	expect_drop(what, r, r->drop);
	if (r->drop == EK_DROP_NONE || !same_frame(in, &r->out))
		fail_msg("%s: dropped without a name, or changed", what);
}

/* True: it was answered. */
static bool expect_right(struct fixture *f, const char *what, const struct frame *in)
{
	static struct frame expected;
	static struct result r;
	bool answered = answer(f, in, &expected);

	run(f, in, &r);
	if (answered)
		expect_answer(what, &expected, &r);
	else
		expect_unanswered(what, in, &r);
	return answered;
}

static void test_questions(void **state)
{
	static struct frame in;

	for (size_t i = 0; i < N_QUESTIONS; i++) {
		const struct question *q = &questions[i];

		print_message("  IPv%d: %s\n", q->family, q->description);
		ask(&in, q);
		if (expect_right(*state, q->description, &in) != q->answered)
			fail_msg("%s: %sanswered", q->description, q->answered ? "not " : "");
	}
}

/* --- written out ----------------------------------------------------------------------------- */

static const uint8_t written_request[] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0xcc, 0xcc, 0xcc, 0xcc, 0x01, 0x08, 0x06, /**/
	0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01,					    /**/
	0x02, 0xcc, 0xcc, 0xcc, 0xcc, 0x01, 0xc6, 0x33, 0x64, 0x07,			    /**/
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x00, 0x02, 0x0a,
};

static const uint8_t written_reply[] = {
	0x02, 0xcc, 0xcc, 0xcc, 0xcc, 0x01, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x07, 0x08, 0x06, /**/
	0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x02,					    /**/
	0x00, 0x00, 0x5e, 0x00, 0x01, 0x07, 0xc0, 0x00, 0x02, 0x0a,			    /**/
	0x02, 0xcc, 0xcc, 0xcc, 0xcc, 0x01, 0xc6, 0x33, 0x64, 0x07,
};

static const uint8_t written_solicitation[] = {
	0x33, 0x33, 0xff, 0x00, 0x00, 0x10, 0x02, 0xcc, 0xcc, 0xcc, 0xcc, 0x01, 0x86, 0xdd, /**/
	0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff,					    /**/
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x07, /**/
	0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xff, 0x00,
	0x00, 0x10,					/**/
	0x87, 0x00, 0x82, 0x6a, 0x00, 0x00, 0x00, 0x00, /**/
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x10,					/**/
	0x01, 0x01, 0x02, 0xcc, 0xcc, 0xcc, 0xcc, 0x01, /**/
};

static const uint8_t written_advertisement[] = {
	0x02, 0xcc, 0xcc, 0xcc, 0xcc, 0x01, 0x00, 0x00, 0x5e, 0x00, 0x02, 0x07, 0x86, 0xdd, /**/
	0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff,					    /**/
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x10, /**/
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x07,					/**/
	0x88, 0x00, 0x2c, 0x49, 0x60, 0x00, 0x00, 0x00, /**/
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x10,					/**/
	0x02, 0x01, 0x00, 0x00, 0x5e, 0x00, 0x02, 0x07, /**/
};

static const uint8_t written_probe[] = {
	0x33, 0x33, 0xff, 0x00, 0x00, 0x10, 0x02, 0xcc, 0xcc, 0xcc, 0xcc, 0x01, 0x86, 0xdd, /**/
	0x60, 0x00, 0x00, 0x00, 0x00, 0x18, 0x3a, 0xff,					    /**/
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, /**/
	0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xff, 0x00,
	0x00, 0x10,					/**/
	0x87, 0x00, 0x4c, 0xcf, 0x00, 0x00, 0x00, 0x00, /**/
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x10, /**/
};

static const uint8_t written_defence[] = {
	0x33, 0x33, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x5e, 0x00, 0x02, 0x07, 0x86, 0xdd, /**/
	0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff,					    /**/
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x10, /**/
	0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x01,					/**/
	0x88, 0x00, 0x9b, 0x06, 0x20, 0x00, 0x00, 0x00, /**/
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x10,					/**/
	0x02, 0x01, 0x00, 0x00, 0x5e, 0x00, 0x02, 0x07, /**/
};

static void expect_written(struct fixture *f, const struct question *q, const uint8_t *in,
			   size_t in_size, const uint8_t *out, size_t out_size)
{
	static struct frame frame;
	static struct result r;

	ask(&frame, q);
	assert_int_equal(frame.length, in_size);
	assert_memory_equal(frame.bytes, in, in_size);
	run(f, &frame, &r);
	assert_int_equal(r.verdict, XDP_TX);
	assert_int_equal(r.out.length, out_size);
	assert_memory_equal(r.out.bytes, out, out_size);
}

/* The builders and the second opinion are themselves no authority. */
static void test_written_out(void **state)
{
	static const struct question arp = {"request", .family = 4},
				     solicitation = {"solicitation", .family = 6};
	static const struct question probe = {"probe", 6, .source = "::", OPTIONS("")};

	expect_written(*state, &arp, written_request, sizeof(written_request), written_reply,
		       sizeof(written_reply));
	expect_written(*state, &solicitation, written_solicitation, sizeof(written_solicitation),
		       written_advertisement, sizeof(written_advertisement));
	expect_written(*state, &probe, written_probe, sizeof(written_probe), written_defence,
		       sizeof(written_defence));
}

/* --- frames that nobody sends ---------------------------------------------------------------- */

static void test_cut_short(void **state)
{
	static struct frame in;

	for (size_t i = 0; i < N_QUESTIONS; i++) {
		ask(&in, &questions[i]);
		while (--in.length >= ETHERNET)
			expect_right(*state, questions[i].description, &in);
	}
}

static void test_every_bit_flipped(void **state)
{
	static struct frame in;

	for (size_t i = 0; i < N_QUESTIONS; i++) {
		ask(&in, &questions[i]);
		for (size_t bit = 0; bit < 8 * in.length; bit++) {
			in.bytes[bit / 8] ^= 1 << bit % 8;
			expect_right(*state, questions[i].description, &in);
			in.bytes[bit / 8] ^= 1 << bit % 8;
		}
	}
}

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 32;
}

/* Some bytes of the options and around them, and how long it says it is; the checksum is right. */
static void change6(struct frame *in, uint64_t *seed)
{
	for (unsigned int n = next_random(seed) % 4; n; n--)
		in->bytes[ND_AT + 4 + next_random(seed) % 60] = next_random(seed) % 5;
	overwrite16(in, 18, 16 + next_random(seed) % 9 * 8);
	in->length = ND_AT + 16 + 8 * 8;
	seal6(in);
}

static void test_random_options(void **state)
{
	static const char *const sources[] = {CLIENT6, "::", "fe80::7", "ff02::5"};
	unsigned int answered = 0;
	static struct frame in;
	uint64_t seed = 1;

	for (unsigned int i = 0; i < 40000; i++) {
		struct question q = {"random options", 6, .source = sources[i % 4]};
		char options[OPTIONS_MAX + 32];

		for (size_t at = 0; at < sizeof(options); at += 8) {
			for (size_t j = 0; j < 8; j++)
				options[at + j] = next_random(&seed) & 0xfe;
			options[at] = 1 + next_random(&seed) % 3;
			options[at + 1] = 1 + next_random(&seed) % 16 / 12;
		}
		q.options = options;
		q.n_options = sizeof(options);
		ask(&in, &q);
		change6(&in, &seed);
		answered += expect_right(*state, q.description, &in);
	}
	assert_in_range(answered, 1000, 39000);
}

/* Every value of the checksum, which must be right in the question and in the answer. */
static void test_every_checksum(void **state)
{
	static struct frame in;

	for (unsigned int i = 0; i < 65536; i++) {
		static const struct question q = {"checksums", .family = 6};

		ask(&in, &q);
		overwrite16(&in, 26, i); /* within the source */
		seal6(&in);
		assert_true(expect_right(*state, q.description, &in));
	}
}

/*
 * In IPv6 clothes an IPv4 VIP is nobody's address, not even where the two hashes are neighbours in
 * the service table.
 */
static void test_mapped_target(void **state)
{
	static const struct question q = {"mapped", .family = 6, .target = "::ffff:0.0.0.0"};
	struct ek_service entry = {.key = EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP), .id = VRID};
	struct fixture *f = *state;
	unsigned int neighbours = 0;
	static struct frame in;
	static struct result r;

	for (unsigned int i = 1; i < 65536; i++) {
		uint32_t four, six;

		entry.vip = address("198.18.0.0");
		entry.vip.bytes[14] = i >> 8;
		entry.vip.bytes[15] = i;
		four = ek_hash_service4(&f->key, entry.vip.words[3], 0) >> 51;
		six = ek_hash_service6(&f->key, &entry.vip, 0) >> 51;
		if (((four - six) & 8191) >= 12)
			continue;
		neighbours++;
		memset(f->services, 0, sizeof(*f->services));
		assert_int_equal(ek_service_table_put(f->services, &f->key, &entry), 0);
		for (uint32_t slot = six; slot != four; slot = (slot + 1) & 8191)
			if (!f->services->slot[slot].key) /* somebody else's, in between */
				f->services->slot[slot].key = 1u << 24;
		ask(&in, &q);
		memcpy(in.bytes + 51, entry.vip.bytes + 13, 3);
		memcpy(in.bytes + ND_AT + 8, entry.vip.bytes, 16);
		seal6(&in);
		run(f, &in, &r);
		expect_pass("IPv4 VIP as an IPv6 target", &in, &r);
	}
	assert_in_range(neighbours, 1, 65535);
}

/* --- leases ---------------------------------------------------------------------------------- */

static void as_it_was(struct fixture *f)
{
	(void)f;
}

static void expired(struct fixture *f)
{
	(void)f;
	leases[VRID].until = now_ns();
}

static void never_held(struct fixture *f)
{
	(void)f;
	memset(&leases[VRID], 0, sizeof(leases[VRID]));
}

static void for_ever(struct fixture *f)
{
	(void)f;
	leases[VRID].until = UINT64_MAX;
}

static void by_another_port(struct fixture *f)
{
	(void)f;
	leases[VRID].port = EGRESS_PORT;
}

static void not_accepting(struct fixture *f)
{
	(void)f;
	leases[VRID].mac4 &= ~EK_LEASE_HELD;
	leases[VRID].mac6 &= ~EK_LEASE_HELD;
}

static void name_lease(struct fixture *f, uint32_t id)
{
	vip_entry(f, VIP4)->id = vip_entry(f, VIP6)->id = id;
}

static void nobodys(struct fixture *f)
{
	leases[EK_LEASE_NONE] = leases[VRID];
	name_lease(f, EK_LEASE_NONE);
}

static void beyond_the_table(struct fixture *f)
{
	name_lease(f, EK_LEASES_MAX);
}

static void another_lease_expired(struct fixture *f)
{
	name_lease(f, VRID + 1);
}

static void the_last_lease(struct fixture *f)
{
	leases[EK_LEASES_MAX - 1] = leases[VRID];
	name_lease(f, EK_LEASES_MAX - 1);
}

static void port_withdrawn(struct fixture *f)
{
	memset(&f->ports[OWN_PORT], 0, sizeof(f->ports[OWN_PORT]));
}

static void vip_gone(struct fixture *f)
{
	memset(f->services, 0, sizeof(*f->services));
}

static const struct {
	const char *description;
	void (*arrange)(struct fixture *f);
	bool answered;
} lease_rows[] = {
	{"the lease runs", as_it_was, true},
	{"it runs for ever", for_ever, true},
	{"it runs, and frames to the virtual MAC are not taken", not_accepting, true},
	{"the last lease there is", the_last_lease, true},
	{"expired", expired, false},
	{"never held", never_held, false},
	{"announced by another port", by_another_port, false},
	{"the VIP names no lease", nobodys, false},
	{"the VIP names a lease that cannot be", beyond_the_table, false},
	{"the VIP names another lease, which nobody holds", another_lease_expired, false},
	{"the port was withdrawn", port_withdrawn, false},
	{"the VIP is gone", vip_gone, false},
};

static void test_leases(void **state)
{
	static const struct question ask_these[] = {
		{"request", .family = 4},
		{"solicitation", .family = 6},
		{"probe", 4, .source = "0.0.0.0"},
		{"probe", 6, .source = "::", OPTIONS("")},
	};
	static struct frame in, expected;
	static struct result r;

	for (size_t i = 0; i < sizeof(lease_rows) / sizeof(lease_rows[0]); i++)
		for (size_t j = 0; j < 4; j++) {
			print_message("  IPv%d: %s, %s\n", ask_these[j].family,
				      ask_these[j].description, lease_rows[i].description);
			fill_leases(*state);
			lease_rows[i].arrange(*state);
			ask(&in, &ask_these[j]);
			run(*state, &in, &r);
			if (!lease_rows[i].answered) {
				expect_pass(lease_rows[i].description, &in, &r);
				continue;
			}
			assert_true(answer(*state, &in, &expected));
			expect_answer(lease_rows[i].description, &expected, &r);
		}
}

/* --- frames to a virtual MAC ----------------------------------------------------------------- */

static void other_holder(struct fixture *f)
{
	(void)f;
	leases[VRID].mac4 = mac48(egress_mac) | EK_LEASE_HELD;
	leases[VRID].mac6 = mac48(egress_mac) | EK_LEASE_HELD;
}

static const struct virtual_row {
	const char *description;
	const char *mac4, *mac6;
	void (*arrange)(struct fixture *f);
	bool ours;
} virtual_rows[] = {
	{"held", "\0\0\x5e\0\x01\x07", "\0\0\x5e\0\x02\x07", as_it_was, true},
	{"the other family's", "\0\0\x5e\0\x02\x07", "\0\0\x5e\0\x01\x07", as_it_was, true},
	{"held, and the lease has expired", "\0\0\x5e\0\x01\x07", "\0\0\x5e\0\x02\x07", expired,
	 true},
	{"held, and the VIP names no lease", "\0\0\x5e\0\x01\x07", "\0\0\x5e\0\x02\x07", nobodys,
	 true},
	{"not held", "\0\0\x5e\0\x01\x07", "\0\0\x5e\0\x02\x07", not_accepting, false},
	{"never held", "\0\0\x5e\0\x01\x07", "\0\0\x5e\0\x02\x07", never_held, false},
	{"held at another port", "\0\0\x5e\0\x01\x07", "\0\0\x5e\0\x02\x07", by_another_port,
	 false},
	{"the lease has another MAC", "\0\0\x5e\0\x01\x07", "\0\0\x5e\0\x02\x07", other_holder,
	 false},
	{"the port was withdrawn", "\0\0\x5e\0\x01\x07", "\0\0\x5e\0\x02\x07", port_withdrawn,
	 false},
	{"another VRID", "\0\0\x5e\0\x01\x08", "\0\0\x5e\0\x02\x08", as_it_was, false},
	{"VRID of a lease without virtual MAC", "\0\0\x5e\0\x01\x09", "\0\0\x5e\0\x02\x09",
	 as_it_was, false},
	{"VRID 0", "\0\0\x5e\0\x01\0", "\0\0\x5e\0\x02\0", as_it_was, false},
	{"not VRRP's", "\0\0\x5e\0\x03\x07", "\0\0\x5e\0\0\x07", as_it_was, false},
	{"another vendor's", "\0\0\x5f\0\x01\x07", "\0\x02\x5e\0\x02\x07", as_it_was, false},
	{"as a group", "\x01\0\x5e\0\x01\x07", "\x01\0\x5e\0\x02\x07", as_it_was, false},
};

static void build_tcp(struct frame *in, int family, const uint8_t *to)
{
	const struct packet_spec p = {.family = family,
				      .protocol = IPPROTO_TCP,
				      .source = address(family == 4 ? CLIENT4 : CLIENT6),
				      .destination = address(family == 4 ? VIP4 : VIP6),
				      .source_port = 40000,
				      .destination_port = 80,
				      .tcp_flags = SYN};

	build_frame(in, &p, to, client_mac);
}

static void test_virtual_mac(void **state)
{
	static struct frame in;
	static struct result r;

	for (size_t i = 0; i < sizeof(virtual_rows) / sizeof(virtual_rows[0]); i++)
		for (int family = 4; family <= 6; family += 2) {
			const struct virtual_row *row = &virtual_rows[i];

			print_message("  IPv%d: %s\n", family, row->description);
			fill_leases(*state);
			row->arrange(*state);
			build_tcp(&in, family,
				  (const uint8_t *)(family == 4 ? row->mac4 : row->mac6));
			run(*state, &in, &r);
			if (row->ours)
				expect_forward(row->description, *state, &in, &r, XDP_TX);
			else
				expect_pass(row->description, &in, &r);
		}
}

/* What comes by the virtual MAC is treated in every way as what comes by the port's own. */
static void test_virtual_mac_stages(void **state)
{
	const uint8_t *const macs[] = {virtual_mac4, virtual_mac6};
	static struct frame in;
	static struct result r;

	for (int family = 4; family <= 6; family += 2) {
		const uint8_t *to = macs[family == 6];

		build_tcp(&in, family, to);
		in.length -= 1;
		run(*state, &in, &r);
		expect_drop("cut short", &r, EK_DROP_TRUNCATED);

		build_tcp(&in, family, to);
		overwrite16(&in, in.length - 18, 8080);
		run(*state, &in, &r);
		expect_pass("a port without service", &in, &r);

		in.length = ETHERNET;
		run(*state, &in, &r);
		expect_pass("no packet", &in, &r);
	}
}

/* --- the controller's side ------------------------------------------------------------------- */

#define PIN_DIR "/sys/fs/bpf/evenkeel-test-neighbour"

static struct ek_datapath *open_datapath(void)
{
	static const struct ek_hash_key key = {.k = {1, 2, 3}};
	const struct ek_datapath_options options = {
		.pin_dir = PIN_DIR, .backends_limit = 16, .flows_limit = 64, .key = &key};
	struct ek_error error = {0};
	struct ek_datapath *dp;

	if (ek_datapath_open(&dp, &options, &error))
		fail_msg("%s", error.text);
	return dp;
}

static void apply(struct ek_datapath *dp, const struct ek_op *ops, size_t n)
{
	struct ek_plan plan = {.ops = (struct ek_op *)ops, .n = n};
	struct ek_error error = {0};

	if (ek_datapath_apply(dp, &plan, &error))
		fail_msg("%s", error.text);
}

static void set_service(struct ek_datapath *dp, const char *vip, uint16_t id, bool fresh)
{
	struct ek_maglev_member member = {.index = 1, .weight = 1};
	struct ek_service entry = {.vip = address(vip),
				   .key = EK_SERVICE_KEY(htons(80), IPPROTO_TCP, EK_SERVICE_LIVE),
				   .id = id};
	const struct ek_op ops[] = {
		{.kind = EK_OP_RING_SET,
		 .id = id,
		 .fresh = fresh,
		 .members = {.list = &member, .n = 1}},
		{.kind = EK_OP_SERVICE_SET, .id = id, .entries = {.list = &entry, .n = 1}},
	};

	apply(dp, ops, 2);
}

static void clear_service(struct ek_datapath *dp, const char *vip, uint16_t id)
{
	const struct ek_op op = {
		.kind = EK_OP_SERVICE_CLEAR,
		.id = id,
		.entry = {.vip = address(vip),
			  .key = EK_SERVICE_KEY(htons(80), IPPROTO_TCP, EK_SERVICE_LIVE),
			  .id = id}};

	apply(dp, &op, 1);
}

static void set_lease(struct ek_datapath *dp, const char *vip, uint8_t lease)
{
	const struct ek_ip ip = address(vip);

	ek_datapath_set_lease(dp, &ip, lease);
}

/* The lease that a VIP's entry names; -1: there is no entry. */
static int lease_named(struct ek_datapath *dp, const char *vip)
{
	const struct ek_service_table *table = ek_datapath_services(dp);
	const struct ek_ip ip = address(vip);

	for (size_t i = 0; i < EK_SERVICE_SLOTS; i++)
		if (table->slot[i].key == EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP) &&
		    !memcmp(&table->slot[i].vip, &ip, sizeof(ip)))
			return table->slot[i].id;
	return -1;
}

static void test_named_leases(void **state)
{
	struct ek_datapath *dp = open_datapath();
	(void)state;

	set_lease(dp, VIP4, 7);
	assert_int_equal(lease_named(dp, VIP4), -1);
	set_service(dp, VIP4, 1, true);
	set_service(dp, VIP6, 2, true);
	assert_int_equal(lease_named(dp, VIP4), 7);
	assert_int_equal(lease_named(dp, VIP6), EK_LEASE_NONE);
	set_lease(dp, VIP6, 255);
	set_lease(dp, VIP4, 8);
	set_service(dp, VIP4, 1, false);
	assert_int_equal(lease_named(dp, VIP4), 8);
	assert_int_equal(lease_named(dp, VIP6), 255);

	clear_service(dp, VIP4, 1);
	assert_int_equal(lease_named(dp, VIP4), -1);
	set_service(dp, VIP4, 1, true);
	assert_int_equal(lease_named(dp, VIP4), 8);
	set_lease(dp, VIP4, EK_LEASE_NONE);
	set_service(dp, VIP4, 1, false);
	assert_int_equal(lease_named(dp, VIP4), EK_LEASE_NONE);
	assert_int_equal(lease_named(dp, VIP6), 255);
	ek_datapath_close(dp);
}

/* A controller that comes back finds leases and names as they were, until it says otherwise. */
static void test_adopted_leases(void **state)
{
	static struct ek_state adopted;
	struct ek_datapath *dp = open_datapath();
	struct ek_error error = {0};
	(void)state;

	set_lease(dp, VIP4, 7);
	set_lease(dp, VIP6, 7);
	set_service(dp, VIP4, 1, true);
	set_service(dp, VIP6, 2, true);
	ek_datapath_leases(dp)[7] = (struct ek_lease){.until = 1, .mac4 = 2, .mac6 = 3, .port = 4};
	ek_datapath_close(dp);

	dp = open_datapath();
	assert_true(ek_datapath_adopted(dp));
	assert_int_equal(ek_state_init(&adopted, 16), 0);
	assert_int_equal(ek_datapath_snapshot(dp, &adopted, &error), 0);
	assert_int_equal(ek_datapath_leases(dp)[7].mac6, 3);
	assert_int_equal(lease_named(dp, VIP4), 7);
	set_service(dp, VIP4, 1, false);
	assert_int_equal(lease_named(dp, VIP4), 7);
	set_lease(dp, VIP4, EK_LEASE_NONE);
	set_service(dp, VIP4, 1, false);
	assert_int_equal(lease_named(dp, VIP4), EK_LEASE_NONE);
	assert_int_equal(lease_named(dp, VIP6), 7);
	ek_state_free(&adopted);
	ek_datapath_close(dp);
}

static int remove_pins(void **state)
{
	struct ek_error error;
	(void)state;

	ek_datapath_remove(PIN_DIR, &error);
	return 0;
}

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture_open(&fixture);
	leases =
		map_of(bpf_map__fd(fixture.skeleton->maps.leases), EK_LEASES_MAX * sizeof(*leases));
	fill_leases(&fixture);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	munmap(leases, EK_LEASES_MAX * sizeof(*leases));
	fixture_close(*state);
	return 0;
}

/* A failed test may leave the data plane as it arranged it. */
static int fill(void **state)
{
	fill_leases(*state);
	return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, fill)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_questions),
		TEST(test_written_out),
		TEST(test_cut_short),
		TEST(test_every_bit_flipped),
		TEST(test_random_options),
		TEST(test_every_checksum),
		TEST(test_mapped_target),
		TEST(test_leases),
		TEST(test_virtual_mac),
		TEST(test_virtual_mac_stages),
		cmocka_unit_test_setup_teardown(test_named_leases, remove_pins, remove_pins),
		cmocka_unit_test_setup_teardown(test_adopted_leases, remove_pins, remove_pins),
	};

	return cmocka_run_group_tests_name("neighbour", tests, set_up, tear_down);
}
