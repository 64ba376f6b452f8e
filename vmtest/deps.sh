#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Sees to it that $1 holds Debian's current kernel with its modules, unpacked and not installed,
# and that the packages that boot it are there. Called by vmtest/run.
set -eu
work=$1
packages='qemu-system-x86 busybox-static kmod cpio xdp-tools ipvsadm'

missing=
for p in $packages; do
	case "$(dpkg-query -W -f='${Status}' "$p" 2>/dev/null)" in
	*'install ok installed') ;;
	*) missing="$missing $p" ;;
	esac
done
if [ -n "$missing" ]; then
	[ "$(id -u)" = 0 ] || { echo "vmtest: install$missing" >&2; exit 1; }
	echo "vmtest: installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086 # a list of words
	apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

[ ! -e "$work/release" ] || exit 0
current() {
	apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: linux-image-//p' | head -1
}
release=$(current)
if [ -z "$release" ]; then
	apt-get update -qq
	release=$(current)
fi
[ -n "$release" ] || { echo 'vmtest: apt knows no linux-image-amd64' >&2; exit 1; }
echo "vmtest: fetching Linux $release"
rm -rf "$work/root"
mkdir -p "$work/root"
cd "$work"
apt-get download -qq -o APT::Sandbox::User=root "linux-image-$release"
dpkg-deb -x "linux-image-${release}"_*.deb root
rm "linux-image-${release}"_*.deb
depmod -b root "$release"
echo "$release" >release
