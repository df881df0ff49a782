"""All interfaces in turn, each with its share of the tries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.hostile import command_line, flows, functions, jobs
from tests.hostile.tally import Tally
from tests.hostile.target import Target

# The share of the tries: the command line is the slowest of them.
INTERFACES: dict[str, tuple[float, Callable[[Target, int, int], Tally]]] = {
    "jobs": (0.38, jobs.attack),
    "functions": (0.42, functions.attack),
    "flows": (0.12, flows.attack),
    "command_line": (0.08, command_line.attack),
}


def attack(
    target: Target, tries: int, seed: int, interfaces: Sequence[str], say: Callable[[str], None]
) -> list[Tally]:
    """Attack the interfaces one after the other and print the counts of each."""
    whole = sum(INTERFACES[interface][0] for interface in interfaces)
    tallies = []
    for interface in interfaces:
        share, run = INTERFACES[interface]
        tally = run(target, max(1, round(tries * share / whole)), seed)
        if target.world.value("SELECT 1") != 1 or any(session.closed for session in target.sessions.values()):
            tally.record_wrong("a connection was lost")
        tallies.append(tally)
        say("\n".join(tally.lines()))
    return tallies
