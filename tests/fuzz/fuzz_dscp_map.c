/* SPDX-License-Identifier: GPL-2.0-only */
/* Any bytes as the file of a DSCP map: VIPs of the right family that hosts can have, or errors. */
#include <stdint.h>
#include <stdlib.h>
#include "dscp_map.h"
#include "ip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_row(const struct ek_ip *vip, int family)
{
	must(ek_ip_is_zero(vip) || (ek_ip_family(vip) == family && !ek_ip_unusable(vip)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ek_dscp_map map = {0};
	static struct ek_errors errors;
	bool any = false;
	int err;

	errors.count = errors.dropped = 0;
	err = ek_dscp_map_parse(&map, (const char *)data, size, &errors);
	must(!err == !errors.count);
	for (size_t i = 0; i < EK_DSCPS; i++) {
		check_row(&map.vip4[i], AF_INET);
		check_row(&map.vip6[i], AF_INET6);
		any |= !ek_ip_is_zero(&map.vip4[i]) || !ek_ip_is_zero(&map.vip6[i]);
	}
	must(ek_ip_is_zero(&map.vip4[0]) && ek_ip_is_zero(&map.vip6[0]));
	must(err || any);
	return 0;
}
