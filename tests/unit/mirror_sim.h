/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nodes in memory, joined by queues: each has a data plane (datapath_sim.h), plans, a sweep and a
 * mirror, all of them the real ones. What is made up is the controller between them (apply_world()
 * of controller.c and ek_ha_gate() of ha.c, in a few lines) and the channel: messages wait in order
 * until somebody delivers them, and are lost when nodes part.
 */
#ifndef TESTS_MIRROR_SIM_H
#define TESTS_MIRROR_SIM_H

#include <errno.h>
#include <arpa/inet.h>
#include "datapath_sim.h"
#include "mirror.h"
#include "plan.h"

#define SIM_SERVICES 2
#define SIM_MEMBERS  12
#define SIM_ROWS     48

struct sim_member {
	uint8_t host; /* last byte of its address */
	uint32_t weight;
	bool down;
};

struct sim_world {
	bool present, own;
	enum ek_failover failover;
	struct ek_config_service config;
	struct sim_member members[SIM_MEMBERS];
	size_t n;
	uint16_t id; /* once applied */
};

struct sim_message {
	struct sim_message *next;
	uint64_t number;
	uint8_t type;
	size_t length;
	uint8_t body[];
};

struct sim_queue {
	struct sim_message *first, **last;
	size_t bytes, capacity; /* capacity 0: any */
	uint64_t sent, delivered;
};

struct sim_node {
	unsigned int number;
	struct ek_datapath *dp;
	struct ek_state state;
	struct ek_mirror *mirror;
	struct sim_world services[SIM_SERVICES];
	bool waiting, due; /* a plan waits for the peers; is to be made again */
	bool late;	   /* the peers are silent for too long: a loss does not wait */
	bool no_adoption;  /* there is no row for another backend */
	uint64_t now_us;
	uint64_t progressed, rejected;
	struct sim_queue to[SIM_NODES];
};

static struct sim_node sim_nodes[SIM_NODES];
static unsigned int sim_n;
static uint64_t sim_us;

static uint64_t sim_now_us(void)
{
	return sim_us;
}

/* --- the channel ----------------------------------------------------------------------------- */

static inline size_t sim_peer(unsigned int node, unsigned int other)
{
	return other < node ? other : other - 1;
}

static inline unsigned int sim_other(unsigned int node, size_t peer)
{
	return peer < node ? peer : peer + 1;
}

static int sim_send(void *arg, size_t peer, uint8_t type, const void *body, size_t length)
{
	struct sim_node *node = arg;
	struct sim_queue *q = &node->to[sim_other(node->number, peer)];
	struct sim_message *m;

	if (length > 1u << 20)
		return -EMSGSIZE;
	if (q->capacity && q->bytes + length > q->capacity)
		return -EAGAIN;
	m = malloc(sizeof(*m) + length);
	if (!m)
		abort();
	*m = (struct sim_message){.type = type, .length = length, .number = ++q->sent};
	if (length)
		memcpy(m->body, body, length);
	*q->last = m;
	q->last = &m->next;
	q->bytes += length;
	return 0;
}

static size_t sim_backlog(void *arg, size_t peer)
{
	struct sim_node *node = arg;

	return node->to[sim_other(node->number, peer)].bytes;
}

static void sim_queue_clear(struct sim_queue *q)
{
	while (q->first) {
		struct sim_message *m = q->first;

		q->first = m->next;
		free(m);
	}
	q->last = &q->first;
	q->bytes = 0;
	q->delivered = q->sent;
}

/* The next message, or NULL. The caller frees it. */
static struct sim_message *sim_take(unsigned int from, unsigned int to)
{
	struct sim_queue *q = &sim_nodes[from].to[to];
	struct sim_message *m = q->first;

	if (!m)
		return NULL;
	q->first = m->next;
	if (!q->first)
		q->last = &q->first;
	q->bytes -= m->length;
	q->delivered = m->number;
	return m;
}

/* False when there was none. */
static bool sim_deliver(unsigned int from, unsigned int to)
{
	struct sim_message *m = sim_take(from, to);

	if (!m)
		return false;
	if (!ek_mirror_message(sim_nodes[to].mirror, sim_peer(to, from), m->type, m->body,
			       m->length))
		sim_nodes[to].rejected++;
	free(m);
	return true;
}

/* --- the controller -------------------------------------------------------------------------- */

static struct ek_ip sim_address(uint8_t host)
{
	struct ek_ip ip = {.halves[1] = EK_V4_MAPPED};

	ip.words[3] = htonl(0x0a000000u | host);
	return ip;
}

static struct sim_member *sim_member(struct sim_node *node, unsigned int service, uint8_t host)
{
	struct sim_world *w = &node->services[service];

	for (size_t i = 0; i < w->n; i++)
		if (w->members[i].host == host)
			return &w->members[i];
	return NULL;
}

static struct sim_member *sim_member_add(struct sim_node *node, unsigned int service, uint8_t host,
					 uint32_t weight)
{
	struct sim_world *w = &node->services[service];

	if (w->n == SIM_MEMBERS)
		abort();
	w->members[w->n] = (struct sim_member){.host = host, .weight = weight};
	return &w->members[w->n++];
}

static uint16_t sim_row(const struct sim_node *node, unsigned int service, uint8_t host)
{
	const struct ek_ip address = sim_address(host);

	for (uint32_t i = 1; i < node->state.limit; i++)
		if (node->state.backends[i].used &&
		    node->state.backends[i].row.service == node->services[service].id &&
		    !memcmp(&node->state.backends[i].row.address, &address, sizeof(address)))
			return i;
	return EK_BACKEND_NONE;
}

/* The last byte of the address of a row; 0 = none. */
static uint8_t sim_host(const struct sim_node *node, uint32_t row)
{
	return row && row < node->state.limit && node->state.backends[row].used
		       ? node->state.backends[row].row.address.bytes[15]
		       : 0;
}

static void sim_service_add(struct sim_node *node, unsigned int service, bool own)
{
	struct sim_world *w = &node->services[service];

	*w = (struct sim_world){.present = true, .own = own};
	w->config = (struct ek_config_service){
		.vip = sim_address(200 + service),
		.addresses = {{sim_address(200 + service), 128}},
		.n_addresses = 1,
		.port = 80,
		.port_last = 80,
		.protocol = IPPROTO_TCP,
		.forward = EK_FORWARD_IPIP,
		.timeouts = {.established = 300, .embryonic = 60, .closing = 120, .udp = 30}};
}

/* What a gate keeps, ha.c says why. */
static void sim_gate(struct sim_node *node, struct ek_plan *plan)
{
	bool loss = false;
	uint64_t number;

	node->waiting = false;
	if (!ek_plan_changes_rings(plan))
		return;
	number = ek_mirror_announce(node->mirror, plan);
	if (ek_mirror_acked(node->mirror, number))
		return;
	for (size_t i = 0; i < plan->n; i++)
		loss |= plan->ops[i].loss;
	if (node->late && loss)
		return;
	ek_plan_defer_rings(plan);
	node->waiting = true;
}

static void sim_intent(struct sim_node *node, struct ek_intent *intent)
{
	intent->services = calloc(SIM_SERVICES, sizeof(*intent->services));
	for (unsigned int i = 0; i < SIM_SERVICES; i++) {
		struct sim_world *w = &node->services[i];
		struct ek_intent_service *s = &intent->services[intent->n_services];

		if (!w->present)
			continue;
		*s = (struct ek_intent_service){
			.config = &w->config, .n_backends = w->n, .follow = !w->own};
		s->backends = calloc(SIM_MEMBERS, sizeof(*s->backends));
		for (size_t j = 0; j < w->n; j++)
			s->backends[j] = (struct ek_intent_backend){
				.address = sim_address(w->members[j].host),
				.weight = w->members[j].down ? 0 : w->members[j].weight,
				.nexthop = EK_NEXTHOP(0x020000000000ull + w->members[j].host, 1,
						      w->members[j].down ? EK_NEXTHOP_RESOLVED
									 : EK_NEXTHOP_USABLE),
				.mtu = 1500};
		intent->n_services++;
	}
}

static void sim_take_numbers(struct sim_node *node, struct ek_intent *intent)
{
	size_t n = 0;

	for (unsigned int i = 0; i < SIM_SERVICES; i++)
		if (node->services[i].present)
			node->services[i].id = intent->services[n++].id;
	for (size_t i = 0; i < n; i++)
		free(intent->services[i].backends);
	free(intent->services);
}

static void sim_apply(struct sim_node *node)
{
	struct ek_error error = {0};
	struct ek_intent intent = {0};
	struct ek_plan plan;

	node->due = false;
	sim_intent(node, &intent);
	if (ek_plan_make(&node->state, &intent, &plan, &error))
		abort();
	sim_gate(node, &plan);
	if (ek_datapath_apply(node->dp, &plan, &error))
		abort();
	ek_plan_commit(&node->state, &plan);
	ek_plan_free(&plan);
	sim_take_numbers(node, &intent);
	for (unsigned int i = 0; i < SIM_SERVICES; i++)
		if (node->services[i].present)
			ek_mirror_service(node->mirror, node->services[i].id, node->services[i].own,
					  node->services[i].failover == EK_FAILOVER_STATEFUL);
	ek_mirror_applied(node->mirror, !node->waiting);
}

static uint16_t sim_adopt(void *arg, uint16_t id, const struct ek_ip *address)
{
	struct sim_node *node = arg;
	uint8_t host = address->bytes[15];

	for (unsigned int i = 0; i < SIM_SERVICES && !node->no_adoption; i++) {
		if (!node->services[i].present || node->services[i].id != id)
			continue;
		if (!sim_member(node, i, host))
			sim_member_add(node, i, host, 0);
		if (!sim_row(node, i, host))
			sim_apply(node);
		return sim_row(node, i, host);
	}
	return EK_BACKEND_NONE;
}

static void sim_progress(void *arg, size_t peer)
{
	struct sim_node *node = arg;

	(void)peer;
	node->progressed++;
	node->due = node->waiting;
}

/* Who owns the service now; as ek_controller_rebuild() does, what rings were built from is not
 * relied on. */
static void sim_own(struct sim_node *node, bool own)
{
	for (unsigned int i = 0; i < SIM_SERVICES; i++)
		node->services[i].own = own;
	for (unsigned int id = 0; id < EK_SERVICES_MAX; id++)
		node->state.services[id].built = false;
	sim_apply(node);
}

/* --- life ------------------------------------------------------------------------------------ */

static void sim_node_start(unsigned int number, uint32_t buckets)
{
	struct sim_node *node = &sim_nodes[number];
	const struct ek_mirror_options options = {.state = &node->state,
						  .n_peers = sim_n - 1,
						  .send = sim_send,
						  .backlog = sim_backlog,
						  .adopt = sim_adopt,
						  .progress = sim_progress,
						  .now_us = sim_now_us,
						  .arg = node};
	struct ek_mirror_options with = options;

	*node = (struct sim_node){.number = number};
	for (unsigned int i = 0; i < SIM_NODES; i++)
		node->to[i].last = &node->to[i].first;
	node->dp = sim_datapath_new(number, SIM_ROWS, buckets);
	if (ek_state_init(&node->state, SIM_ROWS))
		abort();
	with.datapath = node->dp;
	node->mirror = ek_mirror_new(&with);
	if (!node->mirror)
		abort();
}

static void sim_node_stop(unsigned int number)
{
	struct sim_node *node = &sim_nodes[number];

	for (unsigned int i = 0; i < SIM_NODES; i++)
		sim_queue_clear(&node->to[i]);
	ek_mirror_free(node->mirror);
	ek_state_free(&node->state);
	sim_datapath_free(node->dp);
	node->mirror = NULL;
	node->dp = NULL;
}

static void sim_part(unsigned int a, unsigned int b)
{
	sim_queue_clear(&sim_nodes[a].to[b]);
	sim_queue_clear(&sim_nodes[b].to[a]);
	ek_mirror_peer_down(sim_nodes[a].mirror, sim_peer(a, b));
	ek_mirror_peer_down(sim_nodes[b].mirror, sim_peer(b, a));
}

static void sim_join(unsigned int a, unsigned int b)
{
	ek_mirror_peer_up(sim_nodes[a].mirror, sim_peer(a, b));
	ek_mirror_peer_up(sim_nodes[b].mirror, sim_peer(b, a));
	sim_nodes[a].due = sim_nodes[b].due = true;
}

/* Whatever is on its way, and what that leads to. */
static inline void sim_settle(void)
{
	unsigned int idle = 0;

	for (unsigned int rounds = 0; idle < 3 && rounds < 100000; rounds++) {
		bool any = false;

		for (unsigned int i = 0; i < sim_n; i++) {
			if (!sim_nodes[i].dp)
				continue;
			any |= sim_nodes[i].due;
			if (sim_nodes[i].due)
				sim_apply(&sim_nodes[i]);
			ek_mirror_pump(sim_nodes[i].mirror);
			for (unsigned int j = 0; j < sim_n; j++)
				while (i != j && sim_nodes[j].dp && sim_deliver(i, j))
					any = true;
		}
		idle = any ? 0 : idle + 1;
	}
}

#endif
