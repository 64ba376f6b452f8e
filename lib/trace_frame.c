/* SPDX-License-Identifier: GPL-2.0-only */
/* See trace_frame.h. IEEE 802.1Q, RFC 791, RFC 8200, RFC 792 and RFC 4443. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <linux/if_ether.h>
#include "ip.h"
#include "trace_frame.h"

#define TAGS_MAX       2
#define EXTENSIONS_MAX 8

/* What is left to read. A cursor that ran out stays at its end. */
struct cursor {
	const uint8_t *at, *end;
};

static bool has(const struct cursor *c, size_t n)
{
	return (size_t)(c->end - c->at) >= n;
}

static void skip(struct cursor *c, size_t n)
{
	c->at = has(c, n) ? c->at + n : c->end;
}

static uint16_t read16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

static void read_ethernet(struct cursor *c, struct ek_trace_frame *out)
{
	if (!has(c, ETH_HLEN))
		return;
	out->type = read16(c->at + 2 * ETH_ALEN);
	skip(c, ETH_HLEN);
	while ((out->type == ETH_P_8021Q || out->type == ETH_P_8021AD) && out->n_vlans < TAGS_MAX &&
	       has(c, 4)) {
		out->vlan[out->n_vlans++] = read16(c->at) & 0xfff;
		out->type = read16(c->at + 2);
		skip(c, 4);
	}
}

static struct ek_ip address4(const uint8_t *at)
{
	in_addr_t address;

	memcpy(&address, at, sizeof(address));
	return ek_ip_from4(address);
}

static struct ek_ip address6(const uint8_t *at)
{
	struct ek_ip ip;

	memcpy(&ip, at, sizeof(ip));
	return ip;
}

static bool read_ip4(struct cursor *c, struct ek_trace_frame *out)
{
	size_t length;

	if (!has(c, 20) || c->at[0] >> 4 != 4)
		return false;
	length = (c->at[0] & 15) * 4;
	out->source = address4(c->at + 12);
	out->destination = address4(c->at + 16);
	out->protocol = c->at[9];
	out->fragment = read16(c->at + 6) & 0x1fff;
	if (length < 20)
		c->at = c->end;
	else
		skip(c, length);
	return true;
}

static bool is_extension(uint8_t protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT;
}

static bool read_ip6(struct cursor *c, struct ek_trace_frame *out)
{
	if (!has(c, 40) || c->at[0] >> 4 != 6)
		return false;
	out->source = address6(c->at + 8);
	out->destination = address6(c->at + 24);
	out->protocol = c->at[6];
	skip(c, 40);
	for (int i = 0; i < EXTENSIONS_MAX && is_extension(out->protocol) && has(c, 8); i++) {
		const bool fragment = out->protocol == IPPROTO_FRAGMENT;

		out->fragment |= fragment && read16(c->at + 2) & 0xfff8;
		out->protocol = c->at[0];
		skip(c, fragment ? 8 : 8 * (c->at[1] + 1u));
	}
	return true;
}

static bool is_error(const struct ek_trace_frame *f)
{
	if (f->protocol == IPPROTO_ICMPV6)
		return f->icmp_type < 128;
	return f->icmp_type == 3 || f->icmp_type == 4 || f->icmp_type == 11 || f->icmp_type == 12;
}

/* What was quoted went from the VIP to the client. */
static void read_icmp(struct cursor *c, struct ek_trace_frame *out)
{
	const bool six = out->protocol == IPPROTO_ICMPV6;
	struct ek_trace_frame quoted = {0};

	if (!has(c, 8))
		return;
	out->icmp = true;
	out->icmp_type = c->at[0];
	out->icmp_code = c->at[1];
	skip(c, 8);
	if (!is_error(out))
		return;
	out->quotes = six ? read_ip6(c, &quoted) : read_ip4(c, &quoted);
	out->about = quoted.destination;
}

static void read_transport(struct cursor *c, struct ek_trace_frame *out)
{
	switch (out->protocol) {
	case IPPROTO_TCP:
		out->tcp = has(c, 14);
		out->tcp_flags = out->tcp ? c->at[13] : 0;
		/* fall through */
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		out->ports = has(c, 4);
		if (!out->ports)
			return;
		out->source_port = read16(c->at);
		out->destination_port = read16(c->at + 2);
		return;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		read_icmp(c, out);
	}
}

void ek_trace_frame_read(const uint8_t *frame, size_t captured, struct ek_trace_frame *out)
{
	struct cursor c = {frame, frame + captured};

	*out = (struct ek_trace_frame){0};
	read_ethernet(&c, out);
	if (out->type == ETH_P_IP)
		out->ip = read_ip4(&c, out);
	else if (out->type == ETH_P_IPV6)
		out->ip = read_ip6(&c, out);
	if (out->ip && !out->fragment)
		read_transport(&c, out);
}

const char *ek_trace_tcp_flags(uint8_t flags, char *out)
{
	static const char *const names[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};
	size_t n = 0;

	snprintf(out, EK_TRACE_FLAGS, "-");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (flags & 1u << i)
			n += snprintf(out + n, EK_TRACE_FLAGS - n, "%s%s", n ? "," : "", names[i]);
	return out;
}

/* --- filters --------------------------------------------------------------------------------- */

static bool is_client(const struct ek_trace *filter, const struct ek_trace_frame *frame)
{
	if (ek_ip_is_zero(&filter->client))
		return true;
	return (frame->ip && ek_ip_equal(&frame->source, &filter->client)) ||
	       (frame->quotes && ek_ip_equal(&frame->about, &filter->client));
}

bool ek_trace_fits(const struct ek_trace *filter, const struct ek_trace_record *record,
		   const struct ek_trace_frame *frame)
{
	if (filter->flags & EK_TRACE_DROPS && record->verdict > 0)
		return false;
	if (filter->service != EK_SERVICE_NONE && filter->service != record->service)
		return false;
	return is_client(filter, frame);
}

void ek_trace_unite(struct ek_trace *all, const struct ek_trace *one)
{
	if (!ek_ip_equal(&all->client, &one->client))
		all->client = (struct ek_ip){0};
	if (all->service != one->service)
		all->service = EK_SERVICE_NONE;
	all->flags &= one->flags;
	if (one->rate > all->rate)
		all->rate = one->rate;
}
