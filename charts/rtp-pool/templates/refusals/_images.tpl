{{/* Refuse images that no node can pull, or that no runtime can name. */}}
{{- define "rtp-pool.refuseImages" -}}
{{- $host := "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?" -}}
{{- $path := "[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*" -}}
{{- $registry := include "rtp-pool.registry" . -}}
{{- $key := ternary "global.imageRegistry" "image.registry" (ne .Values.global.imageRegistry "") -}}
{{- if and $registry (not (and (regexMatch (printf "^%s(/%s)?$" $host $path) $registry) (eq (lower $registry) $registry) (include "rtp-pool.isRegistry" $registry))) -}}
{{- fail (printf "%s is %s; accepted is HOST[:PORT][/PATH] without a scheme, for example registry.example.com/voice" $key $registry) -}}
{{- end -}}
{{- include "rtp-pool.refuseTag" (list "image.tag" .Values.image.tag) -}}
{{- range $name := list "echo" "relay" "operator" -}}
{{- $own := (index $.Values $name).image -}}
{{- $repository := printf "%s.image.repository" $name -}}
{{- $named := regexMatch "^([^/]*[.:][^/]*|localhost)/" $own.repository -}}
{{- $fits := regexMatch (printf "^%s$" (ternary (printf "%s/%s" $host $path) $path $named)) $own.repository -}}
{{- if not (and $fits (include "rtp-pool.isRegistry" $own.repository) (le (len (printf "%s/%s" $registry $own.repository)) 255)) -}}
{{- fail (printf "%s is %s; accepted is [HOST/]PATH in lower case, without a tag, for example rtp-pool/echo" $repository $own.repository) -}}
{{- end -}}
{{- if not (or $registry (eq $.Values.image.pullPolicy "Never") $named) -}}
{{- fail (printf "image.registry is empty and %s is %s, which names no registry; accepted is a registry in image.registry, in global.imageRegistry or in the repository, or image.pullPolicy Never for images that all nodes hold" $repository $own.repository) -}}
{{- end -}}
{{- include "rtp-pool.refuseTag" (list (printf "%s.image.tag" $name) $own.tag) -}}
{{- if and $own.digest (not (regexMatch "^sha256:[0-9a-f]{64}$" $own.digest)) -}}
{{- fail (printf "%s.image.digest is %s; accepted is sha256: and 64 hexadecimal digits" $name $own.digest) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "rtp-pool.refuseTag" -}}
{{- $tag := index . 1 -}}
{{- if and $tag (not (regexMatch "^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}$" $tag)) -}}
{{- fail (printf "%s is %s; accepted are at most 128 letters, digits, dots, hyphens and underscores, and a digest belongs in image.digest of its component" (index . 0) $tag) -}}
{{- end -}}
{{- end -}}

{{/* "yes" unless the host has a port that no host has. */}}
{{- define "rtp-pool.isRegistry" -}}
{{- $port := splitList "/" . | first | regexFind ":[0-9]+$" | trimPrefix ":" -}}
{{- if or (not $port) (and (ge (atoi $port) 1) (le (atoi $port) 65535)) }}yes{{ end -}}
{{- end -}}
