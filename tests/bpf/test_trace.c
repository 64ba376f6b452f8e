/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/trace.h under BPF_PROG_TEST_RUN (root): the whole record of what becomes of each packet, that
 * what is not asked for is not recorded, and that being watched changes nothing of what comes out.
 */
#include <time.h>
#include "balancer_fixture.h"

#define EVER UINT64_MAX

struct records {
	struct ring_buffer *ring;
	struct ek_trace_record list[64];
	size_t n;
};

static struct records records;

static int on_record(void *arg, void *data, size_t size)
{
	struct records *r = arg;

	assert_int_equal(size, sizeof(r->list[0]));
	assert_true(r->n < sizeof(r->list) / sizeof(r->list[0]));
	memcpy(&r->list[r->n++], data, size);
	return 0;
}

static void collect(void)
{
	records.n = 0;
	assert_true(ring_buffer__consume(records.ring) >= 0);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static struct ek_trace everything(void)
{
	return (struct ek_trace){.until = EVER, .service = EK_SERVICE_NONE, .rate = 1000000};
}

static void clear_spent(const struct fixture *f)
{
	struct ek_trace_spent spent[CPUS_MAX] = {0};
	uint32_t zero = 0;

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(f->skeleton->maps.trace_spent), &zero,
					     spent, BPF_ANY),
			 0);
}

static void listen_to(struct fixture *f, const struct ek_trace *filter)
{
	uint32_t zero = 0;

	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(f->skeleton->maps.tracing), &zero, filter, BPF_ANY),
		0);
	f->ports[OWN_PORT].flags = EK_PORT_TRACED;
	clear_spent(f);
	collect();
}

/* --- packets --------------------------------------------------------------------------------- */

struct row {
	const char *description;
	unsigned int protocol, port;
	const char *to4, *to6; /* NULL: the usual VIP */
	size_t payload;
	unsigned int tags;
	bool no_backend, reset, malformed, other_mac;
	int verdict; /* of the record; 0: there is none */
	int action;  /* of the program */
	bool chosen; /* a backend */
	bool service;
};

static const struct row rows[] = {
	{"forwarded", IPPROTO_TCP, 80, .verdict = XDP_TX, .action = XDP_TX, .chosen = true,
	 .service = true},
	{"UDP forwarded", IPPROTO_UDP, 53, .payload = 20, .verdict = XDP_TX, .action = XDP_TX,
	 .chosen = true, .service = true},
	{"a long frame", IPPROTO_TCP, 80, .payload = 1400, .verdict = XDP_TX, .action = XDP_TX,
	 .chosen = true, .service = true},
	{"one tag", IPPROTO_TCP, 80, .tags = 1, .verdict = XDP_TX, .action = XDP_TX, .chosen = true,
	 .service = true},
	{"two tags", IPPROTO_TCP, 80, .payload = 300, .tags = 2, .verdict = XDP_TX,
	 .action = XDP_TX, .chosen = true, .service = true},
	{"too big for the tunnel", IPPROTO_TCP, 80, .payload = 1480, .verdict = -EK_DROP_TOO_BIG,
	 .action = XDP_DROP, .chosen = true, .service = true},
	{"no backend", IPPROTO_TCP, 80, .no_backend = true, .verdict = -EK_DROP_NO_BACKEND,
	 .action = XDP_DROP, .service = true},
	{"malformed", IPPROTO_TCP, 80, .malformed = true, .verdict = -EK_DROP_MALFORMED,
	 .action = XDP_DROP},
	{"malformed, tagged", IPPROTO_TCP, 80, .malformed = true, .tags = 1,
	 .verdict = -EK_DROP_MALFORMED, .action = XDP_DROP},
	{"of no known connection, answered", IPPROTO_TCP, 80, .reset = true,
	 .verdict = -EK_DROP_UNKNOWN_FLOW, .action = XDP_TX, .service = true},
	{"for a port of a VIP that is no service", IPPROTO_TCP, 81, .verdict = XDP_PASS,
	 .action = XDP_PASS},
	{"for no VIP", IPPROTO_TCP, 80, OTHER4, OTHER6, .action = XDP_PASS},
	{"for no VIP, tagged", IPPROTO_TCP, 80, OTHER4, OTHER6, .tags = 2, .action = XDP_PASS},
	{"for another MAC", IPPROTO_TCP, 80, .other_mac = true, .action = XDP_PASS},
};

static void add_tags(struct frame *in, unsigned int n)
{
	memmove(in->bytes + 12 + 4 * n, in->bytes + 12, in->length - 12);
	in->length += 4 * n;
	if (n == 2)
		memcpy(in->bytes + 12, "\x88\xa8\x00\x64\x81\x00\xe0\x07", 8);
	else if (n)
		memcpy(in->bytes + 12, "\x81\x00\xe0\x07", 4);
}

static void build(struct frame *in, const struct row *row, int family)
{
	const char *to = family == 4 ? row->to4 ?: VIP4 : row->to6 ?: VIP6;
	const struct packet_spec p = {.family = family,
				      .protocol = row->protocol,
				      .source = address(family == 4 ? CLIENT4 : CLIENT6),
				      .destination = address(to),
				      .source_port = 40000,
				      .destination_port = row->port,
				      .id = 0x1234,
				      .tcp_flags = ACK,
				      .payload = row->payload};

	build_frame(in, &p, node_mac, client_mac);
	if (row->malformed)
		in->bytes[ETHERNET + (family == 4 ? 20 : 40) + 12] = 0x10;
	if (row->other_mac)
		in->bytes[4] ^= 1;
	add_tags(in, row->tags);
}

static void prepare(struct fixture *f, const struct row *row)
{
	const uint32_t id = EK_SERVICE_F_TRACK_FULL | EK_SERVICE_F_RESET;

	fixture_fill(f);
	memset(f->flows, 0, BUCKETS * sizeof(*f->flows));
	for (unsigned int s = 0; s < N_KNOWN; s++) {
		struct ek_service entry = entry_of(s);

		if (row->reset)
			entry.flags = id;
		assert_int_equal(ek_service_table_put(f->services, &f->key, &entry), 0);
		for (uint32_t i = 0; i < EK_RING_SIZE && (row->reset || row->no_backend); i++)
			f->rings[s]->slot[i] =
				row->no_backend ? 0 : f->rings[s]->slot[i] | EK_SLOT_LOOKUP;
	}
}

static unsigned int service_number(int family, const struct row *row)
{
	const struct ek_ip vip = address(family == 4 ? VIP4 : VIP6);

	for (unsigned int i = 0; i < N_KNOWN; i++) {
		const struct ek_ip known_vip = address(known[i].vip);

		if (known[i].port == row->port && known[i].protocol == row->protocol &&
		    !memcmp(&vip, &known_vip, sizeof(vip)))
			return i;
	}
	return EK_SERVICE_NONE;
}

static void expect_record(const struct row *row, int family, const struct frame *in,
			  const struct result *r, uint64_t before)
{
	const struct ek_trace_record *record = &records.list[0];
	const size_t captured = in->length < EK_TRACE_SNAP ? in->length : EK_TRACE_SNAP;

	if (records.n != !!row->verdict)
		fail_msg("IPv%d: %s: %zu records", family, row->description, records.n);
	if (!row->verdict)
		return;
	if (record->verdict != row->verdict || record->action != row->action)
		fail_msg("IPv%d: %s: verdict %d, action %d", family, row->description,
			 record->verdict, record->action);
	assert_in_range(record->time, before, now_ns());
	assert_int_equal(record->port, OWN_PORT);
	assert_int_equal(record->missed, 0);
	assert_int_equal(record->length, in->length);
	assert_int_equal(record->captured, captured);
	assert_memory_equal(record->frame, in->bytes, captured);
	assert_int_equal(record->service,
			 row->service ? service_number(family, row) : EK_SERVICE_NONE);
	if (row->chosen && row->verdict > 0)
		assert_int_equal(record->backend, r->row);
	else
		assert_int_equal(record->backend != EK_BACKEND_NONE, row->chosen);
}

static void test_records(void **state)
{
	const struct ek_trace all = everything();
	struct fixture *f = *state;
	static struct frame in;
	static struct result r, unwatched;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int family = 4; family <= 6; family += 2) {
			uint64_t before = now_ns();

			print_message("  IPv%d: %s\n", family, rows[i].description);
			build(&in, &rows[i], family);
			prepare(f, &rows[i]);
			run(f, &in, &unwatched);
			prepare(f, &rows[i]);
			listen_to(f, &all);
			run(f, &in, &r);
			collect();
			expect_record(&rows[i], family, &in, &r, before);
			assert_int_equal(r.verdict, rows[i].action);
			assert_int_equal(r.verdict, unwatched.verdict);
			assert_int_equal(r.drop, unwatched.drop);
			assert_int_equal(r.row, unwatched.row);
			if (!same_frame(&r.out, &unwatched.out))
				fail_msg("%s: another frame because it was watched",
					 rows[i].description);
		}
	}
}

/* --- filters --------------------------------------------------------------------------------- */

static const struct filter {
	const char *description;
	const char *client4, *client6; /* NULL: any */
	uint32_t service4, service6;
	uint32_t flags;
	bool over; /* its time is */
	unsigned int row;
	bool recorded;
} filters[] = {
	{"its client", CLIENT4, CLIENT6, EK_SERVICE_NONE, EK_SERVICE_NONE, 0, false, 0, true},
	{"another client", OTHER4, OTHER6, EK_SERVICE_NONE, EK_SERVICE_NONE, 0, false, 0, false},
	{"a client of the other family", CLIENT6, CLIENT4, EK_SERVICE_NONE, EK_SERVICE_NONE, 0,
	 false, 0, false},
	{"its service", NULL, NULL, 0, 1, 0, false, 0, true},
	{"another service", NULL, NULL, 1, 0, 0, false, 0, false},
	{"a service, and it was malformed", NULL, NULL, 0, 1, 0, false, 7, false},
	{"a client, and it was malformed", CLIENT4, CLIENT6, EK_SERVICE_NONE, EK_SERVICE_NONE, 0,
	 false, 7, true},
	{"a client, behind two tags", CLIENT4, CLIENT6, EK_SERVICE_NONE, EK_SERVICE_NONE, 0, false,
	 4, true},
	{"drops, and it was forwarded", NULL, NULL, EK_SERVICE_NONE, EK_SERVICE_NONE,
	 EK_TRACE_DROPS, false, 0, false},
	{"drops, and it was", NULL, NULL, EK_SERVICE_NONE, EK_SERVICE_NONE, EK_TRACE_DROPS, false,
	 7, true},
	{"drops, and it was passed", NULL, NULL, EK_SERVICE_NONE, EK_SERVICE_NONE, EK_TRACE_DROPS,
	 false, 10, false},
	{"client, service and drops", CLIENT4, CLIENT6, 0, 1, EK_TRACE_DROPS, false, 6, true},
	{"the time is over", NULL, NULL, EK_SERVICE_NONE, EK_SERVICE_NONE, 0, true, 0, false},
};

static void test_filters(void **state)
{
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		const struct filter *t = &filters[i];

		for (int family = 4; family <= 6; family += 2) {
			const char *client = family == 4 ? t->client4 : t->client6;
			struct ek_trace filter = everything();

			filter.service = family == 4 ? t->service4 : t->service6;
			filter.flags = t->flags;
			filter.until = t->over ? now_ns() : EVER;
			if (client)
				filter.client = address(client);
			build(&in, &rows[t->row], family);
			prepare(f, &rows[t->row]);
			listen_to(f, &filter);
			run(f, &in, &r);
			collect();
			if (records.n != t->recorded)
				fail_msg("IPv%d: %s: %zu records", family, t->description,
					 records.n);
		}
	}
}

/* Nobody listens, whatever was left in the filter: the usual way, and no record. */
static void test_off(void **state)
{
	const struct ek_trace all = everything(), none = {0};
	struct fixture *f = *state;
	static struct frame in;
	static struct result r;

	build(&in, &rows[0], 4);
	prepare(f, &rows[0]);
	listen_to(f, &all);
	f->ports[OWN_PORT].flags = 0;
	run(f, &in, &r);
	collect();
	assert_int_equal(records.n, 0);
	listen_to(f, &none); /* the flag is left, of a controller that was killed */
	run(f, &in, &r);
	collect();
	assert_int_equal(records.n, 0);
	expect_forward("flag and no listener", f, &in, &r, XDP_TX);
}

/* --- the rate -------------------------------------------------------------------------------- */

static uint32_t pending(const struct fixture *f)
{
	struct ek_trace_spent spent[CPUS_MAX];
	uint32_t zero = 0, missed = 0;

	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(f->skeleton->maps.trace_spent), &zero, spent), 0);
	for (uint32_t cpu = 0; cpu < f->cpus; cpu++)
		missed += spent[cpu].missed;
	return missed;
}

/* Every packet is a record, or missed by one that came after, or yet to be told. */
static void test_rate(void **state)
{
	struct ek_trace filter = everything();
	struct fixture *f = *state;
	const uint64_t began = now_ns() / 1000000000;
	uint64_t told = 0, seconds;
	static struct frame in;
	static struct result r;

	filter.rate = 3;
	build(&in, &rows[0], 4);
	prepare(f, &rows[0]);
	listen_to(f, &filter);
	for (unsigned int i = 0; i < 20; i++)
		run(f, &in, &r);
	collect();
	seconds = now_ns() / 1000000000 - began + 1;
	assert_in_range(records.n, 3, 3 * seconds * f->cpus);
	for (size_t i = 0; i < records.n; i++)
		told += records.list[i].missed;
	assert_int_equal(records.n + told + pending(f), 20);
}

/* A ring that nobody reads is no harm: what does not fit is counted. */
static void test_full_ring(void **state)
{
	const size_t room = bpf_map__max_entries(((struct fixture *)*state)->skeleton->maps.trace);
	const unsigned int packets = room / sizeof(struct ek_trace_record) + 10;
	const struct ek_trace all = everything();
	struct fixture *f = *state;
	static struct frame in;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in.bytes, .repeat = packets);

	build(&in, &rows[7], 4); /* dropped: the frame stays as it is */
	opts.data_size_in = in.length;
	prepare(f, &rows[7]);
	listen_to(f, &all);
	assert_int_equal(
		bpf_prog_test_run_opts(bpf_program__fd(f->skeleton->progs.evenkeel), &opts), 0);
	assert_int_equal(opts.retval, XDP_DROP);
	assert_in_range(pending(f), 10, packets / 10);
}

/* --- run ------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	static struct fixture f;

	fixture_open(&f);
	records.ring =
		ring_buffer__new(bpf_map__fd(f.skeleton->maps.trace), on_record, &records, NULL);
	assert_non_null(records.ring);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	ring_buffer__free(records.ring);
	fixture_close(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),	  cmocka_unit_test(test_filters),
		cmocka_unit_test(test_off),	  cmocka_unit_test(test_rate),
		cmocka_unit_test(test_full_ring),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
