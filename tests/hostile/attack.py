"""All faces in turn, each with its share of the tries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.hostile import command_line, flows, functions, jobs
from tests.hostile.stage import Stage
from tests.hostile.tally import Tally

# The share of the tries: the command line is the slowest of them.
FACES: dict[str, tuple[float, Callable[[Stage, int, int], Tally]]] = {
    "jobs": (0.38, jobs.attack),
    "functions": (0.42, functions.attack),
    "flows": (0.12, flows.attack),
    "command_line": (0.08, command_line.attack),
}


def attack(
    stage: Stage, tries: int, seed: int, faces: Sequence[str], say: Callable[[str], None]
) -> list[Tally]:
    """Attack the faces one after the other and say what came of each."""
    whole = sum(FACES[face][0] for face in faces)
    tallies = []
    for face in faces:
        share, run = FACES[face]
        tally = run(stage, max(1, round(tries * share / whole)), seed)
        if stage.lab.value("SELECT 1") != 1 or any(session.closed for session in stage.sessions.values()):
            tally.blame("a connection was lost")
        tallies.append(tally)
        say("\n".join(tally.lines()))
    return tallies
