#!/usr/bin/env bash
# Packs folders into an OCI image, without a daemon: one archive that registries' tools and containerd read.
# Equal folders give equal octets.
#
#   scripts/oci.sh OUT.tar REFERENCE CONFIG ARCHITECTURE=FOLDER…
#
# REFERENCE is the name and tag, as registry.example.com/vigie:0.1.0; CONFIG a JSON object as an image's
# `config` is: Entrypoint, User, Labels and so on. Each FOLDER is the whole file system for its architecture.
set -euo pipefail
(($# >= 4)) || { echo "usage: scripts/oci.sh OUT.tar REFERENCE CONFIG ARCHITECTURE=FOLDER…" >&2; exit 2; }
out=$1 reference=$2 config=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
layout=$work/layout
mkdir -p "$layout/blobs/sha256"
pack=(tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -c)

# blob FILE: takes it in, and prints its digest and size as members of a descriptor.
blob() {
  local digest size
  digest=$(sha256sum "$1" | cut -d' ' -f1)
  size=$(stat -c %s "$1")
  mv "$1" "$layout/blobs/sha256/$digest"
  printf '"digest":"sha256:%s","size":%s' "$digest" "$size"
}

type=application/vnd.oci.image
manifests=()
for part; do
  architecture=${part%%=*} folder=${part#*=}
  "${pack[@]}" -C "$folder" -f "$work/layer" .
  content=sha256:$(sha256sum "$work/layer" | cut -d' ' -f1)
  gzip -n -6 "$work/layer"
  layer=$(blob "$work/layer.gz")
  printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["%s"]}}' \
    "$architecture" "$config" "$content" >"$work/config"
  described=$(blob "$work/config")
  printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json",%s},"layers":[{"mediaType":"%s.layer.v1.tar+gzip",%s}]}' \
    "$type" "$type" "$described" "$type" "$layer" >"$work/manifest"
  manifests+=("$(printf '{"mediaType":"%s.manifest.v1+json",%s,"platform":{"architecture":"%s","os":"linux"}}' \
    "$type" "$(blob "$work/manifest")" "$architecture")")
done
printf '{"schemaVersion":2,"mediaType":"%s.index.v1+json","manifests":[%s]}' \
  "$type" "$(IFS=,; echo "${manifests[*]}")" >"$work/index"
printf '{"schemaVersion":2,"mediaType":"%s.index.v1+json","manifests":[{"mediaType":"%s.index.v1+json",%s,"annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"}}]}' \
  "$type" "$type" "$(blob "$work/index")" "$reference" "${reference##*:}" >"$layout/index.json"
echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
mkdir -p "$(dirname "$out")"
"${pack[@]}" -C "$layout" -f "$work/image" blobs index.json oci-layout
mv "$work/image" "$out"
