/* SPDX-License-Identifier: GPL-2.0-only */
/* See flows.h. Called by flows_command.c. */
#include <stdbool.h>
#include "flows.h"

/* The twin is written after its entry, and may still be of the entry before. */
static bool is_twin(const struct ek_flows_view *view, uint32_t bucket, const struct ek_flow *flow)
{
	const struct ek_flow_key *key = &flow->key;
	uint64_t hash = ek_hash_flow(view->key, &key->source, key->source_port, &key->destination,
				     key->destination_port | (uint32_t)key->protocol << 16);

	return !((hash ^ flow->entry) >> 31) &&
	       ek_flow_bucket_index(hash, view->buckets - 1) == bucket;
}

static bool is_wanted(const struct ek_flows_view *view, uint64_t entry)
{
	uint32_t backend = ek_flow_backend(entry);
	const struct ek_service *s = backend < view->limit ? view->services[backend] : NULL;

	return s && ek_flow_age(entry, view->tick) <= s->timeout[ek_flow_state(entry)];
}

uint32_t ek_flows_walk(const struct ek_flows_view *view, uint32_t bucket, ek_flows_visit visit,
		       void *arg)
{
	uint32_t in_flux = 0;

	for (unsigned int way = 0; way < EK_FLOW_WAYS; way++) {
		struct ek_flow flow = {.entry = ek_flow_read(&view->flows[bucket].entry[way])};

		if (!flow.entry || !is_wanted(view, flow.entry))
			continue;
		flow.key = view->flow_keys[bucket].key[way];
		if (is_twin(view, bucket, &flow))
			visit(arg, &flow);
		else
			in_flux++;
	}
	return in_flux;
}
