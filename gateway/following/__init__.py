"""A data plane that follows a controller: the connection, what the controller wants, ports, what serves it, and the snapshot on disk."""
