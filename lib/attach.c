/* SPDX-License-Identifier: GPL-2.0-only */
/* See attach.h. Called by datapath.c. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <stdarg.h>
#include <linux/if_link.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <xdp/libxdp.h>
#include <xdp/prog_dispatcher.h>
#include "attach.h"
#include "balancer.skel.h"
#include "log.h"

#define OUR_PROGRAM "evenkeel"
#define LINK_PREFIX "link-"

/* --- what is on the interface now ------------------------------------------------------------ */

static bool is_ours(const struct xdp_program *program)
{
	const char *name = program ? xdp_program__name(program) : NULL;

	return name && !strcmp(name, OUR_PROGRAM);
}

/* NULL: nothing is attached there, or not by way of a dispatcher. */
static struct xdp_multiprog *dispatcher_on(int ifindex)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex(ifindex);

	if (libxdp_get_error(mp))
		return NULL;
	if (!xdp_multiprog__is_legacy(mp))
		return mp;
	xdp_multiprog__close(mp);
	return NULL;
}

/* Our programs in a dispatcher, but for the one with this id. */
static size_t list_ours(const struct xdp_multiprog *mp, uint32_t but_not_id,
			struct xdp_program *list[MAX_DISPATCHER_ACTIONS])
{
	struct xdp_program *p = NULL;
	size_t n = 0;

	while (n < MAX_DISPATCHER_ACTIONS && (p = xdp_multiprog__next_prog(p, mp)))
		if (is_ours(p) && xdp_program__id(p) != but_not_id)
			list[n++] = p;
	return n;
}

/*
 * Takes them out, all in one step. There may be several: a controller can die between attaching a
 * new one and detaching the old. Returns how many there were.
 */
static size_t detach_ours(const struct xdp_multiprog *mp, int ifindex, uint32_t but_not_id)
{
	struct xdp_program *list[MAX_DISPATCHER_ACTIONS];
	size_t n = list_ours(mp, but_not_id, list);

	if (n)
		xdp_program__detach_multi(list, n, ifindex, xdp_multiprog__attach_mode(mp), 0);
	return n;
}

static int explain_load(const struct ek_attachment *a, int err, struct ek_error *error)
{
	if (err == -EPERM || err == -EACCES)
		ek_error_set(error,
			     "%s: the kernel refuses the XDP program: %s; run as root, or with "
			     "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
			     a->interface, strerror(-err));
	else
		ek_error_set(error, "%s: cannot load the XDP program: %s", a->interface,
			     strerror(-err));
	return err;
}

static int explain_attach(const struct ek_attachment *a, int err, struct ek_error *error)
{
	if (err == -EBUSY || err == -EEXIST)
		ek_error_set(error,
			     "%s: another XDP program is attached; see 'ip link show dev %s', "
			     "remove it with 'ip link set dev %s xdp off'",
			     a->interface, a->interface, a->interface);
	else if (err == -EPERM)
		ek_error_set(error, "%s: attaching XDP programs needs CAP_NET_ADMIN; run as root",
			     a->interface);
	else if (err == -EOPNOTSUPP || err == -EINVAL)
		ek_error_set(error,
			     "%s: the driver refuses native XDP (%s); 'mode: generic' works "
			     "with every driver, slowly",
			     a->interface, strerror(-err));
	else
		ek_error_set(error, "%s: cannot attach: %s", a->interface, strerror(-err));
	return err;
}

/* --- a pinned bpf_link ----------------------------------------------------------------------- */

static int load_plain(struct ek_attachment *a, ek_attach_make make, void *arg,
		      struct ek_error *error)
{
	int err;

	a->skeleton = make(arg);
	if (!a->skeleton) {
		ek_error_set(error, "%s: cannot open the XDP program: %s", a->interface,
			     strerror(errno));
		return -ENOMEM;
	}
	err = balancer__load(a->skeleton);
	return err ? explain_load(a, err, error) : 0;
}

static bool on_interface(int link, int ifindex)
{
	struct bpf_link_info info = {0};
	__u32 size = sizeof(info);

	return !bpf_obj_get_info_by_fd(link, &info, &size) && info.type == BPF_LINK_TYPE_XDP &&
	       (int)info.xdp.ifindex == ifindex;
}

static bool attached_natively(int ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	return !bpf_xdp_query(ifindex, 0, &query) && query.attach_mode == XDP_ATTACHED_DRV;
}

/* 1 replaced, 0 there is no link of ours to replace (any more). */
static int replace_link(struct ek_attachment *a, enum ek_xdp_mode mode, ek_attach_make make,
			void *arg, struct ek_error *error)
{
	int link = bpf_obj_get(a->pin), err;
	bool native = attached_natively(a->ifindex);

	if (link < 0)
		return 0;
	if (!on_interface(link, a->ifindex) ||
	    (mode != EK_XDP_AUTO && native != (mode == EK_XDP_NATIVE))) {
		bpf_link_detach(link);
		close(link);
		unlink(a->pin);
		return 0;
	}
	err = load_plain(a, make, arg, error);
	if (!err && bpf_link_update(link, bpf_program__fd(a->skeleton->progs.evenkeel), NULL))
		err = explain_attach(a, -errno, error);
	close(link);
	a->native = native;
	a->replaced = true;
	return err ? err : 1;
}

static int create_link(struct ek_attachment *a, bool native)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int link = bpf_link_create(bpf_program__fd(a->skeleton->progs.evenkeel), a->ifindex,
				   BPF_XDP, &opts);
	int err = 0;

	if (link < 0)
		return -errno;
	if (bpf_obj_pin(link, a->pin))
		err = -errno;
	close(link);
	a->native = native;
	return err;
}

static int attach_link(struct ek_attachment *a, enum ek_xdp_mode mode, ek_attach_make make,
		       void *arg, struct ek_error *error)
{
	int err = load_plain(a, make, arg, error), native_err;

	if (err)
		return err;
	native_err = mode == EK_XDP_GENERIC ? -EOPNOTSUPP : create_link(a, true);
	if (!native_err)
		return 0;
	if (mode == EK_XDP_NATIVE || native_err == -EBUSY || native_err == -EPERM)
		return explain_attach(a, native_err, error);
	err = create_link(a, false);
	if (err)
		return explain_attach(a, err, error);
	if (mode == EK_XDP_AUTO)
		snprintf(a->note, sizeof(a->note), "no native XDP here (%s)",
			 strerror(-native_err));
	return 0;
}

/* --- libxdp's dispatcher --------------------------------------------------------------------- */

/* What the libraries say about attempts that may fail is for -v only. */
static int debug_print(const char *format, va_list args)
{
	char line[256];

	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	if (line[0])
		ek_debug("%s", line);
	return 0;
}

static int print_libxdp(enum libxdp_print_level level, const char *format, va_list args)
{
	return level == LIBXDP_DEBUG ? 0 : debug_print(format, args);
}

static int print_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_DEBUG ? 0 : debug_print(format, args);
}

void ek_attach_quiet(void)
{
	libxdp_set_print(print_libxdp);
	libbpf_set_print(print_libbpf);
}

/* libxdp finds programs by their ids, and attaches some that it then cannot find without this. */
static bool may_list_programs(void)
{
	__u32 id;

	return bpf_prog_get_next_id(0, &id) != -EPERM;
}

static enum xdp_attach_mode attach_mode(const struct ek_attachment *a)
{
	return a->native ? XDP_MODE_NATIVE : XDP_MODE_SKB;
}

/*
 * All programs of an interface run in one mode. Where only ours are left of an earlier
 * configuration they make way for another mode; other people's do not. Returns the mode that the
 * dispatcher gives, or UNSPEC for a free choice.
 */
static enum xdp_attach_mode given_mode(int ifindex, enum ek_xdp_mode wanted)
{
	struct xdp_program *ours[MAX_DISPATCHER_ACTIONS];
	struct xdp_multiprog *mp = dispatcher_on(ifindex);
	enum xdp_attach_mode given = XDP_MODE_UNSPEC;

	if (!mp)
		return given;
	given = xdp_multiprog__attach_mode(mp);
	if (wanted != EK_XDP_AUTO && (wanted == EK_XDP_NATIVE) != (given == XDP_MODE_NATIVE) &&
	    list_ours(mp, 0, ours) == (size_t)xdp_multiprog__program_count(mp)) {
		detach_ours(mp, ifindex, 0);
		given = XDP_MODE_UNSPEC;
	}
	xdp_multiprog__close(mp);
	return given;
}

static int try_dispatcher(struct ek_attachment *a, enum ek_xdp_mode mode)
{
	enum xdp_attach_mode given = given_mode(a->ifindex, mode);
	int err = -EOPNOTSUPP;

	if (mode != EK_XDP_GENERIC && given != XDP_MODE_SKB) {
		err = xdp_program__attach(a->program, a->ifindex, XDP_MODE_NATIVE, 0);
		a->native = !err;
	}
	if (!err || mode == EK_XDP_NATIVE || given == XDP_MODE_NATIVE || err == -EBUSY)
		return err;
	if (mode == EK_XDP_AUTO && given == XDP_MODE_SKB)
		snprintf(a->note, sizeof(a->note), "generic mode, like the other programs here");
	else if (mode == EK_XDP_AUTO)
		snprintf(a->note, sizeof(a->note), "no native XDP here (%s)", strerror(-err));
	return xdp_program__attach(a->program, a->ifindex, XDP_MODE_SKB, 0);
}

static int no_dispatcher(struct ek_attachment *a, const char *why)
{
	xdp_program__close(a->program);
	a->program = NULL;
	balancer__destroy(a->skeleton);
	a->skeleton = NULL;
	snprintf(a->note, sizeof(a->note),
		 "without the libxdp dispatcher, which %s: no other XDP program can share the "
		 "interface",
		 why);
	return 0;
}

/*
 * Where freplace is missing libxdp quietly attaches the bare program over netlink; that is
 * undone, since a link is replaced atomically and cannot be torn off by a stray `ip link`.
 * 1 attached, 0 not possible here.
 */
static int attach_dispatcher(struct ek_attachment *a, enum ek_xdp_mode mode, ek_attach_make make,
			     void *arg)
{
	LIBBPF_OPTS(xdp_program_opts, opts, .prog_name = OUR_PROGRAM);
	struct xdp_multiprog *mp;

	if (!may_list_programs())
		return no_dispatcher(a, "needs CAP_SYS_ADMIN");
	a->skeleton = make(arg);
	if (!a->skeleton)
		return -errno;
	opts.obj = a->skeleton->obj;
	a->program = xdp_program__create(&opts);
	if (libxdp_get_error(a->program)) {
		a->program = NULL;
		return no_dispatcher(a, "libxdp refuses");
	}
	if (try_dispatcher(a, mode))
		return no_dispatcher(a, "this kernel refuses");
	mp = dispatcher_on(a->ifindex);
	if (!mp) {
		xdp_program__detach(a->program, a->ifindex, attach_mode(a), 0);
		return no_dispatcher(a, "this kernel refuses");
	}
	a->replaced = detach_ours(mp, a->ifindex, xdp_program__id(a->program)) > 0;
	xdp_multiprog__close(mp);
	a->dispatcher = true;
	a->pin[0] = '\0';
	return 1;
}

/* --- the interface --------------------------------------------------------------------------- */

/* What runs there in our mode; 0: nothing. */
static int query_id(const struct ek_attachment *a, uint32_t *id)
{
	return bpf_xdp_query_id(a->ifindex, a->native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE,
				id);
}

int ek_attach(struct ek_attachment *a, enum ek_xdp_mode mode, ek_attach_make make, void *arg,
	      struct ek_error *error)
{
	int done = replace_link(a, mode, make, arg, error);

	if (!done)
		done = attach_dispatcher(a, mode, make, arg);
	if (!done)
		done = attach_link(a, mode, make, arg, error);
	if (done < 0)
		return done;
	query_id(a, &a->seen);
	return 0;
}

/* Whoever adds a program of his own puts a new dispatcher in the place of the old one. */
static bool in_dispatcher(const struct ek_attachment *a)
{
	struct xdp_multiprog *mp = dispatcher_on(a->ifindex);
	struct xdp_program *p = NULL;
	bool found = false;

	if (!mp)
		return false;
	while (!found && (p = xdp_multiprog__next_prog(p, mp)))
		found = xdp_program__id(p) == xdp_program__id(a->program);
	xdp_multiprog__close(mp);
	return found;
}

bool ek_attached(struct ek_attachment *a)
{
	uint32_t id;

	if (query_id(a, &id) || id == a->seen)
		return true;
	if (!id || !a->dispatcher || !in_dispatcher(a))
		return false;
	a->seen = id;
	return true;
}

int ek_attach_again(struct ek_attachment *a, struct ek_error *error)
{
	int link, err;

	if (a->dispatcher)
		return -EOPNOTSUPP;
	link = bpf_obj_get(a->pin);
	if (link >= 0) {
		bpf_link_detach(link);
		close(link);
		unlink(a->pin);
	}
	err = create_link(a, a->native);
	if (err)
		return explain_attach(a, err, error);
	query_id(a, &a->seen);
	return 0;
}

bool ek_attach_is_free(int ifindex)
{
	__u32 id;

	return !bpf_xdp_query_id(ifindex, 0, &id) && !id;
}

int ek_detach(struct ek_attachment *a)
{
	int link, err;

	if (a->dispatcher)
		return xdp_program__detach(a->program, a->ifindex, attach_mode(a), 0);
	link = bpf_obj_get(a->pin);
	if (link < 0)
		return -errno;
	err = bpf_link_detach(link) ? -errno : 0;
	close(link);
	unlink(a->pin);
	return err;
}

void ek_attachment_free(struct ek_attachment *a)
{
	if (!a)
		return;
	xdp_program__close(a->program);
	balancer__destroy(a->skeleton);
	free(a);
}

static void detach_from_dispatcher(int ifindex)
{
	struct xdp_multiprog *mp = dispatcher_on(ifindex);

	if (!mp)
		return;
	detach_ours(mp, ifindex, 0);
	xdp_multiprog__close(mp);
}

static bool is_configured(const struct ek_config *config, const char *interface)
{
	for (size_t i = 0; config && i < config->n_interfaces; i++)
		if (!strcmp(config->interfaces[i].name, interface))
			return true;
	return false;
}

void ek_attach_pin_name(const char *interface, char *out, size_t size)
{
	snprintf(out, size, "%s%s", LINK_PREFIX, interface);
	for (char *c = out; *c; c++)
		if (*c == '.')
			*c = ':';
}

/* The interface whose link is pinned under this name; false: it is no link of ours. */
static bool pinned_interface(const char *name, char *out, size_t size)
{
	if (strncmp(name, LINK_PREFIX, strlen(LINK_PREFIX)))
		return false;
	snprintf(out, size, "%s", name + strlen(LINK_PREFIX));
	for (char *c = out; *c; c++)
		if (*c == ':')
			*c = '.';
	return true;
}

static void detach_pinned_links(const char *pin_dir, const struct ek_config *keep)
{
	struct dirent *entry;
	char path[512], interface[NAME_MAX];
	DIR *dir = opendir(pin_dir);

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		int link;

		if (!pinned_interface(entry->d_name, interface, sizeof(interface)) ||
		    is_configured(keep, interface))
			continue;
		snprintf(path, sizeof(path), "%s/%s", pin_dir, entry->d_name);
		link = bpf_obj_get(path);
		if (link < 0)
			continue;
		bpf_link_detach(link);
		close(link);
		unlink(path);
	}
	closedir(dir);
}

void ek_detach_all_but(const char *pin_dir, const struct ek_config *keep)
{
	struct if_nameindex *list = if_nameindex();

	ek_attach_quiet();
	detach_pinned_links(pin_dir, keep);
	for (struct if_nameindex *i = list; i && i->if_index; i++)
		if (!is_configured(keep, i->if_name))
			detach_from_dispatcher(i->if_index);
	if_freenameindex(list);
}
