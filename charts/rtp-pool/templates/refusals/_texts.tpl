{{/*
Readers of texts. Each returns JSON or a word, and nothing for a text that it can't read. tests/chart/test_text_readers.py
compares them with the product's own.
*/}}

{{/* An address as {"family": 4 or 6, "parts": numbers}: 4 numbers of 8 bits, or 8 of 16 bits. */}}
{{- define "rtp-pool.readAddress" -}}
{{- $quad := "((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" -}}
{{- $text := toString . -}}
{{- if regexMatch (printf "^%s$" $quad) $text -}}
{{- $parts := list -}}
{{- range splitList "." $text }}{{ $parts = append $parts (int .) }}{{ end -}}
{{- dict "family" 4 "parts" $parts | toJson -}}
{{- else if contains ":" $text -}}
{{- if regexMatch (printf ":%s$" $quad) $text -}}
{{- $last := splitList ":" $text | last | splitList "." -}}
{{- $text = printf "%s%x:%x" (regexFind "^.*:" $text) (add (mul 256 (index $last 0 | int)) (index $last 1 | int)) (add (mul 256 (index $last 2 | int)) (index $last 3 | int)) -}}
{{- end -}}
{{- $halves := splitList "::" $text -}}
{{- $begin := list -}}
{{- $end := list -}}
{{- with first $halves }}{{ $begin = splitList ":" . }}{{ end -}}
{{- if eq (len $halves) 2 }}{{ with last $halves }}{{ $end = splitList ":" . }}{{ end }}{{ end -}}
{{- $written := add (len $begin) (len $end) | int -}}
{{- $fits := or (and (eq (len $halves) 1) (eq $written 8)) (and (eq (len $halves) 2) (lt $written 8)) -}}
{{- range concat $begin $end }}{{ if not (regexMatch "^[0-9A-Fa-f]{1,4}$" .) }}{{ $fits = false }}{{ end }}{{ end -}}
{{- if $fits -}}
{{- $parts := list -}}
{{- range $begin }}{{ $parts = append $parts (int64 (printf "0x%s" .)) }}{{ end -}}
{{- range until (sub 8 $written | int) }}{{ $parts = append $parts 0 }}{{ end -}}
{{- range $end }}{{ $parts = append $parts (int64 (printf "0x%s" .)) }}{{ end -}}
{{- dict "family" 6 "parts" $parts | toJson -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "unspecified", "multicast", "broadcast", "mapped" (IPv4 inside IPv6), "loopback" or "unicast". */}}
{{- define "rtp-pool.kindOfAddress" -}}
{{- with include "rtp-pool.readAddress" . -}}
{{- $read := fromJson . -}}
{{- $parts := list -}}
{{- range $read.parts }}{{ $parts = append $parts (int .) }}{{ end -}}
{{- $text := join "." $parts -}}
{{- $first := first $parts -}}
{{- if regexMatch "^0([.]0)*$" $text }}unspecified
{{- else if eq (int $read.family) 4 -}}
{{- if eq $text "255.255.255.255" }}broadcast
{{- else if and (ge $first 224) (le $first 239) }}multicast
{{- else if eq $first 127 }}loopback
{{- else }}unicast
{{- end -}}
{{- else if hasPrefix "0.0.0.0.0.65535." $text }}mapped
{{- else if eq $text "0.0.0.0.0.0.0.1" }}loopback
{{- else if ge $first 65280 }}multicast
{{- else }}unicast
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "yes" for an address or a network such as 10.0.0.0/8 whose host bits are zero. */}}
{{- define "rtp-pool.isNetwork" -}}
{{- $halves := splitList "/" . -}}
{{- $read := include "rtp-pool.readAddress" (first $halves) -}}
{{- if and $read (eq (len $halves) 1) }}yes
{{- else if and $read (eq (len $halves) 2) (regexMatch "^[0-9]{1,3}$" (last $halves)) -}}
{{- $address := fromJson $read -}}
{{- $width := ternary 8 16 (eq (int $address.family) 4) -}}
{{- $prefix := atoi (last $halves) -}}
{{- $fits := le $prefix (mul $width (len $address.parts) | int) -}}
{{- range $at, $part := $address.parts -}}
{{- $free := sub (mul $width (add1 $at)) $prefix | min $width | max 0 | int -}}
{{- $step := 1 -}}
{{- range until $free }}{{ $step = mul $step 2 }}{{ end -}}
{{- if mod (int64 $part) $step }}{{ $fits = false }}{{ end -}}
{{- end -}}
{{- if $fits }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{/* "yes" for a text NETWORK,ADDRESS whose address is in the network. */}}
{{- define "rtp-pool.isInNetwork" -}}
{{- $pair := splitList "," . -}}
{{- $halves := first $pair | splitList "/" -}}
{{- $network := include "rtp-pool.readAddress" (first $halves) | default "{}" | fromJson -}}
{{- $address := include "rtp-pool.readAddress" (last $pair) | default "{}" | fromJson -}}
{{- if and $network $address (eq (get $network "family" | int) (get $address "family" | int)) -}}
{{- $width := ternary 8 16 (eq (int $network.family) 4) -}}
{{- $prefix := mul $width (len $network.parts) | int -}}
{{- if eq (len $halves) 2 }}{{ $prefix = last $halves | atoi }}{{ end -}}
{{- $same := true -}}
{{- range $at, $part := $network.parts -}}
{{- $free := sub (mul $width (add1 $at)) $prefix | min $width | max 0 | int -}}
{{- $step := 1 -}}
{{- range until $free }}{{ $step = mul $step 2 }}{{ end -}}
{{- if ne (div (int64 $part) $step) (div (index $address.parts $at | int64) $step) }}{{ $same = false }}{{ end -}}
{{- end -}}
{{- if $same }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{/* "yes" for a host name. A name whose last part is a number is a mistyped address. */}}
{{- define "rtp-pool.isHostName" -}}
{{- $part := "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?" -}}
{{- if and (le (len .) 253) (regexMatch (printf "^(%s[.])*%s[.]?$" $part $part) .) (not (regexMatch "(^|[.])([0-9]+|0[xX][0-9A-Fa-f]*)[.]?$" .)) }}yes{{ end -}}
{{- end -}}

{{/* "yes" for a host name or an address of one host. */}}
{{- define "rtp-pool.isHost" -}}
{{- if include "rtp-pool.readAddress" . -}}
{{- if has (include "rtp-pool.kindOfAddress" .) (list "loopback" "unicast") }}yes{{ end -}}
{{- else -}}
{{- include "rtp-pool.isHostName" . -}}
{{- end -}}
{{- end -}}

{{/* "yes" for a loopback address, and for localhost. */}}
{{- define "rtp-pool.isLoopbackHost" -}}
{{- if or (eq (include "rtp-pool.kindOfAddress" .) "loopback") (eq (lower . | trimSuffix ".") "localhost") }}yes{{ end -}}
{{- end -}}

{{/* "yes" for a network of senders or hosts. 0.0.0.0 and :: are no host's address, and IPv4 inside IPv6 is read as IPv4. */}}
{{- define "rtp-pool.isNetworkOfHosts" -}}
{{- $address := splitList "/" . | first -}}
{{- $kind := include "rtp-pool.kindOfAddress" $address -}}
{{- if and (include "rtp-pool.isNetwork" .) (or (has $kind (list "unicast" "loopback")) (and (eq $kind "unspecified") (contains "/" .))) }}yes{{ end -}}
{{- end -}}

{{/* "yes" for the name of a Kubernetes object. */}}
{{- define "rtp-pool.isObjectName" -}}
{{- if and (le (len .) 253) (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" .) }}yes{{ end -}}
{{- end -}}

{{/* "yes" for a key of a Secret or a ConfigMap. */}}
{{- define "rtp-pool.isDataKey" -}}
{{- if and (regexMatch "^[-._A-Za-z0-9]{1,253}$" .) (ne . ".") (not (hasPrefix ".." .)) }}yes{{ end -}}
{{- end -}}

{{/* "yes" for a key of labels and annotations. */}}
{{- define "rtp-pool.isLabelKey" -}}
{{- if and (le (len .) 317) (regexMatch "^([a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$" .) }}yes{{ end -}}
{{- end -}}

{{- define "rtp-pool.isLabelValue" -}}
{{- if and (le (len .) 63) (regexMatch "^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$" .) }}yes{{ end -}}
{{- end -}}

{{/* A Kubernetes quantity as a plain number: 500m is 0.5, and 1Ki is 1024. */}}
{{- define "rtp-pool.readQuantity" -}}
{{- $text := toString . -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- if regexMatch "^[0-9]+([.][0-9]+)?([eE][+]?[0-9]{1,2}|m|k|M|G|T|Ki|Mi|Gi|Ti)?$" $text -}}
{{- $unit := regexFind "(m|k|M|G|T|Ki|Mi|Gi|Ti)$" $text -}}
{{- mulf (trimSuffix $unit $text | float64) (index $units $unit) | printf "%f" -}}
{{- end -}}
{{- end -}}
