"""The verbs of the queue, typed, over SQLAlchemy Core and psycopg."""
