#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Installs what building, demonstrating and testing Evenkeel need, all of it from Debian 12.
# --quiet says nothing when nothing is missing.
set -eu
packages="
gcc make pkg-config git ca-certificates
clang-16 llvm-16 libclang-rt-16-dev bpftool libbpf-dev libxdp-dev libelf-dev zlib1g-dev linux-libc-dev
libyaml-dev libevent-dev libcurl4-openssl-dev libjansson-dev libmnl-dev libssl-dev libcmocka-dev
python3 python3-pytest python3-scapy
iproute2 iputils-ping ethtool procps nginx-light curl wrk nftables vsftpd lftp
keepalived bird2
"
missing=
for p in $packages; do
	case "$(dpkg-query -W -f='${Status}' "$p" 2>/dev/null)" in
	*"install ok installed") ;;
	*) missing="$missing $p" ;;
	esac
done
if [ -z "$missing" ]; then
	[ "${1-}" = --quiet ] || echo "deps: every package is there"
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "deps: missing:$missing" >&2
	echo "deps: run 'sudo make deps' to install them" >&2
	exit 1
fi
echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing >/dev/null
echo "deps: done"
