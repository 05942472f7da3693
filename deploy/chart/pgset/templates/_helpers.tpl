{{- /* The image by its digest, where that is given, or else by its tag. */ -}}
{{- define "pgset.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ printf "%s@%s" .repository .digest }}
{{- else }}{{ printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Of every object, beside its name, its instance and its component. No selector asks for them. */ -}}
{{- define "pgset.labels" -}}
app.kubernetes.io/part-of: pgset
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Where an alert's part of docs/alerts.md is; empty where nobody says where that is shown. */ -}}
{{- define "pgset.runbook" -}}
{{- with (index . 0).Values.prometheusRule.runbookUrl }}{{ printf "%s#%s" . (index $ 1) }}{{ end }}
{{- end }}
