{{/* Refuse an echo that drops the packets of calls, or that can't start. */}}
{{- define "rtp-pool.refuseEcho" -}}
{{- include "rtp-pool.refuseBindAddress" (list "echo.bindAddress" .Values.echo.bindAddress) -}}
{{- include "rtp-pool.refuseBindAddress" (list "relay.bindAddress" .Values.relay.bindAddress) -}}
{{- range $at, $network := .Values.echo.allow -}}
{{- if not (include "rtp-pool.isNetworkOfHosts" $network) -}}
{{- fail (printf "echo.allow[%d] is %s; accepted is an address, or a network such as 10.0.0.0/8 with host bits zero" $at $network) -}}
{{- end -}}
{{- end -}}
{{- $rate := int .Values.echo.rate -}}
{{- if and $rate (lt $rate 50) -}}
{{- fail (printf "echo.rate is %d, and a call sends 50 packets a second; accepted is 50 or above, or 0 for no limit" $rate) -}}
{{- end -}}
{{- $ports := add1 (sub (int .Values.portRange.end) (int .Values.portRange.start)) | int -}}
{{- $perAddress := int .Values.echo.ratePerAddress -}}
{{- if and $perAddress (lt $perAddress (mul 50 $ports | int)) -}}
{{- fail (printf "echo.ratePerAddress is %d, and a relay with a call on each of its %d ports is one address that sends %d packets a second; accepted is %d or above, or 0 for no limit" $perAddress $ports (mul 50 $ports) (mul 50 $ports)) -}}
{{- end -}}
{{- end -}}

{{/* One value serves all nodes, so an address can be that of no single node. */}}
{{- define "rtp-pool.refuseBindAddress" -}}
{{- $text := last . -}}
{{- if not (or (has $text (list "$(NODE_IP)" "0.0.0.0" "::")) (eq (include "rtp-pool.kindOfAddress" $text) "loopback")) -}}
{{- fail (printf "%s is %s, on all nodes; accepted is 0.0.0.0, ::, $(NODE_IP) for the address of each node, or a loopback address" (first .) $text) -}}
{{- end -}}
{{- end -}}

{{/* Refuse relays that ask where no echo listens. A loopback host is the echo of the relay's own node. */}}
{{- define "rtp-pool.refuseMeeting" -}}
{{- $host := .Values.relay.echo.host -}}
{{- if not (include "rtp-pool.isHost" $host) -}}
{{- fail (printf "relay.echo.host is %s; accepted is a host name or a unicast address" $host) -}}
{{- end -}}
{{- $kind := include "rtp-pool.kindOfAddress" $host -}}
{{- $bind := .Values.relay.bindAddress -}}
{{- $echoBind := .Values.echo.bindAddress -}}
{{- $everywhere := has (include "rtp-pool.kindOfAddress" $echoBind) (list "unspecified") -}}
{{- if and (eq (include "rtp-pool.kindOfAddress" $bind) "loopback") (not (include "rtp-pool.isLoopbackHost" $host)) -}}
{{- fail (printf "relay.bindAddress is %s and relay.echo.host is %s, which a loopback address can't reach; accepted is 127.0.0.1 for relay.echo.host, or another relay.bindAddress" $bind $host) -}}
{{- end -}}
{{- $loopback := include "rtp-pool.isLoopbackHost" $host -}}
{{- if $loopback -}}
{{- if not (or $everywhere (has $host (list "127.0.0.1" "::1"))) -}}
{{- fail (printf "relay.echo.host is %s and echo.bindAddress is %s; accepted is 127.0.0.1 for relay.echo.host, which is the node's own echo wherever it listens" $host $echoBind) -}}
{{- end -}}
{{- $families := list -}}
{{- range list $bind $echoBind -}}
{{- if eq (include "rtp-pool.kindOfAddress" .) "loopback" }}{{ $families = append $families (get (include "rtp-pool.readAddress" . | fromJson) "family" | int) }}{{ end -}}
{{- end -}}
{{- if gt (uniq $families | len) 1 -}}
{{- fail (printf "relay.bindAddress is %s and echo.bindAddress is %s, of two families; accepted are addresses of one family" $bind $echoBind) -}}
{{- end -}}
{{- $asked := include "rtp-pool.echoTargetPort" . | int -}}
{{- if ne $asked (int .Values.echo.port) -}}
{{- fail (printf "relay.echo.port is %d and echo.port is %d, and relay.echo.host %s is the node's own echo; accepted is null, or the host of another echo" $asked (int .Values.echo.port) $host) -}}
{{- end -}}
{{- include "rtp-pool.refuseRelaysWithoutEcho" . -}}
{{- end -}}
{{- end -}}

{{/* Each node with a relay needs an echo. */}}
{{- define "rtp-pool.refuseRelaysWithoutEcho" -}}
{{- $accepted := printf "accepted is an echo on each node of the relays, or the host of another echo in relay.echo.host instead of %s" .Values.relay.echo.host -}}
{{- range $key, $value := .Values.echo.nodeSelector -}}
{{- if and (ne (get $.Values.relay.nodeSelector $key) $value) (ne $key "kubernetes.io/os") -}}
{{- fail (printf "echo.nodeSelector has %s: %s and relay.nodeSelector has not; %s" $key $value $accepted) -}}
{{- end -}}
{{- end -}}
{{- $all := false -}}
{{- range .Values.echo.tolerations -}}
{{- if and (eq (get . "operator") "Exists") (not (get . "key")) (not (get . "effect")) }}{{ $all = true }}{{ end -}}
{{- end -}}
{{- range .Values.relay.tolerations -}}
{{- if not (or $all (has . $.Values.echo.tolerations)) -}}
{{- fail (printf "relay.tolerations has %s and echo.tolerations has not; %s" (toJson .) $accepted) -}}
{{- end -}}
{{- end -}}
{{- $echo := dig "nodeAffinity" "requiredDuringSchedulingIgnoredDuringExecution" dict .Values.echo.affinity -}}
{{- $relay := dig "nodeAffinity" "requiredDuringSchedulingIgnoredDuringExecution" dict .Values.relay.affinity -}}
{{- if and $echo (not (deepEqual $echo $relay)) -}}
{{- fail (printf "echo.affinity requires nodes that relay.affinity does not; %s" $accepted) -}}
{{- end -}}
{{- end -}}
