/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data plane as the peers see it: what changed in the connection table, and writing what they
 * say changed in theirs. Called by mirror.c.
 *
 * An entry travels as an image: its word with the age in ticks in place of the time, since the
 * nodes' clocks have nothing in common, and its cold twin. Backends in it are this node's rows: who
 * sends and who receives translates them. Bucket numbers are alike, because peers with tables of
 * another size or with another hash key are refused.
 */
#ifndef EVENKEEL_DATAPATH_MIRROR_H
#define EVENKEEL_DATAPATH_MIRROR_H

#include <stdbool.h>
#include <stdint.h>
#include <evenkeel/flow_table.h>
#include "datapath.h"

struct ek_flow_image {
	uint64_t entry; /* low 14 bits: age */
	uint32_t bucket;
	struct ek_flow_key key; /* `since`: ticks ago; `service` is not used */
};

/*
 * Calls `told` for every record since the last call, in the order of each CPU. Returns how many
 * were overwritten before they could be read: the caller then walks the table.
 */
uint64_t ek_datapath_news(struct ek_datapath *dp,
			  void (*told)(void *arg, const struct ek_news_record *record), void *arg);

/* What lies at a place of the table now. False when it is empty or an embryo. */
bool ek_datapath_image(const struct ek_datapath *dp, uint32_t bucket, unsigned int way,
		       uint32_t now, struct ek_flow_image *out);

/* The way in which the flow's entry that is no embryo lies, or -1. */
int ek_datapath_way(struct ek_datapath *dp, uint32_t bucket, uint64_t entry);

enum ek_stored {
	EK_STORED_NEW,
	EK_STORED_CHANGED,
	EK_STORED_KEPT,	   /* this node knows something younger */
	EK_STORED_NO_ROOM, /* nothing in the bucket may be replaced */
};
/*
 * Writes the image for the service that its backend belongs to. What a follower has not used in the
 * last `idle` ticks contradicts nobody.
 */
enum ek_stored ek_datapath_store(struct ek_datapath *dp, const struct ek_flow_image *image,
				 uint32_t idle, uint32_t now);

/*
 * The slot of the flow's entry, if that names another backend than the slot's, which does not look
 * entries up; else -1.
 */
int ek_datapath_overlooked(struct ek_datapath *dp, uint32_t bucket, uint64_t entry);

/*
 * The owner let go of an entry. True when it is gone here too. False when this node has used it
 * within its timeout and the last `idle` ticks, by more than clocks may differ: `out` is then what
 * the owner should know.
 */
bool ek_datapath_drop(struct ek_datapath *dp, uint32_t bucket, uint64_t entry, uint32_t idle,
		      uint32_t now, struct ek_flow_image *out);

/*
 * A slot as the owner has it, with this node's rows; not seen in use here. It forgets only if this
 * node has not used its memory within the timeout, and no entry here names another backend than its
 * current: returns false otherwise.
 */
void ek_datapath_slot_store(struct ek_datapath *dp, uint16_t id, uint32_t slot, uint32_t word,
			    uint32_t now);
bool ek_datapath_slot_forget(struct ek_datapath *dp, uint16_t id, uint32_t slot, uint32_t now);

/* The slot words that choosing by these members would give. 0 or -ENOMEM, -ENOENT. */
int ek_datapath_ring_preview(struct ek_datapath *dp, const struct ek_op *op,
			     uint32_t words[EK_RING_SIZE]);

/* Who this node is to the service; whether peers are asked before a slot forgets, and are told of
 * entries. */
void ek_datapath_role(struct ek_datapath *dp, uint16_t id, enum ek_sweep_role role);
void ek_datapath_mirrored(struct ek_datapath *dp, uint16_t id, bool peers, bool stateful);
void ek_datapath_hooks(struct ek_datapath *dp, const struct ek_sweep_hooks *hooks);
/* Only a whole pass that begins from now on may let the slot forget. */
void ek_datapath_touch(struct ek_datapath *dp, uint16_t id, uint32_t slot);
/* The peers' answer to hooks.forget. */
void ek_datapath_forget(struct ek_datapath *dp, uint16_t id, const uint8_t *refused);

#endif
