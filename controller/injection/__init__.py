"""What the leader keeps in the cluster so that sidecars get into Pods: authorities for namespaces, and for the webhook's callers."""
