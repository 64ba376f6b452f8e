/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The commands that evenkeeld answers on its control socket (control.h), and the JSON of their
 * results. The handlers' argument is the struct ek_controller.
 */
#ifndef EVENKEEL_STATUS_H
#define EVENKEEL_STATUS_H

#include "control.h"

const struct ek_control_command *ek_status_commands(size_t *n);

#endif
