/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Services of several entries in the data plane: published, changed, adopted and withdrawn, beside
 * a look-up as packets do it. After every single write a packet that finds a wildcard rule must
 * find the entry that the rule means, and who has a service before and after a change has one all
 * the while.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include "datapath_sim.h"
#include "ip.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define SERVICES      4

static struct {
	struct ek_datapath *dp;
	struct ek_state *state;
} lab;

static struct ek_ip ip(const char *text)
{
	struct ek_ip out;

	assert_int_equal(ek_ip_parse(text, &out), 0);
	return out;
}

/* --- what packets find ----------------------------------------------------------------------- */

/* The service of a packet to "ADDRESS PORT PROTOCOL", by name of its id: -1 if there is none. */
static int look_up(const char *packet)
{
	char address[64];
	unsigned int port, protocol, longest = 0;
	const struct ek_service *s;
	const struct ek_wildcard *wild = NULL;
	struct ek_ip vip;

	assert_int_equal(sscanf(packet, "%63s %u %u", address, &port, &protocol), 3);
	vip = ip(address);
	s = ek_service_table_find(lab.dp->services, &lab.dp->key, &vip,
				  EK_SERVICE_KEY(htons(port), protocol, EK_SERVICE_LIVE));
	if (s)
		return s->id;
	if (!(lab.dp->services->settings.flags & EK_SETTING_WILDCARDS))
		return -1;
	for (size_t i = 0; i < sim_trie.n; i++) {
		struct ek_ip masked = ek_mask6(&vip, sim_trie.key[i].length);
		struct ek_ip prefix = sim_trie.key[i].address;

		if (ek_ip_equal(&masked, &prefix) && sim_trie.key[i].length > longest) {
			longest = sim_trie.key[i].length;
			wild = &sim_trie.value[i];
		}
	}
	for (uint32_t i = 0; wild && i < wild->n; i++) {
		const struct ek_wildcard_rule *rule = &wild->rule[i];

		if ((!rule->protocol || rule->protocol == protocol) && port >= rule->first &&
		    port <= rule->last)
			return lab.dp->services->slot[rule->slot].id;
	}
	return -1;
}

static bool is_vip(const char *address)
{
	struct ek_ip vip = ip(address);

	return ek_service_table_find(lab.dp->services, &lab.dp->key, &vip,
				     EK_SERVICE_KEY(0, 0, EK_SERVICE_VIP));
}

/* Each rule names an entry of just this meaning. */
static void check_rules(void)
{
	for (size_t i = 0; i < sim_trie.n; i++)
		for (uint32_t r = 0; r < sim_trie.value[i].n; r++) {
			const struct ek_wildcard_rule *rule = &sim_trie.value[i].rule[r];
			const struct ek_service *s = &lab.dp->services->slot[rule->slot];

			assert_int_equal(EK_SERVICE_KEY_STATE(s->key), EK_SERVICE_WILD);
			assert_int_equal(EK_SERVICE_KEY_PROTO(s->key), rule->protocol);
			assert_int_equal(ntohs(EK_SERVICE_KEY_PORT(s->key)), rule->first);
			assert_int_equal(ntohs(EK_SERVICE_KEY_LAST(s->key)), rule->last);
			assert_non_null(lab.dp->rings[s->id].ring);
		}
	assert_true(sim_trie.n || !(lab.dp->services->settings.flags & EK_SETTING_WILDCARDS));
}

static const char *steady[8]; /* packets that must find the same service at every moment */
static int steady_id[8];

static void check_steady(void)
{
	check_rules();
	for (size_t i = 0; i < LENGTH(steady) && steady[i]; i++)
		assert_int_equal(look_up(steady[i]), steady_id[i]);
}

static void pulse(void *arg)
{
	(void)arg;
	check_steady();
}

/* --- services as text ------------------------------------------------------------------------ */

/* "192.0.2.0/24,2001:db8::5 8000-8099 both": tcp, udp, both, any */
static void parse_service(const char *text, struct ek_config_service *out)
{
	char addresses[256], ports[16], protocol[8], *rest = addresses, *part;
	unsigned int first, last;

	*out = (struct ek_config_service){.forward = EK_FORWARD_IPIP,
					  .timeouts = {8100, 60, 120, 300}};
	assert_int_equal(sscanf(text, "%255s %15s %7s", addresses, ports, protocol), 3);
	while ((part = strsep(&rest, ","))) {
		struct ek_config_vip *vip = &out->addresses[out->n_addresses++];

		vip->length = 128;
		if (!strchr(part, '/')) {
			vip->address = ip(part);
			continue;
		}
		assert_int_equal(ek_prefix_parse(part, &vip->address, &vip->length), 0);
		vip->length += ek_ip_is_v4(&vip->address) ? 96 : 0;
	}
	out->vip = out->addresses[0].address;
	if (sscanf(ports, "%u-%u", &first, &last) != 2)
		last = first;
	out->port = first;
	out->port_last = last;
	out->udp_too = !strcmp(protocol, "both");
	out->protocol = !strcmp(protocol, "any")   ? 0
			: !strcmp(protocol, "udp") ? IPPROTO_UDP
						   : IPPROTO_TCP;
}

/* Services with a ; between them, of a backend each. */
/* Returns what the data plane said of the plan, which is committed as far as it came. */
static int try_to_apply(const char *text)
{
	struct ek_config_service configs[SERVICES];
	struct ek_intent_service services[SERVICES];
	struct ek_intent_backend backends[SERVICES];
	struct ek_intent intent = {.services = services};
	char copy[1024], *rest = copy, *part;
	struct ek_error error = {0};
	struct ek_plan plan;
	int err;

	snprintf(copy, sizeof(copy), "%s", text);
	while ((part = strsep(&rest, ";"))) {
		size_t n = intent.n_services;

		if (!*part)
			continue;
		parse_service(part, &configs[n]);
		backends[n] = (struct ek_intent_backend){
			.address = ip("10.0.0.1"),
			.weight = 1,
			.mtu = 1500,
			.nexthop = EK_NEXTHOP(0x020000000001ull, 0, EK_NEXTHOP_USABLE)};
		services[n] = (struct ek_intent_service){
			.config = &configs[n], .backends = &backends[n], .n_backends = 1};
		intent.n_services++;
	}
	if (ek_plan_make(lab.state, &intent, &plan, &error))
		fail_msg("%s", error.text);
	err = ek_datapath_apply(lab.dp, &plan, &error);
	ek_plan_commit(lab.state, &plan);
	ek_plan_free(&plan);
	return err;
}

static void apply(const char *text)
{
	assert_int_equal(try_to_apply(text), 0);
	check_rules();
}

static int set_up(void **unused)
{
	(void)unused;
	memset(&sim_trie, 0, sizeof(sim_trie));
	memset(steady, 0, sizeof(steady));
	lab.dp = sim_datapath_new(0, 16, 64);
	lab.state = calloc(1, sizeof(*lab.state));
	assert_int_equal(ek_state_init(lab.state, 16), 0);
	sim_trie.changed = check_steady;
	ek_datapath_on_pulse(lab.dp, pulse, NULL);
	return 0;
}

static int tear_down(void **unused)
{
	(void)unused;
	ek_state_free(lab.state);
	free(lab.state);
	sim_datapath_free(lab.dp);
	sim_unpin();
	return 0;
}

static void hold(const char *packet)
{
	size_t i = 0;

	while (steady[i])
		i++;
	steady_id[i] = look_up(packet);
	steady[i] = packet;
	assert_true(steady_id[i] >= 0);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void test_entries_come_and_go(void **unused)
{
	(void)unused;
	apply("192.0.2.1,2001:db8::1 80 both");
	assert_int_equal(look_up("192.0.2.1 80 6"), 0);
	assert_int_equal(look_up("192.0.2.1 80 17"), 0);
	assert_int_equal(look_up("2001:db8::1 80 6"), 0);
	assert_int_equal(look_up("2001:db8::1 80 17"), 0);
	assert_int_equal(look_up("2001:db8::1 81 17"), -1);
	assert_true(is_vip("192.0.2.1") && is_vip("2001:db8::1"));
	hold("192.0.2.1 80 6");
	apply("192.0.2.1,192.0.2.2 80 tcp");
	assert_int_equal(look_up("192.0.2.2 80 6"), 0);
	assert_int_equal(look_up("192.0.2.1 80 17"), -1);
	assert_int_equal(look_up("2001:db8::1 80 6"), -1);
	assert_true(is_vip("192.0.2.1") && is_vip("192.0.2.2"));
	assert_false(is_vip("2001:db8::1"));
	memset(steady, 0, sizeof(steady));
	apply("");
	assert_int_equal(look_up("192.0.2.1 80 6"), -1);
	assert_false(is_vip("192.0.2.1") || is_vip("192.0.2.2"));
	for (size_t i = 0; i < EK_SERVICE_SLOTS; i++)
		assert_true(EK_SERVICE_KEY_STATE(lab.dp->services->slot[i].key) <=
			    EK_SERVICE_DELETED);
}

/* Neither the VIP nor a packet is nobody's for a moment. */
static void test_an_address_changes_hands(void **unused)
{
	(void)unused;
	apply("192.0.2.1,192.0.2.9 80 tcp;192.0.2.2 80 tcp");
	assert_int_equal(look_up("192.0.2.9 80 6"), 0);
	apply("192.0.2.1 80 tcp;192.0.2.2,192.0.2.9 80 tcp");
	assert_int_equal(look_up("192.0.2.9 80 6"), 1);
	assert_true(is_vip("192.0.2.9"));
	apply("192.0.2.2,192.0.2.9 80 tcp");
	assert_int_equal(look_up("192.0.2.9 80 6"), 1);
	assert_int_equal(look_up("192.0.2.1 80 6"), -1);
	apply("192.0.2.9,192.0.2.2 80 tcp"); /* under another name: another service */
	assert_int_equal(look_up("192.0.2.9 80 6"), 0);
	assert_int_equal(look_up("192.0.2.2 80 6"), 0);
	assert_true(is_vip("192.0.2.9") && is_vip("192.0.2.2"));
}

static void test_wildcards(void **unused)
{
	(void)unused;
	apply("192.0.2.0/24 8000-8099 both");
	assert_int_equal(sim_trie.n, 1);
	assert_int_equal(look_up("192.0.2.77 8042 17"), 0);
	assert_int_equal(look_up("192.0.2.77 8100 6"), -1);
	assert_false(is_vip("192.0.2.77"));
	hold("192.0.2.77 8042 6");
	hold("192.0.2.5 8000 17");
	apply("192.0.2.0/24 8000-8099 both;192.0.2.5 0-65535 tcp;192.0.2.128/25 0-65535 any");
	assert_int_equal(sim_trie.n, 3);
	assert_int_equal(look_up("192.0.2.5 8042 6"), 1);
	assert_int_equal(look_up("192.0.2.5 22 6"), 1);
	assert_int_equal(look_up("192.0.2.200 8042 6"), 2);
	assert_int_equal(look_up("192.0.2.200 0 50"), 2);
	assert_true(is_vip("192.0.2.5"));
	apply("192.0.2.0/24 8000-8099 both;192.0.2.128/25 80 tcp");
	assert_int_equal(look_up("192.0.2.200 8042 6"), 0);
	assert_int_equal(look_up("192.0.2.200 80 6"), 3);
	assert_int_equal(look_up("192.0.2.5 22 6"), -1);
	assert_false(is_vip("192.0.2.5"));
	assert_int_equal(sim_trie.n, 2);
	memset(steady, 0, sizeof(steady));
	apply("192.0.2.1 80 tcp");
	assert_int_equal(sim_trie.n, 0);
	assert_int_equal(lab.dp->services->settings.flags, 0);
}

/* Half as many prefixes as fit, and then as many others: the old ones go first. */
static void test_no_room_for_old_and_new_prefixes(void **unused)
{
	(void)unused;
	sim_trie.room = 4;
	apply("203.0.113.0/26,192.0.2.0/26,192.0.2.64/26 80 tcp");
	hold("203.0.113.9 80 6");
	apply("203.0.113.0/26,198.51.100.0/26,198.51.100.64/26 80 tcp;192.0.2.1 80 tcp");
	assert_int_equal(sim_trie.n, 3);
	assert_int_equal(look_up("198.51.100.77 80 6"), look_up("203.0.113.9 80 6"));
	assert_int_equal(look_up("192.0.2.77 80 6"), -1);
}

/* What a refused change left in the map goes when the next one comes, were it as before. */
static void test_a_refused_change_leaves_no_prefix(void **unused)
{
	const char *before = "192.0.2.0/24 80 tcp";

	(void)unused;
	sim_trie.room = 3;
	apply(before);
	hold("192.0.2.9 80 6");
	assert_int_equal(try_to_apply("192.0.2.0/24,198.51.100.0/26,198.51.100.64/26 80 tcp;"
				      "203.0.113.0/26 80 tcp"),
			 -ENOSPC);
	apply(before);
	assert_int_equal(sim_trie.n, 1);
	apply("192.0.2.0/24,203.0.113.0/24 80 tcp");
	assert_int_equal(look_up("203.0.113.9 80 6"), 0);
}

static const struct ek_service *entry(const char *address, uint64_t key)
{
	struct ek_ip vip = ip(address);

	return ek_service_table_find(lab.dp->services, &lab.dp->key, &vip, key);
}

/* What role and sweep say of a service holds for each of its entries. */
static void test_all_entries_of_a_service(void **unused)
{
	const uint64_t tcp = EK_SERVICE_KEY(htons(53), IPPROTO_TCP, EK_SERVICE_LIVE);
	const uint64_t udp = EK_SERVICE_KEY(htons(53), IPPROTO_UDP, EK_SERVICE_LIVE);
	const struct ek_sweep_service *swept = &lab.dp->sweep.services[0];
	uint16_t timeouts[2];

	(void)unused;
	apply("192.0.2.1 53 both");
	timeouts[0] = entry("192.0.2.1", tcp)->timeout[EK_FLOW_ESTABLISHED];
	timeouts[1] = entry("192.0.2.1", udp)->timeout[EK_FLOW_ESTABLISHED];
	assert_true(timeouts[0] > timeouts[1]);
	assert_int_equal(swept->entry->timeout[EK_FLOW_ESTABLISHED], timeouts[0]);
	assert_int_equal(swept->datagrams->timeout[EK_FLOW_ESTABLISHED], timeouts[1]);
	assert_int_equal(ek_sweep_idle(swept), timeouts[0]);
	ek_datapath_limit_service(lab.dp, 0, true);
	assert_true(entry("192.0.2.1", tcp)->flags & EK_SERVICE_F_OVER_QUOTA);
	assert_true(entry("192.0.2.1", udp)->flags & EK_SERVICE_F_OVER_QUOTA);
	ek_datapath_mirrored(lab.dp, 0, true, true);
	ek_datapath_role(lab.dp, 0, EK_SWEEP_FOLLOW);
	assert_true(entry("192.0.2.1", udp)->flags & EK_SERVICE_F_MIRRORED);
	assert_int_equal(entry("192.0.2.1", tcp)->timeout[EK_FLOW_ESTABLISHED],
			 timeouts[0] + EK_SWEEP_PATIENCE);
	assert_int_equal(entry("192.0.2.1", udp)->timeout[EK_FLOW_ESTABLISHED],
			 timeouts[1] + EK_SWEEP_PATIENCE);
	assert_int_equal(swept->datagrams->timeout[EK_FLOW_ESTABLISHED], timeouts[1]);
	apply("192.0.2.1 53 tcp");
	assert_null(swept->datagrams);
}

/* The sweep lets go of a flow by the timeout of its own protocol. */
static void test_timeouts_by_protocol(void **unused)
{
	__u64 *tcp, *udp;

	(void)unused;
	apply("192.0.2.1 53 both");
	tcp = &lab.dp->flows[3].entry[1];
	udp = &lab.dp->flows[3].entry[2];
	*tcp = ek_flow_entry(5ull << 40, 1, EK_FLOW_ESTABLISHED, 0);
	*udp = ek_flow_entry(6ull << 40, 1, EK_FLOW_ESTABLISHED, 0);
	lab.dp->flow_keys[3].key[1].protocol = IPPROTO_TCP;
	lab.dp->flow_keys[3].key[2].protocol = IPPROTO_UDP;
	while (!ek_sweep_step(&lab.dp->sweep, 290, 64))
		;
	assert_true(*tcp && *udp);
	while (!ek_sweep_step(&lab.dp->sweep, 300, 64))
		;
	assert_true(*tcp);
	assert_int_equal(*udp, 0);
	while (!ek_sweep_step(&lab.dp->sweep, 8000, 64))
		;
	assert_int_equal(*tcp, 0);
}

/* A controller that comes later finds services, entries, names and rules as they were. */
static void test_adoption(void **unused)
{
	static const char services[] =
		"192.0.2.9,192.0.2.0/24,2001:db8::/64 8000-8099 both;192.0.2.5,192.0.2.4 80 both";
	struct ek_datapath *next, *old = lab.dp;
	struct ek_error error;
	struct ek_state *state = calloc(1, sizeof(*state));
	void *services_memory;

	(void)unused;
	sim_pinning = true;
	apply(services);
	ek_datapath_limit_service(old, 0, true);
	hold("192.0.2.9 8000 6");
	hold("192.0.2.88 8000 17");
	hold("192.0.2.4 80 17");

	next = sim_datapath_new(0, 16, 64);
	services_memory = next->services;
	memcpy(services_memory, old->services, sizeof(*old->services));
	memcpy(next->backends, old->backends, SIM_CPUS * 16 * sizeof(*old->backends));
	assert_int_equal(ek_state_init(state, 16), 0);
	lab.dp = next;
	assert_int_equal(ek_datapath_snapshot(next, state, &error), 0);
	for (size_t id = 0; id < 3; id++) {
		const struct ek_state_service *a = &lab.state->services[id];
		const struct ek_state_service *b = &state->services[id];

		assert_int_equal(a->used, b->used);
		assert_int_equal(a->n_entries, b->n_entries);
		if (a->used)
			assert_memory_equal(a->entries, b->entries,
					    a->n_entries * sizeof(*a->entries));
		assert_ptr_not_equal(next->rings[id].ring, id < 2 ? NULL : next);
	}
	assert_false(entry("192.0.2.9", state->services[0].entries[0].key)->flags &
		     EK_SERVICE_F_OVER_QUOTA);
	ek_state_free(lab.state);
	free(lab.state);
	lab.state = state;
	ek_datapath_on_pulse(next, pulse, NULL);
	apply(services);
	apply("192.0.2.9,192.0.2.0/24 8000-8099 both;192.0.2.5,192.0.2.4 80 both");
	assert_int_equal(look_up("2001:db8::7 8000 6"), -1);
	assert_int_equal(look_up("192.0.2.4 80 6"), 1);
	sim_datapath_free(old);
}

/* Who was killed before he published a service, or after he withdrew it, leaves its ring. */
static void test_adoption_without_a_service(void **unused)
{
	char ring[64];
	struct ek_error error;
	FILE *pin;

	(void)unused;
	strcpy(lab.dp->pin_dir, "/tmp/test_datapath.XXXXXX");
	assert_non_null(mkdtemp(lab.dp->pin_dir));
	snprintf(ring, sizeof(ring), "%.40s/ring-7", lab.dp->pin_dir);
	pin = fopen(ring, "w");
	assert_non_null(pin);
	fclose(pin);
	assert_int_equal(ek_datapath_snapshot(lab.dp, lab.state, &error), 0);
	assert_int_not_equal(access(ring, F_OK), 0);
	assert_int_equal(rmdir(lab.dp->pin_dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_entries_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_address_changes_hands, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wildcards, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_room_for_old_and_new_prefixes, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_refused_change_leaves_no_prefix, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_all_entries_of_a_service, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_timeouts_by_protocol, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_adoption, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_adoption_without_a_service, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
