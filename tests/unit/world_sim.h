/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A simulated world for the ring that remembers: one service on one node or on a mirrored pair,
 * its ring, its connection table, its backends and the clock. Everything that decides is the real
 * code (evenkeel/select.h, lib/ring.c, lib/sweep.c, included here so that a test can put another
 * CPU's work in front of any compare-and-swap); only what surrounds it is made up. No randomness:
 * what happens follows from the calls.
 *
 * A pair: the owner forgets and deletes, the follower copies slots as they change and entries as
 * their state changes, and ages nothing. When it takes over, all ages start again.
 */
#ifndef TESTS_WORLD_SIM_H
#define TESTS_WORLD_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <linux/types.h>

static __u64 sim_cas(__u64 *entry, __u64 old, __u64 new);
#define EK_FLOW_CAS(entry, old, new) sim_cas(entry, old, new)

#include "ring.c"
#include "sweep.c"

#define SIM_BACKENDS_MAX 6			/* indices 1 to 6 */
#define SIM_FILL	 (SIM_BACKENDS_MAX + 1) /* has every slot but the chosen ones */
#define SIM_LIMIT	 (SIM_FILL + 1)
#define SIM_SLOTS_MAX	 16
#define SIM_BUCKETS_MAX	 64
#define SIM_FILL_SLOT	 60000u

struct sim_profile {
	enum ek_tracking tracking;
	bool udp;
	uint32_t slots, backends;
	uint32_t buckets, room; /* room: ways of each bucket that others do not hold */
	uint16_t timeout[EK_FLOW_STATES];
	uint32_t start; /* the first tick */
	bool pair;
	bool disowns; /* full tracking without failover */
};

struct sim_node {
	struct ek_ring ring;
	struct ek_flow_bucket flows[SIM_BUCKETS_MAX];
	struct ek_flow_keys keys[SIM_BUCKETS_MAX];
	struct ek_sweep sweep;
};

struct sim {
	struct sim_profile profile;
	struct sim_node node[2];
	int owner;
	uint32_t now;
	struct ek_service service;
	struct ek_backend rows[SIM_LIMIT];
	uint16_t choices[EK_RING_SIZE];
	uint32_t slot_at[SIM_SLOTS_MAX];  /* ring index of each chosen slot */
	uint32_t mirrored[SIM_SLOTS_MAX]; /* what the follower was last told */
	bool up[SIM_LIMIT];		  /* what the checks believe */
	uint8_t weight[SIM_LIMIT];	  /* 0 to 4 quarters */
	uint64_t changes, outages;	  /* outages: changes of health or ownership */
	__u64 hash;			  /* of the packet under way */
	void (*interloper)(void);	  /* runs once before some compare-and-swap */
	uint32_t interloper_after;	  /* how many of them to let pass */
	bool sweeping;
	uint64_t packets, by_entry, by_origin, unstored, lost;
};

static struct sim sim;

static inline uint64_t sim_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static __u64 sim_cas(__u64 *entry, __u64 old, __u64 new)
{
	void (*interloper)(void) = sim.interloper;
	__u64 found;

	if (interloper && !sim.interloper_after--) {
		sim.interloper = NULL;
		interloper();
	}
	found = __sync_val_compare_and_swap(entry, old, new);
	sim.lost += found != old;
	return found;
}

/* The n-th flow of a ring slot: the hash that falls there. n < 65000 */
static inline __u64 sim_flow_hash(uint32_t slot, uint32_t n, uint32_t low)
{
	__u64 high = (((__u64)slot << 32) + EK_RING_SIZE - 1) / EK_RING_SIZE + n;

	return high << 32 | low;
}

static inline struct sim_node *sim_owner(void)
{
	return &sim.node[sim.owner];
}

static inline uint32_t sim_bucket(__u64 hash)
{
	return ek_flow_bucket_index(hash, sim.profile.buckets - 1);
}

/* --- the pair -------------------------------------------------------------------------------- */

#define SIM_FOLLOWER_SWEEPS  false
#define SIM_TAKEOVER_RENEWS  true
#define SIM_FOLLOWER_DELETES true

/* Follows a change of state, backend or owner of an entry, not its age; embryos stay at home. */
static void sim_mirror_bucket(uint32_t bucket)
{
	struct sim_node *from = sim_owner(), *to = &sim.node[!sim.owner];

	for (int way = 0; sim.profile.pair && way < EK_FLOW_WAYS; way++) {
		__u64 entry = from->flows[bucket].entry[way];
		__u64 *copy = &to->flows[bucket].entry[way];

		if (entry >> 14 == *copy >> 14)
			continue;
		if (ek_flow_state(entry) > EK_FLOW_EMBRYONIC) {
			*copy = entry;
			to->keys[bucket].key[way] = from->keys[bucket].key[way];
		} else if (SIM_FOLLOWER_DELETES) {
			*copy = 0;
		}
	}
}

static void sim_mirror_ring(void)
{
	for (uint32_t i = 0; sim.profile.pair && i < sim.profile.slots; i++) {
		uint32_t slot = sim_owner()->ring.slot[sim.slot_at[i]];

		if (slot != sim.mirrored[i])
			sim.node[!sim.owner].ring.slot[sim.slot_at[i]] = sim.mirrored[i] = slot;
	}
}

static void sim_sweep_start(struct sim_node *node)
{
	ek_sweep_free(&node->sweep);
	if (ek_sweep_init(&node->sweep, node->flows, sim.profile.buckets, sim.rows, SIM_LIMIT) ||
	    ek_sweep_service_set(&node->sweep, 0, &node->ring, &sim.service, sim.profile.tracking))
		abort();
}

/* All ages start from now; a closing entry's from where the next packet shows that it lives on. */
static void sim_renew(struct sim_node *node)
{
	for (uint32_t i = 0; i < sim.profile.slots; i++)
		node->ring.hit[sim.slot_at[i]] = sim.now & EK_TICK_MASK;
	for (uint32_t i = 0; i < sim.profile.buckets * EK_FLOW_WAYS; i++) {
		__u64 *entry = &node->flows[i / EK_FLOW_WAYS].entry[i % EK_FLOW_WAYS];
		bool closing = ek_flow_state(*entry) == EK_FLOW_CLOSING;
		uint32_t seen = sim.now - (closing ? EK_FLOW_REUSE_AFTER + 1 : 0);

		if (*entry)
			*entry = (*entry & ~(__u64)EK_TICK_MASK) | (seen & EK_TICK_MASK);
	}
}

static void sim_takeover(void)
{
	struct sim_node *node = &sim.node[!sim.owner];

	if (!sim.profile.pair)
		return;
	sim.changes++;
	sim.outages++;
	sim.owner = !sim.owner;
	if (SIM_TAKEOVER_RENEWS)
		sim_renew(node);
	sim_sweep_start(node);
	for (uint32_t i = 0; i < sim.profile.buckets; i++)
		sim_mirror_bucket(i);
}

/* --- packets --------------------------------------------------------------------------------- */

static int sim_flags(void *context, __u32 backend)
{
	(void)context;
	if (backend == EK_BACKEND_NONE || backend >= SIM_LIMIT)
		return -1;
	return EK_NEXTHOP_RESOLVED | (sim.up[backend] ? EK_NEXTHOP_ALIVE : 0);
}

static struct ek_flow_key *sim_key(void *context, __u32 way)
{
	struct ek_flow_keys *keys = context;

	return &keys->key[way & (EK_FLOW_WAYS - 1)];
}

/* What bpf/select.h does around ek_select(). */
static uint32_t sim_packet(__u64 hash, enum ek_packet_kind kind, uint32_t sequence, uint32_t now)
{
	struct sim_node *node = sim_owner();
	uint32_t i = ek_ring_index(hash), bucket = sim_bucket(hash);
	struct ek_selection s = {.hash = hash,
				 .slot = node->ring.slot[i],
				 .now = now,
				 .sequence = sequence,
				 .kind = kind};
	struct ek_surroundings around = {sim_flags, sim_key, &node->keys[bucket], &sim.service,
					 &node->flows[bucket]};
	struct ek_choice choice;

	sim.packets++;
	if (!(s.slot & EK_SLOT_LOOKUP))
		return ek_slot_current(s.slot);
	sim.hash = hash;
	ek_select(&choice, &s, &around);
	if (choice.stored >= 0) {
		struct ek_flow_key *key = &node->keys[bucket].key[choice.stored];

		key->isn = kind == EK_PACKET_SYN ? sequence : sequence - 1;
		key->since = now;
	}
	if (choice.origin_hit)
		node->ring.hit[i] = now & EK_TICK_MASK;
	sim.by_origin += choice.origin_hit;
	sim.by_entry += choice.entry_way >= 0 && choice.stored < 0;
	sim.unstored += choice.unstored;
	sim_mirror_bucket(bucket);
	return choice.backend;
}

/* The entry of a flow that is not embryonic, or 0. */
static __u64 sim_live_entry(__u64 hash)
{
	const struct ek_flow_bucket *bucket = &sim_owner()->flows[sim_bucket(hash)];

	for (int way = 0; way < EK_FLOW_WAYS; way++)
		if (ek_flow_hash_high(bucket->entry[way] ^ hash) == 0 &&
		    ek_flow_state(bucket->entry[way]) > EK_FLOW_EMBRYONIC)
			return bucket->entry[way];
	return 0;
}

/* --- the controller --------------------------------------------------------------------------- */

/* Weighted by quarters: a backend of weight w wants w of four slots. */
static uint16_t sim_choose(uint32_t slot)
{
	for (int pass = 0; pass < 3; pass++) {
		uint64_t best = 0;
		uint32_t chosen = EK_BACKEND_NONE;

		for (uint32_t b = 1; b <= sim.profile.backends; b++) {
			uint64_t score = sim_mix(slot * 8 + b);

			if (!sim.up[b] || score <= best ||
			    (pass == 0 && score % 4 >= sim.weight[b]) ||
			    (pass == 1 && !sim.weight[b]))
				continue;
			best = score;
			chosen = b;
		}
		if (chosen)
			return chosen;
	}
	return EK_BACKEND_NONE;
}

static void sim_rechoose(void)
{
	struct sim_node *node = sim_owner();

	sim.changes++;
	for (uint32_t i = 0; i < sim.profile.slots; i++)
		sim.choices[sim.slot_at[i]] = sim_choose(i);
	ek_ring_apply(&node->ring, sim.choices, sim.profile.tracking, sim.now,
		      ek_sweep_changed(&node->sweep, 0));
	sim_mirror_ring();
}

/* The connections of others, which never go idle. */
static void sim_refresh_fill(struct sim_node *node)
{
	for (uint32_t b = 0; b < sim.profile.buckets; b++)
		for (uint32_t n = sim.profile.room; n < EK_FLOW_WAYS; n++)
			node->flows[b].entry[(b + n) % EK_FLOW_WAYS] =
				ek_flow_entry(sim_flow_hash(SIM_FILL_SLOT, b * EK_FLOW_WAYS + n, 0),
					      SIM_FILL, EK_FLOW_ESTABLISHED, sim.now);
}

/* One step of `buckets` buckets by a clock that may lag; true when it ended a pass. */
static bool sim_sweep_step(uint32_t buckets, uint32_t lag)
{
	bool done;

	sim.sweeping = true;
	for (int n = 0; n < 2; n++) {
		struct sim_node *node = &sim.node[n];

		if (n == sim.owner || !SIM_FOLLOWER_SWEEPS)
			continue;
		sim_refresh_fill(node);
		ek_sweep_step(&node->sweep, sim.now - lag, buckets);
	}
	sim_refresh_fill(sim_owner());
	done = ek_sweep_step(&sim_owner()->sweep, sim.now - lag, buckets);
	for (uint32_t b = 0; b < sim.profile.buckets; b++)
		sim_mirror_bucket(b);
	sim_mirror_ring();
	sim.sweeping = false;
	return done;
}

/* Does a slot or an entry still name it? */
static bool sim_is_named(uint32_t backend)
{
	struct sim_node *node = sim_owner();

	for (uint32_t i = 0; i < sim.profile.slots; i++) {
		uint32_t slot = node->ring.slot[sim.slot_at[i]];

		if (ek_slot_current(slot) == backend || ek_slot_origin(slot) == backend)
			return true;
	}
	for (uint32_t i = 0; i < sim.profile.buckets * EK_FLOW_WAYS; i++)
		if (ek_flow_backend(node->flows[i / EK_FLOW_WAYS].entry[i % EK_FLOW_WAYS]) ==
		    backend)
			return true;
	return false;
}

static void sim_start(const struct sim_profile *profile)
{
	bool initial = !sim.choices[SIM_FILL_SLOT];

	sim.profile = *profile;
	sim.owner = 0;
	sim.now = profile->start;
	sim.service = (struct ek_service){.key = EK_SERVICE_KEY(0, 6, EK_SERVICE_LIVE)};
	if (profile->tracking == EK_TRACKING_FULL)
		sim.service.flags = EK_SERVICE_F_TRACK_FULL;
	if (profile->disowns)
		sim.service.flags |= EK_SERVICE_F_RESET;
	memcpy(sim.service.timeout, profile->timeout, sizeof(sim.service.timeout));
	sim.interloper = NULL;
	memset(sim.up, true, sizeof(sim.up));
	memset(sim.weight, 4, sizeof(sim.weight));
	for (uint32_t i = 0; i < EK_RING_SIZE && initial; i++)
		sim.choices[i] = SIM_FILL;
	for (uint32_t i = 0; i < SIM_SLOTS_MAX; i++) {
		sim.choices[sim.slot_at[i]] = SIM_FILL;
		sim.slot_at[i] = (i * 4099 + 17) % EK_RING_SIZE;
	}
	for (int n = 0; n <= profile->pair; n++) {
		memset(&sim.node[n].ring, 0, sizeof(sim.node[n].ring));
		memset(sim.node[n].flows, 0, sizeof(sim.node[n].flows));
		sim_refresh_fill(&sim.node[n]);
		sim_sweep_start(&sim.node[n]);
	}
	sim_rechoose();
	if (profile->pair)
		sim.node[1].ring = sim.node[0].ring;
}

static void sim_stop(void)
{
	for (int n = 0; n < 2; n++)
		ek_sweep_free(&sim.node[n].sweep);
}

#endif
