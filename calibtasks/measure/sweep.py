"""One target's data of a sweep: points in slices, each slice with its reference points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibtasks.dataset import Dataset, MeasuredArray

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Sweep:
    """Averaged IQ of n points, measured in m slices one after another.

    Attributes:
        points: what was varied, shape (n,), in ``unit``.
        unit: of the points.
        iq: averaged signal, shape (n,), a.u.
        slices: the slice of each point, shape (n,), 0 to m - 1 in the order of time.
        ground_iq: signal of a shot without a drive in each slice, shape (m,).
        excited_iq: signal after a π pulse in each slice, shape (m,); empty when no trusted pulse was stored.
        shots: per point.
        reference_shots: per reference point of each slice, shape (m,).
        recovery: time from the end of a sequence to the start of the next one's, in ns: readout and interval.
    """

    points: Real
    unit: str
    iq: Complex
    slices: NDArray[np.int64]
    ground_iq: Complex
    excited_iq: Complex
    shots: int
    reference_shots: Real
    recovery: float

    def arrays(self, name: str) -> list[MeasuredArray]:
        """The sweep as named arrays, to be stored."""
        described = {
            "points": (self.points, self.unit, "what was varied"),
            "iq": (self.iq, "a.u.", "averaged IQ signal"),
            "slices": (self.slices, "", "slice of each point, in the order of time"),
            "ground_iq": (self.ground_iq, "a.u.", "IQ signal without a drive, once a slice"),
            "excited_iq": (self.excited_iq, "a.u.", "IQ signal after a π pulse, once a slice"),
            "reference_shots": (self.reference_shots, "", "shots of each reference point"),
            "shots": (np.array([self.shots]), "", "shots of each point"),
            "recovery": (np.array([self.recovery]), "ns", "readout and interval"),
        }
        return [
            MeasuredArray(f"{name}_{key}", values, unit, words)
            for key, (values, unit, words) in described.items()
            if values.size
        ]

    @classmethod
    def from_dataset(cls, dataset: Dataset, name: str) -> Sweep:
        """The sweep back from its arrays; KeyError when one is missing."""

        def values(key: str) -> NDArray[Any]:
            return dataset.values(f"{name}_{key}")

        has_excited = f"{name}_excited_iq" in dataset
        return cls(
            points=np.asarray(values("points"), dtype=np.float64),
            unit=dataset[f"{name}_points"].unit,
            iq=np.asarray(values("iq"), dtype=np.complex128),
            slices=np.asarray(values("slices"), dtype=np.int64),
            ground_iq=np.asarray(values("ground_iq"), dtype=np.complex128),
            excited_iq=np.asarray(values("excited_iq") if has_excited else [], dtype=np.complex128),
            shots=int(values("shots")[0]),
            reference_shots=np.asarray(values("reference_shots"), dtype=np.float64),
            recovery=float(values("recovery")[0]),
        )


def names_of(dataset: Dataset) -> list[str]:
    """The names of the sweeps in a dataset, in order."""
    return [array.name.removesuffix("_iq") for array in dataset if _is_signal(array.name)]


def _is_signal(name: str) -> bool:
    return name.endswith("_iq") and not name.endswith(("_ground_iq", "_excited_iq"))
