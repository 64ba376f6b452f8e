/* SPDX-License-Identifier: GPL-2.0-only */
/* See overrides.h. Called by controller.c at start and operate.c on command. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "overrides.h"

static int parse_one(json_t *item, struct ek_override *out)
{
	const char *service, *backend;
	json_int_t since = 0, timeout = 0, before = 0;
	int drain = 0;

	*out = (struct ek_override){.weight = -1};
	if (json_unpack(item, "{s:s, s:s, s?i, s?b, s?I, s?I, s?I}", "service", &service, "backend",
			&backend, "weight", &out->weight, "drain", &drain, "since", &since,
			"timeout", &timeout, "unstored", &before))
		return -EINVAL;
	if (strlen(service) > EK_NAME_MAX || strlen(backend) > EK_NAME_MAX || out->weight < -1 ||
	    out->weight > 1000 || timeout < 0 || timeout > UINT32_MAX)
		return -EINVAL;
	snprintf(out->service, sizeof(out->service), "%s", service);
	snprintf(out->backend, sizeof(out->backend), "%s", backend);
	out->drain = drain;
	out->drain_since = since;
	out->drain_timeout = timeout;
	out->unstored_before = before;
	return 0;
}

/* 0 with a list that the caller frees, or -EINVAL, -ENOMEM with none. */
static int parse_all(const json_t *root, struct ek_override **out, size_t *n)
{
	struct ek_override *list = calloc(json_array_size(root) + 1, sizeof(*list));
	json_t *item;
	size_t i;

	if (!list)
		return -ENOMEM;
	json_array_foreach ((json_t *)root, i, item) {
		if (parse_one(item, &list[i])) {
			free(list);
			return -EINVAL;
		}
	}
	*out = list;
	*n = i;
	return 0;
}

int ek_overrides_load(struct ek_overrides *o, const char *state_dir, struct ek_error *error)
{
	json_error_t why;
	json_t *root;
	int err;

	*o = (struct ek_overrides){0};
	snprintf(o->path, sizeof(o->path), "%s/overrides.json", state_dir);
	if (mkdir(state_dir, 0700) && errno != EEXIST) {
		ek_error_set(error, "%s: cannot be created: %s", state_dir, strerror(errno));
		return -errno;
	}
	if (access(o->path, R_OK)) {
		if (errno == ENOENT)
			return 0;
		ek_error_set(error, "%s: %s", o->path, strerror(errno));
		return -EACCES;
	}
	root = json_load_file(o->path, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_array(root)) {
		ek_error_set(error, "%s: %s; remove it to forget drains and weights", o->path,
			     root ? "no list" : why.text);
		json_decref(root);
		return -EINVAL;
	}
	err = parse_all(root, &o->list, &o->n);
	json_decref(root);
	if (err)
		ek_error_set(error,
			     "%s: an item is not understood; remove the file to forget drains and "
			     "weights",
			     o->path);
	return err;
}

void ek_overrides_free(struct ek_overrides *o)
{
	free(o->list);
	o->list = NULL;
	o->n = 0;
}

static bool is(const struct ek_override *a, const char *service, const char *backend)
{
	return !strcmp(a->service, service) && !strcmp(a->backend, backend);
}

const struct ek_override *ek_overrides_find(const struct ek_overrides *o, const char *service,
					    const char *backend)
{
	for (size_t i = 0; i < o->n; i++)
		if (is(&o->list[i], service, backend))
			return &o->list[i];
	return NULL;
}

static json_t *to_json(const struct ek_override *list, size_t n)
{
	json_t *root = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(root,
				      json_pack("{s:s, s:s, s:i, s:b, s:I, s:I, s:I}", "service",
						list[i].service, "backend", list[i].backend,
						"weight", list[i].weight, "drain", list[i].drain,
						"since", (json_int_t)list[i].drain_since, "timeout",
						(json_int_t)list[i].drain_timeout, "unstored",
						(json_int_t)list[i].unstored_before));
	return root;
}

static int save(const char *path, const struct ek_override *list, size_t n, struct ek_error *error)
{
	char draft[sizeof(((struct ek_overrides *)0)->path) + 8];
	json_t *root = to_json(list, n);
	int fd, err = 0;

	snprintf(draft, sizeof(draft), "%s.new", path);
	unlink(draft);
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || json_dumpfd(root, fd, JSON_INDENT(1)) || fsync(fd) || rename(draft, path)) {
		err = errno ? -errno : -EIO;
		ek_error_set(error, "%s cannot be written: %s", path, strerror(-err));
	}
	if (fd >= 0)
		close(fd);
	json_decref(root);
	return err;
}

int ek_overrides_set(struct ek_overrides *o, const struct ek_override *value,
		     struct ek_error *error)
{
	struct ek_override *next = calloc(o->n + 1, sizeof(*next));
	size_t n = 0;
	int err;

	if (!next)
		return -ENOMEM;
	for (size_t i = 0; i < o->n; i++)
		if (!is(&o->list[i], value->service, value->backend))
			next[n++] = o->list[i];
	if (value->drain || value->weight >= 0)
		next[n++] = *value;
	err = save(o->path, next, n, error);
	if (err) {
		free(next);
		return err;
	}
	free(o->list);
	o->list = next;
	o->n = n;
	return 0;
}

json_t *ek_overrides_export(const struct ek_overrides *o)
{
	return to_json(o->list, o->n);
}

int ek_overrides_import(struct ek_overrides *o, const json_t *list, struct ek_error *error)
{
	struct ek_override *next = NULL;
	size_t n = 0;
	int err = json_is_array(list) ? parse_all(list, &next, &n) : -EINVAL;

	if (err) {
		ek_error_set(error, "not understood");
		return err;
	}
	for (size_t i = 0; i < n; i++) /* a count of the other node's */
		next[i].unstored_before = 0;
	err = save(o->path, next, n, error);
	if (err) {
		free(next);
		return err;
	}
	free(o->list);
	o->list = next;
	o->n = n;
	return 0;
}
