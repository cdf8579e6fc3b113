{{/* Read, create and apply the CRD of RtpPool, by its name. */}}
{{- define "rtp-pool.crdRules" -}}
# The CRD, where it is missing or older. An apply has the name, so even its creation is granted by name.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames: [rtppools.rtppool.dev]
  verbs: [get, patch, create]
{{- end -}}

{{/* Read the CRD of RtpPool, which an administrator applies (crds.install is false). */}}
{{- define "rtp-pool.crdReadRules" -}}
# The CRD, to wait for one that is missing or older.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames: [rtppools.rtppool.dev]
  verbs: [get]
{{- end -}}
