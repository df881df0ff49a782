"""The shared vocabulary of checks: each names one way in which a fit may be wrong.

A check is pure and returns the failure, or None. The first failure of a protocol's list is the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from calibtasks.fits.fit import Fit
from calibtasks.measure.sweep import Sweep
from qdash_queue.domain import Failure, FailureKind


@dataclass(frozen=True)
class Checked:
    """What a check looks at.

    Attributes:
        what: what was measured, in words.
        fit: of the data.
        sweeps: the data by name.
    """

    what: str
    fit: Fit
    sweeps: Mapping[str, Sweep]


Check = Callable[[Checked], Failure | None]


def bad_fit(cause: str, message: str, remedy: str = "") -> Failure:
    """A failure of kind ``bad_fit``."""
    return Failure(kind=FailureKind.BAD_FIT, cause=cause, message=message, remedy=remedy)


STANDARD: tuple[Check, ...] = ()
