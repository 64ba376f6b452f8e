/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ring in which bpf/inside.h says what routers told it of our tunnels. Nobody is woken: a flood
 * of forged errors must cost the controller no more than a look at the ring now and then.
 * path_learn.c is the only caller.
 */
#ifndef EVENKEEL_DATAPATH_LEARNED_H
#define EVENKEEL_DATAPATH_LEARNED_H

#include "datapath.h"

struct ek_datapath_learned;
typedef void (*ek_datapath_learned_fn)(void *arg, const struct ek_learned *learned);

/* NULL with errno. */
struct ek_datapath_learned *ek_datapath_learned_open(struct ek_datapath *dp,
						     ek_datapath_learned_fn learned, void *arg);
void ek_datapath_learned_close(struct ek_datapath_learned *ring);
/* Hands over what has come since the last time, at most as much as the ring holds at once. */
void ek_datapath_learned_read(struct ek_datapath_learned *ring);

#endif
