{{/* The prefix of every object's name. */}}
{{- define "rtp-pool.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels for a selector: (list . "echo") */}}
{{- define "rtp-pool.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: rtp-pool
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The selector of the release's relays, as the API server reads it: name=value,... */}}
{{- define "rtp-pool.relaySelector" -}}
{{- $pairs := list -}}
{{- range $name, $value := include "rtp-pool.selector" (list . "relay") | fromYaml -}}
{{- $pairs = append $pairs (printf "%s=%s" $name $value) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{/* The labels of a pod: (list . "echo" .Values.echo). No chart version, so that an upgrade alone restarts no pod. */}}
{{- define "rtp-pool.podLabels" -}}
{{- include "rtp-pool.selector" . }}
{{- with mergeOverwrite (deepCopy (index . 0).Values.commonLabels) (index . 2).podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* All labels of an object: (list . "echo") */}}
{{- define "rtp-pool.labels" -}}
{{- $root := index . 0 -}}
{{ include "rtp-pool.selector" . }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{/* A component's image: (list . .Values.echo). A digest takes precedence over every tag. No tag can hold a plus. */}}
{{- define "rtp-pool.image" -}}
{{- $root := index . 0 -}}
{{- $own := (index . 1).image -}}
{{- with include "rtp-pool.registry" $root }}{{ . }}/{{ end }}{{ $own.repository }}
{{- if $own.digest }}@{{ $own.digest }}
{{- else }}:{{ $own.tag | default $root.Values.image.tag | default $root.Chart.AppVersion | replace "+" "_" }}
{{- end -}}
{{- end -}}

{{/* The registry of every image. The parent chart's takes precedence. */}}
{{- define "rtp-pool.registry" -}}
{{- .Values.global.imageRegistry | default .Values.image.registry | trimSuffix "/" -}}
{{- end -}}

{{/* The Secrets' names. The ARI Secret's name is empty while relays have no credentials. */}}
{{- define "rtp-pool.tokenSecret" -}}
{{- .Values.httpToken.existingSecret | default (printf "%s-http-token" (include "rtp-pool.fullname" .)) -}}
{{- end -}}
{{- define "rtp-pool.ariSecret" -}}
{{- if .Values.ari.existingSecret }}{{ .Values.ari.existingSecret }}
{{- else if .Values.ari.user }}{{ include "rtp-pool.fullname" . }}-ari
{{- end -}}
{{- end -}}

{{/* A component's service account: (list . "echo") */}}
{{- define "rtp-pool.serviceAccount" -}}
{{- $root := index . 0 -}}
{{- $account := (index $root.Values (index . 1)).serviceAccount -}}
{{- $account.name | default (ternary (printf "%s-%s" (include "rtp-pool.fullname" $root) (index . 1)) "default" $account.create) -}}
{{- end -}}

{{/* The echo's port for relays and for the default pool. */}}
{{- define "rtp-pool.echoTargetPort" -}}
{{- .Values.relay.echo.port | default .Values.echo.port | int -}}
{{- end -}}
