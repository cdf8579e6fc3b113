{{/* Read and apply the CRD of RtpPool, by its name. */}}
{{- define "rtp-pool.crdRules" -}}
# A newer CRD than the one that Helm installed.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames: [rtppools.rtppool.dev]
  verbs: [get, patch]
{{- end -}}
