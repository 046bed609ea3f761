"""The rules by which the kernel brings a Pod's connections to the proxy beside it: as values, as text of nftables and iptables, and set."""
