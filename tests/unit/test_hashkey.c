/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hashkey.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define DIGITS	      192

static char dir[64], path[80], draft[80];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_hashkey.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/hash-key", dir);
	snprintf(draft, sizeof(draft), "%s/hash-key.new", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(path);
	unlink(draft);
	return rmdir(dir);
}

static void write_file(const char *name, const char *text, size_t length, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), length);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(name, &st), 0);
	return st.st_mode & 07777;
}

static void fill_digits(char *text)
{
	for (size_t i = 0; i < DIGITS; i++)
		text[i] = "0123456789abcdef"[i * 7 % 16];
}

static int load(struct ek_hash_key *key, struct ek_error *error)
{
	*error = (struct ek_error){.line = 0};
	return ek_hashkey_load(dir, key, error);
}

static void test_made_once(void **state)
{
	struct ek_hash_key first, second, zero = {{0}};
	struct ek_error error;
	struct stat st;

	(void)state;
	assert_int_equal(load(&first, &error), 0);
	assert_int_equal(mode_of(path), 0600);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, DIGITS + 1);
	assert_memory_not_equal(&first, &zero, sizeof(zero));
	assert_int_equal(load(&second, &error), 0);
	assert_memory_equal(&first, &second, sizeof(first));
	assert_int_equal(access(draft, F_OK), -1);
}

static void test_another_each_time(void **state)
{
	struct ek_hash_key first, second;
	struct ek_error error;

	(void)state;
	assert_int_equal(load(&first, &error), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(load(&second, &error), 0);
	for (size_t i = 0; i < EK_HASH_WORDS; i++)
		assert_true(first.k[i] != second.k[i]);
}

static void test_makes_the_directory(void **state)
{
	char inner[80], file[100];
	struct ek_hash_key key;
	struct ek_error error = {.line = 0};

	(void)state;
	snprintf(inner, sizeof(inner), "%s/state", dir);
	snprintf(file, sizeof(file), "%s/hash-key", inner);
	assert_int_equal(ek_hashkey_load(inner, &key, &error), 0);
	assert_int_equal(mode_of(inner), 0700);
	assert_int_equal(mode_of(file), 0600);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(inner), 0);
}

static void test_private_whatever_the_umask(void **state)
{
	struct ek_hash_key key;
	struct ek_error error;
	mode_t before = umask(0);
	int err = load(&key, &error);

	(void)state;
	umask(before);
	assert_int_equal(err, 0);
	assert_int_equal(mode_of(path), 0600);
}

/* A draft that somebody left, readable by all, must not become the key. */
static void test_private_whatever_the_draft(void **state)
{
	struct ek_hash_key key, again;
	struct ek_error error;

	(void)state;
	write_file(draft, "", 0, 0666);
	assert_int_equal(load(&key, &error), 0);
	assert_int_equal(mode_of(path), 0600);
	assert_int_equal(load(&again, &error), 0);
	assert_memory_equal(&key, &again, sizeof(key));
}

/* The digits are the key's bytes in memory order: what is copied to another node means the same. */
static void test_format(void **state)
{
	static const char *const endings[] = {"", "\n"};
	char text[DIGITS + 1];
	struct ek_hash_key key;
	struct ek_error error;

	(void)state;
	fill_digits(text);
	for (size_t i = 0; i < LENGTH(endings); i++) {
		const unsigned char *bytes = (const unsigned char *)&key;

		text[DIGITS] = endings[i][0];
		write_file(path, text, DIGITS + strlen(endings[i]), 0600);
		assert_int_equal(load(&key, &error), 0);
		for (size_t j = 0; j < sizeof(key); j++) {
			char digits[3];

			snprintf(digits, sizeof(digits), "%02x", bytes[j]);
			assert_memory_equal(digits, text + 2 * j, 2);
		}
	}
}

static const struct {
	const char *description;
	size_t length;
	size_t at; /* where the digits are spoiled */
	const char *spoil;
} bad[] = {
	{"empty", 0, 0, ""},
	{"one digit", 1, 0, ""},
	{"a digit short", DIGITS - 1, 0, ""},
	{"a newline in place of the last digit", DIGITS, DIGITS - 1, "\n"},
	{"a digit too many", DIGITS + 1, DIGITS, "0"},
	{"a carriage return", DIGITS + 2, DIGITS, "\r\n"},
	{"two newlines", DIGITS + 2, DIGITS, "\n\n"},
	{"more than a key", 3 * DIGITS, DIGITS, "\nmore"},
	{"leading space", DIGITS, 0, " "},
	{"a letter beyond f", DIGITS, 7, "g"},
	{"capitals", DIGITS, 7, "A"},
	{"a sign", DIGITS, 0, "-"},
	{"0x", DIGITS, 0, "0x"},
	{"beyond ASCII", DIGITS, 100, "\xc3\xa9"},
};

static void test_garbage_is_refused(void **state)
{
	char text[3 * DIGITS];
	struct ek_hash_key key;
	struct ek_error error;

	(void)state;
	for (size_t i = 0; i < LENGTH(bad); i++) {
		print_message("  %s\n", bad[i].description);
		memset(text, '1', sizeof(text));
		fill_digits(text);
		memcpy(text + bad[i].at, bad[i].spoil, strlen(bad[i].spoil));
		write_file(path, text, bad[i].length, 0600);
		assert_int_equal(load(&key, &error), -EINVAL);
		assert_non_null(strstr(error.text, path));
		assert_non_null(strstr(error.text, "192"));
	}
}

static void test_nul_is_refused(void **state)
{
	char text[DIGITS];
	struct ek_hash_key key;
	struct ek_error error;

	(void)state;
	fill_digits(text);
	text[5] = '\0';
	write_file(path, text, DIGITS, 0600);
	assert_int_equal(load(&key, &error), -EINVAL);
}

static void test_readable_by_others_is_refused(void **state)
{
	static const mode_t refused[] = {0640, 0620, 0610, 0604, 0602, 0601, 0660, 0644, 0666};
	char text[DIGITS];
	struct ek_hash_key key;
	struct ek_error error;

	(void)state;
	fill_digits(text);
	for (size_t i = 0; i < LENGTH(refused); i++) {
		write_file(path, text, DIGITS, refused[i]);
		assert_int_equal(load(&key, &error), -EPERM);
		assert_non_null(strstr(error.text, "chmod 600"));
		assert_int_equal(mode_of(path), refused[i]);
	}
	write_file(path, text, DIGITS, 0400);
	assert_int_equal(load(&key, &error), 0);
}

static void test_no_file_of_another_kind(void **state)
{
	struct ek_hash_key key;
	struct ek_error error;

	(void)state;
	assert_int_equal(symlink("/dev/zero", path), 0);
	assert_int_equal(load(&key, &error), -ELOOP);
	assert_non_null(strstr(error.text, path));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(load(&key, &error) < 0);
	assert_non_null(strstr(error.text, path));
	assert_int_equal(rmdir(path), 0);
}

static const struct {
	const char *description, *state_dir;
} impossible[] = {
	{"its parent is missing", "/tmp/test_hashkey-no-such-parent/state"},
	{"it is a file", "/dev/null"},
	{"no file can be made in it", "/proc/self"},
};

static void test_impossible_directories(void **state)
{
	struct ek_hash_key key;

	(void)state;
	for (size_t i = 0; i < LENGTH(impossible); i++) {
		struct ek_error error = {.line = 0};

		print_message("  %s\n", impossible[i].description);
		assert_true(ek_hashkey_load(impossible[i].state_dir, &key, &error) < 0);
		assert_non_null(strstr(error.text, impossible[i].state_dir));
	}
}

/* A path that does not fit is an error, not another path. */
static void test_path_too_long(void **state)
{
	char long_dir[PATH_MAX + 100];
	struct ek_hash_key key;
	struct ek_error error = {.line = 0};

	(void)state;
	memset(long_dir, '/', sizeof(long_dir)); /* many slashes are one */
	memcpy(long_dir, dir, strlen(dir));
	long_dir[PATH_MAX - 5] = '\0';
	assert_int_equal(ek_hashkey_load(long_dir, &key, &error), -ENAMETOOLONG);
	assert_int_not_equal(error.text[0], '\0');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_made_once),
		TEST(test_another_each_time),
		TEST(test_makes_the_directory),
		TEST(test_private_whatever_the_umask),
		TEST(test_private_whatever_the_draft),
		TEST(test_format),
		TEST(test_garbage_is_refused),
		TEST(test_nul_is_refused),
		TEST(test_readable_by_others_is_refused),
		TEST(test_no_file_of_another_kind),
		TEST(test_impossible_directories),
		TEST(test_path_too_long),
	};

	return cmocka_run_group_tests_name("hashkey", tests, NULL, NULL);
}
