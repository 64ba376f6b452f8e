/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sends packets through a program by BPF_PROG_TEST_RUN on the driver (driver.bpf.c), and times it.
 *
 * The kernel's own figure for a run is a whole number of nanoseconds, a quarter of what is to be
 * measured. CPU time of this thread over a million packets has no such grain, leaves out the time
 * when somebody else had the CPU, and pays the system call only once.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf.h>
#include "driver.h"
#include "tests/bench/driver.skel.h"
#include "traffic.h"

#define TCP_SYN 0x02
#define TCP_ACK 0x10

const struct kind kinds[] = {
	{"IPv4 TCP ACK", LAB_TCP4, false, IPPROTO_TCP, TCP_ACK},
	{"IPv4 TCP SYN", LAB_TCP4, false, IPPROTO_TCP, TCP_SYN},
	{"IPv4 UDP", LAB_UDP4, false, IPPROTO_UDP, 0},
	{"IPv6 TCP ACK", LAB_TCP6, true, IPPROTO_TCP, TCP_ACK},
	{"IPv6 TCP SYN", LAB_TCP6, true, IPPROTO_TCP, TCP_SYN},
	{"IPv6 UDP", LAB_UDP6, true, IPPROTO_UDP, 0},
};
const size_t kinds_count = sizeof(kinds) / sizeof(kinds[0]);

bool target_takes(const struct target *target, const struct kind *kind)
{
	return !target->only || strstr(kind->name, target->only);
}

int traffic_open(struct traffic *t)
{
	struct driver *d = driver__open_and_load();

	if (!d)
		return -errno;
	t->skeleton = d;
	t->empty = (struct target){
		.name = "empty",
		.program = {bpf_program__fd(d->progs.empty), bpf_program__fd(d->progs.empty)},
	};
	t->bare = (struct target){
		.name = "bare IPIP",
		.program = {bpf_program__fd(d->progs.bare4), bpf_program__fd(d->progs.bare6)},
	};
	return 0;
}

void traffic_close(struct traffic *t)
{
	driver__destroy(t->skeleton);
}

static size_t frame_length(const struct kind *kind)
{
	return kind->v6 ? FRAME_LENGTH6 : FRAME_LENGTH4;
}

/* TCP without options, or UDP of the same length. Nobody on this path reads the checksum. */
static void write_transport(const struct kind *kind, void *at)
{
	struct tcphdr *tcp = at;
	struct udphdr *udp = at;

	if (kind->protocol == IPPROTO_UDP) {
		udp->source = htons(1024);
		udp->dest = htons(LAB_PORT);
		udp->len = htons(sizeof(*tcp));
		return;
	}
	tcp->source = htons(1024);
	tcp->dest = htons(LAB_PORT);
	tcp->seq = htonl(kind->tcp_flags & TCP_SYN ? 1 : 2); /* the segment after that SYN */
	tcp->doff = sizeof(*tcp) / 4;
	((uint8_t *)tcp)[13] = kind->tcp_flags;
	tcp->window = htons(65535);
}

/* The driver adds the flow to the source's address and port by OR, so those bits are left zero. */
static void write_frame(const struct kind *kind, void *at)
{
	struct ethhdr *eth = at;
	struct iphdr *ip = at + ETH_HLEN;
	struct ipv6hdr *ip6 = at + ETH_HLEN;

	memset(at, 0, FRAME_WORDS * sizeof(__u64));
	memcpy(eth->h_dest, &lab_mac, ETH_ALEN);
	memcpy(eth->h_source, &lab_nexthop_mac, ETH_ALEN);
	eth->h_proto = htons(kind->v6 ? ETH_P_IPV6 : ETH_P_IP);
	if (kind->v6) {
		ip6->version = 6;
		ip6->payload_len = htons(sizeof(struct tcphdr));
		ip6->nexthdr = kind->protocol;
		ip6->hop_limit = 64;
		memcpy(&ip6->saddr, &(struct ek_ip){.bytes = {0x20, 0x01, 0x0d, 0xb8, 0xcc}}, 16);
		memcpy(&ip6->daddr, &lab_vip6, 16);
		write_transport(kind, ip6 + 1);
	} else {
		ip->version = 4;
		ip->ihl = sizeof(*ip) / 4;
		ip->tot_len = htons(sizeof(*ip) + sizeof(struct tcphdr));
		ip->frag_off = htons(0x4000);
		ip->ttl = 64;
		ip->protocol = kind->protocol;
		ip->saddr = htonl(10u << 24);
		ip->daddr = lab_vip4.words[3];
		write_transport(kind, ip + 1);
	}
}

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
	return b ? common_divisor(b, a % b) : a;
}

/* About the golden ratio of all flows, so that neighbours in time are far apart in number. */
static uint32_t stride_over(uint32_t flows)
{
	uint32_t stride = flows * 0.618;

	while (stride && common_divisor(flows, stride) != 1)
		stride--;
	return stride;
}

static int prepare(struct traffic *t, const struct target *target, const struct kind *kind,
		   uint32_t flows)
{
	struct source *source = &t->skeleton->bss->source;
	const uint32_t first = 0;

	write_frame(kind, source->frame);
	source->flow = 0;
	source->flows = flows;
	source->stride = stride_over(flows);
	return bpf_map_update_elem(bpf_map__fd(t->skeleton->maps.under_test), &first,
				   &target->program[kind->v6], BPF_ANY);
}

/* Runs the driver; on success returns the length of the last frame, which lies in `out`. */
static int run(struct traffic *t, const struct kind *kind, uint32_t packets, void *out, size_t room)
{
	const struct bpf_program *driver =
		kind->v6 ? t->skeleton->progs.drive6 : t->skeleton->progs.drive4;
	uint8_t in[FRAME_LENGTH6] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = frame_length(kind),
		    .data_out = out, .data_size_out = room, .repeat = packets);
	int err = bpf_prog_test_run_opts(bpf_program__fd(driver), &opts);

	if (err)
		return err;
	return opts.retval == XDP_TX ? (int)opts.data_size_out : -EBADMSG;
}

static const char *fault_in_outer4(const struct kind *kind, const struct iphdr *outer,
				   const struct iphdr *inner)
{
	const uint16_t *word = (const uint16_t *)outer;
	uint32_t sum = 0;

	for (size_t i = 0; i < sizeof(*outer) / 2; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	if ((sum & 0xffff) + (sum >> 16) != 0xffff)
		return "outer checksum";
	if (outer->version != 4 || outer->ihl != 5 || outer->protocol != IPPROTO_IPIP ||
	    outer->tos != inner->tos || outer->ttl != EK_OUTER_TTL ||
	    ntohs(outer->tot_len) != sizeof(*outer) + ntohs(inner->tot_len))
		return "outer header";
	if (outer->saddr != lab_source4.words[3])
		return "outer source";
	for (int i = 0; i < LAB_BACKENDS; i++)
		if (outer->daddr == lab_backend(kind->service, i).words[3])
			return NULL;
	return "outer destination";
}

static const char *fault_in_outer6(const struct kind *kind, const struct ipv6hdr *outer,
				   const struct ipv6hdr *inner)
{
	if (outer->version != 6 || outer->nexthdr != IPPROTO_IPV6 ||
	    outer->hop_limit != EK_OUTER_TTL ||
	    ntohs(outer->payload_len) != sizeof(*inner) + ntohs(inner->payload_len))
		return "outer header";
	if (memcmp(&outer->saddr, &lab_source6, 16))
		return "outer source";
	for (int i = 0; i < LAB_BACKENDS; i++) {
		struct ek_ip backend = lab_backend(kind->service, i);

		if (!memcmp(&outer->daddr, &backend, 16))
			return NULL;
	}
	return "outer destination";
}

static const char *fault_in(const struct target *target, const struct kind *kind,
			    const uint8_t *frame, int length, const uint8_t *inner)
{
	size_t header = kind->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	const struct ethhdr *eth = (const void *)frame;
	const uint8_t *outer_ip = frame + ETH_HLEN, *inner_ip = inner + ETH_HLEN;

	if (length != (int)(frame_length(kind) + header))
		return "length";
	if (memcmp(outer_ip + header, inner_ip, frame_length(kind) - ETH_HLEN))
		return "inner packet";
	if (!target->lab)
		return NULL;
	if (memcmp(eth->h_dest, &lab_nexthop_mac, ETH_ALEN) ||
	    memcmp(eth->h_source, &lab_mac, ETH_ALEN) ||
	    eth->h_proto != htons(kind->v6 ? ETH_P_IPV6 : ETH_P_IP))
		return "Ethernet header";
	return kind->v6 ? fault_in_outer6(kind, (const void *)outer_ip, (const void *)inner_ip)
			: fault_in_outer4(kind, (const void *)outer_ip, (const void *)inner_ip);
}

int traffic_verify(struct traffic *t, const struct target *target, const struct kind *kind)
{
	enum { FLOWS = 32 };
	uint8_t inner[FLOWS][FRAME_LENGTH6], out[256];
	const char *fault = NULL;
	int err = prepare(t, &t->empty, kind, FLOWS), length;

	for (int i = 0; i < FLOWS && err >= 0; i++)
		err = run(t, kind, 1, inner[i], sizeof(inner[i]));
	if (err >= 0)
		err = prepare(t, target, kind, FLOWS);
	for (int i = 0; i < FLOWS && err >= 0 && !fault; i++) {
		length = run(t, kind, 1, out, sizeof(out));
		fault = length < 0 ? "verdict" : fault_in(target, kind, out, length, inner[i]);
	}
	if (!fault)
		return err < 0 ? err : 0;
	fprintf(stderr, "bench: %s, %s: wrong %s\n", target->name, kind->name, fault);
	return -EBADMSG;
}

static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

int traffic_measure(struct traffic *t, const struct target *target, const struct kind *kind,
		    uint32_t flows, uint32_t packets, double *ns)
{
	uint32_t warm = flows > 10000 ? flows : 10000;
	uint64_t before = target->lab ? lab_forwarded(target->lab) : 0;
	uint8_t out[256];
	double start;
	int err = prepare(t, target, kind, flows);

	if (err || (err = run(t, kind, warm, out, sizeof(out))) < 0)
		return err;
	start = cpu_ns();
	err = run(t, kind, packets, out, sizeof(out));
	*ns = (cpu_ns() - start) / packets;
	if (err < 0)
		return err;
	if (!target->lab || lab_forwarded(target->lab) - before == (uint64_t)warm + packets)
		return 0;
	fprintf(stderr, "bench: %s, %s: not every packet was forwarded\n", target->name,
		kind->name);
	return -EBADMSG;
}
