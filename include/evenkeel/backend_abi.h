/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What evenkeel-backend and its XDP program (bpf/backend.bpf.c) both see: the configuration,
 * constant once the program is loaded, and the names of what became of a packet.
 *
 * The families are kept apart, so that no IPv6 packet with a v4-mapped address matches an IPv4
 * prefix or VIP. Addresses and masks lie as they do on the wire.
 */
#ifndef EVENKEEL_BACKEND_ABI_H
#define EVENKEEL_BACKEND_ABI_H

#include <evenkeel/abi.h>

#define EK_DECAP_VIPS_MAX  128u /* both families together, as are the prefixes */
#define EK_DECAP_ALLOW_MAX 64u
#define EK_DECAP_DSCPS	   64u	 /* code points; 0 names no VIP */
#define EK_DECAP_OWN_MAX   1024u /* the host's own addresses */
#define EK_DECAP_GUE_PORT  6080	 /* assigned by IANA */

struct ek_decap_prefix4 {
	__be32 network;
	__be32 mask;
};

struct ek_decap_prefix6 {
	struct ek_ip network;
	struct ek_ip mask;
};

struct ek_decap_config {
	__u32 vips4; /* used entries of vip4; no VIP of either family: any inner destination */
	__u32 vips6;
	__u32 allow4; /* used entries of prefix4; no prefix of either family: any outer source */
	__u32 allow6;
	__u32 dscps4; /* used entries of dscp4; 0: no IPv4 packet is looked at for its DSCP */
	__u32 dscps6;
	__be16 gue_port; /* 0: no GUE */
	__u16 pad[3];
	__be32 vip4[EK_DECAP_VIPS_MAX];
	struct ek_ip vip6[EK_DECAP_VIPS_MAX];
	struct ek_decap_prefix4 prefix4[EK_DECAP_ALLOW_MAX];
	struct ek_decap_prefix6 prefix6[EK_DECAP_ALLOW_MAX];
	__be32 dscp4[EK_DECAP_DSCPS]; /* the VIP that a code point names; zero: none */
	struct ek_ip dscp6[EK_DECAP_DSCPS];
};
_Static_assert(sizeof(struct ek_decap_config) ==
		       32 + 128 * (4 + 16) + 64 * (8 + 32) + 64 * (4 + 16),
	       "no padding");

/*
 * What became of a packet: X(NAME, "name", "description"), in the order of verdicts. First those
 * that go on to the stack without their outer header or to the VIP that their DSCP names, then
 * those that go on byte for byte, then the drops. Each has a counter; traffic that neither is
 * tunnelled nor has a mapped DSCP (EK_DECAP_OTHER) has none.
 */
#define EK_DECAP_RESULTS(X)                                                                     \
	X(IPV4, "decapsulated-ipv4", "an IPv4 packet inside IP was handed to the stack")        \
	X(IPV6, "decapsulated-ipv6", "an IPv6 packet inside IP was handed to the stack")        \
	X(GUE_IPV4, "gue-ipv4", "an IPv4 packet inside GUE was handed to the stack")            \
	X(GUE_IPV6, "gue-ipv6", "an IPv6 packet inside GUE was handed to the stack")            \
	X(DSCP_IPV4, "dscp-ipv4", "an IPv4 packet got the VIP that its DSCP names")             \
	X(DSCP_IPV6, "dscp-ipv6", "an IPv6 packet got the VIP that its DSCP names")             \
	X(MALFORMED, "malformed", "passed: a header contradicts itself, another or the frame")  \
	X(OPTIONS, "outer-options", "passed: the outer IPv4 header has options")                \
	X(FRAGMENT, "outer-fragment", "passed: a fragment of an outer packet")                  \
	X(NOT_ALLOWED, "not-allowed", "passed: the outer source is in no --allow prefix")       \
	X(NOT_A_VIP, "not-a-vip", "passed: the inner destination is no --vip")                  \
	X(GUE_OTHER, "gue-other",                                                               \
	  "passed: GUE of another kind: control, flags, version, protocol")                     \
	X(DSCP_OTHER, "dscp-other", "passed: a mapped DSCP on neither TCP, UDP nor ICMP")       \
	X(ECN_DROP, "ecn-drop", "dropped: congestion marked outside, no ECN inside (RFC 6040)") \
	X(ARP_SUPPRESSED, "arp-suppressed", "dropped: an ARP request for a VIP")                \
	X(ND_SUPPRESSED, "nd-suppressed", "dropped: a neighbour solicitation for a VIP")        \
	X(NOT_MOVED, "not-moved", "dropped: the kernel would not move the start of the frame")

enum ek_decap_result {
	EK_DECAP_GO_ON = 0, /* between stages: nothing decided yet */
	EK_DECAP_OTHER = 1, /* not ours: passed, byte for byte */
#define X(name, text, description) EK_DECAP_##name,
	EK_DECAP_RESULTS(X)
#undef X
		EK_DECAP_RESULT_COUNT
};
#define EK_DECAP_FIRST_COUNTED EK_DECAP_IPV4
#define EK_DECAP_FIRST_PASSED  EK_DECAP_MALFORMED
#define EK_DECAP_FIRST_DROP    EK_DECAP_ECN_DROP

#endif
