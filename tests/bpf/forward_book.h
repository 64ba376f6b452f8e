/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The forwarding methods, the ports that frames leave by, and what expected() puts together from
 * the RFCs for any packet by any of them; and holds(), which only reads a frame and computes every
 * checksum in it once more. Included once, by test_forward.c and test_forward_unusual.c.
 */
#ifndef EVENKEEL_TESTS_FORWARD_BOOK_H
#define EVENKEEL_TESTS_FORWARD_BOOK_H

#define FRAME_MAX 9216
#include "balancer_fixture.h"

#define GUE_PORT  6080
#define TOS_ID	  37u
#define TAG_OUTER 0x0123
#define TAG_INNER 0x0456
#define GUE_FIRST 49152u

/* --- methods and ports -------------------------------------------------------------------------
 */

static const struct method {
	const char *name;
	enum ek_forward forward;
	int outer; /* family of the backend; 0: the packet's */
	unsigned int gue_header;
} methods[] = {
	{"ipip over IPv4", EK_FORWARD_IPIP, 4, 0},
	{"ipip over IPv6", EK_FORWARD_IPIP6, 6, 0},
	{"gue over IPv4", EK_FORWARD_GUE, 4, 4},
	{"gue over IPv6", EK_FORWARD_GUE6, 6, 4},
	{"direct gue over IPv4", EK_FORWARD_GUE, 4, 0},
	{"direct gue over IPv6", EK_FORWARD_GUE6, 6, 0},
	{"tos", EK_FORWARD_TOS, 0, 0},
	{"l2", EK_FORWARD_L2, 0, 0},
	{"l2 to an IPv4 backend", EK_FORWARD_L2, 4, 0},
	{"l2 to an IPv6 backend", EK_FORWARD_L2, 6, 0},
	{"local", EK_FORWARD_LOCAL, 0, 0},
};
#define N_METHODS (sizeof(methods) / sizeof(methods[0]))

static const struct way_out {
	const char *name;
	unsigned int port, ifindex;
	unsigned int n_tags;
	int verdict;
} ways_out[] = {
	{"own port", OWN_PORT, 1, 0, XDP_TX},
	{"another interface", EGRESS_PORT, 2, 0, XDP_REDIRECT},
	{"a VLAN of another interface", EGRESS_PORT, 2, 1, XDP_REDIRECT},
	{"QinQ of another interface", EGRESS_PORT, 2, 2, XDP_REDIRECT},
	{"a VLAN of the same interface", EGRESS_PORT, 1, 1, XDP_TX},
	{"QinQ of the same interface", EGRESS_PORT, 1, 2, XDP_TX},
};
#define N_WAYS_OUT (sizeof(ways_out) / sizeof(ways_out[0]))

/* --- checksums, computed from the beginning (RFC 1071) --------------------------------------- */

static inline uint32_t sum_bytes(uint32_t sum, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? bytes[i] : bytes[i] << 8;
	return sum;
}

/* 0 if it holds; in ones' complement 0xffff is 0. */
static inline unsigned int residue(uint32_t sum)
{
	return sum % 0xffff;
}

/* Of a packet's transport header and data, with the pseudo-header. */
static inline unsigned int transport_residue(const uint8_t *ip, size_t at, size_t length,
					     unsigned int protocol)
{
	const bool six = ip[0] >> 4 == 6;
	uint32_t sum = sum_bytes(0, ip + (six ? 8 : 12), six ? 32 : 8);

	return residue(sum_bytes(sum + protocol + (length - at), ip + at, length - at));
}

static inline size_t packet_length(const uint8_t *ip)
{
	return ip[0] >> 4 == 6 ? 40 + (ip[4] << 8 | ip[5]) : ip[2] << 8 | ip[3];
}

/* Where the transport header is; 0: there is none, for this is a later fragment. */
static inline size_t transport_of(const uint8_t *ip, unsigned int *protocol)
{
	size_t at = 40;

	if (ip[0] >> 4 == 4) {
		*protocol = ip[9];
		return (ip[6] & 0x1f) | ip[7] ? 0 : (ip[0] & 15) * 4;
	}
	*protocol = ip[6];
	while (*protocol == IPPROTO_HOPOPTS || *protocol == IPPROTO_DSTOPTS ||
	       *protocol == IPPROTO_ROUTING || *protocol == IPPROTO_FRAGMENT) {
		const uint8_t *header = ip + at;

		if (*protocol == IPPROTO_FRAGMENT && (header[2] | (header[3] & 0xf8)))
			return 0;
		at += *protocol == IPPROTO_FRAGMENT ? 8 : 8 + header[1] * 8;
		*protocol = header[0];
	}
	return at;
}

/* Where its checksum is in a transport header that has a pseudo-header; 0: it has none. */
static inline size_t checksum_at(const uint8_t *ip, unsigned int protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		return 6;
	case IPPROTO_ICMPV6:
		return ip[0] >> 4 == 6 ? 2 : 0;
	}
	return 0;
}

static inline void put_checksum(uint8_t *at, unsigned int value)
{
	at[0] = value >> 8;
	at[1] = value;
}

/* What makes the residue `wanted`; 0 rather than 0xffff. */
static inline void seal_transport(uint8_t *ip, unsigned int wanted)
{
	const size_t length = packet_length(ip);
	unsigned int protocol, value;
	size_t at = transport_of(ip, &protocol), check = checksum_at(ip, protocol);

	if (!at || !check)
		return;
	put_checksum(ip + at + check, 0);
	value = (wanted + 0xffff - transport_residue(ip, at, length, protocol)) % 0xffff;
	if (!value && (protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE))
		value = 0xffff;
	put_checksum(ip + at + check, value);
}

static inline void holds_packet(const char *what, const uint8_t *ip, size_t room);

static inline void holds_inner(const char *what, const uint8_t *inside, size_t room,
			       unsigned int protocol)
{
	const size_t gue = 8 + (inside[8] >> 6 ? 0 : 4);

	if (protocol == IPPROTO_UDP && (inside[2] << 8 | inside[3]) == GUE_PORT) {
		if (inside[6] | inside[7])
			fail_msg("%s: GUE with a checksum", what);
		if ((size_t)(inside[4] << 8 | inside[5]) > room)
			fail_msg("%s: GUE longer than its packet", what);
		holds_packet(what, inside + gue, room - gue);
	} else if (protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6) {
		holds_packet(what, inside, room);
	}
}

/* Every checksum in a packet, and in the packet that is in it. */
static inline void holds_packet(const char *what, const uint8_t *ip, size_t room)
{
	const size_t length = packet_length(ip);
	unsigned int protocol;
	size_t at = transport_of(ip, &protocol), check = checksum_at(ip, protocol);

	if (length > room)
		fail_msg("%s: a packet of %zu bytes in %zu", what, length, room);
	if (ip[0] >> 4 == 4 && residue(sum_bytes(0, ip, (ip[0] & 15) * 4)))
		fail_msg("%s: wrong IP header checksum", what);
	if (at && check && !(protocol == IPPROTO_UDP && !(ip[at + 6] | ip[at + 7])) &&
	    transport_residue(ip, at, length, protocol))
		fail_msg("%s: wrong transport checksum", what);
	if (at)
		holds_inner(what, ip + at, length - at, protocol);
}

static inline void holds(const char *what, const struct frame *f)
{
	size_t at = 12;

	while (read16(f, at) == 0x8100 || read16(f, at) == 0x88a8)
		at += 4;
	holds_packet(what, f->bytes + at + 2, f->length - at - 2);
}

/* --- a data plane as the method and the port have it ----------------------------------------- */

static const char *const outer_addresses[2][2] = {
	{"10.0.255.0", "2001:db8:b::ff00"},
	{"10.0.254.0", "2001:db8:b::fe00"}, /* for VIPs of IPv6 */
};

static inline int outer_family(const struct method *m, int family)
{
	return m->outer ? m->outer : family;
}

static inline struct ek_backend backend_by(const struct method *m, const struct way_out *out,
					   unsigned int service, uint32_t row)
{
	const struct ek_ip vip = address(known[service].vip);
	const int family = is_v6(&vip) ? 6 : 4;
	struct ek_backend b = usual_backend(service, row);

	b.address = address(outer_addresses[family == 6][outer_family(m, family) == 6]);
	b.address.bytes[15] = row;
	b.csum = is_v6(&b.address) ? 0 : constant_sum(&b.address);
	b.forward = m->forward;
	b.gue_port = htons(GUE_PORT);
	b.gue_header = m->gue_header;
	b.dscp = TOS_ID << 2;
	b.nexthop = EK_NEXTHOP(EK_NEXTHOP_MAC(b.nexthop), out->port, EK_NEXTHOP_USABLE);
	return b;
}

static inline void arrange(struct fixture *f, const struct method *m, const struct way_out *out)
{
	struct ek_port *port = &f->ports[out->port];

	for (unsigned int s = 0; s < N_KNOWN; s++)
		for (unsigned int i = 0; i < PER_SERVICE; i++) {
			const struct ek_backend b = backend_by(m, out, s, row_of(s, i));

			set_backend(f, row_of(s, i), &b);
		}
	port->ifindex = out->ifindex;
	port->tags[0] = out->n_tags ? htons(TAG_OUTER) : 0;
	port->tags[1] = out->n_tags == 2 ? htons(TAG_INNER) : 0;
}

/* --- what should come out -------------------------------------------------------------------- */

static inline unsigned int gue_size(const struct method *m)
{
	return m->forward == EK_FORWARD_GUE || m->forward == EK_FORWARD_GUE6 ? 8 + m->gue_header
									     : 0;
}

static inline bool is_tunnel(const struct method *m)
{
	return m->forward == EK_FORWARD_IPIP || m->forward == EK_FORWARD_IPIP6 || gue_size(m);
}

static inline unsigned int overhead(const struct method *m)
{
	return is_tunnel(m) ? (m->outer == 6 ? 40 : 20) + gue_size(m) : 0;
}

static inline void put_ethernet(struct frame *e, const struct ek_port *port,
				const struct way_out *out, const struct result *r,
				unsigned int type)
{
	uint8_t mac[6];

	backend_mac(mac, r->row);
	put(e, mac, 6);
	put(e, &port->mac, 6);
	if (out->n_tags) {
		put16(e, out->n_tags == 2 ? 0x88a8 : 0x8100);
		put16(e, TAG_OUTER);
	}
	if (out->n_tags == 2) {
		put16(e, 0x8100);
		put16(e, TAG_INNER);
	}
	put16(e, type);
}

/* A service's prefix, if it is of the outer header's family, or else the port's address. */
static inline struct ek_ip outer_source(const struct fixture *f, const struct method *m,
					const struct way_out *out, const struct frame *in,
					const struct result *r, size_t outer)
{
	const struct flow flow = flow_of(in);
	const int service = service_of(&flow);
	struct ek_ip source = f->ports[out->port].source6;
	uint32_t varied;

	if (service >= 0 && known[service].varied_bits && flow.family == m->outer) {
		memcpy(&varied, r->out.bytes + outer + (m->outer == 6 ? 20 : 12), 4);
		source = address(known[service].outer_source);
		source.words[3] |= varied & htonl((1u << known[service].varied_bits) - 1);
	} else if (m->outer == 4) {
		source = address("0.0.0.0");
		source.words[3] = f->ports[out->port].source4;
	}
	return source;
}

/* What is free to vary with the flow is taken from what did come out. */
static inline void put_tunnel(struct frame *e, const struct fixture *f, const struct method *m,
			      const struct way_out *out, const struct frame *in,
			      const struct result *r)
{
	const uint8_t *ip = in->bytes + ETHERNET;
	const bool six = ip[0] >> 4 == 6;
	const unsigned int tos = six ? (ip[0] & 15) << 4 | ip[1] >> 4 : ip[1];
	const size_t at = e->length, length = packet_length(ip) + gue_size(m);
	const unsigned int inner = six ? IPPROTO_IPV6 : IPPROTO_IPIP;
	const unsigned int protocol = gue_size(m) ? IPPROTO_UDP : inner;
	const struct ek_ip source = outer_source(f, m, out, in, r, at);

	if (m->outer == 6)
		put_ip6(e, tos, (r->out.bytes[at + 1] & 15) << 16 | read16(&r->out, at + 2), length,
			protocol, 64);
	else
		put_ip4(e, tos, 20 + length, six ? 0 : ip[4] << 8 | ip[5],
			six ? 0x4000 : (ip[6] << 8 | ip[7]) & 0x4000, 64, protocol);
	put_address(e, m->outer, &source);
	put_address(e, m->outer, &f->backends[r->row].address);
	if (m->outer == 4)
		seal_ip4(e, at);
	if (!gue_size(m))
		return;
	if (read16(&r->out, e->length) < GUE_FIRST)
		fail_msg("%s: source port %u", m->name, read16(&r->out, e->length));
	put16(e, read16(&r->out, e->length));
	put16(e, GUE_PORT);
	put16(e, length);
	put16(e, 0);
	if (m->gue_header) {
		put16(e, inner); /* variant 0, no control message, no extension fields */
		put16(e, 0);
	}
}

/* L3DSR. An error in a checksum is the sender's, and stays. */
static inline void put_rewritten(struct frame *e, const struct fixture *f, const struct frame *in,
				 const struct result *r)
{
	const struct ek_ip *to = &f->backends[r->row].address;
	const uint8_t *old = in->bytes + ETHERNET;
	const bool six = old[0] >> 4 == 6;
	uint8_t *ip = e->bytes + e->length;
	unsigned int protocol, wanted;
	size_t at = transport_of(old, &protocol), check = checksum_at(old, protocol);

	put(e, old, in->length - ETHERNET);
	if (six) {
		ip[0] = 0x60 | TOS_ID >> 2;
		ip[1] = (TOS_ID & 3) << 6 | (old[1] & 0x3f);
		memcpy(ip + 24, to->bytes, 16);
	} else {
		ip[1] = TOS_ID << 2 | (old[1] & 3);
		memcpy(ip + 16, to->bytes + 12, 4);
		put_checksum(ip + 10, 0);
		wanted = residue(sum_bytes(0, old, (old[0] & 15) * 4));
		put_checksum(ip + 10,
			     (wanted + 0xffff - residue(sum_bytes(0, ip, (ip[0] & 15) * 4))) %
				     0xffff);
	}
	if (!at || !check || (protocol == IPPROTO_UDP && !(old[at + 6] | old[at + 7])))
		return;
	seal_transport(ip, transport_residue(old, at, packet_length(old), protocol));
}

static inline void expected(struct frame *e, const struct fixture *f, const struct method *m,
			    const struct way_out *out, const struct frame *tagged,
			    const struct result *r)
{
	const struct ek_port *port = &f->ports[out->port];
	static struct frame bare;
	const struct frame *in = &bare;

	e->length = 0;
	if (m->forward == EK_FORWARD_LOCAL) {
		put(e, node_mac, 6);
		put(e, tagged->bytes + 6, tagged->length - 6);
		return;
	}
	without_tags(tagged, &bare);
	put_ethernet(e, port, out, r,
		     !is_tunnel(m)   ? read16(in, 12)
		     : m->outer == 6 ? 0x86dd
				     : 0x0800);
	if (m->forward == EK_FORWARD_TOS) {
		put_rewritten(e, f, in, r);
		return;
	}
	if (is_tunnel(m))
		put_tunnel(e, f, m, out, in, r);
	put(e, in->bytes + ETHERNET, in->length - ETHERNET);
}

static inline void fail_bytes(const char *what, const struct frame *want, const struct frame *got)
{
	size_t i = 0;

	while (i < want->length && i < got->length && want->bytes[i] == got->bytes[i])
		i++;
	fail_msg("%s: %zu bytes, expected %zu; they differ from byte %zu: %02x, expected %02x",
		 what, got->length, want->length, i, got->bytes[i], want->bytes[i]);
}

static inline int verdict_of(const struct method *m, const struct way_out *out)
{
	return m->forward == EK_FORWARD_LOCAL ? XDP_PASS : out->verdict;
}

/* Whatever was forwarded was forwarded by the book. */
static inline void expect_book(const char *what, const struct fixture *f, const struct method *m,
			       const struct way_out *out, const struct frame *in,
			       const struct result *r)
{
	static struct frame want;

	if (r->verdict != verdict_of(m, out))
		fail_msg("%s: verdict %d (drop %u), expected %d", what, r->verdict, r->drop,
			 verdict_of(m, out));
	if (r->counted_drops || r->counted_forwards != 1 || r->bytes != in->length)
		fail_msg("%s: not counted as one packet of %zu bytes", what, in->length);
	expected(&want, f, m, out, in, r);
	if (!same_frame(&want, &r->out))
		fail_bytes(what, &want, &r->out);
}

/* A frame that nobody sends is passed as it came, dropped by name, or forwarded by the book. */
static inline void expect_sane_by(const char *what, const struct fixture *f, const struct method *m,
				  const struct way_out *out, const struct frame *in,
				  const struct result *r)
{
	if (r->counted_forwards) {
		expect_book(what, f, m, out, in, r);
	} else if (r->verdict == XDP_PASS) {
		expect_pass(what, in, r);
	} else {
		expect_drop(what, r, r->drop);
		if (r->drop == EK_DROP_NONE)
			fail_msg("%s: dropped without a name", what);
	}
}

static inline int setup(void **state)
{
	static struct fixture f;
	const uint32_t port = EGRESS_PORT, loopback = 1;

	fixture_open(&f);
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(f.skeleton->maps.egress), &port, &loopback, 0), 0);
	*state = &f;
	return 0;
}

static inline int teardown(void **state)
{
	fixture_close(*state);
	return 0;
}

#endif
