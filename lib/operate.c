/* SPDX-License-Identifier: GPL-2.0-only */
/* See operate.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "control.h"
#include "ha.h"
#include "ip.h"
#include "log.h"
#include "operate.h"
#include "world.h"

#define DRAIN_TIMEOUT_MAX (30u * 86400)

/* --- drain, undrain, weight ------------------------------------------------------------------ */

static int find_target(const struct ek_controller *c, const char *service, const char *backend,
		       const struct ek_member **found, struct ek_error *error)
{
	for (size_t i = 0; i < c->world.n_services; i++) {
		const struct ek_service_runtime *s = &c->world.services[i];

		if (strcmp(s->config->name, service))
			continue;
		for (size_t j = 0; j < s->n_members; j++)
			if (s->members[j].config && !strcmp(s->members[j].config->name, backend)) {
				*found = &s->members[j];
				return 0;
			}
		ek_error_set(error, "service '%s' has no backend '%s'", service, backend);
		return -ENOENT;
	}
	ek_error_set(error, "there is no service '%s'", service);
	return -ENOENT;
}

/* The override that stands for the target now, to be changed by the caller. */
static int begin(const struct ek_controller *c, const json_t *request, struct ek_override *out,
		 const struct ek_member **member, struct ek_error *error)
{
	const char *service, *backend;
	const struct ek_override *old;
	int err = ek_control_string(request, "service", &service, error);

	if (!err)
		err = ek_control_string(request, "backend", &backend, error);
	if (err)
		return err;
	if (!service || !backend) {
		ek_error_set(error, "'service' and 'backend' are needed");
		return -EINVAL;
	}
	err = find_target(c, service, backend, member, error);
	if (err)
		return err;
	old = ek_overrides_find(&c->overrides, service, backend);
	*out = old ? *old : (struct ek_override){.weight = -1};
	snprintf(out->service, sizeof(out->service), "%s", service);
	snprintf(out->backend, sizeof(out->backend), "%s", backend);
	return 0;
}

static json_t *finish(struct ek_controller *c, const char *command, const json_t *request,
		      const struct ek_override *value, struct ek_error *error)
{
	if (ek_overrides_set(&c->overrides, value, error))
		return NULL;
	if (c->ha)
		ek_ha_propagate(c->ha, command, request);
	if (ek_controller_apply(c, error))
		return NULL;
	return json_pack("{s:s, s:s, s:b, s:i}", "service", value->service, "backend",
			 value->backend, "draining", value->drain, "weight", value->weight);
}

static int seconds_argument(const json_t *request, unsigned int *out, struct ek_error *error)
{
	const json_t *value = json_object_get(request, "timeout");

	*out = 0;
	if (!value)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 1 ||
	    json_integer_value(value) > DRAIN_TIMEOUT_MAX) {
		ek_error_set(error, "'timeout' is a number of seconds from 1 to %u",
			     DRAIN_TIMEOUT_MAX);
		return -EINVAL;
	}
	*out = json_integer_value(value);
	return 0;
}

json_t *ek_drain_command(void *arg, const json_t *request, struct ek_error *error)
{
	struct ek_controller *c = arg;
	const struct ek_member *member;
	struct ek_override value;

	if (begin(c, request, &value, &member, error) ||
	    seconds_argument(request, &value.drain_timeout, error))
		return NULL;
	if (!value.drain) {
		value.drain = true;
		value.drain_since = time(NULL);
		value.unstored_before =
			ek_datapath_backend_counters(c->datapath, member->backend->index).unstored;
	}
	ek_notice("service %s: backend %s is drained by command", value.service, value.backend);
	return finish(c, "drain", request, &value, error);
}

json_t *ek_undrain_command(void *arg, const json_t *request, struct ek_error *error)
{
	struct ek_controller *c = arg;
	const struct ek_member *member;
	struct ek_override value;

	if (begin(c, request, &value, &member, error))
		return NULL;
	if (!value.drain) {
		ek_error_set(error, "backend '%s' of service '%s' is not being drained",
			     value.backend, value.service);
		return NULL;
	}
	value.drain = false;
	ek_notice("service %s: backend %s takes new connections again", value.service,
		  value.backend);
	return finish(c, "undrain", request, &value, error);
}

json_t *ek_weight_command(void *arg, const json_t *request, struct ek_error *error)
{
	struct ek_controller *c = arg;
	const json_t *weight = json_object_get(request, "weight");
	const struct ek_member *member;
	struct ek_override value;

	if (begin(c, request, &value, &member, error))
		return NULL;
	if (json_is_null(weight)) {
		value.weight = -1;
	} else if (json_is_integer(weight) && json_integer_value(weight) >= 0 &&
		   json_integer_value(weight) <= 1000) {
		value.weight = json_integer_value(weight);
	} else {
		ek_error_set(error, "'weight' is a number from 0 to 1000, or null for the file's");
		return NULL;
	}
	if (value.weight >= 0)
		ek_notice("service %s: backend %s has weight %d by command", value.service,
			  value.backend, value.weight);
	else
		ek_notice("service %s: backend %s has the weight of the file again", value.service,
			  value.backend);
	return finish(c, "weight", request, &value, error);
}

json_t *ek_drain_json(const struct ek_controller *c, const struct ek_service_runtime *s,
		      const struct ek_member *m)
{
	const struct ek_override *o = ek_controller_override(c, s, m);
	const struct ek_sweep_backend *b = ek_controller_swept(c, m);
	unsigned int entries = b->embryonic + b->established + b->closing;
	uint64_t unstored = ek_datapath_backend_counters(c->datapath, m->backend->index).unstored;
	bool over, done;
	json_t *out;

	if (!o || !o->drain)
		return NULL;
	done = m->backend->passes_since_change >= 2 && !b->slots && !b->origins && !entries;
	over = o->drain_timeout && time(NULL) - o->drain_since >= (time_t)o->drain_timeout;
	out = json_pack(
		"{s:I, s:i, s:i, s:b, s:b, s:I}", "seconds",
		(json_int_t)(time(NULL) - o->drain_since), "slots", (int)(b->slots + b->origins),
		"entries", (int)entries, "done", done || over, "timed_out", over && !done,
		"overflow",
		(json_int_t)(unstored > o->unstored_before ? unstored - o->unstored_before : 0));
	json_object_set_new(out, "last_hit",
			    b->origins ? json_real(ek_ticks_seconds(ek_datapath_clock(c->datapath),
								    b->last_hit))
				       : json_null());
	json_object_set_new(out, "since", json_integer(o->drain_since));
	return out;
}

/* --- plan ------------------------------------------------------------------------------------ */

struct ring_preview {
	uint32_t moved, remembering;
};

/* What the operation would do to the ring that is there now. */
static int preview_ring(const struct ek_controller *c, const struct ek_op *op,
			struct ring_preview *out)
{
	const struct ek_ring *ring = op->fresh ? NULL : ek_datapath_ring(c->datapath, op->id);
	uint16_t *choices = malloc(EK_RING_SIZE * sizeof(*choices));
	int err = choices ? ek_maglev_build(op->members.list, op->members.n, choices) : -ENOMEM;

	for (uint32_t i = 0; !err && ring && i < EK_RING_SIZE; i++) {
		uint32_t old = ring->slot[i];
		bool left;
		uint32_t slot = ek_slot_change(old, choices[i], op->tracking, &left);

		out->moved += ek_slot_current(slot) != ek_slot_current(old);
		out->remembering += ek_slot_remembers(slot, op->tracking) &&
				    !ek_slot_remembers(old, op->tracking);
	}
	free(choices);
	return err;
}

static json_t *backend_change(const char *name, const struct ek_ip *address, const char *change)
{
	char text[EK_IP_TEXT];

	return json_pack("{s:s, s:s, s:s}", "name", name, "address", ek_ip_format(address, text),
			 "change", change);
}

static const struct ek_member *same_backend(const struct ek_service_runtime *s,
					    const struct ek_ip *address)
{
	for (size_t i = 0; s && i < s->n_members; i++)
		if (s->members[i].config && ek_ip_equal(&s->members[i].backend->address, address))
			return &s->members[i];
	return NULL;
}

static json_t *backend_changes(const struct ek_service_runtime *now,
			       const struct ek_service_runtime *next)
{
	json_t *list = json_array();

	for (size_t i = 0; next && i < next->n_members; i++) {
		const struct ek_member *m = &next->members[i], *old;

		if (!m->config)
			continue;
		old = same_backend(now, &m->backend->address);
		json_array_append_new(
			list, backend_change(m->config->name, &m->backend->address,
					     !old					? "add"
					     : old->config->weight != m->config->weight ? "weight"
											: "same"));
	}
	for (size_t i = 0; now && i < now->n_members; i++)
		if (now->members[i].config &&
		    !same_backend(next, &now->members[i].backend->address))
			json_array_append_new(
				list, backend_change(now->members[i].config->name,
						     &now->members[i].backend->address, "remove"));
	return list;
}

static json_t *service_preview(const struct ek_controller *c, const struct ek_plan *plan,
			       const struct ek_service_runtime *now,
			       const struct ek_service_runtime *next, uint16_t id)
{
	struct ring_preview ring = {0};
	const struct ek_sweep *swept = ek_datapath_swept(c->datapath);
	bool touched = false;

	for (size_t i = 0; i < plan->n; i++) {
		const struct ek_op *op = &plan->ops[i];

		if ((op->kind == EK_OP_RING_SET || op->kind == EK_OP_SERVICE_SET) && op->id == id)
			touched = true;
		if (op->kind == EK_OP_RING_SET && op->id == id && preview_ring(c, op, &ring))
			return NULL;
	}
	return json_pack("{s:s, s:s, s:i, s:i, s:i, s:o}", "name",
			 (next ? next : now)->config->name, "change",
			 !now	   ? "add"
			 : !next   ? "remove"
			 : touched ? "change"
				   : "same",
			 "slots_moved", (int)ring.moved, "slots_remembering", (int)ring.remembering,
			 "lost_entries", next ? 0 : (int)swept->results[id].entries, "backends",
			 backend_changes(now, next));
}

static json_t *preview(struct ek_controller *c, const struct ek_world *next,
		       const struct ek_plan *plan, const struct ek_intent *intent)
{
	json_t *services = json_array();

	for (size_t i = 0; i < next->n_services; i++)
		json_array_append_new(
			services,
			service_preview(c, plan, ek_world_find(&c->world, next->services[i].config),
					&next->services[i], intent->services[i].id));
	for (size_t i = 0; i < c->world.n_services; i++) {
		const struct ek_service_runtime *s = &c->world.services[i];

		if (!ek_world_find(next, s->config))
			json_array_append_new(services, service_preview(c, plan, s, NULL, s->id));
	}
	return json_pack("{s:o, s:i}", "services", services, "operations", (int)plan->n);
}

json_t *ek_plan_command(void *arg, const json_t *request, struct ek_error *error)
{
	struct ek_controller *c = arg;
	struct ek_intent intent = {0};
	struct ek_plan plan = {0};
	struct ek_world next = {0};
	struct ek_config *config;
	const char *text, *name;
	json_t *out = NULL;

	if (ek_control_string(request, "text", &text, error) ||
	    ek_control_string(request, "name", &name, error))
		return NULL;
	if (!text) {
		ek_error_set(error, "'text' is needed: the configuration");
		return NULL;
	}
	config = ek_controller_parse(c, text, name ? name : "the file", error);
	if (!config)
		return NULL;
	if (!ek_controller_preview(c, config, &next, &intent, &plan, error)) {
		out = preview(c, &next, &plan, &intent);
		ek_controller_preview_end(c, &next, &intent, &plan);
	}
	ek_config_free(config);
	return out;
}
