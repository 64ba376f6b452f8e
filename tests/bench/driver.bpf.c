/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The packet source of `make bench`, and the two programs that the balancer is held against.
 *
 * BPF_PROG_TEST_RUN does not restore the packet between its repeats: each leaves it to the next
 * as it is. So a driver runs first. It puts the head back where it was, writes the whole frame of
 * the next flow, and tail-calls the program under test, which returns straight to the test
 * runner. The driver does the same work whatever program follows (adjusting the head by 0 after
 * one that did not move it), so it cancels when the empty program is subtracted.
 *
 * The frame's stores would be forwarded to the loads of the program under test, or stall it where
 * a load spans two of them: an artefact, since a real frame comes from the NIC and lies in the
 * cache. So the last thing the driver does is count the packet with a locked instruction, which
 * drains the store buffer.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_helpers.h>
#include "driver.h"

struct source source;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} under_test SEC(".maps");

/*
 * 64 bits that name the next flow. The stride visits all flows, never in order; the multiplier
 * (2^64 over the golden ratio) spreads their numbers so that any 24 bits from the top tell a
 * million flows apart.
 */
static __always_inline __u64 next_flow(void)
{
	__u32 flow = source.flow, next = flow + source.stride;

	source.flow = next >= source.flows ? next - source.flows : next;
	return (flow + 1) * 0x9e3779b97f4a7c15ull;
}

/* The frame as the program under test found it: room for `length` bytes, or NULL. */
static __always_inline __u64 *restore_head(struct xdp_md *ctx, long length)
{
	void *data;

	if (bpf_xdp_adjust_head(ctx, (long)ctx->data_end - (long)ctx->data - length))
		return NULL;
	data = (void *)(long)ctx->data;
	return data + length <= (void *)(long)ctx->data_end ? data : NULL;
}

static __always_inline int hand_over(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&source.packets, 1);
	bpf_tail_call_static(ctx, &under_test, 0);
	return XDP_ABORTED;
}

/* Flow bits: the low 24 of the source address, the source port. */
SEC("xdp.frags")
int drive4(struct xdp_md *ctx)
{
	__u64 flow = next_flow(), *frame = restore_head(ctx, FRAME_LENGTH4);

	if (!frame)
		return XDP_ABORTED;
	frame[0] = source.frame[0];
	frame[1] = source.frame[1];
	frame[2] = source.frame[2];
	frame[3] = source.frame[3] | flow >> 40 << 24;
	frame[4] = source.frame[4] | (flow >> 24 & 0xffff) << 16;
	frame[5] = source.frame[5];
	frame[6] = source.frame[6];
	frame[7] = source.frame[7];
	return hand_over(ctx);
}

/* Flow bits: the low 48 of the source address, the source port. */
SEC("xdp.frags")
int drive6(struct xdp_md *ctx)
{
	__u64 flow = next_flow(), *frame = restore_head(ctx, FRAME_LENGTH6);

	if (!frame)
		return XDP_ABORTED;
	frame[0] = source.frame[0];
	frame[1] = source.frame[1];
	frame[2] = source.frame[2];
	frame[3] = source.frame[3];
	frame[4] = source.frame[4] | flow >> 16;
	frame[5] = source.frame[5];
	frame[6] = source.frame[6] | flow << 48;
	frame[7] = source.frame[7];
	frame[8] = source.frame[8];
	return hand_over(ctx);
}

SEC("xdp.frags")
int empty(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_TX;
}

/* 02:00:00:00:00:02 from 02:00:00:00:00:01, then the type and the header's first two bytes. */
#define BARE_MACS  0x0002020000000002ull
#define BARE_TYPE4 0x0045000801000000ull
#define BARE_TYPE6 0x0060dd8601000000ull

/* IP in IP with everything constant: what no balancer that encapsulates can do without. */
SEC("xdp.frags")
int bare4(struct xdp_md *ctx)
{
	__u64 *frame;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct iphdr)))
		return XDP_ABORTED;
	frame = (void *)(long)ctx->data;
	if ((void *)frame + ETH_HLEN + sizeof(struct iphdr) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	frame[0] = BARE_MACS;
	frame[1] = BARE_TYPE4;
	frame[2] = 0x0440000000003c00ull; /* length 60, TTL 64, IPv4 in IPv4 */
	frame[3] = 0x000a0100000abd65ull; /* checksum, 10.0.0.1 to 10.0.1.1 */
	*(__u16 *)&frame[4] = 0x0101;
	return XDP_TX;
}

SEC("xdp.frags")
int bare6(struct xdp_md *ctx)
{
	__u64 *frame;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct ipv6hdr)))
		return XDP_ABORTED;
	frame = (void *)(long)ctx->data;
	if ((void *)frame + ETH_HLEN + sizeof(struct ipv6hdr) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	frame[0] = BARE_MACS;
	frame[1] = BARE_TYPE6;
	frame[2] = 0x00fd40293c000000ull; /* length 60, IPv6 in IPv6, fd00::1 to fd00::1 */
	frame[3] = 0;
	frame[4] = 0x00fd010000000000ull;
	frame[5] = 0;
	*(__u32 *)&frame[6] = 0;
	*(__u16 *)((void *)&frame[6] + 4) = 0x0100;
	return XDP_TX;
}

char LICENSE[] SEC("license") = "GPL";
