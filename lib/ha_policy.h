/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * May this node have the VIPs of an instance? Pure: everything that speaks for or against it goes
 * in, a permit for the VRRP machine and its reason come out. Called by ha.c on every event.
 */
#ifndef EVENKEEL_HA_POLICY_H
#define EVENKEEL_HA_POLICY_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include "vrrp_fsm.h"

enum ek_node_health { EK_NODE_UP, EK_NODE_PARTIAL_FAIL, EK_NODE_COMPLETE_FAIL };
enum ek_stay { EK_STAY_NONE, EK_STAY_PRIMARY, EK_STAY_SECONDARY };

struct ek_ha_view {
	enum ek_node_health health; /* partial: a track failed; complete: the data plane did */
	bool disabled;		    /* by the operator */
	enum ek_stay stay;
	bool primary;	      /* this node is master now */
	bool fail_safe;	      /* configured */
	bool flips_exhausted; /* max-flips reached in the window */
	bool yielded;	      /* stepped aside by command: not before the other fails */
	/* Of the peers with a channel: */
	bool has_peers;	     /* any is configured */
	bool peer_connected; /* the channel to at least one is up, or its adverts are heard */
	bool peer_healthy;   /* … and its health is UP, it is not disabled or stay-secondary;
				adverts alone count as healthy */
	bool synced; /* our bulk from the primary peer is complete, or there is none to have */
};

struct ek_ha_verdict {
	enum ek_vrrp_permit permit;
	const char *why; /* static text for `ha status` */
};

struct ek_ha_verdict ek_ha_policy(const struct ek_ha_view *view);

/* May `ha failover` be carried out by this node (stepping aside)? NULL, or the reason why not. */
const char *ek_ha_refuse_failover(const struct ek_ha_view *view, bool peer_disabled,
				  bool peer_stays_secondary, bool peer_synced, bool force);

/* Role changes within a window: a ring of the latest, times in ms. */
#define EK_FLIPS_MAX 64
struct ek_flips {
	uint64_t at[EK_FLIPS_MAX];
	size_t n; /* ever */
};
void ek_flips_note(struct ek_flips *flips, uint64_t now_ms);
bool ek_flips_exhausted(const struct ek_flips *flips, unsigned int max, unsigned int window_s,
			uint64_t now_ms);

const char *ek_node_health_name(enum ek_node_health health);
const char *ek_stay_name(enum ek_stay stay);

#endif
