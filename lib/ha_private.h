/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of ha.h share. */
#ifndef EVENKEEL_HA_PRIVATE_H
#define EVENKEEL_HA_PRIVATE_H

#include "announce.h"
#include "channel.h"
#include "ha.h"
#include "ha_policy.h"
#include "mirror.h"
#include "track.h"
#include "vrrp.h"
#include "vrrp_socket.h"

#define EK_HA_FAMILIES 2

/* Where an instance's adverts of one family leave. */
struct ek_ha_path {
	struct ek_vrrp_socket *socket; /* NULL: could not be opened yet; tried again */
	bool gone;		       /* its interface is: to be opened anew */
	int family;
	int ifindex;		  /* that the socket was opened on */
	char interface[IFNAMSIZ]; /* "" with unicast */
	uint64_t sent, heard;
	uint64_t heard_ms; /* the last one; 0 = never */
};

struct ek_ha_instance {
	struct ek_ha *ha;
	const struct ek_config_instance *config;
	struct ek_vrrp_fsm fsm;
	struct event *timer;
	struct ek_ha_path paths[EK_HA_FAMILIES * (EK_SET_MEMBERS_MAX + 1)];
	size_t n_paths;
	struct ek_ip vips[EK_HA_FAMILIES][EK_INSTANCE_VIPS_MAX];
	size_t n_vips[EK_HA_FAMILIES];
	struct ek_announcer *announcer;
	unsigned int bursts; /* announcements still to be sent … */
	uint64_t burst_ms;   /* … and when the next is due; 0 = none */
	uint64_t hold_ms;    /* not announced before: the one that it preempts still does */
	bool turned;	     /* its role has changed, and the node was not told yet */
	bool lingers; /* no lease, but the virtual MAC is served until another master is heard */
	bool route_failed; /* … or should be and are not: said once */
	bool routed;	   /* its routes are in the kernel's table */
	time_t since;	   /* wall clock, of the role */
	const char *why;   /* the policy's reason */
	uint64_t claims, yields;
	uint64_t refused[EK_VRRP_REFUSAL_COUNT];
	struct ek_flips flips;
};

struct ek_ha_peer {
	const struct ek_config_peer *config;
	bool connected;
	bool greeted; /* its status has come since it connected */
	/* As it said last: */
	enum ek_node_health health;
	bool disabled, synced;
	enum ek_stay stay;
	bool primary[256]; /* by VRID */
	char digest[65];   /* of its services */
	unsigned int format;
	char why[160];	   /* configuration or command trouble with it; "" = none */
	uint64_t asked_ms; /* when it was last asked for its services once more */
	char refused[256]; /* the last command that it refused */
};

struct ek_ha {
	struct ek_controller *c;
	const struct ek_config_ha *config; /* of c->config */
	struct ek_ha_instance instances[EK_INSTANCES_MAX];
	size_t n_instances;
	struct ek_ha_peer peers[EK_PEERS_MAX];
	size_t n_peers;
	struct ek_tracker *tracker;
	struct ek_channel *channel;
	struct ek_mirror *mirror;
	struct event *pump, *greet, *release, *recheck;
	enum ek_node_health health;
	char why[160];
	bool cut;	 /* from the network, or not well */
	uint64_t cut_ms; /* when it was last, or began */
	bool disabled, yielded;
	enum ek_stay stay;
	bool relaying;	 /* a peer's command is being carried out: not to be sent back */
	uint32_t asked;	 /* commands sent */
	json_t *said;	 /* the status that the peers have */
	char *services;	 /* see ek_ha_services() */
	char digest[65]; /* of the services in use, SHA-256 in hexadecimal */
	/* Ring changes that took effect before a peer knew. */
	uint64_t unmirrored;
	uint64_t unmirrored_us; /* since when one is; 0 = none */
	uint64_t window_us, window_max_us;
	bool waiting;
	uint64_t loss_ms; /* since when a backend that was lost waits; 0 = none */
};

uint64_t ek_ha_now_us(void);
static inline uint64_t ek_ha_now_ms(void)
{
	return ek_ha_now_us() / 1000;
}

/* ha.c */
void ek_ha_evaluate(struct ek_ha *ha); /* the policy, for every instance */
bool ek_ha_peer_is_well(const struct ek_ha_peer *peer);
bool ek_ha_is_primary(const struct ek_ha *ha, size_t instance);
const char *ek_ha_state_dir(const struct ek_ha *ha);
void ek_ha_roles_changed(struct ek_ha *ha, bool yielded);
struct ek_ha_view ek_ha_view(const struct ek_ha *ha, size_t instance);

/* ha_instance.c */
int ek_ha_instance_start(struct ek_ha *ha, struct ek_ha_instance *i,
			 const struct ek_config_instance *config, struct ek_error *error);
void ek_ha_instance_stop(struct ek_ha_instance *i, bool leave);
void ek_ha_instance_permit(struct ek_ha_instance *i, enum ek_vrrp_permit permit, const char *why);
void ek_ha_instance_configure(struct ek_ha_instance *i, const struct ek_config_instance *config);
/* Opens sockets that could not be opened yet, or whose interface is another one now. */
void ek_ha_instance_reopen(struct ek_ha_instance *i);
void ek_ha_instance_run(struct ek_ha_instance *i); /* whatever is due */
void ek_ha_instance_routes(struct ek_ha_instance *i);
void ek_ha_instance_leases(struct ek_ha_instance *i); /* its VIPs name their lease */

/* ha_peers.c */
int ek_ha_peers_start(struct ek_ha *ha, struct ek_error *error);
void ek_ha_peers_stop(struct ek_ha *ha);
void ek_ha_say_status(struct ek_ha *ha);
void ek_ha_say_config(struct ek_ha *ha);
void ek_ha_ask_again(struct ek_ha *ha); /* a leader whose services are not ours yet */
void ek_ha_digest(struct ek_ha *ha);	/* of c->config's file, or of the cluster's services */
/* Asks the peer that is primary of an instance for everything, if this node is not in sync. */
bool ek_ha_leads(const struct ek_ha *ha); /* is this node's services section the truth? */
bool ek_ha_ask_failover(struct ek_ha *ha, size_t peer, bool force);

/* ha_state.c */
void ek_ha_state_load(struct ek_ha *ha);
int ek_ha_state_save(const struct ek_ha *ha, struct ek_error *error);
void ek_ha_sha256(const void *bytes, size_t length, char out[65]);

#endif
