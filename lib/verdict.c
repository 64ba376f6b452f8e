/* SPDX-License-Identifier: GPL-2.0-only */
/* See verdict.h. Called by status.c and trace.c. */
#include "verdict.h"

static const struct ek_verdict_name drops[EK_DROP_COUNT] = {
#define X(id, text, why) [EK_DROP_##id] = {text, why},
	EK_DROP_REASONS(X)
#undef X
};

static const struct ek_verdict_name answers[EK_ANSWER_COUNT] = {
#define X(id, text, why) [EK_ANSWER_##id] = {text, why},
	EK_ANSWERS(X)
#undef X
};

static const struct ek_verdict_name unknown = {"unknown", "a name of another version"};

struct ek_verdict_name ek_drop_name(unsigned int reason)
{
	return reason && reason < EK_DROP_COUNT ? drops[reason] : unknown;
}

struct ek_verdict_name ek_answer_name(unsigned int answer)
{
	return answer < EK_ANSWER_COUNT ? answers[answer] : unknown;
}
