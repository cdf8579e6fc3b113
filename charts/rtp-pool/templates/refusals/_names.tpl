{{/* Refuse names that no object, label or key can have. */}}
{{- define "rtp-pool.refuseNames" -}}
{{- with .Values.fullnameOverride -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?$" .) -}}
{{- fail (printf "fullnameOverride is %s; accepted are at most 50 lower-case letters, digits and hyphens, with a letter or digit at both ends" .) -}}
{{- end -}}
{{- end -}}
{{- $names := dict "ari.existingSecret" .Values.ari.existingSecret "ari.caSecret" .Values.ari.caSecret "ari.caConfigMap" .Values.ari.caConfigMap "httpToken.existingSecret" .Values.httpToken.existingSecret "relay.callerNumbers.hashKeySecret" .Values.relay.callerNumbers.hashKeySecret "http.tlsSecret" .Values.http.tlsSecret "http.serverName" .Values.http.serverName -}}
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
{{- if hasPrefix "helm.sh/hook" $key -}}
{{- fail (printf "%s.%s has %s, by which Helm would take an object out of the release; accepted are other keys" $of $part $key) -}}
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
{{- if has $secret (slice $.Values.imagePullSecrets 0 $at) -}}
{{- fail (printf "imagePullSecrets[%d].name is %s, which is there twice; accepted is each Secret once" $at $secret.name) -}}
{{- end -}}
{{- end -}}
{{- include "rtp-pool.refuseAccounts" . -}}
{{- if and .Values.defaultPool.create (not (include "rtp-pool.isObjectName" .Values.defaultPool.name)) -}}
{{- fail (printf "defaultPool.name is %q; accepted is the name of an object: lower-case letters, digits, hyphens and dots between them" .Values.defaultPool.name) -}}
{{- end -}}
{{- end -}}

{{/* (list KEY LABELS). The chart's own labels select its pods, so no value can replace them. */}}
{{- define "rtp-pool.refuseLabels" -}}
{{- $place := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- $domain := splitList "/" $key | first -}}
{{- if not (and (include "rtp-pool.isLabelKey" $key) (le (len $domain) 253) (include "rtp-pool.isLabelValue" $value)) -}}
{{- fail (printf "%s has %s: %s, which no label can be; accepted are keys and values of labels (for example topology.kubernetes.io/zone: a)" $place $key $value) -}}
{{- end -}}
{{- if and (or (eq $place "commonLabels") (hasSuffix ".podLabels" $place) (hasPrefix "metrics." $place)) (has $key (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component")) -}}
{{- fail (printf "%s has %s, by which the chart selects its pods; accepted are other keys" $place $key) -}}
{{- end -}}
{{- if and (eq $place "commonLabels") (has $key (list "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart")) -}}
{{- fail (printf "commonLabels has %s, which the chart sets on every object; accepted are other keys" $key) -}}
{{- end -}}
{{- if and (hasSuffix "nodeSelector" $place) (eq $key "kubernetes.io/os") (ne $value "linux") -}}
{{- fail (printf "%s has kubernetes.io/os: %s; accepted is linux, the system of the images" $place $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Two objects of one name can't be installed, and every namespace has the account default already. */}}
{{- define "rtp-pool.refuseAccounts" -}}
{{- $made := dict -}}
{{- if and .Values.crds.install .Values.operator.serviceAccount.create }}{{ $_ := set $made (printf "%s-crd-upgrade" (include "rtp-pool.fullname" .)) "the Job that upgrades the CRD" }}{{ end -}}
{{- range $of := list "echo" "relay" "operator" -}}
{{- $account := (index $.Values $of).serviceAccount -}}
{{- $name := include "rtp-pool.serviceAccount" (list $ $of) -}}
{{- if and $account.create (eq $name "default") -}}
{{- fail (printf "%s.serviceAccount.name is default, which every namespace has; accepted is another name, or create false" $of) -}}
{{- end -}}
{{- if and $account.create (hasKey $made $name) -}}
{{- fail (printf "%s.serviceAccount.name is %s, the account of %s; accepted is a name of its own, or create false" $of $name (get $made $name)) -}}
{{- end -}}
{{- if $account.create }}{{ $_ := set $made $name $of }}{{ end -}}
{{- end -}}
{{- if eq (include "rtp-pool.serviceAccount" (list . "operator")) "default" -}}
{{- fail "operator.serviceAccount.create is false and its name is empty or default; accepted is the name of an account, because the account default must not have the operator's rights" -}}
{{- end -}}
{{- end -}}
