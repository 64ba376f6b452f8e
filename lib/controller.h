/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The controller: ties configuration, health, next hops and plan to the data plane, on one
 * libevent loop. cmd/evenkeeld is its only caller; status.c reads it for the CLI.
 *
 * Objects: a `service` of the configuration has `member`s; a member is a `backend` (an address
 * with a check, a watched next hop and a row in the data plane) and the configuration's word
 * about it, or none once it has left the file. Backends outlive reloads; services and members
 * are made anew by each, and swapped in only after the plan was carried out.
 */
#ifndef EVENKEEL_CONTROLLER_H
#define EVENKEEL_CONTROLLER_H

#include <event2/event.h>
#include <time.h>
#include "config.h"
#include "datapath.h"
#include "health.h"
#include "netlink.h"
#include "overrides.h"
#include "plan.h"
#include "ports.h"

struct ek_gateway;
struct ek_path_learn;
struct ek_tracer;

struct ek_controller_options {
	const char *config_path;
	const char *pin_dir;
	const char *socket_path;
	const char *state_dir; /* NULL: the configuration's, or the default */
};

struct ek_backend_runtime {
	struct ek_ip address;
	char name[EK_NAME_MAX + 1];
	char service[EK_NAME_MAX + 1]; /* for log lines */
	struct ek_check *check;
	uint16_t index; /* row in the data plane, 0 before the first plan */
	struct ek_counters last;
	double packets_per_second, bytes_per_second;
	/* Passes of the sweep that finished since the data plane was last changed. */
	unsigned int passes_since_change;
	char misfit[160]; /* what the log said last of why the service's method cannot reach it */
};

struct ek_member {
	struct ek_backend_runtime *backend;
	const struct ek_config_backend *config; /* NULL: retired */
};

struct ek_service_runtime {
	const struct ek_config_service *config;
	struct ek_member *members;
	size_t n_members;
	uint16_t id;
	/*
	 * A new service waits until each of its backends was checked once (or had the time to be):
	 * otherwise the first to answer would get every slot, and all but its own would remember
	 * it for hours.
	 */
	bool warm;
	time_t born;	  /* CLOCK_MONOTONIC seconds */
	char narrow[200]; /* what its paths are too narrow for, as the log said it, or "" */
};

struct ek_world {
	struct ek_service_runtime *services;
	size_t n_services;
};

struct ek_reload_report {
	bool ok;
	time_t at;
	struct ek_error error;
};

struct ek_controller {
	struct ek_controller_options options;
	struct event_base *base;
	struct ek_config *config;
	struct ek_datapath *datapath;
	struct ek_netlink *netlink;
	struct ek_health *health;
	struct ek_ports *ports;
	struct ek_control *control;
	struct ek_gateway *gateway;
	struct ek_path_learn *paths;
	struct ek_tracer *tracer;
	struct ek_ha *ha; /* NULL: the node stands alone */
	bool left;	  /* its peers; it changes nothing any more */
	char *text;	  /* what `config` was read from */
	struct ek_state state;
	struct ek_world world;
	struct ek_overrides overrides;
	struct event *apply_soon, *second, *sweep;
	bool alarmed; /* too many slots remember */
	struct timespec sampled;
	uint64_t drops[EK_DROP_COUNT];
	double drops_per_second[EK_DROP_COUNT];
	uint64_t answers[EK_ANSWER_COUNT];
	double answers_per_second[EK_ANSWER_COUNT];
	time_t started, loaded;
	struct ek_reload_report reload;
};

/*
 * Takes over the configuration, also on failure. Opens or adopts the data plane, attaches the
 * programs and serves the control socket. 0 or -errno with `error`.
 */
int ek_controller_start(struct ek_controller *c, struct event_base *base,
			const struct ek_controller_options *options, struct ek_config *config,
			struct ek_error *error);
/*
 * Hands over to the peers, before the data plane is taken down: adverts, routes and the channel end
 * here, while packets that are still on their way to this node are served as before. False when
 * there are no peers: then there is nothing to wait for.
 */
bool ek_controller_leave(struct ek_controller *c);
/* Frees everything; with `detach`, takes the data plane down too. */
void ek_controller_stop(struct ek_controller *c, bool detach);

/* Reads the file again and applies the difference; an invalid one changes nothing. */
int ek_controller_reload(struct ek_controller *c, struct ek_error *error);

/* For ha*.c. Where state is kept. */
const char *ek_controller_state_dir(const struct ek_controller *c);
/* A plan is made and applied in the next turn of the event loop. */
void ek_controller_apply_soon(struct ek_controller *c);
/* The same, and every ring that this node owns is chosen anew from what it holds. */
void ek_controller_rebuild(struct ek_controller *c);
/*
 * Takes another node's services in the place of its own: 0, or -errno with error and nothing
 * changed. ek_controller_save_services() makes that outlive a restart.
 */
int ek_controller_load_services(struct ek_controller *c, const char *services,
				struct ek_error *error);
void ek_controller_save_services(struct ek_controller *c);
/* A backend that another node's ring names: its row, or 0. It takes no new connections by itself.
 */
uint16_t ek_controller_adopt(struct ek_controller *c, uint16_t service,
			     const struct ek_ip *address);

/* Makes the data plane what configuration, health, next hops and overrides ask for now. */
int ek_controller_apply(struct ek_controller *c, struct ek_error *error);

/*
 * What a reload of `config` would do, without doing it: new backends are taken to be healthy.
 * 0 with all three filled, to be given back to ek_controller_preview_end(); or -errno.
 */
struct ek_config *ek_controller_parse(struct ek_controller *c, const char *text, const char *name,
				      struct ek_error *error);
int ek_controller_preview(struct ek_controller *c, const struct ek_config *config,
			  struct ek_world *world, struct ek_intent *intent, struct ek_plan *plan,
			  struct ek_error *error);
void ek_controller_preview_end(struct ek_controller *c, struct ek_world *world,
			       struct ek_intent *intent, struct ek_plan *plan);

/* What an operator said of the member, or NULL. */
const struct ek_override *ek_controller_override(const struct ek_controller *c,
						 const struct ek_service_runtime *s,
						 const struct ek_member *m);
/* Its weight for new connections were it eligible: the operator's, or the file's. */
unsigned int ek_controller_weight(const struct ek_controller *c, const struct ek_service_runtime *s,
				  const struct ek_member *m);
/* What the last whole sweep counted of it. */
const struct ek_sweep_backend *ek_controller_swept(const struct ek_controller *c,
						   const struct ek_member *m);

/* May the member take new connections, and why not. */
bool ek_controller_eligible(const struct ek_controller *c, const struct ek_service_runtime *s,
			    const struct ek_member *m);
/* The next hop as the data plane sees it: its word, and a text for people. */
uint64_t ek_controller_nexthop(const struct ek_controller *c, const struct ek_service_runtime *s,
			       const struct ek_member *m, uint16_t *mtu, char *text, size_t size);

#endif
