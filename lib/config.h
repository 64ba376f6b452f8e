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

struct ek_config_service {
	char name[EK_NAME_MAX + 1];
	struct ek_ip vip;
	uint16_t port;	  /* host order */
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	enum ek_forward forward;
	enum ek_method method;
	enum ek_tracking tracking;
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

struct ek_config_limits {
	unsigned int backends;	   /* size of the backend map, 2..EK_BACKENDS_MAX */
	unsigned int flows;	   /* entries of the connection table, a power of two */
	unsigned int flow_quota;   /* percent of them that one service may hold */
	unsigned int remember_max; /* percent of a ring that may remember before an alarm */
};

struct ek_config {
	char node[EK_NAME_MAX + 1];
	char hash_key[108];  /* a file with the cluster's key; "" = the state directory's own */
	char state_dir[108]; /* "" = the default, /var/lib/evenkeel */
	struct ek_config_interface *interfaces;
	size_t n_interfaces;
	struct ek_config_limits limits;
	struct ek_config_service *services;
	size_t n_services;
};

/* NULL with errors, among them that the file could not be read. The caller frees. */
struct ek_config *ek_config_load(const char *path, struct ek_errors *errors);
/* The same from memory; `text` need not end in NUL. */
struct ek_config *ek_config_parse(const char *text, size_t length, struct ek_errors *errors);
void ek_config_free(struct ek_config *config);

/*
 * A duration with units: "500ms", "2h15m". NULL with *ms, or what is wrong with it ("has no unit"),
 * to be said after the text itself.
 */
const char *ek_duration_parse(const char *text, unsigned long *ms);

const char *ek_forward_name(enum ek_forward forward);
const char *ek_method_name(enum ek_method method);
const char *ek_tracking_name(enum ek_tracking tracking);
const char *ek_check_name(enum ek_check_type type);
const char *ek_xdp_mode_name(enum ek_xdp_mode mode);

#endif
