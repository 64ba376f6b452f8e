/* SPDX-License-Identifier: GPL-2.0-only */
/* An address with or without a port, as people write it. No name resolution. */
#ifndef EVENKEEL_ENDPOINT_H
#define EVENKEEL_ENDPOINT_H

#include <stdint.h>
#include <evenkeel/abi.h>

/*
 * "192.0.2.10", "192.0.2.10:80", "2001:db8::10", "[2001:db8::10]", "[2001:db8::10]:80".
 * The port is in host order, 0 when there is none. 0 or -EINVAL.
 */
int ek_endpoint_parse(const char *text, struct ek_ip *ip, uint16_t *port);

#endif
