{{/* The security context of a container that forwards packets. Only root can use a capability of a container, so realTime
makes it root with this one capability. */}}
{{- define "rtp-pool.packetSecurity" -}}
{{- $context := deepCopy .Values.securityContext -}}
{{- if .Values.realTime -}}
{{- $capabilities := get $context "capabilities" | default dict -}}
{{- $add := append (get $capabilities "add" | default list) "SYS_NICE" | uniq -}}
{{- $_ := set $context "capabilities" (set $capabilities "add" $add) -}}
{{- $_ := mergeOverwrite $context (dict "runAsNonRoot" false "runAsUser" 0) -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* Placement of a component's pods, from its own part of the values. The images are for Linux. */}}
{{- define "rtp-pool.placement" -}}
nodeSelector:
  {{- merge (dict "kubernetes.io/os" "linux") .nodeSelector | toYaml | nindent 2 }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with get . "topologySpreadConstraints" }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Annotations of a pod: (list OWN VALUES). The values take precedence. */}}
{{- define "rtp-pool.podAnnotations" -}}
{{- mergeOverwrite (index . 0) (index . 1).podAnnotations | toYaml -}}
{{- end -}}

{{- define "rtp-pool.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Whether the next relay starts beside the former one, which hands its calls over: "true" or empty. Two pods that declare
the same ports never run on one node, so such a relay declares none. */}}
{{- define "rtp-pool.relaySurges" -}}
{{- if and (eq .Values.relay.onStop "HandOver") (eq .Values.relay.updateStrategy.type "RollingUpdate") -}}true{{- end -}}
{{- end -}}

{{/* Probes on the paths that need no token: (list . PORT). A failed liveness probe ends calls, so its threshold is
generous. */}}
{{- define "rtp-pool.probes" -}}
{{- $port := index . 1 -}}
{{- $scheme := include "rtp-pool.probeScheme" (index . 0) -}}
startupProbe:
  httpGet: {path: /health, port: {{ $port }}{{ $scheme }}}
  initialDelaySeconds: 1
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /health, port: {{ $port }}{{ $scheme }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /ready, port: {{ $port }}{{ $scheme }}}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end -}}

{{/* Log settings of every container. */}}
{{- define "rtp-pool.logEnvironment" -}}
- {name: LOG_LEVEL, value: {{ .Values.logs.level | quote }}}
- {name: LOG_FORMAT, value: {{ .Values.logs.format | quote }}}
{{- end -}}

{{/* Annotations for Prometheus' discovery of pods: (list . port) */}}
{{- define "rtp-pool.scrape" -}}
prometheus.io/scrape: "true"
prometheus.io/path: /metrics
{{- if (index . 0).Values.http.tlsSecret }}
prometheus.io/scheme: https
{{- end }}
prometheus.io/port: {{ index . 1 | int | quote }}
{{- end -}}
