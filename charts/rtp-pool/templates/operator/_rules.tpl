{{/* Reading and applying the definition of RtpPool, by its name. */}}
{{- define "rtp-pool.crdRules" -}}
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames: [rtppools.rtppool.dev]
  verbs: [get, patch]
{{- end -}}
