/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See mirror.h: who is to be told what, and what they say. mirror_bulk.c sends everything,
 * mirror_forget.c asks before a slot forgets.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ip.h"
#include "mirror_private.h"
#include "ring.h"

/* Of a name for which no row could be had: not tried again until rows have changed. */
#define ROW_REFUSED 0xffffu

/* For so long the data plane may have been without a controller. */
#define RESTART_TICKS 64u

/* --- sending --------------------------------------------------------------------------------- */

int ek_mirror_send(struct ek_mirror *m, size_t peer, uint8_t type, struct ek_wire_out *out)
{
	int err = out->failed ? -ENOMEM : 0;

	if (!err)
		err = m->options.send(m->options.arg, peer, type, out->bytes, out->length);
	ek_wire_free(out);
	return err;
}

/* True if the number is not, or no longer, to be said. */
static bool say_number(struct ek_mirror *m, size_t peer, uint8_t type, uint64_t number)
{
	struct ek_wire_out out = {0};

	if (!number)
		return true;
	ek_wire_put64(&out, number);
	return !ek_mirror_send(m, peer, type, &out);
}

/* What found no room is said later. A mark follows the rings that it speaks of. */
void ek_mirror_say_numbers(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	if (say_number(m, peer, EK_WIRE_WANT, p->due.want))
		p->due.want = 0;
	if (say_number(m, peer, EK_WIRE_ACK, p->due.ack))
		p->due.ack = 0;
	if (!p->bulk.rings && say_number(m, peer, EK_WIRE_MARK, p->due.mark))
		p->due.mark = 0;
	if (!p->bulk.rings && !p->bulk.table && !p->behind &&
	    say_number(m, peer, EK_WIRE_END, p->bulk.end))
		p->bulk.end = 0;
}

static void mark(struct ek_mirror *m)
{
	m->mark++;
	for (size_t i = 0; i < m->options.n_peers; i++) {
		struct ek_mirror_peer *p = &m->peers[i];

		if (!p->up)
			continue;
		if (p->acked == p->marked)
			p->marked_us = m->options.now_us();
		p->marked = p->due.mark = m->mark;
		ek_mirror_say_numbers(m, i);
	}
}

struct ek_wire_service ek_mirror_name(const struct ek_mirror *m, uint16_t id)
{
	const struct ek_service *first = m->options.state->services[id].entries;

	return (struct ek_wire_service){.vip = first->vip, .key = first->key};
}

/* A row as the peer should know it, if it does not. */
static void introduce_row(struct ek_mirror *m, size_t peer, uint16_t index,
			  const struct ek_backend *row, struct ek_wire_out *out)
{
	struct ek_wire_backend *told = &m->peers[peer].told[index], backend = {0};

	if (!m->options.state->services[row->service].used)
		return;
	backend.index = index;
	backend.address = row->address;
	backend.service = ek_mirror_name(m, row->service);
	if (!memcmp(told, &backend, sizeof(backend)))
		return;
	*told = backend;
	ek_wire_put_backend(out, &backend);
}

/* What did not get through was not told: all of it is told again, before anything names it. */
static int send_rows(struct ek_mirror *m, size_t peer, struct ek_wire_out *out)
{
	struct ek_mirror_peer *p = &m->peers[peer];
	int err = out->length || out->failed ? ek_mirror_send(m, peer, EK_WIRE_BACKENDS, out) : 0;

	if (err) {
		memset(p->told, 0, m->options.state->limit * sizeof(*p->told));
		p->stale = true;
	}
	return err;
}

/* Introduces the rows that the peer has not heard of, or under another meaning. */
int ek_mirror_introduce(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];
	struct ek_wire_out out = {0};
	int err = 0;

	if (!p->stale)
		return 0;
	p->stale = false;
	for (uint32_t i = 1; i < m->options.state->limit && !err; i++) {
		if (m->options.state->backends[i].used)
			introduce_row(m, peer, i, &m->options.state->backends[i].row, &out);
		if (out.length > EK_MIRROR_BATCH)
			err = send_rows(m, peer, &out);
	}
	return err ?: send_rows(m, peer, &out);
}

/* The rings that the plan makes name rows that it makes too. */
static void introduce_plan(struct ek_mirror *m, size_t peer, const struct ek_plan *plan)
{
	struct ek_wire_out out = {0};

	for (size_t i = 0; i < plan->n; i++)
		if (plan->ops[i].kind == EK_OP_BACKEND_SET)
			introduce_row(m, peer, plan->ops[i].index, &plan->ops[i].row, &out);
	send_rows(m, peer, &out);
}

/* --- rings ----------------------------------------------------------------------------------- */

/* Tells the peers what differs from the shadow, and makes it the shadow. Returns how much. */
size_t ek_mirror_tell_ring(struct ek_mirror *m, uint16_t id, const uint32_t *words)
{
	struct ek_wire_service name = ek_mirror_name(m, id);
	struct ek_wire_out out = {0};
	size_t n = 0;

	ek_wire_put_service(&out, &name);
	for (uint32_t i = 0; i < EK_RING_SIZE; i++) {
		struct ek_wire_slot slot = {.slot = i, .word = words[i]};

		if (m->services[id].shadow[i] == words[i])
			continue;
		m->services[id].shadow[i] = words[i];
		ek_wire_put_slot(&out, &slot);
		ek_datapath_touch(m->options.datapath, id, i);
		n++;
	}
	for (size_t i = 0; n && i < m->options.n_peers; i++) {
		if (!m->peers[i].up)
			continue;
		m->peers[i].counters.slots_sent += n;
		/* A ring that the peer does not follow any more is a ring to be sent whole. */
		if (out.failed || ek_mirror_introduce(m, i) ||
		    m->options.send(m->options.arg, i, EK_WIRE_RING, out.bytes, out.length))
			ek_mirror_bulk_ring(m, i, id);
	}
	ek_wire_free(&out);
	return n;
}

static uint32_t *shadow_new(const struct ek_ring *ring)
{
	uint32_t *words = malloc(sizeof(ring->slot));

	if (words)
		memcpy(words, ring->slot, sizeof(ring->slot));
	return words;
}

void ek_mirror_service(struct ek_mirror *m, uint16_t id, bool own, bool stateful)
{
	const struct ek_ring *ring = ek_datapath_ring(m->options.datapath, id);
	struct ek_mirror_service *s = &m->services[id];

	if (!ring)
		return;
	s->stateful = stateful;
	ek_datapath_role(m->options.datapath, id, own ? EK_SWEEP_OWN : EK_SWEEP_FOLLOW);
	ek_datapath_mirrored(m->options.datapath, id, ek_mirror_has_peers(m), stateful);
	if (!own) {
		free(s->shadow);
		s->shadow = NULL;
		s->asking = 0;
	} else if (!s->shadow) {
		s->shadow = shadow_new(ring);
		for (size_t i = 0; s->shadow && i < m->options.n_peers; i++)
			ek_mirror_bulk_ring(m, i, id);
	}
}

/*
 * Slots that a peer was told to look up in are looked up in, here too, until they forget: it may
 * have taken connections by what was announced and then did not come.
 */
static void keep_lookups(const struct ek_mirror_service *s, uint32_t *words)
{
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		words[i] |= s->shadow[i] & EK_SLOT_LOOKUP;
}

static void settle_ring(struct ek_mirror *m, uint16_t id, const struct ek_ring *ring)
{
	struct ek_mirror_service *s = &m->services[id];
	bool keep = ek_mirror_has_peers(m) &&
		    m->options.state->services[id].tracking != EK_TRACKING_NONE;
	uint32_t now = 0;

	s->moved = false;
	if (ek_datapath_tick(m->options.datapath, &now))
		return;
	for (uint32_t i = 0; keep && i < EK_RING_SIZE; i++)
		if (s->shadow[i] & ~ring->slot[i] & EK_SLOT_LOOKUP)
			ek_datapath_slot_store(m->options.datapath, id, i,
					       ring->slot[i] | EK_SLOT_LOOKUP, now);
	ek_mirror_tell_ring(m, id, ring->slot);
}

void ek_mirror_applied(struct ek_mirror *m, bool whole)
{
	for (size_t i = 0; i < m->options.n_peers; i++) {
		m->peers[i].stale = true;
		m->peers[i].renamed = true;
		if (m->peers[i].up)
			ek_mirror_introduce(m, i);
	}
	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++) {
		const struct ek_ring *ring = ek_datapath_ring(m->options.datapath, id);
		struct ek_mirror_service *s = &m->services[id];

		if (!ring) {
			free(s->shadow);
			free(s->ballot);
			*s = (struct ek_mirror_service){0};
		} else if (s->shadow && s->moved && whole) {
			settle_ring(m, id, ring);
		}
	}
}

uint64_t ek_mirror_announce(struct ek_mirror *m, const struct ek_plan *plan)
{
	uint32_t *words = ek_mirror_has_peers(m) ? malloc(EK_RING_SIZE * sizeof(*words)) : NULL;
	size_t told = 0;

	for (size_t i = 0; i < m->options.n_peers; i++)
		if (m->peers[i].up)
			introduce_plan(m, i, plan);
	for (size_t i = 0; i < plan->n; i++) {
		const struct ek_op *op = &plan->ops[i];

		if (op->kind != EK_OP_RING_SET || op->fresh || !m->services[op->id].shadow)
			continue;
		m->services[op->id].moved = true;
		if (!words || ek_datapath_ring_preview(m->options.datapath, op, words))
			continue;
		if (op->tracking != EK_TRACKING_NONE)
			keep_lookups(&m->services[op->id], words);
		told += ek_mirror_tell_ring(m, op->id, words);
	}
	free(words);
	if (told)
		mark(m);
	return m->mark;
}

bool ek_mirror_acked(const struct ek_mirror *m, uint64_t number)
{
	for (size_t i = 0; i < m->options.n_peers; i++)
		if (m->peers[i].up && m->peers[i].acked < number && m->peers[i].marked >= number)
			return false;
	return true;
}

uint64_t ek_mirror_silence_us(const struct ek_mirror *m)
{
	uint64_t now = m->options.now_us(), longest = 0;

	for (size_t i = 0; i < m->options.n_peers; i++) {
		const struct ek_mirror_peer *p = &m->peers[i];

		if (p->up && p->acked < p->marked && now - p->marked_us > longest)
			longest = now - p->marked_us;
	}
	return longest;
}

bool ek_mirror_has_peers(const struct ek_mirror *m)
{
	for (size_t i = 0; i < m->options.n_peers; i++)
		if (m->peers[i].up)
			return true;
	return false;
}

/* --- what changed since the last time --------------------------------------------------------- */

static void send_batch(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];
	int err = m->drops.failed || m->entries.failed ? -ENOMEM : ek_mirror_introduce(m, peer);

	/* Removals first: what was stored in their place came later. */
	if (!err && m->drops.length)
		err = m->options.send(m->options.arg, peer, EK_WIRE_DROPS, m->drops.bytes,
				      m->drops.length);
	if (!err && m->entries.length)
		err = m->options.send(m->options.arg, peer, EK_WIRE_ENTRIES, m->entries.bytes,
				      m->entries.length);
	if (err)
		p->behind = true;
	else
		p->counters.entries_sent += m->n_entries;
}

void ek_mirror_flush(struct ek_mirror *m)
{
	if (!m->entries.length && !m->drops.length && !m->entries.failed && !m->drops.failed)
		return;
	for (size_t i = 0; i < m->options.n_peers; i++) {
		struct ek_mirror_peer *p = &m->peers[i];

		if (p->up && !p->behind)
			send_batch(m, i);
		if (p->up && p->behind)
			p->counters.unsent += m->n_entries;
	}
	ek_wire_free(&m->entries);
	ek_wire_free(&m->drops);
	m->n_entries = 0;
}

/* --- entries --------------------------------------------------------------------------------- */

void ek_mirror_queue(struct ek_mirror *m, const struct ek_flow_image *image)
{
	ek_wire_put_image(&m->entries, image);
	m->n_entries++;
	if (m->entries.length > EK_MIRROR_BATCH)
		ek_mirror_flush(m);
}

static void on_news(void *arg, const struct ek_news_record *record)
{
	struct ek_mirror *m = arg;
	struct ek_flow_image image;

	if (record->flags & EK_NEWS_REMOVED) {
		struct ek_wire_drop drop = {.bucket = record->bucket, .entry = record->entry};

		ek_wire_put_drop(&m->drops, &drop);
		return;
	}
	if (record->bucket >= ek_datapath_buckets(m->options.datapath) ||
	    record->way >= EK_FLOW_WAYS ||
	    !ek_datapath_image(m->options.datapath, record->bucket, record->way, m->tick, &image))
		return;
	if (ek_flow_hash_high(image.entry ^
			      record->entry)) /* another flow's by now: more follows */
		return;
	ek_mirror_queue(m, &image);
}

static void on_expired(void *arg, uint32_t bucket, uint64_t entry)
{
	struct ek_mirror *m = arg;
	struct ek_wire_drop drop = {.bucket = bucket, .entry = entry};

	ek_wire_put_drop(&m->drops, &drop);
	if (m->drops.length > EK_MIRROR_BATCH)
		ek_mirror_flush(m);
}

void ek_mirror_tell_news(struct ek_mirror *m)
{
	uint64_t missed = ek_datapath_news(m->options.datapath, on_news, m);

	for (size_t i = 0; missed && i < m->options.n_peers; i++) {
		m->peers[i].counters.missed += missed;
		m->peers[i].behind = true;
	}
	ek_mirror_flush(m);
}

void ek_mirror_pump(struct ek_mirror *m)
{
	if (ek_datapath_tick(m->options.datapath, &m->tick))
		return;
	ek_mirror_tell_news(m);
	for (size_t i = 0; i < m->options.n_peers; i++)
		if (m->peers[i].up) {
			ek_mirror_bulk_step(m, i);
			ek_mirror_prune_step(m, i);
		}
}

/* --- what peers say -------------------------------------------------------------------------- */

int ek_mirror_find(const struct ek_mirror *m, const struct ek_wire_service *name)
{
	return ek_state_find_key(m->options.state, &name->vip, name->key);
}

static uint16_t find_row(const struct ek_mirror *m, int id, const struct ek_ip *address)
{
	for (uint32_t i = 1; i < m->options.state->limit; i++) {
		const struct ek_state_backend *row = &m->options.state->backends[i];

		if (row->used && row->row.service == id && ek_ip_equal(&row->row.address, address))
			return i;
	}
	return EK_BACKEND_NONE;
}

static bool is_row_of(const struct ek_mirror *m, uint16_t index, const struct ek_wire_backend *name)
{
	const struct ek_state_backend *row = &m->options.state->backends[index];
	struct ek_wire_service service;

	if (!row->used || !ek_ip_equal(&row->row.address, &name->address) ||
	    !m->options.state->services[row->row.service].used)
		return false;
	service = ek_mirror_name(m, row->row.service);
	return service.key == name->service.key && ek_ip_equal(&service.vip, &name->service.vip);
}

/* Rows here may have changed hands since the peer's names were looked up. */
static void resolve_names(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	if (!p->renamed)
		return;
	p->renamed = false;
	for (uint32_t i = 1; i <= EK_BACKENDS_MAX; i++)
		if (p->rows[i] == ROW_REFUSED ||
		    (p->rows[i] && !is_row_of(m, p->rows[i], &p->names[i])))
			p->rows[i] = EK_BACKEND_NONE;
}

static bool receive_backends(struct ek_mirror *m, size_t peer, struct ek_wire_in *in)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	while (ek_wire_more(in)) {
		struct ek_wire_backend name = ek_wire_get_backend(in);

		if (in->bad || !name.index || name.index > EK_BACKENDS_MAX)
			return false;
		p->names[name.index] = name;
		p->rows[name.index] = EK_BACKEND_NONE;
	}
	return true;
}

static uint16_t find_or_adopt(struct ek_mirror *m, const struct ek_wire_backend *name)
{
	int id = ek_mirror_find(m, &name->service);
	uint16_t row = id < 0 ? EK_BACKEND_NONE : find_row(m, id, &name->address);

	if (id >= 0 && !row)
		row = m->options.adopt(m->options.arg, id, &name->address);
	return row ? row : ROW_REFUSED;
}

/*
 * In this node's rows; NONE where there is none. A backend that is not in the file here gets a row
 * when a slot or an entry first names it, not before: the peer may have forgotten it already.
 */
static uint32_t translate(struct ek_mirror *m, size_t peer, uint32_t backend)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	if (!p->rows[backend] && p->names[backend].index)
		p->rows[backend] = find_or_adopt(m, &p->names[backend]);
	return p->rows[backend] == ROW_REFUSED ? EK_BACKEND_NONE : p->rows[backend];
}

/* Only if it is a backend of this service. */
static uint32_t translate_of(struct ek_mirror *m, size_t peer, int id, uint32_t backend)
{
	uint32_t row = translate(m, peer, backend);

	return row && m->options.state->backends[row].row.service == id ? row : EK_BACKEND_NONE;
}

/* In this node's rows; false where the slot's backend is nobody here. */
static bool translate_slot(struct ek_mirror *m, size_t peer, int id, uint32_t *word)
{
	uint32_t current = translate_of(m, peer, id, ek_slot_current(*word));
	uint32_t origin = translate_of(m, peer, id, ek_slot_origin(*word));
	bool known = current || !ek_slot_current(*word);

	*word = ek_slot(current, origin ? origin : current, *word & EK_SLOT_LOOKUP);
	return known;
}

static bool receive_ring(struct ek_mirror *m, size_t peer, struct ek_wire_in *in, uint32_t now)
{
	struct ek_wire_service name = ek_wire_get_service(in);
	struct ek_mirror_counters *counters = &m->peers[peer].counters;
	int id = ek_mirror_find(m, &name);

	while (ek_wire_more(in)) {
		struct ek_wire_slot slot = ek_wire_get_slot(in);

		if (in->bad || slot.slot >= EK_RING_SIZE)
			return false;
		counters->slots_received++;
		/* Two owners: the election will tell them apart. */
		if (id >= 0 && m->services[id].shadow)
			continue;
		if (id < 0 || !translate_slot(m, peer, id, &slot.word))
			counters->unknown++;
		else
			ek_datapath_slot_store(m->options.datapath, id, slot.slot, slot.word, now);
	}
	return true;
}

/*
 * An entry that comes to a slot which looks none up, since this node did not know that there was
 * one: of a follower that was cut off, say. It would go unseen now, and be found when the slot
 * changes next, by another connection.
 */
static void see_entry(struct ek_mirror *m, uint32_t row, const struct ek_flow_image *image,
		      uint32_t now)
{
	uint16_t id = m->options.state->backends[row].row.service;
	int slot = ek_datapath_overlooked(m->options.datapath, image->bucket, image->entry);
	struct ek_mirror_service *s = &m->services[id];
	uint32_t word;

	if (slot < 0 || !s->shadow)
		return;
	word = ek_datapath_ring(m->options.datapath, id)->slot[slot] | EK_SLOT_LOOKUP;
	ek_datapath_slot_store(m->options.datapath, id, slot, word, now);
	s->seen = true;
}

/* What the peers have of the ring, with what this node has begun to look up. */
static void tell_seen(struct ek_mirror *m, uint16_t id)
{
	const struct ek_ring *ring = ek_datapath_ring(m->options.datapath, id);
	struct ek_mirror_service *s = &m->services[id];
	uint32_t *words = s->shadow && ring ? malloc(EK_RING_SIZE * sizeof(*words)) : NULL;

	if (!words)
		return;
	s->seen = false;
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		words[i] = s->shadow[i] | (ring->slot[i] & EK_SLOT_LOOKUP);
	ek_mirror_tell_ring(m, id, words);
	free(words);
}

static bool receive_entries(struct ek_mirror *m, size_t peer, struct ek_wire_in *in, uint32_t now)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	while (ek_wire_more(in)) {
		struct ek_flow_image image = ek_wire_get_image(in);
		uint32_t row = translate(m, peer, ek_flow_backend(image.entry));
		enum ek_flow_state state = ek_flow_state(image.entry);

		if (in->bad || image.bucket >= ek_datapath_buckets(m->options.datapath) ||
		    state == EK_FLOW_EMPTY || state == EK_FLOW_EMBRYONIC)
			return false;
		p->counters.entries_received++;
		if (!row) {
			p->counters.unknown++;
			continue;
		}
		image.entry = ek_flow_entry(image.entry, row, state, image.entry & EK_TICK_MASK);
		if (ek_datapath_store(m->options.datapath, &image, ek_mirror_unheard(m, peer),
				      now) == EK_STORED_NO_ROOM)
			p->counters.unplaced++;
		see_entry(m, row, &image, now);
		ek_mirror_table_named(m, peer, image.bucket, image.entry);
	}
	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++)
		if (m->services[id].seen)
			tell_seen(m, id);
	return true;
}

static bool receive_drops(struct ek_mirror *m, struct ek_wire_in *in, uint32_t now)
{
	while (ek_wire_more(in)) {
		struct ek_wire_drop drop = ek_wire_get_drop(in);
		struct ek_flow_image image;

		if (in->bad || drop.bucket >= ek_datapath_buckets(m->options.datapath))
			return false;
		if (!ek_datapath_drop(m->options.datapath, drop.bucket, drop.entry, UINT32_MAX, now,
				      &image))
			ek_mirror_queue(m, &image);
	}
	return true;
}

static void receive_ack(struct ek_mirror *m, size_t peer, uint64_t number)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	if (number <= p->acked || number > p->marked)
		return;
	p->acked = number;
	p->counters.lag_us = m->options.now_us() - p->marked_us;
	if (p->counters.lag_us > p->counters.lag_max_us)
		p->counters.lag_max_us = p->counters.lag_us;
	p->marked_us = m->options.now_us(); /* those that are left came later */
	m->options.progress(m->options.arg, peer);
}

static bool receive(struct ek_mirror *m, size_t peer, uint8_t type, struct ek_wire_in *in,
		    uint32_t now)
{
	switch ((enum ek_wire_type)type) {
	case EK_WIRE_WANT:
		ek_mirror_bulk_begin(m, peer, ek_wire_get64(in));
		return !in->bad;
	case EK_WIRE_END:
		if (ek_wire_get64(in) == m->peers[peer].wanted)
			m->peers[peer].synced = true;
		m->options.progress(m->options.arg, peer);
		return !in->bad;
	case EK_WIRE_MARK: /* what was done by the ring before goes first */
		ek_mirror_tell_news(m);
		m->peers[peer].due.ack = ek_wire_get64(in);
		ek_mirror_say_numbers(m, peer);
		return !in->bad;
	case EK_WIRE_ACK:
		receive_ack(m, peer, ek_wire_get64(in));
		return !in->bad;
	case EK_WIRE_BACKENDS:
		return receive_backends(m, peer, in);
	case EK_WIRE_RING:
		return receive_ring(m, peer, in, now);
	case EK_WIRE_ENTRIES:
		return receive_entries(m, peer, in, now);
	case EK_WIRE_DROPS:
		return receive_drops(m, in, now);
	case EK_WIRE_FORGET:
		return ek_mirror_receive_forget(m, peer, in, now);
	case EK_WIRE_FORGOTTEN:
		return ek_mirror_receive_forgotten(m, peer, in);
	case EK_WIRE_TABLE:
		ek_mirror_table_begin(m, peer);
		return true;
	case EK_WIRE_TABLE_END:
		return ek_mirror_table_end(m, peer, in);
	default:
		return false;
	}
}

bool ek_mirror_message(struct ek_mirror *m, size_t peer, uint8_t type, const void *body,
		       size_t length)
{
	struct ek_wire_in in = {.at = body, .end = (const uint8_t *)body + length};
	uint32_t now;

	if (ek_datapath_tick(m->options.datapath, &now))
		return true;
	m->tick = now;
	resolve_names(m, peer);
	return receive(m, peer, type, &in, now) && !in.bad;
}

/* --- peers ----------------------------------------------------------------------------------- */

/* With nobody to tell, rings went their way; from here on they are as the peers are told. */
static void begin_telling(struct ek_mirror *m)
{
	ek_wire_free(&m->entries); /* for peers that left */
	ek_wire_free(&m->drops);
	m->n_entries = 0;
	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++) {
		const struct ek_ring *ring = ek_datapath_ring(m->options.datapath, id);

		if (ring && m->services[id].shadow)
			memcpy(m->services[id].shadow, ring->slot, sizeof(ring->slot));
		ek_datapath_mirrored(m->options.datapath, id, true, m->services[id].stateful);
	}
}

void ek_mirror_peer_up(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	if (!ek_mirror_has_peers(m))
		begin_telling(m);
	p->up = p->stale = p->renamed = true;
	p->synced = p->behind = false;
	p->bulk = (struct ek_mirror_bulk){0};
	p->due = (struct ek_mirror_due){0};
	p->acked = p->marked = m->mark;
	memset(p->told, 0, m->options.state->limit * sizeof(*p->told));
	memset(p->names, 0, (EK_BACKENDS_MAX + 1) * sizeof(*p->names));
	memset(p->rows, 0, (EK_BACKENDS_MAX + 1) * sizeof(*p->rows));
	ek_mirror_want(m, peer);
}

void ek_mirror_peer_down(struct ek_mirror *m, size_t peer)
{
	m->peers[peer].up = m->peers[peer].synced = false;
	ek_datapath_tick(m->options.datapath, &m->peers[peer].alone);
	ek_mirror_table_stop(m, peer);
	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++)
		if (m->services[id].asking & 1u << peer)
			ek_mirror_answered(m, id, peer);
	m->options.progress(m->options.arg, peer);
}

void ek_mirror_want(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	p->synced = false;
	p->wanted++;
	if (!p->up)
		return;
	p->due.want = p->wanted;
	ek_mirror_say_numbers(m, peer);
}

bool ek_mirror_synced(const struct ek_mirror *m, size_t peer)
{
	return m->peers[peer].up && m->peers[peer].synced;
}

bool ek_mirror_behind(const struct ek_mirror *m, size_t peer)
{
	const struct ek_mirror_peer *p = &m->peers[peer];

	return p->behind || p->bulk.table || p->bulk.rings;
}

const struct ek_mirror_counters *ek_mirror_counters(const struct ek_mirror *m, size_t peer)
{
	return &m->peers[peer].counters;
}

/* --- life ------------------------------------------------------------------------------------ */

struct ek_mirror *ek_mirror_new(const struct ek_mirror_options *options)
{
	struct ek_mirror *m = calloc(1, sizeof(*m));
	uint32_t now = 0;
	const struct ek_sweep_hooks hooks = {
		.arg = m, .expired = on_expired, .forget = ek_mirror_on_forget};

	if (!m)
		return NULL;
	m->options = *options;
	ek_datapath_tick(options->datapath, &now);
	for (size_t i = 0; i < options->n_peers; i++) {
		struct ek_mirror_peer *p = &m->peers[i];

		p->alone = now - RESTART_TICKS;
		p->told = calloc(options->state->limit, sizeof(*p->told));
		p->names = calloc(EK_BACKENDS_MAX + 1, sizeof(*p->names));
		p->rows = calloc(EK_BACKENDS_MAX + 1, sizeof(*p->rows));
		if (!p->told || !p->names || !p->rows) {
			ek_mirror_free(m);
			return NULL;
		}
	}
	ek_datapath_hooks(options->datapath, &hooks);
	return m;
}

void ek_mirror_free(struct ek_mirror *m)
{
	if (!m)
		return;
	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++) {
		ek_datapath_mirrored(m->options.datapath, id, false, false);
		free(m->services[id].shadow);
		free(m->services[id].ballot);
	}
	for (size_t i = 0; i < m->options.n_peers; i++) {
		free(m->peers[i].told);
		free(m->peers[i].names);
		free(m->peers[i].rows);
		free(m->peers[i].named);
	}
	ek_wire_free(&m->entries);
	ek_wire_free(&m->drops);
	free(m);
}
