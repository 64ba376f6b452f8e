/* SPDX-License-Identifier: GPL-2.0-only */
/* See world.h. Called by controller.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ip.h"
#include "log.h"
#include "world.h"

/* One whole pass of the sweep that began after the change, and so at most two finished ones. */
#define PASSES_BEFORE_FORGETTING 2

/* --- backends -------------------------------------------------------------------------------- */

static uint16_t check_port(const struct ek_config_service *s)
{
	return s->check.port ? s->check.port : s->port;
}

static void backend_free(struct ek_backend_runtime *b, struct ek_controller *c)
{
	if (b->check)
		ek_check_stop(b->check);
	ek_netlink_unwatch(c->netlink, &b->address);
	free(b);
}

static struct ek_backend_runtime *backend_new(struct ek_controller *c,
					      const struct ek_config_service *s, const char *name,
					      const struct ek_ip *address,
					      enum ek_health_state initial)
{
	struct ek_backend_runtime *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->address = *address;
	snprintf(b->name, sizeof(b->name), "%s", name);
	snprintf(b->service, sizeof(b->service), "%s", s->name);
	if (ek_netlink_watch(c->netlink, address)) {
		free(b);
		return NULL;
	}
	b->check =
		ek_check_start(c->health, &s->check, address, check_port(s), &s->vip, initial, b);
	if (!b->check) {
		backend_free(b, c);
		return NULL;
	}
	return b;
}

static struct ek_member *find_member(const struct ek_service_runtime *s,
				     const struct ek_ip *address)
{
	for (size_t i = 0; s && i < s->n_members; i++)
		if (ek_ip_equal(&s->members[i].backend->address, address))
			return &s->members[i];
	return NULL;
}

/* As the data plane knows them: by the first entry of ek_config_entries(). */
static bool same_service(const struct ek_config_service *a, const struct ek_config_service *b)
{
	return ek_ip_equal(&a->vip, &b->vip) && a->addresses[0].length == b->addresses[0].length &&
	       a->port == b->port && a->port_last == b->port_last && a->protocol == b->protocol;
}

struct ek_service_runtime *ek_world_find(const struct ek_world *world,
					 const struct ek_config_service *config)
{
	for (size_t i = 0; world && i < world->n_services; i++)
		if (same_service(world->services[i].config, config))
			return &world->services[i];
	return NULL;
}

/* --- what the data plane remembers of a service, at start ------------------------------------ */

static enum ek_health_state adopted_health(const struct ek_state *state, int id,
					   const struct ek_ip *address)
{
	for (uint32_t i = 1; id >= 0 && i < state->limit; i++) {
		const struct ek_backend *row = &state->backends[i].row;

		if (state->backends[i].used && row->service == id &&
		    ek_ip_equal(&row->address, address))
			return EK_NEXTHOP_FLAGS(row->nexthop) & EK_NEXTHOP_ALIVE ? EK_HEALTH_UP
										 : EK_HEALTH_DOWN;
	}
	return EK_HEALTH_UNKNOWN;
}

/*
 * What is known of a backend that the service does not have yet. A service whose port or first
 * address changes is a new one, with the name and the backends of the old.
 */
static enum ek_health_state first_health(const struct ek_controller *c,
					 const struct ek_config_service *s, int id,
					 const struct ek_ip *address)
{
	enum ek_health_state state = adopted_health(&c->state, id, address);

	for (size_t i = 0; state == EK_HEALTH_UNKNOWN && i < c->world.n_services; i++) {
		const struct ek_service_runtime *other = &c->world.services[i];
		const struct ek_member *m =
			strcmp(other->config->name, s->name) ? NULL : find_member(other, address);

		if (m)
			state = ek_check_status(m->backend->check)->state;
	}
	return state;
}

/* --- building -------------------------------------------------------------------------------- */

static void add_member(struct ek_service_runtime *s, struct ek_backend_runtime *b,
		       const struct ek_config_backend *config)
{
	s->members[s->n_members++] = (struct ek_member){.backend = b, .config = config};
}

static int add_configured(struct ek_service_runtime *s, const struct ek_service_runtime *old,
			  int id, struct ek_controller *c)
{
	for (size_t i = 0; i < s->config->n_backends; i++) {
		const struct ek_config_backend *config = &s->config->backends[i];
		struct ek_member *known = find_member(old, &config->address);
		struct ek_backend_runtime *b = known ? known->backend : NULL;

		if (!b)
			b = backend_new(c, s->config, config->name, &config->address,
					first_health(c, s->config, id, &config->address));
		if (!b)
			return -ENOMEM;
		add_member(s, b, config);
	}
	return 0;
}

/* Backends that left the file stay, without weight, while a ring may name them. */
static int add_retired(struct ek_service_runtime *s, const struct ek_service_runtime *old, int id,
		       struct ek_controller *c)
{
	for (size_t i = 0; old && i < old->n_members; i++)
		if (!find_member(s, &old->members[i].backend->address))
			add_member(s, old->members[i].backend, NULL);
	for (uint32_t i = 1; !old && id >= 0 && i < c->state.limit; i++) {
		const struct ek_state_backend *row = &c->state.backends[i];
		struct ek_backend_runtime *b;
		char name[EK_IP_TEXT];

		if (!row->used || row->row.service != id || find_member(s, &row->row.address))
			continue;
		b = backend_new(c, s->config, ek_ip_format(&row->row.address, name),
				&row->row.address,
				adopted_health(&c->state, id, &row->row.address));
		if (!b)
			return -ENOMEM;
		add_member(s, b, NULL);
	}
	return 0;
}

static size_t most_members(const struct ek_service_runtime *s, const struct ek_service_runtime *old,
			   int id, const struct ek_state *state)
{
	size_t n = s->config->n_backends + (old ? old->n_members : 0);

	for (uint32_t i = 1; !old && id >= 0 && i < state->limit; i++)
		n += state->backends[i].used && state->backends[i].row.service == id;
	return n ? n : 1;
}

static int build_service(struct ek_service_runtime *s, const struct ek_service_runtime *old,
			 struct ek_controller *c)
{
	int id = old ? -1 : ek_state_find(&c->state, s->config), err;

	s->warm = old ? old->warm : id >= 0;
	s->born = old ? old->born : 0;
	if (old)
		memcpy(s->narrow, old->narrow, sizeof(s->narrow));
	s->members = calloc(most_members(s, old, id, &c->state), sizeof(*s->members));
	if (!s->members)
		return -ENOMEM;
	err = add_configured(s, old, id, c);
	return err ? err : add_retired(s, old, id, c);
}

int ek_world_build(struct ek_world *world, const struct ek_world *old,
		   const struct ek_config *config, struct ek_controller *c, struct ek_error *error)
{
	*world = (struct ek_world){0};
	world->services =
		calloc(config->n_services ? config->n_services : 1, sizeof(*world->services));
	for (size_t i = 0; world->services && i < config->n_services; i++) {
		struct ek_service_runtime *s = &world->services[i];

		s->config = &config->services[i];
		world->n_services = i + 1;
		if (build_service(s, ek_world_find(old, s->config), c)) {
			ek_world_abandon(world, old, c);
			break;
		}
	}
	if (world->services)
		return 0;
	ek_error_set(error, "out of memory, or of sockets");
	return -ENOMEM;
}

/* --- letting go ------------------------------------------------------------------------------ */

static void free_all_but(struct ek_world *world, const struct ek_world *kept,
			 struct ek_controller *c)
{
	for (size_t i = 0; i < world->n_services; i++) {
		struct ek_service_runtime *s = &world->services[i];
		const struct ek_service_runtime *other = ek_world_find(kept, s->config);

		for (size_t j = 0; j < s->n_members; j++)
			if (!find_member(other, &s->members[j].backend->address))
				backend_free(s->members[j].backend, c);
		free(s->members);
	}
	free(world->services);
	*world = (struct ek_world){0};
}

void ek_world_abandon(struct ek_world *world, const struct ek_world *old, struct ek_controller *c)
{
	free_all_but(world, old, c);
}

static void refresh_backend(struct ek_backend_runtime *b, const struct ek_config_service *s,
			    const struct ek_config_backend *config)
{
	ek_check_reconfigure(b->check, &s->check, check_port(s));
	snprintf(b->service, sizeof(b->service), "%s", s->name);
	if (config)
		snprintf(b->name, sizeof(b->name), "%s", config->name);
}

void ek_world_replace(struct ek_world *current, struct ek_world *next, struct ek_controller *c)
{
	free_all_but(current, next, c);
	*current = *next;
	for (size_t i = 0; i < current->n_services; i++) {
		struct ek_service_runtime *s = &current->services[i];

		for (size_t j = 0; j < s->n_members; j++)
			refresh_backend(s->members[j].backend, s->config, s->members[j].config);
	}
}

void ek_world_free(struct ek_world *world, struct ek_controller *c)
{
	free_all_but(world, NULL, c);
}

struct ek_member *ek_world_adopt(struct ek_service_runtime *s, const struct ek_ip *address,
				 struct ek_controller *c)
{
	struct ek_member *known = find_member(s, address), *members;
	char name[EK_IP_TEXT];

	if (known)
		return known;
	members = reallocarray(s->members, s->n_members + 1, sizeof(*members));
	if (!members)
		return NULL;
	s->members = members;
	known = &members[s->n_members];
	*known =
		(struct ek_member){.backend = backend_new(c, s->config, ek_ip_format(address, name),
							  address, EK_HEALTH_UNKNOWN)};
	if (!known->backend)
		return NULL;
	s->n_members++;
	return known;
}

static bool still_needed(const struct ek_controller *c, const struct ek_member *m)
{
	const struct ek_sweep_backend *b = ek_controller_swept(c, m);

	return m->config || m->backend->passes_since_change < PASSES_BEFORE_FORGETTING ||
	       ek_datapath_swept(c->datapath)->named[m->backend->index] || b->slots || b->origins ||
	       b->embryonic || b->established || b->closing;
}

static bool forget_in_service(struct ek_service_runtime *s, struct ek_controller *c)
{
	bool forgot = false;

	for (size_t i = 0; i < s->n_members;) {
		struct ek_backend_runtime *b = s->members[i].backend;

		if (still_needed(c, &s->members[i])) {
			i++;
			continue;
		}
		ek_info("service %s: backend %s is forgotten", b->service, b->name);
		backend_free(b, c);
		s->members[i] = s->members[--s->n_members];
		forgot = true;
	}
	return forgot;
}

bool ek_world_forget(struct ek_world *world, struct ek_controller *c)
{
	bool forgot = false;

	for (size_t i = 0; i < world->n_services; i++)
		forgot |= forget_in_service(&world->services[i], c);
	return forgot;
}
