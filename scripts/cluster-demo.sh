#!/usr/bin/env bash
# Starts a real control plane (etcd, API server), a controller and an agent for each proxy, each agent in
# a network namespace of its own as a pod is, applies examples/cluster, and shows what a user then sees.
# With --check it compares, ends, and leaves nothing; without, all of it runs until Ctrl-C.
#
# Everything lives in namespaces for network, mounts and processes that end with this script. It needs
# root, and the programs that it names where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "cluster-demo: $*" >&2; exit 1; }
for program in ip openssl kubectl curl unshare; do
  command -v "$program" >/dev/null || die "missing on this machine: $program"
done
((EUID == 0)) || die "it makes networks of its own, which takes root: run it as root"

# Alone in a world of our own, as its first process: the kernel ends the others with it.
if [[ -z "${IN_NAMESPACE-}" ]]; then
  programs=$(scripts/control-plane.sh)
  export IN_NAMESPACE=1 programs
  exec unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private "$0" "$@"
fi

target=${CARGO_TARGET_DIR:-target}/debug
work=$(mktemp -d)
cleanup() {
  trap - EXIT
  # All that is left ends with us.
  kill -KILL $(jobs -p) 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 0' INT TERM

# until_true SECONDS WHAT COMMAND…: waits for a command to succeed.
until_true() {
  local seconds=$1 what=$2
  shift 2
  for _ in $(seq $((seconds * 10))); do
    "$@" >/dev/null 2>&1 && return
    read -rt 0.1 <> <(:) || true
  done
  tail -n 15 "$work"/*.log >&2
  die "$what: not within $seconds s"
}

# ── a network in which every address of 10.77.0.0/16 is local, and pods of 10.78.0.0/16 on a bridge ──
ip link set lo up
ip address add 10.77.0.1/16 dev lo
ip link add pods address 02:00:0a:4e:00:01 type bridge
ip address add 10.78.0.1/16 dev pods
ip link set pods up
mount -t tmpfs tmpfs /run
# pod NAME ADDRESS: a network namespace of its own.
pod() {
  ip netns add "$1"
  ip link add "$1" type veth peer name eth0 netns "$1"
  ip link set "$1" master pods up
  ip -n "$1" link set lo up
  ip -n "$1" address add "$2/16" dev eth0
  ip -n "$1" link set eth0 up
  ip -n "$1" route add default via 10.78.0.1
}

# ── the control plane ──
cd "$work"
openssl genrsa -out accounts.key 2048 2>/dev/null
openssl rsa -in accounts.key -pubout -out accounts.pub 2>/dev/null
echo 'admin,admin,admin,system:masters' >tokens.csv
"$programs/etcd" --data-dir etcd --unsafe-no-fsync --log-level error \
  --listen-client-urls http://10.77.0.1:2379 --advertise-client-urls http://10.77.0.1:2379 \
  --listen-peer-urls http://10.77.0.1:2380 >etcd.log 2>&1 &
"$programs/kube-apiserver" --etcd-servers http://10.77.0.1:2379 --cert-dir certificates \
  --bind-address 10.77.0.1 --advertise-address 10.77.0.1 --secure-port 6443 \
  --token-auth-file tokens.csv --authorization-mode RBAC \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file accounts.pub \
  --service-account-signing-key-file accounts.key --service-cluster-ip-range 10.96.0.0/16 \
  --disable-admission-plugins ServiceAccount >api-server.log 2>&1 &
export KUBECONFIG=$work/kubeconfig
kubectl config set-cluster demo --server https://10.77.0.1:6443 --insecure-skip-tls-verify >/dev/null
kubectl config set-credentials admin --token admin >/dev/null
kubectl config set-context demo --cluster demo --user admin --namespace vigie >/dev/null
kubectl config use-context demo >/dev/null
until_true 60 'the API server' kubectl get --raw /readyz
cd - >/dev/null
kubectl create namespace vigie >/dev/null

# ── Vigie ──
kubectl apply -f crds >/dev/null
"$target/vigie" controller --proxy nginx --proxy haproxy --publish-address 192.0.2.10 \
  --listen 10.77.0.1:10254 >"$work/controller.log" 2>&1 &
for proxy in nginx haproxy; do
  pod "$proxy" "$([ "$proxy" = nginx ] && echo 10.78.0.10 || echo 10.78.0.11)"
  ip netns exec "$proxy" "$target/vigie" agent --proxy "$proxy" --pod-name "$proxy" \
    --directory "/run/vigie-$proxy" --grace 1 >"$work/$proxy.log" 2>&1 &
done
"$target/examples/backend" --name demo --listen 10.77.1.1:8000 --listen 10.77.1.2:8000 \
  >"$work/backend.log" 2>&1 &

# ── what a user does, and sees ──
kubectl apply -f examples/cluster
"$target/vigie" wait ingress/stdelval --namespace default --timeout 60
printf '\n$ kubectl get ingress,routehealth\n'
kubectl get ingress,routehealth --namespace default
failed=0
# ask PROXY ADDRESS PATH STATUS
ask() {
  printf '\n$ curl -H "Host: shop.example.com" http://%s:8080%s   # %s\n' "$2" "$3" "$1"
  local status
  status=$(curl --silent --max-time 5 -o "$work/answer" -w '%{http_code}' \
    -H 'Host: shop.example.com' "http://$2:8080$3")
  head -c 300 "$work/answer"
  printf '\n%s\n' "$status"
  [ "$status" = "$4" ] || { echo "but that was to be $4"; failed=1; }
}
for proxy in nginx haproxy; do
  address=$([ "$proxy" = nginx ] && echo 10.78.0.10 || echo 10.78.0.11)
  ask "$proxy" "$address" /stdelval/items 200
  ask "$proxy" "$address" /broken 503
done

# ── and where a route is broken ──
kubectl apply -f examples/cluster/broken.yaml -f examples/cluster/pods.yaml >/dev/null
# A kubelet's part: a pod's status is written apart from the pod.
pod=/api/v1/namespaces/default/pods/legacy-5d8f7c9b64-x2k9q
kubectl patch --local --filename examples/cluster/pods.yaml --type merge --patch '{}' --output json 2>/dev/null |
  awk '/^{/ {first++} first == 1' |
  curl --silent --fail --insecure --header 'Authorization: Bearer admin' --header 'Content-Type: application/merge-patch+json' \
    --request PATCH --data-binary @- "https://10.77.0.1:6443$pod/status" >/dev/null
told() { kubectl get routehealth "$1" --namespace default --output 'jsonpath={.status.conditions[0].reason}' | grep -qx "$2"; }
until_true 30 'what is wrong with the class' told unclaimed IngressClassNotFound
until_true 30 'what is wrong with the port' told wrong-port.auto ServicePortNotFound
until_true 30 'what is wrong with the pods' told legacy.auto ReadinessProbeFailing
printf '\n$ kubectl get routehealth\n'
kubectl get routehealth --namespace default | tee "$work/table"
# All columns but the age.
awk '{NF--; $1 = $1; print}' "$work/table" | diff - <(sed 's/  */ /g' <<'TABLE'
NAME              TARGET               HEALTHY   REASON                  ROUTES   ENDPOINTS   EJECTED
broken.auto       ingress/broken       False     ServiceNotFound         0/1      0/0         0
legacy.auto       ingress/legacy       False     ReadinessProbeFailing   0/1      0/1         0
stdelval.auto     ingress/stdelval     True      Healthy                 1/1      2/2         0
unclaimed         ingress/unclaimed    False     IngressClassNotFound    0/1      0/0         0
wrong-port.auto   ingress/wrong-port   False     ServicePortNotFound     0/1      0/0         0
TABLE
) || { echo 'the table is another one'; failed=1; }
printf '\n$ kubectl describe routehealth legacy.auto\n'
kubectl describe routehealth legacy.auto --namespace default | sed -n '/^Status:/,$p' | tee "$work/described"
# Healthy is the first of the conditions, so that the cause stands at the top.
sed -n 's/^ *\(Reason\|Code\): *//p' "$work/described" | head -n 1 | grep -qx ReadinessProbeFailing ||
  { echo 'the cause does not stand at the top'; failed=1; }
while read -r url code; do
  printf '\n$ vigie explain %s\n' "$url"
  "$target/vigie" explain "$url" >"$work/explained" && { echo 'but it does not work'; failed=1; }
  cat "$work/explained"
  grep -q "^error\[$code\]" "$work/explained" || { echo "it does not say $code"; failed=1; }
done <<'URLS'
http://unclaimed.example.com/ RH210
http://wrong-port.example.com/ RH202
http://legacy.example.com/cart RH406
URLS
printf '\n$ vigie status\n'
"$target/vigie" status --namespace vigie || true
[ "${1-}" = --check ] && exit "$failed"
printf '\nAll of it runs until Ctrl-C; in another shell: nsenter --net --mount --target %s\n' "$$"
sleep infinity & wait $!
