/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A record of the data plane's trace (abi.h), understood: what the frame was, and whether a
 * listener asked for it. trace.c calls this. Pure; the frame is a stranger's, of any bytes and any
 * length, and whatever cannot be read of it is left out.
 */
#ifndef EVENKEEL_TRACE_FRAME_H
#define EVENKEEL_TRACE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <evenkeel/abi.h>

struct ek_trace_frame {
	uint16_t type; /* Ethernet's, behind the tags: host order */
	uint16_t vlan[2];
	size_t n_vlans;
	bool ip; /* and so source, destination and protocol are set */
	struct ek_ip source, destination;
	uint8_t protocol; /* behind IPv6 extension headers, as far as they were captured */
	bool fragment;	  /* a later one: there is no transport header */
	bool ports;
	uint16_t source_port, destination_port; /* host order */
	bool tcp;
	uint8_t tcp_flags;
	bool icmp;
	uint8_t icmp_type, icmp_code;
	bool quotes; /* an ICMP error about a packet that went to: */
	struct ek_ip about;
};

/* Never fails. `out` needs no preparation. */
void ek_trace_frame_read(const uint8_t *frame, size_t captured, struct ek_trace_frame *out);

/* "SYN,ACK" or "-", of at most EK_TRACE_FLAGS bytes with its NUL. Returns out. */
#define EK_TRACE_FLAGS 40
const char *ek_trace_tcp_flags(uint8_t flags, char *out);

/* Whether a listener with this filter wants to hear of it. `until` and `rate` do not matter. */
bool ek_trace_fits(const struct ek_trace *filter, const struct ek_trace_record *record,
		   const struct ek_trace_frame *frame);

/* Widens `all` so that it lets through whatever `one` does, at its rate at least. */
void ek_trace_unite(struct ek_trace *all, const struct ek_trace *one);

#endif
