{{/* Rules for the addresses at which HTTP is served. */}}
{{- define "rtp-pool.refuseHttpAddresses" -}}
{{- $reached := false -}}
{{- range .Values.httpBindAddress -}}
{{- if has . (list "$(NODE_IP)" "0.0.0.0" "::") }}{{ $reached = true }}{{ end -}}
{{- end -}}
{{- if not $reached -}}
{{- fail (printf "httpBindAddress is [%s]; accepted is a list with $(NODE_IP), 0.0.0.0 or ::, because kubelet and operator reach a pod at its node's address" (join ", " .Values.httpBindAddress)) -}}
{{- end -}}
{{- end -}}
