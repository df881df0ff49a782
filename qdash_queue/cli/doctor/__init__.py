"""The doctor's checks, one module for each server or subject."""
