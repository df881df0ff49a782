"""Hostile input against the queue's faces: refused in words, accepted rightly, and nothing else."""
