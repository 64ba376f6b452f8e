/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "error.h"
#include "ip.h"
#include "options.h"

static const char version[] = "evenkeel-backend 0.1\n";

static const char help[] =
	"Usage: evenkeel-backend --interface NAME [OPTION]...\n"
	"       evenkeel-backend status [--interface NAME]\n"
	"Takes the outer headers off the packets that Evenkeel (or any balancer that sends IP in "
	"IP\n"
	"or GUE) sends, or restores their VIP from the DSCP (L3DSR), with an XDP program, and "
	"holds\n"
	"the VIPs on lo without answering ARP for them.\n"
	"\n"
	"  -i, --interface NAME     where the packets come in\n"
	"  -v, --vip ADDRESS        a VIP to hold; only packets to VIPs are decapsulated (up to "
	"128)\n"
	"  -a, --allow PREFIX       decapsulate packets from these balancers only (up to 64)\n"
	"  -g, --gue-port PORT      the UDP port of GUE (6080); 0: no GUE\n"
	"  -d, --dscp ID=VIP        packets to this host with DSCP ID (1-63) are for VIP: holds "
	"it, "
	"too\n"
	"  -f, --map FILE           the same for many, in YAML: dscp: {ID: VIP, ...}\n"
	"  -m, --mode MODE          auto (the default), native or generic\n"
	"  -s, --state-dir DIR      where to note what is to be undone (/run/evenkeel)\n"
	"      --mss-advice         say which MSS to advertise with these options, and exit\n"
	"      --verbose            log what libbpf says, too\n"
	"  -h, --help               this text\n"
	"  -V, --version\n"
	"\n"
	"It runs in the foreground, undoes everything on SIGINT or SIGTERM, and logs its counters\n"
	"then and on SIGUSR1; `status` shows them at any time. See evenkeel-backend(8).\n";

enum { ADVICE = 256, VERBOSE }; /* options without a letter */

static const struct option long_options[] = {
	{"interface", required_argument, NULL, 'i'},
	{"vip", required_argument, NULL, 'v'},
	{"allow", required_argument, NULL, 'a'},
	{"gue-port", required_argument, NULL, 'g'},
	{"dscp", required_argument, NULL, 'd'},
	{"map", required_argument, NULL, 'f'},
	{"mode", required_argument, NULL, 'm'},
	{"state-dir", required_argument, NULL, 's'},
	{"mss-advice", no_argument, NULL, ADVICE},
	{"verbose", no_argument, NULL, VERBOSE},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{0},
};

static int refuse(struct ek_error *error, const char *option, const char *value, const char *why)
{
	ek_error_set(error, "--%s %s: %s", option, value, why);
	return -1;
}

static int parse_interface(struct options *o, const char *text, struct ek_error *error)
{
	if (!*text || strlen(text) >= sizeof(o->interface) || strchr(text, '/'))
		return refuse(error, "interface", text, "not the name of an interface");
	strcpy(o->interface, text);
	return 0;
}

static int parse_vip(struct options *o, const char *text, struct ek_error *error)
{
	struct ek_ip ip;

	if (ek_ip_parse(text, &ip))
		return refuse(error, "vip", text, "not an IPv4 or IPv6 address");
	if (ek_ip_unusable(&ip))
		return refuse(error, "vip", text, ek_ip_unusable(&ip));
	for (size_t i = 0; i < o->n_vips; i++)
		if (ek_ip_equal(&o->vips[i], &ip))
			return refuse(error, "vip", text, "given twice");
	if (o->n_vips == EK_DECAP_VIPS_MAX)
		return refuse(error, "vip", text, "more than 128 VIPs");
	o->vips[o->n_vips++] = ip;
	return 0;
}

static int parse_allow(struct options *o, const char *text, struct ek_error *error)
{
	struct prefix *prefix = &o->allow[o->n_allow];

	if (o->n_allow == EK_DECAP_ALLOW_MAX)
		return refuse(error, "allow", text, "more than 64 prefixes");
	if (ek_prefix_parse(text, &prefix->network, &prefix->length))
		return refuse(error, "allow", text,
			      "not ADDRESS or ADDRESS/LENGTH with zero host bits");
	o->n_allow++;
	return 0;
}

static int parse_mode(struct options *o, const char *text, struct ek_error *error)
{
	if (!strcmp(text, "auto"))
		o->mode = EK_XDP_AUTO;
	else if (!strcmp(text, "native"))
		o->mode = EK_XDP_NATIVE;
	else if (!strcmp(text, "generic"))
		o->mode = EK_XDP_GENERIC;
	else
		return refuse(error, "mode", text, "not auto, native or generic");
	return 0;
}

static int parse_gue_port(struct options *o, const char *text, struct ek_error *error)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long port = strtoul(text, NULL, 10);

	if (!digits || digits > 5 || text[digits] || port > UINT16_MAX)
		return refuse(error, "gue-port", text, "not a port from 0 to 65535");
	o->gue_port = port;
	return 0;
}

static int parse_dscp(struct options *o, const char *text, struct ek_error *error)
{
	struct ek_error why;

	return ek_dscp_map_add(&o->dscp, text, &why) ? refuse(error, "dscp", text, why.text) : 0;
}

/* The text of a file of at most EK_DSCP_FILE_MAX bytes: its length, or -errno. */
static ssize_t read_file(const char *path, char *text)
{
	FILE *file = fopen(path, "re");
	size_t length;
	int err = 0;

	if (!file)
		return -errno;
	length = fread(text, 1, EK_DSCP_FILE_MAX + 1, file);
	if (ferror(file))
		err = -errno;
	fclose(file);
	if (!err && length > EK_DSCP_FILE_MAX)
		err = -EFBIG;
	return err ? err : (ssize_t)length;
}

static int parse_map(struct options *o, const char *path, struct ek_error *error)
{
	static char text[EK_DSCP_FILE_MAX + 1];
	static struct ek_errors errors;
	ssize_t length = read_file(path, text);
	char first[512];

	if (length < 0)
		return refuse(error, "map", path, strerror(-length));
	if (!ek_dscp_map_parse(&o->dscp, text, length, &errors))
		return 0;
	ek_errors_sort(&errors);
	ek_error_format(&errors.list[0], path, first, sizeof(first));
	ek_error_set(error, "--map %s", first);
	return -1;
}

/* A VIP of the map is one to hold and to be silent about, like any other. */
static int add_dscp_vips(struct options *o, struct ek_error *error)
{
	for (size_t i = 0; i < 2 * EK_DSCPS; i++) {
		const struct ek_ip *vip =
			i < EK_DSCPS ? &o->dscp.vip4[i] : &o->dscp.vip6[i - EK_DSCPS];
		size_t n = 0;

		if (ek_ip_is_zero(vip))
			continue;
		o->restores = true;
		while (n < o->n_vips && !ek_ip_equal(&o->vips[n], vip))
			n++;
		if (n == EK_DECAP_VIPS_MAX) {
			ek_error_set(error, "more than 128 VIPs with those of --dscp and --map");
			return -1;
		}
		o->vips[n] = *vip;
		if (n == o->n_vips)
			o->n_vips++;
	}
	return 0;
}

static int parse_one(struct options *o, int option, char **argv, struct ek_error *error)
{
	switch (option) {
	case 'i':
		return parse_interface(o, optarg, error);
	case 'v':
		return parse_vip(o, optarg, error);
	case 'a':
		return parse_allow(o, optarg, error);
	case 'g':
		return parse_gue_port(o, optarg, error);
	case 'd':
		return parse_dscp(o, optarg, error);
	case 'f':
		return parse_map(o, optarg, error);
	case 'm':
		return parse_mode(o, optarg, error);
	case 's':
		o->state_dir = optarg;
		return 0;
	case VERBOSE:
		o->verbose = true;
		return 0;
	case ADVICE:
		return 0;
	case ':':
		ek_error_set(error, "%s: wants a value", argv[optind - 1]);
		return -1;
	default:
		ek_error_set(error, "%s: no such option", argv[optind - 1]);
		return -1;
	}
}

/* The verdict of a command line that is right as far as it goes. */
static enum options_verdict finish(struct options *o, enum options_verdict verdict,
				   struct ek_error *error)
{
	if (!o->interface[0] && verdict != OPTIONS_STATUS)
		ek_error_set(error, "--interface is missing");
	else if (!add_dscp_vips(o, error))
		return verdict;
	return OPTIONS_ERROR;
}

enum options_verdict options_parse(struct options *options, int argc, char **argv,
				   struct ek_error *error)
{
	bool status = argc > 1 && !strcmp(argv[1], "status");
	enum options_verdict verdict = status ? OPTIONS_STATUS : OPTIONS_RUN;
	int option;

	*options = (struct options){.state_dir = "/run/evenkeel", .gue_port = EK_DECAP_GUE_PORT};
	opterr = 0;
	optind = 1 + status;
	while ((option = getopt_long(argc, argv, ":i:v:a:g:d:f:m:s:hV", long_options, NULL)) !=
	       -1) {
		if (option == 'h' || option == 'V') {
			fputs(option == 'h' ? help : version, stdout);
			return OPTIONS_DONE;
		}
		if (parse_one(options, option, argv, error))
			return OPTIONS_ERROR;
		if (status && option != 'i') {
			ek_error_set(error, "status takes no other option than --interface");
			return OPTIONS_ERROR;
		}
		if (option == ADVICE)
			verdict = OPTIONS_ADVICE;
	}
	if (optind < argc) {
		ek_error_set(error, "%s: not an option", argv[optind]);
		return OPTIONS_ERROR;
	}
	return finish(options, verdict, error);
}
