/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The forwarding methods of bpf/depart.h under BPF_PROG_TEST_RUN (root), for the packets that do
 * not go the usual way: tagged ones, fragments, extension headers, ICMP errors, protocols without
 * ports. What matters here is where L3DSR finds the checksum that it has to change, and that the
 * frame leaves with the tags of its egress port and no others.
 */
#include "forward_book.h"

static const struct method *by_name(const char *name)
{
	for (size_t i = 0; i < N_METHODS; i++)
		if (!strcmp(methods[i].name, name))
			return &methods[i];
	fail_msg("no method %s", name);
	return NULL;
}

/* --- packets --------------------------------------------------------------------------------- */

struct packet {
	const char *description;
	int family;
	unsigned int protocol;
	size_t payload;
	void (*edit)(struct frame *f);
	unsigned int tos_drop; /* what becomes of it if its checksum is out of reach */
};

static void insert(struct frame *f, size_t at, const void *bytes, size_t n)
{
	assert_in_range(f->length + n, 0, FRAME_MAX);
	memmove(f->bytes + at + n, f->bytes + at, f->length - at);
	memcpy(f->bytes + at, bytes, n);
	f->length += n;
}

/* The first behind the IPv6 header. */
static void insert_header(struct frame *f, unsigned int type, const char *bytes, size_t n)
{
	insert(f, ETHERNET + 40, bytes, n);
	f->bytes[ETHERNET + 40] = f->bytes[ETHERNET + 6];
	f->bytes[ETHERNET + 6] = type;
	overwrite16(f, ETHERNET + 4, read16(f, ETHERNET + 4) + n);
}

#define PADDING_8  "\0\0\1\4\0\0\0\0"
#define PADDING_16 "\0\1\1\x0c\0\0\0\0\0\0\0\0\0\0\0\0"
#define ROUTED	   "\0\2\0\0\0\0\0\0" ROUTER
#define ROUTER	   "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x77"

static void options_1(struct frame *f)
{
	insert_header(f, IPPROTO_DSTOPTS, PADDING_16, 16);
}

static void options_8(struct frame *f)
{
	for (int i = 0; i < 7; i++)
		insert_header(f, IPPROTO_DSTOPTS, i & 1 ? PADDING_8 : PADDING_16, i & 1 ? 8 : 16);
	insert_header(f, IPPROTO_HOPOPTS, PADDING_8, 8);
}

static void options_long(struct frame *f)
{
	static const char longest[2048] = {0, (char)255};

	insert_header(f, IPPROTO_DSTOPTS, longest, sizeof(longest));
	insert_header(f, IPPROTO_HOPOPTS, PADDING_16, 16);
}

static void routed_to_its_end(struct frame *f)
{
	insert_header(f, IPPROTO_ROUTING, ROUTED, 24);
}

static void routed_further(struct frame *f)
{
	routed_to_its_end(f);
	f->bytes[ETHERNET + 43] = 1;
}

static void one_fragment(struct frame *f)
{
	insert_header(f, IPPROTO_FRAGMENT, "\0\0\0\0\1\2\3\4", 8);
}

static void first_fragment(struct frame *f)
{
	if (read16(f, 12) == 0x86dd) {
		insert_header(f, IPPROTO_FRAGMENT, "\0\0\0\1\1\2\3\5", 8);
		return;
	}
	overwrite16(f, ETHERNET + 6, 0x2000);
	seal_ip4(f, ETHERNET);
}

static void later_fragment(struct frame *f)
{
	if (read16(f, 12) == 0x86dd) {
		insert_header(f, IPPROTO_FRAGMENT, "\0\0\1\1\1\2\3\5", 8);
		return;
	}
	overwrite16(f, ETHERNET + 6, 0x2020);
	seal_ip4(f, ETHERNET);
}

static void fragment_behind_options(struct frame *f)
{
	first_fragment(f);
	options_1(f);
}

/* RFC 792, RFC 4443: about a packet of the VIP's to the client, of which 8 bytes are quoted. */
static void error(struct frame *f)
{
	const bool six = read16(f, 12) == 0x86dd;
	static struct frame quoted;
	const struct packet_spec p = {.family = six ? 6 : 4,
				      .protocol = IPPROTO_TCP,
				      .source = address(six ? VIP6 : VIP4),
				      .destination = address(six ? CLIENT6 : CLIENT4),
				      .source_port = 80,
				      .destination_port = 40000,
				      .id = 0x4321,
				      .tcp_flags = ACK};
	uint8_t *icmp = f->bytes + ETHERNET + (six ? 40 : 20);

	build_frame(&quoted, &p, node_mac, client_mac);
	memset(icmp, 0, 8);
	icmp[0] = six ? 1 : 3;
	icmp[1] = six ? 4 : 1;
	memcpy(icmp + 8, quoted.bytes + ETHERNET, six ? 48 : 28);
	if (six)
		seal_transport(f->bytes + ETHERNET, 0);
	else
		put_checksum(icmp + 2, 0xffff - residue(sum_bytes(0, icmp, 36)));
}

static void padded(struct frame *f)
{
	put_pattern(f, 18);
}

static const struct packet packets[] = {
	{"one extension header", 6, IPPROTO_TCP, 20, options_1, 0},
	{"one extension header, UDP", 6, IPPROTO_UDP, 21, options_1, 0},
	{"eight extension headers", 6, IPPROTO_TCP, 22, options_8, 0},
	{"an extension header as long as can be", 6, IPPROTO_UDP, 23, options_long, 0},
	{"a routing header at its end", 6, IPPROTO_TCP, 24, routed_to_its_end, 0},
	{"a routing header that goes on", 6, IPPROTO_TCP, 24, routed_further,
	 EK_DROP_NOT_REWRITABLE},
	{"a fragment that is the whole", 6, IPPROTO_TCP, 25, one_fragment, 0},
	{"first fragment", 4, IPPROTO_UDP, 248, first_fragment, 0},
	{"later fragment", 4, IPPROTO_UDP, 31, later_fragment, 0},
	{"first fragment of TCP", 4, IPPROTO_TCP, 236, first_fragment, 0},
	{"first fragment", 6, IPPROTO_UDP, 248, first_fragment, 0},
	{"later fragment", 6, IPPROTO_UDP, 31, later_fragment, 0},
	{"first fragment behind options", 6, IPPROTO_TCP, 236, fragment_behind_options, 0},
	{"error", 4, IPPROTO_ICMP, 36, error, 0},
	{"error", 6, IPPROTO_ICMPV6, 56, error, 0},
	{"TCP", 4, IPPROTO_TCP, 26, NULL, 0}, /* tagged */
	{"TCP", 6, IPPROTO_TCP, 26, NULL, 0},
};
#define N_PACKETS (sizeof(packets) / sizeof(packets[0]))

/* Protocols that have no ports, or none that we look for. */
static const struct packet portless[] = {
	{"ESP", 4, IPPROTO_ESP, 50, NULL, 0},
	{"ESP", 6, IPPROTO_ESP, 50, NULL, 0},
	{"GRE", 4, IPPROTO_GRE, 50, NULL, 0},
	{"GRE", 6, IPPROTO_GRE, 50, NULL, 0},
	{"SCTP", 4, IPPROTO_SCTP, 50, NULL, 0},
	{"SCTP", 6, IPPROTO_SCTP, 50, NULL, 0},
	{"UDP-Lite", 4, IPPROTO_UDPLITE, 50, NULL, 0},
	{"UDP-Lite", 6, IPPROTO_UDPLITE, 50, NULL, 0},
	{"DCCP", 4, IPPROTO_DCCP, 50, NULL, 0},
	{"DCCP", 6, IPPROTO_DCCP, 50, NULL, 0},
	{"TCP, too", 4, IPPROTO_TCP, 50, NULL, 0},
	{"TCP, too", 6, IPPROTO_TCP, 50, NULL, 0},
	{"a checksum that just fits", 4, IPPROTO_DCCP, 8, NULL, 0},
	{"a checksum that is cut off", 4, IPPROTO_DCCP, 7, NULL, EK_DROP_NOT_REWRITABLE},
	{"a checksum that just fits", 6, IPPROTO_UDPLITE, 8, NULL, 0},
	{"a checksum that is cut off", 6, IPPROTO_UDPLITE, 7, NULL, EK_DROP_NOT_REWRITABLE},
	{"a checksum that would be padding", 4, IPPROTO_DCCP, 7, padded, EK_DROP_NOT_REWRITABLE},
	{"a checksum that would be padding", 6, IPPROTO_DCCP, 7, padded, EK_DROP_NOT_REWRITABLE},
	{"an authenticated address", 4, IPPROTO_AH, 50, NULL, EK_DROP_NOT_REWRITABLE},
	{"an authenticated address", 6, IPPROTO_AH, 50, NULL, EK_DROP_NOT_REWRITABLE},
	{"no next header", 6, IPPROTO_NONE, 0, NULL, 0},
};
#define N_PORTLESS (sizeof(portless) / sizeof(portless[0]))

static void build_to(struct frame *f, const struct packet *packet, const char *vip)
{
	const int family = packet->family;
	const struct packet_spec p = {.family = family,
				      .protocol = packet->protocol,
				      .source = address(family == 4 ? CLIENT4 : CLIENT6),
				      .destination = address(vip),
				      .source_port = 40000,
				      .destination_port = packet->protocol == IPPROTO_UDP ? 53 : 80,
				      .tos = 0xb9,
				      .id = 0x1234,
				      .tcp_flags = ACK,
				      .payload = packet->payload};
	uint8_t *ip = f->bytes + ETHERNET;
	unsigned int protocol;

	build_frame(f, &p, node_mac, client_mac);
	if (packet_length(ip) - transport_of(ip, &protocol) >= 8)
		seal_transport(ip, 0);
	if (packet->edit)
		packet->edit(f);
}

/* --- expectations ---------------------------------------------------------------------------- */

static void expect_method(struct fixture *f, const char *what, const struct method *m,
			  const struct way_out *out, const struct frame *in, unsigned int tos_drop)
{
	static struct frame bare;
	static struct result r;

	run(f, in, &r);
	if (m->forward == EK_FORWARD_TOS && tos_drop) {
		expect_drop(what, &r, tos_drop);
		without_tags(in, &bare);
		if (!same_frame(&bare, &r.out))
			fail_msg("%s: dropped, and changed", what);
		return;
	}
	expect_book(what, f, m, out, in, &r);
}

/* With none, one and two tags on it. */
static void expect_tagged(struct fixture *f, const char *what, const struct method *m,
			  const struct way_out *out, const struct frame *in, unsigned int tos_drop)
{
	static struct frame tagged;

	expect_method(f, what, m, out, in, tos_drop);
	tagged = *in;
	insert(&tagged, 12, "\x81\0\xa0\x05", 4);
	expect_method(f, what, m, out, &tagged, tos_drop);
	insert(&tagged, 12, "\x88\xa8\0\x06", 4);
	expect_method(f, what, m, out, &tagged, tos_drop);
}

static unsigned int run_all(struct fixture *f, const struct packet *list, size_t n,
			    const char *vip4, const char *vip6)
{
	static struct frame in;
	unsigned int count = 0;
	char what[256];

	for (size_t i = 0; i < N_METHODS * N_WAYS_OUT; i++) {
		const struct method *m = &methods[i / N_WAYS_OUT];
		const struct way_out *out = &ways_out[i % N_WAYS_OUT];

		arrange(f, m, out);
		for (uint32_t row = 0; row < f->cpus * ROWS; row++)
			f->backends[row].mtu = 5000;
		for (size_t k = 0; k < n; k++, count += 3) {
			snprintf(what, sizeof(what), "IPv%d %s, %s, %s", list[k].family,
				 list[k].description, m->name, out->name);
			build_to(&in, &list[k], list[k].family == 4 ? vip4 : vip6);
			expect_tagged(f, what, m, out, &in, list[k].tos_drop);
		}
	}
	return count;
}

static void test_whole_frames(void **state)
{
	struct fixture *f = *state;

	print_message("  %u packets\n", run_all(f, packets, N_PACKETS, VIP4, VIP6));
	fixture_fill(f);
}

/* --- services without ports ------------------------------------------------------------------ */

/* Everything to `vip`, to the backends of the service `like`. */
static void add_portless(struct fixture *f, const char *vip, unsigned int like)
{
	struct ek_service entry = entry_of(like);
	const struct ek_wildcard_key key = {.length = 128, .address = address(vip)};
	struct ek_wildcard wild = {.n = 1, .rule = {{.last = 0xffff}}};

	entry.vip = address(vip);
	entry.key = EK_SERVICE_WILD_KEY(0, 0, 0xffff, 128);
	entry.flags = EK_SERVICE_F_PORTLESS;
	assert_int_equal(ek_service_table_put(f->services, &f->key, &entry), 0);
	while (f->services->slot[wild.rule[0].slot].key != entry.key ||
	       memcmp(&f->services->slot[wild.rule[0].slot].vip, &entry.vip, sizeof(entry.vip)))
		wild.rule[0].slot++;
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(f->skeleton->maps.wildcards), &key, &wild, 0), 0);
	f->services->settings.flags |= EK_SETTING_WILDCARDS;
}

static void test_portless(void **state)
{
	struct fixture *f = *state;

	add_portless(f, OTHER4, 0);
	add_portless(f, OTHER6, 1);
	print_message("  %u packets\n", run_all(f, portless, N_PORTLESS, OTHER4, OTHER6));
	fixture_fill(f);
}

/* --- frames that nobody sends ---------------------------------------------------------------- */

static void cut_short(struct fixture *f, const char *what, const struct method *m, struct frame *in)
{
	const struct way_out *out = &ways_out[4];
	const size_t end = ETHERNET + 8 + packet_length(in->bytes + ETHERNET + 8);
	static struct result r;

	while (--in->length >= ETHERNET) {
		run(f, in, &r);
		if (r.counted_forwards && in->length < end)
			fail_msg("%s: forwarded, cut to %zu bytes", what, in->length);
		expect_sane_by(what, f, m, out, in, &r);
	}
}

static void test_cut_short(void **state)
{
	static const char *const names[] = {"gue over IPv6", "tos", "l2", "local"};
	struct fixture *f = *state;
	static struct frame in;

	add_portless(f, OTHER4, 0);
	add_portless(f, OTHER6, 1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct method *m = by_name(names[i]);

		arrange(f, m, &ways_out[4]);
		for (size_t k = 0; k < N_PACKETS + N_PORTLESS; k++) {
			const struct packet *p =
				k < N_PACKETS ? &packets[k] : &portless[k - N_PACKETS];
			const char *vip = p->family == 4  ? k < N_PACKETS ? VIP4 : OTHER4
					  : k < N_PACKETS ? VIP6
							  : OTHER6;

			build_to(&in, p, vip);
			insert(&in, 12, "\x88\xa8\0\x06\x81\0\xa0\x05", 8);
			cut_short(f, p->description, m, &in);
		}
	}
	fixture_fill(f);
}

/* Every bit of every header, by the method that reads and writes the most of them. */
static void test_every_bit_flipped(void **state)
{
	const struct method *m = by_name("tos");
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	add_portless(f, OTHER4, 0);
	add_portless(f, OTHER6, 1);
	arrange(f, m, &ways_out[0]);
	for (size_t k = 0; k < N_PACKETS; k++) {
		build_to(&in, &packets[k], packets[k].family == 4 ? VIP4 : VIP6);
		for (size_t bit = 8 * 14; bit < 8 * 180 && bit < 8 * in.length; bit++) {
			in.bytes[bit / 8] ^= 1 << bit % 8;
			run(f, &in, &r);
			expect_sane_by(packets[k].description, f, m, &ways_out[0], &in, &r);
			in.bytes[bit / 8] ^= 1 << bit % 8;
		}
	}
	fixture_fill(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_frames),
		cmocka_unit_test(test_portless),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_every_bit_flipped),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
