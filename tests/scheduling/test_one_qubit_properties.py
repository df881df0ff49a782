"""What holds of every one-qubit schedule, whatever the chip, the wiring and the candidates."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdash_queue.scheduling import (
    AllMuxTargets,
    BoxType,
    OneQubitSchedule,
    QubitOrder,
    Reason,
    Topology,
    one_qubit_schedule,
)
from tests.scheduling.cases import Case, cases, shuffled

several = settings(deadline=None, max_examples=40)
orders = st.sampled_from(QubitOrder)


def plan(case: Case, order: QubitOrder = QubitOrder.CHECKERBOARD) -> OneQubitSchedule:
    return one_qubit_schedule(
        case.topology, case.wiring, case.candidates, order=order, min_distance=case.distance
    )


@several
@given(cases(), orders)
def test_each_candidate_is_in_one_step_or_left_out_with_the_reason(case: Case, order: QubitOrder) -> None:
    found = plan(case, order)
    in_steps = Counter(qid for step in found.steps for qid in step.qids)
    in_queues = Counter(qid for stage in found.stages for queue in stage.queues for qid in queue)
    out = Counter(item.target for item in found.left_out)
    assert in_steps == in_queues
    assert in_steps + out == Counter({*case.qids})
    for item in found.left_out:
        known = item.target in case.topology.sites
        assert item.reason is (Reason.NOT_WIRED if known else Reason.UNKNOWN_QUBIT)
        assert not (known and case.wired(item.target))


@several
@given(cases(), orders)
def test_what_runs_at_once_shares_no_mux_and_no_module(case: Case, order: QubitOrder) -> None:
    found = plan(case, order)
    for stage in found.stages:
        for one, other in combinations(stage.queues, 2):
            assert not case.share(one, other)
        for queue in stage.queues:
            assert len({case.mux(qid) for qid in queue}) == 1
    for step in found.steps:
        for a, b in combinations(step.qids, 2):
            assert not case.share([a], [b])


@several
@given(cases(), orders)
def test_stages_come_by_boxes_and_queues_by_place(case: Case, order: QubitOrder) -> None:
    found = plan(case, order)
    boxes = [stage.box for stage in found.stages]
    assert boxes == sorted(boxes, key=list(BoxType).index)
    for stage in found.stages:
        for queue in stage.queues:
            letters = {"B" if module.endswith("B") else "A" for module in case.modules(queue[0])} or {"A"}
            assert stage.box == ("mixed" if len(letters) == 2 else letters.pop())
            ranks = [int(qid) % 4 for qid in queue]
            if case.topology.muxes and order is QubitOrder.CHECKERBOARD:
                first = case.topology.sites[str(int(queue[0]) // 4 * 4)]
                ranks = [(rank + first.column) % 4 for rank in ranks]
            assert ranks == sorted(ranks)


@several
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_what_is_given_and_names_change_nothing(case: Case, random: Random) -> None:
    assert plan(shuffled(case, random)) == plan(case)


@several
@given(cases(), st.data())
def test_fewer_candidates_give_no_new_qubit(case: Case, data: st.DataObject) -> None:
    fewer = case.but(qids=[qid for qid in case.qids if data.draw(st.booleans())])
    found = {qid for step in plan(fewer).steps for qid in step.qids}
    assert found == {*fewer.qids} & {qid for step in plan(case).steps for qid in step.qids}


@several
@given(cases(), orders)
def test_qubits_of_a_step_keep_the_distance_and_it_is_told(case: Case, order: QubitOrder) -> None:
    for step in plan(case, order).steps:
        gaps = [case.apart([a], [b]) for a, b in combinations(step.qids, 2)]
        assert step.closest == min(gaps, default=None)
        assert all(gap >= case.distance for gap in gaps)


@pytest.mark.parametrize(("columns", "order"), product((1, 2, 3, 4, 5, 6), QubitOrder))
def test_no_neighbours_run_at_once_on_lattices_of_any_width(columns: int, order: QubitOrder) -> None:
    """Of MUXes numbered row by row, two above each other may have numbers of different parity."""
    rows = [
        (str(q), 2 * (mux // columns) + q % 4 // 2, 2 * (mux % columns) + q % 2, mux)
        for mux in range(columns**2)
        for q in range(4 * mux, 4 * mux + 4)
    ]
    found = one_qubit_schedule(Topology.of_rows("lattice", rows, []), None, AllMuxTargets(), order=order)
    assert [step.closest for step in found.steps] == [None if columns == 1 else 2] * 4
