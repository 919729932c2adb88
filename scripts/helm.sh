#!/usr/bin/env bash
# Builds Helm into a cache outside the checkout unless it is there, and prints its path. Go brings the source
# and holds it against the checksum database.
set -euo pipefail
version=4.2.4
cache="${XDG_CACHE_HOME:-$HOME/.cache}/vigie-tests"
directory=$cache/helm-$version

ready() { "$directory/helm" version --short 2>/dev/null | grep -q "v$version"; }

if ! ready; then
  command -v go >/dev/null || {
    echo "helm: no Go is here to build it with: install Go 1.26 (https://go.dev/dl)" >&2
    exit 1
  }
  # Only one builds. Under the lock the building place is ours, so what a killed run left there can go.
  mkdir -p "$cache"
  exec 9>"$cache/.helm-lock"
  flock 9
  if ! ready; then
    building=$cache/.building-helm
    rm -rf "$building"
    mkdir -p "$building/made"
    # Objects that nothing else can use: they are kept only where somebody names a place for them.
    export GOCACHE=${GOCACHE:-$building/objects} GOBIN=$building/made CGO_ENABLED=0
    echo "helm: building $version; this takes minutes, once" >&2
    cd "$building"
    go install -trimpath -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v$version" \
      "helm.sh/helm/v4/cmd/helm@v$version" >&2
    rm -rf "$directory"
    mv "$building/made" "$directory"
    rm -rf "$building"
    ready || { echo "helm: $directory/helm does not start" >&2; exit 1; }
  fi
fi
echo "$directory/helm"
