/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The packets of test_balancer.c, a row each: what comes in, in which state of the data plane, and
 * what becomes of it. Included once.
 */
#ifndef EVENKEEL_TESTS_BALANCER_ROWS_H
#define EVENKEEL_TESTS_BALANCER_ROWS_H

#include "balancer_fixture.h"

/* --- last changes to a frame ----------------------------------------------------------------- */

static void edit4(struct frame *f, size_t at, unsigned int value)
{
	f->bytes[at] = value;
	seal_ip4(f, ETHERNET);
}

static void ihl_4(struct frame *f)
{
	f->bytes[14] = 0x44;
}

static void ihl_0(struct frame *f)
{
	f->bytes[14] = 0x40;
}

static void ihl_beyond_packet(struct frame *f)
{
	f->bytes[14] = 0x4f;
}

static void version_5(struct frame *f)
{
	f->bytes[14] = 0x50 | (f->bytes[14] & 15);
}

static void other_ethertype(struct frame *f)
{
	overwrite16(f, 12, read16(f, 12) == 0x0800 ? 0x86dd : 0x0800);
}

static void length_of_zero(struct frame *f)
{
	overwrite16(f, read16(f, 12) == 0x0800 ? 16 : 18, 0);
}

static void length_below_header(struct frame *f)
{
	overwrite16(f, 16, 19);
}

static void length_within_transport_header(struct frame *f)
{
	overwrite16(f, read16(f, 12) == 0x0800 ? 16 : 18, read16(f, 12) == 0x0800 ? 27 : 7);
}

static void length_beyond_frame(struct frame *f)
{
	size_t at = read16(f, 12) == 0x0800 ? 16 : 18;

	overwrite16(f, at, read16(f, at) + 1);
}

static void length_of_65535(struct frame *f)
{
	overwrite16(f, read16(f, 12) == 0x0800 ? 16 : 18, 65535);
}

static size_t transport_at(const struct frame *f)
{
	return ETHERNET + (read16(f, 12) == 0x0800 ? (f->bytes[14] & 15) * 4 : 40);
}

static void doff_4(struct frame *f)
{
	f->bytes[transport_at(f) + 12] = 0x40;
}

static void doff_0(struct frame *f)
{
	f->bytes[transport_at(f) + 12] = 0;
}

static void doff_beyond_packet(struct frame *f)
{
	f->bytes[transport_at(f) + 12] += 0x10;
}

static void udp_length_0(struct frame *f)
{
	overwrite16(f, transport_at(f) + 4, 0);
}

static void udp_length_7(struct frame *f)
{
	overwrite16(f, transport_at(f) + 4, 7);
}

static void udp_length_8(struct frame *f)
{
	overwrite16(f, transport_at(f) + 4, 8);
}

static void udp_length_beyond_packet(struct frame *f)
{
	overwrite16(f, transport_at(f) + 4, read16(f, transport_at(f) + 4) + 1);
}

static void wrong_ip_checksum(struct frame *f)
{
	f->bytes[24] ^= 0xff;
}

/* Before whatever follows the IPv6 header now. The type of the first of the bytes is put there. */
static void extend(struct frame *f, unsigned int type, const char *bytes, size_t n)
{
	memmove(f->bytes + 54 + n, f->bytes + 54, f->length - 54);
	memcpy(f->bytes + 54, bytes, n);
	f->bytes[54] = f->bytes[20];
	f->bytes[20] = type;
	f->length += n;
	overwrite16(f, 18, read16(f, 18) + n);
}

static void hop_by_hop(struct frame *f)
{
	extend(f, IPPROTO_HOPOPTS, "\0\0\x05\x02\0\0\x01\0", 8);
}

static void routing(struct frame *f)
{
	extend(f, IPPROTO_ROUTING, "\0\x02\x04\0\0\0\0\0\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01",
	       24);
}

static void destination_options(struct frame *f)
{
	extend(f, IPPROTO_DSTOPTS, "\0\x01\x01\x0c\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

/* RFC 6946: a packet that is whole. */
static void atomic_fragment(struct frame *f)
{
	extend(f, IPPROTO_FRAGMENT, "\0\0\0\0\xca\xfe\xba\xbe", 8);
}

static void atomic_and_udp_length(struct frame *f)
{
	udp_length_beyond_packet(f);
	atomic_fragment(f);
}

static void first_fragment6(struct frame *f)
{
	extend(f, IPPROTO_FRAGMENT, "\0\0\0\x01\xca\xfe\0\x01", 8);
}

static void later_fragment6(struct frame *f)
{
	extend(f, IPPROTO_FRAGMENT, "\0\0\0\x81\xca\xfe\0\x02", 8);
}

static void last_fragment6(struct frame *f)
{
	extend(f, IPPROTO_FRAGMENT, "\0\0\0\x80\xca\xfe\0\x03", 8);
}

static void overlapping_fragment6(struct frame *f)
{
	extend(f, IPPROTO_FRAGMENT, "\0\0\0\x10\xca\xfe\0\x04", 8);
}

static void options_before_fragment(struct frame *f)
{
	first_fragment6(f);
	hop_by_hop(f);
}

static void options_behind_fragment(struct frame *f)
{
	destination_options(f);
	first_fragment6(f);
}

static void two_fragment_headers(struct frame *f)
{
	first_fragment6(f);
	first_fragment6(f);
}

static void every_extension(struct frame *f)
{
	destination_options(f);
	atomic_fragment(f);
	routing(f);
	destination_options(f);
	hop_by_hop(f);
}

static void eight_extensions(struct frame *f)
{
	for (unsigned int i = 0; i < 8; i++)
		destination_options(f);
}

static void nine_extensions(struct frame *f)
{
	eight_extensions(f);
	hop_by_hop(f);
}

static void extension_beyond_packet(struct frame *f)
{
	hop_by_hop(f);
	f->bytes[55] = 200;
}

static void mobility(struct frame *f)
{
	extend(f, 135, "\x3b\0\0\0\0\0\0\0", 8);
}

static void host_identity(struct frame *f)
{
	extend(f, 139, "\x3b\0\0\0\0\0\0\0", 8);
}

static void authentication(struct frame *f)
{
	extend(f, IPPROTO_AH,
	       "\0\x04\0\0\0\0\0\x01\0\0\0\x01"
	       "ABCDEFGHIJKL",
	       24);
}

static void icmp(struct frame *f)
{
	if (read16(f, 12) == 0x0800)
		edit4(f, 23, IPPROTO_ICMP);
	else
		f->bytes[20] = IPPROTO_ICMPV6;
}

static void arp(struct frame *f)
{
	overwrite16(f, 12, 0x0806);
	memcpy(f->bytes + 14, "\x00\x01\x08\x00\x06\x04\x00\x01", 8);
}

static void tagged(struct frame *f, const char *tag)
{
	memmove(f->bytes + 16, f->bytes + 12, f->length - 12);
	memcpy(f->bytes + 12, tag, 4);
	f->length += 4;
}

static void vlan(struct frame *f)
{
	tagged(f, "\x81\x00\x00\x05");
}

static void service_vlan(struct frame *f)
{
	tagged(f, "\x88\xa8\x00\x05");
}

static void priority(struct frame *f)
{
	tagged(f, "\x81\x00\xe0\x00");
}

static void stacked(struct frame *f)
{
	tagged(f, "\x81\x00\x00\x07");
	service_vlan(f);
}

static void three_tags(struct frame *f)
{
	stacked(f);
	service_vlan(f);
}

static void other_tag(struct frame *f)
{
	tagged(f, "\x91\x00\x00\x07");
}

static void tagged_arp(struct frame *f)
{
	arp(f);
	vlan(f);
}

static void tagged_llc(struct frame *f)
{
	overwrite16(f, 12, f->length - ETHERNET);
	vlan(f);
}

static void tagged_doff_4(struct frame *f)
{
	doff_4(f);
	stacked(f);
}

static void tagged_length_beyond_frame(struct frame *f)
{
	length_beyond_frame(f);
	vlan(f);
}

static void tagged_fragment6(struct frame *f)
{
	first_fragment6(f);
	vlan(f);
}

static void llc(struct frame *f)
{
	overwrite16(f, 12, f->length - ETHERNET);
}

static void to_broadcast_mac(struct frame *f)
{
	memset(f->bytes, 0xff, 6);
}

static void to_multicast_mac(struct frame *f)
{
	f->bytes[0] |= 1;
}

static void to_another_mac(struct frame *f)
{
	f->bytes[5] ^= 0x80;
}

/* --- states of the data plane ---------------------------------------------------------------- */

static void every_backend(struct fixture *f, void (*change)(struct ek_backend *))
{
	for (uint32_t i = 0; i < f->cpus * ROWS; i++)
		change(&f->backends[i]);
}

static void be_unresolved(struct ek_backend *b)
{
	b->nexthop = EK_NEXTHOP(0, 0, EK_NEXTHOP_ALIVE);
}

static void be_down(struct ek_backend *b)
{
	b->nexthop &= ~EK_NEXTHOP(0, 0, EK_NEXTHOP_ALIVE);
}

static void be_down_and_unresolved(struct ek_backend *b)
{
	b->nexthop = 0;
}

static void be_draining(struct ek_backend *b)
{
	b->nexthop |= EK_NEXTHOP(0, 0, EK_NEXTHOP_DRAINING);
}

static void be_elsewhere(struct ek_backend *b)
{
	b->nexthop = EK_NEXTHOP(EK_NEXTHOP_MAC(b->nexthop), EGRESS_PORT, EK_NEXTHOP_USABLE);
}

static void be_at_no_port(struct ek_backend *b)
{
	b->nexthop = EK_NEXTHOP(EK_NEXTHOP_MAC(b->nexthop), EK_PORTS_MAX, EK_NEXTHOP_USABLE);
}

static void unresolved(struct fixture *f)
{
	every_backend(f, be_unresolved);
}

static void down(struct fixture *f)
{
	every_backend(f, be_down);
}

static void down_and_unresolved(struct fixture *f)
{
	every_backend(f, be_down_and_unresolved);
}

static void draining(struct fixture *f)
{
	every_backend(f, be_draining);
}

static void elsewhere(struct fixture *f)
{
	every_backend(f, be_elsewhere);
}

static void at_no_port(struct fixture *f)
{
	every_backend(f, be_at_no_port);
}

static void no_backend(struct fixture *f)
{
	for (unsigned int s = 0; s < N_KNOWN; s++)
		memset(f->rings[s], 0, sizeof(*f->rings[s]));
}

static void no_ring(struct fixture *f)
{
	for (unsigned int s = 0; s < N_KNOWN; s++) {
		struct ek_service entry = entry_of(s);

		entry.id = EK_SERVICES_MAX - 1;
		assert_int_equal(ek_service_table_put(f->services, &f->key, &entry), 0);
	}
}

static void no_source(struct fixture *f)
{
	f->ports[OWN_PORT].source4 = 0;
	memset(&f->ports[OWN_PORT].source6, 0, sizeof(f->ports[OWN_PORT].source6));
}

static void no_own_port(struct fixture *f)
{
	memset(&f->ports[OWN_PORT], 0, sizeof(f->ports[OWN_PORT]));
}

/* --- rows ------------------------------------------------------------------------------------ */

struct row {
	const char *description;
	int only; /* 4 or 6; 0: both families */
	/* What is not given: a TCP SYN from the client to port 80 of the VIP, or UDP to port 53. */
	struct packet_spec packet;
	const char *vip4, *vip6; /* NULL: the VIP */
	void (*edit)(struct frame *f);
	void (*arrange)(struct fixture *f);
	int verdict;
	unsigned int drop;
};

#define UDP	     .protocol = IPPROTO_UDP
#define DROP(reason) .verdict = XDP_DROP, .drop = EK_DROP_##reason

static const struct row rows[] = {
	/* Forwarded. */
	{"TCP SYN", .verdict = XDP_TX},
	{"TCP SYN with options", .packet = {.tcp_options = 5}, .verdict = XDP_TX},
	{"TCP ACK", .packet = {.tcp_flags = ACK}, .verdict = XDP_TX},
	{"TCP data", .packet = {.tcp_flags = ACK | PSH, .payload = 101}, .verdict = XDP_TX},
	{"TCP data with options", .packet = {.tcp_flags = ACK, .tcp_options = 10, .payload = 7},
	 .verdict = XDP_TX},
	{"TCP FIN", .packet = {.tcp_flags = FIN | ACK}, .verdict = XDP_TX},
	{"TCP RST", .packet = {.tcp_flags = RST}, .verdict = XDP_TX},
	{"TCP with every flag", .packet = {.tcp_flags = 0xff}, .verdict = XDP_TX},
	{"TCP from port 0", .packet = {.source_port = 0x10000}, .verdict = XDP_TX},
	{"UDP", .packet = {UDP, .payload = 33}, .verdict = XDP_TX},
	{"UDP without data", .packet = {UDP}, .verdict = XDP_TX},
	{"UDP shorter than its packet", .packet = {UDP, .payload = 33}, .edit = udp_length_8,
	 .verdict = XDP_TX},
	{"a second service of the VIP", .packet = {.destination_port = 443}, .verdict = XDP_TX},
	{"padded to 60 bytes", 4, .packet = {.padding = 6}, .verdict = XDP_TX},
	{"padded UDP", .packet = {UDP, .padding = 18}, .verdict = XDP_TX},
	{"DF", 4, .packet = {.fragment = 0x4000}, .verdict = XDP_TX},
	{"no DF, identification 0", 4, .packet = {.id = 0x10000}, .verdict = XDP_TX},
	{"reserved flag: not copied", 4, .packet = {.fragment = 0x8000}, .verdict = XDP_TX},
	{"IPv4 options", 4, .packet = {.options = 1, .payload = 3}, .verdict = XDP_TX},
	{"IPv4 and TCP options, as many as fit", 4, .packet = {.options = 10, .tcp_options = 10},
	 .verdict = XDP_TX},
	{"IPv4 options and UDP", 4, .packet = {UDP, .options = 10}, .verdict = XDP_TX},
	{"the inner checksum is the backend's business", 4, .edit = wrong_ip_checksum,
	 .verdict = XDP_TX},
	{"outer source within a prefix", .vip4 = VARIED4, .vip6 = VARIED6, .verdict = XDP_TX},
	{"outer source within a prefix, none of the node's own", .vip4 = VARIED4, .vip6 = VARIED6,
	 .arrange = no_source, .verdict = XDP_TX},
	{"exactly the path's MTU", 4, .packet = {.payload = 1440}, .verdict = XDP_TX},
	{"exactly the path's MTU", 6, .packet = {.payload = 1400}, .verdict = XDP_TX},
	{"padding does not count against the MTU", 4, .packet = {.payload = 1440, .padding = 4},
	 .verdict = XDP_TX},
	{"a draining backend keeps its connections", .packet = {.tcp_flags = ACK},
	 .arrange = draining, .verdict = XDP_TX},

	{"first fragment", 4, .packet = {.fragment = 0x2000, .payload = 96}, .verdict = XDP_TX},
	{"first fragment, its UDP length is the datagram's", 4,
	 .packet = {UDP, .fragment = 0x2000, .payload = 96}, .edit = udp_length_beyond_packet,
	 .verdict = XDP_TX},
	{"first fragment, IPv4 options", 4,
	 .packet = {.fragment = 0x2000, .options = 3, .payload = 96}, .verdict = XDP_TX},
	{"first fragment", 6, .packet = {.payload = 96}, .edit = first_fragment6,
	 .verdict = XDP_TX},
	{"atomic fragment", 6, .edit = atomic_fragment, .verdict = XDP_TX},
	{"first fragment behind options", 6, .packet = {.payload = 96},
	 .edit = options_before_fragment, .verdict = XDP_TX},
	{"options behind the fragment header", 6, .packet = {.payload = 96},
	 .edit = options_behind_fragment, .verdict = XDP_TX},
	{"hop-by-hop options", 6, .edit = hop_by_hop, .verdict = XDP_TX},
	{"hop-by-hop options, UDP", 6, .packet = {UDP, .payload = 9}, .edit = hop_by_hop,
	 .verdict = XDP_TX},
	{"routing header", 6, .edit = routing, .verdict = XDP_TX},
	{"destination options", 6, .edit = destination_options, .verdict = XDP_TX},
	{"every extension header", 6, .edit = every_extension, .verdict = XDP_TX},
	{"eight extension headers", 6, .edit = eight_extensions, .verdict = XDP_TX},
	{"802.1Q", .edit = vlan, .verdict = XDP_TX},
	{"802.1Q, priority only", .edit = priority, .verdict = XDP_TX},
	{"802.1Q, UDP", .packet = {UDP, .payload = 33}, .edit = vlan, .verdict = XDP_TX},
	{"802.1Q, padded", .packet = {.padding = 6}, .edit = vlan, .verdict = XDP_TX},
	{"802.1Q, IPv4 options", 4, .packet = {.options = 7}, .edit = vlan, .verdict = XDP_TX},
	{"802.1ad", .edit = service_vlan, .verdict = XDP_TX},
	{"802.1ad and 802.1Q", .edit = stacked, .verdict = XDP_TX},
	{"802.1Q, exactly the path's MTU", 4, .packet = {.payload = 1440}, .edit = vlan,
	 .verdict = XDP_TX},
	{"802.1Q, first fragment", 6, .packet = {.payload = 96}, .edit = tagged_fragment6,
	 .verdict = XDP_TX},

	/* Not ours. */
	{"a port without service", .packet = {.destination_port = 8080}, .verdict = XDP_PASS},
	{"UDP to a TCP port", .packet = {UDP, .destination_port = 80}, .verdict = XDP_PASS},
	{"TCP to a UDP port", .packet = {.destination_port = 53}, .verdict = XDP_PASS},
	{"GRE", .packet = {.protocol = IPPROTO_GRE, .payload = 40}, .verdict = XDP_PASS},
	{"ESP", .packet = {.protocol = IPPROTO_ESP, .payload = 40}, .verdict = XDP_PASS},
	{"SCTP", .packet = {.protocol = IPPROTO_SCTP, .payload = 40}, .verdict = XDP_PASS},
	{"4-in-4", .packet = {.protocol = IPPROTO_IPIP, .payload = 40}, .verdict = XDP_PASS},
	{"AH", 6, .edit = authentication, .verdict = XDP_PASS},
	{"no next header", .packet = {.protocol = IPPROTO_NONE, .payload = 9}, .verdict = XDP_PASS},
	{"ARP", .edit = arp, .verdict = XDP_PASS},
	{"three tags", .edit = three_tags, .verdict = XDP_PASS},
	{"a tag of another type", .edit = other_tag, .verdict = XDP_PASS},
	{"802.1Q, a port without service", .packet = {.destination_port = 8080}, .edit = vlan,
	 .verdict = XDP_PASS},
	{"802.1ad and 802.1Q, ESP", .packet = {.protocol = IPPROTO_ESP, .payload = 40},
	 .edit = stacked, .verdict = XDP_PASS},
	{"802.1Q, ARP", .edit = tagged_arp, .verdict = XDP_PASS},
	{"802.1Q, 802.3 length in place of a type", .edit = tagged_llc, .verdict = XDP_PASS},
	{"802.3 length in place of a type", .edit = llc, .verdict = XDP_PASS},
	{"the ethertype of the other family", .edit = other_ethertype, .verdict = XDP_PASS},
	{"multicast MAC", .edit = to_multicast_mac, .verdict = XDP_PASS},
	{"broadcast MAC", .edit = to_broadcast_mac, .verdict = XDP_PASS},
	{"another node's MAC", .edit = to_another_mac, .verdict = XDP_PASS},
	{"no port is known", .arrange = no_own_port, .verdict = XDP_PASS},

	/* Refused: the packet. */
	{"IHL 4", 4, .edit = ihl_4, DROP(MALFORMED)},
	{"IHL 0", 4, .edit = ihl_0, DROP(MALFORMED)},
	{"IHL beyond the packet", 4, .edit = ihl_beyond_packet, DROP(MALFORMED)},
	{"version 5", .edit = version_5, DROP(MALFORMED)},
	{"length below the header", 4, .edit = length_below_header, DROP(MALFORMED)},
	{"length 0", .edit = length_of_zero, DROP(MALFORMED)},
	{"length within the TCP header", .edit = length_within_transport_header, DROP(MALFORMED)},
	{"length within the UDP header", .packet = {UDP}, .edit = length_within_transport_header,
	 DROP(MALFORMED)},
	{"length beyond the frame", .edit = length_beyond_frame, DROP(TRUNCATED)},
	{"UDP, length beyond the frame", .packet = {UDP, .payload = 2}, .edit = length_beyond_frame,
	 DROP(TRUNCATED)},
	{"length 65535", .edit = length_of_65535, DROP(TRUNCATED)},
	{"data offset 4", .edit = doff_4, DROP(MALFORMED)},
	{"data offset 0", .edit = doff_0, DROP(MALFORMED)},
	{"data offset beyond the packet", .edit = doff_beyond_packet, DROP(MALFORMED)},
	{"data offset within padding only", .packet = {.padding = 40}, .edit = doff_beyond_packet,
	 DROP(MALFORMED)},
	{"UDP length 0", .packet = {UDP, .payload = 4}, .edit = udp_length_0, DROP(MALFORMED)},
	{"UDP length 7", .packet = {UDP, .payload = 4}, .edit = udp_length_7, DROP(MALFORMED)},
	{"UDP length beyond the packet", .packet = {UDP, .payload = 4},
	 .edit = udp_length_beyond_packet, DROP(MALFORMED)},
	{"UDP length within padding only", .packet = {UDP, .payload = 4, .padding = 40},
	 .edit = udp_length_beyond_packet, DROP(MALFORMED)},
	{"malformed, to a port without service", .packet = {.destination_port = 8080},
	 .edit = doff_4, DROP(MALFORMED)},
	{"ICMP fragment", 4, .packet = {.fragment = 0x2000}, .edit = icmp, DROP(FRAGMENT)},
	{"later ICMP fragment", 4, .packet = {.fragment = 0x0010}, .edit = icmp, DROP(FRAGMENT)},
	{"later fragment", 4, .packet = {.id = 0x1111, .fragment = 0x2010, .payload = 96},
	 DROP(FRAGMENT)},
	{"last fragment", 4, .packet = {.id = 0x1112, .fragment = 0x0010, .payload = 96},
	 DROP(FRAGMENT)},
	{"first fragment within the TCP header", 4, .packet = {.fragment = 0x2000, .payload = 96},
	 .edit = length_within_transport_header, DROP(MALFORMED)},
	{"first fragment within the UDP header", 4,
	 .packet = {UDP, .fragment = 0x2000, .payload = 96}, .edit = length_within_transport_header,
	 DROP(MALFORMED)},
	{"fragment over the TCP header", 4, .packet = {.fragment = 0x0001, .payload = 96},
	 DROP(MALFORMED)},
	{"fragment over the TCP header's end", 4, .packet = {.fragment = 0x0002, .payload = 96},
	 DROP(MALFORMED)},
	{"fragment beyond the longest packet", 4, .packet = {.fragment = 0x1fff, .payload = 96},
	 DROP(MALFORMED)},
	{"later fragment", 6, .packet = {.payload = 96}, .edit = later_fragment6, DROP(FRAGMENT)},
	{"last fragment", 6, .packet = {.payload = 96}, .edit = last_fragment6, DROP(FRAGMENT)},
	{"fragment over the TCP header", 6, .packet = {.payload = 96},
	 .edit = overlapping_fragment6, DROP(MALFORMED)},
	{"atomic fragment, UDP length beyond the packet", 6, .packet = {UDP, .payload = 4},
	 .edit = atomic_and_udp_length, DROP(MALFORMED)},
	{"two fragment headers", 6, .packet = {.payload = 96}, .edit = two_fragment_headers,
	 DROP(EXTENSION)},
	{"nine extension headers", 6, .edit = nine_extensions, DROP(EXTENSION)},
	{"extension header beyond the packet", 6, .edit = extension_beyond_packet, DROP(MALFORMED)},
	{"mobility header", 6, .edit = mobility, DROP(EXTENSION)},
	{"host identity", 6, .edit = host_identity, DROP(EXTENSION)},
	{"ICMP of an unknown type", .edit = icmp, DROP(ICMP_OTHER)},
	{"802.1ad and 802.1Q, data offset 4", .edit = tagged_doff_4, DROP(MALFORMED)},
	{"802.1Q, length beyond the frame", .edit = tagged_length_beyond_frame, DROP(TRUNCATED)},

	/* Refused: the state of the service. */
	{"one byte beyond the path's MTU", 4, .packet = {.payload = 1441}, DROP(TOO_BIG)},
	{"one byte beyond the path's MTU", 6, .packet = {.payload = 1401}, DROP(TOO_BIG)},
	{"next hop unknown", .arrange = unresolved, DROP(UNRESOLVED)},
	{"backend down", .arrange = down, DROP(BACKEND_DOWN)},
	{"backend down, next hop unknown", .arrange = down_and_unresolved, DROP(BACKEND_DOWN)},
	{"no backend", .arrange = no_backend, DROP(NO_BACKEND)},
	{"no ring", .arrange = no_ring, DROP(NO_RING)},
	{"no source", .arrange = no_source, DROP(NO_SOURCE)},
	{"next hop by a port that cannot be", .arrange = at_no_port, DROP(UNRESOLVED)},
	{"next hop by a port without device", .arrange = elsewhere, DROP(UNRESOLVED)},
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static void build(struct frame *f, const struct row *row, int family)
{
	const char *vip =
		family == 4 ? (row->vip4 ? row->vip4 : VIP4) : (row->vip6 ? row->vip6 : VIP6);
	struct packet_spec p = row->packet;

	p.family = family;
	p.source = address(family == 4 ? CLIENT4 : CLIENT6);
	p.destination = address(vip);
	p.protocol = p.protocol ? p.protocol : IPPROTO_TCP;
	p.source_port = p.source_port ? p.source_port : 40000;
	if (!p.destination_port)
		p.destination_port = p.protocol == IPPROTO_UDP ? 53 : 80;
	p.tcp_flags = p.tcp_flags ? p.tcp_flags : SYN;
	p.tos = p.tos ? p.tos & 0xff : 0xb9;
	p.id = p.id ? p.id : 0x1234;
	build_frame(f, &p, node_mac, client_mac);
	if (row->edit)
		row->edit(f);
}

#endif
