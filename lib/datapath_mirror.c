/* SPDX-License-Identifier: GPL-2.0-only */
/* See datapath_mirror.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "datapath_mirror.h"
#include "datapath_private.h"
#include "ring.h"

/* By so many ticks a copy looks younger than it is: messages take time, and ticks begin apart. */
#define SKEW_TICKS 3u

/* --- news ------------------------------------------------------------------------------------ */

static uint64_t read_log(struct ek_datapath *dp, uint32_t cpu,
			 void (*told)(void *arg, const struct ek_news_record *record), void *arg)
{
	const struct ek_news *log = &dp->news[cpu];
	uint64_t head = __atomic_load_n(&log->head, __ATOMIC_ACQUIRE), missed = 0;
	uint64_t *tail = &dp->news_read[cpu];

	if (head - *tail > EK_NEWS_SIZE) {
		missed = head - *tail - EK_NEWS_SIZE;
		*tail = head - EK_NEWS_SIZE;
	}
	for (; *tail != head; ++*tail) {
		struct ek_news_record record = log->record[*tail % EK_NEWS_SIZE];

		/* Was it overwritten while it was copied? The record at head is being written. */
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&log->head, __ATOMIC_RELAXED) - *tail >= EK_NEWS_SIZE)
			missed++;
		else
			told(arg, &record);
	}
	return missed;
}

uint64_t ek_datapath_news(struct ek_datapath *dp,
			  void (*told)(void *arg, const struct ek_news_record *record), void *arg)
{
	uint64_t missed = 0;

	for (uint32_t cpu = 0; cpu < dp->cpus; cpu++)
		missed += read_log(dp, cpu, told, arg);
	return missed;
}

/* --- entries --------------------------------------------------------------------------------- */

static uint64_t with_low_bits(uint64_t entry, uint32_t low)
{
	return (entry & ~(uint64_t)EK_TICK_MASK) | (low & EK_TICK_MASK);
}

bool ek_datapath_image(const struct ek_datapath *dp, uint32_t bucket, unsigned int way,
		       uint32_t now, struct ek_flow_image *out)
{
	uint64_t entry = ek_flow_read(&dp->flows[bucket].entry[way]);

	if (ek_flow_state(entry) == EK_FLOW_EMPTY || ek_flow_state(entry) == EK_FLOW_EMBRYONIC)
		return false;
	*out = (struct ek_flow_image){.entry = with_low_bits(entry, ek_flow_age(entry, now)),
				      .bucket = bucket,
				      .key = dp->flow_keys[bucket].key[way]};
	out->key.since = now - out->key.since;
	return true;
}

static void write_key(struct ek_datapath *dp, const struct ek_flow_image *image, unsigned int way,
		      uint16_t id, uint32_t now)
{
	struct ek_flow_key *key = &dp->flow_keys[image->bucket].key[way];

	*key = image->key;
	key->since = now - image->key.since;
	key->service = id;
}

/* The place of the flow's entry that is no embryo, or NULL. */
static uint64_t *find_live(struct ek_datapath *dp, uint32_t bucket, uint64_t entry)
{
	struct ek_flow_bucket *b = &dp->flows[bucket];
	uint64_t ways = ek_flow_find(b, entry);

	for (unsigned int way = 0; way < EK_FLOW_WAYS; way++) {
		enum ek_flow_state state = ek_flow_state(ek_flow_read((__u64 *)&b->entry[way]));

		if (ways >> way & 1 && state != EK_FLOW_EMBRYONIC && state != EK_FLOW_EMPTY)
			return (uint64_t *)&b->entry[way];
	}
	return NULL;
}

int ek_datapath_way(struct ek_datapath *dp, uint32_t bucket, uint64_t entry)
{
	const uint64_t *at = find_live(dp, bucket, entry);

	return at ? (at - (uint64_t *)dp->flows) % EK_FLOW_WAYS : -1;
}

static struct ek_sweep_service *service_of(struct ek_datapath *dp, uint64_t entry, uint16_t *id)
{
	uint32_t backend = ek_flow_backend(entry);

	if (backend >= dp->limit)
		return NULL;
	*id = dp->backends[backend].service;
	return *id < EK_SERVICES_MAX && dp->rings[*id].ring ? &dp->sweep.services[*id] : NULL;
}

/* An entry from elsewhere may speak for its slot's memory: a pass that has seen it must judge. */
static void touch(struct ek_datapath *dp, uint16_t id, const uint64_t *at, uint64_t entry)
{
	uint32_t slot = ek_sweep_slot(&dp->sweep, id, (const __u64 *)at, entry);

	if (ek_flow_backend(entry) != ek_slot_current(dp->rings[id].ring->slot[slot]))
		ek_sweep_touch(&dp->sweep, id, slot);
}

static enum ek_stored store_new(struct ek_datapath *dp, const struct ek_flow_image *image,
				uint64_t entry, uint16_t id, uint32_t now)
{
	struct ek_flow_bucket *b = &dp->flows[image->bucket];
	uint64_t ways = ek_flow_room(b, now);

	while (ways) {
		uint32_t way = ek_flow_first(ways);
		__u64 *at = &b->entry[way], old = ek_flow_read(at);

		ways &= ways - 1;
		if ((old && !ek_flow_is_old_embryo(old, now)) || !ek_flow_replace(at, old, entry))
			continue;
		write_key(dp, image, way, id, now);
		touch(dp, id, (uint64_t *)at, entry);
		return EK_STORED_NEW;
	}
	return EK_STORED_NO_ROOM;
}

/*
 * Two nodes know different things of a flow: the younger is right or, of equals that name two
 * backends, the owner's. What the owner says of the state a follower takes, whose copies look
 * younger than they are, and stay just beyond their timeout. Who has just renewed all ages does not
 * know which of its own is young: not one whose backend is down.
 */
static bool is_contradicted(const struct ek_datapath *dp, const struct ek_sweep_service *s,
			    const uint64_t *at, uint64_t own, uint64_t image, uint32_t now,
			    uint32_t idle)
{
	uint32_t own_age = ek_flow_age(own, now), age = ek_flow_age(image, now);
	uint32_t row = ek_flow_backend(own);
	uint64_t nexthop = row < dp->limit ? dp->backends[row].nexthop : 0;
	bool same = row == ek_flow_backend(image);

	if (s->role == EK_SWEEP_FOLLOW)
		return !same && own_age < age && own_age <= idle &&
		       own_age <= ek_sweep_timeout(&dp->sweep, s, (const __u64 *)at, own);
	return own_age < age ||
	       (own_age == age && !same && EK_NEXTHOP_FLAGS(nexthop) & EK_NEXTHOP_ALIVE);
}

enum ek_stored ek_datapath_store(struct ek_datapath *dp, const struct ek_flow_image *image,
				 uint32_t idle, uint32_t now)
{
	uint32_t age = image->entry & EK_TICK_MASK, own;
	uint64_t entry = with_low_bits(image->entry, now - age), *at, old;
	const struct ek_sweep_service *s;
	uint16_t id;

	s = service_of(dp, entry, &id);
	if (!s)
		return EK_STORED_KEPT;
	ek_sweep_name(&dp->sweep, ek_flow_backend(entry));
	at = find_live(dp, image->bucket, entry);
	if (!at)
		return store_new(dp, image, entry, id, now);
	old = ek_flow_read((__u64 *)at);
	own = ek_flow_age(old, now);
	if (is_contradicted(dp, s, at, old, entry, now, idle))
		return EK_STORED_KEPT;
	if (own < age)
		entry = with_low_bits(entry, now - own);
	if (!ek_flow_replace((__u64 *)at, old, entry))
		return EK_STORED_KEPT;
	write_key(dp, image, (at - (uint64_t *)dp->flows) % EK_FLOW_WAYS, id, now);
	touch(dp, id, at, entry);
	return EK_STORED_CHANGED;
}

int ek_datapath_overlooked(struct ek_datapath *dp, uint32_t bucket, uint64_t entry)
{
	uint64_t *at = find_live(dp, bucket, entry), own = at ? ek_flow_read((__u64 *)at) : 0;
	uint32_t slot, word;
	uint16_t id;

	if (!own || !service_of(dp, own, &id))
		return -1;
	slot = ek_sweep_slot(&dp->sweep, id, (const __u64 *)at, own);
	word = dp->rings[id].ring->slot[slot];
	return word & EK_SLOT_LOOKUP || ek_slot_current(word) == ek_flow_backend(own) ? -1
										      : (int)slot;
}

bool ek_datapath_drop(struct ek_datapath *dp, uint32_t bucket, uint64_t entry, uint32_t idle,
		      uint32_t now, struct ek_flow_image *out)
{
	uint64_t *at = find_live(dp, bucket, entry), own;
	const struct ek_sweep_service *s;
	uint32_t age;
	uint16_t id;

	if (!at)
		return true;
	own = ek_flow_read((__u64 *)at);
	age = ek_flow_age(own, now);
	s = service_of(dp, own, &id);
	if ((!s || age > idle ||
	     age + SKEW_TICKS > ek_sweep_timeout(&dp->sweep, s, (const __u64 *)at, own)) &&
	    ek_flow_replace((__u64 *)at, own, 0))
		return true;
	return !ek_datapath_image(dp, bucket, (at - (uint64_t *)dp->flows) % EK_FLOW_WAYS, now,
				  out);
}

/* --- rings ----------------------------------------------------------------------------------- */

void ek_datapath_slot_store(struct ek_datapath *dp, uint16_t id, uint32_t slot, uint32_t word,
			    uint32_t now)
{
	struct ek_ring *ring = dp->rings[id].ring;
	uint32_t idle;

	ek_sweep_name(&dp->sweep, ek_slot_current(word));
	ek_sweep_name(&dp->sweep, ek_slot_origin(word));
	if (!ring || ring->slot[slot] == word)
		return;
	idle = ek_sweep_idle(&dp->sweep.services[id]);
	/* The hit first: a slot that says LOOKUP must not be found with an old one. */
	if (word & EK_SLOT_LOOKUP && !(ring->slot[slot] & EK_SLOT_LOOKUP))
		__atomic_store_n(&ring->hit[slot], (now - idle - 1) & EK_TICK_MASK,
				 __ATOMIC_RELAXED);
	__atomic_store_n(&ring->slot[slot], word, __ATOMIC_RELEASE);
	ek_sweep_touch(&dp->sweep, id, slot);
}

bool ek_datapath_slot_forget(struct ek_datapath *dp, uint16_t id, uint32_t slot, uint32_t now)
{
	struct ek_ring *ring = dp->rings[id].ring;
	uint32_t idle, word;

	if (!ring)
		return true;
	idle = ek_sweep_idle(&dp->sweep.services[id]);
	word = ring->slot[slot];
	if (!ek_slot_remembers(word, dp->sweep.services[id].tracking))
		return true;
	if (!ek_sweep_clear(&dp->sweep, id, slot))
		return false;
	if (ek_slot_current(word) != ek_slot_origin(word) &&
	    ek_tick_age(__atomic_load_n(&ring->hit[slot], __ATOMIC_RELAXED), now) <= idle)
		return false;
	word = ek_slot_forget(word, dp->sweep.services[id].tracking);
	__atomic_store_n(&ring->slot[slot], word, __ATOMIC_RELEASE);
	return true;
}

int ek_datapath_ring_preview(struct ek_datapath *dp, const struct ek_op *op,
			     uint32_t words[EK_RING_SIZE])
{
	const struct ek_ring *ring = dp->rings[op->id].ring;
	uint16_t *choices = malloc(EK_RING_SIZE * sizeof(*choices));
	int err = choices ? ek_maglev_build(op->members.list, op->members.n, choices) : -ENOMEM;
	bool left;

	for (uint32_t i = 0; !err && i < EK_RING_SIZE; i++)
		words[i] = ek_slot_change(op->fresh || !ring ? 0 : ring->slot[i], choices[i],
					  op->tracking, &left);
	free(choices);
	if (dp->pulse)
		dp->pulse(dp->pulse_arg);
	return err;
}

/* --- roles ----------------------------------------------------------------------------------- */

void ek_datapath_hooks(struct ek_datapath *dp, const struct ek_sweep_hooks *hooks)
{
	dp->sweep.hooks = *hooks;
}

void ek_datapath_role(struct ek_datapath *dp, uint16_t id, enum ek_sweep_role role)
{
	enum ek_sweep_role before = dp->sweep.services[id].role;
	uint32_t now = 0;

	if (!dp->rings[id].ring || before == role || ek_datapath_tick(dp, &now))
		return;
	ek_sweep_role_set(&dp->sweep, id, role, now);
	if (dp->sweep.services[id].role != before)
		ek_datapath_publish(dp, id);
}

void ek_datapath_mirrored(struct ek_datapath *dp, uint16_t id, bool peers, bool stateful)
{
	bool mirrored = peers && stateful;

	if (!dp->rings[id].ring)
		return;
	dp->sweep.services[id].asks = peers;
	if (dp->sweep.services[id].mirrored == mirrored &&
	    dp->sweep.services[id].stateful == stateful)
		return;
	dp->sweep.services[id].mirrored = mirrored;
	dp->sweep.services[id].stateful = stateful;
	ek_datapath_publish(dp, id);
}

void ek_datapath_forget(struct ek_datapath *dp, uint16_t id, const uint8_t *refused)
{
	ek_sweep_forget(&dp->sweep, id, refused);
}

void ek_datapath_touch(struct ek_datapath *dp, uint16_t id, uint32_t slot)
{
	ek_sweep_touch(&dp->sweep, id, slot);
}
