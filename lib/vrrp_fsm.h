/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VRRP state machine of one virtual router (RFC 9568, section 6.4): pure. Events and the time
 * go in, actions come out; nothing is sent and no clock is read here.
 *
 * One machine serves an instance whatever families its VIPs are of and however many paths its
 * adverts take: an advert heard on any of them is heard.
 *
 * What it may do is a matter of policy (ha_policy.h), given as a permit; NEVER until told:
 *     NEVER      not master; a master resigns (priority 0) at once
 *     IF_SILENT  claims only when no master is heard; a master stays until it hears a better one
 *     NORMAL     RFC 9568 with preempt / preempt delay
 *     ALWAYS     claims at once, answers every other master with adverts and never yields to one
 *                that is not ALWAYS itself (priority 255)
 *     HOLD       a master stays, whatever it hears of lower priority; a backup never claims
 * Under each of them two masters end as one: the higher priority stays, of equals the higher
 * address. An ALWAYS beside a live 255 waits as any backup does.
 */
#ifndef EVENKEEL_VRRP_FSM_H
#define EVENKEEL_VRRP_FSM_H

#include <stdbool.h>
#include <stdint.h>
#include <evenkeel/abi.h>

enum ek_vrrp_state { EK_VRRP_INIT, EK_VRRP_BACKUP, EK_VRRP_MASTER };
enum ek_vrrp_permit {
	EK_VRRP_NEVER,
	EK_VRRP_IF_SILENT,
	EK_VRRP_NORMAL,
	EK_VRRP_ALWAYS,
	EK_VRRP_HOLD,
};

/*
 * What the caller does now, in this order; a set of bits. An advert carries ek_vrrp_fsm_priority(),
 * and with it a master renews its lease. REANNOUNCE: we stay, but another was heard, or we were
 * silent for so long that one may have claimed.
 */
#define EK_VRRP_DO_CLAIM      1u  /* became master: take the lease, announce the VIPs */
#define EK_VRRP_DO_YIELD      2u  /* no longer master: give the lease up */
#define EK_VRRP_DO_ADVERT     4u  /* send an advert */
#define EK_VRRP_DO_RESIGN     8u  /* send an advert with priority 0 */
#define EK_VRRP_DO_REANNOUNCE 16u /* announce the VIPs again */

struct ek_vrrp_settings {
	uint8_t priority;	  /* 1-254 */
	unsigned int interval_ms; /* own, 10-40950 */
	bool preempt;
	unsigned int preempt_delay_ms;
};

struct ek_vrrp_fsm {
	struct ek_vrrp_settings settings;
	enum ek_vrrp_state state;
	enum ek_vrrp_permit permit;
	/* Of the master last heard; its interval is our own before the first one: */
	unsigned int master_interval_ms;
	uint8_t master_priority; /* 0 = it resigned */
	struct ek_ip master;
	uint64_t heard_ms;	  /* 0 = never */
	uint64_t advert_due_ms;	  /* MASTER */
	uint64_t down_due_ms;	  /* BACKUP: the master is dead then */
	uint64_t preempt_from_ms; /* BACKUP: a lower master may be pushed aside from then on; 0 =
				     not counting */
	uint64_t answer_from_ms;  /* MASTER: a lower master gets no answer before */
	uint64_t since_ms;	  /* of the state */
};

void ek_vrrp_fsm_init(struct ek_vrrp_fsm *fsm, const struct ek_vrrp_settings *settings);
/* INIT to BACKUP: whoever starts listens first. */
unsigned int ek_vrrp_fsm_start(struct ek_vrrp_fsm *fsm, uint64_t now_ms);
/*
 * To INIT; a master resigns (DO_RESIGN | DO_YIELD). One that was silent for so long that another
 * may have claimed only yields: see ek_vrrp_fsm_timer().
 */
unsigned int ek_vrrp_fsm_stop(struct ek_vrrp_fsm *fsm, uint64_t now_ms);
unsigned int ek_vrrp_fsm_permit(struct ek_vrrp_fsm *fsm, enum ek_vrrp_permit permit,
				uint64_t now_ms);
/* A reload: other settings, the same state. A master sends an advert, for the backups to know. */
unsigned int ek_vrrp_fsm_configure(struct ek_vrrp_fsm *fsm, const struct ek_vrrp_settings *settings,
				   uint64_t now_ms);
/*
 * An advert from `source`. A tie of priorities between two masters goes to the higher address
 * (RFC 9568, 6.4.3): `own` is the address that ours were sent from on that path. Our own adverts
 * are not to be given back.
 *
 * A backup that may push a lower master aside does so within its skew time. Lower adverts are
 * answered once per own interval, priority 0 always.
 */
unsigned int ek_vrrp_fsm_heard(struct ek_vrrp_fsm *fsm, uint8_t priority, unsigned int interval_ms,
			       const struct ek_ip *source, const struct ek_ip *own,
			       uint64_t now_ms);
/*
 * Whatever is due by now. The caller first hears what is queued on its sockets.
 *
 * The clock may have jumped, because the process was stopped. A master more than
 * ek_vrrp_fsm_dead_ms() late with its advert does not send it: another may have claimed. It returns
 * DO_YIELD (no DO_RESIGN: it speaks for nobody any more) and listens as a backup for a whole dead
 * interval. The other events find that out as well. A backup late by its dead interval has not been
 * listening either, and does it once more before it claims; under ALWAYS it claims.
 */
unsigned int ek_vrrp_fsm_timer(struct ek_vrrp_fsm *fsm, uint64_t now_ms);
/* When ek_vrrp_fsm_timer() is to be called next; UINT64_MAX = not before another event. */
uint64_t ek_vrrp_fsm_due(const struct ek_vrrp_fsm *fsm);
/* What our adverts carry: the settings' priority, 255 under ALWAYS. */
uint8_t ek_vrrp_fsm_priority(const struct ek_vrrp_fsm *fsm);
/* After how long of silence peers take us for dead: 3 intervals and the least skew there is. */
unsigned int ek_vrrp_fsm_dead_ms(const struct ek_vrrp_fsm *fsm);
/* Is a live master other than us being heard? Live: not silent for longer than backups wait. */
bool ek_vrrp_fsm_hears_master(const struct ek_vrrp_fsm *fsm, uint64_t now_ms);

#endif
