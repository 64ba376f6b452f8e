/* SPDX-License-Identifier: GPL-2.0-only */
/* See wire.h. Called by mirror.c. */
#include <stdlib.h>
#include <string.h>
#include "wire.h"

/* --- writing --------------------------------------------------------------------------------- */

void ek_wire_free(struct ek_wire_out *out)
{
	free(out->bytes);
	*out = (struct ek_wire_out){0};
}

static uint8_t *grow(struct ek_wire_out *out, size_t n)
{
	if (out->length + n > out->room) {
		size_t room = out->room ? out->room * 2 : 4096;
		uint8_t *bytes = realloc(out->bytes, room);

		if (!bytes) {
			out->failed = true;
			return NULL;
		}
		out->bytes = bytes;
		out->room = room;
	}
	out->length += n;
	return out->bytes + out->length - n;
}

static void put(struct ek_wire_out *out, uint64_t value, size_t n)
{
	uint8_t *at = grow(out, n);

	for (; at && n; value >>= 8)
		at[--n] = value & 0xff;
}

static void put_bytes(struct ek_wire_out *out, const void *bytes, size_t n)
{
	uint8_t *at = grow(out, n);

	if (at)
		memcpy(at, bytes, n);
}

void ek_wire_put16(struct ek_wire_out *out, uint16_t value)
{
	put(out, value, 2);
}

void ek_wire_put32(struct ek_wire_out *out, uint32_t value)
{
	put(out, value, 4);
}

void ek_wire_put64(struct ek_wire_out *out, uint64_t value)
{
	put(out, value, 8);
}

void ek_wire_put_service(struct ek_wire_out *out, const struct ek_wire_service *service)
{
	put_bytes(out, &service->vip, sizeof(service->vip));
	put(out, service->key, 8);
}

void ek_wire_put_backend(struct ek_wire_out *out, const struct ek_wire_backend *backend)
{
	put(out, backend->index, 2);
	ek_wire_put_service(out, &backend->service);
	put_bytes(out, &backend->address, sizeof(backend->address));
}

void ek_wire_put_slot(struct ek_wire_out *out, const struct ek_wire_slot *slot)
{
	put(out, slot->slot, 4);
	put(out, slot->word, 4);
}

void ek_wire_put_image(struct ek_wire_out *out, const struct ek_flow_image *image)
{
	put(out, image->bucket, 4);
	put(out, image->entry, 8);
	put_bytes(out, &image->key.source, sizeof(image->key.source));
	put_bytes(out, &image->key.destination, sizeof(image->key.destination));
	put_bytes(out, &image->key.source_port, sizeof(image->key.source_port));
	put_bytes(out, &image->key.destination_port, sizeof(image->key.destination_port));
	put(out, image->key.isn, 4);
	put(out, image->key.since, 4);
	put(out, image->key.protocol, 1);
}

void ek_wire_put_drop(struct ek_wire_out *out, const struct ek_wire_drop *drop)
{
	put(out, drop->bucket, 4);
	put(out, drop->entry, 8);
}

/* --- reading --------------------------------------------------------------------------------- */

static const uint8_t *take(struct ek_wire_in *in, size_t n)
{
	if (in->bad || (size_t)(in->end - in->at) < n) {
		in->bad = true;
		return NULL;
	}
	in->at += n;
	return in->at - n;
}

static uint64_t get(struct ek_wire_in *in, size_t n)
{
	const uint8_t *at = take(in, n);
	uint64_t value = 0;

	for (size_t i = 0; at && i < n; i++)
		value = value << 8 | at[i];
	return value;
}

static void get_bytes(struct ek_wire_in *in, void *bytes, size_t n)
{
	const uint8_t *at = take(in, n);

	if (at)
		memcpy(bytes, at, n);
}

uint16_t ek_wire_get16(struct ek_wire_in *in)
{
	return get(in, 2);
}

uint32_t ek_wire_get32(struct ek_wire_in *in)
{
	return get(in, 4);
}

uint64_t ek_wire_get64(struct ek_wire_in *in)
{
	return get(in, 8);
}

struct ek_wire_service ek_wire_get_service(struct ek_wire_in *in)
{
	struct ek_wire_service service = {0};

	get_bytes(in, &service.vip, sizeof(service.vip));
	service.key = get(in, 8);
	return service;
}

struct ek_wire_backend ek_wire_get_backend(struct ek_wire_in *in)
{
	struct ek_wire_backend backend = {.index = get(in, 2)};

	backend.service = ek_wire_get_service(in);
	get_bytes(in, &backend.address, sizeof(backend.address));
	return backend;
}

struct ek_wire_slot ek_wire_get_slot(struct ek_wire_in *in)
{
	struct ek_wire_slot slot = {.slot = get(in, 4)};

	slot.word = get(in, 4);
	return slot;
}

struct ek_flow_image ek_wire_get_image(struct ek_wire_in *in)
{
	struct ek_flow_image image = {.bucket = get(in, 4)};

	image.entry = get(in, 8);
	get_bytes(in, &image.key.source, sizeof(image.key.source));
	get_bytes(in, &image.key.destination, sizeof(image.key.destination));
	get_bytes(in, &image.key.source_port, sizeof(image.key.source_port));
	get_bytes(in, &image.key.destination_port, sizeof(image.key.destination_port));
	image.key.isn = get(in, 4);
	image.key.since = get(in, 4);
	image.key.protocol = get(in, 1);
	return image;
}

struct ek_wire_drop ek_wire_get_drop(struct ek_wire_in *in)
{
	struct ek_wire_drop drop = {.bucket = get(in, 4)};

	drop.entry = get(in, 8);
	return drop;
}

bool ek_wire_more(const struct ek_wire_in *in)
{
	return !in->bad && in->at < in->end;
}
