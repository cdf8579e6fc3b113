{{/* Refuse objects whose CRD is missing, and labels that no object can have. */}}
{{- define "rtp-pool.refuseMonitoring" -}}
{{- $metrics := .Values.metrics -}}
{{- include "rtp-pool.refuseMissingCrd" (list . "metrics.podMonitor" $metrics.podMonitor.enabled "PodMonitor") -}}
{{- include "rtp-pool.refuseMissingCrd" (list . "metrics.rules" $metrics.rules.enabled "PrometheusRule") -}}
{{- include "rtp-pool.refuseLabels" (list "metrics.podMonitor.labels" $metrics.podMonitor.labels) -}}
{{- include "rtp-pool.refuseLabels" (list "metrics.rules.labels" $metrics.rules.labels) -}}
{{- include "rtp-pool.refuseLabels" (list "metrics.dashboard" (dict $metrics.dashboard.label $metrics.dashboard.labelValue)) -}}
{{- range $key := keys $metrics.dashboard.annotations | sortAlpha -}}
{{- if not (include "rtp-pool.isLabelKey" $key) -}}
{{- fail (printf "metrics.dashboard.annotations has the key %s; accepted are keys such as grafana_folder" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
(list . KEY ENABLED KIND). A cluster lists each kind. Without a cluster, `--api-versions` names the group alone or each
kind, and Argo CD passes both.
*/}}
{{- define "rtp-pool.refuseMissingCrd" -}}
{{- $root := index . 0 -}}
{{- $key := index . 1 -}}
{{- $kind := index . 3 -}}
{{- $group := "monitoring.coreos.com/v1" -}}
{{- $offered := $root.Capabilities.APIVersions -}}
{{- if and (index . 2) (not ($offered.Has (printf "%s/%s" $group $kind))) -}}
{{- if lookup "v1" "Namespace" "" "kube-system" -}}
{{- fail (printf "%s.enabled is true, and the cluster has no CRD of %s; accepted is false, or true after the installation of Prometheus Operator with its CRDs" $key $kind) -}}
{{- else if not ($offered.Has $group) -}}
{{- fail (printf "%s.enabled is true, and the chart renders without a cluster and without --api-versions %s/%s; accepted is false, or that option for a cluster that has Prometheus Operator" $key $group $kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
