/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ICMP messages of both families begin with, and the types that matter here (RFC 792,
 * RFC 4443). <linux/icmp.h> draws in all of <sys/socket.h>, which BPF has not.
 */
#ifndef EVENKEEL_BPF_ICMP_MESSAGE_H
#define EVENKEEL_BPF_ICMP_MESSAGE_H

#include <linux/types.h>

struct icmp_message {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 rest; /* of an error that something did not fit: the MTU, IPv4: in the last 2 bytes
		      */
};

enum {
	ICMP4_ECHO_REPLY = 0,
	ICMP4_UNREACHABLE = 3,
	ICMP4_ECHO = 8,
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER = 12,
	ICMP4_CODE_TOO_BIG = 4, /* of ICMP4_UNREACHABLE */
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER = 4,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
};

#endif
