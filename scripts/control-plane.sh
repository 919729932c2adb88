#!/usr/bin/env bash
# Builds what makes a Kubernetes cluster (etcd, kube-apiserver and the rest, see tests/control-plane)
# into a cache outside the checkout, where the tests look for it:
#
#   control-plane-KEY/control-plane      all of it in one file
#   control-plane-KEY/kube-apiserver …   links to it, one for each name that it goes by
#
# The key is a digest of the sources and of Go's version: what is there is built already. Building takes
# about eight minutes of CPU time, 3 GB of disk meanwhile and 0.8 GB of modules in Go's own cache.
#
#   scripts/control-plane.sh              builds it unless it is there, and prints the directory
#   scripts/control-plane.sh --print-dir  prints the directory, whether it is there or not
#
# KUBEBUILDER_ASSETS, where it is set, is the directory: it must hold etcd and kube-apiserver. Tests whose
# EndpointSlices come of pods need kube-controller-manager beside them, and say so where it is missing.
set -euo pipefail
shopt -s inherit_errexit

say() { echo "control-plane: $*" >&2; }
die() { say "$*"; exit 1; }

# The tests make a network of their own with it.
if [[ "${1-}" != --print-dir ]] && ! command -v ip >/dev/null; then
  ((EUID == 0)) || die "missing on this machine: iproute2; install it, or run this as root"
  say "missing on this machine, installing: iproute2"
  apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  install=("${apt[@]}" install --yes --no-install-recommends iproute2)
  # The lists of a fresh machine may be missing or too old, which only the failure tells.
  "${install[@]}" >/dev/null || { "${apt[@]}" update && "${install[@]}"; } >/dev/null ||
    die "cannot install iproute2"
fi

# The components are started in directories of their own: a relative path would lead nowhere.
if [[ -n "${KUBEBUILDER_ASSETS:-}" ]]; then
  assets=$(realpath -e -- "$KUBEBUILDER_ASSETS") || die "KUBEBUILDER_ASSETS names no directory"
  for component in etcd kube-apiserver; do
    [[ -x "$assets/$component" ]] || die "KUBEBUILDER_ASSETS holds no $component: $assets"
  done
  echo "$assets"
  exit
fi

cache="${XDG_CACHE_HOME:-$HOME/.cache}/vigie-tests"
components=(etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubelet)

# Raise this when a change below must build anew what is cached already.
recipe=1

cd "$(dirname "$0")/../tests/control-plane"
command -v go >/dev/null ||
  die "no Go is here to build the test cluster with: install Go 1.26 (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a directory with etcd and kube-apiserver"
# Inside the module, so that this is the version that builds it.
go=$(go env GOVERSION) ||
  die "this Go cannot build the test cluster: install Go 1.26 (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a directory with etcd and kube-apiserver"
key=$({ echo "$recipe $go"; cat go.mod go.sum ./*.go; } | sha256sum | cut -c1-16)
directory=$cache/control-plane-$key

# What runs under this name says its version only when it is whole.
ready() { "$directory/kube-apiserver" --version >/dev/null 2>&1; }

build() {
  local version package=k8s.io/component-base/version major minor
  version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
  IFS=. read -r major minor _ <<<"${version#v}"
  # Without a version clients cannot tell what the server understands.
  CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$building/made/control-plane" -ldflags "-s -w \
    -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor \
    -X $package.gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion=$version" .
  for component in "${components[@]}"; do ln -s control-plane "$building/made/$component"; done
}

if [[ "${1-}" == --print-dir ]] || ready; then
  echo "$directory"
  exit
fi

# Only one builds. Under the lock the building place is ours, so what a killed run left there can go.
building=$cache/.building
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock --nonblock 9 || { say "waiting for another run"; flock 9; }
if ! ready; then
  rm -rf "$building"
  mkdir -p "$building/made"
  # Objects of 3 GB that nothing else can use: they are kept only where somebody names a place for them.
  export GOCACHE=${GOCACHE:-$building/objects}
  say "building the test cluster with $go; this takes minutes, once"
  build
  rm -rf "$directory"
  mv "$building/made" "$directory"
  rm -rf "$building"
  ready || die "$directory/kube-apiserver does not start"
fi
echo "$directory"
