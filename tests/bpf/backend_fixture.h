/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of bpf/backend.bpf.c share: frames built byte by byte, and the program under
 * BPF_PROG_TEST_RUN with the whole frame, the verdict and the counters that come out.
 */
#ifndef EVENKEEL_TESTS_BACKEND_FIXTURE_H
#define EVENKEEL_TESTS_BACKEND_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <cmocka.h>
#include <evenkeel/backend_abi.h>
#include "ip.h"
#include "backend.skel.h"

#define ETHERNET  14
#define FRAME_MAX 9100
#define CPUS_MAX  512

#define BALANCER4 "10.0.0.1"
#define BALANCER6 "2001:db8:ff::1"
#define STRANGER4 "10.0.1.1"
#define STRANGER6 "2001:db8:fe::1"
#define HOST4	  "10.0.0.21"
#define HOST6	  "2001:db8:ff::21"
#define CLIENT4	  "198.51.100.7"
#define CLIENT6	  "2001:db8:1::7"
#define VIP4	  "192.0.2.10"
#define VIP6	  "2001:db8::10"
#define OTHER4	  "192.0.2.11"
#define OTHER6	  "2001:db8::11"

enum { NOT_ECT, ECT_1, ECT_0, CE };

struct frame {
	size_t length;
	uint8_t bytes[FRAME_MAX];
};

/* --- building frames ------------------------------------------------------------------------- */

static inline void put(struct frame *f, const void *bytes, size_t n)
{
	memcpy(f->bytes + f->length, bytes, n);
	f->length += n;
}

static inline void put8(struct frame *f, unsigned int value)
{
	f->bytes[f->length++] = value;
}

static inline void put16(struct frame *f, unsigned int value)
{
	put8(f, value >> 8);
	put8(f, value & 0xff);
}

static inline void put_address(struct frame *f, const char *text)
{
	struct ek_ip ip;

	assert_int_equal(ek_ip_parse(text, &ip), 0);
	if (ek_ip_is_v4(&ip))
		put(f, &ip.bytes[12], 4);
	else
		put(f, ip.bytes, 16);
}

/* RFC 1071, the plain way. */
static inline void put_checksum4(uint8_t *header)
{
	size_t words = (header[0] & 0x0f) * 2;
	uint32_t sum = 0;

	header[10] = header[11] = 0;
	for (size_t i = 0; i < words; i++)
		sum += header[2 * i] << 8 | header[2 * i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	header[10] = (uint8_t)(~sum >> 8);
	header[11] = (uint8_t)~sum;
}

static inline void ethernet(struct frame *f, unsigned int type)
{
	f->length = 0;
	put(f, "\x02\x11\x22\x33\x44\x55\x06\x77\x88\x99\xaa\xbb", 12);
	put16(f, type);
}

static inline void ip4(struct frame *f, const char *from, const char *to, unsigned int protocol,
		       unsigned int tos, size_t payload)
{
	uint8_t *header = f->bytes + f->length;

	put8(f, 0x45);
	put8(f, tos);
	put16(f, 20 + payload);
	put16(f, 0x1234);
	put16(f, 0x4000);
	put8(f, 63);
	put8(f, protocol);
	put16(f, 0);
	put_address(f, from);
	put_address(f, to);
	put_checksum4(header);
}

static inline void ip6(struct frame *f, const char *from, const char *to, unsigned int next,
		       unsigned int class, size_t payload)
{
	put8(f, 0x60 | class >> 4);
	put8(f, (class & 0x0f) << 4 | 0x0a);
	put16(f, 0xbcde);
	put16(f, payload);
	put8(f, next);
	put8(f, 62);
	put_address(f, from);
	put_address(f, to);
}

static inline void payload(struct frame *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put8(f, 0xc0 + i % 61);
}

/* --- running --------------------------------------------------------------------------------- */

static inline void address4(__be32 *out, const char *text)
{
	assert_int_equal(inet_pton(AF_INET, text, out), 1);
}

static inline void address6(struct ek_ip *out, const char *text)
{
	assert_int_equal(inet_pton(AF_INET6, text, out), 1);
}

static inline struct backend *load(void (*configure)(struct ek_decap_config *))
{
	struct backend *skeleton = backend__open();

	assert_non_null(skeleton);
	configure((struct ek_decap_config *)&skeleton->rodata->config);
	assert_int_equal(backend__load(skeleton), 0);
	return skeleton;
}

/* Balancers 10.0.0.0/24 and 2001:db8:ff::/48, each second in its list; the two VIPs. */
static inline void usual(struct ek_decap_config *c)
{
	c->vips4 = c->vips6 = c->allow4 = c->allow6 = 2;
	c->gue_port = htons(EK_DECAP_GUE_PORT);
	address4(&c->vip4[0], "192.0.2.1");
	address4(&c->vip4[1], VIP4);
	address6(&c->vip6[0], "2001:db8:10::");
	address6(&c->vip6[1], VIP6);
	address4(&c->prefix4[0].network, "172.16.0.1");
	address4(&c->prefix4[0].mask, "255.255.255.255");
	address4(&c->prefix4[1].network, "10.0.0.0");
	address4(&c->prefix4[1].mask, "255.255.255.0");
	address6(&c->prefix6[0].network, "2001:db8:fd::1");
	memset(&c->prefix6[0].mask, 0xff, 16);
	address6(&c->prefix6[1].network, "2001:db8:ff::");
	address6(&c->prefix6[1].mask, "ffff:ffff:ffff::");
}

static inline uint64_t count(const struct backend *b, enum ek_decap_result result)
{
	uint64_t row[CPUS_MAX], sum = 0;
	uint32_t key = result;
	int cpus = libbpf_num_possible_cpus();

	assert_in_range(cpus, 1, CPUS_MAX);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(b->maps.results), &key, row), 0);
	for (int i = 0; i < cpus; i++)
		sum += row[i];
	return sum;
}

static inline uint64_t count_all(const struct backend *b)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < EK_DECAP_RESULT_COUNT; i++)
		sum += count(b, i);
	return sum;
}

static inline int test_run(const struct backend *b, const struct frame *in, struct frame *out)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->bytes, .data_size_in = in->length,
		    .data_out = out->bytes, .data_size_out = sizeof(out->bytes), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(b->progs.evenkeel_backend), &opts),
			 0);
	out->length = opts.data_size_out;
	return opts.retval;
}

static inline bool same(const struct frame *a, const struct frame *b)
{
	return a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

static inline void check(const struct backend *b, const char *description, const struct frame *in,
			 const struct frame *expected, enum ek_decap_result result)
{
	uint64_t before = count(b, result), all = count_all(b);
	bool counted = result != EK_DECAP_OTHER;
	static struct frame out;
	int verdict = test_run(b, in, &out);

	if (verdict != (result >= EK_DECAP_FIRST_DROP ? XDP_DROP : XDP_PASS))
		fail_msg("%s: verdict %d", description, verdict);
	if (count(b, result) != before + counted || count_all(b) != all + counted)
		fail_msg("%s: not counted as expected", description);
	if (verdict == XDP_PASS && !same(&out, expected))
		fail_msg("%s: another frame than expected", description);
}

#endif
