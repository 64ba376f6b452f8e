/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The packet source of test_failover.py's rush: handshakes by BPF_PROG_TEST_RUN, two packets each
 * (SYN, and the client's ACK), every one of another client. The runner gives a program its own last
 * output to start from, so this writes a whole frame anew and tail-calls the program that is
 * attached to the node's interface.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define WORDS  8
#define LENGTH 64 /* 14 + 20 + 20, padded to whole words */
#define SYN    0x02
#define ACK    0x10

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} under_test SEC(".maps");

/* Written by the test; only `sent` changes. */
struct source {
	__u64 frame[WORDS]; /* without source, sequence number and flags, which are zero */
	__u64 sent;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct source);
} source SEC(".maps");

/* 131072 addresses from 198.18.0.0 on, and of each port 1024 first. */
static __always_inline __be32 address_of(__u64 connection)
{
	return bpf_htonl(0xc6120000u + (connection & 0x1ffff));
}

static __always_inline __be16 port_of(__u64 connection)
{
	return bpf_htons(1024 + (connection >> 17));
}

SEC("xdp.frags")
int rush(struct xdp_md *ctx)
{
	long length = (long)ctx->data_end - (long)ctx->data;
	__u32 zero = 0, sequence;
	struct source *s = bpf_map_lookup_elem(&source, &zero);
	__u64 connection, *out;
	__u8 flags;

	if (!s || bpf_xdp_adjust_head(ctx, length - LENGTH))
		return XDP_ABORTED;
	out = (void *)(long)ctx->data;
	if ((void *)(out + WORDS) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	connection = s->sent / 2;
	flags = s->sent % 2 ? ACK : SYN;
	sequence = bpf_htonl((__u32)connection * 2654435761u + s->sent % 2);
	s->sent++;
	out[0] = s->frame[0];
	out[1] = s->frame[1];
	out[2] = s->frame[2];
	out[3] = s->frame[3] | (__u64)address_of(connection) << 16;
	out[4] = s->frame[4] | (__u64)port_of(connection) << 16 | (__u64)(sequence & 0xffff) << 48;
	out[5] = s->frame[5] | sequence >> 16 | (__u64)flags << 56;
	out[6] = s->frame[6];
	out[7] = s->frame[7];
	bpf_tail_call_static(ctx, &under_test, 0);
	return XDP_ABORTED;
}

char LICENSE[] SEC("license") = "GPL";
