"""The answers to the tries at one interface."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SHOWN = 300
LISTED = 20


@dataclass(frozen=True)
class Answer:
    """How one try was answered.

    Attributes:
        code: why it was refused (a SQLSTATE, a word, an exit status); empty if it was accepted.
        wrong: what must not be in any answer; empty if nothing is wrong.
    """

    code: str = ""
    wrong: str = ""


@dataclass
class Tally:
    """The counts of one interface; `wrong` must stay empty."""

    interface: str
    tries: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[Tally]:
        """Count the time of the block."""
        began = time.monotonic()
        try:
            yield self
        finally:
            self.seconds += time.monotonic() - began

    def count(self, answer: Answer, *given: object) -> None:
        """Count one try; what was given is kept if the answer is wrong, so that it can be repeated."""
        self.tries += 1
        if answer.wrong:
            self.record_wrong(answer.wrong, *given)
        elif answer.code:
            self.refused[answer.code] += 1
        else:
            self.accepted += 1

    def record_wrong(self, wrong: str, *given: object) -> None:
        """Record an answer that must not occur."""
        self.wrong.append(f"{wrong} | given: {' '.join(_short(each) for each in given)}")

    def lines(self) -> list[str]:
        """The counts as lines of text."""
        codes = ", ".join(f"{code} {count}" for code, count in self.refused.most_common())
        first = (
            f"{self.interface}: {self.tries} tries, {self.refused.total()} refused, {self.accepted} accepted,"
            f" {len(self.wrong)} anything else, {self.seconds:.1f} s"
        )
        more = len(self.wrong) - LISTED
        return [
            first,
            f"  refused: {codes or 'none'}",
            *(f"  WRONG {each}" for each in self.wrong[:LISTED]),
            *([f"  and {more} more"] if more > 0 else []),
        ]


def _short(given: object) -> str:
    text = given if isinstance(given, str) else repr(given)
    text = text.encode("unicode_escape").decode()
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"
