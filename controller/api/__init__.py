"""Frozen pydantic models of the Kubernetes and Gateway API objects that Tidegate reads, one module per family.

A Python attribute is the snake_case form of the Kubernetes field, the alias is the field itself; lists are tuples,
durations are integer milliseconds. What the API server would refuse (schema, enums, limits, CEL rules) is refused here;
what it accepts and a controller has to report by a condition is read as it is. `kinds` finds the model of a kind.
"""
