{{/* What is read of a namespace. Secrets are always asked for with the field selector type=kubernetes.io/tls, which RBAC cannot say. */}}
{{- define "tidegate.rights.read" -}}
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways, listenersets, httproutes, grpcroutes, tlsroutes, tcproutes, udproutes, referencegrants, backendtlspolicies]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.x-k8s.io]
  resources: [xbackendtrafficpolicies]
  verbs: [get, list, watch]
- apiGroups: [tidegate.dev]
  resources: [gatewayparameters, listenerpolicies, backendpolicies]
  verbs: [get, list, watch]
- apiGroups: [security.istio.io]
  resources: [authorizationpolicies, requestauthentications{{ if .Values.mesh.enabled }}, peerauthentications{{ end }}]
  verbs: [get, list, watch]
{{- if .Values.mesh.enabled }}
- apiGroups: [networking.istio.io]
  resources: [serviceentries]
  verbs: [get, list, watch]
{{- end }}
- apiGroups: [""]
  resources: [services, configmaps, secrets{{ if .Values.mesh.enabled }}, pods{{ end }}]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
{{- end }}

{{/* The statuses that say what became of an object. */}}
{{- define "tidegate.rights.status" -}}
- apiGroups: [gateway.networking.k8s.io]
  resources:
    - gateways/status
    - listenersets/status
    - httproutes/status
    - grpcroutes/status
    - tlsroutes/status
    - tcproutes/status
    - udproutes/status
    - backendtlspolicies/status
  verbs: [patch, update]
- apiGroups: [gateway.networking.x-k8s.io]
  resources: [xbackendtrafficpolicies/status]
  verbs: [patch, update]
- apiGroups: [tidegate.dev]
  resources: [listenerpolicies/status, backendpolicies/status]
  verbs: [patch, update]
- apiGroups: [security.istio.io]
  resources: [authorizationpolicies/status, requestauthentications/status{{ if .Values.mesh.enabled }}, peerauthentications/status{{ end }}]
  verbs: [patch, update]
{{- if .Values.mesh.enabled }}
- apiGroups: [networking.istio.io]
  resources: [serviceentries/status]
  verbs: [patch, update]
{{- end }}
{{- end }}

{{/* A data plane for each Gateway. Whoever owns an object by blockOwnerDeletion needs the last (OwnerReferencesPermissionEnforcement). */}}
{{- define "tidegate.rights.deploy" -}}
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [create, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways/finalizers]
  verbs: [update]
{{- end }}

{{/* What belongs to no namespace: classes, meshes, the labels of Namespaces, and whether a proxy is who it says. */}}
{{- define "tidegate.rights.cluster" -}}
- apiGroups: [gateway.networking.k8s.io]
  resources: [gatewayclasses]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gatewayclasses/status]
  verbs: [patch, update]
{{- if .Values.mesh.enabled }}
- apiGroups: [gateway.networking.x-k8s.io]
  resources: [xmeshes]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.x-k8s.io]
  resources: [xmeshes/status]
  verbs: [patch, update]
{{- end }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- if .Values.mesh.enabled }}
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  resourceNames: [{{ include "tidegate.injectionName" . }}]
  verbs: [list, watch, patch]
{{- end }}
{{- end }}
