/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Any bytes as a configuration file: either a configuration whose limits hold, or errors that can
 * be printed on a terminal; never both, and nothing is left allocated. And a `services` section
 * that can be cut out of them can be put back, and is then what was cut out.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "config.h"
#include "config_services.h"
#include "ha_policy.h"
#include "ip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_errors(const struct ek_errors *errors)
{
	char text[512];
	int length;

	for (size_t i = 0; i < errors->count; i++) {
		const struct ek_error *error = &errors->list[i];

		length = ek_error_format(error, "a.yaml", text, sizeof(text));
		must(length > 0 && (size_t)length < sizeof(text));
		for (const char *c = text; *c; c++)
			must((unsigned char)*c >= ' ' && *c != 0x7f);
		must(!i || error[-1].line <= error->line);
	}
}

static bool has_address(const struct ek_config_service *service, const struct ek_ip *ip)
{
	for (size_t i = 0; i < service->n_addresses; i++) {
		struct ek_ip masked = ek_ip_mask(ip, service->addresses[i].length);

		if (ek_ip_equal(&masked, &service->addresses[i].address))
			return true;
	}
	return false;
}

static bool is_vip(const struct ek_config *config, const struct ek_ip *ip)
{
	for (size_t i = 0; i < config->n_services; i++)
		if (has_address(&config->services[i], ip))
			return true;
	return false;
}

static void check_place(const struct ek_config_service *service)
{
	char ports[EK_PORTS_TEXT];

	must(service->n_addresses && service->n_addresses <= EK_SERVICE_ADDRESSES_MAX);
	must(ek_ip_equal(&service->vip, &service->addresses[0].address));
	for (size_t i = 0; i < service->n_addresses; i++) {
		must(!ek_ip_unusable(&service->addresses[i].address));
		must(has_address(service, &service->addresses[i].address));
	}
	must(service->port || service->port_last == UINT16_MAX);
	must(service->port <= service->port_last);
	must(strlen(ek_config_ports_text(service, ports)) < sizeof(ports));
	must(strcmp(ek_config_protocol_name(service), "?"));
	if (service->protocol)
		must(service->protocol == IPPROTO_TCP || service->protocol == IPPROTO_UDP);
	else
		must(!service->port && service->method == EK_METHOD_SOURCE_HASH);
	must(!service->udp_too || service->protocol == IPPROTO_TCP);
	if (service->udp_too || service->protocol != IPPROTO_TCP)
		must(service->tracking != EK_TRACKING_JUST_ENOUGH);
}

/* What the method cannot do. */
static void check_forward(const struct ek_config_service *service)
{
	must(service->forward >= EK_FORWARD_IPIP && service->forward <= EK_FORWARD_LOCAL);
	must(!service->tos == (service->forward != EK_FORWARD_TOS) && service->tos < 64);
	must(service->gue_port && service->gue_variant <= 1);
	must(!service->mss || (service->mss >= 88 && service->mss <= EK_MSS_AUTO));
	must(service->forward != EK_FORWARD_LOCAL || service->n_backends == 1);
	must(service->forward != EK_FORWARD_TOS ||
	     (service->n_addresses == 1 && service->addresses[0].length == 128));
	must(!service->outer_source_set || service->forward <= EK_FORWARD_GUE);
	for (size_t i = 0; i < service->n_backends; i++) {
		int family = ek_ip_family(&service->backends[i].address);

		must(!service->outer_source_set || family == ek_ip_family(&service->outer_source));
		if (service->forward != EK_FORWARD_TOS && service->forward != EK_FORWARD_L2)
			continue;
		for (size_t j = 0; j < service->n_addresses; j++)
			must(family == ek_ip_family(&service->addresses[j].address));
	}
}

static void check_check(const struct ek_config_service *service)
{
	const struct ek_config_check *check = &service->check;

	must(check->type <= EK_CHECK_HTTPS && check->timeout <= check->interval);
	must(check->type == EK_CHECK_NONE || check->port || service->port == service->port_last);
	must(check->rise && check->fall && check->status_low <= check->status_high);
	must(check->path[0] == '/' && !strpbrk(check->path, "\r\n ") &&
	     !strpbrk(check->host, "\r\n "));
}

static void check_service(const struct ek_config *config, const struct ek_config_service *service)
{
	must(service->name[0] && service->method <= EK_METHOD_SOURCE_HASH);
	check_place(service);
	check_forward(service);
	check_check(service);
	must(service->tracking <= EK_TRACKING_NONE);
	must(service->failover != EK_FAILOVER_STATEFUL || service->tracking != EK_TRACKING_NONE);
	must(service->failover != EK_FAILOVER_NONE || service->tracking == EK_TRACKING_FULL);
	must(service->timeouts.established && service->timeouts.established <= EK_TIMEOUT_MAX);
	must(service->n_backends > 0);
	for (size_t i = 0; i < service->n_backends; i++) {
		const struct ek_config_backend *backend = &service->backends[i];

		must(backend->name[0] && backend->weight <= 1000);
		must(!ek_ip_unusable(&backend->address));
		must(!is_vip(config, &backend->address));
	}
}

/* No two entries alike, and ranges of one prefix and protocol lie apart or one in the other. */
static bool collide(const struct ek_config_entry *a, const struct ek_config_entry *b)
{
	if (a->vip.length != b->vip.length || a->protocol != b->protocol ||
	    !ek_ip_equal(&a->vip.address, &b->vip.address))
		return false;
	if (a->port == b->port)
		return a->port_last == b->port_last;
	if (a->port > b->port)
		return collide(b, a);
	return a->port_last >= b->port && a->port_last < b->port_last;
}

static size_t count_rules(const struct ek_config_entry *entries, size_t n,
			  const struct ek_config_vip *vip)
{
	size_t rules = 0;

	for (size_t i = 0; i < n; i++) {
		const struct ek_config_vip *prefix = &entries[i].vip;
		struct ek_ip masked = ek_ip_mask(&vip->address, prefix->length);

		rules += prefix->length <= vip->length && ek_ip_equal(&masked, &prefix->address) &&
			 !ek_config_entry_is_exact(&entries[i]);
	}
	return rules;
}

static void check_entries(const struct ek_config *config)
{
	static struct ek_config_entry entries[EK_SERVICES_MAX + EK_SERVICE_ENTRIES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < config->n_services; i++) {
		n += ek_config_entries(&config->services[i], entries + n);
		must(n <= EK_SERVICES_MAX);
	}
	for (size_t i = 0; i < n; i++) {
		must(count_rules(entries, n, &entries[i].vip) <= EK_WILDCARD_RULES);
		for (size_t j = 0; j < i; j++)
			must(!collide(&entries[i], &entries[j]));
	}
}

static void check_peers(const struct ek_config *config)
{
	const struct ek_config_ha *ha = &config->ha;

	must(ha->port && ha->ack_timeout >= 10 && ha->n_peers <= EK_PEERS_MAX);
	must(!ha->secret[0] || ha->n_addresses);
	must(!ha->max_flips == !ha->flip_window && ha->max_flips <= EK_FLIPS_MAX);
	for (size_t i = 0; i < ha->n_addresses; i++)
		must(!ek_ip_unusable(&ha->addresses[i]) && !is_vip(config, &ha->addresses[i]));
	for (size_t i = 0; i < ha->n_peers; i++) {
		must(ha->peers[i].name[0] && strcmp(ha->peers[i].name, config->node));
		must(ha->peers[i].n_addresses > 0);
	}
}

static void check_track(const struct ek_config_track *track)
{
	must(track->name[0]);
	switch (track->kind) {
	case EK_TRACK_INTERFACES:
		must(track->n_interfaces && track->n_interfaces <= EK_SET_MEMBERS_MAX);
		must(track->interfaces[track->n_interfaces - 1][0]);
		break;
	case EK_TRACK_ROUTE:
		must(track->prefix_length <= (ek_ip_is_v4(&track->prefix) ? 32 : 128));
		break;
	case EK_TRACK_SCRIPT:
		must(track->command[0] == '/' && track->timeout && track->rise && track->fall);
		must(track->timeout <= track->interval);
		break;
	default:
		must(false);
	}
}

static void check_instance(const struct ek_config *config,
			   const struct ek_config_instance *instance)
{
	must(instance->name[0] && instance->interface[0] && instance->vrid && instance->n_vips);
	must(instance->priority && instance->priority < 255);
	must(instance->interval && instance->interval % 10 == 0 && instance->interval <= 40950);
	must(!instance->all_active || instance->announce == EK_ANNOUNCE_ROUTE);
	must(!instance->unicast || (config->ha.n_peers && !instance->n_heartbeats));
	for (size_t i = 0; i < instance->n_vips; i++)
		must(is_vip(config, &instance->vips[i]));
}

static void check_ha(const struct ek_config *config)
{
	const struct ek_config_ha *ha = &config->ha;

	check_peers(config);
	for (size_t i = 0; i < ha->n_tracks; i++)
		check_track(&ha->tracks[i]);
	for (size_t i = 0; i < ha->n_instances; i++)
		check_instance(config, &ha->instances[i]);
}

static void check_section(const char *file, size_t size)
{
	size_t length, whole_length, again_length;
	char *section, *whole, *again;

	if (ek_config_services_text(file, size, &section, &length))
		return;
	must(!ek_config_services_replace(file, size, section, length, &whole, &whole_length));
	must(!ek_config_services_text(whole, whole_length, &again, &again_length));
	must(again_length == length && !memcmp(again, section, length));
	free(again);
	free(whole);
	free(section);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ek_errors errors;
	struct ek_config *config = ek_config_parse((const char *)data, size, &errors);

	must((config == NULL) == (errors.count > 0));
	check_errors(&errors);
	check_section((const char *)data, size);
	if (!config)
		return 0;
	must(config->node[0] && config->n_interfaces > 0);
	must(config->limits.flows && !(config->limits.flows & (config->limits.flows - 1)));
	for (size_t i = 0; i < config->n_services; i++)
		check_service(config, &config->services[i]);
	check_entries(config);
	must(config->icmp.echo_rate && config->icmp.error_rate);
	if (config->ha.enabled)
		check_ha(config);
	ek_config_free(config);
	return 0;
}
