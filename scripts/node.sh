#!/usr/bin/env bash
# Starts a Kubernetes cluster of one node on this machine (etcd, API server, controllers, scheduler, kubelet,
# kube-proxy and containerd), runs a command in it with KUBECONFIG set, and ends all of it with the command:
#
#   scripts/node.sh FOLDER IMAGE.tar… -- COMMAND…
#
# FOLDER keeps logs and data, and its path is to be short. The IMAGEs are there without pulling; nothing can
# be pulled. Everything runs in namespaces for network, mounts and processes that end with this script: no
# process, mount, rule or control group is left.
#
# Addresses: the node and the API server have 10.77.0.1, tests may use any 10.77.x.y, pods have 10.78.0.0/24,
# Services 10.96.0.0/16.
#
# It needs root and, the first time, Go (scripts/control-plane.sh). Debian's containerd, runc and what else is missing
# on the machine it installs.
set -euo pipefail
shopt -s inherit_errexit

here=$(realpath "$(dirname "$0")/..")
die() { echo "node: $*" >&2; exit 1; }

# ── Outside: a control group and namespaces, and what is left of them afterwards ──

if [[ -z "${IN_NODE-}" ]]; then
  (($# >= 3)) || { echo "usage: scripts/node.sh FOLDER IMAGE.tar… -- COMMAND…" >&2; exit 2; }
  ((EUID == 0)) || die "it makes networks and control groups of its own, which takes root: run it as root"
  missing=()
  for need in containerd:containerd ctr:containerd runc:runc /usr/lib/cni/bridge:containernetworking-plugins nft:nftables \
    iptables:iptables ip:iproute2 openssl:openssl cc:gcc kubectl:kubernetes-client; do
    command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
  done
  [[ -e /usr/include/stdlib.h ]] || missing+=(libc6-dev)
  if ((${#missing[@]})); then
    echo "node: missing on this machine, installing: ${missing[*]}" >&2
    apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    install=("${apt[@]}" install --yes --no-install-recommends "${missing[@]}")
    # The lists of a fresh machine may be missing or too old, which only the failure tells.
    "${install[@]}" >/dev/null || { "${apt[@]}" update && "${install[@]}"; } >/dev/null || die "cannot install: ${missing[*]}"
  fi
  data=$1
  shift
  mkdir -p "$data"
  data=$(realpath "$data")
  ((${#data} < 80)) || die "the path of $data is too long for sockets in it"
  programs=$("$here/scripts/control-plane.sh")
  [[ -x "$programs/kubelet" ]] || die "$programs holds no kubelet; unset KUBEBUILDER_ASSETS"
  group=vigie-node-$$

  # Removes the control groups of a node that has ended.
  sweep() {
    local root
    for root in /sys/fs/cgroup/*/"$1" /sys/fs/cgroup/"$1"; do
      if [[ -d "$root" ]]; then find "$root" -depth -type d -exec rmdir {} + 2>/dev/null || true; fi
    done
  }
  # Those of a run that was killed.
  for left in /sys/fs/cgroup/*/vigie-node-* /sys/fs/cgroup/vigie-node-*; do
    if [[ -d "$left" && ! -d "/proc/${left##*-}" ]]; then sweep "${left##*/}"; fi
  done

  export IN_NODE=1 data programs group
  # The first process of the namespace ends with us, and all others with it.
  setpriv --pdeathsig KILL -- unshare --net --pid --mount --fork --kill-child --mount-proc --propagation private \
    -- "$0" "$@" <&0 &
  child=$! code=0
  trap 'kill -KILL $child 2>/dev/null || true' TERM INT HUP
  wait $child || code=$?
  wait $child 2>/dev/null || true
  for _ in $(seq 20); do
    sweep "$group"
    compgen -G "/sys/fs/cgroup/*/$group" >/dev/null || compgen -G "/sys/fs/cgroup/$group" >/dev/null || break
    read -rt 0.1 <> <(:) || true
  done
  exit $code
fi
unset IN_NODE

# ── Inside: we are the first process, and everything ends with us ──

images=()
while [[ "$1" != -- ]]; do
  images+=("$1")
  shift
done
shift
log=$data/log
rm -rf "$log" "$data/etcd" "$data/containerd"
mkdir -p "$log"

# until_true SECONDS WHAT COMMAND…
until_true() {
  local until=$((SECONDS + $1)) seconds=$1 what=$2
  shift 2
  while ((SECONDS < until)); do
    "$@" >/dev/null 2>&1 && return
    read -rt 0.1 <> <(:) || true
  done
  tail -n 5 "$log"/*.log >&2
  die "$what: not within $seconds s; the logs are in $log"
}

ip link set lo up
ip address add 10.77.0.1/16 dev lo
# So that the node's own processes reach Services, whose addresses kube-proxy rewrites.
ip route add 10.96.0.0/16 dev lo
echo 1 >/proc/sys/net/ipv4/ip_forward

# What the kubelet, containerd and the network plugins write lies in memory, apart from the machine's own.
for folder in /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers /run /etc/cni; do
  mkdir -p "$folder"
  mount -t tmpfs -o mode=755 tmpfs "$folder"
done
mount --make-shared /var/lib/kubelet
# The kubelet sets these for the whole machine; it may set a copy.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1; do
  copy=$data/$(basename "${setting%=*}")
  echo "${setting#*=}" >"$copy"
  mount --bind "$copy" "/proc/sys/${setting%=*}"
done
# The root of the kubelet's control groups, in every hierarchy.
if [[ $(stat -fc %T /sys/fs/cgroup) == cgroup2fs ]]; then
  mkdir -p "/sys/fs/cgroup/$group"
else
  for hierarchy in /sys/fs/cgroup/*/; do
    mkdir -p "$hierarchy$group"
    if [[ -e "$hierarchy$group/cpuset.cpus" ]]; then
      cat "$hierarchy/cpuset.cpus" >"$hierarchy$group/cpuset.cpus"
      cat "$hierarchy/cpuset.mems" >"$hierarchy$group/cpuset.mems"
    fi
  done
fi

# ── Keys ──

keys=$data/keys
mkdir -p "$keys"
# certificate NAME SUBJECT EXTENSION…: signed by our authority.
certificate() {
  local name=$1 subject=$2 extension added=()
  shift 2
  for extension; do added+=(-addext "$extension"); done
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "$subject" \
    -keyout "$keys/$name.key" -out "$keys/$name.crt" "${added[@]}" 2>/dev/null
}
certificate ca /CN=vigie-node basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign,cRLSign
signed=(-CA "$keys/ca.crt" -CAkey "$keys/ca.key")
for name in server client; do
  case $name in
    server) subject=/CN=kube-apiserver usage=serverAuth ;;
    client) subject=/O=system:masters/CN=kube-apiserver usage=clientAuth ;;
  esac
  openssl req -x509 "${signed[@]}" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "$subject" \
    -keyout "$keys/$name.key" -out "$keys/$name.crt" -addext basicConstraints=critical,CA:FALSE \
    -addext "extendedKeyUsage=$usage" \
    -addext subjectAltName=DNS:kubernetes.default.svc,DNS:kubernetes.default,DNS:kubernetes,IP:10.77.0.1,IP:10.96.0.1 \
    2>/dev/null
done
openssl genrsa -out "$keys/accounts.key" 2048 2>/dev/null
cat >"$keys/tokens.csv" <<'CSV'
admin,admin,admin,"system:masters"
manager,system:kube-controller-manager,manager,""
scheduler,system:kube-scheduler,scheduler,""
proxy,system:kube-proxy,proxy,""
node,system:node:node,node,"system:nodes"
CSV
# Anybody who reaches this network is admin: nothing but our own processes does.
for user in admin manager scheduler proxy node; do
  cat >"$keys/$user.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: node
clusters: [{name: node, cluster: {server: "https://10.77.0.1:6443", certificate-authority: $keys/ca.crt}}]
users: [{name: $user, user: {token: $user}}]
contexts: [{name: node, context: {cluster: node, user: $user}}]
YAML
done
export KUBECONFIG=$keys/admin.kubeconfig

# ── The control plane ──

"$programs/etcd" --data-dir "$data/etcd" --unsafe-no-fsync --log-level error \
  --listen-client-urls http://10.77.0.1:2379 --advertise-client-urls http://10.77.0.1:2379 \
  --listen-peer-urls http://10.77.0.1:2380 >"$log/etcd.log" 2>&1 &
"$programs/kube-apiserver" --etcd-servers http://10.77.0.1:2379 --bind-address 10.77.0.1 --advertise-address 10.77.0.1 \
  --secure-port 6443 --tls-cert-file "$keys/server.crt" --tls-private-key-file "$keys/server.key" \
  --client-ca-file "$keys/ca.crt" --token-auth-file "$keys/tokens.csv" --authorization-mode Node,RBAC \
  --enable-admission-plugins NodeRestriction --kubelet-client-certificate "$keys/client.crt" \
  --kubelet-client-key "$keys/client.key" --kubelet-preferred-address-types InternalIP \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$keys/accounts.key" \
  --service-account-signing-key-file "$keys/accounts.key" --service-cluster-ip-range 10.96.0.0/16 \
  --allow-privileged --profiling=false ${API_SERVER_FLAGS-} >"$log/api-server.log" 2>&1 &

# ── containerd, while that comes up ──

pause=$data/pause
mkdir -p "$pause"
cc -static -Os -s -o "$pause/pause" "$here/tests/node/pause.c"
"$here/scripts/oci.sh" "$data/pause.tar" vigie.test/pause:1 '{"Entrypoint":["/pause"],"User":"65535:65535"}' \
  "$(dpkg --print-architecture)=$pause"
mkdir -p /etc/cni/net.d
cat >/etc/cni/net.d/10-node.conflist <<'JSON'
{"cniVersion": "0.4.0", "name": "node", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.78.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
cat >"$data/containerd.toml" <<TOML
version = 2
root = "$data/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "vigie.test/pause:1"
  disable_tcp_service = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
TOML
containerd -c "$data/containerd.toml" >"$log/containerd.log" 2>&1 &
export CONTAINERD_ADDRESS=/run/containerd/containerd.sock
until_true 30 containerd ctr version
for image in "$data/pause.tar" "${images[@]}"; do
  ctr -n k8s.io images import "$image" >>"$log/import.log"
done

# ── What runs pods ──

until_true 120 'the API server' kubectl get --raw /readyz
controllers=(
  clusterrole-aggregation daemonset deployment disruption endpointslice endpointslicemirroring garbagecollector
  job namespace nodelifecycle podgc replicaset root-ca-cert-publisher serviceaccount taint-eviction-controller
  validatingadmissionpolicy-status-controller
)
"$programs/kube-controller-manager" --kubeconfig "$keys/manager.kubeconfig" --leader-elect=false \
  --use-service-account-credentials --service-account-private-key-file "$keys/accounts.key" --root-ca-file "$keys/ca.crt" \
  --secure-port 0 --profiling=false --controllers "$(IFS=,; echo "${controllers[*]}")" \
  >"$log/controller-manager.log" 2>&1 &
"$programs/kube-scheduler" --kubeconfig "$keys/scheduler.kubeconfig" --authentication-kubeconfig "$keys/scheduler.kubeconfig" \
  --authorization-kubeconfig "$keys/scheduler.kubeconfig" --leader-elect=false --bind-address 127.0.0.1 --secure-port 0 \
  >"$log/scheduler.log" 2>&1 &
cat >"$data/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 10.77.0.1
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$group
failSwapOn: false
localStorageCapacityIsolation: false
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $keys/ca.crt}}
authorization: {mode: Webhook}
clusterDomain: cluster.local
evictionHard: {memory.available: 0%, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
nodeStatusUpdateFrequency: 2s
resolvConf: ""
readOnlyPort: 0
healthzPort: 0
YAML
"$programs/kubelet" --config "$data/kubelet.yaml" --kubeconfig "$keys/node.kubeconfig" --hostname-override node \
  --node-ip 10.77.0.1 --root-dir /var/lib/kubelet --cert-dir "$data/kubelet-keys" >"$log/kubelet.log" 2>&1 &
# A command may stop the kubelet and let it go on.
export KUBELET_PID=$!
cat >"$data/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $keys/proxy.kubeconfig}
clusterCIDR: 10.78.0.0/24
bindAddress: 10.77.0.1
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
"$programs/kube-proxy" --config "$data/kube-proxy.yaml" --hostname-override node >"$log/kube-proxy.log" 2>&1 &
until_true 60 'the node' kubectl wait --for=condition=Ready node/node --timeout=1s
until_true 30 'the account of the default namespace' kubectl get serviceaccount default

code=0
"$@" || code=$?
exit $code
