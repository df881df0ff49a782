"""The protocol form: what a declaration must hold, couplings, several targets, files that a task makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from calibtasks.protocol import (
    DRIVE,
    HALF_PI,
    INTERVAL,
    READ,
    Artifact,
    Estimate,
    Figure,
    Fit,
    Lab,
    Param,
    Protocol,
    Quality,
    Sweep,
    Sweeps,
    Target,
    TaskType,
    Wait,
    of,
    shots_parameter,
)
from calibtasks.task import REGISTRY
from tests.backends.conftest import MakeBackend

PULSES = {"hpi_amplitude": 0.0313, "hpi_length": 32.0}
NUMBER = Param("number", "a.u.", -1, 1, "a number")
SETTINGS = {"shots": shots_parameter(100), "interval": INTERVAL}


class Probe(Protocol, register=False):
    """Measures two points; its fit is the mean, its file the letters of the qid."""

    settings: ClassVar = SETTINGS
    needs: ClassVar[Sequence[Param]] = (*DRIVE, *HALF_PI, *READ)
    yields = (NUMBER,)
    checks = ()

    def acquire(self, lab: Lab, targets: Sequence[Target]) -> Mapping[str, Mapping[str, Sweep]]:
        return {"probe": lab.sweep(targets, np.array([8.0, 800.0]), lambda _, wait: [Wait(wait)])}

    def fit(self, sweeps: Sweeps, target: Target) -> Fit:
        one = np.zeros(2)
        return Fit(Quality(1.0, 1.0, 1, one, one, converged=True, at_bound="", swing=1.0, noise=1.0))

    def values(self, fit: Fit, target: Target) -> Mapping[Param, Estimate]:
        return {NUMBER: Estimate(0.5, 0.1)}

    def figures(self, sweeps: Sweeps, fit: Fit, target: Target) -> list[Figure]:
        return []

    def artifacts(self, fit: Any, target: Target) -> list[Artifact]:
        return [Artifact("letters", target.qid.encode())]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    for name in ("Pair", "Own"):
        REGISTRY.forget(name)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"settings": {"shots": shots_parameter(1)}}, "expected 'interval' among them"),
        ({"needs": (*DRIVE, *HALF_PI)}, "expected readout_frequency among them"),
        (
            {"needs": of("target", (*DRIVE, *READ)), "task_type": TaskType.COUPLING},
            "expected qubit_frequency of the control qubit among them",
        ),
        ({"timeout": 0}, "expected seconds above 0"),
    ],
)
def test_a_declaration_that_cannot_be_measured_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        type("Own", (Probe,), given)


def test_a_coupling_drives_both_qubits_and_reads_the_one_asked_for(new_backend: MakeBackend) -> None:
    driven: list[tuple[str, ...]] = []

    class Pair(Probe):
        task_type = TaskType.COUPLING
        needs = (*of("control", (*DRIVE, *HALF_PI, *READ)), *of("target", (*DRIVE, *HALF_PI, *READ)))

        def acquire(self, lab: Lab, targets: Sequence[Target]) -> Mapping[str, Mapping[str, Sweep]]:
            def flipped(pair: Target, wait: float) -> list[Any]:
                driven.append((pair.control.qid, pair.target.qid))
                return [*pair.control.x180, Wait(wait)]

            points = np.array([8.0, 16.0])
            return {
                role: lab.sweep(targets, points, flipped, read=role, shots=2000)
                for role in ("control", "target")
            }

    backend = new_backend(("0", "1", "0-1"), stored={"0": PULSES, "1": PULSES})
    with backend:
        task = Pair()
        inputs = task.prepare(backend, "0-1").input_parameters
        data = task.measure(backend, ["0-1"])["0-1"].data
    assert {given.qid_role for given in inputs.values()} == {"control", "target"}
    assert set(driven) == {("0", "1")}
    control, target = (Sweep.from_dataset(data, role) for role in ("control", "target"))
    near_excited, far = (
        abs(control.iq - control.excited_iq.mean()),
        abs(control.iq - control.ground_iq.mean()),
    )
    assert np.all(near_excited < far)
    assert np.all(abs(target.iq - target.ground_iq.mean()) < abs(target.iq - target.excited_iq.mean()))


def test_targets_of_one_sweep_have_their_own_data_points_and_files(new_backend: MakeBackend) -> None:
    class Own(Probe):
        def acquire(self, lab: Lab, targets: Sequence[Target]) -> Mapping[str, Mapping[str, Sweep]]:
            points = {target.qid: np.array([8.0, 16.0]) * (1 + int(target.qid)) for target in targets}
            return {"own": lab.sweep(targets, points, lambda _, wait: [Wait(wait)])}

    backend = new_backend(("0", "4"), stored={"0": PULSES, "4": PULSES})
    with backend:
        task = Own()
        for qid in ("0", "4"):
            task.prepare(backend, qid)
        before = backend.hardware_seconds
        found = task.measure(backend, ["0", "4"])
        together = backend.hardware_seconds - before
    assert together < 2 * 2 * 100 * 153.6e-6, "the qubits were measured at the same time"
    for qid in ("0", "4"):
        sweep = Sweep.from_dataset(found[qid].data, "own")
        assert sweep.points.tolist() == [8.0 * (1 + int(qid)), 16.0 * (1 + int(qid))]
        assert task.analyse("x", qid, found[qid]).artifacts == [Artifact("letters", qid.encode())]
    assert not np.allclose(found["0"].data.values("own_iq"), found["4"].data.values("own_iq"))
