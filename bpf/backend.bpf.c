/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The backend's program: takes the outer header off what balancers send (IPv4 or IPv6 in either,
 * RFC 2003, RFC 2473, RFC 4213, or in GUE, draft-ietf-intarea-gue) or gives a packet the VIP that
 * its DSCP names (L3DSR), and hands it to the stack, which answers the client from the VIP. It
 * also keeps requests for a VIP's MAC from the stack. Everything else is passed byte for byte.
 *
 * One program, static-inline stages in packet order. A stage returns EK_DECAP_GO_ON or what
 * became of the packet; verdict() alone turns that into an XDP action and a counter.
 */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <evenkeel/backend_abi.h>
#include <evenkeel/hash.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define IP_OFFSET_OR_MF bpf_htons(0x3fff)
#define IP_OFFSET	bpf_htons(0x1fff)
#define IP6_OFFSET	bpf_htons(0xfff8)
#define ND_SOLICITATION 135

/* The first two bytes of an IPv6 header on the wire, as a little-endian number: its DSCP. */
#define IP6_DSCP 0xc00f

/* Options and fragment headers before a transport header; RFC 8200 has at most four. */
#define EXTENSIONS_MAX 4

/* The first byte of GUE: the variant; in variant 0 then the control bit, and the words that follow.
 */
#define GUE_VARIANT(first) ((first) >> 6)
#define GUE_WORDS	   0x1f

enum { NOT_ECT = 0, ECT_1 = 1, ECT_0 = 2, CE = 3 };

typedef __u64 unaligned64 __attribute__((aligned(2), may_alias));

/* Set by evenkeel-backend before it loads the program; what is unused the verifier removes. */
const volatile struct ek_decap_config config;

/* Writer: this program, each CPU its own row. Reader: evenkeel-backend. Lives with the program. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EK_DECAP_RESULT_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

/*
 * The host's own addresses, without its VIPs; IPv4 ones v4-mapped. Writer: evenkeel-backend, as
 * they come and go. Reader: this program. Lives with the program.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, EK_DECAP_OWN_MAX);
	__type(key, struct ek_ip);
	__type(value, __u8);
} own SEC(".maps");

/* The first buffer of the frame, in which all headers lie. */
struct frame {
	void *data;
	void *end;
};

/* What the outer headers say of the inner one. */
struct tunnel {
	__u32 inner;   /* where the inner header starts in the frame */
	__u32 payload; /* bytes from there to the end of the outer packet */
	__u8 protocol; /* IPPROTO_IPIP or IPPROTO_IPV6 */
	__u8 ecn;      /* of the outer header */
	bool gue;
};

/* The only bounds check: `size` bytes at `offset`, or NULL. */
static __always_inline void *header(const struct frame *frame, __u32 offset, __u32 size)
{
	void *start = frame->data + offset;

	return start + size > frame->end ? NULL : start;
}

/* Whether the frame is `length` long, its further buffers included (jumbo frames). */
static __always_inline bool reaches(struct xdp_md *ctx, const struct frame *frame, __u32 length)
{
	return frame->data + length <= frame->end || length <= bpf_xdp_get_buff_len(ctx);
}

static __always_inline bool is_vip4(__be32 address)
{
	for (__u32 i = 0; i < EK_DECAP_VIPS_MAX && i < config.vips4; i++)
		if (config.vip4[i] == address)
			return true;
	return false;
}

static __always_inline bool is_vip6(const unaligned64 *address)
{
	for (__u32 i = 0; i < EK_DECAP_VIPS_MAX && i < config.vips6; i++)
		if (config.vip6[i].halves[1] == address[1] &&
		    config.vip6[i].halves[0] == address[0])
			return true;
	return false;
}

static __always_inline bool is_allowed4(__be32 source)
{
	if (!config.allow4 && !config.allow6)
		return true;
	for (__u32 i = 0; i < EK_DECAP_ALLOW_MAX && i < config.allow4; i++)
		if ((source & config.prefix4[i].mask) == config.prefix4[i].network)
			return true;
	return false;
}

static __always_inline bool is_allowed6(const unaligned64 *source)
{
	const volatile struct ek_decap_prefix6 *p = config.prefix6;

	if (!config.allow4 && !config.allow6)
		return true;
	for (__u32 i = 0; i < EK_DECAP_ALLOW_MAX && i < config.allow6; i++, p++)
		if ((source[0] & p->mask.halves[0]) == p->network.halves[0] &&
		    (source[1] & p->mask.halves[1]) == p->network.halves[1])
			return true;
	return false;
}

/*
 * The VIP's MAC is the balancer's to tell. The stack keeps silent too (arp_ignore; and Linux
 * answers a solicitation only for addresses of the interface it came in by), but not if the VIP
 * is on this interface, or if somebody resets the sysctls.
 */
static __always_inline enum ek_decap_result resolve4(const struct frame *frame)
{
	struct {
		__be16 hardware, protocol;
		__u8 hardware_length, protocol_length;
		__be16 operation;
		__u8 sender[10], target_mac[6];
		__be16 target[2];
	} *arp = header(frame, ETH_HLEN, sizeof(*arp));

	if (!arp || *(unaligned64 *)arp != bpf_cpu_to_be64(0x0001080006040001))
		return EK_DECAP_OTHER;
	return is_vip4(arp->target[0] | (__u32)arp->target[1] << 16) ? EK_DECAP_ARP_SUPPRESSED
								     : EK_DECAP_OTHER;
}

static __always_inline enum ek_decap_result resolve6(const struct frame *frame)
{
	struct {
		__u8 type, code;
		__be16 checksum, reserved[2];
		__be16 target[8];
	} *ns = header(frame, ETH_HLEN + sizeof(struct ipv6hdr), sizeof(*ns));

	if (!ns || ns->type != ND_SOLICITATION)
		return EK_DECAP_OTHER;
	return is_vip6((unaligned64 *)ns->target) ? EK_DECAP_ND_SUPPRESSED : EK_DECAP_OTHER;
}

static __always_inline __u32 fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* A header without options sums to all ones (RFC 1071). The stack never sees this one. */
static __always_inline bool checksum_holds(const struct iphdr *ip)
{
	const unaligned64 *half = (const unaligned64 *)ip;
	__u64 a = half[0], b = half[1];

	return fold((a >> 32) + (__u32)a + (b >> 32) + (__u32)b + ip->daddr) == 0xffff;
}

/* --- L3DSR ----------------------------------------------------------------------------------- */

static __always_inline bool is_own4(__be32 address)
{
	struct ek_ip key = {.halves = {0, EK_V4_MAPPED | (__u64)address << 32}};

	return bpf_map_lookup_elem(&own, &key);
}

static __always_inline bool is_own6(const unaligned64 *address)
{
	struct ek_ip key = {.halves = {address[0], address[1]}};

	return !ek_ip_is_v4(&key) && bpf_map_lookup_elem(&own, &key);
}

/* RFC 1624, equation 3; `change` is the sum of what is new and of the complement of the old. */
static __always_inline __u16 check_adjust(__u16 check, __u64 change)
{
	return ~fold((__u16)~check + change);
}

static __always_inline __u64 change32(__u32 old, __u32 new)
{
	return (__u64)(__u32)~old + new;
}

static __always_inline __u64 change64(__u64 old, __u64 new)
{
	return change32(old, new) + change32(old >> 32, new >> 32);
}

/* Errors and echo. Neighbour discovery and the rest are about the link, not about a VIP. */
static __always_inline bool is_for_vip6(__u8 type)
{
	return (type >= 1 && type <= 4) || type == 128 || type == 129;
}

/*
 * Makes a transport header of `room` bytes or less fit its new destination. All that can be
 * wrong with it is found before anything is written.
 */
static __always_inline enum ek_decap_result readdress(const struct frame *frame, __u32 at,
						      __u32 room, __u8 protocol, __u64 change)
{
	struct tcphdr *tcp = header(frame, at, sizeof(*tcp));
	struct udphdr *udp = header(frame, at, sizeof(*udp));
	struct {
		__u8 type, code;
		__be16 check;
	} *icmp6 = (void *)udp;

	if (unlikely(!udp || room < sizeof(*udp)))
		return EK_DECAP_MALFORMED;
	if (protocol == IPPROTO_TCP) {
		if (unlikely(!tcp || room < sizeof(*tcp)))
			return EK_DECAP_MALFORMED;
		tcp->check = check_adjust(tcp->check, change);
	} else if (protocol == IPPROTO_UDP) {
		if (udp->check)
			udp->check = check_adjust(udp->check, change) ?: 0xffff;
	} else if (protocol == IPPROTO_ICMPV6) {
		if (!is_for_vip6(icmp6->type))
			return EK_DECAP_OTHER;
		icmp6->check = check_adjust(icmp6->check, change);
	}
	return EK_DECAP_GO_ON; /* the checksum of ICMP covers no address */
}

/*
 * A packet to the host itself whose DSCP names a VIP becomes one to that VIP without a DSCP. Any
 * source may be in it, for it is the client's. Of a fragment that is not the first, only the IP
 * header changes; the checksum in the first one is right for the whole.
 */
static __always_inline enum ek_decap_result restore4(struct xdp_md *ctx, const struct frame *frame)
{
	struct iphdr *ip = header(frame, ETH_HLEN, sizeof(*ip));
	enum ek_decap_result result = EK_DECAP_GO_ON;
	__u32 size, length;
	__u16 *word, old;
	__u64 change;
	__be32 vip;

	if (likely(!config.dscps4 || !ip || !config.dscp4[ip->tos >> 2] || !is_own4(ip->daddr)))
		return EK_DECAP_OTHER;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP &&
	    ip->protocol != IPPROTO_ICMP)
		return EK_DECAP_DSCP_OTHER;
	size = ip->ihl * 4u;
	length = bpf_ntohs(ip->tot_len);
	if (unlikely(ip->version != 4 || size < sizeof(*ip) || length < size ||
		     !reaches(ctx, frame, ETH_HLEN + length)))
		return EK_DECAP_MALFORMED;

	vip = config.dscp4[ip->tos >> 2];
	change = change32(ip->daddr, vip);
	if (!(ip->frag_off & IP_OFFSET))
		result = readdress(frame, ETH_HLEN + size, length - size, ip->protocol, change);
	if (unlikely(result != EK_DECAP_GO_ON))
		return result;
	word = (__u16 *)ip; /* on the wire: version and length, TOS */
	old = *word;
	*word = old & (CE << 8 | 0xff);
	ip->daddr = vip;
	ip->check = check_adjust(ip->check, change + (__u16)~old + *word);
	return EK_DECAP_DSCP_IPV4;
}

/* What follows the IPv6 header: where the transport header is, and if it is there. */
struct upper {
	__u32 at;
	__u8 protocol;
	bool absent; /* a fragment, not the first */
};

/* Over one extension header. False: there is none, or none of a kind that is known. */
static __always_inline bool skip_extension(const struct frame *frame, struct upper *upper)
{
	struct {
		__u8 next, words;
		__be16 offset;
		__u32 id;
	} *extension = header(frame, upper->at, sizeof(*extension));

	if (upper->absent || !extension)
		return false;
	switch (upper->protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_DSTOPTS:
		upper->at += 8 + extension->words * 8u;
		break;
	case IPPROTO_FRAGMENT:
		upper->at += sizeof(*extension);
		upper->absent = extension->offset & IP6_OFFSET;
		break;
	default:
		return false;
	}
	upper->protocol = extension->next;
	return true;
}

static __always_inline enum ek_decap_result restore6(struct xdp_md *ctx, const struct frame *frame)
{
	struct ipv6hdr *ip = header(frame, ETH_HLEN, sizeof(*ip));
	enum ek_decap_result result = EK_DECAP_GO_ON;
	unaligned64 *to;
	__u64 vip[2];
	__u32 dscp, end;
	struct upper upper;

	if (likely(!config.dscps6 || !ip))
		return EK_DECAP_OTHER;
	dscp = bpf_ntohs(*(__be16 *)ip) >> 6 & (EK_DECAP_DSCPS - 1);
	vip[0] = config.dscp6[dscp].halves[0];
	vip[1] = config.dscp6[dscp].halves[1];
	to = (unaligned64 *)&ip->daddr;
	if (likely(!(vip[0] | vip[1]) || !is_own6(to)))
		return EK_DECAP_OTHER;

	end = ETH_HLEN + sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (unlikely(ip->version != 6 || !reaches(ctx, frame, end)))
		return EK_DECAP_MALFORMED;
	upper = (struct upper){.at = ETH_HLEN + sizeof(*ip), .protocol = ip->nexthdr};
	for (int i = 0; i < EXTENSIONS_MAX && skip_extension(frame, &upper); i++)
		;
	if (upper.protocol != IPPROTO_TCP && upper.protocol != IPPROTO_UDP &&
	    upper.protocol != IPPROTO_ICMPV6)
		return EK_DECAP_DSCP_OTHER;
	if (unlikely(upper.at > end))
		return EK_DECAP_MALFORMED;
	if (!upper.absent)
		result = readdress(frame, upper.at, end - upper.at, upper.protocol,
				   change64(to[0], vip[0]) + change64(to[1], vip[1]));
	if (unlikely(result != EK_DECAP_GO_ON))
		return result;
	*(__u16 *)ip &= ~IP6_DSCP;
	to[0] = vip[0];
	to[1] = vip[1];
	return EK_DECAP_DSCP_IPV6;
}

/* --- outer headers --------------------------------------------------------------------------- */

static __always_inline bool is_ip(__u8 protocol)
{
	return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6;
}

static __always_inline bool is_gue(const struct frame *frame, __u32 at)
{
	const struct udphdr *udp = header(frame, at, sizeof(*udp));

	return udp && udp->dest == config.gue_port;
}

/* Only what is whole or a first fragment, and has no options, shows its port where we look. */
static __always_inline bool is_gue4(const struct frame *frame, const struct iphdr *ip)
{
	return config.gue_port && ip->protocol == IPPROTO_UDP && *(__u8 *)ip == 0x45 &&
	       !(ip->frag_off & IP_OFFSET) && is_gue(frame, ETH_HLEN + sizeof(*ip));
}

/*
 * From the UDP header, at tunnel->inner, to the inner IP header. What is behind the fixed part
 * without a flag that names it is skipped. A flag may mean that the rest is enciphered, cut in
 * pieces or wants its checksum completed: none is known here. The UDP checksum is not looked at.
 */
static __always_inline enum ek_decap_result skip_gue(const struct frame *frame,
						     struct tunnel *tunnel)
{
	const struct {
		struct udphdr udp;
		__u8 first, protocol;
		__be16 flags;
	} *gue = header(frame, tunnel->inner, sizeof(*gue));
	__u32 length, skip;

	if (unlikely(!gue))
		return EK_DECAP_MALFORMED;
	length = bpf_ntohs(gue->udp.len);
	if (unlikely(length > tunnel->payload))
		return EK_DECAP_MALFORMED;
	if (GUE_VARIANT(gue->first) == 1) {
		skip = sizeof(gue->udp);
		tunnel->protocol = gue->first >> 4 == 4	  ? IPPROTO_IPIP
				   : gue->first >> 4 == 6 ? IPPROTO_IPV6
							  : 0;
	} else {
		if (unlikely(gue->first & ~GUE_WORDS || gue->flags))
			return EK_DECAP_GUE_OTHER;
		skip = sizeof(*gue) + (gue->first & GUE_WORDS) * 4u;
		tunnel->protocol = gue->protocol;
	}
	if (unlikely(!is_ip(tunnel->protocol)))
		return EK_DECAP_GUE_OTHER;
	if (unlikely(skip > length))
		return EK_DECAP_MALFORMED;
	tunnel->inner += skip;
	tunnel->payload = length - skip;
	return EK_DECAP_GO_ON;
}

static __always_inline enum ek_decap_result outer4(struct xdp_md *ctx, const struct frame *frame,
						   struct tunnel *tunnel)
{
	const struct iphdr *ip = header(frame, ETH_HLEN, sizeof(*ip));
	enum ek_decap_result result;
	__u32 length;

	if (!ip)
		return EK_DECAP_OTHER;
	tunnel->gue = is_gue4(frame, ip);
	if (!is_ip(ip->protocol) && !(tunnel->gue && is_allowed4(ip->saddr))) {
		result = restore4(ctx, frame);
		return tunnel->gue && result == EK_DECAP_OTHER ? EK_DECAP_NOT_ALLOWED : result;
	}
	if (unlikely(*(__u8 *)ip != 0x45))
		return ip->version == 4 && ip->ihl > 5 ? EK_DECAP_OPTIONS : EK_DECAP_MALFORMED;
	if (unlikely(ip->frag_off & IP_OFFSET_OR_MF))
		return EK_DECAP_FRAGMENT;
	length = bpf_ntohs(ip->tot_len);
	if (unlikely(length < sizeof(*ip) || !reaches(ctx, frame, ETH_HLEN + length) ||
		     !checksum_holds(ip)))
		return EK_DECAP_MALFORMED;
	if (unlikely(!tunnel->gue && !is_allowed4(ip->saddr)))
		return EK_DECAP_NOT_ALLOWED;

	tunnel->inner = ETH_HLEN + sizeof(*ip);
	tunnel->payload = length - sizeof(*ip);
	tunnel->protocol = ip->protocol;
	tunnel->ecn = ip->tos & CE;
	return tunnel->gue ? skip_gue(frame, tunnel) : EK_DECAP_GO_ON;
}

static __always_inline enum ek_decap_result outer6(struct xdp_md *ctx, const struct frame *frame,
						   struct tunnel *tunnel)
{
	const struct ipv6hdr *ip = header(frame, ETH_HLEN, sizeof(*ip));
	enum ek_decap_result result = EK_DECAP_OTHER;

	if (!ip)
		return EK_DECAP_OTHER;
	tunnel->inner = ETH_HLEN + sizeof(*ip);
	tunnel->gue = config.gue_port && ip->nexthdr == IPPROTO_UDP && is_gue(frame, tunnel->inner);
	if (ip->nexthdr == IPPROTO_ICMPV6)
		result = resolve6(frame);
	if (result != EK_DECAP_OTHER)
		return result;
	if (!is_ip(ip->nexthdr) && !(tunnel->gue && is_allowed6((unaligned64 *)&ip->saddr))) {
		result = restore6(ctx, frame);
		return tunnel->gue && result == EK_DECAP_OTHER ? EK_DECAP_NOT_ALLOWED : result;
	}
	tunnel->payload = bpf_ntohs(ip->payload_len);
	if (unlikely(ip->version != 6 || !reaches(ctx, frame, tunnel->inner + tunnel->payload)))
		return EK_DECAP_MALFORMED;
	if (unlikely(!tunnel->gue && !is_allowed6((unaligned64 *)&ip->saddr)))
		return EK_DECAP_NOT_ALLOWED;

	tunnel->protocol = ip->nexthdr;
	tunnel->ecn = ip->flow_lbl[0] >> 4 & CE;
	return tunnel->gue ? skip_gue(frame, tunnel) : EK_DECAP_GO_ON;
}

/* --- inner headers --------------------------------------------------------------------------- */

/*
 * RFC 6040 section 4.2: the ECN field that goes on, given both. Only an outer CE or ECT(1) can
 * change anything. Negative: drop, since the sender would never learn of the congestion.
 */
static __always_inline int ecn_merge(__u8 outer, __u8 inner)
{
	if (outer == CE)
		return inner == NOT_ECT ? -1 : CE;
	return outer == ECT_1 && inner == ECT_0 ? ECT_1 : inner;
}

static __always_inline enum ek_decap_result ecn4(struct iphdr *ip, __u8 outer)
{
	__u16 *word = (__u16 *)ip, old = *word; /* on the wire: version and length, TOS */
	int ecn = ecn_merge(outer, ip->tos & CE);

	if (ecn < 0)
		return EK_DECAP_ECN_DROP;
	*word = (old & ~(CE << 8)) | ecn << 8;
	ip->check = check_adjust(ip->check, (__u16)~old + *word);
	return EK_DECAP_GO_ON;
}

static __always_inline enum ek_decap_result ecn6(struct ipv6hdr *ip, __u8 outer)
{
	int ecn = ecn_merge(outer, ip->flow_lbl[0] >> 4 & CE);

	if (ecn < 0)
		return EK_DECAP_ECN_DROP;
	ip->flow_lbl[0] = (ip->flow_lbl[0] & ~(CE << 4)) | ecn << 4;
	return EK_DECAP_GO_ON;
}

static __always_inline enum ek_decap_result inner4(const struct frame *frame,
						   const struct tunnel *tunnel)
{
	struct iphdr *ip = header(frame, tunnel->inner, sizeof(*ip));
	__u32 length;

	if (unlikely(!ip || ip->version != 4 || ip->ihl < 5))
		return EK_DECAP_MALFORMED;
	length = bpf_ntohs(ip->tot_len);
	if (unlikely(length < ip->ihl * 4u || length > tunnel->payload))
		return EK_DECAP_MALFORMED;
	if (unlikely((config.vips4 || config.vips6) && !is_vip4(ip->daddr)))
		return EK_DECAP_NOT_A_VIP;
	return likely(!(tunnel->ecn & 1)) ? EK_DECAP_GO_ON : ecn4(ip, tunnel->ecn);
}

static __always_inline enum ek_decap_result inner6(const struct frame *frame,
						   const struct tunnel *tunnel)
{
	struct ipv6hdr *ip = header(frame, tunnel->inner, sizeof(*ip));

	if (unlikely(!ip || ip->version != 6 ||
		     bpf_ntohs(ip->payload_len) + sizeof(*ip) > tunnel->payload))
		return EK_DECAP_MALFORMED;
	if (unlikely((config.vips4 || config.vips6) && !is_vip6((unaligned64 *)&ip->daddr)))
		return EK_DECAP_NOT_A_VIP;
	return likely(!(tunnel->ecn & 1)) ? EK_DECAP_GO_ON : ecn6(ip, tunnel->ecn);
}

/*
 * The Ethernet header is written where it will be, over the end of the outer IP header, so that
 * no pointer is needed once the start of the frame has moved.
 */
static __always_inline bool decapsulate(struct xdp_md *ctx, const struct frame *frame,
					const struct tunnel *tunnel)
{
	__u64 type = tunnel->protocol == IPPROTO_IPIP ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	__u32 shift = tunnel->inner - ETH_HLEN;
	unaligned64 *from = header(frame, 0, ETH_HLEN), *to = header(frame, shift, ETH_HLEN);
	__u64 destination, source_and_type;

	if (!from || !to)
		return false;
	destination = *from;
	source_and_type = *(unaligned64 *)((void *)from + ETH_ALEN);
	*to = destination;
	*(unaligned64 *)((void *)to + ETH_ALEN) = (source_and_type & 0xffffffffffff) | type << 48;
	return bpf_xdp_adjust_head(ctx, shift) == 0;
}

static __always_inline enum ek_decap_result receive(struct xdp_md *ctx)
{
	struct frame frame = {(void *)(long)ctx->data, (void *)(long)ctx->data_end};
	const struct ethhdr *eth = header(&frame, 0, sizeof(*eth));
	enum ek_decap_result result;
	struct tunnel tunnel;
	bool v4;

	if (!eth)
		return EK_DECAP_OTHER;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		result = outer4(ctx, &frame, &tunnel);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		result = outer6(ctx, &frame, &tunnel);
	else if (eth->h_proto == bpf_htons(ETH_P_ARP))
		return resolve4(&frame);
	else
		return EK_DECAP_OTHER;
	if (result != EK_DECAP_GO_ON)
		return result;

	v4 = tunnel.protocol == IPPROTO_IPIP;
	result = v4 ? inner4(&frame, &tunnel) : inner6(&frame, &tunnel);
	if (unlikely(result != EK_DECAP_GO_ON))
		return result;
	if (unlikely(!decapsulate(ctx, &frame, &tunnel)))
		return EK_DECAP_NOT_MOVED;
	if (tunnel.gue)
		return v4 ? EK_DECAP_GUE_IPV4 : EK_DECAP_GUE_IPV6;
	return v4 ? EK_DECAP_IPV4 : EK_DECAP_IPV6;
}

static __always_inline int verdict(enum ek_decap_result result)
{
	__u32 row = result;
	__u64 *count;

	if (likely(result == EK_DECAP_OTHER))
		return XDP_PASS;
	count = bpf_map_lookup_elem(&results, &row);
	if (count)
		(*count)++;
	return result >= EK_DECAP_FIRST_DROP ? XDP_DROP : XDP_PASS;
}

/* Frames of several buffers are welcome: only headers are touched, and they are in the first. */
SEC("xdp.frags")
int evenkeel_backend(struct xdp_md *ctx)
{
	return verdict(receive(ctx));
}

char LICENSE[] SEC("license") = "GPL";
