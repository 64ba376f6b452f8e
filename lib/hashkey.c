/* SPDX-License-Identifier: GPL-2.0-only */
/* See hashkey.h. Called by controller.c at start. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hashkey.h"

#define DIGITS (sizeof(struct ek_hash_key) * 2)

static const char *advice(int err)
{
	return err == EACCES || err == EPERM ? "; run as root" : "";
}

static int digit(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static int decode(const char *text, struct ek_hash_key *key)
{
	unsigned char *bytes = (unsigned char *)key;

	for (size_t i = 0; i < sizeof(*key); i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		bytes[i] = high << 4 | low;
	}
	return 0;
}

static int read_key(int fd, const char *path, struct ek_hash_key *key, struct ek_error *error)
{
	char text[DIGITS + 2];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_mode & 077) {
		ek_error_set(error, "%s: readable by others; 'chmod 600' it", path);
		return -EPERM;
	}
	n = read(fd, text, sizeof(text));
	if (n == (ssize_t)DIGITS + 1 && text[DIGITS] == '\n')
		n--;
	if (n != (ssize_t)DIGITS || decode(text, key)) {
		ek_error_set(error, "%s: expected %zu hexadecimal digits", path, DIGITS);
		return -EINVAL;
	}
	return 0;
}

/* Complete under another name first: a crash leaves a whole key or none. */
static int create_key(const char *path, struct ek_hash_key *key, struct ek_error *error)
{
	const unsigned char *bytes = (const unsigned char *)key;
	char draft[PATH_MAX], text[DIGITS + 2];
	int fd, err = 0;

	if (getrandom(key, sizeof(*key), 0) != (ssize_t)sizeof(*key))
		return -EIO;
	for (size_t i = 0; i < sizeof(*key); i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	text[DIGITS] = '\n';
	snprintf(draft, sizeof(draft), "%s.new", path);
	unlink(draft); /* of a start that was cut short; its mode may be anything */
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, DIGITS + 1) != (ssize_t)DIGITS + 1 || fsync(fd) ||
	    rename(draft, path)) {
		err = -errno;
		ek_error_set(error, "%s: cannot be written: %s", path, strerror(errno));
	}
	if (fd >= 0)
		close(fd);
	return err;
}

int ek_hashkey_read(const char *path, struct ek_hash_key *key, struct ek_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), err;

	if (fd < 0) {
		err = -errno;
		ek_error_set(error, "%s: %s%s", path, strerror(-err), advice(-err));
		return err;
	}
	err = read_key(fd, path, key, error);
	close(fd);
	return err;
}

int ek_hashkey_load(const char *state_dir, struct ek_hash_key *key, struct ek_error *error)
{
	char path[PATH_MAX];
	int err;

	if (mkdir(state_dir, 0700) && errno != EEXIST) {
		err = -errno;
		ek_error_set(error, "%s: cannot be created: %s%s", state_dir, strerror(-err),
			     advice(-err));
		return err;
	}
	if (snprintf(path, sizeof(path), "%s/" EK_HASHKEY_FILE, state_dir) >=
	    PATH_MAX - (int)sizeof(".new")) {
		ek_error_set(error, "%.100s...: too long for a path", state_dir);
		return -ENAMETOOLONG;
	}
	err = ek_hashkey_read(path, key, error);
	return err == -ENOENT ? create_key(path, key, error) : err;
}
