/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who may have the VIPs: the rules, in the order in which they are asked. The first that fits
 * decides. Called by ha.c on every event; the VRRP machine (RFC 9568, vrrp_fsm.h) obeys the permit.
 *
 * "A healthy peer" is one that is configured, connected and healthy, all three. A dash: whatever.
 *
 *      this node                          beside                 primary     not primary
 *   1  disabled                           -                      NEVER       NEVER
 *   2  stay-secondary                     -                      NEVER       NEVER
 *   3  complete-fail                      -                      NEVER       NEVER
 *   4  stay-primary                       -                      ALWAYS      ALWAYS
 *   5  max-flips reached                  -                      HOLD        see 6 to 10
 *   6  partial-fail, no fail-safe         -                      NEVER       NEVER
 *   7  partial-fail, fail-safe            a healthy peer         NEVER       NEVER
 *                                         an unhealthy peer      HOLD        NEVER
 *                                         nobody                 HOLD        IF_SILENT
 *   8  up, max-flips reached              -                      (5)         IF_SILENT
 *   9  up, its bulk sync is not complete  a healthy peer         (11)        IF_SILENT
 *  10  up, stepped aside by command       a healthy peer         IF_SILENT   IF_SILENT
 *  11  up                                 -                      NORMAL      NORMAL
 *
 * Why so:
 *  3  Even fail-safe and stay-primary cannot serve without a data plane.
 *  4  The operator said stay: a failed track does not matter.
 *  5  max-flips ends flapping: who has the VIPs keeps them, with a failed track too, because it may
 *     be that very track which flaps. An unhealthy node that does not have them gains nothing by
 *     it: 6 and 7 hold for it.
 *  7  With both unhealthy the last primary stays, and the other keeps out of its way as long as
 *     the two are in touch: that it hears no advert may be what its failed track is about. A node
 *     that is in touch with nobody (alone from the start, or its peer died) takes the VIPs if it
 *     hears nobody advertise them either: fail-safe means that a doubtful node is better than none.
 *  9  A node that comes back has no connections to continue. It waits for the peer's, but when the
 *     peer falls silent meanwhile, what has come so far is better than nothing.
 * 10  Stepping aside lasts as long as there is somebody to step aside for.
 */
#include "ha_policy.h"

static bool beside_healthy(const struct ek_ha_view *view)
{
	return view->has_peers && view->peer_connected && view->peer_healthy;
}

static bool in_touch(const struct ek_ha_view *view)
{
	return view->has_peers && view->peer_connected;
}

/* Rules 6 and 7. */
static struct ek_ha_verdict partial_fail(const struct ek_ha_view *view)
{
	if (!view->fail_safe)
		return (struct ek_ha_verdict){EK_VRRP_NEVER, "a track failed"};
	if (beside_healthy(view))
		return (struct ek_ha_verdict){EK_VRRP_NEVER, "a track failed; a peer is healthy"};
	if (view->primary)
		return (struct ek_ha_verdict){
			EK_VRRP_HOLD,
			"a track failed; fail-safe: no peer is healthy, the last primary stays"};
	if (in_touch(view))
		return (struct ek_ha_verdict){EK_VRRP_NEVER,
					      "a track failed; fail-safe: no peer is healthy, only "
					      "the last primary stays"};
	return (struct ek_ha_verdict){
		EK_VRRP_IF_SILENT,
		"a track failed; fail-safe: no peer is there, claims when nobody is heard"};
}

/* Rules 8 to 11. */
static struct ek_ha_verdict up(const struct ek_ha_view *view)
{
	if (view->flips_exhausted)
		return (struct ek_ha_verdict){
			EK_VRRP_IF_SILENT, "max-flips reached: claims only when nobody is heard"};
	if (!view->primary && !view->synced && beside_healthy(view))
		return (struct ek_ha_verdict){EK_VRRP_IF_SILENT, "waits for its bulk sync"};
	if (view->yielded && beside_healthy(view))
		return (struct ek_ha_verdict){
			EK_VRRP_IF_SILENT, "stepped aside by command: not before the peer fails"};
	return (struct ek_ha_verdict){EK_VRRP_NORMAL, "nothing speaks against it"};
}

struct ek_ha_verdict ek_ha_policy(const struct ek_ha_view *view)
{
	if (view->disabled)
		return (struct ek_ha_verdict){EK_VRRP_NEVER, "disabled by the operator"};
	if (view->stay == EK_STAY_SECONDARY)
		return (struct ek_ha_verdict){EK_VRRP_NEVER, "stay-secondary"};
	if (view->health == EK_NODE_COMPLETE_FAIL)
		return (struct ek_ha_verdict){EK_VRRP_NEVER, "the data plane is not attached"};
	if (view->stay == EK_STAY_PRIMARY)
		return (struct ek_ha_verdict){EK_VRRP_ALWAYS, "stay-primary"};
	if (view->flips_exhausted && view->primary)
		return (struct ek_ha_verdict){EK_VRRP_HOLD,
					      "max-flips reached: the node that has it keeps it"};
	if (view->health == EK_NODE_PARTIAL_FAIL)
		return partial_fail(view);
	return up(view);
}

/*
 * --force is for a peer that would lose connections or serves badly. It is of no use toward one
 * that will not take over, or from a node that claims again at once.
 */
const char *ek_ha_refuse_failover(const struct ek_ha_view *view, bool peer_disabled,
				  bool peer_stays_secondary, bool peer_synced, bool force)
{
	if (!view->has_peers)
		return "standalone: no peer is configured";
	if (view->stay == EK_STAY_PRIMARY)
		return "this node is stay-primary";
	if (!view->peer_connected)
		return "the peer is down";
	if (peer_disabled)
		return "the peer is disabled";
	if (peer_stays_secondary)
		return "the peer is stay-secondary";
	if (!view->peer_healthy) /* it would not claim, and this node would again */
		return "the peer is not healthy";
	if (!peer_synced && !force)
		return "the peer is not in sync (use --force)";
	return NULL;
}

void ek_flips_note(struct ek_flips *flips, uint64_t now_ms)
{
	flips->at[flips->n++ % EK_FLIPS_MAX] = now_ms;
}

/* They are in order of time: reached if the max-th last one is still inside the window. */
bool ek_flips_exhausted(const struct ek_flips *flips, unsigned int max, unsigned int window_s,
			uint64_t now_ms)
{
	if (max > EK_FLIPS_MAX)
		max = EK_FLIPS_MAX;
	if (!max || flips->n < max)
		return false;
	return flips->at[(flips->n - max) % EK_FLIPS_MAX] + window_s * 1000ull > now_ms;
}

const char *ek_node_health_name(enum ek_node_health health)
{
	static const char *const names[] = {
		[EK_NODE_UP] = "up",
		[EK_NODE_PARTIAL_FAIL] = "partial-fail",
		[EK_NODE_COMPLETE_FAIL] = "complete-fail",
	};

	return names[health];
}

const char *ek_stay_name(enum ek_stay stay)
{
	static const char *const names[] = {
		[EK_STAY_NONE] = "none",
		[EK_STAY_PRIMARY] = "stay-primary",
		[EK_STAY_SECONDARY] = "stay-secondary",
	};

	return names[stay];
}
