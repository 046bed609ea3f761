"""Objects from the API server of a cluster, and the little that is asked of it besides (`tidegate controller`)."""
