"""Where exchanges go: backends, their endpoints, connection pools, balancing and the names of ExternalName Services."""
