/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One tracked script: run at once and then every interval, start to start, never two at a time. It
 * is told what came of each run and keeps no state of health; track.c does.
 *
 * The script is executed without a shell and without arguments, as the leader of a process group
 * of its own: stdin is /dev/null, stdout and stderr come here, no other file is open, signals are
 * as a fresh process has them, and PATH is all of its environment. Exit status 0 is success.
 *
 * The whole group gets SIGKILL when the time is over, and what a script leaves running in its group
 * when it ends gets it too: runs do not pile up. What shall outlive the script wants setsid(1).
 *
 * The child is waited for by its pidfd (Linux 5.3), no signal handler is installed and no other
 * child is touched. SIGCHLD must not be ignored by the process, or exit codes are lost.
 */
#ifndef EVENKEEL_TRACK_SCRIPT_H
#define EVENKEEL_TRACK_SCRIPT_H

struct event_base;
struct ek_track_script;

enum ek_script_verdict {
	EK_SCRIPT_PASS,
	EK_SCRIPT_FAIL,	   /* not executable or missing, too */
	EK_SCRIPT_NOT_RUN, /* for want of memory, processes, files: says nothing */
};

/*
 * From the event loop, once a run. `why` is one line of printable ASCII with what the script said
 * first, valid during the call: "exit 1: no such table", "killed by SIGSEGV", "timed out after 3
 * s". Must not free the script.
 */
typedef void (*ek_script_ran)(enum ek_script_verdict verdict, const char *why, void *arg);

/* `interval` and `timeout` in ms. The command is copied. NULL: out of memory. */
struct ek_track_script *ek_track_script_new(struct event_base *base, const char *command,
					    unsigned int interval, unsigned int timeout,
					    ek_script_ran ran, void *arg);
/*
 * Kills and reaps a running one. That takes a millisecond or two, unless it hangs in the kernel
 * beyond SIGKILL's reach: after a second it is left alone.
 */
void ek_track_script_free(struct ek_track_script *script);

#endif
