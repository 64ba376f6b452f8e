/* SPDX-License-Identifier: GPL-2.0-only */
/* The peer channel's TLS, two ends in memory; and against an OpenSSL that has no secret. */
#include <event2/buffer.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "channel_tls.h"

struct end {
	struct ek_channel_keys *keys;
	struct ek_channel_tls *tls;
	struct evbuffer *wire, *plain;
	const char *why;
};

static struct ek_channel_secret secret_of(const char *text)
{
	struct ek_channel_secret secret = {.length = strlen(text)};

	memcpy(secret.bytes, text, secret.length);
	return secret;
}

static struct end make_end(const char *text, bool client)
{
	struct ek_channel_secret secret = secret_of(text);
	struct ek_error error = {0};
	struct end end = {.wire = evbuffer_new(), .plain = evbuffer_new()};

	end.keys = ek_channel_keys_new(&secret, &error);
	assert_non_null(end.keys);
	end.tls = ek_channel_tls_new(end.keys, client, end.wire);
	assert_non_null(end.tls);
	return end;
}

static void free_end(struct end *end)
{
	ek_channel_tls_free(end->tls);
	ek_channel_keys_free(end->keys);
	evbuffer_free(end->wire);
	evbuffer_free(end->plain);
}

/* Everything on the wire, `step` bytes at a time, until nothing moves. */
static void pump(struct end *a, struct end *b, size_t step)
{
	char chunk[EK_CHANNEL_RECORD_MAX];
	struct end *from = a, *to = b;

	while (evbuffer_get_length(a->wire) || evbuffer_get_length(b->wire)) {
		int n = evbuffer_remove(from->wire, chunk, step);

		if (n > 0 && !to->why)
			to->why = ek_channel_tls_feed(to->tls, chunk, n, to->plain, to->wire);
		if (n <= 0) {
			struct end *other = from;

			from = to;
			to = other;
		}
	}
}

static void test_speaks(void **state)
{
	static const size_t steps[] = {1, 7, 1400, EK_CHANNEL_RECORD_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct end client = make_end("the same secret for both", true);
		struct end server = make_end("the same secret for both", false);

		pump(&client, &server, steps[i]);
		assert_null(client.why);
		assert_null(server.why);
		assert_true(ek_channel_tls_ready(client.tls) && ek_channel_tls_ready(server.tls));
		assert_int_equal(ek_channel_tls_write(client.tls, "there", 5, client.wire), 0);
		assert_int_equal(ek_channel_tls_write(server.tls, "back", 4, server.wire), 0);
		assert_null(memmem(evbuffer_pullup(client.wire, -1),
				   evbuffer_get_length(client.wire), "there", 5));
		pump(&client, &server, steps[i]);
		assert_memory_equal(evbuffer_pullup(server.plain, -1), "there", 5);
		assert_memory_equal(evbuffer_pullup(client.plain, -1), "back", 4);
		free_end(&client);
		free_end(&server);
	}
}

static void test_long_write(void **state)
{
	struct end client = make_end("the same secret for both", true);
	struct end server = make_end("the same secret for both", false);
	size_t length = 1 << 20;
	uint8_t *bytes = malloc(length);

	(void)state;
	for (size_t i = 0; i < length; i++)
		bytes[i] = i * 2654435761u >> 24;
	pump(&client, &server, 1400);
	assert_int_equal(ek_channel_tls_write(client.tls, bytes, length, client.wire), 0);
	pump(&client, &server, 1400);
	assert_null(server.why);
	assert_int_equal(evbuffer_get_length(server.plain), length);
	assert_memory_equal(evbuffer_pullup(server.plain, -1), bytes, length);
	free(bytes);
	free_end(&client);
	free_end(&server);
}

/* Past two changes of the sending key. */
static void test_many_records(void **state)
{
	struct end client = make_end("the same secret for both", true);
	struct end server = make_end("the same secret for both", false);

	(void)state;
	pump(&client, &server, EK_CHANNEL_RECORD_MAX);
	for (uint32_t i = 0; i < (1u << 19) + 1000 && !server.why; i++) {
		assert_int_equal(ek_channel_tls_write(client.tls, &i, sizeof(i), client.wire), 0);
		if (evbuffer_get_length(client.wire) > 12000) {
			pump(&client, &server, EK_CHANNEL_RECORD_MAX);
			evbuffer_drain(server.plain, evbuffer_get_length(server.plain) - 4);
			assert_memory_equal(evbuffer_pullup(server.plain, 4), &i, 4);
			evbuffer_drain(server.plain, 4);
		}
	}
	assert_null(server.why);
	assert_null(client.why);
	free_end(&client);
	free_end(&server);
}

static const struct {
	const char *description, *client, *server;
} secrets[] = {
	{"another secret", "one secret of 24 letters", "two secret of 24 letters"},
	{"a longer secret", "sixteen letters.", "sixteen letters.."},
	{"another case", "SIXTEEN LETTERS.", "sixteen letters."},
};

static void test_wrong_secret(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(*secrets); i++) {
		struct end client = make_end(secrets[i].client, true);
		struct end server = make_end(secrets[i].server, false);

		pump(&client, &server, EK_CHANNEL_RECORD_MAX);
		if (!client.why || strcmp(client.why, "wrong secret") || !server.why ||
		    strcmp(server.why, "wrong secret"))
			fail_msg("%s: client %s, server %s", secrets[i].description,
				 client.why ?: "ok", server.why ?: "ok");
		assert_true(ek_channel_tls_refused(client.tls));
		assert_true(ek_channel_tls_refused(server.tls));
		assert_false(ek_channel_tls_ready(client.tls) || ek_channel_tls_ready(server.tls));
		free_end(&client);
		free_end(&server);
	}
}

static void test_corrupted(void **state)
{
	struct end client = make_end("the same secret for both", true);
	struct end server = make_end("the same secret for both", false);

	(void)state;
	pump(&client, &server, EK_CHANNEL_RECORD_MAX);
	assert_int_equal(ek_channel_tls_write(client.tls, "there", 5, client.wire), 0);
	evbuffer_pullup(client.wire, -1)[8] ^= 1;
	pump(&client, &server, EK_CHANNEL_RECORD_MAX);
	assert_string_equal(server.why, "TLS: a record that is not the peer's");
	assert_false(ek_channel_tls_refused(server.tls));
	assert_int_equal(evbuffer_get_length(server.plain), 0);
	free_end(&client);
	free_end(&server);
}

static void test_garbage(void **state)
{
	static const struct {
		const char *description, *bytes;
		size_t length;
	} rows[] = {
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27},
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", 21},
		{"zeros", "\0\0\0\0\0\0\0\0\0\0\0\0", 12},
		{"an empty client hello", "\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9},
		{"an alert", "\x15\x03\x03\x00\x02\x02\x28", 7},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (int client = 0; client < 2; client++) {
			struct end end = make_end("the same secret for both", client);

			if (!ek_channel_tls_feed(end.tls, rows[i].bytes, rows[i].length, end.plain,
						 end.wire))
				fail_msg("%s", rows[i].description);
			assert_false(ek_channel_tls_ready(end.tls));
			free_end(&end);
		}
}

/* --- an OpenSSL without the secret --------------------------------------------------------- */

static void give_certificate(SSL_CTX *context)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();

	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

/* One that pretends not to have asked for the key but for a certificate, and is shown one. */
static void against_openssl(bool we_are_client, int version, const char *why)
{
	SSL_CTX *context = SSL_CTX_new(TLS_method());
	struct end end = make_end("the same secret for both", we_are_client);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	char chunk[EK_CHANNEL_RECORD_MAX];
	bool completed = false;
	SSL *ssl;

	SSL_CTX_set_max_proto_version(context, version);
	give_certificate(context);
	ssl = SSL_new(context);
	SSL_set_bio(ssl, in, out);
	if (we_are_client)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	for (int turn = 0; turn < 10 && !end.why; turn++) {
		int n = evbuffer_remove(end.wire, chunk, sizeof(chunk));

		if (n > 0)
			BIO_write(in, chunk, n);
		completed |= SSL_do_handshake(ssl) == 1 && !we_are_client;
		n = BIO_read(out, chunk, sizeof(chunk));
		if (n > 0)
			end.why = ek_channel_tls_feed(end.tls, chunk, n, end.plain, end.wire);
	}
	assert_false(completed);
	assert_false(ek_channel_tls_ready(end.tls));
	assert_non_null(end.why);
	if (why)
		assert_string_equal(end.why, why);
	SSL_free(ssl);
	SSL_CTX_free(context);
	free_end(&end);
}

static void test_no_key(void **state)
{
	(void)state;
	against_openssl(true, TLS1_3_VERSION, "not a peer: it has no pre-shared key");
	against_openssl(false, TLS1_3_VERSION, "not a peer: it has no pre-shared key");
	against_openssl(true, TLS1_2_VERSION, NULL);
	against_openssl(false, TLS1_2_VERSION, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_speaks),	     cmocka_unit_test(test_long_write),
		cmocka_unit_test(test_many_records), cmocka_unit_test(test_wrong_secret),
		cmocka_unit_test(test_corrupted),    cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_no_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
