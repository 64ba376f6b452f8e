/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The daemon's answers as text for an operator. What an answer lacks, because the daemon is older
 * or newer than the command line, is shown as "-".
 */
#ifndef EVENKEEL_RENDER_H
#define EVENKEEL_RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

struct ek_render {
	FILE *out;
	bool color;
	time_t now; /* what ages are relative to */
	bool all;   /* drops: also those of which there were none */
};

void ek_render_status(const struct ek_render *render, const json_t *status);
/* What was dropped, and what was answered in place, by reason. */
void ek_render_drops(const struct ek_render *render, const json_t *drops);
/* A line of the stream: one decision. */
void ek_render_trace(const struct ek_render *render, const json_t *line);
/* The pages of the answer put together: "flows" or "counts", "matched", "in_flux". */
void ek_render_flows(const struct ek_render *render, const json_t *answer);
void ek_render_explain(const struct ek_render *render, const json_t *answer);
/* `ha status`; then what one line says of the same answer: after a failover, and after stay,
 * disable or enable. */
void ek_render_ha(const struct ek_render *render, const json_t *answer);
void ek_render_ha_failover(const struct ek_render *render, const json_t *answer);
void ek_render_ha_word(const struct ek_render *render, const json_t *answer);

#endif
