"""Workload identity, the certificate authority, traffic capture and the sidecar: the east-west side of Tidegate."""
