"""The control plane: reads Kubernetes and Gateway API objects, translates them to resources and reports their status."""
