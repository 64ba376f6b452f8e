/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The readers of scalars: text of a YAML node to one field of struct ek_config, or an error that
 * says what was found and what is expected. Called through the rows of config_schema.c.
 */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config_schema.h"
#include "ip.h"

#define EXPECTED	    128
#define VIP_SHORTEST4	    8 /* bits of a prefix */
#define VIP_SHORTEST6	    16
#define FLIPS_WINDOW_MIN_MS 1000ul
#define FLIPS_WINDOW_MAX_MS (24 * 3600 * 1000ul)

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

const char *ek_value_quote(const char *text, char out[EK_VALUE_QUOTED])
{
	static const char more[] = "...";
	size_t length = strlen(text), i;
	bool cut = length >= EK_VALUE_QUOTED;

	if (cut) {
		length = EK_VALUE_QUOTED - sizeof(more);
		while (length && (text[length] & 0xc0) == 0x80) /* not within a UTF-8 sequence */
			length--;
	}
	for (i = 0; i < length; i++)
		out[i] = is_control(text[i]) ? '?' : text[i];
	strcpy(out + i, cut ? more : "");
	return out;
}

void ek_value_refuse(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		     const char *problem, const char *expected)
{
	char quoted[EK_VALUE_QUOTED];

	ek_value_quote((const char *)value->data.scalar.value, quoted);
	ek_parse_error(parse, value, row->key, "'%s' %s, expected %s", quoted, problem, expected);
}

const char *ek_value_text(struct ek_parse *parse, const struct ek_row *row,
			  const yaml_node_t *value, const char *expected)
{
	const char *text;

	if (value->type != YAML_SCALAR_NODE) {
		ek_parse_error(parse, value, row->key, "a %s, expected %s",
			       value->type == YAML_SEQUENCE_NODE ? "list" : "mapping", expected);
		return NULL;
	}
	text = (const char *)value->data.scalar.value;
	if (strlen(text) != value->data.scalar.length) {
		ek_parse_error(parse, value, row->key, "a NUL character, expected %s", expected);
		return NULL;
	}
	if (!*text) {
		ek_parse_error(parse, value, row->key, "no value, expected %s", expected);
		return NULL;
	}
	return text;
}

/* An unsigned field of any width; "all bits set" stands for a refused value. */
static void store(const struct ek_row *row, void *out, unsigned int value)
{
	switch (row->size) {
	case sizeof(uint8_t):
		*(uint8_t *)out = value;
		break;
	case sizeof(uint16_t):
		*(uint16_t *)out = value;
		break;
	default:
		*(unsigned int *)out = value;
	}
}

/* Digits only: no sign, no blank, no leading zero (which YAML 1.1 reads as octal). */
static bool parse_digits(const char *text, size_t digits, unsigned long *out)
{
	if (!digits || digits > 10 || (digits > 1 && text[0] == '0'))
		return false;
	*out = strtoul(text, NULL, 10);
	return true;
}

void ek_value_number(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		     void *out)
{
	char expected[EXPECTED];
	const char *text;
	unsigned long number;
	size_t digits;

	snprintf(expected, sizeof(expected), "a number from %u to %u", row->min, row->max);
	store(row, out, 0);
	text = ek_value_text(parse, row, value, expected);
	if (!text)
		return;
	digits = strspn(text, "0123456789");
	if (text[digits] || !parse_digits(text, digits, &number))
		ek_value_refuse(parse, row, value, "is not a whole decimal number", expected);
	else if (number < row->min || number > row->max)
		ek_value_refuse(parse, row, value, "is out of range", expected);
	else
		store(row, out, number);
}

/* --- durations ------------------------------------------------------------------------------- */
static const struct unit {
	const char *name;
	unsigned int ms;
} units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
#define N_UNITS (sizeof(units) / sizeof(units[0]))

static const char *format_duration(unsigned long ms, char *out, size_t size)
{
	size_t length = 0;

	if (!ms)
		return "0s";
	for (size_t i = 0; i < N_UNITS; i++) {
		if (ms >= units[i].ms)
			length += snprintf(out + length, size - length, "%lu%s", ms / units[i].ms,
					   units[i].name);
		ms %= units[i].ms;
	}
	return out;
}

/*
 * "2h15m": numbers with units, the larger unit first, each at most once. Returns what is wrong,
 * or NULL. Ten digits times an hour fit 64 bits.
 */
const char *ek_duration_parse(const char *text, unsigned long *ms)
{
	size_t unit = 0;

	*ms = 0;
	for (const char *p = text; *p;) {
		size_t digits = strspn(p, "0123456789"), letters;
		unsigned long number;

		if (!parse_digits(p, digits, &number))
			return "is not a duration";
		p += digits;
		letters = strspn(p, "abcdefghijklmnopqrstuvwxyz");
		if (!letters)
			return *p ? "is not a duration" : "has no unit";
		while (unit < N_UNITS && (strlen(units[unit].name) != letters ||
					  strncmp(p, units[unit].name, letters)))
			unit++;
		if (unit == N_UNITS)
			return "is not a duration";
		*ms += number * units[unit++].ms;
		p += letters;
	}
	return NULL;
}

void ek_value_duration(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		       void *out)
{
	unsigned long min = (unsigned long)row->min * row->unit;
	unsigned long max = (unsigned long)row->max * row->unit;
	char expected[EXPECTED], low[32], high[32];
	const char *text, *problem;
	unsigned long ms;

	snprintf(expected, sizeof(expected), "%s to %s with a unit: %ss, m or h",
		 format_duration(min, low, sizeof(low)), format_duration(max, high, sizeof(high)),
		 row->unit == 1 ? "ms, " : "");
	store(row, out, 0);
	text = ek_value_text(parse, row, value, expected);
	if (!text)
		return;
	problem = ek_duration_parse(text, &ms);
	if (!problem && (ms < min || ms > max))
		problem = "is out of range";
	if (!problem && ms % row->unit)
		problem = "is no whole number of seconds";
	if (problem)
		ek_value_refuse(parse, row, value, problem, expected);
	else
		store(row, out, ms / row->unit);
}

/* --- words ----------------------------------------------------------------------------------- */
static const struct ek_choice *find_choice(const struct ek_choice *choices, const char *name)
{
	for (; choices->name; choices++)
		if (!strcmp(choices->name, name))
			return choices;
	return NULL;
}

/* "a, b or c" of what can be chosen now. */
static void list_choices(const struct ek_choice *choices, char *out, size_t size)
{
	size_t length = 0, left = 0;

	for (const struct ek_choice *c = choices; c->name; c++)
		left += !c->planned;
	for (; choices->name; choices++)
		if (!choices->planned) {
			left--;
			length += snprintf(out + length, size - length, "%s%s", choices->name,
					   left > 1    ? ", "
					   : left == 1 ? " or "
						       : "");
		}
}

void ek_value_choice(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		     void *out)
{
	const struct ek_choice *choice;
	char expected[EXPECTED];
	const char *text;

	list_choices(row->choices, expected, sizeof(expected));
	store(row, out, UINT32_MAX);
	text = ek_value_text(parse, row, value, expected);
	if (!text)
		return;
	choice = find_choice(row->choices, text);
	if (!choice)
		ek_value_refuse(parse, row, value, "is unknown", expected);
	else if (choice->planned)
		ek_value_refuse(parse, row, value, "is not supported yet by this version",
				expected);
	else
		store(row, out, choice->value);
}

/* A refused value leaves the default: a bool has no third state. */
void ek_value_flag(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		   void *out)
{
	struct ek_row word = *row;
	unsigned int chosen;

	word.size = sizeof(chosen);
	ek_value_choice(parse, &word, value, &chosen);
	if (chosen != UINT32_MAX)
		*(bool *)out = chosen;
}

/* --- texts ----------------------------------------------------------------------------------- */
static bool all(const char *text, bool (*accept)(char))
{
	while (*text && accept(*text))
		text++;
	return !*text;
}

/* ASCII only, whatever the locale. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_name_char(char c)
{
	return is_alnum(c) || c == '.' || c == '_' || c == '-';
}

static bool is_graphic(char c)
{
	return c > ' ' && c < 0x7f;
}

static bool is_interface_char(char c)
{
	return is_graphic(c) && c != '/' && c != ':';
}

static bool is_printable(char c)
{
	return !is_control(c);
}

bool ek_value_is_name(const char *text)
{
	return is_alnum(*text) && all(text, is_name_char) && strlen(text) <= EK_NAME_MAX;
}

/* Copies the text when it is valid and fits, and claims it when the row says so. */
static void copy(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		 void *out, bool (*valid)(const char *), const char *expected)
{
	const char *text = ek_value_text(parse, row, value, expected);

	if (!text)
		return;
	if (strlen(text) >= row->size) {
		ek_value_refuse(parse, row, value, "is too long", expected);
	} else if (!valid(text)) {
		ek_value_refuse(parse, row, value, "is not valid", expected);
	} else {
		strcpy(out, text);
		if (row->claim)
			ek_parse_claim(parse, row->claim, row->key, value, text);
	}
}

void ek_value_name(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		   void *out)
{
	copy(parse, row, value, out, ek_value_is_name,
	     "a name: at most 63 letters, digits, '.', '_', '-', a letter or digit first");
}

/* What the kernel takes as a device name (dev_valid_name()), ASCII only. */
static bool valid_interface(const char *text)
{
	return strcmp(text, ".") && strcmp(text, "..") && all(text, is_interface_char);
}

void ek_value_interface(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
			void *out)
{
	copy(parse, row, value, out, valid_interface,
	     "an interface name: at most 15 characters, no '/', ':' or blank");
}

static bool valid_file(const char *text)
{
	return *text == '/' && all(text, is_printable);
}

void ek_value_file(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		   void *out)
{
	char expected[EXPECTED];

	snprintf(expected, sizeof(expected), "an absolute path ('/...') of at most %zu bytes",
		 row->size - 1);
	copy(parse, row, value, out, valid_file, expected);
}

static bool valid_path(const char *text)
{
	return *text == '/' && all(text, is_graphic);
}

void ek_value_path(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		   void *out)
{
	copy(parse, row, value, out, valid_path,
	     "a path that begins with '/', at most 255 ASCII characters, no blanks");
}

/* The authority of a URL: a name or address, an IPv6 one in brackets, and perhaps a port. */
static bool valid_host(const char *text)
{
	size_t length = strcspn(text, text[0] == '[' ? "]" : ":");
	char host[EK_NAME_MAX + 1];
	struct ek_ip ip;
	unsigned long port;

	if (text[0] != '[') {
		for (size_t i = 0; i < length; i++)
			if (!is_name_char(text[i]))
				return false;
		text += length;
	} else {
		if (length > EK_NAME_MAX || text[length] != ']')
			return false;
		memcpy(host, text + 1, length - 1);
		host[length - 1] = '\0';
		if (ek_ip_parse(host, &ip) || ek_ip_is_v4(&ip))
			return false;
		text += length + 1;
	}
	if (!*text)
		return length > 0;
	return length && *text == ':' && all(text + 1, is_digit) &&
	       parse_digits(text + 1, strlen(text + 1), &port) && port >= 1 && port <= 65535;
}

void ek_value_host(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		   void *out)
{
	copy(parse, row, value, out, valid_host,
	     "a name, IPv4 or [IPv6] address, with :port if needed, at most 255 characters");
}

/* --- regular expressions --------------------------------------------------------------------- */
#define EXPANDED_MAX 1000
#define REGEX_MAX    256

/* Skips "[...]": a ']' right after '[' or "[^" is an ordinary character, "[:" ends with ":]". */
static const char *skip_bracket(const char *p)
{
	p += p[1] == '^' ? 2 : 1;
	if (*p == ']')
		p++;
	while (*p && *p != ']') {
		char close = p[0] == '[' && p[1] && strchr(":.=", p[1]) ? p[1] : '\0';

		if (!close) {
			p++;
			continue;
		}
		for (p += 2; *p && (p[0] != close || p[1] != ']'); p++)
			;
		if (*p)
			p += 2;
	}
	return *p ? p : p - 1;
}

/* How often a repetition writes out what it repeats (capped); leaves p on its last character. */
static size_t repetition(const char **p)
{
	size_t times = 1, bound;

	if (**p == '+')
		return 2; /* a+ becomes aa* */
	for (++*p; is_digit(**p) || **p == ','; ++*p) {
		bound = strtoul(*p, NULL, 10);
		if (bound > times)
			times = bound;
	}
	if (**p != '}')
		--*p;
	return times <= EXPANDED_MAX ? times : EXPANDED_MAX + 1;
}

/*
 * How many elements the pattern has once its repetitions are written out, as glibc's regcomp()
 * does, recursively and without a limit: thirty nested '+' are 2^30 nodes. Stops counting beyond
 * EXPANDED_MAX. `open[]` holds the sizes of the groups around the current one.
 */
static size_t expanded_size(const char *pattern)
{
	size_t open[REGEX_MAX], depth = 0, total = 0, element = 0;

	for (const char *p = pattern; *p && total + element <= EXPANDED_MAX; p++) {
		if (*p == '+' || *p == '{') {
			element *= repetition(&p);
			continue;
		}
		if (*p == '*' || *p == '?')
			continue;
		total += element;
		element = 1;
		if (*p == '(') {
			open[depth++] = total;
			total = element = 0;
		} else if (*p == ')' && depth) {
			element = total + 1;
			total = open[--depth];
		} else if (*p == '\\' && p[1]) {
			p++;
		} else if (*p == '[') {
			p = skip_bracket(p);
		}
	}
	total += element;
	while (depth)
		total += open[--depth];
	return total;
}

void ek_value_regex(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		    void *out)
{
	static const char expected[] = "a POSIX extended regular expression";
	const char *text = ek_value_text(parse, row, value, expected);
	char why[EXPECTED];
	regex_t regex;
	int err;

	if (!text)
		return;
	if (strlen(text) >= row->size || strlen(text) >= REGEX_MAX) {
		ek_value_refuse(parse, row, value, "is too long", "at most 255 bytes");
		return;
	}
	if (expanded_size(text) > EXPANDED_MAX) {
		ek_value_refuse(parse, row, value, "repeats too much",
				"at most 1000 elements with all repetitions written out");
		return;
	}
	err = regcomp(&regex, text, REG_EXTENDED | REG_NOSUB);
	if (err) {
		regerror(err, &regex, why, sizeof(why));
		ek_parse_error(parse, value, row->key, "%s, expected %s", why, expected);
		return;
	}
	regfree(&regex);
	strcpy(out, text);
}

/* --- ports and sizes ------------------------------------------------------------------------- */
/* N or N-M. Returns what is wrong, or NULL. */
static const char *parse_ports(const char *text, unsigned long *first, unsigned long *last)
{
	size_t digits = strspn(text, "0123456789");

	if (!parse_digits(text, digits, first))
		return "is not a port or range";
	*last = *first;
	text += digits;
	if (*text == '-') {
		digits = strspn(++text, "0123456789");
		if (!parse_digits(text, digits, last))
			return "is not a port or range";
		text += digits;
	}
	if (*text)
		return "is not a port or range";
	if (!*first || *first > UINT16_MAX || *last > UINT16_MAX)
		return "is out of range";
	return *last < *first ? "ends before it begins" : NULL;
}

void ek_value_ports(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		    void *out)
{
	static const char expected[] =
		"a port from 1 to 65535, a range of them such as 8000-8099, or any";
	const char *text = ek_value_text(parse, row, value, expected), *problem = NULL;
	unsigned long first = 0, last = UINT16_MAX;
	uint16_t *ports = out;

	if (!text)
		return;
	if (strcmp(text, "any"))
		problem = parse_ports(text, &first, &last);
	if (problem) {
		ek_value_refuse(parse, row, value, problem, expected);
		return;
	}
	ports[0] = first;
	ports[1] = last;
}

void ek_value_mss(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		  void *out)
{
	const char *text, *problem = NULL;
	unsigned long mss = EK_MSS_AUTO;
	char expected[EXPECTED];
	size_t digits;

	snprintf(expected, sizeof(expected), "auto, off or a number from %u to %u", row->min,
		 row->max);
	text = ek_value_text(parse, row, value, expected);
	if (!text)
		return;
	digits = strspn(text, "0123456789");
	if (!strcmp(text, "off"))
		mss = 0;
	else if (strcmp(text, "auto") && (text[digits] || !parse_digits(text, digits, &mss)))
		problem = "is not a size";
	else if (digits && (mss < row->min || mss > row->max))
		problem = "is out of range";
	if (problem)
		ek_value_refuse(parse, row, value, problem, expected);
	else
		store(row, out, mss);
}

/* --- the rest -------------------------------------------------------------------------------- */
void ek_value_status(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		     void *out)
{
	static const char expected[] = "an HTTP status from 100 to 599 or a range such as 200-299";
	const char *text = ek_value_text(parse, row, value, expected);
	unsigned int *status = out, low, high;
	int end = 0;

	if (!text)
		return;
	if (strspn(text, "0123456789-") != strlen(text) ||
	    sscanf(text, "%3u%n-%3u%n", &low, &end, &high, &end) < 1 || text[end]) {
		ek_value_refuse(parse, row, value, "is not a status", expected);
		return;
	}
	if (!strchr(text, '-'))
		high = low;
	if (low < 100 || high > 599 || low > high) {
		ek_value_refuse(parse, row, value, "is out of range", expected);
		return;
	}
	status[0] = low;
	status[1] = high;
}

/* NUMBER/DURATION. Returns what is wrong, or NULL. */
static const char *parse_flips(const struct ek_row *row, const char *text, unsigned long *number,
			       unsigned long *ms)
{
	size_t digits = strspn(text, "0123456789");

	if (!parse_digits(text, digits, number) || text[digits] != '/' || !text[digits + 1])
		return "is not a number and a duration";
	if (*number < row->min || *number > row->max)
		return "has a number that is out of range";
	if (ek_duration_parse(text + digits + 1, ms))
		return "has a duration that is none";
	if (*ms < FLIPS_WINDOW_MIN_MS || *ms > FLIPS_WINDOW_MAX_MS)
		return "has a duration that is out of range";
	return *ms % 1000 ? "has a duration that is no whole number of seconds" : NULL;
}

void ek_value_flips(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		    void *out)
{
	unsigned long number = 0, ms = 0;
	const char *text, *problem;
	unsigned int *flips = out;
	char expected[EXPECTED];

	snprintf(expected, sizeof(expected),
		 "%u to %u in 1s to 24h, such as 3/10m, or 0 for no limit", row->min, row->max);
	text = ek_value_text(parse, row, value, expected);
	if (!text)
		return;
	problem = strcmp(text, "0") ? parse_flips(row, text, &number, &ms) : NULL;
	if (problem) {
		ek_value_refuse(parse, row, value, problem, expected);
		return;
	}
	flips[0] = number;
	flips[1] = ms / 1000;
}

void ek_value_prefix(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		     void *out)
{
	static const char expected[] = "an IPv4 or IPv6 prefix such as 0.0.0.0/0";
	const char *text = ek_value_text(parse, row, value, expected);
	struct ek_ip *prefix = out;

	if (text && ek_prefix_parse(text, prefix, (unsigned int *)(prefix + 1)))
		ek_value_refuse(parse, row, value, "is not a prefix (bits beyond it are zero)",
				expected);
}

/* ADDRESS/LENGTH with some bits beyond it, perhaps. Returns what is wrong, or NULL. */
static const char *split_prefix(const char *text, struct ek_ip *ip, unsigned int *length)
{
	size_t end = strcspn(text, "/"), digits = strspn(text + end + 1, "0123456789");
	const char *problem = "is not a prefix";
	unsigned long bits, whole;
	char address[EK_IP_TEXT];

	if (end >= sizeof(address))
		return problem;
	memcpy(address, text, end);
	address[end] = '\0';
	if (ek_ip_parse(address, ip) || !parse_digits(text + end + 1, digits, &bits) ||
	    text[end + 1 + digits])
		return problem;
	whole = ek_ip_is_v4(ip) ? 32 : 128;
	if (bits > whole)
		return problem;
	*length = 128 - whole + bits;
	return bits < (ek_ip_is_v4(ip) ? VIP_SHORTEST4 : VIP_SHORTEST6) ? "is too short" : NULL;
}

/*
 * A prefix as long as that lies within what is not unicast or apart from it, but for the broadcast
 * address, which is the last.
 */
static bool is_unicast(const struct ek_config_vip *vip)
{
	struct ek_ip last = vip->address;

	for (unsigned int bit = vip->length; bit < 128; bit++)
		last.bytes[bit / 8] |= 0x80 >> bit % 8;
	return !ek_ip_unusable(&vip->address) && !ek_ip_unusable(&last);
}

static void read_vip_prefix(struct ek_parse *parse, const struct ek_row *row,
			    const yaml_node_t *value, struct ek_config_vip *out)
{
	static const char expected[] =
		"an IPv4 prefix of /8 to /32 or an IPv6 prefix of /16 to /128";
	char meant[EK_PREFIX_TEXT];
	struct ek_config_vip vip;
	const char *problem;
	struct ek_ip ip;

	problem = split_prefix((const char *)value->data.scalar.value, &ip, &vip.length);
	if (problem) {
		ek_value_refuse(parse, row, value, problem, expected);
		return;
	}
	vip.address = ek_ip_mask(&ip, vip.length);
	if (!is_unicast(&vip)) {
		ek_value_refuse(parse, row, value, "is no unicast prefix", expected);
	} else if (!ek_ip_equal(&vip.address, &ip)) {
		ek_prefix_format(&vip.address, vip.length, meant);
		ek_value_refuse(parse, row, value, "has bits beyond the prefix", meant);
	} else {
		*out = vip;
	}
}

/* Into `ip`, untouched after an error. */
static bool read_unicast(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
			 const char *expected, struct ek_ip *ip)
{
	const char *unusable;
	char problem[EXPECTED];
	struct ek_ip found;

	if (ek_ip_parse((const char *)value->data.scalar.value, &found)) {
		ek_value_refuse(parse, row, value, "is not an address", expected);
		return false;
	}
	unusable = ek_ip_unusable(&found);
	if (unusable) {
		snprintf(problem, sizeof(problem), "is %s", unusable);
		ek_value_refuse(parse, row, value, problem, "a unicast address of the network");
		return false;
	}
	*ip = found;
	return true;
}

void ek_value_vip(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		  void *out)
{
	static const char expected[] = "an IPv4 or IPv6 address or prefix";
	const char *text = ek_value_text(parse, row, value, expected);
	struct ek_config_vip *vip = out;

	if (!text)
		return;
	if (strchr(text, '/'))
		read_vip_prefix(parse, row, value, vip);
	else if (read_unicast(parse, row, value, expected, &vip->address))
		vip->length = 128;
}

void ek_value_address(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		      void *out)
{
	static const char expected[] = "an IPv4 or IPv6 address";
	char canonical[EK_IP_TEXT];
	struct ek_ip *ip = out;

	if (ek_value_text(parse, row, value, expected) &&
	    read_unicast(parse, row, value, expected, ip) && row->claim)
		ek_parse_claim(parse, row->claim, row->key, value, ek_ip_format(ip, canonical));
}
