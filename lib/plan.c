/* SPDX-License-Identifier: GPL-2.0-only */
/* See plan.h. Called by controller.c for every reload, health change and next-hop change. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include "ip.h"
#include <evenkeel/flow_table.h>
#include "plan.h"

/* Working state of one ek_plan_make(). */
struct planning {
	const struct ek_state *state;
	struct ek_intent *intent;
	struct ek_plan *plan;
	struct ek_error *error;
	bool *keep_service; /* by id */
	bool *keep_row;	    /* by index */
	uint32_t next;
};

/* qsort and bsearch take no context: rows are compared through this pair. */
struct row_key {
	uint16_t service;
	uint16_t index;
	struct ek_ip address;
};

int ek_state_init(struct ek_state *state, uint32_t limit)
{
	memset(state, 0, sizeof(*state));
	state->backends = calloc(limit, sizeof(*state->backends));
	state->limit = limit;
	state->next = 1;
	state->clock = ek_clock_of(1000);
	return state->backends ? 0 : -ENOMEM;
}

void ek_state_free(struct ek_state *state)
{
	for (size_t i = 0; i < EK_SERVICES_MAX; i++)
		free(state->services[i].members);
	free(state->backends);
	memset(state, 0, sizeof(*state));
}

static struct ek_op *push(struct ek_plan *plan, enum ek_op_kind kind)
{
	if (plan->n == plan->room) {
		size_t room = plan->room ? plan->room * 2 : 64;
		struct ek_op *ops = reallocarray(plan->ops, room, sizeof(*ops));

		if (!ops)
			return NULL;
		plan->ops = ops;
		plan->room = room;
	}
	plan->ops[plan->n] = (struct ek_op){.kind = kind};
	return &plan->ops[plan->n++];
}

/* --- identity: which id and row stand for which service and backend -------------------------- */

static uint64_t service_key(const struct ek_config_service *c)
{
	return EK_SERVICE_KEY(htons(c->port), c->protocol, EK_SERVICE_LIVE);
}

int ek_state_find(const struct ek_state *state, const struct ek_config_service *c)
{
	for (int id = 0; id < (int)EK_SERVICES_MAX; id++) {
		const struct ek_state_service *s = &state->services[id];

		if (s->used && s->entry.key == service_key(c) &&
		    ek_ip_equal(&s->entry.vip, &c->vip))
			return id;
	}
	return -1;
}

static int assign_ids(struct planning *p)
{
	int free_id = 0;

	for (size_t i = 0; i < p->intent->n_services; i++) {
		int id = ek_state_find(p->state, p->intent->services[i].config);

		if (id >= 0)
			p->keep_service[id] = true;
		p->intent->services[i].id = id >= 0 ? (unsigned int)id : EK_SERVICES_MAX;
	}
	for (size_t i = 0; i < p->intent->n_services; i++) {
		if (p->intent->services[i].id < EK_SERVICES_MAX)
			continue;
		while (free_id < (int)EK_SERVICES_MAX &&
		       (p->state->services[free_id].used || p->keep_service[free_id]))
			free_id++;
		if (free_id == (int)EK_SERVICES_MAX) {
			ek_error_set(p->error, "more than %u services, counting those that leave",
				     EK_SERVICES_MAX);
			return -ENOSPC;
		}
		p->keep_service[free_id] = true;
		p->intent->services[i].id = free_id;
	}
	return 0;
}

static int by_service_and_address(const void *a, const void *b)
{
	const struct row_key *x = a, *y = b;

	if (x->service != y->service)
		return x->service < y->service ? -1 : 1;
	return ek_ip_compare(&x->address, &y->address);
}

static size_t index_rows(const struct ek_state *state, struct row_key *rows)
{
	size_t n = 0;

	for (uint32_t i = 1; i < state->limit; i++)
		if (state->backends[i].used)
			rows[n++] = (struct row_key){.service = state->backends[i].row.service,
						     .index = i,
						     .address = state->backends[i].row.address};
	qsort(rows, n, sizeof(*rows), by_service_and_address);
	return n;
}

static uint16_t free_row(struct planning *p)
{
	for (uint32_t tried = 1; tried < p->state->limit; tried++) {
		uint32_t i = p->next;

		p->next = p->next + 1 < p->state->limit ? p->next + 1 : 1;
		if (!p->state->backends[i].used && !p->keep_row[i])
			return i;
	}
	return EK_BACKEND_NONE;
}

static int assign_row(struct planning *p, const struct row_key *rows, size_t n, uint16_t id,
		      struct ek_intent_backend *b)
{
	struct row_key key = {.service = id, .address = b->address};
	const struct row_key *found = bsearch(&key, rows, n, sizeof(*rows), by_service_and_address);

	b->index = found ? found->index : free_row(p);
	if (b->index == EK_BACKEND_NONE) {
		ek_error_set(p->error,
			     "more than %u backends, counting those still remembered; "
			     "limits.backends sets the number",
			     p->state->limit - 1);
		return -ENOSPC;
	}
	p->keep_row[b->index] = true;
	return 0;
}

static int assign_rows(struct planning *p)
{
	struct row_key *rows = calloc(p->state->limit, sizeof(*rows));
	size_t n;
	int err = 0;

	if (!rows)
		return -ENOMEM;
	n = index_rows(p->state, rows);
	for (size_t i = 0; i < p->intent->n_services && !err; i++) {
		struct ek_intent_service *s = &p->intent->services[i];

		for (size_t j = 0; j < s->n_backends && !err; j++)
			err = assign_row(p, rows, n, s->id, &s->backends[j]);
	}
	free(rows);
	return err;
}

/* --- operations ------------------------------------------------------------------------------ */

static uint32_t add16(uint32_t sum, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2) {
		uint16_t word;

		memcpy(&word, bytes + i, 2);
		sum += word;
	}
	return sum;
}

/* The words of the outer IPv4 header that are the same for every packet (RFC 1071). */
static uint32_t outer_constant_sum(const struct ek_ip *address)
{
	static const uint8_t version_tos[2] = {0x45, 0};
	static const uint8_t ttl_protocol[2] = {EK_OUTER_TTL, IPPROTO_IPIP};
	uint32_t sum = add16(add16(0, version_tos, 2), ttl_protocol, 2);

	return add16(sum, &address->bytes[12], 4);
}

struct ek_backend ek_plan_row(const struct ek_config_service *service, uint16_t id,
			      const struct ek_intent_backend *backend)
{
	return (struct ek_backend){
		.nexthop = backend->nexthop,
		.address = backend->address,
		.csum = ek_ip_is_v4(&backend->address) ? outer_constant_sum(&backend->address) : 0,
		.service = id,
		.mtu = backend->mtu,
		.forward = service->forward,
	};
}

static struct ek_service service_entry(const struct ek_config_service *c, uint16_t id,
				       struct ek_clock clock)
{
	unsigned int established =
		c->protocol == IPPROTO_UDP ? c->timeouts.udp : c->timeouts.established;
	struct ek_service entry = {
		.vip = c->vip,
		.key = service_key(c),
		.id = id,
		.timeout = {[EK_FLOW_EMBRYONIC] = ek_ticks(clock, c->timeouts.embryonic),
			    [EK_FLOW_ESTABLISHED] = ek_ticks(clock, established),
			    [EK_FLOW_CLOSING] = ek_ticks(clock, c->timeouts.closing)},
		.hash_prefix4 = c->hash_prefix4,
		.hash_prefix6 = c->hash_prefix6,
	};

	if (c->tracking == EK_TRACKING_FULL)
		entry.flags |= EK_SERVICE_F_TRACK_FULL;
	if (c->tracking == EK_TRACKING_NONE)
		entry.flags |= EK_SERVICE_F_TRACK_NONE;
	if (c->method == EK_METHOD_SOURCE_HASH)
		entry.flags |= EK_SERVICE_F_SOURCE_HASH;
	if (c->failover == EK_FAILOVER_NONE)
		entry.flags |= EK_SERVICE_F_RESET;
	if (c->outer_source_set) {
		unsigned int bits =
			(ek_ip_is_v4(&c->outer_source) ? 32 : 128) - c->outer_source_length;

		entry.outer_source = c->outer_source;
		entry.outer_mask = htonl(bits >= 32 ? ~0u : (1u << bits) - 1);
	}
	return entry;
}

static bool is_loss(const struct ek_state_backend *old, const struct ek_backend *row)
{
	unsigned int was = EK_NEXTHOP_FLAGS(old->row.nexthop), is = EK_NEXTHOP_FLAGS(row->nexthop);

	return old->used && was & ~is & EK_NEXTHOP_USABLE;
}

/*
 * A backend that can be used is told before the ring that names it, one that no longer can be
 * after the ring that had named it: in between no packet is dropped for want of either.
 */
static int plan_rows(struct planning *p, const struct ek_intent_service *s, bool losses)
{
	for (size_t i = 0; i < s->n_backends; i++) {
		struct ek_backend row = ek_plan_row(s->config, s->id, &s->backends[i]);
		const struct ek_state_backend *old = &p->state->backends[s->backends[i].index];
		struct ek_op *op;

		if (is_loss(old, &row) != losses ||
		    (old->used && !memcmp(&old->row, &row, sizeof(row))))
			continue;
		op = push(p->plan, EK_OP_BACKEND_SET);
		if (!op)
			return -ENOMEM;
		op->index = s->backends[i].index;
		op->row = row;
		op->loss = losses && !s->follow;
	}
	return 0;
}

static size_t collect_members(const struct ek_intent_service *s, struct ek_maglev_member *list)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_backends; i++)
		if (s->backends[i].weight)
			list[n++] = (struct ek_maglev_member){.address = s->backends[i].address,
							      .port = s->config->port,
							      .index = s->backends[i].index,
							      .weight = s->backends[i].weight};
	return n;
}

/* When nobody may take connections the ring stays as it is: it still knows who had them. */
static int plan_ring(struct planning *p, const struct ek_intent_service *s)
{
	const struct ek_state_service *old = &p->state->services[s->id];
	struct ek_maglev_member *list = calloc(s->n_backends ? s->n_backends : 1, sizeof(*list));
	struct ek_op *op;
	size_t n;

	if (!list)
		return -ENOMEM;
	n = collect_members(s, list);
	if (old->used &&
	    (s->follow || !n ||
	     (old->built && old->tracking == s->config->tracking && n == old->n_members &&
	      !memcmp(list, old->members, n * sizeof(*list))))) {
		free(list);
		return 0;
	}
	op = push(p->plan, EK_OP_RING_SET);
	if (!op) {
		free(list);
		return -ENOMEM;
	}
	op->id = s->id;
	op->fresh = !old->used;
	op->tracking = s->config->tracking;
	op->members.list = list;
	op->members.n = n;
	return 0;
}

static int plan_service(struct planning *p, const struct ek_intent_service *s)
{
	struct ek_service entry = service_entry(s->config, s->id, p->state->clock);
	const struct ek_state_service *old = &p->state->services[s->id];
	struct ek_op *op;

	if (old->used && !memcmp(&old->entry, &entry, sizeof(entry)))
		return 0;
	op = push(p->plan, EK_OP_SERVICE_SET);
	if (!op)
		return -ENOMEM;
	op->id = s->id;
	op->entry = entry;
	op->tracking = s->config->tracking;
	return 0;
}

static int plan_departures(struct planning *p)
{
	struct ek_op *op;

	for (uint32_t id = 0; id < EK_SERVICES_MAX; id++) {
		if (!p->state->services[id].used || p->keep_service[id])
			continue;
		op = push(p->plan, EK_OP_SERVICE_CLEAR);
		if (!op)
			return -ENOMEM;
		op->id = id;
		op->entry = p->state->services[id].entry;
	}
	for (uint32_t i = 1; i < p->state->limit; i++) {
		if (!p->state->backends[i].used || p->keep_row[i])
			continue;
		op = push(p->plan, EK_OP_BACKEND_CLEAR);
		if (!op)
			return -ENOMEM;
		op->index = i;
	}
	return 0;
}

static int plan_all(struct planning *p)
{
	int err = assign_ids(p);

	if (!err)
		err = assign_rows(p);
	for (size_t i = 0; i < p->intent->n_services && !err; i++) {
		const struct ek_intent_service *s = &p->intent->services[i];

		err = plan_rows(p, s, false);
		if (!err)
			err = plan_ring(p, s);
		if (!err)
			err = plan_rows(p, s, true);
		if (!err)
			err = plan_service(p, s);
	}
	return err ? err : plan_departures(p);
}

int ek_plan_make(const struct ek_state *state, struct ek_intent *intent, struct ek_plan *plan,
		 struct ek_error *error)
{
	struct planning p = {.state = state, .intent = intent, .plan = plan, .error = error};
	int err = -ENOMEM;

	memset(plan, 0, sizeof(*plan));
	p.next = state->next;
	p.keep_service = calloc(EK_SERVICES_MAX, sizeof(bool));
	p.keep_row = calloc(state->limit, sizeof(bool));
	if (p.keep_service && p.keep_row)
		err = plan_all(&p);
	if (err == -ENOMEM)
		ek_error_set(error, "out of memory");
	if (err)
		ek_plan_free(plan);
	else
		plan->next = p.next;
	free(p.keep_service);
	free(p.keep_row);
	return err;
}

static bool changes_ring(const struct ek_op *op)
{
	return op->kind == EK_OP_RING_SET && !op->fresh;
}

bool ek_plan_changes_rings(const struct ek_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		if (changes_ring(&plan->ops[i]))
			return true;
	return false;
}

bool ek_plan_defer_rings(struct ek_plan *plan)
{
	bool loss = false;
	size_t kept = 0;

	for (size_t i = 0; i < plan->n; i++) {
		struct ek_op *op = &plan->ops[i];

		loss |= op->loss;
		if (changes_ring(op))
			free(op->members.list);
		else if (!op->loss)
			plan->ops[kept++] = *op;
	}
	plan->n = kept;
	return loss;
}

static void commit_op(struct ek_state *state, struct ek_op *op)
{
	struct ek_state_service *s = &state->services[op->id];

	switch (op->kind) {
	case EK_OP_BACKEND_SET:
		state->backends[op->index] =
			(struct ek_state_backend){.used = true, .row = op->row};
		break;
	case EK_OP_RING_SET:
		free(s->members);
		s->members = op->members.list;
		s->n_members = op->members.n;
		s->built = true;
		s->tracking = op->tracking;
		op->members.list = NULL;
		break;
	case EK_OP_SERVICE_SET:
		s->used = true;
		s->entry = op->entry;
		break;
	case EK_OP_SERVICE_CLEAR:
		free(s->members);
		memset(s, 0, sizeof(*s));
		break;
	case EK_OP_BACKEND_CLEAR:
		memset(&state->backends[op->index], 0, sizeof(state->backends[0]));
		break;
	}
}

void ek_plan_commit(struct ek_state *state, struct ek_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		commit_op(state, &plan->ops[i]);
	state->next = plan->next;
}

void ek_plan_free(struct ek_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		if (plan->ops[i].kind == EK_OP_RING_SET)
			free(plan->ops[i].members.list);
	free(plan->ops);
	memset(plan, 0, sizeof(*plan));
}
