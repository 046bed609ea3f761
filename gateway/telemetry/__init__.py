"""What the data plane tells about its traffic: counters on the hot path, sums over workers, the text of /metrics, the access log."""
