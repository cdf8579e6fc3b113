{{/* A warning where the namespace enforces a level of Pod Security that refuses the pods of relay and echo. */}}
{{- define "rtp-pool.refusedPods" -}}
{{- $labels := dig "metadata" "labels" dict (lookup "v1" "Namespace" "" .Release.Namespace) -}}
{{- $level := get $labels "pod-security.kubernetes.io/enforce" -}}
{{- if has $level (list "baseline" "restricted") -}}
WARNING: namespace {{ .Release.Namespace }} enforces the Pod Security level {{ $level }}. The API server refuses every pod of relay and echo
there, although this release succeeded. Set the level privileged with the command below.
{{- end -}}
{{- end -}}
