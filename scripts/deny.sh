#!/usr/bin/env bash
# Checks licences, advisories and sources of the dependencies, by cargo-deny out of a cache outside
# the checkout. Advisories need their database; where it cannot be fetched, that part is left out and
# said so, and the rest is checked all the same.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
tools=${XDG_CACHE_HOME:-$HOME/.cache}/vigie/tools
deny=$tools/bin/cargo-deny
if ! "$deny" --version 2>/dev/null | grep -q " $version\$"; then
  echo "installing cargo-deny $version into $tools" >&2
  cargo install --quiet --locked --version "$version" --root "$tools" cargo-deny
fi
"$deny" --log-level error check bans licenses sources
if ! words=$("$deny" --log-level error check advisories 2>&1); then
  if grep -q 'failed to fetch advisory database\|failed to open advisory\|unable to fetch' <<<"$words"; then
    echo "advisories were not checked: their database cannot be fetched from here" >&2
  else
    echo "$words" >&2
    exit 1
  fi
fi
