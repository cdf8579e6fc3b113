{{/*
The default pool as JSON, for the operator, which applies it. As an object of the chart, a user's `kubectl apply` would
break every later upgrade, and Argo CD would delete a hook at each sync. Range and echo are those of the relays.
*/}}
{{- define "rtp-pool.defaultPool" -}}
{{- $range := dict "start" (int .Values.portRange.start) "end" (int .Values.portRange.end) -}}
{{- $echo := dict "host" .Values.relay.echo.host "port" (include "rtp-pool.echoTargetPort" . | int) -}}
{{- if .Values.relay.echo.extension -}}
{{- $_ := set $echo "extension" true -}}
{{- end -}}
{{- $spec := merge (dict "portRange" $range "echo" $echo) .Values.defaultPool.spec -}}
{{- dict "name" .Values.defaultPool.name "managed" .Values.defaultPool.managed "spec" $spec "labels" .Values.commonLabels | toJson -}}
{{- end -}}

{{/* One sentence where the values do not reach the range of the cluster's default pool, which hostPorts then miss. */}}
{{- define "rtp-pool.otherRange" -}}
{{- $name := .Values.defaultPool.name -}}
{{- $wins := and .Values.defaultPool.create .Values.defaultPool.managed -}}
{{- if and (not $wins) (.Capabilities.APIVersions.Has "rtppool.dev/v1alpha1") -}}
{{- $pool := lookup "rtppool.dev/v1alpha1" "RtpPool" .Release.Namespace $name -}}
{{- $values := printf "%d-%d" (int .Values.portRange.start) (int .Values.portRange.end) -}}
{{- $range := printf "%d-%d" (dig "spec" "portRange" "start" 0 $pool | int) (dig "spec" "portRange" "end" 0 $pool | int) -}}
{{- if and $pool (ne $range $values) -}}
RtpPool {{ $name }} has the ports {{ $range }}, and portRange is {{ $values }}. Calls use {{ $range }}, and the pods declare {{ $values }}
to the scheduler. To let them agree, set portRange to {{ $range }}, or defaultPool.managed to true.
{{- end -}}
{{- end -}}
{{- end -}}
