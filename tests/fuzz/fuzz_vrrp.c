/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Any bytes as a VRRP message: refused, or read and built again to the same bytes, with the
 * checksum convention that it came with. Reserved bits are the one thing that is lost.
 *
 * The first byte: bit 0 IPv6, bit 1 makes the checksum right first, bit 2 by the pseudo-header; so
 * that what lies behind the checksum is reached.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "ip.h"
#include "vrrp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const addresses[2][2] = {{"10.0.0.1", "224.0.0.18"}, {"fe80::1", "ff02::12"}};

static uint32_t sum_words(const uint8_t *bytes, size_t length, uint32_t sum)
{
	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? bytes[i] : bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void put_checksum(uint8_t *message, size_t length, const struct ek_ip *ends,
			 bool pseudo_header)
{
	size_t skip = ek_ip_is_v4(ends) ? 12 : 0;
	uint32_t sum = 0;

	if (pseudo_header) {
		for (int i = 0; i < 2; i++)
			sum = sum_words(ends[i].bytes + skip, 16 - skip, sum);
		sum += EK_VRRP_PROTOCOL + length;
	}
	message[6] = message[7] = 0;
	sum = sum_words(message, length, sum);
	message[6] = ~sum >> 8;
	message[7] = ~sum;
}

static void check_rebuilt(const uint8_t *message, size_t length, const struct ek_ip *ends,
			  const struct ek_vrrp_heard *heard)
{
	const struct ek_vrrp_advert advert = {heard->vrid, heard->priority, heard->interval,
					      heard->vips, heard->n_vips};
	uint8_t out[8 + 16 * 255];
	bool lossless = !(message[4] & 0xf0);

	assert(ek_vrrp_build(&advert, &ends[0], &ends[1], heard->pseudo_header, out, sizeof(out)) ==
	       length);
	assert(memcmp(out, message, 4) == 0 && out[4] == (message[4] & 0xf));
	assert(out[5] == message[5] && memcmp(out + 8, message + 8, length - 8) == 0);
	/* In ones' complement there are two zeros. */
	if (lossless && (message[6] & message[7]) == 0xff)
		assert(!out[6] && !out[7]);
	else if (lossless)
		assert(memcmp(out + 6, message + 6, 2) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ek_vrrp_heard heard;
	struct ek_ip ends[2];
	uint8_t *message;
	size_t length = size - 1;

	if (!size || length > UINT16_MAX)
		return 0;
	for (int i = 0; i < 2; i++)
		if (ek_ip_parse(addresses[*data & 1][i], &ends[i]))
			abort();
	message = malloc(length + !length);
	if (!message)
		return 0;
	memcpy(message, data + 1, length);
	if (*data & 2 && length >= 8)
		put_checksum(message, length, ends, *data & 5);
	if (ek_vrrp_parse(message, length, 255, &ends[0], &ends[1], &heard) == EK_VRRP_ACCEPTED)
		check_rebuilt(message, length, ends, &heard);
	assert(ek_vrrp_parse(message, length, 254, &ends[0], &ends[1], &heard) ==
	       EK_VRRP_REFUSED_TTL);
	free(message);
	return 0;
}
