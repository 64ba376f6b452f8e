/* SPDX-License-Identifier: GPL-2.0-only */
/* See ha.h: this node as a whole. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include "ha_private.h"
#include "ip.h"
#include "log.h"

static const struct timeval pump_interval = {.tv_usec = 4000};
static const struct timeval greet_interval = {.tv_sec = 1};

/* For backends that the primary reaches and this node does not. */
#define PATIENCE_MS 30000u

uint64_t ek_ha_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ull + now.tv_nsec / 1000;
}

const char *ek_ha_state_dir(const struct ek_ha *ha)
{
	return ek_controller_state_dir(ha->c);
}

/* --- health ---------------------------------------------------------------------------------- */

static bool has_instance(const struct ek_ha *ha, const char *interface)
{
	for (size_t i = 0; i < ha->config->n_instances; i++)
		if (!strcmp(ha->config->instances[i].interface, interface))
			return true;
	return !ha->config->n_instances;
}

/* The first interface on which VIPs are served and the program is not attached, or NULL. */
static const struct ek_port_status *detached(const struct ek_ha *ha)
{
	for (size_t i = 0; i < ek_ports_count(ha->c->ports); i++) {
		const struct ek_port_status *port = ek_ports_at(ha->c->ports, i);

		if (port->number < 0 && has_instance(ha, port->name))
			return port;
	}
	return NULL;
}

/* After a reload a script that had failed has not been run yet: that is no recovery. */
static bool tracks_are_known(const struct ek_ha *ha)
{
	for (size_t i = 0; i < ek_tracker_count(ha->tracker); i++)
		if (!ek_tracker_at(ha->tracker, i)->known)
			return false;
	return true;
}

static void judge_health(struct ek_ha *ha)
{
	const struct ek_port_status *port = detached(ha);

	if (ha->health == EK_NODE_PARTIAL_FAIL && !port && !tracks_are_known(ha))
		return;
	ha->health = EK_NODE_UP;
	snprintf(ha->why, sizeof(ha->why), "all is well");
	for (size_t i = 0; i < ek_tracker_count(ha->tracker); i++) {
		const struct ek_track_status *t = ek_tracker_at(ha->tracker, i);

		if (!t->failed)
			continue;
		ha->health = EK_NODE_PARTIAL_FAIL;
		snprintf(ha->why, sizeof(ha->why), "%s: %s", t->config->name, t->why);
		break;
	}
	if (!port)
		return;
	ha->health = EK_NODE_COMPLETE_FAIL;
	snprintf(ha->why, sizeof(ha->why), "%s: the XDP program is not attached", port->name);
}

/* --- what may be claimed --------------------------------------------------------------------- */

static bool hears_peer(const struct ek_ha *ha, size_t instance)
{
	return ek_vrrp_fsm_hears_master(&ha->instances[instance].fsm, ek_ha_now_ms());
}

/* The connected peer that is primary of the instance, or NULL. */
static const struct ek_ha_peer *primary_peer(const struct ek_ha *ha, size_t instance)
{
	for (size_t p = 0; p < ha->n_peers; p++)
		if (ha->peers[p].connected &&
		    ha->peers[p].primary[ha->instances[instance].config->vrid])
			return &ha->peers[p];
	return NULL;
}

/* Has every backend been checked? Those that were not would be sent nothing. */
static bool knows_backends(const struct ek_ha *ha)
{
	for (size_t i = 0; i < ha->c->world.n_services; i++)
		if (!ha->c->world.services[i].warm)
			return false;
	return true;
}

/* How long a check takes that began without us, and then `rise` of them that succeed. */
static unsigned int rise_ms(const struct ek_config_check *check)
{
	return (check->rise + 1) * check->interval * 11 / 10 + check->timeout;
}

/* Is there nothing to be hoped from waiting for this backend? */
static bool is_settled(const struct ek_ha *ha, const struct ek_service_runtime *s,
		       const struct ek_member *m, uint64_t elapsed_ms)
{
	uint64_t nexthop = ek_controller_nexthop(ha->c, s, m, NULL, NULL, 0);
	bool used = !ek_datapath_swept(ha->c->datapath)->passes ||
		    ek_controller_swept(ha->c, m)->slots > 0;

	if (elapsed_ms <= s->config->check.timeout)
		return false;
	return (EK_NEXTHOP_FLAGS(nexthop) & EK_NEXTHOP_USABLE) == EK_NEXTHOP_USABLE ||
	       elapsed_ms > (used ? PATIENCE_MS : rise_ms(&s->config->check));
}

/*
 * Who was cut off knows of its backends only that it could not reach them. Before it claims again
 * it waits for those that the primary uses, since it reaches them; the others are not waited for
 * longer than checks take.
 */
static bool has_settled(const struct ek_ha *ha)
{
	const struct ek_world *world = &ha->c->world;
	uint64_t elapsed = ek_ha_now_ms() - ha->cut_ms;

	for (size_t i = 0; i < world->n_services && elapsed <= PATIENCE_MS; i++)
		for (size_t j = 0; j < world->services[i].n_members; j++)
			if (!is_settled(ha, &world->services[i], &world->services[i].members[j],
					elapsed))
				return false;
	return true;
}

/* Nobody whose connections we should know first, or we know them. */
static bool in_sync(const struct ek_ha *ha, size_t instance)
{
	const struct ek_ha_peer *primary = primary_peer(ha, instance);

	if (!knows_backends(ha) || !has_settled(ha))
		return false;
	if (primary)
		return ek_mirror_synced(ha->mirror, primary - ha->peers) &&
		       !strcmp(primary->digest, ha->digest);
	if (!ha->channel || !hears_peer(ha, instance))
		return true;
	/* Somebody is master: one that has no channel to us has nothing for us either. */
	for (size_t p = 0; p < ha->n_peers; p++)
		if (ha->peers[p].config->channel)
			return false;
	return true;
}

bool ek_ha_peer_is_well(const struct ek_ha_peer *peer)
{
	return peer->connected && peer->greeted && peer->health == EK_NODE_UP && !peer->disabled &&
	       peer->stay != EK_STAY_SECONDARY;
}

struct ek_ha_view ek_ha_view(const struct ek_ha *ha, size_t instance)
{
	struct ek_ha_view view = {
		.health = ha->health,
		.disabled = ha->disabled,
		.stay = ha->stay,
		.primary = ek_ha_is_primary(ha, instance),
		.fail_safe = ha->config->fail_safe,
		.flips_exhausted =
			ek_flips_exhausted(&ha->instances[instance].flips, ha->config->max_flips,
					   ha->config->flip_window, ek_ha_now_ms()),
		.yielded = ha->yielded,
		.has_peers = ha->n_peers > 0,
		.synced = in_sync(ha, instance),
	};
	bool greeted = false;

	for (size_t p = 0; p < ha->n_peers; p++) {
		view.peer_connected |= ha->peers[p].connected;
		view.peer_healthy |= ek_ha_peer_is_well(&ha->peers[p]);
		greeted |= ha->peers[p].connected && ha->peers[p].greeted;
	}
	if (hears_peer(ha, instance)) {
		view.peer_connected = true;
		view.peer_healthy |= !greeted; /* all that we know of it is that it is master */
	}
	return view;
}

/*
 * Without the interface nobody is served, and what others do meanwhile is not heard: who comes back
 * must not go on as the master that it was.
 */
static bool interface_is_down(const struct ek_ha *ha, size_t instance)
{
	const struct ek_link *link =
		ek_netlink_link(ha->c->netlink, ha->instances[instance].config->interface);

	return !link || !link->up;
}

static void note_cut(struct ek_ha *ha)
{
	bool cut = ha->health != EK_NODE_UP;

	for (size_t i = 0; i < ha->n_instances; i++)
		cut |= interface_is_down(ha, i);
	if (cut || ha->cut)
		ha->cut_ms = ek_ha_now_ms();
	ha->cut = cut;
}

void ek_ha_evaluate(struct ek_ha *ha)
{
	judge_health(ha);
	note_cut(ha);
	for (size_t i = 0; i < ha->n_instances; i++) {
		struct ek_ha_view view = ek_ha_view(ha, i);
		struct ek_ha_verdict verdict = ek_ha_policy(&view);

		if (interface_is_down(ha, i))
			verdict = (struct ek_ha_verdict){EK_VRRP_NEVER, "its interface is down"};
		/* It stays so, but does not come to be it before it can continue connections. */
		if (verdict.permit == EK_VRRP_ALWAYS && !view.primary && !view.synced)
			verdict = (struct ek_ha_verdict){EK_VRRP_IF_SILENT,
							 "stay-primary: waits for its bulk sync"};
		if (ha->yielded && (!view.peer_connected || !view.peer_healthy))
			ha->yielded = false;
		ek_ha_instance_permit(&ha->instances[i], verdict.permit, verdict.why);
	}
}

bool ek_ha_is_primary(const struct ek_ha *ha, size_t instance)
{
	return ha->instances[instance].fsm.state == EK_VRRP_MASTER;
}

static void evaluate_soon(struct ek_ha *ha)
{
	event_active(ha->recheck, EV_TIMEOUT, 0);
}

static void on_recheck(evutil_socket_t fd, short what, void *arg)
{
	struct ek_ha *ha = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < ha->n_instances; i++)
		ek_ha_instance_reopen(&ha->instances[i]);
	ek_ha_evaluate(ha);
	ek_ha_say_status(ha);
}

void ek_ha_recheck(struct ek_ha *ha)
{
	evaluate_soon(ha);
}

static void tracks_changed(void *arg)
{
	struct ek_ha *ha = arg;
	enum ek_node_health before = ha->health;

	ek_ha_evaluate(ha);
	if (ha->health != before)
		ek_notice("node health: %s: %s", ek_node_health_name(ha->health), ha->why);
	ek_ha_say_status(ha);
}

/* --- rings ----------------------------------------------------------------------------------- */

static bool has_vip(const struct ek_config_service *service, const struct ek_ip *vip)
{
	for (size_t i = 0; i < service->n_addresses; i++) {
		const struct ek_ip network = ek_ip_mask(vip, service->addresses[i].length);

		if (ek_ip_equal(&network, &service->addresses[i].address))
			return true;
	}
	return false;
}

/* The one that announces an address of the service. */
static const struct ek_ha_instance *instance_of(const struct ek_ha *ha,
						const struct ek_config_service *service)
{
	for (size_t i = 0; i < ha->n_instances; i++)
		for (size_t v = 0; v < ha->instances[i].config->n_vips; v++)
			if (has_vip(service, &ha->instances[i].config->vips[v]))
				return &ha->instances[i];
	return ha->n_instances ? &ha->instances[0] : NULL;
}

/* Where there is no election, the connected node whose name sorts first. */
static bool sorts_first(const struct ek_ha *ha)
{
	for (size_t p = 0; p < ha->n_peers; p++)
		if (ha->peers[p].connected &&
		    strcmp(ha->peers[p].config->name, ha->c->config->node) < 0)
			return false;
	return true;
}

bool ek_ha_owns(const struct ek_ha *ha, const struct ek_config_service *service)
{
	const struct ek_ha_instance *i = instance_of(ha, service);

	return i ? i->fsm.state == EK_VRRP_MASTER : sorts_first(ha);
}

/*
 * Whose rings are whose has changed: rings that were followed are continued; who was primary asks
 * for all that has happened without it.
 */
void ek_ha_roles_changed(struct ek_ha *ha, bool yielded)
{
	for (size_t p = 0; yielded && p < ha->n_peers; p++)
		if (ha->peers[p].connected)
			ek_mirror_want(ha->mirror, p);
	ek_controller_rebuild(ha->c);
	evaluate_soon(ha);
}

void ek_ha_applied(struct ek_ha *ha)
{
	const struct ek_world *world = &ha->c->world;

	if (!ha->mirror)
		return;
	for (size_t i = 0; i < world->n_services; i++) {
		const struct ek_service_runtime *s = &world->services[i];

		ek_mirror_service(ha->mirror, s->id, ek_ha_owns(ha, s->config),
				  s->config->failover == EK_FAILOVER_STATEFUL);
	}
	ek_mirror_applied(ha->mirror, !ha->waiting);
}

static void wait_for_peers(struct ek_ha *ha, unsigned int ms)
{
	const struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	ha->waiting = true;
	if (!evtimer_pending(ha->release, NULL))
		evtimer_add(ha->release, &wait);
}

static bool has_loss(const struct ek_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		if (plan->ops[i].loss)
			return true;
	return false;
}

/*
 * A change that nobody is hurt by (a weight, a new backend) waits until the peers have it, or are
 * gone. A failure waits no longer than ack-timeout, and not at all for a peer that is silent.
 */
void ek_ha_gate(struct ek_ha *ha, struct ek_plan *plan)
{
	uint64_t number, silence_ms;
	bool late;

	ha->waiting = false;
	if (!has_loss(plan))
		ha->loss_ms = 0;
	else if (!ha->loss_ms)
		ha->loss_ms = ek_ha_now_ms();
	if (!ha->mirror || !ek_plan_changes_rings(plan))
		return;
	number = ek_mirror_announce(ha->mirror, plan);
	if (ek_mirror_acked(ha->mirror, number))
		return;
	silence_ms = ek_mirror_silence_us(ha->mirror) / 1000;
	/* While other rings change there is always something that was not acknowledged yet. */
	if (ha->loss_ms && ek_ha_now_ms() - ha->loss_ms > silence_ms)
		silence_ms = ek_ha_now_ms() - ha->loss_ms;
	late = silence_ms >= ha->config->ack_timeout;
	if (late && ha->loss_ms) {
		ha->unmirrored++;
		ha->unmirrored_us = ek_ha_now_us();
		return;
	}
	ek_plan_defer_rings(plan);
	wait_for_peers(ha, late ? ha->config->ack_timeout : ha->config->ack_timeout - silence_ms);
}

static void on_release(evutil_socket_t fd, short what, void *arg)
{
	struct ek_ha *ha = arg;

	(void)fd;
	(void)what;
	if (ha->waiting)
		ek_controller_apply_soon(ha->c);
}

/* --- life ------------------------------------------------------------------------------------ */

void ek_ha_pulse(void *arg)
{
	struct ek_ha *ha = arg;

	/* A backup has not read what its sockets hold: whether the master lives it learns later. */
	for (size_t i = 0; i < ha->n_instances; i++)
		if (ek_ha_is_primary(ha, i) &&
		    ek_vrrp_fsm_due(&ha->instances[i].fsm) <= ek_ha_now_ms())
			ek_ha_instance_run(&ha->instances[i]);
}

static void on_pump(evutil_socket_t fd, short what, void *arg)
{
	struct ek_ha *ha = arg;

	(void)fd;
	(void)what;
	if (ha->mirror && ek_mirror_has_peers(ha->mirror))
		ek_mirror_pump(ha->mirror);
}

static void on_greet(evutil_socket_t fd, short what, void *arg)
{
	ek_ha_ask_again(arg);
	on_recheck(fd, what, arg);
}

static int start_instances(struct ek_ha *ha, struct ek_error *error)
{
	int err = 0;

	for (size_t i = 0; i < ha->config->n_instances && !err; i++) {
		err = ek_ha_instance_start(ha, &ha->instances[i], &ha->config->instances[i], error);
		ha->n_instances += !err;
	}
	return err;
}

static int start(struct ek_ha *ha, struct ek_error *error)
{
	struct event_base *base = ha->c->base;

	ha->pump = event_new(base, -1, EV_PERSIST, on_pump, ha);
	ha->greet = event_new(base, -1, EV_PERSIST, on_greet, ha);
	ha->release = evtimer_new(base, on_release, ha);
	ha->recheck = event_new(base, -1, 0, on_recheck, ha);
	ha->tracker = ek_tracker_new(base, ha->config->tracks, ha->config->n_tracks, tracks_changed,
				     ha, error);
	if (!ha->pump || !ha->greet || !ha->release || !ha->recheck) {
		ek_error_set(error, "out of memory");
		return -ENOMEM;
	}
	if (!ha->tracker)
		return -EIO;
	ek_announce_routes_flush(NULL, 0);
	judge_health(ha);
	return start_instances(ha, error) ?: ek_ha_peers_start(ha, error);
}

struct ek_ha *ek_ha_new(struct ek_controller *c, struct ek_error *error)
{
	struct ek_ha *ha = calloc(1, sizeof(*ha));

	if (!ha)
		return NULL;
	ha->c = c;
	ha->config = &c->config->ha;
	ha->cut_ms = ek_ha_now_ms();
	ek_ha_state_load(ha);
	if (start(ha, error)) {
		ek_ha_free(ha, false);
		return NULL;
	}
	/* Heartbeats should not wait for others' work. Not allowed is not fatal. */
	if (setpriority(PRIO_PROCESS, 0, -20))
		ek_info("cannot raise the scheduling priority: %s", strerror(errno));
	ek_datapath_on_pulse(c->datapath, ek_ha_pulse, ha);
	event_add(ha->pump, &pump_interval);
	event_add(ha->greet, &greet_interval);
	ek_ha_evaluate(ha);
	return ha;
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

void ek_ha_free(struct ek_ha *ha, bool leave)
{
	if (!ha)
		return;
	ek_datapath_on_pulse(ha->c->datapath, NULL, NULL);
	for (size_t i = 0; i < ha->n_instances; i++)
		ek_ha_instance_stop(&ha->instances[i], leave);
	if (!leave)
		ek_announce_routes_flush(NULL, 0);
	ek_ha_peers_stop(ha);
	ek_tracker_free(ha->tracker);
	free_event(ha->pump);
	free_event(ha->greet);
	free_event(ha->release);
	free_event(ha->recheck);
	free(ha->services);
	free(ha);
}

/* --- reload ---------------------------------------------------------------------------------- */

static bool same_instances(const struct ek_config_ha *a, const struct ek_config_ha *b)
{
	if (a->n_instances != b->n_instances)
		return false;
	for (size_t i = 0; i < a->n_instances; i++) {
		struct ek_config_instance x = a->instances[i], y = b->instances[i];

		x.priority = y.priority;
		x.interval = y.interval;
		x.preempt = y.preempt;
		x.preempt_delay = y.preempt_delay;
		x.line = y.line;
		if (memcmp(&x, &y, sizeof(x)))
			return false;
	}
	return true;
}

static bool same_peers(const struct ek_config_ha *a, const struct ek_config_ha *b)
{
	if (a->n_peers != b->n_peers || a->port != b->port || strcmp(a->secret, b->secret) ||
	    a->n_addresses != b->n_addresses ||
	    memcmp(a->addresses, b->addresses, sizeof(a->addresses)))
		return false;
	for (size_t i = 0; i < a->n_peers; i++) {
		struct ek_config_peer x = a->peers[i];

		x.line = b->peers[i].line;
		if (memcmp(&x, &b->peers[i], sizeof(x)))
			return false;
	}
	return true;
}

int ek_ha_check(const struct ek_ha *ha, const struct ek_config *next, struct ek_error *error)
{
	if (!next->ha.enabled || strcmp(next->node, ha->c->config->node) ||
	    !same_peers(ha->config, &next->ha) || !same_instances(ha->config, &next->ha)) {
		ek_error_set(error,
			     "node, ha.peers, ha.addresses, ha.port, ha.secret and what instances "
			     "there are cannot change while the node runs; stop with SIGQUIT and "
			     "start again: connections stay");
		return -EBUSY;
	}
	return 0;
}

static bool same_tracks(const struct ek_ha *ha)
{
	if (ha->config->n_tracks != ek_tracker_count(ha->tracker))
		return false;
	for (size_t i = 0; i < ha->config->n_tracks; i++) {
		struct ek_config_track x = *ek_tracker_at(ha->tracker, i)->config;

		x.line = ha->config->tracks[i].line;
		if (memcmp(&x, &ha->config->tracks[i], sizeof(x)))
			return false;
	}
	return true;
}

static int replace_tracker(struct ek_ha *ha, struct ek_error *error)
{
	struct ek_tracker *tracker = ek_tracker_new(
		ha->c->base, ha->config->tracks, ha->config->n_tracks, tracks_changed, ha, error);

	if (!tracker)
		return -EIO;
	ek_tracker_free(ha->tracker);
	ha->tracker = tracker;
	return 0;
}

int ek_ha_reconfigure(struct ek_ha *ha, struct ek_error *error)
{
	int err = 0;

	ha->config = &ha->c->config->ha;
	for (size_t p = 0; p < ha->n_peers; p++)
		ha->peers[p].config = &ha->config->peers[p];
	for (size_t i = 0; i < ha->n_instances; i++)
		ek_ha_instance_configure(&ha->instances[i], &ha->config->instances[i]);
	if (!same_tracks(ha))
		err = replace_tracker(ha, error);
	ek_ha_digest(ha);
	if (ek_ha_leads(ha)) { /* its file is the cluster's from here on */
		free(ha->services);
		ha->services = NULL;
	}
	ek_ha_say_config(ha);
	evaluate_soon(ha);
	return err;
}
