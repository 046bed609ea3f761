"""Resources, filters and batches: the contract between the controller, which writes them, and the data plane, which owns them.

Everything here is a frozen value that survives JSON unchanged. Durations are whole milliseconds. Names of objects appear
only in `Source`, for logs and explanations; keys are opaque to the data plane.
"""
