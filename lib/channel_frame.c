/* SPDX-License-Identifier: GPL-2.0-only */
/* See channel_frame.h. */
#include <stdio.h>
#include <string.h>
#include "channel_frame.h"

#define MAGIC	     0x454b4348u /* "EKCH" */
#define NUMBER_BYTES 8u
#define HELLO_FIXED  21u /* magic, versions, flags, instance, length of the name */
#define HELLO_MIN    8u	 /* magic and versions: as much as every version has in common */

_Static_assert(HELLO_FIXED + EK_NAME_MAX + 2 + EK_CHANNEL_HELLO_MAX <= EK_CHANNEL_BODY_OWN,
	       "the longest hello");

/* --- numbers ------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *out, uint64_t value, unsigned int bytes)
{
	while (bytes--)
		*out++ = value >> (8 * bytes);
	return out;
}

static uint64_t get(const uint8_t *in, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | *in++;
	return value;
}

void ek_channel_number_encode(uint64_t number, uint8_t *out)
{
	put(out, number, NUMBER_BYTES);
}

uint64_t ek_channel_number_decode(const uint8_t *body)
{
	return get(body, NUMBER_BYTES);
}

/* --- frames -------------------------------------------------------------------------------- */

#define FROM_SERVER 1u
#define FROM_CLIENT 2u
#define FROM_BOTH   (FROM_SERVER | FROM_CLIENT)

static const struct rule {
	unsigned int phases; /* bits of enum ek_channel_phase */
	unsigned int from;
	size_t shortest, longest; /* body */
} rules[] = {
#define IN(phase) (1u << EK_CHANNEL_PHASE_##phase)
	[EK_FRAME_HELLO - EK_FRAME_HELLO] = {IN(HELLO), FROM_BOTH, HELLO_MIN, EK_CHANNEL_BODY_OWN},
	[EK_FRAME_ACCEPT - EK_FRAME_HELLO] = {IN(ACCEPT), FROM_BOTH, 0, 0},
	[EK_FRAME_REFUSE -
		EK_FRAME_HELLO] = {IN(HELLO) | IN(ACCEPT), FROM_BOTH, 0, EK_CHANNEL_BODY_OWN},
	[EK_FRAME_PING - EK_FRAME_HELLO] = {IN(UP), FROM_BOTH, 0, 0},
	[EK_FRAME_ACTIVATE - EK_FRAME_HELLO] = {IN(UP), FROM_CLIENT, NUMBER_BYTES, NUMBER_BYTES},
	[EK_FRAME_ACTIVATED - EK_FRAME_HELLO] = {IN(UP), FROM_SERVER, NUMBER_BYTES, NUMBER_BYTES},
#undef IN
};

static const struct rule message_rule = {1u << EK_CHANNEL_PHASE_UP, FROM_BOTH, 0,
					 EK_CHANNEL_MESSAGE_MAX};

void ek_channel_frame_header(uint8_t *out, uint8_t type, size_t body_length)
{
	put(put(out, body_length + 1, 4), type, 1);
}

const char *ek_channel_frame_parse(const uint8_t *header, enum ek_channel_phase phase, bool client,
				   uint8_t *type, size_t *body_length)
{
	uint64_t length = get(header, 4);
	const struct rule *rule = &message_rule;

	*type = header[4];
	if (*type >= EK_FRAME_HELLO) {
		if (*type >= EK_FRAME_HELLO + sizeof(rules) / sizeof(*rules))
			return "malformed: a frame of an unknown type";
		rule = &rules[*type - EK_FRAME_HELLO];
	}
	if (!length)
		return "malformed: an empty frame";
	*body_length = length - 1;
	if (*type == EK_FRAME_HELLO && phase != EK_CHANNEL_PHASE_HELLO)
		return "malformed: a second hello";
	if (!(rule->phases & 1u << phase))
		return phase == EK_CHANNEL_PHASE_UP ? "malformed: a greeting when it was over"
						    : "malformed: no hello at the beginning";
	if (!(rule->from & (client ? FROM_SERVER : FROM_CLIENT)))
		return "malformed: a frame that is not the peer's to send";
	if (*body_length < rule->shortest)
		return "malformed: a frame that is too short";
	return *body_length > rule->longest ? "malformed: a frame that is too long" : NULL;
}

/* --- hello --------------------------------------------------------------------------------- */

size_t ek_channel_hello_encode(const struct ek_channel_hello *hello, uint8_t *out)
{
	size_t name_length = strlen(hello->node);
	uint8_t *at = out;

	at = put(at, MAGIC, 4);
	at = put(at, hello->version_min, 2);
	at = put(at, hello->version_max, 2);
	at = put(at, hello->flags, 4);
	at = put(at, hello->instance, 8);
	at = put(at, name_length, 1);
	memcpy(at, hello->node, name_length);
	at = put(at + name_length, hello->caller_length, 2);
	if (hello->caller_length)
		memcpy(at, hello->caller, hello->caller_length);
	return at + hello->caller_length - out;
}

/* Is it fit to be shown to a person and compared with a configured one? */
static bool name_ok(const uint8_t *name, size_t length)
{
	if (!length || length > EK_NAME_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return true;
}

static bool decode_rest(const uint8_t *body, size_t length, struct ek_channel_hello *out)
{
	size_t name_length, rest;

	if (length < HELLO_FIXED)
		return false;
	out->flags = get(body + 8, 4);
	out->instance = get(body + 12, 8);
	name_length = body[20];
	body += HELLO_FIXED;
	length -= HELLO_FIXED;
	if (length < name_length + 2 || !name_ok(body, name_length))
		return false;
	memcpy(out->node, body, name_length);
	out->node[name_length] = '\0';
	rest = length - name_length - 2;
	out->caller_length = get(body + name_length, 2);
	if (out->caller_length != rest || rest > EK_CHANNEL_HELLO_MAX)
		return false;
	if (rest)
		memcpy(out->caller, body + name_length + 2, rest);
	return true;
}

bool ek_channel_hello_decode(const uint8_t *body, size_t length, const struct ek_channel_hello *own,
			     const char *expected, struct ek_channel_hello *out, char *why)
{
	bool ok = false;

	if (length < HELLO_MIN || get(body, 4) != MAGIC) {
		snprintf(why, EK_CHANNEL_WHY_MAX, "malformed: no hello of a peer");
		return false;
	}
	out->version_min = get(body + 4, 2);
	out->version_max = get(body + 6, 2);
	if (out->version_min > out->version_max)
		snprintf(why, EK_CHANNEL_WHY_MAX, "malformed: a range of versions upside down");
	else if (out->version_max < own->version_min || out->version_min > own->version_max)
		snprintf(why, EK_CHANNEL_WHY_MAX, "version: peer speaks %u-%u, we speak %u-%u",
			 out->version_min, out->version_max, own->version_min, own->version_max);
	else if (!decode_rest(body, length, out))
		snprintf(why, EK_CHANNEL_WHY_MAX, "malformed: a hello that contradicts itself");
	else if (!strcmp(out->node, own->node))
		snprintf(why, EK_CHANNEL_WHY_MAX, "the peer has our own name");
	else if (strcmp(out->node, expected))
		snprintf(why, EK_CHANNEL_WHY_MAX, "the peer calls itself '%.40s', expected '%.40s'",
			 out->node, expected);
	else
		ok = true;
	return ok;
}

void ek_channel_refusal_text(const uint8_t *body, size_t length, char *why)
{
	int at = snprintf(why, EK_CHANNEL_WHY_MAX, "refused by the peer: ");

	for (size_t i = 0; i < length && at < (int)EK_CHANNEL_WHY_MAX - 1; i++)
		why[at++] = body[i] >= ' ' && body[i] <= '~' ? body[i] : '?';
	why[at] = '\0';
}
