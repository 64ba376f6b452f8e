/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration: one YAML file, read whole into one struct, or a list of errors.
 *
 * ek_config_load() is all or nothing: it returns a configuration in which every reference and
 * limit holds, or NULL with every error it could find. It touches no interface, socket or map.
 */
#ifndef EVENKEEL_CONFIG_H
#define EVENKEEL_CONFIG_H

#include <net/if.h>
#include <stdint.h>
#include <evenkeel/abi.h>
#include "error.h"

#define EK_NAME_MAX    63
#define EK_CONFIG_MAX  (1u << 20) /* bytes of a file: larger is an error, not a slow start */
#define EK_TIMEOUT_MAX 10800u /* seconds: ages are 14-bit and must not wrap between two sweeps */

enum ek_xdp_mode { EK_XDP_AUTO, EK_XDP_NATIVE, EK_XDP_GENERIC };
enum ek_method { EK_METHOD_MAGLEV, EK_METHOD_SOURCE_HASH };
enum ek_tracking { EK_TRACKING_JUST_ENOUGH, EK_TRACKING_FULL, EK_TRACKING_NONE };
enum ek_failover { EK_FAILOVER_STATEFUL, EK_FAILOVER_STATELESS, EK_FAILOVER_NONE };
enum ek_announce { EK_ANNOUNCE_ARP, EK_ANNOUNCE_VMAC, EK_ANNOUNCE_ROUTE };
enum ek_check_type { EK_CHECK_NONE, EK_CHECK_TCP, EK_CHECK_HTTP, EK_CHECK_HTTPS };

struct ek_config_interface {
	char name[IFNAMSIZ];
	enum ek_xdp_mode mode;
	unsigned int line;
};

struct ek_config_check {
	enum ek_check_type type;
	uint16_t port;			      /* 0 = the service's */
	unsigned int interval;		      /* ms */
	unsigned int timeout;		      /* ms, at most interval */
	unsigned int rise, fall;	      /* consecutive results that change the state */
	char path[256];			      /* http: "/..." */
	char host[256];			      /* http: the Host header; "" = the VIP */
	unsigned int status_low, status_high; /* http: accepted status codes, inclusive */
	char body[256]; /* http: extended regular expression to find; "" = any */
};

struct ek_config_backend {
	char name[EK_NAME_MAX + 1];
	struct ek_ip address;
	unsigned int weight; /* 0-1000; 0 = takes no new connections */
	unsigned int line;
};

struct ek_config_timeouts { /* seconds, 1..EK_TIMEOUT_MAX */
	unsigned int established, embryonic, closing, udp;
};

#define EK_SERVICE_ADDRESSES_MAX 8
#define EK_SERVICE_ENTRIES_MAX	 (2 * EK_SERVICE_ADDRESSES_MAX)

struct ek_config_vip {
	struct ek_ip address; /* host bits zero */
	unsigned int length;  /* of 128 bits, 96 more than IPv4 has; 128: one address */
};

/*
 * A service in the file is one service in the data plane, with one ring, whatever its number of
 * addresses and protocols: ek_config_entries().
 */
struct ek_config_service {
	char name[EK_NAME_MAX + 1];
	struct ek_ip vip; /* the first of `addresses`, and what names the service to the peers */
	struct ek_config_vip addresses[EK_SERVICE_ADDRESSES_MAX];
	size_t n_addresses;
	uint16_t port, port_last; /* host order, both included; 0 and 65535: any */
	uint8_t protocol;	  /* IPPROTO_TCP, IPPROTO_UDP, or 0: any, by addresses alone */
	bool udp_too;		  /* protocol: tcp+udp */
	enum ek_forward forward;  /* as in the file: IPIP, GUE, TOS, L2, LOCAL */
	unsigned int tos;	  /* forward: tos; 1-63 */
	uint16_t gue_port;	  /* forward: gue */
	unsigned int gue_variant; /* 0, or 1: direct */
	unsigned int mss;	  /* 0: off; EK_MSS_AUTO: what fits the tunnel */
	enum ek_method method;
	enum ek_tracking tracking;
	enum ek_failover failover; /* what the peers are told of it; `none`: and no adoption */
	unsigned int hash_prefix4, hash_prefix6; /* source-hash: client bits that count */
	struct ek_config_timeouts timeouts;
	bool outer_source_set;
	struct ek_ip outer_source; /* prefix */
	unsigned int outer_source_length;
	struct ek_config_check check;
	struct ek_config_backend *backends;
	size_t n_backends;
	unsigned int line;
};

#define EK_MSS_AUTO 65535u

/* Answers that the data plane makes itself, a second and CPU. */
struct ek_config_icmp {
	bool echo;		 /* echo requests for VIPs are answered */
	unsigned int echo_rate;	 /* replies */
	unsigned int error_rate; /* "packet too big" */
};

struct ek_config_limits {
	unsigned int backends;	   /* size of the backend map, 2..EK_BACKENDS_MAX */
	unsigned int flows;	   /* entries of the connection table, a power of two */
	unsigned int flow_quota;   /* percent of them that one service may hold */
	unsigned int remember_max; /* percent of a ring that may remember before an alarm */
};

/* --- high availability ----------------------------------------------------------------------- */

#define EK_PEERS_MAX	      3
#define EK_PEER_ADDRESSES_MAX 4
#define EK_INSTANCES_MAX      16
#define EK_INSTANCE_VIPS_MAX  64
#define EK_TRACKS_MAX	      16
#define EK_SET_MEMBERS_MAX    8

struct ek_config_peer {
	char name[EK_NAME_MAX + 1]; /* the other's `node` */
	struct ek_ip addresses[EK_PEER_ADDRESSES_MAX];
	size_t n_addresses;
	bool channel; /* false: a foreign VRRP router such as keepalived, with no peer channel */
	unsigned int line;
};

/* What must work for the node to be healthy: all of them. */
enum ek_track_kind { EK_TRACK_INTERFACES, EK_TRACK_ROUTE, EK_TRACK_SCRIPT };

struct ek_config_track {
	enum ek_track_kind kind;
	char name[EK_NAME_MAX + 1]; /* for people: the interface, the set, the prefix, the script */
	/* INTERFACES: a set fails when all its members do; a single interface is a set of one. */
	char interfaces[EK_SET_MEMBERS_MAX][IFNAMSIZ];
	size_t n_interfaces;
	struct ek_ip prefix;		/* ROUTE */
	unsigned int prefix_length;	/* of its own family: 0-32 or 0-128 */
	char command[256];		/* SCRIPT: an absolute path, run without arguments */
	unsigned int interval, timeout; /* SCRIPT: ms */
	unsigned int rise, fall;	/* SCRIPT */
	unsigned int line;
};

/* A group of VIPs that one node at a time has: a VRRP virtual router (RFC 9568). */
struct ek_config_instance {
	char name[EK_NAME_MAX + 1];
	char interface[IFNAMSIZ];
	char heartbeats[EK_SET_MEMBERS_MAX][IFNAMSIZ]; /* further interfaces for its adverts */
	size_t n_heartbeats;
	uint8_t vrid;	       /* 1-255, unique in the file */
	uint8_t priority;      /* 1-254 */
	unsigned int interval; /* ms, a multiple of 10, 10-40950 */
	bool preempt;
	unsigned int preempt_delay; /* ms */
	enum ek_announce announce;
	bool all_active;    /* route: every healthy node announces; the election is for the ring */
	bool unicast;	    /* adverts go to the peers' addresses, not to the group */
	bool pseudo_header; /* IPv4 checksum as keepalived computes it, over a pseudo-header too */
	struct ek_ip vips[EK_INSTANCE_VIPS_MAX];
	size_t n_vips;
	unsigned int line;
};

struct ek_config_ha {
	bool enabled;	  /* there is an `ha` section */
	char secret[108]; /* a 0600 file with the peers' pre-shared key; "" = no peer channel */
	struct ek_ip addresses[EK_PEER_ADDRESSES_MAX]; /* own, where the channel listens */
	size_t n_addresses;
	uint16_t port;
	unsigned int ack_timeout; /* ms: how long a ring change waits for the peers */
	bool fail_safe;
	unsigned int max_flips;	  /* 0 = no limit */
	unsigned int flip_window; /* s */
	struct ek_config_peer peers[EK_PEERS_MAX];
	size_t n_peers;
	struct ek_config_track tracks[EK_TRACKS_MAX];
	size_t n_tracks;
	struct ek_config_instance instances[EK_INSTANCES_MAX];
	size_t n_instances;
};

struct ek_config {
	char node[EK_NAME_MAX + 1];
	char hash_key[108];  /* a file with the cluster's key; "" = the state directory's own */
	char state_dir[108]; /* "" = the default, /var/lib/evenkeel */
	struct ek_config_interface *interfaces;
	size_t n_interfaces;
	struct ek_config_limits limits;
	struct ek_config_icmp icmp;
	struct ek_config_ha ha;
	bool announce; /* VIPs by ARP and neighbour discovery; never beside ha.instances */
	struct ek_config_service *services;
	size_t n_services;
};

/* NULL with errors, among them that the file could not be read. The caller frees. */
struct ek_config *ek_config_load(const char *path, struct ek_errors *errors);
/*
 * A file's whole text, with a NUL that is not counted, or NULL with an error. The caller frees.
 */
char *ek_config_read(const char *path, size_t *length, struct ek_errors *errors);
/* The same from memory; `text` need not end in NUL. */
struct ek_config *ek_config_parse(const char *text, size_t length, struct ek_errors *errors);
void ek_config_free(struct ek_config *config);

/*
 * A duration with units: "500ms", "2h15m". NULL with *ms, or what is wrong with it ("has no unit"),
 * to be said after the text itself.
 */
const char *ek_duration_parse(const char *text, unsigned long *ms);

/* One (address, ports, protocol) of a service, as the data plane looks for it. */
struct ek_config_entry {
	struct ek_config_vip vip;
	uint16_t port, port_last; /* as in ek_config_service */
	uint8_t protocol;
};

/* Writes them to out[EK_SERVICE_ENTRIES_MAX], the one that names the service first; their number.
 */
size_t ek_config_entries(const struct ek_config_service *service, struct ek_config_entry *out);
/* The key of its entry in the service table: EK_SERVICE_KEY() or EK_SERVICE_WILD_KEY(). */
uint64_t ek_config_entry_key(const struct ek_config_entry *entry);
/* Whether it has a single address, port and protocol: such are found without wildcards. */
bool ek_config_entry_is_exact(const struct ek_config_entry *entry);

/* Its ports as in the file: "80", "8000-8099", "any". Returns out. */
#define EK_PORTS_TEXT 12
const char *ek_config_ports_text(const struct ek_config_service *service, char out[EK_PORTS_TEXT]);
/* "tcp", "udp", "tcp+udp", "any" */
const char *ek_config_protocol_name(const struct ek_config_service *service);

const char *ek_forward_name(enum ek_forward forward);
const char *ek_method_name(enum ek_method method);
const char *ek_tracking_name(enum ek_tracking tracking);
const char *ek_check_name(enum ek_check_type type);
const char *ek_xdp_mode_name(enum ek_xdp_mode mode);
const char *ek_failover_name(enum ek_failover failover);
const char *ek_announce_name(enum ek_announce announce);

#endif
