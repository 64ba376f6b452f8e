/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an operator does to a running balancer: drain, undrain, weight; and what a reload would
 * do, asked before it is done: plan. Handlers of the control socket (control.h); their argument
 * is the struct ek_controller.
 */
#ifndef EVENKEEL_OPERATE_H
#define EVENKEEL_OPERATE_H

#include <jansson.h>
#include "controller.h"

json_t *ek_drain_command(void *arg, const json_t *request, struct ek_error *error);
json_t *ek_undrain_command(void *arg, const json_t *request, struct ek_error *error);
json_t *ek_weight_command(void *arg, const json_t *request, struct ek_error *error);
json_t *ek_plan_command(void *arg, const json_t *request, struct ek_error *error);

/* Where a drain stands, for status; NULL when the member is not being drained. */
json_t *ek_drain_json(const struct ek_controller *c, const struct ek_service_runtime *s,
		      const struct ek_member *m);

#endif
