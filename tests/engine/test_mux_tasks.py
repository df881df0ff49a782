"""A task about a multiplexer: its qubits are read together, and each gets a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from calibtasks.measure.sweep import Sweep
from calibtasks.protocol import (
    DRIVE,
    INTERVAL,
    READ,
    Estimate,
    Figure,
    Fit,
    Lab,
    Param,
    Protocol,
    Quality,
    Sweeps,
    Target,
    Wait,
    shots_parameter,
)
from calibtasks.task import REGISTRY
from qdash_queue.domain import ParameterModel, TaskType
from tests.engine.world import World


class MuxLevels(Protocol, register=False):
    """The undriven signal's amplitude of every qubit of a multiplexer, read together."""

    name = "MuxLevels"
    task_type = TaskType.MUX
    needs: ClassVar[Sequence[Param]] = (*DRIVE, *READ)
    settings: ClassVar = {"shots": shots_parameter(200), "interval": INTERVAL}
    yields: ClassVar[Sequence[Param]] = (Param("readout_level", "a.u.", 0, 100, "amplitude of the signal"),)
    checks = ()

    def acquire(self, lab: Lab, targets: Sequence[Target]) -> Mapping[str, Mapping[str, Sweep]]:
        points = np.array([8.0, 16.0])
        return {
            member: lab.sweep(targets, points, lambda _, wait: [Wait(wait)], read=member)
            for member in targets[0].qubits
        }

    def fit(self, sweeps: Sweeps, target: Target) -> Fit:
        none = np.zeros(2)
        return Levels(
            Quality(1.0, 1.0, 1, none, none, converged=True, at_bound="", swing=1.0, noise=1.0),
            {member: float(abs(sweep.iq.mean())) for member, sweep in sweeps.items()},
        )

    def values(self, fit: Levels, target: Target) -> Mapping[Param, Estimate]:
        (level,) = self.yields
        return {level.of(member): Estimate(value, 0.01) for member, value in fit.levels.items()}

    def figures(self, sweeps: Sweeps, fit: Fit, target: Target) -> list[Figure]:
        return []


@dataclass(frozen=True)
class Levels(Fit):
    levels: Mapping[str, float]


def test_a_task_about_a_multiplexer_gives_each_of_its_qubits_a_value(world: World) -> None:
    class Registered(MuxLevels):
        name = "MuxLevels"

    try:
        with world.job(["CheckRabi"], ["4", "5", "6", "7"]) as job:
            outputs = world.session(["4", "5", "6", "7"]).run_task("MuxLevels", "1")
    finally:
        REGISTRY.forget("MuxLevels")
    assert set(outputs) == {"task_id", *(f"{qid}_readout_level" for qid in "4567")}
    for qid in "4567":
        stored = world.value(qid, "readout_level")
        given = outputs[f"{qid}_readout_level"]
        assert stored is not None
        assert isinstance(given, ParameterModel)
        assert stored.value == given.value
    (run,) = world.queue.task_runs(job.claimed.job_id)
    assert (run.task_type, run.qid, run.status) == ("mux", "1", "completed")
