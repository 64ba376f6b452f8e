/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ek_explain() against the program that it explains: random packets over every kind of slot, table
 * and backend, each explained first and then run. Verdict, drop reason, backend, outer header and
 * what is written to the connection table must be what was said; and saying it changes nothing.
 */
#include "balancer_fixture.h"
#include "explain.h"

#define ROUNDS	    40000
#define BARE_PORT   11u /* has no addresses */
#define ABSENT_PORT 12u
#define WILD_PORT   1000 /* above the port of the exact service */

enum kind { KIND_SYN, KIND_ACK, KIND_FIN, KIND_RST, KIND_DATAGRAM, KINDS };
enum table {
	TABLE_EMPTY,
	TABLE_EMBRYONIC,
	TABLE_ESTABLISHED,
	TABLE_CLOSING,
	TABLE_TWO, /* the old connection's entry, and an embryo beside it */
	TABLE_FULL,
	TABLE_FULL_AND_KNOWN,
	TABLE_FULL_OF_EMBRYOS,
	TABLES
};

#define TRACKINGS 4
static const unsigned int tracking_flags[TRACKINGS] = {
	0, EK_SERVICE_F_TRACK_FULL, EK_SERVICE_F_TRACK_NONE,
	EK_SERVICE_F_TRACK_FULL | EK_SERVICE_F_RESET};

struct round {
	struct fixture *f;
	uint32_t tick;
	unsigned int number; /* of the service */
	struct ek_service service;
	enum kind kind;
	enum table table;
	unsigned int tracking;
	bool wild; /* the service is found by a rule */
	uint32_t slot;
	struct ek_explain_packet packet;
	uint64_t hash;
	struct frame frame;
};

struct coverage {
	unsigned int rule[EK_RULE_UNKNOWN + 1], drop[EK_DROP_COUNT];
	unsigned int verdict[EK_EXPLAIN_RESET + 1], stored, unstored, redirected;
	unsigned int cell[2][TABLES][KINDS][TRACKINGS]; /* by LOOKUP and tracking */
};

/* --- chance ---------------------------------------------------------------------------------- */

static uint64_t seed = 0x9e3779b97f4a7c15ull;

static uint32_t chance(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 32) % below;
}

static bool one_in(uint32_t n)
{
	return chance(n) == 0;
}

static uint32_t any_row(unsigned int service)
{
	return row_of(one_in(12) ? chance(N_KNOWN) : service, chance(PER_SERVICE));
}

/* --- a world --------------------------------------------------------------------------------- */

static void scatter_backend(struct fixture *f, unsigned int service, uint32_t row)
{
	static const unsigned int flags[] = {EK_NEXTHOP_USABLE,
					     EK_NEXTHOP_USABLE,
					     EK_NEXTHOP_USABLE,
					     EK_NEXTHOP_ALIVE,
					     EK_NEXTHOP_RESOLVED,
					     0,
					     EK_NEXTHOP_USABLE | EK_NEXTHOP_DRAINING};
	static const unsigned int ports[] = {OWN_PORT,	  OWN_PORT,  OWN_PORT,
					     OWN_PORT,	  OWN_PORT,  EGRESS_PORT,
					     EGRESS_PORT, BARE_PORT, ABSENT_PORT};
	struct ek_backend b = usual_backend(service, row);
	uint8_t mac[6];

	backend_mac(mac, row);
	b.nexthop = EK_NEXTHOP(mac48(mac), ports[chance(sizeof(ports) / sizeof(*ports))],
			       flags[chance(sizeof(flags) / sizeof(*flags))]);
	b.mtu = one_in(12) ? 60 : PATH_MTU;
	set_backend(f, row, &b);
}

/* A wildcard service in the place of the exact one: of the prefix around its VIP and ten ports. */
static void make_wild(struct round *r)
{
	const struct known *k = &known[r->number];
	const uint16_t first = k->port + WILD_PORT;
	const unsigned int length = strchr(k->vip, ':') ? 64 : 120;
	struct ek_wildcard value = {.n = 2};
	struct ek_wildcard_key key = {.length = length};

	r->service.vip = ek_mask6(&r->service.vip, length);
	r->service.key = EK_SERVICE_WILD_KEY(htons(first), k->protocol, htons(first + 9), length);
	assert_int_equal(ek_service_table_put(r->f->services, &r->f->key, &r->service), 0);
	key.address = r->service.vip;
	value.rule[0] =
		(struct ek_wildcard_rule){.first = first, .last = first + 9, .protocol = 99};
	value.rule[1] = (struct ek_wildcard_rule){
		.first = first,
		.last = first + 9,
		.protocol = k->protocol,
		.slot = ek_service_table_find(r->f->services, &r->f->key, &r->service.vip,
					      r->service.key) -
			r->f->services->slot};
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(r->f->skeleton->maps.wildcards), &key,
					     &value, BPF_ANY),
			 0);
	r->f->services->settings.flags = EK_SETTING_WILDCARDS;
}

static void choose_service(struct round *r)
{
	static const unsigned int quota[] = {0, 0, 0, EK_SERVICE_F_OVER_QUOTA};

	r->number = chance(N_KNOWN);
	r->tracking = chance(TRACKINGS);
	r->service = entry_of(r->number);
	r->service.flags = tracking_flags[r->tracking] | quota[chance(4)];
	if (one_in(4)) {
		r->service.flags |= EK_SERVICE_F_SOURCE_HASH;
		r->service.hash_prefix4 = 1 + chance(32);
		r->service.hash_prefix6 = 1 + chance(128);
	}
	r->service.timeout[EK_FLOW_EMBRYONIC] = 60;
	r->service.timeout[EK_FLOW_ESTABLISHED] = 8100;
	r->service.timeout[EK_FLOW_CLOSING] = 120;
	if (one_in(100))
		r->service.id = N_KNOWN; /* which has no ring */
	r->wild = one_in(4);
	if (r->wild)
		make_wild(r);
	else
		assert_int_equal(ek_service_table_put(r->f->services, &r->f->key, &r->service), 0);
	for (unsigned int i = 0; i < PER_SERVICE; i++)
		scatter_backend(r->f, r->number, row_of(r->number, i));
}

static void set_sequence(struct round *r, uint32_t sequence)
{
	size_t at = ETHERNET + (read16(&r->frame, 12) == 0x86dd ? 40 : 20) + 4;

	if (r->kind == KIND_DATAGRAM)
		return;
	overwrite16(&r->frame, at, sequence >> 16);
	overwrite16(&r->frame, at + 2, sequence & 0xffff);
}

static void choose_packet(struct round *r)
{
	static const uint8_t flags[KINDS] = {SYN, ACK, FIN | ACK, RST, 0};
	static const enum ek_packet_kind kinds[KINDS] = {EK_PACKET_SYN, EK_PACKET_DATA,
							 EK_PACKET_END, EK_PACKET_REFUSAL,
							 EK_PACKET_DATAGRAM};
	const struct known *k = &known[r->number];
	const bool six = strchr(k->vip, ':');
	struct packet_spec p = {.family = six ? 6 : 4,
				.protocol = k->protocol,
				.source = address(six ? CLIENT6 : CLIENT4),
				.destination = address(k->vip),
				.source_port = 1 + chance(65535),
				.destination_port = one_in(100) ? 9999 : k->port,
				.payload = one_in(3) ? chance(200) : 0};

	if (r->wild) {
		p.destination.bytes[15] = 1 + chance(254);
		p.destination_port = k->port + WILD_PORT + chance(one_in(20) ? 12 : 10);
	}
	r->kind = k->protocol == IPPROTO_UDP ? KIND_DATAGRAM : chance(KIND_DATAGRAM);
	p.tcp_flags = flags[r->kind];
	p.source.words[3] ^= chance(1 << 16) << 16;
	if (one_in(50))
		p.source = address(six ? "ff02::7" : "224.0.0.7");
	build_frame(&r->frame, &p, node_mac, client_mac);
	r->packet = (struct ek_explain_packet){.source = p.source,
					       .destination = p.destination,
					       .source_port = htons(p.source_port),
					       .destination_port = htons(p.destination_port),
					       .protocol = p.protocol,
					       .kind = kinds[r->kind],
					       .sequence = chance(UINT32_MAX),
					       .is_reset = r->kind == KIND_RST,
					       .length = r->frame.length - ETHERNET};
	set_sequence(r, r->packet.sequence);
	r->hash = ek_hash_flow(&r->f->key, &p.source, htons(p.source_port), &p.destination,
			       htons(p.destination_port) | p.protocol << 16);
}

static void choose_slot(struct round *r)
{
	uint64_t hash = ek_hash_ring(&r->f->key, &r->service, &r->packet.source, r->hash);
	uint32_t origin = any_row(r->number);
	uint32_t current = one_in(3) ? origin : any_row(r->number);

	/* No ring names another service's: the usual path does not look, the unusual one would. */
	if (r->wild)
		current = row_of(r->number, chance(PER_SERVICE));
	r->slot = ek_slot(one_in(50) ? EK_BACKEND_NONE : current, origin, !one_in(5));
	r->f->rings[r->number]->slot[ek_ring_index(hash)] = r->slot;
}

static uint32_t any_age(void)
{
	static const uint32_t ages[] = {0, 1, 2, 3, 4, 5, 6, 30, 60, 61, 120, 121, 500, 8101};

	return ages[chance(sizeof(ages) / sizeof(*ages))];
}

/* This flow's own entry. */
static void put_own(struct round *r, unsigned int way, enum ek_flow_state state)
{
	static const uint32_t behind[] = {0,  1, 700, EK_FLOW_ISN_WINDOW - 1, EK_FLOW_ISN_WINDOW,
					  -1u};
	uint32_t bucket = ek_flow_bucket_index(r->hash, BUCKETS - 1);
	const struct ek_explain_packet *p = &r->packet;

	r->f->flows[bucket].entry[way] =
		ek_flow_entry(r->hash, any_row(r->number), state, r->tick - any_age());
	r->f->flow_keys[bucket].key[way] = (struct ek_flow_key){
		.source = p->source,
		.destination = p->destination,
		.source_port = p->source_port,
		.destination_port = p->destination_port,
		.isn = p->sequence - 1 - behind[chance(sizeof(behind) / sizeof(*behind))],
		.service = r->number,
		.protocol = p->protocol};
}

static void fill_bucket(struct round *r, enum ek_flow_state state, uint32_t age)
{
	struct ek_flow_bucket *b = &r->f->flows[ek_flow_bucket_index(r->hash, BUCKETS - 1)];

	for (unsigned int way = 0; way < EK_FLOW_WAYS; way++)
		b->entry[way] = ek_flow_entry(~r->hash - ((uint64_t)way << 40), any_row(r->number),
					      state, r->tick - age);
}

static void choose_table(struct round *r)
{
	unsigned int way = chance(EK_FLOW_WAYS);

	memset(r->f->flows, 0, BUCKETS * sizeof(*r->f->flows));
	memset(r->f->flow_keys, 0, BUCKETS * sizeof(*r->f->flow_keys));
	r->table = chance(TABLES);
	if (r->table == TABLE_FULL || r->table == TABLE_FULL_AND_KNOWN)
		fill_bucket(r, EK_FLOW_ESTABLISHED + chance(2), 1 + chance(100));
	if (r->table == TABLE_FULL_OF_EMBRYOS)
		fill_bucket(r, EK_FLOW_EMBRYONIC, any_age());
	if (r->table == TABLE_EMBRYONIC || r->table == TABLE_TWO)
		put_own(r, way, EK_FLOW_EMBRYONIC);
	if (r->table == TABLE_ESTABLISHED || r->table == TABLE_TWO)
		put_own(r, (way + 1) % EK_FLOW_WAYS, EK_FLOW_ESTABLISHED);
	if (r->table == TABLE_CLOSING)
		put_own(r, way, EK_FLOW_CLOSING);
	if (r->table == TABLE_FULL_AND_KNOWN)
		put_own(r, way, EK_FLOW_EMBRYONIC + chance(3));
}

/* The operator who asks knows no sequence numbers: the right one, whatever it is. */
static void choose_sequence(struct round *r)
{
	uint32_t bucket = ek_flow_bucket_index(r->hash, BUCKETS - 1);

	r->packet.in_sequence = one_in(4);
	for (unsigned int way = 0; r->packet.in_sequence && way < EK_FLOW_WAYS; way++) {
		uint64_t entry = r->f->flows[bucket].entry[way];

		if (!((entry ^ r->hash) >> 31) && ek_flow_state(entry) == EK_FLOW_EMBRYONIC)
			set_sequence(r, r->f->flow_keys[bucket].key[way].isn + 1);
	}
}

/* --- explaining and running ------------------------------------------------------------------ */

static const struct ek_ring *ring_at(const void *context, uint32_t id)
{
	const struct fixture *f = context;

	return id < N_KNOWN ? f->rings[id] : NULL;
}

static struct ek_backend backend_of(const void *context, uint32_t index)
{
	const struct fixture *f = context;

	return index < ROWS ? f->backends[index] : (struct ek_backend){0};
}

static struct ek_port port_of(const void *context, uint32_t number)
{
	const struct fixture *f = context;

	return number < EK_PORTS_MAX ? f->ports[number] : (struct ek_port){0};
}

static bool wildcard_of(const void *context, const struct ek_ip *vip, struct ek_wildcard *out)
{
	const struct fixture *f = context;
	const struct ek_wildcard_key key = {.length = 128, .address = *vip};

	return !bpf_map_lookup_elem(bpf_map__fd(f->skeleton->maps.wildcards), &key, out);
}

static void explain(const struct round *r, struct ek_explanation *e)
{
	const struct ek_explain_view view = {.services = r->f->services,
					     .key = &r->f->key,
					     .flows = r->f->flows,
					     .flow_keys = r->f->flow_keys,
					     .buckets = BUCKETS,
					     .tick = r->tick,
					     .ring = ring_at,
					     .backend = backend_of,
					     .port = port_of,
					     .wildcard = wildcard_of,
					     .context = r->f};
	static struct ek_flow_bucket flows[BUCKETS];
	static struct ek_flow_keys keys[BUCKETS];

	memcpy(flows, r->f->flows, sizeof(flows));
	memcpy(keys, r->f->flow_keys, sizeof(keys));
	assert_int_equal(ek_explain(&view, &r->packet, e), 0);
	assert_memory_equal(flows, r->f->flows, sizeof(flows));
	assert_memory_equal(keys, r->f->flow_keys, sizeof(keys));
}

/* The outer header is of the backend's family, whatever the packet's. */
static void expect_outer(const struct ek_explain_outer *o, const struct frame *in,
			 const struct frame *out)
{
	const bool six = read16(out, 12) == 0x86dd;
	const uint8_t *ip = out->bytes + ETHERNET;

	assert_int_equal(out->length, in->length + o->bytes);
	assert_memory_equal(out->bytes, &o->nexthop, 6);
	assert_memory_equal(out->bytes + 6, &o->mac, 6);
	assert_memory_equal(ip + (six ? 8 : 12), six ? o->source.bytes : &o->source.bytes[12],
			    six ? 16 : 4);
	assert_memory_equal(ip + (six ? 24 : 16),
			    six ? o->destination.bytes : &o->destination.bytes[12], six ? 16 : 4);
}

static void expect_explained(const struct round *r, const struct ek_explanation *e,
			     const struct result *out)
{
	switch (e->verdict) {
	case EK_EXPLAIN_PASS:
		expect_pass("explained as none of ours", &r->frame, out);
		break;
	case EK_EXPLAIN_DROP:
		expect_drop("explained as a drop", out, e->drop);
		break;
	case EK_EXPLAIN_FORWARD:
		assert_int_equal(out->verdict, e->outer.port == OWN_PORT ? XDP_TX : XDP_REDIRECT);
		assert_int_equal(out->counted_forwards, 1);
		assert_int_equal(out->row, e->backend);
		expect_outer(&e->outer, &r->frame, &out->out);
		break;
	case EK_EXPLAIN_RESET:
		assert_int_equal(out->verdict, XDP_TX);
		assert_int_equal(out->counted_drops, 1);
		assert_int_equal(out->drop, e->drop);
		break;
	}
}

/* An explanation that says "stored" must find the entry and its twin; one that does not, neither.
 */
static void expect_stored(const struct round *r, const struct ek_explanation *e)
{
	const struct ek_flow_bucket *b = &r->f->flows[e->bucket];
	unsigned int found = 0;

	if (e->verdict == EK_EXPLAIN_PASS || !e->stored)
		return;
	for (unsigned int way = 0; way < EK_FLOW_WAYS; way++) {
		const struct ek_flow_key *key = &r->f->flow_keys[e->bucket].key[way];

		found += !((b->entry[way] ^ r->hash) >> 31) && key->since == r->tick &&
			 ek_flow_backend(b->entry[way]) == e->backend &&
			 ek_flow_age(b->entry[way], r->tick) == 0 &&
			 key->source_port == r->packet.source_port;
	}
	assert_int_equal(found, 1);
}

static uint64_t unstored_total(const struct fixture *f)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < f->cpus * ROWS; i++)
		total += f->backends[i].unstored;
	return total;
}

static void take_note(struct coverage *seen, const struct round *r, const struct ek_explanation *e)
{
	seen->verdict[e->verdict]++;
	seen->drop[e->drop]++;
	seen->rule[e->rule]++;
	seen->stored += e->stored;
	seen->unstored += e->unstored;
	seen->redirected += e->verdict == EK_EXPLAIN_FORWARD && e->outer.port != OWN_PORT;
	seen->cell[!!(r->slot & EK_SLOT_LOOKUP)][r->table][r->kind][r->tracking]++;
}

/* Agreement on what was never tried says nothing. */
static void expect_covered(const struct coverage *seen)
{
	static const enum ek_drop never[] = {
		EK_DROP_NONE,	   EK_DROP_MALFORMED,	EK_DROP_TRUNCATED,     EK_DROP_FRAGMENT,
		EK_DROP_EXTENSION, EK_DROP_NO_HEADROOM, EK_DROP_NO_SERVICE,    EK_DROP_ICMP_OTHER,
		EK_DROP_ICMP_RATE, EK_DROP_ECHO_OFF,	EK_DROP_NOT_REWRITABLE};
	unsigned int skipped = 0;

	for (unsigned int i = EK_RULE_NONE + 1; i <= EK_RULE_UNKNOWN; i++)
		if (seen->rule[i] < 20)
			fail_msg("rule %u: %u times", i, seen->rule[i]);
	for (unsigned int i = 0; i < EK_DROP_COUNT; i++) {
		if (skipped < sizeof(never) / sizeof(*never) && i == never[skipped]) {
			skipped++;
			continue;
		}
		if (seen->drop[i] < 20)
			fail_msg("drop %u: %u times", i, seen->drop[i]);
	}
	for (unsigned int i = 0; i < 2 * TABLES * KINDS * TRACKINGS; i++)
		if (!(&seen->cell[0][0][0][0])[i])
			fail_msg("LOOKUP %u, table %u, kind %u, tracking %u: never",
				 i / (TABLES * KINDS * TRACKINGS), i / (KINDS * TRACKINGS) % TABLES,
				 i / TRACKINGS % KINDS, i % TRACKINGS);
	assert_true(seen->stored > 1000 && seen->unstored > 100 && seen->redirected > 100);
	assert_true(seen->verdict[EK_EXPLAIN_PASS] > 20 && seen->verdict[EK_EXPLAIN_RESET] > 1000);
}

static void play(struct round *r, struct coverage *seen)
{
	static struct ek_explanation e;
	static struct result out;
	uint64_t unstored;

	choose_service(r);
	choose_packet(r);
	choose_slot(r);
	choose_table(r);
	choose_sequence(r);
	explain(r, &e);
	unstored = unstored_total(r->f);
	run(r->f, &r->frame, &out);
	expect_explained(r, &e, &out);
	expect_stored(r, &e);
	assert_int_equal(unstored_total(r->f) - unstored, e.unstored && e.backend);
	take_note(seen, r, &e);
}

static void test_random(void **state)
{
	static struct coverage seen;
	static struct round r;

	r = (struct round){.f = *state};
	for (unsigned int i = 0; i < ROUNDS; i++) {
		r.tick = tick_of(*state); /* jiffies begin 300 s before bit 31 changes */
		play(&r, &seen);
	}
	expect_covered(&seen);
}

/* --- what a packet test cannot say ------------------------------------------------------------ */

static void test_families(void **state)
{
	const struct ek_explain_view view = {0};
	const struct ek_explain_packet p = {.source = address(CLIENT6),
					    .destination = address(VIP4)};
	struct ek_explanation e;

	(void)state;
	assert_int_equal(ek_explain(&view, &p, &e), -EINVAL);
}

static int set_up(void **state)
{
	static struct fixture f;
	const uint32_t loopback = 1, ports[] = {EGRESS_PORT, BARE_PORT};

	fixture_open(&f);
	set_port(&f, BARE_PORT, egress_mac, "0.0.0.0", "::");
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(f.skeleton->maps.egress),
						     &ports[i], &loopback, BPF_ANY),
				 0);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	fixture_close(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_families),
	};

	return cmocka_run_group_tests_name("explain", tests, set_up, tear_down);
}
