/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/backend.bpf.c under BPF_PROG_TEST_RUN (root): what goes in, and the whole frame, the verdict
 * and the counter that come out. Each row is also run cut short at every byte, and with every bit
 * of its headers flipped: what comes out is then what went in, or that without its outer header.
 */
#include "backend_fixture.h"

/* --- rows ------------------------------------------------------------------------------------ */

/* What is between the outer and the inner IP header. */
enum carrier { NOTHING, GUE, GUE_DIRECT };

struct row {
	const char *description;
	int outer, inner; /* 4, 6 */
	enum carrier carrier;
	size_t words;		       /* of fields in the GUE header */
	unsigned int checksum;	       /* of UDP */
	const char *source;	       /* of the outer packet; NULL: the balancer */
	const char *vip;	       /* the inner destination; NULL: the VIP */
	unsigned int tos, inner_tos;   /* or traffic class */
	size_t data;		       /* bytes after the inner header; 0: 24 */
	size_t padding;		       /* bytes after the outer packet */
	void (*edit)(struct frame *f); /* last change to the input */
	enum ek_decap_result result;
	unsigned int expected_tos; /* of the inner header that comes out */
};

static void build_inner(struct frame *f, const struct row *row, unsigned int tos)
{
	size_t data = row->data ? row->data : 24;

	if (row->inner == 4)
		ip4(f, CLIENT4, row->vip ? row->vip : VIP4, IPPROTO_TCP, tos, data);
	else
		ip6(f, CLIENT6, row->vip ? row->vip : VIP6, IPPROTO_TCP, tos, data);
	payload(f, data);
}

static size_t carrier_size(const struct row *row)
{
	switch (row->carrier) {
	case GUE:
		return 8 + 4 + 4 * row->words;
	case GUE_DIRECT:
		return 8;
	default:
		return 0;
	}
}

static void build_carrier(struct frame *f, const struct row *row, unsigned int protocol,
			  size_t length)
{
	if (row->carrier == NOTHING)
		return;
	put16(f, 0xc123);
	put16(f, EK_DECAP_GUE_PORT);
	put16(f, length);
	put16(f, row->checksum);
	if (row->carrier == GUE_DIRECT)
		return;
	put8(f, row->words);
	put8(f, protocol);
	put16(f, 0);
	payload(f, 4 * row->words);
}

static void build(struct frame *f, const struct row *row)
{
	size_t length =
		carrier_size(row) + (row->inner == 4 ? 20 : 40) + (row->data ? row->data : 24);
	unsigned int protocol = row->inner == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	unsigned int next = row->carrier == NOTHING ? protocol : IPPROTO_UDP;

	ethernet(f, row->outer == 4 ? 0x0800 : 0x86dd);
	if (row->outer == 4)
		ip4(f, row->source ? row->source : BALANCER4, HOST4, next, row->tos, length);
	else
		ip6(f, row->source ? row->source : BALANCER6, HOST6, next, row->tos, length);
	build_carrier(f, row, protocol, length);
	build_inner(f, row, row->inner_tos);
	payload(f, row->padding);
	if (row->edit)
		row->edit(f);
}

static bool is_decapsulated(enum ek_decap_result result)
{
	return result >= EK_DECAP_IPV4 && result <= EK_DECAP_GUE_IPV6;
}

static void build_expected(struct frame *f, const struct row *row, const struct frame *input)
{
	if (!is_decapsulated(row->result)) {
		*f = *input;
		return;
	}
	ethernet(f, row->inner == 4 ? 0x0800 : 0x86dd);
	build_inner(f, row, row->expected_tos);
	payload(f, row->padding);
}

static void edit4(struct frame *f, size_t at, unsigned int value)
{
	f->bytes[at] = value;
	put_checksum4(f->bytes + ETHERNET);
}

static void options(struct frame *f) /* one word of no-operation; the rest moves up */
{
	memmove(f->bytes + 38, f->bytes + 34, f->length - 34);
	memset(f->bytes + 34, 1, 4);
	f->length += 4;
	f->bytes[17] += 4;
	edit4(f, 14, 0x46);
}

static void more_fragments(struct frame *f)
{
	edit4(f, 20, 0x20);
}

static void last_fragment(struct frame *f)
{
	edit4(f, 21, 0x01);
}

static void short_ihl(struct frame *f)
{
	f->bytes[14] = 0x44;
}

static void version_5(struct frame *f)
{
	edit4(f, 14, 0x55);
}

static void wrong_checksum(struct frame *f)
{
	f->bytes[24] ^= 0x10;
}

static void outer_too_long(struct frame *f)
{
	edit4(f, 17, f->bytes[17] + 1);
}

static void outer_too_short(struct frame *f)
{
	edit4(f, 17, f->bytes[17] - 1);
}

static void outer_less_than_header(struct frame *f)
{
	edit4(f, 17, 19);
}

static void outer6_too_long(struct frame *f)
{
	f->bytes[19]++;
}

static void outer6_too_short(struct frame *f)
{
	f->bytes[19]--;
}

static void outer6_version(struct frame *f)
{
	f->bytes[14] = 0x50;
}

static void inner4_version(struct frame *f)
{
	f->bytes[34] = 0x65;
}

static void inner4_ihl(struct frame *f)
{
	f->bytes[34] = 0x44;
}

static void inner4_ihl_beyond_packet(struct frame *f)
{
	f->bytes[34] = 0x4f;
	f->bytes[37] = 56;
}

static void inner6_version(struct frame *f)
{
	f->bytes[54] = 0x45;
}

static void protocol_tcp(struct frame *f)
{
	edit4(f, 23, IPPROTO_TCP);
}

static void protocol_gre(struct frame *f)
{
	edit4(f, 23, IPPROTO_GRE);
}

static void next_header_destination_options(struct frame *f)
{
	f->bytes[20] = IPPROTO_DSTOPTS;
}

static void next_header_fragment(struct frame *f)
{
	f->bytes[20] = IPPROTO_FRAGMENT;
}

static void vlan(struct frame *f)
{
	memmove(f->bytes + 16, f->bytes + 12, f->length - 12);
	memcpy(f->bytes + 12, "\x81\x00\x00\x05", 4);
	f->length += 4;
}

static void ethertype_mpls(struct frame *f)
{
	f->bytes[12] = 0x88;
	f->bytes[13] = 0x47;
}

/* An IPv6 destination that spells the IPv4 VIP, ::ffff:192.0.2.10, is not that VIP. */
static void mapped_destination(struct frame *f)
{
	memcpy(f->bytes + 54 + 24, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x0a", 16);
}

/* Nor is ::ffff:10.0.0.1 a balancer of 10.0.0.0/24. */
static void mapped_source(struct frame *f)
{
	memcpy(f->bytes + ETHERNET + 8, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x00\x00\x01", 16);
}

#define PASSES(text, out, in, change, why)                                      \
	{                                                                       \
		.description = text, .outer = out, .inner = in, .edit = change, \
		.result = EK_DECAP_##why                                        \
	}
#define ECN(out, in, o, i, expected, what)                                                      \
	{                                                                                       \
		.description = "ECN " #out "-in-" #in " outer " #o " inner " #i, .outer = out,  \
		.inner = in, .tos = 0xb8 | o, .inner_tos = 0x28 | i, .result = EK_DECAP_##what, \
		.expected_tos = 0x28 | expected                                                 \
	}
/* RFC 6040 figure 4, row by row. */
#define ECN_TABLE(out, in)                                                                        \
	ECN(out, in, NOT_ECT, NOT_ECT, NOT_ECT, IPV##in),                                         \
		ECN(out, in, ECT_0, NOT_ECT, NOT_ECT, IPV##in),                                   \
		ECN(out, in, ECT_1, NOT_ECT, NOT_ECT, IPV##in),                                   \
		ECN(out, in, CE, NOT_ECT, NOT_ECT, ECN_DROP),                                     \
		ECN(out, in, NOT_ECT, ECT_0, ECT_0, IPV##in),                                     \
		ECN(out, in, ECT_0, ECT_0, ECT_0, IPV##in),                                       \
		ECN(out, in, ECT_1, ECT_0, ECT_1, IPV##in), ECN(out, in, CE, ECT_0, CE, IPV##in), \
		ECN(out, in, NOT_ECT, ECT_1, ECT_1, IPV##in),                                     \
		ECN(out, in, ECT_0, ECT_1, ECT_1, IPV##in),                                       \
		ECN(out, in, ECT_1, ECT_1, ECT_1, IPV##in), ECN(out, in, CE, ECT_1, CE, IPV##in), \
		ECN(out, in, NOT_ECT, CE, CE, IPV##in), ECN(out, in, ECT_0, CE, CE, IPV##in),     \
		ECN(out, in, ECT_1, CE, CE, IPV##in), ECN(out, in, CE, CE, CE, IPV##in)

static const struct row rows[] = {
	{.description = "4-in-4", .outer = 4, .inner = 4, .result = EK_DECAP_IPV4},
	{.description = "6-in-6", .outer = 6, .inner = 6, .result = EK_DECAP_IPV6},
	{.description = "4-in-6", .outer = 6, .inner = 4, .result = EK_DECAP_IPV4},
	{.description = "6-in-4", .outer = 4, .inner = 6, .result = EK_DECAP_IPV6},
	{.description = "padding after a small packet stays",
	 .outer = 4,
	 .inner = 4,
	 .padding = 6,
	 .result = EK_DECAP_IPV4},
	{.description = "full-size packet",
	 .outer = 4,
	 .inner = 4,
	 .data = 1480,
	 .result = EK_DECAP_IPV4},
	{.description = "jumbo frame in several buffers",
	 .outer = 6,
	 .inner = 6,
	 .data = 8900,
	 .result = EK_DECAP_IPV6},
	{.description = "the DSCP of the outer header does not matter",
	 .outer = 4,
	 .inner = 4,
	 .tos = 0xb8,
	 .inner_tos = 0x20,
	 .result = EK_DECAP_IPV4,
	 .expected_tos = 0x20},
	ECN_TABLE(4, 4),
	ECN_TABLE(6, 6),
	ECN_TABLE(4, 6),
	ECN_TABLE(6, 4),
	{.description = "another prefix's source",
	 .outer = 4,
	 .inner = 4,
	 .source = STRANGER4,
	 .result = EK_DECAP_NOT_ALLOWED},
	{.description = "another prefix's source, IPv6",
	 .outer = 6,
	 .inner = 6,
	 .source = STRANGER6,
	 .result = EK_DECAP_NOT_ALLOWED},
	{.description = "a balancer given by its whole address",
	 .outer = 6,
	 .inner = 6,
	 .source = "2001:db8:fd::1",
	 .result = EK_DECAP_IPV6},
	{.description = "the address after it",
	 .outer = 6,
	 .inner = 6,
	 .source = "2001:db8:fd::2",
	 .result = EK_DECAP_NOT_ALLOWED},
	PASSES("v4-mapped source in IPv6", 6, 4, mapped_source, NOT_ALLOWED),
	{.description = "inner destination is no VIP",
	 .outer = 4,
	 .inner = 4,
	 .vip = OTHER4,
	 .result = EK_DECAP_NOT_A_VIP},
	{.description = "inner destination is no VIP, IPv6",
	 .outer = 6,
	 .inner = 6,
	 .vip = OTHER6,
	 .result = EK_DECAP_NOT_A_VIP},
	{.description = "a VIP's interface identifier in another network",
	 .outer = 6,
	 .inner = 6,
	 .vip = "2001:db8:0:1::10",
	 .result = EK_DECAP_NOT_A_VIP},
	PASSES("v4-mapped VIP in IPv6", 6, 6, mapped_destination, NOT_A_VIP),
	PASSES("outer options", 4, 4, options, OPTIONS),
	PASSES("first outer fragment", 4, 4, more_fragments, FRAGMENT),
	PASSES("last outer fragment", 4, 4, last_fragment, FRAGMENT),
	PASSES("outer IHL below 5", 4, 4, short_ihl, MALFORMED),
	PASSES("outer version 5", 4, 4, version_5, MALFORMED),
	PASSES("outer checksum wrong", 4, 4, wrong_checksum, MALFORMED),
	PASSES("outer longer than the frame", 4, 4, outer_too_long, MALFORMED),
	PASSES("inner longer than outer", 4, 4, outer_too_short, MALFORMED),
	PASSES("outer length below its header", 4, 4, outer_less_than_header, MALFORMED),
	PASSES("outer IPv6 longer than the frame", 6, 6, outer6_too_long, MALFORMED),
	PASSES("inner IPv6 longer than outer", 6, 6, outer6_too_short, MALFORMED),
	PASSES("outer IPv6 of version 5", 6, 6, outer6_version, MALFORMED),
	PASSES("inner of version 6 under protocol 4", 4, 4, inner4_version, MALFORMED),
	PASSES("inner IHL below 5", 4, 4, inner4_ihl, MALFORMED),
	PASSES("inner IHL beyond its length", 4, 4, inner4_ihl_beyond_packet, MALFORMED),
	PASSES("inner of version 4 under next header 41", 6, 6, inner6_version, MALFORMED),
	PASSES("not a tunnel: TCP", 4, 4, protocol_tcp, OTHER),
	PASSES("another tunnel: GRE", 4, 4, protocol_gre, OTHER),
	PASSES("destination options (tunnel encapsulation limit)", 6, 6,
	       next_header_destination_options, OTHER),
	PASSES("outer IPv6 fragment", 6, 6, next_header_fragment, OTHER),
	PASSES("802.1Q", 4, 4, vlan, OTHER),
	PASSES("another ethertype", 4, 4, ethertype_mpls, OTHER),
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

/* --- GUE ------------------------------------------------------------------------------------- */

/* In 4-in-4 the UDP header is at 34, the GUE header at 42; in 6-in-6 at 54 and 62. */
static void gue_control(struct frame *f)
{
	f->bytes[42] |= 0x20;
}

static void gue_version_2(struct frame *f)
{
	f->bytes[42] |= 0x80;
}

static void gue_version_3(struct frame *f)
{
	f->bytes[42] |= 0xc0;
}

static void gue_flags(struct frame *f)
{
	f->bytes[45] |= 0x01;
}

static void gue6_flags(struct frame *f)
{
	f->bytes[64] |= 0x80;
}

static void gue_protocol_udp(struct frame *f)
{
	f->bytes[43] = IPPROTO_UDP;
}

static void gue_other_family(struct frame *f)
{
	f->bytes[43] = IPPROTO_IPV6;
}

static void gue_words_into_the_packet(struct frame *f)
{
	f->bytes[42] |= 0x01;
}

static void gue_words_beyond_the_packet(struct frame *f)
{
	f->bytes[42] |= 0x1f;
}

static void direct_version_5(struct frame *f)
{
	f->bytes[42] = 0x55;
}

static void direct_version_7(struct frame *f)
{
	f->bytes[42] = 0x75;
}

static void udp_too_long(struct frame *f)
{
	f->bytes[39]++;
}

static void udp_too_short(struct frame *f)
{
	f->bytes[39]--;
}

static void udp_without_gue(struct frame *f)
{
	f->bytes[39] = 11;
}

static void udp_less_than_header(struct frame *f)
{
	f->bytes[39] = 7;
}

static void udp_length_zero(struct frame *f)
{
	f->bytes[38] = f->bytes[39] = 0;
}

static void udp6_too_long(struct frame *f)
{
	f->bytes[59]++;
}

static void other_port(struct frame *f)
{
	f->bytes[37]++;
}

static void other_port6(struct frame *f)
{
	f->bytes[57]++;
}

static void from_the_port(struct frame *f)
{
	memcpy(f->bytes + 34, f->bytes + 36, 2);
	f->bytes[37]++;
}

#define GUE_PASSES(text, out, in, how, change, why)                                             \
	{                                                                                       \
		.description = text, .outer = out, .inner = in, .carrier = how, .edit = change, \
		.result = EK_DECAP_##why                                                        \
	}
#define GUE_WORDS(text, out, in, n)                                                         \
	{                                                                                   \
		.description = text, .outer = out, .inner = in, .carrier = GUE, .words = n, \
		.result = EK_DECAP_GUE_IPV##in                                              \
	}
#define GUE_CHECKSUM(text, out, in, how)                                        \
	{                                                                       \
		.description = text, .outer = out, .inner = in, .carrier = how, \
		.checksum = 0xbeef, .result = EK_DECAP_GUE_IPV##in              \
	}

/* What only GUE has. All rows above that need no edit are run inside GUE, too. */
static const struct row gue_rows[] = {
	GUE_WORDS("one word of private data", 4, 4, 1),
	GUE_WORDS("one word of private data, 6-in-6", 6, 6, 1),
	GUE_WORDS("31 words of private data", 4, 6, 31),
	GUE_WORDS("31 words of private data, 4-in-6", 6, 4, 31),
	GUE_CHECKSUM("with a UDP checksum, which is not looked at", 4, 4, GUE),
	GUE_CHECKSUM("with a UDP checksum, IPv6", 6, 6, GUE),
	GUE_CHECKSUM("with a UDP checksum, direct", 4, 6, GUE_DIRECT),
	GUE_PASSES("control message", 4, 4, GUE, gue_control, GUE_OTHER),
	GUE_PASSES("variant 2", 4, 4, GUE, gue_version_2, GUE_OTHER),
	GUE_PASSES("variant 3", 4, 4, GUE, gue_version_3, GUE_OTHER),
	GUE_PASSES("a flag (remote checksum offload)", 4, 4, GUE, gue_flags, GUE_OTHER),
	GUE_PASSES("a flag, IPv6", 6, 6, GUE, gue6_flags, GUE_OTHER),
	GUE_PASSES("UDP inside", 4, 4, GUE, gue_protocol_udp, GUE_OTHER),
	GUE_PASSES("IPv4 called IPv6", 4, 4, GUE, gue_other_family, MALFORMED),
	GUE_PASSES("fields that reach into the packet", 4, 4, GUE, gue_words_into_the_packet,
		   MALFORMED),
	GUE_PASSES("fields that reach beyond the packet", 4, 4, GUE, gue_words_beyond_the_packet,
		   MALFORMED),
	GUE_PASSES("direct, version 5", 4, 4, GUE_DIRECT, direct_version_5, GUE_OTHER),
	GUE_PASSES("direct, version 7", 4, 4, GUE_DIRECT, direct_version_7, GUE_OTHER),
	GUE_PASSES("UDP longer than IP", 4, 4, GUE, udp_too_long, MALFORMED),
	GUE_PASSES("UDP longer than IPv6", 6, 6, GUE, udp6_too_long, MALFORMED),
	GUE_PASSES("UDP shorter than the inner packet", 4, 4, GUE, udp_too_short, MALFORMED),
	GUE_PASSES("UDP too short for GUE", 4, 4, GUE, udp_without_gue, MALFORMED),
	GUE_PASSES("UDP length below its header", 4, 4, GUE, udp_less_than_header, MALFORMED),
	GUE_PASSES("UDP length 0", 4, 4, GUE_DIRECT, udp_length_zero, MALFORMED),
	GUE_PASSES("another port", 4, 4, GUE, other_port, OTHER),
	GUE_PASSES("another port, IPv6", 6, 6, GUE, other_port6, OTHER),
	GUE_PASSES("from the port, not to it", 4, 4, GUE, from_the_port, OTHER),
	GUE_PASSES("TCP to the port", 4, 4, GUE, protocol_tcp, OTHER),
	GUE_PASSES("first fragment", 4, 4, GUE, more_fragments, FRAGMENT),
	GUE_PASSES("last fragment: no port to see", 4, 4, GUE, last_fragment, OTHER),
	GUE_PASSES("outer options: the port is not looked for", 4, 4, GUE, options, OTHER),
	GUE_PASSES("outer checksum wrong", 4, 4, GUE, wrong_checksum, MALFORMED),
	GUE_PASSES("outer longer than the frame", 4, 4, GUE, outer_too_long, MALFORMED),
	GUE_PASSES("outer IPv6 longer than the frame", 6, 6, GUE, outer6_too_long, MALFORMED),
	GUE_PASSES("outer IPv6 of version 5", 6, 6, GUE, outer6_version, MALFORMED),
	GUE_PASSES("v4-mapped source in IPv6", 6, 4, GUE, mapped_source, NOT_ALLOWED),
	GUE_PASSES("destination options before UDP", 6, 6, GUE, next_header_destination_options,
		   OTHER),
	GUE_PASSES("802.1Q", 4, 4, GUE, vlan, OTHER),
};
#define N_GUE_ROWS (sizeof(gue_rows) / sizeof(gue_rows[0]))

/* Row `i` of all there are: as it is, then without an edit inside both kinds of GUE. */
#define N_ALL_ROWS (3 * N_ROWS + N_GUE_ROWS)
static bool row_at(size_t i, struct row *row)
{
	if (i >= 3 * N_ROWS) {
		*row = gue_rows[i - 3 * N_ROWS];
		return true;
	}
	*row = rows[i % N_ROWS];
	row->carrier = i / N_ROWS;
	if (row->carrier != NOTHING && is_decapsulated(row->result))
		row->result += EK_DECAP_GUE_IPV4 - EK_DECAP_IPV4;
	return row->carrier == NOTHING || !row->edit;
}

/* --- running --------------------------------------------------------------------------------- */

static void open_to_all(struct ek_decap_config *c)
{
	c->gue_port = htons(EK_DECAP_GUE_PORT);
}

/* The largest configuration; what the packets of the rows match comes last. */
static void full(struct ek_decap_config *c)
{
	struct ek_decap_config two = {0};

	usual(&two);
	for (unsigned int i = 0; i < 128; i++) {
		c->vip4[i] = i == 127 ? two.vip4[1] : htonl(0x0a800000 + i);
		c->vip6[i] = i == 127 ? two.vip6[1] : two.vip6[0];
	}
	for (unsigned int i = 0; i < 64; i++) {
		c->prefix4[i] = two.prefix4[i == 63];
		c->prefix6[i] = two.prefix6[i == 63];
		address4(&c->dscp4[i], "192.0.2.99");
		address6(&c->dscp6[i], "2001:db8::99");
	}
	c->vips4 = c->vips6 = 128;
	c->allow4 = c->allow6 = 64;
	c->dscps4 = c->dscps6 = 63;
	c->gue_port = two.gue_port;
}

static void rows_with(void (*configure)(struct ek_decap_config *))
{
	struct backend *b = load(configure);
	static struct frame in, expected;

	for (size_t i = 0; i < N_ALL_ROWS; i++) {
		struct row row;

		if (!row_at(i, &row))
			continue;
		build(&in, &row);
		build_expected(&expected, &row, &in);
		check(b, row.description, &in, &expected, row.result);
	}
	backend__destroy(b);
}

static void every_row(void **state)
{
	(void)state;
	rows_with(usual);
}

static void every_row_with_full_tables(void **state)
{
	(void)state;
	rows_with(full);
}

static void without_lists_anybody_and_any_destination(void **state)
{
	static const struct row open[] = {
		{.description = "stranger, 4-in-4",
		 .outer = 4,
		 .inner = 4,
		 .source = STRANGER4,
		 .vip = OTHER4,
		 .result = EK_DECAP_IPV4},
		{.description = "stranger, 6-in-6",
		 .outer = 6,
		 .inner = 6,
		 .source = STRANGER6,
		 .vip = OTHER6,
		 .result = EK_DECAP_IPV6},
		{.description = "stranger, GUE",
		 .outer = 6,
		 .inner = 4,
		 .carrier = GUE,
		 .source = STRANGER6,
		 .vip = OTHER4,
		 .result = EK_DECAP_GUE_IPV4},
	};
	struct backend *b = load(open_to_all);
	static struct frame in, expected;

	(void)state;
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		build(&in, &open[i]);
		build_expected(&expected, &open[i], &in);
		check(b, open[i].description, &in, &expected, open[i].result);
	}
	backend__destroy(b);
}

static void no_gue(struct ek_decap_config *c)
{
	usual(c);
	c->gue_port = 0;
}

static void another_port(struct ek_decap_config *c)
{
	usual(c);
	c->gue_port = htons(5555);
}

static void gue_only_on_its_port(void **state)
{
	struct backend *off = load(no_gue), *other = load(another_port);
	static struct frame in, expected;

	(void)state;
	for (size_t i = N_ROWS; i < N_ALL_ROWS; i++) {
		struct row row;

		if (!row_at(i, &row))
			continue;
		build(&in, &row);
		check(off, row.description, &in, &in, EK_DECAP_OTHER);
		check(other, row.description, &in, &in, EK_DECAP_OTHER);
		if (row.outer != 4 || !is_decapsulated(row.result))
			continue;
		build_expected(&expected, &row, &in);
		memcpy(in.bytes + 36, "\x15\xb3", 2);
		check(other, row.description, &in, &expected, row.result);
	}
	backend__destroy(off);
	backend__destroy(other);
}

/* --- requests for a VIP's MAC ---------------------------------------------------------------- */

static void arp(struct frame *f, unsigned int operation, const char *sender, const char *target)
{
	ethernet(f, 0x0806);
	put(f, "\x00\x01\x08\x00\x06\x04", 6);
	put16(f, operation);
	put(f, "\x06\x77\x88\x99\xaa\xbb", 6);
	put_address(f, sender);
	put(f, "\0\0\0\0\0\0", 6);
	put_address(f, target);
	payload(f, 18);
}

static void icmp6(struct frame *f, unsigned int type, const char *to, const char *target)
{
	ethernet(f, 0x86dd);
	ip6(f, BALANCER6, to, IPPROTO_ICMPV6, 0, 32);
	put8(f, type);
	put8(f, 0);
	put(f, "\xab\xcd\0\0\0\0", 6);
	put_address(f, target);
	put(f, "\x01\x01\x06\x77\x88\x99\xaa\xbb", 8);
}

static const struct {
	const char *description;
	int family;
	unsigned int type; /* ARP operation or ICMPv6 type */
	const char *from_or_to, *target;
	enum ek_decap_result result;
} questions[] = {
	{"ARP request for a VIP", 4, 1, BALANCER4, VIP4, EK_DECAP_ARP_SUPPRESSED},
	{"ARP probe for a VIP (RFC 5227)", 4, 1, "0.0.0.0", VIP4, EK_DECAP_ARP_SUPPRESSED},
	{"gratuitous ARP request of a VIP", 4, 1, VIP4, VIP4, EK_DECAP_ARP_SUPPRESSED},
	{"ARP request for another address", 4, 1, BALANCER4, HOST4, EK_DECAP_OTHER},
	{"ARP request by a VIP", 4, 1, VIP4, HOST4, EK_DECAP_OTHER},
	{"ARP reply to a VIP", 4, 2, BALANCER4, VIP4, EK_DECAP_OTHER},
	{"solicitation for a VIP, multicast", 6, 135, "ff02::1:ff00:10", VIP6,
	 EK_DECAP_ND_SUPPRESSED},
	{"solicitation for a VIP, unicast", 6, 135, VIP6, VIP6, EK_DECAP_ND_SUPPRESSED},
	{"solicitation for another address", 6, 135, "ff02::1:ff00:21", HOST6, EK_DECAP_OTHER},
	{"advertisement of a VIP", 6, 136, "ff02::1", VIP6, EK_DECAP_OTHER},
	{"echo request to a VIP", 6, 128, VIP6, VIP6, EK_DECAP_OTHER},
};
#define N_QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static void build_question(struct frame *f, size_t i)
{
	if (questions[i].family == 4)
		arp(f, questions[i].type, questions[i].from_or_to, questions[i].target);
	else
		icmp6(f, questions[i].type, questions[i].from_or_to, questions[i].target);
}

static void nobody_learns_a_vips_mac_here(void **state)
{
	struct backend *b = load(usual), *open = load(open_to_all);
	static struct frame in;

	(void)state;
	for (size_t i = 0; i < N_QUESTIONS; i++) {
		build_question(&in, i);
		check(b, questions[i].description, &in, &in, questions[i].result);
		check(open, questions[i].description, &in, &in, EK_DECAP_OTHER);
	}
	backend__destroy(b);
	backend__destroy(open);
}

/* --- frames that nobody sends ---------------------------------------------------------------- */

static unsigned int sum16(const uint8_t *bytes, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += bytes[i] << 8 | bytes[i + 1];
	return sum % 0xffff;
}

/* IPv6, UDP and the longest GUE header */
#define SHIFT_MAX (40 + 8 + 4 + 4 * 31)

/* Whether `out` is `in` without `shift` bytes of outer header, the inner ECN field apart. */
static bool is_inner(const struct frame *in, const struct frame *out, size_t shift)
{
	static struct frame inner;
	uint8_t *ip = inner.bytes + ETHERNET;
	const uint8_t *out_ip = out->bytes + ETHERNET;
	size_t header = 4u * (out_ip[0] & 0x0f);

	inner.length = in->length - shift;
	memcpy(inner.bytes, in->bytes, 12);
	memcpy(inner.bytes + 12, out_ip[0] >> 4 == 4 ? "\x08\x00" : "\x86\xdd", 2);
	memcpy(ip, in->bytes + ETHERNET + shift, inner.length - ETHERNET);
	if (out_ip[0] >> 4 == 4) {
		if (sum16(ip, header) != sum16(out_ip, header))
			return false;
		ip[1] = (ip[1] & 0xfc) | (out_ip[1] & 0x03);
		memcpy(ip + 10, out_ip + 10, 2);
	} else {
		ip[1] = (ip[1] & 0xcf) | (out_ip[1] & 0x30);
	}
	return same(&inner, out);
}

static void check_sane(const struct backend *b, const char *description, const struct frame *in)
{
	static struct frame out;
	int verdict = test_run(b, in, &out);
	size_t shift = in->length - out.length;

	if (verdict == XDP_DROP)
		return;
	if (verdict != XDP_PASS)
		fail_msg("%s: verdict %d", description, verdict);
	if (!same(&out, in) && (shift < 20 || shift > SHIFT_MAX || !is_inner(in, &out, shift)))
		fail_msg("%s: a frame out of nothing", description);
}

static void cut_short_at_every_byte(void **state)
{
	struct backend *b = load(usual);
	static struct frame in;

	(void)state;
	for (size_t i = 0; i < N_ALL_ROWS; i++) {
		struct row row;

		if (!row_at(i, &row))
			continue;
		build(&in, &row);
		for (in.length -= row.padding; --in.length >= ETHERNET;) {
			static struct frame out;

			if (test_run(b, &in, &out) != XDP_PASS || !same(&in, &out))
				fail_msg("%s: cut to %zu bytes", row.description, in.length);
		}
	}
	for (size_t i = 0; i < N_QUESTIONS; i++) {
		build_question(&in, i);
		while (--in.length >= ETHERNET)
			check_sane(b, questions[i].description, &in);
	}
	backend__destroy(b);
}

static void every_bit_of_the_headers_flipped(void **state)
{
	const size_t headers = ETHERNET + 40 + 12 + 40;
	struct backend *b = load(usual), *open = load(open_to_all);
	static struct frame in;

	(void)state;
	for (size_t i = 0; i < N_ALL_ROWS; i++) {
		struct row row;

		if (!row_at(i, &row))
			continue;
		build(&in, &row);
		for (size_t bit = 0; bit < 8 * headers && bit < 8 * in.length; bit++) {
			in.bytes[bit / 8] ^= 1 << bit % 8;
			check_sane(b, row.description, &in);
			check_sane(open, row.description, &in);
			in.bytes[bit / 8] ^= 1 << bit % 8;
		}
	}
	backend__destroy(b);
	backend__destroy(open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row),
		cmocka_unit_test(every_row_with_full_tables),
		cmocka_unit_test(without_lists_anybody_and_any_destination),
		cmocka_unit_test(gue_only_on_its_port),
		cmocka_unit_test(nobody_learns_a_vips_mac_here),
		cmocka_unit_test(cut_short_at_every_byte),
		cmocka_unit_test(every_bit_of_the_headers_flipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
