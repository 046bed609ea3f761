{{/* The controller finds its Service, Lease and Secret by these names, so one installation a namespace. */}}
{{- define "tidegate.name" -}}tidegate-controller{{- end }}

{{/* Of objects of the whole cluster. */}}
{{- define "tidegate.clusterName" -}}tidegate-controller-{{ .Release.Namespace }}{{- end }}

{{/* The controller knows its webhook configuration by this name. */}}
{{- define "tidegate.injectionName" -}}tidegate-injection-{{ .Release.Namespace }}{{- end }}

{{- define "tidegate.selector" -}}
app.kubernetes.io/name: tidegate-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tidegate.labels" -}}
{{ include "tidegate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tidegate
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "tidegate.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}
