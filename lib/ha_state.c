/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See ha.h. What outlives a restart: <state-dir>/ha.json, the operator's word about this node, and
 * <state-dir>/services.json, the services section that a follower took from its primary together
 * with the digest of the file's own section at that time: once the file is edited, it counts again.
 * Both 0600, written whole under another name and renamed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/evp.h>
#include "config_services.h"
#include "ha_private.h"
#include "log.h"

void ek_ha_sha256(const void *bytes, size_t length, char out[65])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	EVP_Digest(bytes, length, digest, &n, EVP_sha256(), NULL);
	for (unsigned int i = 0; i < n && i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static int write_json(const char *dir, const char *name, json_t *root)
{
	char path[256], draft[264];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(draft, sizeof(draft), "%s.new", path);
	unlink(draft);
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || json_dumpfd(root, fd, JSON_INDENT(1)) || fsync(fd) || rename(draft, path))
		err = errno ? -errno : -EIO;
	if (fd >= 0)
		close(fd);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the name, too, is to last */
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	json_decref(root);
	return err;
}

static json_t *read_json(const char *dir, const char *name)
{
	json_error_t why;
	char path[256];
	json_t *root;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (access(path, R_OK))
		return NULL;
	root = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	if (!root)
		ek_warn("%s: %s; not used", path, why.text);
	return root;
}

/* What cannot be read may have said "disabled": that is what it is taken for. */
void ek_ha_state_load(struct ek_ha *ha)
{
	char path[256];
	json_t *root;
	const char *stay = "none";
	int disabled = 0;

	snprintf(path, sizeof(path), "%s/ha.json", ek_ha_state_dir(ha));
	if (access(path, F_OK))
		return;
	root = read_json(ek_ha_state_dir(ha), "ha.json");
	if (!root || json_unpack(root, "{s:s, s:b}", "stay", &stay, "disabled", &disabled)) {
		ek_err("%s is not understood: this node stays disabled until 'evenkeel ha enable'",
		       path);
		disabled = 1;
	}
	ha->disabled = disabled;
	for (int s = EK_STAY_NONE; s <= EK_STAY_SECONDARY; s++)
		if (!strcmp(stay, ek_stay_name(s)))
			ha->stay = s;
	json_decref(root);
}

int ek_ha_state_save(const struct ek_ha *ha, struct ek_error *error)
{
	int err = write_json(
		ek_ha_state_dir(ha), "ha.json",
		json_pack("{s:s, s:b}", "stay", ek_stay_name(ha->stay), "disabled", ha->disabled));

	if (err)
		ek_error_set(error, "%s/ha.json cannot be written: %s", ek_ha_state_dir(ha),
			     strerror(-err));
	return err;
}

/* The digest of a file's own services section; "" when it has none. */
static void own_digest(const char *file, size_t length, char out[65])
{
	char *section;
	size_t n;

	out[0] = '\0';
	if (ek_config_services_text(file, length, &section, &n))
		return;
	ek_ha_sha256(section, n, out);
	free(section);
}

int ek_ha_save_services(const struct ek_ha *ha, const char *file, size_t length)
{
	char digest[65];

	own_digest(file, length, digest);
	return write_json(ek_ha_state_dir(ha), "services.json",
			  json_pack("{s:s, s:s}", "file", digest, "text", ha->services));
}

char *ek_ha_saved_services(const char *state_dir, const char *file, size_t length)
{
	json_t *root = read_json(state_dir, "services.json");
	const char *digest, *text;
	char *out = NULL, own[65];

	own_digest(file, length, own);
	if (root && !json_unpack(root, "{s:s, s:s}", "file", &digest, "text", &text) &&
	    !strcmp(digest, own))
		out = strdup(text);
	json_decref(root);
	return out;
}
