"""What holds of every CR schedule, whatever the chip, the wiring and the candidates."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import ceil
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from qdash_queue.scheduling import (
    CouplingTargets,
    CrSchedule,
    DirectionRule,
    Pair,
    Reason,
    cr_schedule,
)
from tests.scheduling.cases import Case, cases, modules, shuffled

several = settings(deadline=None, max_examples=40)


def plan(case: Case) -> CrSchedule:
    return cr_schedule(case.topology, case.wiring, case.candidates, **case.options)


def directed(schedule: CrSchedule) -> list[Pair]:
    return [pair for group in schedule.groups for pair in group.pairs]


@several
@given(cases())
def test_each_candidate_is_in_one_group_or_left_out_with_the_reason(case: Case) -> None:
    found = plan(case)
    out = {item.target: item.reason for item in found.left_out}
    assert len(out) == len(found.left_out)
    scheduled = Counter(frozenset(pair) for pair in directed(found))
    refused = Counter(frozenset(name.split("-")) for name, reason in out.items() if "-" in name[1:])
    assert scheduled + refused == Counter(frozenset(pair) for pair in case.known_pairs)
    coupled = {qid for pair in case.known_pairs for qid in pair}
    for qid in {*case.qids} - coupled:
        known = qid in case.topology.sites
        assert out[qid] is (Reason.NO_PARTNER if known else Reason.UNKNOWN_QUBIT)
    assert len(out) == len({*case.qids} - coupled) + len(refused)
    for pair in case.known_pairs:
        assert (out.get(pair.qid) is Reason.NOT_WIRED) == (not all(map(case.wired, pair)))


@several
@given(cases())
def test_pairs_of_a_group_share_no_qubit_mux_or_module(case: Case) -> None:
    for group in plan(case).groups:
        for one, other in combinations(group.pairs, 2):
            assert not case.share(one, other)


@several
@given(cases())
def test_each_pair_obeys_the_rule_and_inverse_turns_all_round(case: Case) -> None:
    found = plan(case.but(inverse=False))
    for pair in directed(found):
        if found.rule is DirectionRule.LISTED:
            assert pair in case.topology.couplings
        elif found.rule is DirectionRule.PARITY:
            assert [sum(case.topology.sites[qid]) % 2 for qid in pair] == [0, 1]
        else:
            assert case.frequencies[pair.control] < case.frequencies[pair.target]
    turned = plan(case.but(inverse=True))
    assert {Pair(b, a) for a, b in directed(turned)} == {*directed(found)}
    assert turned.left_out == found.left_out


@several
@given(cases())
def test_groups_are_within_the_limit_and_no_fewer_than_can_be(case: Case) -> None:
    found = plan(case)
    for within in (True, False):
        groups = [group.pairs for group in found.groups if group.within_muxes is within]
        pairs = [pair for group in groups for pair in group]
        assert all(1 <= len(group) <= (case.limit or len(pairs)) for group in groups)
        if not pairs:
            continue
        things = Counter(
            thing
            for pair in pairs
            for thing in {*pair, *(f"MUX {case.mux(qid)}" for qid in pair)} - {"MUX None"}
        )
        least = max(*things.values(), ceil(len(pairs) / (case.limit or len(pairs))))
        assert len(groups) >= least
        if case.rows is None and case.topology.muxes and case.distance < 2:
            assert len(groups) == least


@several
@given(cases())
def test_pairs_within_muxes_come_first_and_pairs_by_number(case: Case) -> None:
    found = plan(case)
    flags = [group.within_muxes for group in found.groups]
    assert flags == sorted(flags, reverse=True)
    for group in found.groups:
        assert list(group.pairs) == sorted(group.pairs, key=lambda pair: [int(qid) for qid in pair])
        for control, target in group.pairs:
            same = case.mux(control) is not None and case.mux(control) == case.mux(target)
            assert group.within_muxes is same


@several
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_what_is_given_and_names_change_nothing(case: Case, random: Random) -> None:
    assert plan(shuffled(case, random)) == plan(case)


@several
@given(cases(), st.data())
def test_fewer_candidates_give_no_new_pair(case: Case, data: st.DataObject) -> None:
    fewer = case.but(qids=[qid for qid in case.qids if data.draw(st.booleans())])
    assert {*directed(plan(fewer))} <= {*directed(plan(case))}


@several
@given(cases(), st.data())
def test_what_conflicts_stays_apart_when_two_modules_become_one(case: Case, data: st.DataObject) -> None:
    if not case.rows:
        return
    module = st.sampled_from(sorted(modules(case.rows)))
    gone, kept = data.draw(module), data.draw(module)
    rows = [
        {
            "mux": row["mux"],
            "ctrl": [port.replace(f"{gone}-", f"{kept}-") for port in row["ctrl"]],
            "read_out": row["read_out"].replace(f"{gone}-", f"{kept}-"),
        }
        for row in case.rows
    ]
    joined = case.but(rows=rows)
    assert modules(rows) == modules(case.rows) - ({gone} - {kept})
    for group in plan(joined).groups:
        for one, other in combinations(group.pairs, 2):
            assert not case.share(one, other)
            assert not joined.share(one, other)


@several
@given(cases())
def test_pairs_of_a_group_keep_the_distance_and_it_is_told(case: Case) -> None:
    for group in plan(case).groups:
        gaps = [case.apart(one, other) for one, other in combinations(group.pairs, 2)]
        assert group.closest == min(gaps, default=None)
        assert all(gap >= case.distance for gap in gaps)


@several
@given(
    cases(),
    st.lists(st.tuples(st.sampled_from(("0", "1", "2", "3", "99")), st.sampled_from(("1", "2", "7")))),
)
def test_couplings_may_be_named_themselves(case: Case, named: list[tuple[str, str]]) -> None:
    found = cr_schedule(case.topology, None, CouplingTargets(named))
    listed = {frozenset(pair) for pair in case.topology.couplings}
    assert Counter(map(frozenset, directed(found))) == Counter({*map(frozenset, named)} & listed)
    unknown = {frozenset(item.target.split("-")) for item in found.left_out}
    assert unknown == {*map(frozenset, named)} - listed
    assert {item.reason for item in found.left_out} <= {Reason.UNKNOWN_COUPLING}
