{{/* Refuse images that no node can pull, or that no runtime can name. */}}
{{- define "rtp-pool.refuseImages" -}}
{{- $registry := include "rtp-pool.registry" . -}}
{{- $key := ternary "global.imageRegistry" "image.registry" (ne .Values.global.imageRegistry "") -}}
{{- if and $registry (not (regexMatch "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$" $registry)) -}}
{{- fail (printf "%s is %s; accepted is HOST[:PORT][/PATH] without a scheme, for example registry.example.com/voice" $key $registry) -}}
{{- end -}}
{{- include "rtp-pool.refuseTag" (list "image.tag" .Values.image.tag) -}}
{{- range $name := list "echo" "relay" "operator" -}}
{{- $own := (index $.Values $name).image -}}
{{- $repository := printf "%s.image.repository" $name -}}
{{- if not (regexMatch "^([A-Za-z0-9.-]+(:[0-9]{1,5})?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$" $own.repository) -}}
{{- fail (printf "%s is %s; accepted is [HOST/]PATH in lower case, without a tag, for example rtp-pool/echo" $repository $own.repository) -}}
{{- end -}}
{{- if not (or $registry (eq $.Values.image.pullPolicy "Never") (regexMatch "^([^/]*[.:][^/]*|localhost)/" $own.repository)) -}}
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
