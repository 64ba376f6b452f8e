/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What bpf/select.h tells of entries under BPF_PROG_TEST_RUN (root): one packet a row, with what
 * lies in its bucket, and the records that it must add to its CPU's log, in order: no more, no
 * fewer, and none at all for a service that is not mirrored. The maps are the fixture's, in which
 * only CPU 0 has a log and time stands still.
 */
#include <sched.h>
#include "balancer_fixture.h"

#define ISN	0x20000000u
#define TIMEOUT 1000u
#define EMBRYO	EK_FLOW_EMBRYONIC
#define LIVE	EK_FLOW_ESTABLISHED
#define CLOSING EK_FLOW_CLOSING
#define FULL	EK_SERVICE_F_TRACK_FULL
#define REUSE	EK_FLOW_REUSE_AFTER
#define PAST	(TIMEOUT + 1)

/* Backends are counted from 1 within the service, in the order of its rows; 0 = nothing. */
struct held {
	uint8_t state, backend;
	uint16_t age;
};

struct told {
	uint8_t state, backend;
	uint8_t way;
	bool removed; /* what lay in that way before */
};

struct row {
	const char *description;
	unsigned int tcp_flags; /* 0: UDP */
	uint32_t sequence, flags;
	bool forgetful; /* the slot does not look up */
	bool crowded;	/* the other ways are held by others */
	uint8_t current, origin, down;
	struct held held[2];
	struct told told[2];
	bool repeat; /* the packet comes twice: what the second one tells */
};

#define OPENS	   .tcp_flags = SYN, .sequence = ISN + 0x1000000
#define COMPLETES  .tcp_flags = ACK, .sequence = ISN + 1
#define SPEAKS	   .tcp_flags = ACK | PSH, .sequence = ISN + 0x3000000
#define FINISHES   .tcp_flags = FIN | ACK, .sequence = ISN + 0x3000000
#define RESETS	   .tcp_flags = RST, .sequence = ISN + 0x3000000
#define DATAGRAM   .tcp_flags = 0, .flags = FULL
#define SLOT(c, o) .current = c, .origin = o
#define HELD(...)  .held = {__VA_ARGS__}
#define TOLD(...)  .told = {__VA_ARGS__}
#define GONE(s, b, w)         \
	{                     \
		s, b, w, true \
	}

/* clang-format off */
static const struct row rows[] = {
	{"an embryo is stored: nobody's business", OPENS, SLOT(2, 1)},
	{"an old embryo is replaced", OPENS, SLOT(2, 1), HELD({EMBRYO, 3, 9})},
	{"a handshake is complete", COMPLETES, SLOT(2, 1), HELD({EMBRYO, 2, 3}), TOLD({LIVE, 2, 0})},
	{"in another way", COMPLETES, SLOT(2, 1), HELD({0}, {EMBRYO, 2, 3}), TOLD({LIVE, 2, 1})},
	{"complete, and over at once", .tcp_flags = FIN | ACK, .sequence = ISN + 1, SLOT(2, 1),
	 HELD({EMBRYO, 2, 3}), TOLD({CLOSING, 2, 0})},
	{"not its acknowledgement", SPEAKS, SLOT(2, 1), HELD({EMBRYO, 2, 3})},

	{"data: an age is no news", SPEAKS, SLOT(2, 1), HELD({LIVE, 3, 500})},
	{"a FIN", FINISHES, SLOT(2, 1), HELD({LIVE, 3, 500}), TOLD({CLOSING, 3, 0})},
	{"an RST", RESETS, SLOT(2, 1), HELD({LIVE, 3}), TOLD({CLOSING, 3, 0})},
	{"a FIN, sent again", FINISHES, SLOT(2, 1), HELD({CLOSING, 3, 1})},
	{"the last acknowledgement", SPEAKS, SLOT(2, 1), HELD({CLOSING, 3, REUSE - 1})},
	{"it lives on", SPEAKS, SLOT(2, 1), HELD({CLOSING, 3, REUSE}), TOLD({LIVE, 3, 0})},
	{"its backend is down, and it keeps its name", SPEAKS, .down = 3, SLOT(2, 1), HELD({LIVE, 3, 9})},
	{"its backend is down: a FIN even so", FINISHES, .down = 3, SLOT(2, 1), HELD({LIVE, 3, 9}),
	 TOLD({CLOSING, 3, 0})},

	{"a SYN renews a live one", OPENS, SLOT(2, 1), HELD({LIVE, 3, 9})},
	{"a SYN right after a FIN: it serves again", OPENS, SLOT(2, 1), HELD({CLOSING, 3, 1}),
	 TOLD({LIVE, 3, 0})},
	{"its port is reused: an embryo beside it", OPENS, SLOT(2, 1), HELD({CLOSING, 3, REUSE})},
	{"its port was reused: the new one alone is told", COMPLETES, SLOT(2, 1),
	 HELD({CLOSING, 3, 9}, {EMBRYO, 2, 1}), TOLD({LIVE, 2, 1})},
	{"its port is reused and there is no room: it serves again", OPENS, .crowded = true, SLOT(2, 1),
	 HELD({CLOSING, 3, REUSE}), TOLD({LIVE, 3, 0})},
	{"a new one without room", OPENS, .crowded = true, SLOT(2, 1)},

	{"expired, met by a SYN", OPENS, SLOT(2, 1), HELD({CLOSING, 3, PAST}), TOLD(GONE(CLOSING, 3, 0))},
	{"expired, met by data", SPEAKS, SLOT(2, 1), HELD({LIVE, 3, PAST}), TOLD(GONE(LIVE, 3, 0))},
	{"expired, none is needed", OPENS, SLOT(1, 1), HELD({LIVE, 3, PAST}), TOLD(GONE(LIVE, 3, 0))},
	{"an embryo expired", OPENS, SLOT(2, 1), HELD({EMBRYO, 3, PAST})},
	{"expired, beside a handshake that completes: gone first", COMPLETES, SLOT(2, 1),
	 HELD({CLOSING, 3, PAST}, {EMBRYO, 2, 1}), TOLD(GONE(CLOSING, 3, 0), {LIVE, 2, 1})},

	{"no entry, to origin", SPEAKS, SLOT(2, 1)},
	{"the slot looks nothing up", FINISHES, .forgetful = true, SLOT(2, 2), HELD({LIVE, 2, 9})},

	{"full: met in mid-flow, an embryo", SPEAKS, .flags = FULL, SLOT(1, 1)},
	{"full: and proved", SPEAKS, .flags = FULL, SLOT(1, 1), .repeat = true, TOLD({LIVE, 1, 0})},
	{"full: a handshake", COMPLETES, .flags = FULL, SLOT(1, 1), HELD({EMBRYO, 1, 0}),
	 TOLD({LIVE, 1, 0})},

	{"UDP: a new flow", DATAGRAM, SLOT(2, 1), TOLD({LIVE, 2, 0})},
	{"UDP: without room", DATAGRAM, .crowded = true, SLOT(2, 1)},
	{"UDP: again", DATAGRAM, SLOT(2, 1), HELD({LIVE, 3, 9})},
	{"UDP: its backend is down", DATAGRAM, .down = 3, SLOT(2, 1), HELD({LIVE, 3, 9}),
	 TOLD({LIVE, 2, 0})},
	{"UDP: expired, and new", DATAGRAM, SLOT(2, 1), HELD({LIVE, 3, PAST}),
	 TOLD(GONE(LIVE, 3, 0), {LIVE, 2, 0})},
};
/* clang-format on */
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

struct lab {
	struct fixture f;
	struct ek_news *log; /* of CPU 0 */
};

/* --- a row's packet and bucket --------------------------------------------------------------- */

struct place {
	unsigned int service;
	struct flow flow;
	uint64_t hash;
	uint32_t slot;
	struct ek_flow_bucket *bucket;
	struct ek_flow_keys *keys;
};

static void build(struct frame *in, const struct row *row, int family)
{
	const struct packet_spec p = {
		.family = family,
		.protocol = row->tcp_flags ? IPPROTO_TCP : IPPROTO_UDP,
		.source = address(family == 4 ? CLIENT4 : CLIENT6),
		.destination = address(family == 4 ? VIP4 : VIP6),
		.source_port = 40000,
		.destination_port = row->tcp_flags ? 80 : 53,
		.tcp_flags = row->tcp_flags,
		.payload = 10,
	};
	const size_t at = ETHERNET + (family == 4 ? 20 : 40) + 4;

	build_frame(in, &p, node_mac, client_mac);
	if (!row->tcp_flags)
		return;
	overwrite16(in, at, row->sequence >> 16);
	overwrite16(in, at + 2, row->sequence & 0xffff);
}

static struct place find_place(struct fixture *f, const struct frame *in)
{
	struct place p = {.flow = flow_of(in)};

	p.service = service_of(&p.flow);
	p.hash = hash_of(f, &p.flow);
	p.slot = (p.hash >> 32) * 65537 >> 32;
	p.bucket = &f->flows[p.hash & (BUCKETS - 1)];
	p.keys = &f->flow_keys[p.hash & (BUCKETS - 1)];
	return p;
}

static uint32_t backend_of(const struct place *p, uint8_t backend)
{
	return row_of(p->service, backend - 1);
}

static uint64_t entry_of_held(struct fixture *f, const struct place *p, const struct held *h)
{
	if (!h->state)
		return 0;
	return ek_flow_entry(p->hash, backend_of(p, h->backend), h->state, tick_of(f) - h->age);
}

static void arrange_service(struct fixture *f, const struct place *p, const struct row *row,
			    bool mirrored)
{
	struct ek_service entry = entry_of(p->service);

	entry.flags = row->flags | (mirrored ? EK_SERVICE_F_MIRRORED : 0);
	for (int i = 1; i < EK_FLOW_STATES; i++)
		entry.timeout[i] = TIMEOUT;
	add_service(f, &entry);
	f->rings[p->service]->slot[p->slot] =
		ek_slot(backend_of(p, row->current), backend_of(p, row->origin), !row->forgetful);
	for (uint8_t b = 1; b <= PER_SERVICE; b++) {
		struct ek_backend value = usual_backend(p->service, backend_of(p, b));

		if (b == row->down)
			value.nexthop &= ~((uint64_t)EK_NEXTHOP_ALIVE << 56);
		set_backend(f, backend_of(p, b), &value);
	}
}

static void arrange(struct fixture *f, const struct place *p, const struct row *row, bool mirrored)
{
	const struct ek_flow_key key = {
		.source = p->flow.source, .source_port = htons(p->flow.source_port), .isn = ISN};

	arrange_service(f, p, row, mirrored);
	memset(f->flows, 0, BUCKETS * sizeof(*f->flows));
	memset(f->flow_keys, 0, BUCKETS * sizeof(*f->flow_keys));
	for (int way = 0; way < EK_FLOW_WAYS; way++) {
		struct held held = {0};

		if (way < 2)
			held = row->held[way];
		p->bucket->entry[way] = entry_of_held(f, p, &held);
		p->keys->key[way] = key;
		if (row->crowded && !p->bucket->entry[way])
			p->bucket->entry[way] = ek_flow_entry(~p->hash + ((uint64_t)way << 40),
							      backend_of(p, 1), LIVE, tick_of(f));
	}
}

/* --- what it tells --------------------------------------------------------------------------- */

static void expect_record(const struct row *row, int family, const struct place *p,
			  const struct told *told, const uint64_t before[2],
			  const struct ek_news_record *r)
{
	uint64_t expected = told->removed ? before[told->way] : p->bucket->entry[told->way];
	bool ok = r->entry == expected && ek_flow_state(r->entry) == told->state &&
		  ek_flow_backend(r->entry) == backend_of(p, told->backend) &&
		  r->bucket == (p->hash & (BUCKETS - 1)) &&
		  r->flags == (told->removed ? EK_NEWS_REMOVED : 0) &&
		  (told->removed || r->way == told->way);

	if (!ok)
		fail_msg("IPv%d: %s: entry %jx (state %u, backend %u), bucket %u, way %u, flags %x",
			 family, row->description, (uintmax_t)r->entry, ek_flow_state(r->entry),
			 ek_flow_backend(r->entry), r->bucket, r->way, r->flags);
}

static void run_row(struct lab *lab, const struct row *row, int family, bool mirrored)
{
	static struct frame in;
	static struct result r;
	uint64_t before[2], head;
	unsigned int expected = 0;
	struct place p;

	build(&in, row, family);
	p = find_place(&lab->f, &in);
	arrange(&lab->f, &p, row, mirrored);
	memcpy(before, p.bucket->entry, sizeof(before));
	if (row->repeat)
		run(&lab->f, &in, &r);
	head = lab->log->head;
	run(&lab->f, &in, &r);
	while (mirrored && expected < 2 && row->told[expected].state) {
		if (lab->log->head > head + expected)
			expect_record(row, family, &p, &row->told[expected], before,
				      &lab->log->record[(head + expected) % EK_NEWS_SIZE]);
		expected++;
	}
	if (lab->log->head - head != expected)
		fail_msg("IPv%d: %s%s: %ju records, expected %u", family, row->description,
			 mirrored ? "" : ", not mirrored", (uintmax_t)(lab->log->head - head),
			 expected);
}

static void test_rows(void **state)
{
	for (size_t i = 0; i < N_ROWS; i++)
		for (int family = 4; family <= 6; family += 2) {
			print_message("  IPv%d: %s\n", family, rows[i].description);
			run_row(*state, &rows[i], family, true);
		}
}

/* Nobody is to be told: the data plane does the same, and says nothing. */
static void test_not_mirrored(void **state)
{
	for (size_t i = 0; i < N_ROWS; i++)
		for (int family = 4; family <= 6; family += 2)
			run_row(*state, &rows[i], family, false);
}

/* --- the log --------------------------------------------------------------------------------- */

static const struct row ending = {"a FIN", FINISHES, SLOT(2, 1), HELD({LIVE, 3}),
				  TOLD({CLOSING, 3, 0})};

/* The count goes on where the records begin again, and nothing is written beside them. */
static void test_log_wraps(void **state)
{
	const uint64_t begin = 5ull * EK_NEWS_SIZE - 3;
	struct lab *lab = *state;
	static struct frame in;
	static struct result r;
	struct place p;

	build(&in, &ending, 4);
	p = find_place(&lab->f, &in);
	memset(lab->log->record, 0xee, sizeof(lab->log->record));
	lab->log->head = begin;
	for (uint64_t i = begin; i < begin + 6; i++) {
		const struct ek_news_record *record = &lab->log->record[i % EK_NEWS_SIZE];

		arrange(&lab->f, &p, &ending, true);
		run(&lab->f, &in, &r);
		assert_int_equal(lab->log->head, i + 1);
		assert_true(record->entry == p.bucket->entry[0]);
		assert_int_equal(record->bucket, p.hash & (BUCKETS - 1));
	}
	for (uint32_t i = 3; i < EK_NEWS_SIZE - 3; i++)
		assert_true(lab->log->record[i].entry == 0xeeeeeeeeeeeeeeeeull);
	for (size_t i = 0; i < sizeof(lab->log->pad) / sizeof(lab->log->pad[0]); i++)
		assert_int_equal(lab->log->pad[i], 0);
}

/* On a CPU that has no log a packet is served all the same. */
static void test_without_a_log(void **state)
{
	struct lab *lab = *state;
	uint64_t head = lab->log->head;
	static struct frame in;
	static struct result r;
	cpu_set_t one, before;
	struct place p;

	CPU_ZERO(&one);
	CPU_SET(1, &one);
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	if (sched_setaffinity(0, sizeof(one), &one))
		skip(); /* there is but one */
	build(&in, &ending, 4);
	p = find_place(&lab->f, &in);
	arrange(&lab->f, &p, &ending, true);
	run(&lab->f, &in, &r);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(r.verdict, XDP_TX);
	assert_int_equal(ek_flow_state(p.bucket->entry[0]), CLOSING);
	assert_int_equal(lab->log->head, head);
}

/* --- opening --------------------------------------------------------------------------------- */

static int setup(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	cpu_set_t first;

	assert_non_null(lab);
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	assert_int_equal(sched_setaffinity(0, sizeof(first), &first), 0);
	fixture_open(&lab->f);
	lab->log = map_of(bpf_map__fd(lab->f.skeleton->maps.news), sizeof(*lab->log));
	*state = lab;
	return 0;
}

static int teardown(void **state)
{
	struct lab *lab = *state;

	munmap(lab->log, sizeof(*lab->log));
	fixture_close(&lab->f);
	free(lab);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_not_mirrored),
		cmocka_unit_test(test_log_wraps),
		cmocka_unit_test(test_without_a_log),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
