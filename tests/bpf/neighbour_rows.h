/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The questions of test_neighbour.c, a row each, and a second opinion on what the answer is: from
 * the bytes of the frame, RFC 826, RFC 5227 and RFC 4861, byte by byte. Included once.
 */
#ifndef EVENKEEL_TESTS_NEIGHBOUR_ROWS_H
#define EVENKEEL_TESTS_NEIGHBOUR_ROWS_H

#include <time.h>
#include "balancer_fixture.h"

#define VRID	    7u /* of VIP4 and VIP6 */
#define OWN_LEASE   9u /* of VARIED4 and VARIED6: announced with the port's own MAC */
#define ND_AT	    (ETHERNET + 40)
#define ARP_SIZE    42
#define OPTIONS_MAX 32 /* bytes of options that are looked through */

static const uint8_t virtual_mac4[6] = "\x00\x00\x5e\x00\x01\x07";
static const uint8_t virtual_mac6[6] = "\x00\x00\x5e\x00\x02\x07";
static const uint8_t other_mac[6] = "\x02\xcc\xcc\xcc\xcc\x02"; /* of the client, too */
static const uint8_t broadcast[6] = "\xff\xff\xff\xff\xff\xff";

static struct ek_lease *leases;

/* --- leases ---------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static struct ek_service *vip_entry(struct fixture *f, const char *vip)
{
	const struct ek_ip ip = address(vip);

	return ek_service_table_find(f->services, &f->key, &ip,
				     EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP));
}

/* Two that run; the virtual MACs of one are held. */
static void fill_leases(struct fixture *f)
{
	static const char *const vips[] = {VIP4, VIP6, VARIED4, VARIED6};

	fixture_fill(f);
	memset(leases, 0, EK_LEASES_MAX * sizeof(*leases));
	leases[VRID] = (struct ek_lease){.until = now_ns() + 3600 * 1000000000ull,
					 .mac4 = mac48(virtual_mac4) | EK_LEASE_HELD,
					 .mac6 = mac48(virtual_mac6) | EK_LEASE_HELD,
					 .port = OWN_PORT};
	leases[OWN_LEASE] = leases[VRID];
	leases[OWN_LEASE].mac4 = leases[OWN_LEASE].mac6 = mac48(node_mac);
	for (size_t i = 0; i < sizeof(vips) / sizeof(vips[0]); i++)
		vip_entry(f, vips[i])->id = i < 2 ? VRID : OWN_LEASE;
}

/* --- the second opinion ---------------------------------------------------------------------- */

static struct ek_ip read_address(const struct frame *f, size_t at, size_t n)
{
	struct ek_ip ip = {.words[2] = htonl(0xffff)};

	memcpy(n == 4 ? &ip.bytes[12] : ip.bytes, f->bytes + at, n);
	return ip;
}

static bool same_address(const struct ek_ip *a, const char *b)
{
	const struct ek_ip ip = address(b);

	return !memcmp(a, &ip, sizeof(ip));
}

/* The ICMPv6 checksum of a frame without regard to what stands there (RFC 4443, section 2.3). */
static unsigned int checksum6(const struct frame *f)
{
	const unsigned int length = read16(f, 18);
	static struct frame sum;

	sum.length = 0;
	put(&sum, f->bytes + 22, 32);
	put16(&sum, 0);
	put16(&sum, length);
	put16(&sum, 0);
	put16(&sum, IPPROTO_ICMPV6);
	put(&sum, f->bytes + ND_AT, length);
	overwrite16(&sum, 42, 0);
	return checksum(sum.bytes, sum.length);
}

static void seal6(struct frame *f)
{
	overwrite16(f, ND_AT + 2, checksum6(f));
}

static const struct ek_lease *lease_of(struct fixture *f, const struct ek_ip *vip)
{
	const struct ek_service *entry = ek_service_table_find(
		f->services, &f->key, vip, EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP));
	const struct ek_lease *lease;

	if (!entry || !entry->id || entry->id >= EK_LEASES_MAX)
		return NULL;
	lease = &leases[entry->id];
	return lease->port == OWN_PORT && lease->until > now_ns() ? lease : NULL;
}

static bool answer4(struct fixture *f, const struct frame *in, struct frame *out)
{
	const struct ek_ip sender = read_address(in, 28, 4), vip = read_address(in, 38, 4);
	const struct ek_lease *lease = lease_of(f, &vip);

	if (in->length < ARP_SIZE || memcmp(in->bytes + 14, "\0\x01\x08\0\x06\x04\0\x01", 8) ||
	    in->bytes[22] & 1 || !lease || !memcmp(&sender, &vip, sizeof(vip)))
		return false;
	out->length = 0;
	put(out, in->bytes + 22, 6);
	put(out, &lease->mac4, 6);
	put(out, "\x08\x06\0\x01\x08\0\x06\x04\0\x02", 10);
	put(out, &lease->mac4, 6);
	put_address(out, 4, &vip);
	put(out, in->bytes + 22, 6);
	put_address(out, 4, &sender);
	put(out, in->bytes + ARP_SIZE, in->length - ARP_SIZE);
	return true;
}

/* The source link-layer option, if there is one. False: the options are wrong, or too many. */
static bool options_of(const struct frame *in, size_t end, const uint8_t **source)
{
	size_t at = ND_AT + 24;

	*source = NULL;
	if (end > at + OPTIONS_MAX)
		return false;
	while (at < end) {
		const uint8_t *option = in->bytes + at;

		if (at + 2 > end || !option[1] || at + option[1] * 8 > end)
			return false;
		if (option[0] == 1 && !*source) {
			if (option[1] != 1)
				return false;
			*source = option + 2;
		}
		at += option[1] * 8;
	}
	return true;
}

static bool is_question6(const struct frame *in)
{
	const size_t length = read16(in, 18);
	const struct ek_ip destination = read_address(in, 38, 16);
	const struct ek_ip target = read_address(in, ND_AT + 8, 16);
	struct ek_ip group = address("ff02::1:ff00:0");
	bool grouped;

	if (in->length < ND_AT + 24 || length < 24 || in->length < ND_AT + length || length % 8)
		return false;
	if (in->bytes[14] >> 4 != 6 || in->bytes[20] != 58 || in->bytes[21] != 255 ||
	    read16(in, ND_AT) != 135 << 8)
		return false;
	if (length > 24 + OPTIONS_MAX)
		return false;
	memcpy(group.bytes + 13, target.bytes + 13, 3);
	grouped = !memcmp(&destination, &group, sizeof(group));
	if (!grouped && memcmp(&destination, &target, sizeof(target)))
		return false;
	/* 0000 and ffff are the same number, and Linux, too, takes either. */
	return checksum6(in) % 0xffff == read16(in, ND_AT + 2) % 0xffff;
}

static bool answer6(struct fixture *f, const struct frame *in, struct frame *out)
{
	const struct ek_ip source = read_address(in, 22, 16), everyone = address("ff02::1");
	const struct ek_ip vip = read_address(in, ND_AT + 8, 16);
	const bool probe = same_address(&source, "::");
	const struct ek_lease *lease = is_v6(&vip) ? lease_of(f, &vip) : NULL;
	const uint8_t *asker;

	if (!lease || !is_question6(in) || !options_of(in, ND_AT + read16(in, 18), &asker))
		return false;
	if (source.bytes[0] == 0xff || !memcmp(&source, &vip, sizeof(vip)))
		return false;
	if (probe && (asker || in->bytes[38] != 0xff))
		return false;
	if (!asker)
		asker = in->bytes + 6;
	if (*asker & 1)
		return false;
	out->length = 0;
	put(out, probe ? (const uint8_t *)"\x33\x33\0\0\0\x01" : asker, 6);
	put(out, &lease->mac6, 6);
	put16(out, 0x86dd);
	put_ip6(out, 0, 0, 32, 58, 255);
	put_address(out, 6, &vip);
	put_address(out, 6, probe ? &everyone : &source);
	put(out, "\x88\0\0\0", 4);
	put(out, probe ? "\x20\0\0\0" : "\x60\0\0\0", 4);
	put_address(out, 6, &vip);
	put(out, "\x02\x01", 2);
	put(out, &lease->mac6, 6);
	seal6(out);
	return true;
}

/* Whether the frame is answered, and with which. */
static bool answer(struct fixture *f, const struct frame *in, struct frame *out)
{
	const bool group = in->bytes[0] & 1;

	if (!group && memcmp(in->bytes, node_mac, 6) && memcmp(in->bytes, virtual_mac4, 6) &&
	    memcmp(in->bytes, virtual_mac6, 6))
		return false;
	if (read16(in, 12) == 0x0806)
		return answer4(f, in, out);
	return read16(in, 12) == 0x86dd && answer6(f, in, out);
}

/* --- last changes to a question -------------------------------------------------------------- */

static void other_hardware(struct frame *f)
{
	overwrite16(f, 14, 6);
}

static void other_protocol(struct frame *f)
{
	overwrite16(f, 16, 0x86dd);
}

static void hardware_length_8(struct frame *f)
{
	f->bytes[18] = 8;
}

static void protocol_length_16(struct frame *f)
{
	f->bytes[19] = 16;
}

static void operation_0(struct frame *f)
{
	overwrite16(f, 20, 0);
}

static void is_reply(struct frame *f)
{
	overwrite16(f, 20, 2);
}

static void is_rarp(struct frame *f)
{
	overwrite16(f, 20, 3);
}

static void guesses(struct frame *f)
{
	memcpy(f->bytes + 32, egress_mac, 6);
}

static void vlan_tag(struct frame *f)
{
	memmove(f->bytes + 16, f->bytes + 12, f->length - 12);
	memcpy(f->bytes + 12, "\x81\x00\x00\x05", 4);
	f->length += 4;
}

static void padded(struct frame *f)
{
	put_pattern(f, 18);
}

static void is_ipv4(struct frame *f)
{
	overwrite16(f, 12, 0x0800);
}

static void hop_limit_254(struct frame *f)
{
	f->bytes[21] = 254;
}

static void hop_limit_0(struct frame *f)
{
	f->bytes[21] = 0;
}

static void is_version_4(struct frame *f)
{
	f->bytes[14] = 0x40;
}

static void traffic_class(struct frame *f)
{
	overwrite16(f, 14, 0x6c05);
}

static void is_udp(struct frame *f)
{
	f->bytes[20] = IPPROTO_UDP;
}

static void wrong_checksum(struct frame *f)
{
	f->bytes[ND_AT + 3] ^= 1;
}

static void no_checksum(struct frame *f)
{
	overwrite16(f, ND_AT + 2, 0);
}

static void code_1(struct frame *f)
{
	f->bytes[ND_AT + 1] = 1;
	seal6(f);
}

static void is_type(struct frame *f, unsigned int type)
{
	f->bytes[ND_AT] = type;
	seal6(f);
}

static void is_advertisement(struct frame *f)
{
	is_type(f, 136);
}

static void is_router_solicitation(struct frame *f)
{
	is_type(f, 133);
}

static void is_echo(struct frame *f)
{
	is_type(f, 128);
}

static void reserved_bits(struct frame *f)
{
	memset(f->bytes + ND_AT + 4, 0xff, 4);
	seal6(f);
}

static void without_target(struct frame *f)
{
	f->length = ND_AT + 16;
	overwrite16(f, 18, 16);
	seal6(f);
}

static void longer_than_frame(struct frame *f)
{
	put_pattern(f, 8);
	overwrite16(f, 18, read16(f, 18) + 8);
	seal6(f);
	f->length--;
}

/* --- rows ------------------------------------------------------------------------------------ */

struct question {
	const char *description;
	int family;
	bool answered;
	const char *source;	 /* NULL: the client */
	const char *target;	 /* NULL: the VIP */
	const char *destination; /* IPv6; NULL: the target's solicited-node group */
	const uint8_t *to;	 /* Ethernet destination; NULL: broadcast or group */
	const uint8_t *asker;	 /* what it calls itself; NULL: what the frame is from */
	const char *options;	 /* IPv6; NULL: its MAC */
	size_t n_options;
	void (*edit)(struct frame *f);
};

#define ANSWERED      .answered = true
#define OPTIONS(text) .options = text, .n_options = sizeof(text) - 1
#define SOURCE_MAC    "\x01\x01\x02\xcc\xcc\xcc\xcc\x01"
#define OTHER_MAC     "\x01\x01\x02\xcc\xcc\xcc\xcc\x02"
#define NONCE	      "\x0e\x01nonce!"
#define LONG_OPTION   "\xfd\x03two and twenty letters"

static const struct question questions[] = {
	/* ARP. */
	{"request", 4, ANSWERED},
	{"request, padded", 4, ANSWERED, .edit = padded},
	{"request for another VIP, announced with the port's own MAC", 4, ANSWERED,
	 .target = VARIED4},
	{"request with a guess", 4, ANSWERED, .edit = guesses},
	{"request for a third party", 4, ANSWERED, .asker = other_mac},
	{"probe", 4, ANSWERED, .source = "0.0.0.0"},
	{"request to the port's own MAC", 4, ANSWERED, .to = node_mac},
	{"request to the virtual MAC", 4, ANSWERED, .to = virtual_mac4},
	{"probe to the virtual MAC", 4, ANSWERED, .to = virtual_mac4, .source = "0.0.0.0"},
	{"request to another MAC", 4, .to = egress_mac},
	{"request for no VIP", 4, .target = OTHER4},
	{"request for no VIP, to the port's own MAC", 4, .target = OTHER4, .to = node_mac},
	{"announcement", 4, .source = VIP4},
	{"announcement as a reply", 4, .source = VIP4, .edit = is_reply},
	{"reply", 4, .edit = is_reply},
	{"reply to the port's own MAC", 4, .to = node_mac, .edit = is_reply},
	{"operation 0", 4, .edit = operation_0},
	{"reverse ARP", 4, .edit = is_rarp},
	{"not Ethernet", 4, .edit = other_hardware},
	{"not IPv4", 4, .edit = other_protocol},
	{"hardware addresses of 8 bytes", 4, .edit = hardware_length_8},
	{"protocol addresses of 16 bytes", 4, .edit = protocol_length_16},
	{"the sender is everybody", 4, .asker = broadcast},
	{"tagged", 4, .edit = vlan_tag},
	{"the ethertype of IPv4", 4, .edit = is_ipv4},

	/* Neighbour solicitations. */
	{"solicitation", 6, ANSWERED},
	{"solicitation, padded", 6, ANSWERED, .edit = padded},
	{"solicitation for another VIP, announced with the port's own MAC", 6, ANSWERED,
	 .target = VARIED6},
	{"solicitation without options", 6, ANSWERED, OPTIONS("")},
	{"solicitation without options, padded", 6, ANSWERED, OPTIONS(""), .edit = padded},
	{"solicitation for a third party", 6, ANSWERED, .asker = other_mac},
	{"link-local source", 6, ANSWERED, .source = "fe80::7"},
	{"traffic class and flow label", 6, ANSWERED, .edit = traffic_class},
	{"reserved bits", 6, ANSWERED, .edit = reserved_bits},
	{"nonce and MAC", 6, ANSWERED, OPTIONS(NONCE SOURCE_MAC)},
	{"MAC and nonce", 6, ANSWERED, OPTIONS(SOURCE_MAC NONCE)},
	{"nonce alone", 6, ANSWERED, OPTIONS(NONCE)},
	{"unknown option and MAC", 6, ANSWERED, OPTIONS(LONG_OPTION SOURCE_MAC)},
	{"two MACs: the first", 6, ANSWERED, OPTIONS(OTHER_MAC SOURCE_MAC)},
	{"a MAC within an unknown option", 6, ANSWERED, OPTIONS("\xfd\x02      " OTHER_MAC)},
	{"the VIP as destination, in a multicast frame", 6, ANSWERED, .destination = VIP6},
	{"unicast", 6, ANSWERED, .destination = VIP6, .to = node_mac},
	{"unicast without options", 6, ANSWERED, OPTIONS(""), .destination = VIP6, .to = node_mac},
	{"unicast to the virtual MAC", 6, ANSWERED, .destination = VIP6, .to = virtual_mac6},
	{"to the group, in a frame to the port's own MAC", 6, ANSWERED, .to = node_mac},
	{"probe", 6, ANSWERED, .source = "::", OPTIONS("")},
	{"probe with a nonce", 6, ANSWERED, .source = "::", OPTIONS(NONCE)},
	{"unicast to another MAC", 6, .destination = VIP6, .to = egress_mac},
	{"for no VIP", 6, .target = OTHER6},
	{"for no VIP, unicast", 6, .target = OTHER6, .destination = OTHER6, .to = node_mac},
	{"for an IPv4 VIP in IPv6 clothes", 6, .target = "::ffff:" VIP4},
	{"to all nodes", 6, .destination = "ff02::1"},
	{"to the group of another address", 6, .destination = "ff02::1:ff00:11"},
	{"to another VIP", 6, .destination = VARIED6, .to = node_mac},
	{"probe, unicast", 6, .source = "::", OPTIONS(""), .destination = VIP6, .to = node_mac},
	{"probe with a MAC", 6, .source = "::"},
	{"from a group", 6, .source = "ff02::2"},
	{"from the VIP", 6, .source = VIP6},
	{"hop limit 254", 6, .edit = hop_limit_254},
	{"hop limit 0", 6, .edit = hop_limit_0},
	{"version 4", 6, .edit = is_version_4},
	{"the ethertype of IPv4", 6, .edit = is_ipv4},
	{"UDP", 6, .edit = is_udp},
	{"code 1", 6, .edit = code_1},
	{"wrong checksum", 6, .edit = wrong_checksum},
	{"no checksum", 6, .edit = no_checksum},
	{"advertisement", 6, .edit = is_advertisement},
	{"advertisement of the VIP", 6, .source = VIP6, .destination = "ff02::1",
	 .edit = is_advertisement},
	{"advertisement, unicast", 6, .destination = VIP6, .to = node_mac,
	 .edit = is_advertisement},
	{"router solicitation", 6, .edit = is_router_solicitation},
	{"echo request, unicast", 6, .destination = VIP6, .to = node_mac, .edit = is_echo},
	{"echo request to the virtual MAC", 6, .destination = VIP6, .to = virtual_mac6,
	 .edit = is_echo},
	{"no target", 6, .edit = without_target},
	{"longer than its frame", 6, .edit = longer_than_frame},
	{"half an option", 6, OPTIONS("\x01\x01\x02\xcc")},
	{"an option and a half", 6, OPTIONS(SOURCE_MAC "\x0e\x01no")},
	{"option without length", 6, OPTIONS("\xfd\0      " SOURCE_MAC)},
	{"second option without length", 6, OPTIONS(SOURCE_MAC "\xfd\0      ")},
	{"option beyond the message", 6, OPTIONS(NONCE "\xfd\x02      ")},
	{"a MAC of 14 bytes", 6, OPTIONS("\x01\x02              ")},
	{"the asker is everybody", 6, .asker = broadcast},
	{"half a unit of nothing", 6, OPTIONS("\0\0\0\0")},
	{"an option longer than anybody sends", 6,
	 OPTIONS("\xfd\x05\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
		 "\0\0")},
	{"more options than anybody sends", 6, OPTIONS(NONCE NONCE NONCE NONCE SOURCE_MAC)},
	{"tagged", 6, .edit = vlan_tag},
};
#define N_QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static void ask4(struct frame *f, const struct question *q)
{
	const struct ek_ip source = address(q->source ? q->source : CLIENT4);
	const struct ek_ip target = address(q->target ? q->target : VIP4);

	f->length = 0;
	put(f, q->to ? q->to : broadcast, 6);
	put(f, client_mac, 6);
	put(f, "\x08\x06\0\x01\x08\0\x06\x04\0\x01", 10);
	put(f, q->asker ? q->asker : client_mac, 6);
	put_address(f, 4, &source);
	put(f, "\0\0\0\0\0\0", 6);
	put_address(f, 4, &target);
}

static void ask6(struct frame *f, const struct question *q)
{
	const struct ek_ip source = address(q->source ? q->source : CLIENT6);
	const struct ek_ip target = address(q->target ? q->target : VIP6);
	struct ek_ip destination = address(q->destination ? q->destination : "ff02::1:ff00:0");
	uint8_t group[6] = "\x33\x33";

	if (!q->destination)
		memcpy(destination.bytes + 13, target.bytes + 13, 3);
	memcpy(group + 2, destination.bytes + 12, 4);
	f->length = 0;
	put(f, q->to ? q->to : group, 6);
	put(f, client_mac, 6);
	put16(f, 0x86dd);
	put_ip6(f, 0, 0, 24 + (q->options ? q->n_options : 8), IPPROTO_ICMPV6, 255);
	put_address(f, 6, &source);
	put_address(f, 6, &destination);
	put(f, "\x87\0\0\0\0\0\0\0", 8);
	put_address(f, 6, &target);
	if (q->options) {
		put(f, q->options, q->n_options);
	} else {
		put16(f, 0x0101);
		put(f, q->asker ? q->asker : client_mac, 6);
	}
	seal6(f);
}

static void ask(struct frame *f, const struct question *q)
{
	if (q->family == 4)
		ask4(f, q);
	else
		ask6(f, q);
	if (q->edit)
		q->edit(f);
}

#endif
