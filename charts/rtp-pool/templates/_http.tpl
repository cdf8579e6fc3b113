{{/* The name that the certificate in http.tlsSecret must have. Pods are reached by address, so their clients check this name. */}}
{{- define "rtp-pool.tlsName" -}}
{{- .Values.http.serverName | default (printf "%s.%s.svc" (include "rtp-pool.fullname" .) .Release.Namespace) -}}
{{- end -}}

{{/* The environment, the mount and the volume of the certificate. The operator also reads the authority. */}}
{{- define "rtp-pool.tlsEnvironment" -}}
{{- if .Values.http.tlsSecret }}
- {name: HTTP_TLS_DIR, value: /var/run/secrets/rtp-pool/tls}
{{- end }}
{{- end -}}
{{- define "rtp-pool.tlsMount" -}}
{{- if .Values.http.tlsSecret }}
# A directory, because a file mounted by subPath never changes.
- {name: http-tls, mountPath: /var/run/secrets/rtp-pool/tls, readOnly: true}
{{- end }}
{{- end -}}
{{- define "rtp-pool.tlsVolume" -}}
{{- if .Values.http.tlsSecret }}
- name: http-tls
  secret: {secretName: {{ .Values.http.tlsSecret | quote }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{/* The end of a probe's httpGet. The kubelet checks no certificate. */}}
{{- define "rtp-pool.probeScheme" -}}
{{- if .Values.http.tlsSecret }}, scheme: HTTPS{{ end -}}
{{- end -}}

{{/* The environment, the mounts and the volumes of a program that asks relays: the token, and the authority of TLS. */}}
{{- define "rtp-pool.relayAccess" -}}
{{- if .Values.httpToken.enabled }}
- {name: RELAY_TOKEN_FILE, value: /var/run/secrets/rtp-pool/http/token}
{{- end }}
{{- if .Values.http.tlsSecret }}
- {name: RELAY_CA_FILE, value: /var/run/secrets/rtp-pool/tls/ca.crt}
- {name: RELAY_TLS_NAME, value: {{ include "rtp-pool.tlsName" . | quote }}}
{{- end }}
{{- end -}}
{{- define "rtp-pool.relayAccessMounts" -}}
{{- include "rtp-pool.tlsMount" . }}
{{- if .Values.httpToken.enabled }}
- {name: http-token, mountPath: /var/run/secrets/rtp-pool/http, readOnly: true}
{{- end }}
{{- end -}}
{{- define "rtp-pool.relayAccessVolumes" -}}
{{- include "rtp-pool.tlsVolume" . }}
{{- if .Values.httpToken.enabled }}
- name: http-token
  secret:
    secretName: {{ include "rtp-pool.tokenSecret" . | quote }}
    defaultMode: 0440
    items: [{key: token, path: token}]
{{- end }}
{{- end -}}
