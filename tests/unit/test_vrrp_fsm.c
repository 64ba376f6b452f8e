/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VRRP state machine: every permit, state and kind of advert, and stories of several events.
 * Several machines on one network are in test_vrrp_groups.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "ip.h"
#include "vrrp_fsm.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* 10.0.0.1 to 10.0.0.9 */
static struct ek_ip address(unsigned int last)
{
	return ek_ip_from4(htonl(0x0a000000 | last));
}

/*
 * What an event did, as text: the actions (C claim, Y yield, A advert, R resign, N announce again),
 * the state (I, B, M), and when the timer is due from now on.
 */
static const char *outcome(const struct ek_vrrp_fsm *fsm, unsigned int actions, uint64_t now)
{
	static char text[48];
	uint64_t due = ek_vrrp_fsm_due(fsm);
	size_t n = 0;

	for (int bit = 0; bit < 5; bit++)
		if (actions >> bit & 1)
			text[n++] = "CYARN"[bit];
	text[n++] = "IBM"[fsm->state];
	if (due == UINT64_MAX)
		snprintf(text + n, sizeof(text) - n, " never");
	else
		snprintf(text + n, sizeof(text) - n, " %+lld", (long long)(due - now));
	return text;
}

/* --- every permit, state and advert ---------------------------------------------------------- */

static const struct {
	const char *description;
	uint8_t priority, from; /* 10.0.0.from; we are 10.0.0.5 with priority 100 */
} adverts[] = {
	{"higher", 150, 1},
	{"equal, higher address", 100, 9},
	{"equal, lower address", 100, 1},
	{"lower", 50, 9},
	{"zero", 0, 9},
	{"255, higher address", 255, 9},
	{"255, lower address", 255, 1},
};

/* Interval 1 s everywhere: dead 3 s, skew 609 ms at priority 100 and 3 ms at 255. */
static const struct {
	enum ek_vrrp_permit permit;
	enum ek_vrrp_state state; /* MASTER: 300 ms after an advert; BACKUP: after 500 ms */
	const char *outcomes[COUNT(adverts)];
} matrix[] = {
	{EK_VRRP_NEVER,
	 EK_VRRP_INIT,
	 {"I never", "I never", "I never", "I never", "I never", "I never", "I never"}},
	{EK_VRRP_IF_SILENT,
	 EK_VRRP_INIT,
	 {"I never", "I never", "I never", "I never", "I never", "I never", "I never"}},
	{EK_VRRP_NORMAL,
	 EK_VRRP_INIT,
	 {"I never", "I never", "I never", "I never", "I never", "I never", "I never"}},
	{EK_VRRP_ALWAYS,
	 EK_VRRP_INIT,
	 {"I never", "I never", "I never", "I never", "I never", "I never", "I never"}},
	{EK_VRRP_HOLD,
	 EK_VRRP_INIT,
	 {"I never", "I never", "I never", "I never", "I never", "I never", "I never"}},
	{EK_VRRP_NEVER,
	 EK_VRRP_BACKUP,
	 {"B never", "B never", "B never", "B never", "B never", "B never", "B never"}},
	{EK_VRRP_IF_SILENT,
	 EK_VRRP_BACKUP,
	 {"B +3609", "B +3609", "B +3609", "B +3609", "B +609", "B +3609", "B +3609"}},
	{EK_VRRP_NORMAL,
	 EK_VRRP_BACKUP,
	 {"B +3609", "B +3609", "B +3609", "B +609", "B +609", "B +3609", "B +3609"}},
	{EK_VRRP_ALWAYS,
	 EK_VRRP_BACKUP,
	 {"B -500", "B -500", "B -500", "B -500", "B -500", "B +3003", "B +3003"}},
	{EK_VRRP_HOLD,
	 EK_VRRP_BACKUP,
	 {"B never", "B never", "B never", "B never", "B never", "B never", "B never"}},
	/* Made NEVER, a master is one no longer. */
	{EK_VRRP_NEVER,
	 EK_VRRP_MASTER,
	 {"B never", "B never", "B never", "B never", "B never", "B never", "B never"}},
	{EK_VRRP_IF_SILENT,
	 EK_VRRP_MASTER,
	 {"YB +3609", "YB +3609", "ANM +1000", "ANM +1000", "AM +1000", "YB +3609", "YB +3609"}},
	{EK_VRRP_NORMAL,
	 EK_VRRP_MASTER,
	 {"YB +3609", "YB +3609", "ANM +1000", "ANM +1000", "AM +1000", "YB +3609", "YB +3609"}},
	{EK_VRRP_ALWAYS,
	 EK_VRRP_MASTER,
	 {"ANM +1000", "ANM +1000", "ANM +1000", "ANM +1000", "AM +1000", "YB +3003", "ANM +1000"}},
	{EK_VRRP_HOLD,
	 EK_VRRP_MASTER,
	 {"YB never", "YB never", "ANM +1000", "ANM +1000", "AM +1000", "YB never", "YB never"}},
};

/* At 1500 ms; the events that lead there are tested below. */
static struct ek_vrrp_fsm machine_in(enum ek_vrrp_state state, enum ek_vrrp_permit permit)
{
	const struct ek_vrrp_settings settings = {100, 1000, true, 0};
	struct ek_vrrp_fsm fsm;

	ek_vrrp_fsm_init(&fsm, &settings);
	if (state == EK_VRRP_MASTER) {
		ek_vrrp_fsm_permit(&fsm, EK_VRRP_ALWAYS, 1200);
		ek_vrrp_fsm_start(&fsm, 1200);
		assert_int_equal(ek_vrrp_fsm_timer(&fsm, 1200),
				 EK_VRRP_DO_CLAIM | EK_VRRP_DO_ADVERT);
	}
	ek_vrrp_fsm_permit(&fsm, permit, 1200);
	if (state == EK_VRRP_BACKUP)
		ek_vrrp_fsm_start(&fsm, 1000);
	return fsm;
}

static void test_every_permit_state_and_advert(void **state)
{
	const struct ek_ip own = address(5);

	(void)state;
	for (size_t i = 0; i < COUNT(matrix); i++) {
		for (size_t j = 0; j < COUNT(adverts); j++) {
			struct ek_vrrp_fsm fsm = machine_in(matrix[i].state, matrix[i].permit);
			struct ek_ip from = address(adverts[j].from);
			unsigned int actions = ek_vrrp_fsm_heard(&fsm, adverts[j].priority, 1000,
								 &from, &own, 1500);
			const char *got = outcome(&fsm, actions, 1500);

			if (strcmp(got, matrix[i].outcomes[j]) != 0)
				fail_msg("permit %d, state %d, %s: %s, expected %s",
					 matrix[i].permit, matrix[i].state, adverts[j].description,
					 got, matrix[i].outcomes[j]);
		}
	}
}

/* Rows from, columns to: NEVER, IF_SILENT, NORMAL, ALWAYS, HOLD. At 1500 ms, as above. */
static const struct {
	enum ek_vrrp_state state;
	const char *outcomes[5][5];
} changes[] = {
	{EK_VRRP_INIT,
	 {{"I never", "I never", "I never", "I never", "I never"},
	  {"I never", "I never", "I never", "I never", "I never"},
	  {"I never", "I never", "I never", "I never", "I never"},
	  {"I never", "I never", "I never", "I never", "I never"},
	  {"I never", "I never", "I never", "I never", "I never"}}},
	/* After NEVER and ALWAYS from the beginning. */
	{EK_VRRP_BACKUP,
	 {{"B never", "B +3609", "B +3609", "B +0", "B never"},
	  {"B never", "B +3109", "B +3109", "B +0", "B never"},
	  {"B never", "B +3109", "B +3109", "B +0", "B never"},
	  {"B never", "B +3609", "B +3609", "B -500", "B never"},
	  {"B never", "B +3109", "B +3109", "B +0", "B never"}}},
	{EK_VRRP_MASTER,
	 {{"B never", "B +3609", "B +3609", "B +0", "B never"},
	  {"YRB never", "M +700", "M +700", "M +700", "M +700"},
	  {"YRB never", "M +700", "M +700", "M +700", "M +700"},
	  {"YRB never", "M +700", "M +700", "M +700", "M +700"},
	  {"YRB never", "M +700", "M +700", "M +700", "M +700"}}},
};

static void test_every_change_of_permit(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(changes); i++) {
		for (int cell = 0; cell < 25; cell++) {
			const char *expected = changes[i].outcomes[cell / 5][cell % 5];
			struct ek_vrrp_fsm fsm = machine_in(changes[i].state, cell / 5);
			unsigned int actions = ek_vrrp_fsm_permit(&fsm, cell % 5, 1500);
			const char *got = outcome(&fsm, actions, 1500);

			if (strcmp(got, expected) != 0)
				fail_msg("state %d, permit %d to %d: %s, expected %s",
					 changes[i].state, cell / 5, cell % 5, got, expected);
		}
	}
}

/* --- stories --------------------------------------------------------------------------------- */

/* KEEP and DELAY are reloads too: no preempt, the preempt delay. */
enum event { END, START, STOP, TIMER, HEARD, PERMIT, RELOAD, KEEP, DELAY };

struct step {
	uint64_t at;
	enum event event;
	unsigned int value;    /* HEARD, RELOAD: priority; PERMIT: the permit; DELAY: ms */
	unsigned int interval; /* HEARD, RELOAD */
	const char *expected;
};

#define NORMAL PERMIT, EK_VRRP_NORMAL, 0
#define BEGIN                                \
	{1000, NORMAL, "I never"},           \
	{                                    \
		1000, START, 0, 0, "B +3609" \
	}
#define MASTERED                               \
	BEGIN,                                 \
	{                                      \
		4609, TIMER, 0, 0, "CAM +1000" \
	}

/* Priority 100, interval 1 s, unless it says otherwise; the other node has the higher address. */
static const struct {
	const char *description;
	struct step steps[14];
} stories[] = {
	{"listens, claims, adverts",
	 {BEGIN,
	  {4608, TIMER, 0, 0, "B +1"},
	  {4609, TIMER, 0, 0, "CAM +1000"},
	  {5608, TIMER, 0, 0, "M +1"},
	  {5609, TIMER, 0, 0, "AM +1000"},
	  {6612, TIMER, 0, 0, "AM +1000"}}},
	{"a second start changes nothing", {BEGIN, {2000, START, 0, 0, "B +2609"}}},
	{"a master stopped resigns; a backup goes quietly",
	 {MASTERED,
	  {5000, STOP, 0, 0, "YRI never"},
	  {5000, STOP, 0, 0, "I never"},
	  {6000, START, 0, 0, "B +3609"},
	  {7000, STOP, 0, 0, "I never"},
	  {20000, TIMER, 0, 0, "I never"}}},
	{"no permit, no claim",
	 {{1000, START, 0, 0, "B never"},
	  {9000, TIMER, 0, 0, "B never"},
	  {9000, PERMIT, EK_VRRP_HOLD, 0, "B never"},
	  {9100, NORMAL, "B +3509"}}},
	{"the master's interval is learnt, shorter and longer",
	 {BEGIN,
	  {2000, HEARD, 200, 100, "B +360"},
	  {2100, HEARD, 200, 40950, "B +147803"},
	  {2200, HEARD, 200, 10, "B +36"},
	  {2236, TIMER, 0, 0, "CAM +1000"}}},
	{"and forgotten by a new start",
	 {BEGIN,
	  {2000, HEARD, 200, 100, "B +360"},
	  {2100, STOP, 0, 0, "I never"},
	  {2200, START, 0, 0, "B +3609"}}},
	{"a yielding master learns it",
	 {MASTERED, {5000, HEARD, 200, 100, "YB +360"}, {5360, TIMER, 0, 0, "CAM +1000"}}},
	{"a resignation: skew by the interval learnt, not by the resignation's",
	 {BEGIN,
	  {2000, HEARD, 200, 100, "B +360"},
	  {2050, HEARD, 0, 1000, "B +60"},
	  {2060, HEARD, 0, 1000, "B +50"},
	  {2110, TIMER, 0, 0, "CAM +1000"}}},
	{"the successor is heard within the skew",
	 {BEGIN,
	  {2000, HEARD, 200, 1000, "B +3609"},
	  {2500, HEARD, 0, 1000, "B +609"},
	  {2800, HEARD, 150, 1000, "B +3609"}}},
	{"a lower master is pushed aside within the skew, however often it is heard",
	 {BEGIN,
	  {2000, HEARD, 50, 1000, "B +609"},
	  {2300, HEARD, 50, 1000, "B +309"},
	  {2609, TIMER, 0, 0, "CAM +1000"},
	  {2610, HEARD, 50, 1000, "ANM +1000"}}},
	{"but never past the dead timer", {BEGIN, {4500, HEARD, 50, 1000, "B +109"}}},
	{"no claim beside a better master that is about to silence a lower one",
	 {BEGIN,
	  {2000, HEARD, 200, 1000, "B +3609"},
	  {2100, HEARD, 50, 1000, "B +3509"},
	  {3000, HEARD, 200, 1000, "B +3609"},
	  {3500, HEARD, 50, 1000, "B +3109"},
	  {6609, HEARD, 50, 1000, "B +0"},
	  {6609, TIMER, 0, 0, "CAM +1000"}}},
	{"no preempt: a lower master is followed",
	 {{1, KEEP, 0, 0, "I never"},
	  BEGIN,
	  {2000, HEARD, 50, 1000, "B +3609"},
	  {5608, HEARD, 50, 1000, "B +3609"},
	  {9217, TIMER, 0, 0, "CAM +1000"},
	  {9300, HEARD, 50, 1000, "ANM +1000"}}},
	{"preempt delay: followed until it is over",
	 {{1, DELAY, 5000, 0, "I never"},
	  BEGIN,
	  {2000, HEARD, 50, 1000, "B +3609"},
	  {4000, HEARD, 50, 1000, "B +3609"},
	  {6999, HEARD, 50, 1000, "B +3609"},
	  {7000, HEARD, 50, 1000, "B +609"},
	  {7609, TIMER, 0, 0, "CAM +1000"}}},
	{"preempt delay: a dead master is not waited for",
	 {{1, DELAY, 60000, 0, "I never"},
	  BEGIN,
	  {2000, HEARD, 50, 1000, "B +3609"},
	  {5609, TIMER, 0, 0, "CAM +1000"}}},
	{"preempt delay: counts anew when NORMAL comes again, and after mastership",
	 {{1, DELAY, 5000, 0, "I never"},
	  BEGIN,
	  {2000, HEARD, 50, 1000, "B +3609"},
	  {3000, PERMIT, EK_VRRP_IF_SILENT, 0, "B +2609"},
	  {4000, HEARD, 50, 1000, "B +3609"},
	  {5000, NORMAL, "B +2609"},
	  {6000, HEARD, 50, 1000, "B +3609"},
	  {9000, HEARD, 50, 1000, "B +3609"},
	  {11000, HEARD, 50, 1000, "B +609"},
	  {11609, TIMER, 0, 0, "CAM +1000"},
	  {11700, HEARD, 200, 1000, "YB +3609"},
	  {15309, HEARD, 50, 1000, "B +3609"}}},
	{"a lower master is answered once per interval, a resignation always",
	 {MASTERED,
	  {5000, HEARD, 50, 10, "ANM +1000"},
	  {5010, HEARD, 50, 10, "M +990"},
	  {5999, HEARD, 50, 10, "M +1"},
	  {5999, HEARD, 0, 10, "AM +1000"},
	  {6000, HEARD, 50, 10, "ANM +1000"}}},
	{"a new mastership answers the first lower one again",
	 {MASTERED,
	  {5000, HEARD, 50, 1000, "ANM +1000"},
	  {5010, HEARD, 200, 10, "YB +36"},
	  {5046, TIMER, 0, 0, "CAM +1000"},
	  {5100, HEARD, 50, 1000, "ANM +1000"}}},
	{"ALWAYS beside ALWAYS waits, and follows when it lost the tie",
	 {BEGIN,
	  {2000, HEARD, 255, 1000, "B +3609"},
	  {2500, PERMIT, EK_VRRP_ALWAYS, 0, "B +3109"},
	  {3000, HEARD, 255, 1000, "B +3003"},
	  {3001, HEARD, 50, 1000, "B +3002"},
	  {6003, TIMER, 0, 0, "CAM +1000"},
	  {6500, HEARD, 255, 1000, "YB +3003"},
	  {7500, HEARD, 255, 1000, "B +3003"}}},
	{"ALWAYS pushes aside at once whoever is less",
	 {{1, DELAY, 60000, 0, "I never"},
	  BEGIN,
	  {2000, PERMIT, EK_VRRP_ALWAYS, 0, "B +0"},
	  {2000, TIMER, 0, 0, "CAM +1000"},
	  {2100, HEARD, 254, 1000, "ANM +1000"},
	  {2200, HEARD, 255, 1000, "YB +3003"},
	  {2300, HEARD, 254, 1000, "B +2903"},
	  {5203, HEARD, 254, 1000, "B +0"}}},
	{"HOLD claims nothing; from HOLD to NORMAL the silence counts",
	 {BEGIN,
	  {2000, PERMIT, EK_VRRP_HOLD, 0, "B never"},
	  {5000, TIMER, 0, 0, "B never"},
	  {5000, NORMAL, "B -391"},
	  {5000, TIMER, 0, 0, "CAM +1000"}}},
	{"an advert a little late",
	 {MASTERED,
	  {7612, TIMER, 0, 0, "AM +1000"},
	  {10616, TIMER, 0, 0, "ANM +1000"},
	  {14619, TIMER, 0, 0, "ANM +1000"}}},
	{"a master stopped for long: yields, listens, claims again",
	 {MASTERED,
	  {8613, TIMER, 0, 0, "YB +3609"},
	  {8613, TIMER, 0, 0, "B +3609"},
	  {12222, TIMER, 0, 0, "CAM +1000"}}},
	{"a master stopped for long: an advert is the first that it sees",
	 {MASTERED, {60000, HEARD, 50, 1000, "YB +609"}, {60000, TIMER, 0, 0, "B +609"}}},
	{"... a better one's", {MASTERED, {60000, HEARD, 150, 1000, "YB +3609"}}},
	{"a master stopped for long does not resign for its successor",
	 {MASTERED, {60000, PERMIT, EK_VRRP_NEVER, 0, "YB never"}}},
	{"... nor when the daemon stops", {MASTERED, {60000, STOP, 0, 0, "YI never"}}},
	{"... nor adverts because of a reload", {MASTERED, {60000, RELOAD, 100, 1000, "YB +3609"}}},
	{"ALWAYS stopped for long listens too, but not beside a lower one",
	 {MASTERED,
	  {5000, PERMIT, EK_VRRP_ALWAYS, 0, "M +609"},
	  {60000, TIMER, 0, 0, "YB +3003"},
	  {60001, HEARD, 200, 1000, "B +0"}}},
	{"a backup stopped for long listens once more",
	 {BEGIN, {8219, TIMER, 0, 0, "B +3609"}, {11828, TIMER, 0, 0, "CAM +1000"}}},
	{"but under ALWAYS it claims",
	 {{1000, PERMIT, EK_VRRP_ALWAYS, 0, "I never"},
	  {1000, START, 0, 0, "B +0"},
	  {60000, TIMER, 0, 0, "CAM +1000"}}},
	{"a backup just late enough to be believed", {BEGIN, {8218, TIMER, 0, 0, "CAM +1000"}}},
	{"reload of a master: an advert at once, by the new interval",
	 {MASTERED, {5000, RELOAD, 150, 200, "AM +200"}, {5100, HEARD, 140, 200, "ANM +200"}}},
	{"reload of a backup about to claim",
	 {{1000, PERMIT, EK_VRRP_ALWAYS, 0, "I never"},
	  {1000, START, 0, 0, "B +0"},
	  {1001, RELOAD, 100, 200, "B -1"}}},
	{"reload of a backup: its own interval matters while nobody is heard",
	 {BEGIN,
	  {2000, RELOAD, 100, 200, "B +721"},
	  {2100, HEARD, 200, 100, "B +360"},
	  {2200, RELOAD, 100, 5000, "B +260"}}},
};

static unsigned int take(struct ek_vrrp_fsm *fsm, const struct step *step)
{
	const struct ek_ip source = address(9), own = address(5);
	struct ek_vrrp_settings settings = fsm->settings;

	switch (step->event) {
	case START:
		return ek_vrrp_fsm_start(fsm, step->at);
	case STOP:
		return ek_vrrp_fsm_stop(fsm, step->at);
	case TIMER:
		return ek_vrrp_fsm_timer(fsm, step->at);
	case HEARD:
		return ek_vrrp_fsm_heard(fsm, step->value, step->interval, &source, &own, step->at);
	case PERMIT:
		return ek_vrrp_fsm_permit(fsm, step->value, step->at);
	case KEEP:
		settings.preempt = false;
		break;
	case DELAY:
		settings.preempt_delay_ms = step->value;
		break;
	default:
		settings.priority = step->value;
		settings.interval_ms = step->interval;
	}
	return ek_vrrp_fsm_configure(fsm, &settings, step->at);
}

static void test_stories(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(stories); i++) {
		const struct ek_vrrp_settings settings = {100, 1000, true, 0};
		struct ek_vrrp_fsm fsm;

		ek_vrrp_fsm_init(&fsm, &settings);
		for (const struct step *step = stories[i].steps; step->event; step++) {
			const char *got = outcome(&fsm, take(&fsm, step), step->at);

			if (strcmp(got, step->expected) != 0)
				fail_msg("%s: at %llu: %s, expected %s", stories[i].description,
					 (unsigned long long)step->at, got, step->expected);
		}
	}
}

/* --- times ----------------------------------------------------------------------------------- */

static const struct {
	uint8_t priority;
	unsigned int interval, dead, down, skew;
} times[] = {
	{254, 10, 30, 30, 0},
	{100, 10, 30, 36, 6},
	{1, 10, 30, 39, 9},
	{254, 100, 300, 300, 0},
	{100, 100, 300, 360, 60},
	{200, 200, 600, 643, 43},
	{254, 1000, 3003, 3007, 7},
	{1, 1000, 3003, 3996, 996},
	{254, 40950, 123009, 123169, 319},
	{1, 40950, 123009, 163640, 40790},
};

static void test_times(void **state)
{
	const struct ek_ip source = address(9), own = address(5);

	(void)state;
	for (size_t i = 0; i < COUNT(times); i++) {
		const struct ek_vrrp_settings settings = {times[i].priority, times[i].interval,
							  true, 0};
		struct ek_vrrp_fsm fsm;

		ek_vrrp_fsm_init(&fsm, &settings);
		ek_vrrp_fsm_permit(&fsm, EK_VRRP_NORMAL, 1);
		ek_vrrp_fsm_start(&fsm, 1);
		assert_int_equal(ek_vrrp_fsm_dead_ms(&fsm), times[i].dead);
		assert_int_equal(ek_vrrp_fsm_due(&fsm), 1 + times[i].down);
		ek_vrrp_fsm_heard(&fsm, 0, times[i].interval, &source, &own, 2);
		assert_int_equal(ek_vrrp_fsm_due(&fsm), 2 + times[i].skew);
		ek_vrrp_fsm_timer(&fsm, ek_vrrp_fsm_due(&fsm));
		assert_int_equal(fsm.state, EK_VRRP_MASTER);
		assert_int_equal(ek_vrrp_fsm_due(&fsm), 2 + times[i].skew + times[i].interval);
	}
}

static void test_hears_master(void **state)
{
	const struct ek_ip source = address(9), own = address(5);
	struct ek_vrrp_fsm fsm = machine_in(EK_VRRP_BACKUP, EK_VRRP_NORMAL);

	(void)state;
	assert_false(ek_vrrp_fsm_hears_master(&fsm, 1500));
	ek_vrrp_fsm_heard(&fsm, 200, 100, &source, &own, 1500);
	assert_true(ek_vrrp_fsm_hears_master(&fsm, 1859));
	assert_false(ek_vrrp_fsm_hears_master(&fsm, 1860));
	ek_vrrp_fsm_heard(&fsm, 200, 100, &source, &own, 2000);
	assert_true(ek_ip_equal(&fsm.master, &source));
	ek_vrrp_fsm_heard(&fsm, 0, 100, &source, &own, 2010);
	assert_false(ek_vrrp_fsm_hears_master(&fsm, 2010));
	ek_vrrp_fsm_timer(&fsm, 2070);
	assert_int_equal(fsm.state, EK_VRRP_MASTER);
	assert_int_equal(fsm.since_ms, 2070);
	assert_false(ek_vrrp_fsm_hears_master(&fsm, 2070));
	ek_vrrp_fsm_heard(&fsm, 50, 100, &source, &own, 2100);
	assert_true(ek_vrrp_fsm_hears_master(&fsm, 2459));
	assert_false(ek_vrrp_fsm_hears_master(&fsm, 2460));
	ek_vrrp_fsm_heard(&fsm, 50, 100, &source, &own, 2500);
	ek_vrrp_fsm_stop(&fsm, 2500);
	assert_false(ek_vrrp_fsm_hears_master(&fsm, 2500));
	ek_vrrp_fsm_start(&fsm, 2510);
	assert_false(ek_vrrp_fsm_hears_master(&fsm, 2510));
}

static void test_another_preempt_delay_counts_anew(void **state)
{
	const struct ek_ip source = address(9), own = address(5);
	struct ek_vrrp_settings settings = {100, 1000, true, 5000};
	struct ek_vrrp_fsm fsm = machine_in(EK_VRRP_BACKUP, EK_VRRP_NORMAL);

	(void)state;
	ek_vrrp_fsm_configure(&fsm, &settings, 1500);
	ek_vrrp_fsm_heard(&fsm, 50, 1000, &source, &own, 2000);
	assert_int_equal(fsm.preempt_from_ms, 7000);
	ek_vrrp_fsm_configure(&fsm, &settings, 3000);
	assert_int_equal(fsm.preempt_from_ms, 7000);
	settings.preempt_delay_ms = 1000;
	ek_vrrp_fsm_configure(&fsm, &settings, 3000);
	ek_vrrp_fsm_heard(&fsm, 50, 1000, &source, &own, 3000);
	assert_int_equal(fsm.preempt_from_ms, 4000);
	assert_int_equal(ek_vrrp_fsm_due(&fsm), 6609);
}

static void test_priority_on_the_wire(void **state)
{
	struct ek_vrrp_fsm fsm = machine_in(EK_VRRP_BACKUP, EK_VRRP_NORMAL);

	(void)state;
	assert_int_equal(ek_vrrp_fsm_priority(&fsm), 100);
	ek_vrrp_fsm_permit(&fsm, EK_VRRP_ALWAYS, 1500);
	assert_int_equal(ek_vrrp_fsm_priority(&fsm), 255);
	ek_vrrp_fsm_permit(&fsm, EK_VRRP_HOLD, 1500);
	assert_int_equal(ek_vrrp_fsm_priority(&fsm), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_permit_state_and_advert),
		cmocka_unit_test(test_every_change_of_permit),
		cmocka_unit_test(test_stories),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_hears_master),
		cmocka_unit_test(test_another_preempt_delay_counts_anew),
		cmocka_unit_test(test_priority_on_the_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
