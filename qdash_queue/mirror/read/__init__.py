"""What the mirror reads from PostgreSQL."""
