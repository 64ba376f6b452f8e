/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Log lines on stderr. Under journald (JOURNAL_STREAM names our stderr) each line carries a
 * "<n>" priority prefix; on a terminal or a file, the time and a word.
 */
#ifndef EVENKEEL_LOG_H
#define EVENKEEL_LOG_H

enum ek_log_level {
	EK_LOG_ERROR = 3,
	EK_LOG_WARNING = 4,
	EK_LOG_NOTICE = 5,
	EK_LOG_INFO = 6,
	EK_LOG_DEBUG = 7
};

void ek_log_init(enum ek_log_level highest);
__attribute__((format(printf, 2, 3))) void ek_log(enum ek_log_level level, const char *format, ...);

#define ek_err(...)    ek_log(EK_LOG_ERROR, __VA_ARGS__)
#define ek_warn(...)   ek_log(EK_LOG_WARNING, __VA_ARGS__)
#define ek_notice(...) ek_log(EK_LOG_NOTICE, __VA_ARGS__)
#define ek_info(...)   ek_log(EK_LOG_INFO, __VA_ARGS__)
#define ek_debug(...)  ek_log(EK_LOG_DEBUG, __VA_ARGS__)

#endif
