/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The server side of the control socket: a UNIX stream socket on which a line is a JSON object.
 *
 *     {"command":"status","service":"web"}   a request: the command, its arguments beside it
 *     {"ok":true,"result":{...}}             the answer to one that was carried out
 *     {"ok":false,"error":"text"}            the answer to one that was not
 *
 * Requests may be pipelined; answers come in their order, one line each. A bad line is answered
 * and costs nothing else. `{"command":"help"}` lists the commands without being in the table.
 *
 * A handler runs on the event loop, so it does not block. It returns a new reference to the
 * result, or NULL with `error` filled. It does not close the socket it serves.
 *
 * A command may go on talking after its answer: lines follow, each an object, until either side
 * has enough. Nothing more can be asked on such a connection; a client that closes its sending
 * side is told the end and then let go.
 *
 * The process ignores SIGPIPE: libevent writes to clients that may have gone.
 */
#ifndef EVENKEEL_CONTROL_H
#define EVENKEEL_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>
#include "error.h"

#define EK_CONTROL_LINE_MAX    (1u << 20)  /* bytes of a request, its newline not counted */
#define EK_CONTROL_OUTPUT_MAX  (16u << 20) /* unread bytes beyond which no request is taken */
#define EK_CONTROL_CLIENTS_MAX 32u
#define EK_CONTROL_IDLE_MS     60000u
#define EK_CONTROL_STREAM_MAX  (256u << 10) /* unread bytes beyond which a stream takes no more */

struct event_base;
struct ek_control;
struct ek_control_stream; /* a client that is being told things */

struct ek_control_command {
	const char *name;
	json_t *(*handler)(void *arg, const json_t *request, struct ek_error *error);
	const char *description;
	/* In place of `handler`: a command that goes on. It keeps `stream` if it returns a result.
	 */
	json_t *(*follow)(void *arg, const json_t *request, struct ek_control_stream *stream,
			  struct ek_error *error);
};

/*
 * Creates the socket, mode 0660, and its directory, mode 0755, if that is missing. The socket of
 * a daemon that died is replaced; one that a live process listens on is left alone and is an
 * error that names the process. `PATH.lock` is held while the socket is open, so of two that
 * start together one loses. `commands` must outlive the socket. NULL with error.
 */
struct ek_control *ek_control_open(struct event_base *base, const char *path,
				   const struct ek_control_command *commands, size_t n, void *arg,
				   struct ek_error *error);
/* Drops every client and removes the socket. */
void ek_control_close(struct ek_control *control);

/*
 * Who feeds the stream is told once, by `ended`, that it is over, whoever ended it; a last line may
 * be sent from there, and the stream is not to be used afterwards. To be called by `follow`.
 */
void ek_control_stream_begin(struct ek_control_stream *stream, void (*ended)(void *arg), void *arg);
/* False: the client is slow to read, or there is no memory, and the line is lost. */
bool ek_control_stream_send(struct ek_control_stream *stream, const json_t *line);
/* The client is let go once it has read everything. */
void ek_control_stream_end(struct ek_control_stream *stream);

/* Another idle time than EK_CONTROL_IDLE_MS, for clients that connect from now on. */
void ek_control_set_idle(struct ek_control *control, unsigned int ms);

/*
 * What the socket does with one line, without the socket: returns the answer and its newline,
 * to be freed by the caller, or NULL when there is no memory. `line` need not end in NUL.
 */
char *ek_control_answer(const struct ek_control_command *commands, size_t n, void *arg,
			const char *line, size_t length);

/*
 * For handlers: an optional string argument. 0, with *value NULL when it is absent (it belongs
 * to the request otherwise), or -EINVAL with error.
 */
int ek_control_string(const json_t *request, const char *key, const char **value,
		      struct ek_error *error);
/* And a JSON string of text from outside, which need not be UTF-8: then `?` stands for the rest. */
json_t *ek_control_text(const char *text);
/* A time as RFC 3339 has it, or null for one that has not come. */
json_t *ek_control_time(time_t when);

#endif
