/* SPDX-License-Identifier: GPL-2.0-only */
/* See controller.h. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include "announce_gateway.h"
#include "control.h"
#include "controller.h"
#include "ha.h"
#include "hashkey.h"
#include "ip.h"
#include "log.h"
#include "path_learn.h"
#include "reach.h"
#include "reload.h"
#include "ring.h"
#include "status.h"
#include "trace.h"
#include "world.h"

#define STATE_DIR "/var/lib/evenkeel"

static const struct timeval one_second = {.tv_sec = 1};

/* --- from the world to a plan ---------------------------------------------------------------- */

const struct ek_override *ek_controller_override(const struct ek_controller *c,
						 const struct ek_service_runtime *s,
						 const struct ek_member *m)
{
	return m->config ? ek_overrides_find(&c->overrides, s->config->name, m->config->name)
			 : NULL;
}

unsigned int ek_controller_weight(const struct ek_controller *c, const struct ek_service_runtime *s,
				  const struct ek_member *m)
{
	const struct ek_override *o = ek_controller_override(c, s, m);

	if (!m->config || (o && o->drain))
		return 0;
	return o && o->weight >= 0 ? (unsigned int)o->weight : m->config->weight;
}

bool ek_controller_eligible(const struct ek_controller *c, const struct ek_service_runtime *s,
			    const struct ek_member *m)
{
	uint64_t nexthop = ek_controller_nexthop(c, s, m, NULL, NULL, 0);

	return ek_controller_weight(c, s, m) &&
	       ek_check_status(m->backend->check)->state == EK_HEALTH_UP &&
	       (EK_NEXTHOP_FLAGS(nexthop) & EK_NEXTHOP_USABLE) == EK_NEXTHOP_USABLE;
}

const struct ek_sweep_backend *ek_controller_swept(const struct ek_controller *c,
						   const struct ek_member *m)
{
	return &ek_datapath_swept(c->datapath)->backends[m->backend->index];
}

static bool alive(const struct ek_member *m)
{
	switch (ek_check_status(m->backend->check)->state) {
	case EK_HEALTH_UP:
	case EK_HEALTH_FULL:
	case EK_HEALTH_HOLD:
		return true;
	case EK_HEALTH_UNKNOWN:
	case EK_HEALTH_DOWN:
		break;
	}
	return false;
}

uint64_t ek_controller_nexthop(const struct ek_controller *c, const struct ek_service_runtime *s,
			       const struct ek_member *m, uint16_t *mtu, char *text, size_t size)
{
	unsigned int flags = (alive(m) ? EK_NEXTHOP_ALIVE : 0) |
			     (ek_controller_weight(c, s, m) ? 0 : EK_NEXTHOP_DRAINING);
	struct ek_path path;
	uint64_t mac = 0;

	ek_reach_judge(c, s, m, &path);
	if (text)
		snprintf(text, size, "%s", path.text);
	if (mtu)
		*mtu = ek_path_learn_limit(c->paths, &m->backend->address, path.mtu);
	if (!path.usable)
		return EK_NEXTHOP(0, 0, flags);
	memcpy(&mac, path.mac, sizeof(path.mac));
	return EK_NEXTHOP(mac, path.port, flags | EK_NEXTHOP_RESOLVED);
}

static bool is_local(const struct ek_controller *c, const struct ek_service_runtime *s,
		     const struct ek_member *m)
{
	struct ek_path path;

	ek_reach_judge(c, s, m, &path);
	return path.local;
}

static void free_intent(struct ek_intent *intent)
{
	for (size_t i = 0; i < intent->n_services; i++)
		free(intent->services[i].backends);
	free(intent->services);
}

static time_t monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static bool has_warmed_up(const struct ek_service_runtime *s)
{
	const struct ek_config_check *check = &s->config->check;

	if (monotonic() - s->born > (time_t)(check->interval + check->timeout) / 1000 + 1)
		return true;
	for (size_t i = 0; i < s->n_members; i++)
		if (ek_check_status(s->members[i].backend->check)->state == EK_HEALTH_UNKNOWN)
			return false;
	return true;
}

static void warm_up(struct ek_world *world)
{
	for (size_t i = 0; i < world->n_services; i++) {
		struct ek_service_runtime *s = &world->services[i];

		if (!s->born)
			s->born = monotonic();
		s->warm = s->warm || has_warmed_up(s);
	}
}

/* A preview takes a backend that was never checked for healthy. */
static bool presumed_up(const struct ek_member *m)
{
	return m->config && ek_check_status(m->backend->check)->state == EK_HEALTH_UNKNOWN;
}

static int make_service_intent(const struct ek_controller *c, const struct ek_service_runtime *s,
			       bool preview, struct ek_intent_service *out)
{
	out->config = s->config;
	out->follow = c->ha && !ek_ha_owns(c->ha, s->config);
	out->backends = calloc(s->n_members ? s->n_members : 1, sizeof(*out->backends));
	if (!out->backends)
		return -ENOMEM;
	out->n_backends = s->n_members;
	for (size_t i = 0; i < s->n_members; i++) {
		const struct ek_member *m = &s->members[i];
		struct ek_intent_backend *b = &out->backends[i];

		b->address = m->backend->address;
		b->nexthop = ek_controller_nexthop(c, s, m, &b->mtu, NULL, 0);
		b->local = is_local(c, s, m);
		b->retired = !m->config;
		if (preview ? ek_controller_eligible(c, s, m) || presumed_up(m)
			    : s->warm && ek_controller_eligible(c, s, m))
			b->weight = ek_controller_weight(c, s, m);
	}
	return 0;
}

static int make_intent(const struct ek_controller *c, const struct ek_world *world, bool preview,
		       struct ek_intent *intent)
{
	intent->services =
		calloc(world->n_services ? world->n_services : 1, sizeof(*intent->services));
	if (!intent->services)
		return -ENOMEM;
	for (size_t i = 0; i < world->n_services; i++) {
		int err =
			make_service_intent(c, &world->services[i], preview, &intent->services[i]);

		if (err)
			return err;
		intent->n_services++;
	}
	return 0;
}

static void take_numbers(struct ek_world *world, const struct ek_intent *intent)
{
	for (size_t i = 0; i < intent->n_services; i++) {
		struct ek_service_runtime *s = &world->services[i];

		s->id = intent->services[i].id;
		for (size_t j = 0; j < s->n_members; j++)
			s->members[j].backend->index = intent->services[i].backends[j].index;
	}
}

static void restart_passes(struct ek_world *world)
{
	for (size_t i = 0; i < world->n_services; i++)
		for (size_t j = 0; j < world->services[i].n_members; j++)
			world->services[i].members[j].backend->passes_since_change = 0;
}

/* Makes the data plane what `world` asks for. */
static int apply_world(struct ek_controller *c, struct ek_world *world, struct ek_error *error)
{
	struct ek_intent intent = {0};
	struct ek_plan plan = {0};
	int err;

	warm_up(world);
	err = make_intent(c, world, false, &intent);

	if (err)
		ek_error_set(error, "out of memory");
	else
		err = ek_plan_make(&c->state, &intent, &plan, error);
	if (!err) {
		if (c->ha)
			ek_ha_gate(c->ha, &plan);
		err = ek_datapath_apply(c->datapath, &plan, error);
		if (plan.n)
			restart_passes(world);
		ek_plan_commit(&c->state, &plan);
		take_numbers(world, &intent);
		ek_reach_report(c, world);
		if (c->ha)
			ek_ha_applied(c->ha);
	}
	ek_plan_free(&plan);
	free_intent(&intent);
	return err;
}

int ek_controller_apply(struct ek_controller *c, struct ek_error *error)
{
	return apply_world(c, &c->world, error);
}

static void apply_now(evutil_socket_t fd, short what, void *arg)
{
	struct ek_controller *c = arg;
	struct ek_error error = {0};

	(void)fd;
	(void)what;
	if (c->left || !apply_world(c, &c->world, &error))
		return;
	ek_err("%s; trying again", error.text);
	evtimer_add(c->apply_soon, &one_second);
}

/* Several changes of one moment become one plan. */
void ek_controller_apply_soon(struct ek_controller *c)
{
	event_active(c->apply_soon, EV_TIMEOUT, 0);
}

void ek_controller_rebuild(struct ek_controller *c)
{
	for (size_t id = 0; id < EK_SERVICES_MAX; id++)
		c->state.services[id].built = false;
	ek_controller_apply_soon(c);
}

/* --- events ---------------------------------------------------------------------------------- */

static void health_changed(struct ek_check *check, void *arg)
{
	const struct ek_backend_runtime *b = ek_check_owner(check);
	const struct ek_check_status *status = ek_check_status(check);
	char address[EK_IP_TEXT];

	ek_notice("service %s: backend %s (%s) is %s: %s", b->service, b->name,
		  ek_ip_format(&b->address, address), ek_health_state_name(status->state),
		  status->why);
	ek_controller_apply_soon(arg);
}

static void announce(struct ek_controller *c)
{
	if (ek_gateway_refresh(c->gateway, c->config, c->ports, c->netlink))
		ek_err("out of memory: what is announced stays as it was");
}

static void network_changed(void *arg)
{
	struct ek_controller *c = arg;

	ek_ports_refresh(c->ports);
	announce(c);
	if (c->ha)
		ek_ha_recheck(c->ha);
	ek_controller_apply_soon(c);
}

static double seconds_between(const struct timespec *a, const struct timespec *b)
{
	return (b->tv_sec - a->tv_sec) + (b->tv_nsec - a->tv_nsec) / 1e9;
}

static void sample_backend(struct ek_controller *c, struct ek_backend_runtime *b, double elapsed)
{
	struct ek_counters now = ek_datapath_backend_counters(c->datapath, b->index);

	if (now.packets >= b->last.packets) {
		b->packets_per_second = (now.packets - b->last.packets) / elapsed;
		b->bytes_per_second = (now.bytes - b->last.bytes) / elapsed;
	}
	b->last = now;
}

static void sample_counters(uint64_t *last, double *rate, const uint64_t *now, size_t n,
			    double elapsed)
{
	for (size_t i = 0; i < n; i++) {
		rate[i] = (now[i] - last[i]) / elapsed;
		last[i] = now[i];
	}
}

static void sample_rates(struct ek_controller *c)
{
	uint64_t drops[EK_DROP_COUNT], answers[EK_ANSWER_COUNT];
	struct timespec now;
	double elapsed;

	clock_gettime(CLOCK_MONOTONIC, &now);
	elapsed = seconds_between(&c->sampled, &now);
	if (elapsed <= 0)
		return;
	c->sampled = now;
	for (size_t i = 0; i < c->world.n_services; i++)
		for (size_t j = 0; j < c->world.services[i].n_members; j++)
			if (c->world.services[i].members[j].backend->index)
				sample_backend(c, c->world.services[i].members[j].backend, elapsed);
	if (!ek_datapath_drops(c->datapath, drops))
		sample_counters(c->drops, c->drops_per_second, drops, EK_DROP_COUNT, elapsed);
	if (!ek_datapath_answers(c->datapath, answers))
		sample_counters(c->answers, c->answers_per_second, answers, EK_ANSWER_COUNT,
				elapsed);
}

static void every_second(evutil_socket_t fd, short what, void *arg)
{
	struct ek_controller *c = arg;

	(void)fd;
	(void)what;
	sample_rates(c);
	if (ek_ports_verify(c->ports))
		network_changed(c);
	for (size_t i = 0; i < c->world.n_services; i++)
		if (!c->world.services[i].warm)
			ek_controller_apply_soon(c);
}

/* --- the sweep ------------------------------------------------------------------------------- */

/* Small steps, so that nothing waits; a rest after each pass, so that an idle node idles. */
#define SWEEP_BUCKETS 1024
static const struct timeval sweep_step = {.tv_usec = 10000};
static const struct timeval sweep_rest = {.tv_usec = 300000};

static void check_quota(struct ek_controller *c, const struct ek_service_runtime *s)
{
	const struct ek_sweep *sweep = ek_datapath_swept(c->datapath);
	uint32_t entries = sweep->results[s->id].entries;
	uint64_t quota = (uint64_t)c->config->limits.flows * c->config->limits.flow_quota / 100;
	bool was = sweep->services[s->id].over_quota;
	bool over = c->config->limits.flow_quota < 100 &&
		    (was ? entries * 100ull >= quota * 95 : entries >= quota);

	if (over == was)
		return;
	ek_warn("service %s: %s its share of the connection table (%u of %llu entries)",
		s->config->name, over ? "holds" : "is below", entries, (unsigned long long)quota);
	ek_datapath_limit_service(c->datapath, s->id, over);
}

static void check_memory(struct ek_controller *c)
{
	const struct ek_sweep *sweep = ek_datapath_swept(c->datapath);
	bool alarm = false;

	for (size_t i = 0; i < c->world.n_services; i++) {
		const struct ek_service_runtime *s = &c->world.services[i];
		uint32_t remembering = sweep->results[s->id].remembering;

		if (remembering * 100ull <= (uint64_t)EK_RING_SIZE * c->config->limits.remember_max)
			continue;
		alarm = true;
		if (!c->alarmed)
			ek_warn("service %s: %u of %u slots remember an older backend: each of "
				"their "
				"packets costs a look at the connection table",
				s->config->name, remembering, EK_RING_SIZE);
	}
	c->alarmed = alarm;
}

static void finish_pass(struct ek_controller *c)
{
	for (size_t i = 0; i < c->world.n_services; i++) {
		struct ek_service_runtime *s = &c->world.services[i];

		for (size_t j = 0; j < s->n_members; j++)
			s->members[j].backend->passes_since_change++;
		check_quota(c, s);
	}
	check_memory(c);
	if (ek_world_forget(&c->world, c))
		ek_controller_apply_soon(c);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct ek_controller *c = arg;
	bool finished = ek_datapath_sweep(c->datapath, SWEEP_BUCKETS);

	(void)fd;
	(void)what;
	if (finished)
		finish_pass(c);
	evtimer_add(c->sweep, finished ? &sweep_rest : &sweep_step);
}

/* --- start, reload, stop --------------------------------------------------------------------- */

/* Rates begin at nothing, not at everything counted so far. */
static void begin_rates(struct ek_controller *c)
{
	clock_gettime(CLOCK_MONOTONIC, &c->sampled);
	ek_datapath_drops(c->datapath, c->drops);
	ek_datapath_answers(c->datapath, c->answers);
	for (size_t i = 0; i < c->world.n_services; i++)
		for (size_t j = 0; j < c->world.services[i].n_members; j++) {
			struct ek_backend_runtime *b = c->world.services[i].members[j].backend;

			b->last = ek_datapath_backend_counters(c->datapath, b->index);
		}
}

const char *ek_controller_state_dir(const struct ek_controller *c)
{
	return c->options.state_dir	 ? c->options.state_dir
	       : c->config->state_dir[0] ? c->config->state_dir
					 : STATE_DIR;
}

static int load_key(const struct ek_controller *c, const struct ek_config *config,
		    struct ek_hash_key *key, struct ek_error *error)
{
	return config->hash_key[0] ? ek_hashkey_read(config->hash_key, key, error)
				   : ek_hashkey_load(ek_controller_state_dir(c), key, error);
}

static int open_data_plane(struct ek_controller *c, struct ek_error *error)
{
	struct ek_hash_key key;
	struct ek_datapath_options options = {.pin_dir = c->options.pin_dir,
					      .backends_limit = c->config->limits.backends,
					      .flows_limit = c->config->limits.flows,
					      .key = &key};
	int err = load_key(c, c->config, &key, error);

	if (!err)
		err = ek_overrides_load(&c->overrides, ek_controller_state_dir(c), error);
	if (!err)
		err = ek_datapath_open(&c->datapath, &options, error);
	explicit_bzero(&key, sizeof(key));
	if (!err)
		err = ek_state_init(&c->state, c->config->limits.backends);
	if (!err) {
		c->state.clock = ek_datapath_clock(c->datapath);
		ek_datapath_set_rates(c->datapath, &c->config->icmp);
	}
	if (!err && ek_datapath_adopted(c->datapath)) {
		ek_datapath_keep_ports(c->datapath, c->config);
		err = ek_datapath_snapshot(c->datapath, &c->state, error);
		ek_notice("adopted the running data plane under %s", c->options.pin_dir);
	}
	return err;
}

static int open_parts(struct ek_controller *c, struct ek_error *error)
{
	c->netlink = ek_netlink_new(c->base, network_changed, c);
	c->health = ek_health_new(c->base, health_changed, c);
	c->apply_soon = event_new(c->base, -1, 0, apply_now, c);
	c->second = event_new(c->base, -1, EV_PERSIST, every_second, c);
	c->sweep = evtimer_new(c->base, on_sweep, c);
	if (!c->netlink || !c->health || !c->apply_soon || !c->second || !c->sweep) {
		ek_error_set(error, "cannot start: %s", strerror(errno));
		return -ENOMEM;
	}
	c->ports = ek_ports_new(c->datapath, c->netlink);
	return c->ports ? 0 : -ENOMEM;
}

/* Interfaces that do not exist are an error before anything is attached or pinned. */
static int check_interfaces(const struct ek_config *config, struct ek_error *error)
{
	for (size_t i = 0; i < config->n_interfaces; i++) {
		const struct ek_config_interface *interface = &config->interfaces[i];

		if (if_nametoindex(interface->name))
			continue;
		ek_error_set(error, "there is no such interface; see 'ip link'");
		snprintf(error->key, sizeof(error->key), "%s", interface->name);
		error->line = interface->line;
		return -ENODEV;
	}
	return 0;
}

static int serve(struct ek_controller *c, struct ek_error *error)
{
	size_t n;
	const struct ek_control_command *commands = ek_status_commands(&n);

	c->control = ek_control_open(c->base, c->options.socket_path, commands, n, c, error);
	return c->control ? 0 : -EADDRINUSE;
}

int ek_controller_start(struct ek_controller *c, struct event_base *base,
			const struct ek_controller_options *options, struct ek_config *config,
			struct ek_error *error)
{
	int err;

	*c = (struct ek_controller){.options = *options, .base = base, .config = config};
	config = ek_reload_first(c);
	c->started = c->loaded = c->reload.at = time(NULL);
	c->reload.ok = true;
	err = check_interfaces(config, error);
	if (!err) /* first, since it finds out whether another controller runs */
		err = serve(c, error);
	if (!err)
		err = open_data_plane(c, error);
	if (!err)
		err = open_parts(c, error);
	if (!err)
		err = ek_world_build(&c->world, NULL, c->config, c, error);
	if (!err) {
		/* Port numbers are part of next hops: attached first, planned next. An adopted
		 * data plane forwards all the while; a new one has no service yet. */
		err = ek_ports_configure(c->ports, c->config, error);
	}
	if (!err) { /* also ends a trace that a killed controller left */
		c->tracer = ek_tracer_new(c);
		err = c->tracer ? 0 : -ENOMEM;
	}
	if (!err) {
		c->gateway = ek_gateway_new(c->base, c->datapath);
		c->paths = ek_path_learn_new(c);
		err = c->gateway && c->paths ? 0 : -ENOMEM;
	}
	if (!err) /* before there are instances: their leases may have been a gateway's */
		announce(c);
	/* Before the first plan: a node of several follows until it knows better. */
	if (!err && config->ha.enabled) {
		c->ha = ek_ha_new(c, error);
		err = c->ha ? 0 : -EIO;
	}
	if (!err)
		err = apply_world(c, &c->world, error);
	if (err)
		return err;
	begin_rates(c);
	evtimer_add(c->second, &one_second);
	evtimer_add(c->sweep, &sweep_step);
	return 0;
}

bool ek_controller_leave(struct ek_controller *c)
{
	if (!c->ha)
		return false;
	ek_ha_free(c->ha, false);
	c->ha = NULL;
	c->left = true;
	return true;
}

void ek_controller_stop(struct ek_controller *c, bool detach)
{
	struct ek_error error = {0};

	ek_ha_free(c->ha, !detach);
	c->ha = NULL;
	ek_tracer_free(c->tracer);
	c->tracer = NULL;
	ek_gateway_free(c->gateway, detach);
	ek_path_learn_free(c->paths);
	c->paths = NULL;
	if (c->health)
		ek_world_free(&c->world, c);
	if (c->health)
		ek_health_free(c->health);
	ek_ports_free(c->ports);
	if (c->netlink)
		ek_netlink_free(c->netlink);
	if (c->apply_soon)
		event_free(c->apply_soon);
	if (c->second)
		event_free(c->second);
	if (c->sweep)
		event_free(c->sweep);
	ek_overrides_free(&c->overrides);
	if (c->datapath) {
		ek_datapath_close(c->datapath);
		if (detach && ek_datapath_remove(c->options.pin_dir, &error))
			ek_err("%s", error.text);
	}
	if (c->state.backends)
		ek_state_free(&c->state);
	if (c->control) /* last: whoever gets its lock may adopt what is left */
		ek_control_close(c->control);
	ek_config_free(c->config);
	free(c->text);
	memset(c, 0, sizeof(*c));
}

void ek_controller_preview_end(struct ek_controller *c, struct ek_world *world,
			       struct ek_intent *intent, struct ek_plan *plan)
{
	ek_plan_free(plan);
	free_intent(intent);
	ek_world_abandon(world, &c->world, c);
}

int ek_controller_preview(struct ek_controller *c, const struct ek_config *config,
			  struct ek_world *world, struct ek_intent *intent, struct ek_plan *plan,
			  struct ek_error *error)
{
	int err = ek_world_build(world, &c->world, config, c, error);

	if (err)
		return err;
	err = make_intent(c, world, true, intent);
	if (!err)
		err = ek_plan_make(&c->state, intent, plan, error);
	if (err)
		ek_controller_preview_end(c, world, intent, plan);
	return err;
}

static int swap_in(struct ek_controller *c, struct ek_config *next, char *text,
		   struct ek_error *error)
{
	struct ek_world world = {0};
	int err = ek_world_build(&world, &c->world, next, c, error);

	if (!err)
		err = apply_world(c, &world, error);
	if (err) {
		ek_world_abandon(&world, &c->world, c);
		ek_controller_apply_soon(c); /* what was half done is undone */
		return err;
	}
	ek_world_replace(&c->world, &world, c);
	ek_datapath_set_rates(c->datapath, &next->icmp);
	ek_config_free(c->config);
	free(c->text);
	c->config = next;
	c->text = text;
	c->loaded = time(NULL);
	if (ek_ports_configure(c->ports, next, error))
		ek_err("%s", error->text);
	announce(c);
	if (c->ha && ek_ha_reconfigure(c->ha, error))
		ek_err("%s", error->text);
	ek_controller_apply_soon(c);
	return 0;
}

static int load_and_swap(struct ek_controller *c, const char *services, struct ek_error *error)
{
	char *text = NULL;
	struct ek_config *next = ek_reload_read(c, services, &text, error);
	int err = next ? check_interfaces(next, error) : -EINVAL;

	if (!err)
		err = swap_in(c, next, text, error);
	if (err) {
		ek_config_free(next);
		free(text);
	}
	return err;
}

int ek_controller_load_services(struct ek_controller *c, const char *services,
				struct ek_error *error)
{
	return load_and_swap(c, services, error);
}

/* One more than there are rows for would make every later plan fail. */
static bool has_row_for(const struct ek_controller *c, const struct ek_service_runtime *s,
			const struct ek_ip *address)
{
	uint32_t left = c->state.limit / 8 + 1; /* kept for backends of the file */

	for (size_t i = 0; i < s->n_members; i++)
		if (ek_ip_equal(&s->members[i].backend->address, address))
			return true;
	for (uint32_t i = 1; i < c->state.limit && left; i++)
		left -= !c->state.backends[i].used;
	return !left;
}

uint16_t ek_controller_adopt(struct ek_controller *c, uint16_t service, const struct ek_ip *address)
{
	struct ek_error error = {0};

	for (size_t i = 0; i < c->world.n_services; i++) {
		struct ek_service_runtime *s = &c->world.services[i];
		struct ek_member *m;

		if (s->id != service || !has_row_for(c, s, address))
			continue;
		m = ek_world_adopt(s, address, c);
		if (!m)
			continue;
		if (!m->backend->index && ek_controller_apply(c, &error))
			ek_err("%s", error.text);
		return m->backend->index;
	}
	return EK_BACKEND_NONE;
}

int ek_controller_reload(struct ek_controller *c, struct ek_error *error)
{
	int err;

	if (c->left) {
		ek_error_set(error, "this node is stopping");
		return -ESHUTDOWN;
	}
	c->reload = (struct ek_reload_report){.at = time(NULL)};
	err = load_and_swap(c, c->ha ? ek_ha_services(c->ha) : NULL, error);
	if (err) {
		c->reload.error = *error;
		ek_err("reload refused, nothing changed: %s", error->text);
		return err;
	}
	c->reload.ok = true;
	ek_notice("reloaded %s", c->options.config_path);
	return 0;
}
