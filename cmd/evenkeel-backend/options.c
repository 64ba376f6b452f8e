/* SPDX-License-Identifier: GPL-2.0-only */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include "error.h"
#include "ip.h"
#include "options.h"

static const char version[] = "evenkeel-backend 0.1\n";

static const char help[] =
	"Usage: evenkeel-backend --interface NAME [OPTION]...\n"
	"Takes the outer header off the packets that Evenkeel (or any IP-in-IP balancer) sends, "
	"with\n"
	"an XDP program, and holds the VIPs on lo without answering ARP for them.\n"
	"\n"
	"  -i, --interface NAME     where the packets come in\n"
	"  -v, --vip ADDRESS        a VIP to hold; only packets to VIPs are decapsulated (up to "
	"64)\n"
	"  -a, --allow PREFIX       take packets from these balancers only (up to 64)\n"
	"  -m, --mode MODE          auto (the default), native or generic\n"
	"  -s, --state-dir DIR      where to note what is to be undone (/run/evenkeel)\n"
	"      --verbose            log what libbpf says, too\n"
	"  -h, --help               this text\n"
	"  -V, --version\n"
	"\n"
	"It runs in the foreground, undoes everything on SIGINT or SIGTERM, and logs its counters\n"
	"then and on SIGUSR1. See evenkeel-backend(8).\n";

static const struct option long_options[] = {
	{"interface", required_argument, NULL, 'i'},
	{"vip", required_argument, NULL, 'v'},
	{"allow", required_argument, NULL, 'a'},
	{"mode", required_argument, NULL, 'm'},
	{"state-dir", required_argument, NULL, 's'},
	{"verbose", no_argument, NULL, 'd'},
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
		return refuse(error, "vip", text, "more than 64 VIPs");
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

static int parse_one(struct options *o, int option, char **argv, struct ek_error *error)
{
	switch (option) {
	case 'i':
		return parse_interface(o, optarg, error);
	case 'v':
		return parse_vip(o, optarg, error);
	case 'a':
		return parse_allow(o, optarg, error);
	case 'm':
		return parse_mode(o, optarg, error);
	case 's':
		o->state_dir = optarg;
		return 0;
	case 'd':
		o->verbose = true;
		return 0;
	case ':':
		ek_error_set(error, "%s: wants a value", argv[optind - 1]);
		return -1;
	default:
		ek_error_set(error, "%s: no such option", argv[optind - 1]);
		return -1;
	}
}

enum options_verdict options_parse(struct options *options, int argc, char **argv,
				   struct ek_error *error)
{
	int option;

	*options = (struct options){.state_dir = "/run/evenkeel"};
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":i:v:a:m:s:hV", long_options, NULL)) != -1) {
		if (option == 'h' || option == 'V') {
			fputs(option == 'h' ? help : version, stdout);
			return OPTIONS_DONE;
		}
		if (parse_one(options, option, argv, error))
			return OPTIONS_ERROR;
	}
	if (optind < argc)
		ek_error_set(error, "%s: not an option", argv[optind]);
	else if (!options->interface[0])
		ek_error_set(error, "--interface is missing");
	else
		return OPTIONS_RUN;
	return OPTIONS_ERROR;
}
