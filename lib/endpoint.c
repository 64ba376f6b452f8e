/* SPDX-License-Identifier: GPL-2.0-only */
/* See endpoint.h; the brackets are those of RFC 3986, section 3.2.2. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "endpoint.h"
#include "ip.h"

/* 1 to 65535, digits only. */
static int parse_port(const char *text, uint16_t *port)
{
	size_t digits = strspn(text, "0123456789");
	long value = digits && digits < 6 && !text[digits] ? atol(text) : 0;

	if (value < 1 || value > UINT16_MAX)
		return -EINVAL;
	*port = value;
	return 0;
}

int ek_endpoint_parse(const char *text, struct ek_ip *ip, uint16_t *port)
{
	const char *colon = strchr(text, ':'), *host = text, *end = text + strlen(text);
	char address[EK_IP_TEXT];
	struct ek_ip parsed;
	uint16_t number = 0;

	if (*text == '[') {
		host++;
		end = strchr(text, ']');
		colon = end && end[1] ? end + 1 : NULL;
		if (!end || (colon && *colon != ':'))
			return -EINVAL;
	} else if (colon && strchr(colon + 1, ':')) {
		colon = NULL; /* a bare IPv6 address */
	} else if (colon) {
		end = colon;
	}
	if ((size_t)(end - host) >= sizeof(address) || (colon && parse_port(colon + 1, &number)))
		return -EINVAL;
	memcpy(address, host, end - host);
	address[end - host] = '\0';
	if (ek_ip_parse(address, &parsed) || (*text == '[' && ek_ip_is_v4(&parsed)))
		return -EINVAL;
	*ip = parsed;
	*port = number;
	return 0;
}
