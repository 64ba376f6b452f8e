/* SPDX-License-Identifier: GPL-2.0-only */
/* The file with the cluster's secret, for channel.h. What is read here is wiped here. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "channel.h"

#define FILE_MAX 1024u /* a secret and white space after it */

static int check_file(int fd, const char *path, struct ek_error *error)
{
	struct stat st;
	int err;

	if (fstat(fd, &st)) {
		err = -errno;
		ek_error_set(error, "%s: %s", path, strerror(-err));
		return err;
	}
	if (!S_ISREG(st.st_mode)) {
		ek_error_set(error, "%s: not a regular file", path);
		return -EINVAL;
	}
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		ek_error_set(error, "%s: belongs to user %u; 'chown root' it", path, st.st_uid);
		return -EPERM;
	}
	if (st.st_mode & 077) {
		ek_error_set(error, "%s: open to others (mode %04o); 'chmod 600' it", path,
			     st.st_mode & 07777);
		return -EPERM;
	}
	return 0;
}

/* Up to the end or until `text` is full. The length, or -errno. */
static ssize_t read_all(int fd, uint8_t *text, size_t size)
{
	size_t length = 0;

	while (length < size) {
		ssize_t n = read(fd, text + length, size - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		length += n;
	}
	return length;
}

static int take_secret(const uint8_t *text, size_t length, const char *path,
		       struct ek_channel_secret *out, struct ek_error *error)
{
	bool whole = length < FILE_MAX;

	while (length && memchr(" \t\r\n\v\f", text[length - 1], 6))
		length--;
	if (!whole || length > EK_CHANNEL_SECRET_MAX) {
		ek_error_set(error, "%s: longer than %u bytes", path, EK_CHANNEL_SECRET_MAX);
		return -EINVAL;
	}
	if (length < EK_CHANNEL_SECRET_MIN) {
		ek_error_set(error, "%s: %zu bytes; a secret has at least %u", path, length,
			     EK_CHANNEL_SECRET_MIN);
		return -EINVAL;
	}
	memset(out, 0, sizeof(*out));
	memcpy(out->bytes, text, length);
	out->length = length;
	return 0;
}

int ek_channel_secret_read(const char *path, struct ek_channel_secret *out, struct ek_error *error)
{
	/* Non-blocking: a FIFO in its place must not hold us up before it is found to be one. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err;
	uint8_t text[FILE_MAX];
	ssize_t length;

	if (fd < 0) {
		err = -errno;
		ek_error_set(error, "%s: %s", path, strerror(-err));
		return err;
	}
	err = check_file(fd, path, error);
	if (!err) {
		length = read_all(fd, text, sizeof(text));
		if (length < 0) {
			err = length;
			ek_error_set(error, "%s: %s", path, strerror(-err));
		} else {
			err = take_secret(text, length, path, out, error);
		}
		OPENSSL_cleanse(text, sizeof(text));
	}
	close(fd);
	return err;
}
