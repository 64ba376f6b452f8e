/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The `services` section of a configuration file as text: what the nodes of a cluster have in
 * common and send each other, while the rest of the file is each node's own. Pure: text to text,
 * no file is touched. What is cut or put together is read again before it is returned, so that a
 * result always says what was asked for.
 *
 * All take texts that need not end in NUL and give one from malloc() that does (not counted in its
 * length). 0, or with *out untouched: -EINVAL (not a configuration file that can be read: not YAML,
 * no mapping, anchors, `services` twice, ...), -E2BIG (beyond EK_CONFIG_MAX), -ENOMEM.
 */
#ifndef EVENKEEL_CONFIG_SERVICES_H
#define EVENKEEL_CONFIG_SERVICES_H

#include <stddef.h>

/*
 * The section, standing alone: a mapping in block style with that one key, and a line break. As
 * written in the file, with the comments inside it; of a file in flow style ("{...}") or one that
 * is indented as a whole, written anew without comments. -ENOENT: the file has none.
 */
int ek_config_services_text(const char *file, size_t length, char **out, size_t *out_length);

/*
 * The file with the section of `services` (a text as above, which may say no more than that) in the
 * place of its own, or at the end when it has none. All else stays as it is, byte for byte; but a
 * file in flow style or indented as a whole is written anew, without comments.
 */
int ek_config_services_replace(const char *file, size_t length, const char *services,
			       size_t services_length, char **out, size_t *out_length);

#endif
