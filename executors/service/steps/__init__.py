"""The steps of a calibration, under QDash's names."""

from executors.service.steps.base import Step, StepContext
from executors.service.steps.filters import FilterByMetric, FilterByStatus
from executors.service.steps.one_qubit import (
    BringUp,
    ConfigureAll,
    CustomOneQubit,
    ExperimentalSimultaneousBringUp,
    OneQubitCheck,
    OneQubitFineTune,
)
from executors.service.steps.two_qubit import (
    CustomTwoQubit,
    GenerateCRSchedule,
    SetCRSchedule,
    TwoQubitCalibration,
)

__all__ = [
    "BringUp",
    "ConfigureAll",
    "CustomOneQubit",
    "CustomTwoQubit",
    "ExperimentalSimultaneousBringUp",
    "FilterByMetric",
    "FilterByStatus",
    "GenerateCRSchedule",
    "OneQubitCheck",
    "OneQubitFineTune",
    "SetCRSchedule",
    "Step",
    "StepContext",
    "TwoQubitCalibration",
]
