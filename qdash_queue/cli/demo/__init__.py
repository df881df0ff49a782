"""The demo: two jobs on a simulated chip, from nothing."""
