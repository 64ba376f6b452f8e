/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a kind of check is, seen from the engine (health.c) and from the checkers (check_*.c).
 *
 * The engine owns time: it begins a probe, gives it until the configured timeout and cancels it
 * then. A checker owns what it needs to ask its question, and answers once, by ek_probe_done() or
 * ek_probe_error(), from inside begin() or later from the event loop. It has released what the
 * probe held by the time it answers or right after, before it returns to the loop. The answer
 * calls nobody back: the engine only takes note, so a checker need not fear for its own data.
 */
#ifndef EVENKEEL_CHECKER_H
#define EVENKEEL_CHECKER_H

#include <netinet/in.h>
#include "health.h"

enum ek_verdict {
	EK_VERDICT_PASS,
	EK_VERDICT_FAIL,
	EK_VERDICT_NOT_CHECKED, /* something local was missing: says nothing about the backend */
};

struct ek_probe {
	struct event_base *base;
	const struct ek_config_check *config; /* may be replaced once begin() has returned */
	struct ek_ip target, vip;
	in_port_t port; /* host order */
	void *shared;	/* what open() returned */
	void *run;	/* the checker's own, between begin() and its answer or cancel() */
};

struct ek_checker_ops {
	/* One per engine, shared by its probes of this kind. NULL: out of memory. Optional. */
	void *(*open)(struct event_base *base);
	void (*close)(void *shared);
	void (*begin)(struct ek_probe *probe);
	void (*cancel)(struct ek_probe *probe); /* no answer wanted any more */
};

extern const struct ek_checker_ops ek_check_tcp_ops;
extern const struct ek_checker_ops ek_check_http_ops;

/* The text becomes `why`: "TEXT in 1.2 ms" for a pass, "not checked: TEXT", or TEXT. */
__attribute__((format(printf, 3, 4))) void
ek_probe_done(struct ek_probe *probe, enum ek_verdict verdict, const char *format, ...);
/* The answer to an errno of socket() or connect(): failed, or not checked where it is local. */
void ek_probe_error(struct ek_probe *probe, int error);
/* A non-blocking TCP socket for a probe; -1 with errno set. */
int ek_probe_socket(int family);

#endif
