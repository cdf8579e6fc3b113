{{/* What works on some clusters only, one paragraph each. The chart refuses what works on none (refusals/). */}}
{{- define "rtp-pool.warnings" -}}
{{- $ports := add1 (sub (int .Values.portRange.end) (int .Values.portRange.start)) | int -}}
{{- if and (gt $ports 256) (not (include "rtp-pool.relaySurges" .)) }}
WARNING: portRange has {{ $ports }} ports, and a pod with more than 256 hostPorts is unwieldy. The scheduler knows the first and the last
one only, so it may put another pod with a hostPort of the range on the same node. The relay's preflight names such ports.
{{ end }}
{{- if and (include "rtp-pool.ariSecret" .) (hasPrefix "http://" .Values.ari.url) (not (include "rtp-pool.isOnTheNode" .Values.ari.url)) }}
WARNING: relays send the password of Asterisk to {{ .Values.ari.url }} in clear. Use https, or a network that you trust.
{{ end }}
{{- $lease := lookup "coordination.k8s.io/v1" "Lease" "kube-system" "rtp-pool-operator" -}}
{{- $leader := dig "spec" "holderIdentity" "" $lease -}}
{{- if and $leader (ne (splitList "/" $leader | first) .Release.Namespace) }}
WARNING: operator {{ $leader }} serves this cluster. One release has the ports of a node and one operator leads, so the operator
of this release waits, and its relays stay Pending or stand by on nodes where the other release has relays. Uninstall one of both.
{{ end }}
{{- end -}}

{{/* "yes" for a URL at the node itself. */}}
{{- define "rtp-pool.isOnTheNode" -}}
{{- $place := regexReplaceAll "^https?://" . "" | splitList "/" | first -}}
{{- $host := regexReplaceAll ":[0-9]*$" $place "" | trimPrefix "[" | trimSuffix "]" -}}
{{- if or (eq $host "$(NODE_IP)") (include "rtp-pool.isLoopbackHost" $host) }}yes{{ end -}}
{{- end -}}
