#!/usr/bin/env bash
# Serves examples/live with one proxy, asks it all the time, and changes the manifests meanwhile: another
# Ingress with its Service, more endpoints, another certificate, and an object that the proxy refuses.
# Says of each change what it cost and in the end how many requests were lost. With --check it fails
# where something is not as it must be. Usage: scripts/live.sh PROXY [--check]
set -euo pipefail
cd "$(dirname "$0")/.."
proxy=$1
check=${2-}
target=${CARGO_TARGET_DIR:-target}/debug
work=$(mktemp -d)
children=()
cleanup() {
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 0' INT TERM
mkdir "$work/manifests"
: >"$work/run.log"
cp examples/live/*.yaml "$work/manifests/"

fail() {
  printf '%s\n' "$1" >&2
  cat "$work/run.log" >&2
  exit 1
}

# until_true WHAT COMMAND...: waits until the command succeeds.
until_true() {
  local what=$1
  shift
  for _ in $(seq 300); do
    if "$@" >/dev/null; then return; fi
    read -rt 0.1 <> <(:) || true
  done
  fail "$what: it never came"
}

"$target/vigie" run "$work/manifests" --proxy "$proxy" --http 127.0.0.1:0 --https 127.0.0.1:0 \
  --access-log "$work/access.log" >"$work/run.log" 2>&1 &
children+=($!)
until_true "$proxy is ready" grep -q '^ready:' "$work/run.log"
http=$(sed -n 's/^ready: http:\/\/\([^ ]*\).*/\1/p' "$work/run.log")
https=$(sed -n 's/^ready: .* https:\/\/\([^ ]*\)$/\1/p' "$work/run.log")

# Asks over kept connections, 50 requests each, until it is told to stop.
load() {
  while [ ! -e "$work/stop" ]; do
    curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}\n' \
      -H 'Host: live.localhost' "http://$http/?[1-50]" >>"$work/answers.$1" || true
  done
}

# backend_is PATH ADDRESS: which endpoint answers.
backend_is() {
  curl --silent --max-time 5 -H 'Host: live.localhost' "http://$http$1" | grep -q "\"$2:8080\""
}
certificate_is() {
  curl --silent --insecure --verbose --max-time 5 --output /dev/null \
    --connect-to "live.localhost:443:$https" https://live.localhost/ 2>&1 | grep -q "CN=$1"
}

# change WHAT FILE COMMAND...: brings a manifest in, waits until the command sees it served, and prints
# what was said of it.
change() {
  local what=$1 file=$2 lines
  shift 2
  lines=$(wc -l <"$work/run.log")
  cp "examples/live/later/$file" "$work/manifests/.$file"
  mv "$work/manifests/.$file" "$work/manifests/$file"
  until_true "$what" "$@"
  until_true "$what is told" said "$lines"
  printf '  %-12s %s\n' "$what" "$(said "$lines" | head -n 1 | shortened)"
}
# Of a refusal the object and what became of it; of all else the beginning.
shortened() { sed 's/^refused: .*(\(Ingress [^)]*\))/refused: \1/' | cut -c 1-150; }
said() { tail -n "+$(($1 + 1))" "$work/run.log" | grep -E '^(live|reload|refused):'; }

printf '%s, asked all the time:\n' "$(head -n 1 "$work/run.log" | cut -d' ' -f1-2)"
for client in 1 2; do
  load "$client" &
  children+=($!)
done
change 'an Ingress' edit.yaml backend_is /reports 127.1.0.4
change 'more pods' scaled.yaml backend_is / 127.1.0.3
change 'certificate' certificate.yaml certificate_is 'the second certificate'
change 'broken' broken.yaml grep -q '^refused:' "$work/run.log"
until_true 'the rest is served' backend_is /reports 127.1.0.4
touch "$work/stop"
wait "${children[@]:1}" 2>/dev/null || true
asked=$(cat "$work"/answers.* | wc -l)
lost=$(cat "$work"/answers.* | grep -vc '^200$' || true)
reloads=$(grep -c '^reload:' "$work/run.log" || true)
printf '  %s requests, %s lost, %s reloads\n\n' "$asked" "$lost" "$reloads"
if [ "$check" = --check ]; then
  [ "$asked" -gt 100 ] || fail "only $asked requests were sent"
  [ "$lost" -eq 0 ] || fail "$lost requests were lost"
  [ "$proxy" = nginx ] || [ "$reloads" -eq 0 ] || fail "$reloads reloads, where none is needed"
fi
