#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# run.sh SECONDS BINARY...: runs each libFuzzer program that long, one after the other, all of
# them whatever fails. The corpus is temporary; an input that fails is kept in build/fuzz/.
seconds=$1
shift
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
corpus=$(mktemp -d) || exit 1
trap 'rm -rf "$corpus"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$top/build/fuzz" || exit 1

failed=
for fuzzer in "$@"; do
	name=$(basename "$fuzzer")
	mkdir "$corpus/$name"
	[ "$name" != fuzz_config ] || cp "$top"/configs/*.yaml "$corpus/$name"
	echo "== $fuzzer, $seconds s"
	"$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -verbosity=0 \
		-print_final_stats=1 -artifact_prefix="$top/build/fuzz/$name-" \
		"$corpus/$name" || failed="$failed $fuzzer"
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
