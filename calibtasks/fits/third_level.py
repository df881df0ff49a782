"""The third level of a driven transmon, by its anharmonicity.

In the frame of a drive of Rabi frequency Ω, off by Δ, level 2 lies α - 2Δ from level 0 and is coupled with
g = Ω/√2 to level 1. It raises the driven transition by Ω²/2|α|, and, because level 1 keeps only the part
1 - g²/α² of itself, slows the drive by the part g²/2α² = Ω²/4α² (second order in g/α; a transmon's α is
-E_C: Koch et al., Phys. Rev. A 76, 042319, 2007).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from calibtasks.fits.fit import Estimate, Real
from calibtasks.measure.targets import Qubit
from calibtasks.parameters.declared import ANHARMONICITY
from calibtasks.results import missing_input

TYPICAL_ANHARMONICITY: Final = Estimate(-0.3, 0.06)
"""GHz: of a transmon of which it is not stored; the deviation is that of an even spread from -0.4 to -0.2."""
STORED_PART: Final = 0.02
"""Error of a stored anharmonicity without one, in parts of it: about that of a design."""
_ROUNDS: Final = 6


def anharmonicity(qubit: Qubit) -> Estimate:
    """GHz; a usual transmon's where none is stored.

    Raises CalibrationError (``missing_input``) on one that no transmon has.
    """
    given = qubit.inputs.get(ANHARMONICITY.name)
    if given is None:
        return TYPICAL_ANHARMONICITY
    value = qubit.value(ANHARMONICITY.name)
    if not ANHARMONICITY.low <= value <= ANHARMONICITY.high:
        raise missing_input(
            f"qubit {qubit.qid}: expected anharmonicity from {ANHARMONICITY.low:g} to"
            f" {ANHARMONICITY.high:g} GHz, got {value:g}",
            "strange_value",
            "store the transmon's anharmonicity, which is negative",
        )
    return Estimate(value, given.error or STORED_PART * abs(value))


def turning_frequency(rabi: float, detuning: float, anharmonicity: float) -> float:
    """At which level 0 comes back in a steady drive, all in one unit.

    ``detuning`` is the drive's frequency minus the qubit's. The result is the splitting of the two
    eigenstates that hold most of level 0.
    """
    up = rabi / np.sqrt(2)
    energies, states = np.linalg.eigh(
        [[0.0, rabi / 2, 0.0], [rabi / 2, -detuning, up], [0.0, up, anharmonicity - 2 * detuning]]
    )
    first, second = np.argsort(states[0] ** 2)[-2:]
    return float(abs(energies[first] - energies[second]))


def resonant_rabi(rabi: float, effective_detuning: float, anharmonicity: float) -> float:
    """The Rabi frequency Ω of a drive that turns a two-level system as if with ``rabi``.

    ``effective_detuning`` is that of the driven qubit. Iterated, because the shift depends on Ω.
    """
    seen, found = np.hypot(rabi, effective_detuning), rabi
    for _ in range(_ROUNDS):
        detuning = effective_detuning + found**2 / (2 * abs(anharmonicity))
        found *= seen / turning_frequency(found, detuning, anharmonicity)
    return float(found)


def driven(height: Real, ratio: float) -> tuple[Real, Real]:
    """Strength of the drive and shift of its detuning at such heights, in the same unit.

    ``ratio`` is the Rabi frequency at height 1 over the anharmonicity.
    """
    squared = (ratio * height) ** 2
    return height * (1 - squared / 4), -abs(ratio) * height**2 / 2
