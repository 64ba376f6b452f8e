/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See mirror.h. A slot forgets when every node agrees: the owner's sweep finds the slots, the peers
 * are asked, and forget what they have not used themselves before they answer. So a peer has always
 * forgotten before the owner has; whom the owner contradicts after all is told the slot again.
 */
#include <stdlib.h>
#include <string.h>
#include "mirror_private.h"

/* For how many passes of the sweep a question stands without an answer. */
#define ANSWER_PASSES 3

/*
 * Some peers have forgotten what is not forgotten after all, because another refused or because it
 * has changed meanwhile: they are told again what they were last told.
 */
static void tell_asked(struct ek_mirror *m, uint16_t id, const struct ek_ring *ring)
{
	struct ek_mirror_service *s = &m->services[id];
	uint32_t *words = malloc(EK_RING_SIZE * sizeof(*words));

	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		if (ek_bit(s->ballot->asked, i) && !ek_bit(s->ballot->refused, i))
			s->shadow[i] = ring->slot[i];
	if (!words) {
		for (size_t i = 0; i < m->options.n_peers; i++)
			ek_mirror_bulk_rings(m, i);
		return;
	}
	memcpy(words, s->shadow, EK_RING_SIZE * sizeof(*words));
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		if (ek_bit(s->ballot->asked, i) && ek_bit(s->ballot->refused, i))
			s->shadow[i] = ~words[i];
	ek_mirror_tell_ring(m, id, words);
	free(words);
}

/* All have answered: slots forget that all were asked about, nobody refused and nothing changed. */
static void finish_forget(struct ek_mirror *m, uint16_t id)
{
	struct ek_mirror_service *s = &m->services[id];
	const struct ek_ring *ring = ek_datapath_ring(m->options.datapath, id);
	const uint8_t *pending = ek_datapath_swept(m->options.datapath)->services[id].pending;

	s->asking = 0;
	if (!ring || !s->shadow || !pending)
		return;
	for (size_t i = 0; i < EK_RING_BITMAP; i++)
		s->ballot->refused[i] |= ~(s->ballot->asked[i] & pending[i]);
	ek_datapath_forget(m->options.datapath, id, s->ballot->refused);
	tell_asked(m, id, ring);
}

void ek_mirror_answered(struct ek_mirror *m, uint16_t id, size_t peer)
{
	struct ek_mirror_service *s = &m->services[id];

	s->asking &= ~(1u << peer);
	if (!s->asking)
		finish_forget(m, id);
}

static void forget_alone(struct ek_mirror *m, uint16_t id)
{
	const struct ek_ring *ring = ek_datapath_ring(m->options.datapath, id);

	ek_datapath_forget(m->options.datapath, id, NULL);
	if (m->services[id].shadow && ring)
		memcpy(m->services[id].shadow, ring->slot, sizeof(ring->slot));
}

/* Who could not be asked refuses, and who does not have the ring. */
static void ask(struct ek_mirror *m, uint16_t id, const struct ek_wire_out *out)
{
	struct ek_mirror_service *s = &m->services[id];

	for (size_t i = 0; i < m->options.n_peers; i++) {
		if (!m->peers[i].up)
			continue;
		if (out->failed || m->peers[i].bulk.rings ||
		    m->options.send(m->options.arg, i, EK_WIRE_FORGET, out->bytes, out->length))
			memset(s->ballot->refused, 0xff, sizeof(s->ballot->refused));
		else
			s->asking |= 1u << i;
	}
}

/* Not those of which the peers have been told something that has not come to pass. */
static void choose(struct ek_mirror *m, uint16_t id, const uint8_t *pending)
{
	const struct ek_ring *ring = ek_datapath_ring(m->options.datapath, id);
	struct ek_mirror_service *s = &m->services[id];

	memset(s->ballot, 0, sizeof(*s->ballot));
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		if (ek_bit(pending, i) && s->shadow[i] == ring->slot[i])
			ek_bit_set(s->ballot->asked, i);
}

/* The removals of this pass go first: a peer may know better, and says so before it answers. */
void ek_mirror_on_forget(void *arg, uint16_t id, const uint8_t *pending)
{
	struct ek_mirror *m = arg;
	struct ek_mirror_service *s = &m->services[id];
	struct ek_wire_service name = ek_mirror_name(m, id);
	struct ek_wire_out out = {0};

	if (s->asking && s->patience-- > 0)
		return;
	if (s->asking) { /* an answer was lost */
		memset(s->ballot->refused, 0xff, sizeof(s->ballot->refused));
		finish_forget(m, id);
		return;
	}
	if (!ek_mirror_has_peers(m) || !s->shadow) {
		forget_alone(m, id);
		return;
	}
	if (!s->ballot)
		s->ballot = malloc(sizeof(*s->ballot));
	if (!s->ballot)
		return;
	ek_mirror_flush(m);
	choose(m, id, pending);
	s->patience = ANSWER_PASSES;
	s->question++;
	ek_wire_put_service(&out, &name);
	ek_wire_put32(&out, s->question);
	for (uint32_t i = 0; i < EK_RING_SIZE; i++)
		if (ek_bit(s->ballot->asked, i))
			ek_wire_put32(&out, i);
	ask(m, id, &out);
	ek_wire_free(&out);
}

bool ek_mirror_receive_forget(struct ek_mirror *m, size_t peer, struct ek_wire_in *in, uint32_t now)
{
	struct ek_wire_service name = ek_wire_get_service(in);
	uint32_t question = ek_wire_get32(in);
	int id = ek_mirror_find(m, &name);
	struct ek_wire_out out = {0};

	ek_mirror_tell_news(m);
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

bool ek_mirror_receive_forgotten(struct ek_mirror *m, size_t peer, struct ek_wire_in *in)
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
			ek_bit_set(m->services[id].ballot->refused, slot);
	}
	if (wanted)
		ek_mirror_answered(m, id, peer);
	return true;
}
