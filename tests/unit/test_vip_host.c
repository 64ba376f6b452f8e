/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lib/vip_host.c against the real kernel: each test in a network namespace of its own (root), in
 * which lo is also the interface, and with a state directory of its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "ip.h"
#include "vip_host.h"

#define ALL_IGNORE   "all/arp_ignore"
#define ALL_ANNOUNCE "all/arp_announce"
#define LO_IGNORE    "lo/arp_ignore"
#define LO_ANNOUNCE  "lo/arp_announce"

struct lab {
	char dir[64];
	char file[96];
	char fresh[104];
	struct ek_ip vips[2]; /* 192.0.2.10, 2001:db8::10 */
	struct ek_vip_host_options options;
};

static int sysctl_get(const char *name)
{
	char path[96];
	FILE *file;
	int value;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s", name);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &value), 1);
	fclose(file);
	return value;
}

static void sysctl_set(const char *name, int value)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s", name);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "%d\n", value);
	assert_int_equal(fclose(file), 0);
}

static void assert_sysctls(int all_ignore, int all_announce, int ignore, int announce)
{
	assert_int_equal(sysctl_get(ALL_IGNORE), all_ignore);
	assert_int_equal(sysctl_get(ALL_ANNOUNCE), all_announce);
	assert_int_equal(sysctl_get(LO_IGNORE), ignore);
	assert_int_equal(sysctl_get(LO_ANNOUNCE), announce);
}

static void run(const char *command)
{
	assert_int_equal(system(command), 0);
}

/* Whether `ip address show dev lo` has `text` in it. */
static bool lo_has(const char *text)
{
	char command[160];

	snprintf(command, sizeof(command), "ip address show dev lo | grep -qF '%s'", text);
	return system(command) == 0;
}

static int lab_up(void **state)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	socklen_t size = sizeof(uint64_t);
	uint64_t cookie;
	struct lab *lab;
	int fd;

	*state = NULL;
	if (unshare(CLONE_NEWNET))
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size), 0);
	close(fd);
	lab = calloc(1, sizeof(*lab));
	strcpy(lab->dir, "/tmp/ek-vip-host-XXXXXX");
	assert_non_null(mkdtemp(lab->dir));
	snprintf(lab->file, sizeof(lab->file), "%s/backend-lo-%" PRIu64 ".json", lab->dir, cookie);
	snprintf(lab->fresh, sizeof(lab->fresh), "%s.new", lab->file);
	assert_int_equal(ek_ip_parse("192.0.2.10", &lab->vips[0]), 0);
	assert_int_equal(ek_ip_parse("2001:db8::10", &lab->vips[1]), 0);
	lab->options = (struct ek_vip_host_options){
		.interface = "lo", .state_dir = lab->dir, .vips = lab->vips, .n_vips = 2};
	/* New namespaces may inherit the first one's values. */
	sysctl_set(ALL_IGNORE, 0);
	sysctl_set(ALL_ANNOUNCE, 0);
	sysctl_set(LO_IGNORE, 0);
	sysctl_set(LO_ANNOUNCE, 0);
	*state = lab;
	return 0;
}

static int lab_down(void **state)
{
	struct lab *lab = *state;

	if (lab) {
		unlink(lab->file);
		unlink(lab->fresh);
		rmdir(lab->dir);
	}
	free(lab);
	return 0;
}

static struct lab *lab_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static struct ek_vip_host *prepare(struct lab *lab)
{
	struct ek_error error = {.text = ""};
	struct ek_vip_host *host = ek_vip_host_prepare(&lab->options, &error);

	if (!host)
		fail_msg("%s", error.text);
	return host;
}

static void restore(struct ek_vip_host *host)
{
	struct ek_error error = {.text = ""};

	if (ek_vip_host_restore(host, &error))
		fail_msg("%s", error.text);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void prepares_and_restores(void **state)
{
	struct lab *lab = lab_of(state);
	struct ek_vip_host *host = prepare(lab);
	struct stat st;

	assert_true(lo_has("inet 192.0.2.10/32 scope host"));
	assert_true(lo_has("inet6 2001:db8::10/128 scope global nodad deprecated"));
	assert_sysctls(1, 2, 1, 2);
	assert_int_equal(stat(lab->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	restore(host);
	assert_false(lo_has("192.0.2.10"));
	assert_false(lo_has("2001:db8::10"));
	assert_sysctls(0, 0, 0, 0);
	assert_int_not_equal(access(lab->file, F_OK), 0);
	assert_int_not_equal(access(lab->fresh, F_OK), 0);
}

static void leaves_alone_what_was_there(void **state)
{
	struct lab *lab = lab_of(state);

	run("ip address add 192.0.2.10/24 dev lo");
	sysctl_set(ALL_IGNORE, 2);
	sysctl_set(LO_IGNORE, 8);
	sysctl_set(LO_ANNOUNCE, 1);
	struct ek_vip_host *host = prepare(lab);

	assert_false(lo_has("192.0.2.10/32"));
	assert_sysctls(2, 2, 8, 2);
	restore(host);
	assert_true(lo_has("192.0.2.10/24"));
	assert_false(lo_has("2001:db8::10"));
	assert_sysctls(2, 0, 8, 1);
}

static void ipv6_alone_needs_no_sysctl(void **state)
{
	struct lab *lab = lab_of(state);

	lab->options.vips = &lab->vips[1];
	lab->options.n_vips = 1;
	struct ek_vip_host *host = prepare(lab);

	assert_true(lo_has("2001:db8::10/128"));
	assert_sysctls(0, 0, 0, 0);
	restore(host);
	assert_false(lo_has("2001:db8::10"));
}

static void no_vip_writes_no_file(void **state)
{
	struct lab *lab = lab_of(state);

	lab->options.n_vips = 0;
	struct ek_vip_host *host = prepare(lab);

	assert_int_not_equal(access(lab->file, F_OK), 0);
	assert_sysctls(0, 0, 0, 0);
	restore(host);
}

/* A predecessor that was killed; `lab->options` are what it ran with. */
static void prepare_and_die(struct lab *lab)
{
	struct ek_error error;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(ek_vip_host_prepare(&lab->options, &error) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void adopts_what_a_killed_process_left(void **state)
{
	struct lab *lab = lab_of(state);

	sysctl_set(LO_ANNOUNCE, 1);
	prepare_and_die(lab);
	assert_sysctls(1, 2, 1, 2);
	lab->options.vips = &lab->vips[1];
	lab->options.n_vips = 1;
	struct ek_vip_host *host = prepare(lab);

	assert_false(lo_has("192.0.2.10"));
	assert_true(lo_has("2001:db8::10/128"));
	restore(host);
	assert_false(lo_has("2001:db8::10"));
	assert_sysctls(0, 0, 0, 1);
	assert_int_not_equal(access(lab->file, F_OK), 0);
}

static void adopts_an_address_that_has_gone_since(void **state)
{
	struct lab *lab = lab_of(state);

	prepare_and_die(lab);
	run("ip address del 192.0.2.10/32 dev lo");
	struct ek_vip_host *host = prepare(lab);

	assert_true(lo_has("192.0.2.10/32"));
	run("ip address del 192.0.2.10/32 dev lo");
	restore(host);
	assert_sysctls(0, 0, 0, 0);
}

static void a_sysctl_changed_meanwhile_stays(void **state)
{
	struct lab *lab = lab_of(state);
	struct ek_vip_host *host = prepare(lab);

	sysctl_set(ALL_ANNOUNCE, 1);
	restore(host);
	assert_sysctls(0, 1, 0, 0);
}

static void refuses_a_file_it_cannot_read(void **state)
{
	static const struct {
		const char *description, *text;
	} rows[] = {
		{"empty", ""},
		{"no JSON", "VIP"},
		{"not an object", "[]"},
		{"no addresses", "{\"sysctls\": {}}"},
		{"no sysctls", "{\"addresses\": []}"},
		{"a number for an address", "{\"addresses\": [7], \"sysctls\": {}}"},
		{"no address", "{\"addresses\": [\"lo\"], \"sysctls\": {}}"},
	};
	struct lab *lab = lab_of(state);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ek_error error = {.text = ""};

		write_file(lab->file, rows[i].text);
		if (ek_vip_host_prepare(&lab->options, &error))
			fail_msg("%s: accepted", rows[i].description);
		assert_int_equal(errno, EBADMSG);
		assert_non_null(strstr(error.text, lab->file));
		assert_non_null(strstr(error.text, "remove"));
		assert_false(lo_has("192.0.2.10"));
		assert_sysctls(0, 0, 0, 0);
	}
}

static void a_failure_undoes_the_rest(void **state)
{
	struct lab *lab = lab_of(state);
	struct ek_error error = {.text = ""};
	struct ek_ip multicast[2] = {lab->vips[0]};

	assert_int_equal(ek_ip_parse("ff02::1", &multicast[1]), 0); /* the kernel refuses it */
	lab->options.vips = multicast;
	assert_null(ek_vip_host_prepare(&lab->options, &error));
	assert_non_null(strstr(error.text, "lo: cannot add ff02::1"));
	assert_false(lo_has("192.0.2.10"));
	assert_sysctls(0, 0, 0, 0);
	assert_int_not_equal(access(lab->file, F_OK), 0);
}

static void names_what_is_missing(void **state)
{
	struct lab *lab = lab_of(state);
	struct ek_error error = {.text = ""};

	lab->options.interface = "nosuch0";
	assert_null(ek_vip_host_prepare(&lab->options, &error));
	assert_int_equal(errno, ENOENT);
	assert_non_null(strstr(error.text, "net/ipv4/conf/nosuch0/arp_ignore"));

	lab->options.state_dir = "/nonexistent/evenkeel";
	assert_null(ek_vip_host_prepare(&lab->options, &error));
	assert_int_equal(errno, ENOENT);
	assert_non_null(strstr(error.text, "/nonexistent/evenkeel"));
}

#define LAB(test) cmocka_unit_test_setup_teardown(test, lab_up, lab_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(prepares_and_restores),
		LAB(leaves_alone_what_was_there),
		LAB(ipv6_alone_needs_no_sysctl),
		LAB(no_vip_writes_no_file),
		LAB(adopts_what_a_killed_process_left),
		LAB(adopts_an_address_that_has_gone_since),
		LAB(a_sysctl_changed_meanwhile_stays),
		LAB(refuses_a_file_it_cannot_read),
		LAB(a_failure_undoes_the_rest),
		LAB(names_what_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
