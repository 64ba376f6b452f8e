/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Passes every packet. The lab puts it on the other end of the balancer's veth pair: that driver
 * delivers XDP_TX frames only to a peer which has a native XDP program itself.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
