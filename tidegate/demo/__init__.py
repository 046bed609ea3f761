"""`tidegate run --demo-backends`: small backends for trying a configuration, in a process of their own."""
