{{/* Refuse names that no object, label or key can have. */}}
{{- define "rtp-pool.refuseNames" -}}
{{- with .Values.fullnameOverride -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?$" .) -}}
{{- fail (printf "fullnameOverride is %s; accepted are at most 50 lower-case letters, digits and hyphens, with a letter or digit at both ends" .) -}}
{{- end -}}
{{- end -}}
{{- $names := dict "ari.existingSecret" .Values.ari.existingSecret "ari.caSecret" .Values.ari.caSecret "ari.caConfigMap" .Values.ari.caConfigMap "httpToken.existingSecret" .Values.httpToken.existingSecret "http.tlsSecret" .Values.http.tlsSecret "http.serverName" .Values.http.serverName -}}
{{- range $of := list "echo" "relay" "operator" -}}
{{- $values := index $.Values $of -}}
{{- $_ := set $names (printf "%s.priorityClassName" $of) $values.priorityClassName -}}
{{- $_ := set $names (printf "%s.serviceAccount.name" $of) $values.serviceAccount.name -}}
{{- include "rtp-pool.refuseLabels" (list (printf "%s.podLabels" $of) $values.podLabels) -}}
{{- include "rtp-pool.refuseLabels" (list (printf "%s.nodeSelector" $of) $values.nodeSelector) -}}
{{- range $part := list "podAnnotations" "serviceAccount.annotations" -}}
{{- $annotations := ternary $values.podAnnotations $values.serviceAccount.annotations (eq $part "podAnnotations") -}}
{{- range $key := keys $annotations | sortAlpha -}}
{{- if not (include "rtp-pool.isLabelKey" $key) -}}
{{- fail (printf "%s.%s has the key %s; accepted are keys such as prometheus.io/scrape" $of $part $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "rtp-pool.refuseLabels" (list "commonLabels" .Values.commonLabels) -}}
{{- range $key, $name := $names -}}
{{- if and $name (not (include "rtp-pool.isObjectName" $name)) -}}
{{- fail (printf "%s is %s; accepted is the name of an object: lower-case letters, digits, hyphens and dots between them" $key $name) -}}
{{- end -}}
{{- end -}}
{{- range $at, $secret := .Values.imagePullSecrets -}}
{{- if not (include "rtp-pool.isObjectName" $secret.name) -}}
{{- fail (printf "imagePullSecrets[%d].name is %q; accepted is the name of a Secret" $at $secret.name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.defaultPool.create (not (include "rtp-pool.isObjectName" .Values.defaultPool.name)) -}}
{{- fail (printf "defaultPool.name is %q; accepted is the name of an object: lower-case letters, digits, hyphens and dots between them" .Values.defaultPool.name) -}}
{{- end -}}
{{- end -}}

{{/* (list KEY LABELS). The chart's own labels select its pods, so no value can replace them. */}}
{{- define "rtp-pool.refuseLabels" -}}
{{- $place := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- if not (and (include "rtp-pool.isLabelKey" $key) (include "rtp-pool.isLabelValue" $value)) -}}
{{- fail (printf "%s has %s: %s, which no label can be; accepted are keys and values of labels (for example topology.kubernetes.io/zone: a)" $place $key $value) -}}
{{- end -}}
{{- if and (ne $place "echo.nodeSelector") (ne $place "relay.nodeSelector") (ne $place "operator.nodeSelector") (has $key (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component")) -}}
{{- fail (printf "%s has %s, by which the chart selects its pods; accepted are other keys" $place $key) -}}
{{- end -}}
{{- if and (hasSuffix "nodeSelector" $place) (eq $key "kubernetes.io/os") (ne $value "linux") -}}
{{- fail (printf "%s has kubernetes.io/os: %s; accepted is linux, the system of the images" $place $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
