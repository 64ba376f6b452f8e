/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * YAML text to tree, in two passes of libyaml. The first reads events only and refuses what the
 * tree could not show any more (anchors, tags, a second document) and what would make it
 * expensive: libyaml 0.2.5 takes seconds and quadratic time for 100,000 nested "[", but stops
 * being asked at the ninth. The second pass builds the document.
 */
#include <errno.h>
#include <string.h>
#include "yaml_document.h"

#define BOM "\xef\xbb\xbf"

/* Where the byte at `offset` stands: libyaml tells only the offset of a byte it cannot decode. */
static void locate(const char *text, size_t offset, unsigned int *line, unsigned int *column)
{
	*line = *column = 1;
	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			++*line;
			*column = 1;
		} else if ((text[i] & 0xc0) != 0x80) { /* not inside a UTF-8 sequence */
			++*column;
		}
	}
}

static bool is_tab(const char *text, size_t length, size_t character)
{
	size_t i = 0;

	for (; i < length; i++)
		if ((text[i] & 0xc0) != 0x80 && !character--)
			break;
	return i < length && text[i] == '\t';
}

static void report_reader(const yaml_parser_t *parser, const char *text, struct ek_errors *errors)
{
	unsigned int line, column;

	locate(text, parser->problem_offset, &line, &column);
	if (!strncmp(parser->problem, "control characters", strlen("control characters")))
		ek_errors_add(errors, line, column, "",
			      "control character 0x%02x, expected printable UTF-8 text",
			      (unsigned int)parser->problem_value);
	else
		ek_errors_add(errors, line, column, "", "not UTF-8 text (%s)", parser->problem);
}

/* Turns what stopped libyaml into one error. */
static void report(const yaml_parser_t *parser, const char *text, size_t length,
		   struct ek_errors *errors)
{
	const yaml_mark_t *mark = &parser->problem_mark;

	if (parser->error == YAML_MEMORY_ERROR)
		ek_errors_add(errors, 0, 0, "", "%s", strerror(ENOMEM));
	else if (parser->error == YAML_READER_ERROR)
		report_reader(parser, text, errors);
	else if (is_tab(text, length, mark->index))
		ek_errors_add(errors, mark->line + 1, mark->column + 1, "",
			      "a tab character, expected spaces: YAML does not indent with tabs");
	else if (parser->context)
		ek_errors_add(errors, mark->line + 1, mark->column + 1, "",
			      "not YAML: %s, %s from line %zu on", parser->problem, parser->context,
			      parser->context_mark.line + 1);
	else
		ek_errors_add(errors, mark->line + 1, mark->column + 1, "", "not YAML: %s",
			      parser->problem);
}

struct scan {
	struct ek_errors *errors;
	unsigned int documents, depth;
};

static void refuse(struct scan *scan, const yaml_event_t *event, const char *what)
{
	ek_errors_add(scan->errors, event->start_mark.line + 1, event->start_mark.column + 1, "",
		      "%s", what);
}

static void check_properties(struct scan *scan, const yaml_event_t *event,
			     const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		refuse(scan, event, "an anchor ('&'), expected a plain value: write it out");
	if (tag)
		refuse(scan, event, "a tag ('!'), expected a plain value: types follow from keys");
}

/* Returns whether to go on. */
static bool check_event(struct scan *scan, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++scan->documents == 1)
			return true;
		refuse(scan, event, "a second document ('---'), expected one document in the file");
		return false;
	case YAML_ALIAS_EVENT:
		refuse(scan, event, "an alias ('*'), expected a plain value: write it out");
		return true;
	case YAML_SCALAR_EVENT:
		check_properties(scan, event, event->data.scalar.anchor, event->data.scalar.tag);
		return true;
	case YAML_SEQUENCE_START_EVENT:
		check_properties(scan, event, event->data.sequence_start.anchor,
				 event->data.sequence_start.tag);
		break;
	case YAML_MAPPING_START_EVENT:
		check_properties(scan, event, event->data.mapping_start.anchor,
				 event->data.mapping_start.tag);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		scan->depth--;
		return true;
	default:
		return event->type != YAML_STREAM_END_EVENT;
	}
	if (++scan->depth <= EK_YAML_DEPTH_MAX)
		return true;
	refuse(scan, event, "nested too deep, expected at most 8 levels");
	return false;
}
_Static_assert(EK_YAML_DEPTH_MAX == 8, "the number stands in a message");

static bool parser_init(yaml_parser_t *parser, const char *text, size_t length,
			struct ek_errors *errors)
{
	if (!yaml_parser_initialize(parser)) {
		ek_errors_add(errors, 0, 0, "", "%s", strerror(ENOMEM));
		return false;
	}
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(parser, (const unsigned char *)text, length);
	return true;
}

static int check_events(const char *text, size_t length, struct ek_errors *errors)
{
	struct scan scan = {.errors = errors};
	size_t before = errors->count;
	yaml_parser_t parser;
	yaml_event_t event;
	bool more = true;

	if (!parser_init(&parser, text, length, errors))
		return -EINVAL;
	while (more) {
		if (!yaml_parser_parse(&parser, &event)) {
			report(&parser, text, length, errors);
			break;
		}
		more = check_event(&scan, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return errors->count == before ? 0 : -EINVAL;
}

/* Nothing, or nothing but comments and the marks around a document. */
static bool is_empty(yaml_document_t *document)
{
	const yaml_node_t *root = yaml_document_get_root_node(document);

	return !root || (root->type == YAML_SCALAR_NODE && !root->data.scalar.length);
}

static int load(const char *text, size_t length, yaml_document_t *out, struct ek_errors *errors)
{
	yaml_parser_t parser;
	int err = 0;

	if (!parser_init(&parser, text, length, errors))
		return -EINVAL;
	if (!yaml_parser_load(&parser, out)) {
		report(&parser, text, length, errors);
		err = -EINVAL;
	} else if (is_empty(out)) {
		ek_errors_add(errors, 0, 0, "", "the file is empty, expected a configuration");
		yaml_document_delete(out);
		err = -EINVAL;
	}
	yaml_parser_delete(&parser);
	return err;
}

int ek_yaml_load(const char *text, size_t length, yaml_document_t *out, struct ek_errors *errors)
{
	/* Ours to skip, since we name the encoding ourselves; columns then count what is seen. */
	if (length >= strlen(BOM) && !memcmp(text, BOM, strlen(BOM))) {
		text += strlen(BOM);
		length -= strlen(BOM);
	}
	if (check_events(text, length, errors))
		return -EINVAL;
	return load(text, length, out, errors);
}
