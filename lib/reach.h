/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the controller's backends are reached: path.h asked with what netlink and the ports know, and
 * what an operator should hear of it. Called by controller.c and status.c.
 */
#ifndef EVENKEEL_REACH_H
#define EVENKEEL_REACH_H

#include "controller.h"
#include "path.h"

void ek_reach_judge(const struct ek_controller *c, const struct ek_service_runtime *s,
		    const struct ek_member *m, struct ek_path *out);
/* Logs what stands in the way of services and backends, where that is news. */
void ek_reach_report(const struct ek_controller *c, struct ek_world *world);

#endif
