/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Log lines on stderr: one write() each, so that lines of several processes never mix. Text from
 * outside (a check's answer, a peer's name) cannot forge a line: control characters become '?'.
 *
 * The level and the style belong to the process, as stderr does: the only state in lib/ that no
 * context struct holds. It is set once, before anything is logged.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "log.h"

#define LINE_MAX_BYTES 1024

static struct {
	enum ek_log_level highest;
	bool journal;
} settings = {.highest = EK_LOG_INFO};

/* JOURNAL_STREAM is "device:inode" of the stream that journald gave us, see systemd.exec(5). */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode;
}

void ek_log_init(enum ek_log_level highest)
{
	settings.highest = highest;
	settings.journal = stderr_is_journal();
}

static const char *word(enum ek_log_level level)
{
	switch (level) {
	case EK_LOG_ERROR:
		return "error";
	case EK_LOG_WARNING:
		return "warning";
	case EK_LOG_NOTICE:
		return "notice";
	case EK_LOG_INFO:
		return "info";
	case EK_LOG_DEBUG:
		return "debug";
	}
	return "?";
}

/* What stands before the message; returns its length. */
static size_t prefix(enum ek_log_level level, char *out, size_t size)
{
	struct timespec now;
	struct tm local;
	size_t length;

	if (settings.journal)
		return snprintf(out, size, "<%d>", level);
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &local);
	length = strftime(out, size, "%Y-%m-%d %H:%M:%S", &local);
	return length + snprintf(out + length, size - length, ".%03ld %s: ", now.tv_nsec / 1000000,
				 word(level));
}

void ek_log(enum ek_log_level level, const char *format, ...)
{
	int saved_errno = errno;
	char line[LINE_MAX_BYTES];
	size_t start, length;
	va_list args;

	if (level > settings.highest)
		return;
	start = prefix(level, line, sizeof(line));
	va_start(args, format);
	vsnprintf(line + start, sizeof(line) - start, format, args);
	va_end(args);

	length = strlen(line);
	for (size_t i = start; i < length; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[length++] = '\n'; /* over the NUL: the line is written by its length */
	while (write(STDERR_FILENO, line, length) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}
