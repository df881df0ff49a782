"""Real servers in private directories: PostgreSQL, MongoDB and Prefect's, for the demo and for tests.

Each is a process of its own, kept by a guard that ends it when its owner ends. Nothing here imports Prefect.
"""
