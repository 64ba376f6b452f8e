/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a configuration file is read, private to config*.c. A config line's way:
 *
 *   yaml_document.c     text to tree, each node with its line and column
 *   config_schema.c     one table per mapping: a row per key says who reads its value, and whereto
 *   config_schema_service.c, config_schema_health.c, config_schema_ha.c
 *                       the same for the mappings of `services` and of `ha`
 *   config_value.c      one scalar: a number, a duration, a name, an address, ...
 *   config.c            what no single row can see: what must be unique in the whole file
 *   config_overlap.c    the same of services that share addresses
 *
 * A row's reader either stores a value or adds an error; reading goes on after an error, so that
 * one run finds all of them. A value that was refused is stored as "all bits set" or left zero,
 * which no rule about another key mistakes for a choice; a configuration with errors is thrown
 * away in the end.
 */
#ifndef EVENKEEL_CONFIG_SCHEMA_H
#define EVENKEEL_CONFIG_SCHEMA_H

#include "config.h"
#include "yaml_document.h"

/* A text that may stand only once in its scope, and where it stands. */
enum ek_claim_kind {
	EK_CLAIM_NONE,
	EK_CLAIM_INTERFACE,
	EK_CLAIM_SERVICE,
	EK_CLAIM_ENDPOINT, /* address, ports, protocol */
	EK_CLAIM_VIP,	   /* not unique, but no backend and no node may have it */
	EK_CLAIM_TOS,	   /* toward a backend; unique but for services of one VIP */
	EK_CLAIM_NODE_ADDRESS,
	EK_CLAIM_PEER,
	EK_CLAIM_SET,
	EK_CLAIM_INSTANCE,
	EK_CLAIM_VRID,
	EK_CLAIM_INSTANCE_VIP, /* of a service, and in one instance */
	EK_CLAIM_BACKEND,      /* from here on: unique within one service */
	EK_CLAIM_BACKEND_ADDRESS,
};

struct ek_claim {
	enum ek_claim_kind kind;
	size_t owner; /* which service, for what is unique within one */
	unsigned int line, column;
	const char *key;
	char text[80];
	struct ek_ip vip; /* EK_CLAIM_TOS: what it stands for */
};

/* An entry of a service, and where that stands. */
struct ek_place {
	struct ek_config_entry entry;
	const struct ek_config_service *service;
	unsigned int line, column;
};

/* The state of one reading. */
struct ek_parse {
	yaml_document_t *document;
	struct ek_errors *errors;
	struct ek_config *config;
	struct ek_config_service *service;   /* the one being read */
	struct ek_config_instance *instance; /* the one being read */
	struct ek_config_track *track;	     /* the one being read */
	const char *tracked;		     /* the key that says what it tracks, once read */
	size_t n_backends;		     /* of all services read so far */
	struct ek_claim *claims;
	size_t n_claims, room;
	bool vip_lengths[129]; /* lengths of the prefixes that services have, of 128 bits */
	struct ek_place *places;
	size_t n_places;
	bool entries_told; /* that there are too many */
};

/* A word that a key takes. One that is planned is known by name, and refused. */
struct ek_choice {
	const char *name;
	unsigned int value;
	bool planned;
};

/*
 * One key of a mapping. Rows are read in the order of the table, whatever the order in the file,
 * so a row may rely on the rows above it.
 */
struct ek_row {
	const char *key; /* NULL ends a table */
	void (*read)(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		     void *out);
	size_t offset, size; /* of the field in the mapping's struct */
	/* When the key is not there; NULL: the default stays. */
	void (*absent)(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
		       void *out);
	/* Why the key does not fit what was read before it, or NULL. */
	const char *(*unfit)(const struct ek_parse *parse);
	unsigned int min, max;		 /* of a number, a duration in its unit, a list's length */
	unsigned int unit;		 /* of a duration, in milliseconds */
	const struct ek_choice *choices; /* ends with a NULL name */
	enum ek_claim_kind claim;
};

#define ek_parse_error(parse, node, key, ...) \
	ek_errors_add((parse)->errors, ek_yaml_line(node), ek_yaml_column(node), key, __VA_ARGS__)

/* What tables are written with. */
/* clang-format off */
#define WORD(text, constant)    {.name = text, .value = constant}
#define PLANNED(text, constant) {.name = text, .value = constant, .planned = true}
/* clang-format on */
#define FIELD(type, member) \
	.offset = offsetof(struct type, member), .size = sizeof(((struct type *)NULL)->member)
#define HERE		   .offset = 0 /* the reader stores into several fields */
#define REQUIRED	   .absent = ek_schema_required
#define RANGE(least, most) .min = least, .max = most

/* config_schema.c: the whole file. */
void ek_schema_read(struct ek_parse *parse, const yaml_node_t *root);
/* By a table; `key` names the mapping in messages. Returns whether it was a mapping at all. */
bool ek_schema_mapping(struct ek_parse *parse, const char *key, const yaml_node_t *map,
		       const struct ek_row *rows, void *out);
/* Returns whether it is a list of row->min to row->max items. */
bool ek_schema_list(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list);
/* Zeroed, for the items of such a list; NULL: an error, or no items. */
void *ek_schema_array(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list,
		      size_t size);
const yaml_node_t *ek_schema_item(struct ek_parse *parse, const yaml_node_t *list, size_t i);
void ek_schema_required(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
			void *out);
/* The word for a value, or "?". */
const char *ek_schema_word(const struct ek_choice *choices, unsigned int value);
extern const struct ek_choice ek_schema_booleans[];

static inline size_t ek_schema_length(const yaml_node_t *list)
{
	return list->data.sequence.items.top - list->data.sequence.items.start;
}

/* config_schema_service.c: the reader of `services`. */
void ek_schema_services(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *list,
			void *out);

/* config_schema_health.c: `health`, also where a service has none. */
void ek_schema_check(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
		     void *out);
void ek_schema_check_default(struct ek_parse *parse, const struct ek_row *row,
			     const yaml_node_t *map, void *out);

/* config_schema_ha.c: the reader of `ha`. */
void ek_schema_ha(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *map,
		  void *out);

/* config.c: notes a text that config.c checks for uniqueness when all is read. */
void ek_parse_claim(struct ek_parse *parse, enum ek_claim_kind kind, const char *key,
		    const yaml_node_t *node, const char *text);

/* config_overlap.c: whether the data plane can tell all services apart. Sorts parse->places. */
void ek_config_check_overlaps(struct ek_parse *parse);

/* config_value.c: readers of rows. */
#define EK_VALUE_READER(name)                                                  \
	void ek_value_##name(struct ek_parse *parse, const struct ek_row *row, \
			     const yaml_node_t *value, void *out)
EK_VALUE_READER(number);
EK_VALUE_READER(duration);
EK_VALUE_READER(choice);
EK_VALUE_READER(flag); /* a bool, by the words for its values */
EK_VALUE_READER(name);
EK_VALUE_READER(interface);
EK_VALUE_READER(file); /* an absolute path */
EK_VALUE_READER(path); /* of a URL */
EK_VALUE_READER(host);
EK_VALUE_READER(regex);
EK_VALUE_READER(status);  /* 200 or 200-299, into two unsigned ints */
EK_VALUE_READER(flips);	  /* 0 or 3/10m, into two unsigned ints: how many, in how many seconds */
EK_VALUE_READER(address); /* one that a packet can be sent to */
EK_VALUE_READER(vip);	  /* an address or prefix, into a struct ek_config_vip */
EK_VALUE_READER(ports);	  /* 80, 8000-8099 or any, into two uint16_t: the first and the last */
EK_VALUE_READER(mss);	  /* auto, off or a number */
EK_VALUE_READER(prefix);  /* into a struct ek_ip and the unsigned int behind it */

/* The text of a scalar, or NULL after an error that names `expected`. */
const char *ek_value_text(struct ek_parse *parse, const struct ek_row *row,
			  const yaml_node_t *value, const char *expected);
/* "'text' PROBLEM, expected EXPECTED": the text shortened, control characters made visible. */
void ek_value_refuse(struct ek_parse *parse, const struct ek_row *row, const yaml_node_t *value,
		     const char *problem, const char *expected);
/* A text of any length as it may appear in a message. Returns out. */
#define EK_VALUE_QUOTED 48
const char *ek_value_quote(const char *text, char out[EK_VALUE_QUOTED]);
bool ek_value_is_name(const char *text);

#endif
