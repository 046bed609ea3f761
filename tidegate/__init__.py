"""Tidegate: the command line (`tidegate.cli`), and the only place where gateway, controller and mesh are put together.

For programs: `tidegate.run.run` serves, `tidegate.check.check` judges files, `tidegate.explain.explain_files` says what would
happen to a request. Nothing is imported here, so that each role loads only what it needs.
"""
