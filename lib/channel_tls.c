/* SPDX-License-Identifier: GPL-2.0-only */
/* See channel_tls.h. OpenSSL works on memory BIOs, so it never sees a socket. */
#include <errno.h>
#include <event2/buffer.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include "channel_tls.h"

#define PSK_BYTES 32u
#define IDENTITY  "evenkeel"
#define INFO	  "evenkeel peer channel 1 psk"
/*
 * AES-GCM is safe for 2^24.5 records under one key (RFC 8446 section 5.5), which small messages
 * reach within the hour, and OpenSSL does not change keys by itself.
 */
#define RECORDS_PER_KEY (1u << 18)

struct ek_channel_keys {
	SSL_CTX *context;
	uint8_t psk[PSK_BYTES];
};

struct ek_channel_tls {
	SSL *ssl;
	BIO *in, *out; /* the ssl's */
	uint32_t records;
	bool ready, refused;
};

/* --- the key ------------------------------------------------------------------------------- */

static bool derive(const struct ek_channel_secret *secret, uint8_t psk[PSK_BYTES])
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret->bytes,
						  secret->length),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)INFO,
						  sizeof(INFO) - 1),
		OSSL_PARAM_construct_end(),
	};
	bool ok = context && EVP_KDF_derive(context, psk, PSK_BYTES, params) == 1;

	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	return ok;
}

/* A session as a ticket would have brought it. One for each connection: OpenSSL writes to it. */
static SSL_SESSION *make_session(SSL *ssl)
{
	static const unsigned char aes_128_gcm_sha256[] = {0x13, 0x01};
	const struct ek_channel_keys *keys = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256);
	SSL_SESSION *session = SSL_SESSION_new();

	if (session && cipher && SSL_SESSION_set1_master_key(session, keys->psk, PSK_BYTES) &&
	    SSL_SESSION_set_cipher(session, cipher) &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

static int use_session(SSL *ssl, const EVP_MD *md, const unsigned char **identity, size_t *length,
		       SSL_SESSION **session)
{
	(void)md; /* one ciphersuite, one digest */
	*session = make_session(ssl);
	*identity = (const unsigned char *)IDENTITY;
	*length = sizeof(IDENTITY) - 1;
	return *session != NULL;
}

static int find_session(SSL *ssl, const unsigned char *identity, size_t length,
			SSL_SESSION **session)
{
	bool known = length == sizeof(IDENTITY) - 1 && !memcmp(identity, IDENTITY, length);

	*session = known ? make_session(ssl) : NULL;
	return *session || !known;
}

static SSL_CTX *make_context(struct ek_channel_keys *keys)
{
	SSL_CTX *context = SSL_CTX_new(TLS_method());

	if (!context)
		return NULL;
	SSL_CTX_set_app_data(context, keys);
	SSL_CTX_set_options(context,
			    SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_clear_options(context, SSL_OP_ALLOW_NO_DHE_KEX);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_psk_use_session_callback(context, use_session);
	SSL_CTX_set_psk_find_session_callback(context, find_session);
	/* The key belongs to this suite: with another chosen it would fail as a wrong key does. */
	if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) &&
	    SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) &&
	    SSL_CTX_set_num_tickets(context, 0) &&
	    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256"))
		return context;
	SSL_CTX_free(context);
	return NULL;
}

struct ek_channel_keys *ek_channel_keys_new(const struct ek_channel_secret *secret,
					    struct ek_error *error)
{
	struct ek_channel_keys *keys = calloc(1, sizeof(*keys));

	if (!keys) {
		ek_error_set(error, "out of memory");
		return NULL;
	}
	ERR_clear_error();
	if (derive(secret, keys->psk))
		keys->context = make_context(keys);
	if (keys->context)
		return keys;
	ek_error_set(error, "the peer channel's TLS cannot be set up: %s",
		     ERR_reason_error_string(ERR_peek_error()) ?: "out of memory");
	ek_channel_keys_free(keys);
	return NULL;
}

void ek_channel_keys_free(struct ek_channel_keys *keys)
{
	if (!keys)
		return;
	SSL_CTX_free(keys->context);
	OPENSSL_cleanse(keys, sizeof(*keys));
	free(keys);
}

/* --- one connection ------------------------------------------------------------------------ */

/* What OpenSSL wants to send. */
static bool flush(struct ek_channel_tls *tls, struct evbuffer *wire)
{
	char chunk[EK_CHANNEL_RECORD_MAX];
	int n;

	while ((n = BIO_read(tls->out, chunk, sizeof(chunk))) > 0)
		if (evbuffer_add(wire, chunk, n))
			return false;
	return true;
}

/* A wrong key shows as any of these, by which side finds it and by what the other is told. */
static bool of_the_secret(int reason)
{
	switch (reason) {
	case SSL_R_BINDER_DOES_NOT_VERIFY:
	case SSL_R_BAD_PSK:
	case SSL_R_BAD_PSK_IDENTITY:
	case SSL_R_PSK_IDENTITY_NOT_FOUND:
	case SSL_R_DIGEST_CHECK_FAILED:
	case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
	case SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER:
	case SSL_R_SSLV3_ALERT_BAD_RECORD_MAC:
	case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
	case SSL_R_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY:
		return true;
	default:
		return false;
	}
}

static const char *failure(struct ek_channel_tls *tls, int result)
{
	int kind = SSL_get_error(tls->ssl, result), reason = ERR_GET_REASON(ERR_peek_error());

	if (kind == SSL_ERROR_ZERO_RETURN)
		return "closed by the peer";
	if (kind != SSL_ERROR_SSL)
		return "TLS failed";
	if (!tls->ready && of_the_secret(reason)) {
		tls->refused = true;
		return "wrong secret";
	}
	/* Certificates are what a peer without our key would fall back to. */
	if (!tls->ready &&
	    (reason == SSL_R_NO_SHARED_CIPHER || reason == SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM ||
	     reason == SSL_R_CERTIFICATE_VERIFY_FAILED ||
	     reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE)) {
		tls->refused = true;
		return "not a peer: it has no pre-shared key";
	}
	if (tls->ready)
		return "TLS: a record that is not the peer's";
	return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST
		       ? "not a peer: it does not speak TLS"
		       : ERR_reason_error_string(ERR_peek_error()) ?: "TLS failed";
}

static bool only_waits(const struct ek_channel_tls *tls, int result)
{
	return SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ;
}

/* NULL, also while the handshake goes on. */
static const char *shake_hands(struct ek_channel_tls *tls)
{
	int result = SSL_do_handshake(tls->ssl);

	if (result != 1)
		return only_waits(tls, result) ? NULL : failure(tls, result);
	/* The PSK counts as a resumption. Without it, nobody has proved anything. */
	if (!SSL_session_reused(tls->ssl)) {
		tls->refused = true;
		return "not a peer: it has no pre-shared key";
	}
	tls->ready = true;
	return NULL;
}

static const char *decrypt(struct ek_channel_tls *tls, struct evbuffer *plain)
{
	char chunk[EK_CHANNEL_RECORD_MAX];
	int n;

	while ((n = SSL_read(tls->ssl, chunk, sizeof(chunk))) > 0)
		if (evbuffer_add(plain, chunk, n))
			return "out of memory";
	return only_waits(tls, n) ? NULL : failure(tls, n);
}

struct ek_channel_tls *ek_channel_tls_new(struct ek_channel_keys *keys, bool client,
					  struct evbuffer *wire)
{
	struct ek_channel_tls *tls = calloc(1, sizeof(*tls));

	if (!tls)
		return NULL;
	tls->ssl = SSL_new(keys->context);
	tls->in = BIO_new(BIO_s_mem());
	tls->out = BIO_new(BIO_s_mem());
	if (!tls->ssl || !tls->in || !tls->out) {
		BIO_free(tls->in);
		BIO_free(tls->out);
		SSL_free(tls->ssl);
		free(tls);
		return NULL;
	}
	SSL_set_bio(tls->ssl, tls->in, tls->out);
	if (client) {
		/* No authority is known, so no certificate will do. */
		SSL_set_verify(tls->ssl, SSL_VERIFY_PEER, NULL);
		SSL_set_connect_state(tls->ssl);
	} else {
		SSL_set_accept_state(tls->ssl);
	}
	ERR_clear_error();
	if ((client && shake_hands(tls)) || !flush(tls, wire)) {
		ek_channel_tls_free(tls);
		return NULL;
	}
	return tls;
}

void ek_channel_tls_free(struct ek_channel_tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	free(tls);
}

const char *ek_channel_tls_feed(struct ek_channel_tls *tls, const void *bytes, size_t length,
				struct evbuffer *plain, struct evbuffer *wire)
{
	const char *why = NULL;

	ERR_clear_error();
	if (BIO_write(tls->in, bytes, length) != (int)length)
		return "out of memory";
	if (!tls->ready)
		why = shake_hands(tls);
	if (tls->ready && !why)
		why = decrypt(tls, plain);
	if (!flush(tls, wire) && !why)
		why = "out of memory";
	ERR_clear_error();
	return why;
}

static bool write_record(struct ek_channel_tls *tls, const void *plain, size_t length)
{
	if (++tls->records % RECORDS_PER_KEY == 0 &&
	    SSL_key_update(tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
		return false;
	return SSL_write(tls->ssl, plain, length) == (int)length;
}

int ek_channel_tls_write(struct ek_channel_tls *tls, const void *plain, size_t length,
			 struct evbuffer *wire)
{
	const uint8_t *at = plain;

	ERR_clear_error();
	while (length) {
		size_t chunk = length < EK_CHANNEL_RECORD_MAX ? length : EK_CHANNEL_RECORD_MAX;

		if (!write_record(tls, at, chunk))
			return -EPROTO;
		if (!flush(tls, wire))
			return -ENOMEM;
		at += chunk;
		length -= chunk;
	}
	return 0;
}

bool ek_channel_tls_ready(const struct ek_channel_tls *tls)
{
	return tls->ready;
}

bool ek_channel_tls_refused(const struct ek_channel_tls *tls)
{
	return tls->refused;
}
