/* SPDX-License-Identifier: GPL-2.0-only */
/* See datapath_learned.h. */
#include <errno.h>
#include <stdlib.h>
#include <bpf/libbpf.h>
#include "datapath_private.h"
#include "balancer.skel.h"
#include "datapath_learned.h"

#define AT_ONCE 85 /* 4096 bytes of records and their headers */

struct ek_datapath_learned {
	struct ring_buffer *ring;
	ek_datapath_learned_fn learned;
	void *arg;
	unsigned int left; /* of this turn */
};

static int on_record(void *arg, void *data, size_t size)
{
	struct ek_datapath_learned *ring = arg;

	if (size >= sizeof(struct ek_learned))
		ring->learned(ring->arg, data);
	return --ring->left ? 0 : -EAGAIN; /* the record is taken all the same */
}

struct ek_datapath_learned *ek_datapath_learned_open(struct ek_datapath *dp,
						     ek_datapath_learned_fn learned, void *arg)
{
	struct ek_datapath_learned *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return NULL;
	ring->learned = learned;
	ring->arg = arg;
	ring->ring = ring_buffer__new(bpf_map__fd(dp->maps->maps.learned), on_record, ring, NULL);
	if (!ring->ring) {
		int err = errno;

		free(ring);
		errno = err;
		return NULL;
	}
	return ring;
}

void ek_datapath_learned_close(struct ek_datapath_learned *ring)
{
	if (!ring)
		return;
	ring_buffer__free(ring->ring);
	free(ring);
}

void ek_datapath_learned_read(struct ek_datapath_learned *ring)
{
	ring->left = AT_ONCE;
	ring_buffer__consume(ring->ring);
}
