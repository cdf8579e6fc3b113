{{/*
Ports of the nodes that other programs have on most clusters: TCP and UDP by number. allowPorts permits them where they
are free. 9090 is not here, because Cockpit alone has it, on some distributions.
*/}}
{{- define "rtp-pool.knownPorts" -}}
"2379": {tcp: etcd}
"2380": {tcp: etcd}
"3478": {udp: STUN}
"4240": {tcp: Cilium}
"4244": {tcp: Cilium}
"4789": {udp: VXLAN}
"5038": {tcp: Asterisk's AMI}
"5060": {tcp: SIP, udp: SIP}
"5061": {tcp: SIP over TLS, udp: SIP}
"5353": {udp: multicast DNS}
"6081": {udp: Geneve}
"6443": {tcp: the API server}
"7472": {tcp: MetalLB}
"7946": {tcp: MetalLB, udp: MetalLB}
"8088": {tcp: Asterisk's HTTP server}
"8089": {tcp: Asterisk's HTTPS server}
"8472": {udp: VXLAN of flannel and Cilium}
"9099": {tcp: Calico}
"9100": {tcp: node-exporter}
"10248": {tcp: kubelet}
"10249": {tcp: kube-proxy}
"10250": {tcp: kubelet}
"10255": {tcp: kubelet}
"10256": {tcp: kube-proxy}
"10257": {tcp: kube-controller-manager}
"10259": {tcp: kube-scheduler}
"51820": {udp: WireGuard}
"51821": {udp: WireGuard}
"51871": {udp: WireGuard of Cilium}
{{- end -}}

{{/* Refuse ports of the nodes that belong to others, unless allowPorts has them. */}}
{{- define "rtp-pool.refusePorts" -}}
{{- $allowed := list -}}
{{- range $at, $entry := .Values.allowPorts -}}
{{- $ends := splitList "-" (toString $entry) -}}
{{- $fits := regexMatch "^[0-9]{1,5}(-[0-9]{1,5})?$" (toString $entry) -}}
{{- if $fits }}{{ $fits = and (ge (first $ends | atoi) 1) (le (first $ends | atoi) (last $ends | atoi)) (le (last $ends | atoi) 65535) }}{{ end -}}
{{- if not $fits -}}
{{- fail (printf "allowPorts[%d] is %v; accepted is a port, or a range such as 30000-30063" $at $entry) -}}
{{- end -}}
{{- $allowed = append $allowed (list (first $ends | atoi) (last $ends | atoi)) -}}
{{- end -}}
{{- range $use := list
  (list "portRange" "udp" .Values.portRange.start .Values.portRange.end)
  (list "echo.port" "udp" .Values.echo.port .Values.echo.port)
  (list "echo.httpPort" "tcp" .Values.echo.httpPort .Values.echo.httpPort)
  (list "relay.httpPort" "tcp" .Values.relay.httpPort .Values.relay.httpPort) -}}
{{- include "rtp-pool.refuseKnownPorts" (list $use $allowed) -}}
{{- end -}}
{{- end -}}

{{- define "rtp-pool.refuseKnownPorts" -}}
{{- $use := first . -}}
{{- $allowed := last . -}}
{{- $key := index $use 0 -}}
{{- $start := index $use 2 | int -}}
{{- $end := index $use 3 | int -}}
{{- $shown := ternary (toString $start) (printf "%d-%d" $start $end) (eq $start $end) -}}
{{- range $number, $owners := include "rtp-pool.knownPorts" . | fromYaml -}}
{{- $port := int $number -}}
{{- $owner := get $owners (index $use 1) -}}
{{- if and $owner (ge $port $start) (le $port $end) (not (include "rtp-pool.isAllowed" (list $port $port $allowed))) -}}
{{- fail (printf "%s is %s, and %s %d of a node is %s; accepted are other ports, or %d in allowPorts where that port is free" $key $shown (index $use 1 | upper) $port $owner $port) -}}
{{- end -}}
{{- end -}}
{{- $low := max $start 30000 | int -}}
{{- $high := min $end 32767 | int -}}
{{- if and (le $low $high) (not (include "rtp-pool.isAllowed" (list $low $high $allowed))) -}}
{{- $entry := ternary (toString $low) (printf "%d-%d" $low $high) (eq $low $high) -}}
{{- fail (printf "%s is %s, and 30000-32767 are NodePorts by default, whose packets kube-proxy takes; accepted are other ports, or %q in allowPorts where the cluster's NodePorts are elsewhere" $key $shown $entry) -}}
{{- end -}}
{{- end -}}

{{/* (list FIRST LAST ALLOWED): "yes" where one entry of allowPorts has them all. */}}
{{- define "rtp-pool.isAllowed" -}}
{{- $low := index . 0 -}}
{{- $high := index . 1 -}}
{{- range index . 2 -}}
{{- if and (le (first .) $low) (ge (last .) $high) }}yes{{ end -}}
{{- end -}}
{{- end -}}
