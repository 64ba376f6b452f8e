/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The backend's program: takes the outer header off what balancers send (IPv4 or IPv6 in either,
 * RFC 2003, RFC 2473, RFC 4213) and hands the inner packet to the stack, which answers the client
 * from the VIP. It also keeps requests for a VIP's MAC from the stack. Everything else is passed
 * byte for byte.
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
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <evenkeel/backend_abi.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define IP_OFFSET_OR_MF bpf_htons(0x3fff)
#define ND_SOLICITATION 135

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

/* The first buffer of the frame, in which all headers lie. */
struct frame {
	void *data;
	void *end;
};

/* What the outer header says of the inner one. */
struct tunnel {
	__u32 inner;   /* where the inner header starts in the frame */
	__u32 payload; /* bytes from there to the end of the outer packet */
	__u8 protocol; /* IPPROTO_IPIP or IPPROTO_IPV6 */
	__u8 ecn;      /* of the outer header */
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

static __always_inline enum ek_decap_result outer4(struct xdp_md *ctx, const struct frame *frame,
						   struct tunnel *tunnel)
{
	const struct iphdr *ip = header(frame, ETH_HLEN, sizeof(*ip));
	__u32 length;

	if (!ip || (ip->protocol != IPPROTO_IPIP && ip->protocol != IPPROTO_IPV6))
		return EK_DECAP_OTHER;
	if (unlikely(*(__u8 *)ip != 0x45))
		return ip->version == 4 && ip->ihl > 5 ? EK_DECAP_OPTIONS : EK_DECAP_MALFORMED;
	if (unlikely(ip->frag_off & IP_OFFSET_OR_MF))
		return EK_DECAP_FRAGMENT;
	length = bpf_ntohs(ip->tot_len);
	if (unlikely(length < sizeof(*ip) || !reaches(ctx, frame, ETH_HLEN + length) ||
		     !checksum_holds(ip)))
		return EK_DECAP_MALFORMED;
	if (unlikely(!is_allowed4(ip->saddr)))
		return EK_DECAP_NOT_ALLOWED;

	tunnel->inner = ETH_HLEN + sizeof(*ip);
	tunnel->payload = length - sizeof(*ip);
	tunnel->protocol = ip->protocol;
	tunnel->ecn = ip->tos & CE;
	return EK_DECAP_GO_ON;
}

static __always_inline enum ek_decap_result outer6(struct xdp_md *ctx, const struct frame *frame,
						   struct tunnel *tunnel)
{
	const struct ipv6hdr *ip = header(frame, ETH_HLEN, sizeof(*ip));

	if (!ip)
		return EK_DECAP_OTHER;
	if (ip->nexthdr == IPPROTO_ICMPV6)
		return resolve6(frame);
	if (ip->nexthdr != IPPROTO_IPIP && ip->nexthdr != IPPROTO_IPV6)
		return EK_DECAP_OTHER;
	tunnel->inner = ETH_HLEN + sizeof(*ip);
	tunnel->payload = bpf_ntohs(ip->payload_len);
	if (unlikely(ip->version != 6 || !reaches(ctx, frame, tunnel->inner + tunnel->payload)))
		return EK_DECAP_MALFORMED;
	if (unlikely(!is_allowed6((unaligned64 *)&ip->saddr)))
		return EK_DECAP_NOT_ALLOWED;

	tunnel->protocol = ip->nexthdr;
	tunnel->ecn = ip->flow_lbl[0] >> 4 & CE;
	return EK_DECAP_GO_ON;
}

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
	/* RFC 1624, equation 3 */
	ip->check = ~fold((__u16)~ip->check + (__u16)~old + *word);
	return EK_DECAP_IPV4;
}

static __always_inline enum ek_decap_result ecn6(struct ipv6hdr *ip, __u8 outer)
{
	int ecn = ecn_merge(outer, ip->flow_lbl[0] >> 4 & CE);

	if (ecn < 0)
		return EK_DECAP_ECN_DROP;
	ip->flow_lbl[0] = (ip->flow_lbl[0] & ~(CE << 4)) | ecn << 4;
	return EK_DECAP_IPV6;
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
	return likely(!(tunnel->ecn & 1)) ? EK_DECAP_IPV4 : ecn4(ip, tunnel->ecn);
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
	return likely(!(tunnel->ecn & 1)) ? EK_DECAP_IPV6 : ecn6(ip, tunnel->ecn);
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
	unaligned64 *from = frame->data, *to = frame->data + shift;
	unaligned64 *from_source = frame->data + ETH_ALEN;
	unaligned64 *to_source = frame->data + shift + ETH_ALEN;
	__u64 destination = *from, source_and_type = *from_source;

	*to = destination;
	*to_source = (source_and_type & 0xffffffffffff) | type << 48;
	return bpf_xdp_adjust_head(ctx, shift) == 0;
}

static __always_inline enum ek_decap_result receive(struct xdp_md *ctx)
{
	struct frame frame = {(void *)(long)ctx->data, (void *)(long)ctx->data_end};
	const struct ethhdr *eth = header(&frame, 0, sizeof(*eth));
	enum ek_decap_result result;
	struct tunnel tunnel;

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

	result =
		tunnel.protocol == IPPROTO_IPIP ? inner4(&frame, &tunnel) : inner6(&frame, &tunnel);
	if (unlikely(result != EK_DECAP_IPV4 && result != EK_DECAP_IPV6))
		return result;
	return likely(decapsulate(ctx, &frame, &tunnel)) ? result : EK_DECAP_NOT_MOVED;
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
