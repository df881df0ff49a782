"""Groups of couplings whose cross-resonance (CR) gates may be calibrated at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from qdash_queue.scheduling.arguments import check_count, check_frequencies, choice
from qdash_queue.scheduling.grouping import fewest_groups
from qdash_queue.scheduling.results import LeftOut, Reason, closest, gap, in_order
from qdash_queue.scheduling.targets import Targets
from qdash_queue.scheduling.topology import Pair, Topology, numeric
from qdash_queue.scheduling.wiring import Layout, Wiring


class DirectionRule(StrEnum):
    """What tells which qubit of a coupling is the control."""

    LISTED = "listed"
    """The topology lists it first."""
    PARITY = "parity"
    """It is at a place of even row plus column: by design the one of lower frequency."""
    FREQUENCY = "frequency"
    """Its measured frequency is the lower one."""


@dataclass(frozen=True)
class CrGroup:
    """Pairs whose gates may be calibrated at once, in numeric order.

    Attributes:
        pairs: of which no two share a qubit, a MUX or a module.
        within_muxes: whether each pair lies within one MUX (QDash: fast), or each between two (slow).
        closest: least lattice distance between qubits of different pairs; None: there is one pair only.
    """

    pairs: tuple[Pair, ...]
    within_muxes: bool
    closest: int | None


@dataclass(frozen=True)
class CrSchedule:
    """Groups to be calibrated one after another, those within MUXes first.

    Attributes:
        groups: in which each accepted pair is once, in one direction.
        rule: that gave the directions.
        left_out: candidates in no group.
    """

    groups: tuple[CrGroup, ...]
    rule: DirectionRule
    left_out: tuple[LeftOut, ...]


def cr_schedule(
    topology: Topology,
    wiring: Wiring | None,
    candidates: Targets,
    *,
    frequencies: Mapping[str, float] | None = None,
    rule: DirectionRule | None = None,
    inverse: bool = False,
    max_parallel_ops: int | None = 10,
    min_distance: int = 0,
) -> CrSchedule:
    """Group the couplings among the candidates; the same input in any order gives the same groups.

    Args:
        topology: of the chip.
        wiring: of the chip; None: every MUX has a module of its own.
        candidates: qubits that may take part, or the couplings themselves.
        frequencies: measured qubit frequencies in one unit, by qid.
        rule: what tells the control. By default ``LISTED`` where the topology's design fixes it, else
            ``FREQUENCY`` where frequencies are given, else ``PARITY``.
        inverse: exchange control and target of every pair.
        max_parallel_ops: limit of the size of a group; None: no limit.
        min_distance: least lattice distance of qubits of different pairs of a group; 2 parts neighbours.

    Raises:
        BadValueError: a frequency is not a positive number, or a limit not a positive integer.
        UnknownNameError: the candidates name a MUX that the topology does not have.
        MissingExtraError: networkx is not installed.
    """
    if max_parallel_ops is not None:
        check_count("max_parallel_ops", max_parallel_ops, 1)
    check_count("min_distance", min_distance, 0)
    frequencies = frequencies or {}
    check_frequencies(frequencies)
    layout = Layout(topology, wiring)
    chosen = choice("rule", DirectionRule, rule) if rule else _default_rule(topology, frequencies)
    accepted, left_out = _accepted(layout, candidates, chosen, frequencies, inverse=inverse)
    groups: list[CrGroup] = []
    for within in (True, False):
        part = [pair for pair in accepted if _within_mux(layout, pair) == within]
        needs = {pair: layout.resources(pair) for pair in part}
        conflict = partial(_conflict, topology, needs, min_distance)
        groups += (
            CrGroup(tuple(group), within, closest(topology, group))
            for group in fewest_groups(part, conflict, max_parallel_ops)
        )
    return CrSchedule(tuple(groups), chosen, in_order(left_out))


def _default_rule(topology: Topology, frequencies: Mapping[str, float]) -> DirectionRule:
    if topology.direction_convention:
        return DirectionRule.LISTED
    return DirectionRule.FREQUENCY if frequencies else DirectionRule.PARITY


def _accepted(
    layout: Layout,
    candidates: Targets,
    rule: DirectionRule,
    frequencies: Mapping[str, float],
    *,
    inverse: bool,
) -> tuple[list[Pair], list[LeftOut]]:
    """The candidates as directed pairs in numeric order, and those that cannot be."""
    topology = layout.topology
    pairs, known = candidates.to_pairs(topology), set(topology.couplings)
    coupled = {qid for pair in pairs for qid in pair}
    left_out = [
        LeftOut(qid, Reason.NO_PARTNER if qid in topology.sites else Reason.UNKNOWN_QUBIT)
        for qid in candidates.to_qids(topology)
        if qid not in coupled
    ]
    accepted = []
    for pair in pairs:
        if pair not in known:
            found: Pair | Reason = Reason.UNKNOWN_COUPLING
        elif not all(map(layout.is_wired, pair)):
            found = Reason.NOT_WIRED
        else:
            found = _directed(topology, pair, rule, frequencies)
        if isinstance(found, Reason):
            left_out.append(LeftOut(pair.qid, found))
        else:
            accepted.append(found.reversed if inverse else found)
    return sorted(accepted, key=lambda pair: numeric(pair.qid)), left_out


def _directed(
    topology: Topology, pair: Pair, rule: DirectionRule, frequencies: Mapping[str, float]
) -> Pair | Reason:
    if rule is DirectionRule.LISTED:
        return pair
    if rule is DirectionRule.FREQUENCY:
        if not frequencies.keys() >= set(pair):
            return Reason.NO_FREQUENCY
        ranks = [frequencies[qid] for qid in pair]
    else:
        ranks = [sum(topology.sites[qid]) % 2 for qid in pair]
    if ranks[0] == ranks[1]:
        return Reason.NO_DIRECTION
    return pair if ranks[0] < ranks[1] else pair.reversed


def _within_mux(layout: Layout, pair: Pair) -> bool:
    mux = layout.mux_of.get(pair.control)
    return mux is not None and mux == layout.mux_of.get(pair.target)


def _conflict(
    topology: Topology, needs: Mapping[Pair, frozenset[str]], min_distance: int, one: Pair, other: Pair
) -> bool:
    if not needs[one].isdisjoint(needs[other]):
        return True
    return min_distance > 1 and gap(topology, one, other) < min_distance
