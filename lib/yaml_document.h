/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A YAML text as a tree whose every node knows its line and column: a thin layer over libyaml's
 * document API, for the plain part of YAML that a configuration needs. Used by config.c and
 * dscp_map.c.
 */
#ifndef EVENKEEL_YAML_DOCUMENT_H
#define EVENKEEL_YAML_DOCUMENT_H

#include <yaml.h>
#include "error.h"

#define EK_YAML_DEPTH_MAX 8 /* lists and mappings within each other */

/*
 * 0 with a document that has a root node (the caller does yaml_document_delete()), or -EINVAL
 * with errors: not UTF-8, not YAML, empty, several documents, nested too deep, or with anchors,
 * aliases or tags.
 */
int ek_yaml_load(const char *text, size_t length, yaml_document_t *out, struct ek_errors *errors);

static inline unsigned int ek_yaml_line(const yaml_node_t *node)
{
	return node->start_mark.line + 1;
}

static inline unsigned int ek_yaml_column(const yaml_node_t *node)
{
	return node->start_mark.column + 1;
}

#endif
