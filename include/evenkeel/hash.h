/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The keyed 64-bit flow hash and the service hash that is a part of it. Compiled for BPF and C.
 *
 * Construction: the multilinear family over pairs of 32-bit words, sum of (x + k)(y + k') modulo
 * 2^64 with secret 64-bit k (Lemire and Kaser, "Strongly universal string hashing is fast",
 * 2014; Thorup, "High speed hashing for integers and strings", 2015): for any two inputs fixed
 * without knowledge of the key, the high halves collide with probability about 2^-32. A
 * bijective finalizer then spreads those bits over the word, since the ring index and the
 * fingerprint are taken from its top and the bucket from its bottom.
 *
 * What that promises: an outsider who does not know the key cannot compute which ring slot or
 * bucket a flow uses, and cannot aim flows at a bucket. What it does not: it is no MAC. Somebody
 * who could read many full outputs could solve for the key. Some bits of each go to the backends,
 * whose network is trusted, in an IPv6 flow label or a varied outer source, and `evenkeel explain`
 * prints one to root; an outsider learns only which backend answered. He can always find *some*
 * flows of one backend by trying; no hash prevents that.
 *
 * The multiplications are independent, so they overlap: about 2 ns for IPv4 where SipHash-1-3
 * takes about 9. The terms of (VIP, port, protocol) are summed first: they are the service hash.
 */
#ifndef EVENKEEL_HASH_H
#define EVENKEEL_HASH_H

#include <evenkeel/abi.h>

#define EK_HASH_WORDS 12

/* Secret and random per cluster; shared by its nodes; never changed while connections live. */
struct ek_hash_key {
	__u64 k[EK_HASH_WORDS];
};

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

static __always_inline __u64 ek_hash_pair(__u64 kx, __u32 x, __u64 ky, __u32 y)
{
	return (kx + x) * (ky + y);
}

static __always_inline __u64 ek_hash_half(__u64 kx, __u64 ky, __u64 half)
{
	return ek_hash_pair(kx, (__u32)half, ky, (__u32)(half >> 32));
}

/* The service part. `service` is port (network order) | protocol << 16. */
static __always_inline __u64 ek_hash_service4(const volatile struct ek_hash_key *key, __be32 vip,
					      __u32 service)
{
	return ek_hash_pair(key->k[0], vip, key->k[1], service);
}

static __always_inline __u64 ek_hash_service6(const volatile struct ek_hash_key *key,
					      const struct ek_ip *vip, __u32 service)
{
	return ek_hash_half(key->k[0], key->k[1], vip->halves[0]) +
	       ek_hash_half(key->k[2], key->k[3], vip->halves[1]) + key->k[4] * service;
}

/* The client part. Disjoint key words from the service part of its family. */
static __always_inline __u64 ek_hash_client4(const volatile struct ek_hash_key *key, __be32 address,
					     __be16 port)
{
	return ek_hash_pair(key->k[2], address, key->k[3], port);
}

static __always_inline __u64 ek_hash_client6(const volatile struct ek_hash_key *key,
					     const struct ek_ip *address, __be16 port)
{
	return ek_hash_half(key->k[5], key->k[6], address->halves[0]) +
	       ek_hash_half(key->k[7], key->k[8], address->halves[1]) + key->k[9] * port;
}

static __always_inline __u64 ek_hash_finish(const volatile struct ek_hash_key *key, __u64 sum)
{
	sum ^= sum >> 32;
	sum *= key->k[10] | 1;
	return sum ^ sum >> 32;
}

static __always_inline __u32 ek_hash_service_slot(__u64 service_hash)
{
	return service_hash >> (64 - 13);
}
_Static_assert(EK_SERVICE_SLOTS == 1u << 13, "ek_hash_service_slot takes the top 13 bits");

static __always_inline int ek_ip_is_v4(const struct ek_ip *ip)
{
	return ip->halves[0] == 0 && (__u32)ip->halves[1] == EK_V4_MAPPED;
}

static __always_inline __u64 ek_hash_service(const volatile struct ek_hash_key *key,
					     const struct ek_ip *vip, __u32 service)
{
	return ek_ip_is_v4(vip) ? ek_hash_service4(key, vip->words[3], service)
				: ek_hash_service6(key, vip, service);
}

/* The leading `length` bits of an address, 1 to 32 or 1 to 128. */
static __always_inline __be32 ek_mask4(__be32 address, __u32 length)
{
	return address & __builtin_bswap32(~0u << (32 - length));
}

static __always_inline struct ek_ip ek_mask6(const struct ek_ip *address, __u32 length)
{
	struct ek_ip masked = *address;

	if (length < 64) {
		masked.halves[0] &= __builtin_bswap64(~0ull << (64 - length));
		masked.halves[1] = 0;
	} else if (length < 128) {
		masked.halves[1] &= length == 64 ? 0 : __builtin_bswap64(~0ull << (128 - length));
	}
	return masked;
}

/*
 * What gives the ring index: the flow's own hash, or, with source-hash, one of the client's
 * network alone, so that all its connections fall into one slot.
 */
static __always_inline __u64 ek_hash_ring4(const volatile struct ek_hash_key *key,
					   const struct ek_service *service, __be32 client,
					   __u64 flow)
{
	if (!(service->flags & EK_SERVICE_F_SOURCE_HASH))
		return flow;
	return ek_hash_finish(key,
			      ek_hash_client4(key, ek_mask4(client, service->hash_prefix4), 0));
}

static __always_inline __u64 ek_hash_ring6(const volatile struct ek_hash_key *key,
					   const struct ek_service *service,
					   const struct ek_ip *client, __u64 flow)
{
	struct ek_ip network;

	if (!(service->flags & EK_SERVICE_F_SOURCE_HASH))
		return flow;
	network = ek_mask6(client, service->hash_prefix6);
	return ek_hash_finish(key, ek_hash_client6(key, &network, 0));
}

/* The hash of a flow: ring index and fingerprint from its top, bucket from its bottom. */
static __always_inline __u64 ek_hash_flow(const volatile struct ek_hash_key *key,
					  const struct ek_ip *source, __be16 source_port,
					  const struct ek_ip *destination, __u32 service)
{
	__u64 sum = ek_hash_service(key, destination, service);

	sum += ek_ip_is_v4(destination) ? ek_hash_client4(key, source->words[3], source_port)
					: ek_hash_client6(key, source, source_port);
	return ek_hash_finish(key, sum);
}

static __always_inline __u64 ek_hash_ring(const volatile struct ek_hash_key *key,
					  const struct ek_service *service,
					  const struct ek_ip *client, __u64 flow)
{
	return ek_ip_is_v4(client) ? ek_hash_ring4(key, service, client->words[3], flow)
				   : ek_hash_ring6(key, service, client, flow);
}

#endif
