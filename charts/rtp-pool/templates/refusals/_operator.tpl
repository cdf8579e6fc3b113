{{/* Refuse lists that the operator can't read. */}}
{{- define "rtp-pool.refuseOperator" -}}
{{- range $at, $name := .Values.operator.poolNamespaces -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" $name) -}}
{{- fail (printf "operator.poolNamespaces[%d] is %q; accepted is the name of a namespace" $at $name) -}}
{{- end -}}
{{- end -}}
{{- range $at, $host := .Values.operator.allowedEchoHosts -}}
{{- if not (or (include "rtp-pool.isNetworkOfHosts" $host) (include "rtp-pool.isHostName" $host)) -}}
{{- fail (printf "operator.allowedEchoHosts[%d] is %q; accepted is an address, a network such as 10.0.0.0/8 with host bits zero, or a host name" $at $host) -}}
{{- end -}}
{{- end -}}
{{- range $at, $network := .Values.operator.allowedAdvertiseAddresses -}}
{{- if not (include "rtp-pool.isNetworkOfHosts" $network) -}}
{{- fail (printf "operator.allowedAdvertiseAddresses[%d] is %q; accepted is an address, or a network such as 192.0.2.0/24 with host bits zero" $at $network) -}}
{{- end -}}
{{- end -}}
{{- if .Values.defaultPool.create -}}
{{- include "rtp-pool.refuseUntrusted" (list "operator.allowedEchoHosts" .Values.operator.allowedEchoHosts "relay.echo.host" .Values.relay.echo.host) -}}
{{- with dig "advertise" "address" "" .Values.defaultPool.spec -}}
{{- include "rtp-pool.refuseUntrusted" (list "operator.allowedAdvertiseAddresses" $.Values.operator.allowedAdvertiseAddresses "defaultPool.spec.advertise.address" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (list KEY ALLOWED KEY HOST). The operator would not accept the default pool. */}}
{{- define "rtp-pool.refuseUntrusted" -}}
{{- $allowed := index . 1 -}}
{{- $host := index . 3 -}}
{{- $name := include "rtp-pool.isHostName" $host -}}
{{- $found := not $allowed -}}
{{- range $allowed -}}
{{- if and $name (eq (lower . | trimSuffix ".") (lower $host | trimSuffix ".")) }}{{ $found = true }}{{ end -}}
{{- if and (not $name) (include "rtp-pool.isInNetwork" (printf "%s,%s" . $host)) }}{{ $found = true }}{{ end -}}
{{- end -}}
{{- if not $found -}}
{{- fail (printf "%s is %s, which %s lacks, so the operator would not accept the default pool; accepted is an entry for it, or an empty list for every host" (index . 2) $host (index . 0)) -}}
{{- end -}}
{{- end -}}
