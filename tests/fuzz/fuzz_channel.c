/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The peer channel on any bytes: as a stream of frames, taken apart as channel_conn.c does and
 * judged as channel_peer.c does; and, when the first byte says so, as what comes off the wire
 * before anybody has proved anything.
 */
#include <event2/buffer.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "channel_frame.h"
#include "channel_tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ek_channel_hello own = {.version_min = 1, .version_max = 3, .node = "a"};

/* What pleases can be said again, and is then what was said. */
static void hello(const uint8_t *body, size_t length)
{
	struct ek_channel_hello read = {0}, again = {0};
	uint8_t bytes[EK_CHANNEL_BODY_OWN];
	char why[EK_CHANNEL_WHY_MAX] = "";
	size_t written;

	if (!ek_channel_hello_decode(body, length, &own, "b", &read, why)) {
		if (!why[0] || !memchr(why, 0, sizeof(why)))
			abort();
		return;
	}
	written = ek_channel_hello_encode(&read, bytes);
	if (written != length || memcmp(bytes, body, length) != 0 ||
	    !ek_channel_hello_decode(bytes, written, &own, "b", &again, why) ||
	    memcmp(&read, &again, sizeof(read)) != 0)
		abort();
}

static void frame(uint8_t type, const uint8_t *body, size_t length, enum ek_channel_phase *phase)
{
	char why[EK_CHANNEL_WHY_MAX];

	switch (type) {
	case EK_FRAME_HELLO:
		hello(body, length);
		*phase = EK_CHANNEL_PHASE_ACCEPT;
		break;
	case EK_FRAME_ACCEPT:
		*phase = EK_CHANNEL_PHASE_UP;
		break;
	case EK_FRAME_REFUSE:
		ek_channel_refusal_text(body, length, why);
		if (!memchr(why, 0, sizeof(why)))
			abort();
		break;
	case EK_FRAME_ACTIVATE:
	case EK_FRAME_ACTIVATED:
		ek_channel_number_decode(body);
		break;
	default:
		if (length > EK_CHANNEL_MESSAGE_MAX)
			abort();
	}
}

static void frames(const uint8_t *data, size_t size, bool client)
{
	enum ek_channel_phase phase = EK_CHANNEL_PHASE_HELLO;

	while (size >= EK_CHANNEL_HEADER) {
		uint8_t type, *copy;
		size_t length;

		if (ek_channel_frame_parse(data, phase, client, &type, &length))
			return;
		data += EK_CHANNEL_HEADER;
		size -= EK_CHANNEL_HEADER;
		if (size < length)
			return;
		copy = malloc(length + !length); /* of its own, so that a byte too far is seen */
		if (!copy)
			return;
		memcpy(copy, data, length);
		frame(type, copy, length, &phase);
		free(copy);
		data += length;
		size -= length;
	}
}

static void wire(const uint8_t *data, size_t size, bool client)
{
	static const struct ek_channel_secret secret = {.bytes = "0123456789abcdef", .length = 16};
	struct evbuffer *out = evbuffer_new(), *plain = evbuffer_new();
	static struct ek_channel_keys *keys;
	struct ek_channel_tls *tls;
	struct ek_error error;

	if (!keys)
		keys = ek_channel_keys_new(&secret, &error);
	tls = ek_channel_tls_new(keys, client, out);
	for (size_t n; tls && size; data += n, size -= n) {
		n = size < EK_CHANNEL_RECORD_MAX ? size : EK_CHANNEL_RECORD_MAX;
		if (ek_channel_tls_feed(tls, data, n, plain, out))
			break;
	}
	/* Nobody guesses the key. */
	if (evbuffer_get_length(plain) || (tls && ek_channel_tls_ready(tls)))
		abort();
	ek_channel_tls_free(tls);
	evbuffer_free(plain);
	evbuffer_free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] & 2)
		wire(data + 1, size - 1, data[0] & 1);
	else
		frames(data + 1, size - 1, data[0] & 1);
	return 0;
}
