/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `trace`: the data plane's decisions, streamed to listeners on the control socket (control.h).
 *
 * With the first listener the ports are marked, so that every packet goes past bpf/trace.h, and
 * with the last one they are cleared. The filter in the data plane is the union of what the
 * listeners asked for; each is then sent only what fits its own. A listener that reads too slowly
 * loses records and is told how many; memory is bounded.
 */
#ifndef EVENKEEL_TRACE_H
#define EVENKEEL_TRACE_H

#include <jansson.h>
#include "control.h"

#define EK_TRACE_LISTENERS_MAX 4u
#define EK_TRACE_RATE	       100u /* records a second and CPU */
#define EK_TRACE_RATE_MAX      100000u

struct ek_controller;
struct ek_tracer;

/* Clears what a controller that was killed may have left marked. NULL: no memory. */
struct ek_tracer *ek_tracer_new(struct ek_controller *c);
/* Ends every stream, and the trace. */
void ek_tracer_free(struct ek_tracer *tracer);

/*
 * {"command":"trace","service":NAME,"client":ADDRESS,"drops":true,"rate":N,"frames":true}, every
 * argument optional. The answer is {"rate":N}; an object for each decision follows, and when the
 * stream ends {"end":true,"shown":N,"missed":N}. The handler's argument is the controller.
 */
json_t *ek_trace_command(void *arg, const json_t *request, struct ek_control_stream *stream,
			 struct ek_error *error);

#endif
