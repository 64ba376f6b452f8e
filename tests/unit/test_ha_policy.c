/* SPDX-License-Identifier: GPL-2.0-only */
/* Who may have the VIPs: every view there is, against a table in which no order matters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "ha_policy.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

/* --- every view ------------------------------------------------------------------------------ */

/* A view in letters, one a column of the table below. */
struct letters {
	char health;	/* Up, Partial-fail, Complete-fail */
	char by;	/* Disabled, Primary or Secondary by "stay", - none of it */
	char role;	/* Master, Backup */
	char fail_safe; /* y, n */
	char flips;	/* y reached, n */
	char peer;	/* Healthy, Unhealthy, Nobody in touch */
	char synced;	/* y, n */
	char yielded;	/* y, n */
};

/*
 * Each column names the letters it is for. Every view fits exactly one row: nothing is left to the
 * order of rules.
 */
static const struct rule {
	const char *health, *by, *role, *fail_safe, *flips, *peer, *synced, *yielded;
	enum ek_vrrp_permit permit;
	unsigned int hits;
} rules[] = {
	/* health, by, role, fail-safe, flips, peer, synced, yielded */
	{"UPC", "D", "MB", "yn", "yn", "HUN", "yn", "yn", EK_VRRP_NEVER, 0},
	{"UPC", "S", "MB", "yn", "yn", "HUN", "yn", "yn", EK_VRRP_NEVER, 0},
	{"C", "P-", "MB", "yn", "yn", "HUN", "yn", "yn", EK_VRRP_NEVER, 0},
	{"UP", "P", "MB", "yn", "yn", "HUN", "yn", "yn", EK_VRRP_ALWAYS, 0},

	{"U", "-", "M", "yn", "y", "HUN", "yn", "yn", EK_VRRP_HOLD, 0},
	{"U", "-", "M", "yn", "n", "H", "yn", "y", EK_VRRP_IF_SILENT, 0},
	{"U", "-", "M", "yn", "n", "H", "yn", "n", EK_VRRP_NORMAL, 0},
	{"U", "-", "M", "yn", "n", "UN", "yn", "yn", EK_VRRP_NORMAL, 0},

	{"U", "-", "B", "yn", "y", "HUN", "yn", "yn", EK_VRRP_IF_SILENT, 0},
	{"U", "-", "B", "yn", "n", "H", "n", "yn", EK_VRRP_IF_SILENT, 0},
	{"U", "-", "B", "yn", "n", "H", "y", "y", EK_VRRP_IF_SILENT, 0},
	{"U", "-", "B", "yn", "n", "H", "y", "n", EK_VRRP_NORMAL, 0},
	{"U", "-", "B", "yn", "n", "UN", "yn", "yn", EK_VRRP_NORMAL, 0},

	{"P", "-", "M", "yn", "y", "HUN", "yn", "yn", EK_VRRP_HOLD, 0},
	{"P", "-", "M", "n", "n", "HUN", "yn", "yn", EK_VRRP_NEVER, 0},
	{"P", "-", "M", "y", "n", "H", "yn", "yn", EK_VRRP_NEVER, 0},
	{"P", "-", "M", "y", "n", "UN", "yn", "yn", EK_VRRP_HOLD, 0},

	{"P", "-", "B", "n", "yn", "HUN", "yn", "yn", EK_VRRP_NEVER, 0},
	{"P", "-", "B", "y", "yn", "HU", "yn", "yn", EK_VRRP_NEVER, 0},
	{"P", "-", "B", "y", "yn", "N", "yn", "yn", EK_VRRP_IF_SILENT, 0},
};

static char yes_no(bool yes)
{
	return yes ? 'y' : 'n';
}

static struct letters letters_of(const struct ek_ha_view *view)
{
	return (struct letters){
		.health = "UPC"[view->health],
		.by = view->disabled ? 'D' : "-PS"[view->stay],
		.role = view->primary ? 'M' : 'B',
		.fail_safe = yes_no(view->fail_safe),
		.flips = yes_no(view->flips_exhausted),
		.peer = !view->has_peers || !view->peer_connected ? 'N'
			: view->peer_healthy			  ? 'H'
								  : 'U',
		.synced = yes_no(view->synced),
		.yielded = yes_no(view->yielded),
	};
}

static bool fits(const struct rule *rule, const struct letters *view)
{
	return strchr(rule->health, view->health) && strchr(rule->by, view->by) &&
	       strchr(rule->role, view->role) && strchr(rule->fail_safe, view->fail_safe) &&
	       strchr(rule->flips, view->flips) && strchr(rule->peer, view->peer) &&
	       strchr(rule->synced, view->synced) && strchr(rule->yielded, view->yielded);
}

#define VIEWS (3 * 3 * 512)

static struct ek_ha_view view_of(unsigned int i)
{
	return (struct ek_ha_view){
		.disabled = i & 1,
		.primary = i & 2,
		.fail_safe = i & 4,
		.flips_exhausted = i & 8,
		.yielded = i & 16,
		.has_peers = i & 32,
		.peer_connected = i & 64,
		.peer_healthy = i & 128,
		.synced = i & 256,
		.health = i / 512 % 3,
		.stay = i / 512 / 3,
	};
}

static void test_every_view(void **state)
{
	struct rule table[N(rules)];

	(void)state;
	memcpy(table, rules, sizeof(table));
	for (unsigned int i = 0; i < VIEWS; i++) {
		struct ek_ha_view view = view_of(i);
		struct letters letters = letters_of(&view);
		struct ek_ha_verdict got = ek_ha_policy(&view);
		unsigned int hits = 0;

		for (size_t r = 0; r < N(table); r++) {
			if (!fits(&table[r], &letters))
				continue;
			hits++;
			table[r].hits++;
			if (got.permit != table[r].permit)
				fail_msg("%.8s: permit %d (%s), row %zu says %d", &letters.health,
					 got.permit, got.why, r, table[r].permit);
		}
		if (hits != 1)
			fail_msg("%.8s fits %u rows", &letters.health, hits);
		assert_non_null(got.why);
		assert_int_not_equal(got.why[0], '\0');
	}
	for (size_t r = 0; r < N(table); r++)
		assert_int_not_equal(table[r].hits, 0);
}

/* A backup under HOLD would never claim, whatever happens to the master. */
static void test_hold_is_for_masters(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < VIEWS; i++) {
		struct ek_ha_view view = view_of(i);

		if (ek_ha_policy(&view).permit == EK_VRRP_HOLD)
			assert_true(view.primary);
	}
}

/* --- two nodes that know the truth about each other ------------------------------------------ */

static bool is_fine(const struct ek_ha_view *view)
{
	return view->health == EK_NODE_UP && !view->disabled && view->stay != EK_STAY_SECONDARY;
}

static bool may_serve(const struct ek_ha_view *view)
{
	enum ek_vrrp_permit permit = ek_ha_policy(view).permit;

	return permit != EK_VRRP_NEVER && (permit != EK_VRRP_HOLD || view->primary);
}

static void test_pairs(void **state)
{
	unsigned int pairs = 0;

	(void)state;
	for (unsigned int i = 0; i < VIEWS; i++)
		for (unsigned int j = 0; j < VIEWS; j++) {
			struct ek_ha_view a = view_of(i), b = view_of(j);

			if (!a.has_peers || !b.has_peers || !a.peer_connected ||
			    !b.peer_connected || a.fail_safe != b.fail_safe ||
			    a.peer_healthy != is_fine(&b) || b.peer_healthy != is_fine(&a) ||
			    (a.primary && b.primary))
				continue;
			pairs++;
			if ((is_fine(&a) || is_fine(&b)) && !may_serve(&a) && !may_serve(&b))
				fail_msg("views %u and %u: one is fine and none may serve", i, j);
			/* Two masters at once: only if the operator asked for it on both. */
			if (ek_ha_policy(&a).permit == EK_VRRP_ALWAYS &&
			    ek_ha_policy(&b).permit == EK_VRRP_ALWAYS)
				assert_true(a.stay == EK_STAY_PRIMARY && b.stay == EK_STAY_PRIMARY);
		}
	assert_in_range(pairs, 10000, UINT32_MAX);
}

/* --- named rows ------------------------------------------------------------------------------ */

static const struct {
	const char *description;
	struct ek_ha_view view;
	enum ek_vrrp_permit permit;
	const char *why; /* a part of it */
} rows[] = {
	{"standalone and well", {.synced = true}, EK_VRRP_NORMAL, "nothing"},
	{"standalone, not synced: there is nobody to sync with", {0}, EK_VRRP_NORMAL, "nothing"},
	{"standalone, a track failed",
	 {.health = EK_NODE_PARTIAL_FAIL, .primary = true},
	 EK_VRRP_NEVER,
	 "a track failed"},
	{"standalone with fail-safe, a track failed, just started",
	 {.health = EK_NODE_PARTIAL_FAIL, .fail_safe = true},
	 EK_VRRP_IF_SILENT,
	 "no peer is there"},
	{"standalone with fail-safe, a track failed while it serves",
	 {.health = EK_NODE_PARTIAL_FAIL, .fail_safe = true, .primary = true},
	 EK_VRRP_HOLD,
	 "last primary"},
	{"a pair, the peer is dead, fail-safe, a track failed, just started",
	 {.health = EK_NODE_PARTIAL_FAIL, .fail_safe = true, .has_peers = true},
	 EK_VRRP_IF_SILENT,
	 "no peer is there"},
	{"the peer's last known health does not count once it is gone",
	 {.health = EK_NODE_PARTIAL_FAIL,
	  .fail_safe = true,
	  .primary = true,
	  .has_peers = true,
	  .peer_healthy = true},
	 EK_VRRP_HOLD,
	 "last primary"},
	{"both unhealthy, fail-safe: the primary stays",
	 {.health = EK_NODE_PARTIAL_FAIL,
	  .fail_safe = true,
	  .primary = true,
	  .has_peers = true,
	  .peer_connected = true},
	 EK_VRRP_HOLD,
	 "last primary"},
	{"both unhealthy, fail-safe: the secondary keeps out",
	 {.health = EK_NODE_PARTIAL_FAIL,
	  .fail_safe = true,
	  .has_peers = true,
	  .peer_connected = true},
	 EK_VRRP_NEVER,
	 "only the last primary"},
	{"fail-safe does not matter beside a healthy peer",
	 {.health = EK_NODE_PARTIAL_FAIL,
	  .fail_safe = true,
	  .primary = true,
	  .has_peers = true,
	  .peer_connected = true,
	  .peer_healthy = true},
	 EK_VRRP_NEVER,
	 "a peer is healthy"},
	{"no data plane: fail-safe cannot serve either",
	 {.health = EK_NODE_COMPLETE_FAIL, .fail_safe = true, .primary = true},
	 EK_VRRP_NEVER,
	 "data plane"},
	{"no data plane: stay-primary cannot serve either",
	 {.health = EK_NODE_COMPLETE_FAIL, .stay = EK_STAY_PRIMARY, .primary = true},
	 EK_VRRP_NEVER,
	 "data plane"},
	{"no data plane: max-flips does not hold it",
	 {.health = EK_NODE_COMPLETE_FAIL, .flips_exhausted = true, .primary = true},
	 EK_VRRP_NEVER,
	 "data plane"},
	{"stay-primary with a failed track",
	 {.health = EK_NODE_PARTIAL_FAIL,
	  .stay = EK_STAY_PRIMARY,
	  .has_peers = true,
	  .peer_connected = true,
	  .peer_healthy = true},
	 EK_VRRP_ALWAYS,
	 "stay-primary"},
	{"disabled goes before stay-primary",
	 {.disabled = true, .stay = EK_STAY_PRIMARY, .primary = true},
	 EK_VRRP_NEVER,
	 "disabled by the operator"},
	{"stay-secondary, and nobody else there",
	 {.stay = EK_STAY_SECONDARY, .fail_safe = true},
	 EK_VRRP_NEVER,
	 "stay-secondary"},
	{"flips: the primary keeps it, unhealthy too",
	 {.health = EK_NODE_PARTIAL_FAIL,
	  .flips_exhausted = true,
	  .primary = true,
	  .has_peers = true,
	  .peer_connected = true,
	  .peer_healthy = true},
	 EK_VRRP_HOLD,
	 "max-flips reached: the node that has it keeps it"},
	{"flips: the secondary waits for silence",
	 {.flips_exhausted = true, .has_peers = true, .peer_connected = true, .synced = true},
	 EK_VRRP_IF_SILENT,
	 "max-flips"},
	{"flips: an unhealthy secondary does not",
	 {.health = EK_NODE_PARTIAL_FAIL,
	  .flips_exhausted = true,
	  .has_peers = true,
	  .peer_connected = true,
	  .synced = true},
	 EK_VRRP_NEVER,
	 "a track failed"},
	{"back beside a healthy peer: bulk sync first",
	 {.has_peers = true, .peer_connected = true, .peer_healthy = true},
	 EK_VRRP_IF_SILENT,
	 "bulk sync"},
	{"back, and the peer is gone meanwhile",
	 {.has_peers = true, .peer_healthy = true},
	 EK_VRRP_NORMAL,
	 "nothing"},
	{"the primary waits for no bulk",
	 {.primary = true, .has_peers = true, .peer_connected = true, .peer_healthy = true},
	 EK_VRRP_NORMAL,
	 "nothing"},
	{"stepped aside for a healthy peer",
	 {.yielded = true,
	  .has_peers = true,
	  .peer_connected = true,
	  .peer_healthy = true,
	  .synced = true},
	 EK_VRRP_IF_SILENT,
	 "stepped aside"},
	{"stepped aside, and the peer became unhealthy",
	 {.yielded = true, .has_peers = true, .peer_connected = true, .synced = true},
	 EK_VRRP_NORMAL,
	 "nothing"},
	{"stepped aside, and the peer died",
	 {.yielded = true, .has_peers = true, .peer_healthy = true, .synced = true},
	 EK_VRRP_NORMAL,
	 "nothing"},
};

static void test_named_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct ek_ha_verdict got = ek_ha_policy(&rows[i].view);

		if (got.permit != rows[i].permit || !strstr(got.why, rows[i].why))
			fail_msg("%s: permit %d \"%s\", expected %d \"%s\"", rows[i].description,
				 got.permit, got.why, rows[i].permit, rows[i].why);
	}
}

/* --- failover by command --------------------------------------------------------------------- */

static const struct {
	const char *description;
	bool has_peers, connected, healthy, disabled, stays, synced;
	enum ek_stay own_stay;
	const char *refused, *forced; /* a part of the reason; NULL = carried out */
} failovers[] = {
	{"a peer ready to take over", 1, 1, 1, 0, 0, 1, 0, NULL, NULL},
	{"standalone", 0, 0, 0, 0, 0, 0, 0, "standalone", "standalone"},
	{"standalone, whatever else is said", 0, 1, 1, 0, 0, 1, 0, "standalone", "standalone"},
	{"down", 1, 0, 0, 0, 0, 0, 0, "the peer is down", "the peer is down"},
	{"down, and what was known of it", 1, 0, 1, 1, 1, 1, 0, "is down", "is down"},
	{"disabled", 1, 1, 0, 1, 0, 1, 0, "is disabled", "is disabled"},
	{"stay-secondary", 1, 1, 0, 0, 1, 1, 0, "the peer is stay-secondary",
	 "the peer is stay-secondary"},
	{"disabled and stay-secondary", 1, 1, 0, 1, 1, 1, 0, "is disabled", "is disabled"},
	{"unhealthy", 1, 1, 0, 0, 0, 1, 0, "is not healthy", "is not healthy"},
	{"not in sync", 1, 1, 1, 0, 0, 0, 0, "the peer is not in sync (use --force)", NULL},
	{"unhealthy and not in sync", 1, 1, 0, 0, 0, 0, 0, "is not healthy", "is not healthy"},
	{"this node stays primary", 1, 1, 1, 0, 0, 1, EK_STAY_PRIMARY, "this node", "this node"},
	{"this node stays secondary", 1, 1, 1, 0, 0, 1, EK_STAY_SECONDARY, NULL, NULL},
};

static void check_reason(const char *description, const char *got, const char *want)
{
	if (!got != !want || (got && !strstr(got, want)))
		fail_msg("%s: \"%s\", expected \"%s\"", description, got ? got : "carried out",
			 want ? want : "carried out");
}

static void test_failover_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(failovers); i++) {
		struct ek_ha_view view = {
			.primary = true,
			.stay = failovers[i].own_stay,
			.has_peers = failovers[i].has_peers,
			.peer_connected = failovers[i].connected,
			.peer_healthy = failovers[i].healthy,
		};

		check_reason(failovers[i].description,
			     ek_ha_refuse_failover(&view, failovers[i].disabled, failovers[i].stays,
						   failovers[i].synced, false),
			     failovers[i].refused);
		check_reason(failovers[i].description,
			     ek_ha_refuse_failover(&view, failovers[i].disabled, failovers[i].stays,
						   failovers[i].synced, true),
			     failovers[i].forced);
	}
}

/* What is not refused without --force is not undone by the policy: the peer takes over. */
static void test_failover_agrees_with_policy(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < VIEWS; i++) {
		struct ek_ha_view view = view_of(i);

		if (!view.primary || ek_ha_refuse_failover(&view, false, false, true, false))
			continue;
		view.yielded = true;
		view.primary = false;
		assert_true(ek_ha_policy(&view).permit == EK_VRRP_NEVER ||
			    ek_ha_policy(&view).permit == EK_VRRP_IF_SILENT);
	}
}

/* --- flips ----------------------------------------------------------------------------------- */

static const struct {
	const char *description;
	unsigned int n, max, window_s;
	uint64_t first_ms, step_ms, now_ms;
	bool exhausted;
} flips[] = {
	{"none yet", 0, 3, 600, 0, 0, 5000, false},
	{"none yet, no limit", 0, 0, 600, 0, 0, 5000, false},
	{"one fewer", 2, 3, 600, 1000, 1000, 2000, false},
	{"just as many", 3, 3, 600, 1000, 1000, 3000, true},
	{"no limit", 1000, 0, 600, 1000, 1, 2000, false},
	{"the oldest is just inside", 3, 3, 600, 1000, 1000, 600999, true},
	{"the oldest is just outside", 3, 3, 600, 1000, 1000, 601000, false},
	{"older ones do not count", 5, 3, 10, 1000, 5000, 21000, false},
	{"the latest ones do", 5, 2, 10, 1000, 5000, 21000, true},
	{"all at one moment", 3, 3, 1, 7, 0, 7, true},
	{"all at the beginning of time", 3, 3, 1, 0, 0, 999, true},
	{"a limit of one", 1, 1, 60, 5000, 0, 64999, true},
	{"a limit of one, over", 1, 1, 60, 5000, 0, 65000, false},
	{"round the ring", 1000, EK_FLIPS_MAX, 64, 0, 1000, 999999, true},
	{"round the ring, too slow", 1000, EK_FLIPS_MAX, 63, 0, 1000, 999000, false},
	{"a limit beyond the ring counts as the ring's", 64, 1000, 64, 0, 1, 64, true},
	{"a limit beyond the ring, one fewer", 63, 1000, 64, 0, 1, 64, false},
	{"a window of no time", 3, 3, 0, 1000, 0, 1000, false},
	{"the longest window", 3, 3, UINT32_MAX, 0, 1, UINT32_MAX * 1000ull - 1, true},
};

static void test_flips(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(flips); i++) {
		struct ek_flips ring = {0};

		for (unsigned int j = 0; j < flips[i].n; j++)
			ek_flips_note(&ring, flips[i].first_ms + j * flips[i].step_ms);
		if (ek_flips_exhausted(&ring, flips[i].max, flips[i].window_s, flips[i].now_ms) !=
		    flips[i].exhausted)
			fail_msg("%s: expected %s", flips[i].description,
				 flips[i].exhausted ? "exhausted" : "not exhausted");
	}
}

/* Against counting, for every limit, as time goes on. */
static void test_flips_against_counting(void **state)
{
	struct ek_flips ring = {0};
	uint64_t at[500], now = 0;
	uint32_t random = 1;

	(void)state;
	for (size_t n = 0; n < N(at); n++) {
		random = random * 1664525 + 1013904223;
		now += random >> 22;
		at[n] = now;
		ek_flips_note(&ring, now);
		for (unsigned int max = 1; max <= EK_FLIPS_MAX; max++) {
			unsigned int count = 0;

			for (size_t i = 0; i <= n; i++)
				count += now - at[i] < 7000;
			assert_int_equal(ek_flips_exhausted(&ring, max, 7, now), count >= max);
		}
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(ek_node_health_name(EK_NODE_UP), "up");
	assert_string_equal(ek_node_health_name(EK_NODE_PARTIAL_FAIL), "partial-fail");
	assert_string_equal(ek_node_health_name(EK_NODE_COMPLETE_FAIL), "complete-fail");
	assert_string_equal(ek_stay_name(EK_STAY_NONE), "none");
	assert_string_equal(ek_stay_name(EK_STAY_PRIMARY), "stay-primary");
	assert_string_equal(ek_stay_name(EK_STAY_SECONDARY), "stay-secondary");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_view),
		cmocka_unit_test(test_hold_is_for_masters),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_named_rows),
		cmocka_unit_test(test_failover_refusals),
		cmocka_unit_test(test_failover_agrees_with_policy),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_flips_against_counting),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
