"""Hostile input against the queue's interfaces: refused in words, accepted rightly, and nothing else."""
