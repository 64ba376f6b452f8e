/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/classify.h under BPF_PROG_TEST_RUN (root), beside what the rows of test_balancer.c have: the
 * frames of several buffers that jumbo MTUs bring, tags that go back onto what is answered or
 * passed, who gets which ICMP message, and the connection table while a port is traced.
 */
#define FRAME_MAX 9200
#include "icmp_frames.h"

#define JUMBO 9000

struct spec {
	const char *description;
	unsigned int protocol;
	size_t payload, padding;
	const char *tags;
	size_t n_tags;
};

static void tag(struct frame *f, const char *tags, size_t n)
{
	memmove(f->bytes + 12 + 4 * n, f->bytes + 12, f->length - 12);
	memcpy(f->bytes + 12, tags, 4 * n);
	f->length += 4 * n;
}

static void build(struct frame *f, const struct spec *s, int family)
{
	const struct packet_spec p = {
		.family = family,
		.protocol = s->protocol,
		.source = address(family == 4 ? CLIENT4 : CLIENT6),
		.destination = address(family == 4 ? VIP4 : VIP6),
		.source_port = 40000,
		.destination_port = s->protocol == IPPROTO_UDP ? 53 : 80,
		.tos = 0xb9,
		.id = 0x1234,
		.tcp_flags = ACK,
		.payload = s->payload,
		.padding = s->padding,
	};

	build_frame(f, &p, node_mac, client_mac);
	tag(f, s->tags, s->n_tags);
}

static void set_mtu(struct fixture *f, unsigned int mtu)
{
	for (uint32_t i = 0; i < f->cpus * ROWS; i++)
		f->backends[i].mtu = mtu;
}

/* --- several buffers ------------------------------------------------------------------------- */

/* A test run puts what is beyond a page, less room on both sides, into further buffers. */
static const struct spec jumbos[] = {
	{"TCP", IPPROTO_TCP, 4000, 0, "", 0},
	{"TCP, three buffers", IPPROTO_TCP, 8900, 0, "", 0},
	{"UDP", IPPROTO_UDP, 5000, 0, "", 0},
	{"padding beyond the first buffer", IPPROTO_TCP, 100, 4000, "", 0},
	{"a tag", IPPROTO_TCP, 8800, 0, "\x81\0\0\x05", 1},
	{"two tags", IPPROTO_UDP, 8800, 0, "\x88\xa8\0\x05\x81\0\0\x06", 2},
};
#define N_JUMBOS (sizeof(jumbos) / sizeof(jumbos[0]))

static void for_each_jumbo(struct fixture *f, void (*each)(struct fixture *f, const struct spec *s,
							   int family, struct frame *in))
{
	static struct frame in;

	for (size_t i = 0; i < N_JUMBOS; i++)
		for (int family = 4; family <= 6; family += 2) {
			build(&in, &jumbos[i], family);
			each(f, &jumbos[i], family, &in);
			fixture_fill(f);
		}
}

/* Padding in a further buffer escapes the usual path, which counts the first. */
static void jumbo_forwarded(struct fixture *f, const struct spec *s, int family, struct frame *in)
{
	static struct result r;

	(void)family;
	if (s->padding)
		f->ports[OWN_PORT].flags = EK_PORT_TRACED;
	set_mtu(f, JUMBO);
	run(f, in, &r);
	expect_forward(s->description, f, in, &r, XDP_TX);
}

static void jumbo_cut(struct fixture *f, const struct spec *s, int family, struct frame *in)
{
	static struct result r;

	(void)family;
	in->length -= s->padding + 1;
	run(f, in, &r);
	expect_drop(s->description, &r, EK_DROP_TRUNCATED);
}

static void jumbo_too_big(struct fixture *f, const struct spec *s, int family, struct frame *in)
{
	static struct result r;

	(void)family;
	if (s->padding)
		return;
	run(f, in, &r);
	expect_drop(s->description, &r, EK_DROP_TOO_BIG);
}

static void jumbo_elsewhere(struct fixture *f, const struct spec *s, int family, struct frame *in)
{
	static struct result r;

	in->bytes[ETHERNET + 4 * s->n_tags + (family == 4 ? 19 : 39)] ^= 0x60;
	run(f, in, &r);
	expect_pass(s->description, in, &r);
}

static void test_jumbo(void **state)
{
	for_each_jumbo(*state, jumbo_forwarded);
	for_each_jumbo(*state, jumbo_cut);
	for_each_jumbo(*state, jumbo_too_big);
	for_each_jumbo(*state, jumbo_elsewhere);
}

/* Headers in the second buffer; not every kernel can be asked for it. */
static void test_split_header(void **state)
{
	static const struct spec tcp = {"TCP", IPPROTO_TCP, 600, 0, "", 0};
	const struct fixture *f = *state;
	static struct frame in, out;
	struct xdp_md context = {0};
	struct result r = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in.bytes, .data_out = out.bytes,
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = 1);

	for (int family = 4; family <= 6; family += 2)
		for (size_t first = ETHERNET + 20; first < ETHERNET + 62; first += 4) {
			struct counters before, after;
			int err;

			build(&in, &tcp, family);
			context.data_end = first;
			opts.data_size_in = in.length;
			opts.data_size_out = sizeof(out.bytes);
			read_counters(f, &before);
			err = bpf_prog_test_run_opts(bpf_program__fd(f->skeleton->progs.evenkeel),
						     &opts);
			if (err == -EINVAL)
				skip();
			assert_int_equal(err, 0);
			read_counters(f, &after);
			r = (struct result){.verdict = opts.retval};
			difference(&r, &before, &after);
			memcpy(r.out.bytes, out.bytes, opts.data_size_out);
			r.out.length = opts.data_size_out;
			if (first < ETHERNET + (family == 4 ? 20u : 40u))
				expect_pass("IP header in two buffers", &in, &r);
			else
				expect_forward("headers in two buffers", f, &in, &r, XDP_TX);
		}
}

/* What a question or a segment of several buffers is answered with fits one. */
static void disown(struct fixture *f, unsigned int service)
{
	struct ek_service entry = entry_of(service);

	entry.flags = EK_SERVICE_F_TRACK_FULL | EK_SERVICE_F_RESET;
	memset(entry.timeout, 0xff, sizeof(entry.timeout));
	add_service(f, &entry);
	for (uint32_t slot = 0; slot < EK_RING_SIZE; slot++)
		f->rings[service]->slot[slot] |= EK_SLOT_LOOKUP;
}

static void expect_reset(struct fixture *f, const struct spec *s, int family)
{
	const size_t ip = ETHERNET + 4 * s->n_tags, header = family == 4 ? 20 : 40;
	static struct frame in;
	static struct result r;

	build(&in, s, family);
	run(f, &in, &r);
	if (r.verdict != XDP_TX || r.drop != EK_DROP_UNKNOWN_FLOW)
		fail_msg("%s: verdict %d, drop %u", s->description, r.verdict, r.drop);
	assert_int_equal(r.out.length, ip + header + 20);
	assert_memory_equal(r.out.bytes, client_mac, 6);
	assert_memory_equal(r.out.bytes + 6, node_mac, 6);
	assert_memory_equal(r.out.bytes + 12, in.bytes + 12, 4 * s->n_tags + 2);
	assert_int_equal(r.out.bytes[ip + header + 13], RST);
	assert_int_equal(read16(&r.out, ip + header), 80);
	assert_int_equal(read16(&r.out, ip + header + 2), 40000);
}

/* Answers have the tags of their questions. */
static void test_reset(void **state)
{
	static const struct spec specs[] = {
		{"several buffers", IPPROTO_TCP, 6000, 0, "", 0},
		{"a tag", IPPROTO_TCP, 10, 0, "\x81\0\x20\x05", 1},
		{"an outer tag", IPPROTO_TCP, 10, 0, "\x88\xa8\x20\x05", 1},
		{"two tags", IPPROTO_TCP, 10, 0, "\x88\xa8\0\x05\x81\0\0\x06", 2},
		{"two tags and several buffers", IPPROTO_TCP, 6000, 0, "\x81\0\0\x05\x81\0\0\x06",
		 2},
	};

	disown(*state, 0);
	disown(*state, 1);
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		expect_reset(*state, &specs[i], 4);
		expect_reset(*state, &specs[i], 6);
	}
}

/* A solicitation with more behind it than it says: the answer is cut to its length. */
static void test_solicitation(void **state)
{
	const struct ek_ip vip = address(VIP6);
	const struct ek_service entry = {
		.vip = vip, .key = EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP), .id = 5};
	const struct ek_lease lease = {
		.until = UINT64_MAX, .mac6 = mac48(node_mac), .port = OWN_PORT};
	const struct packet_spec p = {.family = 6,
				      .protocol = IPPROTO_ICMPV6,
				      .source = address(CLIENT6),
				      .destination = vip,
				      .payload = 24,
				      .padding = 6000};
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(f->skeleton->maps.leases), &entry.id, &lease, 0),
		0);
	assert_int_equal(ek_service_table_put(f->services, &f->key, &entry), 0);
	build_frame(&in, &p, node_mac, client_mac);
	in.bytes[ETHERNET + 7] = 255;
	memcpy(in.bytes + 54, "\x87\0\0\0\0\0\0\0", 8);
	memcpy(in.bytes + 62, vip.bytes, 16);
	seal_icmp(&in);
	run(f, &in, &r);
	assert_int_equal(r.verdict, XDP_TX);
	assert_int_equal(r.out.length, 86);
	assert_int_equal(r.out.bytes[54], 136);
	assert_memory_equal(r.out.bytes + 62, vip.bytes, 16);
	assert_int_equal(read16(&r.out, 56), icmp_checksum(&r.out));
	tag(&in, "\x81\0\0\x05", 1);
	run(f, &in, &r);
	expect_pass("in a VLAN, where nothing is announced", &in, &r);
}

/* The lease is an interface's, not one of its VLANs'. */
static void test_tagged_arp(void **state)
{
	const struct ek_ip vip = address(VIP4), client = address(CLIENT4);
	const struct ek_service entry = {
		.vip = vip, .key = EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP), .id = 5};
	const struct ek_lease lease = {
		.until = UINT64_MAX, .mac4 = mac48(node_mac), .port = OWN_PORT};
	struct fixture *f = *state;
	struct frame in = {0};
	static struct result r;

	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(f->skeleton->maps.leases), &entry.id, &lease, 0),
		0);
	assert_int_equal(ek_service_table_put(f->services, &f->key, &entry), 0);
	put(&in, node_mac, 6);
	put(&in, client_mac, 6);
	put(&in, "\x08\x06\0\x01\x08\0\x06\x04\0\x01", 10);
	put(&in, client_mac, 6);
	put_address(&in, 4, &client);
	put(&in, "\0\0\0\0\0\0", 6);
	put_address(&in, 4, &vip);
	run(f, &in, &r);
	assert_int_equal(r.verdict, XDP_TX);
	for (size_t n = 1; n <= 2; n++) {
		tag(&in, "\x81\0\0\x05", 1);
		run(f, &in, &r);
		expect_pass("in a VLAN", &in, &r);
	}
}

/* What stands where a TCP header would is none. */
static void test_no_reset(void **state)
{
	static const struct spec tcp = {"TCP", IPPROTO_TCP, 64, 0, "", 0};
	static struct frame in;
	static struct result r;

	disown(*state, 0);
	disown(*state, 1);
	build(&in, &tcp, 4);
	overwrite16(&in, ETHERNET + 6, 0x2000);
	seal_ip4(&in, ETHERNET);
	run(*state, &in, &r);
	expect_drop("first fragment", &r, EK_DROP_UNKNOWN_FLOW);
	build(&in, &tcp, 6);
	memmove(in.bytes + 62, in.bytes + 54, in.length - 54);
	memcpy(in.bytes + 54, "\x06\0\x05\x02\0\0\x01\0", 8);
	in.bytes[20] = IPPROTO_HOPOPTS;
	in.length += 8;
	overwrite16(&in, 18, read16(&in, 18) + 8);
	run(*state, &in, &r);
	expect_drop("behind options", &r, EK_DROP_UNKNOWN_FLOW);
}

/* --- passed to this host --------------------------------------------------------------------- */

static void test_local(void **state)
{
	static const struct spec specs[] = {
		{"no tag", IPPROTO_TCP, 10, 0, "", 0},
		{"a tag", IPPROTO_TCP, 10, 0, "\x81\0\x20\x05", 1},
		{"two tags", IPPROTO_TCP, 10, 0, "\x88\xa8\0\x05\x81\0\0\x06", 2},
	};
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	for (uint32_t i = 0; i < f->cpus * ROWS; i++)
		f->backends[i].forward = EK_FORWARD_LOCAL;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
		for (int family = 4; family <= 6; family += 2) {
			build(&in, &specs[i], family);
			run(f, &in, &r);
			assert_int_equal(r.verdict, XDP_PASS);
			assert_int_equal(r.counted_forwards, 1);
			assert_true(same_frame(&in, &r.out));
		}
}

/* --- ICMP ------------------------------------------------------------------------------------ */

/* `drop` tells a VIP's messages from those that are the stack's; echo is off. */
static const struct {
	const char *description;
	int family;
	unsigned int type, fragment;
	bool other; /* for no VIP */
	unsigned int drop;
} messages[] = {
	{"echo request", 4, 8, 0, false, EK_DROP_ECHO_OFF},
	{"echo request", 6, 128, 0, false, EK_DROP_ECHO_OFF},
	{"timestamp", 4, 13, 0, false, EK_DROP_ICMP_OTHER},
	{"listener report", 6, 131, 0, false, EK_DROP_ICMP_OTHER},
	{"below neighbour discovery", 6, 132, 0, false, EK_DROP_ICMP_OTHER},
	{"router solicitation", 6, 133, 0, false, 0},
	{"router advertisement", 6, 134, 0, false, 0},
	{"neighbour advertisement", 6, 136, 0, false, 0},
	{"redirect", 6, 137, 0, false, 0},
	{"above neighbour discovery", 6, 138, 0, false, EK_DROP_ICMP_OTHER},
	{"the types of neighbour discovery in IPv4", 4, 135, 0, false, EK_DROP_ICMP_OTHER},
	{"unreachable, of no flow", 4, 3, 0, false, EK_DROP_NO_SERVICE},
	{"too big, of no flow", 6, 2, 0, false, EK_DROP_NO_SERVICE},
	{"first fragment", 4, 8, 0x2000, false, EK_DROP_FRAGMENT},
	{"later fragment", 4, 8, 0x0008, false, EK_DROP_FRAGMENT},
	{"echo request, no VIP", 4, 8, 0, true, 0},
	{"echo request, no VIP", 6, 128, 0, true, 0},
	{"fragment, no VIP", 4, 8, 0x2000, true, 0},
	{"unreachable, of no tunnel", 4, 3, 0, true, 0},
	{"too big, of no tunnel", 6, 2, 0, true, 0},
};

static void test_icmp(void **state)
{
	static struct frame in;
	static struct result r;

	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		for (size_t tags = 0; tags <= 2; tags++) {
			const int family = messages[i].family;
			const struct packet_spec p = {
				.family = family,
				.protocol = family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
				.source = address(family == 4 ? CLIENT4 : CLIENT6),
				.destination =
					address(messages[i].other ? family == 4 ? OTHER4 : OTHER6
						: family == 4	  ? VIP4
								  : VIP6),
				.fragment = messages[i].fragment,
				.payload = 64};

			build_frame(&in, &p, node_mac, client_mac);
			in.bytes[icmp_at(&in)] = messages[i].type;
			seal_icmp(&in);
			tag(&in, "\x88\xa8\0\x05\x81\0\0\x06", tags);
			run(*state, &in, &r);
			if (messages[i].drop)
				expect_drop(messages[i].description, &r, messages[i].drop);
			else
				expect_pass(messages[i].description, &in, &r);
		}
}

/* --- while somebody listens ------------------------------------------------------------------ */

/* The life of a connection, a reused port, a datagram, by the slots that remember. */
static void life(struct fixture *f, uint64_t *digest)
{
	static const unsigned int flags[] = {SYN, SYN,	     ACK, ACK | PSH, FIN | ACK,
					     ACK, RST | ACK, SYN, ACK,	     RST};
	static struct frame in;
	static struct result r;

	memset(f->flows, 0, BUCKETS * sizeof(*f->flows));
	memset(f->flow_keys, 0, BUCKETS * sizeof(*f->flow_keys));
	*digest = 0;
	for (unsigned int s = 0; s < 6; s++)
		for (unsigned int i = 0; i < 10 * 20; i++) {
			const struct ek_ip vip = address(known[s].vip);
			const struct packet_spec p = {
				.family = is_v6(&vip) ? 6 : 4,
				.protocol = known[s].protocol,
				.source = address(is_v6(&vip) ? CLIENT6 : CLIENT4),
				.destination = vip,
				.source_port = 40000 + i / 10,
				.destination_port = known[s].port,
				.tcp_flags = flags[i % 10]};

			build_frame(&in, &p, node_mac, client_mac);
			run(f, &in, &r);
			*digest = *digest * 31 + r.verdict * 64 + r.row + r.drop * 4096;
			for (size_t n = 0; n < r.out.length; n++)
				*digest = *digest * 31 + r.out.bytes[n];
		}
}

static void test_connections_traced(void **state)
{
	static struct ek_flow_bucket flows[BUCKETS];
	static struct ek_flow_keys keys[BUCKETS];
	struct fixture *f = *state;
	uint64_t usual, traced;

	for (unsigned int s = 0; s < 6; s++) {
		struct ek_service entry = entry_of(s);

		entry.flags = EK_SERVICE_F_TRACK_FULL;
		memset(entry.timeout, 0xff, sizeof(entry.timeout));
		add_service(f, &entry);
		for (uint32_t slot = 0; slot < EK_RING_SIZE; slot++)
			f->rings[s]->slot[slot] |= EK_SLOT_LOOKUP;
	}
	life(f, &usual);
	memcpy(flows, f->flows, sizeof(flows));
	memcpy(keys, f->flow_keys, sizeof(keys));
	f->ports[OWN_PORT].flags = EK_PORT_TRACED;
	life(f, &traced);
	assert_true(usual == traced);
	assert_memory_equal(flows, f->flows, sizeof(flows));
	assert_memory_equal(keys, f->flow_keys, sizeof(keys));
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
	return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, fill)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_jumbo),	 TEST(test_split_header), TEST(test_reset),
		TEST(test_solicitation), TEST(test_tagged_arp),	  TEST(test_no_reset),
		TEST(test_local),	 TEST(test_icmp),	  TEST(test_connections_traced),
	};

	return cmocka_run_group_tests_name("classify", tests, set_up, tear_down);
}
