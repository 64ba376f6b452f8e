/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Capture files in the format that libpcap reads (draft-ietf-opsawg-pcap): Ethernet, times in
 * microseconds, the byte order of this host, which the magic number tells. The command line writes
 * them; every function returns 0 or -errno.
 */
#ifndef EVENKEEL_PCAP_H
#define EVENKEEL_PCAP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct ek_pcap_time {
	uint32_t seconds; /* since 1970 */
	uint32_t microseconds;
};

/* The header, once. `snap`: no frame is captured with more bytes. */
int ek_pcap_begin(FILE *out, uint32_t snap);
/* A frame that had `length` bytes, `captured` of which are here. It is flushed: readers follow. */
int ek_pcap_frame(FILE *out, struct ek_pcap_time time, const uint8_t *frame, uint32_t captured,
		  uint32_t length);

/* "2026-11-22T12:03:12.345678Z" as the daemon writes it. 0 or -EINVAL. */
int ek_pcap_time(const char *text, struct ek_pcap_time *out);
/* Hexadecimal digits to at most `size` bytes; how many there were, or -EINVAL. */
int ek_pcap_bytes(const char *hex, uint8_t *out, size_t size);

#endif
