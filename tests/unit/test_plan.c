/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Intents and plans as text, so that a row is a line.
 *
 *     "A:ab0c3! B':d~"    service A with backends a, b (weight 0) and c (weight 3, another next
 *                         hop); service B, changed, with backend d (another MTU); weight is 1
 *     "+1"  "-1"          row 1 is set, is cleared
 *     "new0(1,3*3)"       ring 0 is made, of rows 1 and 3, the latter with weight 3
 *     "ring0(1)"          ring 0 is changed
 *     "svc0"  "-svc0"     service 0 is published or changed, is withdrawn
 *
 * A service may have more entries than one: "A+:ab" has a second address, "A*:ab" a prefix.
 *
 *     "-0.2"              the entry of service 0 whose VIP ends in 2 is withdrawn
 *     "wild(0.3,1.3)"     wildcard rules for these entries, of services 0 and 1
 *
 * Of several nodes one owns a service's ring: "A>:ab" is followed; "+1?" is a loss, which waits for
 * the peers with the rings.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ip.h"
#include "plan.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define SERVICES      6
#define BACKENDS      8
#define ROWS	      17 /* 16 and the one that is nobody's */

struct script {
	struct ek_config_service configs[SERVICES];
	struct ek_intent_backend backends[SERVICES][BACKENDS];
	struct ek_intent_service services[SERVICES];
	struct ek_intent intent;
};

/* --- text to intent -------------------------------------------------------------------------- */

/* Every other service is IPv6. */
static struct ek_ip numbered(const char *v4, const char *v6, unsigned int service, unsigned int i)
{
	struct ek_ip ip;

	assert_int_equal(ek_ip_parse(service % 2 ? v6 : v4, &ip), 0);
	ip.bytes[15] = 1 + i;
	return ip;
}

static const char *parse_backend(const char *text, unsigned int service,
				 struct ek_intent_backend *b)
{
	const unsigned int i = *text++ - 'a';

	*b = (struct ek_intent_backend){
		.address = numbered("10.0.0.0", "2001:db8:b::", service, i),
		.weight = 1,
		.nexthop = EK_NEXTHOP(0x112233445500ull + i, 0, EK_NEXTHOP_USABLE),
		.mtu = 1500,
	};
	if (isdigit((unsigned char)*text))
		b->weight = *text++ - '0';
	for (; *text == '!' || *text == '~'; text++) {
		if (*text == '!')
			b->nexthop = EK_NEXTHOP(0x665544332211ull, 1, EK_NEXTHOP_ALIVE);
		else
			b->mtu = 1400;
	}
	return text;
}

static const char *parse_service(const char *text, struct script *s, size_t n)
{
	const unsigned int number = *text++ - 'A';
	struct ek_config_service *c = &s->configs[n];

	*c = (struct ek_config_service){
		.vip = numbered("192.0.2.0", "2001:db8::", number, number),
		.addresses[0] = {numbered("192.0.2.0", "2001:db8::", number, number), 128},
		.n_addresses = 1,
		.port = 80,
		.port_last = 80,
		.protocol = IPPROTO_TCP,
		.forward = EK_FORWARD_IPIP,
		.timeouts = {8100, 60, 120, 300},
	};
	if (*text == '\'') {
		c->tracking = EK_TRACKING_FULL;
		text++;
	}
	for (; *text == '+' || *text == '*'; text++) {
		const bool prefix = *text == '*';
		struct ek_ip vip = numbered("198.51.100.0", "2001:db8:1::", number,
					    number * 16 + (prefix ? 63 : 1));

		c->addresses[c->n_addresses++] = (struct ek_config_vip){vip, prefix ? 122 : 128};
	}
	s->services[n] = (struct ek_intent_service){.config = c, .backends = s->backends[n]};
	if (*text == '>') {
		s->services[n].follow = true;
		text++;
	}
	for (text++; islower((unsigned char)*text); s->services[n].n_backends++)
		text = parse_backend(text, number, &s->backends[n][s->services[n].n_backends]);
	return text;
}

static void parse(const char *text, struct script *s)
{
	size_t n = 0;

	while (isupper((unsigned char)*text)) {
		text = parse_service(text, s, n++);
		text += strspn(text, " ");
	}
	s->intent = (struct ek_intent){.services = s->services, .n_services = n};
}

/* --- plan to text ---------------------------------------------------------------------------- */

static void append(char *out, size_t size, const char *format, ...)
{
	size_t length = strlen(out);
	va_list args;

	va_start(args, format);
	vsnprintf(out + length, size - length, format, args);
	va_end(args);
}

static bool show_losses;

static void render_op(const struct ek_op *op, char *out, size_t size)
{
	switch (op->kind) {
	case EK_OP_BACKEND_SET:
		append(out, size, "+%u%s", op->index, show_losses && op->loss ? "?" : "");
		break;
	case EK_OP_RING_SET:
		append(out, size, "%s%u(", op->fresh ? "new" : "ring", op->id);
		for (size_t i = 0; i < op->members.n; i++) {
			append(out, size, "%s%u", i ? "," : "", op->members.list[i].index);
			if (op->members.list[i].weight != 1)
				append(out, size, "*%u", op->members.list[i].weight);
		}
		append(out, size, ")");
		break;
	case EK_OP_SERVICE_SET:
		append(out, size, "svc%u", op->id);
		break;
	case EK_OP_WILDCARDS_SET:
		append(out, size, "wild(");
		for (size_t i = 0; i < op->entries.n; i++)
			append(out, size, "%s%u.%u", i ? "," : "", op->entries.list[i].id,
			       op->entries.list[i].vip.bytes[15]);
		append(out, size, ")");
		break;
	case EK_OP_ENTRY_CLEAR:
		append(out, size, "-%u.%u", op->id, op->entry.vip.bytes[15]);
		break;
	case EK_OP_SERVICE_CLEAR:
		append(out, size, "-svc%u", op->id);
		break;
	case EK_OP_BACKEND_CLEAR:
		append(out, size, "-%u", op->index);
		break;
	}
}

static void render(const struct ek_plan *plan, char *out, size_t size)
{
	*out = '\0';
	for (size_t i = 0; i < plan->n; i++) {
		append(out, size, "%s", i ? " " : "");
		render_op(&plan->ops[i], out, size);
	}
}

/* --- rows ------------------------------------------------------------------------------------ */

static const struct {
	const char *description;
	const char *before; /* intents that were committed, with | between them */
	const char *intent;
	const char *plan;
} rows[] = {
	{"nothing from nothing", "", "", ""},
	{"a service comes", "", "A:ab", "+1 +2 new0(1,2) svc0"},
	{"with weights", "", "A:a3b", "+1 +2 new0(1*3,2) svc0"},
	{"an address in two services: two rows", "", "A:a C:a", "+1 new0(1) svc0 +2 new1(2) svc1"},
	{"both families", "", "A:a B:a", "+1 new0(1) svc0 +2 new1(2) svc1"},
	{"a service without backends", "", "A:", "new0() svc0"},
	{"a service whose backends are all down", "", "A:a0b0", "+1 +2 new0() svc0"},

	{"no change", "A:ab", "A:ab", ""},
	{"another order of services", "A:a B:b", "B:b A:a", ""},
	{"another order of backends: the same ring", "A:ab", "A:ba", "ring0(2,1)"},
	{"a backend comes", "A:a", "A:ab", "+2 ring0(1,2)"},
	{"a backend comes, and is down", "A:a", "A:ab0", "+2"},
	{"a weight", "A:ab", "A:a3b", "ring0(1*3,2)"},
	{"a backend goes down", "A:ab", "A:a0b", "ring0(2)"},
	{"a backend returns", "A:ab|A:a0b", "A:ab", "ring0(1,2)"},
	{"a backend is forgotten", "A:ab|A:a0b", "A:b", "-1"},
	{"a backend is taken out at once", "A:ab", "A:b", "ring0(2) -1"},
	{"a next hop", "A:ab", "A:a!b", "+1"},
	{"an MTU", "A:ab", "A:ab~", "+2"},
	{"a next hop, of a backend that is down", "A:ab|A:a0b", "A:a0!b", "+1"},

	{"all down: the ring stays", "A:ab", "A:a0b0", ""},
	{"all down, and back as before", "A:ab|A:a0b0", "A:ab", ""},
	{"all down, and one is back", "A:ab|A:a0b0", "A:ab0", "ring0(1)"},
	{"all down, and a new one comes", "A:ab|A:a0b0", "A:a0b0c", "+3 ring0(3)"},
	{"all down from the start, and one comes up", "A:a0b0", "A:ab0", "ring0(1)"},

	{"full tracking: every slot looks up", "A:a", "A':a", "ring0(1) svc0"},
	{"a service goes", "A:a B:b", "B:b", "-svc0 -1"},
	{"all services go", "A:ab B:b", "", "-svc0 -svc1 -1 -2 -3"},
	{"one goes and one comes: no id, no row is shared", "A:a", "C:a",
	 "+2 new1(2) svc1 -svc0 -1"},
	{"an id is free again in the next plan", "A:a|C:a", "C:a B:b", "+3 new0(3) svc0"},
	{"many at once", "A:ab C:c", "A':a2c C:c!d B:a",
	 "+4 ring0(1*2,4) svc0 +5 ring1(3,5) +3 +6 new2(6) svc2 -2"},

	{"a second address is an entry more", "", "A+:a", "+1 new0(1) svc0"},
	{"it comes", "A:a", "A+:a", "svc0"},
	{"it goes, once the service is published without it", "A+:a", "A:a", "svc0 -0.2"},
	{"it moves to another service, which has it before", "A+:a C:c", "A:a C:c", "svc0 -0.2"},
	{"a prefix wants a rule", "", "A*:a", "+1 new0(1) svc0 wild(0.64)"},
	{"rules come after entries", "A:a C:c", "A*:a C*:c", "svc0 svc1 wild(0.64,1.96)"},
	{"… and go before them", "A*:a C*:c", "A*:a C:c", "svc1 wild(0.64) -1.96"},
	{"… and before services", "A*:a C*:c", "A*:a", "wild(0.64) -svc1 -2"},
	{"the last rule goes", "A*:a", "A:a", "svc0 wild() -0.64"},
	{"no news to the rules", "A*:a", "A'*:ab", "+2 ring0(1,2) svc0"},

	{"a freed row rests", "A:ab|A:a", "A:ac", "+3 ring0(1,3)"},
	{"after the last row the first free one", "A:abcdefgh C:abcdefg|A:abcdefgh C:acdefg",
	 "A:abcdefgh C:acdefg B:ab", "+16 +10 new2(16,10) svc2"},
	{"a returning backend gets another row", "A:ab|A:a", "A:ab", "+3 ring0(1,3)"},
};

/* --- of several nodes ------------------------------------------------------------------------ */

/* `!` is a next hop that is not resolved: a backend that had another loses it. */
static const struct {
	const char *description;
	const char *before, *intent;
	const char *plan;
	const char *kept; /* what does not wait */
	bool loss;
} shared[] = {
	{"nothing", "A:ab", "A:ab", "", "", false},
	{"a new service waits for nobody", "", "A:ab", "+1 +2 new0(1,2) svc0",
	 "+1 +2 new0(1,2) svc0", false},
	{"a ring waits, the row of its new backend does not", "A:a", "A:ab", "+2 ring0(1,2)", "+2",
	 false},
	{"a weight waits", "A:ab", "A:a3b", "ring0(1*3,2)", "", false},
	{"a backend that fails: its row waits with the ring", "A:ab", "A:a0!b", "ring0(2) +1?", "",
	 true},
	{"one that returns does not", "A:ab|A:a0!b", "A:ab", "+1 ring0(1,2)", "+1", false},
	{"a next hop that works waits for nothing", "A:ab", "A:ab~", "+2", "+2", false},
	{"a loss that no ring names", "A:a0b", "A:a0!b", "+1?", "", true},
	{"tracking: the service does not wait", "A:a", "A':a", "ring0(1) svc0", "svc0", false},
	{"of two services one is new", "A:a", "A:ab B:a", "+2 ring0(1,2) +3 new1(3) svc1",
	 "+2 +3 new1(3) svc1", false},
	{"departures do not wait", "A:a B:b", "A:a", "-svc1 -2", "-svc1 -2", false},

	{"followed: its ring is made once", "", "A>:ab", "+1 +2 new0(1,2) svc0",
	 "+1 +2 new0(1,2) svc0", false},
	{"followed: a backend comes", "A:a", "A>:ab", "+2", "+2", false},
	{"followed: a weight", "A:ab", "A>:a3b", "", "", false},
	{"followed: a backend fails, and waits for nobody", "A:ab", "A>:a0!b", "+1", "+1", false},
	{"followed: tracking", "A:a", "A'>:a", "svc0", "svc0", false},
	{"owned from now on, with the members of before", "A:ab|A>:a0b", "A:ab", "", "", false},
	{"owned from now on, with others", "A:ab|A>:a0b", "A:a0b", "ring0(2)", "", false},
};

static struct ek_state *new_state(uint32_t limit)
{
	struct ek_state *state = calloc(1, sizeof(*state));

	assert_non_null(state);
	assert_int_equal(ek_state_init(state, limit), 0);
	return state;
}

static void free_state(struct ek_state *state)
{
	ek_state_free(state);
	free(state);
}

static void make(const struct ek_state *state, struct script *s, struct ek_plan *plan)
{
	struct ek_error error = {.line = 0};

	if (ek_plan_make(state, &s->intent, plan, &error))
		fail_msg("%s", error.text);
}

static void expect_plan(const struct ek_state *state, const char *intent, const char *expected,
			struct ek_plan *plan)
{
	struct script script;
	char text[1024];

	parse(intent, &script);
	make(state, &script, plan);
	render(plan, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void commit(struct ek_state *state, const char *intent)
{
	struct script script;
	struct ek_plan plan;

	parse(intent, &script);
	make(state, &script, &plan);
	ek_plan_commit(state, &plan);
	ek_plan_free(&plan);
}

static void commit_all(struct ek_state *state, const char *intents)
{
	char copy[512];

	snprintf(copy, sizeof(copy), "%s", intents);
	for (char *next, *text = copy; text; text = next) {
		next = strchr(text, '|');
		if (next)
			*next++ = '\0';
		commit(state, text);
	}
}

static void test_rows(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < LENGTH(rows); i++) {
		struct ek_state *state = new_state(ROWS);
		struct ek_plan plan;

		print_message("  %s\n", rows[i].description);
		commit_all(state, rows[i].before);
		expect_plan(state, rows[i].intent, rows[i].plan, &plan);
		ek_plan_commit(state, &plan);
		ek_plan_free(&plan);
		expect_plan(state, rows[i].intent, "", &plan);
		ek_plan_free(&plan);
		free_state(state);
	}
}

/* What waited comes again, and only that. */
static void expect_rest(const struct ek_state *state, const char *intent, bool any)
{
	struct script script;
	struct ek_plan plan;

	parse(intent, &script);
	make(state, &script, &plan);
	assert_int_equal(plan.n > 0, any);
	for (size_t i = 0; i < plan.n; i++)
		assert_true(plan.ops[i].loss ||
			    (plan.ops[i].kind == EK_OP_RING_SET && !plan.ops[i].fresh));
	ek_plan_free(&plan);
}

static void test_shared(void **unused)
{
	(void)unused;
	show_losses = true;
	for (size_t i = 0; i < LENGTH(shared); i++) {
		struct ek_state *state = new_state(ROWS);
		struct ek_plan plan;
		char text[1024];
		bool rings = strstr(shared[i].plan, "ring");

		print_message("  %s\n", shared[i].description);
		commit_all(state, shared[i].before);
		expect_plan(state, shared[i].intent, shared[i].plan, &plan);
		assert_int_equal(ek_plan_changes_rings(&plan), rings);
		assert_int_equal(ek_plan_defer_rings(&plan), shared[i].loss);
		assert_false(ek_plan_changes_rings(&plan));
		render(&plan, text, sizeof(text));
		assert_string_equal(text, shared[i].kept);
		ek_plan_commit(state, &plan);
		ek_plan_free(&plan);
		expect_rest(state, shared[i].intent, rings || shared[i].loss);
		free_state(state);
	}
	show_losses = false;
}

/* Who owns a ring that another has written in the meantime builds it whatever it built before. */
static void test_takes_over(void **unused)
{
	struct ek_state *state = new_state(ROWS);
	struct ek_plan plan;

	(void)unused;
	commit_all(state, "A:ab|A>:ab");
	state->services[0].built = false; /* as ek_controller_rebuild() does */
	expect_plan(state, "A>:ab", "", &plan);
	ek_plan_free(&plan);
	expect_plan(state, "A:ab", "ring0(1,2)", &plan);
	ek_plan_free(&plan);
	free_state(state);
}

/* --- what the operations carry --------------------------------------------------------------- */

static void test_numbers_are_told(void **unused)
{
	struct ek_state *state = new_state(ROWS);
	struct script script;
	struct ek_plan plan;

	(void)unused;
	commit(state, "C:c A:a");
	parse("A:ba B:b", &script);
	make(state, &script, &plan);
	assert_int_equal(script.services[0].id, 1);
	assert_int_equal(script.backends[0][0].index, 3);
	assert_int_equal(script.backends[0][1].index, 2);
	assert_int_equal(script.services[1].id, 2);
	assert_int_equal(script.backends[1][0].index, 4);
	ek_plan_free(&plan);
	free_state(state);
}

/* The method changes as its backend leaves: connections that it still has go the old way. */
static void test_retired_as_they_were(void **unused)
{
	struct ek_state *state = new_state(ROWS);
	struct script script;
	struct ek_plan plan;

	(void)unused;
	commit(state, "A:ab");
	parse("A:a~b", &script);
	script.configs[0].forward = EK_FORWARD_TOS;
	script.configs[0].tos = 5;
	script.backends[0][0].retired = true;
	make(state, &script, &plan);
	ek_plan_commit(state, &plan);
	ek_plan_free(&plan);
	assert_int_equal(state->backends[1].row.forward, EK_FORWARD_IPIP);
	assert_int_equal(state->backends[1].row.dscp, 0);
	assert_int_equal(state->backends[2].row.forward, EK_FORWARD_TOS);
	assert_int_equal(state->backends[2].row.dscp, 5 << 2);
	free_state(state);
}

static void test_limit_of_entries(void **unused)
{
	struct ek_config_service *configs = calloc(65, sizeof(*configs));
	struct ek_intent_service *services = calloc(65, sizeof(*services));
	struct ek_intent intent = {.services = services, .n_services = 64};
	struct ek_state *state = new_state(ROWS);
	struct ek_error error;
	struct ek_plan plan;

	(void)unused;
	for (size_t i = 0; i < 65; i++) {
		configs[i] = (struct ek_config_service){.n_addresses = EK_SERVICE_ADDRESSES_MAX,
							.protocol = IPPROTO_TCP,
							.udp_too = true,
							.port = 1 + i,
							.port_last = 1 + i};
		for (size_t j = 0; j < EK_SERVICE_ADDRESSES_MAX; j++)
			configs[i].addresses[j] =
				(struct ek_config_vip){numbered("192.0.2.0", "::", 0, j), 128};
		services[i].config = &configs[i];
	}
	assert_int_equal(ek_plan_make(state, &intent, &plan, &error), 0);
	ek_plan_free(&plan);
	intent.n_services = 65;
	assert_int_equal(ek_plan_make(state, &intent, &plan, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "more than 1024 addresses of services"));
	free_state(state);
	free(configs);
	free(services);
}

static const struct {
	const char *description;
	struct ek_config_service config;
	const char *prefix; /* outer-source */
	uint32_t flags, mask;
} entries[] = {
	{"just enough", {.tracking = EK_TRACKING_JUST_ENOUGH}, NULL, 0, 0},
	{"no failover",
	 {.tracking = EK_TRACKING_FULL, .failover = EK_FAILOVER_NONE},
	 NULL,
	 EK_SERVICE_F_TRACK_FULL | EK_SERVICE_F_RESET,
	 0},
	{"full", {.tracking = EK_TRACKING_FULL}, NULL, EK_SERVICE_F_TRACK_FULL, 0},
	{"none", {.tracking = EK_TRACKING_NONE}, NULL, EK_SERVICE_F_TRACK_NONE, 0},
	{"source-hash",
	 {.method = EK_METHOD_SOURCE_HASH, .hash_prefix4 = 24, .hash_prefix6 = 56},
	 NULL,
	 EK_SERVICE_F_SOURCE_HASH,
	 0},
	{"outer source /8", {.port = 1}, "10.0.0.0/8", 0, 0x00ffffff},
	{"outer source /24", {.port = 1}, "10.0.64.0/24", 0, 0xff},
	{"outer source /31", {.port = 1}, "10.0.64.2/31", 0, 1},
	{"outer source /96", {.port = 1}, "2001:db8:1::/96", 0, 0xffffffff},
	{"outer source /97", {.port = 1}, "2001:db8:1::/97", 0, 0x7fffffff},
	{"outer source /127", {.port = 1}, "2001:db8:1::2/127", 0, 1},
};

static void test_entries(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < LENGTH(entries); i++) {
		struct ek_config_service config = entries[i].config;
		struct ek_intent_service service = {.config = &config};
		struct ek_intent intent = {.services = &service, .n_services = 1};
		struct ek_state *state = new_state(ROWS);
		struct ek_error error;
		const struct ek_service *e;
		struct ek_plan plan;

		print_message("  %s\n", entries[i].description);
		config.vip = numbered("192.0.2.0", "2001:db8::", i, i);
		config.addresses[0] = (struct ek_config_vip){config.vip, 128};
		config.n_addresses = 1;
		config.port = config.port_last = 8080;
		config.protocol = IPPROTO_UDP;
		config.timeouts = (struct ek_config_timeouts){8100, 60, 120, 300};
		if (entries[i].prefix)
			assert_int_equal(ek_prefix_parse(entries[i].prefix, &config.outer_source,
							 &config.outer_source_length),
					 0);
		config.outer_source_set = entries[i].prefix;
		assert_int_equal(ek_plan_make(state, &intent, &plan, &error), 0);
		assert_int_equal(plan.ops[1].kind, EK_OP_SERVICE_SET);
		e = plan.ops[1].entries.list;
		assert_int_equal(plan.ops[1].entries.n, 1);
		assert_true(ek_ip_equal(&e->vip, &config.vip));
		assert_true(e->key == EK_SERVICE_KEY(htons(8080), IPPROTO_UDP, EK_SERVICE_LIVE));
		assert_int_equal(e->id, 0);
		assert_int_equal(e->flags, entries[i].flags | EK_SERVICE_F_FIRST);
		assert_int_equal(ntohl(e->outer_mask), entries[i].mask);
		assert_true(ek_ip_equal(&e->outer_source, &config.outer_source));
		assert_int_equal(e->hash_prefix4, config.hash_prefix4);
		assert_int_equal(e->hash_prefix6, config.hash_prefix6);
		ek_plan_free(&plan);
		free_state(state);
	}
}

/* --- after a restart ------------------------------------------------------------------------- */

/* What an adopted data plane tells: everything but what its rings were built from. */
static void forget_rings(struct ek_state *state)
{
	for (size_t id = 0; id < EK_SERVICES_MAX; id++) {
		free(state->services[id].members);
		state->services[id].members = NULL;
		state->services[id].n_members = 0;
		state->services[id].built = false;
	}
	state->wild_unknown = true;
	state->next = 1;
}

static const struct {
	const char *description, *before, *intent, *plan;
} restarts[] = {
	{"the ring is not known, and is set", "A:ab", "A:ab", "ring0(1,2) wild()"},
	{"all down: it stays, whatever it is", "A:ab", "A:a0b0", "wild()"},
	{"everything at once", "A:ab C:c", "A:a!c", "+4 ring0(1,4) +1 wild() -svc1 -2 -3"},
	{"rules are not known, and are set", "A*:a", "A*:a", "ring0(1) wild(0.64)"},
};

static void test_restarts(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < LENGTH(restarts); i++) {
		struct ek_state *state = new_state(ROWS);
		struct ek_plan plan;

		print_message("  %s\n", restarts[i].description);
		commit(state, restarts[i].before);
		forget_rings(state);
		expect_plan(state, restarts[i].intent, restarts[i].plan, &plan);
		ek_plan_free(&plan);
		free_state(state);
	}
}

/* --- limits ---------------------------------------------------------------------------------- */

static bool same_state(const struct ek_state *a, const struct ek_state *b)
{
	for (size_t id = 0; id < EK_SERVICES_MAX; id++) {
		const struct ek_state_service *x = &a->services[id], *y = &b->services[id];

		if (x->used != y->used || x->built != y->built || x->n_members != y->n_members ||
		    x->n_entries != y->n_entries ||
		    (x->n_entries &&
		     memcmp(x->entries, y->entries, x->n_entries * sizeof(*x->entries))) ||
		    (x->n_members &&
		     memcmp(x->members, y->members, x->n_members * sizeof(*x->members))))
			return false;
	}
	for (uint32_t i = 0; i < a->limit; i++)
		if (a->backends[i].used != b->backends[i].used ||
		    memcmp(&a->backends[i].row, &b->backends[i].row, sizeof(a->backends[i].row)))
			return false;
	return a->limit == b->limit && a->next == b->next;
}

static void *copy_of(const void *from, size_t size)
{
	void *to = malloc(size ? size : 1);

	assert_non_null(to);
	return size ? memcpy(to, from, size) : to;
}

static struct ek_state *copy_state(const struct ek_state *state)
{
	struct ek_state *copy = new_state(state->limit);

	copy->next = state->next;
	copy->clock = state->clock;
	memcpy(copy->backends, state->backends, state->limit * sizeof(*state->backends));
	memcpy(copy->services, state->services, sizeof(copy->services));
	for (size_t id = 0; id < EK_SERVICES_MAX; id++) {
		struct ek_state_service *s = &copy->services[id];

		s->members = copy_of(s->members, s->n_members * sizeof(*s->members));
		s->entries = copy_of(s->entries, s->n_entries * sizeof(*s->entries));
	}
	return copy;
}

static void expect_no_room(const struct ek_state *state, struct ek_intent *intent, const char *why)
{
	struct ek_state *before = copy_state(state);
	struct ek_error error = {.line = 0};
	struct ek_plan plan;

	assert_int_equal(ek_plan_make(state, intent, &plan, &error), -ENOSPC);
	assert_int_equal(plan.n, 0);
	assert_null(plan.ops);
	if (!strstr(error.text, why))
		fail_msg("'%s' does not say '%s'", error.text, why);
	assert_true(same_state(state, before));
	free_state(before);
}

static void test_limit_of_backends(void **unused)
{
	struct ek_state *state = new_state(4);
	struct script script;
	struct ek_plan plan;

	(void)unused;
	parse("A:abcd", &script);
	expect_no_room(state, &script.intent, "more than 3 backends");
	expect_no_room(state, &script.intent, "limits.backends");
	commit(state, "A:abc");
	parse("A:abc C:a", &script);
	expect_no_room(state, &script.intent, "more than 3 backends");
	parse("A:abd", &script); /* c still has its row while d would get one */
	expect_no_room(state, &script.intent, "more than 3 backends");
	commit(state, "A:ab");
	expect_plan(state, "A:abd", "+3 ring0(1,2,3)", &plan);
	ek_plan_free(&plan);
	free_state(state);
}

static void test_limit_of_services(void **unused)
{
	const size_t n = EK_SERVICES_MAX;
	struct ek_config_service *configs = calloc(n + 1, sizeof(*configs));
	struct ek_intent_service *services = calloc(n + 1, sizeof(*services));
	struct ek_intent intent = {.services = services, .n_services = n};
	struct ek_state *state = new_state(ROWS);
	struct ek_error error;
	struct ek_plan plan;

	(void)unused;
	for (size_t i = 0; i <= n; i++) {
		configs[i].vip = numbered("192.0.2.0", "2001:db8::", 0, 0);
		configs[i].protocol = IPPROTO_TCP;
		configs[i].port = configs[i].port_last = 1 + i;
		configs[i].addresses[0] = (struct ek_config_vip){configs[i].vip, 128};
		configs[i].n_addresses = 1;
		services[i].config = &configs[i];
	}
	assert_int_equal(ek_plan_make(state, &intent, &plan, &error), 0);
	ek_plan_commit(state, &plan);
	ek_plan_free(&plan);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(services[i].id, i);

	intent.n_services = n + 1;
	expect_no_room(state, &intent, "more than 1024 services");
	intent = (struct ek_intent){.services = services + 1, .n_services = n};
	expect_no_room(state, &intent, "more than 1024 services");
	intent.n_services = n - 1;
	assert_int_equal(ek_plan_make(state, &intent, &plan, &error), 0);
	assert_int_equal(plan.n, 1);
	ek_plan_free(&plan);
	free_state(state);
	free(configs);
	free(services);
}

/* --- a plan that was cut short --------------------------------------------------------------- */

/* Whatever was carried out of a plan, the next one brings the rest. */
static void test_half_a_plan(void **unused)
{
	static const char intent[] = "A'*:a2c C+:c!d B:a";
	bool whole = false;

	(void)unused;
	for (size_t n = 0; !whole; n++) {
		struct ek_state *state = new_state(ROWS);
		struct script script;
		struct ek_plan plan;

		commit(state, "A+:ab C+*:c D*:d");
		parse(intent, &script);
		make(state, &script, &plan);
		whole = n >= plan.n;
		ek_plan_cut(&plan, whole ? plan.n : n);
		ek_plan_commit(state, &plan);
		ek_plan_free(&plan);
		commit(state, intent);
		expect_plan(state, intent, "", &plan);
		ek_plan_free(&plan);
		free_state(state);
	}
}

/* --- at random, beside a model of the data plane --------------------------------------------- */

#define MODEL_ROWS 65

struct model {
	struct {
		bool used;
		uint16_t service;
		struct ek_ip address;
	} rows[MODEL_ROWS];
	struct {
		bool ring, published;
		uint16_t members[BACKENDS];
		size_t n;
	} services[EK_SERVICES_MAX];
};

static bool ring_names(const struct model *m, size_t id, uint16_t row)
{
	for (size_t i = 0; m->services[id].ring && i < m->services[id].n; i++)
		if (m->services[id].members[i] == row)
			return true;
	return false;
}

static void model_ring(struct model *m, const struct ek_op *op)
{
	assert_int_equal(op->fresh, !m->services[op->id].ring);
	m->services[op->id].ring = true;
	m->services[op->id].n = op->members.n;
	for (size_t i = 0; i < op->members.n; i++) {
		const uint16_t row = op->members.list[i].index;

		assert_true(m->rows[row].used);
		assert_int_equal(m->rows[row].service, op->id);
		assert_true(ek_ip_equal(&m->rows[row].address, &op->members.list[i].address));
		m->services[op->id].members[i] = row;
	}
}

/* Refuses what would mislead a packet, at every step and not only at the end. */
static void model_apply(struct model *m, const struct ek_op *op)
{
	switch (op->kind) {
	case EK_OP_BACKEND_SET:
		if (m->rows[op->index].used) {
			assert_int_equal(m->rows[op->index].service, op->row.service);
			assert_true(ek_ip_equal(&m->rows[op->index].address, &op->row.address));
		}
		m->rows[op->index].used = true;
		m->rows[op->index].service = op->row.service;
		m->rows[op->index].address = op->row.address;
		break;
	case EK_OP_RING_SET:
		model_ring(m, op);
		break;
	case EK_OP_SERVICE_SET:
		assert_true(m->services[op->id].ring);
		m->services[op->id].published = true;
		break;
	case EK_OP_WILDCARDS_SET:
	case EK_OP_ENTRY_CLEAR:
		break;
	case EK_OP_SERVICE_CLEAR:
		assert_true(m->services[op->id].published);
		memset(&m->services[op->id], 0, sizeof(m->services[op->id]));
		break;
	case EK_OP_BACKEND_CLEAR:
		assert_true(m->rows[op->index].used);
		for (size_t id = 0; id < EK_SERVICES_MAX; id++)
			assert_false(ring_names(m, id, op->index));
		memset(&m->rows[op->index], 0, sizeof(m->rows[op->index]));
		break;
	}
}

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 33;
}

static void random_backend(char *out, size_t size, unsigned int i, bool retired, uint64_t *seed)
{
	append(out, size, "%c", 'a' + i);
	if (retired || next_random(seed) % 3 == 0)
		append(out, size, "0");
	else if (next_random(seed) % 3 == 0)
		append(out, size, "%u", 1 + next_random(seed) % 5);
	append(out, size, "%s", next_random(seed) % 8 ? "" : "!");
	append(out, size, "%s", next_random(seed) % 8 ? "" : "~");
}

/* As a controller would have it: what a ring names stays, without weight, while its service does.
 */
static void random_intent(char *out, size_t size, const struct model *m,
			  uint16_t (*rows_of)[BACKENDS], const int *ids, uint64_t *seed)
{
	*out = '\0';
	for (unsigned int s = 0; s < SERVICES; s++) {
		if (next_random(seed) % 5 == 0)
			continue;
		append(out, size, "%s%c%s:", *out ? " " : "", 'A' + s,
		       next_random(seed) % 6 ? "" : "'");
		for (unsigned int b = 0; b < BACKENDS; b++) {
			const bool named = ids[s] >= 0 && rows_of[s][b] &&
					   ring_names(m, ids[s], rows_of[s][b]);
			const bool wanted = next_random(seed) % 3;

			if (wanted || named)
				random_backend(out, size, b, !wanted, seed);
		}
	}
}

/* Who was there before keeps its numbers; returns them for the next time. */
static void check_numbers(const struct script *script, uint16_t (*rows_of)[BACKENDS], int *ids)
{
	uint16_t rows_now[SERVICES][BACKENDS] = {{0}};
	int ids_now[SERVICES];

	memset(ids_now, 0xff, sizeof(ids_now));
	for (size_t i = 0; i < script->intent.n_services; i++) {
		const struct ek_intent_service *service = &script->services[i];
		const unsigned int s = service->config->vip.bytes[15] - 1;

		if (ids[s] >= 0)
			assert_int_equal(service->id, ids[s]);
		ids_now[s] = service->id;
		for (size_t j = 0; j < service->n_backends; j++) {
			const unsigned int b = service->backends[j].address.bytes[15] - 1;

			if (rows_of[s][b])
				assert_int_equal(service->backends[j].index, rows_of[s][b]);
			rows_now[s][b] = service->backends[j].index;
		}
	}
	memcpy(rows_of, rows_now, sizeof(rows_now));
	memcpy(ids, ids_now, sizeof(ids_now));
}

/* The state's own account of the rings is the model's. */
static void check_rings(const struct ek_state *state, const struct model *m)
{
	for (size_t id = 0; id < EK_SERVICES_MAX; id++) {
		const struct ek_state_service *s = &state->services[id];

		assert_int_equal(s->used, m->services[id].published);
		assert_int_equal(s->n_members, m->services[id].n);
		for (size_t i = 0; i < s->n_members; i++) {
			const struct ek_state_backend *b = &state->backends[s->members[i].index];

			assert_int_equal(s->members[i].index, m->services[id].members[i]);
			assert_true(b->used);
			assert_int_equal(b->row.service, id);
		}
	}
}

static void test_random_intents(void **unused)
{
	struct ek_state *state = new_state(MODEL_ROWS);
	struct model *model = calloc(1, sizeof(*model));
	uint16_t rows_of[SERVICES][BACKENDS] = {{0}};
	int ids[SERVICES];
	uint64_t seed = 2024;
	char text[512];

	(void)unused;
	memset(ids, 0xff, sizeof(ids));
	for (unsigned int step = 0; step < 2000; step++) {
		struct script script;
		struct ek_plan plan;

		random_intent(text, sizeof(text), model, rows_of, ids, &seed);
		parse(text, &script);
		make(state, &script, &plan);
		for (size_t i = 0; i < plan.n; i++)
			model_apply(model, &plan.ops[i]);
		check_numbers(&script, rows_of, ids);
		ek_plan_commit(state, &plan);
		ek_plan_free(&plan);
		check_rings(state, model);
		expect_plan(state, text, "", &plan);
		ek_plan_free(&plan);
	}
	free_state(state);
	free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_takes_over),
		cmocka_unit_test(test_numbers_are_told),
		cmocka_unit_test(test_retired_as_they_were),
		cmocka_unit_test(test_limit_of_entries),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_restarts),
		cmocka_unit_test(test_limit_of_backends),
		cmocka_unit_test(test_limit_of_services),
		cmocka_unit_test(test_half_a_plan),
		cmocka_unit_test(test_random_intents),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
