/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The `services` section of a configuration file, cut out and put in as text. libyaml's marks say
 * where a section lies, but not in every style of writing can it be cut there: so a result is
 * loaded and compared with what it must say, and when it does not, it is written anew by libyaml.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config.h"
#include "config_services.h"
#include "yaml_document.h"

#define KEY "services"
#define BOM "\xef\xbb\xbf"

/* A text and its tree; the marks count from `text`, which is behind a byte order mark. */
struct source {
	const char *text;
	size_t length, skipped;
	yaml_document_t document;
	const yaml_node_t *root;
	const yaml_node_pair_t *pair; /* of `services`, or NULL */
};

/* A growing text; once it failed it stays so. */
struct text {
	FILE *stream;
	char *bytes;
	size_t length;
};

/* --- trees ----------------------------------------------------------------------------------- */
static const yaml_node_t *node_at(const struct source *source, int index)
{
	return yaml_document_get_node((yaml_document_t *)&source->document, index);
}

static bool is_services(const yaml_node_t *key)
{
	return key->type == YAML_SCALAR_NODE && key->data.scalar.length == strlen(KEY) &&
	       !memcmp(key->data.scalar.value, KEY, strlen(KEY));
}

/* Finds the section. -EINVAL when the root is no mapping, or has it twice. */
static int find_services(struct source *source)
{
	const yaml_node_pair_t *pair;

	source->root = node_at(source, 1);
	if (source->root->type != YAML_MAPPING_NODE)
		return -EINVAL;
	for (pair = source->root->data.mapping.pairs.start;
	     pair < source->root->data.mapping.pairs.top; pair++) {
		if (!is_services(node_at(source, pair->key)))
			continue;
		if (source->pair)
			return -EINVAL;
		source->pair = pair;
	}
	return 0;
}

/* The caller closes it if 0 is returned. */
static int source_open(struct source *source, const char *text, size_t length)
{
	struct ek_errors *errors;
	int err;

	if (length > EK_CONFIG_MAX)
		return -E2BIG;
	errors = calloc(1, sizeof(*errors));
	if (!errors)
		return -ENOMEM;
	*source = (struct source){.text = text, .length = length};
	err = ek_yaml_load(text, length, &source->document, errors);
	free(errors);
	/* Which it skips, and does not count. */
	if (length >= strlen(BOM) && !memcmp(text, BOM, strlen(BOM))) {
		source->skipped = strlen(BOM);
		source->text += strlen(BOM);
		source->length -= strlen(BOM);
	}
	if (err)
		return err;
	err = find_services(source);
	if (err)
		yaml_document_delete(&source->document);
	return err;
}

static void source_close(struct source *source)
{
	yaml_document_delete(&source->document);
}

static size_t n_pairs(const yaml_node_t *map)
{
	return map->data.mapping.pairs.top - map->data.mapping.pairs.start;
}

static size_t n_items(const yaml_node_t *list)
{
	return list->data.sequence.items.top - list->data.sequence.items.start;
}

static bool same_pair(const struct source *left, const yaml_node_pair_t *a,
		      const struct source *right, const yaml_node_pair_t *b);

/* Do two trees say the same, however it is written? As deep as ek_yaml_load() lets them be. */
static bool same(const struct source *left, const yaml_node_t *a, const struct source *right,
		 const yaml_node_t *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == YAML_SCALAR_NODE)
		return a->data.scalar.length == b->data.scalar.length &&
		       !memcmp(a->data.scalar.value, b->data.scalar.value, a->data.scalar.length);
	if (a->type == YAML_SEQUENCE_NODE) {
		if (n_items(a) != n_items(b))
			return false;
		for (size_t i = 0; i < n_items(a); i++)
			if (!same(left, node_at(left, a->data.sequence.items.start[i]), right,
				  node_at(right, b->data.sequence.items.start[i])))
				return false;
		return true;
	}
	if (n_pairs(a) != n_pairs(b))
		return false;
	for (size_t i = 0; i < n_pairs(a); i++)
		if (!same_pair(left, &a->data.mapping.pairs.start[i], right,
			       &b->data.mapping.pairs.start[i]))
			return false;
	return true;
}

static bool same_pair(const struct source *left, const yaml_node_pair_t *a,
		      const struct source *right, const yaml_node_pair_t *b)
{
	return same(left, node_at(left, a->key), right, node_at(right, b->key)) &&
	       same(left, node_at(left, a->value), right, node_at(right, b->value));
}

static bool same_services(const struct source *left, const struct source *right)
{
	return left->pair && right->pair &&
	       same(left, node_at(left, left->pair->value), right,
		    node_at(right, right->pair->value));
}

/* The next pair that is not `services`, from *i on, or NULL. */
static const yaml_node_pair_t *next_other(const struct source *source, size_t *i)
{
	while (*i < n_pairs(source->root)) {
		const yaml_node_pair_t *pair = &source->root->data.mapping.pairs.start[(*i)++];

		if (pair != source->pair)
			return pair;
	}
	return NULL;
}

/* Do two files say the same outside the section, in the same order? */
static bool same_others(const struct source *left, const struct source *right)
{
	const yaml_node_pair_t *x, *y;
	size_t i = 0, j = 0;

	for (;;) {
		x = next_other(left, &i);
		y = next_other(right, &j);
		if (!x || !y)
			return !x && !y;
		if (!same_pair(left, x, right, y))
			return false;
	}
}

/* --- where a section lies -------------------------------------------------------------------- */
/* The byte of a mark, which counts characters. */
static size_t offset_of(const struct source *source, const yaml_mark_t *mark)
{
	size_t characters = mark->index, i = 0;

	for (; i < source->length; i++)
		if (((unsigned char)source->text[i] & 0xc0) != 0x80 && !characters--)
			break;
	return i;
}

/* The end of what a node says. That of a block is not its mark, which is where the next begins. */
static const yaml_mark_t *last_mark(const struct source *source, const yaml_node_t *node)
{
	for (;;) {
		if (node->type == YAML_SEQUENCE_NODE && n_items(node) &&
		    node->data.sequence.style != YAML_FLOW_SEQUENCE_STYLE)
			node = node_at(source, node->data.sequence.items.top[-1]);
		else if (node->type == YAML_MAPPING_NODE && n_pairs(node) &&
			 node->data.mapping.style != YAML_FLOW_MAPPING_STYLE)
			node = node_at(source, node->data.mapping.pairs.top[-1].value);
		else
			return &node->end_mark;
	}
}

static bool is_break(char c)
{
	return c == '\n' || c == '\r';
}

static size_t line_begin(const struct source *source, size_t at)
{
	while (at && !is_break(source->text[at - 1]))
		at--;
	return at;
}

/* Where the line after that of `at` begins. */
static size_t line_end(const struct source *source, size_t at)
{
	while (at < source->length && !is_break(source->text[at]))
		at++;
	if (at + 1 < source->length && source->text[at] == '\r' && source->text[at + 1] == '\n')
		at++;
	return at < source->length ? at + 1 : at;
}

/* The comments below a section that are indented, and what is blank between, are still part of it.
 */
static size_t skip_comments(const struct source *source, size_t at)
{
	size_t end = at;

	while (at < source->length) {
		size_t first = at;

		while (first < source->length && source->text[first] == ' ')
			first++;
		if (first == source->length)
			break;
		if (source->text[first] == '#' && first > at)
			end = line_end(source, first);
		else if (!is_break(source->text[first]))
			break;
		at = line_end(source, first);
	}
	return end;
}

/* Whole lines: from that of the key to that where the value ends. */
static void locate(const struct source *source, size_t *begin, size_t *end)
{
	const yaml_node_t *key = node_at(source, source->pair->key);
	const yaml_node_t *value = node_at(source, source->pair->value);

	*begin = line_begin(source, offset_of(source, &key->start_mark));
	*end = offset_of(source, last_mark(source, value));
	if (!*end || !is_break(source->text[*end - 1]))
		*end = line_end(source, *end);
	*end = skip_comments(source, *end);
}

/* --- texts ----------------------------------------------------------------------------------- */
static bool text_open(struct text *text)
{
	*text = (struct text){.stream = NULL};
	text->stream = open_memstream(&text->bytes, &text->length);
	return text->stream;
}

static bool text_close(struct text *text)
{
	bool failed = ferror(text->stream);

	return !fclose(text->stream) && !failed;
}

static void put(struct text *text, const char *bytes, size_t length)
{
	fwrite(bytes, 1, length, text->stream);
}

/* Ends with a line break if there is anything. */
static void put_lines(struct text *text, const char *bytes, size_t length)
{
	put(text, bytes, length);
	if (length && !is_break(bytes[length - 1]))
		put(text, "\n", 1);
}

/* --- writing anew ---------------------------------------------------------------------------- */
static bool copy_pair(yaml_document_t *to, int map, const struct source *source,
		      const yaml_node_pair_t *pair);

/* The index of a copy in `to`, or 0 without memory. */
static int copy_node(yaml_document_t *to, const struct source *source, const yaml_node_t *node)
{
	int copy, item;

	if (node->type == YAML_SCALAR_NODE)
		return yaml_document_add_scalar(to, NULL, node->data.scalar.value,
						node->data.scalar.length, node->data.scalar.style);
	if (node->type == YAML_SEQUENCE_NODE) {
		copy = yaml_document_add_sequence(to, NULL, node->data.sequence.style);
		for (size_t i = 0; copy && i < n_items(node); i++) {
			item = copy_node(to, source,
					 node_at(source, node->data.sequence.items.start[i]));
			if (!item || !yaml_document_append_sequence_item(to, copy, item))
				return 0;
		}
		return copy;
	}
	copy = yaml_document_add_mapping(to, NULL, node->data.mapping.style);
	for (size_t i = 0; copy && i < n_pairs(node); i++)
		if (!copy_pair(to, copy, source, &node->data.mapping.pairs.start[i]))
			return 0;
	return copy;
}

static bool copy_pair(yaml_document_t *to, int map, const struct source *source,
		      const yaml_node_pair_t *pair)
{
	int key = copy_node(to, source, node_at(source, pair->key));
	int value = key ? copy_node(to, source, node_at(source, pair->value)) : 0;

	return value && yaml_document_append_mapping_pair(to, map, key, value);
}

/* A document with a mapping of some pairs of the source's root: the section, or the others. */
static bool copy_root(yaml_document_t *to, const struct source *source, bool services)
{
	const yaml_node_pair_t *pair;
	size_t i = 0;
	int root;

	if (!yaml_document_initialize(to, NULL, NULL, NULL, 1, 1))
		return false;
	root = yaml_document_add_mapping(to, NULL, YAML_BLOCK_MAPPING_STYLE);
	if (root && services && copy_pair(to, root, source, source->pair))
		return true;
	if (root && !services) {
		while ((pair = next_other(source, &i)))
			if (!copy_pair(to, root, source, pair))
				break;
		if (!pair)
			return true;
	}
	yaml_document_delete(to);
	return false;
}

static bool write_anew(struct text *text, const struct source *source, bool services)
{
	yaml_document_t document;
	yaml_emitter_t emitter;
	bool written;

	if (!copy_root(&document, source, services))
		return false;
	if (!yaml_emitter_initialize(&emitter)) {
		yaml_document_delete(&document);
		return false;
	}
	yaml_emitter_set_output_file(&emitter, text->stream);
	yaml_emitter_set_unicode(&emitter, 1);
	yaml_emitter_set_width(&emitter, -1);
	written = yaml_emitter_dump(&emitter, &document) && yaml_emitter_close(&emitter);
	yaml_emitter_delete(&emitter);
	return written;
}

/* --- the section ----------------------------------------------------------------------------- */
/* Is a text the section of `source`, standing alone, as it can be put into another file? */
static int check_section(const struct source *source, const struct text *text)
{
	struct source found;
	int err = source_open(&found, text->bytes, text->length);

	if (err)
		return err;
	if (n_pairs(found.root) != 1 || !same_services(source, &found) ||
	    found.root->data.mapping.style != YAML_BLOCK_MAPPING_STYLE ||
	    found.root->start_mark.column || found.skipped)
		err = -EINVAL;
	source_close(&found);
	return err;
}

static int try_section(const struct source *source, bool anew, struct text *out)
{
	bool written = true;
	size_t begin, end;
	int err;

	if (!text_open(out))
		return -ENOMEM;
	if (anew) {
		written = write_anew(out, source, true);
	} else {
		locate(source, &begin, &end);
		put_lines(out, source->text + begin, end - begin);
	}
	if (!text_close(out))
		err = -ENOMEM;
	else
		err = written ? check_section(source, out) : -EINVAL;
	if (err)
		free(out->bytes);
	return err;
}

/* 0 with out->bytes for the caller to free. */
static int section(const struct source *source, struct text *out)
{
	int err;

	if (!source->pair)
		return -ENOENT;
	err = try_section(source, false, out);
	return err == -EINVAL ? try_section(source, true, out) : err;
}

int ek_config_services_text(const char *file, size_t length, char **out, size_t *out_length)
{
	struct source source;
	struct text text;
	int err = source_open(&source, file, length);

	if (err)
		return err;
	err = section(&source, &text);
	source_close(&source);
	if (err)
		return err;
	*out = text.bytes;
	*out_length = text.length;
	return 0;
}

/* --- replacing it ---------------------------------------------------------------------------- */
/* Is a text `file` with the section of `services`? */
static int check_file(const struct source *file, const struct source *services,
		      const struct text *text)
{
	struct source found;
	int err = source_open(&found, text->bytes, text->length);

	if (err)
		return err;
	if (!same_others(file, &found) || !same_services(services, &found))
		err = -EINVAL;
	source_close(&found);
	return err;
}

static void put_around(struct text *out, const struct source *file, const struct text *new)
{
	size_t begin = file->length, end = file->length;

	if (file->pair)
		locate(file, &begin, &end);
	put(out, file->text - file->skipped, file->skipped);
	put_lines(out, file->text, begin);
	put_lines(out, new->bytes, new->length);
	put(out, file->text + end, file->length - end);
}

static int try_file(const struct source *file, const struct source *services,
		    const struct text *new, bool anew, struct text *out)
{
	bool written = true;
	int err;

	if (!text_open(out))
		return -ENOMEM;
	if (anew) {
		if (n_pairs(file->root) > (file->pair ? 1 : 0))
			written = write_anew(out, file, false);
		put_lines(out, new->bytes, new->length);
	} else {
		put_around(out, file, new);
	}
	if (!text_close(out))
		err = -ENOMEM;
	else
		err = written ? check_file(file, services, out) : -EINVAL;
	if (err)
		free(out->bytes);
	return err;
}

static int replace(const struct source *file, const struct source *services, struct text *out)
{
	struct text new;
	int err;

	if (!services->pair || n_pairs(services->root) != 1)
		return -EINVAL;
	err = section(services, &new);
	if (err)
		return err;
	err = try_file(file, services, &new, false, out);
	if (err == -EINVAL)
		err = try_file(file, services, &new, true, out);
	free(new.bytes);
	return err;
}

int ek_config_services_replace(const char *file, size_t length, const char *services,
			       size_t services_length, char **out, size_t *out_length)
{
	struct source old, new;
	struct text text;
	int err = source_open(&old, file, length);

	if (err)
		return err;
	err = source_open(&new, services, services_length);
	if (!err) {
		err = replace(&old, &new, &text);
		source_close(&new);
	}
	source_close(&old);
	if (err)
		return err;
	*out = text.bytes;
	*out_length = text.length;
	return 0;
}
