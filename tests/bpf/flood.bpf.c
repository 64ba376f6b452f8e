/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The packet source of test_flood.c and test_cpus.c: millions of packets by one BPF_PROG_TEST_RUN.
 * The runner gives a program its own last output to start from, so each of these writes a whole
 * frame anew and tail-calls the program under test; and, before that, looks at what became of the
 * last one.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "flood.h"

const volatile struct ek_hash_key hash_key;
const volatile __u32 flow_mask;

__u64 frame[FLOOD_WORDS]; /* without source, sequence number and flags, which are zero */

/* The flood's. One CPU at a time. */
__u64 flood_sent;
__u32 flood_flags, flood_audited;
struct flood_tuple flood_live[FLOOD_LIVE];
struct flood_audit flood_audit;
struct {
	__u64 hash;
	__u32 bucket, pending;
	struct ek_flow_bucket before;
} watched;

/* The duel's. Every CPU draws from one counter, so that two packets of a flow meet. */
__u64 duel_ticket;
__u32 duel_row[DUEL_FLOWS]; /* of those that are held */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} under_test SEC(".maps");

/* The balancer's own. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ek_flow_bucket);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct duel_tally);
} tallies SEC(".maps");

struct segment {
	struct flood_tuple from;
	__u32 sequence;
	__u32 flags;
};

static __always_inline int send(struct xdp_md *ctx, const struct segment *s)
{
	long length = (long)ctx->data_end - (long)ctx->data;
	__be32 sequence = bpf_htonl(s->sequence);
	__u64 *out;

	if (bpf_xdp_adjust_head(ctx, length - FLOOD_LENGTH))
		return XDP_ABORTED;
	out = (void *)(long)ctx->data;
	if ((void *)(out + FLOOD_WORDS) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	out[0] = frame[0];
	out[1] = frame[1];
	out[2] = frame[2];
	out[3] = frame[3] | (__u64)s->from.address << 16;
	out[4] = frame[4] | (__u64)s->from.port << 16 | (__u64)(sequence & 0xffff) << 48;
	out[5] = frame[5] | sequence >> 16 | (__u64)s->flags << 56;
	out[6] = frame[6];
	out[7] = frame[7];
	bpf_tail_call_static(ctx, &under_test, 0);
	return XDP_ABORTED;
}

/* --- the flood ------------------------------------------------------------------------------- */

/*
 * Of every eight packets, three walk through every port of the live clients, one is of a live
 * connection, and four are from anywhere.
 */
static __always_inline struct flood_tuple spoofed_source(__u64 n)
{
	__u64 of_client = n / 8 * 3 + n % 8, r = flood_mix(n);
	__u64 live = n / 8 % FLOOD_LIVE;

	EK_OPAQUE(live); /* clang knows that it is in range, the verifier does not */
	if (n % 8 < 3)
		return (struct flood_tuple){.address =
						    flood_client(of_client / 65535 % FLOOD_CLIENTS),
					    .port = bpf_htons(1 + of_client % 65535)};
	if (n % 8 == 3 && live < FLOOD_LIVE)
		return flood_live[live];
	return (struct flood_tuple){.address = r, .port = r >> 32};
}

/*
 * Random, but never in the sixteenth of the space from which the live connections have theirs. A
 * guess is right for one in 4096 of those that are stored: that much is promised, and no more.
 */
static __always_inline __u32 spoofed_sequence(__u64 n)
{
	__u32 sequence = flood_mix(~n);

	return sequence >> 28 == 4 ? sequence ^ 1u << 31 : sequence;
}

static __always_inline void watch(const struct segment *s)
{
	__u32 service = bpf_htons(FLOOD_PORT) | IPPROTO_TCP << 16;
	__u64 sum = ek_hash_service4(&hash_key, bpf_htonl(FLOOD_VIP), service) +
		    ek_hash_client4(&hash_key, s->from.address, s->from.port);
	struct ek_flow_bucket *bucket;

	watched.hash = ek_hash_finish(&hash_key, sum);
	watched.bucket = ek_flow_bucket_index(watched.hash, flow_mask);
	bucket = bpf_map_lookup_elem(&flows, &watched.bucket);
	if (!bucket)
		return;
	watched.before = *bucket;
	watched.pending = 1;
}

/*
 * One entry changed: only an empty one, or an embryo that had its time, into an embryo; or the
 * flow's own established one was seen again.
 */
static __always_inline void judge_change(__u64 old, __u64 new)
{
	__u32 age = ek_flow_age(old, new);

	if (!((old ^ new) & ~(__u64)EK_TICK_MASK) && !((new ^ watched.hash) >> 31) &&
	    ek_flow_state(new) == EK_FLOW_ESTABLISHED) {
		flood_audit.known++;
	} else if ((new ^ watched.hash) >> 31 || ek_flow_state(new) != EK_FLOW_EMBRYONIC) {
		flood_audit.broken++;
	} else if (!old) {
		flood_audit.into_empty++;
	} else if (ek_flow_state(old) != EK_FLOW_EMBRYONIC || age < EK_FLOW_EMBRYO_GRACE) {
		flood_audit.broken++;
	} else {
		if ((old ^ new) >> 31)
			flood_audit.over_embryo++;
		else
			flood_audit.renewed++;
		if (age < flood_audit.youngest)
			flood_audit.youngest = age;
	}
}

static __always_inline void judge(void)
{
	struct ek_flow_bucket *bucket = bpf_map_lookup_elem(&flows, &watched.bucket);
	__u64 old = 0, new = 0, changes = 0, ways;

	if (!bucket || !watched.pending)
		return;
	watched.pending = 0;
#pragma GCC unroll 8
	for (int way = 0; way < EK_FLOW_WAYS; way++) {
		__u64 was = watched.before.entry[way], is = bucket->entry[way];
		__u64 same = -ek_is_zero(was ^ is);

		old |= was & ~same;
		new |= is & ~same;
		changes += same + 1;
	}
	ways = ek_flow_find(bucket, watched.hash);
	if (changes == 1)
		judge_change(old, new);
	else if (changes)
		flood_audit.broken++;
	else if (ways & ~ek_flow_embryos(bucket))
		flood_audit.known++;
	else if (ways)
		flood_audit.second++;
	else
		flood_audit.lost++;
}

SEC("xdp.frags")
int flood(struct xdp_md *ctx)
{
	struct segment s = {.from = spoofed_source(flood_sent),
			    .sequence = spoofed_sequence(flood_sent),
			    .flags = flood_flags};

	flood_sent++;
	if (flood_audited) {
		judge();
		watch(&s);
	}
	return send(ctx, &s);
}

/* Looks at the last packet of a flood. */
SEC("xdp.frags")
int settle(struct xdp_md *ctx __attribute__((unused)))
{
	judge();
	return XDP_PASS;
}

SEC("xdp.frags")
int empty(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_TX;
}

/* --- the duel -------------------------------------------------------------------------------- */

/* The last packet of this CPU still lies there as it left. */
static __always_inline void weigh(struct xdp_md *ctx, struct duel_tally *t)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *outer = data + ETH_HLEN;
	__u32 row;

	if ((void *)(outer + 1) > end || !*(__u64 *)data) /* the first of a run */
		return;
	if (end - data == FLOOD_LENGTH) {
		t->dropped++;
		return;
	}
	row = bpf_ntohl(outer->daddr) - FLOOD_OUTER;
	if (row - 1 >= FLOOD_ROWS)
		t->foreign++;
	if (duel_is_held(t->flow) && t->flags != FLOOD_SYN &&
	    row != duel_row[t->flow & (DUEL_FLOWS - 1)])
		t->diverted++;
}

static __always_inline __u32 duel_flags(__u64 ticket)
{
	__u32 draw = flood_mix(~ticket) & 7;

	return draw == 0 ? FLOOD_FIN | FLOOD_ACK : draw < 5 ? FLOOD_SYN : FLOOD_ACK;
}

/* A SYN for a connection that is held is forged: its number is far from the connection's. */
static __always_inline __u32 duel_sequence(__u32 flow, __u32 flags)
{
	if (flags != FLOOD_SYN)
		return duel_isn(flow) + 1;
	return duel_isn(flow) ^ (duel_is_held(flow) ? 1u << 31 : 0);
}

SEC("xdp.frags")
int duel(struct xdp_md *ctx)
{
	__u64 ticket = __sync_fetch_and_add(&duel_ticket, 1);
	__u32 flow = flood_mix(ticket / 2) & (DUEL_FLOWS - 1), flags = duel_flags(ticket), zero = 0;
	struct segment s = {
		.from = duel_tuple(flow), .sequence = duel_sequence(flow, flags), .flags = flags};
	struct duel_tally *t = bpf_map_lookup_elem(&tallies, &zero);

	if (!t)
		return XDP_ABORTED;
	weigh(ctx, t);
	t->sent++;
	t->syns += flags == FLOOD_SYN;
	t->flow = flow;
	t->flags = flags;
	return send(ctx, &s);
}

char LICENSE[] SEC("license") = "GPL";
