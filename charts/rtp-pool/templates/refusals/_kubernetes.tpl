{{/*
Rules of the API server for the parts of pods and policies that values pass on as they are: selectors, volumes, sources of
variables, peers and security contexts. The schema has their types, words and bounds.
*/}}
{{- define "rtp-pool.refuseKubernetes" -}}
{{- range $of := list "echo" "relay" "operator" -}}
{{- $values := index $.Values $of -}}
{{- range $part := list "affinity" "extraEnv" "extraVolumes" "extraVolumeMounts" -}}
{{- include "rtp-pool.refuseInside" (list (printf "%s.%s" $of $part) (index $values $part)) -}}
{{- end -}}
{{- end -}}
{{- include "rtp-pool.refuseInside" (list "operator.topologySpreadConstraints" .Values.operator.topologySpreadConstraints) -}}
{{- include "rtp-pool.refuseInside" (list "operator.networkPolicy.from" .Values.operator.networkPolicy.from) -}}
{{- include "rtp-pool.refuseSpread" .Values.operator.topologySpreadConstraints -}}
{{- include "rtp-pool.refusePeers" .Values.operator.networkPolicy.from -}}
{{- include "rtp-pool.refuseContext" (list "podSecurityContext" .Values.podSecurityContext) -}}
{{- include "rtp-pool.refuseContext" (list "securityContext" .Values.securityContext) -}}
{{- end -}}

{{/* (list PLACE VALUE): the rules for each map inside a value, wherever it stands. */}}
{{- define "rtp-pool.refuseInside" -}}
{{- $place := first . -}}
{{- $value := last . -}}
{{- if kindIs "slice" $value -}}
{{- range $at, $each := $value }}{{ include "rtp-pool.refuseInside" (list (printf "%s[%d]" $place $at) $each) }}{{ end -}}
{{- else if kindIs "map" $value -}}
{{- include "rtp-pool.refuseTexts" (list $place $value) -}}
{{- if or (hasKey $value "subPath") (hasKey $value "recursiveReadOnly") (hasKey $value "subPathExpr") }}{{ include "rtp-pool.refuseMount" . }}{{ end -}}
{{- if and (hasKey $value "operator") (not (hasKey $value "effect")) }}{{ include "rtp-pool.refuseExpression" . }}{{ end -}}
{{- range $key := keys $value | sortAlpha -}}
{{- $below := printf "%s.%s" $place $key -}}
{{- if eq $key "matchLabels" }}{{ include "rtp-pool.refuseLabels" (list $below (get $value $key)) }}
{{- else }}{{ include "rtp-pool.refuseInside" (list $below (get $value $key)) }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (list PLACE MAP): the fields of a map that are names, keys, paths or quantities. */}}
{{- define "rtp-pool.refuseTexts" -}}
{{- $place := first . -}}
{{- $map := last . -}}
{{- with get $map "topologyKey" }}{{ if not (include "rtp-pool.isLabelKey" .) }}{{ fail (printf "%s.topologyKey is %s; accepted is the key of a node label" $place .) }}{{ end }}{{ end -}}
{{- range $at, $name := get $map "namespaces" | default list }}{{ if not (include "rtp-pool.isObjectName" $name) }}{{ fail (printf "%s.namespaces[%d] is %s; accepted is the name of a namespace" $place $at $name) }}{{ end }}{{ end -}}
{{- $named := dict "secretName" (get $map "secretName") "claimName" (get $map "claimName") -}}
{{- if regexMatch "[.](configMap|secret|configMapKeyRef|secretKeyRef)$" $place }}{{ $_ := set $named "name" (get $map "name") }}{{ end -}}
{{- range $key, $name := $named -}}
{{- if and $name (not (include "rtp-pool.isObjectName" $name)) }}{{ fail (printf "%s.%s is %s; accepted is the name of an object" $place $key $name) }}{{ end -}}
{{- end -}}
{{- if regexMatch "(KeyRef|[.]items\\[[0-9]+\\])$" $place -}}
{{- with get $map "key" }}{{ if not (include "rtp-pool.isDataKey" .) }}{{ fail (printf "%s.key is %q; accepted is a key of a Secret or a ConfigMap" $place .) }}{{ end }}{{ end -}}
{{- end -}}
{{- if hasKey $map "path" -}}
{{- $absolute := hasSuffix ".hostPath" $place -}}
{{- if or (ne (hasPrefix "/" $map.path) $absolute) (has ".." (splitList "/" $map.path)) (not $map.path) -}}
{{- fail (printf "%s.path is %q; accepted is %s path without .." $place $map.path (ternary "an absolute" "a relative" $absolute)) -}}
{{- end -}}
{{- end -}}
{{- with get $map "sizeLimit" }}{{ if not (include "rtp-pool.readQuantity" .) }}{{ fail (printf "%s.sizeLimit is %v; accepted is a quantity such as 64Mi" $place .) }}{{ end }}{{ end -}}
{{- if hasKey $map "fieldPath" -}}
{{- $key := regexFind "'[^']*'" $map.fieldPath | trimAll "'" -}}
{{- $whole := ternary "" "|metadata[.](labels|annotations)" (contains ".extraEnv" $place) -}}
{{- if not (and (regexMatch (printf "^(metadata[.](name|namespace|uid)%s|metadata[.](labels|annotations)\\['[^']+'\\]|spec[.](nodeName|serviceAccountName)|status[.](hostIPs?|podIPs?))$" $whole) $map.fieldPath) (or (not $key) (include "rtp-pool.isLabelKey" $key))) -}}
{{- fail (printf "%s.fieldPath is %s; accepted is a field of the pod such as metadata.name, spec.nodeName or metadata.labels['KEY']" $place $map.fieldPath) -}}
{{- end -}}
{{- end -}}
{{- if and (regexMatch "[.]downwardAPI[.]items\\[[0-9]+\\]$" $place) (eq (hasKey $map "fieldRef") (hasKey $map "resourceFieldRef")) -}}
{{- fail (printf "%s has %s; accepted is one of fieldRef and resourceFieldRef" $place (keys $map | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}

{{- define "rtp-pool.refuseMount" -}}
{{- $place := first . -}}
{{- $mount := last . -}}
{{- $path := get $mount "subPath" -}}
{{- if or (hasPrefix "/" $path) (has ".." (splitList "/" $path)) -}}
{{- fail (printf "%s.subPath is %q; accepted is a relative path without .." $place $path) -}}
{{- end -}}
{{- if and $path (get $mount "subPathExpr") -}}
{{- fail (printf "%s has subPath and subPathExpr; accepted is one of both" $place) -}}
{{- end -}}
{{- if and (has (get $mount "recursiveReadOnly") (list "Enabled" "IfPossible")) (not (get $mount "readOnly")) -}}
{{- fail (printf "%s.recursiveReadOnly is %s; accepted is readOnly true as well" $place $mount.recursiveReadOnly) -}}
{{- end -}}
{{- end -}}

{{/* (list PLACE EXPRESSION) of labels, or of the one field that nodes can be selected by. */}}
{{- define "rtp-pool.refuseExpression" -}}
{{- $place := first . -}}
{{- $expression := last . -}}
{{- $values := get $expression "values" | default list -}}
{{- $operator := $expression.operator -}}
{{- $fits := has $operator (list "Exists" "DoesNotExist") | ternary (not $values) (gt (len $values) 0) -}}
{{- if has $operator (list "Gt" "Lt") }}{{ $fits = and (eq (len $values) 1) (regexMatch "^-?[0-9]{1,18}$" (first $values | default "")) }}{{ end -}}
{{- if not $fits -}}
{{- fail (printf "%s has operator %s and values [%s]; accepted are values with In and NotIn, one whole number with Gt and Lt, and no values with Exists and DoesNotExist" $place $operator (join ", " $values)) -}}
{{- end -}}
{{- if contains ".matchFields[" $place -}}
{{- if not (and (eq $expression.key "metadata.name") (has $operator (list "In" "NotIn")) (eq (len $values) 1)) -}}
{{- fail (printf "%s has key %s and operator %s; accepted is metadata.name, with In or NotIn and one name of a node" $place $expression.key $operator) -}}
{{- end -}}
{{- else -}}
{{- range $value := $values | default (list "") -}}
{{- include "rtp-pool.refuseLabels" (list $place (dict $expression.key $value)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "rtp-pool.refuseSpread" -}}
{{- $seen := list -}}
{{- range $at, $constraint := . -}}
{{- $place := printf "operator.topologySpreadConstraints[%d]" $at -}}
{{- $pair := printf "%s and %s" $constraint.topologyKey $constraint.whenUnsatisfiable -}}
{{- if has $pair $seen }}{{ fail (printf "%s has %s, as an earlier one has; accepted is one constraint for both" $place $pair) }}{{ end -}}
{{- $seen = append $seen $pair -}}
{{- if and (hasKey $constraint "minDomains") (ne $constraint.whenUnsatisfiable "DoNotSchedule") -}}
{{- fail (printf "%s has minDomains and whenUnsatisfiable %s; accepted is minDomains with DoNotSchedule" $place $constraint.whenUnsatisfiable) -}}
{{- end -}}
{{- if and (get $constraint "matchLabelKeys") (not (hasKey $constraint "labelSelector")) -}}
{{- fail (printf "%s has matchLabelKeys without labelSelector; accepted are both" $place) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "rtp-pool.refusePeers" -}}
{{- range $at, $peer := . -}}
{{- $place := printf "operator.networkPolicy.from[%d]" $at -}}
{{- if hasKey $peer "ipBlock" -}}
{{- if gt (len $peer) 1 -}}
{{- fail (printf "%s has %s; accepted is ipBlock alone, or selectors" $place (keys $peer | sortAlpha | join ", ")) -}}
{{- end -}}
{{- $cidr := $peer.ipBlock.cidr -}}
{{- range $number, $text := prepend (get $peer.ipBlock "except" | default list) $cidr -}}
{{- $key := eq $number 0 | ternary "cidr" (printf "except[%d]" (sub $number 1)) -}}
{{- if not (and (contains "/" $text) (include "rtp-pool.isNetwork" $text)) -}}
{{- fail (printf "%s.ipBlock.%s is %s; accepted is a network such as 10.0.0.0/8 with host bits zero" $place $key $text) -}}
{{- end -}}
{{- $halves := splitList "/" $text -}}
{{- $narrower := gt (last $halves | atoi) (splitList "/" $cidr | last | atoi) -}}
{{- if and $number (not (and $narrower (include "rtp-pool.isInNetwork" (printf "%s,%s" $cidr (first $halves))))) -}}
{{- fail (printf "%s.ipBlock.%s is %s; accepted is a smaller network inside %s" $place $key $text $cidr) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (list PLACE CONTEXT) */}}
{{- define "rtp-pool.refuseContext" -}}
{{- $place := first . -}}
{{- $context := last . -}}
{{- range $part := list "seccompProfile" "appArmorProfile" -}}
{{- $profile := get $context $part | default dict -}}
{{- if ne (eq (get $profile "type") "Localhost") (ne (get $profile "localhostProfile" | default "") "") -}}
{{- fail (printf "%s.%s has type %s and localhostProfile %q; accepted is a profile with type Localhost, and none with other types" $place $part (get $profile "type") (get $profile "localhostProfile" | default "")) -}}
{{- end -}}
{{- end -}}
{{- range $at, $sysctl := get $context "sysctls" | default list -}}
{{- if or (hasPrefix "net" $sysctl.name) (not (regexMatch "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])+[a-z0-9]([-_a-z0-9]*[a-z0-9])?$" $sysctl.name)) -}}
{{- fail (printf "%s.sysctls[%d].name is %s; accepted is a sysctl outside net, because relays and echoes use the network of their node" $place $at $sysctl.name) -}}
{{- end -}}
{{- end -}}
{{- if and (get $context "privileged") (eq (get $context "allowPrivilegeEscalation" | toString) "false") -}}
{{- fail (printf "%s has privileged true and allowPrivilegeEscalation false; accepted is allowPrivilegeEscalation true with it" $place) -}}
{{- end -}}
{{- $known := splitList " " "ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM" -}}
{{- range $part, $names := get $context "capabilities" | default dict -}}
{{- range $name := $names -}}
{{- if not (has (upper $name) $known) -}}
{{- fail (printf "%s.capabilities.%s has %s; accepted are ALL and capabilities of Linux without the prefix CAP_, such as NET_RAW" $place $part $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
