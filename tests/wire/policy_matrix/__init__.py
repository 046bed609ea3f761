"""The matrix of mesh policy: an application that keeps what reaches it, sidecars around it, callers, and an oracle of what Istio says."""
