{{/* The security context of every pod of this chart. */}}
{{- define "rtp-pool.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "rtp-pool.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The security context of a container that forwards packets. Only root can use a capability of a container, so realTime
makes it root with this one capability. `add` continues the capabilities at the end of containerSecurity. */}}
{{- define "rtp-pool.packetSecurity" -}}
{{- include "rtp-pool.containerSecurity" . }}
{{- if .Values.realTime }}
  add: [SYS_NICE]
runAsNonRoot: false
runAsUser: 0
{{- end }}
{{- end -}}

{{/* Placement of a component's pods, from its own part of the values. */}}
{{- define "rtp-pool.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "rtp-pool.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Probes on the paths that need no token. A failed liveness probe ends calls, so its threshold is generous. */}}
{{- define "rtp-pool.probes" -}}
startupProbe:
  httpGet: {path: /health, port: http{{ include "rtp-pool.probeScheme" . }}}
  initialDelaySeconds: 1
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /health, port: http{{ include "rtp-pool.probeScheme" . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /ready, port: http{{ include "rtp-pool.probeScheme" . }}}
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
prometheus.io/port: {{ index . 1 | quote }}
{{- end -}}
