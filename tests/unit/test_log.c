/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "log.h"

/* stderr is this pipe while a test runs; what a test logs fits into it. */
static int reader, real_stderr;

static int divert_stderr(void **state)
{
	int ends[2];

	(void)state;
	if (pipe(ends))
		return -1;
	reader = ends[0];
	real_stderr = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	return 0;
}

static int restore_stderr(void **state)
{
	(void)state;
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(reader);
	unsetenv("JOURNAL_STREAM");
	return 0;
}

/* Closes stderr's end of the pipe, so that the read ends. */
static void logged(char *out, size_t size)
{
	size_t length = 0;
	ssize_t n;

	dup2(real_stderr, STDERR_FILENO);
	while ((n = read(reader, out + length, size - 1 - length)) > 0)
		length += n;
	out[length] = '\0';
}

static void pretend_journal(int inode_error)
{
	char stream[64];
	struct stat st;

	fstat(STDERR_FILENO, &st);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + inode_error);
	setenv("JOURNAL_STREAM", stream, 1);
}

static void test_journal_lines_have_a_priority(void **state)
{
	char text[4096];

	(void)state;
	pretend_journal(0);
	ek_log_init(EK_LOG_INFO);
	ek_err("service %s", "web");
	ek_warn("w");
	ek_notice("n");
	ek_info("i");
	ek_debug("above the level");
	logged(text, sizeof(text));
	assert_string_equal(text, "<3>service web\n<4>w\n<5>n\n<6>i\n");
}

static void test_other_streams_have_time_and_word(void **state)
{
	int year, month, day, hour, minute, second, millisecond, end = 0;
	char text[4096];

	(void)state;
	pretend_journal(1); /* an inherited variable that is not about our stderr */
	ek_log_init(EK_LOG_DEBUG);
	ek_warn("%s is down", "web1");
	logged(text, sizeof(text));
	assert_int_equal(sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d.%3d%n", &year, &month, &day, &hour,
				&minute, &second, &millisecond, &end),
			 7);
	assert_string_equal(text + end, " warning: web1 is down\n");
}

static void test_text_cannot_forge_a_line(void **state)
{
	char text[4096];

	(void)state;
	pretend_journal(0);
	ek_log_init(EK_LOG_INFO);
	ek_info("answer: %s", "a\n<3>b\r\x1b[31m\x7f\t\xc3\xa9");
	logged(text, sizeof(text));
	assert_string_equal(text, "<6>answer: a?<3>b??[31m??\xc3\xa9\n");
}

static void test_long_lines_are_cut(void **state)
{
	char text[4096], message[2048];

	(void)state;
	memset(message, 'x', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	pretend_journal(0);
	ek_log_init(EK_LOG_INFO);
	errno = ENOENT;
	ek_info("%s", message);
	assert_int_equal(errno, ENOENT);
	logged(text, sizeof(text));
	assert_int_equal(strlen(text), 1024);
	assert_int_equal(text[1023], '\n');
	assert_int_equal(text[1022], 'x');
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, divert_stderr, restore_stderr)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(test_journal_lines_have_a_priority),
		LOG_TEST(test_other_streams_have_time_and_word),
		LOG_TEST(test_text_cannot_forge_a_line),
		LOG_TEST(test_long_lines_are_cut),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
