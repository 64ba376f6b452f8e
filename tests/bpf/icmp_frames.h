/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ICMP messages for packet tests, put together byte by byte from RFC 792 and RFC 4443, a checksum
 * of their own that goes over the whole message, and the counters of what was answered.
 */
#ifndef EVENKEEL_TESTS_ICMP_FRAMES_H
#define EVENKEEL_TESTS_ICMP_FRAMES_H

#include <sched.h>
#include "balancer_fixture.h"

#define ROUTER4 "203.0.113.1"
#define ROUTER6 "2001:db8:3::1"

enum { ECHO_AT = 8 }; /* bytes of an ICMP header: what is quoted or echoed comes behind */

static inline bool is_six(const struct frame *f)
{
	return read16(f, 12) == 0x86dd;
}

/* Where the message begins, behind IPv4 options, and where it ends, before what Ethernet pads. */
static inline size_t icmp_at(const struct frame *f)
{
	return ETHERNET + (is_six(f) ? 40 : (f->bytes[ETHERNET] & 15) * 4);
}

static inline size_t packet_end(const struct frame *f)
{
	return ETHERNET + read16(f, ETHERNET + (is_six(f) ? 4 : 2)) + (is_six(f) ? 40 : 0);
}

/* RFC 1071 over the message, and for ICMPv6 over a pseudo-header; of any length. */
static inline unsigned int icmp_checksum(const struct frame *f)
{
	static uint8_t room[FRAME_MAX + 64];
	const size_t at = icmp_at(f), n = packet_end(f) - at;
	size_t length = 0;

	if (is_six(f)) {
		memcpy(room, f->bytes + ETHERNET + 8, 32);
		memcpy(room + 32, (uint8_t[8]){0, 0, n >> 8, n, 0, 0, 0, IPPROTO_ICMPV6}, 8);
		length = 40;
	}
	memcpy(room + length, f->bytes + at, n);
	room[length + 2] = room[length + 3] = room[length + n] = 0;
	return checksum(room, length + n + (n & 1));
}

static inline void seal_icmp(struct frame *f)
{
	overwrite16(f, icmp_at(f) + 2, icmp_checksum(f));
}

struct message {
	int family;
	struct ek_ip source, destination;
	unsigned int type, code;
	uint32_t rest;
	unsigned int tos, id, fragment, ttl;
	const uint8_t *to, *from; /* MACs */
};

/* With `n` bytes behind its header. */
static inline void build_message(struct frame *f, const struct message *m, const uint8_t *body,
				 size_t n)
{
	f->length = 0;
	put(f, m->to, 6);
	put(f, m->from, 6);
	put16(f, m->family == 4 ? 0x0800 : 0x86dd);
	if (m->family == 4)
		put_ip4(f, m->tos, 20 + 8 + n, m->id, m->fragment, m->ttl, IPPROTO_ICMP);
	else
		put_ip6(f, m->tos, 0, 8 + n, IPPROTO_ICMPV6, m->ttl);
	put_address(f, m->family, &m->source);
	put_address(f, m->family, &m->destination);
	if (m->family == 4)
		seal_ip4(f, ETHERNET);
	put8(f, m->type);
	put8(f, m->code);
	put16(f, 0);
	put16(f, m->rest >> 16);
	put16(f, m->rest & 0xffff);
	put(f, body, n);
	seal_icmp(f);
}

/* The same frame in a VLAN, or in one within another (802.1ad). */
static inline void add_tags(struct frame *f, unsigned int n)
{
	static const uint8_t tags[] = {0x88, 0xa8, 0x20, 0x07, 0x81, 0x00, 0xe0, 0x64};

	memmove(f->bytes + 12 + 4 * n, f->bytes + 12, f->length - 12);
	memcpy(f->bytes + 12, tags + sizeof(tags) - 4 * n, 4 * n);
	f->length += 4 * n;
}

/* --- counters and rates ---------------------------------------------------------------------- */

static inline uint64_t answers_of(const struct fixture *f, uint32_t answer)
{
	uint64_t values[CPUS_MAX], sum = 0;

	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(f->skeleton->maps.answers), &answer, values), 0);
	for (uint32_t cpu = 0; cpu < f->cpus; cpu++)
		sum += values[cpu];
	return sum;
}

struct answered {
	struct result r;
	uint64_t answers[EK_ANSWER_COUNT]; /* by this frame */
};

static inline void run_answered(const struct fixture *f, const struct frame *in, struct answered *a)
{
	for (uint32_t i = 0; i < EK_ANSWER_COUNT; i++)
		a->answers[i] = -answers_of(f, i);
	run(f, in, &a->r);
	for (uint32_t i = 0; i < EK_ANSWER_COUNT; i++)
		a->answers[i] += answers_of(f, i);
}

/* That `answer` was given once and nothing else; EK_ANSWER_COUNT: nothing at all. */
static inline void expect_answers(const char *what, const struct answered *a, unsigned int answer)
{
	for (unsigned int i = 0; i < EK_ANSWER_COUNT; i++)
		if (a->answers[i] != (i == answer))
			fail_msg("%s: %lu answers of kind %u", what, (unsigned long)a->answers[i],
				 i);
}

static inline void expect_silent_drop(const char *what, const struct frame *in,
				      const struct answered *a, unsigned int reason)
{
	expect_drop(what, &a->r, reason);
	expect_answers(what, a, EK_ANSWER_COUNT);
	if (!same_frame(in, &a->r.out))
		fail_msg("%s: dropped, and changed", what);
}

/* As at the beginning of a tick: one CPU, to which the rates belong, and nothing spent. */
static inline void begin_tick(const struct fixture *f, uint32_t echo_rate, uint32_t error_rate)
{
	struct {
		uint64_t tick;
		uint32_t spent, pad;
	} values[CPUS_MAX] = {0};
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	for (uint32_t kind = 0; kind < 2; kind++) {
		/* Spent in another tick: that counts no more. */
		for (uint32_t cpu = 0; cpu < f->cpus; cpu++)
			values[cpu].tick = 12345, values[cpu].spent = UINT32_MAX;
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(f->skeleton->maps.allowances),
						     &kind, values, BPF_ANY),
				 0);
	}
	f->services->settings.echo_rate = echo_rate;
	f->services->settings.error_rate = error_rate;
}

#endif
