/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is read of frames, which are strangers': rows of every kind, each cut at every byte, and
 * random ones. The sanitizers watch: a frame lies at the end of its own allocation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ip.h"
#include "trace_frame.h"

#define MACS           \
	"020000000001" \
	"02cccccccc01"
#define IP4(protocol, fragment)              \
	"45000028"                           \
	"1234" fragment "40" protocol "0000" \
	"c6336407"                           \
	"c000020a"
#define IP6(next)                          \
	"60000000"                         \
	"0014" next "40"                   \
	"20010db8000100000000000000000007" \
	"20010db8000000000000000000000010"
#define TCP_SYN    \
	"1267"     \
	"0050"     \
	"11223344" \
	"00000000" \
	"5002"     \
	"ffff"     \
	"0000"     \
	"0000"

static const struct row {
	const char *description, *frame; /* hexadecimal */
	const char *text;		 /* as described() has it */
} rows[] = {
	{"TCP", MACS "0800" IP4("06", "4000") TCP_SYN,
	 "198.51.100.7 > 192.0.2.10 protocol 6 ports 4711 80 SYN"},
	{"TCP over IPv6, in two VLANs",
	 MACS "88a80064"
	      "8100e007"
	      "86dd" IP6("06") TCP_SYN,
	 "vlan 100 vlan 7 2001:db8:1::7 > 2001:db8::10 protocol 6 ports 4711 80 SYN"},
	{"UDP behind IPv4 options",
	 MACS "0800"
	      "47000028"
	      "1234"
	      "0000"
	      "4011"
	      "0000"
	      "c6336407"
	      "c000020a"
	      "0101010101010101"
	      "00350035"
	      "00080000",
	 "198.51.100.7 > 192.0.2.10 protocol 17 ports 53 53"},
	{"an IPv4 header that is too short",
	 MACS "0800"
	      "44000028"
	      "1234"
	      "0000"
	      "4011"
	      "0000"
	      "c6336407"
	      "c000020a"
	      "00350035",
	 "198.51.100.7 > 192.0.2.10 protocol 17"},
	{"a first fragment",
	 MACS "0800" IP4("11", "2000") "00350035"
				       "00080000",
	 "198.51.100.7 > 192.0.2.10 protocol 17 ports 53 53"},
	{"a later fragment",
	 MACS "0800" IP4("11", "00b9") "00350035"
				       "00080000",
	 "198.51.100.7 > 192.0.2.10 protocol 17 fragment"},
	{"IPv6 extension headers",
	 MACS "86dd" IP6("00") "3c00000000000000"
			       "1100000000000000"
			       "00350035"
			       "00080000",
	 "2001:db8:1::7 > 2001:db8::10 protocol 17 ports 53 53"},
	{"a later IPv6 fragment",
	 MACS "86dd" IP6("2c") "1100000900000000"
			       "00350035",
	 "2001:db8:1::7 > 2001:db8::10 protocol 17 fragment"},
	{"a first IPv6 fragment",
	 MACS "86dd" IP6("2c") "1100000100000000"
			       "00350035",
	 "2001:db8:1::7 > 2001:db8::10 protocol 17 ports 53 53"},
	{"an echo request", MACS "0800" IP4("01", "0000") "0800f7ff00000000",
	 "198.51.100.7 > 192.0.2.10 protocol 1 icmp 8 0"},
	{"an ICMP error",
	 MACS "0800" IP4("01", "0000") "0304f7ff00000578"
				       "45000028"
				       "1234"
				       "0000"
				       "4006"
				       "0000"
				       "c000020a"
				       "cb007109"
				       "00500050",
	 "198.51.100.7 > 192.0.2.10 protocol 1 icmp 3 4 about 203.0.113.9"},
	{"an ICMPv6 error",
	 MACS "86dd" IP6("3a") "0200f7ff00000578"
			       "60000000"
			       "0014"
			       "0640"
			       "20010db8000000000000000000000010"
			       "20010db8000200000000000000000009",
	 "2001:db8:1::7 > 2001:db8::10 protocol 58 icmp 2 0 about 2001:db8:2::9"},
	{"another version than the type says", MACS "0800" IP6("06"), "type 0800"},
	{"three VLANs",
	 MACS "88a80064"
	      "81000007"
	      "81000008"
	      "0800",
	 "vlan 100 vlan 7 type 8100"},
	{"ARP",
	 MACS "0806"
	      "0001080006040001",
	 "type 0806"},
	{"not even an Ethernet header", "02000000", "type 0000"},
	{"nothing", "", "type 0000"},
};

struct bytes {
	uint8_t *at;
	size_t n;
};

static struct bytes bytes_of(const char *hex)
{
	struct bytes b = {malloc(strlen(hex) / 2 + !*hex), strlen(hex) / 2};

	for (size_t i = 0; i < b.n; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		b.at[i] = byte;
	}
	return b;
}

static void add(char *out, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(out + strlen(out), 256 - strlen(out), format, ap);
	va_end(ap);
}

static void described(const struct ek_trace_frame *f, char *out)
{
	char source[EK_IP_TEXT], destination[EK_IP_TEXT], flags[EK_TRACE_FLAGS];

	*out = '\0';
	for (size_t i = 0; i < f->n_vlans; i++)
		add(out, "vlan %u ", f->vlan[i]);
	if (!f->ip) {
		add(out, "type %04x", f->type);
		return;
	}
	add(out, "%s > %s protocol %u", ek_ip_format(&f->source, source),
	    ek_ip_format(&f->destination, destination), f->protocol);
	if (f->ports)
		add(out, " ports %u %u", f->source_port, f->destination_port);
	if (f->tcp)
		add(out, " %s", ek_trace_tcp_flags(f->tcp_flags, flags));
	if (f->icmp)
		add(out, " icmp %u %u", f->icmp_type, f->icmp_code);
	if (f->quotes)
		add(out, " about %s", ek_ip_format(&f->about, source));
	if (f->fragment)
		add(out, " fragment");
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bytes b = bytes_of(rows[i].frame);
		struct ek_trace_frame frame;
		char text[256];

		ek_trace_frame_read(b.at, b.n, &frame);
		described(&frame, text);
		if (strcmp(text, rows[i].text))
			fail_msg("%s: %s", rows[i].description, text);
		free(b.at);
	}
}

/* Reads a copy that ends where its allocation does. What is said must be of what is there. */
static void read_exactly(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	struct ek_trace_frame frame;
	char text[256];

	memcpy(copy, bytes, n);
	ek_trace_frame_read(n ? copy : copy + 1, n, &frame);
	described(&frame, text);
	assert_true(frame.n_vlans <= 2);
	assert_false(frame.ip && n < 14 + 20);
	assert_false(frame.ports && n < 14 + 20 + 4);
	assert_false(frame.icmp && n < 14 + 20 + 8);
	assert_false(frame.quotes && n < 14 + 20 + 8 + 20);
	assert_false(frame.ports && (frame.icmp || frame.fragment));
	free(copy);
}

static void test_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bytes b = bytes_of(rows[i].frame);

		for (size_t n = 0; n <= b.n; n++)
			read_exactly(b.at, n);
		free(b.at);
	}
}

static uint64_t random64(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void test_random(void **state)
{
	uint64_t x = 0x9e3779b97f4a7c15;
	uint8_t bytes[EK_TRACE_SNAP];

	(void)state;
	for (unsigned int run = 0; run < 100000; run++) {
		struct bytes b = bytes_of(rows[run % (sizeof(rows) / sizeof(*rows))].frame);

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = random64(&x);
		if (random64(&x) % 4) { /* a frame, some of it changed */
			memcpy(bytes, b.at, b.n);
			for (unsigned int i = random64(&x) % 4; i; i--)
				bytes[random64(&x) % 80] = random64(&x);
		}
		read_exactly(bytes, random64(&x) % (sizeof(bytes) + 1));
		free(b.at);
	}
}

static void test_flags(void **state)
{
	char text[EK_TRACE_FLAGS];

	(void)state;
	assert_string_equal(ek_trace_tcp_flags(0, text), "-");
	assert_string_equal(ek_trace_tcp_flags(0x12, text), "SYN,ACK");
	assert_string_equal(ek_trace_tcp_flags(0xff, text), "FIN,SYN,RST,PSH,ACK,URG,ECE,CWR");
}

/* --- filters --------------------------------------------------------------------------------- */

static struct ek_ip ip(const char *text)
{
	struct ek_ip out;

	assert_int_equal(ek_ip_parse(text, &out), 0);
	return out;
}

static const struct {
	const char *description;
	const char *client; /* NULL: any */
	uint32_t service, flags;
	unsigned int row; /* of rows[] */
	int verdict;
	bool fits;
} filters[] = {
	{"anything", NULL, EK_SERVICE_NONE, 0, 0, 3, true},
	{"its service", NULL, 5, 0, 0, 3, true},
	{"another service", NULL, 6, 0, 0, 3, false},
	{"drops, and it was forwarded", NULL, 5, EK_TRACE_DROPS, 0, 3, false},
	{"drops, and it was", NULL, 5, EK_TRACE_DROPS, 0, -1, true},
	{"its client", "198.51.100.7", 5, 0, 0, 3, true},
	{"another client", "198.51.100.8", 5, 0, 0, 3, false},
	{"its client, and another service", "198.51.100.7", 6, 0, 0, 3, false},
	{"the router that sent the error", "198.51.100.7", EK_SERVICE_NONE, 0, 10, 3, true},
	{"the client that it is about", "203.0.113.9", EK_SERVICE_NONE, 0, 10, 3, true},
	{"a client, and it is ARP", "198.51.100.7", EK_SERVICE_NONE, 0, 14, 3, false},
};

static void test_filters(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
		struct ek_trace filter = {.service = filters[i].service, .flags = filters[i].flags};
		const struct ek_trace_record record = {.service = 5, .verdict = filters[i].verdict};
		struct bytes b = bytes_of(rows[filters[i].row].frame);
		struct ek_trace_frame frame;

		if (filters[i].client)
			filter.client = ip(filters[i].client);
		ek_trace_frame_read(b.at, b.n, &frame);
		if (ek_trace_fits(&filter, &record, &frame) != filters[i].fits)
			fail_msg("%s", filters[i].description);
		free(b.at);
	}
}

/* Whatever one of two filters lets through, so does their union; equals stay what they are. */
static void test_union(void **state)
{
	const char *const clients[] = {NULL, "198.51.100.7", "203.0.113.9"};
	struct ek_trace filter[3 * 3 * 2];
	size_t n = 0;

	(void)state;
	for (unsigned int i = 0; i < 18; i++) {
		const uint32_t services[] = {EK_SERVICE_NONE, 5, 6};

		filter[n] = (struct ek_trace){
			.service = services[i / 3 % 3], .flags = i / 9, .rate = 100 + i};
		if (clients[i % 3])
			filter[n].client = ip(clients[i % 3]);
		n++;
	}
	for (size_t i = 0; i < n * n; i++) {
		const struct ek_trace *a = &filter[i / n], *b = &filter[i % n];
		struct ek_trace all = *a;

		ek_trace_unite(&all, b);
		assert_int_equal(all.rate, a->rate > b->rate ? a->rate : b->rate);
		if (a == b)
			assert_memory_equal(&all, a, sizeof(all));
		for (size_t j = 0; j < sizeof(rows) / sizeof(*rows); j++) {
			const struct ek_trace_record record = {.service = 5 + j % 3,
							       .verdict = j % 2 ? 3 : -1};
			struct bytes bytes = bytes_of(rows[j].frame);
			struct ek_trace_frame frame;

			ek_trace_frame_read(bytes.at, bytes.n, &frame);
			if (ek_trace_fits(a, &record, &frame) || ek_trace_fits(b, &record, &frame))
				assert_true(ek_trace_fits(&all, &record, &frame));
			free(bytes.at);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	cmocka_unit_test(test_cut),
		cmocka_unit_test(test_random),	cmocka_unit_test(test_flags),
		cmocka_unit_test(test_filters), cmocka_unit_test(test_union),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
