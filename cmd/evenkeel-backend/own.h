/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's own addresses, those that a balancer can send to: of every interface, without
 * loopback and link-local ones. `changed` is called from the event loop when any came or went
 * (rtnetlink(7)).
 */
#ifndef EVENKEEL_BACKEND_OWN_H
#define EVENKEEL_BACKEND_OWN_H

#include <stddef.h>
#include <evenkeel/hash.h>

struct event_base;
struct own_watch;

typedef void (*own_changed)(void *arg);

/* NULL with errno. In the caller's network namespace. */
struct own_watch *own_watch_new(struct event_base *base, own_changed changed, void *arg);
void own_watch_free(struct own_watch *watch);

/*
 * What there is now, without `except`. Returns how many there are, or -errno; only the first `max`
 * are stored. One that two interfaces have counts twice.
 */
int own_list(struct ek_ip *out, size_t max, const struct ek_ip *except, size_t n_except);

#endif
