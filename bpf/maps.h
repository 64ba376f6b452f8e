/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every map of the data plane and the constants it is loaded with. All maps are pinned under
 * /sys/fs/bpf/evenkeel and outlive the controller; their values are declared in
 * include/evenkeel/. Sizes given here as 1 are set by the controller before loading.
 */
#ifndef EVENKEEL_BPF_MAPS_H
#define EVENKEEL_BPF_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <evenkeel/abi.h>
#include <evenkeel/hash.h>
#include <evenkeel/select.h>
#include "packet.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Constants of one attachment, frozen before the verifier sees the program. */
const volatile __u32 own_port;	     /* index in `ports` of the interface it is attached to */
const volatile __u32 backends_limit; /* rows per CPU in `backends` */
const volatile __u32 flow_mask;	     /* buckets in `flows`, less one */
const volatile __u32 tick_shift;     /* jiffies to ticks */
const volatile struct ek_hash_key hash_key;

/* Which (VIP, port, protocol) is a service. Writer: controller. Reader: every packet. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ek_service_table);
} services SEC(".maps");

/*
 * One ring per service, by ek_service.id. Writer: controller (slots through mmap; the outer map
 * only when a service comes or goes). Reader: every packet of the service. Sizes and no types:
 * Linux 6.1 refuses, with EINVAL, to put a ring that was made without BTF where the template has
 * it.
 */
struct ring_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct ek_ring));
} ring_template SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, EK_SERVICES_MAX);
	__type(key, __u32);
	__array(values, struct ring_map);
} rings SEC(".maps");

/*
 * Backends and their counters, [cpu * backends_limit + index]. Writer: controller, but `packets`
 * and `bytes` of a CPU's rows are that CPU's data plane's. Reader: both.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ek_backend);
} backends SEC(".maps");

/*
 * The connection table and its cold twin, by bucket. Writers: data plane and controller, an entry
 * by compare-and-swap only. Reader: packets whose slot says LOOKUP.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ek_flow_bucket);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ek_flow_keys);
} flow_keys SEC(".maps");

/*
 * What became of entries of mirrored services, one log per CPU. Writer: that CPU's data plane.
 * Reader: the controller, through mmap.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ek_news);
} news SEC(".maps");

/* Attached interfaces by port number. Writer: controller. Reader: every packet. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, EK_PORTS_MAX);
	__type(key, __u32);
	__type(value, struct ek_port);
} ports SEC(".maps");

/* Where to send what leaves by another port than it came in. Writer: controller. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, EK_PORTS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} egress SEC(".maps");

/*
 * The right to answer for VIPs, by VRID. Writer: controller. Readers: questions for a VIP's MAC,
 * and frames to a virtual MAC.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, EK_LEASES_MAX);
	__type(key, __u32);
	__type(value, struct ek_lease);
} leases SEC(".maps");

/* Dropped packets by enum ek_drop. Writer: data plane. Reader: controller. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EK_DROP_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} drops SEC(".maps");

/* Packets answered in place by enum ek_answer. Writer: data plane. Reader: controller. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EK_ANSWER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} answers SEC(".maps");

/* The packet that a CPU is at, if it is an unusual one. Writer and reader: data plane. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct work);
} work SEC(".maps");

/* Services that are no single (VIP, port, protocol). Writer: controller. Reader: exact misses. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, EK_SERVICES_MAX);
	__type(key, struct ek_wildcard_key);
	__type(value, struct ek_wildcard);
} wildcards SEC(".maps");

/*
 * Backends of first fragments, by a keyed hash of addresses, identification and protocol. Writer
 * and reader: data plane, a word at once. Lifetime: 2 s.
 */
#define FRAGMENTS 8192
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FRAGMENTS);
	__type(key, __u32);
	__type(value, __u64);
} fragments SEC(".maps");

/* Answers that a CPU gave in a tick, by kind. Writer and reader: data plane. */
enum allowance { ALLOWANCE_ECHO, ALLOWANCE_ERROR, ALLOWANCE_COUNT };
struct allowed {
	__u64 tick;
	__u32 spent;
	__u32 pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ALLOWANCE_COUNT);
	__type(key, __u32);
	__type(value, struct allowed);
} allowances SEC(".maps");

/* What routers said of our tunnels: struct ek_learned. Writer: data plane. Reader: controller. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} learned SEC(".maps");

/* What a listener wants to hear of. Writer: controller. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ek_trace);
} tracing SEC(".maps");

/* How much of the trace's rate is spent. Writer: data plane. Reader: controller, which clears it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ek_trace_spent);
} trace_spent SEC(".maps");

/* Decisions: struct ek_trace_record. Writer: data plane. Reader: controller. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} trace SEC(".maps");

/* What all of this was made with. Writer and reader: controllers. Lifetime: as the pins. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ek_meta);
} meta SEC(".maps");

#endif
