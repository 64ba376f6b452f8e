#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Packs $1/initrd: busybox, the modules that lead to the host's root file system, and vmtest/init,
# which goes there and runs the rest of the command line. Called by vmtest/run.
set -eu
work=$1 release=$2
shift 2
root=$work/ramdisk

rm -rf "$root"
mkdir -p "$root/bin" "$root/modules" "$root/dev" "$root/proc" "$root/sys"
cp /bin/busybox "$root/bin/"
cp vmtest/init "$root/init"
echo "$PWD/vmtest/guest $work $*" >"$root/command"

# In the order in which they depend on each other, each once.
modprobe -S "$release" -d "$work/root" -a --show-depends virtio_pci 9pnet_virtio 9p overlay |
	sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' |
	while read -r module; do
		cp "$module" "$root/modules/"
		echo "/modules/${module##*/}"
	done >"$root/modules/order"

(cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$work/initrd"
