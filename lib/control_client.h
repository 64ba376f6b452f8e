/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The client side of the control socket (control.h has the protocol): blocking, one request a
 * connection, with a deadline over all of it or, of a stream, over its beginning and end. Every
 * failure is one sentence that says what to do.
 */
#ifndef EVENKEEL_CONTROL_CLIENT_H
#define EVENKEEL_CONTROL_CLIENT_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/un.h>
#include "error.h"

#define EK_CONTROL_PATH	       "/run/evenkeel/evenkeel.sock"
#define EK_CONTROL_DEADLINE_MS 5000u

/* Returns a new reference to the answer's result, or NULL with error: the daemon's, or why it
 * could not be asked. */
json_t *ek_control_call(const char *path, const json_t *request, unsigned int deadline_ms,
			struct ek_error *error);

/*
 * A command that goes on (control.h): `each` is given every line that follows the answer. Once it
 * has returned false, or `*stop` is set, the daemon is asked to end; what it still says is given to
 * `each`, too. Signals are let in by `unblocked` while waiting, so that one that sets `*stop` is
 * not overlooked; the caller blocks them. 0, or -errno with error.
 */
struct ek_control_follower {
	void (*begun)(void *arg, const json_t *result); /* of the answer */
	bool (*each)(void *arg, const json_t *line);
	void *arg;
	const volatile sig_atomic_t *stop;
	const sigset_t *unblocked;
};
int ek_control_follow(const char *path, const json_t *request, unsigned int deadline_ms,
		      const struct ek_control_follower *follower, struct ek_error *error);

/* 0, or -EINVAL when no socket can have this path (empty, or over 107 bytes). */
int ek_control_address(const char *path, struct sockaddr_un *out, struct ek_error *error);

#endif
