/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the configuration file to a configuration that the running node can take: the services of
 * the cluster in the place of the file's where this node follows another, and refusal of what
 * cannot change while the data plane runs. ek_controller_parse() and ek_controller_save_services()
 * are here too.
 */
#ifndef EVENKEEL_RELOAD_H
#define EVENKEEL_RELOAD_H

#include "controller.h"

/*
 * Reads the file again, with `services` (or NULL) for its own. *text is what the configuration was
 * read from; both are the caller's. NULL with error.
 */
struct ek_config *ek_reload_read(struct ek_controller *c, const char *services, char **text,
				 struct ek_error *error);
/*
 * At start, when the file alone has been read: the configuration to begin with, which is the
 * controller's, as is its text.
 */
struct ek_config *ek_reload_first(struct ek_controller *c);

#endif
