/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frames that say where a VIP is: an ARP announcement (RFC 5227, section 2.3) or an
 * unsolicited neighbour advertisement (RFC 4861, section 7.2.6), and the virtual MAC that may be in
 * them (RFC 9568, section 7.3). Pure; announce.c sends them.
 */
#include <arpa/inet.h>
#include <string.h>
#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include "announce.h"
#include "ip.h"

struct arp_frame {
	struct ethhdr ethernet;
	struct ether_arp arp;
} __attribute__((packed));

struct advertisement_frame {
	struct ethhdr ethernet;
	struct ip6_hdr ip;
	struct nd_neighbor_advert advertisement;
	struct nd_opt_hdr option;
	uint8_t mac[ETH_ALEN];
} __attribute__((packed));

#define ADVERTISEMENT_LENGTH \
	(sizeof(struct advertisement_frame) - offsetof(struct advertisement_frame, advertisement))

_Static_assert(sizeof(struct arp_frame) == 42, "ARP frame");
_Static_assert(sizeof(struct advertisement_frame) == 86, "neighbour advertisement frame");
_Static_assert(sizeof(struct advertisement_frame) <= EK_ANNOUNCE_FRAME_MAX, "room for a frame");

void ek_announce_vmac(uint8_t vrid, bool v6, uint8_t out[6])
{
	const uint8_t mac[ETH_ALEN] = {0x00, 0x00, 0x5e, 0x00, v6 ? 0x02 : 0x01, vrid};

	memcpy(out, mac, sizeof(mac));
}

static size_t arp_announcement(const struct ek_ip *vip, const uint8_t mac[6], uint8_t *out)
{
	struct arp_frame frame = {
		.ethernet.h_proto = htons(ETH_P_ARP),
		.arp.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
			       .ar_pro = htons(ETH_P_IP),
			       .ar_hln = ETH_ALEN,
			       .ar_pln = sizeof(vip->words[3]),
			       .ar_op = htons(ARPOP_REQUEST)},
	};

	memset(frame.ethernet.h_dest, 0xff, ETH_ALEN);
	memcpy(frame.ethernet.h_source, mac, ETH_ALEN);
	memcpy(frame.arp.arp_sha, mac, ETH_ALEN);
	memcpy(frame.arp.arp_spa, &vip->words[3], sizeof(frame.arp.arp_spa));
	memcpy(frame.arp.arp_tpa, &vip->words[3], sizeof(frame.arp.arp_tpa));
	memcpy(out, &frame, sizeof(frame));
	return sizeof(frame);
}

/* The ones' complement sum of 16-bit words in network order (RFC 1071); `length` is even. */
static uint32_t sum(const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint32_t total = 0;

	for (size_t i = 0; i < length; i += 2)
		total += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return total;
}

/* Over the pseudo-header of RFC 8200, section 8.1, and the message with a checksum of zero. */
static uint16_t checksum(const struct advertisement_frame *frame)
{
	uint32_t total = ADVERTISEMENT_LENGTH + IPPROTO_ICMPV6;

	total += sum(&frame->ip.ip6_src, 2 * sizeof(struct in6_addr));
	total += sum(&frame->advertisement, ADVERTISEMENT_LENGTH);
	total = (total & 0xffff) + (total >> 16);
	total += total >> 16;
	return htons((uint16_t)~total);
}

static size_t neighbour_advertisement(const struct ek_ip *vip, const uint8_t mac[6], uint8_t *out)
{
	static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
	struct advertisement_frame frame = {
		.ethernet.h_dest = {0x33, 0x33, 0, 0, 0, 1},
		.ethernet.h_proto = htons(ETH_P_IPV6),
		.ip.ip6_flow = htonl(6u << 28),
		.ip.ip6_plen = htons(ADVERTISEMENT_LENGTH),
		.ip.ip6_nxt = IPPROTO_ICMPV6,
		.ip.ip6_hlim = 255,
		.advertisement.nd_na_type = ND_NEIGHBOR_ADVERT,
		.advertisement.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE,
		.option = {.nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1},
	};

	memcpy(frame.ethernet.h_source, mac, ETH_ALEN);
	memcpy(&frame.ip.ip6_src, vip, sizeof(*vip));
	memcpy(&frame.ip.ip6_dst, all_nodes, sizeof(all_nodes));
	memcpy(&frame.advertisement.nd_na_target, vip, sizeof(*vip));
	memcpy(frame.mac, mac, ETH_ALEN);
	frame.advertisement.nd_na_cksum = checksum(&frame);
	memcpy(out, &frame, sizeof(frame));
	return sizeof(frame);
}

size_t ek_announce_frame(const struct ek_ip *vip, const uint8_t mac[6],
			 uint8_t out[EK_ANNOUNCE_FRAME_MAX])
{
	return ek_ip_family(vip) == AF_INET ? arp_announcement(vip, mac, out)
					    : neighbour_advertisement(vip, mac, out);
}
