/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See ha.h. One group of VIPs: carries out what its VRRP machine decides. A master renews its lease
 * in the data plane before each advert, and the lease is shorter than the time after which a peer
 * that stopped hearing adverts claims: whatever happens to this process, the data plane has stopped
 * announcing by then.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <net/if.h>
#include "ha_private.h"
#include "ip.h"
#include "log.h"

/* RFC 9568 asks for one gratuitous ARP; switches and hosts lose some. */
#define BURST	       5
#define BURST_GAP_MS   20
#define BURST_AGAIN_MS 5000

static int family_at(size_t f)
{
	return f ? AF_INET6 : AF_INET;
}

static struct ek_lease *lease_of(struct ek_ha_instance *i)
{
	return &ek_datapath_leases(i->ha->c->datapath)[i->config->vrid];
}

/* --- lease ----------------------------------------------------------------------------------- */

static uint64_t lease_mac(const struct ek_ha_instance *i, bool v6,
			  const struct ek_port_status *port)
{
	uint8_t mac[6];
	uint64_t word = 0;

	if (i->config->announce == EK_ANNOUNCE_VMAC)
		ek_announce_vmac(i->config->vrid, v6, mac);
	else
		memcpy(mac, port->mac, sizeof(mac));
	memcpy(&word, mac, sizeof(mac));
	return word | (i->config->announce == EK_ANNOUNCE_VMAC ? EK_LEASE_HELD : 0);
}

static const struct ek_port_status *port_of(const struct ek_ha_instance *i)
{
	for (size_t p = 0; p < ek_ports_count(i->ha->c->ports); p++) {
		const struct ek_port_status *port = ek_ports_at(i->ha->c->ports, p);

		if (!strcmp(port->name, i->config->interface))
			return port;
	}
	return NULL;
}

/* Until a little before the peers take a master for dead that sends its last advert now. */
static void renew_lease(struct ek_ha_instance *i)
{
	const struct ek_port_status *port = port_of(i);
	unsigned int ms = ek_vrrp_fsm_dead_ms(&i->fsm);
	struct ek_lease *lease = lease_of(i);

	if (!port || port->number < 0 || i->config->announce == EK_ANNOUNCE_ROUTE)
		return;
	/* Late: a peer may have claimed meanwhile, and is heard first. */
	if (lease->until && lease->until / 1000 < ek_ha_now_us() && ek_ha_now_ms() >= i->hold_ms) {
		lease->until = 0;
		i->hold_ms = ek_ha_now_ms() + i->config->interval;
	}
	if (ek_ha_now_ms() < i->hold_ms)
		return;
	lease->port = port->number;
	__atomic_store_n(&lease->mac4, lease_mac(i, false, port), __ATOMIC_RELAXED);
	__atomic_store_n(&lease->mac6, lease_mac(i, true, port), __ATOMIC_RELAXED);
	ms -= i->config->interval / 4;
	__atomic_store_n(&lease->until, (ek_ha_now_us() + ms * 1000ull) * 1000, __ATOMIC_RELEASE);
}

static void end_lease(struct ek_ha_instance *i)
{
	struct ek_lease *lease = lease_of(i);

	__atomic_store_n(&lease->until, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&lease->mac4, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&lease->mac6, 0, __ATOMIC_RELAXED);
}

void ek_ha_instance_leases(struct ek_ha_instance *i)
{
	uint8_t lease = i->config->announce == EK_ANNOUNCE_ROUTE ? EK_LEASE_NONE : i->config->vrid;

	for (size_t v = 0; v < i->config->n_vips; v++)
		ek_datapath_set_lease(i->ha->c->datapath, &i->config->vips[v], lease);
}

/* --- announcements --------------------------------------------------------------------------- */

/* The NIC may appear after us: then, as soon as it has. */
static void open_announcer(struct ek_ha_instance *i)
{
	struct ek_announcer_options options = {
		.interface = i->config->interface,
		.ifindex = if_nametoindex(i->config->interface),
		.vips = i->config->vips,
		.n_vips = i->config->n_vips,
		.virtual_mac = i->config->announce == EK_ANNOUNCE_VMAC,
		.vrid = i->config->vrid,
	};
	struct ek_error error = {0};

	if (i->announcer || i->config->announce == EK_ANNOUNCE_ROUTE || !options.ifindex)
		return;
	i->announcer = ek_announcer_new(&options, &error);
	if (!i->announcer)
		ek_warn("instance %s: %s", i->config->name, error.text);
}

static void begin_burst(struct ek_ha_instance *i)
{
	uint64_t now = ek_ha_now_ms();

	i->bursts = 2 * BURST;
	i->burst_ms = now < i->hold_ms ? i->hold_ms : now;
}

static void send_burst(struct ek_ha_instance *i, uint64_t now)
{
	const struct ek_port_status *port = port_of(i);

	if (!i->burst_ms || now < i->burst_ms)
		return;
	open_announcer(i);
	if (i->announcer && port && ek_announcer_send(i->announcer, port->mac) == -ENXIO) {
		ek_announcer_free(i->announcer); /* the interface is another one now */
		i->announcer = NULL;
	}
	i->burst_ms = --i->bursts ? now + (i->bursts == BURST ? BURST_AGAIN_MS : BURST_GAP_MS) : 0;
}

/*
 * With `active: all` a healthy node announces its routes, master or not, but begins only beside a
 * master whose connections it knows: those that the routers give it were another's until then.
 */
static bool shares(const struct ek_ha_instance *i)
{
	const struct ek_ha *ha = i->ha;

	if (!i->config->all_active || i->fsm.state != EK_VRRP_BACKUP || ha->health != EK_NODE_UP)
		return false;
	return i->routed || (ek_vrrp_fsm_hears_master(&i->fsm, ek_ha_now_ms()) &&
			     ek_ha_view(ha, i - ha->instances).synced);
}

void ek_ha_instance_routes(struct ek_ha_instance *i)
{
	bool wanted = i->config->announce == EK_ANNOUNCE_ROUTE && i->fsm.permit != EK_VRRP_NEVER &&
		      (i->fsm.state == EK_VRRP_MASTER || shares(i));

	bool failed = false;

	if (wanted == i->routed)
		return;
	for (size_t v = 0; v < i->config->n_vips; v++) {
		char text[EK_IP_TEXT];
		int err = ek_announce_route(&i->config->vips[v], wanted);

		failed |= err != 0;
		if (err && !i->route_failed)
			ek_err("instance %s: the route to %s cannot be %s: %s", i->config->name,
			       ek_ip_format(&i->config->vips[v], text),
			       wanted ? "added" : "removed", strerror(-err));
	}
	i->route_failed = failed; /* tried again with each evaluation */
	if (!failed)
		i->routed = wanted;
}

/* --- adverts --------------------------------------------------------------------------------- */

/* True if it left. */
static bool send_to(struct ek_ha_instance *i, struct ek_ha_path *path,
		    const struct ek_ip *destination, uint8_t priority)
{
	size_t f = path->family == AF_INET6;
	const struct ek_vrrp_advert advert = {.vrid = i->config->vrid,
					      .priority = priority,
					      .interval = i->config->interval,
					      .vips = i->vips[f],
					      .n_vips = i->n_vips[f]};
	uint8_t message[EK_VRRP_MESSAGE_MAX];
	struct ek_ip source;
	size_t length;
	int err = ek_vrrp_socket_source(path->socket, destination, &source);

	if (!err) {
		length = ek_vrrp_build(&advert, &source, destination, i->config->pseudo_header,
				       message, sizeof(message));
		err = ek_vrrp_socket_send(path->socket, message, length, &source, destination);
		path->sent += !err;
	}
	path->gone = err == -ENODEV;
	return !err;
}

static bool send_unicast(struct ek_ha_instance *i, struct ek_ha_path *path, uint8_t priority)
{
	const struct ek_config_ha *config = i->ha->config;
	bool sent = false;

	for (size_t p = 0; p < config->n_peers; p++)
		for (size_t a = 0; a < config->peers[p].n_addresses; a++) {
			const struct ek_ip *address = &config->peers[p].addresses[a];

			if (ek_ip_is_v4(address) == (path->family == AF_INET))
				sent |= send_to(i, path, address, priority);
		}
	return sent;
}

static void on_advert(void *arg, int family, const uint8_t *message, size_t length, uint8_t ttl,
		      const struct ek_ip *source, const struct ek_ip *destination, int ifindex);

/*
 * Not from on_advert(), whose socket may be among them. An interface may come later, or come back
 * as another one of the same name.
 */
void ek_ha_instance_reopen(struct ek_ha_instance *i)
{
	for (size_t p = 0; p < i->n_paths; p++) {
		struct ek_ha_path *path = &i->paths[p];
		int ifindex = path->interface[0] ? if_nametoindex(path->interface) : 0;
		struct ek_error error = {0};

		if (path->socket && (path->gone || path->ifindex != ifindex)) {
			ek_vrrp_socket_free(path->socket);
			path->socket = NULL;
			path->gone = false;
			if (i->fsm.state == EK_VRRP_BACKUP) /* what was said was not heard */
				ek_vrrp_fsm_permit(&i->fsm, EK_VRRP_NEVER, ek_ha_now_ms());
		}
		if (path->socket || (path->interface[0] && !ifindex))
			continue;
		path->ifindex = ifindex;
		path->socket = ek_vrrp_socket_new(
			i->ha->c->base, path->interface[0] ? path->interface : NULL, path->family,
			i->config->unicast, on_advert, i, &error);
		if (!path->socket)
			ek_warn("instance %s: %s", i->config->name, error.text);
	}
}

/* True if at least one left. */
static bool send_adverts(struct ek_ha_instance *i, uint8_t priority)
{
	bool sent = false;

	for (size_t p = 0; p < i->n_paths; p++) {
		struct ek_ha_path *path = &i->paths[p];
		struct ek_ip group = ek_vrrp_group(path->family);

		if (!path->socket)
			continue;
		if (i->config->unicast)
			sent |= send_unicast(i, path, priority);
		else
			sent |= send_to(i, path, &group, priority);
	}
	return sent;
}

/* The lease first; but a master that nobody can hear must not go on announcing. */
static void advertise(struct ek_ha_instance *i)
{
	uint64_t before = lease_of(i)->until;

	if (i->fsm.state == EK_VRRP_MASTER)
		renew_lease(i);
	if (!send_adverts(i, ek_vrrp_fsm_priority(&i->fsm)))
		__atomic_store_n(&lease_of(i)->until, before, __ATOMIC_RELEASE);
}

/* --- what the machine decides ---------------------------------------------------------------- */

/*
 * A peer that is preempted announces the VIPs until it hears of it, and then says so by one advert
 * more (see on_advert()): they are its own for that long, or for an interval.
 */
static bool preempts_peer(const struct ek_ha_instance *i)
{
	const struct ek_ha *ha = i->ha;

	for (size_t p = 0; p < ha->n_peers; p++)
		if (ha->peers[p].connected && ha->peers[p].primary[i->config->vrid])
			return ek_vrrp_fsm_hears_master(&i->fsm, ek_ha_now_ms());
	return false;
}

static void claim(struct ek_ha_instance *i)
{
	i->hold_ms = preempts_peer(i) ? i->fsm.advert_due_ms : 0;
	__atomic_store_n(&lease_of(i)->until, 0, __ATOMIC_RELEASE); /* of a life before, perhaps */
	open_announcer(i);
	begin_burst(i);
	i->claims++;
	i->ha->yielded = false;
	i->since = time(NULL);
	if (i->fsm.heard_ms) /* the first of all is no flip */
		ek_flips_note(&i->flips, ek_ha_now_ms());
	ek_notice("instance %s: primary", i->config->name);
}

/* Frames to the virtual MAC are still ours to forward until the next master has been heard. */
static void yield(struct ek_ha_instance *i)
{
	__atomic_store_n(&lease_of(i)->until, 0, __ATOMIC_RELEASE);
	i->lingers = true;
	i->burst_ms = 0;
	i->yields++;
	i->since = time(NULL);
	ek_flips_note(&i->flips, ek_ha_now_ms());
	ek_notice("instance %s: secondary (%s)", i->config->name, i->why);
}

static void arm(struct ek_ha_instance *i)
{
	uint64_t due = ek_vrrp_fsm_due(&i->fsm), now = ek_ha_now_us();
	struct timeval wait;

	if (i->burst_ms && i->burst_ms < due)
		due = i->burst_ms;
	if (due == UINT64_MAX) {
		evtimer_del(i->timer);
		return;
	}
	due = due * 1000 > now ? due * 1000 - now : 0;
	wait = (struct timeval){.tv_sec = due / 1000000, .tv_usec = due % 1000000};
	evtimer_add(i->timer, &wait);
}

/* Rings are made anew, which takes its time: not while an answer is awaited. */
static void tell_node(struct ek_ha_instance *i)
{
	if (!i->turned || ek_ha_now_ms() < i->hold_ms)
		return;
	i->turned = false;
	ek_ha_roles_changed(i->ha, i->fsm.state != EK_VRRP_MASTER);
}

static void act(struct ek_ha_instance *i, unsigned int actions)
{
	if (actions & EK_VRRP_DO_CLAIM)
		claim(i);
	if (actions & EK_VRRP_DO_YIELD)
		yield(i);
	if (actions & EK_VRRP_DO_REANNOUNCE)
		i->hold_ms = 0;
	if (actions & EK_VRRP_DO_ADVERT)
		advertise(i);
	if (actions & EK_VRRP_DO_RESIGN)
		send_adverts(i, EK_VRRP_PRIORITY_RESIGN);
	if (actions & EK_VRRP_DO_REANNOUNCE)
		begin_burst(i);
	ek_ha_instance_routes(i);
	i->turned |= (actions & (EK_VRRP_DO_CLAIM | EK_VRRP_DO_YIELD)) != 0;
	tell_node(i);
	arm(i);
}

void ek_ha_instance_run(struct ek_ha_instance *i)
{
	uint64_t now = ek_ha_now_ms();

	ek_ha_instance_reopen(i);
	/* First: who has overslept is master no more, and has nothing to announce. */
	act(i, ek_vrrp_fsm_due(&i->fsm) <= now ? ek_vrrp_fsm_timer(&i->fsm, now) : 0);
	send_burst(i, now);
	arm(i);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ek_ha_instance_run(arg);
}

/*
 * A claim beside a master may be due in a moment: it was permitted when the master was heard. After
 * NEVER, the master's whole silence is awaited.
 */
static void forget_claim(struct ek_ha_instance *i)
{
	uint64_t now = ek_ha_now_ms();

	if (i->fsm.state == EK_VRRP_BACKUP && ek_vrrp_fsm_hears_master(&i->fsm, now))
		ek_vrrp_fsm_permit(&i->fsm, EK_VRRP_NEVER, now);
}

void ek_ha_instance_permit(struct ek_ha_instance *i, enum ek_vrrp_permit permit, const char *why)
{
	i->why = why;
	if (permit == EK_VRRP_IF_SILENT && i->fsm.permit != permit)
		forget_claim(i);
	if (i->fsm.permit != permit)
		act(i, ek_vrrp_fsm_permit(&i->fsm, permit, ek_ha_now_ms()));
	else
		ek_ha_instance_routes(i);
}

/* --- what is heard --------------------------------------------------------------------------- */

/*
 * A unicast advert must come from a peer's address. One to the group is from the same link (its TTL
 * says so) and must too, if the peers' addresses of its kind are known: an IPv6 one comes from a
 * link-local address (RFC 9568, 5.1.2.1), which a file need not name.
 */
static bool known_source(const struct ek_ha_instance *i, const struct ek_ip *source)
{
	const struct ek_config_ha *config = i->ha->config;
	bool link_local = ek_ip_is_link_local(source);
	bool listed = i->config->unicast || (!ek_ip_is_v4(source) && !link_local);

	for (size_t p = 0; p < config->n_peers; p++)
		for (size_t a = 0; a < config->peers[p].n_addresses; a++) {
			const struct ek_ip *address = &config->peers[p].addresses[a];

			if (ek_ip_equal(address, source))
				return true;
			listed |= ek_ip_is_v4(address) ? ek_ip_is_v4(source)
						       : ek_ip_is_link_local(address) && link_local;
		}
	return !listed;
}

static bool same_vips(const struct ek_ha_instance *i, const struct ek_vrrp_heard *heard, size_t f)
{
	if (heard->n_vips != i->n_vips[f])
		return false;
	for (size_t v = 0; v < heard->n_vips; v++) {
		size_t own = 0;

		while (own < i->n_vips[f] && !ek_ip_equal(&heard->vips[v], &i->vips[f][own]))
			own++;
		if (own == i->n_vips[f])
			return false;
	}
	return true;
}

static struct ek_ha_path *path_of(struct ek_ha_instance *i, int family, int ifindex)
{
	char name[IFNAMSIZ] = "";

	if (!i->config->unicast)
		if_indextoname(ifindex, name);
	for (size_t p = 0; p < i->n_paths; p++)
		if (i->paths[p].family == family && i->paths[p].socket &&
		    !strcmp(i->paths[p].interface, name))
			return &i->paths[p];
	return NULL;
}

/* Other instances' adverts come to this socket too. */
static enum ek_vrrp_refusal judge(struct ek_ha_instance *i, const struct ek_vrrp_heard *heard,
				  const struct ek_ip *source, const struct ek_ip *own)
{
	if (heard->vrid != i->config->vrid)
		return EK_VRRP_REFUSED_VRID;
	if (ek_ip_equal(source, own))
		return EK_VRRP_REFUSED_OWN;
	return known_source(i, source) ? EK_VRRP_ACCEPTED : EK_VRRP_REFUSED_SOURCE;
}

/*
 * Equal priorities are told apart by addresses, of which each path has others: two masters that
 * looked at different ones could both yield. The first path decides while anything is heard there.
 */
static bool decides_ties(const struct ek_ha_instance *i, const struct ek_ha_path *path)
{
	return path == &i->paths[0] || !i->paths[0].heard_ms ||
	       path->heard_ms - i->paths[0].heard_ms > ek_vrrp_fsm_dead_ms(&i->fsm);
}

static void on_advert(void *arg, int family, const uint8_t *message, size_t length, uint8_t ttl,
		      const struct ek_ip *source, const struct ek_ip *destination, int ifindex)
{
	struct ek_ha_instance *i = arg;
	struct ek_ha_path *path = path_of(i, family, ifindex);
	struct ek_ip own, toward;
	struct ek_vrrp_heard heard;
	enum ek_vrrp_refusal refusal;
	bool was_master;

	/* A peer in another network is some routers away; unicast is from configured peers only. */
	refusal = ek_vrrp_parse(message, length, i->config->unicast ? EK_VRRP_TTL : ttl, source,
				destination, &heard);
	if (!path)
		return;
	toward = i->config->unicast ? *source : ek_vrrp_group(family);
	if (ek_vrrp_socket_source(path->socket, &toward, &own))
		own = (struct ek_ip){0};
	if (!refusal)
		refusal = judge(i, &heard, source, &own);
	i->refused[refusal]++;
	if (refusal)
		return;
	/* A mistake of the operator's, not an attack: the election goes on (RFC 9568, 7.1). */
	if (!same_vips(i, &heard, family == AF_INET6) && !i->refused[EK_VRRP_REFUSED_ADDRESSES]++)
		ek_warn("instance %s: the peer advertises other addresses than ours",
			i->config->name);
	path->heard++;
	path->heard_ms = ek_ha_now_ms();
	was_master = i->fsm.state == EK_VRRP_MASTER;
	if (was_master && heard.priority == ek_vrrp_fsm_priority(&i->fsm) && !decides_ties(i, path))
		return;
	act(i, ek_vrrp_fsm_heard(&i->fsm, heard.priority, heard.interval, source, &own,
				 path->heard_ms));
	/*
	 * The better one may not have heard of us, after a partition for instance, when hosts have
	 * our announcements last: it announces again when it hears a lower master.
	 */
	if (was_master && i->fsm.state == EK_VRRP_BACKUP)
		send_adverts(i, ek_vrrp_fsm_priority(&i->fsm));
	if (i->lingers && i->fsm.state == EK_VRRP_BACKUP) {
		i->lingers = false;
		end_lease(i);
	}
	ek_ha_evaluate(i->ha);
}

/* --- life ------------------------------------------------------------------------------------ */

static void add_path(struct ek_ha_instance *i, size_t f, const char *interface)
{
	struct ek_ha_path *path = &i->paths[i->n_paths++];

	*path = (struct ek_ha_path){.family = family_at(f)};
	snprintf(path->interface, sizeof(path->interface), "%s", interface);
}

static void make_paths(struct ek_ha_instance *i)
{
	for (size_t f = 0; f < EK_HA_FAMILIES; f++) {
		if (!i->n_vips[f])
			continue;
		add_path(i, f, i->config->unicast ? "" : i->config->interface);
		for (size_t h = 0; !i->config->unicast && h < i->config->n_heartbeats; h++)
			add_path(i, f, i->config->heartbeats[h]);
	}
}

static struct ek_vrrp_settings settings_of(const struct ek_config_instance *config)
{
	return (struct ek_vrrp_settings){.priority = config->priority,
					 .interval_ms = config->interval,
					 .preempt = config->preempt,
					 .preempt_delay_ms = config->preempt_delay};
}

int ek_ha_instance_start(struct ek_ha *ha, struct ek_ha_instance *i,
			 const struct ek_config_instance *config, struct ek_error *error)
{
	const struct ek_vrrp_settings settings = settings_of(config);

	*i = (struct ek_ha_instance){.ha = ha, .config = config, .why = "starting"};
	i->since = time(NULL);
	for (size_t v = 0; v < config->n_vips; v++) {
		size_t f = !ek_ip_is_v4(&config->vips[v]);

		i->vips[f][i->n_vips[f]++] = config->vips[v];
	}
	i->timer = evtimer_new(ha->c->base, on_timer, i);
	if (!i->timer) {
		ek_error_set(error, "out of memory");
		return -ENOMEM;
	}
	make_paths(i);
	ek_ha_instance_reopen(i);
	open_announcer(i);
	ek_ha_instance_leases(i);
	/* A life before may have held it: frames to the virtual MAC go on being served until
	 * another master is heard. */
	i->lingers = lease_of(i)->mac4 != 0;
	ek_vrrp_fsm_init(&i->fsm, &settings);
	act(i, ek_vrrp_fsm_start(&i->fsm, ek_ha_now_ms()));
	return 0;
}

void ek_ha_instance_configure(struct ek_ha_instance *i, const struct ek_config_instance *config)
{
	const struct ek_vrrp_settings settings = settings_of(config);

	i->config = config;
	act(i, ek_vrrp_fsm_configure(&i->fsm, &settings, ek_ha_now_ms()));
}

void ek_ha_instance_stop(struct ek_ha_instance *i, bool leave)
{
	if (!i->ha)
		return;
	if (!leave) {
		i->why = "stopping";
		act(i, ek_vrrp_fsm_stop(&i->fsm, ek_ha_now_ms()));
	}
	for (size_t p = 0; p < i->n_paths; p++)
		ek_vrrp_socket_free(i->paths[p].socket);
	ek_announcer_free(i->announcer);
	event_free(i->timer);
	i->ha = NULL;
}
