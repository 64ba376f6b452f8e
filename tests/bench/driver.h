/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the benchmark's packet source (driver.bpf.c) and its user-space half share: the frame that
 * is written anew for every packet, and how the flow number walks.
 */
#ifndef EVENKEEL_BENCH_DRIVER_H
#define EVENKEEL_BENCH_DRIVER_H

#include <linux/types.h>

#define FRAME_WORDS   9
#define FRAME_LENGTH4 64 /* 14 + 20 + 20, padded to whole words */
#define FRAME_LENGTH6 74 /* 14 + 40 + 20 */

struct source {
	__u64 frame[FRAME_WORDS]; /* the frame without what varies by flow, as it lies on the wire
				   */
	__u64 packets;		  /* sent so far */
	__u32 flow;		  /* the next packet's: 0 .. flows - 1 */
	__u32 flows;
	__u32 stride; /* to the flow after it: less than flows, and coprime */
	__u32 pad;
};

#endif
