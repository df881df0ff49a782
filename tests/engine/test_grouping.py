from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors.engine.grouping import Layout, groups

# Two multiplexers side by side:  0 1 | 4 5
#                                 2 3 | 6 7
MUXES = {qid: qid // 4 for qid in range(8)}
PAIRS = [("0", "1"), ("0", "2"), ("3", "1"), ("3", "2"), ("4", "1"), ("4", "5")]
PAIRS += [("4", "6"), ("3", "6"), ("7", "5"), ("7", "6")]
CHIP = Layout.of(MUXES, PAIRS)


def grouped(*qids: str, layout: Layout = CHIP, **lengths: float) -> list[list[str]]:
    return groups(qids, layout, {name[1:]: value for name, value in lengths.items()}.get)


@pytest.mark.parametrize(
    ("qids", "expected"),
    [
        (["0", "4"], [["0", "4"]]),
        (["0", "3"], [["0"], ["3"]]),  # One multiplexer, not coupled.
        (["1", "4"], [["1"], ["4"]]),  # Coupled, two multiplexers.
        (["6", "1", "3", "4"], [["6", "1"], ["3", "4"]]),
        (["1", "3", "6"], [["1", "6"], ["3"]]),  # A later qid may go into an earlier group.
        (["0-1", "1-4"], [["0-1"], ["1-4"]]),  # A shared qubit.
        (["0-2", "4-5"], [["0-2", "4-5"]]),
        (["0-2", "3-6"], [["0-2"], ["3-6"]]),  # 2 and 3 are neighbours.
        ([], []),
    ],
)
def test_what_disturbs_each_other_is_apart(qids: list[str], expected: list[list[str]]) -> None:
    assert grouped(*qids) == expected


def test_readouts_of_one_group_have_one_length() -> None:
    assert grouped("0", "4", q0=384.0, q4=512.0) == [["0"], ["4"]]
    assert grouped("0", "4", q0=384.0, q4=384.0) == [["0", "4"]]
    # What has none fails alone, and splits no group.
    assert grouped("0", "4", q0=384.0) == [["0", "4"]]
    assert grouped("0-2", "4-5", q2=384.0, q5=512.0) == [["0-2"], ["4-5"]]


def test_without_multiplexers_the_couplings_decide() -> None:
    line = Layout.of({}, [("0", "1"), ("1", "2"), ("2", "3")])
    assert grouped("0", "1", "2", "3", layout=line) == [["0", "2"], ["1", "3"]]


@given(st.permutations([str(qid) for qid in range(8)]))
def test_each_is_in_one_group_in_order_and_none_disturb(qids: list[str]) -> None:
    found = grouped(*qids)
    assert sorted(qid for group in found for qid in group) == sorted(qids)
    for group in found:
        assert group == sorted(group, key=qids.index)
        for one, other in combinations(group, 2):
            assert (one, other) not in CHIP.couplings
            assert CHIP.muxes[one] != CHIP.muxes[other]
    assert found == grouped(*qids)
