/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HTTP and HTTPS check: one GET on a connection of its own, judged by status and, if the
 * configuration says so, by the body. health.c calls it through ek_check_http_ops.
 *
 * libcurl's multi interface runs on our event loop: it says which sockets it waits for and when
 * it wants to be woken (watch_socket, watch_clock), we tell it what happened (on_ready,
 * on_clock), and collect() takes what is finished. The transfer's deadline is the engine's.
 *
 * The URL names the configured host (or the VIP), so that Host (RFC 9110 section 7.2) and SNI are
 * what a client would send, while CURLOPT_CONNECT_TO leads the connection to the backend. No
 * name is ever resolved, no redirect followed, no proxy asked. A check tests whether a backend
 * known by its address is alive, not who it is: TLS certificates are not verified.
 */
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <curl/curl.h>
#include <event2/event.h>
#include "checker.h"
#include "ip.h"

#define BODY_MAX 65536 /* bytes of a body that are looked at */
#define URL_MAX	 (sizeof("https://[]:65535/") + 256)

struct http {
	struct event_base *base;
	CURLM *multi;
	struct event *clock;
	struct curl_slist *headers;
};

struct http_run {
	struct ek_probe *probe;
	struct http *http;
	CURL *easy;
	struct curl_slist *connect_to;
	int socket_error; /* errno of the socket that could not be made */
	unsigned int status_low, status_high;
	bool complete_headers;
	bool full;     /* the body is longer than BODY_MAX */
	size_t length; /* of the body so far */
	char *body;    /* NULL unless there is something to find in it */
	regex_t pattern;
};

/* --- one transfer ------------------------------------------------------------------- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_run *run = arg;
	int fd = ek_probe_socket(address->family);

	(void)purpose;
	if (fd < 0)
		run->socket_error = errno;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* The blank line that ends the headers: libcurl is content with a connection closed before it. */
static size_t take_header(char *line, size_t size, size_t n, void *arg)
{
	struct http_run *run = arg;

	if (line[0] == '\r' || line[0] == '\n')
		run->complete_headers = true;
	return size * n;
}

/* Stops the transfer once no further byte can change the answer. */
static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_run *run = arg;
	size_t room = BODY_MAX - run->length;
	size_t length = size * n < room ? size * n : room;

	run->full = size * n > room;
	if (run->body)
		memcpy(run->body + run->length, data, length);
	run->length += length;
	return run->full ? 0 : size * n;
}

static void release(struct http_run *run)
{
	run->probe->run = NULL;
	if (run->easy) {
		curl_multi_remove_handle(run->http->multi, run->easy);
		curl_easy_cleanup(run->easy);
	}
	curl_slist_free_all(run->connect_to);
	if (run->body)
		regfree(&run->pattern);
	free(run->body);
	free(run);
}

static void cancel(struct ek_probe *probe)
{
	release(probe->run);
}

/* --- the answer --------------------------------------------------------------------- */

static bool body_matches(const struct http_run *run)
{
	regmatch_t range = {.rm_so = 0, .rm_eo = run->length};

	return regexec(&run->pattern, run->body, 1, &range, REG_STARTEND) == 0;
}

static const char *failure_text(CURLcode code)
{
	switch (code) {
	case CURLE_GOT_NOTHING:
		return "connection closed without an answer";
	case CURLE_PARTIAL_FILE:
		return "connection closed within the answer";
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
		return "connection broke";
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		return "the answer is not HTTP";
	case CURLE_SSL_CONNECT_ERROR:
		return "TLS handshake failed";
	default:
		return curl_easy_strerror(code);
	}
}

static void judge_failure(struct http_run *run, CURLcode code)
{
	enum ek_verdict verdict = EK_VERDICT_FAIL;
	long error = 0;

	curl_easy_getinfo(run->easy, CURLINFO_OS_ERRNO, &error);
	if (run->socket_error)
		error = run->socket_error;
	if (code == CURLE_COULDNT_CONNECT && error) {
		ek_probe_error(run->probe, error);
		return;
	}
	if (code == CURLE_OUT_OF_MEMORY || code == CURLE_FAILED_INIT || code == CURLE_URL_MALFORMAT)
		verdict = EK_VERDICT_NOT_CHECKED;
	ek_probe_done(run->probe, verdict, "%s", failure_text(code));
}

static void judge_status(struct http_run *run, long status)
{
	if (run->status_low == run->status_high)
		ek_probe_done(run->probe, EK_VERDICT_FAIL, "HTTP %ld, expected %u", status,
			      run->status_low);
	else
		ek_probe_done(run->probe, EK_VERDICT_FAIL, "HTTP %ld, expected %u-%u", status,
			      run->status_low, run->status_high);
}

static void judge(struct http_run *run, CURLcode code)
{
	long status = 0;

	if (run->full)
		code = CURLE_OK;
	else if (code == CURLE_OK && !run->complete_headers)
		code = CURLE_PARTIAL_FILE;
	curl_easy_getinfo(run->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status && (status < run->status_low || status > run->status_high))
		judge_status(run, status);
	else if (code != CURLE_OK)
		judge_failure(run, code);
	else if (run->body && !body_matches(run))
		ek_probe_done(run->probe, EK_VERDICT_FAIL, "HTTP %ld, body does not match", status);
	else
		ek_probe_done(run->probe, EK_VERDICT_PASS, "HTTP %ld", status);
}

/* --- libcurl and the event loop ----------------------------------------------------- */

static void collect(struct http *http)
{
	struct http_run *run;
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left))) {
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &run);
		judge(run, message->data.result);
		release(run);
	}
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct http *http = arg;
	int running;

	curl_multi_socket_action(http->multi, fd,
				 (what & EV_READ ? CURL_CSELECT_IN : 0) |
					 (what & EV_WRITE ? CURL_CSELECT_OUT : 0),
				 &running);
	collect(http);
}

static void on_clock(evutil_socket_t fd, short what, void *arg)
{
	struct http *http = arg;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(http);
}

/*
 * `event` is what curl_multi_assign() attached to this socket. A failure here is not passed on:
 * libcurl would give up the whole multi handle, where now one check meets its deadline.
 */
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *event)
{
	struct http *http = arg;
	short events = (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);

	(void)easy;
	if (event)
		event_free(event);
	event = NULL;
	if (what != CURL_POLL_REMOVE)
		event = event_new(http->base, fd, events | EV_PERSIST, on_ready, http);
	if (event)
		event_add(event, NULL);
	curl_multi_assign(http->multi, fd, event);
	return 0;
}

static int watch_clock(CURLM *multi, long ms, void *arg)
{
	struct http *http = arg;
	struct timeval delay = {ms / 1000, ms % 1000 * 1000};

	(void)multi;
	if (ms < 0)
		evtimer_del(http->clock);
	else
		evtimer_add(http->clock, &delay);
	return 0;
}

static void close_shared(void *shared)
{
	struct http *http = shared;

	if (http->multi)
		curl_multi_cleanup(http->multi);
	if (http->clock)
		event_free(http->clock);
	curl_slist_free_all(http->headers);
	free(http);
	curl_global_cleanup();
}

static void *open_shared(struct event_base *base)
{
	struct http *http;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return NULL;
	http = calloc(1, sizeof(*http));
	if (!http) {
		curl_global_cleanup();
		return NULL;
	}
	http->base = base;
	http->multi = curl_multi_init();
	http->clock = evtimer_new(base, on_clock, http);
	/* RFC 9112 section 9.6: a client that keeps no connection says so. */
	http->headers = curl_slist_append(NULL, "Connection: close");
	if (!http->multi || !http->clock || !http->headers) {
		close_shared(http);
		return NULL;
	}
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, watch_clock);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	return http;
}

/* --- the question ------------------------------------------------------------------- */

/* An IPv6 literal in the brackets that URLs want (RFC 3986 section 3.2.2). */
static void bracket(const struct ek_ip *ip, const char *text, char *out, size_t size)
{
	snprintf(out, size, ek_ip_family(ip) == AF_INET6 ? "[%s]" : "%s", text);
}

static void format_url(const struct ek_probe *probe, char url[URL_MAX])
{
	const struct ek_config_check *config = probe->config;
	const char *scheme = config->type == EK_CHECK_HTTPS ? "https" : "http";
	char text[EK_IP_TEXT], host[EK_IP_TEXT + 2];
	struct ek_ip literal;

	if (!config->host[0]) {
		bracket(&probe->vip, ek_ip_format(&probe->vip, text), host, sizeof(host));
		snprintf(url, URL_MAX, "%s://%s:%u/", scheme, host, probe->port);
	} else if (ek_ip_parse(config->host, &literal) == 0) {
		bracket(&literal, config->host, host, sizeof(host));
		snprintf(url, URL_MAX, "%s://%s/", scheme, host);
	} else {
		snprintf(url, URL_MAX, "%s://%s/", scheme, config->host);
	}
}

/* "::ADDRESS:PORT": whatever host and port the URL names, connect there. */
static struct curl_slist *format_connect_to(const struct ek_probe *probe)
{
	char text[EK_IP_TEXT], host[EK_IP_TEXT + 2], entry[EK_IP_TEXT + sizeof("::[]:65535")];

	bracket(&probe->target, ek_ip_format(&probe->target, text), host, sizeof(host));
	snprintf(entry, sizeof(entry), "::%s:%u", host, probe->port);
	return curl_slist_append(NULL, entry);
}

static int set_options(struct http_run *run, const struct ek_config_check *config)
{
	CURL *easy = run->easy;
	char url[URL_MAX];
	int failed = 0;

	format_url(run->probe, url);
	failed |= curl_easy_setopt(easy, CURLOPT_PRIVATE, run);
	failed |= curl_easy_setopt(easy, CURLOPT_URL, url);
	failed |= curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, config->path); /* sent as it is */
	failed |= curl_easy_setopt(easy, CURLOPT_CONNECT_TO, run->connect_to);
	failed |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	failed |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	failed |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, run->http->headers);
	failed |= curl_easy_setopt(easy, CURLOPT_USERAGENT, "evenkeel-check");
	failed |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	failed |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
	failed |= curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	failed |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* A dead listener must be noticed: no connection or TLS session outlives its check. */
	failed |= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	failed |= curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	failed |= curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	failed |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
	failed |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	/* Not even read: loading the system's authorities would hold up the loop. */
	failed |= curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
	failed |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	failed |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	failed |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, run);
	failed |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	failed |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, run);
	failed |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	failed |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, run);
	return failed ? -ENOMEM : 0;
}

/* Compiles what is to be found. The configuration was checked: this can fail only for memory. */
static int set_pattern(struct http_run *run, const char *pattern)
{
	if (!pattern[0])
		return 0;
	run->body = calloc(1, BODY_MAX + 1); /* a string, although REG_STARTEND allows for less */
	if (!run->body)
		return -ENOMEM;
	if (regcomp(&run->pattern, pattern, REG_EXTENDED | REG_NOSUB) == 0)
		return 0;
	free(run->body);
	run->body = NULL;
	return -ENOMEM;
}

static void begin(struct ek_probe *probe)
{
	struct http_run *run = calloc(1, sizeof(*run));

	if (!run) {
		ek_probe_error(probe, ENOMEM);
		return;
	}
	probe->run = run;
	run->probe = probe;
	run->http = probe->shared;
	run->status_low = probe->config->status_low;
	run->status_high = probe->config->status_high;
	run->connect_to = format_connect_to(probe);
	run->easy = curl_easy_init();
	if (run->connect_to && run->easy && set_pattern(run, probe->config->body) == 0 &&
	    set_options(run, probe->config) == 0 &&
	    curl_multi_add_handle(run->http->multi, run->easy) == CURLM_OK)
		return;
	release(run);
	ek_probe_error(probe, ENOMEM);
}

const struct ek_checker_ops ek_check_http_ops = {
	.open = open_shared,
	.close = close_shared,
	.begin = begin,
	.cancel = cancel,
};
