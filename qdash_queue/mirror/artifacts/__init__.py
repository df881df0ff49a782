"""Figures and raw data as files and in GridFS."""
