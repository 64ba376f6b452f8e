/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HTTP check against libevent's server, against a listener that plays a script, and against a
 * TLS server; on 127.0.0.1 and ::1.
 */
#include <pthread.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include "check_fixture.h"

/* --- HTTP, against libevent's server ------------------------------------------------ */

static void serve(struct evhttp_request *request, void *arg)
{
	const char *path = evhttp_request_get_uri(request);
	struct evbuffer *body = evbuffer_new();

	(void)arg;
	evbuffer_add_printf(body, "status=ACTIVE path=%s host=%s", path,
			    evhttp_find_header(evhttp_request_get_input_headers(request), "Host"));
	if (strcmp(path, "/moved") == 0)
		evhttp_add_header(evhttp_request_get_output_headers(request), "Location", "/");
	if (strcmp(path, "/nul") == 0)
		evbuffer_add(body, "\0\nbeyond", 8);
	evhttp_send_reply(request,
			  strcmp(path, "/503") == 0	? 503
			  : strcmp(path, "/moved") == 0 ? 302
							: 200,
			  "text", body);
	evbuffer_free(body);
}

static struct evhttp *serve_on(struct fixture *f, const char *address, in_port_t *port)
{
	struct evhttp *server = evhttp_new(f->base);

	evhttp_set_gencb(server, serve, NULL);
	assert_int_equal(evhttp_accept_socket(server, listen_on(address, port, 1000)), 0);
	return server;
}

static const struct {
	const char *description, *path, *body;
	unsigned int low, high;
	enum ek_health_state state;
	const char *why;
} answers[] = {
	{"status only", "/", "", 200, 200, EK_HEALTH_UP, "HTTP 200 in "},
	{"503", "/503", "", 200, 200, EK_HEALTH_DOWN, "HTTP 503, expected 200"},
	{"503 beside a range", "/503", "", 200, 299, EK_HEALTH_DOWN, "HTTP 503, expected 200-299"},
	{"503 where it is wanted", "/503", "", 503, 503, EK_HEALTH_UP, "HTTP 503 in "},
	{"a redirect is not followed", "/moved", "", 200, 200, EK_HEALTH_DOWN,
	 "HTTP 302, expected 200"},
	{"body matches", "/", "^status=(UP|ACTIVE) ", 200, 200, EK_HEALTH_UP, "HTTP 200 in "},
	{"body does not match", "/", "status=DOWN", 200, 200, EK_HEALTH_DOWN,
	 "HTTP 200, body does not match"},
	{"body behind a NUL", "/nul", "beyond$", 200, 200, EK_HEALTH_UP, "HTTP 200 in "},
	{"the path is sent as it is", "/a/../b?c=%20#d", "path=/a/\\.\\./b\\?c=%20#d ", 200, 200,
	 EK_HEALTH_UP, "HTTP 200 in "},
};

static void test_http_answers(void **state)
{
	static const char *const addresses[] = {"127.0.0.1", "::1"};
	struct fixture *f = *state;

	for (size_t a = 0; a < 2; a++) {
		in_port_t port;
		struct evhttp *server = serve_on(f, addresses[a], &port);

		for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
			struct ek_config_check config = http;

			strcpy(config.path, answers[i].path);
			strcpy(config.body, answers[i].body);
			config.status_low = answers[i].low;
			config.status_high = answers[i].high;
			expect(f,
			       start_at(f, &config, addresses[a], port, "192.0.2.1",
					EK_HEALTH_UNKNOWN),
			       answers[i].description, answers[i].state, answers[i].why);
		}
		evhttp_free(server);
	}
}

static void test_http_host(void **state)
{
	static const struct {
		const char *vip, *host, *header; /* %u: the port */
	} rows[] = {
		{"192.0.2.1", "", "192.0.2.1:%u"},
		{"2001:db8::1", "", "[2001:db8::1]:%u"},
		{"192.0.2.1", "www.example.org", "www.example.org"},
		{"192.0.2.1", "www.example.org:8443", "www.example.org:8443"},
		{"192.0.2.1", "198.51.100.1", "198.51.100.1"},
		{"192.0.2.1", "2001:db8::2", "[2001:db8::2]"},
		{"192.0.2.1", "[2001:db8::2]:8443", "[2001:db8::2]:8443"},
	};
	struct fixture *f = *state;
	in_port_t port;
	struct evhttp *server = serve_on(f, "127.0.0.1", &port);

	/* Nobody asks these. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ek_config_check config = http;
		char header[64], *out = config.body;

		strcpy(config.host, rows[i].host);
		snprintf(header, sizeof(header), rows[i].header, port);
		out += sprintf(out, "host=");
		for (const char *in = header; *in; in++) {
			if (strchr("[].", *in))
				*out++ = '\\';
			*out++ = *in;
		}
		strcpy(out, "$");
		expect(f, start_at(f, &config, "127.0.0.1", port, rows[i].vip, EK_HEALTH_UNKNOWN),
		       header, EK_HEALTH_UP, "HTTP 200 in ");
	}
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	evhttp_free(server);
}

static void test_http_refused(void **state)
{
	struct fixture *f = *state;
	in_port_t port = 0;
	int fd = bind_to("127.0.0.1", &port);

	expect(f, start(f, &http, port), "refused", EK_HEALTH_DOWN, "connection refused");
	close(fd);
}

static void test_unusable_host_is_not_the_backends_fault(void **state)
{
	struct ek_config_check config = http;

	strcpy(config.host, "no such host");
	expect_not_checked(*state, start(*state, &config, 80),
			   "not checked: URL using bad/illegal format or missing URL");
}

/* --- against a script --------------------------------------------------------------- */

static const struct {
	const char *description, *head;
	size_t filler;
	const char *tail;
	enum after after;
	const char *body;
	enum ek_health_state state;
	const char *why;
} scripts[] = {
	{"closes at once", "", 0, "", CLOSE, "", EK_HEALTH_DOWN,
	 "connection closed without an answer"},
	{"never answers", "", 0, "", HOLD, "", EK_HEALTH_DOWN, "timed out after 60 ms"},
	{"garbage", "\x16\x03garbage\r\n\r\n", 0, "", CLOSE, "", EK_HEALTH_DOWN,
	 "the answer is not HTTP"},
	{"another protocol's greeting", "220 mail.example.org ESMTP\r\n", 0, "", HOLD, "",
	 EK_HEALTH_DOWN, "the answer is not HTTP"},
	{"a status line that is none", "HTTP/1.1 banana\r\n\r\n", 0, "", CLOSE, "", EK_HEALTH_DOWN,
	 ""},
	{"closes within the headers", OK_HEAD "Content-", 0, "", CLOSE, "", EK_HEALTH_DOWN,
	 "connection closed within the answer"},
	{"closes after the status line", OK_HEAD, 0, "", CLOSE, "", EK_HEALTH_DOWN,
	 "connection closed within the answer"},
	{"closes within the body", OK_HEAD "Content-Length: 100\r\n\r\n", 10, "", CLOSE, "",
	 EK_HEALTH_DOWN, "connection closed within the answer"},
	{"closes within a chunk", OK_HEAD "Transfer-Encoding: chunked\r\n\r\n64\r\n", 10, "", CLOSE,
	 "", EK_HEALTH_DOWN, "connection closed within the answer"},
	{"the wrong status says more than the early end",
	 "HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\n", 10, "", CLOSE, "", EK_HEALTH_DOWN,
	 "HTTP 500, expected 200-299"},
	{"the end of the connection ends the body", OK_HEAD "\r\n", 10, "y", CLOSE, "^x+y$",
	 EK_HEALTH_UP, "HTTP 200 in "},
	{"an answer that drips", OK_HEAD "Content-Length: 9999999\r\n\r\n", 0, "x", DRIP, "",
	 EK_HEALTH_DOWN, ""},
	{"headers that never end", OK_HEAD "X: ", 0, "x", DRIP, "", EK_HEALTH_DOWN, ""},
	{"the body says it to the last byte that is kept", OK_HEAD "\r\n", 65530, "ACTIVE", CLOSE,
	 "ACTIVE", EK_HEALTH_UP, "HTTP 200 in "},
	{"the body says it one byte later", OK_HEAD "\r\n", 65531, "ACTIVE", CLOSE, "ACTIVE",
	 EK_HEALTH_DOWN, "HTTP 200, body does not match"},
	{"only the beginning of a long body counts, and nothing waits for the rest",
	 OK_HEAD "Content-Length: 9999999\r\n\r\nACTIVE", 200000, "", HOLD, "^ACTIVEx",
	 EK_HEALTH_UP, "HTTP 200 in "},
	{"a long body that nobody reads", OK_HEAD "Content-Length: 9999999\r\n\r\n", 200000, "",
	 HOLD, "", EK_HEALTH_UP, "HTTP 200 in "},
};

static void test_http_scripts(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct script script = {.head = scripts[i].head,
					.filler = scripts[i].filler,
					.tail = scripts[i].tail,
					.after = scripts[i].after};
		in_port_t port = script_start(f, &script);
		struct ek_config_check config = http;

		strcpy(config.body, scripts[i].body);
		if (scripts[i].state == EK_HEALTH_DOWN && script.after != CLOSE)
			config.timeout = strstr(scripts[i].why, "timed") ? 60 : 500;
		expect(f, start(f, &config, port), scripts[i].description, scripts[i].state,
		       scripts[i].why);
		script_stop(f, &script);
	}
}

/* --- HTTPS -------------------------------------------------------------------------- */

struct tls {
	int listener;
	char sni[64];
};

static SSL_CTX *tls_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();

	X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
	X509_gmtime_adj(X509_getm_notAfter(certificate), -3600); /* expired: nobody looks */
	X509_set_pubkey(certificate, key);
	X509_sign(certificate, key, EVP_sha256());
	SSL_CTX_use_certificate(context, certificate);
	SSL_CTX_use_PrivateKey(context, key);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return context;
}

/* Serves one connection, from a thread of its own: SSL_accept() blocks. */
static void *tls_serve(void *arg)
{
	static const char answer[] = OK_HEAD "Content-Length: 2\r\n\r\nOK";
	struct tls *tls = arg;
	SSL_CTX *context = tls_context();
	SSL *ssl = SSL_new(context);
	int fd = accept(tls->listener, NULL, NULL);
	char request[1024];

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1 && SSL_read(ssl, request, sizeof(request)) > 0) {
		const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

		snprintf(tls->sni, sizeof(tls->sni), "%s", sni ? sni : "none");
		SSL_write(ssl, answer, sizeof(answer) - 1);
	}
	SSL_free(ssl);
	SSL_CTX_free(context);
	close(fd);
	return NULL;
}

static void test_https(void **state)
{
	static const char *const hosts[][2] = {{"www.example.org", "www.example.org"},
					       {"", "none"}};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		struct ek_config_check config = http;
		struct tls tls = {0};
		in_port_t port;
		pthread_t thread;

		config.type = EK_CHECK_HTTPS;
		strcpy(config.host, hosts[i][0]);
		strcpy(config.body, "^OK$");
		tls.listener = listen_on("127.0.0.1", &port, 16);
		fcntl(tls.listener, F_SETFL, 0); /* blocking */
		assert_int_equal(pthread_create(&thread, NULL, tls_serve, &tls), 0);
		expect(f, start(f, &config, port), "https", EK_HEALTH_UP, "HTTP 200 in ");
		pthread_join(thread, NULL);
		assert_string_equal(tls.sni, hosts[i][1]);
		close(tls.listener);
	}
}

static void test_https_toward_http(void **state)
{
	struct fixture *f = *state;
	struct script script = {.head = "HTTP/1.1 400 Bad\r\n\r\n", .tail = "", .after = CLOSE};
	in_port_t port = script_start(f, &script);
	struct ek_config_check config = http;

	config.type = EK_CHECK_HTTPS;
	expect(f, start(f, &config, port), "https toward http", EK_HEALTH_DOWN,
	       "TLS handshake failed");
	script_stop(f, &script);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_http_answers),	   T(test_http_host),
		T(test_http_refused),	   T(test_unusable_host_is_not_the_backends_fault),
		T(test_http_scripts),	   T(test_https),
		T(test_https_toward_http),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
