{{/* The labels of an object that another program selects: (list . "relay" LABELS). LABELS take precedence over commonLabels. */}}
{{- define "rtp-pool.monitoringLabels" -}}
{{- $own := include "rtp-pool.labels" . | fromYaml -}}
{{- mergeOverwrite $own (index . 2) | toYaml -}}
{{- end -}}
