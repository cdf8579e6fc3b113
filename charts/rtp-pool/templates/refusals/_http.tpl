{{/* Rules for the addresses at which HTTP is served. */}}
{{- define "rtp-pool.refuseHttpAddresses" -}}
{{- with .Values.http -}}
{{- if and .serverName (not .tlsSecret) -}}
{{- fail (printf "http.serverName is %s, but http.tlsSecret is empty and HTTP uses no TLS; accepted are both, or none" .serverName) -}}
{{- end -}}
{{- if and .serverName (not (include "rtp-pool.isHostName" .serverName)) -}}
{{- fail (printf "http.serverName is %s; accepted is a DNS name of the certificate, without a wildcard" .serverName) -}}
{{- end -}}
{{- end -}}
{{- $reached := false -}}
{{- range .Values.httpBindAddress -}}
{{- if has . (list "$(NODE_IP)" "0.0.0.0" "::") }}{{ $reached = true }}{{ end -}}
{{- end -}}
{{- if not $reached -}}
{{- fail (printf "httpBindAddress is [%s]; accepted is a list with $(NODE_IP), 0.0.0.0 or ::, because kubelet and operator reach a pod at its node's address" (join ", " .Values.httpBindAddress)) -}}
{{- end -}}
{{- $seen := list -}}
{{- range $at, $text := .Values.httpBindAddress -}}
{{- $kind := include "rtp-pool.kindOfAddress" $text -}}
{{- if not (or (has $text (list "$(NODE_IP)" "localhost")) (has $kind (list "unspecified" "loopback"))) -}}
{{- fail (printf "httpBindAddress[%d] is %s, on all nodes; accepted is $(NODE_IP), localhost, a loopback address, 0.0.0.0 or ::" $at $text) -}}
{{- end -}}
{{- if has $text $seen -}}
{{- fail (printf "httpBindAddress[%d] is %s, which is there twice; accepted is each address once" $at $text) -}}
{{- end -}}
{{- $seen = append $seen $text -}}
{{- if and (eq $kind "unspecified") (gt (len $.Values.httpBindAddress) 1) -}}
{{- fail (printf "httpBindAddress has %s, which covers the others; accepted is that address alone" $text) -}}
{{- end -}}
{{- end -}}
{{- end -}}
