/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 802.1Q and 802.1ad tags. Those of a frame that comes in are taken off at once and kept in
 * `struct work`, so that everything else finds the IP header where it always is; a frame that is
 * passed or answered gets them back, one that is forwarded gets those of its egress port.
 */
#ifndef EVENKEEL_BPF_VLAN_H
#define EVENKEEL_BPF_VLAN_H

#include "work.h"

#define TPID_8021Q  bpf_htons(0x8100)
#define TPID_8021AD bpf_htons(0x88a8)

struct tag {
	__be16 tpid, tci;
};

/* Room for n tags behind the MACs, or NULL. */
static __always_inline void *vlan_open(struct xdp_md *ctx, __u32 n)
{
	void *data, *end;
	__u64 destination;
	__u32 source;

	if (bpf_xdp_adjust_head(ctx, -(int)(n * sizeof(struct tag))))
		return NULL;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + ETH_HLEN + 2 * sizeof(struct tag) > end)
		return NULL;
	destination = *(unaligned64 *)(data + n * sizeof(struct tag));
	source = *(unaligned32 *)(data + n * sizeof(struct tag) + 8);
	*(unaligned64 *)data = destination;
	*(unaligned32 *)(data + 8) = source;
	return data + 2 * ETH_ALEN;
}

/* The tags of a port, onto a frame that has none. 0, or else there is no room. */
verified_alone int vlan_push(struct xdp_md *ctx, __u32 to)
{
	struct ek_port *port = bpf_map_lookup_elem(&ports, &to);
	struct tag *tag;

	if (!port)
		return -1;
	if (!port->tags[1]) {
		tag = vlan_open(ctx, 1);
		if (!tag)
			return -1;
		*tag = (struct tag){TPID_8021Q, port->tags[0]};
		return 0;
	}
	tag = vlan_open(ctx, 2);
	if (!tag)
		return -1;
	tag[0] = (struct tag){TPID_8021AD, port->tags[0]};
	tag[1] = (struct tag){TPID_8021Q, port->tags[1]};
	return 0;
}

static __always_inline bool is_tag(__be16 tpid)
{
	return tpid == TPID_8021Q || tpid == TPID_8021AD;
}

/* How many tags stand before an IP header, if it is there; more than two are not ours to take. */
static __always_inline __u32 vlan_count(struct work *w, void *data, void *end)
{
	const struct tag *tag = data + 2 * ETH_ALEN;
	__be16 type;
	__u32 n = 1;

	if (data + ETH_HLEN + sizeof(struct tag) + sizeof(struct iphdr) > end ||
	    !is_tag(tag[0].tpid))
		return 0;
	w->tag[0] = *(unaligned32 *)&tag[0];
	w->tag[1] = *(unaligned32 *)&tag[1];
	type = tag[1].tpid;
	if (is_tag(type)) {
		if (data + ETH_HLEN + 2 * sizeof(struct tag) + sizeof(struct iphdr) > end)
			return 0;
		type = tag[2].tpid;
		n = 2;
	}
	return type == bpf_htons(ETH_P_IP) || type == bpf_htons(ETH_P_IPV6) ? n : 0;
}

/* Takes the tags of a frame that may be for a VIP. Without headroom they stay, and it is not. */
static __always_inline void vlan_pop(struct xdp_md *ctx, struct work *w)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 n = vlan_count(w, data, end), source;
	__u64 destination;

	if (!n)
		return;
	destination = *(unaligned64 *)data;
	source = *(unaligned32 *)(data + 8);
	if (bpf_xdp_adjust_head(ctx, n * sizeof(struct tag)))
		return;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + ETH_HLEN > end) /* never; the verifier wants to be told */
		return;
	*(unaligned64 *)data = destination;
	*(unaligned32 *)(data + 8) = source;
	w->n_tags = n;
}

/* What vlan_pop() took. A frame that got shorter than its tags need has had them: never. */
static __always_inline int vlan_restore(struct xdp_md *ctx, struct work *w)
{
	__u32 n = w->n_tags;
	__be32 *tag;

	w->n_tags = 0;
	if (n == 1) {
		tag = vlan_open(ctx, 1);
		if (!tag)
			return -1;
		tag[0] = w->tag[0];
	} else if (n) {
		tag = vlan_open(ctx, 2);
		if (!tag)
			return -1;
		tag[0] = w->tag[0];
		tag[1] = w->tag[1];
	}
	return 0;
}

#endif
