/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A peer that says anything: messages of any type, of any bytes or nearly right ones, to a mirror
 * that owns one service and follows another, on a data plane in memory (tests/unit/datapath_sim.h).
 * Between them the sweep passes, packets and plans come. What must hold afterwards: every slot and
 * every entry names a row that there is, of the right service.
 */
#include "../unit/mirror_sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BUCKETS 16u
#define BLOCK	1024u /* slots that are compared at once */

struct input {
	const uint8_t *at;
	size_t left;
};

static struct ek_ring initial[SIM_SERVICES];

static void make_ring(struct ek_ring *ring, uint32_t row)
{
	for (uint32_t slot = 0; slot < EK_RING_SIZE; slot++)
		ring->slot[slot] =
			slot % 2 ? ek_slot(row, row, false) : ek_slot(row, row + 1, true);
}

/* Rings are written by hand, and once: to choose takes too long here. */
static void start(void)
{
	struct sim_node *node = &sim_nodes[0];

	sim_n = 2;
	sim_node_start(0, BUCKETS);
	for (unsigned int i = 0; i < SIM_SERVICES; i++) {
		sim_service_add(node, i, i == 0);
		for (uint8_t host = 1; host < 4; host++)
			sim_member_add(node, i, 10 * i + host, 0);
	}
	sim_apply(node);
	for (unsigned int i = 0; i < SIM_SERVICES; i++) {
		if (!initial[i].slot[0])
			make_ring(&initial[i], sim_row(node, i, 10 * i + 1));
		*node->dp->rings[node->services[i].id].ring = initial[i];
	}
	ek_mirror_peer_up(node->mirror, 0);
	sim_apply(node);
}

static uint8_t byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static void hear(uint8_t type, const uint8_t *bytes, size_t length)
{
	uint8_t *body = malloc(length + !length); /* of its own, so that a byte too far is seen */

	if (!body)
		abort();
	if (length)
		memcpy(body, bytes, length);
	if (!ek_mirror_message(sim_nodes[0].mirror, 0, type, body, length)) {
		ek_mirror_peer_down(sim_nodes[0].mirror, 0); /* as the channel does then */
		ek_mirror_peer_up(sim_nodes[0].mirror, 0);
	} else if (type < EK_WIRE_WANT || type > EK_WIRE_TABLE_END) {
		abort();
	}
	free(body);
}

static void hear_bytes(struct input *in, uint8_t type)
{
	size_t length = byte(in) | (size_t)(byte(in) & 3) << 8;

	if (length > in->left)
		length = in->left;
	hear(type, in->at, length);
	in->at += length;
	in->left -= length;
}

static struct ek_wire_service service(uint8_t which)
{
	return (struct ek_wire_service){
		.vip = sim_address(200 + which % 3),
		.key = EK_SERVICE_KEY(htons(80), IPPROTO_TCP, EK_SERVICE_LIVE)};
}

static uint64_t number(struct input *in, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | byte(in);
	return value;
}

static void put_record(struct input *in, uint8_t type, struct ek_wire_out *out)
{
	uint64_t fingerprint = (uint64_t)byte(in) << 56;
	const struct ek_wire_slot slot = {.slot = byte(in),
					  .word = ek_slot(byte(in) % 8, byte(in) % 8, 1)};
	const struct ek_wire_backend backend = {.index = 1 + byte(in) % 8,
						.service = service(byte(in)),
						.address = sim_address(byte(in) % 16)};
	const struct ek_flow_image image = {.bucket = byte(in) % BUCKETS,
					    .entry = fingerprint | (byte(in) % 8) << 16 |
						     (2 + byte(in) % 2) << 14 | byte(in)};
	const struct ek_wire_drop drop = {.bucket = image.bucket, .entry = image.entry};

	if (type == EK_WIRE_BACKENDS)
		ek_wire_put_backend(out, &backend);
	else if (type == EK_WIRE_RING)
		ek_wire_put_slot(out, &slot);
	else if (type == EK_WIRE_ENTRIES)
		ek_wire_put_image(out, &image);
	else if (type == EK_WIRE_DROPS)
		ek_wire_put_drop(out, &drop);
	else if (type == EK_WIRE_FORGET || type == EK_WIRE_FORGOTTEN)
		ek_wire_put32(out, slot.slot);
}

/* Nearly right. */
static void hear_records(struct input *in, uint8_t type)
{
	const struct ek_wire_service name = service(byte(in));
	struct ek_wire_out out = {0};

	if (type <= EK_WIRE_ACK)
		ek_wire_put64(&out, number(in, 1));
	if (type == EK_WIRE_RING || type >= EK_WIRE_FORGET)
		ek_wire_put_service(&out, &name);
	if (type == EK_WIRE_FORGET || type == EK_WIRE_FORGOTTEN)
		ek_wire_put32(&out, number(in, 1));
	for (uint8_t n = byte(in) % 8; n; n--)
		put_record(in, type, &out);
	hear(type, out.bytes, out.length);
	ek_wire_free(&out);
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
	case 6:
		sim_nodes[0].to[1].capacity = byte(in);
		break;
	default:
		ek_mirror_peer_down(sim_nodes[0].mirror, 0);
		ek_mirror_peer_up(sim_nodes[0].mirror, 0);
		sim_apply(&sim_nodes[0]);
	}
}

static bool is_row(uint32_t row, uint16_t service)
{
	return row && row < SIM_ROWS && sim_nodes[0].state.backends[row].used &&
	       sim_nodes[0].state.backends[row].row.service == service;
}

static void check_slots(const uint32_t *slot, uint32_t n, uint16_t id)
{
	for (uint32_t i = 0; i < n; i++)
		if ((ek_slot_current(slot[i]) && !is_row(ek_slot_current(slot[i]), id)) ||
		    (ek_slot_origin(slot[i]) && !is_row(ek_slot_origin(slot[i]), id)) ||
		    slot[i] & 1u << 31)
			abort();
}

static void check(void)
{
	struct ek_datapath *dp = sim_nodes[0].dp;

	for (int i = 0; i < SIM_SERVICES; i++) {
		const uint32_t *slot = dp->rings[sim_nodes[0].services[i].id].ring->slot;

		for (uint32_t at = 0; at < EK_RING_SIZE; at += BLOCK) {
			uint32_t n = EK_RING_SIZE - at < BLOCK ? EK_RING_SIZE - at : BLOCK;

			if (memcmp(slot + at, initial[i].slot + at, n * sizeof(*slot)) != 0)
				check_slots(slot + at, n, sim_nodes[0].services[i].id);
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
	start();
	while (in.left) {
		uint8_t what = byte(&in);

		if (what & 0x80)
			act(&in, what);
		else if (what & 0x40)
			hear_records(&in, EK_WIRE_WANT + what % 12);
		else
			hear_bytes(&in, what);
		sim_queue_clear(&sim_nodes[0].to[1]);
	}
	check();
	sim_node_stop(0);
	return 0;
}
