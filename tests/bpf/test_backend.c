/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/backend.bpf.c under BPF_PROG_TEST_RUN (root): what goes in, and the whole frame, the verdict
 * and the counter that come out. Each row is also run cut short at every byte, and with every bit
 * of its headers flipped: what comes out is then what went in, or that without its outer header.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <cmocka.h>
#include <evenkeel/backend_abi.h>
#include "ip.h"
#include "backend.skel.h"

#define ETHERNET  14
#define FRAME_MAX 9100
#define CPUS_MAX  512

#define BALANCER4 "10.0.0.1"
#define BALANCER6 "2001:db8:ff::1"
#define STRANGER4 "10.0.1.1"
#define STRANGER6 "2001:db8:fe::1"
#define HOST4	  "10.0.0.21"
#define HOST6	  "2001:db8:ff::21"
#define CLIENT4	  "198.51.100.7"
#define CLIENT6	  "2001:db8:1::7"
#define VIP4	  "192.0.2.10"
#define VIP6	  "2001:db8::10"
#define OTHER4	  "192.0.2.11"
#define OTHER6	  "2001:db8::11"

enum { NOT_ECT, ECT_1, ECT_0, CE };

struct frame {
	size_t length;
	uint8_t bytes[FRAME_MAX];
};

/* --- building frames ------------------------------------------------------------------------- */

static void put(struct frame *f, const void *bytes, size_t n)
{
	memcpy(f->bytes + f->length, bytes, n);
	f->length += n;
}

static void put8(struct frame *f, unsigned int value)
{
	f->bytes[f->length++] = value;
}

static void put16(struct frame *f, unsigned int value)
{
	put8(f, value >> 8);
	put8(f, value & 0xff);
}

static void put_address(struct frame *f, const char *text)
{
	struct ek_ip ip;

	assert_int_equal(ek_ip_parse(text, &ip), 0);
	if (ek_ip_is_v4(&ip))
		put(f, &ip.bytes[12], 4);
	else
		put(f, ip.bytes, 16);
}

/* RFC 1071, the plain way. */
static void put_checksum4(uint8_t *header)
{
	size_t words = (header[0] & 0x0f) * 2;
	uint32_t sum = 0;

	header[10] = header[11] = 0;
	for (size_t i = 0; i < words; i++)
		sum += header[2 * i] << 8 | header[2 * i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	header[10] = (uint8_t)(~sum >> 8);
	header[11] = (uint8_t)~sum;
}

static void ethernet(struct frame *f, unsigned int type)
{
	f->length = 0;
	put(f, "\x02\x11\x22\x33\x44\x55\x06\x77\x88\x99\xaa\xbb", 12);
	put16(f, type);
}

static void ip4(struct frame *f, const char *from, const char *to, unsigned int protocol,
		unsigned int tos, size_t payload)
{
	uint8_t *header = f->bytes + f->length;

	put8(f, 0x45);
	put8(f, tos);
	put16(f, 20 + payload);
	put16(f, 0x1234);
	put16(f, 0x4000);
	put8(f, 63);
	put8(f, protocol);
	put16(f, 0);
	put_address(f, from);
	put_address(f, to);
	put_checksum4(header);
}

static void ip6(struct frame *f, const char *from, const char *to, unsigned int next,
		unsigned int class, size_t payload)
{
	put8(f, 0x60 | class >> 4);
	put8(f, (class & 0x0f) << 4 | 0x0a);
	put16(f, 0xbcde);
	put16(f, payload);
	put8(f, next);
	put8(f, 62);
	put_address(f, from);
	put_address(f, to);
}

static void payload(struct frame *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put8(f, 0xc0 + i % 61);
}

/* --- rows ------------------------------------------------------------------------------------ */

struct row {
	const char *description;
	int outer, inner;	       /* 4, 6; inner 0: not a tunnel */
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

static void build(struct frame *f, const struct row *row)
{
	size_t length = (row->inner == 4 ? 20 : 40) + (row->data ? row->data : 24);
	unsigned int protocol = row->inner == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;

	ethernet(f, row->outer == 4 ? 0x0800 : 0x86dd);
	if (row->outer == 4)
		ip4(f, row->source ? row->source : BALANCER4, HOST4, protocol, row->tos, length);
	else
		ip6(f, row->source ? row->source : BALANCER6, HOST6, protocol, row->tos, length);
	build_inner(f, row, row->inner_tos);
	payload(f, row->padding);
	if (row->edit)
		row->edit(f);
}

static bool is_decapsulated(enum ek_decap_result result)
{
	return result == EK_DECAP_IPV4 || result == EK_DECAP_IPV6;
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

/* --- running --------------------------------------------------------------------------------- */

static void address4(__be32 *out, const char *text)
{
	assert_int_equal(inet_pton(AF_INET, text, out), 1);
}

static void address6(struct ek_ip *out, const char *text)
{
	assert_int_equal(inet_pton(AF_INET6, text, out), 1);
}

static struct backend *load(void (*configure)(struct ek_decap_config *))
{
	struct backend *skeleton = backend__open();

	assert_non_null(skeleton);
	configure((struct ek_decap_config *)&skeleton->rodata->config);
	assert_int_equal(backend__load(skeleton), 0);
	return skeleton;
}

/* Balancers 10.0.0.0/24 and 2001:db8:ff::/48, each second in its list; the two VIPs. */
static void usual(struct ek_decap_config *c)
{
	c->vips4 = c->vips6 = c->allow4 = c->allow6 = 2;
	address4(&c->vip4[0], "192.0.2.1");
	address4(&c->vip4[1], VIP4);
	address6(&c->vip6[0], "2001:db8:10::");
	address6(&c->vip6[1], VIP6);
	address4(&c->prefix4[0].network, "172.16.0.1");
	address4(&c->prefix4[0].mask, "255.255.255.255");
	address4(&c->prefix4[1].network, "10.0.0.0");
	address4(&c->prefix4[1].mask, "255.255.255.0");
	address6(&c->prefix6[0].network, "2001:db8:fd::1");
	memset(&c->prefix6[0].mask, 0xff, 16);
	address6(&c->prefix6[1].network, "2001:db8:ff::");
	address6(&c->prefix6[1].mask, "ffff:ffff:ffff::");
}

static void open_to_all(struct ek_decap_config *c)
{
	(void)c;
}

/* The largest configuration; what the packets of the rows match comes last. */
static void full(struct ek_decap_config *c)
{
	struct ek_decap_config two = {0};

	usual(&two);
	for (unsigned int i = 0; i < 64; i++) {
		c->vip4[i] = i == 63 ? two.vip4[1] : htonl(0x0a800000 + i);
		c->vip6[i] = i == 63 ? two.vip6[1] : two.vip6[0];
		c->prefix4[i] = two.prefix4[i == 63];
		c->prefix6[i] = two.prefix6[i == 63];
	}
	c->vips4 = c->vips6 = c->allow4 = c->allow6 = 64;
}

static uint64_t count(const struct backend *b, enum ek_decap_result result)
{
	uint64_t row[CPUS_MAX], sum = 0;
	uint32_t key = result;
	int cpus = libbpf_num_possible_cpus();

	assert_in_range(cpus, 1, CPUS_MAX);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(b->maps.results), &key, row), 0);
	for (int i = 0; i < cpus; i++)
		sum += row[i];
	return sum;
}

static uint64_t count_all(const struct backend *b)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < EK_DECAP_RESULT_COUNT; i++)
		sum += count(b, i);
	return sum;
}

static int test_run(const struct backend *b, const struct frame *in, struct frame *out)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->bytes, .data_size_in = in->length,
		    .data_out = out->bytes, .data_size_out = sizeof(out->bytes), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(b->progs.evenkeel_backend), &opts),
			 0);
	out->length = opts.data_size_out;
	return opts.retval;
}

static bool same(const struct frame *a, const struct frame *b)
{
	return a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

static void check(const struct backend *b, const char *description, const struct frame *in,
		  const struct frame *expected, enum ek_decap_result result)
{
	uint64_t before = count(b, result), all = count_all(b);
	bool counted = result != EK_DECAP_OTHER;
	static struct frame out;
	int verdict = test_run(b, in, &out);

	if (verdict != (result >= EK_DECAP_FIRST_DROP ? XDP_DROP : XDP_PASS))
		fail_msg("%s: verdict %d", description, verdict);
	if (count(b, result) != before + counted || count_all(b) != all + counted)
		fail_msg("%s: not counted as expected", description);
	if (verdict == XDP_PASS && !same(&out, expected))
		fail_msg("%s: another frame than expected", description);
}

static void rows_with(void (*configure)(struct ek_decap_config *))
{
	struct backend *b = load(configure);
	static struct frame in, expected;

	for (size_t i = 0; i < N_ROWS; i++) {
		build(&in, &rows[i]);
		build_expected(&expected, &rows[i], &in);
		check(b, rows[i].description, &in, &expected, rows[i].result);
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
	if (!same(&out, in) && ((shift != 20 && shift != 40) || !is_inner(in, &out, shift)))
		fail_msg("%s: a frame out of nothing", description);
}

static void cut_short_at_every_byte(void **state)
{
	struct backend *b = load(usual);
	static struct frame in;

	(void)state;
	for (size_t i = 0; i < N_ROWS; i++) {
		build(&in, &rows[i]);
		for (in.length -= rows[i].padding; --in.length >= ETHERNET;) {
			static struct frame out;

			if (test_run(b, &in, &out) != XDP_PASS || !same(&in, &out))
				fail_msg("%s: cut to %zu bytes", rows[i].description, in.length);
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
	const size_t headers = ETHERNET + 40 + 40;
	struct backend *b = load(usual), *open = load(open_to_all);
	static struct frame in;

	(void)state;
	for (size_t i = 0; i < N_ROWS; i++) {
		build(&in, &rows[i]);
		for (size_t bit = 0; bit < 8 * headers && bit < 8 * in.length; bit++) {
			in.bytes[bit / 8] ^= 1 << bit % 8;
			check_sane(b, rows[i].description, &in);
			check_sane(open, rows[i].description, &in);
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
		cmocka_unit_test(nobody_learns_a_vips_mac_here),
		cmocka_unit_test(cut_short_at_every_byte),
		cmocka_unit_test(every_bit_of_the_headers_flipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
