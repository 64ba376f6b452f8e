/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef EVENKEEL_VERSION_H
#define EVENKEEL_VERSION_H

#define EK_VERSION "0.1"

#endif
