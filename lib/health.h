/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Health checks. Two layers:
 *  - ek_health_fsm: pure; results in, states out; knows rise and fall, no clock, no socket.
 *  - ek_health: runs the checks on the event loop, each on its own jittered timer, and reports
 *    state changes. A checker is a `const struct ek_checker_ops` in a table (checker.h,
 *    check_tcp.c, check_http.c).
 *
 * States (semantics of the whole product): up; full (no new connections, live ones stay); hold
 * (draining: the same, and not counted as capacity); down; unknown before the first result. The
 * first result decides at once; after it, `rise` successes in a row make a backend up and `fall`
 * failures in a row make it down.
 *
 * A check that could not be made for want of something local (file descriptors, ports, memory,
 * the controller's own time) is no result: `why` says "not checked: …", the state stands, and it
 * is tried again after the interval.
 */
#ifndef EVENKEEL_HEALTH_H
#define EVENKEEL_HEALTH_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "config.h"

enum ek_health_state {
	EK_HEALTH_UNKNOWN,
	EK_HEALTH_UP,
	EK_HEALTH_FULL,
	EK_HEALTH_HOLD,
	EK_HEALTH_DOWN
};

#define EK_HEALTH_WHY 128

struct ek_health_fsm {
	enum ek_health_state state;
	unsigned int rise, fall;
	unsigned int run;	     /* consecutive results that contradict `state` … */
	enum ek_health_state toward; /* … and the state that they speak for */
};

/* Feeds one result; returns true when the state changed. */
bool ek_health_fsm_result(struct ek_health_fsm *fsm, bool success);
/*
 * Microseconds before a first check, and from one check's start to the next one's. `interval` in
 * ms, `random` uniform over 32 bits: checks that were started together do not stay together.
 */
uint64_t ek_health_first_delay_us(unsigned int interval, uint32_t random);
uint64_t ek_health_next_delay_us(unsigned int interval, uint32_t random);

struct event_base;
struct ek_health; /* the engine */
struct ek_check;  /* one running check of one backend */

#define EK_HEALTH_HISTORY 8

struct ek_health_change {
	enum ek_health_state state;
	time_t at;
	char why[EK_HEALTH_WHY];
};

/* What a check tells about itself; valid until control returns to the event loop. */
struct ek_check_status {
	enum ek_health_state state;
	uint64_t since_ms;	   /* CLOCK_MONOTONIC of the last state change */
	time_t since;		   /* the same as wall-clock time, for people */
	uint64_t results;	   /* finished checks; "not checked" is none */
	uint64_t last_duration_us; /* of the last finished check */
	char why[EK_HEALTH_WHY];   /* the last result in words: "connected in 0.4 ms", … */
	/* The latest changes of state: change n stands at n % EK_HEALTH_HISTORY. */
	struct ek_health_change history[EK_HEALTH_HISTORY];
	uint64_t changes;
};

/*
 * Called from the event loop when a check's state changed; never from inside ek_check_*(). It may
 * start and stop any checks, this one too, and may free the engine.
 */
typedef void (*ek_health_changed)(struct ek_check *check, void *arg);

struct ek_health *ek_health_new(struct event_base *base, ek_health_changed changed, void *arg);
void ek_health_free(struct ek_health *health); /* stops every check */

/*
 * Starts checking `target`:`port` (host order). `initial` is UNKNOWN on a first start, or what
 * the data plane held when a restarted controller adopted it: it stands until `rise`/`fall`
 * results contradict it. `owner` is returned by ek_check_owner(). With EK_CHECK_NONE the state
 * is UP at once and stays (`changed` follows unless it was UP already). `vip` serves the Host
 * header. The configuration is copied.
 * The first check runs at a random moment within the first interval (at most 1 s), later ones
 * every interval ± 10 %, never two of one backend at a time. NULL with errno set.
 */
struct ek_check *ek_check_start(struct ek_health *health, const struct ek_config_check *config,
				const struct ek_ip *target, uint16_t port, const struct ek_ip *vip,
				enum ek_health_state initial, void *owner);
void ek_check_stop(struct ek_check *check);
/*
 * A reload: other parameters, the same state and history. The next check uses them; one under
 * way goes on, unless it asks something else than the new configuration does.
 */
void ek_check_reconfigure(struct ek_check *check, const struct ek_config_check *config,
			  uint16_t port);
void *ek_check_owner(const struct ek_check *check);
const struct ek_check_status *ek_check_status(const struct ek_check *check);
const char *ek_health_state_name(enum ek_health_state state);

#endif
