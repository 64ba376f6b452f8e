/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include "decap.h"
#include "ip.h"
#include "log.h"
#include "backend.skel.h"

struct decap {
	struct backend *skeleton;
	int link; /* closing it takes the program off the interface */
	bool native;
};

/* libbpf knows why a program does not load; people want that only when they ask for it. */
__attribute__((format(printf, 2, 0))) static int log_libbpf(enum libbpf_print_level level,
							    const char *format, va_list args)
{
	char line[512];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	ek_debug("%s", line);
	return 0;
}

static __be32 mask32(unsigned int length)
{
	return length ? htonl(UINT32_MAX << (32 - length)) : 0;
}

static void add_prefix(struct ek_decap_config *config, const struct prefix *prefix)
{
	struct ek_decap_prefix6 *prefix6;

	if (ek_ip_is_v4(&prefix->network)) {
		config->prefix4[config->allow4++] =
			(struct ek_decap_prefix4){prefix->network.words[3], mask32(prefix->length)};
		return;
	}
	prefix6 = &config->prefix6[config->allow6++];
	prefix6->network = prefix->network;
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int bits = prefix->length < 32 * i ? 0 : prefix->length - 32 * i;

		prefix6->mask.words[i] = mask32(bits < 32 ? bits : 32);
	}
}

static void configure(struct ek_decap_config *config, const struct options *options)
{
	for (size_t i = 0; i < options->n_vips; i++) {
		if (ek_ip_is_v4(&options->vips[i]))
			config->vip4[config->vips4++] = options->vips[i].words[3];
		else
			config->vip6[config->vips6++] = options->vips[i];
	}
	for (size_t i = 0; i < options->n_allow; i++)
		add_prefix(config, &options->allow[i]);
}

static int load(struct decap *decap, const struct options *options, struct ek_error *error)
{
	int err;

	libbpf_set_print(log_libbpf);
	decap->skeleton = backend__open();
	if (!decap->skeleton) {
		ek_error_set(error, "cannot open the XDP program: %m");
		return -errno;
	}
	configure((struct ek_decap_config *)&decap->skeleton->rodata->config, options);
	err = backend__load(decap->skeleton);
	if (err == -EPERM || err == -EACCES)
		ek_error_set(error,
			     "cannot load the XDP program: %s: run as root, or with "
			     "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
			     strerror(-err));
	else if (err)
		ek_error_set(error,
			     "cannot load the XDP program: %s (Linux 6.1 or newer is "
			     "needed; --verbose says more)",
			     strerror(-err));
	return err;
}

/* A link, not `ip link set xdp`: the kernel takes it down with the process that holds it. */
static int attach(struct decap *decap, int ifindex, bool native)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int program = bpf_program__fd(decap->skeleton->progs.evenkeel_backend);

	decap->native = native;
	decap->link = bpf_link_create(program, ifindex, BPF_XDP, &opts);
	return decap->link < 0 ? -errno : 0;
}

static void explain(int err, const struct options *options, struct ek_error *error)
{
	const char *name = options->interface;

	switch (err) {
	case -EBUSY:
	case -EEXIST:
		ek_error_set(error, "%s: another XDP program is attached; see `ip link show %s`",
			     name, name);
		break;
	case -EPERM:
		ek_error_set(error, "%s: %s: run as root, or with CAP_BPF and CAP_NET_ADMIN", name,
			     strerror(-err));
		break;
	case -EOPNOTSUPP:
		ek_error_set(error, "%s: its driver has no native XDP; use --mode auto or generic",
			     name);
		break;
	default:
		ek_error_set(error, "%s: cannot attach the XDP program: %s", name, strerror(-err));
	}
}

static int attach_by_mode(struct decap *decap, const struct options *options, const char **note,
			  struct ek_error *error)
{
	int ifindex = if_nametoindex(options->interface), err;

	*note = NULL;
	if (!ifindex) {
		ek_error_set(error, "%s: no such interface; see `ip link`", options->interface);
		return -ENODEV;
	}
	err = attach(decap, ifindex, options->mode != EK_XDP_GENERIC);
	if (options->mode == EK_XDP_AUTO && err && err != -EBUSY && err != -EEXIST &&
	    err != -EPERM) {
		*note = strerror(-err);
		err = attach(decap, ifindex, false);
	}
	if (err)
		explain(err, options, error);
	return err;
}

struct decap *decap_open(const struct options *options, const char **note, struct ek_error *error)
{
	struct decap *decap = calloc(1, sizeof(*decap));

	if (!decap) {
		ek_error_set(error, "%m");
		return NULL;
	}
	decap->link = -1;
	if (!load(decap, options, error) && !attach_by_mode(decap, options, note, error))
		return decap;
	decap_close(decap);
	return NULL;
}

void decap_close(struct decap *decap)
{
	if (!decap)
		return;
	if (decap->link >= 0)
		close(decap->link);
	backend__destroy(decap->skeleton);
	free(decap);
}

bool decap_is_native(const struct decap *decap)
{
	return decap->native;
}

int decap_counters(const struct decap *decap, uint64_t counters[EK_DECAP_RESULT_COUNT])
{
	int fd = bpf_map__fd(decap->skeleton->maps.results), cpus = libbpf_num_possible_cpus();
	uint64_t *row = cpus > 0 ? calloc(cpus, sizeof(*row)) : NULL;
	int err = row ? 0 : -ENOMEM;

	for (uint32_t key = 0; !err && key < EK_DECAP_RESULT_COUNT; key++) {
		counters[key] = 0;
		if (bpf_map_lookup_elem(fd, &key, row))
			err = -errno;
		for (int cpu = 0; !err && cpu < cpus; cpu++)
			counters[key] += row[cpu];
	}
	free(row);
	return err;
}
