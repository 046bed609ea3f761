"""HTTP/2 on both sides of an exchange (RFC 9113): one connection carries many streams, each a ClientStream or a BackendStream."""
