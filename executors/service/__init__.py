"""What flow authors use: a calibration session with a verdict, and the hook for cancels."""
