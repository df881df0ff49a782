"""What anybody says to the queue of calibrations: typed verbs, errors, settings, the command line."""
