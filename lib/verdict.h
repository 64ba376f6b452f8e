/* SPDX-License-Identifier: GPL-2.0-only */
/* What abi.h calls the data plane's verdicts, as text. */
#ifndef EVENKEEL_VERDICT_H
#define EVENKEEL_VERDICT_H

#include <evenkeel/abi.h>

struct ek_verdict_name {
	const char *name, *description;
};

/* Of an enum ek_drop or an enum ek_answer; "unknown" for what is none. */
struct ek_verdict_name ek_drop_name(unsigned int reason);
struct ek_verdict_name ek_answer_name(unsigned int answer);

#endif
