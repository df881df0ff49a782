"""The parameters that the project's tasks read and write, each declared once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from calibtasks.parameters.outputs import OutputParameter
from qdash_queue.domain import FiniteRange, ParameterModel


@dataclass(frozen=True)
class Param:
    """A calibrated parameter of a qubit or coupling.

    Attributes:
        name: under which it is stored; QDash's.
        unit: of value, limits and tolerance.
        low: least believable value.
        high: greatest believable value.
        words: description.
        aliases: other names of the same value; written beside ``name``, and read where ``name`` has no value.
        lifetime_hours: after which it is worth measuring again; None: set, not drifting.
        tolerance: change that spoils what was measured with it, in ``unit``; None: any.
        spoiled_by: parameters whose change makes this one suspect.
        exact: chosen and not measured, so that it needs no error.
        role: of a coupling's two qubits, whose it is: ``control``, ``target``, or empty for the target.
        is_optional: as a need: read where it is stored, else left out.
    """

    name: str
    unit: str
    low: float
    high: float
    words: str
    aliases: tuple[str, ...] = ()
    lifetime_hours: float | None = None
    tolerance: float | None = None
    spoiled_by: tuple[str, ...] = ()
    exact: bool = False
    role: str = ""
    is_optional: bool = False

    @property
    def key(self) -> str:
        """Its name among one task's inputs or outputs: with the role in front."""
        return f"{self.role}_{self.name}" if self.role else self.name

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which it is stored."""
        return (self.name, *self.aliases)

    def of(self, role: str) -> Param:
        """The same parameter of a coupling's ``control`` or ``target`` qubit."""
        return replace(self, role=role)

    def optional(self) -> Param:
        """The same parameter as a need that is read only where it is stored."""
        return replace(self, is_optional=True)

    def as_input(self) -> ParameterModel:
        """Its declaration as an input."""
        return ParameterModel(
            parameter_name=self.name, qid_role=self.role, unit=self.unit, description=self.words
        )

    def as_outputs(self) -> dict[str, OutputParameter]:
        """Its declaration as an output, once for each of its names."""
        prefix = f"{self.role}_" if self.role else ""
        return {
            f"{prefix}{name}": OutputParameter(
                parameter_name=name,
                qid_role=self.role,
                unit=self.unit,
                description=self.words,
                believable=FiniteRange(low=self.low, high=self.high),
                exact=self.exact,
            )
            for name in self.names
        }


def of(role: str, params: tuple[Param, ...]) -> tuple[Param, ...]:
    """The parameters of a coupling's ``control`` or ``target`` qubit."""
    return tuple(param.of(role) for param in params)


@cache
def declared() -> Mapping[str, Param]:
    """Every parameter of this module by each of its names."""
    params = [param for param in globals().values() if isinstance(param, Param)]
    return {name: param for param in params for name in param.names}


NOMINAL_RABI_MHZ: Final = 12.5
"""The Rabi frequency at the stored control amplitude."""

QUBIT_FREQUENCY: Final = Param(
    "qubit_frequency",
    "GHz",
    2,
    12,
    "0-1 transition frequency, carrier of the control pulses",
    aliases=("control_frequency",),
    lifetime_hours=6,
    tolerance=5e-4,
)
ANHARMONICITY: Final = Param(
    "anharmonicity", "GHz", -1, -0.05, "1-2 transition frequency less that of the 0-1 transition"
)
READOUT_FREQUENCY: Final = Param("readout_frequency", "GHz", 2, 20, "carrier of the readout pulse")
READOUT_AMPLITUDE: Final = Param("readout_amplitude", "a.u.", 1e-5, 1, "amplitude of the readout pulse")
READOUT_LENGTH: Final = Param("readout_length", "ns", 8, 1e5, "length of the readout pulse", exact=True)
CONTROL_AMPLITUDE: Final = Param(
    "control_amplitude",
    "a.u.",
    1e-4,
    0.99,
    "control amplitude that gives a Rabi frequency of 12.5 MHz",
    lifetime_hours=24,
)
MAXIMUM_RABI_FREQUENCY: Final = Param(
    "maximum_rabi_frequency", "MHz/a.u.", 10, 2e4, "Rabi frequency per control amplitude", lifetime_hours=24
)
RABI_FREQUENCY: Final = Param("rabi_frequency", "MHz", 2, 40, "Rabi frequency at this control amplitude")
RABI_AMPLITUDE: Final = Param("rabi_amplitude", "a.u.", 1e-9, 1e3, "half the oscillation")
RABI_PHASE: Final = Param(
    "rabi_phase", "a.u.", -math.pi, math.pi, "phase of the oscillation at zero pulse area, radians"
)
RABI_OFFSET: Final = Param("rabi_offset", "a.u.", -1e3, 1e3, "centre of the oscillation")
RABI_ANGLE: Final = Param(
    "rabi_angle", "degree", -360, 360, "rotation that brings the oscillation to the imaginary axis"
)
RABI_NOISE: Final = Param("rabi_noise", "a.u.", 1e-9, 1e3, "deviation of the points across the oscillation")
RABI_DISTANCE: Final = Param(
    "rabi_distance", "a.u.", -1e3, 1e3, "distance of the oscillation's line from the origin"
)
RABI_REFERENCE_PHASE: Final = Param(
    "rabi_reference_phase", "a.u.", -math.pi, math.pi, "phase of the undriven signal, radians"
)
HPI_AMPLITUDE: Final = Param(
    "hpi_amplitude",
    "a.u.",
    1e-4,
    1,
    "amplitude of the half-π pulse",
    lifetime_hours=12,
    spoiled_by=("qubit_frequency",),
)
HPI_LENGTH: Final = Param(
    "hpi_length", "ns", 24, 1000, "length of the half-π pulse", aliases=("hpi_duration",), exact=True
)
PI_AMPLITUDE: Final = Param(
    "pi_amplitude",
    "a.u.",
    1e-4,
    1,
    "amplitude of the π pulse",
    lifetime_hours=12,
    spoiled_by=("qubit_frequency",),
)
PI_LENGTH: Final = Param(
    "pi_length", "ns", 24, 1000, "length of the π pulse", aliases=("pi_duration",), exact=True
)
T1: Final = Param("t1", "μs", 0.1, 2000, "energy relaxation time", lifetime_hours=12)
T2_STAR: Final = Param("t2_star", "μs", 0.05, 2000, "dephasing time of a Ramsey fringe", lifetime_hours=12)
T2_ECHO: Final = Param("t2_echo", "μs", 0.05, 4000, "dephasing time of an echo", lifetime_hours=12)
RAMSEY_FREQUENCY: Final = Param("ramsey_frequency", "MHz", 0, 100, "frequency of the Ramsey fringe")

DRIVE: Final = (QUBIT_FREQUENCY,)
"""Needed by every drive."""
READ: Final = (READOUT_FREQUENCY, READOUT_AMPLITUDE, READOUT_LENGTH)
"""Needed by every readout."""
RABI: Final = (
    RABI_AMPLITUDE,
    RABI_FREQUENCY,
    RABI_PHASE,
    RABI_OFFSET,
    RABI_ANGLE,
    RABI_NOISE,
    RABI_DISTANCE,
    RABI_REFERENCE_PHASE,
    CONTROL_AMPLITUDE,
    MAXIMUM_RABI_FREQUENCY,
)
"""Set by a Rabi oscillation."""
THIRD_LEVEL: Final = (ANHARMONICITY.optional(),)
"""Makes the correction for a transmon's third level exact; without it that of a usual one is taken."""
HALF_PI: Final = (HPI_AMPLITUDE, HPI_LENGTH)
"""Needed by half-π pulses, and by a π pulse made of two."""
