{{/*
One line for each tier of the default pool that one relay can't reach. Without tiers in the values, the CRD's defaults
apply.
*/}}
{{- define "rtp-pool.unreachableTiers" -}}
{{- if .Values.defaultPool.create -}}
{{- $ports := add1 (sub (int .Values.portRange.end) (int .Values.portRange.start)) | int -}}
{{- $excluded := dig "excludedPorts" list .Values.defaultPool.spec | uniq | len -}}
{{- $capacity := sub $ports $excluded | int -}}
{{- $because := printf "the range %d-%d has %d ports" (int .Values.portRange.start) (int .Values.portRange.end) $ports -}}
{{- if $excluded -}}
{{- $because = printf "%s, %d of them excluded" $because $excluded -}}
{{- end -}}
{{- $maxCalls := dig "maxCalls" 0 .Values.defaultPool.spec | int -}}
{{- if and $maxCalls (lt $maxCalls $capacity) -}}
{{- $capacity = $maxCalls -}}
{{- $because = printf "maxCalls is %d" $maxCalls -}}
{{- end -}}
{{- $definition := .Files.Get "files/rtppools.yaml" | fromYaml -}}
{{- $spec := (first $definition.spec.versions).schema.openAPIV3Schema.properties.spec.properties -}}
{{- $tiers := dig "sla" "tiers" $spec.sla.properties.tiers.default .Values.defaultPool.spec -}}
{{- range $tiers -}}
{{- if gt (int .upToCalls) $capacity }}
{{ printf "%d calls can't be reached by one relay, because %s." (int .upToCalls) $because }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
