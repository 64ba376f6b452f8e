/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See mirror.h. Everything for a peer that joins, or that could not be told in time: in steps, as
 * fast as it takes them, while what is new goes on being sent between them. And the other end: what
 * an owner did not name when it sent its whole table has ended meanwhile.
 */
#include <stdlib.h>
#include <string.h>
#include "mirror_private.h"

#define STEP_BUCKETS 4096
#define STEP_RINGS   4
/* A peer that is gone is noticed in so many ticks. */
#define LATE_TICKS 3
/* More waits than this: the peer is given time. */
#define BACKLOG_HIGH (8u << 20)

/* The ring whole, from the shadow: what the peers were told is what they should have. */
void ek_mirror_send_ring(struct ek_mirror *m, size_t peer, uint16_t id)
{
	struct ek_mirror_service *s = &m->services[id];
	struct ek_wire_service name = ek_mirror_name(m, id);
	struct ek_wire_out out = {0};

	if (!s->shadow)
		return;
	if (s->asking) /* what the peer forgets for the question it is about to be told again */
		memset(s->ballot->refused, 0xff, sizeof(s->ballot->refused));
	if (ek_mirror_introduce(m, peer)) {
		ek_mirror_bulk_ring(m, peer, id);
		return;
	}
	ek_wire_put_service(&out, &name);
	for (uint32_t i = 0; i < EK_RING_SIZE; i++) {
		struct ek_wire_slot slot = {.slot = i, .word = s->shadow[i]};

		ek_wire_put_slot(&out, &slot);
	}
	m->peers[peer].counters.slots_sent += EK_RING_SIZE;
	if (ek_mirror_send(m, peer, EK_WIRE_RING, &out))
		ek_mirror_bulk_ring(m, peer, id);
}

void ek_mirror_bulk_ring(struct ek_mirror *m, size_t peer, uint16_t id)
{
	struct ek_mirror_bulk *bulk = &m->peers[peer].bulk;

	m->services[id].whole |= 1u << peer;
	if (!bulk->rings || id < bulk->service)
		bulk->service = id;
	bulk->rings = true;
}

void ek_mirror_bulk_rings(struct ek_mirror *m, size_t peer)
{
	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++)
		if (m->services[id].shadow)
			ek_mirror_bulk_ring(m, peer, id);
}

void ek_mirror_bulk_begin(struct ek_mirror *m, size_t peer, uint64_t end)
{
	struct ek_mirror_bulk *bulk = &m->peers[peer].bulk;

	ek_mirror_bulk_rings(m, peer);
	bulk->table = true;
	bulk->bucket = 0;
	bulk->end = end;
}

/*
 * For how many ticks this node has been doing things that the peer cannot have heard of. A
 * connection that it used before, and which the owner does not name, has ended meanwhile: its
 * addresses may be another connection's by now. A few more: a connection that is lost is found so
 * late, and what was said last may not have arrived.
 */
uint32_t ek_mirror_unheard(const struct ek_mirror *m, size_t peer)
{
	return m->tick - m->peers[peer].alone + LATE_TICKS;
}

/* Entries that peers are not told of stay here; of another's service, what it does not know. */
static bool is_mirrored(const struct ek_mirror *m, size_t peer, uint64_t image)
{
	uint32_t row = ek_flow_backend(image), age = image & EK_TICK_MASK;
	const struct ek_state_backend *backend;
	const struct ek_mirror_service *s;

	if (!row || row >= m->options.state->limit || !m->options.state->backends[row].used)
		return false;
	backend = &m->options.state->backends[row];
	s = &m->services[backend->row.service];
	if (s->shadow || !s->stateful)
		return s->stateful;
	return age <= ek_mirror_unheard(m, peer) &&
	       age <= ek_state_longest(&m->options.state->services[backend->row.service])
			       ->timeout[ek_flow_state(image)];
}

static int send_step(struct ek_mirror *m, size_t peer, bool first, struct ek_wire_out *entries)
{
	int err = ek_mirror_introduce(m, peer);

	if (!err && first)
		err = m->options.send(m->options.arg, peer, EK_WIRE_TABLE, "", 0);
	if (!err && (entries->length || entries->failed))
		err = ek_mirror_send(m, peer, EK_WIRE_ENTRIES, entries);
	ek_wire_free(entries);
	return err;
}

static int send_table_end(struct ek_mirror *m, size_t peer)
{
	struct ek_wire_out out = {0};

	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++)
		if (m->services[id].shadow && m->services[id].stateful) {
			struct ek_wire_service name = ek_mirror_name(m, id);

			ek_wire_put_service(&out, &name);
		}
	return ek_mirror_send(m, peer, EK_WIRE_TABLE_END, &out);
}

static void step_table(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];
	uint32_t end = ek_datapath_buckets(m->options.datapath);
	struct ek_wire_out out = {0};
	struct ek_flow_image image;
	uint32_t start = p->bulk.bucket;
	uint64_t n = 0;

	for (uint32_t left = STEP_BUCKETS;
	     left && p->bulk.bucket < end && out.length < EK_MIRROR_BATCH; left--, p->bulk.bucket++)
		for (unsigned int way = 0; way < EK_FLOW_WAYS; way++)
			if (ek_datapath_image(m->options.datapath, p->bulk.bucket, way, m->tick,
					      &image) &&
			    is_mirrored(m, peer, image.entry)) {
				ek_wire_put_image(&out, &image);
				n++;
			}
	if (send_step(m, peer, start == 0, &out)) {
		p->bulk.bucket = start; /* once more, later */
		return;
	}
	p->counters.entries_sent += n;
	if (p->bulk.bucket < end || send_table_end(m, peer))
		return;
	p->bulk.table = false;
	p->counters.tables++;
}

static void step_rings(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_bulk *bulk = &m->peers[peer].bulk;
	struct ek_mirror_service *s = m->services;

	while (bulk->service < EK_SERVICES_MAX && !(s[bulk->service].whole & 1u << peer))
		bulk->service++;
	if (bulk->service == EK_SERVICES_MAX) {
		bulk->rings = false;
		return;
	}
	s[bulk->service].whole &= ~(1u << peer);
	ek_mirror_send_ring(m, peer, bulk->service++);
}

static void step(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	if (p->behind) {
		p->behind = false;
		p->bulk.table = true;
		p->bulk.bucket = 0;
	}
	for (int n = 0; p->bulk.rings && n < STEP_RINGS; n++)
		step_rings(m, peer);
	if (!p->bulk.rings && p->bulk.table)
		step_table(m, peer);
}

void ek_mirror_bulk_step(struct ek_mirror *m, size_t peer)
{
	if (m->options.backlog(m->options.arg, peer) <= BACKLOG_HIGH)
		step(m, peer);
	ek_mirror_say_numbers(m, peer);
}

/* --- a table that comes ---------------------------------------------------------------------- */

void ek_mirror_table_stop(struct ek_mirror *m, size_t peer)
{
	free(m->peers[peer].named);
	m->peers[peer].named = NULL;
	m->peers[peer].pruning = false;
}

/* Without memory nothing is pruned: it goes when its owner's next table comes. */
void ek_mirror_table_begin(struct ek_mirror *m, size_t peer)
{
	ek_mirror_table_stop(m, peer);
	m->peers[peer].named = calloc(ek_datapath_buckets(m->options.datapath), 1);
}

void ek_mirror_table_named(struct ek_mirror *m, size_t peer, uint32_t bucket, uint64_t entry)
{
	int way = m->peers[peer].named ? ek_datapath_way(m->options.datapath, bucket, entry) : -1;

	if (way >= 0)
		m->peers[peer].named[bucket] |= 1u << way;
}

bool ek_mirror_table_end(struct ek_mirror *m, size_t peer, struct ek_wire_in *in)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	memset(p->pruned, 0, sizeof(p->pruned));
	while (ek_wire_more(in)) {
		struct ek_wire_service name = ek_wire_get_service(in);
		int id = ek_mirror_find(m, &name);

		if (id >= 0 && !m->services[id].shadow)
			p->pruned[id] = true;
	}
	p->pruning = p->named && !in->bad;
	p->prune = 0;
	return !in->bad;
}

static void prune_bucket(struct ek_mirror *m, size_t peer, uint32_t bucket)
{
	struct ek_mirror_peer *p = &m->peers[peer];
	struct ek_flow_image image, own;

	for (unsigned int way = 0; way < EK_FLOW_WAYS; way++) {
		uint32_t row;

		if (p->named[bucket] >> way & 1 ||
		    !ek_datapath_image(m->options.datapath, bucket, way, m->tick, &image))
			continue;
		row = ek_flow_backend(image.entry);
		if (row >= m->options.state->limit || !m->options.state->backends[row].used ||
		    !p->pruned[m->options.state->backends[row].row.service])
			continue;
		/* One that this node has used itself the owner should know. */
		if (!ek_datapath_drop(m->options.datapath, bucket, image.entry,
				      ek_mirror_unheard(m, peer), m->tick, &own))
			ek_mirror_queue(m, &own);
	}
}

void ek_mirror_prune_step(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];
	uint32_t end = ek_datapath_buckets(m->options.datapath);

	if (!p->pruning)
		return;
	for (uint32_t left = STEP_BUCKETS; left && p->prune < end; left--)
		prune_bucket(m, peer, p->prune++);
	if (p->prune == end)
		ek_mirror_table_stop(m, peer);
}
