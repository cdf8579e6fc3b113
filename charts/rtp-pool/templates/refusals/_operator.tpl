{{/* Refuse lists that the operator can't read. */}}
{{- define "rtp-pool.refuseOperator" -}}
{{- range $at, $name := .Values.operator.poolNamespaces -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" $name) -}}
{{- fail (printf "operator.poolNamespaces[%d] is %q; accepted is the name of a namespace" $at $name) -}}
{{- end -}}
{{- end -}}
{{- range $at, $host := .Values.operator.allowedEchoHosts -}}
{{- if not (or (include "rtp-pool.isNetwork" $host) (include "rtp-pool.isHostName" $host)) -}}
{{- fail (printf "operator.allowedEchoHosts[%d] is %q; accepted is an address, a network such as 10.0.0.0/8 with host bits zero, or a host name" $at $host) -}}
{{- end -}}
{{- end -}}
{{- range $at, $network := .Values.operator.allowedAdvertiseAddresses -}}
{{- if not (include "rtp-pool.isNetwork" $network) -}}
{{- fail (printf "operator.allowedAdvertiseAddresses[%d] is %q; accepted is an address, or a network such as 192.0.2.0/24 with host bits zero" $at $network) -}}
{{- end -}}
{{- end -}}
{{- end -}}
