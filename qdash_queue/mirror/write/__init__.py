"""What the mirror writes into MongoDB."""
