/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Any frame is read without looking past its end, by the daemon; any line is written to a capture
 * file, or not, by the command line.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "ip.h"
#include "pcap.h"
#include "trace_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_frame(const uint8_t *data, size_t size)
{
	const struct ek_trace any = {.service = EK_SERVICE_NONE};
	const struct ek_trace_record record = {.verdict = -1};
	struct ek_trace_frame frame;
	char text[EK_IP_TEXT];

	ek_trace_frame_read(data, size, &frame);
	assert(frame.n_vlans <= 2);
	assert(!frame.ip || size >= 34);
	assert(!frame.ports || (frame.ip && !frame.icmp && !frame.fragment));
	assert(!frame.quotes || frame.icmp);
	assert(ek_trace_fits(&any, &record, &frame));
	ek_ip_format(&frame.source, text);
	ek_ip_format(&frame.about, text);
}

static void check_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct ek_pcap_time time;
	uint8_t bytes[16];
	int n;

	memcpy(text, data, size);
	text[size] = '\0';
	n = ek_pcap_bytes(text, bytes, sizeof(bytes));
	assert(n < 0 || (size_t)n * 2 == strlen(text));
	if (!ek_pcap_time(text, &time))
		assert(time.microseconds < 1000000);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_frame(data, size);
	check_text(data, size);
	return 0;
}
