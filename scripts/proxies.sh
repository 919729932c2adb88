#!/usr/bin/env bash
# Puts the proxies under test into a cache outside the checkout, where the tests look for them:
#
#   nginx-1.30/nginx      Debian's own build of the newest 1.30, with the libraries it was built for
#   nginx-1.28/nginx      built here from the source that the crate nginx-src carries
#   haproxy-3.4/haproxy   Debian's own build of the newest 3.4, with the libraries it was built for
#
# A stable Debian has older ones than Vigie accepts, so the packages come from Debian's coming
# releases. They need a newer C library than the machine's, so they are not installed: they lie in a
# root of their own, with the loader and the libraries that are meant for them. The machine's own
# packages and apt's own files stay as they are, but for the tools named in `need` lines below.
#
# A VERSION file beside each binary says what it is. The 1.30 and 3.4 packages are whatever Debian
# has on the day of the first run; remove a directory to get the newest.

set -euo pipefail
shopt -s inherit_errexit

usage="usage: scripts/proxies.sh [nginx|nginx-1.28|haproxy|all] | --print-dir"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/vigie/proxies"

# Raise this when a change below must rebuild what is cached already.
recipe=1

# The crate's own version leads, the version of nginx inside follows. The sum is the one that the
# crates.io index gives for it.
crate=nginx-src-1.28.5+1.28.3
crate_sha256=60c9192630560c017a18e1da5b4c5de9d78450923f17325752c6f0f7f3911c86

say() { echo "proxies: $*" >&2; }
die() { say "$*"; exit 1; }

# Running it is the check: an interrupted copy or a cache that was moved would not start.
ready() {
  local dir="$cache/$1"
  [[ "$(cat "$dir/RECIPE" 2>/dev/null)" == "$recipe" ]] && "$dir/${1%%-*}" -v >/dev/null 2>&1
}

# Runs a step in a shell of its own and leaves its exit code in `status`. A plain `step || …` would
# switch off `set -e` all through the step, and one that went wrong half way would pass for done.
attempt() {
  set +e
  (set -e; "$@")
  status=$?
  set -e
}

# need TEST PACKAGE…: installs the packages when TEST fails.
need() {
  local test=$1
  shift
  if eval "$test" >/dev/null 2>&1; then return; fi
  ((EUID == 0)) || die "missing on this machine: $*; install it, or run this as root"
  say "missing on this machine, installing: $*"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  local install=("${apt[@]}" install --yes --no-install-recommends "$@")
  # The lists of a fresh machine may be missing or too old, which only the failure tells.
  "${install[@]}" >/dev/null || { "${apt[@]}" update && "${install[@]}"; } >/dev/null ||
    die "cannot install: $*"
}

# Takes the finished directory NAME from the building place to its own.
publish() {
  local name=$1 version=$2 origin=$3
  printf '%s\n%s\n' "$version" "$origin" >"$building/$name/VERSION"
  echo "$recipe" >"$building/$name/RECIPE"
  rm -rf "${cache:?}/$name"
  mv "$building/$name" "$cache/$name"
}

# ── Debian's packages ───────────────────────────────────────────────────────────────────────────

# apt with lists, cache, sources and preferences of its own. It shares with the machine's apt only
# the keys and the way to the network (proxies, credentials).
own_apt() { APT_CONFIG="$building/apt/apt.conf" "$@"; }

# Fetches the package lists of the suites. apt checks their signature against Debian's keyring, and
# each package against the lists; nothing here switches that off. Only the date by which a list must
# be renewed is not looked at, since a mirror may lag and the newest package is not the point.
load_lists() {
  local dir="$building/apt" keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  if [[ "$(cat "$dir/loaded" 2>/dev/null)" == "$*" ]]; then return; fi
  command -v apt-get >/dev/null || die "no apt-get: the packages come from a Debian mirror"
  [[ -e "$keyring" ]] || die "no $keyring (package debian-archive-keyring): nothing could be verified"

  # The mirror is the one that this machine uses already, whichever way its sources are written.
  local codename uri
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")
  uri=$(apt-get --print-uris update |
    sed -nE "s#^'(.*)/dists/($codename|(old)?stable|testing|unstable)/InRelease' .*#\1#p" | head -n 1)
  [[ -n "$uri" ]] || die "apt's sources name no mirror of Debian $codename"

  rm -rf "$dir"
  mkdir -p "$dir"/{lists,cache}/partial
  touch "$dir/status" "$dir/preferences"
  cat >"$dir/apt.conf" <<CONF
$(apt-config dump Acquire)
Acquire::AllowInsecureRepositories "false";
Acquire::Languages "none";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "$dir/preferences";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$dir";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
CONF
  local suite architecture options
  architecture=$(dpkg --print-architecture)
  options="arch=$architecture target=Packages check-valid-until=no signed-by=$keyring"
  for suite; do echo "deb [$options] $uri $suite main"; done >"$dir/sources.list"
  own_apt apt-get -qq update >&2
  echo "$*" >"$dir/loaded"
}

# The given packages and all libraries that they need, down to the C library. What else they depend
# on (users, services, configuration) is for an installed proxy only.
with_libraries() {
  local before='' all="$*"
  until [[ "$all" == "$before" ]]; do
    before=$all
    # shellcheck disable=SC2086 # a list of words
    all=$({ printf '%s\n' $before; own_apt apt-cache depends --important $before |
      sed -nE 's/^ *\|?Depends: ((lib|zlib)[^ <>]*)$/\1/p'; } | sort -u | paste -sd' ')
  done
  echo "$all"
}

# unpack_from "SUITES" NAME PACKAGE [MODULE…]
unpack_from() {
  local suites=$1 name=$2 package=$3
  shift 2
  # shellcheck disable=SC2086 # a list of words
  load_lists $suites

  local offered version series=${name#*-}
  offered=$(own_apt apt-cache madison "$package" | awk '{print $3}' | sort -ruV | paste -sd' ')
  version=$(tr ' ' '\n' <<<"$offered" | grep -m1 "^${series/./\\.}\.") ||
    die "Debian $suites: no $package $series there (only: ${offered:-none})"
  # apt would never choose a package from experimental by itself.
  printf 'Package: %s\nPin: version %s\nPin-Priority: 1001\n' "$package" "$version" >"$building/apt/preferences"

  local dir="$building/$name" debs="$building/debs" packages deb
  say "fetching $package $version from Debian ($suites)"
  packages=$(with_libraries "$@")
  rm -rf "$dir" "$debs"
  mkdir -p "$dir/root" "$debs"
  # shellcheck disable=SC2086 # a list of words
  (cd "$debs" && own_apt apt-get -qq download $packages)
  for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$dir/root"; done

  # The paths are written into the binary rather than set by a wrapper or by LD_LIBRARY_PATH: the
  # HAProxy master executes itself again at each reload, and must find the same loader then. They
  # name the final place, so the check before the move calls the loader by hand.
  local binary="$dir/root/usr/sbin/$package" libraries loader
  libraries=$(dirname "$(find "$dir/root" -name libc.so.6)")
  loader=$libraries/$(basename "$(patchelf --print-interpreter "$binary")")
  patchelf --set-interpreter "$cache/${loader#"$building/"}" \
    --force-rpath --set-rpath "$cache/${libraries#"$building/"}" "$binary"
  "$loader" --library-path "$libraries" "$binary" -v >/dev/null 2>&1 || die "Debian $version does not start here"

  ln -s "root/usr/sbin/$package" "$dir/$package"
  # For `load_module`, with the whole path; the nginx package has no modules of its own then.
  if [[ -d "$dir/root/usr/lib/nginx/modules" ]]; then ln -s root/usr/lib/nginx/modules "$dir/modules"; fi
  publish "$name" "${version%-*}" "Debian $package $version"
}

from_debian() {
  local name=$1 package=$2 suites
  need 'command -v patchelf' patchelf
  # Testing comes last, for the day when the pool no longer holds what the others list.
  for suites in "unstable experimental" testing; do
    attempt unpack_from "$suites" "$@"
    ((status)) || return 0
    say "$name: not to be had from Debian $suites"
  done
  die "$name: no way left to get $package ${name#*-}; another version does not stand in for it"
}

# ── nginx from source ───────────────────────────────────────────────────────────────────────────

# The crate's file in cargo's own cache, if it is there and whole.
cached_crate() {
  local file
  for file in "${CARGO_HOME:-$HOME/.cargo}"/registry/cache/*/"$crate.crate"; do
    if sha256sum --check --status <<<"$crate_sha256  $file" 2>/dev/null; then
      echo "$file"
      return
    fi
  done
  return 1
}

# cargo is the one to fetch it, called from the checkout, so that its configuration (mirrors,
# proxies) and the pinned toolchain hold here too.
fetch_crate() {
  if cached_crate; then return; fi
  local dir="$building/fetch" version=${crate#nginx-src-}
  mkdir -p "$dir/src"
  touch "$dir/src/lib.rs"
  printf '[package]\nname = "fetch"\nedition = "2021"\n[workspace]\n[dependencies]\nnginx-src = "=%s"\n' \
    "${version%+*}" >"$dir/Cargo.toml"
  (cd "$(dirname "${BASH_SOURCE[0]}")" && cargo fetch --quiet --manifest-path "$dir/Cargo.toml" >&2) ||
    die "cargo cannot fetch $crate"
  cached_crate || die "$crate: cargo brought no file with the SHA-256 $crate_sha256"
}

nginx_from_source() {
  local name=nginx-1.28 file log="$building/make.log"
  command -v cargo >/dev/null || die "$name: no cargo to fetch the source with"
  need 'command -v make' make
  need 'command -v gcc' gcc libc6-dev
  need 'test -e /usr/include/pcre2.h' libpcre2-dev
  need 'test -e /usr/include/zlib.h' zlib1g-dev
  need 'test -e /usr/include/openssl/ssl.h' libssl-dev

  file=$(fetch_crate)
  tar -xzf "$file" -C "$building"
  cd "$building/$crate/nginx"
  # As distributions build it, as far as Vigie needs it. No symbols: nobody debugs nginx here, and
  # the build is half as long.
  say "building $name from $crate"
  {
    ./auto/configure --prefix="$cache/$name" --with-cc-opt='-O2 -g0' --with-pcre-jit \
      --with-http_ssl_module --with-http_v2_module --with-http_realip_module \
      --with-http_auth_request_module --with-http_stub_status_module \
      --with-stream --with-stream_ssl_preread_module &&
      make -j "$(nproc)"
  } >"$log" 2>&1 || { tail -n 30 "$log" >&2; die "$name: the build failed, its last lines are above"; }

  mkdir -p "$building/$name"
  cp objs/nginx "$building/$name/nginx"
  publish "$name" "${crate#*+}" "built from $crate.crate"
}

# ── What was asked for ──────────────────────────────────────────────────────────────────────────

case "${1:-all}" in
  --print-dir) echo "$cache"; exit ;;
  all) wanted=(nginx-1.30 haproxy-3.4 nginx-1.28) ;;
  nginx | nginx-1.30) wanted=(nginx-1.30) ;;
  nginx-1.28) wanted=(nginx-1.28) ;;
  haproxy | haproxy-3.4) wanted=(haproxy-3.4) ;;
  *) echo "$usage" >&2; exit 2 ;;
esac

# The first to find something missing takes the lock, and looks again: another run may have brought
# it meanwhile. Under the lock the building place is ours, so what a killed run left there can go.
# No trap clears it earlier: what the killed run had started may still be at work, under this lock.
building="$cache/.building"
lock() {
  mkdir -p "$cache"
  exec 9>"$cache/.lock"
  flock --nonblock 9 || { say "waiting for another run"; flock 9; }
  rm -rf "$building"
  mkdir "$building"
}

failed=()
locked=
for name in "${wanted[@]}"; do
  if ready "$name"; then continue; fi
  if [[ -z "$locked" ]]; then lock; locked=yes; fi
  if ready "$name"; then continue; fi
  case "$name" in
    nginx-1.30) attempt from_debian "$name" nginx libnginx-mod-stream ;;
    haproxy-3.4) attempt from_debian "$name" haproxy ;;
    nginx-1.28) attempt nginx_from_source ;;
  esac
  if ((status)) || ! ready "$name"; then failed+=("$name"); fi
done
if [[ -n "$locked" ]]; then rm -rf "$building"; fi

for name in "${wanted[@]}"; do
  if [[ " ${failed[*]} " == *" $name "* ]]; then continue; fi
  read -r version <"$cache/$name/VERSION"
  printf '%-12s %-8s %s\n' "$name" "$version" "$cache/$name/${name%%-*}"
done
((${#failed[@]} == 0)) || die "not there: ${failed[*]}"
