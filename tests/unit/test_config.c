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
	assert_int_equal(web->protocol, IPPROTO_TCP);
	assert_int_equal(web->forward, EK_FORWARD_IPIP);
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
	(void)state;
	assert_string_equal(ek_forward_name(EK_FORWARD_IPIP), "ipip");
	assert_string_equal(ek_forward_name(EK_FORWARD_LOCAL), "local");
	assert_string_equal(ek_method_name(EK_METHOD_SOURCE_HASH), "source-hash");
	assert_string_equal(ek_tracking_name(EK_TRACKING_JUST_ENOUGH), "just-enough");
	assert_string_equal(ek_check_name(EK_CHECK_HTTPS), "https");
	assert_string_equal(ek_xdp_mode_name(EK_XDP_GENERIC), "generic");
	assert_string_equal(ek_forward_name(0), "?");
	ek_config_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_largest_file),
		cmocka_unit_test(test_errors_beyond_the_list),
		cmocka_unit_test(test_most_services_and_backends),
		cmocka_unit_test(test_unreadable_files),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything_set),
		cmocka_unit_test(test_timeout_follows_a_short_interval),
		cmocka_unit_test(test_node_defaults_to_the_host),
		cmocka_unit_test(test_gateway_example),
		cmocka_unit_test(test_every_example_loads),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
