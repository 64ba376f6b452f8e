/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Any bytes as a configuration file: either a configuration whose limits hold, or errors that can
 * be printed on a terminal; never both, and nothing is left allocated.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "config.h"
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

static void check_service(const struct ek_config_service *service)
{
	const struct ek_config_check *check = &service->check;

	must(service->name[0] && service->port && !ek_ip_unusable(&service->vip));
	must(service->protocol == IPPROTO_TCP || service->protocol == IPPROTO_UDP);
	must(service->forward == EK_FORWARD_IPIP && service->method <= EK_METHOD_SOURCE_HASH);
	must(service->tracking <= EK_TRACKING_NONE);
	must(service->timeouts.established && service->timeouts.established <= EK_TIMEOUT_MAX);
	must(check->type <= EK_CHECK_HTTPS && check->timeout <= check->interval);
	must(check->rise && check->fall && check->status_low <= check->status_high);
	must(check->path[0] == '/' && !strpbrk(check->path, "\r\n ") &&
	     !strpbrk(check->host, "\r\n "));
	must(service->n_backends > 0);
	for (size_t i = 0; i < service->n_backends; i++) {
		const struct ek_config_backend *backend = &service->backends[i];

		must(backend->name[0] && backend->weight <= 1000);
		must(ek_ip_family(&backend->address) == ek_ip_family(&service->vip));
		must(!ek_ip_unusable(&backend->address));
		must(!ek_ip_equal(&backend->address, &service->vip));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ek_errors errors;
	struct ek_config *config = ek_config_parse((const char *)data, size, &errors);

	must((config == NULL) == (errors.count > 0));
	check_errors(&errors);
	if (!config)
		return 0;
	must(config->node[0] && config->n_interfaces > 0);
	must(config->limits.flows && !(config->limits.flows & (config->limits.flows - 1)));
	for (size_t i = 0; i < config->n_services; i++)
		check_service(&config->services[i]);
	ek_config_free(config);
	return 0;
}
