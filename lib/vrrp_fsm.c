/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VRRP state machine of one virtual router (RFC 9568, section 6.4, whose Active Router is the
 * master here). Each function takes one event and the time and returns what its caller does; ha.c
 * is the caller. Nothing else is known here: no socket, no clock, no policy but the permit.
 *
 * How the permits fit into the RFC:
 *  - ALWAYS is the RFC's address owner: priority 255 in every comparison, and no listening first.
 *    Two of them meet as equals, so one beside a live 255 waits like any backup; without that the
 *    loser of the tie would claim again at once, for ever.
 *  - IF_SILENT and HOLD differ from NORMAL only in BACKUP. Masters end as one under every permit:
 *    a better one is always yielded to, and of equals the one with the lower address yields.
 *  - NEVER and HOLD follow what they hear but claim nothing when it ends.
 *
 * A timer that is very late (a process stopped by SIGSTOP, a frozen virtual machine) means that
 * nobody was listening meanwhile. See overslept().
 */
#include <string.h>
#include "ip.h"
#include "vrrp.h"
#include "vrrp_fsm.h"

#define PRIORITY_OWNER 255u

static unsigned int skew(unsigned int priority, unsigned int interval_ms)
{
	return (256 - priority) * interval_ms / 256;
}

uint8_t ek_vrrp_fsm_priority(const struct ek_vrrp_fsm *fsm)
{
	return fsm->permit == EK_VRRP_ALWAYS ? PRIORITY_OWNER : fsm->settings.priority;
}

/* RFC 9568, 6.1: Skew_Time and Active_Down_Interval, both by the master's interval. */
static unsigned int skew_ms(const struct ek_vrrp_fsm *fsm)
{
	return skew(ek_vrrp_fsm_priority(fsm), fsm->master_interval_ms);
}

static unsigned int down_ms(const struct ek_vrrp_fsm *fsm)
{
	return 3 * fsm->master_interval_ms + skew_ms(fsm);
}

unsigned int ek_vrrp_fsm_dead_ms(const struct ek_vrrp_fsm *fsm)
{
	unsigned int interval_ms = fsm->settings.interval_ms;

	return 3 * interval_ms + skew(PRIORITY_OWNER, interval_ms);
}

bool ek_vrrp_fsm_hears_master(const struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	return fsm->state != EK_VRRP_INIT && fsm->heard_ms &&
	       fsm->master_priority != EK_VRRP_PRIORITY_RESIGN &&
	       now_ms < fsm->heard_ms + down_ms(fsm);
}

/* One that we do not push aside: of our priority or a higher one. */
static bool hears_better(const struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	return ek_vrrp_fsm_hears_master(fsm, now_ms) &&
	       fsm->master_priority >= ek_vrrp_fsm_priority(fsm);
}

static bool may_claim(const struct ek_vrrp_fsm *fsm)
{
	return fsm->permit != EK_VRRP_NEVER && fsm->permit != EK_VRRP_HOLD;
}

/* --- transitions ----------------------------------------------------------------------------- */

static void enter(struct ek_vrrp_fsm *fsm, enum ek_vrrp_state state, uint64_t now_ms)
{
	fsm->state = state;
	fsm->since_ms = now_ms;
	fsm->preempt_from_ms = 0;
	fsm->answer_from_ms = 0;
}

/* The whole time that a master may be silent, from now on. */
static void await_silence(struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	fsm->down_due_ms = now_ms + down_ms(fsm);
}

/* Claim in `within_ms` at the latest; a claim that is due sooner stays so. */
static void hasten(struct ek_vrrp_fsm *fsm, unsigned int within_ms, uint64_t now_ms)
{
	if (fsm->down_due_ms > now_ms + within_ms)
		fsm->down_due_ms = now_ms + within_ms;
}

static unsigned int advertise(struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	fsm->advert_due_ms = now_ms + fsm->settings.interval_ms;
	return EK_VRRP_DO_ADVERT;
}

static unsigned int claim(struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	enter(fsm, EK_VRRP_MASTER, now_ms);
	return EK_VRRP_DO_CLAIM | advertise(fsm, now_ms);
}

static unsigned int yield(struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	enter(fsm, EK_VRRP_BACKUP, now_ms);
	await_silence(fsm, now_ms);
	return EK_VRRP_DO_YIELD;
}

/*
 * The rule for SIGSTOP. A master whose advert is late by more than its own dead time was taken for
 * dead, and another may have claimed: it must not send a single advert more as if nothing had
 * happened, but listens like one that starts. Checked before every event, not only the timer: an
 * advert of the new master may well be the first thing that a woken process sees.
 */
static bool overslept(const struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	return fsm->state == EK_VRRP_MASTER &&
	       now_ms > fsm->advert_due_ms + ek_vrrp_fsm_dead_ms(fsm);
}

static unsigned int wake(struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	return overslept(fsm, now_ms) ? yield(fsm, now_ms) : 0;
}

/* --- the life of the instance ---------------------------------------------------------------- */

void ek_vrrp_fsm_init(struct ek_vrrp_fsm *fsm, const struct ek_vrrp_settings *settings)
{
	memset(fsm, 0, sizeof(*fsm));
	fsm->settings = *settings;
	fsm->master_interval_ms = settings->interval_ms;
}

unsigned int ek_vrrp_fsm_start(struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	if (fsm->state != EK_VRRP_INIT)
		return 0;
	enter(fsm, EK_VRRP_BACKUP, now_ms);
	fsm->heard_ms = 0;
	fsm->master_interval_ms = fsm->settings.interval_ms;
	await_silence(fsm, now_ms);
	if (fsm->permit == EK_VRRP_ALWAYS)
		hasten(fsm, 0, now_ms);
	return 0;
}

unsigned int ek_vrrp_fsm_stop(struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	unsigned int actions = wake(fsm, now_ms);

	if (fsm->state == EK_VRRP_MASTER)
		actions |= EK_VRRP_DO_YIELD | EK_VRRP_DO_RESIGN;
	if (fsm->state != EK_VRRP_INIT)
		enter(fsm, EK_VRRP_INIT, now_ms);
	return actions;
}

/* A backup's timers under a permit that it did not have before. */
static void permit_backup(struct ek_vrrp_fsm *fsm, enum ek_vrrp_permit before, uint64_t now_ms)
{
	fsm->preempt_from_ms = 0;
	/* Neither of them has left a timer that says how long there was silence. */
	if (before == EK_VRRP_NEVER || before == EK_VRRP_ALWAYS)
		await_silence(fsm, now_ms);
	if (fsm->permit == EK_VRRP_ALWAYS && !hears_better(fsm, now_ms))
		hasten(fsm, 0, now_ms);
}

unsigned int ek_vrrp_fsm_permit(struct ek_vrrp_fsm *fsm, enum ek_vrrp_permit permit,
				uint64_t now_ms)
{
	unsigned int actions = wake(fsm, now_ms);
	enum ek_vrrp_permit before = fsm->permit;

	if (permit == before)
		return actions;
	fsm->permit = permit;
	if (fsm->state == EK_VRRP_MASTER && permit == EK_VRRP_NEVER)
		actions |= yield(fsm, now_ms) | EK_VRRP_DO_RESIGN;
	else if (fsm->state == EK_VRRP_BACKUP)
		permit_backup(fsm, before, now_ms);
	return actions;
}

unsigned int ek_vrrp_fsm_configure(struct ek_vrrp_fsm *fsm, const struct ek_vrrp_settings *settings,
				   uint64_t now_ms)
{
	unsigned int actions = wake(fsm, now_ms);

	if (settings->preempt_delay_ms != fsm->settings.preempt_delay_ms)
		fsm->preempt_from_ms = 0;
	fsm->settings = *settings;
	if (fsm->state == EK_VRRP_MASTER)
		return actions | advertise(fsm, now_ms); /* backups learn the interval from it */
	if (!fsm->heard_ms) {
		fsm->master_interval_ms = settings->interval_ms;
		if (fsm->permit != EK_VRRP_ALWAYS)
			await_silence(fsm, now_ms);
	}
	return actions;
}

/* --- adverts --------------------------------------------------------------------------------- */

static void note(struct ek_vrrp_fsm *fsm, uint8_t priority, unsigned int interval_ms,
		 const struct ek_ip *source, uint64_t now_ms)
{
	fsm->heard_ms = now_ms;
	fsm->master_priority = priority;
	fsm->master = *source;
	if (interval_ms && priority != EK_VRRP_PRIORITY_RESIGN)
		fsm->master_interval_ms = interval_ms;
}

/* Is a lower master to be pushed aside by now? Starts the preempt delay. */
static bool preempts(struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	if (fsm->permit == EK_VRRP_ALWAYS)
		return true;
	if (fsm->permit != EK_VRRP_NORMAL || !fsm->settings.preempt)
		return false;
	if (!fsm->preempt_from_ms)
		fsm->preempt_from_ms = now_ms + fsm->settings.preempt_delay_ms;
	return now_ms >= fsm->preempt_from_ms;
}

/*
 * RFC 9568, 6.4.2. A lower master that may be pushed aside is discarded there, and the claim waits
 * until the timer runs out. We wait for our skew at the most: long enough for a backup of higher
 * priority to be first, and the whole takes less than the master's next interval.
 */
static void heard_in_backup(struct ek_vrrp_fsm *fsm, uint8_t priority, unsigned int interval_ms,
			    const struct ek_ip *source, uint64_t now_ms)
{
	bool resigns = priority == EK_VRRP_PRIORITY_RESIGN;
	bool pushed = !resigns && priority < ek_vrrp_fsm_priority(fsm) && preempts(fsm, now_ms);

	/* The better master is about to silence it: no reason to claim beside that one. */
	if (pushed && hears_better(fsm, now_ms))
		return;
	note(fsm, priority, interval_ms, source, now_ms);
	if (resigns || pushed)
		hasten(fsm, fsm->permit == EK_VRRP_ALWAYS ? 0 : skew_ms(fsm), now_ms);
	else
		await_silence(fsm, now_ms);
}

/* RFC 9568, 6.4.3. */
static unsigned int heard_in_master(struct ek_vrrp_fsm *fsm, uint8_t priority,
				    unsigned int interval_ms, const struct ek_ip *source,
				    const struct ek_ip *own, uint64_t now_ms)
{
	uint8_t ours = ek_vrrp_fsm_priority(fsm);

	note(fsm, priority, interval_ms, source, now_ms);
	if (priority == EK_VRRP_PRIORITY_RESIGN)
		return advertise(fsm, now_ms);
	if (priority > ours || (priority == ours && ek_ip_compare(source, own) > 0))
		return yield(fsm, now_ms);
	/* Two masters that answer each other's answers would fill the wire. */
	if (now_ms < fsm->answer_from_ms)
		return 0;
	fsm->answer_from_ms = now_ms + fsm->settings.interval_ms;
	return advertise(fsm, now_ms) | EK_VRRP_DO_REANNOUNCE;
}

unsigned int ek_vrrp_fsm_heard(struct ek_vrrp_fsm *fsm, uint8_t priority, unsigned int interval_ms,
			       const struct ek_ip *source, const struct ek_ip *own, uint64_t now_ms)
{
	unsigned int actions = wake(fsm, now_ms);

	if (fsm->state == EK_VRRP_MASTER)
		return heard_in_master(fsm, priority, interval_ms, source, own, now_ms);
	if (fsm->state == EK_VRRP_BACKUP)
		heard_in_backup(fsm, priority, interval_ms, source, now_ms);
	return actions;
}

/* --- time ------------------------------------------------------------------------------------ */

/* A backup that was stopped as well: its silence is its own, and it listens once more. */
static unsigned int timer_in_backup(struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	if (!may_claim(fsm) || now_ms < fsm->down_due_ms)
		return 0;
	if (fsm->permit == EK_VRRP_ALWAYS || now_ms <= fsm->down_due_ms + down_ms(fsm))
		return claim(fsm, now_ms);
	await_silence(fsm, now_ms);
	return 0;
}

/*
 * One interval before overslept() says so, backups may have run out of patience already. If one
 * claimed and we go on, hosts have heard its announcement last: announce again.
 */
static unsigned int timer_in_master(struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	uint64_t patience_ms = ek_vrrp_fsm_dead_ms(fsm) - fsm->settings.interval_ms;
	bool late = now_ms > fsm->advert_due_ms + patience_ms;

	if (now_ms < fsm->advert_due_ms)
		return 0;
	return advertise(fsm, now_ms) | (late ? EK_VRRP_DO_REANNOUNCE : 0);
}

unsigned int ek_vrrp_fsm_timer(struct ek_vrrp_fsm *fsm, uint64_t now_ms)
{
	unsigned int actions = wake(fsm, now_ms);

	if (actions)
		return actions;
	if (fsm->state == EK_VRRP_MASTER)
		return timer_in_master(fsm, now_ms);
	return fsm->state == EK_VRRP_BACKUP ? timer_in_backup(fsm, now_ms) : 0;
}

uint64_t ek_vrrp_fsm_due(const struct ek_vrrp_fsm *fsm)
{
	if (fsm->state == EK_VRRP_MASTER)
		return fsm->advert_due_ms;
	return fsm->state == EK_VRRP_BACKUP && may_claim(fsm) ? fsm->down_due_ms : UINT64_MAX;
}
