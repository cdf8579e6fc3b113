{{/*
The CRD's rules over several fields, with their sentences, for the default pool. A pool that breaks one would fail after
everything else is installed. tests/chart/test_default_pool_rules.py compares the sentences with the operator's.
*/}}
{{- define "rtp-pool.refusePool" -}}
{{- $spec := .Values.defaultPool.spec -}}
{{- $start := int .Values.portRange.start -}}
{{- $end := int .Values.portRange.end -}}
{{- $ports := add1 (sub $end $start) | int -}}
{{- $excluded := list -}}
{{- $outside := list -}}
{{- range get $spec "excludedPorts" | default list -}}
{{- $excluded = append $excluded (int .) -}}
{{- if or (lt (int .) $start) (gt (int .) $end) }}{{ $outside = append $outside (int . | toString) }}{{ end -}}
{{- end -}}
{{- if $outside -}}
{{- fail (printf "defaultPool.spec: excludedPorts has [%s], outside portRange %d-%d; accepted are ports of the range" (join ", " $outside) $start $end) -}}
{{- end -}}
{{- if ge (len $excluded) $ports -}}
{{- fail (printf "defaultPool.spec: excludedPorts has all %d ports of portRange %d-%d; accepted is a list that leaves at least one" (len $excluded) $start $end) -}}
{{- end -}}
{{- $unanswered := list -}}
{{- range list 1434 1900 3283 3478 3702 4500 5060 5351 5353 5683 11211 -}}
{{- if and (ge . $start) (le . $end) (not (has . $excluded)) }}{{ $unanswered = append $unanswered (toString .) }}{{ end -}}
{{- end -}}
{{- if ge (add (len $excluded) (len $unanswered) | int) $ports -}}
{{- fail (printf "portRange %d-%d has only excluded ports and [%s], which no echo answers; accepted is a range with another port" $start $end (join ", " $unanswered)) -}}
{{- end -}}
{{- include "rtp-pool.refuseAdvertise" (get $spec "advertise" | default dict) -}}
{{- include "rtp-pool.refuseTiers" (dig "sla" "tiers" list $spec) -}}
{{- $wrong := list -}}
{{- range $key, $value := get $spec "nodeSelector" | default dict -}}
{{- if not (and (include "rtp-pool.isLabelKey" $key) (include "rtp-pool.isLabelValue" $value)) }}{{ $wrong = append $wrong (printf "%q" (printf "%s: %s" $key $value)) }}{{ end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "defaultPool.spec: nodeSelector has [%s], which no node label can be; accepted are keys and values of labels (for example topology.kubernetes.io/zone: a)" (join ", " $wrong)) -}}
{{- end -}}
{{- end -}}

{{- define "rtp-pool.refuseAdvertise" -}}
{{- $source := get . "source" | default "HostIP" -}}
{{- $address := get . "address" -}}
{{- if ne (eq $source "Static") (hasKey . "address") -}}
{{- fail (printf "defaultPool.spec: advertise.source is %s %s an address; accepted is an address with Static and none otherwise" $source (ternary "with" "without" (hasKey . "address"))) -}}
{{- end -}}
{{- if and (hasKey . "address") (not (has (include "rtp-pool.kindOfAddress" $address) (list "loopback" "unicast"))) -}}
{{- fail (printf "defaultPool.spec: advertise.address is %s; accepted is an IPv4 or IPv6 unicast address" $address) -}}
{{- end -}}
{{- end -}}

{{- define "rtp-pool.refuseTiers" -}}
{{- $seen := list -}}
{{- range . -}}
{{- $calls := int .upToCalls -}}
{{- if has $calls $seen -}}
{{- fail (printf "defaultPool.spec: sla.tiers has upToCalls %d twice; accepted is one tier for a number of calls" $calls) -}}
{{- end -}}
{{- $seen = append $seen $calls -}}
{{- $p50 := int .p50Microseconds -}}
{{- $p95 := int .p95Microseconds -}}
{{- $p99 := int .p99Microseconds -}}
{{- if or (gt $p50 $p95) (gt $p95 $p99) -}}
{{- fail (printf "defaultPool.spec: the tier up to %d calls has p50 %d, p95 %d, p99 %d microseconds; accepted is p50 <= p95 <= p99" $calls $p50 $p95 $p99) -}}
{{- end -}}
{{- end -}}
{{- end -}}
