/* SPDX-License-Identifier: GPL-2.0-only */
/* See pcap.h. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include "pcap.h"

#define MAGIC	      0xa1b2c3d4u /* microseconds */
#define LINK_ETHERNET 1u

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy; /* both unused, and zero */
	uint32_t snap, link;
};
_Static_assert(sizeof(struct file_header) == 24, "as on disk");

struct frame_header {
	uint32_t seconds, microseconds, captured, length;
};
_Static_assert(sizeof(struct frame_header) == 16, "as on disk");

static int write_all(FILE *out, const void *bytes, size_t n)
{
	if (fwrite(bytes, 1, n, out) == n)
		return 0;
	return errno ? -errno : -EIO;
}

int ek_pcap_begin(FILE *out, uint32_t snap)
{
	const struct file_header header = {
		.magic = MAGIC, .major = 2, .minor = 4, .snap = snap, .link = LINK_ETHERNET};
	int err = write_all(out, &header, sizeof(header));

	return err ? err : fflush(out) ? -errno : 0;
}

int ek_pcap_frame(FILE *out, struct ek_pcap_time time, const uint8_t *frame, uint32_t captured,
		  uint32_t length)
{
	const struct frame_header header = {time.seconds, time.microseconds, captured,
					    length < captured ? captured : length};
	int err = write_all(out, &header, sizeof(header));

	if (!err)
		err = write_all(out, frame, captured);
	return err ? err : fflush(out) ? -errno : 0;
}

int ek_pcap_time(const char *text, struct ek_pcap_time *out)
{
	struct tm tm = {0};
	const char *at = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	uint32_t microseconds = 0;
	time_t seconds;

	if (!at || *at++ != '.')
		return -EINVAL;
	for (int i = 0; i < 6; i++, at++) {
		if (!isdigit((unsigned char)*at))
			return -EINVAL;
		microseconds = microseconds * 10 + (*at - '0');
	}
	seconds = timegm(&tm);
	if (strcmp(at, "Z") || seconds < 0 || seconds > UINT32_MAX)
		return -EINVAL;
	*out = (struct ek_pcap_time){seconds, microseconds};
	return 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int ek_pcap_bytes(const char *hex, uint8_t *out, size_t size)
{
	size_t n = 0;

	for (; *hex; hex += 2) {
		int high = digit(hex[0]), low = high < 0 ? -1 : digit(hex[1]);

		if (low < 0 || n == size)
			return -EINVAL;
		out[n++] = high << 4 | low;
	}
	return n;
}
