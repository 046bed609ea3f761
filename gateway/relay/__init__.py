"""Connections passed on byte for byte, and flows of datagrams: what becomes of the traffic of TCPRoutes, TLSRoutes and UDPRoutes."""
