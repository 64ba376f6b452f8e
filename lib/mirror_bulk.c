/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See mirror.h. Everything for a peer that joins, or that could not be told in time: in steps, as
 * fast as it takes them, while what is new goes on being sent between them.
 */
#include <errno.h>
#include "mirror_private.h"

#define STEP_BUCKETS 4096
#define STEP_BYTES   (512u << 10)
/* More waits than this: the peer is given time. */
#define BACKLOG_HIGH (8u << 20)

/* The ring whole, from the shadow: what the peers were told is what they should have. */
void ek_mirror_send_ring(struct ek_mirror *m, size_t peer, uint16_t id)
{
	const struct ek_mirror_service *s = &m->services[id];
	struct ek_wire_service name = ek_mirror_name(m, id);
	struct ek_wire_out out = {0};

	if (!s->shadow)
		return;
	ek_mirror_introduce(m, peer);
	ek_wire_put_service(&out, &name);
	for (uint32_t i = 0; i < EK_RING_SIZE; i++) {
		struct ek_wire_slot slot = {.slot = i, .word = s->shadow[i]};

		ek_wire_put_slot(&out, &slot);
	}
	m->peers[peer].counters.slots_sent += EK_RING_SIZE;
	if (ek_mirror_send(m, peer, EK_WIRE_RING, &out))
		ek_mirror_bulk_rings(m, peer);
}

void ek_mirror_bulk_rings(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_bulk *bulk = &m->peers[peer].bulk;

	bulk->rings = true;
	bulk->service = 0;
}

void ek_mirror_bulk_begin(struct ek_mirror *m, size_t peer, uint64_t end)
{
	struct ek_mirror_bulk *bulk = &m->peers[peer].bulk;

	ek_mirror_bulk_rings(m, peer);
	bulk->table = true;
	bulk->bucket = 0;
	bulk->end = end;
}

/* Entries that peers are not told of stay here. */
static bool is_mirrored(const struct ek_mirror *m, uint64_t entry)
{
	uint32_t row = ek_flow_backend(entry);
	const struct ek_state_backend *backend;

	if (!row || row >= m->options.state->limit)
		return false;
	backend = &m->options.state->backends[row];
	return backend->used && backend->row.service < EK_SERVICES_MAX &&
	       m->services[backend->row.service].stateful;
}

static void step_table(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];
	uint32_t end = ek_datapath_buckets(m->options.datapath);
	struct ek_wire_out out = {0};
	struct ek_flow_image image;
	uint64_t n = 0;

	for (uint32_t left = STEP_BUCKETS; left && p->bulk.bucket < end && out.length < STEP_BYTES;
	     left--, p->bulk.bucket++)
		for (unsigned int way = 0; way < EK_FLOW_WAYS; way++)
			if (ek_datapath_image(m->options.datapath, p->bulk.bucket, way, m->tick,
					      &image) &&
			    is_mirrored(m, image.entry)) {
				ek_wire_put_image(&out, &image);
				n++;
			}
	ek_mirror_introduce(m, peer);
	if (out.length && ek_mirror_send(m, peer, EK_WIRE_ENTRIES, &out)) {
		p->bulk.bucket = 0; /* once more, later */
		return;
	}
	p->counters.entries_sent += n;
	if (p->bulk.bucket < end)
		return;
	p->bulk.table = false;
	p->counters.tables++;
}

static void step_rings(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_bulk *bulk = &m->peers[peer].bulk;

	while (bulk->service < EK_SERVICES_MAX && !m->services[bulk->service].shadow)
		bulk->service++;
	if (bulk->service == EK_SERVICES_MAX) {
		bulk->rings = false;
		return;
	}
	ek_mirror_send_ring(m, peer, bulk->service++);
}

void ek_mirror_bulk_step(struct ek_mirror *m, size_t peer)
{
	struct ek_mirror_peer *p = &m->peers[peer];

	if (m->options.backlog(m->options.arg, peer) > BACKLOG_HIGH)
		return;
	if (p->behind) {
		p->behind = false;
		p->bulk.table = true;
		p->bulk.bucket = 0;
	}
	if (p->bulk.rings)
		step_rings(m, peer);
	else if (p->bulk.table)
		step_table(m, peer);
	else if (p->bulk.end) {
		ek_mirror_send_number(m, peer, EK_WIRE_END, p->bulk.end);
		p->bulk.end = 0;
	}
}
