"""How a sidecar gets into a Pod: what becomes of a Pod is pure (inject.py and what it uses), webhook.py serves it to the API server."""
