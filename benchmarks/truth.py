"""Whether the values that the tasks accept are true: errors against the hidden truth, and broken runs.

    python -m benchmarks truth [--runs 1000] [--default-runs 4000] [--broken 2000] [--task CheckT1 ...]
                               [--cell TEXT] [--seeds 8]

A cell is a task on qubits, inputs and settings of one kind. RMSE is in parts of the Cramér-Rao bound of all
the data taken, everything else free; pull is the error in standard deviations as stated. Bars: RMSE 1.05,
|mean| 0.1, width 0.95 to 1.05, 68.3 ± 3 % at the default; RMSE 1.10 and 68.3 ± 5 % elsewhere. A broken run
is wrong when a value is accepted that is off by more than 5 of its errors and 5 % (a qubit's frequency 50
kHz); at most 0.2 % may be, and at most 0.5 % of the good runs refused. Data are exact draws, without
qubex's instrument below the pulse program; figures are not drawn.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pkgutil import walk_packages
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.truth_cells import Cell
    from benchmarks.truth_verdicts import Tally

BAR_WRONG, BAR_REFUSED = 0.002, 0.005
LEAST_ACCEPTED = 30
"""Fewer accepted values are no statistics."""


def main() -> None:
    # Before numpy is imported: its threads cost more than they bring on matrices this small.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from benchmarks.truth_cells import VALUES, cells, protocol

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000, help="of a cell")
    parser.add_argument("--default-runs", type=int, default=4000, help="of a default cell")
    parser.add_argument("--broken", type=int, default=2000, help="broken runs in all")
    parser.add_argument("--task", nargs="+", default=list(VALUES), choices=list(VALUES))
    parser.add_argument("--cell", default="", help="only cells whose name holds this")
    parser.add_argument("--seeds", type=int, default=8, help="qubits that share a cell's runs")
    given = parser.parse_args()
    _prepare()
    ready = []
    for name in given.task:
        try:
            protocol(name)
        except LookupError as error:
            print(f"NOT MEASURED: {error}", flush=True)
        else:
            ready.append(name)
    chosen = [cell for cell in cells() if cell.task in ready and given.cell in cell.name]
    tallies = _table(chosen, given)
    _good(tallies)
    if given.broken:
        _broken(ready, given.broken)
    if len(ready) < len(given.task):
        raise SystemExit("some tasks were not measured")


def _prepare() -> None:
    """Define every task; set the simulated instrument's sampling period, as connecting to it does."""
    from qubex.pulse import set_sampling_period

    from benchmarks.truth_sampler import SAMPLE_NS
    from calibtasks import tasks

    for module in walk_packages(tasks.__path__, f"{tasks.__name__}."):
        import_module(module.name)
    set_sampling_period(SAMPLE_NS)


def _table(chosen: Sequence[Cell], given: argparse.Namespace) -> list[Tally]:
    from benchmarks.truth_verdicts import tally

    print(
        "| task, cell | value | refused % | RMSE/bound | of the means | pull mean, width | 68 / 95 % |"
        " missed bars | CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    tallies = []
    for cell in chosen:
        begin = time.process_time()
        runs = given.default_runs if cell.is_default else given.runs
        found = tally(cell, range(given.seeds), runs)
        seconds = time.process_time() - begin
        for each in found:
            print(_row(each, seconds), flush=True)
        tallies += found
    missed = [each for each in tallies if each.pulls.size >= LEAST_ACCEPTED and each.missed()]
    print(f"\n{len(missed)} of {len(tallies)} rows miss a bar", flush=True)
    return tallies


def _row(found: Tally, seconds: float) -> str:
    head = f"| {found.cell.task}, {found.cell.name} | {found.value.label} | {_refusals(found)} |"
    if found.pulls.size < LEAST_ACCEPTED:
        return f"{head} – | – | – | – | | {seconds:.1f} |"
    missed = ", ".join(found.missed())
    return (
        f"{head} {found.rmse:.3f} | {found.rmse_of_means:.3f} |"
        f" {found.pulls.mean():+.2f}, {found.pulls.std():.2f} |"
        f" {100 * found.covered(1.0):.1f} / {100 * found.covered(1.96):.1f} |"
        f"{f' **MISSED: {missed}**' if missed else ''} | {seconds:.1f} |"
    )


def _refusals(found: Tally) -> str:
    if not found.causes:
        return "0"
    return f"{100 * found.refused:.1f} ({_counted(found.causes)})"


def _counted(causes: Counter[str]) -> str:
    return ", ".join(f"{cause} {count}" for cause, count in causes.most_common(3))


def _good(tallies: Sequence[Tally]) -> None:
    good = {each.cell.task: each for each in tallies if each.cell.is_default}
    if not good:
        return
    runs = sum(each.runs for each in good.values())
    refused = sum(each.causes.total() for each in good.values())
    print(f"good runs refused: {refused} of {runs}, {_bar(refused / runs, BAR_REFUSED)}")
    for name, each in good.items():
        if each.causes:
            print(f"  {name}: {each.causes.total()} of {each.runs} ({_counted(each.causes)})")


def _bar(share: float, bar: float) -> str:
    return f"{100 * share:.2f} % (bar {100 * bar:g} %: {'met' if share <= bar else '**MISSED**'})"


def _broken(names: Sequence[str], runs: int) -> None:
    import numpy as np

    from benchmarks.truth_faults import KINDS, Situation
    from benchmarks.truth_verdicts import outcome, wrong

    rng = np.random.default_rng(0)
    each = max(1, round(runs / (len(names) * len(KINDS))))
    accepted: Counter[tuple[str, str]] = Counter()
    bad: Counter[tuple[str, str]] = Counter()
    crashes: Counter[str] = Counter()
    begin = time.process_time()
    for name in names:
        situations = [Situation(name, seed) for seed in range(3)]
        for kind, make in KINDS.items():
            for run in range(each):
                broken = make(situations[run % len(situations)], rng)
                found = outcome(broken.bench, broken.fault)
                accepted[name, kind] += not found.cause
                bad[name, kind] += bool(wrong(name, broken.bench.inputs, found, broken.truths))
                crashes[f"{name}, {kind}: {found.cause}"] += found.cause.startswith("crash")
    print(f"\nbroken runs, {each} of each kind and task: accepted (of these wrong)\n")
    print(f"| kind | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for kind in KINDS:
        found = [(accepted[name, kind], bad[name, kind]) for name in names]
        counts = [f"{taken} (**{false}**)" if false else str(taken) for taken, false in found]
        print(f"| {kind} | {' | '.join(counts)} |")
    total = each * len(names) * len(KINDS)
    print(f"\naccepted and wrong: {bad.total()} of {total}, {_bar(bad.total() / total, BAR_WRONG)},")
    print(f"accepted {accepted.total()}; {time.process_time() - begin:.0f} CPU s")
    for crash, count in crashes.items():
        if count:
            print(f"**CRASHED** {count} times: {crash}")


if __name__ == "__main__":
    main()
