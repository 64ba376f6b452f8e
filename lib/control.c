/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * See control.h. Opened by evenkeeld, which owns the command table.
 *
 * Nothing a client does holds up the loop or another client: one request is taken per turn, its
 * input is bounded by a watermark, its unread answers by EK_CONTROL_OUTPUT_MAX (one answer may
 * be larger), and silence by the idle time. A stream, which is fed from elsewhere, has a bound of
 * its own, and only its reader may not be silent.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "control.h"
#include "control_client.h"
#include "log.h"

/* As few digits as tell two measurements apart: 0.3333, not 0.33329999999999999. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(12))

struct ek_control_stream {
	void (*ended)(void *arg); /* NULL: it is none, or is over */
	void *arg;
};

struct client {
	struct ek_control *control;
	struct ek_control_stream stream;
	struct bufferevent *bev; /* NULL: a free place */
	size_t scanned;		 /* leading bytes of the input that hold no newline */
	bool too_long;		 /* within a line that is: dropped up to its newline */
	bool more;		 /* another turn is due */
	bool ended;		 /* will send no more, but may still read */
};

struct ek_control {
	const struct ek_control_command *commands;
	size_t n_commands;
	void *arg;
	struct event_base *base;
	struct evconnlistener *listener;
	struct event *resume; /* accepts again after a shortage of descriptors */
	struct timeval idle;
	int lock;
	struct sockaddr_un address;
	struct client clients[EK_CONTROL_CLIENTS_MAX];
};

/* --- one line ------------------------------------------------------------------------------ */

json_t *ek_control_text(const char *text)
{
	json_t *string = json_string(text);
	char *ascii = string ? NULL : strdup(text);

	if (!ascii)
		return string;
	for (char *c = ascii; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	string = json_string(ascii);
	free(ascii);
	return string;
}

json_t *ek_control_time(time_t when)
{
	char text[32];
	struct tm tm;

	if (!when || !gmtime_r(&when, &tm))
		return json_null();
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

static json_t *help(const struct ek_control_command *commands, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "command", commands[i].name,
						      "description", commands[i].description));
	return json_pack("{s:o}", "commands", list);
}

static json_t *run_command(const struct ek_control_command *command, void *arg,
			   const json_t *request, struct ek_control_stream *stream,
			   struct ek_error *error)
{
	if (!command->follow)
		return command->handler(arg, request, error);
	if (stream)
		return command->follow(arg, request, stream, error);
	ek_error_set(error, "\"%s\" needs a connection of its own", command->name);
	return NULL;
}

static json_t *carry_out(const struct ek_control_command *commands, size_t n, void *arg,
			 const json_t *request, struct ek_control_stream *stream,
			 struct ek_error *error)
{
	const json_t *command = json_object_get(request, "command");
	const char *name = json_string_value(command);

	if (!json_is_object(request)) {
		ek_error_set(error, "a request is a JSON object, such as {\"command\":\"status\"}");
		return NULL;
	}
	if (!name) {
		ek_error_set(error, command ? "\"command\" must be a string"
					    : "the request names no \"command\"");
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		if (!strcmp(commands[i].name, name))
			return run_command(&commands[i], arg, request, stream, error);
	if (!strcmp(name, "help"))
		return help(commands, n);
	ek_error_set(error,
		     "unknown command \"%.64s\"; {\"command\":\"help\"} lists those there are",
		     name);
	return NULL;
}

/* Takes the reference to `result`. */
static char *answer_line(json_t *result, const struct ek_error *error)
{
	const char *text = error->text[0] ? error->text : "failed, and did not say why";
	json_t *answer = result ? json_pack("{s:b, s:o}", "ok", 1, "result", result)
				: json_pack("{s:b, s:o}", "ok", 0, "error", ek_control_text(text));
	char *compact = json_dumps(answer, DUMP_FLAGS);
	size_t length = compact ? strlen(compact) : 0;
	char *line = compact ? realloc(compact, length + 2) : NULL;

	json_decref(answer);
	if (line)
		memcpy(line + length, "\n", 2);
	else
		free(compact);
	return line;
}

static char *answer_request(const struct ek_control_command *commands, size_t n, void *arg,
			    const char *line, size_t length, struct ek_control_stream *stream)
{
	struct ek_error error = {0};
	json_error_t syntax;
	json_t *request, *result = NULL;
	char *answer;

	request = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &syntax);
	if (request)
		result = carry_out(commands, n, arg, request, stream, &error);
	else
		ek_error_set(&error, "column %d: not JSON: %s", syntax.column, syntax.text);
	answer = answer_line(result, &error);
	json_decref(request);
	return answer;
}

char *ek_control_answer(const struct ek_control_command *commands, size_t n, void *arg,
			const char *line, size_t length)
{
	return answer_request(commands, n, arg, line, length, NULL);
}

int ek_control_string(const json_t *request, const char *key, const char **value,
		      struct ek_error *error)
{
	const json_t *member = json_object_get(request, key);

	if (member && !json_is_string(member)) {
		ek_error_set(error, "\"%s\" must be a string", key);
		return -EINVAL;
	}
	*value = json_string_value(member);
	return 0;
}

/* --- one client ---------------------------------------------------------------------------- */

static void end_stream(struct client *client)
{
	struct ek_control_stream stream = client->stream;

	if (!stream.ended)
		return;
	stream.ended(stream.arg);
	client->stream = (struct ek_control_stream){0};
}

static void drop(struct client *client)
{
	end_stream(client);
	bufferevent_free(client->bev);
	*client = (struct client){.control = client->control};
}

/* A client that hung up its sending side is let go once it has every answer. */
static void drop_if_done(struct client *client)
{
	if (client->ended && !client->more &&
	    !evbuffer_get_length(bufferevent_get_output(client->bev)))
		drop(client);
}

/* Length of the input's first line, or -EAGAIN when its end has not come. */
static ssize_t first_line(struct client *client, struct evbuffer *input)
{
	struct evbuffer_ptr from, end;

	evbuffer_ptr_set(input, &from, client->scanned, EVBUFFER_PTR_SET);
	end = evbuffer_search_eol(input, &from, NULL, EVBUFFER_EOL_LF);
	client->scanned = end.pos < 0 ? evbuffer_get_length(input) : 0;
	return end.pos < 0 ? -EAGAIN : end.pos;
}

static char *answer_to(struct client *client, struct evbuffer *input, size_t length)
{
	struct ek_control *control = client->control;
	struct ek_error error = {0};

	if (!client->too_long && length <= EK_CONTROL_LINE_MAX)
		return answer_request(control->commands, control->n_commands, control->arg,
				      (char *)evbuffer_pullup(input, length + 1), length,
				      &client->stream);
	client->too_long = false;
	ek_error_set(&error, "the line is longer than %u bytes", EK_CONTROL_LINE_MAX);
	return answer_line(NULL, &error);
}

static void free_answer(const void *data, size_t length, void *arg)
{
	(void)data;
	(void)length;
	free(arg);
}

/* A turn: at most one request, so that a client that pipelines does not keep others waiting. */
static void on_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(bev);
	struct evbuffer *output = bufferevent_get_output(bev);
	struct client *client = arg;
	ssize_t length;
	char *answer;

	if (client->stream.ended) { /* it has nothing more to ask */
		client->more = false;
		evbuffer_drain(input, evbuffer_get_length(input));
		return;
	}
	length = first_line(client, input);
	client->more = false;
	if (length < 0) {
		client->too_long |= evbuffer_get_length(input) > EK_CONTROL_LINE_MAX;
		if (client->too_long) {
			evbuffer_drain(input, evbuffer_get_length(input));
			client->scanned = 0;
		}
		drop_if_done(client);
		return;
	}
	if (evbuffer_get_length(output) > EK_CONTROL_OUTPUT_MAX) {
		ek_notice("control: dropped a client that asks on and does not read the answers");
		drop(client);
		return;
	}
	answer = answer_to(client, input, length);
	if (!answer ||
	    evbuffer_add_reference(output, answer, strlen(answer), free_answer, answer)) {
		ek_err("control: dropped a client: no memory for its answer");
		free(answer);
		drop(client);
		return;
	}
	evbuffer_drain(input, length + 1);
	client->more = evbuffer_get_length(input) > 0;
	if (client->more)
		bufferevent_trigger(bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

static void on_write(struct bufferevent *bev, void *arg)
{
	(void)bev;
	drop_if_done(arg);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct client *client = arg;

	if (what & BEV_EVENT_EOF) {
		end_stream(client);
		client->ended = true;
		drop_if_done(client);
	} else if (what & BEV_EVENT_TIMEOUT && what & BEV_EVENT_READING &&
		   evbuffer_get_length(bufferevent_get_output(bev))) {
		/* Not idle: it is reading a long answer, and the write timeout watches that. */
		bufferevent_enable(bev, EV_READ);
	} else {
		drop(client);
	}
}

static void refuse(evutil_socket_t fd)
{
	struct ek_error error = {0};
	char *answer;

	ek_error_set(&error, "%u clients are connected already; try again when one has left",
		     EK_CONTROL_CLIENTS_MAX);
	answer = answer_line(NULL, &error);
	if (answer)
		send(fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
	free(answer);
	close(fd);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		      int address_length, void *arg)
{
	struct ek_control *control = arg;
	struct client *client = control->clients;

	(void)listener;
	(void)address;
	(void)address_length;
	while (client < control->clients + EK_CONTROL_CLIENTS_MAX && client->bev)
		client++;
	if (client == control->clients + EK_CONTROL_CLIENTS_MAX) {
		refuse(fd);
		return;
	}
	client->bev = bufferevent_socket_new(control->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!client->bev) {
		close(fd);
		return;
	}
	bufferevent_setcb(client->bev, on_read, on_write, on_event, client);
	/* Room for the newline of the longest line, and for one byte that tells it is too long. */
	bufferevent_setwatermark(client->bev, EV_READ, 0, EK_CONTROL_LINE_MAX + 2);
	bufferevent_set_timeouts(client->bev, &control->idle, &control->idle);
	bufferevent_enable(client->bev, EV_READ | EV_WRITE);
}

/* Out of descriptors or memory: the waiting client would wake the loop without end. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	static const struct timeval pause = {.tv_sec = 1};
	struct ek_control *control = arg;

	ek_warn("control: cannot accept a client: %s; trying again in 1 s", strerror(errno));
	evconnlistener_disable(listener);
	evtimer_add(control->resume, &pause);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct ek_control *control = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(control->listener);
}

/* --- streams ------------------------------------------------------------------------------- */

static struct client *client_of(struct ek_control_stream *stream)
{
	return (struct client *)((char *)stream - offsetof(struct client, stream));
}

void ek_control_stream_begin(struct ek_control_stream *stream, void (*ended)(void *arg), void *arg)
{
	struct client *client = client_of(stream);

	*stream = (struct ek_control_stream){ended, arg};
	bufferevent_set_timeouts(client->bev, NULL, &client->control->idle);
}

bool ek_control_stream_send(struct ek_control_stream *stream, const json_t *line)
{
	struct evbuffer *output = bufferevent_get_output(client_of(stream)->bev);
	char *text = evbuffer_get_length(output) < EK_CONTROL_STREAM_MAX
			     ? json_dumps(line, DUMP_FLAGS)
			     : NULL;
	bool sent = text && evbuffer_add_printf(output, "%s\n", text) > 0;

	free(text);
	return sent;
}

void ek_control_stream_end(struct ek_control_stream *stream)
{
	struct client *client = client_of(stream);

	end_stream(client);
	client->ended = true;
	bufferevent_disable(client->bev, EV_READ);
	drop_if_done(client);
}

/* --- the socket ---------------------------------------------------------------------------- */

static int make_directory(const char *path, struct ek_error *error)
{
	char directory[sizeof(((struct sockaddr_un *)NULL)->sun_path)] = "";
	const char *slash = strrchr(path, '/');
	int err;

	if (!slash || slash == path)
		return 0;
	memcpy(directory, path, slash - path);
	err = mkdir(directory, 0755) ? -errno : 0;
	if (err == -EEXIST)
		return 0;
	if (!err && chmod(directory, 0755)) /* whatever the umask */
		err = -errno;
	if (err)
		ek_error_set(error, "%s: cannot create the directory: %s", directory,
			     strerror(-err));
	return err;
}

/* Is the path free, or left over from a daemon that died? 0, or -errno with error. */
static int check_stale(const struct sockaddr_un *address, struct ek_error *error)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t length = sizeof(struct ucred);
	struct ucred peer = {0};
	struct stat st;
	int err = 0;

	if (fd < 0) {
		err = -errno;
	} else if (lstat(address->sun_path, &st)) {
		err = errno == ENOENT ? 0 : -errno;
	} else if (!S_ISSOCK(st.st_mode)) {
		err = -ENOTSOCK;
	} else if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0) {
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
		err = -EADDRINUSE;
	} else if (errno != ECONNREFUSED) {
		err = -errno;
	}
	if (fd >= 0)
		close(fd);
	if (peer.pid)
		ek_error_set(error, "%s: another evenkeeld (pid %d) is running", address->sun_path,
			     (int)peer.pid);
	else if (err)
		ek_error_set(error, "%s: in the way, and not a socket of a dead evenkeeld: %s",
			     address->sun_path, strerror(-err));
	return err;
}

/* The lock is let go by the kernel when its holder dies; the empty file stays. */
static int take_lock(const struct sockaddr_un *address, struct ek_error *error)
{
	char path[sizeof(address->sun_path) + sizeof(".lock")];
	int fd, err;

	snprintf(path, sizeof(path), "%s.lock", address->sun_path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	err = -errno;
	if (err == -EWOULDBLOCK)
		ek_error_set(error, "%s: another evenkeeld holds it", path);
	else
		ek_error_set(error, "%s: cannot take the lock: %s%s", path, strerror(-err),
			     err == -EACCES || err == -EPERM ? "; run as root" : "");
	if (fd >= 0)
		close(fd);
	return err;
}

/* The mode is right from the moment the name exists, and nothing listens before this returns. */
static int bind_socket(const struct sockaddr_un *address, struct ek_error *error)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int err = 0;

	if (fd < 0 || (unlink(address->sun_path) && errno != ENOENT))
		err = -errno;
	mask = umask(0117); /* bind() takes it from 0777: leaves 0660 */
	if (!err && bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		err = -errno;
	umask(mask);
	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	ek_error_set(error, "%s: cannot create the socket: %s", address->sun_path, strerror(-err));
	return err;
}

static int listen_on(struct ek_control *control, struct ek_error *error)
{
	int fd = bind_socket(&control->address, error);

	if (fd < 0)
		return fd;
	control->resume = evtimer_new(control->base, on_resume, control);
	control->listener =
		evconnlistener_new(control->base, on_accept, control,
				   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, SOMAXCONN, fd);
	if (control->listener && control->resume) {
		evconnlistener_set_error_cb(control->listener, on_accept_error);
		return 0;
	}
	if (!control->listener)
		close(fd);
	unlink(control->address.sun_path);
	ek_error_set(error, "%s: cannot listen", control->address.sun_path);
	return -ENOMEM;
}

static void release(struct ek_control *control)
{
	if (control->listener)
		evconnlistener_free(control->listener);
	if (control->resume)
		event_free(control->resume);
	if (control->lock >= 0)
		close(control->lock);
	free(control);
}

struct ek_control *ek_control_open(struct event_base *base, const char *path,
				   const struct ek_control_command *commands, size_t n, void *arg,
				   struct ek_error *error)
{
	struct ek_control *control = malloc(sizeof(*control));

	if (!control) {
		ek_error_set(error, "out of memory");
		return NULL;
	}
	*control = (struct ek_control){
		.commands = commands, .n_commands = n, .arg = arg, .base = base, .lock = -1};
	ek_control_set_idle(control, EK_CONTROL_IDLE_MS);
	for (size_t i = 0; i < EK_CONTROL_CLIENTS_MAX; i++)
		control->clients[i].control = control;
	if (ek_control_address(path, &control->address, error) || make_directory(path, error) ||
	    check_stale(&control->address, error))
		goto fail;
	control->lock = take_lock(&control->address, error);
	if (control->lock < 0 || listen_on(control, error))
		goto fail;
	return control;
fail:
	release(control);
	return NULL;
}

void ek_control_close(struct ek_control *control)
{
	for (size_t i = 0; i < EK_CONTROL_CLIENTS_MAX; i++)
		if (control->clients[i].bev)
			drop(&control->clients[i]);
	unlink(control->address.sun_path);
	release(control);
}

void ek_control_set_idle(struct ek_control *control, unsigned int ms)
{
	control->idle = (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}
