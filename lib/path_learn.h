/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The controller's ears for routers inside: four times a second it hears what the data plane was
 * told of tunnel packets that did not fit, believes what is about a tunnel of ours to a backend of
 * ours, and keeps it in a struct ek_path_mtu. controller.c asks for the result whenever it plans,
 * and is asked to plan when that changed.
 */
#ifndef EVENKEEL_PATH_LEARN_H
#define EVENKEEL_PATH_LEARN_H

#include <stdint.h>
#include <evenkeel/abi.h>

struct ek_controller;
struct ek_path_learn;

/* Needs the controller's data plane and ports. NULL with errno. */
struct ek_path_learn *ek_path_learn_new(struct ek_controller *c);
void ek_path_learn_free(struct ek_path_learn *learn);
/* The MTU of the path to a backend that is `width` wide as far as the kernel knows. */
uint16_t ek_path_learn_limit(const struct ek_path_learn *learn, const struct ek_ip *backend,
			     uint16_t width);

#endif
