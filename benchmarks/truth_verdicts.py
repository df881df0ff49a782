"""Runs of a bench through the task's analysis and the gate, and what they say of the values accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.truth_bounds import bounds
from benchmarks.truth_cells import FREE, VALUES, Cell, Value
from benchmarks.truth_sampler import QID, Bench, Fault
from executors.backends.simchip.device import QubitTruth
from executors.engine.gate import judge, judge_data
from qdash_queue.domain import CalibrationError

Real = NDArray[np.float64]

SIGMAS = 5.0
SHARE = 0.05


@dataclass(frozen=True)
class Outcome:
    """One run: the cause of its refusal, or the accepted values and their errors by output."""

    cause: str
    found: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def outcome(bench: Bench, fault: Fault | None = None) -> Outcome:
    """Measure, analyse, judge. A task that raises anything but a CalibrationError has crashed."""
    qid = str(QID)
    try:
        data = bench.run(fault)
        failure = judge_data(bench.task, qid, data)
        if failure is not None:
            return Outcome(failure.cause)
        result = bench.task.analyse("truth", qid, data)
        failure = judge(bench.task, qid, result)
    except CalibrationError as error:
        return Outcome(error.failure.cause)
    except Exception as error:  # noqa: BLE001  # The report names it.
        return Outcome(f"crash: {type(error).__name__}")
    if failure is not None:
        return Outcome(failure.cause)
    return Outcome(
        "",
        {
            value.key: (float(given.value or np.nan), given.error)
            for value in VALUES[bench.task.name]
            for given in [result.output_parameters[value.key]]
        },
    )


@dataclass(frozen=True)
class Tally:
    """One value of one cell.

    Attributes:
        cell: that was run.
        value: of its task.
        runs: in all.
        causes: of the refusals.
        pulls: error of each accepted value in its own standard deviations, shape (n,).
        ratios: the same in bounds, shape (n,).
        means: the same in bounds without what the scatter tells, shape (n,).
    """

    cell: Cell
    value: Value
    runs: int
    causes: Counter[str]
    pulls: Real
    ratios: Real
    means: Real

    @property
    def refused(self) -> float:
        return 1 - self.pulls.size / self.runs

    @property
    def rmse(self) -> float:
        return float(np.sqrt(np.mean(self.ratios**2)))

    @property
    def rmse_of_means(self) -> float:
        return float(np.sqrt(np.mean(self.means**2)))

    def covered(self, sigmas: float) -> float:
        """Share of the accepted whose error bar of so many standard deviations holds the truth."""
        return float(np.mean(np.abs(self.pulls) <= sigmas))

    def missed(self) -> list[str]:
        """The bars that it misses."""
        strict = self.cell.is_default
        bars = {"RMSE": self.rmse <= (1.05 if strict else 1.10)}
        if strict:
            bars["mean"] = abs(float(self.pulls.mean())) <= 0.1
            bars["width"] = 0.95 <= float(self.pulls.std()) <= 1.05
        bars["coverage"] = abs(self.covered(1.0) - 0.683) <= (0.03 if strict else 0.05)
        return [name for name, is_met in bars.items() if not is_met]


def tally(cell: Cell, seeds: Sequence[int], runs: int) -> list[Tally]:
    """Run a cell, the runs shared by the qubits of the seeds; one tally for each value."""
    values = VALUES[cell.task]
    causes: Counter[str] = Counter()
    pulls: dict[str, list[float]] = {value.key: [] for value in values}
    ratios: dict[str, list[float]] = {value.key: [] for value in values}
    means: dict[str, list[float]] = {value.key: [] for value in values}
    each = -(-runs // len(seeds))
    for seed in seeds:
        bench = cell.bench(seed)
        outcomes = [outcome(bench) for _ in range(each)]
        least, of_means = (_bounds(bench, values, with_scatter=scatter) for scatter in (True, False))
        for found in outcomes:
            causes[found.cause] += 1
            for value in values if not found.cause else ():
                number, error = found.found[value.key]
                off = number - value.truth(bench.truth, bench.inputs)
                pulls[value.key].append(off / error)
                ratios[value.key].append(off / least[value.key])
                means[value.key].append(off / of_means[value.key])
    del causes[""]
    return [
        Tally(
            cell,
            value,
            each * len(seeds),
            causes,
            *(np.array(found[value.key]) for found in (pulls, ratios, means)),
        )
        for value in values
    ]


def _bounds(bench: Bench, values: Sequence[Value], *, with_scatter: bool) -> dict[str, float]:
    executions = [execution for plan in bench.lab.asked for execution in plan.executions]
    quantities = {value.key: lambda truth, value=value: value.truth(truth, bench.inputs) for value in values}
    free = FREE.get(bench.task.name)
    return bounds(
        bench.truth, executions, bench.lab.readout, quantities, free=free, with_scatter=with_scatter
    )


def wrong(task: str, inputs: Mapping[str, float], found: Outcome, truths: Sequence[QubitTruth]) -> list[str]:
    """The accepted values that are worse than 5 of their errors and 5 % (or the value's own tolerance)."""
    if found.cause:
        return []
    return [
        value.label
        for value in VALUES[task]
        if all(_is_wrong(value, *found.found[value.key], value.truth(truth, inputs)) for truth in truths)
    ]


def _is_wrong(value: Value, number: float, error: float, truth: float) -> bool:
    off = abs(number - truth)
    tolerance = SHARE * abs(truth) if value.tolerance is None else value.tolerance
    return not (off <= SIGMAS * error or off <= tolerance)
