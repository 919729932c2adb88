#!/usr/bin/env bash
# Builds Vigie's image out of a static binary, without a daemon, and beside it the list of what is in it:
#
#   target/image/vigie.tar        an OCI archive, as `skopeo copy oci-archive:target/image/vigie.tar docker://…` takes it
#   target/image/vigie.cdx.json   CycloneDX, of everything that Cargo.lock names; it is in the image too
#
#   scripts/image.sh [ARCHITECTURE=BINARY…]
#
# Default: the binary that cargo has built for this machine's architecture with musl. VIGIE_IMAGE is the name and tag,
# vigie.dev/vigie:VERSION unless it is set.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022
die() { echo "image: $*" >&2; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
reference=${VIGIE_IMAGE:-vigie.dev/vigie:$version}
target=${CARGO_TARGET_DIR:-target}
out=$target/image
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

machine=$(uname -m)
case $machine in
  x86_64) here=amd64 ;;
  aarch64) here=arm64 ;;
  *) here=$machine ;;
esac
(($#)) || set -- "$here=$target/$machine-unknown-linux-musl/release/vigie"

# A checkout without git has a version all the same.
revision=$(git rev-parse HEAD 2>/dev/null || true)
labels=$(printf '"org.opencontainers.image.title":"vigie","org.opencontainers.image.version":"%s","org.opencontainers.image.licenses":"Apache-2.0"%s' \
  "$version" "${revision:+,\"org.opencontainers.image.revision\":\"$revision\"}")

awk -v version="$version" '
  function put() {
    if (name == "" || name == "vigie") return
    printf "%s\n    {\"type\": \"library\", \"name\": \"%s\", \"version\": \"%s\", \"purl\": \"pkg:cargo/%s@%s\"%s}", comma, name, number, name, number, sum
    comma = ","
  }
  BEGIN {
    printf "{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.5\",\n  \"version\": 1,\n"
    printf "  \"metadata\": {\"component\": {\"type\": \"application\", \"name\": \"vigie\", \"version\": \"%s\"}},\n  \"components\": [", version
  }
  $1 == "[[package]]" { put(); name = number = sum = "" }
  $1 == "name" { gsub(/"/, "", $3); name = $3 }
  $1 == "version" && name != "" { gsub(/"/, "", $3); number = $3 }
  $1 == "checksum" { gsub(/"/, "", $3); sum = ", \"hashes\": [{\"alg\": \"SHA-256\", \"content\": \"" $3 "\"}]" }
  END { put(); printf "\n  ]\n}\n" }
' Cargo.lock >"$work/vigie.cdx.json"

folders=()
for part; do
  architecture=${part%%=*} binary=${part#*=}
  [[ -x "$binary" ]] || die "no program at $binary; \`make image\` builds it"
  # Nothing else is in the image, so no loader and no library.
  if ldd "$binary" 2>/dev/null | grep -qv 'statically linked'; then die "$binary is not static"; fi
  root=$work/$architecture
  mkdir -p "$root/usr/share/doc/vigie"
  install -m 755 "$binary" "$root/vigie"
  install -m 644 LICENSE "$work/vigie.cdx.json" "$root/usr/share/doc/vigie/"
  folders+=("$architecture=$root")
done
scripts/oci.sh "$out/vigie.tar" "$reference" \
  "{\"Entrypoint\":[\"/vigie\"],\"User\":\"65532:65532\",\"Labels\":{$labels}}" "${folders[@]}"
cp "$work/vigie.cdx.json" "$out/"
echo "$reference in $out/vigie.tar"
