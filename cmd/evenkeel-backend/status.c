/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include "decap.h"
#include "ip.h"
#include "status.h"

#define PROGRAM	 "evenkeel_backend" /* the kernel keeps the first 15 bytes */
#define MAPS_MAX 8

/* A program that is on an interface, and its maps. */
struct attached {
	uint32_t program;
	bool native;
	uint64_t seconds; /* since it was loaded */
	int results, own, rodata;
};

static void close_maps(const struct attached *a)
{
	const int fds[] = {a->results, a->own, a->rodata};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Keeps the map if it is one of ours, in the layout that this program knows. */
static void take_map(struct attached *a, uint32_t id)
{
	int fd = bpf_map_get_fd_by_id(id);
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);
	int *place = NULL;

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
		place = NULL;
	else if (!strcmp(info.name, "results") && info.max_entries == EK_DECAP_RESULT_COUNT)
		place = &a->results;
	else if (!strcmp(info.name, "own") && info.key_size == sizeof(struct ek_ip))
		place = &a->own;
	else if (!strcmp(info.name, "backend.rodata") &&
		 info.value_size == sizeof(struct ek_decap_config))
		place = &a->rodata;
	if (place && *place < 0)
		*place = fd;
	else if (fd >= 0)
		close(fd);
}

static uint64_t seconds_since(uint64_t boottime_ns)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec - boottime_ns / 1000000000;
}

/* 0, -ENOENT: not one of ours; -EPROTO: of another version; or -errno. */
static int inspect(struct attached *a)
{
	uint32_t maps[MAPS_MAX], size;
	struct bpf_prog_info info = {.nr_map_ids = MAPS_MAX, .map_ids = (uintptr_t)maps};
	int fd = bpf_prog_get_fd_by_id(a->program), err;

	if (fd < 0)
		return -errno;
	size = sizeof(info);
	err = bpf_obj_get_info_by_fd(fd, &info, &size) ? -errno : 0;
	close(fd);
	if (err)
		return err;
	if (strncmp(info.name, PROGRAM, sizeof(info.name) - 1))
		return -ENOENT;
	a->seconds = seconds_since(info.load_time);
	for (uint32_t i = 0; i < info.nr_map_ids && i < MAPS_MAX; i++)
		take_map(a, maps[i]);
	return a->results < 0 || a->own < 0 || a->rodata < 0 ? -EPROTO : 0;
}

/* As inspect(); -ENOENT also if nothing is attached. On success the maps are open. */
static int find(int ifindex, struct attached *a)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);
	int err = bpf_xdp_query(ifindex, 0, &opts);

	*a = (struct attached){.results = -1, .own = -1, .rodata = -1};
	if (err)
		return err;
	a->native = opts.drv_prog_id;
	a->program = a->native ? opts.drv_prog_id : opts.skb_prog_id;
	err = a->program ? inspect(a) : -ENOENT;
	if (err)
		close_maps(a);
	return err;
}

/* --- printing -------------------------------------------------------------------------------- */

static const char *text4(__be32 address, char *out)
{
	struct ek_ip ip = ek_ip_from4(address);

	return ek_ip_format(&ip, out);
}

static unsigned int length6(const struct ek_ip *mask)
{
	return __builtin_popcountll(mask->halves[0]) + __builtin_popcountll(mask->halves[1]);
}

static void print_vips(const struct ek_decap_config *c, FILE *out)
{
	char text[EK_IP_TEXT];

	fprintf(out, "  VIPs           %s", c->vips4 + c->vips6 ? "" : " any destination");
	for (uint32_t i = 0; i < c->vips4 && i < EK_DECAP_VIPS_MAX; i++)
		fprintf(out, " %s", text4(c->vip4[i], text));
	for (uint32_t i = 0; i < c->vips6 && i < EK_DECAP_VIPS_MAX; i++)
		fprintf(out, " %s", ek_ip_format(&c->vip6[i], text));
	fputc('\n', out);
}

static void print_allowed(const struct ek_decap_config *c, FILE *out)
{
	char text[EK_IP_TEXT];

	fprintf(out, "  allowed        %s", c->allow4 + c->allow6 ? "" : " anybody");
	for (uint32_t i = 0; i < c->allow4 && i < EK_DECAP_ALLOW_MAX; i++)
		fprintf(out, " %s/%d", text4(c->prefix4[i].network, text),
			__builtin_popcount(c->prefix4[i].mask));
	for (uint32_t i = 0; i < c->allow6 && i < EK_DECAP_ALLOW_MAX; i++)
		fprintf(out, " %s/%u", ek_ip_format(&c->prefix6[i].network, text),
			length6(&c->prefix6[i].mask));
	fputc('\n', out);
}

static void print_dscps(const struct ek_decap_config *c, int own, FILE *out)
{
	struct ek_ip key, *last = NULL;
	char text[EK_IP_TEXT];

	fputs("  DSCP           ", out);
	for (unsigned int i = 0; i < EK_DECAP_DSCPS; i++) {
		if (c->dscp4[i])
			fprintf(out, " %u=%s", i, text4(c->dscp4[i], text));
		if (!ek_ip_is_zero(&c->dscp6[i]))
			fprintf(out, " %u=%s", i, ek_ip_format(&c->dscp6[i], text));
	}
	fputs("\n  own addresses  ", out);
	for (size_t i = 0; i < EK_DECAP_OWN_MAX && !bpf_map_get_next_key(own, last, &key); i++) {
		fprintf(out, " %s", ek_ip_format(&key, text));
		last = &key;
	}
	fputc('\n', out);
}

static void print_config(const struct ek_decap_config *c, int own, FILE *out)
{
	print_vips(c, out);
	print_allowed(c, out);
	if (c->gue_port)
		fprintf(out, "  GUE port        %u\n", ntohs(c->gue_port));
	if (c->dscps4 || c->dscps6)
		print_dscps(c, own, out);
}

static int print(const char *name, const struct attached *a, FILE *out)
{
	uint64_t counters[EK_DECAP_RESULT_COUNT];
	struct ek_decap_config config;
	const uint32_t row = 0;
	int err = decap_read_counters(a->results, counters);

	if (!err && bpf_map_lookup_elem(a->rodata, &row, &config))
		err = -errno;
	if (err)
		return err;
	fprintf(out, "%s: %s, program %u, attached for %" PRIu64 " s\n", name,
		a->native ? "native" : "generic", a->program, a->seconds);
	print_config(&config, a->own, out);
	for (size_t i = EK_DECAP_FIRST_COUNTED; i < EK_DECAP_RESULT_COUNT; i++)
		fprintf(out, "  %-18s %12" PRIu64 "  %s\n", decap_results[i].name, counters[i],
			decap_results[i].description);
	return 0;
}

/* As find(). */
static int print_interface(const char *name, int ifindex, FILE *out)
{
	struct attached attached;
	int err = find(ifindex, &attached);

	if (err)
		return err;
	err = print(name, &attached, out);
	close_maps(&attached);
	return err;
}

static void explain(int err, const char *name, struct ek_error *error)
{
	const char *where = *name ? name : "no interface";

	if (err == -ENOENT)
		ek_error_set(error, "%s%s", where,
			     *name ? ": evenkeel-backend is not attached"
				   : " has evenkeel-backend attached");
	else if (err == -EPROTO)
		ek_error_set(error, "%s: attached is an evenkeel-backend of another version",
			     where);
	else
		ek_error_set(error, "%s: %s%s", where, strerror(-err),
			     err == -EPERM ? ": run as root" : "");
}

int status_print(const char *interface, FILE *out, struct ek_error *error)
{
	struct if_nameindex *list = if_nameindex();
	int result = *interface ? -ENODEV : -ENOENT;
	char failed[IFNAMSIZ] = "";

	snprintf(failed, sizeof(failed), "%s", interface);
	for (const struct if_nameindex *i = list; i && i->if_index; i++) {
		int err;

		if (*interface && strcmp(interface, i->if_name))
			continue;
		err = print_interface(i->if_name, i->if_index, out);
		/* The worst of all that were asked; "not attached" only if all say so. */
		if (err && err != -ENOENT) {
			snprintf(failed, sizeof(failed), "%s", i->if_name);
			result = err;
		} else if (*interface || (!err && result == -ENOENT)) {
			result = err;
		}
	}
	if (list)
		if_freenameindex(list);
	if (result)
		explain(result, failed, error);
	return result;
}
