/* SPDX-License-Identifier: GPL-2.0-only */
/* See plan.h. Called by controller.c for every reload, health change and next-hop change. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <evenkeel/flow_table.h>
#include "ip.h"
#include "plan.h"
#include "wildcards.h"

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
	for (size_t i = 0; i < EK_SERVICES_MAX; i++) {
		free(state->services[i].members);
		free(state->services[i].entries);
	}
	free(state->wild);
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

int ek_state_find_key(const struct ek_state *state, const struct ek_ip *vip, uint64_t key)
{
	for (int id = 0; id < (int)EK_SERVICES_MAX; id++) {
		const struct ek_state_service *s = &state->services[id];

		if (s->used && s->entries[0].key == key && ek_ip_equal(&s->entries[0].vip, vip))
			return id;
	}
	return -1;
}

int ek_state_find(const struct ek_state *state, const struct ek_config_service *config)
{
	struct ek_config_entry entries[EK_SERVICE_ENTRIES_MAX];

	if (!ek_config_entries(config, entries))
		return -1;
	return ek_state_find_key(state, &entries[0].vip.address, ek_config_entry_key(&entries[0]));
}

const struct ek_service *ek_state_longest(const struct ek_state_service *service)
{
	const struct ek_service *longest = service->entries;

	for (size_t i = 1; i < service->n_entries; i++)
		if (service->entries[i].timeout[EK_FLOW_ESTABLISHED] >
		    longest->timeout[EK_FLOW_ESTABLISHED])
			longest = &service->entries[i];
	return longest;
}

static int compare_entries(const void *a, const void *b)
{
	const struct ek_service *x = a, *y = b;
	int first = !(x->flags & EK_SERVICE_F_FIRST) - !(y->flags & EK_SERVICE_F_FIRST);

	if (first)
		return first;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return ek_ip_compare(&x->vip, &y->vip);
}

void ek_state_sort_entries(struct ek_service *entries, size_t n)
{
	qsort(entries, n, sizeof(*entries), compare_entries);
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

static bool is_loss(const struct ek_state_backend *old, const struct ek_backend *row)
{
	unsigned int was = EK_NEXTHOP_FLAGS(old->row.nexthop), is = EK_NEXTHOP_FLAGS(row->nexthop);

	return old->used && was & ~is & EK_NEXTHOP_USABLE;
}

static void keep_method(struct ek_backend *row, const struct ek_backend *old)
{
	row->forward = old->forward;
	row->dscp = old->dscp;
	row->gue_port = old->gue_port;
	row->gue_header = old->gue_header;
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

		if (s->backends[i].retired && !s->backends[i].local && old->used)
			keep_method(&row, &old->row);
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

static bool same_entries(const struct ek_service *a, size_t n_a, const struct ek_service *b,
			 size_t n_b)
{
	return n_a == n_b && (!n_a || !memcmp(a, b, n_a * sizeof(*a)));
}

static int push_entries(struct planning *p, enum ek_op_kind kind, const struct ek_service *list,
			size_t n, size_t room, struct ek_op **out)
{
	struct ek_service *copy = calloc(room + 1, sizeof(*copy));
	struct ek_op *op = copy ? push(p->plan, kind) : NULL;

	if (!op) {
		free(copy);
		return -ENOMEM;
	}
	if (n)
		memcpy(copy, list, n * sizeof(*list));
	op->entries.list = copy;
	op->entries.n = n;
	*out = op;
	return 0;
}

static int plan_service(struct planning *p, const struct ek_intent_service *s)
{
	struct ek_service list[EK_SERVICE_ENTRIES_MAX];
	const struct ek_state_service *old = &p->state->services[s->id];
	size_t n = ek_plan_entries(s, p->state->clock, list);
	struct ek_op *op;

	if (old->used && same_entries(old->entries, old->n_entries, list, n))
		return 0;
	if (push_entries(p, EK_OP_SERVICE_SET, list, n, n + old->n_entries, &op))
		return -ENOMEM;
	op->id = s->id;
	op->tracking = s->config->tracking;
	return 0;
}

/* All entries that are found by a wildcard rule, in the order of the file. */
static int collect_wild(const struct planning *p, struct ek_service **out, size_t *n)
{
	const struct ek_intent *intent = p->intent;
	struct ek_service *list =
		calloc(intent->n_services * EK_SERVICE_ENTRIES_MAX + 1, sizeof(*list));

	*n = 0;
	*out = list;
	for (size_t i = 0; list && i < intent->n_services; i++) {
		struct ek_service *at = &list[*n];
		size_t found = ek_plan_entries(&intent->services[i], p->state->clock, at);

		for (size_t j = 0; j < found; j++)
			if (EK_SERVICE_KEY_STATE(at[j].key) == EK_SERVICE_WILD)
				list[(*n)++] = at[j];
	}
	return list ? 0 : -ENOMEM;
}

/* Of an entry the rules name only its place: what else changes in it is no news to them. */
static bool same_wild(const struct ek_state *state, const struct ek_service *list, size_t n)
{
	if (state->wild_unknown || state->n_wild != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (state->wild[i].key != list[i].key ||
		    !ek_ip_equal(&state->wild[i].vip, &list[i].vip))
			return false;
	return true;
}

static int plan_wildcards(struct planning *p)
{
	struct ek_wildcards wildcards;
	struct ek_service *list;
	struct ek_op *op;
	size_t n;
	int err = collect_wild(p, &list, &n);

	if (!err && !same_wild(p->state, list, n)) {
		err = ek_wildcards_build(list, NULL, n, &wildcards, p->error);
		if (!err) {
			ek_wildcards_free(&wildcards);
			err = push_entries(p, EK_OP_WILDCARDS_SET, list, n, n, &op);
		}
	}
	free(list);
	return err;
}

static bool is_among(const struct ek_service *entry, const struct ek_service *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].key == entry->key && ek_ip_equal(&list[i].vip, &entry->vip))
			return true;
	return false;
}

static int plan_gone_entries(struct planning *p, const struct ek_intent_service *s)
{
	const struct ek_state_service *old = &p->state->services[s->id];
	struct ek_service list[EK_SERVICE_ENTRIES_MAX];
	size_t n = ek_plan_entries(s, p->state->clock, list);

	for (size_t i = 0; old->used && i < old->n_entries; i++) {
		struct ek_op *op;

		if (is_among(&old->entries[i], list, n))
			continue;
		op = push(p->plan, EK_OP_ENTRY_CLEAR);
		if (!op)
			return -ENOMEM;
		op->id = s->id;
		op->entry = old->entries[i];
	}
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

/* The table is sized for so many entries with a VIP each. */
static int check_entries(const struct planning *p)
{
	struct ek_config_entry entries[EK_SERVICE_ENTRIES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < p->intent->n_services; i++)
		n += ek_config_entries(p->intent->services[i].config, entries);
	if (n <= EK_SERVICES_MAX)
		return 0;
	ek_error_set(p->error, "more than %u addresses of services, counted for each protocol",
		     EK_SERVICES_MAX);
	return -ENOSPC;
}

static int plan_changes(struct planning *p)
{
	int err = 0;

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
	return err;
}

static int plan_all(struct planning *p)
{
	int err = assign_ids(p);

	if (!err)
		err = check_entries(p);
	if (!err)
		err = assign_rows(p);
	if (!err)
		err = plan_changes(p);
	if (!err)
		err = plan_wildcards(p);
	for (size_t i = 0; i < p->intent->n_services && !err; i++)
		err = plan_gone_entries(p, &p->intent->services[i]);
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

static struct ek_service *take_entries(struct ek_op *op, size_t *n)
{
	struct ek_service *list = op->entries.list;

	*n = op->entries.n;
	op->entries.list = NULL;
	return list;
}

/* Those that are to go stay known until they do: a plan may be cut short before. */
static void commit_entries(struct ek_state_service *s, struct ek_op *op)
{
	struct ek_service *list = op->entries.list; /* with room for them */
	size_t n = op->entries.n, n_new = n;

	for (size_t i = 0; i < s->n_entries; i++)
		if (!is_among(&s->entries[i], list, n_new))
			list[n++] = s->entries[i];
	free(s->entries);
	s->entries = take_entries(op, &s->n_entries);
	s->n_entries = n;
}

static void remove_entry(struct ek_state_service *s, const struct ek_service *entry)
{
	for (size_t i = 0; i < s->n_entries; i++) {
		if (!is_among(entry, &s->entries[i], 1))
			continue;
		memmove(&s->entries[i], &s->entries[i + 1],
			(--s->n_entries - i) * sizeof(*s->entries));
		return;
	}
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
		commit_entries(s, op);
		break;
	case EK_OP_WILDCARDS_SET:
		state->wild_unknown = false;
		free(state->wild);
		state->wild = take_entries(op, &state->n_wild);
		break;
	case EK_OP_ENTRY_CLEAR:
		remove_entry(s, &op->entry);
		break;
	case EK_OP_SERVICE_CLEAR:
		free(s->members);
		free(s->entries);
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
	state->wild_unknown |= plan->wild_cut;
	state->next = plan->next;
}

static void free_op(struct ek_op *op)
{
	if (op->kind == EK_OP_RING_SET)
		free(op->members.list);
	if (op->kind == EK_OP_SERVICE_SET || op->kind == EK_OP_WILDCARDS_SET)
		free(op->entries.list);
}

void ek_plan_cut(struct ek_plan *plan, size_t n)
{
	if (n < plan->n && plan->ops[n].kind == EK_OP_WILDCARDS_SET)
		plan->wild_cut = true;
	for (size_t i = n; i < plan->n; i++)
		free_op(&plan->ops[i]);
	plan->n = n;
}

void ek_plan_free(struct ek_plan *plan)
{
	ek_plan_cut(plan, 0);
	free(plan->ops);
	memset(plan, 0, sizeof(*plan));
}
