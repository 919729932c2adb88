{{- /* The name of all objects, and of the installation: names that Vigie makes of it add up to 43 characters. */ -}}
{{- define "vigie.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Of objects that belong to no namespace. */ -}}
{{- define "vigie.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "vigie.fullname" .) -}}
{{- end -}}

{{- define "vigie.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vigie.labels" -}}
{{ include "vigie.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Of a pod: nothing that changes with the chart alone, so that such an upgrade restarts none. (list $ COMPONENT {more labels}) */ -}}
{{- define "vigie.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "vigie.selector" $root }}
app.kubernetes.io/component: {{ index . 1 }}
{{- with merge (dict) (index . 2) $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Name, labels and annotations of an object: (list $ NAME {more annotations} {more labels}). */ -}}
{{- define "vigie.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
labels:
  {{- include "vigie.labels" $root | nindent 2 }}
  {{- if gt (len .) 3 }}{{ with index . 3 }}
  {{- toYaml . | nindent 2 }}
  {{- end }}{{ end }}
{{- $annotations := $root.Values.commonAnnotations -}}
{{- if gt (len .) 2 }}{{ $annotations = merge (deepCopy (index . 2)) $annotations }}{{ end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "vigie.imageReference" -}}
{{- with .digest }}{{ printf "%s@%s" $.repository . }}{{ else }}{{ printf "%s:%s" .repository .tag }}{{ end -}}
{{- end -}}

{{- define "vigie.image" -}}
{{- $repository := required "image.repository: name the repository of Vigie's own image, which `make image` builds" .Values.image.repository -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- include "vigie.imageReference" (dict "repository" $repository "tag" $tag "digest" .Values.image.digest) -}}
{{- end -}}

{{- define "vigie.proxyImage" -}}
{{- $stock := dict "nginx" "docker.io/library/nginx" "haproxy" "docker.io/library/haproxy" -}}
{{- $tested := dict "nginx" "1.30" "haproxy" "3.4" -}}
{{- $kind := .Values.proxy.kind -}}
{{- $image := .Values.proxy.image -}}
{{- include "vigie.imageReference" (dict "repository" (default (get $stock $kind) $image.repository) "tag" (default (get $tested $kind) $image.tag) "digest" $image.digest) -}}
{{- end -}}

{{- /* What a container may do: nothing. */ -}}
{{- define "vigie.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "vigie.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /* Who a container is. */ -}}
{{- define "vigie.environment" -}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
{{- with . }}
- name: VIGIE_LOG
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{- /* What an account of a pod has at /var/run/secrets/kubernetes.io/serviceaccount, as a volume that only
the containers that mount it can read. */ -}}
{{- define "vigie.accountVolume" -}}
name: account
projected:
  sources:
    - serviceAccountToken: {path: token, expirationSeconds: 3600}
    - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
    - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end -}}

{{- define "vigie.accountMount" -}}
{name: account, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end -}}

{{- define "vigie.listen" -}}
{{- printf "%s:%d" (ternary "[::]" "0.0.0.0" (index . 0).Values.network.ipv6) (int (index . 1)) -}}
{{- end -}}

{{- /* Where addresses that Ingresses show come from. */ -}}
{{- define "vigie.publishFrom" -}}
{{- $from := .Values.publish.from -}}
{{- if not $from -}}
{{- if .Values.publish.addresses -}}{{ $from = "addresses" }}
{{- else if and .Values.service.enabled (has .Values.service.type (list "LoadBalancer" "ClusterIP")) (not .Values.proxy.hostPorts.enabled) -}}{{ $from = "service" }}
{{- else -}}{{ $from = "nodes" }}
{{- end -}}
{{- end -}}
{{- if and (eq $from "nodes") .Values.watch.namespaces -}}
{{- fail "publish.addresses: name the addresses that Ingresses show; nodes cannot be read with watch.namespaces, which goes without ClusterRoles" -}}
{{- end -}}
{{- if and (eq $from "service") (not .Values.service.enabled) -}}
{{- fail "publish.from: there is no Service to show the addresses of, since service.enabled is false" -}}
{{- end -}}
{{- if and (eq $from "addresses") (not .Values.publish.addresses) -}}
{{- fail "publish.addresses: name at least one address to show" -}}
{{- end -}}
{{- $from -}}
{{- end -}}

{{- /* The rules of the role of a kind and a name in a file of roles: (list $ FILE KIND NAME). */ -}}
{{- define "vigie.rules" -}}
{{- $root := index . 0 -}}
{{- range regexSplit "(?m)^---$" ($root.Files.Get (index . 1)) -1 -}}
{{- $role := fromYaml . -}}
{{- if and (eq $role.kind (index $ 2)) (eq $role.metadata.name (index $ 3)) -}}
{{- toYaml $role.rules -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* A binding's subject in the release's namespace. */ -}}
{{- define "vigie.subject" -}}
{kind: ServiceAccount, name: {{ index . 1 }}, namespace: {{ (index . 0).Release.Namespace }}}
{{- end -}}

{{- /* Whether more than one pod of the proxy is to be expected. */ -}}
{{- define "vigie.severalProxies" -}}
{{- $proxy := .Values.proxy -}}
{{- if or (eq $proxy.workload "DaemonSet") (gt (int (ternary $proxy.autoscaling.minReplicas $proxy.replicas $proxy.autoscaling.enabled)) 1) -}}yes{{- end -}}
{{- end -}}

{{- /* What the hook that cleans up may do where Ingresses are. */ -}}
{{- define "vigie.cleanupRules" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list]
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
- apiGroups: [vigie.dev]
  resources: [routehealths]
  verbs: [get, list, delete]
{{- end -}}
