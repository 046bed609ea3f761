"""Translation of Kubernetes and Gateway API objects to resources and statuses: units of the graph, all pure functions of a key and a View.

`units` lists them, with the indexes and tallies that they use. One module answers one question; what several of them
need stands in `options`, `objects`, `conditions` and `statuses`.
"""
