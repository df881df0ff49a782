"""CreateHPIPulse: the amplitude of the half-π pulse."""

from __future__ import annotations

from typing import ClassVar

from calibtasks.parameters.declared import HPI_AMPLITUDE, HPI_LENGTH
from calibtasks.tasks.pulse.repeated_pulse import RepeatedPulse, duration


class CreateHPIPulse(RepeatedPulse):
    """Apply the half-π pulse four times with a varied amplitude; at the right one the qubit returns."""

    description = "Amplitude of the half-π pulse"
    what = "half-π pulse"
    count = 4
    amplitude, length, duration_setting = HPI_AMPLITUDE, HPI_LENGTH, "hpi_duration"
    settings: ClassVar = {"hpi_duration": duration("half-π pulse"), **RepeatedPulse.settings}
    yields = (HPI_AMPLITUDE, HPI_LENGTH)
