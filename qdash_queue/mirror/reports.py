"""The mirror's reports: how a round went, and how far QDash is behind."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from qdash_queue.mirror.read.rows import MarkLag, MirrorRow, Refusal


class RoundReport(BaseModel):
    """What one round, or one rebuild, did."""

    model_config = ConfigDict(frozen=True)

    figures: int = 0
    """Figures that were rendered, or found not to be renderable."""
    mirrored: int = 0
    """Jobs and chips whose documents are up to date now."""
    nothing_to_show: int = 0
    """Jobs that never started and chips without parameters."""
    waiting: dict[str, str] = Field(default_factory=dict)
    """Subjects that could not be mirrored, and why."""
    refused: dict[str, list[Refusal]] = Field(default_factory=dict)
    """Subjects that are mirrored except for documents that MongoDB permanently refuses."""

    @property
    def worked(self) -> bool:
        """Whether there was anything to do."""
        return bool(self.figures or self.mirrored or self.nothing_to_show or self.waiting or self.refused)

    def __add__(self, other: RoundReport) -> RoundReport:
        return RoundReport(
            figures=self.figures + other.figures,
            mirrored=self.mirrored + other.mirrored,
            nothing_to_show=self.nothing_to_show + other.nothing_to_show,
            waiting=self.waiting | other.waiting,
            refused=self.refused | other.refused,
        )


class MirrorLag(BaseModel):
    """How far QDash is behind the queue."""

    model_config = ConfigDict(frozen=True)

    marks: list[MarkLag]
    """What waits to be mirrored."""
    dead_letters: list[MarkLag]
    """What was set aside, because MongoDB permanently refuses documents of it."""
    mirrors: list[MirrorRow]
    mongo_problem: str | None

    @property
    def seconds(self) -> float:
        """Age of the oldest change that waits; 0 where none does."""
        return max((mark.lag_seconds for mark in self.marks), default=0.0)
