"""CreatePIPulse: the amplitude of the π pulse."""

from __future__ import annotations

from typing import ClassVar

from calibtasks.parameters.declared import PI_AMPLITUDE, PI_LENGTH
from calibtasks.tasks.pulse.repeated_pulse import RepeatedPulse, duration


class CreatePIPulse(RepeatedPulse):
    """Apply the π pulse twice with a varied amplitude; at the right one the qubit returns."""

    description = "Amplitude of the π pulse"
    what = "π pulse"
    count = 2
    amplitude, length, duration_setting = PI_AMPLITUDE, PI_LENGTH, "pi_duration"
    settings: ClassVar = {"pi_duration": duration("π pulse"), **RepeatedPulse.settings}
    yields = (PI_AMPLITUDE, PI_LENGTH)
