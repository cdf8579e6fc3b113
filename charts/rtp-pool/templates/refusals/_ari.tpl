{{/* Refuse settings of ARI that relays can't use or would ignore. */}}
{{- define "rtp-pool.refuseAri" -}}
{{- $ari := .Values.ari -}}
{{- range $key := list "userKey" "passwordKey" "caKey" -}}
{{- if not (include "rtp-pool.isDataKey" (get $ari $key)) -}}
{{- fail (printf "ari.%s is %q; accepted is a key of a Secret: letters, digits, dots, hyphens and underscores, without .. at their start" $key (get $ari $key)) -}}
{{- end -}}
{{- end -}}
{{- if eq $ari.userKey $ari.passwordKey -}}
{{- fail (printf "ari.userKey and ari.passwordKey are both %s; accepted are two keys" $ari.userKey) -}}
{{- end -}}
{{- if not (regexMatch "^[A-Za-z0-9._-]{1,73}$" $ari.application) -}}
{{- fail (printf "ari.application is %q; accepted are 1 to 73 letters, digits, dots, hyphens and underscores" $ari.application) -}}
{{- end -}}
{{- $unprintable := "[\\p{C}\\p{Zl}\\p{Zp}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{202f}\\x{205f}\\x{3000}]" -}}
{{- if or (contains ":" $ari.user) (regexMatch $unprintable $ari.user) (ne (trim $ari.user) $ari.user) -}}
{{- fail (printf "ari.user is %q; accepted is the name of a user in ari.conf, without a colon, a character that is not printable or spaces around it" $ari.user) -}}
{{- end -}}
{{- if or (regexMatch "[\\x00-\\x1f\\x7f]" $ari.password) (ne (trim $ari.password) $ari.password) -}}
{{- fail "ari.password has a line break, a control character or spaces around it; accepted is the password in ari.conf, which is one line there, without spaces around it" -}}
{{- end -}}
{{- if and (ne $ari.caKey "ca.crt") (include "rtp-pool.ariSecret" .) (not (or $ari.caSecret $ari.caConfigMap)) -}}
{{- fail (printf "ari.caKey is %s, but ari.caSecret and ari.caConfigMap are empty and relays ignore it; accepted is one of both as well" $ari.caKey) -}}
{{- end -}}
{{- include "rtp-pool.refuseAriUrl" . -}}
{{- $bind := .Values.relay.bindAddress -}}
{{- if eq (include "rtp-pool.kindOfAddress" $bind) "loopback" -}}
{{- $accepted := "accepted is 0.0.0.0, :: or $(NODE_IP) for relay.bindAddress" -}}
{{- if not (include "rtp-pool.isOnTheNode" $ari.url) -}}
{{- fail (printf "relay.bindAddress is %s and ari.url is %s, an Asterisk that can't send to a loopback address of the relay; %s" $bind $ari.url $accepted) -}}
{{- end -}}
{{- $advertise := get .Values.defaultPool.spec "advertise" | default dict -}}
{{- if or (eq (get $advertise "source") "NodeExternalIP") (and (hasKey $advertise "address") (ne (include "rtp-pool.kindOfAddress" (get $advertise "address")) "loopback")) -}}
{{- fail (printf "relay.bindAddress is %s and defaultPool.spec.advertise has Asterisk send to another address; %s" $bind $accepted) -}}
{{- end -}}
{{- end -}}
{{- if not (include "rtp-pool.ariSecret" .) -}}
{{- $defaults := dict "url" "http://127.0.0.1:8088/ari" "application" "rtp-pool" "applicationPerNode" false "userKey" "username" "passwordKey" "password" "caSecret" "" "caConfigMap" "" "caKey" "ca.crt" -}}
{{- range $key, $default := $defaults -}}
{{- if ne (get $ari $key) $default -}}
{{- fail (printf "ari.%s is %v, but relays have no credentials of Asterisk and ignore it; accepted is ari.existingSecret, or ari.user and ari.password, as well" $key (get $ari $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A password in the URL must not appear in the sentence. */}}
{{- define "rtp-pool.refuseAriUrl" -}}
{{- $url := .Values.ari.url -}}
{{- $accepted := "accepted is http://HOST:8088/ari or https://HOST:8089/ari" -}}
{{- if regexMatch "[@?#]" $url -}}
{{- fail (printf "ari.url has user, query or fragment; %s, with the credentials in ari.user and ari.password or in ari.existingSecret" $accepted) -}}
{{- end -}}
{{- if not (regexMatch "^https?://([^\\s:/\\[\\]]+|\\[[^\\s\\[\\]]+\\])(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/ari/?$" $url) -}}
{{- fail (printf "ari.url is %s; %s" $url $accepted) -}}
{{- end -}}
{{- $parts := regexReplaceAll "^https?://" $url "" | splitList "/" -}}
{{- if or (has "." $parts) (has ".." $parts) -}}
{{- fail (printf "ari.url is %s; %s, without . and .. in its path" $url $accepted) -}}
{{- end -}}
{{- $place := first $parts -}}
{{- $port := regexFind ":[0-9]+$" $place | trimPrefix ":" -}}
{{- $host := trimSuffix (printf ":%s" $port) $place | trimPrefix "[" | trimSuffix "]" -}}
{{- if and $port (or (lt (atoi $port) 1) (gt (atoi $port) 65535)) -}}
{{- fail (printf "ari.url has the port %s; accepted is a port from 1 to 65535" $port) -}}
{{- end -}}
{{- $brackets := hasPrefix "[" $place -}}
{{- $fits := or (include "rtp-pool.isHost" $host) (eq $host "$(NODE_IP)") -}}
{{- if not (and $fits (or (not $brackets) (contains ":" $host) (eq $host "$(NODE_IP)"))) -}}
{{- fail (printf "ari.url has the host %s; accepted is a host name, an address of one host (IPv6 in brackets), or $(NODE_IP) for the address of each node" $host) -}}
{{- end -}}
{{- if include "rtp-pool.isOnTheNode" $url -}}
{{- range $of := list "echo" "relay" -}}
{{- if eq (atoi $port) (index $.Values $of "httpPort" | int) -}}
{{- fail (printf "ari.url has port %s of the node, which is %s.httpPort; accepted are two ports" $port $of) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
