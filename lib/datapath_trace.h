/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data plane's side of a trace: the filter, the flag on the ports that sends every packet past
 * bpf/trace.h, and the ring in which its records come. trace.c is the only caller.
 */
#ifndef EVENKEEL_DATAPATH_TRACE_H
#define EVENKEEL_DATAPATH_TRACE_H

#include "datapath.h"

/*
 * Records that fit the filter are written from now on, until filter->until. To be called again
 * before that time, and when there are other ports. 0 or -errno.
 */
int ek_datapath_trace(struct ek_datapath *dp, const struct ek_trace *filter);
/* Packets go the usual way again, also after a controller that was killed while it traced. */
void ek_datapath_trace_end(struct ek_datapath *dp);
/* How many were not written and stand in no record yet. They are forgotten, and the rate is whole
 * again. */
uint64_t ek_datapath_trace_missed(struct ek_datapath *dp);

struct ek_datapath_records;
typedef void (*ek_datapath_record_fn)(void *arg, const struct ek_trace_record *record);

/* NULL with errno. What was written before stays unread. */
struct ek_datapath_records *ek_datapath_records_open(struct ek_datapath *dp,
						     ek_datapath_record_fn record, void *arg);
void ek_datapath_records_close(struct ek_datapath_records *records);
/* Readable when there are records. */
int ek_datapath_records_fd(const struct ek_datapath_records *records);
/* Hands over what has come, a bounded number at once. */
void ek_datapath_records_read(struct ek_datapath_records *records);

#endif
