"""Sockets, TLS and what is decided before a connection has a protocol: listening, the ClientHello, contexts, handshakes.

Nothing here knows HTTP beyond the refusal of plain text on a TLS port. Everything that waits has a deadline, and every
failure is counted by reason.
"""
