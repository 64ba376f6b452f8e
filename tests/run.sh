#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Runs each cmocka program given, all of them whatever fails, and says at the end which did.
failed=
for t in "$@"; do
	echo "== $t"
	"$t" || failed="$failed $t"
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
