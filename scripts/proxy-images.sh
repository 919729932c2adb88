#!/usr/bin/env bash
# Makes images of the proxies under test, without a daemon and without the network: the program out of our
# cache (scripts/proxies.sh), with the loader and the libraries that it was built for, and nothing else. They
# go by the names of the stock images and end by the same signal, so that the chart's defaults take them.
#
#   scripts/proxy-images.sh FOLDER     writes nginx.tar and haproxy.tar there
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022
out=${1:?the folder to write to}
cache=$(scripts/proxies.sh --print-dir)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
architecture=$(dpkg --print-architecture)

# image NAME VERSION SIGNAL
image() {
  local name=$1 version=$2 signal=$3 cached=$cache/$1-$2 root=$work/$1
  [[ -x "$cached/$name" ]] || { echo "proxy-images: no $cached/$name; scripts/proxies.sh brings it" >&2; exit 1; }
  # The paths of loader and libraries are written into the program, so they stay as they are here.
  mkdir -p "$root$cached/root" "$root/usr/sbin" "$root/tmp"
  chmod 1777 "$root/tmp"
  (cd "$cached/root" && find . -name '*.so*' ! -type d -print0 | tar --null -T - -c) | tar -x -C "$root$cached/root"
  cp -a "$cached/root/usr/sbin/$name" "$root/usr/sbin/$name"
  scripts/oci.sh "$out/$name.tar" "docker.io/library/$name:$version" \
    "{\"Env\":[\"PATH=/usr/sbin\"],\"Cmd\":[\"$name\"],\"StopSignal\":\"$signal\"}" "$architecture=$root"
}
image nginx 1.30 SIGQUIT
image haproxy 3.4 SIGUSR1
