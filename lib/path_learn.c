/* SPDX-License-Identifier: GPL-2.0-only */
/* See path_learn.h. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include "controller.h"
#include "datapath_learned.h"
#include "ip.h"
#include "log.h"
#include "path_learn.h"
#include "path_mtu.h"
#include "reach.h"

static const struct timeval listen_interval = {.tv_usec = 250000};

struct ek_path_learn {
	struct ek_controller *controller;
	struct ek_datapath_learned *ring;
	struct event *listen;
	struct ek_path_mtu table;
	time_t now; /* CLOCK_MONOTONIC seconds, of this turn */
	bool changed;
};

static bool is_source(const struct ek_controller *c, const struct ek_config_service *service,
		      const struct ek_ip *source)
{
	for (size_t i = 0; i < ek_ports_count(c->ports); i++) {
		const int number = ek_ports_at(c->ports, i)->number;
		struct ek_port port;

		if (number < 0)
			continue;
		port = ek_datapath_port_row(c->datapath, number);
		if (ek_ip_equal(source, &port.source6) ||
		    (ek_ip_family(source) == AF_INET && source->words[3] == port.source4))
			return true;
	}
	if (service->outer_source_set) {
		struct ek_ip network = ek_ip_mask(source, service->outer_source_length);

		return ek_ip_equal(&network, &service->outer_source);
	}
	return false;
}

/* The service and backend that packets from `source` to `address` are of. */
static const struct ek_member *find_member(const struct ek_controller *c,
					   const struct ek_learned *learned,
					   const struct ek_service_runtime **service)
{
	for (size_t i = 0; i < c->world.n_services; i++) {
		const struct ek_service_runtime *s = &c->world.services[i];

		for (size_t j = 0; j < s->n_members; j++) {
			if (!ek_ip_equal(&s->members[j].backend->address, &learned->address) ||
			    !is_source(c, s->config, &learned->source))
				continue;
			*service = s;
			return &s->members[j];
		}
	}
	return NULL;
}

static void on_learned(void *arg, const struct ek_learned *learned)
{
	struct ek_path_learn *learn = arg;
	const struct ek_service_runtime *service;
	const struct ek_member *m = find_member(learn->controller, learned, &service);
	char address[EK_IP_TEXT];
	struct ek_path path;
	uint16_t was, is;

	if (!m)
		return;
	ek_reach_judge(learn->controller, service, m, &path);
	was = ek_path_mtu_limit(&learn->table, &learned->address, path.mtu);
	if (ek_path_mtu_learn(&learn->table, &learned->address, learned->mtu, path.mtu,
			      learn->now) <= 0)
		return;
	learn->changed = true;
	is = ek_path_mtu_limit(&learn->table, &learned->address, path.mtu);
	if (was == path.mtu) /* and not each of many forged ones */
		ek_notice("backend %s (%s): a router on the way takes %u bytes at a time, not %u; "
			  "packets are held to that for %d minutes",
			  m->backend->name, ek_ip_format(&learned->address, address), is, was,
			  EK_PATH_MTU_SECONDS / 60);
}

static void on_listen(evutil_socket_t fd, short what, void *arg)
{
	struct ek_path_learn *learn = arg;
	struct timespec now;

	(void)fd;
	(void)what;
	clock_gettime(CLOCK_MONOTONIC, &now);
	learn->now = now.tv_sec;
	learn->changed = ek_path_mtu_expire(&learn->table, learn->now);
	ek_datapath_learned_read(learn->ring);
	if (learn->changed)
		ek_controller_apply_soon(learn->controller);
}

struct ek_path_learn *ek_path_learn_new(struct ek_controller *c)
{
	struct ek_path_learn *learn = calloc(1, sizeof(*learn));

	if (!learn)
		return NULL;
	learn->controller = c;
	ek_path_mtu_init(&learn->table);
	learn->ring = ek_datapath_learned_open(c->datapath, on_learned, learn);
	learn->listen = event_new(c->base, -1, EV_PERSIST, on_listen, learn);
	if (!learn->ring || !learn->listen || evtimer_add(learn->listen, &listen_interval)) {
		int err = errno;

		ek_path_learn_free(learn);
		errno = err;
		return NULL;
	}
	return learn;
}

void ek_path_learn_free(struct ek_path_learn *learn)
{
	if (!learn)
		return;
	if (learn->listen)
		event_free(learn->listen);
	ek_datapath_learned_close(learn->ring);
	ek_path_mtu_free(&learn->table);
	free(learn);
}

uint16_t ek_path_learn_limit(const struct ek_path_learn *learn, const struct ek_ip *backend,
			     uint16_t width)
{
	return learn ? ek_path_mtu_limit(&learn->table, backend, width) : width;
}
