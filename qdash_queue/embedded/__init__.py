"""Real servers in private directories for the demo and for tests: PostgreSQL, MongoDB, Prefect's.

Each is a process of its own, with a watchdog that ends it when its owner ends. Nothing here imports Prefect.
"""
