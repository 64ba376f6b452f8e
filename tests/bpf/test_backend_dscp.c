/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/backend.bpf.c under BPF_PROG_TEST_RUN (root) where it restores VIPs from DSCPs (L3DSR): the
 * whole frame, its checksums made from nothing, the verdict and the counter. Each row is also run
 * cut short at every byte, and with every bit of its headers flipped: what comes out is then what
 * went in, or that with another destination, no DSCP and checksums that are as right as before.
 */
#include "backend_fixture.h"

#define DSCP	 12	     /* names VIP4 and VIP6 */
#define NO_DSCP	 64	     /* in a row: 0 in the packet */
#define DSCP_MAX 63	     /* the same, */
#define DSCP_V4	 13	     /* VIP4 only */
#define DSCP_V6	 14	     /* VIP6 only */
#define SECOND4	 "10.0.0.22" /* another own address */

#define ICMP6_ECHO 128

enum part { WHOLE, FIRST, LAST }; /* of a fragmented packet */

struct row {
	const char *description;
	int family;
	unsigned int protocol;
	unsigned int dscp; /* 0: DSCP */
	unsigned int ecn;
	const char *from, *to;	/* NULL: the client, this host */
	unsigned int type;	/* of ICMP */
	size_t options;		/* IPv4: bytes; IPv6: of one destination options header, from 8 */
	unsigned int headers;	/* IPv6: how many such; IPv4: none */
	unsigned int extension; /* their kind if not destination options */
	enum part part;
	unsigned int port; /* the source port; 0: any */
	bool no_checksum;  /* of UDP */
	size_t data;	   /* after the transport header; 0: 24 */
	size_t padding;
	void (*edit)(struct frame *f);
	enum ek_decap_result result;
};

/* --- building frames ------------------------------------------------------------------------- */

static uint32_t sum_bytes(uint32_t sum, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += bytes[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static size_t transport_size(unsigned int protocol)
{
	return protocol == IPPROTO_TCP ? 20 : 8;
}

static size_t checksum_at(unsigned int protocol)
{
	return protocol == IPPROTO_TCP ? 16 : protocol == IPPROTO_UDP ? 6 : 2;
}

/* A whole transport packet with a right checksum, which covers the addresses in `pseudo`. */
static void transport(struct frame *f, const struct row *row, const struct frame *pseudo)
{
	size_t data = row->data ? row->data : 24, at = checksum_at(row->protocol);
	uint32_t sum;

	f->length = 0;
	payload(f, transport_size(row->protocol));
	if (row->protocol == IPPROTO_TCP) {
		f->bytes[12] = 0x50;
		f->bytes[13] = 0x10;
	} else if (row->protocol == IPPROTO_UDP) {
		f->bytes[4] = (8 + data) >> 8;
		f->bytes[5] = (uint8_t)(8 + data);
	} else {
		f->bytes[0] = row->type ? row->type : row->family == 4 ? 8 : ICMP6_ECHO;
	}
	payload(f, data);
	if (row->port) {
		f->bytes[0] = row->port >> 8;
		f->bytes[1] = (uint8_t)row->port;
	}
	f->bytes[at] = f->bytes[at + 1] = 0;
	if (row->no_checksum)
		return;
	sum = row->protocol == IPPROTO_ICMP ? 0 : f->length + row->protocol;
	if (row->protocol != IPPROTO_ICMP)
		sum = sum_bytes(sum, pseudo->bytes, pseudo->length);
	sum = ~sum_bytes(sum, f->bytes, f->length) & 0xffff;
	if (!sum && row->protocol == IPPROTO_UDP)
		sum = 0xffff;
	f->bytes[at] = sum >> 8;
	f->bytes[at + 1] = (uint8_t)sum;
}

static void build4(struct frame *f, const struct row *row, const char *from, const char *to,
		   unsigned int tos, const struct frame *l4, size_t start, size_t end)
{
	uint8_t *header = f->bytes + ETHERNET;

	ethernet(f, 0x0800);
	ip4(f, from, to, row->protocol, tos, row->options + end - start);
	memset(f->bytes + f->length, 1, row->options);
	f->length += row->options;
	header[0] += row->options / 4;
	if (row->part == FIRST)
		header[6] = 0x20;
	if (row->part == LAST)
		header[6] = 0, header[7] = start / 8;
	put_checksum4(header);
	put(f, l4->bytes + start, end - start);
}

static void put_extensions(struct frame *f, const struct row *row, size_t start)
{
	unsigned int kind = row->extension ? row->extension : IPPROTO_DSTOPTS;
	unsigned int fragment = row->part == WHOLE ? row->protocol : IPPROTO_FRAGMENT;

	for (unsigned int i = 0; i < row->headers; i++) {
		put8(f, i + 1 < row->headers ? kind : fragment);
		put8(f, row->options / 8 - 1);
		payload(f, row->options - 2);
	}
	if (row->part == WHOLE)
		return;
	put8(f, row->protocol);
	put8(f, 0);
	put16(f, start | (row->part == FIRST));
	put(f, "\x01\x02\x03\x04", 4);
}

static void build6(struct frame *f, const struct row *row, const char *from, const char *to,
		   unsigned int tos, const struct frame *l4, size_t start, size_t end)
{
	unsigned int kind = row->extension ? row->extension : IPPROTO_DSTOPTS;
	unsigned int last = row->part == WHOLE ? row->protocol : IPPROTO_FRAGMENT;
	size_t extensions = row->headers * row->options + (row->part == WHOLE ? 0 : 8);

	ethernet(f, 0x86dd);
	ip6(f, from, to, row->headers ? kind : last, tos, extensions + end - start);
	put_extensions(f, row, start);
	put(f, l4->bytes + start, end - start);
}

/* The packet as it is sent to `to`. Fragments are cut at 24 bytes. */
static void build_to(struct frame *f, const struct row *row, const char *to, unsigned int tos)
{
	const char *from = row->from ? row->from : row->family == 4 ? CLIENT4 : CLIENT6;
	struct frame pseudo = {0};
	static struct frame l4;
	size_t start = row->part == LAST ? 24 : 0, end;

	put_address(&pseudo, from);
	put_address(&pseudo, to);
	transport(&l4, row, &pseudo);
	end = row->part == FIRST ? 24 : l4.length;
	if (row->family == 4)
		build4(f, row, from, to, tos, &l4, start, end);
	else
		build6(f, row, from, to, tos, &l4, start, end);
	payload(f, row->padding);
	if (row->edit)
		row->edit(f);
}

static void build(struct frame *f, const struct row *row)
{
	unsigned int dscp = row->dscp ? row->dscp % NO_DSCP : DSCP;
	const char *host = row->family == 4 ? HOST4 : HOST6;

	build_to(f, row, row->to ? row->to : host, dscp << 2 | row->ecn);
}

static bool is_restored(enum ek_decap_result result)
{
	return result == EK_DECAP_DSCP_IPV4 || result == EK_DECAP_DSCP_IPV6;
}

static void build_expected(struct frame *f, const struct row *row, const struct frame *input)
{
	if (is_restored(row->result))
		build_to(f, row, row->family == 4 ? VIP4 : VIP6, row->ecn);
	else
		*f = *input;
}

/* --- rows ------------------------------------------------------------------------------------ */

static void edit4(struct frame *f, size_t at, unsigned int value)
{
	f->bytes[at] = value;
	put_checksum4(f->bytes + ETHERNET);
}

static void ihl_4(struct frame *f)
{
	f->bytes[14] = 0x44;
}

static void version_5(struct frame *f)
{
	edit4(f, 14, 0x55);
}

static void longer_than_frame(struct frame *f)
{
	edit4(f, 17, f->bytes[17] + 1);
}

static void shorter_than_header(struct frame *f)
{
	edit4(f, 17, 19);
}

static void shorter_than_tcp(struct frame *f)
{
	edit4(f, 17, 39);
}

static void shorter_than_udp(struct frame *f)
{
	edit4(f, 17, 27);
}

static void longer_than_frame6(struct frame *f)
{
	f->bytes[19]++;
}

static void shorter_than_tcp6(struct frame *f)
{
	f->bytes[19] = 19;
}

static void no_payload6(struct frame *f)
{
	f->bytes[19] = 0;
}

static void version_5_under_6(struct frame *f)
{
	f->bytes[14] = 0x50 | (f->bytes[14] & 0x0f);
}

static void extension_beyond_packet(struct frame *f)
{
	f->bytes[55] = 9;
}

/* What looks like options in the middle of a packet is data. */
static void last_fragment_of_options(struct frame *f)
{
	f->bytes[54] = IPPROTO_DSTOPTS;
	f->bytes[62] = IPPROTO_TCP;
	f->bytes[63] = 0;
}

static void ipv6_icmp_in_4(struct frame *f)
{
	edit4(f, 23, IPPROTO_ICMPV6);
}

static void icmp_in_6(struct frame *f)
{
	f->bytes[20] = IPPROTO_ICMP;
}

static void mapped_destination(struct frame *f) /* ::ffff:10.0.0.21 */
{
	memcpy(f->bytes + ETHERNET + 24, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x00\x00\x15", 16);
}

static void vlan(struct frame *f)
{
	memmove(f->bytes + 16, f->bytes + 12, f->length - 12);
	memcpy(f->bytes + 12, "\x81\x00\x00\x05", 4);
	f->length += 4;
}

static void to_gue_port(struct frame *f) /* and the checksum as it is then */
{
	size_t at = f->bytes[12] == 0x86 ? 54 : 34;
	uint32_t sum = f->bytes[at + 6] << 8 | f->bytes[at + 7];

	sum = (~sum & 0xffff) + (~(f->bytes[at + 2] << 8 | f->bytes[at + 3]) & 0xffff) + 6080;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	memcpy(f->bytes + at + 2, "\x17\xc0", 2);
	f->bytes[at + 6] = (uint8_t)(sum >> 8);
	f->bytes[at + 7] = (uint8_t)sum;
}

#define ROW(text, ip, l4, ...)                                                             \
	{                                                                                  \
		.description = text, .family = ip, .protocol = IPPROTO_##l4, ##__VA_ARGS__ \
	}
#define RESTORED(text, ip, l4, ...) \
	ROW(text, ip, l4, .result = EK_DECAP_DSCP_IPV##ip, ##__VA_ARGS__)
#define PASSES(text, ip, l4, why, ...) ROW(text, ip, l4, .result = EK_DECAP_##why, ##__VA_ARGS__)
#define EACH_ECN(ip, l4)                                                    \
	RESTORED(#l4 " over IPv" #ip ", not ECT", ip, l4),                  \
		RESTORED(#l4 " over IPv" #ip ", ECT(1)", ip, l4, .ecn = 1), \
		RESTORED(#l4 " over IPv" #ip ", ECT(0)", ip, l4, .ecn = 2), \
		RESTORED(#l4 " over IPv" #ip ", CE", ip, l4, .ecn = 3),     \
		RESTORED(#l4 " over IPv" #ip ", odd length", ip, l4, .data = 7)

static const struct row rows[] = {
	EACH_ECN(4, TCP),
	EACH_ECN(4, UDP),
	EACH_ECN(4, ICMP),
	EACH_ECN(6, TCP),
	EACH_ECN(6, UDP),
	EACH_ECN(6, ICMPV6),
	RESTORED("the highest DSCP", 4, TCP, .dscp = DSCP_MAX),
	RESTORED("the highest DSCP, IPv6", 6, TCP, .dscp = DSCP_MAX),
	RESTORED("a DSCP of IPv4 only", 4, TCP, .dscp = DSCP_V4),
	RESTORED("a DSCP of IPv6 only", 6, TCP, .dscp = DSCP_V6),
	PASSES("a DSCP of IPv6 only, in IPv4", 4, TCP, OTHER, .dscp = DSCP_V6),
	PASSES("a DSCP of IPv4 only, in IPv6", 6, TCP, OTHER, .dscp = DSCP_V4),
	PASSES("no DSCP", 4, TCP, OTHER, .dscp = NO_DSCP),
	PASSES("no DSCP, IPv6", 6, TCP, OTHER, .dscp = NO_DSCP),
	PASSES("no DSCP, but CE", 4, TCP, OTHER, .dscp = NO_DSCP, .ecn = 3),
	PASSES("another DSCP", 4, TCP, OTHER, .dscp = 11),
	PASSES("another DSCP, IPv6", 6, TCP, OTHER, .dscp = 11),
	RESTORED("from a balancer", 4, TCP, .from = BALANCER4),
	RESTORED("UDP without a checksum", 4, UDP, .no_checksum = true),
	RESTORED("UDP without a checksum, IPv6", 6, UDP, .no_checksum = true),
	RESTORED("four bytes of options", 4, TCP, .options = 4),
	RESTORED("forty bytes of options", 4, UDP, .options = 40),
	RESTORED("padding after a small packet stays", 4, UDP, .padding = 6, .data = 4),
	RESTORED("full-size packet", 4, TCP, .data = 1440),
	RESTORED("jumbo frame in several buffers", 6, TCP, .data = 8900),
	RESTORED("first fragment", 4, TCP, .part = FIRST, .data = 64),
	RESTORED("last fragment", 4, TCP, .part = LAST, .data = 64),
	RESTORED("last fragment of UDP", 4, UDP, .part = LAST, .data = 64),
	RESTORED("last fragment of ICMP, options", 4, ICMP, .part = LAST, .data = 64, .options = 8),
	RESTORED("first fragment, IPv6", 6, TCP, .part = FIRST, .data = 64),
	RESTORED("last fragment, IPv6", 6, UDP, .part = LAST, .data = 64),
	RESTORED("last fragment of an echo request, IPv6", 6, ICMPV6, .part = LAST, .data = 64),
	RESTORED("destination options", 6, TCP, .headers = 1, .options = 8),
	RESTORED("long destination options", 6, UDP, .headers = 1, .options = 264),
	RESTORED("four headers", 6, TCP, .headers = 4, .options = 16),
	RESTORED("hop-by-hop options", 6, ICMPV6, .headers = 1, .options = 8,
		 .extension = IPPROTO_HOPOPTS),
	RESTORED("options and a fragment header", 6, TCP, .headers = 1, .options = 8, .part = FIRST,
		 .data = 64),
	RESTORED("options before a last fragment", 6, TCP, .headers = 3, .options = 8, .part = LAST,
		 .data = 64),
	PASSES("last fragment of a packet with options in its fragments", 6, TCP, DSCP_OTHER,
	       .part = LAST, .data = 64, .edit = last_fragment_of_options),
	PASSES("five headers", 6, TCP, DSCP_OTHER, .headers = 5, .options = 8),
	PASSES("routing header", 6, TCP, DSCP_OTHER, .headers = 1, .options = 8,
	       .extension = IPPROTO_ROUTING),
	PASSES("authentication header", 6, TCP, DSCP_OTHER, .headers = 1, .options = 8,
	       .extension = IPPROTO_AH),
	RESTORED("ICMP error", 4, ICMP, .type = 3),
	RESTORED("ICMPv6 packet too big", 6, ICMPV6, .type = 2),
	RESTORED("ICMPv6 parameter problem", 6, ICMPV6, .type = 4),
	RESTORED("ICMPv6 echo reply", 6, ICMPV6, .type = 129),
	PASSES("neighbour solicitation", 6, ICMPV6, OTHER, .type = 135),
	PASSES("neighbour advertisement", 6, ICMPV6, OTHER, .type = 136),
	PASSES("router advertisement", 6, ICMPV6, OTHER, .type = 134),
	PASSES("multicast listener report", 6, ICMPV6, OTHER, .type = 143),
	PASSES("ICMPv6 of type 5", 6, ICMPV6, OTHER, .type = 5),
	PASSES("ESP", 4, ESP, DSCP_OTHER),
	PASSES("GRE", 4, GRE, DSCP_OTHER),
	PASSES("SCTP, IPv6", 6, SCTP, DSCP_OTHER),
	PASSES("ICMPv6 in IPv4", 4, ICMP, DSCP_OTHER, .edit = ipv6_icmp_in_4),
	PASSES("ICMP in IPv6", 6, ICMPV6, DSCP_OTHER, .edit = icmp_in_6),
	RESTORED("to another own address", 4, TCP, .to = SECOND4),
	PASSES("to a VIP already", 4, TCP, OTHER, .to = VIP4),
	PASSES("to a VIP already, IPv6", 6, TCP, OTHER, .to = VIP6),
	PASSES("to another host", 4, TCP, OTHER, .to = "10.0.0.23"),
	PASSES("to another host, IPv6", 6, TCP, OTHER, .to = "2001:db8:ff::22"),
	PASSES("multicast", 4, UDP, OTHER, .to = "224.0.0.251"),
	PASSES("multicast, IPv6", 6, UDP, OTHER, .to = "ff02::fb"),
	PASSES("to the own address, v4-mapped", 6, TCP, OTHER, .edit = mapped_destination),
	PASSES("IHL below 5", 4, TCP, MALFORMED, .edit = ihl_4),
	PASSES("version 5", 4, TCP, MALFORMED, .edit = version_5),
	PASSES("longer than the frame", 4, TCP, MALFORMED, .edit = longer_than_frame),
	PASSES("shorter than its header", 4, TCP, MALFORMED, .edit = shorter_than_header),
	PASSES("no room for TCP", 4, TCP, MALFORMED, .edit = shorter_than_tcp),
	PASSES("no room for UDP", 4, UDP, MALFORMED, .edit = shorter_than_udp),
	PASSES("no room for ICMP", 4, ICMP, MALFORMED, .edit = shorter_than_udp),
	PASSES("longer than the frame, IPv6", 6, TCP, MALFORMED, .edit = longer_than_frame6),
	PASSES("no room for TCP, IPv6", 6, TCP, MALFORMED, .edit = shorter_than_tcp6),
	PASSES("no payload, IPv6", 6, UDP, MALFORMED, .edit = no_payload6),
	PASSES("version 5 as IPv6", 6, TCP, MALFORMED, .edit = version_5_under_6),
	PASSES("destination options beyond the packet", 6, TCP, MALFORMED, .headers = 1,
	       .options = 8, .edit = extension_beyond_packet, .padding = 64),
	PASSES("802.1Q", 4, TCP, OTHER, .edit = vlan),
	RESTORED("UDP to the port of GUE, from a client", 4, UDP, .edit = to_gue_port),
	RESTORED("UDP to the port of GUE, from a client, IPv6", 6, UDP, .edit = to_gue_port),
	RESTORED("its first fragment", 4, UDP, .edit = to_gue_port, .part = FIRST, .data = 64),
	PASSES("the same without a DSCP", 4, UDP, NOT_ALLOWED, .edit = to_gue_port,
	       .dscp = NO_DSCP),
	PASSES("the same without a DSCP, IPv6", 6, UDP, NOT_ALLOWED, .edit = to_gue_port,
	       .dscp = NO_DSCP),
	PASSES("what a balancer sends there is GUE", 4, UDP, GUE_OTHER, .edit = to_gue_port,
	       .from = BALANCER4),
	PASSES("what a balancer sends there is GUE, IPv6", 6, UDP, GUE_OTHER, .edit = to_gue_port,
	       .from = BALANCER6),
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

/* --- running --------------------------------------------------------------------------------- */

/* The usual lists, so that clients are in no --allow prefix. */
static void mapped(struct ek_decap_config *c)
{
	static const unsigned int ids4[] = {DSCP, DSCP_V4, DSCP_MAX};
	static const unsigned int ids6[] = {DSCP, DSCP_V6, DSCP_MAX};

	usual(c);
	for (size_t i = 0; i < 3; i++) {
		address4(&c->dscp4[ids4[i]], VIP4);
		address6(&c->dscp6[ids6[i]], VIP6);
	}
	c->dscps4 = c->dscps6 = 3;
}

static struct backend *load_mapped(void)
{
	static const char *const own[] = {HOST4, SECOND4, HOST6};
	struct backend *b = load(mapped);
	const uint8_t yes = 1;
	struct ek_ip key;

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(ek_ip_parse(own[i], &key), 0);
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(b->maps.own), &key, &yes, 0), 0);
	}
	return b;
}

static void every_row(void **state)
{
	struct backend *b = load_mapped();
	static struct frame in, expected;

	(void)state;
	for (size_t i = 0; i < N_ROWS; i++) {
		build(&in, &rows[i]);
		build_expected(&expected, &rows[i], &in);
		check(b, rows[i].description, &in, &expected, rows[i].result);
	}
	backend__destroy(b);
}

static void without_a_map_nothing_is_restored(void **state)
{
	struct backend *b = load(usual);
	const uint8_t yes = 1;
	static struct frame in;
	struct ek_ip host;

	(void)state;
	assert_int_equal(ek_ip_parse(HOST4, &host), 0);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(b->maps.own), &host, &yes, 0), 0);
	for (size_t i = 0; i < N_ROWS; i++) {
		if (rows[i].edit == to_gue_port)
			continue;
		build(&in, &rows[i]);
		check(b, rows[i].description, &in, &in, EK_DECAP_OTHER);
	}
	backend__destroy(b);
}

static unsigned int udp_checksum(const struct frame *f, int family)
{
	size_t at = (family == 4 ? 34 : 54) + 6;

	return f->bytes[at] << 8 | f->bytes[at + 1];
}

/* A checksum that comes out as 0 is sent as 0xffff in UDP, where 0 is none. */
static void udp_checksum_never_becomes_none(void **state)
{
	static struct row both[] = {RESTORED("checksum 0xffff", 4, UDP),
				    RESTORED("checksum 0xffff, IPv6", 6, UDP)};
	struct backend *b = load_mapped();
	static struct frame in, expected;

	(void)state;
	for (struct row *row = both; row < both + 2; row++) {
		do {
			row->port++;
			build_expected(&expected, row, NULL);
		} while (udp_checksum(&expected, row->family) != 0xffff && row->port < 0xffff);
		assert_int_equal(udp_checksum(&expected, row->family), 0xffff);
		build(&in, row);
		check(b, row->description, &in, &expected, row->result);
	}
	backend__destroy(b);
}

/* What a balancer copies to the outer header of a tunnel is not an address. */
static void the_dscp_of_a_tunnel_means_nothing(void **state)
{
	struct backend *b = load_mapped();
	static struct frame in, expected;

	(void)state;
	ethernet(&expected, 0x0800);
	ip4(&expected, CLIENT4, VIP4, IPPROTO_TCP, DSCP << 2, 24);
	payload(&expected, 24);

	ethernet(&in, 0x0800);
	ip4(&in, BALANCER4, HOST4, IPPROTO_IPIP, DSCP << 2, 44);
	put(&in, expected.bytes + ETHERNET, 44);
	check(b, "IP in IP", &in, &expected, EK_DECAP_IPV4);

	ethernet(&in, 0x0800);
	ip4(&in, BALANCER4, HOST4, IPPROTO_UDP, DSCP << 2, 52);
	put(&in, "\xc1\x23\x17\xc0\x00\x34\0\0", 8);
	put(&in, expected.bytes + ETHERNET, 44);
	check(b, "GUE", &in, &expected, EK_DECAP_GUE_IPV4);
	backend__destroy(b);
}

/* --- frames that nobody sends ---------------------------------------------------------------- */

/* How many 16-bit words differ, and whether their sums from `at` on are congruent. */
static bool compensated(const struct frame *a, const struct frame *b, size_t at)
{
	return sum_bytes(0, a->bytes + at, a->length - at) % 0xffff ==
	       sum_bytes(0, b->bytes + at, b->length - at) % 0xffff;
}

static size_t changes(const struct frame *a, const struct frame *b, size_t from)
{
	size_t n = 0;

	for (size_t i = from; i < a->length; i++)
		n += a->bytes[i] != b->bytes[i];
	return n;
}

static bool is_restored4(const struct frame *in, const struct frame *out)
{
	struct frame vip = {0};
	const uint8_t *a = in->bytes + ETHERNET, *b = out->bytes + ETHERNET;
	size_t size = 4u * (a[0] & 0x0f);
	bool covered = changes(in, out, ETHERNET + size);

	put_address(&vip, VIP4);
	return a[0] == b[0] && b[1] == (a[1] & 3) && !memcmp(a + 2, b + 2, 8) &&
	       !memcmp(a + 12, b + 12, 4) && !memcmp(b + 16, vip.bytes, 4) &&
	       sum_bytes(0, a, size) % 0xffff == sum_bytes(0, b, size) % 0xffff &&
	       changes(in, out, ETHERNET + size) <= 2 &&
	       (!covered || compensated(in, out, ETHERNET + 16));
}

static bool is_restored6(const struct frame *in, const struct frame *out)
{
	struct frame vip = {0};
	const uint8_t *a = in->bytes + ETHERNET, *b = out->bytes + ETHERNET;
	bool covered = changes(in, out, ETHERNET + 40);

	put_address(&vip, VIP6);
	return b[0] == 0x60 && b[1] == (a[1] & 0x3f) && !memcmp(a + 2, b + 2, 22) &&
	       !memcmp(b + 24, vip.bytes, 16) && changes(in, out, ETHERNET + 40) <= 2 &&
	       (!covered || compensated(in, out, ETHERNET + 24));
}

static void check_sane(const struct backend *b, const char *description, const struct frame *in)
{
	static struct frame out;
	int verdict = test_run(b, in, &out);

	if (verdict != XDP_PASS)
		fail_msg("%s: verdict %d", description, verdict);
	if (same(in, &out))
		return;
	if (out.length != in->length || memcmp(out.bytes, in->bytes, ETHERNET) ||
	    !(in->bytes[12] == 0x08 ? is_restored4 : is_restored6)(in, &out))
		fail_msg("%s: a frame out of nothing", description);
}

static void cut_short_at_every_byte(void **state)
{
	struct backend *b = load_mapped();
	static struct frame in, out;

	(void)state;
	for (size_t i = 0; i < N_ROWS; i++) {
		build(&in, &rows[i]);
		for (in.length -= rows[i].padding; --in.length >= ETHERNET;) {
			if (rows[i].result != EK_DECAP_MALFORMED &&
			    (test_run(b, &in, &out) != XDP_PASS || !same(&in, &out)))
				fail_msg("%s: cut to %zu bytes", rows[i].description, in.length);
			check_sane(b, rows[i].description, &in);
		}
	}
	backend__destroy(b);
}

static void every_bit_of_the_headers_flipped(void **state)
{
	const size_t headers = ETHERNET + 40 + 40 + 20;
	struct backend *b = load_mapped();
	static struct frame in;

	(void)state;
	for (size_t i = 0; i < N_ROWS; i++) {
		build(&in, &rows[i]);
		for (size_t bit = 8 * 12; bit < 8 * headers && bit < 8 * in.length; bit++) {
			in.bytes[bit / 8] ^= 1 << bit % 8;
			check_sane(b, rows[i].description, &in);
			in.bytes[bit / 8] ^= 1 << bit % 8;
		}
	}
	backend__destroy(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row),
		cmocka_unit_test(without_a_map_nothing_is_restored),
		cmocka_unit_test(udp_checksum_never_becomes_none),
		cmocka_unit_test(the_dscp_of_a_tunnel_means_nothing),
		cmocka_unit_test(cut_short_at_every_byte),
		cmocka_unit_test(every_bit_of_the_headers_flipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
