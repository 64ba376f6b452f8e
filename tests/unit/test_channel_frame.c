/* SPDX-License-Identifier: GPL-2.0-only */
/* The frames of the peer channel: what may come when, and every hello there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "channel_frame.h"

#define HELLO  EK_CHANNEL_PHASE_HELLO
#define ACCEPT EK_CHANNEL_PHASE_ACCEPT
#define UP     EK_CHANNEL_PHASE_UP
#define CLIENT true
#define SERVER false

static const struct {
	const char *description;
	uint8_t header[EK_CHANNEL_HEADER];
	enum ek_channel_phase phase;
	bool client;
	size_t length;	 /* of the body */
	const char *why; /* NULL: it may come */
} frames[] = {
	{"a hello first", {0, 0, 0, 9, 240}, HELLO, CLIENT, 8, NULL},
	{"a hello of nothing", {0, 0, 0, 1, 240}, HELLO, CLIENT, 0, "too short"},
	{"the longest hello", {0, 0, 2, 1, 240}, HELLO, SERVER, 512, NULL},
	{"a hello too long", {0, 0, 2, 2, 240}, HELLO, SERVER, 513, "too long"},
	{"hello twice", {0, 0, 0, 9, 240}, ACCEPT, CLIENT, 8, "second hello"},
	{"hello when up", {0, 0, 0, 9, 240}, UP, CLIENT, 8, "second hello"},
	{"accept before hello", {0, 0, 0, 1, 241}, HELLO, CLIENT, 0, "no hello"},
	{"accept", {0, 0, 0, 1, 241}, ACCEPT, CLIENT, 0, NULL},
	{"accept with a body", {0, 0, 0, 2, 241}, ACCEPT, CLIENT, 1, "too long"},
	{"accept twice", {0, 0, 0, 1, 241}, UP, CLIENT, 0, "greeting"},
	{"refuse before hello", {0, 0, 0, 1, 242}, HELLO, CLIENT, 0, NULL},
	{"refuse after hello", {0, 0, 0, 4, 242}, ACCEPT, CLIENT, 3, NULL},
	{"refuse when up", {0, 0, 0, 4, 242}, UP, CLIENT, 3, "greeting"},
	{"ping", {0, 0, 0, 1, 243}, UP, CLIENT, 0, NULL},
	{"ping before hello", {0, 0, 0, 1, 243}, HELLO, SERVER, 0, "no hello"},
	{"activate", {0, 0, 0, 9, 244}, UP, SERVER, 8, NULL},
	{"activate, too short", {0, 0, 0, 8, 244}, UP, SERVER, 7, "too short"},
	{"activate, too long", {0, 0, 0, 10, 244}, UP, SERVER, 9, "too long"},
	{"activate from a server", {0, 0, 0, 9, 244}, UP, CLIENT, 8, "not the peer's"},
	{"activate before hello", {0, 0, 0, 9, 244}, HELLO, SERVER, 8, "no hello"},
	{"activated", {0, 0, 0, 9, 245}, UP, CLIENT, 8, NULL},
	{"activated from a client", {0, 0, 0, 9, 245}, UP, SERVER, 8, "not the peer's"},
	{"an own type nobody knows", {0, 0, 0, 1, 246}, UP, SERVER, 0, "unknown type"},
	{"the last type", {0, 0, 0, 1, 255}, UP, SERVER, 0, "unknown type"},
	{"nothing at all", {0, 0, 0, 0, 243}, UP, SERVER, 0, "empty frame"},
	{"an empty message", {0, 0, 0, 1, 0}, UP, SERVER, 0, NULL},
	{"the longest message", {0, 0x10, 0, 1, 239}, UP, SERVER, 1 << 20, NULL},
	{"a message too long", {0, 0x10, 0, 2, 239}, UP, SERVER, (1 << 20) + 1, "too long"},
	{"a message of 4 GiB", {255, 255, 255, 255, 1}, UP, SERVER, UINT32_MAX - 1, "too long"},
	{"a message before hello", {0, 0, 0, 1, 7}, HELLO, SERVER, 0, "no hello"},
	{"a message before accept", {0, 0, 0, 1, 7}, ACCEPT, SERVER, 0, "no hello"},
	{"TLS within TLS", {22, 3, 1, 2, 0}, UP, SERVER, 0x16030101, "too long"},
	{"HTTP", {'G', 'E', 'T', ' ', '/'}, HELLO, SERVER, 0x4745541f, "no hello"},
};

static void test_frames(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++) {
		uint8_t type, written[EK_CHANNEL_HEADER];
		size_t length = 0;
		const char *why = ek_channel_frame_parse(frames[i].header, frames[i].phase,
							 frames[i].client, &type, &length);

		if (!why != !frames[i].why || (why && !strstr(why, frames[i].why)))
			fail_msg("%s: %s", frames[i].description, why ?: "may come");
		if (why)
			continue;
		assert_int_equal(type, frames[i].header[4]);
		assert_int_equal(length, frames[i].length);
		ek_channel_frame_header(written, type, length);
		assert_memory_equal(written, frames[i].header, sizeof(written));
	}
}

static const struct ek_channel_hello ours = {.version_min = 3, .version_max = 5, .node = "alpha"};
static const struct ek_channel_hello theirs = {
	.version_min = 2,
	.version_max = 4,
	.flags = 0x01020304,
	.instance = 0x1122334455667788,
	.node = "beta",
	.caller = {9, 8, 7},
	.caller_length = 3,
};

static void test_hello_bytes(void **state)
{
	static const uint8_t expected[] = {
		'E',  'K',  'C',  'H',				/* magic */
		0,    2,    0,	  4,				/* versions */
		1,    2,    3,	  4,				/* flags */
		0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, /* instance */
		4,    'b',  'e',  't',	'a',			/* name */
		0,    3,    9,	  8,	7,			/* the caller's */
	};
	uint8_t bytes[EK_CHANNEL_BODY_OWN];

	(void)state;
	assert_int_equal(ek_channel_hello_encode(&theirs, bytes), sizeof(expected));
	assert_memory_equal(bytes, expected, sizeof(expected));
}

static void round_trip(const struct ek_channel_hello *hello)
{
	struct ek_channel_hello read = {0};
	uint8_t bytes[EK_CHANNEL_BODY_OWN];
	char why[EK_CHANNEL_WHY_MAX] = "";
	size_t length = ek_channel_hello_encode(hello, bytes);

	if (!ek_channel_hello_decode(bytes, length, &ours, hello->node, &read, why))
		fail_msg("%s", why);
	assert_int_equal(read.version_min, hello->version_min);
	assert_int_equal(read.version_max, hello->version_max);
	assert_int_equal(read.flags, hello->flags);
	assert_int_equal(read.instance, hello->instance);
	assert_string_equal(read.node, hello->node);
	assert_int_equal(read.caller_length, hello->caller_length);
	assert_memory_equal(read.caller, hello->caller, hello->caller_length);
	/* Cut anywhere, or with a byte too many, it is none. */
	for (size_t cut = 0; cut < length; cut++)
		assert_false(ek_channel_hello_decode(bytes, cut, &ours, hello->node, &read, why));
	assert_false(ek_channel_hello_decode(bytes, length + 1, &ours, hello->node, &read, why));
	assert_string_equal(why, "malformed: a hello that contradicts itself");
}

static void test_hello_round_trip(void **state)
{
	struct ek_channel_hello longest = theirs;

	(void)state;
	round_trip(&theirs);
	memset(longest.node, 'n', EK_NAME_MAX);
	memset(longest.caller, 0xff, EK_CHANNEL_HELLO_MAX);
	longest.caller_length = EK_CHANNEL_HELLO_MAX;
	round_trip(&longest);
	longest.caller_length = 0;
	round_trip(&longest);
}

static const struct {
	const char *description;
	unsigned int version_min, version_max;
	const char *node;
	int offset; /* a byte to be changed, or -1 */
	uint8_t byte;
	const char *why; /* NULL: it pleases */
} hellos[] = {
	{"one version in common, ours the lowest", 1, 3, "beta", -1, 0, NULL},
	{"one version in common, ours the highest", 5, 9, "beta", -1, 0, NULL},
	{"too old", 1, 2, "beta", -1, 0, "version: peer speaks 1-2, we speak 3-5"},
	{"too new", 6, 65535, "beta", -1, 0, "version: peer speaks 6-65535, we speak 3-5"},
	{"too new, and otherwise unreadable", 6, 6, "beta", 20, 255,
	 "version: peer speaks 6-6, we speak 3-5"},
	{"versions upside down", 5, 3, "beta", -1, 0, "malformed: a range of versions upside down"},
	{"another name", 3, 5, "gamma", -1, 0, "the peer calls itself 'gamma', expected 'beta'"},
	{"a name that begins alike", 3, 5, "betamax", -1, 0,
	 "the peer calls itself 'betamax', expected 'beta'"},
	{"our own name", 3, 5, "alpha", -1, 0, "the peer has our own name"},
	{"other magic", 3, 5, "beta", 0, 'X', "malformed: no hello of a peer"},
	{"no name", 3, 5, "", -1, 0, "malformed: a hello that contradicts itself"},
	{"a name of 255 bytes", 3, 5, "beta", 20, 255,
	 "malformed: a hello that contradicts itself"},
	{"an escape in the name", 3, 5, "beta", 21, 27,
	 "malformed: a hello that contradicts itself"},
	{"a NUL in the name", 3, 5, "beta", 22, 0, "malformed: a hello that contradicts itself"},
	{"the caller's part longer than it is", 3, 5, "beta", 26, 9,
	 "malformed: a hello that contradicts itself"},
	{"unknown flags", 3, 5, "beta", 8, 0x80, NULL},
};

static void test_hello_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hellos) / sizeof(*hellos); i++) {
		struct ek_channel_hello hello = theirs, read;
		uint8_t bytes[EK_CHANNEL_BODY_OWN];
		char why[EK_CHANNEL_WHY_MAX] = "";
		size_t length;
		bool ok;

		hello.version_min = hellos[i].version_min;
		hello.version_max = hellos[i].version_max;
		snprintf(hello.node, sizeof(hello.node), "%s", hellos[i].node);
		length = ek_channel_hello_encode(&hello, bytes);
		if (hellos[i].offset >= 0)
			bytes[hellos[i].offset] = hellos[i].byte;
		ok = ek_channel_hello_decode(bytes, length, &ours, "beta", &read, why);
		if (ok != !hellos[i].why || (!ok && strcmp(why, hellos[i].why)))
			fail_msg("%s: %s", hellos[i].description, ok ? "pleases" : why);
	}
}

/* 62 bytes that belong together, and names of which both do not fit whole. */
static void test_long_names_fit(void **state)
{
	struct ek_channel_hello hello = ours, read;
	uint8_t bytes[EK_CHANNEL_BODY_OWN];
	char why[EK_CHANNEL_WHY_MAX], expected[EK_NAME_MAX + 1] = "";

	(void)state;
	memset(hello.node, 'x', EK_NAME_MAX);
	memset(expected, 'y', EK_NAME_MAX);
	assert_false(ek_channel_hello_decode(bytes, ek_channel_hello_encode(&hello, bytes), &ours,
					     expected, &read, why));
	assert_non_null(strstr(why, "yyy'"));
}

static void test_refusal(void **state)
{
	static const uint8_t text[] = "no\x1b[2Jway\xff";
	uint8_t longest[EK_CHANNEL_BODY_OWN];
	char why[EK_CHANNEL_WHY_MAX];

	(void)state;
	ek_channel_refusal_text(text, sizeof(text) - 1, why);
	assert_string_equal(why, "refused by the peer: no?[2Jway?");
	ek_channel_refusal_text(text, 0, why);
	assert_string_equal(why, "refused by the peer: ");
	memset(longest, 'x', sizeof(longest));
	ek_channel_refusal_text(longest, sizeof(longest), why);
	assert_int_equal(strlen(why), EK_CHANNEL_WHY_MAX - 1);
}

static void test_number(void **state)
{
	static const uint8_t expected[] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t bytes[8];

	(void)state;
	ek_channel_number_encode(0x0102030405060708, bytes);
	assert_memory_equal(bytes, expected, sizeof(bytes));
	assert_int_equal(ek_channel_number_decode(bytes), 0x0102030405060708);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),		 cmocka_unit_test(test_hello_bytes),
		cmocka_unit_test(test_hello_round_trip), cmocka_unit_test(test_hello_judged),
		cmocka_unit_test(test_long_names_fit),	 cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
