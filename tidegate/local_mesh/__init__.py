"""`tidegate run --mesh`: Pods of files as processes of this machine, each with a sidecar, on loopback addresses, without capture."""
