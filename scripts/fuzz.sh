#!/usr/bin/env bash
# Fuzzes the reader of manifests and both renderers, each for so many seconds, beginning with the
# manifests of all cases. Needs a nightly compiler (`rustup toolchain install nightly`); cargo-fuzz is
# put into a cache outside the checkout. What was found lies in fuzz/artifacts.
#
#   scripts/fuzz.sh [SECONDS] [TARGET…]      60 seconds and all targets unless said
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.13.1
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(manifests nginx haproxy)
tools=${XDG_CACHE_HOME:-$HOME/.cache}/vigie/tools
fuzz=$tools/bin/cargo-fuzz
if ! "$fuzz" --version 2>/dev/null | grep -q " $version\$"; then
  echo "installing cargo-fuzz $version into $tools" >&2
  cargo install --quiet --locked --version "$version" --root "$tools" cargo-fuzz
fi
if ! rustup run nightly rustc --version >/dev/null 2>&1; then
  echo "no nightly compiler is here: rustup toolchain install nightly" >&2
  exit 2
fi
for target in "${targets[@]}"; do
  corpus=fuzz/corpus/$target
  mkdir -p "$corpus"
  for manifest in tests/cases/*/*.yaml; do
    case=$(basename "$(dirname "$manifest")")
    [ "$(basename "$manifest")" = expect.yaml ] || cp "$manifest" "$corpus/$case-$(basename "$manifest")"
  done
  echo "fuzzing $target for $seconds s" >&2
  # Sanitizers are for unsafe code, of which we have none; without them it goes faster.
  RUSTUP_TOOLCHAIN=nightly "$fuzz" run --sanitizer none "$target" "$corpus" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=0
done
