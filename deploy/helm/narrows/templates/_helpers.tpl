{{/*
The objects of a manifest, as `items`. They are those of kustomize's base and components; the templates only change them.
Takes the context and the path of a file in deploy/kubernetes.
*/}}
{{- define "narrows.manifest" -}}
{{- $context := index . 0 -}}
{{- $file := index . 1 | printf "kubernetes/%s" -}}
{{- $items := list -}}
{{- range $context.Files.Get $file | required (printf "the chart has no %s: it was copied without what its links point to; install the packaged chart (`helm package deploy/helm/narrows`)" $file) | splitList "\n---\n" -}}
{{- $items = fromYaml . | append $items -}}
{{- end -}}
{{- dict "items" $items | toYaml -}}
{{- end -}}

{{/*
An object as kustomize completes it: in the release's namespace, with the labels of the base. Takes the context and the object.
*/}}
{{- define "narrows.object" -}}
{{- $context := index . 0 -}}
{{- $object := index . 1 -}}
{{- $metadata := $object.metadata -}}
{{- $own := list nil "narrows" -}}
{{- if eq $object.kind "Namespace" -}}
{{- $_ := set $metadata "name" $context.Release.Namespace -}}
{{- else if and (has $metadata.namespace $own) (not (has $object.kind (list "ClusterRole" "ClusterRoleBinding" "PriorityClass" "SecurityContextConstraints"))) -}}
{{- $_ := set $metadata "namespace" $context.Release.Namespace -}}
{{- end -}}
{{- range $object.subjects -}}
{{- $_ := set . "namespace" $context.Release.Namespace -}}
{{- end -}}
{{- $labels := dict "app.kubernetes.io/name" "narrows" "app.kubernetes.io/component" "agent" -}}
{{- $_ := merge (dict) (default dict $metadata.labels) $labels | set $metadata "labels" }}
---
{{ toYaml $object }}
{{- end -}}

{{/*
All objects of a manifest, unchanged but for namespace and labels. Takes what narrows.manifest takes.
*/}}
{{- define "narrows.objects" -}}
{{- $context := index . 0 -}}
{{- range (include "narrows.manifest" . | fromYaml).items -}}
{{- include "narrows.object" (list $context .) }}
{{- end -}}
{{- end -}}

{{- define "narrows.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The image's fields of a container. Takes the context and the container.
*/}}
{{- define "narrows.setImage" -}}
{{- $context := index . 0 -}}
{{- $container := index . 1 -}}
{{- $_ := include "narrows.image" $context | set $container "image" -}}
{{- with $context.Values.image.pullPolicy -}}
{{- $_ := set $container "imagePullPolicy" . -}}
{{- end -}}
{{- end -}}

{{/*
A config map whose name ends in a hash of its content, so that another content causes a roll-out. The hash is kustomize's, so that
both give the same name; kustomize means to hash the name as well, and hashes an empty one. Takes a name and the data.
*/}}
{{- define "narrows.hashedConfigMap" -}}
{{- $name := index . 0 -}}
{{- $data := index . 1 -}}
{{- $hash := dict "kind" "ConfigMap" "name" "" "data" $data | toJson | sha256sum | trunc 10 -}}
{{- $hash = $hash | replace "0" "g" | replace "1" "h" | replace "3" "k" | replace "a" "m" | replace "e" "t" -}}
{{- dict "apiVersion" "v1" "kind" "ConfigMap" "metadata" (dict "name" (printf "%s-%s" $name $hash)) "data" $data | toYaml -}}
{{- end -}}

{{- define "narrows.config" -}}
{{- $text := .Values.config | default (.Files.Get "kubernetes/config.yaml") -}}
{{- include "narrows.hashedConfigMap" (list "narrows" (dict "config.yaml" $text)) -}}
{{- end -}}

{{- define "narrows.seccompProfile" -}}
{{- $text := .Files.Get "kubernetes/components/seccomp-profile/narrows.json" -}}
{{- include "narrows.hashedConfigMap" (list "narrows-seccomp" (dict "narrows.json" $text)) -}}
{{- end -}}
