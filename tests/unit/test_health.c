/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine: timers, states, callbacks, stopping and reconfiguring at awkward moments, whose
 * fault a failure is, and a thousand checks at once.
 */
#include "check_fixture.h"

/* --- states and callbacks ----------------------------------------------------------- */

static void test_adopted_state_stands(void **state)
{
	struct fixture *f = *state;
	in_port_t port = 0;
	int fd = bind_to("127.0.0.1", &port);
	struct ek_check *check = start_at(f, &tcp, "127.0.0.1", port, "192.0.2.1", EK_HEALTH_UP);

	assert_int_equal(state_of(check), EK_HEALTH_UP);
	WAIT(f, ek_check_status(check)->results == 2);
	assert_int_equal(state_of(check), EK_HEALTH_UP);
	WAIT(f, f->changes == 1);
	assert_int_equal(state_of(check), EK_HEALTH_DOWN);
	assert_int_equal(ek_check_status(check)->results, 3);
	close(fd);
}

static void test_no_check_is_up(void **state)
{
	static const struct ek_config_check none = {.type = EK_CHECK_NONE};
	struct fixture *f = *state;
	struct ek_check *check = start(f, &none, 80);

	assert_int_equal(state_of(check), EK_HEALTH_UP);
	assert_string_equal(ek_check_status(check)->why, "no check");
	WAIT(f, f->changes == 1);
	start_at(f, &none, "127.0.0.1", 80, "192.0.2.1", EK_HEALTH_UP);
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	assert_int_equal(f->changes, 1);
}

static void stop_itself(struct fixture *f, struct ek_check *check)
{
	(void)f;
	ek_check_stop(check);
}

static void stop_the_other(struct fixture *f, struct ek_check *check)
{
	ek_check_stop(f->others[check == f->others[0]]);
}

static void stop_both_and_start_one(struct fixture *f, struct ek_check *check)
{
	(void)check;
	ek_check_stop(f->others[0]);
	ek_check_stop(f->others[1]);
	f->react = NULL;
	f->others[0] = start(f, &(struct ek_config_check){.type = EK_CHECK_NONE}, 80);
}

static void free_the_engine(struct fixture *f, struct ek_check *check)
{
	(void)check;
	ek_health_free(f->health);
	f->health = NULL;
}

/* Two checks change in one turn of the loop; the first to be told of acts. */
static void test_callbacks_may_stop_anything(void **state)
{
	static const struct {
		void (*react)(struct fixture *f, struct ek_check *check);
		unsigned int changes;
	} rows[] = {{stop_itself, 2},
		    {stop_the_other, 1},
		    {stop_both_and_start_one, 2},
		    {free_the_engine, 1}};
	struct fixture *f = *state;
	static const struct ek_config_check none = {.type = EK_CHECK_NONE};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		f->changes = 0;
		f->react = rows[i].react;
		f->others[0] = start(f, &none, 80);
		f->others[1] = start(f, &none, 80);
		WAIT(f, f->changes == rows[i].changes);
		event_base_loop(f->base, EVLOOP_NONBLOCK);
		assert_int_equal(f->changes, rows[i].changes);
	}
}

static void test_stop_from_the_result_of_a_transfer(void **state)
{
	struct fixture *f = *state;
	struct script script = {.head = OK_HEAD "\r\n", .tail = "", .after = CLOSE};
	in_port_t port = script_start(f, &script);

	f->react = stop_itself;
	for (int i = 0; i < 20; i++)
		start(f, i % 2 ? &http : &tcp, port);
	WAIT(f, f->changes == 20);
	script_stop(f, &script);
}

static void test_tcp_refused_then_listening_then_not(void **state)
{
	struct fixture *f = *state;
	in_port_t port = 0;
	int fd = bind_to("127.0.0.1", &port);
	struct ek_check *check = start(f, &tcp, port);
	const struct ek_check_status *status = ek_check_status(check);
	uint64_t since;

	WAIT(f, status->state == EK_HEALTH_DOWN);
	assert_string_equal(status->why, "connection refused");
	assert_int_equal(status->results, 1);
	since = status->since_ms;
	assert_int_equal(listen(fd, 1000), 0);
	WAIT(f, status->state == EK_HEALTH_UP);
	assert_true(status->results >= 3);
	assert_true(status->since_ms >= since);
	assert_true(status->last_duration_us > 0);
	close(fd);
	WAIT(f, status->state == EK_HEALTH_DOWN);
	WAIT(f, f->changes == 3);
}

static void test_stop_and_free_during_transfers(void **state)
{
	struct fixture *f = *state;
	struct script script = {.head = OK_HEAD, .tail = "X", .after = HOLD};
	in_port_t port = script_start(f, &script);
	struct ek_check *checks[8];

	for (size_t i = 0; i < 8; i++)
		checks[i] = start(f, &http, port);
	WAIT(f, script.open == 8);
	for (size_t i = 0; i < 4; i++)
		ek_check_stop(checks[i]);
	WAIT(f, script.open == 4);
	ek_health_free(f->health);
	f->health = NULL;
	script_stop(f, &script);
	assert_int_equal(f->changes, 0);
}

static void test_a_check_never_overlaps_itself(void **state)
{
	struct fixture *f = *state;
	struct script script = {.head = "", .tail = "", .after = HOLD};
	in_port_t port = script_start(f, &script);
	struct ek_config_check config = http;
	struct ek_check *check;

	config.interval = config.timeout = 20;
	check = start(f, &config, port);
	WAIT(f, script.accepted >= 10);
	assert_false(script.overlapped);
	ek_check_stop(check);
	script_stop(f, &script);
}

/* --- reconfiguring ------------------------------------------------------------------ */

static void test_reconfigure_keeps_state_and_run(void **state)
{
	struct fixture *f = *state;
	struct ek_config_check config = tcp;
	in_port_t port = 0;
	int fd = bind_to("127.0.0.1", &port);
	struct ek_check *check;

	config.fall = 1000000;
	check = start_at(f, &config, "127.0.0.1", port, "192.0.2.1", EK_HEALTH_UP);
	WAIT(f, ek_check_status(check)->results == 5);
	config.fall = 3;
	reconfigure(f, check, &config, port);
	assert_int_equal(ek_check_status(check)->results, 5);
	assert_int_equal(state_of(check), EK_HEALTH_UP);
	WAIT(f, f->changes == 1);
	assert_int_equal(ek_check_status(check)->results, 6);
	close(fd);
}

static void test_reconfigure_shortens_a_long_wait(void **state)
{
	struct fixture *f = *state;
	struct ek_config_check config = tcp;
	in_port_t port;
	int listener = listen_on("127.0.0.1", &port, 16);
	struct ek_check *check;

	config.interval = 3600 * 1000;
	check = start(f, &config, port);
	WAIT(f, ek_check_status(check)->results == 1);
	config.interval = 20;
	reconfigure(f, check, &config, port);
	WAIT(f, ek_check_status(check)->results == 3);
	close(listener);
}

static void test_reconfigure_during_a_transfer(void **state)
{
	struct fixture *f = *state;
	struct script script = {.head = OK_HEAD, .tail = "X", .after = HOLD};
	in_port_t port = script_start(f, &script);
	struct ek_config_check config = http, none = {.type = EK_CHECK_NONE};
	struct ek_check *check = start(f, &config, port);

	WAIT(f, script.open == 1);
	config.rise = 7;
	reconfigure(f, check, &config, port); /* asks the same: goes on */
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	assert_int_equal(script.open, 1);
	reconfigure(f, check, &tcp, port); /* asks something else */
	WAIT(f, state_of(check) == EK_HEALTH_UP);
	assert_memory_equal(ek_check_status(check)->why, "connected in ", 13);
	reconfigure(f, check, &config, port);
	WAIT(f, script.open == 1);
	reconfigure(f, check, &none, port);
	assert_int_equal(state_of(check), EK_HEALTH_UP);
	WAIT(f, script.open == 0);
	ek_check_stop(check);
	script_stop(f, &script);
}

static void test_reconfigure_to_no_check_and_back(void **state)
{
	struct fixture *f = *state;
	struct ek_config_check none = {.type = EK_CHECK_NONE};
	in_port_t port = 0;
	int fd = bind_to("127.0.0.1", &port);
	struct ek_check *check = start(f, &tcp, port);

	WAIT(f, f->changes == 1);
	assert_int_equal(state_of(check), EK_HEALTH_DOWN);
	reconfigure(f, check, &none, port);
	assert_int_equal(state_of(check), EK_HEALTH_UP);
	WAIT(f, f->changes == 2);
	reconfigure(f, check, &tcp, port);
	assert_int_equal(state_of(check), EK_HEALTH_UP);
	WAIT(f, f->changes == 3);
	assert_int_equal(state_of(check), EK_HEALTH_DOWN);
	assert_int_equal(ek_check_status(check)->changes, 3);
	assert_int_equal(ek_check_status(check)->history[1].state, EK_HEALTH_UP);
	assert_string_equal(ek_check_status(check)->history[1].why, "no check");
	assert_int_equal(ek_check_status(check)->history[2].state, EK_HEALTH_DOWN);
	close(fd);
}

/* --- whose fault -------------------------------------------------------------------- */

static void test_no_route(void **state)
{
	struct fixture *f = *state;

	enter_namespace(f);
	expect(f, start_at(f, &tcp, "192.0.2.7", 80, "192.0.2.1", EK_HEALTH_UNKNOWN), "no route",
	       EK_HEALTH_DOWN, "network is unreachable");
	expect(f, start_at(f, &http, "192.0.2.7", 80, "192.0.2.1", EK_HEALTH_UNKNOWN), "no route",
	       EK_HEALTH_DOWN, "network is unreachable");
	assert_int_equal(system("ip route add unreachable 192.0.2.0/24"), 0);
	expect(f, start_at(f, &tcp, "192.0.2.7", 80, "192.0.2.1", EK_HEALTH_UNKNOWN), "unreachable",
	       EK_HEALTH_DOWN, "no route to host");
	expect(f, start_at(f, &http, "192.0.2.7", 80, "192.0.2.1", EK_HEALTH_UNKNOWN),
	       "unreachable", EK_HEALTH_DOWN, "no route to host");
}

static void test_no_free_port_is_not_the_backends_fault(void **state)
{
	struct fixture *f = *state;
	in_port_t port = 45000;
	int taken;

	enter_namespace(f);
	ephemeral_ports(port, port);
	taken = bind_to("127.0.0.1", &port);
	assert_int_equal(listen(taken, 1), 0);
	expect_not_checked(f, start(f, &tcp, 80), "not checked: cannot assign requested address");
	expect_not_checked(f, start(f, &http, 80), "not checked: cannot assign requested address");
	close(taken);
}

static void test_a_busy_controller_blames_nobody(void **state)
{
	struct fixture *f = *state;
	struct script script = {.head = "", .tail = "", .after = HOLD};
	in_port_t port = script_start(f, &script);
	struct ek_config_check config = http;
	struct ek_check *check;
	struct timespec begun, now;

	config.interval = config.timeout = 500;
	check = start(f, &config, port);
	WAIT(f, script.accepted == 1);
	clock_gettime(CLOCK_MONOTONIC, &begun);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while (now.tv_sec - begun.tv_sec < 2);
	WAIT(f, strncmp(ek_check_status(check)->why, "not checked yet", 15) != 0);
	assert_memory_equal(ek_check_status(check)->why, "not checked: the controller was busy",
			    36);
	assert_int_equal(state_of(check), EK_HEALTH_UNKNOWN);
	WAIT(f, state_of(check) == EK_HEALTH_DOWN);
	ek_check_stop(check);
	script_stop(f, &script);
}

/* --- many --------------------------------------------------------------------------- */

#define MANY 1000

static size_t count_state(struct ek_check *const *checks, enum ek_health_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < MANY; i++)
		count += state_of(checks[i]) == state;
	return count;
}

static void test_a_thousand_checks(void **state)
{
	struct fixture *f = *state;
	struct script script = {
		.head = OK_HEAD "Content-Length: 0\r\n\r\n", .tail = "", .after = CLOSE};
	in_port_t port = script_start(f, &script);
	struct ek_check *checks[MANY];
	int before = count_fds();

	for (size_t i = 0; i < MANY; i++)
		checks[i] = start(f, i % 2 ? &http : &tcp, port);
	/* One socket a check at most, and its other end in the same process; libcurl's own pair. */
	WAIT(f, f->changes == MANY || count_fds() > before + 2 * MANY + 2);
	assert_int_equal(count_state(checks, EK_HEALTH_UP), MANY);
	for (size_t i = 0; i < MANY; i++)
		ek_check_stop(checks[i]);
	script_stop(f, &script);
	assert_true(count_fds() <= before + 2);
}

static void test_no_descriptors_is_not_the_backends_fault(void **state)
{
	struct fixture *f = *state;
	in_port_t port;
	int listener = listen_on("127.0.0.1", &port, 4096);
	struct rlimit scarce = f->files;
	struct ek_check *checks[MANY], *warm = start(f, &http, port);
	struct ek_config_check config = http;
	size_t starved = 0;

	/* Nobody accepts: each transfer keeps its descriptor for as long as it may. */
	config.interval = config.timeout = 1000;
	WAIT(f, strcmp(ek_check_status(warm)->why, "not checked yet") == 0 &&
			count_fds() > f->fds + 6);
	ek_check_stop(warm);
	scarce.rlim_cur = count_fds() + 20;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &scarce), 0);
	for (size_t i = 0; i < MANY; i++)
		checks[i] = start(f, i % 2 ? &config : &tcp, port);
	WAIT(f, count_state(checks, EK_HEALTH_DOWN) > 0);
	for (size_t i = 0; i < MANY; i++)
		starved += strcmp(ek_check_status(checks[i])->why,
				  "not checked: too many open files") == 0;
	assert_true(starved > MANY / 4);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &f->files), 0);
	/* Every one gets its verdict at a later interval. */
	WAIT(f, count_state(checks, EK_HEALTH_UNKNOWN) == 0);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_adopted_state_stands),
		T(test_no_check_is_up),
		T(test_callbacks_may_stop_anything),
		T(test_stop_from_the_result_of_a_transfer),
		T(test_tcp_refused_then_listening_then_not),
		T(test_stop_and_free_during_transfers),
		T(test_a_check_never_overlaps_itself),
		T(test_reconfigure_keeps_state_and_run),
		T(test_reconfigure_shortens_a_long_wait),
		T(test_reconfigure_during_a_transfer),
		T(test_reconfigure_to_no_check_and_back),
		T(test_no_route),
		T(test_no_free_port_is_not_the_backends_fault),
		T(test_a_busy_controller_blames_nobody),
		T(test_a_thousand_checks),
		T(test_no_descriptors_is_not_the_backends_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
