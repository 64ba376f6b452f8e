/* SPDX-License-Identifier: GPL-2.0-only */
/* See mirror.h: who is to be told what, and what they say. mirror_bulk.c sends everything. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ip.h"
#include "mirror_private.h"
#include "ring.h"

/* --- sending --------------------------------------------------------------------------------- */

int ek_mirror_send(struct ek_mirror *m, size_t peer, uint8_t type, struct ek_wire_out *out)
{
	int err = out->failed ? -ENOMEM : 0;

	if (!err)
		err = m->options.send(m->options.arg, peer, type, out->bytes, out->length);
	ek_wire_free(out);
	return err;
}

void ek_mirror_send_number(struct ek_mirror *m, size_t peer, uint8_t type, uint64_t number)
{
	struct ek_wire_out out = {0};

	ek_wire_put64(&out, number);
	ek_mirror_send(m, peer, type, &out);
}

static void mark(struct ek_mirror *m)
{
	m->mark++;
	for (size_t i = 0; i < m->options.n_peers; i++) {
		if (!m->peers[i].up)
			continue;
		if (m->peers[i].acked == m->peers[i].marked)
			m->peers[i].marked_us = m->options.now_us();
		m->peers[i].marked = m->mark;
		ek_mirror_send_number(m, i, EK_WIRE_MARK, m->mark);
	}
}

struct ek_wire_service ek_mirror_name(const struct ek_mirror *m, uint16_t id)
{
	const struct ek_service *entry = &m->options.state->services[id].entry;

	return (struct ek_wire_service){.vip = entry->vip,
					.port = EK_SERVICE_KEY_PORT(entry->key),
					.protocol = EK_SERVICE_KEY_PROTO(entry->key)};
}

/* Introduces the rows that the peer has not heard of, or under another meaning. */
void ek_mirror_introduce(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];
	struct ek_wire_out out = {0};

	if (!p->stale)
		return;
	p->stale = false;
	for (uint32_t i = 1; i < m->options.state->limit; i++) {
		const struct ek_state_backend *row = &m->options.state->backends[i];
		struct ek_wire_backend backend = {.index = i, .address = row->row.address};

		if (!row->used || !m->options.state->services[row->row.service].used)
			continue;
		backend.service = ek_mirror_name(m, row->row.service);
		if (!memcmp(&p->told[i], &backend, sizeof(backend)))
			continue;
		p->told[i] = backend;
		ek_wire_put_backend(&out, &backend);
		if (out.length > EK_MIRROR_BATCH)
			ek_mirror_send(m, peer, EK_WIRE_BACKENDS, &out);
	}
	if (out.length)
		ek_mirror_send(m, peer, EK_WIRE_BACKENDS, &out);
}

/* --- rings ----------------------------------------------------------------------------------- */

/* Tells the peers what differs from the shadow, and makes it the shadow. Returns how much. */
static size_t tell_ring(struct ek_mirror *m, uint16_t id, const uint32_t *words)
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
		ek_mirror_introduce(m, i);
		m->peers[i].counters.slots_sent += n;
		/* A ring that the peer does not follow any more is a ring to be sent whole. */
		if (out.failed ||
		    m->options.send(m->options.arg, i, EK_WIRE_RING, out.bytes, out.length))
			ek_mirror_bulk_rings(m, i);
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
	ek_datapath_mirrored(m->options.datapath, id, stateful && ek_mirror_has_peers(m));
	if (!own) {
		free(s->shadow);
		s->shadow = NULL;
	} else if (!s->shadow) {
		s->shadow = shadow_new(ring);
		for (size_t i = 0; i < m->options.n_peers; i++)
			ek_mirror_bulk_rings(m, i);
	}
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
			*s = (struct ek_mirror_service){0};
		} else if (s->shadow && s->moved && whole) {
			s->moved = false;
			tell_ring(m, id, ring->slot);
		}
	}
}

uint64_t ek_mirror_announce(struct ek_mirror *m, const struct ek_plan *plan)
{
	uint32_t *words = ek_mirror_has_peers(m) ? malloc(EK_RING_SIZE * sizeof(*words)) : NULL;
	size_t told = 0;

	for (size_t i = 0; i < plan->n; i++) {
		const struct ek_op *op = &plan->ops[i];

		if (op->kind != EK_OP_RING_SET || op->fresh || !m->services[op->id].shadow)
			continue;
		m->services[op->id].moved = true;
		if (words && !ek_datapath_ring_preview(m->options.datapath, op, words))
			told += tell_ring(m, op->id, words);
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

/* --- forgetting ------------------------------------------------------------------------------ */

/* All have answered: those that nobody refused forget; the others are told what still stands. */
static void finish_forget(struct ek_mirror *m, uint16_t id)
{
	struct ek_mirror_service *s = &m->services[id];
	const struct ek_ring *ring = ek_datapath_ring(m->options.datapath, id);

	s->asking = 0;
	if (!ring || !s->shadow)
		return;
	ek_datapath_forget(m->options.datapath, id, s->refused);
	/* What was refused some have forgotten: a shadow that differs from the ring is told anew.
	 */
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		s->shadow[i] = ek_bit(s->refused, i) ? ~ring->slot[i] : ring->slot[i];
	tell_ring(m, id, ring->slot);
}

static void answered(struct ek_mirror *m, uint16_t id, size_t peer)
{
	struct ek_mirror_service *s = &m->services[id];

	s->asking &= ~(1u << peer);
	if (!s->asking)
		finish_forget(m, id);
}

static void on_forget(void *arg, uint16_t id, const uint8_t *pending)
{
	struct ek_mirror *m = arg;
	struct ek_mirror_service *s = &m->services[id];
	struct ek_wire_service name = ek_mirror_name(m, id);
	struct ek_wire_out out = {0};

	if (s->asking)
		return;
	if (!ek_mirror_has_peers(m) || !s->shadow) {
		s->moved = true;
		ek_datapath_forget(m->options.datapath, id, NULL);
		return;
	}
	memset(s->refused, 0, sizeof(s->refused));
	s->question++;
	ek_wire_put_service(&out, &name);
	ek_wire_put32(&out, s->question);
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		if (ek_bit(pending, i))
			ek_wire_put32(&out, i);
	for (size_t i = 0; i < m->options.n_peers; i++)
		if (m->peers[i].up && !out.failed &&
		    !m->options.send(m->options.arg, i, EK_WIRE_FORGET, out.bytes, out.length))
			s->asking |= 1u << i;
	ek_wire_free(&out);
}

static bool receive_forget(struct ek_mirror *m, size_t peer, struct ek_wire_in *in, uint32_t now)
{
	struct ek_wire_service name = ek_wire_get_service(in);
	uint32_t question = ek_wire_get32(in);
	int id = ek_mirror_find(m, &name);
	struct ek_wire_out out = {0};

	ek_wire_put_service(&out, &name);
	ek_wire_put32(&out, question);
	while (ek_wire_more(in)) {
		uint32_t slot = ek_wire_get32(in);

		if (in->bad || slot >= EK_RING_SIZE) {
			ek_wire_free(&out);
			return false;
		}
		if (id >= 0 && !m->services[id].shadow &&
		    !ek_datapath_slot_forget(m->options.datapath, id, slot, now))
			ek_wire_put32(&out, slot);
	}
	ek_mirror_send(m, peer, EK_WIRE_FORGOTTEN, &out);
	return true;
}

static bool receive_forgotten(struct ek_mirror *m, size_t peer, struct ek_wire_in *in)
{
	struct ek_wire_service name = ek_wire_get_service(in);
	uint32_t question = ek_wire_get32(in);
	int id = ek_mirror_find(m, &name);
	bool wanted = id >= 0 && m->services[id].question == question &&
		      m->services[id].asking & 1u << peer;

	while (ek_wire_more(in)) {
		uint32_t slot = ek_wire_get32(in);

		if (in->bad || slot >= EK_RING_SIZE)
			return false;
		if (wanted)
			ek_bit_set(m->services[id].refused, slot);
	}
	if (wanted)
		answered(m, id, peer);
	return true;
}

/* --- entries --------------------------------------------------------------------------------- */

static void send_batch(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];
	int err = 0;

	ek_mirror_introduce(m, peer);
	/* Removals first: what was stored in their place came later. */
	if (m->drops.length)
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

static void flush(struct ek_mirror *m)
{
	if (!m->entries.length && !m->drops.length)
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

void ek_mirror_queue(struct ek_mirror *m, const struct ek_flow_image *image)
{
	ek_wire_put_image(&m->entries, image);
	m->n_entries++;
	if (m->entries.length > EK_MIRROR_BATCH)
		flush(m);
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
		flush(m);
}

void ek_mirror_pump(struct ek_mirror *m)
{
	uint64_t missed;

	if (ek_datapath_tick(m->options.datapath, &m->tick))
		return;
	missed = ek_datapath_news(m->options.datapath, on_news, m);
	for (size_t i = 0; missed && i < m->options.n_peers; i++) {
		m->peers[i].counters.missed += missed;
		m->peers[i].behind = true;
	}
	flush(m);
	for (size_t i = 0; i < m->options.n_peers; i++)
		if (m->peers[i].up) {
			ek_mirror_bulk_step(m, i);
			ek_mirror_prune_step(m, i);
		}
}

/* --- what peers say -------------------------------------------------------------------------- */

int ek_mirror_find(const struct ek_mirror *m, const struct ek_wire_service *name)
{
	uint64_t key = EK_SERVICE_KEY(name->port, name->protocol, EK_SERVICE_LIVE);

	for (int id = 0; id < (int)EK_SERVICES_MAX; id++) {
		const struct ek_state_service *s = &m->options.state->services[id];

		if (s->used && s->entry.key == key && ek_ip_equal(&s->entry.vip, &name->vip))
			return id;
	}
	return -1;
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

/* Rows here may have moved, or the service may have come, since the peer named its own. */
static void resolve_names(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	if (!p->renamed)
		return;
	p->renamed = false;
	for (uint32_t i = 1; i <= EK_BACKENDS_MAX; i++) {
		const struct ek_wire_backend *name = &p->names[i];
		int id = name->index ? ek_mirror_find(m, &name->service) : -1;

		p->rows[i] = id < 0 ? EK_BACKEND_NONE : find_row(m, id, &name->address);
	}
}

static bool receive_backends(struct ek_mirror *m, size_t peer, struct ek_wire_in *in)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	while (ek_wire_more(in)) {
		struct ek_wire_backend name = ek_wire_get_backend(in);

		if (in->bad || !name.index || name.index > EK_BACKENDS_MAX)
			return false;
		p->names[name.index] = name;
		p->renamed = true;
	}
	resolve_names(m, peer);
	return true;
}

/*
 * In this node's rows; NONE where there is none. A backend that is not in the file here gets a row
 * when a slot or an entry first names it, not before: the peer may have forgotten it already.
 */
static uint32_t translate(struct ek_mirror *m, size_t peer, uint32_t backend)
{
	struct ek_mirror_peer *p = &m->peers[peer];
	struct ek_wire_backend *name = &p->names[backend];
	int id;

	if (p->rows[backend] || !name->index)
		return p->rows[backend];
	id = ek_mirror_find(m, &name->service);
	if (id < 0)
		return EK_BACKEND_NONE;
	p->rows[backend] = m->options.adopt(m->options.arg, id, &name->address);
	if (!p->rows[backend]) /* there is no room: once is enough to know */
		*name = (struct ek_wire_backend){0};
	return p->rows[backend];
}

static bool receive_ring(struct ek_mirror *m, size_t peer, struct ek_wire_in *in, uint32_t now)
{
	struct ek_wire_service name = ek_wire_get_service(in);
	struct ek_mirror_peer *p = &m->peers[peer];
	int id = ek_mirror_find(m, &name);

	while (ek_wire_more(in)) {
		struct ek_wire_slot slot = ek_wire_get_slot(in);
		uint32_t current = translate(m, peer, ek_slot_current(slot.word));
		uint32_t origin = translate(m, peer, ek_slot_origin(slot.word));

		if (in->bad || slot.slot >= EK_RING_SIZE)
			return false;
		p->counters.slots_received++;
		if (id < 0 || (!current && ek_slot_current(slot.word))) {
			p->counters.unknown++;
			continue;
		}
		if (m->services[id].shadow) /* two owners: the election will tell them apart */
			continue;
		ek_datapath_slot_store(
			m->options.datapath, id, slot.slot,
			ek_slot(current, origin ? origin : current, slot.word & EK_SLOT_LOOKUP),
			now);
	}
	return true;
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
		if (ek_datapath_store(m->options.datapath, &image, now) == EK_STORED_NO_ROOM)
			p->counters.unplaced++;
		ek_mirror_table_named(m, peer, image.bucket, image.entry);
	}
	return true;
}

static bool receive_drops(struct ek_mirror *m, struct ek_wire_in *in, uint32_t now)
{
	while (ek_wire_more(in)) {
		struct ek_wire_drop drop = ek_wire_get_drop(in);
		struct ek_flow_image image;

		if (in->bad || drop.bucket >= ek_datapath_buckets(m->options.datapath))
			return false;
		if (!ek_datapath_drop(m->options.datapath, drop.bucket, drop.entry, now, &image))
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
	case EK_WIRE_MARK:
		ek_mirror_send_number(m, peer, EK_WIRE_ACK, ek_wire_get64(in));
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
		return receive_forget(m, peer, in, now);
	case EK_WIRE_FORGOTTEN:
		return receive_forgotten(m, peer, in);
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

void ek_mirror_peer_up(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	p->up = p->stale = p->renamed = true;
	p->synced = p->behind = false;
	p->bulk = (struct ek_mirror_bulk){0};
	p->acked = p->marked = m->mark;
	memset(p->told, 0, m->options.state->limit * sizeof(*p->told));
	memset(p->names, 0, (EK_BACKENDS_MAX + 1) * sizeof(*p->names));
	memset(p->rows, 0, (EK_BACKENDS_MAX + 1) * sizeof(*p->rows));
	ek_mirror_want(m, peer);
}

void ek_mirror_peer_down(struct ek_mirror *m, size_t peer)
{
	m->peers[peer].up = m->peers[peer].synced = false;
	ek_mirror_table_stop(m, peer);
	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++)
		if (m->services[id].asking & 1u << peer)
			answered(m, id, peer);
	m->options.progress(m->options.arg, peer);
}

void ek_mirror_want(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	p->synced = false;
	p->wanted++;
	if (p->up)
		ek_mirror_send_number(m, peer, EK_WIRE_WANT, p->wanted);
}

bool ek_mirror_synced(const struct ek_mirror *m, size_t peer)
{
	return m->peers[peer].up && m->peers[peer].synced;
}

const struct ek_mirror_counters *ek_mirror_counters(const struct ek_mirror *m, size_t peer)
{
	return &m->peers[peer].counters;
}

/* --- life ------------------------------------------------------------------------------------ */

struct ek_mirror *ek_mirror_new(const struct ek_mirror_options *options)
{
	struct ek_mirror *m = calloc(1, sizeof(*m));
	const struct ek_sweep_hooks hooks = {.arg = m, .expired = on_expired, .forget = on_forget};

	if (!m)
		return NULL;
	m->options = *options;
	for (size_t i = 0; i < options->n_peers; i++) {
		struct ek_mirror_peer *p = &m->peers[i];

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
		ek_datapath_mirrored(m->options.datapath, id, false);
		free(m->services[id].shadow);
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
