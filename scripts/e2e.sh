#!/usr/bin/env bash
# Installs the chart with Helm on a cluster of one node, as a user would, and does to it what operations do:
# requests through Service, node port and host port; a rolling update, scaling, an eviction, an upgrade and a
# rollback under load, none of which loses a request; a kubelet that stops; two releases side by side; and an
# uninstall that leaves the definition of RouteHealth and the users' own objects.
#
#   scripts/e2e.sh [STEP…]      all steps unless some are named; they stand at the end
#
# VIGIE_BINARY is a static binary of Vigie; default: one that is built here as tests are, which is quicker than
# `make image`, in a cache outside the checkout. E2E=0 leaves all of this out.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

die() { echo "e2e: $*" >&2; exit 1; }

# ── Outside: images and a node ──

if [[ -z "${IN_E2E-}" ]]; then
  if [[ "${E2E-}" == 0 ]]; then
    echo "e2e: left out, as E2E=0 asks"
    exit 0
  fi
  target=$(uname -m)-unknown-linux-musl
  missing=()
  ((EUID == 0)) || missing+=("root")
  for need in curl:curl openssl:openssl go:"Go 1.26" musl-gcc:musl-tools; do
    command -v "${need%%:*}" >/dev/null || missing+=("${need#*:}")
  done
  [[ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]] || missing+=("\`rustup target add $target\`")
  # What else is missing node.sh installs, where there is apt.
  command -v containerd >/dev/null || command -v apt-get >/dev/null || missing+=(containerd)
  ((!${#missing[@]})) || die "missing on this machine: $(printf '%s, ' "${missing[@]}" | sed 's/, $//'); E2E=0 leaves this out"
  if [[ -z "${VIGIE_BINARY-}" ]]; then
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/vigie-tests/musl
    CARGO_TARGET_DIR=$cache CARGO_PROFILE_DEV_STRIP=debuginfo cargo build --quiet --locked --target "$target" --bin vigie
    VIGIE_BINARY=$cache/$target/debug/vigie
  fi
  work=$(mktemp -d /tmp/vigie-e2e-XXXX)
  trap 'rm -rf "$work"' EXIT
  helm=$(scripts/helm.sh)
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
  VIGIE_IMAGE=vigie.test/vigie:$version scripts/image.sh "$(dpkg --print-architecture)=$VIGIE_BINARY" >/dev/null
  scripts/proxy-images.sh "$work"
  printf 'apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n' >"$work/audit.yaml"
  export IN_E2E=1 helm work
  export API_SERVER_FLAGS="--audit-policy-file $work/audit.yaml --audit-log-path $work/audit.log"
  code=0
  scripts/node.sh "$work/n" "${CARGO_TARGET_DIR:-target}/image/vigie.tar" "$work/nginx.tar" "$work/haproxy.tar" \
    -- "$0" "$@" || code=$?
  if ((code)) && [[ -d "$work/n/log" ]]; then
    rm -rf target/e2e
    mkdir -p target/e2e
    cp -r "$work/n/log" "$work"/*.log target/e2e/ 2>/dev/null || true
    echo "e2e: logs are in target/e2e" >&2
  fi
  exit $code
fi

# ── Inside: what steps are made of ──

say() { printf '%6s s  %s\n' "$SECONDS" "$*"; }
fail() {
  kubectl get pods,routehealths --all-namespaces --output wide >&2 || true
  kubectl logs --namespace vigie --selector app.kubernetes.io/name=vigie --all-containers --prefix --tail 5 >&2 || true
  die "$*"
}
# until_true SECONDS WHAT COMMAND…
until_true() {
  local until=$((SECONDS + $1)) what=$2
  shift 2
  while ((SECONDS < until)); do
    "$@" >/dev/null 2>&1 && return
    read -rt 0.1 <> <(:) || true
  done
  fail "$what: it never came"
}

# There is no cloud here: this gives each Service of type LoadBalancer an address, as one does.
balancer() {
  local type namespace name given status last=49
  while read -r type namespace name given; do
    [[ "$type" == LoadBalancer && -z "$given" ]] || continue
    last=$((last + 1))
    status="{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"10.77.0.$last\"}]}}}"
    kubectl patch service "$name" --namespace "$namespace" --subresource status --type merge --patch "$status" >/dev/null || true
  done < <(kubectl get service --all-namespaces --watch --output \
    'jsonpath={.spec.type}{" "}{.metadata.namespace}{" "}{.metadata.name}{" "}{.status.loadBalancer.ingress}{"\n"}')
}

# release NAME install|upgrade VALUES…
release() {
  local name=$1 verb=$2
  shift 2
  "$helm" "$verb" "$name" "${chart-charts/vigie}" --namespace vigie --wait --timeout 180s \
    --set image.repository=vigie.test/vigie --set proxy.drain.sleepSeconds=3,proxy.drain.graceSeconds=30,proxy.minReadySeconds=1 \
    "$@" >"$work/helm-$name.log" 2>&1 || { cat "$work/helm-$name.log" >&2; fail "helm $verb $name"; }
}
uninstall() {
  forbidden
  "$helm" uninstall "$1" --namespace vigie --wait --timeout 180s >"$work/helm-$1.log" 2>&1 || { cat "$work/helm-$1.log" >&2; fail "helm uninstall $1"; }
  # Rights go before pods do, and what ends meanwhile still says so.
  kubectl wait --for=delete pod --namespace vigie --selector "app.kubernetes.io/instance=$1" --timeout 90s >/dev/null 2>&1 || true
  audited=$(stat -c %s "$work/audit.log")
}

# answers CLASS ADDRESS: by http, and by https with the Ingress's own certificate.
answers() {
  curl --silent --fail --max-time 5 --connect-to "::$2:${3:-80}" "http://$1.example.com/items" | grep -q '^shop .* /items$' &&
    curl --silent --fail --max-time 5 --cacert "$work/web.crt" --connect-to "::$2:${4:-443}" "https://$1.example.com/items" |
    grep -q '^shop .* /items$'
}
address() { kubectl get service "$1" --namespace vigie --output 'jsonpath={.status.loadBalancer.ingress[0].ip}'; }

# load CLASS ADDRESS [PORT]: asks all the time, over kept and over new connections, until `loaded`.
load() {
  rm -f "$work"/answers.*
  asking=()
  local kept
  for kept in 1 2 new; do
    while :; do
      curl --silent --max-time 20 --output /dev/null --write-out '%{http_code} %{errormsg}\n' \
        $([[ $kept == new ]] && printf '%s ' --header 'Connection:close') \
        --connect-to "::$2:${3:-80}" "http://$1.example.com/?[1-20]" >>"$work/answers.$kept" || true
      [[ ! -e "$work/enough" ]] || break
      read -rt 0.02 <> <(:) || true
    done &
    asking+=($!)
  done
}
# loaded WHAT: nothing was lost.
loaded() {
  touch "$work/enough"
  wait "${asking[@]}" || true
  rm "$work/enough"
  local asked lost
  asked=$(cat "$work"/answers.* | wc -l)
  lost=$(cat "$work"/answers.* | grep -vc '^200 ' || true)
  say "$1: $asked requests, $lost lost"
  ((asked > 50)) || fail "only $asked requests were asked meanwhile"
  ((lost == 0)) || { cat "$work"/answers.* | grep -v '^200 ' | sort | uniq -c | sort -rn | head >&2; fail "$1: $lost requests were lost"; }
}
# slow CLASS ADDRESS: a request that is open for some seconds. slow_ended: it was answered as a whole.
slow() {
  curl --silent --max-time 60 --output /dev/null --write-out '%{http_code} %{time_total} %{errormsg}\n' \
    --connect-to "::$2:80" "http://$1.example.com/slow" >"$work/slow" &
  waiting=$!
}
slow_ended() {
  wait "$waiting" || true
  grep -q '^200 [1-9]' "$work/slow" || fail "a slow request was cut off: $(cat "$work/slow")"
  say "a request that was open meanwhile was answered after $(cut -d' ' -f2 "$work/slow") s"
}
rolled() { kubectl rollout status --namespace vigie --timeout 120s "$1" >/dev/null || fail "$1 is not rolled out"; }

# shop CLASS: an application and its Ingress in a namespace of their own.
shop() {
  kubectl create namespace "shop-$1" >/dev/null
  kubectl create secret tls web-tls --namespace "shop-$1" --cert "$work/web.crt" --key "$work/web.key" >/dev/null
  sed "s/CLASS/$1/g" tests/node/shop.yaml | kubectl apply --namespace "shop-$1" -f - >/dev/null
  kubectl rollout status --namespace "shop-$1" --timeout 60s deployment/web >/dev/null || fail "the shop of $1 does not start"
}

# ── Steps, in their order ──

# nginx as a Deployment behind a LoadBalancer, as the chart comes.
install_nginx() {
  release edge install
  say "installed: nginx, a Deployment, a LoadBalancer"
  shop vigie
  until_true 30 'an answer through the Service' answers vigie "$(address edge-vigie)"
  until_true 30 'the address at the Ingress' address_is vigie "$(address edge-vigie)"
  "$helm" test edge --namespace vigie >"$work/test.log" 2>&1 || { cat "$work/test.log" >&2; fail 'helm test'; }
  [[ $(kubectl get ingress web --namespace shop-vigie --output 'go-template={{range $key, $_ := .metadata.annotations}}{{$key}} {{end}}') == \
    "cert-manager.io/cluster-issuer external-dns.alpha.kubernetes.io/target kubectl.kubernetes.io/last-applied-configuration vigie.dev/ssl-redirect " ]] ||
    fail "annotations of the Ingress are not as they were"
  say "answered by http and https; helm test is content"
}
address_is() { [[ $(kubectl get ingress web --namespace "shop-$1" --output 'jsonpath={.status.loadBalancer.ingress[*].ip}') == "$2" ]]; }

# What a real kubelet says of pods is understood: each of these says why it does not answer.
diagnoses() {
  local image='image: "docker.io/library/nginx:1.30", command: [nginx, -e, stderr, -c'
  broken never 1 'image: "registry.example.com/none:1", imagePullPolicy: Never'
  broken crash 1 "$image, /none]"
  broken unready 1 "$image, /etc/web/nginx.conf], readinessProbe: {httpGet: {path: /, port: 9999}, periodSeconds: 1}"
  broken unset 1 "$image, /etc/web/nginx.conf], env: [{name: KEY, valueFrom: {secretKeyRef: {name: none, key: key}}}]"
  broken none 0 "$image, /etc/web/nginx.conf]"
  broken large 1 "$image, /etc/web/nginx.conf], resources: {requests: {memory: 9000Gi}}"
  until_true 60 'an image that is not there' says never ImagePullFailing
  until_true 60 'a scale of 0' says none ScaledToZero
  until_true 60 'a Secret that is not there' says unset ContainerConfigError
  until_true 60 'a pod that is too large' says large PodsPending
  until_true 60 'a probe that does not pass' says unready ReadinessProbeFailing
  until_true 90 'a container that ends' says crash PodsCrashLooping
  kubectl delete deployment,service,ingress --namespace shop-vigie --selector broken=yes --wait=false >/dev/null
  say "the kubelet's words for what is broken are told as their reasons"
}
# broken NAME REPLICAS FIELDS: an application of that name, its container with these fields.
broken() {
  kubectl apply --namespace shop-vigie -f - >/dev/null <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: $1, labels: {broken: "yes"}}
spec:
  replicas: $2
  selector: {matchLabels: {app: $1}}
  template:
    metadata: {labels: {app: $1}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - {name: web, $3, ports: [{containerPort: 8080}], volumeMounts: [{name: config, mountPath: /etc/web}, {name: run, mountPath: /run/web}]}
      volumes: [{name: config, configMap: {name: web}}, {name: run, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: $1, labels: {broken: "yes"}}
spec: {selector: {app: $1}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: $1, labels: {broken: "yes"}}
spec:
  ingressClassName: vigie
  rules: [{host: $1.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: $1, port: {number: 80}}}}]}}]
YAML
}
says() {
  [[ $(kubectl get routehealth "$1.auto" --namespace shop-vigie --output 'jsonpath={.status.conditions[0].reason}') == "$2" ]]
}

# What a proxy that was taken over gets: nothing of the agent.
rights() {
  local pod agent proxy
  pod=$(kubectl get pods --namespace vigie --selector app.kubernetes.io/component=proxy,app.kubernetes.io/instance=edge \
    --output 'jsonpath={.items[0].metadata.uid}')
  agent=$(pids "$pod" agent)
  proxy=$(pids "$pod" current)
  [[ -n "$agent" && -n "$proxy" ]] || fail "agent and proxy of pod $pod are not to be found"
  local as=(setpriv --reuid 65532 --regid 65532 --clear-groups --inh-caps=-all)
  local file
  for file in "root/var/run/secrets/kubernetes.io/serviceaccount/token" environ mem maps fd; do
    if "${as[@]}" head -c 1 "/proc/$agent/$file" >/dev/null 2>&1 || "${as[@]}" ls "/proc/$agent/$file/" >/dev/null 2>&1; then
      fail "the proxy's user can read $file of the agent"
    fi
  done
  # This is how it would be done, so the refusals above mean something.
  "${as[@]}" head -c 1 "/proc/$proxy/environ" >/dev/null || fail "the proxy's user cannot even read what is its own"
  [[ ! -e "/proc/$proxy/root/var/run/secrets/kubernetes.io" ]] || fail "the proxy's container has a token"
  local allowed
  allowed=$(grep -H '^\(CapEff\|NoNewPrivs\|Seccomp\):' "/proc/$agent/status" "/proc/$proxy/status" | awk '{print $2}' | paste -sd' ')
  [[ "$allowed" == "0000000000000000 1 2 0000000000000000 1 2" ]] || fail "capabilities, new privileges and seccomp are: $allowed"
  say "the proxy reads neither token nor memory of the agent, and may nothing"
}
# pids POD-UID WORD: the first process of a pod whose command line has the word.
pids() {
  local process
  for process in /proc/[0-9]*; do
    if grep -q "pod${1}\|pod${1//-/_}" "$process/cgroup" 2>/dev/null && tr '\0' '\n' <"$process/cmdline" 2>/dev/null | grep -q "$2"; then
      echo "${process#/proc/}"
      return
    fi
  done
}

# Dashboard and alerts ask for nothing that is not told.
metrics() {
  local pod
  # So that something is wrong.
  route vigie odd 'vigie.dev/ssl-redirct: "true"'
  until_true 20 'the finding' told vigie_findings
  told . || true
  grep -hoE '\bvigie_[a-z_]+' charts/vigie/files/alerts.yaml charts/vigie/files/dashboard.json | sort -u |
    comm -23 - <(awk '/^# TYPE vigie_/ {print $3 ($4 == "counter" ? "_total" : "")}' "$work/metrics" | sort -u) >"$work/untold"
  [[ ! -s "$work/untold" ]] || fail "nobody tells $(paste -sd' ' "$work/untold")"
  say "all metrics of dashboard and alerts are told"
}
# told WORD: whether it is among the metrics that all pods tell at the moment.
told() {
  local address addresses port ports
  : >"$work/metrics"
  while IFS=';' read -r addresses ports; do
    for address in $addresses; do
      for port in $ports; do
        curl --silent --fail --max-time 5 "http://$address:$port/metrics" >>"$work/metrics"
      done
    done
  done < <(kubectl get endpointslices --namespace vigie --selector vigie.dev/metrics=true --output \
    'jsonpath={range .items[*]}{range .endpoints[*]}{.addresses[0]}{" "}{end}{";"}{range .ports[*]}{.port}{" "}{end}{"\n"}{end}')
  grep -q "^$1" "$work/metrics"
}

# All that restarts proxies, under load.
restarts() {
  local at
  at=$(address edge-vigie)
  load vigie "$at"
  slow vigie "$at"
  kubectl rollout restart --namespace vigie deployment/edge-vigie-proxy >/dev/null
  rolled deployment/edge-vigie-proxy
  slow_ended
  loaded 'a rolling update of the proxies'
  load vigie "$at"
  kubectl scale --namespace vigie deployment/edge-vigie-proxy --replicas 3 >/dev/null
  rolled deployment/edge-vigie-proxy
  kubectl scale --namespace vigie deployment/edge-vigie-proxy --replicas 2 >/dev/null
  until_true 60 'two pods' pods_are 2
  loaded 'scaling up and down'
  load vigie "$at"
  local pod
  pod=$(kubectl get pods --namespace vigie --selector app.kubernetes.io/component=proxy,app.kubernetes.io/instance=edge --output 'jsonpath={.items[0].metadata.name}')
  printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"%s","namespace":"vigie"}}' "$pod" |
    kubectl create --raw "/api/v1/namespaces/vigie/pods/$pod/eviction" -f - >/dev/null
  until_true 60 'the evicted pod is gone' gone "$pod"
  rolled deployment/edge-vigie-proxy
  loaded 'an eviction'
  load vigie "$at"
  kubectl rollout restart --namespace vigie deployment/edge-vigie-controller >/dev/null
  rolled deployment/edge-vigie-controller
  loaded 'a rolling update of the controllers'
}
gone() { ! kubectl get pod --namespace vigie "$1"; }
pods_are() {
  [[ $(kubectl get pods --namespace vigie --selector app.kubernetes.io/component=proxy,app.kubernetes.io/instance=edge --no-headers | wc -l) == "$1" ]]
}

# An upgrade that changes settings, one that changes pods, and a rollback, under load.
upgrade() {
  load vigie "$(address edge-vigie)"
  release edge upgrade --set settings.trustedProxies='{10.0.0.0/8}'
  release edge upgrade --set proxy.podAnnotations.changed=yes,controller.statusWritesPerSecond=50
  "$helm" rollback edge 1 --namespace vigie --wait --timeout 180s >/dev/null || fail 'helm rollback'
  loaded 'two upgrades and a rollback'
}

# The definition of an older release is brought up to date.
older_crd() {
  local older=$work/older columns='jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}'
  cp -r charts/vigie "$older"
  sed -i '/jsonPath: .spec.ejection.mode/,+3d; /selectableFields:/,+1d' "$older/files/routehealths.yaml"
  chart=$older release edge upgrade
  ! kubectl get customresourcedefinition routehealths.vigie.dev --output "$columns" | grep -q Mode || fail 'the older definition is the newer one'
  release edge upgrade
  kubectl get customresourcedefinition routehealths.vigie.dev --output "$columns" | grep -q Mode || fail 'the definition is not brought up to date'
  say "an older definition of RouteHealth is brought up to date"
}

# The node's kubelet stops: proxies serve, and changes reach them.
kubelet_stops() {
  load vigie "$(address edge-vigie)"
  kill -STOP "$KUBELET_PID"
  route vigie later
  until_true 20 'a route made meanwhile' reaches later "$(address edge-vigie)"
  # A while under load, which is short of what has the node taken for dead.
  read -rt 5 <> <(:) || true
  kill -CONT "$KUBELET_PID"
  loaded 'a kubelet that stops'
}
# route CLASS NAME [ANNOTATION]: an Ingress for the host NAME.example.com.
route() {
  kubectl apply --namespace "shop-$1" -f - >/dev/null <<YAML
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: $2, annotations: {${3-}}}
spec:
  ingressClassName: $1
  rules: [{host: $2.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}}]
YAML
}
reaches() { curl --silent --fail --max-time 5 --connect-to "::$2:80" "http://$1.example.com/items" | grep -q '^shop '; }

# HAProxy beside it, as a DaemonSet on host ports, with a class of its own.
install_haproxy() {
  # Host ports are more than Restricted allows.
  kubectl label namespace vigie --overwrite pod-security.kubernetes.io/enforce=privileged >/dev/null
  release inner install --set crds.install=false,ingressClass.name=inner,ingressClass.controller=vigie.dev/inner \
    --set proxy.kind=haproxy,proxy.workload=DaemonSet,proxy.hostPorts.enabled=true,proxy.hostPorts.hostIP=10.77.0.1,service.enabled=false
  say "installed beside it: HAProxy, a DaemonSet, host ports"
  shop inner
  until_true 30 'an answer on the host port' answers inner 10.77.0.1
  until_true 30 'the node at the Ingress' address_is inner 10.77.0.1
  answers vigie "$(address edge-vigie)" || fail 'the first release does not answer beside the second'
  say "both answer, each its own class"
}

# The other half of what the chart can be.
other_kinds() {
  release third install --set crds.install=false,ingressClass.name=third,ingressClass.controller=vigie.dev/third \
    --set proxy.kind=haproxy,service.type=NodePort,service.nodePorts.http=30080,service.nodePorts.https=30443
  shop third
  until_true 30 'an answer on the node port' answers third 10.77.0.1 30080 30443
  say "HAProxy, a Deployment, a NodePort"
  load third 10.77.0.1 30080
  kubectl rollout restart --namespace vigie deployment/third-vigie-proxy >/dev/null
  rolled deployment/third-vigie-proxy
  loaded "a rolling update of HAProxy's pods"
  uninstall third
  release third install --set crds.install=false,ingressClass.name=third,ingressClass.controller=vigie.dev/third \
    --set proxy.workload=DaemonSet,service.type=NodePort,service.nodePorts.http=30080,service.nodePorts.https=30443
  until_true 30 'an answer on the node port' answers third 10.77.0.1 30080 30443
  say "nginx, a DaemonSet, a NodePort"
  load third 10.77.0.1 30080
  kubectl rollout restart --namespace vigie daemonset/third-vigie-proxy >/dev/null
  rolled daemonset/third-vigie-proxy
  loaded 'a rolling update of a DaemonSet, on one node'
  uninstall third
}

# In one namespace, with nothing that belongs to the whole cluster but what others have made.
one_namespace() {
  shop named
  release named install --set crds.install=false,ingressClass.create=false,ingressClass.name=named,ingressClass.controller=vigie.dev/named \
    --set admissionPolicies.agents=false,admissionPolicies.warnings=false,watch.namespaces='{shop-named}' \
    --set service.type=ClusterIP,proxy.replicas=1,controller.replicas=1
  local at whole
  at=$(kubectl get service named-vigie --namespace vigie --output 'jsonpath={.spec.clusterIP}')
  until_true 30 'an answer in the one namespace' answers named "$at"
  until_true 30 'the address of the Service at the Ingress' address_is named "$at"
  whole=$(kubectl get "$(kubectl api-resources --verbs list --namespaced=false --output name | grep -v ^componentstatuses | paste -sd,)" \
    --selector app.kubernetes.io/instance=named --output name)
  [[ -z "$whole" ]] || fail "it made $whole"
  say "in one namespace, without any right in the cluster"
  uninstall named
}

# One release goes while the other is under load; then that one goes. What is left is the users'.
removal() {
  route vigie generated
  until_true 20 'a RouteHealth that was made for an Ingress' kubectl get routehealth generated.auto --namespace shop-vigie
  load vigie "$(address edge-vigie)"
  uninstall inner
  loaded 'an uninstall of the other release'
  uninstall edge
  until_true 60 'what was published is gone' nothing_left
  [[ $(kubectl get routehealth --all-namespaces --output 'jsonpath={.items[*].metadata.name}' | tr ' ' '\n' | sort -u) == ours ]] ||
    fail "of RouteHealths, not exactly the users' own are left"
  say "uninstalled: the definition and the users' own RouteHealths are left"
}
nothing_left() {
  local kinds left
  kinds=$(kubectl api-resources --verbs list --output name | grep -v '^events\|^componentstatuses' | paste -sd,)
  # By our labels or our names; a namespace has some objects of its own.
  left=$(kubectl get "$kinds" --all-namespaces --ignore-not-found --output \
    'custom-columns=K:.kind,S:.metadata.namespace,N:.metadata.name,A:.metadata.labels.app\.kubernetes\.io/name,I:.metadata.labels.vigie\.dev/instance' --no-headers |
    awk '$4 == "vigie" || $5 != "<none>" || ($2 == "vigie" && $3 ~ /vigie-|^(edge|inner|third|named)/)' | grep -v '^Namespace ' || true)
  [[ -z "$left" ]] || { echo "$left" >"$work/left.log"; return 1; }
  [[ -z $(kubectl get ingress --all-namespaces --output 'jsonpath={.items[*].status.loadBalancer.ingress}') ]]
}

# Whatever was asked of the API by us since the last uninstall was allowed.
audited=0
forbidden() {
  local denied
  # Without rights in the cluster, a controller looks now and then whether it may see IngressClasses.
  denied=$(tail -c "+$((audited + 1))" "$work/audit.log" | grep '"code":403' | grep '"username":"system:serviceaccount:vigie:' |
    sed 's/.*"requestURI":"\([^"]*\)","verb":"\([^"]*\)".*"username":"\([^"]*\)".*/\3 \2 \1/' |
    grep -v ':named-vigie-controller list /apis/networking.k8s.io/v1/ingressclasses' | sort | uniq -c || true)
  [[ -z "$denied" ]] || fail "forbidden: $denied"
}

all=(install_nginx diagnoses rights metrics restarts upgrade older_crd kubelet_stops install_haproxy other_kinds one_namespace removal)
(($#)) || set -- "${all[@]}"
kubectl create namespace vigie >/dev/null
kubectl label namespace vigie pod-security.kubernetes.io/enforce=restricted >/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=web -keyout "$work/web.key" \
  -out "$work/web.crt" -addext subjectAltName=DNS:vigie.example.com,DNS:inner.example.com,DNS:third.example.com,DNS:named.example.com 2>/dev/null
balancer &
for step; do "$step"; done
forbidden
say "nothing that was asked of the API was forbidden"
