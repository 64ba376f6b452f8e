/* SPDX-License-Identifier: GPL-2.0-only */
/* See reload.h. Called by controller.c. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config_services.h"
#include "ha.h"
#include "hashkey.h"
#include "log.h"
#include "reload.h"

/* The first error, and how to see the rest. */
static void summarize(const struct ek_errors *errors, const char *path, struct ek_error *out)
{
	char first[sizeof(out->text)];
	size_t more = errors->count + errors->dropped - 1;

	ek_error_format(&errors->list[0], path, first, sizeof(first));
	if (more)
		ek_error_set(out, "%s (and %zu more: evenkeeld --check -c %s)", first, more, path);
	else
		ek_error_set(out, "%s", first);
}

/* Another key would send every connection elsewhere. Here none is made where none is. */
static int check_key(const struct ek_controller *c, const struct ek_config *next,
		     struct ek_error *error)
{
	struct ek_hash_key key;
	char own[PATH_MAX];
	int err;

	snprintf(own, sizeof(own), "%s/" EK_HASHKEY_FILE, ek_controller_state_dir(c));
	err = ek_hashkey_read(next->hash_key[0] ? next->hash_key : own, &key, error);
	if (!err && memcmp(&key, ek_datapath_key(c->datapath), sizeof(key))) {
		ek_error_set(error,
			     "the hash key cannot change while the data plane runs; stop with "
			     "SIGTERM and start again");
		err = -EBUSY;
	}
	explicit_bzero(&key, sizeof(key));
	return err;
}

static int check_fixed(const struct ek_controller *c, const struct ek_config *next,
		       struct ek_error *error)
{
	if (!c->options.state_dir && strcmp(next->state_dir, c->config->state_dir)) {
		ek_error_set(error, "state-dir cannot change while the data plane runs; stop with "
				    "SIGTERM and start again");
		return -EBUSY;
	}
	if (next->limits.backends != c->config->limits.backends ||
	    next->limits.flows != c->config->limits.flows) {
		ek_error_set(error, "limits.backends and limits.flows cannot change while the data "
				    "plane runs; stop with SIGTERM and start again");
		return -EBUSY;
	}
	if (!c->ha && next->ha.enabled) {
		ek_error_set(error, "an 'ha' section cannot appear while the node runs; stop with "
				    "SIGQUIT and start again: connections stay");
		return -EBUSY;
	}
	return (c->ha ? ek_ha_check(c->ha, next, error) : 0) ?: check_key(c, next, error);
}

static struct ek_config *accept_config(const struct ek_controller *c, struct ek_config *next,
				       const struct ek_errors *errors, const char *name,
				       struct ek_error *error)
{
	if (!next) {
		summarize(errors, name, error);
		return NULL;
	}
	if (check_fixed(c, next, error)) {
		ek_config_free(next);
		return NULL;
	}
	return next;
}

/* The file, with the cluster's services in the place of its own if this node follows another. */
static char *read_text(const struct ek_controller *c, const char *services,
		       struct ek_errors *errors)
{
	size_t length, merged_length;
	char *text = ek_config_read(c->options.config_path, &length, errors), *merged = NULL;

	if (!text || !services)
		return text;
	if (ek_config_services_replace(text, length, services, strlen(services), &merged,
				       &merged_length)) {
		ek_config_free(ek_config_parse(text, length, errors)); /* is it the file? */
		if (!errors->count)
			ek_errors_add(errors, 0, 0, "services",
				      "those of the primary cannot be put into this file");
	}
	free(text);
	return merged;
}

/* *text: what it was read from, the caller's when a configuration is returned. */
struct ek_config *ek_reload_read(struct ek_controller *c, const char *services, char **text,
				 struct ek_error *error)
{
	struct ek_errors *errors = calloc(1, sizeof(*errors));
	struct ek_config *next = NULL;

	if (!errors)
		return NULL;
	*text = read_text(c, services, errors);
	if (*text)
		next = ek_config_parse(*text, strlen(*text), errors);
	next = accept_config(c, next, errors, c->options.config_path, error);
	if (!next) {
		free(*text);
		*text = NULL;
	}
	free(errors);
	return next;
}

/*
 * At start: what this node last took from its primary, if its file has not been edited since. The
 * file alone was read before, and stays when something does not fit.
 */
struct ek_config *ek_reload_first(struct ek_controller *c)
{
	struct ek_errors *errors = calloc(1, sizeof(*errors));
	struct ek_config *merged = NULL;
	char *services = NULL, *text = NULL;

	if (errors)
		c->text = read_text(c, NULL, errors);
	if (c->text && c->config->ha.enabled)
		services =
			ek_ha_saved_services(ek_controller_state_dir(c), c->text, strlen(c->text));
	if (services)
		text = read_text(c, services, errors);
	if (text)
		merged = ek_config_parse(text, strlen(text), errors);
	if (merged) {
		ek_notice("the services last taken from the primary are in use");
		ek_config_free(c->config);
		free(c->text);
		c->config = merged;
		c->text = text;
	} else {
		free(text);
	}
	free(services);
	free(errors);
	return c->config;
}

struct ek_config *ek_controller_parse(struct ek_controller *c, const char *text, const char *name,
				      struct ek_error *error)
{
	struct ek_errors *errors = calloc(1, sizeof(*errors));
	struct ek_config *next = NULL;

	if (errors)
		next = accept_config(c, ek_config_parse(text, strlen(text), errors), errors, name,
				     error);
	free(errors);
	return next;
}

void ek_controller_save_services(struct ek_controller *c)
{
	struct ek_errors *errors = calloc(1, sizeof(*errors));
	char *text = errors ? read_text(c, NULL, errors) : NULL;

	if (text && ek_ha_save_services(c->ha, text, strlen(text)))
		ek_warn("%s: the primary's services cannot be kept", ek_controller_state_dir(c));
	free(text);
	free(errors);
}
