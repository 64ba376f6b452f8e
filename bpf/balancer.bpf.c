/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The balancer: one XDP program, one stage per header, in the order in which a packet meets them:
 *
 *     parse.h -> service.h -> select.h -> forward.h -> account.h
 *
 * What is not for a VIP is passed to the stack, byte for byte. A usual packet costs the service
 * entry, one ring slot, and one cache line that holds both the backend and its counters.
 *
 * What is unusual goes the same way by functions of its own, which cost the usual nothing:
 *
 *     classify.h -> icmp.h -> select.h (select_unusual) -> forward.h (forward_unusual) -> leave.h
 *
 * classify.h knows tags (vlan.h), extension headers, fragments (fragment.h) and wildcard services
 * (wildcard.h), and names what is wrong; icmp.h answers echo requests and finds the flow of an
 * error; leave.h puts tags back and tells a listener (trace.h). While somebody listens, every
 * packet goes that way. ARP, neighbour discovery and frames for another MAC than the port's own are
 * neighbour.h's; depart.h has the other forwarding methods; reset.h and too_big.h answer what
 * account.h counts as dropped.
 */
#include "account.h"
#include "classify.h"
#include "icmp.h"
#include "leave.h"
#include "neighbour.h"

/* Parsing and the service, specialised for one address family by constant propagation. */
static __always_inline int find_service(struct packet *p, void *data, void *end,
					struct ek_service **service, __u64 *hash, __u64 *ring,
					const int family)
{
	int verdict = family == AF_INET ? parse4(p, data, end) : parse6(p, data, end);
	__u64 key;

	if (unlikely(verdict))
		return verdict;
	key = EK_SERVICE_KEY(p->destination_port, p->protocol, EK_SERVICE_LIVE);
	*hash = service_hash(&p->destination, service_word(p), family);
	*service = service_find(&p->destination, key, *hash);
	if (!*service)
		return service_wildcards() ? STAGE_UNUSUAL : XDP_PASS;
	*hash = ek_hash_finish(&hash_key, *hash + client_hash(p, family));
	*ring = family == AF_INET ? ek_hash_ring4(&hash_key, *service, p->source.words[3], *hash)
				  : ek_hash_ring6(&hash_key, *service, &p->source, *hash);
	return 0;
}

/* What the usual path does not know goes by struct work, stage by stage. */
static __always_inline int balance_unusual(struct xdp_md *ctx)
{
	int verdict = classify(ctx);

	if (verdict == STAGE_ICMP)
		verdict = icmp(ctx);
	if (verdict == STAGE_NEIGHBOUR)
		verdict = neighbour(ctx, true) ?: XDP_PASS;
	else if (!verdict)
		verdict = select_unusual(ctx) ?: forward_unusual(ctx);
	return leave(ctx, verdict, account(ctx, verdict));
}

static __always_inline int balance(struct xdp_md *ctx, void *data, void *end)
{
	struct packet p = {.frame = end - data};
	struct ethhdr *eth = data;
	struct ek_service *service;
	struct ek_backend *backend;
	__u32 number = own_port;
	struct ek_port *port = bpf_map_lookup_elem(&ports, &number);
	__u64 hash, ring; /* of the flow, and what gives its ring index */
	__be16 type;
	int verdict;

	if (unlikely(!port || (void *)(eth + 1) > end))
		return XDP_PASS;
	/* A switch floods unknown unicast: a frame for another MAC is mostly another node's. */
	if (unlikely(EK_NEXTHOP_MAC(*(unaligned64 *)data) != port->mac)) {
		verdict = port->mac ? neighbour(ctx, false) : XDP_PASS;
		if (verdict)
			return verdict;
		/* Read again, so that the usual path need not keep them over a call. */
		eth = data = (void *)(long)ctx->data;
		end = (void *)(long)ctx->data_end;
		if ((void *)(eth + 1) > end)
			return XDP_PASS;
		p.frame = end - data;
	}
	if (unlikely(port->flags)) /* somebody listens */
		return balance_unusual(ctx);
	type = *(unaligned16 *)(data + 2 * ETH_ALEN);
	if (likely(type == bpf_htons(ETH_P_IP)))
		verdict = find_service(&p, data, end, &service, &hash, &ring, AF_INET);
	else if (likely(type == bpf_htons(ETH_P_IPV6)))
		verdict = find_service(&p, data, end, &service, &hash, &ring, AF_INET6);
	else
		verdict = STAGE_UNUSUAL;
	if (unlikely(verdict)) {
		if (verdict != STAGE_UNUSUAL)
			return verdict;
		return balance_unusual(ctx);
	}
	if (unlikely(service->mss) && p.tcp_flags & TCP_SYN)
		return balance_unusual(ctx);

	verdict = backend_select(service, &p, hash, ring, &backend);
	if (likely(!verdict))
		verdict = forward(ctx, &p, service, backend, port, hash);
	if (likely(verdict > 0))
		account_forward(backend, p.frame);
	return verdict;
}

SEC("xdp.frags")
int evenkeel(struct xdp_md *ctx)
{
	return account(ctx, balance(ctx, (void *)(long)ctx->data, (void *)(long)ctx->data_end));
}

/* Not a packet's: the controller runs it to ask what tick it is. */
SEC("xdp")
int tick(struct xdp_md *ctx)
{
	(void)ctx;
	return bpf_jiffies64() >> tick_shift;
}

char LICENSE[] SEC("license") = "GPL";
