"""HTTP as bytes in, values out: heads, targets, fields, chunked coding. No sockets, no clock."""
