"""The control plane in a cluster: `tidegate controller`."""
