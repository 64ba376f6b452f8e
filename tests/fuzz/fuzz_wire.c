/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A peer that says anything: messages of any type with any bytes, to a mirror that owns one service
 * and follows another, on a data plane in memory (tests/unit/datapath_sim.h). Between them the
 * peer goes and comes, the sweep passes, packets and plans come. What must hold afterwards: every
 * slot and every entry names a row that there is, of the right service, and a wrong message has
 * been refused.
 */
#include "../unit/mirror_sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BUCKETS 16u

struct input {
	const uint8_t *at;
	size_t left;
};

static void start(void)
{
	sim_n = 2;
	for (unsigned int n = 0; n < 2; n++) {
		sim_node_start(n, BUCKETS);
		sim_service_add(&sim_nodes[n], 0, n == 0);
		sim_service_add(&sim_nodes[n], 1, n == 1);
		for (uint8_t host = 1; host < 4; host++) {
			sim_member_add(&sim_nodes[n], 0, n ? 4 - host : host, 1);
			sim_member_add(&sim_nodes[n], 1, 10 + host, 1);
		}
		sim_apply(&sim_nodes[n]);
	}
	sim_join(0, 1);
	sim_settle();
}

static uint8_t byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

/* Bytes of its own, so that one too far is seen. */
static void hear(struct input *in, uint8_t type)
{
	size_t length = byte(in) | (size_t)(byte(in) & 3) << 8;
	uint8_t *body;

	if (length > in->left)
		length = in->left;
	body = malloc(length + !length);
	if (!body)
		abort();
	if (length)
		memcpy(body, in->at, length);
	in->at += length;
	in->left -= length;
	if (!ek_mirror_message(sim_nodes[0].mirror, 0, type, body, length)) {
		ek_mirror_peer_down(sim_nodes[0].mirror, 0); /* as the channel does then */
		ek_mirror_peer_up(sim_nodes[0].mirror, 0);
	} else if (type < EK_WIRE_WANT || type > EK_WIRE_TABLE_END) {
		abort();
	}
	free(body);
	sim_queue_clear(&sim_nodes[0].to[1]);
}

static void act(struct input *in, uint8_t what)
{
	struct sim_flow flow = {.slot = byte(in) * 257u, .low = byte(in), .port = 1 + byte(in) % 4};

	switch (what % 8) {
	case 0:
		ek_mirror_pump(sim_nodes[0].mirror);
		break;
	case 1:
		while (!ek_datapath_sweep(sim_nodes[0].dp, BUCKETS))
			;
		break;
	case 2:
		sim_tick[0] += byte(in) * 8u;
		break;
	case 3:
		sim_member(&sim_nodes[0], 0, 1)->weight = byte(in) % 3;
		sim_apply(&sim_nodes[0]);
		break;
	case 4:
		flow.service = sim_nodes[0].services[byte(in) % 2].id;
		sim_packet(sim_nodes[0].dp, &flow, byte(in) % 4, byte(in));
		break;
	case 5:
		sim_nodes[0].no_adoption = byte(in) % 2;
		break;
	default: /* the true peer's word */
		sim_settle();
	}
	sim_queue_clear(&sim_nodes[0].to[1]);
}

static bool is_row(uint32_t row, uint16_t service)
{
	return row && row < SIM_ROWS && sim_nodes[0].state.backends[row].used &&
	       sim_nodes[0].state.backends[row].row.service == service;
}

static void check(void)
{
	struct ek_datapath *dp = sim_nodes[0].dp;

	for (int i = 0; i < SIM_SERVICES; i++) {
		uint16_t id = sim_nodes[0].services[i].id;

		for (uint32_t slot = 0; slot < EK_RING_SIZE; slot++) {
			uint32_t word = dp->rings[id].ring->slot[slot];

			if ((ek_slot_current(word) && !is_row(ek_slot_current(word), id)) ||
			    (ek_slot_origin(word) && !is_row(ek_slot_origin(word), id)) ||
			    word & 1u << 31)
				abort();
		}
	}
	for (uint32_t i = 0; i < BUCKETS * EK_FLOW_WAYS; i++) {
		uint64_t entry = dp->flows[i / EK_FLOW_WAYS].entry[i % EK_FLOW_WAYS];
		uint32_t row = ek_flow_backend(entry);

		if (entry && (row >= SIM_ROWS || !sim_nodes[0].state.backends[row].used))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	sim_tick[0] = 70000;
	sim_tick[1] = 90000;
	start();
	while (in.left) {
		uint8_t what = byte(&in);

		if (what & 0x80)
			act(&in, what);
		else
			hear(&in, what & 0x40 ? what : EK_WIRE_WANT + what % 12);
	}
	check();
	sim_node_stop(0);
	sim_node_stop(1);
	return 0;
}
