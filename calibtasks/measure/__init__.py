"""How the tasks measure: pulses, sweeps, IQ data and their raw data sets."""
