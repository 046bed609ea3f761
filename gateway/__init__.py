"""The data plane: takes resources, serves traffic. Imports nothing of ours outside `gateway`."""
