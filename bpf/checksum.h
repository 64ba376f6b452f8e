/* SPDX-License-Identifier: GPL-2.0-only */
/* The Internet checksum (RFC 1071) of what the data plane writes itself, eight bytes at a time. */
#ifndef EVENKEEL_BPF_CHECKSUM_H
#define EVENKEEL_BPF_CHECKSUM_H

#include "parse.h"

/* The ones'-complement sum of 8 bytes more, before it is folded. */
static __always_inline __u64 sum_add(__u64 sum, __u64 word)
{
	return sum + (__u32)word + (word >> 32);
}

/* Of fewer than 64 such words. */
static __always_inline __u16 sum_fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* What a pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1) has beside the addresses. */
static __always_inline __u64 sum_begin(__u32 length, __u8 protocol)
{
	return (__u64)bpf_htonl(length) + bpf_htonl(protocol);
}

#endif
