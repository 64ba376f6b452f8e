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

const struct decap_result_text decap_results[EK_DECAP_RESULT_COUNT] = {
#define X(name, text, description) [EK_DECAP_##name] = {text, description},
	EK_DECAP_RESULTS(X)
#undef X
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
	config->gue_port = htons(options->gue_port);
	for (size_t i = 0; i < EK_DECAP_DSCPS; i++) {
		config->dscp4[i] = options->dscp.vip4[i].words[3];
		config->dscp6[i] = options->dscp.vip6[i];
		config->dscps4 += !ek_ip_is_zero(&options->dscp.vip4[i]);
		config->dscps6 += !ek_ip_is_zero(&options->dscp.vip6[i]);
	}
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

int decap_read_counters(int map, uint64_t counters[EK_DECAP_RESULT_COUNT])
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t *row = cpus > 0 ? calloc(cpus, sizeof(*row)) : NULL;
	int err = row ? 0 : -ENOMEM;

	for (uint32_t key = 0; !err && key < EK_DECAP_RESULT_COUNT; key++) {
		counters[key] = 0;
		if (bpf_map_lookup_elem(map, &key, row))
			err = -errno;
		for (int cpu = 0; !err && cpu < cpus; cpu++)
			counters[key] += row[cpu];
	}
	free(row);
	return err;
}

int decap_counters(const struct decap *decap, uint64_t counters[EK_DECAP_RESULT_COUNT])
{
	return decap_read_counters(bpf_map__fd(decap->skeleton->maps.results), counters);
}

static bool is_among(const struct ek_ip *addresses, size_t n, const struct ek_ip *ip)
{
	for (size_t i = 0; i < n; i++)
		if (ek_ip_equal(&addresses[i], ip))
			return true;
	return false;
}

/* Room first: what is gone is taken out before what is new goes in. */
int decap_set_own(const struct decap *decap, const struct ek_ip *addresses, size_t n)
{
	int map = bpf_map__fd(decap->skeleton->maps.own), err = 0;
	struct ek_ip gone[EK_DECAP_OWN_MAX], key, *last = NULL;
	const uint8_t yes = 1;
	size_t n_gone = 0;

	while (n_gone < EK_DECAP_OWN_MAX && !bpf_map_get_next_key(map, last, &key)) {
		if (!is_among(addresses, n, &key))
			gone[n_gone++] = key;
		last = &key;
	}
	for (size_t i = 0; i < n_gone; i++)
		bpf_map_delete_elem(map, &gone[i]);
	for (size_t i = 0; !err && i < n; i++)
		if (bpf_map_update_elem(map, &addresses[i], &yes, BPF_ANY))
			err = -errno;
	return err;
}
