"""The grouping of items by their conflicts, on random graphs."""

from __future__ import annotations

from itertools import combinations
from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st

from qdash_queue.scheduling.grouping import fewest_groups

Ends = tuple[int, int]
several = settings(deadline=None, max_examples=200)
numbers = st.integers(0, 9)
limits = st.integers(1, 6)


@several
@given(st.sets(st.tuples(numbers, numbers)), limits)
def test_no_group_holds_a_conflict_or_is_over_the_limit(edges: set[Ends], limit: int) -> None:
    found = fewest_groups(range(10), lambda a, b: bool({(a, b), (b, a)} & edges), limit)
    assert sorted(item for group in found for item in group) == list(range(10))
    assert [group[0] for group in found] == sorted(min(group) for group in found)
    for group in found:
        assert len(group) <= limit
        for a, b in combinations(group, 2):
            assert not {(a, b), (b, a)} & edges


@several
@given(st.lists(st.tuples(numbers, numbers), max_size=25), limits)
def test_a_limit_costs_no_group_where_items_take_two_things(items: list[Ends], limit: int) -> None:
    def conflict(one: tuple[int, Ends], other: tuple[int, Ends]) -> bool:
        return not {*one[1]}.isdisjoint(other[1])

    numbered = list(enumerate(items))
    free, limited = (fewest_groups(numbered, conflict, most) for most in (None, limit))
    assert len(limited) <= max(len(free), ceil(len(items) / limit))
    for group in limited:
        assert len(group) <= limit
        assert not any(conflict(one, other) for one, other in combinations(group, 2))
