/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One program on one interface, by one of two ways:
 *
 *  - libxdp's dispatcher, which shares the interface with other XDP programs, where the kernel
 *    can replace functions of a loaded program (freplace);
 *  - otherwise a bpf_link pinned as link-<interface>, which has the interface to itself.
 *
 * Both outlive the process, and both replace an older program of ours without a gap: the link
 * by one atomic update, the dispatcher by attaching the new one before the old one goes.
 */
#ifndef EVENKEEL_ATTACH_H
#define EVENKEEL_ATTACH_H

#include <net/if.h>
#include <stdbool.h>
#include <evenkeel/hash.h>
#include "config.h"

struct balancer;

struct ek_attachment {
	char interface[IFNAMSIZ];
	char pin[256]; /* of the link, or "" */
	int ifindex;
	bool native;
	bool dispatcher;
	bool replaced;	/* an older program of ours was there */
	uint32_t seen;	/* id of what the kernel ran there then: ours, or a dispatcher */
	char note[160]; /* why not as asked (no dispatcher, no native mode), or "" */
	struct balancer *skeleton;
	struct xdp_program *program; /* dispatcher only */
};

/*
 * `make` returns a skeleton opened for this port, its maps bound and not loaded, or NULL with
 * errno; it is called once per way that is tried. 0 or -errno with `error`.
 */
typedef struct balancer *(*ek_attach_make)(void *arg);
int ek_attach(struct ek_attachment *a, enum ek_xdp_mode mode, ek_attach_make make, void *arg,
	      struct ek_error *error);
/*
 * Is it still there? Others can take it off, which the kernel does not report when it is a link.
 * True, too, when the kernel cannot say.
 */
bool ek_attached(struct ek_attachment *a);
/* Puts it back, as it is loaded. -EOPNOTSUPP with a dispatcher: that takes a new ek_attach(). */
int ek_attach_again(struct ek_attachment *a, struct ek_error *error);
/* Is there no XDP program on the interface, whosoever? */
bool ek_attach_is_free(int ifindex);
/* Takes the program off the interface. */
int ek_detach(struct ek_attachment *a);
/* Forgets the handle; the program stays. */
void ek_attachment_free(struct ek_attachment *a);
/* Sends what libbpf and libxdp print to the log, at debug level. */
void ek_attach_quiet(void);
/*
 * Takes every program of ours off every interface that a dispatcher or a pinned link names, but
 * for those that `keep` lists (NULL: none).
 */
void ek_detach_all_but(const char *pin_dir, const struct ek_config *keep);
/* The name of an interface's pinned link: bpffs refuses dots, and no interface name has a colon. */
void ek_attach_pin_name(const char *interface, char *out, size_t size);

#endif
