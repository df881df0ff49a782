"""The process that serves one chip: claims jobs, starts their processes, stops them."""
