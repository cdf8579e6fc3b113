{{/* Seconds at the end of the grace period in which a relay hangs up the remaining calls. */}}
{{- define "rtp-pool.hangUpSeconds" -}}15{{- end -}}

{{/* Rules over several values, which a schema can't express. */}}
{{- define "rtp-pool.refuseContradictions" -}}
{{- $start := int .Values.portRange.start -}}
{{- $end := int .Values.portRange.end -}}
{{- $echo := int .Values.echo.port -}}
{{- $target := include "rtp-pool.echoTargetPort" . | int -}}
{{- if gt $start $end -}}
{{- fail (printf "portRange.start is %d and portRange.end is %d; accepted is a start that is not above the end" $start $end) -}}
{{- end -}}
{{- if ge (sub $end $start) 4096 -}}
{{- fail (printf "portRange %d-%d has %d ports; accepted are at most 4096" $start $end (add1 (sub $end $start))) -}}
{{- end -}}
{{- if and (ge $echo $start) (le $echo $end) -}}
{{- fail (printf "echo.port is %d, inside portRange %d-%d; accepted is a port outside it" $echo $start $end) -}}
{{- end -}}
{{- if and (ge $target $start) (le $target $end) -}}
{{- fail (printf "relay.echo.port is %d, inside portRange %d-%d; accepted is a port outside it" $target $start $end) -}}
{{- end -}}
{{- if eq (int .Values.echo.httpPort) (int .Values.relay.httpPort) -}}
{{- fail (printf "echo.httpPort and relay.httpPort are both %d, and both are on the node; accepted are two ports" (int .Values.echo.httpPort)) -}}
{{- end -}}
{{- $drain := dig "drain" "timeoutSeconds" 0 .Values.defaultPool.spec | int -}}
{{- $grace := int .Values.relay.terminationGracePeriodSeconds -}}
{{- $least := add $drain (include "rtp-pool.hangUpSeconds" . | int) -}}
{{- if lt $grace (int $least) -}}
{{- fail (printf "relay.terminationGracePeriodSeconds is %d, but defaultPool.spec.drain.timeoutSeconds is %d and hanging up takes %s s more; accepted is %d or above" $grace $drain (include "rtp-pool.hangUpSeconds" .) $least) -}}
{{- end -}}
{{- with .Values.ari -}}
{{- if and .existingSecret (or .user .password) -}}
{{- fail (printf "ari.existingSecret is %s, but ari.user or ari.password is set as well; accepted is one of both ways" .existingSecret) -}}
{{- end -}}
{{- if and .user (not .password) -}}
{{- fail (printf "ari.user is %s, but ari.password is empty; accepted are both, or ari.existingSecret" .user) -}}
{{- end -}}
{{- if and .caSecret .caConfigMap -}}
{{- fail (printf "ari.caSecret is %s and ari.caConfigMap is %s; accepted is one of both" .caSecret .caConfigMap) -}}
{{- end -}}
{{- if and (or .caSecret .caConfigMap) (not (hasPrefix "https://" .url)) -}}
{{- fail (printf "ari.caSecret or ari.caConfigMap is set, but ari.url is %s, which does not use TLS; accepted is https://" .url) -}}
{{- end -}}
{{- if and .password (not .user) -}}
{{- fail "ari.password is set, but ari.user is empty; accepted are both, or ari.existingSecret" -}}
{{- end -}}
{{- end -}}
{{- with .Values.relay.callerNumbers -}}
{{- if and (eq .form "Hashed") (not .hashKeySecret) -}}
{{- fail "relay.callerNumbers.form is Hashed, but relay.callerNumbers.hashKeySecret is empty; accepted is the name of a Secret with 16 or more bytes under key, or the form Masked" -}}
{{- end -}}
{{- if and .hashKeySecret (ne .form "Hashed") -}}
{{- fail (printf "relay.callerNumbers.hashKeySecret is %s, but relay.callerNumbers.form is %s; accepted is Hashed, or no Secret" .hashKeySecret .form) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.httpToken.existingSecret (not .Values.httpToken.enabled) -}}
{{- fail (printf "httpToken.existingSecret is %s, but httpToken.enabled is false; accepted is true, or no Secret" .Values.httpToken.existingSecret) -}}
{{- end -}}
{{- end -}}
