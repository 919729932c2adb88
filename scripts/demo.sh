#!/usr/bin/env bash
# Serves examples/hello with both proxies on free ports, with echo backends behind them, says what to
# ask, and shows what changes cost under load. With --check it asks by itself, compares and ends.
set -euo pipefail
cd "$(dirname "$0")/.."
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

"$target/examples/backend" --name demo \
  --listen 127.1.0.1:8080 --listen 127.1.0.2:8080 --listen 127.1.0.3:8080 --listen 127.1.0.4:8080 \
  >"$work/backend.log" 2>&1 &
children+=($!)

# start PROXY: serves the example and waits until the proxy has proven that it runs it.
start() {
  "$target/vigie" run examples/hello --proxy "$1" --http 127.0.0.1:0 --https 127.0.0.1:0 \
    --access-log "$work/$1.access" >"$work/$1.log" 2>&1 &
  children+=($!)
  for _ in $(seq 300); do
    grep -q '^ready:' "$work/$1.log" && return
    kill -0 "${children[-1]}" 2>/dev/null || break
    read -rt 0.1 <> <(:) || true
  done
  cat "$work/$1.log" >&2
  exit 1
}

# url PROXY: where it listens for http.
url() { sed -n 's/^ready: \(http:[^ ]*\).*/\1/p' "$work/$1.log"; }

# ask PROXY HOST PATH [HEADER]: the backend that answered and the path that it saw.
ask() {
  curl --silent --show-error --max-time 5 -H "Host: $2" ${4:+-H "$4"} "$(url "$1")$3" |
    sed -n 's/^  "\(address\|path\)": "\(.*\)",*$/\2/p' | paste -sd ' '
}

start nginx
start haproxy
head -n 1 "$work/nginx.log"
sed -n '3,7p' "$work/nginx.log"
printf '\nTry it; both answer alike:\n\n'
failed=0
for proxy in nginx haproxy; do
  while IFS='|' read -r host path expected header; do
    printf "  curl -H 'Host: %s'%s '%s%s'\n" "$host" "${header:+ -H '$header'}" "$(url "$proxy")" "$path"
    seen=$(ask "$proxy" "$host" "$path" "$header")
    printf '    backend and path: %s\n' "$seen"
    if [[ ! $seen =~ ^127\.1\.0\.$expected$ ]]; then
      printf '    but that was to be 127.1.0.%s\n' "$expected"
      failed=1
    fi
  done <<'TABLE'
hello.localhost|/|[123]:8080 /
hello.localhost|/api/items|4:8080 /api/items
rewrite.localhost|/app/items?page=2|4:8080 /items\?page=2
hello.localhost|/|3:8080 /|X-Canary: always
TABLE
done
printf '\nWhat changes cost:\n\n'
scripts/live.sh nginx "${1-}"
scripts/live.sh haproxy "${1-}"
if [ "${1-}" = --check ]; then exit "$failed"; fi
printf '\nBoth serve until Ctrl-C. What changes in examples/hello is loaded at once:\n\n'
tail -n 0 -f "$work/nginx.log" "$work/haproxy.log"
