/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Running a tracked script; see track_script.h. track.c is the only caller.
 *
 * A script is idle (`exited` is NULL), running, or killed and not gone yet. Its one timer is the
 * next start in the first case and the end of its time in the second. A killed process hardly ever
 * survives the moment; one that does hangs in the kernel, and every interval of that is a failure,
 * since a new run cannot tell better.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <event2/event.h>
#include "track_script.h"

#define OUTPUT_KEPT  200
#define OUTPUT_READ  16384 /* a turn of the loop; what is not kept is read and forgotten */
#define FREE_WAIT_MS 5
#define RECHECK_MS   10
#define WHY	     128

struct ek_track_script {
	struct event_base *base;
	char *command;
	unsigned int interval, timeout;
	ek_script_ran ran;
	void *arg;
	struct event *timer;
	struct event *exited; /* on the pidfd */
	struct event *recheck;
	struct event *output; /* on the pipe; NULL = closed by all who had it */
	pid_t pid;	      /* also of the group; ours until it is reaped */
	bool killed;
	uint64_t started_ms;
	char text[OUTPUT_KEPT];
	size_t length;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

static void arm(struct ek_track_script *script, uint64_t delay_ms)
{
	const struct timeval delay = {delay_ms / 1000, delay_ms % 1000 * 1000};

	/* Timers count from the loop's cached time: after a long callback that is the past. */
	event_base_update_cache_time(script->base);
	evtimer_add(script->timer, &delay);
}

static void arm_next_start(struct ek_track_script *script)
{
	uint64_t due = script->started_ms + script->interval, now = now_ms();

	arm(script, due > now ? due - now : 0);
}

static void close_event(struct event **event)
{
	int fd;

	if (!*event)
		return;
	fd = event_get_fd(*event);
	event_free(*event);
	close(fd);
	*event = NULL;
}

/* --- what it said --------------------------------------------------------------------------- */

/* True: there may be more. */
static bool take_output(struct ek_track_script *script)
{
	char buffer[OUTPUT_READ];
	ssize_t got = read(event_get_fd(script->output), buffer, sizeof(buffer));
	size_t room = sizeof(script->text) - script->length;

	if (got < 0 && errno == EINTR)
		return true;
	if (got < 0 && errno == EAGAIN)
		return false;
	if (got <= 0) {
		close_event(&script->output);
		return false;
	}
	if ((size_t)got < room)
		room = got;
	memcpy(script->text + script->length, buffer, room);
	script->length += room;
	return true;
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	take_output(arg);
}

/* The first line that is not empty, fit for a terminal and for JSON. */
static void first_line(const struct ek_track_script *script, char *out)
{
	const char *c = script->text, *end = c + script->length;
	size_t n = 0, length = 0;

	while (c < end && (*c == '\n' || *c == '\r'))
		c++;
	for (; c < end && *c && *c != '\n' && *c != '\r'; c++) {
		bool blank = *c == ' ' || *c == '\t';

		out[n++] = blank ? ' ' : *c > ' ' && *c < 127 ? *c : '?';
		if (!blank)
			length = n;
	}
	out[length] = '\0';
}

__attribute__((format(printf, 3, 4))) static void
report(struct ek_track_script *script, enum ek_script_verdict verdict, const char *format, ...)
{
	char line[OUTPUT_KEPT + 1], why[WHY];
	va_list args;
	size_t used;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	first_line(script, line);
	used = strlen(why);
	if (line[0])
		snprintf(why + used, sizeof(why) - used, ": %s", line);
	script->ran(verdict, why, script->arg);
}

/* --- the process ---------------------------------------------------------------------------- */

static void kill_group(const struct ek_track_script *script)
{
	/* The number is not another's: a group lives as long as its leader is not reaped. */
	kill(-script->pid, SIGKILL);
	/* It may have left its group. */
	pidfd_send_signal(event_get_fd(script->exited), SIGKILL, NULL, 0);
}

/* Also when the pipe itself is one of 0 to 2, in a process that was started without those. */
static int set_files(posix_spawn_file_actions_t *files, int output)
{
	int error = posix_spawn_file_actions_adddup2(files, output, STDOUT_FILENO);

	if (!error)
		error = posix_spawn_file_actions_adddup2(files, STDOUT_FILENO, STDERR_FILENO);
	if (!error)
		error = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY,
							 0);
	if (!error)
		error = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
	return error;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t all, none;
	int error;

	sigfillset(&all);
	sigemptyset(&none);
	error = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
							     POSIX_SPAWN_SETSIGMASK);
	if (!error)
		error = posix_spawnattr_setpgroup(attributes, 0);
	if (!error)
		error = posix_spawnattr_setsigdefault(attributes, &all);
	if (!error)
		error = posix_spawnattr_setsigmask(attributes, &none);
	return error;
}

/* 0 with *pid, or -errno: of execve(), too. */
static int spawn(char *command, int output, pid_t *pid)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *const environment[] = {path, NULL}, *const arguments[] = {command, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int error = posix_spawn_file_actions_init(&files);

	if (error)
		return -error;
	error = posix_spawnattr_init(&attributes);
	if (!error) {
		error = set_files(&files, output);
		if (!error)
			error = set_attributes(&attributes);
		if (!error)
			error = posix_spawn(pid, command, &files, &attributes, arguments,
					    environment);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&files);
	return -error;
}

static void on_exited(evutil_socket_t fd, short what, void *arg);

/* Takes `output` and the process, or leaves both to the caller with -errno. */
static int attach(struct ek_track_script *script, pid_t pid, int output)
{
	int status, fd = pidfd_open(pid, 0);

	if (fd < 0)
		return -errno;
	script->exited = event_new(script->base, fd, EV_READ, on_exited, script);
	script->output = event_new(script->base, output, EV_READ | EV_PERSIST, on_output, script);
	if (script->exited && script->output && !event_add(script->exited, NULL) &&
	    !event_add(script->output, NULL)) {
		script->pid = pid;
		return 0;
	}
	status = -ENOMEM;
	if (script->exited)
		event_free(script->exited);
	if (script->output)
		event_free(script->output);
	script->exited = script->output = NULL;
	close(fd);
	return status;
}

/* 0; -EAGAIN: not dead yet, or dead and in the hands of a tracer such as strace(1); -ECHILD. */
static int reap(const struct ek_track_script *script, siginfo_t *info)
{
	*info = (siginfo_t){0};
	if (waitid(P_PIDFD, event_get_fd(script->exited), info, WEXITED | WNOHANG) < 0)
		return -errno;
	return info->si_pid ? 0 : -EAGAIN;
}

static int run(struct ek_track_script *script)
{
	int ends[2], status;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	/* The script's end blocks: it need not know what it writes to. */
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	status = spawn(script->command, ends[1], &pid);
	close(ends[1]);
	if (!status) {
		setpriority(PRIO_PROCESS, pid, 0); /* not ahead of heartbeats, as its parent is */
		status = attach(script, pid, ends[0]);
		if (!status)
			return 0;
		if (status != -ESRCH)
			kill(-pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(ends[0]);
	return status;
}

/* ESRCH: it has ended and is gone already, which takes an ignored SIGCHLD. */
static bool says_nothing(int error)
{
	return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE ||
	       error == ESRCH;
}

static void start(struct ek_track_script *script)
{
	int status;

	script->started_ms = now_ms();
	script->length = 0;
	script->killed = false;
	status = run(script);
	if (!status) {
		arm(script, script->timeout);
		return;
	}
	arm_next_start(script);
	report(script, says_nothing(-status) ? EK_SCRIPT_NOT_RUN : EK_SCRIPT_FAIL, "not run: %s",
	       strerror(-status));
}

static void report_end(struct ek_track_script *script, const siginfo_t *info)
{
	const char *signal_name;

	if (info->si_code == CLD_EXITED) {
		report(script, info->si_status ? EK_SCRIPT_FAIL : EK_SCRIPT_PASS, "exit %d",
		       info->si_status);
		return;
	}
	signal_name = sigabbrev_np(info->si_status);
	if (signal_name)
		report(script, EK_SCRIPT_FAIL, "killed by SIG%s", signal_name);
	else
		report(script, EK_SCRIPT_FAIL, "killed by signal %d", info->si_status);
}

/* Its leader has ended. */
static void on_exited(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval soon = {.tv_usec = RECHECK_MS * 1000};
	struct ek_track_script *script = arg;
	siginfo_t info;
	int status;

	(void)fd;
	(void)what;
	while (script->output && script->length < sizeof(script->text) && take_output(script))
		;
	kill_group(script);
	status = reap(script, &info);
	if (status == -EAGAIN) {
		evtimer_add(script->recheck, &soon);
		return;
	}
	close_event(&script->output);
	close_event(&script->exited);
	arm_next_start(script);
	if (script->killed)
		return;
	if (status)
		report(script, EK_SCRIPT_NOT_RUN, "exit status lost (%s)", strerror(-status));
	else
		report_end(script, &info);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ek_track_script *script = arg;

	(void)fd;
	(void)what;
	if (!script->exited) {
		start(script);
		return;
	}
	kill_group(script);
	arm(script, script->interval);
	if (script->killed) {
		report(script, EK_SCRIPT_FAIL, "hangs beyond the reach of SIGKILL");
		return;
	}
	script->killed = true;
	report(script, EK_SCRIPT_FAIL, "timed out after %g s", script->timeout / 1000.0);
}

/* --- interface ------------------------------------------------------------------------------ */

struct ek_track_script *ek_track_script_new(struct event_base *base, const char *command,
					    unsigned int interval, unsigned int timeout,
					    ek_script_ran ran, void *arg)
{
	struct ek_track_script *script = calloc(1, sizeof(*script));

	if (!script)
		return NULL;
	script->base = base;
	script->interval = interval;
	script->timeout = timeout;
	script->ran = ran;
	script->arg = arg;
	script->command = strdup(command);
	script->timer = evtimer_new(base, on_timer, script);
	script->recheck = evtimer_new(base, on_exited, script);
	if (!script->command || !script->timer || !script->recheck) {
		ek_track_script_free(script);
		return NULL;
	}
	arm(script, 0);
	return script;
}

static void on_late_exit(evutil_socket_t pidfd, short what, void *arg)
{
	siginfo_t info;

	(void)what;
	(void)arg;
	waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG);
	close(pidfd);
}

/* One that cannot die yet (a dead file server) is waited for by the event loop, not here. */
static void reap_now(const struct ek_track_script *script)
{
	siginfo_t info;
	int pidfd;

	kill_group(script);
	for (int ms = 0; ms < FREE_WAIT_MS && reap(script, &info) == -EAGAIN; ms++)
		poll(NULL, 0, 1);
	if (reap(script, &info) != -EAGAIN)
		return;
	pidfd = dup(event_get_fd(script->exited));
	if (pidfd >= 0 && event_base_once(script->base, pidfd, EV_READ, on_late_exit, NULL, NULL))
		close(pidfd);
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

void ek_track_script_free(struct ek_track_script *script)
{
	if (!script)
		return;
	if (script->exited)
		reap_now(script);
	close_event(&script->exited);
	close_event(&script->output);
	free_event(script->timer);
	free_event(script->recheck);
	free(script->command);
	free(script);
}
