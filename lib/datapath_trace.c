/* SPDX-License-Identifier: GPL-2.0-only */
/* See datapath_trace.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "datapath_private.h"
#include "balancer.skel.h"
#include "datapath_trace.h"

#define RECORDS_AT_ONCE 256

struct ek_datapath_records {
	struct ring_buffer *ring;
	ek_datapath_record_fn record;
	void *arg;
	unsigned int left; /* of this turn */
};

/* --- the filter ------------------------------------------------------------------------------ */

static void mark_ports(struct ek_datapath *dp, bool traced)
{
	for (uint32_t i = 0; i < EK_PORTS_MAX; i++) {
		uint32_t *flags = &dp->ports[i].flags;

		if (!traced)
			__atomic_fetch_and(flags, ~EK_PORT_TRACED, __ATOMIC_RELEASE);
		else if (dp->ports[i].ifindex)
			__atomic_fetch_or(flags, EK_PORT_TRACED, __ATOMIC_RELEASE);
	}
}

int ek_datapath_trace(struct ek_datapath *dp, const struct ek_trace *filter)
{
	uint32_t zero = 0;

	if (bpf_map_update_elem(bpf_map__fd(dp->maps->maps.tracing), &zero, filter, BPF_ANY))
		return -errno;
	mark_ports(dp, true);
	return 0;
}

void ek_datapath_trace_end(struct ek_datapath *dp)
{
	const struct ek_trace none = {0};
	uint32_t zero = 0;

	mark_ports(dp, false);
	bpf_map_update_elem(bpf_map__fd(dp->maps->maps.tracing), &zero, &none, BPF_ANY);
}

uint64_t ek_datapath_trace_missed(struct ek_datapath *dp)
{
	struct ek_trace_spent *rows = calloc(dp->cpus, sizeof(*rows));
	int fd = bpf_map__fd(dp->maps->maps.trace_spent);
	uint64_t missed = 0;
	uint32_t zero = 0;

	if (rows && !bpf_map_lookup_elem(fd, &zero, rows)) {
		for (uint32_t cpu = 0; cpu < dp->cpus; cpu++)
			missed += rows[cpu].missed;
		memset(rows, 0, dp->cpus * sizeof(*rows));
		bpf_map_update_elem(fd, &zero, rows, BPF_ANY);
	}
	free(rows);
	return missed;
}

/* --- the records ----------------------------------------------------------------------------- */

static int on_record(void *arg, void *data, size_t size)
{
	struct ek_datapath_records *records = arg;

	if (size >= sizeof(struct ek_trace_record))
		records->record(records->arg, data);
	return --records->left ? 0 : -EAGAIN; /* the record is taken all the same */
}

struct ek_datapath_records *ek_datapath_records_open(struct ek_datapath *dp,
						     ek_datapath_record_fn record, void *arg)
{
	struct ek_datapath_records *records = calloc(1, sizeof(*records));

	if (!records)
		return NULL;
	*records = (struct ek_datapath_records){.record = record, .arg = arg};
	records->ring =
		ring_buffer__new(bpf_map__fd(dp->maps->maps.trace), on_record, records, NULL);
	if (!records->ring) {
		int err = errno;

		free(records);
		errno = err;
		return NULL;
	}
	return records;
}

void ek_datapath_records_close(struct ek_datapath_records *records)
{
	if (!records)
		return;
	ring_buffer__free(records->ring);
	free(records);
}

int ek_datapath_records_fd(const struct ek_datapath_records *records)
{
	return ring_buffer__epoll_fd(records->ring);
}

void ek_datapath_records_read(struct ek_datapath_records *records)
{
	records->left = RECORDS_AT_ONCE;
	ring_buffer__consume(records->ring);
}
