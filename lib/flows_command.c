/* SPDX-License-Identifier: GPL-2.0-only */
/* The command `flows`: one page of the connection table as JSON. See flows.h. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "control.h"
#include "controller.h"
#include "flows.h"
#include "ip.h"

/* Whose a backend's index is, and how many of its flows this page had. */
struct owner {
	const struct ek_service_runtime *service;
	const struct ek_backend_runtime *backend;
	uint32_t flows[EK_FLOW_STATES];
};

struct request {
	const char *service, *backend;
	bool any_client;
	struct ek_ip client;
	unsigned int client_length;
	json_int_t limit, cursor;
	bool count;
};

struct page {
	const struct ek_controller *c;
	struct request request;
	struct ek_flows_view view;
	struct owner *owners;		    /* by index, as … */
	const struct ek_service **services; /* … these, which the view reads */
	json_t *rows;
	uint32_t matched, in_flux;
};

/* --- what is asked for ----------------------------------------------------------------------- */

static int number(const json_t *request, const char *key, json_int_t most, json_int_t *value,
		  struct ek_error *error)
{
	const json_t *member = json_object_get(request, key);

	if (!member)
		return 0;
	*value = json_integer_value(member);
	if (json_is_integer(member) && *value >= 0 && *value <= most)
		return 0;
	ek_error_set(error, "\"%s\" must be a number from 0 to %lld", key, (long long)most);
	return -1;
}

static int read_client(const char *client, struct request *out, struct ek_error *error)
{
	out->any_client = !client;
	if (!client || !ek_prefix_parse(client, &out->client, &out->client_length))
		return 0;
	ek_error_set(error,
		     "client '%s': expected an address or a prefix without host bits, such as "
		     "198.51.100.0/24",
		     client);
	return -1;
}

static int read_request(const json_t *request, struct request *out, struct ek_error *error)
{
	const char *client;

	*out = (struct request){.limit = EK_FLOWS_LIMIT,
				.count = json_is_true(json_object_get(request, "count"))};
	return ek_control_string(request, "service", &out->service, error) ||
	       ek_control_string(request, "backend", &out->backend, error) ||
	       ek_control_string(request, "client", &client, error) ||
	       read_client(client, out, error) ||
	       number(request, "limit", EK_FLOWS_LIMIT_MAX, &out->limit, error) ||
	       number(request, "cursor", UINT32_MAX, &out->cursor, error);
}

/* Marks the backends whose flows are wanted; false when there are none. */
static bool mark_owners(struct page *page)
{
	const struct request *r = &page->request;
	bool any = false;

	for (size_t i = 0; i < page->c->world.n_services; i++) {
		const struct ek_service_runtime *s = &page->c->world.services[i];

		if (r->service && strcmp(r->service, s->config->name))
			continue;
		any |= !r->backend;
		for (size_t j = 0; j < s->n_members; j++) {
			const struct ek_backend_runtime *b = s->members[j].backend;

			if (r->backend && strcmp(r->backend, b->name))
				continue;
			any = true;
			page->owners[b->index] = (struct owner){.service = s, .backend = b};
			page->services[b->index] =
				ek_state_longest(&page->c->state.services[s->id]);
		}
	}
	page->services[EK_BACKEND_NONE] = NULL; /* of those that have no row yet */
	return any;
}

static bool in_prefix(const struct ek_ip *ip, const struct ek_ip *prefix, unsigned int length)
{
	struct ek_ip masked;

	if (ek_ip_is_v4(ip) != ek_ip_is_v4(prefix))
		return false;
	if (!length)
		return true;
	masked = ek_mask6(ip, ek_ip_is_v4(ip) ? 96 + length : length);
	return ek_ip_equal(&masked, prefix);
}

/* --- what is answered ------------------------------------------------------------------------ */

static const char *state_name(enum ek_flow_state state)
{
	static const char *const names[EK_FLOW_STATES] = {"empty", "embryonic", "established",
							  "closing"};

	return names[state];
}

static json_int_t seconds(const struct page *page, uint32_t ticks)
{
	return ek_ticks_seconds(ek_datapath_clock(page->c->datapath), ticks);
}

static const char *protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	default: /* of a service of any: the flow is a pair of addresses */
		return "any";
	}
}

static json_t *row_json(const struct page *page, const struct ek_flow *flow)
{
	const struct owner *owner = &page->owners[ek_flow_backend(flow->entry)];
	const struct ek_flow_key *key = &flow->key;
	char client[EK_IP_TEXT], vip[EK_IP_TEXT];

	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:s, s:I, s:I}", "service",
			 owner->service->config->name, "backend", owner->backend->name, "protocol",
			 protocol_name(key->protocol), "client", ek_ip_format(&key->source, client),
			 "client_port", ntohs(key->source_port), "vip",
			 ek_ip_format(&key->destination, vip), "port", ntohs(key->destination_port),
			 "state", state_name(ek_flow_state(flow->entry)), "age",
			 seconds(page, page->view.tick - key->since), "idle",
			 seconds(page, ek_flow_age(flow->entry, page->view.tick)));
}

static void visit(void *arg, const struct ek_flow *flow)
{
	struct page *page = arg;
	const struct request *r = &page->request;

	if (!r->any_client && !in_prefix(&flow->key.source, &r->client, r->client_length))
		return;
	page->matched++;
	if (r->count)
		page->owners[ek_flow_backend(flow->entry)].flows[ek_flow_state(flow->entry)]++;
	else if (json_array_size(page->rows) < (size_t)r->limit)
		json_array_append_new(page->rows, row_json(page, flow));
}

static void add_counts(struct page *page)
{
	for (uint32_t i = 0; i < page->view.limit; i++) {
		const struct owner *o = &page->owners[i];

		if (!page->services[i])
			continue;
		json_array_append_new(page->rows,
				      json_pack("{s:s, s:s, s:I, s:I, s:I}", "service",
						o->service->config->name, "backend",
						o->backend->name, state_name(EK_FLOW_EMBRYONIC),
						(json_int_t)o->flows[EK_FLOW_EMBRYONIC],
						state_name(EK_FLOW_ESTABLISHED),
						(json_int_t)o->flows[EK_FLOW_ESTABLISHED],
						state_name(EK_FLOW_CLOSING),
						(json_int_t)o->flows[EK_FLOW_CLOSING]));
	}
}

static json_t *walk(struct page *page)
{
	uint32_t at = page->request.cursor, end = page->view.buckets;

	if (at < end && end - at > EK_FLOWS_PAGE_BUCKETS)
		end = at + EK_FLOWS_PAGE_BUCKETS;
	for (; at < end && json_array_size(page->rows) < EK_FLOWS_PAGE_ROWS; at++)
		page->in_flux += ek_flows_walk(&page->view, at, visit, page);
	if (page->request.count)
		add_counts(page);
	return json_pack("{s:O, s:I, s:I, s:o}", page->request.count ? "counts" : "flows",
			 page->rows, "matched", (json_int_t)page->matched, "in_flux",
			 (json_int_t)page->in_flux, "cursor",
			 at < page->view.buckets ? json_integer(at) : json_null());
}

static json_t *nobody(const struct request *r, struct ek_error *error)
{
	if (r->backend)
		ek_error_set(error, "there is no backend '%s'%s%s%s", r->backend,
			     r->service ? " of service '" : "", r->service ? r->service : "",
			     r->service ? "'" : "");
	else
		ek_error_set(error, "there is no service '%s'", r->service ? r->service : "");
	return NULL;
}

json_t *ek_flows_command(void *arg, const json_t *request, struct ek_error *error)
{
	const struct ek_controller *c = arg;
	const uint32_t limit = c->config->limits.backends;
	struct page page = {.c = c};
	json_t *result = NULL;
	uint32_t tick;

	if (read_request(request, &page.request, error))
		return NULL;
	if (ek_datapath_tick(c->datapath, &tick)) {
		ek_error_set(error, "the data plane does not tell the time");
		return NULL;
	}
	page.owners = calloc(limit, sizeof(*page.owners));
	page.services = calloc(limit, sizeof(*page.services));
	page.rows = json_array();
	page.view = (struct ek_flows_view){.flows = ek_datapath_flows(c->datapath),
					   .flow_keys = ek_datapath_flow_keys(c->datapath),
					   .buckets = ek_datapath_buckets(c->datapath),
					   .key = ek_datapath_key(c->datapath),
					   .tick = tick,
					   .services = page.services,
					   .limit = limit};
	if (!page.owners || !page.services || !page.rows)
		ek_error_set(error, "out of memory");
	else if (!mark_owners(&page) && (page.request.service || page.request.backend))
		nobody(&page.request, error);
	else
		result = walk(&page);
	json_decref(page.rows);
	free(page.services);
	free(page.owners);
	return result;
}
