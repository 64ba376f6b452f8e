/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Large and unreadable files, and what good files say. Run from the root of the source tree: the
 * files in configs/ are read as well.
 */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>
#include "config_rows.h"

/* `count` times `unit`; the caller frees. */
static char *repeat(const char *unit, size_t count)
{
	size_t length = strlen(unit);
	char *text = malloc(count * length + 1);

	for (size_t i = 0; i < count; i++)
		memcpy(text + i * length, unit, length);
	text[count * length] = '\0';
	return text;
}

static void test_largest_file(void **state)
{
	char *text = repeat("#", EK_CONFIG_MAX + 1);

	(void)state;
	expect_one(text, EK_CONFIG_MAX + 1,
		   "the file is too large, expected at most 1048576 bytes\n");
	expect_one(text, EK_CONFIG_MAX, "the file is empty, expected a configuration\n");
	free(text);
	text = repeat("#0123456789abcdef\n", 10 * 1024 * 1024 / 18);
	expect_one(text, strlen(text), "the file is too large, expected at most 1048576 bytes\n");
	free(text);
}

static void test_errors_beyond_the_list(void **state)
{
	char *text = repeat("colour: blue\n", EK_CONFIG_MAX / 13);
	static struct ek_errors errors;

	(void)state;
	assert_null(parse(text, strlen(text), &errors));
	assert_int_equal(errors.count, EK_ERRORS_MAX);
	assert_int_equal(errors.count + errors.dropped, EK_CONFIG_MAX / 13 + 2);
	free(text);
}

/* A file of `services` with `backends` each; the caller frees. */
static char *generate(unsigned int services, unsigned int backends, size_t *length)
{
	char *text;
	FILE *file = open_memstream(&text, length);

	fputs(TOP "services:\n", file);
	for (unsigned int s = 0; s < services; s++) {
		fprintf(file, "  - {name: s%u, address: 192.0.2.1, port: %u, backends: [", s,
			s + 1);
		for (unsigned int b = 0; b < backends; b++)
			fprintf(file, "{name: b%u,address: 10.0.%u.%u}, ", b, b >> 8, b & 255);
		fputs("]}\n", file);
	}
	fclose(file);
	return text;
}

static void test_most_services_and_backends(void **state)
{
	static struct ek_errors errors;
	struct ek_config *config;
	size_t length;
	char *text;

	(void)state;
	text = generate(1024, 3, &length);
	config = parse(text, length, &errors);
	assert_non_null(config);
	assert_int_equal(config->n_services, 1024);
	assert_string_equal(config->services[1023].backends[2].name, "b2");
	ek_config_free(config);
	free(text);

	text = generate(1025, 1, &length);
	expect_one(text, length, "4:3: services: a list of 1025, expected 0 to 1024 items\n");
	free(text);

	text = generate(1, 4095, &length);
	config = parse(text, length, &errors);
	assert_non_null(config);
	assert_int_equal(config->services[0].n_backends, 4095);
	ek_config_free(config);
	free(text);

	text = generate(1, 4096, &length);
	expect_one(text, length,
		   "4:55: backends: 4096 backends up to here, expected at most 4095 (limits: "
		   "backends, less one)\n");
	free(text);
}

/* Of a file of `services` with this address and protocol each. */
static char *generate_entries(unsigned int services, const char *address, const char *protocol)
{
	size_t length;
	char *text;
	FILE *file = open_memstream(&text, &length);

	fputs(TOP "services:\n", file);
	for (unsigned int s = 0; s < services; s++)
		fprintf(file,
			"  - {name: s%u, address: %s, port: %u, protocol: %s, backends: [{name: b, "
			"address: 10.0.0.1}]}\n",
			s, address, s + 1, protocol);
	fclose(file);
	return text;
}

static void test_most_addresses(void **state)
{
	static const char two[] = "[192.0.2.1, \"2001:db8::1\"]";
	char *text = generate_entries(256, two, "tcp+udp");

	(void)state;
	ek_config_free(good(text));
	free(text);
	text = generate_entries(258, two, "tcp+udp");
	expect_one(text, strlen(text),
		   "260:5: address: 1028 addresses up to here, two for each with protocol: "
		   "tcp+udp, expected at most 1024 of all services\n");
	free(text);
}

static void expect_unreadable(const char *path, const char *expected)
{
	static struct ek_errors errors;
	char *found;

	assert_null(ek_config_load(path, &errors));
	found = format_errors(&errors);
	assert_string_equal(found, expected);
	free(found);
}

static void test_unreadable_files(void **state)
{
	(void)state;
	expect_unreadable("/", "cannot be read: Is a directory\n");
	expect_unreadable("configs/none.yaml", "cannot be read: No such file or directory\n");
	expect_unreadable("configs/minimal.yaml/none", "cannot be read: Not a directory\n");
	expect_unreadable("/dev/null", "the file is empty, expected a configuration\n");
	expect_unreadable("/dev/zero", "the file is too large, expected at most 1048576 bytes\n");
}

/* --- what good files say --------------------------------------------------------------------- */
static struct ek_config *load(const char *path)
{
	static struct ek_errors errors;
	struct ek_config *config = ek_config_load(path, &errors);
	char *found = format_errors(&errors);

	assert_string_equal(found, "");
	assert_non_null(config);
	free(found);
	return config;
}

static void test_defaults(void **state)
{
	struct ek_config *config = good(WEB "  - name: dns\n"
					    "    address: 192.0.2.10\n"
					    "    port: 53\n"
					    "    protocol: udp\n"
					    "    backends: [{name: dns1, address: 10.0.0.9}]\n");
	const struct ek_config_service *web = &config->services[0], *dns = &config->services[1];

	(void)state;
	assert_string_equal(config->state_dir, "");
	assert_false(config->announce);
	assert_int_equal(config->interfaces[0].mode, EK_XDP_AUTO);
	assert_int_equal(config->limits.backends, 4096);
	assert_int_equal(config->limits.flows, 1048576);
	assert_true(config->icmp.echo);
	assert_int_equal(config->icmp.echo_rate, 1000);
	assert_int_equal(config->icmp.error_rate, 100);
	assert_int_equal(web->protocol, IPPROTO_TCP);
	assert_false(web->udp_too);
	assert_address(&web->vip, "192.0.2.10");
	assert_int_equal(web->n_addresses, 1);
	assert_address(&web->addresses[0].address, "192.0.2.10");
	assert_int_equal(web->addresses[0].length, 128);
	assert_int_equal(web->port, 80);
	assert_int_equal(web->port_last, 80);
	assert_int_equal(web->forward, EK_FORWARD_IPIP);
	assert_int_equal(web->tos, 0);
	assert_int_equal(web->gue_port, 6080);
	assert_int_equal(web->gue_variant, 0);
	assert_int_equal(web->mss, 0);
	assert_int_equal(web->method, EK_METHOD_MAGLEV);
	assert_int_equal(web->tracking, EK_TRACKING_JUST_ENOUGH);
	assert_int_equal(web->hash_prefix4, 32);
	assert_int_equal(web->hash_prefix6, 128);
	assert_int_equal(web->timeouts.established, 2 * 3600 + 15 * 60);
	assert_int_equal(web->timeouts.embryonic, 60);
	assert_int_equal(web->timeouts.closing, 120);
	assert_int_equal(web->timeouts.udp, 30);
	assert_false(web->outer_source_set);
	assert_int_equal(web->check.type, EK_CHECK_TCP);
	assert_int_equal(web->check.port, 0);
	assert_int_equal(web->check.interval, 1000);
	assert_int_equal(web->check.timeout, 500);
	assert_int_equal(web->check.rise, 2);
	assert_int_equal(web->check.fall, 3);
	assert_string_equal(web->check.path, "/");
	assert_string_equal(web->check.host, "");
	assert_int_equal(web->check.status_low, 200);
	assert_int_equal(web->check.status_high, 299);
	assert_string_equal(web->check.body, "");
	assert_int_equal(web->backends[0].weight, 100);
	assert_int_equal(web->line, 4);
	assert_int_equal(web->backends[0].line, 7);
	assert_int_equal(dns->tracking, EK_TRACKING_FULL);
	assert_int_equal(dns->check.type, EK_CHECK_NONE);
	ek_config_free(config);
}

static void test_everything_set(void **state)
{
	struct ek_config *config =
		good("node: lb-1.example_org\n"
		     "state-dir: /srv/even keel\n"
		     "announce: arp\n"
		     "interfaces: [{name: eth0.100, mode: native}, {name: br-lan, mode: generic}]\n"
		     "limits: {backends: 32767, flows: 268435456}\n"
		     "services:\n"
		     "  - name: \"web\"\n"
		     "    address: 2001:db8::10\n"
		     "    port: '65535'\n"
		     "    protocol: tcp\n"
		     "    forward: ipip\n"
		     "    outer-source: fd00:1::/112\n"
		     "    method: source-hash\n"
		     "    hash-prefix4: 24\n"
		     "    hash-prefix6: 64\n"
		     "    tracking: none\n"
		     "    timeouts: {established: 3h, embryonic: 1m30s, closing: 1s, udp: 5000ms}\n"
		     "    health: {type: https, port: 8443, interval: 1m1s1ms, timeout: 10ms,\n"
		     "             rise: 100, fall: 1, path: '/a?b=%20', host: '[fd00::1]:8443',\n"
		     "             status: 200-204, body: '^(OK|ready)$'}\n"
		     "    backends: [{name: 1, address: fd00::1, weight: 0},\n"
		     "               {name: b, address: fd00::2, weight: 1000}]\n");
	const struct ek_config_service *web = &config->services[0];

	(void)state;
	assert_string_equal(config->node, "lb-1.example_org");
	assert_string_equal(config->state_dir, "/srv/even keel");
	assert_true(config->announce);
	assert_int_equal(config->n_interfaces, 2);
	assert_string_equal(config->interfaces[0].name, "eth0.100");
	assert_int_equal(config->interfaces[0].mode, EK_XDP_NATIVE);
	assert_int_equal(config->interfaces[1].mode, EK_XDP_GENERIC);
	assert_int_equal(config->limits.backends, 32767);
	assert_int_equal(config->limits.flows, 1u << 28);
	assert_address(&web->vip, "2001:db8::10");
	assert_int_equal(web->port, 65535);
	assert_true(web->outer_source_set);
	assert_address(&web->outer_source, "fd00:1::");
	assert_int_equal(web->outer_source_length, 112);
	assert_int_equal(web->method, EK_METHOD_SOURCE_HASH);
	assert_int_equal(web->hash_prefix4, 24);
	assert_int_equal(web->hash_prefix6, 64);
	assert_int_equal(web->tracking, EK_TRACKING_NONE);
	assert_int_equal(web->timeouts.established, EK_TIMEOUT_MAX);
	assert_int_equal(web->timeouts.embryonic, 90);
	assert_int_equal(web->timeouts.closing, 1);
	assert_int_equal(web->timeouts.udp, 5);
	assert_int_equal(web->check.type, EK_CHECK_HTTPS);
	assert_int_equal(web->check.port, 8443);
	assert_int_equal(web->check.interval, 61001);
	assert_int_equal(web->check.timeout, 10);
	assert_int_equal(web->check.rise, 100);
	assert_int_equal(web->check.fall, 1);
	assert_string_equal(web->check.path, "/a?b=%20");
	assert_string_equal(web->check.host, "[fd00::1]:8443");
	assert_int_equal(web->check.status_low, 200);
	assert_int_equal(web->check.status_high, 204);
	assert_string_equal(web->check.body, "^(OK|ready)$");
	assert_string_equal(web->backends[0].name, "1");
	assert_int_equal(web->backends[0].weight, 0);
	assert_address(&web->backends[1].address, "fd00::2");
	assert_int_equal(web->backends[1].weight, 1000);
	ek_config_free(config);
}

static void test_methods_set(void **state)
{
	struct ek_config *config =
		good(TOP "icmp: {echo: false, echo-rate: 7, error-rate: 8}\n"
			 "services:\n"
			 "  - name: gue\n"
			 "    address: [192.0.2.0/28, \"2001:db8::/64\", 192.0.2.99]\n"
			 "    port: 8000-8099\n"
			 "    protocol: tcp+udp\n"
			 "    forward: gue\n"
			 "    gue: {port: 6081, variant: 1}\n"
			 "    mss: auto\n"
			 "    health: {port: 8000}\n"
			 "    backends: [{name: a, address: 10.0.0.1}]\n"
			 "  - name: tos\n"
			 "    address: 2001:db8:1::1\n"
			 "    port: any\n"
			 "    forward: tos\n"
			 "    tos: 63\n"
			 "    mss: 1220\n"
			 "    health: {type: none}\n"
			 "    backends: [{name: a, address: \"fd00::1\"}]\n"
			 "  - name: l2\n"
			 "    address: 198.51.100.1/32\n"
			 "    protocol: any\n"
			 "    forward: l2\n"
			 "    health: {type: none}\n"
			 "    backends: [{name: a, address: 10.0.0.1}]\n");
	const struct ek_config_service *gue = &config->services[0], *tos = &config->services[1];
	const struct ek_config_service *l2 = &config->services[2];

	(void)state;
	assert_false(config->icmp.echo);
	assert_int_equal(config->icmp.echo_rate, 7);
	assert_int_equal(config->icmp.error_rate, 8);
	assert_address(&gue->vip, "192.0.2.0");
	assert_int_equal(gue->n_addresses, 3);
	assert_int_equal(gue->addresses[0].length, 124);
	assert_address(&gue->addresses[1].address, "2001:db8::");
	assert_int_equal(gue->addresses[1].length, 64);
	assert_address(&gue->addresses[2].address, "192.0.2.99");
	assert_int_equal(gue->addresses[2].length, 128);
	assert_int_equal(gue->port, 8000);
	assert_int_equal(gue->port_last, 8099);
	assert_int_equal(gue->protocol, IPPROTO_TCP);
	assert_true(gue->udp_too);
	assert_int_equal(gue->forward, EK_FORWARD_GUE);
	assert_int_equal(gue->gue_port, 6081);
	assert_int_equal(gue->gue_variant, 1);
	assert_int_equal(gue->mss, EK_MSS_AUTO);
	assert_int_equal(gue->tracking, EK_TRACKING_FULL);
	assert_int_equal(gue->method, EK_METHOD_MAGLEV);
	assert_int_equal(gue->check.type, EK_CHECK_TCP);
	assert_int_equal(tos->port, 0);
	assert_int_equal(tos->port_last, 65535);
	assert_int_equal(tos->forward, EK_FORWARD_TOS);
	assert_int_equal(tos->tos, 63);
	assert_int_equal(tos->mss, 1220);
	assert_int_equal(tos->tracking, EK_TRACKING_JUST_ENOUGH);
	assert_int_equal(l2->addresses[0].length, 128);
	assert_int_equal(l2->port, 0);
	assert_int_equal(l2->port_last, 65535);
	assert_int_equal(l2->protocol, 0);
	assert_false(l2->udp_too);
	assert_int_equal(l2->forward, EK_FORWARD_L2);
	assert_int_equal(l2->method, EK_METHOD_SOURCE_HASH);
	assert_int_equal(l2->tracking, EK_TRACKING_FULL);
	ek_config_free(config);
}

static void test_entries(void **state)
{
	struct ek_config *config =
		good(TOP "services:\n"
			 "  - {name: a, address: [192.0.2.1, 198.51.100.0/24], port: 53, "
			 "protocol: tcp+udp, backends: [{name: a, address: 10.0.0.1}]}\n");
	struct ek_config_entry entries[EK_SERVICE_ENTRIES_MAX];

	(void)state;
	assert_int_equal(ek_config_entries(&config->services[0], entries), 4);
	assert_address(&entries[0].vip.address, "192.0.2.1");
	assert_int_equal(entries[0].protocol, IPPROTO_TCP);
	assert_true(ek_config_entry_is_exact(&entries[0]));
	assert_address(&entries[1].vip.address, "192.0.2.1");
	assert_int_equal(entries[1].protocol, IPPROTO_UDP);
	assert_true(ek_config_entry_is_exact(&entries[1]));
	assert_address(&entries[2].vip.address, "198.51.100.0");
	assert_int_equal(entries[2].protocol, IPPROTO_TCP);
	assert_false(ek_config_entry_is_exact(&entries[2]));
	assert_int_equal(entries[3].protocol, IPPROTO_UDP);
	assert_int_equal(EK_SERVICE_KEY_LENGTH(ek_config_entry_key(&entries[3])), 120);
	ek_config_free(config);
}

/* A default that is longer than what was chosen gives way. */
static void test_timeout_follows_a_short_interval(void **state)
{
	struct ek_config *config = good(WEB "    health: {interval: 200ms}\n");

	(void)state;
	assert_int_equal(config->services[0].check.timeout, 200);
	ek_config_free(config);
}

static void test_node_defaults_to_the_host(void **state)
{
	struct ek_config *config;
	char host[256] = "";

	(void)state;
	gethostname(host, sizeof(host) - 1);
	config = good("interfaces: [{name: eth0}]\nservices: []\n");
	assert_string_equal(config->node, host);
	assert_int_equal(config->n_services, 0);
	ek_config_free(config);
}

static void test_gateway_example(void **state)
{
	static const struct {
		const char *name, *vip, *backends[3];
	} expected[] = {
		{"web", "192.0.2.10", {"10.2.0.21", "10.2.0.22", "10.2.0.23"}},
		{"web6", "2001:db8::10", {"fd00:2::21", "fd00:2::22", "fd00:2::23"}},
	};
	struct ek_config *config = load("configs/gateway.yaml");

	(void)state;
	assert_string_equal(config->node, "lb1");
	assert_int_equal(config->n_interfaces, 1);
	assert_string_equal(config->interfaces[0].name, "eth0");
	assert_int_equal(config->n_services, LENGTH(expected));
	for (size_t i = 0; i < LENGTH(expected); i++) {
		const struct ek_config_service *service = &config->services[i];
		const struct ek_config_check *check = &service->check;

		assert_string_equal(service->name, expected[i].name);
		assert_address(&service->vip, expected[i].vip);
		assert_int_equal(service->port, 80);
		assert_int_equal(check->type, EK_CHECK_HTTP);
		assert_int_equal(check->port, 80);
		assert_string_equal(check->path, "/health");
		assert_string_equal(check->host, "www.example.org");
		assert_string_equal(check->body, "ACTIVE");
		assert_int_equal(check->status_low, 200);
		assert_int_equal(check->status_high, 200);
		assert_int_equal(check->interval, 200);
		assert_int_equal(check->timeout, 150);
		assert_int_equal(check->rise, 2);
		assert_int_equal(check->fall, 2);
		assert_int_equal(service->n_backends, 3);
		for (size_t b = 0; b < 3; b++)
			assert_address(&service->backends[b].address, expected[i].backends[b]);
	}
	ek_config_free(config);
}

static void test_every_example_loads(void **state)
{
	DIR *dir = opendir("configs");
	struct dirent *entry;
	char path[512];
	int n = 0;

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		size_t length = strlen(entry->d_name);

		if (length < 5 || strcmp(entry->d_name + length - 5, ".yaml"))
			continue;
		snprintf(path, sizeof(path), "configs/%s", entry->d_name);
		print_message("  %s\n", path);
		ek_config_free(load(path));
		n++;
	}
	closedir(dir);
	assert_true(n >= 2);
}

static void test_names(void **state)
{
	static const struct ek_config_service services[] = {
		{.port = 80, .port_last = 80, .protocol = IPPROTO_TCP},
		{.port = 60000, .port_last = 65535, .protocol = IPPROTO_UDP},
		{.port = 1, .port_last = 65535, .protocol = IPPROTO_TCP, .udp_too = true},
		{.port = 0, .port_last = 65535, .protocol = 0},
	};
	static const struct {
		const char *ports, *protocol;
	} texts[] = {{"80", "tcp"}, {"60000-65535", "udp"}, {"1-65535", "tcp+udp"}, {"any", "any"}};
	char ports[EK_PORTS_TEXT];

	(void)state;
	assert_string_equal(ek_forward_name(EK_FORWARD_IPIP), "ipip");
	assert_string_equal(ek_forward_name(EK_FORWARD_LOCAL), "local");
	assert_string_equal(ek_method_name(EK_METHOD_SOURCE_HASH), "source-hash");
	assert_string_equal(ek_tracking_name(EK_TRACKING_JUST_ENOUGH), "just-enough");
	assert_string_equal(ek_check_name(EK_CHECK_HTTPS), "https");
	assert_string_equal(ek_xdp_mode_name(EK_XDP_GENERIC), "generic");
	assert_string_equal(ek_forward_name(0), "?");
	for (size_t i = 0; i < LENGTH(services); i++) {
		assert_string_equal(ek_config_ports_text(&services[i], ports), texts[i].ports);
		assert_string_equal(ek_config_protocol_name(&services[i]), texts[i].protocol);
	}
	ek_config_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_largest_file),
		cmocka_unit_test(test_errors_beyond_the_list),
		cmocka_unit_test(test_most_services_and_backends),
		cmocka_unit_test(test_most_addresses),
		cmocka_unit_test(test_unreadable_files),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything_set),
		cmocka_unit_test(test_methods_set),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_timeout_follows_a_short_interval),
		cmocka_unit_test(test_node_defaults_to_the_host),
		cmocka_unit_test(test_gateway_example),
		cmocka_unit_test(test_every_example_loads),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
