/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * High availability: who of several nodes has the VIPs, and that connections do not notice.
 *
 *     ha.c           this node: its health, what it may claim (ha_policy.h), its life
 *     ha_instance.c  a group of VIPs: VRRP machine, adverts, lease, announcements
 *     ha_peers.c     the others: channel, status, configuration, commands, mirror
 *     ha_state.c     what an operator said of this node (stay, disabled), kept on disk
 *     ha_command.c   `evenkeel ha`
 *
 * Exists only when the configuration has an `ha` section. Called by controller.c; it calls the
 * controller back to apply plans and load configurations. All on the event loop; heartbeats are
 * also sent from within long plans (ek_ha_pulse()).
 */
#ifndef EVENKEEL_HA_H
#define EVENKEEL_HA_H

#include <jansson.h>
#include "controller.h"

struct ek_ha;

/* NULL with error. The controller's configuration has an `ha` section; its data plane is open. */
struct ek_ha *ek_ha_new(struct ek_controller *c, struct ek_error *error);
/*
 * Steps aside: masters resign, routes are withdrawn. With `leave` (the data plane goes on without
 * a controller) a lease is left to run out by itself, and forwarding goes on.
 */
void ek_ha_free(struct ek_ha *ha, bool leave);
/* The configuration was loaded again: 0, or -errno with error when a section needs a restart. */
int ek_ha_reconfigure(struct ek_ha *ha, struct ek_error *error);
/* What of the section may not change while the node runs: 0 or -EBUSY with error. */
int ek_ha_check(const struct ek_ha *ha, const struct ek_config *next, struct ek_error *error);

/* Does this node own the ring of the service? */
bool ek_ha_owns(const struct ek_ha *ha, const struct ek_config_service *service);
/*
 * Before a plan is applied: tells the peers what becomes of rings, and takes out of the plan what
 * must wait for them. The controller applies the rest, and again when ek_ha calls for it.
 */
void ek_ha_gate(struct ek_ha *ha, struct ek_plan *plan);
/* After one was. */
void ek_ha_applied(struct ek_ha *ha);
/* Sends what is due. */
void ek_ha_pulse(void *ha);
/* Links or programs changed: is the data plane still attached? */
void ek_ha_recheck(struct ek_ha *ha);

/*
 * The services section to be put in the place of the file's: what a follower took from its primary.
 * NULL when it is the file's own, as it is for the node that leads. Borrowed.
 */
const char *ek_ha_services(const struct ek_ha *ha);
/* A command was carried out here: the peers are to do the same. */
void ek_ha_propagate(struct ek_ha *ha, const char *command, const json_t *request);

/* ha_command.c: {"command":"ha","action":"status|failover|stay|disable|enable",...} */
json_t *ek_ha_command(void *controller, const json_t *request, struct ek_error *error);

/*
 * ha_state.c: the text that a follower last took from its primary, for a start without one: valid
 * while the file's own section is what it was then. NULL when there is none. The caller frees.
 */
int ek_ha_save_services(const struct ek_ha *ha, const char *file, size_t length);
char *ek_ha_saved_services(const char *state_dir, const char *file, size_t length);

#endif
