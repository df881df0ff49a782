"""The fewest groups of items that may be measured at once: a colouring of the graph of their conflicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from math import ceil
from typing import TYPE_CHECKING, Final, TypeVar

from qdash_queue.extras import require_extras

if TYPE_CHECKING:
    import networkx as nx

T = TypeVar("T")
_STRATEGIES: Final = ("largest_first", "smallest_last", "saturation_largest_first")


def fewest_groups(
    items: Sequence[T], conflict: Callable[[T, T], bool], limit: int | None = None
) -> list[list[T]]:
    """Put each item into one group, so that no two of a group conflict; as few groups as are found.

    The best of several greedy colourings: first fit in the given order, and networkx's. Groups over the limit
    give items to others along Kempe chains. Where each item takes two of the things that may be shared, as a
    pair takes two MUXes, this reaches the larger of ``ceil(len(items) / limit)`` and the colouring's own
    number (Bondy and Murty, Graph Theory with Applications, 1976, section 6.3). Where it fails, groups are
    cut into slices.

    Args:
        items: in an order of their own, on which alone the groups depend.
        conflict: whether two items must not be in one group; symmetric.
        limit: of the size of a group.

    Returns:
        The groups, each in the order of the items, ordered by their first ones.

    Raises:
        MissingExtraError: networkx is not installed.
    """
    require_extras("planning a calibration", "planning")
    import networkx as nx  # noqa: PLC0415 - of an extra

    graph = nx.Graph()
    graph.add_nodes_from(range(len(items)))
    graph.add_edges_from((a, b) for a, b in combinations(graph, 2) if conflict(items[a], items[b]))
    strategies = (lambda nodes, _: sorted(nodes), *_STRATEGIES)
    limit = limit or max(1, len(items))
    best: list[set[int]] = [{node} for node in graph]
    for strategy in strategies:
        found = _limited(graph, _classes(nx.greedy_color(graph, strategy)), limit)
        best = min(best, found, key=len)
        if len(best) == ceil(len(items) / limit):
            break
    return [[items[node] for node in group] for group in sorted(map(sorted, best))]


def _classes(colouring: dict[int, int]) -> list[set[int]]:
    found: list[set[int]] = [set() for _ in range(1 + max(colouring.values(), default=-1))]
    for node, colour in colouring.items():
        found[colour].add(node)
    return found


def _limited(graph: nx.Graph[int], classes: list[set[int]], limit: int) -> list[set[int]]:
    """The same nodes in as few classes as may be, each within the limit."""
    if all(len(nodes) <= limit for nodes in classes):
        return classes
    slices = [set(sorted(nodes)[at : at + limit]) for nodes in classes for at in range(0, len(nodes), limit)]
    for number in range(max(len(classes), ceil(len(graph) / limit)), len(slices)):
        balanced = [set(nodes) for nodes in classes] + [set() for _ in range(number - len(classes))]
        while max(map(len, balanced)) > limit and _move(graph, balanced):
            pass
        if max(map(len, balanced)) <= limit:
            return balanced
    return slices


def _move(graph: nx.Graph[int], classes: list[set[int]]) -> bool:
    """Exchange Kempe chains that make the largest class and another more alike in size, if there are any."""
    import networkx as nx  # noqa: PLC0415 - of an extra

    large = max(classes, key=len)
    for small in sorted(classes, key=len):
        moved = False
        for chain in sorted(map(sorted, nx.connected_components(graph.subgraph(large | small)))):
            gain = len(large.intersection(chain)) - len(small.intersection(chain))
            if 0 < gain < len(large) - len(small):
                large ^= set(chain)
                small ^= set(chain)
                moved = True
        if moved:
            return True
    return False
