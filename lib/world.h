/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The controller's objects for one configuration: built from it, reusing the backends of the
 * world before (with their checks and next hops), so that a reload keeps what it can and can be
 * abandoned without a trace.
 */
#ifndef EVENKEEL_WORLD_H
#define EVENKEEL_WORLD_H

#include "controller.h"

/*
 * `old` is the world to reuse backends of, or NULL at start: then the data plane's own state says
 * which backends there were and which were alive. 0 or -ENOMEM with everything undone.
 */
int ek_world_build(struct ek_world *world, const struct ek_world *old,
		   const struct ek_config *config, struct ek_controller *c, struct ek_error *error);
/* Frees `world` but not what it shares with `old`. */
void ek_world_abandon(struct ek_world *world, const struct ek_world *old, struct ek_controller *c);
/* Makes `next` the current world: frees what only `current` had, reconfigures kept checks. */
void ek_world_replace(struct ek_world *current, struct ek_world *next, struct ek_controller *c);
void ek_world_free(struct ek_world *world, struct ek_controller *c);

/* The service that is named as this one, or NULL. */
struct ek_service_runtime *ek_world_find(const struct ek_world *world,
					 const struct ek_config_service *config);
/* A backend that is not in the file but in use by another node; NULL without memory. */
struct ek_member *ek_world_adopt(struct ek_service_runtime *s, const struct ek_ip *address,
				 struct ek_controller *c);
/* Lets go of retired backends that no slot and no entry names any more. Returns true if there were
 * any. */
bool ek_world_forget(struct ek_world *world, struct ek_controller *c);

#endif
