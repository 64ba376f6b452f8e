/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The peer channel: nodes in one process, on 127.0.x.y with one port for all, and "raw" peers that
 * speak its TLS and frames themselves, so that they can misbehave.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "channel_private.h"
#include "ip.h"
#include "log.h"

#define DEADLINE_MS 20000
#define PING_MS	    50
#define DEAD_MS	    1000
#define RETRY_MS    50
#define PATIENT_MS  60000 /* for raw peers, which do not ping */
#define SECRET	    "correct horse battery staple"

/* --- time ---------------------------------------------------------------------------------- */

static struct event_base *base;
static in_port_t port;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

static void turn(struct event_base *of)
{
	static const struct timeval pause = {.tv_usec = 5000};

	event_base_loopexit(of, &pause);
	event_base_loop(of, EVLOOP_ONCE);
}

#define UNTIL(condition)                                                           \
	for (uint64_t end_ = now_ms() + DEADLINE_MS; !(condition);) {              \
		if (now_ms() > end_)                                               \
			fail_msg("line %d: never came: %s", __LINE__, #condition); \
		turn(base);                                                        \
	}

/* As long as that, and the condition holds all the time. */
#define HOLDS_FOR(ms, condition)                                           \
	for (uint64_t end_ = now_ms() + (ms); now_ms() < end_; turn(base)) \
		if (!(condition))                                          \
	fail_msg("line %d: no longer holds: %s", __LINE__, #condition)

/* --- nodes --------------------------------------------------------------------------------- */

struct node {
	const char *name;
	struct event_base *base;
	struct ek_config_ha ha;
	struct ek_channel_secret secret;
	const char *hello, *refuse; /* refuse: what check() says */
	struct ek_channel *channel;
	unsigned int dead_ms; /* 0: DEAD_MS */
	size_t checks, ups[EK_PEERS_MAX], downs[EK_PEERS_MAX], messages[EK_PEERS_MAX];
	uint32_t expected[EK_PEERS_MAX]; /* number of the next message */
	size_t bytes;
	bool out_of_order, reject;
};

static struct ek_ip ip_of(const char *text)
{
	struct ek_ip ip;

	assert_int_equal(ek_ip_parse(text, &ip), 0);
	return ip;
}

static struct node make_node(const char *name, const char *first, const char *second)
{
	struct node node = {.name = name, .base = base, .hello = "hi", .ha.port = port};

	node.ha.addresses[node.ha.n_addresses++] = ip_of(first);
	if (second)
		node.ha.addresses[node.ha.n_addresses++] = ip_of(second);
	node.secret.length = sizeof(SECRET) - 1;
	memcpy(node.secret.bytes, SECRET, sizeof(SECRET) - 1);
	return node;
}

static struct ek_config_peer *add_peer(struct node *node, const struct node *other)
{
	struct ek_config_peer *peer = &node->ha.peers[node->ha.n_peers++];

	snprintf(peer->name, sizeof(peer->name), "%s", other->name);
	memcpy(peer->addresses, other->ha.addresses, sizeof(peer->addresses));
	peer->n_addresses = other->ha.n_addresses;
	peer->channel = true;
	return peer;
}

static void acquaint(struct node *a, struct node *b)
{
	add_peer(a, b);
	add_peer(b, a);
}

static const char *on_check(void *arg, size_t peer, const void *hello, size_t length)
{
	struct node *node = arg;

	assert_true(peer < node->ha.n_peers);
	assert_int_equal(length, 2);
	assert_memory_equal(hello, "hi", 2);
	node->checks++;
	return node->refuse;
}

static void on_up(void *arg, size_t peer)
{
	struct node *node = arg;

	assert_int_equal(node->ups[peer]++, node->downs[peer]);
	assert_true(ek_channel_is_up(node->channel, peer));
	node->expected[peer] = 0;
}

static void on_down(void *arg, size_t peer)
{
	struct node *node = arg;

	assert_int_equal(++node->downs[peer], node->ups[peer]);
	assert_false(ek_channel_is_up(node->channel, peer));
	assert_int_equal(ek_channel_send(node->channel, peer, 1, "x", 1), -ENOTCONN);
}

static void on_message(void *arg, size_t peer, uint8_t type, const void *body, size_t length)
{
	const uint8_t *bytes = body;
	struct node *node = arg;
	uint32_t number = 0;

	assert_true(node->ups[peer] > node->downs[peer]);
	node->messages[peer]++;
	node->bytes += length;
	if (node->reject) {
		ek_channel_reject(node->channel, peer, "makes no sense");
		assert_false(ek_channel_is_up(node->channel, peer));
		return;
	}
	if (length < sizeof(number))
		return;
	memcpy(&number, body, sizeof(number));
	node->out_of_order |= number != node->expected[peer]++ || type != number % 240 ||
			      bytes[length - 1] != (uint8_t)(length > 4 ? length : number >> 24);
}

static void start(struct node *node)
{
	struct ek_channel_options options = {
		.node = node->name,
		.secret = &node->secret,
		.ha = &node->ha,
		.hello = node->hello,
		.hello_length = strlen(node->hello),
		.ping_ms = PING_MS,
		.dead_ms = node->dead_ms ?: DEAD_MS,
		.retry_ms = RETRY_MS,
		.check = on_check,
		.up = on_up,
		.down = on_down,
		.message = on_message,
		.arg = node,
	};
	struct ek_error error = {0};

	node->channel = ek_channel_new(node->base, &options, &error);
	if (!node->channel)
		fail_msg("%s", error.text);
}

static void stop(struct node *node)
{
	ek_channel_free(node->channel);
	node->channel = NULL;
	for (size_t i = 0; i < EK_PEERS_MAX; i++)
		node->downs[i] = node->ups[i];
}

static bool up(const struct node *node)
{
	return ek_channel_is_up(node->channel, 0);
}

static struct ek_channel_link_status link_of(const struct node *node, size_t i)
{
	return ek_channel_link(node->channel, 0, i);
}

static bool link_is(const struct node *node, size_t i, enum ek_channel_state state, bool active)
{
	struct ek_channel_link_status status = link_of(node, i);

	return status.state == state && status.active == active;
}

static bool why_is(const struct node *node, size_t i, const char *why)
{
	return !strcmp(link_of(node, i).why, why);
}

static bool refused(const struct node *node, const char *why)
{
	return link_is(node, 0, EK_CHANNEL_REFUSED, false) && why_is(node, 0, why);
}

/* As on_message() expects it. */
static int send_number(struct node *node, size_t peer, uint32_t number, size_t length)
{
	static uint8_t body[EK_CHANNEL_MESSAGE_MAX];

	assert_in_range(length, sizeof(number), sizeof(body));
	memset(body, (uint8_t)length, length);
	memcpy(body, &number, sizeof(number));
	return ek_channel_send(node->channel, peer, number % 240, body, length);
}

/* --- raw peers ----------------------------------------------------------------------------- */

struct raw {
	int fd;
	struct ek_channel_keys *keys;
	struct ek_channel_tls *tls;
	struct evbuffer *wire, *plain;
	bool ended;
	const char *why;
};

static int raw_socket(const char *from, bool listening)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	struct ek_ip ip = ip_of(from);
	struct sockaddr_storage address;
	socklen_t length = ek_ip_sockaddr(&ip, listening ? port : 0, &address);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	if (listening)
		assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static int raw_connect(const char *from, const char *to)
{
	struct ek_ip ip = ip_of(to);
	struct sockaddr_storage address;
	socklen_t length = ek_ip_sockaddr(&ip, port, &address);
	int fd = raw_socket(from, false);

	assert_true(connect(fd, (struct sockaddr *)&address, length) == 0 || errno == EINPROGRESS);
	return fd;
}

static struct raw make_raw(int fd, bool client)
{
	struct ek_channel_secret secret = {.length = sizeof(SECRET) - 1};
	struct raw raw = {.fd = fd, .wire = evbuffer_new(), .plain = evbuffer_new()};
	struct ek_error error = {0};

	memcpy(secret.bytes, SECRET, secret.length);
	raw.keys = ek_channel_keys_new(&secret, &error);
	raw.tls = ek_channel_tls_new(raw.keys, client, raw.wire);
	assert_non_null(raw.tls);
	return raw;
}

static void free_raw(struct raw *raw)
{
	ek_channel_tls_free(raw->tls);
	ek_channel_keys_free(raw->keys);
	evbuffer_free(raw->wire);
	evbuffer_free(raw->plain);
	close(raw->fd);
}

static void raw_turn(struct raw *raw)
{
	char bytes[EK_CHANNEL_RECORD_MAX];
	ssize_t n;

	while (!raw->ended && evbuffer_get_length(raw->wire) &&
	       evbuffer_write(raw->wire, raw->fd) > 0)
		;
	while (!raw->ended && (n = read(raw->fd, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
			return;
		if (n < 0)
			break;
		if (!raw->why)
			raw->why = ek_channel_tls_feed(raw->tls, bytes, n, raw->plain, raw->wire);
	}
	raw->ended = true;
}

#define RAW_UNTIL(raw, condition) UNTIL((raw_turn(raw), (condition)))

static void raw_send(struct raw *raw, uint8_t type, const void *body, size_t length)
{
	uint8_t header[EK_CHANNEL_HEADER];

	ek_channel_frame_header(header, type, length);
	assert_int_equal(ek_channel_tls_write(raw->tls, header, sizeof(header), raw->wire), 0);
	if (length)
		assert_int_equal(ek_channel_tls_write(raw->tls, body, length, raw->wire), 0);
	raw_turn(raw);
}

/* Has a frame of this type come? Those before it, and it, are taken. */
static bool raw_got(struct raw *raw, uint8_t type, void *body)
{
	uint8_t *frame = evbuffer_pullup(raw->plain, -1);
	size_t available = evbuffer_get_length(raw->plain), length;

	while (available >= EK_CHANNEL_HEADER) {
		length = 4 + ((size_t)frame[1] << 16 | frame[2] << 8 | frame[3]);
		if (available < length)
			return false;
		uint8_t got = frame[4];

		if (got == type && body)
			memcpy(body, frame + EK_CHANNEL_HEADER, length - EK_CHANNEL_HEADER);
		evbuffer_drain(raw->plain, length);
		if (got == type)
			return true;
		frame = evbuffer_pullup(raw->plain, -1);
		available = evbuffer_get_length(raw->plain);
	}
	return false;
}

static struct ek_channel_hello raw_hello(const char *name, uint64_t instance)
{
	struct ek_channel_hello hello = {.version_min = EK_CHANNEL_VERSION,
					 .version_max = EK_CHANNEL_VERSION,
					 .instance = instance,
					 .caller = "hi",
					 .caller_length = 2};

	snprintf(hello.node, sizeof(hello.node), "%s", name);
	return hello;
}

static void raw_send_hello(struct raw *raw, const struct ek_channel_hello *hello)
{
	uint8_t body[EK_CHANNEL_BODY_OWN];

	RAW_UNTIL(raw, ek_channel_tls_ready(raw->tls));
	raw_send(raw, EK_FRAME_HELLO, body, ek_channel_hello_encode(hello, body));
}

static void raw_greet(struct raw *raw, const char *name, uint64_t instance)
{
	struct ek_channel_hello hello = raw_hello(name, instance);

	raw_send_hello(raw, &hello);
	RAW_UNTIL(raw, raw_got(raw, EK_FRAME_ACCEPT, NULL));
	raw_send(raw, EK_FRAME_ACCEPT, NULL, 0);
}

static void raw_activate(struct raw *raw, uint64_t number)
{
	uint8_t body[8], answer[EK_CHANNEL_BODY_OWN];

	ek_channel_number_encode(number, body);
	raw_send(raw, EK_FRAME_ACTIVATE, body, sizeof(body));
	RAW_UNTIL(raw, raw_got(raw, EK_FRAME_ACTIVATED, answer));
	assert_memory_equal(answer, body, sizeof(body));
}

/* --- fixtures ------------------------------------------------------------------------------ */

/* "a" is the client of the two. */
struct pair {
	struct node a, b;
};

static int setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	base = event_base_new();
	pair->a = make_node("a", "127.0.1.1", "127.0.1.2");
	pair->b = make_node("b", "127.0.2.1", "127.0.2.2");
	acquaint(&pair->a, &pair->b);
	*state = pair;
	return 0;
}

static int teardown(void **state)
{
	struct pair *pair = *state;

	ek_channel_free(pair->a.channel);
	ek_channel_free(pair->b.channel);
	if (pair->b.base != base)
		event_base_free(pair->b.base);
	event_base_free(base);
	free(pair);
	return 0;
}

static void start_both(struct pair *pair)
{
	start(&pair->a);
	start(&pair->b);
	UNTIL(up(&pair->a) && up(&pair->b) && link_is(&pair->a, 1, EK_CHANNEL_UP, false) &&
	      link_is(&pair->b, 1, EK_CHANNEL_UP, false));
}

/* One address each, so that one link is the whole of it. */
static void single(struct pair *pair)
{
	pair->a.ha.n_addresses = pair->a.ha.peers[0].n_addresses = 1;
	pair->b.ha.n_addresses = pair->b.ha.peers[0].n_addresses = 1;
}

/* --- connecting ---------------------------------------------------------------------------- */

static void test_connects(void **state)
{
	struct pair *pair = *state;
	struct ek_ip a0 = ip_of("127.0.1.1"), a1 = ip_of("127.0.1.2"), b1 = ip_of("127.0.2.2");
	struct ek_channel_link_status status;

	assert_non_null(pair);
	start_both(pair);
	assert_int_equal(ek_channel_links(pair->a.channel, 0), 2);
	assert_int_equal(ek_channel_links(pair->b.channel, 0), 2);
	status = link_of(&pair->a, 1);
	assert_true(ek_ip_equal(&status.address, &b1));
	status = link_of(&pair->b, 1);
	assert_true(ek_ip_equal(&status.address, &a1));
	status = link_of(&pair->b, 0);
	assert_true(ek_ip_equal(&status.address, &a0));
	assert_int_equal(status.backlog, 0);
	assert_true(pair->a.checks == 2 && pair->b.checks == 2);
	assert_true(link_is(&pair->a, 0, EK_CHANNEL_UP, true) ||
		    link_is(&pair->a, 1, EK_CHANNEL_UP, true));
	/* Pings alone keep it so. */
	HOLDS_FOR(2 * DEAD_MS, up(&pair->a) && up(&pair->b));
	assert_int_equal(pair->a.ups[0], 1);
	assert_int_equal(pair->b.ups[0], 1);
	status = link_of(&pair->a, 0);
	assert_int_equal(status.sent, 0);
}

static void test_connects_later(void **state)
{
	struct pair *pair = *state;

	start(&pair->a);
	UNTIL(why_is(&pair->a, 0, "connection refused"));
	assert_true(link_is(&pair->a, 0, EK_CHANNEL_CONNECTING, false));
	start(&pair->b);
	UNTIL(up(&pair->a) && up(&pair->b));
	stop(&pair->a);
	UNTIL(!up(&pair->b));
	assert_int_equal(pair->b.downs[0], 1);
	HOLDS_FOR(3 * RETRY_MS, !up(&pair->b));
	start(&pair->a);
	UNTIL(up(&pair->a) && up(&pair->b));
	assert_int_equal(pair->b.ups[0], 2);
	/* And the server. */
	stop(&pair->b);
	UNTIL(!up(&pair->a));
	start(&pair->b);
	UNTIL(up(&pair->a) && up(&pair->b));
	assert_int_equal(pair->a.ups[0], 3);
}

/* Addresses differ in number: the links beyond the client's own leave from where the kernel says.
 */
static void test_uneven_addresses(void **state)
{
	struct pair *pair = *state;

	pair->a.ha.n_addresses = 1;
	add_peer(&pair->b, &pair->a); /* an unknown source would be a stranger */
	pair->b.ha.n_peers = 1;
	snprintf(pair->b.ha.peers[0].name, EK_NAME_MAX, "a");
	pair->b.ha.peers[0].addresses[1] = ip_of("127.0.0.1");
	pair->b.ha.peers[0].n_addresses = 2;
	start_both(pair);
	assert_int_equal(ek_channel_links(pair->a.channel, 0), 2);
}

static void test_three_nodes(void **state)
{
	struct pair *pair = *state;
	struct node c = make_node("c", "127.0.3.1", NULL);

	acquaint(&pair->a, &c);
	acquaint(&pair->b, &c);
	start(&c);
	start(&pair->b);
	start(&pair->a);
	UNTIL(ek_channel_is_up(c.channel, 0) && ek_channel_is_up(c.channel, 1) &&
	      ek_channel_is_up(pair->a.channel, 0) && ek_channel_is_up(pair->a.channel, 1) &&
	      ek_channel_is_up(pair->b.channel, 1));
	assert_int_equal(send_number(&pair->b, 1, 0, 10), 0);
	UNTIL(c.messages[1] == 1);
	assert_int_equal(c.messages[0] + pair->a.messages[0] + pair->a.messages[1], 0);
	ek_channel_free(c.channel);
}

/* --- messages ------------------------------------------------------------------------------ */

static void test_messages(void **state)
{
	static const size_t lengths[] = {4, 16378, 16379, 16380, 40000, 5, 1 << 20, (1 << 20) - 1};
	struct pair *pair = *state;
	uint32_t to_b = 0, to_a = 0, all = 160;

	start_both(pair);
	while (to_a < all || to_b < all) {
		if (to_b < all && send_number(&pair->a, 0, to_b, lengths[to_b % 8]) == 0)
			to_b++;
		if (to_a < all && send_number(&pair->b, 0, to_a, lengths[(to_a + 3) % 8]) == 0)
			to_a++;
		turn(base);
	}
	UNTIL(pair->a.messages[0] == all && pair->b.messages[0] == all);
	assert_false(pair->a.out_of_order || pair->b.out_of_order);
	assert_int_equal(pair->a.ups[0] + pair->b.ups[0], 2);
	assert_int_equal(link_of(&pair->a, 0).sent + link_of(&pair->a, 1).sent, all);
	assert_int_equal(link_of(&pair->a, 0).received + link_of(&pair->a, 1).received, all);
}

static void test_empty_message(void **state)
{
	struct pair *pair = *state;

	start_both(pair);
	assert_int_equal(ek_channel_send(pair->a.channel, 0, 0, NULL, 0), 0);
	UNTIL(pair->b.messages[0] == 1);
	assert_int_equal(pair->b.bytes, 0);
}

static void test_send_errors(void **state)
{
	static uint8_t body[EK_CHANNEL_MESSAGE_MAX + 1];
	struct pair *pair = *state;

	add_peer(&pair->a, &pair->b)->channel = false;
	start(&pair->a);
	assert_int_equal(ek_channel_send(pair->a.channel, 0, 1, "x", 1), -ENOTCONN);
	assert_int_equal(ek_channel_send(pair->a.channel, 1, 1, "x", 1), -ENOTCONN);
	assert_int_equal(ek_channel_send(pair->a.channel, 2, 1, "x", 1), -ENOTCONN);
	assert_int_equal(ek_channel_links(pair->a.channel, 1), 0);
	assert_false(ek_channel_is_up(pair->a.channel, 1));
	ek_channel_reject(pair->a.channel, 0, "nobody there");
	start(&pair->b);
	UNTIL(up(&pair->a));
	assert_int_equal(ek_channel_send(pair->a.channel, 0, 240, "x", 1), -EINVAL);
	assert_int_equal(ek_channel_send(pair->a.channel, 0, 1, body, sizeof(body)), -EMSGSIZE);
	assert_int_equal(ek_channel_send(pair->a.channel, 0, 239, body, sizeof(body) - 1), 0);
}

/* However much has come, a turn of the loop takes its share only. */
static void test_flood_is_shared_out(void **state)
{
	struct pair *pair = *state;
	size_t all = 50000, most = 0, turns = 0;

	start_both(pair);
	for (uint32_t i = 0; i < all; i++)
		assert_int_equal(send_number(&pair->a, 0, i, 4), 0);
	for (uint64_t end = now_ms() + DEADLINE_MS; pair->b.messages[0] < all; turns++) {
		size_t before = pair->b.messages[0];

		assert_true(now_ms() < end);
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		if (pair->b.messages[0] - before > most)
			most = pair->b.messages[0] - before;
	}
	assert_in_range(most, 1, 256);
	assert_false(pair->b.out_of_order);
	assert_int_equal(pair->b.downs[0], 0);
}

static void test_reject(void **state)
{
	struct pair *pair = *state;
	size_t i;

	start_both(pair);
	pair->b.reject = true;
	send_number(&pair->a, 0, 0, 4);
	send_number(&pair->a, 0, 1, 4);
	UNTIL(pair->b.downs[0] == 1 && pair->a.downs[0] == 1);
	assert_int_equal(pair->b.messages[0], 1);
	pair->b.reject = false;
	for (i = 0; i < 2 && !why_is(&pair->b, i, "makes no sense"); i++)
		;
	assert_true(i < 2);
	UNTIL(up(&pair->a) && up(&pair->b));
	/* From outside the loop. */
	ek_channel_reject(pair->a.channel, 0, "on a whim");
	assert_false(up(&pair->a));
	assert_int_equal(pair->a.downs[0], 1);
	UNTIL(pair->a.downs[0] == 2 && up(&pair->a));
}

/* --- refusals ------------------------------------------------------------------------------ */

/* stderr from now on; what it was is returned. */
static int capture_log(int *file)
{
	int saved = dup(STDERR_FILENO);

	*file = memfd_create("log", MFD_CLOEXEC);
	assert_true(saved >= 0 && *file >= 0);
	ek_log_init(EK_LOG_WARNING);
	dup2(*file, STDERR_FILENO);
	return saved;
}

static size_t end_capture(int saved, int file, const char *word)
{
	static char text[65536];
	ssize_t n = pread(file, text, sizeof(text) - 1, 0);
	size_t count = 0;

	dup2(saved, STDERR_FILENO);
	close(saved);
	close(file);
	ek_log_init(EK_LOG_ERROR);
	text[n > 0 ? n : 0] = '\0';
	for (const char *at = text; (at = strstr(at, word)); at++)
		count++;
	return count;
}

static void test_wrong_secret(void **state)
{
	struct pair *pair = *state;
	int file, saved;
	size_t lines;

	single(pair);
	pair->b.secret.bytes[0] ^= 1;
	saved = capture_log(&file);
	start(&pair->b);
	start(&pair->a);
	UNTIL(refused(&pair->a, "wrong secret") && refused(&pair->b, "wrong secret"));
	HOLDS_FOR(10 * RETRY_MS,
		  refused(&pair->a, "wrong secret") && refused(&pair->b, "wrong secret"));
	lines = end_capture(saved, file, "wrong secret");
	assert_int_equal(lines, 2); /* one each */
	assert_int_equal(pair->a.checks + pair->b.checks, 0);
	assert_int_equal(pair->a.ups[0] + pair->b.ups[0], 0);
	/* Once it is right, so is the rest. */
	stop(&pair->b);
	pair->b.secret.bytes[0] ^= 1;
	start(&pair->b);
	UNTIL(up(&pair->a) && up(&pair->b));
	assert_true(link_is(&pair->a, 0, EK_CHANNEL_UP, true));
}

/* b's files: its own name, the name it has for a, and what check() says. */
static const struct {
	const char *description, *node, *peer, *refuse_a, *refuse_b, *why_a, *why_b;
} refusals[] = {
	{"b has another name", "bb", "a", NULL, NULL, "the peer calls itself 'bb', expected 'b'",
	 "refused by the peer: the peer calls itself 'bb', expected 'b'"},
	{"b has another name for a", "b", "aa", NULL, NULL,
	 "refused by the peer: the peer calls itself 'a', expected 'aa'",
	 "the peer calls itself 'a', expected 'aa'"},
	{"both have one name", "a", "b", NULL, NULL, "the peer has our own name",
	 "the peer has our own name"},
	{"b's name sorts first too", "0", "a", NULL, NULL,
	 "the peer calls itself '0', expected 'b'",
	 "refused by the peer: the peer calls itself '0', expected 'b'"},
	{"a does not like b's hello", "b", "a", "another hash key", NULL, "another hash key",
	 "refused by the peer: another hash key"},
	{"b does not like a's hello", "b", "a", NULL, "another configuration",
	 "refused by the peer: another configuration", "another configuration"},
};

static void test_refusals(void **state)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		struct pair *pair = *state;

		single(pair);
		pair->a.refuse = refusals[i].refuse_a;
		pair->b.refuse = refusals[i].refuse_b;
		pair->b.name = refusals[i].node;
		snprintf(pair->b.ha.peers[0].name, EK_NAME_MAX, "%s", refusals[i].peer);
		start(&pair->a);
		start(&pair->b);
		for (uint64_t end = now_ms() + DEADLINE_MS;
		     !refused(&pair->a, refusals[i].why_a) || !refused(&pair->b, refusals[i].why_b);
		     turn(base))
			if (now_ms() > end)
				fail_msg("%s: a: %s; b: %s", refusals[i].description,
					 link_of(&pair->a, 0).why, link_of(&pair->b, 0).why);
		HOLDS_FOR(3 * RETRY_MS, link_is(&pair->a, 0, EK_CHANNEL_REFUSED, false) &&
						link_is(&pair->b, 0, EK_CHANNEL_REFUSED, false));
		assert_int_equal(pair->a.ups[0] + pair->b.ups[0], 0);
		teardown(state);
		setup(state);
	}
}

static void test_other_version(void **state)
{
	struct pair *pair = *state;
	struct ek_channel_hello hello = raw_hello("a", 1);
	char told[EK_CHANNEL_BODY_OWN] = "";
	struct raw raw;

	pair->b.dead_ms = PATIENT_MS;
	start(&pair->b);
	raw = make_raw(raw_connect("127.0.1.1", "127.0.2.1"), true);
	hello.version_min = hello.version_max = EK_CHANNEL_VERSION + 1;
	raw_send_hello(&raw, &hello);
	RAW_UNTIL(&raw, raw_got(&raw, EK_FRAME_REFUSE, told));
	assert_string_equal(told, "version: peer speaks 2-2, we speak 1-1");
	UNTIL(refused(&pair->b, told));
	RAW_UNTIL(&raw, raw.ended);
	free_raw(&raw);
	/* One that speaks ours too, whatever else. */
	raw = make_raw(raw_connect("127.0.1.1", "127.0.2.1"), true);
	hello.version_min = 0;
	hello.version_max = 9;
	raw_send_hello(&raw, &hello);
	RAW_UNTIL(&raw, raw_got(&raw, EK_FRAME_ACCEPT, NULL));
	free_raw(&raw);
}

/* --- links that die ------------------------------------------------------------------------ */

static size_t active_link(const struct node *node)
{
	size_t i = 0;

	while (!link_of(node, i).active)
		i++;
	return i;
}

static void test_switches(void **state)
{
	struct pair *pair = *state;
	size_t from;

	start_both(pair);
	for (int round = 1; round <= 3; round++) {
		struct node *who = round % 2 ? &pair->a : &pair->b;

		from = active_link(&pair->a);
		assert_int_equal(active_link(&pair->b), from);
		shutdown(who->channel->peers[0].active->fd, SHUT_RDWR);
		UNTIL(pair->a.ups[0] == 1u + round && pair->b.ups[0] == 1u + round);
		assert_int_equal(pair->a.downs[0], round);
		assert_int_equal(pair->b.downs[0], round);
		assert_int_equal(active_link(&pair->a), !from);
		assert_int_equal(active_link(&pair->b), !from);
		send_number(&pair->a, 0, 0, 100);
		send_number(&pair->b, 0, 0, 100);
		UNTIL(pair->a.messages[0] == (size_t)round && pair->b.messages[0] == (size_t)round);
		/* The other comes back, to wait. */
		UNTIL(link_is(&pair->a, from, EK_CHANNEL_UP, false) &&
		      link_is(&pair->b, from, EK_CHANNEL_UP, false));
		assert_true(link_of(&pair->a, from).why[0]);
	}
	assert_false(pair->a.out_of_order || pair->b.out_of_order);
}

static void test_losing_the_waiting_link(void **state)
{
	struct pair *pair = *state;
	size_t waiting;

	start_both(pair);
	waiting = !active_link(&pair->a);
	shutdown(pair->b.channel->peers[0].links[waiting].conn->fd, SHUT_RDWR);
	UNTIL(!link_is(&pair->a, waiting, EK_CHANNEL_UP, false));
	UNTIL(link_is(&pair->a, waiting, EK_CHANNEL_UP, false));
	assert_int_equal(pair->a.downs[0] + pair->b.downs[0], 0);
}

/* b's loop stands still, its kernel goes on. */
static void test_backlog(void **state)
{
	struct pair *pair = *state;
	size_t most = 0;
	uint32_t n = 0;

	single(pair);
	pair->b.base = event_base_new();
	start(&pair->a);
	start(&pair->b);
	for (uint64_t end = now_ms() + DEADLINE_MS; !up(&pair->a) || !up(&pair->b);) {
		assert_true(now_ms() < end);
		turn(base);
		turn(pair->b.base);
	}
	while (send_number(&pair->a, 0, n, EK_CHANNEL_MESSAGE_MAX) == 0) {
		n++;
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		if (ek_channel_backlog(pair->a.channel, 0) > most)
			most = ek_channel_backlog(pair->a.channel, 0);
	}
	assert_int_equal(send_number(&pair->a, 0, n, EK_CHANNEL_MESSAGE_MAX), -EAGAIN);
	assert_in_range(most, EK_CHANNEL_BACKLOG_MAX - (2u << 20), EK_CHANNEL_BACKLOG_MAX);
	assert_int_equal(link_of(&pair->a, 0).backlog, ek_channel_backlog(pair->a.channel, 0));
	assert_int_equal(link_of(&pair->a, 0).sent, n);
	assert_true(up(&pair->a));
	UNTIL(pair->a.downs[0] == 1);
	assert_int_equal(ek_channel_backlog(pair->a.channel, 0), 0);
	/* b wakes, finds what had come and the end of it, and they meet again. */
	for (uint64_t end = now_ms() + DEADLINE_MS;
	     pair->a.ups[0] < 2 || pair->b.ups[0] < 2 || !up(&pair->a) || !up(&pair->b);) {
		assert_true(now_ms() < end);
		turn(base);
		turn(pair->b.base);
	}
	assert_false(pair->b.out_of_order);
}

/* It resets the connection while both ways are full: what had come whole is still delivered. */
static void test_reset_under_load(void **state)
{
	static const struct linger reset = {.l_onoff = 1};
	struct pair *pair = *state;
	uint8_t frame[EK_CHANNEL_HEADER + 1] = {0, 0, 0, 2, 1, 'x'};
	struct raw raw;

	pair->b.dead_ms = PATIENT_MS;
	start(&pair->b);
	raw = make_raw(raw_connect("127.0.1.1", "127.0.2.1"), true);
	raw_greet(&raw, "a", 1);
	raw_activate(&raw, 1);
	for (uint32_t n = 0; send_number(&pair->b, 0, n, EK_CHANNEL_MESSAGE_MAX) == 0; n++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	for (int i = 0; i < 5000; i++)
		ek_channel_tls_write(raw.tls, frame, sizeof(frame), raw.wire);
	assert_true(evbuffer_write(raw.wire, raw.fd) > 0);
	UNTIL(pair->b.messages[0] > 0);
	setsockopt(raw.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	free_raw(&raw);
	UNTIL(!up(&pair->b));
	assert_true(pair->b.messages[0] >= 256);
	assert_true(why_is(&pair->b, 0, "connection reset by peer") ||
		    why_is(&pair->b, 0, "broken pipe") ||
		    why_is(&pair->b, 0, "closed by the peer"));
}

/* It says that it lives, and reads nothing. */
static void test_takes_nothing(void **state)
{
	struct pair *pair = *state;
	struct raw raw;
	uint32_t n = 0;

	start(&pair->b);
	raw = make_raw(raw_connect("127.0.1.1", "127.0.2.1"), true);
	raw_greet(&raw, "a", 1);
	raw_activate(&raw, 1);
	while (send_number(&pair->b, 0, n, EK_CHANNEL_MESSAGE_MAX) == 0)
		n++;
	for (uint64_t end = now_ms() + DEADLINE_MS; !pair->b.downs[0]; turn(base)) {
		assert_true(now_ms() < end);
		ek_channel_tls_write(raw.tls, "\0\0\0\1\xf3", 5, raw.wire); /* ping */
		if (evbuffer_write(raw.wire, raw.fd) < 0)
			assert_true(errno == EPIPE || errno == ECONNRESET);
	}
	/* By us, or by the kernel's TCP_USER_TIMEOUT. */
	assert_true(why_is(&pair->b, 0, "the peer takes nothing") ||
		    why_is(&pair->b, 0, "connection timed out"));
	free_raw(&raw);
}

static void test_silent_client(void **state)
{
	struct pair *pair = *state;
	struct raw raw;
	uint64_t since;

	start(&pair->b);
	raw = make_raw(raw_connect("127.0.1.1", "127.0.2.1"), true);
	raw_greet(&raw, "a", 1);
	raw_activate(&raw, 1);
	assert_true(up(&pair->b));
	since = now_ms();
	UNTIL(!up(&pair->b));
	assert_true(why_is(&pair->b, 0, "the peer is silent"));
	assert_true(now_ms() - since >= DEAD_MS - PING_MS);
	free_raw(&raw);
}

static void test_silent_server(void **state)
{
	struct pair *pair = *state;
	int listener = raw_socket("127.0.2.1", true), fd = -1;
	uint8_t number[EK_CHANNEL_BODY_OWN];
	struct raw raw;

	single(pair);
	start(&pair->a);
	UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	raw = make_raw(fd, false);
	raw_greet(&raw, "b", 1);
	RAW_UNTIL(&raw, raw_got(&raw, EK_FRAME_ACTIVATE, number));
	assert_false(up(&pair->a));
	/* Alive, but without an answer to that. */
	UNTIL((raw_send(&raw, EK_FRAME_PING, NULL, 0),
	       why_is(&pair->a, 0, "no answer to an activation")));
	assert_int_equal(pair->a.ups[0], 0);
	free_raw(&raw);
	/* Answers, then says nothing any more. */
	UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	raw = make_raw(fd, false);
	raw_greet(&raw, "b", 1);
	RAW_UNTIL(&raw, raw_got(&raw, EK_FRAME_ACTIVATE, number));
	raw_send(&raw, EK_FRAME_ACTIVATED, number, 8);
	UNTIL(up(&pair->a));
	UNTIL(!up(&pair->a));
	assert_true(why_is(&pair->a, 0, "the peer is silent"));
	free_raw(&raw);
	close(listener);
}

/* Its former connections are taken for dead at once, those on other links too. */
static void test_unseen_restart(void **state)
{
	struct pair *pair = *state;
	struct raw first, second;

	pair->b.dead_ms = PATIENT_MS;
	start(&pair->b);
	first = make_raw(raw_connect("127.0.1.1", "127.0.2.1"), true);
	raw_greet(&first, "a", 1);
	raw_activate(&first, 7);
	second = make_raw(raw_connect("127.0.1.2", "127.0.2.2"), true);
	raw_greet(&second, "a", 2);
	UNTIL(!up(&pair->b));
	assert_true(why_is(&pair->b, 0, "the peer has started anew"));
	raw_activate(&second, 1); /* counts anew */
	assert_true(up(&pair->b));
	assert_int_equal(active_link(&pair->b), 1);
	RAW_UNTIL(&first, first.ended);
	free_raw(&first);
	free_raw(&second);
}

static void test_connects_again(void **state)
{
	struct pair *pair = *state;
	struct raw first, second;

	pair->b.dead_ms = PATIENT_MS;
	start(&pair->b);
	first = make_raw(raw_connect("127.0.1.1", "127.0.2.1"), true);
	raw_greet(&first, "a", 1);
	raw_activate(&first, 1);
	second = make_raw(raw_connect("127.0.1.1", "127.0.2.1"), true);
	raw_greet(&second, "a", 1);
	UNTIL(!up(&pair->b));
	assert_true(why_is(&pair->b, 0, "the peer connected again"));
	raw_activate(&second, 2);
	assert_true(up(&pair->b));
	free_raw(&first);
	free_raw(&second);
}

/* The client's word of a change arrives on both links, in either order. */
static void test_overtaken_activation(void **state)
{
	struct pair *pair = *state;
	uint8_t late[8];
	struct raw first, second;

	pair->b.dead_ms = PATIENT_MS;
	start(&pair->b);
	first = make_raw(raw_connect("127.0.1.1", "127.0.2.1"), true);
	raw_greet(&first, "a", 1);
	second = make_raw(raw_connect("127.0.1.2", "127.0.2.2"), true);
	raw_greet(&second, "a", 1);
	raw_activate(&second, 6);
	ek_channel_number_encode(5, late);
	raw_send(&first, EK_FRAME_ACTIVATE, late, sizeof(late));
	RAW_UNTIL(&first, first.ended);
	assert_true(why_is(&pair->b, 0, "an activation that another has overtaken"));
	assert_int_equal(pair->b.downs[0], 0);
	free_raw(&first);
	first = make_raw(raw_connect("127.0.1.1", "127.0.2.1"), true);
	raw_greet(&first, "a", 1);
	raw_activate(&first, 7);
	assert_int_equal(pair->b.downs[0], 1);
	assert_int_equal(pair->b.ups[0], 2);
	assert_int_equal(active_link(&pair->b), 0);
	RAW_UNTIL(&second, second.ended);
	assert_true(why_is(&pair->b, 1, "the peer changed to another link"));
	free_raw(&first);
	free_raw(&second);
}

/* --- misbehaviour -------------------------------------------------------------------------- */

static const struct {
	const char *description;
	bool active;
	const char *bytes;
	size_t length;
	const char *why;
} misdeeds[] = {
	{"an empty frame", true, "\0\0\0\0\1", 5, "malformed: an empty frame"},
	{"a message too long", true, "\0\x10\0\2\1", 5, "malformed: a frame that is too long"},
	{"4 GiB", true, "\xff\xff\xff\xff\1", 5, "malformed: a frame that is too long"},
	{"an unknown type", true, "\0\0\0\1\xff", 5, "malformed: a frame of an unknown type"},
	{"hello twice", true, "\0\0\0\1\xf0", 5, "malformed: a second hello"},
	{"accept twice", true, "\0\0\0\1\xf1", 5, "malformed: a greeting when it was over"},
	{"a ping with a body", true, "\0\0\0\2\xf3x", 6, "malformed: a frame that is too long"},
	{"activated from a client", true, "\0\0\0\x09\xf5", 5,
	 "malformed: a frame that is not the peer's to send"},
	{"a message before the activation", false, "\0\0\0\2\1x", 6,
	 "malformed: a message on a link that is not active"},
	{"TLS within TLS", true, "\x16\x03\x01\x00\x05hello", 10,
	 "malformed: a frame that is too long"},
	{"activated twice", true, "\0\0\0\x09\xf4\0\0\0\0\0\0\0\x09", 13,
	 "an activation that another has overtaken"},
};

static void test_misdeeds(void **state)
{
	struct pair *pair = *state;

	pair->b.dead_ms = PATIENT_MS;
	start(&pair->b);
	for (size_t i = 0; i < sizeof(misdeeds) / sizeof(*misdeeds); i++) {
		struct raw raw = make_raw(raw_connect("127.0.1.1", "127.0.2.1"), true);

		raw_greet(&raw, "a", i + 1);
		if (misdeeds[i].active)
			raw_activate(&raw, 1);
		ek_channel_tls_write(raw.tls, misdeeds[i].bytes, misdeeds[i].length, raw.wire);
		RAW_UNTIL(&raw, raw.ended);
		if (!why_is(&pair->b, 0, misdeeds[i].why))
			fail_msg("%s: %s", misdeeds[i].description, link_of(&pair->b, 0).why);
		UNTIL(!up(&pair->b));
		free_raw(&raw);
	}
	assert_int_equal(pair->b.messages[0], 0);
}

static void test_server_misdeeds(void **state)
{
	struct pair *pair = *state;
	int listener = raw_socket("127.0.2.1", true), fd = -1;
	uint8_t number[EK_CHANNEL_BODY_OWN];

	single(pair);
	pair->a.dead_ms = PATIENT_MS;
	start(&pair->a);
	for (int twice = 0; twice < 2; twice++) {
		UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
		struct raw raw = make_raw(fd, false);

		raw_greet(&raw, "b", 1);
		RAW_UNTIL(&raw, raw_got(&raw, EK_FRAME_ACTIVATE, number));
		if (twice)
			raw_send(&raw, EK_FRAME_ACTIVATED, number, 8);
		number[7] ^= !twice;
		raw_send(&raw, EK_FRAME_ACTIVATED, number, 8);
		RAW_UNTIL(&raw, raw.ended);
		assert_true(why_is(&pair->a, 0, "malformed: an activation that was not asked for"));
		assert_int_equal(pair->a.ups[0], twice);
		free_raw(&raw);
	}
	close(listener);
}

static ssize_t drain(int fd)
{
	char bytes[4096];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		;
	return n < 0 && errno == EAGAIN ? 1 : 0;
}

static void test_strangers(void **state)
{
	struct pair *pair = *state;

	start_both(pair);
	for (int i = 0; i < 40; i++) {
		int fd = raw_connect("127.0.9.9", "127.0.2.1");

		UNTIL(!drain(fd));
		close(fd);
	}
	assert_int_equal(ek_channel_counters(pair->b.channel).strangers, 40);
	assert_int_equal(ek_channel_counters(pair->b.channel).crowded, 0);
	assert_true(up(&pair->a) && up(&pair->b));
}

/* From a peer's own address: the channel that is up takes no notice. */
static void test_garbage(void **state)
{
	struct pair *pair = *state;
	char bytes[8192];

	start_both(pair);
	srandom(1);
	for (int i = 0; i < 60; i++) {
		int fd = raw_connect("127.0.1.1", "127.0.2.1");

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = random();
		if (i % 3 == 0) /* the header of a TLS handshake record */
			memcpy(bytes, "\x16\x03\x01\x20\x00\x01\x00\x1f\xfc\x03\x03", 11);
		UNTIL((send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT), !drain(fd)));
		close(fd);
		send_number(&pair->a, 0, i, 1000);
	}
	UNTIL(pair->b.messages[0] == 60);
	assert_int_equal(pair->a.downs[0] + pair->b.downs[0], 0);
	assert_false(link_of(&pair->b, 0).why[0]);
	assert_false(pair->b.out_of_order);
}

/* Beginnings that go on for ever: few at a time, none for long, and the peer comes through. */
static void test_slow_handshakes(void **state)
{
	struct pair *pair = *state;
	uint64_t since = now_ms(), ended = 0;
	int fds[8], open_now, most = 0;

	single(pair);
	start(&pair->b);
	for (size_t i = 0; i < 8; i++)
		fds[i] = raw_connect("127.0.1.1", "127.0.2.1");
	UNTIL(ek_channel_counters(pair->b.channel).crowded == 4);
	for (size_t sent = 0; !ended; sent++) {
		open_now = 0;
		assert_true(now_ms() - since < DEADLINE_MS);
		for (size_t i = 0; i < 8; i++)
			if (drain(fds[i])) {
				open_now++;
				send(fds[i], &"\x16\x03\x01\x20\x00\x01\x00\x1f\xfc"[sent % 9],
				     sent < 9, MSG_NOSIGNAL | MSG_DONTWAIT);
			}
		if (open_now > most)
			most = open_now;
		ended = open_now ? 0 : now_ms();
		turn(base);
	}
	assert_in_range(most, 0, 4);
	assert_true(ended - since >= EK_CHANNEL_HANDSHAKE_MS - 1);
	assert_true(why_is(&pair->b, 0, "timed out within the handshake"));
	for (size_t i = 0; i < 8; i++)
		close(fds[i]);
	start(&pair->a);
	UNTIL(up(&pair->a) && up(&pair->b));
}

/* The secret alone does not keep a connection: a hello must follow. */
static void test_no_hello(void **state)
{
	struct pair *pair = *state;
	struct raw raw;

	start(&pair->b);
	raw = make_raw(raw_connect("127.0.1.1", "127.0.2.1"), true);
	RAW_UNTIL(&raw, ek_channel_tls_ready(raw.tls));
	RAW_UNTIL(&raw, raw.ended);
	assert_true(why_is(&pair->b, 0, "timed out within the handshake"));
	free_raw(&raw);
}

/* A server that accepts and says nothing, and one that speaks something else. */
static void test_other_servers(void **state)
{
	struct pair *pair = *state;
	int listener = raw_socket("127.0.2.1", true), fd = -1;

	single(pair);
	start(&pair->a);
	UNTIL(link_is(&pair->a, 0, EK_CHANNEL_HANDSHAKE, false));
	UNTIL(why_is(&pair->a, 0, "timed out"));
	for (int i = 0; i < 2; i++)
		UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	assert_int_equal(send(fd, "SSH-2.0-OpenSSH_9.2\r\n", 21, MSG_NOSIGNAL), 21);
	UNTIL(why_is(&pair->a, 0, "not a peer: it does not speak TLS"));
	close(fd);
	close(listener);
}

/* --- the sockets --------------------------------------------------------------------------- */

static void test_port_taken(void **state)
{
	struct pair *pair = *state;
	int taken = raw_socket("127.0.1.2", true);
	struct ek_channel_options options = {
		.node = "a", .secret = &pair->a.secret, .ha = &pair->a.ha, .check = on_check};
	struct ek_error error = {0};
	char expected[128];

	assert_null(ek_channel_new(base, &options, &error));
	snprintf(expected, sizeof(expected),
		 "cannot listen for peers on 127.0.1.2 port %u: Address already in use", port);
	assert_string_equal(error.text, expected);
	close(taken);
}

/* Nothing is accepted, the loop does not spin, and it goes on when there are descriptors again. */
static void test_out_of_descriptors(void **state)
{
	struct pair *pair = *state;
	struct rlimit limit, tight;
	size_t turns = 0;
	int fd, next;

	start(&pair->b);
	fd = raw_connect("127.0.9.9", "127.0.2.1");
	next = dup(fd);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	tight = (struct rlimit){.rlim_cur = next, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	HOLDS_FOR(200, (turns++, ek_channel_counters(pair->b.channel).strangers == 0));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_in_range(turns, 1, 60);
	UNTIL(ek_channel_counters(pair->b.channel).strangers == 1);
	close(fd);
}

/* A server's links before anybody has connected: one for each own address that a peer can reach. */
static void test_server_links(void **state)
{
	struct pair *pair = *state;
	struct ek_channel_link_status status;
	struct ek_ip a0 = ip_of("127.0.1.1");

	pair->b.ha.addresses[pair->b.ha.n_addresses++] = ip_of("2001:db8::77");
	pair->b.ha.peers[0].n_addresses = 1;
	start(&pair->b);
	assert_int_equal(ek_channel_links(pair->b.channel, 0), 2);
	for (size_t i = 0; i < 2; i++) {
		status = link_of(&pair->b, i);
		assert_true(ek_ip_equal(&status.address, &a0));
		assert_string_equal(ek_channel_state_name(status.state), "connecting");
		assert_true(status.since > 0 && !status.why[0]);
	}
}

/* Addresses (TEST-NET-1, RFC 5737) that no interface has yet. */
static void test_absent_address(void **state)
{
	struct pair *pair = *state;
	int file, saved;

	single(pair);
	pair->a.ha.addresses[0] = ip_of("192.0.2.77");
	saved = capture_log(&file);
	start(&pair->a);
	UNTIL(why_is(&pair->a, 0, "our own address: cannot assign requested address"));
	assert_int_equal(end_capture(saved, file, "192.0.2.77 is on no interface yet"), 1);
}

static void test_ipv6(void **state)
{
	struct pair *pair = *state;
	struct node a, b;

	(void)pair;
	if (unshare(CLONE_NEWNET) ||
	    system("ip link set lo up && ip addr add fd00::1/128 dev lo nodad && "
		   "ip addr add fd00::2/128 dev lo nodad") != 0)
		skip();
	a = make_node("a", "127.0.1.1", "fd00::1");
	b = make_node("b", "127.0.2.1", "fd00::2");
	acquaint(&a, &b);
	start(&a);
	start(&b);
	UNTIL(ek_channel_links(a.channel, 0) == 2 && link_of(&a, 1).state == EK_CHANNEL_UP &&
	      link_of(&b, 1).state == EK_CHANNEL_UP && up(&a) && up(&b));
	ek_channel_free(a.channel);
	ek_channel_free(b.channel);
}

/* --- the secret file ----------------------------------------------------------------------- */

static const struct {
	const char *description, *content;
	mode_t mode;
	int length; /* of the secret, or -errno */
	const char *why;
} files[] = {
	{"as short as may be", "0123456789abcdef", 0600, 16, NULL},
	{"a newline is not counted", "0123456789abcdef\n", 0400, 16, NULL},
	{"nor is other white space", "0123456789 abcdef \t\r\n\n", 0600, 17, NULL},
	{"leading white space is", " 0123456789abcdef", 0600, 17, NULL},
	{"too short", "0123456789abcde\n\n\n", 0600, -EINVAL, "15 bytes; a secret has at least 16"},
	{"empty", "", 0600, -EINVAL, "0 bytes; a secret has at least 16"},
	{"blank", "                    ", 0600, -EINVAL, "0 bytes; a secret has at least 16"},
	{"readable by others", "0123456789abcdef", 0604, -EPERM,
	 "open to others (mode 0604); 'chmod 600' it"},
	{"0644", "0123456789abcdef", 0644, -EPERM, "open to others (mode 0644); 'chmod 600' it"},
	{"writable by the group", "0123456789abcdef", 0620, -EPERM,
	 "open to others (mode 0620); 'chmod 600' it"},
};

static void write_file(const char *path, const void *content, size_t length, mode_t mode)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, length), length);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void expect_no_secret(const char *path, int err, const char *why)
{
	struct ek_channel_secret secret = {.length = 99};
	struct ek_error error = {0};
	char expected[256];

	assert_int_equal(ek_channel_secret_read(path, &secret, &error), err);
	snprintf(expected, sizeof(expected), "%s: %s", path, why);
	assert_string_equal(error.text, expected);
	assert_int_equal(secret.length, 99);
}

static void test_secret_rows(const char *path)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		struct ek_channel_secret secret = {0};
		struct ek_error error = {0};

		write_file(path, files[i].content, strlen(files[i].content), files[i].mode);
		if (files[i].why) {
			expect_no_secret(path, files[i].length, files[i].why);
			continue;
		}
		if (ek_channel_secret_read(path, &secret, &error))
			fail_msg("%s: %s", files[i].description, error.text);
		assert_int_equal(secret.length, files[i].length);
		assert_memory_equal(secret.bytes, files[i].content, secret.length);
	}
}

static void test_secret_lengths(const char *path)
{
	struct ek_channel_secret secret;
	struct ek_error error = {0};
	char text[2048];

	memset(text, 's', sizeof(text));
	memset(text + EK_CHANNEL_SECRET_MAX, '\n', 700);
	write_file(path, text, EK_CHANNEL_SECRET_MAX + 700, 0600);
	assert_int_equal(ek_channel_secret_read(path, &secret, &error), 0);
	assert_int_equal(secret.length, EK_CHANNEL_SECRET_MAX);
	text[EK_CHANNEL_SECRET_MAX] = 's';
	write_file(path, text, EK_CHANNEL_SECRET_MAX + 1, 0600);
	expect_no_secret(path, -EINVAL, "longer than 256 bytes");
	write_file(path, text, sizeof(text), 0600);
	expect_no_secret(path, -EINVAL, "longer than 256 bytes");
	memset(text, '\n', sizeof(text));
	write_file(path, text, sizeof(text), 0600);
	expect_no_secret(path, -EINVAL, "longer than 256 bytes");
}

static void test_secret_file(void **state)
{
	char directory[] = "/tmp/ek-channel-XXXXXX", path[64], link[64];
	struct ek_channel_secret secret;
	struct ek_error error = {0};

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/secret", directory);
	snprintf(link, sizeof(link), "%s/link", directory);
	expect_no_secret(path, -ENOENT, "No such file or directory");
	test_secret_rows(path);
	test_secret_lengths(path);
	expect_no_secret(directory, -EINVAL, "not a regular file");
	write_file(path, "0123456789abcdef", 16, 0600);
	assert_int_equal(symlink("secret", link), 0);
	assert_int_equal(ek_channel_secret_read(link, &secret, &error), 0);
	assert_int_equal(secret.length, 16);
	if (geteuid() == 0 && chown(path, 65534, 0) == 0)
		expect_no_secret(path, -EPERM, "belongs to user 65534; 'chown root' it");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_no_secret(path, -EINVAL, "not a regular file");
	unlink(link);
	unlink(path);
	rmdir(directory);
}

/* A port that is free on every address used here, near enough: nobody else uses those. */
static in_port_t free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000101)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(address);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    getsockname(fd, (struct sockaddr *)&address, &length))
		return 0;
	close(fd);
	return ntohs(address.sin_port);
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_PAIR(test_connects),
		WITH_PAIR(test_connects_later),
		WITH_PAIR(test_uneven_addresses),
		WITH_PAIR(test_three_nodes),
		WITH_PAIR(test_messages),
		WITH_PAIR(test_empty_message),
		WITH_PAIR(test_send_errors),
		WITH_PAIR(test_flood_is_shared_out),
		WITH_PAIR(test_reject),
		WITH_PAIR(test_wrong_secret),
		WITH_PAIR(test_refusals),
		WITH_PAIR(test_other_version),
		WITH_PAIR(test_switches),
		WITH_PAIR(test_losing_the_waiting_link),
		WITH_PAIR(test_backlog),
		WITH_PAIR(test_reset_under_load),
		WITH_PAIR(test_takes_nothing),
		WITH_PAIR(test_silent_client),
		WITH_PAIR(test_silent_server),
		WITH_PAIR(test_unseen_restart),
		WITH_PAIR(test_connects_again),
		WITH_PAIR(test_overtaken_activation),
		WITH_PAIR(test_misdeeds),
		WITH_PAIR(test_server_misdeeds),
		WITH_PAIR(test_strangers),
		WITH_PAIR(test_garbage),
		WITH_PAIR(test_slow_handshakes),
		WITH_PAIR(test_no_hello),
		WITH_PAIR(test_other_servers),
		WITH_PAIR(test_port_taken),
		WITH_PAIR(test_out_of_descriptors),
		WITH_PAIR(test_server_links),
		WITH_PAIR(test_absent_address),
		cmocka_unit_test(test_secret_file),
		WITH_PAIR(test_ipv6), /* last: in a network of its own */
	};

	signal(SIGPIPE, SIG_IGN);
	ek_log_init(EK_LOG_ERROR);
	port = free_port();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
