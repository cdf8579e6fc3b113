{{/* Refuse pods that the API server refuses, or that can't run with their resources. */}}
{{- define "rtp-pool.refusePods" -}}
{{- range $of := list "echo" "relay" "operator" -}}
{{- $values := index $.Values $of -}}
{{- include "rtp-pool.refuseTolerations" (list (printf "%s.tolerations" $of) $values.tolerations) -}}
{{- include "rtp-pool.refuseExtras" (list $of $values) -}}
{{- include "rtp-pool.refuseResources" (list $of $values.resources) -}}
{{- end -}}
{{- $context := mergeOverwrite (deepCopy .Values.podSecurityContext) .Values.securityContext -}}
{{- if and (get $context "runAsNonRoot") (eq (get $context "runAsUser" | toString) "0") -}}
{{- fail "podSecurityContext and securityContext have runAsNonRoot true and runAsUser 0; accepted is one of both" -}}
{{- end -}}
{{- $seconds := toString .Values.relay.metricsIntervalSeconds -}}
{{- if not (and (regexMatch "^[0-9]{1,2}([.][0-9]+)?$" $seconds) (ge (float64 $seconds) 0.2) (le (float64 $seconds) 10.0)) -}}
{{- fail (printf "relay.metricsIntervalSeconds is %s; accepted is a number from 0.2 to 10" $seconds) -}}
{{- end -}}
{{- range $of := list "echo" "relay" -}}
{{- $strategy := index $.Values $of "updateStrategy" -}}
{{- if not (regexMatch "^([1-9][0-9]{0,4}|[1-9][0-9]?%|100%)$" (toString $strategy.maxUnavailable)) -}}
{{- fail (printf "%s.updateStrategy.maxUnavailable is %v; accepted is a number of nodes from 1, or a share from 1%% to 100%%" $of $strategy.maxUnavailable) -}}
{{- end -}}
{{- if and $.Values.realTime (dig "limits" "cpu" "" (index $.Values $of "resources")) -}}
{{- fail (printf "%s.resources.limits.cpu is %v and realTime is true, but a limit stops real-time processes like all others; accepted is one of both" $of (dig "limits" "cpu" "" (index $.Values $of "resources"))) -}}
{{- end -}}
{{- end -}}
{{- /*
Memory, measured in the images: a relay has 63 MB, 30 MB for each media process and 39 MB for the heartbeat, of which
these share 40 MB. A hundred calls take 30 MB more. One media process more than mediaWorkers
stands by. Without a number, a node with enough processors has one for 512 ports, and at most 8. An echo has 28 MB, and 15 MB for each worker.
*/ -}}
{{- $ports := add1 (sub (int .Values.portRange.end) (int .Values.portRange.start)) -}}
{{- $workers := int (default (div (add $ports 511) 512) .Values.relay.mediaWorkers) -}}
{{- include "rtp-pool.refuseMemory" (list "relay" .Values.relay.resources (add 96 (mul 32 (add1 $workers))) (printf "for relay.mediaWorkers %d" $workers)) -}}
{{- include "rtp-pool.refuseMemory" (list "echo" .Values.echo.resources (add 48 (mul 16 (int .Values.echo.workers))) (printf "for echo.workers %d" (int .Values.echo.workers))) -}}
{{- include "rtp-pool.refuseMemory" (list "operator" .Values.operator.resources 128 "for a small cluster") -}}
{{- range $of := list "echo" "relay" "operator" -}}
{{- $limit := dig "limits" "cpu" "" (index $.Values $of "resources") -}}
{{- if and $limit (lt (include "rtp-pool.readQuantity" $limit | float64) 0.1) -}}
{{- fail (printf "%s.resources.limits.cpu is %v; accepted is 100m or above, because a start takes 2 s of a processor and its probe waits for 60 s" $of $limit) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (list COMPONENT RESOURCES MEBIBYTES WHY) */}}
{{- define "rtp-pool.refuseMemory" -}}
{{- $limit := dig "limits" "memory" "" (index . 1) -}}
{{- if $limit -}}
{{- if lt (include "rtp-pool.readQuantity" $limit | float64) (mul 1048576 (index . 2) | float64) -}}
{{- fail (printf "%s.resources.limits.memory is %v; accepted is %dMi or above %s, because the kernel kills a pod above its limit" (index . 0) $limit (index . 2) (index . 3)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "rtp-pool.refuseResources" -}}
{{- $of := first . -}}
{{- $resources := last . -}}
{{- range $part := list "limits" "requests" -}}
{{- range $name, $quantity := get $resources $part | default dict -}}
{{- if not (or (has $name (list "cpu" "memory" "ephemeral-storage")) (hasPrefix "hugepages-" $name) (regexMatch "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$" $name)) -}}
{{- fail (printf "%s.resources.%s has %s; accepted are cpu, memory, ephemeral-storage, hugepages-SIZE and names with a domain" $of $part $name) -}}
{{- end -}}
{{- $read := include "rtp-pool.readQuantity" $quantity -}}
{{- if not $read -}}
{{- fail (printf "%s.resources.%s.%s is %v; accepted is a quantity such as 500m, 2 or 256Mi" $of $part $name $quantity) -}}
{{- end -}}
{{- $limit := dig "limits" $name "" $resources -}}
{{- if and (ne $name "cpu") (contains "m" (toString $quantity)) -}}
{{- fail (printf "%s.resources.%s.%s is %v, in thousandths; accepted is a whole number such as 2 or 256Mi" $of $part $name $quantity) -}}
{{- end -}}
{{- if and (eq $name "cpu") (gt (float64 $read) 1024.0) -}}
{{- fail (printf "%s.resources.%s.cpu is %v; accepted is a number of processors such as 500m or 2, at most 1024" $of $part $quantity) -}}
{{- end -}}
{{- if and (not (has $name (list "cpu" "memory" "ephemeral-storage"))) (or (ne (dig "limits" $name "" $resources | toString) (toString $quantity)) (ne (float64 $read) (floor $read))) -}}
{{- fail (printf "%s.resources.%s.%s is %v and its limit is %v; accepted is the same whole number for both, because this resource can't be shared" $of $part $name $quantity $limit) -}}
{{- end -}}
{{- if and (hasPrefix "hugepages-" $name) (not (include "rtp-pool.readQuantity" (trimPrefix "hugepages-" $name))) -}}
{{- fail (printf "%s.resources.%s has %s; accepted is hugepages-SIZE, such as hugepages-2Mi" $of $part $name) -}}
{{- end -}}
{{- if and (eq $part "requests") $limit -}}
{{- if gt (float64 $read) (include "rtp-pool.readQuantity" $limit | float64) -}}
{{- fail (printf "%s.resources.requests.%s is %v, above the limit %v; accepted is a request up to the limit" $of $name $quantity $limit) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "rtp-pool.refuseTolerations" -}}
{{- $place := first . -}}
{{- range $at, $toleration := last . -}}
{{- $exists := eq (get . "operator") "Exists" -}}
{{- if and (not (get . "key")) (not $exists) -}}
{{- fail (printf "%s[%d] is %s, without a key; accepted is a key, or operator Exists for every taint" $place $at (toJson .)) -}}
{{- end -}}
{{- if and (get . "key") (not (include "rtp-pool.isLabelKey" .key)) -}}
{{- fail (printf "%s[%d].key is %s; accepted is the key of a taint" $place $at .key) -}}
{{- end -}}
{{- if not (include "rtp-pool.isLabelValue" (get . "value")) -}}
{{- fail (printf "%s[%d].value is %s; accepted is the value of a taint" $place $at .value) -}}
{{- end -}}
{{- if and $exists (get . "value") -}}
{{- fail (printf "%s[%d] is %s; accepted is a value with operator Equal, and none with Exists" $place $at (toJson .)) -}}
{{- end -}}
{{- if and (hasKey . "tolerationSeconds") (ne (get . "effect") "NoExecute") -}}
{{- fail (printf "%s[%d] is %s; accepted are tolerationSeconds with effect NoExecute" $place $at (toJson .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The variables, volumes and folders of the chart. tests/chart/test_escape_hatches.py compares them with the pods. */}}
{{- define "rtp-pool.ownParts" -}}
variables:
- ADMISSION ALLOWED_ADVERTISE_ADDRESSES ALLOWED_ECHO_HOSTS APP_NAME APP_PER_NODE ARI_CA_FILE ARI_PASS ARI_PASS_FILE ARI_URL
- ARI_USER ARI_USER_FILE BIND_IP CALLER_HASH_KEY CALLER_HASH_KEY_FILE CALLER_NUMBERS CRD_INSTALL DEFAULT_POOL DRAIN_GRACE_SEC DSCP ECHO_ALLOW ECHO_BIND ECHO_EXTENSION ECHO_HOST ECHO_PORT ECHO_RATE
- ECHO_RATE_PER_ADDRESS ECHO_RTP_ONLY ECHO_SCHEDULING ECHO_WORKERS FOREIGN_POOLS_MAY_TAKE_NODES HOST_WITNESSES HTTP_BIND
- HTTP_PORT HTTP_TLS_DIR HTTP_TOKEN_FILE LOG_FORMAT LOG_LEVEL MEDIA_SCHEDULING MEDIA_WORKERS METRICS_INTERVAL_SEC
- NODE_ECHO_HOST NODE_ECHO_PORT NODE_IP NODE_NAME NODE_TURN ON_STOP POD_NAME POD_NAMESPACE POOL_NAMESPACES PORT_RANGE RELAY_CA_FILE RELAY_SELECTOR RELAY_TLS_NAME RELAY_TOKEN_FILE
volumes: [ari, ari-ca, caller-hash, http-tls, http-token, pools]
folders: [/bin, /dev, /etc/rtp-pool, /lib, /lib64, /opt, /proc, /sbin, /sys, /usr, /var/run/secrets/rtp-pool]
{{- end -}}

{{/* (list COMPONENT VALUES): additions to a container must not collide with the chart's own parts. */}}
{{- define "rtp-pool.refuseExtras" -}}
{{- $of := first . -}}
{{- $values := last . -}}
{{- $own := include "rtp-pool.ownParts" . | fromYaml -}}
{{- $names := join " " $own.variables | splitList " " -}}
{{- range $at, $variable := $values.extraEnv -}}
{{- if not (regexMatch "^[A-Za-z_][A-Za-z0-9_.-]*$" $variable.name) -}}
{{- fail (printf "%s.extraEnv[%d].name is %q; accepted is the name of a variable" $of $at $variable.name) -}}
{{- end -}}
{{- if has $variable.name $names -}}
{{- fail (printf "%s.extraEnv[%d].name is %s, which the chart or an earlier entry sets; accepted are other names" $of $at $variable.name) -}}
{{- end -}}
{{- if and (eq $variable.name "ADVERTISE_IP") (get $variable "value") (not (has (include "rtp-pool.kindOfAddress" $variable.value) (list "unicast" "loopback"))) (ne $variable.value "$(NODE_IP)") -}}
{{- fail (printf "%s.extraEnv[%d].value of ADVERTISE_IP is %s; accepted is an address of one host" $of $at $variable.value) -}}
{{- end -}}
{{- if and (get $variable "value") (get $variable "valueFrom") -}}
{{- fail (printf "%s.extraEnv[%d] has value and valueFrom; accepted is one of both" $of $at) -}}
{{- end -}}
{{- $names = append $names $variable.name -}}
{{- end -}}
{{- $volumes := list -}}
{{- range $at, $volume := $values.extraVolumes -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" $volume.name) -}}
{{- fail (printf "%s.extraVolumes[%d].name is %q; accepted are at most 63 lower-case letters, digits and hyphens" $of $at $volume.name) -}}
{{- end -}}
{{- if has $volume.name (concat $own.volumes $volumes) -}}
{{- fail (printf "%s.extraVolumes[%d].name is %s, which the chart or an earlier entry has; accepted are other names" $of $at $volume.name) -}}
{{- end -}}
{{- if ne (len $volume) 2 -}}
{{- fail (printf "%s.extraVolumes[%d] has %s; accepted are a name and one source, for example configMap" $of $at (keys $volume | sortAlpha | join ", ")) -}}
{{- end -}}
{{- $volumes = append $volumes $volume.name -}}
{{- end -}}
{{- $paths := list -}}
{{- range $at, $mount := $values.extraVolumeMounts -}}
{{- if not (has $mount.name $volumes) -}}
{{- fail (printf "%s.extraVolumeMounts[%d].name is %q; accepted is the name of one of %s.extraVolumes" $of $at $mount.name $of) -}}
{{- end -}}
{{- $path := $mount.mountPath -}}
{{- $folder := printf "%s/" (trimSuffix "/" $path) -}}
{{- $taken := or (not (regexMatch "^(/[^/:]+)+/?$" $path)) (has "." (splitList "/" $path)) (has ".." (splitList "/" $path)) (has $folder $paths) -}}
{{- range $own.folders }}{{ if or (hasPrefix (printf "%s/" .) $folder) (hasPrefix $folder (printf "%s/" .)) }}{{ $taken = true }}{{ end }}{{ end -}}
{{- if $taken -}}
{{- fail (printf "%s.extraVolumeMounts[%d].mountPath is %s; accepted is an absolute path that neither the image nor another mount has: none of %s" $of $at $path (join ", " $own.folders)) -}}
{{- end -}}
{{- $paths = append $paths $folder -}}
{{- end -}}
{{- end -}}
