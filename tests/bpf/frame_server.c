/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data plane as a server of frames, for the reference of tests/diff: the program is loaded as
 * by the packet tests, and what it shall know and meet is said on standard input, a line each:
 *
 *     clear                                    no ports, services and backends; nothing remembered
 *     forget                                   no fragments remembered
 *     settings ECHO_RATE ERROR_RATE
 *     port NUMBER INTERFACE MAC SOURCE4 SOURCE6 TAG TAG      a TAG of 0 is none
 *     service ID VIP PORT PROTOCOL FLAGS MSS SOURCE BITS
 *     wildcard ID RULE VIP LENGTH FIRST LAST PROTOCOL FLAGS MSS
 *     covered VIP LENGTH RULE...               by longest prefix: these rules, in this order
 *     backend ID ADDRESS MAC PORT FLAGS FORWARD MTU DSCP GUE_PORT GUE_HEADER
 *     frame HEX
 *
 * Numbers are decimal, MACs hexadecimal without colons. A service, its ring and its only backend
 * have one ID, from 1. BITS of the outer source's last word vary; of SOURCE - and 0, none does.
 * Only frames are answered, with one line:
 *
 *     VERDICT DROPS ANSWERS BACKENDS HEX
 *
 * where DROPS and ANSWERS are what was counted, by name, and BACKENDS as ID/BYTES; each with commas
 * between, or "-". A line that is not understood ends the server with a message.
 */
#include "balancer_fixture.h"

#define LONGEST	   16384 /* frames: several times a page, so that they come in fragments of it */
#define WORDS	   40
#define RULES	   256
#define REMEMBERED 8192 /* fragments, at most */

static const char *const drop_names[] = {"none",
#define X(name, text, description) text,
					 EK_DROP_REASONS(X)
#undef X
};

static const char *const answer_names[] = {
#define X(name, text, description) text,
	EK_ANSWERS(X)
#undef X
};

struct counts {
	uint64_t drops[EK_DROP_COUNT];
	uint64_t answers[EK_ANSWER_COUNT];
	uint64_t bytes[ROWS];
};

struct server {
	struct fixture fixture;
	struct counts before;
	struct ek_wildcard_rule rules[RULES];
	struct {
		struct ek_wildcard_key key[ROWS];
		unsigned int n;
	} covered;
	unsigned int n_words;
	char *words[WORDS];
};

static void fail_saying(const struct server *s, const char *what)
{
	fprintf(stderr, "frame_server: %s: %s\n", s->n_words ? s->words[0] : "?", what);
	exit(1);
}

static unsigned long number(const struct server *s, unsigned int i)
{
	unsigned long value;
	char *end;

	if (i >= s->n_words)
		fail_saying(s, "more words are needed");
	value = strtoul(s->words[i], &end, 10);
	if (*end || end == s->words[i])
		fail_saying(s, s->words[i]);
	return value;
}

/* Of a service, its ring and its backend. */
static uint32_t identity(const struct server *s, unsigned int i)
{
	unsigned long id = number(s, i);

	if (!id || id >= ROWS)
		fail_saying(s, "no such ID");
	return id;
}

static struct ek_ip address_word(const struct server *s, unsigned int i)
{
	if (i >= s->n_words)
		fail_saying(s, "an address is needed");
	if (!strcmp(s->words[i], "-"))
		return (struct ek_ip){0};
	return address(s->words[i]);
}

static size_t bytes_of(const struct server *s, unsigned int i, uint8_t *bytes, size_t room)
{
	size_t n = i < s->n_words ? strlen(s->words[i]) : 1;

	if (n % 2 || n / 2 > room)
		fail_saying(s, "bytes in hexadecimal are needed");
	for (size_t at = 0; at < n / 2; at++)
		if (sscanf(s->words[i] + 2 * at, "%2hhx", &bytes[at]) != 1)
			fail_saying(s, s->words[i]);
	return n / 2;
}

static uint64_t mac_word(const struct server *s, unsigned int i)
{
	uint8_t mac[6];

	if (bytes_of(s, i, mac, sizeof(mac)) != sizeof(mac))
		fail_saying(s, "a MAC is needed");
	return mac48(mac);
}

/* --- what the data plane knows --------------------------------------------------------------- */

static void forget(struct server *s)
{
	static uint32_t keys[REMEMBERED];
	static const uint64_t none[REMEMBERED];
	const struct bpf_map *map = s->fixture.skeleton->maps.fragments;
	uint32_t n = bpf_map__max_entries(map);

	assert_in_range(n, 1, REMEMBERED);
	for (uint32_t i = 0; i < n; i++)
		keys[i] = i;
	assert_int_equal(bpf_map_update_batch(bpf_map__fd(map), keys, none, &n, NULL), 0);
}

static void clear(struct server *s)
{
	struct fixture *f = &s->fixture;

	for (; s->covered.n; s->covered.n--)
		assert_int_equal(bpf_map_delete_elem(bpf_map__fd(f->skeleton->maps.wildcards),
						     &s->covered.key[s->covered.n - 1]),
				 0);
	memset(f->services, 0, sizeof(*f->services));
	memset(f->backends, 0, (size_t)f->cpus * ROWS * sizeof(*f->backends));
	memset(f->ports, 0, EK_PORTS_MAX * sizeof(*f->ports));
	memset(f->flows, 0, BUCKETS * sizeof(*f->flows));
	memset(&s->before.bytes, 0, sizeof(s->before.bytes));
	forget(s);
}

static void settings(struct server *s)
{
	s->fixture.services->settings.echo_rate = number(s, 1);
	s->fixture.services->settings.error_rate = number(s, 2);
}

static void port(struct server *s)
{
	unsigned long n = number(s, 1);
	const uint32_t key = n, lo = 1;

	if (n >= EK_PORTS_MAX)
		fail_saying(s, "no such port");
	s->fixture.ports[n] = (struct ek_port){
		.ifindex = number(s, 2),
		.mac = mac_word(s, 3),
		.source4 = address_word(s, 4).words[3],
		.source6 = address_word(s, 5),
		.tags = {htons(number(s, 6)), htons(number(s, 7))},
	};
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(s->fixture.skeleton->maps.egress), &key, &lo, 0),
		0);
}

static void service(struct server *s)
{
	struct ek_service entry = {
		.vip = address_word(s, 2),
		.key = EK_SERVICE_KEY(htons(number(s, 3)), number(s, 4), EK_SERVICE_LIVE),
		.id = identity(s, 1),
		.flags = number(s, 5),
		.mss = number(s, 6),
		.outer_source = address_word(s, 7),
	};
	unsigned long bits = number(s, 8);

	if (bits)
		entry.outer_mask = htonl(~0u >> (32 - bits));
	add_service(&s->fixture, &entry);
}

static void wildcard(struct server *s)
{
	struct ek_service_table *table = s->fixture.services;
	const unsigned long rule = number(s, 2), length = number(s, 4), first = number(s, 5),
			    last = number(s, 6), protocol = number(s, 7);
	struct ek_service entry = {
		.vip = address_word(s, 3),
		.key = EK_SERVICE_WILD_KEY(htons(first), protocol, htons(last), length),
		.id = identity(s, 1),
		.flags = number(s, 8),
		.mss = number(s, 9),
	};

	if (rule >= RULES)
		fail_saying(s, "no such rule");
	assert_int_equal(ek_service_table_put(table, &s->fixture.key, &entry), 0);
	s->rules[rule] = (struct ek_wildcard_rule){
		.first = first,
		.last = last,
		.protocol = protocol,
		.slot = ek_service_table_find(table, &s->fixture.key, &entry.vip, entry.key) -
			table->slot,
	};
	table->settings.flags |= EK_SETTING_WILDCARDS;
}

static void covered(struct server *s)
{
	struct ek_wildcard_key key = {.length = number(s, 2), .address = address_word(s, 1)};
	struct ek_wildcard value = {.n = s->n_words - 3};

	if (s->n_words < 3 || value.n > EK_WILDCARD_RULES || s->covered.n == ROWS)
		fail_saying(s, "so many rules cannot be");
	for (uint32_t i = 0; i < value.n; i++)
		value.rule[i] = s->rules[number(s, 3 + i) % RULES];
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(s->fixture.skeleton->maps.wildcards), &key,
					     &value, BPF_ANY),
			 0);
	s->covered.key[s->covered.n++] = key;
}

static void backend(struct server *s)
{
	const uint32_t id = identity(s, 1);
	struct ek_backend b = {
		.address = address_word(s, 2),
		.nexthop = EK_NEXTHOP(mac_word(s, 3), number(s, 4), number(s, 5)),
		.forward = number(s, 6),
		.service = id,
		.mtu = number(s, 7),
		.dscp = number(s, 8),
		.gue_port = htons(number(s, 9)),
		.gue_header = number(s, 10),
		.index = id,
	};

	if (!is_v6(&b.address))
		b.csum = constant_sum(&b.address);
	set_backend(&s->fixture, id, &b);
}

/* --- what becomes of a frame ----------------------------------------------------------------- */

static uint64_t sum_over_cpus(const struct fixture *f, const struct bpf_map *map, uint32_t key)
{
	uint64_t values[CPUS_MAX], sum = 0;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(map), &key, values), 0);
	for (uint32_t cpu = 0; cpu < f->cpus; cpu++)
		sum += values[cpu];
	return sum;
}

static void count(const struct fixture *f, struct counts *c)
{
	for (uint32_t i = 0; i < EK_DROP_COUNT; i++)
		c->drops[i] = sum_over_cpus(f, f->skeleton->maps.drops, i);
	for (uint32_t i = 0; i < EK_ANSWER_COUNT; i++)
		c->answers[i] = sum_over_cpus(f, f->skeleton->maps.answers, i);
	memset(c->bytes, 0, sizeof(c->bytes));
	for (uint32_t i = 0; i < f->cpus * ROWS; i++)
		c->bytes[i % ROWS] += f->backends[i].bytes;
}

static void say_counted(const char *const *names, const uint64_t *before, const uint64_t *after,
			unsigned int n)
{
	const char *between = "";

	for (unsigned int i = 0; i < n; i++) {
		for (uint64_t k = before[i]; k < after[i]; k++) {
			printf("%s%s", between, names[i]);
			between = ",";
		}
	}
	fputs(*between ? " " : "- ", stdout);
}

static void say_backends(const uint64_t *before, const uint64_t *after)
{
	const char *between = "";

	for (unsigned int i = 0; i < ROWS; i++) {
		if (before[i] == after[i])
			continue;
		printf("%s%u/%llu", between, i, (unsigned long long)(after[i] - before[i]));
		between = ",";
	}
	fputs(*between ? " " : "- ", stdout);
}

static void say_bytes(const uint8_t *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	static char text[2 * LONGEST + 2];

	for (size_t i = 0; i < n; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * n] = '\n';
	fwrite(text, 1, 2 * n + 1, stdout);
}

static void frame(struct server *s)
{
	static uint8_t in[LONGEST], out[LONGEST];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_out = out,
		    .data_size_out = sizeof(out), .repeat = 1);
	struct counts after;

	opts.data_size_in = bytes_of(s, 1, in, sizeof(in));
	if (bpf_prog_test_run_opts(bpf_program__fd(s->fixture.skeleton->progs.evenkeel), &opts))
		fail_saying(s, strerror(errno));
	count(&s->fixture, &after);
	printf("%u ", opts.retval);
	say_counted(drop_names, s->before.drops, after.drops, EK_DROP_COUNT);
	say_counted(answer_names, s->before.answers, after.answers, EK_ANSWER_COUNT);
	say_backends(s->before.bytes, after.bytes);
	say_bytes(out, opts.data_size_out);
	s->before = after;
}

static const struct command {
	const char *name;
	void (*run)(struct server *s);
} commands[] = {
	{"frame", frame},	{"clear", clear},     {"forget", forget},
	{"settings", settings}, {"port", port},	      {"service", service},
	{"wildcard", wildcard}, {"covered", covered}, {"backend", backend},
};

static void obey(struct server *s, char *line)
{
	s->n_words = 0;
	for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
		if (s->n_words == WORDS)
			fail_saying(s, "too many words");
		s->words[s->n_words++] = word;
	}
	for (size_t i = 0; s->n_words && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(commands[i].name, s->words[0])) {
			commands[i].run(s);
			return;
		}
	}
	fail_saying(s, "no such command");
}

int main(void)
{
	static char line[2 * LONGEST + 64];
	static struct server s;

	fixture_open(&s.fixture);
	for (uint32_t id = 1; id < ROWS; id++) {
		struct ek_ring *ring = new_ring(&s.fixture, id);

		for (uint32_t slot = 0; slot < EK_RING_SIZE; slot++)
			ring->slot[slot] = ek_slot(id, id, 0);
		munmap(ring, sizeof(*ring));
	}
	clear(&s);
	count(&s.fixture, &s.before);
	while (fgets(line, sizeof(line), stdin)) {
		obey(&s, line);
		if (!strncmp(line, "frame", 5))
			fflush(stdout);
	}
	fixture_close(&s.fixture);
	return 0;
}
