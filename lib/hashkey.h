/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The cluster's hash key: random at the first start, kept in <state-dir>/hash-key (0600) as 192
 * hexadecimal digits, so that it can be copied to another node. Never logged.
 */
#ifndef EVENKEEL_HASHKEY_H
#define EVENKEEL_HASHKEY_H

#include <evenkeel/hash.h>
#include "error.h"

#define EK_HASHKEY_FILE "hash-key" /* in the state directory */

/* Reads a key that must be there. 0 or -errno. */
int ek_hashkey_read(const char *path, struct ek_hash_key *key, struct ek_error *error);
/* Reads the key, or makes one (and the directory, 0700) if there is none. 0 or -errno. */
int ek_hashkey_load(const char *state_dir, struct ek_hash_key *key, struct ek_error *error);

#endif
