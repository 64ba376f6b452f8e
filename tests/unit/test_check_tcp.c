/* SPDX-License-Identifier: GPL-2.0-only */
/* The TCP check against bare listeners on 127.0.0.1 and ::1. */
#include "check_fixture.h"

static void test_tcp_connects_and_resets(void **state)
{
	static const char *const addresses[] = {"127.0.0.1", "::1"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		in_port_t port;
		int listener = listen_on(addresses[i], &port, 16), peer;
		struct ek_check *check =
			start_at(f, &tcp, addresses[i], port, "192.0.2.1", EK_HEALTH_UNKNOWN);
		struct pollfd readable = {.events = POLLIN};
		char byte;

		expect(f, check, addresses[i], EK_HEALTH_UP, "connected in ");
		peer = readable.fd = accept(listener, NULL, NULL);
		assert_true(peer >= 0);
		assert_int_equal(poll(&readable, 1, 10000), 1);
		/* A reset, not an orderly end: TIME_WAIT is left on neither side. */
		assert_int_equal(recv(peer, &byte, 1, 0), -1);
		assert_int_equal(errno, ECONNRESET);
		close(peer);
		close(listener);
	}
}

static void test_tcp_full_backlog_times_out(void **state)
{
	struct fixture *f = *state;
	struct ek_config_check config = tcp;
	in_port_t port;
	int listener = listen_on("127.0.0.1", &port, 0), fillers[3];
	struct sockaddr_storage address;
	struct ek_ip local = ip("127.0.0.1");
	socklen_t length = ek_ip_sockaddr(&local, port, &address);

	for (size_t i = 0; i < 3; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(fillers[i], (struct sockaddr *)&address, length);
	}
	config.timeout = 40;
	expect(f, start(f, &config, port), "full backlog", EK_HEALTH_DOWN, "timed out after 40 ms");
	for (size_t i = 0; i < 3; i++)
		close(fillers[i]);
	close(listener);
}

static void test_tcp_does_not_meet_itself(void **state)
{
	struct fixture *f = *state;

	enter_namespace(f);
	ephemeral_ports(45000, 45000);
	expect(f, start(f, &tcp, 45000), "nobody listens on 45000", EK_HEALTH_DOWN,
	       "connection refused");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_tcp_connects_and_resets),
		T(test_tcp_full_backlog_times_out),
		T(test_tcp_does_not_meet_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
